"""Reading for people on PostgreSQL, and small writes outside the engine (keys, settings)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

from .postgres_link import Link, Row, rows_of
from .reports import Execute, Work
from .statements import in_words_of

T = TypeVar("T")
WRITERS: Final = 4_715_886
"""Number of the advisory lock under which administrative writes take turns."""


class PostgresDatabase:
    """Reading for people, and small writes outside the engine, on a few connections of one event loop."""

    dialect = "postgres"

    def __init__(self, dsn: str, connections: int = 2) -> None:
        self._links = [Link(dsn) for _ in range(connections)]
        self._free: asyncio.LifoQueue[Link] = asyncio.LifoQueue()
        for link in self._links:
            self._free.put_nowait(link)

    async def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of one statement, as they stood at one moment."""

        async def work(link: Link) -> list[Row]:
            return rows_of(await link.read(in_words_of(self.dialect, sql), *values))

        return await self._on_a_link(work)

    async def read(self, work: Work[T]) -> T:
        """Run `work(execute)`, which only reads: all that it sees is of one moment."""

        async def beheld(link: Link) -> T:
            await link.begin()
            try:
                await link.fetch("set transaction isolation level repeatable read read only")
                return await work(self._executing(link))
            finally:
                await link.rollback()

        return await self._on_a_link(beheld)

    async def write(self, work: Work[T]) -> T:
        """Run `work(execute)` in one transaction that is on the disk when this returns. Such writes take turns."""

        async def locked(link: Link) -> T:
            await link.begin()
            try:
                # What is read here is what the one before has committed, as on a database with a single writer.
                await link.fetch(f"select pg_advisory_xact_lock({WRITERS})")
                result = await work(self._executing(link))
            except BaseException:
                await link.rollback()
                raise
            await link.commit()
            return result

        return await self._on_a_link(locked)

    def _executing(self, link: Link) -> Execute:
        async def execute(sql: str, values: Sequence[Any] = ()) -> list[Row]:
            return rows_of(await link.fetch(in_words_of(self.dialect, sql), *values))

        return execute

    async def _on_a_link(self, work: Callable[[Link], Awaitable[T]]) -> T:
        link = await self._free.get()
        try:
            return await work(link)
        finally:
            self._free.put_nowait(link)

    async def close(self) -> None:
        """End the connections."""
        for link in self._links:
            await link.close()
