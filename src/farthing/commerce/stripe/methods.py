"""Payment methods that a customer has left at Stripe."""

import secrets

from .client import Stripe
from .errors import NotFound
from .objects import PaymentMethod

__all__ = ["Stripe", "charged", "forget", "kept", "prefer"]


async def kept(client: Stripe, customer: str) -> tuple[list[PaymentMethod], str]:
    """Those of a customer, newest first, and which of them is charged: what he prefers, else what he has used last.
    Nothing of one that is gone there, or of none."""
    try:
        found = await client.customer(customer) if customer else None
        if found is None or found.deleted:
            return [], ""
        methods = await client.payment_methods(customer)
    except NotFound:
        return [], ""
    preferred = found.default_payment_method
    if any(each.id == preferred for each in methods):
        return methods, preferred or ""
    return methods, methods[0].id if methods else ""


async def charged(client: Stripe, customer: str) -> str:
    """The one that is charged; empty where there is none."""
    return (await kept(client, customer))[1]


async def prefer(client: Stripe, customer: str, id: str) -> None:
    """Charge this one, if nothing else is said."""
    await client.prefer_payment_method(customer, id, _key())


async def forget(client: Stripe, id: str) -> None:
    """Never charge it again."""
    await client.forget_payment_method(id, _key())


def _key() -> str:
    """A new one: it is for the tries of one call only. Who prefers a card again after another means that."""
    return f"methods:{secrets.token_hex(16)}"
