"""The engine: takes whoever waits, decides them in order on what the store loads, commits once, answers each.

`submit` is the one door: it stamps the command, puts it into a bounded queue and calls back with an outcome, or with
an exception when the machine failed (the exceptions of `stores.contract` and those below). An outcome is told only
after the commit. Where the store never suspends (SQLite) a batch runs either in a thread of the engine's own, so that
no caller's loop waits for the disk, or inline on one event loop; see docs/adr for what was measured. A store that
waits for a network (PostgreSQL) is run as a task of an event loop: while a batch is on its way the next one gathers.

Well over 400 lines: the queue, the batch and what happens when either fails are one story, told in one place.
"""

import asyncio
import itertools
import os
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, Protocol

from farthing.core.commands import Command, Invalid, Refund, check
from farthing.core.context import AccountKey, Calendar, Context, MonthsAfter, no_months
from farthing.core.decide import decide_well_formed, malformed
from farthing.core.ids import NONCE_BITS, bucket_in, bucket_of, make_id
from farthing.core.outcomes import Accepted, Outcome, Refused
from farthing.stores.contract import Overtaken, Raced, Store, StoreError, Unknown, result_of

MAX_BATCH: Final = 256
MAX_QUEUE: Final = 10_000
RACES: Final = 3
UNKNOWN_FOR_SECONDS: Final = 5.0
MOST_SAID: Final = 10_000

Result = Outcome | Exception
_process = 0
"""Which process of a family this is. A number of our own: asking the system for the pid costs more than a look-up."""


def _forked() -> None:
    global _process
    _process += 1


os.register_at_fork(after_in_child=_forked)
Answer = Callable[[Result], None]


class QueueFull(StoreError):
    """Too many commands are waiting; nothing was done."""

    code = "queue_full"
    retry_after = 1


class ShuttingDown(StoreError):
    """The ledger is shutting down; nothing was done."""

    code = "shutting_down"
    retry_after = 2


class ClockJumped(StoreError):
    """The clock of this machine jumped; nothing is charged until it has been steady for a while."""

    code = "clock_jumped"
    retry_after = 10


class Forked(StoreError):
    """This ledger was opened before the process forked; open it again in the child."""

    code = "forked"


class Crashed(StoreError):
    """A bug stopped this command; nothing was done."""

    code = "internal_error"


class TimeSource(Protocol):
    """What the engine asks of a clock."""

    def now_us(self) -> int:
        """Microseconds since the epoch; never less than before."""

    @property
    def jumped(self) -> object | None:
        """Not None while the clock can't be trusted."""


class Observer(Protocol):
    """Who is told of what the engine did; must be quick and may not raise."""

    def committed(self, commands: int, seconds: float) -> None:
        """A batch reached the disk."""

    def crashed(self, command: Command, error: BaseException) -> None:
        """A bug stopped a command."""


class Ticket:
    """A command that waits for its outcome."""

    __slots__ = ("answer", "command", "dry", "fault", "flushing", "gone", "result", "seen")

    def __init__(
        self, command: Command, answer: Answer, dry: bool = False, flushing: Callable[[], None] | None = None
    ) -> None:
        self.command = command
        self.answer = answer
        self.dry = dry
        """Only to be told what would come of it."""
        self.flushing = flushing
        """Told when the disk is next: from then on the interpreter is free. It may be told again, or never."""
        self.gone = False
        """Set by a caller who no longer waits: skipped if it was not decided yet."""
        self.seen = False
        self.fault: Invalid | None = None
        """Why the command is not well-formed, once it was looked at."""
        self.result: Result | None = None

    def look(self) -> Invalid | None:
        """Why the command is not well-formed. Who waits may have looked while the engine's thread woke up."""
        if not self.seen:
            self.fault = check(self.command)
            self.seen = True
        return self.fault


def bucket_for(command: Command) -> int:
    """The bucket of the account that a command is for; of one that names just its hold, the hold's."""
    if command.account:
        return bucket_of(command.workspace, command.account)
    return bucket_in(getattr(command, "hold", "")) or 0


class Ids:
    """Makes ids, told apart from those of all other engines by a nonce."""

    def __init__(self) -> None:
        self._counter = itertools.count()
        self._nonce = secrets.randbits(NONCE_BITS)

    def __call__(self, prefix: str, at: int, bucket: int) -> str:
        """A new id of that instant and bucket."""
        return make_id(prefix, at, next(self._counter), self._nonce, bucket)


class Engine:
    """One lane to one store."""

    def __init__(
        self,
        store: Store,
        clock: TimeSource,
        calendar: Calendar,
        *,
        months_after: MonthsAfter = no_months,
        observer: Observer | None = None,
        max_batch: int = MAX_BATCH,
        max_queue: int = MAX_QUEUE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._calendar = calendar
        self._months_after = months_after
        self._observer = observer
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._ids = Ids()
        self._process = _process
        self._waiting: deque[Ticket] = deque()
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._idle = True
        self._closing = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._task: asyncio.Task[None] | None = None
        self._guard = threading.Lock()
        self._said: dict[tuple[str, str], None] = {}
        """What refusals have told once, lately: whoever runs against a limit again and again writes nothing more."""

    # Asking

    def submit(
        self, command: Command, answer: Answer, *, dry: bool = False, flushing: Callable[[], None] | None = None
    ) -> Ticket:
        """Put a command into the queue; `answer` is called once, after the commit, in the engine's thread or loop.
        A `dry` one is decided on what the books say at its turn, and leaves nothing behind. `flushing` may not
        raise."""
        if self._process != _process:
            raise Forked(Forked.__doc__)
        self._stamp(command)
        ticket = Ticket(command, answer, dry, flushing)
        with self._guard:
            if self._closing:
                raise ShuttingDown(ShuttingDown.__doc__)
            if len(self._waiting) >= self._max_queue:
                raise QueueFull(QueueFull.__doc__)
            self._waiting.append(ticket)
        self._awaken()
        return ticket

    def _stamp(self, command: Command) -> None:
        now = self._clock.now_us()
        if self._clock.jumped is not None:
            raise ClockJumped(ClockJumped.__doc__)
        if not command.at:
            command.at = now
        if not command.id:
            command.id = self._ids("ent", command.at, bucket_for(command))

    def _awaken(self) -> None:
        # Both sides look at `_idle` only after they have changed the queue, so no ticket is left behind.
        if not self._idle:
            return
        self._idle = False
        if self._loop is None:
            self._wake.put(True)
        elif threading.get_ident() == self._loop_thread:
            self._loop.call_soon(self._run_inline)
        else:
            self._loop.call_soon_threadsafe(self._run_inline)

    def do(self, command: Command, timeout: float | None = 30.0) -> Outcome:
        """Submit and wait, from a thread. A time-out leaves the outcome unknown; the same key finds out."""
        future: Future[Outcome] = Future()
        ticket = self.submit(command, lambda result: _resolve(future, result))
        try:
            return future.result(timeout)
        except TimeoutError:
            ticket.gone = True
            raise Unknown("no answer in time; the same key finds out what became of it") from None

    async def ask(self, command: Command, *, dry: bool = False) -> Outcome:
        """Submit and wait, on an event loop; a caller that is cancelled is skipped if it was not decided yet. What
        would come of a `dry` one is told, nothing is kept, and its key is not used up."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        if loop is self._loop:
            ticket = self.submit(command, lambda result: _resolve(future, result), dry=dry)
        else:
            ticket = self.submit(command, lambda result: _resolve_on(loop, future, result), dry=dry)
        try:
            return await future
        except asyncio.CancelledError:
            ticket.gone = True
            raise

    @property
    def runs_here(self) -> bool:
        """Whether it answers on the thread that asks: it runs on this thread's event loop."""
        return self._loop_thread == threading.get_ident()

    @property
    def rests(self) -> bool:
        """Whether nothing is under way: what is put into the queue now is begun with at once."""
        return self._idle

    @property
    def depth(self) -> int:
        """How many commands wait."""
        return len(self._waiting)

    # Running

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Begin to work: on that loop, which is this thread's, or in a thread of the engine's own."""
        if loop is None and self._store.suspends:
            raise RuntimeError("a store that suspends needs an event loop")
        if loop is not None:
            self._loop, self._loop_thread = loop, threading.get_ident()
        else:
            self._thread = threading.Thread(target=self._work, name="farthing-engine", daemon=True)
            self._thread.start()

    def close(self, timeout: float = 30.0) -> None:
        """Take no more, finish what was accepted, let go of the store. All who wait are answered. (A store that
        suspends is closed by `aclose`, on its loop.)"""
        if not self._begin_to_close():
            return
        if self._thread is not None:
            self._wake.put(False)
            self._thread.join(timeout)
        else:
            while self._waiting:
                result_of(self._run_batch(self._take()))
            result_of(self._store.close())
        self._refuse_all()

    async def aclose(self) -> None:
        """The same, on the loop that the engine runs on."""
        if not self._store.suspends:
            return self.close()
        if self._begin_to_close():
            if self._task is not None:
                await self._task
            while self._waiting:
                await self._run_batch(self._take())
            await self._store.close()
            self._refuse_all()

    def _begin_to_close(self) -> bool:
        with self._guard:
            closing, self._closing = self._closing, True
        # After a fork the thread and the connection are the parent's.
        return not closing and self._process == _process

    def _refuse_all(self) -> None:
        while True:
            try:
                ticket = self._waiting.popleft()
            except IndexError:  # a thread that is slow to end may take the last one first
                return
            ticket.answer(ShuttingDown(ShuttingDown.__doc__))

    def _work(self) -> None:
        while self._wake.get():
            while True:
                while self._waiting:
                    result_of(self._run_batch(self._take()))
                self._idle = True
                if not self._waiting:
                    break
                self._idle = False
        while self._waiting:
            result_of(self._run_batch(self._take()))
        result_of(self._store.close())

    def _run_inline(self) -> None:
        if self._store.suspends:
            assert self._loop is not None
            self._task = self._loop.create_task(self._run_as_task())
            return
        result_of(self._run_batch(self._take()))
        self._idle = True
        if self._waiting:
            self._awaken()

    async def _run_as_task(self) -> None:
        while self._waiting:
            await self._run_batch(self._take())
        self._idle = True
        if self._waiting:
            self._awaken()

    def _take(self) -> list[Ticket]:
        """Whoever waits, up to a maximum. A refund looks at charges that may be in this very batch, where they have
        no row yet, so it comes first of its account."""
        batch: list[Ticket] = []
        seen: set[tuple[str, str]] = set()
        while self._waiting and len(batch) < self._max_batch:
            command = self._waiting[0].command
            owner = (command.workspace, command.account)
            # One that names just its hold may be of any account.
            if isinstance(command, Refund) and not seen.isdisjoint((owner, (owner[0], ""))):
                break
            try:
                ticket = self._waiting.popleft()
            except IndexError:  # closing took too long, and refused it
                break
            if not ticket.gone:
                batch.append(ticket)
                seen.add(owner)
        return batch

    # A batch

    async def _run_batch(self, batch: Sequence[Ticket]) -> None:
        try:
            await self._commit(batch)
        except Exception as error:  # an answer for everyone, whatever broke
            self._tell(batch, [self._failure(t.command, error) for t in batch])
        # What another process overtook comes first in the next batch, in its order.
        self._waiting.extendleft(reversed([ticket for ticket in batch if ticket.result is None]))
        for ticket in batch:
            if ticket.result is None:
                continue
            try:
                ticket.answer(ticket.result)
            except Exception as error:  # a caller whose callback raises must not hang the others
                self._crash(ticket.command, error)

    def _tell(self, batch: Sequence[Ticket], results: Sequence[Result | None]) -> None:
        for ticket, result in zip(batch, results, strict=True):
            ticket.result = result

    async def _commit(self, batch: Sequence[Ticket]) -> None:
        """Commit a batch; on a lost race again, on an unknown outcome after a look, on a bug one by one."""
        if not batch:
            return
        for attempt in range(RACES):
            try:
                return self._tell(batch, await self._try(batch))
            except Unknown as error:
                return await self._find_out(batch, error)
            except Raced:
                if attempt == RACES - 1 and len(batch) == 1:
                    raise
            except StoreError:
                raise
            except Exception:
                if len(batch) == 1:
                    raise
                break
        for ticket in batch:
            try:
                await self._commit([ticket])
            except Exception as error:
                ticket.result = self._failure(ticket.command, error)

    async def _find_out(self, batch: Sequence[Ticket], error: Unknown) -> None:
        """After a commit of unknown fate: look for what was written, carry out the rest; give up after a while."""
        until = time.monotonic() + UNKNOWN_FOR_SECONDS
        while True:
            try:
                return self._tell(batch, await self._try(batch, again=True))
            except Exception:  # whatever it is, what became of the first try is still not known
                if time.monotonic() >= until:
                    return self._tell(batch, [error] * len(batch))
                # The lane has nothing else to do: until this is known nothing may be decided after it.
                if self._store.suspends:
                    await asyncio.sleep(0.1)
                else:
                    time.sleep(0.1)  # noqa: ASYNC251

    async def _try(self, batch: Sequence[Ticket], again: bool = False) -> Sequence[Result | None]:
        """Load, decide, save, commit. The results are nobody's before this returns; None for what was overtaken."""
        store, began = self._store, time.perf_counter()
        context = Context(self._ids, self._calendar, self._months_after)
        committing = False
        overtaken: frozenset[AccountKey] = frozenset()
        try:
            # What is not well-formed may be more than a database can take.
            await store.load([t.command for t in batch if t.look() is None], context, again=again)
            context.now = self._clock.now_us()
            results, accepted = self._decide(batch, context)
            if accepted:
                await store.save(accepted)
                for ticket in batch:
                    if ticket.flushing is not None:
                        ticket.flushing()
                committing = True
                try:
                    await store.commit()
                except Overtaken as others:
                    overtaken = others.accounts
            else:
                await store.rollback()
        except BaseException as error:
            try:
                await store.rollback()
            except StoreError as second:
                # The store begins its next batch by undoing what is left of this one.
                error.add_note(f"rolling back failed as well: {second}")
            if committing and not isinstance(error, StoreError):
                raise Unknown(f"the commit failed in an unforeseen way: {error!r}") from error
            raise
        if not overtaken:
            self._note_said(accepted)
        if self._observer is not None:
            self._observer.committed(len(batch), time.perf_counter() - began)
        return _without(overtaken, batch, results) if overtaken else results

    def _decide(self, batch: Sequence[Ticket], context: Context) -> tuple[list[Result], list[Accepted]]:
        results: list[Result] = []
        accepted: list[Accepted] = []
        for ticket in batch:
            try:
                fault = ticket.fault
                outcome = malformed(fault) if fault else decide_well_formed(ticket.command, context)
            except Exception as error:  # a bug met by one command must not stop the others
                results.append(self._crash(ticket.command, error))
                continue
            results.append(outcome)
            if ticket.dry:
                continue
            keep = outcome.accepted if isinstance(outcome, Refused) else outcome
            if keep is not None and keep.account is not None and not (keep is not outcome and self._was_said(keep)):
                if ticket is not batch[-1]:  # nobody looks any more
                    context.apply(keep)
                accepted.append(keep)
        return results, accepted

    def _was_said(self, kept: Accepted) -> bool:
        """Whether all that a refusal would leave behind is there."""
        return not kept.entries and all(once in self._said for once in _once(kept))

    def _note_said(self, kept: Sequence[Accepted]) -> None:
        for each in kept:
            if each.events:
                self._said.update(dict.fromkeys(_once(each)))
        while len(self._said) > MOST_SAID:
            del self._said[next(iter(self._said))]

    def _failure(self, command: Command, error: Exception) -> Exception:
        return error if isinstance(error, StoreError) else self._crash(command, error)

    def _crash(self, command: Command, error: BaseException) -> Crashed:
        if self._observer is not None:
            self._observer.crashed(command, error)
        crashed = Crashed(f"{Crashed.__doc__} ({type(error).__name__})")
        crashed.__cause__ = error
        return crashed


def _once(kept: Accepted) -> list[tuple[str, str]]:
    """What it tells once, in which workspace."""
    return [(event.workspace, event.once) for event in kept.events if event.once]


def _without(accounts: frozenset[AccountKey], batch: Sequence[Ticket], results: list[Result]) -> list[Result | None]:
    """The results of all other accounts. Of these also a refusal was decided on what did not come to be."""
    pairs = zip(batch, results, strict=True)
    return [None if (t.command.workspace, t.command.account) in accounts else result for t, result in pairs]


def _resolve_on(loop: asyncio.AbstractEventLoop, future: Any, result: Result) -> None:
    loop.call_soon_threadsafe(_resolve, future, result)


def _resolve(future: Any, result: Result) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
