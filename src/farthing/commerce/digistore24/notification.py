"""Notifications of Digistore24: from the body that came to what it says. Nothing is judged here: whether product,
amount, currency and mode are right, whose order it is, and what follows.

One comes for each item of an order and each time that something becomes of it, again and again until it is answered by
`ANSWER`, and in any order. It says nothing of when it was sent: that it is new is found out by what it is about.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final, get_args
from urllib.parse import parse_qsl

from msgspec import Struct
from msgspec.structs import fields as fields_of

from .signature import is_signed

ANSWER: Final = b"OK"
"""How an answer has to begin, with status 200, for a notification not to come again."""
MOST_FIELDS: Final = 1_000
MOST_BYTES: Final = 200_000


class BadNotification(Exception):
    """A body that can't be read: it is none of Digistore24's."""

    status = 400


class BadSignature(Exception):
    """A body that nobody has signed who knows the passphrase."""

    status = 403


class Event(StrEnum):
    """What notifications are about."""

    CONNECTION_TEST = "connection_test"
    PAYMENT = "on_payment"
    SIGNUP = "on_payment_subscription_signup"
    REFUND = "on_refund"
    CHARGEBACK = "on_chargeback"
    PAYMENT_MISSED = "on_payment_missed"
    PAYMENT_DENIED = "payment_denial"
    REBILL_CANCELLED = "on_rebill_cancelled"
    REBILL_RESUMED = "on_rebill_resumed"
    LAST_PAID_DAY = "last_paid_day"
    ETICKET = "eticket"
    CUSTOM_FORM = "custom_form"
    AFFILIATION = "on_affiliation"


_NUMBER: Final = re.compile(r"T([0-9]+)$")
_EVENTS: Final = {str(event): event for event in Event}


class Notification(Struct, frozen=True, kw_only=True):
    """What one says, as far as Farthing relies on it. What was empty or missing is empty here, or None.

    Times are Digistore24's own text; amounts are in major units, with whatever sign they came.
    """

    event: str
    api_mode: str = ""
    """live or test."""
    order_id: str = ""
    order_item_id: str = ""
    order_type: str = ""
    order_date_time: str = ""
    transaction_id: str = ""
    """Of this item and this time; empty where no money has moved."""
    parent_transaction_id: str = ""
    payment_id: str = ""
    """Such as PAYID-10-T3999937, by the number of all that was paid together."""
    transaction_type: str = ""
    """payment, refund or chargeback."""
    transaction_amount: Decimal | None = None
    transaction_vat_amount: str = ""
    transaction_currency: str = ""
    transaction_date: str = ""
    transaction_time: str = ""
    amount: Decimal | None = None
    amount_brutto: str = ""
    amount_netto: str = ""
    amount_vat: str = ""
    currency: str = ""
    vat_rate: str = ""
    product_id: str = ""
    product_name: str = ""
    quantity: int = 1
    upsell_no: int = 0
    item_count: int = 1
    billing_type: str = ""
    """single_payment, subscription or installment."""
    billing_status: str = ""
    billing_stop_reason: str = ""
    number_of_installments: int | None = None
    pay_sequence_no: int | None = None
    """0 on a single payment; of a subscription the first, second, ..."""
    pay_method: str = ""
    next_payment_at: str = ""
    first_amount: Decimal | None = None
    other_amounts: Decimal | None = None
    first_billing_interval: str = ""
    other_billing_intervals: str = ""
    custom: str = ""
    """Our own words, from the link that was bought by."""
    custom_key: str = ""
    email: str = ""
    buyer_email: str = ""
    buyer_id: str = ""
    country: str = ""
    language: str = ""
    merchant_id: str = ""
    merchant_name: str = ""
    ipn_config_id: str = ""
    ipn_config_domain_id: str = ""
    ipn_config_api_key_id: str = ""
    """The number before the secret of the API key that the connection was set up with."""
    ipn_config_product_ids: str = ""
    upgraded_order_id: str = ""
    upgrade_type: str = ""
    """upgrade, downgrade, special_offer, switch_plan or package_change."""
    delivery_date: str = ""
    """From when on an upgrade counts; empty is now."""
    receipt_url: str = ""
    invoice_url: str = ""
    renew_url: str = ""
    rebilling_stop_url: str = ""
    switch_pay_interval_url: str = ""
    request_refund_url: str = ""
    support_url: str = ""
    order_details_url: str = ""
    voucher_code: str = ""
    refund_days: str = ""

    @property
    def known(self) -> Event | None:
        """Which event it is; None where Digistore24 has thought of a new one."""
        return _EVENTS.get(self.event)

    @property
    def moved(self) -> Decimal | None:
        """How much money moved, without a sign: whether it came or went is what `transaction_type` says."""
        told = self.amount if self.transaction_amount is None else self.transaction_amount
        return None if told is None else abs(told)

    @property
    def moved_currency(self) -> str:
        """What that is in."""
        return self.transaction_currency or self.currency

    @property
    def payment_number(self) -> str:
        """The number in `payment_id`; empty where it has none."""
        found = _NUMBER.search(self.payment_id)
        return found[1] if found else ""

    @property
    def is_test(self) -> bool:
        """Whether nobody has paid anything. What does not say that it is live is none of our money."""
        return self.api_mode != "live"


def signed_fields(body: bytes, passphrase: str) -> dict[str, str]:
    """The fields of a body that was signed with the passphrase; raises `BadNotification` and `BadSignature`."""
    found = read_fields(body)
    if not is_signed(found, passphrase):
        raise BadSignature("its signature is none of this passphrase" if passphrase else "no passphrase is set")
    return found


def read_fields(body: bytes) -> dict[str, str]:
    """The fields of a body as they came, empty ones too."""
    if len(body) > MOST_BYTES:
        raise BadNotification(f"it has more than {MOST_BYTES:,} bytes")
    try:
        text = body.decode("ascii")
        # Of a name that comes twice the last counts, as in PHP: for the signature as well as for what is read.
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise BadNotification(f"it is no form in UTF-8: {error}") from error


def notification_of(found: Mapping[str, str]) -> Notification:
    """What the fields say. Names may come upper-cased, as an option of the Digistore24 account has it."""
    lower = {name.lower(): text for name, text in found.items()} | dict(found)
    given = ((field, lower.get(field.name)) for field in fields_of(Notification))
    read: dict[str, Any] = {field.name: _read(field.name, text, field.type) for field, text in given if text}
    if "event" not in read:
        raise BadNotification("it has no event")
    return Notification(**read)


def _read(name: str, text: str, kind: Any) -> str | int | Decimal:
    try:
        if Decimal in (kinds := get_args(kind)):
            number = Decimal(text)
            if number.is_finite():
                return number
        elif kind is int or int in kinds:
            return int(text)
        else:
            return text
    except (InvalidOperation, ValueError):
        pass
    raise BadNotification(f"{name} is no number: {text[:50]!r}")
