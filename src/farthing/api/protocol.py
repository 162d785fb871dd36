"""The HTTP protocol: uvicorn's own on httptools, with what it leaves to a proxy in front.

- An answer leaves in one write, and the answers of one turn of the event loop leave together. The server writes head
  and body apart, and at once; each write is a system call that wakes the client, and many of them cost more than all
  else that is done for a charge.
- The head of a request has to arrive in time and within a size, also on a connection that says nothing at all.
- What is no HTTP gets an error in JSON, like everything else.
- A request that may be hot goes the short way (`hot`), past the server's cycle and scope; what turns out to be unusual,
  or comes in many pieces, is handed to the server as if it had never been looked at.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, cast

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from .endpoint import CONNECTION, Reply
from .hot import HotCall, HotPath

HEAD_SECONDS: Final = 10.0
HEAD_BYTES: Final = 65_536
_KEPT_BYTES: Final = 65_536
_HOT_PARTS: Final = 3
"""Pieces in which the body of a hot call may come: a client that sends more has a large one, or is slow."""
_CONTINUE: Final = b"HTTP/1.1 100"
_CLOSE: Final = (b"connection", b"close")


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
        self.parting = False
        """The server is about to end: each answer asks its client to connect again."""
        self._waiting: list[KeptTransport] = []
        self._defaults: list[tuple[bytes, bytes]] = []
        self._default_lines = b""

    def head(self, defaults: list[tuple[bytes, bytes]], call: HotCall, reply: Reply) -> bytes:
        """The head of an answer, in the order of the long way: the server's own fields, ours, the caller's."""
        if defaults is not self._defaults:  # made anew once a second
            self._defaults, self._default_lines = defaults, _lines(defaults)
        request = call.request
        return b"%b%bcontent-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n%b%b%b\r\n" % (
            STATUS_LINE[reply.status],
            self._default_lines,
            reply.content_type,
            len(reply.body),
            request.id,
            _lines(request.extra),
            _lines(reply.headers),
            b"" if call.keep_alive or _CLOSE in reply.headers else b"connection: close\r\n",
        )

    def add(self, transport: KeptTransport, loop: asyncio.AbstractEventLoop) -> None:
        """Let it go with the others, as soon as all that is ready now has had its turn."""
        self._waiting.append(transport)
        if len(self._waiting) == 1:
            loop.call_soon(self._let_go)

    def _let_go(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport in waiting:
            transport.let_go()


def _lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%b: %b\r\n" % field for field in fields])


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
        hot: HotPath | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._answers = answers
        self._head_seconds = head_seconds
        self._hot = hot
        self._hot_body: list[bytes] | None = None
        """Of a request that may be hot; None for any other."""
        self._hot_call: HotCall | None = None
        self._head_is_whole = False
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._kept: KeptTransport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        self._kept = KeptTransport(transport)
        super().connection_made(self._kept)  # type: ignore[arg-type]
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for any more."""
        self._head_is_there()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        if self._hot_call is not None and not self._hot_call.response_complete:
            self._hot_call.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; a head that has begun and not ended is on a timer and counted."""
        super().data_received(data)
        if self._hot_body is not None:
            assert self._hot is not None
            self._hot.await_body(self)
        if self._head_is_whole:
            if self._head_timer is not None:
                self._head_is_there()
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._refuse(431, "head_too_large", f"The head of a request may have at most {HEAD_BYTES:,} bytes.")
        elif self._head_timer is None:
            self._await_head()

    # Parsing, called by the server's parser while it is fed

    def on_message_begin(self) -> None:
        """A request begins; what the server keeps of it is made when it goes the server's way."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._head_is_whole = False

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head_is_whole = True
        self._head_bytes = 0
        if self._hot is not None and self.url in self._hot.paths and self._may_be_hot():
            self._hot_body = []
        else:
            self._hand_over()

    def _may_be_hot(self) -> bool:
        return (
            self._has_answered()
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not (self.expect_100_continue or self.parser.should_upgrade() or self.flow.write_paused)
        )

    def _has_answered(self) -> bool:
        """Nobody waits for an answer on this connection."""
        cycle: RequestResponseCycle | HotCall | None = self.cycle
        return cycle is None or cycle.response_complete

    def _hand_over(self) -> None:
        """Give the head to the server, which has not seen its beginning."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expect
        self.scope["headers"] = headers
        self.scope["extensions"] = {CONNECTION: cast(Any, self._kept)}
        super().on_headers_complete()
        if self._answers.parting:
            self.cycle.keep_alive = False

    def go_the_long_way(self) -> None:
        """Give what is there of a request to the server, unless it was complete and has gone the short way."""
        parts, self._hot_body = self._hot_body, None
        if parts is not None and not self.transport.is_closing():
            self._hand_over()
            for part in parts:
                super().on_body(part)

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        if self._hot_body is None:
            super().on_body(body)
            return
        self._hot_body.append(body)
        if len(self._hot_body) > _HOT_PARTS:
            self.go_the_long_way()

    def on_message_complete(self) -> None:
        """All of a request is there."""
        if self._hot_body is None:
            super().on_message_complete()
            return
        assert self._hot is not None
        call = self._hot.take(self.url, self.headers, b"".join(self._hot_body), self)
        if call is None:
            self.go_the_long_way()
            super().on_message_complete()
        else:
            self._hot_body = None

    # Answering

    def begin(self, call: HotCall) -> None:
        """A hot call is on its way: what follows on this connection waits for it."""
        self._hot_call = self.cycle = call  # type: ignore[assignment]
        call.keep_alive = not self._answers.parting

    def send(self, call: HotCall, reply: Reply) -> None:
        """Write the answer to a hot call."""
        if not call.disconnected:
            self._kept.write(self._answers.head(self.server_state.default_headers, call, reply) + reply.body)
            self.on_response_complete()
            if not call.keep_alive or _CLOSE in reply.headers:
                self._kept.close()

    def on_response_complete(self) -> None:
        """The answer is complete: it may go, and the connection waits for the next request. One timer looks at it now
        and then: to begin and end one for each request costs more."""
        self._answers.add(self._kept, self.loop)
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _unset_keepalive_if_required(self) -> None:
        """Nothing: the timer finds out by itself whether the connection was idle."""

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nobody has asked anything for long."""
        self.timeout_keep_alive_task = None
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if not self._has_answered() or self._head_timer is not None:
            left = self.timeout_keep_alive
        if left <= 0:
            if not self.transport.is_closing():
                self.transport.close()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)

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

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, "malformed_http", msg)

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answer what never became a request, and close."""
        if self.transport.is_closing():
            return
        # While the answer to the request before is still to come, nothing may be put before it.
        if self._has_answered():
            body = msgspec.json.encode({"status": status, "code": code, "detail": detail})
            head = f"HTTP/1.1 {status} \r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
            self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()


class Protocols:
    """Makes the protocol of each connection; what a server is given as its `http`."""

    def __init__(self, head_seconds: float = HEAD_SECONDS, hot: HotPath | None = None) -> None:
        self._answers = Answers()
        self._head_seconds = head_seconds
        self._hot = hot

    def part(self) -> None:
        """From now on each answer ends its connection."""
        self._answers.parting = True

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> Protocol:
        """A new connection's."""
        return Protocol(
            config,
            server_state,
            app_state,
            _loop,
            answers=self._answers,
            head_seconds=self._head_seconds,
            hot=self._hot,
        )
