"""Folding: adds what was booked to the sums that reports are read from, a few seconds behind the charges.

One process has this job at a time, and keeps it; reports on the command line fold as well: who finds that somebody else
was faster lets it be. What is not folded yet is no less in the reports, which read it from the entries: to fall behind
costs time, and nothing else.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from farthing.core.rollup import Tally
from farthing.stores.rollups import Rollups

from .kind import Halted, Kind, Run, Tools

NAME: Final = "rollups"
Rest = Callable[[], Awaitable[None]]
PAGE: Final = 512
"""Entries that are read and counted at a time: a few milliseconds' work."""
CHUNK: Final = 65_536
SUMS: Final = 16_384
"""So many entries, or so many sums of them, are written in one transaction: the more entries share a sum, the less they
cost, while each sum takes its time in which, on SQLite, nobody else can write."""
STRIKE_EVERY_SECONDS: Final = 3_600.0


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


def kind(tools: Tools) -> Kind:
    """Alone: who finds that somebody else was faster has worked for nothing."""
    folding = Folding(Rollups(tools.database), tools.now_us)
    return Kind(name=NAME, run=folding.run, every_seconds=tools.every[NAME], alone=True)


class Folding:
    """Folds what was booked, again and again."""

    def __init__(self, rollups: Rollups, now_us: Callable[[], int]) -> None:
        self._rollups = rollups
        self._now_us = now_us
        self._struck_at = time.monotonic()

    async def run(self, halted: Halted = lambda: False) -> Run:
        """Fold what is there; of a full chunk the rest is folded at once, with half of the time left to the charges."""
        run = Run()
        while not halted():
            began = time.monotonic()
            folded = await fold(self._rollups, self._now_us(), rest=_rest)
            if folded is not None and folded.entries:
                run.add("", done=folded.entries)
            if folded is None or not folded.more:
                break
            await asyncio.sleep(time.monotonic() - began)
        if time.monotonic() - self._struck_at > STRIKE_EVERY_SECONDS:
            self._struck_at = time.monotonic()
            await self._rollups.strike(self._now_us())
        return run


async def _rest() -> None:
    await asyncio.sleep(0)
