"""The job that folds: again and again, at once while there is more, whatever fails; one process at a time."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from farthing.app import open_ledger
from farthing.core.commands import GiveGrant, TakeCharge
from farthing.jobs import folding
from farthing.jobs.folding import Folding
from farthing.jobs.kind import Kind
from farthing.jobs.runner import Runner
from farthing.stores.access import Act
from farthing.stores.contract import Unavailable
from farthing.stores.events import Events
from farthing.stores.jobs import Jobs
from farthing.stores.rollups import Rollups
from tests.jobs.runners import Told
from tests.support import MAIN, lay

SOON = 0.02


async def eventually(done: Callable[[], Any]) -> None:
    """Until something holds; the test's own limit ends it otherwise."""
    until = time.monotonic() + 60
    while not await done():
        assert time.monotonic() < until
        await asyncio.sleep(SOON)


class Place:
    """A ledger whose entries are folded by a job."""

    def __init__(self, path: Path) -> None:
        lay(path)
        self.ledger = open_ledger(f"sqlite:///{path}", inline_on=asyncio.get_running_loop(), reader=True)
        self.told = Told()
        self.runners: dict[asyncio.Task[None], Runner] = {}

    async def begin(self, charges: int = 3) -> None:
        await self.ledger.access.create_workspace(MAIN, Act("test", MAIN.created_at))
        await self.ledger.engine.ask(GiveGrant(workspace="main", account="a", amount=10_000))
        await self.charge(charges)

    async def charge(self, count: int) -> None:
        for _ in range(count):
            await self.ledger.engine.ask(TakeCharge(workspace="main", account="a", amount=1))

    def start(self, every_seconds: float, rollups: Rollups | None = None) -> asyncio.Task[None]:
        db, clock = self.ledger.database, self.ledger.clock
        job = Folding(rollups or Rollups(db), clock.now_us)
        kind = Kind(name="rollups", run=job.run, every_seconds=every_seconds, alone=True)
        runner = Runner(Jobs(db), Events(db), [kind], clock, self.told)
        task = asyncio.create_task(runner.serve())
        self.runners[task] = runner
        return task

    async def requests(self) -> int:
        rows = await self.ledger.database.rows("select sum(requests) from rollup where account = 'a'")
        return int(rows[0][0] or 0)

    async def has(self, requests: int) -> bool:
        return await self.requests() == requests

    async def has_failed(self) -> bool:
        return bool(self.told.errors)

    async def end(self, *jobs: asyncio.Task[None]) -> None:
        for job in jobs:
            await self.runners[job].end(job, 5)
        await self.ledger.aclose()


def run(path: Path, story: Callable[[Place], Any]) -> None:
    async def told() -> None:
        place = Place(path / "ledger.db")
        await place.begin()
        await story(place)

    asyncio.run(told())


def test_what_is_booked_is_folded_again_and_again(tmp_path: Path):
    async def story(place: Place) -> None:
        job = place.start(SOON)
        for count in (3, 5, 9):
            await eventually(partial(place.has, count))
            await place.charge(2 if count == 3 else 4)
        await place.end(job)
        assert place.told.errors == []

    run(tmp_path, story)


def test_where_more_is_waiting_it_is_folded_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(folding, "CHUNK", 2)
    monkeypatch.setattr(folding, "PAGE", 2)

    async def story(place: Place) -> None:
        await place.charge(40)
        job = place.start(600)
        await eventually(lambda: place.has(43))
        await place.end(job)

    run(tmp_path, story)


def test_a_failure_is_told_and_does_not_end_it(tmp_path: Path):
    async def story(place: Place) -> None:
        job = place.start(SOON, Failing(place.ledger.database))
        await eventually(place.has_failed)
        await Jobs(place.ledger.database).retry("rollups", "", "", Act("test", place.ledger.clock.now_us()))
        await eventually(lambda: place.has(3))
        await place.end(job)
        assert place.told.errors == ["rollups: the disk is away"]

    run(tmp_path, story)


class Failing(Rollups):
    """Sums that can't be written at first."""

    failed = False

    async def add(self, *of: Any) -> bool:
        if not self.failed:
            self.failed = True
            raise Unavailable("the disk is away")
        return await super().add(*of)


def test_of_several_on_one_ledger_one_folds_and_each_entry_once(tmp_path: Path):
    async def story(place: Place) -> None:
        jobs = [place.start(SOON) for _ in range(3)]
        for _ in range(10):
            await place.charge(5)
            await asyncio.sleep(SOON / 4)
        await eventually(lambda: place.has(53))
        await asyncio.sleep(4 * SOON)
        assert await place.has(53)
        await place.end(*jobs)
        assert place.told.errors == []

    run(tmp_path, story)
