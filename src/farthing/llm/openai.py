"""OpenAI: where usage stands in the answers of chat completions, completions, responses and embeddings, and in their
streams.

The same formats come from many other providers and servers: whoever that is is for the caller to say.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.json import Decoder
from msgspec.structs import replace

from .asking import texts_of
from .framing import data_of_named
from .reading import NOTHING, UNREADABLE, Asked, Body, Reader, Seen, count_of, list_of, of, said, text_of, tools_of
from .used import Used, told, unusual

PROVIDER: Final = "openai"
_ENDS: Final = {"response.completed", "response.incomplete", "response.failed"}
_DELTAS: Final = {
    "response.output_text.delta",
    "response.refusal.delta",
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.reasoning_summary_text.delta",
    "response.reasoning_text.delta",
    "response.audio.transcript.delta",
}
_PENDING: Final = {"queued", "in_progress"}
_FAILED: Final = {"failed", "cancelled"}
_SELDOM: Final = frozenset({"max_completion_tokens", "max_tokens", "n", "tools"})
_COMPLETION_TOKENS: Final = 16
"""A completion of the old kind has at most so many where nothing is said."""


# Chat completions


def chat_asked(body: Body) -> Asked:
    """What a request for a chat completion asks for."""
    texts, more = texts_of(list_of(body, "messages"))
    # What is seldom said is looked for at once: somebody waits for the first token.
    most, answers, tools = None, 1, ""
    if not body.keys().isdisjoint(_SELDOM):
        most = count_of(body, "max_completion_tokens") or count_of(body, "max_tokens")
        answers, tools = count_of(body, "n") or 1, tools_of(body)
    streams = body.get("stream") is True
    return Asked(
        model=text_of(body, "model"), operation="chat", texts=texts, tools=tools, uncounted=more,
        most_output=most and most * answers, answers=answers, stream=streams,
        hides_usage=streams and _wants_usage_asked_for(body),
    )  # fmt: skip


def chat_prepared(body: Body) -> Body:
    """A stream tells its usage where it is asked to; who has said something about that himself is left alone."""
    if not _wants_usage_asked_for(body):
        return body
    return {**body, "stream_options": {**(_options(body) or {}), "include_usage": True}}


def _wants_usage_asked_for(body: Body) -> bool:
    return body.get("stream") is True and of(_options(body), "include_usage") is None


def _options(body: Body) -> Mapping[str, Any] | None:
    found = body.get("stream_options")
    return found if type(found) is dict or isinstance(found, Mapping) else None


def chat_answered(answer: Any) -> Seen:
    """What a chat completion says."""
    choices = list_of(answer, "choices")
    texts = [said(of(choice, "message")) for choice in choices]
    return Seen(
        text="".join(texts), used=_chat_used(answer), id=text_of(answer, "id"), finish=_finish(choices), over=True,
    )  # fmt: skip


def chat_event(chunk: Any) -> Seen:
    """What a chunk of a chat completion says."""
    choices = of(chunk, "choices")
    used = _chat_used(chunk)
    if not choices:
        if error := of(chunk, "error"):
            return Seen(error=text_of(error, "message") or "error", over=True)
        return Seen(used=used, id=text_of(chunk, "id"), only_usage=used is not None, over=used is not None)
    text = "".join(_delta(of(choice, "delta")) for choice in choices)
    return Seen(text=text, used=used, id=text_of(chunk, "id"), finish=_finish(choices))


class _Delta(Struct, gc=False):
    content: str | None = None


class _Choice(Struct, gc=False):
    delta: _Delta
    finish_reason: None = None


class _Chunk(Struct, gc=False):
    choices: list[_Choice]
    id: str = ""
    usage: None = None


class _Speaker(Struct, gc=False, forbid_unknown_fields=True):
    """A delta that tells who speaks, and nothing else."""

    role: str
    content: Literal[""] | None = None
    refusal: None = None


class _FirstChoice(Struct, gc=False):
    delta: _Speaker
    finish_reason: None = None


class _FirstChunk(Struct, gc=False):
    choices: list[_FirstChoice]
    id: str = ""
    usage: None = None


_CHUNKS: Final = Decoder(_Chunk)
_FIRST: Final = Decoder(_FirstChunk)


def chat_usual(event: bytes) -> Seen | None:
    """What a chunk says that brings more of one answer's text, or is its first, for which somebody waits."""
    if not event.startswith(b"data:"):
        return None
    try:
        chunk = _CHUNKS.decode(event[5:])
        if len(chunk.choices) != 1:
            return None
        if text := chunk.choices[0].delta.content:
            return Seen(text=text, id=chunk.id)
        return Seen(id=_FIRST.decode(event[5:]).id)
    except UNREADABLE:
        return None


def _delta(delta: Any) -> str:
    """The text that a chunk carries."""
    text = of(delta, "content")
    if isinstance(text, str) and text:
        return text
    return said(delta)


def _finish(choices: list[Any]) -> str:
    return next((found for choice in choices if (found := text_of(choice, "finish_reason"))), "")


def _chat_used(answer: Any) -> Used | None:
    usage = of(answer, "usage")
    if usage is None:
        return None
    into, out = of(usage, "prompt_tokens_details"), of(usage, "completion_tokens_details")
    counts = told(
        input_tokens=of(usage, "prompt_tokens"), output_tokens=of(usage, "completion_tokens"),
        cache_read_tokens=of(into, "cached_tokens"), cache_write_tokens=of(into, "cache_write_tokens"),
        input_audio_tokens=of(into, "audio_tokens"), input_image_tokens=of(into, "image_tokens"),
        reasoning_tokens=of(out, "reasoning_tokens"), output_audio_tokens=of(out, "audio_tokens"),
    )  # fmt: skip
    return _used(answer, counts)


def _used(answer: Any, counts: dict[str, int]) -> Used:
    tier = unusual(service_tier=of(answer, "service_tier"))
    return Used(provider=PROVIDER, model=text_of(answer, "model"), counts=counts, attributes=tier)


# Completions


def completion_asked(body: Body) -> Asked:
    """What a request for a completion of the old kind asks for."""
    given = of(body, "prompt")
    # A list of numbers is one prompt, cut into tokens.
    several = isinstance(given, list) and not all(isinstance(each, int) for each in given)
    prompts = list_of(body, "prompt") if several else [given]
    texts = tuple(each for each in prompts if isinstance(each, str))
    answers = max(1, len(prompts)) * max(count_of(body, "n") or 1, count_of(body, "best_of") or 1)
    most = count_of(body, "max_tokens") or _COMPLETION_TOKENS
    return Asked(
        model=text_of(body, "model"), operation="chat", texts=texts, uncounted=len(texts) < len(prompts),
        most_output=most * answers, answers=answers, stream=of(body, "stream") is True,
        hides_usage=_wants_usage_asked_for(body),
    )  # fmt: skip


def completion_answered(answer: Any) -> Seen:
    """What a completion says."""
    return replace(completion_event(answer), over=True, only_usage=False)


def completion_event(chunk: Any) -> Seen:
    """What a chunk of a completion says."""
    choices = list_of(chunk, "choices")
    if not choices:
        return chat_event(chunk)
    text = "".join(text_of(choice, "text") for choice in choices)
    return Seen(text=text, used=_chat_used(chunk), id=text_of(chunk, "id"), finish=_finish(choices))


# Responses


def responses_asked(body: Body) -> Asked:
    """What a request for a response asks for."""
    given = of(body, "input")
    items: list[Any] = [given] if isinstance(given, str) else list_of(body, "input")
    texts, more = texts_of(items)
    first = [text_of(body, "instructions")] if text_of(body, "instructions") else []
    earlier = any(of(body, name) for name in ("previous_response_id", "conversation", "prompt"))
    return Asked(
        model=text_of(body, "model"), operation="chat", texts=(*first, *texts), tools=tools_of(body),
        uncounted=earlier or more, most_output=count_of(body, "max_output_tokens"),
        stream=of(body, "stream") is True, later=of(body, "background") is True,
    )  # fmt: skip


def responses_answered(answer: Any) -> Seen:
    """What a response says."""
    status, error = text_of(answer, "status"), of(answer, "error")
    if status in _PENDING:
        return Seen(used=_responses_used(answer), id=text_of(answer, "id"), pending=True)
    return Seen(
        text=said(list_of(answer, "output")), used=_responses_used(answer), id=text_of(answer, "id"),
        finish=text_of(of(answer, "incomplete_details"), "reason") or status,
        error=text_of(error, "message") or status if error or status in _FAILED else "",
        over=True,
    )  # fmt: skip


def responses_event(event: Any) -> Seen:
    """What an event of a response says."""
    kind = of(event, "type")
    if kind in _DELTAS:
        return Seen(text=text_of(event, "delta"))
    if kind in _ENDS:
        # The text in it has already come.
        return replace(responses_answered(of(event, "response")), text="", over=True, pending=False)
    if kind == "response.created":
        return Seen(id=text_of(of(event, "response"), "id"))
    if kind == "error":
        return Seen(error=text_of(event, "message") or "error", over=True)
    return NOTHING


class _Event(Struct, gc=False):
    type: str
    delta: str


_EVENTS: Final = Decoder(_Event)


def responses_usual(event: bytes) -> Seen | None:
    """What an event of a response says that brings more of its text."""
    try:
        found = _EVENTS.decode(data_of_named(event))
    except UNREADABLE:
        return None
    return Seen(text=found.delta) if found.type in _DELTAS else None


def _responses_used(answer: Any) -> Used | None:
    usage = of(answer, "usage")
    if usage is None:
        return None
    into, out = of(usage, "input_tokens_details"), of(usage, "output_tokens_details")
    counts = told(
        input_tokens=of(usage, "input_tokens"), output_tokens=of(usage, "output_tokens"),
        cache_read_tokens=of(into, "cached_tokens"), cache_write_tokens=of(into, "cache_write_tokens"),
        reasoning_tokens=of(out, "reasoning_tokens"),
    )  # fmt: skip
    searches = told(web_search_requests=of(of(of(answer, "tool_usage"), "web_search"), "num_requests"))
    return replace(_used(answer, counts), others={name: n for name, n in searches.items() if n})


# Embeddings


def embeddings_asked(body: Body) -> Asked:
    """What a request for embeddings asks for."""
    given = of(body, "input")
    inputs = [given] if isinstance(given, str) else list_of(body, "input")
    texts = tuple(each for each in inputs if isinstance(each, str))
    return Asked(
        model=text_of(body, "model"), operation="embeddings", texts=texts, uncounted=len(texts) < len(inputs),
        most_output=0,
    )  # fmt: skip


def embeddings_answered(answer: Any) -> Seen:
    """What embeddings say: of output there is none."""
    usage = of(answer, "usage")
    if usage is None:
        return Seen(over=True)
    counts = told(input_tokens=of(usage, "prompt_tokens"), output_tokens=0)
    return Seen(used=_used(answer, counts), over=True)


def _as_it_is(body: Body) -> Body:
    return body


CHAT: Final = Reader(
    provider=PROVIDER, asked=chat_asked, prepared=chat_prepared, answered=chat_answered, event=chat_event,
    usual=chat_usual,
)  # fmt: skip
COMPLETIONS: Final = Reader(
    provider=PROVIDER, asked=completion_asked, prepared=chat_prepared, answered=completion_answered,
    event=completion_event,
)  # fmt: skip
RESPONSES: Final = Reader(
    provider=PROVIDER, asked=responses_asked, prepared=_as_it_is, answered=responses_answered, event=responses_event,
    usual=responses_usual,
)  # fmt: skip
EMBEDDINGS: Final = Reader(
    provider=PROVIDER, asked=embeddings_asked, prepared=_as_it_is, answered=embeddings_answered,
    event=embeddings_answered,
)  # fmt: skip

POSTS: Final[Mapping[str, Reader]] = {
    "/chat/completions": CHAT,
    "/completions": COMPLETIONS,
    "/responses": RESPONSES,
    "/responses/compact": RESPONSES,
    "/embeddings": EMBEDDINGS,
}
"""How calls are read, by the path that the library posts them to. All of its methods for them (`create`, `parse`,
`stream`, with a raw or a streaming response) end in `_post` of their resource, with that path and `body=`."""
RESOURCES: Final = (
    "chat.completions", "responses", "embeddings", "completions", "beta.chat.completions", "beta.responses",
)  # fmt: skip
"""Where a client has them."""


def answer_asked_for(path: str) -> str:
    """The id of the response that a path is about which is read, or posted to without a body to cancel it; empty where
    it is about something else."""
    first, _, rest = path.partition("?")[0].removeprefix("/responses/").partition("/")
    return first if path.startswith("/responses/") and rest in ("", "cancel") else ""


def reader_of(path: str) -> Reader | None:
    """How a call is read that is posted there; None: it is no business of ours."""
    return POSTS.get(path.partition("?")[0])
