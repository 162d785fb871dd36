"""Statistics of usage in the accounting dialect, read from the sums that reports are read from.

A record is a usage that has a service or a model, however it was charged: through `usage/record`, a streaming session,
or the native API. Credits count where they were used; what was recorded without a charge, where it was recorded.
"""

import re
from calendar import timegm
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from farthing.core.amounts import write_number
from farthing.core.commands import DAY_US, MAX_TIME_US
from farthing.core.refundable import read_body
from farthing.core.rollup import Sums
from farthing.stores.usage_history import Sought, Used
from farthing.stores.usage_reports import Part, Point, Recorded
from farthing.stores.usage_sums import ArchivedRange

from ..bodies import TEXT
from ..endpoint import Parameter, Request, write_second, write_time
from ..v1.desk import Desk
from . import fields, whom
from .calls import call, own_id
from .errors import fault
from .fields import query
from .usage import RECORDED, credits_of
from .wire import Credits, Time

RECENT: Final = 10
LOOKED_AT: Final = 1_000
"""Rows that are looked at for the most recent records: usage without service and model is none."""
MOST_USERS: Final = 1_000
SECOND_US: Final = 1_000_000
MILLISECOND_US: Final = 1_000
_WRONG: Final = "usage_dates"
_DATE: Final = re.compile(
    r"((?!0000)[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))"
    r"(?:[T ]((?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?)(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+\- ])([01][0-9]|2[0-3]):?([0-5][0-9]))?)?"
)

ByName = Annotated[dict[str, Credits], Meta(description="Credits by name.")]


class Activity(Struct):
    """A record."""

    id: str
    service: str
    operation: str
    credits: Credits
    timestamp: Time
    model: str | UnsetType = UNSET


class Stats(Struct):
    """What a user has used."""

    totalRecords: int
    totalCredits: Credits
    byService: ByName
    byDay: Annotated[ByName, Meta(description="Credits by day of UTC, `YYYY-MM-DD`.")]
    byModel: ByName
    recentActivity: Annotated[list[Activity], Meta(max_length=RECENT, description="The newest records.")]


class SystemStats(Struct):
    """What all users have used."""

    totalRecords: int
    totalCredits: Credits
    byService: ByName
    byDay: Annotated[ByName, Meta(description="Credits by day of UTC, `YYYY-MM-DD`.")]
    byModel: ByName
    byUser: Annotated[ByName, Meta(description=f"Credits by user, of the {MOST_USERS:,} who used the most.")]


# What is asked


def _range(request: Request) -> tuple[int | None, int | None]:
    """[start, end) as the query says it; what is left out is left open."""
    given = query(request)
    start, end = given.get("startDate"), given.get("endDate")
    return read_date(start) if start else None, read_date(end, end=True) if end else None


def read_date(text: str, *, end: bool = False) -> int:
    """The instant that a date or a time means, in UTC where it names no zone; as an end, the instant after it: of that
    day, or of that millisecond."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise fault(_WRONG)
    day, clock, fraction, sign, hours, minutes = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00'}").replace(tzinfo=UTC)
    except ValueError:
        raise fault(_WRONG) from None
    # A plus that was not encoded arrives as a blank.
    offset = 0 if sign is None else (int(hours) * 60 + int(minutes)) * (-60 if sign == "-" else 60)
    at = (timegm(moment.utctimetuple()) - offset) * SECOND_US + int((fraction or "").ljust(6, "0")[:6])
    if end:
        at += MILLISECOND_US if clock else DAY_US
    return min(max(at, 0), MAX_TIME_US)


async def _recorded(
    request: Request, desk: Desk, account: str | None, start: int | None, end: int | None, accounts: int = 0
) -> Recorded:  # fmt: skip
    try:
        return await desk.usage.recorded(request.caller.workspace.id, account, start, end, accounts)
    except ArchivedRange as error:
        raise fields.invalid("startDate", f"and endDate: {error}") from error


async def own_stats(request: Request, desk: Desk) -> Stats:
    """What the caller has used."""
    return await _stats(request, desk, own_id(request))


async def stats_of(request: Request, desk: Desk) -> Stats:
    """What somebody has used."""
    known = await whom.needed(request, desk, request.parameters["userId"])
    return await _stats(request, desk, known.id)


async def system_stats(request: Request, desk: Desk) -> SystemStats:
    """What all have used."""
    start, end = _range(request)
    found = await _recorded(request, desk, None, start, end, MOST_USERS)
    users = _by_name(found.accounts, "account", request)
    return SystemStats(**_told(found, request), byUser=users)


async def _stats(request: Request, desk: Desk, account: str) -> Stats:
    start, end = _range(request)
    workspace = request.caller.workspace
    found = await _recorded(request, desk, account, start, end)
    recent = await _recent(desk, workspace.id, account, start, end)
    return Stats(**_told(found, request), recentActivity=[_activity(used, workspace.scale) for used in recent])


async def _recent(desk: Desk, workspace: str, account: str, start: int | None, end: int | None) -> list[Used]:
    """The newest records of an account; at first only so many rows are looked at as are wanted."""
    sought, found, after = Sought(account=account, start=start, end=end), list[Used](), None
    looked, limit = 0, RECENT
    while looked < LOOKED_AT:
        page = await desk.history.page(workspace, sought, after=after, limit=limit)
        found += [used for used in page.items if used.usage.service or used.usage.model]
        after, looked, limit = page.next, looked + limit, LOOKED_AT // 5
        if len(found) >= RECENT or after is None:
            break
    return found[:RECENT]


# What is told


def _told(found: Recorded, request: Request) -> dict[str, Any]:
    scale = request.caller.workspace.scale
    return {
        "totalRecords": found.totals.requests,
        "totalCredits": _credits(found.totals, scale),
        "byService": _by_name(found.services, "service", request),
        "byDay": {_day(point): _credits(point.sums, scale) for point in found.days},
        "byModel": _by_name(found.models, "model", request),
    }


def _credits(sums: Sums, scale: int) -> Any:
    return write_number(sums.taken_or_recorded, scale)


def _day(point: Point) -> str:
    return write_second(point.start // SECOND_US)[:10]


def _by_name(parts: list[Part], name: Literal["service", "model", "account"], request: Request) -> dict[str, Any]:
    """Credits of parts that have a name; a model that several providers run is one."""
    sums: dict[str, Sums] = {}
    for part in parts:
        if called := getattr(part, name):
            sums.setdefault(called, Sums()).add(part.sums)
    return {called: _credits(each, request.caller.workspace.scale) for called, each in sums.items()}


def _activity(used: Used, scale: int) -> Activity:
    usage, credits = used.usage, credits_of(read_body(used.entry))
    return Activity(
        usage.id,
        usage.service,
        usage.operation,
        write_number(credits, scale),
        write_time(usage.at),
        usage.model or UNSET,
    )


# The table


def _date_parameter(name: str, description: str) -> Parameter:
    return Parameter(
        name=name,
        place="query",
        description=f"{description} A date (`2026-01-31`) or a time (ISO 8601; UTC where it names no zone).",
        schema={"type": "string", "pattern": f"^({_DATE.pattern})?$"},
        example="2026-01-31",
    )


DATES: Final = (
    _date_parameter("startDate", "From then on."),
    _date_parameter("endDate", "Until then, that whole day or that millisecond included."),
)
USER: Final = Parameter(
    name="userId",
    place="path",
    description="A user: id, username or e-mail.",
    schema={"type": "string", "minLength": 1, "maxLength": 255, "pattern": TEXT},
    required=True,
    example="user_42",
)
_TOLD: Final[dict[str, Any]] = {
    "totalRecords": 3,
    "totalCredits": 22.5,
    "byService": {"chat": 15, "chat-streaming": 7.5},
    "byDay": {"2026-01-01": 15, "2026-01-02": 7.5},
    "byModel": {"gpt-4": 22.5},
}
_STATS: Final = {**_TOLD, "recentActivity": [{**RECORDED, "model": "gpt-4"}]}
_EXACT: Final = "Exact at any moment, days are those of UTC; without dates, all there is."

ENDPOINTS: Final = (
    call(
        "getOwnUsageStats",
        _WRONG,
        method="GET",
        path="/api/usage/stats",
        summary="What the caller has used",
        description=_EXACT,
        request=None,
        answer=Stats,
        example={},
        answered=_STATS,
        parameters=DATES,
        act=own_stats,
    ),
    call(
        "getUsageStatsOf",
        _WRONG,
        "user_unknown",
        method="GET",
        path="/api/usage/stats/{userId}",
        summary="What a user has used",
        description=_EXACT,
        request=None,
        answer=Stats,
        example={},
        answered=_STATS,
        parameters=(USER, *DATES),
        act=stats_of,
    ),
    call(
        "getSystemUsageStats",
        _WRONG,
        method="GET",
        path="/api/usage/system-stats",
        summary="What all users have used",
        description=_EXACT,
        request=None,
        answer=SystemStats,
        example={},
        answered={**_TOLD, "byUser": {"user_42": 15, "user_43": 7.5}},
        parameters=DATES,
        act=system_stats,
    ),
)
