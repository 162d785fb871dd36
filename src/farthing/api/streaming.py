"""Streaming: an answer that is made while it is sent, part by part, and never as a whole in memory.

Its first part is made before anything is sent: what goes wrong until then is told like any trouble. What goes wrong
later cuts the connection, so that nobody takes a part for the whole: an answer in chunks that just ends is broken.
How long it takes in all has no limit; how long the client may let one part lie has.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final, Literal

from .endpoint import CONNECTION, Receive, Reply, Request, Send

STALLED_SECONDS: Final = 300.0
"""How long a client may take nothing of what is there for it."""

End = Literal["whole", "gone", "stalled"]


async def begun(reply: Reply | None) -> Reply | None:
    """The answer with its first part, where it is made in parts."""
    if reply is not None and reply.parts is not None:
        reply.body = await anext(reply.parts, b"")
    return reply


async def pour(request: Request, reply: Reply, send: Send, stalled_seconds: float = STALLED_SECONDS) -> End:
    """Send the parts of an answer whose head was sent; who has gone, or takes nothing, is left."""
    assert reply.parts is not None, "only what has parts is poured"
    connection = request.scope.get("extensions", {}).get(CONNECTION)
    gone = asyncio.create_task(_gone(request.receive))
    end: End | None = None
    try:
        part: bytes | None = reply.body
        while part is not None and end is None:
            end = await _sent(part, send, stalled_seconds)
            if connection is not None:
                connection.let_go()
            # Where a database answers at once nothing here would ever wait, and nobody else have a turn.
            await asyncio.sleep(0)
            if gone.done():
                end = "gone"
            if end is None:
                part, end = await _next(reply.parts, gone)
        if end is None:
            await send({"type": "http.response.body", "body": b""})
            end = "whole"
        return end
    finally:
        gone.cancel()
        await reply.parts.aclose()
        if end != "whole":
            await _cut(connection, request.receive)


async def _next(parts: AsyncGenerator[bytes, None], gone: asyncio.Task[None]) -> tuple[bytes | None, End | None]:
    """The next part, however long it takes to be there, unless the client goes meanwhile."""
    coming = asyncio.ensure_future(anext(parts, None))
    try:
        await asyncio.wait({coming, gone}, return_when=asyncio.FIRST_COMPLETED)
        return (coming.result(), None) if coming.done() else (None, "gone")
    finally:
        if not coming.done():
            coming.cancel()
            await asyncio.wait({coming})


async def _sent(part: bytes, send: Send, stalled_seconds: float) -> End | None:
    try:
        async with asyncio.timeout(stalled_seconds):
            await send({"type": "http.response.body", "body": part, "more_body": True})
    except TimeoutError:
        return "stalled"
    return None


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cut(connection: Any, receive: Receive) -> None:
    """End the connection, and wait until the server knows of it."""
    if connection is not None:
        connection.abort()
        await _gone(receive)
