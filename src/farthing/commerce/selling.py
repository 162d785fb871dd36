"""Selling: what an account may buy next, and where. What it has now is found by its subscription and the order by which
that runs, unless who asks says it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, cast

from msgspec import Struct
from msgspec.structs import replace

from farthing.core.amounts import write_amount
from farthing.core.catalogue import PROVIDERS, Product, Provider, Tier
from farthing.core.plans import Plan
from farthing.core.purchase_links import Option, options
from farthing.core.records import Workspace
from farthing.core.subscription import NOBODY
from farthing.stores.plans import Plans
from farthing.stores.products import Products
from farthing.stores.purchases import Purchases
from farthing.stores.subscriptions import Subscriptions

from .digistore24.errors import NotFound
from .digistore24.links import links as digistore24_links
from .links import NO_RETURN_URL, Asked, Buyer, Link, Tools, unlinked
from .stripe.customers import PROVIDER as STRIPE
from .stripe.links import links as stripe_links
from .troubles import ProviderTrouble

_LINKS: Final[Mapping[Provider, Callable[[Tools, Asked], Awaitable[list[Link]]]]] = {
    "digistore24": digistore24_links,
    "stripe": stripe_links,
}
SECONDS: Final = 20.0
"""For all that is asked of a provider at once: less than a request may take."""
NOBODY_ASKED: Final = Buyer()


class Unsellable(ValueError):
    """What is asked for can't be offered; the message says why."""

    def __init__(self, code: str, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        """product_not_found, offer_not_found, offer_unavailable, unknown_tier, order_of_another, provider_needed,
        customer_not_found, missing_return_url, payment_method_not_found, methods_unknown."""
        self.reason = reason
        """Of an offer that is unavailable: why, as a code."""


class Have(Struct, frozen=True, kw_only=True):
    """What an account has of a product."""

    tier: Tier | None = None
    order: str = ""
    """By which it is billed, by the provider's name of it."""
    billed: bool = True
    """Whether anybody bills it: a tier that was given away is changed by buying."""


class Offered(Struct, frozen=True, kw_only=True):
    """What an account is offered of a product."""

    product: str
    provider: Provider
    have: Have
    current: str
    """The provider's product of the tier that it has."""
    links: list[Link]
    trouble: ProviderTrouble | None = None
    """Why none of it can be bought now."""


class Selling:
    """Offers what is sold."""

    def __init__(
        self, tools: Tools, purchases: Purchases, products: Products, plans: Plans, subscriptions: Subscriptions
    ) -> None:  # fmt: skip
        self._tools = tools
        self._purchases = purchases
        self._products = products
        self._plans = plans
        self._subscriptions = subscriptions

    async def links(
        self, workspace: Workspace, account: str, product: str, provider: Provider, *, buyer: Buyer = NOBODY_ASKED,
        tier: str = "", order: str = "",
    ) -> Offered:  # fmt: skip
        """All that is offered of a product. `tier` and `order` say what the account has, where who asks knows."""
        found = await self._product(workspace, product)
        have = await self._have(workspace, account, found, provider, tier, order)
        return await self._offered(workspace, account, found, provider, have, buyer)

    async def checkout(
        self, workspace: Workspace, account: str, offer: str, provider: Provider, *, buyer: Buyer = NOBODY_ASKED
    ) -> Link:  # fmt: skip
        """Where one offer, `product/tier` or `product/top-up`, is bought."""
        id, _, sold = offer.partition("/")
        kept = await self._products.get(workspace.id, id)
        if kept is None or all(each.id != sold for each in kept.product.offers()):
            raise Unsellable("offer_not_found", f"There is no offer {offer!r}")
        if kept.archived_at is not None:
            raise _unavailable(offer, "archived")
        product = kept.product
        have = await self._have(workspace, account, product, provider, "", "")
        if have.tier is not None and have.tier.id == sold:
            raise _unavailable(offer, "current_tier")
        told = await self._offered(workspace, account, product, provider, have, buyer, only=sold)
        if told.trouble is not None:
            raise told.trouble
        (link,) = told.links
        if not link.url:
            raise _unavailable(offer, link.disabled)
        return link

    async def portal(self, workspace: Workspace, account: str, return_url: str = "") -> str:
        """Where a customer of Stripe's manages what he has: cards, bills, subscriptions."""
        async with in_time(), self._tools.clients.stripe(workspace) as (client, settings):
            back = return_url or settings.return_url or settings.success_url
            customer = await self._tools.customers.get(workspace.id, STRIPE, account)
            if not customer:
                raise Unsellable("customer_not_found", "The account has bought nothing at Stripe by a link of ours")
            if not back:
                raise Unsellable(NO_RETURN_URL, "There is no address to come back to")
            return await client.portal_link(customer, back)

    async def provider(self, workspace: Workspace, wanted: str = "") -> Provider:
        """The provider that is meant: the one that is named, or the only one."""
        if wanted:
            return cast(Provider, wanted)
        known = await self._tools.clients.known(workspace)
        found = [provider for provider in PROVIDERS if provider in known]
        if not found:
            raise ProviderTrouble("key_missing", "The workspace speaks with no provider of payments")
        if len(found) > 1:
            raise Unsellable("provider_needed", f"must be one of {' and '.join(found)}: the workspace has both")
        return found[0]

    async def is_known_there(self, workspace: Workspace, order: str) -> bool:
        """Whether Digistore24 knows an order of that id."""
        async with in_time(), self._tools.clients.digistore24(workspace) as (client, _):
            try:
                await client.get_purchase(order)
            except NotFound:
                return False
            return True

    # Inside

    async def _product(self, workspace: Workspace, id: str) -> Product:
        kept = await self._products.get(workspace.id, id)
        if kept is None or kept.archived_at is not None:
            raise Unsellable("product_not_found", f"No product {id!r} is on sale")
        return kept.product

    async def _offered(
        self, workspace: Workspace, account: str, product: Product, provider: Provider, have: Have, buyer: Buyer,
        only: str = "",
    ) -> Offered:  # fmt: skip
        found = options(
            product, provider, have.tier, have.order, lambda amount: write_amount(amount, workspace.scale),
            billed=have.billed,
        )  # fmt: skip
        asked = Asked(
            workspace=workspace, account=account, product=product.id, buyer=buyer,
            options=[each for each in found if only in ("", each.sold.id)], manage=not only,
            plans=await self._plans_of(workspace, product),
        )  # fmt: skip
        current = have.tier.sold_as.get(provider, "") if have.tier else ""
        told = Offered(product=product.id, provider=provider, have=have, current=current, links=[])
        try:
            async with in_time():
                return replace(told, links=await _LINKS[provider](self._tools, asked))
        except ProviderTrouble as trouble:
            return replace(told, links=[_barred(asked, each, trouble) for each in asked.options], trouble=trouble)

    async def _plans_of(self, workspace: Workspace, product: Product) -> dict[str, Plan]:
        wanted = {tier.plan for tier in product.tiers}
        return {kept.plan.id: kept.plan for kept in await self._plans.of(workspace.id) if kept.plan.id in wanted}

    async def _have(
        self, workspace: Workspace, account: str, product: Product, provider: Provider, tier: str, order: str
    ) -> Have:  # fmt: skip
        """What the account has: as is said, else as far as it is known."""
        known = await self._known(workspace, account, product, provider)
        named = _tier_named(product, provider, tier) if tier else None
        if order:
            offer = await self._offer_of(workspace, account, provider, order)
            bought = next((each for each in product.tiers if f"{product.id}/{each.id}" == offer), None)
            return Have(tier=named or bought or known.tier, order=order)
        if named is None or (known.tier is not None and named.id == known.tier.id):
            return known
        return Have(tier=named)

    async def _known(self, workspace: Workspace, account: str, product: Product, provider: Provider) -> Have:
        """By its subscription, and the order by which that runs."""
        s = await self._subscriptions.of(workspace.id, account)
        if s is None or s.ended_at is not None:
            return Have()
        order = s.order if s.billed_by == provider else ""
        offer = await self._offer_of(workspace, account, provider, order)
        if offer and offer.partition("/")[0] != product.id:
            return Have()
        tiers = [tier for tier in product.tiers if tier.plan == s.plan]
        tiers.sort(key=lambda tier: f"{product.id}/{tier.id}" != offer)
        return Have(tier=tiers[0], order=order, billed=s.billed_by != NOBODY) if tiers else Have()

    async def _offer_of(self, workspace: Workspace, account: str, provider: Provider, order: str) -> str:
        """What an order was for; empty where that is not known."""
        kept = await self._purchases.order(workspace.id, provider, order) if order else None
        if kept is None:
            return ""
        if kept.order.account not in ("", account):
            raise Unsellable("order_of_another", "is an order of another account")
        return kept.order.offer


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """For all that is asked of a provider while somebody waits."""
    try:
        async with asyncio.timeout(SECONDS):
            yield
    except TimeoutError:
        raise ProviderTrouble("unavailable", "The provider takes too long to answer") from None


def _tier_named(product: Product, provider: Provider, name: str) -> Tier:
    """A tier by the provider's name of it, or by ours."""
    for tier in product.tiers:
        if name in (tier.sold_as.get(provider), tier.id):
            return tier
    raise Unsellable("unknown_tier", f"is no tier of {product.id!r}")


def _barred(asked: Asked, option: Option, trouble: ProviderTrouble) -> Link:
    return unlinked(asked, option, trouble.kind)


def _unavailable(offer: str, reason: str) -> Unsellable:
    return Unsellable("offer_unavailable", f"{offer!r} can't be bought by this account now: {reason}", reason=reason)
