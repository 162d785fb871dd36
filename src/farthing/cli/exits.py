"""Exit codes, and what each failure of the house means for the caller: a code, a sentence, an exit code."""

import os
from enum import IntEnum
from typing import Any

from farthing.extras import missing


class Exit(IntEnum):
    """What the exit code says; `MEANING` has the words."""

    OK = 0
    NO = 1
    USAGE = 2
    DATABASE = 3
    UNAVAILABLE = 4
    UNKNOWN = 5
    BUG = 70
    INTERRUPTED = 130


MEANING = {
    Exit.OK: "done; the answer is yes",
    Exit.NO: "the answer is no: refused, not found, found wrong, not confirmed",
    Exit.USAGE: "the command line can't be understood: an option, an amount, a date",
    Exit.DATABASE: "the database can't be used: missing, damaged, of another version",
    Exit.UNAVAILABLE: "busy or unavailable, nothing was done: locked, disk full, port in use",
    Exit.UNKNOWN: "the outcome is not known: the same --key finds out",
    Exit.BUG: "a bug in Farthing",
    Exit.INTERRUPTED: "interrupted",
}


class Trouble(Exception):
    """What ends a command: a stable code, a sentence, the exit code, and facts for programs."""

    def __init__(self, code: str, message: str, exit: Exit, **facts: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.exit = exit
        self.facts = facts

    def as_json(self) -> dict[str, Any]:
        """The object that programs read."""
        return {"error": {"code": self.code, "message": self.message, **self.facts}}


def usage(message: str, **facts: Any) -> Trouble:
    """A value on the command line that can't be read."""
    return Trouble("usage", message, Exit.USAGE, **facts)


def invalid(field: str, message: str) -> Trouble:
    """A field that can't be right, in the words of the core: the field, then why."""
    return Trouble("invalid", f"{field} {message}", Exit.USAGE, field=field)


def not_installed(sentence: str) -> Trouble:
    """A package of an extra that is not there."""
    return Trouble("not_installed", sentence, Exit.UNAVAILABLE)


# Of a StoreError, by its code; all others are UNAVAILABLE: nothing was done, and later it may go.
_STORE = {
    "store_error": Exit.DATABASE,
    "not_a_database": Exit.DATABASE,
    "read_only": Exit.DATABASE,
    "not_restorable": Exit.DATABASE,
    "database_missing": Exit.DATABASE,
    "not_allowed": Exit.DATABASE,
    "target_exists": Exit.NO,
    "backup_failed": Exit.NO,
    "unknown_outcome": Exit.UNKNOWN,
    "internal_error": Exit.BUG,
}

# Of a MigrationError, by the name of its kind; all others mean a broken installation or a damaged schema.
_SCHEMA = {
    "PendingMigrations": ("schema_older", Exit.DATABASE),
    "DatabaseNewer": ("schema_newer", Exit.DATABASE),
    "NotOurs": ("not_a_database", Exit.DATABASE),
    "EditedMigration": ("schema_edited", Exit.DATABASE),
    "UnfinishedCopy": ("copy_unfinished", Exit.DATABASE),
    "FailedMigration": ("migration_failed", Exit.DATABASE),
    "DatabaseBusy": ("busy", Exit.UNAVAILABLE),
}


def explain(error: Exception) -> Trouble:
    """The trouble behind an exception; one that nobody foresaw is a bug."""
    if isinstance(error, ImportError) and (sentence := missing(error)) is not None:
        return not_installed(sentence)
    # Imported here: only a command that fails needs them, and then most are loaded already.
    from farthing.settings import SettingsError
    from farthing.stores.access import AccessError
    from farthing.stores.contract import StoreError
    from farthing.stores.migrate import MigrationError

    if isinstance(error, Trouble):
        return error
    if isinstance(error, StoreError):
        facts = {} if error.retry_after is None else {"retry_after": error.retry_after}
        return Trouble(error.code, str(error), _STORE.get(error.code, Exit.UNAVAILABLE), **facts)
    if isinstance(error, MigrationError):
        code, exit = _SCHEMA.get(type(error).__name__, ("schema_broken", Exit.DATABASE))
        return Trouble(code, str(error), exit)
    if isinstance(error, AccessError):
        return Trouble("refused", str(error), Exit.NO)
    if isinstance(error, SettingsError):
        return Trouble("settings", str(error), Exit.USAGE)
    if isinstance(error, OSError):
        return _from_system(error)
    message = f"a bug in Farthing ({type(error).__name__}: {error}); with FARTHING_TRACEBACK=1 it says where"
    return Trouble("internal_error", message, Exit.BUG)


def _from_system(error: OSError) -> Trouble:
    """A file or a port that the system would not give."""
    reason = error.strerror or str(error)
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    # A full disk gets better by itself; a missing folder or a permission does not.
    full = error.errno in (28, 122)
    return Trouble("storage_full" if full else "file", f"{where}{reason}", Exit.UNAVAILABLE if full else Exit.DATABASE)
