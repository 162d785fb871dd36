"""The bell: who puts something into the outbox, and has committed it, rings; who sends, in the same process, looks at
once. What other processes commit is found by looking every second.
"""

from collections.abc import Callable
from typing import Final

Ear = Callable[[], None]


class Bell:
    """Rings for all who hear; from any thread."""

    def __init__(self) -> None:
        self._ears: tuple[Ear, ...] = ()

    def hear(self, ear: Ear) -> Callable[[], None]:
        """Have it called with each ring, from whatever thread, until what this returns is called."""
        self._ears = (*self._ears, ear)

        def stop() -> None:
            self._ears = tuple(each for each in self._ears if each is not ear)

        return stop

    def ring(self) -> None:
        """Something may be due."""
        for ear in self._ears:
            ear()


OUTBOX: Final = Bell()
"""Of all ledgers of this process: to look in vain costs a glance."""
