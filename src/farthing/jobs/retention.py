"""Retention as a job: once a day what is old enough moves to archive files, in a thread of its own.

One process at a time does it. Two would do no harm: what the other has archived is left alone.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from farthing.retention.retiring import Done, Wanted, retire_all
from farthing.stores.schema import Place

from .kind import Halted, Kind, Run

NAME: Final = "retention"
DAY_SECONDS: Final = 86_400.0


async def retire(
    place: Place, folder: Path | None, now_us: int, halted: Halted = lambda: False
) -> list[Done]:  # fmt: skip
    """Archive what is old enough in the workspaces that have set `retention_days`. Without a folder for the files, and
    with something to archive, it fails and says what has to be set."""
    return await asyncio.to_thread(retire_all, place, Wanted(folder, now_us, halted=halted))


def kind_of(
    place: Place, folder: Path | None, now_us: Callable[[], int], every_seconds: float = DAY_SECONDS
) -> Kind:  # fmt: skip
    """The job that does it, alone; it counts entries, and as failed the accounts that were left as they are."""

    async def run(halted: Halted) -> Run:
        found = Run()
        for done in await retire(place, folder, now_us(), halted):
            errors = [{"account": account, "code": "left", "message": why} for account, why in done.left]
            found.add(done.workspace, done.entries, 0, errors)
        return found

    return Kind(name=NAME, run=run, every_seconds=every_seconds, alone=True)
