"""The ledger on SQLite: WAL, synchronous=FULL, one writing connection a process, any number of processes.

Nothing is kept between batches: each begins with `BEGIN IMMEDIATE`, which waits for other processes, and reads what
it needs. A connection belongs to the process that opened it; after a fork a new store has to be opened.

A few lines over 400 lines: every statement of a batch stands at the top.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
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
)  # fmt: skip
from farthing.core.refundable import CHARGES, charge_of, refundable
from farthing.core.subscription import SubscriptionRow

from .bell import OUTBOX
from .contract import Busy, NotADatabase, Raced, ReadOnly, StorageFull, StoreError, Unavailable, Unknown
from .plans import read_plan
from .reports import Work
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

T = TypeVar("T")
BUSY_TIMEOUT_MS: Final = 5_000
LOOK_MS: Final = 0.5
"""How often who writes beside an engine looks for his turn."""
CHECKPOINT_PAGES: Final = 8_000
_hold = msgspec.json.Decoder(Hold)
_charge = msgspec.json.Decoder(Charge)

ENTRY_COLUMNS: Final = (
    "workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, key, fingerprint, actor, "
    "request_id, operation, description, metadata, body, version, hash"
)
ACCOUNT_COLUMNS: Final = (
    "workspace, id, bucket, number, balance, held, debt, earned, spent, lapsed, written_off, at, head, holds, "
    "lapse_at, hold_due_at, grants, settings, spending"
)

KEY_COLUMN: Final = 11
"""Where an entry has its key."""

BEGIN = "begin immediate"
SELECT_ACCOUNT = f"select {ACCOUNT_COLUMNS} from account where workspace = ? and id = ? and bucket = ?"
SELECT_KEY = "select number from key where workspace = ? and key = ? and account = ? and bucket = ?"
SELECT_NUMBERED = f"select {ENTRY_COLUMNS} from entry where workspace = ? and account = ? and number = ? and bucket = ?"
SELECT_ENTRY = f"select {ENTRY_COLUMNS} from entry where id = ? and bucket = ?"
SELECT_WORKSPACE = "select id, name, mode, unit, scale, created_at, settings, told from workspace where id = ?"
SELECT_HOLD_OWNER = "select account from hold where id = ? and bucket = ? and workspace = ?"
SELECT_HOLD = "select terms from hold where id = ? and bucket = ? and workspace = ?"
SELECT_DUE_HOLDS = (
    "select terms from hold where workspace = ? and account = ? and expires_at <= ? and state = 'live' "
    "order by expires_at"
)
SELECT_NEXT_HOLD = (
    "select min(expires_at) from hold where workspace = ? and account = ? and expires_at > ? and state = 'live'"
)
SELECT_CHARGE = "select terms from charge where id = ? and bucket = ?"
SELECT_OWING = "select terms from charge where workspace = ? and account = ? and debt > 0 order by id"
SELECT_CHARGES = (
    f"select {ENTRY_COLUMNS} from entry where workspace = ? and account = ? and amount < 0 "
    f"and kind in ({', '.join(repr(k) for k in sorted(CHARGES))}) order by number desc"
)
SELECT_GRANT = "select terms, voided, gone from grants where id = ? and bucket = ? and workspace = ? and account = ?"
SELECT_SUBSCRIPTION = "select terms from subscription where workspace = ? and account = ? and bucket = ?"
SELECT_PLAN = "select document, created_at, updated_at, archived_at from plan where workspace = ? and id = ?"
SELECT_KEPT_KEY = (
    "select workspace, key, account, bucket, number, fingerprint, answer from kept_key "
    "where workspace = ? and key = ? and account = ? and bucket = ?"
)
SELECT_CLAIM_ANSWER = "select answer from payment where workspace = ? and provider = ? and object = ?"
SELECT_CHECKPOINT = (
    "select state, used_until, archive, made_at from checkpoint where workspace = ? and account = ? and bucket = ?"
)
SELECT_PAYMENT = "select account, entry, at from payment where workspace = ? and provider = ? and object = ?"

INSERT_ENTRY = f"insert into entry ({ENTRY_COLUMNS}) values ({', '.join('?' * 21)})"
INSERT_KEY = "insert into key (workspace, key, account, bucket, number) values (?, ?, ?, ?, ?)"
UPSERT_ACCOUNT = (
    f"insert into account ({ACCOUNT_COLUMNS}) values ({', '.join('?' * 19)}) on conflict do update set "
    + ", ".join(f"{c} = excluded.{c}" for c in ACCOUNT_COLUMNS.replace(",", "").split()[3:])
)
UPSERT_HOLD = (
    "insert into hold (id, workspace, account, bucket, state, expires_at, remaining, terms) "
    "values (?, ?, ?, ?, ?, ?, ?, ?) on conflict do update set "
    "state = excluded.state, expires_at = excluded.expires_at, remaining = excluded.remaining, terms = excluded.terms"
)
UPSERT_CHARGE = (
    "insert into charge (id, workspace, account, bucket, debt, terms) values (?, ?, ?, ?, ?, ?) "
    "on conflict do update set debt = excluded.debt, terms = excluded.terms"
)
INSERT_GRANT = (
    "insert into grants (id, workspace, account, bucket, amount, created_at, expires_at, voided, gone, terms) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, 0, ?) on conflict do update set voided = excluded.voided, terms = excluded.terms"
)
ADD_GONE = "update grants set gone = gone + ? where id = ? and bucket = ?"
INSERT_KEPT_KEY = (
    "insert into kept_key (workspace, key, account, bucket, number, fingerprint, answer) values (?, ?, ?, ?, ?, ?, ?)"
)
INSERT_PAYMENT = "insert into payment (workspace, provider, object, account, entry, at) values (?, ?, ?, ?, ?, ?)"
INSERT_AUDIT = (
    "insert into audit (workspace, at, actor, request_id, action, subject, entry, detail) "
    "values (?, ?, ?, ?, ?, ?, ?, ?)"
)
INSERT_USAGE = (
    "insert into usage (id, workspace, account, bucket, at, booked_at, service, operation, provider, model, chat, "
    f"input_tokens, output_tokens, tokens, amount, cost, unpriced) values ({', '.join('?' * 17)})"
)
INSERT_SESSION = (
    "insert into stream_session (workspace, account, bucket, session, hold, model, estimated, started_at) "
    "values (?, ?, ?, ?, ?, ?, ?, ?)"
)
END_SESSION = (
    "update stream_session set ended_at = ?, failed = ? "
    "where workspace = ? and account = ? and session = ? and bucket = ?"
)
UPSERT_SUBSCRIPTION = (
    "insert into subscription (workspace, account, bucket, id, plan, billed_by, next_at, ends_at, ended_at, terms) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do update set id = excluded.id, plan = excluded.plan, "
    "billed_by = excluded.billed_by, next_at = excluded.next_at, ends_at = excluded.ends_at, "
    "ended_at = excluded.ended_at, terms = excluded.terms, claimed_until = 0, retry_at = 0"
)
UPSERT_DUE = (
    "insert into job (kind, workspace, subject, bucket, due_at) values ('account', ?, ?, ?, ?) "
    "on conflict do update set due_at = excluded.due_at, attempts = 0, locked_until = 0, last_error = null, "
    "parked_at = null"
)
INSERT_TOP_UP_DUE = (
    "insert into job (kind, workspace, subject, bucket, due_at) values ('top_up', ?, ?, ?, ?) "
    "on conflict do update set due_at = min(job.due_at, excluded.due_at)"
)
DELETE_DUE = "delete from job where kind = 'account' and workspace = ? and subject = ? and bucket = ?"
DELETE_FAILED_RENEWAL = "delete from job where kind = 'renew' and workspace = ? and subject = ? and bucket = ?"
INSERT_EVENT = (
    "insert into event (workspace, id, bucket, type, account, at, data, once) values (?, ?, ?, ?, ?, ?, ?, ?) "
    "on conflict (workspace, once, bucket) where once is not null do nothing"
)
INSERT_DELIVERY = (
    "insert into outbox (workspace, endpoint, bucket, due_at, event, account, number, attempts) "
    "values (?, ?, ?, ?, ?, ?, ?, ?)"
)


def connect(path: str | os.PathLike[str], *, create: bool = False, read_only: bool = False) -> apsw.Connection:
    """Open the file with the settings that the promises rest on; the database itself is made by migrating."""
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    if create:
        flags |= apsw.SQLITE_OPEN_CREATE
    try:
        db = apsw.Connection(str(path), flags=flags)
        db.set_busy_timeout(BUSY_TIMEOUT_MS)
        if not read_only:
            db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "full")
        db.pragma("foreign_keys", True)
        db.pragma("cache_size", -65_536)
        # Folding the log in costs two flushes and a write of each page touched since: rarely, a page touched often is
        # written once. 8,000 pages are 32 MB of log; measured, a seventh less time for each charge than at 1,000.
        db.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        # The first look at the file: what is no database is found here.
        db.execute("select count(*) from sqlite_schema").fetchall()
    except apsw.Error as error:
        raise translate(error, path) from error
    return db


def translate(error: apsw.Error, path: object = "the database") -> StoreError:
    """What an error of SQLite means for the caller."""
    name = Path(str(path)).name
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return Busy("the database is locked by another process; nothing was done")
    if isinstance(error, apsw.FullError):
        return StorageFull("the disk is full; nothing was done, and writing goes on once there is room again")
    if isinstance(error, apsw.ReadOnlyError | apsw.PermissionsError):
        return ReadOnly(f"{name} can't be written to; nothing was done. Check its permissions and those of its folder")
    if isinstance(error, apsw.NotADBError | apsw.CorruptError):
        return NotADatabase(f"{name} is not a database, or it is damaged: {error}")
    if isinstance(error, apsw.CantOpenError):
        return Unavailable(
            f"{name} can't be opened; nothing was done. Check that it exists and may be read and written"
        )
    if isinstance(error, apsw.ConstraintError):
        return Raced(f"another write came first: {error}")
    if isinstance(error, apsw.IOError):
        return Unavailable(f"the disk reported an error: {error}; nothing was done")
    return StoreError(str(error))


class SqliteStore:
    """The engine's store on one SQLite file. Not thread-safe: one thread drives it."""

    suspends = False

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._cursor = db.cursor()
        self._tells = False
        """Whether the batch tells somebody something."""

    def _one(self, sql: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._cursor.execute(sql, values).fetchone()
        return row

    def _all(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return list(self._cursor.execute(sql, values))

    async def load(self, commands: Sequence[Command], context: Context, *, again: bool = False) -> None:
        """Take the write lock, then read what the commands name."""
        try:
            if self._db.in_transaction:  # left by a rollback that failed
                self._cursor.execute("rollback")
            self._cursor.execute(BEGIN)
            self._load(commands, context)
            for c in commands if again else ():
                if row := self._one(SELECT_ENTRY, (c.id, bucket_in(c.id))):
                    context.done[c.id] = Entry(*row)
        except apsw.Error as error:
            raise translate(error) from error

    def _load(self, commands: Sequence[Command], context: Context) -> None:
        latest: dict[tuple[str, str], int] = {}
        for c in commands:
            if c.workspace not in context.workspaces and (row := self._one(SELECT_WORKSPACE, (c.workspace,))):
                context.workspaces[c.workspace] = read_workspace(row)
            if isinstance(c, NAMES_HOLD):
                self._load_hold(c, context)
            owner = (c.workspace, c.account)
            bucket = bucket_of(*owner)
            latest[owner] = max(c.at, latest.get(owner, 0))
            if owner not in context.accounts and (row := self._one(SELECT_ACCOUNT, (*owner, bucket))):
                context.accounts[owner] = read_account(row)
            # Without an account (a hold that was not found) there is no key: '' has those of administrative writes.
            if c.key is not None and c.account:
                self._load_key(c, bucket, context)
            if type(c) in _LOAD_MORE:
                self._load_more(c, context)
        for owner, at in latest.items():
            account = context.accounts.get(owner)
            if account is not None and account.hold_due_at is not None and account.hold_due_at <= max(at, account.at):
                self._load_due_holds(owner, max(at, account.at), context)

    def _load_key(self, c: Command, bucket: int, context: Context) -> None:
        # Two look-ups, not a join: nearly all keys are new, and the join costs thirty times the first.
        if row := self._one(SELECT_KEY, (c.workspace, c.key, c.account, bucket)):
            entry = self._one(SELECT_NUMBERED, (c.workspace, c.account, row[0], bucket))
            if entry is None or entry[KEY_COLUMN] != c.key:
                context.keys[(c.workspace, c.account, c.key or "")] = self._kept(c, bucket)
            else:
                context.keys[(c.workspace, c.account, c.key or "")] = Entry(*entry)

    def _kept(self, c: Command, bucket: int) -> Entry:
        """What the first answer of a key was told from whose entry is not here."""
        row = self._one(SELECT_KEPT_KEY, (c.workspace, c.key, c.account, bucket))
        assert row is not None, "a key and its answer are one commit"
        return read_kept_key(row)

    def _load_hold(self, c: Any, context: Context) -> None:
        bucket = bucket_in(c.hold)
        if bucket is None:
            return
        if not c.account and (owner := self._one(SELECT_HOLD_OWNER, (c.hold, bucket, c.workspace))):
            c.account = owner[0]
        if row := self._one(SELECT_HOLD, (c.hold, bucket, c.workspace)):
            context.holds[c.hold] = _hold.decode(row[0])
            if isinstance(c, Settle) and context.holds[c.hold].state == "expired":
                self._load_archived(c, context)

    def _load_due_holds(self, owner: tuple[str, str], at: int, context: Context) -> None:
        holds = [_hold.decode(row[0]) for row in self._all(SELECT_DUE_HOLDS, (*owner, at))]
        context.holds.update((h.id, h) for h in holds)
        context.due_holds[owner] = [h.id for h in holds]
        row = self._one(SELECT_NEXT_HOLD, (*owner, at))
        if row and row[0] is not None:
            context.next_hold[owner] = row[0]

    def _load_more(self, c: Any, context: Context) -> None:
        owner = (c.workspace, c.account)
        account = context.accounts.get(owner)
        if account is not None and account.debt and owner not in context.owing and not isinstance(c, NAMES_GRANT):
            charges = [_charge.decode(row[0]) for row in self._all(SELECT_OWING, owner)]
            context.charges.update((x.id, x) for x in charges)
            context.owing[owner] = [x.id for x in charges]
        if isinstance(c, OF_SUBSCRIPTIONS):
            self._load_subscription(c, context)
        if isinstance(c, (Refund, *NAMES_GRANT)):
            self._load_archived(c, context)
        if isinstance(c, CLAIMS):
            self._load_claim(c, context)
        elif isinstance(c, NAMES_GRANT):
            self._load_grant(c.grant, c, context)
        elif isinstance(c, Refund) and c.charge is not None:
            self._load_charge(c.charge, c, context)
        elif isinstance(c, Refund):
            self._load_refundable(c, context)

    def _load_archived(self, c: Command, context: Context) -> None:
        owner = (c.workspace, c.account)
        if row := self._one(SELECT_CHECKPOINT, (*owner, bucket_of(*owner))):
            context.archived[owner] = before(read_checkpoint(row))

    def _load_subscription(self, c: Command, context: Context) -> None:
        owner = (c.workspace, c.account)
        if owner not in context.subscriptions and (row := self._one(SELECT_SUBSCRIPTION, (*owner, bucket_of(*owner)))):
            context.subscriptions[owner] = read_subscription(row[0])
        s = context.subscriptions.get(owner)
        for plan in {*(s.plans if s else ()), *((c.plan,) if isinstance(c, NAMES_PLAN) else ())}:
            if (c.workspace, plan) not in context.plans and (row := self._one(SELECT_PLAN, (c.workspace, plan))):
                context.plans[(c.workspace, plan)] = read_plan(row)

    def _load_claim(self, c: Any, context: Context) -> None:
        if c.claim is None:
            return
        row = self._one(SELECT_PAYMENT, (c.workspace, *c.claim))
        if row is None:
            return
        entry = self._one(SELECT_ENTRY, (row[1], bucket_in(row[1])))
        if entry is None:
            (kept,) = self._all(SELECT_CLAIM_ANSWER, (c.workspace, *c.claim))
            credited = read_claim_answer(c.workspace, row[0], kept[0])
        else:
            credited = Entry(*entry)
        context.claims[(c.workspace, *c.claim)] = Claimed(PaymentClaim(c.workspace, *c.claim, *row), credited)

    def _load_grant(self, grant_id: str, c: Command, context: Context) -> None:
        bucket = bucket_in(grant_id)
        key = (c.workspace, c.account, grant_id)
        if key in context.grants or bucket is None:
            return
        if row := self._one(SELECT_GRANT, (grant_id, bucket, c.workspace, c.account)):
            context.grants[key] = read_grant(row)

    def _load_charge(self, charge_id: str, c: Command, context: Context) -> None:
        bucket = bucket_in(charge_id)
        if bucket is None:
            return
        if charge_id not in context.charges:
            if row := self._one(SELECT_CHARGE, (charge_id, bucket)):
                context.charges[charge_id] = _charge.decode(row[0])
            elif (row := self._one(SELECT_ENTRY, (charge_id, bucket))) and (entry := Entry(*row)).kind in CHARGES:
                context.charges[charge_id] = charge_of(entry)
        charge = context.charges.get(charge_id)
        for part in charge.slices if charge else ():
            self._load_grant(part.grant, c, context)

    def _load_refundable(self, c: Refund, context: Context) -> None:
        """The newest charges, until what they hold covers the amount."""
        found: list[str] = []
        left = c.amount or 0
        rows = self._db.cursor().execute(SELECT_CHARGES, (c.workspace, c.account))
        for row in rows:
            entry = Entry(*row)
            self._load_charge(entry.id, c, context)
            charge = context.charges[entry.id]
            if refundable(charge):
                found.append(charge.id)
                left -= refundable(charge)
            if left <= 0:
                break
        context.refundable[(c.workspace, c.account)] = found

    async def save(self, outcomes: Sequence[Accepted]) -> None:
        """Write the batch, each table with one prepared statement."""
        try:
            self._save(outcomes)
        except apsw.Error as error:
            raise translate(error) from error

    def _save(self, outcomes: Sequence[Accepted]) -> None:
        entries = [e for o in outcomes for e in o.entries]
        many = self._many
        many(INSERT_ENTRY, [entry_row(e) for e in entries])
        many(INSERT_KEY, [(e.workspace, e.key, e.account, e.bucket, e.number) for e in entries if e.key is not None])
        # Of several outcomes of one account the last has its state.
        accounts = {(o.account.workspace, o.account.id): o.account for o in outcomes if o.account is not None}
        many(UPSERT_ACCOUNT, [account_row(a) for a in accounts.values()])
        for o in outcomes:
            if o.grants:
                many(INSERT_GRANT, [grant_row(g, o.account) for g in o.grants if o.account is not None])
            if o.gone and o.account is not None:
                many(ADD_GONE, [(amount, grant, o.account.bucket) for grant, amount in o.gone])
            if o.holds:
                many(UPSERT_HOLD, [hold_row(h) for h in o.holds])
            if o.charges:
                many(UPSERT_CHARGE, [charge_row(x) for x in o.charges])
            for record in o.records:
                if isinstance(record, KeptKey):
                    self._save_kept_key(record, o.entries[-1].number)
                else:
                    self._save_record(record)
        events = [event for o in outcomes for event in o.events]
        self._tells = bool(events)
        if events:
            self._save_told(events, [delivery for o in outcomes for delivery in o.deliveries])

    def _save_told(self, events: Sequence[Event], deliveries: Sequence[Delivery]) -> None:
        """What is told; nothing of an event that was told before, and is told once."""
        untold: set[str] = set()
        for event in events:
            if event.once:
                self._cursor.execute(INSERT_EVENT, event_row(event))
                if not self._db.changes():
                    untold.add(event.id)
        self._many(INSERT_EVENT, [event_row(event) for event in events if not event.once])
        self._many(INSERT_DELIVERY, [delivery_row(d) for d in deliveries if d.event not in untold])

    def _many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if len(rows) == 1:
            self._cursor.execute(sql, rows[0])
        elif rows:
            self._cursor.executemany(sql, rows)

    def _save_kept_key(self, r: KeptKey, number: int) -> None:
        self._cursor.execute(INSERT_KEY, (r.workspace, r.key, r.account, r.bucket, number))
        self._cursor.execute(INSERT_KEPT_KEY, kept_key_row(r, number))

    def _save_record(self, r: Record) -> None:
        if isinstance(r, UsageRecord):
            self._cursor.execute(INSERT_USAGE, usage_row(r))
        elif isinstance(r, Due):
            if r.at is None:
                self._cursor.execute(DELETE_DUE, (r.workspace, r.account, r.bucket))
            else:
                self._cursor.execute(UPSERT_DUE, (r.workspace, r.account, r.bucket, r.at))
        elif isinstance(r, TopUpDue):
            self._cursor.execute(INSERT_TOP_UP_DUE, (r.workspace, r.account, r.bucket, r.at))
        elif isinstance(r, Audit):
            self._cursor.execute(INSERT_AUDIT, audit_row(r))
        elif isinstance(r, SessionStart):
            self._cursor.execute(INSERT_SESSION, session_row(r))
        elif isinstance(r, SessionEnd):
            self._cursor.execute(END_SESSION, session_end_row(r))
        elif isinstance(r, SubscriptionRow):
            self._cursor.execute(UPSERT_SUBSCRIPTION, subscription_row(r))
            self._cursor.execute(DELETE_FAILED_RENEWAL, (r.workspace, r.account, r.bucket))
        elif isinstance(r, PaymentClaim):
            self._cursor.execute(INSERT_PAYMENT, payment_row(r))

    async def commit(self) -> None:
        """Commit; returns once the log is on the disk."""
        try:
            self._cursor.execute("commit")
        except (apsw.BusyError, apsw.FullError) as error:
            # Both are raised before the commit is made: the transaction is still open, or was undone.
            raise translate(error) from error
        except apsw.Error as error:
            raise Unknown(f"the disk reported an error while committing: {error}") from error
        if self._tells:
            OUTBOX.ring()

    async def rollback(self) -> None:
        """Undo; harmless where nothing is open."""
        if self._db.in_transaction:
            try:
                self._cursor.execute("rollback")
            except apsw.Error as error:
                raise translate(error) from error

    async def close(self) -> None:
        """Close the file; the write-ahead log is folded in when this was the last connection."""
        self._db.close()


_LOAD_MORE = frozenset({GiveGrant, Import, Adjust, SetBalance, Refund, *NAMES_GRANT, *OF_SUBSCRIPTIONS})


def _patience() -> Callable[[int], bool]:
    """What a connection does while others write. SQLite by itself looks ever less often, and so hardly ever between two
    batches of a busy engine. It goes by the clock: beside a thread that computes each look takes many times as long."""
    until = 0.0

    def look_again(looks: int) -> bool:
        nonlocal until
        if looks == 0:
            until = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
        time.sleep(LOOK_MS / 1_000)
        return time.monotonic() < until

    return look_again


class SqliteDatabase:
    """Reading for people, and small writes outside the engine (keys, settings); a connection of its own."""

    dialect = "sqlite"

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        db.set_busy_handler(_patience())

    async def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        try:
            return list(self._db.execute(sql, tuple(values)))
        except apsw.Error as error:
            raise translate(error) from error

    async def read(self, work: Work[T]) -> T:
        """Run `work(execute)`, which only reads: all that it sees is of one moment."""
        return await self._transaction("begin", work)

    async def write(self, work: Work[T]) -> T:
        """Run `work(execute)` in one transaction that is on the disk when this returns."""
        return await self._transaction(BEGIN, work)

    async def _transaction(self, begin: str, work: Work[T]) -> T:
        async def execute(sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
            return list(self._db.execute(sql, tuple(values)))

        try:
            self._db.execute(begin)
            try:
                result = await work(execute)
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise
        except apsw.Error as error:
            raise translate(error) from error
        return result

    async def close(self) -> None:
        """Close the connection."""
        self._db.close()
