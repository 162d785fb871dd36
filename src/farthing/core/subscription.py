"""Subscriptions as they are kept: what an account's row, and each entry that changed it, tell of one."""

from typing import Final, Literal

from msgspec import Struct

BilledBy = Literal["none", "stripe", "digistore24"]
PeriodUnit = Literal["days", "months"]
NOBODY: Final[BilledBy] = "none"


class Period(Struct, frozen=True, omit_defaults=True):
    """How long periods are: so many days of 24 hours, or months of the calendar there."""

    every: int
    unit: PeriodUnit = "days"
    timezone: str = "UTC"


class Pending(Struct, frozen=True, omit_defaults=True):
    """Another plan, which comes with the next renewal."""

    plan: str
    billed_by: BilledBy = NOBODY
    """Who bills the subscription until then; nobody's payment is waited for where the plan that comes is not paid."""


class Subscription(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An account's subscription. Its period is that of its plan when it was bought: a plan that is changed moves no
    date of those who have it."""

    id: str
    plan: str
    period: Period
    anchor_at: int
    """Periods are counted from here; a purchase or a change of plan restarts it."""
    periods: int = 0
    """The number of the next period, counted from the anchor's own, 0."""
    period_at: int | None = None
    """When the last that was given began."""
    next_at: int
    """When the next one begins."""
    expires_at: int | None = None
    """Until when it is paid."""
    ends_at: int | None = None
    """When it ends unless it is paid again: what is billed by a provider has some days of grace."""
    billed_by: BilledBy = NOBODY
    started_at: int
    renewed_at: int | None = None
    renewed_for: int | None = None
    """The period that was asked for then: the key of that renewal has it."""
    canceled_at: int | None = None
    """When somebody said that it is to end with the time that is paid."""
    ended_at: int | None = None
    grants: tuple[str, ...] = ()
    """Its grants that had credits left when it last changed, oldest first."""
    pending: Pending | None = None
    order: str = ""
    """The purchase by which it runs, by its provider's name of it: what becomes of others is nothing to it."""
    until_canceled: bool = False
    """It had no date until which it is paid; the one that it has came with its cancellation."""

    @property
    def plans(self) -> set[str]:
        """Those that a command on it may have to know."""
        return {self.plan} if self.pending is None else {self.plan, self.pending.plan}


class SubscriptionRow(Struct, frozen=True):
    """A subscription that changed; its row, written in the commit of the entry that tells it."""

    workspace: str
    account: str
    bucket: int
    subscription: Subscription


def seen_mark(s: Subscription | None) -> str:
    """What tells a subscription as it was read from one that has moved on."""
    return "" if s is None or s.ended_at is not None else f"{s.id}:{s.plan}:{s.next_at}"


def renewal_key(subscription: str, period_at: int) -> str:
    """The key under which a period is given, whoever asks: once, by the constraint on keys."""
    return f"renew:{subscription}:{period_at}"


def end_key(subscription: str) -> str:
    """The key under which time ends a subscription."""
    return f"job:end:{subscription}"
