"""Migrations on a SQLite file: each in a transaction of its own, which it may not leave."""

from collections.abc import Callable
from typing import Final

import apsw

from .migrate import (
    APPLIED,
    Applied,
    DatabaseBusy,
    FailedMigration,
    Migration,
    NotOurs,
    Phase,
    Status,
    compare,
    next_of,
)  # fmt: skip

APPLICATION_ID: Final = int.from_bytes(b"FRTH")
"""In the header of a file: says whose it is."""


def check(conn: apsw.Connection, migrations: tuple[Migration, ...]) -> Status:
    """Where a file stands; it is only read."""
    if not _is_ours(conn):
        return Status((), migrations)
    rows = conn.execute(APPLIED)
    return compare(tuple(Applied(*row) for row in rows), migrations)


def _is_ours(conn: apsw.Connection) -> bool:
    """False for an empty database; raise for somebody else's."""
    # One statement is one snapshot: another runner may be at work.
    query = """select (select application_id from pragma_application_id), count(*), total(name = 'migration')
               from sqlite_master where type in ('table', 'view')"""
    try:
        owner, tables, ours = conn.execute(query).get
    except apsw.NotADBError as error:
        raise NotOurs(why="it is no SQLite database") from error
    if owner not in (0, APPLICATION_ID):
        raise NotOurs(why=f"its application id is {owner:#x}")
    if tables and owner == 0:
        raise NotOurs(why=f"it has {tables} tables of another program")
    if owner and not ours:
        raise NotOurs(why="it has our application id, but no table of migrations")
    return bool(tables)


def migrate(
    conn: apsw.Connection,
    migrations: tuple[Migration, ...],
    now_us: int,
    phases: tuple[Phase, ...],
    on_step: Callable[[Migration], None],
    wait_seconds: int,
) -> list[Migration]:
    """Run what is pending; see `farthing.stores.migrate`."""
    done: list[Migration] = []
    patience = conn.pragma("busy_timeout")
    conn.set_busy_timeout(wait_seconds * 1000)
    try:
        while next_of(check(conn, migrations), phases) is not None:
            if migration := _step(conn, migrations, now_us, phases, on_step):
                done.append(migration)
    except apsw.BusyError as error:
        raise DatabaseBusy(seconds=wait_seconds) from error
    finally:
        conn.set_busy_timeout(patience)
    return done


def _step(
    conn: apsw.Connection,
    migrations: tuple[Migration, ...],
    now_us: int,
    phases: tuple[Phase, ...],
    on_step: Callable[[Migration], None],
) -> Migration | None:
    """Run one file in one transaction; None if another runner was faster."""
    conn.execute("begin immediate")
    try:
        migration = next_of(check(conn, migrations), phases)
        if migration is not None:
            on_step(migration)
            _run(conn, migration, now_us)
        conn.execute("commit")
    except BaseException:
        if conn.in_transaction:  # a full disk has rolled back by itself
            conn.execute("rollback")
        raise
    return migration


def _run(conn: apsw.Connection, migration: Migration, now_us: int) -> None:
    """Run a file's statements and write down that they were run."""
    if migration.id == 1:
        conn.execute(
            f"pragma application_id = {APPLICATION_ID};"
            "create table migration (id integer primary key, name text not null, sha256 text not null,"
            " applied_at integer not null) strict"
        )
    if not any(column == "phase" for (column,) in conn.execute("select name from pragma_table_info('migration')")):
        # The first version's table has no such column.
        conn.execute("alter table migration add column phase text not null default 'pre'")
    authorizer, conn.authorizer = conn.authorizer, _keep_transaction
    try:
        conn.execute(migration.sql)
    except apsw.Error as error:
        raise FailedMigration(file=migration.file, id=migration.id, error=error) from error
    finally:
        conn.authorizer = authorizer
    record = (migration.id, migration.name, migration.sha256, now_us, migration.phase)
    conn.execute("insert into migration (id, name, sha256, applied_at, phase) values (?, ?, ?, ?, ?)", record)


def _keep_transaction(action: int, *_: object) -> int:
    """A file may not end or nest the transaction it is run in."""
    return apsw.SQLITE_DENY if action in (apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT) else apsw.SQLITE_OK
