"""The sweeper: books lapses and ends holds soon after they are due, for accounts that nobody asks about.

It works off rows with a due date, so what came due while no process ran is caught up with. Booking is idempotent:
two sweepers on one database do no harm.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from farthing.core.commands import Lapse
from farthing.engine import Engine
from farthing.stores.contract import StoreError
from farthing.stores.reports import Reports

BATCH: Final = 200
ACTOR: Final = "system:sweeper"


async def sweep(engine: Engine, reports: Reports, now_us: int) -> int:
    """Book all that is due; returns how many accounts were looked at."""
    swept = 0
    while due := await reports.due(now_us, BATCH):
        commands = [Lapse(workspace=w, account=a, actor=ACTOR) for w, a in due]
        # Together, so that they share commits; each takes itself off the table.
        await asyncio.gather(*(engine.ask(c) for c in commands))
        swept += len(due)
        if len(due) < BATCH:
            break
    return swept


async def keep_sweeping(
    engine: Engine, reports: Reports, now_us: Callable[[], int], every_seconds: float, tell: Callable[[Exception], None]
) -> None:  # fmt: skip
    """Sweep again and again; a failure is told and does not end it."""
    while True:
        try:
            await sweep(engine, reports, now_us())
        except StoreError as error:
            tell(error)
        await asyncio.sleep(every_seconds)
