"""The stream of events: what happens, told while it happens, as server-sent events (SSE).

A stream has no end of its own. It ends when the server does, when its reader is too slow, and when its credential is
good no more; a reader goes on where he was by `Last-Event-ID`.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, Final

import msgspec

from farthing.core.endpoints import LEASE_US
from farthing.core.events import problem_of
from farthing.core.records import Event
from farthing.outbox.listening import BEAT_SECONDS, MOST_LISTENERS, MOST_WAITING, TooManyListeners, Wish, is_position
from farthing.stores.contract import StoreError

from ..endpoint import Caller, Endpoint, Parameter, Reply, Request, Stop, Trouble
from .desk import Desk
from .events import EVENT_EXAMPLE, EventLine, write_event
from .parameters import parameter, text_parameter
from .problems import Fault, Wrong
from .reading import Params
from .wire import TIME

STREAM: Final = b"text/event-stream"
MOST_TYPES: Final = 50
_HEADERS: Final = ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))
_RETRY: Final = b"retry: 1000\n"
_RETRY_AFTER: Final = (b"retry-after", b"5")
_POSITION: Final = "must be the id of an event, as the stream has told it"
_encode = msgspec.json.Encoder().encode


async def stream_events(request: Request, desk: Desk) -> Reply:
    """Events of the workspace, as they come."""
    wish = _wish(request)
    return Reply(
        200, b"", headers=_HEADERS, content_type=STREAM, parts=_parts(desk, request.caller.workspace.id, wish)
    )  # fmt: skip


def _wish(request: Request) -> Wish:
    params = Params(request, "type", "account", "from", "after")
    types = tuple(dict.fromkeys((params.text("type") or "*").split(",")))
    for each in types[:MOST_TYPES]:
        if wrong := problem_of(each):
            params.refuse("type", wrong)
            break
    if len(types) > MOST_TYPES:
        params.refuse("type", f"must have at most {MOST_TYPES} types")
    account, since, after = params.text("account"), params.instant("from"), params.text("after")
    if after is not None and not is_position(after):
        params.refuse("after", _POSITION)
    if after is not None and since is not None:
        params.refuse("from", "can't be given beside after: to go on is to begin where one was")
    params.check()
    # Who reconnects sends his first query again: where he was since then counts.
    last = request.headers.get(b"last-event-id", b"").decode("latin-1")
    if last and not is_position(last):
        raise Fault("invalid", [Wrong(header="Last-Event-ID", detail=_POSITION)])
    after = last or after
    return Wish(types=types, account=account, since=None if after else since, after=after)


async def _parts(desk: Desk, workspace: str, wish: Wish) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(desk.listening.follow(workspace, wish)) as heard:
            first = _RETRY
            async for events, position in heard:
                yield first + (b"".join(map(_told, events)) or b": listening\nid: %b\n\n" % position.encode())
                first = b""
    except TooManyListeners as error:
        raise Stop(Trouble.RATE_LIMIT, f"{error}.", (_RETRY_AFTER,)) from error


def _told(event: Event) -> bytes:
    return b"id: %b\ndata: %b\n\n" % (event.id.encode(), _encode(write_event(event)))


def is_endless(reply: Reply) -> bool:
    """Whether it goes on for as long as somebody listens."""
    return reply.content_type == STREAM


def while_good(
    reply: Reply, request: Request, scope: str, identify: Callable[[Request], Awaitable[Caller]]
) -> Reply:  # fmt: skip
    """The same stream, which ends with what it was asked for by: a key that is revoked, a token that is over."""
    assert reply.parts is not None, "a stream has parts"
    reply.parts = _while_good(reply.parts, request, scope, identify)
    return reply


async def _while_good(
    parts: AsyncGenerator[bytes, None], request: Request, scope: str, identify: Callable[[Request], Awaitable[Caller]]
) -> AsyncGenerator[bytes, None]:  # fmt: skip
    async with aclosing(parts):
        first = True
        async for part in parts:
            if not first:
                try:
                    with suppress(StoreError):  # nobody can say, and nobody is told more than he was
                        caller = await identify(request)
                        if scope not in caller.scopes or caller.bound is not None:
                            return
                except Stop:
                    return
            first = False
            yield part


TYPES_PARAMETER: Final[Parameter] = text_parameter(
    "type",
    "Only these, separated by commas: exact types, all of a noun (`charge.*`), or `*`.",
    "balance.*,grant.lapsed",
)
_AFTER_EXAMPLE: Final = "evt_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
_TEXT: Final[dict[str, Any]] = {"type": "string", "pattern": "^evt_[0-9a-f]{32}$"}

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/events/stream",
        operation_id="streamEvents",
        summary="What happens, while it happens",
        description="Server-sent events (`text/event-stream`): each has the event's id as `id`, and as `data` what the "
        f"list of events has. A comment with the position comes every {BEAT_SECONDS:g} s where there is nothing else. "
        "Types that are not always recorded are recorded from the first answer on, for as long as somebody listens. "
        "Events come within a second of their commit. Who goes on (`after`, or the header `Last-Event-ID`) gets those "
        "of the minute before once more: go by their ids. "
        f"A reader for whom more than {MOST_WAITING:,} events wait is cut off, and may go on where he was; types that "
        f"are not always recorded are recorded for {LEASE_US // 60_000_000} minutes after he has gone. A stream "
        "also ends when the server does, and within 15 s of its credential. "
        f"At most {MOST_LISTENERS} streams of a workspace are open in a process.",
        scope="read",
        request=None,
        answer=EventLine,
        example={},
        answered=EVENT_EXAMPLE,
        codes=frozenset(),
        act=stream_events,
        parameters=(
            TYPES_PARAMETER,
            text_parameter("account", "Only those about one account.", "user_42"),
            parameter("from", "From this time on (RFC 3339), rather than from now.", **TIME),
            parameter("after", "Where to go on: the id that was told last.", **_TEXT, example=_AFTER_EXAMPLE),
            Parameter(
                name="Last-Event-ID",
                place="header",
                description="The same as `after`, and before it.",
                schema=_TEXT,
                example=_AFTER_EXAMPLE,
            ),
        ),
        texts={
            "text/event-stream": f"retry: 1000\n: listening\nid: {_AFTER_EXAMPLE}\n\n"
            f"id: {_AFTER_EXAMPLE}\ndata: {_encode(EVENT_EXAMPLE).decode()}\n\n"
        },
    ),
)
