"""What is asked of Stripe in several words: a checkout, a payment without the customer."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

WORKSPACE: Final = "farthing_workspace"
ACCOUNT: Final = "farthing_account"
PRODUCT: Final = "farthing_product"
QUANTITY: Final = "farthing_quantity"
CHARGE: Final = "farthing_charge"
LINK: Final = "farthing_link"
"""Whose a payment is, what for and how many times: metadata that stand at all objects which a checkout makes. Our own
key of a charge stands at what was asked for without the customer, and by the other name at the page on which he can pay
the same himself."""


class Owner(Struct, frozen=True, kw_only=True):
    """Who is to have what is paid for."""

    workspace: str
    account: str
    product: str = ""

    def metadata(self) -> dict[str, str]:
        """As Stripe keeps it."""
        marks = {WORKSPACE: self.workspace, ACCOUNT: self.account, PRODUCT: self.product}
        return {name: value for name, value in marks.items() if value}


def owner_of(metadata: Mapping[str, str]) -> Owner | None:
    """Whom an object of Stripe's is for, if it is one of ours."""
    workspace, account = metadata.get(WORKSPACE), metadata.get(ACCOUNT)
    if not workspace or not account:
        return None
    return Owner(workspace=workspace, account=account, product=metadata.get(PRODUCT, ""))


def quantity_of(metadata: Mapping[str, str]) -> int:
    """How many times something was bought: our own mark, so that it is once where there is none."""
    text = metadata.get(QUANTITY, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) else 1


class Every(Struct, frozen=True, kw_only=True):
    """How often it is paid."""

    interval: str
    """`day`, `week`, `month` or `year`."""
    count: int = 1


class Price(Struct, frozen=True, kw_only=True):
    """A price that is not in Stripe's catalogue."""

    amount_minor: int
    currency: str
    name: str
    """What the customer reads."""
    every: Every | None = None


class Checkout(Struct, frozen=True, kw_only=True):
    """A page to pay on."""

    owner: Owner
    price: Price | str
    """Ours, or the id of one in Stripe's catalogue."""
    success_url: str
    """`{CHECKOUT_SESSION_ID}` in it becomes the id. That somebody comes back to it proves nothing."""
    cancel_url: str = ""
    quantity: int = 1
    customer: str = ""
    email: str = ""
    """Filled in for a new customer."""
    keep_method: bool = False
    """Whether what is paid with may be charged again without the customer."""
    charge: str = ""
    """Our own key of the charge that could not be made without the customer, and is paid here."""
    expires_at_us: int | None = None
    """From half an hour to a day ahead; a day if not said."""

    def metadata(self) -> dict[str, str]:
        """What its objects are marked with."""
        several = {QUANTITY: str(self.quantity)} if self.quantity != 1 else {}
        return self.owner.metadata() | several | ({LINK: self.charge} if self.charge else {})


class Charging(Struct, frozen=True, kw_only=True):
    """A payment while the customer is away."""

    owner: Owner
    customer: str
    payment_method: str
    amount_minor: int
    currency: str
    description: str = ""
    quantity: int = 1
    key: str = ""
    """Our own, by which its payment is known again."""

    def metadata(self) -> dict[str, str]:
        """What it is marked with."""
        several = {QUANTITY: str(self.quantity)} if self.quantity != 1 else {}
        return self.owner.metadata() | several | ({CHARGE: self.key} if self.key else {})


class Paid(Struct, frozen=True, kw_only=True):
    """It went well: the money is on its way."""

    payment_intent: str
    amount_minor: int
    currency: str


class Pending(Struct, frozen=True, kw_only=True):
    """It is on its way, and an event will tell: debits take days."""

    payment_intent: str


class Declined(Struct, frozen=True, kw_only=True):
    """It was refused; what was begun is cancelled, and can't be paid any more."""

    payment_intent: str
    code: str
    reason: str
    """Stripe's decline code."""
    message: str


class NeedsCustomer(Struct, frozen=True, kw_only=True):
    """The customer's bank wants to hear from the customer: what was begun is cancelled; send a link to a checkout."""

    payment_intent: str
    message: str


Charged = Paid | Pending | Declined | NeedsCustomer
