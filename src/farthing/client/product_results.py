"""Results: what is sold, and how the workspace speaks with providers of payments."""

from datetime import datetime
from decimal import Decimal

from .forms import Result, Written


class Sold(Result, frozen=True, kw_only=True):
    """What tiers and top-ups have in common."""

    id: str
    name: str | None
    price: str | None
    currency: str | None
    sold_as: dict[str, str]
    """The product of each provider that is this."""
    description: str | None


class Tier(Sold, frozen=True, kw_only=True):
    """A plan as it is sold."""

    plan: str
    rank: int


class TopUp(Sold, frozen=True, kw_only=True):
    """Credits as they are sold."""

    credits: Decimal
    category: str
    priority: int
    expires_days: int | None


class Product(Written, frozen=True, kw_only=True):
    """What customers have one tier of, and buy top-ups for."""

    id: str
    name: str | None
    tiers: list[Tier]
    top_ups: list[TopUp]
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


class SecretHint(Result, frozen=True, kw_only=True):
    """A secret that is set; never the secret itself."""

    reference: str | None
    """Where it is read when it is used: `env:NAME` or `file:/path`."""
    hint: str | None
    """The last characters of one that is not short."""


class Provider(Written, frozen=True, kw_only=True):
    """How a provider of payments is spoken with; None is not set, or not of this provider."""

    id: str
    api_key: SecretHint | None
    base_url: str | None
    passphrase: SecretHint | None = None
    merchant_id: str | None = None
    product_ids: list[str] | None = None
    ipn_domain_id: str | None = None
    thankyou_url: str | None = None
    fallback_url: str | None = None
    upgrade_error_url: str | None = None
    webhook_secrets: list[SecretHint] | None = None
    success_url: str | None = None
    cancel_url: str | None = None
    return_url: str | None = None
    created_at: datetime
    updated_at: datetime


class Link(Result, frozen=True, kw_only=True):
    """Something to buy, and where."""

    type: str
    """upgrade, downgrade, topup or manage."""
    offer: str | None
    label: str
    description: str | None
    enabled: bool
    disabled_reason: str | None
    url: str | None
    """Made for this account; never keep it."""
    mode: str
    effective: str
    """When a change of tier counts: immediate, end_of_period or unknown."""
    to_product: str | None
    from_product: str | None


class PurchaseLinks(Result, frozen=True, kw_only=True):
    """What an account may buy of a product."""

    account: str
    product: str
    provider: str
    tier: str | None
    """The present one."""
    order: str | None
    links: list[Link]


class Checkout(Result, frozen=True, kw_only=True):
    """Where an offer is bought."""

    account: str
    offer: str
    provider: str
    url: str


class Purchase(Result, frozen=True, kw_only=True):
    """A top-up that was bought without the buyer, as far as anybody knows what became of it."""

    account: str
    offer: str
    provider: str
    state: str
    """succeeded, pending, declined, authentication_required (the buyer has to say yes, at `url`) or failed."""
    payment: str | None
    url: str | None
    """Where the buyer can pay himself."""
    reason: str | None
    message: str | None
    again: bool
    """Whether the same key may go well later."""


class Portal(Result, frozen=True, kw_only=True):
    """Where a customer manages what he has; it works for some minutes."""

    account: str
    url: str


class PaymentMethod(Written, frozen=True, kw_only=True):
    """What an account has left to be charged again."""

    id: str
    type: str
    """In the provider's word: card, sepa_debit."""
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    charged: bool
    """It is what a purchase without the buyer takes."""


class MethodForgotten(Written, frozen=True, kw_only=True):
    """A payment method that is never charged again."""

    account: str
    id: str


class OrderLine(Written, frozen=True, kw_only=True):
    """Something that was bought."""

    provider: str
    id: str
    account: str | None
    """None while nobody knows whose it is."""
    offer: str | None
    product: str | None
    state: str
    bought_at: datetime
    test: bool


class Receipt(Result, frozen=True, kw_only=True):
    """A payment of an order."""

    payment: str
    amount: str | None
    currency: str | None
    at: datetime
    state: str
    """waiting or credited."""
    reason: str | None
    """Why it waits."""
    credits: Decimal
    taken: Decimal
    entry: str | None


class Order(OrderLine, frozen=True, kw_only=True):
    """Something that was bought, with its payments."""

    payments: list[Receipt]
