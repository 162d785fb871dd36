"""Watch: ends requests that can't be finished: a body that does not come, an answer that takes too long, a client
that has gone.

A timer for each request would cost more than all else that is done for it, so one timer looks at all of them ten times
a second, oldest first. Only a request that it finds waiting for its answer is watched for its client: nearly all are
answered long before.
"""

import asyncio
from time import perf_counter
from typing import Any, Final

from .endpoint import Cut, Request

EVERY_SECONDS: Final = 0.1

Task = asyncio.Task[Any]


class Watch:
    """The requests in flight of one event loop."""

    def __init__(self, body_seconds: float, answer_seconds: float) -> None:
        self._body_seconds = body_seconds
        self._answer_seconds = answer_seconds
        self._open: dict[Task, Request] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many requests are in flight."""
        return len(self._open)

    def begin(self, task: Task, request: Request) -> None:
        """Watch a request that is handled by this task."""
        self._open[task] = request
        if self._timer is None:
            self._arm(task.get_loop())

    def end(self, task: Task, request: Request) -> None:
        """It is decided what it will be told."""
        del self._open[task]
        if request.watcher is not None:
            request.watcher.cancel()

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(EVERY_SECONDS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = perf_counter()
        for task, request in self._open.items():
            age = now - request.began
            if age < EVERY_SECONDS:
                break
            self._look_at(task, request, age)
        if self._open:
            self._arm(loop)
        else:
            self._timer = None

    def _look_at(self, task: Task, request: Request, age: float) -> None:
        if request.reading:
            if age > self._body_seconds:
                _cut(task, request, Cut.SLOW)
        elif age > self._answer_seconds:
            _cut(task, request, Cut.LATE)
        elif request.watcher is None:
            request.watcher = task.get_loop().create_task(self._wait_for_client(task, request))

    async def _wait_for_client(self, task: Task, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        if task in self._open:
            _cut(task, request, Cut.GONE)


def _cut(task: Task, request: Request, why: Cut) -> None:
    if request.cut is None:
        request.cut = why
        task.cancel()
