"""Time: where it is read, how it is faked, and the guard that never lets it go back.

Wall time is microseconds since the epoch. Monotonic time is seconds from an arbitrary start, good for
differences only. A wall clock can be set by hand or by a daemon; a ledger must not believe every value it
is told.
"""

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from msgspec import Struct

SECOND_US = 1_000_000
JUMP_US = 60 * SECOND_US
"""A wall clock that moved this much further, or less far, than the monotonic one has jumped."""
AGREE_US = SECOND_US
"""How far apart two reads may be and still agree."""
AGREE_AFTER_SECONDS = 10
FOLLOW_EVERY_SECONDS = 3600
"""Small corrections are forgotten this often: a second a day is not a jump after two months."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WAY_FADES = 1.1
"""How much longer a way may be with each observation that was not believed: clocks drift."""


class Clock(Protocol):
    """Whatever tells the time. Nothing else in the program asks the system for it."""

    def now_us(self) -> int:
        """Wall time."""
        ...

    def monotonic(self) -> float:
        """Seconds that pass whatever is done to the wall clock."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_us(self) -> int:
        """Wall time."""
        return time.time_ns() // 1000

    if sys.platform == "linux":

        def monotonic(self) -> float:
            """Seconds since boot, sleep included.

            The usual monotonic clock stands still in a suspended machine: each waking would look like a jump.
            """
            return time.clock_gettime(time.CLOCK_BOOTTIME)

    else:

        def monotonic(self) -> float:
            """Seconds since some moment."""
            return time.monotonic()


class DatabaseClock(SystemClock):
    """The clock of a database that several machines share: theirs all differ, so each follows the one in the middle.

    Between two observations it goes by this machine's monotonic clock. An observation is as exact as its way was
    short; one whose way took long is not believed while there is a better one.
    """

    def __init__(self) -> None:
        self._offset_us = time.time_ns() // 1000 - round(self.monotonic() * SECOND_US)
        self._way = float("inf")

    def now_us(self) -> int:
        """The database's time."""
        return round(self.monotonic() * SECOND_US) + self._offset_us

    def observe(self, now_us: int, asked: float, answered: float) -> None:
        """The database said `now_us` to a question asked and answered at these times of `monotonic`."""
        way = answered - asked
        offset = now_us - round((asked + way / 2) * SECOND_US)
        # A worse observation still tells when the clock was set to another time; else the better one fades slowly.
        if way <= self._way or abs(offset - self._offset_us) > way * SECOND_US:
            self._offset_us, self._way = offset, way
        else:
            self._way *= WAY_FADES


class FakeClock:
    """A clock that stands still until it is told to move: for tests and simulations."""

    def __init__(self, now_us: int = 1_767_225_600 * SECOND_US, monotonic: float = 1000.0) -> None:
        self._wall_us = now_us
        self._mono_us = round(monotonic * SECOND_US)

    def now_us(self) -> int:
        """Wall time."""
        return self._wall_us

    def monotonic(self) -> float:
        """Seconds that passed, jumps of the wall clock not counted."""
        return self._mono_us / SECOND_US

    def advance(
        self, seconds: float = 0, *, us: int = 0, minutes: float = 0, hours: float = 0, days: float = 0
    ) -> None:  # fmt: skip
        """Time passes: both clocks move alike."""
        more = timedelta(minutes=minutes, hours=hours, days=days)
        passed = round(seconds * SECOND_US) + us + more // timedelta(microseconds=1)
        if passed < 0:
            raise ValueError(f"time does not pass backwards ({passed} us); jump() sets the wall clock back")
        self._wall_us += passed
        self._mono_us += passed

    def set(self, now_us: int) -> None:
        """Let time pass until `now_us`."""
        self.advance(us=now_us - self._wall_us)

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock, forward or back; no time passes."""
        self._wall_us += round(seconds * SECOND_US)


class VirtualClock(FakeClock):
    """A clock of one's own, for a ledger in this process: it stands still until it is told to go on. What happens in 90
    days is seen in a moment."""

    def __init__(self, at: datetime | None = None) -> None:
        """Begin at that time, which has a zone; by default now."""
        begun = datetime.now(UTC) if at is None else at
        if begun.tzinfo is None:
            raise ValueError("the time at which a clock begins must have a zone, such as datetime.UTC")
        super().__init__((begun - _EPOCH) // timedelta(microseconds=1))

    @property
    def now(self) -> datetime:
        """The time that it shows."""
        return _EPOCH + timedelta(microseconds=self.now_us())


class Jumped(Struct, frozen=True):
    """The wall clock is not to be believed: by how many seconds it moved, and when by the old reckoning."""

    by_seconds: float
    since: int


class ClockGuard:
    """A clock whose time never goes back, and that knows when the wall clock has jumped.

    After a jump `jumped` is set and `now_us` counts on from the last trusted time, so that a wrong date
    neither lapses a grant nor sticks as the latest time seen. Trust returns when two reads ten seconds
    apart agree, or by `accept`. If the clock that is then trusted is behind the time already told, time
    stands still until it has caught up.

    It takes no lock, which would cost half as much as the rest. Threads that read in the same instant may
    be told their times in either order; each account's own last entry is what orders its ledger.
    """

    def __init__(self, clock: Clock) -> None:
        self.follows = clock
        """The clock that it guards."""
        self._read_wall = clock.now_us
        self._read_mono = clock.monotonic
        self._latest = 0
        self.accept()

    def now_us(self) -> int:
        """The time; ask `jumped` afterwards whether it may be charged by."""
        wall = self._read_wall()
        mono = self._read_mono()
        if mono >= self._look_at or abs(wall - self._offset - mono * SECOND_US) > JUMP_US:
            wall = self._look_closer()
        if wall > self._latest:
            self._latest = wall
        return self._latest

    def state(self) -> Jumped | None:
        """Read the clock and say whether it has jumped; None is good."""
        self.now_us()
        return self.jumped

    def accept(self) -> None:
        """Trust the wall clock as it is now."""
        mono = self._read_mono()
        self._trust(self._read_wall() - round(mono * SECOND_US), mono)

    def _trust(self, offset: int, mono: float) -> None:
        self._offset = offset
        self._look_at = mono + FOLLOW_EVERY_SECONDS
        self.jumped: Jumped | None = None

    def _look_closer(self) -> int:
        """Judge a pair of reads that is not plainly good, and answer the time to tell."""
        # Read again: a process that was stopped between its two reads has seen no jump.
        wall, mono = self._read_wall(), self._read_mono()
        mono_us = round(mono * SECOND_US)
        offset = wall - mono_us
        jumped = self.jumped
        if jumped is None:
            if abs(offset - self._offset) <= JUMP_US:
                self._trust(offset, mono)
                return wall
            self._distrust(offset, mono, since=mono_us + self._offset)
        elif abs(offset - self._witness_offset) > AGREE_US:
            self._distrust(offset, mono, since=jumped.since)
        elif mono - self._witness_mono >= AGREE_AFTER_SECONDS:
            self._trust(offset, mono)
            return wall
        return mono_us + self._offset

    def _distrust(self, offset: int, mono: float, since: int) -> None:
        self._witness_offset, self._witness_mono = offset, mono
        self._look_at = mono  # from now on every read is looked at
        self.jumped = Jumped((offset - self._offset) / SECOND_US, since)
