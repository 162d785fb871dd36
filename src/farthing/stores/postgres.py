"""The ledger on PostgreSQL: any number of processes, each with a connection for each of its lanes.

Nothing is kept between batches. A batch of charges takes two statements: one reads accounts and keys; one writes each
account, with its entries, on the condition that it still has the number of entries that was read, and commits. What
another process has written in between is left out and told as `Overtaken`: its commands are decided anew. A batch that
looks at more than that, or meets the same account again and again, runs under locks: `load` locks the accounts that it
names, always in the same order, so that two processes wait for each other instead of deadlocking. Accounts that are new
have no row: whoever is second meets the first's unique key, and is run again. A little over 400 lines: both ways of a
batch are told in one place.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Any, Final, Protocol

import msgspec

from farthing.core.checkpoint import before
from farthing.core.commands import (
    CLAIMS,
    NAMES_GRANT,
    NAMES_HOLD,
    NAMES_PLAN,
    OF_SUBSCRIPTIONS,
    Adjust,
    Command,
    GiveGrant,
    Import,
    Refund,
    SetBalance,
    Settle,
)
from farthing.core.context import Claimed, Context
from farthing.core.ids import bucket_in, bucket_of
from farthing.core.outcomes import Accepted
from farthing.core.records import (
    Audit,
    Charge,
    Delivery,
    Due,
    Entry,
    Event,
    Hold,
    KeptKey,
    PaymentClaim,
    Record,
    SessionEnd,
    SessionStart,
    TopUpDue,
    UsageRecord,
)
from farthing.core.refundable import CHARGES, charge_of, refundable
from farthing.core.subscription import SubscriptionRow

from .bell import OUTBOX
from .contract import Overtaken, Raced
from .plans import read_plan
from .postgres_link import LOOK_UPS, Link, Row
from .rows import (
    account_row,
    audit_row,
    charge_row,
    delivery_row,
    entry_row,
    event_row,
    grant_row,
    hold_row,
    kept_key_row,
    payment_row,
    read_account,
    read_checkpoint,
    read_claim_answer,
    read_grant,
    read_kept_key,
    read_subscription,
    read_workspace,
    session_end_row,
    session_row,
    subscription_row,
    usage_row,
)  # fmt: skip
from .statements import statements

CLOCK_EVERY_SECONDS: Final = 1.0
REFUNDABLE_PAGE: Final = 200
LANE_SECONDS: Final = 3_600.0
"""How long nothing may be written in a lane that goes on; looking alone does not keep it."""
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine is suspended, where there is such a clock."""
PATIENCE: Final = 2
"""How often in a row an account may be overtaken before it is locked."""
KEY_COLUMN: Final = 11
"""Where an entry has its key."""
_ACCOUNT_COLUMNS: Final = 19
_WORKSPACE_COLUMNS: Final = 7
_LAST: Final = 1 << 62
_hold = msgspec.json.Decoder(Hold)
_charge = msgspec.json.Decoder(Charge)
_SQL: Final = statements("postgres", "store")
CLOCK: Final = _SQL["clock"]


class Follower(Protocol):
    """A clock that follows the database's."""

    def monotonic(self) -> float:
        """Seconds that pass."""

    def observe(self, now_us: int, asked: float, answered: float) -> None:
        """The database said `now_us` to a question asked and answered at these times of `monotonic`."""


class PostgresStore:
    """The engine's store on PostgreSQL. One task drives it; it belongs to that task's event loop."""

    suspends = True

    def __init__(self, dsn: str, clock: Follower | None = None, *, always_lock: bool = False) -> None:
        self._link = Link(dsn, LOOK_UPS)
        self._clock = clock
        self._clock_read_at = float("-inf")
        self._always_lock = always_lock
        self._locking = True
        """This batch has begun a transaction, and locked its accounts."""
        self._lock_next = False
        """The last batch met somebody else's write, and is run again."""
        self._overtaken: Counter[tuple[str, str]] = Counter()
        """How often in a row an account was written by somebody else first."""
        self._known: dict[tuple[str, str], int] = {}
        """Accounts that had a row when this batch was loaded, and how many entries."""
        self._to_carry_out: tuple[Any, ...] | None = None
        """What `commit` writes, where one statement is enough."""
        self._tells = False
        """Whether the batch tells somebody something."""
        self._lane = 0
        self._lane_written_at = float("-inf")
        self._lane_connection = 0
        """The connection that the lane was opened for."""
        self._batch = 0
        """Number of the last batch in the lane."""

    async def load(self, commands: Sequence[Command], context: Context, *, again: bool = False) -> None:
        """Read the accounts, under a lock where that is needed, then what else the commands name."""
        self._to_carry_out = None
        await self._ensure_lane()
        self._locking = (
            again
            or self._always_lock
            or self._lock_next
            or _may_tear(commands)
            or self._is_contended(commands)
            or await self._link.pooled()
        )
        self._lock_next = False
        if self._locking:
            await self._link.begin()
        await self._read_clock()
        await self._find_owners(commands)
        if self._locking:
            await self._lock_accounts(commands, context)
            await self._load_keys(commands, context)
        else:
            await self._read_accounts(commands, context)
            if _latest_of_due(commands, context) or _may_repay(commands, context):
                await self._lock_after_all(commands, context)
        if self._locking:
            await self._load_holds(commands, context)
            await self._load_due_holds(commands, context)
        await self._load_archived(commands, context)
        if more := [c for c in commands if type(c) in _LOAD_MORE]:
            await self._load_more(more, context)
        if again:
            await self._load_done(commands, context)

    async def _ensure_lane(self) -> None:
        """A lane commits in the order of its batches. After a connection was lost nobody knows what is still to come of
        it: a new lane begins. So it does after a long time, when who folds may have struck the old one off."""
        connection = await self._link.connection_number()
        if connection != self._lane_connection or _seconds() - self._lane_written_at > LANE_SECONDS:
            # A lane that was opened in vain stays empty, so that this may be tried again like a reading.
            ((self._lane,),) = await self._link.read(_SQL["open_lane"])
            self._lane_connection, self._batch, self._lane_written_at = connection, 0, _seconds()

    async def _lock_after_all(self, commands: Sequence[Command], context: Context) -> None:
        """Where it turns out that more has to be read than the accounts."""
        self._locking = True
        await self._link.begin()
        await self._lock_accounts(commands, context)
        await self._load_keys(commands, context)

    def _is_contended(self, commands: Sequence[Command]) -> bool:
        """An account that is overtaken again and again is better waited for."""
        if not self._overtaken:
            return False
        return any(self._overtaken.get((c.workspace, c.account), 0) >= PATIENCE for c in commands)

    async def _fetch(self, name: str, *values: Any) -> list[Any]:
        fetch = self._link.fetch if self._link.open else self._link.read
        return await fetch(_SQL[name], *values)

    async def _read_clock(self) -> None:
        if self._clock is None:
            return
        asked = self._clock.monotonic()
        if asked - self._clock_read_at >= CLOCK_EVERY_SECONDS:
            ((now_us,),) = await self._fetch("clock")
            self._clock_read_at = self._clock.monotonic()
            self._clock.observe(now_us, asked, self._clock_read_at)

    async def _find_owners(self, commands: Sequence[Command]) -> None:
        """Whose a hold is that is named alone."""
        alone = [c for c in commands if isinstance(c, NAMES_HOLD) and not c.account and bucket_in(c.hold) is not None]
        if alone:
            names = {(c.hold, bucket_in(c.hold), c.workspace) for c in alone}
            owners = {(row[0], row[1]): row[2] for row in await self._fetch("hold_owners", *columns(names))}
            for c in alone:
                c.account = owners.get((c.hold, c.workspace), "")

    async def _lock_accounts(self, commands: Sequence[Command], context: Context) -> None:
        self._take_accounts(await self._fetch("lock_accounts", _names(commands)), context)
        await self._load_workspaces(commands, context)

    async def _read_accounts(self, commands: Sequence[Command], context: Context) -> None:
        """Accounts, and whether any of the keys was used, which is rare."""
        rows = await self._fetch("read_accounts", _keys(commands), _names(commands))
        self._take_accounts(rows, context)
        await self._load_workspaces(commands, context)
        if rows and rows[0][-1]:
            await self._load_keys(commands, context)

    def _take_accounts(self, rows: Sequence[Any], context: Context) -> None:
        self._known = {}
        for row in rows:
            values = tuple(row)
            account = read_account(values[:_ACCOUNT_COLUMNS])
            owner = (account.workspace, account.id)
            context.accounts[owner] = account
            self._known[owner] = account.number
            if account.workspace not in context.workspaces:
                workspace = values[_ACCOUNT_COLUMNS : _ACCOUNT_COLUMNS + _WORKSPACE_COLUMNS]
                context.workspaces[account.workspace] = read_workspace((account.workspace, *workspace))

    async def _load_workspaces(self, commands: Sequence[Command], context: Context) -> None:
        """Those of which no account was found."""
        if missing := sorted({c.workspace for c in commands} - context.workspaces.keys()):
            for row in await self._fetch("workspaces", missing):
                context.workspaces[row[0]] = read_workspace(tuple(row))

    async def _load_keys(self, commands: Sequence[Command], context: Context) -> None:
        keyed = [key for key in _keys(commands) if (key[0], key[2]) in self._known]
        used = await self._fetch("keys", keyed) if keyed else ()
        gone: list[Row] = []
        for workspace, key, account, bucket, *row in used:
            if row[KEY_COLUMN] == key:
                context.keys[(workspace, account, key)] = Entry(*row)
            else:
                gone.append((workspace, key, account, bucket))
        for row in await self._fetch("kept_keys", gone) if gone else ():
            kept = read_kept_key(tuple(row))
            context.keys[(kept.workspace, kept.account, kept.key or "")] = kept

    async def _load_holds(self, commands: Sequence[Command], context: Context) -> None:
        named = {(c.hold, bucket_in(c.hold), c.workspace) for c in commands if isinstance(c, NAMES_HOLD)}
        if wanted := [name for name in named if name[1] is not None]:
            for id, terms in await self._fetch("holds", *columns(wanted)):
                context.holds[id] = _hold.decode(terms)

    async def _load_archived(self, commands: Sequence[Command], context: Context) -> None:
        """Of whom something is asked that may be of archived entries."""
        named = [c for c in commands if type(c) in _NAMES_OLD and (type(c) is not Settle or _is_late(c, context))]
        for row in await self._fetch("checkpoints", *columns(_names(named))) if named else ():
            checkpoint = read_checkpoint(tuple(row))
            account = checkpoint.closed.account
            context.archived[(account.workspace, account.id)] = before(checkpoint)

    async def _load_due_holds(self, commands: Sequence[Command], context: Context) -> None:
        for owner, at in _latest_of_due(commands, context).items():
            holds = [_hold.decode(row[0]) for row in await self._fetch("due_holds", *owner, at)]
            context.holds.update((h.id, h) for h in holds)
            context.due_holds[owner] = [h.id for h in holds]
            ((following,),) = await self._fetch("next_hold", *owner, at)
            if following is not None:
                context.next_hold[owner] = following

    async def _load_more(self, commands: Sequence[Any], context: Context) -> None:
        for c in commands:
            owner = (c.workspace, c.account)
            account = context.accounts.get(owner)
            if account is not None and account.debt and owner not in context.owing and not isinstance(c, NAMES_GRANT):
                charges = [_charge.decode(row[0]) for row in await self._fetch("owing", *owner)]
                context.charges.update((x.id, x) for x in charges)
                context.owing[owner] = [x.id for x in charges]
        await self._load_subscriptions([c for c in commands if isinstance(c, OF_SUBSCRIPTIONS)], context)
        await self._load_claims([c for c in commands if isinstance(c, CLAIMS) and c.claim], context)
        await self._load_grants([(c.grant, c) for c in commands if isinstance(c, NAMES_GRANT)], context)
        refunds = [c for c in commands if isinstance(c, Refund)]
        await self._load_charges([(c.charge, c) for c in refunds if c.charge is not None], context)
        for c in refunds:
            if c.charge is None:
                await self._load_refundable(c, context)

    async def _load_subscriptions(self, commands: Sequence[Command], context: Context) -> None:
        """The subscriptions of their accounts; the plans of these, and those that are named."""
        if not commands:
            return
        for workspace, account, terms in await self._fetch("subscriptions", *columns(_names(commands))):
            context.subscriptions[(workspace, account)] = read_subscription(terms)
        named = {(c.workspace, c.plan) for c in commands if isinstance(c, NAMES_PLAN)}
        had = {(workspace, plan) for (workspace, _), s in context.subscriptions.items() for plan in s.plans}
        if wanted := sorted(named | had):
            for workspace, plan, *rest in await self._fetch("plans", *columns(wanted)):
                context.plans[(workspace, plan)] = read_plan(tuple(rest))

    async def _load_claims(self, commands: Sequence[Any], context: Context) -> None:
        wanted = sorted({(c.workspace, *c.claim) for c in commands if c.claim})
        if not wanted:
            return
        claims = [PaymentClaim(*row) for row in await self._fetch("payments", *columns(wanted))]
        entries = await self._entries([claim.entry for claim in claims])
        for claim in claims:
            credited = entries.get(claim.entry) or await self._claim_answer(claim)
            context.claims[(claim.workspace, claim.provider, claim.object)] = Claimed(claim, credited)

    async def _claim_answer(self, claim: PaymentClaim) -> Entry:
        """What the answer of a claim was told from whose entry is not here."""
        ((kept,),) = await self._fetch("claim_answer", claim.workspace, claim.provider, claim.object)
        return read_claim_answer(claim.workspace, claim.account, kept)

    async def _entries(self, ids: Iterable[str]) -> dict[str, Entry]:
        wanted = [(id, bucket_in(id)) for id in dict.fromkeys(ids) if bucket_in(id) is not None]
        if not wanted:
            return {}
        entries = [Entry(*row) for row in await self._fetch("entries", *columns(wanted))]
        return {entry.id: entry for entry in entries}

    async def _load_grants(self, named: Sequence[tuple[str, Command]], context: Context) -> None:
        wanted = {
            (id, bucket_in(id), c.workspace, c.account)
            for id, c in named
            if bucket_in(id) is not None and (c.workspace, c.account, id) not in context.grants
        }
        if wanted:
            for workspace, account, id, *terms in await self._fetch("grants", *columns(wanted)):
                context.grants[(workspace, account, id)] = read_grant(tuple(terms))

    async def _load_charges(self, named: Sequence[tuple[str, Command]], context: Context) -> None:
        """Charges, and the grants they came from; one of which nothing became yet is read off its entry."""
        wanted = [(id, bucket_in(id)) for id, _ in named if bucket_in(id) is not None and id not in context.charges]
        if wanted:
            for row in await self._fetch("charges", *columns(wanted)):
                charge = _charge.decode(row[0])
                context.charges[charge.id] = charge
            plain = await self._entries(id for id, _ in wanted if id not in context.charges)
            context.charges.update((e.id, charge_of(e)) for e in plain.values() if e.kind in CHARGES)
        parts = [(s.grant, c) for id, c in named if id in context.charges for s in context.charges[id].slices]
        await self._load_grants(parts, context)

    async def _load_refundable(self, c: Refund, context: Context) -> None:
        """The newest charges, until what they hold covers the amount."""
        found: list[str] = []
        left, before = c.amount or 0, _LAST
        while left > 0:
            page = [Entry(*r) for r in await self._fetch("refundable", c.workspace, c.account, before, REFUNDABLE_PAGE)]
            await self._load_charges([(entry.id, c) for entry in page], context)
            for entry in page:
                part = refundable(context.charges[entry.id])
                if part and left > 0:
                    found.append(entry.id)
                    left -= part
            if len(page) < REFUNDABLE_PAGE:
                break
            before = page[-1].number
        context.refundable[(c.workspace, c.account)] = found

    async def _load_done(self, commands: Sequence[Command], context: Context) -> None:
        """What these very commands have written already. After the accounts were locked: a commit that was still on
        its way has been waited for."""
        context.done.update(await self._entries(c.id for c in commands))

    async def save(self, outcomes: Sequence[Accepted]) -> None:
        """Write the batch, each table with one statement; or keep it for `commit`, where one is enough."""
        # Of several outcomes of one account the last has its state.
        accounts = {(o.account.workspace, o.account.id): o.account for o in outcomes if o.account is not None}
        states = [(*account_row(account), self._known.get(owner, 0)) for owner, account in accounts.items()]
        # In the order in which they are locked.
        states.sort(key=_place)
        opened = [state for state in states if not state[-1]]
        self._batch += 1
        self._lane_written_at = _seconds()
        events = [event for o in outcomes for event in o.events]
        deliveries = [delivery for o in outcomes for delivery in o.deliveries]
        self._tells = bool(events)
        later = _told_apart(events, accounts.keys())
        writes = (
            states,
            [entry_row(e) for o in outcomes for e in o.entries],
            self._lane,
            self._batch,
            [usage_row(r) for o in outcomes for r in o.records if isinstance(r, UsageRecord)],
            [event_row(event) for event in events if event.id not in later],
            [delivery_row(delivery) for delivery in deliveries if delivery.event not in later],
        )
        if not (self._locking or opened or later or any(_has_more(o) for o in outcomes)):
            self._to_carry_out = writes
            return
        if not self._link.open:
            await self._link.begin()
            if opened:
                # Whoever locks has the accounts that are there before those that he opens.
                await self._fetch("lock_accounts", [state[:3] for state in states if state[-1]])
        with self._noting_races():
            if opened:
                await self._fetch("open_accounts", opened)
            if behind := await self._fetch("carry_out", *writes):
                raise Raced(f"{len(behind)} accounts were written by another process first")
            await self._save_records(outcomes)
            if later:
                await self._save_told([event for event in events if event.id in later], deliveries)

    @contextmanager
    def _noting_races(self) -> Iterator[None]:
        try:
            yield
        except Raced:
            self._lock_next = True
            raise

    async def _save_records(self, outcomes: Sequence[Accepted]) -> None:
        """Grants, holds and charges, of each the last state; then what rides along."""
        grants = {g.id: grant_row(g, o.account) for o in outcomes if o.account is not None for g in o.grants}
        holds = {h.id: hold_row(h) for o in outcomes for h in o.holds}
        charges = {x.id: charge_row(x) for o in outcomes for x in o.charges}
        gone: dict[tuple[str, int], int] = {}
        for o in outcomes:
            for grant, amount in o.gone if o.account is not None else ():
                assert o.account is not None
                gone[(grant, o.account.bucket)] = gone.get((grant, o.account.bucket), 0) + amount
        records = [record for o in outcomes for record in o.records]
        await self._save_rows("save_grants", list(grants.values()))
        await self._save_rows("add_gone", [(amount, *grant) for grant, amount in gone.items()])
        await self._save_rows("save_holds", list(holds.values()))
        await self._save_rows("save_charges", list(charges.values()))
        if records:
            await self._save_kept_keys(outcomes)
            await self._save_riders(records)

    async def _save_kept_keys(self, outcomes: Sequence[Accepted]) -> None:
        rows = [kept_key_row(r, o.entries[-1].number) for o in outcomes for r in o.records if isinstance(r, KeptKey)]
        if rows:
            await self._save_rows("save_keys", [row[:5] for row in rows])
            await self._save_rows("save_kept_keys", rows)

    async def _save_riders(self, records: Sequence[Record]) -> None:
        due = {(r.workspace, r.account, r.bucket): r.at for r in records if isinstance(r, Due)}
        # Claims in order: two processes that claim the same two payments must not wait for each other.
        claims = sorted((r for r in records if isinstance(r, PaymentClaim)), key=lambda r: (r.provider, r.object))
        await self._save_rows("save_payments", [payment_row(r) for r in claims])
        await self._save_rows("save_audit", [audit_row(r) for r in records if isinstance(r, Audit)])
        await self._save_rows("save_sessions", [session_row(r) for r in records if isinstance(r, SessionStart)])
        await self._save_rows("end_sessions", [session_end_row(r) for r in records if isinstance(r, SessionEnd)])
        # Of several changes of one subscription the last stands.
        changed = {(r.workspace, r.account): r for r in records if isinstance(r, SubscriptionRow)}
        await self._save_rows("save_subscriptions", [subscription_row(r) for r in changed.values()])
        await self._save_rows("forget_failed_renewals", [(r.workspace, r.account, r.bucket) for r in changed.values()])
        await self._save_rows("save_due", [(*key, at) for key, at in due.items() if at is not None])
        await self._save_rows("delete_due", [key for key, at in due.items() if at is None])
        wanting = {(r.workspace, r.account, r.bucket): r.at for r in records if isinstance(r, TopUpDue)}
        await self._save_rows("save_top_up_due", [(*key, at) for key, at in wanting.items()])

    async def _save_told(self, events: Sequence[Event], deliveries: Sequence[Delivery]) -> None:
        """Events that are told once, but those that were told before; and events about other accounts."""
        written = {row[0] for row in await self._fetch("save_events", [event_row(event) for event in events])}
        if told := [delivery_row(delivery) for delivery in deliveries if delivery.event in written]:
            await self._fetch("save_deliveries", told)

    async def _save_rows(self, name: str, rows: Sequence[Row]) -> None:
        if rows:
            await self._fetch(name, *columns(rows))

    async def commit(self) -> None:
        """Commit; returns once the server says that it is on the disk."""
        if self._to_carry_out is None:
            await self._link.commit()
            self._forget_overtaken()
            self._ring()
            return
        with self._noting_races():
            rows = await self._link.carry_out(_SQL["carry_out"], *self._to_carry_out)
        self._ring()
        behind = frozenset((row[0], row[1]) for row in rows)
        self._forget_overtaken(behind)
        if behind:
            self._overtaken.update(behind)
            raise Overtaken(behind)

    def _ring(self) -> None:
        if self._tells:
            OUTBOX.ring()

    def _forget_overtaken(self, behind: frozenset[tuple[str, str]] = frozenset()) -> None:
        """What this batch has written was in time, and what it only looked at is nobody's to wait for."""
        if self._overtaken:
            for owner in self._known.keys() - behind:
                self._overtaken.pop(owner, None)

    async def rollback(self) -> None:
        """Undo; harmless where nothing is open."""
        await self._link.rollback()
        self._forget_overtaken()

    async def close(self) -> None:
        """End the connection."""
        await self._link.close()


_APART: Final = (*NAMES_HOLD, *NAMES_GRANT, *OF_SUBSCRIPTIONS, Refund)
_NAMES_OLD: Final = frozenset({Refund, Settle, *NAMES_GRANT})
"""What may be about archived entries."""
_LOAD_MORE: Final = frozenset({GiveGrant, Import, Adjust, SetBalance, Refund, *NAMES_GRANT, *OF_SUBSCRIPTIONS})


def _is_late(settle: Settle, context: Context) -> bool:
    """Whether it comes after the hold's end."""
    return (hold := context.holds.get(settle.hold)) is not None and hold.state == "expired"


def _seconds() -> float:
    return time.clock_gettime(_CLOCK)


def _may_tear(commands: Sequence[Command]) -> bool:
    """Whether commands look at what changes apart from its account's row, which several statements without a lock may
    find as it was at several moments: a hold that has ended, of an account that knows nothing of it yet. Writing would
    find that out; a refusal, which writes nothing, would be told."""
    return any(isinstance(c, _APART) for c in commands)


def _may_repay(commands: Sequence[Command], context: Context) -> bool:
    """Whether charges with debt have to be looked at: those change apart from the account's row as well."""
    debtors = {owner for owner, account in context.accounts.items() if account.debt}
    return bool(debtors) and any(type(c) in _LOAD_MORE and (c.workspace, c.account) in debtors for c in commands)


def _latest_of_due(commands: Sequence[Command], context: Context) -> dict[tuple[str, str], int]:
    """The accounts that have holds which end by the time of their commands, and that time."""
    latest: dict[tuple[str, str], int] = {}
    for c in commands:
        account = context.accounts.get((c.workspace, c.account))
        if account is not None and account.hold_due_at is not None:
            owner = (c.workspace, c.account)
            latest[owner] = max(c.at, account.at, latest.get(owner, 0))
    return {owner: at for owner, at in latest.items() if (context.accounts[owner].hold_due_at or 0) <= at}


def _names(commands: Sequence[Command]) -> list[Row]:
    """The accounts that commands name, in the order in which they are locked: by bucket first, so that a lane's
    accounts, and one shard's, lie together."""
    owners = sorted({(bucket_of(c.workspace, c.account), c.workspace, c.account) for c in commands if c.account})
    return [(workspace, id, bucket) for bucket, workspace, id in owners]


def _keys(commands: Sequence[Command]) -> list[Row]:
    """The keys that commands name."""
    return [
        (c.workspace, c.key, c.account, bucket_of(c.workspace, c.account))
        for c in commands
        if c.key is not None and c.account
    ]


def _place(state: Row) -> tuple[int, str, str]:
    """Where an account's row stands in that order."""
    return state[2], state[0], state[1]


def _has_more(o: Accepted) -> bool:
    """Whether an outcome writes more than entries, usage, what is told, and the account."""
    return bool(
        o.grants or o.gone or o.holds or o.charges or any(not isinstance(record, UsageRecord) for record in o.records)
    )


def _told_apart(events: Sequence[Event], owners: Set[tuple[str, str]]) -> frozenset[str]:
    """Events that can't be written with their accounts: what is told once, and what is about another account than
    those of the batch."""
    return frozenset(event.id for event in events if event.once or (event.workspace, event.account) not in owners)


def columns(rows: Iterable[Row]) -> list[list[Any]]:
    """Rows turned into a list for each column; there is at least one row."""
    return [list(column) for column in zip(*rows, strict=True)]
