"""Orders by the API: looked at, listed, stopped, given back."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from .calls import BAD_PARAMETERS, NOT_FOUND, Api, ApiError, Call, Function, amount_in, needed
from .clock import read_time, text_of
from .forms import part, text, yes
from .model import Money, Order, cents

REFUND_DAYS: Final = 14
PAGE_SIZE: Final = 500
MOST_PAGE_SIZE: Final = 1_000


async def get_purchase(api: Api, call: Call) -> Any:
    """One order, or several by their ids."""
    ids = needed(call.fields, "purchase_id").split(",")
    found = {order_id.strip(): _purchase(api, api.order(order_id)) for order_id in ids}
    return found if len(ids) > 1 else next(iter(found.values()))


def _purchase(api: Api, order: Order) -> dict[str, Any]:
    links = f"https://www.checkout-ds24.com/order/{order.id}/{order.purchase_key}"
    return {
        "id": order.id, "amount": str(cents(sum((line.first for line in order.lines), Decimal(0)))),
        "other_amounts": str(cents(sum((line.other for line in order.lines), Decimal(0)))),
        "currency": order.plan.currency, "number_of_installments": order.plan.installments,
        "created_at": text_of(order.created_at), "billing_type": order.plan.billing_type,
        "billing_status": order.status, "next_payment_at": text_of(order.next_payment_at) if order.rebilling else "",
        "renew_url": links, "receipt_url": links, "invoice_url": links, "can_cancel_before": "",
        "buyer": {"id": int(order.buyer_id), "email": order.email, "first_name": order.first_name,
                  "last_name": order.last_name},
        "items": [
            {"id": int(line.item_id), "product_id": int(line.product_id), "quantity": line.quantity, "no": place + 1,
             "count": len(order.lines), "product_name": api.product(line.product_id).name}
            for place, line in enumerate(order.lines)
        ],
        "transaction_list": [transaction_told(money) | {"type": money.type} for money in order.money],
        "placeholders": order.placeholders or [],
    }  # fmt: skip


async def list_purchases(api: Api, call: Call) -> Any:
    """Orders, by when they were made."""
    orders = [order for order in api.state.orders.values() if order.status != "unpaid" or order.money]
    found = _found(api, call, ((order.created_at, order, order) for order in orders))
    return _page(api, call, "purchase_list", [_purchase(api, order) for order in found])


async def list_transactions(api: Api, call: Call) -> Any:
    """Payments, refunds and chargebacks, by when they were made."""
    orders, kinds = api.state.orders, text(part(call.fields, "search"), "transaction_type")
    all = ((money.at, orders[money.order_id], money) for money in api.state.money.values())
    found = [each for each in _found(api, call, all) if not kinds or each.type in kinds.split(",")]
    told = [
        transaction_told(money)
        | {"transaction_type": money.type, "buyer": _purchase(api, orders[money.order_id])["buyer"]}
        for money in found
    ]
    return _page(api, call, "transaction_list", told)


def _found(api: Api, call: Call, all: Iterable[tuple[datetime, Order, Any]]) -> list[Any]:
    """What is asked for, of things with their time and order."""
    now, search = api.shop.clock.now(), part(call.fields, "search")
    since, until = (read_time(text(call.fields, n, d), now) for n, d in (("from", "-24h"), ("to", "now")))
    wanted = {name: text(search, name).split(",") for name in ("purchase_id", "product_id", "email", "currency")}
    found = [
        (at, each)
        for at, order, each in all
        if since <= at <= until
        and _has_all(wanted, {"purchase_id": order.id, "product_id": order.product_id, "email": order.email,
                            "currency": order.plan.currency})
    ]  # fmt: skip
    found.sort(key=lambda pair: pair[0], reverse=text(call.fields, "sort_order", "asc") == "desc")
    return [each for _, each in found]


def _page(api: Api, call: Call, name: str, rows: list[Any]) -> dict[str, Any]:
    size = min(max(int(text(call.fields, "page_size", str(PAGE_SIZE))), 1), MOST_PAGE_SIZE)
    number = max(int(text(call.fields, "page_no", "1")), 1)
    return {
        "from": text(call.fields, "from", "-24h"), "to": text(call.fields, "to", "now"), "page_size": size,
        "page_no": number, "page_count": -(-len(rows) // size), "item_count": len(rows),
        name: rows[(number - 1) * size : number * size],
    }  # fmt: skip


async def stop_rebilling(api: Api, call: Call) -> Any:
    """Have an order paid no further."""
    order = api.order(needed(call.fields, "purchase_id"))
    modified = api.shop.stop(order)
    return rebilling_told(order, modified) | {
        "code": "stopped_now", "is_cancelled_now": "Y", "is_cancelled_later": "N", "can_cancel_before": "",
    }  # fmt: skip


async def start_rebilling(api: Api, call: Call) -> Any:
    """Have it paid again."""
    order = api.order(needed(call.fields, "purchase_id"))
    return rebilling_told(order, api.shop.resume(order))


async def refund_transaction(api: Api, call: Call) -> Any:
    """All of a payment."""
    money = api.state.money.get(needed(call.fields, "transaction_id"))
    if money is None or money.type != "payment":
        raise ApiError(NOT_FOUND, "The transaction does not exist.")
    return _refund(api, api.state.orders[money.order_id], money, None, yes(call.fields, "force"))


async def refund_purchase(api: Api, call: Call) -> Any:
    """All payments of an order."""
    order = api.order(needed(call.fields, "purchase_id"))
    told = [
        _refund(api, order, money, None, yes(call.fields, "force"))
        for money in list(order.money)
        if money.type == "payment"
    ]
    return told[-1] if told else {"status": "error", "modified": "N", "error_reason": "unknown"}


async def refund_partially(api: Api, call: Call) -> Any:
    """A part of an order's last payment."""
    order = api.order(needed(call.fields, "purchase_id"))
    amount = amount_in(call.fields, "amount")
    payments = [money for money in order.money if money.type == "payment"]
    if amount is None or not payments:
        raise ApiError(BAD_PARAMETERS, "There is nothing to refund.")
    return _refund(api, order, payments[-1], amount, True)


def _refund(api: Api, order: Order, payment: Money, amount: Decimal | None, force: bool) -> dict[str, Any]:
    now = api.shop.clock.now()
    if order.given_back(payment) == payment.amount:
        return {"status": "error", "modified": "N", "error_reason": "refund_completed", "note": "It was refunded."}
    if not force and now - payment.at > timedelta(days=REFUND_DAYS):
        return {"status": "refused", "modified": "N", "note": f"It was paid more than {REFUND_DAYS} days ago."}
    api.shop.give_back(order, payment, amount, "refund")
    return {"status": "completed", "modified": "Y", "note": "", "processed_at": text_of(now)}


def _has_all(wanted: Mapping[str, list[str]], has: Mapping[str, str]) -> bool:
    """Whether something has all that is searched for."""
    return all(texts == [""] or has[name] in texts for name, texts in wanted.items())


def transaction_told(money: Money) -> dict[str, Any]:
    """Money that moved, as an order and a list tell it."""
    # Numbers here, texts elsewhere: the documentation has both.
    return {
        "id": int(money.id), "purchase_id": money.order_id, "amount": money.amount, "currency": money.currency,
        "pay_method": money.pay_method, "created_at": text_of(money.at),
    }  # fmt: skip


def rebilling_told(order: Order, modified: bool) -> dict[str, Any]:
    """Whether an order goes on being paid."""
    return {
        "modified": "Y" if modified else "N", "note": "", "billing_status": order.status,
        "billing_status_msg": order.status.capitalize(), "rebilling_active": "Y" if order.rebilling else "N",
        "next_payment_at": text_of(order.next_payment_at) if order.rebilling else "",
    }  # fmt: skip


READS: Final[dict[str, Function]] = {
    "getPurchase": get_purchase,
    "listPurchases": list_purchases,
    "listTransactions": list_transactions,
}
WRITES: Final[dict[str, Function]] = {
    "stopRebilling": stop_rebilling,
    "startRebilling": start_rebilling,
    "refundTransaction": refund_transaction,
    "refundPurchase": refund_purchase,
    "refundPartially": refund_partially,
}
