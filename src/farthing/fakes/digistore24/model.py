"""What the stand-in keeps: keys, products, links, orders and their money, connections and the messages sent on them."""

import string
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any, Final

CENT: Final = Decimal("0.01")
MERCHANT_ID: Final = "39499382"
MERCHANT_NAME: Final = "fake_vendor"
WRITABLE: Final = "writable"
READONLY: Final = "readonly"


@dataclass
class Key:
    """An API key: what it may, and whether it has the right to charge on demand."""

    text: str
    permission: str = WRITABLE
    billing_on_demand: bool = True

    @property
    def id(self) -> str:
        """The number before its secret."""
        return self.text.partition("-")[0]


@dataclass
class Product:
    """What is sold; its price counts only where a link brings none."""

    id: str
    name: str
    price: Decimal = Decimal("49.00")
    currency: str = "EUR"
    created_at: datetime | None = None


@dataclass
class Upgrade:
    """A way from some products to another."""

    id: str
    name: str
    to_product_id: str
    authkey: str
    types: dict[str, str]
    """By the product that one has: upgrade, downgrade or special_offer."""


@dataclass
class Plan:
    """What is paid, and when."""

    first: Decimal
    other: Decimal
    currency: str
    installments: int = 1
    """1 pays once; 0 is a subscription."""
    first_interval: str = "1_month"
    other_interval: str = "1_month"

    @property
    def billing_type(self) -> str:
        """As Digistore24 calls it."""
        return {0: "subscription", 1: "single_payment"}.get(self.installments, "installment")


@dataclass
class Line:
    """One item of an order."""

    item_id: str
    product_id: str
    first: Decimal
    other: Decimal
    quantity: int = 1


@dataclass
class Link:
    """What createBuyUrl has made."""

    id: str
    product_id: str
    plan: Plan
    custom: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    country: str = "DE"
    is_email_fixed: bool = False
    valid_until: datetime | None = None
    thankyou_url: str = ""
    fallback_url: str = ""
    force_rebilling: bool = False
    upgrade_order_id: str = ""
    upgrade_type: str = ""
    extra: list[tuple[str, Decimal, Decimal, int]] = field(default_factory=list)
    """Add-ons: product, first and other amounts, quantity."""
    placeholders: dict[str, str] = field(default_factory=dict)
    quantity: int = 1


@dataclass
class Money:
    """One item's money that moved."""

    id: str
    order_id: str
    line: int
    type: str
    """payment, refund or chargeback."""
    amount: Decimal
    currency: str
    at: datetime
    parent_id: str
    payment_id: str
    sequence: int
    pay_method: str


@dataclass
class Order:
    """What somebody has bought, and how it goes on."""

    id: str
    created_at: datetime
    plan: Plan
    lines: list[Line]
    custom: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    country: str = "DE"
    buyer_id: str = ""
    test: bool = False
    pay_method: str = "creditcard"
    order_type: str = "regular"
    force_rebilling: bool = False
    status: str = "unpaid"
    """paying, completed, aborted, unpaid or reminding."""
    stop_reason: str = ""
    sequence: int = 0
    rebilling: bool = False
    next_payment_at: datetime | None = None
    ends_at: datetime | None = None
    """When the last paid day is over, where nothing more will be paid."""
    misses: int = 0
    card: str = "ok"
    """What a further payment comes to: ok, declined or pending."""
    declines_left: int | None = None
    """After so many declined payments the card is good again; None is never."""
    billed_at: list[datetime] = field(default_factory=list)
    """When it was charged on demand."""
    upgraded_order_id: str = ""
    upgrade_type: str = ""
    delivery_date: datetime | None = None
    purchase_key: str = ""
    placeholders: dict[str, str] = field(default_factory=dict)
    money: list[Money] = field(default_factory=list)
    """In the order in which it moved."""

    def given_back(self, payment: Money) -> Decimal:
        """What of a payment has gone back."""
        back = (each.amount for each in self.money if each.parent_id == payment.id and each.type != "payment")
        return sum(back, Decimal(0))

    def total(self, *types: str) -> Decimal:
        """How much money of these types has moved."""
        return sum((each.amount for each in self.money if each.type in types), Decimal(0))

    @property
    def product_id(self) -> str:
        """What it is for, mainly."""
        return self.lines[0].product_id


@dataclass
class Connection:
    """Where messages go."""

    id: str
    url: str
    domain_id: str
    name: str
    passphrase: str
    key_id: str
    product_ids: str = "all"
    categories: str = "orders"
    transactions: str = "payment,refund,chargeback,payment_missed"
    timing: str = "before_thankyou"

    def wants(self, transaction: str, product_id: str) -> bool:
        """Whether it is told of that."""
        products = self.product_ids.split(",")
        return transaction in self.transactions.split(",") and ("all" in products or product_id in products)


@dataclass
class Message:
    """A notification, and what became of it."""

    id: str
    event: str
    order_id: str
    transaction_id: str
    domain_id: str
    url: str
    body: str
    at: datetime
    due_at: datetime | None
    """When it is sent next; None is never, unless somebody says so."""
    held: bool = False
    done: bool = False
    rung: int = 0
    """How often it was tried, not counting what came twice."""
    tries: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class State:
    """All of it. Ids are drawn: a ledger that outlives the stand-in must not meet them a second time."""

    keys: dict[str, Key] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=dict)
    upgrades: dict[str, Upgrade] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    money: dict[str, Money] = field(default_factory=dict)
    connections: dict[str, Connection] = field(default_factory=dict)
    """By the key and domain_id that they were set up with."""
    messages: dict[str, Message] = field(default_factory=dict)
    testpay_key: str = ""
    random: Random = field(default_factory=Random)
    last_number: int = 0

    def __post_init__(self) -> None:
        self.last_number = self.random.randrange(10**6, 10**9)

    def number(self) -> str:
        """A new number."""
        self.last_number += 1
        return str(self.last_number)

    def letters(self, count: int, alphabet: str = string.ascii_uppercase + string.digits) -> str:
        """New letters, such as those of an order."""
        return "".join(self.random.choices(alphabet, k=count))


def cents(amount: Decimal) -> Decimal:
    """To the cent, as all amounts are."""
    return amount.quantize(CENT)
