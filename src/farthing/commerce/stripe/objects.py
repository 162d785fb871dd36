"""What Farthing relies on of Stripe's objects, typed; all else is left out, and new statuses come through as text.

Stripe's references are ids or, where one asked for it, whole objects: here they are ids. Times are microseconds,
amounts are minor units of the currency beside them. Some things stood elsewhere in the past, and an endpoint may still
be told in the form of a past version of the API: they are looked for in both places.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

Json = dict[str, Any]
_REFERENCES: Final = (
    *("charge", "customer", "default_payment_method", "invoice", "latest_charge", "latest_invoice", "payment_intent"),
    *("payment_method", "product", "subscription"),
)
_TIMES: Final = (
    *("cancel_at", "canceled_at", "created", "current_period_end", "current_period_start", "ended_at", "expires_at"),
    *("next_payment_attempt", "period_end", "period_start", "trial_end"),
)
_AMOUNTS: Final = (
    *("amount", "amount_due", "amount_paid", "amount_received", "amount_refunded", "amount_remaining"),
    *("amount_subtotal", "amount_total", "total", "unit_amount"),
)


class Object(Struct, frozen=True, kw_only=True):
    """What all have."""

    id: str
    livemode: bool = False
    created_us: int = 0
    metadata: dict[str, str] = {}


class Session(Object, frozen=True, kw_only=True):
    """A checkout: a page on which somebody can pay."""

    mode: str
    payment_status: str
    """`paid`, `unpaid` or `no_payment_required`: only the first is money."""
    status: str | None = None
    url: str | None = None
    client_reference_id: str | None = None
    customer: str | None = None
    email: str | None = None
    payment_intent: str | None = None
    subscription: str | None = None
    invoice: str | None = None
    currency: str | None = None
    amount_total_minor: int | None = None
    amount_subtotal_minor: int | None = None
    """Without taxes and discounts."""
    expires_at_us: int | None = None


class Intent(Object, frozen=True, kw_only=True):
    """A payment, from the wish to the money."""

    status: str
    amount_minor: int
    currency: str
    amount_received_minor: int = 0
    customer: str | None = None
    payment_method: str | None = None
    latest_charge: str | None = None
    error_code: str = ""
    """Why the last try failed, in Stripe's words."""
    decline_code: str = ""


class Charge(Object, frozen=True, kw_only=True):
    """One taking of money for a payment."""

    status: str
    paid: bool
    amount_minor: int
    currency: str
    amount_refunded_minor: int
    """All refunds so far: it falls again where one fails."""
    refunded: bool = False
    disputed: bool = False
    payment_intent: str | None = None
    customer: str | None = None
    failure_code: str | None = None


class Refund(Object, frozen=True, kw_only=True):
    """Money that goes back. One that is `failed` or `canceled` never got there."""

    amount_minor: int
    currency: str
    status: str | None = None
    charge: str | None = None
    payment_intent: str | None = None
    reason: str | None = None
    failure_reason: str | None = None


class Dispute(Object, frozen=True, kw_only=True):
    """A payer who wants his money back from his bank. `warning_...` are inquiries: no money has moved."""

    status: str
    reason: str
    amount_minor: int
    currency: str
    charge: str
    payment_intent: str | None = None


class Invoice(Object, frozen=True, kw_only=True):
    """A bill; those of subscriptions say of which, with its metadata as they were."""

    currency: str
    amount_due_minor: int
    amount_paid_minor: int
    amount_remaining_minor: int
    total_minor: int
    status: str | None = None
    """`draft`, `open`, `paid`, `uncollectible` or `void`."""
    customer: str | None = None
    billing_reason: str | None = None
    """`subscription_create`, `subscription_cycle`, `subscription_update`, `manual` ..."""
    subscription: str | None = None
    subscription_metadata: dict[str, str] = {}
    payment_intents: list[str] = []
    """What paid it. Events of newer versions don't say: ask for the invoice, or wait for `invoice_payment.paid`."""
    lines: list["InvoiceLine"] = []
    next_payment_attempt_us: int | None = None


class InvoiceLine(Struct, frozen=True, kw_only=True):
    """What is billed."""

    amount_minor: int
    period_start_us: int
    period_end_us: int
    price: str | None = None
    product: str | None = None
    proration: bool = False
    quantity: int | None = None


class InvoicePayment(Object, frozen=True, kw_only=True):
    """That a payment paid an invoice."""

    invoice: str
    status: str
    currency: str
    amount_paid_minor: int | None = None
    payment_intent: str | None = None
    charge: str | None = None


class Subscription(Object, frozen=True, kw_only=True):
    """What is paid again and again."""

    status: str
    customer: str
    currency: str
    cancel_at_period_end: bool
    items: list["SubscriptionItem"]
    cancel_at_us: int | None = None
    canceled_at_us: int | None = None
    ended_at_us: int | None = None
    trial_end_us: int | None = None
    latest_invoice: str | None = None
    default_payment_method: str | None = None


class SubscriptionItem(Struct, frozen=True, kw_only=True):
    """What of a subscription has a price, and the period that runs."""

    id: str
    price: str
    product: str | None
    current_period_start_us: int
    current_period_end_us: int
    unit_amount_minor: int | None = None
    quantity: int | None = None


class Customer(Object, frozen=True, kw_only=True):
    """Who pays."""

    email: str | None = None
    name: str | None = None
    default_payment_method: str | None = None
    deleted: bool = False


class PaymentMethod(Object, frozen=True, kw_only=True):
    """By what somebody pays."""

    type: str
    customer: str | None = None
    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None


Read = TypeVar("Read", bound=Object)


class Unreadable(ValueError):
    """An object that lacks what Farthing relies on, or has it in another form."""


def read(kind: type[Read], data: Mapping[str, Any]) -> Read:
    """An object of Stripe's as one of ours."""
    try:
        return msgspec.convert(_LIFTS.get(kind, _flat)(data), kind)
    except (msgspec.ValidationError, TypeError, AttributeError, LookupError) as error:
        raise Unreadable(f"{data.get('object') or 'object'} {str(data.get('id'))[:80]}: {error}") from error


def id_of(value: Any) -> Any:
    """The id of a reference, whether it is one or the object itself."""
    return value.get("id") if isinstance(value, Mapping) else value


def _flat(data: Mapping[str, Any]) -> Json:
    """References as ids, times and amounts under names that say what they are counted in; what is empty left out."""
    flat = {name: value for name, value in data.items() if value is not None}
    flat.update({name: id_of(flat[name]) for name in _REFERENCES if name in flat})
    flat.update({f"{name}_us": flat[name] * 1_000_000 for name in _TIMES if name in flat})
    flat.update({f"{name}_minor": flat[name] for name in _AMOUNTS if name in flat})
    return flat


def _session(data: Mapping[str, Any]) -> Json:
    details = data.get("customer_details") or {}
    return _flat({**data, "email": details.get("email") or data.get("customer_email")})


def _intent(data: Mapping[str, Any]) -> Json:
    error = data.get("last_payment_error") or {}
    why = {"error_code": error.get("code"), "decline_code": error.get("decline_code")}
    return _flat({**data, **why})


def _invoice(data: Mapping[str, Any]) -> Json:
    details = (data.get("parent") or {}).get("subscription_details") or data.get("subscription_details") or {}
    payments = [id_of(each["payment"].get("payment_intent")) for each in (data.get("payments") or {}).get("data", ())]
    intents = [intent for intent in (*payments, id_of(data.get("payment_intent"))) if intent]
    return _flat(
        {
            **data,
            "subscription": details.get("subscription") or data.get("subscription"),
            "subscription_metadata": details.get("metadata"),
            "payment_intents": list(dict.fromkeys(intents)),
            "lines": [_line(each) for each in (data.get("lines") or {}).get("data", ())],
        }
    )


def _line(data: Mapping[str, Any]) -> Json:
    priced = (data.get("pricing") or {}).get("price_details") or {}
    old = data.get("price") or {}
    details = (data.get("parent") or {}).get("subscription_item_details") or {}
    return _flat(
        {
            "amount": data["amount"],
            "period_start": data["period"]["start"],
            "period_end": data["period"]["end"],
            "price": id_of(priced.get("price")) or old.get("id"),
            "product": id_of(priced.get("product")) or id_of(old.get("product")),
            "proration": bool(details.get("proration") or data.get("proration")),
            "quantity": data.get("quantity"),
        }
    )


def _subscription(data: Mapping[str, Any]) -> Json:
    # The period stood at the subscription before each item had its own.
    outer = {name: data[name] for name in ("current_period_start", "current_period_end") if name in data}
    items = [
        _flat({**outer, **each, "price": each["price"]["id"]})
        | {"product": id_of(each["price"].get("product")), "unit_amount_minor": each["price"].get("unit_amount")}
        for each in data["items"]["data"]
    ]
    return _flat({**data, "items": items})


def _invoice_payment(data: Mapping[str, Any]) -> Json:
    paid = data["payment"]
    return _flat({**data, "payment_intent": paid.get("payment_intent"), "charge": paid.get("charge")})


def _customer(data: Mapping[str, Any]) -> Json:
    settings = data.get("invoice_settings") or {}
    return _flat({**data, "default_payment_method": settings.get("default_payment_method")})


def _payment_method(data: Mapping[str, Any]) -> Json:
    return _flat({**(data.get(data["type"]) or {}), **data})


_LIFTS: Final[Mapping[type[Object], Callable[[Mapping[str, Any]], Json]]] = {
    Session: _session,
    Intent: _intent,
    Invoice: _invoice,
    Subscription: _subscription,
    InvoicePayment: _invoice_payment,
    Customer: _customer,
    PaymentMethod: _payment_method,
}
