"""Dates as JavaScript's `Date.parse` reads them; where it would take the machine's own time zone, UTC.

Read are the format of its standard (with years of six digits, `24:00`, days up to 31 in every month), the same written
loosely (`2024/1/5 10:00`) and dates with an English month, such as `Tue, 02 Jan 2024 10:00:00 GMT` or what a `Date`
itself writes. Other texts that some engines make something of (`5`) count as unreadable here.
"""

import re
from typing import Final

_YEAR_MONTH_DAY: Final = r"(?P<year>[0-9]{4}|[+-][0-9]{6})(?:-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2}))?)?"
_LOOSE: Final = r"(?P<year>[0-9]{4})(?P<dash>[-/])(?P<month>[0-9]{1,2})(?P=dash)(?P<day>[0-9]{1,2})"
_NAME: Final = r"(?P<name>[a-z]{3})[a-z]*\.?"
_NAMED: Final = rf"(?:[a-z]{{3,9}},?\s+)?(?P<day>[0-9]{{1,2}})[\s-]+{_NAME}[\s-]+(?P<year>[0-9]{{4}})"
_NAME_FIRST: Final = rf"(?:[a-z]{{3,9}},?\s+)?{_NAME}\s+(?P<day>[0-9]{{1,2}}),?\s+(?P<year>[0-9]{{4}})"
_TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]+))?)?"
_ZONE: Final = r"(?:z|\s*(?:gmt|utc?)?(?P<offset>[+-][0-9]{2}:?[0-9]{2})|\s*(?:gmt|utc?|z))?(?:\s*\([^()]*\))?"

_FORMS: Final = tuple(
    re.compile(rf"{date}(?:{gap}{_TIME}{_ZONE}|\s*z)?", re.IGNORECASE | re.ASCII)
    for date, gap in [(_YEAR_MONTH_DAY, "t"), (_LOOSE, r"(?:\s+|t)"), (_NAMED, r"\s+"), (_NAME_FIRST, r"\s+")]
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_MS: Final = 86_400_000
_FARTHEST_MS: Final = 8_640_000_000_000_000
_LONGEST: Final = 100


def parse_date(text: str) -> int | None:
    """Milliseconds since 1970, or None where it is no date."""
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    found = next((found for form in _FORMS if (found := form.fullmatch(text))), None)
    if found is None or found["year"] == "-000000":
        return None
    parts = found.groupdict()
    day, time = _day(parts), _time_ms(parts)
    if day is None or time is None:
        return None
    at = day * _DAY_MS + time
    return at if abs(at) <= _FARTHEST_MS else None


def _day(parts: dict[str, str | None]) -> int | None:
    """Days since 1970."""
    if name := parts.get("name"):
        if name.lower() not in _MONTHS:
            return None
        month = _MONTHS.index(name.lower()) + 1
    else:
        month = int(parts["month"] or 1)
    day = int(parts["day"] or 1)
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return None
    return _first_of(int(parts["year"] or 0), month) + day - 1


def _first_of(year: int, month: int) -> int:
    """Days from 1970 to the first of a month. Counted in years that begin in March, so that leap days come last."""
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    leaps = year // 4 - year // 100 + year // 400
    return 365 * year + leaps + (153 * month + 2) // 5 - 719_468


def _time_ms(parts: dict[str, str | None]) -> int | None:
    """Milliseconds since midnight in UTC."""
    hour, minute, second = (int(parts.get(name) or 0) for name in ("hour", "minute", "second"))
    fraction = int(((parts.get("fraction") or "") + "000")[:3])
    if minute > 59 or second > 59 or hour > 24 or (hour == 24 and (minute or second or fraction)):
        return None
    offset = (parts.get("offset") or "+0000").replace(":", "")
    hours, minutes = int(offset[1:3]), int(offset[3:])
    if hours > 23 or minutes > 59:
        return None
    away = (hours * 60 + minutes) * (-1 if offset[0] == "-" else 1)
    return ((hour * 60 + minute - away) * 60 + second) * 1000 + fraction
