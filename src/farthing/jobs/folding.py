"""Folding: adds what was booked to the sums that reports are read from, a few seconds behind the charges.

Several processes on one database may fold: who finds that somebody else was faster lets it be. What is not folded yet
is no less in the reports, which read it from the entries: to fall behind costs time, and nothing else.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from farthing.core.rollup import Tally
from farthing.stores.rollups import Rollups

Rest = Callable[[], Awaitable[None]]
PAGE: Final = 512
"""Entries that are read and counted at a time: a few milliseconds' work."""
CHUNK: Final = 65_536
SUMS: Final = 16_384
"""So many entries, or so many sums of them, are written in one transaction: the more entries share a sum, the less they
cost, while each sum takes its time in which, on SQLite, nobody else can write."""
STRIKE_EVERY_SECONDS: Final = 3_600.0
NEARLY: Final = 0.9
OUT_OF_STEP: Final = 1.25
"""Whoever met another waits a little longer: two that go in step would do all work twice."""
MICRO: Final = 1_000_000


class Folded(NamedTuple):
    """What came of folding a chunk."""

    entries: int
    more: bool
    """It was full: others are waiting."""


async def fold(
    rollups: Rollups, now_us: int, *, leave_since_us: int | None = None, rest: Rest | None = None
) -> Folded | None:  # fmt: skip
    """Fold one chunk of entries, or what there is; None where somebody else is at it: he has folded since
    `leave_since_us`, or just now. `rest` lets others work in between."""
    before = await rollups.marks()
    if leave_since_us is not None and before.moved_at > leave_since_us:
        return None
    lanes, tally, folded, more = dict(before.lanes), Tally(), 0, True
    # What comes in meanwhile is left for the next time: who runs after it never ends.
    while more and folded < CHUNK and len(tally.quarters) < SUMS:
        page = await rollups.unfolded(lanes, PAGE)
        charges = await rollups.charges(page.entries)
        for entry in page.entries:
            tally.add(entry, charges)
        lanes |= page.marks
        folded += page.size
        more = page.more
        if rest is not None:
            await rest()
    if folded and not await rollups.add(before, lanes, tally.rows(), now_us):
        return None
    return Folded(folded, more)


async def fold_all(rollups: Rollups, now_us: int) -> int:
    """Fold until nothing is left, where nobody else does; returns how many."""
    folded = 0
    while (part := await fold(rollups, now_us)) and part.entries:
        folded += part.entries
    return folded


async def keep_folding(
    rollups: Rollups, now_us: Callable[[], int], every_seconds: float, tell: Callable[[Exception], None]
) -> None:  # fmt: skip
    """Fold again and again; a failure is told and does not end it."""
    struck_at, more = time.monotonic(), False
    while True:
        began, pause = time.monotonic(), every_seconds
        try:
            now = now_us()
            # Who has folded a moment ago will do so again; but what is left of a full chunk is one's own.
            since = None if more else now - int(every_seconds * NEARLY * MICRO)
            folded = await fold(rollups, now, leave_since_us=since, rest=_rest)
            more = folded is not None and folded.more
            if more:
                pause = time.monotonic() - began  # half of the time is left to the charges
            elif folded is None:
                pause *= OUT_OF_STEP
            if began - struck_at > STRIKE_EVERY_SECONDS:
                struck_at = began
                await rollups.strike(now)
        except Exception as error:
            more = False
            tell(error)
        await asyncio.sleep(pause)


async def _rest() -> None:
    await asyncio.sleep(0)
