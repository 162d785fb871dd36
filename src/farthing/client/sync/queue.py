"""The queue: what a client has in its journal, for those who look after it.

Made from `aio/queue.py` by `python -m tests.client.twin`: change that, not this.
"""

from time import sleep
from typing import TYPE_CHECKING, Final

from ..errors import ApiError, Unusable
from .door import Door

if TYPE_CHECKING:
    from ..journal.keeping import Journal, JournalStats
    from ..journal.lines import Kept

_MOMENT: Final = 0.01
_NONE: Final = "this client has no journal: connect with on_unavailable='queue' and journal=..."


class Queue:
    """The journal of a client that was opened with `on_unavailable="queue"`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    @property
    def _journal(self) -> "Journal":
        journal = self._door.outage.journal
        if journal is None:
            raise Unusable(_NONE)
        return journal

    def stats(self) -> "JournalStats":
        """How many calls wait and are parked, and how many were queued, replayed and refused since it was opened."""
        return self._journal.stats()

    def replay(self) -> "JournalStats":
        """Send now what waits, also what processes have left that are gone, rather than in a while."""
        journal = self._journal
        well = self._door.outage.work()
        while well and journal.waiting:
            # What is being sent in the background is waited for.
            sleep(_MOMENT)
            well = self._door.outage.work()
        return journal.stats()

    def accept_any_key(self) -> None:
        """Send also what was queued under another API key, which was rotated since. It has to be one of the same
        workspace, which nobody can tell here."""
        self._journal.accept_any_key()

    def parked(self) -> "list[Kept]":
        """What was refused for good and waits for somebody to decide, oldest first, each with its `reason`."""
        return self._journal.parked()

    def retry(self, parked: "Kept") -> ApiError | None:
        """Send a parked call again, under its key. None where it went well; where it is refused once more, it stays
        parked and the refusal is given back."""
        return self._door.outage.retry(self._journal, parked)
