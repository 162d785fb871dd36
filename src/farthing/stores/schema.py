"""Where the schema of a database file stands, for whoever asks before opening or changing it."""

from pathlib import Path

import apsw

from . import migrate, sqlite


def schema_of(path: Path) -> migrate.Status:
    """Which migrations were run on a file, and which are to be; the file is only read."""
    db = sqlite.connect(path, read_only=True)
    try:
        return migrate.check(db, migrate.discover("sqlite"))
    except apsw.Error as error:
        raise sqlite.translate(error, path) from error
    finally:
        db.close()
