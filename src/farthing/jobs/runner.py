"""The runner: does what is due among the jobs that stand, beside any number of others on the same database.

Each job is taken under a lease, which is kept up while it is done, and is free again when the process has died. What
fails is put off, longer each time, and is parked when it has failed too often; what the machine did (a full disk, a
database that is away) parks nothing. No failure ends the runner. While the clock is not to be believed it takes
nothing, and what it has ends before its next piece of work.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final, Protocol

from msgspec import Struct

from farthing.core.ids import bucket_of
from farthing.core.jobs import FAILING, LONGEST_US, PARKED, Job
from farthing.core.records import Event
from farthing.engine import Crashed, Ids
from farthing.stores.contract import StoreError
from farthing.stores.events import Events
from farthing.stores.jobs import Jobs, Lease, When

from .kind import Count, Kind, Run

POLL_SECONDS: Final = 1.0
LEASE_US: Final = 60_000_000
"""What a process that died had taken is free after it."""
JOIN_US: Final = 5_000_000
"""Of a shared job that takes longer, others take their part."""
KEPT_BELOW_SECONDS: Final = 15.0
"""Who has a job that is due more often, and alone, keeps it: to give it back each time would cost more than it does."""
MACHINE_US: Final = 300_000_000
"""What the machine stopped is tried again after this at the latest."""
MACHINE_ALARMS: Final = 3
"""So often in a row the machine may stop a job before that is raised as an alert."""
MICRO: Final = 1_000_000


class Clock(Protocol):
    """The ledger's clock."""

    def now_us(self) -> int:
        """The time."""

    def state(self) -> object | None:
        """Not None while it is not to be believed."""


class Watcher(Protocol):
    """Who is told; must be quick and may not raise."""

    def ran(self, kind: str, run: Run, seconds: float) -> None:
        """A run came to its end."""

    def stopped(self, kind: str, error: Exception, job: Job | None) -> None:
        """A run was stopped by an error; the job as it is from now on."""

    def alarm(self, kind: str, workspace: str, count: Count) -> None:
        """Failures of a run were above a tenth of its successes."""

    def parked(self, job: Job) -> None:
        """It is not tried again until somebody says so."""

    def trouble(self, what: str, error: Exception | None) -> None:
        """The runner itself met something; it goes on."""


class Ran(Struct, frozen=True, kw_only=True):
    """What came of running a job once."""

    kind: str
    done: int = 0
    failed: int = 0
    error: str = ""
    """Why it was stopped."""
    skipped: bool = False
    """Somebody else has it; or it failed, and waits or is parked."""


class _Held(Struct):
    """A job that this process has taken."""

    job: Job
    lost: bool = False
    """Its lease ended before it was kept up, and somebody else has it."""
    outcome: str | None = None


class Runner:
    """Does the jobs of a process."""

    def __init__(self, jobs: Jobs, events: Events, kinds: Iterable[Kind], clock: Clock, watcher: Watcher) -> None:
        self._jobs = jobs
        self._events = events
        self._kinds: Mapping[str, Kind] = {kind.name: kind for kind in kinds}
        self._clock = clock
        self._watcher = watcher
        self._ids = Ids()
        self._stopping = asyncio.Event()
        self._running: dict[str, asyncio.Task[Ran | None]] = {}
        self._paused = False
        self._stand = False
        often = [kind.every_seconds for kind in self._kinds.values() if kind.every_seconds]
        self._poll_seconds = min([POLL_SECONDS, *often])

    # For as long as the process lives

    async def serve(self) -> None:
        """Do what is due, until `stop`; then what is in hand."""
        while not self._stopping.is_set():
            try:
                await self._look()
            except Exception as error:  # nothing ends it: there would be nobody to do what is due
                self._watcher.trouble("the jobs can't be read", error)
            await self._rest(self._poll_seconds)
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def stop(self) -> None:
        """Take nothing more."""
        self._stopping.set()

    async def stopped(self) -> None:
        """Until somebody has said so."""
        await self._stopping.wait()

    async def end(self, serving: "asyncio.Task[None]", seconds: float) -> None:
        """Stop, and wait for what is in hand; what takes longer is cut, and is done by who comes next."""
        self.stop()
        await asyncio.wait([serving], timeout=seconds)
        tasks = [serving, *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        """Begin what is due and nobody else has."""
        if self._is_paused():
            return
        await self._make_rows()
        for job in await self._jobs.standing(self._kinds):
            kind = self._kinds[job.kind]
            lease = self._lease(kind)
            free = job.parked_at is None and lease.is_due(job) and not lease.is_taken(job)
            if free and kind.every_seconds and job.kind not in self._running:
                task = asyncio.create_task(self._turn(kind, "due", again=True))
                self._running[job.kind] = task
                task.add_done_callback(lambda task, name=job.kind: self._over(name, task))  # type: ignore[misc]

    async def _make_rows(self) -> None:
        if not self._stand:
            await self._jobs.stand(self._kinds, self._clock.now_us())
            self._stand = True

    def _over(self, name: str, task: "asyncio.Task[Ran | None]") -> None:
        del self._running[name]
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._watcher.trouble(f"the job {name} can't be taken or given back", error)

    def _is_paused(self) -> bool:
        jumped = self._clock.state() is not None
        if jumped and not self._paused:
            self._watcher.trouble("the clock has jumped: jobs pause until it can be believed", None)
        self._paused = jumped
        return jumped

    async def _rest(self, seconds: float, news: asyncio.Event | None = None) -> None:
        """Until that time is over, there are news, or it is to stop."""
        waits = [asyncio.ensure_future(each.wait()) for each in (self._stopping, news) if each is not None]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    # Once

    async def once(self, names: Iterable[str] | None = None, when: When = "ready") -> list[Ran]:
        """Do all jobs, or those of these names, one after another; of what others have, and of what failed and waits,
        it is only told, unless it is to be done `now`."""
        await self._make_rows()
        kinds = self._kinds.values() if names is None else [self._kinds[name] for name in names]
        told = []
        for kind in kinds:
            ran = None if self._is_paused() or self._stopping.is_set() else await self._turn(kind, when, again=False)
            told.append(ran or Ran(kind=kind.name, skipped=True))
        return told

    # A turn

    async def _turn(self, kind: Kind, when: When, *, again: bool) -> Ran | None:
        """Take a job, do it, give it back; None where it could not be taken."""
        job = await self._jobs.claim(kind.name, self._lease(kind), when)
        if job is None:
            return None
        held = _Held(job)
        try:
            async with self._kept_up(held, kind):
                run = await self._runs(held, kind, again=again)
        except asyncio.CancelledError:
            # Who comes next need not wait for the lease to end.
            await self._give_back(held, kind, 0.0)
            raise
        except Exception as error:
            return await self._stopped(held, kind, error)
        await self._give_back(held, kind, 0.0 if self._halted(held) else kind.every_seconds)
        return Ran(kind=kind.name, done=run.done, failed=run.failed)

    async def _runs(self, held: _Held, kind: Kind, *, again: bool) -> Run:
        """Run it; again and again, where it is kept."""
        kept = again and (kind.stays or (kind.alone and kind.every_seconds < KEPT_BELOW_SECONDS))
        while True:
            began = time.monotonic()
            run = await kind.run(lambda: self._halted(held))
            held.outcome = run.outcome or held.outcome
            self._watcher.ran(kind.name, run, time.monotonic() - began)
            await self._tell(kind, run)
            if not kept or self._halted(held):
                return run
            await self._rest(kind.every_seconds, kind.news)
            if self._halted(held):
                return run

    def _halted(self, held: _Held) -> bool:
        return self._stopping.is_set() or held.lost or self._is_paused()

    def _lease(self, kind: Kind) -> Lease:
        at = self._clock.now_us()
        until = at + LEASE_US
        longest = max(round(kind.every_seconds * MICRO), LONGEST_US)
        next_at = until if kind.alone else at + JOIN_US
        return Lease(at=at, until=until, next_at=next_at, alone=kind.alone, longest_us=longest)

    @contextlib.asynccontextmanager
    async def _kept_up(self, held: _Held, kind: Kind) -> AsyncIterator[None]:
        keeper = asyncio.create_task(self._keep_up(held, kind))
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _keep_up(self, held: _Held, kind: Kind) -> None:
        """Put the end of a lease off, in time."""
        while True:
            await asyncio.sleep(LEASE_US / MICRO / 3)
            try:
                kept = await self._jobs.keep(held.job, self._lease(kind), held.outcome)
            except StoreError as error:
                self._watcher.trouble(f"the lease of {kind.name} can't be kept up", error)
                continue
            if kept is not None:
                held.job = kept
            elif kind.alone:
                held.lost = True
                return

    async def _give_back(self, held: _Held, kind: Kind, seconds: float) -> None:
        due_at = self._clock.now_us() + round(seconds * MICRO)
        try:
            await asyncio.shield(self._jobs.done(held.job, due_at, held.outcome, alone=kind.alone))
        except StoreError as error:  # it is free when its lease ends
            self._watcher.trouble(f"the job {kind.name} can't be given back", error)

    async def _stopped(self, held: _Held, kind: Kind, error: Exception) -> Ran:
        """It failed as a whole."""
        machine = isinstance(error, StoreError) and not isinstance(error, Crashed)
        at, said = self._clock.now_us(), _sentence(error)
        job: Job | None = None
        try:
            job = await self._jobs.put_off(held.job, at, said, longest_us=MACHINE_US if machine else None)
        except StoreError as second:
            self._watcher.trouble(f"the job {kind.name} can't be put off", second)
        self._watcher.stopped(kind.name, error, job)
        run = Run()
        if not machine or (job is not None and job.attempts >= MACHINE_ALARMS):
            run.add("", failed=1, errors=[{"error": said}])
        if job is not None and job.parked_at is not None:
            run.parked.append(job)
        await self._tell(kind, run)
        return Ran(kind=kind.name, error=said)

    # Alerts

    async def _tell(self, kind: Kind, run: Run) -> None:
        """Raise what has to be raised: in the log, in the metrics, and as events."""
        events = []
        for workspace, count in run.counts.items():
            if count.alarming and count.failed:
                self._watcher.alarm(kind.name, workspace, count)
                data = {"kind": kind.name, "done": count.done, "failed": count.failed, "errors": count.errors}
                events.append(self._event(FAILING, workspace, "", data))
        for job in run.parked:
            self._watcher.parked(job)
            data = {"kind": job.kind, "attempts": job.attempts, "error": job.last_error}
            events.append(self._event(PARKED, job.workspace, job.subject, data))
        try:
            await self._events.add(events)
        except StoreError as error:
            self._watcher.trouble("what failed could not be written down as an event", error)

    def _event(self, type: str, workspace: str, account: str, data: dict[str, Any]) -> Event:
        at, bucket = self._clock.now_us(), bucket_of(workspace, account)
        return Event(self._ids("evt", at, bucket), workspace, account, bucket, type, at, data)


def _sentence(error: Exception) -> str:
    code = error.code if isinstance(error, StoreError) else type(error).__name__
    return f"{code}: {error}"
