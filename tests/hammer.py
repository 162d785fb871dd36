"""The hammer: processes charge, hold, settle, refund and buy with repeated keys while what serves them is killed.

`python -m tests.hammer [--kills N] [--seed S] [--callers N] [--db postgres [--processes N] [--workers N]]`. On SQLite
one server is killed at random. On PostgreSQL there are several, on ports of their own (`--processes`) or as workers of
one (`--workers`); servers, single workers and the database itself are killed (SIGKILL, `pg_ctl stop -m immediate`),
and restarted in good order.

Each caller writes down what it is about to ask and what was acknowledged, before it goes on. In the end every
acknowledged command must be in the ledger once, with the answer that was given, none may be there twice, and nothing
that nobody asked for; every report must equal a scan of the entries; then doctor looks at the whole.

A SIGKILL does not test a power cut (the page cache survives it); that rests on synchronous=FULL and fsync, which doctor
checks.
"""

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

import apsw

from tests.hammer_callers import ACCOUNTS, UNIT, expect, http_worker, refund_worker
from tests.postgres import Cluster, cluster, free_port
from tests.scans import agree, fold_what_waits, folded_agrees

FARTHING = [sys.executable, "-c", "from farthing.cli import main; main()"]
ROOT = Path(__file__).resolve().parents[1]
Say = Callable[[str], None]


# Servers


class Server:
    """`farthing serve` on a port that stays the same when it is killed and started again."""

    def __init__(self, url: str, *options: str, program: Sequence[str] = FARTHING, wait: bool = True) -> None:
        self.port = free_port()
        place = ["--db", url, "--host", "127.0.0.1", "--port", str(self.port)]
        self._command = [*program, "serve", *place, "--rate-limit", "0", *options]
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        self.start(wait=wait)

    def start(self, *, wait: bool = True) -> None:
        self._begins = self._size()
        self.process = subprocess.Popen(self._command, stdout=self.log, stderr=self.log, cwd=ROOT)
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Until it says that it listens: then all its workers are ready."""
        until = time.monotonic() + 60
        while b"listening on " not in os.pread(self.log.fileno(), self._size(), self._begins):
            expect(self.process.poll() is None, f"the server did not start: {self.words()}")
            expect(time.monotonic() < until, f"the server was not ready in time: {self.words()}")
            time.sleep(0.02)

    def _size(self) -> int:
        return os.fstat(self.log.fileno()).st_size

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and body of a page."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def words(self) -> str:
        # Reading by position: the server writes where this file's own position is.
        return os.pread(self.log.fileno(), 2000, max(self._size() - 2000, 0)).decode(errors="replace")

    def children(self) -> list[int]:
        """The processes that it has started."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        expect(self.process.wait(60) == 0, f"SIGTERM ended the server with {self.process.returncode}: {self.words()}")

    def restart(self) -> None:
        """In good order: worker by worker where it has several."""
        before = set(self.children())
        if not before:
            self.stop()
            self.start()
            return
        self.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 60
        while before & set(self.children()):
            expect(self.process.poll() is None, f"SIGHUP ended the server: {self.words()}")
            expect(time.monotonic() < until, f"its workers were not replaced: {self.words()}")
            time.sleep(0.05)


def run_farthing(*words: str) -> dict[str, Any]:
    """Run a command with --json; its answer."""
    done = subprocess.run([*FARTHING, *words, "--json"], capture_output=True, text=True, timeout=600)
    expect(done.returncode == 0, f"farthing {' '.join(words)}: exit {done.returncode}: {done.stdout}{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


# Databases


class Anvil(Protocol):
    """What is hammered on: a database, and how it can be killed."""

    @property
    def url(self) -> str: ...

    @property
    def blows(self) -> tuple[str, ...]:
        """What may be done to it and its servers, the more often the more likely."""

    def strike(self, blow: str) -> None:
        """Kill the database that way, and start it again."""

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What the database holds in the end."""


@dataclass(frozen=True)
class SqliteAnvil:
    """A file."""

    path: Path
    blows = ("server",)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def strike(self, blow: str) -> None:
        raise AssertionError(f"a file can't be struck by {blow}")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        db = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return list(db.execute(sql))
        finally:
            db.close()


@dataclass(frozen=True)
class PostgresAnvil:
    """A cluster of its own."""

    cluster: Cluster
    blows = ("server", "server", "server", "all servers", "rolling restart", "SIGKILL", "immediate")

    @property
    def url(self) -> str:
        return self.cluster.dsn

    def strike(self, blow: str) -> None:
        if blow == "SIGKILL":
            self.cluster.kill()
            self.cluster.start()
        else:
            self.cluster.restart("immediate")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        from farthing.stores.postgres_sync import SyncConnection

        with SyncConnection(self.url) as db:
            return db.rows(sql)


# The hammer


@dataclass
class Forge:
    """All that runs while it is hammered."""

    anvil: Anvil
    servers: list[Server]
    folder: Path
    rng: random.Random
    seed: int
    struck: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._spawn = multiprocessing.get_context("spawn")
        self._stop = self._spawn.Event()
        self._refunders = 0

    def start(self, callers: int, api_key: str) -> None:
        ports = [server.port for server in self.servers]
        self._callers = [
            self._started(http_worker, f"w{n}", f"{self.seed}-{n}", ports, api_key, str(self.folder), self._stop)
            for n in range(callers)
        ]
        self._start_refunder()

    def _started(self, work: Callable[..., None], *args: Any) -> BaseProcess:
        process = self._spawn.Process(target=work, args=args)
        process.start()
        return process

    def _start_refunder(self) -> None:
        name = f"r{self._refunders}"
        self._refunder = self._started(refund_worker, name, f"{self.seed}-{name}", self.anvil.url, str(self.folder))
        self._refunders += 1

    def strike(self, blow: str) -> None:
        """Kill something, and have it started again."""
        self.struck[blow] += 1
        if blow == "server":
            self._kill_one(self.rng.choice(self.servers))
        elif blow == "all servers":
            for server in self.servers:
                server.kill()
            for server in self.servers:
                server.start(wait=False)
            for server in self.servers:
                server.wait_until_ready()
        elif blow == "rolling restart":
            for server in self.servers:
                server.restart()
        else:
            self.anvil.strike(blow)
        if self.rng.random() < 0.4:
            self.struck["embedded"] += 1
            self._refunder.kill()
            self._refunder.join()
            self._start_refunder()
        expect(all(p.exitcode in (None, 0) for p in self._callers), "a caller found something wrong; see above")

    def _kill_one(self, server: Server) -> None:
        children = server.children()
        # A worker is started again by its parent; a parent that is killed takes its workers with it.
        if children and self.rng.random() < 0.8:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.rng.choice(children), signal.SIGKILL)
        else:
            server.kill()
            server.start()

    def end(self) -> None:
        """Let the callers finish what they have begun."""
        self._stop.set()
        self._refunder.kill()
        for process in self._callers:
            process.join(60)
        ended = [process.exitcode for process in self._callers]
        expect(all(code == 0 for code in ended), f"callers ended with {ended}; their words are above")


def hammer(
    folder: Path, *, seed: int, kills: int = 0, blows: Sequence[str] = (), callers: int = 3,
    anvil: Anvil | None = None, processes: int = 1, options: Sequence[str] = (), pause: float = 0.7,
    say: Say = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Strike these blows, or so many chosen by the seed; returns what was done. Raises `Failed` when the ledger and its
    callers disagree."""
    rng = random.Random(seed)
    anvil = anvil or SqliteAnvil(folder / "hammer.db")
    api_key = run_farthing("init", "--db", anvil.url)["api_key"]
    fill(anvil.url)
    with serving(anvil.url, processes, options) as servers:
        forge = Forge(anvil, servers, folder, rng, seed)
        forge.start(callers, api_key)
        try:
            blows = blows or rng.choices(anvil.blows, k=kills)
            for number, blow in enumerate(blows, 1):
                time.sleep(rng.uniform(pause * 0.3, pause * 1.7))
                forge.strike(blow)
                say(f"kill {number} of {len(blows)}: {blow}")
            time.sleep(0.5)
        finally:
            forge.end()
    told = verify(folder, anvil)
    reported = verify_reports(anvil.url, seed)
    doctor = run_farthing("doctor", "--db", anvil.url)
    done = {"kills": len(blows), "struck": dict(forge.struck), "seed": seed}
    return {**told, **done, "reported": reported, "doctor": doctor}


@contextlib.contextmanager
def serving(
    url: str, processes: int, options: Sequence[str] = (), program: Sequence[str] = FARTHING
) -> Iterator[list[Server]]:  # fmt: skip
    """So many servers on one database; they end by SIGTERM, and must end well."""
    servers: list[Server] = []
    try:
        servers += [Server(url, *options, program=program, wait=False) for _ in range(processes)]
        for server in servers:
            server.wait_until_ready()
        yield servers
        for server in servers:
            server.stop()
    finally:
        for server in servers:
            server.kill()


def fill(url: str) -> None:
    """Something to spend for every account."""
    from farthing.app import open_ledger
    from farthing.core.commands import GiveGrant

    with open_ledger(url) as ledger:
        for account in ACCOUNTS:
            ledger.do(GiveGrant(workspace="main", account=account, amount=500 * UNIT, key=f"v1:start-{account}"))


def verify(folder: Path, anvil: Anvil) -> dict[str, Any]:
    """Hold what the callers wrote down against the ledger."""
    asked, told = read_journals(folder)
    found: dict[tuple[str, str], tuple[str, int]] = {}
    for account, key, entry, amount in anvil.rows("select account, key, id, amount from entry where key is not null"):
        expect((account, key) not in found, f"{key} of {account} is there twice")
        found[account, key] = (entry, amount)
    for place, line in told.items():
        expect(place in found, f"{place} was acknowledged and is not there")
        entry, amount = found[place]
        expect(line["entry"] in (None, entry), f"{place} was told as {line['entry']} and is {entry}")
        expect(line["amount"] == amount, f"{place} was told as {line['amount']} and is {amount}")
    nobody = [p for p in found if p not in asked and not p[1].startswith("v1:start-")]
    expect(not nobody, f"nobody asked for {nobody[:5]}")
    for account, balance, total in anvil.rows(
        "select a.id, a.balance, (select sum(e.amount) from entry e "
        "where e.workspace = a.workspace and e.account = a.id) from account a"
    ):
        expect(balance == total, f"{account} has {balance}, its entries add up to {total}")
    return {"asked": len(asked), "acknowledged": len(told), "entries": len(found)}


def verify_reports(url: str, seed: int) -> int:
    """Hold every report against a scan of the entries, as the servers have left the sums and when all is folded; how
    many entries there are to report."""
    from farthing.app import open_ledger

    with open_ledger(url) as ledger:
        now = ledger.clock.now_us()
        ledger.wait(agree(ledger.database, "main", now, seed))
        ledger.wait(fold_what_waits(ledger.database, now))
        ledger.wait(folded_agrees(ledger.database))
        return ledger.wait(agree(ledger.database, "main", now, seed))


def read_journals(folder: Path) -> tuple[set[tuple[str, str]], dict[tuple[str, str], dict[str, Any]]]:
    """What was asked, and what was told, by account and key."""
    asked: set[tuple[str, str]] = set()
    told: dict[tuple[str, str], dict[str, Any]] = {}
    for path in folder.glob("*.jsonl"):
        for text in path.read_text().splitlines():
            line = json.loads(text)
            if "asked" in line:
                asked.add((line["account"], line["asked"]))
            else:
                told[line["account"], line["told"]] = line
    return asked, told


@contextlib.contextmanager
def postgres_anvil() -> Iterator[PostgresAnvil]:
    """A cluster of its own, with a database for a ledger."""
    with cluster(database="hammer") as made:
        yield PostgresAnvil(made)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="./dev hammer", description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--callers", type=int, default=3)
    parser.add_argument("--db", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--processes", type=int, default=1, help="servers, each on a port of its own")
    parser.add_argument("--workers", type=int, default=1, help="workers of each server")
    given = parser.parse_args()
    if given.db == "sqlite" and (given.processes, given.workers) != (1, 1):
        parser.error("a SQLite file has one server with one worker: several are for --db postgres")
    print(f"seed {given.seed}", file=sys.stderr)
    with contextlib.ExitStack() as held:
        result = hammer(
            Path(held.enter_context(tempfile.TemporaryDirectory())), kills=given.kills, seed=given.seed,
            callers=given.callers, anvil=held.enter_context(postgres_anvil()) if given.db == "postgres" else None,
            processes=given.processes, options=("--workers", str(given.workers)) if given.workers > 1 else (),
            say=lambda text: print(text, file=sys.stderr),
        )  # fmt: skip
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
