"""Owns what a sender of webhooks finds: endpoints, and events that are to be sent to each; and what became of them.

Runs as its own process: python -m bench.posting --db URL --workspace ID --events N --urls URL[,URL...] [--wait]. Prints
the name of the first endpoint; with --wait, once all events of the endpoint that --urls names so are delivered, the
seconds from the first try to the end of the last.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import time

import uvloop

from bench.traffic import account_name
from farthing.app import Ledger, open_ledger
from farthing.core.endpoints import SigningSecret, WebhookEndpoint, secret_of
from farthing.core.ids import bucket_of
from farthing.core.records import Event
from farthing.engine import Ids
from farthing.stores.acts import Act
from farthing.stores.endpoints import Endpoints
from farthing.stores.events import Events

PAGE = 1_000
LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 300.0
DELIVERED = """
select count(*), min(at), max(at + millis * 1000) from delivery
where workspace = ? and endpoint = ? and outcome = 'delivered'
"""
DATA = {
    "charge": "ent_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f", "kind": "charge", "hold": None, "amount": "0.25", "unpaid": "0",
    "operation": "chat.message", "balance": "9.75", "held": "0", "debt": "0",
}  # fmt: skip


async def fill(ledger: Ledger, options: argparse.Namespace) -> str:
    """Make an endpoint for each address, with events to be sent to it; the first one's name."""
    ids, names = Ids(), []
    for url in options.urls.split(","):
        at = ledger.clock.now_us()
        names.append(f"whe_{secrets.token_hex(8)}")
        endpoint = WebhookEndpoint(
            workspace=options.workspace, id=names[-1], url=url, types=(), created_at=at, updated_at=at,
            secrets=(SigningSecret(secret_of(secrets.token_bytes(32))),),
        )  # fmt: skip
        await Endpoints(ledger.database).create(endpoint, Act("bench", at))
        events = []
        for number in range(options.events):
            account = account_name("told-", number)
            bucket = bucket_of(options.workspace, account)
            id = ids("evt", at, bucket)
            events.append(Event(id, options.workspace, account, bucket, "charge.created", at, DATA))
        for first in range(0, len(events), PAGE):
            await Events(ledger.database).add(events[first : first + PAGE], to=names[-1])
    return names[0]


async def wait(ledger: Ledger, options: argparse.Namespace) -> str:
    """Until all were delivered; the seconds that it took."""
    until = time.monotonic() + PATIENCE_SECONDS
    sql = DELIVERED if ledger.database.dialect == "sqlite" else DELIVERED.replace("?", "$1", 1).replace("?", "$2")
    while time.monotonic() < until:
        ((count, first, last),) = await ledger.database.rows(sql, (options.workspace, options.urls))
        if count >= options.events:
            return f"{(last - first) / 1e6:.3f}"
        await asyncio.sleep(LOOK_SECONDS)
    raise TimeoutError(f"{count} of {options.events} were delivered")


async def run(options: argparse.Namespace) -> str:
    """Fill, or wait."""
    ledger = open_ledger(options.db, inline_on=asyncio.get_running_loop())
    try:
        return await (wait if options.wait else fill)(ledger, options)
    finally:
        await ledger.aclose()


def main() -> None:
    """Fill or wait, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.posting", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--db", required=True)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--urls", required=True)
    parser.add_argument("--wait", type=int, default=0)
    print(uvloop.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
