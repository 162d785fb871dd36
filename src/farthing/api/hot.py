"""Hot calls: a write that is all there, by a caller who is known, goes from the protocol straight to the engine.

No task, no future, no scope: on the way that everything else takes these cost more than the charge itself. Whatever is
unusual about a request (a caller who was not seen yet, a body that comes slowly, an engine in another thread) sends
it the long way, through the application, which can do all of it; the answers of both are the same, header for header.
"""

import asyncio
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Final, Protocol

from farthing.core.outcomes import Outcome
from farthing.engine import Engine, Ticket
from farthing.prices.book import NeedsPast
from farthing.stores.contract import StoreError

from .endpoint import Caller, CredentialKind, Endpoint, Headers, NotAtOnce, Reply, Request, Route, Stop, Trouble

EVERY_SECONDS: Final = 0.1
LATE: Final = "There was no answer in time, so it is not known what became of this; the same key finds out."
BUG: Final = "Something went wrong here; it has been logged."


class Door(Protocol):
    """What the application does around every call."""

    def admit(self, endpoint: Endpoint, caller: Caller) -> Headers:
        """Count the request and look at its scopes; the fields that its answer carries."""

    def answered(self, name: str, request: Request, reply: Reply | None, seconds: float) -> None:
        """Count and log the answer."""

    def crashed(self, request: Request) -> None:
        """Log a bug, with its traceback."""


class Connection(Protocol):
    """Where a call came from."""

    def begin(self, call: "HotCall") -> None:
        """It is on its way."""

    def send(self, call: "HotCall", reply: Reply) -> None:
        """It is answered."""

    def go_the_long_way(self) -> None:
        """Its body took too long."""


class _Event:
    """Stands in for an event that nobody waits for."""

    def set(self) -> None:
        pass


class HotCall:
    """One call on its way. To the protocol it looks like a cycle of the server's own."""

    __slots__ = (
        "_path", "connection", "disconnected", "keep_alive", "message_event", "request", "response_complete",
        "route", "ticket",
    )  # fmt: skip
    _event: Final = _Event()

    def __init__(self, path: "HotPath", route: Route, request: Request, connection: Connection) -> None:
        self._path = path
        self.route = route
        self.request = request
        self.connection = connection
        self.ticket: Ticket | None = None
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False
        self.message_event = HotCall._event

    def told(self, result: Outcome | Exception) -> None:
        """The engine's answer."""
        self._path.finish(self, result)

    def leave(self) -> None:
        """The client has gone: what was not decided yet is skipped."""
        self.disconnected = True
        if self.ticket is not None:
            self.ticket.gone = True
        self._path.left(self)


class HotPath:
    """The hot calls of one event loop."""

    def __init__(
        self,
        routes: Mapping[tuple[str, CredentialKind], Route],
        engine: Engine,
        door: Door,
        request_ids: Callable[[Request], bytes],
        body_bytes: int,
        answer_seconds: float,
    ) -> None:
        self._routes = {(path.encode(), kind): route for (path, kind), route in routes.items()}
        self.paths = frozenset(path for path, _ in self._routes)
        self._engine = engine
        self._door = door
        self._request_ids = request_ids
        self._body_bytes = body_bytes
        self._answer_seconds = answer_seconds
        self._open: dict[HotCall, None] = {}
        self._waiting: set[asyncio.Task[None]] = set()
        self._reading: dict[Connection, float] = {}
        """Whose body is still to come, and since when."""
        self._timer: asyncio.TimerHandle | None = None

    def take(
        self, url: bytes, headers: list[tuple[bytes, bytes]], body: bytes, connection: Connection
    ) -> HotCall | None:
        """Carry out a request, or None: it has to go the long way. It is answered once, perhaps before this ends."""
        self._reading.pop(connection, None)
        if not self._engine.runs_here or len(body) > self._body_bytes:
            return None
        request = Request.complete("POST", url, headers, body, perf_counter())
        route = self._routes.get((url, request.credential))
        caller = None if route is None else route.face.known(request)
        if route is None or caller is None:
            return None
        request.caller = caller
        request.id = self._request_ids(request)
        call = HotCall(self, route, request, connection)
        connection.begin(call)
        self._start(call, caller)
        return call

    def _start(self, call: HotCall, caller: Caller) -> None:
        request, face, endpoint = call.request, call.route.face, call.route.endpoint
        try:
            request.extra = self._door.admit(endpoint, caller)
            started = face.start(endpoint, request)
            if isinstance(started, Reply):
                return self._send(call, started)
            self._open[call] = None
            call.ticket = self._engine.submit(started, call.told, dry=request.dry)
        except (NeedsPast, NotAtOnce):
            # Seldom: usage from before what is held in memory, or without a price. The face waits for the database.
            self._open[call] = None
            self._waiting.add(task := asyncio.get_running_loop().create_task(self._answer(call)))
            task.add_done_callback(self._waiting.discard)
        except Stop as stop:
            return self._send(call, face.stopped(stop, endpoint, request))
        except StoreError as error:
            return self._send(call, face.failed(error, endpoint, request))
        except Exception:
            return self._bug(call)
        self._watch()

    async def _answer(self, call: HotCall) -> None:
        """Have a call answered in the face's own time."""
        face, endpoint = call.route.face, call.route.endpoint
        try:
            reply = await face.answer(endpoint, call.request)
        except StoreError as error:
            reply = face.failed(error, endpoint, call.request)
        except Exception:
            return self._bug(call)
        if call in self._open:
            self._send(call, reply)

    def await_body(self, connection: Connection) -> None:
        """Most clients send head and body one after the other: wait for it a little."""
        self._reading.setdefault(connection, perf_counter())
        self._watch()

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY_SECONDS, self._look)

    def finish(self, call: HotCall, result: Outcome | Exception) -> None:
        """The engine has answered; whoever was told before, or has gone, is told nothing."""
        if call not in self._open:
            return
        face, endpoint = call.route.face, call.route.endpoint
        try:
            if isinstance(result, StoreError):
                reply = face.failed(result, endpoint, call.request)
            elif isinstance(result, Exception):
                raise result
            else:
                assert call.ticket is not None, "the engine answers what was submitted"
                reply = face.finish(endpoint, call.request, call.ticket.command, result)
        except Exception:
            return self._bug(call)
        self._send(call, reply)

    def left(self, call: HotCall) -> None:
        """Nobody waits for this any more."""
        if call in self._open:
            del self._open[call]
            self._door.answered(call.route.face.name, call.request, None, perf_counter() - call.request.began)

    def _send(self, call: HotCall, reply: Reply) -> None:
        self._open.pop(call, None)
        call.response_complete = True
        call.connection.send(call, reply)
        self._door.answered(call.route.face.name, call.request, reply, perf_counter() - call.request.began)

    def _bug(self, call: HotCall) -> None:
        self._door.crashed(call.request)
        self._send(call, call.route.face.stopped(Stop(Trouble.BUG, BUG), call.route.endpoint, call.request))

    def _look(self) -> None:
        """End what takes too long, oldest first."""
        now = perf_counter()
        for connection in [c for c, since in self._reading.items() if now - since > EVERY_SECONDS]:
            del self._reading[connection]
            connection.go_the_long_way()
        late = [call for call in self._open if now - call.request.began > self._answer_seconds]
        for call in late:
            stop = Stop(Trouble.UNKNOWN, LATE)
            self._send(call, call.route.face.stopped(stop, call.route.endpoint, call.request))
        self._timer = None
        if self._open or self._reading:
            self._watch()
