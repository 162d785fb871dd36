"""OpenAI's responses, as they stand on the wire: whole, and as the events of a stream."""

import json
from collections.abc import Iterator
from typing import Final

from .asked import Json
from .books import Call
from .frames import Frame, Stage, named_event
from .plan import Chunk, Figures, Plan, Tool

STATUSES: Final = {"stop": "completed", "length": "incomplete", "tools": "completed", "refusal": "completed"}


def usage_of(figures: Figures, bare: bool = False) -> Json:
    """A usage."""
    totals: Json = {
        "input_tokens": figures.input_tokens,
        "output_tokens": figures.output_tokens,
        "total_tokens": figures.input_tokens + figures.output_tokens,
    }
    if bare:
        return totals
    into = {"cached_tokens": figures.cached_tokens, "cache_write_tokens": figures.cache_write_tokens}
    out = {"reasoning_tokens": figures.reasoning_tokens}
    return totals | {"input_tokens_details": into, "output_tokens_details": out}


def whole(call: Call, created: int) -> Iterator[Frame]:
    """A response that is not streamed."""
    plan = call.plan
    answer = _Body(call, created).ended()
    missing = plan.habits.usage == "missing"
    yield Frame(json.dumps(answer).encode(), Stage.END, plan.output_tokens - plan.hidden_tokens, usage=not missing)


class Background:
    """A response that is made in the background, until it is asked for."""

    def __init__(self, call: Call, created: int) -> None:
        self._call = call
        self._created = created
        self._polls = call.plan.habits.background_polls
        self.cancelled = False

    def now(self) -> Json:
        """What is told when it is asked for: at last it is whole, and is billed as that."""
        body = _Body(self._call, self._created)
        if self.cancelled:
            return body.pending("cancelled")
        if self._polls > 0:
            self._polls -= 1
            return body.pending("in_progress")
        self._call.end("finished")
        return body.ended() | {"background": True}

    def cancel(self) -> Json:
        """Nobody wants it any more: it is billed for nothing, unless it is there."""
        if self._call.ended != "finished":
            self.cancelled = True
            self._call.end("refused")
        return self.now()

    def events(self, after: int) -> bytes:
        """All that a stream of it would have told after an event."""
        self._call.end("finished")
        frames = [each.data for each in Streamed(self._call, self._created).frames()]
        return b"".join(frames[after + 1 :])

    def begun(self) -> Json:
        """What is told at first."""
        return _Body(self._call, self._created).pending("queued")


class _Body:
    """The response itself, as it is at one time or another."""

    def __init__(self, call: Call, created: int) -> None:
        self._call = call
        self._plan: Plan = call.plan
        self._created = created

    def under_way(self) -> Json:
        """Before anything is said."""
        return self._with("in_progress", [], None)

    def pending(self, status: str) -> Json:
        """It is made in the background, or was until somebody has cancelled it."""
        return self._with(status, [], None) | {"background": True}

    def failed(self, code: str, message: str) -> Json:
        """It has come to nothing."""
        return self._with("failed", [], None) | {"error": {"code": code, "message": message}}

    def ended(self) -> Json:
        """All of it."""
        plan = self._plan
        usage = None
        if plan.habits.usage != "missing":
            usage = usage_of(plan.figures(), plan.habits.usage == "bare")
        found = self._with(STATUSES[plan.finish], self._output(), usage)
        if plan.finish == "length":
            found["incomplete_details"] = {"reason": "max_output_tokens"}
        return found

    def _output(self) -> list[Json]:
        plan = self._plan
        items = [reasoning_item(self._call)] if plan.reasoning else []
        items += [message_item(self._call)] if plan.text else []
        return [*items, *(tool_item(each) for each in plan.tools)]

    def _with(self, status: str, output: list[Json], usage: Json | None) -> Json:
        given = self._plan.asked.given
        return {
            "id": self._call.id, "object": "response", "created_at": self._created, "status": status, "error": None,
            "incomplete_details": None, "instructions": given.get("instructions"),
            "metadata": given.get("metadata", {}),
            "max_output_tokens": given.get("max_output_tokens"), "model": self._plan.model, "output": output,
            "parallel_tool_calls": True, "previous_response_id": None, "service_tier": self._plan.service_tier,
            "store": True, "temperature": 1.0, "tool_choice": "auto", "tools": given.get("tools", []), "top_p": 1.0,
            "truncation": "disabled", "usage": usage,
        }  # fmt: skip


def reasoning_item(call: Call, done: bool = True) -> Json:
    """What it has thought; its text only where that is shown."""
    shown = done and call.plan.asked.shows_reasoning
    summary = [{"type": "summary_text", "text": "".join(call.plan.reasoning)}] if shown else []
    return {"id": f"rs_{call.id[5:]}", "type": "reasoning", "summary": summary}


def part_of(plan: Plan, text: str) -> Json:
    """A part of a message."""
    if plan.finish == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def message_item(call: Call, done: bool = True) -> Json:
    """What it has said."""
    status = "in_progress" if not done else "incomplete" if call.plan.finish == "length" else "completed"
    content = [part_of(call.plan, "".join(call.plan.text))] if done else []
    return {"id": f"msg_{call.id[5:]}", "type": "message", "role": "assistant", "status": status, "content": content}


def tool_item(tool: Tool, done: bool = True) -> Json:
    """A tool that it calls."""
    return {
        "id": f"fc_{tool.id}", "type": "function_call", "call_id": tool.id, "name": tool.name,
        "arguments": "".join(tool.arguments) if done else "", "status": "completed" if done else "in_progress",
    }  # fmt: skip


class Streamed:
    """A response as a stream."""

    def __init__(self, call: Call, created: int) -> None:
        self._call = call
        self._plan: Plan = call.plan
        self._body = _Body(call, created)
        self._number = 0
        self._place = 0
        """Of the item that is made."""

    def frames(self) -> Iterator[Frame]:
        """All of it."""
        for name in ("created", "in_progress"):
            yield self._event(f"response.{name}", {"response": self._body.under_way()}, Stage.BEGIN)
        if self._plan.reasoning:
            yield from self._reasoning()
        if self._plan.text:
            yield from self._message()
        for place in range(len(self._plan.tools)):
            yield from self._tool(place)
        how = self._plan.habits.usage
        for _ in range(2 if how == "twice" else 1):
            body = self._body.ended()
            yield self._event(f"response.{body['status']}", {"response": body}, Stage.FINISH, usage=how != "missing")
        yield Frame(b"", Stage.END)

    def failure(self, code: str, message: str) -> bytes:
        """What tells that it has failed."""
        return self._event("response.failed", {"response": self._body.failed(code, message)}, Stage.END).data

    def _reasoning(self) -> Iterator[Frame]:
        item = reasoning_item(self._call, done=False)
        yield self._item("added", item)
        if self._plan.asked.shows_reasoning:
            where = {"item_id": item["id"], "output_index": self._place, "summary_index": 0}
            name, text = "response.reasoning_summary", "".join(self._plan.reasoning)
            yield self._event(f"{name}_part.added", where | {"part": {"type": "summary_text", "text": ""}})
            for chunk in self._plan.shown_reasoning():
                yield self._event(f"{name}_text.delta", where | {"delta": chunk.text}, chunk=chunk)
            yield self._event(f"{name}_text.done", where | {"text": text})
            yield self._event(f"{name}_part.done", where | {"part": {"type": "summary_text", "text": text}})
        yield self._item("done", reasoning_item(self._call))

    def _message(self) -> Iterator[Frame]:
        item, text = message_item(self._call, done=False), "".join(self._plan.text)
        where = {"item_id": item["id"], "output_index": self._place, "content_index": 0}
        refused = self._plan.finish == "refusal"
        name = "response.refusal" if refused else "response.output_text"
        more: Json = {} if refused else {"logprobs": []}
        yield self._item("added", item)
        yield self._event("response.content_part.added", where | {"part": part_of(self._plan, "")})
        for chunk in self._plan.shown_text():
            yield self._event(f"{name}.delta", where | {"delta": chunk.text} | more, chunk=chunk)
        yield self._event(f"{name}.done", where | {"refusal" if refused else "text": text} | more)
        yield self._event("response.content_part.done", where | {"part": part_of(self._plan, text)})
        yield self._item("done", message_item(self._call))

    def _tool(self, place: int) -> Iterator[Frame]:
        tool = self._plan.tools[place]
        where = {"item_id": f"fc_{tool.id}", "output_index": self._place}
        yield self._item("added", tool_item(tool, done=False))
        for chunk in self._plan.shown_tool(place):
            yield self._event("response.function_call_arguments.delta", where | {"delta": chunk.text}, chunk=chunk)
        done = {"name": tool.name, "arguments": "".join(tool.arguments)}
        yield self._event("response.function_call_arguments.done", where | done)
        yield self._item("done", tool_item(tool))

    def _item(self, what: str, item: Json) -> Frame:
        frame = self._event(f"response.output_item.{what}", {"output_index": self._place, "item": item})
        self._place += what == "done"
        return frame

    def _event(
        self, name: str, data: Json, stage: Stage = Stage.CONTENT, chunk: Chunk | None = None, usage: bool = False
    ) -> Frame:
        raw = named_event(name, {"type": name, "sequence_number": self._number, **data})
        self._number += 1
        thought = chunk is not None and chunk.kind == "reasoning"
        return Frame(raw, stage, chunk.tokens if chunk else 0, thought, usage)
