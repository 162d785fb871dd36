"""The bodies of the accounting dialect, as they are on the wire and in its documentation: what several calls share, and
those of credits.

A request's type says what is documented; it is read by a lenient twin of it, whose fields may all be missing or of any
type, because the contract has its own sentences for what can be wrong.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct

from ..bodies import TEXT, WORDS
from .fields import DEFAULT_DAYS, MAX_DAYS, MAX_KEY, MAX_NOTES
from .pricing import MOST_TOKENS

TEXT_OR_NONE = TEXT.removesuffix("+$") + "*$"
"""An empty text is as good as none."""
Credits = Annotated[Any, Meta(description="Credits, exact.", extra_json_schema={"type": "number"})]
PositiveCredits = Annotated[
    Any,
    Meta(
        description="Credits, above zero. More decimals than the workspace has are rounded half-even.",
        extra_json_schema={"type": "number", "exclusiveMinimum": 0},
    ),
]
CreditsOrZero = Annotated[
    Any,
    Meta(
        description="Credits, zero or above. More decimals than the workspace has are rounded half-even.",
        extra_json_schema={"type": "number", "minimum": 0},
    ),
]
Time = Annotated[str, Meta(description="UTC, with milliseconds.", extra_json_schema={"format": "date-time"})]
Key = Annotated[
    str,
    Meta(
        max_length=MAX_KEY,
        pattern=TEXT_OR_NONE,
        description="A stable key, one for each logical act: repeating it answers the same and does nothing again. It "
        "wins over the header `Idempotency-Key`.",
    ),
]
Who = Annotated[str, Meta(min_length=1, max_length=255, pattern=TEXT, description="A user: id, username or e-mail.")]
Days = Annotated[int, Meta(ge=1, le=MAX_DAYS, description="After these days the credits lapse.")]
Notes = Annotated[
    str, Meta(max_length=MAX_NOTES, pattern=WORDS, description="Words for people; kept in the ledger, without NUL.")
]
Tokens = Annotated[
    Any,
    Meta(description="How many tokens.", extra_json_schema={"type": "integer", "minimum": 0, "maximum": MOST_TOKENS}),
]


class Failure(Struct):
    """The body of every error."""

    message: str


# Requests


class CheckRequest(Struct):
    """What is needed."""

    requiredCredits: CreditsOrZero


class CalculateRequest(Struct):
    """What would be used."""

    modelId: Annotated[str, Meta(min_length=1, max_length=255, pattern=TEXT)]
    tokens: Tokens | None = None
    inputTokens: Tokens | None = None
    outputTokens: Tokens | None = None


class DeductRequest(Struct):
    """A charge."""

    credits: PositiveCredits
    operation: Annotated[str, Meta(max_length=255, pattern=TEXT_OR_NONE, description="What for.")] | None = None
    idempotencyKey: Key | None = None


class AllocateRequest(Struct):
    """Credits for a user."""

    userId: Who
    credits: PositiveCredits
    expiryDays: Days | None = DEFAULT_DAYS
    notes: Notes | None = None
    idempotencyKey: Key | None = None


class AllocateByEmailRequest(Struct):
    """Credits for whoever has that address."""

    email: Annotated[str, Meta(min_length=1, max_length=255, pattern=TEXT)]
    credits: PositiveCredits
    expiryDays: Days | None = DEFAULT_DAYS
    notes: Notes | None = None
    idempotencyKey: Key | None = None


class SetRequest(Struct):
    """What a user can spend from now on."""

    userId: Who
    credits: CreditsOrZero
    expiryDays: Days | None = DEFAULT_DAYS
    notes: Notes | None = None
    idempotencyKey: Key | None = None


class RemoveRequest(Struct):
    """What to take away from a user."""

    userId: Who
    credits: PositiveCredits
    notes: Notes | None = None
    idempotencyKey: Key | None = None


class AdjustRequest(Struct):
    """What to give or, below zero, to take away."""

    userId: Who
    adjustment: Annotated[
        Any,
        Meta(
            description="Not zero. More decimals than the workspace has are rounded half-even.",
            extra_json_schema={"type": "number", "not": {"const": 0}},
        ),
    ]
    expiryDays: Annotated[Days | None, Meta(description="Of what is given; below zero it says nothing.")] = DEFAULT_DAYS
    notes: Notes | None = None
    idempotencyKey: Key | None = None


# Answers


class Allocation(Struct):
    """A live grant."""

    id: str
    credits: Credits
    """What can be spent of it."""
    expiresAt: Time | None
    allocatedAt: Time


class Balance(Struct):
    """What can be spent, and out of which grants; soonest expiry first."""

    totalCredits: Credits
    activeAllocations: list[Allocation]


class TotalBalance(Struct):
    """What can be spent."""

    totalCredits: Credits


class Checked(Struct, omit_defaults=True):
    """Whether there is enough."""

    sufficient: bool
    credits: Credits
    requiredCredits: Credits
    message: str = ""


class Calculated(Struct):
    """What it would cost; both are the same."""

    credits: Credits
    requiredCredits: Credits


class Deducted(Struct):
    """What is left after a charge."""

    success: Annotated[bool, Meta(extra_json_schema={"const": True})]
    message: str
    remainingBalance: Credits


class Allocated(Struct):
    """A grant as it was given."""

    id: str
    userId: str
    totalCredits: Credits
    remainingCredits: Credits
    """Less than the total where it repaid debt at once."""
    expiresAt: Time | None


class AllocatedByEmail(Struct):
    """The same, with the address."""

    id: str
    userId: str
    email: str
    totalCredits: Credits
    remainingCredits: Credits
    expiresAt: Time | None


class SetTo(Struct):
    """What a user could spend before and after."""

    userId: str
    previousCredits: Credits
    newCredits: Credits
    message: str


class Removed(Struct):
    """The same, with what was taken away."""

    userId: str
    previousCredits: Credits
    newCredits: Credits
    removedCredits: Credits
    message: str


class Adjusted(Struct):
    """The same, with the difference that was asked for."""

    userId: str
    previousCredits: Credits
    newCredits: Credits
    adjustment: Credits
    message: str


class UserAccount(Struct):
    """Whose it is, for people."""

    username: str
    email: str | None


class AllocationLine(Struct):
    """A grant of the workspace."""

    id: str
    userId: str
    totalCredits: Credits
    remainingCredits: Credits
    """What can be spent of it."""
    allocatedBy: str | None
    """Who gave it; null where nobody did: a refund made it."""
    allocatedAt: Time
    expiresAt: Time | None
    notes: str | None
    UserAccount: UserAccount


class Allocations(Struct):
    """A page of all grants, newest first."""

    allocations: list[AllocationLine]
    nextCursor: str | None
