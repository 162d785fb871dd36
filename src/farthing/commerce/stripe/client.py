"""The client: what Farthing asks of Stripe. Its calls run in a few threads, since the library blocks.

Every call that changes something takes an idempotency key of ours: repeated with it, within a day, it is carried out
once and answers the same, errors of a card included. Who stops waiting does not stop the call: the key finds out what
became of it.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .errors import AuthenticationRequired, CardDeclined, KeyRefused
from .objects import (
    Charge,
    Customer,
    Dispute,
    Intent,
    Invoice,
    InvoicePayment,
    Json,
    Object,
    PaymentMethod,
    Refund,
    Session,
    Subscription,
    read,
)
from .orders import (
    ACCOUNT,
    WORKSPACE,
    Charged,
    Charging,
    Checkout,
    Declined,
    NeedsCustomer,
    Owner,
    Paid,
    Pending,
    Price,
)

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams, RefundCreateParams
    from stripe.params.checkout import SessionCreateParams, SessionCreateParamsLineItem

    from .library import Call, Library

BASE: Final = "https://api.stripe.com"
TIMEOUT_SECONDS: Final = 10.0
RETRIES: Final = 2
THREADS: Final = 4
PAGE: Final = 100
MOST_REFERENCE: Final = 200
_KEY: Final = re.compile(r"(sk|rk)_(test_)?\w+", re.ASCII)
Read = TypeVar("Read", bound=Object)


class Stripe:
    """An API key's view of Stripe."""

    def __init__(
        self, key: str, *, base: str = BASE, timeout: float = TIMEOUT_SECONDS, retries: int = RETRIES,
        threads: int = THREADS,
    ) -> None:  # fmt: skip
        found = _KEY.fullmatch(key)
        if found is None:
            raise KeyRefused("an API key looks like sk_live_... or rk_test_...; nothing was asked")
        self.live = found[2] is None
        """Whether money is real there."""
        self._key = key
        self._base = base.rstrip("/")
        self._timeout = timeout
        self._retries = retries
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="stripe")
        self._library: Library | None = None
        self._loading = Lock()

    def __repr__(self) -> str:
        return f"Stripe({self._base}, {'live' if self.live else 'test'})"

    async def aclose(self) -> None:
        """Wait for what is on its way, and let go of everything."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._library is not None:
            self._library.close()

    # Checkouts

    async def check_out(self, wanted: Checkout, key: str) -> Session:
        """A page to pay on once."""
        params = _checkout(wanted) | {"mode": "payment"}
        data: Json = {"metadata": wanted.metadata()}
        if wanted.keep_method:
            data["setup_future_usage"] = "off_session"
            if not wanted.customer:
                params["customer_creation"] = "always"
        params["payment_intent_data"] = data
        return await self._make_session(params, key)

    async def check_out_subscription(self, wanted: Checkout, key: str) -> Session:
        """A page on which to begin to pay again and again."""
        params = _checkout(wanted) | {"mode": "subscription"}
        params["subscription_data"] = {"metadata": wanted.metadata()}
        return await self._make_session(params, key)

    async def _make_session(self, params: Json, key: str) -> Session:
        made: SessionCreateParams = params  # type: ignore[assignment] # put together above, by name
        return await self._ask(Session, lambda api: api.v1.checkout.sessions.create(made, {"idempotency_key": key}))

    async def session(self, id: str) -> Session:
        """How a checkout stands."""
        return await self._ask(Session, lambda api: api.v1.checkout.sessions.retrieve(id))

    async def expire_session(self, id: str, key: str) -> Session:
        """Have nobody pay on it any more; one that is paid, or over, is refused here."""
        return await self._ask(Session, lambda api: api.v1.checkout.sessions.expire(id, {}, {"idempotency_key": key}))

    async def session_of(self, payment_intent: str) -> Session | None:
        """The checkout that a payment was made by."""
        found = await self._call(
            lambda api: api.v1.checkout.sessions.list({"payment_intent": payment_intent, "limit": 1})
        )
        return next((read(Session, each) for each in found["data"]), None)

    # Customers, and by what they pay

    async def make_customer(self, owner: Owner, key: str, *, email: str = "", name: str = "") -> Customer:
        """An account as Stripe's customer. Make one for an account: keep its id, and use one key for it."""
        known: Any = {name: value for name, value in (("email", email), ("name", name)) if value}
        params: Any = {"metadata": owner.metadata(), **known}
        return await self._ask(Customer, lambda api: api.v1.customers.create(params, {"idempotency_key": key}))

    async def customer(self, id: str) -> Customer:
        """One that is known by its id; `deleted` tells that it is gone."""
        return await self._ask(Customer, lambda api: api.v1.customers.retrieve(id))

    async def customers_of(self, owner: Owner) -> list[Customer]:
        """Those that were made for an account, oldest first. Stripe's search is a minute behind at times."""
        marks = ((WORKSPACE, owner.workspace), (ACCOUNT, owner.account))
        query = " AND ".join(f"metadata['{name}']:'{_quoted(value)}'" for name, value in marks)
        found = await self._call(lambda api: api.v1.customers.search({"query": query, "limit": PAGE}))
        return sorted((read(Customer, each) for each in found["data"]), key=lambda customer: customer.created_us)

    async def payment_methods(self, customer: str) -> list[PaymentMethod]:
        """By what a customer can pay, newest first."""
        found = await self._call(lambda api: api.v1.customers.payment_methods.list(customer, {"limit": PAGE}))
        return [read(PaymentMethod, each) for each in found["data"]]

    async def prefer_payment_method(self, customer: str, payment_method: str, key: str) -> Customer:
        """Make it the one that is charged if nothing else is said."""
        return await self._ask(
            Customer,
            lambda api: api.v1.customers.update(
                customer,
                {"invoice_settings": {"default_payment_method": payment_method}},
                {"idempotency_key": key},
            ),
        )

    async def forget_payment_method(self, id: str, key: str) -> PaymentMethod:
        """Never charge it again."""
        return await self._ask(
            PaymentMethod, lambda api: api.v1.payment_methods.detach(id, {}, {"idempotency_key": key})
        )

    async def portal_link(self, customer: str, return_url: str) -> str:
        """Where a customer sees bills, changes cards and ends subscriptions; it works for some minutes."""
        made = await self._call(
            lambda api: api.v1.billing_portal.sessions.create({"customer": customer, "return_url": return_url})
        )
        return str(made["url"])

    # Payments

    async def charge_off_session(self, wanted: Charging, key: str) -> Charged:
        """Charge while the customer is away. What was not paid at once, or by a debit on its way, never will be."""
        params: PaymentIntentCreateParams = {
            "amount": wanted.amount_minor,
            "currency": wanted.currency.lower(),
            "customer": wanted.customer,
            "payment_method": wanted.payment_method,
            "off_session": True,
            "confirm": True,
            "metadata": wanted.metadata(),
        }
        if wanted.description:
            params["description"] = wanted.description
        try:
            intent = await self._ask(
                Intent, lambda api: api.v1.payment_intents.create(params, {"idempotency_key": key})
            )
        except CardDeclined as error:
            return await self._given_up(error, key)
        if intent.status == "succeeded":
            return Paid(payment_intent=intent.id, amount_minor=intent.amount_received_minor, currency=intent.currency)
        if intent.status == "processing":
            return Pending(payment_intent=intent.id)
        await self.cancel_payment(intent.id, f"{key}:cancel")
        return NeedsCustomer(payment_intent=intent.id, message=f"the payment came to be {intent.status}")

    async def _given_up(self, error: CardDeclined, key: str) -> Charged:
        """A refused payment waits for another try, by whomever: it is cancelled, so that none comes."""
        intent = error.payment_intent
        if intent is not None:
            await self.cancel_payment(intent, f"{key}:cancel")
        if isinstance(error, AuthenticationRequired):
            return NeedsCustomer(payment_intent=intent or "", message=error.message)
        return Declined(
            payment_intent=intent or "", code=error.provider_code, reason=error.decline_code, message=error.message
        )

    async def payment(self, id: str) -> Intent:
        """How a payment stands."""
        return await self._ask(Intent, lambda api: api.v1.payment_intents.retrieve(id))

    async def payment_marked(self, customer: str, name: str, value: str, from_us: int, to_us: int) -> Intent | None:
        """A customer's payment with something in its metadata, if it was begun in a time."""
        async for each in self._each(
            Intent, from_us, to_us, lambda api, params: api.v1.payment_intents.list(params | {"customer": customer})
        ):
            if each.metadata.get(name) == value:
                return each
        return None

    async def cancel_payment(self, id: str, key: str) -> Intent:
        """Take back the wish for money; what is paid already is refused here, and can be refunded."""
        return await self._ask(Intent, lambda api: api.v1.payment_intents.cancel(id, {}, {"idempotency_key": key}))

    async def charge(self, id: str) -> Charge:
        """One taking of money."""
        return await self._ask(Charge, lambda api: api.v1.charges.retrieve(id))

    async def refund(
        self, payment_intent: str, key: str, *, amount_minor: int | None = None, reason: str = ""
    ) -> Refund:
        """Send money back: an amount, or all that is left. A reason is one of Stripe's three."""
        params: RefundCreateParams = {"payment_intent": payment_intent}
        if amount_minor is not None:
            params["amount"] = amount_minor
        if reason:
            params["reason"] = reason
        return await self._ask(Refund, lambda api: api.v1.refunds.create(params, {"idempotency_key": key}))

    # Subscriptions and their bills

    async def subscription(self, id: str) -> Subscription:
        """How a subscription stands."""
        return await self._ask(Subscription, lambda api: api.v1.subscriptions.retrieve(id))

    async def invoice(self, id: str) -> Invoice:
        """A bill, and what paid it."""
        return await self._ask(Invoice, lambda api: api.v1.invoices.retrieve(id, {"expand": ["payments"]}))

    async def invoice_of(self, payment_intent: str) -> str | None:
        """Which bill a payment was for; None if for none."""
        found = await self._call(
            lambda api: api.v1.invoice_payments.list(
                {"payment": {"type": "payment_intent", "payment_intent": payment_intent}, "limit": 1}
            )
        )
        return next((read(InvoicePayment, each).invoice for each in found["data"]), None)

    # All of a time, newest first, for comparing

    def payments(self, from_us: int, to_us: int) -> AsyncIterator[Intent]:
        """Payments that were begun in a time, paid or not."""
        return self._each(Intent, from_us, to_us, lambda api, params: api.v1.payment_intents.list(params))

    def charges(self, from_us: int, to_us: int) -> AsyncIterator[Charge]:
        """Takings of money, with what was refunded of each until now."""
        return self._each(Charge, from_us, to_us, lambda api, params: api.v1.charges.list(params))

    def refunds(self, from_us: int, to_us: int) -> AsyncIterator[Refund]:
        """Refunds that were begun in a time."""
        return self._each(Refund, from_us, to_us, lambda api, params: api.v1.refunds.list(params))

    def disputes(self, from_us: int, to_us: int) -> AsyncIterator[Dispute]:
        """Disputes that were opened in a time."""
        return self._each(Dispute, from_us, to_us, lambda api, params: api.v1.disputes.list(params))

    async def _each(self, kind: type[Read], from_us: int, to_us: int, page: Callable[..., Any]) -> AsyncIterator[Read]:
        """All of [from, to): Stripe counts in whole seconds."""
        created = {"gte": -(-from_us // 1_000_000), "lt": -(-to_us // 1_000_000)}
        params: Json = {"limit": PAGE, "created": created}
        while True:
            found = await self._call(partial(page, params=dict(params)))
            for each in found["data"]:
                yield read(kind, each)
            if not found["has_more"]:
                return
            params["starting_after"] = found["data"][-1]["id"]

    # One call

    async def _ask(self, kind: type[Read], call: "Call") -> Read:
        return read(kind, await self._call(call))

    async def _call(self, call: "Call") -> Json:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._carry_out, call)

    def _carry_out(self, call: "Call") -> Json:
        return self._loaded().carry_out(call)

    def _loaded(self) -> "Library":
        """The library, loaded by the first thread that needs it."""
        from .library import Library

        with self._loading:
            if self._library is None:
                self._library = Library(self._key, self._base, self._timeout, self._retries)
            return self._library


def _checkout(wanted: Checkout) -> Json:
    params: Json = {
        "line_items": [_line(wanted.price, wanted.quantity)],
        "success_url": wanted.success_url,
        "metadata": wanted.metadata(),
    }
    if len(wanted.owner.account) <= MOST_REFERENCE:  # the metadata hold any account; this is what people look for
        params["client_reference_id"] = wanted.owner.account
    if wanted.cancel_url:
        params["cancel_url"] = wanted.cancel_url
    if wanted.customer:
        params["customer"] = wanted.customer
    elif wanted.email:
        params["customer_email"] = wanted.email
    if wanted.expires_at_us is not None:
        params["expires_at"] = wanted.expires_at_us // 1_000_000
    return params


def _line(price: Price | str, quantity: int) -> "SessionCreateParamsLineItem":
    if isinstance(price, str):
        return {"price": price, "quantity": quantity}
    data: Any = {
        "currency": price.currency.lower(),
        "unit_amount": price.amount_minor,
        "product_data": {"name": price.name},
    }
    if price.every is not None:
        data["recurring"] = {"interval": price.every.interval, "interval_count": price.every.count}
    return {"price_data": data, "quantity": quantity}


def _quoted(value: str) -> str:
    """Text within quotes of Stripe's search language."""
    return value.replace("\\", "\\\\").replace("'", "\\'")
