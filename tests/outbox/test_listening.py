"""Listening: nothing is left out, nothing told twice, and nobody is waited for."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from farthing.app import Ledger, open_ledger
from farthing.clock import FakeClock
from farthing.core.endpoints import LEASE_US
from farthing.core.events import told_of
from farthing.core.ids import bucket_of, make_id
from farthing.core.records import Event, Workspace, WorkspaceSettings
from farthing.outbox import listening as module
from farthing.outbox.listening import OVERLAP_US, Heard, Listening, TooManyListeners, Wish, position_at
from farthing.stores.access import Act
from farthing.stores.contract import Unavailable
from farthing.stores.endpoints import Endpoints
from farthing.stores.events import Events
from tests.support import START_US

SECOND = 1_000_000
PATIENCE = 30
Work = Callable[["Office"], Coroutine[Any, Any, None]]


class Office:
    """A ledger on this event loop, and who listens to it."""

    def __init__(self, ledger: Ledger, clock: FakeClock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.events = Events(ledger.database)
        self.endpoints = Endpoints(ledger.database)
        self.listening = self.another()
        self._number = 0

    def another(self, **more: Any) -> Listening:
        """Another process's."""
        options = {"poll_seconds": 0.01, "beat_seconds": PATIENCE} | more
        return Listening(self.events, self.endpoints, self.clock.now_us, **options)

    async def happen(self, *accounts: str, at: int | None = None, type: str = "payment.credited") -> list[str]:
        """Something is committed now, which happened then; the ids."""
        made = []
        for account in accounts:
            self._number += 1
            bucket = bucket_of("main", account)
            when = self.clock.now_us() if at is None else at
            id = make_id("evt", when, self._number, 7, bucket)
            made.append(Event(id, "main", account, bucket, type, when, {"n": self._number}))
        await self.events.add(made)
        return [event.id for event in made]

    async def told(self) -> str:
        rows = await self.ledger.database.rows("select told from workspace where id = 'main'")
        return str(rows[0][0])


async def opened(url: str, work: Work) -> None:
    """Do a test's work on a ledger."""
    clock = FakeClock(START_US)
    async with AsyncExitStack() as held:
        ledger = open_ledger(url, clock=clock, inline_on=asyncio.get_running_loop())
        held.push_async_callback(ledger.aclose)
        row = Workspace("main", "Main", "live", "credits", 6, START_US, WorkspaceSettings())
        await ledger.access.create_workspace(row, Act("test", START_US))
        office = Office(ledger, clock)
        held.push_async_callback(office.listening.aclose)
        async with asyncio.timeout(2 * PATIENCE):
            await work(office)


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Work], None]:
    """Runs a test on a file: of what has nothing to do with the database."""
    url = f"sqlite:///{tmp_path}/l.db"
    open_ledger(url, create=True).close()
    return lambda work: asyncio.run(opened(url, work))


@pytest.fixture(params=["sqlite", "postgres"])
def both(request: pytest.FixtureRequest) -> Callable[[Work], None]:
    """The same on a file, and on PostgreSQL."""
    if request.param == "sqlite":
        found: Callable[[Work], None] = request.getfixturevalue("run")
        return found
    url = request.getfixturevalue("postgres_url")
    return lambda work: asyncio.run(opened(url, work))


@asynccontextmanager
async def hearing(office: Listening, wish: Wish = Wish()) -> AsyncIterator[AsyncGenerator[Heard, None]]:  # noqa: B008
    """Somebody listens from now on."""
    async with aclosing(office.follow("main", wish)) as heard:
        first = await anext(heard)
        assert first.events == []
        yield heard


async def ids(heard: AsyncGenerator[Heard, None], count: int) -> list[str]:
    """So many, once they are told."""
    found: list[str] = []
    while len(found) < count:
        found += [event.id for event in (await anext(heard)).events]
    return found


async def until(look: Callable[[], Coroutine[Any, Any, Any]], wanted: Any) -> None:
    """Look again and again; a test has its patience."""
    while await look() != wanted:  # noqa: ASYNC110 - nobody says when
        await asyncio.sleep(0.01)


async def nothing_more(office: Office, heard: AsyncGenerator[Heard, None]) -> None:
    """Nothing was told that the next event does not come before."""
    (last,) = await office.happen("last")
    assert await ids(heard, 1) == [last]


def test_what_is_committed_is_told_in_its_order_and_what_was_is_not(run: Callable[[Work], None]):
    async def work(office: Office) -> None:
        await office.happen("before")
        async with hearing(office.listening) as heard:
            made = await office.happen("a", "b", "c")
            assert await ids(heard, 3) == made
            await nothing_more(office, heard)

    run(work)


def test_a_commit_that_comes_late_is_told_and_told_once(both: Callable[[Work], None]):
    async def work(office: Office) -> None:
        async with hearing(office.listening) as heard:
            now = office.clock.now_us()
            on_time = await office.happen("a")
            assert await ids(heard, 1) == on_time
            office.clock.advance(2)
            late = await office.happen("b", at=now - 50 * SECOND)
            assert await ids(heard, 1) == late
            await nothing_more(office, heard)

    both(work)


def test_what_was_committed_late_while_the_database_was_away_is_told_when_it_is_there_again(
    run: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
):
    async def work(office: Office) -> None:
        away = asyncio.Event()
        look = office.events.ids

        async def ids_if_there(*args: Any) -> list[str]:
            if away.is_set():
                raise Unavailable("away")
            return await look(*args)

        monkeypatch.setattr(office.events, "ids", ids_if_there)
        async with hearing(office.listening) as heard:
            away.set()
            now = office.clock.now_us()
            late = await office.happen("a", at=now - 50 * SECOND)
            office.clock.advance(600)
            away.clear()
            assert await ids(heard, 1) == late
            await nothing_more(office, heard)

    run(work)


def test_a_reader_that_broke_lets_its_listeners_go_and_the_next_ones_hear_again(
    run: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
):
    async def work(office: Office) -> None:
        async with hearing(office.listening) as heard:
            with monkeypatch.context() as patch:
                patch.setattr(office.events, "ids", lambda *_: 1 / 0)
                assert [each async for each in heard] == []
        async with hearing(office.listening) as heard:
            made = await office.happen("a")
            assert await ids(heard, 1) == made

    run(work)


def test_who_goes_on_gets_the_last_minute_once_more_and_nothing_is_left_out(both: Callable[[Work], None]):
    async def work(office: Office) -> None:
        (old,) = await office.happen("old")
        office.clock.advance(OVERLAP_US / SECOND + 1)
        (told,) = await office.happen("told")
        meanwhile = await office.happen("late", at=office.clock.now_us() - 58 * SECOND)
        office.clock.advance(60)
        later = await office.happen("later")
        async with hearing(office.listening, Wish(after=told)) as heard:
            assert await ids(heard, 3) == [*meanwhile, told, *later]
            assert old not in meanwhile
            await nothing_more(office, heard)
        async with aclosing(office.listening.follow("main", Wish(after=told))) as again:
            assert await anext(again) == Heard([], told), "who comes again and again does not fall back"

    both(work)


def test_what_happened_since_then_comes_first_page_by_page_and_then_what_comes(
    run: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "PAGE", 3)

    async def work(office: Office) -> None:
        await office.happen("before")
        office.clock.advance(3_600)
        since = office.clock.now_us()
        made = await office.happen(*"abcdefgh")
        async with hearing(office.listening, Wish(since=since)) as heard:
            first = await ids(heard, 3)
            made += await office.happen("meanwhile")
            assert first + await ids(heard, len(made) - 3) == made
            await nothing_more(office, heard)

    run(work)


def test_each_hears_what_he_asks_for_from_one_reader(run: Callable[[Work], None]):
    async def work(office: Office) -> None:
        wishes = (Wish(types=("dispute.*",)), Wish(account="bob"), Wish())
        async with AsyncExitStack() as held:
            all = [await held.enter_async_context(hearing(office.listening, wish)) for wish in wishes]
            (paid,) = await office.happen("bob")
            (opened,) = await office.happen("eve", type="dispute.opened")
            assert await ids(all[0], 1) == [opened]
            assert await ids(all[1], 1) == [paid]
            assert await ids(all[2], 2) == [paid, opened]
            rows = await office.ledger.database.rows("select types from webhook_endpoint")
            assert rows == [('["*","dispute.*"]',)], "one lease for all of them"

    run(work)


def test_types_are_recorded_for_as_long_as_somebody_listens(both: Callable[[Work], None]):
    async def work(office: Office) -> None:
        now = office.clock.now_us()
        assert await office.told() == ""
        async with hearing(office.listening, Wish(types=("charge.*",))):
            told = told_of(await office.told())
            assert told.endpoints("charge.created", now) == ()
            assert told.endpoints("grant.created", now) is None
            async with hearing(office.another(), Wish(types=("grant.*",))):
                assert told_of(await office.told()).endpoints("grant.created", now) == ()

    both(work)


def test_after_the_last_has_gone_types_are_recorded_for_one_more_lease(run: Callable[[Work], None]):
    async def work(office: Office) -> None:
        async with hearing(office.listening, Wish(types=("charge.*",))):
            office.clock.advance(20)
        office.clock.advance(LEASE_US / SECOND - 1)
        assert told_of(await office.told()).endpoints("charge.created", office.clock.now_us()) == ()
        (made,) = await office.happen("a", type="charge.created")
        async with hearing(office.listening, Wish(types=("charge.*",), after=position_at(START_US))) as heard:
            assert await ids(heard, 1) == [made]
        office.clock.advance(LEASE_US / SECOND + 1)
        await until(office.told, "")

    run(work)


def test_a_lease_is_kept_up_and_one_that_nobody_keeps_up_is_forgotten(run: Callable[[Work], None]):
    async def work(office: Office) -> None:
        await office.endpoints.listen("main", "lis_dead", ("grant.*",), office.clock.now_us())
        brief = office.another(beat_seconds=0.01)
        async with hearing(brief, Wish(types=("charge.*",))) as heard:
            office.clock.advance(LEASE_US / SECOND - 1)
            end = office.clock.now_us() + 2 * SECOND
            async for _ in heard:  # a sign of life comes again and again
                if told_of(await office.told()).endpoints("charge.created", end) is not None:
                    break
            office.clock.advance(2)
            assert await office.endpoints.drop_lapsed(office.clock.now_us()) == 1
            assert await office.ledger.database.rows("select count(*) from webhook_endpoint") == [(1,)]
            assert await office.endpoints.drop_lapsed(office.clock.now_us()) == 0
        await brief.aclose()

    run(work)


def test_who_is_too_slow_is_cut_off_and_goes_on_where_he_was(
    run: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "MOST_WAITING", 4)

    async def work(office: Office) -> None:
        async with hearing(office.listening) as slow, hearing(office.listening, Wish(types=("dispute.*",))) as other:
            made = await office.happen("a", "b")
            assert await ids(slow, 2) == made
            made += await office.happen("c", "d", "e")
            for type in ("dispute.opened", "dispute.closed"):
                made += await office.happen("x", type=type)
                assert await ids(other, 1) == made[-1:], "nobody else waits for him"
            assert [heard async for heard in slow] == []
        async with hearing(office.listening, Wish(after=made[1])) as again:
            assert await ids(again, 7) == made

    run(work)


def test_what_comes_all_at_once_is_nobody_s_slowness(run: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_WAITING", 2)

    async def work(office: Office) -> None:
        async with hearing(office.listening) as heard:
            made = await office.happen(*"abcdef")
            assert await ids(heard, 6) == made
            await nothing_more(office, heard)

    run(work)


def test_a_sign_of_life_says_where_to_go_on(run: Callable[[Work], None]):
    async def work(office: Office) -> None:
        brief = office.another(beat_seconds=0.01)
        async with hearing(brief) as heard:
            office.clock.advance(30)
            while (sign := await anext(heard)).position < position_at(office.clock.now_us()):
                assert sign.events == []
        await brief.aclose()

    run(work)


def test_only_so_many_listen_at_a_time(run: Callable[[Work], None], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_LISTENERS", 1)

    async def work(office: Office) -> None:
        async with hearing(office.listening):
            with pytest.raises(TooManyListeners):
                await anext(office.listening.follow("main", Wish()))
        async with hearing(office.listening):
            pass

    run(work)


def test_while_a_server_is_started_again_types_are_recorded_for_those_who_listened(run: Callable[[Work], None]):
    async def work(office: Office) -> None:
        async with hearing(office.listening, Wish(types=("charge.*",))) as heard:
            office.clock.advance(LEASE_US / SECOND / 3)
            await office.listening.aclose()
            assert await anext(heard, None) is None
        at = office.clock.now_us() + LEASE_US - 1
        assert told_of(await office.told()).endpoints("charge.created", at) == ()
        assert told_of(await office.told()).endpoints("charge.created", at + 1) is None

    run(work)


def test_at_the_end_all_come_to_theirs(run: Callable[[Work], None]):
    async def work(office: Office) -> None:
        async with hearing(office.listening) as heard:
            rest = asyncio.create_task(anext(heard, None))
            await asyncio.sleep(0)
            await office.listening.aclose()
            assert await rest is None
        assert [each async for each in office.listening.follow("main", Wish())] == []

    run(work)
