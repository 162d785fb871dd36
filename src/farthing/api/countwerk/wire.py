"""The bodies of the CountWerk dialect, as they are on the wire and in its documentation.

A request's type says what is documented; it is read by `lenient` twins of these, whose fields may all be missing or of
any type, because the contract has a code of its own for most of what can be wrong.
"""

from typing import Annotated, Any, Final, Generic, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import fields

from ..bodies import TEXT, WORDS, Metadata

T = TypeVar("T")

MAX_ACCOUNT: Final = 255
MAX_EVENT: Final = 200
MAX_DESCRIPTION: Final = 1_000
MAX_MINUTES: Final = 43_200
DEFAULT_MINUTES: Final = 60
MAX_LIMIT: Final = 500
DEFAULT_LIMIT: Final = 50
OPERATION: Final = r"^[a-z0-9._-]{3,64}$"

_NUMBER: Final = {"type": "number"}
AccountId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ACCOUNT,
        pattern=TEXT,
        description=f"Your own stable id of whose credits they are; at most {MAX_ACCOUNT} bytes.",
    ),
]
Operation = Annotated[str, Meta(pattern=OPERATION, description="What the credits are for, such as `chat.message`.")]
Amount = Annotated[
    Any,
    Meta(
        description="Credits, above zero. More decimals than the workspace has are rounded half-even.",
        extra_json_schema={**_NUMBER, "exclusiveMinimum": 0},
    ),
]
ActualAmount = Annotated[
    Any,
    Meta(
        description="What the work cost; the reserved amount when left out. Less frees the rest.",
        extra_json_schema={**_NUMBER, "minimum": 0},
    ),
]
EventId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_EVENT,
        pattern=TEXT,
        description="A stable key, one for each logical usage: repeating it answers the same and charges nothing.",
    ),
]
Description = Annotated[
    str, Meta(max_length=MAX_DESCRIPTION, pattern=WORDS, description="Words for people, without NUL.")
]
ReservationId = Annotated[
    str, Meta(min_length=1, max_length=MAX_EVENT, pattern=TEXT, description="As `reserve` gave it.")
]
Minutes = Annotated[int, Meta(ge=1, le=MAX_MINUTES, description="After these it frees itself.")]
Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="How many to give at most.")]
Cursor = Annotated[str, Meta(description="`nextCursor` of the page before; without it the newest.")]
SourceId = Annotated[str, Meta(min_length=1, max_length=MAX_EVENT, pattern=TEXT)]
KnownId = Annotated[
    str, Meta(max_length=MAX_EVENT, pattern=TEXT.replace("+", "*"), description="An empty one counts as left out.")
]
TransactionId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_EVENT,
        pattern=TEXT,
        description="The payment's own id: it is credited once, however often and by whatever way it is told.",
    ),
]

Credits = Annotated[Any, Meta(description="Credits, exact.", extra_json_schema=_NUMBER)]
WhenItCounts = Annotated[
    str,
    Meta(
        description="When a change of tier counts.",
        extra_json_schema={"enum": ["immediate", "end_of_period", "unknown"]},
    ),
]
Time = Annotated[str, Meta(description="UTC, with milliseconds.", extra_json_schema={"format": "date-time"})]


# Requests


class BalanceRequest(Struct):
    """Whose balance."""

    account_id: AccountId


class DeductRequest(Struct):
    """A charge."""

    account_id: AccountId
    operation: Operation
    amount: Amount
    usage_event_id: EventId
    description: Description | None = None
    metadata: Metadata | None = None


class ReserveRequest(Struct):
    """A reservation."""

    account_id: AccountId
    operation: Operation
    amount: Amount
    validityMinutes: Minutes | None = DEFAULT_MINUTES
    description: Description | None = None


class ConfirmRequest(Struct):
    """The end of a reservation whose work was done."""

    reservationId: ReservationId
    actualAmount: ActualAmount | None = None
    description: Description | None = None


class CancelRequest(Struct):
    """The end of a reservation whose work was not done."""

    reservationId: ReservationId
    reason: Description | None = None


class Source(Struct):
    """The purchase that credits come from."""

    productId: SourceId
    orderId: SourceId
    transactionId: TransactionId


class AddRequest(Struct):
    """Credits for a purchase."""

    account_id: AccountId
    amount: Amount
    source: Source
    description: Description | None = None


class TransactionsRequest(Struct):
    """Whose history, and which page of it."""

    account_id: AccountId
    limit: Limit | None = DEFAULT_LIMIT
    cursor: Cursor | None = None


class ResolveOrderRequest(Struct):
    """Which order."""

    order_id: SourceId


class PurchaseLinksRequest(Struct):
    """What of, and for whom; what the account has now is found out where it is not said."""

    ai_product_id: SourceId
    account_id: AccountId
    current_tier_product_id: KnownId | None = None
    current_order_id: KnownId | None = None
    buyer_email: KnownId | None = None


# Answers


class Balance(Struct):
    """What an account has."""

    balance: Credits
    reservedBalance: Credits
    availableBalance: Credits
    totalEarned: Credits
    totalSpent: Credits
    nextExpiration: Time | None


class Deducted(Struct, omit_defaults=True):
    """The charge, and the balance after it."""

    transactionId: str
    newBalance: Credits
    deductedAmount: Credits
    operation: str
    description: str | UnsetType = UNSET


class Reserved(Struct, omit_defaults=True):
    """The reservation."""

    reservationId: str
    operation: str
    amount: Credits
    expiresAt: Time
    description: str | UnsetType = UNSET


class Confirmed(Struct, omit_defaults=True):
    """What was taken."""

    reservationId: str
    confirmed: bool
    actualAmount: Credits
    description: str | UnsetType = UNSET


class Cancelled(Struct, omit_defaults=True):
    """Nothing was taken."""

    reservationId: str
    cancelled: bool
    reason: str | UnsetType = UNSET


class Added(Struct):
    """The grant, and the balance after it."""

    transactionId: str
    newBalance: Credits
    addedAmount: Credits


class Transaction(Struct):
    """A line of the history that moved the balance."""

    id: str
    type: str
    amount: Credits
    balanceAfter: Credits
    operation: str | None
    description: str | None
    metadata: Annotated[Any, Meta(extra_json_schema={"type": ["object", "null"]})]
    createdAt: Time


class Transactions(Struct):
    """A page of the history, newest first."""

    transactions: list[Transaction]
    nextCursor: str | None


class ResolvedOrder(Struct):
    """Whose an order is."""

    order_id: str
    account_id: str
    ai_product_id: str


class PurchaseOption(Struct):
    """Something to buy."""

    type: Annotated[str, Meta(extra_json_schema={"enum": ["topup", "upgrade", "downgrade", "manage"]})]
    linkMode: Annotated[str, Meta(extra_json_schema={"enum": ["create_buy_url", "ds_upgrade_url"]})]
    effectiveAtPolicy: WhenItCounts
    expectedPolicy: WhenItCounts
    enabled: bool
    disabledReason: Annotated[str | None, Meta(description="A code; null when it is enabled.")]
    toProductId: str | None
    fromProductId: str | None
    url: Annotated[str | None, Meta(description="Made by the provider for this account; null when it is disabled.")]
    label: str
    description: str


class PurchaseLinks(Struct):
    """What an account may buy: upgrades by rank, then downgrades by rank, then top-ups, the most credits first."""

    ai_product_id: str
    account_id: str
    current_order_id: str | None
    current_tier_product_id: str | None
    options: list[PurchaseOption]


class Success(Struct, Generic[T]):
    """The envelope of every answer."""

    success: Annotated[bool, Meta(extra_json_schema={"const": True})]
    data: T
    timestamp: Time


class Failure(Struct, omit_defaults=True):
    """The envelope of every error."""

    success: Annotated[bool, Meta(extra_json_schema={"const": False})]
    code: str
    message: str
    timestamp: Time
    data: dict[str, Any] | UnsetType = UNSET


def required(documented: type[Struct]) -> tuple[str, ...]:
    """Names of the fields that can't be left out."""
    return tuple(f.name for f in fields(documented) if f.required)
