"""A PostgreSQL database as one side of a copy."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from .contract import Busy, StoreError
from .copying import CopyError, InUse, Row, Table, names, quoted, select, tables_from
from .postgres_sync import SyncConnection
from .statements import statements

FETCH: Final = 200
"""Rows that come at a time: an account with its grants may be large."""
LOCK_SECONDS: Final = 5
LEAVING_SECONDS: Final = 3.0
"""How long a connection that was closed a moment ago may still be listed."""
_PATIENT: Final = (
    "set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0;"
    f" set local lock_timeout = '{LOCK_SECONDS}s'"
)


class PostgresSide:
    """One connection to a database."""

    def __init__(self, dsn: str) -> None:
        self._sql = statements("postgres", "copying")
        self._db = SyncConnection(dsn)

    def close(self) -> None:
        """Say goodbye to the server."""
        self._db.close()

    def tables(self) -> dict[str, Table]:
        """All its tables by name."""
        return tables_from(self.ask("columns"), self.ask("references"))

    @contextmanager
    def held(self, tables: Sequence[str], *, offline: bool) -> Iterator[None]:
        """Lock the tables against writing. A server that goes on would write again afterwards, and not into the copy:
        so nobody else may be connected, but for those of whom `offline` says that they don't write."""
        with self.reserved(offline=offline), self._db.transaction():
            self._db.execute(_PATIENT)
            try:
                self._db.execute(f"lock table {names(sorted(tables))} in share mode")
            except Busy as error:
                raise InUse(
                    f"{self._db.shown} is being written to: for {LOCK_SECONDS} s it could not be had; stop who writes"
                ) from error
            yield

    @contextmanager
    def reserved(self, *, offline: bool) -> Iterator[None]:
        """Nobody else is connected. There is no more to take: what a copy has begun no server opens."""
        deadline = time.monotonic() + LEAVING_SECONDS
        while not offline and (others := self.ask("others")[0][0]):
            if time.monotonic() > deadline:
                raise InUse(
                    f"{others} other connections use {self._db.shown}: stop what serves it; if they only read "
                    "(a monitor, a pooler that keeps connections), say so with --offline"
                )
            time.sleep(0.1)
        yield

    def ask(self, name: str, *values: Any) -> list[Row]:
        """All rows of a statement."""
        return self._db.rows(self._sql[name], values)

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(self._db.rows(f"select count(*) from {quoted(table)}")[0][0])

    def has_rows(self, table: str) -> bool:
        """Whether a table has a row."""
        return bool(self._db.rows(f"select 1 from {quoted(table)} limit 1"))

    def stream(self, table: Table, after: Sequence[Any]) -> Iterator[Row]:
        """The rows behind that key, as they are asked for."""
        return self._db.stream(select(table, "${}", after), after, FETCH)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is put within is on the disk when it ends."""
        with self._db.transaction():
            self._db.execute(_PATIENT)
            yield

    def put(self, table: Table, rows: Sequence[Row]) -> None:
        """Append rows with COPY."""
        try:
            self._db.copy_in(table.name, table.columns, rows)
        except StoreError as error:
            if found := next((row for row in rows if _has_null(row)), None):
                shown = ", ".join(repr(value) for value in found[: len(table.key)])
                raise CopyError(
                    f"a text in {table.name} ({shown}) has a character NUL, which PostgreSQL can't keep"
                ) from error
            raise

    def go_on_numbering(self) -> None:
        """Set what gives out numbers behind the highest one."""
        for table, column in self.ask("numbered"):
            self._db.rows(
                f"select setval(pg_get_serial_sequence($1, $2), max({quoted(column)})) from {quoted(table)}",
                (quoted(table), column),
            )


def _has_null(row: Row) -> bool:
    return any(isinstance(value, str) and "\0" in value for value in row)
