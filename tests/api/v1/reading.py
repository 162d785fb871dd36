"""What the tests of reading and administration share: questions without a body, whole listings, and other methods."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from farthing.identity.keys import make_key, new_key_id
from tests.api.serving import ME, Answer, Server
from tests.api.v1.client import Client, new_key, raw


def ask(client: Client, path: str, **query: Any) -> Answer:
    """A reading; `from_` stands for the parameter `from`."""
    text = urlencode({name.rstrip("_"): value for name, value in query.items() if value is not None})
    return client.server.send("GET", f"/v1/{path}{'?' + text if text else ''}", None, {"X-API-Key": client.api_key})


def read(client: Client, path: str, **query: Any) -> Any:
    """A reading that must succeed."""
    answer = ask(client, path, **query)
    assert answer.status == 200, answer.raw
    assert answer.headers["content-type"] == "application/json"
    return answer.json


def whole(client: Client, path: str, between: Callable[[], object] = lambda: None, **query: Any) -> list[Any]:
    """All items of a listing, page by page."""
    items: list[Any] = []
    cursor = None
    for _ in range(1_000):
        page = read(client, path, cursor=cursor, **query)
        assert set(page) == {"data", "has_more", "next_cursor"}
        assert page["has_more"] == (page["next_cursor"] is not None)
        assert len(page["data"]) <= int(query.get("limit", 50))
        items += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items
        between()
    raise AssertionError("the listing never ended")


def patch(client: Client, path: str, body: Any, *, key: str | None = "", **headers: str) -> Answer:
    """A change under a new key, unless it is given; None sends none."""
    fields = {"X-API-Key": client.api_key, "Content-Type": "application/json"}
    if key is not None:
        fields["Idempotency-Key"] = key or new_key()
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    return client.server.send("PATCH", f"/v1/{path}", raw(body), fields)


def without_request(answer: Answer) -> dict[str, Any]:
    """A problem without what differs from request to request."""
    return {name: value for name, value in answer.json.items() if name not in ("instance", "request_id")}


def operators_key(server: Server) -> str:
    """The text of a new operator's key."""
    key = make_key("oper")
    server.run(server.ledger.access.create_operator(new_key_id(server.clock.now_us()), key, "ops", ME))
    return key.text
