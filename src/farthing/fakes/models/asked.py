"""What is asked of a model, whichever way it is asked: requests of all APIs, read into one form."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from zlib import crc32

from .tokens import MESSAGE_TOKENS, count

Json = dict[str, Any]
Api = Literal["chat", "responses", "embeddings", "messages"]
_TEXTS_IN: Final = (
    "content",
    "text",
    "thinking",
    "refusal",
    "summary",
    "tool_calls",
    "function",
    "arguments",
    "output",
)
_RESULTS: Final = ("tool", "function_call_output", "tool_result")


class Refused(Exception):
    """A call that gets an error in place of an answer."""

    def __init__(
        self, message: str, status: int = 400, *, type: str = "", code: str = "", param: str = "",
        retry_after: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status = status
        self.type = type
        """As Anthropic calls it; empty: as the status says."""
        self.code = code
        """As OpenAI calls it."""
        self.param = param
        self.retry_after = retry_after


@dataclass(frozen=True)
class Asked:
    """One call."""

    api: Api
    model: str
    texts: tuple[str, ...]
    """All that is to be read, by message."""
    input_tokens: int
    most: int | None = None
    """How many tokens the answer may have, those of reasoning included."""
    stream: bool = False
    wants_usage: bool = True
    tools: tuple[str, ...] = ()
    results: int = 0
    """Results of tools that are in the prompt."""
    shows_reasoning: bool = False
    user: str = ""
    service_tier: str = ""
    given: Json = field(default_factory=dict)

    @property
    def prompt(self) -> str:
        """All of the texts."""
        return "\n".join(self.texts)

    @property
    def seed(self) -> int:
        """What its answer is made from."""
        return crc32("\n".join((self.model, *self.texts)).encode("utf-8", "replace"))


def read_chat(given: Json) -> Asked:
    """POST /v1/chat/completions"""
    messages = _list(given, "messages")
    options = _inner(given, "stream_options")
    if options and not given.get("stream"):
        raise Refused(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    most = given.get("max_completion_tokens", given.get("max_tokens"))
    return _asked("chat", given, messages, most, wants_usage=_wants_usage(given, options))


def _wants_usage(given: Json, options: Mapping[str, Any]) -> bool:
    return not given.get("stream") or bool(options.get("include_usage"))


def read_responses(given: Json) -> Asked:
    """POST /v1/responses"""
    if "input" not in given:
        raise Refused("Missing required parameter: 'input'.", code="missing_required_parameter", param="input")
    items = given["input"]
    messages = [{"role": "user", "content": items}] if isinstance(items, str) else _list(given, "input")
    if given.get("instructions"):
        messages = [{"role": "system", "content": given["instructions"]}, *messages]
    shows = bool(_inner(given, "reasoning").get("summary"))
    return _asked("responses", given, messages, given.get("max_output_tokens"), shows_reasoning=shows)


def read_messages(given: Json) -> Asked:
    """POST /v1/messages"""
    messages = _list(given, "messages")
    if not isinstance(given.get("max_tokens"), int):
        raise Refused("max_tokens: Field required", param="max_tokens")
    if given.get("system"):
        messages = [{"role": "system", "content": given["system"]}, *messages]
    shows = _inner(given, "thinking").get("type") in ("enabled", "adaptive")
    return _asked("messages", given, messages, given["max_tokens"], shows_reasoning=shows)


def read_embeddings(given: Json) -> Asked:
    """POST /v1/embeddings"""
    raw: Any = given.get("input")
    # A list of numbers is a text that somebody has cut into tokens.
    several = isinstance(raw, list) and not all(isinstance(each, int) for each in raw)
    inputs: list[Any] = raw if several else [raw]
    if not raw or not all(isinstance(each, str | list) for each in inputs):
        raise Refused("Missing required parameter: 'input'.", code="missing_required_parameter", param="input")
    texts = tuple(each if isinstance(each, str) else json.dumps(each) for each in inputs)
    tokens = sum(count(each) if isinstance(each, str) else len(each) for each in inputs)
    return Asked("embeddings", _model(given), texts, tokens, user=str(given.get("user") or ""), given=given)


def _asked(
    api: Api, given: Json, messages: list[Json], most: Any, *, wants_usage: bool = True,
    shows_reasoning: bool = False,
) -> Asked:  # fmt: skip
    texts = tuple("".join(_texts(each)) for each in messages)
    tokens = sum(MESSAGE_TOKENS + count(each) for each in texts)
    if given.get("tools"):
        tokens += count(json.dumps(given["tools"]))
    if most is not None and (not isinstance(most, int) or most < 1):
        raise Refused(f"Invalid value for the most tokens of an answer: {most!r}.", param="max_tokens")
    return Asked(
        api, _model(given), texts, tokens, most, bool(given.get("stream")),
        wants_usage, _tools(given), _results(messages), shows_reasoning, _user(given),
        str(given.get("service_tier") or ""), given,
    )  # fmt: skip


def _results(messages: list[Json]) -> int:
    parts = [each for message in messages for each in _parts(message.get("content"))]
    return len([each for each in [*messages, *parts] if (each.get("role") or each.get("type")) in _RESULTS])


def _tools(given: Json) -> tuple[str, ...]:
    """The names of tools that are offered, as either vendor writes them."""
    offered = [each.get("function", each) for each in _parts(given.get("tools"))]
    return tuple(str(each["name"]) for each in offered if isinstance(each, dict) and "name" in each)


def _inner(given: Json, name: str) -> Json:
    """An object in a request; an empty one where there is none."""
    found = given.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Refused(f"Invalid type for '{name}': expected an object.", code="invalid_type", param=name)
    return found


def _parts(content: Any) -> list[Json]:
    return [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []


def _texts(part: Any) -> Iterable[str]:
    """The texts of a message, and of all its parts, those included that tools were called with."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, list):
        for each in part:
            yield from _texts(each)
    elif isinstance(part, dict):
        for name in _TEXTS_IN:
            yield from _texts(part.get(name))
        if isinstance(part.get("input"), dict):
            yield json.dumps(part["input"])


def _list(given: Json, name: str) -> list[Json]:
    found = given.get(name)
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        raise Refused(f"Invalid type for '{name}': expected an array of objects.", code="invalid_type", param=name)
    return found


def _model(given: Json) -> str:
    found = given.get("model")
    if not isinstance(found, str) or not found:
        raise Refused("you must provide a model parameter", param="model")
    return found


def _user(given: Json) -> str:
    metadata = _inner(given, "metadata")
    return str(given.get("user") or given.get("safety_identifier") or metadata.get("user_id") or "")
