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
    NotPriced,
    RefundTooLarge,
    SpendLimit,
    TooMany,
)
from farthing.client.guests import GUEST
from farthing.client.results import Entry

PAGE: Final = 20
USER_NOT_FOUND: Final = "User not found"
NO_COST: Final = "Operation type does not have a cost"
REFUND: Final = "refund"
RESET: Final = "monthly_reset"
CHARGED: Final = "charged"
NOT_OF_USER: Final = "There is no such charge of this user"
LARGEST_PAGE: Final = 200
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
    """None, and so the next, as long as there are no plans."""
    last_renewal_at: datetime | None = None


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
    if isinstance(error, InsufficientCredits):
        return f"Insufficient tokens. Required: {cost_of(error.required)}, Available: {whole(error.available)}"
    return error.detail


def entry_of(entry: Entry) -> TokenEntry:
    """An entry as the token service shows it. Its balances are rounded down, and its amount is their difference, so
    that they always go together."""
    before, after = whole(entry.balance - entry.amount), whole(entry.balance)
    return TokenEntry(
        id=entry.id, user_id=entry.account, operation_type=type_of(entry), tokens_amount=after - before,
        balance_before=before, balance_after=after, created_at=entry.created_at, metadata=entry.metadata,
    )  # fmt: skip


def type_of(entry: Entry) -> str:
    """The operation that an entry was made for. Entries that are no charge keep it in their description."""
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
