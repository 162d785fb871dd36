"""Payment methods: what an account has left with a provider to be charged again, which of them is charged, and how the
account says otherwise. Digistore24 keeps them to itself: there an order is charged again, by what it was paid with.
"""

from typing import Final

from msgspec import Struct

from farthing.core.catalogue import Provider
from farthing.core.records import Workspace

from .links import Tools
from .selling import Unsellable, in_time
from .stripe import methods as stripe

STRIPE: Final = "stripe"


class Kept(Struct, frozen=True, kw_only=True):
    """Something that an account has left to be charged again."""

    id: str
    """By the provider's name of it."""
    type: str
    """In the provider's word: `card`, `sepa_debit`."""
    brand: str = ""
    last4: str = ""
    exp_month: int | None = None
    exp_year: int | None = None
    charged: bool = False
    """It is what a charge takes, if nothing else is said."""


class Methods:
    """Reads them, and changes which is charged."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def of(self, workspace: Workspace, account: str, provider: Provider) -> list[Kept]:
        """Those of an account, newest first; what goes wrong is a `ProviderTrouble`."""
        _require(provider)
        async with in_time(), self._tools.clients.stripe(workspace) as (client, _):
            return await self._kept(client, workspace, account)

    async def prefer(self, workspace: Workspace, account: str, provider: Provider, id: str) -> Kept:
        """This one is charged from now on."""
        _require(provider)
        async with in_time(), self._tools.clients.stripe(workspace) as (client, _):
            customer = await self._one(client, workspace, account, id)
            await stripe.prefer(client, customer, id)
            return next(each for each in await self._kept(client, workspace, account) if each.id == id)

    async def forget(self, workspace: Workspace, account: str, provider: Provider, id: str) -> None:
        """It is never charged again: the provider lets go of it."""
        _require(provider)
        async with in_time(), self._tools.clients.stripe(workspace) as (client, _):
            await self._one(client, workspace, account, id)
            await stripe.forget(client, id)

    # Inside

    async def _kept(self, client: stripe.Stripe, workspace: Workspace, account: str) -> list[Kept]:
        customer = await self._tools.customers.get(workspace.id, STRIPE, account)
        found, charged = await stripe.kept(client, customer)
        return [
            Kept(
                id=m.id, type=m.type, brand=m.brand or "", last4=m.last4 or "", exp_month=m.exp_month,
                exp_year=m.exp_year, charged=m.id == charged,
            )
            for m in found
        ]  # fmt: skip

    async def _one(self, client: stripe.Stripe, workspace: Workspace, account: str, id: str) -> str:
        """The customer, who has that method: a name of another account's is as good as none."""
        if all(each.id != id for each in await self._kept(client, workspace, account)):
            raise Unsellable("payment_method_not_found", f"The account has left no payment method {id!r}")
        return await self._tools.customers.get(workspace.id, STRIPE, account)


def _require(provider: Provider) -> None:
    if provider != STRIPE:
        message = "must be stripe: Digistore24 does not show what was paid with, and charges an order again by it"
        raise Unsellable("methods_unknown", message)
