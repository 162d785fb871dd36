"""An operator's own price of a model: in the card's terms, exact, and never half of a model's tokens."""

import json

import pytest

from farthing.core.modelprice import ModelPrice, Price
from farthing.core.ratecard import CardError
from farthing.prices.overrides import Override, overridden

KNOWN = ModelPrice(
    provider="openai",
    model="gpt-4o",
    prices=tuple(Price(dimension=name, price="1") for name in ("input_tokens", "cache_read_tokens", "output_tokens")),
)
BOTH = {"input_tokens": "2.5", "output_tokens": "0.000000000000000001"}
CREDITS = json.dumps({"catalogue": {"rate": "100"}})


def rules(document: str) -> dict[str, tuple[str, int]]:
    return {rule["dimension"]: (rule["price"], rule.get("per", 1)) for rule in json.loads(document)["rules"]}


def why(document: str | None, wanted: Override, known: ModelPrice | None = KNOWN) -> tuple[str, str]:
    with pytest.raises(CardError) as caught:
        overridden(document, wanted, known)
    ((pointer, message),) = caught.value.problems
    return pointer, message


def test_without_a_currency_prices_stand_as_they_are():
    for document in (None, CREDITS, json.dumps({"currency": "EUR", "rate": "90", "catalogue": {"rate": "100"}})):
        made = overridden(document, Override(model="gpt-4o", prices=BOTH), KNOWN)
        assert rules(made) == {name: (price, 1_000_000) for name, price in BOTH.items()}


def test_dollars_become_units_by_the_rate_of_the_catalogue_exactly():
    made = overridden(CREDITS, Override(model="gpt-4o", prices=BOTH, currency="USD"), KNOWN)
    assert rules(made) == {"input_tokens": ("250", 1_000_000), "output_tokens": ("0.0000000000000001", 1_000_000)}


def test_dollars_stay_dollars_in_a_card_that_counts_in_them():
    document = json.dumps({"currency": "USD", "rate": "100", "catalogue": {"rate": "100"}})
    made = overridden(document, Override(model="gpt-4o", prices=BOTH, currency="USD"), KNOWN)
    assert rules(made)["input_tokens"] == ("2.5", 1_000_000)


@pytest.mark.parametrize(
    ("document", "currency"),
    [(None, "USD"), ('{"rules": []}', "USD"), (CREDITS, "EUR"), ('{"currency": "EUR"}', "USD"), (CREDITS, "usd")],
)
def test_a_currency_that_the_card_can_not_count_in_is_refused(document: str | None, currency: str):
    assert why(document, Override(model="gpt-4o", prices=BOTH, currency=currency))[0] == "/currency"


@pytest.mark.parametrize(
    ("prices", "missing"),
    [({"input_tokens": "1"}, "output_tokens"), ({"output_tokens": "1"}, "input_tokens"),
     ({"cache_read_tokens": "1"}, "input_tokens")],
)  # fmt: skip
def test_half_of_a_models_tokens_is_refused(prices: dict[str, str], missing: str):
    pointer, message = why(CREDITS, Override(model="gpt-4o", prices=prices))
    assert pointer == "/prices"
    assert missing in message


@pytest.mark.parametrize(
    ("prices", "known"),
    [({"tokens": "1"}, KNOWN), ({"images": "1"}, KNOWN), ({"input_tokens": "1"}, None)],
)  # fmt: skip
def test_what_leaves_no_tokens_without_a_price_is_taken(prices: dict[str, str], known: ModelPrice | None):
    assert set(rules(overridden(CREDITS, Override(model="gpt-4o", prices=prices), known))) == set(prices)


def test_the_other_half_may_be_there_already():
    first = overridden(CREDITS, Override(model="gpt-4o", prices=BOTH), KNOWN)
    second = overridden(first, Override(model="gpt-4o", prices={"input_tokens": "7"}, per=1000), KNOWN)
    assert rules(second) == {"input_tokens": ("7", 1000), "output_tokens": (BOTH["output_tokens"], 1_000_000)}


def test_an_id_as_long_as_a_name_may_be_is_still_an_id():
    made = overridden(None, Override(model="m" * 255, prices=BOTH, provider="p" * 255), None)
    ids = [rule["id"] for rule in json.loads(made)["rules"]]
    assert len(set(ids)) == 2
    assert max(map(len, ids)) <= 255
