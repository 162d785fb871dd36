"""Exports of providers, and how they differ from the ledger."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from farthing.usage_import.drift import Figures, compare, name_of, summed
from farthing.usage_import.exports import Export, Row, read_export
from farthing.usage_import.source import NotThatFile

DAY = date(2026, 11, 20)
NEXT = date(2026, 11, 21)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "export"


def written(path: Path, text: Any) -> Export:
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return read_export(path)


OPENAI = {
    "object": "page", "has_more": False,
    "data": [
        {"object": "bucket", "start_time": 1_795_132_800, "end_time": 1_795_219_200, "results": [
            {"object": "organization.usage.completions.result", "input_tokens": 1000, "output_tokens": 500,
             "input_cached_tokens": 800, "num_model_requests": 5, "model": "gpt-4o-2024-08-06"},
            {"object": "organization.usage.embeddings.result", "input_tokens": 70, "num_model_requests": 1,
             "model": "text-embedding-3-small"},
            {"object": "organization.usage.images.result", "images": 2, "model": "dall-e-3"},
        ]},
        {"object": "bucket", "start_time": 1_795_219_200, "end_time": 1_795_305_600, "results": []},
    ],
}  # fmt: skip
ANTHROPIC = {
    "data": [
        {"starting_at": "2026-11-20T00:00:00Z", "ending_at": "2026-11-21T00:00:00Z", "results": [
            {"uncached_input_tokens": 1500, "cache_read_input_tokens": 200, "output_tokens": 500,
             "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 300},
             "model": "claude-sonnet-4-20250514"},
        ]},
    ],
    "has_more": True, "next_page": "p2",
}  # fmt: skip


def test_the_usage_api_of_openai_is_read(path: Path):
    found = written(path, OPENAI)
    assert found.rows == [
        Row(day=DAY, model="gpt-4o-2024-08-06", provider="openai", requests=5, input_tokens=1000, output_tokens=500),
        Row(day=DAY, model="text-embedding-3-small", provider="openai", requests=1, input_tokens=70),
    ]
    assert (found.kind, found.days, found.others, found.complete) == ("openai", {DAY, NEXT}, 1, True)


def test_the_usage_report_of_anthropic_is_read_with_what_came_from_a_cache(path: Path):
    found = written(path, ANTHROPIC)
    assert found.rows == [
        Row(day=DAY, model="claude-sonnet-4-20250514", provider="anthropic", input_tokens=3000, output_tokens=500)
    ]
    assert (found.kind, found.complete) == ("anthropic", False)


def test_pages_one_a_line_are_one_export(path: Path):
    found = written(path, "\n".join(json.dumps(each) for each in (ANTHROPIC, {**ANTHROPIC, "has_more": False})))
    assert (len(found.rows), found.complete) == (2, True)


def test_the_file_of_openais_console_is_read(path: Path):
    found = written(
        path,
        "start_time,end_time,start_time_iso,end_time_iso,num_model_requests,model,input_tokens,output_tokens,"
        "input_cached_tokens\n"
        "1795132800,1795132860,2026-11-20T00:00:00+00:00,2026-11-20T00:01:00+00:00,2,gpt-4o,10,5,0\n"
        "1795219200,1795219260,2026-11-21T00:00:00+00:00,2026-11-21T00:01:00+00:00,,,,,\n",
    )
    assert found.rows == [Row(day=DAY, model="gpt-4o", provider="openai", requests=2, input_tokens=10, output_tokens=5)]
    assert (found.days, found.problems) == ({DAY, NEXT}, [])


def test_the_file_of_anthropics_console_is_read(path: Path):
    found = written(
        path,
        "usage_date_utc,model_version,api_key,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,"
        "usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens\n"
        "2026-11-20,claude-opus-4-1,key,100,20,3,4000,7\n",
    )
    assert found.rows == [
        Row(day=DAY, model="claude-opus-4-1", provider="anthropic", input_tokens=4123, output_tokens=7)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "day,model,input_tokens,output_tokens,cost\r\n2026-11-20,m,1,2,0.5\r\n",
        "\ufeffday;model;input_tokens;output_tokens;cost\n2026-11-20;m;1;2;0.5\n",
        '{"at": "2026-11-21T00:30:00+02:00", "model": "m", "input_tokens": 1, "output_tokens": "2", "cost": 0.5}',
        '[{"day": "2026-11-20", "model": "m", "prompt_tokens": 1, "completion_tokens": 2, "cost": "0.5"}]',
    ],
)
def test_plain_files_are_read(path: Path, text: str):
    found = written(path, text)
    assert found.rows == [Row(day=DAY, model="m", input_tokens=1, output_tokens=2, cost=Decimal("0.5"))]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"day": "2026-11-20", "input_tokens": 5}, "names no model"),
        ({"model": "m", "input_tokens": 5}, "says no day"),
        ({"day": "yesterday", "model": "m", "input_tokens": 5}, "its day must be a date"),
        ({"day": 5, "model": "m", "input_tokens": 5}, "start_time must be in seconds"),
        ({"day": "2026-11-20", "model": "m", "input_tokens": -5}, "input_tokens must be a whole number"),
        ({"day": "2026-11-20", "model": "m", "input_tokens": 5, "cost": "NaN"}, "cost must be a number"),
        ({"day": "2026-11-20", "model": {}, "input_tokens": 5}, "model must be text"),
        ({"data": [{"starting_at": "then", "results": []}]}, "its day must be a date"),
    ],
)
def test_a_row_that_is_wrong_is_named(path: Path, row: dict[str, Any], said: str):
    (problem,) = written(path, row).problems
    assert problem.reason.startswith(said)


@pytest.mark.parametrize("text", ["", "nothing\nof this\n", "model,input_tokens\nm,5\n", "[1]", "\x00\x01"])
def test_another_file_is_not_taken(path: Path, text: str):
    path.write_text(text)
    with pytest.raises(NotThatFile):
        read_export(path)


# Compared


def used(into: int, out: int = 0, cost: str | None = None) -> Figures:
    return Figures(input_tokens=into, output_tokens=out, cost=None if cost is None else Decimal(cost))


A, B = ("openai", "a"), ("openai", "b")


@pytest.mark.parametrize(
    ("there", "here", "tolerance", "kind"),
    [
        (used(100, 10), used(100, 10), "0", None),
        (used(100, 10), used(99, 10), "0", "drift"),
        (used(100, 10), used(99, 10), "1", None),
        (used(100, 10), used(98, 10), "1", "drift"),
        (used(100, 10), used(100, 11), "0", "drift"),
        (used(100, 10, "1.5"), used(100, 10, "1.6"), "0", "drift"),
        (used(100, 10, "1.5"), used(100, 10), "0", None),
        (used(100, 10), None, "100", None),
        (used(100, 10), None, "0", "missing"),
        (None, used(0, 10), "50", "extra"),
    ],
)
def test_what_differs_is_of_one_kind(there: Figures | None, here: Figures | None, tolerance: str, kind: str | None):
    def side(figures: Figures | None) -> dict[Any, Figures]:
        return {} if figures is None else {(DAY, A): figures}

    done = compare(side(there), side(here), Decimal(tolerance))
    assert [each.kind for each in done.findings] == ([] if kind is None else [kind])
    assert done.agrees == (kind is None)


def test_totals_are_by_model_over_all_days():
    there = {(DAY, A): used(10, 1, "1"), (NEXT, A): used(20, 2, "2"), (DAY, B): used(5, 5)}
    here = {(DAY, A): used(10, 1, "1"), (NEXT, A): used(21, 2, "2")}
    done = compare(there, here)
    assert [(t.model, t.there.input_tokens, t.here.input_tokens, t.found) for t in done.totals] == [
        ("a", 30, 31, {"drift": 1}), ("b", 5, 0, {"missing": 1}),
    ]  # fmt: skip
    assert (done.totals[0].there.cost, done.totals[1].there.cost) == (Decimal(3), None)
    assert [(f.day, f.model) for f in done.findings] == [(DAY, "b"), (NEXT, "a")]


def test_rows_of_a_day_and_model_add_up_under_the_ledgers_name():
    rows = [Row(day=DAY, model="gpt-4o-1", input_tokens=1), Row(day=DAY, model="gpt-4o-2", input_tokens=2)]
    assert summed(rows, lambda provider, model: A) == {(DAY, A): used(3)}


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("azure.ai.openai", "gpt-4o", ("azure", "gpt-4o")), (None, "claude-3", ("anthropic", "claude-3")),
        ("gcp.gemini", "g", ("google", "g")), (None, "own", ("", "own")), ("mine", "own", ("mine", "own")),
    ],
)  # fmt: skip
def test_a_provider_goes_by_one_name(provider: str | None, model: str, name: tuple[str, str]):
    assert name_of(provider, model) == name
