"""Owns the throw-away PostgreSQL cluster that the baseline runs on: durable, sensibly tuned, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import BenchError, tail

DATABASE = "bench"
OWNER = "bench"
UNPRIVILEGED_USERS = ("postgres", "nobody")
PROGRAMS = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster: where its socket is, which process it is, where its programs are."""

    socket_folder: Path
    pid: int
    programs: Path
    version: str

    @property
    def dsn(self) -> str:
        """The address that asyncpg and libpq understand."""
        return f"postgresql://{OWNER}@/{DATABASE}?host={self.socket_folder}"

    def sql(self, statement: str) -> str:
        """Run one statement through psql and give its bare output."""
        return _output([str(self.programs / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement, self.dsn])


@contextlib.contextmanager
def cluster(parent: Path | None = None) -> Iterator[Cluster]:
    """A fresh cluster for the length of the block, in a temporary folder under `parent`; always stopped and removed."""
    programs = find_programs()
    user = unprivileged_user()
    # The folder's own name stays short: a socket's path may have no more than 107 characters.
    root = Path(tempfile.mkdtemp(prefix="pg-", dir=parent))
    try:
        if user is not None:
            os.chown(root, user.pw_uid, user.pw_gid)
            _require_reachable(root)
        _init(programs, root, user)
        with _server(programs, root, user) as pid:
            _create_database(programs, root)
            version = _output([str(programs / "postgres"), "--version"])
            yield Cluster(root, pid, programs, version.removeprefix("postgres (PostgreSQL) "))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def find_programs() -> Path:
    """The newest server programs of Debian's package; as root the package is installed when it is missing."""
    found = _installed()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", "postgresql"]):
            subprocess.run(["apt-get", *step], env=environment, check=False, stdout=subprocess.DEVNULL)
        found = _installed()
    if found is None:
        raise BenchError(
            "the baseline needs PostgreSQL's server programs, and they are not on this machine: "
            "install them (on Debian: apt-get install postgresql) and run the bench again"
        )
    return found


def unprivileged_user() -> pwd.struct_passwd | None:
    """Who runs the cluster: nobody in particular for a plain user, a user without rights when we are root."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED_USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise BenchError(f"PostgreSQL refuses to run as root, and none of the users {UNPRIVILEGED_USERS} exists")


def settings(memory_bytes: int) -> dict[str, str]:
    """Durable as it comes; room for what the bench writes, so that checkpoints do not fall into a measurement."""
    shared = min(max(memory_bytes // 4, 128 << 20), 2 << 30)
    return {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "shared_buffers": f"{shared >> 20}MB",
        "effective_cache_size": f"{memory_bytes // 2 >> 20}MB",
        "wal_buffers": "16MB",
        "min_wal_size": "1GB",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "30min",
        "max_connections": "120",
        "random_page_cost": "1.1",
        "jit": "off",
        "listen_addresses": "''",
        "unix_socket_permissions": "0700",
        "log_min_messages": "warning",
    }


def _installed() -> Path | None:
    folders = [folder for folder in PROGRAMS.glob("*/bin") if (folder / "initdb").exists()]
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


def _require_reachable(root: Path) -> None:
    """A folder that the unprivileged user cannot walk to gives initdb an error that explains nothing."""
    for folder in root.parents:
        if not folder.stat().st_mode & 0o001:
            raise BenchError(
                "the cluster runs as another user, who cannot enter the folder for databases: "
                "choose one that everybody may pass through (--folder)"
            )


def _init(programs: Path, root: Path, user: pwd.struct_passwd | None) -> None:
    command = [str(programs / "initdb"), "-D", str(root / "data"), "-U", OWNER, "-A", "trust"]
    _output([*command, "-E", "UTF8", "--locale=C", "--no-instructions"], user)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    lines = [f"{name} = {value}" for name, value in settings(memory).items()]
    with (root / "data" / "postgresql.conf").open("a") as config:
        config.write("\n".join([*lines, f"unix_socket_directories = '{root}'", ""]))


@contextlib.contextmanager
def _server(programs: Path, root: Path, user: pwd.struct_passwd | None) -> Iterator[int]:
    log = root / "log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(root / "data")],
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=root,
            **_as_user(user),
        )
    try:
        _wait_until_ready(programs, root, child, log)
        yield child.pid
    finally:
        child.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: sessions are ended, data is flushed
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGQUIT)
            child.wait()


def _wait_until_ready(programs: Path, root: Path, child: subprocess.Popen[bytes], log: Path) -> None:
    probe = [str(programs / "pg_isready"), "-q", "-h", str(root), "-U", OWNER, "-d", "postgres"]
    for _ in range(300):
        if child.poll() is not None:
            break
        if subprocess.run(probe, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise BenchError(f"PostgreSQL did not start:\n{tail(log)}")


def _create_database(programs: Path, root: Path) -> None:
    _output([str(programs / "createdb"), "-h", str(root), "-U", OWNER, DATABASE])


def _as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _output(command: list[str], user: pwd.struct_passwd | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **_as_user(user))
    if done.returncode != 0:
        raise BenchError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
    return done.stdout.strip()
