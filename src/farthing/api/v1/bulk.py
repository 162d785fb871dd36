"""Bulk: many single charges in one envelope. Not atomic: each has its own key and gets its own result.

They go to the engine in slices that take turns with single calls; those of one account keep their order.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final, Literal, NamedTuple, cast

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from farthing.core.commands import TakeCharge
from farthing.core.outcomes import Accepted, Outcome
from farthing.engine import Engine, Ticket
from farthing.stores.contract import StoreError, Unknown

from ..endpoint import Endpoint, Request, Stop
from .charges import AMOUNT_OR_USAGE, CHARGED, Charge, TakeWhat, read_charge_of, write_charge
from .desk import Desk
from .fields import Form
from .problems import TROUBLES, Fault, Problem, Wrong, failed, problem, refused
from .usage import NoPrice, UsageField, used_before, with_prices
from .wire import (
    AccountId,
    AmountOrZero,
    Description,
    DryRun,
    Metadata,
    Model,
    Operation,
    Product,
    RecordRefusal,
    ServiceName,
    text_of,
)

MAX_ITEMS: Final = 1_000
MAX_BYTES: Final = 2_000_000
SLICE: Final = 100
Key = Annotated[str, text_of("The charge's key, as in Idempotency-Key.")]


class BulkItem(Struct, kw_only=True, forbid_unknown_fields=True):
    """A charge, with its own key."""

    key: Key
    account: AccountId
    amount: Annotated[AmountOrZero | None, Meta(description=AMOUNT_OR_USAGE)] = None
    usage: UsageField | None = None
    operation: Operation | None = None
    service: ServiceName | None = None
    model: Model | None = None
    product: Product | None = None
    shortfall: TakeWhat | None = "refuse"
    description: Description | None = None
    metadata: Metadata | None = None
    final: RecordRefusal | None = None


class BulkRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Charges."""

    items: Annotated[list[BulkItem], Meta(max_length=MAX_ITEMS, description=f"At most {MAX_ITEMS:,}.")]
    dry_run: DryRun | None = None


class Result(Struct, kw_only=True):
    """What came of one item."""

    index: Annotated[int, Meta(ge=0, description="Which item it was, counted from 0.")]
    status: Annotated[
        Literal["charged", "refused", "failed", "unknown"],
        Meta(description="`failed`: nothing was done, try again. `unknown`: the same key finds out."),
    ]
    replayed: Annotated[bool, Meta(description="This was its answer before.")] = False
    charge: Charge | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class BulkDone(Struct, kw_only=True):
    """What came of each, in the order of the items."""

    results: list[Result]
    dry_run: bool | UnsetType = UNSET


_bulk, _item = Form(BulkRequest), Form(BulkItem)
_decode_items = msgspec.json.Decoder(list[Raw]).decode


# Reading


def count_items(request: Request) -> int:
    """How many charges the envelope has; one where it can't be read, which `charge_all` will say."""
    try:
        request.content = items = read_items(request)
    except Fault:
        return 1
    return max(len(items), 1)


def read_items(request: Request) -> list[Raw]:
    """The items of the envelope, none of them read."""
    fields = _bulk.read(request)
    request.dry = fields.flag("dry_run")
    items: list[Raw] = []
    raw = fields.values.items
    if raw is UNSET:
        fields.refuse("items", "is missing")
    elif bytes(raw)[:1] != b"[":
        fields.refuse("items", "must be a list of charges")
    else:
        items = _decode_items(raw)
    fields.check()
    if len(items) > MAX_ITEMS:
        detail = f"A bulk has at most {MAX_ITEMS:,} items; this one has {len(items):,}. Nothing was done."
        raise Fault("too_large", [Wrong(pointer="/items", detail=f"must have at most {MAX_ITEMS:,} items")], detail)
    return items


def read_item(raw: Raw, index: int, request: Request) -> TakeCharge:
    """The charge of one item."""
    at = f"/items/{index}"
    if bytes(raw)[:1] != b"{":
        raise Fault("invalid", [Wrong(pointer=at, detail="must be an object")])
    fields = _item.read_part(raw, request, at)
    key = fields.text("key")
    return read_charge_of(fields, key)


# Doing


async def charge_all(request: Request, desk: Desk) -> BulkDone:
    """Carry out the items."""
    items = request.content if request.content is not None else read_items(request)
    results: list[Result | None] = [None] * len(items)
    asked: list[_Asked] = []
    for index, raw in enumerate(items):
        if index % SLICE == SLICE - 1:
            # A thousand items with usage are a while's work: single calls take their turns here as well.
            await asyncio.sleep(0)
        try:
            read = partial(read_item, raw, index, request)
            asked.append(_Asked(index, await with_prices(read, request, desk.books)))
        except NoPrice as no:
            asked.append(_Asked(index, cast(TakeCharge, no.command), no.fault))
        except Fault as fault:
            results[index] = _refused(index, fault, request)
        except Stop as stop:
            told = problem(request, TROUBLES[stop.trouble], stop.message)
            results[index] = Result(index=index, status="refused", problem=told)
    for start in range(0, len(asked), SLICE):
        part = asked[start : start + SLICE]
        for each, outcome in zip(part, await ask_all(desk.engine, part, request.dry), strict=True):
            results[each.place] = _result(each, outcome, request, desk)
    return BulkDone(results=[r for r in results if r is not None], dry_run=True if request.dry else UNSET)


class _Asked(NamedTuple):
    """An item on its way."""

    place: int
    command: TakeCharge
    fault: Fault | None = None
    """It has no price, and is only asked what became of its key."""


def _refused(index: int, fault: Fault, request: Request) -> Result:
    told = problem(request, fault.code, fault.detail, fault.wrong, fault.facts)
    return Result(index=index, status="refused", problem=told)


def _result(asked: _Asked, outcome: Outcome | Exception, request: Request, desk: Desk) -> Result:
    index, command, fault = asked
    if isinstance(outcome, StoreError):
        told, _ = failed(request, outcome)
        return Result(index=index, status="unknown" if isinstance(outcome, Unknown) else "failed", problem=told)
    if isinstance(outcome, Exception):
        raise outcome
    if fault is not None and not used_before(outcome):
        return _refused(index, fault, request)
    if not request.dry:
        desk.observer.decided(command.kind, outcome)
    if not isinstance(outcome, Accepted):
        return Result(index=index, status="refused", replayed=outcome.replayed, problem=refused(request, outcome))
    assert outcome.entry is not None, "a charge writes an entry"
    charge = write_charge(outcome.entry, request.caller)
    return Result(index=index, status="charged", replayed=outcome.replayed, charge=charge)


async def ask_all(engine: Engine, items: Sequence[_Asked], dry: bool) -> list[Outcome | Exception]:
    """Put commands into the queue one after the other, and wait for all; none waits for the one before."""
    loop = asyncio.get_running_loop()
    everyone: asyncio.Future[None] = loop.create_future()
    results: list[Outcome | Exception | None] = [None] * len(items)
    left = len(items)

    def note(position: int, result: Outcome | Exception) -> None:
        nonlocal left
        results[position] = result
        left -= 1
        if not left and not everyone.done():
            everyone.set_result(None)

    def answer_to(position: int) -> Callable[[Outcome | Exception], Any]:
        if engine.runs_here:
            return lambda result: note(position, result)
        return lambda result: loop.call_soon_threadsafe(note, position, result)

    tickets: list[Ticket] = []
    for position, (_, command, fault) in enumerate(items):
        try:
            tickets.append(engine.submit(command, answer_to(position), dry=dry or fault is not None))
        except StoreError as error:
            note(position, error)
    try:
        await everyone
    except asyncio.CancelledError:
        for ticket in tickets:
            ticket.gone = True
        raise
    return [result for result in results if result is not None]


# The table


ENDPOINTS: Final = (
    Endpoint(
        path="/v1/charges/bulk",
        operation_id="createCharges",
        summary="Charge many usages at once",
        description=f"At most {MAX_ITEMS:,} items and {MAX_BYTES:,} bytes; beyond either nothing is done. It is not "
        "atomic: each item has its own `key` and its own result, and one that is refused stops no other. The "
        "answer is 200 wherever the envelope could be read. The rate limit counts items. In a dry run "
        "each item is looked at by itself.",
        scope="charge",
        request=BulkRequest,
        answer=BulkDone,
        example={
            "items": [
                {"key": "7f3a-0001", "account": "user_42", "amount": "7.5", "operation": "chat.message"},
                {"key": "7f3a-0002", "account": "user_43", "amount": "2"},
            ]
        },
        answered={
            "results": [
                {"index": 0, "status": "charged", "replayed": False, "charge": CHARGED},
                {
                    "index": 1,
                    "status": "refused",
                    "replayed": False,
                    "problem": {
                        "type": "/docs#problem-insufficient_credits",
                        "title": "Insufficient credits",
                        "status": 402,
                        "detail": "This takes 2 credits; 0 are available.",
                        "instance": "/v1/charges/bulk",
                        "code": "insufficient_credits",
                        "request_id": "req_5f0c2a9be1d400000001",
                        "required": "2",
                        "available": "0",
                        "deficit": "2",
                        "next": None,
                    },
                },
            ]
        },
        codes=frozenset(),
        act=charge_all,
        body_bytes=MAX_BYTES,
        cost=count_items,
    ),
)
