"""Subscriptions of the plain model: periods that are counted one by one, and what each gives and takes."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from farthing.core import commands as ask
from tests.model.account import DAY, Account, Grant, No

MANY = 2
"""Few, so that a walk has so many."""
MADE_UP_FOR = 1_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Plan:
    id: str
    allowance: int
    every: int
    unit: str = "days"
    day: int | None = None
    zone: str = "UTC"
    rollover: str = "keep"
    cap: int | None = None
    catch_up: str = "once"
    change: str = "keep"
    first: str = "full"
    category: str = "paid"
    priority: int = 50
    paid: bool = False
    grace: int = 3
    archived: bool = False


PLANS = {
    plan.id: plan
    for plan in (
        Plan("free", 3, 1, category="promotional"),
        Plan("pro", 50, 7, rollover="cap", cap=30, paid=True),
        Plan("brief", 20, 2, rollover="lapse", catch_up="each", priority=10),
        Plan("each", 10, 3, catch_up="each", paid=True, grace=1),
        Plan("monthly", 40, 1, "months", 31, "America/New_York", first="prorated", change="replace", catch_up="each"),
        Plan("yearly", 0, 12, "months"),
        Plan("old", 5, 5, archived=True),
    )
}


@dataclass
class Subscription:
    id: str
    plan: Plan
    anchor: int
    number: int
    """Of the next period."""
    next_at: int
    expires: int | None
    biller: str
    ends: int | None = None
    canceled: int | None = None
    ended: int | None = None
    until_canceled: bool = False
    pending: Plan | None = None
    pending_biller: str = "none"
    grants: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """As its row tells it."""
        return {
            "id": self.id, "plan": self.plan.id, "anchor_at": self.anchor, "periods": self.number,
            "next_at": self.next_at, "expires_at": self.expires, "ends_at": self.ends, "billed_by": self.biller,
            "canceled_at": self.canceled, "ended_at": self.ended, "grants": self.grants,
            "until_canceled": self.until_canceled, "pending": self.pending and self.pending.id,
        }  # fmt: skip


# When


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def local(at: int, plan: Plan) -> datetime:
    return datetime.fromtimestamp(at // 1_000_000, ZoneInfo(plan.zone))


def begins(plan: Plan, anchor: int, number: int) -> int:
    if plan.unit == "days" or number == 0:
        return anchor + number * plan.every * DAY
    then = local(anchor, plan)
    months = then.year * 12 + then.month - 1 + number * plan.every
    for day in range(then.day, 0, -1):
        try:
            moved = then.replace(year=months // 12, month=months % 12 + 1, day=day, fold=0)
        except ValueError:
            continue
        return micros(moved) + anchor % 1_000_000
    raise AssertionError("a month has a first day")


def first_of(plan: Plan, at: int) -> tuple[int, int]:
    """Anchor and number of the period that an instant lies in."""
    if plan.day is None:
        return at, 0
    zone, day = ZoneInfo(plan.zone), local(at, plan).date()
    while day.day != plan.day or micros(datetime(day.year, day.month, day.day, tzinfo=zone)) > at:
        day -= timedelta(days=1)
    anchor = micros(datetime(day.year, day.month, day.day, tzinfo=zone))
    return anchor, last_begun(plan, anchor, 0, at)


def last_begun(plan: Plan, anchor: int, number: int, at: int) -> int:
    while begins(plan, anchor, number + 1) <= at:
        number += 1
    return number


def share(plan: Plan, anchor: int, number: int, at: int) -> int:
    """What the first period gives."""
    if plan.first == "full":
        return plan.allowance
    start, end = begins(plan, anchor, number), begins(plan, anchor, number + 1)
    return round(Fraction(plan.allowance * (end - at), end - start))


def end_of(s: Subscription, plan: Plan) -> int | None:
    if s.pending is not None and not s.pending.paid:
        return None
    if s.expires is None:
        return None
    return s.expires + (plan.grace * DAY if s.biller != "none" and s.canceled is None else 0)


# Credits


def going(a: Account, plan: Plan, before: Subscription | None) -> list[str]:
    """Grants of the plan before whose rest goes."""
    return before.grants if before and before.plan is not plan and plan.change == "replace" else []


def alike(a: Account, grants: list[str]) -> list[list[Grant]]:
    found: dict[Any, list[Grant]] = {}
    for grant in filter(None, map(a.grant, grants)):
        if grant.left and not a.pinned(grant) and not grant.voided and grant.expires is None:
            found.setdefault((grant.category, grant.priority), []).append(grant)
    return [some for some in found.values() if len(some) > 1]


def is_tight(a: Account, before: Subscription | None) -> bool:
    if before is None:
        return False
    return len(before.grants) >= MANY or len(a.live_grants()) >= a.rules.max_live_grants


def must_have_room(a: Account, plan: Plan, before: Subscription | None, amount: int) -> None:
    without = going(a, plan, before)
    if before and not without and is_tight(a, before):
        without = [grant.id for some in alike(a, before.grants) for grant in some[1:]]
    if amount > 0:
        a.must_have_room(len([g for g in a.live_grants() if a.pinned(g) or g.id not in without]))


def give(a: Account, id: str, amount: int, before: Subscription | None, s: Subscription) -> None:
    """The credits of a period, after what becomes of the rests of earlier ones."""
    plan, tight = s.plan, is_tight(a, before)
    had = [grant for grant in map(a.grant, before.grants) if grant] if before else []
    if gone := going(a, plan, before):
        for grant in had:
            a.write_off(grant, a.free(grant) if grant.id in gone else 0)
    elif plan.rollover == "cap" and plan.cap is not None:
        for grant in had:
            above = sum(g.left for g in had) - plan.cap
            a.write_off(grant, max(min(a.free(grant), above), 0))
    given = []
    if amount:
        a.earned += amount
        given = ["grt" + id[3:]]
        expires = s.next_at if plan.rollover == "lapse" else None
        a.give(Grant(given[0], amount, amount, plan.category, plan.priority, expires, a.now))
    left = [grant.id for grant in had if grant.left]
    if tight and amount:
        left = put_together(a, left)
    s.grants = left + given


def put_together(a: Account, grants: list[str]) -> list[str]:
    made, gone = [], []
    for some in alike(a, grants):
        total = sum(grant.left for grant in some)
        for grant in some:
            grant.left = 0
            gone.append(grant.id)
        one = Grant(a.told_grant(), total, total, some[0].category, some[0].priority, None, a.now)
        a.grants.append(one)
        made.append(one.id)
    return made + [id for id in grants if id not in gone]


# The rules of each kind


def plan_of(id: str) -> Plan:
    if id not in PLANS:
        raise No("plan_not_found", plan=id)
    return PLANS[id]


def subscribe(a: Account, c: ask.Subscribe) -> str:
    plan = plan_of(c.plan)
    if plan.archived:
        raise No("plan_archived", plan=c.plan)
    before = a.subscription if a.subscription and a.subscription.ended is None else None
    a.must_be_future(c.expires_at)
    if c.next_at is not None and before:
        raise No("invalid", field="next_at")
    at = a.now if c.next_at is None else c.next_at
    anchor, number = first_of(plan, at)
    after = begins(plan, anchor, number + 1)
    expires = c.expires_at
    if expires is None and plan.paid:
        expires = after if c.next_at is None else c.next_at
    id = before.id if before else "sub" + c.id[3:]
    s = Subscription(id, plan, anchor, number, at, expires, c.billed_by)
    s.ends = end_of(s, plan)
    amount = 0
    if c.next_at is None:
        amount = share(plan, anchor, number, a.now)
        s.number, s.next_at = number + 1, after
    must_have_room(a, plan, before, amount)
    give(a, c.id, amount, before, s)
    a.subscription = s
    return c.operation


def the_one(a: Account, id: str | None = None) -> Subscription:
    s = a.subscription
    if s is None:
        raise No("subscription_not_found")
    if id is not None and s.id != id:
        raise No("subscription_changed", subscription=s.id)
    if s.ended is not None:
        raise No("subscription_ended", subscription=s.id)
    return s


def must_last(a: Account, s: Subscription) -> None:
    if s.ends is not None and a.now >= s.ends:
        raise No("subscription_expired", subscription=s.id, expires_at=s.expires)


def not_due(a: Account, then: int) -> No:
    return No("not_due", next_at=then, days=max(-(-(then - a.now) // DAY), 0))


def renew(a: Account, c: ask.Renew) -> str:
    s = the_one(a, c.subscription)
    if s.next_at != c.period_at:
        raise No("subscription_changed", subscription=s.id)
    must_last(a, s)
    if c.claim is None and s.biller != "none":
        raise No("renewed_by_payment", billed_by=s.biller)
    if c.claim is None and a.now < s.next_at:
        raise not_due(a, s.next_at)
    plan = s.pending or s.plan
    a.must_be_future(c.expires_at)
    must_have_room(a, plan, s, plan.allowance)
    anchor, number = first_of(plan, s.next_at) if s.pending else (s.anchor, s.number)
    latest = max(last_begun(plan, anchor, number, a.now), number)
    one_by_one = plan.catch_up == "each" and plan.rollover != "lapse"
    given = max(number, latest - MADE_UP_FOR + 1) if one_by_one else latest
    amount = share(plan, anchor, number, s.next_at) if s.pending and given == number else plan.allowance
    after = begins(plan, anchor, given + 1)
    expires = s.expires
    if s.pending and not plan.paid:
        expires = None
    elif s.pending and expires is None:
        expires = after
    elif c.claim and expires is not None:
        expires = max(expires, after)
    new = Subscription(
        s.id, plan, anchor, given + 1, after, c.expires_at or expires, s.biller, canceled=s.canceled,
        until_canceled=s.until_canceled,
    )  # fmt: skip
    new.ends = end_of(new, plan)
    give(a, c.id, amount, s, new)
    a.subscription = new
    return c.operation


def tidied(a: Account, s: Subscription) -> None:
    s.grants = [id for id in s.grants if (grant := a.grant(id)) and grant.left]


def unsubscribe(a: Account, c: ask.Unsubscribe) -> str:
    s = the_one(a)
    if c.at_once:
        s.canceled = s.ended = a.now
    else:
        s.until_canceled = s.until_canceled or s.expires is None
        s.expires = s.next_at if s.expires is None else s.expires
        s.canceled, s.ends = s.canceled or a.now, s.expires
    tidied(a, s)
    return c.operation


def resume(a: Account, c: ask.Resume) -> str:
    s = the_one(a)
    must_last(a, s)
    if s.canceled is not None:
        s.canceled, s.expires, s.until_canceled = None, None if s.until_canceled else s.expires, False
        s.ends = end_of(s, s.plan)
    tidied(a, s)
    return c.operation


def change(a: Account, c: ask.ChangePlan) -> str:
    s = the_one(a)
    must_last(a, s)
    if s.canceled is not None:
        raise No("invalid", field="plan")
    plan = plan_of(c.plan)
    if plan.archived and plan is not s.plan:
        raise No("plan_archived", plan=c.plan)
    s.biller = s.pending_biller if s.pending else s.biller
    s.pending, s.pending_biller = (None, "none") if plan is s.plan else (plan, s.biller)
    if s.pending and not plan.paid:
        s.biller = "none"
    s.ends = end_of(s, s.plan)
    tidied(a, s)
    return c.operation


def end(a: Account, c: ask.EndSubscription) -> str:
    s = the_one(a, c.subscription)
    if s.ends is None or a.now < s.ends:
        raise not_due(a, s.ends or s.next_at)
    s.ended = a.now
    tidied(a, s)
    return c.operation


RULES: dict[type, Any] = {
    ask.Subscribe: subscribe,
    ask.Renew: renew,
    ask.Unsubscribe: unsubscribe,
    ask.Resume: resume,
    ask.ChangePlan: change,
    ask.EndSubscription: end,
}
