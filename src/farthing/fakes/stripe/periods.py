"""Periods of subscriptions: the same day each month, or its last where it has no such day."""

import calendar
from datetime import UTC, datetime, timedelta
from typing import Final

from .params import Json

_DAYS: Final = {"day": 1, "week": 7}
_MONTHS: Final = {"month": 1, "year": 12}


def boundary(anchor: int, number: int, recurring: Json) -> int:
    """When the period with a number begins; 0 begins at the anchor."""
    count = number * recurring["interval_count"]
    begin = datetime.fromtimestamp(anchor, UTC)
    if recurring["interval"] in _DAYS:
        return int((begin + timedelta(days=count * _DAYS[recurring["interval"]])).timestamp())
    months = begin.month - 1 + count * _MONTHS[recurring["interval"]]
    year, month = begin.year + months // 12, months % 12 + 1
    day = min(begin.day, calendar.monthrange(year, month)[1])
    return int(begin.replace(year=year, month=month, day=day).timestamp())


def next_boundary(anchor: int, after: int, recurring: Json) -> int:
    """The first one after an instant."""
    number = 1
    while boundary(anchor, number, recurring) <= after:
        number += 1
    return boundary(anchor, number, recurring)
