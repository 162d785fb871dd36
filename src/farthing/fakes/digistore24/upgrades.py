"""Upgrades by the API: made, listed, checked, carried out."""

from typing import Any, Final

from .calls import BAD_PARAMETERS, DENIED, Api, ApiError, Call, Function, needed
from .clock import text_of
from .forms import text
from .model import Order, Plan, Upgrade
from .selling import Buyer


async def list_upgrades(api: Api, call: Call) -> Any:
    """All of them."""
    return {"upgrades": [_upgrade(upgrade, call.base) for upgrade in api.state.upgrades.values()]}


async def get_upgrade(api: Api, call: Call) -> Any:
    """One of them, and whether orders can take it."""
    upgrade = api.upgrade(needed(call.fields, "upgrade_id"))
    told: dict[str, Any] = {"item": _upgrade(upgrade, call.base) | {"to_product_name": upgrade.name}}
    if ids := text(call.fields, "order_ids"):
        order = upgradable(api, upgrade, ids)
        told["check"] = {
            "is_upgrade_possible": "Y" if order else "N",
            "is_one_click_payment_possible": "Y" if order else "N",
            "possible_upgrade_type": upgrade.types[order.product_id] if order else "",
        }
    return told


def plan_for(api: Api, upgrade: Upgrade, before: Order) -> Plan:
    """What the new product costs whoever has the old one: paid as often as before."""
    product = api.product(upgrade.to_product_id)
    return Plan(product.price, product.price, product.currency, before.plan.installments, before.plan.first_interval)


def upgradable(api: Api, upgrade: Upgrade, ids: str) -> Order | None:
    """The first order that the upgrade is for."""
    orders = [api.state.orders.get(order_id.strip()) for order_id in ids.split(",")]
    fitting = (order for order in orders if order is not None and order.product_id in upgrade.types)
    return next((each for each in fitting if each.rebilling or upgrade.types[each.product_id] == "special_offer"), None)


async def create_upgrade(api: Api, call: Call) -> Any:
    """A new way."""
    kinds = {"upgrade": "upgrade_from", "downgrade": "downgrade_from", "special_offer": "special_offer_for"}
    types = {
        product.strip(): kind
        for kind, name in kinds.items()
        for product in text(call.fields, name).split(",")
        if product.strip()
    }
    to = api.product(needed(call.fields, "to_product_id"))
    upgrade = Upgrade(api.state.number(), text(call.fields, "name"), to.id, api.state.letters(12), types)
    api.state.upgrades[upgrade.id] = upgrade
    return {"upgrade_id": upgrade.id}


async def create_upgrade_purchase(api: Api, call: Call) -> Any:
    """Carry one out without the buyer."""
    if not call.key.billing_on_demand:
        raise ApiError(DENIED, 'The right "Billing on demand" is missing.')
    upgrade = api.upgrade(needed(call.fields, "upgrade_id"))
    before = upgradable(api, upgrade, needed(call.fields, "purchase_ids"))
    if before is None:
        raise ApiError(BAD_PARAMETERS, "None of these orders can be upgraded.")
    left = api.shop.credit_left(before)
    plan = plan_for(api, upgrade, before)
    order = api.shop.upgrade(before, upgrade, plan, Buyer(before.email, pay_method=before.pay_method, test=before.test))
    return {
        "new_purchase": {
            "id": order.id, "billing_status": order.status, "paid_amount": str(order.total("payment")),
            "next_payment_at": text_of(order.next_payment_at), "next_amount": str(order.lines[0].other),
            "currency": plan.currency,
        },
        "upgrade_info": {
            "upgrade_type": order.upgrade_type, "upgrade_amount_left": "0.00", "upgrade_amount_total": str(left),
            "upgraded_purchase_id": before.id,
        },
    }  # fmt: skip


def _upgrade(upgrade: Upgrade, base: str) -> dict[str, Any]:
    return {
        "upgrade_url": f"{base}/upgrade/{upgrade.id}-{upgrade.authkey}/ORDER_ID", "id": int(upgrade.id),
        "name": upgrade.name, "to_product_id": int(upgrade.to_product_id), "is_active": "Y",
        "authkey": upgrade.authkey, "fallback_product_id": None, "buyer_readonly_keys": "none",
        "upgrade_types": upgrade.types or [],
    }  # fmt: skip


READS: Final[dict[str, Function]] = {
    "listUpgrades": list_upgrades,
    "getUpgrade": get_upgrade,
}
WRITES: Final[dict[str, Function]] = {
    "createUpgrade": create_upgrade,
    "createUpgradePurchase": create_upgrade_purchase,
}
