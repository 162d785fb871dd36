"""Background: work that is done again and again while a client is open, by a thread or in a task of an event loop: at
once, then ever more seldom as long as it fails, and sooner when somebody says that it may succeed.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable
from random import random
from time import monotonic
from typing import Final

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 30.0
JITTER: Final = 0.25
_STOP_SECONDS: Final = 30.0
_LOG: Final = logging.getLogger("farthing.client")


class Pace:
    """When it is time again."""

    def __init__(self) -> None:
        self._failures = 0
        self._asked = False
        self.due = 0.0

    def begun(self) -> None:
        """A round begins: what comes from now on may be too late for it."""
        self._asked = False

    def ended(self, well: bool) -> None:
        """The work was done, or failed."""
        self._failures = 0 if well else self._failures + 1
        self.due = monotonic() + (_jittered(LONGEST_SECONDS) if well else self._next())
        if self._asked:
            self.soon()

    def _next(self) -> float:
        return _jittered(min(FIRST_SECONDS * 2 ** min(self._failures - 1, 16), LONGEST_SECONDS))

    def now(self) -> None:
        """It will go well."""
        self._asked = True
        self.due = 0.0

    def soon(self) -> None:
        """There is something to do, though hardly at once."""
        self._asked = True
        if not self._failures:
            self.due = min(self.due, monotonic() + _jittered(FIRST_SECONDS))

    @property
    def left(self) -> float:
        """Seconds until then."""
        return max(0.0, self.due - monotonic())


def _jittered(seconds: float) -> float:
    # Those who were sent away together shall not come back together.
    return seconds * (1 - JITTER * random())  # noqa: S311


class Background:
    """Work in a thread."""

    def __init__(self, work: Callable[[], bool]) -> None:
        self._work = work
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._turn = threading.Lock()
        self._changed = threading.Event()
        self._pace = Pace()
        self._thread: threading.Thread | None = None
        self.stopping = False

    def start(self) -> None:
        """Begin, unless it has; a fork has to begin again."""
        if self._pid != os.getpid():
            self._begin()
        with self._turn:
            if self._thread is None and not self.stopping:
                self._thread = threading.Thread(target=self._run, name="farthing-journal", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self.stopping:
            self._changed.clear()
            if not self._pace.left:
                self._pace.begun()
                self._pace.ended(self._done())
            self._changed.wait(self._pace.left)

    def _done(self) -> bool:
        try:
            return self._work()
        except Exception:  # a bug must not end it
            _LOG.exception("the journal could not be worked off")
            return False

    def now(self) -> None:
        """Do it again at once."""
        self._pace.now()
        self._changed.set()

    def soon(self) -> None:
        """Do it again before long."""
        self.start()
        self._pace.soon()
        self._changed.set()

    def close(self) -> None:
        """Finish what is being sent, and end."""
        self.stopping = True
        self._changed.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(_STOP_SECONDS)


class AsyncBackground:
    """Work in a task of the loop that runs where it is started."""

    def __init__(self, work: Callable[[], Awaitable[bool]]) -> None:
        self._work = work
        self._pace = Pace()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._pid = os.getpid()
        self.stopping = False

    def start(self) -> None:
        """Begin, unless it has; where its loop has ended it goes on in this one."""
        if self.stopping or (self._task is not None and not self._task.done() and self._at_home()):
            return
        self._pid, self._loop = os.getpid(), asyncio.get_running_loop()
        self._pace, self._changed = Pace(), asyncio.Event()
        self._task = self._loop.create_task(self._run(), name="farthing-journal")

    def _at_home(self) -> bool:
        return self._pid == os.getpid() and self._loop is not None and not self._loop.is_closed()

    async def _run(self) -> None:
        while not self.stopping:
            self._changed.clear()
            if not self._pace.left:
                self._pace.begun()
                self._pace.ended(await self._done())
            try:
                async with asyncio.timeout(self._pace.left):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _done(self) -> bool:
        try:
            return await self._work()
        except Exception:  # as above
            _LOG.exception("the journal could not be worked off")
            return False

    def now(self) -> None:
        """Do it again at once."""
        self._pace.now()
        self._tell()

    def soon(self) -> None:
        """Do it again before long."""
        self.start()
        self._pace.soon()
        self._tell()

    def _tell(self) -> None:
        if self._loop is not None and self._at_home():
            self._loop.call_soon_threadsafe(self._changed.set)

    async def aclose(self) -> None:
        """Finish what is being sent, and end."""
        self.stopping = True
        task = self._task
        if task is None or not self._at_home():
            return
        self._tell()
        if self._loop is asyncio.get_running_loop():
            await asyncio.wait([task], timeout=_STOP_SECONDS)
            task.cancel()
