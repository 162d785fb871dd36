"""Who comes to the login service: visitors, each from an address of his own, and users who are there already."""

import json
from itertools import count
from typing import Any

from argon2 import Parameters, Type
from argon2.low_level import ARGON2_VERSION

from farthing.core.people import Role, User
from farthing.identity.passwords import Passwords
from farthing.identity.sessions import new_id
from farthing.stores.access import Act
from farthing.stores.users import Users
from tests.api.serving import Answer, Server, wait_for
from tests.support import START_US

PASSWORD = "correct horse"
CHEAP = Parameters(Type.ID, ARGON2_VERSION, salt_len=16, hash_len=32, time_cost=2, memory_cost=1_024, parallelism=1)
"""How the servers of these tests hash: what it takes in earnest is measured elsewhere."""
HASH = Passwords(CHEAP).hash_now(PASSWORD)
OTHER_HOST = "other.example.com"
_numbers = count()


class Visitor:
    """Asks a server from an address of his own."""

    def __init__(self, server: Server, host: str = "") -> None:
        self.server = server
        number = next(_numbers)
        self.address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        self.host = host
        self.token = ""
        self.refresh_token = ""

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        fields = {"X-Forwarded-For": self.address}
        if self.host:
            fields["Host"] = self.host
        if self.token:
            fields["Authorization"] = f"Bearer {self.token}"
        raw = None
        if body is not None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            fields["Content-Type"] = "application/json"
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        fields = {name: value for name, value in (fields | given).items() if value}
        return self.server.send(method, path, raw, fields)

    def post(self, call: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", f"/api/auth/{call}", {} if body is None else body, **headers)

    def log_in(self, name: str, password: str = PASSWORD) -> "Visitor":
        answer = self.post("login", {"username": name, "password": password})
        assert answer.status == 200, answer.raw
        self.token, self.refresh_token = answer.json["accessToken"], answer.json["refreshToken"]
        return self


def told(answer: Answer) -> tuple[int, str]:
    """Status and sentence of an error."""
    assert set(answer.json) <= {"error", "details"}, answer.raw
    return answer.status, answer.json["error"]


def a_name() -> str:
    return f"user{next(_numbers)}"


def make_user(
    server: Server, role: Role = "user", *, name: str = "", workspace: str = "main", verified: bool = True,
    password: str = HASH, id: str = "",
) -> User:  # fmt: skip
    """A user who is there already; his password is PASSWORD."""
    name = name or a_name()
    id = id or new_id("usr", START_US)
    user = User(workspace, id, name, f"{name}@example.com", role, verified, password, START_US, START_US)
    return server.run(Users(server.ledger.database).create(user, Act("test", START_US), ""))


def signed_in(server: Server, role: Role = "user", *, workspace: str = "main") -> tuple[Visitor, User]:
    """A user who has just signed in."""
    user = make_user(server, role, workspace=workspace)
    host = "" if workspace == "main" else OTHER_HOST
    return Visitor(server, host).log_in(user.username), user


def mails(server: Server, to: str) -> list[dict[str, Any]]:
    """The mails that were sent there, as the log has them."""
    return [line for line in server.log_lines() if line["event"] == "mail" and line["to"] == to]


def mailed(server: Server, to: str, number: int = 1) -> str:
    """What the mail of that number holds: a code, or a token."""
    wait_for(lambda: len(mails(server, to)) >= number)
    found: str = mails(server, to)[number - 1]["text"].split("\n\n")[2].strip()
    return found


def audit(server: Server, subject: str, action: str) -> list[tuple[Any, ...]]:
    """Actor, request id and detail of the records about somebody, oldest first."""
    rows = server.sql(
        "select actor, request_id, detail from audit where subject = ? and action = ? order by position",
        subject,
        action,
    )
    return [(actor, request_id, json.loads(detail)) for actor, request_id, detail in rows]
