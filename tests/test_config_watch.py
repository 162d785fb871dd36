"""What a serving process hears of the database's configuration."""

import time
from pathlib import Path

from farthing.app import ConfigWatch, open_ledger, result_of
from farthing.clock import ClockGuard, FakeClock
from farthing.stores.access import Act


def wait_for(what, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_an_accepted_clock_ends_the_distrust_of_a_running_process(tmp_path: Path) -> None:
    clock = FakeClock()
    guard = ClockGuard(clock)
    path = tmp_path / "ledger.db"
    with open_ledger(f"sqlite:///{path}", create=True) as ledger:
        watch = ConfigWatch(path, guard.accept)
        watch.start()
        clock.jump(3600)
        guard.now_us()
        assert guard.jumped is not None
        result_of(ledger.access.accept_clock(Act("operator", 1)))
        wait_for(lambda: guard.jumped is None)
        watch.stop()


def test_a_change_raises_the_generation(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(f"sqlite:///{path}", create=True) as ledger:
        watch = ConfigWatch(path)
        watch.start()
        before = watch.generation
        assert before is not None
        result_of(ledger.access.accept_clock(Act("operator", 1)))
        wait_for(lambda: watch.generation == before + 1)
        watch.stop()


def test_what_could_not_be_read_for_a_second_is_not_known(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(f"sqlite:///{path}", create=True):
        watch = ConfigWatch(path)
        assert watch.generation is None, "nothing was read yet"
        watch.start()
        assert watch.generation is not None
        watch.stop()
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 1.5)
        assert watch.generation is None
