"""The engine's batches: who is in one, what its commands see of each other, and what a bad one does to the rest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from farthing.core.commands import Command, GiveGrant, PlaceHold, Refund, Settle, TakeCharge, Void
from farthing.core.context import Context
from farthing.core.outcomes import Accepted, Refusal, Refused
from farthing.core.records import Audit
from farthing.engine import ClockJumped, Crashed, QueueFull, Result, ShuttingDown
from farthing.stores.contract import Store
from tests.support import UNIT, Book, WrappedStore, entry_of, grant_id, hold_id

ALICE: dict[str, Any] = {"workspace": "main", "account": "alice"}
BOB: dict[str, Any] = {"workspace": "main", "account": "bob"}


class CountingStore(WrappedStore):
    """Notes the size of each batch and what was done to it."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.batches: list[int] = []
        self.verbs: list[str] = []

    async def load(self, commands: Sequence[Command], context: Context, *, again: bool = False) -> None:
        self.batches.append(len(commands))
        self.verbs.append("load")
        await super().load(commands, context, again=again)

    async def save(self, outcomes: Sequence[Accepted]) -> None:
        self.verbs.append("save")
        await super().save(outcomes)

    async def commit(self) -> None:
        self.verbs.append("commit")
        await super().commit()

    async def rollback(self) -> None:
        self.verbs.append("rollback")
        await super().rollback()


class Watcher:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.crashes: list[str] = []

    def committed(self, commands: int, seconds: float) -> None:
        self.batches.append(commands)

    def crashed(self, command: Command, error: BaseException) -> None:
        self.crashes.append(f"{command.kind}: {type(error).__name__}")


class Counted:
    """A book whose store counts."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.watcher = Watcher()
        self.book = Book(path, wrap=self._wrap, observer=self.watcher, **options)

    def _wrap(self, store: Store) -> Store:
        self.store = CountingStore(store)
        return self.store


@pytest.fixture
def counted(tmp_path):
    counted = Counted(tmp_path / "ledger.db", max_batch=4, max_queue=10)
    yield counted
    counted.book.close()


def grant(amount: int = 100, **who: Any) -> GiveGrant:
    return GiveGrant(**(who or ALICE), amount=amount * UNIT)


def charge(amount: int = 1, key: str | None = None, **who: Any) -> TakeCharge:
    return TakeCharge(**(who or ALICE), amount=amount * UNIT, key=key)


# One batch


def test_one_command_is_a_batch_of_one(counted):
    counted.book.accept(grant())
    assert counted.store.batches == [1]
    assert counted.store.verbs == ["load", "save", "commit"]


def test_commands_that_wait_together_share_a_commit(counted):
    counted.book.batch(grant(), charge(), charge())
    assert counted.store.batches == [3]
    assert counted.store.verbs.count("commit") == 1
    assert counted.watcher.batches == [3]


def test_a_batch_has_a_maximum_and_keeps_the_order(counted):
    outcomes = counted.book.batch(grant(), *(charge(n) for n in range(1, 9)))
    assert counted.store.batches == [4, 4, 1]
    assert [entry_of(o).number for o in outcomes] == list(range(2, 11))


def test_a_batch_that_changes_nothing_commits_nothing(counted):
    outcomes = counted.book.batch(charge(), charge())
    assert [o.code for o in outcomes] == [Refusal.ACCOUNT_NOT_FOUND] * 2
    assert counted.store.verbs == ["load", "rollback"]


def test_later_commands_of_a_batch_see_earlier_ones(book):
    """The grant opens the account; the charges share it until it is spent."""
    outcomes = book.batch(grant(10), charge(6), charge(6), charge(4))
    assert [type(o).__name__ for o in outcomes] == ["Accepted", "Accepted", "Refused", "Accepted"]
    assert outcomes[2].facts == {"required": 6 * UNIT, "available": 4 * UNIT, "deficit": 2 * UNIT}
    assert book.row().balance == 0


def test_a_key_twice_in_one_batch_is_one_charge(book):
    book.accept(grant(10))
    first, second, other = book.batch(charge(3, "k"), charge(3, "k"), charge(4, "k"))
    assert entry_of(first).id == entry_of(second).id
    assert (first.replayed, second.replayed) == (False, True)
    assert other.code is Refusal.KEY_CONFLICT
    assert book.row().balance == 7 * UNIT


def test_a_payment_twice_in_one_batch_is_credited_once(book):
    claim = ("shop", "pay-1")
    mine, again, theirs = book.batch(
        GiveGrant(**ALICE, amount=UNIT, claim=claim),
        GiveGrant(**ALICE, amount=UNIT, claim=claim),
        GiveGrant(**BOB, amount=UNIT, claim=claim),
    )
    assert entry_of(mine).id == entry_of(again).id
    assert theirs.code is Refusal.PAYMENT_CLAIMED
    assert book.account("bob") is None


def test_a_hold_that_ends_between_two_commands_of_a_batch_ends_between_them(book):
    """Two commands wait in one batch while 5 seconds pass between their arrivals."""
    book.accept(grant(10))
    hold = book.accept(PlaceHold(**ALICE, amount=9 * UNIT, ttl=2_000_000, on_expiry="all"))
    before = book.late(charge(1))
    book.clock.advance(5)
    after = book.late(Settle(**ALICE, hold=hold_id(hold)))
    book.loop.run()
    assert entry_of(before[0]).held == 9 * UNIT
    assert isinstance(after[0], Refused)
    assert after[0].facts["state"] == "expired"


def test_a_hold_made_and_ended_within_one_batch_ends_and_others_are_not_forgotten(book):
    book.accept(grant(10))
    book.accept(PlaceHold(**ALICE, amount=UNIT, ttl=60_000_000))
    book.late(PlaceHold(**ALICE, amount=2 * UNIT, ttl=1_000))
    book.clock.advance(1)
    told = book.late(charge(1))
    book.loop.run()
    assert entry_of(told[0]).held == UNIT
    assert book.row().hold_due_at is not None
    book.clock.advance(60)
    assert book.accept(charge(1)).held == 0


def test_a_refund_that_names_no_charge_sees_the_charges_before_it(counted):
    counted.book.accept(grant())
    *_, refund = counted.book.batch(charge(1), charge(2), Refund(**ALICE, amount=3 * UNIT))
    assert counted.store.batches == [1, 2, 1], "it begins a batch of its own"
    assert entry_of(refund).amount == 3 * UNIT


def test_a_refund_that_names_no_charge_shares_the_batch_of_other_accounts(counted):
    counted.book.play([grant(), charge(2), grant(5, **BOB)])
    counted.store.batches.clear()
    counted.book.batch(charge(1, **BOB), Refund(**ALICE, amount=2 * UNIT))
    assert counted.store.batches == [2]


def test_a_refund_that_names_no_charge_sees_a_settle_that_names_just_its_hold(book):
    book.accept(grant())
    hold = book.accept(PlaceHold(**ALICE, amount=5 * UNIT, ttl=60_000_000))
    settle, refund = book.batch(
        Settle(workspace="main", account="", hold=hold_id(hold)), Refund(**ALICE, amount=5 * UNIT)
    )
    assert entry_of(settle).amount == -5 * UNIT
    assert entry_of(refund).amount == 5 * UNIT


def test_a_grant_of_another_account_is_not_found_because_both_are_in_a_batch(book):
    mine = book.accept(grant())
    book.accept(grant(5, **BOB))
    void, theft = book.batch(Void(**ALICE, grant=grant_id(mine)), Void(**BOB, grant=grant_id(mine)))
    assert isinstance(void, Accepted)
    assert theft.code is Refusal.GRANT_NOT_FOUND
    assert book.row("bob").balance == 5 * UNIT


# One bad command


class Poison(Command):
    """A command that nobody taught the core: deciding it is a bug."""

    kind = "poison"


def test_a_command_that_breaks_deciding_is_alone_with_it(counted):
    counted.book.accept(grant())
    first, bad, last = counted.book.batch(charge(1), Poison(**ALICE), charge(2))
    assert isinstance(bad, Crashed)
    assert [entry_of(o).number for o in (first, last)] == [3, 4]
    assert counted.book.row().balance == 97 * UNIT
    assert counted.watcher.crashes == ["poison: KeyError"]


def test_a_command_that_breaks_saving_is_alone_with_it(counted):
    counted.book.accept(grant())
    unwritable = Audit("main", 0, "", "", "x", "y", detail={"not": object()})
    bad_one = TakeCharge(**ALICE, amount=UNIT, key="bad", records=(unwritable,))
    first, bad, last = counted.book.batch(charge(1), bad_one, charge(2))
    assert isinstance(bad, Crashed)
    assert isinstance(bad.__cause__, TypeError)
    assert [entry_of(o).amount for o in (first, last)] == [-UNIT, -2 * UNIT]
    assert counted.book.row().balance == 97 * UNIT
    assert counted.book.count("key") == 0


def test_text_that_is_no_unicode_is_refused_and_does_not_stop_the_batch(counted):
    torn = "torn \ud800"
    outcomes = counted.book.batch(
        grant(),
        GiveGrant(workspace="main", account=torn, amount=UNIT),
        TakeCharge(**ALICE, amount=UNIT, key=torn),
        TakeCharge(**ALICE, amount=UNIT, description=torn),
        TakeCharge(**ALICE, amount=UNIT, metadata=torn),
        GiveGrant(**ALICE, amount=UNIT, claim=("shop", torn)),
        Settle(**ALICE, hold=torn),
        charge(1),
    )
    told = [(o.code, o.facts.get("field")) if isinstance(o, Refused) else type(o).__name__ for o in outcomes]
    assert told == [
        "Accepted",
        (Refusal.INVALID, "account"),
        (Refusal.INVALID, "key"),
        (Refusal.INVALID, "description"),
        (Refusal.INVALID, "metadata"),
        (Refusal.INVALID, "claim"),
        (Refusal.HOLD_NOT_FOUND, None),
        "Accepted",
    ]
    assert counted.watcher.crashes == []


def test_a_callback_that_raises_does_not_keep_the_others_from_their_answers(counted):
    told: list[Result] = []

    def breaks(result):
        raise RuntimeError("the caller is broken")

    counted.book.engine.submit(grant(), breaks)
    counted.book.engine.submit(charge(1), told.append)
    counted.book.loop.run()
    assert entry_of(told[0]).balance == 99 * UNIT
    assert counted.watcher.crashes == ["grant: RuntimeError"]


# The queue


def test_a_full_queue_takes_no_more_and_nothing_is_done(counted):
    waiting = [counted.book.late(charge(1)) for _ in range(10)]
    with pytest.raises(QueueFull) as full:
        counted.book.engine.submit(grant(), lambda _: None)
    assert (full.value.code, full.value.retry_after) == ("queue_full", 1)
    counted.book.loop.run()
    assert all(len(told) == 1 for told in waiting)
    assert counted.book.account() is None
    counted.book.accept(grant())


def test_a_caller_who_has_gone_is_skipped_before_deciding(book):
    book.accept(grant())
    told: list[Result] = []
    ticket = book.engine.submit(charge(5), told.append)
    ticket.gone = True
    book.accept(charge(1))
    assert told == []
    assert book.row().balance == 99 * UNIT


def test_closing_finishes_what_was_accepted_and_takes_no_more(counted):
    told = [counted.book.late(c) for c in (grant(), *(charge(1) for _ in range(6)))]
    counted.book.engine.close()
    assert [entry_of(t[0]).number for t in told] == list(range(2, 9))
    with pytest.raises(ShuttingDown):
        counted.book.engine.submit(charge(1), lambda _: None)
    counted.book.engine.close()  # twice is once


def test_what_was_answered_before_closing_is_there_after_opening_again(book):
    book.play([grant(), charge(1, "k")])
    book.restart()
    assert book.do(charge(1, "k")).replayed
    assert book.row().balance == 99 * UNIT


# Stamps


def test_id_and_time_are_stamped_when_the_command_is_submitted(book):
    early, late = charge(1), charge(1)
    book.engine.submit(early, lambda _: None)
    book.clock.advance(3)
    book.engine.submit(late, lambda _: None)
    assert late.at - early.at == 3_000_000
    assert early.id < late.id
    assert early.id.startswith("ent_")


def test_nothing_is_taken_while_the_clock_can_not_be_trusted(book):
    book.accept(grant())
    book.clock.jump(3600)
    with pytest.raises(ClockJumped) as jumped:
        book.do(charge(1))
    assert jumped.value.retry_after == 10
    book.guard.accept()
    book.accept(charge(1))
