"""Backends: the database that a URL names, before it is opened and what is opened on it. One for each dialect.

Nothing but this file, `backend_postgres` and `stores` knows which database there is; nothing here decides anything
about credits. PostgreSQL has a file of its own, so that a command on a SQLite file need not load its driver.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import apsw

from farthing.clock import Clock, SystemClock
from farthing.stores import sqlite
from farthing.stores.contract import Store, result_of
from farthing.stores.migrate import PHASES, Migration, Phase, Status
from farthing.stores.reports import Database, Work
from farthing.stores.schema import Place, bring_up_to_date, schema_of, translated

T = TypeVar("T")
OnStep = Callable[[Migration], None]
READERS = 2
"""How many connections of a process read for people."""
CONFIG = "select name, value from config"


class DatabaseUrlError(ValueError):
    """A database URL that can't be used."""


class ConfigReader(Protocol):
    """Reads what processes watch, on a connection of its own; it blocks, for a thread of its own."""

    def read(self) -> dict[str, str]:
        """Name and value of all of the table `config`."""

    def close(self) -> None:
        """Let go of the connection."""


class Backend(Protocol):
    """What is opened on a database, and what can be asked of it before."""

    @property
    def dialect(self) -> str:
        """What its SQL is called."""

    @property
    def url(self) -> str:
        """As it was given."""

    @property
    def address(self) -> str:
        """The URL as it may be shown: without a password."""

    @property
    def shown(self) -> str:
        """Where it is, in a sentence for people."""

    @property
    def place(self) -> Place:
        """What doctor and rebuild open."""

    def exists(self) -> bool:
        """Whether there is something to open. On a server only opening tells."""

    def schema(self) -> Status:
        """Which migrations were run on it, and which are to be; it is only read."""

    def migrate(self, on_step: OnStep = lambda _: None, phases: tuple[Phase, ...] = PHASES) -> list[Migration]:
        """Make it where it is missing, and run the migrations it lacks; returns those."""

    def clock(self) -> Clock:
        """The clock that all its processes agree on."""

    def store(self, clock: Clock) -> Store:
        """The engine's store."""

    def database(self) -> Database:
        """Reading and small writes, for the thread or loop that uses it first."""

    def reader(self) -> Database:
        """The same for an event loop, which it never blocks."""

    def config(self, clock: Clock) -> ConfigReader:
        """What processes watch, opened."""


def backend_of(url: str) -> Backend:
    """The backend that a URL names."""
    if url.startswith(("postgres:", "postgresql:")):
        from farthing.backend_postgres import PostgresServer

        return PostgresServer(url)
    return SqliteFile(url)


# SQLite


class SqliteFile:
    """A file: sqlite:///relative.db or sqlite:////absolute/path.db."""

    dialect = "sqlite"

    def __init__(self, url: str) -> None:
        self.url = self.address = url
        self.path = self.place = sqlite_path(url)
        self.shown = str(self.path)

    def exists(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

    def schema(self) -> Status:
        """Where it stands."""
        return schema_of(self.path)

    def migrate(self, on_step: OnStep = lambda _: None, phases: tuple[Phase, ...] = PHASES) -> list[Migration]:
        """Make the file and bring its schema up to date."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            # Only its owner may read a ledger: made with these rights before anything is in it.
            os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
        with translated(self.path):
            return bring_up_to_date(self.path, on_step, phases)

    def clock(self) -> Clock:
        """The machine's."""
        return SystemClock()

    def store(self, clock: Clock) -> Store:
        """The one writer of this process."""
        return sqlite.SqliteStore(sqlite.connect(self.path))

    def database(self) -> Database:
        """A connection of its own."""
        return sqlite.SqliteDatabase(sqlite.connect(self.path))

    def reader(self) -> Database:
        """Connections in threads of their own."""
        return ThreadedDatabase(self.path)

    def config(self, clock: Clock) -> ConfigReader:
        """A connection of its own."""
        with translated(self.path):
            return _SqliteConfig(self.path)


def sqlite_path(url: str) -> Path:
    """The file that a URL names."""
    prefix = "sqlite:///"
    if not url.startswith(prefix) or len(url) == len(prefix):
        scheme = url.partition(":")[0]
        given = repr(url) if scheme == "sqlite" or ":" not in url else f"{scheme}:..."
        raise DatabaseUrlError(
            f"the database must be given as sqlite:///path/to/file.db or postgresql://user@host/name, not {given}"
        )
    return Path(url[len(prefix) :])


class _SqliteConfig:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = sqlite.connect(path)

    def read(self) -> dict[str, str]:
        try:
            return {str(name): str(value) for name, value in self._db.execute(CONFIG)}
        except apsw.Error as error:
            raise sqlite.translate(error, self._path) from error

    def close(self) -> None:
        self._db.close()


class ThreadedDatabase:
    """A database read from threads, so that an event loop never waits for the disk; a connection for each thread."""

    dialect = "sqlite"

    def __init__(self, path: Path, threads: int = READERS) -> None:
        self._path = path
        self._local = threading.local()
        self._opened: list[sqlite.SqliteDatabase] = []
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="farthing-reader")

    def _mine(self) -> sqlite.SqliteDatabase:
        if not hasattr(self._local, "database"):
            self._local.database = sqlite.SqliteDatabase(sqlite.connect(self._path))
            self._opened.append(self._local.database)
        database: sqlite.SqliteDatabase = self._local.database
        return database

    async def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        return await self._run(lambda: result_of(self._mine().rows(sql, values)))

    async def read(self, work: Work[T]) -> T:
        """Run `work(execute)` on what stood at one moment."""
        return await self._run(lambda: result_of(self._mine().read(work)))

    async def write(self, work: Work[T]) -> T:
        """Run `work(execute)` in one transaction."""
        return await self._run(lambda: result_of(self._mine().write(work)))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def close(self) -> None:
        """Close all connections."""
        self._pool.shutdown(wait=True)
        for database in self._opened:
            await database.close()
