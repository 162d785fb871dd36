"""People: what a user may change of himself, and what an admin may do with the users of his workspace."""

from collections.abc import Awaitable
from typing import Final

from msgspec import Struct

from farthing.core.people import Role, User, key_of
from farthing.stores.acts import AccessError, Act

from .forms import NOT_YET, email_error, password_error
from .login import Login, Visit, field_error, form_error, new_user
from .refusals import Refused
from .sessions import may_be_id
from .throttle import MAIL, MAIL_ADDRESS, PASSWORD

MOST_AT_ONCE: Final = 1_000


class Actor(Struct, frozen=True):
    """Who acts: a user with a token."""

    id: str
    role: str
    act: Act


class Wanted(Struct, frozen=True):
    """A user to be made."""

    username: str
    email: str
    role: Role = "user"
    password: str = ""
    verified: bool = False


class People:
    """Changes of users."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._users = login.users

    # Of himself

    async def change_profile(self, visit: Visit, actor: Actor, username: str | None, email: str | None) -> User:
        """Another name or address. A new address is verified again: the code is mailed there."""
        user = await self.get(visit.workspace, actor.id)
        if not user.password:
            raise Refused("elsewhere")
        wrong = form_error(username or user.username, email or user.email)
        if wrong:
            raise Refused("invalid", wrong)
        if email is not None:
            await self._login.throttle.enter(visit.workspace, [(MAIL, email), (MAIL_ADDRESS, visit.place)], visit.at)
        try:
            changed = await self._users.change_names(user.workspace, user.id, username, email, actor.act, actor.role)
        except AccessError as error:
            raise Refused(f"profile_{error.code}") from error
        self._login.changed()
        if not changed.verified and key_of(changed.email) != key_of(user.email):
            await self._login.send_code(changed, visit.at)
        return changed

    async def change_password(self, visit: Visit, actor: Actor, current: str, new: str) -> None:
        """Another password, for who knows the present one. All his sessions end."""
        if wrong := field_error("newPassword", password_error(new)):
            raise Refused("invalid", wrong)
        tries = [(PASSWORD, actor.id)]
        await self._login.throttle.check(visit.workspace, tries, visit.at)
        async with self._login.passwords.turn() as turn:
            await self._login.throttle.enter(visit.workspace, tries, visit.at)
            user = await self.get(visit.workspace, actor.id)
            if not (await turn.check(user.password, current)).right:
                raise Refused("wrong_password")
            hashed = await turn.hash(new)
        if not await self._login.logins.change_password(user, hashed, actor.act):
            raise Refused("wrong_password")
        await self._login.throttle.went_well(visit.workspace, forgive=tries)
        self._login.changed()

    # Of others

    async def get(self, workspace: str, id: str) -> User:
        """A user of the workspace."""
        user = await self._users.get(workspace, id) if may_be_id(id) else None
        if user is None:
            raise Refused("user_not_found")
        return user

    async def by_email(self, workspace: str, email: str) -> User:
        """Who has that address."""
        user = await self._users.by_email(workspace, email) if may_be_id(email) else None
        if user is None:
            raise Refused("user_not_found")
        return user

    async def create(self, visit: Visit, actor: Actor, wanted: Wanted) -> User:
        """A user who signs in here. Who was given no password sets one as if it were forgotten."""
        if wanted.role == "admin":
            raise Refused("admin_restricted")
        wrong = form_error(wanted.username, wanted.email)
        if wanted.password:
            wrong = wrong or field_error("password", password_error(wanted.password))
        if wrong:
            raise Refused("invalid", wrong)
        hashed = await self._login.passwords.hash(wanted.password) if wanted.password else NOT_YET
        user = new_user(
            visit.workspace, wanted.username, wanted.email, hashed, visit.at, verified=wanted.verified
        )  # fmt: skip
        user.role = wanted.role
        try:
            await self._users.create(user, actor.act, actor.role)
        except AccessError as error:
            raise Refused(error.code) from error
        if not user.verified:
            await self._login.send_code(user, visit.at)
        return user

    async def register(self, visit: Visit, actor: Actor, sub: str, wanted: Wanted) -> User:
        """Who signs in elsewhere, ahead of his first token: its subject is his id."""
        if wrong := field_error("email", email_error(wanted.email)):
            raise Refused("invalid", wrong)
        at = visit.at
        user = User(visit.workspace, sub, wanted.username, wanted.email, wanted.role, True, "", at, at)
        try:
            return await self._users.create(user, actor.act, actor.role, "user.register")
        except AccessError as error:
            raise Refused(f"register_{error.code}") from error

    async def set_role(self, workspace: str, id: str, role: Role, actor: Actor) -> User:
        """Another role, from now on and everywhere within a second."""
        await self.get(workspace, id)
        user = await self._act(self._users.set_role(workspace, id, role, actor.act, actor.role))
        self._login.changed()
        return user

    async def remove(self, workspace: str, id: str, actor: Actor) -> User:
        """The user is gone, and his sessions with him. Nobody removes himself, or another admin."""
        if id == actor.id:
            raise Refused("own_account")
        await self.get(workspace, id)
        user = await self._act(self._users.remove(workspace, id, actor.act, actor.role, _removable))
        self._login.changed()
        return user

    async def _act(self, work: Awaitable[User]) -> User:
        try:
            return await work
        except AccessError as error:
            raise Refused(error.code) from error


def _removable(user: User) -> None:
    if user.role == "admin":
        raise Refused("other_admin")
