"""The backend for PostgreSQL: a database of a server, as `backends` describes it.

A process has a connection for each lane of its engine, two for reading and one that watches what all processes share;
`farthing serve` has as many for each of its workers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit

from farthing.backends import CONFIG, READERS, ConfigReader, DatabaseUrlError, OnStep
from farthing.clock import Clock, DatabaseClock
from farthing.stores.contract import Store, StoreError
from farthing.stores.migrate import PHASES, Migration, Phase, Status
from farthing.stores.postgres import CLOCK, PostgresStore
from farthing.stores.postgres_database import PostgresDatabase
from farthing.stores.postgres_errors import shown
from farthing.stores.postgres_sync import SyncConnection
from farthing.stores.reports import Database
from farthing.stores.schema import bring_up_to_date, schema_of

WATCH_SECONDS = 5.0
"""How long the watch waits for an answer before it tries another connection."""
_NO_DATABASE = "3D000"
_NO_RIGHT = "42501"


class DatabaseMissing(StoreError):
    """The server has no database of that name."""

    code = "database_missing"


class NotAllowed(StoreError):
    """The user lacks a right on the database."""

    code = "not_allowed"


class PostgresServer:
    """A database of a server: postgresql://user:password@host:port/name."""

    dialect = "postgres"

    def __init__(self, url: str) -> None:
        _check(url)
        self.url = self.place = url
        self.address = self.shown = shown(url)

    def exists(self) -> bool:
        """Opening tells."""
        return True

    def schema(self) -> Status:
        """Where it stands."""
        with self._helped():
            return schema_of(self.url)

    def migrate(self, on_step: OnStep = lambda _: None, phases: tuple[Phase, ...] = PHASES) -> list[Migration]:
        """Bring its schema up to date; the database itself is made by who owns the server."""
        with self._helped():
            return bring_up_to_date(self.url, on_step, phases)

    def clock(self) -> Clock:
        """The server's, followed."""
        clock = DatabaseClock()
        reader = self.config(clock)
        try:
            reader.read()
        finally:
            reader.close()
        return clock

    def store(self, clock: Clock) -> Store:
        """One connection."""
        return PostgresStore(self.url, clock if isinstance(clock, DatabaseClock) else None)

    def database(self) -> Database:
        """A few connections."""
        return PostgresDatabase(self.url, READERS)

    def reader(self) -> Database:
        """The same: they wait without blocking."""
        return self.database()

    def config(self, clock: Clock) -> ConfigReader:
        """A connection of its own, by which the clock is set as well."""
        with self._helped():
            return _PostgresConfig(self.url, clock)

    @contextmanager
    def _helped(self) -> Iterator[None]:
        """Say what helps, where the server only says what is missing."""
        try:
            yield
        except StoreError as error:
            state = getattr(error.__cause__, "sqlstate", None)
            if state == _NO_DATABASE:
                raise DatabaseMissing(self._how_to_make()) from error
            if state == _NO_RIGHT:
                raise NotAllowed(f"{error}. {self._how_to_allow()}") from error
            raise

    def _how_to_make(self) -> str:
        name = _database_of(self.url)
        return (
            f"the server has no database {name!r} ({self.shown}): have it made by who may, with `createdb {name}` or "
            f"in SQL `create database \"{name}\" encoding 'UTF8'`; then run `farthing init`"
        )

    def _how_to_allow(self) -> str:
        user = unquote(urlsplit(self.url).username or "") or "the_user"
        return (
            f'Have it given by the database\'s owner: `grant usage, create on schema public to "{user}"`, or make the '
            f'user its owner: `alter database "{_database_of(self.url)}" owner to "{user}"`'
        )


def _check(url: str) -> None:
    """Refuse what can't be meant before anybody connects."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        # What the library says may quote a part of a password.
        raise DatabaseUrlError(
            "the PostgreSQL URL can't be read: it is postgresql://user:password@host:port/name, where characters such "
            "as @ / : ? # of a password are written as %40 %2F %3A %3F %23"
        ) from None
    if not _database_of(url):
        raise DatabaseUrlError("the PostgreSQL URL names no database: postgresql://user@host/name")


def _database_of(url: str) -> str:
    """The name of the database."""
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    return unquote(parts.path.strip("/")) or (options.get("dbname") or options.get("database") or [""])[-1]


class _PostgresConfig:
    def __init__(self, url: str, clock: Clock) -> None:
        self._clock = clock
        self._db = SyncConnection(url, answer_seconds=WATCH_SECONDS)

    def read(self) -> dict[str, str]:
        if isinstance(self._clock, DatabaseClock):
            asked = self._clock.monotonic()
            ((now_us,),) = self._db.rows(CLOCK)
            self._clock.observe(now_us, asked, self._clock.monotonic())
        return {str(name): str(value) for name, value in self._db.rows(CONFIG)}

    def close(self) -> None:
        self._db.close()
