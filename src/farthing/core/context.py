"""Context: what a batch of decisions may see. The store loads it; each accepted decision is laid over it, so that
later commands of the batch see earlier ones."""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from .outcomes import Accepted
from .records import Account, Charge, Entry, GrantTerms, Hold, PaymentClaim, Workspace

AccountKey = tuple[str, str]
"""Workspace and account."""


class NewId(Protocol):
    """Makes an id; given to the core because ids hold a random part."""

    def __call__(self, prefix: str, at: int, bucket: int) -> str: ...


Calendar = Callable[[int, str], tuple[int, int, int, int]]
"""(instant, zone name) -> start and end of its day, start and end of its month, in microseconds."""


class Claimed(Struct, frozen=True):
    """A payment that was claimed before, with the entry that credited it."""

    claim: PaymentClaim
    entry: Entry


class Context:
    """The loaded state of everything that a batch names; missing means it does not exist."""

    __slots__ = (
        "accounts", "calendar", "charges", "claims", "done", "due_holds", "grants", "holds", "keys", "new_id",
        "next_hold", "owing", "refundable", "workspaces",
    )  # fmt: skip

    def __init__(self, new_id: NewId, calendar: Calendar) -> None:
        self.new_id = new_id
        self.calendar = calendar
        self.workspaces: dict[str, Workspace] = {}
        self.accounts: dict[AccountKey, Account] = {}
        self.keys: dict[tuple[str, str, str], Entry] = {}
        self.holds: dict[str, Hold] = {}
        self.charges: dict[str, Charge] = {}
        self.grants: dict[str, GrantTerms] = {}
        self.done: dict[str, Entry] = {}
        """Entries by the id of their command; loaded when a batch is tried again after an unknown outcome."""
        self.claims: dict[tuple[str, str, str], Claimed] = {}
        self.due_holds: dict[AccountKey, list[str]] = {}
        """Live holds whose end had come at loading, first end first."""
        self.next_hold: dict[AccountKey, int] = {}
        """End of the first live hold that is not among those."""
        self.owing: dict[AccountKey, list[str]] = {}
        """Charges with unpaid debt, oldest first; loaded where a command may repay."""
        self.refundable: dict[AccountKey, list[str]] = {}
        """The account's charges, newest first; loaded where a refund names none (which then is the first command of
        its account in the batch)."""

    def apply(self, outcome: Accepted) -> None:
        """Lay an accepted decision over what was loaded."""
        account = outcome.account
        if account is None:
            return
        owner = (account.workspace, account.id)
        self.accounts[owner] = account
        for entry in outcome.entries:
            if entry.key is not None:
                self.keys[(*owner, entry.key)] = entry
        for hold in outcome.holds:
            if hold.id not in self.holds:
                self.next_hold[owner] = min(hold.expires_at, self.next_hold.get(owner, hold.expires_at))
            self.holds[hold.id] = hold
        for charge in outcome.charges:
            if charge.debt and charge.id not in self.charges:
                self.owing.setdefault(owner, []).append(charge.id)
            self.charges[charge.id] = charge
        for grant in outcome.grants:
            self.grants[grant.id] = grant
        for grant_id, amount in outcome.gone:
            if known := self.grants.get(grant_id):
                self.grants[grant_id] = replace(known, gone=known.gone + amount)
        if outcome.entry is not None:
            for record in outcome.records:
                if isinstance(record, PaymentClaim):
                    claimed = Claimed(record, outcome.entry)
                    self.claims[(record.workspace, record.provider, record.object)] = claimed
