"""Automatic top-ups as a job: looks at accounts that have fallen below their threshold, and asks providers.

It works off items: one is put down by the charge that brings its account below, and stays, due again when there is
something to see to, until the account has enough or nobody wants that any more. Each step of an attempt is a commit of
its own, so that one which was cut off is gone on with by whoever comes next; what a provider refuses is no failure of
the job.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from farthing.commerce.topping_up import Looked, ToppingUp
from farthing.core.jobs import TOP_UP, Job
from farthing.core.records import Workspace
from farthing.engine import Crashed
from farthing.stores.contract import StoreError
from farthing.stores.jobs import Jobs
from farthing.stores.reports import Reports

from .kind import Halted, Kind, Run, Tools

NAME: Final = "top_ups"
BATCH: Final = 20
AT_ONCE: Final = 4
"""Providers are asked for so many at a time."""
LEASE_US: Final = 120_000_000


def kind(tools: Tools) -> Kind:
    """Shared: any number of processes."""
    job = TopUpJob(Jobs(tools.database), tools.reports, tools.topping_up, tools.now_us)
    return Kind(name=NAME, run=job.run, every_seconds=tools.every[NAME])


class TopUpJob:
    """Tops accounts up."""

    def __init__(self, jobs: Jobs, reports: Reports, topping_up: ToppingUp, now_us: Callable[[], int]) -> None:
        self._jobs = jobs
        self._reports = reports
        self._topping_up = topping_up
        self._now_us = now_us

    async def run(self, halted: Halted = lambda: False) -> Run:
        """Look at all that are due."""
        run = Run()
        while not halted():
            at = self._now_us()
            due = await self._jobs.take(TOP_UP, at, at + LEASE_US, BATCH)
            await self._look(due, run, at)
            if len(due) < BATCH:
                break
        return run

    async def _look(self, due: Sequence[Job], run: Run, at: int) -> None:
        gate = asyncio.Semaphore(AT_ONCE)
        workspaces = {id: await self._reports.workspace(id) for id in dict.fromkeys(job.workspace for job in due)}

        async def one(job: Job) -> Looked | None:
            workspace: Workspace | None = workspaces[job.workspace]
            async with gate:
                return None if workspace is None else await self._topping_up.look(workspace, job.subject)

        results = await asyncio.gather(*map(one, due), return_exceptions=True)
        failed: list[tuple[Job, str]] = []
        stopped: list[tuple[Job, BaseException]] = []
        for job, result in zip(due, results, strict=True):
            machine = isinstance(result, StoreError) and not isinstance(result, Crashed)
            if isinstance(result, BaseException) and (machine or not isinstance(result, Exception)):
                stopped.append((job, result))
            elif isinstance(result, BaseException):
                error = f"{type(result).__name__}: {result}"
                failed.append((job, error))
                run.add(job.workspace, failed=1, errors=({"account": job.subject, "error": error},))
            elif result is not None and result.asked:
                run.add(job.workspace, done=1)
        run.parked += await self._jobs.fail([job for job, _ in failed], [error for _, error in failed], at)
        await self._jobs.give_back([job for job, _ in stopped])
        if stopped:
            # The machine failed, and no account did.
            raise stopped[0][1]
