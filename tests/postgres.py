"""Throw-away PostgreSQL clusters: durable, in a temporary folder, run by a user without rights, gone afterwards.

`cluster` is one for the length of a block, to be killed and started at will; the benchmarks use it too. `Shared` is the
one that all tests of a run have together: brought up by the first that asks, in a keeper process of its own (this
module, run as a program), which ends the cluster when the run has ended, however that came about.
"""

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.memory import is_in_memory

OWNER = "farthing"
"""The superuser of a cluster; gets in without a password."""
GUARDED = "guarded"
"""A user of this name, where a test makes one, needs its password."""
TEMPLATE = "farthing_template"
UNPRIVILEGED_USERS = ("postgres", "nobody")
PROGRAMS = Path("/usr/lib/postgresql")
READY_SECONDS = 60
ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "30min",
    "autovacuum_naptime": "5s",
    "jit": "off",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
}
"""As durable as in earnest; small, since several may run at once."""


class PostgresTrouble(Exception):
    """There is no PostgreSQL to be had; the message says why and what helps."""


@dataclass(slots=True)
class Cluster:
    """A cluster: where it lies, which programs run it, as whom; it may be stopped and started again."""

    folder: Path
    programs: Path
    user: pwd.struct_passwd | None
    port: int
    tcp: bool = False
    database: str = "postgres"
    """Which one a `dsn` names unless it is told."""
    _server: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def dsn(self) -> str:
        """The address of the usual database, through the socket."""
        return self.dsn_of(self.database)

    def dsn_of(self, database: str, user: str = OWNER) -> str:
        """The address of a database, through the socket."""
        return f"postgresql://{user}@/{database}?host={self.folder}&port={self.port}"

    def tcp_dsn(self, database: str | None = None, port: int | None = None) -> str:
        """The address over TCP, for a cluster that was asked to listen; `port` may be that of a proxy before it."""
        return f"postgresql://{OWNER}@127.0.0.1:{port or self.port}/{database or self.database}"

    @property
    def pid(self) -> int:
        """The postmaster's process."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])

    @property
    def version(self) -> str:
        """Of the programs."""
        said = _output([str(self.programs / "postgres"), "--version"])
        return said.removeprefix("postgres (PostgreSQL) ")

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "log"

    def sql(self, statement: str, database: str | None = None) -> str:
        """Run statements through psql and give their bare output."""
        psql = [str(self.programs / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement]
        return _output([*psql, self.dsn_of(database or self.database)])

    def start(self, wait: bool = True) -> None:
        """Start it, again or for the first time."""
        with self.log.open("ab") as out:
            self._server = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(self.folder / "data")],
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                # A Ctrl-C for the tests is none for the server, whose end is up to them.
                start_new_session=True,
                **_as_user(self.user),
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Return once it takes connections."""
        probe = [str(self.programs / "pg_isready"), "-q", "-h", str(self.folder), "-p", str(self.port), "-U", OWNER]
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self._server is not None and self._server.poll() is None:
            if subprocess.run([*probe, "-d", "postgres"], check=False).returncode == 0:
                return
            time.sleep(0.02)
        raise PostgresTrouble(f"PostgreSQL did not start:\n{tail(self.log)}")

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop it; `immediate` is what a crash is for the data: it has to recover at the next start."""
        control = [str(self.programs / "pg_ctl"), "-D", str(self.folder / "data"), "-m", mode, "-w", "stop"]
        _output(control, self.user)
        self._reap()

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop it and start it again."""
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """SIGKILL for the postmaster; its children end by themselves when they notice."""
        assert self._server is not None, "it runs"
        self._server.kill()
        self._reap()
        # Until the last child has let go of the shared memory a new postmaster refuses to start.
        deadline = time.monotonic() + READY_SECONDS
        while _processes_in(self.folder) and time.monotonic() < deadline:
            time.sleep(0.02)

    def _reap(self) -> None:
        if self._server is not None:
            self._server.wait(READY_SECONDS)
            self._server = None

    def end(self) -> None:
        """Make sure that nothing of it runs any more."""
        if self._server is not None and self._server.poll() is None:
            # What is in the folder goes with it: there is nothing to flush.
            self._server.send_signal(signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(READY_SECONDS)
            self._server.kill()
        if self._server is not None:
            self._server.wait()
            self._server = None


@contextlib.contextmanager
def cluster(
    parent: Path | None = None,
    *,
    settings: Mapping[str, str] = SETTINGS,
    tcp: bool = False,
    database: str | None = None,
) -> Iterator[Cluster]:
    """A fresh cluster for the length of the block, in a temporary folder under `parent`; always ended and removed."""
    programs = find_programs()
    user = unprivileged_user()
    # The folder's own name stays short: a socket's path may have no more than 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=parent))
    made = Cluster(folder, programs, user, free_port() if tcp else 5432, tcp)
    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
            _require_reachable(folder)
        _init(made, settings)
        made.start()
        if database is not None:
            made.sql(f"create database {database}")
            made.database = database
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def pooler(before: Cluster, database: str, size: int = 4) -> Iterator[str]:
    """The address of a PgBouncer in transaction mode before a database of the cluster, for the length of the block."""
    program = _program(
        "pgbouncer", "pgbouncer", lambda: shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    )
    port = free_port()
    settings = before.folder / f"pgbouncer-{port}.ini"
    settings.write_text(
        f"[databases]\n{database} = host={before.folder} port={before.port} user={OWNER}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = {size}\n"
    )
    settings.chmod(0o644)
    with (before.folder / f"pgbouncer-{port}.log").open("wb") as log:
        running = subprocess.Popen(
            [program, "-q", str(settings)], stdout=log, stderr=subprocess.STDOUT, **_as_user(before.user)
        )
    try:
        _wait_until_listening(port, running)
        yield before.tcp_dsn(database, port)
    finally:
        running.terminate()
        running.wait()


def _wait_until_listening(port: int, running: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise PostgresTrouble("PgBouncer did not start")


def find_programs() -> Path:
    """The newest server programs of Debian's package; as root the package is installed when it is missing."""
    return Path(_program("PostgreSQL's server programs", "postgresql", _installed))


def _program(what: str, package: str, find: Callable[[], Path | str | None]) -> str:
    """Where something is that a package brings, which is installed where it is missing and we may."""
    found = find()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", package]):
            subprocess.run(["apt-get", *step], env=environment, check=False, stdout=subprocess.DEVNULL)
        found = find()
    if found is None:
        raise PostgresTrouble(
            f"the tests need {what}, and it is not on this machine: "
            f"install it (on Debian: apt-get install {package}) and try again"
        )
    return str(found)


def _installed() -> Path | None:
    folders = [folder for folder in PROGRAMS.glob("*/bin") if (folder / "initdb").exists()]
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


def unprivileged_user() -> pwd.struct_passwd | None:
    """Who runs the cluster: nobody in particular for a plain user, a user without rights when we are root."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED_USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresTrouble(f"PostgreSQL refuses to run as root, and none of the users {UNPRIVILEGED_USERS} exists")


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tail(log: Path, lines: int = 20) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(it said nothing)"


def _require_reachable(folder: Path) -> None:
    """A folder that the unprivileged user cannot walk to gives initdb an error that explains nothing."""
    for each in folder.parents:
        if not each.stat().st_mode & 0o001:
            raise PostgresTrouble(
                f"the cluster runs as another user, who cannot enter {each}: "
                "choose a folder for temporary files that everybody may pass through"
            )


def _init(made: Cluster, settings: Mapping[str, str]) -> None:
    data = made.folder / "data"
    command = [str(made.programs / "initdb"), "-D", str(data), "-U", OWNER, "-A", "trust", "--no-sync"]
    _output([*command, "-E", "UTF8", "--locale=C", "--no-instructions"], made.user)
    where = {
        "listen_addresses": "'127.0.0.1'" if made.tcp else "''",
        "port": str(made.port),
        "unix_socket_directories": f"'{made.folder}'",
        "unix_socket_permissions": "0700",
    }
    with (data / "postgresql.conf").open("a") as config:
        config.writelines(f"{name} = {value}\n" for name, value in {**settings, **where}.items())
    rules = data / "pg_hba.conf"
    local = f"local all {GUARDED} scram-sha-256\nhost all {GUARDED} 127.0.0.1/32 scram-sha-256\n"
    rules.write_text(local + rules.read_text())


def _processes_in(folder: Path) -> bool:
    """Whether a process still works in the data folder."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if Path(os.readlink(process / "cwd")).is_relative_to(folder):
                return True
    return False


def _as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _output(command: list[str], user: pwd.struct_passwd | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **_as_user(user))
    if done.returncode != 0:
        raise PostgresTrouble(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
    return done.stdout.strip()


# One for a whole run

RUN = "FARTHING_TEST_POSTGRES"
"""In the environment of a run: the folder through which its processes find their cluster."""


class Shared:
    """The cluster of a run, as one of its processes sees it."""

    def __init__(self, place: Path, runner: int) -> None:
        self._place = place
        self._runner = runner

    @classmethod
    def begin(cls) -> "Shared":
        """Of this process and those that it starts; nothing runs yet."""
        place = Path(tempfile.mkdtemp(prefix="farthing-tests-"))
        os.environ[RUN] = f"{os.getpid()}:{place}"
        return cls(place, os.getpid())

    @classmethod
    def join(cls) -> "Shared":
        """Of the process that began the run."""
        runner, _, place = os.environ[RUN].partition(":")
        return cls(Path(place), int(runner))

    def get(self, prepare: Callable[[Cluster], None]) -> Cluster:
        """The running cluster; whoever asks first brings it up and prepares it, and the others wait for that."""
        with (self._place / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._told.exists():
                self._bring_up()
            folder, programs = self._told.read_text().splitlines()
            found = Cluster(Path(folder), Path(programs), unprivileged_user(), 5432)
            prepared = self._place / "prepared"
            if not prepared.exists():
                prepare(found)
                prepared.touch()
        return found

    @property
    def _told(self) -> Path:
        return self._place / "cluster"

    def _bring_up(self) -> None:
        find_programs()  # so that what is missing is said here, and not in the keeper's log
        with (self._place / "keeper.log").open("wb") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "tests.postgres", str(self._place), str(self._runner)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        (self._place / "keeper").write_text(str(keeper.pid))
        while not self._told.exists():
            if keeper.poll() is not None:
                raise PostgresTrouble(f"PostgreSQL did not start:\n{tail(self._place / 'keeper.log')}")
            time.sleep(0.02)

    def end(self) -> None:
        """The run is over: nothing stays."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            keeper = int((self._place / "keeper").read_text())
            os.kill(keeper, signal.SIGTERM)
            deadline = time.monotonic() + READY_SECONDS
            while self._told.exists() and is_alive(keeper) and time.monotonic() < deadline:
                time.sleep(0.02)
        shutil.rmtree(self._place, ignore_errors=True)
        del os.environ[RUN]


class Databases:
    """Databases of one process of a run in the shared cluster."""

    AT_ONCE = 40
    """How many are left standing (9 MB each) before the oldest goes, which costs a checkpoint."""

    def __init__(self, postgres: Cluster) -> None:
        from farthing.stores.postgres_sync import SyncConnection

        self._postgres = postgres
        self._db = SyncConnection(postgres.dsn)
        # Copying files is half the work, and waits for all of them to be flushed: on a disk that takes longer.
        self._strategy = "file_copy" if is_in_memory(postgres.folder) else "wal_log"
        self._made: list[str] = []
        self._count = 0

    def make(self, template: str, *, keep: bool = False) -> str:
        """The address of a new database, a copy of the template; `keep` it for the whole run."""
        if len(self._made) >= self.AT_ONCE:
            self._db.execute(f'drop database "{self._made.pop(0)}" with (force)')
        self._count += 1
        name = f"test_{os.getpid()}_{self._count}"
        self._db.execute(f'create database "{name}" template "{template}" strategy {self._strategy}')
        if not keep:
            self._made.append(name)
        return self._postgres.dsn_of(name)

    @staticmethod
    def name_of(url: str) -> str:
        """What a database is called, for one that is copied."""
        return url.partition("?")[0].rpartition("/")[2]

    def close(self) -> None:
        """Let go; the databases end with their cluster."""
        self._db.close()


def copy_rows(path: Path, url: str) -> None:
    """Bring a ledger from a SQLite file into a database that was migrated, row by row, whatever is wrong with it."""
    from farthing.copying import OWN_COLUMNS
    from farthing.stores import sqlite
    from farthing.stores.postgres_sync import SyncConnection

    source = sqlite.connect(path, read_only=True)
    with SyncConnection(url) as target, target.transaction():
        target.execute("set local session_replication_role = replica")
        # What is folded hangs on how the entries were numbered, which each database does in its own way.
        left_out = "('migration', 'rollup', 'lane')"
        tables = f"select tablename from pg_tables where schemaname = 'public' and tablename not in {left_out}"
        for (table,) in target.rows(tables):
            attributes = "select attname from pg_attribute where attrelid = $1::regclass::oid and attnum > 0"
            names = [str(name) for (name,) in target.rows(attributes, (table,))]
            columns = [name for name in names if name not in OWN_COLUMNS.get(str(table), ())]
            target.execute(f"delete from {table}")
            marks = ", ".join(f"${i}" for i in range(1, len(columns) + 1))
            for row in source.execute(f"select {', '.join(columns)} from {table}"):
                target.rows(f"insert into {table} ({', '.join(columns)}) values ({marks})", row)
        # Numbers that were given out over there are not given out again.
        target.rows("select setval(pg_get_serial_sequence('audit', 'position'), max(position)) from audit")
    source.close()


def is_alive(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def keep(place: Path, runner: int) -> None:
    """Run the cluster of a run until that is over."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    told = place / "cluster"
    try:
        with cluster() as made:
            draft = place / "cluster.new"
            draft.write_text(f"{made.folder}\n{made.programs}\n")
            draft.replace(told)
            while is_alive(runner):
                time.sleep(0.5)
    finally:
        told.unlink(missing_ok=True)
        if not is_alive(runner):
            shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), int(sys.argv[2]))
