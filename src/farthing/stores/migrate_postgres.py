"""Migrations on a PostgreSQL database: each in a transaction of its own, which it may not leave, beside running code.

Of several runners one works: a lock that ends with its transaction, so that it holds behind PgBouncer too. A change of
a table has to wait until nobody uses it, and whoever comes later waits behind it: so it waits for a second at most,
lets everybody pass, and tries again.
"""

import time
from collections.abc import Callable
from hashlib import sha256
from typing import Final

import asyncpg

from .contract import Busy, Raced, StoreError, Unavailable
from .migrate import (
    APPLIED,
    Applied,
    DatabaseBusy,
    FailedMigration,
    Migration,
    NotOurs,
    Phase,
    Status,
    TableBusy,
    WrongEncoding,
    compare,
    next_of,
)  # fmt: skip
from .postgres_sync import SyncConnection

LOCK: Final = int.from_bytes(b"FRTHmigr")
"""The number of the lock that runners take, among all programs of the database."""
PATIENCE_MS: Final = 1_000
"""How long a statement may wait for a table, and others behind it."""
PAUSE_SECONDS: Final = 0.5
TABLE: Final = (
    "create table migration (id integer primary key, name text not null, sha256 text not null,"
    " applied_at bigint not null, phase text not null)"
)
_COLUMNS: Final = "id integer, name text, sha256 text, applied_at bigint, phase text"
_FACTS: Final = """
select n.nspname, current_setting('server_encoding'),
    (
        select count(*) from pg_class c
        where c.relnamespace = n.oid and c.relkind in ('r', 'p', 'f', 'v', 'm') and not exists (
            select 1 from pg_depend d
            where d.classid = cast('pg_class' as regclass) and d.objid = c.oid and d.deptype = 'e'
        )
    ),
    (
        select string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum)
        from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = n.oid and c.relname = 'migration' and a.attnum > 0 and not a.attisdropped
    )
from (values (current_schema())) s (name) left join pg_namespace n on n.nspname = s.name
"""
"""Where our tables would be made, how text is kept, how many tables are there (not those of extensions), and the
columns of a table of migrations."""


def check(db: SyncConnection, migrations: tuple[Migration, ...]) -> Status:
    """Where a database stands; it is only read."""
    if not _is_ours(db):
        return Status((), migrations)
    rows = db.rows(APPLIED)
    return compare(tuple(Applied(*row) for row in rows), migrations)


def _is_ours(db: SyncConnection) -> bool:
    """False for an empty database; raise for somebody else's."""
    # One statement is one snapshot: another runner may be at work.
    ((schema, encoding, tables, columns),) = db.rows(_FACTS)
    if schema is None:
        raise NotOurs(why="no schema of its search path exists, or none that we may use")
    if columns is None and tables:
        raise NotOurs(why=f"it has {tables} tables of another program")
    if columns not in (None, _COLUMNS):
        raise NotOurs(why="its table of migrations is another program's")
    if encoding != "UTF8":
        raise WrongEncoding(encoding=encoding)
    return columns is not None


def migrate(
    db: SyncConnection,
    migrations: tuple[Migration, ...],
    now_us: int,
    phases: tuple[Phase, ...],
    on_step: Callable[[Migration], None],
    wait_seconds: int,
) -> list[Migration]:
    """Run what is pending; see `farthing.stores.migrate`."""
    done: list[Migration] = []
    deadline = time.monotonic() + wait_seconds
    while (following := next_of(check(db, migrations), phases)) is not None:
        try:
            if migration := _step(db, migrations, now_us, phases, on_step, wait_seconds):
                done.append(migration)
                deadline = time.monotonic() + wait_seconds
        except (Busy, Raced) as error:
            if time.monotonic() >= deadline:
                raise TableBusy(file=following.file, id=following.id, seconds=wait_seconds) from error
            time.sleep(PAUSE_SECONDS)
    return done


def _step(
    db: SyncConnection,
    migrations: tuple[Migration, ...],
    now_us: int,
    phases: tuple[Phase, ...],
    on_step: Callable[[Migration], None],
    wait_seconds: int,
) -> Migration | None:
    """Run one file in one transaction; None if another runner was faster."""
    with db.transaction():
        # What the server or the user has set for time-outs is meant for short transactions.
        db.execute(
            f"set local lock_timeout = {max(1, wait_seconds * 1000)}; set local statement_timeout = 0;"
            " set local idle_in_transaction_session_timeout = 0"
        )
        try:
            db.rows("select pg_advisory_xact_lock($1)", (LOCK,))
        except Busy as error:
            raise DatabaseBusy(seconds=wait_seconds) from error
        db.execute(f"set local lock_timeout = {PATIENCE_MS}")
        migration = next_of(check(db, migrations), phases)
        if migration is not None:
            on_step(migration)
            _run(db, migration, now_us)
    return migration


def _run(db: SyncConnection, migration: Migration, now_us: int) -> None:
    """Run a file's statements and write down that they were run."""
    if migration.id == 1:
        db.execute(TABLE)
    lay(db, migration)
    record = (migration.id, migration.name, migration.sha256, now_us, migration.phase)
    db.rows("insert into migration (id, name, sha256, applied_at, phase) values ($1, $2, $3, $4, $5)", record)


def lay(db: SyncConnection, migration: Migration) -> None:
    """Run a file's statements in the transaction that is open, which they can't end: `execute` refuses to."""
    tag = sha256(migration.sql.encode()).hexdigest()
    text, block = f"$text_{tag}$", f"$block_{tag}$"
    try:
        db.execute(f"do {block} begin execute {text}{migration.sql}{text}; end {block}")
    except (Busy, Unavailable):
        raise
    except StoreError as error:
        if isinstance(error, Raced) and not isinstance(error.__cause__, asyncpg.UniqueViolationError):
            raise
        raise FailedMigration(file=migration.file, id=migration.id, error=error) from error
