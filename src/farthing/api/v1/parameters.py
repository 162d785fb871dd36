"""Parameters: what calls take in path and query, as it is documented."""

from typing import Any

from ..bodies import TEXT
from ..endpoint import Parameter
from .wire import MAX_TEXT

_TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT, "pattern": TEXT}


def in_path(name: str, description: str, example: str, pattern: str = "") -> Parameter:
    """A part of the path."""
    schema = {"type": "string", "pattern": f"^{pattern}$"} if pattern else _TEXT
    return Parameter(name=name, place="path", description=description, schema=schema, required=True, example=example)


def parameter(name: str, description: str, *, example: Any = None, **schema: Any) -> Parameter:
    """A parameter of a query."""
    return Parameter(
        name=name, place="query", description=description, schema={"type": "string", **schema}, example=example
    )


def text_parameter(name: str, description: str, example: str | None = None) -> Parameter:
    """A parameter of a query that is a text of 1 to 255 bytes without control characters."""
    return Parameter(name=name, place="query", description=description, schema=_TEXT, example=example)
