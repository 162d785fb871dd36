"""Login: signing up, in, and out; and passwords that were forgotten. What people may ask who have no token yet.

Nothing here tells who there is, but for a name or an address that is taken: whatever is answered to a wrong password,
to a forgotten one or to a code asked for again is the same, after the same work, whether or not there is such a user.
"""

import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from msgspec import Struct

from farthing.core.commands import text_error
from farthing.core.people import User, key_of
from farthing.core.records import WorkspaceSettings
from farthing.stores.acts import AccessError, Act
from farthing.stores.logins import Logins, Purpose
from farthing.stores.users import Users

from . import mail
from .forms import email_error, password_error, username_error
from .mail import Message, Post
from .passwords import Passwords
from .refusals import Refused
from .sessions import REFRESH_SECONDS, SECOND_US, Sessions, new_id
from .throttle import (
    ACCOUNT,
    ADDRESS,
    ALL_CODES,
    CODE,
    MAIL,
    MAIL_ADDRESS,
    RESET,
    SIGN_UP,
    Throttle,
    marks,
    whereabouts,
)

CODE_MINUTES: Final = 15
RESET_MINUTES: Final = 60
MINUTE_US: Final = 60 * SECOND_US
ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Of codes: nothing that is taken for something else when it is read aloud or typed."""
CODE_LENGTH: Final = 6
_CODE_TRIES: Final = 5


class Visit(Struct, frozen=True):
    """A request: where it wants to, from where, when."""

    workspace: str
    settings: WorkspaceSettings
    address: str
    at: int
    request_id: str

    @property
    def place(self) -> str:
        """What tries are counted by, of where it comes from."""
        return whereabouts(self.address)


class SignedIn(Struct, frozen=True):
    """Who came in, and what he shows from now on."""

    user: User
    access: str
    refresh: str


class Login:
    """All that goes on before there is a token, and what keeps tokens coming."""

    def __init__(
        self, users: Users, logins: Logins, sessions: Sessions, passwords: Passwords, post: Post, *,
        changed: Callable[[], None] = lambda: None, public_url: str = "",
    ) -> None:  # fmt: skip
        self.users = users
        self.logins = logins
        self.sessions = sessions
        self.passwords = passwords
        self.throttle = Throttle(logins)
        self.changed = changed
        """Called after sessions or people have changed: this process must not go on with what it had."""
        self._post = post
        self._public_url = public_url

    # Signing up

    async def sign_up(self, visit: Visit, username: str, email: str, password: str) -> User:
        """A new user of role user, who has to show that his address is his."""
        if visit.settings.signup == "closed":
            raise Refused("signup_closed")
        wrong = form_error(username, email) or field_error("password", password_error(password))
        if wrong:
            raise Refused("registration_failed", wrong)
        await self.throttle.enter(visit.workspace, [(SIGN_UP, visit.place)], visit.at)
        hashed = await self.passwords.hash(password)
        user = new_user(visit.workspace, username, email, hashed, visit.at)
        act = Act(f"user:{user.id}", visit.at, visit.request_id)
        try:
            await self.users.create(user, act, user.role)
        except AccessError as error:
            raise Refused(error.code) from error
        await self.send_code(user, visit.at)
        return user

    async def send_code(self, user: User, at: int) -> None:
        """Mail a code that verifies a user's address."""
        for _ in range(_CODE_TRIES):
            code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
            if await self._give(user, "verify", code, at, CODE_MINUTES):
                self._mail(mail.verification(user.email, user.username, code, CODE_MINUTES), user, "verify")
                return
        raise AssertionError("of a billion codes five were taken")

    async def verify_email(self, visit: Visit, code: str) -> None:
        """Take a code that was mailed."""
        tries = [(CODE, visit.place), (ALL_CODES, "")]
        await self.throttle.enter(visit.workspace, tries, visit.at)
        mark = hash_of(code.strip().upper())
        if not await self.logins.verify_email(visit.workspace, mark, visit.at, visit.request_id):
            raise Refused("verification_failed")
        await self.throttle.went_well(visit.workspace, take_back=tries)
        self.changed()

    async def resend_code(self, visit: Visit, email: str) -> None:
        """Mail another code to who has not used the last one; who that is, nobody is told."""
        user = await self._asks_for_mail(visit, email)
        if user is not None and not user.verified and user.password:
            self._post.later(self.send_code(user, visit.at), workspace=user.workspace, user=user.id, purpose="verify")

    # Signing in and out

    async def log_in(self, visit: Visit, name: str, password: str) -> SignedIn:
        """Let somebody in by his name, or his address, and his password."""
        tries = [(ACCOUNT, name), (ADDRESS, visit.place)]
        await self.throttle.check(visit.workspace, tries, visit.at)
        async with self.passwords.turn() as turn:
            await self.throttle.enter(visit.workspace, tries, visit.at)
            user = await self._by_name(visit.workspace, name)
            checked = await turn.check(user.password if user else "", password)
            if user is None or not checked.right:
                raise Refused("invalid_credentials")
            if checked.outdated:
                await self.logins.hash_again(user, await turn.hash(password))
            # The turn ends with what it has counted: else many right ones at once would count as guesses.
            if not user.verified:
                await self.throttle.went_well(visit.workspace, forgive=tries[:1], take_back=tries[1:])
                raise Refused("not_verified")
            return await self._opened(visit, user, marks(tries))

    async def _opened(self, visit: Visit, user: User, counted: list[bytes]) -> SignedIn:
        session = new_id("ses", visit.at)
        ends_at = visit.at + REFRESH_SECONDS * SECOND_US
        await self.logins.open(
            visit.workspace, user.id, session, visit.at, ends_at, forgive=counted[:1], take_back=counted[1:]
        )
        return await self._tokens(user, session, 1, visit.at)

    async def _tokens(self, user: User, session: str, turn: int, at: int) -> SignedIn:
        access = await self.sessions.access(user, session, at)
        return SignedIn(user, access, await self.sessions.refresh(user, session, turn, at))

    async def _by_name(self, workspace: str, name: str) -> User | None:
        if text_error(name):
            return None
        found = await (self.users.by_email if "@" in name else self.users.by_username)(workspace, name)
        # Whose password is another's business signs in there.
        return found if found is not None and found.password else None

    async def refresh(self, visit: Visit, token: str) -> SignedIn:
        """The next tokens of a session. A token that was used before has been copied: the session ends."""
        said = await self.sessions.read_refresh(token, visit.workspace, visit.at)
        if said is None:
            raise Refused("invalid_refresh")
        ends_at = visit.at + REFRESH_SECONDS * SECOND_US
        turned = await self.logins.turn(
            visit.workspace, said.session, said.user, said.turn, visit.at, ends_at, visit.request_id
        )
        if turned is None:
            self.changed()
            raise Refused("invalid_refresh")
        return await self._tokens(turned.user, said.session, turned.turn, visit.at)

    async def log_out(self, workspace: str, user: str, session: str, token: str, act: Act, role: str) -> None:
        """End the session of an access token, and that of a refresh token where it is the same user's. Who wants to
        leave is not kept by a refresh token that is good for nothing."""
        said = await self.sessions.read_refresh(token, workspace, act.at) if token else None
        other = said.session if said and said.user == user else ""
        ended = {each for each in (session, other) if each}
        await self.logins.end(workspace, user, sorted(ended), act, role)
        self.changed()

    async def log_out_everywhere(self, workspace: str, user: str, act: Act, role: str) -> None:
        """End all sessions of a user."""
        await self.logins.end_all(workspace, user, act, role)
        self.changed()

    # Forgotten passwords

    async def forgot_password(self, visit: Visit, email: str) -> None:
        """Mail what a new password can be set with; whether there is such a user, nobody is told."""
        user = await self._asks_for_mail(visit, email)
        if user is not None and user.password:
            self._post.later(self._send_reset(user, visit.at), workspace=user.workspace, user=user.id, purpose="reset")

    async def _send_reset(self, user: User, at: int) -> None:
        token = secrets.token_urlsafe(32)
        await self._give(user, "reset", token, at, RESET_MINUTES)
        self._mail(mail.reset(user.email, user.username, token, RESET_MINUTES, self._public_url), user, "reset")

    async def reset_password(self, visit: Visit, token: str, password: str) -> None:
        """Take what was mailed, and a new password. All sessions end."""
        if wrong := field_error("newPassword", password_error(password)):
            raise Refused("invalid", wrong)
        tries = [(RESET, visit.place)]
        await self.throttle.enter(visit.workspace, tries, visit.at)
        mark = hash_of(token)
        if not await self.logins.has_code(visit.workspace, "reset", mark, visit.at):
            raise Refused("reset_failed")
        hashed = await self.passwords.hash(password)
        if not await self.logins.reset_password(visit.workspace, mark, hashed, visit.at, visit.request_id):
            raise Refused("reset_failed")
        await self.throttle.went_well(visit.workspace, take_back=tries)
        self.changed()

    # What mails have in common

    async def _asks_for_mail(self, visit: Visit, email: str) -> User | None:
        await self.throttle.enter(visit.workspace, [(MAIL, email), (MAIL_ADDRESS, visit.place)], visit.at)
        return None if text_error(email) else await self.users.by_email(visit.workspace, email)

    async def _give(self, user: User, purpose: Purpose, code: str, at: int, minutes: int) -> bool:
        ends_at = at + minutes * MINUTE_US
        return await self.logins.give_code(user, purpose, hash_of(code), key_of(user.email), at, ends_at)

    def _mail(self, message: Message, user: User, purpose: Purpose) -> None:
        facts: dict[str, Any] = {"workspace": user.workspace, "user": user.id, "purpose": purpose}
        self._post.soon(message, **facts)


def new_user(
    workspace: str, username: str, email: str, password: str, at: int, *, verified: bool = False
) -> User:  # fmt: skip
    """A user who signs in here."""
    return User(workspace, new_id("usr", at), username, email, "user", verified, password, at, at)


def form_error(username: str, email: str) -> str:
    """What is wrong with a name or an address, by its field."""
    return field_error("username", username_error(username)) or field_error("email", email_error(email))


def field_error(name: str, wrong: str | None) -> str:
    """The same as a sentence; empty where nothing is wrong."""
    return f"{name} {wrong}" if wrong else ""


def hash_of(code: str) -> bytes:
    """What is kept of a code."""
    return sha256(code.encode(errors="surrogatepass")).digest()
