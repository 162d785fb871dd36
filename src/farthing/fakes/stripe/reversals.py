"""Money that goes back: refunds, and disputes."""

from typing import Final

from .calls import Call, Route, listing, retrieving
from .cards import Card
from .params import Json, Refused
from .world import DAY, HOUR, World

REFUND_SECONDS: Final = 2 * HOUR
ANSWER_SECONDS: Final = 14 * DAY
_FINAL: Final = ("won", "lost", "warning_closed")
_REASONS: Final = ("duplicate", "fraudulent", "requested_by_customer")

# Refunds


def create_refund(call: Call) -> Json:
    """POST /v1/refunds"""
    world, params = call.world, call.params
    charge = _charge_of(call)
    left = charge["amount"] - charge["amount_refunded"]
    amount = left if params.whole("amount") is None else params.number("amount")
    reason = params.text("reason")
    if reason is not None and reason not in _REASONS:
        raise Refused(f"Invalid reason: must be one of {', '.join(_REASONS)}", param="reason")
    if charge["disputed"] and _open_dispute(world, charge):
        raise Refused(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    if left == 0:
        raise Refused(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if not 0 < amount <= left:
        message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left}), or below 1"
        raise Refused(message, param="amount", code="amount_too_large")
    return refund(world, charge, amount, reason, params.metadata())


def _charge_of(call: Call) -> Json:
    """The charge that is named, or that of the payment that is."""
    world, intent = call.world, call.params.text("payment_intent")
    if intent is None:
        charge = world.find("charge", call.params.needed("charge"), "charge")
    else:
        found = world.find("payment_intent", intent, "payment_intent")
        if found["status"] != "succeeded":
            raise Refused("This PaymentIntent does not have a successful charge to refund.", param="payment_intent")
        charge = world.find("charge", found["latest_charge"])
    if not charge["paid"]:
        raise Refused("A failed charge can't be refunded.", param="charge")
    return charge


def _open_dispute(world: World, charge: Json) -> bool:
    """Whether the money is with the bank already, or may go there."""
    of = (each for each in world.all("dispute") if each["charge"] == charge["id"])
    return any(each["status"] not in ("won", "warning_closed") for each in of)


def refund(world: World, charge: Json, amount: int, reason: str | None, metadata: Json) -> Json:
    """Send some back; some cards take time for it, with some it fails afterwards."""
    method = world.find("payment_method", charge["payment_method"])
    by = method["_by"]
    later = by.refund if isinstance(by, Card) else "succeeded"
    made = world.make(
        "refund", "re", amount=amount, balance_transaction=world.new_id("txn"), charge=charge["id"],
        currency=charge["currency"], destination_details={"type": method["type"]}, metadata=metadata,
        payment_intent=charge["payment_intent"], reason=reason, receipt_number=None, source_transfer_reversal=None,
        status="pending" if later == "later" else "succeeded", transfer_reversal=None,
    )  # fmt: skip
    del made["livemode"]
    _refunded(charge, amount)
    world.move("refunded", charge, amount)
    world.tell("refund.created", made)
    world.tell("charge.refunded", charge)
    if later != "succeeded":
        world.later(world.clock.now() + REFUND_SECONDS, lambda: end_refund(world, made, later != "failed"))
    return made


def _refunded(charge: Json, amount: int) -> None:
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]


def end_refund(world: World, made: Json, well: bool) -> None:
    """What has become of a refund: one that fails leaves the money where it was."""
    if made["status"] == "failed" or (well and made["status"] == "succeeded"):
        return
    before = {"status": made["status"]}
    made["status"] = "succeeded" if well else "failed"
    if not well:
        made["failure_reason"] = "lost_or_stolen_card"
        charge = world.find("charge", made["charge"])
        _refunded(charge, -made["amount"])
        world.move("refund_failed", charge, made["amount"])
        world.tell("refund.failed", made)
    world.tell("refund.updated", made, before)
    world.tell("charge.refund.updated", made, before)


# Disputes


def dispute(world: World, charge: Json, reason: str, amount: int | None = None, inquiry: bool = False) -> Json:
    """The payer wants his money back from his bank, or his bank asks what it was for."""
    if not charge["paid"]:
        raise Refused("A failed charge can't be disputed.")
    left = charge["amount"] - charge["amount_refunded"]
    made = world.make(
        "dispute", "du", amount=left if amount is None else amount, balance_transactions=[],
        charge=charge["id"], currency=charge["currency"], enhanced_eligibility_types=[],
        evidence={"enhanced_evidence": {}},
        evidence_details={
            "due_by": world.clock.now() + ANSWER_SECONDS, "enhanced_eligibility": {}, "has_evidence": False,
            "past_due": False, "submission_count": 0, "submission_method": None,
        },
        is_charge_refundable=inquiry, payment_intent=charge["payment_intent"], reason=reason,
        status="warning_needs_response" if inquiry else "needs_response",
    )  # fmt: skip
    charge["disputed"] = True
    world.tell("charge.dispute.created", made)
    if not inquiry:
        _withdraw(world, made, charge)
    return made


def _withdraw(world: World, made: Json, charge: Json) -> None:
    made["balance_transactions"] = [{"id": world.new_id("txn"), "amount": -made["amount"], "type": "adjustment"}]
    world.move("disputed", charge, made["amount"])
    world.tell("charge.dispute.funds_withdrawn", made)


def escalate(world: World, made: Json) -> None:
    """An inquiry becomes a dispute."""
    if made["status"] not in ("warning_needs_response", "warning_under_review"):
        raise Refused("only an inquiry becomes a dispute")
    before = {"status": made["status"]}
    made.update(status="needs_response", is_charge_refundable=False)
    world.tell("charge.dispute.updated", made, before)
    _withdraw(world, made, world.find("charge", made["charge"]))


def close(world: World, made: Json, status: str) -> None:
    """The bank has decided: `won`, `lost`, or of an inquiry `warning_closed`."""
    if made["status"] in _FINAL:
        raise Refused("the dispute is closed already")
    if (status == "warning_closed") != made["status"].startswith("warning"):
        raise Refused("an inquiry ends as warning_closed, a dispute as won or lost")
    charge = world.find("charge", made["charge"])
    made["status"] = status
    if status != "warning_closed":
        world.move(f"dispute_{status}", charge, made["amount"])
    if status == "won":
        made["balance_transactions"].append({"id": world.new_id("txn"), "amount": made["amount"], "type": "adjustment"})
        world.tell("charge.dispute.funds_reinstated", made)
    world.tell("charge.dispute.closed", made)


def answer_dispute(call: Call) -> Json:
    """POST /v1/disputes/{id}: in test mode these two pieces of evidence decide it."""
    found = call.world.find("dispute", call.id, "dispute")
    text = call.params.inner("evidence").text("uncategorized_text")
    found["evidence"] = {"enhanced_evidence": {}, "uncategorized_text": text}
    if call.params.flag("submit"):
        before = {"status": found["status"]}
        found["status"] = "under_review"
        call.world.tell("charge.dispute.updated", found, before)
        if text in ("winning_evidence", "losing_evidence"):
            close(call.world, found, "won" if text == "winning_evidence" else "lost")
    return found


def give_up_dispute(call: Call) -> Json:
    """POST /v1/disputes/{id}/close"""
    found = call.world.find("dispute", call.id, "dispute")
    close(call.world, found, "lost")
    return found


def dispute_at_once(world: World, intent: Json) -> None:
    """What the cards do that are made for it."""
    if intent["status"] == "succeeded":
        by = world.find("payment_method", intent["payment_method"])["_by"]
        if isinstance(by, Card) and by.disputed:
            dispute(world, world.find("charge", intent["latest_charge"]), by.disputed, inquiry=by.inquiry)


ROUTES: Final = (
    Route("POST", "/v1/refunds", create_refund, ("payment_intent", "charge", "amount", "reason", "metadata")),
    listing("/v1/refunds", "refund", "payment_intent", "charge"),
    retrieving("/v1/refunds/{id}", "refund"),
    listing("/v1/disputes", "dispute", "payment_intent", "charge"),
    retrieving("/v1/disputes/{id}", "dispute"),
    Route("POST", "/v1/disputes/{id}", answer_dispute, ("evidence", "submit")),
    Route("POST", "/v1/disputes/{id}/close", give_up_dispute),
)
