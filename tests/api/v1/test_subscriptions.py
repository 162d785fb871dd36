"""Plans, subscriptions and renewals of the native API."""

from typing import Any

import pytest

from tests.api.v1.client import Client, new_key, places, told

BOTH_DATABASES = True

DAY = 86_400
SECOND = 1_000_000


def put(client: Client, path: str, body: Any, *, key: str = "") -> Any:
    return client.server.send(
        "PUT", f"/v1/{path}", encode(body),
        {"X-API-Key": client.api_key, "Content-Type": "application/json", "Idempotency-Key": key or new_key()},
    )  # fmt: skip


def delete(client: Client, path: str, body: Any = None) -> Any:
    return client.server.send(
        "DELETE", f"/v1/{path}", encode(body or {}),
        {"X-API-Key": client.api_key, "Content-Type": "application/json", "Idempotency-Key": new_key()},
    )  # fmt: skip


def get(client: Client, path: str) -> Any:
    return client.server.send("GET", f"/v1/{path}", None, {"X-API-Key": client.api_key})


def encode(body: Any) -> bytes:
    import json

    return json.dumps(body).encode()


@pytest.fixture
def plan(client: Client, account: str) -> str:
    """A plan of the test's own."""
    answer = put(client, f"plans/{account}-plan", {"allowance": "100", "every": 30})
    assert answer.status == 200, answer.raw
    return f"{account}-plan"


def test_a_plan_is_put_shown_listed_and_archived(client, account):
    body = {
        "name": "Pro",
        "allowance": "2000.5",
        "every": 1,
        "unit": "months",
        "anchor_day": 31,
        "rollover": "cap",
        "cap": "10",
    }
    made = put(client, f"plans/{account}", body).json
    assert made == made | body | {"id": account, "archived_at": None, "timezone": "UTC", "catch_up": "once"}
    assert get(client, f"plans/{account}").json == made
    assert made in get(client, "plans").json["data"]
    assert client.made(f"plans/{account}/archive")["archived_at"] is not None
    assert account not in {p["id"] for p in get(client, "plans").json["data"]}
    assert account in {p["id"] for p in get(client, "plans?archived=true").json["data"]}
    assert told(put(client, f"accounts/{account}/subscription", {"plan": account})) == (409, "plan_archived")
    # Put again it can be had again.
    assert put(client, f"plans/{account}", body).json["archived_at"] is None


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"allowance": "1"}, "/every"),
        ({"allowance": "1", "every": 0}, "/every"),
        ({"allowance": "1", "every": -3}, "/every"),
        ({"allowance": "1", "every": 1.5}, "/every"),
        ({"allowance": "1", "every": 121, "unit": "months"}, "/every"),
        ({"every": 1}, "/allowance"),
        ({"allowance": "-1", "every": 1}, "/allowance"),
        ({"allowance": 1, "every": 1}, "/allowance"),
        ({"allowance": "1", "every": 1, "unit": "weeks"}, "/unit"),
        ({"allowance": "1", "every": 1, "anchor_day": 3}, "/anchor_day"),
        ({"allowance": "1", "every": 1, "unit": "months", "anchor_day": 32}, "/anchor_day"),
        ({"allowance": "1", "every": 1, "timezone": "Mars/Olympus"}, "/timezone"),
        ({"allowance": "1", "every": 1, "rollover": "cap"}, "/cap"),
        ({"allowance": "1", "every": 1, "cap": "5"}, "/cap"),
        ({"allowance": "1", "every": 1, "colour": "red"}, "/colour"),
    ],
)
def test_a_plan_that_is_not_right_says_where(client, account, body, where):
    answer = put(client, f"plans/{account}", body)
    assert told(answer) == (400, "invalid")
    assert places(answer) == [where]
    assert told(get(client, f"plans/{account}")) == (404, "plan_not_found")


def test_a_plan_is_put_once_under_a_key(client, account):
    key = new_key()
    first = put(client, f"plans/{account}", {"allowance": "1", "every": 1}, key=key)
    again = put(client, f"plans/{account}", {"allowance": "1", "every": 1}, key=key)
    assert (again.json, again.headers["idempotent-replayed"]) == (first.json, "true")
    assert told(put(client, f"plans/{account}", {"allowance": "2", "every": 1}, key=key)) == (409, "key_conflict")


def test_buying_a_plan_gives_its_first_period_and_makes_the_account(client, account, plan):
    made = put(client, f"accounts/{account}/subscription", {"plan": plan}).json
    s = made["subscription"]
    assert (made["given"], made["after"]["balance"], made["written_off"]) == ("100", "100", "0")
    assert (s["plan"], s["started_at"], s["next_at"]) == (
        plan, "2026-01-01T00:00:00.000000Z", "2026-01-31T00:00:00.000000Z",
    )  # fmt: skip
    shown = get(client, f"accounts/{account}/subscription").json
    assert shown == s | {"account": account, "due": False, "reason": "not_due", "days": 30}
    entries = get(client, f"accounts/{account}/entries?kind=subscribe").json["data"]
    assert entries[0]["subscription"] == {
        "id": s["id"], "plan": plan, "period_at": s["period_at"], "next_at": s["next_at"], "pending_plan": None,
    }  # fmt: skip


def test_a_dry_run_of_a_purchase_leaves_nothing(client, account, plan):
    dry = put(client, f"accounts/{account}/subscription", {"plan": plan, "dry_run": True})
    assert (dry.json["dry_run"], dry.json["given"]) == (True, "100")
    assert told(get(client, f"accounts/{account}/subscription")) == (404, "account_not_found")


def test_one_payment_buys_once_whatever_the_key(client, account, plan):
    body = {"plan": plan, "payment": {"provider": "stripe", "id": f"pi-{account}"}, "billed_by": "stripe"}
    first, again = (put(client, f"accounts/{account}/subscription", body) for _ in range(2))
    assert (again.json, again.headers.get("idempotent-replayed")) == (first.json, "true")
    other = put(client, f"accounts/{account}-2/subscription", body)
    assert told(other) == (409, "payment_claimed")
    refused = client.post(f"accounts/{account}/subscription/renew")
    assert told(refused) == (409, "renewed_by_payment")
    paid = {"payment": {"provider": "stripe", "id": f"pi-{account}-2"}}
    assert client.made(f"accounts/{account}/subscription/renew", paid)["after"]["balance"] == "200"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "/plan"), ({"plan": 7}, "/plan"), ({"plan": "x", "billed_by": "me"}, "/billed_by"),
        ({"plan": "x", "payment": {"provider": "stripe"}}, "/payment/id"),
        ({"plan": "x", "payment": "pi_1"}, "/payment"), ({"plan": "x", "expires_at": "soon"}, "/expires_at"),
    ],
)  # fmt: skip
def test_a_purchase_that_is_not_right_says_where(client, account, body, where):
    answer = put(client, f"accounts/{account}/subscription", body)
    assert told(answer) == (400, "invalid")
    assert places(answer) == [where]


def test_what_is_not_there_is_told(client, account, rich):
    assert told(put(client, f"accounts/{account}/subscription", {"plan": "none"})) == (404, "plan_not_found")
    assert told(get(client, f"accounts/{rich}/subscription")) == (404, "subscription_not_found")
    assert client.refused(f"accounts/{rich}/subscription/renew") == (404, "subscription_not_found")
    assert client.refused("accounts/nobody-there/subscription/renew") == (404, "account_not_found")
    assert told(delete(client, f"accounts/{rich}/subscription")) == (404, "subscription_not_found")


def test_a_renewal_that_is_not_due_says_when(client, account, plan):
    put(client, f"accounts/{account}/subscription", {"plan": plan})
    answer = client.post(f"accounts/{account}/subscription/renew")
    assert told(answer) == (409, "not_due")
    assert (answer.json["days"], answer.json["next_at"]) == (30, "2026-01-31T00:00:00.000000Z")


def test_who_asks_too_early_can_t_take_the_period_from_others(client, account, plan):
    put(client, f"accounts/{account}/subscription", {"plan": plan})
    answer = client.post(f"accounts/{account}/subscription/renew", {"final": True})
    assert (told(answer), places(answer)) == ((400, "invalid"), ["/final"])


def test_a_claim_is_answered_alike_under_its_key_and_given_once(client, account, plan):
    put(client, f"accounts/{account}/subscription", {"plan": plan, "next_at": "2025-12-31T00:00:00Z"})
    key = new_key()
    first, again = (client.post(f"accounts/{account}/subscription/renew", key=key) for _ in range(2))
    assert (first.status, again.json, again.headers.get("idempotent-replayed")) == (200, first.json, "true")
    assert client.refused(f"accounts/{account}/subscription/renew") == (409, "not_due")
    (entry,) = get(client, f"accounts/{account}/entries?kind=renew").json["data"]
    assert entry["key"].startswith("renew:sub_")


def test_ending_a_subscription(client, account, plan):
    put(client, f"accounts/{account}/subscription", {"plan": plan})
    later = delete(client, f"accounts/{account}/subscription").json["subscription"]
    assert (later["expires_at"], later["ended_at"]) == (later["next_at"], None)
    now = delete(client, f"accounts/{account}/subscription", {"at_once": True}).json
    assert (now["subscription"]["ended_at"], now["after"]["balance"]) == ("2026-01-01T00:00:00.000000Z", "100")
    assert told(delete(client, f"accounts/{account}/subscription")) == (409, "subscription_ended")
    assert get(client, f"accounts/{account}/subscription").json["reason"] == "subscription_ended"


def test_a_cancellation_is_taken_back_while_the_paid_time_runs(client, account, plan):
    path = f"accounts/{account}/subscription"
    before = put(client, path, {"plan": plan}).json["subscription"]
    delete(client, path)
    resumed = client.made(f"{path}/resume")
    assert (resumed["subscription"], resumed["given"], resumed["grant"]) == (before, "0", None)
    delete(client, path, {"at_once": True})
    assert client.refused(f"{path}/resume") == (409, "subscription_ended")


def test_a_plan_that_comes_with_the_renewal_is_shown_until_then_and_can_be_taken_back(client, account, plan):
    path = f"accounts/{account}/subscription"
    put(client, path, {"plan": plan, "next_at": "2025-12-31T00:00:00Z"})
    put(client, f"plans/{account}-small", {"allowance": "5", "every": 7})
    assert client.made(f"{path}/change", {"plan": f"{account}-small"})["subscription"]["plan"] == plan
    assert get(client, path).json["pending_plan"] == f"{account}-small"
    (entry,) = get(client, f"accounts/{account}/entries?kind=change").json["data"]
    assert entry["subscription"]["pending_plan"] == f"{account}-small"
    assert client.made(f"{path}/change", {"plan": plan})["subscription"]["pending_plan"] is None
    client.made(f"{path}/change", {"plan": f"{account}-small"})
    renewed = client.made(f"{path}/renew")
    s = renewed["subscription"]
    assert (renewed["given"], s["plan"], s["pending_plan"]) == ("5", f"{account}-small", None)
    assert s["next_at"] == "2026-01-07T00:00:00.000000Z"
    assert client.refused(f"{path}/change", {"plan": "none"}) == (404, "plan_not_found")


def test_all_that_is_due_is_renewed_the_oldest_first(client, account, plan):
    names = [f"{account}-{n}" for n in range(3)]
    for n, name in enumerate(names):
        body = {"plan": plan, "next_at": f"2025-12-{28 + n}T00:00:00Z"}
        assert put(client, f"accounts/{name}/subscription", body).status == 200
    listed = get(client, f"subscriptions?due=true&plan={plan}&limit=2").json
    assert ([s["account"] for s in listed["data"]], listed["has_more"]) == (names[:2], True)
    rest = get(client, f"subscriptions?due=true&plan={plan}&limit=2&cursor={listed['next_cursor']}").json
    assert ([s["account"] for s in rest["data"]], rest["has_more"]) == (names[2:], False)
    dry = client.made("renewals", {"plan": plan, "dry_run": True}, key=None)
    assert (dry["successful"], dry["dry_run"], dry["renewals"][0]["entry"]) == (3, True, None)
    two = client.made("renewals", {"plan": plan, "limit": 2}, key=None)
    assert ([r["account"] for r in two["renewals"]], two["more"]) == (names[:2], True)
    last = client.made("renewals", {"plan": plan}, key=None)
    assert (last["processed"], last["successful"], last["more"]) == (1, 1, False)
    (renewal,) = last["renewals"]
    assert (renewal["given"], renewal["balance_before"], renewal["balance"]) == ("100", "0", "100")
    assert (renewal["period_at"], renewal["next_at"]) == ("2025-12-30T00:00:00.000000Z", "2026-01-29T00:00:00.000000Z")


def test_scopes_guard_plans_and_renewals(client, account):
    reader, giver = client.with_key("read"), client.with_key("grant")
    assert reader.refused("renewals", {}, key=None) == (403, "scope_missing")
    assert told(put(giver, f"plans/{account}", {"allowance": "1", "every": 1})) == (403, "scope_missing")
    assert get(reader, "plans").status == 200


def test_another_workspace_knows_nothing_of_them(client, account, plan):
    put(client, f"accounts/{account}/subscription", {"plan": plan, "next_at": "2025-12-30T00:00:00Z"})
    other = client.with_key("admin", "other")
    assert told(get(other, f"plans/{plan}")) == (404, "plan_not_found")
    assert told(get(other, f"accounts/{account}/subscription")) == (404, "account_not_found")
    assert get(other, "subscriptions").json["data"] == []
    assert other.made("renewals", {}, key=None)["processed"] == 0
