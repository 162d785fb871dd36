"""The door: the one way by which all calls of a client go out, and are tried again.

Whoever is to be told of calls (`callbacks`) is told here, once they have ended; what stands in for a ledger that can't
be reached (`outage`) is asked here, when all tries have failed.

Made from `aio/door.py` by `python -m tests.client.twin`: change that, not this.
"""

from collections.abc import Generator
from contextlib import closing
from time import perf_counter, sleep
from typing import Any, Protocol, TypeVar

from ..answers import Answer, read_answer
from ..bulk import rest_of
from ..callbacks import Callbacks
from ..calls import Call
from ..errors import ApiError, ClientClosed, ConnectError, FarthingError
from ..gate import Gate
from ..guests import Guests
from ..job_results import JobRun
from ..retries import Retries
from .outage import Check, Outage

T = TypeVar("T")


class Transport(Protocol):
    """Carries calls, each once."""

    def start(self, call: Call[Any]) -> Call[Any]:
        """The call, begun where that is of use: whoever starts one sends it."""

    def send(self, call: Call[Any]) -> Answer:
        """What is answered; raises `ApiError` where nothing is."""

    def stream(self, call: Call[Any]) -> Generator[bytes, None, None]:
        """What is answered part by part, for as long as there is more; raises what is refused."""

    def run_jobs(self) -> list[JobRun]:
        """Do what is due, where the ledger is in this process."""

    def close(self) -> None:
        """Let go of everything."""


class Attached(Protocol):
    """Something that works with a client, and has to end before it."""

    def close(self) -> None:
        """Finish what has begun."""


class Door:
    """Asks a transport, and asks again where that may help."""

    def __init__(
        self, transport: Transport, retries: Retries, callbacks: Callbacks | None = None,
        outage: Outage | None = None, guests: Guests | None = None,
    ) -> None:  # fmt: skip
        self._transport = transport
        self.retries = retries
        self._callbacks = callbacks or Callbacks()
        self._gate = Gate()
        self._let_go = False
        self.outage = outage or Outage()
        self.guests = guests or Guests()
        self.attached: dict[str, Attached] = {}
        """By name; each is closed before the door is."""

    def begin(self, check: Check | None = None) -> None:
        """Find out whether this is the ledger that is meant, and send what waits for it. Where it can't be asked now,
        and calls are let through, it is asked before anything is sent."""
        if check is not None:
            try:
                check()
            except FarthingError as error:
                if not self.outage.bears(error):
                    raise
                self.outage.doubt = check
        self.outage.begin(self._once)

    def start(self, call: Call[T]) -> Call[T]:
        """The same call, on its way where that is of use: a ledger in this process has its disk write while something
        else is done. Whoever starts one asks it; nothing is known of it before."""
        # Who is told of calls hears how long they take: all of it, while nothing else is done.
        if self.outage.wrong or self._callbacks.wants(call) or self.guests.spared(call) is not None:
            return call
        if not self._gate.enter():
            return call
        try:
            return self._transport.start(call)
        finally:
            self._gate.leave()

    def ask(self, call: Call[T]) -> T:
        """The result of a call; what is for guests is not sent."""
        spared = self.guests.spared(call)
        if spared is None:
            return self._asked(call)
        result: T = spared.result if spared.rest is None else spared.merged(self._asked(spared.rest))
        return result

    def _asked(self, call: Call[T]) -> T:
        if self.outage.wrong:
            raise ConnectError(self.outage.wrong)
        behind = self.outage.before(call)
        if behind is not None:
            return behind
        wanted, begun = self._callbacks.wants(call), perf_counter()
        try:
            result, tries = self._whole(call)
        except FarthingError as error:
            if wanted:
                self._callbacks.tell(call, error, perf_counter() - begun, 1)
            stand_in = self.outage.instead(call, error)
            if stand_in is None:
                raise
            return stand_in
        self.outage.reached()
        if wanted:
            self._callbacks.tell(call, result, perf_counter() - begun, tries)
        if (rest := rest_of(call, result)) is not None:
            stand_in = self.outage.instead(rest.call, rest.error)
            return result if stand_in is None else rest.merged(result, stand_in)
        return result

    def _whole(self, call: Call[T]) -> tuple[T, int]:
        """The same, also where many charges went along and some of them have to be asked for again."""
        result, tries = self._ask(call)
        while (rest := rest_of(call, result)) is not None:
            wait = self.retries.wait(rest.error, tries)
            if wait is None:
                break
            sleep(wait)
            try:
                again, more = self._ask(rest.call)
            except FarthingError:
                break  # what is known of each is told
            result, tries = rest.merged(result, again), tries + more
        return result, tries

    def _ask(self, call: Call[T]) -> tuple[T, int]:
        """The result, and the number of tries that it took."""
        tries = 0
        failed: ApiError | None = None
        while True:
            try:
                return self._once(call), tries + 1
            except ApiError as error:
                failed, tries = error, tries + 1
                wait = self.retries.wait(error, tries)
                if wait is None or self.outage.is_long(call):
                    raise
            except ClientClosed:
                # What is known of a call that was sent is told, rather than that it can't be sent again.
                raise failed or ClientClosed(ClientClosed.__doc__) from None
            sleep(wait)

    def _once(self, call: Call[T]) -> T:
        """The result of one try."""
        if not self._gate.enter():
            if call.ahead is not None and call.ahead.accepted:  # it is done, and its answer is only to be read
                return read_answer(call, self._transport.send(call))
            raise ClientClosed(ClientClosed.__doc__)
        try:
            return read_answer(call, self._transport.send(call))
        finally:
            self._gate.leave()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._gate.shut_already

    def stream(self, call: Call[Any]) -> Generator[bytes, None, None]:
        """What is answered part by part, on one connection. Nobody waits for it when the client is closed."""
        if self._gate.shut_already:
            raise ClientClosed(ClientClosed.__doc__)
        with closing(self._transport.stream(call)) as parts:
            yield from parts

    def run_jobs(self) -> list[JobRun]:
        """Do what is due, where the ledger is in this process."""
        if not self._gate.enter():
            raise ClientClosed(ClientClosed.__doc__)
        try:
            return self._transport.run_jobs()
        finally:
            self._gate.leave()

    def close(self) -> None:
        """Let what is on its way finish, and close the transport; what is asked from now on is refused."""
        for each in list(self.attached.values()):
            each.close()
        self.outage.end()
        self._gate.shut()
        if not self._let_go:
            self._transport.close()
            self.outage.close()
            self._let_go = True
