"""Somebody else's session holds the lock of an account on PostgreSQL: who waits for it is told in time that nothing was
done, all others go on, and nothing is done twice afterwards.

A lane has one transaction at a time: while a batch waits for a lock, all that comes later waits as well, and whoever is
in the batch with the locked account is told the same. What bounds the wait is `lock_timeout` (5 s in earnest, shorter
here). Other lanes, and other processes, don't notice.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from farthing.app import Ledger, open_ledger
from farthing.core.commands import GiveGrant, TakeCharge
from farthing.core.ids import BUCKETS, bucket_of
from farthing.core.outcomes import Accepted
from farthing.core.records import Entry, Workspace, WorkspaceSettings
from farthing.doctor import examine
from farthing.stores.access import Act
from farthing.stores.contract import Busy
from farthing.stores.postgres_sync import SyncConnection
from tests.partition import QUICK, UNIT, make_patient
from tests.support import entry_of

LANES = 4


def lane_of(account: str) -> int:
    return bucket_of("main", account) * LANES // BUCKETS


NAMES = [f"account-{n}" for n in range(40)]
LOCKED = NAMES[0]
SAME_LANE = next(name for name in NAMES[1:] if lane_of(name) == lane_of(LOCKED))
OTHER_LANE = next(name for name in NAMES[1:] if lane_of(name) != lane_of(LOCKED))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is not waited for as long as in earnest; all else is: a busy machine may take a while for an answer."""
    make_patient(monkeypatch.setattr, lock_timeout=QUICK["lock_timeout"])


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is waited for until the test lets go of it, however busy the machine is."""
    make_patient(monkeypatch.setattr)


@pytest.fixture
def open_it(postgres_url: str) -> Iterator[Callable[[int], Ledger]]:
    """Opens ledgers on one database, with so many lanes."""
    opened: list[Ledger] = []

    def make(lanes: int = 1) -> Ledger:
        opened.append(open_ledger(postgres_url, lanes=lanes))
        return opened[-1]

    first = make()
    workspace = Workspace("main", "Main", "test", "credits", 6, 1, WorkspaceSettings())
    first.wait(first.access.create_workspace(workspace, Act("test", 1)))
    for account in (LOCKED, SAME_LANE, OTHER_LANE):
        first.do(GiveGrant(workspace="main", account=account, amount=100 * UNIT))
    yield make
    for ledger in opened:
        ledger.close()
    assert examine(postgres_url).findings == []


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Somebody's session has the account's row."""
    with SyncConnection(url) as outside, outside.transaction():
        outside.rows("select id from account where id = $1 for update", (LOCKED,))
        yield


def charge(account: str, key: str | None = None) -> TakeCharge:
    return TakeCharge(workspace="main", account=account, amount=UNIT, key=key)


def charges(ledger: Ledger, account: str) -> list[Entry]:
    entries = ledger.wait(ledger.reports.entries("main", account))
    return [entry for entry in entries if entry.kind == "charge"]


def test_a_charge_of_a_locked_account_is_told_that_nothing_was_done_then_succeeds_once(quick, open_it, postgres_url):
    ledger = open_it(1)
    with locked(postgres_url):
        for _ in range(3):
            with pytest.raises(Busy, match="nothing was done"):
                ledger.do(charge(LOCKED, "k"))
    entry = entry_of(ledger.do(charge(LOCKED, "k")))
    again = ledger.do(charge(LOCKED, "k"))
    assert isinstance(again, Accepted)
    assert again.entry == entry
    assert charges(ledger, LOCKED) == [entry]


def test_a_lock_that_ends_in_time_is_just_waited_for(patient, open_it, postgres_url):
    ledger = open_it(1)
    told: list[Entry] = []
    caller = threading.Thread(target=lambda: told.append(entry_of(ledger.do(charge(LOCKED)))))
    with locked(postgres_url):
        caller.start()
        while not waiting(postgres_url):
            time.sleep(0.01)
    caller.join()
    assert len(told) == 1
    assert charges(ledger, LOCKED) == told


def waiting(url: str) -> bool:
    somebody = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with SyncConnection(url) as db:
        return bool(db.rows(somebody))


def test_other_accounts_of_the_lane_are_charged_between_two_waits(quick, open_it, postgres_url):
    ledger = open_it(1)
    with locked(postgres_url):
        stuck = [ask(ledger, charge(LOCKED)) for _ in range(2)]
        entry = entry_of(patiently(ledger, charge(SAME_LANE, "k")))
        assert charges(ledger, SAME_LANE) == [entry]
        for future in stuck:
            with pytest.raises(Busy):
                future.result(60)
    assert charges(ledger, LOCKED) == []


def ask(ledger: Ledger, command: TakeCharge) -> Any:
    """Ask without waiting."""
    assert ledger._own_loop is not None
    return asyncio.run_coroutine_threadsafe(ledger.engine.ask(command), ledger._own_loop.loop)


def patiently(ledger: Ledger, command: TakeCharge) -> Any:
    ends = time.monotonic() + 60
    while True:
        try:
            return ledger.do(command)
        except Busy:
            assert time.monotonic() < ends, "it never had a turn"


def test_another_lane_and_another_process_never_wait_for_it(patient, open_it, postgres_url):
    with_lanes, other = open_it(LANES), open_it(1)
    with locked(postgres_url):
        stuck = ask(with_lanes, charge(LOCKED))
        while not waiting(postgres_url):
            time.sleep(0.01)
        entry_of(with_lanes.do(charge(OTHER_LANE)))
        entry_of(other.do(charge(SAME_LANE)))
        assert not stuck.done()
    assert charges(other, LOCKED) == [entry_of(stuck.result(60))]
