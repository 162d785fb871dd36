"""The world that schemathesis finds behind a token of the accounting dialect: an admin, who may make every call, a user
whom the requests are about, and streaming sessions that are open."""

import json
from collections.abc import Collection, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from farthing.api.endpoint import Endpoint
from tests.api.accounting.people import Person, somebody, trust
from tests.api.accounting.streams import begin
from tests.api.serving import Server
from tests.api.v1.pricing import put

CARD = Path(__file__).parents[3] / "examples" / "cards" / "accounting.json"
MUCH, OFTEN = 900_000_000, 10
_numbers = count()

BEYOND = {
    "Insufficient credits": "the user has too little",
    "negative balance": "the user has too little",
    "it would be zero": "a number between zero and the smallest unit",
    "Invalid date format": "which months have a 31st, and which years a 29th of February",
    "cursor can't be used": "a cursor is signed: nobody makes one up",
    # What the rate card says.
    "the usage comes to": "what tokens cost is up to the rate card",
    "come to more credits than can be held": "what tokens cost is up to the rate card",
    # Several fields.
    "Valid modelId and tokens required": "one of several fields, null being none",
    # What no pattern of JSON Schema can say.
    "must have at most 255 bytes": "JSON Schema counts characters",
    "must have at most 200 bytes": "JSON Schema counts characters",
}
"""Why a request that the document allows may be refused: what the refusal's text has, and the reason."""


class AccountingWorld:
    """Puts a real user, a new key, and a session that is open in the place of made-up ones."""

    document = "/openapi/accounting.json"
    beyond: Collection[str] = BEYOND

    def __init__(self, server: Server, endpoint: Endpoint) -> None:
        self._operation = endpoint.operation_id
        self._named = {p.name for p in endpoint.parameters if p.place == "path"}
        self._calls = 0
        trust(server)
        put(server, {"rules": json.loads(CARD.read_text())["rules"]}, "main")
        self._admin = somebody(server, "admin")
        self._user = Person(server, "user_42", email="anna@example.com")  # of the document's examples
        assert self._user.total == 0
        for _ in range(OFTEN):
            self._admin.allocate(self._user, MUCH)
            self._admin.allocate(self._admin, MUCH)
        self.headers: Mapping[str, str] = {"Authorization": f"Bearer {self._admin.token}"}

    def make_real(self, case: Any) -> None:
        """In three of four requests that were made up, and in the document's examples."""
        self._calls += 1
        if self._calls % 4 == 0 and case.meta.phase.name.value == "fuzzing":
            return
        valid = {where.value for where, part in case.meta.components.items() if not part.mode.is_negative}
        if "path" in valid and self._named:
            case.path_parameters = dict.fromkeys(self._named, self._user.id)
        if "header" in valid and "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = self._new("key")
        if "body" in valid and isinstance(case.body, dict):
            case.body = {**case.body, **self._true_of(case.body)}

    def _true_of(self, body: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if "userId" in body:
            found["userId"] = self._user.id
        if "email" in body:
            found["email"] = self._user.email
        if body.get("idempotencyKey"):
            found["idempotencyKey"] = self._new("key")
        if "sessionId" in body:
            found["sessionId"] = self._session()
        return found

    def _session(self) -> str:
        """The name of one that is open; of one that is to begin."""
        name = self._new("session")
        if self._operation != "initializeSession":
            assert begin(self._admin, name).status == 201
        return name

    def _new(self, what: str) -> str:
        return f"{what}-{next(_numbers)}"
