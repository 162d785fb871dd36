"""Opening: from --db and --workspace to a ledger at hand, and who acts on it."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .exits import Exit, Trouble, usage

if TYPE_CHECKING:
    from farthing.app import Ledger
    from farthing.core.commands import Command
    from farthing.core.outcomes import Accepted
    from farthing.core.records import Workspace
    from farthing.stores.access import Act

URL_VARIABLE = "FARTHING_DATABASE_URL"


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


def database_file(url: str) -> Path:
    """The file that a URL names."""
    from farthing.app import DatabaseUrlError, database_path

    try:
        return database_path(url)
    except DatabaseUrlError as error:
        raise usage(str(error)) from error


def existing_file(url: str) -> Path:
    """The file that a URL names; it must be there."""
    path = database_file(url)
    if not path.exists():
        message = f"there is no database at {path}; make one with `farthing init`, or name another with --db"
        raise Trouble("database_missing", message, Exit.DATABASE, path=str(path))
    return path


def current_file(url: str) -> Path:
    """The file that a URL names, once it is known to be ours and of this version; until then it is only read."""
    from farthing.stores.migrate import require_current
    from farthing.stores.schema import schema_of

    path = existing_file(url)
    require_current(schema_of(path))
    return path


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


@contextmanager
def opened(db: str | None) -> Iterator["Ledger"]:
    """A ledger that exists, closed at the end."""
    from farthing.app import open_ledger

    url = database_url(db)
    current_file(url)
    with open_ledger(url) as ledger:
        yield ledger


@contextmanager
def at_desk(db: str | None, workspace: str | None) -> Iterator[Desk]:
    """A ledger and one of its workspaces."""
    with opened(db) as ledger:
        yield Desk(ledger, choose_workspace(ledger, workspace))


def choose_workspace(ledger: "Ledger", wanted: str | None) -> "Workspace":
    """The workspace that is named, or the only one."""
    from farthing.app import result_of

    known: list[Workspace] = result_of(ledger.reports.workspaces())
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
