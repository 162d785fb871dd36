"""Owns the floor: what PostgreSQL does with one prepared statement per charge, driven by pgbench with 16 clients.

Nothing below it is worth building: no HTTP, no key look-up, no lots, no hash. python -m bench.pgbench prints JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bench.postgres import Cluster, cluster
from bench.processes import BenchError
from bench.traffic import metadata

CLIENTS = 16
ACCOUNTS = 10_000
SCHEMA = """
create table floor_account (id integer primary key, balance bigint not null check (balance >= 0))
    with (fillfactor = 70);
create table floor_entry (key uuid primary key, account integer not null, amount bigint not null,
    balance_after bigint not null, metadata jsonb, created_at timestamptz not null default clock_timestamp());
insert into floor_account select n, 1000000000000 from generate_series(1, %d) n;
analyze floor_account""".replace("%d", str(ACCOUNTS))
CHARGE = rf"""\set account random(1, {ACCOUNTS})
with charged as (
    update floor_account set balance = balance - 1000000 where id = :account returning id, balance
)
insert into floor_entry (key, account, amount, balance_after, metadata)
select gen_random_uuid(), id, -1000000, balance, :metadata::jsonb from charged;
"""


def prepare(database: Cluster) -> None:
    """The tables of the floor."""
    database.sql(SCHEMA)


def measure(database: Cluster, seconds: float, clients: int = CLIENTS) -> dict[str, Any]:
    """Charges per second and latency of one run."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(CHARGE)
        script.flush()
        threads = str(min(clients, 2))
        command = [
            str(database.programs / "pgbench"),
            "-n",
            "-M",
            "prepared",
            "-c",
            str(clients),
            "-j",
            threads,
        ]
        done = subprocess.run(
            [*command, "-T", str(max(1, round(seconds))), "-D", f"metadata={metadata()}",
             "-f", script.name, database.dsn],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    rate = re.search(r"tps = ([0-9.]+)", done.stdout)
    latency = re.search(r"latency average = ([0-9.]+)", done.stdout)
    failed = re.search(r"number of failed transactions: ([0-9]+)", done.stdout)
    if done.returncode != 0 or not rate or not latency or (failed and int(failed[1])):
        raise BenchError(f"pgbench failed ({done.returncode}): {done.stderr.strip()[-1000:]}")
    return {"rate": float(rate[1]), "mean_ms": float(latency[1]), "clients": clients}


def main() -> None:
    """Measure the floor once."""
    parser = argparse.ArgumentParser(prog="python -m bench.pgbench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--folder", type=Path, help="where the cluster is made")
    options = parser.parse_args()
    with cluster(options.folder) as database:
        prepare(database)
        print(json.dumps(measure(database, options.seconds, options.clients)))


if __name__ == "__main__":
    main()
