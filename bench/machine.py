"""Owns the description of the machine that a table came from: what matters for speed, no names and no paths."""

from __future__ import annotations

import os
import platform
import socket
import sqlite3
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.load import percentile

LIBRARIES = (
    "apsw", "asyncpg", "fastapi", "httptools", "msgspec", "pydantic", "starlette", "uvicorn", "uvloop",
)  # fmt: skip
FLUSHES = 300
ROUND_TRIPS = 3000


def describe(folder: Path) -> dict[str, Any]:
    """Cores, memory, kernel, versions, and two costs measured here: a disk flush and a wake-up."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "filesystem": filesystem(folder),
        "flush_ms": flush_milliseconds(folder),
        "wake_up_us": {"same core": wake_up(False), "other core": wake_up(True)},
        "python": platform.python_version(),
        "sqlite": _sqlite_version(),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
    }


def flush_milliseconds(folder: Path) -> dict[str, float]:
    """How long fdatasync takes after a page of 4 KiB was appended, in the folder of the databases."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FLUSHES):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter_ns()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter_ns() - began)
    taken.sort()
    return {name: round(percentile(taken, at) / 1e6, 3) for name, at in (("median", 0.5), ("p99", 0.99))}


def wake_up(across: bool) -> float:
    """Microseconds for a byte to another process and back; across cores this can be dear on a virtual machine.

    It decides how costly a design is that wakes a database session for every statement.
    """
    cores = sorted(os.sched_getaffinity(0))
    near, far = socket.socketpair()
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, {cores[-1] if across else cores[0]})
        near.close()
        while far.recv(1):
            far.send(b"x")
        os._exit(0)
    far.close()
    os.sched_setaffinity(0, {cores[0]})
    try:
        began = time.perf_counter_ns()
        for _ in range(ROUND_TRIPS):
            near.send(b"x")
            near.recv(1)
        return round((time.perf_counter_ns() - began) / ROUND_TRIPS / 1e3, 1)
    finally:
        near.close()
        os.waitpid(child, 0)
        os.sched_setaffinity(0, set(cores))


def filesystem(folder: Path) -> str:
    """The kind of file system that the databases lie on; on tmpfs a flush means nothing."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mounted, name = line.split()[:3]
        if folder.resolve().is_relative_to(mounted) and len(mounted) >= len(best):
            best, kind = mounted, name
    return kind


def stolen_ticks() -> tuple[int, int]:
    """Ticks that the host took from this machine, and all ticks, since boot."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[7], sum(ticks)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _sqlite_version() -> str:
    try:
        import apsw
    except ImportError:
        return sqlite3.sqlite_version
    return str(apsw.sqlite_lib_version())
