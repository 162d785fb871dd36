"""Grants, voids and adjustments of the native API."""

from typing import Any

import pytest

from farthing.core.commands import Adjust
from farthing.core.records import WorkspaceSettings
from tests.api.serving import Server
from tests.api.v1.client import Client, encoded, new_key, places, told
from tests.support import START_US

BOTH_DATABASES = True

DAY_US = 86_400_000_000


def test_a_grant_makes_the_account_and_says_what_was_given(client: Client, account: str):
    body = {
        "account": account,
        "amount": "900.5",
        "category": "promotional",
        "priority": 10,
        "expires_at": "2027-01-01T00:00:00Z",
        "scope": ["operation:image.*", "model:gpt-4o"],
        "source": {"order": "AB12"},
        "description": "Starter pack",
        "metadata": {"campaign": 7},
    }
    answer = client.post("grants", body)
    made = answer.json
    (entry, _opening) = client.server.entries(account)
    assert (answer.status, answer.headers["location"]) == (201, f"/v1/grants/{made['id']}")
    assert made == {
        "id": "grt" + entry.id[3:],
        "amount": "900.5",
        "category": "promotional",
        "priority": 10,
        "expires_at": "2027-01-01T00:00:00.000000Z",
        "scope": ["operation:image.*", "model:gpt-4o"],
        "source": {"order": "AB12"},
        "repaid": "0",
        "account": account,
        "entry": entry.id,
        "after": {"balance": "900.5", "scoped": "900.5", "held": "0", "debt": "0"},
        "description": "Starter pack",
        "metadata": {"campaign": 7},
        "created_at": "2026-01-01T00:00:00.000000Z",
    }


def test_what_is_left_out_or_null_has_its_default(client: Client, account: str):
    plain = client.grant(account)
    nulls = client.grant(
        account, category=None, priority=None, expires_at=None, scope=None, source=None, must_exist=None,
        description=None, metadata=None, final=None, dry_run=None,
    )  # fmt: skip
    for made in (plain, nulls):
        assert (made["category"], made["priority"], made["expires_at"]) == ("paid", 50, None)
        assert (made["scope"], made["source"]) == ([], None)


def test_a_grant_that_needs_an_account_makes_none(client: Client, account: str):
    body = {"account": account, "amount": "5", "must_exist": True}
    assert client.refused("grants", body) == (404, "account_not_found")
    assert client.server.entries(account) == []
    client.grant(account)
    assert client.post("grants", body).status == 201


def test_a_grant_is_given_once(client: Client, account: str):
    key, body = new_key(), {"account": account, "amount": "5", "source": {"order": "1"}}
    first = client.post("grants", body, key=key)
    again = client.post("grants", body, key=key)
    assert (again.raw, again.headers["idempotent-replayed"]) == (first.raw, "true")
    for change, differs in (({"amount": "6"}, "amount"), ({"source": {"order": "2"}}, "source")):
        answer = client.post("grants", {**body, **change}, key=key)
        assert told(answer) == (409, "key_conflict")
        assert answer.json["differs"] == [differs]


def test_a_grant_repays_debt_first(client: Client, rich: str):
    client.charge(rich, "130", shortfall="debt")
    made = client.grant(rich, "50")
    assert (made["repaid"], made["after"]) == ("30", {"balance": "20", "scoped": "0", "held": "0", "debt": "0"})


def test_a_dry_run_makes_no_account(client: Client, account: str):
    answer = client.post("grants", {"account": account, "amount": "5", "dry_run": True})
    assert (answer.status, answer.json["after"]["balance"]) == (200, "5")
    assert client.server.entries(account) == []


def test_an_expiry_has_to_be_in_the_future(client: Client, account: str):
    answer = client.post("grants", {"account": account, "amount": "5", "expires_at": "2026-01-01T00:00:00Z"})
    assert told(answer) == (400, "invalid")
    assert places(answer) == ["/expires_at"]
    assert client.grant(account, expires_at="2026-01-01T00:00:00.000001Z")["expires_at"].endswith(".000001Z")


@pytest.mark.parametrize(("scopes", "status"), [("grant", 201), ("admin", 201), ("read,charge", 403)])
def test_a_grant_takes_the_scope_grant(client: Client, account: str, scopes: str, status: int):
    assert client.with_key(scopes).post("grants", {"account": account, "amount": "5"}).status == status


def test_limits_of_a_workspace_are_told(tmp_path):
    with Server(tmp_path, workspace=WorkspaceSettings(max_live_grants=2)) as server:
        client = Client(server, server.new_key("admin"))
        client.grant("alice")
        client.grant("alice")
        answer = client.post("grants", {"account": "alice", "amount": "5"})
        assert told(answer) == (409, "too_many_grants")
        assert answer.json["limit"] == 2


def test_a_balance_that_could_not_be_counted_is_refused(client: Client, rich: str):
    client.server.sql("update account set earned = 999999999999999999 where id = ?", rich)
    assert client.refused("grants", {"account": rich, "amount": "1"}) == (409, "balance_limit")


# Void


def test_a_void_takes_back_what_is_free_and_owes_what_was_spent(client: Client, account: str):
    grant = client.grant(account)
    client.charge(account, "30")
    made = client.made(f"grants/{grant['id']}/void", {"description": "Charged back"})
    assert (made["id"], made["written_off"], made["owed"]) == (grant["id"], "100", "30")
    assert made["after"] == {"balance": "-30", "scoped": "0", "held": "0", "debt": "30"}
    assert client.refused(f"grants/{grant['id']}/void") == (409, "grant_ended")


def test_a_void_is_done_once(client: Client, account: str):
    grant, key = client.grant(account), new_key()
    first = client.post(f"grants/{grant['id']}/void", key=key)
    again = client.post(f"grants/{grant['id']}/void", key=key)
    assert (again.raw, again.headers["idempotent-replayed"]) == (first.raw, "true")


def test_a_grant_of_another_workspace_is_not_there(client: Client, account: str):
    grant, other = client.grant(account), client.with_key("admin", "other")
    theirs, nobodys = other.post(f"grants/{grant['id']}/void"), other.post("grants/grt_" + "0" * 32 + "/void")
    assert told(theirs) == told(nobodys) == (404, "grant_not_found")
    assert theirs.json["detail"] == nobodys.json["detail"]
    for id in ("nonsense", "grt_", "ent" + grant["id"][3:], "%00", "x" * 300):
        assert client.refused(f"grants/{id}/void") == (404, "grant_not_found")


# Adjustments


@pytest.mark.parametrize("odd", ["a/b", "a b", "ä?#%", "..", "a%2Fb", "😀", "{account}", "x" * 255])
def test_an_account_in_a_path_may_have_any_characters(client: Client, account: str, odd: str):
    name = (odd + account)[-255:]
    client.grant(name)
    made = client.made(f"accounts/{encoded(name)}/adjust", {"amount": "50", "description": "Goodwill"})
    assert (made["account"], made["amount"], made["after"]["balance"]) == (name, "50", "150")


def test_an_adjustment_gives_or_takes(client: Client, rich: str):
    given = client.made(f"accounts/{rich}/adjust", {"amount": "50"})
    assert given["grant"] == "grt" + given["id"][3:]
    taken = client.made(f"accounts/{rich}/adjust", {"amount": "-120"})
    assert (taken["amount"], taken["written_off"], taken["grant"], taken["owed"]) == ("-120", "120", None, "0")
    answer = client.post(f"accounts/{rich}/adjust", {"amount": "-40"})
    assert told(answer) == (402, "insufficient_credits")
    forced = client.made(f"accounts/{rich}/adjust", {"amount": "-40", "force": True})
    assert (forced["owed"], forced["after"]["debt"]) == ("10", "10")


def test_a_balance_is_set_by_difference_or_replaced(client: Client, rich: str):
    moved = client.made(f"accounts/{rich}/set", {"amount": "70", "mode": "difference"})
    assert (moved["amount"], moved["written_off"], moved["grant"]) == ("-30", "30", None)
    expires = "2027-01-01T00:00:00Z"
    replaced = client.made(f"accounts/{rich}/set", {"amount": "40", "mode": "replace", "expires_at": expires})
    assert (replaced["amount"], replaced["written_off"], replaced["after"]["balance"]) == ("-30", "70", "40")
    assert replaced["grant"] is not None
    assert client.made(f"accounts/{rich}/set", {"amount": "0", "mode": "replace"})["after"]["balance"] == "0"


@pytest.mark.parametrize("act", ["adjust", "set"])
@pytest.mark.parametrize(("scopes", "status"), [("admin", 200), ("read,charge,grant", 403)])
def test_a_balance_is_corrected_by_an_administrator(client: Client, rich: str, act: str, scopes: str, status: int):
    body: dict[str, Any] = {"amount": "5"} | ({"mode": "replace"} if act == "set" else {})
    assert client.with_key(scopes).post(f"accounts/{rich}/{act}", body).status == status


def test_a_correction_is_made_once(client: Client, rich: str):
    for act, body in (("adjust", {"amount": "-5"}), ("set", {"amount": "7", "mode": "replace"})):
        key = new_key()
        first = client.post(f"accounts/{rich}/{act}", body, key=key)
        again = client.post(f"accounts/{rich}/{act}", body, key=key)
        assert (again.raw, again.headers["idempotent-replayed"]) == (first.raw, "true")
        assert client.refused(f"accounts/{rich}/{act}", {**body, "amount": "8"}, key=key) == (409, "key_conflict")


def test_an_account_that_does_not_exist_can_not_be_corrected(client: Client, account: str):
    assert client.refused(f"accounts/{account}/adjust", {"amount": "5"}) == (404, "account_not_found")
    assert client.refused(f"accounts/{account}/set", {"amount": "5", "mode": "replace"}) == (404, "account_not_found")
    for bad in ("%00", "a%0Ab", "x" * 256, "%C2%85"):
        answer = client.post(f"accounts/{bad}/adjust", {"amount": "5"})
        assert told(answer) == (400, "invalid")
        assert places(answer) == ["account"]
    for unreadable in ("%FF", "%C3", ""):
        assert client.refused(f"accounts/{unreadable}/adjust", {"amount": "5"}) == (404, "not_found")


def test_what_was_adjusted_over_another_face_is_the_same(client: Client, rich: str):
    entry = client.server.do(Adjust(workspace="main", account=rich, amount=5_000_000))
    assert entry.at == START_US
    assert client.made(f"accounts/{rich}/adjust", {"amount": "5"})["after"]["balance"] == "110"
