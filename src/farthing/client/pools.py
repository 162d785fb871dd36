"""Pools: the connections of this process, and for asyncio those of this event loop. What was opened before a fork, or
by a loop that is another one's, is never written to: what the two would send would get mixed up.
"""

import asyncio
import os
from weakref import WeakKeyDictionary

import httpx2

from .errors import ClientClosed, Forked
from .http_errors import options_of


class _Processes:
    """Says whether this is still the process in which the pool was made."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def changed(self, given: bool) -> bool:
        """Whether it has forked since it was last asked; with a client that was given nothing new can be made."""
        if self._pid == os.getpid():
            return False
        if given:
            raise Forked(Forked.__doc__)
        self._pid = os.getpid()
        return True


class Pools:
    """The connections of whatever process this is."""

    def __init__(self, timeout: float, given: httpx2.Client | None) -> None:
        self._timeout = timeout
        self._given = given
        self._processes = _Processes()
        self._client = given or self._made()
        self._left: list[httpx2.Client] = []
        self._closed = False

    def here(self) -> httpx2.Client:
        """The client that may be used here."""
        if self._closed:
            raise ClientClosed(ClientClosed.__doc__)
        if self._processes.changed(self._given is not None):
            # Kept, so that the parent's connections are not even closed in an orderly way.
            self._left.append(self._client)
            self._client = self._made()
        return self._client

    def close(self) -> None:
        """End the connections of this process."""
        self._closed = True
        if self._given is None and not self._processes.changed(False):
            self._client.close()

    def _made(self) -> httpx2.Client:
        return httpx2.Client(**options_of(self._timeout))


class AsyncPools:
    """The connections of whatever event loop this is."""

    def __init__(self, timeout: float, given: httpx2.AsyncClient | None) -> None:
        self._timeout = timeout
        self._given = given
        self._processes = _Processes()
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient] = WeakKeyDictionary()
        self._left: list[object] = []
        self._closed = False

    def here(self) -> httpx2.AsyncClient:
        """The client that may be used here."""
        if self._closed:
            raise ClientClosed(ClientClosed.__doc__)
        if self._processes.changed(self._given is not None):
            self._left.append(self._clients)
            self._clients = WeakKeyDictionary()
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = httpx2.AsyncClient(**options_of(self._timeout))
        return client

    async def aclose(self) -> None:
        """End the connections of this loop; those of others end with them."""
        self._closed = True
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None and not self._processes.changed(False):
            await client.aclose()
