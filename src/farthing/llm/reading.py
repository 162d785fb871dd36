"""What all vendors' files speak of: what is asked of a model, what an answer or an event of a stream says, and how to
read the one and the other. Whatever is read may be an object of the vendor's library, or the JSON that it stands for.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final, Literal

from msgspec import MsgspecError, Struct
from msgspec.structs import replace

from farthing.core.estimate import count_prompt, count_tokens

from .used import Used

Operation = Literal["chat", "embeddings"]
Body = Mapping[str, Any]
_SAID_IN: Final = (
    "content", "text", "reasoning_content", "summary", "thinking", "refusal", "tool_calls", "function_call", "function",
    "custom", "arguments", "input", "output", "audio", "transcript",
)  # fmt: skip
_NOT_TEXT: Final = frozenset(
    {"image_url", "input_image", "image", "input_audio", "audio", "file", "input_file", "document", "item_reference"}
)


class Asked(Struct, frozen=True, kw_only=True, dict=True):
    """What a call asks for."""

    model: str
    operation: Operation
    texts: tuple[str, ...] = ()
    """What goes in, by message."""
    tools: str = ""
    """The tools that are offered, as JSON."""
    uncounted: bool = False
    """There is more in it than texts: pictures, files, an earlier conversation."""
    most_output: int | None = None
    """Tokens that may come out at most."""
    answers: int = 1
    """How many are asked for, each as long as one."""
    stream: bool = False
    later: bool = False
    """It is answered in the background: who has asked for it asks for the answer when that is ready."""
    hides_usage: bool = False
    """The usage was asked for by us: the caller doesn't expect an event about it."""

    @cached_property
    def input_tokens(self) -> int:
        """About how many tokens go in. Counted once: a prompt may be long."""
        if self.operation == "embeddings":
            return sum(map(count_tokens, self.texts))
        return count_prompt(list(self.texts)) + count_tokens(self.tools)

    def weighed(self) -> "Asked":
        """Without its texts, which may be long: how many tokens they are is known."""
        made = replace(self, texts=(), tools="")
        made.__dict__["input_tokens"] = self.input_tokens
        return made


class Seen(Struct, frozen=True, kw_only=True):
    """What an answer says, or one event of a stream."""

    text: str = ""
    """Of the answer, delivered with it: what it says, what it calls tools with, reasoning that is shown."""
    used: Used | None = None
    id: str = ""
    finish: str = ""
    """Why it ends, in the vendor's word."""
    error: str = ""
    """It says that the call has failed."""
    only_usage: bool = False
    """It tells nothing but the usage."""
    over: bool = False
    """Nothing that matters comes after it."""
    pending: bool = False
    """The answer is still being made, and will be asked for later."""


NOTHING: Final = Seen()
UNREADABLE: Final = (MsgspecError, UnicodeDecodeError, RecursionError)
"""What is raised by bytes that are not the JSON that is looked for."""


def none_usual(event: bytes) -> Seen | None:
    """No event is."""
    return None


class Reader(Struct, frozen=True, kw_only=True):
    """How one kind of call is read."""

    provider: str
    asked: Callable[[Body], Asked]
    prepared: Callable[[Body], Body]
    """The request with what it takes for usage to be told."""
    answered: Callable[[Any], Seen]
    """Of a whole answer."""
    event: Callable[[Any], Seen]
    """Of one event of a stream."""
    usual: Callable[[bytes], Seen | None] = none_usual
    """Of an event as it comes from the network, which brings more of a text and nothing else, like most of a stream:
    what `event` says of it, though at a third of the cost. None of any other event."""


def of(thing: Any, name: str) -> Any:
    """What an object or a dictionary has by a name; None where it has none."""
    if isinstance(thing, dict):
        return thing.get(name)
    return getattr(thing, name, None)


def text_of(thing: Any, name: str) -> str:
    """The text that an object or a mapping has by a name."""
    found = of(thing, name)
    return found if isinstance(found, str) else ""


def list_of(thing: Any, name: str) -> list[Any]:
    """The list that an object or a mapping has by a name."""
    found = of(thing, name)
    return list(found) if isinstance(found, list | tuple) else []


def count_of(thing: Any, name: str) -> int | None:
    """A whole number above zero, such as the most tokens of an answer."""
    found = of(thing, name)
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None


def said(thing: Any) -> str:
    """All text in a message, whichever way it is put together, and what tools were called with."""
    return "".join(_said(thing))


def _said(thing: Any) -> Iterator[str]:
    if isinstance(thing, str):
        yield thing
    elif isinstance(thing, list | tuple):
        for each in thing:
            yield from _said(each)
    elif thing is not None and not isinstance(thing, int | float | bytes):
        for name in [each for each in _SAID_IN if each in thing] if isinstance(thing, dict) else _SAID_IN:
            found = of(thing, name)
            if found is None:
                continue
            # What Anthropic's tools are called with is an object of anybody's making.
            if name == "input" and isinstance(found, dict):
                yield json.dumps(found, default=str)
            else:
                yield from _said(found)


def has_more(thing: Any) -> bool:
    """Whether a message has parts that are no text."""
    parts = [thing, *list_of(thing, "content")]
    return any(text_of(part, "type") in _NOT_TEXT for part in parts)


def tools_of(body: Body) -> str:
    """The tools that a request offers, as JSON."""
    offered = list_of(body, "tools")
    return json.dumps(offered, default=str) if offered else ""
