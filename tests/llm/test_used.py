"""What a call used: told bit by bit, estimated where nobody tells, and in a form that a charge takes."""

import pytest

from farthing.client.bodies import usage_body
from farthing.core.quantities import usage_problem
from farthing.core.usage import PARENTS
from farthing.core.usage import Usage as CoreUsage
from farthing.llm.used import Used, told, unusual


def used(**counts: int) -> Used:
    return Used(provider="openai", model="gpt-test", counts=counts)


def test_what_is_no_count_is_not_told():
    given = {"a": 0, "b": 7, "c": 3.0, "d": None, "e": -1, "f": True, "g": "12", "h": 1.5, "i": float("nan")}
    assert told(**given, j=float("inf")) == {"a": 0, "b": 7, "c": 3}


def test_a_standard_attribute_is_left_out():
    given = {"a": "flex", "b": "default", "c": "standard", "d": None, "e": "auto", "f": 3}
    assert unusual(**given) == {"a": "flex"}


@pytest.mark.parametrize(
    ("first", "later", "both"),
    [
        ({}, {"input_tokens": 3}, {"input_tokens": 3}),
        ({"input_tokens": 3, "output_tokens": 1}, {"output_tokens": 9}, {"input_tokens": 3, "output_tokens": 9}),
        ({"input_tokens": 3}, {"input_tokens": 3}, {"input_tokens": 3}),
        ({"input_tokens": 3}, {"input_tokens": 0}, {"input_tokens": 0}),
    ],
)
def test_what_is_told_later_takes_the_place_of_what_was_told_before(first, later, both):
    assert used(**first).merged(used(**later)).counts == both


def test_an_estimate_gives_way_to_a_report_and_never_takes_its_place():
    estimate = used().filled(input_tokens=10, output_tokens=20)
    assert estimate.estimated == {"input_tokens", "output_tokens"}
    report = used(output_tokens=17)
    for both in (estimate.merged(report), report.merged(estimate)):
        assert both.counts == {"input_tokens": 10, "output_tokens": 17}
        assert both.estimated == {"input_tokens"}
    assert report.merged(estimate).sources() == {"output_tokens": "reported", "input_tokens": "estimated"}


def test_zero_is_told_and_not_filled():
    found = used(input_tokens=0, output_tokens=0).filled(input_tokens=10, output_tokens=20)
    assert (found.dimensions(), found.estimated) == ({"input_tokens": 0, "output_tokens": 0}, frozenset())
    assert found.known
    assert not used(input_tokens=0).known


def test_counts_without_caches_become_inclusive_whenever_they_are_told():
    counts = {"input_tokens": 10, "cache_read_tokens": 90, "cache_write_tokens": 5}
    first = Used(counts=counts, without_cache=True)
    # Some say at the end how much went in, and no more of the cache.
    both = first.merged(Used(counts={"input_tokens": 11, "output_tokens": 4}, without_cache=True))
    assert (first.input_tokens, both.input_tokens) == (105, 106)
    assert both.dimensions()["cache_read_tokens"] == 90
    # An estimate is of all of it.
    assert Used(counts={"cache_read_tokens": 90}, without_cache=True).filled(input_tokens=100).input_tokens == 100


def test_two_calls_can_be_charged_as_one():
    first = Used(counts={"input_tokens": 10, "cache_read_tokens": 90}, without_cache=True, others={"searches": 1})
    both = first.plus(used(input_tokens=5, output_tokens=7).filled()).plus(used().filled(output_tokens=1))
    assert both.dimensions() == {"input_tokens": 105, "cache_read_tokens": 90, "output_tokens": 8}
    assert both.estimated == {"output_tokens"}
    assert both.others == {"searches": 1}
    assert both.provider == "openai"


@pytest.mark.parametrize(
    ("counts", "fitted", "doubtful"),
    [
        ({"input_tokens": 10, "cache_read_tokens": 8}, {"input_tokens": 10, "cache_read_tokens": 8}, ()),
        (
            {"input_tokens": 10, "cache_read_tokens": 30},
            {"input_tokens": 10, "cache_read_tokens": 10},
            ("cache_read_tokens",),
        ),
        # Audio that came from a cache is told as both.
        (
            {"input_tokens": 10, "cache_read_tokens": 8, "input_audio_tokens": 9},
            {"input_tokens": 10, "cache_read_tokens": 8, "input_audio_tokens": 2},
            ("input_audio_tokens",),
        ),
        (
            {"input_tokens": 10, "cache_write_tokens": 20, "cache_write_1h_tokens": 15},
            {"input_tokens": 10, "cache_write_tokens": 10, "cache_write_1h_tokens": 10},
            ("cache_write_tokens", "cache_write_1h_tokens"),
        ),
        (
            {"output_tokens": 3, "reasoning_tokens": 4},
            {"output_tokens": 3, "reasoning_tokens": 3},
            ("reasoning_tokens",),
        ),
        ({"reasoning_tokens": 4}, {"reasoning_tokens": 4}, ()),
    ],
)
def test_of_figures_that_cannot_be_the_whole_counts(counts, fitted, doubtful):
    found = used(**counts)
    assert (found.dimensions(), found.doubtful) == (fitted, doubtful)
    assert usage_problem(core_of(found)) is None


def core_of(found: Used) -> CoreUsage:
    """As the ledger reads it."""
    return CoreUsage(dimensions={name: str(count) for name, count in found.dimensions().items()}, model="m")


@pytest.mark.parametrize("size", [0, 5, 100])
def test_the_ledger_takes_whatever_a_provider_says(size):
    for odd in PARENTS:
        counts = dict.fromkeys(PARENTS, size) | {odd: 7}
        assert usage_problem(core_of(used(**counts))) is None


def test_a_charge_says_it_in_its_own_words():
    found = Used(
        provider="openai", model="gpt-4o-2024-08-06", attributes={"service_tier": "flex"},
        counts={"input_tokens": 12, "output_tokens": 0, "cache_read_tokens": 0, "reasoning_tokens": 0},
    )  # fmt: skip
    body = usage_body(found.usage(model="gpt-4o", service="chat", attributes={"team": "a"}))
    assert body == {
        "provider": "openai", "model": "gpt-4o-2024-08-06", "service": "chat",
        "dimensions": {"input_tokens": "12", "output_tokens": "0"},
        "attributes": {"service_tier": "flex", "team": "a"},
    }  # fmt: skip
    assert Used().usage(model="gpt-4o").model == "gpt-4o"
