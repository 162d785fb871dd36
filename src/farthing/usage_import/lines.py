"""Lines: usage out of JSON lines: those of `farthing usage export`, or whatever a program of one's own writes."""

from collections.abc import Mapping
from typing import Any, Final

from farthing.client.values import amount_text, key_text
from farthing.llm.used import Used

from .calls import Call, instant
from .source import Wrong, count, text

COUNTS: Final[dict[str, tuple[str, ...]]] = {
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "cache_read_tokens": ("cache_read_tokens", "cached_tokens", "cache_read_input_tokens"),
    "cache_write_tokens": ("cache_write_tokens", "cache_creation_input_tokens"),
    "reasoning_tokens": ("reasoning_tokens",),
}
"""By dimension: the names that a line may have for it. The input counts what was read from or written to a cache."""
KEY: Final = ("id", "key", "request_id")
AT: Final = ("at", "timestamp", "ended_at", "time")
WORDS: Final = ("service", "operation", "chat", "product")
_MOST_DIGITS_OF_SECONDS: Final = 11


def call_of(line: Any, place: str, account_attribute: str, service: str) -> Call:
    """The call that a line tells of; `Wrong` where it can't be charged."""
    if not isinstance(line, dict):
        raise Wrong("must be a JSON object")
    account = _first(line, ("account", account_attribute, "user"))
    if account is None:
        raise Wrong(f"has no account, nor {account_attribute} (--account-attribute)")
    return Call(
        place=place, key=_key(line), account=text(account, "account"), used=_used(line), at=_at(line),
        words=_words(line, service), dimensions=_dimensions(line), description=_text(line, "description"),
        metadata=_object(line, "metadata"),
    )  # fmt: skip


def key_of(line: Any) -> str:
    """The line's own id, as far as it has one: for whoever says what was wrong with it."""
    found = _first(line, KEY) if isinstance(line, dict) else None
    return str(found)[:255] if found is not None else ""


def _key(line: Mapping[str, Any]) -> str:
    found = _first(line, KEY)
    if found is None:
        raise Wrong("has no id: without one, it would be charged again whenever the file is read")
    try:
        return key_text(text(found, "id"))
    except ValueError as error:
        raise Wrong(f"id must be 1 to 255 printable ASCII characters, not {found!r:.60}") from error


def _used(line: Mapping[str, Any]) -> Used:
    told = {name: _first(line, names) for name, names in COUNTS.items()}
    inner = _object(line, "dimensions")
    told = {name: inner.get(name, value) for name, value in told.items()}
    counts = {name: count(value, name) for name, value in told.items() if value is not None}
    if not counts and not inner:
        raise Wrong("says nothing of what was used: give input_tokens and output_tokens, or dimensions")
    attributes = {name: text(value, f"attributes.{name}") for name, value in _object(line, "attributes").items()}
    model = _first(line, ("model_sent", "model"))
    return Used(
        provider=_text(line, "provider") or "", model="" if model is None else text(model, "model"), counts=counts,
        attributes=attributes,
    )  # fmt: skip


def _dimensions(line: Mapping[str, Any]) -> dict[str, str]:
    """What is used beside the counts of tokens."""
    found = {}
    for name, value in _object(line, "dimensions").items():
        if name not in COUNTS and value is not None:
            try:
                found[name] = amount_text(str(value) if isinstance(value, float) else value, f"dimensions.{name}")
            except (TypeError, ValueError) as error:
                raise Wrong(str(error)) from error
    return found


def _at(line: Mapping[str, Any]) -> str:
    """RFC 3339, or seconds since 1970."""
    value = _first(line, AT)
    if value is None:
        raise Wrong("has no time of use: at")
    if isinstance(value, str):
        return value
    seconds = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
    at = instant(round(seconds * 1_000_000)) if 0 < seconds < 10**_MOST_DIGITS_OF_SECONDS else None
    if at is not None:
        return at
    raise Wrong(f"at must be an RFC 3339 time, or seconds since 1970, not {value!r:.60}")


def _words(line: Mapping[str, Any], service: str) -> dict[str, str]:
    found = {name: _text(line, name) for name in WORDS}
    if service:
        found["service"] = service
    return {name: value for name, value in found.items() if value}


def _first(line: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((line[name] for name in names if line.get(name) is not None), None)


def _text(line: Mapping[str, Any], name: str) -> str | None:
    value = line.get(name)
    return None if value is None else text(value, name)


def _object(line: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = line.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Wrong(f"{name} must be a JSON object")
    return value
