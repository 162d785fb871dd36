"""Connecting: from a URL to a client. The same program runs on a file, a database or a server by its URL alone."""

import asyncio
import os
from collections.abc import Generator, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from .aio.client import AsyncClient
from .aio.door import AsyncDoor, AsyncTransport
from .aio.outage import AsyncOutage
from .callbacks import Callbacks, OnBalanceChange, OnMetrics
from .errors import ConnectError
from .guests import Guests, guests_of
from .policy import Folder, OnUnavailable, Policy
from .retries import Retries
from .sync.client import Client
from .sync.door import Door
from .sync.outage import Outage
from .wanted import TimeSource, Wanted

if TYPE_CHECKING:
    import httpx2

    from .aio.http import AsyncHttp
    from .inside.transport import AsyncInside
    from .journal.keeping import Journal

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
    on_unavailable: OnUnavailable = "raise", journal: Folder | None = None, guests: Iterable[str] = (),
    clock: TimeSource | None = None,
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

    `on_unavailable` says what becomes of a charge or a settle when the ledger can't be reached, after all tries:
    `raise` its error; `allow`: let it through, uncharged, with a warning in the log; `queue`: write it to a journal in
    the folder `journal`, on this machine's disk, and charge it once the ledger is back, as debt where credits are
    missing. The result of such a call has a `status` that says so. Refusals are always raised.

    `guests` are accounts that are never charged, such as ["anonymous"]: their charges and holds are not even sent, and
    the `status` of the result says so.

    `clock` is a clock of your own for a database that is opened here, such as a `VirtualClock` for tests; all who use
    the database meanwhile should go by the same.
    """
    retries = _retries(timeout, max_retries)
    callbacks = Callbacks(on_balance_change, on_metrics, threads=True)
    policy, spared = Policy(on_unavailable, journal), guests_of(guests)
    if _is_server(url, clock):
        from .sync.http import Http

        key = _api_key(api_key)
        http = Http(url, key, timeout, http_client)
        kept = policy.of_server(http.address, key, workspace)
        door = Door(http, retries, callbacks, Outage(on_unavailable, kept, callbacks), spared)
        return _begun(door, workspace)
    from .inside.transport import Inside

    wanted = Wanted(
        url=url, workspace=workspace, create=create, unit=unit, scale=scale, actor=actor, timeout=timeout, clock=clock
    )  # fmt: skip
    transport = Inside.open(wanted)
    try:
        kept = policy.inside(transport.place)
    except BaseException:
        transport.close()
        raise
    return _begun(Door(transport, retries, callbacks, Outage(on_unavailable, kept, callbacks), spared), None)


def _begun(door: Door, workspace: str | None) -> Client:
    """The client, once it is known to be for the workspace that is meant, and sends what waits for it."""
    client = Client(door)

    def check() -> None:
        _check_workspace(client.settings.get().workspace.id, workspace)

    try:
        door.begin(None if workspace is None else check)
    except BaseException:
        client.close()
        raise
    return client


def aconnect(
    url: str, *, api_key: str | None = None, workspace: str | None = None, create: bool = True,
    timeout: float = TIMEOUT_SECONDS, max_retries: int = RETRIES, unit: str | None = None, scale: int | None = None,
    actor: str = ACTOR, http_client: "httpx2.AsyncClient | None" = None,
    on_balance_change: OnBalanceChange | None = None, on_metrics: OnMetrics | None = None,
    on_unavailable: OnUnavailable = "raise", journal: Folder | None = None, guests: Iterable[str] = (),
    clock: TimeSource | None = None,
) -> "Connecting":  # fmt: skip
    """The same for asyncio, as `connect` says: await it, or enter it as a block.

        async with farthing.aconnect("sqlite:///credits.db") as client:
            await client.charge("alice", 5)

    In this process it joins the running loop, and never waits for a disk in it. The callbacks may be asynchronous.
    """
    retries = _retries(timeout, max_retries)
    callbacks = Callbacks(on_balance_change, on_metrics)
    policy, spared = Policy(on_unavailable, journal), guests_of(guests)
    if _is_server(url, clock):
        from .aio.http import AsyncHttp

        key = _api_key(api_key)
        http = AsyncHttp(url, key, timeout, http_client)
        return Connecting(http, key, None, retries, workspace, callbacks, policy, spared)
    wanted = Wanted(
        url=url, workspace=workspace, create=create, unit=unit, scale=scale, actor=actor, timeout=timeout, clock=clock
    )  # fmt: skip
    return Connecting(None, "", wanted, retries, None, callbacks, policy, spared)


class Connecting:
    """A client that is still to be opened: await it, or enter it as a block, which closes it at its end."""

    def __init__(
        self, http: "AsyncHttp | None", key: str, wanted: "Wanted | None", retries: Retries, workspace: str | None,
        callbacks: Callbacks, policy: Policy, guests: Guests,
    ) -> None:  # fmt: skip
        self._http = http
        self._key = key
        self._policy = policy
        self._guests = guests
        self._wanted = wanted
        self._retries = retries
        self._workspace = workspace
        self._callbacks = callbacks
        self._client: AsyncClient | None = None

    async def _open(self) -> AsyncClient:
        transport, journal = await self._opened()
        outage = AsyncOutage(
            self._policy.on_unavailable, None if journal is None else journal.for_loops(), self._callbacks
        )  # fmt: skip
        door = AsyncDoor(transport, self._retries, self._callbacks, outage, self._guests)
        client = AsyncClient(door)

        async def check() -> None:
            _check_workspace((await client.settings.get()).workspace.id, self._workspace)

        try:
            await door.begin(None if self._workspace is None else check)
        except BaseException:
            await client.aclose()
            raise
        return client

    async def _opened(self) -> "tuple[AsyncTransport, Journal | None]":
        http = self._http
        if http is not None:
            find = partial(self._policy.of_server, http.address, self._key, self._workspace)
            return http, await asyncio.to_thread(find)
        assert self._wanted is not None, "one of the two is given"
        transport = await (await asyncio.to_thread(_inside)).open(self._wanted)
        try:
            return transport, await asyncio.to_thread(self._policy.inside, transport.place)
        except BaseException:
            await transport.aclose()
            raise

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the client is not open yet, and has no {name!r}: await aconnect(...), or enter it as a block"
        )

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


def _is_server(url: str, clock: TimeSource | None) -> bool:
    """Whether it is a server's address, rather than a database's."""
    if not isinstance(url, str):
        raise ConnectError(f"connect to {_SCHEMES}; not to {url!r}: is a variable missing?")
    scheme = url.partition(":")[0].lower()
    if scheme in ("http", "https"):
        if clock is not None:
            raise ConnectError("clock is for a database that is opened in this process: a server goes by its own")
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
    for name, given in (("timeout", timeout), ("max_retries", most)):
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise ConnectError(f"{name} must be a number, not {given!r}")
    if timeout <= 0:
        raise ConnectError("timeout must be above zero seconds")
    if most < 0:
        raise ConnectError("max_retries must not be negative")
    return Retries(most)


def _check_workspace(found: str, wanted: str | None) -> None:
    if found != wanted:
        raise ConnectError(f"this API key is for the workspace {found!r}, not for {wanted!r}")
