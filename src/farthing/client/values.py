"""Values: what callers pass, as it is sent: amounts, quantities, times, ids. What can't be meant is refused here, with
the name of the argument; what the ledger refuses, it refuses itself.
"""

import re
import time
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from secrets import randbits
from typing import Any, Final, TypeAlias

from farthing.core.exact import plain
from farthing.core.ids import make_id

Amount: TypeAlias = Decimal | int | str
"""An exact number: never a float."""
Instant: TypeAlias = datetime | str
"""A time with its zone, or RFC 3339 text."""
Day: TypeAlias = date | datetime | str
"""A day of the calendar, or a time."""

_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_KEY: Final = re.compile(r"[ -~]{1,255}")
_MOST_DIGITS: Final = 400


def amount_text(value: Amount, name: str = "amount") -> str:
    """Decimal text of an exact number."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a number, not {value}")
    if isinstance(value, float):
        raise TypeError(f"{name} must be a Decimal, an int or text such as '7.5': the float {value!r} is not exact")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value) or len(value) > _MOST_DIGITS:
            raise ValueError(f"{name} must be decimal text such as '7.5', not {value[:50]!r}")
        return value
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{name} must be a finite number, not {value}")
        if abs(value.adjusted()) > _MOST_DIGITS:
            raise ValueError(f"{name} is out of all bounds")
        return plain(value)
    raise TypeError(f"{name} must be a Decimal, an int or text such as '7.5', not {type(value).__name__}")


def amount_if(value: Amount | None, name: str = "amount") -> str | None:
    """The same where there is one."""
    return None if value is None else amount_text(value, name)


def quantities(values: Mapping[str, Amount | None]) -> dict[str, str]:
    """Quantities of a usage; those that are None are left out."""
    return {name: amount_text(value, name) for name, value in values.items() if value is not None}


def instant_text(value: Instant | None, name: str) -> str | None:
    """RFC 3339 text of a time."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{name} needs a time zone, such as datetime.now(timezone.utc)")
        return value.isoformat(timespec="microseconds")
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{name} must be a datetime with a time zone, or RFC 3339 text")


def day_text(value: Day | None, name: str) -> str | None:
    """The same, or a day of the calendar."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return instant_text(value, name)


def seconds(value: timedelta | int | None, name: str) -> int | None:
    """Whole seconds."""
    if isinstance(value, timedelta):
        whole, rest = divmod(value, timedelta(seconds=1))
        if rest:
            raise ValueError(f"{name} must be whole seconds")
        return whole
    if isinstance(value, bool | float | str):
        raise TypeError(f"{name} must be a timedelta or a whole number of seconds, not {value!r}")
    return value


def flag_text(value: bool | None) -> str | None:
    """True or false, in a query."""
    return None if value is None else "true" if value else "false"


def new_key() -> str:
    """A new idempotency key. They are ordered in time, which the index that they go into is grateful for."""
    drawn = randbits(74)  # once: each draw asks the system
    return make_id("key", time.time_ns() // 1000, drawn >> 46, drawn >> 12 & 0x3_FFFF_FFFF, drawn & 0xFFF)


def key_text(key: str | None) -> str:
    """The caller's key, or a new one."""
    if key is None:
        return new_key()
    if not _KEY.fullmatch(key):
        raise ValueError("key must be text of 1 to 255 printable ASCII characters")
    return key


def key_field(key: str) -> str:
    """A key as a header has it: in quotes, where it would be read differently without."""
    return f'"{key}"' if key[0] in ' "' or key[-1] == " " else key


def id_text(value: Any, name: str) -> str:
    """An id that stands in a path."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    return value
