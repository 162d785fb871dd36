"""The sweeper: books lapses and ends holds soon after they are due, for accounts that nobody asks about.

It works off rows with a due date, so what came due while no process ran is caught up with. Who sweeps takes a page of
them for a short while, and each takes itself off the table in the commit of its lapse; booking is idempotent, so that
one that was taken by a process that was killed is just taken again. One that fails stops no other.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from farthing.core.commands import Lapse
from farthing.core.jobs import ACCOUNT, Job
from farthing.core.outcomes import Outcome, Refused
from farthing.engine import Crashed, Engine
from farthing.stores.jobs import Jobs

from .kind import Halted, Kind, Run, Tools

NAME: Final = "lapses"
BATCH: Final = 200
LEASE_US: Final = 30_000_000
ACTOR: Final = "system:sweeper"


def kind(tools: Tools) -> Kind:
    """Shared: any number of processes."""
    sweeper = Sweeper(tools.engine, Jobs(tools.database), tools.now_us)
    return Kind(name=NAME, run=sweeper.run, every_seconds=tools.every[NAME])


class Sweeper:
    """Books what time has done to accounts."""

    def __init__(self, engine: Engine, jobs: Jobs, now_us: Callable[[], int]) -> None:
        self._engine = engine
        self._jobs = jobs
        self._now_us = now_us

    async def run(self, halted: Halted = lambda: False) -> Run:
        """Book all that is due."""
        run = Run()
        while not halted():
            at = self._now_us()
            due = await self._jobs.take(ACCOUNT, at, at + LEASE_US, BATCH)
            await self._book(due, run, at)
            if len(due) < BATCH:
                break
        return run

    async def _book(self, due: Sequence[Job], run: Run, at: int) -> None:
        """Book a page, together, so that they share commits."""
        results = await asyncio.gather(*(self._engine.ask(_lapse(job)) for job in due), return_exceptions=True)
        failed: list[tuple[Job, str]] = []
        stopped: list[tuple[Job, BaseException]] = []
        for job, result in zip(due, results, strict=True):
            error = _error(result)
            if isinstance(result, BaseException) and not isinstance(result, Crashed):
                stopped.append((job, result))
            elif error:
                failed.append((job, error))
                run.add(job.workspace, failed=1, errors=({"account": job.subject, "error": error},))
            else:
                run.add(job.workspace, done=1)
        run.parked += await self._jobs.fail([job for job, _ in failed], [error for _, error in failed], at)
        await self._jobs.give_back([job for job, _ in stopped])
        if stopped:
            # The machine failed, and no account did.
            raise stopped[0][1]


def _lapse(job: Job) -> Lapse:
    return Lapse(workspace=job.workspace, account=job.subject, actor=ACTOR)


def _error(result: Outcome | BaseException) -> str:
    """Why an account could not be booked; empty where it was."""
    if isinstance(result, Crashed):
        return f"{result.code}: {result}"
    return str(result.code) if isinstance(result, Refused) else ""
