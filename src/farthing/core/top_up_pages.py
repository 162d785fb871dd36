"""Pages that buyers were sent to by automatic top-ups: when nobody shall pay on one any more. A page is given up in the
commit that says so, and closed at its provider after that; until it is closed, was paid, or
can't live any more, nothing else is bought.
"""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from .auto_top_up import AutoTopUp
from .top_up_attempts import Attempt, Standing


class Closed(Struct, frozen=True, kw_only=True):
    """What has come of closing a page."""

    state: Literal["closed", "paid", "open"]
    """closed: nobody can pay on it; paid: somebody had, or his bank is about to say so; open: nobody knows."""
    payment: str = ""
    """The provider's name of what was paid."""


def given_up(s: Standing) -> Standing:
    """Nobody shall pay any more on the page that the buyer was sent to."""
    closing = (*s.closing, s.page) if s.page not in ("", *s.closing) else s.closing
    return replace(s, url="", page="", closing=closing)


def without_page(s: Standing, id: str) -> Standing:
    """An attempt's page is closed or paid: nothing is to be done about it."""
    return replace(s, page="" if s.page == id else s.page, closing=tuple(each for each in s.closing if each != id))


def is_of_old(settings: AutoTopUp | None, attempt: Attempt) -> bool:
    """Whether what is sold on an attempt's page is not what is set any more."""
    if settings is None or not settings.enabled:
        return True
    bought = (attempt.provider, attempt.offer, attempt.amount)
    return bought != (settings.provider, settings.offer, settings.amount)
