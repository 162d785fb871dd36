"""Records: what the ledger keeps. All are immutable by convention; a decision works on copies.

Amounts are smallest units, times microseconds since the epoch (UTC). Field order of the array-like records is their
stored form: add at the end only. A little over 400 lines: what is kept stands in one place.
"""

from typing import Any, Literal

from msgspec import Struct

from .auto_top_up import AutoTopUp
from .subscription import Subscription, SubscriptionRow
from .usage import Metered

Category = Literal["paid", "promotional"]
OnExpiry = Literal["release", "metered", "all"]
HoldState = Literal["live", "settled", "released", "expired"]
RefundLapsed = Literal["grace", "lapse"]
UnknownModels = Literal["default", "refuse", "unpriced"]
OnOff = Literal["on", "off"]
SignUp = Literal["open", "closed"]


class Grant(Struct, array_like=True, frozen=True, gc=False):
    """Credits given and not yet spent: a line in the account's row, in burn order."""

    id: str
    remaining: int
    held: int
    category: Category
    priority: int
    expires_at: int | None
    created_at: int
    scope: tuple[str, ...] = ()
    voided: bool = False
    """Voided while part of it was pinned by a hold: what a hold gives back is written off at once."""


class GrantTerms(Struct, frozen=True, omit_defaults=True):
    """A grant as it was given; its row in the history, and its terms on the entry that made it."""

    id: str
    amount: int
    category: Category = "paid"
    priority: int = 50
    expires_at: int | None = None
    created_at: int = 0
    scope: tuple[str, ...] = ()
    source: dict[str, str] | None = None
    origin: str = ""
    """The grant that this one stands in for: a refund whose own grant had lapsed or was voided."""
    voided: bool = False
    gone: int = 0
    """What lapsed or was written off; amount - gone - remaining is what was spent."""
    owed: int = 0
    """What of it was spent, and became debt when its payment went back."""


class AccountSettings(Struct, array_like=True, frozen=True):
    """What an operator sets on an account."""

    allowance: int = 0
    """Overdraft: how far available may be spent below the grants."""
    frozen: bool = False
    spend_limit_day: int | None = None
    spend_limit_month: int | None = None
    timezone: str = "UTC"
    """IANA name of the zone in which days and months of the spend limits begin."""
    balance_low: int | None = None
    """Below it the balance counts as low; None: as the workspace says."""
    balance_critical: int | None = None
    auto_top_up: AutoTopUp | None = None
    """What is bought by itself; None: nothing."""


class Window(Struct, array_like=True, frozen=True, gc=False):
    """What was spent in the present day and month; kept only for accounts with a spend limit."""

    day_from: int
    day_until: int
    day_spent: int
    month_from: int
    month_until: int
    month_spent: int


class Account(Struct):
    """An account as its row has it: a snapshot that the entries explain and can rebuild."""

    workspace: str
    id: str
    bucket: int
    number: int = 0
    """Number of the last entry: 1, 2, 3 without a gap."""
    balance: int = 0
    """Live grants less debt, held credits included."""
    held: int = 0
    debt: int = 0
    earned: int = 0
    spent: int = 0
    lapsed: int = 0
    written_off: int = 0
    at: int = 0
    """Time of the last entry; an account's time never goes back."""
    head: bytes = b""
    """Hash of the last entry."""
    holds: int = 0
    """Live holds."""
    lapse_at: int | None = None
    """When the next free credits lapse."""
    hold_due_at: int | None = None
    """No live hold ends before this instant (it may be earlier than the first one's end)."""
    grants: list[Grant] = []
    settings: AccountSettings = AccountSettings()
    window: Window | None = None


class Hold(Struct):
    """Credits set aside for work in progress; a row of its own."""

    id: str
    workspace: str
    account: str
    bucket: int
    amount: int
    """Set aside in all, raises included."""
    remaining: int
    """Still set aside."""
    settled: int
    """Taken so far."""
    metered: int
    """The last report of what was used, in all."""
    state: HoldState
    on_expiry: OnExpiry
    operation: str
    created_at: int
    expires_at: int
    slices: tuple[tuple[str, int], ...] = ()
    """Grants that it pins, in burn order; what they don't cover is on the overdraft allowance."""
    attributes: dict[str, str] = {}
    """Service, model and product, for grants with a scope."""


class Slice(Struct, array_like=True, frozen=True, gc=False):
    """The part of a charge that one grant paid."""

    grant: str
    amount: int
    refunded: int = 0


class Charge(Struct):
    """What became of a charge after its entry: refunds, debt. Without a row of its own it stands as its entry says.
    A void and a forced adjustment that leave debt have one too, so that grants can repay it."""

    id: str
    kind: str
    workspace: str
    account: str
    bucket: int
    at: int
    amount: int
    refunded: int
    debt: int
    """Not paid by any grant yet."""
    forgiven: int
    """Debt that was written off; never refundable."""
    slices: tuple[Slice, ...]


class HoldTerms(Struct, frozen=True, omit_defaults=True):
    """A hold on an entry: all of it where the entry made it, else what the entry changed."""

    id: str
    amount: int = 0
    """Change of what was set aside in all."""
    remaining: int = 0
    """Change of what is still set aside."""
    state: HoldState = "live"
    expires_at: int | None = None
    on_expiry: OnExpiry | None = None
    metered: int | None = None
    slices: tuple[tuple[str, int], ...] = ()
    """Grants and the change of what is pinned in them for this hold."""
    attributes: dict[str, str] | None = None


class Body(Struct, omit_defaults=True):
    """The details of an entry, from which the account can be rebuilt; stored and hashed as JSON text."""

    slices: list[tuple[str, int, int]] = []
    """Grant, change of its remaining credits, change of what is held in it."""
    grants: list[GrantTerms] = []
    """Grants made by this entry (their credits are given here, not by a slice)."""
    gone: list[tuple[str, int]] = []
    """Grant, credits of it that lapsed or were written off here."""
    voided: list[str] = []
    """Grants that are voided from this entry on."""
    hold: HoldTerms | None = None
    debts: list[tuple[str, int]] = []
    """Charge, change of its unpaid debt."""
    refunds: list[tuple[str, str, int]] = []
    """Charge, grant it had burnt ('' for unpaid debt), credits refunded."""
    repaid: list[tuple[str, str, int]] = []
    """Charge, grant that now paid its debt, credits."""
    settings: AccountSettings | None = None
    ref: str = ""
    """What the command named: a hold, a charge, a grant."""
    earned: int = 0
    spent: int = 0
    lapsed: int = 0
    written_off: int = 0
    scoped: int = 0
    """Credits in scoped grants after this entry, which the dialects' totals do not count."""
    unpaid: int = 0
    """What shortfall `take` could not take."""
    asked: str = ""
    """The amount as it was sent, where rounding changed it or nothing else tells it; of a renewal, its asker's key."""
    refused: dict[str, Any] | None = None
    """A refusal that was recorded under its key (`final`)."""
    usage: Metered | None = None
    """What was used, and how it came to its price."""
    subscription: Subscription | None = None
    """The account's subscription after this entry, which changed it."""
    beyond: int = 0
    """What can be spent after this entry is balance - held - scoped, and this: the overdraft allowance, and what holds
    have set aside of grants with a scope."""
    credited: int = 0
    """What another system had credited a payment with that is only claimed here."""
    owed: list[tuple[str, int]] = []
    """Grant, credits of it that were spent and are owed now that its payment went back."""


class Entry(Struct, gc=False):
    """One line of the ledger; never changed."""

    workspace: str
    account: str
    bucket: int
    number: int
    id: str
    kind: str
    amount: int
    balance: int
    held: int
    debt: int
    at: int
    key: str | None
    fingerprint: bytes | None
    actor: str
    request_id: str
    operation: str
    description: str | None
    metadata: str | None
    body: str
    version: int
    hash: bytes


class Workspace(Struct):
    """A tenant: its own accounts, keys and unit, and the rules it chose."""

    id: str
    name: str
    mode: Literal["live", "test"]
    unit: str
    scale: int
    created_at: int
    settings: "WorkspaceSettings"
    told: str = ""
    """Who is told of what (`core.events.told_of` reads it); empty: nobody wants to know anything."""


class WorkspaceSettings(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """What an operator may set for a workspace; each has a documented default."""

    refund_lapsed: RefundLapsed = "grace"
    """Where a refund goes whose grant has lapsed: a new grant for some days, or nowhere."""
    refund_grace_days: int = 7
    """How long the new grant of such a refund lives."""
    hold_max_minutes: int = 43_200
    """How long a hold may live in all, extends included."""
    max_live_grants: int = 1_000
    """Grants with credits left that an account may have."""
    max_live_holds: int = 10_000
    """Holds that an account may have at a time."""
    rate_limit: int = 0
    """Requests a minute for each API key; 0 leaves it to the process's own setting."""
    unknown_models: UnknownModels = "default"
    """Usage that nothing has a price for: by the card's default rules (refused without one), refused, or recorded as
    unpriced, which charges nothing and says so."""
    usage_late_hours: int = 840
    """How long ago usage may have been that is charged now."""
    usage_ahead_seconds: int = 300
    """How far in the future its time may lie, for clocks that differ."""
    usage_record_charges: bool = True
    """Whether recording usage through the accounting dialect charges for it; off where the caller deducts first."""
    session_minutes: int = 60
    """How long a streaming session of the accounting dialect holds its credits when nobody ends it."""
    users_may_charge: bool = False
    """Whether a user's own token may charge his account through v1, beside reading it."""
    retention_days: int = 0
    """For how long entries stay in the ledger before they move to an archive file; 0: for ever."""
    login: OnOff = "on"
    """The login service: with it off, nobody signs in here, and its tokens are not taken."""
    signup: SignUp = "open"
    """Whether people may register themselves, or only an admin makes users."""
    login_host: str = ""
    """The name of the host at which the login service serves this workspace; empty where there is only one."""
    balance_low: str = "1"
    """Below it a balance counts as low, and programs are told; in credits, as decimal text."""
    balance_critical: str = "0.1"
    """Below it a balance counts as critical."""
    expiring_days: int = 7
    """How many days before its end programs are told that a grant expires."""
    metering: str = ""
    """How metered calls of models are held for and settled (`core.metering`), as JSON; empty: as usual."""


# Records that ride in a command's commit. Each is one row; a claim is unique and decides who came first.


class PaymentClaim(Struct, frozen=True):
    """A payment from outside, claimed before it is credited: unique on (workspace, provider, object)."""

    workspace: str
    provider: str
    object: str
    account: str = ""
    entry: str = ""
    at: int = 0


class Audit(Struct, frozen=True):
    """An administrative act: who did what to whom, and when."""

    workspace: str
    at: int
    actor: str
    request_id: str
    action: str
    subject: str
    entry: str = ""
    detail: dict[str, Any] | None = None


class UsageRecord(Struct, frozen=True):
    """What was used, for a charge: a row to find it by, and to count it."""

    id: str
    """Of the charge's entry, which has the rest."""
    workspace: str
    account: str
    bucket: int
    at: int
    """When it was used."""
    booked_at: int
    service: str
    operation: str
    provider: str
    model: str
    chat: str
    input_tokens: int
    output_tokens: int
    tokens: int
    amount: int
    """What was charged."""
    cost: int | None
    """The provider's price, in billionths of the unit."""
    unpriced: bool


class Due(Struct, frozen=True):
    """Something time will do to an account; `at` None takes it off the table."""

    workspace: str
    account: str
    bucket: int
    at: int | None


class TopUpDue(Struct, frozen=True):
    """Somebody is to look whether the account has to be topped up."""

    workspace: str
    account: str
    bucket: int
    at: int


class Event(Struct, frozen=True, gc=False):
    """Something that happened and that programs may want to be told; insert-only."""

    id: str
    """Ordered by time."""
    workspace: str
    """Empty: it is about all of the database."""
    account: str
    """Empty: it is about none."""
    bucket: int
    """Of workspace and account."""
    type: str
    """One of `core.events.TYPES`, such as `charge.created`."""
    at: int
    data: dict[str, Any]
    """All but workspace and account, which programs find beside it in what they are sent."""
    once: str = ""
    """What it is told once for: another with the same words is not written, nor is it told to anybody."""


class Delivery(Struct, frozen=True, gc=False):
    """An event on its way to an endpoint: what is still to be sent."""

    workspace: str
    endpoint: str
    bucket: int
    """Of workspace and account, as the event's."""
    due_at: int
    event: str
    account: str
    number: int
    """Of the account's last entry, where it is about an account: the order in which they are told."""


class KeptKey(Struct, frozen=True):
    """A key that is spent, and whose entry is not among the ledger's: of another system, or archived. It is saved with
    the row of `key`, under the number of the entry it rides with; one that is there already fails the whole commit, so
    look first."""

    workspace: str
    key: str
    account: str
    bucket: int
    fingerprint: bytes
    """Of the content that its first call had: `core.decide.content_mark` of such a command."""
    answer: Entry
    """What a repeat is answered from. Of it are kept: id, kind, sums, time, actor, request id, operation, description,
    body, and of v1's keys metadata."""


class StreamSession(Struct, frozen=True):
    """What a hold or a settle says about the streaming session that it is for."""

    name: str
    """That its client gave it; unique for its account."""
    model: str = ""
    estimated: int = 0
    """What the estimate costs, in smallest units; the hold is for more."""
    failed: bool = False
    """How it ends."""


class SessionStart(Struct, frozen=True):
    """A streaming session of the accounting dialect, by the name that its client gave it: a row beside its hold."""

    workspace: str
    account: str
    bucket: int
    session: str
    hold: str
    model: str
    estimated: int
    """What the estimate costs, in smallest units; the hold is for more."""
    started_at: int


class SessionEnd(Struct, frozen=True):
    """That a streaming session was finalized or aborted; what was taken stands with its hold."""

    workspace: str
    account: str
    bucket: int
    session: str
    ended_at: int
    failed: bool


Record = (
    PaymentClaim | Audit | UsageRecord | SessionStart | SessionEnd | SubscriptionRow | KeptKey | Event | Due
    | TopUpDue
)  # fmt: skip
