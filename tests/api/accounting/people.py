"""People for the tests of the accounting dialect: each has a token of an auth service that the workspace trusts."""

import json
from itertools import count
from typing import Any

import jwt
from msgspec import Struct

from farthing.core.people import Issuer, Role
from farthing.stores.issuers import Issuers
from tests.api.serving import ME, Answer, Server
from tests.support import START_US

SECRETS = {"main": "the secret of the workspace main..", "other": "the secret of the workspace other."}
_numbers = count()


def trust(server: Server) -> None:
    """Have each workspace take the tokens that are signed with its secret."""
    for workspace, secret in SECRETS.items():
        issuer = Issuer(
            id=f"iss_{workspace}", workspace=workspace, name="auth", algorithm="HS256", secret=secret
        )  # fmt: skip
        server.run(Issuers(server.ledger.database).add(issuer, ME))


class Person(Struct):
    """Speaks to a server with a token of his own."""

    server: Server
    id: str
    role: str = "user"
    username: str = ""
    email: str = ""
    workspace: str = "main"

    @property
    def token(self) -> str:
        now = START_US // 1_000_000
        claims = {
            "sub": self.id,
            "username": self.username or f"name-of-{self.id}",
            "email": self.email or f"{self.id}@example.com",
            "role": self.role,
            "type": "access",
            "iat": now,
            "exp": now + 10 * 365 * 86_400,
        }
        return jwt.encode(claims, SECRETS[self.workspace], algorithm="HS256")

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """A request; `body` may be text that is no JSON."""
        fields = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return self.server.send(method, f"/api/{path}", raw, fields)

    def get(self, path: str) -> Any:
        """A reading that must succeed; what it answers."""
        answer = self.send("GET", path)
        assert answer.status == 200, answer.raw
        return answer.json

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.send("POST", path, body, **headers)

    def done(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """A write that must succeed; what it answers."""
        answer = self.send(method, path, body, **headers)
        assert answer.status in (200, 201), answer.raw
        return answer.json

    def allocate(self, to: "Person | str", credits: Any = 100, **more: Any) -> Any:
        user = to if isinstance(to, str) else to.id
        return self.done("POST", "credits/allocate", {"userId": user, "credits": credits, **more})

    @property
    def total(self) -> Any:
        return self.get("credits/total-balance")["totalCredits"]


def told(answer: Answer) -> tuple[int, str]:
    """Status and sentence of an error; its form is checked on the way."""
    assert answer.headers["content-type"] == "application/json", answer.raw
    assert set(answer.json) == {"message"}, answer.raw
    return answer.status, answer.message


def somebody(server: Server, role: Role = "user", workspace: str = "main", *, seen: bool = True) -> Person:
    """A person whom no other test knows; the server knows him once it has seen his token."""
    person = Person(server, f"user-{next(_numbers)}", role, workspace=workspace)
    if seen:
        assert person.total == 0
    return person
