"""A TCP proxy between the ledger and PostgreSQL that fails on demand, as networks do.

It runs on a thread of its own. A hole takes everything and forwards nothing until it heals; then what was kept back is
delivered late, as TCP does it after a partition. `at_commit` waits for the next message that makes the server commit,
a COMMIT or the statement that commits by itself, and fails exactly there: before the server has seen it, or after it
has answered.
"""

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qs, urlsplit

from farthing.stores.statements import statements

COMMIT = b"Q\x00\x00\x00\x0bcommit\x00"
READY = b"Z\x00\x00\x00\x05I"
"""The server's last word on what it was asked, when no transaction is open."""
STATUS = re.compile(rb"Z\x00\x00\x00\x05([ITE])")
"""The server's last word: whether a transaction is open."""
CARRY_OUT = statements("postgres", "store")["carry_out"].encode()
"""The one statement that commits by itself, where no transaction is open."""
PARSED = re.compile(rb"(__asyncpg_stmt_\w+)\x00" + re.escape(CARRY_OUT) + rb"\x00")
"""It gets a name, by which it is carried out later."""
AtCommit = Literal["cut before", "cut after", "hole before", "hole after"]
Way = Literal["up", "down"]
"""To the server, to the client."""
T = TypeVar("T")


class Proxy:
    """In front of the server that a URL names by its socket; `url` is the same database through the proxy."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._server = f"{options['host']}/.s.PGSQL.{options['port']}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._open: dict[Way, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._delay = 0.0
        self._at_commit: AtCommit | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.met = threading.Event()
        """Set once `at_commit` has met its commit."""
        self.port = self._run(self._start())
        self.url = f"postgresql://{parts.username}@127.0.0.1:{self.port}{parts.path}"

    # What can be done to it, from any thread

    def hole(self, *ways: Way) -> None:
        """Forward nothing these ways (both, where none is named) until `heal`; connections are still accepted."""
        self._do(lambda: self._make_hole(*ways))

    def heal(self) -> None:
        """Forward again, first of all what was kept back."""
        self._do(self._heal)

    def delay(self, seconds: float) -> None:
        """Forward everything later by so much, each way."""
        self._do(lambda: setattr(self, "_delay", seconds))

    def cut(self) -> None:
        """End all connections at once, on both sides."""
        self._do(self._cut)

    def at_commit(self, what: AtCommit) -> None:
        """Fail at the next commit."""
        self.met.clear()
        self._do(lambda: setattr(self, "_at_commit", what))

    def close(self) -> None:
        """End it, with all its connections."""
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # On its own thread

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def _do(self, act: Callable[[], object]) -> None:
        async def work() -> None:
            act()

        self._run(work())

    async def _start(self) -> int:
        self._heal()
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def _stop(self) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _heal(self) -> None:
        for way in self._open.values():
            way.set()

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _make_hole(self, *ways: Way) -> None:
        for way in ways or ("up", "down"):
            self._open[way].clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held = {writer}
        self._writers.add(writer)
        try:
            # While the server is away its address takes nobody.
            there, up = await asyncio.open_unix_connection(self._server)
            held.add(up)
            self._writers.add(up)
            pair = Pair(up, writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump("up", reader, up, pair))
                both.create_task(self._pump("down", there, writer, pair))
        except* OSError:
            pass  # one side has gone
        finally:
            for each in held:
                each.transport.abort()
            self._writers -= held

    async def _pump(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: "Pair"
    ) -> None:  # fmt: skip
        while True:
            data = await _read(reader)
            if self._fails_at(way, data, pair):
                pair.abort()
            if self._delay:
                await asyncio.sleep(self._delay)
            await self._open[way].wait()
            if not data:
                # The end comes late as well; the other way may still have something to say.
                writer.close()
                return
            writer.write(data)
            await writer.drain()

    def _fails_at(self, way: Way, data: bytes, pair: "Pair") -> bool:
        """Whether the connections end here; a hole is made on the way."""
        if way == "down" and (said := STATUS.findall(data)):
            pair.in_transaction = said[-1] != b"I"
        commits = way == "up" and pair.commits(data)
        if commits and self._at_commit:
            pair.at_commit, self._at_commit = self._at_commit, None
            due = pair.at_commit.endswith("before")
        else:
            due = way == "down" and pair.at_commit.endswith("after") and READY in data
        if not due:
            return False
        cuts, pair.at_commit = pair.at_commit.startswith("cut"), ""
        if not cuts:
            self._make_hole()
        self.met.set()
        return cuts


@dataclass
class Pair:
    """The two connections that belong together."""

    up: asyncio.StreamWriter
    down: asyncio.StreamWriter
    at_commit: AtCommit | Literal[""] = ""
    """What is to happen at the COMMIT that has passed."""
    in_transaction: bool = False
    _names: set[bytes] = field(default_factory=set)

    def commits(self, data: bytes) -> bool:
        """Whether a message to the server makes it commit."""
        carried_out = any(b"\x00" + name + b"\x00" in data for name in self._names)
        self._names |= set(PARSED.findall(data))
        return (carried_out and not self.in_transaction) or COMMIT in data

    def abort(self) -> None:
        """End both at once; raises, so that what was read is not forwarded."""
        self.up.transport.abort()
        self.down.transport.abort()
        raise ConnectionAbortedError


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65_536)
    except OSError:
        return b""
