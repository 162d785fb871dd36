"""Anthropic's messages, as they stand on the wire: whole, and as the events of a stream."""

import json
from collections.abc import Iterable, Iterator
from typing import Final

from .asked import Json
from .books import Call
from .frames import Frame, Stage, named_event
from .plan import Chunk, Figures, Plan

FINISHES: Final = {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use", "refusal": "refusal"}
SIGNATURE: Final = "c2lnbmVkIGJ5IG5vYm9keQ=="


def usage_of(figures: Figures, output_tokens: int | None = None) -> Json:
    """A usage: unlike elsewhere, input here is without what has to do with caches."""
    written = figures.cache_write_tokens + figures.cache_write_1h_tokens
    long = figures.cache_write_1h_tokens
    return {
        "input_tokens": max(0, figures.input_tokens - figures.cached_tokens - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": figures.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": written - long, "ephemeral_1h_input_tokens": long},
        "output_tokens": figures.output_tokens if output_tokens is None else output_tokens,
    }


def closing_usage(figures: Figures, bare: bool) -> Json:
    """What the last event but one tells, of all that came before."""
    if bare:
        return {"output_tokens": figures.output_tokens}
    found = usage_of(figures)
    del found["cache_creation"]
    return found | {"output_tokens_details": {"thinking_tokens": figures.reasoning_tokens}}


def _base(call: Call) -> Json:
    return {"id": call.id, "type": "message", "role": "assistant", "model": call.plan.model}


def whole(call: Call) -> Iterator[Frame]:
    """A message that is not streamed."""
    plan = call.plan
    content = [block | {name: "".join(each.text for each in chunks)} for block, name, chunks in _texts(plan)]
    content += [
        {"type": "tool_use", "id": each.id, "name": each.name, "input": _input("".join(each.arguments))}
        for each in plan.tools
    ]
    answer = _base(call) | {"content": content, "stop_reason": FINISHES[plan.finish], "stop_sequence": None}
    missing = plan.habits.usage == "missing"
    if not missing:
        figures = plan.figures()
        details = {"output_tokens_details": {"thinking_tokens": figures.reasoning_tokens}}
        answer["usage"] = usage_of(figures) | ({} if plan.habits.usage == "bare" else details) | _tier(plan)
    yield Frame(json.dumps(answer).encode(), Stage.END, plan.output_tokens - plan.hidden_tokens, usage=not missing)


def _tier(plan: Plan) -> Json:
    tier = plan.service_tier
    return {"service_tier": "standard" if tier in ("default", "standard_only") else tier}


def _input(arguments: str) -> Json:
    """What a tool is called with; what is cut in the middle is nothing."""
    try:
        found: Json = json.loads(arguments)
    except ValueError:
        return {}
    return found


def _texts(plan: Plan) -> Iterator[tuple[Json, str, Iterable[Chunk]]]:
    """Blocks of text, as they begin, with what comes into them."""
    if plan.reasoning and plan.asked.shows_reasoning:
        yield {"type": "thinking", "thinking": "", "signature": SIGNATURE}, "thinking", plan.shown_reasoning()
    if plan.text:
        yield {"type": "text", "text": ""}, "text", plan.shown_text()


class Streamed:
    """A message as a stream."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._plan: Plan = call.plan

    def frames(self) -> Iterator[Frame]:
        """All of it."""
        plan, how = self._plan, self._plan.habits.usage
        yield _event("message_start", {"message": self._begun()}, Stage.BEGIN)
        yield _event("ping", {}, Stage.BEGIN)
        place = 0
        for block, name, chunks in _texts(plan):
            yield from self._text(place, block, name, chunks)
            place += 1
        for tool in range(len(plan.tools)):
            yield from self._tool(place, tool)
            place += 1
        closing: Json = {"delta": {"stop_reason": FINISHES[plan.finish], "stop_sequence": None}, "usage": None}
        if how != "missing":
            closing["usage"] = closing_usage(plan.figures(), how == "bare")
        for _ in range(2 if how == "twice" else 1):
            yield _event("message_delta", closing, Stage.FINISH, usage=how != "missing")
        yield _event("message_stop", {}, Stage.END)

    def _begun(self) -> Json:
        plan = self._plan
        begun = _base(self._call) | {"content": [], "stop_reason": None, "stop_sequence": None}
        if plan.habits.usage == "missing":
            return begun | {"usage": None}
        # What is said of output here is where counting begins, and not what will have been used.
        output = 0 if plan.habits.usage == "zero" else 1
        return begun | {"usage": usage_of(plan.figures(), output) | _tier(plan)}

    def _text(self, place: int, block: Json, name: str, chunks: Iterable[Chunk]) -> Iterator[Frame]:
        start = block | {"signature": ""} if name == "thinking" else block
        yield _event("content_block_start", {"index": place, "content_block": start})
        for chunk in chunks:
            delta = {"type": f"{name}_delta", name: chunk.text}
            yield _event("content_block_delta", {"index": place, "delta": delta}, chunk=chunk)
        if name == "thinking":
            delta = {"type": "signature_delta", "signature": SIGNATURE}
            yield _event("content_block_delta", {"index": place, "delta": delta})
        yield _event("content_block_stop", {"index": place})

    def _tool(self, place: int, number: int) -> Iterator[Frame]:
        tool = self._plan.tools[number]
        block = {"type": "tool_use", "id": tool.id, "name": tool.name, "input": {}}
        yield _event("content_block_start", {"index": place, "content_block": block})
        for chunk in self._plan.shown_tool(number):
            delta = {"type": "input_json_delta", "partial_json": chunk.text}
            yield _event("content_block_delta", {"index": place, "delta": delta}, chunk=chunk)
        yield _event("content_block_stop", {"index": place})


def _event(
    name: str, data: Json, stage: Stage = Stage.CONTENT, chunk: Chunk | None = None, usage: bool = False
) -> Frame:
    thought = chunk is not None and chunk.kind == "reasoning"
    return Frame(named_event(name, {"type": name, **data}), stage, chunk.tokens if chunk else 0, thought, usage)
