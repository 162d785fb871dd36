"""Facts: what a payment provider has told, in words that are nobody's own. A provider's file reads them out of its
events; `fulfilment` says what comes of them. Money is decimal text in the currency's main unit, exact.
"""

from msgspec import Struct

from .catalogue import Provider


class Fact(Struct, frozen=True, kw_only=True):
    """What every fact tells."""

    provider: Provider
    at: int
    """When it was true there, in microseconds."""
    order: str = ""
    """The provider's own name of what was bought: it stays over all payments of a subscription."""
    test: bool = False
    """Nobody's real money."""


class Paid(Fact, frozen=True, kw_only=True):
    """Money has come in."""

    payment: str
    """The provider's own name of the payment: claimed once, for ever."""
    amount: str
    currency: str
    account: str = ""
    """Whose it is, as our own reference says that went along with the purchase."""
    offer: str = ""
    """What was bought, by our own name of it."""
    product: str = ""
    """What was bought, by the provider's name of it."""
    quantity: int = 1
    part: int = 1
    parts: int = 1
    """In how many payments what was bought is paid, and which of them this is."""
    renewal: bool = False
    """A later payment of an order that was paid before."""
    charge: str = ""
    """Our own key of the charge that it came of, where it came without the buyer."""
    change: bool = False
    """It was paid because the order was moved to something else: what is left of the old price comes off it."""
    within: bool = False
    """It pays for a rest of the period that runs, and begins none."""
    paid_until: int | None = None
    """Of a subscription, where the provider says so."""
    group: str = ""
    """The provider's name of all that was paid together with it, where it has one."""
    item: str = ""
    """Which thing of the order was paid, by the provider's name of it."""
    came_of: str = ""
    """The order that this one came of: whose that is, this is, where nothing else says so."""
    replaces: str = ""
    """The order that this one took the place of: an upgrade or a downgrade."""
    begins_at: int | None = None
    """From when on it counts, where that is later: a downgrade, when what was paid before is over."""
    buyer: str = ""
    """His e-mail address: a hint for people, and nothing to decide by."""


class Refunded(Fact, frozen=True, kw_only=True):
    """Money has gone back, of the customer's own or the merchant's will."""

    payment: str
    """What is given back; empty where only the order is told."""
    loose: bool = False
    """Whether `payment` may be the name of a group, as it is paid together."""
    group: str = ""
    """What was paid together with it, where that is told."""
    item: str = ""
    """Which thing of the order."""
    total: str | None = None
    """How much in all, so far; None is all of it."""
    currency: str = ""
    refund: str = ""
    """The provider's own name of this one, where refunds are told one by one and `amount` says how much."""
    amount: str = ""
    aside: bool = False
    """The provider tells of it as a sum as well: where its payment is not known yet, it can be left to that."""


class RefundFailed(Fact, frozen=True, kw_only=True):
    """Money that was to go back never got there: the merchant has it again."""

    payment: str
    refund: str
    amount: str


class Disputed(Fact, frozen=True, kw_only=True):
    """The customer's bank wants the money back, and nobody knows yet who is right."""

    payment: str
    dispute: str


class DisputeClosed(Fact, frozen=True, kw_only=True):
    """Now somebody does."""

    payment: str
    dispute: str
    won: bool
    """The merchant keeps the money."""
    amount: str = ""
    """How much of it was disputed; empty is all of it."""
    currency: str = ""


class Missed(Fact, frozen=True, kw_only=True):
    """A renewal was not paid; the provider tries again."""


class Canceled(Fact, frozen=True, kw_only=True):
    """No further renewal will be paid; what is paid stays."""


class Resumed(Fact, frozen=True, kw_only=True):
    """A cancellation was taken back. No money has moved."""


class Ended(Fact, frozen=True, kw_only=True):
    """The time that was paid is over."""


AnyFact = Paid | Refunded | RefundFailed | Disputed | DisputeClosed | Missed | Canceled | Resumed | Ended
