"""Days and months in a time zone: where the windows of spend limits begin and end."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def calendar(at_us: int, zone_name: str) -> tuple[int, int, int, int]:
    """Start and end of the day, start and end of the month in which an instant lies there; LookupError for no zone."""
    zone = _zone(zone_name)
    local = datetime.fromtimestamp(at_us // 1_000_000, zone)
    day = datetime(local.year, local.month, local.day, tzinfo=zone)
    month = datetime(local.year, local.month, 1, tzinfo=zone)
    # Added to the local date, not to the instant: a day has 23 or 25 hours where clocks change.
    next_day = day.replace(tzinfo=None) + timedelta(days=1)
    next_month = (month.replace(tzinfo=None) + timedelta(days=32)).replace(day=1)
    return _us(day), _us(next_day.replace(tzinfo=zone)), _us(month), _us(next_month.replace(tzinfo=zone))


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError) as error:
        raise LookupError(f"there is no time zone {name!r}") from error


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
