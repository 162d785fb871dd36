"""What an error of PostgreSQL, of its driver or of the network means for the caller, and how its address is shown.

No message and no log has a password in it: addresses go through `shown`, and what a driver says of an address that it
can't read is left out.
"""

import re
from typing import Final
from urllib.parse import unquote, urlsplit

import asyncpg

from .contract import Busy, NotADatabase, Raced, ReadOnly, StorageFull, StoreError, Unavailable

_RACED: Final = frozenset({"23505", "40001", "40P01"})
_BUSY: Final = frozenset({"55P03", "57014"})
_UNAVAILABLE: Final = frozenset({"25P03", "25P04", "57P01", "57P02", "57P03", "57P05", "58030"})
_UNAVAILABLE_CLASSES: Final = ("08", "53")
"""Connections that fail, and resources that are used up: memory, connections (a full disk is told apart)."""
_NOT_LET_IN: Final = frozenset({"28000", "28P01", "3D000"})
_DAMAGED: Final = frozenset({"XX001", "XX002"})
_FULL: Final = "53100"
_READ_ONLY: Final = "25006"
_SECRETS: Final = frozenset({"password", "sslpassword", "passfile"})


def translate(error: BaseException, dsn: str = "") -> StoreError:
    """The error in words of the house; it speaks of the last act on the database, a commit that was sent excepted."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, asyncpg.PostgresError):
        return _of_server(error, dsn)
    where = f"the database{_at(dsn)}"
    if isinstance(error, TimeoutError):
        return Unavailable(f"{where} did not answer in time; nothing was done")
    if isinstance(error, asyncpg.ClientConfigurationError) or (dsn and isinstance(error, ValueError)):
        # Whatever the driver quotes of the address may be a part of the password.
        return StoreError(f"{where} can't be asked: its address is not as PostgreSQL understands it")
    if isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return Unavailable(f"{where} can't be reached: {_told_by(error)}; nothing was done")
    return StoreError(f"{where} failed in an unforeseen way: {type(error).__name__ if dsn else repr(error)}")


def _of_server(error: asyncpg.PostgresError, dsn: str) -> StoreError:
    code, said = error.sqlstate or "", _told_by(error)
    # A distributed database reports a key that it has already as an internal error.
    if code in _RACED or (code == "XX000" and "duplicate key" in said):
        return Raced(f"another write came first: {said}")
    if code in _BUSY:
        return Busy(f"the database is busy: {said}; nothing was done")
    if code == _FULL:
        return StorageFull("the disk is full; nothing was done, and writing goes on once there is room again")
    if code == _READ_ONLY:
        return ReadOnly("the database takes no writes; nothing was done. Name the primary, not a standby of it")
    if code in _UNAVAILABLE or code.startswith(_UNAVAILABLE_CLASSES):
        return Unavailable(f"the database{_at(dsn)} is not available: {said}; nothing was done")
    if code in _NOT_LET_IN:
        return StoreError(f"the database{_at(dsn)} does not let us in: {said}. {_who(dsn)}".rstrip())
    if code in _DAMAGED:
        return NotADatabase(f"the database is damaged: {said}")
    return StoreError(f"the database says: {said}")


def _told_by(error: BaseException) -> str:
    """What an error says, on one line and without its full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _at(dsn: str) -> str:
    return f" at {shown(dsn)}" if dsn else ""


def _who(dsn: str) -> str:
    """Whom we said that we are, and what we asked for, as far as the address says it."""
    try:
        parts = urlsplit(dsn)
        asked = {"user": parts.username, "host": parts.hostname, "database": unquote(parts.path.lstrip("/"))}
    except ValueError:
        return ""
    named = ", ".join(f"{what} {unquote(value)!r}" for what, value in asked.items() if value)
    return f"Asked as: {named}; check the password as well" if named else ""


def shown(dsn: str) -> str:
    """The address of a database as it may be shown: without its password."""
    start = re.match(r"\w+://", dsn)
    if start is None:
        return dsn if "@" not in dsn else "***"
    rest, mark, query = dsn[start.end() :].partition("?")
    if "@" not in rest and "@" in query:
        # A password with a question mark in it that was not written as %3F.
        rest, mark, query = rest + mark + query, "", ""
    # Up to the last @: a password may have one, or a slash, that was not written as it should be.
    user, at, host = rest.rpartition("@")
    if ":" in user:
        user = user.partition(":")[0] + ":***"
    return start[0] + user + at + host + mark + "&".join(_without_secret(each) for each in query.split("&"))


def _without_secret(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{name}{equals}***" if unquote(name).lower() in _SECRETS and equals else parameter
