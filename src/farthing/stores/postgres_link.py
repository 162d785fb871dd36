"""A link to PostgreSQL: one connection that is made when it is needed, with an end to every wait.

Any wait that takes too long ends the connection: the server then undoes what was not committed. So before a commit was
sent, a failure means that nothing was done; from then on it means that nobody knows.

Behind a pooler that gives a session another server connection for each transaction (PgBouncer in transaction mode)
nothing may be left on a connection: no prepared statement, no setting. A link finds that out by itself: the process
number that was told at the start is then not that of the server's process.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import asyncpg

from .contract import StoreError, Unavailable, Unknown
from .postgres_errors import translate

T = TypeVar("T")
Row = tuple[Any, ...]

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 10.0
"""Longer than the server's own time-outs, so that it is the server who says no as long as it can speak."""
SETTINGS: Final = {
    "lock_timeout": "5s",
    "statement_timeout": "8s",
    "idle_in_transaction_session_timeout": "10s",
    "tcp_user_timeout": "10s",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
"""What a transaction of ours runs under. The time-outs also end what a lost client has left open, with its locks. A
plan made once halves the latency of small batches."""
LOOK_UPS: Final = {"enable_seqscan": "off"}
"""Beside them, for whom all of its statements look rows up by their keys: a plan that is made once must not be that of
a table which was empty, or was never analyzed, when it was made."""


class Link:
    """One connection, for one task at a time."""

    def __init__(self, dsn: str, more: Mapping[str, str] | None = None) -> None:
        self._dsn = dsn
        self._settings = {**SETTINGS, **(more or {})}
        self._set_local = "".join(f"; set local {name} = '{value}'" for name, value in self._settings.items())
        self._connection: asyncpg.Connection[Any] | None = None
        self._pooled: bool | None = None
        self.open = False
        """In a transaction."""
        self._used = False
        """It has served before, so that its end may have come unnoticed."""
        self._made = 0

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """The rows of one statement, inside a transaction."""
        assert self._connection is not None, "a transaction was begun"
        return await self._within(self._connection.fetch(sql, *values))

    async def read(self, sql: str, *values: Any) -> list[Any]:
        """The rows of one statement that changes nothing, in a transaction of its own."""
        await self._ensure()
        return await self._again_if_lost(lambda c: c.fetch(sql, *values))

    async def pooled(self) -> bool:
        """Whether a pooler stands between; connects where that is not known yet."""
        await self._ensure()
        return bool(self._pooled)

    async def carry_out(self, sql: str, *values: Any) -> list[Any]:
        """One statement that writes and commits by itself; `Unknown` when it can't be told what became of it."""
        await self._ensure()
        assert self._connection is not None
        try:
            return await self._within(self._connection.fetch(sql, *values))
        except StoreError as error:
            # A server that goes down says so also of what it has committed and not yet told; of a full disk or of a
            # standby it speaks while nothing is done.
            if self._connection is None or type(error) is Unavailable:
                self.drop()
                raise _unknown(error) from error
            raise

    async def connection_number(self) -> int:
        """Which connection this is, counted from the first; makes it where there is none."""
        await self._ensure()
        return self._made

    async def begin(self) -> None:
        """Begin a transaction, on a new connection where there is none."""
        if self.open:
            await self.rollback()
        await self._ensure()
        await self._again_if_lost(lambda c: c.execute(f"begin{self._set_local if self._pooled else ''}"))
        self.open = True

    async def _again_if_lost(self, work: Callable[["asyncpg.Connection[Any]"], Awaitable[T]]) -> T:
        """Do what changes nothing yet; on a connection that has died since it was last used, on a new one."""
        assert self._connection is not None
        used = self._used
        try:
            return await self._within(work(self._connection))
        except Unavailable:
            if not used:
                raise
            await self._ensure()
            return await self._within(work(self._connection))

    async def commit(self) -> None:
        """Commit; `Unknown` when that can't be told."""
        assert self._connection is not None
        try:
            status = await self._within(self._connection.execute("commit"))
        except StoreError as error:
            self.drop()
            raise _unknown(error) from error
        self.open = False
        if status != "COMMIT":
            raise Unavailable("the database undid the transaction; nothing was done")

    async def rollback(self) -> None:
        """Undo; harmless where nothing is open. What can't be asked to undo is cut off, which undoes it as well."""
        if self._connection is None or not self.open:
            return
        self.open = False
        try:
            await self._within(self._connection.execute("rollback"))
        except StoreError:
            self.drop()

    def drop(self) -> None:
        """End the connection at once."""
        connection, self._connection, self.open = self._connection, None, False
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Say goodbye and end the connection."""
        connection, self._connection, self.open = self._connection, None, False
        if connection is not None:
            try:
                await connection.close(timeout=1)
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()

    async def _ensure(self) -> None:
        """A connection that is not known to be dead."""
        if self._connection is not None and not self._connection.is_closed():
            return
        self.drop()
        self._connection = await self._connect()
        self._made += 1
        self._used = False

    async def _connect(self) -> "asyncpg.Connection[Any]":
        if self._pooled is None:
            self._pooled = await is_pooled(self._dsn)
        if self._pooled:
            return await connect(self._dsn, statement_cache_size=0)
        return await connect(self._dsn, server_settings=self._settings)

    async def _within(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                result = await work
            self._used = True
            return result
        except BaseException as error:
            if isinstance(error, asyncpg.PostgresError) and not isinstance(error, asyncpg.PostgresConnectionError):
                # The server spoke: the connection is as good as before, unless it said goodbye.
                if self._connection is not None and self._connection.is_closed():
                    self.drop()
            else:
                self.drop()
            if isinstance(error, Exception):
                raise translate(error) from error
            raise


def _unknown(error: StoreError) -> Unknown:
    # What the error says of nothing done is true of anything but a commit.
    return Unknown(f"the connection failed while committing: {str(error).removesuffix('; nothing was done')}")


async def connect(dsn: str, **options: Any) -> "asyncpg.Connection[Any]":
    """A connection to the server, or a `StoreError` that says why there is none."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, **options)
    except Exception as error:
        raise translate(error, dsn) from error


async def is_pooled(dsn: str) -> bool:
    """Whether a pooler stands between. Looked at without leaving a trace: a pooler refuses settings that it does not
    know, and gives a connection to the next client as it is."""
    connection = await connect(dsn, statement_cache_size=0)
    try:
        async with asyncio.timeout(CONNECT_SECONDS), connection.transaction():
            return bool(await connection.fetchval("select pg_backend_pid()") != connection.get_server_pid())
    except Exception as error:
        raise translate(error, dsn) from error
    finally:
        connection.terminate()


def rows_of(records: Sequence[Any]) -> list[Row]:
    """Plain tuples, as every database gives them."""
    return [tuple(record) for record in records]
