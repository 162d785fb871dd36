"""Finishing: what has begun on an event loop and would leave credits set aside is not torn off by a cancellation."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")
LONGEST_SECONDS: Final = 5.0
"""Whoever is cancelled waits no longer than that for what is on its way."""


async def afinished(work: Coroutine[Any, Any, T]) -> T:
    """The result of work, which goes on to its end when its caller is cancelled meanwhile: he is cancelled once it is
    there. What takes too long is given up, and so it is when he is cancelled a second time."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError as cancelled:
        if not task.done():
            await asyncio.wait([task], timeout=LONGEST_SECONDS)
        if task.done() and not task.cancelled():
            # Why it failed must not get lost, and the cancellation neither.
            cancelled.__cause__ = task.exception()
        raise
    finally:
        task.cancel()


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of work of which it is known that it waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise RuntimeError("it waits for something")
