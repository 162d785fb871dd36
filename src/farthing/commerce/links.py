"""Links: what an account is offered, and where each offer leads. The addresses come from the provider, asked for one by
one and a few at a time; this is what all providers have in common.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from farthing.core.plans import Plan
from farthing.core.purchase_links import LinkMode, Option, OptionType, Policy
from farthing.core.records import Workspace
from farthing.stores.customers import Customers

from .clients import Clients
from .digistore24.errors import Digistore24Error
from .references import References
from .stripe.errors import StripeError
from .troubles import ProviderTrouble, gravest, trouble_of

AT_ONCE: Final = 6
"""Calls to a provider for one who asks."""
Mode = Literal["create_buy_url", "ds_upgrade_url", "checkout", "portal"]
UPGRADE_NOT_POSSIBLE: Final = "upgrade_not_possible"
CHANGE_IN_PORTAL: Final = "change_in_portal"
NO_SUCCESS_URL: Final = "missing_success_url"
NO_RETURN_URL: Final = "missing_return_url"


class Buyer(Struct, frozen=True, kw_only=True):
    """What is known of who buys, and where he is to come to."""

    email: str = ""
    success_url: str = ""
    cancel_url: str = ""
    keep_method: bool = False
    """Whether what he pays with may be charged again without him."""


class Link(Struct, frozen=True, kw_only=True):
    """Something to buy, and where."""

    type: OptionType
    mode: Mode
    effective: Policy
    expected: Policy
    """What follows from the catalogue; `effective` is what the provider says, where it does."""
    offer: str = ""
    """Our own name of it; empty of what is no offer."""
    to_product: str = ""
    from_product: str = ""
    label: str
    description: str = ""
    url: str = ""
    disabled: str = ""
    """Why it leads nowhere, as a code: ours, or the kind of a trouble."""


class Tools(Struct, frozen=True):
    """What it takes to ask any provider."""

    clients: Clients
    references: References
    customers: Customers
    now_us: Callable[[], int]


class Asked(Struct, frozen=True, kw_only=True):
    """For whom links are wanted, and for what."""

    workspace: Workspace
    account: str
    product: str
    options: Sequence[Option]
    buyer: Buyer
    plans: Mapping[str, Plan]
    """Those of the tiers."""
    modes: Mapping[LinkMode, Mode] = {}
    """How this provider sells what others sell by a link, where its way has a name of its own."""
    manage: bool = True
    """With a link to where the customer manages what he has, if the provider has such a place."""


Make = Callable[[Option], Awaitable[Link]]


def unlinked(asked: Asked, option: Option, why: str) -> Link:
    """An offer that can't be bought."""
    return replace(_link(asked, option), disabled=why)


def linked(asked: Asked, option: Option, url: str, mode: Mode, effective: Policy | None = None) -> Link:
    """An offer, and where it is bought."""
    link = _link(asked, option)
    return replace(link, url=url, mode=mode, effective=effective or link.effective)


def _link(asked: Asked, option: Option) -> Link:
    return Link(
        type=option.type,
        mode=asked.modes.get(option.link_mode, option.link_mode),
        effective=option.effective,
        expected=option.effective,
        offer=f"{asked.product}/{option.sold.id}",
        to_product=option.to_product,
        from_product=option.from_product,
        label=option.label,
        description=option.description,
    )


async def all_links(asked: Asked, make: Make) -> list[Link]:
    """A link for each option, in their order. One that the provider refuses is disabled, unless it refuses all; any
    other trouble is that of all."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(option: Option) -> Link | ProviderTrouble:
        if option.disabled:
            return unlinked(asked, option, option.disabled.lower())
        async with gate:
            try:
                return await make(option)
            except ProviderTrouble as trouble:
                return trouble
            except (Digistore24Error, StripeError) as error:
                return trouble_of(error)

    found = await asyncio.gather(*map(one, asked.options))
    troubles = [each for each in found if isinstance(each, ProviderTrouble)]
    if troubles and (gravest(troubles).kind != "refused" or not any(isinstance(e, Link) and e.url for e in found)):
        raise gravest(troubles)
    return [
        unlinked(asked, option, each.kind) if isinstance(each, ProviderTrouble) else each
        for option, each in zip(asked.options, found, strict=True)
    ]
