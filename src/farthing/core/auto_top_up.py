"""Automatic top-ups, as they are set on an account: what is bought without the buyer, below which balance, and up to
how much. A decision looks whether the account has just fallen below; everything after that is in `core.top_ups`.
"""

from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from .amounts import MAX_AMOUNT

MOST_OFFER: Final = 511
MOST_ORDER: Final = 255
MOST_COOL_DOWN: Final = 43_200
"""Minutes: 30 days."""


class AutoTopUp(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The settings. Amounts are credits in smallest units."""

    provider: Literal["digistore24", "stripe"]
    threshold: int
    """A balance below it is topped up."""
    offer: str = ""
    """What is bought, `product/top-up`: as many of it as close the gap, in one payment."""
    amount: int = 0
    """In place of an offer: credits for money, one for one, or the gap where that is more."""
    cap_day: int | None = None
    """The most that is bought in a day; None is no limit."""
    cap_month: int | None = None
    enabled: bool = True
    order: str = ""
    """Which earlier order is charged again, where a provider charges orders; empty: the one that is billed, or the
    newest."""
    cool_down_minutes: int = 60
    """After a failure; after the second twice as long."""


class Problem(Struct, frozen=True):
    """What is wrong with settings."""

    field: str
    message: str
    code: str = "invalid"


def problems(a: AutoTopUp) -> Iterator[Problem]:
    """All that is wrong with settings by themselves."""
    if not 0 <= a.threshold < MAX_AMOUNT:
        yield Problem("threshold", "must be zero or above, and not too large")
    if bool(a.offer) == bool(a.amount):
        yield Problem("offer", "must be given, or an amount in its place, and not both")
    if a.offer and (len(a.offer) > MOST_OFFER or "/" not in a.offer):
        yield Problem("offer", "must be product/top-up, such as assistant/pack-500")
    if not 0 <= a.amount < MAX_AMOUNT:
        yield Problem("amount", "must be above zero, and not too large")
    elif a.amount and a.provider == "digistore24":
        yield Problem("amount", "is not for Digistore24, which sells products: name an offer")
    for field, cap in (("cap_day", a.cap_day), ("cap_month", a.cap_month)):
        if cap is not None and not 0 <= cap < MAX_AMOUNT:
            yield Problem(field, "must be zero (nothing is bought) or above, and not too large")
    if len(a.order) > MOST_ORDER:
        yield Problem("order", f"must have at most {MOST_ORDER} characters")
    elif a.order and a.provider != "digistore24":
        yield Problem("order", "is for Digistore24, which charges an earlier order again")
    if not 1 <= a.cool_down_minutes <= MOST_COOL_DOWN:
        yield Problem("cool_down_minutes", f"must be a whole number from 1 to {MOST_COOL_DOWN:,}")


def falls_below(a: AutoTopUp, before: int, after: int) -> bool:
    """Whether a decision has brought a balance below the threshold."""
    return a.enabled and after < a.threshold <= before


def is_set_anew(had: AutoTopUp | None, wanted: AutoTopUp | None, balance: int, frozen: bool) -> bool:
    """Whether settings that were just put have the account looked at: it is below, or it had others before, by which
    its buyer may have been sent to a page."""
    return had not in (None, wanted) or (wanted is not None and not frozen and is_wanting(wanted, balance))


def is_wanting(a: AutoTopUp, balance: int) -> bool:
    """Whether a balance is to be topped up."""
    return a.enabled and balance < a.threshold
