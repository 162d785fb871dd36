"""Real `farthing renew` processes, side by side, of which one after another is killed: in the end each period is given
once. The long form of test_renewals_killed.py, by `./dev soak renewals`.
"""

import asyncio
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farthing.app import Ledger, open_ledger
from farthing.core.commands import Subscribe
from farthing.core.outcomes import Accepted
from farthing.stores.access import Act
from farthing.stores.plans import Plans
from tests.hammer import FARTHING, ROOT, run_farthing
from tests.hammer_callers import expect
from tests.subscribing import DAY, plan
from tests.support import UNIT

Say = Callable[[str], None]
BURST = 2_000
SQL = """
select count(*), count(distinct account), count(distinct key), min(balance), max(balance)
from entry where kind = 'renew'
"""


@dataclass
class Worker:
    """A process that renews."""

    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, url: str) -> "Worker":
        words = [*FARTHING, "renew", "--db", url, "--json"]
        return cls(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT))

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> int:
        """Wait for its own end; the most memory that it had, in MB."""
        peak, status = 0, Path(f"/proc/{self.process.pid}/status")
        while self.process.poll() is None:
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
            peak = int(found[1]) // 1024 if found else peak
            time.sleep(0.05)
        expect(self.process.returncode == 0, f"a worker ended with {self.process.returncode}")
        return peak


def storm(url: str, due: int, kills: int, workers: int, rng: random.Random, say: Say) -> dict[str, Any]:
    """Have so many accounts renewed while so many workers are killed; what was done. Raises when a period was given
    twice, or not."""
    run_farthing("init", "--db", url)
    with open_ledger(url) as ledger:
        filling = fill(ledger, due)
        # In process, on a file, many are on their way only where there is a loop.
        asyncio.run(filling) if url.startswith("sqlite") else ledger.wait(filling)
        say(f"renewals: {due:,} accounts are due")
        told = _storm(ledger, url, due, kills, workers, rng, say)
        again = run_farthing("renew", "--db", url)
        expect((again["processed"], again["failed"]) == (0, 0), f"something was left: {again}")
        found = [tuple(row) for row in ledger.wait(ledger.database.rows(SQL))]
        # No account had anything before, so that what it has is what it was given.
        expect(found == [(due, due, due, 100 * UNIT, 100 * UNIT)], f"not each once: {found}")
        (row,) = ledger.wait(ledger.database.rows("select count(*), min(balance), max(balance) from account"))
        expect(tuple(row) == (due, 100 * UNIT, 100 * UNIT), f"not each its balance: {row}")
    return {**told, "doctor": run_farthing("doctor", "--db", url)}


async def fill(ledger: Ledger, due: int) -> None:
    """Accounts whose next period began some days ago, in no order."""
    now = ledger.clock.now_us()
    await Plans(ledger.database).put("main", plan(), Act("test", now))

    async def one(number: int) -> None:
        at = now - (number * 7919 % due + 1) * 20 * DAY // due
        bought = Subscribe(workspace="main", account=f"user_{number:07}", plan="pro", next_at=at)
        expect(isinstance(await ledger.engine.ask(bought), Accepted), "nobody could subscribe")

    for first in range(0, due, BURST):
        await asyncio.gather(*(one(number) for number in range(first, min(first + BURST, due))))


def _storm(
    ledger: Ledger, url: str, due: int, kills: int, workers: int, rng: random.Random, say: Say
) -> dict[str, Any]:  # fmt: skip
    began = time.monotonic()
    running = [Worker.start(url) for _ in range(workers)]
    try:
        for number in range(kills):
            _wait_for(ledger, due * (number + rng.random()) / (kills + 1))
            place = rng.randrange(workers)
            expect(running[place].process.poll() is None, "a worker ended before all was done")
            running[place].kill()
            running[place] = Worker.start(url)
            say(f"renewals: kill {number + 1} of {kills}, {_renewed(ledger):,} renewed")
        most = max(worker.end() for worker in running)
    finally:
        for worker in running:
            worker.process.kill()
            worker.process.wait()
    seconds = time.monotonic() - began
    return {"renewed": due, "kills": kills, "workers": workers, "rate": round(due / seconds), "peak_mb": most}


def _renewed(ledger: Ledger) -> int:
    ((count,),) = ledger.wait(ledger.database.rows("select count(*) from entry where kind = 'renew'"))
    return int(count)


def _wait_for(ledger: Ledger, renewed: float) -> None:
    until = time.monotonic() + 120
    while _renewed(ledger) < renewed:
        expect(time.monotonic() < until, "the workers renew nobody")
        time.sleep(0.05)
