"""Deliveries: what became of events on their way to a webhook, and having them sent again."""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from farthing.stores.access import AccessError
from farthing.stores.outbox import Try

from ..endpoint import Endpoint, Reply, Request
from .administration import Answered, Asked, act_of, answer, once, told
from .desk import Desk
from .fields import Form
from .parameters import parameter
from .reading import PAGING, Listed, Params, listed_example, named
from .webhooks import WEBHOOK, WEBHOOK_ID, found
from .wire import TIME, Time, text_of, write_time

Outcome = Literal["delivered", "failed", "given_up"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("delivered", "failed", "given_up")


class DeliveryView(Struct):
    """One try to deliver an event."""

    event: str
    type: Annotated[str, Meta(description="Of the event.")]
    attempt: Annotated[int, Meta(description="The first is 1.")]
    at: Time
    outcome: Annotated[
        str,
        Meta(
            description="`delivered`; `failed`: it is tried again, of a webhook that is disabled once it is enabled; "
            "`given_up`: it is not.",
            pattern="^[a-z_]+$",
        ),
    ]
    status: Annotated[int | None, Meta(description="Of the answer; null: there was none.")]
    detail: Annotated[str | None, Meta(description="Why there was none, or how the answer began.")]
    millis: Annotated[int, Meta(description="How long it took.")]


class RedeliverRequest(Asked):
    """What is to be sent again: one event, or all since a time that were not delivered."""

    event: Annotated[str, text_of("The id of an event.")] | None = None
    since: Annotated[str, Meta(description="RFC 3339.", extra_json_schema=TIME)] | None = None


class RedeliveredView(Answered, kw_only=True):
    """What is sent again."""

    webhook: str
    events: Annotated[int, Meta(description="How many.")]


def write_delivery(each: Try) -> DeliveryView:
    """A try on the wire."""
    return DeliveryView(
        each.event, each.type, each.attempt, write_time(each.at), each.outcome, each.status, each.detail or None,
        each.millis,
    )  # fmt: skip


async def list_deliveries(request: Request, desk: Desk) -> Listed[DeliveryView]:
    """A page of tries to reach a webhook."""
    params = Params(request, "outcome", "limit", "cursor")
    outcome = params.text("outcome")
    if outcome is not None and outcome not in OUTCOMES:
        params.refuse("outcome", f"must be one of {', '.join(OUTCOMES)}")
    turn = await params.turn(desk, "deliveries", webhook=named(request, "id", "webhook"))
    endpoint = await found(request, desk)
    page = await desk.outbox.tries(
        turn.workspace, endpoint.id, outcome=outcome or "", after=turn.after, limit=turn.limit
    )  # fmt: skip
    return await turn.told([write_delivery(each) for each in page.items], page.next)


_form = Form(RedeliverRequest)


async def redeliver(request: Request, desk: Desk) -> Reply:
    """Have events sent again."""
    fields, id = _form.read(request), named(request, "id", "webhook")
    event, since = fields.text_if("event"), fields.instant("since")
    if bool(event) == (since is not None):
        fields.refuse("event" if event else "since", "must be given alone" if event else "or event must be given")
    if since is not None and fields.flag("dry_run"):
        fields.refuse("dry_run", "can't be told for since: see what was not delivered by listing deliveries")
    under, act = once(fields, webhook=id, event=event, since=since), act_of(request, desk)
    workspace = request.caller.workspace.id
    try:
        if since is None:
            done = await desk.redelivering.one(workspace, id, event, act, under)
        else:
            done = await desk.redelivering.since(workspace, id, since, act, under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, RedeliveredView(webhook=done.endpoint, events=done.events))


_EVENT: Final = "evt_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
_EXAMPLE: Final[dict[str, Any]] = {
    "event": _EVENT, "type": "balance.low", "attempt": 2, "at": "2026-01-31T12:00:05.000000Z", "outcome": "failed",
    "status": 500, "detail": "out of order", "millis": 112,
}  # fmt: skip

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/webhooks/{id}/deliveries",
        operation_id="listDeliveries",
        summary="What became of events",
        description="Each try to reach the webhook, newest first. They are kept for some time; see the settings.",
        scope="admin",
        request=None,
        answer=Listed[DeliveryView],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset({"webhook_not_found", "cursor_invalid"}),
        act=list_deliveries,
        parameters=(
            WEBHOOK,
            parameter("outcome", "Only those that came to that.", enum=list(OUTCOMES)),
            *PAGING,
        ),
    ),
    Endpoint(
        path="/v1/webhooks/{id}/redeliver",
        operation_id="redeliver",
        summary="Have events sent again",
        description="One `event`, whatever has become of it; or all `since` a time that the webhook asks for, that "
        "it was not delivered, and that don't wait for another try anyway. They have the ids that they had.",
        scope="admin",
        request=RedeliverRequest,
        answer=RedeliveredView,
        example={"event": _EVENT},
        answered={"webhook": WEBHOOK_ID, "events": 1},
        codes=frozenset({"webhook_not_found", "webhook_disabled", "event_not_found"}),
        act=redeliver,
        keyed=True,
        parameters=(WEBHOOK,),
    ),
)
