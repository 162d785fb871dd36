"""Where the schema of a database file stands, for whoever asks before opening or changing it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from . import migrate, sqlite


def schema_of(path: Path) -> migrate.Status:
    """Which migrations were run on a file, and which are to be; the file is only read."""
    with translated(path):
        db = sqlite.connect(path, read_only=True)
        try:
            return migrate.check(db, migrate.discover("sqlite"))
        finally:
            db.close()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Tell what SQLite complains of in words of the house."""
    try:
        yield
    except apsw.Error as error:
        raise sqlite.translate(error, path) from error
