"""A small client of the native API, for its tests: a key for each act, and answers that are checked on the way."""

import json
from itertools import count
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from tests.api.serving import Answer, Server

_numbers = count()
MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id"}


def new_key() -> str:
    """A key for a new act."""
    return f"key-{next(_numbers)}"


class Client(Struct):
    """Speaks to a server with one credential."""

    server: Server
    api_key: str

    def post(self, path: str, body: Any = None, *, key: str | None = "", **headers: str) -> Answer:
        """A write under a new key, unless it is given; None sends none. `body` may be text that is no JSON."""
        fields = {"X-API-Key": self.api_key, "Content-Type": "application/json"}
        if key is not None:
            fields["Idempotency-Key"] = key or new_key()
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.server.send("POST", f"/v1/{path}", raw(body), fields)

    def made(self, path: str, body: Any = None, status: int = 200, **more: Any) -> dict[str, Any]:
        """A write that must succeed; what it answers."""
        answer = self.post(path, body, **more)
        assert answer.status == status, answer.raw
        assert answer.headers["content-type"] == "application/json"
        return answer.json

    def grant(self, account: str, amount: str = "100", **more: Any) -> dict[str, Any]:
        return self.made("grants", {"account": account, "amount": amount, **more}, 201)

    def charge(self, account: str, amount: str = "5", *, key: str = "", **more: Any) -> dict[str, Any]:
        return self.made("charges", {"account": account, "amount": amount, **more}, 201, key=key)

    def hold(self, account: str, amount: str = "20", **more: Any) -> dict[str, Any]:
        return self.made("holds", {"account": account, "amount": amount, **more}, 201)

    def refused(self, path: str, body: Any = None, **more: Any) -> tuple[int, str]:
        """A write that must fail: status and code of its problem."""
        return told(self.post(path, body, **more))

    def with_key(self, scopes: str, workspace: str = "main") -> "Client":
        """The same server, with another key."""
        return Client(self.server, self.server.new_key(scopes, workspace))


def raw(body: Any) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def told(answer: Answer) -> tuple[int, str]:
    """Status and code of a problem; its form is checked on the way."""
    body = answer.json
    assert answer.headers["content-type"] == "application/problem+json", answer.raw
    assert set(body) >= MEMBERS, body
    assert body["status"] == answer.status
    assert body["type"] == f"/docs#problem-{body['code']}"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["detail"].endswith(".")
    assert "{" not in body["detail"]
    return answer.status, body["code"]


def places(answer: Answer) -> list[str]:
    """Where the errors of a problem are, in order."""
    found = []
    for error in answer.json["errors"]:
        assert error["detail"]
        (place,) = (error[name] for name in ("pointer", "parameter", "header") if name in error)
        found.append(place)
    return found


def encoded(account: str) -> str:
    """An account's id in a path."""
    return quote(account, safe="")
