"""The engine with real callers: threads, event loops, a thread of its own or inline, forks, and stampedes."""

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from farthing.clock import ClockGuard, SystemClock
from farthing.core.commands import Command, GiveGrant, TakeCharge
from farthing.core.context import Context
from farthing.core.outcomes import Accepted, Outcome, Refused
from farthing.engine import Engine, Forked, Result, ShuttingDown
from farthing.stores import sqlite
from farthing.stores.contract import Store
from farthing.timezones import calendar
from tests.support import UNIT, WrappedStore, entry_of, new_database

ALICE: dict[str, Any] = {"workspace": "main", "account": "alice"}


def charge(key: str | None = None, amount: int = 1) -> TakeCharge:
    return TakeCharge(**ALICE, amount=amount * UNIT, key=key)


def new_engine(path: Any, wrap: Any = lambda store: store, **options: Any) -> Engine:
    store: Store = wrap(sqlite.SqliteStore(new_database(path)))
    return Engine(store, ClockGuard(SystemClock()), calendar, **options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


@pytest.fixture
def threaded(path) -> Iterator[Engine]:
    """An engine in a thread of its own, with 100 credits for alice."""
    engine = new_engine(path)
    engine.start()
    entry_of(engine.do(GiveGrant(**ALICE, amount=100 * UNIT)))
    yield engine
    engine.close()


def rows(path: Any, sql: str) -> list[tuple[Any, ...]]:
    db = sqlite.connect(path)
    found = list(db.execute(sql))
    db.close()
    return found


def accepted(outcomes: list[Outcome]) -> list[Accepted]:
    return [o for o in outcomes if isinstance(o, Accepted)]


# Stampedes


def test_50_threads_with_one_new_key_make_one_charge(threaded, path):
    go = threading.Barrier(50)

    def call(_: int) -> Outcome:
        go.wait()
        return threaded.do(charge("one"))

    with ThreadPoolExecutor(50) as pool:
        outcomes = list(pool.map(call, range(50)))
    assert len({entry_of(o).id for o in outcomes}) == 1
    assert sum(not o.replayed for o in outcomes if isinstance(o, Accepted)) == 1
    assert rows(path, "select count(*), sum(amount) from entry where kind = 'charge'") == [(1, -UNIT)]


def test_200_threads_of_1_on_100_credits_get_exactly_100(threaded, path):
    go = threading.Barrier(200)

    def call(n: int) -> Outcome:
        go.wait()
        return threaded.do(charge(f"key {n}"))

    with ThreadPoolExecutor(200) as pool:
        outcomes = list(pool.map(call, range(200)))
    assert len(accepted(outcomes)) == 100
    refused = [o for o in outcomes if isinstance(o, Refused)]
    assert {(str(o.code), o.facts["available"]) for o in refused} == {("insufficient_credits", 0)}
    assert rows(path, "select balance, spent from account") == [(0, 100 * UNIT)]
    assert rows(path, "select count(*) from key") == [(100,)]


@pytest.mark.parametrize("inline", [True, False])
def test_200_tasks_of_1_on_100_credits_get_exactly_100(path, inline):
    async def main() -> list[Outcome]:
        engine = new_engine(path)
        engine.start(asyncio.get_running_loop() if inline else None)
        await engine.ask(GiveGrant(**ALICE, amount=100 * UNIT))
        outcomes = await asyncio.gather(*(engine.ask(charge(f"key {n}")) for n in range(200)))
        engine.close()
        return outcomes

    assert len(accepted(asyncio.run(main()))) == 100
    assert rows(path, "select balance from account") == [(0,)]


@pytest.mark.parametrize("inline", [True, False])
def test_50_tasks_with_one_new_key_make_one_charge(path, inline):
    async def main() -> list[Outcome]:
        engine = new_engine(path)
        engine.start(asyncio.get_running_loop() if inline else None)
        await engine.ask(GiveGrant(**ALICE, amount=100 * UNIT))
        outcomes = await asyncio.gather(*(engine.ask(charge("one")) for _ in range(50)))
        engine.close()
        return outcomes

    assert len({entry_of(o).id for o in asyncio.run(main())}) == 1
    assert rows(path, "select balance from account") == [(99 * UNIT,)]


# Threads and loops


def test_an_answer_comes_after_the_commit(path):
    """In the callback of the answer another connection already reads what was answered."""
    engine = new_engine(path)
    engine.start()
    seen: list[Any] = []
    done = threading.Event()

    def answer(result: Result) -> None:
        seen.append(rows(path, "select id from entry where kind = 'grant'"))
        done.set()

    command = GiveGrant(**ALICE, amount=UNIT)
    engine.submit(command, answer)
    assert done.wait(60)
    engine.close()
    assert seen == [[(command.id,)]]


def test_many_loops_and_threads_ask_one_engine(threaded, path):
    async def ask(n: int) -> None:
        for i in range(10):
            entry_of(await threaded.ask(charge(f"loop {n} {i}")))

    def do(n: int) -> None:
        for i in range(10):
            entry_of(threaded.do(charge(f"thread {n} {i}")))

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(asyncio.run, ask(n)) for n in range(2)] + [pool.submit(do, n) for n in range(2)]
        for call in calls:
            call.result()
    assert rows(path, "select balance from account") == [(60 * UNIT,)]


def test_an_inline_engine_takes_commands_from_other_threads(path):
    async def main() -> list[Outcome]:
        engine = new_engine(path)
        engine.start(asyncio.get_running_loop())
        await engine.ask(GiveGrant(**ALICE, amount=100 * UNIT))
        outcomes = await asyncio.gather(*(asyncio.to_thread(engine.do, charge(f"k{n}")) for n in range(20)))
        engine.close()
        return outcomes

    assert len(accepted(asyncio.run(main()))) == 20


def test_a_loop_that_was_closed_does_not_stop_the_engine(threaded, path):
    """A caller's loop ends while its command waits; the command is carried out or skipped, others are answered."""
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        asyncio.ensure_future(threaded.ask(charge("orphan")))  # noqa: RUF006 - to be left alone is the point
        await asyncio.sleep(0)

    loop.run_until_complete(begin())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    entry_of(threaded.do(charge("next")))
    assert ("next",) in rows(path, "select key from key")


# The end


class SlowStore(WrappedStore):
    """Waits in `load` until it is let go on."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.arrived, self.go_on = threading.Event(), threading.Event()

    async def load(self, commands: Sequence[Command], context: Context, *, again: bool = False) -> None:
        self.arrived.set()
        assert self.go_on.wait(60)
        await super().load(commands, context, again=again)


@pytest.fixture
def slow(path) -> Iterator[tuple[Engine, SlowStore]]:
    stores: list[SlowStore] = []

    def wrap(store: Store) -> Store:
        stores.append(SlowStore(store))
        return stores[0]

    engine = new_engine(path, wrap)
    engine.start()
    yield engine, stores[0]
    stores[0].go_on.set()
    engine.close()
    assert engine._thread is not None
    engine._thread.join(60)


def test_a_task_that_is_cancelled_while_others_are_served_is_skipped(slow, path):
    engine, store = slow

    async def main() -> None:
        first = asyncio.create_task(engine.ask(GiveGrant(**ALICE, amount=100 * UNIT)))
        await asyncio.to_thread(store.arrived.wait, 10)
        gone = asyncio.create_task(engine.ask(charge("gone")))
        stays = asyncio.create_task(engine.ask(charge("stays")))
        await asyncio.sleep(0)  # both wait in the queue now
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        store.go_on.set()
        entry_of(await first)
        entry_of(await stays)

    asyncio.run(main())
    assert rows(path, "select key from key") == [("stays",)]


def test_closing_waits_for_what_was_accepted(slow, path):
    engine, store = slow
    told: list[Result] = []
    engine.submit(GiveGrant(**ALICE, amount=UNIT), told.append)
    assert store.arrived.wait(60)
    for n in range(5):
        engine.submit(charge(f"k{n}"), told.append)
    closing = threading.Thread(target=engine.close)
    closing.start()
    store.go_on.set()
    closing.join(60)
    assert len(told) == 6
    assert rows(path, "select count(*) from entry") == [(3,)], "opened, granted, and one of the five could be paid"


def test_closing_that_takes_too_long_tells_the_rest_and_does_nothing_for_them(slow, path):
    engine, store = slow
    first: list[Result] = []
    rest: list[Result] = []
    engine.submit(GiveGrant(**ALICE, amount=UNIT), first.append)
    assert store.arrived.wait(60)
    engine.submit(charge(), rest.append)
    engine.close(timeout=0.05)
    assert [type(r) for r in rest] == [ShuttingDown]
    assert first == [], "it is being carried out: nobody may say that nothing was done"
    store.go_on.set()
    assert engine._thread is not None
    engine._thread.join(60)
    entry_of(first[0])
    assert rows(path, "select kind from entry order by number") == [("open",), ("grant",)]


# Forks


def in_child(work: Any) -> int:
    """Run in a forked process; its exit code is what `work` returns."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_process_is_told_to_open_the_ledger_again(threaded, path):
    def child() -> int:
        try:
            threaded.submit(charge(), lambda _: None)
        except Forked:
            return 7
        return 1

    assert in_child(child) == 7
    entry_of(threaded.do(charge()))
    assert rows(path, "select balance from account") == [(99 * UNIT,)]


def test_closing_in_a_forked_process_leaves_the_parents_engine_alone(threaded, path):
    def child() -> int:
        threaded.close()
        return 7

    assert in_child(child) == 7
    entry_of(threaded.do(charge()))
    assert rows(path, "select balance from account") == [(99 * UNIT,)]


def test_a_ledger_opened_after_the_fork_works_beside_the_parents(threaded, path):
    def child() -> int:
        db = sqlite.connect(path)
        engine = Engine(sqlite.SqliteStore(db), ClockGuard(SystemClock()), calendar)
        engine.start()
        outcome = engine.do(charge("child"))
        engine.close()
        return 7 if isinstance(outcome, Accepted) else 1

    assert in_child(child) == 7
    entry_of(threaded.do(charge("parent")))
    assert rows(path, "select balance from account") == [(98 * UNIT,)]
