"""Setting up: `init` makes a ledger, `migrate` brings its schema up to date."""

import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .exits import Exit, Trouble
from .opening import actor, database_url, existing, named
from .options import Db, Json, enter
from .output import Answer, many, pairs, say
from .reading import read_label, read_scale, read_workspace_id, write_time

if TYPE_CHECKING:
    from farthing.backends import Backend
    from farthing.core.records import Workspace
    from farthing.identity.keys import NewKey

PANEL = "Set up"

Name = Annotated[str | None, typer.Option("--name", metavar="TEXT", help="Its name for people. Default: its id.")]
Unit = Annotated[
    str, typer.Option("--unit", metavar="WORD", help="What it counts, such as credits, tokens or USD; stays for ever.")
]
Scale = Annotated[
    int | None,
    typer.Option(
        "--scale", metavar="N", help="Decimals of an amount; stays for ever. Default: 6, and 9 for money (such as USD)."
    ),
]
Test = Annotated[bool, typer.Option("--test", help="A workspace for tests: its keys begin with cs_test_.")]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    enter(
        app, "init", "$ farthing init", "$ farthing init --unit USD --db sqlite:////srv/ledger.db --json", panel=PANEL
    )(init)
    enter(app, "migrate", "$ farthing migrate --check", "$ farthing migrate", panel=PANEL)(migrate)


def new_workspace(id: str, name: str | None, unit: str, scale: int | None, test: bool, now_us: int) -> "Workspace":
    """A workspace from its options."""
    from farthing.core.records import Workspace, WorkspaceSettings

    return Workspace(
        id=read_workspace_id(id),
        name=read_label(id if name is None else name, "name", 255),
        mode="test" if test else "live",
        unit=read_label(unit, "unit", 32),
        scale=read_scale(scale, unit),
        created_at=now_us,
        settings=WorkspaceSettings(),
    )


def init(
    workspace: Annotated[
        str, typer.Option("--workspace", "-w", metavar="ID", help="The first workspace's id.")
    ] = "main",
    name: Name = None,
    unit: Unit = "credits",
    scale: Scale = None,
    test: Test = False,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Make a ledger: the database file, its schema, the first workspace and an API key with all rights.

    The key is shown once; only its hash is kept. A database that has a workspace is left as it is (exit code 1).
    """
    from farthing.app import open_ledger
    from farthing.identity.keys import make_key, new_key_id
    from farthing.stores.access import Act

    now_us = time.time_ns() // 1000
    first = new_workspace(workspace, name, unit, scale, test, now_us)
    backend = named(database_url(db))
    _require_no_workspace(backend)
    backend.migrate()
    key, key_id = make_key(first.mode), new_key_id(now_us)
    with open_ledger(backend.url) as ledger:
        act = Act(actor(), now_us)
        if not ledger.wait(ledger.access.create_first(first, key_id, key, frozenset({"admin"}), act)):
            raise _taken([each.id for each in ledger.wait(ledger.reports.workspaces())])
    return _made(first, key, key_id, backend.address)


def _require_no_workspace(backend: "Backend") -> None:
    """Look before anything is changed."""
    from farthing.app import open_ledger

    if not backend.exists() or not backend.schema().applied:
        return
    with open_ledger(backend.url) as ledger:
        if known := ledger.wait(ledger.reports.workspaces()):
            raise _taken([each.id for each in known])


def _taken(names: list[str]) -> Trouble:
    message = f"this database has a workspace already ({', '.join(names[:5])}); nothing was changed"
    return Trouble("already_initialized", message, Exit.NO, workspaces=names)


def _made(first: "Workspace", key: "NewKey", key_id: str, url: str) -> Answer:
    data = workspace_facts(first) | {
        "workspace": first.id, "api_key": key.text, "key_id": key_id, "scopes": ["admin"], "database": url,
    }  # fmt: skip
    text = pairs({"database": url, "workspace": f"{first.id} ({first.unit}, {first.scale} decimals, {first.mode})"})
    text += f"\nAPI key, shown this once: {key.text}\n"
    text += "Next: farthing grant alice 100 --expires 30d; farthing serve"
    return Answer(data, text)


def workspace_facts(workspace: "Workspace") -> dict[str, Any]:
    """A workspace as programs read it."""
    return {
        "id": workspace.id,
        "name": workspace.name,
        "mode": workspace.mode,
        "unit": workspace.unit,
        "scale": workspace.scale,
        "created_at": write_time(workspace.created_at),
    }


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Only say what there is to run; exit code 1 if something.")
    ] = False,
    phase: Annotated[
        Literal["pre", "post"] | None,
        typer.Option(
            "--phase",
            help="Only what the new code needs (pre), or also what waits until the old code is gone (post). "
            "Default: both.",
        ),
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Bring the database's schema up to date, each step in a transaction of its own.

    Where several processes run: `--phase pre` first, beside the old code; then the new code; then `--phase post`.
    """
    backend = existing(database_url(db))
    status = backend.schema()
    ran = []
    if status.pending and not check:
        ran = backend.migrate(lambda step: say(f"running {step.file}"), ("pre",) if phase == "pre" else ("pre", "post"))
        status = backend.schema()
    data = {
        "current": not status.pending,
        "ran": [each.file for each in ran],
        "applied": [{"file": each.file, "applied_at": write_time(each.applied_at)} for each in status.applied],
        "pending": [{"file": each.file, "phase": each.phase} for each in status.pending],
    }
    if left := [each for each in status.pending if phase != "pre" or each.phase == "pre"]:
        text = "to run: " + ", ".join(each.file for each in left)
    else:
        text = f"up to date: {many(len(status.applied), 'migration')}, {len(ran)} of them run now"
        if status.pending:
            text += "; to run once the new code is everywhere: " + ", ".join(each.file for each in status.pending)
    return Answer(data, text, Exit.NO if left else Exit.OK)
