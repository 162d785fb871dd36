"""Whom: which user a request means. A name that nobody has makes no account."""

from msgspec import Struct

from farthing.core.commands import text_error
from farthing.core.people import User
from farthing.identity.permissions import may_give_to

from ..endpoint import Request
from ..v1.desk import Desk
from .errors import fault


class Known(Struct, frozen=True):
    """Somebody who is known here: by a record, or just by an account in the ledger."""

    id: str
    username: str
    email: str | None


async def find(desk: Desk, workspace: str, text: str) -> Known | None:
    """Whoever is meant by an id, a username or an e-mail address. An id comes first, also where there is only an
    account: nobody gets what was meant for it by taking its name. What has an `@` is never a name: who may call himself
    as he likes elsewhere could get what was meant for the address of another."""
    if text_error(text):
        return None
    if user := await desk.users.get(workspace, text):
        return _known(user)
    if await desk.reports.account(workspace, text, desk.now_us()) is not None:
        return Known(text, text, None)
    user = await (_at_address(desk, workspace, text) if "@" in text else desk.users.by_username(workspace, text))
    return _known(user) if user else None


async def _at_address(desk: Desk, workspace: str, email: str) -> User | None:
    """Who has shown that the address is his: anybody may register with the address of another."""
    user = await desk.users.by_email(workspace, email)
    return user if user is not None and user.verified else None


async def needed(request: Request, desk: Desk, text: str) -> Known:
    """The same, where there has to be somebody."""
    known = await find(desk, request.caller.workspace.id, text)
    if known is None:
        raise fault("user_unknown", user=text)
    return known


async def by_email(request: Request, desk: Desk, email: str) -> Known:
    """Whoever has that address."""
    user = await _at_address(desk, request.caller.workspace.id, email)
    if user is None:
        raise fault("email_unknown", email=email)
    return _known(user)


def check_gift(request: Request, to: Known) -> None:
    """Refuse what a supervisor would give to himself."""
    caller = request.caller
    assert caller.person is not None, "this face takes tokens only"
    if not may_give_to(caller.role, caller.person.id, to.id):
        raise fault("own_grant")


def _known(user: User) -> Known:
    return Known(user.id, user.username or user.id, user.email or None)
