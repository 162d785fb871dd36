"""Owns the floor: what PostgreSQL does with one prepared statement per charge, driven by pgbench with 16 clients.

The statement keeps two promises: a key is charged once (by the primary key), and no account goes below zero. Nothing
below it is worth building: no HTTP, no JSON, no look-up of what a key got, no grants, no hash; accounts are integers
and metadata is text that nobody parses. python -m bench.pgbench prints JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.postgres import Cluster, cluster
from bench.processes import BenchError, cpu_seconds
from bench.services import CREDITS, Measurement
from bench.traffic import metadata

CLIENTS = 16
THREADS = 2
MICRO = 1_000_000
FUNDS = CREDITS * MICRO
SCHEMA = """
create table floor_account (id integer primary key, balance bigint not null) with (fillfactor = 70);
create table floor_entry (key text primary key, account integer not null, amount bigint not null,
    balance_after bigint not null, metadata text, created_at timestamptz not null default clock_timestamp());
insert into floor_account select n, {funds} from generate_series(1, {accounts}) n;
analyze floor_account"""
# The key is as long as the bench's others and ordered in time as they are: the turn, then counted, then whose.
CHARGE = rf"""\set account random(1, :accounts)
\set n :n + 1
with charged as (
    update floor_account set balance = balance - {MICRO} where id = :account and balance >= {MICRO}
    returning id, balance
)
insert into floor_entry (key, account, amount, balance_after, metadata)
select lpad(to_hex(:turn::bigint), 12, '0') || lpad(to_hex(:n::bigint), 12, '0')
       || lpad(to_hex(:client_id::bigint), 8, '0'), id, -{MICRO}, balance, :metadata from charged;
"""
CHECKS = {
    "balance is what the entries left": f"""select count(*) from floor_account a where balance <> {FUNDS} + (
        select coalesce(sum(amount), 0) from floor_entry where account = a.id)""",
    "balance is not below zero": "select count(*) from floor_account where balance < 0",
}


def prepare(database: Cluster, accounts: int) -> None:
    """The tables of the floor."""
    database.sql(SCHEMA.format(funds=FUNDS, accounts=accounts))


def problems(database: Cluster) -> list[str]:
    """What is wrong in the floor's books; it is no floor unless each charge left its entry."""
    database.sql("create index if not exists floor_entry_account on floor_entry (account)")
    counts = {rule: int(database.sql(query)) for rule, query in CHECKS.items()}
    return [f"floor: {count} times not so: {rule}" for rule, count in counts.items() if count]


def load(database: Cluster, seconds: float, accounts: int, clients: int = CLIENTS) -> Measurement:
    """One turn: charges per second, mean latency, and what a charge cost."""
    before = cpu_seconds([database.pid]), _children_seconds()
    told = _run(database, seconds, accounts, clients)
    after = cpu_seconds([database.pid]), _children_seconds()
    rate = _number(r"tps = ([0-9.]+)", told)
    charges = _number(r"number of transactions actually processed: ([0-9]+)", told)
    failed = re.search(r"number of failed transactions: ([1-9][0-9]*)", told)
    cpu = {who: round((now - then) * 1e6 / max(charges, 1), 1)
           for who, now, then in zip(("postgres", "generator"), after, before, strict=True)}  # fmt: skip
    mean = _number(r"latency average = ([0-9.]+)", told)
    figures = {
        "rate": round(rate, 1), "ok": int(charges), "mean_ms": mean, "p50_ms": None, "p99_ms": None, "max_ms": None,
        "clients": clients,
    }  # fmt: skip
    return Measurement(figures, cpu, (f"floor: {failed[1]} transactions failed",) if failed else ())


def _run(database: Cluster, seconds: float, accounts: int, clients: int) -> str:
    """What pgbench says after so many seconds."""
    variables = {"accounts": accounts, "metadata": metadata(), "turn": time.time_ns() // 1_000_000, "n": 0}
    command = [str(database.programs / "pgbench"), "--no-vacuum", "--protocol", "prepared"]
    command += ["--client", str(clients), "--jobs", str(min(clients, THREADS)), "--time", str(max(1, round(seconds)))]
    for name, value in variables.items():
        command += ["--define", f"{name}={value}"]
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(CHARGE)
        script.flush()
        command += ["--file", script.name, database.dsn]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"pgbench failed ({done.returncode}): {done.stderr.strip()[-1000:]}")
    return done.stdout


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise BenchError(f"pgbench did not say what it should ({pattern}): {text.strip()[-1000:]}")
    return float(found[1])


def _children_seconds() -> float:
    """CPU time of the children of this process that have ended: pgbench's, around its run."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure the floor once."""
    parser = argparse.ArgumentParser(prog="python -m bench.pgbench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where the cluster is made")
    options = parser.parse_args()
    with cluster(options.folder) as database:
        prepare(database, options.accounts)
        turn = load(database, options.seconds, options.accounts, options.clients)
        found: dict[str, Any] = {**turn.figures, "cpu_us": turn.cpu_us, "problems": problems(database)}
        print(json.dumps(found))


if __name__ == "__main__":
    main()
