"""Showing: what a provider has sent, as it may be looked at: by its fields, and without what opens doors. Links that
hold such a thing lose it as well.
"""

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

HIDDEN: Final = "..."
LEAST: Final = 6
"""Characters of a secret that is looked for in other texts: a shorter one would be found everywhere."""
_SECRET: Final = re.compile(r"secret|passw|passphrase|sha_?sign|signature|token|accessdata|_key$", re.IGNORECASE)


def shown(body: str) -> Any:
    """The fields of a message as it was kept: an object."""
    found = _fields(body)
    secrets = sorted({text for text in _secrets(found) if len(text) >= LEAST}, key=len, reverse=True)
    return _without(found, secrets)


def _fields(body: str) -> Any:
    raw = body.encode("latin-1")
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return dict(parse_qsl(body, keep_blank_values=True, encoding="utf-8", errors="replace"))
    return found if isinstance(found, dict) else {"body": found}


def _secrets(value: Any, name: str = "") -> Iterator[str]:
    """All texts that stand under the name of a secret."""
    if isinstance(value, dict):
        for each, inner in value.items():
            yield from _secrets(inner, name if _SECRET.search(name) else each)
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner, name)
    elif isinstance(value, str) and value and _SECRET.search(name):
        yield value


def _without(value: Any, secrets: list[str], name: str = "") -> Any:
    if isinstance(value, dict):
        return {each: _without(inner, secrets, each) for each, inner in value.items()}
    if isinstance(value, list):
        return [_without(inner, secrets, name) for inner in value]
    if not isinstance(value, str):
        return value
    if value and _SECRET.search(name):
        return HIDDEN
    for secret in secrets:
        value = value.replace(secret, HIDDEN)
    return value
