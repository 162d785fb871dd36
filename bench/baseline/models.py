"""Owns the shapes of the baseline's requests and answers, as pydantic models."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PlainSerializer, StringConstraints

MICRO = 1_000_000

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Operation = Annotated[str, StringConstraints(min_length=3, max_length=64, pattern=r"^[a-z0-9._-]+$")]
Amount = Annotated[Decimal, Field(gt=0, lt=Decimal(10) ** 12, allow_inf_nan=False)]


def to_micro(amount: Decimal) -> int:
    """Micro-credits, rounded half-even where the caller gave more than six decimals."""
    return int((amount * MICRO).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def as_json_number(micro: int) -> int | float:
    """Credits as a JSON number: 900 and not 900.0 when they are whole."""
    whole, rest = divmod(micro, MICRO)
    return float(Decimal(micro) / MICRO) if rest else whole


Credits = Annotated[int, PlainSerializer(as_json_number)]


class DeductRequest(BaseModel):
    """Body of /api/credits/deduct."""

    account_id: Identifier
    operation: Operation
    amount: Amount
    usage_event_id: Identifier
    description: str | None = Field(default=None, max_length=1000)
    metadata: dict[str, Any] | None = None


class DeductData(BaseModel):
    """What a deduct answers; amounts are micro-credits until they are written out."""

    transactionId: str
    newBalance: Credits
    deductedAmount: Credits
    operation: str
    description: str | None = None


class Source(BaseModel):
    """The purchase that credits come from."""

    productId: Identifier
    orderId: Identifier
    transactionId: Identifier


class AddRequest(BaseModel):
    """Body of /api/credits/add."""

    account_id: Identifier
    amount: Amount
    source: Source
    description: str | None = Field(default=None, max_length=1000)


class AddData(BaseModel):
    """What an add answers."""

    transactionId: str
    newBalance: Credits
    addedAmount: Credits


class BalanceRequest(BaseModel):
    """Body of /api/credits/balance."""

    account_id: Identifier


class BalanceData(BaseModel):
    """What a balance answers; the baseline knows no holds."""

    balance: Credits
    reservedBalance: Credits
    availableBalance: Credits
    totalEarned: Credits
    totalSpent: Credits
    nextExpiration: str | None


def timestamp(at: datetime | None = None) -> str:
    """ISO 8601 in UTC with milliseconds and a Z."""
    return (at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class _Success(BaseModel):
    success: Literal[True] = True
    timestamp: str = Field(default_factory=timestamp)


class DeductAnswer(_Success):
    """The envelope around a deduct's data."""

    data: DeductData


class AddAnswer(_Success):
    """The envelope around an add's data."""

    data: AddData


class BalanceAnswer(_Success):
    """The envelope around a balance's data."""

    data: BalanceData
