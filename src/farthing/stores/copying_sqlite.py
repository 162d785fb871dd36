"""A SQLite file as one side of a copy."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import apsw

from . import sqlite
from .copying import InUse, Row, Table, names, quoted, select, tables_from
from .lockfile import Locked, LockFile
from .statements import statements


class SqliteSide:
    """One connection to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sql = statements("sqlite", "copying")
        self._db = sqlite.connect(path)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def tables(self) -> dict[str, Table]:
        """All its tables by name."""
        return tables_from(self.ask("columns"), self.ask("references"))

    @contextmanager
    def held(self, tables: Sequence[str], *, offline: bool) -> Iterator[None]:
        """Neither a server nor anybody else writes to the file until it ends: that is known, whatever is said."""
        with self.reserved(offline=offline), self._within("begin immediate", "rollback"):
            yield

    @contextmanager
    def reserved(self, *, offline: bool) -> Iterator[None]:
        """Have the lock file of a `serve`, under the file's own name and under that of a link to it."""
        with ExitStack() as locks:
            for name in dict.fromkeys((self._path.parent.resolve() / self._path.name, self._path.resolve())):
                try:
                    locks.callback(LockFile(name).release)
                except Locked as error:
                    raise InUse(f"a `farthing serve` or another copy has {self._path.name}: stop it first") from error
            yield

    def ask(self, name: str, *values: Any) -> list[Row]:
        """All rows of a statement."""
        return list(self._rows(self._sql[name], values))

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return int(next(self._rows(f"select count(*) from {quoted(table)}"))[0])

    def has_rows(self, table: str) -> bool:
        """Whether a table has a row."""
        return next(self._rows(f"select 1 from {quoted(table)} limit 1"), None) is not None

    def stream(self, table: Table, after: Sequence[Any]) -> Iterator[Row]:
        """The rows behind that key, as they are asked for."""
        return self._rows(select(table, "?", after), after)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is put within is on the disk when it ends."""
        with self._within("begin immediate", "commit"):
            yield

    def put(self, table: Table, rows: Sequence[Row]) -> None:
        """Append rows."""
        marks = ", ".join("?" * len(table.columns))
        try:
            self._db.executemany(f"insert into {quoted(table.name)} ({names(table.columns)}) values ({marks})", rows)
        except apsw.Error as error:
            raise sqlite.translate(error, self._path) from error

    def go_on_numbering(self) -> None:
        """SQLite looks at the highest row by itself."""

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        try:
            yield from self._db.execute(sql, tuple(values))
        except apsw.Error as error:
            raise sqlite.translate(error, self._path) from error

    @contextmanager
    def _within(self, begin: str, end: str) -> Iterator[None]:
        list(self._rows(begin))
        try:
            yield
            list(self._rows(end))
        finally:
            if self._db.in_transaction:
                self._db.execute("rollback")
