"""Owns the rows about webhooks: how many events a second one worker delivers to a receiver on this machine, alone and
beside one that never answers.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Callable, Iterator

from bench.ledgers import Ground, Ledger, farthing_command, new_ledger, run_module
from bench.processes import cpu_seconds, end, free_port, peak_bytes, running
from bench.rounds import interleave, ratios, spread
from bench.row import Dialect, Options, Row, ground
from bench.services import Measurement
from bench.targets import Figure

ALLOWED = {"FARTHING_WEBHOOK_PRIVATE": "allow"}
MEBI = 1 << 20


def webhooks(name: str, dialect: Dialect, options: Options) -> Row:
    """One worker, events that wait for it, and a receiver that takes them; beside it one that hangs, or none."""
    row = Row(name)
    with ground(row, options, dialect) as where, receiver(where) as good, hanging() as bad:

        def side(*urls: str) -> Callable[[], Measurement]:
            return lambda: deliver(where, options.events, *urls)

        sides = {"alone": side(good), "beside one that hangs": side(good, bad)}
        row.sides = interleave(name, sides, options.rounds)
    alone, beside = row.sides.values()
    peak = max(turn.figures["peak_mb"] for turn in alone + beside)
    note = f"{options.events:,} events, {peak:.0f} MB"
    row.figures = [
        Figure(name, spread([turn.rate for turn in alone]), note=note),
        Figure(f"{name}_hanging", ratios(beside, alone), note=note),
    ]
    return row


def deliver(where: Ground, events: int, *urls: str) -> Measurement:
    """Have a fresh ledger's events sent, by one worker; the rate is that of the first endpoint."""
    with new_ledger(where) as ledger:
        endpoint = run_module(ledger, "bench.posting", events=events, urls=",".join(urls)).strip()
        where.settle()
        return _measured(ledger, endpoint, events)


def _measured(ledger: Ledger, endpoint: str, events: int) -> Measurement:
    command = [*farthing_command(), "worker", "--db", ledger.url, "--log-level", "error"]
    with running(command, ledger.folder / "worker.log", ALLOWED) as worker:
        seconds = float(run_module(ledger, "bench.posting", events=events, urls=endpoint, wait=1))
        peak, cpu = peak_bytes(worker.pid) / MEBI, cpu_seconds([worker.pid])
        code = end(worker, patience=60.0)
    nothing = dict.fromkeys(("mean_ms", "p50_ms", "p99_ms", "max_ms"))
    figures = nothing | {"rate": events / seconds, "peak_mb": peak, "seconds": seconds}
    problems = () if code == 0 else (f"the worker ended with {code}",)
    return Measurement(figures, {"server": round(cpu * 1e6 / events, 1)}, problems)


@contextlib.contextmanager
def receiver(where: Ground) -> Iterator[str]:
    """One that takes all, in a process of its own; its address."""
    port = free_port()
    command = [sys.executable, "-m", "bench.responder", "--port", str(port), "--bare"]
    with running(command, where.folder / "receiver.log"):
        _wait_for(port)
        yield f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def hanging() -> Iterator[str]:
    """One that is there, and never says a word; its address."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/"


def _wait_for(port: int) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
