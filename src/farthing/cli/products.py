"""Products: `products list`, `show`, `put`, `import`, `export`, `archive`. What customers buy, and where."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble, usage
from .opening import Desk, at_desk
from .options import Db, In, Json, Yes, enter
from .output import Answer, columns, confirm, many, pairs
from .reading import write_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farthing.core.catalogue import KeptProduct, Product
    from farthing.stores.products import Products

PANEL = "Selling"
ProductId = Annotated[str, typer.Argument(metavar="PRODUCT", help="The product's id: your own name for it.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help='JSON: {"products": [...]}, or one product.')]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="What customers buy: tiers, a plan each, and top-ups; and at which provider.")
    enter(group, "list", "$ farthing products list", "$ farthing products list --archived --json")(list_all)
    enter(group, "show", "$ farthing products show assistant", "$ farthing products show assistant --json")(show)
    enter(group, "put", "$ farthing products put assistant assistant.json")(put)
    enter(group, "import", "$ farthing products import examples/products/assistant.json")(import_file)
    enter(
        group, "export", "$ farthing products export > products.json", "$ farthing products export --out products.json"
    )(export)
    enter(group, "archive", "$ farthing products archive assistant --yes")(archive)
    app.add_typer(group, name="products", rich_help_panel=PANEL)


def products_of(desk: Desk) -> "Products":
    """The products of the ledger."""
    from farthing.stores.products import Products

    return Products(desk.ledger.database)


def product_facts(kept: "KeptProduct", desk: Desk) -> dict[str, Any]:
    """A product as programs read it."""
    from farthing.core.productfile import write_product

    dates = {name: write_time(getattr(kept, name)) for name in ("created_at", "updated_at", "archived_at")}
    return {"tiers": [], "top_ups": []} | write_product(kept.product, desk.write) | dates


def list_all(
    archived: Annotated[bool, typer.Option("--archived", help="With those that are archived.")] = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """The products of a workspace, with what is sold of each."""
    with at_desk(db, workspace) as desk:
        found = desk.ledger.wait(products_of(desk).of(desk.workspace.id))
        facts = [product_facts(kept, desk) for kept in found if archived or kept.archived_at is None]
    rows = [row for each in facts for row in _rows(each, f"{each['id']}/")]
    return Answer({"workspace": desk.workspace.id, "data": facts}, columns([_HEAD, *rows]))


_HEAD = ("SOLD", "NAME", "GIVES", "PRICE", "SOLD AS")


def _rows(facts: dict[str, Any], before: str = "") -> list[tuple[str, ...]]:
    """What is sold of a product, a line each."""
    return [
        (
            before + each["id"],
            each.get("name", "-"),
            f"plan {each['plan']}" if "plan" in each else each["credits"],
            f"{each['price']} {each['currency']}" if "price" in each else "-",
            " ".join(f"{provider}:{name}" for provider, name in each.get("sold_as", {}).items()) or "-",
        )
        for each in (*facts["tiers"], *facts["top_ups"])
    ]


def show(id: ProductId, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """One product."""
    with at_desk(db, workspace) as desk:
        kept = desk.ledger.wait(products_of(desk).get(desk.workspace.id, id))
        if kept is None:
            raise no_product(id)
        facts = product_facts(kept, desk)
    told = {
        name: str(facts[name]) for name in ("id", "name", "created_at", "updated_at", "archived_at") if facts.get(name)
    }
    return Answer(facts, f"{pairs(told)}\n\n{columns([_HEAD, *_rows(facts)])}")


def no_product(id: str) -> Trouble:
    """There is none of that name."""
    message = f"there is no product {id!r}; `farthing products list` shows them"
    return Trouble("product_not_found", message, Exit.NO, product=id)


def put(id: ProductId, file: File, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Make a product, or change it as a whole, from a file that has it alone."""
    text = _text(file)
    with at_desk(db, workspace) as desk:
        found = _read(text, desk, file)
        if [product.id for product in found] != [id]:
            ids = ", ".join(product.id for product in found) or "none"
            raise usage(f"the file {file} must have the product {id} and no other; it has {ids}")
        (facts,) = _put(found, desk)
    return Answer(facts, _told(facts))


def import_file(file: File, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Make or change the products of a file: all of them, or none where one is not right."""
    text = _text(file)
    with at_desk(db, workspace) as desk:
        facts = _put(_read(text, desk, file), desk)
    return Answer({"workspace": desk.workspace.id, "data": facts}, "\n".join(map(_told, facts)))


def _told(facts: dict[str, Any]) -> str:
    sold = [each["id"] for each in (*facts["tiers"], *facts["top_ups"])]
    return f"product {facts['id']}: {', '.join(sold) or 'nothing is sold of it'}"


def _text(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise usage(f"the products can't be read: {error.strerror}: {file}") from error


def _read(text: bytes, desk: Desk, file: Path) -> "list[Product]":
    from farthing.core.productfile import ProductFileError, read_products

    try:
        return read_products(text, desk.workspace.scale)
    except ProductFileError as error:
        problems = [{"field": each.field, "message": each.message} for each in error.problems]
        message = f"the file {file} is not right: {error}"
        raise Trouble("invalid_product", message, Exit.USAGE, problems=problems) from error


def _put(products: "Sequence[Product]", desk: Desk) -> list[dict[str, Any]]:
    from farthing.stores.access import AccessError

    try:
        kept = desk.ledger.wait(products_of(desk).put_all(desk.workspace.id, products, desk.act()))
    except AccessError as error:
        raise Trouble(error.code, str(error), Exit.NO) from error
    return [product_facts(each, desk) for each in kept]


def export(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to; it must not be there yet. Default: here.")
    ] = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """All products that are on sale, as a file that can be imported."""
    from farthing.core.productfile import write_product

    with at_desk(db, workspace) as desk:
        found = desk.ledger.wait(products_of(desk).of(desk.workspace.id))
        products = [write_product(kept.product, desk.write) for kept in found if kept.archived_at is None]
    text = json.dumps({"products": products}, indent=2, ensure_ascii=False) + "\n"
    if out is None:
        # It is JSON already, for people as for programs.
        return Answer({"products": products}, text.rstrip("\n"))
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise Trouble("target_exists", f"{out} is there already; say another --out", Exit.NO, path=str(out)) from error
    return Answer({"path": str(out), "products": len(products)}, f"{out}: {many(len(products), 'product')}")


def archive(id: ProductId, yes: Yes = False, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Take a product off sale: nobody is offered it any more; what is paid for it still counts."""
    with at_desk(db, workspace) as desk:
        products = products_of(desk)
        if desk.ledger.wait(products.get(desk.workspace.id, id)) is None:
            raise no_product(id)
        confirm(f"Let nobody be offered {id} from now on?", yes)
        facts = product_facts(desk.ledger.wait(products.archive(desk.workspace.id, id, desk.act())), desk)
    return Answer(facts, f"nobody is offered {id} any more")
