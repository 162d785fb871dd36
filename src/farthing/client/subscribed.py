"""Subscriptions: a function of the caller's is told of events while they come, by a thread or in a task.

A function that raises is written to the log `farthing.client`, and is told the next event all the same.
"""

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .errors import ClientClosed, FarthingError
from .job_results import Event

if TYPE_CHECKING:
    from .aio.listening import AsyncListening
    from .sync.listening import Listening

OnEvent: TypeAlias = Callable[[Event], Any]
_LOG: Final = logging.getLogger("farthing.client")


class Subscription:
    """A function is told of events, by a thread of its own, until it is closed or the client is."""

    def __init__(self, listening: "Listening", on_event: OnEvent) -> None:
        self._listening = listening
        self._on_event = on_event
        self._turn = threading.RLock()
        self._closed = False
        self.error: FarthingError | None = None
        """Why it ended, if something ended it."""

    @classmethod
    def begun(cls, listening: "Listening", on_event: OnEvent) -> "Subscription":
        """Listen from now on; what cannot be listened to is told here."""
        listening.begin()
        made = cls(listening, on_event)
        threading.Thread(target=made._run, name="farthing-events", daemon=True).start()
        return made

    def close(self) -> None:
        """Once this returns the function is told nothing any more. The thread ends with the next sign of life."""
        with self._turn:
            self._closed = True

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        try:
            for event in self._listening.heard():
                with self._turn:
                    if self._closed:
                        break
                    if event is not None:
                        self._tell(event)
        except FarthingError as error:
            self.error = _ended(error)
        finally:
            with suppress(FarthingError):
                self._listening.close()

    def _tell(self, event: Event) -> None:
        try:
            self._on_event(event)
        except Exception:
            _failed(event)


class AsyncSubscription:
    """The same in a task of the running loop; the function may be asynchronous."""

    def __init__(self, listening: "AsyncListening", on_event: OnEvent) -> None:
        self._listening = listening
        self._on_event = on_event
        self._task: asyncio.Task[None] | None = None
        self.error: FarthingError | None = None
        """Why it ended, if something ended it."""

    @classmethod
    async def begun(cls, listening: "AsyncListening", on_event: OnEvent) -> "AsyncSubscription":
        """Listen from now on; what cannot be listened to is told here."""
        await listening.begin()
        made = cls(listening, on_event)
        made._task = asyncio.create_task(made._run())
        return made

    async def aclose(self) -> None:
        """Once this returns the function is told nothing any more."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def __aenter__(self) -> "AsyncSubscription":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _run(self) -> None:
        try:
            async for event in self._listening.heard():
                if event is not None:
                    await self._tell(event)
        except FarthingError as error:
            self.error = _ended(error)
        finally:
            with suppress(FarthingError):
                await self._listening.aclose()

    async def _tell(self, event: Event) -> None:
        try:
            told = self._on_event(event)
            if inspect.isawaitable(told):
                await told
        except Exception:
            _failed(event)


def _ended(error: FarthingError) -> FarthingError | None:
    if isinstance(error, ClientClosed):
        return None
    _LOG.error("a subscription to events ended: %s", error)
    return error


def _failed(event: Event) -> None:
    _LOG.exception("on_event failed for %s (%s)", event.id, event.type)
