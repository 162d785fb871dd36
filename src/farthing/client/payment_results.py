"""Results of payments: what came in from outside, and what providers have sent."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

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


class ReconciledSums(Result, frozen=True, kw_only=True):
    """What a range comes to in one currency; money is decimal text."""

    payments: int
    paid_there: str
    paid_here: str
    returned_there: str
    returned_here: str
    agree: bool
    credits: Decimal
    """That were given for them."""
    taken: Decimal
    """That were taken back."""


class Difference(Result, frozen=True, kw_only=True):
    """Something that differs."""

    kind: str
    payment: str | None
    order: str | None
    account: str | None
    there: str | None
    here: str | None
    message: str
    grants: list[str]


class PaymentElsewhere(Result, frozen=True, kw_only=True):
    """A payment there that is no business of this workspace's."""

    payment: str
    order: str | None
    at: datetime
    amount: str
    currency: str
    mark: str | None
    """The workspace that it was made for; None: it bears no mark of ours."""


class Reconciled(Result, frozen=True, kw_only=True):
    """A provider's books beside our own."""

    provider: str
    from_: datetime = msgspec.field(name="from")
    to: datetime
    """Not included."""
    agrees: bool
    payments: int
    """That the provider has."""
    receipts: int
    """That were told of here."""
    by_hand: int
    others: int
    tests: int
    totals: dict[str, ReconciledSums]
    """By currency."""
    found: dict[str, int]
    """How many differences of each kind."""
    findings: list[Difference]
    """The first thousand of them."""
    elsewhere: list[PaymentElsewhere]
    """The first hundred of the others."""


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
