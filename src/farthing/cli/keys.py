"""API keys: `keys create`, `list`, `revoke`, `rotate`, `import`. A key is shown once; only its hash is kept.

With `--operator` the keys are those that make workspaces over HTTP and belong to none.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble, invalid, usage
from .opening import Desk, actor, at_desk, opened
from .options import Db, In, Json, Yes, enter
from .output import Answer, columns, confirm, many, say
from .reading import read_duration, read_future, read_label, write_time
from .workspaces import PANEL

if TYPE_CHECKING:
    from farthing.stores.access import ApiKey

MAX_IMPORT_LINES = 100_000

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="The key's id, as `farthing keys list` shows it.")]
Scopes = Annotated[
    str, typer.Option("--scopes", metavar="LIST", help="What it may do: some of read, charge, grant, admin.")
]

Operator = Annotated[
    bool,
    typer.Option("--operator", help="Keys that make workspaces over HTTP; they belong to none and move no credits."),
]
_DEFAULT_SCOPES = "read,charge"


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="API keys of a workspace. A key is shown once; only its hash is kept.")
    enter(
        group,
        "create",
        "$ farthing keys create --name 'chat backend' --scopes read,charge",
        "$ farthing keys create --name audit --scopes read --expires 90d --json",
        "$ farthing keys create --operator --name signup",
    )(create)
    enter(group, "list", "$ farthing keys list")(list_all)
    enter(group, "revoke", "$ farthing keys revoke key_0199... --yes")(revoke)
    enter(group, "rotate", "$ farthing keys rotate key_0199... --overlap 24h")(rotate)
    enter(
        group,
        "import",
        "$ farthing keys import --file old-keys.txt --scopes read,charge",
        "$ pass show countwerk | farthing keys import",
    )(bring_in)
    app.add_typer(group, name="keys", rich_help_panel=PANEL)


def _read_scopes(text: str) -> frozenset[str]:
    from farthing.core.credentials import parse_scopes

    try:
        return parse_scopes(text)
    except ValueError as error:
        raise Trouble("invalid", str(error), Exit.USAGE, field="scopes") from error


def create(
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="What it is for.")] = "",
    scopes: Annotated[
        str | None,
        typer.Option(
            "--scopes",
            metavar="LIST",
            help=f"What it may do: some of read, charge, grant, admin. Default: {_DEFAULT_SCOPES}.",
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="WHEN", help="When it ends: 90d, or a date. Default: never.")
    ] = None,
    operator: Operator = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Make an API key and show it, this once."""
    from farthing.identity.keys import make_key, new_key_id

    label = read_label(name, "name", 255) if name else ""
    if operator:
        _refuse_with_operator(scopes=scopes, workspace=workspace)
        return _create_operator(label, expires, db)
    allowed = _read_scopes(_DEFAULT_SCOPES if scopes is None else scopes)
    with at_desk(db, workspace) as desk:
        act, key = desk.act(), make_key(desk.workspace.mode)
        ends = None if expires is None else read_future(expires, act.at)
        id = new_key_id(act.at)
        made = desk.ledger.access.create_key(desk.workspace.id, id, key.hash, key.hint, label, allowed, act, ends)
        desk.ledger.wait(made)
    data = {
        "id": id, "api_key": key.text, "workspace": desk.workspace.id, "name": label, "scopes": sorted(allowed),
        "expires_at": write_time(ends),
    }  # fmt: skip
    return Answer(data, f"{id} ({', '.join(sorted(allowed))})\nAPI key, shown this once: {key.text}")


def _refuse_with_operator(**given: object) -> None:
    """An operator's key has no workspace and no scopes to choose."""
    for name, value in given.items():
        if value is not None:
            raise usage(f"--{name} does not go with --operator: an operator's key belongs to no workspace")


def _create_operator(label: str, expires: str | None, db: str | None) -> Answer:
    from farthing.identity.keys import make_key, new_key_id
    from farthing.stores.access import Act

    with opened(db) as ledger:
        act, key = Act(actor(), ledger.clock.now_us()), make_key("oper")
        ends = None if expires is None else read_future(expires, act.at)
        id = new_key_id(act.at)
        ledger.wait(ledger.access.create_operator(id, key, label, act, ends))
    data = {"id": id, "api_key": key.text, "name": label, "scopes": ["operator"], "expires_at": write_time(ends)}
    return Answer(data, f"{id} (operator)\nAPI key, shown this once: {key.text}")


def list_all(
    operator: Operator = False, workspace: In = None, db: Db = None, as_json: Json = False
) -> Answer:  # fmt: skip
    """All keys of a workspace, oldest first, those that have ended included."""
    if operator:
        _refuse_with_operator(workspace=workspace)
        with opened(db) as ledger:
            now_us = ledger.clock.now_us()
            facts = [key_facts(key, now_us) for key in ledger.wait(ledger.access.operators())]
        return Answer({"data": facts}, _table(facts))
    with at_desk(db, workspace) as desk:
        now_us = desk.now_us()
        facts = [key_facts(key, now_us) for key in desk.ledger.wait(desk.ledger.access.keys(desk.workspace.id))]
    return Answer({"workspace": desk.workspace.id, "data": facts}, _table(facts))


def _table(facts: list[dict[str, Any]]) -> str:
    rows = [("ID", "STATE", "ENDS WITH", "SCOPES", "UNTIL", "NAME")]
    rows += [(f["id"], f["state"], f["hint"], ",".join(f["scopes"]), f["expires_at"] or "-", f["name"]) for f in facts]
    return columns(rows)


def key_facts(key: "ApiKey", now_us: int) -> dict[str, Any]:
    """A key as it may be shown."""
    over = key.expires_at is not None and key.expires_at <= now_us
    state = "revoked" if key.revoked_at is not None else "expired" if over else "live"
    return {
        "id": key.id, "state": state, "name": key.name, "hint": key.hint, "scopes": key.scopes,
        "created_at": write_time(key.created_at), "expires_at": write_time(key.expires_at),
        "revoked_at": write_time(key.revoked_at),
    }  # fmt: skip


def _find(desk: Desk, id: str) -> "ApiKey":
    """A key of this workspace."""
    known: list[ApiKey] = desk.ledger.wait(desk.ledger.access.keys(desk.workspace.id))
    for key in known:
        if key.id == id:
            return key
    message = f"the workspace {desk.workspace.id} has no key {id!r}; `farthing keys list` shows them"
    raise Trouble("key_not_found", message, Exit.NO)


def revoke(
    id: KeyId, yes: Yes = False, operator: Operator = False, workspace: In = None, db: Db = None, as_json: Json = False
) -> Answer:  # fmt: skip
    """End a key now; every server refuses it within a second. It can't be brought back."""
    if operator:
        _refuse_with_operator(workspace=workspace)
        return _revoke_operator(id, yes, db)
    with at_desk(db, workspace) as desk:
        key = _find(desk, id)
        if key.revoked_at is None:
            confirm(f"Revoke the key {id} {key.name!r} for good?", yes)
            key = desk.ledger.wait(desk.ledger.access.revoke_key(id, desk.act()))
            text = f"{id} is revoked"
        else:
            text = f"{id} was revoked before, at {write_time(key.revoked_at)}"
        return Answer(key_facts(key, desk.now_us()) | {"workspace": desk.workspace.id}, text)


def _revoke_operator(id: str, yes: bool, db: str | None) -> Answer:
    from farthing.stores.access import Act

    with opened(db) as ledger:
        known = {key.id: key for key in ledger.wait(ledger.access.operators())}
        if id not in known:
            message = f"no operator has the key {id!r}; `farthing keys list --operator` shows them"
            raise Trouble("key_not_found", message, Exit.NO)
        if known[id].revoked_at is None:
            confirm(f"Revoke the operator's key {id} {known[id].name!r} for good?", yes)
        act = Act(actor(), ledger.clock.now_us())
        key = ledger.wait(ledger.access.revoke_operator(id, act))
    return Answer(key_facts(key, act.at), f"{id} is revoked")


def rotate(
    id: KeyId,
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="TIME", help="How long the old key still works; 0h ends it now.")
    ] = "24h",
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Make a new key with the name and scopes of an old one, which goes on working for the overlap."""
    from farthing.identity.keys import make_key, new_key_id

    lasting = read_duration(overlap, "overlap")
    with at_desk(db, workspace) as desk:
        old = _find(desk, id)
        act, key = desk.act(), make_key(desk.workspace.mode)
        new_id = new_key_id(act.at)
        desk.ledger.wait(desk.ledger.access.rotate_key(id, new_id, key, act.at + lasting, act))
        ends = _find(desk, id).expires_at
    data = {
        "id": new_id, "api_key": key.text, "workspace": desk.workspace.id, "name": old.name, "scopes": old.scopes,
        "replaces": id, "old_key_ends_at": write_time(ends),
    }  # fmt: skip
    text = f"{new_id} takes the place of {id}, which works until {write_time(ends)}"
    return Answer(data, f"{text}\nAPI key, shown this once: {key.text}")


def bring_in(
    file: Annotated[
        Path | None, typer.Option("--file", metavar="PATH", help="Read them from a file. Default: standard input.")
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="Their name for people.")] = "imported",
    scopes: Scopes = _DEFAULT_SCOPES,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Take over existing keys, so that their bearers need not change anything.

    One key a line; empty lines and lines that begin with # don't count. They are never taken from the command line,
    where other users could read them. All are checked before the first is stored; those known already stay as they are.
    """
    allowed = _read_scopes(scopes)
    label = read_label(name, "name", 255)
    if file is None and sys.stdin.isatty():
        say("paste keys, one a line; Ctrl+D ends")
    # What is no UTF-8 becomes a line that is no key, and is named by its number.
    text = (sys.stdin.buffer.read() if file is None else file.read_bytes()).decode(errors="replace")
    with at_desk(db, workspace) as desk:
        new, known = _check_import(desk, _numbered_keys(text))
        _store(desk, new, label, allowed)
    data = {"workspace": desk.workspace.id, "imported": len(new), "known": known, "scopes": sorted(allowed)}
    return Answer(data, f"{many(len(new), 'key')} imported, {known} known already")


def _numbered_keys(text: str) -> dict[str, int]:
    """Each key with the line it first stands on."""
    lines = text.splitlines()
    if len(lines) > MAX_IMPORT_LINES:
        raise invalid("keys", f"must be at most {MAX_IMPORT_LINES:,} lines at a time")
    found: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if (key := line.strip()) and not key.startswith("#"):
            found.setdefault(key, number)
    if not found:
        raise invalid("keys", "must be given on standard input or in --file, one a line")
    return found


def _check_import(desk: Desk, keys: dict[str, int]) -> tuple[list[str], int]:
    """The keys that are new, and how many are known; what can't be taken is named by its line, never by its text."""
    from farthing.core.credentials import hash_key

    new, known, wrong = [], 0, []
    for key, line in keys.items():
        if problem := _import_problem(desk, key):
            wrong.append(f"line {line}: {problem}")
        elif (credential := desk.ledger.wait(desk.ledger.access.credential(hash_key(key)))) is None:
            new.append(key)
        elif credential.workspace != desk.workspace.id:
            wrong.append(f"line {line}: it belongs to another workspace")
        else:
            known += 1
    if wrong:
        shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise Trouble("invalid_keys", f"nothing was imported: {shown}", Exit.NO, problems=wrong)
    return new, known


def _import_problem(desk: Desk, key: str) -> str | None:
    """Why a text can't be a key of this workspace."""
    from farthing.core.credentials import KeyProblem, looks_like, parse_key

    kind = looks_like(key)
    if kind == "malformed":
        problem = parse_key(key)
        if problem is KeyProblem.CHECKSUM:
            return KeyProblem.CHECKSUM.value
        return "it is no key: those begin with cs_ and have no blanks, quotes or brackets"
    if kind == "ours" and parse_key(key) != desk.workspace.mode:
        return f"its mode is not that of the workspace, which is {desk.workspace.mode}"
    return None


def _store(desk: Desk, keys: list[str], name: str, scopes: frozenset[str]) -> None:
    from farthing.core.credentials import hash_key, hint_of
    from farthing.identity.keys import new_key_id

    from .output import progress

    with progress("keys imported") as told:
        for done, key in enumerate(keys, start=1):
            act = desk.act()
            id = new_key_id(act.at)
            made = desk.ledger.access.create_key(desk.workspace.id, id, hash_key(key), hint_of(key), name, scopes, act)
            desk.ledger.wait(made)
            told(done, len(keys))
