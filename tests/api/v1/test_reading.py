"""Reading with the native API: what an account has, its history in pages, single things; and the walls around them."""

from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.api.endpoint import Endpoint
from farthing.api.v1.cursors import LIVES_SECONDS
from farthing.api.v1.face import ENDPOINTS
from farthing.core.commands import GiveGrant
from tests.api.serving import Server
from tests.api.v1.client import Client, encoded, places, told
from tests.api.v1.reading import ask, operators_key, patch, read, whole, without_request

BOTH_DATABASES = True

_numbers = count()
NOBODYS = {
    "entries/{}": ("ent", "entry_not_found"),
    "charges/{}": ("ent", "charge_not_found"),
    "grants/{}": ("grt", "grant_not_found"),
    "holds/{}": ("hold", "hold_not_found"),
    "keys/{}": ("key", "key_not_found"),
}
LISTINGS = [e for e in ENDPOINTS if e.method == "GET" and any(p.name == "cursor" for p in e.parameters)]
OF_ACCOUNT = [e for e in ENDPOINTS if e.method == "GET" and "{account}" in e.path]
READINGS = [e for e in ENDPOINTS if e.method == "GET" and e.scope != "operator"]


@pytest.fixture
def stranger(server: Server) -> Client:
    """Somebody of another workspace who may do everything there."""
    return Client(server, server.new_key("admin", "other"))


def needed(endpoint: Endpoint) -> dict[str, str]:
    """The parameters that the call can't do without."""
    return {p.name: p.example for p in endpoint.parameters if p.place == "query" and p.required}


def filled(path: str, account: str) -> str:
    """The path of an endpoint, with the account and with ids that are nobody's."""
    path = path.removeprefix("/v1/").replace("{account}", encoded(account))
    return path.replace("{provider}", "stripe").replace("{payment}", "pi_1").replace("{id}", "ent_" + "0" * 32)


# Accounts


def test_an_account_shows_what_it_has_and_what_can_be_spent(client, rich):
    client.grant(rich, "50", scope=["operation:image.*"])
    client.charge(rich, "10.5")
    client.hold(rich, "20")
    found = read(client, f"accounts/{rich}")
    assert found | {"updated_at": None} == {
        "id": rich, "balance": "139.5", "unscoped": "89.5", "held": "20", "debt": "0", "available": "69.5",
        "scoped": [{"scope": ["operation:image.*"], "available": "50"}], "earned": "150", "spent": "10.5",
        "lapsed": "0", "written_off": "0", "grants": 2, "holds": 1, "next_expiration": None, "entries": 5,
        "updated_at": None,
        "settings": {
            "allowance": "0", "frozen": False, "spend_limit_day": None, "spend_limit_month": None, "timezone": "UTC",
            "balance_low": None, "balance_critical": None,
        },
    }  # fmt: skip


def test_a_balance_counts_the_grants_whose_scope_the_request_matches(client, rich):
    client.grant(rich, "50", scope=["operation:image.*"])
    client.grant(rich, "7", scope=["model:gpt-4o"])

    def available(**query: str) -> str:
        return str(read(client, f"accounts/{rich}/balance", **query)["available"])

    assert available() == "100"
    assert available(operation="image.edit") == "150"
    assert available(operation="chat") == "100"
    assert available(operation="image.edit", model="gpt-4o") == "157"


def test_a_balance_says_how_near_its_end_it_is(client, rich):
    def level() -> str:
        return str(read(client, f"accounts/{rich}/balance")["level"])

    told = read(client, f"accounts/{rich}/balance")
    assert (told["level"], told["low"], told["critical"]) == ("fine", "1", "0.1")
    client.charge(rich, "99")
    client.hold(rich, "1")  # is there still
    assert level() == "fine"
    for name, threshold, told in (("low", "2", "low"), ("critical", "1.5", "critical")):
        assert patch(client, f"accounts/{rich}/settings", {f"balance_{name}": threshold}).status == 200
        assert (level(), read(client, f"accounts/{rich}/balance")[name]) == (told, threshold)
    client.charge(rich, "5", shortfall="debt")
    assert level() == "depleted"


def test_accounts_are_listed_and_searched_in_the_order_of_their_bytes(client):
    names = [f"s/{next(_numbers)}{tail}" for tail in ("a", "ä", "z", " b", "\U0001f600")]
    mark = names[0][:2]
    for name in names:
        client.grant(name)
    found = [each["id"] for each in whole(client, "accounts", prefix=mark, limit=2)]
    assert found == sorted(found, key=str.encode)
    assert set(names) <= set(found)
    assert whole(client, "accounts", prefix="nobody's") == []
    assert whole(client, "accounts", prefix=mark, in_debt="true") == []
    assert [each["id"] for each in whole(client, "accounts", prefix=mark, frozen="false")] == found


@pytest.mark.parametrize("name", ["a b", "50%", "a/b", "ünï", "\U0001f600", "..", "a?b=c#d", "%2F"])
def test_an_account_of_any_name_has_its_path(client, name):
    name = f"{name}{next(_numbers)}"
    client.grant(name, "3")
    assert read(client, f"accounts/{encoded(name)}")["id"] == name
    assert [e["account"] for e in read(client, f"accounts/{encoded(name)}/entries")["data"]] == [name, name]


# Entries


def test_entries_tell_what_they_did(client, rich):
    charged = client.charge(rich, "7.5", operation="chat", metadata={"a": 1.50}, description="words", key="k7")
    entry = read(client, f"entries/{charged['entry']}")
    assert entry["metadata"] == {"a": 1.50}
    assert (entry["number"], entry["kind"], entry["amount"], entry["balance"]) == (3, "charge", "-7.5", "92.5")
    assert (entry["operation"], entry["description"], entry["key"]) == ("chat", "words", "v1:k7")
    assert [(s["amount"], s["held"]) for s in entry["slices"]] == [("-7.5", "0")]
    assert entry["actor"].startswith("key:")
    assert read(client, f"accounts/{rich}/entries", limit=1)["data"] == [entry]


def test_entries_are_filtered_by_kind_and_time_in_either_order(server, client, rich):
    began = server.clock.now_us()
    client.charge(rich, "1")
    server.clock.advance(60)
    client.charge(rich, "2")
    client.hold(rich, "3")
    at = "2026-01-01T00:00:30Z" if began == 1_767_225_600_000_000 else None
    path = f"accounts/{rich}/entries"
    kinds = [e["kind"] for e in whole(client, path, limit=2)]
    assert kinds == ["hold", "charge", "charge", "grant", "open"]
    assert [e["kind"] for e in whole(client, path, order="oldest", limit=2)] == kinds[::-1]
    assert [e["amount"] for e in whole(client, path, kind="charge")] == ["-2", "-1"]
    assert [e["kind"] for e in whole(client, path, kind="open,grant", limit=1)] == ["grant", "open"]
    late = whole(client, path, from_=at or read(client, path, limit=1)["data"][0]["created_at"])
    assert [e["kind"] for e in late] == ["hold", "charge"]
    first = late[-1]["created_at"]
    assert [e["kind"] for e in whole(client, path, to=first)] == ["charge", "grant", "open"]
    assert whole(client, path, from_=first, to=first) == []


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(charges=st.integers(0, 7), limit=st.integers(1, 5), order=st.sampled_from(["newest", "oldest"]))
def test_pages_hold_each_entry_once_and_in_order_while_others_are_written(client, charges, limit, order):
    account = f"paged-{next(_numbers)}"
    client.grant(account)
    for _ in range(charges):
        client.charge(account, "1")
    newest = order == "newest"
    seen = whole(
        client,
        f"accounts/{account}/entries",
        lambda: client.charge(account, "1") if newest else None,
        limit=limit,
        order=order,
    )
    numbers = [entry["number"] for entry in seen]
    assert numbers[:: -1 if newest else 1] == list(range(1, charges + 3))


# Charges, grants, holds


def test_a_charge_shows_what_was_refunded_of_it(client, rich):
    charged = client.charge(rich, "10")
    client.made(f"charges/{charged['id']}/refund", {"amount": "4"}, 201)
    found = read(client, f"charges/{charged['id']}")
    assert (found["amount"], found["refunded"], found["refundable"]) == ("10", "4", "6")
    assert [(g["amount"], g["refunded"]) for g in found["grants"]] == [("10", "4")]
    (listed,) = whole(client, f"accounts/{rich}/charges", limit=1)
    assert listed.pop("grants") == [
        {name: g[name] for name in ("grant", "amount", "refunded")} for g in found["grants"]
    ]
    assert listed.items() <= found.items()


def test_grants_are_listed_by_what_became_of_them(client, account):
    first, second = client.grant(account, "5", priority=1), client.grant(account, "8")
    client.made(f"grants/{client.grant(account, '2')['id']}/void")
    client.charge(account, "6")
    path = f"accounts/{account}/grants"
    assert [g["state"] for g in whole(client, path, limit=1)] == ["voided", "live", "spent"]
    assert [g["id"] for g in whole(client, path, state="live")] == [second["id"]]
    assert [g["id"] for g in whole(client, path, state="spent")] == [first["id"]]
    found = read(client, f"grants/{second['id']}")
    assert (found["amount"], found["remaining"], found["spent"], found["gone"]) == ("8", "7", "1", "0")


def test_holds_are_listed_live_or_ended(client, rich):
    live, gone = client.hold(rich, "1"), client.hold(rich, "2", model="m")
    client.made(f"holds/{gone['id']}/release")
    path = f"accounts/{rich}/holds"
    assert [h["id"] for h in whole(client, path, limit=1)] == [gone["id"], live["id"]]
    assert [h["id"] for h in whole(client, path, state="live")] == [live["id"]]
    assert [h["id"] for h in whole(client, path, state="ended")] == [gone["id"]]
    found = read(client, f"holds/{gone['id']}")
    assert (found["state"], found["remaining"], found["model"]) == ("released", "0", "m")


# Payments, audit


def test_payments_say_whose_they_are(server, client, account):
    entry = server.do(GiveGrant(workspace="main", account=account, amount=1, claim=("stripe", f"pi/{account}")))
    found = read(client, f"payments/stripe/{encoded(f'pi/{account}')}")
    assert (found["account"], found["entry"]) == (account, entry.id)
    assert whole(client, "payments", account=account) == [found]
    assert found in whole(client, "payments", provider="stripe", limit=1)
    assert whole(client, "payments", provider="digistore24", account=account) == []


def test_the_audit_log_says_who_did_what_to_whom(client, account):
    client.grant(account, "2.5")
    (record,) = whole(client, "audit", subject=account)
    assert (record["action"], record["detail"]) == ("account.grant", {"kind": "grant", "amount": "2.5"})
    assert record in whole(client, "audit", actor=record["actor"], limit=3)
    assert whole(client, "audit", subject=account, action="account.void") == []
    assert whole(client, "audit", subject=account, to=record["created_at"]) == []


# What is wrong with a query


@pytest.mark.parametrize("endpoint", READINGS, ids=lambda e: e.operation_id)
def test_a_parameter_that_a_call_does_not_have_is_refused_and_named(client, rich, endpoint):
    answer = ask(client, filled(endpoint.path, rich), limitt="1", **needed(endpoint))
    assert told(answer) == (400, "invalid")
    assert places(answer) == ["limitt"]


@pytest.mark.parametrize("endpoint", LISTINGS, ids=lambda e: e.operation_id)
@pytest.mark.parametrize("limit", ["0", "201", "-1", "1.0", "", "ten", "99999999999999999999", "\uff11"])
def test_a_limit_is_a_number_from_1_to_200(client, rich, endpoint, limit):
    if endpoint.scope == "operator":
        client = Client(client.server, operators_key(client.server))
    answer = ask(client, filled(endpoint.path, rich), limit=limit, **needed(endpoint))
    assert told(answer) == (400, "invalid")
    assert places(answer) == ["limit"]


@pytest.mark.parametrize(
    ("path", "query", "wrong"),
    [
        ("accounts/{}/entries", {"kind": "payment"}, ["kind"]),
        ("accounts/{}/entries", {"kind": ""}, ["kind"]),
        ("accounts/{}/entries", {"kind": "charge,,grant"}, ["kind"]),
        ("accounts/{}/entries", {"from_": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, ["from"]),
        ("accounts/{}/entries", {"from_": "yesterday", "to": "2026-02-30T00:00:00Z"}, ["from", "to"]),
        ("accounts/{}/entries", {"to": "1767225600"}, ["to"]),
        ("accounts/{}/entries", {"order": "random"}, ["order"]),
        ("accounts/{}/charges", {"from_": "2026-01-01"}, ["from"]),
        ("accounts/{}/grants", {"state": "dead"}, ["state"]),
        ("accounts/{}/holds", {"state": "settled"}, ["state"]),
        ("accounts", {"frozen": "yes"}, ["frozen"]),
        ("accounts", {"in_debt": "1"}, ["in_debt"]),
        ("accounts", {"prefix": ""}, ["prefix"]),
        ("accounts", {"prefix": "\0"}, ["prefix"]),
        ("accounts", {"prefix": "x" * 256}, ["prefix"]),
        ("payments", {"provider": "x" * 256, "account": "\n"}, ["provider", "account"]),
        ("audit", {"actor": "", "from_": "x"}, ["actor", "from"]),
        ("accounts/{}/balance", {"operation": ""}, ["operation"]),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_and_named(client, rich, path, query, wrong):
    answer = ask(client, path.format(rich), **query)
    assert told(answer) == (400, "invalid")
    assert places(answer) == wrong


@pytest.mark.parametrize(
    "query", ["limit=1&limit=2", "limit=1;x", "%ff=1", "limit=%ff", "&".join("a=1" for _ in range(60))]
)
def test_a_query_that_can_not_be_read_is_refused(client, query):
    answer = client.server.send("GET", f"/v1/accounts?{query}", None, {"X-API-Key": client.api_key})
    assert told(answer) == (400, "invalid")


# Cursors


def cursor_of(client: Client, account: str) -> str:
    return str(read(client, f"accounts/{account}/entries", limit=1)["next_cursor"])


def test_a_cursor_goes_on_only_where_it_came_from(client, stranger, rich):
    cursor = cursor_of(client, rich)
    stranger.grant(rich)
    entries = f"accounts/{rich}/entries"
    wrong: list[tuple[Client, str, dict[str, Any], str]] = [
        (client, entries, {"cursor": cursor[:-3] + "AAA"}, "made up"),
        (client, entries, {"cursor": "x"}, "made up"),
        (client, entries, {"cursor": ""}, "made up"),
        (client, entries, {"cursor": cursor, "kind": "grant"}, "other filters"),
        (client, f"accounts/{rich}/charges", {"cursor": cursor}, "another listing"),
        (stranger, entries, {"cursor": cursor}, "another workspace"),
    ]
    for who, path, query, words in wrong:
        answer = ask(who, path, **query)
        assert told(answer) == (400, "cursor_invalid")
        assert places(answer) == ["cursor"]
        assert words in answer.json["detail"]
    assert read(client, entries, cursor=cursor, limit=2)["data"][0]["number"] == 1


def test_a_cursor_goes_on_only_in_its_account(client, rich):
    client.grant(other := f"{rich}-b")
    answer = ask(client, f"accounts/{other}/entries", cursor=cursor_of(client, rich))
    assert told(answer) == (400, "cursor_invalid")


def test_a_cursor_lives_for_a_day(server, client, rich):
    cursor = cursor_of(client, rich)
    server.clock.advance(LIVES_SECONDS)
    answer = ask(client, f"accounts/{rich}/entries", cursor=cursor)
    assert told(answer) == (400, "cursor_invalid")
    assert "24 hours" in answer.json["detail"]


# Walls


def test_an_id_of_another_workspace_reads_exactly_like_one_that_nobody_has(client, stranger, rich):
    charged, held = client.charge(rich, "1"), client.hold(rich, "1")
    granted = client.grant(rich, "1")
    own = {
        "entries/{}": charged["entry"],
        "charges/{}": charged["id"],
        "grants/{}": granted["id"],
        "holds/{}": held["id"],
    }
    own["keys/{}"] = read(client, "keys", limit=1)["data"][0]["id"]
    for path, (prefix, code) in NOBODYS.items():
        assert read(client, path.format(own[path]))["id"] == own[path]
        nobodys = f"{prefix}_{'0' * 32}"
        answers = [ask(stranger, path.format(id)) for id in (own[path], nobodys, "x", "%00", "a%2Fb")]
        assert {told(answer) for answer in answers} == {(404, code)}
        assert all(without_request(answer) == without_request(answers[0]) for answer in answers)


@pytest.mark.parametrize("endpoint", OF_ACCOUNT, ids=lambda e: e.operation_id)
def test_an_account_of_another_workspace_is_not_there(stranger, rich, endpoint):
    answers = [ask(stranger, filled(endpoint.path, id)) for id in (rich, "nobody", "\0", "x" * 300)]
    assert {told(answer) for answer in answers} == {(404, "account_not_found")}
    assert all(without_request(answer) == without_request(answers[0]) for answer in answers)


def test_a_payment_of_another_workspace_is_not_there(server, stranger, account):
    server.do(GiveGrant(workspace="main", account=account, amount=1, claim=("stripe", f"wall-{account}")))
    assert told(ask(stranger, f"payments/stripe/wall-{account}")) == (404, "payment_not_found")
    assert whole(stranger, "payments", account=account) == []
    assert whole(stranger, "audit", subject=account) == []
    assert whole(stranger, "accounts", prefix=account) == []


@pytest.mark.parametrize("endpoint", READINGS, ids=lambda e: e.operation_id)
def test_a_reading_takes_its_scope(server, rich, endpoint):
    without = "charge" if endpoint.scope == "read" else "read,charge,grant"
    answer = ask(Client(server, server.new_key(without)), filled(endpoint.path, rich))
    assert told(answer) == (403, "scope_missing")


# What is documented


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: e.operation_id)
def test_every_example_is_of_its_type(endpoint):
    assert msgspec.to_builtins(msgspec.convert(endpoint.answered, endpoint.answer)) == endpoint.answered
    if endpoint.request is not None:
        msgspec.convert(endpoint.example, endpoint.request)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: e.operation_id)
def test_every_name_in_a_path_is_documented(endpoint):
    named = {p.name for p in endpoint.parameters if p.place == "path"}
    assert {part.strip("{}") for part in endpoint.path.split("/") if part.startswith("{")} == named
