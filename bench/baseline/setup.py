"""Owns an empty or filled baseline database: schema, a workspace's API key, funded accounts, the final check."""

from __future__ import annotations

import asyncio
import hashlib
import secrets

import asyncpg

from bench.baseline import store
from bench.baseline.models import MICRO

WORKSPACE = 1
FUND = """
    with funded as (
        insert into account (workspace_id, account_id, balance, earned, entries)
        select $1, $2 || lpad(n::text, $3, '0'), $5, $5, 1 from generate_series(0, $4::int - 1) n
        returning account_id
    ), granted as (
        insert into credit_grant (workspace_id, account_id, amount, remaining)
        select $1, account_id, $5, $5 from funded returning id, account_id
    )
    insert into ledger_entry (workspace_id, account_id, number, id, kind, amount, balance_after, slices)
    select $1, account_id, 1, gen_random_uuid(), 'grant', $5, $5, jsonb_build_array(jsonb_build_array(id, $5))
    from granted"""


def prepare(dsn: str, prefix: str, digits: int, accounts: int, credits: int) -> str:
    """Make the schema, fund the accounts, and give an API key that may do everything."""
    return asyncio.run(_prepare(dsn, prefix, digits, accounts, credits))


def problems(dsn: str) -> list[str]:
    """What is wrong in the baseline's ledger; a baseline that loses credits is no baseline."""
    return asyncio.run(_problems(dsn))


async def _prepare(dsn: str, prefix: str, digits: int, accounts: int, credits: int) -> str:
    key = "cs_test_" + secrets.token_urlsafe(32)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(store.SCHEMA)
        await connection.execute(
            "insert into api_key (hash, workspace_id, scopes) values ($1, $2, $3)",
            hashlib.sha256(key.encode()).digest(), WORKSPACE, ["read", "charge", "grant", "admin"],
        )  # fmt: skip
        await connection.execute(FUND, WORKSPACE, prefix, digits, accounts, credits * MICRO)
        await connection.execute("analyze")
    finally:
        await connection.close()
    return key


async def _problems(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        counts = {rule: await connection.fetchval(query) for rule, query in store.CHECKS.items()}
    finally:
        await connection.close()
    return [f"baseline: {count} times not so: {rule}" for rule, count in counts.items() if count]
