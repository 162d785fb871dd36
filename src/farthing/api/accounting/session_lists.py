"""Listings of streaming sessions in the accounting dialect. Each has the newest of those it is asked for."""

from typing import Annotated, Any, Final, cast

from msgspec import UNSET, Meta, Struct, UnsetType

from farthing.core.amounts import write_number
from farthing.stores.stream_sessions import MOST, Session, Status

from ..endpoint import Parameter, Request, write_time
from ..v1.desk import Desk
from . import fields, whom
from .calls import call, own_id
from .stats import USER
from .wire import Credits, Time

DEFAULT_MINUTES: Final = 5
MAX_MINUTES: Final = 1_440


class SessionView(Struct):
    """A streaming session."""

    id: str
    sessionId: str
    userId: str
    modelId: str
    estimatedCredits: Credits
    allocatedCredits: Credits
    usedCredits: Credits
    status: Status
    startedAt: Time
    completedAt: Annotated[Time | None, Meta(description="Null while it is open.")]


class RecentFilter(Struct):
    """What was asked for."""

    minutes: int
    userId: str | UnsetType = UNSET


class Recent(Struct):
    """Sessions that are open, or ended a short time ago."""

    sessions: Annotated[list[SessionView], Meta(max_length=MOST)]
    timestamp: Time
    filter: RecentFilter


Sessions = Annotated[list[SessionView], Meta(max_length=MOST)]


async def own_active(request: Request, desk: Desk) -> list[SessionView]:
    """Open sessions of the caller."""
    return await _active(request, desk, own_id(request))


async def active_of(request: Request, desk: Desk) -> list[SessionView]:
    """Open sessions of somebody."""
    return await _active(request, desk, (await whom.needed(request, desk, request.parameters["userId"])).id)


async def all_active(request: Request, desk: Desk) -> list[SessionView]:
    """Open sessions of all."""
    return await _active(request, desk, None)


async def _active(request: Request, desk: Desk, account: str | None) -> list[SessionView]:
    workspace, now = request.caller.workspace, desk.now_us()
    found = await desk.streams.active(workspace.id, account, now, workspace.settings.hold_max_minutes)
    return [_view(session, workspace.scale, now) for session in found]


async def recent(request: Request, desk: Desk) -> Recent:
    """Open and lately ended sessions: a user's own; who may look at others sees those of all."""
    return await _recent(request, desk, own_id(request) if request.caller.role == "user" else None)


async def recent_of(request: Request, desk: Desk) -> Recent:
    """Open and lately ended sessions of somebody."""
    return await _recent(request, desk, (await whom.needed(request, desk, request.parameters["userId"])).id)


async def _recent(request: Request, desk: Desk, account: str | None) -> Recent:
    workspace, now = request.caller.workspace, desk.now_us()
    minutes = fields.whole(fields.query(request).get("minutes"), "minutes", DEFAULT_MINUTES, MAX_MINUTES)
    found = await desk.streams.recent(workspace.id, account, now, minutes, workspace.settings.hold_max_minutes)
    views = [_view(session, workspace.scale, now) for session in found]
    return Recent(views, write_time(now), RecentFilter(minutes, UNSET if account is None else account))


def _view(s: Session, scale: int, now: int) -> SessionView:
    over_at = s.over_at(now)
    return SessionView(
        id=s.hold.id,
        sessionId=s.name,
        userId=s.account,
        modelId=s.model,
        estimatedCredits=write_number(s.estimated, scale),
        allocatedCredits=write_number(s.hold.amount, scale),
        usedCredits=write_number(s.hold.settled, scale),
        status=s.status(now),
        startedAt=write_time(s.started_at),
        completedAt=None if over_at is None else write_time(over_at),
    )


# The table


MINUTES: Final = Parameter(
    name="minutes",
    place="query",
    description="How long ago a session may have ended.",
    schema={"type": "integer", "minimum": 1, "maximum": MAX_MINUTES, "default": DEFAULT_MINUTES},
    example=DEFAULT_MINUTES,
)
_SESSION: Final[dict[str, Any]] = {
    "id": "hold_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f",
    "sessionId": "chat-7f3a-0001",
    "userId": "user_42",
    "modelId": "gpt-4",
    "estimatedCredits": 5,
    "allocatedCredits": 6,
    "usedCredits": 0,
    "status": "active",
    "startedAt": "2026-01-01T12:00:00.000Z",
    "completedAt": None,
}
_RECENT: Final = {"sessions": [_SESSION], "timestamp": "2026-01-01T12:01:00.000Z", "filter": {"minutes": 5}}
_NEWEST: Final = f"The {MOST:,} newest at most, the newest first."
_LIST: Final = cast(type[Struct], Sessions)
"""The one kind of answer that is no object."""
_LISTED: Final = cast(dict[str, Any], [_SESSION])


def _listing(operation_id: str, path: str, summary: str, *codes: str, **words: Any) -> Any:
    told = {"answer": _LIST, "answered": _LISTED, "description": _NEWEST, **words}
    return call(
        operation_id, *codes, method="GET", path=f"/api/streaming-sessions/{path}", summary=summary, request=None,
        example={}, **told,
    )  # fmt: skip


ENDPOINTS: Final = (
    _listing("listOwnActiveSessions", "active", "Open sessions of the caller", act=own_active),
    _listing("listAllActiveSessions", "active/all", "Open sessions of all users", act=all_active),
    _listing(
        "listActiveSessionsOf", "active/{userId}", "Open sessions of a user", "user_unknown", parameters=(USER,),
        act=active_of,
    ),
    _listing(
        "listOwnRecentSessions",
        "recent",
        "Sessions that are open or have just ended",
        answer=Recent,
        answered=_RECENT,
        description=f"A user's own; a supervisor and an admin see those of all users. {_NEWEST}",
        parameters=(MINUTES,),
        act=recent,
    ),
    _listing(
        "listRecentSessionsOf",
        "recent/{userId}",
        "Sessions of a user that are open or have just ended",
        "user_unknown",
        answer=Recent,
        answered={**_RECENT, "filter": {"minutes": 5, "userId": "user_42"}},
        parameters=(USER, MINUTES),
        act=recent_of,
    ),
)  # fmt: skip
