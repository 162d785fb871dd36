"""Several lanes behind one door, on PostgreSQL."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from farthing.app import Ledger, open_ledger
from farthing.core.commands import GiveGrant, PlaceHold, Settle, TakeCharge
from farthing.core.ids import BUCKETS, bucket_of
from farthing.core.outcomes import Accepted
from farthing.doctor import examine
from farthing.engine import QueueFull, ShuttingDown
from farthing.lanes import Lanes
from farthing.stores.access import Act
from tests.support import MAIN, UNIT, entry_of, hold_id

NAMES = [f"account-{number}" for number in range(24)]


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[Ledger]:
    """A ledger with three lanes, whose accounts have 100 credits each."""
    with open_ledger(postgres_url, lanes=3) as ledger:
        ledger.wait(ledger.access.create_workspace(MAIN, Act("test", MAIN.created_at)))
        for name in NAMES:
            ledger.do(GiveGrant(workspace="main", account=name, amount=100 * UNIT))
        yield ledger


def charge(account: str, key: str) -> TakeCharge:
    return TakeCharge(workspace="main", account=account, amount=UNIT, key=key, operation="chat")


def test_an_account_has_one_lane_by_its_bucket_and_all_lanes_are_used(ledger: Ledger):
    assert isinstance(ledger.engine, Lanes)
    chosen = {name: ledger.engine._lane_of(charge(name, "k")) for name in NAMES}
    assert len(set(chosen.values())) == 3
    order = {id(lane): place for place, lane in enumerate(ledger.engine._lanes)}
    for name, lane in chosen.items():
        assert order[id(lane)] == bucket_of("main", name) * 3 // BUCKETS


def test_a_hold_that_is_named_alone_goes_the_way_of_its_account(ledger: Ledger):
    assert isinstance(ledger.engine, Lanes)
    for name in NAMES:
        placed = entry_of(ledger.do(PlaceHold(workspace="main", account=name, amount=5 * UNIT, ttl=60_000_000)))
        settle = Settle(workspace="main", account="", hold=hold_id(placed), amount=3 * UNIT)
        assert ledger.engine._lane_of(settle) is ledger.engine._lane_of(charge(name, "k"))
        assert entry_of(ledger.do(settle)).account == name


def test_many_at_once_are_each_charged_once_in_every_lane(ledger: Ledger, postgres_url: str):
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda n: ledger.do(charge(NAMES[n % 24], f"k{n % 96}")), range(192)))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert sum(outcome.replayed for outcome in outcomes if isinstance(outcome, Accepted)) == 96
    report = examine(postgres_url)
    assert (report.wrong_accounts, report.keys) == (0, 96)


def test_a_dry_run_keeps_nothing(ledger: Ledger):
    for name in NAMES:
        seen = ledger.wait(ledger.engine.ask(charge(name, "k"), dry=True))
        assert isinstance(seen, Accepted)
        assert not seen.replayed
        done = ledger.do(charge(name, "k"))
        assert isinstance(done, Accepted)
        assert not done.replayed


def test_the_queue_is_shared_out_and_a_closed_door_refuses(postgres_url: str):
    async def asked() -> None:
        ledger = open_ledger(postgres_url, lanes=3, max_queue=6, inline_on=asyncio.get_running_loop())
        assert ledger.engine.runs_here
        # Two for this lane, none of which can begin before this turn of the loop ends.
        for number in range(2):
            ledger.engine.submit(charge("alice", str(number)), lambda _: None)
            assert ledger.engine.depth == number + 1
        with pytest.raises(QueueFull):
            ledger.engine.submit(charge("alice", "one too many"), lambda _: None)
        await ledger.aclose()
        assert ledger.engine.depth == 0
        with pytest.raises(ShuttingDown):
            ledger.engine.submit(charge("alice", "too late"), lambda _: None)

    asyncio.run(asked())


def test_a_file_has_one_lane(tmp_path):
    with pytest.raises(ValueError, match="one writer at a time"):
        open_ledger(f"sqlite:///{tmp_path}/ledger.db", create=True, lanes=2)
