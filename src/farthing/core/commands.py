"""Commands: all that may be asked of the ledger. A face reads one from a request; `decide` says what comes of it.

`id` and `at` are stamped by the engine when the command is submitted and kept across retries of its batch. `check`
holds what makes a command well-formed; what depends on the books is decided in `decide`.

Well over 400 lines: all that may be asked stands in one place, and its form beside it.
"""

from typing import Any, ClassVar, Literal

from msgspec import UNSET, Struct, UnsetType

from .amounts import MAX_AMOUNT
from .auto_top_up import AutoTopUp
from .auto_top_up import problems as top_up_problems
from .quantities import form_problem
from .records import Category, OnExpiry, Record, StreamSession
from .subscription import NOBODY, BilledBy, end_key, renewal_key
from .usage import Metered

Shortfall = Literal["refuse", "take", "debt"]

TEXT_BYTES = 255
KEY_BYTES = 272
"""The caller's 255 and the prefix of the key's kind."""
MINUTE_US = 60_000_000
DAY_US = 24 * 60 * MINUTE_US
MAX_TIME_US = 253_402_300_800_000_000
"""The year 10000: what a date can still be written for."""


class Command(Struct, kw_only=True):
    """What every command carries. `key` has the prefix of its kind; without one a repeat is a new act."""

    kind: ClassVar[str]
    workspace: str
    account: str
    key: str | None = None
    actor: str = ""
    role: str = ""
    """Of a person who acts: user, supervisor, admin."""
    request_id: str = ""
    description: str | None = None
    metadata: str | None = None
    """A JSON object, as text."""
    operation: str = ""
    records: tuple[Record, ...] = ()
    """Rows of any slice that ride in the commit."""
    final: bool = False
    """Record a refusal under the key, as an entry of 0: a repeat gets the same refusal."""
    asked: str = ""
    """The amount as it was sent, where the face rounded it."""
    id: str = ""
    at: int = 0


class CreateAccount(Command):
    """Open an account."""

    kind = "open"


class SetAccount(Command):
    """Change account settings; what is UNSET stays."""

    kind = "settings"
    allowance: int | UnsetType = UNSET
    frozen: bool | UnsetType = UNSET
    spend_limit_day: int | UnsetType | None = UNSET
    spend_limit_month: int | UnsetType | None = UNSET
    timezone: str | UnsetType = UNSET
    balance_low: int | UnsetType | None = UNSET
    balance_critical: int | UnsetType | None = UNSET
    auto_top_up: AutoTopUp | UnsetType | None = UNSET
    expected: str | None = None
    """Change nothing unless the settings are those that this is the `etag` of."""


class GiveGrant(Command):
    """Give credits. Makes the account unless it `must_exist`; an unscoped grant first repays debt."""

    kind = "grant"
    amount: int
    category: Category = "paid"
    priority: int = 50
    expires_at: int | None = None
    scope: tuple[str, ...] = ()
    source: dict[str, str] | None = None
    must_exist: bool = False
    claim: tuple[str, str] | None = None
    """Provider and payment object, claimed before the credits are given."""


class Void(Command):
    """Take a grant back: what is free now, what is pinned when it is released, what is spent as debt."""

    kind = "void"
    grant: str


class TakeBack(Command):
    """Take what a payment gave, as its money goes back: what is free of its grant, the rest as debt."""

    kind = "clawback"
    grant: str
    total: int
    """In all, what was taken before included: it may be told twice, and in any order."""


class OpenDispute(Command):
    """Pin what is free of a payment's grant, until it is known who keeps the money."""

    kind = "dispute"
    grant: str


class CloseDispute(Command):
    """Give back what a dispute has pinned; and take what goes back with the money."""

    kind = "close"
    hold: str
    grant: str
    total: int
    """In all; 0 where the money stays."""


class TakeCharge(Command):
    """Take credits for a usage."""

    kind = "charge"
    amount: int
    shortfall: Shortfall = "refuse"
    attributes: dict[str, str] = {}
    usage: Metered | None = None
    """What was used; recorded even when it costs nothing. `amount` is its price."""


class PlaceHold(Command):
    """Set credits aside for work in progress, until `expires_at` or for `ttl` microseconds."""

    kind = "hold"
    amount: int
    ttl: int
    on_expiry: OnExpiry = "release"
    attributes: dict[str, str] = {}
    usage: Metered | None = None
    """What is expected to be used, where `amount` was reckoned from it."""
    session: StreamSession | None = None
    """That it begins."""


class Extend(Command):
    """Move a hold's end, raise its amount, or report what was used so far."""

    kind = "extend"
    hold: str
    expires_at: int | None = None
    raise_by: int = 0
    metered: int | None = None


class Settle(Command):
    """Take what the work cost: less than the hold, as much, or more. `amount` None is all that is left of it."""

    kind = "settle"
    hold: str
    amount: int | None = None
    last: bool = True
    shortfall: Shortfall = "refuse"
    late: Literal["refuse", "charge"] = "refuse"
    usage: Metered | None = None
    """What was used; `amount` is its price."""
    session: StreamSession | None = None
    """That it ends."""


class Release(Command):
    """Give back all that a hold still sets aside."""

    kind = "release"
    hold: str


class Refund(Command):
    """Give a charge back into the grants it came from; without `charge`, the account's latest ones."""

    kind = "refund"
    charge: str | None = None
    amount: int | None = None


class Adjust(Command):
    """Correct a balance by a difference: give as a grant, or write off; `force` may leave debt."""

    kind = "adjust"
    amount: int
    expires_at: int | None = None
    category: Category = "promotional"
    force: bool = False


class SetBalance(Command):
    """Set what can be spent: `replace` writes off all free grants and gives one new; `difference` moves the rest."""

    kind = "set"
    amount: int
    mode: Literal["replace", "difference"]
    expires_at: int | None = None
    category: Category = "promotional"


class Lapse(Command):
    """Book what time has done to an account: lapsed grants, holds that ended. Writes no entry of its own."""

    kind = "lapse"


class Import(Command):
    """Bring what another system had. Makes the account."""

    kind = "import"
    granted: int = 0
    """What a grant gave there."""
    remaining: int = 0
    """What is left of it."""
    owed: int = 0
    """What was spent there beyond all grants: debt."""
    credited: int = 0
    """What a payment was credited with there, where its grant is none of this command."""
    category: Category = "paid"
    priority: int = 50
    expires_at: int | None = None
    given_at: int | None = None
    """When it was given there."""
    scope: tuple[str, ...] = ()
    source: dict[str, str] | None = None
    claim: tuple[str, str] | None = None
    """Provider and payment object: credited there, and never again."""


class Subscribe(Command):
    """Buy a plan, or change to it: its first period, its dates and the account's subscription in one entry. Makes the
    account where there is none."""

    kind = "subscribe"
    plan: str
    expires_at: int | None = None
    """Until when it is paid; left out: the first period of a plan that is paid, for ever of one that is not."""
    billed_by: BilledBy = NOBODY
    next_at: int | None = None
    """It runs elsewhere already: nothing is given now, and its next period begins then."""
    renewed_at: int | None = None
    """When it was renewed there last."""
    order: str = ""
    """The purchase by which it runs, by its provider's name of it."""
    seen: str | None = None
    """Refuse unless the account's subscription is as it was read: `subscription.seen_mark` of it."""
    claim: tuple[str, str] | None = None
    """Provider and payment object, claimed before anything is given."""


class Renew(Command):
    """Give the period that is due. Its key says which subscription and period, whoever asks."""

    kind = "renew"
    subscription: str
    period_at: int
    """When the period begins: that of the subscription's row."""
    expires_at: int | None = None
    """Until when a payment has paid it."""
    claim: tuple[str, str] | None = None


class Unsubscribe(Command):
    """End a subscription: now, or with the time that is paid. Credits that it gave stay."""

    kind = "unsubscribe"
    at_once: bool = False


class Resume(Command):
    """Take a cancellation back, before the subscription has ended."""

    kind = "resume"


class ChangePlan(Command):
    """Bring a subscription to another plan with its next renewal; naming its own plan takes that back."""

    kind = "change"
    plan: str


class EndSubscription(Command):
    """End a subscription whose paid time is over."""

    kind = "end"
    subscription: str


NAMES_HOLD = (Extend, Settle, Release, CloseDispute)
NAMES_GRANT = (Void, TakeBack, OpenDispute, CloseDispute)
USAGE_TEXTS = ("provider", "model", "service", "operation", "product", "chat")
OF_SUBSCRIPTIONS = (Subscribe, Renew, Unsubscribe, Resume, ChangePlan, EndSubscription)
NAMES_PLAN = (Subscribe, ChangePlan)
CLAIMS = (GiveGrant, Subscribe, Renew, Import)
"""May claim a payment."""
ADMINISTRATIVE = frozenset(
    {"open", "settings", "grant", "void", "refund", "adjust", "set", "subscribe", "unsubscribe", "resume", "change"}
)
"""Kinds that leave an audit record in their commit."""


class Invalid(Struct, frozen=True):
    """Why a command is not well-formed: the field, and a sentence that helps."""

    field: str
    message: str


def check(command: Command) -> Invalid | None:
    """The first thing that is wrong with a command by itself, whatever the books say."""
    # Told apart by hand: a hold is named without its account in one dialect, all else names the account.
    if not (isinstance(command, NAMES_HOLD) and not command.account) and (wrong := text_error(command.account)):
        return Invalid("account", wrong)
    if command.key is not None and (wrong := text_error(command.key, KEY_BYTES)):
        return Invalid("key", wrong)
    if command.operation and (wrong := text_error(command.operation)):
        return Invalid("operation", wrong)
    if (command.description is not None or command.metadata is not None) and (invalid := _check_words(command)):
        return invalid
    special = _SPECIAL.get(type(command))
    return special(command) if special else None


def text_error(text: str, most: int = TEXT_BYTES) -> str | None:
    """Why a text can't be an account or a key: 1 to 255 bytes of UTF-8 without control characters."""
    if not text:
        return "must not be empty"
    # `isprintable` is the quick yes; only text with unusual characters is looked at one by one.
    if len(text) <= 63 and text.isprintable():
        return None
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "must be valid Unicode text"
    if size > most:
        return f"must have at most {most} bytes"
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text):
        return "must have no control characters"
    return None


def _check_words(command: Command) -> Invalid | None:
    description, metadata = command.description or "", command.metadata or ""
    if len(description) > 1_000:
        return Invalid("description", "must have at most 1,000 characters")
    for field, text in (("description", description), ("metadata", metadata)):
        if not is_unicode(text):
            return Invalid(field, "must be valid Unicode text")
        if "\0" in text:
            return Invalid(field, "must not contain the character NUL")
    if len(metadata) > 16_384 or (not metadata.isascii() and len(metadata.encode()) > 16_384):
        return Invalid("metadata", "must have at most 16 kB as JSON")
    return None


def is_unicode(text: str) -> bool:
    """Whether the text can be written down: half a surrogate pair can't."""
    return text.isascii() or not any(0xD800 <= ord(c) < 0xE000 for c in text)


def _check_texts(field: str, texts: dict[str, str]) -> Invalid | None:
    if not texts:
        return None
    # Nearly all are ASCII, which is seen without a look at each character.
    if all(map(str.isascii, texts)) and all(map(str.isascii, texts.values())):
        return None
    if all(map(is_unicode, (*texts, *texts.values()))):
        return None
    return Invalid(field, "must be valid Unicode text")


def _above_zero(amount: int) -> Invalid | None:
    return _below_maximum(amount) or (None if amount > 0 else Invalid("amount", "must be above zero"))


def _below_maximum(amount: int) -> Invalid | None:
    if type(amount) is not int:
        return Invalid("amount", "must be an int, in smallest units")
    if not -MAX_AMOUNT < amount < MAX_AMOUNT:
        return Invalid("amount", "is too large")
    return None


def _check_charge(c: Any) -> Invalid | None:
    if wrong := _below_maximum(c.amount):
        return wrong
    if c.amount > 0 or (c.amount == 0 and c.usage is not None):
        if c.usage is not None and (wrong := _check_usage(c.usage)):
            return wrong
        return _check_texts("attributes", c.attributes) if c.attributes else None
    return Invalid("amount", "must be above zero" if c.usage is None else "must not be negative")


def _check_usage(metered: Metered) -> Invalid | None:
    """That what names a usage can be written down. Its numbers were looked at where it was priced, if it was."""
    usage = metered.usage
    if metered.given and (problem := form_problem(usage)):
        return Invalid(f"usage.{problem.field}", problem.message.removeprefix(f"{problem.field} "))
    for field in USAGE_TEXTS:
        text = getattr(usage, field)
        if text and (wrong := text_error(text)):
            return Invalid(f"usage.{field}", wrong)
    if metered.priced.model and (wrong := text_error(metered.priced.model)):
        return Invalid("usage.model", wrong)
    if usage.at is not None and not 0 < usage.at < MAX_TIME_US:
        return Invalid("usage.at", "must be a date before the year 10000")
    return _check_texts("usage", usage.attributes) or _check_texts("usage", usage.dimensions)


def _check_grant(c: Any) -> Invalid | None:
    if wrong := _above_zero(c.amount):
        return wrong
    return _check_terms(c)


def _check_terms(c: Any) -> Invalid | None:
    """All that is said of a grant, but its amount."""
    if not 0 <= c.priority <= 100:
        return Invalid("priority", "must be a whole number from 0 to 100; the lower burns first")
    if len(c.scope) > 20:
        return Invalid("scope", "must have at most 20 patterns")
    for pattern in c.scope:
        if text_error(pattern):
            return Invalid("scope", "must be patterns such as 'operation:image.*' or 'model:gpt-4o'")
    if wrong := _check_claim(c):
        return wrong
    return _check_texts("source", c.source or {}) or _check_date(c.expires_at)


_IMPORTED = ("granted", "remaining", "owed", "credited")


def _check_import(c: Any) -> Invalid | None:
    for field, value in zip(_IMPORTED, (c.granted, c.remaining, c.owed, c.credited), strict=True):
        if value and (wrong := _not_negative(value)):
            return Invalid(field, wrong.message)
    if c.remaining > c.granted:
        return Invalid("remaining", "must not be more than was granted")
    if c.granted and c.owed:
        return Invalid("owed", "must not go with a grant")
    if c.given_at is not None and not 0 < c.given_at < MAX_TIME_US:
        return Invalid("given_at", "must be a date before the year 10000")
    return _check_terms(c)


def _check_claim(c: Any) -> Invalid | None:
    if c.claim and any(text_error(text) for text in c.claim):
        return Invalid("claim", "must be the names of a provider and of its payment")
    return None


def _check_subscribe(c: Any) -> Invalid | None:
    if wrong := text_error(c.plan):
        return Invalid("plan", wrong)
    if c.next_at is not None and not 0 < c.next_at < MAX_TIME_US:
        return Invalid("next_at", "must be a date before the year 10000")
    return _check_claim(c) or _check_date(c.expires_at)


def _check_change(c: Any) -> Invalid | None:
    wrong = text_error(c.plan)
    return Invalid("plan", wrong) if wrong else None


def _check_renew(c: Any) -> Invalid | None:
    if c.key != renewal_key(c.subscription, c.period_at):
        return Invalid("key", "must be that of the subscription and its period: a period is given once")
    if c.final:
        return _NOT_FINAL
    return _check_claim(c) or _check_date(c.expires_at)


def _check_end(c: Any) -> Invalid | None:
    if c.key != end_key(c.subscription):
        return Invalid("key", "must be that of the subscription's end")
    return _NOT_FINAL if c.final else None


_NOT_FINAL = Invalid(
    "final", "must be false: the key is that of all who ask for the same, and has to stay free for them"
)


def _check_date(expires_at: int | None) -> Invalid | None:
    if expires_at is not None and not 0 < expires_at < MAX_TIME_US:
        return Invalid("expires_at", "must be a date before the year 10000")
    return None


def _check_hold(c: Any) -> Invalid | None:
    if c.ttl <= 0:
        return Invalid("ttl", "must be above zero")
    if c.usage is not None and (wrong := _check_usage(c.usage)):
        return wrong
    return _above_zero(c.amount) or _check_texts("attributes", c.attributes)


def _check_extend(c: Any) -> Invalid | None:
    if c.expires_at is None and c.raise_by == 0 and c.metered is None:
        return Invalid("expires_at", "give a new end, an amount to raise by, or what was metered")
    for field, value in (("raise_by", c.raise_by), ("metered", c.metered or 0)):
        if wrong := _below_maximum(value):
            return Invalid(field, wrong.message)
    if c.raise_by < 0:
        return Invalid("raise_by", "must not be negative: a hold is lowered by settling part of it")
    if c.metered is not None and c.metered < 0:
        return Invalid("metered", "must not be negative")
    return _check_date(c.expires_at)


def _check_settle(c: Any) -> Invalid | None:
    if c.usage is not None and (wrong := _check_usage(c.usage)):
        return wrong
    return None if c.amount is None else _not_negative(c.amount)


def _not_negative(amount: int) -> Invalid | None:
    return _below_maximum(amount) or (None if amount >= 0 else Invalid("amount", "must not be negative"))


def _check_refund(c: Any) -> Invalid | None:
    if c.amount is None:
        return None if c.charge else Invalid("amount", "is needed where no charge is named")
    return _above_zero(c.amount)


def _check_adjust(c: Any) -> Invalid | None:
    if wrong := _below_maximum(c.amount):
        return wrong
    return _check_date(c.expires_at) if c.amount else Invalid("amount", "must not be zero")


def _check_set(c: Any) -> Invalid | None:
    return _not_negative(c.amount) or _check_date(c.expires_at)


FIRST_SETTINGS = ("allowance", "frozen", "spend_limit_day", "spend_limit_month", "timezone")
LATER_SETTINGS = ("balance_low", "balance_critical", "auto_top_up")
"""Not there from the beginning: see `decide.content`."""
SETTING_FIELDS = FIRST_SETTINGS + LATER_SETTINGS


def _check_settings(c: Any) -> Invalid | None:
    for field in ("allowance", "spend_limit_day", "spend_limit_month", "balance_low", "balance_critical"):
        value = getattr(c, field)
        if value is None and field == "allowance":
            return Invalid(field, "must be an amount; 0 allows none")
        if value is not UNSET and value is not None and (type(value) is not int or not 0 <= value < MAX_AMOUNT):
            return Invalid(field, "must be an int, zero or above, and not too large")
    return _check_auto_top_up(c.auto_top_up)


def _check_auto_top_up(wanted: AutoTopUp | UnsetType | None) -> Invalid | None:
    if wanted is UNSET or wanted is None:
        return None
    assert isinstance(wanted, AutoTopUp)
    return next((Invalid(f"auto_top_up.{p.field}", p.message) for p in top_up_problems(wanted)), None)


def _check_total(c: Any) -> Invalid | None:
    wrong = _not_negative(c.total)
    return Invalid("total", wrong.message) if wrong else None


_SPECIAL = {
    TakeBack: _check_total,
    CloseDispute: _check_total,
    TakeCharge: _check_charge,
    GiveGrant: _check_grant,
    Import: _check_import,
    PlaceHold: _check_hold,
    Extend: _check_extend,
    Settle: _check_settle,
    Refund: _check_refund,
    Adjust: _check_adjust,
    SetBalance: _check_set,
    SetAccount: _check_settings,
    Subscribe: _check_subscribe,
    Renew: _check_renew,
    ChangePlan: _check_change,
    EndSubscription: _check_end,
}
