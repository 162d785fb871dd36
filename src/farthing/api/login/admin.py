"""What an admin does with the users of his workspace."""

from typing import Final
from urllib.parse import parse_qsl

from farthing.core.commands import text_error
from farthing.core.people import Role, User
from farthing.identity.login import Visit
from farthing.identity.people import MOST_AT_ONCE, Actor, Wanted
from farthing.identity.refusals import Refused

from ..endpoint import Parameter, Request, write_time
from ..v1.cursors import CursorInvalid
from .calls import call
from .desk import LoginDesk
from .errors import MISSING_FIELDS, Fault, tell
from .fields import Body, read_body
from .wire import (
    EXAMPLE_ID,
    PROFILE,
    BatchDone,
    BatchRequest,
    BatchResult,
    Created,
    CreateRequest,
    ManyUsers,
    OneUser,
    Removed,
    RoleRequest,
    Summary,
    write_profile,
)

MOST_LISTED: Final = 1_000
_LISTING: Final = "login-users"


async def list_users(request: Request, desk: LoginDesk) -> ManyUsers:
    """A page of users."""
    workspace = request.caller.workspace.id
    limit, cursor = _paging(request)
    after = None
    if cursor:
        try:
            after = await desk.desk.cursors.read(cursor, _LISTING, workspace, {})
        except CursorInvalid as error:
            raise Fault(f"cursor: {error}") from error
    page = await desk.login.users.page(workspace, after=after, limit=limit)
    following = await desk.desk.cursors.write(_LISTING, workspace, {}, page.next) if page.next else None
    return ManyUsers([write_profile(user) for user in page.items], following)


def _paging(request: Request) -> tuple[int, str]:
    """How many, and from where on."""
    query = request.scope.get("query_string", b"").decode("latin-1")
    given = dict(parse_qsl(query, keep_blank_values=True))
    text = given.get("limit", str(MOST_LISTED))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= limit <= MOST_LISTED:
        raise Fault(f"limit must be a whole number from 1 to {MOST_LISTED:,}")
    return limit, given.get("cursor", "")


async def show_user(request: Request, desk: LoginDesk) -> OneUser:
    """One user, by his id."""
    return OneUser(write_profile(await desk.people.get(request.caller.workspace.id, request.parameters["id"])))


async def show_user_by_email(request: Request, desk: LoginDesk) -> OneUser:
    """One user, by his address."""
    user = await desk.people.by_email(request.caller.workspace.id, request.parameters["email"])
    return OneUser(write_profile(user))


async def create_user(request: Request, desk: LoginDesk) -> Created:
    """With `password`, a user who signs in here; with `sub`, one who signs in elsewhere."""
    body = read_body(request)
    visit, actor = desk.visit(request), desk.actor(request)
    if not body.has("sub"):
        return await _create(body, visit, actor, desk)
    if body.has("password"):
        raise Fault("Send either sub (signs in elsewhere) or password (signs in here), not both")
    return await _register(body, visit, actor, desk)


async def _create(body: Body, visit: Visit, actor: Actor, desk: LoginDesk) -> Created:
    username, email, password = (body.text(name) for name in ("username", "email", "password"))
    wanted = Wanted(username, email, body.role("user"), password, body.flag("skipVerification", False))
    user = await desk.people.create(visit, actor, wanted)
    return Created(user.id, message="User created successfully")


async def _register(body: Body, visit: Visit, actor: Actor, desk: LoginDesk) -> Created:
    try:
        sub, email, role = body.text("sub"), body.text("email"), _register_role(body)
        username = body.optional("username") or sub
        wrong = text_error(sub)
        if wrong:
            raise Fault(f"sub {wrong}")
        if wrong := text_error(username):
            raise Fault(f"username {wrong}")
        user = await desk.people.register(visit, actor, sub, Wanted(username, email, role))
    except Fault as fault:
        sentence = fault.details if fault.error == MISSING_FIELDS else fault.error
        raise Fault(sentence, fault.status, register=True) from None
    except Refused as refused:
        told = tell(refused)
        raise Fault(told.error, told.status, register=True) from refused
    return _registered(user)


def _register_role(body: Body) -> Role:
    try:
        return body.role()
    except Fault:
        what = "must be user, supervisor or admin" if body.has("role") else "is missing"
        raise Fault(f"role {what}") from None


def _registered(user: User) -> Created:
    return Created(
        user.id,
        sub=user.id,
        email=user.email,
        username=user.username,
        role=user.role,
        createdAt=write_time(user.created_at),
        updatedAt=write_time(user.updated_at),
    )


async def create_users(request: Request, desk: LoginDesk) -> BatchDone:
    """Several users; each for himself."""
    body = read_body(request)
    verified = body.flag("skipVerification", True)
    visit, actor = desk.visit(request), desk.actor(request)
    items = body.objects("users", MOST_AT_ONCE)
    results = [await _one_of_many(item, verified, visit, actor, desk) for item in items]
    good = sum(result.success for result in results)
    message = f"{good} of {len(results)} users created successfully"
    return BatchDone(message, results, Summary(len(results), good, len(results) - good))


async def _one_of_many(item: Body, verified: bool, visit: Visit, actor: Actor, desk: LoginDesk) -> BatchResult:
    username = email = None
    try:
        username, email = item.text("username"), item.text("email")
        user = await desk.people.create(visit, actor, Wanted(username, email, item.role("user"), verified=verified))
    except Fault as fault:
        return BatchResult(username, email, False, error=fault.error)
    except Refused as refused:
        return BatchResult(username, email, False, error=tell(refused).error)
    return BatchResult(username, email, True, userId=user.id)


async def change_role(request: Request, desk: LoginDesk) -> OneUser:
    """Another role."""
    role = read_body(request).role()
    workspace = request.caller.workspace.id
    user = await desk.people.set_role(workspace, request.parameters["id"], role, desk.actor(request))
    return OneUser(write_profile(user))


async def remove_user(request: Request, desk: LoginDesk) -> Removed:
    """The user is gone."""
    workspace = request.caller.workspace.id
    user = await desk.people.remove(workspace, request.parameters["id"], desk.actor(request))
    return Removed("User deleted successfully", write_profile(user))


_ID: Final = Parameter(
    name="id", place="path", description="The user's id.", schema={"type": "string", "minLength": 1}, required=True,
    example=EXAMPLE_ID,
)  # fmt: skip
_EMAIL: Final = Parameter(
    name="email", place="path", description="The user's address.", schema={"type": "string", "minLength": 1},
    required=True, example="anna@example.com",
)  # fmt: skip
_PAGING: Final = (
    Parameter(
        name="limit",
        place="query",
        description="How many to give at most.",
        schema={"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": MOST_LISTED},
    ),
    Parameter(name="cursor", place="query", description="`nextCursor` of the page before.", schema={"type": "string"}),
)
_USER: Final = {"user": PROFILE}

ENDPOINTS: Final = (
    call(
        "listUsers",
        method="GET",
        path="/api/admin/users",
        summary="Users of the workspace",
        description="Oldest first.",
        request=None,
        answer=ManyUsers,
        example={},
        answered={"users": [PROFILE], "nextCursor": None},
        act=list_users,
        parameters=_PAGING,
    ),
    call(
        "createUser",
        path="/api/admin/users",
        summary="Make a user",
        description="With `password`: a user who signs in here; no admin can be made this way. With `sub`: one who "
        'signs in elsewhere, ahead of his first token; what is wrong is told as `{"message": ...}` then.',
        request=CreateRequest,
        answer=Created,
        status=201,
        example={"username": "anna", "email": "anna@example.com", "password": "correct horse", "role": "enduser"},
        answered={"message": "User created successfully", "userId": EXAMPLE_ID},
        act=create_user,
    ),
    call(
        "createUsers",
        path="/api/admin/users/batch",
        summary="Make several users",
        description="Each for himself: one that can't be made does not hinder the others. They set their passwords as "
        "if they had forgotten them.",
        request=BatchRequest,
        answer=BatchDone,
        status=201,
        example={"users": [{"username": "anna", "email": "anna@example.com"}]},
        answered={
            "message": "1 of 1 users created successfully",
            "results": [{"username": "anna", "email": "anna@example.com", "success": True, "userId": EXAMPLE_ID}],
            "summary": {"total": 1, "successful": 1, "failed": 0},
        },
        act=create_users,
    ),
    call(
        "getUserByEmail",
        method="GET",
        path="/api/admin/users/by-email/{email}",
        summary="A user, by his address",
        description="Capitals make no difference.",
        request=None,
        answer=OneUser,
        example={},
        answered=_USER,
        act=show_user_by_email,
        parameters=(_EMAIL,),
    ),
    call(
        "getUser",
        method="GET",
        path="/api/admin/users/{id}",
        summary="A user",
        description="By his id.",
        request=None,
        answer=OneUser,
        example={},
        answered=_USER,
        act=show_user,
        parameters=(_ID,),
    ),
    call(
        "changeRole",
        method="PUT",
        path="/api/admin/users/{id}/role",
        summary="Another role",
        description="Counts at once; the user's sessions end. Who signs in elsewhere has the role that his next token "
        "says.",
        request=RoleRequest,
        answer=OneUser,
        example={"role": "supervisor"},
        answered={"user": {**PROFILE, "role": "supervisor"}},
        act=change_role,
        parameters=(_ID,),
    ),
    call(
        "removeUser",
        method="DELETE",
        path="/api/admin/users/{id}",
        summary="Remove a user",
        description="His sessions end. The ledger keeps his account and its entries.",
        request=None,
        answer=Removed,
        example={},
        answered={"message": "User deleted successfully", **_USER},
        act=remove_user,
        parameters=(_ID,),
    ),
)
