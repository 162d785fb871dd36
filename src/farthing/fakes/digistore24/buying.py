"""Buying by the API: links, and charges on demand.

Where the documentation is silent: charges that come too often are answered by status 429, and an order that can't be
charged again by code 3.
"""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from .calls import BAD_CALL, BAD_PARAMETERS, DENIED, NOT_FOUND, Api, ApiError, Call, Function, amount_in, needed
from .clock import is_interval, read_time, text_of
from .forms import Fields, part, text, yes
from .model import Link, Order, Plan, Product
from .selling import Buyer

ON_DEMAND_A_DAY: Final = 10
MOST_CUSTOM: Final = 63


async def create_buy_url(api: Api, call: Call) -> Any:
    """A link to buy by."""
    fields, product = call.fields, api.product(needed(call.fields, "product_id"))
    buyer, tracking, urls = part(fields, "buyer"), part(fields, "tracking"), part(fields, "urls")
    plan_fields, settings = part(fields, "payment_plan"), part(fields, "settings")
    if affiliate := text(tracking, "affiliate"):
        raise ApiError(NOT_FOUND, f"The affiliate {affiliate} does not exist.")
    link = Link(
        api.state.number(), product.id, plan_in(plan_fields, product), custom=custom_in(tracking),
        email=text(buyer, "email"), first_name=text(buyer, "first_name"), last_name=text(buyer, "last_name"),
        country=text(buyer, "country", "DE"), is_email_fixed=is_email_fixed(buyer),
        valid_until=_valid_until(api, text(fields, "valid_until", "24h")),
        thankyou_url=api.url(urls, "thankyou_url"), fallback_url=api.url(urls, "fallback_url"),
        force_rebilling=yes(settings, "force_rebilling"),
        upgrade_order_id=text(plan_fields, "upgrade_order_id"), upgrade_type=text(plan_fields, "upgrade_type"),
        extra=[_addon(api, addon) for addon in _many(part(fields, "addons"))],
        placeholders={name: str(value) for name, value in part(fields, "placeholders").items()},
        quantity=int(text(settings, "quantity", "1")),
    )  # fmt: skip
    api.url(urls, "upgrade_error_url")
    status = _upgrade_status(api, link)
    api.state.links[link.id] = link
    return {
        "id": link.id, "url": f"{call.base}/checkout/{link.id}-{api.state.letters(8)}",
        "valid_until": text_of(link.valid_until), "upgrade_status": status,
    }  # fmt: skip


def _upgrade_status(api: Api, link: Link) -> str:
    if not link.upgrade_order_id:
        return "none"
    before = api.state.orders.get(link.upgrade_order_id)
    if before is None or not before.rebilling:
        link.upgrade_order_id = ""
        return "error"
    return "ok"


def _valid_until(api: Api, given: str) -> datetime | None:
    """A time, or how long from now on, such as 24h."""
    now = api.shop.clock.now()
    if given == "forever":
        return None
    return now + (now - read_time(f"-{given}", now)) if re.fullmatch(r"[0-9]+[smhdw]", given) else read_time(given, now)


def _addon(api: Api, addon: Fields) -> tuple[str, Decimal, Decimal, int]:
    product = api.product(needed(addon, "product_id"))
    first = amount_in(addon, "single_amount") or amount_in(addon, "first_amount") or product.price
    other = amount_in(addon, "other_amounts") or Decimal(0)
    count = int(text(addon, "default_quantity", "1"))
    return product.id, first * count, other * count, count


async def create_billing_on_demand(api: Api, call: Call) -> Any:
    """Charge an earlier order again: a new order, paid with what the earlier one was."""
    if not call.key.billing_on_demand:
        raise ApiError(DENIED, 'The right "Billing on demand" is missing.')
    before = api.order(needed(call.fields, "purchase_id"))
    product = api.product(needed(call.fields, "product_id"))
    if not (before.force_rebilling or before.plan.installments == 0):
        raise ApiError(BAD_PARAMETERS, f"The order {before.id} can't be charged again.")
    _slow_down(api, before)
    settings = part(call.fields, "settings")
    plan = plan_in(part(call.fields, "payment_plan"), product)
    link = Link(
        "", product.id, plan, custom=custom_in(part(call.fields, "tracking")),
        quantity=int(text(settings, "quantity", "1")),
    )  # fmt: skip
    order = api.shop.order(link, Buyer(before.email, pay_method=before.pay_method, test=before.test))
    order.buyer_id, order.first_name, order.last_name = before.buyer_id, before.first_name, before.last_name
    status = _charge(api, before, order)
    return {
        "created_purchase_id": order.id, "payment_status": status, "payment_status_msg": status.capitalize(),
        "billing_status": order.status, "billing_status_msg": order.status.capitalize(),
        "paid_amount": str(order.total("payment")), "currency": plan.currency,
        "pay_url": "" if status == "completed" else f"{call.base}/renew/{order.id}",
    }  # fmt: skip


def _slow_down(api: Api, order: Order) -> None:
    """10 a day, 1 a minute."""
    now = api.shop.clock.now()
    order.billed_at = [at for at in order.billed_at if now - at < timedelta(days=1)]
    if order.billed_at and now - order.billed_at[-1] < timedelta(minutes=1):
        raise ApiError(BAD_CALL, "An order can be charged once a minute.", 429)
    if len(order.billed_at) >= ON_DEMAND_A_DAY:
        raise ApiError(BAD_CALL, f"An order can be charged {ON_DEMAND_A_DAY} times a day.", 429)
    order.billed_at.append(now)


def _charge(api: Api, before: Order, order: Order) -> str:
    if before.card == "pending":
        return "pending"
    if before.card == "declined":
        order.status, order.stop_reason = "aborted", "payment_denied"
        return "refused"
    api.shop.pay(order)
    return "completed"


def _many(fields: Fields) -> list[Fields]:
    return [each for each in fields.values() if isinstance(each, dict)]


def custom_in(tracking: Fields) -> str:
    """Our own words for an order, as far as they are kept."""
    return text(tracking, "custom")[:MOST_CUSTOM]


def is_email_fixed(buyer: Fields) -> bool:
    """Whether the buyer can't change his address."""
    readonly = text(buyer, "readonly_keys", "none")
    if readonly != "none" and not text(buyer, "email"):
        raise ApiError(BAD_PARAMETERS, "readonly_keys needs the values as well: buyer[email] is missing.")
    return readonly != "none"


def plan_in(fields: Fields, product: Product) -> Plan:
    """The price travels with the call; what the product costs counts only where it brings none."""
    first = amount_in(fields, "first_amount")
    first = product.price if first is None else first
    other = amount_in(fields, "other_amounts")
    first_interval = text(fields, "first_billing_interval", "1_month")
    other_interval = text(fields, "other_billing_intervals", first_interval)
    for interval in (first_interval, other_interval):
        if not is_interval(interval):
            raise ApiError(BAD_PARAMETERS, f"{interval} is no interval such as 1_month.")
    count = int(text(fields, "number_of_installments", "1"))
    currency = text(fields, "currency", product.currency).upper()
    return Plan(first, first if other is None else other, currency, count, first_interval, other_interval)


READS: Final[dict[str, Function]] = {}
WRITES: Final[dict[str, Function]] = {
    "createBuyUrl": create_buy_url,
    "createBillingOnDemand": create_billing_on_demand,
}
