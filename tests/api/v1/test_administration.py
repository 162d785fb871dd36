"""Administration with the native API: accounts and their settings, keys, settings of the workspace, operators."""

from itertools import count
from typing import Any

import pytest

from farthing.core.credentials import redact
from tests.api.serving import Answer, Server, wait_for
from tests.api.v1.client import Client, encoded, new_key, places, told
from tests.api.v1.reading import ask, operators_key, patch, read, whole

BOTH_DATABASES = True

_numbers = count()
WRITES = [
    ("POST", "accounts", {"account": "made-by-nobody"}),
    ("PATCH", "accounts/{account}/settings", {"frozen": False}),
    ("POST", "keys", {"scopes": ["read"]}),
    ("POST", "keys/{key}/rotate", {}),
    ("POST", "keys/{key}/revoke", {}),
    ("PATCH", "settings", {"hold_max_minutes": 60}),
]


@pytest.fixture
def operator(server: Server) -> Client:
    return Client(server, operators_key(server))


def sent(client: Client, method: str, path: str, body: Any, **more: Any) -> Answer:
    return client.post(path, body, **more) if method == "POST" else patch(client, path, body, **more)


def made_key(client: Client, **more: Any) -> dict[str, Any]:
    return client.made("keys", {"scopes": ["read"], **more}, 201)


def works(client: Client, key: str) -> bool:
    return ask(Client(client.server, key), "settings").status == 200


# Accounts


def test_an_account_is_made_once(client, account):
    body = {"account": account, "metadata": {"plan": "pro"}}
    first, again = (client.post("accounts", body, key=f"open-{account}") for _ in range(2))
    assert (first.status, first.headers["location"]) == (201, f"/v1/accounts/{account}")
    assert (again.raw, again.headers["idempotent-replayed"]) == (first.raw, "true")
    assert client.refused("accounts", body) == (409, "account_exists")
    assert read(client, f"accounts/{account}")["balance"] == "0"
    assert client.refused("accounts", {"account": ""}) == (400, "invalid")
    assert client.refused("accounts", {"accountt": account}) == (400, "invalid")


def test_a_dry_run_makes_no_account(client, account):
    answer = client.post("accounts", {"account": account, "dry_run": True})
    assert (answer.status, answer.json["dry_run"]) == (200, True)
    assert told(ask(client, f"accounts/{account}")) == (404, "account_not_found")


def test_settings_of_an_account_change_and_what_is_left_out_stays(client, rich):
    path = f"accounts/{rich}/settings"
    body: dict[str, Any] = {"allowance": "5.5", "spend_limit_day": "20", "timezone": "Europe/Berlin"}
    same = {"balance_low": None, "balance_critical": None}
    assert patch(client, path, body).json["settings"] == body | same | {"frozen": False, "spend_limit_month": None}
    changed = patch(client, path, {"frozen": True, "spend_limit_day": None})
    after = {"frozen": True, "spend_limit_day": None, "spend_limit_month": None}
    assert changed.json["settings"] == body | same | after
    assert read(client, path) == changed.json["settings"]
    assert client.refused("charges", {"account": rich, "amount": "1"}) == (403, "frozen")


def test_thresholds_of_balances_are_set_for_an_account_and_given_back_to_the_workspace(client, rich):
    path = f"accounts/{rich}/settings"
    changed = patch(client, path, {"balance_low": "2.5", "balance_critical": "0"}).json["settings"]
    assert (changed["balance_low"], changed["balance_critical"]) == ("2.5", "0")
    changed = patch(client, path, {"balance_low": None}).json["settings"]
    assert (changed["balance_low"], changed["balance_critical"]) == (None, "0")
    wrong = patch(client, path, {"balance_low": "-1", "balance_critical": "0.1234567"})
    pointers = [each["pointer"] for each in wrong.json["errors"]]
    assert (wrong.status, pointers) == (400, ["/balance_low", "/balance_critical"])


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({"balance_low": "2.50", "balance_critical": "0"}, True), ({"expiring_days": 60}, True),
        ({"balance_low": "-1"}, False), ({"balance_low": "much"}, False), ({"balance_critical": 1}, False),
        ({"balance_low": "1e3"}, False), ({"balance_low": "0.0000000000001"}, False), ({"expiring_days": 0}, False),
        ({"expiring_days": 61}, False),
    ],
)  # fmt: skip
def test_thresholds_of_a_workspace_are_amounts_and_days(client, change, good):
    answer = patch(client, "settings", change | {"dry_run": True})
    (name,) = list(change)[:1]
    assert answer.status == (200 if good else 400), answer.json
    assert (answer.json[name] == change[name]) if good else (answer.json["errors"][0]["pointer"] == f"/{name}")


def test_settings_of_an_account_change_only_from_the_state_that_was_read(client, rich):
    path = f"accounts/{rich}/settings"
    seen = ask(client, path).headers["etag"]
    changed = patch(client, path, {"allowance": "1"}, If_Match=seen, key=f"m-{rich}")
    assert changed.status == 200
    assert ask(client, path).headers["etag"] == f'"{changed.json["etag"]}"' != seen
    late = patch(client, path, {"allowance": "2"}, If_Match=seen)
    assert told(late) == (412, "precondition_failed")
    weak = patch(client, path, {"allowance": "2"}, If_Match=f'W/"{changed.json["etag"]}"')
    assert told(weak) == (412, "precondition_failed")
    assert read(client, path)["allowance"] == "1"
    assert patch(client, path, {"allowance": "1"}, If_Match=seen, key=f"m-{rich}").raw == changed.raw
    assert patch(client, path, {"allowance": "3"}, If_Match="*").status == 200


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, [""]),
        ({"dry_run": True}, [""]),
        ({"frozen": None}, [""]),
        ({"frozen": "yes"}, ["/frozen"]),
        ({"allowance": 5}, ["/allowance"]),
        ({"allowance": "-1"}, ["/allowance"]),
        ({"allowance": "0.0000001"}, ["/allowance"]),
        ({"timezone": "Nowhere/Land"}, ["/timezone"]),
        ({"timezone": "x" * 65}, ["/timezone"]),
        ({"spend_limit_day": "x", "overdraft": "1"}, ["/overdraft", "/spend_limit_day"]),
    ],
)
def test_settings_that_make_no_sense_are_refused_and_named(client, rich, body, wrong):
    answer = patch(client, f"accounts/{rich}/settings", body)
    assert told(answer) == (400, "invalid")
    assert places(answer) == wrong


@pytest.mark.parametrize("path", ["accounts/{}/settings", "settings"])
@pytest.mark.parametrize("value", ["abc", '"a", "b"', '"', "", 'w/"x"'])
def test_an_unreadable_if_match_is_refused(client, rich, path, value):
    body = {"frozen": True} if "{}" in path else {"hold_max_minutes": 1}
    answer = patch(client, path.format(rich), body, If_Match=value)
    assert told(answer) == (400, "invalid")
    assert places(answer) == ["If-Match"]


# Keys


def test_a_key_is_shown_once_and_works(client):
    body = {"scopes": ["read"], "name": "reports"}
    first, again = (client.post("keys", body, key="make-a-key") for _ in range(2))
    made = first.json
    assert (first.status, again.status, again.headers["idempotent-replayed"]) == (201, 201, "true")
    assert again.json == made | {"api_key": None}
    assert made["api_key"].endswith(made["hint"])
    assert works(client, made["api_key"])
    assert first.headers["location"] == f"/v1/keys/{made['id']}"
    shown = read(client, f"keys/{made['id']}")
    assert made == shown | {"api_key": made["api_key"]}
    assert shown in whole(client, "keys", limit=2)
    conflict = client.post("keys", body | {"name": "other"}, key="make-a-key")
    assert told(conflict) == (409, "key_conflict")
    assert conflict.json["differs"] == ["name"]


def test_the_text_of_a_key_stands_nowhere_else(server, client):
    text = made_key(client)["api_key"]
    everything = [read(client, path) for path in ("keys", "audit")]
    assert text not in str(everything)
    assert text not in server.log.getvalue()
    assert redact(text) != text


def test_a_dry_run_makes_no_key(client):
    before = len(whole(client, "keys"))
    answer = client.post("keys", {"scopes": ["read"], "dry_run": True}, key=(key := new_key()))
    assert (answer.status, answer.json["dry_run"], answer.json["api_key"]) == (200, True, None)
    assert len(whole(client, "keys")) == before
    assert client.post("keys", {"scopes": ["read"]}, key=key).status == 201


def test_a_rotated_key_overlaps_and_a_revoked_one_is_dead(server, client):
    old = made_key(client, name="bot")
    new = client.made(f"keys/{old['id']}/rotate", {"overlap_seconds": 60}, 201)
    assert (new["replaces"], new["name"], new["scopes"]) == (old["id"], "bot", ["read"])
    assert works(client, old["api_key"])
    assert works(client, new["api_key"])
    server.clock.advance(60)
    assert not works(client, old["api_key"])
    assert read(client, f"keys/{old['id']}")["state"] == "expired"
    assert client.refused(f"keys/{old['id']}/rotate") == (409, "key_ended")
    assert client.made(f"keys/{new['id']}/revoke")["state"] == "revoked"
    wait_for(lambda: not works(client, new["api_key"]))
    assert client.made(f"keys/{new['id']}/revoke")["state"] == "revoked"


def test_a_key_of_another_workspace_is_neither_rotated_nor_revoked(server, client):
    made = made_key(client)
    stranger = Client(server, server.new_key("admin", "other"))
    for act in ("rotate", "revoke"):
        assert stranger.refused(f"keys/{made['id']}/{act}") == (404, "key_not_found")
        assert stranger.refused(f"keys/key_{'0' * 32}/{act}") == (404, "key_not_found")
        assert stranger.refused(f"keys/%00/{act}") == (404, "key_not_found")
    assert works(client, made["api_key"])


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["/scopes"]),
        ({"scopes": []}, ["/scopes"]),
        ({"scopes": ["read", "everything"]}, ["/scopes"]),
        ({"scopes": ["operator"]}, ["/scopes"]),
        ({"scopes": "read"}, ["/scopes"]),
        ({"scopes": [1]}, ["/scopes/0", "/scopes"]),
        ({"scopes": ["read"], "name": "a\u2028b"}, ["/name"]),
        ({"scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, ["/expires_at"]),
        ({"scopes": ["read"], "expires_at": "soon", "workspace": "other"}, ["/workspace", "/expires_at"]),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(client, body, wrong):
    answer = client.post("keys", body)
    assert told(answer) == (400, "invalid")
    assert places(answer) == wrong


@pytest.mark.parametrize("seconds", [-1, 30 * 86_400 + 1, "60", 1.5])
def test_an_overlap_has_bounds(client, seconds):
    made = made_key(client)
    assert client.refused(f"keys/{made['id']}/rotate", {"overlap_seconds": seconds}) == (400, "invalid")


# Settings of the workspace


def test_settings_of_the_workspace_change_only_from_the_state_that_was_read(client):
    seen = ask(client, "settings").headers["etag"]
    changed = patch(client, "settings", {"refund_grace_days": 9}, If_Match=seen, key="s-1")
    assert (changed.status, changed.json["refund_grace_days"]) == (200, 9)
    assert ask(client, "settings").headers["etag"] == changed.headers["etag"] != seen
    assert told(patch(client, "settings", {"refund_grace_days": 1}, If_Match=seen)) == (412, "precondition_failed")
    again = patch(client, "settings", {"refund_grace_days": 9}, If_Match=seen, key="s-1")
    assert (again.raw, again.headers["idempotent-replayed"]) == (changed.raw, "true")
    assert read(client, "settings")["refund_grace_days"] == 9
    assert read(client, "settings")["workspace"]["scale"] == 6


def test_a_dry_run_changes_no_setting(client):
    before = read(client, "settings")
    answer = patch(client, "settings", {"max_live_holds": 7, "dry_run": True})
    assert (answer.status, answer.json["max_live_holds"], answer.json["dry_run"]) == (200, 7, True)
    assert read(client, "settings") == before


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, [""]),
        ({"rate_limit": -1}, ["/rate_limit"]),
        ({"rate_limit": "9"}, ["/rate_limit"]),
        ({"rate_limit": True, "max_live_holds": 1.5}, ["/max_live_holds", "/rate_limit"]),
        ({"max_live_grants": 10_001, "refund_grace_days": 3_651}, ["/refund_grace_days", "/max_live_grants"]),
        ({"refund_lapsed": "maybe"}, ["/refund_lapsed"]),
        ({"unit": "USD"}, ["/unit"]),
        ({"workspace": {"id": "other"}}, ["/workspace"]),
    ],
)
def test_settings_of_the_workspace_that_make_no_sense_are_refused(client, body, wrong):
    answer = patch(client, "settings", body)
    assert told(answer) == (400, "invalid")
    assert wrong == [place for place in places(answer) if place in wrong]


def test_a_body_that_makes_no_sense_is_told_before_that_the_state_is_another(client):
    answer = patch(client, "settings", {"rate_limit": True}, If_Match='"another"')
    assert told(answer) == (400, "invalid")


@pytest.mark.parametrize("number", ["11", "11.0", "1.1e1", "110e-1"])
def test_a_whole_number_may_be_written_in_any_way(client, number):
    answer = patch(client, "settings", f'{{"max_live_holds": {number}, "dry_run": true}}')
    assert (answer.status, answer.json["max_live_holds"]) == (200, 11)


# Operators


def workspace_id() -> str:
    return f"shop-{next(_numbers)}"


def test_an_operator_makes_a_workspace_and_its_first_key(server, operator):
    id = workspace_id()
    body = {"id": id, "unit": "USD", "name": "The shop"}
    first, again = (operator.post("workspaces", body, key=f"w-{id}") for _ in range(2))
    assert (first.status, first.headers["location"]) == (201, f"/v1/workspaces/{id}")
    assert (again.raw, again.headers["idempotent-replayed"]) == (first.raw, "true")
    assert (first.json["scale"], first.json["mode"]) == (9, "live")
    assert operator.refused("workspaces", body) == (409, "workspace_exists")
    assert read(operator, f"workspaces/{id}") == first.json
    assert first.json in whole(operator, "workspaces", limit=1)
    path, asked = f"workspaces/{id}/keys", {"scopes": ["admin"]}
    made = operator.made(path, asked, 201, key=f"f-{id}")
    assert operator.made(path, asked, 201, key=f"f-{id}") == made | {"api_key": None}
    assert operator.refused(path, asked) == (409, "key_exists")
    owner = Client(server, made["api_key"])
    assert read(owner, "settings")["workspace"] == {
        "id": id, "name": "The shop", "mode": "live", "unit": "USD", "scale": 9,
    }  # fmt: skip
    assert {record["action"] for record in whole(owner, "audit")} == {"workspace.create", "key.create"}


def test_an_operator_can_touch_nothing_inside_a_workspace(operator, rich):
    for path in ("accounts", f"accounts/{rich}", f"accounts/{rich}/entries", "payments", "audit", "keys", "settings"):
        assert told(ask(operator, path)) == (403, "scope_missing")
    for path in ("grants", "charges", "holds", f"accounts/{rich}/adjust", "accounts"):
        assert operator.refused(path, {"account": rich, "amount": "1"}) == (403, "scope_missing")


def test_a_key_of_a_workspace_is_no_operators(client):
    assert told(ask(client, "workspaces")) == (403, "scope_missing")
    assert client.refused("workspaces", {"id": "x"}) == (403, "scope_missing")
    assert client.refused("workspaces/other/keys", {"scopes": ["admin"]}) == (403, "scope_missing")


def test_an_operators_key_opens_nothing_on_the_other_face(server, operator):
    answer = server.post("deduct", {"account_id": "x", "operation": "abc", "amount": 1}, key=operator.api_key)
    assert answer.told == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["/id"]),
        ({"id": "a b"}, ["/id"]),
        ({"id": "x" * 65}, ["/id"]),
        ({"id": "ok", "scale": 13}, ["/scale"]),
        ({"id": "ok", "scale": True}, ["/scale"]),
        ({"id": "ok", "mode": "oper"}, ["/mode"]),
        ({"id": "ok", "unit": "u" * 33}, ["/unit"]),
        ({"id": "ok", "settings": {}}, ["/settings"]),
    ],
)
def test_a_workspace_that_makes_no_sense_is_not_made(operator, body, wrong):
    answer = operator.post("workspaces", body)
    assert told(answer) == (400, "invalid")
    assert places(answer) == wrong


def test_a_workspace_that_is_not_there_is_not_found(operator):
    assert told(ask(operator, "workspaces/nowhere")) == (404, "workspace_not_found")
    assert told(ask(operator, "workspaces/%00")) == (404, "workspace_not_found")
    assert operator.refused("workspaces/nowhere/keys", {"scopes": ["admin"]}) == (404, "workspace_not_found")


# All of them


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_a_write_needs_its_key_its_scope_and_a_readable_body(server, client, rich, method, path, body):
    path = path.format(account=encoded(rich), key=made_key(client)["id"])
    assert told(sent(client, method, path, body, key=None)) == (400, "idempotency_key_missing")
    assert told(sent(client, method, path, body | {"surprise": 1})) == (400, "invalid")
    assert told(sent(client, method, path, body | {"dry_run": "yes"})) == (400, "invalid")
    assert told(sent(client, method, path, "[1]")) == (400, "malformed")
    assert told(sent(client, method, path, "{")) == (400, "malformed")
    weak = Client(server, server.new_key("read,charge"))
    assert told(sent(weak, method, path, body)) == (403, "scope_missing")
