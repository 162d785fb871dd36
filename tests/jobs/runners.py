"""What the tests of jobs share: runners on a club's ledger, and who is told by them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from farthing.core.jobs import Job
from farthing.desks import runner_on
from farthing.jobs.kind import Count, Halted, Kind, Run
from farthing.jobs.runner import Runner
from farthing.settings import Settings
from farthing.stores.events import Events
from farthing.stores.jobs import Jobs
from tests.jobs.subscribers import Club

SOON = 0.01


class Told:
    """Keeps all that it is told."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, int, int]] = []
        self.errors: list[str] = []
        self.alarms: list[tuple[str, str, int, int]] = []
        self.given_up: list[tuple[str, str, str]] = []
        self.troubles: list[str] = []

    def ran(self, kind: str, run: Run, seconds: float) -> None:
        self.runs.append((kind, run.done, run.failed))

    def stopped(self, kind: str, error: Exception, job: Job | None) -> None:
        self.errors.append(f"{kind}: {error}")

    def alarm(self, kind: str, workspace: str, count: Count) -> None:
        self.alarms.append((kind, workspace, count.done, count.failed))

    def parked(self, job: Job) -> None:
        self.given_up.append((job.kind, job.workspace, job.subject))

    def trouble(self, what: str, error: Exception | None) -> None:
        self.troubles.append(what)


class Work:
    """A job of a test: counts its runs, and does what it is told to."""

    def __init__(self, does: Callable[[], None] = lambda: None) -> None:
        self.runs = 0
        self.does = does
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def run(self, halted: Halted) -> Run:
        self.runs += 1
        await self.goes_on.wait()
        self.does()
        told = Run()
        told.add("", done=1)
        return told


def runner_of(club: Club, *kinds: Kind, told: Told | None = None) -> Runner:
    """A process's runner, of some jobs."""
    ledger = club.ledger
    return Runner(Jobs(ledger.database), Events(ledger.database), kinds, ledger.clock, told or Told())


def runner_of_all(club: Club, told: Told | None = None, **settings: Any) -> Runner:
    """A process's runner, of all jobs that there are."""
    return runner_on(club.ledger, Settings(**settings), told or Told())


def kind(name: str, work: Work, *, every_seconds: float = 60, alone: bool = False) -> Kind:
    return Kind(name=name, run=work.run, every_seconds=every_seconds, alone=alone)


async def eventually(done: Callable[[], Awaitable[Any] | Any]) -> None:
    """Until something holds; only what is broken takes longer."""
    until = time.monotonic() + 60
    while True:
        found = done()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert time.monotonic() < until, "it never came"
        await asyncio.sleep(SOON)


async def job_of(club: Club, kind: str, subject: str = "") -> Any:
    """A row of the table, as it is; None where there is none."""
    jobs = Jobs(club.ledger.database)
    if not subject:
        return next(iter(await jobs.standing([kind])), None)
    page = await jobs.page("main", kind=kind, at=club.clock.now_us(), limit=1_000)
    return next((job for job in page.items if job.subject == subject), None)
