"""Pricing: what a usage comes to under a card and the catalogue, line by line; and what has no price."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from farthing.core.estimate import Estimate, Expected, count_prompt, count_tokens, estimate, expected_of
from farthing.core.modelprice import Variant
from farthing.core.pricing import meant_by, rounded
from farthing.core.quantities import PriceRefusal
from farthing.core.usage import Usage
from tests.core.rates import a_book, a_card, a_model, example, per_million, priced, refused, rule, used

FLEX = Variant(when={"service_tier": "flex"}, prices=per_million(input_tokens="1", output_tokens="4"))
GPT_4O = a_model("gpt-4o", FLEX, input_tokens="2.5", cache_read_tokens="1.25", output_tokens="10")
TOKENS = [rule("input_tokens", "2", per=1000), rule("output_tokens", "8", per=1000)]


def openai(model, input, output):
    return replace(used(model, input_tokens=input, output_tokens=output), provider="openai")


def find(provider, model):
    return GPT_4O if model in ("gpt-4o", "openai/gpt-4o") else None


def lines(usage, book):
    return [(line.dimension or line.kind, line.quantity, line.amount) for line in priced(usage, book).lines]


# The four systems


@pytest.mark.parametrize(
    ("card", "scale", "usage", "exact"),
    [
        ("chat", 9, openai("gpt-4o", 1500, 800), "0.01175"),
        ("chat", 9, openai("gpt-4o-mini", 500, 500), "0.000375"),
        ("gpt4", 6, used("gpt-4", tokens=1500), "7.5"),
        ("gpt4", 6, used("gpt-4", input_tokens=1000, output_tokens=500), "7.5"),
        ("accounting", 6, used("amazon.nova-micro-v1:0", input_tokens=1000, output_tokens=1000), "0.12"),
        ("accounting", 6, used("amazon.nova-lite-v1:0", input_tokens=1000, output_tokens=1000), "1.05"),
        ("accounting", 6, used("amazon.nova-lite-v1:0", tokens=1000), "0.525"),
        ("accounting", 6, used("amazon.titan-text-express-v1", input_tokens=1, output_tokens=2), "0.0014"),
        ("accounting", 6, used("meta.llama3-70b-instruct-v1:0", tokens=2000), "0.615"),
        ("accounting", 6, used("some/other:model", input_tokens=1000, output_tokens=1000), "0.7"),
        ("accounting", 6, used("some/other:model", tokens=1000), "0.35"),
        ("tokens", 0, used(operation="image_generation"), "10"),
        ("tokens", 0, used(operation="sora_image"), "10"),
        ("tokens", 0, used(operation="product_card"), "10"),
        ("tokens", 0, used(operation="chatgpt_message"), "5"),
        ("tokens", 0, used(operation="monthly_reset"), "0"),
    ],
)  # fmt: skip
def test_the_four_systems_are_rate_cards(card, scale, usage, exact):
    found = priced(usage, a_book(example(card), scale, unknown_models="default"))
    assert found.exact == exact
    assert found.amount == Decimal(exact).scaleb(scale)


def test_a_profile_prices_a_usage_as_pricecalc_does():
    usage = used(attributes={"tier": "xl"}, llm_input_tokens=1500, llm_output_tokens="800", images=1)
    found = priced(usage, a_book(example("pricecalc")))
    assert found.exact == "11.39"
    assert [line.rule for line in found.lines] == ["r_image", "r_in_large", "r_out"]


def test_the_cost_of_a_profile_is_in_credits():
    found = priced(used(llm_input_tokens=1500, llm_output_tokens=3), a_book(example("pricecalc")))
    assert found.cost == 151_200_000  # (1500 x 0.000001 + 3 x 0.000004) EUR at 0.01 EUR a credit, in billionths
    assert priced(used(images=1), a_book(example("pricecalc"))).cost is None


def test_an_operation_without_a_price_is_refused_by_name():
    found = refused(used(operation="nap"), a_book(example("tokens"), 0))
    assert (found.code, found.field) == ("unknown_operation", "operation")
    assert "'nap'" in found.message


# Inclusive counts


def test_a_count_with_a_price_of_its_own_is_taken_out_of_its_parent():
    book = a_book(a_card(*TOKENS, rule("cache_read_tokens", "1", per=1000)))
    usage = used(input_tokens=1000, cache_read_tokens=400, output_tokens=100)
    assert lines(usage, book) == [
        ("input_tokens", "600", "1.2"),
        ("cache_read_tokens", "400", "0.4"),
        ("output_tokens", "100", "0.8"),
    ]


def test_a_count_without_a_price_is_priced_within_its_parent():
    usage = used(input_tokens=1000, cache_read_tokens=400, output_tokens=100, reasoning_tokens=90)
    assert lines(usage, a_book(a_card(*TOKENS))) == [("input_tokens", "1000", "2"), ("output_tokens", "100", "0.8")]


def test_a_parent_that_was_not_sent_is_the_sum_of_its_children():
    usage = used(cache_read_tokens=30, input_audio_tokens=70)
    assert lines(usage, a_book(a_card(rule("input_tokens", "1")))) == [("input_tokens", "100", "100")]


def test_what_a_longer_cache_holds_is_counted_within_what_was_written():
    card = a_card(rule("input_tokens", "1"), rule("cache_write_1h_tokens", "3"))
    usage = used(input_tokens=100, cache_write_tokens=50, cache_write_1h_tokens=20)
    assert lines(usage, a_book(card)) == [("input_tokens", "80", "80"), ("cache_write_1h_tokens", "20", "60")]


def test_tokens_of_video_are_counted_within_those_of_their_side():
    book = a_book(a_card(*TOKENS, rule("output_video_tokens", "20", per=1000)))
    usage = used(input_tokens=1000, input_video_tokens=900, output_tokens=100, output_video_tokens=90)
    assert lines(usage, book) == [
        ("input_tokens", "1000", "2"),
        ("output_tokens", "10", "0.08"),
        ("output_video_tokens", "90", "1.8"),
    ]
    above = refused(used(output_tokens=1, output_video_tokens=2), book)
    assert (above.code, above.field) == ("usage_invalid", "dimensions.output_video_tokens")
    assert refused(used(output_video_tokens="0.5"), book).code == "usage_invalid"


def test_only_a_total_where_the_card_tells_input_from_output_is_refused():
    found = refused(used(tokens=100), a_book(a_card(*TOKENS)))
    assert (found.code, found.field) == ("missing_dimension", "dimensions.tokens")
    assert "input_tokens, output_tokens" in found.message


def test_a_card_with_half_of_the_prices_is_refused_though_the_catalogue_has_the_rest():
    card = a_card(rule("input_tokens", "1"), catalogue={"rate": "100"})
    found = refused(used("gpt-4o", input_tokens=1, output_tokens=1), a_book(card, find_model=find))
    assert (found.code, found.field) == ("missing_dimension", "dimensions.output_tokens")


@pytest.mark.parametrize(
    ("dimensions", "field"),
    [
        ({"input_tokens": "10", "cache_read_tokens": "11"}, "dimensions.cache_read_tokens"),
        ({"output_tokens": "10", "reasoning_tokens": "11"}, "dimensions.reasoning_tokens"),
        ({"input_tokens": "10", "cache_read_tokens": "6", "cache_write_tokens": "5"}, "dimensions.input_tokens"),
        ({"tokens": "10", "input_tokens": "6", "output_tokens": "5"}, "dimensions.tokens"),
        ({"cache_write_tokens": "1", "cache_write_1h_tokens": "2"}, "dimensions.cache_write_1h_tokens"),
        ({"input_tokens": "-1"}, "dimensions.input_tokens"),
        ({"input_tokens": "1.5"}, "dimensions.input_tokens"),
        ({"requests": "0.5"}, "dimensions.requests"),
        ({"input_tokens": "1e3"}, "dimensions.input_tokens"),
        ({"input_tokens": "NaN"}, "dimensions.input_tokens"),
        ({"input_tokens": ""}, "dimensions.input_tokens"),
        ({"input_tokens": "\u0661"}, "dimensions.input_tokens"),
        ({"input_tokens": "1" * 16}, "dimensions.input_tokens"),
        ({"seconds": "0." + "0" * 12 + "1"}, "dimensions.seconds"),
        ({"seconds": "-0.5"}, "dimensions.seconds"),
        ({"Input Tokens": "1"}, "dimensions.'Input Tokens'"),
        ({f"d{n}": "1" for n in range(65)}, "dimensions"),
    ],
)
def test_a_usage_that_can_not_be_is_refused_by_field(dimensions, field):
    book = a_book(a_card(*TOKENS, rule("seconds", "1")), unknown_models="unpriced")
    found = refused(Usage(model="m", dimensions=dimensions), book)
    assert (found.code, found.field) == ("usage_invalid", field)
    assert found.message.startswith(field)


@pytest.mark.parametrize(
    ("usage", "field"),
    [
        (Usage(model="m" * 256), "model"),
        (Usage(attributes={"a": "b" * 256}), "attributes.a"),
        (Usage(attributes={str(n): "" for n in range(65)}), "attributes"),
    ],
)
def test_texts_that_are_too_long_are_refused(usage, field):
    found = refused(usage, a_book(a_card(rule("requests", "1"))))
    assert (found.code, found.field) == ("usage_invalid", field)


def test_zero_tokens_of_a_known_model_cost_nothing():
    found = priced(used("m", input_tokens=0, output_tokens=0), a_book(a_card(*TOKENS, minimum="1")))
    assert (found.amount, found.lines, found.cost) == (0, (), 0)


def test_whole_counts_may_be_written_with_zeros():
    assert priced(used(input_tokens="1000.0", output_tokens="0"), a_book(a_card(*TOKENS))).exact == "2"


# Dimensions of their own


def test_a_request_is_counted_where_a_rule_prices_requests():
    card = a_card(rule("requests", "0.5"), *TOKENS)
    assert lines(used(input_tokens=1000), a_book(card)) == [("input_tokens", "1000", "2"), ("requests", "1", "0.5")]
    assert lines(used(input_tokens=1000, requests=3), a_book(card))[1] == ("requests", "3", "1.5")


def test_an_unknown_dimension_is_refused_by_name():
    found = refused(used("gpt", input_tokens=1, output_tokens=0, pages=2), a_book(a_card(*TOKENS)))
    assert (found.code, found.field) == ("unknown_dimension", "dimensions.pages")
    assert "'pages'" in found.message


def test_nothing_of_an_unknown_dimension_is_no_matter():
    assert priced(used(input_tokens=1000, pages=0), a_book(a_card(*TOKENS))).exact == "2"


def test_a_usage_of_nothing_is_refused():
    assert refused(Usage(), a_book(a_card(*TOKENS))).code == "usage_invalid"
    assert refused(used(pages=0), a_book(a_card(*TOKENS))).code == "unknown_dimension"


# Matching


def test_the_higher_priority_wins_and_then_the_more_special_rule():
    card = a_card(
        rule("images", "1", "any"),
        rule("images", "2", "model", match={"model": "m"}),
        rule("images", "3", "both", match={"model": "m", "size": ["large", "huge"]}),
        rule("images", "4", "vip", match={"plan": "vip"}, priority=1),
    )
    book = a_book(card)

    def rule_of(model, **attributes):
        return priced(used(model, attributes, images=1), book).lines[0].rule

    assert rule_of("other") == "any"
    assert rule_of("m") == "model"
    assert rule_of("m", size="small") == "model"
    assert rule_of("m", size="huge") == "both"
    assert rule_of("m", size="huge", plan="vip") == "vip"


@pytest.mark.parametrize("field", ["provider", "model", "service", "operation", "product"])
def test_a_rule_looks_at_every_field_of_a_usage(field):
    book = a_book(a_card(rule("images", "1", match={field: ["x", "a/b:c"]})))
    usage = used(images=1)
    assert priced(replace(usage, **{field: "a/b:c"}), book).exact == "1"
    assert refused(replace(usage, **{field: "other"}), book).code in ("unknown_dimension", "unknown_model")
    assert refused(usage, book).code == "unknown_dimension"


def test_a_model_matches_as_it_was_sent_or_as_it_was_understood():
    by_name = a_book(a_card(rule("tokens", "1", match={"model": "gpt-4o"})), find_model=find)
    found = priced(used("openai/gpt-4o", tokens=5), by_name)
    assert (found.exact, found.provider, found.model) == ("5", "openai", "gpt-4o")
    both = a_card(
        rule("tokens", "1", "name", match={"model": "gpt-4o"}),
        rule("tokens", "2", "raw", match={"model": "openai/gpt-4o"}),
    )
    assert priced(used("openai/gpt-4o", tokens=5), a_book(both, find_model=find)).lines[0].rule == "raw"


# Steps and included units


@pytest.mark.parametrize(
    ("quantity", "exact"),
    [("1", "3"), ("100", "300"), ("101", "302"), ("1000", "2100"), ("1001", "2101"), ("1000.5", "2100.5")],
)
def test_graduated_steps_price_each_part_at_its_step(quantity, exact):
    tiers = [{"from": "0", "price": "3"}, {"from": "100", "price": "2"}, {"from": "1000", "price": "1"}]
    assert priced(used(gb=quantity), a_book(a_card(rule("gb", tiers=tiers)))).exact == exact


def test_a_step_that_was_not_passed_has_no_line():
    book = a_book(a_card(rule("gb", tiers=[{"from": "0", "price": "3"}, {"from": "100", "price": "2"}])))
    assert lines(used(gb=100), book) == [("gb", "100", "300")]
    assert lines(used(gb=101), book) == [("gb", "100", "300"), ("gb", "1", "2")]


@pytest.mark.parametrize(("quantity", "exact"), [(1, "3"), (100, "300"), (101, "202"), (1000, "2000"), (1001, "1001")])
def test_whole_steps_price_all_at_the_step_that_was_passed(quantity, exact):
    tiers = [{"from": "0", "price": "3"}, {"from": "100", "price": "2"}, {"from": "1000", "price": "1"}]
    assert priced(used(gb=quantity), a_book(a_card(rule("gb", tiers=tiers, tier_mode="whole")))).exact == exact


def test_a_step_may_be_chosen_by_another_dimension_as_it_was_sent():
    tiers = [{"from": "0", "price": "10"}, {"from": "200000", "price": "15"}]
    card = a_card(
        rule("input_tokens", "1"),
        rule("cache_read_tokens", "0"),
        rule("output_tokens", tiers=tiers, tier_mode="whole", tier_by="input_tokens"),
    )
    book = a_book(card)
    usage = used(input_tokens=200_001, cache_read_tokens=200_000, output_tokens=1)
    assert lines(usage, book)[2] == ("output_tokens", "1", "15")
    assert lines(used(input_tokens=200_000, output_tokens=1), book)[1] == ("output_tokens", "1", "10")


@pytest.mark.parametrize(("quantity", "left"), [("9.5", "0"), ("10", "0"), ("10.5", "0.5"), ("12", "2")])
def test_included_units_cost_nothing(quantity, left):
    book = a_book(a_card(rule("gb", "3", included="10")))
    found = priced(used(gb=quantity), book)
    assert found.lines[0].quantity == left
    assert Decimal(found.exact) == 3 * Decimal(left)
    assert found.lines[0].note.endswith("included")


def test_steps_count_what_is_left_after_included_units():
    tiers = [{"from": "0", "price": "3"}, {"from": "5", "price": "1"}]
    assert lines(used(gb=17), a_book(a_card(rule("gb", tiers=tiers, included="10")))) == [
        ("gb", "5", "15"),
        ("gb", "2", "2"),
    ]


# Markup, minimum, rounding


def test_markups_minimum_and_rounding_are_lines_that_add_up():
    card = a_card(
        rule("gb", "0.1", per=1000), markup={"percent": "50", "fixed": "0.01"}, minimum="0.2", rounding="up", decimals=0
    )
    found = priced(used(gb=100), a_book(card))
    assert [(line.kind, line.amount) for line in found.lines] == [
        ("price", "0.01"),
        ("markup", "0.005"),
        ("markup", "0.01"),
        ("minimum", "0.175"),
        ("rounding", "0.8"),
    ]
    assert (found.exact, found.amount, rounded(found)) == ("0.2", 1_000_000, "0.8")


def test_what_costs_nothing_has_no_minimum_and_no_markup():
    card = a_card(rule("gb", "1", included="5"), rule("free", "0"), minimum="3", markup={"percent": "10"})
    assert priced(used(gb=5, free=9), a_book(card)).amount == 0


def test_a_discount_is_a_negative_markup():
    assert priced(used(gb=1), a_book(a_card(rule("gb", "10"), markup={"percent": "-12.5"}))).exact == "8.75"
    assert priced(used(gb=1), a_book(a_card(rule("gb", "10"), markup={"percent": "-100"}))).exact == "0"


@pytest.mark.parametrize(
    ("rounding", "decimals", "amount"),
    [
        ("half_even", None, 2_345_678),
        ("half_even", 2, 2_350_000),
        ("half_even", 0, 2_000_000),
        ("up", None, 3_000_000),
        ("up", 2, 2_350_000),
        ("up", 1, 2_400_000),
    ],
)
def test_a_card_rounds_once_by_its_rule(rounding, decimals, amount):
    terms = {} if decimals is None else {"decimals": decimals}
    card = a_card(rule("gb", "2.3456784"), rounding=rounding, **terms)
    assert priced(used(gb=1), a_book(card)).amount == amount


@pytest.mark.parametrize(("price", "amount"), [("0.5", 0), ("1.5", 2), ("2.5", 2), ("2.500001", 3)])
def test_half_goes_to_the_even_neighbour(price, amount):
    assert priced(used(gb=1), a_book(a_card(rule("gb", price)), 0)).amount == amount


def test_prices_are_summed_before_they_are_rounded():
    found = priced(used(a=1, b=1), a_book(a_card(rule("a", "0.5"), rule("b", "0.5")), 0))
    assert (found.amount, len(found.lines)) == (1, 2)


def test_an_exact_card_refuses_what_does_not_fit():
    book = a_book(a_card(rule("gb", "0.5"), rounding="exact"), 0)
    assert priced(used(gb=2), book).amount == 1
    found = refused(used(gb=3), book)
    assert (found.code, "1.5" in found.message) == ("amount_inexact", True)


def test_an_amount_that_no_charge_may_have_is_refused():
    book = a_book(a_card(rule("gb", "1")), 6)
    assert priced(used(gb=999_999_999), book).amount == 999_999_999_000_000
    assert refused(used(gb=1_000_000_000), book).code == "amount_too_large"


def test_prices_in_another_currency_are_multiplied_by_its_rate():
    found = priced(used(gb=3), a_book(a_card(rule("gb", "0.02"), currency="EUR", rate="108.5")))
    (line,) = found.lines
    assert (found.exact, line.price, line.currency, line.rate) == ("6.51", "0.02", "EUR", "108.5")


# The catalogue


def test_a_model_that_no_rule_knows_is_priced_by_the_catalogue():
    card = a_card(catalogue={"rate": "100", "markup": {"percent": "20"}})
    found = priced(used("gpt-4o", input_tokens=1500, output_tokens=800), a_book(card, find_model=find))
    assert (found.exact, found.cost) == ("1.41", 1_175_000_000)
    assert [line.source for line in found.lines] == ["catalogue:openai/gpt-4o@1"] * 2 + ["card@1"]
    assert found.lines[0].currency == "USD"


def test_a_rule_of_the_card_wins_over_the_catalogue():
    card = a_card(rule("tokens", "0.01", match={"model": "gpt-4o"}), catalogue={"rate": "100"})
    found = priced(used("gpt-4o", input_tokens=1500, output_tokens=800), a_book(card, find_model=find))
    assert found.exact == "23"
    assert found.cost == 1_175_000_000, "the vendor's price is still the cost"


def test_a_fee_of_the_card_stands_beside_prices_of_the_catalogue():
    card = a_card(rule("requests", "0.5"), catalogue={"rate": "100"}, markup={"percent": "100"})
    found = priced(used("gpt-4o", input_tokens=1000, output_tokens=0), a_book(card, find_model=find))
    assert found.exact == "1.25", "each markup is of its own prices"
    assert found.cost == 250_000_000


def test_the_catalogue_may_say_the_cost_alone():
    card = a_card(rule("tokens", "1", match={"model": "other"}), catalogue={"rate": "100", "cost_only": True})
    assert refused(used("gpt-4o", tokens=5), a_book(card, find_model=find)).code == "unknown_model"
    card = a_card(rule("tokens", "1"), catalogue={"rate": "100", "cost_only": True})
    found = priced(used("gpt-4o", input_tokens=1000, output_tokens=0), a_book(card, find_model=find))
    assert (found.exact, found.cost) == ("1000", 250_000_000)


def test_the_cost_of_a_rule_counts_before_the_catalogue_and_without_markup():
    card = a_card(
        rule("input_tokens", "2", cost="1"),
        rule("output_tokens", "2", cost="0.5", included="10"),
        markup={"percent": "50"},
    )
    assert priced(used(input_tokens=3, output_tokens=12), a_book(card)).cost == 9_000_000_000


def test_a_cost_that_is_known_in_part_is_not_known():
    card = a_card(rule("a", "2", cost="1"), rule("b", "2"))
    assert priced(used(a=1, b=1), a_book(card)).cost is None
    assert priced(used(a=1), a_book(card)).cost == 1_000_000_000


def test_steps_have_a_cost_each_and_included_units_cost_the_provider_as_the_first():
    tiers = [{"from": "0", "price": "3", "cost": "2"}, {"from": "5", "price": "1", "cost": "0.5"}]
    card = a_card(rule("gb", tiers=tiers, included="10"))
    assert priced(used(gb=17), a_book(card)).cost == 31_000_000_000
    some = a_card(rule("gb", tiers=[tiers[0], {"from": "5", "price": "1"}]))
    assert priced(used(gb=17), a_book(some)).cost is None


def test_a_fee_costs_the_provider_nothing_only_where_its_prices_are_known():
    card = a_card(rule("requests", "1"), rule("tokens", "1", cost="0.5"), catalogue={"rate": "100", "cost_only": True})
    book = a_book(card, find_model=find)
    assert priced(used("gpt-4o", tokens=2), book).cost == 1_000_000_000
    assert priced(used("other", tokens=2), book).cost is None


def test_a_cost_that_no_column_holds_is_refused():
    book = a_book(a_card(rule("gb", "0", cost="1")))
    assert priced(used(gb=999_999_999), book).cost == 999_999_999 * 10**9
    assert refused(used(gb=1_000_000_000), book).code == "amount_too_large"


@pytest.mark.parametrize(
    ("attributes", "exact"),
    [
        ({}, "0.35"),
        ({"service_tier": "default"}, "0.35"),
        ({"service_tier": "flex"}, "0.14"),
        ({"service_tier": "flex", "speed": "standard"}, "0.14"),
        ({"colour": "blue"}, "0.35"),
    ],
)
def test_attributes_choose_among_the_prices_of_a_model(attributes, exact):
    book = a_book(a_card(catalogue={"rate": "100"}), find_model=find)
    assert priced(used("gpt-4o", attributes, input_tokens=1000, output_tokens=100), book).exact == exact


@pytest.mark.parametrize(
    "attributes",
    [{"service_tier": "scale"}, {"processing": "batch"}, {"service_tier": "flex", "processing": "batch"}],
)
def test_special_terms_without_a_price_are_never_priced_as_usual(attributes):
    book = a_book(
        a_card(rule("tokens", "1", default=True), catalogue={"rate": "100"}), find_model=find, unknown_models="default"
    )
    found = refused(used("gpt-4o", attributes, input_tokens=1), book)
    assert (found.code, found.field) == ("unknown_context", f"attributes.{min(attributes)}")


# Unknown models


def test_an_unknown_model_is_refused_by_name():
    book = a_book(a_card(rule("tokens", "1", match={"model": "known"})))
    found = refused(used("new/model:1", tokens=5), book)
    assert (found.code, found.field) == ("unknown_model", "model")
    assert "'new/model:1'" in found.message


def test_a_name_of_several_models_is_refused_with_all_of_them():
    def several(provider, model):
        return ["north/m", "south/m"] if model == "m" else []

    book = a_book(a_card(catalogue={"rate": "100"}), candidates=several)
    found = refused(used("m", tokens=5), book)
    assert (found.code, found.field) == ("unknown_model", "model")
    assert found.message == "the model 'm' could be any of north/m, south/m: send it as one of these"
    assert refused(used("n", tokens=5), book).message == "there is no price for the model 'n'"
    # A card that does not ask the catalogue is not helped by what that might know.
    own = a_book(a_card(rule("tokens", "1", match={"model": "known"})), candidates=several)
    assert refused(used("m", tokens=5), own).message == "there is no price for the model 'm'"


def test_default_rules_price_only_what_nothing_else_knows_and_where_the_policy_says_so():
    card = a_card(
        rule("tokens", "1", "known", match={"model": "known"}),
        rule("tokens", "9", "any", default=True),
        rule("requests", "5", "fee", default=True),
    )
    book = a_book(card, unknown_models="default")
    assert [line.rule for line in priced(used("known", tokens=2), book).lines] == ["known"]
    assert [line.rule for line in priced(used("other", tokens=2), book).lines] == ["any", "fee"]
    assert refused(used("other", tokens=2), a_book(card)).code == "unknown_model"


def test_an_unknown_model_may_be_recorded_as_unpriced():
    card = a_card(rule("tokens", "1", match={"model": "known"}), minimum="5", markup={"fixed": "1"})
    book = a_book(card, unknown_models="unpriced")
    found = priced(used("other", tokens=2), book)
    assert (found.amount, found.unpriced, found.lines, found.cost) == (0, True, (), None)
    assert not priced(used("known", tokens=2), book).unpriced


@pytest.mark.parametrize(
    ("usage", "code"),
    [
        (used("known", tokens=1, pages=1), "unknown_dimension"),
        (used("", pages=1), "unknown_dimension"),
        (used("", operation="nap"), "unknown_operation"),
        (used("other", input_tokens=1, cache_read_tokens=2), "usage_invalid"),
    ],
)
def test_only_models_are_recorded_as_unpriced(usage, code):
    book = a_book(a_card(rule("tokens", "1", match={"model": "known"})), unknown_models="unpriced")
    assert refused(usage, book).code == code


def test_a_fee_for_every_call_makes_no_model_known():
    card = a_card(rule("requests", "0.5"), rule("images", "1", match={"model": "known"}))
    assert refused(used("other", tokens=2), a_book(card)).code == "unknown_model"
    assert refused(used("other", images=2), a_book(card)).code == "unknown_model"
    found = priced(used("other", tokens=2), a_book(card, unknown_models="unpriced"))
    assert (found.exact, found.unpriced) == ("0.5", True)


# Estimates


def test_an_estimate_is_a_range_of_prices():
    found = estimate(used("m"), a_book(a_card(*TOKENS)), prompt_tokens=1000, completion_tokens=100, least=50, most=200)
    assert isinstance(found, Estimate)
    assert [each.exact for each in (found.low, found.expected, found.high)] == ["2.4", "2.8", "3.6"]


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"prompt_tokens": -1}, "prompt_tokens"),
        ({"prompt_tokens": 1, "completion_tokens": 5, "most": 4}, "completion_tokens"),
        ({"prompt_tokens": 1, "completion_tokens": 5, "least": 6}, "completion_tokens"),
        ({"prompt_tokens": 1, "least": -1}, "completion_tokens"),
    ],
)
def test_an_estimate_of_what_can_not_be_is_refused(terms, field):
    found = estimate(used("m"), a_book(a_card(*TOKENS)), **terms)
    assert isinstance(found, PriceRefusal)
    assert (found.code, found.field) == ("usage_invalid", field)


def test_an_estimate_knows_a_limit_below_the_usual_answer():
    found = estimate(used("m"), a_book(a_card(*TOKENS)), prompt_tokens=0, most=100)
    assert isinstance(found, Estimate)
    assert (found.expected.exact, found.high.exact) == ("0.8", "0.8")


@pytest.mark.parametrize(
    ("limits", "tokens"),
    [({}, (0, 70, 140)), ({"least": 100}, (100, 100, 200)), ({"most": 50}, (0, 50, 50)), ({"most": 90}, (0, 70, 90))],
)
def test_an_answer_that_nobody_foretold_is_as_long_as_usual_within_its_limits(limits, tokens):
    found = estimate(used("m"), a_book(a_card(*TOKENS)), prompt_tokens=0, usual=70, **limits)
    assert isinstance(found, Estimate)
    assert found.tokens == tokens


@pytest.mark.parametrize(
    ("requests", "output", "expected"),
    [
        (0, 0, Expected(500, "default")),
        (19, 19_000, Expected(500, "default")),
        (20, 20_001, Expected(1001, "history")),
        (20, 0, Expected(500, "default")),
    ],
)
def test_what_is_usual_is_the_mean_of_enough_answers(requests, output, expected):
    assert expected_of(requests, output) == expected


def test_a_usage_is_recorded_under_the_model_that_its_name_means():
    book = a_book(a_card(catalogue={"rate": "1"}), find_model=find)
    for usage in (used("gpt-4o"), used("openai/gpt-4o")):
        assert meant_by(usage, book) == ("openai", "gpt-4o")
    assert meant_by(replace(used("own"), provider="us"), book) == ("us", "own")
    assert meant_by(used(), book) == ("", "")
    sold = priced(used("openai/gpt-4o", input_tokens=1), book)
    assert (sold.provider, sold.model) == ("openai", "gpt-4o")


def test_an_estimate_without_a_price_is_refused():
    found = estimate(used("m", pages=1), a_book(a_card(*TOKENS)), prompt_tokens=1)
    assert isinstance(found, PriceRefusal)


def test_tokens_of_a_text_are_counted_by_its_bytes():
    assert count_tokens("") == 0
    assert count_tokens("four letters make a token") == 7
    assert count_tokens("你好") == 2
    assert count_prompt(["abcd", ""]) == 9
