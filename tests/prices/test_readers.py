"""Catalogue files: what is carried over exactly, what is left out by name, and files that are no catalogues."""

import json

import pytest

from farthing.core.cardcheck import check_model
from farthing.core.modelprice import ModelPrice
from farthing.prices import genai, litellm, modelsdev
from farthing.prices.catalogue import BadCatalogue, Clause, Source
from farthing.prices.sync import read_source

DAY_US = 86_400_000_000
FILES = {"genai.json": genai.read_file, "litellm.json": litellm.read_file, "modelsdev.json": modelsdev.read_file}


def now_of(source: Source, provider: str, model: str) -> ModelPrice:
    return source.models[provider, model][-1].listing.price


def text_of(price: ModelPrice, when: dict[str, str] | None = None) -> dict[str, str]:
    """Prices in short: `2.5/1000000`, or by steps `0:1.25 200000:2.5/1000000`."""
    prices = price.prices if when is None else next(v.prices for v in price.variants if v.when == when)
    return {p.dimension: f"{p.price or ' '.join(f'{t.from_}:{t.price}' for t in p.tiers)}/{p.per}" for p in prices}


def left_of(source: Source, reason: str) -> list[str]:
    return [left.what for left in source.left if reason in left.reason]


# genai-prices


def test_prices_of_genai_prices_are_read_exactly_with_names_and_terms(sample):
    source = genai.read_file(sample("genai.json"))
    first, now = source.models["openai", "gpt-4o"]
    assert text_of(now.listing.price) == {
        "input_tokens": "2.5/1000000", "cache_read_tokens": "1.25/1000000", "output_tokens": "10/1000000",
        "web_searches": "10/1000",
    }  # fmt: skip
    assert now.listing.aliases == ("gpt-4o-2024-08-06",)
    # Terms have all the prices, those that they do not change included.
    assert text_of(now.listing.price, {"processing": "batch"}) == {
        "input_tokens": "1.25/1000000", "cache_read_tokens": "1.25/1000000", "output_tokens": "5/1000000",
        "web_searches": "10/1000",
    }  # fmt: skip
    assert [v.when for v in first.listing.price.variants] == [{"processing": "batch"}]
    assert [v.when for v in now.listing.price.variants] == [{"processing": "batch"}, {"service_tier": "priority"}]
    assert (first.since, now.since) == (0, 20_738 * DAY_US)  # 2026-10-12


def test_prices_of_genai_prices_have_their_history(sample):
    before, now = genai.read_file(sample("genai.json")).models["openai", "o3"]
    assert (before.since, text_of(before.listing.price)["input_tokens"]) == (0, "10/1000000")
    assert (now.since, text_of(now.listing.price)["input_tokens"]) == (20_249 * DAY_US, "2/1000000")  # 2025-06-10
    assert now.listing.match == (Clause("regex", r"^o3-\d{4}-\d{2}-\d{2}$"),)


def test_steps_of_genai_prices_move_the_whole_request_by_its_input(sample):
    price = now_of(genai.read_file(sample("genai.json")), "google", "gemini-2.5-pro")
    assert text_of(price)["output_tokens"] == "0:10 200000:15/1000000"
    assert {(p.tier_mode, p.tier_by) for p in price.prices} == {("whole", "input_tokens")}


def test_tokens_of_video_have_a_dimension_each_way():
    prices = {"input_mtok": 1.5, "input_video_mtok": 1, "output_mtok": 9, "output_video_mtok": 17.5}
    model = {"id": "omni", "match": {"equals": "omni"}, "prices": prices}
    source = genai.read_file(json.dumps([{"id": "google", "models": [model]}]).encode())
    assert text_of(now_of(source, "google", "omni")) == {
        "input_tokens": "1.5/1000000", "input_video_tokens": "1/1000000", "output_tokens": "9/1000000",
        "output_video_tokens": "17.5/1000000",
    }  # fmt: skip
    assert source.left == ()
    assert not left_of(genai.read_bundle(), "no dimension for output_video_mtok")


def test_what_genai_prices_has_and_we_can_not_say_is_named(sample):
    source = genai.read_file(sample("genai.json"))
    assert left_of(source, "no dimension for cache_audio_read_mtok") == ["google/gemini-2.5-pro"]
    assert left_of(source, "no price") == ["openai/gpt-nobody-knows"]
    assert left_of(source, "depends on the hour") == ["deepseek/deepseek-chat"]
    assert left_of(source, "a pattern that may be slow") == ["openrouter/some/slow"]
    assert ("openai", "gpt-nobody-knows") not in source.models


@pytest.mark.parametrize(
    ("pattern", "quick"),
    [
        (r"^(vendor/)?model-1\.14(-\d{8})?$", True),
        (r"^(?!.*-[tT][tT][sS](?:$|-))", True),
        ("(a+)+$", False),
        ("(a|a)*b", False),
        ("(a?){28}b", False),
        ("a?" * 28 + "a" * 28, False),
        ("(a|a)" * 28, False),
        (".*.*.*.*x", False),
        ("a{0,99}a{0,99}a{0,99}b", False),
        (r"(a)\1", False),
        ("(", False),
    ],
)
def test_a_pattern_for_names_is_taken_where_it_is_quick_on_any_name(pattern, quick):
    model = {"id": "m", "match": {"regex": pattern}, "prices": {"input_mtok": 1, "output_mtok": 2}}
    source = genai.read_file(json.dumps([{"id": "vendor", "models": [model]}]).encode())
    assert bool(source.models["vendor", "m"][0].listing.match) is quick
    assert bool(source.left) is not quick


@pytest.mark.parametrize(
    ("match", "prices", "reason"),
    [
        ({"equals": "odd"}, {"input_mtok": "sNaN"}, "a price that is no number"),
        ({"equals": "odd"}, {"audio_hours": "-Infinity"}, "a price that is no number"),
        ({"equals": "odd"}, {"input_mtok": 1, "audio_hours": "1e999999"}, "a price that is no number"),
        ({"or": ["odd"]}, {"input_mtok": 1}, "a way of knowing names that can't be read"),
        ({"and": ["odd"]}, {"input_mtok": 1}, "a way of knowing names that can't be read"),
    ],
)
def test_what_is_odd_in_one_model_is_left_out_and_stops_no_other(match, prices, reason):
    models = [{"id": "odd", "match": match, "prices": prices}, {"id": "good", "prices": {"input_mtok": 1}}]
    source = genai.read_file(json.dumps([{"id": "vendor", "models": models}]).encode())
    assert ("vendor", "good") in source.models
    assert left_of(source, reason) == ["vendor/odd"]


@pytest.mark.parametrize(
    ("reader", "file"),
    [
        (genai, '[{"id": "p", "models": [{"id": "m", "prices": {"input_mtok": NUMBER}}]}]'),
        (litellm, '{"m": {"input_cost_per_token": NUMBER}}'),
        (modelsdev, '{"p": {"id": "p", "models": {"m": {"id": "m", "cost": {"input": NUMBER}}}}}'),
    ],
)
def test_a_number_beyond_all_bounds_is_a_damaged_file(reader, file):
    with pytest.raises(BadCatalogue, match=r"damaged|another format"):
        reader.read_file(file.replace("NUMBER", "1e99999999999999999999").encode())


def test_of_prices_by_the_hour_of_day_the_dearest_is_taken(sample):
    price = now_of(genai.read_file(sample("genai.json")), "deepseek", "deepseek-chat")
    assert text_of(price) == {"input_tokens": "0.27/1000000", "output_tokens": "1.1/1000000"}


def test_a_price_per_hour_is_one_per_second(sample):
    source = genai.read_file(sample("genai.json"))
    assert text_of(now_of(source, "groq", "whisper-even")) == {"audio_seconds": "0.000001/1"}
    assert text_of(now_of(source, "groq", "whisper-odd")) == {"audio_seconds": "0.000030833333/1"}
    assert left_of(source, "rounded to the 12th decimal") == ["groq/whisper-odd"]


def test_a_model_that_is_called_free_and_has_no_price_costs_nothing(sample):
    price = now_of(genai.read_file(sample("genai.json")), "openrouter", "some/model:free")
    assert text_of(price) == {"input_tokens": "0/1000000", "output_tokens": "0/1000000"}


def test_the_data_that_genai_prices_brings_along_is_read_whole():
    source = genai.read_bundle()
    assert source.providers >= 40
    assert len(source.models) >= 2_000
    assert text_of(now_of(source, "openai", "gpt-4o"))["output_tokens"] == "10/1000000"
    usable = [key for key, dated in source.models.items() if not any(check_model(d.listing.price) for d in dated)]
    assert len(usable) == len(source.models)
    # Nearly all of what is left out are kinds of prices, not models.
    assert len(left_of(source, "no price")) < len(source.models) // 50


# litellm


def test_prices_of_litellm_are_read_by_the_digits_of_the_file(sample):
    source = litellm.read_file(sample("litellm.json"))
    price = now_of(source, "openai", "gpt-4o")
    assert text_of(price) == {
        "input_tokens": "2.5/1000000", "output_tokens": "10/1000000", "cache_read_tokens": "1.25/1000000",
    }  # fmt: skip
    assert text_of(price, {"processing": "batch"})["output_tokens"] == "5/1000000"
    assert text_of(now_of(source, "openai", "text-odd"))["input_tokens"] == "0.029999999999999997/1000000"
    assert text_of(now_of(source, "openai", "whisper-1")) == {"audio_seconds": "0.0001/1"}
    assert text_of(now_of(source, "openai", "dall-e-9")) == {"images": "0.04/1"}


def test_steps_of_litellm_are_carried_over_and_special_terms_never_fall_below_them(sample):
    source = litellm.read_file(sample("litellm.json"))
    price = now_of(source, "gemini", "gemini-2.5-pro")
    assert text_of(price)["input_tokens"] == "0:1.25 200000:2.5/1000000"
    # No flex price is given beyond 200,000 tokens.
    assert text_of(price, {"service_tier": "flex"})["input_tokens"] == "0:0.625 200000:2.5/1000000"
    assert text_of(now_of(source, "dashscope", "qwen-flash"))["output_tokens"] == "0:0.4 256000:2/1000000"


def test_a_name_of_litellm_loses_its_provider_and_keeps_it_as_an_alias(sample):
    source = litellm.read_file(sample("litellm.json"))
    (dated,) = source.models["bedrock", "us-east-1/meta.llama3-70b-instruct-v1:0"]
    assert dated.listing.aliases == ("bedrock/us-east-1/meta.llama3-70b-instruct-v1:0",)


def test_what_litellm_has_and_we_can_not_say_is_named(sample):
    source = litellm.read_file(sample("litellm.json"))
    assert left_of(source, "the same model with another price") == ["openai/gpt-4o"]
    assert left_of(source, "depends on their size") == ["gpt-4o"]
    assert left_of(source, "input_cost_per_token_ultrafast") == ["gemini/gemini-2.5-pro"]
    assert left_of(source, "only higher steps for cache_write_tokens") == ["gemini/gemini-2.5-pro"]
    assert left_of(source, "no provider") == ["nobodys"]
    assert left_of(source, "no number") == ["text-priced"]
    assert left_of(source, "more than 18 decimals") == ["too-exact"]
    assert "sample_spec" not in {left.what for left in source.left}


# models.dev


def test_prices_of_models_dev_are_read_exactly(sample):
    source = modelsdev.read_file(sample("modelsdev.json"))
    assert text_of(now_of(source, "openai", "gpt-4o"))["cache_read_tokens"] == "1.25/1000000"
    assert text_of(now_of(source, "google", "gemini-old"))["output_tokens"] == "0:10 200000:15/1000000"
    newer = text_of(now_of(source, "google", "gemini-2.5-pro"))
    assert (newer["input_tokens"], newer["cache_read_tokens"]) == ("0:1.25 128000:2/1000000", "0.31/1000000")


def test_what_models_dev_has_and_we_can_not_say_is_named(sample):
    source = modelsdev.read_file(sample("modelsdev.json"))
    assert left_of(source, "no dimension for audio_magic") == ["google/gemini-2.5-pro"]
    assert left_of(source, "no price") == ["openai/gpt-unpriced"]
    assert left_of(source, "steps that can't be read") == ["google/gemini-steps"]
    assert ("google", "gemini-steps") not in source.models


# Files


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_is_known_by_how_it_looks(sample, name):
    assert read_source(sample(name)) == FILES[name](sample(name))


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused_whole(sample, name, part):
    data = sample(name)
    with pytest.raises(BadCatalogue, match="damaged or cut off"):
        FILES[name](data[: int(len(data) * part)])


@pytest.mark.parametrize(
    ("reader", "data", "words"),
    [
        (genai.read_file, b"{}", "another format"),
        (genai.read_file, b'[{"id": "a", "models": [{"id": "m", "prices": {"input_mtok": true}}]}]', "another format"),
        (genai.read_file, b'[{"id": "a", "models": []}]', "no model with a price"),
        (genai.read_file, b"\xff\xfe", "damaged"),
        (litellm.read_file, b'{"a": {"cost": ' + b"[" * 100_000, "damaged"),
        (litellm.read_file, b"[]", "another format"),
        (litellm.read_file, b'{"a": 1}', "another format"),
        (litellm.read_file, b"{}", "no model with a price"),
        (modelsdev.read_file, b'{"a": {"id": "a"}}', "another format"),
        (modelsdev.read_file, b'{"a": {"id": "a", "models": {}}}', "no model with a price"),
    ],
)
def test_a_file_of_another_format_is_refused(reader, data, words):
    with pytest.raises(BadCatalogue, match=words):
        reader(data)


def test_a_model_that_is_there_twice_makes_the_file_suspect():
    model = b'{"id": "m", "match": {"equals": "m"}, "prices": {"input_mtok": 1}}'
    with pytest.raises(BadCatalogue, match="a/m twice"):
        genai.read_file(b'[{"id": "a", "models": [' + model + b", " + model + b"]}]")


@pytest.mark.parametrize("name", ["", " m", "m\n", "m" * 300])
def test_a_name_that_nobody_can_keep_is_left_out(name):
    data = (
        '[{"id": "a", "models": [{"id": "ok", "prices": {"input_mtok": 1}}, {"id": %s, "prices": {"input_mtok": 1}}]}]'
    )
    source = genai.read_file((data % json.dumps(name)).encode())
    assert list(source.models) == [("a", "ok")]
    assert left_of(source, "a name that is empty")


def test_a_format_that_nobody_knows_is_refused(sample):
    with pytest.raises(BadCatalogue, match=r"there are genai-prices, litellm, models\.dev"):
        read_source(sample("genai.json"), "excel")
