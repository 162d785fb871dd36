"""Values of an import file's lines: amounts, times, objects; what can't be read is `Wrong`, by its field."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import Raw

from farthing.core.amounts import AmountError, read_amount, round_amount
from farthing.core.commands import MAX_TIME_US, text_error

from .form import Amount, Wrong

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DATE_LENGTH: Final = 10
MOST_DEEP: Final = 32


def amount(value: Amount, scale: int, field: str) -> int:
    """Smallest units, zero or above."""
    try:
        units = read_amount(value, scale)
    except AmountError as error:
        raise Wrong(field, str(error)) from error
    if units < 0:
        raise Wrong(field, "must not be negative: what is below zero is a line of type debt")
    return units


def signed(value: Amount, scale: int, field: str) -> int:
    """Smallest units, of whatever sign."""
    try:
        return read_amount(value, scale)
    except AmountError as error:
        raise Wrong(field, str(error)) from error


def as_asked(value: Amount, scale: int, field: str) -> tuple[int, str]:
    """Smallest units as a dialect takes them, and the text where that rounded it."""
    try:
        units, exact = round_amount(value, scale)
    except AmountError as error:
        raise Wrong(field, str(error)) from error
    if units < 0:
        raise Wrong(field, "must not be negative")
    return units, "" if exact else str(value)


def instant(text: str, field: str) -> int:
    """Microseconds of a time with its zone, or of a date, which begins in UTC."""
    try:
        if not (text[:4].isdigit() and text[4:5] == "-"):
            raise ValueError("no year")
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Wrong(field, f"must be an RFC 3339 time such as 2026-01-31T12:00:00Z, not {text[:40]!r}") from error
    if moment.tzinfo is None:
        if len(text) != _DATE_LENGTH:
            raise Wrong(field, f"must say its zone, as 2026-01-31T12:00:00Z does; {text[:40]!r} does not")
        moment = moment.replace(tzinfo=UTC)
    at = (moment - _EPOCH) // _MICROSECOND
    if not 0 < at < MAX_TIME_US:
        raise Wrong(field, "must be after 1970 and before the year 10000")
    return at


def instant_if(text: str | None, field: str) -> int | None:
    """The same of what may be left out."""
    return None if text is None else instant(text, field)


def past(text: str | None, field: str, now_us: int) -> int | None:
    """An instant that has been."""
    at = instant_if(text, field)
    if at is not None and at > now_us:
        raise Wrong(field, "must not be in the future")
    return at


def name(text: str, field: str) -> str:
    """What an account, a plan or a payment is called."""
    if wrong := text_error(text):
        raise Wrong(field, wrong)
    return text


def own_object(value: Raw, field: str = "metadata") -> str | None:
    """A JSON object as its text; None where there is none."""
    if bytes(value) in (b"", b"null"):
        return None
    if bytes(value)[:1] != b"{" or _depth(msgspec.json.decode(value)) > MOST_DEEP:
        raise Wrong(field, f"must be a JSON object, at most {MOST_DEEP} levels deep")
    return bytes(value).decode()


def _depth(value: Any) -> int:
    """How many levels of objects and lists."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth
