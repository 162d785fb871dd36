"""Links of Stripe: a checkout for each offer, bound to the account by its metadata; and the customer portal, where a
subscription is changed and ended, and cards are changed.
"""

from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from farthing.core.catalogue import Tier
from farthing.core.providers import StripeSettings
from farthing.core.purchase_links import LinkMode, Option

from ..links import (
    CHANGE_IN_PORTAL,
    NO_RETURN_URL,
    NO_SUCCESS_URL,
    Asked,
    Link,
    Mode,
    Tools,
    all_links,
    linked,
    unlinked,
)
from ..troubles import ProviderTrouble, trouble_of
from .client import Stripe
from .currencies import CurrencyError, to_minor
from .customers import PROVIDER, customer_of, is_gone
from .errors import StripeError
from .objects import Session
from .orders import Checkout, Owner, Price

T = TypeVar("T")
_MODES: Final[dict[LinkMode, Mode]] = {"create_buy_url": "checkout", "ds_upgrade_url": "portal"}


class _Asking(Struct, frozen=True):
    """What all options have in common."""

    tools: Tools
    asked: Asked
    client: Stripe
    settings: StripeSettings

    @property
    def success_url(self) -> str:
        """Where who has paid comes to."""
        return self.asked.buyer.success_url or self.settings.success_url

    async def customer(self, gone: str = "") -> str:
        """The account's customer."""
        asked, tools = self.asked, self.tools
        return await customer_of(
            self.client, tools.customers, asked.workspace, asked.account, tools.now_us(), email=asked.buyer.email,
            gone=gone,
        )  # fmt: skip

    async def with_customer(self, call: Callable[[str], Awaitable[T]]) -> T:
        """Do something with the customer; with another one where this one is gone."""
        customer = await self.customer()
        try:
            return await call(customer)
        except StripeError as error:
            if not is_gone(error):
                raise
        return await call(await self.customer(customer))


async def links(tools: Tools, asked: Asked) -> list[Link]:
    """A link for each option, and one to the portal for who was a customer before."""
    asked = replace(asked, modes=_MODES)
    async with tools.clients.stripe(asked.workspace) as (client, settings):
        asking = _Asking(tools, asked, client, settings)
        known = await tools.customers.get(asked.workspace.id, PROVIDER, asked.account)
        if asking.success_url and any(not (each.disabled or each.upgrades_order) for each in asked.options):
            # Before many ask for it at once.
            await asking.customer()
        found = await all_links(asked, lambda option: _link(asking, option))
        if asked.manage and known:
            found.append(await _manage(asking, known))
        return found


async def _link(asking: _Asking, option: Option) -> Link:
    if option.upgrades_order:
        # A checkout would begin a second subscription beside the one that is there.
        return unlinked(asking.asked, option, CHANGE_IN_PORTAL)
    if not asking.success_url:
        return unlinked(asking.asked, option, NO_SUCCESS_URL)
    session = await asking.with_customer(lambda customer: _session(asking, option, customer))
    if session.url is None:
        raise ProviderTrouble("unavailable", "Stripe: its checkout has no address")
    return linked(asking.asked, option, session.url, "checkout")


async def _session(asking: _Asking, option: Option, customer: str) -> Session:
    asked, settings = asking.asked, asking.settings
    wanted = Checkout(
        owner=Owner(workspace=asked.workspace.id, account=asked.account, product=f"{asked.product}/{option.sold.id}"),
        price=option.to_product or _price(option),
        success_url=asking.success_url,
        cancel_url=asked.buyer.cancel_url or settings.cancel_url,
        customer=customer,
        keep_method=asked.buyer.keep_method,
    )
    # Each link is one of its own: two of them can both be paid, and then both are credited.
    key = f"link:{token_hex(16)}"
    check_out = asking.client.check_out_subscription if isinstance(option.sold, Tier) else asking.client.check_out
    return await check_out(wanted, key)


def _price(option: Option) -> Price:
    """The catalogue's own price, for what is none of Stripe's products."""
    sold = option.sold
    try:
        minor = to_minor(sold.price, sold.currency)
    except CurrencyError as error:
        raise ProviderTrouble("refused", f"Stripe: {error}") from error
    return Price(amount_minor=minor, currency=sold.currency, name=option.label)


async def _manage(asking: _Asking, customer: str) -> Link:
    link = Link(type="manage", mode="portal", effective="unknown", expected="unknown", label="Manage", url="")
    back = asking.settings.return_url or asking.success_url
    if not back:
        return replace(link, disabled=NO_RETURN_URL)
    try:
        return replace(link, url=await asking.client.portal_link(customer, back))
    except StripeError as error:
        trouble = trouble_of(error)
        if trouble.kind != "refused":
            raise
        return replace(link, disabled=trouble.kind)
