"""Reach: what a caller may touch who bears the token of a person. One with an API key reaches all of the workspace.

A user reaches his own account, and is told of any other that it is not there. A supervisor may not give to himself.
"""

from farthing.core.commands import Adjust, ChangePlan, Command, GiveGrant, Renew, Resume, SetBalance, Subscribe
from farthing.identity.permissions import may_give_to

from ..endpoint import Caller
from .desk import Desk
from .problems import Fault


def require_own(caller: Caller, account: str) -> None:
    """Refuse an account that is not the one that the caller is bound to."""
    if caller.bound is not None and account != caller.bound:
        raise Fault("account_not_found")


def check_reach(caller: Caller, command: Command) -> None:
    """Refuse a command that goes beyond the caller's reach. What names its account only by an id is looked at once
    that is found."""
    if caller.person is None:
        return
    if command.account:
        require_own(caller, command.account)
    if _gives(command) and not may_give_to(caller.role, caller.person.id, command.account):
        raise Fault("own_account")


def _gives(command: Command) -> bool:
    if isinstance(command, Adjust):
        return command.amount > 0
    return isinstance(command, GiveGrant | SetBalance | Subscribe | Renew | Resume | ChangePlan)


async def require_own_hold(caller: Caller, hold_id: str, desk: Desk) -> None:
    """Refuse a hold that the caller has not placed himself, where he is bound to an account. A hold that a server has
    placed there is for work in progress: who could release it would have that for nothing."""
    if caller.bound is None:
        return
    # An entry makes at most one hold, and they share their digits.
    entry = await desk.reports.entry(caller.workspace.id, f"ent{hold_id.removeprefix('hold')}")
    if entry is None or entry.kind != "hold" or (entry.account, entry.actor) != (caller.bound, caller.actor):
        raise Fault("hold_not_found")
