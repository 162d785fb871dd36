"""The composition root: settings -> store -> engine -> faces -> jobs. With `serving` the only file that knows all."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from farthing.backends import Backend, ConfigReader, backend_of
from farthing.clock import Clock, ClockGuard
from farthing.core.commands import Command
from farthing.core.outcomes import Outcome
from farthing.engine import MAX_BATCH, MAX_QUEUE, Engine, Observer
from farthing.lanes import Lanes
from farthing.stores import migrate
from farthing.stores.access import Access
from farthing.stores.contract import Store, StoreError, result_of
from farthing.stores.reports import Database, Reports
from farthing.timezones import calendar, months_after

T = TypeVar("T")


class Ledger:
    """An open ledger in this process: ask `engine`, read with `reports`, administer with `access`.

    Where the database is waited for (PostgreSQL) all of it belongs to one event loop: the caller's, or one in a thread
    of the ledger's own. `do` and `wait` work from any other thread; on the loop itself everything is awaited.
    """

    def __init__(
        self, backend: Backend, engine: Engine, database: Database, clock: ClockGuard, own_loop: "LoopThread | None"
    ) -> None:  # fmt: skip
        self.backend = backend
        self.engine = engine
        self.database = database
        self.clock = clock
        self.reports = Reports(database, calendar)
        self.access = Access(database)
        self._own_loop = own_loop
        self._migrations = migrate.discover(backend.dialect)

    @property
    def url(self) -> str:
        """The database, as it was named; it may hold a password."""
        return self.backend.url

    @property
    def own_loop(self) -> "LoopThread | None":
        """The loop that it runs on, where that is one of its own."""
        return self._own_loop

    async def schema(self) -> migrate.Status:
        """Where the database's schema stands now, by the migrations that this process was started with."""
        rows = await self.database.rows(migrate.APPLIED)
        return migrate.compare(tuple(migrate.Applied(*row) for row in rows), self._migrations)

    def do(self, command: Command, timeout: float | None = 30.0) -> Outcome:
        """Carry out one command and wait for it to be on the disk."""
        return self.engine.do(command, timeout)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a reading or of an administrative write, waited for."""
        return result_of(work) if self._own_loop is None else self._own_loop.run(work)

    def close(self) -> None:
        """Finish what was accepted and let go of the database."""
        if self._own_loop is None:
            self.engine.close()
            result_of(self.database.close())
        else:
            self._own_loop.run(self.aclose())
            self._own_loop.stop()

    async def aclose(self) -> None:
        """The same, on the loop that the ledger runs on."""
        await self.engine.aclose()
        await self.database.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="farthing-loop", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it there, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    @property
    def runs(self) -> bool:
        """Whether something can still be run there."""
        return self.loop.is_running()

    def stop(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


def open_ledger(
    url: str,
    *,
    create: bool = False,
    clock: Clock | None = None,
    inline_on: asyncio.AbstractEventLoop | None = None,
    observer: Observer | None = None,
    max_batch: int = MAX_BATCH,
    max_queue: int = MAX_QUEUE,
    lanes: int = 1,
    reader: bool = False,
) -> Ledger:
    """Open a ledger; `create` makes the database and brings its schema up to date. `inline_on` is the running loop,
    where that is to do the work; `reader` asks for reading that never blocks it; `lanes` is how many batches may be on
    their way at a time, on a database that several can write to."""
    backend = backend_of(url)
    if create:
        backend.migrate()
    look_at(backend)
    return open_seen(
        backend, clock or backend.clock(), inline_on=inline_on, observer=observer, max_batch=max_batch,
        max_queue=max_queue, lanes=lanes, reader=reader,
    )  # fmt: skip


def look_at(backend: Backend) -> None:
    """Refuse a database that is not there, is not ours, or is not of this version: before it is opened for writing,
    which would change a file that is not ours."""
    if not backend.exists():
        raise StoreError(f"there is no database at {backend.shown}; make one with `farthing init`")
    migrate.require_current(backend.schema())


def open_seen(
    backend: Backend, wall: Clock, *, inline_on: asyncio.AbstractEventLoop | None = None,
    observer: Observer | None = None, max_batch: int = MAX_BATCH, max_queue: int = MAX_QUEUE, lanes: int = 1,
    reader: bool = False,
) -> Ledger:  # fmt: skip
    """Open a ledger that was looked at. On PostgreSQL nothing is waited for: who is on the loop that is to do the work
    looks in a thread, and opens it here."""
    if lanes > 1 and backend.dialect == "sqlite":
        raise ValueError("a SQLite file has one writer at a time: several lanes are for PostgreSQL")
    stores = [backend.store(wall) for _ in range(lanes)]
    try:
        guard = ClockGuard(wall)
        options: dict[str, Any] = {"observer": observer, "max_batch": max_batch, "max_queue": -(-max_queue // lanes)}
        options["months_after"] = months_after
        engines = [Engine(store, guard, calendar, **options) for store in stores]
        engine = engines[0] if lanes == 1 else Lanes(engines)
        database = backend.reader() if reader else backend.database()
    except BaseException:
        for store in stores:
            _let_go(store)
        raise
    if stores[0].suspends and inline_on is None:
        own_loop = LoopThread()
        own_loop.run(_start_here(engine))
        return Ledger(backend, engine, database, guard, own_loop)
    engine.start(inline_on)
    return Ledger(backend, engine, database, guard, None)


def _let_go(store: Store) -> None:
    if not store.suspends:  # the others are not connected yet
        result_of(store.close())


async def _start_here(engine: Engine) -> None:
    engine.start(asyncio.get_running_loop())


class ConfigWatch:
    """Reads `config_version` every 250 ms on a connection of its own; `generation` is None while it can't for 1 s.
    When an operator accepts the clock (`farthing clock accept`), `on_clock_accepted` is called."""

    EVERY_SECONDS = 0.25
    STALE_SECONDS = 1.0

    def __init__(
        self, connect: Callable[[], ConfigReader], on_clock_accepted: Callable[[], None] = lambda: None
    ) -> None:
        self._connect = connect
        self._on_clock_accepted = on_clock_accepted
        self._clock_accepted: str | None = None
        self._version = 0
        self._people = 0
        self._read_at = float("-inf")
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="farthing-config", daemon=True)

    @property
    def generation(self) -> int | None:
        """The version that caches hang on; None when it is not known, and caches count as empty."""
        return self._version if time.monotonic() - self._read_at < self.STALE_SECONDS else None

    def saw(self, version: int, at: float) -> None:
        """A version that somebody has read, and the monotonic time at which he began to: what this process changes by
        itself it knows at once. What was read from earlier on than the last is no news."""
        with self._turn:
            if at >= self._read_at:
                self._version, self._read_at = version, at

    @property
    def people(self) -> tuple[int, int] | None:
        """What tokens are cached by: users and sessions change more often than what else caches hang on."""
        generation = self.generation
        return None if generation is None else (generation, self._people)

    def start(self) -> None:
        """Begin to watch; the first version is read before this returns."""
        config = self._connect()
        self._clock_accepted = self._read(config).get("clock_accepted")
        config.close()
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._stop.set()
        self._thread.join(5)

    def _watch(self) -> None:
        config = None
        while not self._stop.wait(self.EVERY_SECONDS):
            try:
                config = config or self._connect()
                accepted = self._read(config).get("clock_accepted")
                if accepted != self._clock_accepted:
                    self._clock_accepted = accepted
                    self._on_clock_accepted()
            except StoreError:
                # Not known: `generation` turns None by itself until a reading succeeds.
                if config is not None:
                    config.close()
                config = None
        if config is not None:
            config.close()

    def _read(self, config: ConfigReader) -> dict[str, str]:
        at = time.monotonic()
        values = config.read()
        self._people = int(values["people"])
        self.saw(int(values["version"]), at)
        return values
