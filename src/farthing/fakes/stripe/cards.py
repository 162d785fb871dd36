"""Cards and bank accounts for tests: those that Stripe's documentation names, and what each of them does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .params import Refused


@dataclass(frozen=True)
class Card:
    """A card, and what happens to payments by it."""

    number: str
    what: str
    """In a sentence, for the page on which one can choose it."""
    ids: tuple[str, ...] = ()
    """The payment methods by which programs name it."""
    brand: str = "visa"
    decline: tuple[str, str, str] | None = None
    """Stripe's code, its decline code, and what the customer is told."""
    decline_keeping: bool = False
    """Whether it is declined already where somebody keeps it."""
    asks: str = "never"
    """When the bank wants to hear from the customer: `never`, `unless_set_up`, `always`."""
    disputed: str = ""
    """The reason for which each payment is disputed at once."""
    inquiry: bool = False
    refund: str = "succeeded"
    """What becomes of refunds: `succeeded`, `later`, `failed`."""

    @property
    def last4(self) -> str:
        """What people are shown of it."""
        return self.number[-4:]


@dataclass(frozen=True)
class Bank:
    """A bank account that is debited: it takes days."""

    iban: str
    what: str
    fails: bool = False
    ids: tuple[str, ...] = field(default=())

    @property
    def last4(self) -> str:
        """What people are shown of it."""
        return self.iban[-4:]


_REFUSED: Final = "Your card was declined."
_NO_FUNDS: Final = ("card_declined", "insufficient_funds", "Your card has insufficient funds.")


def _declined(number: str, name: str, what: str, decline: tuple[str, str, str]) -> Card:
    ids = (f"pm_card_{name}", f"pm_card_visa_{name}")
    return Card(number, what, ids, decline=decline, decline_keeping=True)


CARDS: Final = (
    Card("4242424242424242", "pays", ("pm_card_visa",)),
    Card("5555555555554444", "pays", ("pm_card_mastercard",), brand="mastercard"),
    Card("378282246310005", "pays", ("pm_card_amex",), brand="amex"),
    _declined("4000000000000002", "chargeDeclined", "is declined", ("card_declined", "generic_decline", _REFUSED)),
    _declined("4000000000009995", "chargeDeclinedInsufficientFunds", "has too little money", _NO_FUNDS),
    _declined("4000000000009987", "chargeDeclinedLostCard", "was lost", ("card_declined", "lost_card", _REFUSED)),
    _declined("4000000000009979", "chargeDeclinedStolenCard", "was stolen", ("card_declined", "stolen_card", _REFUSED)),
    _declined(
        "4000000000000069", "chargeDeclinedExpiredCard", "has expired",
        ("expired_card", "expired_card", "Your card has expired."),
    ),
    _declined(
        "4000000000000127", "chargeDeclinedIncorrectCvc", "is told with a wrong code",
        ("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect."),
    ),
    _declined(
        "4000000000000119", "chargeDeclinedProcessingError", "can't be processed",
        ("processing_error", "processing_error", "An error occurred while processing your card. Try again later."),
    ),
    Card(
        "4000000000000341", "can be kept, and is declined when it is charged", ("pm_card_chargeCustomerFail",),
        decline=("card_declined", "generic_decline", _REFUSED),
    ),
    Card(
        "4000002500003155", "needs authentication, unless it was kept with one",
        ("pm_card_authenticationRequiredOnSetup",), asks="unless_set_up",
    ),
    Card(
        "4000002760003184", "needs authentication each time", ("pm_card_authenticationRequired",), asks="always"
    ),
    Card(
        "4000008260003178", "needs authentication, and then has too little money",
        ("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",), asks="unless_set_up", decline=_NO_FUNDS,
    ),
    Card("4000000000000259", "pays, and disputes it as fraud", ("pm_card_createDispute",), disputed="fraudulent"),
    Card(
        "4000000000002685", "pays, and disputes it: nothing came", ("pm_card_createDisputeProductNotReceived",),
        disputed="product_not_received",
    ),
    Card(
        "4000000000001976", "pays, and its bank inquires", ("pm_card_createDisputeInquiry",), disputed="fraudulent",
        inquiry=True,
    ),
    Card("4000000000007726", "pays; refunds take time", ("pm_card_pendingRefund",), refund="later"),
    Card("4000000000005126", "pays; refunds fail later", ("pm_card_refundFail",), refund="failed"),
)  # fmt: skip
BANKS: Final = (
    Bank("AT611904300234573201", "is debited; it takes days"),
    Bank("AT861904300235473202", "is debited; it fails after days", fails=True),
)
BY_ID: Final[Mapping[str, Card]] = {id: card for card in CARDS for id in card.ids}
_BY_NUMBER: Final[Mapping[str, Card]] = {card.number: card for card in CARDS}
_BY_IBAN: Final[Mapping[str, Bank]] = {bank.iban: bank for bank in BANKS}


def card_of(number: str) -> Card:
    """The card with a number, however it is grouped."""
    digits = number.replace(" ", "").replace("-", "")
    if digits not in _BY_NUMBER:
        raise Refused(
            "Your card number is not one of Stripe's test cards.", status=402, type="card_error",
            code="incorrect_number", param="number",
        )  # fmt: skip
    return _BY_NUMBER[digits]


def bank_of(iban: str) -> Bank:
    """The bank account with an IBAN."""
    found = _BY_IBAN.get(iban.replace(" ", ""))
    if found is None:
        raise Refused("The IBAN is not one of Stripe's for tests.", code="invalid_bank_account_iban", param="iban")
    return found
