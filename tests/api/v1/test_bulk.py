"""Bulk charges: each item has its own result, order and keys hold, and what is too much is refused whole."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from farthing import serving
from farthing.api.asgi import App
from farthing.api.v1.bulk import MAX_BYTES, MAX_ITEMS, SLICE
from farthing.core.commands import Command, GiveGrant
from farthing.stores.contract import Busy, StoreError, Unknown
from tests.api.serving import Answer, Server
from tests.api.v1.client import Client, new_key, places, told

BOTH_DATABASES = True


def item(account: str, amount: Any = "1", **more: Any) -> dict[str, Any]:
    return {"key": new_key(), "account": account, "amount": amount, **more}


def ask(client: Client, items: list[Any], **more: Any) -> list[dict[str, Any]]:
    """The results, one for each item, in order."""
    answer = client.post("charges/bulk", {"items": items, **more}, key=None)
    assert answer.status == 200, answer.raw
    results: list[dict[str, Any]] = answer.json["results"]
    assert [r["index"] for r in results] == list(range(len(items)))
    return results


def test_each_item_is_charged_and_told_as_a_single_charge_would_be(client: Client, rich: str):
    first = item(rich, "7.5", operation="chat.message", model="gpt-4o", metadata={"a": 1}, description="one")
    results = ask(client, [first, item(rich, "2")])
    assert [(r["status"], r["replayed"]) for r in results] == [("charged", False)] * 2
    body = {name: value for name, value in first.items() if name != "key"}
    single = client.post("charges", body, key=first["key"])
    assert single.headers["idempotent-replayed"] == "true"
    assert single.json == results[0]["charge"]
    assert results[1]["charge"]["after"]["balance"] == "90.5"


def test_items_fail_by_themselves(client: Client, rich: str, account: str):
    nobody = account + "-nobody"
    results = ask(
        client,
        [item(rich, "60"), item(rich, "60"), item(nobody), item(rich, "0"), "text", item(rich, "40"), {"key": "x"}],
    )
    assert [r["status"] for r in results] == [
        "charged",
        "refused",
        "refused",
        "refused",
        "refused",
        "charged",
        "refused",
    ]
    codes = [(r["problem"]["status"], r["problem"]["code"]) for r in results if r["status"] == "refused"]
    assert codes == [
        (402, "insufficient_credits"), (404, "account_not_found"), (400, "invalid"), (400, "invalid"), (400, "invalid"),
    ]  # fmt: skip
    assert results[1]["problem"]["available"] == "40"
    assert [e["pointer"] for e in results[3]["problem"]["errors"]] == ["/items/3/amount"]
    assert [e["pointer"] for e in results[4]["problem"]["errors"]] == ["/items/4"]
    assert [e["pointer"] for e in results[6]["problem"]["errors"]] == ["/items/6/account", "/items/6/amount"]
    assert [e.amount for e in client.server.entries(rich)[:2]] == [-40_000_000, -60_000_000]


@pytest.mark.parametrize("gap", [0, SLICE])
def test_one_key_twice_is_a_replay_or_a_conflict_of_the_first(client: Client, rich: str, gap: int):
    first = item(rich, "5")
    between = [item(rich, "0.01") for _ in range(gap)]
    results = ask(client, [first, *between, first, {**first, "amount": "6"}])
    again, other = results[-2:]
    assert (again["status"], again["replayed"]) == ("charged", True)
    assert again["charge"] == results[0]["charge"]
    assert (other["status"], other["problem"]["code"]) == ("refused", "key_conflict")
    assert other["problem"]["differs"] == ["amount"]


def test_the_whole_bulk_can_be_repeated(client: Client, rich: str):
    items = [item(rich, "1") for _ in range(5)]
    first = ask(client, items)
    before = client.server.count()
    again = ask(client, items)
    assert [r["charge"] for r in again] == [r["charge"] for r in first]
    assert all(r["replayed"] for r in again)
    assert client.server.count() == before


def test_items_of_one_account_keep_their_order(client: Client, account: str):
    names = [f"{account}-{n}" for n in range(3)]
    for name in names:
        client.grant(name, "100000")
    items = [item(names[n % 3], str(n + 1)) for n in range(350)]
    ask(client, items)
    for position, name in enumerate(names):
        charged = [-e.amount // 1_000_000 for e in reversed(client.server.entries(name)) if e.kind == "charge"]
        assert charged == [n + 1 for n in range(350) if n % 3 == position]


def test_a_dry_run_charges_nothing(client: Client, rich: str):
    before = client.server.count()
    answer = client.post("charges/bulk", {"items": [item(rich, "60"), item(rich, "200")], "dry_run": True}, key=None)
    assert answer.json["dry_run"] is True
    assert [r["status"] for r in answer.json["results"]] == ["charged", "refused"]
    assert client.server.count() == before


def test_an_empty_bulk_has_no_results(client: Client):
    assert ask(client, []) == []


# Too much, or not to be read


def test_a_thousand_items_are_taken_and_one_more_is_not(client: Client, account: str):
    client.grant(account, "2000")
    items = [item(account) for _ in range(MAX_ITEMS + 1)]
    before = client.server.count()
    answer = client.post("charges/bulk", {"items": items}, key=None)
    assert told(answer) == (413, "too_large")
    assert client.server.count() == before
    assert {r["status"] for r in ask(client, items[:-1])} == {"charged"}
    assert client.server.count() == before + MAX_ITEMS


def test_a_body_may_have_2_mb_and_not_a_byte_more(client: Client, rich: str):
    items = [item(rich, metadata={"x": "y" * 9_000}) for _ in range(200)]
    body = json.dumps({"items": items}).encode()
    assert 1_000_000 < len(body) < MAX_BYTES
    assert client.post("charges/bulk", body.ljust(MAX_BYTES), key=None).status == 200
    before = client.server.count()
    answer = client.post("charges/bulk", body.ljust(MAX_BYTES + 1), key=None)
    assert told(answer) == (413, "too_large")
    assert "2,000,000 bytes" in answer.json["detail"]
    assert client.server.count() == before


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/items"]),
        ({"items": None}, ["/items"]),
        ({"items": {}}, ["/items"]),
        ({"items": "x"}, ["/items"]),
        ({"items": [], "dry_run": 1}, ["/dry_run"]),
        ({"items": 5, "charges": []}, ["/charges", "/items"]),
    ],
)
def test_an_envelope_that_can_not_be_read_is_refused(client: Client, body: Any, pointers: list[str]):
    answer = client.post("charges/bulk", body, key=None)
    assert told(answer) == (400, "invalid")
    assert sorted(places(answer)) == sorted(pointers)


@pytest.mark.parametrize(
    "text",
    [
        b'{"key": "a", "account": "\xff", "amount": "1"}',
        b'{"key": "a", "account": "x", "amount": "1", "\xff": 1}',
        b'{"key": "a", "account": "x", "amount": "1", "metadata": {"x": "\xff"}}',
        b'{"key": "a", "account": "x", "amount": "1", "color": 1, "shortfall": "\xff"}',
    ],
)
def test_an_item_that_is_no_utf8_fails_by_itself(client: Client, rich: str, text: bytes):
    good = json.dumps(item(rich)).encode()
    answer = client.post("charges/bulk", b'{"items": [' + text + b", " + good + b"]}", key=None)
    bad, charged = answer.json["results"]
    assert (bad["status"], bad["problem"]["code"], charged["status"]) == ("refused", "malformed", "charged")


@pytest.mark.parametrize("body", ["{", "[]", '{"items": [1,]}', '"x"', '{"items": [}'])
def test_an_envelope_that_is_no_json_is_malformed(client: Client, body: str):
    assert client.refused("charges/bulk", body, key=None) == (400, "malformed")


@pytest.mark.parametrize("field", ["dry_run", "color"])
def test_an_item_has_no_other_fields_than_a_charge(client: Client, rich: str, field: str):
    (result,) = ask(client, [item(rich, **{field: True})])
    assert [e["pointer"] for e in result["problem"]["errors"]] == [f"/items/0/{field}"]


# The rate limit


def test_the_rate_limit_counts_items(tmp_path):
    with Server(tmp_path, rate_limit=100) as server:
        client = Client(server, server.new_key("admin"))
        client.grant("alice", "1000")
        assert {r["status"] for r in ask(client, [item("alice") for _ in range(90)])} == {"charged"}
        before = server.count()
        answer = client.post("charges/bulk", {"items": [item("alice") for _ in range(20)]}, key=None)
        assert told(answer) == (429, "rate_limit")
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.raw.count(b"RateLimit") == 0
        assert server.count() == before
        assert len(ask(client, [item("alice") for _ in range(9)])) == 9


def test_a_bulk_larger_than_the_quota_passes_when_nothing_else_was_asked(tmp_path):
    with Server(tmp_path, rate_limit=100) as server:
        server.new_key()
        client, granter = Client(server, server.new_key("charge")), Client(server, server.new_key("grant"))
        granter.grant("alice", "1000")
        assert len(ask(client, [item("alice") for _ in range(150)])) == 150
        assert client.refused("charges", {"account": "alice", "amount": "1"}) == (429, "rate_limit")


# The machine


class Flaky:
    """An engine that fails some commands, before they are in the queue or after."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.at_the_door: dict[str, StoreError] = {}
        self.later: dict[str, StoreError] = {}
        self.largest = 0

    @property
    def runs_here(self) -> bool:
        found: bool = self.engine.runs_here
        return found

    def submit(self, command: Command, answer: Any, *, dry: bool = False) -> Any:
        key = (command.key or "").removeprefix("v1:")
        if error := self.at_the_door.get(key):
            raise error
        if later := self.later.get(key):
            answer(later)
            return None
        ticket = self.engine.submit(command, answer, dry=dry)
        self.largest = max(self.largest, self.engine.depth)
        return ticket


@pytest.fixture(scope="module", params=[True, False], ids=["inline", "thread"])
def flaky(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Flaky]]:
    made: list[Flaky] = []

    def build(settings: Any, ledger: Any, *more: Any) -> App:
        real = ledger.engine
        made.append(Flaky(real))
        ledger.engine = made[0]
        app = serving.build_app(settings, ledger, *more)
        ledger.engine = real
        return app

    with Server(tmp_path_factory.mktemp("flaky"), build=build, inline=request.param) as server:
        yield Client(server, server.new_key("admin")), made[0]


def test_an_item_that_met_a_broken_machine_says_whether_anything_was_done(flaky: tuple[Client, Flaky], account: str):
    client, engine = flaky
    fund(client.server, account)
    items = [item(account) for _ in range(5)]
    engine.at_the_door = {items[1]["key"]: Busy("x")}
    engine.later = {items[2]["key"]: Busy("/secret"), items[3]["key"]: Unknown("/secret")}
    results = ask(client, items)
    assert [r["status"] for r in results] == ["charged", "failed", "failed", "unknown", "charged"]
    codes = [r["problem"]["code"] for r in results if "problem" in r]
    assert codes == ["busy", "busy", "unknown_outcome"]
    assert "secret" not in json.dumps(results)


def test_items_go_to_the_queue_in_slices(flaky: tuple[Client, Flaky], account: str):
    client, engine = flaky
    fund(client.server, account)
    engine.at_the_door, engine.later, engine.largest = {}, {}, 0
    assert {r["status"] for r in ask(client, [item(account, "0.01") for _ in range(3 * SLICE)])} == {"charged"}
    assert 0 < engine.largest <= SLICE


def fund(server: Server, account: str) -> None:
    """Credits for an account, past the engine that fails."""
    server.do(GiveGrant(workspace="main", account=account, amount=100_000_000))


def test_bulks_side_by_side_charge_each_key_once(client: Client, account: str):
    client.grant(account, "1000")
    items = [item(account) for _ in range(150)]
    answers: list[Answer] = []

    def send() -> None:
        answers.append(client.post("charges/bulk", {"items": items}, key=None))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 4
    assert {r["status"] for answer in answers for r in answer.json["results"]} == {"charged"}
    assert sum(not r["replayed"] for answer in answers for r in answer.json["results"]) == 150
    assert client.server.balance(account) == 850
