"""Owns Farthing under test: a fresh ledger on SQLite or PostgreSQL, its server, its funds, and doctor's last word."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.postgres import Cluster
from bench.processes import REPO, BenchError, free_port, running, wait_until_up
from bench.services import CREDITS, Service, each
from bench.traffic import PREFIX

ADD_PATH, RESERVE_PATH, BALANCE_PATH = "/api/credits/add", "/api/credits/reserve", "/api/credits/balance"
ADD_BODY = (
    '{"account_id":"{account}","amount":' + str(CREDITS) + ","
    '"source":{"productId":"bench","orderId":"{id}","transactionId":"{id}"}}'
)
RESERVE_BODY = '{"account_id":"{account}","operation":"chat.stream","amount":1,"validityMinutes":1440}'
WORKERS = 2  # on PostgreSQL; SQLite is served by one process
NO_LIMIT = "1000000000"
"""Requests a minute: the limiter works as it does by default, and refuses nobody."""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where ledgers are made: each a file in a folder of its own, or each a database of one cluster."""

    folder: Path
    cluster: Cluster | None = None

    def settle(self) -> None:
        """Have what was loaded analyzed and written to disk, so that neither falls into a measurement."""
        if self.cluster is not None:
            for ledger in self.cluster.sql("select datname from pg_database where datname like 'ledger%'").split():
                self.cluster.sql("vacuum (analyze)", ledger)
            self.cluster.sql("checkpoint")


@dataclass(slots=True)
class Ledger:
    """One Farthing database, with a folder of its own."""

    folder: Path
    url: str
    cluster: Cluster | None = None
    database: str = ""
    workspace: str = ""
    key: str = field(default="", repr=False)

    def size(self) -> int:
        """Bytes of the database with what belongs to it."""
        if self.cluster is not None:
            return int(self.cluster.sql(f"select pg_database_size('{self.database}')"))
        return sum(file.stat().st_size for file in self.folder.glob("farthing.db*"))

    def doctor(self) -> list[str]:
        """What doctor finds; a figure whose doctor finds something does not count."""
        done = subprocess.run(
            [*farthing_command(), "doctor", "--db", self.url, "--json"],
            capture_output=True, text=True, check=False, cwd=REPO,
        )  # fmt: skip
        if done.returncode == 0 and is_report(done.stdout):
            return []
        return [f"doctor ended with {done.returncode}: {(done.stdout.strip() or done.stderr.strip())[-500:]}"]


def is_report(text: str) -> bool:
    """Whether this is what doctor says when it has looked, and not an error that somebody ended with 0."""
    try:
        report = json.loads(text)
    except ValueError:
        return False
    return isinstance(report, dict) and "error" not in report


def farthing_command() -> list[str]:
    """The installed command beside this Python; without one, the same entry point of the sources."""
    beside = Path(sys.executable).with_name("farthing")
    return (
        [str(beside)]
        if beside.exists()
        else [sys.executable, "-c", "import sys; from farthing.cli import main; sys.exit(main())"]
    )


def farthing(*arguments: str) -> dict[str, Any]:
    """Run one farthing command with --json and give what it answers."""
    done = subprocess.run(
        [*farthing_command(), *arguments, "--json"], capture_output=True, text=True, check=False, cwd=REPO
    )
    if done.returncode != 0:
        raise BenchError(f"farthing {arguments[0]} failed ({done.returncode}): {done.stderr.strip()[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@contextlib.contextmanager
def new_ledger(ground: Ground) -> Iterator[Ledger]:
    """A fresh database with one workspace for the length of the block."""
    folder = Path(tempfile.mkdtemp(prefix="farthing-", dir=ground.folder))
    try:
        ledger = _database_of(ground.cluster, folder)
        made = farthing("init", "--db", ledger.url)
        ledger.workspace, ledger.key = made["workspace"], made["api_key"]
        yield ledger
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _database_of(cluster: Cluster | None, folder: Path) -> Ledger:
    """A file that `init` will make, or a database without a table, which ends with its cluster."""
    if cluster is None:
        return Ledger(folder, f"sqlite:///{folder / 'farthing.db'}")
    name = f"ledger{next(_numbers)}"
    cluster.sql(f"create database {name}")
    return Ledger(folder, cluster.dsn_of(name), cluster, name)


@contextlib.contextmanager
def serving(
    ledger: Ledger, name: str = "farthing", *, ports: int = 1, environment: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Farthing's server on this database, nobody refused for his rate, logging as by default.

    On SQLite one process; on PostgreSQL `serve --workers 2`, or, with two `ports`, two processes that know nothing of
    each other, among which the generator deals out its connections.
    """
    with contextlib.ExitStack() as stack:
        children, urls = [], []
        for number in range(ports):
            port = free_port()
            command = [*farthing_command(), "serve", "--db", ledger.url, "--host", "127.0.0.1", "--port", str(port)]
            if ledger.cluster is not None and ports == 1:
                command += ["--workers", str(WORKERS)]
            log = ledger.folder / f"serve-{next(_numbers)}-{number}.log"
            child = stack.enter_context(running([*command, "--rate-limit", NO_LIMIT], log, environment))
            children.append(child)
            urls.append(f"http://127.0.0.1:{port}")
            wait_until_up(urls[-1] + "/livez", child, log)
        database = () if ledger.cluster is None else (ledger.cluster.pid,)
        yield Service(name, tuple(urls), ledger.key, tuple(children), database)


def fund(service: Service, accounts: int, prefix: str = PREFIX) -> None:
    """Give each of the bench's accounts one grant, over HTTP."""
    each(service, accounts, ADD_PATH, ADD_BODY, accounts=accounts, prefix=prefix, pick="each")


def in_process(ledger: Ledger, verb: str, **words: Any) -> str:
    """Run `bench.inprocess` on this ledger in a process of its own; its output."""
    with start_in_process(ledger, verb, **words) as child:
        told, _ = child.communicate()
    if child.returncode != 0:
        raise BenchError(f"bench.inprocess {verb} failed ({child.returncode}); its error is above")
    return told


def start_in_process(ledger: Ledger, verb: str, **words: Any) -> subprocess.Popen[str]:
    """Begin to run it."""
    return subprocess.Popen(
        _module(ledger, "bench.inprocess", verb, **words), stdout=subprocess.PIPE, text=True, cwd=REPO
    )


def run_module(ledger: Ledger, module: str, **words: Any) -> str:
    """Run another program of the bench on this ledger; its output."""
    done = subprocess.run(_module(ledger, module, **words), stdout=subprocess.PIPE, text=True, check=False, cwd=REPO)
    if done.returncode != 0:
        raise BenchError(f"{module} failed ({done.returncode}); its error is above")
    return done.stdout


def _module(ledger: Ledger, module: str, *verb: str, **words: Any) -> list[str]:
    command = [sys.executable, "-m", module, *verb]
    for name, value in ({"db": ledger.url, "workspace": ledger.workspace} | words).items():
        command += [f"--{name}", str(value)]
    return command


def fill(ledger: Ledger, accounts: int, entries: int, ids: str, *, usage: bool = False) -> None:
    """Put funded accounts, and charges over them, into a ledger, through the engine as callers would: a server could
    not tell the rows from its own. On PostgreSQL by two processes, each with accounts of its own."""
    parts = 1 if ledger.cluster is None else WORKERS
    words = {"accounts": accounts, "entries": entries, "ids": ids, "parts": parts, "usage": "yes" if usage else "no"}
    children = [start_in_process(ledger, "fill", part=part, **words) for part in range(parts)]
    codes = []
    for child in children:
        with child:
            child.communicate()
        codes.append(child.returncode)
    if any(codes):
        raise BenchError(f"bench.inprocess fill failed ({', '.join(map(str, codes))}); its error is above")
