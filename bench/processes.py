"""Owns child processes of the bench: started, waited for, ended, and what they cost in CPU and memory."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
REPO = Path(__file__).resolve().parent.parent


class BenchError(Exception):
    """The bench cannot go on; the message says why and what helps."""


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the length of the block, from the repository's root; its output goes to `log`."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            list(command), stdout=out, stderr=subprocess.STDOUT, cwd=REPO, env={**os.environ, **(environment or {})}
        )
    try:
        yield child
    finally:
        end(child)


@contextlib.contextmanager
def in_environment(extra: Mapping[str, str]) -> Iterator[None]:
    """What is started within the block has these variables as well; what runs already is not touched."""
    before = {name: os.environ.get(name) for name in extra}
    os.environ.update(extra)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def end(child: subprocess.Popen[bytes], patience: float = 15.0) -> int:
    """Ask a child to stop with SIGTERM, insist with SIGKILL, and give its exit code."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    try:
        return child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def wait_until_up(url: str, child: subprocess.Popen[bytes], log: Path, patience: float = 30.0) -> None:
    """Return when `url` answers 200; a child that ended first is told with the end of its log."""
    give_up = time.monotonic() + patience
    while time.monotonic() < give_up:
        if child.poll() is not None:
            raise BenchError(f"the server ended with {child.returncode} before it answered:\n{tail(log)}")
        try:
            with urllib.request.urlopen(url, timeout=1.0) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    raise BenchError(f"no answer from the server within {patience:.0f} s:\n{tail(log)}")


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file, for an error message."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def family(pid: int) -> list[int]:
    """A process and all its descendants that live now."""
    members = [pid]
    for member in members:
        with contextlib.suppress(OSError):  # it may end while it is looked at
            for task in Path(f"/proc/{member}/task").iterdir():
                members.extend(int(child) for child in (task / "children").read_text().split())
    return members


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time that these processes and their descendants have used so far, also those that have ended:
    what a process has waited for is in its own account."""
    ticks = 0
    for pid in {member for root in pids for member in family(root)}:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS_PER_SECOND


def peak_bytes(pid: int) -> int:
    """The most memory that a process had so far; 0 of one that has ended. What `wait4` says of it would begin with what
    its parent had."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants, shared pages counted in each."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
    return total
