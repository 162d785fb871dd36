"""Rollups: the sums that reports are read from, and how far the entries are folded into them.

Entries are read where nobody waits for it; what they add up to is written in one short transaction, on the condition
that nobody else has folded them meanwhile. On SQLite there is one lane, ordered by position; on PostgreSQL one for each
writing connection, in the order of its batches, and lane 0, whose batches are transactions (see the migration).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

from farthing.core.ids import bucket_in, bucket_of
from farthing.core.rollup import Counted, Dims, Place, Sums, columns_of, read_counted

from .reports import Database, Execute, Row
from .statements import statements

STRIKE_AFTER_US: Final = 24 * 3_600_000_000
"""How long nothing came of a lane that is struck off; a writer opens a new one long before."""
_PIECE: Final = {"postgres": 400, "sqlite": 100}
"""Rows of sums that one statement writes. More at a time would keep an event loop from all else; on SQLite, where a
statement is carried out in the caller's thread, 100 rows cost half of what they cost one by one."""
_encode = msgspec.json.Encoder().encode


class Mark(NamedTuple):
    """How far a lane is folded."""

    batch: int
    entry: str


class Marks(NamedTuple):
    """How far all lanes are folded, and when that was last moved."""

    lanes: dict[int, Mark]
    moved_at: int


class Page(NamedTuple):
    """Some entries that are not in the sums yet."""

    entries: list[Counted]
    """Those that count."""
    size: int
    marks: dict[int, Mark]
    """How far they go."""
    more: bool
    """Others waited when they were read."""


class Rollups:
    """What who folds reads and writes."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "rollups")
        self._has_lanes = db.dialect == "postgres"

    async def marks(self) -> Marks:
        """How far the entries are folded."""
        rows = await self._db.rows(self._sql["lanes"])
        return Marks(_lanes(rows), max(row[3] for row in rows))

    async def unfolded(self, lanes: dict[int, Mark], limit: int) -> Page:
        """Some of the entries that follow these marks, of each lane in its order."""
        if not self._has_lanes:
            rows = await self._db.rows(self._sql["unfolded"], (lanes[0].batch, limit))
            return _page(rows, len(rows) >= limit)
        numbers = [lane for lane in lanes if lane]
        batches = [lanes[lane].batch for lane in numbers]
        share = max(1, limit // max(len(numbers), 1))
        rows = await self._db.rows(self._sql["unfolded"], (numbers, batches, share)) if numbers else []
        if any(count >= share for count in Counter(row[0] for row in rows).values()):
            return _page(rows, True)
        others = await self._db.rows(self._sql["unfolded_without_lane"], (*lanes[0], limit))
        return _page(rows + others, len(others) >= limit)

    async def charges(self, entries: Iterable[Counted]) -> dict[str, Dims]:
        """What the charges are about that these entries refund."""
        return await charges_of(entries, self._db.rows, self._sql["charges"], self._has_lanes)

    async def add(self, before: Marks, lanes: dict[int, Mark], sums: dict[Place, Sums], now: int) -> bool:
        """Add to the sums and move the marks, in one transaction; False, and nothing done, where somebody else has
        moved one of them."""
        # In the order of their key, which is that of the pages they lie on.
        places = sorted(sums)
        moved = {0: lanes[0]} | {lane: mark for lane, mark in lanes.items() if mark != before.lanes[lane]}

        async def work(execute: Execute) -> bool:
            known = _lanes(await execute(self._sql["lanes"]))
            if any(known.get(lane) != before.lanes[lane] for lane in moved):
                return False
            for sql, values in self._writes(places, sums):
                await execute(sql, values)
            for lane, mark in moved.items():
                await execute(self._sql["move_lane"], (*mark, now, lane))
            return True

        return await self._db.write(work)

    def _writes(self, places: list[Place], sums: dict[Place, Sums]) -> Iterator[tuple[str, Sequence[Any]]]:
        """Statements that add sums to those that are stored, and their values, as they are wanted."""
        sql, piece = self._sql["add_to_rollups"], _PIECE[self._db.dialect]
        for at in range(0, len(places), piece):
            part = [_row(place, sums[place]) for place in places[at : at + piece]]
            if self._has_lanes:
                yield sql, (part,)
            elif len(part) == piece:
                yield _repeated(sql, piece), tuple(chain.from_iterable(part))
            else:
                yield from ((sql, row) for row in part)

    async def strike(self, now: int) -> None:
        """Strike off the lanes that are done with."""
        if self._has_lanes:
            await self._db.write(lambda execute: execute(self._sql["strike_lanes"], (now - STRIKE_AFTER_US,)))


async def charges_of(
    entries: Iterable[Counted], rows: Execute, sql: str, as_columns: bool
) -> dict[str, Dims]:  # fmt: skip
    """What the charges are about that entries refund. One that is not there, which breaks a law, is about nothing."""
    named = {charge: bucket_in(charge) for e in entries for charge, _, _ in e.refunds}
    if not named:
        return {}
    about = dict.fromkeys(named, Dims())
    wanted = [(charge, bucket) for charge, bucket in named.items() if bucket is not None]
    if wanted:
        values = [list(column) for column in zip(*wanted, strict=True)] if as_columns else [_json(wanted)]
        for id, *columns in await rows(sql, values):
            about[id] = read_counted(*columns).dims
    return about


@cache
def _repeated(sql: str, rows: int) -> str:
    """An insert of one row, as one of so many."""
    head, row, tail = re.split(r"(?<=values )(\([?, ]+\))", sql)
    return head + ", ".join([row] * rows) + tail


def _row(place: Place, sums: Sums) -> Row:
    workspace, account, span, at, dims = place
    return (workspace, account, span, at, *dims, bucket_of(workspace, account), *columns_of(sums))


def _json(value: Any) -> str:
    return _encode(value).decode()


def _lanes(rows: Iterable[Row]) -> dict[int, Mark]:
    return {row[0]: Mark(row[1], row[2]) for row in rows}


def _page(rows: list[Row], more: bool) -> Page:
    marks = {row[0]: (row[1], "" if row[0] else row[2]) for row in rows}
    entries = [read_counted(*columns) for _, _, _, *columns in rows if columns[-1] is not None]
    return Page(entries, len(rows), {lane: Mark(*mark) for lane, mark in marks.items()}, more)
