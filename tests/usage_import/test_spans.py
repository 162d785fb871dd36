"""Spans: what of OpenTelemetry's files is a call of a model, whose it is, and what it used."""

import json
from pathlib import Path
from typing import Any

import pytest

from farthing.usage_import.calls import Call
from farthing.usage_import.source import Problem, Source, Wrong
from farthing.usage_import.spans import Around, Span, call_of, spans_of

TRACE = "5b8efff798038103d269b633813fc60c"
END = 1_763_720_000_123_456_789
CHAT = {
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.provider.name": "openai", "gen_ai.usage.input_tokens": 1500, "gen_ai.usage.output_tokens": 800,
    "user.id": "alice",
}  # fmt: skip


def span(attributes: dict[str, Any], id: str = "a" * 16, parent: str = "", **more: Any) -> dict[str, Any]:
    """A span as OTLP's JSON has it."""
    told = [
        {"key": key, "value": {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}}
        for key, value in attributes.items()
    ]
    raw = {"traceId": TRACE, "spanId": id, "parentSpanId": parent, "name": "chat", "endTimeUnixNano": str(END)}
    return {**raw, "attributes": told, **more}


def request(*spans: dict[str, Any], **resource: str) -> dict[str, Any]:
    """An ExportTraceServiceRequest."""
    told = [{"key": key.replace("_", "."), "value": {"stringValue": value}} for key, value in resource.items()]
    return {"resourceSpans": [{"resource": {"attributes": told}, "scopeSpans": [{"spans": list(spans)}]}]}


def read(*raw: dict[str, Any], **resource: str) -> list[Any]:
    """What each span of a request comes to: a call, a reason to leave it out, or what is wrong."""
    found: list[Any] = []
    spans = list(spans_of(request(*raw, **resource), "line 1"))
    around = Around((each for each in spans if isinstance(each, Span)), "user.id")
    for each in spans:
        if isinstance(each, Problem):
            found.append(each.reason)
            continue
        try:
            found.append(call_of(each, "user.id", "", around))
        except Wrong as wrong:
            found.append(str(wrong))
    return found


def call(attributes: dict[str, Any], **resource: str) -> Call:
    (found,) = read(span(attributes), **resource)
    assert isinstance(found, Call), found
    return found


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in CHAT.items() if name not in names}


def test_a_call_is_known_by_its_span_and_charged_at_its_end():
    found = call({**CHAT, "gen_ai.conversation.id": "c1", "gen_ai.response.id": "r1"}, service_name="shop")
    assert (found.key, found.account) == (f"otel:{TRACE}:{'a' * 16}", "alice")
    assert found.at == "2025-11-21T10:13:20.123456+00:00"
    assert found.words == {"service": "shop", "operation": "chat", "chat": "c1"}
    assert (found.used.provider, found.used.model) == ("openai", "gpt-4o-2024-08-06")
    assert found.used.dimensions() == {"input_tokens": 1500, "output_tokens": 800}
    assert (found.metadata["trace"], found.metadata["response"], "not_told" in found.metadata) == (TRACE, "r1", False)


@pytest.mark.parametrize(
    ("attributes", "dimensions"),
    [
        (
            {"gen_ai.usage.cache_read.input_tokens": 1000, "gen_ai.usage.cache_creation.input_tokens": 100},
            {"input_tokens": 1500, "output_tokens": 800, "cache_read_tokens": 1000, "cache_write_tokens": 100},
        ),
        (
            {"gen_ai.usage.reasoning.output_tokens": 600},
            {"input_tokens": 1500, "output_tokens": 800, "reasoning_tokens": 600},
        ),
        (
            # More from the cache than in all: it was counted beside the input.
            {"gen_ai.usage.cache_read_input_tokens": 4000},
            {"input_tokens": 5500, "output_tokens": 800, "cache_read_tokens": 4000},
        ),
        ({"gen_ai.usage.output_tokens": 0}, {"input_tokens": 1500, "output_tokens": 0}),
    ],
)
def test_counts_are_inclusive(attributes: dict[str, Any], dimensions: dict[str, int]):
    assert call({**CHAT, **attributes}).used.dimensions() == dimensions


def test_older_names_do_as_well():
    old = {
        "gen_ai.system": "anthropic", "gen_ai.request.model": "claude-sonnet-4", "gen_ai.usage.prompt_tokens": 7,
        "gen_ai.usage.completion_tokens": "3", "user.id": "bob",
    }  # fmt: skip
    found = call(old)
    assert (found.used.provider, found.used.model) == ("anthropic", "claude-sonnet-4")
    assert found.used.dimensions() == {"input_tokens": 7, "output_tokens": 3}


def test_an_end_may_be_a_number():
    (found,) = read(span(CHAT, endTimeUnixNano=END))
    assert found.at == "2025-11-21T10:13:20.123456+00:00"


def test_what_was_not_told_is_said():
    found = call(without("gen_ai.usage.output_tokens"))
    assert found.used.dimensions() == {"input_tokens": 1500}
    assert found.metadata["not_told"] == ["output_tokens"]


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"http.method": "GET"}, "no_model_call"),
        ({**CHAT, "gen_ai.operation.name": "invoke_agent"}, "no_model_call"),
        ({**CHAT, "gen_ai.operation.name": "execute_tool"}, "no_model_call"),
        (without("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"), "no_usage"),
        ({**CHAT, "farthing.charge": "ent_1"}, "charged_before"),
        ({**CHAT, "farthing.metered": 1}, "charged_before"),
    ],
)
def test_what_is_no_call_to_charge_is_left_out(attributes: dict[str, Any], reason: str):
    assert read(span(attributes)) == [reason]


def test_of_calls_within_one_another_the_innermost_counts():
    found = read(
        span(CHAT, "a" * 16, parent="b" * 16), span({}, "b" * 16, parent="c" * 16), span(CHAT, "c" * 16),
        span(CHAT, "d" * 16),
    )  # fmt: skip
    assert [each if isinstance(each, str) else each.key[-1] for each in found] == [
        "a",
        "no_model_call",
        "outer_span",
        "d",
    ]


def test_a_call_is_metered_where_another_span_of_it_says_so():
    metered = {**CHAT, "farthing.metered": 1, "gen_ai.response.id": "r1"}
    found = read(
        span(CHAT, "a" * 16, parent="b" * 16), span({}, "b" * 16, parent="c" * 16), span(metered, "c" * 16),
        span({**CHAT, "gen_ai.response.id": "r1"}, "d" * 16), span({**CHAT, "gen_ai.response.id": "r2"}, "e" * 16),
    )  # fmt: skip
    assert [each if isinstance(each, str) else each.key[-1] for each in found] == [
        "charged_before",
        "no_model_call",
        "charged_before",
        "charged_before",
        "e",
    ]


def test_spans_that_are_within_themselves_are_read_all_the_same():
    found = read(span(CHAT, "a" * 16, parent="b" * 16), span({}, "b" * 16, parent="b" * 16))
    assert [type(each).__name__ for each in found] == ["Call", "str"]


def test_an_account_may_stand_on_a_span_around_or_on_the_resource():
    inner = span(without("user.id"), parent="b" * 16)
    (found, _) = read(inner, span({"user.id": "carol"}, "b" * 16), user_id="everybody")
    assert found.account == "carol"
    (found,) = read(inner, user_id="everybody")
    assert found.account == "everybody"
    (found,) = read(inner)
    assert found.startswith("has no attribute user.id")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (span({**CHAT, "gen_ai.usage.input_tokens": -1}), "gen_ai.usage.input_tokens must be a whole number"),
        (span({**CHAT, "gen_ai.usage.output_tokens": "many"}), "gen_ai.usage.output_tokens must be a whole number"),
        (span(without("gen_ai.request.model", "gen_ai.response.model")), "has neither gen_ai.response.model nor"),
        (span(CHAT, endTimeUnixNano=0), "has no end"),
        (span(CHAT, endTimeUnixNano="soon"), "endTimeUnixNano must be a whole number"),
        (span(CHAT, traceId="xyz"), "traceId must be 32 hexadecimal digits"),
        (span(CHAT, id="0" * 16), "spanId must be 16 hexadecimal digits"),
    ],
)
def test_what_is_wrong_is_named(raw: dict[str, Any], said: str):
    (found,) = read(raw)
    assert isinstance(found, str)
    assert found.startswith(said)


def test_ids_in_base64_are_the_same_ids():
    (found,) = read(span(CHAT, traceId="W47/95gDgQPSabYzgT/GDA==", id="qqqqqqqqqqo="))
    assert found.key == f"otel:{TRACE}:{'a' * 16}"


CONSOLE = {
    "name": "chat", "context": {"trace_id": f"0x{TRACE}", "span_id": "0x" + "a" * 16}, "parent_id": None,
    "end_time": "2025-11-21T10:13:20.123456Z", "attributes": CHAT, "resource": {"attributes": {"service.name": "shop"}},
}  # fmt: skip


def test_the_spans_of_a_console_exporter_are_the_same_calls(tmp_path: Path):
    path = tmp_path / "spans.json"
    path.write_text(json.dumps(CONSOLE, indent=4) + "\n" + json.dumps(CONSOLE, indent=4) + "\n")
    records = list(Source(path).records())
    assert len(records) == 2
    for place, value in records:
        (only,) = spans_of(value, place)
        assert isinstance(only, Span)
        found = call_of(only, "user.id", "", Around([only], "user.id"))
        assert isinstance(found, Call)
        assert (found.key, found.at) == (f"otel:{TRACE}:{'a' * 16}", "2025-11-21T10:13:20.123456+00:00")
        assert found.words["service"] == "shop"


@pytest.mark.parametrize("text", ['{"a": 1}\n{"a": 2}\n', '[{"a": 1},\n {"a": 2}]', '\ufeff{"a": 1}\n\n{"a": 2}'])
def test_a_file_is_lines_or_one_document(tmp_path: Path, text: str):
    path = tmp_path / "file"
    path.write_text(text)
    assert [value for _, value in Source(path).records()] == [{"a": 1}, {"a": 2}]


def test_a_broken_line_stands_in_the_way_of_no_other(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text('{"a": \n{"a": 2}\n{"a": 3}\n')
    (_, broken), *right = Source(path).records()
    assert isinstance(broken, Problem)
    assert (broken.place, [value for _, value in right]) == ("line 1", [{"a": 2}, {"a": 3}])
