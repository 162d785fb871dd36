"""Work in the background: ever more seldom while it fails, sooner when there is something to do, and to an end."""

import asyncio
import logging
import threading

import pytest

from farthing.client import background
from farthing.client.background import AsyncBackground, Background, Pace
from tests.api.serving import wait_for


@pytest.fixture(autouse=True)
def paces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first wait is short; the longest one nobody sees the end of."""
    monkeypatch.setattr(background, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(background, "LONGEST_SECONDS", 600)


def test_what_comes_while_it_is_at_work_is_not_left_until_later() -> None:
    rounds: list[int] = []

    def work() -> bool:
        rounds.append(len(rounds))
        if len(rounds) == 1:
            mine.soon()
        return True

    mine = Background(work)
    mine.start()
    wait_for(lambda: len(rounds) == 2)
    mine.close()


async def reached(rounds: list[int], number: int) -> None:
    """Wait for so many rounds, while the loop goes on."""
    await asyncio.to_thread(wait_for, lambda: len(rounds) >= number)


def test_and_so_it_is_on_a_loop() -> None:
    rounds: list[int] = []

    async def main() -> None:
        async def work() -> bool:
            rounds.append(len(rounds))
            if len(rounds) == 1:
                mine.soon()
            return True

        mine = AsyncBackground(work)
        mine.start()
        await reached(rounds, 2)
        await mine.aclose()

    asyncio.run(main())


def test_it_goes_on_where_its_loop_has_ended() -> None:
    rounds: list[int] = []

    async def work() -> bool:
        rounds.append(len(rounds))
        return True

    mine = AsyncBackground(work)

    async def some(number: int) -> None:
        mine.start()
        await reached(rounds, number)

    asyncio.run(some(1))
    asyncio.run(some(2))


def test_a_bug_in_it_is_reported_and_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    rounds: list[int] = []

    def work() -> bool:
        rounds.append(len(rounds))
        raise RuntimeError("a bug")

    mine = Background(work)
    with caplog.at_level(logging.ERROR, "farthing.client"):
        mine.start()
        wait_for(lambda: len(rounds) == 3)
        mine.close()
    assert "a bug" in caplog.text


def test_closing_waits_for_what_is_being_done_and_begins_nothing_more() -> None:
    within, ended = threading.Event(), threading.Event()
    rounds: list[int] = []

    def work() -> bool:
        rounds.append(len(rounds))
        within.set()
        ended.wait(60)
        return False

    mine = Background(work)
    mine.start()
    assert within.wait(60)
    threading.Timer(0.05, ended.set).start()
    mine.close()
    assert ended.is_set()
    mine.now()
    mine.soon()
    assert len(rounds) == 1


def test_waits_double_and_differ_and_begin_anew_once_it_goes_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_SECONDS", 1)
    monkeypatch.setattr(background, "LONGEST_SECONDS", 30)

    def waits(*rounds: bool) -> list[float]:
        pace, found = Pace(), []
        for well in rounds:
            pace.ended(well)
            found.append(pace.left)
        return found

    for longest, found in zip((1, 2, 4, 30, 30), waits(False, False, False, True, True), strict=True):
        assert 0.7 * longest < found <= longest
    assert 0.7 < waits(False, False, True, False)[-1] <= 1
    assert max(waits(*[False] * 50)) <= 30
    assert len({waits(False)[0] for _ in range(20)}) > 10


def test_a_failing_ledger_is_not_asked_sooner_because_more_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_SECONDS", 100)
    pace = Pace()
    pace.ended(False)
    due = pace.due
    pace.soon()
    assert pace.due == due
    pace.now()
    assert pace.left == 0
