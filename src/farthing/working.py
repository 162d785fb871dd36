"""Working: the jobs put together, for a server that does them beside its requests (`working`), and for `farthing
worker`, which does nothing else (`work`, `work_once`). Like `serving`, it knows all.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeVar

import uvloop
from structlog.typing import FilteringBoundLogger

from farthing.api.logs import make_logger
from farthing.api.metrics import Metrics
from farthing.app import ConfigWatch, Ledger, open_ledger
from farthing.backends import backend_of
from farthing.core.commands import Command
from farthing.core.credentials import redact
from farthing.core.jobs import Job
from farthing.desks import runner_on
from farthing.jobs.kind import Count, Run
from farthing.jobs.runner import Ran, Runner
from farthing.settings import Settings
from farthing.stores.contract import StoreError
from farthing.stores.jobs import Jobs
from farthing.stores.migrate import require_current
from farthing.stores.outbox import Outbox
from farthing.stores.purchases import Purchases

T = TypeVar("T")
END_SECONDS: Final = 2.0
"""How long a server waits for what its jobs have in hand; what is cut is done by who comes next."""
WORKER_END_SECONDS: Final = 600.0
FIGURES_SECONDS: Final = 15.0
MICRO: Final = 1_000_000


class Observer:
    """Told by the engine: counts, and logs a crash with its traceback, which no caller is shown."""

    def __init__(self, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self.committed = metrics.committed
        self._metrics = metrics
        self._log = log

    def crashed(self, command: Command, error: BaseException) -> None:
        """A bug stopped a command."""
        self._metrics.crashed(command, error)
        self._log.error("command crashed", kind=command.kind, id=command.id, exc_info=error)


class Watching:
    """Told by the jobs: counts and logs."""

    def __init__(self, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self._metrics = metrics
        self._log = log

    def ran(self, kind: str, run: Run, seconds: float) -> None:
        """A run came to its end."""
        self._metrics.job_ran(kind, run.done, run.failed)
        tell = self._log.info if run.failed else self._log.debug
        if run.done or run.failed:
            tell("job done", kind=kind, done=run.done, failed=run.failed, seconds=round(seconds, 3))

    def stopped(self, kind: str, error: Exception, job: Job | None) -> None:
        """A run was stopped by an error."""
        self._metrics.job_failed(kind)
        bug = None if isinstance(error, StoreError) else error
        attempts = 0 if job is None else job.attempts
        self._log.warning("job failed, and is put off", kind=kind, error=str(error), attempts=attempts, exc_info=bug)

    def alarm(self, kind: str, workspace: str, count: Count) -> None:
        """Failures of a run were above a tenth of its successes."""
        self._metrics.job_alarmed(kind)
        told = {"kind": kind, "workspace": workspace, "done": count.done, "failed": count.failed}
        self._log.warning("jobs fail", **told, errors=count.errors)

    def parked(self, job: Job) -> None:
        """It is not tried again until somebody says so."""
        told = {"kind": job.kind, "workspace": job.workspace, "subject": job.subject, "attempts": job.attempts}
        self._log.error("job parked: `farthing jobs retry` has it tried again", **told, error=job.last_error)

    def trouble(self, what: str, error: Exception | None) -> None:
        """The runner itself met something; it goes on."""
        bug = None if isinstance(error, StoreError) else error
        self._log.warning(what, error="" if error is None else str(error), exc_info=bug)


def open_for(settings: Settings, loop: asyncio.AbstractEventLoop, observer: Observer) -> Ledger:
    """The ledger of a process that runs on that loop."""
    return open_ledger(
        settings.database_url,
        inline_on=loop
        if settings.engine == "inline" or backend_of(settings.database_url).dialect != "sqlite"
        else None,
        observer=observer,
        max_batch=settings.max_batch,
        max_queue=settings.max_queue,
        lanes=settings.lanes,
        reader=True,
    )


# Beside a server


@asynccontextmanager
async def working(
    settings: Settings, ledger: Ledger, metrics: Metrics, log: FilteringBoundLogger
) -> AsyncIterator[None]:  # fmt: skip
    """Do the jobs for as long as the block lasts, where this process is to; and count how they stand."""
    figures = asyncio.create_task(_keep_figures(ledger, metrics))
    runner = runner_on(
        ledger, settings, Watching(metrics, log), traffic=lambda: metrics.commands, on_renewals=metrics.renewed,
        on_payments=metrics.notified, on_tried=metrics.webhook_tried,
    )  # fmt: skip
    serving = asyncio.create_task(runner.serve()) if settings.jobs else None
    try:
        yield
    finally:
        figures.cancel()
        if serving is not None:
            await runner.end(serving, END_SECONDS)
        await asyncio.gather(figures, return_exceptions=True)


async def _keep_figures(ledger: Ledger, metrics: Metrics) -> None:
    jobs, purchases, outbox = Jobs(ledger.database), Purchases(ledger.database), Outbox(ledger.database)
    while True:
        try:
            found, waiting, unsent = await jobs.figures(), await purchases.waiting(), await outbox.figures()
        except StoreError:
            # What was known last stays; that the database is away is told by others.
            await asyncio.sleep(FIGURES_SECONDS)
            continue
        oldest = found.oldest_due_at
        late = 0 if oldest is None else max(ledger.clock.now_us() - oldest, 0)
        metrics.jobs_stand(found.parked, late / MICRO)
        metrics.payments_wait(waiting)
        age = 0 if unsent.oldest_at is None else max(ledger.clock.now_us() - unsent.oldest_at, 0)
        metrics.webhooks_wait(unsent.waiting, age / MICRO)
        await asyncio.sleep(FIGURES_SECONDS)


# A process of its own


def work(settings: Settings, on_ready: Callable[[], None]) -> None:
    """Do the jobs until SIGTERM or SIGINT, which let what is in hand be done."""

    async def until_stopped(runner: Runner) -> None:
        serving = asyncio.create_task(runner.serve())
        on_ready()
        await runner.stopped()
        await runner.end(serving, WORKER_END_SECONDS)

    _run(settings, until_stopped)


def work_once(settings: Settings) -> list[Ran]:
    """Do all that is due, and end."""
    return _run(settings, lambda runner: runner.once())


def _run(settings: Settings, doing: Callable[[Runner], Coroutine[Any, Any, T]]) -> T:
    require_current(backend_of(settings.database_url).schema())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_opened(settings, doing))


async def _opened(settings: Settings, doing: Callable[[Runner], Coroutine[Any, Any, T]]) -> T:
    loop = asyncio.get_running_loop()
    log, metrics = make_logger(settings.log_level, redact=redact), Metrics()
    async with AsyncExitStack() as held:
        ledger = open_for(settings, loop, Observer(metrics, log))
        held.push_async_callback(ledger.aclose)
        watch = ConfigWatch(lambda: ledger.backend.config(ledger.clock.follows), ledger.clock.accept)
        watch.start()
        held.callback(watch.stop)
        runner = runner_on(ledger, settings, Watching(metrics, log))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, runner.stop)
            held.callback(loop.remove_signal_handler, number)
        return await doing(runner)
