"""The caller's own profile and password."""

from typing import Any, Final

from ..endpoint import Reply, Request
from .calls import call
from .desk import LoginDesk, person_of
from .fields import read_body
from .wire import PROFILE, ChangePasswordRequest, OneUser, ProfileRequest, Said, write_profile


async def show_profile(request: Request, desk: LoginDesk) -> OneUser:
    """Who the caller is."""
    user = await desk.people.get(request.caller.workspace.id, person_of(request.caller))
    return OneUser(write_profile(user))


async def change_profile(request: Request, desk: LoginDesk) -> OneUser:
    """Another name or address."""
    body = read_body(request)
    username, email = body.optional("username"), body.optional("email")
    user = await desk.people.change_profile(desk.visit(request), desk.actor(request), username, email)
    return OneUser(write_profile(user))


async def change_password(request: Request, desk: LoginDesk) -> Said | Reply:
    """Another password."""
    body = read_body(request)
    current, new = body.text("currentPassword"), body.text("newPassword")
    await desk.people.change_password(desk.visit(request), desk.actor(request), current, new)
    return Said("Password changed successfully")


def _password_call(operation_id: str, path: str) -> Any:
    return call(
        operation_id,
        path=path,
        summary="Another password",
        description="For who knows the present one. All sessions of the caller end, this one included.",
        request=ChangePasswordRequest,
        answer=Said,
        example={"currentPassword": "correct horse", "newPassword": "battery staple"},
        answered={"message": "Password changed successfully"},
        act=change_password,
    )


ENDPOINTS: Final = (
    call(
        "getProfile",
        method="GET",
        path="/api/profile",
        summary="Who the caller is",
        description="As his record says now.",
        request=None,
        answer=OneUser,
        example={},
        answered={"user": PROFILE},
        act=show_profile,
    ),
    call(
        "changeProfile",
        method="PUT",
        path="/api/profile",
        summary="Another name or address",
        description="A new address is verified again: a code is mailed there, and until it is used nobody can sign in.",
        request=ProfileRequest,
        answer=OneUser,
        example={"username": "anna.b"},
        answered={"user": {**PROFILE, "username": "anna.b"}},
        act=change_profile,
    ),
    _password_call("changePassword", "/api/change-password"),
    _password_call("changePasswordHere", "/api/auth/change-password"),
)
