"""Purchase events: what programs may want to be told of a payment, by its receipt before and after. Written in the
commit of the receipt, so that each is told once. And of a payment that did not come.
"""

from collections.abc import Iterator
from typing import Any, Final

from .amounts import write_amount
from .events import RENEWAL_FAILED, write_time
from .facts import Missed
from .purchases import Order, Receipt, credits_returned, refunded, returned
from .subscription import Subscription

CREDITED: Final = "payment.credited"
WAITING: Final = "payment.waiting"
"""It came in, and waits for a person."""
REFUNDED: Final = "payment.refunded"
REFUND_FAILED: Final = "payment.refund_failed"
"""Money that was to go back has stayed."""
DISPUTED: Final = "dispute.opened"
CLOSED: Final = "dispute.closed"
PAYMENT_MISSED: Final = "payment_missed"
"""Why a renewal failed that a provider bills."""
Told = tuple[str, dict[str, Any]]
"""A type of event, and what it says."""


def happened(before: Receipt | None, after: Receipt, scale: int) -> Iterator[Told]:
    """What a change of a receipt comes to; credits are decimal text of that scale. What was told of a payment before
    itself comes with it: until then nobody knows whose it is."""
    if not after.known:
        return
    none = Receipt(provider=after.provider, payment=after.payment, at=after.at)
    b, facts = before if before is not None and before.known else none, _facts(after)
    if after.state == "credited" != b.state:
        yield CREDITED, facts | {"credits": write_amount(after.credits, scale), "entry": after.entry}
    if after.state == "waiting" and after.reason and after.reason != b.reason:
        yield WAITING, facts | {"reason": after.reason, "facts": after.facts}
    more = refunded(after) - refunded(b)
    back = {"returned": format(returned(after), "f"), "credits": write_amount(credits_returned(after), scale)}
    if more > 0 or (after.lost and not b.lost and after.closed == b.closed):
        yield REFUNDED, facts | back
    elif more < 0:
        yield REFUND_FAILED, facts | back
    if after.dispute and after.dispute != b.dispute:
        yield DISPUTED, facts | {"dispute": after.dispute}
    for dispute in after.closed[len(b.closed) :]:
        yield CLOSED, facts | {"dispute": dispute, "won": not after.lost and dispute not in after.lost_parts}


def missed(fact: Missed, order: Order | None, s: Subscription | None) -> tuple[dict[str, Any], str] | None:
    """What `subscription.renewal_failed` says of a renewal that its provider could not collect, and the name by which
    it is told once for a period. None where no subscription runs by that order, or it was paid since."""
    if order is None or s is None or s.ended_at is not None:
        return None
    if (s.billed_by, s.order) != (fact.provider, order.id) or fact.at <= order.paid_at:
        return None
    said = {"subscription": s.id, "plan": s.plan, "period_at": write_time(s.next_at), "error": PAYMENT_MISSED}
    return said, f"{RENEWAL_FAILED}:{s.id}:{s.next_at}:{PAYMENT_MISSED}"


def _facts(receipt: Receipt) -> dict[str, Any]:
    r = receipt
    return {
        "provider": r.provider, "payment": r.payment, "order": r.order, "offer": r.offer, "amount": r.amount,
        "currency": r.currency,
    }  # fmt: skip
