"""Results of usage and of reports; as `results` has those of the ledger."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from msgspec import UNSET, UnsetType, field

from .forms import Result

# Usage


class UsageRow(Result, frozen=True, kw_only=True):
    """A usage."""

    id: str
    """Of its charge."""
    account: str
    at: datetime
    booked_at: datetime
    provider: str | None
    model: str | None
    model_sent: str | None
    service: str | None
    operation: str | None
    chat: str | None
    dimensions: dict[str, Decimal]
    input_tokens: int
    output_tokens: int
    tokens: int
    amount: Decimal
    cost: Decimal | None
    margin: Decimal | None
    unpriced: bool
    card: str | None
    key: str | None
    description: str | None
    metadata: dict[str, Any] | None


class UsedFigures(Result, frozen=True, kw_only=True):
    """Sums of usage."""

    requests: int
    input_tokens: int
    output_tokens: int
    tokens: int
    unpriced: int
    uncosted: int
    charged: Decimal
    cost: Decimal
    margin: Decimal
    margin_percent: Decimal | None


class ModelUsage(UsedFigures, frozen=True, kw_only=True):
    """Those of a model."""

    provider: str | None
    model: str | None


class ServiceUsage(UsedFigures, frozen=True, kw_only=True):
    """Those of a service."""

    service: str | None


class OperationUsage(UsedFigures, frozen=True, kw_only=True):
    """Those of an operation."""

    operation: str | None


class DayUsage(UsedFigures, frozen=True, kw_only=True):
    """Those of a day."""

    day: date


class UsageStats(UsedFigures, frozen=True, kw_only=True):
    """Usage in all, and by what it was for."""

    average: Decimal
    timezone: str
    models: list[ModelUsage]
    services: list[ServiceUsage]
    operations: list[OperationUsage]
    days: list[DayUsage]


# Reports


class Booked(Result, frozen=True, kw_only=True):
    """What came in, and what it cost."""

    revenue: Decimal
    refunded: Decimal
    cost: Decimal
    margin: Decimal
    margin_percent: Decimal | None
    charges: int
    requests: int
    input_tokens: int
    output_tokens: int
    tokens: int
    unpriced: int
    uncosted: int


class BookedAt(Booked, frozen=True, kw_only=True):
    """That of an hour, a day or a month."""

    period: str
    start: datetime
    end: datetime


class BookedByModel(Booked, frozen=True, kw_only=True):
    """That of a model."""

    provider: str | None
    model: str | None


class BookedByAccount(Booked, frozen=True, kw_only=True):
    """That of an account."""

    account: str


class BookedBy(Booked, frozen=True, kw_only=True):
    """That of one service, operation, provider, model or account; the names that it does not go by are UNSET."""

    account: str | UnsetType = UNSET
    service: str | UnsetType | None = UNSET
    operation: str | UnsetType | None = UNSET
    provider: str | UnsetType | None = UNSET
    model: str | UnsetType | None = UNSET


class BookedAtBy(BookedAt, frozen=True, kw_only=True):
    """That of an hour, a day or a month, by what it was for."""

    parts: list[BookedBy]
    others: Booked


class Report(Result, frozen=True, kw_only=True):
    """What every report says."""

    from_: datetime = field(name="from")
    to: datetime
    timezone: str
    unit: str
    total: Booked


class RevenueReport(Report, frozen=True, kw_only=True):
    """Revenue over time."""

    step: str
    data: list[BookedAt]


class ModelReport(Report, frozen=True, kw_only=True):
    """Revenue by model."""

    data: list[BookedByModel]


class AccountReport(Report, frozen=True, kw_only=True):
    """Revenue by account."""

    data: list[BookedByAccount]


class SpendReport(Report, frozen=True, kw_only=True):
    """Spending over time by what it was for."""

    by: str
    step: str
    totals: list[BookedBy]
    data: list[BookedAtBy]
