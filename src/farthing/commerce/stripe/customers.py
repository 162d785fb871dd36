"""Stripe's customers: one for each account, made when it first buys, so that cards, bills and the portal are in one
place. Stripe's search is a minute behind at times, hence its id is kept here.
"""

from hashlib import sha256
from typing import Final

from farthing.core.records import Workspace
from farthing.stores.customers import Customers

from .client import Stripe
from .errors import BadRequest
from .orders import Owner

PROVIDER: Final = "stripe"
PARAMETER: Final = "customer"


async def customer_of(
    client: Stripe, customers: Customers, workspace: Workspace, account: str, at: int, *, email: str = "",
    gone: str = "",
) -> str:  # fmt: skip
    """The account's customer, found or made. One that is `gone` there is forgotten first."""
    if gone:
        await customers.forget(workspace.id, PROVIDER, account, gone)
    kept = await customers.get(workspace.id, PROVIDER, account)
    if kept:
        return kept
    owner = Owner(workspace=workspace.id, account=account)
    found = [each.id for each in await client.customers_of(owner) if not each.deleted and each.id != gone]
    if not found:
        found = [(await client.make_customer(owner, _key(workspace, account, email, gone), email=email)).id]
    return await customers.add(workspace.id, PROVIDER, account, found[0], at)


def is_gone(error: Exception) -> bool:
    """Whether a call was refused for its customer: deleted there, or of another account of Stripe's."""
    return isinstance(error, BadRequest) and error.parameter == PARAMETER


def _key(workspace: Workspace, account: str, email: str, gone: str) -> str:
    """The same for all who make it at once; another where the parameters are others."""
    return "customer:" + sha256("\0".join((workspace.id, account, email, gone)).encode()).hexdigest()
