"""Days and months in a time zone: where the windows of spend limits, and the days of reports, begin and end."""

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
USUAL_DAYS = 30
"""Of a report that is asked for no range of time."""
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def calendar(at_us: int, zone_name: str) -> tuple[int, int, int, int]:
    """Start and end of the day, start and end of the month in which an instant lies there; LookupError for no zone."""
    local = datetime.fromtimestamp(at_us // 1_000_000, _zone(zone_name))
    return _bounds(local.date(), zone_name)


@lru_cache(maxsize=256)
def _bounds(local: date, zone_name: str) -> tuple[int, int, int, int]:
    """The same by the day there: all charges of a day have the same."""
    zone = _zone(zone_name)
    day = datetime(local.year, local.month, local.day, tzinfo=zone)
    month = datetime(local.year, local.month, 1, tzinfo=zone)
    # Added to the local date, not to the instant: a day has 23 or 25 hours where clocks change.
    next_day = day.replace(tzinfo=None) + timedelta(days=1)
    next_month = (month.replace(tzinfo=None) + timedelta(days=32)).replace(day=1)
    return _us(day), _us(next_day.replace(tzinfo=zone)), _us(month), _us(next_month.replace(tzinfo=zone))


def is_date(text: str) -> bool:
    """Whether a text has the form of a day of the calendar, `2026-11-30`."""
    return _DATE.fullmatch(text) is not None


def is_zone(name: str) -> bool:
    """Whether there is such a time zone."""
    try:
        _zone(name)
    except LookupError:
        return False
    return True


def day_named(text: str, zone_name: str) -> tuple[int, int]:
    """Start and end of a day of the calendar, `2026-11-30`, there; ValueError where there is no such day."""
    day = date.fromisoformat(text)
    if not 1970 < day.year < 9999:
        raise ValueError("must be after 1970 and before the year 9999")
    return _start(day, zone_name), _start(day + timedelta(days=1), zone_name)


def month_named(text: str, zone_name: str) -> tuple[int, int]:
    """Start and end of a month, `2026-11`, there; ValueError where there is none."""
    if not _MONTH.fullmatch(text):
        raise ValueError("must be a month such as 2026-11")
    return calendar(day_named(f"{text}-01", zone_name)[0], zone_name)[2:]


def days_before(at_us: int, days: int, zone_name: str) -> int:
    """The first instant of the day there that lies so many days before that of an instant."""
    local = datetime.fromtimestamp(at_us // 1_000_000, _zone(zone_name))
    return _start(local.date() - timedelta(days=days), zone_name)


def last_days(start: int | None, end: int | None, now_us: int, zone_name: str) -> tuple[int, int]:
    """A range of time; of what is left out, the last 30 days there, that of now included."""
    end = calendar(now_us, zone_name)[1] if end is None else end
    if start is None:
        start = min(days_before(max(end - 1, 0), USUAL_DAYS - 1, zone_name), end)
    return start, end


def months_after(at_us: int, months: int, zone_name: str) -> int:
    """The same day and time of day there so many months on; the last day of a month that has no such day. A time that
    the clocks leave out that day comes as much later as they go ahead."""
    zone = _zone(zone_name)
    seconds, rest = divmod(at_us, 1_000_000)
    local = datetime.fromtimestamp(seconds, zone).replace(tzinfo=None)
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = min(local.day, monthrange(year, month + 1)[1])
    # Of a time of day that clocks show twice it is the first: the second is no other day's.
    moved = local.replace(year=year, month=month + 1, day=day, fold=0)
    return _us(moved.replace(tzinfo=zone)) + rest


def write_period(at_us: int, step: str, zone_name: str) -> str:
    """What begins at an instant there: `2026-11` (a month), `2026-11-30` (a day), `2026-11-30T13:00+01:00`."""
    local = datetime.fromtimestamp(at_us // 1_000_000, _zone(zone_name))
    if step == "month":
        return local.strftime("%Y-%m")
    return local.date().isoformat() if step == "day" else local.isoformat(timespec="minutes")


def _start(day: date, zone_name: str) -> int:
    return _us(datetime(day.year, day.month, day.day, tzinfo=_zone(zone_name)))


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError) as error:
        raise LookupError(f"there is no time zone {name!r}") from error


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
