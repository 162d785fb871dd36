"""Context: what a batch of decisions may see. The store loads it; each accepted decision is laid over it, so that
later commands of the batch see earlier ones."""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from .checkpoint import Before
from .outcomes import Accepted
from .plans import KeptPlan
from .records import Account, Charge, Entry, GrantTerms, Hold, KeptKey, PaymentClaim, Workspace
from .subscription import Subscription, SubscriptionRow

AccountKey = tuple[str, str]
"""Workspace and account."""


class NewId(Protocol):
    """Makes an id; given to the core because ids hold a random part."""

    def __call__(self, prefix: str, at: int, bucket: int) -> str:
        """A new id of that instant and bucket."""


Calendar = Callable[[int, str], tuple[int, int, int, int]]
"""(instant, zone name) -> start and end of its day, start and end of its month, in microseconds."""

MonthsAfter = Callable[[int, int, str], int]
"""(instant, months, zone) -> the same day and time of day there, so many months on; the last day of a shorter month."""


def no_months(at: int, months: int, zone: str) -> int:
    """Where nothing is decided that counts months."""
    raise AssertionError(f"nobody gave a calendar to count {months} months in {zone} by")


class Claimed(Struct, frozen=True):
    """A payment that was claimed before, with the entry that credited it."""

    claim: PaymentClaim
    entry: Entry


class Context:
    """The loaded state of everything that a batch names; missing means it does not exist."""

    __slots__ = (
        "accounts", "archived", "calendar", "charges", "claims", "done", "due_holds", "grants", "holds", "keys",
        "months_after", "new_id", "next_hold", "now", "only_asked", "owing", "plans", "refundable", "subscriptions",
        "workspaces",
    )  # fmt: skip

    def __init__(self, new_id: NewId, calendar: Calendar, months_after: MonthsAfter = no_months) -> None:
        self.new_id = new_id
        self.only_asked = False
        """Nothing is kept, and of what is accepted nobody wants the entry."""
        self.now = 0
        """When this batch is decided, which events are dated by; 0: when its commands were asked."""
        self.calendar = calendar
        self.months_after = months_after
        self.workspaces: dict[str, Workspace] = {}
        self.accounts: dict[AccountKey, Account] = {}
        self.keys: dict[tuple[str, str, str], Entry] = {}
        self.holds: dict[str, Hold] = {}
        self.charges: dict[str, Charge] = {}
        self.grants: dict[tuple[str, str, str], GrantTerms] = {}
        """By workspace, account and id: nobody finds a grant of another account because it is in the batch."""
        self.done: dict[str, Entry] = {}
        """Entries by the id of their command; loaded when a batch is tried again after an unknown outcome."""
        self.claims: dict[tuple[str, str, str], Claimed] = {}
        self.due_holds: dict[AccountKey, list[str]] = {}
        """Live holds whose end had come at loading, and those that this batch made or changed."""
        self.next_hold: dict[AccountKey, int] = {}
        """No other live hold ends before this."""
        self.owing: dict[AccountKey, list[str]] = {}
        """Charges with unpaid debt, oldest first; loaded where a command may repay."""
        self.refundable: dict[AccountKey, list[str]] = {}
        """The account's charges, newest first; loaded where a refund names none (which then is the first command of
        its account in the batch)."""
        self.archived: dict[AccountKey, Before] = {}
        """Of accounts whose first entries are archived; loaded for refunds, voids and settles after a hold's end."""
        self.subscriptions: dict[AccountKey, Subscription] = {}
        self.plans: dict[tuple[str, str], KeptPlan] = {}
        """By workspace and id; loaded where a command names one, or its account's subscription does."""

    def apply(self, outcome: Accepted) -> None:
        """Lay an accepted decision over what was loaded."""
        account = outcome.account
        if account is None:
            return
        owner = (account.workspace, account.id)
        if outcome.holds:
            self._note_holds(owner, outcome.holds)
        self.accounts[owner] = account
        for entry in outcome.entries:
            if entry.key is not None:
                self.keys[(*owner, entry.key)] = entry
        for charge in outcome.charges:
            if charge.debt and charge.id not in self.charges:
                self.owing.setdefault(owner, []).append(charge.id)
            self.charges[charge.id] = charge
        for grant in outcome.grants:
            self.grants[(*owner, grant.id)] = grant
        for grant_id, amount in outcome.gone:
            if known := self.grants.get((*owner, grant_id)):
                self.grants[(*owner, grant_id)] = replace(known, gone=known.gone + amount)
        if outcome.entry is not None:
            for record in outcome.records:
                if isinstance(record, PaymentClaim):
                    claimed = Claimed(record, outcome.entry)
                    self.claims[(record.workspace, record.provider, record.object)] = claimed
                elif isinstance(record, SubscriptionRow):
                    self.subscriptions[owner] = record.subscription
                elif isinstance(record, KeptKey):
                    answer = replace(record.answer, key=record.key, fingerprint=record.fingerprint)
                    self.keys[(*owner, record.key)] = answer

    def _note_holds(self, owner: AccountKey, holds: list[Hold]) -> None:
        """Holds that were made or changed may end within this very batch: they are looked at as if loaded as due."""
        before = self.accounts.get(owner)
        if owner not in self.due_holds:
            self.due_holds[owner] = []
            if before is not None and before.hold_due_at is not None:
                self.next_hold[owner] = before.hold_due_at
        for hold in holds:
            self.holds[hold.id] = hold
            if hold.state == "live":
                self.due_holds[owner].append(hold.id)
