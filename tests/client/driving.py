"""Driving: a client of either kind, by the words of the synchronous one, so that one test is for both; and where its
ledger is: in a file, in PostgreSQL, behind a server.
"""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import farthing
from farthing.client.aio.holding import AsyncHolding
from farthing.client.aio.pages import AsyncPages
from farthing.clock import SystemClock
from tests.api.serving import Server

Kind = Literal["sync", "async"]


class Driver:
    """Something asynchronous, driven on a loop of its own."""

    def __init__(self, runner: asyncio.Runner, what: Any) -> None:
        self._runner = runner
        self._what = what

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._what, "aclose" if name == "close" else name)
        if callable(found):
            return lambda *args, **named: self._come_to(found(*args, **named))
        return self._come_to(found)

    def _come_to(self, value: Any) -> Any:
        if inspect.iscoroutine(value):
            value = self._runner.run(value)
        if isinstance(value, AsyncPages | AsyncHolding) or type(value).__module__.startswith("farthing.client.aio"):
            return Driver(self._runner, value)
        return self._all_of(value) if hasattr(value, "__aiter__") else value

    def __iter__(self) -> Iterator[Any]:
        return self._all_of(self._what)

    def _all_of(self, source: Any) -> Iterator[Any]:
        items = source.__aiter__()
        while True:
            try:
                yield self._runner.run(_next(items))
            except StopAsyncIteration:
                return

    def __enter__(self) -> "Driver":
        self._runner.run(self._what.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:  # fmt: skip
        self._runner.run(self._what.__aexit__(kind, error, traceback))


async def _next(items: Any) -> Any:
    return await items.__anext__()


class Place:
    """A ledger, and how clients of a kind are opened on it."""

    def __init__(self, kind: Kind, url: str, **options: Any) -> None:
        self.kind = kind
        self.url = url
        self.options = options
        self._undo: list[Callable[[], Any]] = []

    def open(self, **more: Any) -> Any:
        """Another client of the ledger; closed at the end."""
        options = self.options | more
        if self.kind == "sync":
            client: Any = farthing.connect(self.url, **options)
            self._undo.append(client.close)
            return client
        runner = asyncio.Runner()
        self._undo.append(runner.close)

        async def opened() -> farthing.AsyncClient:
            return await farthing.aconnect(self.url, **options)

        driver = Driver(runner, runner.run(opened()))
        self._undo.append(driver.close)
        return driver

    def close(self) -> None:
        """Close all of them, the last one first."""
        while self._undo:
            self._undo.pop()()


def serve(folder: Path) -> Server:
    """A server on a file, by the clock of the machine."""
    return Server(folder, clock=SystemClock())
