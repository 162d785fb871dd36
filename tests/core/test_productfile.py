"""Products as files have them: what is read, what is written, and all that can be wrong, at once."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from farthing.core.amounts import write_amount
from farthing.core.catalogue import Catalogue, Product, Tier, TopUp, product_problems
from farthing.core.productfile import ProductFileError, read_products, write_product

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TIER: dict[str, Any] = {"id": "pro", "plan": "pro", "rank": 1}
PACK: dict[str, Any] = {"id": "pack", "credits": "500"}
write = partial(write_amount, scale=6)


def product(tiers: list[Any] | None = None, top_ups: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "bot", "tiers": tiers or [], "top_ups": top_ups or [], **more}


def wrong(*products: Any) -> list[tuple[str, str]]:
    with pytest.raises(ProductFileError) as caught:
        read_products(json.dumps({"products": products}), 6)
    return [(each.field, each.message) for each in caught.value.problems]


def test_the_sample_has_two_tiers_and_three_top_ups_for_both_providers():
    (sample,) = read_products((EXAMPLES / "products" / "assistant.json").read_bytes(), 6)
    assert [(tier.id, tier.plan, tier.rank) for tier in sample.tiers] == [
        ("professional", "professional", 1), ("business", "business", 2),
    ]  # fmt: skip
    assert [top_up.credits for top_up in sample.top_ups] == [500_000_000, 2_500_000_000, 10_000_000_000]
    assert {frozenset(offer.sold_as) for offer in sample.offers()} == {frozenset({"digistore24", "stripe"})}
    plans = json.loads((EXAMPLES / "plans" / "token_bot.json").read_text())["plans"]
    assert {tier.plan for tier in sample.tiers} <= {plan["id"] for plan in plans}


def test_what_is_written_is_read_as_the_same():
    given = product(
        [{**TIER, "name": "Pro", "price": "19.90", "currency": "EUR", "sold_as": {"stripe": "price_1"}}],
        [{**PACK, "credits": "0.000001", "category": "promotional", "priority": 7, "expires_days": 30}],
    )
    (read,) = read_products(json.dumps(given), 6)
    assert (read.top_ups[0].credits, read.top_ups[0].expires_days) == (1, 30)
    written = write_product(read, write)
    assert written["top_ups"][0]["credits"] == "0.000001"
    assert read_products(json.dumps({"products": [written]}), 6) == [read]
    assert write_product(Product(id="empty"), write) == {"id": "empty"}


def test_credits_may_be_whole_numbers_and_are_never_floats():
    assert read_products(json.dumps(product(top_ups=[{**PACK, "credits": 3}])), 6)[0].top_ups[0].credits == 3_000_000
    for credits in (1.5, True, None, ["1"], "1.0000001", "-1", "1e3", ""):
        ((field, _),) = wrong(product(top_ups=[{**PACK, "credits": credits}]))
        assert field == "bot: top_ups[0].credits"


def test_all_that_is_wrong_is_told_at_once_with_its_place():
    found = wrong(
        product(
            [{**TIER, "plan": ""}, {**TIER, "price": "1.00"}], [{**PACK, "credits": "x"}, {"id": "b", "credits": 0}]
        ),
        {"id": "a/b"},
        {"tiers": [{"id": "no plan"}]},
        {"id": "same"},
        {"id": "same"},
    )
    assert [field for field, _ in found] == [
        "bot: top_ups[0].credits", "bot: tiers[0].plan", "bot: tiers[1].currency", "bot: top_ups[1].credits",
        "bot: tiers[1].id", "bot: tiers[1].rank", "a/b: id", "product 3: it", "same",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "field", "said"),
    [
        ({"id": "a/b"}, "id", "no slash"),
        ({"id": "x" * 256}, "id", "at most 255 bytes"),
        ({"name": "a\nb"}, "name", "control characters"),
        ({"rank": -1}, "rank", "whole number"),
        ({"rank": 1_000_001}, "rank", "whole number"),
        ({"price": "1.00"}, "currency", "go with a price"),
        ({"currency": "EUR"}, "currency", "go with a price"),
        ({"price": "0.00", "currency": "EUR"}, "price", "above zero"),
        ({"price": "1,50", "currency": "EUR"}, "price", "decimal text"),
        ({"price": "1" * 41, "currency": "EUR"}, "price", "decimal text"),
        ({"price": "1.5", "currency": "eur"}, "currency", "three capitals"),
        ({"sold_as": {"stripe": ""}}, "sold_as.stripe", "must not be empty"),
    ],
)
def test_a_tier_that_can_not_be_right_is_told_by_its_field(more: dict[str, Any], field: str, said: str):
    ((found, message),) = wrong(product([{**TIER, **more}]))
    assert (found, said in message) == (f"bot: tiers[0].{field}", True), message


@pytest.mark.parametrize(
    "more", [{"priority": 101}, {"expires_days": 0}, {"expires_days": 36_601}, {"credits": str(10**13)}]
)
def test_a_top_up_that_can_not_be_right_is_told_by_its_field(more: dict[str, Any]):
    ((field, _),) = wrong(product(top_ups=[{**PACK, **more}]))
    assert field == f"bot: top_ups[0].{next(iter(more))}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "is no product"),
        ('{"products": {}}', "is no product"),
        ('{"products": [{"id": "a"', "is no product"),
        ("[" * 100_000, "is no product"),
        ('{"id": "a", "tiers": 5}', "tiers"),
        ('{"id": "a", "top_ups": [5]}', "top_ups[0]"),
        ('{"id": "a", "colour": "red"}', "colour"),
        ('{"id": "a", "top_ups": [{"id": "b", "credits": "1", "category": "stolen"}]}', "stolen"),
        ('{"id": "a", "top_ups": [{"id": "b", "credits": "1", "sold_as": {"paypal": "x"}}]}', "paypal"),
    ],
)
def test_files_that_are_no_products_are_refused(text: str, said: str):
    with pytest.raises(ProductFileError, match=r"is no product|is not right") as caught:
        read_products(text, 6)
    assert said in str(caught.value)


def test_what_one_provider_calls_two_things_alike_is_refused():
    sold = {"sold_as": {"stripe": "price_1"}}
    assert wrong(product([{**TIER, **sold}], [{**PACK, **sold}])) == [
        ("bot: top_ups[0].sold_as.stripe", "must be one tier or top-up only: price_1 is there twice")
    ]
    # Another provider may call something the same.
    read_products(json.dumps(product([{**TIER, **sold}], [{**PACK, "sold_as": {"digistore24": "price_1"}}])), 6)


def test_a_product_has_so_many_offers():
    packs = tuple(TopUp(id=str(number), credits=1) for number in range(101))
    assert not list(product_problems(Product(id="bot", top_ups=packs[:100])))
    assert [each.field for each in product_problems(Product(id="bot", top_ups=packs))] == ["tiers"]


def test_an_offer_is_found_by_its_name_and_by_each_providers():
    tier = Tier(id="pro", plan="p", rank=1, sold_as={"digistore24": "7", "stripe": "price_7"})
    found = Catalogue([Product(id="bot", tiers=(tier,)), Product(id="other", top_ups=(TopUp(id="pro", credits=1),))])
    offers = [found.named("bot/pro"), found.sold_as("digistore24", "7"), found.sold_as("stripe", "price_7")]
    assert [offer and offer.sold for offer in offers] == [tier] * 3
    assert found.sold_as("stripe", "7") is None
    assert found.named("pro") is None
