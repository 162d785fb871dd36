"""Spans: usage out of OpenTelemetry, as exporters write it to files: OTLP's JSON, or the spans of a console exporter.

Attributes go by the GenAI conventions; names that were used before, or by one library alone, stand behind the current
ones. The conventions count what came from a cache within the input, and reasoning within the output.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final

from msgspec import Struct

from farthing.llm import otel
from farthing.llm.otel import CALLS, CHARGE, METERED, OPERATION
from farthing.llm.used import Used, unusual

from .calls import Call, Left, instant
from .source import Problem, Wrong, count, text

_OTHERS: Final[dict[str, tuple[str, ...]]] = {
    "input_tokens": ("gen_ai.usage.prompt_tokens",),
    "output_tokens": ("gen_ai.usage.completion_tokens",),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.input_tokens.cached",
        "gen_ai.usage.details.cache_read_tokens",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens", "gen_ai.usage.input_tokens.cache_write",
        "gen_ai.usage.details.cache_write_tokens",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning_tokens", "gen_ai.usage.output_tokens.reasoning",
        "gen_ai.usage.details.reasoning_tokens",
    ),
}  # fmt: skip
COUNTS: Final = {name: (current, *_OTHERS[name]) for name, current in otel.COUNTS.items()}
MODEL: Final = (otel.MODEL, otel.MODEL_ASKED)
PROVIDER: Final = (otel.PROVIDER, "gen_ai.system")
TIER: Final = (otel.TIER, "gen_ai.openai.response.service_tier")


class Span(Struct, frozen=True):
    """A span, as far as it matters here."""

    place: str
    name: str
    trace: str
    id: str
    parent: str
    ends_us: int
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]

    def first(self, names: Iterable[str]) -> Any:
        """The value of the first of these attributes that is there."""
        return next((self.attributes[name] for name in names if self.attributes.get(name) is not None), None)


# What is in a record


def is_record(value: Any) -> bool:
    """Whether a record is one of spans."""
    if not isinstance(value, dict):
        return False
    names = ("resourceSpans", "resource_spans", "traceId", "trace_id", "context")
    return any(name in value for name in names)


def spans_of(value: Any, place: str) -> Iterator[Span | Problem]:
    """The spans of a record, in their order."""
    for number, (span, resource) in enumerate(_raw_spans(value), 1):
        where = f"{place}, span {number}" if "resourceSpans" in value or "resource_spans" in value else place
        try:
            yield _span(span, resource, where)
        except Wrong as wrong:
            yield Problem(where, str(wrong))


def _raw_spans(value: Mapping[str, Any]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    resources = _get(value, "resourceSpans")
    if resources is None:
        yield value, _attributes(_object(value.get("resource")).get("attributes"))
        return
    for each in _list(resources):
        resource = _attributes(_object(_object(each).get("resource")).get("attributes"))
        for scope in _list(_get(_object(each), "scopeSpans") or _object(each).get("instrumentationLibrarySpans")):
            for span in _list(_object(scope).get("spans")):
                yield span, resource


def _span(raw: Any, resource: Mapping[str, Any], place: str) -> Span:
    if not isinstance(raw, dict):
        raise Wrong("a span must be an object")
    context = {**raw, **_object(raw.get("context"))}
    parent = _get(raw, "parentSpanId") or raw.get("parent_id")
    return Span(
        place=place, name=str(raw.get("name") or ""), trace=_id(_get(context, "traceId"), 16, "traceId"),
        id=_id(_get(context, "spanId"), 8, "spanId"), parent=_id(parent, 8, "parentSpanId") if parent else "",
        ends_us=_end(raw), attributes=_attributes(raw.get("attributes")), resource=resource,
    )  # fmt: skip


def _id(value: Any, size: int, name: str) -> str:
    """An id in hexadecimal digits, as OTLP has it; or in base64, as JSON of protobuf has."""
    if isinstance(value, str):
        digits = value.removeprefix("0x").lower()
        try:
            if len(digits) == 2 * size and int(digits, 16):
                return digits
            raw = base64.b64decode(value, validate=True)
            if len(raw) == size and any(raw):
                return raw.hex()
        except (ValueError, binascii.Error):
            pass
    raise Wrong(f"{name} must be {2 * size} hexadecimal digits, not {value!r:.60}")


def _end(raw: Mapping[str, Any]) -> int:
    """When it ended, in microseconds; 0 where that can't be said."""
    nanoseconds = _get(raw, "endTimeUnixNano")
    if nanoseconds is not None:
        return count(nanoseconds, "endTimeUnixNano") // 1000
    told = raw.get("end_time")
    if told is None:
        return 0
    try:
        moment = datetime.fromisoformat(text(told, "end_time"))
        return round((moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")).total_seconds() * 1_000_000)
    except (ValueError, TypeError) as error:
        raise Wrong(f"end_time must be an RFC 3339 time, not {told!r:.60}") from error


# Attributes


def _attributes(value: Any) -> dict[str, Any]:
    """Attributes by their names: a list of keys and typed values, or an object."""
    if isinstance(value, dict):
        return value
    found = {}
    for each in _list(value):
        pair = _object(each)
        if isinstance(name := pair.get("key"), str):
            found[name] = _plain(_object(pair.get("value")))
    return found


def _plain(value: Mapping[str, Any]) -> Any:
    """A typed value without its type; None of what is neither text nor a number."""
    for name in ("stringValue", "intValue", "doubleValue", "boolValue"):
        if (found := _get(value, name)) is not None:
            return found
    return None


def _get(value: Mapping[str, Any], name: str) -> Any:
    """A field by its name in JSON, or by that of the schema."""
    if name in value:
        return value[name]
    return value.get(_schema_name(name))


@cache
def _schema_name(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# What a span tells


def call_of(span: Span, account_attribute: str, service: str, around: "Around") -> Call | Left:
    """The call that a span tells of, or why it tells of none; `Wrong` where it can't be charged."""
    if _says_metered(span):
        return "charged_before"
    if (reason := _no_call(span)) is not None:
        return reason
    if around.is_metered(span):
        return "charged_before"
    if around.is_outer(span):
        return "outer_span"
    account = around.account_of(span)
    if account is None:
        raise Wrong(f"has no attribute {account_attribute}, nor any span around it, that says whose it is")
    at = instant(span.ends_us)
    if at is None:
        raise Wrong("has no end, which is the time of use")
    return Call(
        place=span.place, key=key_of(span), account=text(account, account_attribute), used=_used(span), at=at,
        words=_words(span, service), metadata=_evidence(span),
    )  # fmt: skip


def key_of(span: Span) -> str:
    """The idempotency key of a span's charge: the same one for ever."""
    return f"otel:{span.trace}:{span.id}"


def tells_usage(span: Span) -> bool:
    """Whether a span is a call of a model with its counts."""
    return _no_call(span) is None


def _says_metered(span: Span) -> bool:
    return bool(span.attributes.get(METERED)) or span.first([CHARGE]) is not None


def _answer(span: Span) -> set[tuple[str, str]]:
    """By what two spans tell of the same answer."""
    id = span.first([otel.ANSWER])
    return {(span.trace, str(id))} if id else set()


def _no_call(span: Span) -> Left | None:
    operation = span.first([OPERATION])
    if not any(name.startswith("gen_ai.") for name in span.attributes) or operation not in (None, *CALLS):
        return "no_model_call"
    return None if _told(span) else "no_usage"


def _told(span: Span) -> dict[str, Any]:
    found = {name: span.first(names) for name, names in COUNTS.items()}
    told = {name: value for name, value in found.items() if value is not None}
    return told if "input_tokens" in told or "output_tokens" in told else {}


def _used(span: Span) -> Used:
    counts = {name: count(value, COUNTS[name][0]) for name, value in _told(span).items()}
    cached = counts.get("cache_read_tokens", 0) + counts.get("cache_write_tokens", 0)
    model, provider = span.first(MODEL), span.first(PROVIDER)
    if model is None:
        raise Wrong(f"has neither {MODEL[0]} nor {MODEL[1]}")
    return Used(
        provider="" if provider is None else text(provider, PROVIDER[0]), model=text(model, MODEL[0]), counts=counts,
        # Against the conventions, some count as Anthropic does. More from a cache than in all can't be otherwise.
        without_cache=cached > counts.get("input_tokens", cached), attributes=unusual(service_tier=span.first(TIER)),
    )  # fmt: skip


def _words(span: Span, service: str) -> dict[str, str]:
    found = {
        "service": service or span.resource.get("service.name"), "operation": span.first([OPERATION]),
        "chat": span.first([otel.CHAT]),
    }  # fmt: skip
    return {name: value for name, value in found.items() if isinstance(value, str) and value}


def _evidence(span: Span) -> dict[str, Any]:
    missing = [name for name in ("input_tokens", "output_tokens") if name not in _told(span)]
    found = {
        "source": "otel", "trace": span.trace, "span": span.id, "name": span.name,
        "response": span.first([otel.ANSWER]), "error": span.first(["error.type"]), "not_told": missing,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value}


class Around:
    """What stands around the spans of a file: which are within which, and whose they are."""

    def __init__(self, spans: Iterable[Span], account_attribute: str) -> None:
        self._attribute = account_attribute
        self._parents: dict[tuple[str, str], str] = {}
        self._accounts: dict[tuple[str, str], Any] = {}
        self._outer: set[tuple[str, str]] = set()
        self._metered: set[tuple[str, str]] = set()
        self._answers: set[tuple[str, str]] = set()
        calls = []
        for span in spans:
            self._parents[span.trace, span.id] = span.parent
            if (account := span.first([account_attribute])) is not None:
                self._accounts[span.trace, span.id] = account
            if _says_metered(span):
                self._metered.add((span.trace, span.id))
                self._answers |= _answer(span)
            if tells_usage(span):
                calls.append((span.trace, span.parent))
        for trace, parent in calls:
            self._outer.update(self._above(trace, parent))

    def is_metered(self, span: Span) -> bool:
        """Whether another span says that Farthing has metered the same call: one around it, or one beside it that tells
        of the same answer."""
        around = any(each in self._metered for each in self._above(span.trace, span.id))
        return around or not self._answers.isdisjoint(_answer(span))

    def is_outer(self, span: Span) -> bool:
        """Whether a call of a model is within it: where two libraries watch the same call, or one adds up those of an
        agent, the innermost tells what the provider said."""
        return (span.trace, span.id) in self._outer

    def account_of(self, span: Span) -> Any:
        """Whose it is: by its own attribute, by that of the nearest span around it, or by the resource's."""
        for each in self._above(span.trace, span.id):
            if each in self._accounts:
                return self._accounts[each]
        return span.resource.get(self._attribute)

    def _above(self, trace: str, id: str) -> Iterator[tuple[str, str]]:
        """A span and those around it, from within."""
        passed: set[str] = set()
        while (trace, id) in self._parents and id not in passed:
            yield trace, id
            passed.add(id)
            id = self._parents[trace, id]
