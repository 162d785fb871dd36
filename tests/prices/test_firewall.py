"""The firewall: what may take effect by itself, and what somebody has to look at, with the reason."""

from decimal import Decimal

import pytest

from farthing.core.modelprice import ModelPrice, Price, Tier, Variant
from farthing.prices.firewall import Limits, judge, shrinks

MILLION = 1_000_000


def tokens(**usd: str) -> tuple[Price, ...]:
    """Prices for a million tokens."""
    return tuple(Price(dimension=f"{name}_tokens", price=price, per=MILLION) for name, price in usd.items())


def model(*prices: Price, name: str = "m", variants: tuple[Variant, ...] = ()) -> ModelPrice:
    return ModelPrice(provider="p", model=name, prices=prices, variants=variants)


def steps(*prices: str) -> Price:
    tiers = tuple(Tier(from_=str(number * 200_000), price=price) for number, price in enumerate(prices))
    return Price(dimension="input_tokens", per=MILLION, tiers=tiers, tier_mode="whole", tier_by="input_tokens")


USUAL = model(*tokens(input="2.5", cache_read="1.25", output="10"))


@pytest.mark.parametrize(
    "new",
    [
        USUAL,
        model(*tokens(input="0.02", output="0")),  # an embedding
        model(*tokens(input="2.5", output="10", cache_read="0")),
        model(*tokens(input="0", output="0"), name="vendor/small:free"),
        model(Price(dimension="images", price="0.04")),
        model(*tokens(input="600", output="1200")),
        model(*tokens(input="1", output="2"), variants=(Variant(when={"speed": "fast"}, prices=tokens(input="6")),)),
    ],
)
def test_a_new_price_that_is_like_others_takes_effect(new):
    assert judge(None, new) == ()


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (model(*tokens(input="-1", output="-1")), "input_tokens is negative"),
        (model(*tokens(input="0", output="0")), "costs nothing, and its name does not say that it is free"),
        (model(Price(dimension="requests", price="0")), "costs nothing"),
        (model(*tokens(input="0", output="10")), "input_tokens costs nothing"),
        (model(*tokens(input="2500000", output="10")), "costs more than 10,000 USD for a million"),
        (model(*tokens(input="0.0000000025", output="1")), "costs less than 0.0000001 USD for a million"),
        (model(*tokens(input="2.5", output="0.01")), "output is more than 100 times cheaper than input"),
        (model(Price(dimension="images", price="4000")), "images costs more than 1,000 USD each"),
        (model(steps("1.25", "25000")), "costs more than 10,000 USD"),
        (model(Price(dimension="input_tokens", price="0.001", per=7)), "no exact price"),
        (
            model(*tokens(input="1"), variants=(Variant(when={"processing": "batch"}, prices=tokens(input="0")),)),
            "costs nothing with processing=batch",
        ),
        (
            model(*tokens(input="1"), variants=(Variant(when={"processing": "batch"}, prices=tokens(input="0.001")),)),
            "input_tokens with processing=batch is far from",
        ),
    ],
)
def test_a_suspicious_price_waits_whether_the_model_is_known_or_not(new, reason):
    assert any(reason in why for why in judge(None, new))
    assert any(reason in why for why in judge(model(*tokens(input="2.5", output="10")), new))


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (tokens(input="12.6", cache_read="1.25", output="10"), "input_tokens costs 5.04 times as much as before"),
        (tokens(input="2.5", cache_read="1.25", output="1.9"), "output_tokens costs 5.26 times less than before"),
        (tokens(input="2.5", cache_read="0", output="10"), "cache_read_tokens costs nothing, and did before"),
        (tokens(cache_read="1.25", output="10"), "input_tokens has no price any more"),
        (tokens(input="2.5", cache_read="1.25"), "output_tokens has no price any more"),
    ],
)
def test_a_jump_waits(new, reason):
    assert judge(USUAL, model(*new)) == (reason,)


@pytest.mark.parametrize(
    "new",
    [
        tokens(input="12.5", cache_read="1.25", output="10"),
        tokens(input="0.5", cache_read="0.25", output="2"),
        # Cached input costs twice as much from now on: what all input costs.
        tokens(input="2.5", output="10"),
        # A part of what was counted before has a price of its own.
        tokens(input="2.5", cache_read="1.25", cache_write="0.01", output="10"),
    ],
)
def test_a_change_up_to_five_times_takes_effect(new):
    assert judge(USUAL, model(*new)) == ()


def test_a_dropped_price_is_judged_by_what_is_asked_in_its_place():
    before = model(*tokens(input="10", cache_read="0.5", output="40"))
    assert judge(before, model(*tokens(input="10", output="40"))) == (
        "cache_read_tokens costs 20 times as much as before",
    )


def test_what_was_free_and_gets_a_price_waits():
    free = model(*tokens(input="0", output="0"), name="m:free")
    assert judge(free, model(*tokens(input="1", output="1"), name="m:free")) == (
        "input_tokens was free, and is not any more",
        "output_tokens was free, and is not any more",
    )


def test_steps_are_compared_as_they_are_asked_for():
    assert judge(model(steps("1.25", "2.5")), model(*tokens(input="1.25"))) == ()
    assert judge(model(*tokens(input="1.25")), model(steps("1.25", "2.5"))) == ()
    assert judge(model(steps("1.25", "2.5")), model(steps("1.25", "13"))) == (
        "input_tokens costs 5.2 times as much as before",
    )


def test_another_number_of_tokens_is_no_change():
    assert judge(USUAL, model(*(Price(dimension=p.dimension, price=str(Decimal(p.price or "") / 1000), per=1_000)
                                for p in USUAL.prices))) == ()  # fmt: skip


def test_the_limits_can_be_set():
    dearer = model(*tokens(input="25", cache_read="12.5", output="100"))
    assert len(judge(USUAL, dearer)) == 3
    assert judge(USUAL, dearer, Limits(jump=Decimal(10))) == ()


@pytest.mark.parametrize(
    ("before", "vanished", "suspicious"), [(10, 2, False), (10, 3, True), (0, 0, False), (1, 1, True)]
)
def test_a_catalogue_that_shrinks_by_more_than_a_fifth_is_not_believed(before, vanished, suspicious):
    assert shrinks(before, vanished) == suspicious
