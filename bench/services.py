"""Owns a service under test, whichever it is: driving it for a turn, what its turn cost, and the baseline's start."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.baseline import setup
from bench.postgres import Cluster
from bench.processes import REPO, BenchError, cpu_seconds, end, free_port, running, wait_until_up
from bench.traffic import ACCOUNT_DIGITS, PREFIX

POOL_IN_ALL = 32  # database connections of the baseline, shared out among its processes
CREDITS = 100_000_000  # what each account is funded with: more than any row here can spend


@dataclass(frozen=True, slots=True)
class Service:
    """A service that answers now: where, with which key, and whose CPU time is its own."""

    name: str
    urls: tuple[str, ...]
    key: str
    processes: tuple[subprocess.Popen[bytes], ...]
    database_pids: tuple[int, ...] = ()

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One call outside of any measurement; gives the answer's data."""
        request = urllib.request.Request(
            self.urls[0] + path,
            data=json.dumps(body).encode(),
            headers={"X-API-Key": self.key, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                data: dict[str, Any] = json.load(answer)["data"]
                return data
        except urllib.error.HTTPError as error:
            raise BenchError(f"{path} answered {error.code}: {error.read(500).decode()}") from error


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one turn of one side gave: the generator's figures, and CPU microseconds per charge by whom."""

    figures: dict[str, Any]
    cpu_us: dict[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Charges per second that were answered with 200."""
        return float(self.figures["rate"])


def load(service: Service, **plan: Any) -> Measurement:
    """Drive a service for one turn in a process of its own and read the figures."""
    pids = [child.pid for child in service.processes]
    before = cpu_seconds(pids), cpu_seconds(service.database_pids)
    figures = run_generator(service, **plan)
    after = cpu_seconds(pids), cpu_seconds(service.database_pids)
    charges = figures["charges_per_request"]
    calls = max(figures["ok_with_warmup"] * charges, 1)
    cpu = {"server": (after[0] - before[0]) * 1e6 / calls}
    if service.database_pids:
        cpu["postgres"] = (after[1] - before[1]) * 1e6 / calls
    cpu["generator"] = figures["generator_cpu_share"] * figures["seconds"] * 1e6 / max(figures["requests"] * charges, 1)
    return Measurement(figures, {who: round(us, 1) for who, us in cpu.items()}, tuple(faults(service, figures)))


def run_generator(service: Service, **plan: Any) -> dict[str, Any]:
    """The load generator as a process of its own; its figures."""
    done = subprocess.run(generator_command(service, **plan), capture_output=True, text=True, check=False, cwd=REPO)
    if done.returncode != 0:
        raise BenchError(f"the load generator failed: {done.stderr.strip()[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def generator_command(service: Service, **plan: Any) -> list[str]:
    """The command line of the load generator for this service."""
    command = [sys.executable, "-m", "bench.load", "--key", service.key]
    for url in service.urls:
        command += ["--url", url]
    for name, value in plan.items():
        option = "--" + name.replace("_", "-")
        command += [option] if value is True else [] if value is False else [option, str(value)]
    return command


def faults(service: Service, figures: dict[str, Any]) -> list[str]:
    """What makes a turn's figures worthless: refused, lost, unanswered or differing calls."""
    counts = {f"answers {status}": count for status, count in figures["status"].items() if status != "200"}
    counts |= {f"warm-up answers {status}": n for status, n in figures["warmup_status"].items() if status != "200"}
    for name in ("unanswered", "connections_lost", "never_connected", "replays_differ"):
        counts[name.replace("_", " ")] = figures[name]
    return [f"{service.name}: {count} {what}" for what, count in counts.items() if count]


def each(service: Service, requests: int, path: str, body: str, **plan: Any) -> None:
    """Make so many calls that must all succeed, outside of any measurement."""
    figures = run_generator(service, requests=requests, path=path, body=body, connections=64, **plan)
    if figures["ok_with_warmup"] != requests:
        raise BenchError(f"{path}: {requests} calls should have succeeded: {faults(service, figures)}")


def stop(service: Service) -> list[str]:
    """End a server with SIGTERM; an exit code other than 0 is a problem."""
    codes = [end(child) for child in service.processes]
    return [f"{service.name} ended with {code} after SIGTERM" for code in codes if code != 0]


# --- the baseline ----------------------------------------------------------------------------------


@contextlib.contextmanager
def baseline_service(database: Cluster, key: str, folder: Path, processes: int) -> Iterator[Service]:
    """The FastAPI service with so many processes.

    Each process has a port of its own and the generator deals its connections out in turn: a shared socket
    would leave it to luck how many connections each process accepts, to the baseline's disadvantage.
    """
    with contextlib.ExitStack() as stack:
        children, urls = [], []
        for number in range(processes):
            port = free_port()
            log = folder / f"baseline-{processes}-{number}.log"
            command = [sys.executable, "-m", "bench.baseline", "--dsn", database.dsn, "--port", str(port)]
            command += ["--pool", str(POOL_IN_ALL // processes)]
            child = stack.enter_context(running(command, log))
            children.append(child)
            urls.append(f"http://127.0.0.1:{port}")
            wait_until_up(urls[-1] + "/livez", child, log)
        yield Service(f"fastapi_{processes}", tuple(urls), key, tuple(children), (database.pid,))


def prepare_baseline(database: Cluster, accounts: int) -> str:
    """Schema and funded accounts, as many and as rich as Farthing's; gives the API key."""
    return setup.prepare(database.dsn, PREFIX, ACCOUNT_DIGITS, accounts, CREDITS)
