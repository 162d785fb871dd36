"""Subscriptions: begun, renewed by the clock, dunned, moved to other prices, ended."""

from typing import Any, Final

from . import customers, invoices, payments
from .calls import Call, Route, listed, page
from .catalogue import line_of
from .params import Json, Params, Refused
from .periods import next_boundary
from .world import DAY, HOUR, World

RETRY_DAYS: Final = (3, 5, 7)
"""After a failed renewal, how long until each further try; after the last the subscription ends."""
_GIVEN_UP_SECONDS: Final = 23 * HOUR
_ENDED: Final = ("canceled", "incomplete_expired")
Parts = list[tuple[Json, int]]
"""Prices and quantities."""


def check_lines(lines: list[Json]) -> None:
    """Refuse what can't be a subscription."""
    every = {(price["recurring"] or {}).get("interval") for price in (each["price"] for each in lines)}
    if not lines or None in every:
        raise Refused("A subscription needs recurring prices.", param="items")
    if len(every) > 1 or len({each["price"]["currency"] for each in lines}) > 1:
        raise Refused("All prices of a subscription have the same interval and currency.", param="items")


def make(world: World, customer: str, lines: list[Json], metadata: Json, trial_end: int | None, status: str) -> Json:
    """A new one, which begins now; nothing is billed yet."""
    now = world.clock.now()
    recurring = lines[0]["price"]["recurring"]
    anchor = trial_end or now
    made = world.make(
        "subscription",
        "sub",
        application=None,
        automatic_tax={"enabled": False, "liability": None, "disabled_reason": None},
        billing_cycle_anchor=anchor,
        billing_mode={"type": "flexible"},
        billing_schedules=[],
        cancel_at=None,
        cancel_at_period_end=False,
        canceled_at=None,
        cancellation_details={"comment": None, "feedback": None, "reason": None},
        collection_method="charge_automatically",
        currency=lines[0]["price"]["currency"],
        customer=customer,
        default_payment_method=None,
        default_tax_rates=[],
        description=None,
        discounts=[],
        ended_at=None,
        invoice_settings={"account_tax_ids": None, "issuer": {"type": "self"}},
        latest_invoice=None,
        metadata=metadata,
        pause_collection=None,
        start_date=now,
        status=status,
        trial_end=trial_end,
        trial_start=now if trial_end else None,
        _pending=[],
    )
    end = trial_end or next_boundary(anchor, now, recurring)
    rows = [_item(world, made, each["price"], each["quantity"], (now, end)) for each in lines]
    made["items"] = listed(rows, f"/v1/subscription_items?subscription={made['id']}")
    world.later(end, lambda: _period_ends(world, made, end))
    return made


def _item(world: World, subscription: Json, price: Json, quantity: int, span: tuple[int, int]) -> Json:
    plan = {name: price[name] for name in ("id", "active", "currency", "product", "livemode", "metadata")}
    return {
        "id": world.new_id("si"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": world.clock.now(),
        "current_period_start": span[0],
        "current_period_end": span[1],
        "discounts": [],
        "metadata": {},
        "plan": {**plan, "object": "plan", "amount": price["unit_amount"], "interval": price["recurring"]["interval"]},
        "price": price,
        "quantity": quantity,
        "subscription": subscription["id"],
        "tax_rates": [],
    }


def items(subscription: Json) -> list[Json]:
    """What it consists of."""
    found: list[Json] = subscription["items"]["data"]
    return found


def _lines(subscription: Json) -> list[Json]:
    return [
        invoices.line(
            each["price"], each["quantity"], each["current_period_start"], each["current_period_end"], subscription,
            each["id"],
        )
        for each in items(subscription)
    ]  # fmt: skip


def _change(world: World, subscription: Json, **fields: Any) -> None:
    """Change it, and tell what has changed."""
    before = {name: subscription[name] for name, value in fields.items() if subscription[name] != value}
    subscription.update(fields)
    if before:
        world.tell("customer.subscription.updated", subscription, before)


def first_invoice(world: World, subscription: Json) -> Json:
    """The bill for its first period; for a trial a bill of nothing."""
    lines = _lines(subscription)
    if subscription["status"] == "trialing":
        lines = [{**each, "amount": 0, "subtotal": 0} for each in lines]
    return invoices.make(world, subscription, lines, "subscription_create")


def give_up_later(world: World, subscription: Json) -> None:
    """What nobody has paid for within a day never begins."""

    def act() -> None:
        if subscription["status"] == "incomplete":
            subscription["ended_at"] = world.clock.now()
            invoices.withdraw(world, world.find("invoice", subscription["latest_invoice"]), "void")
            _change(world, subscription, status="incomplete_expired")

    world.later(world.clock.now() + _GIVEN_UP_SECONDS, act)


# By the clock


def _period_ends(world: World, subscription: Json, end: int) -> None:
    if subscription["status"] in (*_ENDED, "incomplete") or items(subscription)[0]["current_period_end"] != end:
        return
    if subscription["cancel_at_period_end"]:
        return finish(world, subscription)
    _begin_period(world, subscription, end)
    invoice = invoices.make(world, subscription, subscription["_pending"] + _lines(subscription), "subscription_cycle")
    subscription["_pending"] = []
    _pay(world, subscription, invoice)


def _pay(world: World, subscription: Json, invoice: Json, off_session: bool = True) -> None:
    method = method_of(world, subscription)
    invoices.pay(world, invoice, method, off_session)
    if method is None and invoice["status"] == "open":
        _dun(world, subscription, invoice)


def _begin_period(world: World, subscription: Json, start: int) -> None:
    end = next_boundary(subscription["billing_cycle_anchor"], start, items(subscription)[0]["price"]["recurring"])
    before = [{**each} for each in items(subscription)]
    for each in items(subscription):
        each.update(current_period_start=start, current_period_end=end)
    if subscription["status"] == "trialing":
        subscription["status"] = "active"
    world.tell("customer.subscription.updated", subscription, {"items": {"data": before}})
    world.later(end, lambda: _period_ends(world, subscription, end))


def method_of(world: World, subscription: Json) -> Json | None:
    """By what it is paid."""
    customer = world.find("customer", subscription["customer"])
    if customer.get("deleted"):
        return None
    id = subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    return world.find("payment_method", id) if id else None


def finish(world: World, subscription: Json, reason: str = "cancellation_requested") -> None:
    """It ends now."""
    now = world.clock.now()
    subscription.update(status="canceled", ended_at=now, canceled_at=subscription["canceled_at"] or now)
    subscription["cancellation_details"]["reason"] = reason
    world.tell("customer.subscription.deleted", subscription)


def on_settled(world: World, intent: Json) -> None:
    """A payment for an invoice has come to something."""
    if (id := intent.get("_invoice")) is None:
        return
    invoice = world.find("invoice", id)
    subscription = world.find("subscription", invoices.owner(invoice))
    if intent["status"] == "succeeded":
        invoices.paid(world, invoice)
        if subscription["status"] in ("incomplete", "past_due", "unpaid"):
            _change(world, subscription, status="active")
    elif intent["status"] == "processing":
        if subscription["status"] == "incomplete":
            _change(world, subscription, status="active")
    else:
        invoices.not_paid(world, invoice)
        if intent["status"] != "requires_action":
            _dun(world, subscription, invoice)


def _dun(world: World, subscription: Json, invoice: Json) -> None:
    """Try again some days later, and at last end it."""
    if invoice["billing_reason"] == "subscription_create" and subscription["status"] == "incomplete":
        return
    tries = invoice["attempt_count"]
    if tries > len(RETRY_DAYS):
        invoices.withdraw(world, invoice, "uncollectible")
        return finish(world, subscription, "payment_failed")
    at = world.clock.now() + RETRY_DAYS[tries - 1] * DAY
    invoice["next_payment_attempt"] = at

    def act() -> None:
        if invoice["status"] == "open" and invoice["attempt_count"] == tries and subscription["status"] not in _ENDED:
            _pay(world, subscription, invoice)

    world.later(at, act)
    _change(world, subscription, status="past_due")


# Calls


def create(call: Call) -> Json:
    """POST /v1/subscriptions"""
    world, params = call.world, call.params
    customer = customers.living(world, params.needed("customer"))
    lines = [line_of(world, each) for each in params.rows("items")]
    check_lines(lines)
    behaviour = params.text("payment_behavior") or "allow_incomplete"
    trial = _trial_end(world, params)
    made = make(world, customer["id"], lines, params.metadata(), trial, "trialing" if trial else "incomplete")
    if method := params.text("default_payment_method"):
        made["default_payment_method"] = world.find("payment_method", method)["id"]
    world.tell("customer.subscription.created", made)
    invoice = first_invoice(world, made)
    if behaviour != "default_incomplete" or invoice["amount_due"] == 0:
        _pay(world, made, invoice, params.flag("off_session"))
    if made["status"] == "incomplete" and invoice["amount_due"] == 0:
        _change(world, made, status="active")
    give_up_later(world, made)
    return made


def _trial_end(world: World, params: Params) -> int | None:
    days = params.whole("trial_period_days")
    return world.clock.now() + days * DAY if days else params.whole("trial_end")


def update(call: Call) -> Json:
    """POST /v1/subscriptions/{id}"""
    world, params = call.world, call.params
    found = _living(call)
    if "items" in params:
        _move(call, found, params.rows("items"))
    if "cancel_at_period_end" in params:
        end_with_period(world, found, params.flag("cancel_at_period_end"))
    told: Json = {}
    if "default_payment_method" in params:
        told["default_payment_method"] = world.find("payment_method", params.text("default_payment_method"))["id"]
    if "metadata" in params:
        told["metadata"] = params.metadata(found["metadata"])
    _change(world, found, **told)
    return found


def end_with_period(world: World, subscription: Json, ends: bool) -> None:
    """It ends with the period that is paid, or goes on after all."""
    at = items(subscription)[0]["current_period_end"] if ends else None
    when = world.clock.now() if ends else None
    _change(world, subscription, cancel_at_period_end=ends, cancel_at=at, canceled_at=when)


def _living(call: Call) -> Json:
    found = call.world.find("subscription", call.id)
    if found["status"] in _ENDED:
        raise Refused(f"No such subscription: '{call.id}'", status=404, code="resource_missing", param="id")
    return found


def cancel(call: Call) -> Json:
    """DELETE /v1/subscriptions/{id}"""
    found = _living(call)
    finish(call.world, found)
    return found


def _move(call: Call, subscription: Json, rows: list[Params]) -> None:
    """Move one item to another price or quantity."""
    world, params = call.world, call.params
    if len(rows) != 1:
        raise Refused("This fake moves one item at a time.", param="items")
    item = next((each for each in items(subscription) if each["id"] == rows[0].needed("id")), None)
    if item is None:
        raise Refused("No such subscription item", status=404, code="resource_missing", param="items[0][id]")
    price = world.find("price", rows[0].text("price") or item["price"]["id"], "items[0][price]")
    quantity = rows[0].whole("quantity") or item["quantity"]
    check_lines([{"price": price, "quantity": quantity}])
    how = params.one_of("proration_behavior", ("create_prorations", "always_invoice", "none"), "create_prorations")
    _bill_move(call, subscription, item, (price, quantity), how)
    before = {"items": {"data": [{**each} for each in items(subscription)]}}
    item.update(
        price=price, quantity=quantity, plan={**item["plan"], "id": price["id"], "amount": price["unit_amount"]}
    )
    world.tell("customer.subscription.updated", subscription, before)


def _bill_move(call: Call, subscription: Json, item: Json, to: tuple[Json, int], how: str) -> None:
    price, quantity = to
    old, now = item["price"], call.world.clock.now()
    same = ("interval", "interval_count")
    if any(old["recurring"][name] != price["recurring"][name] for name in same):
        raise Refused("This fake moves to prices of the same interval only.", param="items[0][price]")
    if how == "none" or subscription["status"] == "trialing":
        return
    span, owner = (item["current_period_start"], item["current_period_end"]), (subscription, item["id"])
    lines = [
        invoices.part_line(old, item["quantity"], *span, now, owner, -1),
        invoices.part_line(price, quantity, *span, now, owner, 1),
    ]
    if how == "create_prorations":
        subscription["_pending"] += lines
        return
    if call.params.text("payment_behavior") == "error_if_incomplete":
        _try_out(call.world, subscription, sum(each["amount"] for each in lines))
    _pay(call.world, subscription, invoices.make(call.world, subscription, lines, "subscription_update"))


def _try_out(world: World, subscription: Json, amount: int) -> None:
    """Refuse the call where its bill can't be paid, before anything has changed."""
    if amount + world.find("customer", subscription["customer"])["balance"] <= 0:
        return
    method = method_of(world, subscription)
    if method is None:
        raise Refused("This customer has no attached payment source or default payment method.")
    if why := payments.would_fail(method):
        code, decline, message = why
        raise Refused(message, status=402, type="card_error", code=code, decline_code=decline)


def list_subscriptions(call: Call) -> Json:
    """GET /v1/subscriptions: without those that have ended, unless one asks for them."""
    customer, status = call.params.text("customer"), call.params.text("status")
    found = (each for each in call.world.all("subscription") if customer in (None, each["customer"]))
    if status is None:
        found = (each for each in found if each["status"] not in _ENDED)
    elif status != "all":
        found = (each for each in found if each["status"] == status)
    return page(call, found)


_CREATE: Final = (
    *("customer", "items", "metadata", "default_payment_method", "payment_behavior", "off_session"),
    *("trial_period_days", "trial_end"),
)
_UPDATE: Final = (
    *("items", "metadata", "default_payment_method", "payment_behavior", "cancel_at_period_end"),
    "proration_behavior",
)
ROUTES: Final = (
    Route("POST", "/v1/subscriptions", create, _CREATE),
    Route(
        "GET", "/v1/subscriptions", list_subscriptions,
        ("customer", "status", "limit", "starting_after", "ending_before", "created"),
    ),
    Route("GET", "/v1/subscriptions/{id}", lambda call: call.world.find("subscription", call.id)),
    Route("POST", "/v1/subscriptions/{id}", update, _UPDATE),
    Route("DELETE", "/v1/subscriptions/{id}", cancel),
)  # fmt: skip
