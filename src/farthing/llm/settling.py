"""Settling: runs the steps of metered calls against a ledger, by threads or in tasks of an event loop.

An answer never waits long for its settlement, and never fails for it. What can't be settled because the ledger can't be
asked goes into the client's journal where it has one, else it is tried again for as long as the client is open. What is
refused for good is put on the journal's shelf and told in the log, with all that was to be charged.

It is over 400 lines because what is done for threads and for event loops is the same, and is read side by side.
"""

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from operator import attrgetter
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final, TypeVar
from weakref import WeakSet

from farthing.client.aio.client import AsyncClient
from farthing.client.aio.door import AsyncDoor
from farthing.client.calls import Call
from farthing.client.errors import ClientClosed, FarthingError, InsufficientCredits, SpendLimit, Unusable
from farthing.client.finishing import afinished
from farthing.client.sync.client import Client
from farthing.client.sync.door import Door

from .call import ModelCall, Steps
from .document import Document
from .later import Waiting
from .terms import goes_on
from .unsettled import give_up, may_go_well_later

T = TypeVar("T")
WAIT_SECONDS: Final = 2.0
"""An answer that is over waits no longer than that for its settlement."""
CLOSING_SECONDS: Final = 30.0
"""A ledger that is closed waits so long for what is still to be settled."""
_FIRST_SECONDS: Final = 0.25
_LONGEST_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 0.25
"""Who is to try something again looks so often whether the ledger is being closed."""
_THREADS: Final = 4
_TURNS: Final = 20
"""A stream that is dropped on an event loop is let go of generator by generator, which takes some turns of it."""
_POOR: Final = (InsufficientCredits, SpendLimit)
_LOG: Final = logging.getLogger("farthing.llm")


def _opening(call: ModelCall, door: Door | AsyncDoor) -> Steps[None]:
    return call.opening(monotonic(), goes_on(call.policy.unavailable, door.outage.bears))


class Job:
    """Something on its way that closing waits for."""

    def __init__(self, settles: str = "") -> None:
        self.done = threading.Event()
        self.settles = settles
        """The account of the call that it settles, where it does."""


class _Turn:
    """A call to be settled by a thread, now or later."""

    def __init__(self, job: Job, call: ModelCall) -> None:
        self.job, self.call = job, call
        self.due = 0.0
        """When it is tried again."""
        self.alone = False
        """Whether nobody else tries anything again meanwhile."""
        self._pause = _FIRST_SECONDS

    def later(self, now: float) -> "_Turn":
        """The same, when some time has passed; each time it is longer."""
        self.due, self._pause = now + self._pause, min(2 * self._pause, _LONGEST_SECONDS)
        return self


class Settler:
    """Settles for threads; one for each client."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._document = Document()
        self.waiting = Waiting()
        self.begin()
        _SETTLERS.add(self)

    def begin(self) -> None:
        """Begin with nothing to do and nobody to do it. So does a fork: what is open is its parent's, and so are the
        threads."""
        self._jobs: SimpleQueue[tuple[Job, ModelCall]] = SimpleQueue()
        self._turn, self._again = threading.Lock(), threading.Lock()
        self._threads = 0
        self._open: set[Job] = set()
        self._closing = threading.Event()
        self._first = threading.Lock()

    def document(self) -> str:
        """What the workspace says of metering: asked for once, and then again beside the calls."""
        found = self._document
        if not found.known:
            # Calls that are made meanwhile wait for it: they are by the same policies.
            with self._first:
                if found.due():
                    self._read(found)
        elif found.due():
            self.beside(partial(self.ask, found.reading()))
        return found.text

    def _read(self, found: Document) -> None:
        try:
            self.ask(found.reading())
        except BaseException:
            found.unread()
            raise

    def steps_before(self, call: ModelCall) -> Steps[None]:
        """What is asked before a call is made."""
        return _opening(call, self._door)

    def start(self, steps: Steps[T]) -> Call[Any] | None:
        """The first of what steps ask, on its way where that is of use; None where they ask nothing."""
        first = next(steps, None)
        return None if first is None else self._door.start(first)

    def ask(self, steps: Steps[T], first: Call[Any] | None = None) -> T:
        """Run steps to their end; those that were started, from the first on."""
        try:
            call = next(steps) if first is None else first
            while True:
                try:
                    answer = self._door.ask(call)
                except FarthingError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    def open(self, call: ModelCall) -> None:
        """Hold for a call that is about to be made. What is raised says that it must not be."""
        self.opened(call, partial(self.ask, self.steps_before(call)))

    def opened(self, call: ModelCall, ask: Callable[[], None]) -> None:
        """The same, as it is asked first."""
        try:
            ask()
        except _POOR:
            # Calls that are over have their holds until they are settled: in a loop with tools the last one may.
            ending = [job for job in self._jobs_open() if job.settles == call.terms.account]
            if not ending:
                raise
            until = monotonic() + WAIT_SECONDS
            for job in ending:
                job.done.wait(max(0.0, until - monotonic()))
            self.ask(self.steps_before(call))

    def settle(self, call: ModelCall, *, wait: bool) -> None:
        """Settle a call that has ended; wait for it, though not for long."""
        job = self._put(call)
        self._work_with(min(_THREADS, len(self._open)))
        if wait and call.terms.tab is None:
            job.done.wait(WAIT_SECONDS)

    def over(self, call: ModelCall) -> None:
        """An answer is there: settle its call, or keep it where it was only said that the answer will come."""
        if call.end("finished"):
            self.settle(call, wait=True)
        elif call.stays:
            self.waiting.keep(call)
            if call.ticks(monotonic()):
                self.report(call).done.wait(WAIT_SECONDS)

    def settle_from_anywhere(self, call: ModelCall) -> None:
        """The same for what is dropped, which may be found in the middle of anything: whoever looks after answers has
        called `ready` before."""
        self._put(call)

    def ready(self) -> None:
        """See to it that somebody settles what is dropped."""
        if not self._threads:
            self._work_with(1)

    def _work_with(self, threads: int) -> None:
        # Nobody waits for his turn: it may be this very thread that has it, where an answer is dropped meanwhile. Who
        # has it sees to it that there is one thread at least.
        if not self._turn.acquire(blocking=False):
            return
        try:
            if self._threads < threads:
                threading.Thread(target=self._work, name="farthing-metering", daemon=True).start()
                self._threads += 1
        except RuntimeError:  # the machine has no more: those that there are do it, or the next one that can be had
            _LOG.exception("no thread can be had to settle model calls")
        finally:
            self._turn.release()

    def _put(self, call: ModelCall) -> Job:
        # Both are done in one step, whoever else does so at the same time.
        job = Job(call.terms.account)
        self._open.add(job)
        self._jobs.put((job, call))
        return job

    def _work(self) -> None:
        later: list[_Turn] = []
        while True:
            turn = self._next(later)
            again = False
            try:
                again = self._settle(turn.call)
            except Exception:  # a bug must not end the thread
                _LOG.exception("a model call of %s could not be charged", turn.call.terms.account)
            finally:
                if turn.alone:
                    self._again.release()
            if again:
                later.append(turn.later(monotonic()))
                continue
            try:
                turn.call.put_down()
            except Exception:  # nor must another's
                _LOG.exception("who waits for a model call of %s could not be told", turn.call.terms.account)
            self._over(turn.job)

    def _next(self, later: "list[_Turn]") -> "_Turn":
        """What a thread settles next: what has ended since, before what it is to try again when that is due. One thread
        at a time tries again: a ledger that hangs for some calls leaves the others to those that have just ended."""
        while later:
            turn, now = min(later, key=attrgetter("due")), monotonic()
            wait = min(turn.due - now, _LOOK_SECONDS) if turn.due > now else _LOOK_SECONDS
            closing = self._closing.is_set()  # then nobody waits for anything
            turn.alone = not closing and turn.due <= now and self._again.acquire(blocking=False)
            mine = closing or turn.alone
            if not mine or now < turn.due + _LONGEST_SECONDS:
                with suppress(Empty):
                    found = _Turn(*self._jobs.get(timeout=0 if mine else wait))
                    if turn.alone:
                        self._again.release()
                    return found
            if mine:
                later.remove(turn)
                return turn
        return _Turn(*self._jobs.get())

    def _over(self, job: Job) -> None:
        self._open.discard(job)
        job.done.set()

    def _settle(self, call: ModelCall) -> bool:
        """Settle a call; whether that is to be tried again."""
        try:
            self.ask(call.settling())
        except FarthingError as error:
            if self._closing.is_set() or isinstance(error, ClientClosed | Unusable) or not may_go_well_later(error):
                give_up(call, error, self._door.outage.journal)
                return False
            _LOG.warning("a model call of %s can't be charged yet: %s", call.terms.account, error)
            return True
        return False

    def beside(self, work: Callable[[], None]) -> Job:
        """Do something in a thread of its own, for which the ledger waits when it is closed."""
        job = Job()
        self._open.add(job)

        def run() -> None:
            try:
                work()
            finally:
                self._over(job)

        try:
            threading.Thread(target=run, name="farthing-metering", daemon=True).start()
        except RuntimeError:  # the machine has no more: then it is done here
            run()
        return job

    def report(self, call: ModelCall) -> Job:
        """Tell the ledger how far a stream is, while it goes on."""
        return self.beside(partial(self._report, call))

    def _report(self, call: ModelCall) -> None:
        try:
            self.ask(call.reporting(monotonic()))
        except BaseException as error:
            call.unheard()
            if not isinstance(error, FarthingError):
                raise
            _LOG.info("the ledger could not be told how far a stream of %s is: %s", call.terms.account, error)

    def idle(self, seconds: float) -> bool:
        """Wait until all is settled that has ended; whether it is."""
        until = monotonic() + seconds
        self.ready()
        # What is read to its end by somebody else is settled after that.
        while jobs := self._jobs_open():
            if not all(job.done.wait(max(0.0, until - monotonic())) for job in jobs):
                return False
        return True

    def _jobs_open(self) -> list[Job]:
        return list(self._open)

    def close(self) -> None:
        """Settle what is left, and try nothing again."""
        self._closing.set()
        self.idle(CLOSING_SECONDS)


_SETTLERS: Final[WeakSet[Settler]] = WeakSet()


@atexit.register
def _at_exit() -> None:
    for each in list(_SETTLERS):
        each.idle(5)


def _after_fork() -> None:
    for each in list(_SETTLERS):
        each.begin()


os.register_at_fork(after_in_child=_after_fork)


class AsyncSettler:
    """Settles in tasks of an event loop; one for each client."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door
        self.loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._settling: dict[asyncio.Task[None], str] = {}
        """Those that settle a call, with its account."""
        self._closing = asyncio.Event()
        self._document = Document()
        self._first = asyncio.Lock()
        self.waiting = Waiting()

    async def document(self) -> str:
        """What the workspace says of metering: asked for once, and then again beside the calls."""
        found = self._document
        if not found.known:
            # Calls that are made meanwhile wait for it: they are by the same policies.
            async with self._first:
                if found.due():
                    await self._read(found)
        elif found.due():
            self.spawn(self.ask(found.reading()))
        return found.text

    async def _read(self, found: Document) -> None:
        try:
            await self.ask(found.reading())
        except BaseException:
            found.unread()
            raise

    def steps_before(self, call: ModelCall) -> Steps[None]:
        """What is asked before a call is made."""
        return _opening(call, self._door)

    def start(self, steps: Steps[T]) -> Call[Any] | None:
        """The first of what steps ask, on its way where that is of use; None where they ask nothing."""
        first = next(steps, None)
        return None if first is None else self._door.start(first)

    async def ask(self, steps: Steps[T], first: Call[Any] | None = None) -> T:
        """Run steps to their end; those that were started, from the first on."""
        try:
            call = next(steps) if first is None else first
            while True:
                try:
                    answer = await self._door.ask(call)
                except FarthingError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    async def open(self, call: ModelCall) -> None:
        """Hold for a call that is about to be made. What is raised says that it must not be; whoever is cancelled
        meanwhile does not make it."""
        await self.opened(call, self.ask(self.steps_before(call)))

    async def opened(self, call: ModelCall, ask: Coroutine[Any, Any, None], *, there: bool = False) -> None:
        """The same, as it is asked first. What is `there` waits for nothing, so that nothing of it can be torn off."""
        try:
            try:
                await (ask if there else afinished(ask))
            except _POOR:
                ending = [task for task, account in self._settling.items() if account == call.terms.account]
                if not ending:
                    raise
                await asyncio.wait(ending, timeout=WAIT_SECONDS)
                await afinished(self.ask(self.steps_before(call)))
        except asyncio.CancelledError:
            call.end("refused")
            self.settle(call)
            raise

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something in a task of its own, for which the ledger waits when it is closed."""
        task = self.loop.create_task(work, name="farthing-metering")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def settle(self, call: ModelCall) -> asyncio.Task[None]:
        """Settle a call that has ended, whatever becomes of who made it."""
        task = self.spawn(self._settle(call))
        self._settling[task] = call.terms.account
        task.add_done_callback(self._settling.pop)
        task.add_done_callback(lambda _: call.put_down())
        return task

    async def over(self, call: ModelCall) -> None:
        """An answer is there: settle its call, or keep it where it was only said that the answer will come."""
        if call.end("finished"):
            await self.settled(call)
        elif call.stays:
            self.waiting.keep(call)
            if call.ticks(monotonic()):
                await asyncio.wait([self.report(call)], timeout=WAIT_SECONDS)

    def settle_from_anywhere(self, call: ModelCall) -> None:
        """The same where it is not known in which thread: an answer was dropped that nobody has read."""
        with suppress(RuntimeError):  # the loop is closed: the hold ends by its policy
            self.loop.call_soon_threadsafe(self.settle, call)

    async def settled(self, call: ModelCall) -> None:
        """Settle it and wait for that, though not for long."""
        task = self.settle(call)
        if call.terms.tab is None:
            await asyncio.wait([task], timeout=WAIT_SECONDS)

    async def _settle(self, call: ModelCall) -> None:
        try:
            await self._settle_in_time(call)
        except asyncio.CancelledError:
            # Its loop ends, and waits for whom it has told so: asked once more, whatever became of it before.
            await self._settle_in_time(call, last=True)
            raise

    async def _settle_in_time(self, call: ModelCall, *, last: bool = False) -> None:
        pause = _FIRST_SECONDS
        while True:
            try:
                return await self.ask(call.settling())
            except FarthingError as error:
                last = last or self._closing.is_set() or isinstance(error, ClientClosed | Unusable)
                if last or not may_go_well_later(error):
                    return await asyncio.to_thread(give_up, call, error, self._door.outage.journal)
                _LOG.warning("a model call of %s can't be charged yet: %s", call.terms.account, error)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._closing.wait()
            pause = min(2 * pause, _LONGEST_SECONDS)

    def report(self, call: ModelCall) -> asyncio.Task[None]:
        """Tell the ledger how far a stream is, while it goes on."""
        return self.spawn(self._report(call))

    async def _report(self, call: ModelCall) -> None:
        try:
            await self.ask(call.reporting(monotonic()))
        except BaseException as error:
            call.unheard()
            if not isinstance(error, FarthingError):
                raise
            _LOG.info("the ledger could not be told how far a stream of %s is: %s", call.terms.account, error)

    async def idle(self, seconds: float) -> bool:
        """Wait until all is settled that has ended; whether it is."""
        until = monotonic() + seconds
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        # What is read to its end by somebody else is settled after that.
        while tasks := [task for task in self._tasks if not task.done()]:
            _, left = await asyncio.wait(tasks, timeout=max(0.0, until - monotonic()))
            if left:
                return False
        return True

    async def aclose(self) -> None:
        """Settle what is left, and try nothing again."""
        self._closing.set()
        await self.idle(CLOSING_SECONDS)


def settler_of(ledger: Client) -> Settler:
    """The one of a client."""
    door = ledger._door
    found = door.attached.get("llm")
    if not isinstance(found, Settler):
        found = door.attached["llm"] = Settler(door)
    return found


def async_settler_of(ledger: AsyncClient) -> AsyncSettler:
    """The one of an asynchronous client."""
    door = ledger._door
    found = door.attached.get("llm")
    if not isinstance(found, AsyncSettler) or found.loop.is_closed():
        found = door.attached["llm"] = AsyncSettler(door)
    return found


def settled(ledger: Client, seconds: float = CLOSING_SECONDS) -> bool:
    """Wait until all metered calls are settled that have ended; whether they are. Closing the ledger does so, too."""
    return settler_of(ledger).idle(seconds)


async def asettled(ledger: AsyncClient, seconds: float = CLOSING_SECONDS) -> bool:
    """The same on an event loop."""
    return await async_settler_of(ledger).idle(seconds)
