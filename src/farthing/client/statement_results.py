"""Results: statements of accounts."""

from datetime import datetime
from decimal import Decimal

from msgspec import field

from .forms import Result


class StatementEdge(Result, frozen=True, kw_only=True):
    """What an account had at an edge of a period."""

    balance: Decimal
    held: Decimal
    debt: Decimal


class KindSum(Result, frozen=True, kw_only=True):
    """All entries of a kind in a period."""

    kind: str
    entries: int
    amount: Decimal


class StatementLine(Result, frozen=True, kw_only=True):
    """An entry of a period."""

    number: int
    at: datetime
    kind: str
    amount: Decimal
    """Change of the balance."""
    balance: Decimal
    """After it."""
    held: Decimal
    debt: Decimal
    operation: str | None
    description: str | None
    key: str | None
    ref: str | None
    id: str | None
    """None where time has done it, and it is not booked yet."""


class Statement(Result, frozen=True, kw_only=True):
    """A period of an account: opening and the amounts of all lines come to the closing."""

    account: str
    unit: str
    from_: datetime = field(name="from")
    to: datetime
    """Not included."""
    timezone: str
    complete: bool
    """The period is over."""
    as_of: datetime
    """When the closing stood: at the period's end, or when it was read."""
    opening: StatementEdge
    closing: StatementEdge
    totals: list[KindSum] | None
    lines: list[StatementLine] = field(name="data")
    has_more: bool
    next_cursor: str | None
