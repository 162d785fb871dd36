"""Draft: the working copy on which one command is decided, and the only place where credits move.

Every movement goes through the few methods here: give, take, owe, repay, pin, unpin. Each changes the copy of the
account and notes the change on the body of the entry, so that an entry always explains what it did. `seal` closes the
entry: number, balance, hash. Nothing outside sees a draft whose command is refused.
"""

from hashlib import blake2b, sha256

import msgspec
from msgspec.structs import replace

from . import burn
from .commands import Command
from .context import Context
from .records import Account, Body, Charge, Due, Entry, Grant, GrantTerms, Hold, Record, Slice, Window

_json = msgspec.json.Encoder()
HASH_VERSION = 1


class Draft:
    """One account while one command is decided on it."""

    __slots__ = (
        "_due_before", "_emptied", "_fresh", "_slices", "account", "at", "balance_before", "body", "charges", "command",
        "context",
        "entries", "gone", "grants", "holds", "records", "relapse",
    )  # fmt: skip

    def __init__(self, account: Account, command: Command, context: Context) -> None:
        own: Account = account.__copy__()  # type: ignore[attr-defined]  # msgspec has it, and copy() finds it slowly
        self.account = own
        self.command = command
        self.context = context
        self.at = command.at if command.at > account.at else account.at
        self.entries: list[Entry] = []
        self.holds: dict[str, Hold] = {}
        self.charges: dict[str, Charge] = {}
        self.grants: dict[str, GrantTerms] = {}
        self.gone: list[tuple[str, int]] = []
        self.records: list[Record] = []
        self._due_before = due_at(own)
        self._begin()
        # Grants are shared with the account before; copied when the first of them changes.
        self._fresh = False

    def _begin(self) -> None:
        self.body = Body()
        self._slices: dict[str, tuple[int, int]] = {}
        self.balance_before = self.account.balance
        self.relapse = False
        self._emptied = False

    # What can be spent

    def available(self, operation: str = "", attributes: burn.Attributes | None = None) -> int:
        """What a request of this kind may take: what its grants leave free, less debt, plus the allowance."""
        a = self.account
        everything = a.balance - a.held + a.settings.allowance
        return everything - burn.out_of_scope(a.grants, operation, attributes or {})

    # Movements

    def _move(self, position: int, remaining: int, held: int) -> None:
        """Change one grant of the row, note it on the body, keep the sums."""
        a = self.account
        if not self._fresh:
            a.grants = list(a.grants)
            self._fresh = True
        g = a.grants[position]
        new = Grant(
            g.id, g.remaining + remaining, g.held + held, g.category, g.priority, g.expires_at, g.created_at, g.scope,
            g.voided,
        )  # fmt: skip
        assert 0 <= new.held <= new.remaining, f"grant {g.id} would have {new.remaining} with {new.held} held"
        a.grants[position] = new
        a.balance += remaining
        if not new.remaining:
            self._emptied = True
        moved = self._slices.get(g.id, (0, 0))
        self._slices[g.id] = (moved[0] + remaining, moved[1] + held)
        if g.expires_at is not None and (g.remaining > g.held) != (new.remaining > new.held):
            self.relapse = True

    def position(self, grant_id: str) -> int | None:
        """Where a grant stands in the row; None when nothing of it is left."""
        for position, grant in enumerate(self.account.grants):
            if grant.id == grant_id:
                return position
        return None

    def give(self, terms: GrantTerms) -> None:
        """Add a grant to the row and the history."""
        a = self.account
        a.grants = list(a.grants)
        self._fresh = True
        burn.insert(a.grants, live(terms, terms.amount))
        a.balance += terms.amount
        self.body.grants.append(terms)
        self.grants[terms.id] = terms
        self.relapse = True

    def take(self, amount: int, operation: str, attributes: burn.Attributes) -> list[Slice]:
        """Burn free credits in burn order, as many as there are up to the amount."""
        slices = []
        for position, part in list(burn.plan(self.account.grants, amount, operation, attributes)):
            slices.append(Slice(self.account.grants[position].id, part))
            self._move(position, -part, 0)
        return slices

    def pin(self, amount: int, operation: str, attributes: burn.Attributes) -> tuple[tuple[str, int], ...]:
        """Pin free credits in burn order; what they don't cover rests on the allowance."""
        slices = []
        for position, part in list(burn.plan(self.account.grants, amount, operation, attributes)):
            slices.append((self.account.grants[position].id, part))
            self._move(position, 0, part)
        self.account.held += amount
        return tuple(slices)

    def pin_of(self, position: int, amount: int) -> None:
        """Pin free credits of one grant."""
        self._move(position, 0, amount)
        self.account.held += amount

    def take_pinned(self, grant_id: str, amount: int) -> Slice | None:
        """Burn credits that a hold pinned; None where their grant was voided meanwhile: those are written off, and
        what they were to pay is owed."""
        position = self._found(grant_id)
        if self.account.grants[position].voided:
            self.unpin(grant_id, amount)
            return None
        self._move(position, -amount, -amount)
        return Slice(grant_id, amount)

    def unpin(self, grant_id: str, amount: int) -> None:
        """Give credits of a hold back to their grant; they go on to lapse or void where that has come meanwhile."""
        position = self._found(grant_id)
        grant = self.account.grants[position]
        if grant.voided:
            self._move(position, -amount, -amount)
            self.write_off(amount)
            self.body.gone.append((grant_id, amount))
        elif grant.expires_at is not None and grant.expires_at <= self.at:
            self._move(position, -amount, -amount)
            self.lapse(amount)
            self.body.gone.append((grant_id, amount))
        else:
            self._move(position, 0, -amount)

    def _found(self, grant_id: str) -> int:
        position = self.position(grant_id)
        assert position is not None, f"a hold pins {grant_id}, which is not in the account's row"
        return position

    def drop(self, position: int, amount: int) -> None:
        """Take free credits out of a grant: they lapse, or are written off."""
        self.body.gone.append((self.account.grants[position].id, amount))
        self._move(position, -amount, 0)

    def restore(self, position: int, amount: int) -> None:
        """Put refunded credits back into a grant of the row."""
        self._move(position, amount, 0)

    def revive(self, terms: GrantTerms | Grant, amount: int) -> None:
        """Put refunded credits back into a grant that had been spent to the last and left the row."""
        a = self.account
        a.grants = list(a.grants)
        self._fresh = True
        burn.insert(a.grants, live(terms, 0))
        self.restore(self._found(terms.id), amount)

    def mark_voided(self, position: int) -> None:
        """Mark a grant whose pinned part follows when it is released."""
        a = self.account
        a.grants = list(a.grants)
        self._fresh = True
        a.grants[position] = replace(a.grants[position], voided=True)

    def owe(self, charge_id: str, amount: int) -> None:
        """Take beyond the grants."""
        self.account.debt += amount
        self.account.balance -= amount
        self.body.debts.append((charge_id, amount))

    def forgive(self, charge_id: str, amount: int) -> None:
        """Lower what an account owes for a charge."""
        self.owe(charge_id, -amount)

    # Totals

    def spend_before(self, amount: int) -> None:
        """Count credits as spent in another system, before they came here: in no day's or month's window."""
        self.account.spent += amount
        self.body.spent += amount

    def earn(self, amount: int) -> None:
        """Count credits as earned."""
        self.account.earned += amount
        self.body.earned += amount

    def lapse(self, amount: int) -> None:
        """Count credits as lapsed."""
        self.account.lapsed += amount
        self.body.lapsed += amount

    def write_off(self, amount: int) -> None:
        """Count credits as written off."""
        self.account.written_off += amount
        self.body.written_off += amount

    def spend(self, amount: int, since: int | None = None) -> None:
        """Count credits as spent, in all and in the present day and month; negative for a refund of a charge of
        `since`, which lowers a window only when the charge fell into it."""
        self.account.spent += amount
        self.body.spent += amount
        w = self.window()
        at = self.at if since is None else since
        self.account.window = Window(
            w.day_from, w.day_until, w.day_spent + amount if at >= w.day_from else w.day_spent,
            w.month_from, w.month_until, w.month_spent + amount if at >= w.month_from else w.month_spent,
        )  # fmt: skip

    def window(self) -> Window:
        """The present day and month and what was spent in them."""
        w = self.account.window
        if w is not None and w.day_from <= self.at < w.day_until and self.at < w.month_until:
            return w
        day, day_end, month, month_end = self.context.calendar(self.at, self.account.settings.timezone)
        same_month = w is not None and w.month_from == month
        return Window(day, day_end, 0, month, month_end, w.month_spent if w is not None and same_month else 0)

    # Closing

    def seal(
        self, kind: str, at: int | None = None, *, id: str = "", key: str | None = None, own: bool = False,
        fingerprint: bytes | None = None, operation: str = "",
    ) -> Entry:  # fmt: skip
        """Close the entry: tidy the row, number, sums, hash. `own` puts the command's words on it."""
        a, c = self.account, self.command
        if self._slices:
            self.body.slices = [(g, r, h) for g, (r, h) in self._slices.items() if r or h]
            if self._emptied:
                a.grants = [g for g in a.grants if g.remaining]
        if self.relapse:
            a.lapse_at = first_lapse(a.grants)
        self.body.beyond = a.settings.allowance
        if a.grants and a.grants[0].scope:
            self.body.scoped = sum(g.remaining for g in a.grants if g.scope)
            self.body.beyond += sum(g.held for g in a.grants if g.scope)
        a.number += 1
        a.at = max(a.at, self.at if at is None else at)
        entry = Entry(
            a.workspace, a.id, a.bucket, a.number, id or self.context.new_id("ent", a.at, a.bucket), kind,
            a.balance - self.balance_before, a.balance, a.held, a.debt, a.at, key, fingerprint, c.actor, c.request_id,
            operation, c.description if own else None, c.metadata if own else None, _json.encode(self.body).decode(),
            HASH_VERSION, b"",
        )  # fmt: skip
        entry.hash = a.head = entry_hash(entry, a.head)
        self.entries.append(entry)
        self.gone += self.body.gone
        self._begin()
        return entry

    def due(self, always: bool = False) -> Due | None:
        """The due row, where time's next act on the account has moved."""
        after = due_at(self.account)
        if after == self._due_before and not always:
            return None
        return Due(self.account.workspace, self.account.id, self.account.bucket, after)


def live(terms: GrantTerms | Grant, remaining: int) -> Grant:
    """The line that a grant has in the account's row."""
    return Grant(
        terms.id, remaining, 0, terms.category, terms.priority, terms.expires_at, terms.created_at, terms.scope,
        terms.voided,
    )  # fmt: skip


def first_lapse(grants: list[Grant]) -> int | None:
    """When the next free credits lapse."""
    return min((g.expires_at for g in grants if g.expires_at is not None and g.remaining > g.held), default=None)


def due_at(account: Account) -> int | None:
    """When time will next do something to the account."""
    lapse, hold = account.lapse_at, account.hold_due_at
    if lapse is None or hold is None:
        return hold if lapse is None else lapse
    return min(lapse, hold)


Digests = tuple[str | None, str | None]
"""Of a description and of metadata."""


def entry_hash(entry: Entry, previous: bytes, erased: Digests | None = None) -> bytes:
    """SHA-256 over the entry before and all fields of this one; of description and metadata only their digests, so
    that their text can be erased and the chain still holds: then those are given. Form 1."""
    e = entry
    description, metadata = erased or (digest(e.description), digest(e.metadata))
    form = (
        e.version, e.workspace, e.account, e.number, e.id, e.kind, e.amount, e.balance, e.held, e.debt, e.at, e.key,
        e.fingerprint.hex() if e.fingerprint else None, e.actor, e.request_id, e.operation, description,
        metadata, e.body,
    )  # fmt: skip
    return sha256(previous + _json.encode(form)).digest()


def digest(text: str | None) -> str | None:
    """What the hash covers of a text that may be erased."""
    return None if text is None else sha256(text.encode()).hexdigest()


def fingerprint(*content: object) -> bytes:
    """What "the same content" means for a key: 16 bytes over what was asked."""
    return blake2b(_json.encode(content), digest_size=16).digest()
