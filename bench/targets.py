"""Owns what each row should reach (DESIGN.md, "Numbers to reach") and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.rounds import Spread


@dataclass(frozen=True, slots=True)
class Target:
    """What is hoped for; a row without numbers is only reported."""

    what: str
    against: str
    least: float | None = None
    aim: float | None = None
    unit: str = "x"
    more_is_better: bool = True


FLOOR = "pgbench, one prepared statement per charge, 16 clients"
BASELINE = "FastAPI on PostgreSQL, 2 processes"

TARGETS = {
    "pg16": Target("charge over HTTP, 16 connections, 2 processes", BASELINE),
    "pg16_ports": Target("the same, each process with a port of its own", BASELINE),
    "pg64": Target("charge over HTTP, 64 connections, 2 processes", BASELINE, 8, 12),
    "pg64_ports": Target("the same, each process with a port of its own", BASELINE),
    "pg_p99": Target("p99 at 64 connections", "its own p50", 3, 2, more_is_better=False),
    "pg256": Target("charge over HTTP, 256 connections, 2 processes", BASELINE),
    "pg256_ports": Target("the same, each process with a port of its own", BASELINE),
    "pgfloor": Target("charge over HTTP, 256 connections, 2 processes", FLOOR, 1.5, 2.2),
    "bulk": Target("bulk charges, 100 per request, 2 processes", FLOOR, 2, 3),
    "pg_hot": Target("one hot account", "uniform accounts", 0.7, 0.9),
    "pg_holds": Target("an account with 100 grants and 1,000 live holds", "one with one grant", 0.7, 0.9),
    "pg_replays": Target("10% replays", "none", 0.9, 1.0),
    "pg_growth": Target("a grown ledger, time-ordered keys", "an empty ledger", 0.85, 0.95),
    "pg_growth_random": Target("a grown ledger, random keys", "an empty ledger"),
    "pg_webhooks": Target("webhooks to a receiver on this machine, one worker", "a rate", 500, 1000, "events/s"),
    "pg_webhooks_hanging": Target("the same beside an endpoint that never answers", "alone", 0.9, 0.95),
    "slow_commit": Target("a commit that takes 1 ms longer, 64 connections", "as is", 0.65, 0.8),
    "slow_commit_sqlite": Target("a commit that takes 1 ms longer on SQLite, 64 connections", "as is"),
    "slow_commit_fastapi": Target("the same for FastAPI, 2 processes, 64 connections", "as is"),
    "slow_commit_pgbench": Target("the same for pgbench, 16 clients", "as is"),
    "pg_reports": Target("usage report by model over 5 million records", "scanning them", 1000, 1000),
    "pg_reports_small": Target("usage report by model over fewer records", "scanning them"),
    "pg_folding": Target("keeping the reports ready, 64 connections", "charges without", 0.9, 0.95),
    "pg_renewals": Target("renewing accounts that are due, one process", "a rate", 2000, 3000, "accounts/s"),
    "pg_renewals_memory": Target("its most memory", "with a tenth of the accounts", 1.1, 1.05, more_is_better=False),
    "pg_renewals_two": Target("two processes that renew side by side", "one"),
    "pg_renewing": Target("charges while a server renews, 64 connections", "charges without", 0.9, 0.95),
    "pg_import": Target("importing grants", "a rate", 5000, 7000, "grants/s"),
    "pg_import_memory": Target("its most memory", "with a tenth of the grants", 1.1, 1.05, more_is_better=False),
    "pg_importing": Target("charges while grants are imported, 64 connections", "charges without", 0.9, 0.95),
    "pg_told": Target("charges that an endpoint asks for, 64 connections", "charges without one", 0.8, 0.9),
    "http16": Target("charge over HTTP on SQLite, 16 connections", BASELINE),
    "http64": Target("charge over HTTP on SQLite, 64 connections", BASELINE, 5, 7),
    "http256": Target("charge over HTTP on SQLite, 256 connections", BASELINE),
    "http16_one": Target("the same, 16 connections", "FastAPI on PostgreSQL, 1 process"),
    "http64_one": Target("the same, 64 connections", "FastAPI on PostgreSQL, 1 process"),
    "http256_one": Target("the same, 256 connections", "FastAPI on PostgreSQL, 1 process"),
    "http64_p99": Target("p99 on SQLite at 64 connections", "its own p50", 3, 2, more_is_better=False),
    "inprocess": Target("charge in process on SQLite, 64 callers", "one caller"),
    "hot": Target("one hot account on SQLite", "uniform accounts", 0.7, 0.9),
    "replays": Target("10% replays on SQLite", "none", 0.9, 1.0),
    "holdsrow": Target("an account with 100 grants and 1,000 live holds on SQLite", "one with one grant", 0.7, 0.9),
    "growth": Target("a grown ledger on SQLite, time-ordered keys", "an empty ledger", 0.5, 0.7),
    "growth_random": Target("a grown ledger on SQLite, random keys", "an empty ledger"),
    "reports": Target("usage report by model on SQLite over 5 million records", "scanning them"),
    "reports_small": Target("usage report by model on SQLite over fewer records", "scanning them"),
    "folding": Target("keeping the reports ready on SQLite, 64 connections", "charges without"),
    "renewals": Target("renewing accounts that are due on SQLite, one process", "a rate", unit="accounts/s"),
    "renewals_memory": Target("its most memory on SQLite", "with a tenth of the accounts", more_is_better=False),
    "renewals_two": Target("two processes that renew side by side on SQLite", "one"),
    "renewing": Target("charges while a server renews on SQLite, 64 connections", "charges without"),
    "import": Target("importing grants on SQLite", "a rate", unit="grants/s"),
    "import_memory": Target("its most memory on SQLite", "with a tenth of the grants", more_is_better=False),
    "webhooks": Target("webhooks to a receiver on this machine, one worker, SQLite", "a rate", 500, 1000, "events/s"),
    "webhooks_hanging": Target("the same on SQLite beside an endpoint that never answers", "alone", 0.9, 0.95),
    "told": Target("charges that an endpoint asks for on SQLite, 64 connections", "charges without one"),
    "metered_first_token": Target(
        "added to a stream's first token by metering it", "the vendor's client alone", 1, 0.5, "ms", False
    ),
    "metered_first_token_p99": Target("its p99", "that of the client alone", unit="ms", more_is_better=False),
    "metered_first_token_chunk": Target("each chunk of it", "of the client alone", 1.05, 1.02, more_is_better=False),
    "metered_first_token_async": Target(
        "added to the first token on an event loop", "the vendor's client alone", 1, 0.5, "ms", False
    ),
    "metered_first_token_async_p99": Target("its p99", "that of the client alone", unit="ms", more_is_better=False),
    "metered_first_token_async_chunk": Target(
        "each chunk of it", "of the client alone", 1.05, 1.02, more_is_better=False
    ),
    "memory": Target("memory of a server process, highest", "a limit", 200, 200, "MB", False),
    "memory_flat": Target("memory after all charges", "after a quarter of them", 1.1, 1.05, more_is_better=False),
    "clean_exit": Target("acknowledged charges missing after SIGTERM under load", "none", 0, 0, "", False),
    "clean_exit_seconds": Target("time from SIGTERM under load to the end", "a limit", 10, 5, "s", False),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the table, with what it is held against."""

    name: str
    value: Spread
    problems: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def target(self) -> Target:
        """What this figure should reach."""
        return TARGETS[self.name]

    @property
    def verdict(self) -> str:
        """invalid, reported, aim reached, reached or falls short."""
        target = self.target
        if self.problems:
            return "invalid"
        if target.least is None or target.aim is None:
            return "reported"
        if reaches(self.value.median, target.aim, target.more_is_better):
            return "aim reached"
        if reaches(self.value.median, target.least, target.more_is_better):
            return "reached"
        return "falls short"


def reaches(value: float, wanted: float, more_is_better: bool) -> bool:
    """Is this good enough?"""
    return value >= wanted if more_is_better else value <= wanted
