"""Bodies: what the faces share about what a client sends, whatever their words for it are."""

import re
from typing import Final

from .endpoint import Request, Stop, Trouble

MAX_DEPTH: Final = 32
MAX_OBJECT: Final = 16_384
LONGEST_NUMBER: Final = 500
_JSON: Final = b"application/json"
_strings = re.compile(rb'"(?:[^"\\]|\\.)*"')


class Sent(str):
    """A JSON number with a fraction or an exponent, as it was sent."""

    __slots__ = ()


def check_media_type(request: Request) -> None:
    """A body is JSON, and says so where it says anything."""
    content_type = request.headers.get(b"content-type")
    # What has no body needs no type; what has a body but names no type can only be JSON here.
    if content_type is None or content_type == _JSON or not request.body:
        return
    if content_type.partition(b";")[0].strip().lower() != _JSON:
        raise Stop(Trouble.MEDIA_TYPE, "Send the body as JSON, with the header Content-Type: application/json.")


def unreadable(error: Exception, request: Request) -> Stop:
    """Why a body that is not empty could not be decoded."""
    if b"content-encoding" in request.headers:
        return Stop(Trouble.MEDIA_TYPE, "Send the body as it is, without a Content-Encoding.")
    if isinstance(error, RecursionError):
        return Stop(Trouble.MALFORMED, "The body is nested too deeply.")
    return Stop(Trouble.MALFORMED, f"The body must be a JSON object: {error}.")


def object_error(text: bytes) -> str | None:
    """Why a JSON text can't be the client's own object."""
    if text[:1] != b"{":
        return "must be an object"
    if len(text) > MAX_OBJECT:
        return f"must have at most {MAX_OBJECT:,} bytes"
    # Nearly always there are fewer brackets in all than may be nested.
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        return f"must be at most {MAX_DEPTH} deep"
    return None


def _depth(text: bytes) -> int:
    depth = deepest = 0
    for letter in _strings.sub(b"", text):
        if letter in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in b"}]":
            depth -= 1
    return deepest


def unquoted(value: bytes) -> bytes:
    """The value of a header field that may stand in quotes."""
    return value[1:-1] if len(value) > 1 and value[:1] == value[-1:] == b'"' else value
