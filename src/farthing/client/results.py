"""Results: what calls on accounts, grants, charges, holds and entries give back; `forms` says what all have.

A little over 400 lines: a class for each thing that there is, and its fields.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec import field

from .forms import Done, GrantLeft, Price, Result, ScopedCredits, Tagged, Used

# Accounts


class Balance(Result, frozen=True, kw_only=True):
    """What an account can spend; or could, at an instant."""

    account: str
    balance: Decimal
    """Live grants less debt, held credits included."""
    unscoped: Decimal
    held: Decimal
    debt: Decimal
    available: Decimal
    """What a request of the operation, service, model and product that were asked for may take now."""
    scoped: list[ScopedCredits]
    next_expiration: datetime | None
    level: str = ""
    """How near its end the balance is: `fine`, `low`, `critical` or `depleted`."""
    low: Decimal | None = None
    """Below it this balance is low; by the account's own setting, or the workspace's."""
    critical: Decimal | None = None
    """Below it this balance is critical."""
    at: datetime | None = None
    """The instant that was asked for."""
    grants: list[GrantLeft] = field(default_factory=list)
    """Those that were live at that instant."""


class AccountSettings(Tagged, frozen=True, kw_only=True):
    """What is set on an account."""

    allowance: Decimal
    """Overdraft: how far below its grants it may spend."""
    frozen: bool
    spend_limit_day: Decimal | None
    spend_limit_month: Decimal | None
    timezone: str
    balance_low: Decimal | None = None
    """Below it the balance counts as low; None: as the workspace says."""
    balance_critical: Decimal | None = None


class AccountSettingsChanged(Done, frozen=True, kw_only=True):
    """Settings after a change."""

    settings: AccountSettings
    etag: str


class Account(Result, frozen=True, kw_only=True):
    """An account and what it has."""

    id: str
    balance: Decimal
    unscoped: Decimal
    held: Decimal
    debt: Decimal
    available: Decimal
    scoped: list[ScopedCredits]
    earned: Decimal
    spent: Decimal
    lapsed: Decimal
    written_off: Decimal
    grants: int
    holds: int
    next_expiration: datetime | None
    entries: int
    updated_at: datetime
    settings: AccountSettings


class Opened(Done, frozen=True, kw_only=True):
    """An account that was made."""


class Adjustment(Done, frozen=True, kw_only=True):
    """What an administrator corrected."""

    id: str
    amount: Decimal
    """The change of the balance."""
    grant: str | None
    written_off: Decimal
    owed: Decimal


# Grants


class Grant(Done, frozen=True, kw_only=True):
    """A grant as it was given."""

    id: str
    amount: Decimal
    category: str
    priority: int
    expires_at: datetime | None
    scope: list[str]
    source: dict[str, str] | None
    repaid: Decimal
    """What of it went to repay debt at once."""


class Granted(Result, frozen=True, kw_only=True):
    """What came of one of many grants; true where it was given."""

    account: str
    status: str
    """`granted`, `refused`, `failed` (nothing was done), or `unknown` (the same batch finds out)."""
    grant: Grant | None = None
    error: Exception | None = None
    """What a single grant would have raised."""

    def __bool__(self) -> bool:
        return self.status == "granted"


class Voided(Done, frozen=True, kw_only=True):
    """What was taken back of a grant."""

    id: str
    written_off: Decimal
    owed: Decimal


class GrantNow(Result, frozen=True, kw_only=True):
    """A grant as it stands now."""

    id: str
    account: str
    state: str
    amount: Decimal
    remaining: Decimal
    held: Decimal
    spent: Decimal
    gone: Decimal
    category: str
    priority: int
    expires_at: datetime | None
    scope: list[str]
    source: dict[str, str] | None
    origin: str | None
    created_at: datetime


# Charges


class Part(Result, frozen=True, kw_only=True):
    """What one grant paid."""

    grant: str
    amount: Decimal


class Charge(Done, frozen=True, kw_only=True):
    """A charge as it was made."""

    id: str
    amount: Decimal
    unpaid: Decimal
    """What shortfall `take` could not take."""
    operation: str | None
    grants: list[Part]
    """What each grant paid, in burn order; the rest is debt."""
    debt: Decimal
    usage: Used | None
    price: Price | None
    """How the usage came to its price; None where the amount was given."""
    status: str = field(default="charged", name="~status")
    """`charged`; or, where the ledger could not be reached, what `on_unavailable` says: `queued` in the journal, or
    `allowed`, and never charged. Then nothing was taken yet, and the amounts of `after` are not known: they are NaN.
    Or `guest`, for an account that is never charged."""


class Return(Result, frozen=True, kw_only=True):
    """What came back of one charge, to one grant."""

    charge: str
    grant: str | None
    amount: Decimal


class Refund(Done, frozen=True, kw_only=True):
    """What was given back."""

    id: str
    charge: str | None
    amount: Decimal
    returned: list[Return]


class Paid(Part, frozen=True, kw_only=True):
    """What one grant paid, and got back."""

    refunded: Decimal


class PaidFrom(Paid, frozen=True, kw_only=True):
    """The same, with the terms of the grant."""

    category: str
    priority: int
    scope: list[str]
    expires_at: datetime | None
    source: dict[str, str] | None
    created_at: datetime


class CardInForce(Result, frozen=True, kw_only=True):
    """The version of the rate card by which a usage was priced."""

    name: str
    effective_from: datetime
    reason: str | None
    actor: str
    created_at: datetime


class GivenBack(Result, frozen=True, kw_only=True):
    """A refund of a charge."""

    entry: str
    amount: Decimal
    actor: str
    description: str | None
    created_at: datetime


class ChargeFacts(Result, frozen=True, kw_only=True):
    """What there is to say of a charge since it was made."""

    id: str
    account: str
    amount: Decimal
    refunded: Decimal
    refundable: Decimal
    debt: Decimal
    unpaid: Decimal
    operation: str | None
    hold: str | None
    usage: Used | None
    price: Price | None
    balance_before: Decimal
    balance_after: Decimal
    key: str | None
    """That it was made under, with the prefix of the way it came."""
    actor: str
    request_id: str
    description: str | None
    metadata: dict[str, Any] | None
    created_at: datetime


class ChargeNow(ChargeFacts, frozen=True, kw_only=True):
    """A charge as it stands now."""

    grants: list[Paid]


class ChargeExplained(ChargeFacts, frozen=True, kw_only=True):
    """A charge with all that led to it, and what became of it."""

    rounded: Decimal | None
    card: CardInForce | None
    grants: list[PaidFrom]
    refunds: list[GivenBack]
    hold_metadata: dict[str, Any] | None = None
    """Where its hold has expired: what was said of that, up to the last report."""


# Holds


class Hold(Done, frozen=True, kw_only=True):
    """A hold as it was placed."""

    id: str
    amount: Decimal
    operation: str | None
    service: str | None
    model: str | None
    product: str | None
    state: str
    on_expiry: str
    expires_at: datetime
    usage: Used | None
    price: Price | None
    status: str = field(default="placed", name="~status")
    """`placed`; or `guest`, for an account that is never charged: then nothing is set aside."""


class Extended(Done, frozen=True, kw_only=True):
    """What was changed of a hold; None is what stayed."""

    id: str
    raised_by: Decimal
    expires_at: datetime | None
    metered: Decimal | None


class Released(Done, frozen=True, kw_only=True):
    """A hold that has ended without a charge."""

    id: str
    released: Decimal
    state: str


class Settled(Done, frozen=True, kw_only=True):
    """What was taken of a hold; `charge` is for refunds."""

    id: str
    charge: str
    state: str
    amount: Decimal
    unpaid: Decimal
    released: Decimal
    operation: str | None
    grants: list[Part]
    debt: Decimal
    usage: Used | None
    price: Price | None
    status: str = field(default="charged", name="~status")
    """As that of a charge."""


class HoldNow(Result, frozen=True, kw_only=True):
    """A hold as it stands now."""

    id: str
    account: str
    state: str
    amount: Decimal
    remaining: Decimal
    settled: Decimal
    metered: Decimal
    on_expiry: str
    operation: str | None
    service: str | None
    model: str | None
    product: str | None
    grants: list[Part]
    expires_at: datetime
    created_at: datetime


# Entries


class GrantSlice(Result, frozen=True, kw_only=True):
    """What an entry did to one grant."""

    grant: str
    amount: Decimal
    held: Decimal


class EntrySubscription(Result, frozen=True, kw_only=True):
    """A subscription as an entry left it."""

    id: str
    plan: str
    period_at: datetime | None
    next_at: datetime
    pending_plan: str | None = None
    """The plan that comes with the next renewal."""


class Entry(Result, frozen=True, kw_only=True):
    """One line of the ledger."""

    id: str
    account: str
    number: int
    kind: str
    amount: Decimal
    """Change of the balance."""
    balance: Decimal
    """After it."""
    held: Decimal
    debt: Decimal
    created_at: datetime
    operation: str | None
    description: str | None
    metadata: dict[str, Any] | None
    key: str | None
    actor: str
    request_id: str | None
    ref: str | None
    slices: list[GrantSlice]
    grants: list[str]
    subscription: EntrySubscription | None = None
    """The account's subscription after it, where it changed that."""
    unpaid: Decimal
    hash: str
