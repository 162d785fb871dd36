"""Owns the rows about one process on SQLite: charges without HTTP, memory over a million charges, a clean end."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable

from bench.ledgers import BALANCE_PATH, Ground, Ledger, fill, fund, in_process, new_ledger, serving
from bench.processes import REPO, BenchError, end, resident_bytes
from bench.rounds import Spread, interleave, ratios, say, spread
from bench.row import Options, Row, diagnose, examined
from bench.services import Measurement, faults, generator_command, run_generator
from bench.targets import Figure

MEBI = 1 << 20


def inprocess(options: Options) -> Row:
    """Charges through the engine in the caller's own process: one caller, 16, 64, 256."""
    row = Row("inprocess")
    with new_ledger(Ground(options.folder)) as ledger:
        fill(ledger, options.accounts, 0, "ordered")

        def side(callers: int) -> Callable[[], Measurement]:
            def run() -> Measurement:
                words = {"accounts": options.accounts, "callers": callers, "seconds": options.seconds}
                figures = json.loads(in_process(ledger, "charge", **words))
                bad = {name: count for name, count in figures["status"].items() if name != "200"}
                return Measurement(figures, {}, tuple(f"{count} {name}" for name, count in bad.items()))

            return run

        row.sides = interleave("inprocess", {f"{n} callers": side(n) for n in (1, 16, 64, 256)}, options.rounds)
        diagnose(row, ledger, "the ledger")
    row.figures = [Figure("inprocess", ratios(row.sides["64 callers"], row.sides["1 callers"]))]
    return row


def memory(options: Options) -> Row:
    """Resident memory of a server process, sampled twenty times along many charges."""
    row = Row("memory")
    steps = 20
    samples: list[dict[str, float]] = []
    with examined(row, Ground(options.folder)) as (_, service):
        fund(service, options.accounts)
        pid = service.processes[0].pid
        for step in range(1, steps + 1):
            figures = run_generator(
                service, requests=options.memory_charges // steps, accounts=options.accounts, seed=step
            )
            row.problems += faults(service, figures)
            resident = round(resident_bytes(pid) / MEBI, 1)
            samples.append({"charges": step * options.memory_charges // steps, "mb": resident})
            say(f"memory: {samples[-1]['charges']:,} charges: {resident} MB at {figures['rate']:,.0f}/s")
    highest = max(sample["mb"] for sample in samples)
    note = f"{options.memory_charges:,} charges"
    row.figures = [Figure("memory", Spread(highest, min(s["mb"] for s in samples), highest), note=note)]
    if not options.quick:  # a short run only sees the caches fill
        growth_ratio = samples[-1]["mb"] / samples[steps // 4 - 1]["mb"]
        row.figures.append(Figure("memory_flat", Spread(growth_ratio, growth_ratio, growth_ratio), note=note))
    row.facts["samples"] = samples
    return row


def clean_exit(options: Options) -> Row:
    """SIGTERM under load: exit code 0, soon, and every acknowledged charge is there after a new start."""
    row = Row("clean_exit")
    missing, seconds = [], []
    for number in range(1, options.rounds + 1):
        with new_ledger(Ground(options.folder)) as ledger:
            lost, took = end_under_load(row, ledger)
            row.problems += ledger.doctor()
        missing.append(float(lost))
        seconds.append(took)
        say(f"clean_exit: round {number} of {options.rounds}: {took:.2f} s, {lost} acknowledged charges missing")
    row.figures = [
        Figure("clean_exit", Spread(max(missing), min(missing), max(missing))),
        Figure("clean_exit_seconds", spread(seconds)),
    ]
    return row


def end_under_load(row: Row, ledger: Ledger, accounts: int = 16) -> tuple[int, float]:
    """End a busy server; how many acknowledged charges are missing afterwards, and how long the end took."""
    with serving(ledger) as service:
        fund(service, accounts)
        words = {"accounts": accounts, "seconds": 30, "warmup": 0, "attempts": 1, "stop_when_lost": True}
        command = generator_command(service, **words)
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPO) as generator:
            time.sleep(2.0)
            if generator.poll() is not None:
                raise BenchError("the load ended before the server was asked to")
            began = time.perf_counter()
            code = end(service.processes[0], patience=60)
            took = time.perf_counter() - began
            figures = json.loads(generator.communicate()[0])
    if code != 0:
        row.problems.append(f"the server ended with {code} after SIGTERM")
    with serving(ledger) as service:
        names = [f"bench-{number:07d}" for number in range(accounts)]
        spent = sum(service.post(BALANCE_PATH, {"account_id": name})["totalSpent"] for name in names)
    refused = sum(count for status, count in figures["status"].items() if status != "200")
    extra = spent - figures["ok_with_warmup"]
    if extra > figures["unanswered"] + refused:
        row.problems.append(
            f"{extra} charges more than were acknowledged, though {figures['unanswered']} had no answer"
        )
    row.facts.setdefault("ends", []).append(
        {"acknowledged": figures["ok_with_warmup"], "booked": spent, "unanswered": figures["unanswered"],
         "answers": figures["status"]}
    )  # fmt: skip
    return max(0, -extra), took
