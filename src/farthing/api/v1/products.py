"""Products: what customers buy, as tiers (a plan each) and as top-ups, and whose product of which provider is what."""

from collections.abc import Iterator
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import UNSET, Meta, Raw, Struct
from msgspec.structs import asdict

from farthing.core.amounts import write_amount
from farthing.core.catalogue import (
    MOST_DAYS,
    MOST_OFFERS,
    MOST_PRICE,
    MOST_RANK,
    PROVIDERS,
    KeptProduct,
    Product,
    ProductProblem,
    Provider,
    Tier,
    TopUp,
    product_problems,
)
from farthing.core.records import Category
from farthing.stores.access import AccessError

from ..endpoint import Endpoint, Parameter, Reply, Request
from .administration import Answered, Asked, act_of, answer, once, told
from .desk import Desk
from .fields import Fields, Form
from .grants import CATEGORIES, DEFAULT_PRIORITY, Priority, Sort
from .parameters import in_path, parameter
from .problems import Fault, Wrong
from .reading import Listed, Params, listed_example, named, not_found
from .wire import Amount, Credits, Time, text_of, write_time

Words = Annotated[str, text_of("For people.")]
OfferId = Annotated[str, text_of("Your own name for it, without a slash.")]
PlanName = Annotated[str, text_of("The plan that it gives.")]
Rank = Annotated[int, Meta(ge=0, le=MOST_RANK, description="Which tier is above which.")]
Days = Annotated[int, Meta(ge=1, le=MOST_DAYS, description="How long the credits live; left out: for ever.")]
Price = Annotated[
    str,
    Meta(
        pattern=r"^(0*[1-9][0-9]*(\.[0-9]+)?|0+\.[0-9]*[1-9][0-9]*)$",
        max_length=MOST_PRICE,
        description="What it costs, as decimal text; left out: the provider's own price counts.",
    ),
]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", description="Of the price, such as `EUR`.")]
SoldAs = Annotated[
    dict[str, Annotated[str, text_of("The provider's own id.")]],
    Meta(
        max_length=len(PROVIDERS),
        description="The product of each provider that is this; at Stripe: the price.",
        extra_json_schema={"propertyNames": {"enum": list(PROVIDERS)}},
    ),
]


class _Sold(Struct, kw_only=True, forbid_unknown_fields=True):
    id: OfferId
    name: Words | None = None
    price: Price | None = None
    currency: Currency | None = None
    sold_as: SoldAs | None = None
    description: Words | None = None


class TierRequest(_Sold, kw_only=True):
    """A plan as it is sold."""

    plan: PlanName
    rank: Rank


class TopUpRequest(_Sold, kw_only=True):
    """Credits as they are sold."""

    credits: Amount
    category: Sort | None = "paid"
    priority: Priority | None = DEFAULT_PRIORITY
    expires_days: Days | None = None


class ProductRequest(Asked):
    """A product as it is to be."""

    name: Words | None = None
    tiers: (
        Annotated[list[TierRequest], Meta(max_length=MOST_OFFERS, description="An account has one at most.")] | None
    ) = None
    top_ups: Annotated[list[TopUpRequest], Meta(max_length=MOST_OFFERS)] | None = None


class ArchiveProductRequest(Asked):
    """A product that nobody is to be offered any more."""


class _Shown(Struct, kw_only=True):
    id: str
    name: str | None
    price: str | None
    currency: str | None
    sold_as: dict[str, str]
    description: str | None


class TierView(_Shown, kw_only=True):
    """A plan as it is sold."""

    plan: str
    rank: int


class TopUpView(_Shown, kw_only=True):
    """Credits as they are sold."""

    credits: Credits
    category: Category
    priority: int
    expires_days: int | None


class ProductView(Answered, kw_only=True):
    """A product."""

    id: str
    name: str | None
    tiers: list[TierView]
    top_ups: list[TopUpView]
    created_at: Time
    updated_at: Time
    archived_at: Time | None


def write_product(kept: KeptProduct, scale: int) -> ProductView:
    """A product on the wire."""
    product = kept.product
    return ProductView(
        id=product.id,
        name=product.name or None,
        tiers=[TierView(**asdict(tier) | _texts(tier)) for tier in product.tiers],
        top_ups=[
            TopUpView(**asdict(each) | _texts(each) | {"credits": write_amount(each.credits, scale)})
            for each in product.top_ups
        ],
        created_at=write_time(kept.created_at),
        updated_at=write_time(kept.updated_at),
        archived_at=None if kept.archived_at is None else write_time(kept.archived_at),
    )


def _texts(offer: Tier | TopUp) -> dict[str, str | None]:
    return {name: getattr(offer, name) or None for name in ("name", "price", "currency", "description")}


async def list_products(request: Request, desk: Desk) -> Listed[ProductView]:
    """All products of the workspace: there are never very many."""
    params = Params(request, "archived")
    archived = params.flag("archived")
    params.check()
    workspace = request.caller.workspace
    found = await desk.products.of(workspace.id)
    shown = [kept for kept in found if archived or kept.archived_at is None]
    return Listed([write_product(kept, workspace.scale) for kept in shown], False, None)


async def show_product(request: Request, desk: Desk) -> ProductView:
    """One product."""
    Params(request).check()
    workspace = request.caller.workspace
    kept = await desk.products.get(workspace.id, named(request, "id", "product"))
    if kept is None:
        raise not_found("product")
    return write_product(kept, workspace.scale)


# Writing


_put, _archive = Form(ProductRequest, "tiers", "top_ups"), Form(ArchiveProductRequest)
_tier, _top_up = Form(TierRequest), Form(TopUpRequest)
_decode_parts = msgspec.json.Decoder(list[Raw]).decode


async def put_product(request: Request, desk: Desk) -> Reply:
    """Make or change a product."""
    fields, id = _put.read(request), named(request, "id", "product")
    product = read_product(fields, id)
    under = once(fields, product=msgspec.to_builtins(product))
    try:
        kept = await desk.products.put(request.caller.workspace.id, product, act_of(request, desk), under)
    except AccessError as error:
        if error.code == "invalid":
            wrong = _wrong(ProductProblem(error.field, str(error).removeprefix(f"{error.field} ")))
            raise Fault("invalid", [wrong]) from error
        raise told(error) from error
    return answer(under, write_product(kept, request.caller.workspace.scale))


def read_product(fields: Fields, id: str) -> Product:
    """A product out of its fields; what is wrong with it is noted there."""
    product = Product(
        id=id,
        name=fields.text_if("name"),
        tiers=tuple(_read_tier(part) for part in _parts(fields, "tiers", _tier)),
        top_ups=tuple(_read_top_up(part) for part in _parts(fields, "top_ups", _top_up)),
    )
    if not fields.wrong:
        fields.wrong += map(_wrong, product_problems(product))
    return product


def _wrong(problem: ProductProblem) -> Wrong:
    """What is wrong, where it stands in the request."""
    if problem.field == "id":
        return Wrong(parameter="id", detail=problem.message)
    pointer = problem.field.replace("[", "/").replace("]", "").replace(".", "/")
    return Wrong(pointer=f"/{pointer}", detail=problem.message)


def _parts(fields: Fields, name: str, form: Form) -> Iterator[Fields]:
    """The objects of a list, each by its fields; what is found wrong with them is noted."""
    raw = getattr(fields.values, name)
    text = b"null" if raw is UNSET else bytes(raw)
    if text == b"null":
        return
    items = _decode_parts(text) if text[:1] == b"[" else None
    if items is None or len(items) > MOST_OFFERS:
        fields.refuse(name, f"must be a list of at most {MOST_OFFERS} objects")
        return
    for number, item in enumerate(items):
        if bytes(item)[:1] != b"{":
            fields.refuse(name, "must be an object", str(number))
            continue
        part = form.read_part(item, fields.request, f"{fields.pointer(name)}/{number}")
        yield part
        fields.wrong += part.wrong


def _read_tier(part: Fields) -> Tier:
    if part.values.rank in (UNSET, None):
        part.refuse("rank", "is missing: which tier is above which")
    return Tier(**_read_sold(part), plan=part.text("plan"), rank=part.whole("rank", 0, MOST_RANK, 0))


def _read_top_up(part: Fields) -> TopUp:
    return TopUp(
        **_read_sold(part),
        credits=part.amount("credits"),
        category=part.choice("category", CATEGORIES, "paid"),
        priority=part.whole("priority", 0, 100, DEFAULT_PRIORITY),
        expires_days=part.whole("expires_days", 1, MOST_DAYS, 0) or None,
    )


def _read_sold(part: Fields) -> dict[str, Any]:
    """What tiers and top-ups have in common."""
    texts = {name: part.text_if(name) for name in ("name", "price", "currency", "description")}
    return {"id": part.text("id"), "sold_as": _sold_as(part), **texts}


def _sold_as(part: Fields) -> dict[Provider, str]:
    found = part.names("sold_as", len(PROVIDERS)) or {}
    for name in found:
        if name not in PROVIDERS:
            part.refuse("sold_as", f"has no {name[:40]!r}; there are {', '.join(PROVIDERS)}")
    return cast(dict[Provider, str], found)


async def archive_product(request: Request, desk: Desk) -> Reply:
    """Take a product off sale."""
    fields, id = _archive.read(request), named(request, "id", "product")
    under, act = once(fields, product=id), act_of(request, desk)
    try:
        kept = await desk.products.archive(request.caller.workspace.id, id, act, under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, write_product(kept, request.caller.workspace.scale))


_TIER: Final[dict[str, Any]] = {
    "id": "professional", "name": "Professional", "plan": "professional", "rank": 1, "price": "29.00",
    "currency": "EUR", "sold_as": {"digistore24": "500001", "stripe": "price_1PxProfessional"},
}  # fmt: skip
_TOP_UP: Final[dict[str, Any]] = {
    "id": "pack-500", "name": "500 credits", "credits": "500", "price": "9.00", "currency": "EUR",
    "sold_as": {"digistore24": "500011"},
}  # fmt: skip
_EXAMPLE: Final[dict[str, Any]] = {
    "id": "assistant", "name": "Assistant", "tiers": [{**_TIER, "description": None}],
    "top_ups": [{**_TOP_UP, "category": "paid", "priority": 50, "expires_days": None, "description": None}],
    "created_at": "2026-01-01T12:00:00.000000Z", "updated_at": "2026-01-01T12:00:00.000000Z", "archived_at": None,
}  # fmt: skip
PRODUCT: Final[Parameter] = in_path("id", "The product's id: your own name for it, without a slash.", "assistant")

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/products",
        operation_id="listProducts",
        summary="The products of the workspace",
        description="All of them, by id, with what is sold of each.",
        scope="read",
        request=None,
        answer=Listed[ProductView],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset(),
        act=list_products,
        parameters=(parameter("archived", "With those that are archived.", enum=["true", "false"], example="true"),),
    ),
    Endpoint(
        method="GET",
        path="/v1/products/{id}",
        operation_id="showProduct",
        summary="One product",
        description="By its id.",
        scope="read",
        request=None,
        answer=ProductView,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"product_not_found"}),
        act=show_product,
        parameters=(PRODUCT,),
    ),
    Endpoint(
        method="PUT",
        path="/v1/products/{id}",
        operation_id="putProduct",
        summary="Make a product, or change it",
        description="As a whole: what is left out is gone. The plans of its tiers must be there, and a provider's "
        "product is one tier or top-up only. A product that was archived is on sale again.",
        scope="admin",
        request=ProductRequest,
        answer=ProductView,
        example={"name": "Assistant", "tiers": [_TIER], "top_ups": [_TOP_UP]},
        answered=_EXAMPLE,
        codes=frozenset({"product_not_found"}),
        act=put_product,
        keyed=True,
        parameters=(PRODUCT,),
    ),
    Endpoint(
        path="/v1/products/{id}/archive",
        operation_id="archiveProduct",
        summary="Take a product off sale",
        description="Nobody is offered it from now on. What is paid for it all the same still counts, renewals too.",
        scope="admin",
        request=ArchiveProductRequest,
        answer=ProductView,
        example={},
        answered={**_EXAMPLE, "archived_at": "2026-06-01T12:00:00.000000Z"},
        codes=frozenset({"product_not_found"}),
        act=archive_product,
        keyed=True,
        parameters=(PRODUCT,),
    ),
)
