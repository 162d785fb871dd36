"""Audit: `farthing audit`: who did what to whom, why, and what it was before and after."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import invalid
from .opening import Desk, at_desk
from .options import Db, In, Json, enter
from .output import Answer, columns
from .periods import From, Timezone, To, read_bounds
from .reading import write_time
from .workspaces import PANEL

if TYPE_CHECKING:
    from farthing.stores.access import AuditRecord
    from farthing.stores.pages import Position

MOST = 1_000


def register(app: typer.Typer) -> None:
    """Enter the command."""
    enter(
        app,
        "audit",
        "$ farthing audit --subject alice --limit 20",
        "$ farthing audit --role supervisor --from 2026-11-01 --to 2026-11-30 --json",
        panel=PANEL,
    )(show_log)


def show_log(
    actor: Annotated[str | None, typer.Option("--actor", metavar="NAME", help="Only what this one did.")] = None,
    role: Annotated[
        str | None, typer.Option("--role", metavar="ROLE", help="Only of people who were user, supervisor or admin.")
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", metavar="NAME", help="Only these, such as account.grant.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="ID", help="Only what was done to this: an account, a key, ...")
    ] = None,
    since: From = None,
    until: To = None,
    timezone: Timezone = "UTC",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=MOST, help="Acts to show.")] = 50,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """The audit log of a workspace: its administrative acts, newest first."""
    from farthing.core.people import ROLES

    if role not in (None, *ROLES):
        raise invalid("role", f"must be {' or '.join(ROLES)}, not {role!r}")
    start, end = read_bounds(since, until, timezone)
    with at_desk(db, workspace) as desk:
        wanted = {"actor": actor, "role": role, "action": action, "subject": subject, "since": start, "until": end}
        told = [record.told(desk.workspace.scale) for record in _newest(desk, wanted, limit)]
    rows = [("TIME", "WHO", "ROLE", "WHAT", "TO WHOM", "CHANGE", "REASON"), *map(_row, told)]
    return Answer({"workspace": desk.workspace.id, "data": [_facts(record) for record in told]}, columns(rows))


def _newest(desk: Desk, wanted: dict[str, Any], limit: int) -> "list[AuditRecord]":
    """As many as are asked for; a page may have fewer and others behind it."""
    found: list[AuditRecord] = []
    before: Position | None = None
    while True:
        work = desk.ledger.access.audit_page(desk.workspace.id, before=before, limit=limit - len(found), **wanted)
        page = desk.ledger.wait(work)
        found, before = found + page.items, page.next
        if before is None or len(found) >= limit:
            return found


def _facts(r: "AuditRecord") -> dict[str, Any]:
    return {
        "id": r.position,
        "created_at": write_time(r.at),
        "actor": r.actor,
        "role": r.role or None,
        "action": r.action,
        "subject": r.subject,
        "before": r.before,
        "after": r.after,
        "reason": r.reason,
        "entry": r.entry or None,
        "request_id": r.request_id or None,
        "detail": r.detail,
    }


def _row(r: "AuditRecord") -> tuple[str, ...]:
    time = write_time(r.at) or ""
    return (time, r.actor, r.role, r.action, r.subject, _change(r.before, r.after), r.reason or "")


def _change(before: Any, after: Any) -> str:
    """What differs, one after the other; of what was made or is gone, all of it."""
    old, new = before or {}, after or {}
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return ", ".join(f"{name} {_word(old.get(name))} -> {_word(new.get(name))}" for name in names)


def _word(value: Any) -> str:
    return "-" if value is None else str(value)
