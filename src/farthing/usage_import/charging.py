"""Charging: the calls that a file tells of become charges, in bulk, each under a key of its own.

Nothing remembers how far a file was read: run again, what was charged before is found by its key, and charged nothing
more, however often and by whomever.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from hashlib import sha256
from itertools import islice
from typing import Final, Literal

from msgspec import Struct, field

from farthing.client import Client
from farthing.client.errors import ApiError, Invalid
from farthing.client.pricing_results import BulkResult

from . import lines, spans
from .calls import Call, Left
from .source import Problem, Source, Wrong

Form = Literal["otel", "jsonl"]
AT_ONCE: Final = 500
"""Charges that are sent together."""
Told = Callable[[int], object]
Failing = Callable[[Problem], object]
_Found = Call | Problem | Left


class Stopped(Exception):
    """The ledger could not be asked any more; what was charged so far stays. Run again, it goes on."""

    def __init__(self, error: ApiError, done: "Imported") -> None:
        super().__init__(str(error))
        self.error = error
        self.done = done


class Wanted(Struct, frozen=True, kw_only=True):
    """How a file is read, and what is done with what it says."""

    form: Form | None = None
    """None: as the file's first record looks."""
    account_attribute: str = "user.id"
    service: str = ""
    """Of everything; else as the file says."""
    shortfall: str = "debt"
    """It was used already: what is not there is owed, unless this says otherwise."""
    dry_run: bool = False


class Imported(Struct, kw_only=True):
    """What came of a file."""

    form: Form = "jsonl"
    read: int = 0
    """Spans or lines."""
    charged: int = 0
    there: int = 0
    """Charged before under their keys."""
    unpriced: int = 0
    """Of those charged: recorded, and nothing taken, since nobody knows a price."""
    amount: Decimal = Decimal(0)
    """Taken now, or in a dry run what would be."""
    left_out: Counter[Left] = field(default_factory=Counter)
    failed: int = 0


def import_usage(
    client: Client, source: Source, wanted: Wanted, *, failing: Failing, told: Told = lambda read: None
) -> Imported:
    """Charge what a file tells of, or in a dry run find out what would be charged. What fails is told to `failing`, one
    by one, with its place; everything else goes on."""
    form = wanted.form or form_of(source)
    done = Imported(form=form)
    found = _of_spans(source, wanted) if form == "otel" else _of_lines(source, wanted)
    seen: set[bytes] = set()
    while some := list(islice(found, AT_ONCE)):
        calls = _sorted_out(some, done, failing)
        if wanted.dry_run:
            calls = _not_seen(calls, seen, done)
        _charge(client, calls, wanted, done, failing)
        told(done.read)
    return done


def form_of(source: Source) -> Form:
    """What a file is, by its first record that can be read."""
    for _, value in source.records():
        if isinstance(value, dict):
            return "otel" if spans.is_record(value) else "jsonl"
    return "jsonl"


# Reading


def _of_lines(source: Source, wanted: Wanted) -> Iterator[_Found]:
    for place, value in source.records():
        if isinstance(value, Problem):
            yield value
            continue
        try:
            yield lines.call_of(value, place, wanted.account_attribute, wanted.service)
        except Wrong as wrong:
            yield Problem(place, str(wrong), lines.key_of(value))


def _of_spans(source: Source, wanted: Wanted) -> Iterator[_Found]:
    name = wanted.account_attribute
    around = spans.Around((span for span in _spans(source) if not isinstance(span, Problem)), name)
    for span in _spans(source):
        if isinstance(span, Problem):
            yield span
            continue
        try:
            yield spans.call_of(span, name, wanted.service, around)
        except Wrong as wrong:
            yield Problem(span.place, str(wrong), spans.key_of(span))


def _spans(source: Source) -> Iterator[spans.Span | Problem]:
    for place, value in source.records():
        if isinstance(value, Problem):
            yield value
        elif spans.is_record(value):
            yield from spans.spans_of(value, place)
        else:
            yield Problem(place, "has no spans: neither resourceSpans nor traceId")


def _sorted_out(some: list[_Found], done: Imported, failing: Failing) -> list[Call]:
    """The calls among them; the rest is counted."""
    calls = []
    done.read += len(some)
    for each in some:
        if isinstance(each, Call):
            calls.append(each)
        elif isinstance(each, Problem):
            done.failed += 1
            failing(each)
        else:
            done.left_out[each] += 1
    return calls


def _not_seen(calls: list[Call], seen: set[bytes], done: Imported) -> list[Call]:
    """Those whose keys come for the first time: a dry run keeps nothing that would know them again."""
    new = []
    for call in calls:
        mark = sha256(call.key.encode()).digest()[:16]
        if mark in seen:
            done.there += 1
        else:
            seen.add(mark)
            new.append(call)
    return new


# Charging


def _charge(client: Client, calls: list[Call], wanted: Wanted, done: Imported, failing: Failing) -> None:
    if not calls:
        return
    try:
        results = client.charge_many([call.charge(wanted.shortfall) for call in calls], dry_run=wanted.dry_run or None)
    except ApiError as error:
        raise Stopped(error, done) from error
    for call, result in zip(calls, results, strict=True):
        _count(call, result, done, failing)
    for result in results:
        if isinstance(result.error, ApiError) and result.error.retries:
            raise Stopped(result.error, done)


def _count(call: Call, result: BulkResult, done: Imported, failing: Failing) -> None:
    if result.charge is None:
        done.failed += 1
        failing(_problem(call, result.error))
    elif result.replayed:
        done.there += 1
    else:
        done.charged += 1
        done.amount += result.charge.amount
        done.unpriced += bool(result.charge.price and result.charge.price.unpriced)


def _problem(call: Call, error: Exception | None) -> Problem:
    """Why a call was not charged, without the number that it had among those sent with it."""
    code = error.code if isinstance(error, ApiError) else "failed"
    if isinstance(error, Invalid) and error.errors:
        return Problem(call.place, "; ".join(_said(each) for each in error.errors), call.key, code)
    return Problem(call.place, str(error), call.key, code)


def _said(error: "object") -> str:
    assert isinstance(error, dict), "an API tells each with its pointer"
    field = ".".join(error.get("pointer", "").split("/")[3:])
    detail = str(error["detail"])
    return detail if detail[:1].isupper() else f"{field} {detail}"
