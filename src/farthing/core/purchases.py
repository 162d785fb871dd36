"""Purchases as they are kept: an order, and the receipt of each payment. What the ledger knows of them it knows by its
own entries; these rows say what was bought, by whom, and what became of the money.
"""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Literal

from msgspec import Struct

from .catalogue import Provider

OrderState = Literal["open", "canceled", "ended", "replaced"]
ReceiptState = Literal["waiting", "credited"]
Reason = Literal[
    "no_account", "unknown_product", "other_amount", "other_currency", "overtaken", "test_mode", "not_paid", "refused"
]  # fmt: skip
"""Why a payment waits for a person:

- no_account: nobody knows whose it is
- unknown_product: nothing in the catalogue is what was bought
- other_amount, other_currency: it is not what the catalogue asks for it
- overtaken: a later payment of its order was credited first, for another tier
- test_mode: nobody's real money, in a workspace that is live
- not_paid: its refund came first; there is nothing left to credit
- refused: the ledger would not take it
"""


class Order(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody bought; all payments of a subscription have the same."""

    provider: Provider
    id: str
    account: str = ""
    """Empty while nobody knows whose it is."""
    offer: str = ""
    """`product/tier` or `product/top-up`; empty where the catalogue has no such thing."""
    product: str = ""
    """The provider's name of what was bought."""
    state: OrderState = "open"
    standing_at: int = 0
    """When that was true at the provider: what is older is no news."""
    came_of: str = ""
    """The order that it came of, as an upgrade does."""
    bought_at: int
    paid_at: int = 0
    """When the newest of its payments was made."""
    buyer: str = ""
    test: bool = False


class Again(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Credits that are given again, as money that was to go back has stayed; with what is taken of those."""

    credits: int
    at: int
    """When the money had stayed."""
    grant: str = ""
    """Theirs; empty until the ledger has given them."""
    wanted: int = 0
    """As of the receipt's own grant."""
    taken: int = 0
    refused: str = ""
    """Why the ledger would not give them."""


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A payment: what came in, what it was credited with, and what has gone back."""

    provider: Provider
    payment: str
    order: str = ""
    group: str = ""
    """The provider's name of all that was paid together with it: its refund may be told by that."""
    item: str = ""
    """Which thing of the order it was for."""
    charge: str = ""
    """Our own key of the charge that it came of, where it came without the buyer."""
    account: str = ""
    offer: str = ""
    amount: str = ""
    """As decimal text; empty while only a refund or a dispute of it is known."""
    currency: str = ""
    quantity: int = 1
    part: int = 1
    parts: int = 1
    """Paid in so many installments, of which this is one."""
    at: int
    state: ReceiptState = "waiting"
    reason: Reason | None = None
    doubt: Reason | None = None
    """Of one whose money has gone back: the reason that it had before."""
    facts: str = ""
    """More words about the reason, for people."""
    credits: int = 0
    """What it was credited with, in smallest units."""
    grant: str = ""
    """Its grant; empty where none came of it."""
    entry: str = ""
    returned: dict[str, str] = {}
    """What has gone back, by the provider's own name of each refund; `all` of those that are told as a sum."""
    summed_at: int = 0
    """When that sum was true at the provider."""
    failed: dict[str, tuple[str, int]] = {}
    """Refunds that never got there, by the same names: how much, and when that was known."""
    lost: bool = False
    """A dispute of it was lost: all of it is gone."""
    lost_parts: dict[str, str] = {}
    """Disputes of a part of it that were lost, and how much each was about."""
    told_in: dict[str, str] = {}
    """What went back, or was lost, before anybody knew what was paid in: in which currency, by the same names."""
    wanted: int = 0
    """How many credits of its grant are to be taken back, in all: put down before the ledger is asked."""
    taken: int = 0
    """How many the ledger was told to take back, in all."""
    again: tuple[Again, ...] = ()
    """What was given again of them."""
    dispute: str = ""
    """The one that is open."""
    asked: str = ""
    """A dispute for which the ledger was asked to pin the rest, or is about to be."""
    pinned: str = ""
    """The grant that it is about, where that is not the payment's first."""
    answered: bool = False
    """It has said what it pinned."""
    hold: str = ""
    """What is pinned; empty where there was nothing."""
    closed: tuple[str, ...] = ()
    """Disputes that have come to their end: whatever is told of them later is no news."""
    renewal: bool = False
    paid_until: int | None = None
    test: bool = False

    @property
    def known(self) -> bool:
        """Whether it was paid, as far as anybody has told."""
        return bool(self.amount)


SUM = "all"
"""The name of refunds that are told as a sum."""


def returned(receipt: Receipt) -> Decimal:
    """How much of the money has gone back, never more than came in (as far as that is known)."""
    total = refunded(receipt) + sum(map(Decimal, receipt.lost_parts.values()), Decimal(0))
    return min(total, Decimal(receipt.amount)) if receipt.known else total


def refunded(receipt: Receipt) -> Decimal:
    """How much of that was given back, and not lost."""
    named = [Decimal(amount) for name, amount in receipt.returned.items() if name not in (SUM, *receipt.failed)]
    # A sum has in it what has failed since it was told.
    since = [Decimal(amount) for amount, at in receipt.failed.values() if at >= receipt.summed_at]
    summed = Decimal(receipt.returned.get(SUM, "0")) - sum(since, Decimal(0))
    total = max(sum(named, Decimal(0)), summed)
    return min(total, Decimal(receipt.amount)) if receipt.known else total


def credits_returned(receipt: Receipt) -> int:
    """How many of the credits go back with the money: all with all of it, else their share, rounded half-even."""
    if receipt.lost or not receipt.known:
        return receipt.credits
    return share(receipt.credits, returned(receipt), Decimal(receipt.amount))


def taken_back(receipt: Receipt) -> int:
    """How many of the credits are gone with the money, as far as the ledger has said."""
    given = [each for each in receipt.again if each.grant]
    return receipt.taken - sum(each.credits - each.taken for each in given)


def share(credits: int, part: Decimal, whole: Decimal) -> int:
    """What a part of the money is in credits; none of what cost nothing."""
    if not part:
        return 0
    if part >= whole:
        return credits
    with localcontext() as context:
        context.prec = 60
        return int((credits * part / whole).to_integral_value(ROUND_HALF_EVEN))
