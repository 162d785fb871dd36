"""The door: the one way by which all calls of a client go out, and are tried again.

Whoever is to be told of calls (`callbacks`) is told here, once they have ended; what stands in for a ledger that can't
be reached (`outage`) is asked here, when all tries have failed.
"""

from asyncio import sleep
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import perf_counter
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
from .outage import AsyncCheck, AsyncOutage

T = TypeVar("T")


class AsyncTransport(Protocol):
    """Carries calls, each once."""

    def start(self, call: Call[Any]) -> Call[Any]:
        """The call, begun where that is of use: whoever starts one sends it."""

    async def send(self, call: Call[Any]) -> Answer:
        """What is answered; raises `ApiError` where nothing is."""

    def stream(self, call: Call[Any]) -> AsyncGenerator[bytes, None]:
        """What is answered part by part, for as long as there is more; raises what is refused."""

    async def run_jobs(self) -> list[JobRun]:
        """Do what is due, where the ledger is in this process."""

    async def aclose(self) -> None:
        """Let go of everything."""


class AsyncAttached(Protocol):
    """Something that works with a client, and has to end before it."""

    async def aclose(self) -> None:
        """Finish what has begun."""


class AsyncDoor:
    """Asks a transport, and asks again where that may help."""

    def __init__(
        self, transport: AsyncTransport, retries: Retries, callbacks: Callbacks | None = None,
        outage: AsyncOutage | None = None, guests: Guests | None = None,
    ) -> None:  # fmt: skip
        self._transport = transport
        self.retries = retries
        self._callbacks = callbacks or Callbacks()
        self._gate = Gate()
        self._let_go = False
        self.outage = outage or AsyncOutage()
        self.guests = guests or Guests()
        self.attached: dict[str, AsyncAttached] = {}
        """By name; each is closed before the door is."""

    async def begin(self, check: AsyncCheck | None = None) -> None:
        """Find out whether this is the ledger that is meant, and send what waits for it. Where it can't be asked now,
        and calls are let through, it is asked before anything is sent."""
        if check is not None:
            try:
                await check()
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

    async def ask(self, call: Call[T]) -> T:
        """The result of a call; what is for guests is not sent."""
        spared = self.guests.spared(call)
        if spared is None:
            return await self._asked(call)
        result: T = spared.result if spared.rest is None else spared.merged(await self._asked(spared.rest))
        return result

    async def _asked(self, call: Call[T]) -> T:
        if self.outage.wrong:
            raise ConnectError(self.outage.wrong)
        behind = await self.outage.before(call)
        if behind is not None:
            return behind
        wanted, begun = self._callbacks.wants(call), perf_counter()
        try:
            result, tries = await self._whole(call)
        except FarthingError as error:
            if wanted:
                await self._callbacks.atell(call, error, perf_counter() - begun, 1)
            stand_in = await self.outage.instead(call, error)
            if stand_in is None:
                raise
            return stand_in
        self.outage.reached()
        if wanted:
            await self._callbacks.atell(call, result, perf_counter() - begun, tries)
        if (rest := rest_of(call, result)) is not None:
            stand_in = await self.outage.instead(rest.call, rest.error)
            return result if stand_in is None else rest.merged(result, stand_in)
        return result

    async def _whole(self, call: Call[T]) -> tuple[T, int]:
        """The same, also where many charges went along and some of them have to be asked for again."""
        result, tries = await self._ask(call)
        while (rest := rest_of(call, result)) is not None:
            wait = self.retries.wait(rest.error, tries)
            if wait is None:
                break
            await sleep(wait)
            try:
                again, more = await self._ask(rest.call)
            except FarthingError:
                break  # what is known of each is told
            result, tries = rest.merged(result, again), tries + more
        return result, tries

    async def _ask(self, call: Call[T]) -> tuple[T, int]:
        """The result, and the number of tries that it took."""
        tries = 0
        failed: ApiError | None = None
        while True:
            try:
                return await self._once(call), tries + 1
            except ApiError as error:
                failed, tries = error, tries + 1
                wait = self.retries.wait(error, tries)
                if wait is None or self.outage.is_long(call):
                    raise
            except ClientClosed:
                # What is known of a call that was sent is told, rather than that it can't be sent again.
                raise failed or ClientClosed(ClientClosed.__doc__) from None
            await sleep(wait)

    async def _once(self, call: Call[T]) -> T:
        """The result of one try."""
        if not self._gate.enter():
            if call.ahead is not None and call.ahead.accepted:  # it is done, and its answer is only to be read
                return read_answer(call, await self._transport.send(call))
            raise ClientClosed(ClientClosed.__doc__)
        try:
            return read_answer(call, await self._transport.send(call))
        finally:
            self._gate.leave()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._gate.shut_already

    async def stream(self, call: Call[Any]) -> AsyncGenerator[bytes, None]:
        """What is answered part by part, on one connection. Nobody waits for it when the client is closed."""
        if self._gate.shut_already:
            raise ClientClosed(ClientClosed.__doc__)
        async with aclosing(self._transport.stream(call)) as parts:
            async for part in parts:
                yield part

    async def run_jobs(self) -> list[JobRun]:
        """Do what is due, where the ledger is in this process."""
        if not self._gate.enter():
            raise ClientClosed(ClientClosed.__doc__)
        try:
            return await self._transport.run_jobs()
        finally:
            self._gate.leave()

    async def aclose(self) -> None:
        """Let what is on its way finish, and close the transport; what is asked from now on is refused."""
        for each in list(self.attached.values()):
            await each.aclose()
        await self.outage.end()
        await self._gate.ashut()
        if not self._let_go:
            await self._transport.aclose()
            await self.outage.aclose()
            self._let_go = True
