"""How the CountWerk dialect says no: its codes, and total tables from refusals, broken machines and troubles to them.

Where two codes fit, the more specific one is sent. A status of 5xx other than 500 is sent only when nothing was done;
429 makes a client wait and try again, 4xx makes it stop.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from farthing.core.amounts import write_amount, write_number
from farthing.core.outcomes import Refusal, Refused
from farthing.stores.contract import StoreError

from ..endpoint import Trouble
from ..openapi import Code

CODES: Final = {
    code.code: code
    for code in (
        Code(400, "INVALID_INPUT", "description must have at most 1,000 characters."),
        Code(400, "MISSING_REQUIRED_FIELDS", "The body is empty; it needs account_id."),
        Code(400, "MISSING_ACCOUNT_ID", "account_id is missing."),
        Code(400, "MISSING_OPERATION", "operation is missing."),
        Code(400, "INVALID_OPERATION", "operation must have 3 to 64 characters of a-z, 0-9, '.', '_' and '-'."),
        Code(400, "INVALID_AMOUNT", "amount must be above zero."),
        Code(400, "MISSING_USAGE_EVENT_ID", "usage_event_id is missing."),
        Code(400, "INVALID_USAGE_EVENT_ID", "usage_event_id must have at most 200 bytes."),
        Code(400, "MISSING_RESERVATION_ID", "reservationId is missing."),
        Code(400, "MISSING_SOURCE", "source is missing."),
        Code(400, "INVALID_SOURCE", "source must be an object with productId, orderId and transactionId."),
        Code(400, "MISSING_PRODUCT_ID", "source.productId is missing."),
        Code(400, "DS24_BAD_REQUEST", "Digistore24, createBuyUrl: There is no product 500011."),
        Code(400, "MISSING_ORDER_ID", "source.orderId is missing."),
        Code(400, "MISSING_TRANSACTION_ID", "source.transactionId is missing."),
        Code(401, "API_KEY_MISSING", "Send your API key in the header X-API-Key."),
        Code(401, "INVALID_API_KEY", "There is no such API key; it may have been deleted."),
        Code(402, "INSUFFICIENT_CREDITS", "This takes 5 credits; 3 are available."),
        Code(403, "FORBIDDEN", "This API key lacks the scope 'charge'."),
        Code(403, "DS24_KEY_FORBIDDEN", "Digistore24, createBuyUrl: The API key is read-only."),
        Code(404, "ORDER_NOT_FOUND", "There is no such order."),
        Code(404, "RESERVATION_NOT_FOUND", "There is no such reservation."),
        Code(409, "ORDER_NOT_MAPPED_YET", "Nobody knows yet whose this order is."),
        Code(409, "DS24_KEY_REQUIRED", "The workspace has no API key of digistore24."),
        Code(409, "DS24_KEY_INVALID", "Digistore24, createBuyUrl: The API key is invalid."),
        Code(409, "IDEMPOTENCY_CONFLICT", "This key was used before for something else; it differs in amount."),
        Code(429, "RATE_LIMIT_EXCEEDED", "Too many requests with this key; try again in 1 s."),
        Code(429, "DS24_RATE_LIMITED", "Digistore24, createBuyUrl: Too many calls."),
        Code(500, "BALANCE_ERROR", "The ledger did not answer; try again."),
        Code(500, "DEDUCTION_ERROR", "It is not known whether this was done; the same usage_event_id finds out."),
        Code(500, "RESERVATION_ERROR", "It is not known whether this was done; the same key finds out."),
        Code(500, "CONFIRMATION_ERROR", "It is not known whether this was done; trying again finds out."),
        Code(500, "CANCELLATION_ERROR", "It is not known whether this was done; trying again finds out."),
        Code(500, "ADD_CREDITS_ERROR", "It is not known whether this was done; the same transactionId finds out."),
        Code(500, "TRANSACTIONS_ERROR", "The ledger did not answer; try again."),
        Code(500, "INTERNAL_ERROR", "Something went wrong here; it has been logged."),
        Code(503, "DS24_TEMPORARY_ERROR", "Digistore24, createBuyUrl: no answer in time."),
    )
}
"""Every code that this face can send; the sentence is an example of its message."""

EVERYWHERE: Final = frozenset(
    ("INVALID_INPUT", "API_KEY_MISSING", "INVALID_API_KEY", "FORBIDDEN", "RATE_LIMIT_EXCEEDED", "INTERNAL_ERROR",
     "MISSING_REQUIRED_FIELDS")
)  # fmt: skip
"""Codes that every endpoint can send."""


class Fault(Exception):
    """What is wrong with a request's content, or with what it leads to; carries the code and a sentence that helps."""

    def __init__(
        self, code: str, message: str, data: dict[str, Any] | None = None, retry_after: float | None = None,
        status: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.retry_after = retry_after
        self.status = status or CODES[code].status


class No(Struct, frozen=True):
    """How a refusal is told; facts can be named in the sentence."""

    status: int
    code: str
    sentence: str
    amounts: tuple[str, ...] = ()
    """Facts that are amounts."""
    data: tuple[str, ...] = ()
    """Facts that also go along as `data`."""


_SHORT: Final = ("available", "required", "deficit")

ERRORS: Final[Mapping[Refusal, No]] = {
    Refusal.INVALID: No(400, "INVALID_INPUT", "{field} {message}."),
    # An account that was never seen has a balance of 0.
    Refusal.ACCOUNT_NOT_FOUND: No(
        402, "INSUFFICIENT_CREDITS", "This takes {required} credits; {available} are available.", _SHORT, _SHORT
    ),
    Refusal.ACCOUNT_EXISTS: No(409, "INVALID_INPUT", "There is such an account already."),
    Refusal.PRECONDITION_FAILED: No(409, "INVALID_INPUT", "The settings are not what they were when they were read."),
    Refusal.KEY_CONFLICT: No(
        409,
        "IDEMPOTENCY_CONFLICT",
        "This key was used before for something else; it differs in {differs}. New work takes a new key.",
        data=("differs",),
    ),
    Refusal.PAYMENT_CLAIMED: No(
        409, "IDEMPOTENCY_CONFLICT", "The payment {payment} was credited to another account.", data=("payment",)
    ),
    Refusal.FROZEN: No(403, "FORBIDDEN", "This account is frozen: nothing can be taken until that ends."),
    Refusal.SPEND_LIMIT: No(
        403,
        "FORBIDDEN",
        "This would go over the account's limit of {limit} credits a {period}; {left} are left.",
        ("limit", "left"),
        ("period", "limit", "left"),
    ),
    Refusal.INSUFFICIENT_CREDITS: No(
        402, "INSUFFICIENT_CREDITS", "This takes {required} credits; {available} are available.", _SHORT, _SHORT
    ),
    Refusal.HOLD_NOT_FOUND: No(404, "RESERVATION_NOT_FOUND", "There is no such reservation."),
    Refusal.HOLD_ENDED: No(404, "RESERVATION_NOT_FOUND", "This reservation has ended: it was {state}."),
    Refusal.HOLD_TOO_LONG: No(
        400, "INVALID_INPUT", "validityMinutes must be at most {max_minutes} in this workspace.", data=("max_minutes",)
    ),
    Refusal.METERED_INVALID: No(400, "INVALID_AMOUNT", "What was metered can't fall, nor be above what is held."),
    Refusal.GRANT_NOT_FOUND: No(404, "INVALID_INPUT", "There is no such grant."),
    Refusal.GRANT_ENDED: No(409, "INVALID_INPUT", "This grant has ended."),
    Refusal.GRANT_ARCHIVED: No(409, "INVALID_INPUT", "This grant was used up in a time whose entries are archived."),
    Refusal.CHARGE_ARCHIVED: No(
        409, "INVALID_INPUT", "This charge is of a time whose entries are archived: it can't be given back."
    ),
    Refusal.CHARGE_NOT_FOUND: No(404, "INVALID_INPUT", "There is no such charge."),
    Refusal.REFUND_TOO_LARGE: No(
        400, "INVALID_AMOUNT", "At most {refundable} credits can be given back.", ("refundable",), ("refundable",)
    ),
    Refusal.TOO_MANY_GRANTS: No(403, "FORBIDDEN", "This account has {limit} live grants, as many as it may have."),
    Refusal.TOO_MANY_HOLDS: No(403, "FORBIDDEN", "This account has {limit} live reservations, as many as it may have."),
    Refusal.PLAN_NOT_FOUND: No(404, "INVALID_INPUT", "There is no such plan."),
    Refusal.PLAN_ARCHIVED: No(409, "INVALID_INPUT", "Nobody can subscribe to this plan any more."),
    Refusal.SUBSCRIPTION_NOT_FOUND: No(404, "INVALID_INPUT", "There is no subscription."),
    Refusal.SUBSCRIPTION_ENDED: No(409, "INVALID_INPUT", "The subscription has ended."),
    Refusal.SUBSCRIPTION_EXPIRED: No(409, "INVALID_INPUT", "The time that was paid is over."),
    Refusal.SUBSCRIPTION_CHANGED: No(409, "INVALID_INPUT", "The subscription was changed meanwhile."),
    Refusal.NOT_DUE: No(409, "INVALID_INPUT", "The next renewal is in {days} days.", data=("days",)),
    Refusal.RENEWED_BY_PAYMENT: No(
        409, "INVALID_INPUT", "The subscription is billed by {billed_by}, whose payment renews it."
    ),
    Refusal.BALANCE_LIMIT: No(400, "INVALID_AMOUNT", "This would make the balance larger than the ledger can count."),
}

INVALID_FIELDS: Final = {
    "amount": "INVALID_AMOUNT",
    "operation": "INVALID_OPERATION",
    "key": "INVALID_USAGE_EVENT_ID",
}
"""The more specific code, where the core itself finds a field wrong."""

_STATES: Final = {"settled": "confirmed", "released": "cancelled", "expired": "not confirmed in time"}

FAILURES: Final[Mapping[str, tuple[int, str]]] = {
    # Nothing was done, and it is only a matter of time.
    "queue_full": (429, "RATE_LIMIT_EXCEEDED"),
    "busy": (429, "RATE_LIMIT_EXCEEDED"),
    "raced": (429, "RATE_LIMIT_EXCEEDED"),
    # Nothing was done, and somebody has to look after it; '' stands for the operation's own code.
    "unavailable": (503, ""),
    "storage_full": (503, ""),
    "read_only": (503, ""),
    "not_a_database": (503, ""),
    "store_error": (503, ""),
    "shutting_down": (503, ""),
    "clock_jumped": (503, ""),
    "forked": (503, ""),
    "internal_error": (500, ""),
    "unknown_outcome": (500, ""),
}
"""What a broken machine is called, by the code of its exception."""

TROUBLES: Final[Mapping[Trouble, tuple[int, str]]] = {
    Trouble.CREDENTIAL_MISSING: (401, "API_KEY_MISSING"),
    Trouble.CREDENTIAL_INVALID: (401, "INVALID_API_KEY"),
    Trouble.UNAVAILABLE: (429, "RATE_LIMIT_EXCEEDED"),
    Trouble.SCOPE_MISSING: (403, "FORBIDDEN"),
    Trouble.RATE_LIMIT: (429, "RATE_LIMIT_EXCEEDED"),
    Trouble.NOT_FOUND: (404, "INVALID_INPUT"),
    Trouble.METHOD: (405, "INVALID_INPUT"),
    Trouble.MEDIA_TYPE: (415, "INVALID_INPUT"),
    Trouble.TOO_LARGE: (413, "INVALID_INPUT"),
    Trouble.TOO_SLOW: (408, "INVALID_INPUT"),
    Trouble.MALFORMED: (400, "INVALID_INPUT"),
    Trouble.UNKNOWN: (500, ""),
    Trouble.BUG: (500, "INTERNAL_ERROR"),
}
"""What goes wrong around an endpoint; '' stands for the operation's own code."""


class Told(Struct):
    """A refusal in this face's words."""

    status: int
    code: str
    message: str
    data: dict[str, Any]


def tell(refused: Refused, amount: int, scale: int) -> Told:
    """The refusal of a command that asked for this amount."""
    no = ERRORS[refused.code]
    facts = dict(refused.facts)
    code = no.code
    if refused.code is Refusal.ACCOUNT_NOT_FOUND:
        facts |= {"required": amount, "available": 0, "deficit": amount}
    elif refused.code is Refusal.INVALID:
        code = INVALID_FIELDS.get(facts["field"], code)
    data = {name: write_number(facts[name], scale) if name in no.amounts else facts[name] for name in no.data}
    words = {name: write_amount(fact, scale) if name in no.amounts else _word(fact) for name, fact in facts.items()}
    return Told(no.status, code, no.sentence.format_map(words), data)


def _word(fact: Any) -> str:
    if isinstance(fact, list):
        return " and ".join(fact)
    return _STATES.get(str(fact), str(fact))


def tell_failure(error: StoreError, failure: str) -> Told:
    """A broken machine; `failure` is the operation's own code."""
    status, code = FAILURES[error.code]
    sentence = " ".join((type(error).__doc__ or StoreError.__doc__ or "").split())
    return Told(status, code or failure, sentence, {})
