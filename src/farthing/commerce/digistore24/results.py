"""What Digistore24 answers, as far as Farthing needs it; fields that are not named here are ignored.

Amounts are exact decimals in major units. Times are the text that came: Digistore24 tells its own, without a zone.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import fields

T = TypeVar("T")


class BuyUrl(Struct, frozen=True):
    """A link by which somebody buys."""

    id: str
    url: str
    valid_until: str = ""
    upgrade_status: str = "none"
    """none, ok or error."""


class Buyer(Struct, frozen=True):
    """Who has bought."""

    id: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""


class Transaction(Struct, frozen=True):
    """Money that moved: one item of an order, paid or given back."""

    id: str
    purchase_id: str
    amount: Decimal
    currency: str
    created_at: str = ""
    pay_method: str = ""
    type: str = ""
    transaction_type: str = ""
    buyer: Buyer = Buyer()

    @property
    def kind(self) -> str:
        """payment, refund, chargeback or refund_request: an order and a list name it differently."""
        return self.transaction_type or self.type


class Item(Struct, frozen=True):
    """What was bought."""

    id: str
    product_id: str
    quantity: int = 1
    no: int = 1
    product_name: str = ""


class Purchase(Struct, frozen=True):
    """An order; its id is what notifications call order_id."""

    id: str
    amount: Decimal
    currency: str
    created_at: str = ""
    number_of_installments: int = 1
    other_amounts: Decimal | None = None
    billing_type: str = ""
    """single_payment, subscription or installment."""
    billing_status: str = ""
    """paying, completed, aborted, unpaid or reminding."""
    next_payment_at: str = ""
    renew_url: str = ""
    receipt_url: str = ""
    invoice_url: str = ""
    transaction_list: tuple[Transaction, ...] = ()
    items: tuple[Item, ...] = ()
    buyer: Buyer = Buyer()


class Upgrade(Struct, frozen=True):
    """A way from some products to another one."""

    id: str
    to_product_id: str
    upgrade_url: str
    """With ORDER_ID in place of the orders."""
    name: str = ""
    authkey: str = ""
    is_active: bool = False
    fallback_product_id: str = ""
    upgrade_types: dict[str, str] = {}
    """By the product that one has: upgrade, downgrade or special_offer."""


class UpgradeCheck(Struct, frozen=True):
    """Whether some orders can go that way."""

    is_upgrade_possible: bool = False
    is_one_click_payment_possible: bool = False
    possible_upgrade_type: str = ""


class UpgradeOffer(Struct, frozen=True):
    """An upgrade, checked for orders where some were named."""

    item: Upgrade
    check: UpgradeCheck | None = None


class NewPurchase(Struct, frozen=True):
    """The order that an upgrade has made."""

    id: str
    billing_status: str = ""
    paid_amount: Decimal | None = None
    next_payment_at: str = ""
    next_amount: Decimal | None = None
    currency: str = ""


class UpgradeInfo(Struct, frozen=True):
    """What became of the order before it."""

    upgrade_type: str = ""
    upgrade_amount_left: Decimal | None = None
    upgrade_amount_total: Decimal | None = None
    upgraded_purchase_id: str = ""


class UpgradePurchase(Struct, frozen=True):
    """An upgrade that was made without the buyer's doing."""

    new_purchase: NewPurchase
    upgrade_info: UpgradeInfo = UpgradeInfo()


class Billed(Struct, frozen=True):
    """A charge on an earlier order. Credits follow the notification, never this answer."""

    created_purchase_id: str = ""
    payment_status: str = ""
    """completed, pending, uncertain, refused or error."""
    payment_status_msg: str = ""
    billing_status: str = ""
    billing_status_msg: str = ""
    paid_amount: Decimal | None = None
    currency: str = ""
    pay_url: str = ""


class Rebilling(Struct, frozen=True):
    """Whether an order goes on being paid."""

    modified: bool = False
    note: str = ""
    code: str = ""
    """stopped_now, stopped_later or stopped_manual_rebilling."""
    billing_status: str = ""
    next_payment_at: str = ""
    rebilling_active: bool = False
    is_cancelled_now: bool = False
    is_cancelled_later: bool = False
    can_cancel_before: str = ""


class Refund(Struct, frozen=True):
    """What became of a refund that was asked for."""

    status: str = ""
    """completed, refused, pending or error."""
    modified: bool = False
    note: str = ""
    pending_reason: str = ""
    pending_until: str = ""
    error_reason: str = ""
    """refund_completed, refund_pending or unknown."""
    processed_at: str = ""


class Connection(Struct, frozen=True):
    """Where notifications go: as it was set up, or what came of setting it up."""

    ipn_url: str = ""
    name: str = ""
    product_ids: str = ""
    domain_id: str = ""
    categories: str = ""
    transactions: str = ""
    timing: str = ""
    ipn_id: str = ""
    created: bool = False
    updated: bool = False
    sha_passphrase: str = ""
    """Only where Digistore24 was asked to choose one."""

    def __repr__(self) -> str:
        return f"Connection({self.ipn_url!r}, domain_id={self.domain_id!r}, transactions={self.transactions!r})"


class Product(Struct, frozen=True):
    """What is sold."""

    id: str
    name: str = ""
    language: str = ""
    tag: str = ""
    product_group_id: str = ""
    product_group_name: str = ""


# Reading


class NoAnswer(Exception):
    """A text that is no answer of this API."""


class Envelope(Struct, frozen=True):
    """How every answer is wrapped."""

    result: str
    data: Any = None
    message: str = ""
    code: int | None = None


def read_envelope(raw: bytes) -> Envelope:
    """The envelope of an answer; raises `NoAnswer` for whatever else came."""
    try:
        # Numbers are read by their digits: an amount may be one.
        found = json.loads(raw, parse_float=Decimal)
        return msgspec.convert(_shaped(found, Envelope), Envelope, strict=False)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise NoAnswer("it is not what this API answers") from error


def read_data(data: Any, kind: type[T]) -> T:
    """What an envelope has in it; raises `NoAnswer` where what is needed is missing."""
    try:
        return msgspec.convert(_shaped(data, kind), kind, strict=False)
    except msgspec.ValidationError as error:
        raise NoAnswer(f"its answer can't be read: {error}") from error


def _shaped(value: Any, kind: Any) -> Any:
    """Make of PHP's values what a type asks for: ids may be numbers, truth is Y or N, what is missing may be empty,
    a list may come with its places as names, and an object without fields as a list."""
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (each for each in get_args(kind) if each is not type(None))
    origin = get_origin(kind)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _struct(value, kind)
    if origin is tuple and isinstance(value, dict | list):
        inner = get_args(kind)[0]
        return [_shaped(each, inner) for each in (value.values() if isinstance(value, dict) else value)]
    if origin is dict and isinstance(value, dict):
        inner = get_args(kind)[1]
        return {name: _shaped(each, inner) for name, each in value.items()}
    if origin is dict and value == []:
        return {}
    if kind is bool:
        return str(value).upper() in ("Y", "1", "TRUE")
    if kind is str:
        return str(value) if isinstance(value, int | Decimal) else value
    return value


def _struct(value: Any, kind: type[Struct]) -> Any:
    if not isinstance(value, Mapping):
        return {} if value == [] else value
    given = ((field, value.get(field.encode_name)) for field in fields(kind))
    return {field.encode_name: _shaped(each, field.type) for field, each in given if each not in (None, "")}
