"""A network that fails between the ledger and PostgreSQL: nobody waits for ever, nothing is charged twice or lost.

The time-outs are those of earnest, made about ten times smaller. What a caller waits at most, in earnest: for what
fails before the commit was sent 10 s (ANSWER_SECONDS), and 15 s more where a connection had died unnoticed
(CONNECT_SECONDS and once more ANSWER_SECONDS); where the commit was sent, 10 s for its answer, then 5 s of looking for
what became of it (UNKNOWN_FOR_SECONDS) and the look that is then under way. Who comes meanwhile waits as long before it
is his turn. Over HTTP `request_timeout` (30 s) bounds it all. The long form: ./dev soak partition.
"""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from farthing.app import Ledger, open_ledger
from farthing.core.commands import Command, PlaceHold, TakeCharge
from farthing.core.outcomes import Accepted, Outcome
from farthing.core.records import Entry
from farthing.doctor import examine
from farthing.stores.contract import Busy, Unavailable, Unknown
from farthing.stores.postgres_sync import SyncConnection
from tests.hammer import Server, run_farthing, serving
from tests.hammer_callers import Caller
from tests.partition import ACCOUNTS, PATIENCE_SECONDS, QUICK_FARTHING, UNIT, Storm, fill, make_quick, network_trouble
from tests.postgres import cluster
from tests.proxy import AtCommit, Proxy
from tests.support import entry_of


@dataclass
class Cut:
    """A ledger that reaches its database through a proxy only, and one that has another way."""

    url: str
    proxy: Proxy
    ledger: Ledger
    direct: Ledger

    def do(self, command: Command) -> Outcome:
        return self.ledger.do(command, timeout=PATIENCE_SECONDS)

    def charge(self, key: str | None = "k") -> Outcome:
        return self.do(charge(key))

    def written(self) -> list[Entry]:
        """All charges and holds, oldest first for each account."""
        found = [self.direct.wait(self.direct.reports.entries("main", name, limit=1_000)) for name in ACCOUNTS]
        return [entry for entries in found for entry in reversed(entries) if entry.kind in ("charge", "hold")]


def charge(key: str | None, account: str = "alice") -> TakeCharge:
    return TakeCharge(workspace="main", account=account, amount=UNIT, key=key)


@pytest.fixture
def cut(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cut]:
    make_quick(monkeypatch.setattr)
    with open_ledger(postgres_url) as direct, Proxy(postgres_url) as proxy:
        fill(direct)
        with open_ledger(proxy.url) as ledger:
            yield Cut(postgres_url, proxy, ledger, direct)
            proxy.heal()
    assert examine(postgres_url).findings == []


# Exactly at the commit


def hold(key: str | None) -> PlaceHold:
    """A command that is carried out in a transaction, under locks; a plain charge takes one statement."""
    return PlaceHold(workspace="main", account="alice", amount=UNIT, ttl=3_600_000_000, key=key)


@pytest.mark.parametrize("make", [charge, hold])
@pytest.mark.parametrize("key", ["k", None], ids=["with a key", "without"])
@pytest.mark.parametrize("what", ["cut before", "cut after"])
def test_a_connection_that_ends_at_the_commit_is_answered_by_what_became_of_it(
    cut: Cut, what: AtCommit, key: Any, make: Any
):
    cut.proxy.at_commit(what)
    entry = entry_of(cut.do(make(key)))
    assert cut.proxy.met.is_set()
    assert cut.written() == [entry]


@pytest.mark.parametrize("make", [charge, hold])
@pytest.mark.parametrize("what", ["hole before", "hole after"])
def test_a_commit_that_falls_into_a_hole_is_answered_by_what_became_of_it(cut: Cut, what: AtCommit, make: Any):
    """The first connection stays dead until its time-out; later ones go through again, and so does what was lost."""
    cut.proxy.at_commit(what)

    def heal() -> None:
        assert cut.proxy.met.wait(60)
        time.sleep(1.5)
        cut.proxy.heal()

    healer = threading.Thread(target=heal)
    healer.start()
    entry = entry_of(cut.do(make(None)))
    healer.join()
    assert cut.written() == [entry]


@pytest.mark.parametrize("make", [charge, hold])
@pytest.mark.parametrize("what", ["hole before", "hole after"])
def test_what_stays_unknown_is_told_so_and_the_same_key_finds_out(
    cut: Cut, what: AtCommit, make: Any, monkeypatch: pytest.MonkeyPatch
):
    make_quick(monkeypatch.setattr, unknown_for=0.3)
    cut.proxy.at_commit(what)
    with pytest.raises(Unknown, match="the connection failed while committing"):
        cut.do(make("k"))
    # Somebody else asks with this key before the network is back: the lost session's lock ends by itself.
    first = entry_of(patiently(cut.direct, make("k")))
    cut.proxy.heal()
    found = patiently(cut.ledger, make("k"))
    assert isinstance(found, Accepted)
    assert found.replayed
    assert cut.written() == [found.entry] == [first]


def test_a_charge_that_the_network_delivers_late_is_never_carried_out_after_something_else(cut: Cut):
    """The statement lies in the network while another way leads to the database; then it comes after all."""
    cut.proxy.at_commit("hole before")
    caller = threading.Thread(target=lambda: patiently(cut.ledger, charge("late")))
    caller.start()
    assert cut.proxy.met.wait(60)
    others = [entry_of(patiently(cut.direct, charge(f"other-{n}"))) for n in range(3)]
    cut.proxy.heal()
    caller.join()
    assert [entry.key for entry in cut.written()] == [*(entry.key for entry in others), "late"]


def patiently(ledger: Ledger, command: Command) -> Outcome:
    """Ask again for as long as the database is busy or away."""
    ends = time.monotonic() + 60
    while True:
        try:
            return ledger.do(command, timeout=PATIENCE_SECONDS)
        except (Busy, Unavailable, Unknown):
            assert time.monotonic() < ends, "it never came back"


# Anywhere else


@pytest.mark.parametrize("ways", [("up",), ("down",)], ids=["up", "down"])
def test_a_hole_ends_in_a_time_out_with_nothing_done_and_mends_by_itself(cut: Cut, ways: Any):
    first = entry_of(cut.charge("first"))
    cut.proxy.hole(*ways)
    with pytest.raises(Unavailable, match="nothing was done"):
        cut.charge("second")
    assert cut.written() == [first]
    cut.proxy.heal()
    second = entry_of(patiently(cut.ledger, charge("second")))
    assert cut.written() == [first, second]


def test_connections_that_were_cut_while_nobody_looked_are_made_anew_and_nobody_hears_of_it(cut: Cut):
    entry_of(cut.charge("first"))
    cut.proxy.cut()
    entry_of(cut.charge("second"))
    assert cut.ledger.wait(cut.ledger.reports.workspace("main")) is not None
    cut.proxy.cut()
    assert cut.ledger.wait(cut.ledger.reports.workspace("main")) is not None


def test_a_slow_network_only_takes_its_time(cut: Cut):
    cut.proxy.delay(0.02)
    told: list[str] = []
    callers = [threading.Thread(target=lambda n=n: told.append(entry_of(cut.charge(f"k{n}")).id)) for n in range(32)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(told) == sorted(entry.id for entry in cut.written())
    assert len(set(told)) == 32


def test_the_locks_of_a_session_that_nobody_can_reach_end_by_themselves(cut: Cut):
    """The server has never heard that its client has gone."""
    cut.proxy.at_commit("hole before")
    caller = threading.Thread(target=lambda: patiently(cut.ledger, hold("k")))
    caller.start()
    assert cut.proxy.met.wait(60)
    assert lost_sessions(cut.url) == 1
    entry_of(patiently(cut.direct, charge("other")))
    assert lost_sessions(cut.url) == 0
    cut.proxy.heal()
    caller.join()
    assert sorted(str(entry.key) for entry in cut.written()) == ["k", "other"]


def lost_sessions(url: str) -> int:
    """How many sessions have a transaction open and do nothing."""
    sql = "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in %'"
    with SyncConnection(url) as db:
        found: int = db.rows(sql)[0][0]
        return found


def test_in_a_storm_every_key_is_charged_exactly_once(cut: Cut):
    storm = Storm((cut.ledger, cut.direct), seed=20261121)
    did = storm.run(network_trouble(cut.proxy, longest=1.5), seconds=4)
    storm.verify(cut.url)
    assert len(storm.told) > 100
    assert did.total() >= 3


# Over HTTP


def test_a_server_lives_through_a_hole_and_through_a_new_database_server_at_the_same_address():
    """Two ways to lose the database: the network takes everything and gives nothing; the server dies, and another one
    with the same data comes in its place."""
    with cluster(database="ledger") as made, Proxy(made.dsn) as proxy:
        api_key = run_farthing("init", "--db", made.dsn)["api_key"]
        run_farthing("grant", "alice", "100", "--db", made.dsn)
        with serving(proxy.url, 1, program=QUICK_FARTHING) as [server]:
            caller = Caller([server.port], api_key, random.Random(1))
            balances = [deduct(caller, "first")]

            proxy.hole()
            refused_for_now(server, caller, "second")
            proxy.heal()
            balances.append(deduct(caller, "second"))

            made.stop("immediate")
            refused_for_now(server, caller, "third")
            made.start()
            balances += [deduct(caller, "third"), deduct(caller, "second")]
            assert server.get("/readyz")[0] == 200
        assert balances == [99, 98, 97, 98]
        assert examine(made.dsn).findings == []


def refused_for_now(server: Server, caller: Caller, event: str) -> None:
    """The server lives, says that it is not ready, and that nothing was done."""
    status, answer = caller.once("deduct", body(event))
    assert (status, answer["code"]) == (503, "DEDUCTION_ERROR"), answer
    assert "nothing was done" in answer["message"]
    assert server.get("/livez")[0] == 200
    status, told = server.get("/readyz")
    assert status == 503
    assert told["checks"]["database"] != "ok"


def body(event: str) -> dict[str, Any]:
    return {"account_id": "alice", "operation": "cut", "amount": 1, "usage_event_id": event}


def deduct(caller: Caller, event: str) -> int:
    """Ask until there is an answer; the new balance."""
    status, answer = caller.call("deduct", body(event))
    assert status == 200, answer
    balance: int = answer["data"]["newBalance"]
    return balance
