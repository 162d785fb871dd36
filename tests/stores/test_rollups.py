"""Reports equal a scan of the entries to the last unit, whatever is folded and whatever goes on meanwhile."""

import threading
from typing import Any

import pytest

from farthing.app import open_ledger
from farthing.backends import backend_of
from farthing.clock import FakeClock
from farthing.copying import copy
from farthing.core.commands import Refund, TakeCharge
from farthing.core.rollup import QUARTER_US, Dims, Sums
from farthing.doctor import examine
from farthing.jobs.folding import fold, fold_all
from farthing.stores import doctor_usage, rollups
from farthing.stores.contract import Unavailable
from farthing.stores.reports import Execute, Work
from farthing.stores.rollups import STRIKE_AFTER_US, Rollups
from farthing.stores.usage_reports import UsageReports
from farthing.timezones import calendar
from tests.postgres import TEMPLATE
from tests.scans import agree, fold_what_waits, folded_agrees
from tests.stores.shop import Shop
from tests.stores.traffic import Traffic
from tests.support import START_US, USED


@pytest.fixture(params=["sqlite", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    """A ledger of its own for each test: reports are about all of it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        url = request.getfixturevalue("databases").make(TEMPLATE)
    made = Shop(url)
    yield made
    made.ledger.close()


@pytest.fixture
def postgres_shop(databases: Any) -> Any:
    made = Shop(databases.make(TEMPLATE))
    yield made
    made.ledger.close()


def rollups_of(shop: Shop) -> Rollups:
    return Rollups(shop.ledger.database)


def scan(shop: Shop, seed: int = 0, ranges: int = 12) -> int:
    """Every report agrees with a scan; how many entries it saw."""
    entries: int = shop.wait(agree(shop.ledger.database, "main", shop.now, seed, ranges))
    return entries


def fold_everything(shop: Shop) -> int:
    folded: int = shop.wait(fold_all(rollups_of(shop), shop.now))
    return folded


def execute(shop: Shop, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = shop.wait(shop.ledger.database.rows(sql, values))
    return rows


def examined(shop: Shop) -> list[str]:
    return [finding.sentence for finding in examine(shop.ledger.backend.place).findings]


def charge(shop: Shop, account: str = "a", amount: int = 5) -> str:
    return shop.charge(account, amount, operation="reply").id


# What is said


def test_reports_equal_a_scan_before_between_and_after_folding(shop: Shop):
    traffic = Traffic(shop, seed=1)
    for part in range(4):
        traffic.run(60)
        scan(shop, seed=part)
        assert shop.wait(fold(rollups_of(shop), shop.now)).entries > 0
        traffic.run(15)
        scan(shop, seed=part)
    fold_everything(shop)
    assert scan(shop, seed=9, ranges=40) > 100
    shop.wait(folded_agrees(shop.ledger.database))


def test_reports_equal_scans_while_charges_refunds_and_folding_go_on(shop: Shop):
    traffic = Traffic(shop, seed=2)
    traffic.run(40)
    going, scanned = threading.Event(), 0
    going.set()

    def fold_on() -> None:
        while going.is_set():
            shop.wait(fold(rollups_of(shop), shop.now))

    folder = threading.Thread(target=fold_on)
    charging = threading.Thread(target=traffic.run, args=(250,))
    if shop.ledger.database.dialect == "sqlite":
        # One connection reads for one thread at a time: what waits here are the threads, not the statements.
        shop.ledger.database = Locked(shop.ledger.database)
    folder.start()
    charging.start()
    try:
        while charging.is_alive() or not scanned:
            scan(shop, seed=scanned, ranges=3)
            scanned += 1
    finally:
        charging.join()
        going.clear()
        folder.join()
    fold_everything(shop)
    shop.wait(folded_agrees(shop.ledger.database))
    assert examined(shop) == []


class Locked:
    """A database for several threads, one at a time."""

    dialect = "sqlite"

    def __init__(self, database: Any) -> None:
        self._database = database
        self._lock = threading.Lock()

    async def rows(self, *of: Any) -> Any:
        with self._lock:
            return await self._database.rows(*of)

    async def read(self, work: Any) -> Any:
        with self._lock:
            return await self._database.read(work)

    async def write(self, work: Any) -> Any:
        with self._lock:
            return await self._database.write(work)

    async def close(self) -> None:
        await self._database.close()


def test_a_refund_is_negative_revenue_on_its_own_day_under_its_charges_words(shop: Shop):
    shop.grant("a", 100)
    first = charge(shop)
    fold_everything(shop)
    shop.clock.advance(days(2))
    shop.do(Refund(workspace="main", account="a", charge=first, amount=3))
    reports = UsageReports(shop.ledger.database, calendar, lambda: shop.now)
    for _ in range(2):
        points = shop.wait(reports.revenue("main", START_US, START_US + 3 * 86_400_000_000))
        assert [(p.sums.revenue, p.sums.refunded, p.sums.requests) for p in points] == [
            (5, 0, 1),
            (0, 0, 0),
            (-3, 3, 0),
        ]
        spent = shop.wait(reports.spend("main", points[2].start, points[2].end, "operation"))
        assert [(part.operation, part.sums.revenue) for part in spent[0].parts] == [("reply", -3)]
        fold_everything(shop)


def days(count: int) -> float:
    return count * 86_400.0


def test_sums_go_beyond_what_a_column_holds(shop: Shop):
    shop.grant("a", 100)
    charge(shop)
    place = ("main", "a", QUARTER_US, START_US, Dims("s", "o", "p", "m"))
    everybody = ("main", "", *place[2:])
    huge = Sums(requests=1, tokens=5 * 2**63, charged=2**63, revenue=-(2**70) - 1, cost=10**27)
    for _ in range(3):
        marks = shop.wait(rollups_of(shop).marks())
        added = rollups_of(shop).add(marks, dict(marks.lanes), {place: huge, everybody: huge}, shop.now)
        assert shop.wait(added)
    reports = UsageReports(shop.ledger.database, calendar, lambda: shop.now)
    start, end = START_US, START_US + QUARTER_US
    for found in (
        shop.wait(reports.spend("main", start, end, "model", "quarter"))[0].parts,
        shop.wait(reports.top_accounts("main", start, end)),
    ):
        sums = next(part.sums for part in found if part.sums.tokens)
        assert (sums.tokens, sums.charged, sums.cost) == (15 * 2**63, 3 * 2**63 + 5 * (sums.requests == 4), 3 * 10**27)
        assert sums.revenue in (-3 * 2**70 - 3, -3 * 2**70 - 3 + 5)


# Folding


def test_of_two_that_fold_the_same_entries_one_is_too_late_and_does_nothing(shop: Shop):
    Traffic(shop, seed=3).run(30)
    one = rollups_of(shop)
    before = shop.wait(one.marks())
    page = shop.wait(one.unfolded(dict(before.lanes), 10_000))
    assert fold_everything(shop) == page.size
    late = {("main", "a0", QUARTER_US, START_US, Dims()): Sums(requests=1)}
    assert shop.wait(one.add(before, before.lanes | page.marks, late, shop.now)) is False
    shop.wait(folded_agrees(shop.ledger.database))


def test_who_has_folded_lately_is_left_to_it(shop: Shop):
    shop.grant("a")
    assert shop.wait(fold(rollups_of(shop), shop.now)).entries == 2
    charge(shop)
    assert shop.wait(fold(rollups_of(shop), shop.now, leave_since_us=shop.now - 1)) is None
    assert shop.wait(fold(rollups_of(shop), shop.now, leave_since_us=shop.now)).entries == 1


class Dying:
    """A database whose writing ends after so many statements."""

    def __init__(self, database: Any, after: int) -> None:
        self._database = database
        self._left = after
        self.dialect = database.dialect
        self.rows = database.rows

    async def write(self, work: Work[Any]) -> Any:
        async def cut(execute: Execute) -> Any:
            async def counted(*of: Any) -> Any:
                self._left -= 1
                if self._left < 0:
                    raise Unavailable("the plug was pulled")
                return await execute(*of)

            return await work(counted)

        return await self._database.write(cut)


def test_folding_that_ends_in_the_middle_has_done_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rollups, "_PIECE", {"sqlite": 3, "postgres": 3})
    Traffic(shop, seed=4).run(40)
    for after in (1, 2, 5, 12):
        with pytest.raises(Unavailable):
            shop.wait(fold(Rollups(Dying(shop.ledger.database, after)), shop.now))  # type: ignore[arg-type]
        assert execute(shop, "select count(*) from rollup") == [(0,)]
    scan(shop)
    fold_everything(shop)
    shop.wait(folded_agrees(shop.ledger.database))


def test_small_pages_and_chunks_fold_the_same(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("farthing.jobs.folding.PAGE", 2)
    monkeypatch.setattr("farthing.jobs.folding.CHUNK", 5)
    Traffic(shop, seed=6).run(60)
    parts = 0
    while (part := shop.wait(fold(rollups_of(shop), shop.now))).entries:
        parts += 1
        assert part.entries <= 5 + 256
        scan(shop, ranges=2)
    assert parts > 5
    shop.wait(folded_agrees(shop.ledger.database))


# Lanes


def test_entries_of_programs_without_lanes_wait_for_older_transactions(postgres_shop: Shop):
    """What an open transaction has written may come to light behind what is there already."""
    shop = postgres_shop
    shop.grant("a", 100)
    fold_everything(shop)
    early, late = Writer(shop, "early"), Writer(shop, "late")
    early.write(7)
    late.write(11)
    late.commit()
    scan(shop)
    assert fold_everything(shop) == 0
    scan(shop)
    early.commit()
    scan(shop)
    assert shop.wait(fold_what_waits(shop.ledger.database, shop.now)) == 2
    scan(shop)
    shop.wait(folded_agrees(shop.ledger.database))


class Writer:
    """A program that knows no lanes: it names the columns that there were."""

    def __init__(self, shop: Shop, account: str) -> None:
        from farthing.stores.postgres_sync import SyncConnection

        self._db = SyncConnection(shop.ledger.url)
        self._open = self._db.transaction()
        self._open.__enter__()
        self._account = account

    def write(self, spent: int) -> None:
        columns = "workspace, account, bucket, number, id, kind, amount, balance, held, debt, at, actor, request_id"
        body = f'{{"spent":{spent}}}'
        self._db.rows(
            f"insert into entry ({columns}, operation, body, version, hash) values "
            "('main', $1, 0, 1, 'ent_' || $1, 'charge', $2, 0, 0, 0, $3, '', '', 'reply', $4, 1, '')",
            (self._account, -spent, START_US, body),
        )

    def commit(self) -> None:
        self._open.__exit__(None, None, None)
        self._db.close()


class Reopened(Shop):
    """A ledger that is there already, with another's clock."""

    def __init__(self, url: str, clock: FakeClock) -> None:
        self.clock = clock
        self.ledger = open_ledger(url, clock=clock)


@pytest.mark.parametrize("way", [("sqlite", "postgres"), ("postgres", "sqlite"), ("postgres", "postgres")])
def test_a_ledger_that_was_copied_is_folded_from_its_entries(way: tuple[str, str], databases: Any, tmp_path: Any):
    urls = [databases.make(TEMPLATE) if side == "postgres" else f"sqlite:///{tmp_path / 'ledger.db'}" for side in way]
    here = Shop(urls[0])
    Traffic(here, seed=7).run(60)
    fold_everything(here)
    here.ledger.close()
    backend_of(urls[1]).migrate()
    copy(here.ledger.backend.place, backend_of(urls[1]).place)
    there = Reopened(urls[1], here.clock)
    try:
        assert execute(there, "select count(*) from rollup") == [(0,)]
        scan(there)
        there.wait(fold_what_waits(there.ledger.database, there.now))
        scan(there)
        there.wait(folded_agrees(there.ledger.database))
        assert examined(there) == []
    finally:
        there.ledger.close()


def test_lanes_that_are_done_with_are_struck_off_and_others_stay(postgres_shop: Shop):
    shop = postgres_shop
    shop.grant("a", 100)
    execute(shop, "insert into lane (id, batch, entry, moved_at) values (99, 3, '', 5)")
    shop.wait(rollups_of(shop).strike(shop.now + STRIKE_AFTER_US))
    assert lanes_of(shop) == [0, 1], "what is not folded waits in lane 1, and lane 0 always stays"
    fold_everything(shop)
    shop.wait(rollups_of(shop).strike(shop.now + STRIKE_AFTER_US))
    assert lanes_of(shop) == [0, 1], "it was moved just now"
    shop.wait(rollups_of(shop).strike(shop.now + STRIKE_AFTER_US + 1))
    assert lanes_of(shop) == [0]
    scan(shop)
    assert examined(shop) == []


def lanes_of(shop: Shop) -> list[int]:
    return [row[0] for row in execute(shop, "select id from lane order by id")]


def test_the_tail_is_found_by_an_index_also_where_nothing_was_analyzed(postgres_shop: Shop):
    sql = UsageReports(postgres_shop.ledger.database, calendar, lambda: 0)._sql["tail"]
    kind = "explain (generic_plan) " if int(execute(postgres_shop, "show server_version_num")[0][0]) >= 160_000 else ""
    if not kind:
        sql = sql.replace("$1", "'main'").replace("$3", "'main'").replace("$2", "null").replace("$4", "null")
        kind = "explain "
    plan = "\n".join(row[0] for row in execute(postgres_shop, kind + sql))
    assert "entry_lane" in plan
    assert "entry_without_lane" in plan
    assert "Seq Scan on entry" not in plan


# Doctor


def test_doctor_finds_nothing_whatever_is_folded(shop: Shop, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor_usage, "PAGE", 7)
    traffic = Traffic(shop, seed=5)
    for _ in range(3):
        traffic.run(50)
        assert examined(shop) == []
        shop.wait(fold(rollups_of(shop), shop.now))
        assert examined(shop) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("update rollup set requests = requests + 1 where account = 'a'", "requests is 2 and should be 1"),
        ("update rollup set revenue_low = revenue_low - 1 where account = 'a'", "revenue is 4 and should be 5"),
        ("delete from rollup where account = 'a'", "requests is 0 and should be 1"),
        ("update rollup set account = 'nobody' where account = 'a'", "requests is 1 and should be 0"),
        ("delete from rollup where account = '' and span = 900000000", "sums differ from those of the accounts"),
        ("delete from rollup where account = '' and span <> 900000000", "sums differ from those of the quarters"),
        ("update lane set batch = 0", "requests is 1 and should be 0"),
    ],
)
def test_doctor_names_sums_that_entries_do_not_add_up_to(shop: Shop, damage: str, said: str):
    shop.grant("a", 100)
    charge(shop)
    fold_everything(shop)
    execute(shop, damage)
    assert any(said in sentence for sentence in examined(shop)), examined(shop)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("update usage set tokens = tokens + 1", "does not say what its entry does"),
        ("update usage set chat = 'other'", "does not say what its entry does"),
        ("delete from usage", "there is no row of it"),
        ("update usage set account = 'b'", "no charge carries it"),
    ],
)
def test_doctor_names_usage_that_is_not_what_its_entry_says(shop: Shop, damage: str, said: str):
    shop.grant("a", 100)
    shop.do(TakeCharge(workspace="main", account="a", amount=5, usage=USED))
    if shop.ledger.database.dialect == "sqlite":
        execute(shop, "drop trigger usage_no_update")
        execute(shop, "drop trigger usage_no_delete")
    else:
        execute(shop, "alter table usage disable trigger usage_no_change")
    execute(shop, damage)
    assert any(said in sentence for sentence in examined(shop)), examined(shop)
