"""What is asked of Digistore24: links to buy by, payment plans, connections. Amounts are Decimals in major units."""

from decimal import Decimal
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict

MOST_CUSTOM: Final = 63
"""Characters of our own that come back with every notification of an order."""
EVENTS: Final = "payment,refund,chargeback,payment_missed,payment_denial,rebill_cancelled,rebill_resumed,last_paid_day"
"""All transactions that notifications are sent for; by default Digistore24 tells of four."""


class PaymentPlan(Struct, frozen=True, omit_defaults=True):
    """What is paid, and when. The price always goes along: what a product costs there does not count."""

    first_amount: Decimal | None = None
    other_amounts: Decimal | None = None
    currency: str | None = None
    number_of_installments: int | None = None
    """1 pays once; 0 is a subscription."""
    first_billing_interval: str | None = None
    """Such as 1_month."""
    other_billing_intervals: str | None = None
    test_interval: str | None = None
    template: str | None = None
    upgrade_order_id: str | None = None
    upgrade_type: str | None = None
    """upgrade or downgrade."""


class BuyerData(Struct, frozen=True):
    """What is known of who buys."""

    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    country: str | None = None
    readonly_keys: str | None = None
    """What he may not change: all, email, email_and_name or none."""


class Urls(Struct, frozen=True):
    """Where he comes to afterwards. Only public https addresses are taken."""

    thankyou_url: str | None = None
    fallback_url: str | None = None
    upgrade_error_url: str | None = None


class Checkout(Struct, frozen=True):
    """A link to buy by."""

    product_id: str
    payment_plan: PaymentPlan | None = None
    custom: str | None = None
    buyer: BuyerData | None = None
    urls: Urls | None = None
    valid_until: str | None = None
    """Such as 24h (what it is without), or forever."""
    force_rebilling: bool = False
    """So that the order can be charged again on demand."""
    settings: dict[str, Any] | None = None
    placeholders: dict[str, str] | None = None
    addons: list[dict[str, Any]] | None = None

    def fields(self) -> dict[str, Any]:
        """The fields of the call."""
        settings = dict(self.settings or {}) | ({"force_rebilling": True} if self.force_rebilling else {})
        return {
            "product_id": self.product_id,
            "buyer": _inner(self.buyer),
            "payment_plan": _inner(self.payment_plan),
            "tracking": {"custom": checked_custom(self.custom)},
            "valid_until": self.valid_until,
            "urls": _inner(self.urls),
            "settings": settings,
            "placeholders": self.placeholders,
            "addons": self.addons,
        }


class Charge(Struct, frozen=True):
    """A charge on an earlier order, whose id `purchase_id` is."""

    purchase_id: str
    product_id: str
    payment_plan: PaymentPlan
    custom: str | None = None
    quantity: int | None = None
    voucher_code: str | None = None

    def fields(self) -> dict[str, Any]:
        """The fields of the call."""
        return {
            "purchase_id": self.purchase_id,
            "product_id": self.product_id,
            "payment_plan": _inner(self.payment_plan),
            "tracking": {"custom": checked_custom(self.custom)},
            "settings": {"quantity": self.quantity, "voucher_code": self.voucher_code},
        }


class ConnectionPlan(Struct, frozen=True):
    """Where notifications shall go. A connection of the same `domain_id` is changed: it is one per installation."""

    ipn_url: str
    domain_id: str
    name: str
    sha_passphrase: str = "random"  # noqa: S105 - Digistore24 chooses one then
    product_ids: str = "all"
    categories: str = "orders"
    transactions: str = EVENTS
    timing: str = "before_thankyou"
    newsletter_send_policy: str | None = None

    def fields(self) -> dict[str, Any]:
        """The fields of the call."""
        return asdict(self)

    def __repr__(self) -> str:
        return f"ConnectionPlan({self.ipn_url!r}, domain_id={self.domain_id!r})"


class Search(Struct, frozen=True):
    """Which orders or transactions; a time is such as 2026-08-18 08:41:48, -3d, now or start."""

    since: str = "-24h"
    until: str = "now"
    search: dict[str, str] | None = None
    """Such as {"purchase_id": "A1B2C3D4"}."""
    page_size: int = 500

    def fields(self, page: int) -> dict[str, Any]:
        """The fields of the call for a page."""
        return {
            "from": self.since, "to": self.until, "search": self.search, "sort_by": "date", "sort_order": "asc",
            "page_no": page, "page_size": self.page_size,
        }  # fmt: skip


LAST_DAY: Final = Search()


def checked_custom(text: str | None) -> str | None:
    """Our own words for an order; more than Digistore24 keeps would come back cut, and be somebody else's."""
    if text is not None and len(text) > MOST_CUSTOM:
        raise ValueError(f"custom must have at most {MOST_CUSTOM} characters")
    return text


def _inner(given: Struct | None) -> dict[str, Any] | None:
    return None if given is None else asdict(given)
