"""How a process sends: what its settings say of it."""

from typing import Final

from msgspec import Struct

MICRO: Final = 1_000_000


class Options(Struct, frozen=True, kw_only=True):
    """How it sends, and for how long what came of it is kept."""

    timeout_seconds: float = 20.0
    at_once: int = 16
    """Requests on their way at a time to one endpoint."""
    allow_private: bool = False
    """Send also to addresses that are not public, and without TLS."""
    keep_tries_days: int = 30
    """0: for ever."""
    keep_events_days: int = 90

    @property
    def lease_us(self) -> int:
        """What was taken is nobody else's for so long: longer than a try takes."""
        return round((self.timeout_seconds * 1.5 + 2) * MICRO)
