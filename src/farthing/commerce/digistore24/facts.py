"""Facts out of Digistore24's notifications: which of its events says what."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from farthing.core.facts import AnyFact, Canceled, Ended, Missed, Paid, Refunded, Resumed

from ..inbox import NotOurs
from .notification import Event, Notification

PROVIDER: Final = "digistore24"
SPECIAL_OFFER: Final = "special_offer"
_DAY_US: Final = 86_400_000_000


def facts_of(n: Notification, at: int) -> list[AnyFact]:
    """What a notification says, that came at that instant; nothing where it is about nothing of ours."""
    read = _READERS.get(n.known) if n.known is not None else None
    return [read(n, at)] if read is not None else []


def _common(n: Notification, at: int) -> dict[str, Any]:
    return {"provider": PROVIDER, "at": at, "order": n.order_id, "test": n.is_test}


def _paid(n: Notification, at: int) -> AnyFact:
    return Paid(
        **_common(n, at),
        payment=n.transaction_id,
        group=n.payment_number,
        item=n.order_item_id,
        amount=_text(n.moved),
        currency=n.moved_currency,
        account=n.custom,
        product=n.product_id,
        quantity=max(n.quantity, 1),
        part=min(max(n.pay_sequence_no or 1, 1), _parts(n)),
        parts=_parts(n),
        renewal=(n.pay_sequence_no or 0) > 1,
        paid_until=paid_until(n.next_payment_at),
        came_of=n.upgraded_order_id,
        # Of all ways from one order to another only a special offer leaves the old one as it is.
        replaces="" if n.upgrade_type == SPECIAL_OFFER else n.upgraded_order_id,
        begins_at=_day(n.delivery_date) if n.upgraded_order_id else None,
        buyer=n.email or n.buyer_email,
    )


def _parts(n: Notification) -> int:
    """How many payments there are in all, where they are installments of one price."""
    return max(n.number_of_installments or 1, 1) if n.billing_type == "installment" else 1


def _refunded(n: Notification, at: int) -> AnyFact:
    """A refund has a name of its own, and that of the payment which it takes back; where it lacks the latter, the order
    says which it can be.

    The documentation does not say whether `parent_transaction_id` is the payment's `transaction_id`, as its name has
    it, or the number in its `payment_id`, which all items have that were paid at once. So either counts. Only where
    `payment_id` has another number than the parent and the refund, it is the payment's, and the parent is no such
    number."""
    if n.moved is not None and not n.transaction_id:
        raise NotOurs("it says how much goes back, and not which refund that is: it could count twice")
    told = {} if n.moved is None else {"refund": n.transaction_id, "amount": _text(n.moved)}
    parent, number = n.parent_transaction_id, n.payment_number
    payment = {
        "payment": parent, "loose": number in ("", parent, n.transaction_id), "item": n.order_item_id,
        "group": "" if number == n.transaction_id else number, "currency": n.moved_currency,
    }  # fmt: skip
    return Refunded(**_common(n, at) | payment | told)


_READERS: Final[dict[Event, Callable[[Notification, int], AnyFact]]] = {
    Event.PAYMENT: _paid,
    Event.SIGNUP: _paid,
    Event.REFUND: _refunded,
    Event.CHARGEBACK: _refunded,
    Event.PAYMENT_MISSED: lambda n, at: Missed(**_common(n, at)),
    Event.REBILL_CANCELLED: lambda n, at: Canceled(**_common(n, at)),
    Event.REBILL_RESUMED: lambda n, at: Resumed(**_common(n, at)),
    Event.LAST_PAID_DAY: lambda n, at: Ended(**_common(n, at)),
}


def paid_until(next_payment_at: str) -> int | None:
    """The end of the day on which the next payment is due: its time zone is not told, so the day counts whole."""
    day = _day(next_payment_at)
    return None if day is None else day + _DAY_US


def _day(text: str) -> int | None:
    """The beginning of a day; None where none is told."""
    try:
        day = datetime.strptime(text[:10], "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(day.timestamp()) * 1_000_000


def _text(amount: Decimal | None) -> str:
    return "0" if amount is None else format(amount, "f")
