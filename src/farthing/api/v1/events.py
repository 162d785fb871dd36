"""Events: what happened in a workspace, for programs that want to be told."""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from farthing.core.events import TYPES, no_type
from farthing.core.records import Event

from ..endpoint import Endpoint, Request
from .desk import Desk
from .parameters import parameter
from .reading import FROM_TO, PAGING, Listed, Params, listed_example
from .wire import OwnObject, Time, write_time

NEWEST: Final = "newest"
_ORDERS: Final = (NEWEST, "oldest")


class EventLine(Struct):
    """One event."""

    id: str
    type: str
    account: Annotated[str | None, Meta(description="The account that it is about, if it is about one.")]
    created_at: Time
    data: OwnObject


def write_event(event: Event) -> EventLine:
    """An event on the wire."""
    return EventLine(event.id, event.type, event.account or None, write_time(event.at), event.data)


async def list_events(request: Request, desk: Desk) -> Listed[EventLine]:
    """A page of the workspace's events."""
    params = Params(request, "type", "from", "to", "order", "limit", "cursor")
    type, (since, until) = params.text("type"), params.span()
    if type is not None and (why := no_type(type)) is not None:
        params.refuse("type", why)
    oldest_first = params.choice("order", _ORDERS, NEWEST) != NEWEST
    turn = await params.turn(desk, "events")
    page = await desk.events.page(
        turn.workspace, type=type, since=since, until=until, oldest_first=oldest_first, after=turn.after,
        limit=turn.limit,
    )  # fmt: skip
    return await turn.told([write_event(event) for event in page.items], page.next)


EVENT_EXAMPLE: Final[dict[str, Any]] = {
    "id": "evt_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f",
    "type": "jobs.failing",
    "account": None,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "data": {
        "kind": "renewals",
        "done": 3,
        "failed": 1,
        "errors": [{"account": "user_42", "error": "too_many_grants"}],
    },
}

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/events",
        operation_id="listEvents",
        summary="What happened",
        description="Newest first. Some types are always recorded, the others only where a webhook or somebody who "
        "listens asks for them: the reference of events says which.",
        scope="read",
        request=None,
        answer=Listed[EventLine],
        example={},
        answered=listed_example(EVENT_EXAMPLE),
        codes=frozenset({"cursor_invalid"}),
        act=list_events,
        parameters=(
            parameter("type", "Only those of one type.", example="jobs.failing", enum=sorted(TYPES)),
            *FROM_TO,
            parameter("order", "Which come first.", enum=list(_ORDERS), default=NEWEST),
            *PAGING,
        ),
    ),
)
