"""Payments: intents and the charges that they lead to, by what the card or the bank account does."""

from typing import Final

from . import customers
from .calls import Call, Route, listing, retrieving
from .cards import Bank, Card
from .catalogue import check_amount
from .params import Json, Refused
from .world import DAY, World

DEBIT_SECONDS: Final = 4 * DAY
"""So long a bank takes for a debit."""
OPEN: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
_AUTHENTICATION: Final = (
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)
_NOT_AUTHENTICATED: Final = (
    "payment_intent_authentication_failure",
    "",
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
)
Decline = tuple[str, str, str]


def make(world: World, amount: int, currency: str, **fields: object) -> Json:
    """A new intent."""
    check_amount(amount, currency)
    made = world.make(
        "payment_intent",
        "pi",
        amount=amount,
        amount_capturable=0,
        amount_details={"tip": {}},
        amount_received=0,
        application=None,
        application_fee_amount=None,
        automatic_payment_methods=None,
        canceled_at=None,
        cancellation_reason=None,
        capture_method="automatic_async",
        confirmation_method="automatic",
        currency=currency,
        last_payment_error=None,
        latest_charge=None,
        next_action=None,
        on_behalf_of=None,
        payment_method_options={},
        payment_method_types=["card"],
        processing=None,
        review=None,
        shipping=None,
        source=None,
        statement_descriptor=None,
        status="requires_payment_method",
        transfer_data=None,
        transfer_group=None,
        **{"customer": None, "description": None, "payment_method": None, "receipt_email": None, **fields},
    )
    made.setdefault("setup_future_usage", None)
    made["client_secret"] = f"{made['id']}_secret_{world.new_id('x')[2:]}"
    world.tell("payment_intent.created", made)
    return made


# One try


def attempt(world: World, intent: Json, method: Json, off_session: bool = False, confirmed: bool = False) -> bool:
    """Try to get the money; False where the payment is refused. Else it has come, is on its way, or the customer has
    to be asked first, as the intent's status says. `confirmed`: the customer has been."""
    intent.update(payment_method=method["id"], next_action=None, last_payment_error=None)
    by = method["_by"]
    if isinstance(by, Bank):
        return _debit(world, intent, method, by)
    if not confirmed and _asks(by, method, off_session):
        if off_session:
            return _fail(world, intent, method, _AUTHENTICATION, charged=False)
        _ask(world, intent)
        return True
    if by.decline:
        return _fail(world, intent, method, by.decline)
    method["_set_up"] = method["_set_up"] or (confirmed and intent["setup_future_usage"] == "off_session")
    succeed(world, intent, method)
    return True


def _asks(card: Card, method: Json, off_session: bool) -> bool:
    return card.asks == "always" or (card.asks == "unless_set_up" and not (off_session and method["_set_up"]))


def _ask(world: World, intent: Json) -> None:
    url = f"{world.base}/authenticate/{intent['id']}"
    back = intent.get("_return_url")
    intent["status"] = "requires_action"
    intent["next_action"] = {"type": "redirect_to_url", "redirect_to_url": {"return_url": back, "url": url}}
    world.tell("payment_intent.requires_action", intent)
    world.settled(intent)


def would_fail(method: Json) -> Decline | None:
    """Why a payment by it would be refused while the customer is away."""
    by = method["_by"]
    if isinstance(by, Bank):
        return None
    return _AUTHENTICATION if _asks(by, method, off_session=True) else by.decline


def _debit(world: World, intent: Json, method: Json, bank: Bank) -> bool:
    intent["status"], intent["payment_method_types"] = "processing", ["sepa_debit"]
    _keep(world, intent, method)
    world.tell("payment_intent.processing", intent)
    world.settled(intent)

    def end() -> None:
        if intent["status"] == "processing":
            settle(world, intent, not bank.fails)

    world.later(world.clock.now() + DEBIT_SECONDS, end)
    return True


def settle(world: World, intent: Json, well: bool) -> None:
    """The bank has decided on a debit."""
    method = world.find("payment_method", intent["payment_method"])
    if well:
        succeed(world, intent, method)
    else:
        _fail(world, intent, method, ("payment_intent_payment_attempt_failed", "", "The debit was returned."))


def authenticate(world: World, intent: Json, well: bool) -> bool:
    """The customer has answered the bank; False where no money comes."""
    if intent["status"] != "requires_action":
        raise Refused("This payment does not wait for its customer.")
    method = world.find("payment_method", intent["payment_method"])
    if not well:
        return _fail(world, intent, method, _NOT_AUTHENTICATED, charged=False)
    return attempt(world, intent, method, confirmed=True)


def _keep(world: World, intent: Json, method: Json) -> None:
    if intent["setup_future_usage"] and intent["customer"]:
        customers.attach(world, method, world.find("customer", intent["customer"]))


def succeed(world: World, intent: Json, method: Json) -> None:
    """The money has come."""
    _keep(world, intent, method)
    charge = _charge(world, intent, method)
    intent.update(
        status="succeeded", amount_received=intent["amount"], latest_charge=charge["id"], processing=None,
        next_action=None, last_payment_error=None,
    )  # fmt: skip
    world.move("paid", charge, charge["amount"])
    world.tell("charge.succeeded", charge)
    world.tell("payment_intent.succeeded", intent)
    world.settled(intent)


def _fail(world: World, intent: Json, method: Json, why: Decline, charged: bool = True) -> bool:
    code, decline, message = why
    charge = _charge(world, intent, method, why) if charged else None
    error = {
        "charge": charge and charge["id"],
        "code": code,
        "decline_code": decline or None,
        "doc_url": f"https://docs.stripe.com/error-codes/{code.replace('_', '-')}",
        "message": message,
        "payment_method": method,
        "type": "card_error",
    }
    intent.update(
        status="requires_payment_method", payment_method=None, next_action=None, last_payment_error=error,
        latest_charge=charge["id"] if charge else intent["latest_charge"],
    )  # fmt: skip
    if charge:
        world.tell("charge.failed", charge)
    world.tell("payment_intent.payment_failed", intent)
    world.settled(intent)
    return False


def refused(intent: Json) -> Refused:
    """The error of a payment that was refused just now."""
    told = {name: value for name, value in intent["last_payment_error"].items() if name not in ("message", "type")}
    error = intent["last_payment_error"]
    return Refused(error["message"], status=402, type=error["type"], payment_intent=intent, **told)


def _charge(world: World, intent: Json, method: Json, why: Decline | None = None) -> Json:
    kind, paid = method["type"], why is None
    address = method["billing_details"]
    return world.make(
        "charge",
        "ch",
        amount=intent["amount"],
        amount_captured=intent["amount"] if paid else 0,
        amount_refunded=0,
        application=None,
        balance_transaction=world.new_id("txn") if paid else None,
        billing_details=address,
        captured=paid,
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        disputed=False,
        failure_code=why[0] if why else None,
        failure_message=why[2] if why else None,
        fraud_details={},
        metadata=dict(intent["metadata"]),
        outcome={"type": "authorized" if paid else "issuer_declined", "network_status": "approved_by_network"},
        paid=paid,
        payment_intent=intent["id"],
        payment_method=method["id"],
        payment_method_details={"type": kind, kind: method[kind]},
        receipt_email=intent["receipt_email"],
        refunded=False,
        status="succeeded" if paid else "failed",
    )


# Calls


def create(call: Call) -> Json:
    """POST /v1/payment_intents"""
    params, world = call.params, call.world
    if customer := params.text("customer"):
        customers.living(world, customer)
    named = params.text("payment_method")
    method = _usable(world, customer, named) if named else None
    made = make(
        world,
        params.number("amount"),
        params.currency("currency"),
        customer=customer,
        description=params.text("description"),
        metadata=params.metadata(),
        receipt_email=params.text("receipt_email"),
        setup_future_usage=params.text("setup_future_usage"),
    )
    if method:
        made.update(payment_method=method["id"], status="requires_confirmation")
    return _confirm(call, made, made["payment_method"]) if params.flag("confirm") else made


def _usable(world: World, customer: str | None, id: str) -> Json:
    method = customers.resolve(world, id)
    if method["customer"] not in (None, customer):
        raise Refused(
            "The PaymentMethod you provided belongs to another Customer than this PaymentIntent, or to one while this "
            "names none.", param="payment_method",
        )  # fmt: skip
    return method


def confirm(call: Call) -> Json:
    """POST /v1/payment_intents/{id}/confirm"""
    found = call.world.find("payment_intent", call.id, "intent")
    if found["status"] not in OPEN:
        raise _unexpected(found, "confirm")
    return _confirm(call, found, call.params.text("payment_method") or found["payment_method"])


def _confirm(call: Call, intent: Json, id: str | None) -> Json:
    world, params = call.world, call.params
    if id is None:
        raise Refused("You cannot confirm this PaymentIntent because it's missing a payment method.")
    method = _usable(world, intent["customer"], id)
    intent["_return_url"] = params.text("return_url")
    well = attempt(world, intent, method, params.text("off_session") not in (None, "false"))
    if not well:
        raise refused(intent)
    if intent["status"] == "requires_action" and params.flag("error_on_requires_action"):
        _fail(world, intent, method, _AUTHENTICATION, charged=False)
        raise refused(intent)
    return intent


def _unexpected(intent: Json, verb: str) -> Refused:
    return Refused(
        f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}.",
        code="payment_intent_unexpected_state", payment_intent=intent,
    )  # fmt: skip


def cancel(call: Call) -> Json:
    """POST /v1/payment_intents/{id}/cancel"""
    found = call.world.find("payment_intent", call.id, "intent")
    if found["status"] not in OPEN:
        raise _unexpected(found, "cancel")
    withdraw(call.world, found, call.params.text("cancellation_reason"))
    return found


def withdraw(world: World, intent: Json, reason: str | None = None) -> None:
    """Nobody can pay it any more."""
    intent.update(status="canceled", canceled_at=world.clock.now(), cancellation_reason=reason, next_action=None)
    world.tell("payment_intent.canceled", intent)


def update(call: Call) -> Json:
    """POST /v1/payment_intents/{id}"""
    found = call.world.find("payment_intent", call.id, "intent")
    found["metadata"] = call.params.metadata(found["metadata"])
    if "description" in call.params:
        found["description"] = call.params.text("description")
    return found


_CREATE: Final = (
    *("amount", "currency", "customer", "description", "metadata", "receipt_email", "setup_future_usage"),
    *("payment_method", "confirm", "off_session", "return_url", "error_on_requires_action"),
)
_CONFIRM: Final = ("payment_method", "off_session", "return_url", "error_on_requires_action")
ROUTES: Final = (
    Route("POST", "/v1/payment_intents", create, _CREATE),
    listing("/v1/payment_intents", "payment_intent", "customer"),
    retrieving("/v1/payment_intents/{id}", "payment_intent"),
    Route("POST", "/v1/payment_intents/{id}", update, ("metadata", "description")),
    Route("POST", "/v1/payment_intents/{id}/confirm", confirm, _CONFIRM),
    Route("POST", "/v1/payment_intents/{id}/cancel", cancel, ("cancellation_reason",)),
    listing("/v1/charges", "charge", "customer", "payment_intent"),
    retrieving("/v1/charges/{id}", "charge"),
)
