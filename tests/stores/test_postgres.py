"""The behavioural suite on PostgreSQL."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import asyncpg
import msgspec
import pytest

from farthing.core.commands import GiveGrant
from farthing.stores.contract import Store
from farthing.stores.postgres import PostgresStore
from tests.stores.suite import ALICE, BOB, WORKSPACES, StoreSuite


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

    def test_batches_of_a_connection_are_numbered_in_the_order_of_their_commits(self, store, execute):
        for _ in range(3):
            self.play(store, GiveGrant(**ALICE, amount=5), GiveGrant(**BOB, amount=5))
        numbered = execute("select lane, batch, count(*) from entry group by lane, batch order by lane, batch")
        ((lane,),) = execute("select max(id) from lane")
        assert lane > 0
        assert numbered == [(lane, 1, 4), (lane, 2, 2), (lane, 3, 2)]

    def test_a_new_connection_opens_a_lane_of_its_own(self, store, execute, make_store):
        self.accept(store, GiveGrant(**ALICE, amount=5))
        store._link.drop()
        self.accept(store, GiveGrant(**ALICE, amount=5))
        self.accept(make_store(), GiveGrant(**ALICE, amount=5))
        lanes = [lane for (lane,) in execute("select distinct lane from entry order by lane")]
        assert len(lanes) == 3
        assert [lane for (lane,) in execute("select id from lane where id > 0 order by id")] == lanes

    def test_a_lane_never_takes_a_number_that_was_used_even_where_the_sequence_forgot(self, store, execute, make_store):
        self.accept(store, GiveGrant(**ALICE, amount=5))
        ((used,),) = execute("select max(lane) from entry")
        execute("delete from lane")
        execute("alter sequence lane_number restart")
        self.accept(make_store(), GiveGrant(**ALICE, amount=5))
        assert execute("select max(lane) from entry") == [(used + 1,)]

    def test_looking_alone_does_not_keep_a_lane(self, store, execute, monkeypatch):
        now = [0.0]
        monkeypatch.setattr("farthing.stores.postgres._seconds", lambda: now[0])
        self.accept(store, GiveGrant(**ALICE, amount=5))
        for _ in range(4):
            now[0] += 1_800
            self.look(store, GiveGrant(**ALICE, amount=5))
        self.accept(store, GiveGrant(**ALICE, amount=5))
        assert execute("select count(distinct lane), max(batch) from entry") == [(2, 1)]

    def test_a_lane_that_has_rested_too_long_is_not_taken_up_again(self, store, execute, monkeypatch):
        self.accept(store, GiveGrant(**ALICE, amount=5))
        monkeypatch.setattr("farthing.stores.postgres.LANE_SECONDS", -1.0)
        self.accept(store, GiveGrant(**ALICE, amount=5))
        assert execute("select count(distinct lane), max(batch) from entry") == [(2, 1)]


class TestUnderLocks(PostgresSuite):
    """As behind a pooler, after a race, and after an unknown outcome."""

    always_lock = True


class TestWithoutLocks(PostgresSuite):
    """As long as nobody else writes the same accounts."""

    always_lock = False
