"""What a simulation foretells of one account: by the ledger's own decisions, each at its instant."""

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from farthing.core.commands import GiveGrant, PlaceHold, SetAccount, TakeCharge, Unsubscribe
from farthing.core.jobs import MOST_ATTEMPTS, NEVER, back_off
from farthing.core.plans import KeptPlan, Plan
from farthing.core.records import Hold, OnExpiry, WorkspaceSettings
from farthing.core.refundable import read_body
from farthing.core.simulation import PARKED, Ahead, Event, Foretold, Subject, World
from farthing.core.subscription import Subscription
from farthing.timezones import calendar, months_after
from tests.subscribing import DAY, after, buy, plan, put_plan
from tests.support import MAIN, START_US, UNIT, Book, hold_id

HOLDS: list[tuple[int, OnExpiry]] = [(10, "release"), (12, "all")]


def world(*plans: Plan, **settings: Any) -> World:
    kept = {("main", each.id): KeptPlan(each, START_US, START_US) for each in plans}
    rules = replace(MAIN, settings=WorkspaceSettings(**settings))
    return World(workspace=rules, plans=kept, calendar=calendar, months_after=months_after)


def subject(book: Book, s: Subscription | None = None, *holds: str, **more: Any) -> Subject:
    """Alice as the book has her."""
    known: list[Hold] = [book.hold(each) for each in holds]
    owing = [book.charge(entry.id) for entry in book.entries() if read_body(entry).debts]
    return Subject(account=book.row(), subscription=s, holds=tuple(known), owing=tuple(owing), **more)


def bought(book: Book, each: Plan, **terms: Any) -> Subscription:
    put_plan(book, each)
    return after(book.accept(buy(each.id, **terms)))


def events(subject: Subject, world: World, days: int, start: int = START_US) -> list[Event]:
    return list(Ahead(subject, world, start).events(start + days * DAY))


def told(found: list[Event]) -> list[tuple[int, str, int, int]]:
    """Day, what, amount and balance, in credits."""
    return [((e.at - START_US) // DAY, e.what, e.amount // UNIT, e.balance // UNIT) for e in found]


def dates(found: list[Event]) -> list[str]:
    return [datetime.fromtimestamp(e.at // 1_000_000, UTC).strftime("%m-%d") for e in found]


def test_a_year_of_a_thirty_day_plan_is_twelve_renewals_thirty_days_apart(book: Book):
    found = events(subject(book, bought(book, plan())), world(plan()), 365)
    assert told(found) == [(30 * n, "renewal", 100, 100 * (n + 1)) for n in range(1, 13)]
    assert {(e.given, e.plan) for e in found} == {(100 * UNIT, "pro")}


def test_nothing_is_written_and_what_is_simulated_twice_is_the_same(book: Book):
    each = plan(rollover="lapse")
    alice = subject(book, bought(book, each))
    before = book.row()
    first = events(alice, world(each), 200)
    assert events(alice, world(each), 200) == first
    assert book.row() == before == alice.account
    assert book.count("entry") == 2


def test_what_is_kept_capped_or_lapses_is_what_the_plan_says(book: Book):
    capped, lapsing = plan("capped", rollover="cap", cap=30), plan("lapsing", rollover="lapse")
    found = events(subject(book, bought(book, capped)), world(capped), 60)
    assert told(found) == [(30, "renewal", 30, 130), (60, "renewal", 0, 130)]
    assert [e.written_off // UNIT for e in found] == [70, 100]
    other = Book()
    found = events(subject(other, bought(other, lapsing)), world(lapsing), 60)
    assert told(found) == [
        (30, "lapse", -100, 0), (30, "renewal", 100, 100), (60, "lapse", -100, 0), (60, "renewal", 100, 100),
    ]  # fmt: skip
    other.close()


def test_months_without_the_day_end_early_and_the_next_one_has_it_again(book: Book):
    each = plan(every=1, unit="months", anchor_day=31)
    book.clock.advance(us=30 * DAY)
    found = events(subject(book, bought(book, each)), world(each), 160, book.clock.now_us())
    assert dates(found) == ["02-28", "03-31", "04-30", "05-31", "06-30"]


def test_a_subscription_ends_with_the_time_that_is_paid_and_is_not_renewed_at_that_instant(book: Book):
    s = bought(book, plan(), expires_at=START_US + 60 * DAY)
    assert told(events(subject(book, s), world(plan()), 365)) == [(30, "renewal", 100, 200), (60, "end", 0, 200)]


def test_what_a_provider_bills_is_not_renewed_and_ends_after_its_grace(book: Book):
    each = plan(paid=True, grace_days=3)
    found = events(subject(book, bought(book, each, billed_by="stripe")), world(each), 365)
    assert told(found) == [(33, "end", 0, 100)]


def test_one_that_was_canceled_ends_when_its_next_period_would_begin(book: Book):
    bought(book, plan())
    s = after(book.accept(Unsubscribe(workspace="main", account="alice")))
    assert told(events(subject(book, s), world(plan()), 365)) == [(30, "end", 0, 100)]


def test_what_is_overdue_is_renewed_at_the_start_once_or_for_each_period_as_the_plan_says(book: Book):
    s = bought(book, plan())
    start = START_US + 100 * DAY
    assert told(events(subject(book, s), world(plan()), 25, start)) == [
        (100, "renewal", 100, 200), (120, "renewal", 100, 300),
    ]  # fmt: skip
    each = plan(catch_up="each")
    assert told(events(subject(book, s), world(each), 25, start)) == [
        *((100, "renewal", 100, 200 + 100 * n) for n in range(3)), (120, "renewal", 100, 500),
    ]  # fmt: skip


def test_what_lapsed_before_the_start_is_no_news(book: Book):
    book.accept(GiveGrant(workspace="main", account="alice", amount=7 * UNIT, expires_at=START_US + DAY))
    book.accept(GiveGrant(workspace="main", account="alice", amount=5 * UNIT, expires_at=START_US + 9 * DAY))
    ahead = Ahead(subject(book), world(), START_US + 3 * DAY)
    assert ahead.account.balance == 5 * UNIT
    assert told(list(ahead.events(START_US + 30 * DAY))) == [(9, "lapse", -5, 0)]


def test_until_is_the_last_instant_that_is_looked_at(book: Book):
    book.accept(GiveGrant(workspace="main", account="alice", amount=5 * UNIT, expires_at=START_US + DAY))
    assert list(Ahead(subject(book), world(), START_US).events(START_US + DAY - 1)) == []
    assert len(list(Ahead(subject(book), world(), START_US).events(START_US + DAY))) == 1


def test_a_hold_that_nobody_ends_goes_by_its_policy_and_what_it_pinned_lapses_with_it(book: Book):
    book.accept(GiveGrant(workspace="main", account="alice", amount=50 * UNIT, expires_at=START_US + 5 * DAY))
    book.accept(GiveGrant(workspace="main", account="alice", amount=100 * UNIT, priority=60))
    holds = [
        hold_id(book.accept(PlaceHold(workspace="main", account="alice", amount=20 * UNIT, ttl=n * DAY, on_expiry=how)))
        for n, how in HOLDS
    ]
    found = events(subject(book, None, *holds), world(), 30)
    # Of 50, 40 are held: 10 lapse at their time, 20 when they come back, and 20 are taken.
    assert told(found) == [(5, "lapse", -10, 140), (10, "hold", -20, 120), (12, "hold", -20, 100)]
    assert [(e.lapsed // UNIT, e.taken // UNIT) for e in found] == [(10, 0), (20, 0), (0, 20)]


def test_what_is_given_repays_debt_first(book: Book):
    s = bought(book, plan(rollover="lapse"))
    book.accept(TakeCharge(workspace="main", account="alice", amount=130 * UNIT, shortfall="debt"))
    found = events(subject(book, s), world(plan(rollover="lapse")), 60)
    assert told(found) == [(30, "renewal", 100, 70), (60, "lapse", -70, 0), (60, "renewal", 100, 100)]


def test_the_tries_are_those_of_the_job_and_end_with_its_last(book: Book):
    tries = START_US + 30 * DAY
    instants = [tries]
    for attempt in range(1, MOST_ATTEMPTS):
        instants.append(instants[-1] + back_off(attempt, 0))
    s = bought(book, plan())
    full = world(plan(), max_live_grants=1)
    # Somebody else's grant takes the only place, and goes just before the last try, or just after it.
    for late, comes in ((-1, True), (1, False)):
        one = Book()
        one.accept(
            GiveGrant(workspace="main", account="alice", amount=UNIT, expires_at=instants[-1] + late)
        )  # fmt: skip
        kinds = [(e.what, e.at) for e in events(subject(one, replace(s, grants=())), full, 40)]
        lapse = ("lapse", instants[-1] + late)
        assert kinds == [("refused", tries), lapse, *([("renewal", instants[-1])] if comes else [])]
        one.close()


def test_one_that_is_parked_already_waits_for_somebody(book: Book):
    s = bought(book, plan())
    (event,) = events(subject(book, s, retry_at=NEVER), world(plan()), 365)
    assert (event.what, event.code, event.at) == ("refused", PARKED, START_US)


def test_a_frozen_account_is_renewed_all_the_same(book: Book):
    s = bought(book, plan())
    book.accept(SetAccount(workspace="main", account="alice", frozen=True))
    assert told(events(subject(book, s), world(plan()), 31)) == [(30, "renewal", 100, 200)]


# Sums


def test_sums_are_those_of_the_events_by_month_of_the_zone_and_the_largest_accounts_are_named(book: Book):
    each = plan(rollover="lapse")
    ahead = Ahead(subject(book, bought(book, each)), world(each), START_US)
    found = Foretold(calendar, "Europe/Berlin", top=2)
    for event in ahead.events(START_US + 90 * DAY):
        found.add(event)
    found.add_account(100 * UNIT, ahead.account)
    for name, balance in (("bob", 300), ("carl", 100), ("dora", 50)):
        found.add_account(0, replace(ahead.account, id=name, balance=balance * UNIT))
    assert found.total.renewals == sum(t.renewals for t in found.months.values()) == 3
    assert found.total.given == found.total.lapsed == 300 * UNIT
    # The 31st of January, the 2nd of March and the 1st of April there.
    months = [datetime.fromtimestamp(m // 1_000_000 + 3600 * 2, UTC).strftime("%m-%d") for m in sorted(found.months)]
    assert months == ["01-01", "03-01", "04-01"]
    assert found.largest == [("bob", 300 * UNIT), ("alice", 100 * UNIT)]
    assert (found.accounts, found.before, found.after) == (4, 100 * UNIT, 550 * UNIT)


def test_failures_are_counted_by_their_reason(book: Book):
    book.accept(GiveGrant(workspace="main", account="alice", amount=UNIT))
    s = replace(bought(book, plan()), grants=())
    found = Foretold(calendar, "UTC", top=0)
    for event in events(subject(book, s), world(plan(), max_live_grants=1), 365):
        found.add(event)
    assert found.total.refused == {"too_many_grants": 1}
    assert (found.total.failed, found.total.renewals, found.largest) == (1, 0, [])
