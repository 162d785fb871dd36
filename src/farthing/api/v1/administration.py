"""Administration: what writes to keys, settings and workspaces have in common. They move no credits and have no entry;
their key and first answer stand beside their record in the audit log.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from farthing.stores.access import AccessError, Act, Once

from ..endpoint import Headers, Reply, Request
from .desk import Desk
from .fields import PREFIX, Fields, idempotency_key
from .problems import Fault, Wrong
from .wire import DryRun

T = TypeVar("T")
_REPLAYED: Final = (b"idempotent-replayed", b"true")
encode = msgspec.json.Encoder().encode

CODES: Final[Mapping[str, str]] = {
    "invalid": "invalid",
    "event_not_found": "event_not_found",
    "issuer_exists": "issuer_exists",
    "issuer_not_found": "issuer_not_found",
    "job_not_found": "job_not_found",
    "key_conflict": "key_conflict",
    "key_exists": "key_exists",
    "key_not_found": "key_not_found",
    "key_ended": "key_ended",
    "precondition_failed": "precondition_failed",
    "too_soon": "invalid",
    "order_claimed": "order_claimed",
    "order_not_found": "order_not_found",
    "overlapping_versions": "overlapping_versions",
    "version_not_found": "version_not_found",
    "card_version_begun": "card_version_begun",
    "price_not_quarantined": "price_not_quarantined",
    "price_unusable": "price_unusable",
    "plan_not_found": "plan_not_found",
    "product_not_found": "product_not_found",
    "provider_not_found": "provider_not_found",
    "too_many_webhooks": "too_many_webhooks",
    "webhook_disabled": "webhook_disabled",
    "webhook_not_found": "webhook_not_found",
    "workspace_exists": "workspace_exists",
    "workspace_not_found": "workspace_not_found",
}
"""What an act that can't be done is called here, by what it is called inside."""


class Asked(Struct, kw_only=True, forbid_unknown_fields=True):
    """What every such write may have."""

    dry_run: DryRun | None = None


class Answered(Struct, kw_only=True):
    """What the answer to every such write has."""

    dry_run: Annotated[bool, Meta(description="Present when nothing was kept.")] | UnsetType = UNSET


def once(fields: Fields, **asked: Any) -> Once:
    """The request's own key, and what makes two requests the same. The last thing that is read of it."""
    request = fields.request
    request.dry = fields.flag("dry_run")
    key = PREFIX + idempotency_key(request)
    fields.check()
    return Once(key, asked, dry_run=request.dry)


def act_of(request: Request, desk: Desk) -> Act:
    """Who acts, now."""
    return Act(request.caller.actor, desk.now_us(), request.id.decode(), request.caller.role)


def told(error: AccessError) -> Fault:
    """Why it was not done."""
    code = CODES[error.code]
    if code == "key_conflict":
        return Fault(code, detail=_sentence(error), differs=list(error.differs))
    if code == "invalid":
        detail = str(error).removeprefix(f"{error.field} ")
        return Fault(code, [Wrong(pointer=f"/{error.field}", detail=detail)])
    if code == "overlapping_versions":
        return Fault(code, [Wrong(pointer=f"/{error.field}", detail=_sentence(error))])
    return Fault(code, detail=_sentence(error))


def _sentence(error: AccessError) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + "."


def answer(under: Once, told: Answered, status: int = 200, headers: Headers = ()) -> Reply:
    """What was done, or would be."""
    if under.replayed:
        headers = (*headers, _REPLAYED)
    if under.dry_run:
        told.dry_run = True
        status = 200
    return Reply(status, encode(told), headers=headers)


def etag_field(tag: str) -> tuple[bytes, bytes]:
    """The state of what was told, as a header field."""
    return (b"etag", b'"%s"' % tag.encode())
