"""The command line of the bench: python -m bench [ROW ...]. Progress goes to standard error, results to files."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine, report
from bench.processes import BenchError
from bench.rounds import say
from bench.row import Options, Row
from bench.rows import ROWS


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of one run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Farthing, as ratios in one run.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="which rows; default: all (see --list)")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("--rounds", type=int, help="rounds of each row (default 5)")
    parser.add_argument("--seconds", type=float, help="how long each side is measured per round (default 5)")
    parser.add_argument("--quick", action="store_true", help="one short turn each: sees that everything runs")
    parser.add_argument("--full", action="store_true", help="growth with 5 million entries, 1 million accounts")
    parser.add_argument("--folder", type=Path, help="where the databases are made; must be a real disk")
    parser.add_argument("--json", metavar="FILE", help="all figures; - is standard output")
    parser.add_argument("--markdown", metavar="FILE", help="the table for docs/benchmarks.md")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.rows if name not in ROWS]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1.5 if options.quick else 5.0)
    return options


def run_row(name: str, options: Options) -> Row:
    """One row; one that cannot be measured is reported as invalid and does not stop the others."""
    say(f"{name}: {ROWS[name][0]}")
    try:
        return ROWS[name][1](options).blame()
    except BenchError as error:
        say(f"{name}: not measured: {error}")
        return Row(name, problems=[f"not measured: {str(error).splitlines()[0].rstrip(':')}"])


def run(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any], list[Row]]:
    """All rows in a folder that is gone afterwards; the machine, what was asked for, and what came of it."""
    # A run that is stopped half-way unwinds, and so ends its servers and removes its databases.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user and has to get through
        facts = machine.describe(folder)
        if facts["filesystem"] == "tmpfs":
            say("the databases lie in memory (tmpfs), where a flush means nothing: choose a disk with --folder")
        taken, all_ticks = machine.stolen_ticks()
        plan = Options(folder, options.rounds, options.seconds, options.quick, options.full)
        rows = [run_row(row, plan) for row in options.rows or ROWS]
        taken_since, all_since = machine.stolen_ticks()
    facts["stolen_share"] = round((taken_since - taken) / max(all_since - all_ticks, 1), 3)
    for row in rows:
        facts["postgresql"] = row.facts.get("postgresql", facts.get("postgresql", "-"))
    asked = {
        "rounds": options.rounds,
        "seconds": options.seconds,
        "quick": options.quick,
        "full": options.full,
    }
    return facts, asked, rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, sum up; 1 when a row is invalid."""
    options = parse(arguments)
    if options.list:
        print("\n".join(f"{name:12} {title}" for name, (title, _) in ROWS.items()))
        return 0
    results = run(options)
    document, page = report.document(*results), report.markdown(*results)
    if options.json == "-":
        print(json.dumps(document, indent=2))
    elif options.json:
        Path(options.json).write_text(json.dumps(document, indent=2) + "\n")
    if options.markdown:
        Path(options.markdown).write_text(page)
    for row in results[2]:
        for figure in row.figures:
            say(f"{figure.name:20} {figure.value.median:10.3g} {figure.verdict}")
    for name in document["invalid"]:
        say(f"{name}: invalid")
    return 1 if document["invalid"] else 0


if __name__ == "__main__":
    sys.exit(main())
