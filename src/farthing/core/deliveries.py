"""Deliveries: what becomes of an event on its way to an endpoint, after each try; pure.

What is not taken (any answer but 2xx, a redirect among them, or none at all) is tried again, ten times in all over
three days, each time a little later by chance than the ladder says. A receiver that asks for a pause gets it. One that
says it is gone, or has failed for five days on end, is not tried any more until somebody says so.
"""

from typing import Final

from msgspec import Struct

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
LADDER: Final = (
    0, 5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR
)  # fmt: skip
"""How long after the one before each try comes; the first at once."""
CHANCES: Final = 1_000
"""A chance is drawn from 0 to one less."""
LONGEST_PAUSE: Final = 24 * HOUR
"""Of what a receiver asks for."""
FAILING: Final = 5 * DAY
"""Who has taken nothing for so long is disabled."""
ASKS_FOR_A_PAUSE: Final = (429, 502, 503, 504)
GONE: Final = 410


class Answer(Struct, frozen=True):
    """What came of a try."""

    status: int | None
    """Of the response; None where there was none."""
    pause: int | None = None
    """For so long the receiver wants to be left alone; None: it says nothing of that."""

    @property
    def taken(self) -> bool:
        """The receiver has it."""
        return self.status is not None and 200 <= self.status < 300


class Delivered(Struct, frozen=True):
    """It is done."""


class Again(Struct, frozen=True):
    """It is tried again then."""

    at: int
    pause_until: int = 0
    """Until then the receiver wants to be left alone; 0: it said nothing of that."""


class GiveUp(Struct, frozen=True):
    """It is not tried any more; somebody may have it sent again."""


class Disable(Struct, frozen=True):
    """It is not tried any more, and neither is the endpoint."""

    reason: str
    """`gone`, or `failing`."""


Outcome = Delivered | Again | GiveUp | Disable


def outcome_of(answer: Answer, attempt: int, at: int, failing_since: int | None, chance: int) -> Outcome:
    """What is to be done after a try, the `attempt`th (from 1), that ended then; since when the endpoint has taken
    nothing (None: it did the last time); and a chance."""
    if answer.taken:
        return Delivered()
    if answer.status == GONE:
        return Disable("gone")
    if failing_since is not None and at - failing_since >= FAILING:
        return Disable("failing")
    if attempt >= len(LADDER):
        return GiveUp()
    pause = min(answer.pause, LONGEST_PAUSE) if answer.pause and answer.status in ASKS_FOR_A_PAUSE else None
    wait = max(LADDER[attempt], pause or 0)
    return Again(at + wait + wait * chance // (10 * CHANCES), 0 if pause is None else at + pause)
