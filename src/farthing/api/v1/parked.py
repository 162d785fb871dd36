"""Parked: what the library had kept in a journal and was refused when it was sent, told by the library."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from farthing.core.events import JOURNAL_PARKED
from farthing.core.ids import bucket_of
from farthing.core.records import Event
from farthing.engine import Ids

from ..endpoint import Endpoint, Request
from .desk import Desk
from .fields import Form
from .wire import AccountId, text_of


class ParkedRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """A call that waits for somebody."""

    call: Annotated[str, text_of("What was asked for: `charge` or `settle`.")]
    key: Annotated[str, text_of("Its idempotency key.")]
    error: Annotated[str, text_of("Why it was refused: a code.")]
    host: Annotated[str, text_of("The machine that has the journal.")]
    account: AccountId | None = None


class ParkedTold(Struct):
    """Whether it is news."""

    told: Annotated[bool, Meta(description="False: it was told before.")]


_form = Form(ParkedRequest)
_ids = Ids()


async def tell_parked(request: Request, desk: Desk) -> ParkedTold:
    """Write it down as an event."""
    fields = _form.read(request)
    said = {name: fields.text(name) for name in ("call", "key", "error", "host")}
    account = fields.text_if("account")
    fields.check()
    workspace, at = request.caller.workspace.id, desk.now_us()
    bucket = bucket_of(workspace, account)
    once = ":".join((JOURNAL_PARKED, account, said["call"], said["key"]))
    event = Event(_ids("evt", at, bucket), workspace, account, bucket, JOURNAL_PARKED, at, said, once)
    return ParkedTold(bool(await desk.events.add([event])))


ENDPOINTS: Final = (
    Endpoint(
        path="/v1/events/parked",
        operation_id="tellParked",
        summary="Tell of a call that waits in a journal",
        description="The library tells by itself of what it had kept for later and was then refused. It becomes an "
        "event `journal.parked`, of each call once.",
        scope="charge",
        request=ParkedRequest,
        answer=ParkedTold,
        example={
            "call": "charge",
            "key": "msg_8812",
            "error": "frozen",
            "host": "bot-1",
            "account": "user_42",
        },
        answered={"told": True},
        codes=frozenset(),
        act=tell_parked,
    ),
)
