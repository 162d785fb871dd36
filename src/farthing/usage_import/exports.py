"""Exports: what a provider says was used, by model and UTC day, out of its usage API or the file of its console.

A row of any of them is flat in the end, and one table of names reads it. Counts are inclusive here as everywhere: where
an export leaves out of the input what came from a cache, it is added.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct, field

from .source import LONGEST, NotThatFile, Problem, Source, Wrong, count, text

Kind = Literal["openai", "anthropic", "plain"]
DAY: Final = ("day", "date", "usage_date_utc", "at", "start_time_iso", "start_time", "starting_at", "timestamp")
MODEL: Final = ("model", "model_version")
REQUESTS: Final = ("requests", "num_model_requests")
INPUT: Final = ("input_tokens", "prompt_tokens")
UNCACHED: Final = ("uncached_input_tokens", "usage_input_tokens_no_cache")
"""Input without what was read from or written to a cache."""
CACHED: Final = (
    "cache_read_input_tokens", "usage_input_tokens_cache_read", "cache_creation_5m_input_tokens",
    "cache_creation_1h_input_tokens", "usage_input_tokens_cache_write_5m", "usage_input_tokens_cache_write_1h",
    "cache_creation.ephemeral_5m_input_tokens", "cache_creation.ephemeral_1h_input_tokens",
)  # fmt: skip
"""What has to be added to that."""
OUTPUT: Final = ("output_tokens", "usage_output_tokens", "completion_tokens")
_FIRST_SECOND, _LAST_SECOND = 86_400, 253_402_300_799


class Row(Struct, frozen=True, kw_only=True):
    """What was used of a model on a day, or in a part of it."""

    day: date
    model: str
    provider: str = ""
    requests: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None
    """In the workspace's unit."""


class Export(Struct, kw_only=True):
    """What a file says."""

    kind: Kind
    rows: list[Row] = field(default_factory=list)
    days: set[date] = field(default_factory=set)
    """All that it speaks of, those without usage included."""
    problems: list[Problem] = field(default_factory=list)
    others: int = 0
    """Rows without tokens: images, seconds of speech."""
    complete: bool = True
    """It does not say itself that there are more pages."""


def read_export(path: Path) -> Export:
    """A provider's export."""
    with path.open("rb") as file:
        start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start:
        raise NotThatFile("the file is empty")
    export, raw = _of_json(Source(path)) if start[:1] in b"{[" else _of_csv(path)
    for place, each in raw:
        try:
            _take(export, each, place)
        except Wrong as wrong:
            export.problems.append(Problem(place, str(wrong)))
    return export


_Raw = list[tuple[str, Mapping[str, Any]]]


def _of_csv(path: Path) -> tuple[Export, _Raw]:
    raw = path.read_bytes()
    try:
        whole = raw.decode("utf-8-sig")
        if len(raw) > LONGEST:
            raise NotThatFile(f"the file has more than {LONGEST:,} bytes: export fewer days, or whole days")
        head = whole.partition("\n")[0]
        mark = max(",\t;", key=head.count)
        found = list(csv.DictReader(io.StringIO(whole, newline=""), delimiter=mark, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise NotThatFile(f"the file is neither JSON nor CSV in UTF-8: {error}") from error
    names = {name.strip() for name in found[0] if name} if found else {name.strip() for name in head.split(mark)}
    if not names & set(DAY) or (found and not names & {*INPUT, *UNCACHED, *OUTPUT}):
        raise NotThatFile(f"the file has no columns for the day and for tokens, but {', '.join(sorted(names))[:200]}")
    kind: Kind = "anthropic" if names & set(UNCACHED) else "openai" if "start_time_iso" in names else "plain"
    rows: _Raw = [(f"row {number}", _filled(row)) for number, row in enumerate(found, 1)]
    return Export(kind=kind), rows


def _filled(row: Mapping[Any, Any]) -> dict[str, str]:
    """What a row of CSV says: an empty cell says nothing."""
    return {name.strip(): cell.strip() for name, cell in row.items() if isinstance(cell, str) and cell.strip()}


def _of_json(source: Source) -> tuple[Export, _Raw]:
    export, rows = Export(kind="plain"), []
    for place, value in source.records():
        if isinstance(value, Problem):
            export.problems.append(value)
            continue
        if isinstance(value, dict) and isinstance(value.get("data"), list):
            export.complete = not value.get("has_more")
        for where, bucket in _buckets(value, place):
            try:
                rows += _results(export, bucket, where)
            except Wrong as wrong:
                export.problems.append(Problem(where, str(wrong)))
    return export, rows


def _results(export: Export, bucket: Mapping[str, Any], place: str) -> _Raw:
    """The rows of a bucket, with its day; a row that stands in none."""
    results = bucket.get("results")
    if not isinstance(results, list):
        return [(place, bucket)]
    export.kind = "anthropic" if "starting_at" in bucket else "openai"
    export.days.add(_day(bucket))
    about = {name: bucket[name] for name in ("start_time", "starting_at") if name in bucket}
    return [(f"{place}, result {number}", {**each, **about}) for number, each in _objects(results)]


def _buckets(value: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Pages have buckets, these have results; or a record is a bucket or a row by itself."""
    if not isinstance(value, dict):
        raise NotThatFile(f"{place} is no JSON object")
    if isinstance(value.get("data"), list):
        yield from ((f"{place}, bucket {number}", each) for number, each in _objects(value["data"]))
    else:
        yield place, value


def _objects(values: list[Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    return ((number, each) for number, each in enumerate(values, 1) if isinstance(each, dict))


# Rows


def _take(export: Export, raw: Mapping[str, Any], place: str) -> None:
    """Add a row to an export."""
    row = _flat(raw)
    day = _day(row)
    export.days.add(day)
    counts = {name: row[name] for name in (*INPUT, *UNCACHED, *CACHED, *OUTPUT) if row.get(name) is not None}
    model = _first(row, MODEL)
    if not counts:
        export.others += model is not None
        return
    tokens = {name: count(value, name) for name, value in counts.items()}
    requests = _first(row, REQUESTS)
    if model is None:
        if not any(tokens.values()):
            return
        raise Wrong("names no model: have the export grouped by model")
    export.rows.append(
        Row(
            day=day, model=text(model, "model"), provider=_provider(row, export.kind), cost=_cost(row),
            requests=None if requests is None else count(requests, "requests"), input_tokens=_input(tokens),
            output_tokens=_sum(tokens, OUTPUT),
        )
    )  # fmt: skip


def _provider(row: Mapping[str, Any], kind: Kind) -> str:
    return kind if kind != "plain" else text(row.get("provider") or "", "provider")


def _input(tokens: Mapping[str, int]) -> int:
    """All that went in; some exports have just the parts."""
    return _sum(tokens, INPUT) if any(name in tokens for name in INPUT) else _sum(tokens, (*UNCACHED, *CACHED))


def _sum(tokens: Mapping[str, int], names: tuple[str, ...]) -> int:
    return sum(tokens.get(name, 0) for name in names)


def _cost(row: Mapping[str, Any]) -> Decimal | None:
    value = row.get("cost")
    if value is None:
        return None
    try:
        cost = Decimal(str(value))
        if cost.is_finite():
            return cost
    except InvalidOperation:
        pass
    raise Wrong(f"cost must be a number, not {value!r:.60}")


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """With what stands in an object of the row under `name.inner`."""
    found = {}
    for name, value in row.items():
        inner = value.items() if isinstance(value, dict) else ()
        found[name] = value
        found |= {f"{name}.{each}": within for each, within in inner}
    return found


def _day(row: Mapping[str, Any]) -> date:
    """The UTC day in which a row begins."""
    value = _first(row, DAY)
    if value is None:
        raise Wrong("says no day")
    if isinstance(value, str) and not value.isdigit():
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise Wrong(f"its day must be a date or an RFC 3339 time, not {value!r:.60}") from error
        return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date()
    seconds = count(value, "start_time")
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise Wrong(f"start_time must be in seconds since 1970, not {value!r:.60}")
    return datetime.fromtimestamp(seconds, UTC).date()


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)
