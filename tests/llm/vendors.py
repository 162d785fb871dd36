"""The vendors' own libraries on a stand-in, each way to ask them, and what a reader makes of their answers."""

import json
from collections.abc import AsyncIterable, Iterable
from typing import Any, Literal

import anthropic
import httpx2
import openai

from farthing.fakes.models import HEADER, Remote
from farthing.llm.reading import Reader, Seen
from farthing.llm.used import Used

Way = Literal["chat", "responses", "messages"]
TOOL = {"type": "object", "properties": {"round": {"type": "integer"}}}


class Vendors:
    """A client of each, that neither comes again by itself nor reads certificates."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(verify=False)
        self.openai = openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, http_client=self._http)
        self.anthropic = anthropic.Anthropic(base_url=url, api_key="k", max_retries=0, http_client=self._http)

    def ask(self, way: Way, *, stream: bool, habits: dict[str, Any] | None = None, **more: Any) -> Any:
        """Ask it the one way or the other; `tools` are one that can be called, `thinks` shows its reasoning."""
        call, given = asking(self.openai, self.anthropic, way, **more)
        return call(**given, stream=stream, extra_headers={HEADER: json.dumps(habits or {})})

    def close(self) -> None:
        """End the connections."""
        self._http.close()


def asking(openai: Any, anthropic: Any, way: Way, **more: Any) -> tuple[Any, dict[str, Any]]:
    """Which method asks, and with which arguments."""
    text, most = more.pop("text", "How are you?"), more.pop("most", 1_000)
    tools, thinks = more.pop("tools", False), more.pop("thinks", False)
    messages = [{"role": "user", "content": text}]
    match way:
        case "chat":
            given = {"model": "gpt-test", "messages": messages, "max_completion_tokens": most}
            function = {"name": "look", "parameters": TOOL}
            return openai.chat.completions.create, given | _if(
                tools, "tools", {"type": "function", "function": function}
            ) | more
        case "responses":
            given = {"model": "gpt-test", "input": messages, "max_output_tokens": most}
            given |= {"reasoning": {"summary": "auto"}} if thinks else {}
            tool = {"type": "function", "name": "look", "parameters": TOOL, "strict": False}
            return openai.responses.create, given | _if(tools, "tools", tool) | more
        case "messages":
            given = {"model": "claude-test", "messages": messages, "max_tokens": most}
            given |= {"thinking": {"type": "enabled", "budget_tokens": 1_024}} if thinks else {}
            return anthropic.messages.create, given | _if(tools, "tools", {"name": "look", "input_schema": TOOL}) | more


def _if(wanted: bool, name: str, tool: dict[str, Any]) -> dict[str, Any]:
    return {name: [tool]} if wanted else {}


class Followed:
    """A stream as a reader sees it, from its beginning to wherever it ends."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.text, self.id, self.finish, self.error = "", "", "", ""
        self.used = Used()
        self.over = False
        self.broken: Exception | None = None
        self.only_usage = 0

    def all(self, events: Iterable[Any]) -> "Followed":
        """To its end, which may be an error of the library."""
        try:
            for event in events:
                self.see(event)
        except (openai.OpenAIError, anthropic.AnthropicError, httpx2.HTTPError) as error:
            self.broken = error
        return self

    async def all_of(self, events: AsyncIterable[Any]) -> "Followed":
        """The same, of an asynchronous one."""
        async for event in events:
            self.see(event)
        return self

    def see(self, event: Any) -> Seen:
        """One event."""
        seen = self._reader.event(event)
        self.text += seen.text
        self.id, self.finish, self.error = seen.id or self.id, seen.finish or self.finish, seen.error or self.error
        self.used = self.used.merged(seen.used) if seen.used else self.used
        self.over = self.over or seen.over
        self.only_usage += seen.only_usage
        return seen


def booked(models: Remote, id: str) -> dict[str, Any]:
    """What the stand-in's books have of a call, when it is over."""
    models.get("idle")
    (call,) = models.get("books", id=id)["calls"]
    assert isinstance(call, dict)
    return call


def last(models: Remote) -> dict[str, Any]:
    """The call that was made last."""
    models.get("idle")
    call = models.get("books", after=str(models.get("state")["calls"] - 1))["calls"][0]
    assert isinstance(call, dict)
    return call


def billed(call: dict[str, Any]) -> dict[str, int]:
    """What is billed for a call of the books, by the dimensions of a charge."""
    names = {
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "cached_tokens": "cache_read_tokens",
        "reasoning_tokens": "reasoning_tokens",
        "cache_write_1h_tokens": "cache_write_1h_tokens",
    }
    figures = call["billed"]
    found = {names[name]: count for name, count in figures.items() if name in names}
    # What is written to a cache for long is part of all that is written to it.
    found["cache_write_tokens"] = figures["cache_write_tokens"] + figures["cache_write_1h_tokens"]
    return {name: count for name, count in found.items() if count or name in ("input_tokens", "output_tokens")}
