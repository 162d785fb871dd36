"""Owns the rows about reports, on either database: sums against scanning, and what it costs to keep them ready."""

from __future__ import annotations

import contextlib
import json

from bench.ledgers import fill, fund, new_ledger, run_module
from bench.rounds import interleave, ratios, say, spread
from bench.row import Dialect, Options, Row, diagnose, examined, ground, turn
from bench.targets import Figure

NEVER = {"FARTHING_FOLD_SECONDS": "0"}


def report(name: str, dialect: Dialect, options: Options) -> Row:
    """The report by model over all usage records, against a statement that scans them; both must say the same."""
    row = Row(name)
    records, accounts = options.usage
    with ground(row, options, dialect) as where, new_ledger(where) as ledger:
        say(f"{name}: filling: {accounts:,} accounts, {records:,} charges with usage")
        fill(ledger, accounts, records, "ordered", usage=True)
        where.settle()
        told = run_module(ledger, "bench.reporting", rounds=options.rounds)
        found = json.loads(told)
        row.facts |= {key: found[key] for key in ("folded", "fold_seconds", "turns")}
        if not found["agree"]:
            row.problems.append("the report and the scan differ")
        diagnose(row, ledger, name)
    values = spread([each["scan_ms"] / each["report_ms"] for each in found["turns"]])
    row.figures = [Figure(name if options.full else f"{name}_small", values, note=f"{records:,} records")]
    return row


def folding(name: str, dialect: Dialect, options: Options) -> Row:
    """A server that folds what it books, against one that leaves it."""
    row = Row(name)
    with ground(row, options, dialect) as where, contextlib.ExitStack() as stack:
        _, ready = stack.enter_context(examined(row, where, "folding"))
        _, without = stack.enter_context(examined(row, where, "not folding", environment=NEVER))
        for service in (ready, without):
            fund(service, options.accounts)
        where.settle()
        sides = {"not folding": turn(without, options), "folding": turn(ready, options)}
        row.sides = interleave(name, sides, options.rounds)
    row.figures = [Figure(name, ratios(row.sides["folding"], row.sides["not folding"]))]
    return row
