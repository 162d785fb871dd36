"""An application of FastAPI's whose requests are metered, served by uvicorn: each way in which one may ask a model."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import openai
import uvicorn
from fastapi import BackgroundTasks, FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware

import farthing
from farthing.fakes.models import HEADER
from farthing.llm import MeteredApp, meter, metered, metering

WAYS = ("async", "sync", "endpoint", "background", "block", "middleware")
"""A stream that is read in a generator, or in one of a thread; a whole answer in the thread of an endpoint; one that is
asked for after the answer; a block; a stream behind a middleware that runs the application in another task."""


def asked(request: Request) -> dict[str, Any]:
    """What the caller wants to be asked of a model."""
    headers = {HEADER: request.headers.get(HEADER, "{}")}
    messages: Any = [{"role": "user", "content": "Hi!!"}]
    return {"model": "m", "messages": messages, "max_completion_tokens": 100, "extra_headers": headers}


class Elsewhere:
    """Runs what is below a path in another task, as middlewares of Starlette's do."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._other = BaseHTTPMiddleware(app, lambda request, call_next: call_next(request))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        there = scope["type"] == "http" and scope["path"] == "/chat/middleware"
        await (self._other if there else self._app)(scope, receive, send)


def application(url: str, ledger_url: str, guests_of_ledger: tuple[str, ...] = (), **options: Any) -> FastAPI:
    """The application, on a stand-in for a provider and a ledger of its own, with what `MeteredApp` is to be given."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        given: dict[str, Any] = {"base_url": f"{url}/v1", "api_key": "k", "max_retries": 0}
        async with farthing.aconnect(ledger_url, guests=guests_of_ledger) as ledger, openai.AsyncOpenAI(**given) as api:
            with farthing.connect(ledger_url) as beside, openai.OpenAI(**given) as blocking:
                app.state.ledger, app.state.beside = ledger, beside
                app.state.api = meter(api, ledger=ledger)
                app.state.blocking = meter(blocking, ledger=beside)
                yield

    app = FastAPI(lifespan=life)

    @app.post("/chat/async")
    @app.post("/chat/middleware")
    async def in_a_generator(request: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            stream = await app.state.api.chat.completions.create(**asked(request), stream=True)
            async for chunk in stream:
                yield f"{chunk.choices[0].delta.content or '-'}\n"
            if request.headers.get("x-bill"):
                tab = request.scope["farthing"]
                assert await tab.asettled(60)
                yield json.dumps([str(tab.charged), str(tab.balance), tab.level])

        return StreamingResponse(pieces())

    @app.post("/chat/sync")
    def in_a_generator_of_a_thread(request: Request) -> StreamingResponse:
        def pieces() -> Iterator[str]:
            for chunk in app.state.blocking.chat.completions.create(**asked(request), stream=True):
                yield f"{chunk.choices[0].delta.content or '-'}\n"
            if request.headers.get("x-bill"):
                tab = request.scope["farthing"]
                assert tab.settled(60)
                yield json.dumps([str(tab.charged), str(tab.balance), tab.level])

        return StreamingResponse(pieces())

    @app.post("/chat/endpoint")
    def in_a_thread(request: Request) -> PlainTextResponse:
        answer = app.state.blocking.chat.completions.create(**asked(request))
        return PlainTextResponse(answer.choices[0].message.content)

    @app.post("/chat/background")
    async def afterwards(request: Request, tasks: BackgroundTasks) -> str:
        async def ask() -> None:
            await app.state.api.chat.completions.create(**asked(request))

        tasks.add_task(ask)
        return "later"

    @app.post("/chat/block")
    async def by_hand(request: Request) -> str:
        async with metered(app.state.ledger, model="m", prompt="Hi!!") as call:
            call.used(input_tokens=5, output_tokens=2)
        return "done"

    @app.post("/chat/named")
    async def for_another(request: Request) -> str:
        async with metered(app.state.ledger, "somebody", model="m") as call:
            call.used(input_tokens=5, output_tokens=0)
        with metering(account="somebody"):
            await app.state.api.chat.completions.create(**asked(request))
        return "done"

    @app.get("/free")
    async def nothing() -> str:
        return "free"

    @app.websocket("/chat/socket")
    async def by_socket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("in")
        await socket.close()

    app.add_middleware(Elsewhere)
    given: dict[str, Any] = {"costs": "/chat", "ledger": lambda scope: app.state.ledger}
    app.add_middleware(MeteredApp, account=user_of, **given | options)
    return app


def user_of(scope: Any) -> str | None:
    """Whose a request is."""
    found: str | None = Request(scope).headers.get("x-user") if scope["type"] == "http" else None
    return found


@contextmanager
def served(app: Any) -> Iterator[str]:
    """An application on a free port, for as long as the block lasts; its address."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=30))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sock.setblocking(False)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([sock])), name="app", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)
