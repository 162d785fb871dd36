"""Charging at Stripe while the customer is away: a payment intent with what he has paid with before. The key makes it
once, also where no answer came. Where his bank wants to hear from him there is a page on which he pays that himself.
"""

from hashlib import sha256
from secrets import token_hex
from typing import Final

from msgspec.structs import replace

from farthing.core.providers import StripeSettings
from farthing.core.records import Workspace
from farthing.core.top_up_pages import Closed

from ..charges import Charged, Found, State, Wanted, failed, troubled
from ..links import Tools
from ..troubles import ProviderTrouble
from . import methods
from .client import Stripe
from .currencies import CurrencyError, to_minor
from .customers import PROVIDER
from .errors import BadRequest, KeyConflict, NotFound, StripeError
from .facts import facts_of_payment
from .objects import Intent
from .orders import CHARGE, Charging, Checkout, Declined, NeedsCustomer, Owner, Paid, Pending, Price, owner_of
from .orders import Charged as Told

NEEDS_CUSTOMER: Final[State] = "authentication_required"
HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US
SKEW_US: Final = 300_000_000
"""By so much clocks may differ: what happens next must not look as if it had been before."""
CERTAIN: Final = ("succeeded", "processing", "canceled")
"""What a payment that is carried out comes to be; the others are on their way there."""


async def charge(tools: Tools, wanted: Wanted) -> Charged:
    """Ask for the money."""
    sold = wanted.sold
    if not sold.price:
        return failed("no_price", "the catalogue has no price for it")
    try:
        minor = to_minor(sold.price, sold.currency) * wanted.quantity
    except CurrencyError as error:
        return failed("invalid_amount", str(error))
    asked = False
    try:
        async with tools.clients.stripe(wanted.workspace) as (client, settings):
            customer = await tools.customers.get(wanted.workspace.id, PROVIDER, wanted.account)
            method = await methods.charged(client, customer)
            if not method:
                return failed("no_payment_method", "the account has left nothing at Stripe that could be charged")
            charging = Charging(
                owner=Owner(workspace=wanted.workspace.id, account=wanted.account, product=wanted.offer),
                customer=customer, payment_method=method, currency=sold.currency,
                amount_minor=minor, quantity=wanted.quantity, description=sold.name or wanted.offer, key=wanted.key,
            )  # fmt: skip
            asked = True
            try:
                told = _told(await client.charge_off_session(charging, _key(wanted.workspace, wanted.key)))
                return await _with_page(client, settings, wanted, customer, told)
            except KeyConflict:
                # He has another card by now, or the price has changed: what was asked for first is what counts.
                now = tools.now_us()
                begun = await _marked(client, wanted.workspace, customer, wanted.key, now - DAY_US, now + HOUR_US)
                if begun is None or begun.status not in CERTAIN:
                    raise
                return _stands(begun)
    except ProviderTrouble as trouble:
        return troubled(trouble, asked=asked)


async def find(tools: Tools, wanted: Wanted, payment: str, asked_at: int, until: int) -> Found | None:
    """How a charge stands that nobody waits for any more; None where Stripe shows none that was begun from `asked_at`
    to `until`. One that is not paid by now is taken back, so that it never is."""
    workspace, key = wanted.workspace, wanted.key
    try:
        async with tools.clients.stripe(workspace) as (client, settings):
            customer = await tools.customers.get(workspace.id, PROVIDER, wanted.account)
            begun = await _begun(client, workspace, payment)
            if begun is None:
                begun = await _marked(client, workspace, customer, key, asked_at - HOUR_US, until)
            if begun is None:
                return None
            if begun.status == "succeeded":
                charge = await client.charge(begun.latest_charge) if begun.latest_charge else None
                facts = facts_of_payment(begun, charge, tools.now_us() - SKEW_US)
                return Found(charged=_stands(begun), facts=tuple(facts))
            if begun.status not in CERTAIN:
                begun = await client.cancel_payment(begun.id, f"{_key(workspace, key)}:cancel")
            return Found(charged=await _with_page(client, settings, wanted, customer, _stands(begun)))
    except ProviderTrouble as trouble:
        return Found(charged=Charged(state="failed", reason=trouble.kind, message=trouble.message, again=True))


async def _with_page(
    client: Stripe, settings: StripeSettings, wanted: Wanted, customer: str, told: Charged
) -> Charged:  # fmt: skip
    """With where the customer pays all of it himself, if he has to say yes. What he pays with there may be charged
    again, as what he had left before, since he has said yes by then. It lives for a day."""
    back = settings.success_url or settings.return_url
    if told.state != NEEDS_CUSTOMER or not back or not wanted.sold.price:
        return told
    sold, owner = wanted.sold, Owner(workspace=wanted.workspace.id, account=wanted.account, product=wanted.offer)
    try:
        price = Price(
            amount_minor=to_minor(sold.price, sold.currency), currency=sold.currency, name=sold.name or wanted.offer
        )
        page = Checkout(
            owner=owner, price=price, success_url=back, cancel_url=settings.cancel_url, quantity=wanted.quantity,
            customer=customer, keep_method=True, charge=wanted.key,
        )  # fmt: skip
        # A new one each time: nobody was told of any before, and that one may be over.
        session = await client.check_out(page, f"page:{token_hex(16)}")
    except (StripeError, CurrencyError):
        return told  # that it was not charged is known, and what counts
    return replace(told, url=session.url or "", page=session.id)


async def close(tools: Tools, workspace: Workspace, page: str) -> Closed:
    """Have nobody pay on a page any more. It may have been paid by now."""
    try:
        async with tools.clients.stripe(workspace) as (client, _):
            try:
                # A new key each time: with the first one's a refusal of then would be told again.
                session = await client.expire_session(page, f"expire:{token_hex(16)}")
            except NotFound:
                return Closed(state="closed")
            except BadRequest:
                session = await client.session(page)
    except ProviderTrouble as trouble:
        # Without a key there is no way to ask, as there was none to make another.
        return Closed(state="closed" if trouble.kind == "key_missing" else "open")
    if session.status == "complete":
        return Closed(state="paid", payment=session.payment_intent or "")
    return Closed(state="closed" if session.status == "expired" else "open")


async def _begun(client: Stripe, workspace: Workspace, payment: str) -> Intent | None:
    """A payment by its name."""
    try:
        found = await client.payment(payment) if payment else None
    except NotFound:
        return None
    return found if found is not None and _is_of(found, workspace) else None


async def _marked(
    client: Stripe, workspace: Workspace, customer: str, key: str, since: int, until: int
) -> Intent | None:  # fmt: skip
    """A payment by our key, which stands at it."""
    found = await client.payment_marked(customer, CHARGE, key, since, until) if customer else None
    return found if found is not None and _is_of(found, workspace) else None


def _is_of(intent: Intent, workspace: Workspace) -> bool:
    owner = owner_of(intent.metadata)
    return owner is not None and owner.workspace == workspace.id


def _key(workspace: Workspace, key: str) -> str:
    """Stripe's keys are those of its account, which several workspaces may share, and have 255 characters."""
    return "charge:" + sha256(f"{workspace.id}\0{key}".encode()).hexdigest()


def _stands(intent: Intent) -> Charged:
    """In the words in which it would have been answered."""
    if intent.status == "succeeded":
        return Charged(state="succeeded", payment=intent.id)
    if intent.status != "canceled":
        return Charged(state="pending", payment=intent.id, reason="processing")
    if NEEDS_CUSTOMER in (intent.error_code, intent.decline_code):
        return Charged(state=NEEDS_CUSTOMER, payment=intent.id, reason=NEEDS_CUSTOMER)
    return Charged(
        state="declined", payment=intent.id, reason=intent.decline_code or intent.error_code or "canceled"
    )  # fmt: skip


def _told(told: Told) -> Charged:
    match told:
        case Paid():
            return Charged(state="succeeded", payment=told.payment_intent)
        case Pending():
            return Charged(state="pending", payment=told.payment_intent, reason="processing")
        case Declined():
            reason = told.reason or told.code
            return Charged(state="declined", payment=told.payment_intent, reason=reason, message=told.message)
        case NeedsCustomer():
            return Charged(
                state=NEEDS_CUSTOMER, payment=told.payment_intent, reason=NEEDS_CUSTOMER, message=told.message
            )
