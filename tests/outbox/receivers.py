"""A receiver of webhooks, on the test's own event loop: keeps what it gets, and answers as it is told."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass
class Got:
    """A request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.body)["data"]
        return data


Answer = bytes | Callable[[Got], bytes | Awaitable[bytes]]


@dataclass
class Receiver:
    """What it got, and what it says."""

    answer: Answer = OK
    """`b""` ends the connection."""
    got: list[Got] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0
    port: int = 0
    resets: bool = False
    """It ends connections the hard way."""
    _hanging: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def ids(self) -> list[str]:
        return [each.id for each in self.got]

    def times(self) -> Counter[str]:
        return Counter(self.ids())

    async def hang(self, got: Got) -> bytes:
        """An answer that never comes."""
        await self._hanging.wait()
        return b""

    def let_go(self) -> None:
        """Hang up on all that wait."""
        self._hanging.set()

    async def _while_they_wait(self, said: Awaitable[bytes], reader: asyncio.StreamReader) -> bytes:
        """The answer; or none, once who has asked is gone."""
        answering, leaving = asyncio.ensure_future(said), asyncio.ensure_future(reader.read(1))
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            answering.cancel()
            return b""
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        return await answering

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
                body = await reader.readexactly(int(headers["content-length"]))
                got = Got(head[0].split(" ")[1], headers, body)
                self.got.append(got)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                said = self.answer(got) if callable(self.answer) else self.answer
                try:
                    answer = said if isinstance(said, bytes) else await self._while_they_wait(said, reader)
                finally:
                    self.at_once -= 1
                if not answer:
                    if self.resets:
                        writer.transport.abort()
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # they have gone, or the test is over
        finally:
            writer.close()


def says(status: int, body: bytes = b"", **headers: str) -> bytes:
    """An answer."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def receiving(answer: Answer = OK) -> AsyncIterator[Receiver]:
    """Serve on a free port."""
    receiver = Receiver(answer)
    server = await asyncio.start_server(receiver._serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.let_go()
        server.close()
