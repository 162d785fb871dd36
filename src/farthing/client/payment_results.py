"""Results of payments: what came in from outside, and what providers have sent."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from .forms import Result, Written


class Payment(Written, frozen=True, kw_only=True):
    """A payment. Money is decimal text in the currency's main unit."""

    provider: str
    payment: str
    """The provider's own id."""
    state: str
    """credited or waiting."""
    account: str | None
    """None: nobody knows whose it is."""
    amount: str | None
    """None: it was credited by hand, or only a refund of it is known."""
    currency: str | None
    refunded: str | None
    lost: bool
    disputed: bool
    credits: Decimal | None
    """That it gave; None: its entry is archived."""
    taken: Decimal
    """That were taken back with the money."""
    reason: str | None
    """Why it waits."""
    message: str | None
    """The same in a sentence."""
    order: str | None
    offer: str | None
    quantity: int
    renewal: bool
    test: bool
    grant: str | None
    entry: str | None
    """The entry that credited it."""
    created_at: datetime


class ProviderEvent(Result, frozen=True, kw_only=True):
    """What a provider has sent."""

    provider: str
    id: str
    type: str
    """In the provider's word."""
    state: str
    """done, unmatched or open."""
    outcome: str | None
    times: int
    """How often it came."""
    received_at: datetime
    done_at: datetime | None


class WholeProviderEvent(ProviderEvent, frozen=True, kw_only=True):
    """The same with what it says."""

    body: dict[str, Any]


class EventRetried(Written, frozen=True, kw_only=True):
    """What came of a message that was tried again."""

    provider: str
    id: str
    outcome: str
