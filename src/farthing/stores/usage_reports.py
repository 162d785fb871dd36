"""Reports on usage and revenue: exact at any moment, in any time zone, however many charges there are.

Sums of whole slots come from the rollups; entries that are not folded into them yet (the tail) are read and counted;
so are the two edges of a range, where it does not begin or end with a slot. All of it is read at one moment, and
counted by the same function as the folding does. Instants are microseconds, ranges half-open.
"""

from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from farthing.core.commands import DAY_US, MINUTE_US
from farthing.core.context import Calendar
from farthing.core.rollup import END_OF_TIME, HALF, QUARTER_US, Dims, Sums

from .reports import Database, Execute
from .statements import statements
from .usage_sums import EVERYTHING, Filters, Key, Measured, Named, Reader, ReportError, Steps

Step = Literal["quarter", "hour", "day", "month"]
By = Literal["service", "operation", "provider", "model", "account"]
STEPS: Final[dict[str, int]] = {"quarter": QUARTER_US, "hour": 60 * MINUTE_US}
MAX_POINTS: Final = 10_000
"""Points that a series may have."""


class Part(Struct):
    """The sums of one service, operation, provider, model or account, by whichever was asked."""

    sums: Sums
    account: str = ""
    service: str = ""
    operation: str = ""
    provider: str = ""
    model: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """What it is about; an order for parts with equal sums."""
        return (self.account, self.service, self.operation, self.provider, self.model)


class Point(Struct):
    """What there was from one instant until another, in all and by parts where those were asked for."""

    start: int
    end: int
    sums: Sums
    parts: list[Part] = []


class Stats(Struct):
    """Usage in all, and by what it was for; days without any are left out."""

    totals: Sums
    models: list[Part]
    services: list[Part]
    operations: list[Part]
    days: list[Point]


class Recorded(Struct):
    """What was used under the name of a service or a model, in all and by name; those that used the most come first."""

    totals: Sums
    services: list[Part]
    models: list[Part]
    accounts: list[Part]
    days: list[Point]
    """Of UTC, in their order; those without usage are left out."""


class UsageReports:
    """What reports on usage are made of."""

    def __init__(self, db: Database, calendar: Calendar, now_us: Callable[[], int]) -> None:
        self._db = db
        self._sql = statements(db.dialect, "usage_reports")
        self._calendar = calendar
        self._now_us = now_us

    # Sums

    async def models(
        self, workspace: str, start: int | None = None, end: int | None = None, filters: Filters = EVERYTHING
    ) -> list[Part]:  # fmt: skip
        """Usage and revenue of each model, by revenue, descending."""
        (found,) = await self._measure(workspace, [_range(start, end)], filters)
        return _by_revenue(_parts(found, "model"))

    async def stats(
        self, workspace: str, account: str | None = None, start: int | None = None, end: int | None = None,
        timezone: str = "UTC", filters: Filters = EVERYTHING,
    ) -> Stats:  # fmt: skip
        """Usage in all, by model, service and operation, and by day of a time zone."""
        filters = replace(filters, account=account)

        async def work(execute: Execute) -> tuple[list[tuple[int, int]], Measured]:
            reader = self._reader(workspace, filters, execute)
            steps = await self._days_of(reader, start, end, timezone)
            return steps, await reader.measure(steps)

        steps, found = await self._db.read(work)
        totals: dict[Key, Sums] = {}
        for day in found:
            _merge(totals, day)
        return Stats(
            _total(totals),
            _by_revenue(_parts(totals, "model")),
            _by_revenue(_parts(totals, "service")),
            _by_revenue(_parts(totals, "operation")),
            [Point(*step, _total(day)) for step, day in zip(steps, found, strict=True) if day],
        )

    async def recorded(
        self, workspace: str, account: str | None = None, start: int | None = None, end: int | None = None,
        accounts: int = 0,
    ) -> Recorded:  # fmt: skip
        """What was used under a name, by an account or by all; with so many accounts, where they are asked for."""
        filters = Named(account)

        async def work(execute: Execute) -> tuple[Steps, Measured, dict[Key, Sums]]:
            reader = self._reader(workspace, filters, execute)
            steps = await self._days_of(reader, start, end, "UTC")
            (users,) = await reader.measure_accounts([_range(start, end)], accounts) if accounts else [{}]
            return steps, await reader.measure(steps), users

        steps, found, users = await self._db.read(work)
        totals: dict[Key, Sums] = {}
        for day in found:
            _merge(totals, day)
        days = [Point(*step, _total(day)) for step, day in zip(steps, found, strict=True)]
        return Recorded(
            _total(totals),
            _by_use(_parts(totals, "service")),
            _by_use(_parts(totals, "model")),
            _by_use(_parts(users, "account"))[:accounts],
            [day for day in days if day.sums.requests],
        )

    async def revenue(
        self, workspace: str, start: int, end: int, step: Step = "day", timezone: str = "UTC",
        filters: Filters = EVERYTHING,
    ) -> list[Point]:  # fmt: skip
        """Revenue, refunds and cost, step by step; those without any are there as well."""
        steps = self.steps(start, end, step, timezone)
        found = await self._measure(workspace, steps, filters)
        return [Point(*each, _total(sums)) for each, sums in zip(steps, found, strict=True)]

    async def spend(
        self, workspace: str, start: int, end: int, by: By, step: Step = "day", timezone: str = "UTC",
        filters: Filters = EVERYTHING,
    ) -> list[Point]:  # fmt: skip
        """The same, each step with its parts, those with the most revenue first."""
        steps = self.steps(start, end, step, timezone)
        found = await self._measure(workspace, steps, filters, by_account=by == "account")
        return [
            Point(*each, _total(sums), _by_revenue(_parts(sums, by))) for each, sums in zip(steps, found, strict=True)
        ]

    async def top_accounts(
        self, workspace: str, start: int | None = None, end: int | None = None, limit: int = 10,
        filters: Filters = EVERYTHING,
    ) -> list[Part]:  # fmt: skip
        """The accounts with the most revenue, descending."""
        steps = [_range(start, end)]
        (found,) = await self._db.read(lambda ex: self._reader(workspace, filters, ex).measure_accounts(steps, limit))
        return _by_revenue(_parts(found, "account"))[:limit]

    async def answers(self, workspace: str, provider: str | None, model: str, since: int) -> tuple[int, int]:
        """Requests of a model and their tokens out, since the beginning of a day of UTC. As far as they are folded: it
        is read before calls that are to be made, and a few seconds more or less don't move a mean."""
        values = (workspace, DAY_US, since - since % DAY_US, model, provider)
        ((requests, high, low),) = await self._db.rows(self._sql["answers"], values)
        return int(requests or 0), int(high or 0) * HALF + int(low or 0)

    async def _measure(
        self, workspace: str, steps: list[tuple[int, int]], filters: Filters, *, by_account: bool = False
    ) -> Measured:  # fmt: skip
        async def work(execute: Execute) -> Measured:
            reader = self._reader(workspace, filters, execute)
            return await (reader.measure_accounts(steps) if by_account else reader.measure(steps))

        return await self._db.read(work)

    def _reader(self, workspace: str, filters: Filters, execute: Execute) -> "Reader":
        return Reader(self._db.dialect, execute, workspace, filters, self._now_us())

    # Steps

    def steps(self, start: int, end: int, step: Step, timezone: str) -> list[tuple[int, int]]:
        """The hours, days or months of a zone of which [start, end) is made, the first and the last cut off by it.
        Hours are counted from midnight; a day may have 23 or 25 of them. LookupError for no zone."""
        found: list[tuple[int, int]] = []
        while start < end:
            until = min(self._end_of_step(start, step, timezone), end)
            found.append((start, until))
            start = until
            if len(found) > MAX_POINTS:
                raise ReportError(
                    f"a series has at most {MAX_POINTS:,} points: ask for a shorter range or longer steps"
                )
        return found

    def _end_of_step(self, at: int, step: Step, timezone: str) -> int:
        day, night, _, month_end = self._calendar(at, timezone)
        if step == "month":
            return month_end
        if step == "day":
            return night
        length = STEPS[step]
        return min(day + ((at - day) // length + 1) * length, night)

    async def _days_of(
        self, reader: "Reader", start: int | None, end: int | None, timezone: str
    ) -> list[tuple[int, int]]:
        """The days of a range, but for those before and after all that there is."""
        first, last = await reader.extent()
        begin, until = first if start is None else max(start, first), last if end is None else min(end, last)
        return self.steps(begin, until, "day", timezone)

    # Rows

    async def size(
        self, workspace: str, start: int | None = None, end: int | None = None, filters: Filters = EVERYTHING
    ) -> int:
        """How many rows an export has."""
        values = (workspace, *_range(start, end), filters.account, *filters.dims)
        return int((await self._db.rows(self._sql["size"], values))[0][0])


def _range(start: int | None, end: int | None) -> tuple[int, int]:
    return 0 if start is None else start, END_OF_TIME if end is None else end


def _merge(into: dict[Key, Sums], found: dict[Key, Sums]) -> None:
    for key, sums in found.items():
        into.setdefault(key, Sums()).add(sums)


def _total(found: dict[Key, Sums]) -> Sums:
    total = Sums()
    for sums in found.values():
        total.add(sums)
    return total


def _parts(found: dict[Key, Sums], by: By) -> list[Part]:
    """Sums put together by one name; a model is named with its provider."""
    parts: dict[tuple[str, ...], Part] = {}
    for (account, dims), sums in found.items():
        part = Part(Sums(), account) if by == "account" else _part(dims, by)
        parts.setdefault(part.names, part).sums.add(sums)
    return list(parts.values())


def _part(dims: Dims, by: By) -> Part:
    if by == "model":
        return Part(Sums(), provider=dims.provider, model=dims.model)
    return Part(Sums(), **{by: getattr(dims, by)})


def _by_use(parts: list[Part]) -> list[Part]:
    used = [part for part in parts if part.sums.requests]
    return sorted(used, key=lambda part: (-part.sums.taken_or_recorded, part.names))


def _by_revenue(parts: list[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: (-part.sums.revenue, part.names))
