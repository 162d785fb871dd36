"""The composition root: settings -> store -> engine -> faces -> jobs. The only file that knows all."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw

from farthing.clock import Clock, ClockGuard, SystemClock
from farthing.core.commands import Command
from farthing.core.outcomes import Outcome
from farthing.engine import MAX_BATCH, MAX_QUEUE, Engine, Observer, drive
from farthing.stores import migrate, sqlite
from farthing.stores.access import Access
from farthing.stores.contract import StoreError
from farthing.stores.reports import Database, Execute, Reports
from farthing.stores.schema import schema_of
from farthing.timezones import calendar

T = TypeVar("T")


class DatabaseUrlError(ValueError):
    """A database URL that can't be used."""


def database_path(url: str) -> Path:
    """The file that a database URL names: sqlite:///relative.db or sqlite:////absolute/path.db."""
    prefix = "sqlite:///"
    if url.startswith(("postgres:", "postgresql:")):
        raise DatabaseUrlError("PostgreSQL is not supported yet; use sqlite:///farthing.db")
    if not url.startswith(prefix) or len(url) == len(prefix):
        raise DatabaseUrlError(f"the database must be given as sqlite:///path/to/file.db, not {url!r}")
    return Path(url[len(prefix) :])


class Ledger:
    """An open ledger in this process: ask `engine`, read with `reports`, administer with `access`."""

    def __init__(
        self, url: str, engine: Engine, database: Database, clock: ClockGuard, path: Path
    ) -> None:  # fmt: skip
        self.url = url
        self.path = path
        self.engine = engine
        self.database = database
        self.clock = clock
        self.reports = Reports(database, calendar)
        self.access = Access(database)

    def do(self, command: Command, timeout: float | None = 30.0) -> Outcome:
        """Carry out one command and wait for it to be on the disk."""
        return self.engine.do(command, timeout)

    def close(self) -> None:
        """Finish what was accepted and let go of the file."""
        self.engine.close()
        drive(self.database.close())

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_ledger(
    url: str,
    *,
    create: bool = False,
    clock: Clock | None = None,
    inline_on: asyncio.AbstractEventLoop | None = None,
    observer: Observer | None = None,
    max_batch: int = MAX_BATCH,
    max_queue: int = MAX_QUEUE,
    reader: Database | None = None,
) -> Ledger:
    """Open a ledger; `create` makes the file and brings its schema up to date."""
    path = database_path(url)
    if create:
        make_database(path)
    elif not path.exists():
        raise StoreError(f"there is no database at {path}; make one with `farthing init`")
    # Looked at before it is opened for writing, which would change a file that is not ours.
    migrate.require_current(schema_of(path))
    db = sqlite.connect(path)
    try:
        guard = ClockGuard(clock or SystemClock())
        engine = Engine(
            sqlite.SqliteStore(db), guard, calendar, observer=observer, max_batch=max_batch, max_queue=max_queue
        )
        database = reader or sqlite.SqliteDatabase(sqlite.connect(path))
    except BaseException:
        db.close()
        raise
    engine.start(inline_on)
    return Ledger(url, engine, database, guard, path)


def make_database(path: Path, on_step: Callable[[migrate.Migration], None] = lambda _: None) -> list[migrate.Migration]:
    """Make the file where it is missing and run the migrations it lacks; returns those."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # Only its owner may read a ledger: made with these rights before anything is in it.
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    schema_of(path)
    db = sqlite.connect(path)
    try:
        return migrate.migrate(db, migrate.discover("sqlite"), time.time_ns() // 1000, on_step=on_step)
    finally:
        db.close()


class ThreadedDatabase:
    """A database read from threads, so that an event loop never waits for the disk; a connection for each thread."""

    dialect = "sqlite"

    def __init__(self, path: Path, threads: int = 2) -> None:
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

    async def write(self, work: Callable[[Execute], T]) -> T:
        """Run `work(execute)` in one transaction."""
        return await self._run(lambda: result_of(self._mine().write(work)))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def close(self) -> None:
        """Close all connections."""
        self._pool.shutdown(wait=True)
        for database in self._opened:
            drive(database.close())


def result_of(work: Any) -> Any:
    """The result of a coroutine that never suspends."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    work.close()
    raise RuntimeError("this database suspends; await it instead")


class ConfigWatch:
    """Reads `config_version` every 250 ms on a connection of its own; `generation` is None while it can't for 1 s.
    When an operator accepts the clock (`farthing clock accept`), `on_clock_accepted` is called."""

    EVERY_SECONDS = 0.25
    STALE_SECONDS = 1.0

    def __init__(self, path: Path, on_clock_accepted: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._on_clock_accepted = on_clock_accepted
        self._clock_accepted: str | None = None
        self._version = 0
        self._read_at = float("-inf")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="farthing-config", daemon=True)

    @property
    def generation(self) -> int | None:
        """The version that caches hang on; None when it is not known, and caches count as empty."""
        return self._version if time.monotonic() - self._read_at < self.STALE_SECONDS else None

    def start(self) -> None:
        """Begin to watch; the first version is read before this returns."""
        db = sqlite.connect(self._path)
        self._clock_accepted = self._read(db).get("clock_accepted")
        db.close()
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._stop.set()
        self._thread.join(5)

    def _watch(self) -> None:
        db = None
        while not self._stop.wait(self.EVERY_SECONDS):
            try:
                db = db or sqlite.connect(self._path)
                accepted = self._read(db).get("clock_accepted")
                if accepted != self._clock_accepted:
                    self._clock_accepted = accepted
                    self._on_clock_accepted()
            except (apsw.Error, StoreError):
                # Not known: `generation` turns None by itself until a reading succeeds.
                db = None
        if db is not None:
            db.close()

    def _read(self, db: apsw.Connection) -> dict[str, str]:
        at = time.monotonic()
        config = {str(name): str(value) for name, value in db.execute("select name, value from config")}
        self._version, self._read_at = int(config["version"]), at
        return config
