"""Plans: what a subscription gives, and when; the document, and what makes it right."""

from typing import Final, Literal

from msgspec import Struct

from .amounts import MAX_AMOUNT
from .commands import text_error
from .records import Category
from .subscription import Period, PeriodUnit

Rollover = Literal["keep", "cap", "lapse"]
CatchUp = Literal["once", "each"]
Change = Literal["keep", "replace"]
FirstPeriod = Literal["full", "prorated"]

MOST_DAYS: Final = 3_660
MOST_MONTHS: Final = 120


class Plan(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What a subscription gives in each period."""

    id: str
    name: str = ""
    allowance: int
    """Credits of each period, in smallest units; 0 gives none."""
    every: int
    """So many days or months."""
    unit: PeriodUnit = "days"
    anchor_day: int | None = None
    """The day of the month on which all its periods begin, 1 to 31; None is the day of the purchase."""
    timezone: str = "UTC"
    """In which months and their days begin."""
    rollover: Rollover = "keep"
    """What becomes of what is left when a period ends: it stays, it stays up to `cap`, or it lapses."""
    cap: int | None = None
    """What may be left of earlier periods, in smallest units."""
    catch_up: CatchUp = "once"
    """After an outage: the allowance once, or once for each period that was missed."""
    change: Change = "keep"
    """What becomes of the credits of the plan before, when an account comes to this one."""
    first_period: FirstPeriod = "full"
    """What the first period gives where it is shorter than the others: all of it, or its share."""
    category: Category = "paid"
    priority: int = 50
    rank: int = 0
    """Which plan is above which."""
    paid: bool = False
    """Whether a subscription has a date until which it is paid, and ends after it."""
    grace_days: int = 3
    """How long one that a provider bills goes on without a payment after that date."""
    price: str = ""
    """What a period costs, as decimal text; for people and purchase pages."""
    currency: str = ""

    @property
    def period(self) -> Period:
        """How long its periods are."""
        return Period(self.every, self.unit, self.timezone)


class KeptPlan(Struct, frozen=True):
    """A plan with its dates."""

    plan: Plan
    created_at: int
    updated_at: int
    archived_at: int | None = None
    """Nobody can subscribe to it since; who has it goes on."""


class PlanProblem(Struct, frozen=True):
    """What is wrong with a plan."""

    field: str
    message: str


def plan_problem(plan: Plan) -> PlanProblem | None:
    """The first thing that is wrong with a plan by itself."""
    if wrong := text_error(plan.id):
        return PlanProblem("id", wrong)
    most = MOST_DAYS if plan.unit == "days" else MOST_MONTHS
    checks = (
        ("allowance", 0 <= plan.allowance < MAX_AMOUNT, "must be an amount, zero or above"),
        ("every", 1 <= plan.every <= most, f"must be from 1 to {most:,} {plan.unit}: a period has a length"),
        ("anchor_day", plan.anchor_day is None or 1 <= plan.anchor_day <= 31, "must be a day of the month, 1 to 31"),
        ("anchor_day", plan.anchor_day is None or plan.unit == "months", "is for periods of months"),
        ("cap", plan.cap is None or 0 <= plan.cap < MAX_AMOUNT, "must be an amount, zero or above"),
        ("cap", (plan.cap is not None) == (plan.rollover == "cap"), "goes with rollover 'cap', and only with it"),
        ("priority", 0 <= plan.priority <= 100, "must be from 0 to 100"),
        ("grace_days", 0 <= plan.grace_days <= 365, "must be from 0 to 365"),
    )
    return next((PlanProblem(field, message) for field, good, message in checks if not good), None)
