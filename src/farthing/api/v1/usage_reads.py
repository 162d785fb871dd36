"""Usage, read: what was used, row by row, and summed up."""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from farthing.core import figures
from farthing.core.history import row_facts
from farthing.stores.usage_history import Sought, Used
from farthing.stores.usage_reports import Part, Point, Stats
from farthing.stores.usage_sums import ReportError
from farthing.stores.usage_tops import used_only
from farthing.timezones import write_period

from ..endpoint import Endpoint, Request
from .account_settings import ACCOUNT
from .charges import ENTRY_ID
from .desk import Desk
from .parameters import parameter
from .periods import (
    ACCOUNT_ONLY,
    CONFINED,
    FROM_TO,
    OFFSET,
    PERIOD,
    SOUGHT,
    WORDS,
    no_report,
    read_bounds,
    read_filters,
    read_offset,
    read_sought,
)
from .reading import PAGING, Listed, Params, listed_example, named, not_found
from .wire import Credits, OwnObject, Time, write_time

NEWEST: Final = "newest"
_ORDERS: Final = (NEWEST, "oldest")
_FILTERS: Final = ("chat", *WORDS, "unpriced")
_COST: Final = Meta(description="What the provider asks, where that is known.")


class UsageRow(Struct, kw_only=True):
    """A usage."""

    id: Annotated[str, Meta(description="Of its charge.")]
    account: str
    at: Annotated[Time, Meta(description="When it was used.")]
    booked_at: Annotated[Time, Meta(description="When it was charged.")]
    provider: str | None
    model: Annotated[str | None, Meta(description="What the model's id was taken for.")]
    model_sent: Annotated[str | None, Meta(description="The model's id as it was sent.")]
    service: str | None
    operation: str | None
    chat: str | None
    dimensions: Annotated[dict[str, str], Meta(description="Quantities, as they were sent.")]
    input_tokens: int
    output_tokens: int
    tokens: int
    amount: Annotated[Credits, Meta(description="What was charged; refunds since are not taken off.")]
    cost: Annotated[Credits | None, _COST]
    margin: Annotated[Credits | None, Meta(description="What is left of the amount after the cost.")]
    unpriced: Annotated[bool, Meta(description="Nobody knew a price: recorded, and nothing charged.")]
    card: Annotated[str | None, Meta(description="The version of the card; null: the amount was given.")]
    key: str | None
    description: str | None
    metadata: OwnObject


class UsedFigures(Struct, kw_only=True):
    """Sums of usage, by the time of use."""

    requests: int
    input_tokens: int
    output_tokens: int
    tokens: int
    unpriced: Annotated[int, Meta(description="Requests that nobody knew a price for.")]
    uncosted: Annotated[int, Meta(description="Requests whose cost nobody knows; it counts as nothing.")]
    charged: Credits
    cost: Annotated[Credits, Meta(description="What providers ask, as far as that is known.")]
    margin: Annotated[Credits, Meta(description="What is left of what was charged, after the cost.")]
    margin_percent: Annotated[str | None, Meta(description="Of what was charged; null where that is nothing.")]


class ModelUsed(UsedFigures, kw_only=True):
    """Those of a model; both names are null for usage without a model."""

    provider: str | None
    model: str | None


class ServiceUsed(UsedFigures, kw_only=True):
    """Those of a service."""

    service: str | None


class OperationUsed(UsedFigures, kw_only=True):
    """Those of an operation."""

    operation: str | None


class DayUsed(UsedFigures, kw_only=True):
    """Those of a day of the time zone."""

    day: Annotated[str, Meta(extra_json_schema={"format": "date"})]


class UsageStats(UsedFigures, kw_only=True):
    """Usage in all, and by what it was for."""

    average: Annotated[Credits, Meta(description="Charged for a request on average; 0 without requests.")]
    timezone: str
    models: list[ModelUsed]
    services: list[ServiceUsed]
    operations: list[OperationUsed]
    days: Annotated[list[DayUsed], Meta(description="Oldest first; days without usage are left out.")]


# Rows


def write_row(found: Used, scale: int) -> UsageRow:
    """A usage on the wire."""
    return UsageRow(**row_facts(found.usage, found.entry, scale, write_time))


async def list_usage(request: Request, desk: Desk) -> Listed[UsageRow]:
    """A page of the usage of all accounts."""
    params = Params(request, *PERIOD, "account", *_FILTERS, "order", "offset", "limit", "cursor")
    return await _listed(request, desk, params, read_sought(params), "usage")


async def list_usage_of_account(request: Request, desk: Desk) -> Listed[UsageRow]:
    """A page of an account's usage."""
    params = Params(request, *PERIOD, *_FILTERS, "order", "offset", "limit", "cursor")
    account = named(request, "account", "account")
    return await _listed(request, desk, params, read_sought(params, account), "account_usage", account=account)


async def _listed(
    request: Request, desk: Desk, params: Params, sought: Sought, listing: str, **where: str
) -> Listed[UsageRow]:
    oldest_first = params.choice("order", _ORDERS, NEWEST) != NEWEST
    skip = read_offset(params)
    turn = await params.turn(desk, listing, **where)
    if where and await desk.reports.account(turn.workspace, where["account"], desk.now_us()) is None:
        raise not_found("account")
    page = await desk.history.page(
        turn.workspace, sought, oldest_first=oldest_first, after=turn.after, skip=skip, limit=turn.limit
    )
    scale = request.caller.workspace.scale
    return await turn.told([write_row(found, scale) for found in page.items], page.next)


# Sums


def write_stats(found: Stats, timezone: str, scale: int) -> UsageStats:
    """Usage in all, on the wire."""

    def of(part: Part | Point) -> dict[str, Any]:
        return figures.used(part.sums, scale)

    return UsageStats(
        average=figures.average(found.totals, scale),
        timezone=timezone,
        models=[
            ModelUsed(provider=p.provider or None, model=p.model or None, **of(p)) for p in used_only(found.models)
        ],
        services=[ServiceUsed(service=p.service or None, **of(p)) for p in used_only(found.services)],
        operations=[OperationUsed(operation=p.operation or None, **of(p)) for p in used_only(found.operations)],
        days=[DayUsed(day=write_period(p.start, "day", timezone), **of(p)) for p in used_only(found.days)],
        **figures.used(found.totals, scale),
    )


async def show_stats(request: Request, desk: Desk) -> UsageStats:
    """The usage of all accounts, summed up."""
    return await _stats(request, desk, None)


async def show_stats_of_account(request: Request, desk: Desk) -> UsageStats:
    """An account's usage, summed up."""
    account = named(request, "account", "account")
    if await desk.reports.account(request.caller.workspace.id, account, desk.now_us()) is None:
        raise not_found("account")
    return await _stats(request, desk, account)


async def _stats(request: Request, desk: Desk, account: str | None) -> UsageStats:
    params = Params(request, *PERIOD, *WORDS)
    start, end, zone = read_bounds(params)
    filters = read_filters(params, account)
    params.check()
    workspace = request.caller.workspace
    try:
        found = await desk.usage.stats(workspace.id, account, start, end, zone, filters)
    except ReportError as error:
        raise no_report(error) from error
    return write_stats(found, zone, workspace.scale)


# The table


ROW: Final[dict[str, Any]] = {
    "id": ENTRY_ID, "account": "user_42", "at": "2026-01-01T12:00:00.000000Z",
    "booked_at": "2026-01-01T12:00:00.000000Z", "provider": "openai", "model": "gpt-4o",
    "model_sent": "gpt-4o-2024-08-06", "service": None, "operation": "chat.message", "chat": "7f3a",
    "dimensions": {"input_tokens": "1500", "output_tokens": "800"}, "input_tokens": 1500, "output_tokens": 800,
    "tokens": 2300, "amount": "7.5", "cost": "0.01175", "margin": "7.48825", "unpriced": False, "card": "main@3",
    "key": "v1:chat-7f3a-0001", "description": None, "metadata": {"chat": "7f3a"},
}  # fmt: skip
USED_EXAMPLE: Final[dict[str, Any]] = {
    "requests": 2, "input_tokens": 3000, "output_tokens": 1600, "tokens": 4600, "unpriced": 0, "uncosted": 0,
    "charged": "15", "cost": "0.0235", "margin": "14.9765", "margin_percent": "99.84",
}  # fmt: skip
_STATS: Final[dict[str, Any]] = USED_EXAMPLE | {
    "average": "7.5", "timezone": "UTC",
    "models": [{"provider": "openai", "model": "gpt-4o", **USED_EXAMPLE}],
    "services": [{"service": None, **USED_EXAMPLE}],
    "operations": [{"operation": "chat.message", **USED_EXAMPLE}],
    "days": [{"day": "2026-01-01", **USED_EXAMPLE}],
}  # fmt: skip
_ORDER: Final = parameter("order", "Which comes first.", enum=list(_ORDERS), default=NEWEST)
_STABLE: Final = (
    "By the time of use, newest first, or oldest first; where that is the same, by the charge's id. Charges without "
    "usage are not among it: see the account's charges."
)
_EVER: Final = "Of all time, unless `from` or `to` says otherwise. Exact at any moment."

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/usage",
        operation_id="listUsage",
        summary="What was used",
        description=_STABLE,
        scope="read",
        request=None,
        answer=Listed[UsageRow],
        example={},
        answered=listed_example(ROW),
        codes=frozenset({"cursor_invalid"}),
        act=list_usage,
        parameters=(*FROM_TO, ACCOUNT_ONLY, *SOUGHT, _ORDER, OFFSET, *PAGING),
    ),
    Endpoint(
        method="GET",
        path="/v1/usage/stats",
        operation_id="showUsageStats",
        summary="Usage in all",
        description=f"By model, service, operation and day. {_EVER}",
        scope="read",
        request=None,
        answer=UsageStats,
        example={},
        answered=_STATS,
        codes=frozenset(),
        act=show_stats,
        parameters=(*FROM_TO, *CONFINED),
    ),
    Endpoint(
        method="GET",
        path="/v1/accounts/{account}/usage",
        operation_id="listAccountUsage",
        summary="What an account has used",
        description=_STABLE,
        scope="read",
        request=None,
        answer=Listed[UsageRow],
        example={},
        answered=listed_example(ROW),
        codes=frozenset({"account_not_found", "cursor_invalid"}),
        act=list_usage_of_account,
        parameters=(ACCOUNT, *FROM_TO, *SOUGHT, _ORDER, OFFSET, *PAGING),
    ),
    Endpoint(
        method="GET",
        path="/v1/accounts/{account}/usage/stats",
        operation_id="showAccountUsageStats",
        summary="An account's usage in all",
        description=f"By model, service, operation and day. {_EVER}",
        scope="read",
        request=None,
        answer=UsageStats,
        example={},
        answered=_STATS,
        codes=frozenset({"account_not_found"}),
        act=show_stats_of_account,
        parameters=(ACCOUNT, *FROM_TO, *CONFINED),
    ),
)
