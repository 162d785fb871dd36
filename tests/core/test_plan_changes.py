"""A cancellation taken back, a plan that comes with the next renewal, and rests that are put together."""

from typing import Any

import pytest

from farthing.core import allowances
from farthing.core.commands import (
    ChangePlan,
    GiveGrant,
    PlaceHold,
    Refund,
    Release,
    Resume,
    TakeCharge,
    Unsubscribe,
    Void,
)
from farthing.core.invariants import Books
from farthing.core.outcomes import Accepted, Refusal
from farthing.core.refundable import read_body
from farthing.core.subscription import Subscription
from farthing.timezones import calendar
from tests.subscribing import DAY, after, buy, ending, plan, put_plan, renewal
from tests.support import START_US, UNIT, Book, grant_id, hold_id

ALICE: dict[str, Any] = {"workspace": "main", "account": "alice"}


@pytest.fixture(autouse=True)
def told_by_the_entries(book: Book):
    """After each test: the entries by themselves tell the row, and the subscription."""
    yield
    entries = book.entries()
    books = Books("main", "alice", calendar, {e.id: e for e in entries}.get)
    assert [str(p) for entry in entries for p in books.add(entry)] == []


def change(book: Book, plan: str, **terms: Any) -> Subscription:
    return after(book.accept(ChangePlan(**ALICE, plan=plan, **terms)))


def renew_at(book: Book, s: Subscription, at: int | None = None, **terms: Any) -> Subscription:
    """Its next period, when it begins or later."""
    book.clock.set(s.next_at if at is None else at)
    return after(book.accept(renewal(s, **terms)))


def left(book: Book) -> list[int]:
    """What is left of each grant, in credits; the oldest first."""
    return [g.remaining // UNIT for g in sorted(book.row().grants, key=lambda g: (g.created_at, g.id))]


# Taking a cancellation back


@pytest.mark.parametrize("terms", [{}, {"expires_at": START_US + 400 * DAY}, {"billed_by": "stripe"}])
@pytest.mark.parametrize("paid", [False, True])
def test_who_takes_his_cancellation_back_has_what_he_had(book, terms, paid):
    put_plan(book, plan(paid=paid))
    s = after(book.accept(buy(**terms)))
    book.clock.set(START_US + 3 * DAY)
    for _ in range(2):
        book.accept(Unsubscribe(**ALICE))
    book.clock.set(START_US + 29 * DAY)
    entry = book.accept(Resume(**ALICE))
    assert (entry.kind, entry.amount, after(entry)) == ("resume", 0, s)


def test_who_resumed_is_renewed(book):
    put_plan(book, plan())
    book.accept(buy())
    book.accept(Unsubscribe(**ALICE))
    s = after(book.accept(Resume(**ALICE)))
    renew_at(book, s)
    assert left(book) == [100, 100]


def test_what_was_not_canceled_is_resumed_as_it_is(book):
    put_plan(book, plan(paid=True))
    s = after(book.accept(buy()))
    assert after(book.accept(Resume(**ALICE))) == s


def test_what_has_ended_is_not_resumed(book):
    put_plan(book, plan())
    s = after(book.accept(buy()))
    book.accept(Unsubscribe(**ALICE))
    book.clock.set(s.next_at)
    assert book.refuse(Resume(**ALICE)).code is Refusal.SUBSCRIPTION_EXPIRED
    book.accept(ending(s))
    assert book.refuse(Resume(**ALICE)).code is Refusal.SUBSCRIPTION_ENDED


def test_a_cancellation_taken_back_twice_under_one_key_is_one(book):
    put_plan(book, plan())
    book.accept(buy())
    book.accept(Unsubscribe(**ALICE))
    entry = book.accept(Resume(**ALICE, key="k"))
    assert book.do(Resume(**ALICE, key="k")) == Accepted(entry, replayed=True)


# Another plan with the next renewal


def test_a_downgrade_waits_for_the_renewal_and_is_counted_from_when_it_was_due(book):
    put_plan(book, plan())
    put_plan(book, plan("basic", 10, every=7))
    s = after(book.accept(buy()))
    waiting = change(book, "basic")
    assert (waiting.plan, waiting.next_at, left(book)) == ("pro", s.next_at, [100])
    # Two days late, and yet from the day it was due.
    s = renew_at(book, waiting, waiting.next_at + 2 * DAY)
    assert (s.plan, s.pending, s.id) == ("basic", None, waiting.id)
    assert (s.anchor_at, s.period_at, s.next_at) == (waiting.next_at, waiting.next_at, waiting.next_at + 7 * DAY)
    assert left(book) == [100, 10]
    assert renew_at(book, s).next_at == s.next_at + 7 * DAY


def test_who_names_his_own_plan_takes_the_change_back(book):
    put_plan(book, plan(paid=True))
    put_plan(book, plan("basic", 10))
    s = after(book.accept(buy(billed_by="stripe")))
    change(book, "basic")
    assert change(book, "pro") == s


def test_a_change_is_taken_back_even_where_the_own_plan_is_archived(book):
    put_plan(book, plan())
    put_plan(book, plan("basic", 10))
    s = after(book.accept(buy()))
    change(book, "basic")
    put_plan(book, plan(), archived_at=START_US)
    assert change(book, "pro") == s


def test_the_last_change_stands_and_a_purchase_ends_the_waiting(book):
    for each in (plan(), plan("basic", 10), plan("free", 1)):
        put_plan(book, each)
    book.accept(buy())
    change(book, "basic")
    assert change(book, "free").plans == {"pro", "free"}
    assert after(book.accept(buy("basic"))).pending is None


def test_a_plan_that_is_not_paid_comes_when_the_paid_time_is_over(book):
    put_plan(book, plan(paid=True))
    put_plan(book, plan("free", 5))
    s = after(book.accept(buy(billed_by="stripe")))
    waiting = change(book, "free")
    assert (waiting.billed_by, waiting.expires_at, waiting.ends_at) == ("none", s.expires_at, None)
    s = renew_at(book, waiting)
    assert (s.plan, s.expires_at, s.ends_at, left(book)) == ("free", None, None, [100, 5])


def test_a_paid_plan_that_comes_is_renewed_by_its_payment_like_the_one_before(book):
    put_plan(book, plan(paid=True))
    put_plan(book, plan("basic", 10, paid=True))
    book.accept(buy(billed_by="stripe"))
    s = change(book, "basic")
    assert book.refuse(renewal(s)).code is Refusal.RENEWED_BY_PAYMENT
    s = after(book.accept(renewal(s, claim=("stripe", "pi_2"))))
    assert (s.plan, s.billed_by, s.expires_at) == ("basic", "stripe", START_US + 60 * DAY)


def test_a_paid_plan_that_comes_after_one_that_is_not_lasts_a_period_without_a_payment(book):
    put_plan(book, plan("free", 5))
    put_plan(book, plan(paid=True))
    book.accept(buy("free"))
    s = renew_at(book, change(book, "pro"))
    assert (s.plan, s.expires_at) == ("pro", s.next_at)


def test_the_plan_that_comes_says_what_becomes_of_the_rest(book):
    put_plan(book, plan())
    put_plan(book, plan("basic", 10, change="replace"))
    put_plan(book, plan("capped", 10, rollover="cap", cap=30))
    book.accept(buy())
    s = renew_at(book, change(book, "capped"))
    assert left(book) == [30, 10]
    renew_at(book, change(book, "basic"), s.next_at)
    assert left(book) == [10]


def test_a_plan_with_an_anchor_day_comes_with_a_shorter_period_and_its_share(book):
    put_plan(book, plan())
    put_plan(book, plan("monthly", 31, every=1, unit="months", anchor_day=1, first_period="prorated"))
    book.accept(buy())  # on the 1st of January; renewed on the 31st
    s = renew_at(book, change(book, "monthly"))
    assert (left(book), s.next_at) == ([100, 1], START_US + 31 * DAY)
    renew_at(book, s)
    assert left(book) == [100, 1, 31]


def test_after_an_outage_the_plan_that_comes_gives_the_period_that_runs(book):
    put_plan(book, plan())
    put_plan(book, plan("weekly", 10, every=7, catch_up="each"))
    book.accept(buy())
    s = change(book, "weekly")
    book.clock.set(s.next_at + 15 * DAY)
    given = 0
    while s.next_at <= book.clock.now_us():
        s = after(book.accept(renewal(s)))
        given += 1
    assert (given, s.next_at) == (3, START_US + 51 * DAY)


def test_a_cancellation_keeps_the_change_for_whoever_resumes(book):
    put_plan(book, plan(paid=True))
    put_plan(book, plan("free", 5))
    book.accept(buy())
    waiting = change(book, "free")
    canceled = after(book.accept(Unsubscribe(**ALICE)))
    assert (canceled.ends_at, canceled.pending) == (canceled.next_at, waiting.pending)
    refused = book.refuse(ChangePlan(**ALICE, plan="free"))
    assert (refused.code, refused.facts["field"]) == (Refusal.INVALID, "plan")
    assert after(book.accept(Resume(**ALICE))) == waiting


def test_a_plan_that_was_archived_since_comes_all_the_same_and_nobody_else_chooses_it(book):
    put_plan(book, plan())
    put_plan(book, plan("basic", 10))
    book.accept(buy())
    s = change(book, "basic")
    put_plan(book, plan("basic", 10), archived_at=START_US)
    assert book.refuse(ChangePlan(**ALICE, plan="basic")).code is Refusal.PLAN_ARCHIVED
    assert renew_at(book, s).plan == "basic"


def test_the_same_key_for_another_plan_is_a_conflict(book):
    put_plan(book, plan())
    put_plan(book, plan("basic", 10))
    book.accept(buy())
    change(book, "basic", key="k")
    refused = book.refuse(ChangePlan(**ALICE, plan="pro", key="k"))
    assert (refused.code, refused.facts["differs"]) == (Refusal.KEY_CONFLICT, ["ref"])


def test_in_one_batch_a_change_and_the_renewal_see_each_other(book):
    put_plan(book, plan())
    put_plan(book, plan("basic", 10))
    s = after(book.accept(buy()))
    book.clock.set(s.next_at)
    results = book.batch(ChangePlan(**ALICE, plan="basic"), renewal(s), Resume(**ALICE))
    assert [after(r.entry).plan for r in results] == ["pro", "basic", "basic"]


# Rests that are put together


@pytest.fixture
def few(monkeypatch):
    """What is many is few."""
    monkeypatch.setattr(allowances, "MANY", 4)


def periods(book: Book, s: Subscription, count: int) -> Subscription:
    for _ in range(count):
        s = renew_at(book, s)
    return s


def test_many_rests_are_put_together_with_the_next_renewal_and_nothing_is_lost(book, few):
    put_plan(book, plan(every=1))
    s = periods(book, after(book.accept(buy())), 3)
    book.accept(TakeCharge(**ALICE, amount=130 * UNIT))
    s = periods(book, s, 1)
    entry = book.entries()[-1]
    # What is left of the first four periods is 70, 100 and 100.
    assert sorted(left(book)) == [100, 270]
    body, row = read_body(entry), book.row()
    assert (entry.amount, body.earned, body.written_off, row.earned) == (100 * UNIT, 100 * UNIT, 0, 500 * UNIT)
    own, together = body.grants
    assert own.id == grant_id(entry)
    assert together.source == {"subscription": s.id, "put_together": "3"}
    assert s.grants == (together.id, own.id)


def test_a_refund_goes_back_to_the_grant_whose_rest_was_put_together(book, few):
    put_plan(book, plan(every=1))
    bought = book.accept(buy())
    charged = book.accept(TakeCharge(**ALICE, amount=40 * UNIT))
    periods(book, after(bought), 4)
    book.accept(Refund(**ALICE, charge=charged.id))
    assert {g.id: g.remaining // UNIT for g in book.row().grants}[grant_id(bought)] == 40
    assert book.row().balance == 500 * UNIT


def test_a_void_of_a_period_takes_all_that_it_gave_wherever_it_went(book, few):
    put_plan(book, plan(every=1))
    bought = book.accept(buy())
    book.accept(TakeCharge(**ALICE, amount=40 * UNIT))
    periods(book, after(bought), 4)
    book.accept(Void(**ALICE, grant=grant_id(bought)))
    assert (book.row().balance, book.row().debt) == (360 * UNIT, 100 * UNIT)
    # The next period repays what the void owes, and the rest of the account is right.
    periods(book, last(book), 1)
    assert (book.row().balance, book.row().debt) == (460 * UNIT, 0)


def last(book: Book) -> Subscription:
    return next(s for e in reversed(book.entries()) if (s := read_body(e).subscription))


def test_what_a_hold_pins_and_what_has_other_terms_stays_apart(book, few):
    put_plan(book, plan(every=1))
    s = after(book.accept(buy()))
    held = book.accept(PlaceHold(**ALICE, amount=30 * UNIT, ttl=20 * DAY))
    s = periods(book, s, 1)
    put_plan(book, plan(every=1, priority=60))
    s = periods(book, s, 2)
    put_plan(book, plan(every=1))
    s = periods(book, s, 1)
    # Nothing can be put together but the two of priority 60.
    assert sorted(left(book)) == [100, 100, 100, 200]
    book.accept(Release(**ALICE, hold=hold_id(held)))
    periods(book, s, 1)
    assert sorted(left(book)) == [100, 200, 300]


def test_a_short_period_whose_rests_stay_never_meets_the_limit_of_grants(book):
    book.db.execute("update workspace set settings = '{\"max_live_grants\": 3}'")
    put_plan(book, plan(every=1))
    book.accept(GiveGrant(**ALICE, amount=UNIT))
    s = periods(book, after(book.accept(buy())), 40)
    assert book.row().balance == 4_101 * UNIT
    assert len(book.row().grants) == 3
    assert len(s.grants) == 2
    # Nor does who buys another plan.
    put_plan(book, plan("other", 7))
    book.accept(buy("other"))
    assert sorted(left(book)) == [1, 7, 4_100]


def test_where_others_have_all_the_room_a_renewal_is_still_refused(book):
    book.db.execute("update workspace set settings = '{\"max_live_grants\": 3}'")
    put_plan(book, plan(every=1))
    s = after(book.accept(buy()))
    for _ in range(2):
        book.accept(GiveGrant(**ALICE, amount=UNIT))
    book.clock.set(s.next_at)
    assert book.refuse(renewal(s)).code is Refusal.TOO_MANY_GRANTS


def test_below_many_each_period_keeps_its_own_grant(book):
    put_plan(book, plan(every=1))
    s = periods(book, after(book.accept(buy())), allowances.MANY - 1)
    assert len(book.row().grants) == len(s.grants) == allowances.MANY
    s = periods(book, s, 1)
    assert len(book.row().grants) == len(s.grants) == 2
