"""Results of quotes, prices, rate cards and settings; as `results` has those of the ledger."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec import field

from .forms import Price, Result, Tagged, Used, Written
from .results import Charge

# Quotes


class Afforded(Result, frozen=True, kw_only=True):
    """What an amount means for an account."""

    amount: Decimal
    """What a charge for it would take."""
    affordable: bool | None
    """Whether that charge would be accepted; None: no account was named."""
    refusal: str | None
    deficit: Decimal | None


class Quote(Afforded, frozen=True, kw_only=True):
    """The price of a usage, or of an amount who could pay it."""

    account: str | None
    available: Decimal | None
    priced_at: datetime
    usage: Used | None
    """None where an amount was asked for, and nothing said of what is used."""
    price: Price | None
    """None where the amount was given."""


class Guess(Afforded, frozen=True, kw_only=True):
    """One end of a range, or what is expected."""

    completion_tokens: int
    price: Price


class Estimate(Result, frozen=True, kw_only=True):
    """What a call will probably cost."""

    account: str | None
    available: Decimal | None
    priced_at: datetime
    prompt_tokens: int
    counted: bool
    """False: the prompt was counted roughly, from its text."""
    completion_from: str
    """Who says how long the answer will be: `given` by the caller, `history`, or by `default`."""
    low: Guess
    expected: Guess
    high: Guess


class Affordable(Result, frozen=True, kw_only=True):
    """Whether an account can pay for something; true or false by itself."""

    affordable: bool
    cost: Decimal
    available: Decimal
    deficit: Decimal
    """What is missing."""
    refusal: str | None
    """Why a charge would be refused."""

    def __bool__(self) -> bool:
        return self.affordable


class BulkResult(Result, frozen=True, kw_only=True):
    """What came of one of many charges."""

    index: int
    status: str
    """`charged`, `refused`, `failed` (nothing was done), or `unknown` (the same key finds out); or, by
    `on_unavailable`, `queued` or `allowed`; or `guest`, for an account that is never charged."""
    replayed: bool = False
    charge: Charge | None = None
    problem: dict[str, Any] | None = None
    key: str = field(default="", name="~key")
    """The idempotency key of the charge."""
    error: Exception | None = field(default=None, name="~error")
    """What a single charge would have raised."""


class BulkDone(Result, frozen=True, kw_only=True):
    """What came of each."""

    results: list[BulkResult]
    dry_run: bool = False


# Rate cards


class CardVersion(Tagged, frozen=True, kw_only=True):
    """A version of a rate card."""

    card: str
    version: int
    name: str
    effective_from: datetime
    hash: str
    created_at: datetime
    actor: str
    reason: str
    withdrawn_at: datetime | None


class CardVersionLine(CardVersion, frozen=True, kw_only=True):
    """A version in a listing."""

    state: str


class CardVersionView(CardVersionLine, frozen=True, kw_only=True):
    """A version with its document."""

    document: dict[str, Any]


class CardLine(Result, frozen=True, kw_only=True):
    """A rate card in a listing."""

    card: str
    prices_usage: bool
    versions: int
    in_force: int | None
    next_at: datetime | None


class Card(Tagged, frozen=True, kw_only=True):
    """A rate card as it stands."""

    card: str
    prices_usage: bool
    last_version: int
    in_force: CardVersionView | None
    scheduled: list[CardVersionLine]


# Prices of models


class Step(Result, frozen=True, kw_only=True):
    """A step of a price."""

    from_: Decimal = field(name="from")
    price: Decimal


class DimensionPrice(Result, frozen=True, kw_only=True):
    """What one dimension costs; either `price` or `tiers`."""

    dimension: str
    price: Decimal | None
    per: int
    tiers: list[Step]
    tier_mode: str | None
    tier_by: str | None


class Variant(Result, frozen=True, kw_only=True):
    """Prices under special terms."""

    when: dict[str, str]
    prices: list[DimensionPrice]


class ModelPrice(Written, frozen=True, kw_only=True):
    """A version of what a model costs, as the catalogue has it."""

    provider: str
    model: str
    version: int
    status: str
    effective_from: datetime | None
    currency: str
    prices: list[DimensionPrice]
    variants: list[Variant]
    aliases: list[str]
    source: str
    source_version: str
    created_at: datetime
    actor: str
    reason: str


class WaitingPrice(ModelPrice, frozen=True, kw_only=True):
    """A price that waits for somebody to look at it."""

    current: list[DimensionPrice]
    """The prices in force, which it would replace."""


class CataloguePrice(ModelPrice, frozen=True, kw_only=True):
    """The same, as it concerns the workspace."""

    overridden: bool


class Term(DimensionPrice, frozen=True, kw_only=True):
    """A price that applies to a model in this workspace."""

    source: str
    reference: str
    rule: str | None
    currency: str | None
    rate: Decimal


class Resolved(Result, frozen=True, kw_only=True):
    """What a model's name is taken for, and what it costs here."""

    sent: str
    provider: str | None
    model: str | None
    candidates: list[str]
    priced: bool
    unknown_models: str
    card: str | None
    terms: list[Term]
    catalogue: ModelPrice | None


# The workspace


class Workspace(Result, frozen=True, kw_only=True):
    """The workspace, and what it counts in."""

    id: str
    name: str
    mode: str
    unit: str
    scale: int


class WorkspaceSettings(Tagged, frozen=True, kw_only=True):
    """Settings of the workspace."""

    workspace: Workspace
    refund_lapsed: str
    refund_grace_days: int
    hold_max_minutes: int
    max_live_grants: int
    max_live_holds: int
    rate_limit: int
    unknown_models: str
    usage_late_hours: int
    usage_ahead_seconds: int
    usage_record_charges: bool
    session_minutes: int
    users_may_charge: bool
    retention_days: int
    login: str
    signup: str
    login_host: str
    balance_low: Decimal
    """Below it a balance counts as low, unless its account says otherwise."""
    balance_critical: Decimal
    expiring_days: int
    """How many days before its end a grant is told of."""
    metering: str = ""
    """How metered calls of models are held for and settled, as JSON; empty: as usual."""
