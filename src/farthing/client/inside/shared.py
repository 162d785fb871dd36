"""What threads share of a SQLite ledger: connections for reading that take turns, and prices under a lock. Nothing here
suspends: all of it runs in the caller's own thread.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from farthing.backends import Backend
from farthing.core.records import Workspace
from farthing.prices.book import Books, Catalogue, NeedsPast, PriceBook
from farthing.stores.contract import Unavailable
from farthing.stores.reports import Database, Row, Work

T = TypeVar("T")
CONNECTIONS: Final = 4
"""As many threads read at a time. They hold the interpreter's lock most of that time, so more would not be faster."""


class SharedDatabase:
    """Connections of a file, each used by one thread at a time; opened when they are first needed."""

    dialect = "sqlite"

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._free: SimpleQueue[Database | None] = SimpleQueue()
        self._closed = False
        for _ in range(CONNECTIONS):
            self._free.put(None)

    def _taken(self) -> Database:
        """One that nobody else uses until it is given back."""
        database = self._free.get()
        try:
            if self._closed:
                raise Unavailable("this ledger was closed")
            return database or self._backend.database()
        except BaseException:
            self._free.put(database)
            raise

    @contextmanager
    def _one(self) -> Iterator[Database]:
        database = self._taken()
        try:
            yield database
        finally:
            self._free.put(database)

    async def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of one statement."""
        # Spelled out: a context manager costs as much as all else here, on every question.
        database = self._taken()
        try:
            return await database.rows(sql, values)
        finally:
            self._free.put(database)

    async def read(self, work: Work[T]) -> T:
        """Run `work(execute)` on what stood at one moment."""
        with self._one() as database:
            return await database.read(work)

    async def write(self, work: Work[T]) -> T:
        """Run `work(execute)` in one transaction."""
        with self._one() as database:
            return await database.write(work)

    async def close(self) -> None:
        """Close all connections, each once nobody uses it any more."""
        self._closed = True
        opened = [self._free.get() for _ in range(CONNECTIONS)]
        for database in opened:
            if database is not None:
                await database.close()
            self._free.put(None)


class SharedBooks(Books):
    """Price books that several threads use."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._turn = threading.RLock()

    async def book(self, workspace: Workspace) -> PriceBook:
        """The workspace's price book."""
        with self._turn:
            return await super().book(workspace)

    async def reach(self, book: PriceBook, need: NeedsPast) -> PriceBook:
        """The book with what it lacked."""
        with self._turn:
            return await super().reach(book, need)

    async def catalogue(self) -> Catalogue:
        """The catalogue as it is now."""
        with self._turn:
            return await super().catalogue()
