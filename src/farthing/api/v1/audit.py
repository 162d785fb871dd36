"""Audit: who did what to whom, and when."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from farthing.core.people import ROLES
from farthing.stores.access import AuditRecord

from ..endpoint import Endpoint, Request
from .desk import Desk
from .parameters import parameter, text_parameter
from .reading import FROM_TO, PAGING, Listed, Params, listed_example
from .wire import OwnObject, Time, write_time


class AuditLine(Struct):
    """One administrative act."""

    id: int
    """Its place in the log."""
    created_at: Time
    actor: str
    role: str | None
    """Of the actor, where it was a person with a token."""
    action: str
    subject: str
    before: Annotated[OwnObject, Meta(description="What was changed, as it was; null: there was none, or nothing was.")]
    after: Annotated[OwnObject, Meta(description="And as it is since.")]
    reason: str | None
    """As it was given; of what wrote an entry, the entry's description."""
    entry: str | None
    """The entry that it wrote."""
    request_id: str | None
    detail: OwnObject


def write_audit(record: AuditRecord, scale: int) -> AuditLine:
    """A record of the log on the wire."""
    told = record.told(scale)
    return AuditLine(
        told.position, write_time(told.at), told.actor, told.role or None, told.action, told.subject, told.before,
        told.after, told.reason, told.entry or None, told.request_id or None, told.detail,
    )  # fmt: skip


async def list_audit(request: Request, desk: Desk) -> Listed[AuditLine]:
    """A page of the log."""
    params = Params(request, "actor", "role", "action", "subject", "from", "to", "limit", "cursor")
    actor, action, subject = (params.text(name) for name in ("actor", "action", "subject"))
    role = params.text("role")
    if role not in (None, *ROLES):
        params.refuse("role", f"must be one of {', '.join(ROLES)}")
    since, until = params.span()
    scale = request.caller.workspace.scale
    turn = await params.turn(desk, "audit")
    page = await desk.access.audit_page(
        turn.workspace, actor=actor, role=role, action=action, subject=subject, since=since, until=until,
        before=turn.after, limit=turn.limit,
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
                "role": None,
                "action": "settings.change",
                "subject": "main",
                "before": {"hold_max_minutes": 43_200},
                "after": {"hold_max_minutes": 1_440},
                "reason": None,
                "entry": None,
                "request_id": "req_7d1f00000001",
                "detail": {},
            }
        ),
        codes=frozenset({"cursor_invalid"}),
        act=list_audit,
        parameters=(
            text_parameter("actor", "Who did it.", f"key:{_KEY}"),
            parameter("role", "Of whoever did it: a person with a token.", type="string", enum=list(ROLES)),
            text_parameter("action", "What was done.", "key.create"),
            text_parameter("subject", "To whom: an account, a key, a workspace."),
            *FROM_TO,
            *PAGING,
        ),
    ),
)
