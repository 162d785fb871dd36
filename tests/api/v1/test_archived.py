"""What every face says of a time whose entries are archived: the first answers again, and refusals by name."""

from typing import Any

import pytest

from tests.api.accounting.people import somebody, trust
from tests.api.accounting.streams import begin, end
from tests.api.accounting.workspaces import rates
from tests.api.serving import Server
from tests.api.test_replays import without_time
from tests.api.v1.client import Client, told
from tests.retention.served import archive


def test_the_native_api_answers_as_at_the_first_time(server: Server, client: Client, account: str) -> None:
    client.grant(account, "1000")
    hold = client.hold(account)["id"]
    charge = client.charge(account, "7", metadata={"a": 1}, description="first")["id"]
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "one": ("charges", {"account": account, "amount": "3", "metadata": {"b": 2}, "description": "second"}),
        "two": ("holds", {"account": account, "amount": "4"}),
        "three": (f"holds/{hold}/settle", {"amount": "2"}),
        "four": (f"charges/{charge}/refund", {"amount": "1"}),
        "five": ("grants", {"account": account, "amount": "5", "source": {"order": "1"}}),
        "six": (f"accounts/{account}/adjust", {"amount": "2"}),
    }
    first = {key: client.post(path, body, key=key) for key, (path, body) in asked.items()}
    assert {answer.status for answer in first.values()} <= {200, 201}, [answer.raw for answer in first.values()]
    archive(server)
    for key, (path, body) in asked.items():
        again = client.post(path, body, key=key)
        assert (again.status, again.json) == (first[key].status, first[key].json), key
        assert again.headers["idempotent-replayed"] == "true"
    assert told(client.post(f"charges/{charge}/refund", {"amount": "1"})) == (409, "charge_archived")
    assert told(client.post(f"charges/{charge}/refund", {"amount": "2"}, key="four")) == (409, "key_conflict")
    other = charge[:-3] + ("fff" if charge[-3:] != "fff" else "eee")
    assert told(client.post(f"charges/{other}/refund", {"amount": "1"})) == (404, "charge_not_found")


def test_the_older_dialect_answers_as_at_the_first_time(server: Server, account: str) -> None:
    server.add(account, 100)
    work = {"account_id": account, "operation": "chat.message", "amount": 2.5}
    held = server.post("reserve", work).data["reservationId"]
    source = {"productId": "p", "orderId": "o", "transactionId": account}
    asked = {
        "deduct": {**work, "usage_event_id": "u1", "description": "a\nb", "metadata": {"x": 1}},
        "confirm-reservation": {"reservationId": held, "actualAmount": 1, "description": "c"},
        "add": {"account_id": account, "amount": 7, "source": source, "description": "s"},
    }
    first = {call: server.post(call, body, Idempotency_Key="same-" + call) for call, body in asked.items()}
    archive(server)
    for call, body in asked.items():
        assert without_time(server.post(call, body, Idempotency_Key="same-" + call)) == without_time(first[call])
    # The payment is known by itself as well.
    assert server.post("add", asked["add"], Idempotency_Key="another").data == first["add"].data


def test_a_streaming_session_ends_once(server: Server) -> None:
    trust(server)
    rates(server)
    user, boss = somebody(server), somebody(server, "supervisor")
    boss.allocate(user)
    begun, ended = begin(user), end(user)
    assert (begun.status, ended.status) == (201, 200)
    archive(server)
    assert (end(user).raw, begin(user).raw) == (ended.raw, begun.raw)


def test_lists_end_where_the_archive_begins(server: Server, client: Client, account: str) -> None:
    client.grant(account)
    client.charge(account)
    archive(server)
    assert client.server.send("GET", f"/v1/accounts/{account}/entries", None, {"X-API-Key": client.api_key}).json == {
        "data": [], "has_more": False, "next_cursor": None,
    }  # fmt: skip
    charge = client.charge(account)
    listed = client.server.send("GET", f"/v1/accounts/{account}/entries", None, {"X-API-Key": client.api_key}).json
    assert [(entry["id"], entry["number"]) for entry in listed["data"]] == [(charge["id"], 4)]


@pytest.mark.parametrize("path", ["reports/models", "reports/revenue", "reports/accounts", "usage/stats"])
def test_reports_of_archived_time_are_exact_by_quarters_and_say_so_where_they_can_not_be(
    server: Server, client: Client, path: str
) -> None:
    client.grant("reported", "100")
    used = {"provider": "openai", "model": "gpt", "dimensions": {"requests": 1}}
    client.made("charges", {"account": "reported", "amount": "2", "usage": used}, 201)
    at = server.clock.now_us()
    read = {"X-API-Key": client.api_key}
    day, minutes = _day(at), "{}T00:07:00Z"
    span = f"from={day}&to={day}"
    before = server.send("GET", f"/v1/{path}?{span}", None, read)
    assert before.status == 200, before.raw
    archive(server)
    assert server.send("GET", f"/v1/{path}?{span}", None, read).json == before.json
    odd = server.send("GET", f"/v1/{path}?from={minutes.format(day)}&to={day}", None, read)
    assert odd.status == 400, odd.raw
    assert "is archived: before that a range begins and ends with a quarter" in str(odd.json["errors"])


def _day(at: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(at / 1_000_000, UTC):%Y-%m-%d}"


def test_texts_are_erased_once_under_a_key(server: Server, client: Client, account: str) -> None:
    client.grant(account, description="private")
    client.charge(account, "1", metadata={"private": True})
    asked = {"reason": "asked for"}
    assert client.made(f"accounts/{account}/erase", {**asked, "dry_run": True})["entries"] == 2
    first = client.post(f"accounts/{account}/erase", asked, key="erase-1")
    assert first.json == {
        "account": account, "entries": 2, "answers": 0, "messages": 0, "open": 0, "acts": 0, "user": False,
        "archived": False,
    }  # fmt: skip
    again = client.post(f"accounts/{account}/erase", asked, key="erase-1")
    assert (again.raw, again.headers["idempotent-replayed"]) == (first.raw, "true")
    assert client.refused(f"accounts/{account}/erase", {}) == (400, "invalid")
    assert client.refused("accounts/nobody/erase", asked) == (404, "account_not_found")
    assert client.with_key("grant").refused(f"accounts/{account}/erase", asked) == (403, "scope_missing")
