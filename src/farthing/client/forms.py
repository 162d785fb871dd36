"""The form of results: what all have, what those of writes have, and the parts that several are made of.

Amounts are `Decimal`, times are `datetime` in UTC; what a newer server says beside that stays in `extra`. Words such as
a state are plain text, since there may be new ones.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

from msgspec import Struct, field

T = TypeVar("T")


class Result(Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """What every result has."""

    extra: dict[str, Any] = field(default_factory=dict, name="~extra")
    """Fields of the answer that this version does not know."""


class Written(Result, frozen=True, kw_only=True):
    """What the answer to every write has."""

    key: str = field(default="", name="~key")
    """The idempotency key that it was done under."""
    replayed: bool = field(default=False, name="~replayed")
    """It had been done before; this was the answer then."""
    dry_run: bool = False
    """Nothing was kept: this is what would come of it."""


class Tagged(Written, frozen=True, kw_only=True):
    """What can be changed only as long as it is as it was read."""

    etag: str = field(default="", name="~etag")
    """For `if_match` of the change."""


class Page(Result, Generic[T], frozen=True, kw_only=True):
    """A page of a listing."""

    data: list[T]
    has_more: bool
    next_cursor: str | None


class After(Result, frozen=True, kw_only=True):
    """The account after an entry."""

    balance: Decimal
    """Live grants less debt, held credits included."""
    scoped: Decimal
    """The part of it in grants with a scope."""
    held: Decimal
    debt: Decimal


class Done(Written, frozen=True, kw_only=True):
    """What the answer to every command has."""

    account: str
    entry: str
    """The entry that it wrote."""
    after: After
    description: str | None
    metadata: dict[str, Any] | None
    created_at: datetime


# Accounts


class ScopedCredits(Result, frozen=True, kw_only=True):
    """Credits that only some requests may take."""

    scope: list[str]
    available: Decimal


class GrantLeft(Result, frozen=True, kw_only=True):
    """A grant, and what was left of it."""

    id: str
    remaining: Decimal
    held: Decimal
    category: str
    priority: int
    scope: list[str]
    expires_at: datetime | None
    created_at: datetime


# Usage and prices


class Used(Result, frozen=True, kw_only=True):
    """What was used, as it was sent."""

    provider: str | None
    model: str | None
    service: str | None
    operation: str | None
    product: str | None
    chat: str | None
    dimensions: dict[str, Decimal]
    attributes: dict[str, str]
    at: datetime | None


class Line(Result, frozen=True, kw_only=True):
    """A line of a price."""

    kind: str
    amount: Decimal
    dimension: str | None
    quantity: Decimal | None
    price: Decimal | None
    """For `per` of the dimension, in `currency`."""
    per: int | None
    currency: str | None
    """None: the workspace's unit."""
    rate: Decimal | None
    rule: str | None
    source: str | None
    note: str | None


class Price(Result, frozen=True, kw_only=True):
    """How a usage came to its price."""

    exact: Decimal
    """Before rounding."""
    card: str | None
    provider: str | None
    model: str | None
    """What the model's id was taken for."""
    cost: Decimal | None
    """What the provider asks for it, where that is known."""
    unpriced: bool
    """Nobody knew a price: recorded, and nothing charged."""
    lines: list[Line]
