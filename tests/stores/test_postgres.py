"""The behavioural suite on PostgreSQL."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import asyncpg
import msgspec
import pytest

from farthing.app import open_ledger
from farthing.core.commands import GiveGrant, TakeCharge
from farthing.stores.access import Act
from farthing.stores.contract import Overtaken, Store
from farthing.stores.postgres import PostgresStore
from tests.stores.suite import ALICE, BOB, WORKSPACES, StoreSuite
from tests.support import MAIN, START_US


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

    def test_who_was_overtaken_tells_nothing_and_the_others_of_the_batch_do(self, store, make_store, execute):
        self.play(store, GiveGrant(**ALICE, amount=9), GiveGrant(**BOB, amount=9))
        self.ask_for(execute, '[["whe_1",["charge.created"],0]]')
        late = TakeCharge(**ALICE, amount=2), TakeCharge(**BOB, amount=3)
        kept = self.decide(self.load(store, *late), *late)[1]
        self.accept(make_store(), TakeCharge(**ALICE, amount=5))
        self.run(store.save(kept))
        with pytest.raises(Overtaken):
            self.run(store.commit())
        events, outbox = self.told(execute)
        told = [(account, msgspec.json.decode(data)["amount"]) for _, account, data in events]
        assert sorted(told) == [("alice", "0.000005"), ("bob", "0.000003")]
        assert sorted(account for _, account, _, _ in outbox) == ["alice", "bob"]


def test_a_plan_made_of_an_empty_table_does_not_read_all_of_it_when_it_is_full(postgres_url: str) -> None:
    """A vacuum of an empty table says that it has no pages: who plans once would read it from end to end ever after."""
    tables = ("account", "entry", "key", "grants", "charge")

    def grants(first: int) -> list[GiveGrant]:
        return [
            GiveGrant(workspace="main", account=f"a{n % 50}", amount=1, key=f"k{n}") for n in range(first, first + 400)
        ]

    async def played() -> dict[str, int]:
        db = await asyncpg.connect(postgres_url)
        ledger = open_ledger(postgres_url, inline_on=asyncio.get_running_loop())
        await ledger.access.create_workspace(MAIN, Act("test", START_US))
        for table in tables:
            await db.execute(f"vacuum analyze {table}")
        for first in (0, 400, 800):
            await asyncio.gather(*(ledger.engine.ask(command) for command in grants(first)))
        before = await _scans(db, tables)
        for first in (0, 1200, 1200):  # replays and new ones
            await asyncio.gather(*(ledger.engine.ask(command) for command in grants(first)))
        found = await _scans(db, tables)
        await ledger.aclose()
        await db.close()
        return {table: found[table] - before[table] for table in tables}

    assert asyncio.run(played()) == dict.fromkeys(tables, 0)


async def _scans(db: Any, tables: tuple[str, ...]) -> dict[str, int]:
    """How often each was read from end to end, by the sessions that have told so by now."""
    await asyncio.sleep(1.1)  # a session tells once a second
    await db.execute("select pg_stat_clear_snapshot()")
    rows = await db.fetch("select relname, seq_scan from pg_stat_user_tables where relname = any($1)", list(tables))
    return {row["relname"]: row["seq_scan"] for row in rows}
