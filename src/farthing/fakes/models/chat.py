"""OpenAI's chat completions and embeddings, as they stand on the wire."""

import base64
import json
import struct
from collections.abc import Iterator
from random import Random
from typing import Any, Final
from zlib import crc32

from .asked import Json
from .books import Call
from .frames import Frame, Stage, data_event
from .plan import Chunk, Figures, Plan

FINISHES: Final = {"stop": "stop", "length": "length", "tools": "tool_calls", "refusal": "stop"}
DIMENSIONS: Final = 1536


def usage_of(figures: Figures, bare: bool = False) -> Json:
    """A usage."""
    totals: Json = {
        "prompt_tokens": figures.input_tokens,
        "completion_tokens": figures.output_tokens,
        "total_tokens": figures.input_tokens + figures.output_tokens,
    }
    if bare:
        return totals
    return totals | {
        "prompt_tokens_details": {
            "cached_tokens": figures.cached_tokens,
            "cache_write_tokens": figures.cache_write_tokens + figures.cache_write_1h_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": figures.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def whole(call: Call, created: int) -> Iterator[Frame]:
    """A completion that is not streamed."""
    plan = call.plan
    message: Json = {"role": "assistant", "content": "".join(plan.text) or None, "refusal": None, "annotations": []}
    if plan.finish == "refusal":
        message |= {"content": None, "refusal": "".join(plan.text)}
    if plan.tools:
        message["tool_calls"] = [
            {"id": each.id, "type": "function", "function": {"name": each.name, "arguments": "".join(each.arguments)}}
            for each in plan.tools
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISHES[plan.finish]}
    answer = _base(call, created, "chat.completion") | {"choices": [choice]}
    missing = plan.habits.usage == "missing"
    if not missing:
        answer["usage"] = usage_of(plan.figures(), plan.habits.usage == "bare")
    yield Frame(json.dumps(answer).encode(), Stage.END, plan.output_tokens - plan.hidden_tokens, usage=not missing)


class Streamed:
    """A completion as a stream."""

    def __init__(self, call: Call, created: int) -> None:
        self._plan: Plan = call.plan
        self._call = call
        self._base = _base(call, created, "chat.completion.chunk")
        self._every = call.plan.habits.usage == "every_chunk"
        self._asked = call.plan.asked.wants_usage

    def frames(self) -> Iterator[Frame]:
        """All of it."""
        start: Json = {"role": "assistant", "content": None if self._plan.tools else "", "refusal": None}
        yield self._chunk(start, Stage.BEGIN)
        for chunk in self._plan.shown_text():
            name = "refusal" if self._plan.finish == "refusal" else "content"
            yield self._chunk({name: chunk.text}, Stage.CONTENT, chunk)
        for place, tool in enumerate(self._plan.tools):
            named = {"name": tool.name, "arguments": ""}
            call = {"index": place, "id": tool.id, "type": "function", "function": named}
            yield self._chunk({"tool_calls": [call]}, Stage.CONTENT)
            for chunk in self._plan.shown_tool(place):
                part = {"index": place, "function": {"arguments": chunk.text}}
                yield self._chunk({"tool_calls": [part]}, Stage.CONTENT, chunk)
        yield self._chunk({}, Stage.FINISH, finish=FINISHES[self._plan.finish])
        yield from self._usage()
        yield Frame(b"data: [DONE]\n\n", Stage.END)

    def _chunk(self, delta: Json, stage: Stage, chunk: Chunk | None = None, finish: str | None = None) -> Frame:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        data = self._base | {"choices": [choice]}
        tokens = chunk.tokens if chunk else 0
        if self._every:
            data["usage"] = usage_of(self._so_far(tokens))
        elif self._asked:
            data["usage"] = None
        return Frame(data_event(data), stage, tokens, usage=self._every)

    def _so_far(self, tokens: int) -> Figures:
        figures = self._plan.figures()
        thought = figures.reasoning_tokens
        output = thought + self._call.tokens + tokens
        return Figures(figures.input_tokens, figures.cached_tokens, 0, 0, output, thought)

    def _usage(self) -> Iterator[Frame]:
        how = self._plan.habits.usage
        if not self._asked or how == "missing":
            return
        data = self._base | {"choices": [], "usage": usage_of(self._plan.figures(), how == "bare")}
        for _ in range(2 if how == "twice" else 1):
            yield Frame(data_event(data), Stage.USAGE, usage=True)


def _base(call: Call, created: int, kind: str) -> Json:
    plan = call.plan
    return {
        "id": call.id, "object": kind, "created": created, "model": plan.model, "service_tier": plan.service_tier,
        "system_fingerprint": "fp_fake",
    }  # fmt: skip


def embeddings(call: Call) -> Iterator[Frame]:
    """A vector for each text."""
    plan = call.plan
    asked, given = plan.asked, plan.asked.given
    size = given.get("dimensions") or DIMENSIONS
    data = [
        {"object": "embedding", "index": place, "embedding": _vector(text, size, given.get("encoding_format"))}
        for place, text in enumerate(asked.texts)
    ]
    answer: Json = {"object": "list", "data": data, "model": plan.model}
    missing = plan.habits.usage == "missing"
    if not missing:
        figures = plan.figures()
        answer["usage"] = {"prompt_tokens": figures.input_tokens, "total_tokens": figures.input_tokens}
    yield Frame(json.dumps(answer).encode(), Stage.END, usage=not missing)


def _vector(text: str, size: int, encoding: Any) -> Any:
    random = Random(crc32(text.encode("utf-8", "replace")))  # noqa: S311 - no secrets
    numbers = [random.uniform(-1, 1) for _ in range(size)]
    length = sum(each * each for each in numbers) ** 0.5
    numbers = [each / length for each in numbers]
    return base64.b64encode(struct.pack(f"<{size}f", *numbers)).decode() if encoding == "base64" else numbers
