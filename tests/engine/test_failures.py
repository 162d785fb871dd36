"""What the engine answers when the machine fails, at each verb of the store, before the real one is done and after.

Two rules: whoever is told that something was done finds it on the disk, once; whoever is told that nothing was done
finds nothing. Only an unknown commit may stay unknown, and then the same key finds out.
"""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from farthing import engine as engine_module
from farthing.core.commands import Command, GiveGrant, SetAccount, TakeCharge
from farthing.core.context import Context
from farthing.core.outcomes import Accepted, Refused
from farthing.engine import Crashed
from farthing.stores.contract import Busy, Raced, ReadOnly, StorageFull, Store, StoreError, Unavailable, Unknown
from tests.support import UNIT, Book, WrappedStore, entry_of

ALICE: dict[str, Any] = {"workspace": "main", "account": "alice"}


class FailingStore(WrappedStore):
    """Fails at a verb, before or after the real one, as often as it was told to."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.plan: list[tuple[str, str, Exception]] = []
        self.again: list[bool] = []

    def fail(self, verb: str, when: str, error: Exception, times: int = 1) -> None:
        self.plan += [(verb, when, error)] * times

    def _maybe(self, verb: str, when: str) -> None:
        if self.plan and self.plan[0][:2] == (verb, when):
            raise self.plan.pop(0)[2]

    async def load(self, commands: Sequence[Command], context: Context, *, again: bool = False) -> None:
        self.again.append(again)
        self._maybe("load", "before")
        await super().load(commands, context, again=again)
        self._maybe("load", "after")

    async def save(self, outcomes: Sequence[Accepted]) -> None:
        self._maybe("save", "before")
        await super().save(outcomes)
        self._maybe("save", "after")

    async def commit(self) -> None:
        self._maybe("commit", "before")
        await super().commit()
        self._maybe("commit", "after")

    async def rollback(self) -> None:
        self._maybe("rollback", "before")
        await super().rollback()


class Failing:
    def __init__(self, path: Any) -> None:
        self.book = Book(path, wrap=self._wrap)
        self.book.accept(GiveGrant(**ALICE, amount=100 * UNIT))

    def _wrap(self, store: Store) -> Store:
        self.store = FailingStore(store)
        return self.store

    def charged(self) -> int:
        """What was taken from alice, by her row and by her entries alike."""
        book = self.book
        taken = -sum(e.amount for e in book.entries() if e.kind == "charge")
        assert book.row().balance == 100 * UNIT - taken
        return taken


@pytest.fixture
def failing(tmp_path):
    failing = Failing(tmp_path / "ledger.db")
    yield failing
    failing.store.plan.clear()
    failing.book.close()


def charge(key: str | None = None, amount: int = 1) -> TakeCharge:
    return TakeCharge(**ALICE, amount=amount * UNIT, key=key)


NOTHING_DONE = [Busy("busy"), StorageFull("full"), ReadOnly("read-only"), Unavailable("away"), StoreError("other")]
BEFORE_THE_DISK = [("load", "before"), ("load", "after"), ("save", "before"), ("save", "after"), ("commit", "before")]


@pytest.mark.parametrize(("verb", "when"), BEFORE_THE_DISK)
@pytest.mark.parametrize("error", NOTHING_DONE, ids=lambda e: e.code)
def test_who_is_told_of_a_failure_finds_nothing_done(failing, verb, when, error):
    failing.store.fail(verb, when, error)
    results = failing.book.batch(charge("a"), charge("b"))
    assert results == [error, error]
    assert failing.charged() == 0
    assert failing.book.count("key") == 0


@pytest.mark.parametrize(("verb", "when"), BEFORE_THE_DISK)
@pytest.mark.parametrize("error", NOTHING_DONE, ids=lambda e: e.code)
def test_after_a_failure_the_next_batch_goes_through(failing, verb, when, error):
    failing.store.fail(verb, when, error)
    failing.book.batch(charge("a"), charge("b"))
    first, second = failing.book.batch(charge("a"), charge("b"))
    assert entry_of(first).id != entry_of(second).id
    assert failing.charged() == 2 * UNIT


@pytest.mark.parametrize(("verb", "when"), BEFORE_THE_DISK)
def test_a_bug_in_the_store_is_met_by_each_command_alone(failing, verb, when):
    """The first time the whole batch fails; one by one they go through."""
    failing.store.fail(verb, when, RuntimeError("a bug"))
    first, second = failing.book.batch(charge("a"), charge("b"))
    assert entry_of(first).id != entry_of(second).id
    assert failing.charged() == 2 * UNIT


@pytest.mark.parametrize(("verb", "when"), [w for w in BEFORE_THE_DISK if w[0] != "commit"])
def test_a_bug_that_stays_is_told_and_nothing_is_done(failing, verb, when):
    failing.store.fail(verb, when, RuntimeError("a bug"), times=9)
    results = failing.book.batch(charge("a"), charge("b"))
    assert [type(r) for r in results] == [Crashed, Crashed]
    failing.store.plan.clear()
    assert failing.charged() == 0


def test_a_refusal_is_no_answer_either_while_the_batch_has_failed(failing):
    failing.store.fail("commit", "before", StorageFull("full"))
    results = failing.book.batch(charge("a"), charge("b", amount=1000))
    assert [type(r) for r in results] == [StorageFull, StorageFull]


# A commit whose fate is not known


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("size", [1, 3])
def test_an_unknown_commit_is_looked_up_and_done_once(failing, when, size):
    failing.store.fail("commit", when, Unknown("lost"))
    results = failing.book.batch(*(charge(f"k{n}" if n % 2 else None) for n in range(size)))
    assert [entry_of(r).number for r in results] == list(range(3, 3 + size))
    assert failing.charged() == size * UNIT
    assert failing.store.again == [False, False, True]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_that_fails_in_an_unforeseen_way_is_looked_up_as_well(failing, when):
    failing.store.fail("commit", when, MemoryError("while committing"))
    entry_of(failing.book.do(charge("a")))
    assert failing.charged() == UNIT


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", [Busy("busy"), Unavailable("away"), Unknown("again"), RuntimeError("a bug")], ids=str)
def test_looking_it_up_is_tried_again_until_it_succeeds(failing, when, error):
    failing.store.fail("commit", when, Unknown("lost"))
    failing.store.fail("load", "before", error)
    entry_of(failing.book.do(charge()))
    assert failing.charged() == UNIT


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_can_not_be_looked_up_stays_unknown_and_the_key_finds_out(failing, when, monkeypatch):
    monkeypatch.setattr(engine_module, "UNKNOWN_FOR_SECONDS", 0.05)
    failing.store.fail("commit", when, Unknown("lost"))
    failing.store.fail("load", "before", Unavailable("away"), times=99)
    results = failing.book.batch(charge("a"), charge("b"))
    assert [type(r) for r in results] == [Unknown, Unknown]
    failing.store.plan.clear()
    outcome = failing.book.do(charge("a"))
    assert isinstance(outcome, Accepted)
    assert outcome.replayed == (when == "after")
    assert failing.charged() == (2 if when == "after" else 1) * UNIT


@pytest.mark.parametrize("when", ["before", "after"])
def test_rolling_back_may_fail_too_and_hides_nothing(failing, when):
    failing.store.fail("commit", when, Unknown("lost"))
    failing.store.fail("rollback", "before", Unavailable("away"))
    entry_of(failing.book.do(charge("a")))
    assert failing.charged() == UNIT


def test_a_failed_roll_back_does_not_stop_the_next_batch(failing):
    failing.store.fail("save", "after", Unavailable("away"))
    failing.store.fail("rollback", "before", Unavailable("still away"))
    assert isinstance(failing.book.batch(charge("a"))[0], Unavailable)
    entry_of(failing.book.do(charge("a")))
    assert failing.charged() == UNIT


def test_each_of_a_batch_with_an_unknown_commit_gets_its_own_answer(failing):
    """Written: a charge, a recorded refusal. Not written: a refusal, a repeat."""
    failing.book.accept(charge("old", amount=5))
    failing.store.fail("commit", "after", Unknown("lost"))
    taken, again, refused, recorded = failing.book.batch(
        charge("new"),
        charge("old", amount=5),
        charge("much", amount=1000),
        TakeCharge(**ALICE, amount=1000 * UNIT, key="final", final=True),
    )
    assert entry_of(taken).amount == -UNIT
    assert (entry_of(again).amount, again.replayed) == (-5 * UNIT, True)
    assert (type(refused), refused.entry) == (Refused, None)
    assert type(recorded) is Refused
    assert recorded.facts["required"] == 1000 * UNIT
    assert [e.kind for e in failing.book.entries()][-2:] == ["charge", "refusal"]
    assert failing.charged() == 6 * UNIT


def test_settings_are_not_applied_twice_after_an_unknown_commit(failing):
    failing.store.fail("commit", "after", Unknown("lost"))
    failing.book.accept(SetAccount(**ALICE, allowance=5 * UNIT))
    assert [e.kind for e in failing.book.entries()].count("settings") == 1
    assert failing.book.count("audit") == 2


# Races


def test_a_lost_race_is_run_again_with_the_same_id_and_time(failing):
    failing.store.fail("save", "before", Raced("first"))
    command = charge("a")
    entry = failing.book.accept(command)
    assert (entry.id, entry.at) == (command.id, command.at)
    assert failing.charged() == UNIT


def test_a_batch_that_keeps_losing_is_run_one_by_one(failing):
    failing.store.fail("save", "before", Raced("first"), times=3)
    results = failing.book.batch(charge("a"), charge("b"))
    assert [entry_of(r).number for r in results] == [3, 4]


def test_a_command_that_keeps_losing_is_told_so_and_nothing_is_done(failing):
    failing.store.fail("save", "before", Raced("first"), times=3)
    assert isinstance(failing.book.batch(charge("a"))[0], Raced)
    assert failing.charged() == 0


# Time


def test_a_caller_that_waits_too_long_is_told_that_it_does_not_know(failing):
    """`do` waits in a thread; nobody runs the engine here, so that the time-out must come."""
    began = time.monotonic()
    with pytest.raises(Unknown):
        failing.book.engine.do(charge("a"), timeout=0.05)
    assert time.monotonic() - began >= 0.05
    failing.book.loop.run()
    assert failing.charged() == 0, "it was not decided yet, so it is skipped"
