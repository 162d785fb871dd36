"""A worker that is killed again and again in the middle of its renewals: in the end each is renewed once."""

import asyncio
import os
import signal
import sys
import time

from farthing.jobs.renewals import Renewals
from tests.jobs.subscribers import ALL, Club
from tests.subscribing import DAY, plan
from tests.support import UNIT

ACCOUNTS = 2_000
KILLS = 5
WORKER = """
import asyncio, sys
from farthing.clock import FakeClock
from tests.jobs.subscribers import Club
from tests.jobs import subscribers

async def work():
    club = Club(sys.argv[1], FakeClock(int(sys.argv[2])))
    club.open(lease_us=1, page=32)
    await club.renewals.run(subscribers.ALL)
    await club.ledger.aclose()

asyncio.run(work())
"""


def test_killed_in_the_middle_each_is_renewed_once(club: Club):
    async def story() -> None:
        await club.begin(plan())
        for start in range(0, ACCOUNTS, 500):
            await asyncio.gather(*(club.subscribe(f"user_{n:06}") for n in range(start, start + 500)))
        club.clock.advance(us=30 * DAY)
        counts = [0]
        for _ in range(KILLS):
            await kill_a_worker(club, counts[-1])
            counts.append(await club.count("renew"))
            club.clock.advance(us=1_000)
        assert counts == sorted(set(counts))
        assert counts[-1] < ACCOUNTS
        resumed = Renewals(club.ledger.engine, club.subscriptions, club.ledger.clock.now_us, lease_us=1)
        await resumed.run(ALL)
        assert await club.count("renew") == ACCOUNTS
        sql = "select count(distinct account), count(distinct key), min(balance), max(balance) from entry where kind = "
        once = await club.ledger.database.rows(f"{sql}'renew'")
        assert [tuple(row) for row in once] == [(ACCOUNTS, ACCOUNTS, 200 * UNIT, 200 * UNIT)]
        await club.end()

    asyncio.run(story())


async def kill_a_worker(club: Club, before: int) -> None:
    """Start one, and end it as soon as it has renewed somebody."""
    words = [sys.executable, "-c", WORKER, club.url, str(club.clock.now_us())]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    worker = await asyncio.create_subprocess_exec(*words, env=env)
    until = time.monotonic() + 60
    while await club.count("renew") <= before:
        assert time.monotonic() < until
        assert worker.returncode is None
        await asyncio.sleep(0.005)
    worker.send_signal(signal.SIGKILL)
    await worker.wait()
