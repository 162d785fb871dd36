"""What is wanted of a database: known before anything of the ledger is loaded."""

from typing import Protocol

from msgspec import Struct


class TimeSource(Protocol):
    """A clock, such as `farthing.VirtualClock`."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that pass."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What is to be opened, and made where it is missing."""

    url: str
    workspace: str | None
    create: bool
    unit: str | None
    scale: int | None
    actor: str
    timeout: float
    clock: TimeSource | None = None
    """In place of the machine's, or the database's."""
