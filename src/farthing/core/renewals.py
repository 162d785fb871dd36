"""Subscriptions: buying a plan, giving its periods, ending it. Each is one entry, with the subscription after it.

Refusals, in order:
- subscribe: plan_not_found, plan_archived, invalid (already over, it has one already), too_many_grants, balance_limit
- renew: account_not_found, subscription_not_found, subscription_changed, subscription_ended, plan_not_found,
  subscription_expired, renewed_by_payment, not_due, too_many_grants, balance_limit
- unsubscribe: account_not_found, subscription_not_found, subscription_ended
- end: account_not_found, subscription_not_found, subscription_changed, subscription_ended, not_due
"""

from typing import NamedTuple

from msgspec.structs import replace

from .commands import EndSubscription, Renew, Subscribe, Unsubscribe
from .draft import Draft
from .grants import give_and_repay, no_room
from .outcomes import Refusal, Refused
from .periods import begins_at, days_until, ends_at, first_period, next_number, prorated
from .plans import Plan
from .records import GrantTerms
from .subscription import NOBODY, Subscription, SubscriptionRow


def subscribe(c: Subscribe, d: Draft) -> Refused | None:
    """Begin a subscription, or bring it to another plan: its periods are counted anew, and the first is given."""
    kept = d.context.plans.get((c.workspace, c.plan))
    if kept is None:
        return Refused(Refusal.PLAN_NOT_FOUND, {"plan": c.plan})
    if kept.archived_at is not None:
        return Refused(Refusal.PLAN_ARCHIVED, {"plan": c.plan})
    plan, before = kept.plan, _living(d)
    if refused := _wrong_dates(c, before, d):
        return refused
    begun = _begin(c, plan, before, d)
    replaced = _replaced(plan, before)
    if refused := no_room(d, None, begun.amount > 0, without=replaced):
        return refused
    # After this point it must succeed.
    d.body.ref = plan.id
    _write_off(replaced, d)
    if before is not None and not replaced:
        _keep_within_cap(plan, before, d)
    given = _give(c.id, begun.amount, plan, begun.subscription, d)
    _put(replace(begun.subscription, grants=_left(before, d) + given), d)
    return None


def renew(c: Renew, d: Draft) -> Refused | None:
    """Give the period that is due, or one that a payment has paid."""
    s = d.context.subscriptions.get((c.workspace, c.account))
    if refused := _not_this(c.subscription, s):
        return refused
    assert s is not None
    if s.ended_at is not None:
        return Refused(Refusal.SUBSCRIPTION_ENDED, {"subscription": s.id})
    if s.next_at != c.period_at:
        return Refused(Refusal.SUBSCRIPTION_CHANGED, {"subscription": s.id})
    kept = d.context.plans.get((c.workspace, s.plan))
    if kept is None:
        return Refused(Refusal.PLAN_NOT_FOUND, {"plan": s.plan})
    if refused := _not_now(c, s, d):
        return refused
    plan = kept.plan
    if refused := no_room(d, c.expires_at, plan.allowance > 0):
        return refused
    # After this point it must succeed.
    d.body.ref = s.id
    _keep_within_cap(plan, s, d)
    number = next_number(plan, s, d.at, d.context.months_after)
    ends = begins_at(s.period, s.anchor_at, number + 1, d.context.months_after)
    expires_at = _paid_until(c, s, ends)
    renewed = replace(
        s,
        periods=number + 1,
        period_at=begins_at(s.period, s.anchor_at, number, d.context.months_after),
        next_at=ends,
        expires_at=expires_at,
        ends_at=ends_at(expires_at, plan, s.billed_by, s.canceled_at is not None),
        renewed_at=d.at,
        renewed_for=c.period_at,
    )
    given = _give(c.id, plan.allowance, plan, renewed, d)
    _put(replace(renewed, grants=_left(s, d) + given), d)
    return None


def unsubscribe(c: Unsubscribe, d: Draft) -> Refused | None:
    """End it now, or have it end with the time that is paid: at the latest when its next period would begin, where
    nothing says otherwise."""
    s = d.context.subscriptions.get((c.workspace, c.account))
    if s is None:
        return Refused(Refusal.SUBSCRIPTION_NOT_FOUND)
    if s.ended_at is not None:
        return Refused(Refusal.SUBSCRIPTION_ENDED, {"subscription": s.id})
    # After this point it must succeed.
    d.body.ref = s.id
    if c.at_once:
        _put(replace(s, canceled_at=d.at, ended_at=d.at, grants=_left(s, d)), d)
    else:
        until = s.next_at if s.expires_at is None else s.expires_at
        _put(replace(s, canceled_at=s.canceled_at or d.at, expires_at=until, ends_at=until, grants=_left(s, d)), d)
    return None


def end(c: EndSubscription, d: Draft) -> Refused | None:
    """Book that the paid time of a subscription is over."""
    s = d.context.subscriptions.get((c.workspace, c.account))
    if refused := _not_this(c.subscription, s):
        return refused
    assert s is not None
    if s.ended_at is not None:
        return Refused(Refusal.SUBSCRIPTION_ENDED, {"subscription": s.id})
    if s.ends_at is None or d.at < s.ends_at:
        return _not_due(s.ends_at or s.next_at, d)
    # After this point it must succeed.
    d.body.ref = s.id
    _put(replace(s, ended_at=d.at, grants=_left(s, d)), d)
    return None


# What is asked


def _living(d: Draft) -> Subscription | None:
    s = d.context.subscriptions.get((d.account.workspace, d.account.id))
    return None if s is None or s.ended_at is not None else s


def _not_this(id: str, s: Subscription | None) -> Refused | None:
    if s is None:
        return Refused(Refusal.SUBSCRIPTION_NOT_FOUND)
    return None if s.id == id else Refused(Refusal.SUBSCRIPTION_CHANGED, {"subscription": s.id})


def _not_now(c: Renew, s: Subscription, d: Draft) -> Refused | None:
    """Why it is not to be renewed now; a payment may come early, and is what others wait for."""
    if s.ends_at is not None and d.at >= s.ends_at:
        return Refused(Refusal.SUBSCRIPTION_EXPIRED, {"subscription": s.id, "expires_at": s.expires_at})
    if c.claim is not None:
        return None
    if s.billed_by != NOBODY:
        return Refused(Refusal.RENEWED_BY_PAYMENT, {"billed_by": s.billed_by})
    return _not_due(s.next_at, d) if d.at < s.next_at else None


def _not_due(next_at: int, d: Draft) -> Refused:
    return Refused(Refusal.NOT_DUE, {"next_at": next_at, "days": days_until(next_at, d.at)})


def _wrong_dates(c: Subscribe, before: Subscription | None, d: Draft) -> Refused | None:
    if c.expires_at is not None and c.expires_at <= d.at:
        return Refused(Refusal.INVALID, {"field": "expires_at", "message": "must be in the future"})
    if c.next_at is not None and before is not None:
        message = "is for an account without a subscription: this one has one, with dates of its own"
        return Refused(Refusal.INVALID, {"field": "next_at", "message": message})
    return None


# Periods


class _Begun(NamedTuple):
    subscription: Subscription
    amount: int
    """What its first period gives."""


def _begin(c: Subscribe, plan: Plan, before: Subscription | None, d: Draft) -> _Begun:
    """A subscription in its first period; or, where it runs elsewhere already, before its first one here."""
    at = d.at if c.next_at is None else c.next_at
    first = first_period(plan, at, d.context.calendar, d.context.months_after)
    expires_at = c.expires_at
    if expires_at is None and plan.paid:
        expires_at = first.ends if c.next_at is None else c.next_at
    s = Subscription(
        id=before.id if before else "sub" + c.id[3:],
        plan=plan.id,
        period=plan.period,
        anchor_at=first.anchor_at,
        periods=first.number,
        next_at=at,
        expires_at=expires_at,
        ends_at=ends_at(expires_at, plan, c.billed_by, False),
        billed_by=c.billed_by,
        started_at=before.started_at if before else d.at,
    )
    if c.next_at is not None:
        return _Begun(s, 0)
    amount = prorated(plan.allowance, first, d.at) if plan.first_period == "prorated" else plan.allowance
    return _Begun(replace(s, periods=first.number + 1, period_at=first.begins, next_at=first.ends), amount)


def _paid_until(c: Renew, s: Subscription, ends: int) -> int | None:
    """A payment pays for the period that it renews, unless it says for longer."""
    if c.expires_at is not None:
        return c.expires_at
    if c.claim is None or s.expires_at is None:
        return s.expires_at
    return max(s.expires_at, ends)


# Credits


def _replaced(plan: Plan, before: Subscription | None) -> tuple[str, ...]:
    """Grants of another plan whose rest goes when this one comes."""
    return before.grants if before and before.plan != plan.id and plan.change == "replace" else ()


def _write_off(grants: tuple[str, ...], d: Draft) -> None:
    for id in grants:
        position = d.position(id)
        if position is not None:
            row = d.account.grants[position]
            _drop(position, row.remaining - row.held, d)


def _drop(position: int, amount: int, d: Draft) -> None:
    if amount:
        d.drop(position, amount)
        d.write_off(amount)


def _keep_within_cap(plan: Plan, s: Subscription, d: Draft) -> None:
    """Write off what is left of earlier periods above the plan's cap, of the oldest first; what holds have set aside
    counts, and stays."""
    if plan.rollover != "cap" or plan.cap is None:
        return
    positions = [p for id in s.grants if (p := d.position(id)) is not None]
    excess = sum(d.account.grants[p].remaining for p in positions) - plan.cap
    for position in positions:
        row = d.account.grants[position]
        part = min(row.remaining - row.held, excess)
        if part > 0:
            _drop(position, part, d)
            excess -= part


def _give(entry_id: str, amount: int, plan: Plan, s: Subscription, d: Draft) -> tuple[str, ...]:
    """Give a period's credits; those of a plan that lets them lapse live as long as the period."""
    if not amount:
        return ()
    source = {"subscription": s.id, "plan": plan.id}
    expires_at = s.next_at if plan.rollover == "lapse" else None
    id = "grt" + entry_id[3:]
    d.earn(amount)
    give_and_repay(GrantTerms(id, amount, plan.category, plan.priority, expires_at, d.at, (), source), d)
    return (id,)


def _left(s: Subscription | None, d: Draft) -> tuple[str, ...]:
    """Of its grants, those that have credits left."""
    live = {g.id for g in d.account.grants if g.remaining}
    return tuple(id for id in s.grants if id in live) if s else ()


def _put(s: Subscription, d: Draft) -> None:
    a = d.account
    d.body.subscription = s
    d.records.append(SubscriptionRow(a.workspace, a.id, a.bucket, s))
