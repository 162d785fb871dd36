"""The bodies of the login service, as they are on the wire and in its documentation.

A request's type says what is documented; what is wrong with a field is told in the contract's own sentences.
"""

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from farthing.core.people import User
from farthing.identity.forms import MAX_EMAIL, PASSWORD, USERNAME
from farthing.identity.login import CODE_LENGTH
from farthing.identity.people import MOST_AT_ONCE
from farthing.identity.sessions import write_role

from ..endpoint import write_time

RoleText = Literal["enduser", "user", "supervisor", "admin"]
Username = Annotated[
    str,
    Meta(
        min_length=USERNAME[0],
        max_length=USERNAME[1],
        description="Letters, digits, '.', '-', '_' and blanks; at its ends no '.', '-' or blank. Capitals make no "
        "other name.",
    ),
]
Email = Annotated[str, Meta(min_length=5, max_length=MAX_EMAIL, extra_json_schema={"format": "email"})]
NewPassword = Annotated[
    str, Meta(min_length=PASSWORD[0], description=f"{PASSWORD[0]} characters and more, at most {PASSWORD[1]:,} bytes.")
]
Text = Annotated[str, Meta(min_length=1)]
Time = Annotated[str, Meta(description="UTC, with milliseconds.", extra_json_schema={"format": "date-time"})]
RefreshToken = Annotated[str, Meta(description="Of the cookie where there is one, else of the body.")]


class Failure(Struct, omit_defaults=True, kw_only=True):
    """The body of every error. One about a user who signs in elsewhere has `message` in place of `error`."""

    error: str | UnsetType = UNSET
    details: Annotated[str, Meta(description="What to do about it.")] | UnsetType = UNSET
    message: Annotated[str, Meta(description="Only where users who sign in elsewhere are registered.")] | UnsetType = (
        UNSET
    )


class Said(Struct):
    """Done, in words."""

    message: str


class SignUpRequest(Struct):
    """Somebody signs up."""

    username: Username
    email: Email
    password: NewPassword


class SignedUp(Struct):
    """A user was made."""

    message: str
    userId: str


class VerifyRequest(Struct):
    """A code that was mailed."""

    token: Annotated[str, Meta(min_length=1, description=f"{CODE_LENGTH} characters.")]


class EmailRequest(Struct):
    """An address; whether anybody could have it is not told."""

    email: Text


class LoginRequest(Struct):
    """Somebody signs in."""

    username: Annotated[str, Meta(min_length=1, description="The name, or the e-mail address.")]
    password: Text


class LoginUser(Struct):
    """Who signed in."""

    id: str
    username: str
    email: str
    isVerified: bool
    role: str


class LoggedIn(Struct):
    """The tokens of a session. They are in cookies as well."""

    message: str
    accessToken: str
    refreshToken: str
    user: LoginUser


class RefreshRequest(Struct):
    """A refresh token, unless the cookie has it."""

    refreshToken: RefreshToken | None = None


class Refreshed(Struct):
    """The next tokens of a session."""

    message: str
    accessToken: str
    refreshToken: str


class LogoutRequest(Struct):
    """The refresh token of another session of the same user that is to end as well."""

    refreshToken: RefreshToken | None = None


class Nothing(Struct):
    """No fields."""


class ResetRequest(Struct):
    """What was mailed, and a new password."""

    token: Text
    newPassword: NewPassword


class ChangePasswordRequest(Struct):
    """The present password, and a new one."""

    currentPassword: Text
    newPassword: NewPassword


class ProfileRequest(Struct):
    """What is to be changed; what is left out stays."""

    username: Username | None = None
    email: Email | None = None


class Profile(Struct):
    """A user."""

    id: str = field(name="_id")
    username: str
    email: str
    isVerified: bool
    role: str
    createdAt: Time
    updatedAt: Time


class OneUser(Struct):
    """A user, wrapped."""

    user: Profile


class ManyUsers(Struct):
    """A page of users, oldest first."""

    users: list[Profile]
    nextCursor: Annotated[str | None, Meta(description="Where to go on: `cursor` of the next request.")]


class CreateRequest(Struct):
    """A user who signs in here (with `password`), or one who signs in elsewhere (with `sub`)."""

    email: Email
    username: Username | None = None
    password: NewPassword | None = None
    role: RoleText | None = None
    skipVerification: Annotated[bool, Meta(description="Take the address as verified.")] | None = False
    sub: Annotated[str, Meta(min_length=1, max_length=255, description="The subject of his tokens.")] | None = None


class Created(Struct, omit_defaults=True):
    """A user was made. Of one who signs in elsewhere all is told."""

    userId: str
    message: str | UnsetType = UNSET
    sub: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    username: str | UnsetType = UNSET
    role: str | UnsetType = UNSET
    createdAt: Time | UnsetType = UNSET
    updatedAt: Time | UnsetType = UNSET


class BatchItem(Struct):
    """One of several users to be made; he sets his password as if he had forgotten it."""

    username: Any = None
    email: Any = None
    role: Any = None


class BatchRequest(Struct):
    """Several users."""

    users: Annotated[list[BatchItem], Meta(min_length=1, max_length=MOST_AT_ONCE)]
    skipVerification: bool | None = True


class BatchResult(Struct, omit_defaults=True):
    """What became of one of them."""

    username: str | None
    email: str | None
    success: bool
    userId: str | UnsetType = UNSET
    error: str | UnsetType = UNSET


class Summary(Struct):
    """How many there were."""

    total: int
    successful: int
    failed: int


class BatchDone(Struct):
    """What became of all of them, in their order."""

    message: str
    results: list[BatchResult]
    summary: Summary


class RoleRequest(Struct):
    """Another role."""

    role: RoleText


class Removed(Struct):
    """A user who was."""

    message: str
    user: Profile


def write_profile(user: User) -> Profile:
    """A user on the wire."""
    return Profile(
        id=user.id,
        username=user.username,
        email=user.email,
        isVerified=user.verified,
        role=write_role(user.role),
        createdAt=write_time(user.created_at),
        updatedAt=write_time(user.updated_at),
    )


def write_login_user(user: User) -> LoginUser:
    """The same as a login tells it."""
    return LoginUser(user.id, user.username, user.email, user.verified, write_role(user.role))


EXAMPLE_ID: Final = "usr_0198c5f0a1b27c3d8e4f5a6b7c8d9000"
PROFILE: Final[dict[str, Any]] = {
    "_id": EXAMPLE_ID,
    "username": "anna",
    "email": "anna@example.com",
    "isVerified": True,
    "role": "enduser",
    "createdAt": "2026-01-01T12:00:00.000Z",
    "updatedAt": "2026-01-01T12:00:00.000Z",
}
"""A user as an example."""
