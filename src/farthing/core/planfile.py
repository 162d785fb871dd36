"""Plans as a file has them: JSON, amounts as decimal text or whole numbers. All that is wrong is told at once."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from .amounts import AmountError, read_amount
from .plans import Plan, PlanProblem, plan_problem


class PlanFileError(ValueError):
    """A file of plans that can't be used; `problems` says where."""

    def __init__(self, problems: list[PlanProblem]) -> None:
        super().__init__("; ".join(f"{each.field} {each.message}" for each in problems))
        self.problems = problems


class _Plans(Struct, forbid_unknown_fields=True):
    plans: list[dict[str, Any]]
    about: str = ""


def read_plans(text: bytes | str, scale: int, is_zone: Callable[[str], bool]) -> list[Plan]:
    """The plans of a file: `{"plans": [...]}`, or one plan by itself."""
    try:
        found = msgspec.json.decode(text)
        listed = found if isinstance(found, dict) and "plans" in found else {"plans": [found]}
        items = msgspec.convert(listed, _Plans).plans
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PlanFileError([PlanProblem("the file", f"is no plan: {error}")]) from error
    plans, problems = [], []
    for number, item in enumerate(items):
        name = str(item.get("id", f"plan {number + 1}"))[:100]
        try:
            plans.append(_read(item, scale, is_zone))
        except PlanFileError as error:
            problems += [PlanProblem(f"{name}: {each.field}", each.message) for each in error.problems]
    ids = [plan.id for plan in plans]
    problems += [PlanProblem(id, "is there twice") for id in sorted({id for id in ids if ids.count(id) > 1})]
    if problems:
        raise PlanFileError(problems)
    return plans


def _read(item: dict[str, Any], scale: int, is_zone: Callable[[str], bool]) -> Plan:
    amounts = {name: _amount(name, item[name], scale) for name in ("allowance", "cap") if item.get(name) is not None}
    try:
        plan = msgspec.convert(item | amounts, Plan)
    except msgspec.ValidationError as error:
        raise PlanFileError([PlanProblem("it", f"is not right: {error}")]) from error
    if problem := plan_problem(plan):
        raise PlanFileError([problem])
    if not is_zone(plan.timezone):
        raise PlanFileError([PlanProblem("timezone", "must be the name of a time zone, such as Europe/Berlin")])
    return plan


def _amount(name: str, value: object, scale: int) -> int:
    if type(value) not in (str, int):
        raise PlanFileError([PlanProblem(name, 'must be decimal text, such as "2000"')])
    try:
        return read_amount(str(value), scale)
    except AmountError as error:
        raise PlanFileError([PlanProblem(name, str(error))]) from error


def write_plan(plan: Plan, write: Callable[[int], str]) -> dict[str, Any]:
    """A plan as a file has it."""
    facts: dict[str, Any] = {name: value for name, value in asdict(plan).items() if value not in (None, "")}
    return facts | {name: write(facts[name]) for name in ("allowance", "cap") if name in facts}
