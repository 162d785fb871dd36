"""Owns what renewals find: accounts of a plan whose next period has begun, or begins while something is measured.

Runs as its own process: python -m bench.renewing --db URL --workspace ID --plan PLAN --due N [--ahead SECONDS]. Prints
how many periods were given in this ledger before.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator

import uvloop

from bench.inprocess import MICRO, carry_out
from bench.traffic import account_name
from farthing.app import open_ledger
from farthing.core.commands import DAY_US, Subscribe
from farthing.core.plans import Plan
from farthing.stores.access import Act
from farthing.stores.plans import Plans

ALLOWANCE = 2000 * MICRO
RENEWED = "select count(*) from entry where kind = 'renew'"


def subscribers(options: argparse.Namespace, now_us: int) -> Iterator[Subscribe]:
    """So many accounts of their own: each is due since some time of the last days, or will be in the seconds ahead."""
    begins, span = (now_us, options.ahead * MICRO) if options.ahead else (now_us - 20 * DAY_US, 19 * DAY_US)
    for number in range(options.due):
        # In an order that is neither theirs by name nor the one in which they came.
        at = begins + int(number * 7919 % options.due * span / options.due)
        account = account_name(f"{options.plan}-", number)
        yield Subscribe(
            workspace=options.workspace, account=account, plan=options.plan, next_at=at, key=f"v1:{account}",
            actor="bench",
        )  # fmt: skip


async def run(options: argparse.Namespace) -> int:
    """Put the plan, and have accounts subscribe to it."""
    ledger = open_ledger(options.db, inline_on=asyncio.get_running_loop(), max_batch=1024)
    try:
        now_us = ledger.clock.now_us()
        ((renewed,),) = await ledger.database.rows(RENEWED)
        plan = Plan(id=options.plan, allowance=ALLOWANCE, every=30)
        await Plans(ledger.database).put(options.workspace, plan, Act("bench", now_us))
        await carry_out(ledger, subscribers(options, now_us))
        return int(renewed)
    finally:
        await ledger.aclose()


def main() -> None:
    """Fill, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.renewing", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--db", required=True)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--plan", required=True)
    parser.add_argument("--due", type=int, required=True)
    parser.add_argument("--ahead", type=float, default=0.0)
    print(uvloop.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
