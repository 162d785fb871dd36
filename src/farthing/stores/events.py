"""Events: rows that tell what happened. They are written here where they come with no command, and read."""

from collections.abc import Sequence

from farthing.core.events import TYPES, Told, told_of
from farthing.core.records import Delivery, Event

from .bell import OUTBOX
from .pages import LAST, Page, Position, cut
from .reports import Database, Execute
from .rows import delivery_row, event_row, read_event
from .statements import statements

_FIRST_ID, _LAST_ID = "evt_", "evt_~"


class Events:
    """Reads and writes of events."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "events")

    async def add(self, events: Sequence[Event], to: str | None = None) -> list[Event]:
        """Write some down, all or none; see `write`."""

        async def work(execute: Execute) -> list[Event]:
            return await self.write(execute, events, to)

        written = await self._db.write(work) if events else []
        if written:
            OUTBOX.ring()
        return written

    async def write(self, execute: Execute, events: Sequence[Event], to: str | None = None) -> list[Event]:
        """Write some down in somebody's transaction, each with its deliveries: to all who ask for its type, or to that
        one endpoint. Those that were written: not what was told before and is told once, nor what nobody asks for and
        isn't recorded for its own sake."""
        told: dict[str, Told] = {}
        written = []
        for event in events:
            if event.workspace not in told:
                rows = await execute(self._sql["told"], (event.workspace,))
                told[event.workspace] = told_of(rows[0][0] if rows else "")
            type = TYPES.get(event.type)
            endpoints = (to,) if to is not None else told[event.workspace].endpoints(event.type, event.at)
            if endpoints is None and type is not None and not type.always:
                continue
            if await execute(self._sql["insert"], event_row(event)):
                await self._deliver(execute, event, endpoints or ())
                written.append(event)
        return written

    async def _deliver(self, execute: Execute, event: Event, endpoints: Sequence[str]) -> None:
        if not endpoints:
            return
        owner = (event.workspace, event.account, event.bucket)
        rows = await execute(self._sql["number"], owner) if event.account else []
        number = rows[0][0] if rows else 0
        for endpoint in endpoints:
            delivery = Delivery(event.workspace, endpoint, event.bucket, event.at, event.id, event.account, number)
            await execute(self._sql["deliver"], delivery_row(delivery))

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

    async def ids(self, workspace: str, after: str, limit: int) -> list[str]:
        """The ids behind one, oldest first."""
        return [row[0] for row in await self._db.rows(self._sql["ids"], (workspace, after, limit))]


def _id_at(at_us: int, rest: str = "") -> str:
    """Where ids of that millisecond begin, or end: they are ordered by time."""
    return f"evt_{max(at_us, 0) // 1000:012x}{rest}"
