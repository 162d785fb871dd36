"""What another process wrote first: on PostgreSQL a batch without locks commits all but that, which is decided anew."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from farthing.app import open_ledger
from farthing.clock import ClockGuard, SystemClock
from farthing.core.commands import GiveGrant, TakeCharge
from farthing.core.outcomes import Accepted, Outcome, Refusal, Refused
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.doctor import examine
from farthing.engine import Engine
from farthing.stores.access import Act
from farthing.stores.postgres import PATIENCE, PostgresStore
from farthing.timezones import calendar
from tests.support import UNIT, entry_of

Scene = Callable[[Engine, "Interrupted", Engine], Awaitable[None]]


def grant(account: str, credits: int) -> GiveGrant:
    return GiveGrant(workspace="main", account=account, amount=credits * UNIT)


def charge(account: str, key: str, credits: int = 1) -> TakeCharge:
    return TakeCharge(workspace="main", account=account, amount=credits * UNIT, key=key)


class Interrupted(PostgresStore):
    """A store between whose reading and writing something else happens."""

    between: Callable[[], Awaitable[Any]] | None = None
    loaded: list[list[str | None]]
    locked = 0

    async def load(self, commands: Any, context: Any, *, again: bool = False) -> None:
        self.loaded.append([c.key for c in commands])
        await super().load(commands, context, again=again)
        self.locked += self._locking
        # Under locks the other process would wait for this one, and this one for it.
        if self.between is not None and not self._locking:
            await self.between()


@pytest.fixture
def play(postgres_url: str) -> Callable[[Scene], None]:
    """Plays a scene with two engines on accounts of 10 credits: one that is interrupted, and another process's."""
    with open_ledger(postgres_url) as ledger:
        workspace = Workspace("main", "Main", "test", "credits", 6, 1, WorkspaceSettings())
        ledger.wait(ledger.access.create_workspace(workspace, Act("test", 1)))
        for account in ("alice", "bob"):
            entry_of(ledger.do(grant(account, 10)))

    async def act(scene: Scene) -> None:
        mine, other = Interrupted(postgres_url), PostgresStore(postgres_url)
        mine.loaded = []
        engines = [Engine(store, ClockGuard(SystemClock()), calendar) for store in (mine, other)]
        for engine in engines:
            engine.start(asyncio.get_running_loop())
        try:
            await scene(engines[0], mine, engines[1])
        finally:
            for engine in engines:
                await engine.aclose()

    def run(scene: Scene) -> None:
        asyncio.run(act(scene))
        assert examine(postgres_url).healthy

    return run


def once(store: Interrupted, work: Callable[[], Awaitable[Any]]) -> None:
    """Have something happen the next time."""

    async def between() -> None:
        store.between = None
        await work()

    store.between = between


def balance_after(outcome: Outcome) -> int:
    return entry_of(outcome).balance // UNIT


def test_what_was_overtaken_is_decided_anew_and_the_rest_is_committed_at_once(play):
    async def scene(mine: Engine, store: Interrupted, other: Engine) -> None:
        once(store, lambda: other.ask(charge("alice", "theirs", 3)))
        told = await asyncio.gather(
            mine.ask(charge("alice", "a1")), mine.ask(charge("bob", "b1")), mine.ask(charge("alice", "a2"))
        )
        assert [balance_after(o) for o in told] == [6, 9, 5]
        assert store.loaded == [["a1", "b1", "a2"], ["a1", "a2"]], "bob's was committed with the first"
        assert store.locked == 0

    play(scene)


def test_the_same_key_of_two_processes_at_the_same_moment_charges_once(play):
    async def scene(mine: Engine, store: Interrupted, other: Engine) -> None:
        theirs: list[Outcome] = []

        async def ask() -> None:
            theirs.append(await other.ask(charge("alice", "same")))

        once(store, ask)
        told = await mine.ask(charge("alice", "same"))
        assert isinstance(told, Accepted)
        assert told.replayed
        assert entry_of(told) == entry_of(theirs[0])

    play(scene)


def test_the_last_credits_go_to_one_of_two_processes(play):
    async def scene(mine: Engine, store: Interrupted, other: Engine) -> None:
        once(store, lambda: other.ask(charge("alice", "theirs", 8)))
        told = await mine.ask(charge("alice", "mine", 8))
        assert isinstance(told, Refused)
        assert (told.code, told.facts["available"]) == (Refusal.INSUFFICIENT_CREDITS, 2 * UNIT)

    play(scene)


def test_a_refusal_that_rests_on_what_was_overtaken_is_decided_anew_too(play):
    """The first takes all, so the second is refused; then a grant of another process overtakes both."""

    async def scene(mine: Engine, store: Interrupted, other: Engine) -> None:
        once(store, lambda: other.ask(grant("alice", 10)))
        told = await asyncio.gather(mine.ask(charge("alice", "a1", 10)), mine.ask(charge("alice", "a2", 10)))
        assert [balance_after(o) for o in told] == [10, 0]

    play(scene)


def test_an_account_that_is_overtaken_again_and_again_is_locked(play):
    async def scene(mine: Engine, store: Interrupted, other: Engine) -> None:
        store.between = lambda: other.ask(charge("alice", f"theirs-{len(store.loaded)}"))
        told = await mine.ask(charge("alice", "mine"))
        assert balance_after(told) == 9 - PATIENCE
        assert (len(store.loaded), store.locked) == (PATIENCE + 1, 1)

    play(scene)


def test_after_its_lock_an_account_is_read_without_one_again(play):
    async def scene(mine: Engine, store: Interrupted, other: Engine) -> None:
        store.between = lambda: other.ask(charge("alice", f"theirs-{len(store.loaded)}"))
        await mine.ask(charge("alice", "m1"))
        store.between = None
        await mine.ask(charge("alice", "m2"))
        assert store.locked == 1

    play(scene)


def test_a_dry_run_on_an_account_that_was_overtaken_sees_what_came_to_be(play):
    async def scene(mine: Engine, store: Interrupted, other: Engine) -> None:
        once(store, lambda: other.ask(charge("alice", "theirs", 3)))
        charged, dry = await asyncio.gather(mine.ask(charge("alice", "a1")), mine.ask(charge("alice", "a2"), dry=True))
        assert (balance_after(charged), balance_after(dry)) == (6, 5)

    play(scene)


def test_a_batch_that_writes_more_than_charges_is_run_again_under_locks(play):
    async def scene(mine: Engine, store: Interrupted, other: Engine) -> None:
        once(store, lambda: other.ask(charge("alice", "theirs", 3)))
        told = await asyncio.gather(mine.ask(grant("bob", 5)), mine.ask(charge("alice", "a1")))
        assert [balance_after(o) for o in told] == [15, 6]
        assert (len(store.loaded), store.locked) == (2, 1)

    play(scene)


def test_all_who_wait_are_answered_when_the_engine_closes_on_what_was_overtaken(play):
    async def scene(mine: Engine, store: Interrupted, other: Engine) -> None:
        once(store, lambda: other.ask(charge("alice", "theirs", 3)))
        told = asyncio.ensure_future(mine.ask(charge("alice", "a1")))
        await asyncio.sleep(0)  # until it is in the queue
        await mine.aclose()
        assert balance_after(await told) == 6

    play(scene)
