"""The long job of the examples: done, begun again, cancelled, and killed in the middle."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import farthing

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = [sys.executable, str(ROOT / "examples" / "long_job.py")]


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")}


def told(folder: Path, *words: str) -> list[str]:
    """What the job says, to its end."""
    done = subprocess.run(
        [*SCRIPT, *words], cwd=folder, env=environment(), text=True, capture_output=True, timeout=60
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


# The work of the second scene takes for ever.
IN_THE_MIDDLE = """
import runpy, sys, time
pause, paused = time.sleep, []
def sleep(seconds):
    if seconds == 0.125:
        paused.append(seconds)
        if len(paused) == 2:
            print("at work", flush=True)
            pause(600)
    else:
        pause(seconds)
time.sleep = sleep
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


@contextmanager
def at_work(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The job, in the middle of its second scene."""
    command = [sys.executable, "-c", IN_THE_MIDDLE, SCRIPT[1], "--pace", "0.125", *words]
    with subprocess.Popen(command, cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        assert any(line == "at work\n" for line in job.stdout)
        yield job


def spent(folder: Path) -> list[int]:
    with farthing.connect(f"sqlite:///{folder}/long_job.db") as client:
        assert client.balance("ann").held == 0
        return [int(charge.amount) for charge in client.charges.list("ann")]


def test_a_job_reserves_extends_and_confirms_and_is_paid_once(tmp_path: Path) -> None:
    lines = told(tmp_path, "--pace", "0")
    assert lines[:8] == [
        "reserved: 48 credits",
        "rendered: a street, 10 credits so far",
        "rendered: a kiss, 22 credits so far",
        "extended: 2 credits more are set aside for a storm, 50 in all",
        "rendered: a storm, 50 credits so far",
        "extended: 8 credits more are set aside for the end, 58 in all",
        "rendered: the end, 58 credits so far",
        "confirmed: 58 charged, 0 freed",
    ]
    assert "settle -58 Film film-1" in lines[9]
    again = told(tmp_path, "--pace", "0")
    assert again[0] == "this film was begun before, and that hold is settled: nothing more is charged"
    poor = told(tmp_path, "--film", "film-2")
    assert poor[0] == "cancelled: 48 credits were needed and 42 are there; nothing is charged"
    assert spent(tmp_path) == [58]


def test_a_job_that_is_cancelled_costs_nothing(tmp_path: Path) -> None:
    with at_work(tmp_path) as job:
        job.send_signal(signal.SIGINT)
        assert job.stdout is not None
        assert job.stdout.readline() == "cancelled: nothing is charged\n"
    assert spent(tmp_path) == []


def test_a_job_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    with at_work(tmp_path) as job:
        job.kill()
    lines = told(tmp_path, "--pace", "0")
    assert lines[:2] == [
        "reserved: 48 credits; 10 of them are done already",
        "rendered: a kiss, 22 credits so far",
    ]
    assert spent(tmp_path) == [58]


def test_a_job_that_was_killed_and_is_not_begun_again_costs_what_it_has_told(tmp_path: Path) -> None:
    with at_work(tmp_path, "--patience", "2") as job:
        job.kill()
    with farthing.connect(f"sqlite:///{tmp_path}/long_job.db") as client:
        while [hold.state for hold in client.holds.list("ann")] == ["live"]:
            threading.Event().wait(0.05)
    lines = told(tmp_path)
    assert lines[0] == "this film was begun before, and that hold is expired: nothing more is charged"
    assert "expire -10" in lines[2]
    assert spent(tmp_path) == [10]
