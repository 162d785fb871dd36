"""Charges without the buyer: what is asked of a provider, and what came of it, whichever it is. None of it credits
anything: what the provider tells later does, as with any payment.
"""

from typing import Literal

from msgspec import Struct

from farthing.core.catalogue import TopUp
from farthing.core.facts import AnyFact
from farthing.core.records import Workspace

from .troubles import ProviderTrouble

State = Literal["succeeded", "pending", "declined", "authentication_required", "failed"]
"""What became of it:

- succeeded: the money is on its way; the credits come with the provider's notification
- pending: it is not decided yet, or nobody knows whether it was carried out: it must not be asked for again before the
  notification has come, or is overdue
- declined: whoever keeps the buyer's money has said no
- authentication_required: the buyer has to say yes first, at `url`
- failed: nothing was charged, for a reason that is not the buyer's
"""


class Wanted(Struct, frozen=True, kw_only=True):
    """A charge."""

    workspace: Workspace
    account: str
    offer: str
    sold: TopUp
    quantity: int = 1
    key: str
    """One for each charge that is meant, kept over its tries. Stripe carries it out once; Digistore24 knows none, and
    is asked once."""
    order: str = ""
    """Which earlier order is charged again, where a provider charges orders."""
    reference: str = ""
    """What goes along with it, where a provider brings words of ours back with the payment."""


class Charged(Struct, frozen=True, kw_only=True):
    """What came of it."""

    state: State
    payment: str = ""
    """The provider's name of what was begun: a payment intent, an order."""
    url: str = ""
    """Where the buyer can pay himself."""
    page: str = ""
    """The provider's name of that page, where it can be closed."""
    reason: str = ""
    """Why not, as a code: ours, or the provider's."""
    message: str = ""
    again: bool = False
    """Whether the same, under the same key, may go well later by itself."""
    undone: bool = False
    """Whether nothing was begun: it was not asked for, or the asking was refused."""


class Found(Struct, frozen=True, kw_only=True):
    """How a charge stands that was asked for a while ago."""

    charged: Charged
    """As it is by now; `again` says that the provider could not be asked. What is not paid never will be."""
    facts: tuple[AnyFact, ...] = ()
    """Of what was paid: what its notifications say as well."""


def failed(reason: str, message: str) -> Charged:
    """Nothing was charged, and trying again changes nothing."""
    return Charged(state="failed", reason=reason, message=message, undone=True)


def troubled(trouble: ProviderTrouble, *, asked: bool) -> Charged:
    """The provider could not be asked, or did not answer; `asked` says whether that was for money already."""
    if trouble.unknown and asked:
        return Charged(state="pending", reason="unknown", message=trouble.message)
    return Charged(state="failed", reason=trouble.kind, message=trouble.message, again=trouble.passes, undone=True)
