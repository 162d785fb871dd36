"""The slower disk: every flush of those who run on it takes longer while the switch is on, and the bench sees that."""

import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from bench.postgres import cluster
from bench.services import Measurement
from bench.slow_flush import EXTRA_US, SlowFlush

FLUSH_TWICE = "import os, tempfile; f = tempfile.TemporaryFile(); os.fdatasync(f.fileno()); os.fsync(f.fileno())"
SQLITE = """
import apsw, sys
db = apsw.Connection(sys.argv[1])
for statement in ("pragma journal_mode = wal", "pragma synchronous = full", "create table t (n)"):
    db.execute(statement).fetchall()
print("ready", flush=True)
for line in sys.stdin:
    db.execute("insert into t values (1)").fetchall()
    print("done", flush=True)
"""


@pytest.fixture
def disk(tmp_path: Path) -> SlowFlush:
    return SlowFlush.make(tmp_path)


def flush_twice(disk: SlowFlush) -> None:
    subprocess.run([sys.executable, "-c", FLUSH_TWICE], env=disk.environment, check=True)


def turn() -> Measurement:
    return Measurement({"rate": 1.0})


def test_a_flush_takes_longer_by_what_was_asked_for(disk):
    disk.delay(EXTRA_US)
    flush_twice(disk)
    flushes, added_us = disk.added()
    assert flushes == 2
    assert added_us >= 2 * EXTRA_US


def test_nothing_is_delayed_while_the_switch_is_off(disk):
    flush_twice(disk)
    assert disk.added() == (0, 0)


def test_two_disks_in_one_folder_have_a_switch_each(tmp_path):
    one, other = SlowFlush.make(tmp_path), SlowFlush.make(tmp_path)
    one.delay(EXTRA_US)
    flush_twice(other)
    assert one.added() == other.added() == (0, 0)


def test_a_commit_on_sqlite_is_a_flush_that_is_delayed_and_the_switch_works_while_it_runs(disk, tmp_path):
    command = [sys.executable, "-c", SQLITE, str(tmp_path / "t.db")]
    with subprocess.Popen(command, env=disk.environment, stdin=PIPE, stdout=PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        for delay in (EXTRA_US, EXTRA_US, 0, EXTRA_US):
            disk.delay(delay)
            writer.stdin.write("go\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "done\n"
        assert disk.added()[0] == 3
        writer.stdin.close()


def test_a_commit_on_postgresql_is_a_flush_that_is_delayed(disk, tmp_path):
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # PostgreSQL may run as another user
    with cluster(None, disk.environment) as database:
        database.sql("create table t (n int)")
        assert disk.added() == (0, 0)
        measured = disk.slowed(lambda: (database.sql("insert into t values (1)"), turn())[1])()
        assert measured.figures["flushes_delayed"] >= 1
        assert measured.problems == ()


def test_a_turn_in_which_nothing_was_delayed_is_worth_nothing(disk):
    measured = disk.slowed(turn)()
    assert (measured.figures["flushes_delayed"], len(measured.problems)) == (0, 1)


def test_a_turn_that_fails_leaves_the_disk_as_it_is(disk):
    def fail() -> Measurement:
        raise RuntimeError("no turn")

    with pytest.raises(RuntimeError):
        disk.slowed(fail)()
    flush_twice(disk)
    assert disk.added() == (0, 0)
