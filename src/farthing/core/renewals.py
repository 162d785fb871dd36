"""Subscriptions: buying a plan, giving its periods, changing it, ending it. Each is one entry, with the subscription
after it.

Refusals, in order:
- subscribe: plan_not_found, plan_archived, subscription_changed (where it was `seen`), invalid (already over, it has
  one already), too_many_grants, balance_limit
- renew: account_not_found, subscription_not_found, subscription_changed, subscription_ended, plan_not_found,
  subscription_expired, renewed_by_payment, not_due, too_many_grants, balance_limit
- unsubscribe: account_not_found, subscription_not_found, subscription_ended
- resume: account_not_found, subscription_not_found, subscription_ended, subscription_expired, plan_not_found
- change: account_not_found, subscription_not_found, subscription_ended, subscription_expired, invalid (it is canceled),
  plan_not_found, plan_archived
- end: account_not_found, subscription_not_found, subscription_changed, subscription_ended, not_due
"""

from typing import NamedTuple

from msgspec.structs import replace

from . import allowances
from .commands import ChangePlan, EndSubscription, Renew, Resume, Subscribe, Unsubscribe
from .draft import Draft
from .grants import no_room
from .outcomes import Refusal, Refused
from .periods import First, begins_at, days_until, ends_at, first_period, next_number, prorated
from .plans import Plan
from .subscription import NOBODY, Pending, Subscription, SubscriptionRow, seen_mark


def subscribe(c: Subscribe, d: Draft) -> Refused | None:
    """Begin a subscription, or bring it to another plan: its periods are counted anew, and the first is given."""
    kept = d.context.plans.get((c.workspace, c.plan))
    if kept is None:
        return Refused(Refusal.PLAN_NOT_FOUND, {"plan": c.plan})
    if kept.archived_at is not None:
        return Refused(Refusal.PLAN_ARCHIVED, {"plan": c.plan})
    plan, before = kept.plan, _living(d)
    if c.seen is not None and c.seen != seen_mark(before):
        return Refused(Refusal.SUBSCRIPTION_CHANGED, {"subscription": before.id if before else ""})
    if refused := _wrong_dates(c, before, d):
        return refused
    begun = _begin(c, plan, before, d)
    if refused := _no_room(plan, before, begun.amount, None, d):
        return refused
    # After this point it must succeed.
    d.body.ref = plan.id
    _give(c.id, begun.amount, plan, before, begun.subscription, d)
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
    plan = _plan(s.pending.plan if s.pending else s.plan, d)
    if isinstance(plan, Refused):
        return plan
    if refused := _not_now(c, s, d) or _no_room(plan, s, plan.allowance, c.expires_at, d):
        return refused
    # After this point it must succeed.
    d.body.ref = s.id
    counted, first = _counted(plan, s, d)
    number = next_number(plan, counted, d.at, d.context.months_after)
    ends = begins_at(counted.period, counted.anchor_at, number + 1, d.context.months_after)
    expires_at = _paid_until(c, s, plan, ends)
    renewed = replace(
        counted,
        periods=number + 1,
        period_at=begins_at(counted.period, counted.anchor_at, number, d.context.months_after),
        next_at=ends,
        expires_at=expires_at,
        ends_at=ends_at(expires_at, plan, s.billed_by, s.canceled_at is not None),
        renewed_at=d.at,
        renewed_for=c.period_at,
    )
    shortened = first is not None and number == first.number and plan.first_period == "prorated"
    amount = prorated(plan.allowance, first, s.next_at) if first and shortened else plan.allowance
    _give(c.id, amount, plan, s, renewed, d)
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
        _put(replace(s, canceled_at=d.at, ended_at=d.at, grants=allowances.left(s, d)), d)
        return None
    until, lasting = (s.next_at, True) if s.expires_at is None else (s.expires_at, s.until_canceled)
    canceled = replace(
        s,
        canceled_at=s.canceled_at or d.at,
        expires_at=until,
        ends_at=until,
        until_canceled=lasting,
        grants=allowances.left(s, d),
    )
    _put(canceled, d)
    return None


def resume(c: Resume, d: Draft) -> Refused | None:
    """Take a cancellation back: it goes on as it was before."""
    s = _lasting(d)
    if isinstance(s, Refused):
        return s
    plan = _plan(s.plan, d)
    if isinstance(plan, Refused):
        return plan
    # After this point it must succeed.
    d.body.ref = s.id
    if s.canceled_at is not None:
        expires_at = None if s.until_canceled else s.expires_at
        s = replace(s, canceled_at=None, expires_at=expires_at, until_canceled=False)
        s = replace(s, ends_at=_unpaid_until(s, plan, d))
    _put(replace(s, grants=allowances.left(s, d)), d)
    return None


def change(c: ChangePlan, d: Draft) -> Refused | None:
    """Note the plan that the next renewal brings. One that is not paid comes even where nothing is paid any more."""
    s = _lasting(d)
    if isinstance(s, Refused):
        return s
    if s.canceled_at is not None:
        message = "can't come with the next renewal: the subscription is canceled; resume it first"
        return Refused(Refusal.INVALID, {"field": "plan", "message": message})
    plan, kept = _plan(s.plan, d), d.context.plans.get((c.workspace, c.plan))
    if isinstance(plan, Refused):
        return plan
    if kept is None:
        return Refused(Refusal.PLAN_NOT_FOUND, {"plan": c.plan})
    if kept.archived_at is not None and c.plan != s.plan:
        return Refused(Refusal.PLAN_ARCHIVED, {"plan": c.plan})
    # After this point it must succeed.
    d.body.ref = c.plan
    biller = s.pending.billed_by if s.pending else s.billed_by
    pending = None if c.plan == s.plan else Pending(c.plan, biller)
    s = replace(s, pending=pending, billed_by=biller if pending is None or kept.plan.paid else NOBODY)
    _put(replace(s, ends_at=_unpaid_until(s, plan, d), grants=allowances.left(s, d)), d)
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
    _put(replace(s, ended_at=d.at, grants=allowances.left(s, d)), d)
    return None


# What is asked


def _living(d: Draft) -> Subscription | None:
    s = d.context.subscriptions.get((d.account.workspace, d.account.id))
    return None if s is None or s.ended_at is not None else s


def _lasting(d: Draft) -> Subscription | Refused:
    """The account's subscription, whose time is not over."""
    s = d.context.subscriptions.get((d.account.workspace, d.account.id))
    if s is None:
        return Refused(Refusal.SUBSCRIPTION_NOT_FOUND)
    if s.ended_at is not None:
        return Refused(Refusal.SUBSCRIPTION_ENDED, {"subscription": s.id})
    return _expired(s, d) or s


def _expired(s: Subscription, d: Draft) -> Refused | None:
    if s.ends_at is None or d.at < s.ends_at:
        return None
    return Refused(Refusal.SUBSCRIPTION_EXPIRED, {"subscription": s.id, "expires_at": s.expires_at})


def _plan(id: str, d: Draft) -> Plan | Refused:
    kept = d.context.plans.get((d.account.workspace, id))
    return Refused(Refusal.PLAN_NOT_FOUND, {"plan": id}) if kept is None else kept.plan


def _not_this(id: str, s: Subscription | None) -> Refused | None:
    if s is None:
        return Refused(Refusal.SUBSCRIPTION_NOT_FOUND)
    return None if s.id == id else Refused(Refusal.SUBSCRIPTION_CHANGED, {"subscription": s.id})


def _not_now(c: Renew, s: Subscription, d: Draft) -> Refused | None:
    """Why it is not to be renewed now; a payment may come early, and is what others wait for."""
    if refused := _expired(s, d):
        return refused
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
        renewed_at=c.renewed_at,
        order=c.order,
    )
    if c.next_at is not None:
        return _Begun(s, 0)
    amount = prorated(plan.allowance, first, d.at) if plan.first_period == "prorated" else plan.allowance
    return _Begun(replace(s, periods=first.number + 1, period_at=first.begins, next_at=first.ends), amount)


def _counted(plan: Plan, s: Subscription, d: Draft) -> tuple[Subscription, First | None]:
    """The subscription that is renewed; with another plan, whose periods are counted from when it was due."""
    if s.pending is None:
        return s, None
    first = first_period(plan, s.next_at, d.context.calendar, d.context.months_after)
    counted = replace(
        s, plan=plan.id, period=plan.period, anchor_at=first.anchor_at, periods=first.number, pending=None
    )
    return counted, first


def _paid_until(c: Renew, s: Subscription, plan: Plan, ends: int) -> int | None:
    """A payment pays for the period that it renews, unless it says for longer. A plan that comes anew is paid for its
    first period, as one that is bought."""
    if c.expires_at is not None:
        return c.expires_at
    if s.pending is not None and not (plan.paid and s.expires_at):
        return ends if plan.paid else None
    if c.claim is None or s.expires_at is None:
        return s.expires_at
    return max(s.expires_at, ends)


def _unpaid_until(s: Subscription, plan: Plan, d: Draft) -> int | None:
    """When it ends unless it is paid; never where a plan comes that is not."""
    coming = _plan(s.pending.plan, d) if s.pending else plan
    if s.pending is not None and isinstance(coming, Plan) and not coming.paid:
        return None
    return ends_at(s.expires_at, plan, s.billed_by, False)


# Credits


def _no_room(plan: Plan, s: Subscription | None, amount: int, expires_at: int | None, d: Draft) -> Refused | None:
    """Why it can't be given more: there are as many grants as there may be, those not counted that go for it."""
    going = allowances.replaced(plan, s)
    if not going and allowances.tight(s, d):
        going = allowances.making_room(s, d)
    return no_room(d, expires_at, amount > 0, without=going)


def _give(id: str, amount: int, plan: Plan, before: Subscription | None, s: Subscription, d: Draft) -> None:
    """Give the credits of a period, after what its plan says of those that are left; and put the subscription down."""
    tight = amount > 0 and allowances.tight(before, d)
    replaced = allowances.replaced(plan, before)
    allowances.write_off(replaced, d)
    if before is not None and not replaced:
        allowances.keep_within_cap(plan, before, d)
    given = allowances.give(id, amount, plan, s, d)
    left = allowances.left(before, d)
    if tight:
        left = allowances.put_together(left, s, d)
    _put(replace(s, grants=left + given), d)


def _put(s: Subscription, d: Draft) -> None:
    a = d.account
    d.body.subscription = s
    d.records.append(SubscriptionRow(a.workspace, a.id, a.bucket, s))
