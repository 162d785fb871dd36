"""The door: the one way by which all calls of a client go out, and are tried again.

Whoever is to be told of calls (`callbacks`) is told here, once they have ended; what stands in for a ledger that can't
be reached has its place here as well: `ask` has the whole call, with its key, before it is sent and afterwards.
"""

from asyncio import sleep
from time import perf_counter
from typing import Any, Protocol, TypeVar

from ..answers import Answer, read_answer
from ..callbacks import Callbacks
from ..calls import Call
from ..errors import ApiError, ClientClosed, FarthingError
from ..gate import Gate
from ..retries import Retries

T = TypeVar("T")


class AsyncTransport(Protocol):
    """Carries calls, each once."""

    async def send(self, call: Call[Any]) -> Answer:
        """What is answered; raises `ApiError` where nothing is."""

    async def aclose(self) -> None:
        """Let go of everything."""


class AsyncDoor:
    """Asks a transport, and asks again where that may help."""

    def __init__(self, transport: AsyncTransport, retries: Retries, callbacks: Callbacks | None = None) -> None:
        self._transport = transport
        self._retries = retries
        self._callbacks = callbacks or Callbacks()
        self._gate = Gate()
        self._let_go = False

    async def ask(self, call: Call[T]) -> T:
        """The result of a call."""
        if not self._callbacks.wants(call):
            return (await self._ask(call))[0]
        begun = perf_counter()
        try:
            result, tries = await self._ask(call)
        except FarthingError as error:
            await self._callbacks.atell(call, error, perf_counter() - begun, 1)
            raise
        await self._callbacks.atell(call, result, perf_counter() - begun, tries)
        return result

    async def _ask(self, call: Call[T]) -> tuple[T, int]:
        """The result, and the number of tries that it took."""
        tries = 0
        failed: ApiError | None = None
        while True:
            if not self._gate.enter():
                # What is known of a call that was sent is told, rather than that it can't be sent again.
                raise failed or ClientClosed(ClientClosed.__doc__)
            try:
                return read_answer(call, await self._transport.send(call)), tries + 1
            except ApiError as error:
                failed, tries = error, tries + 1
                wait = self._retries.wait(error, tries)
                if wait is None:
                    raise
            finally:
                self._gate.leave()
            await sleep(wait)

    async def aclose(self) -> None:
        """Let what is on its way finish, and close the transport; what is asked from now on is refused."""
        await self._gate.ashut()
        if not self._let_go:
            await self._transport.aclose()
            self._let_go = True
