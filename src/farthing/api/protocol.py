"""The HTTP protocol: uvicorn's own on httptools, with what it leaves to a proxy in front.

- An answer leaves in one write, and the answers of one turn of the event loop leave together. The server writes head
  and body apart, and at once; each write is a system call that wakes the client, and many of them cost more than all
  else that is done for a charge.
- The head of a request has to arrive in time and within a size, also on a connection that says nothing at all.
- What is no HTTP gets an error in JSON, like everything else.
"""

import asyncio
from typing import Any, Final

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

HEAD_SECONDS: Final = 10.0
HEAD_BYTES: Final = 65_536
_KEPT_BYTES: Final = 65_536
_CONTINUE: Final = b"HTTP/1.1 100"


class KeptTransport:
    """A transport that keeps what is written until it is told to let go."""

    __slots__ = ("_parts", "_size", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: list[bytes] = []
        self._size = 0
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Keep it, unless the client waits for it, or it gets much."""
        self._parts.append(data)
        self._size += len(data)
        if self._size > _KEPT_BYTES or data.startswith(_CONTINUE):
            self.let_go()

    def let_go(self) -> None:
        """Write what was kept."""
        if self._parts:
            parts, self._parts, self._size = self._parts, [], 0
            self._transport.write(b"".join(parts))

    def close(self) -> None:
        """Write what was kept, then close."""
        self.let_go()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Answers:
    """Complete answers of one event loop, on their way out; one object for all connections of a server."""

    def __init__(self) -> None:
        self._waiting: list[KeptTransport] = []

    def add(self, transport: KeptTransport, loop: asyncio.AbstractEventLoop) -> None:
        """Let it go with the others, as soon as all that is ready now has had its turn."""
        self._waiting.append(transport)
        if len(self._waiting) == 1:
            loop.call_soon(self._let_go)

    def _let_go(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport in waiting:
            transport.let_go()


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        answers: Answers,
        head_seconds: float = HEAD_SECONDS,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._answers = answers
        self._head_seconds = head_seconds
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._kept: KeptTransport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        self._kept = KeptTransport(transport)
        super().connection_made(self._kept)  # type: ignore[arg-type]
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for any more."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; a head that has begun and not ended is on a timer and counted."""
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.scope is self.scope:
            if self._head_timer is not None:
                self._head_is_there()
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._refuse(431, "head_too_large", f"The head of a request may have at most {HEAD_BYTES:,} bytes.")
        elif self._head_timer is None:
            self._await_head()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self._head_seconds, self._head_is_late)

    def _head_is_there(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        self._refuse(408, "head_too_slow", "The head of the request did not arrive in time.")

    def on_response_complete(self) -> None:
        """The answer is complete: it may go."""
        self._answers.add(self._kept, self.loop)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, "malformed_http", msg)

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answer what never became a request, and close."""
        if self.transport.is_closing():
            return
        # While the answer to the request before is still to come, nothing may be put before it.
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            body = msgspec.json.encode({"status": status, "code": code, "detail": detail})
            head = f"HTTP/1.1 {status} \r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
            self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()


class Protocols:
    """Makes the protocol of each connection; what a server is given as its `http`."""

    def __init__(self, head_seconds: float = HEAD_SECONDS) -> None:
        self._answers = Answers()
        self._head_seconds = head_seconds

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> Protocol:
        """A new connection's."""
        return Protocol(config, server_state, app_state, _loop, answers=self._answers, head_seconds=self._head_seconds)
