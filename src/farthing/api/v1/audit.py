"""Audit: who did what to whom, and when."""

from typing import Final

from msgspec import Struct

from farthing.core.amounts import write_amount
from farthing.stores.access import AuditRecord

from ..endpoint import Endpoint, Request
from .desk import Desk
from .parameters import text_parameter
from .reading import FROM_TO, PAGING, Listed, Params, listed_example
from .wire import OwnObject, Time, write_time


class AuditLine(Struct):
    """One administrative act."""

    id: int
    """Its place in the log."""
    created_at: Time
    actor: str
    action: str
    subject: str
    entry: str | None
    """The entry that it wrote."""
    request_id: str | None
    detail: OwnObject


def write_audit(record: AuditRecord, scale: int) -> AuditLine:
    """A record of the log on the wire."""
    detail = dict(record.detail)
    if record.entry and "amount" in detail:  # a command's
        detail["amount"] = write_amount(detail["amount"], scale)
    return AuditLine(
        record.position, write_time(record.at), record.actor, record.action, record.subject, record.entry or None,
        record.request_id or None, detail,
    )  # fmt: skip


async def list_audit(request: Request, desk: Desk) -> Listed[AuditLine]:
    """A page of the log."""
    params = Params(request, "actor", "action", "subject", "from", "to", "limit", "cursor")
    actor, action, subject = (params.text(name) for name in ("actor", "action", "subject"))
    since, until = params.span()
    scale = request.caller.workspace.scale
    turn = await params.turn(desk, "audit")
    page = await desk.access.audit_page(
        turn.workspace, actor=actor, action=action, subject=subject, since=since, until=until, before=turn.after,
        limit=turn.limit,
    )  # fmt: skip
    return await turn.told([write_audit(record, scale) for record in page.items], page.next)


_KEY: Final = "key_0198c5f0a1b27c3d8e4f5a6b7c8d9000"

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/audit",
        operation_id="listAudit",
        summary="The audit log",
        description="Administrative acts on the workspace, newest first.",
        scope="admin",
        request=None,
        answer=Listed[AuditLine],
        example={},
        answered=listed_example(
            {
                "id": 12,
                "created_at": "2026-01-01T12:00:00.000000Z",
                "actor": f"key:{_KEY}",
                "action": "settings.change",
                "subject": "main",
                "entry": None,
                "request_id": "req_7d1f00000001",
                "detail": {"changes": {"hold_max_minutes": 1440}},
            }
        ),
        codes=frozenset({"cursor_invalid"}),
        act=list_audit,
        parameters=(
            text_parameter("actor", "Who did it.", f"key:{_KEY}"),
            text_parameter("action", "What was done.", "key.create"),
            text_parameter("subject", "To whom: an account, a key, a workspace."),
            *FROM_TO,
            *PAGING,
        ),
    ),
)
