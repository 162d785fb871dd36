"""Events that bring more of a text and nothing else, as most of a stream does, are read faster than the others: to the
same effect, whichever way they come from the network.
"""

import json
from typing import Any, Final

import pytest

from farthing.client.errors import InsufficientCredits
from farthing.core.metering import Policy
from farthing.llm.anthropic import MESSAGES
from farthing.llm.call import ModelCall
from farthing.llm.counting import Count
from farthing.llm.following import Watch
from farthing.llm.openai import CHAT, RESPONSES
from farthing.llm.reading import Reader, Seen
from farthing.llm.terms import Terms

ASKED: Final = {"model": "m", "messages": [], "input": "", "stream": True}


def chunk(delta: Any, **more: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **more}


def block(delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": delta}


def framed(event: Any, name: bytes = b"") -> bytes:
    return (b"event: " + name + b"\n" if name else b"") + b"data: " + json.dumps(event).encode() + b"\n\n"


def watch_of(reader: Reader) -> Watch:
    return Watch(ModelCall(reader.asked(ASKED), Terms(account="alice", policy=Policy())), reader)


USUAL: Final = [
    (CHAT, b"", chunk({"content": "Well, "}, usage=None)),
    (CHAT, b"", chunk({"content": "世界\n", "tool_calls": [{"function": {"arguments": "not counted"}}]})),
    (CHAT, b"", chunk({"role": "assistant", "content": "", "refusal": None}, usage=None)),
    (RESPONSES, b"x", {"type": "response.output_text.delta", "delta": "Well, ", "logprobs": []}),
    (RESPONSES, b"x", {"type": "response.function_call_arguments.delta", "delta": '{"a'}),
    (MESSAGES, b"x", block({"type": "text_delta", "text": "Well, "})),
    (MESSAGES, b"x", block({"type": "input_json_delta", "partial_json": '{"a'})),
    (MESSAGES, b"x", block({"type": "thinking_delta", "thinking": "Hm"})),
    (MESSAGES, b"x", block({"type": "signature_delta", "signature": "abc"})),
]
OTHERS: Final = [
    (CHAT, b"", chunk({"content": "", "role": "assistant", "reasoning_content": "Hm"})),
    (CHAT, b"", chunk({"content": None, "role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]})),
    (CHAT, b"", chunk({"content": "", "role": "assistant"}, usage={"prompt_tokens": 3})),
    (CHAT, b"", chunk({"content": None, "reasoning_content": "Hm"})),
    (CHAT, b"", chunk({"content": "Well"}, usage={"prompt_tokens": 3})),
    (CHAT, b"", {"choices": [{"delta": {"content": "Well"}, "finish_reason": "stop"}]}),
    (CHAT, b"", {"choices": [{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]}),
    (CHAT, b"", {"choices": [], "error": {"message": "Slow down"}}),
    (CHAT, b"x", chunk({"content": "Well"})),
    (RESPONSES, b"x", {"type": "response.audio.delta", "delta": "UklGRg=="}),
    (RESPONSES, b"x", {"type": "response.output_text.delta", "delta": None}),
    (RESPONSES, b"", {"type": "response.output_text.delta", "delta": "Well"}),
    (MESSAGES, b"x", {"type": "message_delta", "delta": {"text": "Well"}}),
    (MESSAGES, b"x", block({"text": 5, "partial_json": "{"})),
]


@pytest.mark.parametrize(("reader", "name", "event"), USUAL)
def test_a_usual_event_says_what_it_says_read_slowly(reader: Reader, name: bytes, event: Any):
    assert reader.usual(framed(event, name)) == reader.event(event)


@pytest.mark.parametrize(("reader", "name", "event"), OTHERS)
def test_what_says_something_else_is_no_usual_event(reader: Reader, name: bytes, event: Any):
    assert reader.usual(framed(event, name)) is None


@pytest.mark.parametrize("reader", [CHAT, RESPONSES, MESSAGES])
@pytest.mark.parametrize("size", [1, 60, 100_000])
def test_events_that_come_in_any_pieces_are_counted_one_by_one_as_they_are_taken(reader: Reader, size: int):
    usual = [framed(event, name) for each, name, event in USUAL if each is reader]
    events = [b": keep\n\n", usual[0], usual[1], b'data: {"type": "ping"}\n\n', b"id: 1\n\n", usual[0]]
    data, watch, count = b"".join(events), watch_of(reader), Count()
    taken = (part for at in range(0, len(data), size) for part in watch.parts(data[at : at + size]))
    for event, part in zip(events, taken, strict=True):
        if event in usual:
            said = reader.usual(event)
            assert said is not None
            count.add(said.text)
        assert (part, watch.call.delivered) == (event, count.tokens)
    assert count.tokens > 0


@pytest.mark.parametrize("reader", [CHAT, RESPONSES, MESSAGES])
def test_what_is_no_event_of_its_own_is_no_usual_one(reader: Reader):
    usual = next(framed(event, name) for each, name, event in USUAL if each is reader)
    for other in (
        b": keep\n\n" + usual,
        usual + usual,
        b"\n" + usual,
        b"data: 1\n" + usual,
        b"id: " + usual,
        b"",
        b"\n",
    ):
        assert reader.usual(other) is None


@pytest.mark.parametrize(("reader", "name", "event"), USUAL)
def test_what_is_no_text_is_passed_on_and_not_counted(reader: Reader, name: bytes, event: Any):
    broken = framed(event, name).replace(b"Well", b"\xff\xfe").replace(b'"id": "chatcmpl-1"', b'"id": "\xff"')
    watch = watch_of(reader)
    assert [*watch.parts(broken)] == [broken]


@pytest.mark.parametrize("reader", [CHAT, RESPONSES, MESSAGES])
def test_an_event_counts_when_it_is_whole(reader: Reader):
    usual = next(framed(event, name) for each, name, event in USUAL if each is reader)
    watch = watch_of(reader)
    for part in (usual[:-2], b"\n"):
        assert ([*watch.parts(part)], watch.call.delivered) == ([], 0)
    assert ([*watch.parts(b"\n")], watch.call.delivered) == ([usual], 2)


def test_the_last_piece_is_taken_back_once():
    count = Count()
    for text in ("Grüße, ", "世界! "):
        count.add(text)
    whole = count.tokens
    count.take_back()
    count.take_back()
    assert (whole, count.tokens) == (5, 3)


@pytest.mark.parametrize("spent", ["stop", "go_on"])
def test_what_comes_when_all_is_spent_is_seen_to_at_once_where_a_stream_stops_then(spent: Any):
    call = ModelCall(CHAT.asked(ASKED), Terms(account="alice", policy=Policy(spent=spent)))
    some_hold: Any = object()
    call.hold, early = some_hold, -1.0
    call.see(Seen(text="Well, "))
    call.unheard()  # as much again may come
    assert (call.due(early), call.delivered) == (False, 2)
    call.spent = InsufficientCredits("all is used", status=402)
    assert call.due(early) == (spent == "stop")
    if spent == "stop":
        with pytest.raises(InsufficientCredits):
            call.ticks(early)
        assert call.delivered == 0  # that piece is not passed on
