"""Owns how results are shown: the JSON document and the markdown table for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.row import Row
from bench.targets import Figure, Target

INTRO = """\
# Benchmarks

Made by `./dev bench --markdown docs/benchmarks.md`; do not edit by hand. Ratios within one run on one machine are
what counts: the sides of a row take turns (A B A B ...), each ratio is one turn against its neighbour of the same
round, and the table gives the median of the rounds with the smallest and largest in brackets. Absolute rates are
below; they are this machine's, with the load generator on the same cores. Every Farthing database is examined by
`farthing doctor` afterwards, the baseline's ledger and the floor's by checks of their own, and a row with any finding,
any answer other than 200 or any lost call is *invalid*.
"""
RUN = """\
## How to run

`./dev bench` measures all rows (about an hour), `./dev bench pg64 pgfloor bulk` some, `./dev bench --list` names them;
`--quick` sees within minutes that everything runs, `--full` grows ledgers to 5 million entries, `--rounds` and
`--seconds` say how long, `--folder` where the databases are made: on a real disk. PostgreSQL is Debian's, in a cluster
of its own that is gone afterwards; the row `slow_commit` needs a C compiler. Nothing else should run on the machine.
"""
QUICK = "**A quick run**: one short turn for each side. It shows that everything runs, and nothing about speed.\n"
SIDES = """\
## The sides

Farthing on PostgreSQL is `farthing serve --workers 2` in the same cluster as what it is held against, with a database
of its own; *a port each* are two `farthing serve` beside it, on the same database, as the baseline has them. On SQLite
it is one process. The rate limiter counts, but refuses nobody; logging is as it comes. Before the first turn what was
loaded is analyzed and written to disk; between turns on PostgreSQL nobody asks for a checkpoint and none is due. CPU is
that of the server's processes, of all processes of the cluster, and of what makes the load.

The baseline is `bench/baseline/`: FastAPI, pydantic and asyncpg under uvicorn (uvloop, httptools), one transaction for
each request (lock the account, look the key up, read the grants, write everything in one statement, commit), with
the same promises as a charge on Farthing but for the hash chain and holds. PostgreSQL flushes every commit. With two
processes each has a port of its own and half of the connections, so that none is idle by chance.

The floor is `bench/pgbench.py`: one prepared statement takes a credit from an account that has it and inserts the entry
with its time-ordered key, which is unique, and 150 bytes of metadata; 16 clients of pgbench over a Unix socket, no
HTTP, no JSON, no answer to a repeated key, no grants, no hash.

A slower disk is emulated below every contender alike: a library of a few lines (`bench/slow_flush.c`), preloaded into
PostgreSQL and into the server on SQLite, sleeps 1 ms after each fdatasync and fsync, and is switched on and off between
turns of the same servers. The flushes that were delayed, and by how much, are in the JSON; a turn in which they were
not is invalid.
"""


def document(machine: dict[str, Any], options: dict[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """Everything, for the JSON file."""
    figures = [figure for row in rows for figure in row.figures]
    return {
        "machine": machine,
        "options": options,
        "falls_short": [figure.name for figure in figures if figure.verdict == "falls short"],
        "invalid": [row.name for row in rows if row.problems],
        "rows": [row.as_json() for row in rows],
    }


def markdown(machine: dict[str, Any], options: dict[str, Any], rows: Sequence[Row]) -> str:
    """The page for docs/benchmarks.md."""
    parts = [
        [INTRO],
        [QUICK] if options["quick"] else [],
        [*_table(rows), ""],
        _shortfalls(rows),
        [RUN],
        ["## The machine", "", *_machine(machine, options), ""],
        ["## Rates", "", *_rates(rows), "", SIDES],
    ]
    return "\n".join(line for part in parts for line in part)


def _table(rows: Sequence[Row]) -> list[str]:
    lines = ["| what | against | measured | at least | aim | |", "| --- | --- | --- | --- | --- | --- |"]
    for figure in (figure for row in rows for figure in row.figures):
        target = figure.target
        what = target.what + (f" ({figure.note})" if figure.note else "")
        lines.append(
            f"| {what} | {target.against} | {_measured(figure)} | {_wanted(target, target.least)} "
            f"| {_wanted(target, target.aim)} | {figure.verdict} |"
        )
    return lines


def _shortfalls(rows: Sequence[Row]) -> list[str]:
    short = [figure for row in rows for figure in row.figures if figure.verdict == "falls short"]
    lines = ["## What falls short", ""]
    for figure in short:
        target = figure.target
        lines.append(
            f"- **{target.what}** against {target.against}: {_measured(figure)}, "
            f"wanted {_wanted(target, target.least)}."
        )
    lines += [f"- **{row.name}** is invalid: " + "; ".join(row.problems) + "." for row in rows if row.problems]
    return [*lines, *([] if len(lines) > 2 else ["Nothing in this run."]), ""]


def _machine(machine: dict[str, Any], options: dict[str, Any]) -> list[str]:
    flush, wake = machine["flush_ms"], machine["wake_up_us"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    stolen = machine.get("stolen_share")
    return [
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, Linux {machine['kernel']}, "
        f"{machine['filesystem']}",
        f"- a disk flush (fdatasync after 4 KiB): {flush['median']} ms, p99 {flush['p99']} ms",
        f"- a byte to another process and back: {wake['same core']} us on one core, {wake['other core']} us "
        "across cores; the second is what a design pays that wakes a database session for every statement",
        *([f"- taken by the host during the run: {stolen:.0%} of the CPU time"] if stolen is not None else []),
        f"- Python {machine['python']}, SQLite {machine['sqlite']}, PostgreSQL {machine['postgresql']}, {libraries}",
        f"- {options['rounds']} rounds of {options['seconds']:g} s for each side",
    ]


def _rates(rows: Sequence[Row]) -> list[str]:
    lines = [
        "| row | side | charges/s | p50 ms | p99 ms | CPU us a charge: server, PostgreSQL, generator |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        for name, side in row.as_json()["sides"].items():
            rate, cpu = side["rate"], side["cpu_us_per_call"]
            spent = ", ".join(f"{cpu[who]:.0f}" if who in cpu else "-" for who in ("server", "postgres", "generator"))
            latency = [f"{side[p]['median']:.2f}" if p in side else "-" for p in ("p50_ms", "p99_ms")]
            lines.append(
                f"| {row.name} | {name} | {rate['median']:,.0f} ({rate['min']:,.0f} to {rate['max']:,.0f}) "
                f"| {latency[0]} | {latency[1]} | {spent if cpu else '-'} |"
            )
    return lines


def _measured(figure: Figure) -> str:
    value, unit = figure.value, figure.target.unit
    text = f"{_number(value.median)}{_suffix(unit)}"
    if value.low == value.high:
        return text
    return f"{text} ({_number(value.low)} to {_number(value.high)})"


def _wanted(target: Target, number: float | None) -> str:
    if number is None:
        return ""
    return f"{'' if target.more_is_better else '<= '}{_number(number)}{_suffix(target.unit)}"


def _suffix(unit: str) -> str:
    return unit if unit in ("", "x") else f" {unit}"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
