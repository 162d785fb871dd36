"""Checkout: sessions, from the page that is asked for to the money, which may come days later."""

from typing import Final

from . import customers, invoices, payments, subscriptions
from .calls import Call, Route, listed, listing, retrieving
from .catalogue import check_amount, line_of, total_of
from .params import Json, Params, Refused
from .world import DAY, World

LEAST_SECONDS: Final = 1_800
_MODES: Final = ("payment", "subscription")

# Making one


def create(call: Call) -> Json:
    """POST /v1/checkout/sessions"""
    world, params = call.world, call.params
    mode = params.one_of("mode", _MODES, "payment")
    lines = [line_of(world, each) for each in params.rows("line_items")]
    total = _check(params, mode, lines)
    customer = params.text("customer")
    email = params.text("customer_email")
    if customer and email:
        raise Refused("You may only specify one of these parameters: customer, customer_email.")
    if customer:
        email = customers.living(world, customer)["email"]
    made = world.make(
        "checkout.session",
        "cs_live_a1" if world.livemode else "cs_test_a1",
        **_plain(),
        amount_subtotal=total,
        amount_total=total,
        cancel_url=params.text("cancel_url"),
        client_reference_id=params.text("client_reference_id"),
        currency=lines[0]["price"]["currency"],
        customer=customer,
        customer_creation=None if mode == "subscription" else params.text("customer_creation") or "if_required",
        customer_details={"address": None, "email": email, "name": None, "phone": None, "tax_exempt": "none"},
        customer_email=params.text("customer_email"),
        expires_at=_expires_at(world, params),
        metadata=params.metadata(),
        mode=mode,
        success_url=params.needed("success_url"),
        _lines=lines,
        _data=_data_of(params, mode),
        _intent=None,
    )
    made["url"] = f"{world.base}/checkout/{made['id']}"
    world.later(made["expires_at"], lambda: _run_out(world, made))
    return made


def _plain() -> Json:
    """What is the same at all that this stand-in knows."""
    nothing = (
        *("adaptive_pricing", "after_expiration", "allow_promotion_codes", "billing_address_collection", "consent"),
        *("currency_conversion", "invoice", "locale", "payment_intent", "payment_link", "recovered_from"),
        *("setup_intent", "shipping_cost", "submit_type", "subscription"),
    )
    text = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
    return {
        **dict.fromkeys(nothing),
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "custom_fields": [],
        "custom_text": dict.fromkeys(text),
        "payment_method_collection": "always",
        "payment_method_options": {},
        "payment_method_types": ["card", "sepa_debit"],
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "shipping_options": [],
        "status": "open",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
    }


def _check(params: Params, mode: str, lines: list[Json]) -> int:
    """The sum of the lines, if they can be paid in this mode."""
    if not lines:
        raise Refused("Missing required param: line_items.", param="line_items", code="parameter_missing")
    if mode == "subscription":
        subscriptions.check_lines(lines)
    elif any(each["price"]["recurring"] for each in lines):
        raise Refused("You specified `payment` mode but passed a recurring price.", param="line_items")
    if len({each["price"]["currency"] for each in lines}) > 1:
        raise Refused("All prices on a Checkout Session must have the same currency.", param="line_items")
    if mode == "subscription" and params.inner("subscription_data").whole("trial_period_days"):
        return 0
    total = total_of(lines)
    if total:
        check_amount(total, lines[0]["price"]["currency"], "line_items")
    return total


def _data_of(params: Params, mode: str) -> Json:
    """What the payment, or the subscription, that it leads to is to have."""
    inner = params.inner(f"{mode if mode == 'subscription' else 'payment_intent'}_data")
    inner.only(("metadata", "description", "setup_future_usage", "receipt_email", "trial_period_days"))
    return {
        "metadata": inner.metadata(),
        "description": inner.text("description"),
        "setup_future_usage": "off_session" if mode == "subscription" else inner.text("setup_future_usage"),
        "trial_days": inner.whole("trial_period_days"),
    }


def _expires_at(world: World, params: Params) -> int:
    now = world.clock.now()
    at = params.whole("expires_at")
    if at is None:
        return now + DAY
    if not now + LEAST_SECONDS - 5 <= at <= now + DAY + 5:
        message = "The `expires_at` timestamp must be from 30 minutes to 24 hours from Checkout Session creation."
        raise Refused(message, param="expires_at")
    return at


# Its end without money


def _run_out(world: World, session: Json) -> None:
    if session["status"] == "open":
        expire(world, session)


def expire(world: World, session: Json) -> None:
    """Nobody can pay on it any more."""
    intent = _intent_of(world, session)
    if intent is not None and intent["status"] in payments.OPEN:
        payments.withdraw(world, intent, "abandoned")
    session.update(status="expired", url=None)
    world.tell("checkout.session.expired", session)


def expire_call(call: Call) -> Json:
    """POST /v1/checkout/sessions/{id}/expire"""
    found = call.world.find("checkout.session", call.id, "session")
    if found["status"] != "open":
        raise Refused(f"Only Checkout Sessions with a status in ['open'] can be expired; this is {found['status']}.")
    expire(call.world, found)
    return found


def _intent_of(world: World, session: Json) -> Json | None:
    return world.find("payment_intent", session["_intent"]) if session["_intent"] else None


# Paying


def pay(world: World, session: Json, method: Json, email: str | None = None) -> Json:
    """Somebody pays on the page: the payment, whose status says what came of it; the session, if it costs nothing."""
    if session["status"] != "open":
        raise Refused(f"This checkout is {session['status']}.", status=409)
    _customer(world, session, email)
    if session["amount_total"] == 0:
        _complete(world, session, method, "no_payment_required")
        return session
    intent = _intent_of(world, session) or _begin(world, session)
    if intent["status"] in payments.OPEN:
        payments.attempt(world, intent, method)
    return intent


def _customer(world: World, session: Json, email: str | None) -> None:
    """Who pays becomes a customer where that is needed, or asked for."""
    details = session["customer_details"]
    details["email"] = details["email"] or email or "buyer@example.com"
    wanted = session["customer_creation"] == "always" or session["_data"]["setup_future_usage"]
    if session["customer"] is None and wanted:
        session["customer"] = customers.make(world, Params({"email": details["email"]}))["id"]


def _begin(world: World, session: Json) -> Json:
    data = session["_data"]
    once = session["mode"] == "payment"
    made = payments.make(
        world, session["amount_total"], session["currency"], customer=session["customer"],
        description=data["description"] if once else "Subscription creation",
        metadata=dict(data["metadata"]) if once else {}, setup_future_usage=data["setup_future_usage"],
    )  # fmt: skip
    made["_session"] = session["id"]
    session["_intent"] = made["id"]
    if once:
        session["payment_intent"] = made["id"]
    return made


def on_settled(world: World, intent: Json) -> None:
    """A payment that was begun on a page has come to something."""
    if (id := intent.get("_session")) is None:
        return
    session = world.find("checkout.session", id)
    status = intent["status"]
    if session["status"] == "open" and status in ("succeeded", "processing"):
        method = world.find("payment_method", intent["payment_method"])
        _complete(world, session, method, "paid" if status == "succeeded" else "unpaid")
    elif session["status"] == "complete" and session["payment_status"] == "unpaid":
        if status == "succeeded":
            session["payment_status"] = "paid"
            world.tell("checkout.session.async_payment_succeeded", session)
        elif status == "requires_payment_method":
            world.tell("checkout.session.async_payment_failed", session)


def _complete(world: World, session: Json, method: Json, payment_status: str) -> None:
    session.update(status="complete", payment_status=payment_status, url=None)
    if session["mode"] == "subscription":
        _subscribe(world, session, method)
    world.tell("checkout.session.completed", session)


def _subscribe(world: World, session: Json, method: Json) -> None:
    data = session["_data"]
    customers.attach(world, method, world.find("customer", session["customer"]))
    trial = world.clock.now() + data["trial_days"] * DAY if data["trial_days"] else None
    status = "trialing" if trial else "active"
    made = subscriptions.make(world, session["customer"], session["_lines"], dict(data["metadata"]), trial, status)
    made["default_payment_method"] = method["id"]
    world.tell("customer.subscription.created", made)
    invoice = subscriptions.first_invoice(world, made)
    session.update(subscription=made["id"], invoice=invoice["id"])
    intent = _intent_of(world, session)
    if intent is not None:
        invoices.join(world, invoice, intent)
    if session["payment_status"] != "unpaid":
        invoices.paid(world, invoice)


def lines_of(session: Json) -> Json:
    """What is told of its lines where one asks for them."""
    rows = [
        {
            "id": f"li_{place}",
            "object": "item",
            "amount_discount": 0,
            "amount_subtotal": each["price"]["unit_amount"] * each["quantity"],
            "amount_tax": 0,
            "amount_total": each["price"]["unit_amount"] * each["quantity"],
            "currency": each["price"]["currency"],
            "description": each["price"]["product"],
            "price": each["price"],
            "quantity": each["quantity"],
        }
        for place, each in enumerate(session["_lines"])
    ]
    return listed(rows, f"/v1/checkout/sessions/{session['id']}/line_items")


def list_lines(call: Call) -> Json:
    """GET /v1/checkout/sessions/{id}/line_items"""
    return lines_of(call.world.find("checkout.session", call.id, "session"))


_CREATE: Final = (
    *("mode", "line_items", "success_url", "cancel_url", "client_reference_id", "customer", "customer_email"),
    *("customer_creation", "metadata", "payment_intent_data", "subscription_data", "expires_at"),
)
ROUTES: Final = (
    Route("POST", "/v1/checkout/sessions", create, _CREATE),
    listing("/v1/checkout/sessions", "checkout.session", "customer", "payment_intent", "subscription", "status"),
    retrieving("/v1/checkout/sessions/{id}", "checkout.session"),
    Route("GET", "/v1/checkout/sessions/{id}/line_items", list_lines, ("limit",)),
    Route("POST", "/v1/checkout/sessions/{id}/expire", expire_call),
)
