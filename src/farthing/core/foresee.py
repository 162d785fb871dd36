"""Foresee: what a command would come to on an account that was read, without a key and without keeping anything."""

from .commands import Command
from .context import Calendar, Context
from .decide import decide
from .ids import make_id
from .outcomes import Outcome
from .records import Account, Workspace


def foresee(command: Command, account: Account | None, workspace: Workspace, calendar: Calendar) -> Outcome:
    """The outcome at the command's own time, without an entry; `account` is as it stands then, None where there is
    none."""
    context = Context(_no_id, calendar)
    context.only_asked = True
    context.workspaces[workspace.id] = workspace
    if account is not None:
        context.accounts[(account.workspace, account.id)] = account
    return decide(command, context)


def _no_id(prefix: str, at: int, bucket: int) -> str:
    # Nothing is kept, so nobody ever sees it.
    return make_id(prefix, at, 0, 0, bucket)
