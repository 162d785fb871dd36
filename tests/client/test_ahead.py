"""Calls that are on their way before their answer is wanted: they end as any other call, and once, whatever is done
between.
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest

import farthing
from farthing.api.v1 import problems
from farthing.client.calls import Call, get, post
from farthing.client.errors import ClientClosed, InsufficientCredits, Invalid, UnknownOutcome
from farthing.client.inside.ahead import Ahead, UnderWay
from farthing.client.results import Balance as Has
from farthing.client.results import Hold
from farthing.stores.contract import Unavailable
from farthing.stores.sqlite import SqliteStore
from tests.api.serving import Server
from tests.client.driving import Driver, Kind
from tests.postgres import TEMPLATE


class Place:
    """A client of one kind, and its door."""

    def __init__(self, kind: Kind, url: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        if kind == "sync":
            self.own: Any = farthing.connect(url, **options)
            self.client: Any = self.own
        else:
            self.own = self._runner.run(_opened(url, options))
            self.client = Driver(self._runner, self.own)
        self.kind = kind
        self.door = self.own._door

    def asked(self, call: Call[Any], between: Callable[[], None] = lambda: None) -> Any:
        """The result of a call that was started first."""
        if self.kind == "async":
            return self._runner.run(self._asked(call, between))
        call = self.door.start(call)
        between()
        return self.door.ask(call)

    async def _asked(self, call: Call[Any], between: Callable[[], None]) -> Any:
        call = self.door.start(call)
        between()
        return await self.door.ask(call)

    def started(self, call: Call[Any]) -> Call[Any]:
        """The call, as it is once it was started."""

        async def start() -> Call[Any]:
            return self.started_here(call)

        return self.started_here(call) if self.kind == "sync" else self._runner.run(start())

    def started_here(self, call: Call[Any]) -> Call[Any]:
        """The same, where the loop runs."""
        found: Call[Any] = self.door.start(call)
        return found

    def close(self) -> None:
        """Close the client, and the loop."""
        self.client.close()
        self._runner.close()


async def _opened(url: str, options: dict[str, Any]) -> farthing.AsyncClient:
    return await farthing.aconnect(url, **options)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/credits.db"


@pytest.fixture(params=["sync", "async"])
def open_place(request: pytest.FixtureRequest, url: str) -> Iterator[Callable[..., Place]]:
    with contextlib.ExitStack() as ends:

        def make(**options: Any) -> Place:
            made = Place(request.param, url, **options)
            ends.callback(made.close)
            made.client.grant("alice", 100, key="the first")
            return made

        yield make


@pytest.fixture
def place(open_place: Callable[..., Place]) -> Place:
    return open_place()


def holding(key: str, amount: str = "5") -> Call[Hold]:
    return post(Hold, "/v1/holds", {"account": "alice", "amount": amount}, key)


@contextlib.contextmanager
def locked(url: str) -> Iterator[None]:
    """Another process writes."""
    other = apsw.Connection(url.removeprefix("sqlite:///"))
    other.execute("begin immediate")
    try:
        yield
    finally:
        other.execute("rollback")
        other.close()


def test_what_is_started_is_done_once_and_answered_when_it_is_asked(place: Place) -> None:
    call = holding("a")
    begun = place.started(call)
    assert isinstance(begun.ahead, Ahead)
    placed = place.asked(call)  # under its key it is the one that was started
    assert (placed.amount, placed.replayed) == (5, True)
    assert place.client.balance("alice").held == 5


def test_the_answer_is_that_of_a_call_that_nobody_started(place: Place) -> None:
    started, plain = holding("started"), holding("plain")
    one = place.asked(started)
    assert (one.key, one.amount, one.account, one.state, one.replayed) == ("started", 5, "alice", "live", False)
    assert one.id == place.asked(started).id
    assert type(place.asked(plain)) is type(one)
    assert place.client.balance("alice").held == 10


def test_it_may_be_sent_again_by_which_it_is_another_try(place: Place) -> None:
    async def twice() -> list[Hold]:
        call = place.started_here(holding("b"))
        return [await place.door.ask(call), await place.door.ask(call)]

    if place.kind == "sync":
        call = place.started(holding("b"))
        first, again = place.door.ask(call), place.door.ask(call)
    else:
        first, again = place._runner.run(twice())
    assert (first.replayed, again.replayed, first.id) == (False, True, again.id)


def test_what_is_refused_is_raised_when_it_is_asked(place: Place) -> None:
    reached: list[bool] = []
    with pytest.raises(InsufficientCredits):
        place.asked(holding("c", "101"), lambda: reached.append(True))
    with pytest.raises(Invalid, match="amount"):
        place.asked(holding("d", "-1"), lambda: reached.append(True))
    assert reached == [True, True]
    assert place.client.balance("alice").held == 0


def test_reading_can_be_started_as_well(place: Place) -> None:
    read: Call[Has] = get(Has, "/v1/accounts/{account}/balance", account="alice")
    assert place.asked(read).balance == 100


def test_who_is_interrupted_while_he_waits_holds_up_nobody_who_waits_after_him() -> None:
    under = UnderWay()
    under.tell(Unavailable("for a test"))
    under._told.acquire()  # and was interrupted before he let go of it
    assert under.told(60)
    with pytest.raises(Unavailable):
        under.waited(60)


def test_what_nobody_asks_any_more_holds_nothing_up(place: Place) -> None:
    for number in range(20):
        place.started(holding(f"dropped-{number}", "1"))
    gc.collect()
    assert place.asked(holding("e")).amount == 5
    balance = place.client.balance("alice")
    assert 5 <= balance.held <= 25
    assert balance.available == 100 - balance.held


def test_while_another_process_writes_it_waits_for_its_turn(place: Place, url: str) -> None:
    with contextlib.ExitStack() as lock:
        lock.enter_context(locked(url))
        assert place.asked(holding("f"), lock.close).amount == 5


def test_no_answer_in_time_leaves_the_outcome_to_its_key(open_place: Callable[..., Place], url: str) -> None:
    place = open_place(timeout=0.2, max_retries=0)
    with locked(url), pytest.raises(UnknownOutcome) as caught:
        place.asked(holding("g"))
    assert caught.value.key == "g"
    other = open_place()
    assert other.asked(holding("g")).amount == 5
    assert other.client.balance("alice").held == 5


def test_a_commit_that_fails_is_tried_again_as_any_other(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = SqliteStore.commit, [Unavailable("the disk reported an error")]
    failures[0].retry_after = 0

    async def commit(self: SqliteStore) -> None:
        if failures:
            raise failures.pop()
        await real(self)

    monkeypatch.setattr(SqliteStore, "commit", commit)
    monkeypatch.setattr(problems, "_RETRY_AFTER", 0)
    placed = place.asked(holding("h"))
    assert (failures, placed.amount, placed.replayed) == ([], 5, False)
    assert place.client.balance("alice").held == 5


def test_who_is_told_of_calls_has_them_whole(open_place: Callable[..., Place]) -> None:
    told: list[Any] = []
    place = open_place(on_metrics=lambda **what: told.append((what["operation"], what["success"])))
    told.clear()
    assert place.started(holding("i")).ahead is None
    assert place.asked(holding("i")).amount == 5
    assert told == [("hold", True)]


def test_for_guests_and_after_the_end_nothing_is_started(open_place: Callable[..., Place]) -> None:
    place = open_place(guests=["alice"])
    assert place.started(holding("j")).ahead is None
    assert place.asked(holding("j")).status == "guest"


def test_a_client_that_was_closed_meanwhile_answers_what_is_done_and_nothing_else(
    open_place: Callable[..., Place],
) -> None:
    place = open_place()
    call = place.started(holding("k"))
    place.client.close()
    assert place.started(holding("l")).ahead is None

    async def ask(call: Call[Any]) -> Any:
        return await place.door.ask(call)

    def asked(call: Call[Any]) -> Any:
        return place.door.ask(call) if place.kind == "sync" else place._runner.run(ask(call))

    assert asked(call).amount == 5  # closing has waited for it
    for refused in (call, holding("l")):
        with pytest.raises(ClientClosed):
            asked(refused)


def test_a_stampede_of_threads_is_counted_to_the_credit(url: str) -> None:
    with farthing.connect(url) as ledger:
        ledger.grant("alice", 100)
        door = ledger._door

        def one(number: int) -> bool:
            call = door.start(holding(f"stampede-{number}", "1"))
            try:
                return bool(door.ask(call).amount == 1)
            except InsufficientCredits:
                return False

        with ThreadPoolExecutor(16) as pool:
            placed = list(pool.map(one, range(150)))
        assert placed.count(True) == 100
        assert ledger.balance("alice").available == 0


def test_a_stampede_of_tasks_is_counted_to_the_credit(url: str) -> None:
    async def main() -> list[bool]:
        async with farthing.aconnect(url) as ledger:
            await ledger.grant("alice", 100)

            async def one(number: int) -> bool:
                call = ledger._door.start(holding(f"stampede-{number}", "1"))
                await asyncio.sleep(0)
                try:
                    return bool((await ledger._door.ask(call)).amount == 1)
                except InsufficientCredits:
                    return False

            placed = await asyncio.gather(*map(one, range(150)))
            assert (await ledger.balance("alice")).available == 0
            return list(placed)

    assert asyncio.run(main()).count(True) == 100


@pytest.mark.parametrize("kind", ["postgres", "http"])
def test_elsewhere_a_call_leaves_when_it_is_asked(request: pytest.FixtureRequest, kind: str, account: str) -> None:
    options: dict[str, Any] = {}
    if kind == "http":
        server: Server = request.getfixturevalue("server")
        url, options = f"http://127.0.0.1:{server.port}", {"api_key": server.new_key("admin")}
    else:
        url = request.getfixturevalue("databases").make(TEMPLATE)
    with farthing.connect(url, **options) as client:
        client.grant(account, 10)
        call = post(Hold, "/v1/holds", {"account": account, "amount": "5"}, None)
        assert client._door.start(call) is call
        assert client._door.ask(call).amount == 5
