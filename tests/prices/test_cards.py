"""An operator's change of a card is a new document: the price he set is there, and all else is as it was."""

import msgspec
import pytest

from farthing.core.cardcheck import check_card
from farthing.core.ratecard import CardError, RateCard, read_card
from farthing.prices.cards import NoSuchPrice, Wanted, drop_model_price, set_model_price

CARD = msgspec.json.encode(
    {
        "description": "spring",
        "catalogue": {"rate": "100"},
        "rules": [
            {"id": "mine", "dimension": "input_tokens", "price": "1", "match": {"model": "m"}, "included": "5"},
            {"id": "both", "dimension": "input_tokens", "price": "2", "match": {"model": ["m", "n"]}},
            {"id": "else", "dimension": "input_tokens", "price": "3", "match": {"model": "m"}, "default": True},
        ],
    }
).decode()
PRICES = {"input_tokens": Wanted("2.5"), "output_tokens": Wanted("10")}


def rules(document: str) -> dict[str, tuple[str | None, int]]:
    card = read_card(document)
    assert isinstance(card, RateCard)
    return {rule.id: (rule.price, rule.per) for rule in card.rules}


def test_a_price_takes_the_place_of_the_one_for_just_this_model():
    changed = set_model_price(CARD, "m", PRICES)
    assert rules(changed) == {
        "mine": ("2.5", 1_000_000), "both": ("2", 1), "else": ("3", 1), "m:output_tokens": ("10", 1_000_000),
    }  # fmt: skip
    card = read_card(changed)
    assert isinstance(card, RateCard)
    assert card.catalogue is not None
    assert (card.description, card.catalogue.rate, card.rules[0].included) == ("spring", "100", "5")


def test_setting_the_same_price_again_changes_nothing():
    changed = set_model_price(CARD, "m", PRICES)
    assert set_model_price(changed, "m", PRICES) == changed


def test_a_price_for_one_providers_model_stands_beside_that_for_the_model():
    both = set_model_price(set_model_price(CARD, "m", PRICES), "m", PRICES, "azure")
    assert {"azure/m:input_tokens", "azure/m:output_tokens"} <= rules(both).keys()
    card = read_card(both)
    assert isinstance(card, RateCard)
    assert card.rules[-1].match == {"model": "m", "provider": "azure"}


def test_a_steps_price_becomes_a_flat_one():
    tiers = [{"from": "0", "price": "1"}, {"from": "10", "price": "2"}]
    rule = {"id": "a", "dimension": "input_tokens", "tiers": tiers, "tier_mode": "whole", "match": {"model": "m"}}
    before = msgspec.json.encode({"rules": [rule]}).decode()
    changed = set_model_price(before, "m", {"input_tokens": Wanted("3", 1)})
    assert msgspec.json.decode(changed)["rules"] == [
        {"id": "a", "dimension": "input_tokens", "price": "3", "match": {"model": "m"}}
    ]


def test_without_a_card_it_is_the_first_and_passes_the_check():
    card = read_card(set_model_price(None, "org/m:1", PRICES))
    assert check_card(card, 6) == []


def test_an_id_that_is_taken_is_not_taken_twice():
    rule = {"id": "m:input_tokens", "dimension": "requests", "price": "1"}
    before = msgspec.json.encode({"rules": [rule]}).decode()
    assert list(rules(set_model_price(before, "m", {"input_tokens": Wanted("3")}))) == [
        "m:input_tokens", "m:input_tokens#2",
    ]  # fmt: skip


def test_prices_for_just_a_model_are_dropped_and_nothing_else():
    assert list(rules(drop_model_price(set_model_price(CARD, "m", PRICES), "m"))) == ["both", "else"]
    for document, model, provider in ((CARD, "x", ""), (CARD, "m", "azure"), (CARD, "n", ""), (None, "m", "")):
        with pytest.raises(NoSuchPrice, match=f"not for just '{model}'"):
            drop_model_price(document, model, provider)


def test_a_profile_is_not_changed_by_parts():
    profile = '{"profile": {"version": "1", "creditsPerUnit": 1, "rules": []}}'
    with pytest.raises(CardError, match="/profile"):
        set_model_price(profile, "m", PRICES)
