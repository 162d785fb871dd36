"""The world that schemathesis finds at the login service: each request comes from an address of its own, with a code, a
token or a password that is good in three of four."""

import secrets
from collections.abc import Collection, Mapping
from itertools import count
from typing import Any

from farthing.api.endpoint import Endpoint
from farthing.identity.login import hash_of
from farthing.identity.permissions import LOGIN as ROLES
from farthing.identity.sessions import Sessions, new_id
from farthing.stores.logins import Logins, Purpose
from tests.api.login.visitors import PASSWORD, a_name, make_user
from tests.api.serving import Server
from tests.support import START_US

FAR = START_US * 2
ENDING = {"logout", "logoutEverywhere", "changePassword", "changePasswordHere", "changeProfile"}
_numbers = count()

BEYOND = {
    # A state or a right that the request by itself doesn't show.
    "Email verification failed": "a code is mailed: nobody makes one up",
    "Invalid or expired reset token": "a token is mailed: nobody makes one up",
    "Current password is incorrect": "what the password is",
    "already exists": "who is there",
    "already taken": "who is there",
    "cursor: ": "a cursor is signed: nobody makes one up",
    "Creating admin users is restricted": "an admin is made on the command line",
    "Cannot delete": "who is an admin, and who asks",
    # Fields that go together.
    "not both": "sub or password",
    "Refresh token is required": "it may come as a cookie",
    "username is missing": "it goes with password",
    "password is missing": "it is needed without sub",
    "role is missing": "it goes with sub",
    "refreshToken is missing": "in the body, or in a cookie",
    # What no pattern of JSON Schema can say.
    "sername must": "Unicode says what a letter is",
    "mail must": "what is an address to which mail can be sent",
    "bytes": "JSON Schema counts characters",
    "control characters": "Unicode says what is printable",
}
"""Why a request that the document allows may be refused: what the refusal's text has, and the reason."""


class LoginWorld:
    """Puts real things in the place of made-up ones."""

    document = "/openapi/accounting.json"
    beyond: Collection[str] = BEYOND
    headers: Mapping[str, str] = {}  # a session may end with a request

    def __init__(self, server: Server, endpoint: Endpoint) -> None:
        self._server = server
        self._operation = endpoint.operation_id
        self._logins, self._sessions = Logins(server.ledger.database), Sessions(server.ledger.access.secret)
        self._calls = 0
        self._token = ""

    def make_real(self, case: Any) -> None:
        """Give each request an address and a token, and three in four something that is there."""
        number = next(_numbers)
        case.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        if self._operation in ROLES:
            case.headers["Authorization"] = f"Bearer {self._bearer()}"
        self._calls += 1
        if self._calls % 4:
            self._make_real(case)

    def _make_real(self, case: Any) -> None:
        valid = {where.value for where, part in case.meta.components.items() if not part.mode.is_negative}
        if "path" in valid and case.path_parameters:
            user = make_user(self._server)
            case.path_parameters = {name: getattr(user, name) for name in case.path_parameters}
        if "query" in valid and case.query:
            case.query = {name: value for name, value in case.query.items() if name != "cursor"}
        if "body" in valid and isinstance(case.body, dict):
            case.body = {**case.body, **self._true()}

    def _true(self) -> dict[str, Any]:
        name = a_name()
        new = {"username": name, "email": f"{name}@example.com"}
        match self._operation:
            case "signUp" | "createUser":
                return {**new, "role": "enduser", "sub": None, "password": PASSWORD}
            case "verifyEmail":
                return {"token": self._code("verify")}
            case "resetPassword":
                return {"token": self._code("reset")}
            case "login":
                return {"username": make_user(self._server).username, "password": PASSWORD}
            case "refreshTokens":
                return {"refreshToken": self._token_of(make_user(self._server), "refresh")}
            case "resendVerification" | "forgotPassword":
                return {"email": make_user(self._server, verified=self._operation == "forgotPassword").email}
            case "changePassword" | "changePasswordHere":
                return {"currentPassword": PASSWORD}
            case "changeProfile":
                return new
            case _:
                return {}

    def _bearer(self) -> str:
        """The token of an admin; a new one where each call ends what it comes with."""
        if not self._token or self._operation in ENDING:
            self._token = self._token_of(make_user(self._server, "admin"))
        return self._token

    def _token_of(self, user: Any, kind: str = "access") -> str:
        """A token of a session that has just begun."""
        session = new_id("ses", START_US)
        self._server.run(self._logins.open(user.workspace, user.id, session, START_US, FAR))
        if kind == "refresh":
            return self._server.run(self._sessions.refresh(user, session, 1, START_US))
        return self._server.run(self._sessions.access(user, session, START_US))

    def _code(self, purpose: Purpose) -> str:
        user, code = make_user(self._server, verified=False), secrets.token_hex(4).upper()
        given = self._logins.give_code(user, purpose, hash_of(code), user.email, START_US, FAR)
        assert self._server.run(given)
        return code
