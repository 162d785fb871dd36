"""Links of Digistore24: what is bought by createBuyUrl, with the account in the tracking's `custom`; and a change of
tier by the upgrade that was set up there, or, where there is none for it, by createBuyUrl in place of the order.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from farthing.core.catalogue import Tier, TopUp
from farthing.core.plans import Plan
from farthing.core.providers import Digistore24Settings
from farthing.core.purchase_links import Option, Policy

from ..links import UPGRADE_NOT_POSSIBLE, Asked, Buyer, Link, Tools, all_links, linked, unlinked
from .results import Upgrade
from .wanted import BuyerData, Checkout, PaymentPlan, Urls

if TYPE_CHECKING:
    from .client import Digistore24

ORDER_ID: Final = "ORDER_ID"
"""What stands in the address of an upgrade for the order."""
_POLICIES: Final[dict[str, Policy]] = {"upgrade": "immediate", "downgrade": "end_of_period"}


class _Asking(Struct, frozen=True):
    """What all options have in common."""

    asked: Asked
    client: "Digistore24"
    settings: Digistore24Settings
    reference: str
    upgrades: tuple[Upgrade, ...]


async def links(tools: Tools, asked: Asked) -> list[Link]:
    """A link for each option."""
    async with tools.clients.digistore24(asked.workspace) as (client, settings):
        changes = any(option.upgrades_order and not option.disabled for option in asked.options)
        upgrades = await client.list_upgrades() if changes else ()
        reference = await tools.references.to(asked.workspace.id, asked.account)
        asking = _Asking(asked, client, settings, reference, upgrades)
        return await all_links(asked, lambda option: _link(asking, option))


async def _link(asking: _Asking, option: Option) -> Link:
    if option.upgrades_order and (found := await _upgrade_link(asking, option)):
        return found
    bought = await asking.client.create_buy_url(_checkout(asking, option))
    if option.upgrades_order and bought.upgrade_status != "ok":
        # The page would sell it beside what is there.
        return unlinked(asking.asked, option, UPGRADE_NOT_POSSIBLE)
    return linked(asking.asked, option, bought.url, "create_buy_url")


async def _upgrade_link(asking: _Asking, option: Option) -> Link | None:
    """By the way that was set up there for just this change, if the order can go it."""
    way = _way(asking.upgrades, option)
    if way is None:
        return None
    offer = await asking.client.get_upgrade(way.id, option.upgrades_order)
    if offer.check is None or not offer.check.is_upgrade_possible:
        return None
    kind = offer.check.possible_upgrade_type or way.upgrade_types[option.from_product]
    url = offer.item.upgrade_url.replace(ORDER_ID, quote(option.upgrades_order, safe=""))
    return linked(asking.asked, option, url, "ds_upgrade_url", _POLICIES.get(kind, "unknown"))


def _way(upgrades: tuple[Upgrade, ...], option: Option) -> Upgrade | None:
    """Of several, one that calls it what we do; a special offer leaves the old order as it is, and is none."""
    ways = [
        each
        for each in upgrades
        if each.is_active
        and each.to_product_id == option.to_product
        and each.upgrade_types.get(option.from_product) in _POLICIES
    ]
    ways.sort(key=lambda each: (each.upgrade_types[option.from_product] != option.type, each.id))
    return ways[0] if ways else None


def _checkout(asking: _Asking, option: Option) -> Checkout:
    """What createBuyUrl is asked for."""
    buyer, settings = asking.asked.buyer, asking.settings
    return Checkout(
        product_id=option.to_product,
        payment_plan=_plan(option, asking.asked.plans),
        custom=asking.reference,
        buyer=BuyerData(email=buyer.email) if buyer.email else None,
        urls=_urls(buyer, settings),
        force_rebilling=buyer.keep_method,
    )


def _urls(buyer: Buyer, settings: Digistore24Settings) -> Urls:
    return Urls(
        buyer.success_url or settings.thankyou_url or None,
        buyer.cancel_url or settings.fallback_url or None,
        settings.upgrade_error_url or None,
    )


def _plan(option: Option, plans: Mapping[str, Plan]) -> PaymentPlan | None:
    """What is paid, and in place of which order; without a price in the catalogue that of the product there counts."""
    paid = price_plan(option.sold, plans)
    if not option.upgrades_order:
        return paid
    return replace(paid or PaymentPlan(), upgrade_order_id=option.upgrades_order, upgrade_type=option.type)


def price_plan(sold: Tier | TopUp, plans: Mapping[str, Plan]) -> PaymentPlan | None:
    """What the catalogue asks for it: once, or for each period of the plan."""
    if not sold.price:
        return None
    price = Decimal(sold.price)
    if isinstance(sold, TopUp):
        return PaymentPlan(first_amount=price, currency=sold.currency, number_of_installments=1)
    every = _interval(plans[sold.plan])
    return PaymentPlan(
        first_amount=price, other_amounts=price, currency=sold.currency, number_of_installments=0,
        first_billing_interval=every, other_billing_intervals=every,
    )  # fmt: skip


def _interval(plan: Plan) -> str:
    return f"{plan.every}_{plan.unit.removesuffix('s')}"
