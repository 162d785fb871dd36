"""Time as the stand-in has it: the machine's, or one that stands still; either can be put forward, never back."""

import calendar
import re
from datetime import UTC, datetime, timedelta
from typing import Final

FORM: Final = "%Y-%m-%d %H:%M:%S"
_INTERVAL: Final = re.compile(r"(\d{1,3})_(day|week|month|year)")
_AGO: Final = re.compile(r"-(\d{1,5})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
FIRST: Final = datetime(2000, 1, 1)


class Clock:
    """UTC, without a zone, as Digistore24 writes its times."""

    def __init__(self, frozen_at: datetime | None = None) -> None:
        self._frozen_at = frozen_at
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The time here."""
        return (self._frozen_at or datetime.now(UTC).replace(tzinfo=None)) + self._ahead

    def put(self, time: datetime) -> None:
        """Put it forward to a time."""
        self._ahead += max(time - self.now(), timedelta())


def text_of(time: datetime | None) -> str:
    """As Digistore24 writes it."""
    return "" if time is None else time.strftime(FORM)


def is_interval(text: str) -> bool:
    """Whether a text is an interval, such as 1_month."""
    return _INTERVAL.fullmatch(text) is not None


def after(time: datetime, interval: str) -> datetime:
    """The time an interval later; a month's last day is the last that it has."""
    found = _INTERVAL.fullmatch(interval)
    assert found is not None, interval
    count, unit = int(found[1]), found[2]
    if unit in ("day", "week"):
        return time + timedelta(days=count * (7 if unit == "week" else 1))
    months = time.month - 1 + count * (12 if unit == "year" else 1)
    year, month = time.year + months // 12, months % 12 + 1
    return time.replace(year=year, month=month, day=min(time.day, calendar.monthrange(year, month)[1]))


def read_time(text: str, now: datetime) -> datetime:
    """A time as the lists take it: start, now, -3d, ISO 8601 or Digistore24's own; raises ValueError."""
    if text in ("now", "start"):
        return now if text == "now" else FIRST
    if found := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
