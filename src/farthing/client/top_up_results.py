"""Results: automatic top-ups, and what they have bought."""

from datetime import datetime
from decimal import Decimal

from .forms import Done, Result, Written


class AutoTopUpSettings(Result, frozen=True, kw_only=True):
    """What is set for an account."""

    provider: str
    threshold: Decimal
    offer: str | None
    amount: Decimal | None
    cap_day: Decimal | None
    cap_month: Decimal | None
    enabled: bool
    order: str | None
    cool_down_minutes: int


class TopUpAttempt(Result, frozen=True, kw_only=True):
    """One purchase, or the try of it."""

    id: str
    state: str
    """asking, pending, waiting, done or unconfirmed; of declined, authentication_required and failed nothing was
    charged."""
    provider: str
    offer: str | None
    quantity: int
    credits: Decimal
    amount: str | None
    """What it costs in all; None: the provider's own price."""
    currency: str | None
    payment: str | None
    reason: str | None
    message: str | None
    url: str | None
    """Where the customer can pay himself."""
    created_at: datetime
    ended_at: datetime | None


class AutoTopUp(Result, frozen=True, kw_only=True):
    """How an account's automatic top-up stands."""

    account: str
    state: str
    """off, frozen, ready, in_flight, cooling_down, held_back (by a cap) or paused."""
    settings: AutoTopUpSettings | None
    paused: str | None
    """Why it waits for somebody: failures, authentication_required, unconfirmed or payment_waiting."""
    url: str | None
    failures: int
    retry_at: datetime | None
    attempt: TopUpAttempt | None
    """The one that is under way."""


class PausedTopUp(Result, frozen=True, kw_only=True):
    """An automatic top-up that waits for somebody."""

    account: str
    paused: str
    """Why: failures, authentication_required, unconfirmed or payment_waiting."""
    paused_at: datetime
    url: str | None
    """Where the customer can pay, or say yes."""


class AutoTopUpChecked(AutoTopUp, frozen=True, kw_only=True):
    """How it stands after a look at the account."""

    asked: bool
    """The provider was asked for money just now."""
    reason: str | None
    """Why it was not, such as `enough` or `in_flight`."""


class AutoTopUpChanged(Done, frozen=True, kw_only=True):
    """What is set, after a change."""

    auto_top_up: AutoTopUpSettings | None


class AutoTopUpResumed(Written, frozen=True, kw_only=True):
    """A pause that is over."""

    account: str
    state: str
