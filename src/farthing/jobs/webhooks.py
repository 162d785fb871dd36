"""Webhooks: sends what is due to endpoints, in any number of processes; what one has taken no other sends. Beside that
it forgets what is old: tries, events, listeners whose process went without a word.

Shared, and kept: who has begun goes on, woken by what its own process commits.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from farthing.stores.contract import StoreError
from farthing.stores.endpoints import Endpoints
from farthing.stores.outbox import PAGE, Outbox

from .kind import Halted, Kind, Run, Tools

if TYPE_CHECKING:
    from farthing.outbox.sender import Sender

NAME: Final = "webhooks"
DAY_US: Final = 86_400_000_000
TIDY_SECONDS: Final = 60.0
DROP_SECONDS: Final = 600.0
REST_SECONDS: Final = 0.1
"""Between pages of what is forgotten: on SQLite nobody else writes meanwhile."""


def kind(tools: Tools) -> Kind:
    """Shared: any number of processes."""
    job = Webhooks(tools)
    return Kind(name=NAME, run=job.run, every_seconds=tools.every[NAME], stays=True, news=job.news)


class Webhooks:
    """Sends, and keeps house."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._outbox = Outbox(tools.database)
        self._endpoints = Endpoints(tools.database)
        self._sender: Sender | None = None
        self._tidied_at = self._dropped_at = float("-inf")
        self.news = asyncio.Event()

    async def run(self, halted: Halted = lambda: False) -> Run:
        """Send all that is due."""
        run, over = Run(), asyncio.Event()
        # Beside the sending, which goes on for as long as there is something to send.
        keeping = asyncio.create_task(self._keep_house(over, halted))
        try:
            sent = await self._sends().run(halted)
            over.set()
            await keeping
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        for workspace, count in sent.items():
            # What endpoints don't take is their failure, and no job's.
            run.add(workspace, done=count)
        return run

    def _sends(self) -> "Sender":
        # Loaded with the first run: a command that looks at the jobs needs no HTTP.
        from farthing.outbox.guard import Resolver
        from farthing.outbox.sender import Sender, trusted

        if self._sender is None:
            tools = self._tools
            self._sender = Sender(
                self._outbox, tools.now_us, tools.sending, tools.resolve or Resolver(), trusted(), news=self.news,
                on_tried=tools.on_tried,
            )  # fmt: skip
        return self._sender

    async def _keep_house(self, over: asyncio.Event, halted: Halted) -> None:
        while not halted():
            try:
                await self._tidy(halted)
            except StoreError:
                if over.is_set():
                    raise  # else what is sent meanwhile says so, where it lasts
            if over.is_set():
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), TIDY_SECONDS)

    async def _tidy(self, halted: Halted) -> None:
        now, at = time.monotonic(), self._tools.now_us()
        if now - self._tidied_at > TIDY_SECONDS:
            self._tidied_at = now
            await self._outbox.end_lines(at)
            await self._outbox.drop_homeless()
            await self._endpoints.drop_lapsed(at)
        if now - self._dropped_at > DROP_SECONDS:
            self._dropped_at = now
            sending = self._tools.sending
            await _dropped(self._outbox.drop_tries, sending.keep_tries_days, at, halted)
            await _dropped(self._outbox.drop_events, sending.keep_events_days, at, halted)


async def _dropped(drop: Callable[[int], Awaitable[int]], days: int, at: int, halted: Halted) -> None:
    more = bool(days)
    while more and not halted():
        more = await drop(at - days * DAY_US) >= PAGE
        await asyncio.sleep(REST_SECONDS if more else 0)
