"""Terms: the prices that apply to a model are those that pricing would take."""

import json

import pytest

from farthing.core.modelprice import ModelPrice, Price
from farthing.core.pricing import Book, price
from farthing.core.ratecard import read_card
from farthing.core.records import UnknownModels
from farthing.core.rules import ModelTariffs, compile_card, compile_model
from farthing.core.terms import names_model, terms_of
from farthing.core.usage import Priced, Usage

CATALOGUE = {
    name: compile_model(
        ModelPrice(
            provider="acme",
            model=name,
            prices=tuple(
                Price(dimension=each, price="2", per=1000) for each in ("input_tokens", "output_tokens", "searches")
            ),
        ),
        f"catalogue:acme/{name}@1",
    )
    for name in ("big", "small")
}
CARD = {
    "catalogue": {"rate": "100"},
    "rules": [
        {"id": "in", "dimension": "input_tokens", "price": "1", "match": {"model": "big"}},
        {"id": "out", "dimension": "output_tokens", "price": "3", "match": {"model": "big"}},
        {"id": "other", "dimension": "output_tokens", "price": "9", "match": {"model": "big", "operation": "rare"}},
        {"id": "image", "dimension": "images", "price": "10"},
        {"id": "any", "dimension": "tokens", "price": "5", "default": True},
    ],
}


def find(provider: str, model: str) -> ModelTariffs | None:
    return CATALOGUE.get(model.removeprefix("acme/"))


def book(policy: UnknownModels = "default", **card: object) -> Book:
    compiled = compile_card(read_card(json.dumps(CARD | card)))
    return Book(card=compiled, reference="c@1", scale=6, unknown_models=policy, find_model=find)


def told(model: str, of: Book) -> dict[str, tuple[str, str, str]]:
    return {term.tariff.dimension: (term.origin, term.reference, term.rate) for term in terms_of("", model, of)}


def test_the_cards_rules_price_a_models_tokens_alone():
    assert told("big", book()) == {
        "input_tokens": ("card", "c@1", "1"),
        "output_tokens": ("card", "c@1", "1"),
        "images": ("card", "c@1", "1"),
        "searches": ("catalogue", "catalogue:acme/big@1", "100"),
    }


def test_what_the_card_does_not_know_the_catalogue_prices():
    assert told("acme/small", book())["input_tokens"] == ("catalogue", "catalogue:acme/small@1", "100")
    assert "input_tokens" not in told("acme/small", book(catalogue=None, rules=CARD["rules"][:4]))  # type: ignore[index]


@pytest.mark.parametrize(("policy", "origin"), [("default", "default"), ("refuse", None), ("unpriced", None)])
def test_default_rules_are_told_where_the_policy_lets_them_price(policy: UnknownModels, origin: str | None):
    assert told("unknown", book(policy)).get("tokens", (None,))[0] == origin


def test_only_rules_that_name_the_model_are_its_own():
    assert names_model("", "big", book())
    assert names_model("", "acme/big", book())
    assert not names_model("", "small", book())


@pytest.mark.parametrize("model", ["big", "acme/big", "small", "unknown"])
def test_a_term_is_what_pricing_takes(model: str):
    of = book()
    for term in terms_of("", model, of):
        quantity = str(term.tariff.per)
        priced = price(Usage(model=model, dimensions={term.tariff.dimension: quantity}), of)
        assert isinstance(priced, Priced)
        (line,) = [line for line in priced.lines if line.kind == "price"]
        assert (line.dimension, line.source, line.rule) == (term.tariff.dimension, term.reference, term.tariff.rule)
        assert (line.price, line.per, line.currency, line.rate) == (
            term.tariff.steps[0].price, term.tariff.per, term.currency, term.rate,
        )  # fmt: skip
