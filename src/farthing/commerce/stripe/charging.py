"""Charging at Stripe while the customer is away: a payment intent with what he has paid with before. The key makes it
once, also where no answer came.
"""

from hashlib import sha256

from ..charges import Charged, State, Wanted, failed, troubled
from ..links import Tools
from ..troubles import ProviderTrouble
from .client import Stripe
from .currencies import to_minor
from .customers import PROVIDER
from .orders import Charged as Told
from .orders import Charging, Declined, NeedsCustomer, Owner, Paid, Pending


async def charge(tools: Tools, wanted: Wanted) -> Charged:
    """Ask for the money."""
    sold = wanted.sold
    if not sold.price:
        return failed("no_price", "the catalogue has no price for it")
    asked = False
    try:
        async with tools.clients.stripe(wanted.workspace) as (client, _):
            customer = await tools.customers.get(wanted.workspace.id, PROVIDER, wanted.account)
            method = await _method(client, customer) if customer else ""
            if not method:
                return failed("no_payment_method", "the account has left nothing at Stripe that could be charged")
            charging = Charging(
                owner=Owner(workspace=wanted.workspace.id, account=wanted.account, product=wanted.offer),
                customer=customer, payment_method=method, amount_minor=to_minor(sold.price, sold.currency),
                currency=sold.currency, description=sold.name or wanted.offer,
            )  # fmt: skip
            asked = True
            return _told(await client.charge_off_session(charging, _key(wanted)))
    except ProviderTrouble as trouble:
        return troubled(trouble, asked=asked)


def _key(wanted: Wanted) -> str:
    """Stripe's keys are those of its account, which several workspaces may share, and have 255 characters."""
    return "charge:" + sha256(f"{wanted.workspace.id}\0{wanted.key}".encode()).hexdigest()


async def _method(client: Stripe, customer: str) -> str:
    """What is charged: what the customer prefers, else what he has used last."""
    preferred = (await client.customer(customer)).default_payment_method
    if preferred:
        return preferred
    methods = await client.payment_methods(customer)
    return methods[0].id if methods else ""


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
            state: State = "authentication_required"
            return Charged(state=state, payment=told.payment_intent, reason=state, message=told.message)
