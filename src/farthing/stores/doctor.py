"""What doctor reads, and what a rebuild writes: plain statements on one connection, no judgement.

Reading goes beside a running server: each `snapshot` is one short read transaction, in which nothing moves.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec
from msgspec import Struct

from farthing.core.ids import bucket_in
from farthing.core.records import Account, Audit, Charge, Entry, GrantTerms, Hold

from . import migrate, sqlite
from .rows import account_row, charge_row, grant_row, hold_row, read_grant
from .sqlite import translate
from .statements import statements

Row = tuple[Any, ...]
PAGE: Final = 1_000
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError)
"""What reading raises where a stored text is not what it should be."""
_OWNERS: Final = {"entry": "owner_in_entry", "grants": "owner_in_grants", "job": "owner_in_job"}
_hold = msgspec.json.Decoder(Hold)
_charge = msgspec.json.Decoder(Charge)
_encode = msgspec.json.Encoder().encode


class Line(Struct):
    """An entry, and what other tables have under its key and id."""

    entry: Entry
    key_number: int | None
    """The number that the table of keys has for its key."""
    has_charge: bool


class Stored(Struct):
    """A record of a table: what its text says, and the columns beside it."""

    record: GrantTerms | Hold | Charge
    columns: Row


class Reading:
    """The reads, each a stream, on a connection of its own."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._sql = statements("sqlite", "doctor")

    @classmethod
    def open(cls, path: Path) -> "Reading":
        """Read a file that others may be writing."""
        return cls(sqlite.connect(path, read_only=True))

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def snapshot(self, write: bool = False) -> Iterator[None]:
        """Until it ends nothing that is read moves; `write` also keeps others from writing, and commits."""
        try:
            self._db.execute("begin immediate" if write else "begin")
        except apsw.Error as error:
            raise translate(error) from error
        try:
            yield
            if write:
                self._commit()
        finally:
            if self._db.in_transaction:
                self._db.execute("rollback")

    def _commit(self) -> None:
        try:
            self._db.execute("commit")
        except apsw.Error as error:
            raise translate(error) from error

    def _rows(self, name: str, *values: Any) -> Iterator[Row]:
        try:
            yield from self._db.execute(self._sql[name], values)
        except apsw.Error as error:
            raise translate(error) from error

    def _row(self, name: str, *values: Any) -> Row | None:
        return next(self._rows(name, *values), None)

    # The file

    def durability(self) -> tuple[str, int, int]:
        """Journal mode, `synchronous`, application id."""
        row = self._row("durability")
        assert row is not None, "a select without a table has a row"
        return str(row[0]), int(row[1]), int(row[2])

    def damage(self, deep: bool) -> Iterator[str]:
        """What SQLite finds wrong with its own pages; `deep` also holds each index against its table."""
        try:
            for (said,) in self._db.execute("pragma integrity_check" if deep else "pragma quick_check"):
                if said != "ok":
                    yield str(said)
        except apsw.Error as error:
            raise translate(error) from error

    def schema_differences(self) -> Iterator[str]:
        """What the schema lacks of what its migrations made."""
        migrations = migrate.discover("sqlite")
        try:
            status = migrate.check(self._db, migrations)
        except migrate.MigrationError as error:
            yield str(error)
            return
        model = apsw.Connection(":memory:")
        migrate.migrate(model, migrations[: len(status.applied)], 0)
        found = set(self._rows("schema"))
        for kind, name, sql in Reading(model)._rows("schema"):
            if (kind, name, sql) not in found:
                yield f"{kind} {name} is missing or was changed"
        model.close()

    # Whole tables

    def workspaces(self) -> set[str]:
        """All their ids."""
        return {row[0] for row in self._rows("workspaces")}

    def count_accounts(self) -> int:
        """How many accounts there are."""
        row = self._row("count_accounts")
        return int(row[0]) if row else 0

    def accounts(self, after: Row) -> Iterator[Row]:
        """A page of rows, of those that follow (workspace, id, bucket)."""
        return self._rows("accounts", *after, PAGE)

    def page(self, table: str, after: Row) -> Iterator[Row]:
        """A page of `keys`, `holds`, `charges` or `payments`, each row joined with its entry."""
        return self._rows(table, *after, PAGE)

    def owner(self, table: str, after: tuple[str, str]) -> tuple[str, str, bool] | None:
        """The next account that rows of `entry`, `grants` or `job` name, and whether it has a row."""
        row = self._row(_OWNERS[table], *after)
        return (row[0], row[1], bool(row[2])) if row else None

    # One account

    def account(self, workspace: str, account: str, bucket: int) -> Row | None:
        """Its row, to be read with `read_account`."""
        return self._row("account", workspace, account, bucket)

    def entries(self, workspace: str, account: str, after: int, limit: int) -> Iterator[Line]:
        """Its entries after that number, in order."""
        for *columns, number, has_charge in self._rows("entries", workspace, account, after, limit):
            yield Line(Entry(*columns), number, bool(has_charge))

    def entry(self, entry_id: str) -> Entry | None:
        """One entry by its id."""
        row = self._row("entry", entry_id, bucket_in(entry_id))
        return Entry(*row) if row else None

    def grants(self, workspace: str, account: str) -> Iterator[Stored]:
        """The history of its grants."""
        for *columns, terms, voided, gone, grant_id in self._rows("grants", workspace, account):
            yield Stored(read_grant((terms, voided, gone)), (grant_id, *columns))

    def hold(self, hold_id: str, bucket: int) -> Stored | None:
        """A hold's row."""
        row = self._row("hold", hold_id, bucket)
        return Stored(_hold.decode(row[-1]), row[:-1]) if row else None

    def charge(self, charge_id: str, bucket: int) -> Stored | None:
        """A charge's row."""
        row = self._row("charge", charge_id, bucket)
        return Stored(_charge.decode(row[-1]), row[:-1]) if row else None

    def charges_of(self, workspace: str, account: str) -> Iterator[str]:
        """Which of its entries have a row among the charges."""
        return (row[0] for row in self._rows("charges_of", workspace, account))

    def due(self, workspace: str, account: str, bucket: int) -> int | None:
        """When the table of jobs says that time does something to it."""
        row = self._row("due", workspace, account, bucket)
        return row[0] if row else None


def columns_of(record: GrantTerms | Hold | Charge, bucket: int) -> Row:
    """The columns that a record must have beside its text, in the order in which they are read."""
    if isinstance(record, GrantTerms):
        return (record.id, bucket, record.amount, record.created_at, record.expires_at)
    return (hold_row(record) if isinstance(record, Hold) else charge_row(record))[1:-1]


class Repairing(Reading):
    """The writes of a rebuild, inside `snapshot(write=True)`."""

    @classmethod
    def open(cls, path: Path) -> "Repairing":
        """Open for writing, beside a running server."""
        return cls(sqlite.connect(path))

    def _write(self, sql: str, values: Row) -> None:
        try:
            self._db.execute(sql, values)
        except apsw.Error as error:
            raise translate(error) from error

    def put_account(self, account: Account, due: int | None) -> None:
        """Write its row and when time next does something to it."""
        self._write(sqlite.UPSERT_ACCOUNT, account_row(account))
        key = (account.workspace, account.id, account.bucket)
        if due is None:
            self._write(sqlite.DELETE_DUE, key)
        else:
            self._write(sqlite.UPSERT_DUE, (*key, due))

    def put(self, record: GrantTerms | Hold | Charge, account: Account) -> None:
        """Write a record's row."""
        if isinstance(record, GrantTerms):
            self._write(self._sql["put_grant"], (*grant_row(record, account), record.gone))
        elif isinstance(record, Hold):
            self._write(self._sql["put_hold"], hold_row(record))
        else:
            self._write(self._sql["put_charge"], charge_row(record))

    def drop(self, table: str, record_id: str, bucket: int) -> None:
        """Take away a row of `grants` or `charge` that no entry explains."""
        self._write(self._sql[f"drop_{table}"], (record_id, bucket))

    def put_key(self, entry: Entry) -> None:
        """Enter an entry's key."""
        self._write(sqlite.INSERT_KEY, (entry.workspace, entry.key, entry.account, entry.bucket, entry.number))

    def audit(self, a: Audit) -> None:
        """Say who did it."""
        detail = _encode(a.detail or {}).decode()
        values = (a.workspace, a.at, a.actor, a.request_id, a.action, a.subject, a.entry, detail)
        self._write(sqlite.INSERT_AUDIT, values)
