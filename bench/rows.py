"""Owns the list of the rows, in the order of the table: PostgreSQL first, then SQLite."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bench import (
    rows_disk,
    rows_import,
    rows_itself,
    rows_metering,
    rows_others,
    rows_process,
    rows_renewals,
    rows_reports,
    rows_told,
    rows_webhooks,
)
from bench.row import Options, Row

Measure = Callable[[Options], Row]

ROWS: dict[str, tuple[str, Measure]] = {
    "pg16": (
        "charges over HTTP on PostgreSQL at 16 connections against FastAPI",
        partial(rows_others.postgres_against_baseline, "pg16", 16),
    ),
    "pg64": (
        "charges over HTTP on PostgreSQL at 64 connections against FastAPI",
        partial(rows_others.postgres_against_baseline, "pg64", 64),
    ),
    "pg256": (
        "charges over HTTP on PostgreSQL at 256 connections against FastAPI",
        partial(rows_others.postgres_against_baseline, "pg256", 256),
    ),
    "pgfloor": ("charges over HTTP at 256 connections against one statement per charge", rows_others.floor),
    "bulk": ("bulks of 100 charges against one statement per charge", rows_others.bulk),
    "pg_hot": ("one hot account against uniform ones, PostgreSQL", partial(rows_itself.hot, "pg_hot", "postgres")),
    "pg_holds": (
        "an account with 100 grants and 1,000 holds against one with one grant, PostgreSQL",
        partial(rows_itself.holds, "pg_holds", "postgres"),
    ),
    "pg_replays": ("10% replays against none, PostgreSQL", partial(rows_itself.replays, "pg_replays", "postgres")),
    "pg_growth": (
        "a grown ledger against an empty one, PostgreSQL (--full: 5 million entries)",
        partial(rows_itself.growth, "pg_growth", "postgres"),
    ),
    "pg_reports": (
        "a usage report by model against scanning, PostgreSQL (--full: 5 million records)",
        partial(rows_reports.report, "pg_reports", "postgres"),
    ),
    "pg_folding": (
        "charges while the reports are kept ready against charges without, PostgreSQL",
        partial(rows_reports.folding, "pg_folding", "postgres"),
    ),
    "pg_renewals": (
        "renewing accounts that are due, PostgreSQL (--full: 100,000)",
        partial(rows_renewals.renewals, "pg_renewals", "postgres"),
    ),
    "pg_renewing": (
        "charges while a server renews against charges without, PostgreSQL",
        partial(rows_renewals.beside, "pg_renewing", "postgres"),
    ),
    "pg_import": (
        "importing grants, PostgreSQL (--full: a million)",
        partial(rows_import.importing, "pg_import", "postgres"),
    ),
    "pg_importing": (
        "charges while grants are imported against charges without, PostgreSQL",
        partial(rows_import.beside, "pg_importing", "postgres"),
    ),
    "pg_webhooks": (
        "webhooks, alone and beside one that hangs, PostgreSQL (--full: 50,000)",
        partial(rows_webhooks.webhooks, "pg_webhooks", "postgres"),
    ),
    "pg_told": (
        "charges that an endpoint asks for against charges without one, PostgreSQL",
        partial(rows_told.told, "pg_told", "postgres"),
    ),
    "slow_commit": ("a commit that takes 1 ms longer, for each contender", rows_disk.slow_commit),
    "http16": (
        "charges over HTTP on SQLite at 16 connections against FastAPI",
        partial(rows_others.sqlite_against_baseline, "http16", 16),
    ),
    "http64": (
        "charges over HTTP on SQLite at 64 connections against FastAPI",
        partial(rows_others.sqlite_against_baseline, "http64", 64),
    ),
    "http256": (
        "charges over HTTP on SQLite at 256 connections against FastAPI",
        partial(rows_others.sqlite_against_baseline, "http256", 256),
    ),
    "inprocess": ("charges through the engine, without HTTP, SQLite", rows_process.inprocess),
    "hot": ("one hot account against uniform ones, SQLite", partial(rows_itself.hot, "hot", "sqlite")),
    "replays": ("10% replays against none, SQLite", partial(rows_itself.replays, "replays", "sqlite")),
    "holdsrow": (
        "an account with 100 grants and 1,000 holds against one with one grant, SQLite",
        partial(rows_itself.holds, "holdsrow", "sqlite"),
    ),
    "growth": (
        "a grown ledger against an empty one, SQLite (--full: 5 million entries)",
        partial(rows_itself.growth, "growth", "sqlite"),
    ),
    "reports": (
        "a usage report by model against scanning, SQLite (--full: 5 million records)",
        partial(rows_reports.report, "reports", "sqlite"),
    ),
    "folding": (
        "charges while the reports are kept ready against charges without, SQLite",
        partial(rows_reports.folding, "folding", "sqlite"),
    ),
    "renewals": (
        "renewing accounts that are due, SQLite (--full: 100,000)",
        partial(rows_renewals.renewals, "renewals", "sqlite"),
    ),
    "renewing": (
        "charges while a server renews against charges without, SQLite",
        partial(rows_renewals.beside, "renewing", "sqlite"),
    ),
    "import": (
        "importing grants, SQLite (--full: a million)",
        partial(rows_import.importing, "import", "sqlite"),
    ),
    "webhooks": (
        "webhooks, alone and beside one that hangs, SQLite (--full: 50,000)",
        partial(rows_webhooks.webhooks, "webhooks", "sqlite"),
    ),
    "told": (
        "charges that an endpoint asks for against charges without one, SQLite",
        partial(rows_told.told, "told", "sqlite"),
    ),
    "metered_first_token": (
        "a metered stream's first token against the vendor's client alone, SQLite in this process",
        partial(rows_metering.metered, "metered_first_token", False),
    ),
    "metered_first_token_async": (
        "the same on an event loop",
        partial(rows_metering.metered, "metered_first_token_async", True),
    ),
    "memory": ("memory of a server process along a million charges", rows_process.memory),
    "clean_exit": ("SIGTERM under load: nothing acknowledged is lost", rows_process.clean_exit),
}
