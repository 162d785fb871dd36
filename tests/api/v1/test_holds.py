"""Holds of the native API: placed, extended, settled, released, and what time does to them."""

from collections.abc import Iterator
from typing import Any

import pytest

from farthing.clock import FakeClock
from farthing.core.commands import SetAccount
from farthing.core.records import WorkspaceSettings
from tests.api.serving import Server
from tests.api.v1.client import Client, new_key, places, told
from tests.support import START_US

BOTH_DATABASES = True

HOUR = 3_600


@pytest.fixture
def timed(tmp_path) -> Iterator[tuple[Client, FakeClock]]:
    """A ledger whose clock the test moves; alice has 100 credits."""
    clock = FakeClock(START_US)
    settings = WorkspaceSettings(hold_max_minutes=120, max_live_holds=2)
    with Server(tmp_path, clock=clock, workspace=settings) as server:
        client = Client(server, server.new_key("admin"))
        client.grant("alice")
        yield client, clock


def pass_time(clock: FakeClock, seconds: int) -> None:
    clock.advance(seconds * 1_000_000)


def test_a_hold_sets_credits_aside_and_says_until_when(client: Client, rich: str):
    body = {
        "account": rich, "amount": "20", "operation": "image.make", "service": "images", "model": "sd-3",
        "product": "pro", "expires_in": 1800, "on_expiry": "metered", "description": "An image", "metadata": {"n": 1},
    }  # fmt: skip
    answer = client.post("holds", body)
    made = answer.json
    (entry, *_) = client.server.entries(rich)
    assert (answer.status, answer.headers["location"]) == (201, f"/v1/holds/{made['id']}")
    assert made == {
        "id": "hold" + entry.id[3:],
        "amount": "20",
        "operation": "image.make",
        "service": "images",
        "model": "sd-3",
        "product": "pro",
        "state": "live",
        "on_expiry": "metered",
        "expires_at": "2026-01-01T00:30:00.000000Z",
        "usage": None,
        "price": None,
        "account": rich,
        "entry": entry.id,
        "after": {"balance": "100", "scoped": "0", "held": "20", "debt": "0"},
        "description": "An image",
        "metadata": {"n": 1},
        "created_at": "2026-01-01T00:00:00.000000Z",
    }


def test_a_hold_lives_an_hour_unless_it_says_otherwise(client: Client, rich: str):
    assert client.hold(rich)["expires_at"] == "2026-01-01T01:00:00.000000Z"
    assert client.hold(rich, expires_in=None)["on_expiry"] == "release"


def test_a_hold_is_placed_once(client: Client, rich: str):
    key, body = new_key(), {"account": rich, "amount": "20"}
    first = client.post("holds", body, key=key)
    again = client.post("holds", {**body, "expires_in": 60}, key=key)
    assert (again.status, again.raw, again.headers["idempotent-replayed"]) == (201, first.raw, "true")


def test_what_is_set_aside_can_not_be_charged(client: Client, rich: str):
    client.hold(rich, "60")
    answer = client.post("charges", {"account": rich, "amount": "50"})
    assert told(answer) == (402, "insufficient_credits")
    assert answer.json["available"] == "40"
    assert client.refused("holds", {"account": rich, "amount": "50"}) == (402, "insufficient_credits")


# Settle


@pytest.mark.parametrize(
    ("amount", "taken", "released", "balance"), [(None, "20", "0", "80"), ("0", "0", "20", "100"),
    ("12.5", "12.5", "7.5", "87.5"), ("20", "20", "0", "80"), ("30", "30", "0", "70")],
)  # fmt: skip
def test_a_settle_takes_less_as_much_or_more(
    client: Client, rich: str, amount: str | None, taken: str, released: str, balance: str
):
    hold = client.hold(rich, operation="image.make")
    made = client.made(f"holds/{hold['id']}/settle", {} if amount is None else {"amount": amount})
    assert made["id"] == hold["id"]
    assert made["charge"] == made["entry"]
    assert (made["amount"], made["released"], made["state"]) == (taken, released, "settled")
    assert made["after"] == {"balance": balance, "scoped": "0", "held": "0", "debt": "0"}
    assert made["operation"] == "image.make"
    assert sum(float(part["amount"]) for part in made["grants"]) == float(taken)


def test_a_hold_is_settled_in_parts(client: Client, rich: str):
    hold = client.hold(rich)
    first = client.made(f"holds/{hold['id']}/settle", {"amount": "5", "last": False})
    assert (first["state"], first["released"], first["after"]["held"]) == ("live", "0", "15")
    last = client.made(f"holds/{hold['id']}/settle", {"amount": "4"})
    assert (last["state"], last["amount"], last["released"], last["after"]["balance"]) == ("settled", "4", "11", "91")


def test_more_than_there_is_goes_by_shortfall(client: Client, rich: str):
    def settle(**body: Any) -> Any:
        return client.post(f"holds/{client.hold(rich, '10')['id']}/settle", {"amount": "150", **body})

    refused = settle()
    assert told(refused) == (402, "insufficient_credits")
    assert (refused.json["required"], refused.json["available"]) == ("150", "100")
    assert settle(shortfall="take", amount="120").json["unpaid"] == "30"
    client.grant(rich)
    assert settle(shortfall="debt").json["debt"] == "50"


def test_a_settle_is_done_once(client: Client, rich: str):
    hold, key = client.hold(rich), new_key()
    first = client.post(f"holds/{hold['id']}/settle", {"amount": "5"}, key=key)
    again = client.post(f"holds/{hold['id']}/settle", {"amount": "5"}, key=key)
    assert (again.status, again.raw, again.headers["idempotent-replayed"]) == (200, first.raw, "true")
    conflict = client.post(f"holds/{hold['id']}/settle", {"amount": "6"}, key=key)
    assert told(conflict) == (409, "key_conflict")
    ended = client.post(f"holds/{hold['id']}/settle", {"amount": "5"})
    assert told(ended) == (409, "hold_ended")
    assert ended.json["state"] == "settled"


# Extend and release


def test_a_hold_is_extended_in_one_step(client: Client, rich: str):
    hold = client.hold(rich)
    body = {"expires_at": "2026-01-01T02:00:00+01:00", "raise_by": "5", "metered": "12.5"}
    made = client.made(f"holds/{hold['id']}/extend", {**body, "expires_at": "2026-01-01T03:00:00+01:00"})
    assert (made["id"], made["raised_by"], made["metered"]) == (hold["id"], "5", "12.5")
    assert made["expires_at"] == "2026-01-01T02:00:00.000000Z"
    assert made["after"]["held"] == "25"
    only = client.made(f"holds/{hold['id']}/extend", {"metered": "25"})
    assert (only["raised_by"], only["expires_at"], only["metered"]) == ("0", None, "25")
    for wrong in ("12", "25.000001"):
        answer = client.post(f"holds/{hold['id']}/extend", {"metered": wrong})
        assert told(answer) == (400, "metered_invalid")
        assert (answer.json["at_least"], answer.json["at_most"]) == ("25", "25")


def test_an_extend_that_changes_nothing_is_refused(client: Client, rich: str):
    answer = client.post(f"holds/{client.hold(rich)['id']}/extend", {})
    assert told(answer) == (400, "invalid")
    assert places(answer) == ["/expires_at"]


def test_an_end_in_the_past_is_refused(client: Client, rich: str):
    answer = client.post(f"holds/{client.hold(rich)['id']}/extend", {"expires_at": "2025-12-31T23:59:59Z"})
    assert told(answer) == (400, "invalid")
    assert places(answer) == ["/expires_at"]


@pytest.mark.parametrize("body", [None, {}, {"description": "It failed"}])
def test_a_release_frees_what_was_set_aside(client: Client, rich: str, body: Any):
    hold = client.hold(rich)
    made = client.made(f"holds/{hold['id']}/release", body)
    assert (made["id"], made["released"], made["state"]) == (hold["id"], "20", "released")
    assert made["after"]["held"] == "0"
    assert client.refused(f"holds/{hold['id']}/release") == (409, "hold_ended")


# Time


def test_a_hold_that_has_expired_is_settled_late_where_that_is_asked_for(timed: tuple[Client, FakeClock]):
    client, clock = timed
    hold = client.hold("alice", "20")
    pass_time(clock, 2 * HOUR)
    refused = client.post(f"holds/{hold['id']}/settle", {"amount": "5"})
    assert told(refused) == (409, "hold_ended")
    assert refused.json["state"] == "expired"
    made = client.made(f"holds/{hold['id']}/settle", {"amount": "5", "late": "charge"})
    assert (made["amount"], made["released"], made["state"], made["after"]["balance"]) == ("5", "0", "settled", "95")


def test_a_hold_lives_no_longer_than_the_workspace_allows(timed: tuple[Client, FakeClock]):
    client, _ = timed
    answer = client.post("holds", {"account": "alice", "amount": "1", "expires_in": 2 * HOUR + 1})
    assert told(answer) == (400, "hold_too_long")
    assert answer.json["max_minutes"] == 120
    hold = client.hold("alice", "1", expires_in=2 * HOUR)
    late = client.post(f"holds/{hold['id']}/extend", {"expires_at": "2026-01-01T02:00:01Z"})
    assert told(late) == (400, "hold_too_long")


def test_an_account_has_no_more_holds_than_the_workspace_allows(timed: tuple[Client, FakeClock]):
    client, _ = timed
    client.hold("alice", "1")
    client.hold("alice", "1")
    answer = client.post("holds", {"account": "alice", "amount": "1"})
    assert told(answer) == (409, "too_many_holds")
    assert answer.json["limit"] == 2


# Whose


ACTS: dict[str, dict[str, Any]] = {"extend": {"metered": "1"}, "settle": {"amount": "1"}, "release": {}}


@pytest.mark.parametrize("act", ACTS)
def test_a_hold_of_another_workspace_is_not_there(client: Client, rich: str, act: str):
    hold, other = client.hold(rich), client.with_key("admin", "other")
    theirs = other.post(f"holds/{hold['id']}/{act}", ACTS[act])
    nobodys = other.post(f"holds/hold_{'0' * 32}/{act}", ACTS[act])
    assert told(theirs) == told(nobodys) == (404, "hold_not_found")
    assert theirs.json["detail"] == nobodys.json["detail"]
    for id in ("nonsense", "hold_", "%00", "x" * 300, "hold_" + "Z" * 32, "%F0%9F%98%80"):
        assert client.refused(f"holds/{id}/{act}", ACTS[act]) == (404, "hold_not_found")


@pytest.mark.parametrize("act", ACTS)
def test_a_dry_run_leaves_the_hold_as_it_was(client: Client, rich: str, act: str):
    hold, before = client.hold(rich), client.server.count()
    answer = client.post(f"holds/{hold['id']}/{act}", {**ACTS[act], "dry_run": True})
    assert (answer.status, answer.json["dry_run"]) == (200, True)
    assert client.server.count() == before
    assert client.post(f"holds/{hold['id']}/{act}", ACTS[act]).status == 200


@pytest.mark.parametrize("act", ["", *ACTS])
@pytest.mark.parametrize(("scopes", "allowed"), [("charge", True), ("read,grant", False)])
def test_holds_take_the_scope_charge(client: Client, rich: str, act: str, scopes: str, allowed: bool):
    path = f"holds/{client.hold(rich)['id']}/{act}" if act else "holds"
    body = ACTS[act] if act else {"account": rich, "amount": "1"}
    assert (client.with_key(scopes).post(path, body).status < 300) == allowed


def test_a_frozen_account_can_still_settle_what_was_set_aside(client: Client, rich: str):
    hold = client.hold(rich)
    client.server.do(SetAccount(workspace="main", account=rich, frozen=True))
    assert client.refused("holds", {"account": rich, "amount": "1"}) == (403, "frozen")
    assert client.refused(f"holds/{hold['id']}/extend", {"raise_by": "1"}) == (403, "frozen")
    assert client.refused(f"holds/{hold['id']}/settle", {"amount": "21"}) == (403, "frozen")
    assert client.made(f"holds/{hold['id']}/settle", {"amount": "20"})["amount"] == "20"
