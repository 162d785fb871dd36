"""Periods of a subscription: arithmetic on instants that are given; no clock, no calendar of its own.

A subscription is anchored: its n-th period begins n periods after the anchor, counted from there and never from the
period before, so that neither a job that is late nor a short month moves it. A month that lacks the anchor's day ends
early for that one period: from the 31st of January on, periods begin on the 28th of February and the 31st of March.
"""

from typing import Final, Literal

from msgspec import Struct

from .commands import DAY_US
from .context import Calendar, MonthsAfter
from .exact import half_even_ratio
from .plans import Plan
from .subscription import NOBODY, Period, Subscription

LONGEST_OUTAGE: Final = 1_000
"""Missed periods that are made up for at most, one by one."""


def begins_at(period: Period, anchor_at: int, number: int, months_after: MonthsAfter) -> int:
    """When the period of that number begins; that of the anchor has the number 0."""
    if period.unit == "days":
        return anchor_at + number * period.every * DAY_US
    return months_after(anchor_at, number * period.every, period.timezone) if number else anchor_at


def number_at(period: Period, anchor_at: int, at: int, months_after: MonthsAfter) -> int:
    """The number of the period in which an instant lies, not before the anchor's own."""
    if at <= anchor_at:
        return 0
    if period.unit == "days":
        return (at - anchor_at) // (period.every * DAY_US)
    # A month has 31 days at most, and an hour more where clocks change, so this is never too far; from there it is a
    # step or two.
    number = max((at - anchor_at - DAY_US) // (31 * period.every * DAY_US), 0)
    while begins_at(period, anchor_at, number + 1, months_after) <= at:
        number += 1
    return number


class First(Struct, frozen=True):
    """The period in which a subscription begins."""

    anchor_at: int
    number: int
    begins: int
    ends: int


def first_period(plan: Plan, at: int, calendar: Calendar, months_after: MonthsAfter) -> First:
    """The period that a purchase at an instant falls into: a whole one, but for a plan with an anchor day."""
    anchor = at if plan.anchor_day is None else _day_before(at, plan.anchor_day, plan.timezone, calendar)
    number = number_at(plan.period, anchor, at, months_after)
    ends = begins_at(plan.period, anchor, number + 1, months_after)
    return First(anchor, number, begins_at(plan.period, anchor, number, months_after), ends)


def _day_before(at: int, day: int, zone: str, calendar: Calendar) -> int:
    """When that day of a month began there last: of a month that has it, so that later periods know which day it is."""
    _, _, month, month_end = calendar(at, zone)
    while True:
        # Where clocks change a month has an hour more or less, and noon still lies within its day.
        if round((month_end - month) / DAY_US) >= day:
            begins = calendar(month + (day - 1) * DAY_US + DAY_US // 2, zone)[0]
            if begins <= at:
                return begins
        _, _, month, month_end = calendar(month - 1, zone)


def next_number(plan: Plan, s: Subscription, at: int, months_after: MonthsAfter) -> int:
    """The number of the period that a renewal at an instant gives: the next, or after an outage the one in which the
    instant lies. Each is made up for where the plan says so, and it would not lapse at once."""
    latest = max(number_at(s.period, s.anchor_at, at, months_after), s.periods)
    if plan.catch_up == "once" or plan.rollover == "lapse":
        return latest
    return max(s.periods, latest - LONGEST_OUTAGE + 1)


def ends_at(expires_at: int | None, plan: Plan, billed_by: str, canceled: bool) -> int | None:
    """When a subscription ends unless it is paid again; one that a provider bills has some days of grace."""
    if expires_at is None:
        return None
    return expires_at + (plan.grace_days * DAY_US if billed_by != NOBODY and not canceled else 0)


def prorated(allowance: int, first: First, at: int) -> int:
    """The share of an allowance that is left of a period at an instant, rounded half-even."""
    return half_even_ratio(allowance * (first.ends - at), first.ends - first.begins)


class Eligible(Struct, frozen=True):
    """Whether a subscription may be renewed now, and why not."""

    eligible: bool
    reason: Literal["", "subscription_not_found", "subscription_ended", "subscription_expired", "not_due"]
    next_at: int | None = None
    days: int | None = None
    """Until it is due, begun ones included."""


def eligibility(s: Subscription | None, at: int) -> Eligible:
    """Whether it is time."""
    if s is None:
        return Eligible(False, "subscription_not_found")
    if s.ended_at is not None:
        return Eligible(False, "subscription_ended")
    if s.ends_at is not None and at >= s.ends_at:
        return Eligible(False, "subscription_expired", s.next_at)
    if at < s.next_at:
        return Eligible(False, "not_due", s.next_at, days_until(s.next_at, at))
    return Eligible(True, "", s.next_at, 0)


def days_until(then: int, at: int) -> int:
    """Days until an instant, begun ones included."""
    return max(-(-(then - at) // DAY_US), 0)
