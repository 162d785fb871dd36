"""Items of jobs, on both databases: accounts that time acts on, renewals that failed; each by itself."""

import asyncio
from typing import Any

from farthing.core.commands import GiveGrant, Subscribe, TakeCharge, Unsubscribe
from farthing.core.ids import bucket_of
from farthing.core.jobs import ACCOUNT, LONGEST_US, MOST_ATTEMPTS, RENEW
from farthing.core.outcomes import Accepted
from farthing.core.records import Event
from farthing.engine import QueueFull
from farthing.jobs import sweeper as sweeping
from farthing.jobs.renewals import Renewals
from farthing.jobs.sweeper import LEASE_US, Sweeper
from farthing.stores.access import Act
from farthing.stores.events import Events
from farthing.stores.jobs import Jobs
from tests.jobs.runners import Told, job_of, runner_of_all
from tests.jobs.subscribers import ALL, Club, play
from tests.jobs.test_runner import story
from tests.subscribing import DAY, plan
from tests.support import START_US, UNIT

ACT = Act("test", START_US)
HOUR = 3_600_000_000


class Asked:
    """An engine that keeps whom it was asked for."""

    def __init__(self, club: Club, then: Any = None) -> None:
        self.accounts: list[str] = []
        self._club, self._then = club, then

    async def ask(self, command: Any, *, dry: bool = False) -> Any:
        self.accounts.append(command.account)
        if self._then is not None:
            raise self._then
        return await self._club.ledger.engine.ask(command, dry=dry)


async def lapsing(club: Club, *accounts: str) -> None:
    """Accounts whose credits lapse in an hour."""
    await asyncio.gather(*(
        club.accept(GiveGrant(workspace="main", account=a, amount=UNIT, expires_at=club.clock.now_us() + HOUR))
        for a in accounts
    ))  # fmt: skip


def sweeper(club: Club, engine: Any = None) -> Sweeper:
    return Sweeper(engine or club.ledger.engine, Jobs(club.ledger.database), club.ledger.clock.now_us)


def count(run: Any) -> tuple[int, int]:
    return run.done, run.failed


async def damage(club: Club, account: str) -> None:
    """A row that can't be read: a bug for every command on it."""
    await write(club, "update account set grants = ? where id = ?", "{", account)


async def write(club: Club, sql: str, *values: Any) -> None:
    await club.ledger.database.write(lambda execute: execute(sql, values))


# What time does to accounts


@story
async def test_two_who_sweep_at_a_time_ask_for_each_account_once(club):
    await club.begin()
    names = [f"user_{n:03}" for n in range(30)]
    await lapsing(club, *names)
    club.clock.advance(us=HOUR)
    # As another process would, the second has an engine and connections of its own.
    other = Club(club.url, club.clock)
    other.open()
    engines = Asked(club), Asked(other)
    runs = await asyncio.gather(sweeper(club, engines[0]).run(), sweeper(other, engines[1]).run())
    assert sorted(engines[0].accounts + engines[1].accounts) == names
    assert sum(run.done for run in runs) == 30
    assert await club.count("lapse") == 30
    assert count(await sweeper(other).run()) == (0, 0)
    await other.ledger.aclose()


@story
async def test_all_pages_are_swept_and_none_once_halted(club):
    await club.begin()
    await lapsing(club, *(f"user_{n:03}" for n in range(450)))
    club.clock.advance(us=HOUR)
    assert count(await sweeper(club).run(lambda: True)) == (0, 0)
    turns = iter((False, True))
    assert count(await sweeper(club).run(lambda: next(turns))) == (sweeping.BATCH, 0)
    assert count(await sweeper(club).run()) == (450 - sweeping.BATCH, 0)


@story
async def test_what_a_killed_sweeper_had_taken_is_booked_after_its_lease(club):
    await club.begin()
    await lapsing(club, "anna", "bert")
    club.clock.advance(us=HOUR)
    at = club.clock.now_us()
    assert len(await Jobs(club.ledger.database).take(ACCOUNT, at, at + LEASE_US, 10)) == 2
    assert count(await sweeper(club).run()) == (0, 0)
    club.clock.advance(us=LEASE_US)
    assert count(await sweeper(club).run()) == (2, 0)


@story
async def test_an_account_that_can_not_be_booked_stops_no_other_and_is_parked_in_the_end(club):
    await club.begin()
    await lapsing(club, "anna", "broken", "carl")
    ((grants,),) = await club.ledger.database.rows("select grants from account where id = 'broken'")
    await damage(club, "broken")
    club.clock.advance(us=HOUR)
    run = await sweeper(club).run()
    assert count(run) == (2, 1)
    job = await job_of(club, ACCOUNT, "broken")
    assert (job.attempts, job.state(club.clock.now_us()), job.outcome) == (1, "failed", "failed")
    assert job.last_error.startswith("internal_error: ")
    for attempt in range(2, MOST_ATTEMPTS + 1):
        assert count(await sweeper(club).run()) == (0, 0)
        club.clock.set(job.next_at)
        run = await sweeper(club).run()
        job = await job_of(club, ACCOUNT, "broken")
        assert (count(run), job.attempts, len(run.parked)) == ((0, 1), attempt, int(attempt == MOST_ATTEMPTS))
    club.clock.advance(us=2 * LONGEST_US)
    assert count(await sweeper(club).run()) == (0, 0)
    await write(club, "update account set grants = ? where id = 'broken'", grants)
    await Jobs(club.ledger.database).retry(ACCOUNT, "main", "broken", ACT)
    assert count(await sweeper(club).run()) == (1, 0)
    assert await job_of(club, ACCOUNT, "broken") is None
    assert await club.count("lapse") == 3


@story
async def test_where_the_machine_fails_no_account_does(club):
    await club.begin()
    await lapsing(club, "anna", "bert")
    club.clock.advance(us=HOUR)
    told = Told()
    runner = runner_of_all(club, told)
    runner._kinds = {"lapses": sweeping.kind(tools_with(club, Asked(club, QueueFull("full"))))}
    assert [ran.error for ran in await runner.once(["lapses"])] == ["queue_full: full"]
    assert (await job_of(club, ACCOUNT, "anna")).state(club.clock.now_us()) == "due"
    assert count(await sweeper(club).run()) == (2, 0)


def tools_with(club: Club, engine: Any) -> Any:
    from farthing.commerce.parts import commerce_on
    from farthing.jobs.kind import Tools

    db, reports, now_us = club.ledger.database, club.ledger.reports, club.ledger.clock.now_us
    commerce = commerce_on(engine, db, reports, now_us)
    return Tools(
        engine=engine, database=db, reports=reports, now_us=now_us, every={"lapses": 15}, place=club.place(),
        archives=None, receiving=commerce.receiving, topping_up=commerce.topping_up,
    )  # fmt: skip


# Renewals that failed


async def full(club: Club, *accounts: str) -> None:
    """Subscribers who have as many grants as they may, and are due."""
    await club.begin(plan())
    await club.ledger.access.change_settings("main", {"max_live_grants": 1}, ACT)
    for account in accounts:
        await club.subscribe(account)
    club.clock.advance(us=30 * DAY)


async def room(club: Club, account: str) -> None:
    await club.accept(TakeCharge(workspace="main", account=account, amount=100 * UNIT))


async def marks(club: Club, account: str) -> tuple[int, int]:
    rows = await club.ledger.database.rows(
        f"select claimed_until, retry_at from subscription where account = '{account}'"
    )
    return tuple(rows[0])


async def renew(club: Club, failed: bool = False) -> tuple[int, int]:
    run = await club.renewals.run(type(ALL)(workspace="main", failed=failed))
    return run.successful, run.failed


@story
async def test_a_renewal_that_fails_is_an_item_until_it_goes_well(club):
    await full(club, "anna", "bert")
    await room(club, "bert")
    assert await renew(club) == (1, 1)
    job = await job_of(club, RENEW, "anna")
    assert (job.attempts, job.last_error, job.state(club.clock.now_us())) == (1, "too_many_grants", "failed")
    assert await marks(club, "anna") == (0, job.next_at)
    assert await job_of(club, RENEW, "bert") is None
    assert await renew(club) == (0, 0)
    club.clock.set(job.next_at)
    assert await renew(club) == (0, 1)
    assert (await job_of(club, RENEW, "anna")).attempts == 2
    await room(club, "anna")
    club.clock.advance(us=LONGEST_US)
    assert await renew(club) == (1, 0)
    assert await job_of(club, RENEW, "anna") is None


@story
async def test_a_renewal_that_failed_too_often_waits_for_somebody(club):
    await full(club, "anna")
    for _ in range(MOST_ATTEMPTS):
        assert await renew(club) == (0, 1)
        club.clock.advance(us=LONGEST_US)
    job = await job_of(club, RENEW, "anna")
    assert (job.attempts, job.state(club.clock.now_us())) == (MOST_ATTEMPTS, "parked")
    await room(club, "anna")
    assert [await renew(club), await renew(club, failed=True)] == [(0, 0), (0, 0)]
    await Jobs(club.ledger.database).retry(RENEW, "main", "anna", ACT)
    assert await renew(club) == (1, 0)
    assert await job_of(club, RENEW, "anna") is None
    acts = (await club.ledger.access.audit_page("main", action="job.retry")).items
    assert [(a.subject, a.before["attempts"], a.after["attempts"]) for a in acts] == [("renew:anna", MOST_ATTEMPTS, 0)]


@story
async def test_asking_before_its_time_brings_none_nearer_to_being_parked(club):
    await full(club, "anna")
    assert await renew(club) == (0, 1)
    before = await job_of(club, RENEW, "anna")
    club.clock.advance(1)
    for _ in range(MOST_ATTEMPTS + 2):
        assert await renew(club, failed=True) == (0, 1)
    job = await job_of(club, RENEW, "anna")
    assert (job.attempts, job.next_at, job.ran_at) == (1, before.next_at, club.clock.now_us())
    assert await marks(club, "anna") == (0, before.next_at)


@story
async def test_a_change_of_the_subscription_ends_what_failed(club):
    await full(club, "anna", "bert", "carl")
    assert await renew(club) == (0, 3)
    await club.accept(Unsubscribe(workspace="main", account="anna", at_once=True))
    await room(club, "bert")
    await club.accept(Subscribe(workspace="main", account="bert", plan="pro"))
    found = [await job_of(club, RENEW, name) is not None for name in ("anna", "bert", "carl")]
    assert found == [False, False, True]
    assert await marks(club, "bert") == (0, 0)


@story
async def test_what_was_changed_while_it_failed_is_not_noted(club):
    await full(club, "anna")
    (due,) = await club.subscriptions.claim("main", club.clock.now_us(), 1 << 61, after=(-1, ""), limit=9, failed=False)
    await room(club, "anna")
    await club.accept(Subscribe(workspace="main", account="anna", plan="pro"))
    assert await club.subscriptions.fail("main", [due], ["too_many_grants"], club.clock.now_us()) == []
    assert (await job_of(club, RENEW, "anna"), await marks(club, "anna")) == (None, (0, 0))


@story
async def test_a_bug_is_an_item_and_a_machine_that_fails_is_none(club):
    await full(club, "anna", "broken")
    await room(club, "anna")
    ((grants,),) = await club.ledger.database.rows("select grants from account where id = 'broken'")
    await damage(club, "broken")
    engine: Any = Asked(club, QueueFull("full"))
    broken = Renewals(engine, club.subscriptions, club.ledger.clock.now_us)
    assert (await broken.run(ALL)).failed == 2
    assert await job_of(club, RENEW, "broken") is None
    assert await renew(club) == (1, 1)
    assert (await job_of(club, RENEW, "broken")).last_error == "internal_error"
    await write(club, "update account set grants = ? where id = 'broken'", grants)


@story
async def test_one_subscription_that_can_not_be_ended_stops_no_other(club):
    await club.begin(plan(paid=True))
    for name in ("anna", "broken", "carl"):
        await club.subscribe(name)
    ((grants,),) = await club.ledger.database.rows("select grants from account where id = 'broken'")
    await damage(club, "broken")
    club.clock.advance(us=31 * DAY)
    assert (await club.renewals.run(ALL)).ended == 2
    assert (await job_of(club, RENEW, "broken")).last_error == "internal_error"
    await write(club, "update account set grants = ? where id = 'broken'", grants)
    assert (await club.renewals.run(ALL)).ended == 1
    assert await job_of(club, RENEW, "broken") is None


# Alerts


@story
async def test_failures_are_an_alarm_and_an_event_of_their_workspace(club):
    await full(club, "anna", "bert")
    told = Told()
    ran = {each.kind: each for each in await runner_of_all(club, told).once()}
    assert (ran["renewals"].done, ran["renewals"].failed, ran["renewals"].error) == (0, 2, "")
    assert told.alarms == [("renewals", "main", 0, 2)]
    (event,) = (await Events(club.ledger.database).page("main", type="jobs.failing")).items
    errors = [{"account": name, "error": "too_many_grants"} for name in ("anna", "bert")]
    assert event.data == {"kind": "renewals", "done": 0, "failed": 2, "errors": errors}
    assert (event.account, event.bucket, event.at) == ("", bucket_of("main", ""), club.clock.now_us())
    assert (await Events(club.ledger.database).page("")).items == []


@story
async def test_what_is_parked_is_an_event_of_its_account(club):
    await full(club, "anna")
    for _ in range(MOST_ATTEMPTS):
        await runner_of_all(club).once(["renewals"], when="now")
        club.clock.advance(us=LONGEST_US)
    (event,) = (await Events(club.ledger.database).page("main", type="jobs.parked")).items
    assert (event.account, event.data) == (
        "anna", {"kind": "renew", "attempts": MOST_ATTEMPTS, "error": "too_many_grants"},
    )  # fmt: skip


@story
async def test_events_are_read_by_time_and_type_a_page_at_a_time(club):
    await club.begin()
    events = Events(club.ledger.database)
    made = [
        Event(f"evt_{at // 1000:012x}{n:020x}", "main", "", bucket_of("main", ""), ("a", "b")[n % 2], at, {"n": n})
        for n in range(6)
        for at in [START_US + n * 1_500]
    ]
    await events.add(made)

    async def numbers(**wanted: Any) -> list[int]:
        found, after = [], None
        while True:
            page = await events.page("main", after=after, limit=2, **wanted)
            found += [event.data["n"] for event in page.items]
            if (after := page.next) is None:
                return found

    assert await numbers() == [5, 4, 3, 2, 1, 0]
    assert await numbers(oldest_first=True, type="a") == [0, 2, 4]
    assert await numbers(type="b") == [5, 3, 1]
    assert await numbers(since=START_US + 1_500, until=START_US + 6_000) == [3, 2, 1]
    assert await numbers(since=START_US + 1_501, until=START_US + 6_001, oldest_first=True) == [2, 3, 4]
    assert (await events.page("other")).items == []


def test_an_event_rides_in_the_commit_of_a_command(club: Club):
    async def told(club: Club) -> None:
        await club.begin()
        event = Event("evt_" + "0" * 32, "main", "anna", bucket_of("main", "anna"), "test.riding", START_US, {"n": 1})
        command = GiveGrant(workspace="main", account="anna", amount=UNIT)
        command.records = (event,)
        assert isinstance(await club.ask(command), Accepted)
        assert (await Events(club.ledger.database).page("main")).items == [event]

    play(club, told)
