"""Products as a file has them: JSON, amounts as decimal text or whole numbers. All that is wrong is told at once."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from .amounts import AmountError, read_amount
from .catalogue import Product, ProductProblem, product_problems


class ProductFileError(ValueError):
    """A file of products that can't be used; `problems` says where."""

    def __init__(self, problems: list[ProductProblem]) -> None:
        super().__init__("; ".join(f"{each.field} {each.message}" for each in problems))
        self.problems = problems


class _Products(Struct, forbid_unknown_fields=True):
    products: list[dict[str, Any]]
    about: str = ""


def read_products(text: bytes | str, scale: int) -> list[Product]:
    """The products of a file: `{"products": [...]}`, or one product by itself."""
    try:
        found = msgspec.json.decode(text)
        listed = found if isinstance(found, dict) and "products" in found else {"products": [found]}
        items = msgspec.convert(listed, _Products).products
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProductFileError([ProductProblem("the file", f"is no product: {error}")]) from error
    products, problems = [], []
    for number, item in enumerate(items):
        product, wrong = _read(item, scale)
        name = str(item.get("id", f"product {number + 1}"))[:100]
        problems += [ProductProblem(f"{name}: {each.field}", each.message) for each in wrong]
        if product is not None:
            products.append(product)
    ids = [product.id for product in products]
    problems += [ProductProblem(id, "is there twice") for id in sorted({id for id in ids if ids.count(id) > 1})]
    if problems:
        raise ProductFileError(problems)
    return products


def _read(item: dict[str, Any], scale: int) -> tuple[Product | None, list[ProductProblem]]:
    """A product, as far as it can be read, and all that is wrong with it."""
    top_ups = item.get("top_ups")
    problems: list[ProductProblem] = []
    if isinstance(top_ups, list):
        item = item | {"top_ups": list(_amounts(top_ups, scale, problems))}
    try:
        product = msgspec.convert(item, Product)
    except msgspec.ValidationError as error:
        return None, [*problems, ProductProblem("it", f"is not right: {error}")]
    return product, problems + list(product_problems(product))


def _amounts(top_ups: list[Any], scale: int, problems: list[ProductProblem]) -> Iterator[Any]:
    """Top-ups with their credits in smallest units; of one that can't be read the rest is looked at all the same."""
    for number, top_up in enumerate(top_ups):
        if not isinstance(top_up, dict) or "credits" not in top_up:
            yield top_up
            continue
        try:
            credits = _amount(top_up["credits"], scale)
        except AmountError as error:
            problems.append(ProductProblem(f"top_ups[{number}].credits", str(error)))
            credits = 1
        yield top_up | {"credits": credits}


def _amount(value: object, scale: int) -> int:
    if type(value) not in (str, int):
        raise AmountError('must be decimal text, such as "2000"')
    return read_amount(str(value), scale)


def write_product(product: Product, write: Callable[[int], str]) -> dict[str, Any]:
    """A product as a file has it."""
    facts: dict[str, Any] = msgspec.to_builtins(product)
    top_ups = [top_up | {"credits": write(top_up["credits"])} for top_up in facts.get("top_ups", ())]
    return facts | ({"top_ups": top_ups} if top_ups else {})
