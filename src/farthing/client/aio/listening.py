"""Listening: events as they come, over as many connections as it takes, nothing twice and nothing left out."""

from asyncio import sleep
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType

from ..calls import Call
from ..errors import ApiError
from ..event_stream import EventReader
from ..job_results import Event
from .door import AsyncDoor


class AsyncListening:
    """Events as they come: iterate over it, for as long as you like. It listens from the first step on; entered as a
    block, from the beginning of the block."""

    def __init__(self, door: AsyncDoor, call: Call[Event]) -> None:
        self._heard = heard(door, call)
        self._begun = False

    async def begin(self) -> None:
        """Listen from now on: what cannot be listened to is told here."""
        if not self._begun:
            self._begun = True
            await anext(self._heard, None)

    async def aclose(self) -> None:
        """Listen no more."""
        await self._heard.aclose()

    async def __aenter__(self) -> "AsyncListening":
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:  # fmt: skip
        await self.aclose()

    def heard(self) -> AsyncGenerator[Event | None, None]:
        """Events, and None for each sign of life."""
        return self._heard

    async def __aiter__(self) -> AsyncIterator[Event]:
        await self.begin()
        async for event in self._heard:
            if event is not None:
                yield event


async def heard(door: AsyncDoor, call: Call[Event]) -> AsyncGenerator[Event | None, None]:
    """Events, and None for each sign of life; the first is one. It ends with the client."""
    reader = EventReader(call, door.retries)
    while True:
        failed: ApiError | None = None
        try:
            async with aclosing(door.stream(reader.call())) as parts:
                async for part in parts:
                    yield None
                    for event in reader.read(part):
                        yield event
        except ApiError as error:
            failed = error
        if door.closed:
            return
        wait = reader.wait(failed)
        if wait is None:
            assert failed is not None, "a stream that ended is taken up again"
            raise failed
        await sleep(wait)
