"""The gate: who is within, so that closing can let them finish. For threads and event loops alike."""

import asyncio
import os
import threading
from typing import Final

LONGEST_SECONDS: Final = 30.0
"""Closing waits no longer than that; what is on its way then fails, and says what is known of it."""


class Gate:
    """Open until it is shut."""

    def __init__(self) -> None:
        self._begin()
        self._closed = False

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._turn = threading.Lock()
        self._empty = threading.Condition(self._turn)
        self._within = 0

    def enter(self) -> bool:
        """Go in, where it is open; who has gone in has to leave."""
        if self._pid != os.getpid():
            # A fork: those within are the parent's, and one of its threads may have held the lock.
            self._begin()
        with self._turn:
            if self._closed:
                return False
            self._within += 1
            return True

    @property
    def shut_already(self) -> bool:
        """Whether nobody is let in any more."""
        return self._closed

    def leave(self) -> None:
        """Go out."""
        with self._turn:
            self._within -= 1
            if self._closed and not self._within:
                self._empty.notify_all()

    def shut(self) -> None:
        """Let nobody in any more, and wait for those within."""
        if self._pid != os.getpid():
            self._begin()
        with self._turn:
            self._closed = True
            self._empty.wait_for(lambda: not self._within, LONGEST_SECONDS)

    async def ashut(self) -> None:
        """The same, while the event loop goes on."""
        await asyncio.to_thread(self.shut)
