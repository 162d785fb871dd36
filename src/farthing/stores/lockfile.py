"""The lock file of a `serve`: one at a time on a SQLite file, unless they agree to share it."""

import fcntl
import os
from pathlib import Path

from .contract import StoreError


class Locked(StoreError):
    """Another `farthing serve` has this database; stop it, or use --share to run several on one file."""

    code = "locked"


class LockFile:
    """`<database>.lock`: held for as long as a `serve` runs, by the operating system, so that a kill frees it."""

    def __init__(self, database: Path, *, share: bool = False) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if share else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise Locked(Locked.__doc__) from None

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._file)
