"""Metering by hand: a block around whatever calls a model, in which one says what was used.

async with metered(ledger, "alice", model="gpt-4o", prompt=messages) as m:
    answer = await ask_somehow(messages)
    m.used(input_tokens=answer.read, output_tokens=answer.written)
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from time import monotonic
from types import TracebackType
from typing import Any, Generic, TypeVar, overload

from farthing.client.aio.client import AsyncClient
from farthing.client.errors import Unusable
from farthing.client.results import Charge, Hold, HoldNow, Settled
from farthing.client.sync.client import Client

from .call import Ended, ModelCall
from .following import tick
from .keys import key_of
from .policy import Given
from .reading import Asked, Operation, Seen, said
from .settling import AsyncSettler, Job, Settler, async_settler_of, settler_of
from .terms import NO_METADATA, NOTHING_SAID, Said, terms_of
from .used import Used, told

C = TypeVar("C", Client, AsyncClient)


class _Block(ABC, Generic[C]):
    """A call that somebody makes himself."""

    def __init__(self, ledger: C, asked: Asked, said: Said) -> None:
        self._ledger: C = ledger
        self._asked, self._said = asked, said
        self._call: ModelCall | None = None

    def used(
        self, used: Used | None = None, *, input_tokens: int | None = None, output_tokens: int | None = None,
        model: str = "", attributes: Mapping[str, str] | None = None, **counts: int,
    ) -> None:  # fmt: skip
        """Say what was used, as far as it is known: inclusive counts of tokens, or by other dimensions of a charge,
        such as `cache_read_tokens` or `reasoning_tokens`. What is said later takes the place of what was said before;
        what nobody says is estimated."""
        every = {"input_tokens": input_tokens, "output_tokens": output_tokens, **counts}
        given = told(**every)
        if wrong := {name: count for name, count in every.items() if count is not None and name not in given}:
            raise ValueError(f"counts must be whole numbers from zero up, not {wrong}")
        if used is not None:
            self._running.see(Seen(used=used))
        self._running.see(Seen(used=Used(model=model, counts=given, attributes=attributes or {})))

    def delivered(self, text: str) -> None:
        """A piece of the answer, as it is passed on: it is charged by its text where nobody says what was used."""
        self._running.see(Seen(text=text))
        self._tick(self._running)

    def answered(self, *, id: str = "", finish: str = "") -> None:
        """What belongs to the evidence: the answer's id, and why it ended."""
        self._running.see(Seen(id=id, finish=finish))

    @property
    def hold(self) -> Hold | HoldNow | None:
        """What was set aside, if anything was."""
        return self._running.hold

    @property
    def settled(self) -> Settled | Charge | None:
        """What was charged at last; None while nothing was."""
        return self._running.settled

    @property
    def _running(self) -> ModelCall:
        if self._call is None:
            raise Unusable("this call has not begun: enter it as a block")
        return self._call

    def _begin(self, document: str) -> ModelCall:
        if self._call is not None:
            raise Unusable("this block was entered before: make another one for each call")
        return ModelCall(self._asked, terms_of(NOTHING_SAID, document, self._said))

    @abstractmethod
    def _tick(self, call: ModelCall) -> None:
        """Report what was delivered, where that is due."""


def _ended(call: ModelCall, error: BaseException | None) -> Ended:
    if error is None:
        return "finished" if call.used.known or call.used.counts or call.delivered else "refused"
    if not isinstance(error, Exception):
        return "left"
    if error is call.spent:
        return "cut"
    return "failed" if call.used.counts or call.delivered else "refused"


class Metered(_Block[Client]):
    """A call that a thread makes."""

    _settler: Settler
    _report: Job | None = None

    def __enter__(self) -> "Metered":
        self._settler = settler_of(self._ledger)
        call = self._begin(self._settler.document())
        self._settler.open(call)
        self._call = call
        return self

    def _tick(self, call: ModelCall) -> None:
        self._report = tick(call, self._settler, self._report)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:  # fmt: skip
        if self._running.end(_ended(self._running, error), error):
            self._settler.settle(self._running, wait=True)


class AsyncMetered(_Block[AsyncClient]):
    """A call that a task makes."""

    _settler: AsyncSettler

    async def __aenter__(self) -> "AsyncMetered":
        settler = self._settler = async_settler_of(self._ledger)
        call = self._begin(await settler.document())
        await settler.open(call)
        self._call = call
        return self

    def _tick(self, call: ModelCall) -> None:
        if call.ticks(monotonic()):
            call.reports = self._settler.report(call).done

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:  # fmt: skip
        if not self._running.end(_ended(self._running, error), error):
            return
        if error is None or isinstance(error, Exception):
            await self._settler.settled(self._running)
        else:
            self._settler.settle(self._running)


@overload
def metered(
    ledger: Client, account: str | None = None, *, model: str, prompt: Any = None, most_output: int | None = None,
    operation: Operation = "chat", policy: Given = None, provider: str | None = None, service: str | None = None,
    product: str | None = None, chat: str | None = None, metadata: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> Metered: ...  # fmt: skip
@overload
def metered(
    ledger: AsyncClient, account: str | None = None, *, model: str, prompt: Any = None,
    most_output: int | None = None, operation: Operation = "chat", policy: Given = None, provider: str | None = None,
    service: str | None = None, product: str | None = None, chat: str | None = None,
    metadata: Mapping[str, Any] | None = None, key: str | None = None,
) -> AsyncMetered: ...  # fmt: skip
def metered(
    ledger: Client | AsyncClient, account: str | None = None, *, model: str, prompt: Any = None,
    most_output: int | None = None, operation: Operation = "chat", policy: Given = None, provider: str | None = None,
    service: str | None = None, product: str | None = None, chat: str | None = None,
    metadata: Mapping[str, Any] | None = None, key: str | None = None,
) -> Metered | AsyncMetered:  # fmt: skip
    """A block in which a model is called by any means: credits are held at its beginning, by what the `prompt` (a text
    or messages) and `most_output` tokens will probably cost, and charged at its end, by what `used` and `delivered`
    said. Where nothing was said, nothing is charged. By a `key` it is charged once, however often it is made: who
    enters it again after that gets `HoldEnded`."""
    texts = (prompt,) if isinstance(prompt, str) else tuple(map(said, prompt or ()))
    asked = Asked(model=model, operation=operation, texts=texts, most_output=most_output)
    words = Said(
        account=account, policy=policy, provider=provider, service=service, product=product, chat=chat,
        metadata=metadata or NO_METADATA, key=key_of(key),
    )  # fmt: skip
    if isinstance(ledger, AsyncClient):
        return AsyncMetered(ledger, asked, words)
    return Metered(ledger, asked, words)
