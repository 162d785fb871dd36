"""Charging: asks a provider for the price of a top-up while the buyer is away, by what he has paid with before. It
never credits: the provider's notification does, once, as with every payment.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from msgspec.structs import replace

from farthing.core.catalogue import Provider, TopUp
from farthing.core.records import Workspace
from farthing.stores.products import Products
from farthing.stores.purchases import Purchases
from farthing.stores.subscriptions import Subscriptions

from .charges import Charged, Wanted, failed
from .digistore24.charging import charge as charge_digistore24
from .links import Tools
from .selling import Selling, Unsellable
from .stripe.charging import charge as charge_stripe
from .troubles import ProviderTrouble

_CHARGE: Final[Mapping[Provider, Callable[[Tools, Wanted], Awaitable[Charged]]]] = {
    "digistore24": charge_digistore24,
    "stripe": charge_stripe,
}


class Charging:
    """Asks for money."""

    def __init__(
        self, tools: Tools, selling: Selling, purchases: Purchases, products: Products, subscriptions: Subscriptions
    ) -> None:  # fmt: skip
        self._tools = tools
        self._selling = selling
        self._purchases = purchases
        self._products = products
        self._subscriptions = subscriptions

    async def charge(
        self, workspace: Workspace, account: str, offer: str, provider: Provider, key: str, *, order: str = ""
    ) -> Charged:  # fmt: skip
        """Ask for the price of a top-up, `product/top-up`. `key` is one for each charge that is meant; Digistore24
        knows none: who asks there sees to it that it is done once. `order` is what is charged again there; without it
        the one by which the account's subscription runs, else its newest."""
        found = (await self._products.catalogue(workspace.id)).named(offer)
        if found is None or not isinstance(found.sold, TopUp):
            return failed("offer_not_found", f"there is no top-up {offer!r}")
        if provider == "digistore24" and not order:
            order = await self._order(workspace, account, provider)
        wanted = Wanted(workspace=workspace, account=account, offer=offer, sold=found.sold, key=key, order=order)
        charged = await _CHARGE[provider](self._tools, wanted)
        if charged.state != "authentication_required" or charged.url:
            return charged
        return replace(charged, url=await self._link(workspace, account, offer, provider))

    async def _order(self, workspace: Workspace, account: str, provider: Provider) -> str:
        s = await self._subscriptions.of(workspace.id, account)
        if s is not None and s.ended_at is None and s.billed_by == provider and s.order:
            return s.order
        orders = await self._purchases.orders_of(workspace.id, account)
        return next((each.id for each in orders if each.provider == provider and each.state == "open"), "")

    async def _link(self, workspace: Workspace, account: str, offer: str, provider: Provider) -> str:
        """Where the buyer can pay himself; empty where there is no such place now."""
        try:
            return (await self._selling.checkout(workspace, account, offer, provider)).url
        except (ProviderTrouble, Unsellable):
            return ""
