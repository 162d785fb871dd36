"""Workspaces: `workspace create`, `list`, `show`."""

import time
from typing import Annotated, Any

import typer

from .exits import Exit, Trouble
from .opening import actor, choose_workspace, opened
from .options import Db, Json, enter
from .output import Answer, columns, pairs
from .setup import Name, Scale, Test, Unit, new_workspace, workspace_facts

PANEL = "Who may ask"


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="Tenants: each has its own accounts, unit, keys and settings.")
    example = "$ farthing workspace create shop --unit USD --name 'The shop'"
    enter(group, "create", example)(create)
    enter(group, "list", "$ farthing workspace list --json")(list_all)
    enter(group, "show", "$ farthing workspace show shop")(show)
    app.add_typer(group, name="workspace", rich_help_panel=PANEL)


def create(
    id: Annotated[str, typer.Argument(metavar="ID", help="Its id; stays for ever.")],
    name: Name = None,
    unit: Unit = "credits",
    scale: Scale = None,
    test: Test = False,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Make a workspace. Unit and scale can't be changed later. Keys are made with `farthing keys create`."""
    from farthing.stores.access import AccessError, Act

    now_us = time.time_ns() // 1000
    made = new_workspace(id, name, unit, scale, test, now_us)
    with opened(db) as ledger:
        try:
            ledger.wait(ledger.access.create_workspace(made, Act(actor(), now_us)))
        except AccessError as error:
            raise Trouble("workspace_exists", str(error), Exit.NO, workspace=id) from error
    text = f"{made.id} counts {made.unit} with {made.scale} decimals; next: farthing keys create --workspace {made.id}"
    return Answer({"workspace": workspace_facts(made)}, text)


def list_all(db: Db = None, as_json: Json = False) -> Answer:
    """All workspaces, oldest first."""
    with opened(db) as ledger:
        known = ledger.wait(ledger.reports.workspaces())
    rows = [("ID", "UNIT", "DECIMALS", "MODE", "NAME")]
    rows += [(each.id, each.unit, str(each.scale), each.mode, each.name) for each in known]
    return Answer({"data": [workspace_facts(each) for each in known]}, columns(rows))


def show(
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Default: the only one.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """One workspace with its settings."""
    import msgspec

    with opened(db) as ledger:
        found = choose_workspace(ledger, id)
    facts = workspace_facts(found)
    settings: dict[str, Any] = {name: getattr(found.settings, name) for name in found.settings.__struct_fields__}
    lines = {name: str(value) for name, value in (facts | settings).items()}
    return Answer({"workspace": facts | {"settings": msgspec.to_builtins(settings)}}, pairs(lines))
