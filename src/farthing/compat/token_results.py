"""Results of the token service, and how they come from those of Farthing: pure, the same for both of its kinds."""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct

from farthing.client.errors import (
    AccountNotFound,
    ApiError,
    ChargeNotFound,
    Frozen,
    InsufficientCredits,
    NotDue,
    NotPriced,
    RefundTooLarge,
    SpendLimit,
    SubscriptionEnded,
    TooMany,
)
from farthing.client.guests import GUEST
from farthing.client.plan_results import RenewalsDone, Subscription, SubscriptionChanged
from farthing.client.results import Entry

PAGE: Final = 20
USER_NOT_FOUND: Final = "User not found"
NO_COST: Final = "Operation type does not have a cost"
REFUND: Final = "refund"
RESET: Final = "monthly_reset"
CHARGED: Final = "charged"
EXPIRED: Final = "Subscription expired"
NO_SUBSCRIPTION: Final = "No subscription"
DAILY: Final = "0 2 * * *"
"""When all who are due were renewed, as cron has it: daily, 02:00 UTC."""
_OF_PLANS: Final = {"renew": RESET, "subscribe": "purchase"}
NOT_OF_USER: Final = "There is no such charge of this user"
LARGEST_PAGE: Final = 200
LARGEST_RUN: Final = 1_000
REFUSALS: Final = (
    AccountNotFound, InsufficientCredits, NotPriced, ChargeNotFound, Frozen, RefundTooLarge, SpendLimit, TooMany
)  # fmt: skip
"""What is told in a result: the ledger has decided, and nothing was done. All other errors are raised."""


class TokenResult(Struct, frozen=True, kw_only=True):
    """What came of a change; true or false by itself."""

    success: bool
    new_balance: int
    """After it; where it failed, the balance as it is."""
    tokens_spent: int = 0
    """What the user has spent in all; refunds are not taken off."""
    ledger_entry_id: str | None = None
    error: str | None = None

    def __bool__(self) -> bool:
        return self.success


class TokenBalance(Struct, frozen=True, kw_only=True):
    """What a user has."""

    user_id: str
    tokens_balance: int
    tokens_spent: int
    tier: str | None = None
    """The plan that he has."""
    last_renewal_at: datetime | None = None


class Eligibility(Struct, frozen=True, kw_only=True):
    """Whether a user may be renewed now; true or false by itself."""

    user_id: str
    eligible: bool
    reason: str | None = None
    next_renewal_date: datetime | None = None
    days_until_renewal: int | None = None

    def __bool__(self) -> bool:
        return self.eligible


class UserRenewal(Struct, frozen=True, kw_only=True):
    """What a user's renewal gave; true or false by itself."""

    user_id: str
    success: bool
    tier: str | None = None
    tokens_added: int = 0
    new_balance: int = 0
    previous_balance: int = 0
    renewal_date: datetime | None = None
    error: str | None = None

    def __bool__(self) -> bool:
        return self.success


class RenewalFailure(Struct, frozen=True, kw_only=True):
    """A user who could not be renewed."""

    user_id: str
    error: str


class BatchRenewal(Struct, frozen=True, kw_only=True):
    """What renewing all who were due came to."""

    total_processed: int = 0
    successful: int = 0
    failed: int = 0
    skipped: int = 0
    renewals: tuple[UserRenewal, ...] = ()
    errors: tuple[RenewalFailure, ...] = ()


class CanAfford(Struct, frozen=True, kw_only=True):
    """Whether a user can pay for an operation; true or false by itself."""

    can_afford: bool
    balance: int
    cost: int
    deficit: int | None = None
    """What is missing, where something is."""

    def __bool__(self) -> bool:
        return self.can_afford


class TokenEntry(Struct, frozen=True, kw_only=True):
    """A change of a balance."""

    id: str
    user_id: str
    operation_type: str
    tokens_amount: int
    """Below zero where tokens were taken."""
    balance_before: int
    balance_after: int
    created_at: datetime
    metadata: dict[str, Any] | None


class TokenStatistics(Struct, frozen=True, kw_only=True):
    """Changes of a balance, summed up."""

    total_spent: int = 0
    total_earned: int = 0
    net_change: int = 0
    operation_count: int = 0


def not_charged(status: str) -> TokenResult:
    """What came of a debit by which nothing was taken: of a guest, who has nothing; or one that was let through while
    the ledger could not be reached, done for the caller though nobody knows the balance. Its `error` says so."""
    if status == GUEST:
        return TokenResult(success=True, new_balance=0)
    return TokenResult(success=True, new_balance=0, error=f"The ledger can't be reached; the debit was {status}")


def whole(amount: Decimal) -> int:
    """Whole tokens of an amount: what is less than one can't be spent here."""
    return math.floor(amount)


def cost_of(amount: Decimal) -> int:
    """Whole tokens that pay for an amount."""
    return math.ceil(amount)


def count_of(amount: int) -> int:
    """A number of tokens that a caller gave."""
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise TypeError(f"amount must be a whole number of tokens, not {amount!r}")
    return amount


def refusal_text(error: ApiError) -> str:
    """The old text of a refusal, or the ledger's own where the token service knew no such thing."""
    if isinstance(error, AccountNotFound):
        return USER_NOT_FOUND
    if isinstance(error, NotPriced):
        return NO_COST
    if isinstance(error, NotDue):
        return f"Next renewal in {error.days} days"
    if isinstance(error, SubscriptionEnded):
        return EXPIRED
    if isinstance(error, InsufficientCredits):
        return f"Insufficient tokens. Required: {cost_of(error.required)}, Available: {whole(error.available)}"
    return error.detail


def entry_of(entry: Entry) -> TokenEntry:
    """An entry as the token service shows it. Its balances are rounded down, and its amount is their difference, so
    that they always go together."""
    before, after = whole(entry.balance - entry.amount), whole(entry.balance)
    return TokenEntry(
        id=entry.id, user_id=entry.account, operation_type=type_of(entry), tokens_amount=after - before,
        balance_before=before, balance_after=after, created_at=entry.created_at, metadata=metadata_of(entry),
    )  # fmt: skip


def eligibility_of(user_id: str, s: Subscription) -> Eligibility:
    """Whether a subscription is due, in the old words."""
    if s.due:
        return Eligibility(user_id=user_id, eligible=True, next_renewal_date=s.next_at, days_until_renewal=0)
    over = s.reason != "not_due"
    reason = EXPIRED if over else f"Next renewal in {s.days} days"
    return Eligibility(
        user_id=user_id, eligible=False, reason=reason, next_renewal_date=None if over else s.next_at,
        days_until_renewal=None if over else s.days,
    )  # fmt: skip


def renewal_of(done: SubscriptionChanged) -> UserRenewal:
    """A user's renewal."""
    after = whole(done.after.balance)
    return UserRenewal(
        user_id=done.account, success=True, tier=done.subscription.plan, tokens_added=whole(done.given),
        new_balance=after, previous_balance=whole(done.after.balance - done.given + done.written_off),
        renewal_date=done.created_at,
    )  # fmt: skip


def with_part(so_far: BatchRenewal, part: RenewalsDone) -> BatchRenewal:
    """A batch with what one more call came to."""
    renewals = tuple(
        UserRenewal(
            user_id=r.account, success=True, tier=r.plan, tokens_added=whole(r.given), new_balance=whole(r.balance),
            previous_balance=whole(r.balance_before), renewal_date=r.period_at,
        )
        for r in part.renewals
    )  # fmt: skip
    return BatchRenewal(
        total_processed=so_far.total_processed + part.processed,
        successful=so_far.successful + part.successful,
        failed=so_far.failed + part.failed,
        skipped=so_far.skipped + part.skipped,
        renewals=so_far.renewals + renewals,
        errors=so_far.errors + tuple(RenewalFailure(user_id=e.account, error=e.detail) for e in part.errors),
    )


def metadata_of(entry: Entry) -> dict[str, Any] | None:
    """What an entry says of itself; of a renewal or a purchase also the tier."""
    if entry.subscription is None or entry.kind not in _OF_PLANS:
        return entry.metadata
    told = {"tier": entry.subscription.plan}
    if entry.kind == "renew":
        told["renewalType"] = "automatic" if entry.actor.startswith("system:") else "manual"
    return told | (entry.metadata or {})


def type_of(entry: Entry) -> str:
    """The operation that an entry was made for. Entries that are no charge keep it in their description."""
    if entry.kind in _OF_PLANS:
        return _OF_PLANS[entry.kind]
    return entry.operation or entry.description or entry.kind


def last_moment(end: datetime | None) -> datetime | None:
    """The end of a range that does not include it, for one that does."""
    return None if end is None else end + timedelta(microseconds=1)


def added_up(so_far: TokenStatistics, entry: TokenEntry) -> TokenStatistics:
    """The sums with one entry more."""
    amount = entry.tokens_amount
    return TokenStatistics(
        total_spent=so_far.total_spent + max(-amount, 0),
        total_earned=so_far.total_earned + max(amount, 0),
        net_change=so_far.net_change + amount,
        operation_count=so_far.operation_count + 1,
    )


def operation(metadata: Mapping[str, Any] | None, operation_type: str) -> dict[str, Any]:
    """What the entry of a credit says: the operation stands in its description, since only charges are for one."""
    return {"description": operation_type, "metadata": metadata}
