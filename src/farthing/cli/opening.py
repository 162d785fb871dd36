"""Opening: from --db and --workspace to a ledger at hand, and who acts on it."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .exits import Exit, Trouble, usage

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from farthing.app import Ledger
    from farthing.backends import Backend
    from farthing.core.commands import Command
    from farthing.core.outcomes import Accepted
    from farthing.core.records import Workspace
    from farthing.stores.access import Act

T = TypeVar("T")
URL_VARIABLE = "FARTHING_DATABASE_URL"
_OWN_TOOLS = (
    "A PostgreSQL database is saved with pg_dump and put back with pg_restore, or as its whole server is: see "
    "docs/how-to/backup-and-restore.md; afterwards `farthing doctor` looks at what was put back"
)


def actor() -> str:
    """Who acts: the user of the operating system, not what a variable says."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container without an entry for its user
        name = str(os.getuid())
    return f"cli:{name}"


def database_url(db: str | None) -> str:
    """The database that is meant: --db, else the variable, else farthing.db in this folder."""
    from farthing.settings import Settings

    return db or os.environ.get(URL_VARIABLE) or Settings().database_url


def named(url: str) -> "Backend":
    """The database that a URL names, whether or not it is there."""
    from farthing.backends import DatabaseUrlError, backend_of

    try:
        return backend_of(url)
    except DatabaseUrlError as error:
        raise usage(str(error)) from error


def existing(url: str) -> "Backend":
    """The database that a URL names; it must be there (of a server that is known once it is opened)."""
    backend = named(url)
    if not backend.exists():
        message = f"there is no database at {backend.shown}; make one with `farthing init`, or name another with --db"
        raise Trouble("database_missing", message, Exit.DATABASE, path=backend.shown)
    return backend


def current(url: str) -> "Backend":
    """The database that a URL names, once it is known to be ours and of this version; until then it is only read."""
    from farthing.stores.migrate import require_current

    backend = existing(url)
    require_current(backend.schema())
    return backend


def existing_file(url: str, what: str) -> Path:
    """The SQLite file that a URL names, for `what` is done with files alone; it must be there."""
    existing(url)
    return file_named(url, what)


def file_named(url: str, what: str) -> Path:
    """The same, whether or not it is there."""
    from farthing.backends import SqliteFile

    backend = named(url)
    if not isinstance(backend, SqliteFile):
        raise Trouble("not_for_postgres", f"`farthing {what}` is for SQLite files. {_OWN_TOOLS}", Exit.USAGE)
    return backend.path


@dataclass(frozen=True)
class Desk:
    """An open ledger, the workspace that is meant, and who acts."""

    ledger: "Ledger"
    workspace: "Workspace"

    def now_us(self) -> int:
        """The ledger's time."""
        return self.ledger.clock.now_us()

    def act(self) -> "Act":
        """Who acts, now."""
        from farthing.stores.access import Act

        return Act(actor(), self.now_us())

    def write(self, amount: int) -> str:
        """Decimal text of an amount."""
        from farthing.core.amounts import write_amount

        return write_amount(amount, self.workspace.scale)

    def do(self, command: "Command") -> "Accepted":
        """Carry out a command; a refusal ends the program with its sentence."""
        from farthing.core.outcomes import Refused

        from .refusals import refused

        command.actor = actor()
        try:
            outcome = self.ledger.do(command)
        except KeyboardInterrupt:
            # Accepted commands are finished while the ledger closes: nobody can say here whether this one was.
            message = (
                "interrupted; whether it was carried out is not known: the same --key finds out, or `farthing ledger`"
            )
            raise Trouble("unknown_outcome", message, Exit.UNKNOWN) from None
        if isinstance(outcome, Refused):
            raise refused(outcome, self.workspace.unit, self.workspace.scale)
        return outcome


def played(ledger: "Ledger", work: "Coroutine[Any, Any, T]") -> T:
    """The result of work that asks the engine for many things at a time: on the ledger's loop, or on one of its own."""
    import asyncio

    return asyncio.run(work) if ledger.backend.dialect == "sqlite" else ledger.wait(work)


@contextmanager
def opened(db: str | None) -> Iterator["Ledger"]:
    """A ledger that exists, closed at the end."""
    from farthing.app import open_ledger

    backend = existing(database_url(db))
    with open_ledger(backend.url) as ledger:
        yield ledger


@contextmanager
def at_desk(db: str | None, workspace: str | None) -> Iterator[Desk]:
    """A ledger and one of its workspaces."""
    with opened(db) as ledger:
        yield Desk(ledger, choose_workspace(ledger, workspace))


def choose_workspace(ledger: "Ledger", wanted: str | None) -> "Workspace":
    """The workspace that is named, or the only one."""
    known: list[Workspace] = ledger.wait(ledger.reports.workspaces())
    names = [each.id for each in known]
    if wanted is not None:
        for each in known:
            if each.id == wanted:
                return each
        message = f"there is no workspace {wanted!r}; there is {_listed(names) or 'none'}"
        raise Trouble("workspace_not_found", message, Exit.NO, workspaces=names)
    if not known:
        message = "the database has no workspace yet; make one with `farthing init`"
        raise Trouble("workspace_missing", message, Exit.DATABASE)
    if len(known) > 1:
        message = f"there are several workspaces; say which with --workspace: {_listed(names)}"
        raise Trouble("workspace_needed", message, Exit.USAGE, workspaces=names)
    return known[0]


def _listed(names: list[str]) -> str:
    shown = names[:20]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
