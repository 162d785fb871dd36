"""What doctor reads of a SQLite file, and how: short read transactions beside a running server."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from . import migrate, migrate_sqlite, sqlite
from .sqlite import translate
from .statements import statements

Row = tuple[Any, ...]
SYNCHRONOUS_FULL: Final = 2
RETENTION: Final = 7
"""The migration that made the table `retiring`."""
STILL_RETIRING: Final = "the table retiring has a row outside of a transaction: entries could be deleted; empty it"


class SqliteSource:
    """One connection to a file that others may be writing."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._db = sqlite.connect(path, read_only=read_only)
        self._sql = statements("sqlite", "doctor") | statements("sqlite", "retention")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Until it ends nothing that is read moves."""
        self.write("begin")
        try:
            yield
        finally:
            if self._db.in_transaction:
                self.write("rollback")

    @contextmanager
    def alone(self, workspace: str, account: str, bucket: int) -> Iterator[None]:
        """Nobody else writes (the account, or anything) until it ends; commits."""
        self.write("begin immediate")
        try:
            yield
            self.write("commit")
        finally:
            if self._db.in_transaction:
                self.write("rollback")

    def rows(self, name: str, *values: Any) -> Iterator[Row]:
        """The rows of a statement, as they are asked for."""
        try:
            yield from self._db.execute(self._sql[name], values)
        except apsw.Error as error:
            raise translate(error) from error

    def owners(self, table: str, after: tuple[str, str], limit: int) -> Iterator[Row]:
        """The next accounts that a table names, and whether each has a row."""
        for _ in range(limit):
            row = next(self.rows(f"owner_in_{table}", *after), None)
            if row is None:
                return
            yield row
            after = row[:2]

    def put(self, name: str, *values: Any) -> None:
        """Carry out a statement that writes."""
        self.write(self._sql[name], values)

    def put_all(self, name: str, rows: Sequence[Row]) -> None:
        """Carry out a statement that writes for each of these."""
        try:
            self._db.executemany(self._sql[name], rows)
        except apsw.Error as error:
            raise translate(error) from error

    def write(self, sql: str, values: Row = ()) -> None:
        """Carry out SQL that has no rows."""
        try:
            self._db.execute(sql, values)
        except apsw.Error as error:
            raise translate(error) from error

    # Law 2

    def undurable(self) -> Iterator[str]:
        """Settings under which what was told might not be on the disk."""
        ((mode, synchronous, application),) = self.rows("durability")
        if mode != "wal":
            yield f"journal_mode is {mode}, and should be wal"
        if synchronous < SYNCHRONOUS_FULL:
            yield f"synchronous is {synchronous}, and should be {SYNCHRONOUS_FULL} (full)"
        if application != migrate_sqlite.APPLICATION_ID:
            yield f"application_id is {application:#x}, and should be {migrate_sqlite.APPLICATION_ID:#x}"

    def damage(self) -> Iterator[str]:
        """What SQLite finds wrong with its own pages, each index held against its table."""
        try:
            for (said,) in self._db.execute("pragma integrity_check"):
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
        found = set(self.rows("schema"))
        for kind, name, sql in model.execute(self._sql["schema"]):
            if (kind, name, sql) not in found:
                yield f"{kind} {name} is missing or was changed"
        model.close()
        if len(status.applied) >= RETENTION and any(self.rows("still_retiring")):
            yield STILL_RETIRING
