"""Rate cards and model prices: what makes one right, and everything that is wrong told at once, with where it is."""

import json

import pytest

from farthing.core.cardcheck import MAX_TIES, check_card, check_model
from farthing.core.modelprice import ModelPrice, Price, Variant
from farthing.core.ratecard import CardError, ProfileCard, RateCard, read_card
from tests.core.rates import EXAMPLES, a_book, a_card, example, priced, rule, used

NAMES = sorted(path.stem for path in EXAMPLES.glob("*.json"))
SCALES = {"tokens": 0, "chat": 9}


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_are_right(name):
    assert check_card(example(name), SCALES.get(name, 6)) == []


def pointers(card, scale=6):
    return [pointer for pointer, _ in check_card(card, scale)]


@pytest.mark.parametrize(
    ("terms", "where"),
    [
        ({"price": "-1"}, "/rules/0/price"),
        ({"price": "1e3"}, "/rules/0/price"),
        ({"price": "NaN"}, "/rules/0/price"),
        ({"price": " 1"}, "/rules/0/price"),
        ({"price": "1,5"}, "/rules/0/price"),
        ({"price": "0." + "0" * 29 + "1"}, "/rules/0/price"),
        ({"price": "1" * 16}, "/rules/0/price"),
        ({"price": "1", "per": 0}, "/rules/0/per"),
        ({"price": "1", "per": 3}, "/rules/0/price"),
        ({}, "/rules/0/price"),
        ({"price": "1", "tiers": [{"from": "0", "price": "1"}]}, "/rules/0/price"),
        ({"tiers": [{"from": "1", "price": "1"}]}, "/rules/0/tiers/0/from"),
        ({"tiers": [{"from": "0", "price": "1"}, {"from": "0", "price": "1"}]}, "/rules/0/tiers/1/from"),
        ({"tiers": [{"from": "0", "price": "x"}]}, "/rules/0/tiers/0/price"),
        ({"tiers": [{"from": "0", "price": "1", "cost": "-1"}]}, "/rules/0/tiers/0/cost"),
        ({"price": "1", "tier_by": "tokens"}, "/rules/0/tier_by"),
        ({"tiers": [{"from": "0", "price": "1"}], "tier_mode": "whole", "tier_by": "X"}, "/rules/0/tier_by"),
        ({"price": "1", "included": "-1"}, "/rules/0/included"),
        ({"price": "1", "cost": "-1"}, "/rules/0/cost"),
        ({"tiers": [{"from": "0", "price": "1"}], "cost": "1"}, "/rules/0/cost"),
        ({"price": "1", "match": {"model": []}}, "/rules/0/match/model"),
        ({"price": "1", "match": {"a/b": ""}}, "/rules/0/match/a~1b"),
        ({"price": "1", "id": "x" * 256}, "/rules/0/id"),
    ],
)
def test_a_rule_that_can_not_be_is_told_by_pointer(terms, where):
    assert pointers(a_card({"id": "a", "dimension": "gb", **terms})) == [where]


@pytest.mark.parametrize(
    ("terms", "where"),
    [
        ({"rate": "0"}, "/rate"),
        ({"rate": "-1"}, "/rate"),
        ({"minimum": "-1"}, "/minimum"),
        ({"markup": {"percent": "-100.5"}}, "/markup/percent"),
        ({"markup": {"fixed": "-1"}}, "/markup/fixed"),
        ({"catalogue": {"rate": "0"}}, "/catalogue/rate"),
        ({"catalogue": {"rate": "1", "markup": {"percent": "x"}}}, "/catalogue/markup/percent"),
        ({"decimals": 7}, "/decimals"),
        ({"decimals": -1}, "/decimals"),
        ({"rounding": "exact", "decimals": 2}, "/decimals"),
    ],
)
def test_terms_that_can_not_be_are_told_by_pointer(terms, where):
    assert pointers(a_card(rule("gb", "1"), **terms)) == [where]


def test_everything_is_told_at_once():
    card = a_card(rule("X", "1"), rule("gb", "-1"), rule("gb", "1", included="x"), rate="0", minimum="x")
    assert pointers(card) == [
        *("/rate", "/minimum", "/rules/0/dimension", "/rules/1/price"),
        *("/rules/2/id", "/rules/2/included", "/rules/2"),
    ]


def test_a_card_must_price_something():
    assert pointers(a_card()) == ["/rules"]
    assert pointers(a_card(catalogue={"rate": "1", "cost_only": True})) == ["/rules"]
    assert pointers(a_card(catalogue={"rate": "1"})) == []


# Ties


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"match": {"model": "m"}}, {"match": {"model": "m"}}),
        ({"match": {"model": ["m", "n"]}}, {"match": {"model": ["o", "n"]}}),
        ({"match": {"model": "m"}}, {"match": {"operation": "o"}}),
        ({"match": {"model": "m", "a": "1"}}, {"match": {"model": "m", "b": "1"}}),
        ({"default": True}, {"default": True}),
        ({"priority": 3}, {"priority": 3}),
    ],
)
def test_rules_that_tie_are_both_named(one, other):
    card = a_card(rule("gb", "1", "first", **one), rule("mb", "1", "apart"), rule("gb", "2", "second", **other))
    ((pointer, message),) = check_card(card, 6)
    assert pointer == "/rules/2"
    assert "'first'" in message
    assert "'second'" in message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"priority": 1}),
        ({}, {"default": True}),
        ({}, {"match": {"model": "m"}}),
        ({"match": {"model": "m"}}, {"match": {"model": "n"}}),
        ({"match": {"model": "m", "a": "1"}}, {"match": {"model": "n", "b": "1"}}),
        ({"match": {"model": ["m", "n"], "a": "1"}}, {"match": {"model": ["m", "n"], "a": ["2", "3"]}}),
    ],
)
def test_rules_that_no_usage_can_both_match_do_not_tie(one, other):
    assert check_card(a_card(rule("gb", "1", "first", **one), rule("gb", "2", "second", **other)), 6) == []


def alike(number, priority=0):
    """A rule that looks at the model, and at something that no other one looks at."""
    return rule("tokens", "1", f"r{number}", match={"model": f"m{number}", f"k{number}": "v"}, priority=priority)


def test_of_very_many_ties_the_first_are_told():
    card = a_card(*(rule("tokens", "1", f"r{n}", match={f"k{n}": "v"}) for n in range(500)))
    assert len(check_card(card, 6)) == MAX_TIES


def test_rules_that_could_only_be_compared_at_great_cost_are_refused_unless_they_have_priorities():
    ((pointer, why),) = check_card(a_card(*map(alike, range(500))), 6)
    assert (pointer, why.endswith("give them priorities")) == ("/rules", True)
    assert check_card(a_card(*(alike(n, priority=n % 10) for n in range(500))), 6) == []


def test_rules_with_long_lists_are_told_apart_by_what_they_do_not_share():
    models = [f"m{n}" for n in range(300)]
    rules = [rule("tokens", "1", f"r{n}", match={"model": models, "operation": f"o{n}"}) for n in range(300)]
    assert check_card(a_card(*rules), 6) == []
    tie = rule("tokens", "1", "tie", match={"model": "m299", "operation": ["x", "o299"]})
    assert pointers(a_card(*rules, tie)) == ["/rules/300"]


def test_thousands_of_rules_are_compared_by_what_tells_them_apart():
    by_model = [rule("tokens", "1", f"m{n}", match={"model": f"m{n}", "tier": "a"}) for n in range(4000)]
    by_other = [rule("tokens", "1", f"o{n}", match={"model": f"o{n}", "size": "a"}) for n in range(4000)]
    card = a_card(*by_model, *by_other, rule("tokens", "1", "tie", match={"model": "o3999", "size": ["b", "a"]}))
    ((pointer, message),) = check_card(card, 6)
    assert (pointer, "'o3999'" in message) == ("/rules/8000", True)
    book = a_book(a_card(*by_model, *by_other))
    assert priced(used("m1234", {"tier": "a"}, tokens=1), book).lines[0].rule == "m1234"


# Reading


@pytest.mark.parametrize(
    ("document", "where", "said"),
    [
        ("[]", "", "must be a JSON object"),
        ('{"rules": [', "", "must be a JSON object"),
        ("\xff", "", "must be a JSON object"),
        ('{"rulez": []}', "", "has a field that no card has: rulez"),
        ('{"rules": 3}', "/rules", "must be array, not int"),
        ('{"rules": [{"id": "a"}]}', "/rules/0", "must have the field dimension"),
        ('{"rules": [{"id": "a", "dimension": "gb", "prize": "1"}]}', "/rules/0", "prize"),
        ('{"rules": [{"id": "a", "dimension": "gb", "price": 0.1}]}', "/rules/0/price", "not float"),
        ('{"rules": [{"id": "a", "dimension": "gb", "match": {"model": 4}}]}', "/rules/0/match", "not int"),
        ('{"rules": [{"id": "a", "dimension": "gb", "tiers": [{"from": 0}]}]}', "/rules/0/tiers/0/from", "not int"),
        ('{"rounding": "down"}', "/rounding", "can't be down"),
        ('{"profile": {}, "rules": []}', "/rules", "can't stand beside a profile"),
        ('{"profile": []}', "/profile", "must be a JSON object"),
    ],
)
def test_a_document_that_is_no_card_says_where_and_why(document, where, said):
    with pytest.raises(CardError) as caught:
        read_card(document)
    ((pointer, message),) = caught.value.problems
    assert (pointer, said in message) == (where, True), message


def test_both_formats_are_read():
    assert isinstance(example("tokens"), RateCard)
    assert isinstance(example("pricecalc"), ProfileCard)


def profile(**terms):
    rules = [{"id": "a", "dimensionKey": "gb", "creditsPerUnit": 1, **terms}]
    return read_card(json.dumps({"profile": {"profileVersionId": "p", "eurPerCredit": 1, "rateRules": rules}}))


@pytest.mark.parametrize(
    ("terms", "where"),
    [
        ({"creditsPerUnit": -1}, "/profile/rateRules/0/creditsPerUnit"),
        ({"creditsPerUnit": "1"}, "/profile/rateRules/0/creditsPerUnit"),
        ({"creditsPerUnit": 1e-30}, "/profile/rateRules/0/creditsPerUnit"),
        ({"creditsPerUnit": 1e30}, "/profile/rateRules/0/creditsPerUnit"),
        ({"costPerUnitEur": -1}, "/profile/rateRules/0/costPerUnitEur"),
        ({"id": 3}, "/profile/rateRules/0/id"),
        ({"priority": "high"}, "/profile/rateRules/0/priority"),
        ({"status": 1}, "/profile/rateRules/0/status"),
        ({"attributesMatch": []}, "/profile/rateRules/0/attributesMatch"),
        ({"attributesMatch": {"a": {}}}, "/profile/rateRules/0/attributesMatch/a"),
    ],
)
def test_a_profile_that_can_not_price_charges_is_told_by_pointer(terms, where):
    assert pointers(profile(**terms)) == [where]


def test_a_profile_whose_hash_is_not_that_of_its_rules_is_no_card():
    card = profile()
    wrong = ProfileCard(profile={**card.profile, "rulesetHash": "0" * 64})
    assert pointers(wrong) == ["/profile/rulesetHash"]
    assert pointers(ProfileCard(profile={**card.profile, "rateRules": [], "eurPerCredit": 0})) == [
        "/profile/eurPerCredit"
    ]


# Models


def test_what_is_wrong_with_a_models_prices_is_told_by_pointer():
    right = (Price(dimension="tokens", price="1", per=1_000_000),)
    wrong = ModelPrice(
        provider="",
        model="m",
        prices=(*right, *right, Price(dimension="gb", price="-1")),
        variants=(
            Variant(when={}, prices=right),
            Variant(when={"processing": "batch"}, prices=()),
            Variant(when={"processing": "batch"}, prices=right),
        ),
    )
    assert check_model(ModelPrice(provider="p", model="m", prices=right)) == []
    assert [pointer for pointer, _ in check_model(wrong)] == [
        *("/provider", "/prices/1/dimension", "/prices/2/price"),
        *("/variants/0/when", "/variants/1/prices", "/variants/2/when"),
    ]


@pytest.mark.parametrize("number", ["1." + "9" * 900_000, "1e" + "9" * 900_000, "1e99999999999999999999", "9" * 5_000])
@pytest.mark.parametrize("field", ["creditsPerUnit", "priority", "attributesMatch"])
def test_a_number_of_a_profile_that_nobody_counts_with_is_refused(field, number):
    value = f'{{"a": {number}}}' if field == "attributesMatch" else number
    rule = f'{{"id": "a", "dimensionKey": "d", "creditsPerUnit": 1, "{field}": {value}}}'
    with pytest.raises(CardError) as error:
        read_card(f'{{"profile": {{"profileVersionId": "v", "eurPerCredit": 1, "rateRules": [{rule}]}}}}')
    ((pointer, message),) = error.value.problems
    assert pointer == "/profile"
    assert len(message) < 300
