"""Owns what is measured of reports: folding a ledger, and the report by model beside a scan that says the same.

Runs as its own process: python -m bench.reporting --db URL --workspace ID --rounds N. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import uvloop

from farthing.app import Ledger, open_ledger
from farthing.core.commands import DAY_US
from farthing.jobs.folding import fold_all
from farthing.stores.rollups import Rollups
from farthing.stores.usage_reports import UsageReports
from farthing.timezones import calendar

REPORTS = 50
"""How often the report is made in a round; a scan is made once."""
SCAN = (
    "select provider, model, count(*), sum(input_tokens), sum(output_tokens), sum(amount) from usage "
    "where workspace = ? and at >= ? and at < ? group by provider, model order by provider, model"
)


async def timed(work: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    """Milliseconds, and the result."""
    began = time.perf_counter()
    result = await work()
    return (time.perf_counter() - began) * 1000, result


async def measure(ledger: Ledger, workspace: str, rounds: int) -> dict[str, Any]:
    """Fold what is there, then report and scan in turns over all whole days until now."""
    fold_ms, folded = await timed(lambda: fold_all(Rollups(ledger.database), ledger.clock.now_us()))
    if ledger.database.dialect == "postgres":
        await ledger.database.rows("vacuum (analyze) rollup")
    reports = UsageReports(ledger.database, calendar, ledger.clock.now_us)
    end = ledger.clock.now_us() // DAY_US * DAY_US + DAY_US
    start = end - 40 * DAY_US

    async def scan() -> Any:
        return await ledger.database.rows(SCAN, (workspace, start, end))

    turns, agree = [], True
    for _ in range(rounds):
        made = [await timed(lambda: reports.models(workspace, start, end)) for _ in range(REPORTS)]
        scan_ms, rows = await timed(scan)
        turns.append({"report_ms": median(ms for ms, _ in made), "scan_ms": scan_ms})
        told = sorted(
            (part.provider, part.model, s.requests, s.input_tokens, s.output_tokens, s.charged)
            for part in made[-1][1]
            for s in [part.sums]
        )
        agree = agree and told == [(*row[:2], *map(int, row[2:])) for row in rows]
    return {"folded": folded, "fold_seconds": fold_ms / 1000, "turns": turns, "agree": agree}


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """On a ledger that is opened for it."""
    ledger = open_ledger(options.db, inline_on=asyncio.get_running_loop())
    try:
        return await measure(ledger, options.workspace, options.rounds)
    finally:
        await ledger.aclose()


def main() -> None:
    """Measure, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.reporting", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--db", required=True)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--rounds", type=int, required=True)
    print(json.dumps(uvloop.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
