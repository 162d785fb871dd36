"""pydantic-ai: a capability that has each request of an agent to its model held for and charged.

    agent = Agent("openai:gpt-4o", capabilities=[Credits(ledger, account="alice")])

It stands around the model that serves a request, whichever that is: a loop with tools makes several, a fallback one for
each model that is tried, and each is a call of its own. A request that is refused ends before its model is asked.
"""

import copy
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from farthing.client.aio.client import AsyncClient
from farthing.client.sync.client import Client

from .call import Ended
from .hooks import AsyncHook, Open, hook_of, how_of, reading, without
from .otel import within
from .policy import Given
from .reading import Asked, Seen, list_of, of, text_of
from .terms import NO_METADATA, Said, saying
from .used import Used, told, unusual

try:
    from pydantic_ai import RunContext
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.wrapper import WrapperModel
    from pydantic_ai.settings import ModelSettings
except ImportError as error:
    raise ImportError(without("pydantic_ai", "pydantic-ai-slim")) from error

AccountOf: TypeAlias = Callable[[RunContext[Any]], str | None]
"""Whose a run is, by its context, such as its `deps`; None leaves it to who said it otherwise."""
_FREE: Final = Said(guest=True)
"""A client that is metered by itself has its calls charged here already."""


# What a request asks for


def asked_of(
    model: Model, messages: Sequence[ModelMessage], settings: Mapping[str, Any], parameters: ModelRequestParameters,
    *, stream: bool,
) -> Asked:  # fmt: skip
    """What a request asks for."""
    most = settings.get("max_tokens")
    parts = [part for message in messages for part in message.parts]
    return Asked(
        model=model.model_name, operation="chat", texts=tuple(_texts(messages)), tools=_tools(parameters),
        uncounted=any(map(_has_more, parts)), most_output=most if isinstance(most, int) and most > 0 else None,
        stream=stream,
    )  # fmt: skip


def _texts(messages: Sequence[ModelMessage]) -> Iterator[str]:
    instructions = [text for message in messages if (text := text_of(message, "instructions"))]
    yield from instructions[-1:]  # those of the last request count for all
    for message in messages:
        if isinstance(message, ModelResponse):
            yield "".join(map(_part_text, message.parts))
        else:
            yield from map(_part_text, message.parts)


def _part_text(part: Any) -> str:
    """The text of a part of a message, or of a piece of one: what it says, or what a tool is called with."""
    for name in ("content", "args", "content_delta", "args_delta"):
        if (found := of(part, name)) is not None:
            return _plain(found)
    return ""


def _plain(found: Any) -> str:
    if isinstance(found, str):
        return found
    if isinstance(found, Mapping):
        return json.dumps(found, default=str)
    if isinstance(found, Sequence) and not isinstance(found, bytes):
        return "".join(each if isinstance(each, str) else text_of(each, "content") for each in found)
    return str(found)


def _has_more(part: Any) -> bool:
    """Whether a part is more than text."""
    if text_of(part, "part_kind") in ("file", "speech"):
        return True
    found = list_of(part, "content") if text_of(part, "part_kind") == "user-prompt" else []
    return not all(isinstance(each, str) or text_of(each, "content") for each in found)


def _tools(parameters: ModelRequestParameters) -> str:
    offered = [
        {"type": "function", "function": {
            "name": each.name, "description": each.description, "parameters": each.parameters_json_schema,
        }}
        for each in (*parameters.function_tools, *parameters.output_tools)
    ]  # fmt: skip
    return json.dumps(offered, default=str) if offered else ""


# What an answer says


def used_of(response: ModelResponse) -> Used | None:
    """What an answer says of its usage; None where it says nothing."""
    usage, details = response.usage, response.provider_details
    if usage.unmeasured_requests:
        return None
    counts = told(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens, cache_write_1h_tokens=usage.cache_write_1h_tokens,
        reasoning_tokens=usage.output_reasoning_tokens, input_audio_tokens=usage.input_audio_tokens,
        output_audio_tokens=usage.output_audio_tokens,
    )  # fmt: skip
    return Used(
        provider=response.provider_name or "", model=response.model_name or "", counts=counts,
        attributes=unusual(service_tier=of(details or {}, "service_tier")),
    )  # fmt: skip


def read_answer(open: Open, response: ModelResponse) -> Ended:
    """All of an answer; how its call has ended."""
    with reading():
        used = used_of(response)
        pending = response.state == "suspended"
        text = "" if open.began else "".join(map(_part_text, response.parts))
        open.see(Seen(text=text, used=used, id=_id_of(response), finish=_finish(response), over=True, pending=pending))
        if pending and (used is None or not any(used.counts.values())):
            # It is still being made: whoever asks for it later hears what it used.
            return "refused"
    return "finished"


def read_rest(open: Open, response: ModelResponse) -> None:
    """What had come of an answer that goes no further. Its usage is of all where it says why the answer ends, and else
    of what went in."""
    with reading():
        used, finish = used_of(response), _finish(response)
        if used is not None and not (finish and used.output_tokens):
            into = {name: count for name, count in used.counts.items() if name.startswith(("input_", "cache_"))}
            used = replace(used, counts=into if used.input_tokens else {})
        over = bool(finish) and used is not None and used.known
        open.call.see(Seen(used=used, id=_id_of(response), finish=finish, over=over))


def _id_of(response: ModelResponse) -> str:
    return response.provider_response_id or ""


def _finish(response: ModelResponse) -> str:
    return text_of(response.provider_details or {}, "finish_reason") or response.finish_reason or ""


# The model that serves a request


class _Follow:
    """A stream on its way to who reads it."""

    def __init__(self, open: Open, hook: AsyncHook) -> None:
        self._open, self._hook = open, hook
        self.error: Exception | None = None
        """Why nothing more came."""

    async def read(self, events: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        """Its events, on their way through."""
        try:
            async for event in events:
                with reading():
                    if text := _event_text(event):
                        self._open.see(Seen(text=text))
                await self._hook.passing(self._open)
                yield event
        except Exception as error:
            self.error = error
            raise


def _event_text(event: Any) -> str:
    match text_of(event, "event_kind"):
        case "part_start":
            return _part_text(of(event, "part"))
        case "part_delta":
            return _part_text(of(event, "delta"))
        case _:
            return ""


@cache
def _followed(kind: Any) -> Any:
    class Followed(kind):  # type: ignore[misc]
        farthing: _Follow
        _event_iterator: Any

        def __aiter__(self) -> Any:
            # Kept where the library keeps it: who has looked at the first event puts it back there.
            if self._event_iterator is None:
                self._event_iterator = self.farthing.read(super().__aiter__())
            return self._event_iterator

    Followed.__name__, Followed.__qualname__, Followed.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Followed


class _Metered(WrapperModel):
    """A model whose requests are charged."""

    def __init__(self, wrapped: Model, hook: AsyncHook, account: str | None) -> None:
        super().__init__(wrapped)
        self._hook, self._account = hook, account

    async def __aenter__(self) -> "_Metered":
        """Whoever has the model opens and closes it."""
        return self

    async def __aexit__(self, *raised: object) -> None:
        """As above."""

    async def _begin(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters,
        *, stream: bool,
    ) -> Open:  # fmt: skip
        every = {**(self.wrapped.settings or {}), **(settings or {})}
        asked = asked_of(self.wrapped, messages, every, parameters, stream=stream)
        return await self._hook.begin(asked, self._account)

    async def request(
        self, messages: list[ModelMessage], model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:  # fmt: skip
        """Ask the model, and have it charged."""
        open = await self._begin(messages, model_settings, model_request_parameters, stream=False)
        try:
            with within(open.call), saying(_FREE):
                response = await self.wrapped.request(messages, model_settings, model_request_parameters)
        except BaseException as error:
            await self._hook.end(open, open.how(error), error)
            raise
        await self._hook.end(open, read_answer(open, response))
        return response

    @asynccontextmanager
    async def request_stream(
        self, messages: list[ModelMessage], model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters, run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:  # fmt: skip
        """The same, as a stream."""
        open = await self._begin(messages, model_settings, model_request_parameters, stream=True)
        async with AsyncExitStack() as stack:
            try:
                with within(open.call), saying(_FREE):
                    stream = await stack.enter_async_context(
                        self.wrapped.request_stream(
                            messages, model_settings, model_request_parameters, run_context
                        )
                    )  # fmt: skip
            except BaseException as error:
                await self._hook.end(open, open.how(error), error)
                raise
            follow = self._follow(open, stream)
            try:
                yield stream
            finally:
                await self._hook.end(open, _ended(open, stream, follow.error), follow.error)

    def _follow(self, open: Open, stream: Any) -> _Follow:
        stream.farthing = follow = _Follow(open, self._hook)
        kind: Any = type(stream)
        stream.__class__ = _followed(kind)
        return follow


def _ended(open: Open, stream: StreamedResponse, error: Exception | None) -> Ended:
    """How a stream has ended, and all that it has told."""
    response = stream.get()
    if error is None and response.state in ("complete", "suspended"):
        return read_answer(open, response)
    read_rest(open, response)
    return "left" if error is None else how_of(error, streams=True, began=open.began)


class Credits(AbstractCapability[Any]):
    """Has what an agent asks of its models charged. The ledger may be an asynchronous one, or one for threads."""

    def __init__(
        self, ledger: Client | AsyncClient, *, account: str | None = None, account_of: AccountOf | None = None,
        policy: Given = None, provider: str | None = None, service: str | None = None, operation: str | None = None,
        product: str | None = None, metadata: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """As `meter` has it; `account_of` says whose a run is, by its context."""
        self.id = "farthing_credits"  # one for a run: else each request would be charged twice
        said = Said(
            account=account, policy=policy, provider=provider, service=service, operation=operation, product=product,
            metadata=metadata or NO_METADATA,
        )  # fmt: skip
        self._hook = hook_of(ledger, said)
        self._account_of = account_of
        self._account: str | None = None

    async def for_run(self, ctx: RunContext[Any]) -> "Credits":
        """The one that knows whose a run is."""
        if self._account_of is None:
            return self
        made = copy.copy(self)
        made._account = self._account_of(ctx)
        return made

    def get_wrapper_model(self, model: Model) -> Model:
        """The model, with its requests charged; of one that falls back on others, the requests of each."""
        if isinstance(model, FallbackModel):
            made = copy.copy(model)
            made.models = [self.get_wrapper_model(each) for each in model.models]
            return made
        return _Metered(model, self._hook, self._account)

    @classmethod
    def combine(cls, capabilities: Sequence[AbstractCapability[Any]]) -> AbstractCapability[Any]:
        """Of several, the last one counts."""
        return capabilities[-1]

    @classmethod
    def get_serialization_name(cls) -> str | None:
        """It has a ledger, which no file describes."""
        return None
