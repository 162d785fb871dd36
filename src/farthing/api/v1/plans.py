"""Plans: what subscriptions give, and when."""

from typing import Annotated, Any, Final, get_args

from msgspec import UNSET, Meta
from msgspec.structs import asdict

from farthing.core.amounts import write_amount
from farthing.core.plans import MOST_DAYS, CatchUp, Change, FirstPeriod, KeptPlan, Plan, Rollover, plan_problem
from farthing.core.records import Category
from farthing.core.subscription import PeriodUnit
from farthing.stores.access import AccessError
from farthing.timezones import is_zone

from ..endpoint import Endpoint, Parameter, Reply, Request
from .account_settings import TimeZone
from .administration import Answered, Asked, act_of, answer, once, told
from .desk import Desk
from .fields import Fields, Form
from .grants import CATEGORIES, DEFAULT_PRIORITY, Priority, Sort
from .parameters import in_path, parameter
from .reading import Listed, Params, listed_example, named, not_found
from .wire import AmountOrZero, Credits, Time, text_of, write_time

MAX_RANK: Final = 1_000_000
MAX_GRACE_DAYS: Final = 365
_UNITS: Final[tuple[PeriodUnit, ...]] = get_args(PeriodUnit)
_ROLLOVERS: Final[tuple[Rollover, ...]] = get_args(Rollover)
_CATCH_UPS: Final[tuple[CatchUp, ...]] = get_args(CatchUp)
_CHANGES: Final[tuple[Change, ...]] = get_args(Change)
_FIRSTS: Final[tuple[FirstPeriod, ...]] = get_args(FirstPeriod)
Words = Annotated[str, text_of("For people.")]
Every = Annotated[int, Meta(ge=1, le=MOST_DAYS, description="A period has so many days or months.")]
Day = Annotated[
    int,
    Meta(ge=1, le=31, description="With months: the day of the month on which all periods begin; its last one else."),
]
Rank = Annotated[int, Meta(ge=0, le=MAX_RANK, description="Which plan is above which.")]
Grace = Annotated[int, Meta(ge=0, le=MAX_GRACE_DAYS, description="How long one that a provider bills goes on unpaid.")]
RolloverRule = Annotated[
    Rollover, Meta(description="What is left when a period ends: stays, stays up to `cap`, or lapses.")
]
CatchUpRule = Annotated[
    CatchUp, Meta(description="After an outage: the allowance once, or once for each period that was missed.")
]
ChangeRule = Annotated[
    Change,
    Meta(description="When an account comes to this plan, what is left of the one before stays, or is written off."),
]
FirstRule = Annotated[
    FirstPeriod, Meta(description="What a first period gives that an `anchor_day` makes shorter: all, or its share.")
]
Paid = Annotated[bool, Meta(description="A subscription has a date until which it is paid, and ends after it.")]


class PlanRequest(Asked, kw_only=True):
    """A plan as it is to be."""

    name: Words | None = None
    allowance: Annotated[AmountOrZero, Meta(description="What each period gives.")]
    every: Every
    unit: PeriodUnit | None = "days"
    anchor_day: Day | None = None
    timezone: TimeZone | None = "UTC"
    rollover: RolloverRule | None = "keep"
    cap: Annotated[
        AmountOrZero | None, Meta(description="With rollover `cap`: what may be left of earlier periods.")
    ] = None
    catch_up: CatchUpRule | None = "once"
    change: ChangeRule | None = "keep"
    first_period: FirstRule | None = "full"
    category: Sort | None = "paid"
    priority: Priority | None = DEFAULT_PRIORITY
    rank: Rank | None = 0
    paid: Paid | None = False
    grace_days: Grace | None = 3
    price: Words | None = None
    currency: Words | None = None


class ArchivePlanRequest(Asked):
    """A plan that nobody is to subscribe to any more."""


class PlanView(Answered, kw_only=True):
    """A plan."""

    id: str
    name: str | None
    allowance: Credits
    every: int
    unit: PeriodUnit
    anchor_day: int | None
    timezone: str
    rollover: Rollover
    cap: Credits | None
    catch_up: CatchUp
    change: Change
    first_period: FirstPeriod
    category: Category
    priority: int
    rank: int
    paid: bool
    grace_days: int
    price: str | None
    currency: str | None
    created_at: Time
    updated_at: Time
    archived_at: Time | None


def write_plan(kept: KeptPlan, scale: int) -> PlanView:
    """A plan on the wire."""
    plan = kept.plan
    texts = {name: getattr(plan, name) or None for name in ("name", "price", "currency")}
    return PlanView(
        **asdict(plan)
        | texts
        | {"allowance": write_amount(plan.allowance, scale)}
        | {"cap": None if plan.cap is None else write_amount(plan.cap, scale)},
        created_at=write_time(kept.created_at),
        updated_at=write_time(kept.updated_at),
        archived_at=None if kept.archived_at is None else write_time(kept.archived_at),
    )


async def list_plans(request: Request, desk: Desk) -> Listed[PlanView]:
    """All plans of the workspace: there are never very many."""
    params = Params(request, "archived")
    archived = params.flag("archived")
    params.check()
    workspace = request.caller.workspace
    found = await desk.plans.of(workspace.id)
    shown = [kept for kept in found if archived or kept.archived_at is None]
    return Listed([write_plan(kept, workspace.scale) for kept in shown], False, None)


async def show_plan(request: Request, desk: Desk) -> PlanView:
    """One plan."""
    Params(request).check()
    workspace = request.caller.workspace
    kept = await desk.plans.get(workspace.id, named(request, "id", "plan"))
    if kept is None:
        raise not_found("plan")
    return write_plan(kept, workspace.scale)


_put, _archive = Form(PlanRequest), Form(ArchivePlanRequest)


async def put_plan(request: Request, desk: Desk) -> Reply:
    """Make or change a plan."""
    fields, id = _put.read(request), named(request, "id", "plan")
    plan = read_plan(fields, id)
    under = once(fields, **asdict(plan))
    try:
        kept = await desk.plans.put(request.caller.workspace.id, plan, act_of(request, desk), under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, write_plan(kept, request.caller.workspace.scale))


def read_plan(fields: Fields, id: str) -> Plan:
    """A plan out of its fields; what is wrong with it is noted there."""
    every = fields.whole("every", 1, MOST_DAYS, 0)
    if fields.values.every in (UNSET, None):
        fields.refuse("every", "is missing: a period has a length, in days or months")
    day = fields.whole("anchor_day", 1, 31, 0)
    zone = fields.text_if("timezone") or "UTC"
    if not is_zone(zone):
        fields.refuse("timezone", "must be the name of a time zone, such as Europe/Berlin")
    plan = Plan(
        id=id,
        name=fields.text_if("name"),
        allowance=fields.amount("allowance", zero=True),
        every=every or 1,
        unit=fields.choice("unit", _UNITS, "days"),
        anchor_day=day or None,
        timezone=zone,
        rollover=fields.choice("rollover", _ROLLOVERS, "keep"),
        cap=fields.amount_if("cap", zero=True),
        catch_up=fields.choice("catch_up", _CATCH_UPS, "once"),
        change=fields.choice("change", _CHANGES, "keep"),
        first_period=fields.choice("first_period", _FIRSTS, "full"),
        category=fields.choice("category", CATEGORIES, "paid"),
        priority=fields.whole("priority", 0, 100, DEFAULT_PRIORITY),
        rank=fields.whole("rank", 0, MAX_RANK, 0),
        paid=fields.flag("paid"),
        grace_days=fields.whole("grace_days", 0, MAX_GRACE_DAYS, 3),
        price=fields.text_if("price"),
        currency=fields.text_if("currency"),
    )
    if not fields.wrong and (problem := plan_problem(plan)):
        fields.refuse(problem.field, problem.message)
    return plan


async def archive_plan(request: Request, desk: Desk) -> Reply:
    """Take a plan off sale."""
    fields, id = _archive.read(request), named(request, "id", "plan")
    under, act = once(fields, plan=id), act_of(request, desk)
    try:
        kept = await desk.plans.archive(request.caller.workspace.id, id, act, under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, write_plan(kept, request.caller.workspace.scale))


_EXAMPLE: Final[dict[str, Any]] = {
    "id": "professional", "name": "Professional", "allowance": "2000", "every": 30, "unit": "days", "anchor_day": None,
    "timezone": "UTC", "rollover": "keep", "cap": None, "catch_up": "once", "change": "keep", "first_period": "full",
    "category": "paid", "priority": 50, "rank": 1, "paid": True, "grace_days": 3, "price": "1990", "currency": "RUB",
    "created_at": "2026-01-01T12:00:00.000000Z", "updated_at": "2026-01-01T12:00:00.000000Z", "archived_at": None,
}  # fmt: skip
PLAN: Final[Parameter] = in_path("id", "The plan's id: your own name for it.", "professional")

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/plans",
        operation_id="listPlans",
        summary="The plans of the workspace",
        description="All of them, by rank.",
        scope="read",
        request=None,
        answer=Listed[PlanView],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset(),
        act=list_plans,
        parameters=(parameter("archived", "With those that are archived.", enum=["true", "false"], example="true"),),
    ),
    Endpoint(
        method="GET",
        path="/v1/plans/{id}",
        operation_id="showPlan",
        summary="One plan",
        description="By its id.",
        scope="read",
        request=None,
        answer=PlanView,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"plan_not_found"}),
        act=show_plan,
        parameters=(PLAN,),
    ),
    Endpoint(
        method="PUT",
        path="/v1/plans/{id}",
        operation_id="putPlan",
        summary="Make a plan, or change it",
        description="As a whole: what is left out is as it is by default. Who has the plan gets what it says from his "
        "next renewal on; the dates of his periods stay. A plan that was archived can be had again.",
        scope="admin",
        request=PlanRequest,
        answer=PlanView,
        example={"name": "Professional", "allowance": "2000", "every": 30, "rank": 1, "paid": True},
        answered=_EXAMPLE,
        codes=frozenset({"plan_not_found"}),
        act=put_plan,
        keyed=True,
        parameters=(PLAN,),
    ),
    Endpoint(
        path="/v1/plans/{id}/archive",
        operation_id="archivePlan",
        summary="Take a plan off sale",
        description="Nobody can subscribe to it from now on. Who has it keeps it, and is renewed.",
        scope="admin",
        request=ArchivePlanRequest,
        answer=PlanView,
        example={},
        answered={**_EXAMPLE, "archived_at": "2026-06-01T12:00:00.000000Z"},
        codes=frozenset({"plan_not_found"}),
        act=archive_plan,
        keyed=True,
        parameters=(PLAN,),
    ),
)
