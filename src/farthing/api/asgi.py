"""The application: raw ASGI between the server and the faces.

A hot call is looked up by method, path and kind of credential before anything else is thought about. Around every
call stand the same few steps: who asks, how often, may he, the body within its limits and its time, the answer with
the request's id, one line in the log, one count. What the steps refuse is told in the words of the face.

A few lines over 400 lines: the steps of a call, in their order, are read together.
"""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from time import monotonic, perf_counter
from typing import Any, Final

import msgspec
from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from farthing.engine import Engine
from farthing.stores.contract import StoreError

from .endpoint import (
    Caller,
    CredentialKind,
    Cut,
    Endpoint,
    Face,
    Headers,
    Observer,
    Receive,
    Reply,
    Request,
    Route,
    Send,
    Stop,
    Trouble,
    write_time,
)
from .hot import BUG, LATE, HotPath
from .limits import RateLimiter, Verdict, header_fields, limit_field, policy_field
from .pages import Page, problem
from .routes import Templates
from .streaming import begun, pour
from .watch import Watch

_CLOSE: Final = (b"connection", b"close")
_SLOW: Final = "The body did not arrive in time."
_LATE_READING: Final = "There was no answer in time; try again."
_DRAINED: Final = 8_000_000
BROKEN_OFF: Final = "broken_off"
"""What the log calls an answer that could not be sent to its end."""
_CLIENT_GONE: Final = 499
_REQUEST_ID: Final = re.compile(rb"[!-~]{1,64}")
_encode = msgspec.json.Encoder().encode
_STATUS: Final = {
    Trouble.CREDENTIAL_MISSING: (401, "API_KEY_MISSING"),
    Trouble.METHOD: (405, "INVALID_INPUT"),
    Trouble.NOT_FOUND: (404, "INVALID_INPUT"),
}


class Limits(Struct, frozen=True, kw_only=True):
    """How much and how long."""

    body_bytes: int = 1_000_000
    body_seconds: float = 30.0
    answer_seconds: float = 30.0


class _Gone(Exception):
    """The client left before its body was complete."""


class App:
    """Serves the faces' endpoints, and the pages beside them."""

    def __init__(
        self,
        faces: Sequence[Face],
        *,
        pages: Mapping[str, Page],
        limiter: RateLimiter,
        now_us: Callable[[], int],
        observer: Observer,
        log: FilteringBoundLogger,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        access_log: bool = False,
        engine: Engine | None = None,
        parting: Callable[[], Awaitable[None]] | None = None,
        ending: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._pages = pages
        self._parting = parting
        self._ending = ending
        self._limiter = limiter
        self._now_us = now_us
        self._observer = observer
        self._log = log
        self._limits = limits
        self._access_log = access_log
        self._policies: dict[int, bytes] = {}
        self._loop: Any = object()
        self._watch = Watch(limits.body_seconds, limits.answer_seconds)
        self._faces: dict[CredentialKind, Face] = {kind: f for f in faces if not f.prefixes for kind in f.credentials}
        self._owned = [(prefix, f) for f in faces for prefix in f.prefixes]
        routes = {(e.method, e.path, kind): Route(f, e) for f in faces for kind in f.credentials for e in f.endpoints}
        self._whole = {key: route for key, route in routes.items() if "{" not in key[1]}
        self._routes = routes
        self._exact = frozenset(path for _, path, _ in routes if "{" not in path)
        self._templates = Templates(dict.fromkeys(path for _, path, _ in routes if path not in self._exact))
        self._request_ids = map((b"req_%s%%08x" % secrets.token_hex(6).encode()).__mod__, count())

        self.hot = None if engine is None else self._hot_path(engine)
        """The short way, past this application's front door."""

    def _hot_path(self, engine: Engine) -> HotPath:
        """For calls that are read from their body alone, and are one command of a known account."""
        routes = {
            (path, kind): route
            for (method, path, kind), route in self._whole.items()
            if method == "POST" and route.endpoint.read is not None and route.endpoint.owner is None
        }
        limits = self._limits
        return HotPath(routes, engine, self, self.request_id, limits.body_bytes, limits.answer_seconds)

    async def end_streams(self) -> None:
        """Bring to their end the answers that have none of their own: the server is about to stop."""
        if self._ending is not None:
            await self._ending()

    async def aclose(self) -> None:
        """Finish what goes on in the background."""
        if self._parting is not None:
            await self._parting()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One request, from its headers to its answer."""
        if scope["type"] != "http":
            await _other(scope, receive, send)
            return
        began = perf_counter()
        request = Request(scope, receive, b"", began)
        request.id = self.request_id(request)
        task = asyncio.current_task(self._loop) or self._settle_in()
        self._watch.begin(task, request)
        try:
            name, reply = await self._reply(request, task)
        finally:
            self._watch.end(task, request)
        if reply is not None:
            await send(_head(request, reply))
            if reply.parts is None:
                await send({"type": "http.response.body", "body": reply.body})
            else:
                reply = await self._poured(request, reply, send)
        self.answered(name, request, reply, perf_counter() - began)

    async def _poured(self, request: Request, reply: Reply, send: Send) -> Reply | None:
        """Send an answer that is made meanwhile; what it is to be counted as."""
        try:
            end = await pour(request, reply, send)
        except Exception:
            self.crashed(request)
            return Reply(500, b"", BROKEN_OFF)
        return reply if end == "whole" else None

    def request_id(self, request: Request) -> bytes:
        """The one that the client gave, or a new one."""
        given = request.headers.get(b"x-request-id")
        return given if given is not None and _REQUEST_ID.fullmatch(given) else next(self._request_ids)

    def answered(self, name: str, request: Request, reply: Reply | None, seconds: float) -> None:
        """Count and log an answer; None for a client that had gone."""
        status = _CLIENT_GONE if reply is None else reply.status
        self._observer.answered(name, status, seconds)
        if self._access_log or status >= 500:
            self._note(request, status, reply, seconds)

    def crashed(self, request: Request) -> None:
        """Log the bug that a request met."""
        self._log.exception("request failed", request_id=request.id.decode(), path=request.path[:200])

    def _settle_in(self) -> asyncio.Task[Any]:
        # To be told the loop spares each request a system call: without it, asyncio looks for a fork.
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task(self._loop)
        assert task is not None, "a server runs a request as a task"
        return task

    async def _reply(self, request: Request, task: asyncio.Task[Any]) -> tuple[str, Reply | None]:
        """The answer and whose it is; None for a client that has gone."""
        route = self._whole.get((request.method, request.path, request.credential)) or self._by_template(request)
        try:
            if route is None:
                return await self._cold(request)
            return route.face.name, await self._carried_out(route.face, route.endpoint, request)
        except asyncio.CancelledError:
            if request.cut is None:
                raise
            task.uncancel()
            return self._after_cut(route, request, request.cut)
        except Exception:
            self.crashed(request)
            if route is None:
                return "pages", problem(500, "internal_error", BUG)
            return route.face.name, route.face.stopped(Stop(Trouble.BUG, BUG), route.endpoint, request)

    def _by_template(self, request: Request) -> Route | None:
        """The route of a path with names in it; what stands in their place goes to the request."""
        if request.path in self._exact:
            return None
        found = self._templates.find(request.scope["raw_path"])
        if found is None:
            return None
        template, request.parameters = found
        return self._routes.get((request.method, template, request.credential))

    def _owner(self, path: str) -> Face | None:
        """The face whose own paths begin like this one."""
        for prefix, face in self._owned:
            if path.startswith(prefix):
                return face
        return None

    async def _carried_out(self, face: Face, endpoint: Endpoint, request: Request) -> Reply | None:
        """Who asks, how often, may he; then the body; then what was asked for."""
        try:
            request.caller = caller = await face.identify(request)
            request.extra = self.admit(endpoint, caller)
            request.body = await self._read_body(request, endpoint.body_bytes or self._limits.body_bytes)
            request.reading = False
            if endpoint.cost is not None:
                request.extra += self._counted(caller, endpoint.cost(request))
            return await begun(await face.answer(endpoint, request))
        except Stop as stop:
            return face.stopped(stop, endpoint, request)
        except StoreError as error:
            return face.failed(error, endpoint, request)
        except _Gone:
            return None

    def admit(self, endpoint: Endpoint, caller: Caller) -> Headers:
        """Count the request, and let the caller in where he has the scope; the fields that the answer carries."""
        # What says in its body how many requests it counts as, is counted once that is known.
        fields = caller.headers if endpoint.cost else caller.headers + self._counted(caller)
        if endpoint.scope not in caller.scopes or (caller.bound is not None and not endpoint.own):
            raise Stop(Trouble.SCOPE_MISSING, _lacking(endpoint, caller), fields)
        return fields

    def _counted(self, caller: Caller, cost: int = 1) -> Headers:
        """Count the request; the fields that tell how many more there may be."""
        verdict = self._limiter.hit(caller.id, monotonic(), cost, caller.quota)
        if verdict is None:
            return ()
        if verdict.allowed:
            return ((b"ratelimit-policy", self._policy(verdict)), (b"ratelimit", limit_field(verdict).encode()))
        message = f"Too many requests with this key; try again in {verdict.retry_after} s."
        raise Stop(Trouble.RATE_LIMIT, message, tuple(header_fields(verdict)))

    def _after_cut(self, route: Route | None, request: Request, cut: Cut) -> tuple[str, Reply | None]:
        if route is None:
            return "pages", None if cut is Cut.GONE else problem(503, "no_answer", _LATE_READING)
        face, endpoint = route.face, route.endpoint
        if cut is Cut.GONE:
            return face.name, None
        if cut is Cut.SLOW:
            return face.name, face.stopped(Stop(Trouble.TOO_SLOW, _SLOW, (_CLOSE,)), endpoint, request)
        if endpoint.writes:
            return face.name, face.stopped(Stop(Trouble.UNKNOWN, LATE), endpoint, request)
        return face.name, face.stopped(Stop(Trouble.UNKNOWN, _LATE_READING), endpoint, request)

    async def _read_body(self, request: Request, most: int) -> bytes:
        length = request.headers.get(b"content-length")
        if length is not None and int(length) > most:
            raise await self._too_large(request, most, int(length) <= _DRAINED)
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
            if size > most:
                raise await self._too_large(request, most, more)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _policy(self, verdict: Verdict) -> bytes:
        """The rule as a field; the same for all keys that have it."""
        known = self._policies.get(verdict.quota)
        if known is None:
            known = self._policies[verdict.quota] = policy_field(verdict).encode()
        return known

    async def _too_large(self, request: Request, most: int, more: bool) -> Stop:
        """The refusal, told to a client that still sends only once it has sent a little more: who is cut off in the
        middle of sending may never read why."""
        seen = 0
        while more and seen <= _DRAINED and b"expect" not in request.headers:
            message = await request.receive()
            seen += len(message.get("body", b""))
            more = message.get("more_body", False)
        return Stop(Trouble.TOO_LARGE, f"The body may have at most {most:,} bytes.", (_CLOSE,))

    # Everything that is not hot

    async def _cold(self, request: Request) -> tuple[str, Reply]:
        request.reading = False
        if page := self._pages.get(request.path):
            return "pages", await self._page(page, request)
        owner = self._owner(request.path)
        if owner is None and not request.path.startswith("/api/"):
            return "pages", problem(404, "not_found", f"There is nothing at {request.path[:200]}; see /docs.")
        there = self._at(request)
        if not there:
            return self._stopped(request, Stop(Trouble.NOT_FOUND, "There is no such path; see /docs."))
        # Of a path that several faces have, each kind of credential has its own calls.
        mine = [m for m, kind in there if kind == request.credential]
        methods = list(dict.fromkeys(mine or [m for m, _ in there]))
        if request.method == "OPTIONS":
            return "pages", Reply(204, b"", headers=(_allow([*methods, "OPTIONS"]),))
        if request.method not in methods:
            message = f"This path takes {' or '.join(methods)}, not {request.method[:20]}."
            return self._stopped(request, Stop(Trouble.METHOD, message, (_allow([*methods, "OPTIONS"]),)))
        return self._without_credential(request, [r for (m, _), r in there.items() if m == request.method])

    def _at(self, request: Request) -> dict[tuple[str, CredentialKind], Route]:
        """All calls of a path, by method and kind of credential."""
        path = request.path
        if path not in self._exact and (found := self._templates.find(request.scope["raw_path"])):
            path = found[0]
        return {(method, kind): route for (method, known, kind), route in self._routes.items() if known == path}

    async def _page(self, page: Page, request: Request) -> Reply:
        if request.method in ("GET", "HEAD"):
            return await page(request)
        allow = (_allow(["GET", "HEAD", "OPTIONS"]),)
        if request.method == "OPTIONS":
            return Reply(204, b"", headers=allow)
        return problem(405, "method_not_allowed", f"This page is read with GET, not {request.method[:20]}.", allow)

    def _without_credential(self, request: Request, owners: list[Route]) -> tuple[str, Reply]:
        """The call is there, but not for this kind of credential, or for none."""
        message = "Send your API key in the header X-API-Key, or your token as a bearer token."
        if request.credential != "none":
            message = "This call takes another kind of credential: an API key in X-API-Key, or a bearer token."
        stop = Stop(Trouble.CREDENTIAL_MISSING, message)
        if len({route.face.name for route in owners}) == 1 and not owners[0].endpoint.shared:
            return owners[0].face.name, owners[0].face.stopped(stop, owners[0].endpoint, request)
        return "none", self._union(stop)

    def _stopped(self, request: Request, stop: Stop) -> tuple[str, Reply]:
        face = self._owner(request.path) or self._faces.get(request.credential)
        return ("none", self._union(stop)) if face is None else (face.name, face.stopped(stop, None, request))

    def _union(self, stop: Stop) -> Reply:
        """Nobody knows which face was meant: a body that the clients of each can read."""
        status, code = _STATUS[stop.trouble]
        body = {
            "success": False,
            "code": code,
            "message": stop.message,
            "error": stop.message,
            "timestamp": write_time(self._now_us()),
        }
        return Reply(status, _encode(body), code, stop.headers)

    def _note(self, request: Request, status: int, reply: Reply | None, seconds: float) -> None:
        caller = getattr(request, "caller", None)
        tell = self._log.error if status >= 500 else self._log.info
        tell(
            "request",
            request_id=request.id.decode(),
            workspace=caller.workspace.id if caller else None,
            key=caller.id if caller else None,
            method=request.method,
            path=request.path[:200],
            status=status,
            code=(reply.code or None) if reply else None,
            ms=round(seconds * 1000, 2),
        )


def _lacking(endpoint: Endpoint, caller: Caller) -> str:
    if caller.person is None:
        return f"This API key lacks the scope '{endpoint.scope}'."
    return f"The role '{caller.role}' may not do this."


def _head(request: Request, reply: Reply) -> dict[str, Any]:
    headers = [
        (b"content-type", reply.content_type),
        (b"content-length", b"%d" % len(reply.body)),
        (b"x-request-id", request.id),
        *request.extra,
        *reply.headers,
    ]
    if reply.status == 204:
        headers = headers[2:]
    elif reply.parts is not None:
        del headers[1]
    return {"type": "http.response.start", "status": reply.status, "headers": headers}


def _allow(methods: Sequence[str]) -> tuple[bytes, bytes]:
    return (b"allow", ", ".join(methods).encode())


async def _other(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Life of the server is told and answered; there are no web sockets."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
