"""The behavioural suite on PostgreSQL."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import asyncpg
import msgspec
import pytest

from farthing.stores.contract import Store
from farthing.stores.postgres import PostgresStore
from tests.stores.suite import WORKSPACES, StoreSuite


class PostgresSuite(StoreSuite):
    """On a database of its own."""

    always_lock: bool

    @pytest.fixture
    def loop(self) -> Iterator[asyncio.AbstractEventLoop]:
        with asyncio.Runner() as runner:
            self.runner = runner
            yield runner.get_loop()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.runner.run(work)

    @pytest.fixture
    def connection(self, postgres_url: str, loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
        db = self.runner.run(asyncpg.connect(postgres_url))
        insert = (
            "insert into workspace (id, name, mode, unit, scale, created_at, settings)"
            " values ($1, $2, $3, $4, $5, $6, $7)"
        )
        for w in WORKSPACES:
            settings = msgspec.json.encode(w.settings).decode()
            self.runner.run(db.execute(insert, w.id, w.name, w.mode, w.unit, w.scale, w.created_at, settings))
        yield db
        self.runner.run(db.close())

    @pytest.fixture
    def make_store(self, postgres_url: str, connection: Any) -> Iterator[Callable[[], Store]]:
        made: list[PostgresStore] = []

        def make() -> Store:
            made.append(PostgresStore(postgres_url, always_lock=self.always_lock))
            return made[-1]

        yield make
        for store in made:
            self.run(store.close())

    @pytest.fixture
    def execute(self, connection: Any) -> Callable[..., list[tuple[Any, ...]]]:
        return lambda sql: [tuple(row) for row in self.runner.run(connection.fetch(sql))]


class TestUnderLocks(PostgresSuite):
    """As behind a pooler, after a race, and after an unknown outcome."""

    always_lock = True


class TestWithoutLocks(PostgresSuite):
    """As long as nobody else writes the same accounts."""

    always_lock = False
