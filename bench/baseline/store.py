"""Owns the baseline's SQL: every write is one transaction that locks the account's row first."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from bench.baseline.models import (
    AddData,
    AddRequest,
    BalanceData,
    DeductData,
    DeductRequest,
    as_json_number,
    timestamp,
    to_micro,
)

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()

# The key is looked up by a statement of its own, after the lock was given: one statement with both would
# see the keys as they were when it began to wait.
LOCK_ACCOUNT = """
    select balance, earned, spent, entries
    from account where workspace_id = $1 and account_id = $2 for update"""
FIND_KEY = """
    select fingerprint, answer from idempotency_key
    where workspace_id = $1 and key = $2 and account_id = $3"""
# Expiry is judged here, under the lock: this statement begins after the lock was given.
LIVE_GRANTS = """
    select id, remaining, coalesce(expires_at <= statement_timestamp(), false) as is_over from credit_grant
    where workspace_id = $1 and account_id = $2 and live
    order by expires_at nulls last, id"""
# All that a command writes, in one statement and so in one trip to the database: what it takes from grants,
# its entry, the account's new numbers, and the answer under its key (a lapse has none).
WRITE = """
    with burnt as (
        update credit_grant g set remaining = g.remaining - b.taken, live = g.remaining > b.taken
        from unnest($3::bigint[], $4::bigint[]) as b (id, taken) where g.id = b.id
    ), entry as (
        insert into ledger_entry (workspace_id, account_id, number, id, kind, amount, balance_after, slices,
                                  operation, description, metadata)
        values ($1, $2, $8, $9, $10, $11, $5, $12, $13, $14, $15)
    ), kept as (
        insert into idempotency_key (workspace_id, key, account_id, fingerprint, answer)
        select $1, $16::text, $2, $17, $18 where $16 is not null
    )
    update account set balance = $5, earned = $6, spent = $7, entries = $8
    where workspace_id = $1 and account_id = $2"""
MAKE_ACCOUNT = """
    insert into account (workspace_id, account_id) values ($1, $2) on conflict do nothing"""
ADD_GRANT = """
    insert into credit_grant (workspace_id, account_id, amount, remaining)
    values ($1, $2, $3, $3) returning id"""
READ_BALANCE = """
    select a.earned, a.spent, coalesce(sum(g.remaining), 0)::bigint as available,
           min(g.expires_at) as next_expiration
    from account a
    left join credit_grant g on g.workspace_id = a.workspace_id and g.account_id = a.account_id
         and g.live and (g.expires_at is null or g.expires_at > clock_timestamp())
    where a.workspace_id = $1 and a.account_id = $2
    group by a.workspace_id, a.account_id"""
FIND_API_KEY = """
    select workspace_id, scopes from api_key where hash = $1 and revoked_at is null"""

# What must hold in a sound baseline ledger; each query counts the accounts or rows that break it.
CHECKS = {
    "balance is the sum of the entries": """
        select count(*) from account a where balance <> (
            select coalesce(sum(amount), 0) from ledger_entry e
            where e.workspace_id = a.workspace_id and e.account_id = a.account_id)""",
    "balance is what remains of the grants": """
        select count(*) from account a where balance <> (
            select coalesce(sum(remaining), 0) from credit_grant g
            where g.workspace_id = a.workspace_id and g.account_id = a.account_id and g.live)""",
    "entries are numbered without a gap": """
        select count(*) from account a where entries <> (
            select count(*) from ledger_entry e
            where e.workspace_id = a.workspace_id and e.account_id = a.account_id)
            or entries <> (select coalesce(max(number), 0) from ledger_entry e
            where e.workspace_id = a.workspace_id and e.account_id = a.account_id)""",
    "each balance after follows from the one before": """
        select count(*) from (
            select balance_after - amount as before,
                   lag(balance_after, 1, 0::bigint)
                       over (partition by workspace_id, account_id order by number) as told
            from ledger_entry) e where before <> told""",
}


Slices = list[tuple[int, int]]


class Refused(Exception):
    """The request is refused and nothing was done; carries the contract's code."""

    def __init__(self, status: int, code: str, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.data = status, code, message, data


@dataclass(slots=True)
class Account:
    """An account's row, locked; the numbers change here first and are written once."""

    workspace: int
    id: str
    balance: int
    earned: int
    spent: int
    entries: int

    def moved(self, amount: int) -> Account:
        """The next entry moves the balance by so much."""
        self.balance += amount
        self.entries += 1
        return self


@dataclass(slots=True)
class Entry:
    """A line of the ledger about to be written."""

    kind: str
    amount: int
    slices: Slices
    operation: str | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


def fingerprint(*content: object) -> bytes:
    """What makes two requests under one key the same request."""
    return hashlib.sha256(json.dumps(content).encode()).digest()


async def deduct(pool: asyncpg.Pool, workspace: int, request: DeductRequest) -> DeductData:
    """Charge once, in one transaction: burn grants in order, book the entry, keep the answer under the key."""
    amount = to_micro(request.amount)
    content = fingerprint("deduct", request.operation, amount)
    async with pool.acquire() as connection, connection.transaction():
        account = await _lock(connection, workspace, request.account_id)
        if account is None:
            raise _insufficient(0, amount)
        first = await _first_answer(connection, account, request.usage_event_id, content)
        if first is not None:
            return DeductData.model_validate_json(first)
        grants = await connection.fetch(LIVE_GRANTS, workspace, request.account_id)
        lapsed = [(row["id"], row["remaining"]) for row in grants if row["is_over"]]
        slices = burn([(row["id"], row["remaining"]) for row in grants if not row["is_over"]], amount)
        if lapsed:
            total = sum(remaining for _, remaining in lapsed)
            await _write(connection, account.moved(-total), Entry("lapse", -total, lapsed), lapsed)
        account.moved(-amount).spent += amount
        entry = Entry("charge", -amount, slices, request.operation, request.description, request.metadata)
        data = DeductData(
            transactionId=entry.id,
            newBalance=account.balance,
            deductedAmount=amount,
            operation=request.operation,
            description=request.description,
        )
        await _write(connection, account, entry, slices, request.usage_event_id, content, data)
        return data


def burn(grants: Sequence[tuple[int, int]], amount: int) -> Slices:
    """Which grant pays how much, first come first; refused when all together hold too little."""
    slices: Slices = []
    missing = amount
    for grant_id, remaining in grants:
        taken = min(remaining, missing)
        slices.append((grant_id, taken))
        missing -= taken
        if missing == 0:
            return slices
    raise _insufficient(amount - missing, amount)


async def add(pool: asyncpg.Pool, workspace: int, request: AddRequest) -> AddData:
    """Credit a purchase once; the purchase's transaction id is the key."""
    amount = to_micro(request.amount)
    key = f"add:{request.source.transactionId}"
    content = fingerprint("add", amount, request.source.productId, request.source.orderId)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(MAKE_ACCOUNT, workspace, request.account_id)
        account = await _lock(connection, workspace, request.account_id)
        assert account is not None
        first = await _first_answer(connection, account, key, content)
        if first is not None:
            return AddData.model_validate_json(first)
        grant_id = await connection.fetchval(ADD_GRANT, workspace, request.account_id, amount)
        account.moved(amount).earned += amount
        entry = Entry("grant", amount, [(grant_id, amount)], None, request.description)
        data = AddData(transactionId=entry.id, newBalance=account.balance, addedAmount=amount)
        await _write(connection, account, entry, [], key, content, data)
        return data


async def balance(pool: asyncpg.Pool, workspace: int, account_id: str) -> BalanceData:
    """What the account holds now; an account never seen holds nothing."""
    row = await pool.fetchrow(READ_BALANCE, workspace, account_id)
    available, earned, spent, next_expiration = (
        (0, 0, 0, None) if row is None
        else (row["available"], row["earned"], row["spent"], row["next_expiration"])
    )  # fmt: skip
    return BalanceData(
        balance=available, reservedBalance=0, availableBalance=available, totalEarned=earned, totalSpent=spent,
        nextExpiration=None if next_expiration is None else timestamp(next_expiration),
    )  # fmt: skip


async def find_api_key(pool: asyncpg.Pool, digest: bytes) -> tuple[int, frozenset[str]] | None:
    """The workspace and scopes of a key that is known and not revoked."""
    row = await pool.fetchrow(FIND_API_KEY, digest)
    return None if row is None else (row["workspace_id"], frozenset(row["scopes"]))


def _insufficient(available: int, required: int) -> Refused:
    facts = {"available": available, "required": required, "deficit": required - available}
    data = {name: as_json_number(micro) for name, micro in facts.items()}
    return Refused(402, "INSUFFICIENT_CREDITS", "The account has too few credits for this charge.", data)


async def _lock(connection: asyncpg.Connection, workspace: int, account_id: str) -> Account | None:
    row = await connection.fetchrow(LOCK_ACCOUNT, workspace, account_id)
    return None if row is None else Account(workspace, account_id, *row)


async def _first_answer(connection: asyncpg.Connection, account: Account, key: str, content: bytes) -> str | None:
    row = await connection.fetchrow(FIND_KEY, account.workspace, key, account.id)
    if row is None:
        return None
    if row["fingerprint"] != content:
        raise Refused(409, "IDEMPOTENCY_CONFLICT", "This key was used before with other content.")
    answer: str = row["answer"]
    return answer


async def _write(
    connection: asyncpg.Connection,
    account: Account,
    entry: Entry,
    burnt: Slices,
    key: str | None = None,
    content: bytes | None = None,
    data: DeductData | AddData | None = None,
) -> None:
    await connection.execute(
        WRITE, account.workspace, account.id,
        [grant_id for grant_id, _ in burnt], [taken for _, taken in burnt],
        account.balance, account.earned, account.spent, account.entries,
        entry.id, entry.kind, entry.amount, json.dumps(entry.slices), entry.operation, entry.description,
        None if entry.metadata is None else json.dumps(entry.metadata),
        # Micro-credits, as the model holds them: what is read back gives the same answer again.
        key, content, None if data is None else json.dumps(data.__dict__),
    )  # fmt: skip
