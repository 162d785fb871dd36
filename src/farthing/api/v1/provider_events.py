"""Provider events: what providers of payments have sent, what came of it, and how one is tried again."""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from farthing.commerce.showing import shown
from farthing.stores.access import AccessError
from farthing.stores.contract import StoreError
from farthing.stores.purchases import ProviderEvent

from ..endpoint import Endpoint, Reply, Request
from .administration import Answered, Asked, act_of, answer, once, told
from .desk import Desk
from .fields import Form
from .parameters import in_path, parameter, text_parameter
from .problems import Fault
from .reading import PAGING, Listed, Params, listed_example, named, not_found
from .wire import OwnObject, Time, write_time

State = Literal["done", "unmatched", "open"]
UNMATCHED: Final = "unmatched"


class RetryEventRequest(Asked):
    """A message that is to be tried again."""


class ProviderEventLine(Struct, kw_only=True):
    """What a provider has sent."""

    provider: str
    id: Annotated[str, Meta(description="The provider's own; where it has none, a digest of what was sent.")]
    type: Annotated[str, Meta(description="What it is, in the provider's word.")]
    state: Annotated[
        State,
        Meta(
            description="`open`: it could not be carried out yet, and is tried again; `unmatched`: it is about nothing "
            "that is known."
        ),
    ]
    outcome: Annotated[str | None, Meta(description="What came of it, in a few words.")]
    times: Annotated[int, Meta(description="How often it came.")]
    received_at: Annotated[Time, Meta(description="When it came first.")]
    done_at: Time | None


class ProviderEventView(ProviderEventLine, kw_only=True):
    """The same with what it says."""

    body: Annotated[OwnObject, Meta(description="Its fields as they came; what opens doors is `...`.")]


class EventRetried(Answered, kw_only=True):
    """What came of a message this time."""

    provider: str
    id: str
    outcome: str


def write_line(event: ProviderEvent) -> dict[str, Any]:
    """A message on the wire, without what it says."""
    return {
        "provider": event.provider, "id": event.id, "type": event.kind, "state": state_of(event),
        "outcome": event.outcome or None, "times": event.times, "received_at": write_time(event.received_at),
        "done_at": None if event.done_at is None else write_time(event.done_at),
    }  # fmt: skip


def state_of(event: ProviderEvent) -> State:
    """How it stands."""
    if event.done_at is None:
        return "open"
    return "unmatched" if event.outcome.startswith(UNMATCHED) else "done"


async def list_events(request: Request, desk: Desk) -> Listed[ProviderEventLine]:
    """A page of them."""
    params = Params(request, "provider", "unmatched", "limit", "cursor")
    provider, unmatched = params.text("provider") or "", bool(params.flag("unmatched"))
    turn = await params.turn(desk, "provider-events")
    page = await desk.commerce.purchases.events(
        turn.workspace, provider=provider, unmatched=unmatched, before=turn.after, limit=turn.limit
    )
    return await turn.told([ProviderEventLine(**write_line(event)) for event in page.items], page.next)


async def show_event(request: Request, desk: Desk) -> ProviderEventView:
    """One of them, with what it says."""
    Params(request).check()
    event = await desk.commerce.purchases.event(request.caller.workspace.id, *_named(request))
    if event is None:
        raise not_found("provider_event")
    return ProviderEventView(**write_line(event), body=shown(event.body))


def _named(request: Request) -> tuple[str, str]:
    return named(request, "provider", "provider_event"), named(request, "id", "provider_event")


_retry = Form(RetryEventRequest)


async def retry_event(request: Request, desk: Desk) -> Reply:
    """Have one tried again."""
    fields, (provider, id), workspace = _retry.read(request), _named(request), request.caller.workspace
    under, act, commerce = once(fields, provider=provider, id=id), act_of(request, desk), desk.commerce
    event = await commerce.purchases.event(workspace.id, provider, id)
    if event is None:
        raise not_found("provider_event")
    try:
        outcome = await commerce.purchases.retried_before(workspace.id, under)
        if outcome is None and under.dry_run:
            outcome = event.outcome
        elif outcome is None:
            outcome = await _tried(request, desk, provider, id)
            outcome = await commerce.purchases.note_retried(workspace.id, provider, id, outcome, act, under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, EventRetried(provider=provider, id=id, outcome=outcome))


async def _tried(request: Request, desk: Desk, provider: str, id: str) -> str:
    """What came of it; that it failed again is an answer as well, and kept with it."""
    try:
        taken = await desk.commerce.receiving.again(request.caller.workspace, provider, id, request.id.decode())
    except StoreError:
        raise
    except Exception as error:
        raise Fault("provider_event_failed", detail=f"It failed again: {str(error).rstrip('.')[:400]}.") from error
    assert taken is not None, "what came stays"
    return taken.words


_EXAMPLE: Final[dict[str, Any]] = {
    "provider": "stripe", "id": "evt_1PxAbc", "type": "invoice.paid", "state": "done",
    "outcome": "credited to user_42", "times": 2, "received_at": "2026-01-01T12:00:00.000000Z",
    "done_at": "2026-01-01T12:00:01.000000Z",
}  # fmt: skip
_ONE: Final = (
    in_path("provider", "Who has sent it.", "stripe"),
    in_path("id", "The provider's own id, or the digest.", "evt_1PxAbc"),
)

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/provider-events",
        operation_id="listProviderEvents",
        summary="What providers of payments have sent",
        description="Newest first, as it came, whatever came of it.",
        scope="read",
        request=None,
        answer=Listed[ProviderEventLine],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset({"cursor_invalid"}),
        act=list_events,
        parameters=(
            text_parameter("provider", "Who has sent it.", "stripe"),
            parameter("unmatched", "What was not carried out, or is about nothing that is known.",
                      enum=["true", "false"], example="true"),
            *PAGING,
        ),
    ),
    Endpoint(
        method="GET",
        path="/v1/provider-events/{provider}/{id}",
        operation_id="showProviderEvent",
        summary="One message of a provider",
        description="With what it says, which is about people: for admins only.",
        scope="admin",
        request=None,
        answer=ProviderEventView,
        example={},
        answered={**_EXAMPLE, "body": {"id": "evt_1PxAbc", "type": "invoice.paid"}},
        codes=frozenset({"provider_event_not_found"}),
        act=show_event,
        parameters=_ONE,
    ),
    Endpoint(
        path="/v1/provider-events/{provider}/{id}/retry",
        operation_id="retryProviderEvent",
        summary="Try a message again",
        description="As if it came now: after the catalogue or the settings have been put right. What is credited "
        "already stays as it is.",
        scope="admin",
        request=RetryEventRequest,
        answer=EventRetried,
        example={},
        answered={"provider": "stripe", "id": "evt_1PxAbc", "outcome": "credited to user_42"},
        codes=frozenset({"provider_event_not_found", "provider_event_failed"}),
        act=retry_event,
        keyed=True,
        parameters=_ONE,
    ),
)  # fmt: skip
