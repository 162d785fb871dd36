"""Anthropic: where usage stands in the answers of its messages, and in their streams.

Its `input_tokens` leave out what was read from or written to a cache. A stream begins with the input's figures, and
with a count of output that only says where counting begins; figures that come later are of all that came before.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.json import Decoder

from .asking import texts_of
from .framing import data_of_named
from .reading import NOTHING, UNREADABLE, Asked, Body, Reader, Seen, count_of, list_of, of, said, text_of, tools_of
from .used import Used, told, unusual

PROVIDER: Final = "anthropic"


def messages_asked(body: Body) -> Asked:
    """What a request for a message asks for."""
    texts, more = texts_of(list_of(body, "messages"))
    system = [said(of(body, "system"))] if of(body, "system") else []
    return Asked(
        model=text_of(body, "model"), operation="chat", texts=(*system, *texts), tools=tools_of(body),
        uncounted=more, most_output=count_of(body, "max_tokens"),
        stream=of(body, "stream") is True,
    )  # fmt: skip


def messages_prepared(body: Body) -> Body:
    """Usage is always told."""
    return body


def messages_answered(message: Any) -> Seen:
    """What a message says."""
    usage = of(message, "usage")
    return Seen(
        text=said(list_of(message, "content")), used=None if usage is None else _used(usage, message),
        id=text_of(message, "id"), finish=text_of(message, "stop_reason"), over=True,
    )  # fmt: skip


def messages_event(event: Any) -> Seen:
    """What an event of a message says."""
    match of(event, "type"):
        case "content_block_delta":
            return Seen(text=_delta(of(event, "delta")))
        case "message_start":
            return _started(of(event, "message"))
        case "content_block_start":
            return Seen(text=text_of(of(event, "content_block"), "text"))
        case "message_delta":
            usage = of(event, "usage")
            finish = text_of(of(event, "delta"), "stop_reason")
            return Seen(used=None if usage is None else _used(usage, None), finish=finish)
        case "message_stop":
            return Seen(over=True)
        case "error":
            return Seen(error=text_of(of(event, "error"), "message") or "error", over=True)
        case _:
            return NOTHING


class _Delta(Struct, gc=False):
    text: str = ""
    partial_json: str = ""
    thinking: str = ""


class _Event(Struct, gc=False):
    type: Literal["content_block_delta"]
    delta: _Delta


_EVENTS: Final = Decoder(_Event)


def messages_usual(event: bytes) -> Seen | None:
    """What an event of a message says that brings more of its text."""
    try:
        delta = _EVENTS.decode(data_of_named(event)).delta
    except UNREADABLE:
        return None
    return Seen(text=delta.text or delta.partial_json or delta.thinking)


def _started(message: Any) -> Seen:
    usage = of(message, "usage")
    found = Used(provider=PROVIDER, model=text_of(message, "model"))
    if usage is not None:
        told_of = _used(usage, message)
        counts = {name: count for name, count in told_of.counts.items() if name != "output_tokens"}
        found = found.merged(Used(counts=counts, without_cache=True, attributes=told_of.attributes))
    return Seen(used=found, id=text_of(message, "id"))


def _delta(delta: Any) -> str:
    return text_of(delta, "text") or text_of(delta, "partial_json") or text_of(delta, "thinking")


def _used(usage: Any, message: Any) -> Used:
    long, tools = of(usage, "cache_creation"), of(usage, "server_tool_use")
    counts = told(
        input_tokens=of(usage, "input_tokens"), output_tokens=of(usage, "output_tokens"),
        cache_read_tokens=of(usage, "cache_read_input_tokens"),
        cache_write_tokens=of(usage, "cache_creation_input_tokens"),
        cache_write_1h_tokens=of(long, "ephemeral_1h_input_tokens"),
        reasoning_tokens=of(of(usage, "output_tokens_details"), "thinking_tokens"),
    )  # fmt: skip
    others = told(**{name: of(tools, name) for name in ("web_search_requests", "web_fetch_requests")})
    for each in list_of(usage, "iterations"):
        _add(each, counts, others)
    return Used(
        provider=PROVIDER, model=text_of(message, "model"), counts=counts, without_cache=True,
        attributes=_attributes(usage), others={name: count for name, count in others.items() if count},
    )  # fmt: skip


def _add(part: Any, counts: dict[str, int], others: dict[str, int]) -> None:
    """What the sums of a usage leave out: making an earlier conversation short, by the same model, and the advice of
    another one, which has other prices."""
    kind = text_of(part, "type")
    if kind == "compaction":
        for name, count in _used(part, None).counts.items():
            if name in counts:
                counts[name] += count
    elif kind == "advisor_message":
        told_of = _used(part, None)
        for name, number in (("input_tokens", told_of.input_tokens), ("output_tokens", told_of.output_tokens)):
            others[f"advisor_{name}"] = others.get(f"advisor_{name}", 0) + (number or 0)


def _attributes(usage: Any) -> dict[str, str]:
    tier = of(usage, "service_tier")
    found = unusual(speed=of(usage, "speed"), inference_geo=of(usage, "inference_geo"))
    # A batch is what others call a way of processing.
    return found | ({"processing": "batch"} if tier == "batch" else unusual(service_tier=tier))


MESSAGES: Final = Reader(
    provider=PROVIDER, asked=messages_asked, prepared=messages_prepared, answered=messages_answered,
    event=messages_event, usual=messages_usual,
)  # fmt: skip

POSTS: Final[Mapping[str, Reader]] = {"/v1/messages": MESSAGES}
"""How calls are read, by the path that the library posts them to. All of its methods for them (`create`, `parse`,
`stream`, with a raw or a streaming response) end in `_post` of their resource, with that path and `body=`."""
RESOURCES: Final = ("messages", "beta.messages")
"""Where a client has them."""


def reader_of(path: str) -> Reader | None:
    """How a call is read that is posted there; None: it is no business of ours."""
    return POSTS.get(path.partition("?")[0])
