"""A web server as small as a stand-in needs: requests, responses, routes; run as a program, or beside a test.

Handlers run on one event loop. What they change they change without waiting in between, so that nobody ever sees half
of it; that is all the locking there is.
"""

import asyncio
import json
import logging
import re
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote

import httpx2
import msgspec

try:
    import uvicorn
except ImportError as error:
    needed = "a stand-in needs the package uvicorn, which is not installed: pip install 'farthing[server]'"
    raise ImportError(needed, name=error.name) from error

MOST_BYTES: Final = 1_000_000
STOP_SECONDS: Final = 1
PATIENCE_SECONDS: Final = 60.0
"""How long a test waits for its stand-in, which may first have to wait for who is told of what happens."""
T = TypeVar("T")
Messages = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Refusal(Exception):
    """A request that can't be right: a status and a sentence."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    base: str
    """The address by which the caller knows this server."""

    def read(self, kind: type[T]) -> T:
        """The JSON of the body; nothing counts as an empty object."""
        try:
            return msgspec.json.decode(self.body or b"{}", type=kind, strict=False)
        except msgspec.MsgspecError as error:
            raise Refusal(str(error)) from error


@dataclass(frozen=True)
class Response:
    """What is answered."""

    body: bytes = b""
    status: int = 200
    type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    broken: bool = False
    """The connection ends in the middle of it."""
    parts: "Callable[[Line], Awaitable[None]] | None" = None
    """Writes the body part by part, in place of `body`."""


class Line:
    """The connection to who asked, for an answer that comes in parts."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.gone = asyncio.Event()
        """Who asked has left. What was written shortly before may or may not have reached him."""
        self.broken = False
        """To be set by who writes: the connection ends with what was written."""

    async def write(self, part: bytes) -> None:
        """Write one part; nothing, where nobody is there any more."""
        await self._send({"type": "http.response.body", "body": part, "more_body": True})
        # Writing waits for nobody while there is room: others have their turn, too, and `gone` is noticed.
        await asyncio.sleep(0)

    async def watch(self, receive: Messages) -> None:
        """Notice when who asked leaves."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()


def json_of(data: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer for programs."""
    return Response(json.dumps(data).encode(), status, headers=headers or {})


def html_of(page: str, status: int = 200) -> Response:
    """An answer for people."""
    return Response(page.encode(), status, "text/html; charset=utf-8")


def redirect(url: str) -> Response:
    """Look there."""
    return Response(b"", 303, headers={"location": url})


Handler = Callable[..., Awaitable[Response]]


class Routes:
    """Which handler answers what. A pattern such as /orders/{id} hands `id` to its handler by name."""

    def __init__(self) -> None:
        self.known: list[tuple[str, re.Pattern[str], Handler]] = []

    def add(self, method: str, pattern: str, handler: Handler) -> None:
        """Enter one."""
        self.known.append((method, re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", pattern)), handler))

    async def answer(self, request: Request) -> Response:
        """What its handler says."""
        others = []
        for method, pattern, handler in self.known:
            if found := pattern.fullmatch(request.path):
                if method == request.method:
                    return await handler(request, **{name: unquote(text) for name, text in found.groupdict().items()})
                others.append(method)
        if others:
            raise Refusal(f"{request.path} takes {' and '.join(others)}", 405)
        raise Refusal(f"there is nothing at {request.path}", 404)


class Fake(Protocol):
    """What can be served: routes, and what goes on while it is served."""

    routes: Routes

    def running(self) -> AbstractAsyncContextManager[None]:
        """Entered for as long as it is served."""
        ...


# Between ASGI and the handlers

_BREAKING: ContextVar[bool] = ContextVar("breaking", default=False)
"""Set in the task of a request whose connection is broken off."""


def _is_accident(record: logging.LogRecord) -> bool:
    return not _BREAKING.get()


def application(fake: Fake) -> Callable[[MutableMapping[str, Any], Messages, Send], Awaitable[None]]:
    """The ASGI program."""

    async def app(scope: MutableMapping[str, Any], receive: Messages, send: Send) -> None:
        try:
            response = await fake.routes.answer(await _request(scope, receive))
        except Refusal as refusal:
            response = json_of({"error": str(refusal)}, refusal.status)
        if response.parts is None:
            await _respond(response, send)
        else:
            await _respond_in_parts(response, response.parts, receive, send)

    return app


async def _request(scope: MutableMapping[str, Any], receive: Messages) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MOST_BYTES:
            raise Refusal("that is too long", 413)
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    base = f"{scope['scheme']}://{headers.get('host', 'localhost')}"
    return Request(scope["method"], scope["path"], query, headers, body, base)


async def _respond(response: Response, send: Send) -> None:
    length = len(response.body) + (1 if response.broken else 0)
    await send(_start_of(response, {"content-length": str(length)}))
    if response.broken:
        _BREAKING.set(True)
    # An answer that is never finished ends with the connection.
    await send({"type": "http.response.body", "body": response.body, "more_body": response.broken})


async def _respond_in_parts(
    response: Response, parts: Callable[[Line], Awaitable[None]], receive: Messages, send: Send
) -> None:
    await send(_start_of(response, {}))
    line = Line(send)
    watching = asyncio.create_task(line.watch(receive))
    try:
        await parts(line)
    finally:
        watching.cancel()
    if line.broken:
        _BREAKING.set(True)
        return
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _start_of(response: Response, more: dict[str, str]) -> dict[str, Any]:
    headers = {"content-type": response.type, **more, **response.headers}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": response.status, "headers": raw}


# Running


class _Server(uvicorn.Server):
    """uvicorn's server; signals come through the event loop, and a clean end is no death by signal."""

    def __init__(self, fake: Fake, on_ready: Callable[[], None]) -> None:
        # What is broken off on purpose would be logged as an accident.
        logging.getLogger("uvicorn.error").addFilter(_is_accident)
        super().__init__(
            uvicorn.Config(
                application(fake), lifespan="off", ws="none", interface="asgi3", log_config=None, access_log=False,
                server_header=False, timeout_graceful_shutdown=STOP_SECONDS,
            )
        )  # fmt: skip
        self._on_ready = on_ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take requests, and say so."""
        await super().startup(sockets)
        self._on_ready()

    def stop(self) -> None:
        """End it soon."""
        self.should_exit = True


async def _serve(fake: Fake, server: _Server, sock: socket.socket) -> None:
    async with fake.running():
        await server.serve([sock])


def serve(fake: Fake, sock: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve on a socket until SIGTERM or SIGINT."""
    server = _Server(fake, on_ready)

    async def main() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        await _serve(fake, server, sock)

    asyncio.run(main())


@contextmanager
def serving(fake: Fake) -> Iterator[str]:
    """Serve on a free port in a thread, for as long as the block lasts; its address."""
    ready = threading.Event()
    server = _Server(fake, ready.set)
    # Only of a socket that says it is TCP asyncio knows that answers must not wait to be acknowledged, part by part.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sock.setblocking(False)
        port = sock.getsockname()[1]
        thread = threading.Thread(target=lambda: asyncio.run(_serve(fake, server, sock)), name="fake", daemon=True)
        thread.start()
        try:
            assert ready.wait(PATIENCE_SECONDS), "the fake did not begin"
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop()
            thread.join(10)


class Remote:
    """A stand-in that is served, for a test to work on: `get` and `post` are those of its control."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx2.Client(base_url=url, timeout=PATIENCE_SECONDS)

    def get(self, path: str, **query: str) -> Any:
        """What there is: `get("books")`."""
        return _checked(self._http.get(f"/_fake/{path}", params=query))

    def post(self, path: str, **body: Any) -> Any:
        """Make something happen: `post("clock/advance", days=31)` puts the clock forward."""
        return _checked(self._http.post(f"/_fake/{path}", json=body))

    def be_patient(self, seconds: float) -> None:
        """Wait so long for each answer: for whoever makes much happen at once."""
        self._http.timeout = httpx2.Timeout(seconds)

    def close(self) -> None:
        """End the connections."""
        self._http.close()


def _checked(answer: httpx2.Response) -> Any:
    if answer.status_code != 200:
        raise ValueError(f"{answer.url.path}: {answer.text}")
    return answer.json()


@contextmanager
def controlled(fake: Fake) -> Iterator[Remote]:
    """Serve on a free port, for as long as the block lasts, and work on it."""
    with serving(fake) as url:
        remote = Remote(url)
        try:
            yield remote
        finally:
            remote.close()
