"""The API of Digistore24. The key goes along in a header, and stands in no address, no text of an error and no log.

Every call is a POST of a form, answered by an envelope. What only reads, or comes to the same when it is done twice, is
sent again after an outage; what moves money is sent once, and whoever asked has to find out what became of it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from random import random
from types import TracebackType
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import urlsplit

import httpx2

from .errors import Digistore24Error, KeyInvalid, KeyRequired, NotFound, TemporaryError, kind_of
from .forms import Value, encode
from .results import (
    Billed,
    BuyUrl,
    Connection,
    Envelope,
    NoAnswer,
    Product,
    Purchase,
    Rebilling,
    Refund,
    Transaction,
    Upgrade,
    UpgradeOffer,
    UpgradePurchase,
    read_data,
    read_envelope,
)
from .wanted import LAST_DAY, Charge, Checkout, ConnectionPlan, Search

BASE_URL: Final = "https://www.digistore24.com"
TIMEOUT_SECONDS: Final = 10.0
RETRIES: Final = 2
FIRST_WAIT_SECONDS: Final = 0.25
MOST_WAIT_SECONDS: Final = 5.0
"""Who is told to wait longer than that is told so, and doesn't wait."""
MOST_BYTES: Final = 16_000_000
MOST_PAGES: Final = 10_000
_NEVER_LEFT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)

ONCE: Final = frozenset({"createBillingOnDemand", "createUpgradePurchase", "refundTransaction"})
"""What moves money: never sent again."""
READS: Final = frozenset(
    {"getPurchase", "getUpgrade", "ipnInfo", "listProducts", "listPurchases", "listTransactions", "listUpgrades"}
)

T = TypeVar("T")


class Digistore24:
    """Calls with one API key. Without `http` it has connections of its own, which `aclose` ends."""

    def __init__(
        self, api_key: str, *, base_url: str = BASE_URL, timeout: float = TIMEOUT_SECONDS, retries: int = RETRIES,
        http: httpx2.AsyncClient | None = None,
    ) -> None:  # fmt: skip
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"base_url must be such as {BASE_URL}")
        self._key = api_key.strip()
        self._base = base_url.rstrip("/")
        self._timeout = timeout
        self._retries = retries
        self._given = http
        self._http = http
        self._opening = asyncio.Lock()

    def __repr__(self) -> str:
        return f"Digistore24(api_key={self.key_id or '?'}-..., base_url={self._base!r})"

    @property
    def key_id(self) -> str:
        """The number before the key's secret: notifications name it."""
        number, dash, _ = self._key.partition("-")
        return number if dash and number.isascii() and number.isdigit() else ""

    async def aclose(self) -> None:
        """End the connections; a client that was given stays open."""
        if self._http is not None and self._given is None:
            await self._http.aclose()
            self._http = None

    async def __aenter__(self) -> "Digistore24":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:  # fmt: skip
        await self.aclose()

    # Buying

    async def create_buy_url(self, checkout: Checkout) -> BuyUrl:
        """A link to buy by. Twice makes two links, which harms nobody."""
        return await self._call("createBuyUrl", checkout.fields(), BuyUrl)

    async def create_billing_on_demand(self, charge: Charge) -> Billed:
        """Charge an earlier order again. The money is there when the notification says so."""
        return await self._call("createBillingOnDemand", charge.fields(), Billed)

    async def list_products(self) -> tuple[Product, ...]:
        """All products of the account."""
        data = await self._data("listProducts", {})
        # Bare, as it is documented, or under a name as in all other lists.
        bare = data.get("products", data) if isinstance(data, Mapping) else data
        return self._read("listProducts", bare, tuple[Product, ...])

    # Orders

    async def get_purchase(self, purchase_id: str) -> Purchase:
        """An order, by the id that notifications call order_id."""
        return await self._call("getPurchase", {"purchase_id": purchase_id}, Purchase)

    def list_purchases(self, search: Search = LAST_DAY) -> AsyncIterator[Purchase]:
        """Orders, oldest first, page by page."""
        return self._pages("listPurchases", search, "purchase_list", Purchase)

    def list_transactions(self, search: Search = LAST_DAY) -> AsyncIterator[Transaction]:
        """Payments, refunds and chargebacks, oldest first, page by page."""
        return self._pages("listTransactions", search, "transaction_list", Transaction)

    async def refund_transaction(self, transaction_id: str, *, force: bool = False) -> Refund:
        """Give the money of a transaction back, where its terms allow it; with `force` in any case."""
        return await self._call("refundTransaction", {"transaction_id": transaction_id, "force": force}, Refund)

    async def stop_rebilling(
        self, purchase_id: str, *, force: bool = False, ignore_refund_possibility: bool = False
    ) -> Rebilling:  # fmt: skip
        """Have an order paid no further; what is paid stays."""
        fields = {"force": force, "ignore_refund_possibility": ignore_refund_possibility}
        return await self._call("stopRebilling", {"purchase_id": purchase_id, **fields}, Rebilling)

    async def start_rebilling(self, purchase_id: str) -> Rebilling:
        """Have an order paid again that was stopped."""
        return await self._call("startRebilling", {"purchase_id": purchase_id}, Rebilling)

    # Upgrades

    async def list_upgrades(self) -> tuple[Upgrade, ...]:
        """All ways from one product to another."""
        data = await self._data("listUpgrades", {})
        return self._read("listUpgrades", _member(data, "upgrades"), tuple[Upgrade, ...])

    async def get_upgrade(self, upgrade_id: str, order_ids: str | None = None) -> UpgradeOffer:
        """One way; whether these orders (with commas between) can go it, too."""
        return await self._call("getUpgrade", {"upgrade_id": upgrade_id, "order_ids": order_ids}, UpgradeOffer)

    async def create_upgrade_purchase(
        self, upgrade_id: str, purchase_ids: str, payment_plan_id: str | None = None
    ) -> UpgradePurchase:  # fmt: skip
        """Carry an upgrade out without the buyer's doing."""
        fields = {"upgrade_id": upgrade_id, "purchase_ids": purchase_ids, "payment_plan_id": payment_plan_id}
        return await self._call("createUpgradePurchase", fields, UpgradePurchase)

    # Notifications

    async def ipn_setup(self, plan: ConnectionPlan) -> Connection:
        """Have notifications sent; a connection of the same domain_id is changed."""
        return await self._call("ipnSetup", plan.fields(), Connection)

    async def ipn_info(self, domain_id: str) -> Connection | None:
        """How a connection was set up; None where there is none."""
        try:
            return await self._call("ipnInfo", {"domain_id": domain_id}, Connection)
        except NotFound:
            return None

    async def ipn_delete(self, domain_id: str) -> None:
        """Have no notifications sent any more."""
        await self._data("ipnDelete", {"domain_id": domain_id})

    # Calling

    async def _pages(self, function: str, search: Search, name: str, kind: type[T]) -> AsyncIterator[T]:
        for page in range(1, MOST_PAGES + 1):
            data = await self._data(function, search.fields(page))
            found = self._read(function, _member(data, name), tuple[kind, ...])  # type: ignore[valid-type]
            for each in found:
                yield each
            if not found or not _is_more(data, page, len(found), search.page_size):
                return

    async def _call(self, function: str, fields: Mapping[str, Value], kind: type[T]) -> T:
        return self._read(function, await self._data(function, fields), kind)

    def _read(self, function: str, data: Any, kind: type[T]) -> T:
        try:
            return read_data(data, kind)
        except NoAnswer as error:
            raise TemporaryError(function, self._redacted(str(error)), unknown=function not in READS) from error

    async def _data(self, function: str, fields: Mapping[str, Value]) -> Any:
        """What a call's envelope has in it, after as many tries as the call allows."""
        self._check_key(function)
        body, began, tries = encode(fields), time.monotonic(), 0
        while True:
            tries += 1
            try:
                return await self._once(function, body)
            except Digistore24Error as error:
                wait = self._wait(error, tries)
                if wait is None or time.monotonic() - began + wait > self._timeout:
                    raise
            await asyncio.sleep(wait)

    def _check_key(self, function: str) -> None:
        if not self._key:
            raise KeyRequired(function, "no API key is set")
        if not (self._key.isascii() and self._key.isprintable()):
            raise KeyInvalid(function, "an API key has printable ASCII characters only: was it copied whole?")

    def _wait(self, error: Digistore24Error, tries: int) -> float | None:
        """Seconds until the next try; None where there shall be none."""
        if not error.passes or error.function in ONCE or tries > self._retries:
            return None
        if error.retry_after is not None:
            return None if error.retry_after > MOST_WAIT_SECONDS else error.retry_after
        doubled: float = FIRST_WAIT_SECONDS * 2 ** (tries - 1)
        return doubled * (1 + random())  # noqa: S311 - those who failed together shall not come back together

    async def _once(self, function: str, body: bytes) -> Any:
        try:
            # The time-outs of the connection are for each part of an answer: one that drips would never end.
            async with asyncio.timeout(self._timeout):
                status, raw, retry_after = await self._exchange(function, body)
        except (TimeoutError, httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError) as error:
            self._failed(function, error)
        return self._opened(function, status, raw, retry_after)

    async def _exchange(self, function: str, body: bytes) -> tuple[int, bytes, float | None]:
        headers = {
            "x-ds-api-key": self._key,
            "content-type": "application/x-www-form-urlencoded; charset=utf-8",
            "accept": "application/json",
            "user-agent": "farthing-python",
        }
        url = f"{self._base}/api/call/{function}/format/json"
        # A redirect is not followed: the key is meant for nobody else.
        request = (await self._connections()).build_request("POST", url, content=body, headers=headers)
        response = await (await self._connections()).send(request, stream=True, follow_redirects=False)
        try:
            raw = b""
            async for part in response.aiter_bytes():
                raw += part
                if len(raw) > MOST_BYTES:
                    raise TemporaryError(function, f"its answer has more than {MOST_BYTES:,} bytes", unknown=True)
            return response.status_code, raw, _seconds(response.headers.get("retry-after"))
        finally:
            await response.aclose()

    async def _connections(self) -> httpx2.AsyncClient:
        async with self._opening:
            if self._http is None:
                # To load the certificates takes long enough to hold up charges.
                context = await asyncio.to_thread(httpx2.create_ssl_context)
                self._http = httpx2.AsyncClient(verify=context, timeout=self._timeout, follow_redirects=False)
            return self._http

    # What went wrong

    def _failed(self, function: str, error: Exception) -> NoReturn:
        """There was no answer."""
        never_left = isinstance(error, _NEVER_LEFT)
        if isinstance(error, TimeoutError | httpx2.TimeoutException):
            why = "no answer in time"
        else:
            why = f"{'it can not be reached' if never_left else 'it broke off'} ({type(error).__name__})"
        raise TemporaryError(function, why, unknown=not never_left and function not in READS) from error

    def _opened(self, function: str, status: int, raw: bytes, retry_after: float | None) -> Any:
        """What is in an answer's envelope."""
        try:
            envelope = read_envelope(raw)
        except NoAnswer as error:
            unknown = function not in READS and (status < 300 or status >= 500)
            told = kind_of(status, None)(
                function, f"status {status}: {error}", retry_after=retry_after, unknown=unknown
            )
            raise told from error
        if envelope.result == "success" and status < 300:
            return envelope.data
        self._refused(function, status, envelope, retry_after)

    def _refused(self, function: str, status: int, envelope: Envelope, retry_after: float | None) -> NoReturn:
        kind = kind_of(status, 0 if envelope.code is None else envelope.code)
        message = self._redacted(envelope.message) or f"status {status}, and no reason"
        unknown = status >= 500 and function not in READS
        raise kind(function, message, provider_code=envelope.code, retry_after=retry_after, unknown=unknown)

    def _redacted(self, text: str) -> str:
        """A sentence of theirs without our key in it."""
        return text.replace(self._key, "(the API key)")[:500]


def _member(data: Any, name: str) -> Any:
    """A list in an answer; PHP says an empty answer as a list."""
    return data.get(name) or [] if isinstance(data, Mapping) else data


def _is_more(data: Any, page: int, found: int, page_size: int) -> bool:
    """Whether there is a further page: told by the number of pages, or by this one being full."""
    count = data.get("page_count") if isinstance(data, Mapping) else None
    return page < int(count) if isinstance(count, int | str) and str(count).isdigit() else found >= page_size


def _seconds(text: str | None) -> float | None:
    """Retry-After, where it is a number of seconds."""
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
