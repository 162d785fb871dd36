"""What doctor reads of a PostgreSQL database, and how: snapshots in short transactions, and accounts read ahead.

An account costs a few questions, and each question a way to the server and back: so with a page of accounts comes what
most of them need, for all of them at once. What is longer is asked for when its account is read.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import itemgetter
from typing import Any, Final

from . import migrate, migrate_postgres
from .contract import ReadOnly, StoreError, Unavailable
from .doctor_sqlite import RETENTION, STILL_RETIRING
from .postgres_sync import SyncConnection
from .statements import statements

Row = tuple[Any, ...]
Owner = tuple[str, str]
LOCK_SECONDS: Final = 5
AHEAD: Final = 200
"""For how many accounts is read ahead."""
ENTRIES_AHEAD: Final = 50
GRANTS_AHEAD: Final = 50
_LONG: Final = frozenset({"charges_of", "entries", "grants", "holds_of"})
"""What has no end that is known before: read in pieces, and so inside a transaction."""
_ONE_EACH: Final = {
    "due": "ahead_due",
    "subscription": "ahead_subscriptions",
    "checkpoint": "ahead_checkpoints",
}
"""What an account has one of, or none."""
_NUMBER: Final = 3
"""Where an entry has it."""
_MUST_BE_ON: Final = ("fsync", "full_page_writes", "synchronous_commit")
"""The last may also be `local`, `remote_write` or `remote_apply`, which wait for the disk of this server as well."""
_UNLIMITED: Final = "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0"
"""For reading, which blocks nobody."""


class PostgresSource:
    """One connection to a database that others may be writing."""

    def __init__(self, dsn: str) -> None:
        self._db = SyncConnection(dsn)
        self._sql = statements("postgres", "doctor") | statements("postgres", "retention")
        self._ahead = _Ahead({}, {}, {})

    def close(self) -> None:
        """Say goodbye to the server."""
        self._db.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Until it ends nothing that is read moves."""
        with self._db.transaction("repeatable_read", read_only=True):
            self._db.execute(_UNLIMITED)
            try:
                yield
            finally:
                self._ahead = _Ahead({}, {}, {})

    @contextmanager
    def alone(self, workspace: str, account: str, bucket: int) -> Iterator[None]:
        """Nobody else writes the account until it ends; commits.

        Who writes an account locks its row. Where that is missing nobody can: the first entry is there already.
        """
        with self._db.transaction():
            self._db.execute(f"{_UNLIMITED}; set local lock_timeout = '{LOCK_SECONDS}s'")
            self._db.rows(self._sql["lock_account"], (workspace, account, bucket))
            yield

    def rows(self, name: str, *values: Any) -> Iterator[Row]:
        """The rows of a statement, as they are asked for."""
        if name == "accounts":
            return self._accounts(values)
        known = self._ahead.find(name, values)
        if known is not None:
            return iter(known)
        if name in _LONG:
            return self._db.stream(self._sql[name], values)
        return iter(self._db.rows(self._sql[name], values))

    def owners(self, table: str, after: tuple[str, str], limit: int) -> Iterator[Row]:
        """The next accounts that a table names, and whether each has a row."""
        return self.rows(f"owners_in_{table}", *after, limit)

    def put(self, name: str, *values: Any) -> None:
        """Carry out a statement that writes."""
        self._db.rows(self._sql[name], values)

    def put_all(self, name: str, rows: Sequence[Row]) -> None:
        """Carry out a statement that writes all of these, given as columns."""
        if rows:
            self._db.rows(self._sql[name], [list(column) for column in zip(*rows, strict=True)])

    # Reading ahead

    def _accounts(self, values: Row) -> Iterator[Row]:
        """A page of accounts; what most of them need is read with each part of it."""
        part: list[Row] = []
        for row in self._db.stream(self._sql["accounts"], values, AHEAD):
            part.append(row)
            if len(part) == AHEAD:
                yield from self._with_ahead(part)
                part = []
        yield from self._with_ahead(part)

    def _with_ahead(self, part: list[Row]) -> Iterator[Row]:
        if part:
            self._ahead = self._read_ahead([row[:3] for row in part])
            yield from part

    def _read_ahead(self, accounts: Sequence[tuple[str, str, int]]) -> "_Ahead":
        workspaces, ids = [each[0] for each in accounts], [each[1] for each in accounts]
        buckets = [each[2] for each in accounts]

        def by_owner(name: str, *values: Any) -> dict[Owner, list[Row]]:
            found: dict[Owner, list[Row]] = {(workspace, account): [] for workspace, account, _ in accounts}
            for row in self._db.stream(self._sql[name], (workspaces, ids, *values)):
                found[row[0], row[1]].append(row)
            return found

        entries = by_owner("ahead_entries", ENTRIES_AHEAD + 1)
        for rows in entries.values():
            rows.sort(key=itemgetter(_NUMBER))
        grants = by_owner("ahead_grants", GRANTS_AHEAD + 1)
        return _Ahead(
            {owner: rows for owner, rows in entries.items() if len(rows) <= ENTRIES_AHEAD},
            {owner: [row[2:] for row in rows] for owner, rows in grants.items() if len(rows) <= GRANTS_AHEAD},
            {
                name: {(*owner, row[2]): row[3:] for owner, rows in by_owner(sql, buckets).items() for row in rows}
                for name, sql in _ONE_EACH.items()
            },
            set(accounts),
        )

    # Law 2

    def undurable(self) -> Iterator[str]:
        """Settings under which what was told might not be on the disk."""
        (found,) = self._db.rows(self._sql["durability"])
        for name, value in zip(_MUST_BE_ON, found, strict=True):
            if value == "off":
                yield f"{name} is off, and should be on"

    def damage(self) -> Iterator[str]:
        """What PostgreSQL finds wrong when all is read; with the extension amcheck, also of each index."""
        for (table,) in self._db.rows(self._sql["tables"]):
            yield from self._complaint(f"select count(*) from {table} t where t is null", str(table))
        for (schema,) in self._db.rows(self._sql["amcheck"]):
            for name, oid in self._db.rows(self._sql["indexes"]):
                check = f"select {schema}.bt_index_check(cast(cast(cast($1 as bigint) as oid) as regclass), true)"
                yield from self._complaint(check, f"index {name}", oid)

    def _complaint(self, sql: str, what: str, *values: Any) -> Iterator[str]:
        try:
            with self.snapshot():
                self._db.rows(sql, values)
        except Unavailable:
            raise
        except StoreError as error:
            yield f"{what}: {error}"

    # Schema

    def schema_differences(self) -> Iterator[str]:
        """What the schema lacks of what its migrations made; they are run once more, in a schema that is not kept."""
        try:
            status = migrate.check(self._db, migrate.discover("postgres"))
            # A number that stayed is used again some day, on a server on which the database was put back.
            if len(status.applied) >= RETENTION and self._db.rows(self._sql["still_retiring"]):
                yield STILL_RETIRING
            model = self._model(migrate.discover("postgres")[: len(status.applied)])
        except migrate.MigrationError as error:
            yield str(error)
            return
        except StoreError as error:
            if not isinstance(error, ReadOnly) and not _is_denied(error):
                raise
            yield f"the schema was not compared, which takes a user who may make one, on the primary: {error}"
            return
        found = set(self._db.rows(self._sql["schema"]))
        for kind, name, facts in model:
            if (kind, name, facts) not in found:
                yield f"{kind} {name} is missing or was changed"

    def _model(self, migrations: tuple[migrate.Migration, ...]) -> list[Row]:
        """What a schema has in which just these migrations were run."""
        model: list[Row] = []
        name = f"farthing_model_{secrets.token_hex(8)}"
        with suppress(_Enough), self._db.transaction():
            self._db.execute(f"{_UNLIMITED}; create schema {name}; set local search_path = {name}")
            self._db.execute(migrate_postgres.TABLE)
            for migration in migrations:
                migrate_postgres.lay(self._db, migration)
            model = self._db.rows(self._sql["schema"])
            raise _Enough
        return model


class _Enough(Exception):
    """Undo what was made: it has been looked at."""


def _is_denied(error: StoreError) -> bool:
    return getattr(error.__cause__, "sqlstate", None) == "42501"


class _Ahead:
    """What was read ahead of some accounts: all of it, or nothing."""

    def __init__(
        self,
        entries: dict[Owner, list[Row]],
        grants: dict[Owner, list[Row]],
        one: dict[str, dict[tuple[str, str, int], Row]],
        asked: set[tuple[str, str, int]] | None = None,
    ) -> None:
        self._entries = entries
        self._grants = grants
        self._one = one
        self._asked = asked or set()

    def find(self, name: str, values: Row) -> list[Row] | None:
        """The rows of a statement, where they are known."""
        if name == "entries" and values[2] == 0 and values[3] > ENTRIES_AHEAD:
            return self._entries.get((values[0], values[1]))
        if name == "grants":
            return self._grants.get((values[0], values[1]))
        if name in self._one and values in self._asked:
            return [self._one[name][values]] if values in self._one[name] else []
        return None
