"""PriceCalc profiles, as their contract says; the tables of JavaScript's own answers are in the file beside this."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.pricecalc import PriceCalcRefusal, audit_payload, calculate
from farthing.core.profile import Profile, ProfileError, read_profile, ruleset_hash
from farthing.core.ratecard import ProfileCard
from tests.core.rates import a_book, example, priced, used


def a_rule(id="r", dimension="gb", price=1, **terms):
    return {"id": id, "dimensionKey": dimension, "creditsPerUnit": price, **terms}


def a_profile(*rules, **terms):
    """A profile as it arrives: as JSON."""
    return read_profile(json.dumps({"profileVersionId": "p1", "eurPerCredit": 0.01, "rateRules": rules, **terms}))


def result(profile, dimensions, attributes=None, mode="STRICT", **more):
    request = {"dimensions": dimensions, "attributes": attributes or {}, "mode": mode}
    found = calculate(profile, read_profile(json.dumps(request)), **more)
    assert isinstance(found, dict), found
    return found


def refusal(profile, dimensions, attributes=None, mode="STRICT"):
    found = calculate(profile, {"dimensions": dimensions, "attributes": attributes or {}, "mode": mode})
    assert isinstance(found, PriceCalcRefusal), found
    return found


def ids(profile, dimensions, attributes=None):
    return result(profile, dimensions, attributes)["ruleIdsUsed"]


# The result


def test_a_result_has_the_names_of_the_contract_in_their_order():
    profile = a_profile(a_rule("a", "gb", 0.5, costPerUnitEur=0.001), a_rule("b", "mb", 0.0001), engineVersion="e7")
    assert result(profile, {"gb": 3, "mb": 2}, include_rounded=True) == {
        "totalCredits": Decimal("1.5002"),
        "totalCreditsToDeduct": 2,
        "breakdown": [
            {
                "dimensionKey": "gb",
                "qty": 3,
                "creditsPerUnit": Decimal("0.5"),
                "credits": Decimal("1.5"),
                "costPerUnitEur": Decimal("0.001"),
                "costEur": Decimal("0.003"),
                "ruleId": "a",
            },
            {
                "dimensionKey": "mb",
                "qty": 2,
                "creditsPerUnit": Decimal("0.0001"),
                "credits": Decimal("0.0002"),
                "ruleId": "b",
            },
        ],
        "ruleIdsUsed": ["a", "b"],
        "rulesetHash": ruleset_hash(profile),
        "profileVersionId": "p1",
        "profileEngineVersion": "e7",
        "runtimeEngineVersion": "runtime-v2",
    }
    order = ["totalCredits", "breakdown", "ruleIdsUsed", "rulesetHash", "profileVersionId", "profileEngineVersion"]
    unmatched = result(profile, {"gb": 3, "tb": 1}, mode="RUNTIME")
    assert list(unmatched) == [*order, "runtimeEngineVersion", "unmatchedDimensions", "quarantineReason"]
    assert list(unmatched["breakdown"][0])[-3:] == ["costPerUnitEur", "costEur", "ruleId"]


def test_an_engine_that_is_not_said_is_unknown():
    assert result(a_profile(a_rule()), {"gb": 1})["profileEngineVersion"] == "unknown"


def test_sums_are_exact_where_doubles_are_not():
    profile = a_profile(a_rule("a", "gb", 0.1), a_rule("b", "mb", 0.2), a_rule("c", "tb", 0.1 + 0.2))
    assert result(profile, {"gb": 1, "mb": 1})["totalCredits"] == Decimal("0.3")
    assert result(profile, {"tb": 3})["totalCredits"] == Decimal("0.90000000000000012")
    assert result(profile, {"tb": 1})["breakdown"][0]["creditsPerUnit"] == Decimal("0.30000000000000004")


def test_the_ends_of_a_double_are_multiplied_exactly():
    profile = a_profile(a_rule("a", "gb", 1e300), a_rule("b", "mb", 5e-324))
    total = result(profile, {"gb": 1e300, "mb": 5e-324})["totalCredits"]
    assert total.as_tuple() == (0, (1, *[0] * 1246, 2, 5), -648)


@pytest.mark.parametrize(("quantity", "rounded"), [(1, 1), (1.5, 2), (2, 2), (0.001, 1)])
def test_the_rounded_total_is_rounded_up(quantity, rounded):
    assert result(a_profile(a_rule()), {"gb": quantity}, include_rounded=True)["totalCreditsToDeduct"] == rounded


def test_a_total_of_nothing_has_no_rounded_total():
    profile = a_profile(a_rule(), a_rule("free", "mb", 0))
    assert "totalCreditsToDeduct" not in result(profile, {"gb": 0}, include_rounded=True)
    assert "totalCreditsToDeduct" not in result(profile, {"mb": 5}, include_rounded=True)
    assert "totalCreditsToDeduct" not in result(profile, {"gb": 5})


def test_a_rule_that_is_used_twice_is_named_once():
    profile = a_profile(a_rule("x", "gb"), a_rule("y", "mb"), a_rule("x", "tb"))
    assert ids(profile, {"tb": 1, "mb": 1, "gb": 1}) == ["x", "y"]


def test_an_audit_payload_has_all_that_the_result_was_made_of():
    profile = a_profile(a_rule(costPerUnitEur=0.002), a_rule("b", "mb"))
    request = {"dimensions": {"gb": 3, "mb": 1}, "attributes": {"tier": "xl"}}
    found = calculate(profile, request)
    assert isinstance(found, dict)
    audit = audit_payload(profile, request, found, "2025-01-01T00:00:00.000Z")
    assert {name: audit[name] for name in found} == found
    assert {name: audit[name] for name in audit if name not in found} == {
        "timestamp": "2025-01-01T00:00:00.000Z",
        "dimensions": {"gb": 3, "mb": 1},
        "attributes": {"tier": "xl"},
        "eurPerCredit": Decimal("0.01"),
        "costTotalEur": Decimal("0.006"),
    }


# Quantities


@pytest.mark.parametrize(
    ("sent", "quantity"),
    [
        *(
            (3, 3),
            (2.5, Decimal("2.5")),
            ("3", 3),
            (" 2.50 ", Decimal("2.5")),
            ("1e3", 1000),
            ("0x10", 16),
            (".5", 0.5),
        ),
        ("12345678901234567890.5", Decimal("12345678901234567890.5")),
    ],
)
def test_numbers_and_texts_that_are_numbers_count(sent, quantity):
    assert result(a_profile(a_rule()), {"gb": sent})["breakdown"][0]["qty"] == quantity


@pytest.mark.parametrize("sent", [0, -1, "0", "-3", "", "many", "1_0", "Infinity", "NaN", "1e999", None, True, [3], {}])
def test_what_is_not_finite_or_not_above_zero_is_skipped(sent):
    found = result(a_profile(a_rule()), {"gb": sent, "unheard of": sent})
    assert (found["totalCredits"], found["breakdown"]) == (0, [])


def test_floats_of_python_are_doubles_of_javascript():
    found = calculate(a_profile(a_rule(price=0.1)), {"dimensions": {"gb": 0.1 + 0.2, "mb": float("inf")}})
    assert isinstance(found, dict)
    assert found["totalCredits"] == Decimal("0.030000000000000004")
    huge = calculate(a_profile(a_rule()), read_profile('{"dimensions": {"gb": 1e400, "mb": 1e-400}}'))
    assert isinstance(huge, dict)
    assert huge["breakdown"] == []


def test_dimensions_that_look_like_an_index_come_first():
    keys = ["b", "10", "a", "2", "01", "-1", "4294967295", "4294967294"]
    profile = a_profile(*[a_rule(key, key) for key in keys])
    assert ids(profile, dict.fromkeys(keys, 1)) == ["2", "10", "4294967294", "b", "a", "01", "-1", "4294967295"]


# Matching


def test_attributes_match_by_value_and_by_type():
    profile = a_profile(a_rule("any", priority=-1), a_rule("hit", attributesMatch={"size": ["l", 5, True, None]}))
    for hit in ("l", 5, True, None, 5.0):
        assert ids(profile, {"gb": 1}, {"size": hit}) == ["hit"]
    for miss in ("m", "5", 1, "true", False, "null", ["l"]):
        assert ids(profile, {"gb": 1}, {"size": miss}) == ["any"]
    assert ids(profile, {"gb": 1}, {"colour": "l"}) == ["any"], "a missing attribute is no match"


def test_every_attribute_of_a_rule_must_match_and_none_always_does():
    profile = a_profile(
        a_rule("both", priority=1, attributesMatch={"a": "1", "b": "2"}), a_rule("any", attributesMatch={})
    )
    assert ids(profile, {"gb": 1}, {"a": "1", "b": "2", "c": "3"}) == ["both"]
    assert ids(profile, {"gb": 1}, {"a": "1"}) == ["any"]
    assert ids(a_profile(a_rule("null", attributesMatch=None)), {"gb": 1}) == ["null"]


def test_disabled_rules_do_not_count_and_drafts_do():
    profile = a_profile(a_rule("off", status="disabled", priority=9), a_rule("draft", status="draft"))
    assert ids(profile, {"gb": 1}) == ["draft"]
    assert refusal(a_profile(a_rule(status="disabled")), {"gb": 1}).code == "UNMATCHED_DIMENSION"


@pytest.mark.parametrize(
    ("one", "other", "wins"),
    [
        ({"priority": 2}, {"priority": 10}, "b"),
        ({"priority": -1}, {}, "b"),
        ({"priority": 1, "createdAt": "2024-01-01"}, {"createdAt": "2025-01-01"}, "a"),
        ({"createdAt": "2024-01-01"}, {"createdAt": "2024-01-02"}, "b"),
        ({"createdAt": "2024-01-01"}, {}, "a"),
        ({"createdAt": "long ago"}, {"createdAt": "1970-01-02"}, "b"),
        ({"createdAt": "1969-12-31"}, {}, "b"),
        ({"createdAt": "2024-01-01T00:00:00+02:00"}, {"createdAt": "2024-01-01"}, "b"),
        ({"createdAt": "2024-01-01T00:00:00"}, {"createdAt": "2024-01-01"}, "a"),
        ({}, {}, "a"),
    ],
)
def test_of_several_matches_one_wins(one, other, wins):
    rules = [a_rule("a", **one), a_rule("b", **other)]
    assert ids(a_profile(*rules), {"gb": 1}) == ids(a_profile(*rules[::-1]), {"gb": 1}) == [wins]


def test_ids_break_ties_as_javascript_compares_them():
    for smaller, larger in [("r_1", "r-1"), ("r1", "R1"), ("r-1", "r1"), ("R1", "r2"), ("1", "a"), ("é", "f")]:
        assert ids(a_profile(a_rule(larger), a_rule(smaller)), {"gb": 1}) == [smaller]


# Strict and runtime


def test_strict_names_every_unmatched_dimension():
    found = refusal(a_profile(a_rule()), {"gb": 1, "tb": 1, "9": 2, "zero": 0})
    assert (found.code, found.names) == ("UNMATCHED_DIMENSION", ("9", "tb"))
    assert "9, tb" in found.message


def test_runtime_prices_the_rest():
    found = result(a_profile(a_rule()), {"gb": 2, "tb": 1}, mode="RUNTIME")
    assert found["totalCredits"] == 2
    assert (found["unmatchedDimensions"], found["quarantineReason"]) == (["tb"], "UNMATCHED_DIMENSION")


def test_strict_is_the_default():
    found = calculate(a_profile(a_rule()), {"dimensions": {"tb": 1}})
    assert isinstance(found, PriceCalcRefusal)


def test_a_hash_that_fits_is_given_back_and_one_that_does_not_is_refused():
    right = ruleset_hash(a_profile(a_rule()))
    assert result(a_profile(a_rule(), rulesetHash=right), {"gb": 1})["rulesetHash"] == right
    wrong = a_profile(a_rule(), rulesetHash="0" * 64)
    assert refusal(wrong, {"gb": 1}).code == "RULESET_HASH_MISMATCH"
    assert refusal(wrong, {"tb": 1}).code == "RULESET_HASH_MISMATCH", "checked before unmatched dimensions"
    assert result(wrong, {"gb": 1}, mode="RUNTIME")["quarantineReason"] == "RULESET_HASH_MISMATCH"
    found = result(wrong, {"gb": 1, "tb": 1}, mode="RUNTIME")
    assert found["rulesetHash"] == "0" * 64
    assert (found["unmatchedDimensions"], found["quarantineReason"]) == (["tb"], "RULESET_HASH_MISMATCH")


def test_the_hash_is_of_what_prices_and_of_nothing_else():
    one = a_profile(a_rule("a"), a_rule("b", attributesMatch={"t": ["x", "y"]}))
    same = a_profile(
        a_rule("b", attributesMatch={"t": ["y", "x"]}, createdAt="2024-01-01", status="active", priority=0),
        a_rule("off", status="disabled"),
        a_rule("a", price=1.0, costPerUnitEur=None, attributesMatch=None),
        metadata={"note": "other"},
        eurPerCredit=7,
    )
    assert ruleset_hash(one) == ruleset_hash(same)
    for other in ({"price": 2}, {"priority": 1}, {"status": "draft"}, {"costPerUnitEur": 0}, {"dimension": "mb"}):
        assert ruleset_hash(a_profile(a_rule("a", **other))) != ruleset_hash(a_profile(a_rule("a")))


# What is wrong


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ({}, "dimensions"),
        ({"dimensions": []}, "dimensions"),
        ({"dimensions": {}, "attributes": 3}, "attributes"),
        ({"dimensions": {}, "mode": "LAX"}, "mode"),
    ],
)
def test_an_input_that_can_not_be_read_is_refused_by_name(request_, name):
    found = calculate(a_profile(a_rule()), request_)
    assert isinstance(found, PriceCalcRefusal)
    assert (found.code, found.names) == ("INVALID_INPUT", (name,))


def test_a_profile_that_can_not_be_read_says_everything_at_once():
    found = calculate({"profileVersionId": "", "eurPerCredit": 0, "rateRules": [{"id": "a"}, 3]}, {"dimensions": {}})
    assert isinstance(found, PriceCalcRefusal)
    assert found.code == "INVALID_PROFILE"
    assert found.names == (
        *("/profileVersionId", "/eurPerCredit", "/rateRules/0/dimensionKey", "/rateRules/0/creditsPerUnit"),
        "/rateRules/1",
    )


def test_a_text_that_is_no_profile_is_refused():
    for text in ("[]", "{", '"x"', "\xff"):
        with pytest.raises(ProfileError):
            read_profile(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
OPTIONAL = ["costPerUnitEur", "attributesMatch", "priority", "status", "createdAt"]


@given(
    st.dictionaries(st.sampled_from(OPTIONAL), json_values),
    st.dictionaries(
        st.sampled_from(["profileVersionId", "eurPerCredit", "rateRules", "rulesetHash"]), json_values, max_size=1
    ),
    st.dictionaries(st.sampled_from(["gb", "1", ""]) | st.text(max_size=3), json_values, max_size=3),
    st.dictionaries(st.text(max_size=3), json_values, max_size=2),
)
def test_garbage_is_refused_and_never_an_exception(terms, over, dimensions, attributes):
    profile = {"profileVersionId": "p", "eurPerCredit": 1, "rateRules": [{**a_rule(), **terms}], **over}
    for mode in ("STRICT", "RUNTIME", 3):
        found = calculate(profile, {"dimensions": dimensions, "attributes": attributes, "mode": mode})
        assert isinstance(found, dict | PriceCalcRefusal)


# The same through the pricing of charges


@given(
    st.dictionaries(
        st.sampled_from(["llm_input_tokens", "llm_output_tokens", "images"]), st.integers(1, 10**4), min_size=1
    ),
    st.sampled_from(["", "small", "large", "xl"]),
)
def test_a_charge_is_priced_as_by_the_runtime(dimensions, tier):
    attributes = {"tier": tier} if tier else {}
    card = example("pricecalc")
    assert isinstance(card, ProfileCard)
    profile = Profile.of(card.profile)
    found = priced(used(attributes=attributes, **dimensions), a_book(card, 9))
    by_runtime = result(profile, dimensions, attributes)
    assert Decimal(found.exact) == by_runtime["totalCredits"]
    assert {line.rule for line in found.lines} == set(by_runtime["ruleIdsUsed"])
