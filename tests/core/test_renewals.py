"""What subscriptions do to an account: buying, changing, renewing, ending; and that the entries tell it all."""

import random
from typing import Any

import pytest

from farthing.core.commands import (
    CreateAccount,
    GiveGrant,
    PlaceHold,
    Release,
    TakeCharge,
    Unsubscribe,
    Void,
)
from farthing.core.invariants import Books
from farthing.core.outcomes import Accepted, Refusal
from farthing.core.refundable import read_body
from farthing.timezones import calendar
from tests.subscribing import DAY, after, buy, ending, plan, put_plan, renewal
from tests.support import START_US, UNIT, Book, entry_of, grant_id, hold_id

ALICE: dict[str, Any] = {"workspace": "main", "account": "alice"}


@pytest.fixture(autouse=True)
def told_by_the_entries(book: Book):
    """After each test: the entries by themselves tell the row, and the subscription."""
    yield
    for account in {row[0] for row in book.db.execute("select distinct account from entry")}:
        books = Books("main", account, calendar, lambda id: None)
        problems = [str(p) for entry in book.entries(account) for p in books.add(entry)]
        assert problems == []
        rows = list(book.db.execute("select terms from subscription where account = ?", (account,)))
        assert bool(rows) == (books.subscription is not None)


def left(book: Book) -> list[int]:
    """What is left of each grant, in credits."""
    return [g.remaining // UNIT for g in sorted(book.row().grants, key=lambda g: g.created_at)]


def test_buying_a_plan_is_one_entry_with_grant_plan_and_dates(book):
    put_plan(book, plan(paid=True, category="promotional", priority=10))
    entry = book.accept(buy(key="pay:stripe:pi_1"))
    s, body = after(entry), read_body(entry)
    assert [e.kind for e in book.entries()] == ["open", "subscribe"]
    assert (entry.amount, body.earned) == (100 * UNIT, 100 * UNIT)
    (terms,) = body.grants
    assert (terms.category, terms.priority, terms.expires_at) == ("promotional", 10, None)
    assert terms.source == {"subscription": s.id, "plan": "pro"}
    assert (s.anchor_at, s.period_at, s.next_at) == (START_US, START_US, START_US + 30 * DAY)
    assert (s.expires_at, s.ends_at) == (s.next_at, s.next_at)
    assert book.do(buy(key="pay:stripe:pi_1")) == Accepted(entry, replayed=True)


def test_the_same_key_for_another_plan_is_a_conflict(book):
    put_plan(book, plan())
    put_plan(book, plan("business"))
    book.accept(buy(key="k"))
    refused = book.refuse(buy("business", key="k"))
    assert (refused.code, refused.facts["differs"]) == (Refusal.KEY_CONFLICT, ["ref"])


def test_a_plan_first_pays_debt(book):
    put_plan(book, plan())
    book.accept(CreateAccount(**ALICE))
    book.accept(TakeCharge(**ALICE, amount=30 * UNIT, shortfall="debt"))
    book.accept(buy())
    assert (book.row().debt, book.row().balance, left(book)) == (0, 70 * UNIT, [70])


def test_an_upgrade_in_the_middle_of_a_period_counts_anew_and_keeps_what_is_left(book):
    put_plan(book, plan())
    put_plan(book, plan("business", 1_000))
    first = after(book.accept(buy()))
    book.clock.set(START_US + 10 * DAY)
    s = after(book.accept(buy("business")))
    assert (s.id, s.anchor_at, s.next_at) == (first.id, START_US + 10 * DAY, START_US + 40 * DAY)
    assert left(book) == [100, 1_000]


def test_an_upgrade_that_replaces_writes_off_what_is_free_of_the_plan_before_and_nothing_else(book):
    put_plan(book, plan())
    put_plan(book, plan("business", 1_000, change="replace"))
    s = after(book.accept(buy()))
    book.clock.set(s.next_at)
    book.accept(renewal(s))
    book.accept(GiveGrant(**ALICE, amount=7 * UNIT, priority=90))
    book.accept(PlaceHold(**ALICE, amount=30 * UNIT, ttl=DAY))
    entry = book.accept(buy("business"))
    assert read_body(entry).written_off == 170 * UNIT
    assert sorted(left(book)) == [7, 30, 1_000]


def test_who_buys_the_same_plan_again_loses_nothing_of_it(book):
    put_plan(book, plan(change="replace"))
    book.accept(buy())
    book.clock.set(START_US + 5 * DAY)
    s = after(book.accept(buy()))
    assert (left(book), s.next_at) == ([100, 100], START_US + 35 * DAY)


def test_what_is_left_stays_by_default(book):
    put_plan(book, plan())
    s = after(book.accept(buy()))
    for _ in range(3):
        book.clock.set(s.next_at)
        s = after(book.accept(renewal(s)))
    assert left(book) == [100] * 4
    assert len(s.grants) == 4


def test_what_lapses_lapses_at_the_very_end_of_its_period(book):
    put_plan(book, plan(rollover="lapse"))
    s = after(book.accept(buy()))
    book.clock.set(s.next_at + DAY)
    s = after(book.accept(renewal(s)))
    lapse = next(e for e in book.entries() if e.kind == "lapse")
    assert (lapse.at, lapse.amount) == (START_US + 30 * DAY, -100 * UNIT)
    assert left(book) == [100]
    assert [g.expires_at for g in book.row().grants] == [s.next_at]


@pytest.mark.parametrize(
    ("cap", "spent", "kept"), [(50, 0, [50, 100]), (50, 70, [30, 100]), (0, 0, [100]), (100, 0, [100, 100])]
)
def test_a_cap_is_what_may_be_left_of_earlier_periods(book, cap, spent, kept):
    put_plan(book, plan(rollover="cap", cap=cap))
    s = after(book.accept(buy()))
    if spent:
        book.accept(TakeCharge(**ALICE, amount=spent * UNIT))
    book.clock.set(s.next_at)
    entry = book.accept(renewal(s))
    assert left(book) == kept
    assert read_body(entry).written_off == max(100 - spent - cap, 0) * UNIT


def test_above_the_cap_the_oldest_goes_first_and_holds_are_left_alone(book):
    put_plan(book, plan(every=10, rollover="cap", cap=120))
    s = after(book.accept(buy()))
    held = book.accept(PlaceHold(**ALICE, amount=60 * UNIT, ttl=25 * DAY))
    for _ in range(2):
        book.clock.set(s.next_at)
        s = after(book.accept(renewal(s)))
    # 60 of the oldest are held; 40 of it, then 40 of the second, had to go.
    assert left(book) == [60, 60, 100]
    book.accept(Release(**ALICE, hold=hold_id(held)))
    book.clock.set(s.next_at)
    book.accept(renewal(s))
    assert left(book) == [20, 100, 100]


def test_other_grants_do_not_count_into_the_cap(book):
    put_plan(book, plan(rollover="cap", cap=10))
    s = after(book.accept(buy()))
    book.accept(GiveGrant(**ALICE, amount=500 * UNIT))
    book.clock.set(s.next_at)
    book.accept(renewal(s))
    assert sorted(left(book)) == [10, 100, 500]


def test_a_voided_period_counts_for_nothing(book):
    put_plan(book, plan(rollover="cap", cap=10))
    entry = book.accept(buy())
    book.accept(Void(**ALICE, grant=grant_id(entry)))
    s = after(entry)
    book.clock.set(s.next_at)
    assert after(book.accept(renewal(s))).grants == (left_ids(book)[0],)
    assert left(book) == [100]


def left_ids(book: Book) -> list[str]:
    return [g.id for g in book.row().grants]


def test_a_plan_that_gives_nothing_has_its_dates_all_the_same(book):
    put_plan(book, plan(allowance=0))
    entry = book.accept(buy())
    assert (entry.amount, read_body(entry).grants) == (0, [])
    book.clock.set(after(entry).next_at)
    assert book.accept(renewal(after(entry))).amount == 0


def test_a_shorter_first_period_gives_its_share_where_the_plan_says_so(book):
    terms: dict[str, Any] = {"every": 1, "unit": "months", "anchor_day": 1}
    put_plan(book, plan(**terms, first_period="prorated"))
    put_plan(book, plan("full", **terms))
    book.clock.set(START_US + 24 * DAY)  # the 25th of January: 7 of 31 days are left
    assert book.accept(buy()).amount == 22_580_645
    assert book.accept(buy("full", "bob")).amount == 100 * UNIT


def test_a_plan_that_is_changed_moves_no_date_and_gives_its_new_allowance(book):
    put_plan(book, plan())
    s = after(book.accept(buy()))
    put_plan(book, plan(allowance=70, every=7, timezone="Asia/Tokyo"))
    book.clock.set(s.next_at)
    entry = book.accept(renewal(s))
    assert (entry.amount, after(entry).next_at) == (70 * UNIT, START_US + 60 * DAY)


def test_who_has_a_plan_that_is_archived_is_renewed(book):
    put_plan(book, plan())
    s = after(book.accept(buy()))
    put_plan(book, plan(), archived_at=START_US)
    book.clock.set(s.next_at)
    assert book.accept(renewal(s)).amount == 100 * UNIT
    assert book.refuse(buy()).code is Refusal.PLAN_ARCHIVED


def test_one_that_runs_elsewhere_begins_with_its_next_period(book):
    put_plan(book, plan())
    due = START_US - 3 * DAY
    s = after(book.accept(buy(next_at=due, expires_at=START_US + 400 * DAY)))
    assert (book.row().balance, s.period_at, s.next_at) == (0, None, due)
    entry = book.accept(renewal(s))
    assert (entry.amount, after(entry).period_at, after(entry).next_at) == (100 * UNIT, due, due + 30 * DAY)


def test_one_that_runs_elsewhere_keeps_its_anchor_day(book):
    put_plan(book, plan(every=1, unit="months", anchor_day=31))
    s = after(book.accept(buy(next_at=START_US + 58 * DAY)))  # the 28th of February
    book.clock.set(s.next_at)
    assert after(book.accept(renewal(s))).next_at == START_US + 89 * DAY  # the 31st of March


def test_a_payment_may_come_early_and_extends_what_is_paid(book):
    put_plan(book, plan(paid=True))
    s = after(book.accept(buy(billed_by="stripe", claim=("stripe", "pi_1"))))
    assert s.ends_at == START_US + 33 * DAY
    s = after(book.accept(renewal(s, claim=("stripe", "pi_2"))))
    assert (s.period_at, s.expires_at, s.ends_at) == (START_US + 30 * DAY, START_US + 60 * DAY, START_US + 63 * DAY)
    s = after(book.accept(renewal(s, claim=("stripe", "pi_3"), expires_at=START_US + 500 * DAY)))
    assert s.expires_at == START_US + 500 * DAY
    assert left(book) == [100] * 3


def test_one_payment_renews_once_whatever_is_asked(book):
    put_plan(book, plan(paid=True))
    s = after(book.accept(buy(billed_by="stripe")))
    s = after(book.accept(renewal(s, claim=("stripe", "pi_2"))))
    again = book.do(renewal(s, claim=("stripe", "pi_2")))
    assert isinstance(again, Accepted)
    assert again.replayed
    assert left(book) == [100, 100]


def test_in_one_batch_a_period_is_given_once_and_later_commands_see_it(book):
    put_plan(book, plan())
    s = after(book.accept(buy()))
    book.clock.set(s.next_at)
    first, second, third = book.batch(renewal(s), renewal(s), Unsubscribe(**ALICE))
    assert [first.replayed, second.replayed] == [False, True]
    assert after(third.entry).periods == 2


def test_ending_keeps_the_credits(book):
    put_plan(book, plan())
    s = after(book.accept(buy()))
    entry = book.accept(Unsubscribe(**ALICE, at_once=True))
    assert (entry.amount, after(entry).ended_at, book.row().balance) == (0, START_US, 100 * UNIT)
    assert book.refuse(ending(s)).code is Refusal.SUBSCRIPTION_ENDED


def test_grace_ends_with_a_cancellation(book):
    put_plan(book, plan(paid=True))
    book.accept(buy(billed_by="stripe"))
    s = after(book.accept(Unsubscribe(**ALICE)))
    assert s.ends_at == s.expires_at == START_US + 30 * DAY


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_each_period_is_given_once_and_the_books_are_right(book, seed):
    rng = random.Random(seed)
    rules: list[dict[str, Any]] = [
        {"rollover": "cap", "cap": 120},
        {"rollover": "lapse"},
        {"change": "replace"},
        {"catch_up": "each"},
    ]
    for number, terms in enumerate(rules):
        put_plan(book, plan(f"p{number}", rng.randrange(1, 200), every=rng.randrange(1, 9), **terms))
    s = after(book.accept(buy("p0")))
    given: dict[tuple[str, int], int] = {}
    for _ in range(120):
        book.clock.set(book.clock.now_us() + rng.randrange(5 * DAY))
        act = rng.random()
        if act < 0.5:
            outcome = book.do(renewal(s))
            if isinstance(outcome, Accepted) and not outcome.replayed:
                assert (s.id, s.next_at) not in given
                given[s.id, s.next_at] = 1
                s = after(entry_of(outcome))
        elif act < 0.6:
            s = after(book.accept(buy(f"p{rng.randrange(4)}")))
        elif act < 0.65:
            outcome = book.do(Unsubscribe(**ALICE, at_once=rng.random() < 0.5))
            s = after(entry_of(outcome)) if isinstance(outcome, Accepted) else s
        elif act < 0.8:
            book.do(TakeCharge(**ALICE, amount=rng.randrange(1, 150) * UNIT, shortfall=rng.choice(["refuse", "debt"])))
        else:
            book.do(PlaceHold(**ALICE, amount=rng.randrange(1, 50) * UNIT, ttl=rng.randrange(1, 9) * DAY))
    keys = [e.key for e in book.entries() if e.kind == "renew"]
    assert len(keys) == len(set(keys)) == len(given) > 5
