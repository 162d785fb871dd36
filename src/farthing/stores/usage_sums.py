"""Sums of usage for ranges of time, as they stand at one moment: slots of the rollups, the tail, and edges.

The tail is what is not folded yet; it counts in the slots. An edge is the part of a range that no whole slot has: what
it holds is read and counted, folded or not.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct

from farthing.core.commands import DAY_US, MINUTE_US
from farthing.core.rollup import (
    ALL,
    QUARTER_US,
    Counted,
    Cover,
    Dims,
    Scan,
    Sums,
    Tally,
    count,
    cover,
    read_counted,
    sums_of,
)

from .reports import Execute, Row
from .rollups import charges_of
from .statements import statements

_SCAN_US: Final = MINUTE_US
"""What one statement reads of an edge."""
_SLICE: Final = 512
"""Entries that are counted at a time."""
_EVERYBODY: Final = 1 << 62
_encode = msgspec.json.Encoder().encode


class ReportError(ValueError):
    """A report that can't be made; the message says why."""


class Filters(Struct, frozen=True):
    """What a report is confined to; None: not by this."""

    account: str | None = None
    service: str | None = None
    operation: str | None = None
    provider: str | None = None
    model: str | None = None
    named: ClassVar[bool] = False

    @property
    def dims(self) -> tuple[str | None, ...]:
        """All but the account."""
        return (self.service, self.operation, self.provider, self.model)

    def has(self, dims: Dims) -> bool:
        """Whether what a sum is about belongs to it; the account apart."""
        if self.named and not (dims.service or dims.model):
            return False
        return all(wanted is None or wanted == found for wanted, found in zip(self.dims, dims, strict=True))


class Named(Filters, frozen=True):
    """The same, and only what has a service or a model; accounts by what was taken and recorded, not by revenue."""

    named: ClassVar[bool] = True


EVERYTHING: Final = Filters()
Key = tuple[str, Dims]
"""An account, and what a sum is about; one of the two is empty where it is not asked for."""
Measured = list[dict[Key, Sums]]
"""Sums for each step of a range."""
Steps = list[tuple[int, int]]


class ArchivedRange(ReportError):
    """A range that begins or ends within a quarter of an hour whose entries are archived."""

    def __init__(self, until: int) -> None:
        at = datetime.fromtimestamp(until / 1_000_000, UTC)
        super().__init__(
            f"what was until {at:%Y-%m-%d %H:%M} UTC is archived: before that a range begins and ends with a quarter "
            "of an hour"
        )


class Reader:
    """Reads sums inside one transaction."""

    def __init__(self, dialect: str, execute: Execute, workspace: str, filters: Filters, now: int) -> None:
        self._sql = {**statements(dialect, "rollups"), **statements(dialect, "usage_reports")}
        self._on_loop = dialect == "postgres"
        self._execute = execute
        self._workspace = workspace
        self._filters = filters
        self._now = now
        self._tail: Tally | None = None

    async def _rows(self, name: str, *values: Any) -> list[Row]:
        return await self._execute(self._sql[name], values)

    async def extent(self) -> tuple[int, int]:
        """Where the first slot begins in which there is anything, and where the last one ends."""
        who = (self._workspace, ALL if self._filters.account is None else self._filters.account, QUARTER_US)
        ((first, last),) = await self._rows("extent", *who, *who)
        slots = [slot for slot in (first, last) if slot is not None]
        slots += [slot for _, _, slot, _ in (await self._read_tail()).quarters]
        return (min(slots), max(slots) + QUARTER_US) if slots else (0, 0)

    async def measure(self, steps: Steps) -> Measured:
        """Sums for each step by what they are about, of all accounts or of that of the filters."""
        account = self._filters.account
        covers = [cover(*step, self._now, days=account is None) for step in steps]
        await self._require_here(covers)
        found: Measured = [{} for _ in steps]
        whose = ALL if account is None else account
        for n, *columns in await self._rows("sums", _ranges(covers, self._filters), self._workspace, whose):
            self._add(found[n], "", Dims(*columns[:4]), sums_of(columns[4:]), by_account=False)
        await self._add_rest(steps, covers, found, by_account=False)
        return [_without_nothing(sums) for sums in found]

    async def measure_accounts(self, steps: Steps, limit: int = _EVERYBODY) -> Measured:
        """Sums for each step by account: of all that may be among the first so many by revenue, at least."""
        covers = [cover(*step, self._now, days=False) for step in steps]
        await self._require_here(covers)
        found: Measured = [{} for _ in steps]
        await self._add_rest(steps, covers, found, by_account=True)
        ranges = _ranges(covers, self._filters)
        # What the rest has moved up or down may stand anywhere: those are asked for by name, and so many more in order.
        moved = {account for sums in found for account, _ in sums}
        named = moved if self._filters.account is None else {self._filters.account}
        begin = (self._workspace, *self._filters.dims)
        if limit < _EVERYBODY or self._filters.account is not None:
            for n, account, *columns in await self._rows("sums_of_accounts", ranges, _json(sorted(named)), *begin):
                found[n].setdefault((account, Dims()), Sums()).add(sums_of(columns))
        if self._filters.account is None:
            most = _EVERYBODY if limit == _EVERYBODY else limit + len(moved)
            for n, account, *columns in await self._rows("sums_by_account", ranges, *begin, most):
                if limit == _EVERYBODY or account not in moved:
                    found[n].setdefault((account, Dims()), Sums()).add(sums_of(columns))
        return [_without_nothing(sums) for sums in found]

    async def _require_here(self, covers: list[Cover]) -> None:
        """What is archived is in the sums of whole quarters, and nowhere else here."""
        if scans := [scan for each in covers for scan in each.scans]:
            ((until,),) = await self._rows("archived_until", self._workspace, self._filters.account)
            if until is not None and any(scan.start <= until for scan in scans):
                raise ArchivedRange(until)

    def _add(
        self, into: dict[Key, Sums], account: str, dims: Dims, sums: Sums, sign: int = 1, *, by_account: bool
    ) -> None:  # fmt: skip
        if self._filters.has(dims):
            key = (account, Dims()) if by_account else ("", dims)
            into.setdefault(key, Sums()).add(sums, sign)

    # What the slots do not have

    async def _add_rest(self, steps: Steps, covers: list[Cover], found: Measured, *, by_account: bool) -> None:
        starts, ends = [start for start, _ in steps], [end for _, end in steps]
        for (_, account, slot, dims), sums in (await self._read_tail()).quarters.items():
            # A step's slots reach beyond it by less than one, where a part is taken off again.
            for n in range(bisect_right(ends, slot - QUARTER_US), bisect_left(starts, slot + 2 * QUARTER_US)):
                if covers[n].has(slot):
                    self._add(found[n], account, dims, sums, by_account=by_account)
        for n, each in enumerate(covers):
            for scan in each.scans:
                await self._add_scan(scan, found[n], by_account)

    async def _read_tail(self) -> Tally:
        if self._tail is None:
            who = (self._workspace, self._filters.account)
            self._tail = Tally()
            rows = await self._rows("tail", *(who * 2 if self._on_loop else who))
            async for entry, charges in self._entries(rows):
                self._tail.add(entry, charges)
        return self._tail

    async def _entries(self, rows: list[Row]) -> AsyncIterator[tuple[Counted, dict[str, Dims]]]:
        """Entries with what their charges are about; where that is an event loop's time, others get theirs between."""
        for at in range(0, len(rows), _SLICE):
            part = [read_counted(*columns) for _, *columns in rows[at : at + _SLICE]]
            charges = await charges_of(part, self._execute, self._sql["charges"], self._on_loop)
            for entry in part:
                yield entry, charges
            if self._on_loop:
                await asyncio.sleep(0)

    async def _add_scan(self, scan: Scan, into: dict[Key, Sums], by_account: bool) -> None:
        for start in range(scan.start, scan.end, _SCAN_US):
            between = (self._workspace, start, min(start + _SCAN_US, scan.end), self._filters.account)
            for account, *columns in await self._rows("used_between", int(by_account), *between):
                about, sums = Dims(*columns[:4]), sums_of(columns[4:])
                self._add(into, account, about, sums, scan.sign, by_account=by_account)
            for (account, about), sums in (await self._read_booked(between)).items():
                self._add(into, account, about, sums, scan.sign, by_account=by_account)

    async def _read_booked(self, between: tuple[Any, ...]) -> dict[Key, Sums]:
        """What was booked between two instants, and what was used by it that has no usage of its own."""
        seen: dict[Key, Sums] = {}

        def sums_at(e: Counted, _: int, dims: Dims) -> Sums:
            return seen.setdefault((e.account, dims), Sums())

        async for entry, charges in self._entries(await self._rows("booked_between", *between)):
            count(entry, charges, sums_at, used=not entry.has_usage)
        return seen


def _ranges(covers: list[Cover], filters: Filters) -> str:
    """The slots of steps: number of the step, span, start and end of each run of them; 1 where names are asked for."""
    return _json(
        [
            (n, span, *run, int(filters.named))
            for n, each in enumerate(covers)
            for span, runs in ((DAY_US, each.days), (QUARTER_US, each.quarters))
            for run in runs
        ]
    )


def _json(value: Any) -> str:
    return _encode(value).decode()


def _without_nothing(found: dict[Key, Sums]) -> dict[Key, Sums]:
    """Without what was taken off again altogether."""
    nothing = Sums()
    return {key: sums for key, sums in found.items() if sums != nothing}
