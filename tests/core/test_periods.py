"""When periods begin: days, months with short ones and leap days, time zones, first periods that are shorter."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.periods import begins_at, days_until, first_period, next_number, number_at, prorated
from farthing.core.plans import plan_problem
from farthing.core.subscription import Period, Subscription
from farthing.timezones import calendar, months_after
from tests.subscribing import DAY, plan
from tests.support import START_US

HOUR = 3_600_000_000
MONTH = Period(1, "months")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")


def at(text: str, zone: str = "UTC") -> int:
    """An instant, by the clocks there."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000


def begins(anchor: str, numbers: range, period: Period = MONTH) -> list[str]:
    """The days on which periods begin there."""
    zone = ZoneInfo(period.timezone)
    instants = (begins_at(period, at(anchor, period.timezone), n, months_after) for n in numbers)
    return [datetime.fromtimestamp(each // 1_000_000, zone).strftime("%m-%d %H:%M") for each in instants]


@pytest.mark.parametrize(
    ("anchor", "days"),
    [
        ("2027-01-28T10:00", ["01-28", "02-28", "03-28", "04-28"]),
        ("2027-01-29T10:00", ["01-29", "02-28", "03-29", "04-29"]),
        ("2027-01-30T10:00", ["01-30", "02-28", "03-30", "04-30"]),
        ("2027-01-31T10:00", ["01-31", "02-28", "03-31", "04-30"]),
        ("2028-01-31T10:00", ["01-31", "02-29", "03-31", "04-30"]),
        ("2028-01-29T10:00", ["01-29", "02-29", "03-29", "04-29"]),
        ("2027-11-30T10:00", ["11-30", "12-30", "01-30", "02-29"]),
    ],
)
def test_a_month_without_the_day_ends_early_and_the_next_one_has_it_again(anchor, days):
    assert begins(anchor, range(4)) == [f"{day} 10:00" for day in days]


def test_a_leap_day_comes_back_in_each_leap_year():
    yearly = Period(12, "months")
    assert begins("2028-02-29T00:00", range(5), yearly) == [f"02-{day} 00:00" for day in (29, 28, 28, 28, 29)]


def test_a_period_keeps_its_hour_where_clocks_change():
    berlin = Period(1, "months", "Europe/Berlin")
    assert begins("2027-02-28T09:30", range(3), berlin) == ["02-28 09:30", "03-28 09:30", "04-28 09:30"]
    # 23 hours and 59 days later by the sun; the clocks went forward on the 28th of March.
    assert begins_at(berlin, at("2027-02-28T09:30", "Europe/Berlin"), 1, months_after) == at(
        "2027-03-28T09:30", "Europe/Berlin"
    )


def test_a_renewal_at_an_hour_that_clocks_leave_out_comes_an_hour_later():
    assert begins("2027-02-28T02:30", range(3), Period(1, "months", "Europe/Berlin")) == [
        "02-28 02:30", "03-28 03:30", "04-28 02:30",
    ]  # fmt: skip


def test_a_renewal_at_an_hour_that_clocks_show_twice_is_at_the_first():
    berlin = Period(1, "months", "Europe/Berlin")
    twice = begins_at(berlin, at("2027-09-30T02:30", "Europe/Berlin"), 1, months_after)
    assert twice == at("2027-10-30T02:30", "Europe/Berlin")
    first = begins_at(berlin, at("2027-08-31T02:30", "Europe/Berlin"), 2, months_after)
    assert first == at("2027-10-31T00:30") == at("2027-10-31T02:30", "Europe/Berlin")


def test_a_day_that_a_zone_left_out_is_no_renewals_end():
    # Samoa went over the date line and had no 30th of December 2011: what was due on it came with the 31st.
    apia = Period(1, "months", "Pacific/Apia")
    assert begins("2011-10-30T09:00", range(4), apia) == ["10-30 09:00", "11-30 09:00", "12-31 09:00", "01-30 09:00"]
    anchor = at("2011-10-30T09:00", "Pacific/Apia")
    due = [begins_at(apia, anchor, n, months_after) for n in range(4)]
    assert [number_at(apia, anchor, each, months_after) for each in due] == [0, 1, 2, 3]


def test_days_are_of_24_hours_wherever_clocks_change():
    thirty = Period(30, "days", "Europe/Berlin")
    anchor = at("2027-03-01T12:00", "Europe/Berlin")
    assert begins_at(thirty, anchor, 12, months_after) - anchor == 12 * 30 * DAY


@given(
    st.integers(START_US, START_US + 4_000 * DAY),
    st.integers(1, 24),
    st.sampled_from(["days", "months"]),
    st.sampled_from(ZONES),
    st.integers(0, 60),
    st.integers(0, 30 * DAY),
)
def test_periods_follow_one_another_and_each_instant_is_in_one(anchor, every, unit, zone, number, later):
    period = Period(every, unit, zone)
    first, after = (begins_at(period, anchor, n, months_after) for n in (number, number + 1))
    assert first < after
    assert number_at(period, anchor, first, months_after) == number
    assert number_at(period, anchor, after - 1, months_after) == number
    found = number_at(period, anchor, first + later, months_after)
    assert begins_at(period, anchor, found, months_after) <= first + later
    assert begins_at(period, anchor, found + 1, months_after) > first + later


@given(st.integers(START_US, START_US + 4_000 * DAY), st.integers(1, 31), st.sampled_from(ZONES), st.integers(1, 6))
def test_with_an_anchor_day_all_periods_begin_on_it_or_on_a_shorter_months_last(when, day, zone, every):
    chosen = plan(every=every, unit="months", anchor_day=day, timezone=zone)
    first = first_period(chosen, when, calendar, months_after)
    assert first.begins <= when < first.ends
    for number in range(first.number, first.number + 14):
        local = datetime.fromtimestamp(
            begins_at(chosen.period, first.anchor_at, number, months_after) // 1_000_000, ZoneInfo(zone)
        )
        _, _, _, month_end = calendar(round(local.timestamp()) * 1_000_000, zone)
        last = datetime.fromtimestamp(month_end // 1_000_000 - 1, ZoneInfo(zone)).day
        assert local.day == min(day, last)


@pytest.mark.parametrize(
    ("bought", "day", "begins", "ends"),
    [
        ("2027-03-15T12:00", 1, "2027-03-01T00:00", "2027-04-01T00:00"),
        ("2027-03-15T12:00", 15, "2027-03-15T00:00", "2027-04-15T00:00"),
        ("2027-03-15T12:00", 31, "2027-02-28T00:00", "2027-03-31T00:00"),
        ("2027-02-28T12:00", 31, "2027-02-28T00:00", "2027-03-31T00:00"),
        ("2027-02-27T12:00", 31, "2027-01-31T00:00", "2027-02-28T00:00"),
        ("2028-02-29T12:00", 30, "2028-02-29T00:00", "2028-03-30T00:00"),
    ],
)
def test_the_first_period_of_an_anchor_day(bought, day, begins, ends):
    first = first_period(plan(every=1, unit="months", anchor_day=day), at(bought), calendar, months_after)
    assert (first.begins, first.ends) == (at(begins), at(ends))


def test_a_share_of_the_first_period_is_rounded_half_even():
    first = first_period(plan(every=1, unit="months", anchor_day=1), at("2027-04-16T00:00"), calendar, months_after)
    assert prorated(100, first, at("2027-04-16T00:00")) == 50
    assert [prorated(n, first, at("2027-04-16T00:00")) for n in (1, 3, 5)] == [0, 2, 2]
    assert prorated(100, first, first.begins) == 100


@pytest.mark.parametrize(
    ("terms", "days", "number"),
    [
        ({}, 30, 1), ({}, 59, 1), ({}, 125, 4), ({"catch_up": "each"}, 125, 1),
        ({"catch_up": "each", "rollover": "lapse"}, 125, 4), ({"catch_up": "each"}, 40_000, 334),
    ],
)  # fmt: skip
def test_what_a_renewal_after_an_outage_gives(terms, days, number):
    s = Subscription(
        id="sub_1", plan="pro", period=Period(30), anchor_at=START_US, periods=1, next_at=START_US + 30 * DAY,
        started_at=START_US,
    )  # fmt: skip
    assert next_number(plan(**terms), s, START_US + days * DAY, months_after) == number


def test_begun_days_count():
    assert [days_until(us, 0) for us in (-1, 0, 1, DAY, DAY + 1)] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"every": 0}, "every"), ({"every": -1}, "every"), ({"every": 3_661}, "every"),
        ({"every": 121, "unit": "months"}, "every"), ({"allowance": -1}, "allowance"),
        ({"anchor_day": 1}, "anchor_day"),
        ({"anchor_day": 0, "unit": "months"}, "anchor_day"), ({"anchor_day": 32, "unit": "months"}, "anchor_day"),
        ({"rollover": "cap"}, "cap"), ({"cap": 1}, "cap"), ({"rollover": "cap", "cap": -1}, "cap"),
        ({"priority": 101}, "priority"), ({"grace_days": 366}, "grace_days"), ({"id": ""}, "id"),
    ],
)  # fmt: skip
def test_a_plan_that_is_not_right_says_where(terms, field):
    problem = plan_problem(plan(**terms))
    assert problem is not None
    assert problem.field == field


def test_plans_that_are_right():
    for terms in ({}, {"allowance": 0}, {"unit": "months", "anchor_day": 31}, {"rollover": "cap", "cap": 0}):
        assert plan_problem(plan(**terms)) is None
