"""Charges, bulk, holds and settles that say what was used: priced once, recorded, and refused by name."""

import re
from collections.abc import Callable
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from farthing.api.v1.wire import write_time
from farthing.core.records import WorkspaceSettings
from farthing.stores.prices import LEAD_US
from tests.api.serving import Answer, Server, wait_for
from tests.api.v1.client import Client, encoded, new_key, places, told
from tests.api.v1.pricing import CARD, CATALOGUE, PER, USED, priced_by, put, sells, shop
from tests.api.v1.reading import patch, read

BOTH_DATABASES = True

_numbers = count()
SECOND_US = 1_000_000
TOKENS = {"input_tokens": 1500, "output_tokens": 800}


@pytest.fixture(scope="module")
def client(server: Server) -> Client:
    return shop(server)


@pytest.fixture
def rich(client: Client, account: str) -> str:
    """An account with 100 credits."""
    client.grant(account)
    return account


def charge(client: Client, account: str, usage: Any = USED, **more: Any) -> dict[str, Any]:
    return client.made("charges", {"account": account, "usage": usage, **more}, 201)


def balance(client: Client, account: str) -> Any:
    return read(client, f"accounts/{encoded(account)}")["balance"]


def with_account(client: Client) -> str:
    """An account of another shop, with 100 credits."""
    account = f"user-{next(_numbers)}"
    client.grant(account)
    return account


def workspace_of(client: Client) -> str:
    found: str = read(client, "settings")["workspace"]["id"]
    return found


# What is charged, and kept


def test_a_charge_of_usage_takes_its_price(client, rich):
    usage = {**USED, "provider": "acme", "operation": "chat.message", "chat": "c-1", "attributes": {"tone": "dry"}}
    made = charge(client, rich, usage)
    assert (made["amount"], made["operation"], balance(client, rich)) == ("7", "chat.message", "93")
    assert made["usage"] == {
        "provider": "acme", "model": "tiny", "service": None, "operation": "chat.message", "product": None,
        "chat": "c-1", "dimensions": {"input_tokens": "1500", "output_tokens": "800"}, "attributes": {"tone": "dry"},
        "at": None,
    }  # fmt: skip
    assert (made["price"]["card"], made["price"]["exact"], made["price"]["unpriced"]) == ("default@1", "7", False)
    assert [(line["rule"], line["amount"]) for line in made["price"]["lines"]] == [("in", "3"), ("out", "4")]
    shown = read(client, f"charges/{made['id']}")
    assert (shown["usage"], shown["price"]) == (made["usage"], made["price"])


def test_the_lines_of_a_price_add_up_to_the_amount(server):
    card = {**CARD, "markup": {"percent": "33.3", "fixed": "0.1"}, "minimum": "20", "rounding": "up"}
    client = shop(server, card)
    made = charge(client, with_account(client))
    assert made["amount"] == "20"
    assert {line["kind"] for line in made["price"]["lines"]} == {"price", "markup", "minimum"}
    assert sum(Decimal(line["amount"]) for line in made["price"]["lines"]) == 20


def test_an_amount_beside_the_usage_is_what_it_costs(client, rich):
    made = charge(client, rich, {"model": "whatever", "dimensions": TOKENS}, amount="1.5")
    assert (made["amount"], made["price"], made["usage"]["model"]) == ("1.5", None, "whatever")
    assert charge(client, rich, {"model": "whatever"}, amount="0")["amount"] == "0"
    assert balance(client, rich) == "98.5"


def test_usage_that_costs_nothing_is_recorded_all_the_same(client, rich, server):
    made = charge(client, rich, {"model": "tiny", "dimensions": {"input_tokens": 0, "output_tokens": 0}})
    assert (made["amount"], made["price"]["lines"], balance(client, rich)) == ("0", [], "100")
    rows = server.sql("select amount, input_tokens, unpriced from usage where id = ?", made["id"])
    assert [(int(a), int(t), bool(u)) for a, t, u in rows] == [(0, 0, False)]


def test_a_usage_row_rides_in_the_commit(client, rich, server):
    made = charge(client, rich, {**USED, "chat": "c-9", "service": "bot"})
    ((*row,),) = server.sql(
        "select account, service, model, chat, input_tokens, output_tokens, tokens, amount from usage where id = ?",
        made["id"],
    )
    assert row == [rich, "bot", "tiny", "c-9", 1500, 800, 2300, 7_000_000]


def test_scoped_grants_pay_for_the_usage_they_match(client, account):
    client.grant(account, "5", scope=["model:tiny"])
    client.grant(account, "5")
    assert [part["amount"] for part in charge(client, account)["grants"]] == ["5", "2"]


@pytest.mark.parametrize(
    "sent", [{"input_tokens": "1500", "output_tokens": "800"}, {"input_tokens": 1500.0, "output_tokens": 8e2}]
)
def test_numbers_and_texts_are_the_same_quantity(client, rich, sent):
    key = new_key()
    first = client.post("charges", {"account": rich, "usage": USED}, key=key)
    again = client.post("charges", {"account": rich, "usage": {**USED, "dimensions": sent}}, key=key)
    assert (again.raw, again.headers["idempotent-replayed"]) == (first.raw, "true")


def test_model_ids_with_colons_and_slashes_are_kept_as_sent(server):
    name = f"family.model-{next(_numbers)}:0"
    sells(server, "router", f"maker/{name}", aliases=(name,))
    client = shop(server, CATALOGUE)
    account = with_account(client)
    for sent in (f"maker/{name}", f"router/maker/{name}", name):
        made = charge(client, account, {"model": sent, "dimensions": {"input_tokens": 1000, "output_tokens": 0}})
        assert (made["usage"]["model"], made["amount"]) == (sent, "0.3")
        assert (made["price"]["provider"], made["price"]["model"]) == ("router", f"maker/{name}")
    own = {"rules": [{"id": "a", "dimension": "tokens", "price": "1", "match": {"model": "ft:gpt/x:org::7"}}]}
    other = shop(server, own)
    made = charge(other, with_account(other), {"model": "ft:gpt/x:org::7", "dimensions": {"tokens": 2}})
    assert (made["amount"], made["usage"]["model"]) == ("2", "ft:gpt/x:org::7")


def test_what_the_provider_asks_is_kept_beside_the_price(server):
    name = f"costly-{next(_numbers)}"
    sells(server, "acme", name)
    client = shop(server, CATALOGUE)
    made = charge(client, with_account(client), {"model": name, "dimensions": {"input_tokens": 10**5}})
    assert (made["amount"], made["price"]["cost"]) == ("30", "25")


# Bulk, holds and settles


def test_items_of_a_bulk_are_priced_each_by_itself(client, rich):
    items = [
        {"key": new_key(), "account": rich, "usage": USED},
        {"key": new_key(), "account": rich, "usage": {"model": "tiny", "dimensions": {"input_tokens": -1}}},
        {"key": new_key(), "account": rich, "usage": {"dimensions": {"images": 2}}},
    ]
    results = client.made("charges/bulk", {"items": items}, key=None)["results"]
    assert [result["status"] for result in results] == ["charged", "refused", "charged"]
    assert [result["charge"]["amount"] for result in results if "charge" in result] == ["7", "20"]
    assert results[1]["problem"]["errors"][0]["pointer"].endswith("/usage/dimensions/input_tokens")
    assert balance(client, rich) == "73"


def test_a_hold_sets_the_price_of_the_expected_usage_aside(client, rich):
    held = client.made("holds", {"account": rich, "usage": USED}, 201)
    assert (held["amount"], held["after"]["held"], held["price"]["card"]) == ("7", "7", "default@1")
    settled = client.made(
        f"holds/{held['id']}/settle", {"usage": {"model": "tiny", "dimensions": {"output_tokens": 200}}}
    )
    assert (settled["amount"], settled["released"], balance(client, rich)) == ("1", "6", "99")
    assert settled["price"]["lines"][0]["rule"] == "out"


def test_a_settle_may_come_to_more_than_was_held(client, rich):
    held = client.hold(rich, "5")
    settled = client.made(f"holds/{held['id']}/settle", {"usage": USED})
    assert (settled["amount"], settled["released"], balance(client, rich)) == ("7", "0", "93")
    assert read(client, f"charges/{settled['charge']}")["usage"]["dimensions"] == {
        "input_tokens": "1500", "output_tokens": "800",
    }  # fmt: skip


# Bad input: each is named, and changes nothing


def by_charge(client: Client, account: str, usage: Any) -> Answer:
    return client.post("charges", {"account": account, "usage": usage})


def by_hold(client: Client, account: str, usage: Any) -> Answer:
    return client.post("holds", {"account": account, "usage": usage})


def by_settle(client: Client, account: str, usage: Any) -> Answer:
    return client.post(f"holds/{client.hold(account, '1')['id']}/settle", {"usage": usage})


CALLS = [by_charge, by_hold, by_settle]
WRONG: list[tuple[Any, str, str]] = [
    ({"dimensions": {"input_tokens": -1}}, "invalid", "/usage/dimensions/input_tokens"),
    ({"dimensions": {"input_tokens": "1.5"}}, "invalid", "/usage/dimensions/input_tokens"),
    ({"dimensions": {"input_tokens": 0.5}}, "invalid", "/usage/dimensions/input_tokens"),
    ({"dimensions": {"input_tokens": "ten"}}, "invalid", "/usage/dimensions/input_tokens"),
    ({"dimensions": {"input_tokens": "NaN"}}, "invalid", "/usage/dimensions/input_tokens"),
    ({"dimensions": {"input_tokens": 10**15}}, "invalid", "/usage/dimensions/input_tokens"),
    ({"dimensions": {"input_tokens": None}}, "invalid", "/usage/dimensions/input_tokens"),
    ({"dimensions": {"output_tokens": 5, "reasoning_tokens": 6}}, "invalid", "/usage/dimensions/reasoning_tokens"),
    ({"dimensions": {"input_tokens": 5, "cache_read_tokens": 6}}, "invalid", "/usage/dimensions/cache_read_tokens"),
    ({"dimensions": {"input_tokens": 5, "tokens": 4}}, "invalid", "/usage/dimensions/input_tokens"),
    (
        {"dimensions": {"input_tokens": 5, "cache_read_tokens": 3, "cache_write_tokens": 3}},
        "invalid",
        "/usage/dimensions/input_tokens",
    ),
    ({"dimensions": {"Input": 5}}, "invalid", "/usage/dimensions/'Input'"),
    ({"dimensions": [5]}, "invalid", "/usage/dimensions"),
    ({"dimensions": {"pages": 5}}, "unknown_dimension", "/usage/dimensions/pages"),
    ({"dimensions": {"images": "0.5"}}, "invalid", "/usage/dimensions/images"),
    ({"dimensions": {}}, "invalid", "/usage/dimensions"),
    ({"operation": "nobody.prices.this"}, "unknown_operation", "/usage/operation"),
    ({"dimensions": {"images": "9" * 15}}, "amount_too_large", "/usage/dimensions"),
    ({"model": "x" * 256, "dimensions": {"images": 1}}, "invalid", "/usage/model"),
    ({"model": 5, "dimensions": {"images": 1}}, "invalid", "/usage/model"),
    ({"attributes": {"a": 5}, "dimensions": {"images": 1}}, "invalid", "/usage/attributes"),
    ({"at": "2026-02-30T00:00:00Z", "dimensions": {"images": 1}}, "invalid", "/usage/at"),
    ({"at": 5, "dimensions": {"images": 1}}, "invalid", "/usage/at"),
    ({"images": 1}, "invalid", "/usage/images"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("usage", "code", "place"), WRONG)
def test_what_is_wrong_with_a_usage_is_named_and_changes_nothing(
    client: Client, rich: str, call: Callable[..., Answer], usage: Any, code: str, place: str
):
    if code == "invalid" and "model" not in usage:
        usage = {"model": "tiny", **usage} if usage.get("dimensions") != {} else usage
    answer = call(client, rich, usage)
    assert (told(answer), places(answer)) == ((400, code), [place])
    assert balance(client, rich) == "100"


def test_everything_that_is_wrong_is_told_at_once(client):
    answer = client.post("charges", {"account": "", "usage": {"model": 5, "dimensions": {"a": None, "b": []}, "x": 1}})
    assert set(places(answer)) == {
        "/account", "/usage/model", "/usage/dimensions/a", "/usage/dimensions/b", "/usage/x",
    }  # fmt: skip


def test_words_beside_the_usage_must_not_contradict_it(client, rich):
    answer = client.post("charges", {"account": rich, "usage": USED, "model": "huge"})
    assert (told(answer), places(answer)) == ((400, "invalid"), ["/model"])
    assert charge(client, rich, USED, model="tiny", operation="chat")["operation"] == "chat"


def test_a_price_that_does_not_fit_an_exact_card_is_refused(server):
    client = shop(server, {**CARD, "rounding": "exact"})
    account = with_account(client)
    card = {"rules": [{"id": "a", "dimension": "images", "price": "0.0000001"}], "rounding": "exact"}
    put(server, card, workspace_of(client), None)
    server.clock.advance(2)
    priced_by(client, "default@2", {"dimensions": {"images": 10}})
    assert charge(client, account, {"dimensions": {"images": 10}})["amount"] == "0.000001"
    assert told(by_charge(client, account, {"dimensions": {"images": 1}})) == (400, "amount_inexact")


# Replays, and prices that change


def test_a_replay_after_a_change_of_price_gives_the_first_answer(server):
    client = shop(server)
    account, key = with_account(client), new_key()
    first = client.post("charges", {"account": account, "usage": USED}, key=key)
    put(server, {**CARD, "minimum": "50"}, workspace_of(client), None)
    server.clock.advance(2)
    priced_by(client, "default@2")
    again = client.post("charges", {"account": account, "usage": USED}, key=key)
    assert (first.json["amount"], again.raw, again.headers["idempotent-replayed"]) == ("7", first.raw, "true")
    assert charge(client, account)["amount"] == "50"
    other = client.post("charges", {"account": account, "usage": {**USED, "dimensions": {"input_tokens": 1}}}, key=key)
    assert (told(other), other.json["differs"]) == ((409, "key_conflict"), ["usage"])
    assert balance(client, account) == "43"


def test_a_replay_finds_its_first_answer_also_when_nothing_has_a_price_any_more(server):
    client = shop(server)
    account = with_account(client)
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("charges", {"account": account, "usage": USED}),
        ("holds", {"account": account, "usage": USED}),
        (f"holds/{client.hold(account, '9')['id']}/settle", {"usage": USED}),
        ("charges/bulk", {"items": [{"key": new_key(), "account": account, "usage": USED}]}),
    ]
    asked = [(path, body, new_key()) for path, body in bodies]
    first = [client.post(path, body, key=key) for path, body, key in asked]
    assert {answer.status for answer in first} <= {200, 201}
    no_charge = new_key()
    assert client.post("charges", {"account": "nobody", "usage": USED}, key=no_charge).status == 404
    put(server, {"rules": [{"id": "image", "dimension": "images", "price": "10"}]}, workspace_of(client), None)
    server.clock.advance(2)
    wait_for(lambda: client.post("quotes", {"usage": USED}, key=None).status == 400)
    left = balance(client, account)
    again = [client.post(path, body, key=key) for path, body, key in asked]
    assert [answer.raw for answer in again[:3]] == [answer.raw for answer in first[:3]]
    assert {answer.headers["idempotent-replayed"] for answer in again[:3]} == {"true"}
    (result,), (told_first,) = again[3].json["results"], first[3].json["results"]
    assert (result["replayed"], result["charge"]) == (True, told_first["charge"])
    # Under its key something else is a conflict, and what was never done has no price.
    more = {**USED, "chat": "another"}
    assert told(client.post("charges", {"account": account, "usage": more}, key=asked[0][2]))[1] == "key_conflict"
    bulk = {"items": [{"key": bodies[3][1]["items"][0]["key"], "account": account, "usage": more},
                      {"key": new_key(), "account": account, "usage": USED}]}  # fmt: skip
    problems = [each["problem"]["code"] for each in client.post("charges/bulk", bulk).json["results"]]
    assert problems == ["key_conflict", "unknown_model"]
    for body in ({"account": "nobody", "usage": USED}, {"account": account, "usage": USED, "final": True}):
        assert told(client.post("charges", body, key=no_charge)) == (400, "unknown_model")
    assert balance(client, account) == left


def test_a_hold_is_replayed_also_when_its_usage_costs_nothing_any_more(server):
    client = shop(server)
    account, key = with_account(client), new_key()
    first = client.post("holds", {"account": account, "usage": USED}, key=key)
    free = [{**each, "price": "0"} for each in CARD["rules"]]
    put(server, {"rules": free}, workspace_of(client), None)
    server.clock.advance(2)
    priced_by(client, "default@2")
    again = client.post("holds", {"account": account, "usage": USED}, key=key)
    assert (again.status, again.raw) == (201, first.raw)
    nothing = client.post("holds", {"account": account, "usage": USED})
    assert (told(nothing), places(nothing)) == ((400, "invalid"), ["/amount"])


def test_usage_of_a_clock_that_goes_ahead_is_priced_by_what_is_in_force(server):
    client = shop(server)
    account, begins = with_account(client), server.clock.now_us() + 30 * SECOND_US
    put(server, {**CARD, "minimum": "50"}, workspace_of(client), begins)
    ahead = {**USED, "at": write_time(begins + SECOND_US)}
    wait_for(lambda: client.made("quotes", {"usage": ahead}, key=None)["price"]["card"] == "default@2")
    made = charge(client, account, ahead)
    assert (made["price"]["card"], made["usage"]["at"]) == ("default@1", ahead["at"])


def test_a_card_switches_at_its_very_instant(server):
    client = shop(server)
    account, begins = with_account(client), server.clock.now_us() + 3 * LEAD_US
    put(server, {**CARD, "minimum": "9"}, workspace_of(client), begins)
    # Let the process read it: what prices at the instant has to be known before.
    priced_by(client, "default@1")
    later = {**USED, "at": write_time(begins)}
    wait_for(lambda: client.made("quotes", {"usage": later}, key=None)["amount"] == "9")
    server.clock.set(begins - 1)
    assert charge(client, account)["price"]["card"] == "default@1"
    server.clock.set(begins)
    assert charge(client, account)["price"]["card"] == "default@2"


def test_late_usage_is_priced_by_the_card_of_its_time(server):
    client = shop(server)
    account, began = with_account(client), server.clock.now_us()
    put(server, {**CARD, "minimum": "50"}, workspace_of(client), began + 10 * SECOND_US)
    server.clock.advance(30 * 86_400)  # far beyond what a process holds
    priced_by(client, "default@2")
    late = charge(client, account, {**USED, "at": write_time(began + 5 * SECOND_US)})
    assert (late["amount"], late["price"]["card"]) == ("7", "default@1")
    assert late["usage"]["at"] == write_time(began + 5 * SECOND_US)
    assert charge(client, account)["amount"] == "50"


@pytest.mark.parametrize(("offset", "ok"), [(-3_600, True), (-3_601, False), (60, True), (61, False)])
def test_usage_is_charged_within_the_limits_of_its_time(server, offset, ok):
    began = server.clock.now_us()
    client = shop(server, settings=WorkspaceSettings(usage_late_hours=1, usage_ahead_seconds=60))
    account = with_account(client)
    server.clock.advance(7_200)
    assert server.clock.now_us() > began
    answer = by_charge(client, account, {**USED, "at": write_time(server.clock.now_us() + offset * SECOND_US)})
    if ok:
        assert answer.status == 201, answer.raw
    else:
        assert (told(answer), places(answer)) == ((400, "invalid"), ["/usage/at"])


# Models that nobody knows


def test_an_unknown_model_is_charged_by_the_default_rules(client, rich):
    made = charge(client, rich, {"model": "house-model", "dimensions": TOKENS})
    assert (made["amount"], made["price"]["lines"][0]["rule"], made["price"]["unpriced"]) == ("2.3", "any", False)


@pytest.mark.parametrize(
    ("card", "policy"), [(CARD, "refuse"), (CATALOGUE, "refuse"), (CATALOGUE, "default")], ids=["own", "all", "default"]
)
def test_an_unknown_model_is_refused(server, card, policy):
    client = shop(server, card, WorkspaceSettings(unknown_models=policy))
    account = with_account(client)
    answer = by_charge(client, account, {"model": "house-model", "dimensions": TOKENS})
    assert (told(answer), places(answer)) == ((400, "unknown_model"), ["/usage/model"])
    assert "house-model" in answer.json["detail"]
    assert balance(client, account) == "100"


def test_a_name_of_several_models_is_refused_with_all_of_them(server):
    for provider in ("north", "south"):
        sells(server, provider, "twin")
    client = shop(server, CATALOGUE)
    account, usage = with_account(client), {"model": "twin", "dimensions": TOKENS}
    answer = by_charge(client, account, usage)
    assert (told(answer), places(answer)) == ((400, "unknown_model"), ["/usage/model"])
    quoted = client.post("quotes", {"usage": usage}, key=None)
    for each in (answer, quoted):
        assert (
            each.json["detail"] == "the model 'twin' could be any of north/twin, south/twin: send it as one of these."
        )
    assert balance(client, account) == "100"
    for more in ({"provider": "north"}, {"model": "south/twin"}):
        assert charge(client, account, {**usage, **more})["price"]["model"] == "twin"


def unpriced_so_far(server: Server) -> int:
    (line,) = re.findall(r"^farthing_unpriced_total (\S+)$", server.send("GET", "/metrics").raw.decode(), re.MULTILINE)
    return int(float(line))


def test_an_unknown_model_is_recorded_as_unpriced_and_says_so(server):
    client = shop(server, CATALOGUE, WorkspaceSettings(unknown_models="unpriced"))
    account = with_account(client)
    before = unpriced_so_far(server)
    made = charge(client, account, {"model": "house-model", "dimensions": TOKENS})
    assert unpriced_so_far(server) == before + 1
    assert (made["amount"], made["price"]["unpriced"], made["price"]["cost"]) == ("0", True, None)
    assert balance(client, account) == "100"
    ((unpriced,),) = server.sql("select unpriced from usage where id = ?", made["id"])
    assert unpriced
    # Also such usage has to be well-formed, and have a model.
    negative = {"model": "m", "dimensions": {"input_tokens": -1}}
    for usage, code in ((negative, "invalid"), ({"dimensions": TOKENS}, "unknown_dimension")):
        assert told(by_charge(client, account, usage)) == (400, code)


def test_the_policy_is_a_setting_that_takes_effect(server):
    client = shop(server, CATALOGUE)
    account, usage = with_account(client), {"model": "house-model", "dimensions": TOKENS}
    assert told(by_charge(client, account, usage)) == (400, "unknown_model")
    assert patch(client, "settings", {"unknown_models": "unpriced", "usage_late_hours": 5}).status == 200
    assert read(client, "settings")["unknown_models"] == "unpriced"
    wait_for(lambda: by_charge(client, account, usage).status == 201)
    for name, wrong in (("unknown_models", "free"), ("usage_late_hours", -1), ("usage_ahead_seconds", 86_401)):
        answer = patch(client, "settings", {name: wrong})
        assert (told(answer), places(answer)) == ((400, "invalid"), [f"/{name}"])


def test_special_terms_that_a_model_does_not_have_are_refused(server):
    name = f"tiered-{next(_numbers)}"
    sells(server, "acme", name, flex="1")
    client = shop(server, CATALOGUE)
    account = with_account(client)
    for tier, amount in (("flex", "120"), ("default", "300")):
        client.grant(account, "500")
        usage = {"model": name, "dimensions": {"input_tokens": PER}, "attributes": {"service_tier": tier}}
        assert charge(client, account, usage)["amount"] == amount
    usage = {"model": name, "dimensions": {"input_tokens": 5}, "attributes": {"service_tier": "scale"}}
    answer = by_charge(client, account, usage)
    assert (told(answer), places(answer)) == ((400, "unknown_context"), ["/usage/attributes/service_tier"])


def test_without_a_card_usage_has_no_price_and_an_amount_still_does(server):
    client = shop(server, None)
    account = with_account(client)
    assert told(by_charge(client, account, USED)) == (409, "no_card")
    assert charge(client, account, USED, amount="2")["amount"] == "2"
