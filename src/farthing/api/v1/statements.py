"""Statements: an account's period between two balances, as pages of JSON or as one stream of CSV.

A page goes on with what the first one had, so that all of them are one statement, whatever is booked meanwhile.
"""

from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct, field

from farthing.core.statement import (
    Statement,
    csv_closing,
    csv_lines,
    csv_opening,
    line_facts,
    write_sums,
    write_totals,
)
from farthing.stores.pages import Position
from farthing.stores.past import Archived
from farthing.timezones import calendar, month_named

from ..endpoint import Endpoint, Headers, Reply, Request
from .account_settings import ACCOUNT
from .accounts import archived
from .desk import Desk
from .parameters import parameter
from .periods import FROM_TO, PERIOD, Period, read_bounds
from .reading import PAGING, Params, named, not_found
from .wire import Credits, Time, write_time

Format = Literal["json", "csv"]
FORMATS: Final[tuple[Format, ...]] = ("json", "csv")
PAGE: Final = 500
_CSV: Final = b"text/csv; charset=utf-8; header=present"
_encode = msgspec.json.Encoder().encode


class StatementEdge(Struct):
    """What the account had at an edge of the period."""

    balance: Annotated[Credits, Meta(description="Live grants less debt, what is held included.")]
    held: Credits
    debt: Credits


class KindSum(Struct):
    """All entries of a kind in the period."""

    kind: str
    entries: int
    amount: Annotated[Credits, Meta(description="What they changed the balance by.")]


class StatementLine(Struct):
    """An entry of the period."""

    number: int
    at: Time
    kind: str
    amount: Annotated[Credits, Meta(description="Change of the balance.")]
    balance: Annotated[Credits, Meta(description="After it.")]
    held: Credits
    debt: Credits
    operation: str | None
    description: str | None
    key: str | None
    ref: str | None
    id: Annotated[str | None, Meta(description="Null: time has done it, and it is booked within a minute.")]


class StatementView(Struct):
    """A period of an account. Opening and the amounts of all entries come to the closing."""

    account: str
    unit: str
    from_: Annotated[Time, Meta(description="Included.")] = field(name="from")
    to: Annotated[Time, Meta(description="Not included.")]
    timezone: str
    complete: Annotated[bool, Meta(description="The period is over; else it goes on.")]
    as_of: Annotated[Time, Meta(description="When the closing stood: at the period's end, or now.")]
    opening: StatementEdge
    closing: StatementEdge
    totals: Annotated[
        list[KindSum] | None, Meta(description="By kind, of all entries of the statement; null on later pages.")
    ]
    data: Annotated[list[StatementLine], Meta(description="Oldest first.")]
    has_more: bool
    next_cursor: str | None


async def show_statement(request: Request, desk: Desk) -> StatementView | Reply:
    """A period of an account."""
    params = Params(request, *PERIOD, "month", "all", "format", "limit", "cursor")
    account, now = named(request, "account", "account"), desk.now_us()
    format = params.choice("format", FORMATS, _wanted(request))
    period, every = _read_period(params, now), bool(params.flag("all"))
    if format == "csv":
        return await _as_csv(request, desk, params, account, period, every)
    turn = await params.turn(desk, "statement", account=account)
    after, stop, period = _go_on(turn.after, period)
    statement = await _begun(turn.workspace, account, period, every, now, desk, stop)
    page = await desk.statements.lines(statement, now, after=after, limit=turn.limit)
    totals = await desk.statements.totals(statement, now) if turn.after is None else None
    following = None if page.next is None else (*page.next, statement.stop, period.start, period.end)
    scale = request.caller.workspace.scale
    listed = await turn.told([line_facts(entry, scale, write_time) for entry in page.items], following)
    return StatementView(
        **_head(statement, period, request, now),
        totals=None if totals is None else [KindSum(**total) for total in write_totals(totals, scale)],
        data=[StatementLine(**line) for line in listed.data],
        has_more=listed.has_more,
        next_cursor=listed.next_cursor,
    )


def _go_on(after: Position | None, period: Period) -> tuple[int, int | None, Period]:
    """After which number a page begins, and what the first page was of: by now, today may be another day."""
    if after is None:
        return 0, None, period
    number, stop, start, end = map(int, after)
    return number, stop, Period(start, end, period.timezone)


def _wanted(request: Request) -> Format:
    """What the caller says that he would rather have."""
    best = max(request.headers.get(b"accept", b"").lower().replace(b" ", b"").split(b","), key=_weight)
    return "csv" if best.partition(b";")[0] == b"text/csv" and _weight(best) else "json"


def _weight(media: bytes) -> float:
    """How much somebody would have it: 1, where he does not say."""
    said = media.partition(b";q=")[2].partition(b";")[0]
    try:
        return float(said or 1)
    except ValueError:
        return 0.0


def _read_period(params: Params, now: int) -> Period:
    """The period that is asked for; where nothing is said, the month of now. Until when is left out: until today's end;
    from when: from the beginning."""
    start, end, zone = read_bounds(params)
    month = params.text("month")
    if month is not None and not (start is None and end is None):
        params.refuse("month", "can't be given with from or to")
    if month is None and start is None and end is None:
        start, end = calendar(now, zone)[2:]
    elif month is not None:
        try:
            start, end = month_named(month, zone)
        except ValueError as error:
            text = str(error)
            params.refuse("month", text if text.startswith("must") else "must be a month that exists")
    end = calendar(now, zone)[1] if end is None else end
    start = start or 0
    if start > now:
        params.refuse("from" if month is None else "month", "must not be in the future")
    return Period(start, max(start, end), zone)


async def _begun(
    workspace: str, account: str, period: Period, every: bool, now: int, desk: Desk, stop: int | None = None
) -> Statement:  # fmt: skip
    try:
        statement = await desk.statements.begin(
            workspace, account, period.start, period.end, now, every=every, stop=stop
        )  # fmt: skip
    except Archived as error:
        raise archived(error) from error
    if statement is None:
        raise not_found("account")
    return statement


def _head(s: Statement, period: Period, request: Request, now: int) -> dict[str, Any]:
    workspace = request.caller.workspace
    return {
        "account": s.account,
        "unit": workspace.unit,
        "from_": write_time(s.start),
        "to": write_time(s.end),
        "timezone": period.timezone,
        "complete": s.end <= now,
        "as_of": write_time(min(s.end, now)),
        "opening": StatementEdge(**write_sums(s.opening, workspace.scale)),
        "closing": StatementEdge(**write_sums(s.closing, workspace.scale)),
    }


# As CSV


async def _as_csv(
    request: Request, desk: Desk, params: Params, account: str, period: Period, every: bool
) -> Reply:  # fmt: skip
    for name in ("limit", "cursor"):
        if params.text(name) is not None:
            params.refuse(name, "is for pages of JSON: CSV is one answer")
    params.check()
    now = desk.now_us()
    statement = await _begun(request.caller.workspace.id, account, period, every, now, desk)
    attached: Headers = ((b"content-disposition", b'attachment; filename="statement.csv"'),)
    return Reply(200, b"", headers=attached, content_type=_CSV, parts=_parts(request, desk, statement, now))


async def _parts(request: Request, desk: Desk, s: Statement, now: int) -> AsyncGenerator[bytes, None]:
    scale, after = request.caller.workspace.scale, 0
    # Before anything is sent: what does not add up is an error, and no file.
    totals = write_totals(await desk.statements.totals(s, now), scale)
    yield csv_opening(write_time(s.start), write_sums(s.opening, scale))
    while True:
        page = await desk.statements.lines(s, now, after=after, limit=PAGE)
        if page.items:
            yield csv_lines(line_facts(entry, scale, write_time) for entry in page.items)
        if page.next is None:
            break
        after = int(page.next[0])
    yield csv_closing(write_time(min(s.end, now)), totals, write_sums(s.closing, scale))


_LINE: Final[dict[str, Any]] = {
    "number": 7, "at": "2026-01-01T12:00:00.000000Z", "kind": "charge", "amount": "-5", "balance": "895", "held": "0",
    "debt": "0", "operation": "chat.message", "description": "A chat message", "key": "v1:chat-7f3a-0001", "ref": None,
    "id": "ent_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f",
}  # fmt: skip
_OPENING: Final = {"balance": "900", "held": "0", "debt": "0"}
_CLOSING: Final = {"balance": "895", "held": "0", "debt": "0"}
_TOTAL: Final[dict[str, Any]] = {"kind": "charge", "entries": 1, "amount": "-5"}
_EDGES: Final = ("2026-01-01T00:00:00.000000Z", "2026-02-01T00:00:00.000000Z")

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/accounts/{account}/statement",
        operation_id="showStatement",
        summary="A period of an account, between two balances",
        description="Opening balance, the entries that moved it, oldest first, and closing balance: opening and "
        "entries always come to the closing. By default of this month. As CSV (`format`, or the header Accept) it is "
        "one stream: a row for the opening, one for each entry, one for each kind, and at the end the closing, without "
        "which it is not whole.",
        scope="read",
        own=True,
        request=None,
        answer=StatementView,
        example={},
        answered={
            "account": "user_42",
            "unit": "credits",
            "from": _EDGES[0],
            "to": _EDGES[1],
            "timezone": "UTC",
            "complete": True,
            "as_of": _EDGES[1],
            "opening": _OPENING,
            "closing": _CLOSING,
            "totals": [_TOTAL],
            "data": [_LINE],
            "has_more": False,
            "next_cursor": None,
        },
        codes=frozenset({"account_not_found", "cursor_invalid", "archived"}),
        act=show_statement,
        parameters=(
            ACCOUNT,
            *FROM_TO,
            parameter(
                "month",
                "In place of `from` and `to`: a month of the time zone.",
                pattern="^(197[1-9]|19[89][0-9]|[2-8][0-9]{3})-(0[1-9]|1[0-2])$",
                example="2026-01",
            ),
            parameter("all", "With the entries that left the balance as it was.", type="boolean"),
            parameter("format", "Of the answer.", enum=list(FORMATS), default="json"),
            *PAGING,
        ),
        also={
            "text/csv": (
                csv_opening(_EDGES[0], _OPENING) + csv_lines([_LINE]) + csv_closing(_EDGES[1], [_TOTAL], _CLOSING)
            ).decode()
        },
    ),
)
