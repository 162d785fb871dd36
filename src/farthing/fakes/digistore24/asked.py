"""What the control of the stand-in takes; a field that it does not know is refused."""

from decimal import Decimal
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

Event = Literal[
    "eticket", "custom_form", "on_affiliation", "on_payment_missed", "payment_denial", "on_rebill_cancelled",
    "on_rebill_resumed", "last_paid_day",
]  # fmt: skip
"""What can be told without anything having happened."""


class Forward(Struct, forbid_unknown_fields=True):
    """How far the clock is put."""

    seconds: float = 0
    days: float = 0


class NewProduct(Struct, forbid_unknown_fields=True):
    """A product."""

    id: str
    name: str
    price: Decimal = Decimal("49.00")
    currency: str = "EUR"


class NewUpgrade(Struct, forbid_unknown_fields=True):
    """A way to another product."""

    to_product_id: str
    types: dict[str, Literal["upgrade", "downgrade", "special_offer"]]
    name: str = "Upgrade"


class NewKey(Struct, forbid_unknown_fields=True):
    """An API key, or other rights for one."""

    key: str
    permission: Literal["writable", "readonly"] = "writable"
    billing_on_demand: bool = True


class Upsell(Struct, forbid_unknown_fields=True):
    """A further item of an order."""

    product_id: str
    amount: Decimal


class Purchase(Struct, forbid_unknown_fields=True):
    """Somebody buys; with a link, what the link says counts."""

    link: str = ""
    product_id: str = ""
    amount: Decimal | None = None
    other_amount: Decimal | None = None
    currency: str = "EUR"
    installments: int = 1
    interval: str = "1_month"
    quantity: int = 1
    custom: str = ""
    email: str = "buyer@example.com"
    country: str = "DE"
    pay_method: str = "creditcard"
    test: bool = False
    force_rebilling: bool = False
    upsells: list[Upsell] = []
    declined: bool = False


class GiveBack(Struct, forbid_unknown_fields=True):
    """Of which payment (the last one, without), and how much (all that is left)."""

    transaction_id: str = ""
    amount: Decimal | None = None


class Card(Struct, forbid_unknown_fields=True):
    """What further payments of an order come to."""

    behaviour: Literal["ok", "declined", "pending"]
    times: int | None = None
    """Of declined ones: how many, until the card is good again."""


class HabitChange(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What happens to messages on their way from now on."""

    hold: bool | UnsetType = UNSET
    duplicate: float | UnsetType = UNSET
    lose_answer: float | UnsetType = UNSET
    delay: float | UnsetType = UNSET
    delay_seconds: float | UnsetType = UNSET
    upper_keys: bool | UnsetType = UNSET
    upper_names: bool | UnsetType = UNSET
    refunds_without_custom: bool | UnsetType = UNSET
    refunds_by_number: bool | UnsetType = UNSET
    signup_event: bool | UnsetType = UNSET
    seed: int | UnsetType = UNSET


class RuleChange(Struct, forbid_unknown_fields=True):
    """What is switched from now on."""

    https_only: bool | UnsetType = UNSET
    open_products: bool | UnsetType = UNSET
    http_errors: bool | UnsetType = UNSET


class WeatherChange(Struct, forbid_unknown_fields=True):
    """What happens to calls from now on; `Weather` says what each means."""

    mode: Literal["fine", "down", "html", "rate_limited", "error", "slow", "cut", "lost_answer"] = "fine"
    times: int | None = None
    function: str = ""
    code: int = 0
    message: str = "An unknown error."
    status: int = 200
    seconds: float = 1.0


class Release(Struct, forbid_unknown_fields=True):
    """Held messages go out: these (all, without), in that order."""

    ids: list[str] = []
    order: Literal["in_order", "reversed", "shuffled"] = "in_order"
    seed: int = 24


class Tell(Struct, forbid_unknown_fields=True):
    """A message without a cause."""

    event: Event


def given(change: Struct) -> dict[str, Any]:
    """What of a change was said."""
    return {name: value for name, value in asdict(change).items() if value is not UNSET}
