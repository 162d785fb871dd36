"""A full disk, played on a small file system: `python -m tests.disk_full FOLDER KIND`, in a mount namespace of its own.

Charges over HTTP until the disk is full, makes room, charges on without a restart of the service, asks again for what
was not acknowledged, then holds everything against the ledger. Prints what it saw as JSON. Three kinds: `sqlite`;
`postgres-data`, where the log has a disk of its own and a table can't grow; `postgres-log`, where PostgreSQL itself
panics, since it can't go on without its log, and is started again once there is room.
"""

import contextlib
import ctypes
import json
import os
import random
import shutil
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hammer import Anvil, PostgresAnvil, Server, SqliteAnvil, run_farthing
from tests.hammer_callers import Caller, expect
from tests.postgres import SETTINGS, Cluster, PostgresTrouble, cluster, unprivileged_user

MEGABYTE = 1024 * 1024
REFUSALS = 20
AFTER = 50


def mount(folder: Path, megabytes: int) -> str:
    """A small file system: a loop device where that may be, else memory."""
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(megabytes * MEGABYTE)
    # Administration's folders are not on everybody's path.
    maker = shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    made = maker is not None and subprocess.run([maker, "-q", str(image)], capture_output=True).returncode == 0
    if made and subprocess.run(["mount", "-o", "loop", str(image), str(folder)], capture_output=True).returncode == 0:
        return "ext4 on a loop device"
    # The program refuses whoever is not root, also where the system would let him.
    system = ctypes.CDLL(None, use_errno=True)
    if system.mount(b"none", str(folder).encode(), b"tmpfs", 0, f"size={megabytes}m".encode()) != 0:
        raise OSError(ctypes.get_errno(), f"no file system may be mounted here: {os.strerror(ctypes.get_errno())}")
    return "tmpfs"


@dataclass
class Charges:
    """What was asked of a server, and what it said."""

    caller: Caller
    acknowledged: dict[int, str] = field(default_factory=dict)
    refused: list[tuple[int, str, str]] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        self._rng = random.Random(1)

    def ask(self) -> int:
        """One charge more."""
        self.number += 1
        return self.ask_again(self.number)

    def ask_again(self, number: int) -> int:
        # Random letters: what compresses well would need no room.
        ballast = "".join(self._rng.choices(string.ascii_letters, k=4_000))
        status, answer = self.caller.once(
            "deduct",
            {
                "account_id": "alice", "operation": "disk.full", "amount": 1, "usage_event_id": f"event-{number}",
                "metadata": {"ballast": ballast},
            },
        )  # fmt: skip
        if status == 200:
            self.acknowledged[number] = answer["data"]["transactionId"]
        else:
            self.refused.append((status, answer["code"], answer["message"]))
        return status


def fill(folder: Path, leave: int) -> Path:
    """A file that takes all room but so much."""
    ballast = folder / "ballast"
    disk = os.statvfs(folder)
    with ballast.open("wb") as file:
        left = disk.f_bavail * disk.f_frsize - leave
        while left > 0:
            left -= file.write(bytes(min(left, MEGABYTE)))
        file.flush()
        os.fsync(file.fileno())
    return ballast


def play(
    folder: Path, anvil: Anvil, leave: int, *, on_full: Callable[[], None] = lambda: None,
    mend: Callable[[], None] = lambda: None,
) -> dict[str, Any]:  # fmt: skip
    """Charge until the disk is full and afterwards; `on_full` hastens it, `mend` is what an operator does then."""
    api_key = run_farthing("init", "--db", anvil.url)["api_key"]
    run_farthing("grant", "alice", "100000", "--db", anvil.url)
    server = Server(anvil.url)
    charges = Charges(Caller([server.port], api_key, random.Random(1)))
    expect(charges.ask() == 200, "there is room at first")
    ballast = fill(folder, leave)
    on_full()
    while len(charges.refused) < REFUSALS and charges.number < 5_000:
        charges.ask()
    refused = list(charges.refused)
    ballast.unlink()
    mend()
    # The first of them may find the service just about to try again.
    until = time.monotonic() + 60
    while charges.ask() != 200 and time.monotonic() < until:
        time.sleep(0.1)
    after = [charges.ask() for _ in range(AFTER)]
    again = [charges.ask_again(n) for n in range(1, charges.number + 1) if n not in charges.acknowledged]
    server.stop()
    found = dict(anvil.rows("select key, id from entry where key like 'cw.deduct:%'"))
    told = {f"cw.deduct:event-{number}": id for number, id in charges.acknowledged.items()}
    return {
        "acknowledged": len(told), "refused": refused, "after": after, "again": again,
        "lost": [key for key, id in told.items() if found.get(key) != id],
        "not_told": sorted(found.keys() - told.keys()),
        "doctor": run_farthing("doctor", "--db", anvil.url),
    }  # fmt: skip


def play_sqlite(folder: Path) -> dict[str, Any]:
    kind = mount(folder, 12)
    return {"file_system": kind, **play(folder, SqliteAnvil(folder / "small.db"), 3 * MEGABYTE)}


def play_postgres_data(folder: Path) -> dict[str, Any]:
    """The tables' disk is full."""
    with small_cluster(folder) as (kind, made), beside(made):
        return {"file_system": kind, **play(folder, PostgresAnvil(made), MEGABYTE)}


def play_postgres_log(folder: Path) -> dict[str, Any]:
    """The log's disk is full: another segment of 16 MB has no room."""
    with small_cluster(folder) as (kind, made):

        def switch() -> None:
            made.sql("select pg_switch_wal()")

        def start() -> None:
            try:
                made.wait_until_ready()
            except PostgresTrouble:  # it has given up, and waits for somebody
                made.start()

        told = play(folder, PostgresAnvil(made), 8 * MEGABYTE, on_full=switch, mend=start)
        return {"file_system": kind, "panicked": "PANIC" in made.log.read_text(errors="replace"), **told}


@contextlib.contextmanager
def small_cluster(folder: Path) -> Iterator[tuple[str, Cluster]]:
    kind = mount(folder, 128)
    folder.chmod(0o755)
    # A log that is not written ahead in spare segments, so that the next one is really missing.
    settings = {**SETTINGS, "min_wal_size": "32MB", "max_wal_size": "32MB", "wal_recycle": "off"}
    with cluster(folder, settings=settings, database="small") as made:
        yield kind, made


@contextlib.contextmanager
def beside(made: Cluster) -> Iterator[None]:
    """The log on another disk than the tables."""
    user = unprivileged_user()
    with tempfile.TemporaryDirectory() as elsewhere:
        if user is not None:
            os.chown(elsewhere, user.pw_uid, user.pw_gid)
        made.stop()
        log = made.folder / "data" / "pg_wal"
        shutil.copytree(log, Path(elsewhere) / "log", copy_function=shutil.copy2)
        if user is not None:
            for path in Path(elsewhere).rglob("*"):
                os.chown(path, user.pw_uid, user.pw_gid)
        shutil.rmtree(log)
        log.symlink_to(Path(elsewhere) / "log")
        made.start()
        yield


KINDS = {"sqlite": play_sqlite, "postgres-data": play_postgres_data, "postgres-log": play_postgres_log}


if __name__ == "__main__":
    print(json.dumps(KINDS[sys.argv[2]](Path(sys.argv[1]))))
