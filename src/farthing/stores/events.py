"""Events: rows that tell what happened. They are written here where they come with no command, and read."""

from collections.abc import Sequence

from farthing.core.records import Event

from .pages import LAST, Page, Position, cut
from .reports import Database, Execute
from .rows import event_row, read_event
from .statements import statements

_FIRST_ID, _LAST_ID = "evt_", "evt_~"


class Events:
    """Reads and writes of events."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "events")

    async def add(self, events: Sequence[Event]) -> None:
        """Write some down, all or none."""
        if events:
            await self._db.write(lambda execute: self.write(execute, events))

    async def write(self, execute: Execute, events: Sequence[Event]) -> None:
        """Write some down in somebody's transaction."""
        for event in events:
            await execute(self._sql["insert"], event_row(event))

    async def page(
        self, workspace: str, *, type: str | None = None, since: int | None = None, until: int | None = None,
        oldest_first: bool = False, after: Position | None = None, limit: int = 50,
    ) -> Page[Event]:  # fmt: skip
        """Those of a workspace (empty: those that are about all of the database), newest first, or oldest."""
        first, last = _FIRST_ID if since is None else _id_at(since), _LAST_ID if until is None else _id_at(until, "~")
        if after is not None:
            first, last = (str(after[0]), last) if oldest_first else (first, str(after[0]))
        name = "oldest" if oldest_first else "newest"
        which = (workspace,) if type is None else (workspace, type)
        values = (*which, first, last, since or 0, LAST if until is None else until, limit + 1)
        rows = await self._db.rows(self._sql[name if type is None else f"{name}_of_type"], values)
        return cut([read_event(row) for row in rows], limit, limit + 1, lambda event: (event.id,))


def _id_at(at_us: int, rest: str = "") -> str:
    """Where ids of that millisecond begin, or end: they are ordered by time."""
    return f"evt_{max(at_us, 0) // 1000:012x}{rest}"
