"""Model prices over the native API: the catalogue, what a model's name means, prices of one's own, quarantine."""

from itertools import count
from typing import Any

import pytest

from tests.api.serving import Server, wait_for
from tests.api.v1.client import Client, places, told
from tests.api.v1.pricing import CARD, CATALOGUE, PER, priced_by, sells, shop
from tests.api.v1.reading import ask, operators_key, read, whole

BOTH_DATABASES = True

_numbers = count()
PRICES = {"input_tokens": "3", "output_tokens": "12"}


@pytest.fixture
def client(server: Server) -> Client:
    return shop(server, CATALOGUE)


@pytest.fixture
def operator(server: Server) -> Client:
    return Client(server, operators_key(server))


@pytest.fixture
def model(server: Server) -> str:
    """A model of the catalogue that no other test uses: 2.5 USD for a million tokens in, 10 out."""
    name = f"model-{next(_numbers)}"
    sells(server, "acme", name, aliases=(f"{name}-2026",), flex="1")
    return name


def set_price(client: Client, model: str, status: int = 201, **more: Any) -> dict[str, Any]:
    return client.made("model-prices", {"model": model, "prices": PRICES, "reason": "our own", **more}, status)


def cost(client: Client, model: str, into: int = PER, out: int = 0, **more: Any) -> str:
    usage = {"model": model, "dimensions": {"input_tokens": into, "output_tokens": out}, **more}
    amount: str = client.made("quotes", {"usage": usage}, key=None)["amount"]
    return amount


# The catalogue


def test_models_are_found_by_a_part_of_their_name(client, server, model):
    sells(server, "other", f"{model}-mini", "0.1", "0.4")
    lines = whole(client, "model-prices", query=model, limit=1)
    assert [(line["provider"], line["model"]) for line in lines] == [("acme", model), ("other", f"{model}-mini")]
    first = lines[0]
    assert [(p["dimension"], p["price"], p["per"]) for p in first["prices"]] == [
        ("input_tokens", "2.5", PER), ("output_tokens", "10", PER),
    ]  # fmt: skip
    assert first["variants"][0]["when"] == {"service_tier": "flex"}
    assert (first["aliases"], first["currency"], first["effective_from"]) == ([f"{model}-2026"], "USD", None)
    assert [line["provider"] for line in whole(client, "model-prices", query=model, provider="other")] == ["other"]
    assert read(client, "model-prices", query="no such model")["data"] == []


def test_a_models_own_price_is_marked(client, server, model):
    assert read(client, "model-prices", query=model)["data"][0]["overridden"] is False
    set_price(client, model)
    server.clock.advance(2)
    priced_by(client, "default@2", {"model": model, "dimensions": {"input_tokens": 1}})
    assert read(client, "model-prices", query=model)["data"][0]["overridden"] is True
    assert read(shop(server, CATALOGUE), "model-prices", query=model)["data"][0]["overridden"] is False


def test_an_alias_and_a_provider_in_front_mean_the_model(client, model):
    for sent, provider in ((model, None), (f"{model}-2026", None), (f"acme/{model}", None), (model, "acme")):
        found = read(client, "model-prices/resolve", model=sent, provider=provider)
        assert (found["sent"], found["provider"], found["model"], found["priced"]) == (sent, "acme", model, True)
        assert found["card"] == "default@1"
        assert [(t["dimension"], t["price"], t["currency"], t["rate"], t["source"]) for t in found["terms"]] == [
            ("input_tokens", "2.5", "USD", "100", "catalogue"), ("output_tokens", "10", "USD", "100", "catalogue"),
        ]  # fmt: skip
        assert found["terms"][0]["reference"] == f"catalogue:acme/{model}@1"
        assert found["catalogue"]["version"] == 1


def test_a_name_of_several_models_is_not_guessed(client, server):
    name = f"model-{next(_numbers)}"
    for provider in ("north", "south"):
        sells(server, provider, name)
    found = read(client, "model-prices/resolve", model=name)
    assert (found["model"], found["priced"], found["candidates"]) == (None, False, [f"north/{name}", f"south/{name}"])
    assert read(client, "model-prices/resolve", model=name, provider="south")["provider"] == "south"


def test_an_unknown_model_is_told_with_the_policy_for_it(server):
    found = read(shop(server, CATALOGUE), "model-prices/resolve", model="nobody-sells-this")
    assert (found["model"], found["priced"], found["terms"], found["unknown_models"]) == (None, False, [], "default")
    found = read(shop(server, CARD), "model-prices/resolve", model="nobody-sells-this")
    assert [(t["source"], t["dimension"], t["rule"]) for t in found["terms"]] == [
        ("default", "tokens", "any"), ("card", "images", "image"),
    ]  # fmt: skip
    found = read(shop(server, None), "model-prices/resolve", model="nobody-sells-this")
    assert (found["card"], found["priced"]) == (None, False)


def test_a_question_without_a_model_is_refused(client):
    answer = ask(client, "model-prices/resolve")
    assert (told(answer), places(answer)) == ((400, "invalid"), ["model"])
    answer = ask(client, "model-prices/history", model="x")
    assert (told(answer), places(answer)) == ((400, "invalid"), ["provider"])
    assert told(ask(client, "model-prices", model="x")) == (400, "invalid")


def test_the_history_has_every_version(client, server, model):
    sells(server, "acme", model, "5", "20", begins=server.clock.now_us() + 10**9)
    sells(server, "acme", model, "500", "20", quarantine="a jump")
    lines = whole(client, "model-prices/history", provider="acme", model=model, limit=2)
    assert [(line["version"], line["status"], line["reason"]) for line in lines] == [
        (3, "quarantined", "a jump"), (2, "active", ""), (1, "active", ""),
    ]  # fmt: skip
    assert told(ask(client, "model-prices/history", provider="acme", model="none")) == (404, "model_not_found")


# Prices of one's own


def test_an_own_price_wins_over_the_catalogue(client, server, model):
    assert cost(client, model) == "300"  # 2.5 USD at 100 credits, and a fifth more
    made = set_price(client, model, prices={"input_tokens": "40", "output_tokens": "80"})
    assert (made["card"], made["version"], made["reason"]) == ("default", 2, "our own")
    server.clock.advance(2)
    priced_by(client, "default@2", {"model": model, "dimensions": {"input_tokens": 1}})
    assert cost(client, model) == "40"
    assert cost(client, f"{model}-2026", out=PER) == "120"
    again = set_price(client, model, prices={"output_tokens": "81"})
    server.clock.advance(2)
    priced_by(client, "default@3", {"model": model, "dimensions": {"input_tokens": 1}})
    assert (again["version"], cost(client, model, out=PER)) == (3, "121")


def test_a_price_in_dollars_is_put_into_the_cards_terms(client, server, model):
    set_price(client, model, currency="USD")
    rules = read(client, "rate-cards/default/versions/2")["document"]["rules"]
    assert {rule["dimension"]: (rule["price"], rule["per"]) for rule in rules} == {
        "input_tokens": ("300", PER), "output_tokens": ("1200", PER),
    }  # fmt: skip
    euros = shop(server, {**CATALOGUE, "currency": "EUR", "rate": "110"})
    assert euros.refused("model-prices", {"model": model, "prices": PRICES, "reason": "x", "currency": "USD"})[0] == 400
    set_price(euros, model, currency="EUR")
    assert read(euros, "rate-cards/default/versions/2")["document"]["rules"][0]["price"] == "3"


def test_the_first_own_price_makes_a_card(server, model):
    client = shop(server, None)
    assert set_price(client, model)["name"] == "default@1"
    priced_by(client, "default@1", {"model": model, "dimensions": {"input_tokens": 1}})
    assert cost(client, model, out=PER) == "15"


def test_own_prices_of_tokens_are_not_mixed_with_the_catalogues(client, model):
    answer = client.post("model-prices", {"model": model, "prices": {"input_tokens": "3"}, "reason": "x"})
    assert (told(answer), places(answer)) == ((400, "invalid"), ["/prices"])
    assert "output_tokens" in answer.json["detail"]
    set_price(client, model, prices={"tokens": "5"})


def test_an_own_price_is_set_once_under_its_key(client, model):
    body = {"model": model, "prices": PRICES, "reason": "x"}
    first, again = (client.post("model-prices", body, key="k") for _ in range(2))
    assert (first.status, again.raw, again.headers["idempotent-replayed"]) == (201, first.raw, "true")
    other = {**body, "prices": {**PRICES, "input_tokens": "4"}}
    conflict = client.post("model-prices", other, key="k")
    assert (told(conflict), conflict.json["differs"]) == ((409, "key_conflict"), ["prices"])
    client.server.clock.advance(3)
    assert set_price(client, model, status=200, dry_run=True)["version"] == 3
    assert len(whole(client, "rate-cards/default/versions")) == 2


def test_a_profile_is_not_changed_rule_by_rule(server, model):
    profile = {
        "profileVersionId": "p", "eurPerCredit": 0.01,
        "rateRules": [{"id": "r", "dimensionKey": "images", "creditsPerUnit": 1}],
    }  # fmt: skip
    client = shop(server, {"profile": profile})
    body = {"model": model, "prices": PRICES, "reason": "x"}
    assert client.refused("model-prices", body) == (409, "card_is_profile")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"prices": {}}, ["/prices"]),
        ({"prices": None}, ["/prices"]),
        ({"prices": {"input_tokens": 3}}, ["/prices"]),
        ({"prices": {"input_tokens": "-3", "output_tokens": "1"}}, ["/prices/input_tokens"]),
        ({"prices": {"input_tokens": "0." + "1" * 30, "output_tokens": "1"}}, ["/prices/input_tokens"]),
        ({"prices": {"Input": "3"}}, ["/prices/Input"]),
        ({"per": 0}, ["/per"]),
        ({"per": 7}, ["/prices"]),
        ({"per": "1000"}, ["/per"]),
        ({"model": ""}, ["/model"]),
        ({"model": None}, ["/model"]),
        ({"currency": "EUR"}, ["/currency"]),
        ({"reason": None}, ["/reason"]),
        ({"effective_from": "2026-02-30T00:00:00Z"}, ["/effective_from"]),
        ({"effective_from": "2025-01-01T00:00:00Z"}, ["/effective_from"]),
        ({"cost": "1"}, ["/cost"]),
    ],
)
def test_what_is_wrong_with_an_own_price_is_named(client, model, change, wrong):
    answer = client.post("model-prices", {"model": model, "prices": PRICES, "reason": "x", **change})
    assert (told(answer), places(answer)) == ((400, "invalid"), wrong)
    assert len(whole(client, "rate-cards/default/versions")) == 1


def test_own_prices_are_set_by_admins(client, model):
    workspace = read(client, "settings")["workspace"]["id"]
    reader = client.with_key("read,charge,grant", workspace)
    assert reader.refused("model-prices", {"model": model, "prices": PRICES, "reason": "x"}) == (403, "scope_missing")


def remove_price(client: Client, model: str, status: int = 201, **more: Any) -> dict[str, Any]:
    return client.made("model-prices/remove", {"model": model, "reason": "it has ended", **more}, status)


def test_an_own_price_can_be_taken_away_again(client, server, model):
    set_price(client, model)
    server.clock.advance(3)
    priced_by(client, "default@2", {"model": model, "dimensions": {"input_tokens": 1}})
    assert cost(client, model) == "3"
    made = remove_price(client, model)
    assert (made["card"], made["version"], made["reason"]) == ("default", 3, "it has ended")
    assert read(client, "rate-cards/default/versions/3")["document"] == CATALOGUE
    server.clock.advance(3)
    priced_by(client, "default@3", {"model": model, "dimensions": {"input_tokens": 1}})
    assert cost(client, model) == "300"


def test_only_the_price_that_is_named_is_taken_away(client, model):
    set_price(client, model)
    client.server.clock.advance(3)
    set_price(client, model, provider="acme")
    client.server.clock.advance(3)
    assert remove_price(client, model, status=200, dry_run=True)["version"] == 4
    remove_price(client, model, provider="acme")
    rules = read(client, "rate-cards/default/versions/4")["document"]["rules"]
    assert [rule["match"] for rule in rules] == [{"model": model}] * 2


def test_an_own_price_is_taken_away_once_under_its_key(client, model):
    set_price(client, model)
    client.server.clock.advance(3)
    body = {"model": model, "reason": "x"}
    first, again = (client.post("model-prices/remove", body, key="k") for _ in range(2))
    assert (first.status, again.raw, again.headers["idempotent-replayed"]) == (201, first.raw, "true")
    assert first.headers["location"] == "/v1/rate-cards/default/versions/3"
    conflict = client.post("model-prices/remove", {**body, "reason": "y"}, key="k")
    assert (told(conflict), conflict.json["differs"]) == ((409, "key_conflict"), ["reason"])
    other = client.refused("model-prices", {**body, "prices": PRICES}, key="k")
    assert other == (409, "key_conflict")
    assert len(whole(client, "rate-cards/default/versions")) == 3


@pytest.mark.parametrize(
    ("change", "code", "wrong"),
    [
        ({"model": "never-set"}, (404, "model_not_found"), ["/model"]),
        ({"provider": "other"}, (404, "model_not_found"), ["/model"]),
        ({"model": ""}, (400, "invalid"), ["/model"]),
        ({"model": None}, (400, "invalid"), ["/model"]),
        ({"reason": None}, (400, "invalid"), ["/reason"]),
        ({"effective_from": "2026-02-30T00:00:00Z"}, (400, "invalid"), ["/effective_from"]),
        ({"prices": PRICES}, (400, "invalid"), ["/prices"]),
    ],
)
def test_what_has_no_own_price_stays_as_it_is(client, model, change, code, wrong):
    set_price(client, model)
    answer = client.post("model-prices/remove", {"model": model, "reason": "x", **change})
    assert (told(answer), places(answer)) == (code, wrong)
    assert len(whole(client, "rate-cards/default/versions")) == 2


def test_the_last_rule_of_a_card_is_not_taken_away(server, model):
    client = shop(server, None)
    refused = client.post("model-prices/remove", {"model": model, "reason": "x"})
    assert (told(refused), places(refused)) == ((404, "model_not_found"), ["/model"])
    set_price(client, model)
    answer = client.post("model-prices/remove", {"model": model, "reason": "x"})
    assert (told(answer), places(answer)) == ((400, "invalid"), ["/model"])
    assert "rules" in answer.json["detail"]
    profile = {
        "profileVersionId": "p", "eurPerCredit": 0.01,
        "rateRules": [{"id": "r", "dimensionKey": "images", "creditsPerUnit": 1}],
    }  # fmt: skip
    other = shop(server, {"profile": profile})
    assert other.refused("model-prices/remove", {"model": model, "reason": "x"}) == (409, "card_is_profile")


# Quarantine


def test_a_price_in_quarantine_prices_nothing_until_it_is_let_in(client, operator, server, model):
    sells(server, "acme", model, "100", "400", quarantine="40 times as much", begins=server.clock.now_us())
    (line,) = [each for each in whole(operator, "model-prices/quarantine", limit=1) if each["model"] == model]
    assert (line["version"], line["status"], line["reason"]) == (2, "quarantined", "40 times as much")
    assert [price["price"] for price in line["current"]] == ["2.5", "10"]
    assert cost(client, model) == "300"
    decision = {"provider": "acme", "model": model, "version": 2, "reason": "so says the vendor"}
    first, again = (operator.post("model-prices/quarantine/activate", decision, key=f"a-{model}") for _ in range(2))
    assert (first.status, first.json["status"], first.json["reason"]) == (200, "active", "so says the vendor")
    assert (again.raw, again.headers["idempotent-replayed"]) == (first.raw, "true")
    assert operator.refused("model-prices/quarantine/refuse", decision) == (409, "price_not_quarantined")
    server.clock.advance(2)
    usage = {"model": model, "dimensions": {"input_tokens": PER}}
    wait_for(lambda: client.made("quotes", {"usage": usage}, key=None)["amount"] == "12000")


def test_a_price_that_is_kept_out_stays_out(client, operator, server, model):
    sells(server, "acme", model, "100", "400", quarantine="40 times as much")
    decision = {"provider": "acme", "model": model, "version": 2, "reason": "a typing error"}
    assert operator.made("model-prices/quarantine/refuse", {**decision, "dry_run": True})["dry_run"] is True
    assert operator.made("model-prices/quarantine/refuse", decision)["status"] == "refused"
    assert [each["model"] for each in whole(operator, "model-prices/quarantine") if each["model"] == model] == []
    server.clock.advance(10)
    assert cost(client, model) == "300"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"version": 9}, (404, "version_not_found")),
        ({"version": 1}, (409, "price_not_quarantined")),
        ({"model": "nothing"}, (404, "version_not_found")),
        ({"version": 0}, (400, "invalid")),
        ({"version": None}, (400, "invalid")),
        ({"reason": None}, (400, "invalid")),
        ({"provider": ""}, (400, "invalid")),
    ],
)
def test_only_what_waits_is_decided_about(operator, model, change, code):
    body = {"provider": "acme", "model": model, "version": 1, "reason": "x", **change}
    assert operator.refused("model-prices/quarantine/activate", body) == code
    assert operator.refused("model-prices/quarantine/refuse", body) == code


def test_the_quarantine_is_for_operators_alone(client, operator):
    assert told(ask(client, "model-prices/quarantine")) == (403, "scope_missing")
    body = {"provider": "acme", "model": "m", "version": 1, "reason": "x"}
    assert client.refused("model-prices/quarantine/activate", body) == (403, "scope_missing")
    assert told(ask(operator, "model-prices")) == (403, "scope_missing")
