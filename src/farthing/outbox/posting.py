"""Posting: a request to an endpoint, and as little of its answer as says what came of it.

No library's client: it would look names up by itself, follow redirects, take cookies and read all that is sent. Here a
connection goes to an address that the guard has looked at, and to no other; it is kept for the next request while there
is one; of an answer the status, one header and the first kilobyte are read, and who sends more is cut off.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import httptools
from msgspec import Struct

from .guard import Refused, Resolve, Target, vetted

BODY_BYTES: Final = 1_024
HEADER_BYTES: Final = 16_384
ADDRESSES: Final = 3
"""So many of a host's addresses are tried."""
BODY_SECONDS: Final = 2.0
"""For the body, once the headers are there."""
CONNECT_SECONDS: Final = 5.0
"""For each of them."""
IDLE_SECONDS: Final = 10.0
"""A connection that was not used for longer is not used again: its other end may be about to leave."""
AGENT: Final = b"farthing-webhooks"
_READ: Final = b"retry-after"
MakeContext = Callable[[], ssl.SSLContext]


class Posted(Struct, frozen=True):
    """What came of a request."""

    status: int | None
    """Of the answer; None where there was none."""
    retry_after: str | None
    detail: str
    """What to tell people about it: the beginning of the body, or why there was no answer."""
    seconds: float


class _Cut(Exception):
    """The other end left, or said what is no HTTP."""

    def __init__(self, why: str, stale: bool = False) -> None:
        super().__init__(why)
        self.stale = stale
        """It had left before it was asked: another connection may do."""


class _Connection(asyncio.Protocol):
    """A connection, and the answer that is being read."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._closed = False
        self._answered: asyncio.Future[None] | None = None
        self._used = False
        self.idle_since = 0.0
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._heard = False
        self._header_bytes = 0
        self._headers_done = False
        self._stays = False
        """It is over, and the connection may be used again."""
        self._patience: asyncio.TimerHandle | None = None
        self.status = 0
        self.retry_after: str | None = None
        self.body = b""

    # Asked by who posts

    @property
    def usable(self) -> bool:
        """For another request, now."""
        return not self._closed and time.monotonic() - self.idle_since < IDLE_SECONDS

    async def ask(self, message: bytes) -> None:
        """Send a request, and wait for the end of the answer, or of what is read of it; raises _Cut."""
        if self._closed or self._transport is None:
            raise _Cut("the connection was closed", stale=True)
        self._begin()
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        try:
            await self._answered
        finally:
            self._answered = None
            if self._patience is not None:
                self._patience.cancel()
            self._used = True
            self.idle_since = time.monotonic()
        if not self._stays:
            self.close()

    def close(self) -> None:
        """End it."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    # Called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's is none by class
        self.idle_since = time.monotonic()

    def data_received(self, data: bytes) -> None:
        """Some of the answer."""
        if self._answered is None or self._stays:
            self.close()  # nobody has asked for anything
            return
        self._heard = True
        if not self._headers_done:
            self._header_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self._headers_done:
                self._end()  # what came of it is known, whatever the rest is
            self._fail(_Cut(f"the answer is no HTTP ({error})"))
        except httptools.HttpParserUpgrade:
            self._fail(_Cut("the answer is an upgrade to another protocol"))
        if self._header_bytes > HEADER_BYTES:
            self._fail(_Cut("the headers of the answer are too long"))

    def eof_received(self) -> bool:
        """The other end says no more."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone."""
        self._closed = True
        if self._headers_done and self.status >= 200:
            self._end()  # an answer without a length ends so
        else:
            stale = self._used and not self._heard
            self._fail(_Cut("the connection was closed without an answer", stale))

    # Called by the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if name.lower() == _READ:
            self.retry_after = value[:100].decode("latin-1")

    def on_headers_complete(self) -> None:
        """All of them."""
        self.status = self._parser.get_status_code()
        self._headers_done = self.status >= 200
        if self._headers_done:
            # What came of it is known: who is slow to say the rest, or never ends, is not waited for.
            self._patience = asyncio.get_running_loop().call_later(BODY_SECONDS, self._end)

    def on_body(self, data: bytes) -> None:
        """Some of the body."""
        self.body += data[: BODY_BYTES - len(self.body)]
        if len(self.body) >= BODY_BYTES:
            self._end()

    def on_message_complete(self) -> None:
        """The end; not of one that only says that another will follow."""
        if self.status >= 200:
            self._stays = self._parser.should_keep_alive()  # it can't be asked any more later on
            self._end()

    def _end(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def _fail(self, why: _Cut) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(why)
        self.close()


class Poster:
    """Posts to one endpoint, over connections that it keeps."""

    def __init__(
        self, target: Target, resolve: Resolve, context: MakeContext, *, allow_private: bool, timeout_seconds: float
    ) -> None:  # fmt: skip
        self._target = target
        self._resolve = resolve
        self._context = context
        self._allow_private = allow_private
        self._timeout = timeout_seconds
        self._idle: deque[_Connection] = deque()
        self._head = (
            b"POST %b HTTP/1.1\r\nhost: %b\r\nuser-agent: %b\r\naccept: */*\r\ncontent-type: application/json\r\n"
            % (target.path.encode(), target.shown.encode(), AGENT)
        )

    async def post(self, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> Posted:
        """Send it; whatever happens is an answer."""
        began = time.monotonic()
        message = b"".join(
            (
                self._head,
                *(b"%b: %b\r\n" % header for header in headers),
                b"content-length: %d\r\n\r\n" % len(body),
                body,
            )
        )
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._ask(message)
        except TimeoutError:
            return _failed(f"no answer within {self._timeout:g} seconds", began)
        except Refused as refused:
            return _failed(str(refused), began)
        except ssl.SSLError as error:
            return _failed(f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}", began)
        except (OSError, _Cut) as error:
            return _failed(str(error) or type(error).__name__, began)
        seconds = time.monotonic() - began
        return Posted(connection.status, connection.retry_after, _shown(connection.body), seconds)

    def close(self) -> None:
        """End all connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    async def _ask(self, message: bytes) -> _Connection:
        while True:
            connection = self._kept()
            kept = connection is not None
            if connection is None:
                connection = await self._connected()
            try:
                await connection.ask(message)
            except _Cut as cut:
                if kept and cut.stale:
                    continue  # it had ended while it was idle
                raise
            except BaseException:
                connection.close()
                raise
            if connection.usable:
                self._idle.append(connection)
            return connection

    def _kept(self) -> _Connection | None:
        """The connection that was used last, if it may be used again."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    async def _connected(self) -> _Connection:
        """A connection to one of the addresses that were looked at."""
        addresses = await vetted(self._target, self._resolve, self._allow_private)
        last: Exception | None = None
        for address in addresses[:ADDRESSES]:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await self._connect(address)
            except TimeoutError:
                last = OSError(f"{address} does not answer")
            except ssl.SSLError:
                raise
            except OSError as error:
                last = error
        assert last is not None, "there is an address"
        raise last

    async def _connect(self, address: str) -> _Connection:
        secure: dict[str, Any] = {}
        if self._target.secure:
            secure = {"ssl": self._context(), "server_hostname": self._target.host}
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, address, self._target.port, **secure)
        return connection


def _failed(why: str, began: float) -> Posted:
    return Posted(None, None, why, time.monotonic() - began)


def _shown(body: bytes) -> str:
    """The beginning of a body, as text that any database and terminal takes."""
    text = body.decode(errors="replace")
    if text.isprintable():
        return text.strip()
    return "".join(each if each.isprintable() else " " for each in text).strip()
