"""Plans: `plans list`, `show`, `put`, `import` and `archive`. What subscriptions give, and when."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble, usage
from .opening import Desk, at_desk
from .options import Db, In, Json, Yes, enter
from .output import Answer, columns, confirm, pairs
from .reading import write_time

if TYPE_CHECKING:
    from farthing.core.plans import KeptPlan, Plan
    from farthing.stores.plans import Plans

PANEL = "Plans and subscriptions"
PlanId = Annotated[str, typer.Argument(metavar="PLAN", help="The plan's id: your own name for it.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help='JSON: {"plans": [...]}, or one plan.')]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="What subscriptions give, and when.")
    enter(group, "list", "$ farthing plans list", "$ farthing plans list --archived --json")(list_all)
    enter(group, "show", "$ farthing plans show professional", "$ farthing plans show professional --json")(show)
    enter(
        group,
        "put",
        "$ farthing plans put professional 2000 --every 30",
        "$ farthing plans put team 500 --every 1 --unit months --anchor-day 1 --timezone Europe/Berlin",
    )(put)
    enter(group, "import", "$ farthing plans import examples/plans/token_bot.json")(import_file)
    enter(group, "archive", "$ farthing plans archive professional --yes")(archive)
    app.add_typer(group, name="plans", rich_help_panel=PANEL)


def plans_of(desk: Desk) -> "Plans":
    """The plans of the ledger."""
    from farthing.stores.plans import Plans

    return Plans(desk.ledger.database)


def plan_facts(kept: "KeptPlan", desk: Desk) -> dict[str, Any]:
    """A plan as programs read it."""
    from farthing.core.planfile import write_plan

    dates = {name: write_time(getattr(kept, name)) for name in ("created_at", "updated_at", "archived_at")}
    return write_plan(kept.plan, desk.write) | dates


def list_all(
    archived: Annotated[bool, typer.Option("--archived", help="With those that are archived.")] = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """The plans of a workspace, by rank."""
    with at_desk(db, workspace) as desk:
        found = desk.ledger.wait(plans_of(desk).of(desk.workspace.id))
        facts = [plan_facts(kept, desk) for kept in found if archived or kept.archived_at is None]
    rows = [("PLAN", "NAME", "ALLOWANCE", "EVERY", "ROLLOVER")]
    rows += [(f["id"], f.get("name", "-"), f["allowance"], f"{f['every']} {f['unit']}", f["rollover"]) for f in facts]
    return Answer({"workspace": desk.workspace.id, "data": facts}, columns(rows, right=(2,)))


def show(id: PlanId, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """One plan."""
    with at_desk(db, workspace) as desk:
        kept = desk.ledger.wait(plans_of(desk).get(desk.workspace.id, id))
        if kept is None:
            raise no_plan(id)
        facts = plan_facts(kept, desk)
    return Answer(facts, pairs({name: str(value) for name, value in facts.items() if value is not None}))


def no_plan(id: str) -> Trouble:
    """There is none of that name."""
    return Trouble("plan_not_found", f"there is no plan {id!r}; `farthing plans list` shows them", Exit.NO, plan=id)


def put(
    id: PlanId,
    allowance: Annotated[str, typer.Argument(metavar="AMOUNT", help="What each period gives: decimal text.")],
    every: Annotated[int, typer.Option("--every", metavar="N", min=1, help="A period has so many days or months.")],
    unit: Annotated[str, typer.Option("--unit", metavar="UNIT", help="days or months.")] = "days",
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="What people call it.")] = "",
    anchor_day: Annotated[
        int | None, typer.Option("--anchor-day", metavar="1..31", help="With months: the day on which periods begin.")
    ] = None,
    timezone: Annotated[str, typer.Option("--timezone", metavar="ZONE", help="In which months begin.")] = "UTC",
    rollover: Annotated[
        str, typer.Option("--rollover", metavar="RULE", help="What is left at a period's end: keep, cap or lapse.")
    ] = "keep",
    cap: Annotated[str | None, typer.Option("--cap", metavar="AMOUNT", help="With rollover cap: what stays.")] = None,
    catch_up: Annotated[
        str, typer.Option("--catch-up", metavar="RULE", help="Periods missed in an outage: once, or each.")
    ] = "once",
    change: Annotated[
        str, typer.Option("--change", metavar="RULE", help="The rest of the plan before this one: keep or replace.")
    ] = "keep",
    first_period: Annotated[
        str, typer.Option("--first-period", metavar="RULE", help="What a shorter first period gives: full or prorated.")
    ] = "full",
    rank: Annotated[int, typer.Option("--rank", metavar="N", help="Which plan is above which.")] = 0,
    paid: Annotated[bool, typer.Option("--paid", help="It is paid until a date, and ends after it.")] = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Make a plan, or change it as a whole. Who has it gets what it says from his next renewal on, at his own dates."""
    import json

    given = {
        "id": id, "name": name, "allowance": allowance, "every": every, "unit": unit, "anchor_day": anchor_day,
        "timezone": timezone, "rollover": rollover, "cap": cap, "catch_up": catch_up, "change": change,
        "first_period": first_period, "rank": rank, "paid": paid,
    }  # fmt: skip
    with at_desk(db, workspace) as desk:
        (plan,) = _read(json.dumps(given), desk, f"the plan {id}")
        facts = _put(plan, desk)
    return Answer(facts, f"plan {id}: {facts['allowance']} every {every} {unit}")


def import_file(file: File, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Make or change the plans of a file: all of them, or none where one is not right."""
    try:
        text = file.read_bytes()
    except OSError as error:
        raise usage(f"the plans can't be read: {error.strerror}: {file}") from error
    with at_desk(db, workspace) as desk:
        facts = [_put(plan, desk) for plan in _read(text, desk, f"the file {file}")]
    text_told = "\n".join(f"plan {f['id']}: {f['allowance']} every {f['every']} {f['unit']}" for f in facts)
    return Answer({"workspace": desk.workspace.id, "data": facts}, text_told)


def _read(text: bytes | str, desk: Desk, what: str) -> "list[Plan]":
    from farthing.core.planfile import PlanFileError, read_plans
    from farthing.timezones import is_zone

    try:
        return read_plans(text, desk.workspace.scale, is_zone)
    except PlanFileError as error:
        problems = [{"field": each.field, "message": each.message} for each in error.problems]
        raise Trouble("invalid_plan", f"{what} is not right: {error}", Exit.USAGE, problems=problems) from error


def _put(plan: "Plan", desk: Desk) -> dict[str, Any]:
    from farthing.stores.access import AccessError

    try:
        return plan_facts(desk.ledger.wait(plans_of(desk).put(desk.workspace.id, plan, desk.act())), desk)
    except AccessError as error:
        raise Trouble(error.code, str(error), Exit.NO) from error


def archive(id: PlanId, yes: Yes = False, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Take a plan off sale: nobody can subscribe to it any more; who has it goes on."""
    with at_desk(db, workspace) as desk:
        plans = plans_of(desk)
        if desk.ledger.wait(plans.get(desk.workspace.id, id)) is None:
            raise no_plan(id)
        confirm(f"Let nobody subscribe to {id} from now on?", yes)
        facts = plan_facts(desk.ledger.wait(plans.archive(desk.workspace.id, id, desk.act())), desk)
    return Answer(facts, f"nobody can subscribe to {id} any more")
