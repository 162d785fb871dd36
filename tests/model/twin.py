"""Books on PostgreSQL: one alone, and one that is the twin of a book on SQLite.

A twin plays everything on both databases, at the same instants and with the same ids, and holds each answer against the
other's; in the end every row of every table must be the same, hashes included.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import apsw
import asyncpg
import msgspec

from farthing.clock import ClockGuard, FakeClock
from farthing.core.commands import Command
from farthing.core.records import Workspace
from farthing.engine import MAX_BATCH, Engine, Result
from farthing.stores.contract import Store
from farthing.stores.postgres import PostgresStore
from farthing.stores.statements import in_words_of
from farthing.timezones import calendar, months_after
from tests.support import START_US, Book, SteadyIds

T = TypeVar("T")
TABLES = (
    "account",
    "audit",
    "charge",
    "entry",
    "grants",
    "hold",
    "job",
    "key",
    "payment",
    "plan",
    "subscription",
    "workspace",
)

INSERT_WORKSPACE = (
    "insert into workspace (id, name, mode, unit, scale, created_at, settings) values (?, ?, ?, ?, ?, ?, ?)"
)
POSITION = "position"
ORDER = {POSITION, "lane", "batch"}
"""In which order rows were committed, which each database says in its own way."""
COLUMNS = "select column_name from information_schema.columns where table_name = ?"


class MakeBook(Protocol):
    """How a walk gets its book."""

    def __call__(self, workspaces: Iterable[Workspace], wrap: Callable[[Store], Store]) -> Book:
        """A fresh one."""


class Rows(list[tuple[Any, ...]]):
    """What a statement found, in the manner of a cursor."""

    def fetchone(self) -> tuple[Any, ...] | None:
        return self[0] if self else None


class Reading:
    """Statements with `?` on PostgreSQL, in the manner of a connection to SQLite."""

    def __init__(self, url: str, run: Callable[[Any], Any]) -> None:
        self._run = run
        self._db = run(asyncpg.connect(url))

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        return Rows(tuple(row) for row in self._run(self._db.fetch(in_words_of("postgres", sql), *values)))

    def close(self) -> None:
        self._run(self._db.close())


class PostgresBook(Book):
    """A ledger on PostgreSQL that is driven by hand; nothing runs between the calls here either."""

    def __init__(
        self,
        url: str,
        workspaces: Iterable[Workspace],
        *,
        clock: FakeClock | None = None,
        wrap: Callable[[Store], Store] = lambda store: store,
        max_batch: int = MAX_BATCH,
    ) -> None:
        self.path = url
        self.clock = clock or FakeClock(START_US)
        self._ids = SteadyIds()
        self._wrap = wrap
        self._options: dict[str, Any] = {"max_batch": max_batch, "months_after": months_after}
        self._runner = asyncio.Runner()
        self._reading = Reading(url, self._runner.run)
        for w in workspaces:
            settings = msgspec.json.encode(w.settings).decode()
            self._reading.execute(INSERT_WORKSPACE, (w.id, w.name, w.mode, w.unit, w.scale, w.created_at, settings))
        self._begin(cast(apsw.Connection, self._reading))

    def _begin(self, db: apsw.Connection) -> None:
        self.db = db
        self.guard = ClockGuard(self.clock)
        store = self._wrap(PostgresStore(str(self.path)))
        self.engine = Engine(store, self.guard, calendar, **self._options)
        self.engine._ids = self._ids  # type: ignore[assignment]
        self.engine.start(self._runner.get_loop())

    def batch(self, *commands: Command) -> list[Result]:
        return self._runner.run(self._batch(commands))

    async def _batch(self, commands: Sequence[Command]) -> list[Result]:
        loop = asyncio.get_running_loop()
        told: list[asyncio.Future[Result]] = [loop.create_future() for _ in commands]
        # The engine's task can't run before all are submitted; a future that is told twice raises.
        for command, future in zip(commands, told, strict=True):
            self.engine.submit(command, future.set_result)
        return await asyncio.gather(*told)

    def restart(self) -> None:
        self._runner.run(self.engine.aclose())
        self._begin(self.db)

    def close(self) -> None:
        self._runner.run(self.engine.aclose())
        self._reading.close()
        self._runner.close()


class TwinBook(Book):
    """A ledger on a SQLite file, with one on PostgreSQL that must always say the same."""

    def __init__(
        self, path: Path, url: str, workspaces: Iterable[Workspace], wrap: Callable[[Store], Store] = lambda s: s
    ) -> None:  # fmt: skip
        workspaces = list(workspaces)
        super().__init__(path, workspaces, durable=False, wrap=wrap)
        self.twin = PostgresBook(url, workspaces, clock=self.clock, wrap=wrap)

    def batch(self, *commands: Command) -> list[Result]:
        # Before they are stamped: the twin has to come to the same ids and times by itself.
        copies = [msgspec.structs.replace(command) for command in commands]
        here, there = super().batch(*commands), self.twin.batch(*copies)
        for command, copy, mine, other in zip(commands, copies, here, there, strict=True):
            assert command == copy, f"on SQLite     {command}\non PostgreSQL {copy}"
            assert mine == other, f"{command}\non SQLite     {mine!r}\non PostgreSQL {other!r}"
        return here

    def restart(self) -> None:
        super().restart()
        self.twin.restart()

    def close(self) -> None:
        super().close()
        self.twin.close()

    def compare_tables(self) -> int:
        """Every row of both; how many there are."""
        total = 0
        for table in TABLES:
            names = {str(row[1]) for row in self.db.execute(f"pragma table_info({table})")}
            there = {str(row[0]) for row in self.twin.db.execute(COLUMNS, (table,))}
            # A number of the row itself is no part of what it says: it may be missing, and have gaps.
            assert names - ORDER == there - ORDER, f"the columns of {table}"
            mine, other = (sorted_rows(book, table, names & there) for book in (self, self.twin))
            for on_sqlite, on_postgres in zip(mine, other, strict=False):
                assert on_sqlite == on_postgres, f"{table}\non SQLite     {on_sqlite}\non PostgreSQL {on_postgres}"
            assert len(mine) == len(other), f"{table}: {len(mine)} rows on SQLite, {len(other)} on PostgreSQL"
            total += len(mine)
        return total


def sorted_rows(book: Book, table: str, columns: set[str]) -> list[tuple[Any, ...]]:
    """All rows of a table: by their position where they have one, else in an order that no database has a say in."""
    wanted = ", ".join(f'"{name}"' for name in sorted(columns - {POSITION}))
    ordered = POSITION in columns
    rows = [tuple(row) for row in book.db.execute(f'select {wanted} from "{table}"{" order by position" * ordered}')]
    return rows if ordered else sorted(rows, key=repr)
