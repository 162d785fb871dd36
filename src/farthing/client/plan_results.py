"""Results: plans, subscriptions, renewals."""

from datetime import datetime
from decimal import Decimal

from .forms import Done, Result, Written


class Plan(Written, frozen=True, kw_only=True):
    """What a subscription gives, and when."""

    id: str
    name: str | None
    allowance: Decimal
    every: int
    unit: str
    anchor_day: int | None
    timezone: str
    rollover: str
    cap: Decimal | None
    catch_up: str
    change: str
    first_period: str
    category: str
    priority: int
    rank: int
    paid: bool
    grace_days: int
    price: str | None
    currency: str | None
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


class SubscriptionDates(Result, frozen=True, kw_only=True):
    """A subscription's own dates."""

    id: str
    plan: str
    billed_by: str
    started_at: datetime
    period_at: datetime | None
    """When the last period that was given began."""
    next_at: datetime
    """When the next one begins."""
    renewed_at: datetime | None
    expires_at: datetime | None
    canceled_at: datetime | None
    ended_at: datetime | None
    pending_plan: str | None = None
    """The plan that comes with the next renewal; None: its own."""


class Subscription(SubscriptionDates, frozen=True, kw_only=True):
    """An account's subscription as it stands."""

    account: str
    due: bool
    """Its next period may be given now."""
    reason: str | None
    """Why not: `not_due`, `subscription_expired` or `subscription_ended`."""
    days: int | None
    """Until it is due, begun ones included."""


class SubscriptionChanged(Done, frozen=True, kw_only=True):
    """A subscription after an act."""

    subscription: SubscriptionDates
    given: Decimal
    """What the period gave."""
    grant: str | None
    written_off: Decimal


class Renewal(Result, frozen=True, kw_only=True):
    """A period that was given."""

    account: str
    subscription: str
    plan: str
    given: Decimal
    balance_before: Decimal
    balance: Decimal
    period_at: datetime
    next_at: datetime
    entry: str | None
    """None in a dry run."""


class RenewalError(Result, frozen=True, kw_only=True):
    """An account that could not be renewed."""

    account: str
    code: str
    detail: str


class RenewalsDone(Result, frozen=True, kw_only=True):
    """What came of renewing what was due, counted by accounts."""

    processed: int
    successful: int
    failed: int
    skipped: int
    ended: int
    renewals: list[Renewal]
    errors: list[RenewalError]
    more: bool
    """It stopped at its limit, or at a failure, before all was done."""
    dry_run: bool = False
