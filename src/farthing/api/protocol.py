"""The HTTP protocol: uvicorn's own on httptools, with what it leaves to a proxy in front.

- An answer leaves in one write. The server writes head and body apart, and each write is a system call that wakes the
  client; together they cost more than all that is done for a charge.
- The head of a request has to arrive in time and within a size, also on a connection that says nothing at all.
- What is no HTTP gets an error in JSON, like everything else.
"""

import asyncio
from typing import Any, Final

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

HEAD_SECONDS: Final = 10.0
HEAD_BYTES: Final = 65_536
_BUFFERED: Final = 65_536
_CONTINUE: Final = b"HTTP/1.1 100"


class OneWrite:
    """A transport that keeps what is written until the answer is complete, then writes it at once."""

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
        if self._size > _BUFFERED or data.startswith(_CONTINUE):
            self.flush()

    def flush(self) -> None:
        """Write what was kept."""
        if self._parts:
            parts, self._parts, self._size = self._parts, [], 0
            self._transport.write(b"".join(parts))

    def close(self) -> None:
        """Write what was kept, then close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._out: OneWrite
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        self._out = OneWrite(transport)
        super().connection_made(self._out)  # type: ignore[arg-type]
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for any more."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; what has begun but not ended its head is on a timer and counted."""
        super().data_received(data)
        cycle = self.cycle
        if self.scope is None or (cycle is not None and cycle.scope is self.scope):
            if self._head_timer is not None and cycle is not None:
                self._head_is_there()
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._refuse(431, "head_too_large", f"The head of a request may have at most {HEAD_BYTES:,} bytes.")
        elif self._head_timer is None:
            self._await_head()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _head_is_there(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._refuse(408, "head_too_slow", "The head of the request did not arrive in time.")

    def on_response_complete(self) -> None:
        """The answer is complete: let it go."""
        self._out.flush()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, "malformed_http", msg)

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answer what never became a request, and close."""
        if self.cycle is not None and not self.cycle.response_complete:
            # The answer to the request before is still to come; nothing may be put before it.
            self.transport.close()
            return
        body = msgspec.json.encode({"status": status, "code": code, "detail": detail})
        head = (
            f"HTTP/1.1 {status} \r\ncontent-type: application/problem+json\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
