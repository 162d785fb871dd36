"""Purchase links: what an account may buy next of a product, in an order that never changes. Where each leads is asked
of the provider; here is what is offered, and why something is not.
"""

from collections.abc import Callable, Iterator
from typing import Literal

from msgspec import Struct

from .catalogue import Product, Provider, Tier, TopUp

OptionType = Literal["topup", "upgrade", "downgrade", "manage"]
LinkMode = Literal["create_buy_url", "ds_upgrade_url"]
Policy = Literal["immediate", "end_of_period", "unknown"]
Write = Callable[[int], str]
"""Writes an amount of smallest units as people read it."""
MISSING_ORDER = "MISSING_ORDER_ID"
NOT_SOLD = "PRODUCT_NOT_SOLD"


class Option(Struct, frozen=True, kw_only=True):
    """Something to buy."""

    type: OptionType
    link_mode: LinkMode
    effective: Policy
    """When a change of tier counts."""
    sold: Tier | TopUp
    to_product: str
    """The provider's product; empty where it does not sell this."""
    from_product: str = ""
    """The provider's product of the tier that is had now."""
    upgrades_order: str = ""
    """The order whose place the new one takes."""
    disabled: str = ""
    """Why it can't be bought, as a code."""
    label: str
    description: str


def options(
    product: Product, provider: Provider, current: Tier | None, order: str, write: Write, *, billed: bool = True
) -> list[Option]:  # fmt: skip
    """Upgrades by rank, then downgrades by rank, then top-ups, the most credits first. Without a tier, or with one that
    is not `billed` by anybody, the others are simply bought; else a change needs the order of the present one."""
    return [*_tiers(product, provider, current, order, billed), *_top_ups(product, provider, current, write)]


def _tiers(
    product: Product, provider: Provider, current: Tier | None, order: str, billed: bool
) -> Iterator[Option]:  # fmt: skip
    others = sorted((t for t in product.tiers if current is None or t.id != current.id), key=lambda t: (t.rank, t.id))
    above = [t for t in others if current is None or t.rank > current.rank]
    below = [t for t in others if t not in above]
    source = current.sold_as.get(provider, "") if current else ""
    changes = current is not None and billed
    kinds: tuple[tuple[OptionType, Policy, list[Tier]], ...] = (
        ("upgrade", "immediate", above),
        ("downgrade", "end_of_period" if changes else "immediate", below),
    )
    for kind, policy, tiers in kinds:
        for tier in tiers:
            sold_as = tier.sold_as.get(provider, "")
            yield Option(
                type=kind, link_mode="ds_upgrade_url" if changes else "create_buy_url", effective=policy, sold=tier,
                to_product=sold_as, from_product=source, upgrades_order=order if changes else "",
                disabled=NOT_SOLD if not sold_as else MISSING_ORDER if changes and not order else "",
                label=tier.name or tier.id, description=tier.description or _price(tier),
            )  # fmt: skip


def _top_ups(product: Product, provider: Provider, current: Tier | None, write: Write) -> Iterator[Option]:
    source = current.sold_as.get(provider, "") if current else ""
    for top_up in sorted(product.top_ups, key=lambda t: (-t.credits, t.id)):
        sold_as = top_up.sold_as.get(provider, "")
        yield Option(
            type="topup", link_mode="create_buy_url", effective="immediate", sold=top_up, to_product=sold_as,
            from_product=source, disabled="" if sold_as or _by_its_price(top_up, provider) else NOT_SOLD,
            label=top_up.name or f"{write(top_up.credits)} credits", description=top_up.description or _price(top_up),
        )  # fmt: skip


def _by_its_price(top_up: TopUp, provider: Provider) -> bool:
    """Stripe sells what is none of its products as well, by the price that comes with the checkout."""
    return provider == "stripe" and bool(top_up.price)


def _price(offer: Tier | TopUp) -> str:
    return f"{offer.price} {offer.currency}" if offer.price else ""
