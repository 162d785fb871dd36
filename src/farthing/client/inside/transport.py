"""Transports into a ledger of this process: for threads, and for event loops.

| | SQLite | PostgreSQL |
| --- | --- | --- |
| threads | read where they are called, written by the engine's thread | all on a loop in a thread of the ledger's own |
| event loops | any loop; read and written by threads | on the loop that opened it, and on no other |
"""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary

from farthing.app import ConfigWatch, Ledger, LoopThread
from farthing.stores.contract import result_of

from ..answers import Answer, lost
from ..calls import Call
from ..errors import Forked, WrongLoop
from ..job_results import JobRun
from ..wanted import Wanted
from .ahead import LoopEngine, WaitingEngine, finished, started, taken
from .jobs import run_due
from .opening import explained, opened, opened_here, watched, workspace_in
from .pouring import poured
from .session import Session
from .shared import SharedBooks, SharedDatabase

_ASIDE: Final = frozenset(
    {
        "/v1/charges/bulk", "/v1/purchase-links", "/v1/checkouts", "/v1/purchases", "/v1/accounts/{account}/portal",
        "/v1/accounts/{account}/auto-top-up/check", "/v1/accounts/{account}/payment-methods",
        "/v1/accounts/{account}/payment-methods/{method}/prefer",
        "/v1/accounts/{account}/payment-methods/{method}/forget", "/v1/payments/reconcile",
        "/v1/provider-events/{provider}/{id}/retry",
    }
)  # fmt: skip
"""Calls that wait for many answers side by side, or for somebody else's: they need a loop."""


class _Inside:
    """What both have."""

    def __init__(self, ledger: Ledger, workspace: str, wanted: Wanted, watch: ConfigWatch) -> None:
        self._ledger = ledger
        self._watch = watch
        self._seconds = wanted.timeout
        self._pid = os.getpid()
        self.place = ledger.backend.shown, workspace
        self._session_with: Callable[..., Session] = partial(Session, ledger, workspace, wanted.actor, watch)

    @property
    def _at_home(self) -> bool:
        """Whether this is still the process that opened it: engine, connections and locks are that one's."""
        return self._pid == os.getpid()

    def _stay(self) -> None:
        if not self._at_home:
            raise Forked(Forked.__doc__)


class Inside(_Inside):
    """For threads, any number of them."""

    def __init__(self, ledger: Ledger, workspace: str, wanted: Wanted, watch: ConfigWatch) -> None:
        super().__init__(ledger, workspace, wanted, watch)
        self._shared: SharedDatabase | None = None
        self._side: LoopThread | None = None
        self._guard = threading.Lock()
        if ledger.backend.dialect != "sqlite":
            self._session = self._session_with(engine=ledger.engine, database=ledger.database)
            return
        self._shared = SharedDatabase(ledger.backend)
        self._engine = WaitingEngine(ledger.engine, wanted.timeout)
        self._session = self._session_with(engine=self._engine, database=self._shared, books=SharedBooks)
        self._beside = self._session_with(engine=ledger.engine, database=self._shared, books=SharedBooks)

    @classmethod
    def open(cls, wanted: Wanted) -> "Inside":
        """Open a database, and make what is missing."""
        with explained():
            ledger = opened(wanted)
            try:
                workspace = ledger.wait(workspace_in(ledger, wanted))
                return cls(ledger, workspace, wanted, watched(ledger))
            except BaseException:
                ledger.close()
                raise

    def start(self, call: Call[Any]) -> Call[Any]:
        """The call, begun where that is of use; it has to be sent then."""
        if self._shared is None or call.template in _ASIDE or not self._at_home:
            return call
        return started(call, self._session.answer(call), self._engine)

    def send(self, call: Call[Any]) -> Answer:
        """What the ledger answers."""
        self._stay()
        if (ahead := taken(call)) is not None:
            return ahead.waited()
        if self._shared is None:
            return self._ledger.wait(_in_time(self._session.answer(call), call, self._seconds))
        if call.template in _ASIDE:
            return self._aside().run(_in_time(self._beside.answer(call), call, self._seconds))
        return finished(self._session.answer(call))

    def stream(self, call: Call[Any]) -> Generator[bytes, None, None]:
        """What the ledger answers, as it comes."""
        self._stay()
        loop = self._ledger.own_loop
        if loop is not None:
            yield from poured(loop, self._session.stream(call))
        else:
            yield from poured(self._aside(), self._beside.stream(call))

    def run_jobs(self) -> list[JobRun]:
        """Do what is due."""
        self._stay()
        engine, shared = self._ledger.engine, self._shared
        if shared is None:
            return self._ledger.wait(run_due(self._ledger, engine, self._ledger.database))
        return self._aside().run(run_due(self._ledger, engine, shared))

    def _aside(self) -> LoopThread:
        with self._guard:
            if self._side is None:
                self._side = LoopThread()
            return self._side

    def close(self) -> None:
        """Finish what was asked and let go of the database. A child has nothing to let go of."""
        if not self._at_home:
            return
        self._watch.stop()
        if self._shared is None:
            self._ledger.wait(self._session.aclose())
        elif self._side is not None:
            self._side.run(self._beside.aclose())
        self._ledger.close()
        if self._shared is not None:
            result_of(self._shared.close())
        if self._side is not None:
            self._side.stop()


class AsyncInside(_Inside):
    """For event loops."""

    def __init__(self, ledger: Ledger, workspace: str, wanted: Wanted, watch: ConfigWatch) -> None:
        super().__init__(ledger, workspace, wanted, watch)
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Session, LoopEngine]] = WeakKeyDictionary()
        # What waits for a network belongs to its loop; what is done in threads may be asked for by any.
        self._only = None if ledger.backend.dialect == "sqlite" else asyncio.get_running_loop()

    @classmethod
    async def open(cls, wanted: Wanted) -> "AsyncInside":
        """Open a database, and make what is missing."""
        with explained():
            ledger = await opened_here(wanted)
            try:
                workspace = await workspace_in(ledger, wanted)
                return cls(ledger, workspace, wanted, await asyncio.to_thread(watched, ledger))
            except BaseException:
                await _let_go(ledger)
                raise

    def start(self, call: Call[Any]) -> Call[Any]:
        """The call, begun where that is of use; it has to be sent then, in the same task."""
        if self._only is not None or not self._at_home:
            return call
        session, engine = self._here()
        engine.begins = True
        try:
            return started(call, session.answer(call), engine)
        finally:
            engine.begins = False

    async def send(self, call: Call[Any]) -> Answer:
        """What the ledger answers."""
        self._stay()
        ahead = taken(call)
        if ahead is None:
            return await _in_time(self._session_here().answer(call), call, self._seconds)
        return await (ahead if ahead.there else _in_time(ahead, call, self._seconds))

    async def stream(self, call: Call[Any]) -> AsyncGenerator[bytes, None]:
        """What the ledger answers, as it comes."""
        self._stay()
        async with aclosing(self._session_here().stream(call)) as parts:
            async for part in parts:
                yield part

    async def run_jobs(self) -> list[JobRun]:
        """Do what is due."""
        self._stay()
        self._require_loop()
        return await run_due(self._ledger, self._ledger.engine, self._ledger.database)

    def _require_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._only is not None and loop is not self._only:
            raise WrongLoop(WrongLoop.__doc__)
        return loop

    def _session_here(self) -> Session:
        return self._here()[0]

    def _here(self) -> tuple[Session, LoopEngine]:
        loop = self._require_loop()
        found = self._sessions.get(loop)
        if found is None:
            engine = LoopEngine(self._ledger.engine)
            found = self._session_with(engine=engine, database=self._ledger.database), engine
            self._sessions[loop] = found
        return found

    async def aclose(self) -> None:
        """Finish what was asked and let go of the database. A child has nothing to let go of."""
        if not self._at_home:
            return
        await self._session_here().aclose()
        await asyncio.to_thread(self._watch.stop)
        await _let_go(self._ledger)


async def _in_time(answer: Awaitable[Answer], call: Call[Any], seconds: float) -> Answer:
    """The answer, unless it takes too long; what was not decided by then is not done."""
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        raise lost(call, "There was no answer in time") from None


async def _let_go(ledger: Ledger) -> None:
    if ledger.backend.dialect == "sqlite":
        # Nothing of it suspends, but all of it may wait for the disk.
        await asyncio.to_thread(lambda: result_of(ledger.aclose()))
    else:
        await ledger.aclose()
