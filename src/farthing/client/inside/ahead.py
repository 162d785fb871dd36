"""Ahead: a call that is on its way before its answer is wanted. While the disk makes a commit durable the interpreter
is free, and whoever asks does something else.

It is for SQLite, whose engine has a thread of its own.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, Final

from msgspec.structs import replace

from farthing.core.commands import Command
from farthing.core.outcomes import Accepted, Outcome
from farthing.engine import Answer as Tell
from farthing.engine import Engine, Result, Ticket
from farthing.stores.contract import Unknown

from ..answers import Answer
from ..calls import Call

PATIENCE_SECONDS: Final = 0.001
"""Whoever begins a call waits no longer for its batch to be decided: it may be that another process writes."""
_BROKEN: Final = 500


class UnderWay:
    """A command on its way, for the one thread or task that waits for it."""

    __slots__ = ("_decided", "_told", "_waiter", "result")

    def __init__(self) -> None:
        # Locks, which are let go of once: a future of threads costs ten times as much.
        self._decided, self._told = threading.Lock(), threading.Lock()
        self._decided.acquire()
        self._told.acquire()
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self.result: Result | None = None

    # In the engine's thread

    def flushing(self) -> None:
        """It is decided, and the disk is next."""
        if self._decided.locked():
            self._decided.release()

    def tell(self, result: Result) -> None:
        """What became of it."""
        # Whoever begins to wait looks at this after he has said so: one of both sees the other.
        self.result = result
        self.flushing()
        self._told.release()
        if self._waiter is not None:
            loop, future = self._waiter
            loop.call_soon_threadsafe(_wake, future)

    # For whoever waits

    def decided(self, seconds: float) -> None:
        """Wait until it is decided, though not for long."""
        self._decided.acquire(timeout=seconds)

    def told(self, seconds: float) -> bool:
        """Wait for what became of it, for a thread; whether it was told."""
        # Looked at first, and last: whoever was interrupted here before may have left it locked.
        if self.result is None and self._told.acquire(timeout=seconds):
            self._told.release()
        return self.result is not None

    def waited(self, seconds: float) -> Outcome:
        """Its outcome, for a thread; raises what went wrong."""
        if not self.told(seconds):
            raise Unknown("no answer in time")
        return self._outcome()

    async def awaited(self) -> Outcome:
        """The same, for a task."""
        if self.result is None:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            self._waiter = loop, future
            if self.result is None:
                await future
        return self._outcome()

    def _outcome(self) -> Outcome:
        result = self.result
        assert result is not None, "it was told"
        if isinstance(result, Exception):
            raise result
        return result


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


@coroutine
def _handed_out(under: UnderWay) -> Generator[UnderWay, None, None]:
    yield under


class _AheadEngine(Engine):
    """An engine that hands out what is on its way, to whoever runs the coroutine that asks it."""

    def __init__(self, engine: Engine) -> None:
        # Without the base's: queue, store and clock are the other's.
        self._engine = engine

    def submit(
        self, command: Command, answer: Tell, *, dry: bool = False, flushing: Callable[[], None] | None = None
    ) -> Ticket:
        """Put a command into the queue."""
        return self._engine.submit(command, answer, dry=dry, flushing=flushing)

    @property
    def rests(self) -> bool:
        """Whether nothing is under way."""
        return self._engine.rests

    @property
    def runs_here(self) -> bool:
        """Whether it answers on the thread that asks."""
        return self._engine.runs_here


class WaitingEngine(_AheadEngine):
    """An engine whose asking blocks the thread that asks, once it goes on."""

    def __init__(self, engine: Engine, timeout: float) -> None:
        super().__init__(engine)
        self._seconds = timeout

    async def ask(self, command: Command, *, dry: bool = False) -> Outcome:
        """Submit, hand out, and wait. What is only tried out is not handed out: nothing comes of it."""
        under = UnderWay()
        ticket = self._engine.submit(command, under.tell, dry=dry, flushing=under.flushing)
        try:
            ticket.look()
            if not dry:
                await _handed_out(under)
            return under.waited(self._seconds)
        finally:
            # Whoever is interrupted doesn't wait any more either.
            ticket.gone = True


class LoopEngine(_AheadEngine):
    """An engine that is asked on one event loop. Only what is begun ahead is handed out; tasks would not know what to
    do with it."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.begins = False

    async def ask(self, command: Command, *, dry: bool = False) -> Outcome:
        """Submit and wait."""
        if dry or not self.begins:
            return await self._engine.ask(command, dry=dry)
        under = UnderWay()
        ticket = self._engine.submit(command, under.tell, dry=dry, flushing=under.flushing)
        try:
            ticket.look()
            await _handed_out(under)
            return await under.awaited()
        finally:
            ticket.gone = True


def finished(work: Coroutine[Any, Any, Answer]) -> Answer:
    """The answer, for a thread, of what asks a `WaitingEngine` and suspends for nothing else."""
    try:
        while True:
            work.send(None)
    except StopIteration as stop:
        answer: Answer = stop.value
        return answer


class Ahead:
    """An answer on its way: taken once."""

    def __init__(self, work: Coroutine[Any, Any, Answer], *, alone: bool) -> None:
        self._alone = alone
        self._steps = work.__await__()
        self.taken = False
        self._answer: Answer | None = None
        self._under: UnderWay | None = None
        try:
            handed = next(self._steps)
        except StopIteration as stop:
            self._answer = stop.value
            return
        if isinstance(handed, UnderWay):
            self._under = handed
        else:
            self._steps.close()  # it waits for something else, before anything was asked of the engine

    @property
    def begun(self) -> bool:
        """Whether there is something to take."""
        return self._under is not None or self._answer is not None

    @property
    def there(self) -> bool:
        """Whether nobody has to wait for it any more. What a broken machine says may be tried again, with a pause."""
        if self._answer is not None:
            return self._answer.status < _BROKEN
        return self._under is not None and not isinstance(self._under.result, Exception | None)

    @property
    def accepted(self) -> bool:
        """Whether it is known to be done, now for the first time, and its answer was not read yet."""
        result = None if self._under is None or self.taken else self._under.result
        return isinstance(result, Accepted) and not result.replayed

    def decided(self) -> None:
        """Wait in this thread until the disk is next, though not for long. An engine with nothing else to do needs the
        interpreter until then."""
        if self._under is not None and self._alone:
            self._under.decided(PATIENCE_SECONDS)

    def told(self, seconds: float) -> None:
        """Wait in this thread until it is known what became of it, though no longer than that."""
        if self._under is not None:
            self._under.told(seconds)

    def waited(self) -> Answer:
        """The answer, for a thread."""
        try:
            while self._answer is None:
                next(self._steps)
        except StopIteration as stop:
            self._answer = stop.value
        return self._answer

    def __await__(self) -> Generator[Any, Any, Answer]:
        if self._answer is None:
            self._answer = yield from self._steps
        return self._answer


def started(call: Call[Any], work: Coroutine[Any, Any, Answer], engine: _AheadEngine) -> Call[Any]:
    """The call, with its answer on its way where it could be begun."""
    ahead = Ahead(work, alone=engine.rests)
    return replace(call, ahead=ahead) if ahead.begun else call


def taken(call: Call[Any]) -> Ahead | None:
    """What was begun of a call, where it is sent the first time."""
    ahead = call.ahead
    if not isinstance(ahead, Ahead) or ahead.taken:
        return None
    ahead.taken = True
    return ahead
