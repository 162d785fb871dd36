"""LangChain: handlers of callbacks that have what a model is asked held for and charged.

    model = ChatOpenAI(model="gpt-4o", callbacks=[CreditsHandler(ledger, account="alice")])

Each run of a model is a call of its own: in chains, agents, batches and retries, by its run's id. A run that is refused
ends before its model is asked.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, Unpack
from uuid import UUID

from msgspec.structs import replace

from farthing.client.aio.client import AsyncClient
from farthing.client.errors import Unusable
from farthing.client.sync.client import Client

from .hooks import Hook, Open, Words, hook_of, reading, said_of, without
from .reading import Asked, Seen, count_of, has_more, list_of, of, text_of
from .twice import Making
from .used import Used, told, unusual

try:
    from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
    from langchain_core.messages import LC_ID_PREFIX
except ImportError as error:
    raise ImportError(without("langchain", "langchain-core")) from error

AccountOf: TypeAlias = Callable[[Mapping[str, Any]], str | None]
"""Whose a run is, by the metadata of its configuration; None leaves it to who said it otherwise."""
_TIERS: Final = ("flex", "priority")
_MOST: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens", "max_tokens_to_sample")


# What a run asks for, and what it says


def asked_of(texts: Sequence[str], uncounted: bool, metadata: Mapping[str, Any], given: Mapping[str, Any]) -> Asked:
    """What a run asks for, by its metadata and the parameters that its model is called with."""
    model = text_of(metadata, "ls_model_name") or text_of(given, "model") or text_of(given, "model_name")
    most = next((count for name in _MOST if (count := count_of(given, name))), count_of(metadata, "ls_max_tokens"))
    offered = list_of(given, "tools")
    answers = count_of(given, "n") or 1
    return Asked(
        model=model, operation="chat", texts=tuple(texts), tools=json.dumps(offered, default=str) if offered else "",
        uncounted=uncounted, most_output=most and most * answers, answers=answers,
    )  # fmt: skip


def message_text(message: Any) -> str:
    """The text of a message, or of a piece of one, and what tools are called with in it."""
    pieces = of(message, "tool_call_chunks")
    if pieces is None:
        calls = (json.dumps(of(call, "args"), default=str) for call in list_of(message, "tool_calls"))
    else:
        calls = (text_of(piece, "args") for piece in pieces)
    return _content_text(of(message, "content")) + "".join(calls)


def _content_text(content: Any) -> str:
    # Tools stand in content, too, as each vendor has it; they were counted.
    if isinstance(content, str):
        return content
    return "".join(each if isinstance(each, str) else _block_text(each) for each in content or ())


def _block_text(block: Any) -> str:
    found = next((text for name in ("text", "thinking", "reasoning", "refusal") if (text := text_of(block, name))), "")
    return found or "".join(text_of(each, "text") for each in list_of(block, "summary"))


def used_of(message: Any) -> Used | None:
    """What an answer says of its usage; None where it says nothing."""
    usage, metadata = of(message, "usage_metadata"), of(message, "response_metadata")
    if usage is None:
        return None
    into, out = of(usage, "input_token_details"), of(usage, "output_token_details")
    written = _detail(into, "ephemeral_5m_input_tokens"), _detail(into, "ephemeral_1h_input_tokens")
    counts = told(
        input_tokens=of(usage, "input_tokens"), output_tokens=of(usage, "output_tokens"),
        cache_read_tokens=_detail(into, "cache_read"),
        # Who says for how long it is kept says zero in all.
        cache_write_tokens=sum(part or 0 for part in written) or _detail(into, "cache_creation"),
        cache_write_1h_tokens=written[1], input_audio_tokens=_detail(into, "audio"),
        reasoning_tokens=_detail(out, "reasoning"), output_audio_tokens=_detail(out, "audio"),
    )  # fmt: skip
    tier = next((name for name in _TIERS if of(into, name) is not None), of(metadata, "service_tier"))
    return Used(model=model_of(metadata), counts=counts, attributes=unusual(service_tier=tier))


def _detail(details: Any, name: str) -> int | None:
    """A part of a count; its name has the tier in front where that is not the standard."""
    names = (name, *(f"{tier}_{name}" for tier in _TIERS))
    return next((found for each in names if isinstance(found := of(details, each), int)), None)


def model_of(metadata: Any) -> str:
    """The model that has answered."""
    return text_of(metadata, "model_name") or text_of(metadata, "model")


def finish_of(metadata: Any) -> str:
    """Why an answer ends."""
    return text_of(metadata, "finish_reason") or text_of(metadata, "stop_reason")


def _message_of(response: Any) -> Any:
    """The first message of an answer: of several, each has the usage of all."""
    return next((of(each, "message") for row in list_of(response, "generations") for each in row), None)


def read_token(open: Open, chunk: Any, token: Any) -> None:
    """A piece of an answer."""
    with reading():
        open.told_by = open.told_by or "tokens"
        message = of(chunk, "message")
        open.see(Seen(text=_content_text(token) if message is None else message_text(message)))


def read_event(open: Open, event: Any) -> None:
    """The same, as a stream of content blocks tells it: after its tokens, where those are told, too."""
    with reading():
        if of(event, "event") == "content-block-delta" and open.told_by != "tokens":
            delta = of(event, "delta")
            open.see(Seen(text=_block_text(delta) or text_of(delta, "args")))


def read_answer(open: Open, response: Any) -> bool:
    """All of an answer; whether it costs something: what comes from a cache doesn't."""
    with reading():
        message, counted = _message_of(response), of(of(response, "llm_output"), "token_usage")
        if message is None:
            _read_completion(open, response, counted)
            # Of several prompts that were one call, the first has the usage of all, and the others an empty one.
            return bool(counted != {})
        metadata = of(message, "response_metadata")
        open.see(
            Seen(text="" if open.began else message_text(message), used=used_of(message), id=_id_of(message),
                 finish=finish_of(metadata), over=True)
        )  # fmt: skip
        return bool(of(of(message, "usage_metadata"), "total_cost") != 0)
    return True


def _read_completion(open: Open, response: Any, counted: Any) -> None:
    """An answer that is no message."""
    texts = (text_of(each, "text") for row in list_of(response, "generations") for each in row)
    counts = told(input_tokens=of(counted, "prompt_tokens"), output_tokens=of(counted, "completion_tokens"))
    used = Used(model=model_of(of(response, "llm_output")), counts=counts) if counts else None
    open.see(Seen(text="" if open.began else "".join(texts), used=used, over=True))


def read_rest(open: Open, response: Any) -> None:
    """What had come of an answer that has failed. Its usage is of all where it says why the answer ends, and else of
    what went in."""
    with reading():
        message = _message_of(response) if open.began else None
        used = None if message is None else used_of(message)
        if used is None:
            return
        finish = finish_of(of(message, "response_metadata"))
        into = {name: count for name, count in used.counts.items() if name.startswith(("input_", "cache_"))}
        known = used if finish else replace(used, counts=into)
        open.call.see(Seen(used=known, id=_id_of(message), finish=finish, over=bool(finish)))


def _id_of(message: Any) -> str:
    """An answer's id, where it is the provider's, and not made of its run's."""
    found = text_of(of(message, "response_metadata"), "id") or text_of(message, "id")
    return "" if found.startswith(LC_ID_PREFIX) else found


def _shared(more: Mapping[str, Any]) -> Any:
    """What tells that runs are of one `generate`: the very same parameters; None of a run that is alone in its own."""
    size = of(more, "batch_size")
    return of(more, "invocation_params") if isinstance(size, int) and size > 1 else None


def _asked(open: Open | None) -> Open | None:
    """A run whose model was asked: it is not going to be again."""
    if open is not None and open.making is not None:
        open.making.over()
    return open


class _Runs:
    """What both handlers have in common: whose runs are, and those under way."""

    def __init__(self, account_of: AccountOf | None) -> None:
        self._account_of = account_of
        self._open: dict[UUID, Open] = {}
        self._given: dict[UUID, Any] = {}

    def account(self, metadata: Mapping[str, Any] | None) -> str | None:
        """Whose a run is, where its metadata may say so."""
        return None if self._account_of is None else self._account_of(metadata or {})

    def chat(self, messages: Sequence[Sequence[Any]], metadata: Mapping[str, Any] | None, more: Any) -> Asked:
        """What a run of a model for messages asks for."""
        every = [each for some in messages for each in some]
        given = of(more, "invocation_params") or {}
        texts = [message_text(each) for each in every]
        return asked_of(texts, any(has_more({"content": of(each, "content")}) for each in every), metadata or {}, given)

    def completion(self, prompts: Sequence[str], metadata: Mapping[str, Any] | None, more: Any) -> Asked:
        """What a run of a model for texts asks for."""
        return asked_of(prompts, False, metadata or {}, of(more, "invocation_params") or {})

    def begun(self, run_id: UUID, open: Open, more: Mapping[str, Any]) -> None:
        """A run has begun."""
        open.call.note("run", str(run_id))
        open.making = Making(open.call)
        self._open[run_id] = open
        if (given := _shared(more)) is not None:
            self._given[run_id] = given

    def refused(self, more: Mapping[str, Any]) -> list[Open]:
        """A run is refused. With it end those that the same `generate` has begun before, and nobody tells of that."""
        given = _shared(more)
        same = [run_id for run_id, each in list(self._given.items()) if each is given]
        return [open for run_id in same if (open := self.ended(run_id)) is not None]

    def of(self, run_id: UUID) -> Open | None:
        """One of whose answer something has come."""
        return _asked(self._open.get(run_id))

    def ended(self, run_id: UUID) -> Open | None:
        """One that is under way no longer."""
        self._given.pop(run_id, None)
        return _asked(self._open.pop(run_id, None))


class CreditsHandler(BaseCallbackHandler):
    """Has runs of models charged, with a ledger for threads. It takes asynchronous runs, too."""

    raise_error = True  # else who can't pay is served nevertheless

    def __init__(
        self, ledger: Client, *, account_of: AccountOf | None = None, **words: Unpack[Words]
    ) -> None:  # fmt: skip
        """As `meter` has it; `account_of` says whose a run is, by the metadata of its configuration."""
        super().__init__()
        self._hook = Hook(ledger, said_of(words))
        self._runs = _Runs(account_of)

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[Any]], *, run_id: UUID,
        metadata: dict[str, Any] | None = None, **more: Any,
    ) -> None:  # fmt: skip
        """Hold for a run; raises where its model must not be asked."""
        self._begin(self._runs.chat(messages, metadata, more), run_id, metadata, more)

    def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID,
        metadata: dict[str, Any] | None = None, **more: Any,
    ) -> None:  # fmt: skip
        """The same, of a model that completes texts."""
        self._begin(self._runs.completion(prompts, metadata, more), run_id, metadata, more)

    def _begin(self, asked: Asked, run_id: UUID, metadata: dict[str, Any] | None, more: Any) -> None:
        try:
            open = self._hook.begin(asked, self._runs.account(metadata))
        except BaseException:
            for each in self._runs.refused(more):
                self._hook.end(each, "refused")
            raise
        self._runs.begun(run_id, open, more)

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **more: Any) -> None:
        """A piece of an answer is about to be passed on."""
        if open := self._runs.of(run_id):
            read_token(open, chunk, token)
            self._hook.passing(open)

    def on_stream_event(self, event: Any, *, run_id: UUID, **more: Any) -> None:
        """The same."""
        if open := self._runs.of(run_id):
            read_event(open, event)
            self._hook.passing(open)

    def on_llm_end(self, response: Any, *, run_id: UUID, **more: Any) -> None:
        """Charge a run."""
        if open := self._runs.ended(run_id):
            self._hook.end(open, "finished" if read_answer(open, response) else "refused")

    def on_llm_error(self, error: BaseException, *, run_id: UUID, response: Any = None, **more: Any) -> None:
        """The same, as it ended."""
        if open := self._runs.ended(run_id):
            read_rest(open, response)
            self._hook.end(open, open.how(error), error)


class AsyncCreditsHandler(AsyncCallbackHandler):
    """The same for asynchronous runs alone; its ledger may be an asynchronous one."""

    raise_error = True
    run_inline = True  # before handlers that would take a run that is refused for one that goes on

    def __init__(
        self, ledger: Client | AsyncClient, *, account_of: AccountOf | None = None, **words: Unpack[Words]
    ) -> None:  # fmt: skip
        """As `meter` has it; `account_of` says whose a run is, by the metadata of its configuration."""
        super().__init__()
        self._hook = hook_of(ledger, said_of(words))
        self._runs = _Runs(account_of)

    @property
    def ignore_chat_model(self) -> bool:
        """Asked before each event: where nothing runs on a loop, all that asynchronous handlers raise is swallowed."""
        return _nothing_without_a_loop()

    @property
    def ignore_llm(self) -> bool:
        """The same."""
        return _nothing_without_a_loop()

    async def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[Any]], *, run_id: UUID,
        metadata: dict[str, Any] | None = None, **more: Any,
    ) -> None:  # fmt: skip
        """Hold for a run; raises where its model must not be asked."""
        await self._begin(self._runs.chat(messages, metadata, more), run_id, metadata, more)

    async def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID,
        metadata: dict[str, Any] | None = None, **more: Any,
    ) -> None:  # fmt: skip
        """The same, of a model that completes texts."""
        await self._begin(self._runs.completion(prompts, metadata, more), run_id, metadata, more)

    async def _begin(self, asked: Asked, run_id: UUID, metadata: dict[str, Any] | None, more: Any) -> None:
        try:
            open = await self._hook.begin(asked, self._runs.account(metadata))
        except BaseException:
            for each in self._runs.refused(more):
                await self._hook.end(each, "refused")
            raise
        self._runs.begun(run_id, open, more)

    async def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: UUID, **more: Any) -> None:
        """A piece of an answer is about to be passed on."""
        if open := self._runs.of(run_id):
            read_token(open, chunk, token)
            await self._hook.passing(open)

    async def on_stream_event(self, event: Any, *, run_id: UUID, **more: Any) -> None:
        """The same."""
        if open := self._runs.of(run_id):
            read_event(open, event)
            await self._hook.passing(open)

    async def on_llm_end(self, response: Any, *, run_id: UUID, **more: Any) -> None:
        """Charge a run."""
        if open := self._runs.ended(run_id):
            await self._hook.end(open, "finished" if read_answer(open, response) else "refused")

    async def on_llm_error(self, error: BaseException, *, run_id: UUID, response: Any = None, **more: Any) -> None:
        """The same, as it ended."""
        if open := self._runs.ended(run_id):
            read_rest(open, response)
            await self._hook.end(open, open.how(error), error)


def _nothing_without_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise Unusable("AsyncCreditsHandler takes asynchronous runs alone: give others a CreditsHandler") from None
    return False
