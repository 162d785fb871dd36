"""How the accounting dialect says no: a status and a sentence; total tables from refusals, broken machines, troubles.

A status of 5xx other than 500 is sent only when nothing was done.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from farthing.core.amounts import write_amount
from farthing.core.outcomes import Refusal, Refused
from farthing.stores.contract import StoreError

from ..endpoint import Headers, Trouble
from ..openapi import Code

RETRY_AFTER: Final = 5
INSUFFICIENT: Final = "Insufficient credits"

CODES: Final = {
    code.code: code
    for code in (
        Code(400, "invalid", "{field} {message}"),
        Code(400, "required_credits", "Valid requiredCredits amount required"),
        Code(400, "tokens", "Valid modelId and tokens required"),
        Code(400, "credits", "Valid, positive credits amount required"),
        Code(400, "remove_too_large", "Insufficient credits. User has {available}, trying to remove {required}"),
        Code(
            400,
            "adjust_too_low",
            "Adjustment would result in negative balance. Current: {available}, Adjustment: -{required}",
        ),
        Code(402, "insufficient", INSUFFICIENT),
        Code(403, "own_grant", "A supervisor may not give credits to himself: ask another one, or an admin"),
        Code(404, "user_unknown", "User '{user}' not found"),
        Code(404, "user_not_found", "User not found"),
        Code(404, "email_not_found", "User not found with the provided email"),
        Code(404, "email_unknown", "User with email '{email}' not found. Cannot allocate credits."),
        Code(400, "usage_fields", "Missing or invalid required fields"),
        Code(400, "usage_dates", "Invalid date format for startDate or endDate"),
        Code(402, "session_short", "Insufficient credits for streaming session"),
        Code(404, "session_unknown", "Session not found"),
        Code(
            409,
            "session_expired",
            "Session '{session}' was not ended in time: its credits were released at {at}, and nothing was charged",
        ),
        Code(409, "session_taken", "Session '{session}' is over: somebody has settled or released its hold by itself"),
        Code(409, "session_differs", "Session '{session}' was begun before with another model or estimate"),
        Code(409, "key_used", "This key was used before for something else; it differs in {differs}"),
    )
}
"""What single calls say no with. Only the sentence is sent, with the facts in the place of their names."""


class Fault(Exception):
    """What is wrong with a request's content: the status, and a sentence that helps."""

    def __init__(self, message: str, status: int = 400, headers: Headers = ()) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.headers = headers


class No(Struct, frozen=True):
    """How a refusal is told; facts can be named in the sentence."""

    status: int
    sentence: str
    amounts: tuple[str, ...] = ()
    """Facts that are amounts."""


def fault(code: str, **facts: object) -> Fault:
    """What is wrong, in the words that the contract has for it."""
    return Fault(CODES[code].sentence.format_map(facts), CODES[code].status)


ERRORS: Final[Mapping[Refusal, No]] = {
    Refusal.INVALID: No(400, "{field} {message}"),
    # Of the caller himself: of another user it is asked before anything is done.
    Refusal.ACCOUNT_NOT_FOUND: No(402, INSUFFICIENT),
    Refusal.ACCOUNT_EXISTS: No(409, "There is such an account already"),
    Refusal.PRECONDITION_FAILED: No(409, "The settings are not what they were when they were read"),
    Refusal.KEY_CONFLICT: No(409, CODES["key_used"].sentence),
    Refusal.PAYMENT_CLAIMED: No(409, "The payment {payment} was credited to another account"),
    Refusal.FROZEN: No(403, "This account is frozen: nothing can be taken until that ends"),
    Refusal.SPEND_LIMIT: No(
        403,
        "This would go over the account's limit of {limit} credits a {period}; {left} are left",
        ("limit", "left", "required"),
    ),
    Refusal.INSUFFICIENT_CREDITS: No(402, INSUFFICIENT),
    Refusal.HOLD_NOT_FOUND: No(404, "Session not found"),
    Refusal.HOLD_ENDED: No(409, "This session has ended: its credits were {state}"),
    Refusal.HOLD_TOO_LONG: No(400, "A session may last at most {max_minutes} minutes in this workspace"),
    Refusal.METERED_INVALID: No(400, "What was metered can't fall, nor be above what is held"),
    Refusal.GRANT_NOT_FOUND: No(404, "There is no such allocation"),
    Refusal.GRANT_ENDED: No(409, "This allocation has ended"),
    Refusal.GRANT_ARCHIVED: No(409, "This allocation was used up in a time whose entries are archived"),
    Refusal.CHARGE_ARCHIVED: No(409, "This charge is of a time whose entries are archived: it can't be given back"),
    Refusal.CHARGE_NOT_FOUND: No(404, "There is no such charge"),
    Refusal.REFUND_TOO_LARGE: No(400, "At most {refundable} credits can be given back", ("refundable",)),
    Refusal.TOO_MANY_GRANTS: No(403, "This account has {limit} live allocations, as many as it may have"),
    Refusal.TOO_MANY_HOLDS: No(403, "This account has {limit} open sessions, as many as it may have"),
    Refusal.PLAN_NOT_FOUND: No(404, "There is no such plan"),
    Refusal.PLAN_ARCHIVED: No(409, "Nobody can subscribe to this plan any more"),
    Refusal.SUBSCRIPTION_NOT_FOUND: No(404, "There is no subscription"),
    Refusal.SUBSCRIPTION_ENDED: No(409, "The subscription has ended"),
    Refusal.SUBSCRIPTION_EXPIRED: No(409, "Subscription expired"),
    Refusal.SUBSCRIPTION_CHANGED: No(409, "The subscription was changed meanwhile"),
    Refusal.NOT_DUE: No(409, "Next renewal in {days} days"),
    Refusal.RENEWED_BY_PAYMENT: No(409, "The subscription is billed by {billed_by}, whose payment renews it"),
    Refusal.BALANCE_LIMIT: No(400, "This would make the balance larger than the ledger can count"),
}

FAILURES: Final[Mapping[str, int]] = {
    "queue_full": 429,
    "busy": 429,
    "raced": 429,
    "unavailable": 503,
    "storage_full": 503,
    "read_only": 503,
    "not_a_database": 503,
    "store_error": 503,
    "shutting_down": 503,
    "clock_jumped": 503,
    "forked": 503,
    "internal_error": 500,
    "unknown_outcome": 500,
}
"""The status of a broken machine, by the code of its exception."""

TROUBLES: Final[Mapping[Trouble, int]] = {
    Trouble.CREDENTIAL_MISSING: 401,
    Trouble.CREDENTIAL_INVALID: 401,
    Trouble.UNAVAILABLE: 503,
    Trouble.SCOPE_MISSING: 403,
    Trouble.RATE_LIMIT: 429,
    Trouble.NOT_FOUND: 404,
    Trouble.METHOD: 405,
    Trouble.MEDIA_TYPE: 415,
    Trouble.TOO_LARGE: 413,
    Trouble.TOO_SLOW: 408,
    Trouble.MALFORMED: 400,
    Trouble.UNKNOWN: 500,
    Trouble.BUG: 500,
}
"""The status of what goes wrong around an endpoint."""


def tell(refused: Refused, scale: int) -> Fault:
    """A refusal in this face's words."""
    no = ERRORS[refused.code]
    words = {
        name: write_amount(fact, scale) if name in no.amounts else _word(fact) for name, fact in refused.facts.items()
    }
    return Fault(no.sentence.format_map(words), no.status)


def amounts_of(refused: Refused, scale: int) -> dict[str, str]:
    """Facts of a refusal that are amounts, as text."""
    return {name: write_amount(refused.facts[name], scale) for name in ("required", "available")}


def _word(fact: Any) -> str:
    return " and ".join(fact) if isinstance(fact, list) else str(fact)


def tell_failure(error: StoreError) -> Fault:
    """A broken machine."""
    status = FAILURES[error.code]
    sentence = " ".join((type(error).__doc__ or StoreError.__doc__ or "").split())
    wait = b"%d" % (error.retry_after or RETRY_AFTER)
    return Fault(sentence, status, ((b"retry-after", wait),) if status != 500 else ())
