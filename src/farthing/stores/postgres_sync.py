"""A blocking connection to PostgreSQL, for what is no coroutine: doctor, rebuild, migrations, threads that watch.

It drives an event loop of its own while it waits, so that it works wherever blocking is allowed; where the caller's
thread runs a loop already, a helper thread drives it. One thread at a time may use it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from .contract import StoreError, Unavailable, Unknown
from .postgres_errors import shown, translate
from .postgres_link import connect, is_pooled

if TYPE_CHECKING:
    import asyncpg

T = TypeVar("T")
Row = tuple[Any, ...]
Isolation = Literal["read_committed", "repeatable_read", "serializable"]
ANSWER_SECONDS: Final = 600.0
PAGE: Final = 500


class SyncConnection:
    """One connection, made at once. A statement marks its values `$1`, `$2`."""

    dialect: Final = "postgres"

    def __init__(self, dsn: str, *, answer_seconds: float | None = ANSWER_SECONDS) -> None:
        """Connect; no answer may take longer than `answer_seconds` (None: as long as it takes)."""
        self.shown = shown(dsn)
        """Its address as it may be shown."""
        self._answer_seconds = answer_seconds
        self._failed = False
        self._loop = asyncio.new_event_loop()
        try:
            self._connection: asyncpg.Connection[Any] = self._run(self._connect(dsn))
        except BaseException:
            self._loop.close()
            raise

    async def _connect(self, dsn: str) -> "asyncpg.Connection[Any]":
        # A statement that was prepared on one of a pooler's connections is not there on the next. Without names each is
        # prepared where it is carried out: the driver ends no turn between the two.
        return await (connect(dsn, statement_cache_size=0) if await is_pooled(dsn) else connect(dsn))

    # Asking

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of one statement."""
        return [tuple(record) for record in self._ask(self._connection.fetch(sql, *values))]

    def stream(self, sql: str, values: Sequence[Any] = (), page: int = PAGE) -> Iterator[Row]:
        """The rows of one statement, a page at a time; inside a transaction, and beside other statements of it."""
        cursor = self._ask(_begun(self._connection, sql, values))
        while found := self._ask(cursor.fetch(page)):
            yield from map(tuple, found)
            if len(found) < page:
                return

    def execute(self, script: str) -> str:
        """Run statements without values; the tag of the last one."""
        return str(self._ask(self._connection.execute(script)))

    def copy_in(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Append rows to a table with COPY, which has no limit of values and costs a third of inserting."""
        self._ask(self._connection.copy_records_to_table(table, columns=list(columns), records=rows))

    @contextmanager
    def transaction(self, isolation: Isolation = "read_committed", *, read_only: bool = False) -> Iterator[None]:
        """What is asked within commits when the block ends well, and never happened when it does not."""
        transaction = self._ask(_transaction(self._connection, isolation, read_only))
        self._failed = False
        try:
            yield
            if self._failed:
                # PostgreSQL would call it a commit, and undo everything.
                raise StoreError("a statement of the transaction failed; nothing was done")
        except BaseException:
            # What can't be undone here is undone by the server when it finds nobody at the other end.
            with contextlib.suppress(StoreError):
                self._ask(_awaited(transaction.rollback))
            raise
        try:
            self._ask(_awaited(transaction.commit))
        except Unavailable as error:
            if read_only:
                raise
            raise Unknown(f"the connection failed while committing: {error}") from error

    def close(self) -> None:
        """Say goodbye; harmless when that was said before."""
        if self._loop.is_closed():
            return
        try:
            with contextlib.suppress(StoreError):
                self._ask(self._connection.close(timeout=1))
        finally:
            self._connection.terminate()
            self._loop.close()

    def __enter__(self) -> "SyncConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Waiting

    def _ask(self, work: "Coroutine[Any, Any, T]") -> T:
        return self._run(self._within(work))

    async def _within(self, work: "Coroutine[Any, Any, T]") -> T:
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await work
        except Exception as error:
            self._failed = True
            raise translate(error) from error

    def _run(self, work: "Coroutine[Any, Any, T]") -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._drive(work)
        with ThreadPoolExecutor(1, thread_name_prefix="farthing-postgres") as helper:
            return helper.submit(self._drive, work).result()

    def _drive(self, work: "Coroutine[Any, Any, T]") -> T:
        task = self._loop.create_task(work)
        try:
            return self._loop.run_until_complete(task)
        finally:
            if not task.done():
                # Interrupted (Ctrl-C): the server is asked to stop as well.
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, StoreError):
                    self._loop.run_until_complete(task)


async def _begun(connection: "asyncpg.Connection[Any]", sql: str, values: Sequence[Any]) -> Any:
    return await connection.cursor(sql, *values)


async def _transaction(connection: "asyncpg.Connection[Any]", isolation: Isolation, read_only: bool) -> Any:
    transaction = connection.transaction(isolation=isolation, readonly=read_only)
    await transaction.start()
    return transaction


async def _awaited(work: "Callable[[], Coroutine[Any, Any, None]]") -> None:
    """Where the connection is gone the driver says so before there is anything to wait for."""
    await work()
