"""Sessions: the tokens of the login service of this ledger. Each workspace has a secret of its own, made of one that
all processes share, so that the token of one workspace verifies in no other.

An access token lives for 15 minutes, and only as long as its session does; a refresh token for 7 days, and is good for
one turn of its session.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import jwt
from msgspec import Struct

from farthing.core.commands import text_error
from farthing.core.ids import NONCE_BITS, make_id
from farthing.core.people import Issuer, Role, User

SECRET_NAME: Final = "login_secret"  # noqa: S105 - its name
ALGORITHM: Final = "HS256"
SECOND_US: Final = 1_000_000
ACCESS_SECONDS: Final = 15 * 60
REFRESH_SECONDS: Final = 7 * 24 * 3_600

FindSecret = Callable[[str, str], Awaitable[str]]
"""Given a name and a new secret, the one that the ledger keeps under this name."""


class Refresh(Struct, frozen=True):
    """What a refresh token says: whose session it is of, and which turn."""

    session: str
    user: str
    turn: int


class Sessions:
    """Makes tokens, and reads those that refresh."""

    def __init__(self, find_secret: FindSecret) -> None:
        self._find_secret = find_secret
        self._secret: bytes | None = None

    async def issuers(self, workspaces: Iterable[str]) -> list[Issuer]:
        """The login service of these workspaces as an issuer of tokens, like any other."""
        return [
            Issuer(
                id=f"own:{workspace}", workspace=workspace, name="login", algorithm=ALGORITHM,
                issuer=issuer_of(workspace), secret=await self._secret_of(workspace), own=True,
            )
            for workspace in workspaces
        ]  # fmt: skip

    async def access(self, user: User, session: str, at: int) -> str:
        """A token to show at each call."""
        person = {"username": user.username, "email": user.email, "role": write_role(user.role)}
        return await self._signed(user, session, at, ACCESS_SECONDS, {"type": "access", **person})

    async def refresh(self, user: User, session: str, turn: int, at: int) -> str:
        """A token for the next access token."""
        return await self._signed(user, session, at, REFRESH_SECONDS, {"type": "refresh", "turn": turn})

    async def _signed(self, user: User, session: str, at: int, seconds: int, more: dict[str, Any]) -> str:
        now = at // SECOND_US
        claims: dict[str, Any] = {
            "iss": issuer_of(user.workspace),
            "sub": user.id,
            "sid": session,
            "jti": secrets.token_hex(8),
        }
        claims |= {"iat": now, "exp": now + seconds, **more}
        return jwt.encode(claims, await self._secret_of(user.workspace), algorithm=ALGORITHM)

    async def read_refresh(self, text: str, workspace: str, at: int) -> Refresh | None:
        """What a refresh token of that workspace says; None where it is none, or not any more."""
        # The time is judged by the ledger's clock, not by the library's.
        options: Any = {"verify_exp": False, "verify_iat": False, "require": ["exp", "sub", "sid"]}
        try:
            claims = jwt.decode(
                text, await self._secret_of(workspace), algorithms=[ALGORITHM], issuer=issuer_of(workspace),
                options=options,
            )  # fmt: skip
        except jwt.InvalidTokenError:
            return None
        if claims.get("type") != "refresh" or at >= claims["exp"] * SECOND_US:
            return None
        return Refresh(claims["sid"], claims["sub"], claims["turn"])

    async def _secret_of(self, workspace: str) -> str:
        if self._secret is None:
            self._secret = bytes.fromhex(await self._find_secret(SECRET_NAME, secrets.token_hex(32)))
        return hmac.digest(self._secret, workspace.encode(), "sha256").hex()


def issuer_of(workspace: str) -> str:
    """What `iss` says in the tokens of a workspace."""
    return f"farthing:{workspace}"


def write_role(role: Role) -> str:
    """A role as the login service calls it."""
    return "enduser" if role == "user" else role


def new_id(kind: str, at: int) -> str:
    """An id of a user or a session: in the order of time, and nobody's to guess."""
    return make_id(kind, at, secrets.randbits(28), secrets.randbits(NONCE_BITS), 0)


def may_be_id(text: str) -> bool:
    """Whether it is worth looking up."""
    return not text_error(text)
