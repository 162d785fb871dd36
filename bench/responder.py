"""Owns the trivial server that shows the load generator's own ceiling: it reads the request and answers a constant."""

from __future__ import annotations

import argparse
import asyncio
from typing import cast

import httptools
import uvicorn
import uvloop
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

BODY = b'{"success":true,"data":{"newBalance":900,"deductedAmount":1},"timestamp":"2025-01-01T00:00:00.000Z"}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
ANSWER = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in HEADERS) + b"\r\n" + BODY


async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """The least that an ASGI application can do with a POST."""
    if scope["type"] != "http":
        return
    while (event := await receive())["type"] == "http.request" and event.get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS, "trailers": False})
    await send({"type": "http.response.body", "body": BODY, "more_body": False})


class Bare(asyncio.Protocol):
    """The least that a protocol can do: httptools tells when a message is complete, a constant goes back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and begin to parse."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Answer."""
        self._transport.write(ANSWER)


async def serve_bare(port: int) -> None:
    """Serve the bare protocol until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Serve on loopback: raw ASGI under uvicorn, or the bare protocol."""
    parser = argparse.ArgumentParser(prog="python -m bench.responder", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bare", action="store_true", help="httptools without uvicorn")
    options = parser.parse_args()
    if options.bare:
        uvloop.run(serve_bare(options.port))
    else:
        uvicorn.run(
            app, host="127.0.0.1", port=options.port, loop="uvloop", http="httptools", ws="none",
            lifespan="off", access_log=False, log_level="warning",
        )  # fmt: skip


if __name__ == "__main__":
    main()
