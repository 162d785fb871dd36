"""The form of an import file: one JSON object a line, and what each type of line has. Amounts are decimal text or whole
numbers, times RFC 3339; what a line has no field for is refused by name.

The docstrings are the words of `docs/reference.md`.
"""

import re
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from farthing.core.records import Category
from farthing.core.subscription import NOBODY, BilledBy

Amount = str | int
KeyKind = Literal["charge", "grant", "session"]
FORMAT: Final = 1


class Totals(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a file comes to, as the system it is from has reckoned it; what is given is compared."""

    credits: Amount
    """What remains of all grants, less all debts."""
    accounts: int | None = None
    """Accounts that have a grant or a debt here."""
    grants: int | None = None
    """Lines of that type; one that says the same as another counts once."""
    debts: int | None = None
    """The same of debts."""
    users: int | None = None
    """Of users."""
    keys: int | None = None
    """Of keys."""
    payments: int | None = None
    """Of payments; those that a grant names are none."""
    subscriptions: int | None = None
    """Of subscriptions."""


class HeaderLine(Struct, tag="header", forbid_unknown_fields=True, kw_only=True):
    """The first line, where there is one."""

    format: Literal[1] = FORMAT
    """Of the file: 1."""
    source: str = ""
    """The system that it is from, such as `accounting`: part of all keys, so that two systems may have the same ids."""
    totals: Totals | None = None
    """What the file comes to; or a last line says it."""


class TotalsLine(Totals, tag="totals", forbid_unknown_fields=True, kw_only=True):
    """The last line: what the file comes to. A file that was cut off lacks it."""


class PlanLine(Struct, tag="plan", forbid_unknown_fields=True, kw_only=True):
    """A plan. One of that id that is there already must say the same."""

    plan: Raw
    """As a file for `farthing plans import` has it."""


class CardLine(Struct, tag="card", forbid_unknown_fields=True, kw_only=True):
    """A version of a rate card, or of a PriceCalc profile; begins as soon as it can."""

    document: Raw
    """As a file for `farthing prices card put` has it."""
    card: str = "default"
    """Its name."""


class UserLine(Struct, tag="user", forbid_unknown_fields=True, kw_only=True):
    """Somebody who signs in. One of that id who is there already stays as he is."""

    id: str
    """His own, which is the name of his account too: the `sub` of his tokens."""
    username: str | None = None
    """What he signs in by."""
    email: str | None = None
    """His address, which he signs in by as well."""
    password: str | None = None
    """The hash of it: bcrypt (`$2a$`, `$2b$`, `$2y$`) or argon2; hashed anew when he signs in. `-`: he has none yet.
    Left out, he signs in elsewhere."""
    role: str = "user"
    """`user` (or `enduser`), `supervisor`, `admin`."""
    verified: bool = False
    """Whether his address is known to be his."""
    created_at: str | None = None
    """Since when. Left out: now."""


class AccountLine(Struct, tag="account", forbid_unknown_fields=True, kw_only=True):
    """An account: its settings, and what it must come to. One without a line is made by its first grant."""

    account: str
    """Its id."""
    opened_at: str | None = None
    """The date of its first entry, where it is made here."""
    allowance: Amount | UnsetType = UNSET
    """How far it may be overdrawn."""
    frozen: bool | UnsetType = UNSET
    """Whether nothing can be charged or held."""
    spend_limit_day: Amount | UnsetType = UNSET
    """What may be spent in a day."""
    spend_limit_month: Amount | UnsetType = UNSET
    """And in a month."""
    timezone: str | UnsetType = UNSET
    """In which days and months of its limits begin."""
    balance: Amount | None = None
    """What its grants here come to, less its debts: compared before anything is written."""


class PaymentObject(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a provider calls a payment."""

    provider: str
    """`stripe`, `digistore24`."""
    object: str
    """Its own id of it: a payment intent, a transaction."""


class GrantLine(Struct, tag="grant", forbid_unknown_fields=True, kw_only=True):
    """Credits that are left of something given: one entry. One whose date has passed is entered, and lapses at once."""

    id: str
    """What the other system calls it: imported again, it is the same grant."""
    account: str
    """Whose it is."""
    remaining: Amount
    """What is left."""
    granted: Amount | None = None
    """What was given; what is missing of it counts as spent. Left out: what is left."""
    expires_at: str | None = None
    """Left out or null: never."""
    granted_at: str | None = None
    """When it was given. Left out: now."""
    category: Category = "paid"
    """`paid` or `promotional`."""
    priority: int = 50
    """0 to 100; the lower burns first."""
    scope: tuple[str, ...] = ()
    """Patterns of what may burn it, such as `operation:image.*`; none: anything."""
    source: dict[str, str] | None = None
    """Where it came from, for those who ask: an order, a campaign."""
    payment: PaymentObject | None = None
    """That paid for it, and is never credited again: `{"provider": "stripe", "object": "pi_1"}`."""
    description: str | None = None
    """A sentence for the history."""
    metadata: Raw = Raw()
    """A JSON object that is kept with the entry."""


class DebtLine(Struct, tag="debt", forbid_unknown_fields=True, kw_only=True):
    """A balance below zero: what the account owes. Its next grants repay it."""

    account: str
    """Whose it is."""
    amount: Amount
    """Above zero."""
    id: str = ""
    """What the other system calls it; left out, the account has one."""
    reason: str
    """Why: the description of its entry."""
    metadata: Raw = Raw()
    """A JSON object that is kept with the entry."""


class KeyLine(Struct, tag="key", forbid_unknown_fields=True, kw_only=True):
    """A spent idempotency key with its answer: whoever sends it again is told the same, and charged nothing."""

    account: str
    """Whose it is."""
    key: str
    """With the beginning that says through which API it came: `cw.deduct:`, `cw.add:`, `acc.deduct:`, `acc.usage:`,
    `acc.allocate:`, `acc.session:`, `v1:`."""
    kind: KeyKind
    """What it was for: a charge, a grant, the beginning of a streaming session."""
    amount: Amount
    """As it was asked for, digit by digit; of a session what was held."""
    at: str
    """When it was answered."""
    balance: Amount | None = None
    """After it. Needed, but for a session."""
    operation: str = ""
    """Of a charge: what for."""
    service: str = ""
    """Of `acc.usage:`."""
    model: str = ""
    """Of a session."""
    tokens: int | None = None
    """Of a session: how many were estimated."""
    source: dict[str, str] | None = None
    """Of `cw.add:`: productId, orderId, transactionId."""
    id: str = ""
    """What the answer called it: a transaction, an allocation."""
    expires_at: str | None = None
    """Of `acc.allocate:`: when what was given ends."""
    description: str | None = None
    """As the answer tells it."""
    metadata: Raw = Raw()
    """Of `v1:`: as the answer tells it."""


class PaymentLine(Struct, tag="payment", forbid_unknown_fields=True, kw_only=True):
    """A payment that was credited there, and is never credited again; moves no credits. Where its grant is in the file,
    the grant names it instead."""

    account: str
    """Whose it was."""
    provider: str
    """`stripe`, `digistore24`."""
    object: str
    """The provider's own id of it."""
    credits: Amount
    """What it was credited with."""
    description: str | None = None
    """A sentence for the history."""
    metadata: Raw = Raw()
    """A JSON object that is kept with the entry."""


class SubscriptionLine(Struct, tag="subscription", forbid_unknown_fields=True, kw_only=True):
    """An account's subscription. Nothing is given now: its next period begins when it would have."""

    account: str
    """Whose it is."""
    plan: str
    """The id of its plan."""
    next_at: str
    """When its next period begins."""
    expires_at: str | None = None
    """Until when it is paid. One whose time is over is left out."""
    billed_by: BilledBy = NOBODY
    """`none`, `stripe` or `digistore24`, whose payments renew it then."""
    renewed_at: str | None = None
    """When it was renewed last."""


Line = (
    HeaderLine | TotalsLine | PlanLine | CardLine | UserLine | AccountLine | GrantLine | DebtLine | KeyLine
    | PaymentLine | SubscriptionLine
)  # fmt: skip
TYPES: Final[dict[str, type[Struct]]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        HeaderLine, PlanLine, CardLine, UserLine, AccountLine, GrantLine, DebtLine, KeyLine, PaymentLine,
        SubscriptionLine, TotalsLine,
    )
}  # fmt: skip
LONGEST_LINE: Final = 1_048_576
_decoder: Final[msgspec.json.Decoder[Line]] = msgspec.json.Decoder(Line)
_AT = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)
_NAMED = re.compile(r"field `([^`]+)`")


class Wrong(ValueError):
    """What can't be right of a line: the field, and why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field} {message}")
        self.field = field
        self.message = message


def decode(text: bytes) -> Line:
    """A line by its type; `Wrong` where it is none."""
    if len(text) > LONGEST_LINE:
        raise Wrong("the line", f"has more than {LONGEST_LINE:,} bytes")
    try:
        return _decoder.decode(text)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Wrong("the line", f"is no JSON object: {error}") from error


def _named(said: str) -> Wrong:
    """What the decoder says, by the field that it is about."""
    found = _AT.fullmatch(said)
    assert found is not None, "the pattern takes any text"
    text, field = found[1], found[2] or ""
    if named := _NAMED.search(text):
        return Wrong(f"{field}.{named[1]}".lstrip("."), "is needed" if "missing" in text else "is unknown")
    if field == "type":
        return Wrong("type", f"must be one of {', '.join(TYPES)}")
    if "got `float`" in text:
        return Wrong(field, 'must be decimal text, such as "7.5": a number with a point is not exact')
    return Wrong(field or "the line", f"is not right: {text[:1].lower()}{text[1:]}")
