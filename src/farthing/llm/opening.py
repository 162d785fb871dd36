"""Opening: a call's hold on its way. Its request is made meanwhile, and waits for the hold before it leaves."""

from functools import partial
from typing import Final

from farthing.client.finishing import at_once

from .call import ModelCall
from .settling import AsyncSettler, Settler

_THREADS_SECONDS: Final = 1.0
_LOOPS_SECONDS: Final = 0.0002
"""Most disks are done when the request is made. Then the engine's thread has only to be given the interpreter to say
so, which is ten times as fast as to wait for it on the loop."""


class _Opening:
    """A hold on its way, for a call whose request is made meanwhile. It is waited for before that leaves."""

    def __init__(self, settler: Settler | AsyncSettler, call: ModelCall) -> None:
        self._call = call
        self._steps = settler.steps_before(call)
        self._first = settler.start(self._steps)
        self._over = self._first is None
        self._ahead = None if self._first is None else self._first.ahead
        self.error: BaseException | None = None
        """Why the call must not be made."""

    def decided(self) -> None:
        """Wait until the ledger has only its disk to wait for: from now on the request can be made meanwhile."""
        if self._ahead is not None:
            self._ahead.decided()

    @property
    def is_begun(self) -> bool:
        """Whether it is on its way; else there is nothing to do meanwhile."""
        return self._ahead is not None

    @property
    def is_placed(self) -> bool:
        """Whether the hold is known to be on the books, though what the ledger says of it was not read yet."""
        return not self._over and self._ahead is not None and self._ahead.accepted

    def _is_placed_within(self, seconds: float) -> bool:
        if self.is_placed:
            return True
        if self._ahead is not None:
            self._ahead.told(seconds)
        return self.is_placed

    @property
    def _is_there(self) -> bool:
        return self._ahead is not None and self._ahead.there


class Opening(_Opening):
    """For threads."""

    def __init__(self, settler: Settler, call: ModelCall) -> None:
        super().__init__(settler, call)
        self._settler = settler

    def let_go(self) -> None:
        """The request is about to leave. What is raised says that it must not."""
        if not self._is_placed_within(_THREADS_SECONDS):
            self.wait()

    def wait(self) -> None:
        """Have it placed, and know all of it; raises what says that the call must not be made."""
        if not self._over:
            self._over = True
            try:
                self._settler.opened(self._call, partial(self._settler.ask, self._steps, self._first))
            except Exception as error:
                self.error = error
            except BaseException:  # Ctrl+C says nothing of the hold: its key finds out
                self._over = False
                raise
        if self.error is not None:
            raise self.error


class AsyncOpening(_Opening):
    """For event loops."""

    def __init__(self, settler: AsyncSettler, call: ModelCall) -> None:
        super().__init__(settler, call)
        self._settler = settler

    async def let_go(self) -> None:
        """The request is about to leave. What is raised says that it must not."""
        if not self._is_placed_within(_LOOPS_SECONDS):
            await self.wait()

    async def wait(self) -> None:
        """Have it placed, and know all of it; raises what says that the call must not be made."""
        if not self._over:
            self._over = True
            try:
                await self._settler.opened(
                    self._call, self._settler.ask(self._steps, self._first), there=self._is_there
                )
            except BaseException as error:
                self.error = error
        if self.error is not None:
            raise self.error

    def read(self) -> None:
        """The same for what is placed: it waits for nothing."""
        at_once(self.wait())
