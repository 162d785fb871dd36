"""Reading: text of the command line becomes values; what can't be read stops here with a sentence."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from .exits import invalid

KEY_PREFIX: Final = "cli:"
"""Stored keys say by whom they were made up: this one is for the command line."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS_US: Final = {
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_WORKSPACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LATEST_US: Final = 253_402_300_800_000_000
_MAX_METADATA_DEPTH: Final = 32
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


def read_duration(text: str, field: str) -> int:
    """Microseconds of `30d`, `12h`, `45m`, `90s` or `2w`."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise invalid(field, f"must be a duration such as 30d, 12h or 45m, not {text!r}")
    return int(found[1]) * _UNITS_US[found[2]]


def read_instant(text: str, now_us: int, field: str = "expires") -> int:
    """The instant that a duration from now, or an RFC 3339 date or time, names."""
    at = now_us + read_duration(text, field) if _DURATION.fullmatch(text) else _read_instant(text, field)
    if not 0 < at < _LATEST_US:
        raise invalid(field, "must be a date from 1970 on and before the year 10000")
    return at


def read_moment(text: str, field: str) -> int:
    """The instant that an RFC 3339 date or time names."""
    if _DURATION.fullmatch(text):
        raise invalid(field, f"must be a date such as 2027-01-31 or an RFC 3339 time, not {text!r}")
    return read_instant(text, 0, field)


def read_future(text: str, now_us: int, field: str = "expires") -> int:
    """An instant that must be to come. For grants the ledger checks it, since a replay may come later."""
    at = read_instant(text, now_us, field)
    if at <= now_us:
        raise invalid(field, f"must be in the future, not {text!r}")
    return at


def _read_instant(text: str, field: str) -> int:
    try:
        if _DATE.fullmatch(text):
            # A date without a time is its first instant in UTC.
            return _us(datetime.fromisoformat(text).replace(tzinfo=UTC))
        if found := _TIME.fullmatch(text):
            zone = "+00:00" if found[4] in "Zz" else found[4]
            return _us(datetime.fromisoformat(f"{found[1]}T{found[2]}{found[3] or ''}{zone}"))
    except (ValueError, OverflowError) as error:
        raise invalid(field, f"is no date: {text!r} ({error})") from error
    raise invalid(field, f"must be a duration such as 30d, a date such as 2027-01-31 or an RFC 3339 time, not {text!r}")


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def write_time(at_us: int | None) -> str | None:
    """RFC 3339 in UTC, exact to the microsecond; None stays None."""
    if at_us is None:
        return None
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat().replace("+00:00", "Z")


def read_credits(text: str, scale: int, field: str = "amount") -> int:
    """Smallest units of decimal text."""
    from farthing.core.amounts import AmountError, read_amount

    try:
        return read_amount(text, scale)
    except AmountError as error:
        raise invalid(field, f"{error} (given: {_short(text)})") from error


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def read_decimal(text: str, field: str) -> str:
    """A price, a rate or a percentage, as exact decimal text."""
    from farthing.core.exact import MAX_PRICE_DECIMALS, decimal_problem

    if wrong := decimal_problem(text, MAX_PRICE_DECIMALS):
        raise invalid(field, f"{wrong} (given: {_short(text)})")
    return text


def read_metadata(text: str | None) -> str | None:
    """A JSON object, as text."""
    if text is None:
        return None
    import msgspec

    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise invalid("metadata", f"must be a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise invalid("metadata", 'must be a JSON object such as {"model": "small"}')
    if _depth(value) > _MAX_METADATA_DEPTH:
        raise invalid("metadata", f"must be at most {_MAX_METADATA_DEPTH} levels deep")
    return text


def _depth(value: Any) -> int:
    """How many levels of objects and lists; stops counting where it is too many anyway."""
    level, depth = [value], 0
    while level and depth <= _MAX_METADATA_DEPTH:
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
        depth += any(isinstance(each, dict | list) for each in level)
        level = inner
    return depth


def read_key(text: str | None) -> str | None:
    """An idempotency key as it is stored: keys of the command line have a prefix of their own."""
    from farthing.core.commands import text_error

    if text is None:
        return None
    if wrong := text_error(text):
        raise invalid("key", wrong)
    return KEY_PREFIX + text


def read_workspace_id(text: str) -> str:
    """The id of a new workspace."""
    if not _WORKSPACE.fullmatch(text):
        raise invalid(
            "workspace", "must be 1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first"
        )
    return text


def read_label(text: str, field: str, most: int) -> str:
    """A short text for people."""
    if not text.strip() or len(text) > most or not text.isprintable():
        raise invalid(field, f"must be 1 to {most} printable characters")
    return text


def read_scale(scale: int | None, unit: str) -> int:
    """Decimals of a unit: 9 for money (three capital letters), else 6."""
    from farthing.core.amounts import MAX_SCALE

    if scale is None:
        return 9 if _CURRENCY.fullmatch(unit) else 6
    if not 0 <= scale <= MAX_SCALE:
        raise invalid("scale", f"must be from 0 to {MAX_SCALE}")
    return scale
