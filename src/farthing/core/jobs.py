"""Jobs: rows of one table, by which time becomes work that any process may do.

A job that *stands* is of the whole database (workspace and subject are empty) and is due again and again; an *item* is
of one account, and goes when it is done. What fails is tried again, later each time, and is parked in the end: it then
waits until somebody says `retry`.
"""

from typing import Final, Literal

from msgspec import Struct

ACCOUNT: Final = "account"
"""Items: what time does to an account, lapses and ends of holds. They ride in the commits that make them due."""
RENEW: Final = "renew"
"""Items: subscriptions whose renewal failed."""
TOP_UP: Final = "top_up"
"""Items: accounts below the threshold of their automatic top-up. They ride in the commits that bring them there."""
ITEMS: Final = (ACCOUNT, RENEW, TOP_UP)
"""All kinds of items, in the order in which they are listed."""

MOST_ATTEMPTS: Final = 10
"""What has failed so often is parked."""
FIRST_US: Final = 30_000_000
LONGEST_US: Final = 6 * 3_600_000_000
GROWS: Final = 3
CHANCES: Final = 1_024
SLACK_US: Final = 60_000_000
"""Clocks of two processes may differ by less than this; a jump by more is noticed."""
NEVER: Final = 1 << 62
"""When what is parked may be tried again by itself."""
ALERT_RATIO: Final = 10
"""Failures above this part of the successes are raised as an alert."""

State = Literal["waiting", "due", "running", "failed", "parked"]
STATES: Final[tuple[State, ...]] = ("waiting", "due", "running", "failed", "parked")
FAILING: Final = "jobs.failing"
PARKED: Final = "jobs.parked"
"""Types of events."""


class Job(Struct, frozen=True, kw_only=True):
    """A row of the table."""

    kind: str
    workspace: str
    subject: str
    """The account; empty where the job stands."""
    due_at: int
    attempts: int = 0
    """How often in a row it failed."""
    locked_until: int = 0
    """Nobody else takes it before."""
    last_error: str | None = None
    parked_at: int | None = None
    ran_at: int | None = None
    outcome: str | None = None
    """What came of it the last time, in words."""

    @property
    def stands(self) -> bool:
        """Whether it is done again and again."""
        return not self.workspace

    @property
    def next_at(self) -> int | None:
        """When it is tried next; None where it waits for somebody."""
        return None if self.parked_at is not None else max(self.due_at, 0 if self.stands else self.locked_until)

    def state(self, at: int) -> State:
        """What it is doing at that instant."""
        if self.parked_at is not None:
            return "parked"
        locked = self.locked_until > at
        if locked and (self.stands or not self.attempts):
            return "running"
        if self.attempts:
            return "failed"
        return "due" if self.due_at <= at else "waiting"


def back_off(attempts: int, chance: int) -> int:
    """How long to wait after so many failures: three times as long each time, with a part by chance (0 to CHANCES), so
    that what failed together is not tried together."""
    wait = FIRST_US
    for _ in range(1, min(attempts, MOST_ATTEMPTS)):
        wait = min(wait * GROWS, LONGEST_US)
    return min(wait + wait * chance // (4 * CHANCES), LONGEST_US)


def is_to_come(until: int, at: int, longest_us: int) -> bool:
    """Whether a job has to wait until then. What lies further ahead than anybody puts a job off was set by a clock that
    was ahead itself, and has gone back since: it counts for nothing."""
    return at < until <= at + longest_us + SLACK_US


def gives_up(attempts: int) -> bool:
    """Whether it is not tried again by itself."""
    return attempts >= MOST_ATTEMPTS


def alarming(done: int, failed: int) -> bool:
    """Failures are above a tenth of the successes."""
    return failed * ALERT_RATIO > done
