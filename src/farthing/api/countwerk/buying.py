"""Buying in the CountWerk dialect: whose an order is, and links to buy by. The provider is Digistore24.

An order that the ledger does not know is asked for there: one that exists is not mapped *yet*, since its notification
is still to come.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import asdict

from farthing.commerce.links import Buyer, Link
from farthing.commerce.selling import Offered, Unsellable
from farthing.commerce.troubles import Kind, ProviderTrouble
from farthing.core.purchases import Order

from ..bodies import id_error
from ..endpoint import Request
from ..v1.desk import Desk
from .errors import Fault
from .fields import Body, account
from .wire import MAX_EVENT, PurchaseLinks, PurchaseLinksRequest, PurchaseOption, ResolvedOrder, ResolveOrderRequest

PROVIDER: Final = "digistore24"
TROUBLES: Final[Mapping[Kind, str]] = {
    "key_missing": "DS24_KEY_REQUIRED",
    "key_invalid": "DS24_KEY_INVALID",
    "key_forbidden": "DS24_KEY_FORBIDDEN",
    "rate_limited": "DS24_RATE_LIMITED",
    "unavailable": "DS24_TEMPORARY_ERROR",
    "refused": "DS24_BAD_REQUEST",
}
"""What trouble with Digistore24 is called here."""
_REASONS: Final[Mapping[str, str]] = {str(kind): code for kind, code in TROUBLES.items()}
_UNSELLABLE: Final[Mapping[str, str]] = {
    "unknown_tier": "current_tier_product_id",
    "order_of_another": "current_order_id",
}
"""The field that is wrong, by why nothing can be offered."""

_resolve, _links = Body(ResolveOrderRequest), Body(PurchaseLinksRequest)


async def resolve_order(request: Request, desk: Desk) -> ResolvedOrder:
    """Whose an order is, and what for."""
    fields = _resolve.read(request)
    id = _id(fields.order_id, "order_id")
    if not id:
        raise _resolve.missing(request, "MISSING_ORDER_ID", "order_id")
    workspace = request.caller.workspace
    found = [kept.order for kept in await desk.commerce.purchases.orders_named(workspace.id, id)]
    found.sort(key=lambda order: order.provider != PROVIDER)
    if not found:
        raise await _unknown(request, desk, id)
    order = found[0]
    if not order.account:
        raise Fault("ORDER_NOT_MAPPED_YET", "Nobody knows yet whose this order is.")
    if not order.offer:
        raise Fault("ORDER_NOT_MAPPED_YET", "What was bought by this order is no product of the catalogue yet.")
    return ResolvedOrder(order_id=id, account_id=order.account, ai_product_id=_product_of(order))


def _product_of(order: Order) -> str:
    return order.offer.partition("/")[0]


async def _unknown(request: Request, desk: Desk, id: str) -> Fault:
    """Why an order is not known; asked of the provider, where there is one."""
    workspace = request.caller.workspace
    if await desk.providers.get(workspace.id, PROVIDER) is not None:
        try:
            if await desk.commerce.selling.is_known_there(workspace, id):
                return Fault("ORDER_NOT_MAPPED_YET", "Digistore24 knows this order, and has not told of it yet.")
        except ProviderTrouble as trouble:
            return _troubled(trouble)
    return Fault("ORDER_NOT_FOUND", "There is no such order.")


async def purchase_links(request: Request, desk: Desk) -> PurchaseLinks:
    """What an account may buy of a product."""
    fields = _links.read(request)
    product = _id(fields.ai_product_id, "ai_product_id")
    if not product:
        raise _links.missing(request, "MISSING_PRODUCT_ID", "ai_product_id")
    who = account(fields.account_id, _links, request)
    tier = _id(fields.current_tier_product_id, "current_tier_product_id")
    order = _id(fields.current_order_id, "current_order_id")
    buyer = Buyer(email=_id(fields.buyer_email, "buyer_email"))
    try:
        offered = await desk.commerce.selling.links(
            request.caller.workspace, who, product, PROVIDER, buyer=buyer, tier=tier, order=order
        )  # fmt: skip
    except Unsellable as error:
        if error.code == "product_not_found":
            raise Fault("INVALID_INPUT", "ai_product_id names no product that is on sale.", status=404) from error
        raise Fault("INVALID_INPUT", f"{_UNSELLABLE[error.code]} {error}.") from error
    told = write_links(offered, who)
    if offered.trouble is not None:
        raise _troubled(offered.trouble, told)
    return told


def _id(value: Any, name: str) -> str:
    """A name that may be missing."""
    if value is None or value == "":
        return ""
    if wrong := id_error(value, MAX_EVENT):
        raise Fault("INVALID_INPUT", f"{name} {wrong}.")
    return str(value)


def _troubled(trouble: ProviderTrouble, told: PurchaseLinks | None = None) -> Fault:
    data = {} if told is None else asdict(told)
    return Fault(TROUBLES[trouble.kind], f"{trouble.message.rstrip('.')}.", data, trouble.retry_after)


def write_links(offered: Offered, account: str) -> PurchaseLinks:
    """What is offered, on the wire."""
    return PurchaseLinks(
        ai_product_id=offered.product,
        account_id=account,
        current_order_id=offered.have.order or None,
        current_tier_product_id=offered.current or None,
        options=[_option(link) for link in offered.links],
    )


def _option(link: Link) -> PurchaseOption:
    reason = _REASONS.get(link.disabled, link.disabled.upper())
    return PurchaseOption(
        type=link.type, linkMode=link.mode, effectiveAtPolicy=link.effective, expectedPolicy=link.expected,
        enabled=not reason, disabledReason=reason or None, toProductId=link.to_product or None,
        fromProductId=link.from_product or None, url=link.url or None, label=link.label, description=link.description,
    )  # fmt: skip
