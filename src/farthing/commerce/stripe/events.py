"""Events: what Stripe tells by webhook, verified over the bytes as they came, and typed. Nothing is judged here.

Events come late, twice and in any order, and each says how things stood when it was made: `created_us` and the
cumulative amounts tell which of two is newer.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from .errors import BadSignature, NotAnEvent
from .objects import (
    Charge,
    Dispute,
    Intent,
    Invoice,
    InvoicePayment,
    Object,
    Refund,
    Session,
    Subscription,
    Unreadable,
    read,
)

TOLERANCE_SECONDS: Final = 300
MOST_BYTES: Final = 1_000_000
KINDS: Final[Mapping[str, type[Object]]] = {
    "checkout.session.completed": Session,
    "checkout.session.async_payment_succeeded": Session,
    "checkout.session.async_payment_failed": Session,
    "checkout.session.expired": Session,
    "payment_intent.succeeded": Intent,
    "payment_intent.payment_failed": Intent,
    "payment_intent.canceled": Intent,
    "invoice.paid": Invoice,
    "invoice.payment_failed": Invoice,
    "invoice_payment.paid": InvoicePayment,
    "customer.subscription.created": Subscription,
    "customer.subscription.updated": Subscription,
    "customer.subscription.deleted": Subscription,
    "charge.refunded": Charge,
    "refund.created": Refund,
    "refund.updated": Refund,
    "refund.failed": Refund,
    "charge.dispute.created": Dispute,
    "charge.dispute.updated": Dispute,
    "charge.dispute.closed": Dispute,
    "charge.dispute.funds_withdrawn": Dispute,
    "charge.dispute.funds_reinstated": Dispute,
}
"""What Farthing wants to be told, and what it is then told of."""


class Event(Struct, frozen=True, kw_only=True):
    """What has happened."""

    id: str
    type: str
    livemode: bool
    created_us: int
    api_version: str
    """In whose form it is told: that of the endpoint, whatever version we call."""
    account: str
    """Whose it is, where a platform is told of its connected accounts; else empty."""
    object: Object | None
    """What it is about; None where the type is not one of `KINDS`."""
    previous: dict[str, Any]
    """Of an update, what has changed, as it was."""


class _Data(Struct):
    object: dict[str, Any]
    previous_attributes: dict[str, Any] | None = None


class _Envelope(Struct):
    id: str
    object: str
    type: str
    created: int
    livemode: bool
    data: _Data
    api_version: str | None = None
    account: str | None = None


def receive(body: bytes, signature: str | None, secrets: Sequence[str], now_us: int) -> Event:
    """The event of a request: its raw body, and its header Stripe-Signature. `BadSignature` and `NotAnEvent` mean 400.

    While a secret is being changed, both verify.
    """
    verify(body, signature, secrets, now_us)
    return read_event(body)


def verify(body: bytes, signature: str | None, secrets: Sequence[str], now_us: int) -> None:
    """Refuse what was not signed with one of our secrets, and what was signed more than five minutes ago."""
    if len(body) > MOST_BYTES:
        raise NotAnEvent("the body is longer than any event is")
    if not signature:
        raise BadSignature("the header Stripe-Signature is missing")
    if not any(secrets):
        raise BadSignature("no webhook secret is set: nothing can be verified")
    # The library compares texts, which must be ASCII for it, and reads the body as UTF-8.
    if not signature.isascii() or not _is_utf8(body):
        raise BadSignature("it is not signed by Stripe with this endpoint's secret")
    if not any(_is_signed(body, signature, secret) for secret in secrets if secret):
        raise BadSignature("it is not signed by Stripe with this endpoint's secret")
    # After the signature, which vouches for the time: the clock is ours, and not the library's.
    if _signed_at(signature) * 1_000_000 < now_us - TOLERANCE_SECONDS * 1_000_000:
        raise BadSignature("it was signed more than five minutes ago")


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_signed(body: bytes, signature: str, secret: str) -> bool:
    from stripe import SignatureVerificationError, WebhookSignature

    try:
        return bool(WebhookSignature.verify_header(body, signature, secret))
    except SignatureVerificationError:
        return False


def _signed_at(signature: str) -> int:
    """The time of a header that the library has verified, which takes the first as well."""
    return int(next(item.split("=", 2)[1] for item in signature.split(",") if item.startswith("t=")))


def read_event(body: bytes) -> Event:
    """What an event says, once it is verified or was kept as such."""
    try:
        told = msgspec.json.decode(body, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnEvent(f"it is no event: {error}") from error
    if told.object != "event":
        raise NotAnEvent("it is a thin event: set the endpoint to snapshot events")
    kind = KINDS.get(told.type)
    try:
        about = None if kind is None else read(kind, told.data.object)
    except Unreadable as error:
        raise NotAnEvent(f"{told.type}: {error}") from error
    return Event(
        id=told.id, type=told.type, livemode=told.livemode, created_us=told.created * 1_000_000,
        api_version=told.api_version or "", account=told.account or "", object=about,
        previous=told.data.previous_attributes or {},
    )  # fmt: skip
