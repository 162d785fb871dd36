"""What goes on while the stand-in runs: the clock's doings, and events that are sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from .sender import Sender
from .world import World

LOOK_SECONDS: Final = 0.25


class Running:
    """What goes on."""

    def __init__(self, world: World, sender: Sender) -> None:
        self._world = world
        self._sender = sender

    async def advance(self, seconds: float) -> None:
        """Put the clock forward, from one thing that happens to the next."""
        until = self._world.clock.exact() + seconds
        # What is on its way now has its next try before it is asked what comes next.
        await self._catch_up()
        while (due := self._next()) is not None and due <= until:
            self._world.clock.move_to(due)
            await self._catch_up()
        self._world.clock.move_to(until)
        await self._catch_up()

    def _next(self) -> float | None:
        return min((due for due in (self._world.next_due(), self._sender.next_due()) if due is not None), default=None)

    async def _catch_up(self) -> None:
        self._world.run_due()
        await self._sender.send_due()

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Let it go on."""
        async with self._sender:
            runs = asyncio.create_task(self._run())
            try:
                yield
            finally:
                runs.cancel()
                with suppress(asyncio.CancelledError):
                    await runs

    async def _run(self) -> None:
        while True:
            self._sender.news.clear()
            await self._catch_up()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._sender.news.wait(), LOOK_SECONDS)
