"""What an automatic top-up buys: as much as brings a balance to the threshold, in one payment; and why nobody could."""

from decimal import Decimal
from typing import Final

from msgspec import Struct

from .auto_top_up import AutoTopUp, Problem
from .catalogue import KeptProduct, TopUp, is_currency, read_price

MOST_QUANTITY: Final = 1_000_000


class Bought(Struct, frozen=True):
    """What closes a gap, in one payment."""

    quantity: int
    credits: int
    price: str
    currency: str


class Unbuyable(Struct, frozen=True):
    """Why nothing can be bought."""

    reason: str
    message: str


def to_buy(
    settings: AutoTopUp, sold: TopUp | None, gap: int, *, scale: int, unit: str, decimals: int
) -> Bought | Unbuyable:  # fmt: skip
    """As much as brings the balance to the threshold, and no less than is set."""
    if settings.offer:
        if sold is None:
            return Unbuyable("offer_not_found", f"there is no top-up {settings.offer!r} on sale")
        quantity = -(-max(gap, 1) // sold.credits)
        if quantity > MOST_QUANTITY:
            return Unbuyable("too_many", f"it would take {quantity:,} of {settings.offer!r} to reach the threshold")
        price = read_price(sold.price) if sold.price else None
        return Bought(
            quantity, quantity * sold.credits, "" if price is None else format(price * quantity, "f"), sold.currency
        )  # fmt: skip
    if not is_currency(unit.upper()):
        return Unbuyable("no_currency", f"the workspace counts {unit!r}, which is no money: name an offer")
    # Up to the next coin, of which the scale may know less.
    decimals = min(decimals, scale)
    coins = -(-max(settings.amount, gap) // 10 ** (scale - decimals))
    price = Decimal(coins).scaleb(-decimals)
    return Bought(1, coins * 10 ** (scale - decimals), format(price, "f"), unit.upper())


def sale_problem(wanted: AutoTopUp, kept: KeptProduct | None, unit: str) -> Problem | None:
    """Why nobody could buy what is set; `kept` is the product that its offer names, `unit` what the workspace counts.
    Better told now than when somebody runs dry."""
    if not wanted.offer:
        money = is_currency(unit.upper())
        return None if money else Problem("amount", f"is for a workspace that counts money, and not {unit!r}")
    id = wanted.offer.partition("/")[2]
    sold = next((each for each in kept.product.top_ups if each.id == id), None) if kept else None
    if kept is None or sold is None or kept.archived_at is not None:
        return Problem("offer", f"must be a top-up on sale: there is no {wanted.offer!r}", "offer_not_found")
    if wanted.provider == "stripe" and not sold.price:
        return Problem("offer", "must have a price in the catalogue, which Stripe is asked for")
    if wanted.provider == "digistore24" and "digistore24" not in sold.sold_as:
        return Problem("offer", "must be sold by Digistore24: `sold_as` in the catalogue has no product there")
    return None
