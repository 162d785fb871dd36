"""Connecting: from a URL to a client. The same program runs on a file, a database or a server by its URL alone."""

import asyncio
import os
from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from .aio.client import AsyncClient
from .aio.door import AsyncDoor, AsyncTransport
from .callbacks import Callbacks, OnBalanceChange, OnMetrics
from .errors import ConnectError
from .retries import Retries
from .sync.client import Client
from .sync.door import Door, Transport
from .wanted import Wanted

if TYPE_CHECKING:
    import httpx2

    from .inside.transport import AsyncInside

API_KEY_VARIABLE: Final = "FARTHING_API_KEY"
TIMEOUT_SECONDS: Final = 10.0
RETRIES: Final = 2
ACTOR: Final = "library"
_SCHEMES: Final = (
    "sqlite:///credits.db (a file in this folder), sqlite:////absolute/path.db, postgresql://user@host/name, or "
    "https://host of a server"
)


def connect(
    url: str, *, api_key: str | None = None, workspace: str | None = None, create: bool = True,
    timeout: float = TIMEOUT_SECONDS, max_retries: int = RETRIES, unit: str | None = None, scale: int | None = None,
    actor: str = ACTOR, http_client: "httpx2.Client | None" = None,
    on_balance_change: OnBalanceChange | None = None, on_metrics: OnMetrics | None = None,
) -> Client:  # fmt: skip
    """Open a ledger: `sqlite:///credits.db`, `postgresql://user@host/name`, or `https://host` of a server.

    A database is opened in this process; with `create` its file, its tables and its first workspace (which counts in
    `unit` with `scale` decimals) are made where there are none. `workspace` is needed where there are several. `actor`
    is how its entries name who did it.

    A server is asked over HTTP, with `api_key` or the variable FARTHING_API_KEY, and a `http_client` of your own if you
    like; the key says which workspace it is for.

    An answer may take `timeout` seconds; a call that may be sent again is, up to `max_retries` times, under the same
    key.

    `on_balance_change(account)` is called once an account's credits have changed by this client, and
    `on_metrics(operation=, account=, amount=, success=, duration=, error=)` after every command, refused ones included
    (the account is None where a refusal does not tell whose it is); both after the commit, in the caller's thread. One
    that raises is logged and changes nothing.
    """
    retries = _retries(timeout, max_retries)
    callbacks = Callbacks(on_balance_change, on_metrics, threads=True)
    if _is_server(url):
        from .sync.http import Http

        client = Client(Door(Http(url, _api_key(api_key), timeout, http_client), retries, callbacks))
        if workspace is not None:
            try:
                _check_workspace(client.settings.get().workspace.id, workspace)
            except BaseException:
                client.close()
                raise
        return client
    from .inside.transport import Inside

    wanted = Wanted(
        url=url, workspace=workspace, create=create, unit=unit, scale=scale, actor=actor, timeout=timeout
    )  # fmt: skip
    transport: Transport = Inside.open(wanted)
    return Client(Door(transport, retries, callbacks))


def aconnect(
    url: str, *, api_key: str | None = None, workspace: str | None = None, create: bool = True,
    timeout: float = TIMEOUT_SECONDS, max_retries: int = RETRIES, unit: str | None = None, scale: int | None = None,
    actor: str = ACTOR, http_client: "httpx2.AsyncClient | None" = None,
    on_balance_change: OnBalanceChange | None = None, on_metrics: OnMetrics | None = None,
) -> "Connecting":  # fmt: skip
    """The same for asyncio, as `connect` says: await it, or enter it as a block.

        async with farthing.aconnect("sqlite:///credits.db") as client:
            await client.charge("alice", 5)

    In this process it joins the running loop, and never waits for a disk in it. The callbacks may be asynchronous.
    """
    retries = _retries(timeout, max_retries)
    callbacks = Callbacks(on_balance_change, on_metrics)
    if _is_server(url):
        from .aio.http import AsyncHttp

        http = AsyncHttp(url, _api_key(api_key), timeout, http_client)
        return Connecting(http, None, retries, workspace, callbacks)
    wanted = Wanted(
        url=url, workspace=workspace, create=create, unit=unit, scale=scale, actor=actor, timeout=timeout
    )  # fmt: skip
    return Connecting(None, wanted, retries, None, callbacks)


class Connecting:
    """A client that is still to be opened: await it, or enter it as a block, which closes it at its end."""

    def __init__(
        self, transport: AsyncTransport | None, wanted: "Wanted | None", retries: Retries, workspace: str | None,
        callbacks: Callbacks,
    ) -> None:  # fmt: skip
        self._transport = transport
        self._wanted = wanted
        self._retries = retries
        self._workspace = workspace
        self._callbacks = callbacks
        self._client: AsyncClient | None = None

    async def _open(self) -> AsyncClient:
        transport = self._transport
        if transport is None:
            assert self._wanted is not None, "one of the two is given"
            transport = await (await asyncio.to_thread(_inside)).open(self._wanted)
        client = AsyncClient(AsyncDoor(transport, self._retries, self._callbacks))
        if self._workspace is not None:
            try:
                _check_workspace((await client.settings.get()).workspace.id, self._workspace)
            except BaseException:
                await client.aclose()
                raise
        return client

    def __await__(self) -> Generator[Any, None, AsyncClient]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncClient:
        self._client = await self._open()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:  # fmt: skip
        if self._client is not None:
            await self._client.aclose()


def _inside() -> "type[AsyncInside]":
    """Loading all of the ledger takes a while: it is done in a thread."""
    from .inside.transport import AsyncInside

    return AsyncInside


def _is_server(url: str) -> bool:
    """Whether it is a server's address, rather than a database's."""
    scheme = url.partition(":")[0].lower()
    if scheme in ("http", "https"):
        return True
    if scheme not in ("sqlite", "postgres", "postgresql"):
        # What stands behind the scheme may hold a password.
        given = f"{scheme}:..." if ":" in url else repr(url)
        raise ConnectError(f"connect to {_SCHEMES}; not to {given}")
    return False


def _api_key(given: str | None) -> str:
    key = given or os.environ.get(API_KEY_VARIABLE, "")
    if not key:
        raise ConnectError(f"a server needs an API key: api_key=..., or the variable {API_KEY_VARIABLE}")
    return key


def _retries(timeout: float, most: int) -> Retries:
    if timeout <= 0:
        raise ConnectError("timeout must be above zero seconds")
    if most < 0:
        raise ConnectError("max_retries must not be negative")
    return Retries(most)


def _check_workspace(found: str, wanted: str) -> None:
    if found != wanted:
        raise ConnectError(f"this API key is for the workspace {found!r}, not for {wanted!r}")
