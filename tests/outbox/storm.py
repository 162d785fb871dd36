"""Processes that send, side by side, of which one after another is killed: in the end each event was delivered, at
least once and under its own id. The long form of test_killed.py, by `./dev soak webhooks`.

Run as a program it is such a process, without all that `farthing worker` does beside.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from standardwebhooks.webhooks import Webhook

from farthing.app import Ledger, open_ledger
from farthing.core.endpoints import SigningSecret, WebhookEndpoint
from farthing.core.ids import bucket_of
from farthing.core.records import Event
from farthing.engine import Ids
from farthing.outbox.options import Options
from farthing.outbox.sender import Sender, trusted
from farthing.stores.acts import Act
from farthing.stores.endpoints import Endpoints
from farthing.stores.events import Events
from farthing.stores.outbox import Outbox
from tests.hammer import ROOT
from tests.hammer_callers import expect
from tests.outbox.office import SECRET, nowhere
from tests.outbox.receivers import OK, Got, Receiver, receiving
from tests.support import MAIN

Say = Callable[[str], None]
ALONE = (sys.executable, "-m", "tests.outbox.storm")
"""A sender and nothing else."""
TIMEOUT_SECONDS = 1.0
"""What a killed one had taken is due again after one and a half of it, and two seconds."""
PATIENCE_SECONDS = 180.0
PAGE = 500


class Receiving:
    """A receiver in a thread, which takes its time, and now and then leaves without an answer."""

    def __init__(self, seed: int, leaves: float) -> None:
        self._rng = random.Random(seed)
        self._leaves = leaves
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self.receiver: Receiver
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="receiver", daemon=True)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with receiving(self._answer) as self.receiver:
            self._ready.set()
            await self._over.wait()

    async def _answer(self, got: Got) -> bytes:
        await asyncio.sleep(self._rng.random() * 0.005)
        return b"" if self._rng.random() < self._leaves else OK

    def __enter__(self) -> Receiver:
        self._thread.start()
        expect(self._ready.wait(30), "the receiver did not begin")
        return self.receiver

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)


def storm(
    url: str,
    count: int,
    kills: int,
    processes: int,
    rng: random.Random,
    say: Say,
    *,
    leaves: float = 0.0,
    words: Sequence[str] = ALONE,
    accounts: int = 0,
) -> dict[str, Any]:
    """Have so many events sent while so many processes are killed; what was done. Raises when one was lost. Of the
    requests a part, `leaves`, is left without an answer. The events are about so many accounts, whose order is asked
    for; without a number each is about another, and no order is."""
    with open_ledger(url, create=True) as ledger, Receiving(rng.randrange(1 << 32), leaves) as receiver:
        ledger.wait(ledger.access.create_workspace(MAIN, Act("test", ledger.clock.now_us())))
        ledger.wait(_endpoint(ledger, receiver.url(), accounts > 0))
        running = [_start(words, url) for _ in range(processes)]
        began = time.monotonic()
        try:
            ids = _put(ledger, count, accounts or count)
            for number in range(kills):
                _wait_for(receiver, count * (number + rng.random()) / (kills + 1))
                place = rng.randrange(processes)
                running[place].send_signal(signal.SIGKILL)
                running[place].wait()
                running[place] = _start(words, url)
                say(f"webhooks: kill {number + 1} of {kills}, {len(receiver.got):,} requests")
            _wait_until_empty(ledger)
        finally:
            for process in running:
                process.kill()
                process.wait()
        seconds = time.monotonic() - began
    if accounts:
        _check_order(receiver)
    return {"sent": _checked(ids, receiver), "events": count, "kills": kills, "seconds": round(seconds)}


def _checked(ids: Sequence[str], receiver: Receiver) -> int:
    """Each at least once, the same each time, and signed."""
    times = Counter(receiver.ids())
    expect(set(times) == set(ids), f"{len(set(ids) - set(times))} events were lost")
    bodies: dict[str, bytes] = {}
    webhook = Webhook(SECRET)
    for got in receiver.got:
        expect(bodies.setdefault(got.id, got.body) == got.body, f"{got.id} was not the same each time")
        # Signed anew: what has come long ago the library would call too old.
        at = datetime.fromtimestamp(int(got.headers["webhook-timestamp"]), UTC)
        signature = webhook.sign(got.id, at, got.body.decode())
        expect(got.headers["webhook-signature"] == signature, f"{got.id} was not well signed")
    return len(receiver.got)


def _check_order(receiver: Receiver) -> None:
    """What comes for the first time comes behind all that was there before of its account."""
    last: dict[str, str] = {}
    seen: set[str] = set()
    for got in receiver.got:
        if got.id not in seen:
            seen.add(got.id)
            account = got.data["account"]
            expect(last.get(account, "") < got.id, f"{got.id} of {account} came behind {last.get(account)}")
            last[account] = got.id


async def _endpoint(ledger: Ledger, url: str, ordered: bool) -> None:
    at = ledger.clock.now_us()
    endpoint = WebhookEndpoint(
        workspace="main", id="whe_storm", url=url, types=(), secrets=(SigningSecret(SECRET),), ordered=ordered,
        created_at=at, updated_at=at,
    )  # fmt: skip
    await Endpoints(ledger.database).create(endpoint, Act("test", at))


def _put(ledger: Ledger, count: int, accounts: int) -> list[str]:
    """Events that are to be sent, while they are sent."""
    ids, made = Ids(), []
    events = Events(ledger.database)
    for first in range(0, count, PAGE):
        at, page = ledger.clock.now_us(), []
        for number in range(first, min(first + PAGE, count)):
            account = f"user_{number % accounts}"
            bucket = bucket_of("main", account)
            id = ids("evt", at, bucket)
            page.append(Event(id, "main", account, bucket, "charge.created", at, {"number": number}))
        ledger.wait(events.add(page, to="whe_storm"))
        made += [event.id for event in page]
    return made


def _start(words: Sequence[str], url: str) -> "subprocess.Popen[bytes]":
    environment = os.environ | {
        "FARTHING_DATABASE_URL": url, "FARTHING_WEBHOOK_PRIVATE": "allow",
        "FARTHING_WEBHOOK_TIMEOUT": str(TIMEOUT_SECONDS),
    }  # fmt: skip
    return subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment
    )  # fmt: skip


def _wait_for(receiver: Receiver, count: float) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while len(receiver.got) < count:
        expect(time.monotonic() < until, "nothing is sent any more")
        time.sleep(0.002)


def _wait_until_empty(ledger: Ledger) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while ledger.wait(Outbox(ledger.database).figures()).waiting:
        expect(time.monotonic() < until, "not all was sent")
        time.sleep(0.05)


async def _send(url: str) -> None:
    """What a process does until it is killed."""
    ledger = open_ledger(url, inline_on=asyncio.get_running_loop(), reader=True)
    options = Options(timeout_seconds=TIMEOUT_SECONDS, allow_private=True)
    sender = Sender(Outbox(ledger.database), ledger.clock.now_us, options, nowhere, trusted())
    while True:
        await sender.run()
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(_send(os.environ["FARTHING_DATABASE_URL"]))
