"""Facts out of Stripe's events: which of them says what. Session, charge and event come down to the payment intent; an
invoice that nothing was to be paid for stands for itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from farthing.core.facts import (
    AnyFact,
    Canceled,
    DisputeClosed,
    Disputed,
    Ended,
    Missed,
    Paid,
    Refunded,
    RefundFailed,
    Resumed,
)

from .currencies import from_minor, read_currency
from .events import Event
from .objects import Charge, Dispute, Intent, Invoice, Object, Refund, Session, Subscription
from .orders import CHARGE, LINK, WORKSPACE, owner_of, quantity_of

PROVIDER: Final = "stripe"
OLD_ACCOUNT: Final = "userId"
"""Metadata by which shops that did without Farthing say whose a payment is."""


NEVER_THERE: Final = ("failed", "canceled")
"""What becomes of refunds whose money has stayed where it was."""


def facts_of(event: Event, at: int, workspace: str, intents: Sequence[str] = ()) -> list[AnyFact]:
    """What an event says; nothing where it is about nothing of ours, or of another workspace's. `intents` are what
    paid its invoice, where the event itself does not say."""
    found = event.object
    if found is None or _is_anothers(found, workspace):
        return []
    read = _READERS.get(event.type)
    fact = read(found, event, at) if read is not None else None
    if isinstance(fact, Paid) and isinstance(found, Invoice) and intents:
        fact = _paid_invoice(found, event, at, intents[0])
    return [fact] if fact is not None else []


def facts_of_payment(intent: Intent, charge: Charge | None, seen_at: int) -> list[AnyFact]:
    """What the events of a payment said that went well, and of what was given back of it until then."""
    at = charge.created_us if charge is not None else intent.created_us
    event = Event(
        id="", type="", livemode=intent.livemode, created_us=at, api_version="", account="", object=intent, previous={}
    )  # fmt: skip
    facts = [_intent(intent, event, at), _refunded(charge, event, seen_at) if charge is not None else None]
    return [fact for fact in facts if fact is not None]


def asks_for(event: Event) -> str:
    """The invoice that has to be looked up before its event can be read: newer versions don't say what paid it."""
    found = event.object
    if event.type != "invoice.paid" or not isinstance(found, Invoice) or not found.amount_paid_minor:
        return ""
    return "" if found.payment_intents else found.id


def is_named(metadata: Mapping[str, str]) -> bool:
    """Whether they say whose a payment is, in the way of a shop that did without Farthing."""
    return bool(metadata.get(OLD_ACCOUNT))


def _is_anothers(found: Object, workspace: str) -> bool:
    metadata = found.subscription_metadata if isinstance(found, Invoice) else found.metadata
    return metadata.get(WORKSPACE, workspace) != workspace


def _common(event: Event, at: int, order: str = "") -> dict[str, Any]:
    return {"provider": PROVIDER, "at": at, "order": order, "test": not event.livemode}


def _whose(metadata: dict[str, str], reference: str | None = None) -> dict[str, Any]:
    """Account, offer and quantity, as our own checkout has marked them."""
    owner = owner_of(metadata)
    if owner is not None:
        charge = metadata.get(CHARGE, "") or metadata.get(LINK, "")
        return {"account": owner.account, "offer": owner.product, "quantity": quantity_of(metadata), "charge": charge}
    return {"account": reference or metadata.get(OLD_ACCOUNT, "")}


def _money(minor: int, currency: str) -> dict[str, str]:
    return {"amount": from_minor(minor, currency), "currency": read_currency(currency)}


def _session(s: Any, event: Event, at: int) -> AnyFact | None:
    assert isinstance(s, Session)
    # That of a subscription comes with its invoice, as all later ones do; what nobody has to pay is no money.
    if s.mode != "payment" or s.payment_status != "paid" or s.amount_total_minor is None or s.currency is None:
        return None
    return Paid(
        **_common(event, at)
        | _money(s.amount_total_minor, s.currency)
        | _whose(s.metadata, s.client_reference_id)
        | {"payment": s.payment_intent or s.id, "buyer": s.email or ""}
    )


def _intent(i: Any, event: Event, at: int) -> AnyFact | None:
    assert isinstance(i, Intent)
    whose = _whose(i.metadata)
    # One without marks belongs to a session or to an invoice, which say whose it is.
    if not whose["account"]:
        return None
    return Paid(**_common(event, at) | _money(i.amount_received_minor, i.currency) | whose | {"payment": i.id})


def _invoice(invoice: Any, event: Event, at: int) -> AnyFact | None:
    assert isinstance(invoice, Invoice)
    if invoice.subscription is None:
        return None
    intents = invoice.payment_intents
    return _paid_invoice(invoice, event, at, intents[0] if intents else invoice.id)


def _paid_invoice(invoice: Invoice, event: Event, at: int, payment: str) -> Paid:
    # Of a change between periods there are two lines: what is given back of the old price, and what the new one takes.
    asked = [line for line in invoice.lines if line.amount_minor > 0] or invoice.lines
    lines = [line for line in asked if not line.proration] or asked  # a line that is whole begins a period
    newest = max(lines, key=lambda line: line.period_end_us, default=None)
    return Paid(
        **_common(event, at, invoice.subscription or "")
        | _money(invoice.amount_paid_minor, invoice.currency)
        | _whose(invoice.subscription_metadata)
        | {"product": (newest.price or newest.product or "") if newest else ""}
        | {"payment": payment, "renewal": invoice.billing_reason == "subscription_cycle"}
        | {"change": (change := invoice.billing_reason == "subscription_update")}
        | {"within": change and all(line.proration for line in asked)}
        | {"paid_until": newest.period_end_us if newest else None}
    )


def _missed(invoice: Any, event: Event, at: int) -> AnyFact | None:
    assert isinstance(invoice, Invoice)
    return Missed(**_common(event, at, invoice.subscription)) if invoice.subscription else None


def _changed(s: Any, event: Event, at: int) -> AnyFact | None:
    assert isinstance(s, Subscription)
    # Its end is the period's, or any date: by the version of the API.
    if not {"cancel_at", "cancel_at_period_end"} & event.previous.keys():
        return None
    ends = s.cancel_at_period_end or s.cancel_at_us is not None
    return Canceled(**_common(event, at, s.id)) if ends else Resumed(**_common(event, at, s.id))


def _ended(s: Any, event: Event, at: int) -> AnyFact:
    assert isinstance(s, Subscription)
    return Ended(**_common(event, at, s.id))


def _refunded(charge: Any, event: Event, at: int) -> AnyFact | None:
    assert isinstance(charge, Charge)
    if not charge.amount_refunded_minor:
        return None
    money = _money(charge.amount_refunded_minor, charge.currency)
    told = {"payment": charge.payment_intent or "", "total": money["amount"], "currency": money["currency"]}
    return Refunded(**_common(event, at) | told)


def _refund(refund: Any, event: Event, at: int) -> AnyFact | None:
    assert isinstance(refund, Refund)
    told = _common(event, at) | {"payment": refund.payment_intent or "", "refund": refund.id}
    money = _money(refund.amount_minor, refund.currency)
    if refund.status in NEVER_THERE:
        return RefundFailed(**told, amount=money["amount"])
    # The sum is told with the charge; one by one they say which of them that was, where one fails later.
    return Refunded(**told | money, aside=True) if refund.status in ("pending", "succeeded") else None


def _disputed(d: Any, event: Event, at: int) -> AnyFact | None:
    assert isinstance(d, Dispute)
    # An inquiry has moved no money; where it becomes a dispute its funds are withdrawn, which is told as well.
    if d.status.startswith("warning_"):
        return None
    return Disputed(**_common(event, at), payment=d.payment_intent or "", dispute=d.id)


def _closed(d: Any, event: Event, at: int) -> AnyFact | None:
    assert isinstance(d, Dispute)
    if d.status not in ("won", "lost"):
        return None
    told = _common(event, at) | _money(d.amount_minor, d.currency) | {"payment": d.payment_intent or ""}
    return DisputeClosed(**told, dispute=d.id, won=d.status == "won")


_READERS: Final[dict[str, Callable[[Any, Event, int], AnyFact | None]]] = {
    "checkout.session.completed": _session,
    "checkout.session.async_payment_succeeded": _session,
    "payment_intent.succeeded": _intent,
    "invoice.paid": _invoice,
    "invoice.payment_failed": _missed,
    "customer.subscription.updated": _changed,
    "customer.subscription.deleted": _ended,
    "charge.refunded": _refunded,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.dispute.created": _disputed,
    "charge.dispute.funds_withdrawn": _disputed,
    "charge.dispute.closed": _closed,
}
