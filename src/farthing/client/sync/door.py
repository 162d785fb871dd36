"""The door: the one way by which all calls of a client go out, and are tried again.

Whoever is to be told of calls (`callbacks`) is told here, once they have ended; what stands in for a ledger that can't
be reached has its place here as well: `ask` has the whole call, with its key, before it is sent and afterwards.

Made from `aio/door.py` by `python -m tests.client.twin`: change that, not this.
"""

from time import perf_counter, sleep
from typing import Any, Protocol, TypeVar

from ..answers import Answer, read_answer
from ..callbacks import Callbacks
from ..calls import Call
from ..errors import ApiError, ClientClosed, FarthingError
from ..gate import Gate
from ..retries import Retries

T = TypeVar("T")


class Transport(Protocol):
    """Carries calls, each once."""

    def send(self, call: Call[Any]) -> Answer:
        """What is answered; raises `ApiError` where nothing is."""

    def close(self) -> None:
        """Let go of everything."""


class Door:
    """Asks a transport, and asks again where that may help."""

    def __init__(self, transport: Transport, retries: Retries, callbacks: Callbacks | None = None) -> None:
        self._transport = transport
        self._retries = retries
        self._callbacks = callbacks or Callbacks()
        self._gate = Gate()
        self._let_go = False

    def ask(self, call: Call[T]) -> T:
        """The result of a call."""
        if not self._callbacks.wants(call):
            return (self._ask(call))[0]
        begun = perf_counter()
        try:
            result, tries = self._ask(call)
        except FarthingError as error:
            self._callbacks.tell(call, error, perf_counter() - begun, 1)
            raise
        self._callbacks.tell(call, result, perf_counter() - begun, tries)
        return result

    def _ask(self, call: Call[T]) -> tuple[T, int]:
        """The result, and the number of tries that it took."""
        tries = 0
        failed: ApiError | None = None
        while True:
            if not self._gate.enter():
                # What is known of a call that was sent is told, rather than that it can't be sent again.
                raise failed or ClientClosed(ClientClosed.__doc__)
            try:
                return read_answer(call, self._transport.send(call)), tries + 1
            except ApiError as error:
                failed, tries = error, tries + 1
                wait = self._retries.wait(error, tries)
                if wait is None:
                    raise
            finally:
                self._gate.leave()
            sleep(wait)

    def close(self) -> None:
        """Let what is on its way finish, and close the transport; what is asked from now on is refused."""
        self._gate.shut()
        if not self._let_go:
            self._transport.close()
            self._let_go = True
