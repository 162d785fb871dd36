"""Owns the rows of the table: what each measures, on which sides, and which figures come of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.baseline import setup
from bench.postgres import cluster
from bench.processes import REPO, BenchError, end, resident_bytes
from bench.rounds import Spread, interleave, ratios, say, side_summary, spread
from bench.services import (
    ADD_BODY,
    ADD_PATH,
    BALANCE_PATH,
    RESERVE_BODY,
    RESERVE_PATH,
    Ledger,
    Measurement,
    Service,
    baseline_service,
    each,
    faults,
    fund,
    generator_command,
    load,
    new_ledger,
    prepare_baseline,
    run_generator,
    serving,
    stop,
)
from bench.targets import Figure

ACCOUNTS = 10_000
MEBI = 1 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """How long and how large: what the command line settled."""

    folder: Path
    rounds: int = 5
    seconds: float = 5.0
    quick: bool = False
    full: bool = False

    @property
    def accounts(self) -> int:
        """How many accounts the charges go to, unless the row is about that."""
        return ACCOUNTS // 10 if self.quick else ACCOUNTS

    @property
    def growth(self) -> tuple[int, int]:
        """Entries and accounts of the grown ledger."""
        if self.full:
            return 5_000_000, 1_000_000
        return (10_000, 2_000) if self.quick else (500_000, 100_000)

    @property
    def memory_charges(self) -> int:
        """How many charges the memory row makes."""
        return 20_000 if self.quick else 1_000_000


@dataclass(slots=True)
class Row:
    """What came of a row."""

    name: str
    sides: dict[str, list[Measurement]] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def blame(self) -> Row:
        """Every problem of the row, on every one of its figures: none of them counts then."""
        found = [problem for turns in self.sides.values() for turn in turns for problem in turn.problems]
        self.problems = list(dict.fromkeys(self.problems + found))
        for figure in self.figures:
            figure.problems.extend(self.problems)
        return self

    def as_json(self) -> dict[str, Any]:
        """The row for the JSON file."""
        return {
            "row": self.name,
            "figures": [
                {
                    "name": figure.name,
                    "what": figure.target.what,
                    "against": figure.target.against,
                    "value": figure.value.median,
                    "min": figure.value.low,
                    "max": figure.value.high,
                    "unit": figure.target.unit,
                    "at_least": figure.target.least,
                    "aim": figure.target.aim,
                    "verdict": figure.verdict,
                    "note": figure.note,
                }
                for figure in self.figures
            ],
            "problems": self.problems,
            "facts": self.facts,
            "sides": {name: side_summary(turns) for name, turns in self.sides.items() if turns},
        }


@contextlib.contextmanager
def examined(row: Row, options: Options, name: str = "farthing") -> Iterator[tuple[Ledger, Service]]:
    """A fresh ledger being served; ends with the server's exit code and doctor, both noted in the row."""
    with new_ledger(options.folder) as ledger:
        with serving(ledger, name) as service:
            yield ledger, service
            row.problems += stop(service)
        say(f"{row.name}: doctor looks at {name}")
        row.problems += ledger.doctor()


def turn(service: Service, options: Options, **plan: Any) -> Callable[[], Measurement]:
    """A side's measurement, to be made once per round."""
    defaults: dict[str, Any] = {
        "seconds": options.seconds,
        "warmup": min(1.0, options.seconds / 3),
        "connections": 64,
        "accounts": options.accounts,
    }
    return lambda: load(service, **(defaults | plan))


# --- against the conventional service --------------------------------------------------------------


def http(name: str, connections: int, options: Options) -> Row:
    """Charges over HTTP: Farthing on SQLite against the baseline with one and with two processes."""
    row = Row(name)
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(cluster(options.folder))
        row.facts["postgresql"] = database.version
        key = prepare_baseline(database, options.accounts)
        _, farthing = stack.enter_context(examined(row, options))
        fund(farthing, options.accounts)
        one = stack.enter_context(baseline_service(database, key, options.folder, 1))
        two = stack.enter_context(baseline_service(database, key, options.folder, 2))

        def rested(service: Service) -> Callable[[], Measurement]:
            measure = turn(service, options, connections=connections)

            def run() -> Measurement:
                measured = measure()
                database.sql("checkpoint")  # so that PostgreSQL's writing does not fall into another's turn
                return measured

            return run

        sides = {
            "farthing": turn(farthing, options, connections=connections),
            "fastapi_1": rested(one),
            "fastapi_2": rested(two),
        }
        row.sides = interleave(name, sides, options.rounds)
        row.problems += setup.problems(database.dsn)
    row.figures = [
        Figure(name, ratios(row.sides["farthing"], row.sides["fastapi_2"])),
        Figure(f"{name}_one", ratios(row.sides["farthing"], row.sides["fastapi_1"])),
    ]
    if name == "http64":
        row.figures.append(tail_figure(row.sides["farthing"]))
    return row


def tail_figure(turns: list[Measurement]) -> Figure:
    """p99 over p50, turn by turn."""
    known = [t.figures for t in turns if t.figures["p50_ms"]]
    values = [figures["p99_ms"] / figures["p50_ms"] for figures in known] or [float("inf")]
    return Figure("http64_p99", spread(values), note="the target is PostgreSQL's; there is none for SQLite")


# --- Farthing against itself -----------------------------------------------------------------------


def hot(options: Options) -> Row:
    """One account that everybody charges, against accounts drawn at random."""
    row = Row("hot")
    with examined(row, options) as (_, service):
        fund(service, options.accounts)
        sides = {"uniform": turn(service, options), "hot": turn(service, options, pick="hot")}
        row.sides = interleave("hot", sides, options.rounds)
    row.figures = [Figure("hot", ratios(row.sides["hot"], row.sides["uniform"]))]
    return row


def replays(options: Options) -> Row:
    """One request in ten repeats an earlier one and must get the first answer, byte for byte."""
    row = Row("replays")
    with examined(row, options) as (_, service):
        fund(service, options.accounts)
        sides = {"none": turn(service, options), "tenth": turn(service, options, replays=0.1)}
        row.sides = interleave("replays", sides, options.rounds)
    row.figures = [Figure("replays", ratios(row.sides["tenth"], row.sides["none"]))]
    row.facts["repeated"] = sum(t.figures["replays"] for t in row.sides["tenth"])
    return row


def holdsrow(options: Options) -> Row:
    """An account with 100 grants and 1,000 live holds, against one with one grant; each alone gets all charges."""
    row = Row("holdsrow")
    with examined(row, options) as (_, service):
        fund(service, 1, prefix="plain-")
        each(service, 100, ADD_PATH, ADD_BODY, accounts=1, prefix="laden-", pick="hot")
        each(service, 1000, RESERVE_PATH, RESERVE_BODY, accounts=1, prefix="laden-", pick="hot")
        sides = {
            "one grant": turn(service, options, pick="hot", prefix="plain-", accounts=1),
            "100 grants, 1,000 holds": turn(service, options, pick="hot", prefix="laden-", accounts=1),
        }
        row.sides = interleave("holdsrow", sides, options.rounds)
        reserved = service.post(BALANCE_PATH, {"account_id": "laden-0000000"})["reservedBalance"]
        if reserved != 1000:
            row.problems.append(f"1,000 credits should still be held at the end, but {reserved} are")
    plain, laden = row.sides.values()
    row.figures = [Figure("holdsrow", ratios(laden, plain))]
    return row


def growth(options: Options) -> Row:
    """A ledger that has grown, against one that has just begun; charges go to all of its accounts."""
    row = Row("growth")
    entries, accounts = options.growth
    row.facts = {"entries": entries, "accounts": accounts}
    with contextlib.ExitStack() as stack:
        sides: dict[str, Callable[[], Measurement]] = {}
        for ids in ("ordered", "random"):
            for name, many, count in (("empty", 0, options.accounts), ("grown", entries, accounts)):
                side = f"{name}, {ids} keys"
                say(f"growth: filling {side}: {count:,} accounts, {many:,} charges")
                _, service = stack.enter_context(filled(row, options, side, count, many, ids))
                sides[side] = turn(service, options, accounts=count, ids=ids)
        row.sides = interleave("growth", sides, options.rounds)
    size = f"{entries:,} entries, {accounts:,} accounts"
    for figure, ids in (("growth", "ordered"), ("growth_random", "random")):
        grown, empty = row.sides[f"grown, {ids} keys"], row.sides[f"empty, {ids} keys"]
        row.figures.append(Figure(figure, ratios(grown, empty), note=size))
    return row


@contextlib.contextmanager
def filled(
    row: Row, options: Options, name: str, accounts: int, entries: int, ids: str
) -> Iterator[tuple[Ledger, Service]]:
    """A ledger filled in process before it is served."""
    with new_ledger(options.folder) as ledger:
        in_process(ledger, "fill", accounts=accounts, entries=entries, ids=ids)
        with serving(ledger, name) as service:
            yield ledger, service
            row.problems += stop(service)
        row.facts[f"bytes an entry, {name}"] = ledger.size() // max(entries, 1) if entries else None
        say(f"{row.name}: doctor looks at {name}")
        row.problems += ledger.doctor()


def in_process(ledger: Ledger, verb: str, **words: Any) -> str:
    """Run `bench.inprocess` on this ledger in a process of its own; its output."""
    command = [sys.executable, "-m", "bench.inprocess", verb]
    for name, value in ({"db": ledger.url, "workspace": ledger.workspace} | words).items():
        command += [f"--{name}", str(value)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=REPO)
    if done.returncode != 0:
        raise BenchError(f"bench.inprocess {verb} failed ({done.returncode}); its error is above")
    return done.stdout


def inprocess(options: Options) -> Row:
    """Charges through the engine in the caller's own process: one caller, 16, 64, 256."""
    row = Row("inprocess")
    with new_ledger(options.folder) as ledger:
        in_process(ledger, "fill", accounts=options.accounts, entries=0)

        def side(callers: int) -> Callable[[], Measurement]:
            def run() -> Measurement:
                words = {"accounts": options.accounts, "callers": callers, "seconds": options.seconds}
                figures = json.loads(in_process(ledger, "charge", **words))
                bad = {name: count for name, count in figures["status"].items() if name != "200"}
                return Measurement(figures, {}, tuple(f"{count} {name}" for name, count in bad.items()))

            return run

        row.sides = interleave("inprocess", {f"{n} callers": side(n) for n in (1, 16, 64, 256)}, options.rounds)
        say("inprocess: doctor looks at the ledger")
        row.problems += ledger.doctor()
    row.figures = [Figure("inprocess", ratios(row.sides["64 callers"], row.sides["1 callers"]))]
    return row


# --- a server process over time --------------------------------------------------------------------


def memory(options: Options) -> Row:
    """Resident memory of a server process, sampled twenty times along many charges."""
    row = Row("memory")
    steps = 20
    samples: list[dict[str, float]] = []
    with examined(row, options) as (_, service):
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
        with new_ledger(options.folder) as ledger:
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


ROWS: dict[str, tuple[str, Callable[[Options], Row]]] = {
    "http16": ("charges over HTTP at 16 connections against FastAPI", lambda o: http("http16", 16, o)),
    "http64": ("charges over HTTP at 64 connections against FastAPI", lambda o: http("http64", 64, o)),
    "http256": ("charges over HTTP at 256 connections against FastAPI", lambda o: http("http256", 256, o)),
    "inprocess": ("charges through the engine, without HTTP", inprocess),
    "hot": ("one hot account against uniform ones", hot),
    "replays": ("10% replays against none", replays),
    "holdsrow": ("an account with 100 grants and 1,000 holds against one with one grant", holdsrow),
    "growth": ("a grown ledger against an empty one (--full: 5 million entries)", growth),
    "memory": ("memory of a server process along a million charges", memory),
    "clean_exit": ("SIGTERM under load: nothing acknowledged is lost", clean_exit),
}
