"""Users of the workspace, as its admins see them: who signs in here, and who has come with tokens of elsewhere. They
are made and changed at the login service, and from the command line."""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from farthing.core.people import Role, User
from farthing.identity.forms import NOT_YET

from ..endpoint import Endpoint, Request
from .desk import Desk
from .parameters import in_path
from .reading import PAGING, Listed, Params, listed_example, named, not_found
from .wire import Time, write_time

SignsIn = Literal["here", "elsewhere", "not_yet"]


class UserView(Struct, kw_only=True):
    """A user; his id is the name of his account."""

    id: str
    username: str
    email: str
    role: Role
    verified: Annotated[bool, Meta(description="Whether the address is known to be his.")]
    signs_in: Annotated[
        SignsIn, Meta(description="Here, by a password; `not_yet`, once he has one; or with tokens of elsewhere.")
    ]
    created_at: Time
    updated_at: Time


def write_user(user: User) -> UserView:
    """A user on the wire."""
    signs_in: SignsIn = "elsewhere" if not user.password else "not_yet" if user.password == NOT_YET else "here"
    return UserView(
        id=user.id, username=user.username, email=user.email, role=user.role, verified=user.verified,
        signs_in=signs_in, created_at=write_time(user.created_at), updated_at=write_time(user.updated_at),
    )  # fmt: skip


async def list_users(request: Request, desk: Desk) -> Listed[UserView]:
    """A page of users."""
    turn = await Params(request, "limit", "cursor").turn(desk, "users")
    page = await desk.users.page(turn.workspace, after=turn.after, limit=turn.limit)
    return await turn.told([write_user(user) for user in page.items], page.next)


async def show_user(request: Request, desk: Desk) -> UserView:
    """One user."""
    Params(request).check()
    user = await desk.users.get(request.caller.workspace.id, named(request, "id", "user"))
    if user is None:
        raise not_found("user")
    return write_user(user)


USER_ID: Final = "usr_0198c5f0a1b27c3d8e4f5a6b7c8d9000"
_EXAMPLE: Final[dict[str, Any]] = {
    "id": USER_ID, "username": "anna", "email": "anna@example.com", "role": "user", "verified": True,
    "signs_in": "here", "created_at": "2026-01-01T12:00:00.000000Z", "updated_at": "2026-01-01T12:00:00.000000Z",
}  # fmt: skip

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/users",
        operation_id="listWorkspaceUsers",
        summary="Users of the workspace",
        description="Oldest first: people, not accounts. They are changed at the login service.",
        scope="admin",
        request=None,
        answer=Listed[UserView],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset({"cursor_invalid"}),
        act=list_users,
        parameters=PAGING,
    ),
    Endpoint(
        method="GET",
        path="/v1/users/{id}",
        operation_id="showWorkspaceUser",
        summary="One user",
        description="By his id, which is the subject of his tokens and the name of his account.",
        scope="admin",
        request=None,
        answer=UserView,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"user_not_found"}),
        act=show_user,
        parameters=(in_path("id", "The user's id.", USER_ID),),
    ),
)
