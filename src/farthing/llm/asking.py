"""Asking: what the messages of a request say. A conversation is sent again with each turn, and read before it is sent:
what is plain text, as most of it is, is taken as it stands.
"""

from typing import Any, Final

from .reading import has_more, said

_MESSAGE: Final = frozenset({"role", "name", "content"})
_PART: Final = frozenset({"type", "text", "cache_control"})
_TEXT: Final = frozenset({"text", "input_text", "output_text"})


def texts_of(messages: list[Any]) -> tuple[tuple[str, ...], bool]:
    """What they say, one by one; and whether there is more in them than text."""
    texts: list[str] = []
    more = False
    for message in messages:
        text = _plain(message)
        if text is None:
            text, more = said(message), more or has_more(message)
        texts.append(text)
    return tuple(texts), more


def _plain(message: Any) -> str | None:
    """All that a message says which is nothing but text; None where it takes a closer look."""
    if type(message) is not dict or not message.keys() <= _MESSAGE:
        return None
    content = message.get("content")
    if isinstance(content, str):
        return content
    if type(content) is list and all(map(_is_text, content)):
        return "".join([part["text"] for part in content])
    return None


def _is_text(part: Any) -> bool:
    if type(part) is not dict or not part.keys() <= _PART:
        return False
    return part.get("type") in _TEXT and isinstance(part.get("text"), str)
