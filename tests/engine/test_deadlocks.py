"""Two processes that write the same accounts of PostgreSQL, in any order: one waits for the other, and never both.

A deadlock would be mended without a word, since the batch that the database gives up is run again: only the
database's own count tells of it. It is rare as well, so the order of the locks, which keeps it away, has tests apart.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from farthing.app import Ledger, open_ledger
from farthing.clock import ClockGuard, SystemClock
from farthing.core.commands import Command, GiveGrant, Refund, TakeCharge
from farthing.core.ids import bucket_of
from farthing.core.outcomes import Accepted, Outcome
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.doctor import examine
from farthing.engine import Engine
from farthing.stores.access import Act
from farthing.stores.postgres import PostgresStore
from farthing.stores.postgres_sync import SyncConnection
from farthing.timezones import calendar
from tests.partition import make_patient
from tests.support import UNIT, entry_of

Kind = Callable[[str, int], Command]
ACCOUNTS = sorted((f"account-{n}" for n in range(12)), key=lambda name: bucket_of("main", name))
"""In the order in which they are locked."""
ROUNDS = 30
SEED = 20261203


def charge(account: str, number: int) -> Command:
    return TakeCharge(workspace="main", account=account, amount=UNIT)


def grant(account: str, number: int) -> Command:
    """With a key and a claim: rows that both engines want to write, once."""
    claim = ("shop", f"{account}-{number}")
    return GiveGrant(workspace="main", account=account, amount=UNIT, key=f"{number}", claim=claim)


def opening(account: str, number: int) -> Command:
    """Makes an account that is not there yet."""
    return GiveGrant(workspace="main", account=f"{account}-{number}", amount=UNIT)


def refund(account: str, number: int) -> Command:
    """Runs under locks from the start."""
    return Refund(workspace="main", account=account, amount=UNIT)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that a test holds is waited for until it lets go, however busy the machine is."""
    make_patient(monkeypatch.setattr)


@pytest.fixture
def url(postgres_url: str) -> str:
    """A database that has the accounts, the last of their order first on the disk."""
    with open_ledger(postgres_url) as ledger:
        workspace = Workspace("main", "Main", "test", "credits", 6, 1, WorkspaceSettings())
        ledger.wait(ledger.access.create_workspace(workspace, Act("test", 1)))
        for account in reversed(ACCOUNTS):
            ledger.do(GiveGrant(workspace="main", account=account, amount=1_000 * UNIT))
    return postgres_url


# The count


@pytest.mark.parametrize("locks", [(False, False), (True, True), (False, True)], ids=["without", "with", "mixed"])
@pytest.mark.parametrize("kinds", [[charge], [charge, grant], [charge, opening]], ids=["charges", "grants", "new ones"])
def test_two_engines_that_write_the_same_accounts_in_any_order_never_deadlock(
    url: str, locks: tuple[bool, bool], kinds: Sequence[Kind]
):
    told = asyncio.run(both(url, locks, kinds))
    assert all(isinstance(outcome, Accepted) for outcome in told)
    assert deadlocks(url) == 0
    assert examine(url).findings == []


async def both(url: str, locks: tuple[bool, bool], kinds: Sequence[Kind]) -> list[Outcome]:
    """Two engines at once, each asked for the same, batch by batch, in an order of its own."""
    stores = [PostgresStore(url, always_lock=always) for always in locks]
    engines = [Engine(store, ClockGuard(SystemClock()), calendar) for store in stores]
    for engine in engines:
        engine.start(asyncio.get_running_loop())
    try:
        told = await asyncio.gather(*(rounds(engine, kinds, n) for n, engine in enumerate(engines)))
    finally:
        for engine in engines:
            await engine.aclose()
    return [outcome for outcomes in told for outcome in outcomes]


async def rounds(engine: Engine, kinds: Sequence[Kind], seed: int) -> list[Outcome]:
    rng = random.Random(f"{SEED}:{seed}")
    told: list[Outcome] = []
    for number in range(ROUNDS):
        commands = [kind(account, number) for kind in kinds for account in ACCOUNTS]
        rng.shuffle(commands)
        told += await asyncio.gather(*map(engine.ask, commands))
    return told


def deadlocks(url: str) -> int:
    """How many the database has met: a session tells its own when it ends."""
    others = "select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    with SyncConnection(url) as db:
        while db.rows(others):
            time.sleep(0.01)
        found: int = db.rows("select deadlocks from pg_stat_database where datname = current_database()")[0][0]
        return found


# The order


@pytest.mark.parametrize("kind", [charge, grant, refund])
def test_accounts_are_locked_in_one_order_wherever_they_lie_on_the_disk(url: str, kind: Kind):
    """Somebody has one in the middle: those before it are locked, those after it are not."""
    middle = len(ACCOUNTS) // 2
    with open_ledger(url) as ledger, SyncConnection(url) as outside:
        with outside.transaction():
            outside.rows("select id from account where id = $1 for update", (ACCOUNTS[middle],))
            asked = ask(ledger, [kind(account, 0) for account in random.Random(SEED).sample(ACCOUNTS, len(ACCOUNTS))])
            wait_for_a_lock(url)
            assert free(url) == set(ACCOUNTS[middle + 1 :])
        assert len(asked.result(60)) == len(ACCOUNTS)


def test_accounts_that_are_there_are_locked_before_any_is_opened(url: str):
    there = ACCOUNTS[0]
    with open_ledger(url) as ledger, open_ledger(url) as other, SyncConnection(url) as outside:
        with outside.transaction():
            outside.rows("select id from account where id = $1 for update", (there,))
            asked = ask(ledger, [opening("new", 0), charge(there, 0)])
            wait_for_a_lock(url)
            # Else he would wait for the one who waits for the lock.
            opened = entry_of(ask(other, [opening("new", 0)]).result(60)[0])
        granted, charged = map(entry_of, asked.result(60))
    assert opened.number == 2, "after the entry of the account itself"
    assert (granted.number, charged.account) == (3, there)
    assert examine(url).findings == []


def ask(ledger: Ledger, commands: Sequence[Command]) -> Any:
    """Ask for a batch without waiting."""

    async def batch() -> list[Outcome]:
        return await asyncio.gather(*map(ledger.engine.ask, commands))

    assert ledger._own_loop is not None
    return asyncio.run_coroutine_threadsafe(batch(), ledger._own_loop.loop)


def wait_for_a_lock(url: str) -> None:
    """Return once somebody waits for one."""
    waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with SyncConnection(url) as db:
        while not db.rows(waiting):
            time.sleep(0.01)


def free(url: str) -> set[str]:
    """The accounts that nobody has locked."""
    with SyncConnection(url) as db, db.transaction():
        return {id for (id,) in db.rows("select id from account for no key update skip locked")}
