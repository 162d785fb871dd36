"""Renewals on a real ledger, on both databases: once, on time, whatever fails and whoever asks."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from farthing.core.commands import ChangePlan, EndSubscription, GiveGrant, Subscribe, TakeCharge, Unsubscribe
from farthing.core.jobs import FIRST_US
from farthing.core.outcomes import Accepted, Refusal, Refused
from farthing.core.renewal_run import RenewalRun
from farthing.core.subscription import end_key
from farthing.engine import QueueFull
from farthing.jobs import renewals as job
from farthing.jobs.renewals import Renewals
from farthing.stores.access import Act
from farthing.stores.subscriptions import FROM_THE_START
from tests.jobs.subscribers import ALL, Club, play
from tests.subscribing import DAY, plan
from tests.support import START_US, UNIT

ACT = Act("test", START_US)
HOUR = 3_600_000_000


def story(work: Callable[[Club], Awaitable[None]]) -> Callable[[Club], None]:
    """Make a test of a story that is played on a club."""

    def test(club: Club) -> None:
        play(club, work)

    test.__doc__, test.__name__ = work.__doc__, work.__name__
    return test


def counts(run: RenewalRun) -> tuple[int, int, int, int]:
    return run.processed, run.successful, run.failed, run.skipped


@story
async def test_all_that_are_due_are_renewed_and_nobody_else(club):
    await club.begin(plan())
    await club.subscribe_many(5)
    club.clock.advance(us=DAY)
    await club.subscribe("later")
    club.clock.advance(us=29 * DAY)
    run = await club.renewals.run(ALL)
    assert counts(run) == (5, 5, 0, 0)
    assert (await club.balance("user_000000"), await club.balance("later")) == (200, 100)
    assert {r.account for r in run.renewals} == {f"user_{n:06}" for n in range(5)}
    assert all((r.amount, r.balance_before, r.balance) == (100 * UNIT, 100 * UNIT, 200 * UNIT) for r in run.renewals)
    assert counts(await club.renewals.run(ALL)) == (0, 0, 0, 0)


@story
async def test_two_workers_and_the_users_own_claims_renew_each_once(club):
    await club.begin(plan())
    await club.subscribe_many(60)
    club.clock.advance(us=30 * DAY)
    other = Renewals(club.ledger.engine, club.subscriptions, club.ledger.clock.now_us)
    claims = [club.renewal(name, await club.of(name)) for name in ("user_000000", "user_000059")]
    one, two, *mine = await asyncio.gather(club.renewals.run(ALL), other.run(ALL), *map(club.ask, claims))
    assert await club.count("renew") == 60
    assert one.failed == two.failed == 0
    assert all(isinstance(outcome, Accepted) for outcome in mine)
    assert [await club.balance(f"user_{n:06}") for n in range(60)] == [200] * 60


@story
async def test_many_are_renewed_in_a_few_reads_and_commits(club):
    await club.begin(plan())
    await club.subscribe_many(300)
    club.clock.advance(us=30 * DAY)
    calls: Counter[str] = Counter()

    def counted(of: object, name: str) -> None:
        real = getattr(of, name)

        async def call(*words: Any, **how: Any) -> Any:
            calls[name] += 1
            return await real(*words, **how)

        setattr(of, name, call)

    for name in ("load", "commit"):
        counted(club.ledger.engine._store, name)
    for name in ("rows", "write"):
        counted(club.ledger.database, name)
    assert (await club.renewals.run(ALL)).successful == 300
    assert calls["load"] == calls["commit"]
    assert sum(calls.values()) < 20, calls


@story
async def test_workers_share_the_work(club):
    await club.begin(plan())
    await club.subscribe_many(40)
    club.clock.advance(us=30 * DAY)
    workers = [Renewals(club.ledger.engine, club.subscriptions, club.ledger.clock.now_us) for _ in range(2)]
    taken = await asyncio.gather(*(w._page(replace(ALL, limit=20), FROM_THE_START, 20) for w in workers))
    names = [s.account for page in taken for s in page]
    assert len(names) == len(set(names))


@story
async def test_what_a_killed_worker_had_taken_is_renewed_after_a_short_while(club):
    await club.begin(plan())
    await club.subscribe_many(3)
    club.clock.advance(us=30 * DAY)
    assert len(await club.renewals._page(ALL, FROM_THE_START, 10)) == 3
    assert counts(await club.renewals.run(ALL)) == (0, 0, 0, 0)
    club.clock.advance(us=job.LEASE_US)
    assert counts(await club.renewals.run(ALL)) == (3, 3, 0, 0)


@story
async def test_who_is_asked_to_wait_does_what_a_killed_worker_left(club):
    await club.begin(plan(), lease_us=50_000)
    await club.subscribe_many(3)
    club.clock.advance(us=30 * DAY)
    assert len(await club.renewals._page(ALL, FROM_THE_START, 2)) == 2

    async def time_passes() -> None:
        while True:
            await asyncio.sleep(0.01)
            club.clock.advance(us=10_000)

    passing = asyncio.create_task(time_passes())
    run = await club.renewals.run(replace(ALL, wait=True))
    passing.cancel()
    assert counts(run) == (3, 3, 0, 0)


@story
async def test_an_upgrade_and_the_job_at_the_same_moment_give_the_period_of_one_of_them(club):
    await club.begin(plan(), plan("business", 1_000))
    before = await club.subscribe("anna")
    club.clock.advance(us=30 * DAY)
    upgrade = Subscribe(workspace="main", account="anna", plan="business", key="pay:stripe:pi_1")
    run, bought = await asyncio.gather(club.renewals.run(ALL), club.ask(upgrade))
    assert isinstance(bought, Accepted)
    s = await club.of("anna")
    assert (s.plan, s.next_at) == ("business", before.next_at + 30 * DAY)
    assert await club.balance("anna") == 100 + 1_000 + 100 * run.successful
    assert counts(await club.renewals.run(ALL)) == (0, 0, 0, 0)


@story
async def test_the_job_that_read_before_an_upgrade_gives_nothing_of_the_plan_before(club):
    await club.begin(plan(), plan("business", 1_000))
    s = await club.subscribe("anna")
    club.clock.advance(us=30 * DAY)
    stale = club.renewal("anna", s)
    await club.subscribe("anna", "business")
    outcome = await club.ask(stale)
    assert isinstance(outcome, Refused)
    assert outcome.code is Refusal.SUBSCRIPTION_CHANGED
    assert await club.balance("anna") == 1_100


@story
async def test_a_daily_job_simulated_over_a_year_renews_every_30_days_exactly(club):
    await club.begin(plan())
    bought = (await club.subscribe("anna")).started_at
    club.clock.advance(us=7 * HOUR)
    for _ in range(365):
        await club.renewals.run(ALL)
        club.clock.advance(us=DAY)
    entries = await club.entries("anna", "renew")
    # Every 30 days from the purchase, found by a job that runs 7 hours after the hour of it.
    assert [e.at - bought for e in reversed(entries)] == [n * 30 * DAY + 7 * HOUR for n in range(1, 13)]
    assert (await club.of("anna")).next_at == bought + 13 * 30 * DAY
    assert await club.balance("anna") == 1_300


@story
async def test_a_job_at_any_hour_never_moves_the_dates(club):
    await club.begin(plan(every=1, unit="months", timezone="Europe/Berlin"))
    club.clock.set(1_769_814_000_000_000)  # 2026-01-31 00:00 in Berlin
    await club.subscribe("anna")
    for days in (35, 20, 40, 29, 31):
        club.clock.advance(us=days * DAY + days * HOUR)
        await club.renewals.run(ALL)
    s = await club.of("anna")
    assert s.anchor_at == 1_769_814_000_000_000
    # 2026-07-31 00:00 in Berlin, two hours before UTC's.
    assert s.next_at == 1_785_448_800_000_000


@story
async def test_after_an_outage_each_missed_period_is_made_up_for_where_the_plan_says_so(club):
    await club.begin(plan("once"), plan("each", catch_up="each"), plan("lapse", catch_up="each", rollover="lapse"))
    for each in ("once", "each", "lapse"):
        await club.subscribe(each, each)
    club.clock.advance(us=125 * DAY)
    run = await club.renewals.run(ALL)
    assert (run.successful, len(run.renewals)) == (3, 6)
    assert [await club.balance(name) for name in ("once", "each", "lapse")] == [200, 500, 100]
    assert {(await club.of(name)).next_at for name in ("once", "each", "lapse")} == {
        (await club.of("each")).anchor_at + 150 * DAY
    }


@story
async def test_the_limit_counts_who_is_due_the_oldest_first_so_that_none_starves(club):
    await club.begin(plan())
    for n in range(10):
        # The names are in the other order than the dates.
        await club.subscribe(f"user_{9 - n}")
        club.clock.advance(us=HOUR)
    club.clock.advance(us=20 * DAY)
    await club.subscribe_many(5)
    club.clock.advance(us=10 * DAY)
    renewed = []
    for _ in range(4):
        run = await club.renewals.run(replace(ALL, limit=3))
        renewed.append([r.account for r in run.renewals])
        assert run.more == (len(renewed) < 4)
    assert renewed == [
        ["user_9", "user_8", "user_7"],
        ["user_6", "user_5", "user_4"],
        ["user_3", "user_2", "user_1"],
        ["user_0"],
    ]


@story
async def test_those_that_fail_take_no_place_from_others(club):
    await club.begin(plan())
    await club.ledger.access.change_settings("main", {"max_live_grants": 2}, ACT)
    for name in ("full", "a", "b"):
        await club.subscribe(name)
        club.clock.advance(us=HOUR)
    await club.accept(GiveGrant(workspace="main", account="full", amount=1))
    club.clock.advance(us=30 * DAY)
    background = replace(ALL, limit=1, failed=False)
    first = await club.renewals.run(background)
    assert [(e.account, e.code) for e in first.errors] == [("full", "too_many_grants")]
    assert [r.account for _ in range(2) for r in (await club.renewals.run(background)).renewals] == ["a", "b"]
    assert counts(await club.renewals.run(background)) == (0, 0, 0, 0)
    # A while later it is tried again, and it may have room by then.
    await club.accept(TakeCharge(workspace="main", account="full", amount=100 * UNIT))
    club.clock.advance(us=2 * FIRST_US)
    assert counts(await club.renewals.run(background)) == (1, 1, 0, 0)


@story
async def test_the_first_failure_ends_a_run_that_may_not_go_on(club):
    await club.begin(plan())
    await club.ledger.access.change_settings("main", {"max_live_grants": 1}, ACT)
    await club.subscribe_many(3)
    club.clock.advance(us=30 * DAY)
    run = await club.renewals.run(replace(ALL, continue_on_error=False, limit=2))
    assert (run.failed, run.more, run.alarming) == (2, True, True)
    assert counts(await club.renewals.run(ALL)) == (3, 0, 3, 0)


@story
async def test_a_dry_run_tells_and_writes_nothing(club):
    await club.begin(plan())
    await club.subscribe_many(3)
    club.clock.advance(us=30 * DAY)
    before = await club.ledger.database.rows("select count(*) from entry")
    marks = await club.ledger.database.rows("select * from subscription order by account")
    run = await club.renewals.run(replace(ALL, dry_run=True))
    assert counts(run) == (3, 3, 0, 0)
    assert {(r.entry, r.balance) for r in run.renewals} == {("", 200 * UNIT)}
    assert await club.ledger.database.rows("select count(*) from entry") == before
    assert await club.ledger.database.rows("select * from subscription order by account") == marks
    assert counts(await club.renewals.run(ALL)) == (3, 3, 0, 0)


@story
async def test_one_plan_alone_is_renewed(club):
    await club.begin(plan(), plan("business"))
    await club.subscribe("a")
    await club.subscribe("b", "business")
    club.clock.advance(us=30 * DAY)
    assert [r.account for r in (await club.renewals.run(replace(ALL, plan="business"))).renewals] == ["b"]
    assert await club.subscriptions.count_due("main", club.clock.now_us()) == 1


@story
async def test_what_has_expired_ends_and_is_not_renewed(club):
    await club.begin(plan(paid=True))
    s = await club.subscribe("anna", expires_at=club.clock.now_us() + 45 * DAY)
    club.clock.advance(us=30 * DAY)
    assert counts(await club.renewals.run(ALL)) == (1, 1, 0, 0)
    club.clock.advance(us=30 * DAY)
    run = await club.renewals.run(ALL)
    assert (counts(run), run.ended) == ((0, 0, 0, 0), 1)
    assert (await club.of("anna")).ended_at == club.clock.now_us()
    assert await club.balance("anna") == 200
    again = EndSubscription(workspace="main", account="anna", subscription=s.id, key=end_key(s.id))
    outcome = await club.ask(again)
    assert isinstance(outcome, Accepted)
    assert outcome.replayed


@story
async def test_what_a_provider_bills_is_renewed_by_its_payment_and_ends_after_the_days_of_grace(club):
    await club.begin(plan(paid=True, grace_days=3))
    s = await club.subscribe("anna", billed_by="stripe", claim=("stripe", "pi_1"), key="pay:stripe:pi_1")
    club.clock.advance(us=30 * DAY)
    assert counts(await club.renewals.run(ALL)) == (0, 0, 0, 0)
    refused = await club.ask(club.renewal("anna", s))
    assert isinstance(refused, Refused)
    assert refused.code is Refusal.RENEWED_BY_PAYMENT
    club.clock.advance(us=2 * DAY)
    paid = await club.accept(club.renewal("anna", s, claim=("stripe", "pi_2")))
    assert paid.balance == 200 * UNIT
    s = await club.of("anna")
    assert (s.expires_at, s.next_at) == (s.anchor_at + 60 * DAY, s.anchor_at + 60 * DAY)
    club.clock.advance(us=30 * DAY)
    assert (await club.renewals.run(ALL)).ended == 0
    club.clock.advance(us=DAY)
    assert (await club.renewals.run(ALL)).ended == 1
    late = await club.ask(club.renewal("anna", s, claim=("stripe", "pi_3")))
    assert isinstance(late, Refused)
    assert late.code is Refusal.SUBSCRIPTION_ENDED


@story
async def test_a_purchase_repeated_is_one(club):
    await club.begin(plan())
    buy: dict[str, Any] = {
        "workspace": "main",
        "account": "anna",
        "plan": "pro",
        "claim": ("stripe", "pi_1"),
        "key": "pay:stripe:pi_1",
    }
    outcomes = await asyncio.gather(*(club.ask(Subscribe(**buy)) for _ in range(5)))
    assert sorted(o.replayed for o in outcomes) == [False, True, True, True, True]
    club.clock.advance(us=DAY)
    again = await club.ask(Subscribe(**{**buy, "key": "v1:another"}))
    assert isinstance(again, Accepted)
    assert again.replayed
    other = await club.ask(Subscribe(**{**buy, "account": "bert"}))
    assert isinstance(other, Refused)
    assert other.code is Refusal.PAYMENT_CLAIMED
    assert await club.balance("anna") == 100


@story
async def test_a_payment_that_was_credited_as_a_grant_buys_no_plan(club):
    await club.begin(plan())
    await club.accept(GiveGrant(workspace="main", account="anna", amount=5, claim=("stripe", "pi_1")))
    outcome = await club.ask(Subscribe(workspace="main", account="anna", plan="pro", claim=("stripe", "pi_1")))
    assert isinstance(outcome, Refused)
    assert outcome.code is Refusal.PAYMENT_CLAIMED


@story
async def test_a_clock_that_jumps_forward_and_back_renews_once(club):
    await club.begin(plan())
    s = await club.subscribe("anna")
    club.clock.jump(40 * 86_400)
    # Nobody believes such a jump, and nothing is given.
    run = await club.renewals.run(ALL)
    assert run.successful == 0
    club.clock.jump(-40 * 86_400)
    club.clock.advance(seconds=11)
    assert club.ledger.clock.now_us() < s.next_at
    club.clock.advance(us=30 * DAY)
    assert club.ledger.clock.now_us() >= s.next_at
    club.clock.advance(seconds=11)
    assert counts(await club.renewals.run(ALL)) == (1, 1, 0, 0)
    assert await club.balance("anna") == 200


@story
async def test_what_failed_because_the_machine_did_is_tried_again_at_once(club):
    await club.begin(plan())
    await club.subscribe_many(3)
    club.clock.advance(us=30 * DAY)

    class Full:
        async def ask(self, command: object, *, dry: bool = False) -> object:
            raise QueueFull("full")

    broken = Renewals(Full(), club.subscriptions, club.ledger.clock.now_us)  # type: ignore[arg-type]
    run = await broken.run(replace(ALL, failed=False))
    assert (run.failed, {e.code for e in run.errors}) == (3, {"queue_full"})
    assert counts(await club.renewals.run(replace(ALL, failed=False))) == (3, 3, 0, 0)


@story
async def test_a_plan_that_costs_nothing_comes_when_the_paid_time_is_over(club):
    await club.begin(plan(paid=True), plan("free", 5))
    for account in ("anna", "bert"):
        await club.subscribe(account, billed_by="stripe")
    await club.accept(ChangePlan(workspace="main", account="anna", plan="free"))
    club.clock.advance(us=33 * DAY)
    run = await club.renewals.run(ALL)
    assert ([(r.account, r.plan, r.amount) for r in run.renewals], run.ended) == ([("anna", "free", 5 * UNIT)], 1)
    assert ((await club.of("anna")).plan, (await club.of("bert")).ended_at) == ("free", club.clock.now_us())
    club.clock.advance(us=30 * DAY)
    assert counts(await club.renewals.run(ALL)) == (1, 1, 0, 0)


@story
async def test_a_short_period_whose_rests_stay_is_renewed_for_ever(club):
    await club.begin(plan(every=1, catch_up="each"))
    await club.ledger.access.change_settings("main", {"max_live_grants": 4}, ACT)
    await club.subscribe("anna")
    club.clock.advance(us=30 * DAY)
    run = await club.renewals.run(ALL)
    assert (run.successful, len(run.renewals), await club.balance("anna")) == (1, 30, 3_100)


@story
async def test_who_unsubscribed_keeps_the_period_that_is_paid_and_gets_no_other(club):
    await club.begin(plan())
    await club.subscribe("anna")
    await club.accept(Unsubscribe(workspace="main", account="anna"))
    club.clock.advance(us=29 * DAY)
    assert (await club.renewals.run(ALL)).ended == 0
    club.clock.advance(us=DAY)
    run = await club.renewals.run(ALL)
    assert (run.successful, run.ended) == (0, 1)
    # Whoever comes again has a subscription of his own, and its periods are others.
    first, second = await club.of("anna"), await club.subscribe("anna")
    assert first.id != second.id


def test_failures_above_a_tenth_of_the_successes_alarm():
    assert [RenewalRun(successful=s, failed=f).alarming for s, f in ((0, 0), (0, 1), (10, 1), (9, 1), (99, 10))] == [
        False, True, False, True, True,
    ]  # fmt: skip


def test_a_run_goes_page_by_page_and_tells_how_far_it_is(club: Club):
    async def many(club: Club) -> None:
        await club.begin(plan(), page=20)
        await club.subscribe_many(45)
        club.clock.advance(us=30 * DAY)
        seen: list[int] = []
        run = await club.renewals.run(ALL, on_progress=lambda run: seen.append(run.processed))
        assert (run.successful, seen) == (45, [20, 40, 45])

    play(club, many)
