"""Invoices: what a subscription bills, and how it comes to be paid."""

from typing import Final

from . import payments
from .calls import Call, Route, listed, page
from .params import Json, Refused
from .world import World

# Lines


def line(price: Json, quantity: int, start: int, end: int, subscription: Json, item: str) -> Json:
    """What a period costs."""
    name = f"{quantity} x {price['product']}"
    return _line(price, price["unit_amount"] * quantity, quantity, (start, end), (subscription, item), name, False)


def part_line(price: Json, quantity: int, start: int, end: int, now: int, owner: tuple[Json, str], sign: int) -> Json:
    """What the rest of a period costs, or, with the sign -1, is given back of it."""
    whole, rest, period = price["unit_amount"] * quantity, end - now, end - start
    # Rounded half up, as cents are; integers only.
    amount = sign * ((2 * whole * rest + period) // (2 * period))
    name = f"{'Remaining' if sign > 0 else 'Unused'} time on {price['product']}"
    return _line(price, amount, quantity, (now, end), owner, name, True)


def _line(
    price: Json, amount: int, quantity: int, span: tuple[int, int], owner: tuple[Json, str], name: str, part: bool
) -> Json:
    subscription, item = owner
    details = {
        "invoice_item": None,
        "proration": part,
        "proration_details": {"credited_items": None},
        "subscription": subscription["id"],
        "subscription_item": item,
    }
    priced = {"price": price["id"], "product": price["product"]}
    return {
        "object": "line_item",
        "amount": amount,
        "currency": price["currency"],
        "description": name,
        "discount_amounts": [],
        "discountable": not part,
        "discounts": [],
        "livemode": price["livemode"],
        "metadata": dict(subscription["metadata"]),
        "parent": {"type": "subscription_item_details", "subscription_item_details": details},
        "period": {"start": span[0], "end": span[1]},
        "pretax_credit_amounts": [],
        "pricing": {
            "type": "price_details",
            "price_details": priced,
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": quantity,
        "subtotal": amount,
        "taxes": [],
    }


# Invoices


def make(world: World, subscription: Json, lines: list[Json], reason: str) -> Json:
    """A bill that can be paid; what the customer has in credit is taken off, and a negative one adds to it."""
    customer = world.find("customer", subscription["customer"])
    total = sum(each["amount"] for each in lines)
    before = customer["balance"]
    due = max(0, total + before)
    after = total + before - due
    made = world.make(
        "invoice",
        "in",
        account_country="US",
        account_name="Fake",
        amount_due=due,
        amount_overpaid=0,
        amount_paid=0,
        amount_remaining=due,
        amount_shipping=0,
        attempt_count=0,
        attempted=False,
        auto_advance=True,
        automatic_tax={"enabled": False, "liability": None, "status": None, "provider": None, "disabled_reason": None},
        billing_reason=reason,
        collection_method="charge_automatically",
        currency=subscription["currency"],
        customer=customer["id"],
        customer_email=customer["email"],
        customer_name=customer["name"],
        default_payment_method=None,
        default_tax_rates=[],
        description=None,
        discounts=[],
        due_date=None,
        ending_balance=after,
        issuer={"type": "self"},
        next_payment_attempt=None,
        number=None,
        parent=_parent(subscription),
        payment_settings={"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        period_end=world.clock.now(),
        period_start=world.clock.now(),
        post_payment_credit_notes_amount=0,
        pre_payment_credit_notes_amount=0,
        starting_balance=before,
        status="open",
        status_transitions={"finalized_at": world.clock.now(), "paid_at": None},
        subtotal=total,
        total=total,
        _intent=None,
    )
    customer["balance"] = after
    for each in lines:
        each.update(id=world.new_id("il"), invoice=made["id"])
    made["lines"] = listed(lines, f"/v1/invoices/{made['id']}/lines")
    made["number"] = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    made["hosted_invoice_url"] = f"{world.base}/invoice/{made['id']}"
    customer["next_invoice_sequence"] += 1
    subscription["latest_invoice"] = made["id"]
    world.tell("invoice.created", made)
    world.tell("invoice.finalized", made)
    return made


def _parent(subscription: Json) -> Json:
    details = {"subscription": subscription["id"], "metadata": dict(subscription["metadata"])}
    return {"type": "subscription_details", "quote_details": None, "subscription_details": details}


def owner(invoice: Json) -> str:
    """The subscription of an invoice."""
    return str(invoice["parent"]["subscription_details"]["subscription"])


def pay(world: World, invoice: Json, method: Json | None, off_session: bool = True) -> None:
    """Try to get the money for it; what comes of it is heard when the payment has settled."""
    invoice.update(attempted=True, attempt_count=invoice["attempt_count"] + 1)
    if invoice["amount_due"] == 0:
        paid(world, invoice)
    elif method is None:
        not_paid(world, invoice)
    else:
        intent = intent_of(world, invoice) or _new_intent(world, invoice)
        payments.attempt(world, intent, method, off_session)


def _new_intent(world: World, invoice: Json) -> Json:
    first = invoice["billing_reason"] == "subscription_create"
    made = payments.make(
        world, invoice["amount_due"], invoice["currency"], customer=invoice["customer"],
        description="Subscription creation" if first else "Subscription update", setup_future_usage="off_session",
    )  # fmt: skip
    join(world, invoice, made)
    return made


def join(world: World, invoice: Json, intent: Json) -> None:
    """From now on this payment is for this invoice."""
    invoice["_intent"] = intent["id"]
    intent["_invoice"] = invoice["id"]
    made = world.make(
        "invoice_payment", "inpay", amount_paid=None, amount_requested=invoice["amount_due"],
        currency=invoice["currency"], invoice=invoice["id"], is_default=True, status="open",
        payment={"type": "payment_intent", "payment_intent": intent["id"]},
        status_transitions={"canceled_at": None, "paid_at": None},
    )  # fmt: skip
    del made["metadata"]


def intent_of(world: World, invoice: Json) -> Json | None:
    """The payment of an invoice."""
    return world.find("payment_intent", invoice["_intent"]) if invoice["_intent"] else None


def payments_of(world: World, invoice: Json) -> Json:
    """What is told of its payments where one asks for it."""
    found = [each for each in world.all("invoice_payment") if each["invoice"] == invoice["id"]]
    return listed(found[::-1], f"/v1/invoice_payments?invoice={invoice['id']}")


def paid(world: World, invoice: Json) -> None:
    """It is paid."""
    now = world.clock.now()
    invoice.update(
        status="paid", amount_paid=invoice["amount_due"], amount_remaining=0, next_payment_attempt=None, attempted=True
    )
    invoice["status_transitions"]["paid_at"] = now
    for each in payments_of(world, invoice)["data"]:
        each.update(status="paid", amount_paid=invoice["amount_due"])
        each["status_transitions"]["paid_at"] = now
        world.tell("invoice_payment.paid", each)
    world.tell("invoice.paid", invoice)
    world.tell("invoice.payment_succeeded", invoice)


def not_paid(world: World, invoice: Json) -> None:
    """Nobody has paid it yet."""
    intent = intent_of(world, invoice)
    if intent is not None and intent["status"] == "requires_action":
        world.tell("invoice.payment_action_required", invoice)
    else:
        world.tell("invoice.payment_failed", invoice)


def withdraw(world: World, invoice: Json, status: str) -> None:
    """Nobody will: it is `void`, or `uncollectible`."""
    intent = intent_of(world, invoice)
    if intent is not None and intent["status"] in payments.OPEN:
        payments.withdraw(world, intent, "void_invoice")
    invoice.update(status=status, next_payment_attempt=None, auto_advance=False)
    world.tell({"void": "invoice.voided"}.get(status, "invoice.marked_uncollectible"), invoice)


# Calls


def pay_call(call: Call) -> Json:
    """POST /v1/invoices/{id}/pay"""
    world, found = call.world, call.world.find("invoice", call.id, "invoice")
    if found["status"] != "open":
        raise Refused(f"Invoice is {found['status']}; only an open one can be paid.", code="invoice_not_editable")
    customer = world.find("customer", found["customer"])
    subscription = world.find("subscription", owner(found))
    named = call.params.text("payment_method") or subscription["default_payment_method"]
    id = named or customer["invoice_settings"]["default_payment_method"]
    if id is None:
        raise Refused("There is no default payment method set on this Customer.", code="missing")
    pay(world, found, world.find("payment_method", id), call.params.flag("off_session"))
    intent = intent_of(world, found)
    if intent is not None and intent["last_payment_error"]:
        raise payments.refused(intent)
    return found


def list_payments(call: Call) -> Json:
    """GET /v1/invoice_payments"""
    invoice, payment = call.params.text("invoice"), call.params.inner("payment").text("payment_intent")
    found = (each for each in call.world.all("invoice_payment") if invoice in (None, each["invoice"]))
    return page(call, (each for each in found if payment in (None, each["payment"]["payment_intent"])))


def list_invoices(call: Call) -> Json:
    """GET /v1/invoices"""
    customer, subscription = call.params.text("customer"), call.params.text("subscription")
    status = call.params.text("status")
    found = (each for each in call.world.all("invoice") if customer in (None, each["customer"]))
    found = (each for each in found if subscription in (None, owner(each)) and status in (None, each["status"]))
    return page(call, found)


_PAGES: Final = ("limit", "starting_after", "ending_before", "created")
ROUTES: Final = (
    Route("GET", "/v1/invoices", list_invoices, ("customer", "subscription", "status", *_PAGES)),
    Route("GET", "/v1/invoices/{id}", lambda call: call.world.find("invoice", call.id, "invoice")),
    Route("POST", "/v1/invoices/{id}/pay", pay_call, ("payment_method", "off_session")),
    Route("GET", "/v1/invoice_payments", list_payments, ("invoice", "payment", *_PAGES)),
)
