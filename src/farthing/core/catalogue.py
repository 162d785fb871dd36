"""The catalogue: AI products as customers buy them, with tiers (a plan each) and top-ups; the document, what makes it
right, and whose product of which provider is what.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

from msgspec import Struct

from .amounts import MAX_AMOUNT
from .commands import text_error
from .records import Category

Provider = Literal["digistore24", "stripe"]
PROVIDERS: Final[tuple[Provider, ...]] = ("digistore24", "stripe")
MOST_OFFERS: Final = 100
"""Of one product."""
MOST_RANK: Final = 1_000_000
MOST_DAYS: Final = 36_600
MOST_PRICE: Final = 40
"""Characters."""


class Tier(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """A plan as it is sold."""

    id: str
    plan: str
    """What it gives, and when."""
    rank: int
    """Which tier is above which."""
    name: str = ""
    price: str = ""
    """What a period costs, as decimal text; without one the provider's own price counts."""
    currency: str = ""
    sold_as: dict[Provider, str] = {}
    """The product (at Stripe: the price) of each provider that is this tier."""
    description: str = ""


class TopUp(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Credits as they are sold."""

    id: str
    credits: int
    """In smallest units."""
    name: str = ""
    price: str = ""
    currency: str = ""
    category: Category = "paid"
    priority: int = 50
    expires_days: int | None = None
    """How long they live; None is for ever."""
    sold_as: dict[Provider, str] = {}
    description: str = ""


class Product(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """An AI product: what customers have one tier of, and buy top-ups for."""

    id: str
    name: str = ""
    tiers: tuple[Tier, ...] = ()
    top_ups: tuple[TopUp, ...] = ()

    def offers(self) -> Iterator["Tier | TopUp"]:
        """All that is sold of it."""
        yield from self.tiers
        yield from self.top_ups


class KeptProduct(Struct, frozen=True):
    """A product with its dates."""

    product: Product
    created_at: int
    updated_at: int
    archived_at: int | None = None
    """Nobody is offered it since; what is paid for it still counts."""


class Offer(Struct, frozen=True):
    """Something that is sold, and the product that it is of."""

    product: str
    sold: Tier | TopUp

    @property
    def name(self) -> str:
        """What it is called among all offers of a workspace."""
        return f"{self.product}/{self.sold.id}"


class Catalogue:
    """All products of a workspace, found by the names that others have for them."""

    def __init__(self, products: Iterable[Product]) -> None:
        self.products = {product.id: product for product in products}
        offers = [Offer(p.id, sold) for p in self.products.values() for sold in p.offers()]
        self._by_name = {offer.name: offer for offer in offers}
        self._by_provider: dict[tuple[str, str], Offer] = {
            (provider, name): offer for offer in offers for provider, name in offer.sold.sold_as.items()
        }

    def named(self, name: str) -> Offer | None:
        """The offer of that name: `product/tier` or `product/top-up`."""
        return self._by_name.get(name)

    def sold_as(self, provider: str, name: str) -> Offer | None:
        """What a provider's product is."""
        return self._by_provider.get((provider, name))


class ProductProblem(Struct, frozen=True):
    """What is wrong with a product."""

    field: str
    message: str


def product_problems(product: Product) -> Iterator[ProductProblem]:
    """All that is wrong with a product by itself; a field is such as `tiers[0].plan`."""
    if wrong := text_error(product.id) or _slash(product.id):
        yield ProductProblem("id", wrong)
    if product.name and (wrong := text_error(product.name)):
        yield ProductProblem("name", wrong)
    if len(product.tiers) + len(product.top_ups) > MOST_OFFERS:
        yield ProductProblem("tiers", f"must be at most {MOST_OFFERS}, top-ups included")
    for place, offer in placed(product):
        found = _tier_problems(offer) if isinstance(offer, Tier) else _top_up_problems(offer)
        yield from (ProductProblem(f"{place}.{each.field}", each.message) for each in found)
    yield from _twice(product)


def placed(product: Product) -> Iterator[tuple[str, Tier | TopUp]]:
    """All that is sold of it, and where it stands: `tiers[0]`, `top_ups[2]`."""
    yield from ((f"tiers[{number}]", tier) for number, tier in enumerate(product.tiers))
    yield from ((f"top_ups[{number}]", top_up) for number, top_up in enumerate(product.top_ups))


def _tier_problems(tier: Tier) -> Iterator[ProductProblem]:
    yield from _offer_problems(tier)
    if wrong := text_error(tier.plan):
        yield ProductProblem("plan", wrong)
    if not 0 <= tier.rank <= MOST_RANK:
        yield ProductProblem("rank", f"must be a whole number from 0 to {MOST_RANK:,}")


def _top_up_problems(top_up: TopUp) -> Iterator[ProductProblem]:
    yield from _offer_problems(top_up)
    if not 0 < top_up.credits < MAX_AMOUNT:
        yield ProductProblem("credits", "must be above zero" if top_up.credits <= 0 else "is too large")
    if not 0 <= top_up.priority <= 100:
        yield ProductProblem("priority", "must be a whole number from 0 to 100; the lower burns first")
    if top_up.expires_days is not None and not 1 <= top_up.expires_days <= MOST_DAYS:
        yield ProductProblem("expires_days", f"must be a whole number from 1 to {MOST_DAYS:,}")


def _offer_problems(offer: Tier | TopUp) -> Iterator[ProductProblem]:
    if wrong := text_error(offer.id) or _slash(offer.id):
        yield ProductProblem("id", wrong)
    for name, text in (("name", offer.name), ("description", offer.description)):
        if text and (wrong := text_error(text)):
            yield ProductProblem(name, wrong)
    if bool(offer.price) != bool(offer.currency):
        yield ProductProblem("currency", "must go with a price, and a price with its currency")
    if offer.price and (len(offer.price) > MOST_PRICE or not read_price(offer.price)):
        yield ProductProblem("price", 'must be decimal text above zero, such as "19.90"')
    if offer.currency and not is_currency(offer.currency):
        yield ProductProblem("currency", "must be the three capitals of a currency, such as EUR")
    for provider, name in offer.sold_as.items():
        if wrong := text_error(name):
            yield ProductProblem(f"sold_as.{provider}", wrong)


def _twice(product: Product) -> Iterator[ProductProblem]:
    """What one tier or top-up alone may have, where another one before it has it."""
    seen: set[tuple[str, str]] = set()
    for place, offer in placed(product):
        own = [("id", offer.id, "must be of one tier or top-up only")]
        if isinstance(offer, Tier):
            own.append(("rank", str(offer.rank), "must be of one tier only"))
        own += [(f"sold_as.{p}", name, "must be one tier or top-up only") for p, name in offer.sold_as.items()]
        for field, name, why in own:
            if (field, name) in seen:
                yield ProductProblem(f"{place}.{field}", f"{why}: {name} is there twice")
            seen.add((field, name))


def read_price(text: str) -> Decimal | None:
    """Money as decimal text; None where it is none, or below zero."""
    if not text.isascii() or not text.replace(".", "", 1).isdigit() or text.startswith(".") or text.endswith("."):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def is_currency(text: str) -> bool:
    """Whether it has the form of an ISO 4217 code."""
    return len(text) == 3 and text.isascii() and text.isalpha() and text.isupper()


def _slash(text: str) -> str | None:
    return "must have no slash" if "/" in text else None
