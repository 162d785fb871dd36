"""The web: an ASGI application whose requests are metered; no framework is needed.

    app.add_middleware(MeteredApp, ledger=ledger, account=user_of, costs="/chat")

Before a request that costs, what its account can spend is held against a floor; in the request, metered calls are that
account's; and no answer waits for a settlement. What refuses a request is told in `refusing`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from decimal import Decimal
from functools import partial
from inspect import isawaitable
from typing import Any, Final, Literal, TypeAlias

from msgspec.structs import replace

from farthing.client.aio.client import AsyncClient
from farthing.client.errors import AccountNotFound, ApiError, FarthingError, Unavailable
from farthing.client.results import Balance
from farthing.client.stand_ins import says_nothing_of_it
from farthing.client.sync.client import Client
from farthing.client.values import Amount, amount_text
from farthing.core.exact import plain

from .policy import Given, chosen
from .refusing import GUEST, Refusal, away, poor, refusal_of, refuse
from .tab import Tab
from .terms import Said, saying

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Ledger: TypeAlias = Client | AsyncClient
More: TypeAlias = Callable[[Scope, Refusal], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]
FLOOR: Final = "0.01"
_LOG: Final = logging.getLogger("farthing.llm")


class MeteredApp:
    """An ASGI application whose requests are metered.

    `ledger` is a client, or gives one for a request, where it is opened later; `account` says whose a request is, and
    None that it is a guest's. Both may look at the scope, and `account` may be asynchronous. `costs` are paths, with
    all below them, or decide by the scope; without it every request costs. Who can't spend the `floor` is answered
    402, with what `more` puts beside it. Guests, `anonymous` among them, are never charged: they are served for
    nothing (`free`), or are asked to log in (`refuse`). What else is said counts for the metered calls of a request, as
    `metering` has it; `operation`, `service` and `product` also for what of the balance may be spent on them.
    """

    def __init__(
        self, app: App, *, ledger: Ledger | Callable[[Scope], Ledger],
        account: Callable[[Scope], str | Awaitable[str | None] | None],
        costs: str | Iterable[str] | Callable[[Scope], bool] | None = None, floor: Amount = FLOOR,
        guests: Literal["free", "refuse"] = "free", guest_accounts: Iterable[str] = ("anonymous",),
        more: More | None = None, notices: bool = True, timeout: float = 5.0, policy: Given = None,
        operation: str | None = None, service: str | None = None, product: str | None = None,
    ) -> None:  # fmt: skip
        if guests not in ("free", "refuse"):
            raise ValueError(f"guests must be 'free' or 'refuse', not {guests!r}")
        chosen("", service or "", policy)  # what can't be meant is refused here
        self._app = app
        self._ledger = ledger
        self._account = account
        self._costs = costs if callable(costs) else partial(_is_below, _paths(costs))
        self._floor = Decimal(amount_text(floor, "floor"))
        self._guests, self._guest_accounts = guests, frozenset(guest_accounts)
        self._more, self._notices, self._timeout = more, notices, timeout
        self._scoped = {"operation": operation, "service": service, "product": product}
        self._said = Said(policy=policy, operation=operation, service=service, product=product)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] not in ("http", "websocket") or not self._costs(scope):
            await self._app(scope, receive, send)
            return
        admitted = await self._admitted(scope)
        if isinstance(admitted, Refusal):
            await self._refuse(scope, send, admitted)
        else:
            await self._serve(scope, receive, send, admitted)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, tab: Tab) -> None:
        scope["farthing"] = tab
        answer = _Answer(send, tab if self._notices else None)
        with saying(_of(self._said, tab)):
            try:
                await self._app(scope, receive, answer.send)
            except FarthingError as error:
                refusal = None if answer.begun else refusal_of(error, tab.account)
                if refusal is None:
                    raise
                await self._refuse(scope, send, refusal)
                return
        await answer.end()

    async def _refuse(self, scope: Scope, send: Send, refusal: Refusal) -> None:
        await refuse(scope, send, refusal, await self._told_more(scope, refusal))

    async def _told_more(self, scope: Scope, refusal: Refusal) -> Mapping[str, Any]:
        if self._more is None:
            return {}
        try:
            found = self._more(scope, refusal)
            return await found if isawaitable(found) else found
        except Exception:  # whoever lacks credits is told so, whatever else could not be told
            _LOG.exception("what was to be told beside %s could not be found", refusal.code)
            return {}

    async def _admitted(self, scope: Scope) -> Tab | Refusal:
        found = self._account(scope)
        account = await found if isawaitable(found) else found
        if account is None or account in self._guest_accounts:
            return Tab() if self._guests == "free" else GUEST
        ledger = self._ledger if isinstance(self._ledger, Client | AsyncClient) else self._ledger(scope)
        if account in ledger._door.guests.accounts:
            return Tab() if self._guests == "free" else GUEST
        balance = await self._balance(ledger, account)
        if isinstance(balance, Balance) and balance.available < self._floor:
            return poor(account, balance.available)
        return balance if isinstance(balance, Refusal) else Tab(account, balance)

    async def _balance(self, ledger: Ledger, account: str) -> Balance | Refusal | None:
        """What the account has; None where the ledger can't be asked, and its client lets calls through then."""
        try:
            async with asyncio.timeout(self._timeout):
                return await _ask(ledger, account, self._scoped)
        except AccountNotFound:
            return poor(account, Decimal(0))
        except TimeoutError:
            error: ApiError = Unavailable(f"The ledger gave no answer in {self._timeout} s.", code="no_answer")
        except ApiError as failed:
            if not says_nothing_of_it(failed):
                raise
            error = failed
        if ledger._door.outage.bears(error):
            _LOG.warning("the balance of %s could not be looked at, and is not: %s", account, error)
            return None
        _LOG.error("the balance of %s could not be looked at: %s", account, error)
        return away(error, account)


async def _ask(ledger: Ledger, account: str, scoped: dict[str, str | None]) -> Balance:
    if isinstance(ledger, AsyncClient):
        return await ledger.balance(account, **scoped)
    return await asyncio.to_thread(partial(ledger.balance, account, **scoped))


def _of(said: Said, tab: Tab) -> Said:
    return replace(said, account=tab.account, guest=tab.account is None, tab=tab)


def _paths(costs: str | Iterable[str] | None) -> tuple[str, ...]:
    paths = ("/",) if costs is None else (costs,) if isinstance(costs, str) else tuple(costs)
    if wrong := [path for path in paths if not path.startswith("/")]:
        raise ValueError(f"costs must be paths that begin with a slash, not {wrong}")
    return tuple(path.rstrip("/") for path in paths)


def _is_below(paths: tuple[str, ...], scope: Scope) -> bool:
    # A browser asks by OPTIONS whether it may ask, and brings nobody's cookies along.
    if scope.get("method") == "OPTIONS":
        return False
    path, root = scope["path"], scope.get("root_path", "")
    path = path.removeprefix(root) if path.startswith(f"{root}/") else path
    return any(path == each or path.startswith(f"{each}/") for each in paths)


class _Answer:
    """What is answered. It begins with its first part, so that a call which is refused by then can still be told."""

    def __init__(self, send: Send, tab: Tab | None) -> None:
        self._send = send
        self._tab = tab
        self._kept: list[Message] = []
        self.begun = False

    async def send(self, message: Message) -> None:
        """One part of it."""
        if message["type"] == "http.response.start":
            self._kept.append(message if self._tab is None else _noticed(message, self._tab))
        elif len(self._kept) == 1 and _ends_nothing(self._kept[0], message):
            self._kept.append(message)
        else:
            await self.end()
            self.begun = True
            await self._send(message)

    async def end(self) -> None:
        """Send what was kept back."""
        kept, self._kept = self._kept, []
        for message in kept:
            self.begun = True
            await self._send(message)


def _ends_nothing(start: Message, end: Message) -> bool:
    """Whether a stream is over of which nothing came: some middlewares end it before they tell why."""
    names = {name.lower() for name, _ in start.get("headers", ())}
    streams = start["status"] == 200 and b"content-length" not in names
    return streams and end["type"] == "http.response.body" and not end.get("body") and not end.get("more_body")


def _noticed(start: Message, tab: Tab) -> Message:
    if tab.balance is None or not tab.level:
        return start
    told = [(b"farthing-balance", plain(tab.balance).encode()), (b"farthing-balance-level", tab.level.encode())]
    return dict(start) | {"headers": [*start.get("headers", ()), *told]}
