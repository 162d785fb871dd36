"""Quotes and estimates: what a usage would cost, who could pay for it, and that the charge costs just that."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farthing.api.v1.wire import write_time
from farthing.core.records import WorkspaceSettings
from farthing.jobs.folding import fold_all
from farthing.stores.rollups import Rollups
from tests.api.serving import Server
from tests.api.v1.client import Client, places, told
from tests.api.v1.pricing import CARD, CATALOGUE, USED, priced_by, put, sells, shop
from tests.api.v1.reading import patch, read

BOTH_DATABASES = True

_numbers = count()


@pytest.fixture(scope="module")
def client(server: Server) -> Client:
    return shop(server)


def quote(client: Client, usage: Any = USED, **more: Any) -> dict[str, Any]:
    return client.made("quotes", {"usage": usage, **more}, key=None)


# What it says


def test_a_quote_has_the_price_line_by_line(client):
    told_price = quote(client)
    assert (told_price["amount"], told_price["price"]["card"]) == ("7", "default@1")
    lines = told_price["price"]["lines"]
    assert [(line["dimension"], line["quantity"], line["amount"], line["rule"]) for line in lines] == [
        ("input_tokens", "1500", "3", "in"), ("output_tokens", "800", "4", "out"),
    ]  # fmt: skip
    assert [told_price[name] for name in ("account", "available", "affordable", "refusal", "deficit")] == [None] * 5


def test_a_quote_says_whether_the_account_can_pay(client, account):
    client.grant(account, "10")
    rich = quote(client, account=account)
    assert (rich["affordable"], rich["available"], rich["deficit"], rich["refusal"]) == (True, "10", "0", None)
    client.charge(account, "4")
    poor = quote(client, account=account)
    assert (poor["affordable"], poor["available"], poor["deficit"]) == (False, "6", "1")
    refused = client.post("charges", {"account": account, "usage": USED})
    assert told(refused) == (402, poor["refusal"])
    assert [refused.json[name] for name in ("required", "available", "deficit")] == ["7", "6", "1"]


def test_an_account_that_nobody_made_has_nothing(client, account):
    told_price = quote(client, account=account)
    assert (told_price["available"], told_price["deficit"], told_price["affordable"]) == ("0", "7", False)
    assert told_price["refusal"] == client.refused("charges", {"account": account, "usage": USED})[1]


def test_grants_of_a_matching_scope_count(client, account):
    client.grant(account, "5", scope=["model:tiny"])
    client.grant(account, "3", scope=["operation:image.*"])
    assert quote(client, account=account)["available"] == "5"
    image = {"operation": "image.small", "dimensions": {"images": 1}}
    assert quote(client, image, account=account)["available"] == "3"
    # Beside the usage the words count alike.
    beside = quote(client, {"dimensions": {"images": 1}}, account=account, operation="image.small")
    assert (beside["available"], beside["usage"]["operation"]) == ("3", "image.small")


def test_whatever_would_refuse_the_charge_is_told(client, account):
    client.grant(account, "100")
    patch(client, f"accounts/{account}/settings", {"spend_limit_day": "6"})
    assert (quote(client, account=account)["refusal"], quote(client, account=account)["deficit"]) == (
        "spend_limit",
        "0",
    )
    patch(client, f"accounts/{account}/settings", {"frozen": True})
    assert quote(client, account=account)["refusal"] == "frozen"


def test_held_and_lapsed_credits_and_allowances_count_as_in_a_charge(server, client, account):
    client.grant(account, "8")
    client.hold(account, "3")
    assert quote(client, account=account)["available"] == "5"
    patch(client, f"accounts/{account}/settings", {"allowance": "2"})
    assert (quote(client, account=account)["available"], quote(client, account=account)["affordable"]) == ("7", True)


@pytest.mark.parametrize("more", [{}, {"usage": USED}, {"usage": {"model": "unheard of"}}, {"service": "chat"}])
def test_an_amount_that_is_known_is_quoted_as_it_would_be_charged(client, account, more):
    client.grant(account, "10")
    asked = {"amount": "10.5", "account": account, **more}
    poor, rich = (client.made("quotes", asked | amount, key=None) for amount in ({}, {"amount": "10"}))
    assert (poor["affordable"], poor["available"], poor["deficit"]) == (False, "10", "0.5")
    assert (rich["amount"], rich["affordable"], rich["refusal"], rich["price"]) == ("10", True, None, None)
    assert (rich["usage"] is None) == (not more)
    assert client.post("charges", asked).json["code"] == poor["refusal"]
    assert client.post("charges", asked | {"amount": "10"}).status == 201


@pytest.mark.parametrize("amount", ["0", "1"])
def test_a_freeze_counts_for_an_amount_as_in_a_charge(client, account, amount):
    client.grant(account, "10")
    asked = {"amount": amount, "account": account}
    assert client.made("quotes", asked, key=None)["affordable"] is True
    patch(client, f"accounts/{account}/settings", {"frozen": True})
    quoted = client.made("quotes", asked, key=None)
    assert (quoted["affordable"], quoted["refusal"], quoted["deficit"]) == (False, "frozen", "0")


def test_a_quote_keeps_nothing(client, account, server):
    client.grant(account, "10")
    before = server.count()
    for _ in range(3):
        quote(client, account=account)
    assert server.count() == before
    assert read(client, f"accounts/{account}")["balance"] == "10"


def test_another_card_can_be_tried(server):
    client = shop(server)
    draft = {"rules": [{"id": "t", "dimension": "tokens", "price": "1"}]}
    client.made("rate-cards/draft/versions", {"card": draft, "reason": "x"}, 201)
    client.made("rate-cards/draft/versions", {"card": {**draft, "minimum": "9000"}, "reason": "x"}, 201)
    assert quote(client)["amount"] == "7"
    tried = quote(client, card="draft")
    assert (tried["amount"], tried["price"]["card"]) == ("2300", "draft@1")
    assert quote(client, card="draft@2")["amount"] == "9000"
    for card in ("none", "draft@3", "draft@x", "draft@0", "default@2"):
        assert client.refused("quotes", {"usage": USED, "card": card}, key=None) == (404, "card_not_found"), card


def test_usage_of_the_past_is_quoted_by_the_prices_of_its_time(server):
    client = shop(server)
    began = server.clock.now_us()
    put(server, {**CARD, "minimum": "50"}, read(client, "settings")["workspace"]["id"], began + 10**7)
    server.clock.advance(60)
    priced_by(client, "default@2")
    assert quote(client)["amount"] == "50"
    assert quote(client, {**USED, "at": write_time(began + 10**7 - 1)})["amount"] == "7"
    assert quote(client, {**USED, "at": write_time(began + 10**7)})["amount"] == "50"
    assert client.refused("quotes", {"usage": {**USED, "at": "2020-01-01T00:00:00Z"}}, key=None) == (409, "no_card")


# A quote equals the charge


amounts = st.decimals(0, 1000, places=4, allow_nan=False).map(str)
shares = st.sampled_from(["0", "10", "33.3", "-50"])
tokens = st.integers(0, 10**7)


@st.composite
def cards(draw: st.DrawFn) -> dict[str, Any]:
    """A card of any terms; it knows tokens, images and requests."""
    steps = [{"from": "0", "price": draw(amounts)}, {"from": "1000", "price": draw(amounts)}]
    mode = draw(st.sampled_from(["graduated", "whole"]))
    rules: list[dict[str, Any]] = [
        {"id": "in", "dimension": "input_tokens", "per": 1000, "tiers": steps, "tier_mode": mode},
        {"id": "out", "dimension": "output_tokens", "per": 1000, "price": draw(amounts)},
        {"id": "image", "dimension": "images", "price": draw(amounts), "included": str(draw(st.integers(0, 3)))},
    ]
    if draw(st.booleans()):
        rules.append({"id": "call", "dimension": "requests", "price": draw(amounts)})
    rounding = draw(st.sampled_from(["half_even", "up"]))
    markup = {"percent": draw(shares), "fixed": draw(amounts)}
    return {"rules": rules, "markup": markup, "minimum": draw(amounts), "rounding": rounding}


@st.composite
def usages(draw: st.DrawFn) -> dict[str, Any]:
    into, out = draw(tokens), draw(tokens)
    counts = {
        "input_tokens": into, "output_tokens": out, "cache_read_tokens": draw(st.integers(0, into)),
        "reasoning_tokens": draw(st.integers(0, out)), "images": draw(st.integers(0, 9)),
    }  # fmt: skip
    chosen = draw(st.lists(st.sampled_from(sorted(counts)), min_size=1, unique=True))
    return {"dimensions": {name: counts[name] for name in chosen}, "model": draw(st.sampled_from(["", "m:1", "a/b"]))}


@pytest.fixture(scope="module")
def shops(server: Server) -> Callable[[Any], Client]:
    return lambda card: shop(server, card)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(card=cards(), some=st.lists(usages(), min_size=1, max_size=5))
def test_a_quote_is_what_the_charge_takes(shops, card, some):
    client, account = shops(card), f"payer-{next(_numbers)}"
    client.grant(account, "900000000")
    for usage in some:
        body = {key: value for key, value in usage.items() if value}
        quoted = client.post("quotes", {"account": account, "usage": body}, key=None)
        charged = client.post("charges", {"account": account, "usage": body})
        if quoted.status != 200:
            # Nothing has a price for the parts alone, such as reasoning without output.
            assert told(quoted) == told(charged)
            assert quoted.json["errors"] == charged.json["errors"]
            continue
        if not quoted.json["affordable"]:
            assert charged.json["code"] == quoted.json["refusal"]
            continue
        assert charged.status == 201, charged.raw
        for name in ("amount", "usage", "price"):
            assert charged.json[name] == quoted.json[name]


# Bad input


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["/usage"]),
        ({"usage": None}, ["/usage"]),
        ({"usage": 5}, ["/usage"]),
        ({"usage": {**USED, "tokens": 5}}, ["/usage/tokens"]),
        ({"usage": {"model": "tiny", "dimensions": {"input_tokens": -1}}}, ["/usage/dimensions/input_tokens"]),
        ({"usage": {"model": "tiny", "dimensions": {"input_tokens": 1.5}}}, ["/usage/dimensions/input_tokens"]),
        ({"usage": {"model": "tiny", "dimensions": {"input_tokens": "many"}}}, ["/usage/dimensions/input_tokens"]),
        (
            {"usage": {"model": "tiny", "dimensions": {"output_tokens": 5, "reasoning_tokens": 6}}},
            ["/usage/dimensions/reasoning_tokens"],
        ),
        (
            {"usage": {"model": "tiny", "dimensions": {"input_tokens": 5, "cache_read_tokens": 6}}},
            ["/usage/dimensions/cache_read_tokens"],
        ),
        ({"usage": USED, "account": ""}, ["/account"]),
        ({"usage": USED, "model": "other"}, ["/model"]),
        ({"amount": 5}, ["/amount"]),
        ({"amount": "-5"}, ["/amount"]),
        ({"amount": "0.0000001"}, ["/amount"]),
        (
            {"amount": "5", "usage": {"model": "tiny", "dimensions": {"input_tokens": "many"}}},
            ["/usage/dimensions/input_tokens"],
        ),
        ({"usage": {**USED, "at": "2026-02-30T00:00:00Z"}}, ["/usage/at"]),
    ],
)
def test_what_is_wrong_with_a_quote_is_named(client, body, wrong):
    answer = client.post("quotes", body, key=None)
    assert (told(answer), places(answer)) == ((400, "invalid"), wrong)


def test_usage_that_is_too_old_to_be_charged_is_not_quoted_for_an_account(server, account):
    client = shop(server, settings=WorkspaceSettings(usage_late_hours=1))
    client.grant(account, "10")
    server.clock.advance(7_200)
    late = {**USED, "at": write_time(server.clock.now_us() - 3_600_000_001)}
    for call in ("quotes", "charges"):
        answer = client.post(call, {"usage": late, "account": account})
        assert (told(answer), places(answer)) == ((400, "invalid"), ["/usage/at"]), call
    assert quote(client, late)["amount"] == "7"


def test_quotes_are_for_readers(client):
    workspace = read(client, "settings")["workspace"]["id"]
    assert quote(client.with_key("read", workspace))["amount"] == "7"
    assert client.with_key("grant", workspace).refused("quotes", {"usage": USED}, key=None) == (403, "scope_missing")


# Estimates


def estimate(client: Client, **more: Any) -> dict[str, Any]:
    return client.made("quotes/estimate", {"usage": {"model": "tiny"}, **more}, key=None)


def test_an_estimate_is_a_range_around_what_is_expected(client, account):
    client.grant(account, "7.5")
    told_range = estimate(
        client, account=account, prompt={"tokens": 1500}, completion={"expected": 800, "min": 100, "max": 1000}
    )
    assert (told_range["prompt_tokens"], told_range["counted"], told_range["available"]) == (1500, True, "7.5")
    assert [
        (told_range[case]["completion_tokens"], told_range[case]["amount"], told_range[case]["affordable"])
        for case in ("low", "expected", "high")
    ] == [(100, "3.5", True), (800, "7", True), (1000, "8", False)]
    assert told_range["high"]["deficit"] == "0.5"
    assert told_range["expected"]["price"] == quote(client)["price"]


def test_an_estimate_counts_a_prompt_roughly(client):
    text = "word " * 400
    by_text = estimate(client, prompt={"text": text})
    assert (by_text["prompt_tokens"], by_text["counted"]) == (500, False)
    assert [by_text[case]["completion_tokens"] for case in ("low", "expected", "high")] == [0, 500, 1000]
    assert by_text["completion_from"] == "default"
    parts = [{"type": "text", "text": text}]
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]
    assert 500 < estimate(client, prompt={"messages": said})["prompt_tokens"] < 530


def test_an_answer_is_expected_to_be_as_long_as_those_of_the_model_were(server, account):
    name = f"talker-{next(_numbers)}"
    sells(server, "acme", name, aliases=(f"{name}-latest",))
    client = shop(server, CATALOGUE)
    client.grant(account, "100")

    def guess(**more: Any) -> tuple[str, int]:
        usage, prompt = {"model": f"{name}-latest"}, {"tokens": 5}
        found = client.made("quotes/estimate", {"usage": usage, "prompt": prompt, **more}, key=None)
        return found["completion_from"], found["expected"]["completion_tokens"]

    def answers(count: int) -> None:
        items = [
            {
                "key": f"{name}-{count}-{number}",
                "account": account,
                "usage": {"model": name, "dimensions": {"output_tokens": 80 + number}},
            }
            for number in range(count)
        ]
        results = client.made("charges/bulk", {"items": items}, key=None)["results"]
        assert {result["status"] for result in results} == {"charged"}
        server.run(fold_all(Rollups(server.ledger.database), server.clock.now_us()))

    answers(19)
    assert guess() == ("default", 500)
    answers(1)
    # 19 answers of 80 to 98 tokens and one of 80: 88.55 in the mean.
    assert guess() == ("history", 89)
    assert guess(completion={"max": 50}) == ("history", 50)
    assert guess(completion={"expected": 7}) == ("given", 7)
    server.clock.advance(32 * 86_400)
    assert guess() == ("default", 500)


def test_what_is_not_the_size_of_a_prompt_goes_along(server):
    name = f"flexible-{next(_numbers)}"
    sells(server, "acme", name, flex="1")
    client = shop(server, CATALOGUE)
    usage: dict[str, Any] = {"model": name, "attributes": {"service_tier": "flex"}}
    told_range = client.made("quotes/estimate", {"usage": usage, "prompt": {"tokens": 10**6}}, key=None)
    assert told_range["low"]["amount"] == "120"
    usage["attributes"]["service_tier"] = "scale"
    body = {"usage": usage, "prompt": {"tokens": 5}}
    assert client.refused("quotes/estimate", body, key=None) == (400, "unknown_context")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"prompt": None}, ["/prompt"]),
        ({"prompt": {}}, ["/prompt"]),
        ({"prompt": "text"}, ["/prompt"]),
        ({"prompt": {"text": "a", "tokens": 5}}, ["/prompt"]),
        ({"prompt": {"words": 5}}, ["/prompt/words"]),
        ({"prompt": {"tokens": -1}}, ["/prompt/tokens"]),
        ({"prompt": {"tokens": 1.5}}, ["/prompt/tokens"]),
        ({"prompt": {"text": 5}}, ["/prompt/text"]),
        ({"prompt": {"messages": []}}, ["/prompt/messages"]),
        ({"prompt": {"messages": "hello"}}, ["/prompt/messages"]),
        ({"prompt": {"messages": [{"content": "a"}, {"content": [{"type": "image"}]}]}}, ["/prompt/messages/1"]),
        ({"prompt": {"messages": ["hello"]}}, ["/prompt/messages/0"]),
        ({"completion": 5}, ["/completion"]),
        ({"completion": {"expected": -5}}, ["/completion/expected"]),
        ({"completion": {"max": 10, "expected": 20}}, ["/completion"]),
        ({"completion": {"min": 30, "expected": 20}}, ["/completion"]),
        ({"completion": {"most": 30}}, ["/completion/most"]),
        ({"usage": None}, ["/usage"]),
    ],
)
def test_what_is_wrong_with_an_estimate_is_named(client, change, wrong):
    body = {"usage": {"model": "tiny"}, "prompt": {"tokens": 5}, **change}
    answer = client.post("quotes/estimate", body, key=None)
    assert (told(answer), places(answer)) == ((400, "invalid"), wrong)
