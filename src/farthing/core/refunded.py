"""Refunded: which payment a refund is of, among those of its order. A provider may name the payment, or all that was
paid together with it, or the order alone; two payments are never taken for one another.
"""

from collections.abc import Sequence

from .facts import Refunded
from .purchases import Receipt


def is_other_money(fact: Refunded, receipt: Receipt) -> bool:
    """Whether a part goes back in another currency than was paid in: nobody knows which part of the payment that is."""
    is_part = bool(fact.refund) or fact.total is not None
    return is_part and receipt.known and bool(fact.currency) and fact.currency.upper() != receipt.currency.upper()


def payment_of(fact: Refunded, receipts: Sequence[Receipt]) -> str:
    """The payment that goes back; empty where none is known yet, or it could be more than one."""
    fitting = [each for each in receipts if _may_be(fact.item, each.item)]
    if not fact.payment:
        return _only([each for each in fitting if _may_be(fact.group, each.group)])
    # A name of its own goes first: the first thing of an order may be called as all of it.
    own = [each for each in fitting if each.payment == fact.payment]
    return _only(own or [each for each in fitting if each.group == fact.payment])


def _may_be(told: str, known: str) -> bool:
    """Whether both can mean the same, as far as they are there."""
    return not told or not known or told == known


def _only(found: Sequence[Receipt]) -> str:
    return found[0].payment if len(found) == 1 else ""
