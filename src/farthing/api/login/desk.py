"""The desk of the login service: all that its endpoints work with."""

from msgspec import Struct

from farthing.identity.login import Login, Visit
from farthing.identity.people import Actor, People
from farthing.stores.acts import Act

from ..endpoint import Caller, Request
from ..v1.desk import Desk
from .wherefrom import Wherefrom


class LoginDesk(Struct, frozen=True, kw_only=True):
    """Made once by whoever builds the face."""

    desk: Desk
    login: Login
    people: People
    wherefrom: Wherefrom

    def visit(self, request: Request) -> Visit:
        """The request, as the login service sees it."""
        workspace = request.caller.workspace
        return Visit(
            workspace.id, workspace.settings, self.wherefrom.address(request), self.desk.now_us(), request.id.decode()
        )

    def actor(self, request: Request) -> Actor:
        """Who acts."""
        caller = request.caller
        return Actor(person_of(caller), caller.role, self.act(request))

    def act(self, request: Request) -> Act:
        """His act, now."""
        return Act(request.caller.actor, self.desk.now_us(), request.id.decode())


def person_of(caller: Caller) -> str:
    """The id of who bears a token."""
    assert caller.person is not None, "what takes a role takes a token"
    return caller.person.id
