"""Figures: sums and prices as people read them: exact decimal text in the workspace's unit, percentages, averages."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from .amounts import write_amount
from .costs import COST_DECIMALS
from .exact import HUNDRED, half_even_ratio, plain, subtract
from .rollup import Sums
from .usage import Priced

PERCENT_DECIMALS: Final = 2
_COUNTS: Final = ("requests", "input_tokens", "output_tokens", "tokens", "unpriced", "uncosted")


def rounded(priced: Priced) -> str:
    """What rounding added to a price, or took off."""
    return next((line.amount for line in priced.lines if line.kind == "rounding"), "0")


def write_cost(cost: int) -> str:
    """What a provider asks, in the workspace's unit."""
    return write_amount(cost, COST_DECIMALS)


def margin(amount: int, cost: int, scale: int) -> Decimal:
    """What is left of an amount after what the provider asks."""
    return subtract(Decimal(amount).scaleb(-scale), Decimal(cost).scaleb(-COST_DECIMALS))


def percent(part: Decimal, amount: int, scale: int) -> str | None:
    """A part of an amount in percent, rounded half-even to two decimals; None where the amount is not above zero."""
    if amount <= 0:
        return None
    numerator, denominator = (part * HUNDRED).scaleb(PERCENT_DECIMALS).as_integer_ratio()
    return write_amount(half_even_ratio(numerator * 10**scale, denominator * amount), PERCENT_DECIMALS)


def profit(amount: int, cost: int, scale: int) -> dict[str, str | None]:
    """Cost and margin of an amount."""
    left = margin(amount, cost, scale)
    return {"cost": write_cost(cost), "margin": plain(left), "margin_percent": percent(left, amount, scale)}


def used(sums: Sums, scale: int) -> dict[str, Any]:
    """What was used, and what was charged for it, by the time of use."""
    charged = write_amount(sums.charged, scale)
    return {**_counts(sums), "charged": charged, **profit(sums.charged, sums.cost, scale)}


def average(sums: Sums, scale: int) -> str:
    """What a request was charged on average, rounded half-even to the workspace's decimals; 0 without requests."""
    return write_amount(half_even_ratio(sums.charged, sums.requests), scale) if sums.requests else "0"


def booked(sums: Sums, scale: int) -> dict[str, Any]:
    """What came in, by the time of booking; requests and tokens by the time of use."""
    return {
        "revenue": write_amount(sums.revenue, scale),
        "refunded": write_amount(sums.refunded, scale),
        **profit(sums.revenue, sums.booked_cost, scale),
        "charges": sums.bookings,
        **_counts(sums),
    }


def _counts(sums: Sums) -> dict[str, int]:
    return {name: getattr(sums, name) for name in _COUNTS}


def total_of(parts: Iterable[Sums]) -> Sums:
    """All of them together."""
    total = Sums()
    for part in parts:
        total.add(part)
    return total
