"""Days of the calendar in time zones: where they begin and end, also when the clocks change."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.timezones import calendar, day_named, days_before, is_date, is_zone, last_days, write_period

HOUR_US = 3_600_000_000
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia", "Africa/Cairo"]


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("day", "zone", "start", "hours"),
    [
        ("2026-11-01", "UTC", "2026-11-01T00:00", 24),
        ("2026-11-01", "Europe/Berlin", "2026-10-31T23:00", 24),
        ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00", 23),
        ("2026-10-25", "Europe/Berlin", "2026-10-24T22:00", 25),
        ("2026-01-01", "Asia/Kathmandu", "2025-12-31T18:15", 24),
        ("2024-04-26", "Africa/Cairo", "2024-04-25T22:00", 23),
    ],
)
def test_a_day_has_its_hours(day: str, zone: str, start: str, hours: int):
    begin, end = day_named(day, zone)
    assert (begin, end - begin) == (us(start), hours * HOUR_US)


@pytest.mark.parametrize("text", ["2026-02-30", "2026-13-01", "2026-00-01", "1970-01-01", "9999-12-31", "0001-01-01"])
def test_a_day_that_is_not_there_or_not_counted_is_refused(text: str):
    assert is_date(text)
    with pytest.raises(ValueError):
        day_named(text, "UTC")


@pytest.mark.parametrize("text", ["2026-1-1", "26-01-01", "2026-01-01T00:00:00Z", "today", "", "\u0662026-01-01"])
def test_what_is_no_date(text: str):
    assert not is_date(text)


def test_zones_are_known_by_their_names():
    assert [is_zone(name) for name in ("UTC", "Europe/Berlin", "Mars/Olympus", "", "../x", "/etc/localtime")] == [
        True, True, False, False, False, False,
    ]  # fmt: skip


@given(st.datetimes(datetime(1971, 1, 3), datetime(9000, 1, 1)), st.sampled_from(ZONES))
def test_a_day_by_its_name_is_the_calendars(moment: datetime, zone: str):
    at = us(moment.replace(microsecond=0).isoformat())
    day = datetime.fromtimestamp(at // 1_000_000, ZoneInfo(zone)).date().isoformat()
    assert day_named(day, zone) == calendar(at, zone)[:2]
    assert days_before(at, 0, zone) == calendar(at, zone)[0]
    assert write_period(at, "day", zone) == day


def test_the_last_thirty_days_have_today_in_them():
    now = us("2026-11-15T12:00")
    assert last_days(None, None, now, "UTC") == (us("2026-10-17T00:00"), us("2026-11-16T00:00"))
    assert last_days(None, us("2026-11-01T00:00"), now, "UTC") == (us("2026-10-02T00:00"), us("2026-11-01T00:00"))
    assert last_days(5, None, now, "Europe/Berlin") == (5, us("2026-11-15T23:00"))
    begin, end = last_days(None, None, us("2026-04-01T12:00"), "Europe/Berlin")
    assert end - begin == (30 * 24 - 1) * HOUR_US


def test_a_period_is_called_as_the_zones_calendar_does():
    at = us("2026-10-31T23:00")
    assert [write_period(at, step, "Europe/Berlin") for step in ("month", "day", "hour")] == [
        "2026-11", "2026-11-01", "2026-11-01T00:00+01:00",
    ]  # fmt: skip
