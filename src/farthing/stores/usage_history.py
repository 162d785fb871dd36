"""Usage history: what was used, listed in pages, of an account, of one of its chats, or of all accounts.

In the order of the time of use and, where that is the same, of the charges' ids. A page goes on behind a row; who pages
by number may skip some instead. A filter without an index looks at so many rows for a page (`pages`).
"""

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from farthing.core.records import Entry, UsageRecord
from farthing.core.rollup import END_OF_TIME

from .pages import WINDOW, Page, Position, cut
from .reports import Database, Row
from .rows import read_usage
from .statements import statements

_COLUMNS: Final = len(UsageRecord.__struct_fields__)
_SPAN_US: Final = 60_000_000
_json = msgspec.json.Encoder().encode


class Used(Struct, frozen=True):
    """A usage: its row, and the entry of its charge, which has the rest."""

    usage: UsageRecord
    entry: Entry


class Sought(Struct, frozen=True, kw_only=True):
    """Which usage is looked for; None is any."""

    account: str | None = None
    chat: str | None = None
    service: str | None = None
    operation: str | None = None
    provider: str | None = None
    model: str | None = None
    unpriced: bool | None = None
    start: int | None = None
    """From this instant on."""
    end: int | None = None
    """Before this one."""

    @property
    def has_index(self) -> bool:
        """Whether an index finds all of it."""
        words = (self.service, self.operation, self.provider, self.model, self.unpriced)
        return all(word is None for word in words) and (self.chat is None or self.account is not None)


class UsageHistory:
    """Lists usage; nothing of another workspace is ever found."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "usage_history")

    async def page(
        self, workspace: str, sought: Sought, *, oldest_first: bool = False, after: Position | None = None,
        skip: int = 0, limit: int = 50,
    ) -> Page[Used]:  # fmt: skip
        """A page of what is looked for, behind a row or after so many."""
        found, following = await self._marks(workspace, sought, oldest_first, after, skip + limit)
        # Who skips wants the page that he would have come to, however many rows must be looked at for it.
        while skip and following is not None and len(found) < skip + limit:
            more, following = await self._marks(workspace, sought, oldest_first, following, skip + limit - len(found))
            found += more
        return Page(await self._rows(workspace, found[skip:]), following)

    async def booked(
        self, workspace: str, start: int, end: int, page: int = 500
    ) -> AsyncIterator[list[tuple[UsageRecord | None, Entry]]]:
        """Charges that were booked from `start` on and before `end`, in this order, with their usage; page by page."""
        after, span = (start, ""), _SPAN_US
        while after[0] < end:
            # No index has the order on every database: only what falls in a span is put in order.
            until = min(after[0] + span, end)
            rows = await self._db.rows(self._sql["booked"], (workspace, after[0], until, *after, page))
            found = [(None if row[0] is None else read_usage(row[:_COLUMNS]), Entry(*row[_COLUMNS:])) for row in rows]
            if found:
                yield found
            full = len(found) == page
            after = (found[-1][1].at, found[-1][1].id) if full else (until, "")
            span = max(span // 2, _SPAN_US) if full else span * 2

    async def booked_size(self, workspace: str, start: int, end: int) -> int:
        """How many that are."""
        return int((await self._db.rows(self._sql["booked_size"], (workspace, start, end)))[0][0])

    async def _marks(
        self, workspace: str, sought: Sought, oldest_first: bool, after: Position | None, limit: int
    ) -> tuple[list[Row], Position | None]:
        """Where the next rows stand that are wanted."""
        owner, name = _owner(sought)
        values: list[Any] = [sought.service, sought.operation, sought.provider, sought.model]
        if not owner:
            values.append(sought.chat)
        values += [None if sought.unpriced is None else int(sought.unpriced), workspace, *owner]
        values += _between(sought, oldest_first, after)
        window = limit + 1 if sought.has_index else max(WINDOW, limit + 1)
        sql = self._sql[("oldest" if oldest_first else "newest") + name]
        rows = await self._db.rows(sql, (*values, window))
        page = cut(rows, limit, window, lambda row: (row[0], row[1]), lambda row: bool(row[2]))
        return page.items, page.next

    async def _rows(self, workspace: str, marks: list[Row]) -> list[Used]:
        if not marks:
            return []
        rows = await self._db.rows(self._sql["rows"], (workspace, _json([id for _, id, _ in marks]).decode()))
        known = {row[0]: _used(row) for row in rows}
        return [known[id] for _, id, _ in marks]


def _used(row: Row) -> Used:
    return Used(read_usage(row[:_COLUMNS]), Entry(*row[_COLUMNS:]))


def _between(sought: Sought, oldest_first: bool, after: Position | None) -> list[int | str]:
    """Two bounds, the one at which a page begins exact to the row: of three a database may choose the wrong ones."""
    start, end = sought.start or 0, END_OF_TIME if sought.end is None else sought.end
    if oldest_first:
        return [end, *max((start, ""), after or (-1, ""))]
    return [start, *min((end, ""), after or (END_OF_TIME, ""))]


def _owner(sought: Sought) -> tuple[tuple[str, ...], str]:
    """By whose rows an index is asked, and the end of the statement's name."""
    if sought.account is None:
        return (), ""
    if sought.chat is None:
        return (sought.account,), "_of_account"
    return (sought.account, sought.chat), "_of_chat"
