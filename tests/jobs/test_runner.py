"""The runner of jobs, on both databases: leases, sharing, what fails, what is parked, a clock that jumps."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from farthing.core.jobs import (
    CHANCES,
    FIRST_US,
    LONGEST_US,
    MOST_ATTEMPTS,
    SLACK_US,
    Job,
    alarming,
    back_off,
    is_to_come,
)
from farthing.jobs.kind import Kind
from farthing.jobs.runner import JOIN_US, LEASE_US, MACHINE_US
from farthing.stores.access import AccessError, Act
from farthing.stores.contract import Unavailable
from farthing.stores.events import Events
from farthing.stores.jobs import Jobs, Lease
from tests.jobs.runners import SOON, Told, Work, eventually, job_of, kind, runner_of
from tests.jobs.subscribers import Club, play
from tests.support import START_US

ACT = Act("test", START_US)
DAY = 86_400_000_000


def story(work: Callable[[Club], Awaitable[None]]) -> Callable[[Club], None]:
    """Make a test of a story that is played on a club."""

    def test(club: Club) -> None:
        play(club, work)

    test.__doc__, test.__name__ = work.__doc__, work.__name__
    return test


# The rules


def test_what_failed_waits_three_times_as_long_each_time_up_to_six_hours():
    assert [back_off(n, 0) for n in (1, 2, 3)] == [FIRST_US, 3 * FIRST_US, 9 * FIRST_US]
    assert back_off(7, 0) == back_off(MOST_ATTEMPTS, CHANCES) == back_off(10_000, 0) == LONGEST_US


def test_what_failed_together_is_not_tried_together():
    assert FIRST_US < back_off(1, CHANCES // 2) < back_off(1, CHANCES) == FIRST_US * 5 // 4


def test_nobody_waits_for_longer_than_a_job_is_put_off():
    assert [is_to_come(until, 5, 100) for until in (5, 6, 105 + SLACK_US, 106 + SLACK_US)] == [False, True, True, False]


@pytest.mark.parametrize(("done", "failed", "raised"), [(0, 0, False), (0, 1, True), (10, 1, False), (9, 1, True)])
def test_failures_above_a_tenth_of_the_successes_are_an_alarm(done, failed, raised):
    assert alarming(done, failed) == raised


@pytest.mark.parametrize(
    ("job", "state", "next_at"),
    [
        ({"due_at": 9}, "waiting", 9),
        ({"due_at": 5}, "due", 5),
        ({"due_at": 5, "locked_until": 8}, "running", 8),
        ({"due_at": 5, "locked_until": 8, "attempts": 1}, "failed", 8),
        ({"due_at": 5, "locked_until": 4, "attempts": 1}, "failed", 5),
        ({"due_at": 5, "attempts": 10, "parked_at": 4}, "parked", None),
        ({"due_at": 5, "locked_until": 8, "attempts": 1, "workspace": "", "subject": ""}, "running", 5),
    ],
)
def test_a_job_says_what_it_is_doing(job, state, next_at):
    told = Job(**{"kind": "renew", "workspace": "main", "subject": "anna", **job})
    assert (told.state(5), told.next_at) == (state, next_at)


# What stands


@story
async def test_a_restart_makes_no_second_row(club):
    await club.begin()
    for _ in range(3):
        await runner_of(club, kind("a", Work()), kind("b", Work(), alone=True)).once()
    rows = await club.ledger.database.rows("select kind, count(*) from job where subject = '' group by kind order by 1")
    assert [tuple(row) for row in rows] == [("a", 1), ("b", 1)]


@story
async def test_a_job_is_done_when_it_is_due_and_again_after_its_time(club):
    await club.begin()
    work = Work()
    runner = runner_of(club, kind("a", work, every_seconds=60), kind("poll", Work(), every_seconds=SOON))
    serving = asyncio.create_task(runner.serve())
    await eventually(lambda: work.runs == 1)
    await asyncio.sleep(5 * SOON)
    assert work.runs == 1
    club.clock.advance(61)
    await eventually(lambda: work.runs == 2)
    await runner.end(serving, 5)
    job = await job_of(club, "a")
    assert (job.outcome, job.ran_at, job.locked_until) == ("1 done, 0 failed", club.clock.now_us(), 0)


@story
async def test_what_one_process_does_alone_no_other_does_until_it_is_done(club):
    await club.begin()
    work, other = Work(), Work()
    work.goes_on.clear()
    beside = Club(club.url, club.clock)
    beside.open()
    first = asyncio.create_task(runner_of(beside, kind("a", work, alone=True)).once())
    await eventually(lambda: work.runs)
    second = runner_of(club, kind("a", other, alone=True))
    assert [ran.skipped for ran in await second.once(when="now")] == [True]
    work.goes_on.set()
    assert [(ran.done, ran.skipped) for ran in await first] == [(1, False)]
    assert [ran.done for ran in await second.once()] == [1]
    await beside.ledger.aclose()


def _lease(at: int, until: int) -> Lease:
    return Lease(at=at, until=until, next_at=until, alone=True, longest_us=LONGEST_US)


@story
async def test_what_a_killed_process_had_is_free_after_its_lease(club):
    await club.begin()
    work = Work()
    runner = runner_of(club, kind("a", work, alone=True))
    await runner.once()
    at = club.clock.now_us()
    assert await Jobs(club.ledger.database).claim("a", _lease(at, at + LEASE_US), "ready") is not None
    assert [ran.skipped for ran in await runner.once()] == [True]
    club.clock.advance(us=LEASE_US)
    assert [ran.done for ran in await runner.once()] == [1]


@story
async def test_who_lost_a_job_to_another_changes_nothing_of_it(club):
    await club.begin()
    jobs, at = Jobs(club.ledger.database), club.clock.now_us()
    await jobs.stand(["a"], at)
    mine = await jobs.claim("a", _lease(at, at + 10))
    assert mine is not None
    his = await jobs.claim("a", _lease(at + 11, at + 99))
    assert his is not None
    assert await jobs.keep(mine, _lease(at + 12, at + 200), None) is None
    assert await jobs.put_off(mine, at + 12, "late") is None
    await jobs.done(mine, at + 12, "late", alone=True)
    assert await job_of(club, "a") == his


@story
async def test_a_shared_job_that_takes_long_is_joined(club):
    await club.begin()
    works = [Work(), Work()]
    for work in works:
        work.goes_on.clear()
    runners = [runner_of(club, kind("a", w), kind("poll", Work(), every_seconds=SOON)) for w in works]
    serving = [asyncio.create_task(runner.serve()) for runner in runners]
    await eventually(lambda: sum(w.runs for w in works) == 1)
    await asyncio.sleep(5 * SOON)
    assert sum(w.runs for w in works) == 1
    club.clock.advance(us=JOIN_US)
    await eventually(lambda: [w.runs for w in works] == [1, 1])
    # Who ends gives back what it has as due at once: the other must not come for it.
    for runner, work in zip(runners, works, strict=True):
        runner.stop()
        work.goes_on.set()
    for runner, task in zip(runners, serving, strict=True):
        await runner.end(task, 5)
    assert sum(w.runs for w in works) == 2


@story
async def test_who_has_a_job_that_is_due_all_the_time_keeps_it_until_he_ends(club):
    await club.begin()
    works = [Work(), Work()]
    runners = [runner_of(club, kind("a", w, every_seconds=SOON, alone=True)) for w in works]
    first = asyncio.create_task(runners[0].serve())
    await eventually(lambda: works[0].runs > 2)
    second = asyncio.create_task(runners[1].serve())
    before = works[0].runs
    await eventually(lambda: works[0].runs > before + 5)
    assert works[1].runs == 0
    await runners[0].end(first, 5)
    await eventually(lambda: works[1].runs > 2)
    await runners[1].end(second, 5)


@story
async def test_what_a_process_has_in_hand_when_it_ends_is_done_and_what_is_cut_is_due_at_once(club):
    await club.begin()
    work = Work()
    work.goes_on.clear()
    runner = runner_of(club, kind("a", work, alone=True))
    serving = asyncio.create_task(runner.serve())
    await eventually(lambda: work.runs)
    ending = asyncio.create_task(runner.end(serving, 5))
    await asyncio.sleep(SOON)
    work.goes_on.set()
    await ending
    assert (await job_of(club, "a")).outcome == "1 done, 0 failed"

    club.clock.advance(61)
    work.goes_on.clear()
    runner = runner_of(club, kind("a", work, alone=True))
    serving = asyncio.create_task(runner.serve())
    await eventually(lambda: work.runs == 2)
    await runner.end(serving, SOON)
    job = await job_of(club, "a")
    assert (job.due_at, job.locked_until, job.attempts) == (club.clock.now_us(), 0, 0)


# What fails


def broken() -> None:
    raise ValueError("no such luck")


@story
async def test_what_fails_is_put_off_longer_each_time_then_parked_and_told(club):
    await club.begin()
    told, work = Told(), Work(broken)
    runner, other = runner_of(club, kind("a", work), told=told), Work()
    for attempt in range(1, MOST_ATTEMPTS + 1):
        job = await job_of(club, "a")
        club.clock.set(max(club.clock.now_us(), job.due_at if job else 0))
        at = club.clock.now_us()
        (ran,) = await runner.once()
        job = await job_of(club, "a")
        assert ran.error == job.last_error == "ValueError: no such luck"
        assert back_off(attempt, 0) <= job.due_at - at <= back_off(attempt, CHANCES)
        assert job.state(at) == ("parked" if attempt == MOST_ATTEMPTS else "failed")
        assert [ran.skipped for ran in await runner.once()] == [True]
    assert told.given_up == [("a", "", "")]
    assert told.alarms == [("a", "", 0, 1)] * MOST_ATTEMPTS
    club.clock.advance(us=DAY)
    assert [ran.skipped for ran in await runner.once()] == [True]
    events = (await Events(club.ledger.database).page("")).items
    assert [event.type for event in events] == ["jobs.parked"] + ["jobs.failing"] * MOST_ATTEMPTS
    assert events[0].data == {"kind": "a", "attempts": MOST_ATTEMPTS, "error": "ValueError: no such luck"}

    # Somebody says retry, and it goes well.
    job = await Jobs(club.ledger.database).retry("a", "", "", Act("test", club.clock.now_us()))
    assert (job.attempts, job.parked_at, job.due_at) == (0, None, club.clock.now_us())
    await runner_of(club, kind("a", other)).once()
    job = await job_of(club, "a")
    assert (other.runs, job.attempts, job.last_error, job.outcome) == (1, 0, None, "1 done, 0 failed")


@story
async def test_what_was_parked_can_be_run_by_who_says_so(club):
    await club.begin()
    work = Work(broken)
    runner = runner_of(club, kind("a", work))
    for _ in range(MOST_ATTEMPTS):
        await runner.once(when="now")
    assert (await job_of(club, "a")).parked_at is not None
    work.does = lambda: None
    assert [ran.done for ran in await runner.once(["a"], when="now")] == [1]
    assert (await job_of(club, "a")).parked_at is None


@story
async def test_what_the_machine_stops_is_never_parked_and_soon_tried_again(club):
    await club.begin()
    told = Told()

    def full() -> None:
        raise Unavailable("the disk is full")

    runner = runner_of(club, kind("a", Work(full)), told=told)
    for _ in range(MOST_ATTEMPTS + 3):
        await runner.once(when="now")
    job = await job_of(club, "a")
    assert (job.attempts, job.parked_at, job.last_error) == (
        MOST_ATTEMPTS + 3, None, "unavailable: the disk is full",
    )  # fmt: skip
    assert job.due_at - club.clock.now_us() == MACHINE_US
    # Twice may be bad luck.
    assert len(told.alarms) == MOST_ATTEMPTS + 1


@story
async def test_one_job_that_fails_stops_no_other(club):
    await club.begin()
    told, work = Told(), Work()
    kinds = (kind("a", Work(broken), every_seconds=SOON), kind("b", work, every_seconds=SOON))
    runner = runner_of(club, *kinds, told=told)
    serving = asyncio.create_task(runner.serve())
    await eventually(lambda: work.runs and told.errors)
    await runner.end(serving, 5)


@story
async def test_a_database_that_can_not_be_read_is_told_and_does_not_end_the_runner(club):
    await club.begin()
    told, work = Told(), Work()
    runner = runner_of(club, kind("a", work, every_seconds=SOON), told=told)
    read, failures = runner._jobs.standing, iter((True, True))

    async def standing(kinds):
        if next(failures, False):
            raise Unavailable("nobody at home")
        return await read(kinds)

    runner._jobs.standing = standing  # type: ignore[method-assign]
    serving = asyncio.create_task(runner.serve())
    await eventually(lambda: work.runs)
    await runner.end(serving, 5)
    assert told.troubles == ["the jobs can't be read"] * 2


@story
async def test_who_asks_for_a_retry_of_what_is_not_there_is_told(club):
    await club.begin()
    jobs = Jobs(club.ledger.database)
    for names in (("a", "", ""), ("renew", "main", "anna")):
        with pytest.raises(AccessError, match="there is no job") as met:
            await jobs.retry(*names, ACT)
        assert met.value.code == "job_not_found"


# The clock


@story
async def test_while_the_clock_is_not_believed_nothing_is_begun_and_what_runs_is_halted(club):
    await club.begin()
    told, seen = Told(), []
    work = Work()

    async def run(halted):
        while not halted():
            seen.append(True)
            await asyncio.sleep(SOON)
        return await work.run(halted)

    runner = runner_of(club, Kind(name="a", run=run, every_seconds=SOON), told=told)
    serving = asyncio.create_task(runner.serve())
    await eventually(lambda: len(seen) > 3)
    club.clock.jump(3_600)
    await eventually(lambda: work.runs == 1)
    runs = len(seen)
    await asyncio.sleep(10 * SOON)
    assert len(seen) == runs
    assert [ran.skipped for ran in await runner.once()] == [True]
    assert told.troubles == ["the clock has jumped: jobs pause until it can be believed"]
    # Two readings ten seconds apart agree.
    club.clock.advance(11)
    await eventually(lambda: len(seen) > runs)
    await runner.end(serving, 5)


@story
async def test_what_a_clock_that_was_ahead_has_put_off_is_done_once_it_has_gone_back(club):
    await club.begin()
    jobs, at, work = Jobs(club.ledger.database), club.clock.now_us(), Work()
    ahead, names = at + 365 * DAY, ("done", "killed")
    await jobs.stand(names, at)
    taken, _ = [await jobs.claim(name, _lease(ahead, ahead + LEASE_US), "ready") for name in names]
    assert taken is not None
    await jobs.done(taken, ahead + 60_000_000, None, alone=True)
    runner = runner_of(club, *(kind(name, work, alone=True, every_seconds=60) for name in names))
    serving = asyncio.create_task(runner.serve())

    async def done() -> bool:
        return {(await job_of(club, name)).due_at for name in names} == {at + 60_000_000}

    await eventually(done)
    await runner.end(serving, 5)
    assert work.runs == 2
