"""Pouring: parts that are made on the event loop of a thread, taken one by one by another thread.

Whoever waits for a part may be interrupted (Ctrl+C): then what makes the part is cancelled, and has come to its end
before anything else is done with it.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from typing import Final

from farthing.app import LoopThread

_STOP_SECONDS: Final = 5.0


def poured(loop: LoopThread, parts: AsyncGenerator[bytes, None]) -> Generator[bytes, None, None]:
    """The parts, in this thread."""
    try:
        while (part := _next(loop, parts)) is not None:
            yield part
    finally:
        if loop.runs:
            loop.run(parts.aclose())


def _next(loop: LoopThread, parts: AsyncGenerator[bytes, None]) -> bytes | None:
    done = threading.Event()

    async def step() -> bytes | None:
        try:
            return await anext(parts, None)
        finally:
            done.set()

    future = asyncio.run_coroutine_threadsafe(step(), loop.loop)
    try:
        return future.result()
    except BaseException:
        if not done.is_set():
            future.cancel()
            done.wait(_STOP_SECONDS)
        raise
