"""Hooks: calls that somebody else's library makes, and tells of before, while and after. What it tells is put here into
a call that is held for, followed and settled like any other.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypedDict

from msgspec.structs import replace

from farthing.client.aio.client import AsyncClient
from farthing.client.errors import FarthingError, WrongLoop
from farthing.client.sync.client import Client

from .call import Ended, ModelCall
from .following import atick, tick
from .policy import Given, chosen
from .reading import Asked, Seen
from .settling import Job, async_settler_of, settler_of
from .terms import Said, terms_of
from .twice import Making

LOG: Final = logging.getLogger("farthing.llm")
_LOST: Final = frozenset(
    {"APIConnectionError", "ClientError", "ConnectionError", "IncompleteRead", "ModelConnectionError", "TimeoutError",
     "TransportError"}
)  # fmt: skip
"""Classes of errors that say that a connection is gone, of whichever library."""


def without(kind: str, package: str) -> str:
    """What is told to whoever lacks the library that a file of ours is for."""
    return f"farthing.llm.{kind} needs the package {package}, which is not installed: pip install {package}"


@contextmanager
def reading() -> Iterator[None]:
    """What is told and can't be read costs nobody his answer."""
    try:
        yield
    except Exception:
        LOG.exception("what a library tells of a model's answer can't be read")


class Open:
    """A call under way."""

    def __init__(self, call: ModelCall) -> None:
        self.call = call
        self.making: Making | None = None
        """For as long as its model is asked in the context in which it was begun."""
        self.began = False
        """Something of its answer has come."""
        self.told_by = ""
        """What tells of its pieces, where there are several ways."""
        self.job: Job | None = None
        self.task: asyncio.Task[None] | None = None
        """What the ledger is told, or was told last."""

    def see(self, seen: Seen) -> None:
        """What its answer says, or a piece of it."""
        self.began = True
        self.call.see(seen)

    def how(self, error: BaseException) -> Ended:
        """How it has ended, where its library says that it has failed."""
        return how_of(error, streams=self.call.asked.stream, began=self.began)

    def end(self, how: Ended, error: BaseException | None = None) -> bool:
        """It is over; false where it was before."""
        if self.making is not None:
            self.making.over()
        return self.call.end(how, error)


class Words(TypedDict, total=False):
    """What is said of a hook's calls, as `meter` has it."""

    account: str | None
    policy: Given
    provider: str | None
    service: str | None
    operation: str | None
    product: str | None
    metadata: Mapping[str, Any] | None


def said_of(words: Words) -> Said:
    """The same, for terms."""
    given: dict[str, Any] = {name: value for name, value in words.items() if value is not None}
    return Said(**given)


class Hook:
    """Hooks of a library that calls models in threads."""

    def __init__(self, ledger: Client, said: Said) -> None:
        chosen("", said.service or "", said.policy)  # what can't be meant is refused here
        self._settler = settler_of(ledger)
        self._said = said

    def begin(self, asked: Asked, account: str | None = None) -> Open:
        """Hold for a call that is about to be made. What is raised here says that it must not be."""
        call = self._call(asked, account)
        self._settler.open(call)
        return Open(call)

    def unheld(self, asked: Asked, account: str | None = None) -> Open:
        """A call that was told of too late for that."""
        return Open(self._call(asked, account))

    def _call(self, asked: Asked, account: str | None) -> ModelCall:
        return ModelCall(asked, terms_of(_of(self._said, account), self._settler.document()))

    def passing(self, open: Open) -> None:
        """A piece that was seen is about to be passed on; raises where it must not be."""
        open.job = tick(open.call, self._settler, open.job)

    def end(self, open: Open, how: Ended, error: BaseException | None = None, *, wait: bool = True) -> None:
        """It is over; wait a little for its settlement."""
        if open.end(how, error):
            self._settler.settle(open.call, wait=wait and how != "left")

    def dropped(self, open: Open) -> None:
        """Nobody has its answer any more; may be found in the middle of anything."""
        if open.end("left"):
            self._settler.settle_from_anywhere(open.call)

    def ready(self) -> None:
        """Somebody will look after answers that are dropped."""
        self._settler.ready()


class AsyncHook:
    """Hooks of a library that calls models on an event loop."""

    def __init__(self, ledger: AsyncClient, said: Said) -> None:
        chosen("", said.service or "", said.policy)
        self._ledger = ledger
        self._said = said

    async def begin(self, asked: Asked, account: str | None = None) -> Open:
        """Hold for a call that is about to be made. What is raised here says that it must not be."""
        settler = async_settler_of(self._ledger)
        if settler.loop is not asyncio.get_running_loop():
            raise WrongLoop(WrongLoop.__doc__)
        call = ModelCall(asked, terms_of(_of(self._said, account), await settler.document()))
        await settler.open(call)
        return Open(call)

    async def passing(self, open: Open) -> None:
        """A piece that was seen is about to be passed on; raises where it must not be."""
        open.task = await atick(open.call, async_settler_of(self._ledger), open.task)

    async def end(self, open: Open, how: Ended, error: BaseException | None = None) -> None:
        """It is over; wait a little for its settlement, unless nobody waits for the answer either."""
        if not open.end(how, error):
            return
        settler = async_settler_of(self._ledger)
        if how == "left" or isinstance(error, asyncio.CancelledError):
            settler.settle(open.call)
        else:
            await settler.settled(open.call)

    def dropped(self, open: Open) -> None:
        """Nobody has its answer any more; may be found in the middle of anything."""
        if open.end("left"):
            async_settler_of(self._ledger).settle_from_anywhere(open.call)

    def ready(self) -> None:
        """As the other one has it."""


class ThreadedHook(AsyncHook):
    """Hooks of a library that calls models on an event loop, with a ledger for threads."""

    def __init__(self, ledger: Client, said: Said) -> None:
        self._hook = Hook(ledger, said)

    async def begin(self, asked: Asked, account: str | None = None) -> Open:
        """Hold for a call that is about to be made. What is raised here says that it must not be."""
        begun = asyncio.ensure_future(asyncio.to_thread(self._hook.begin, asked, account))
        try:
            return await asyncio.shield(begun)
        except asyncio.CancelledError:
            begun.add_done_callback(self._unwanted)
            raise

    def _unwanted(self, begun: "asyncio.Task[Open]") -> None:
        if not begun.cancelled() and begun.exception() is None:
            self._hook.end(begun.result(), "refused", wait=False)

    async def passing(self, open: Open) -> None:
        """A piece that was seen is about to be passed on; raises where it must not be."""
        if open.call.waits:
            await asyncio.to_thread(self._hook.passing, open)
        else:
            self._hook.passing(open)

    async def end(self, open: Open, how: Ended, error: BaseException | None = None) -> None:
        """It is over; wait a little for its settlement, unless nobody waits for the answer either."""
        if how == "left" or isinstance(error, asyncio.CancelledError):
            self._hook.end(open, how, error, wait=False)
        else:
            await asyncio.to_thread(self._hook.end, open, how, error)

    def dropped(self, open: Open) -> None:
        """Nobody has its answer any more; may be found in the middle of anything."""
        self._hook.dropped(open)

    def ready(self) -> None:
        """Somebody will look after answers that are dropped."""
        self._hook.ready()


def hook_of(ledger: Client | AsyncClient, said: Said) -> AsyncHook:
    """Hooks for an event loop, whichever the ledger is for."""
    return AsyncHook(ledger, said) if isinstance(ledger, AsyncClient) else ThreadedHook(ledger, said)


def _of(said: Said, account: str | None) -> Said:
    return said if account is None else replace(said, account=account)


def how_of(error: BaseException, *, streams: bool, began: bool) -> Ended:
    """How a call has ended that a library says has failed; `began`: something of its answer had come."""
    if isinstance(error, GeneratorExit):
        return "left"
    if isinstance(error, FarthingError):  # no more is to be delivered
        return "cut"
    if not isinstance(error, Exception):
        return "left" if began else "cut" if streams else "lost"
    lost = any(each.__name__ in _LOST for some in _chain(error) for each in type(some).__mro__)
    if began:
        return "cut" if lost else "failed"
    if isinstance(getattr(error, "status_code", None), int) and not lost:
        return "refused"
    return "cut" if streams else "lost"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it comes from."""
    found: BaseException | None = error
    for _ in range(8):
        if found is None:
            return
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
