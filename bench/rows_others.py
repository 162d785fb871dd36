"""Owns the rows that hold Farthing against others: the conventional FastAPI service, and the floor."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from bench import pgbench
from bench.baseline import setup
from bench.ledgers import WORKERS, fund
from bench.postgres import Cluster, cluster
from bench.rounds import interleave, ratios, spread
from bench.row import Options, Row, examined, ground, served, turn
from bench.services import Measurement, Service, baseline_service, prepare_baseline
from bench.targets import Figure
from bench.traffic import BULK_PATH

BULK_ITEMS = 100
BULK_CONNECTIONS = 16


def sqlite_against_baseline(name: str, connections: int, options: Options) -> Row:
    """Charges over HTTP: Farthing on SQLite against the baseline with one and with two processes."""
    row = Row(name)
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(cluster(options.folder))
        row.facts["postgresql"] = database.version
        key = prepare_baseline(database, options.accounts)
        where = stack.enter_context(ground(row, options, "sqlite"))
        _, farthing = stack.enter_context(examined(row, where))
        fund(farthing, options.accounts)
        one = stack.enter_context(baseline_service(database, key, options.folder, 1))
        two = stack.enter_context(baseline_service(database, key, options.folder, 2))
        sides = {
            "farthing": turn(farthing, options, connections=connections),
            "fastapi_1": rested(database, turn(one, options, connections=connections)),
            "fastapi_2": rested(database, turn(two, options, connections=connections)),
        }
        row.sides = interleave(name, sides, options.rounds)
        row.problems += setup.problems(database.dsn)
    row.figures = [
        Figure(name, ratios(row.sides["farthing"], row.sides["fastapi_2"])),
        Figure(f"{name}_one", ratios(row.sides["farthing"], row.sides["fastapi_1"])),
    ]
    if name == "http64":
        note = "the target is PostgreSQL's; there is none for SQLite"
        row.figures.append(tail_figure("http64_p99", row.sides["farthing"], note))
    return row


def rested(database: Cluster, measure: Callable[[], Measurement]) -> Callable[[], Measurement]:
    """A turn, after which PostgreSQL writes what it has, so that this does not fall into the turn on SQLite."""

    def run() -> Measurement:
        measured = measure()
        database.sql("checkpoint")
        return measured

    return run


def postgres_against_baseline(name: str, connections: int, options: Options) -> Row:
    """Charges over HTTP on PostgreSQL, two processes: `serve --workers 2`, and two of their own, against FastAPI.

    No checkpoint between the turns, and none is due: each would begin with writing whole pages, the longer the slower
    a side is.
    """
    row = Row(name)
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(ground(row, options, "postgres"))
        assert where.cluster is not None
        key = prepare_baseline(where.cluster, options.accounts)
        ledger, farthing = stack.enter_context(examined(row, where))
        ports = stack.enter_context(served(row, ledger, "farthing, a port each", ports=WORKERS))
        two = stack.enter_context(baseline_service(where.cluster, key, options.folder, WORKERS))
        fund(farthing, options.accounts)
        where.settle()
        services = {"farthing": farthing, "farthing, a port each": ports, "fastapi_2": two}
        sides = {side: turn(service, options, connections=connections) for side, service in services.items()}
        row.sides = interleave(name, sides, options.rounds)
        row.problems += setup.problems(where.cluster.dsn)
    baseline = row.sides["fastapi_2"]
    row.figures = [
        Figure(name, ratios(row.sides["farthing"], baseline), note="serve --workers 2"),
        Figure(f"{name}_ports", ratios(row.sides["farthing, a port each"], baseline)),
    ]
    if name == "pg64":
        row.figures.append(tail_figure("pg_p99", row.sides["farthing"], "serve --workers 2"))
    return row


def tail_figure(name: str, turns: list[Measurement], note: str) -> Figure:
    """p99 over p50, turn by turn."""
    known = [t.figures for t in turns if t.figures["p50_ms"]]
    values = [figures["p99_ms"] / figures["p50_ms"] for figures in known] or [float("inf")]
    return Figure(name, spread(values), note=note)


def floor(options: Options) -> Row:
    """Single charges over HTTP at 256 connections, against one prepared statement per charge without HTTP."""
    return _against_floor("pgfloor", options, lambda service: turn(service, options, connections=256))


def bulk(options: Options) -> Row:
    """Bulks of 100 charges over HTTP, against the same floor."""
    words = {"path": BULK_PATH, "items": BULK_ITEMS, "connections": BULK_CONNECTIONS}
    row = _against_floor("bulk", options, lambda service: turn(service, options, **words))
    row.facts.update(connections=BULK_CONNECTIONS, charges_per_request=BULK_ITEMS)
    return row


def _against_floor(name: str, options: Options, side: Callable[[Service], Callable[[], Measurement]]) -> Row:
    """A side of Farthing's, served by `serve --workers 2`, against pgbench, in the same cluster."""
    row = Row(name)
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(ground(row, options, "postgres"))
        database = where.cluster
        assert database is not None
        pgbench.prepare(database, options.accounts)
        _, farthing = stack.enter_context(examined(row, where))
        fund(farthing, options.accounts)
        where.settle()
        sides = {
            "farthing": side(farthing),
            "pgbench": lambda: pgbench.load(database, options.seconds, options.accounts),
        }
        row.sides = interleave(name, sides, options.rounds)
        row.problems += pgbench.problems(database)
    row.figures = [Figure(name, ratios(row.sides["farthing"], row.sides["pgbench"]), note="serve --workers 2")]
    return row
