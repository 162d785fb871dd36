"""Lanes: several engines of one process behind one door, each with a connection of its own.

An account's commands always go the same way, by its bucket, so they keep their order and meet no lock of the other
lanes; and a batch stays within its lane's buckets, which a database that is distributed by bucket is grateful for. One
lane fills larger batches: several pay where a process has very many callers, or a commit takes long.
"""

import asyncio
from collections.abc import Callable, Sequence

from farthing.core.commands import Command
from farthing.core.ids import BUCKETS
from farthing.core.outcomes import Outcome
from farthing.engine import Answer, Engine, Ticket, bucket_for


class Lanes(Engine):
    """Several engines, to whoever asks one engine."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        # Without the base's: it has no queue, no store and no clock but those of its lanes.
        self._lanes = tuple(engines)

    def _lane_of(self, command: Command) -> Engine:
        return self._lanes[bucket_for(command) * len(self._lanes) // BUCKETS]

    def submit(
        self, command: Command, answer: Answer, *, dry: bool = False, flushing: Callable[[], None] | None = None
    ) -> Ticket:
        """Put a command into its lane's queue."""
        return self._lane_of(command).submit(command, answer, dry=dry, flushing=flushing)

    def do(self, command: Command, timeout: float | None = 30.0) -> Outcome:
        """Submit and wait, from a thread."""
        return self._lane_of(command).do(command, timeout)

    async def ask(self, command: Command, *, dry: bool = False) -> Outcome:
        """Submit and wait, on an event loop."""
        return await self._lane_of(command).ask(command, dry=dry)

    @property
    def runs_here(self) -> bool:
        """Whether they answer on the thread that asks."""
        return all(lane.runs_here for lane in self._lanes)

    @property
    def rests(self) -> bool:
        """Whether nothing is under way in any lane."""
        return all(lane.rests for lane in self._lanes)

    @property
    def depth(self) -> int:
        """How many commands wait, in all lanes."""
        return sum(lane.depth for lane in self._lanes)

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Begin to work, all on that loop."""
        for lane in self._lanes:
            lane.start(loop)

    def close(self, timeout: float = 30.0) -> None:
        """Finish what was accepted, in each lane."""
        for lane in self._lanes:
            lane.close(timeout)

    async def aclose(self) -> None:
        """The same, on the loop that the lanes run on, side by side."""
        await asyncio.gather(*(lane.aclose() for lane in self._lanes))
