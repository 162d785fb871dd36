"""Owns the row about the disk: what a commit that takes a millisecond longer does to each contender."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from statistics import median

from bench import pgbench
from bench.baseline import setup
from bench.ledgers import WORKERS, Ground, fund
from bench.postgres import cluster
from bench.rounds import interleave, ratios
from bench.row import Options, Row, examined, turn
from bench.services import Measurement, baseline_service, prepare_baseline
from bench.slow_flush import EXTRA_US, SlowFlush
from bench.targets import Figure

SLOWED = f", +{EXTRA_US / 1000:g} ms"
CONTENDERS = {
    "farthing": "slow_commit",
    "farthing on SQLite": "slow_commit_sqlite",
    "fastapi_2": "slow_commit_fastapi",
    "pgbench": "slow_commit_pgbench",
}


def slow_commit(options: Options) -> Row:
    """Each contender as it is and with a slower disk, the same server in turns; at 64 connections, pgbench with 16."""
    row = Row("slow_commit")
    with contextlib.ExitStack() as stack:
        of_file, of_cluster = SlowFlush.make(options.folder), SlowFlush.make(options.folder)
        database = stack.enter_context(cluster(options.folder, of_cluster.environment))
        row.facts["postgresql"] = database.version
        where = Ground(options.folder, database)
        key = prepare_baseline(database, options.accounts)
        pgbench.prepare(database, options.accounts)
        _, farthing = stack.enter_context(examined(row, where))
        on_sqlite = examined(row, Ground(options.folder), "farthing on SQLite", environment=of_file.environment)
        _, small = stack.enter_context(on_sqlite)
        for service in (farthing, small):
            fund(service, options.accounts)
        fastapi = stack.enter_context(baseline_service(database, key, options.folder, WORKERS))
        where.settle()
        sides = {
            **_both("farthing", turn(farthing, options), of_cluster),
            **_both("farthing on SQLite", turn(small, options), of_file),
            **_both("fastapi_2", turn(fastapi, options), of_cluster),
            **_both("pgbench", lambda: pgbench.load(database, options.seconds, options.accounts), of_cluster),
        }
        row.sides = interleave(row.name, sides, options.rounds)
        row.problems += setup.problems(database.dsn) + pgbench.problems(database)
    for side, figure in CONTENDERS.items():
        slowed = row.sides[side + SLOWED]
        row.figures.append(Figure(figure, ratios(slowed, row.sides[side]), note=told(slowed)))
    return row


def told(slowed: list[Measurement]) -> str:
    """What the emulation did: the sleep itself, and until the process had a core again."""
    each_ms = median(turn.figures["delay_us"] for turn in slowed) / 1000
    return f"each flush of the database's files made to take longer, by {each_ms:.2f} ms as measured"


def _both(side: str, measure: Callable[[], Measurement], disk: SlowFlush) -> dict[str, Callable[[], Measurement]]:
    """A side as it is, and on the slower disk."""
    return {side: measure, side + SLOWED: disk.slowed(measure)}
