"""Products and prices; and what a line of a checkout or of a subscription names."""

from typing import Final

from .calls import Call, Route, listing, retrieving
from .params import Json, Params, Refused
from .world import World

INTERVALS: Final = ("day", "week", "month", "year")
MOST_AMOUNT: Final = 99_999_999
_LEAST: Final = {"usd": 50, "eur": 50, "gbp": 30, "jpy": 50, "huf": 17_500}
"""The least that is taken in some currencies, in minor units."""
_ENDS_IN_ZERO: Final = ("bhd", "jod", "kwd", "omr", "tnd")


def check_amount(amount: int, currency: str, param: str = "amount") -> None:
    """Refuse what Stripe does not take as a payment."""
    least = _LEAST.get(currency, 1)
    if amount < least:
        raise Refused(f"Amount must be at least {least} {currency}", code="amount_too_small", param=param)
    check_step(amount, currency, param)


def check_step(amount: int, currency: str, param: str) -> None:
    """Refuse what is too much, or too fine."""
    if amount > MOST_AMOUNT:
        raise Refused(f"Amount must be no more than {MOST_AMOUNT}", code="amount_too_large", param=param)
    if currency in _ENDS_IN_ZERO and amount % 10:
        raise Refused(f"Amounts in {currency} must end in 0", code="parameter_invalid_integer", param=param)


# Products


def make_product(world: World, name: str, metadata: Json | None = None, description: str | None = None) -> Json:
    """A new product."""
    return world.make(
        "product", "prod", active=True, default_price=None, description=description, images=[], marketing_features=[],
        name=name, metadata=metadata or {}, package_dimensions=None, shippable=None, statement_descriptor=None,
        tax_code=None, type="service", unit_label=None, updated=world.clock.now(), url=None,
    )  # fmt: skip


def create_product(call: Call) -> Json:
    """POST /v1/products"""
    params = call.params
    return make_product(call.world, params.needed("name"), params.metadata(), params.text("description"))


# Prices


def make_price(world: World, params: Params, product: str) -> Json:
    """A new price."""
    currency, amount = params.currency("currency"), params.number("unit_amount")
    if amount < 0:
        path = params.path("unit_amount")
        raise Refused("Invalid non-negative integer", code="parameter_invalid_integer", param=path)
    check_step(amount, currency, params.path("unit_amount"))
    every = _recurring(params) if "recurring" in params else None
    return world.make(
        "price", "price", active=True, billing_scheme="per_unit", currency=currency, custom_unit_amount=None,
        lookup_key=None, nickname=None, product=product, recurring=every, tax_behavior="unspecified", tiers_mode=None,
        transform_quantity=None, type="one_time" if every is None else "recurring", unit_amount=amount,
        unit_amount_decimal=str(amount),
    )  # fmt: skip


def _recurring(params: Params) -> Json:
    told = params.inner("recurring")
    interval, count = told.one_of("interval", INTERVALS, ""), told.whole("interval_count")
    if count is not None and not 1 <= count <= 1_095:
        raise Refused("interval_count is from 1 to three years", param=told.path("interval_count"))
    more = {"meter": None, "trial_period_days": None, "usage_type": "licensed"}
    return {"interval": interval, "interval_count": 1 if count is None else count, **more}


def create_price(call: Call) -> Json:
    """POST /v1/prices"""
    made = make_price(call.world, call.params, product_of(call.world, call.params))
    made["metadata"] = call.params.metadata()
    made["lookup_key"], made["nickname"] = call.params.text("lookup_key"), call.params.text("nickname")
    return made


def product_of(world: World, params: Params) -> str:
    """The product that a price names, or brings along."""
    if "product_data" in params:
        told = params.inner("product_data")
        return str(make_product(world, told.needed("name"), told.metadata(), told.text("description"))["id"])
    return str(world.find("product", params.needed("product"), "product")["id"])


# Lines


def line_of(world: World, params: Params) -> Json:
    """A line that names a price, or brings one along: price and quantity."""
    if "price_data" in params:
        data = params.inner("price_data")
        price = make_price(world, data, product_of(world, data))
    else:
        price = world.find("price", params.needed("price"), params.path("price"))
        if not price["active"]:
            raise Refused("The price specified is inactive.", param=params.path("price"))
    quantity = params.whole("quantity")
    if quantity is not None and quantity < 1:
        raise Refused("Quantity must be at least 1", param=params.path("quantity"))
    return {"price": price, "quantity": 1 if quantity is None else quantity}


def total_of(lines: list[Json]) -> int:
    """What all lines come to."""
    return sum(line["price"]["unit_amount"] * line["quantity"] for line in lines)


_PRICE: Final = (
    "currency",
    "unit_amount",
    "recurring",
    "product",
    "product_data",
    "metadata",
    "lookup_key",
    "nickname",
)
ROUTES: Final = (
    Route("POST", "/v1/products", create_product, ("name", "metadata", "description")),
    listing("/v1/products", "product"),
    retrieving("/v1/products/{id}", "product"),
    Route("POST", "/v1/prices", create_price, _PRICE),
    listing("/v1/prices", "price", "product", "type", "currency"),
    retrieving("/v1/prices/{id}", "price"),
)
