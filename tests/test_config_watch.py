"""What a serving process hears of the database's configuration, and of its clock."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from farthing.app import ConfigWatch, Ledger, open_ledger
from farthing.clock import ClockGuard, DatabaseClock, FakeClock
from farthing.stores.access import Act
from tests.postgres import Cluster


def wait_for(what, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    with open_ledger(url, create=True) as ledger:
        yield ledger


def watch_of(ledger: Ledger) -> ConfigWatch:
    return ConfigWatch(lambda: ledger.backend.config(ledger.clock.follows))


def test_an_accepted_clock_ends_the_distrust_of_a_running_process(ledger: Ledger) -> None:
    clock = FakeClock()
    guard = ClockGuard(clock)
    watch = ConfigWatch(lambda: ledger.backend.config(clock), guard.accept)
    watch.start()
    clock.jump(3600)
    guard.now_us()
    assert guard.jumped is not None
    ledger.wait(ledger.access.accept_clock(Act("operator", 1)))
    wait_for(lambda: guard.jumped is None)
    watch.stop()


def test_a_change_raises_the_generation(ledger: Ledger) -> None:
    watch = watch_of(ledger)
    watch.start()
    before = watch.generation
    assert before is not None
    ledger.wait(ledger.access.accept_clock(Act("operator", 1)))
    wait_for(lambda: watch.generation == before + 1)
    watch.stop()


def test_what_could_not_be_read_for_a_second_is_not_known(ledger: Ledger, monkeypatch) -> None:
    watch = watch_of(ledger)
    assert watch.generation is None, "nothing was read yet"
    watch.start()
    assert watch.generation is not None
    watch.stop()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1.5)
    assert watch.generation is None


def test_while_the_server_is_down_it_is_not_known_and_afterwards_it_is_again(postgres_cluster: Cluster) -> None:
    with open_ledger(postgres_cluster.tcp_dsn(), create=True) as ledger:
        watch = watch_of(ledger)
        watch.start()
        postgres_cluster.kill()
        wait_for(lambda: watch.generation is None)
        postgres_cluster.start()
        wait_for(lambda: watch.generation is not None)
        watch.stop()


def test_the_clock_of_the_server_is_followed_while_nothing_is_charged(postgres_url: str) -> None:
    clock = DatabaseClock()
    with open_ledger(postgres_url, clock=clock) as ledger:
        watch = watch_of(ledger)
        watch.start()
        # As if the server's clock had been set: this one is an hour behind it.
        clock._offset_us -= 3_600_000_000
        wait_for(lambda: abs(clock.now_us() - time.time_ns() // 1000) < 60_000_000)
        watch.stop()
