"""Where the schema of a database stands, and bringing it up to date, for whoever asks before opening it.

A database is named by its place: the path of a SQLite file, or the address of a PostgreSQL database.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import apsw
from msgspec.structs import replace

from . import migrate, sqlite

Place: TypeAlias = Path | str
COPYING = "select 1 from config where name = 'copying'"
"""The marker of a copy that is not complete: see `farthing.copying`."""


def is_postgres(place: Place) -> bool:
    """Whether a place is the address of a PostgreSQL database."""
    return isinstance(place, str) and place.startswith(("postgresql://", "postgres://"))


def schema_of(place: Place) -> migrate.Status:
    """Which migrations were run on a database, and which are to be; it is only read."""
    if is_postgres(place):
        return postgres_schema(str(place))
    path = Path(place)
    with translated(path):
        db = sqlite.connect(path, read_only=True)
        try:
            status = migrate.check(db, migrate.discover("sqlite"))
            return replace(status, copying=bool(status.applied) and db.execute(COPYING).get is not None)
        finally:
            db.close()


def postgres_schema(url: str) -> migrate.Status:
    """The same for the address of a PostgreSQL database."""
    from .postgres_sync import SyncConnection

    with SyncConnection(url) as server:
        status = migrate.check(server, migrate.discover("postgres"))
        return replace(status, copying=bool(status.applied) and server.rows(COPYING) != [])


def bring_up_to_date(
    place: Place,
    on_step: Callable[[migrate.Migration], None] = lambda _: None,
    phases: tuple[migrate.Phase, ...] = migrate.PHASES,
) -> list[migrate.Migration]:
    """Run the migrations that a database lacks; a file must be there. Returns those that were run."""
    now_us = time.time_ns() // 1000
    if is_postgres(place):
        from .postgres_sync import SyncConnection

        # Making an index of a large table takes what it takes.
        with SyncConnection(str(place), answer_seconds=None) as server:
            return migrate.migrate(server, migrate.discover("postgres"), now_us, phases=phases, on_step=on_step)
    schema_of(place)  # raises for what is not ours before it is opened for writing
    db = sqlite.connect(Path(place))
    try:
        return migrate.migrate(db, migrate.discover("sqlite"), now_us, phases=phases, on_step=on_step)
    finally:
        db.close()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Tell what SQLite complains of in words of the house."""
    try:
        yield
    except apsw.Error as error:
        raise sqlite.translate(error, path) from error
