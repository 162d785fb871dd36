"""Waiting: why a payment was not credited by itself, in a sentence for people, and whether one of them can help."""

from collections.abc import Mapping
from typing import Final

from .catalogue import Catalogue
from .purchases import Reason, Receipt
from .records import Workspace

SENTENCES: Final[Mapping[Reason, str]] = {
    "no_account": "Nobody knows whose it is: assign it to an account.",
    "unknown_product": "Nothing in the catalogue is what was bought: say in the catalogue what it is sold as and have "
    "the notification tried again, or assign it with an offer.",
    "other_amount": "It is not what the catalogue asks for: assign it, if it is right all the same.",
    "other_currency": "It is in another currency than the catalogue asks for: assign it, if it is right all the same.",
    "overtaken": "A later payment of its order was credited first, for another tier: assign it with the offer that it "
    "is to give, if any.",
    "test_mode": "It is a test payment, and the workspace is live: nobody has paid anything.",
    "not_paid": "All of its money has gone back before it was credited: there is nothing left to credit.",
    "refused": "The ledger would not take it ({facts}): see to that, and assign it.",
}
UNPAID: Final = "A refund or a dispute of it is known, and not the payment itself: have the provider send that again."
NEVER: Final = frozenset({"test_mode", "not_paid"})
"""What nobody can assign: no money is there."""


def sentence(receipt: Receipt) -> str:
    """Why it waits; empty for a payment that is credited."""
    if receipt.state == "credited":
        return ""
    if receipt.reason is None:
        return UNPAID
    return SENTENCES[receipt.reason].format(facts=receipt.facts or "for a reason that is not known any more")


def can_be_assigned(receipt: Receipt) -> bool:
    """Whether a person may say whose it is: it waits, and somebody has paid it."""
    return receipt.state == "waiting" and receipt.known and receipt.reason not in NEVER


def offer_problem(receipt: Receipt, offer: str, catalogue: Catalogue, workspace: Workspace) -> str | None:
    """Why a payment can't be assigned as being for an offer (empty: for what it was bought as)."""
    if offer:
        return None if catalogue.named(offer) else f"names nothing that is sold: {offer!r}"
    if receipt.offer:
        if catalogue.named(receipt.offer) is None:
            return f"is needed: it was bought as {receipt.offer!r}, which is not sold any more"
        return None
    if receipt.currency.upper() == workspace.unit.upper():
        return None  # money that the workspace counts is credited as it is
    return "is needed: nobody knows what was bought"
