"""Whose a payment at Stripe is, where several workspaces, or other shops, share an account there."""

from .client import Stripe
from .orders import WORKSPACE


async def is_ours(client: Stripe, workspace: str, payment: str, mark: str, named: bool) -> bool:
    """By the marks that our checkouts leave; a payment of a subscription has them at its invoice. One without any is
    ours if its event would have been kept here: it was made by a checkout, or for a subscription. `mark` is the
    workspace that the payment itself says; `named` that it says whose it is, in another shop's way."""
    if mark or named:
        return mark in ("", workspace)
    invoice = await client.invoice_of(payment)
    if invoice is None:
        return await client.session_of(payment) is not None
    found = await client.invoice(invoice)
    if found.subscription is None:
        return False
    return found.subscription_metadata.get(WORKSPACE, workspace) == workspace
