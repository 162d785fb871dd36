"""Charges and refunds of the native API when all goes well, and how they are refused."""

import json
from typing import Any

import pytest

from farthing.core.commands import GiveGrant, SetAccount
from tests.api.serving import Answer, Server, id_of
from tests.api.v1.client import Client, new_key, places, told
from tests.support import START_US, UNIT

BOTH_DATABASES = True

DAY_US = 86_400_000_000


def test_a_charge_takes_credits_and_says_where_it_is_found(client: Client, rich: str):
    body = {"account": rich, "amount": "7.5", "operation": "chat.message", "model": "gpt-4o", "metadata": {"a": [1.50]}}
    answer = client.post("charges", {**body, "description": "A message"})
    made = answer.json
    assert answer.status == 201
    assert answer.headers["location"] == f"/v1/charges/{made['id']}"
    (entry, grant, _) = client.server.entries(rich)
    assert made == {
        "id": entry.id,
        "amount": "7.5",
        "unpaid": "0",
        "operation": "chat.message",
        "grants": [{"grant": "grt" + grant.id[3:], "amount": "7.5"}],
        "debt": "0",
        "usage": {
            "provider": None,
            "model": "gpt-4o",
            "service": None,
            "operation": "chat.message",
            "product": None,
            "chat": None,
            "dimensions": {},
            "attributes": {},
            "at": None,
        },
        "price": None,
        "account": rich,
        "entry": entry.id,
        "after": {"balance": "92.5", "scoped": "0", "held": "0", "debt": "0"},
        "description": "A message",
        "metadata": {"a": [1.5]},
        "created_at": "2026-01-01T00:00:00.000000Z",
    }
    assert (entry.amount, entry.actor) == (-7_500_000, f"key:{id_of(client.api_key)}")
    assert entry.request_id == answer.headers["x-request-id"]


def test_metadata_comes_back_as_it_was_sent(client: Client, rich: str):
    text = '{ "n": 1.50, "e": 1e3, "s": "\\u00e9" }'
    body = f'{{"account": "{rich}", "amount": "1", "metadata": {text}}}'
    assert text.encode() in client.post("charges", body).raw


@pytest.mark.parametrize("amount", ["0.000001", "1", "01", "99.999999", "100", "100.000000"])
def test_an_amount_is_taken_exactly(client: Client, rich: str, amount: str):
    made = client.charge(rich, amount)
    assert float(made["amount"]) == float(amount)
    assert float(made["after"]["balance"]) + float(amount) == pytest.approx(100)


def test_the_same_key_answers_the_same_and_charges_nothing(client: Client, rich: str):
    key = new_key()
    first = client.post("charges", {"account": rich, "amount": "5"}, key=key)
    before = client.server.count()
    again = client.post("charges", {"account": rich, "amount": "5.0", "description": "words may differ"}, key=key)
    assert (again.status, again.raw) == (first.status, first.raw)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert client.server.count() == before


@pytest.mark.parametrize("form", ['"{}"', "{}"])
def test_a_key_is_the_same_bare_and_in_quotes(client: Client, rich: str, form: str):
    key = new_key()
    client.charge(rich, key=key)
    again = client.post("charges", {"account": rich, "amount": "5"}, key=form.format(key))
    assert again.headers["idempotent-replayed"] == "true"


def test_the_keys_of_other_faces_and_accounts_are_others(client: Client, rich: str, account: str):
    server, key = client.server, new_key()
    client.charge(rich, key=key)
    body = {"account_id": rich, "operation": "chat.message", "amount": 5, "usage_event_id": key}
    assert server.post("deduct", body).data["newBalance"] == 90
    client.grant(account + "b", "10")
    assert client.charge(account + "b", key=key)["after"]["balance"] == "5"


def test_a_key_may_have_255_bytes(client: Client, rich: str):
    key = new_key().ljust(255, "x")
    client.charge(rich, key=key)
    assert client.post("charges", {"account": rich, "amount": "5"}, key=key).headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"amount": "6"}, ["amount"]),
        ({"operation": "image.make"}, ["operation"]),
        ({"amount": "6", "operation": "image.make"}, ["amount", "operation"]),
    ],
)
def test_a_key_used_for_something_else_is_a_conflict_that_names_what_differs(
    client: Client, rich: str, change: dict[str, Any], differs: list[str]
):
    key = new_key()
    client.charge(rich, operation="chat.message", key=key)
    answer = client.post("charges", {"account": rich, "amount": "5", "operation": "chat.message", **change}, key=key)
    assert told(answer) == (409, "key_conflict")
    assert answer.json["differs"] == differs


def test_a_key_used_for_another_kind_of_act_is_a_conflict(client: Client, rich: str):
    key = new_key()
    client.charge(rich, key=key)
    answer = client.post("holds", {"account": rich, "amount": "5"}, key=key)
    assert told(answer) == (409, "key_conflict")
    assert answer.json["differs"] == ["kind"]


# Not enough


def test_who_has_too_little_is_told_how_much_and_what_comes_next(client: Client, account: str):
    client.grant(account, "3.25")
    answer = client.post("charges", {"account": account, "amount": "5"})
    assert told(answer) == (402, "insufficient_credits")
    body = answer.json
    assert (body["required"], body["available"], body["deficit"], body["next"]) == ("5", "3.25", "1.75", None)
    assert body["detail"] == "This takes 5 credits; 3.25 are available."
    assert body["instance"] == "/v1/charges"


def test_a_refusal_is_not_remembered(client: Client, account: str):
    key = new_key()
    client.grant(account, "3")
    assert client.refused("charges", {"account": account, "amount": "5"}, key=key) == (402, "insufficient_credits")
    client.grant(account, "3")
    assert client.charge(account, "5", key=key)["after"]["balance"] == "1"


def test_a_final_refusal_is_remembered(client: Client, account: str):
    key, body = new_key(), {"account": account, "amount": "5", "final": True}
    client.grant(account, "3")
    first = client.post("charges", body, key=key)
    assert told(first) == (402, "insufficient_credits")
    assert next(e.kind for e in client.server.entries(account)) == "refusal"
    client.grant(account, "3")
    again = client.post("charges", body, key=key)
    assert again.headers["idempotent-replayed"] == "true"
    names = ("status", "code", "required", "available", "deficit", "next", "detail")
    assert [again.json[n] for n in names] == [first.json[n] for n in names]


def test_shortfall_take_takes_what_there_is(client: Client, rich: str):
    made = client.charge(rich, "130", shortfall="take")
    assert (made["amount"], made["unpaid"], made["after"]["balance"]) == ("100", "30", "0")


def test_shortfall_debt_takes_all_of_it(client: Client, rich: str):
    made = client.charge(rich, "130", shortfall="debt")
    assert (made["amount"], made["unpaid"], made["debt"]) == ("130", "0", "30")
    assert made["grants"][0]["amount"] == "100"
    assert made["after"] == {"balance": "-30", "scoped": "0", "held": "0", "debt": "30"}


@pytest.mark.parametrize("name", ["operation", "service", "model", "product"])
def test_grants_with_a_scope_pay_for_what_matches(client: Client, rich: str, name: str):
    scoped = client.grant(rich, "10", scope=[f"{name}:special-*"])
    assert scoped["after"] == {"balance": "110", "scoped": "10", "held": "0", "debt": "0"}
    matching = client.charge(rich, "4", **{name: "special-1"})
    assert [part["grant"] for part in matching["grants"]] == [scoped["id"]]
    assert client.charge(rich, "4")["grants"][0]["grant"] != scoped["id"]


def test_an_account_that_does_not_exist_is_not_found(client: Client, account: str):
    assert client.refused("charges", {"account": account, "amount": "5"}) == (404, "account_not_found")
    assert client.server.entries(account) == []


def test_a_frozen_account_is_charged_nothing(client: Client, rich: str):
    client.server.do(SetAccount(workspace="main", account=rich, frozen=True))
    assert client.refused("charges", {"account": rich, "amount": "5"}) == (403, "frozen")


def test_a_spend_limit_says_what_is_left(client: Client, rich: str):
    client.server.do(SetAccount(workspace="main", account=rich, spend_limit_day=8 * UNIT))
    client.charge(rich, "5")
    answer = client.post("charges", {"account": rich, "amount": "5"})
    assert told(answer) == (403, "spend_limit")
    assert {n: answer.json[n] for n in ("period", "limit", "left", "required")} == {
        "period": "day", "limit": "8", "left": "3", "required": "5",
    }  # fmt: skip


# Dry runs


def test_a_dry_run_tells_what_would_come_of_it_and_keeps_nothing(client: Client, rich: str):
    key, before = new_key(), client.server.count()
    body = {"account": rich, "amount": "5", "operation": "chat.message"}
    would = client.post("charges", {**body, "dry_run": True}, key=key)
    assert (would.status, would.json["dry_run"]) == (200, True)
    assert "location" not in would.headers
    assert client.server.count() == before
    assert client.server.balance(rich) == 100
    real = client.charge(rich, operation="chat.message", key=key)
    differ = {"id", "entry", "dry_run"}
    assert {n: v for n, v in would.json.items() if n not in differ} == {
        n: v for n, v in real.items() if n not in differ
    }
    assert "dry_run" not in real


def test_a_dry_run_is_refused_as_the_real_one_would_be(client: Client, rich: str):
    before = client.server.count()
    body = {"account": rich, "amount": "500", "dry_run": True, "final": True}
    answer = client.post("charges", body)
    assert told(answer) == (402, "insufficient_credits")
    assert answer.json["dry_run"] is True
    assert client.server.count() == before


def test_a_dry_run_of_what_was_done_answers_as_it_did(client: Client, rich: str):
    key = new_key()
    made = client.charge(rich, key=key)
    again = client.post("charges", {"account": rich, "amount": "5", "dry_run": True}, key=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json == {**made, "dry_run": True}


# Refunds


def test_a_refund_goes_back_where_the_credits_came_from(client: Client, rich: str):
    charge = client.charge(rich, "10")
    answer = client.post(f"charges/{charge['id']}/refund", {"amount": "4", "description": "Half an answer"})
    made = answer.json
    assert answer.status == 201
    assert answer.headers["location"] == f"/v1/entries/{made['id']}"
    assert (made["charge"], made["amount"], made["description"]) == (charge["id"], "4", "Half an answer")
    assert made["returned"] == [{"charge": charge["id"], "grant": charge["grants"][0]["grant"], "amount": "4"}]
    assert made["after"]["balance"] == "94"
    assert client.made(f"charges/{charge['id']}/refund", {}, 201)["amount"] == "6"


@pytest.mark.parametrize("body", [None, "", "{}", {"amount": None}])
def test_a_refund_without_an_amount_is_all_that_is_left(client: Client, rich: str, body: Any):
    charge = client.charge(rich, "10")
    assert client.made(f"charges/{charge['id']}/refund", body, 201)["amount"] == "10"


def test_more_than_is_left_is_refused_with_what_is_refundable(client: Client, rich: str):
    charge = client.charge(rich, "10")
    client.made(f"charges/{charge['id']}/refund", {"amount": "4"}, 201)
    answer = client.post(f"charges/{charge['id']}/refund", {"amount": "7"})
    assert told(answer) == (409, "refund_too_large")
    assert answer.json["refundable"] == "6"


def test_a_refund_is_made_once(client: Client, rich: str):
    key, charge = new_key(), client.charge(rich, "10")
    first = client.post(f"charges/{charge['id']}/refund", {"amount": "4"}, key=key)
    again = client.post(f"charges/{charge['id']}/refund", {"amount": "4"}, key=key)
    assert (again.raw, again.headers["idempotent-replayed"]) == (first.raw, "true")
    other = client.charge(rich, "10")
    answer = client.post(f"charges/{other['id']}/refund", {"amount": "4"}, key=key)
    assert told(answer) == (409, "key_conflict")


def test_a_settle_can_be_refunded_like_a_charge(client: Client, rich: str):
    hold = client.hold(rich)
    settled = client.made(f"holds/{hold['id']}/settle", {"amount": "15"})
    assert client.made(f"charges/{settled['charge']}/refund", {}, 201)["amount"] == "15"


def test_only_a_charge_can_be_refunded(client: Client, rich: str, server: Server):
    (grant, opening) = server.entries(rich)
    other = client.with_key("admin", "other")
    charge = client.charge(rich)["id"]
    for id in (grant.id, opening.id, "ent_" + "0" * 32, "nonsense", "ent_", "%00", "x" * 300, "..%2F..", "ent_%F0%9F"):
        assert client.refused(f"charges/{id}/refund", {})[0] == 404, id
    theirs = other.post(f"charges/{charge}/refund", {})
    nobodys = other.post("charges/ent_" + "0" * 32 + "/refund", {})
    assert told(theirs) == told(nobodys) == (404, "charge_not_found")
    assert theirs.json["detail"] == nobodys.json["detail"]


def test_a_refund_without_a_charge_takes_the_latest_first(client: Client, rich: str):
    first, second = client.charge(rich, "10"), client.charge(rich, "20")
    answer = client.post("refunds", {"account": rich, "amount": "25"})
    assert (answer.status, answer.json["charge"]) == (201, None)
    assert [(r["charge"], r["amount"]) for r in answer.json["returned"]] == [(second["id"], "20"), (first["id"], "5")]
    too_much = client.post("refunds", {"account": rich, "amount": "6"})
    assert told(too_much) == (409, "refund_too_large")
    assert too_much.json["refundable"] == "5"


def test_a_refund_of_unpaid_debt_names_no_grant(client: Client, rich: str):
    charge = client.charge(rich, "130", shortfall="debt")
    made = client.made(f"charges/{charge['id']}/refund", {"amount": "40"}, 201)
    assert [(r["grant"] is None, r["amount"]) for r in made["returned"]] == [(True, "30"), (False, "10")]
    assert made["after"] == {"balance": "10", "scoped": "0", "held": "0", "debt": "0"}


# Who may


@pytest.mark.parametrize(("scopes", "status"), [("charge", 201), ("admin", 201), ("read,grant", 403)])
def test_a_charge_takes_the_scope_charge(client: Client, rich: str, scopes: str, status: int):
    answer = client.with_key(scopes).post("charges", {"account": rich, "amount": "5"})
    assert answer.status == status
    if status == 403:
        assert told(answer) == (403, "scope_missing")


def test_an_api_key_works_as_a_bearer_token(server: Server, client: Client, rich: str):
    body = json.dumps({"account": rich, "amount": "5"}).encode()

    def ask(key: str, **headers: str) -> Answer:
        fields = {"Idempotency-Key": key, "Content-Type": "application/json"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        return server.send("POST", "/v1/charges", body, fields)

    assert ask("b1", Authorization=f"Bearer {client.api_key}").status == 201
    assert ask("b2", Authorization=f"bearer   {client.api_key}").status == 201
    assert ask("b3", Authorization=f"Bearer {client.api_key}", X_API_Key=client.api_key).status == 201
    for value in ("Bearer cs_live_x", "Bearer a.b.c", "Basic dTpw", client.api_key[:-1]):
        answer = ask("b4", Authorization=value)
        assert told(answer) == (401, "credential_invalid")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for headers in ({}, {"Authorization": ""}, {"Authorization": "Bearer "}, {"X_API_Key": ""}):
        answer = ask("b5", **headers)
        assert told(answer) == (401, "credential_missing")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_account_of_another_workspace_is_not_there(client: Client, rich: str):
    other = client.with_key("admin", "other")
    assert other.refused("charges", {"account": rich, "amount": "5"}) == (404, "account_not_found")
    assert other.refused("refunds", {"account": rich, "amount": "5"}) == (404, "account_not_found")


def test_answers_of_a_test_workspace_say_so(client: Client, account: str):
    other = client.with_key("admin", "other")
    answer = other.post("grants", {"account": account, "amount": "5"})
    assert answer.headers["farthing-mode"] == "test"


# The hot way and the long one


def test_a_charge_that_comes_in_pieces_is_answered_as_one_that_does_not(tmp_path):
    with Server(tmp_path, inline=False) as slow, Server(tmp_path / "b", inline=True) as fast:
        answers = []
        for server in (slow, fast):
            client = Client(server, server.new_key("admin"))
            server.do(GiveGrant(workspace="main", account="alice", amount=10 * UNIT))
            client.charge("alice", key="k0")
            answers.append(
                [
                    client.post("charges", {"account": "alice", "amount": "5"}, key="k0", X_Request_Id="r"),
                    client.post("charges", {"account": "alice", "amount": "6"}, key="k1", X_Request_Id="r"),
                    client.post("charges", {"account": "alice", "amount": "x"}, key="k1", X_Request_Id="r"),
                    client.post("charges", {"account": "alice", "amount": "1"}, key=None, X_Request_Id="r"),
                    client.post("charges", {"account": "alice", "amount": "1", "dry_run": True}, X_Request_Id="r"),
                ]
            )
        for one, other in zip(*answers, strict=True):
            assert one.status == other.status
            assert set(one.headers) == set(other.headers)
            if one.status >= 400:
                assert one.json == other.json


def test_times_have_microseconds(client: Client, rich: str):
    expires = client.grant(rich, "1", expires_at="2027-01-01T01:02:03.456789+01:00")["expires_at"]
    assert expires == "2027-01-01T00:02:03.456789Z"
    (entry, *_) = client.server.entries(rich)
    assert entry.at == START_US


def test_all_that_is_wrong_is_told_together(client: Client, rich: str):
    body = {"account": "", "amount": 5, "model": "a\nb", "color": "red", "shortfall": "maybe", "metadata": [1]}
    answer = client.post("charges", body)
    assert told(answer) == (400, "invalid")
    assert set(places(answer)) == {"/account", "/amount", "/model", "/color", "/shortfall", "/metadata"}
