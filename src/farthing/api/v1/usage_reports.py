"""Reports: revenue over time, by model, by account; and spending over time by whatever it was for.

Revenue, refunds and costs stand where they were booked, requests and tokens where they were used. A refund is negative
revenue on its own day, under the model of its charge.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, get_args

from msgspec import UNSET, Meta, Struct, UnsetType, field

from farthing.core import figures
from farthing.core.rollup import Sums
from farthing.stores.usage_reports import By, Part, Point, Step
from farthing.stores.usage_sums import ReportError
from farthing.stores.usage_tops import tops_of
from farthing.timezones import write_period

from ..endpoint import Endpoint, Request
from .desk import Desk
from .parameters import parameter
from .periods import (
    ACCOUNT_ONLY,
    CONFINED,
    FROM_TO,
    PERIOD,
    USUALLY,
    WORDS,
    Period,
    no_report,
    read_filters,
    read_period,
    read_whole,
)
from .reading import Params
from .wire import Credits, Time, write_time

STEPS: Final[tuple[Step, ...]] = ("day", "hour", "month")
BYS: Final[tuple[By, ...]] = get_args(By)
TOP: Final = 10
MAX_TOP: Final = 1_000
MAX_PARTS: Final = 100


class Booked(Struct, kw_only=True):
    """What came in, and what it cost."""

    revenue: Annotated[Credits, Meta(description="What was charged less what was refunded.")]
    refunded: Credits
    cost: Annotated[Credits, Meta(description="What providers ask, as far as that is known.")]
    margin: Annotated[Credits, Meta(description="What is left of the revenue after the cost.")]
    margin_percent: Annotated[str | None, Meta(description="Of the revenue; null where that is not above zero.")]
    charges: int
    requests: int
    input_tokens: int
    output_tokens: int
    tokens: int
    unpriced: Annotated[int, Meta(description="Requests that nobody knew a price for.")]
    uncosted: Annotated[int, Meta(description="Requests whose cost nobody knows; it counts as nothing.")]


class BookedAt(Booked, kw_only=True):
    """That of an hour, a day or a month."""

    period: Annotated[
        str, Meta(description="As the zone's calendar has it: `2026-11`, `2026-11-01`, `2026-11-01T13:00+01:00`.")
    ]
    start: Time
    end: Time


class BookedByModel(Booked, kw_only=True):
    """That of a model; both names are null for what came without a model."""

    provider: str | None
    model: str | None


class BookedByAccount(Booked, kw_only=True):
    """That of an account."""

    account: str


class BookedBy(Booked, kw_only=True):
    """That of one service, operation, provider, model or account; what has no such name has null."""

    account: str | UnsetType = UNSET
    service: str | UnsetType | None = UNSET
    operation: str | UnsetType | None = UNSET
    provider: str | UnsetType | None = UNSET
    model: str | UnsetType | None = UNSET


class BookedAtBy(BookedAt, kw_only=True):
    """That of an hour, a day or a month, by what it was for."""

    parts: Annotated[list[BookedBy], Meta(description="Those with something in it, in the order of `totals`.")]
    others: Annotated[Booked, Meta(description="All that are not among `totals`.")]


class Report(Struct, kw_only=True):
    """What every report says."""

    from_: Annotated[Time, Meta(description="Included.")] = field(name="from")
    to: Annotated[Time, Meta(description="Not included.")]
    timezone: str
    unit: str
    total: Booked


class RevenueReport(Report, kw_only=True):
    """Revenue over time."""

    step: str
    data: Annotated[list[BookedAt], Meta(description="Oldest first, none left out.")]


class ModelReport(Report, kw_only=True):
    """Revenue by model."""

    data: Annotated[list[BookedByModel], Meta(description="Most revenue first.")]


class AccountReport(Report, kw_only=True):
    """Revenue by account."""

    data: Annotated[list[BookedByAccount], Meta(description="Most revenue first.")]


class SpendReport(Report, kw_only=True):
    """Spending over time by what it was for."""

    by: str
    step: str
    totals: Annotated[list[BookedBy], Meta(description="Of the whole time, most revenue first.")]
    data: Annotated[list[BookedAtBy], Meta(description="Oldest first, none left out.")]


# Reading


class _Asked(Struct):
    """What every report is asked."""

    workspace: str
    scale: int
    unit: str
    period: Period

    def head(self, total: Sums) -> dict[str, Any]:
        """What every report says first."""
        return {
            "from_": write_time(self.period.start),
            "to": write_time(self.period.end),
            "timezone": self.period.timezone,
            "unit": self.unit,
            "total": Booked(**figures.booked(total, self.scale)),
        }


def _asked(request: Request, params: Params, desk: Desk) -> _Asked:
    workspace = request.caller.workspace
    return _Asked(workspace.id, workspace.scale, workspace.unit, read_period(params, desk.now_us()))


async def revenue(request: Request, desk: Desk) -> RevenueReport:
    """Revenue over time."""
    params = Params(request, *PERIOD, "step", "account", *WORDS)
    asked, step = _asked(request, params, desk), params.choice("step", STEPS, "day")
    filters = read_filters(params, params.text("account"))
    params.check()
    period = asked.period
    try:
        found = await desk.usage.revenue(asked.workspace, period.start, period.end, step, period.timezone, filters)
    except ReportError as error:
        raise no_report(error) from error
    data = [BookedAt(**_at(point, step, asked), **figures.booked(point.sums, asked.scale)) for point in found]
    return RevenueReport(step=step, data=data, **asked.head(figures.total_of(point.sums for point in found)))


async def models(request: Request, desk: Desk) -> ModelReport:
    """Revenue by model."""
    params = Params(request, *PERIOD, "account", *WORDS)
    asked, filters = _asked(request, params, desk), read_filters(params, params.text("account"))
    params.check()
    try:
        found = await desk.usage.models(asked.workspace, asked.period.start, asked.period.end, filters)
    except ReportError as error:
        raise no_report(error) from error
    data = [
        BookedByModel(provider=p.provider or None, model=p.model or None, **figures.booked(p.sums, asked.scale))
        for p in found
    ]
    return ModelReport(data=data, **asked.head(figures.total_of(part.sums for part in found)))


async def accounts(request: Request, desk: Desk) -> AccountReport:
    """Those who have spent most."""
    params = Params(request, *PERIOD, *WORDS, "limit")
    asked, filters = _asked(request, params, desk), read_filters(params)
    limit = read_whole(params, "limit", 1, MAX_TOP, TOP)
    params.check()
    span = (asked.workspace, asked.period.start, asked.period.end)
    try:
        found = await desk.usage.top_accounts(*span, limit, filters)
        # Not of one moment with the list, but exact itself: of all accounts, not of those that are listed.
        total = figures.total_of(part.sums for part in await desk.usage.models(*span, filters))
    except ReportError as error:
        raise no_report(error) from error
    data = [BookedByAccount(account=p.account, **figures.booked(p.sums, asked.scale)) for p in found]
    return AccountReport(data=data, **asked.head(total))


async def spend(request: Request, desk: Desk) -> SpendReport:
    """Spending over time by what it was for."""
    params = Params(request, *PERIOD, "by", "step", "limit", "account", *WORDS)
    asked = _asked(request, params, desk)
    by, step = params.choice("by", BYS, "model"), params.choice("step", STEPS, "day")
    limit = read_whole(params, "limit", 1, MAX_PARTS, TOP)
    filters = read_filters(params, params.text("account"))
    params.check()
    period = asked.period
    try:
        found = await desk.usage.spend(asked.workspace, period.start, period.end, by, step, period.timezone, filters)
    except ReportError as error:
        raise no_report(error) from error
    write = _writer(by, asked.scale)
    tops, shares = tops_of(found, limit)
    data = [
        BookedAtBy(
            parts=[write(part) for part in share.parts],
            others=Booked(**figures.booked(share.others, asked.scale)),
            **_at(share.point, step, asked),
            **figures.booked(share.point.sums, asked.scale),
        )
        for share in shares
    ]
    head = asked.head(figures.total_of(point.sums for point in found))
    return SpendReport(by=by, step=step, totals=[write(part) for part in tops], data=data, **head)


# Writing


def _writer(by: By, scale: int) -> Callable[[Part], BookedBy]:
    """Writes parts by the names that they have."""
    names = ("provider", "model") if by == "model" else (by,)

    def write(part: Part) -> BookedBy:
        named: dict[str, Any] = {name: getattr(part, name) or None for name in names}
        return BookedBy(**named, **figures.booked(part.sums, scale))

    return write


def _at(point: Point, step: Step, asked: _Asked) -> dict[str, Any]:
    period = write_period(point.start, step, asked.period.timezone)
    return {"period": period, "start": write_time(point.start), "end": write_time(point.end)}


# The table


BOOKED: Final[dict[str, Any]] = {
    "revenue": "15", "refunded": "2.5", "cost": "0.0235", "margin": "14.9765", "margin_percent": "99.84", "charges": 2,
    "requests": 2, "input_tokens": 3000, "output_tokens": 1600, "tokens": 4600, "unpriced": 0, "uncosted": 0,
}  # fmt: skip
_NOTHING: Final[dict[str, Any]] = figures.booked(Sums(), 0)
_AT: Final = {"period": "2026-11-01", "start": "2026-10-31T23:00:00.000000Z", "end": "2026-11-01T23:00:00.000000Z"}
_HEAD: Final[dict[str, Any]] = {
    "from": _AT["start"], "to": _AT["end"], "timezone": "Europe/Berlin", "unit": "credits", "total": BOOKED,
}  # fmt: skip
_OF_MODEL: Final = {"provider": "openai", "model": "gpt-4o", **BOOKED}
_STEP: Final = parameter("step", "How long each is.", enum=list(STEPS), default="day")


def _most(description: str, most: int) -> Any:
    return parameter("limit", description, type="integer", minimum=1, maximum=most, default=TOP)


def _endpoint(
    path: str, id: str, summary: str, description: str, answer: type[Struct], act: Any, **more: Any
) -> Endpoint:
    return Endpoint(
        method="GET",
        path=f"/v1/reports/{path}",
        operation_id=id,
        summary=summary,
        description=f"{description} {USUALLY} Exact at any moment.",
        scope="read",
        request=None,
        answer=answer,
        example={},
        codes=frozenset(),
        act=act,
        **more,
    )


def _parameters(*own: Any) -> tuple[Any, ...]:
    return (*FROM_TO, *own, *CONFINED)


ENDPOINTS: Final = (
    _endpoint(
        "revenue",
        "reportRevenue",
        "Revenue over time",
        "By day, hour or month of a time zone; those without any are there as well.",
        RevenueReport,
        revenue,
        answered={**_HEAD, "step": "day", "data": [{**_AT, **BOOKED}]},
        parameters=_parameters(_STEP, ACCOUNT_ONLY),
    ),
    _endpoint(
        "models",
        "reportModels",
        "Revenue by model",
        "Each model by its provider and name, with its requests and tokens.",
        ModelReport,
        models,
        answered={**_HEAD, "data": [_OF_MODEL]},
        parameters=_parameters(ACCOUNT_ONLY),
    ),
    _endpoint(
        "accounts",
        "reportAccounts",
        "The accounts with the most revenue",
        "The total is that of all accounts.",
        AccountReport,
        accounts,
        answered={**_HEAD, "data": [{"account": "user_42", **BOOKED}]},
        parameters=_parameters(_most("How many accounts.", MAX_TOP)),
    ),
    _endpoint(
        "spend",
        "reportSpend",
        "Spending over time by what it was for",
        "By service, operation, model, provider or account: those with the most revenue in all, the rest together.",
        SpendReport,
        spend,
        answered={
            **_HEAD,
            "by": "model",
            "step": "day",
            "totals": [_OF_MODEL],
            "data": [{**_AT, **BOOKED, "parts": [_OF_MODEL], "others": _NOTHING}],
        },
        parameters=_parameters(
            parameter("by", "By what.", enum=list(BYS), default="model"),
            _STEP,
            _most("How many of them; the rest stand together.", MAX_PARTS),
            ACCOUNT_ONLY,
        ),
    ),
)
