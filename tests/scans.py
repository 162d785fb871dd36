"""Reports worked out again the plain way: all entries are read and added up, and every report must say the same.

Nothing of the counting is shared with what is tested: entries are read as JSON, added up with a loop. Both sides read
at one moment, so that it holds while charges, refunds and folding go on.
"""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from msgspec.structs import asdict

from farthing.core.rollup import COLUMNS, Sums, sums_of
from farthing.jobs.folding import fold_all
from farthing.stores.reports import Database, Execute, Row, Work
from farthing.stores.rollups import Rollups
from farthing.stores.usage_reports import Part, Point, Step, UsageReports
from farthing.stores.usage_sums import Filters
from farthing.timezones import calendar

ENTRIES = (
    "select workspace, account, id, kind, at, operation, body from entry "
    "where kind in ('charge', 'settle', 'expire', 'refund')"
)
FOLDED = f"select workspace, account, span, at, service, operation, provider, model, {', '.join(COLUMNS)} from rollup"
_WAITING = (
    "select 1 from entry e, lane l where e.lane = 0 and l.id = 0 and (e.batch, e.id) > (l.batch, l.entry) limit 1"
)
QUARTER = 900 * 10**6
DAY = 86_400 * 10**6
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Auckland")
STEPS: tuple[Step, ...] = ("hour", "day", "month", "quarter")
Dims = tuple[str, str, str, str]


class Event(NamedTuple):
    """One thing that reports count: when it was used or booked, by whom, for what, and how much."""

    at: int
    account: str
    dims: Dims
    much: dict[str, int]


class Moment:
    """A database as it stands in a transaction that is open."""

    def __init__(self, dialect: str, execute: Execute) -> None:
        self.dialect = dialect
        self._execute = execute

    async def rows(self, sql: str, values: Any = ()) -> list[Row]:
        return await self._execute(sql, values)

    async def read(self, work: Work[Any]) -> Any:
        return await work(self._execute)

    async def write(self, work: Work[Any]) -> Any:
        raise AssertionError("reports never write")

    async def close(self) -> None:
        raise AssertionError("it is not theirs to close")


# The plain way


def events(rows: list[Row], workspace: str) -> list[Event]:
    """What there is to count in all entries of a workspace."""
    bodies = {row[2]: (row, json.loads(row[6])) for row in rows if row[0] == workspace}
    return [event for row, body in bodies.values() for event in _events(row, body, bodies)]


def _dims(row: Row, body: dict[str, Any]) -> Dims:
    usage, priced = body.get("usage", {}).get("usage", {}), body.get("usage", {}).get("priced", {})
    provider = priced.get("provider", "") or usage.get("provider", "")
    return usage.get("service", ""), row[5], provider, priced.get("model", "") or usage.get("model", "")


def _events(row: Row, body: dict[str, Any], bodies: dict[str, Any]) -> Iterator[Event]:
    _, account, _, kind, at, _, _ = row
    spent = body.get("spent", 0)
    if kind == "refund":
        for charge, _, amount in body["refunds"]:
            yield Event(at, account, _dims(*bodies[charge]), {"revenue": -amount, "refunded": amount})
        return
    if kind == "expire" and spent == 0:
        return
    metered = body.get("usage", {"usage": {}, "priced": {}})
    counts = metered["usage"].get("dimensions", {})
    into, out = int(counts.get("input_tokens", 0)), int(counts.get("output_tokens", 0))
    cost = metered["priced"].get("cost")
    used = {
        "requests": 1, "unpriced": int(metered["priced"].get("unpriced", False)), "uncosted": int(cost is None),
        "input_tokens": into, "output_tokens": out, "tokens": int(counts.get("tokens", into + out)),
        "charged": spent, "cost": cost or 0,
    }  # fmt: skip
    yield Event(metered["usage"].get("at") or at, account, _dims(row, body), used)
    booked = {"bookings": 1, "revenue": spent, "booked_cost": cost or 0, "recorded": metered.get("recorded", 0)}
    yield Event(at, account, _dims(row, body), booked)


Groups = dict[Any, dict[str, int]]


def added(found: list[Event], key: Callable[[Event], Any], start: int, end: int) -> Groups:
    """Sums of a range by some key, those of nothing left out."""
    groups: Groups = defaultdict(lambda: dict.fromkeys(Sums.__struct_fields__, 0))
    for event in found:
        if start <= event.at < end:
            for name, value in event.much.items():
                groups[key(event)][name] += value
    return {key: sums for key, sums in groups.items() if any(sums.values())}


# Held against the reports


BY: dict[str, Callable[[Event], Any]] = {
    "service": lambda event: ("", event.dims[0], "", "", ""),
    "operation": lambda event: ("", "", event.dims[1], "", ""),
    "provider": lambda event: ("", "", "", event.dims[2], ""),
    "model": lambda event: ("", "", "", *event.dims[2:]),
    "account": lambda event: (event.account, "", "", "", ""),
}


def told(parts: list[Part]) -> list[tuple[Any, dict[str, int]]]:
    """A breakdown as it is compared: in its order."""
    return [(part.names, asdict(part.sums)) for part in parts]


def by_revenue(groups: Groups) -> list[tuple[Any, dict[str, int]]]:
    return sorted(groups.items(), key=lambda item: (-item[1]["revenue"], item[0]))


async def agree(database: Database, workspace: str, now: int, seed: int = 0, ranges: int = 12) -> int:
    """Hold every report against a scan, on ranges drawn by a seed; returns how many entries there were."""

    async def work(execute: Execute) -> int:
        await take_your_time(database, execute)
        rows = await execute(ENTRIES)
        found = events(rows, workspace)
        reports = UsageReports(Moment(database.dialect, execute), calendar, lambda: now)
        rng = random.Random(seed)
        await _agree_on_all(reports, found, workspace)
        for start, end in drawn(rng, found, now, ranges):
            await _agree_on(reports, found, workspace, start, end, rng)
        return len(rows)

    return await database.read(work)


async def take_your_time(database: Database, execute: Execute) -> None:
    """On a busy machine we add up for longer between two statements than PostgreSQL bears with (see
    `stores/postgres_link.py`)."""
    if database.dialect == "postgres":
        await execute("set local idle_in_transaction_session_timeout = 0")


async def fold_what_waits(database: Database, now_us: int) -> int:
    """Fold until nothing is left; returns how many. Entries that were copied into PostgreSQL can't be folded while a
    transaction is open that is older than theirs, in whichever database of the cluster: those of other tests."""
    rollups = Rollups(database)
    folded = await fold_all(rollups, now_us)
    if database.dialect == "postgres":
        async with asyncio.timeout(60):
            while await database.rows(_WAITING):
                await asyncio.sleep(0.02)
                folded += await fold_all(rollups, now_us)
    return folded


def drawn(rng: random.Random, found: list[Event], now: int, count: int) -> Iterator[tuple[int, int]]:
    """Ranges that begin and end anywhere: at events, beside them, with slots and days, in the future."""
    instants = [event.at for event in found] or [now]
    first, last = min(instants), max(instants)

    def instant() -> int:
        at = rng.choice([rng.choice(instants), rng.randint(first - DAY, last + DAY), now])
        span = rng.choice([0, 0, QUARTER, DAY])
        return at - at % span if span else at + rng.choice([-1, 0, 1])

    for _ in range(count):
        start, end = sorted((instant(), instant()))
        yield start, end


async def _agree_on_all(reports: UsageReports, found: list[Event], workspace: str) -> None:
    whole = (0, 1 << 62)
    assert told(await reports.models(workspace)) == by_revenue(added(found, BY["model"], *whole))
    top = await reports.top_accounts(workspace, limit=5)
    assert told(top) == by_revenue(added(found, BY["account"], *whole))[:5]
    stats = await reports.stats(workspace)
    assert told(stats.services) == by_revenue(added(found, BY["service"], *whole))
    assert told(stats.operations) == by_revenue(added(found, BY["operation"], *whole))
    days = added(found, lambda event: event.at // DAY * DAY, *whole)
    assert {point.start // DAY * DAY: asdict(point.sums) for point in stats.days} == days


async def _agree_on(
    reports: UsageReports, found: list[Event], workspace: str, start: int, end: int, rng: random.Random
) -> None:  # fmt: skip
    account = rng.choice([None, *{event.account for event in found}])
    about = rng.choice([None, *{event.dims for event in found}])
    filters = Filters(account, *(about or ()))
    some = [e for e in found if account in (None, e.account) and about in (None, e.dims)]
    assert told(await reports.models(workspace, start, end, filters)) == by_revenue(
        added(some, BY["model"], start, end)
    )
    top = await reports.top_accounts(workspace, start, end, 3, filters)
    assert told(top) == by_revenue(added(some, BY["account"], start, end))[:3]
    zone, step = rng.choice(ZONES), rng.choice(STEPS)
    if step in ("quarter", "hour"):
        start = max(start, end - 3 * DAY)
    by = rng.choice(list(BY))
    points = await reports.spend(workspace, start, end, by, step, zone, filters)  # type: ignore[arg-type]
    assert [point.start for point in points] == [start, *(point.end for point in points[:-1])][: len(points)]
    for point in points:
        assert told(point.parts) == by_revenue(added(some, BY[by], point.start, point.end)), (point, zone, step)
    series = await reports.revenue(workspace, start, end, step, zone, filters)
    assert [asdict(point.sums) for point in series] == [_whole(some, point) for point in points]
    stats = await reports.stats(workspace, account, start, end, zone, Filters(None, *(about or ())))
    assert asdict(stats.totals) == _whole(some, Point(start, end, Sums()))


def _whole(found: list[Event], point: Point) -> dict[str, int]:
    groups = added(found, lambda _: 0, point.start, point.end)
    return groups.get(0) or asdict(Sums())


async def folded_agrees(database: Database) -> None:
    """Hold the stored sums against the plain way, where all entries are folded: row by row, no other rows."""

    async def work(execute: Execute) -> None:
        await take_your_time(database, execute)
        rows, stored = await execute(ENTRIES), await execute(FOLDED)
        expected: Groups = {}
        for workspace in {row[0] for row in rows}:
            found = events(rows, workspace)
            for span, everybody in ((QUARTER, False), (QUARTER, True), (DAY, True)):
                for place, sums in _slots(found, workspace, span, everybody).items():
                    expected[place] = sums
        assert {tuple(row[:8]): asdict(sums_of(row[8:])) for row in stored} == expected

    await database.read(work)


def _slots(found: list[Event], workspace: str, span: int, everybody: bool) -> Groups:
    return added(
        found,
        lambda event: (workspace, "" if everybody else event.account, span, event.at // span * span, *event.dims),
        0,
        1 << 62,
    )
