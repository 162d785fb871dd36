"""How the native API says no: problem documents (RFC 9457), and total tables from refusals, broken machines and
troubles to their codes.

A refusal's code is its name in the core, so it is the same here, in the library and on the command line. Each code has
one status. A 5xx other than 500 is sent only when nothing was done.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from farthing.core.amounts import write_amount
from farthing.core.outcomes import Refusal, Refused
from farthing.stores.contract import StoreError

from ..endpoint import Headers, Reply, Request, Trouble
from ..openapi import Code
from .wire import write_time

PROBLEM: Final = b"application/problem+json"
TYPE: Final = "/docs#problem-{}"
_encode = msgspec.json.Encoder().encode

CODES: Final = {
    code.code: code
    for code in (
        Code(400, "invalid", "amount must be above zero."),
        Code(400, "malformed", "The body must be a JSON object."),
        Code(400, "idempotency_key_missing", "Every write needs the header Idempotency-Key."),
        Code(400, "cursor_invalid", "This cursor is more than 24 hours old; begin anew."),
        Code(400, "unknown_model", "Nothing has a price for the model 'gpt-9'."),
        Code(400, "unknown_operation", "No rule of the rate card prices this usage."),
        Code(400, "unknown_dimension", "No rule prices the dimension 'pages' of this usage."),
        Code(400, "missing_dimension", "A total of tokens alone can't be priced: send input_tokens and output_tokens."),
        Code(400, "unknown_context", "There is no price of gpt-4o with service_tier 'scale'."),
        Code(400, "amount_too_large", "This usage comes to more than the ledger can count."),
        Code(400, "amount_inexact", "This usage comes to 0.0000001, which needs more decimals than the workspace has."),
        Code(400, "hold_too_long", "A hold may live for 43,200 minutes at most in this workspace."),
        Code(400, "metered_invalid", "What was metered can't fall, nor be above what is held: 3 to 20 here."),
        Code(401, "credential_missing", "Send your API key in the header X-API-Key, or as a bearer token."),
        Code(401, "credential_invalid", "There is no such API key; it may have been deleted."),
        Code(402, "insufficient_credits", "This takes 5 credits; 3 are available."),
        Code(403, "scope_missing", "This API key lacks the scope 'charge'."),
        Code(403, "own_account", "A supervisor can't give credits to his own account."),
        Code(403, "frozen", "This account is frozen: nothing can be taken until that ends."),
        Code(403, "spend_limit", "This would go over the account's limit of 8 credits a day; 3 are left."),
        Code(404, "not_found", "There is no such path; see /docs."),
        Code(404, "account_not_found", "There is no such account."),
        Code(404, "grant_not_found", "There is no such grant."),
        Code(404, "charge_not_found", "There is no such charge."),
        Code(404, "hold_not_found", "There is no such hold."),
        Code(404, "plan_not_found", "There is no such plan."),
        Code(404, "product_not_found", "There is no such product."),
        Code(404, "provider_not_found", "The workspace speaks with no such provider."),
        Code(404, "order_not_found", "There is no such order."),
        Code(404, "offer_not_found", "There is no offer 'assistant/pack-900'."),
        Code(404, "customer_not_found", "The account has bought nothing at Stripe by a link of ours."),
        Code(404, "payment_method_not_found", "The account has left no payment method 'pm_1PxAbc'."),
        Code(404, "subscription_not_found", "This account has no subscription."),
        Code(404, "entry_not_found", "There is no such entry."),
        Code(404, "payment_not_found", "There is no such payment."),
        Code(404, "provider_event_not_found", "No provider has sent that."),
        Code(404, "key_not_found", "There is no such API key."),
        Code(404, "issuer_not_found", "There is no such issuer."),
        Code(404, "user_not_found", "There is no such user."),
        Code(404, "card_not_found", "There is no such rate card."),
        Code(404, "version_not_found", "There is no such version."),
        Code(404, "job_not_found", "There is no such job."),
        Code(404, "webhook_not_found", "There is no such webhook."),
        Code(404, "event_not_found", "There is no such event."),
        Code(404, "model_not_found", "The catalogue has no such model."),
        Code(404, "workspace_not_found", "There is no such workspace."),
        Code(405, "method_not_allowed", "This path takes POST, not GET."),
        Code(408, "too_slow", "The body did not arrive in time."),
        Code(409, "key_conflict", "This key was used before for something else; it differs in amount."),
        Code(409, "account_exists", "There is such an account already."),
        Code(409, "workspace_exists", "There is a workspace 'shop' already."),
        Code(409, "key_exists", "The workspace shop has keys of its own; those of scope admin make more."),
        Code(409, "key_ended", "The key has ended; create a new one."),
        Code(409, "issuer_exists", "Another workspace takes tokens with this secret already."),
        Code(409, "archived", "These entries were archived; this account's books begin later here."),
        Code(
            409, "payment_not_assignable", "It is a test payment, and the workspace is live: nobody has paid anything."
        ),
        Code(409, "provider_event_failed", "It failed again: stripe can't be reached."),
        Code(409, "payment_claimed", "The payment digistore24:1 was credited to another account."),
        Code(409, "hold_ended", "This hold has ended: it was settled."),
        Code(409, "grant_ended", "This grant was voided before."),
        Code(409, "grant_archived", "This grant was used up in a time whose entries are archived."),
        Code(409, "charge_archived", "This charge is of a time whose entries are archived: it can't be given back."),
        Code(409, "refund_too_large", "At most 4 credits can be given back."),
        Code(409, "too_many_grants", "This account has 1,000 live grants, as many as it may have."),
        Code(409, "too_many_holds", "This account has 10,000 live holds, as many as it may have."),
        Code(409, "plan_archived", "Nobody can subscribe to this plan any more."),
        Code(409, "subscription_ended", "This subscription has ended."),
        Code(409, "subscription_expired", "The time that was paid is over."),
        Code(409, "subscription_changed", "The subscription was changed meanwhile: read it again."),
        Code(409, "not_due", "The next renewal is in 3 days."),
        Code(409, "renewed_by_payment", "The subscription is billed by stripe, whose payment renews it."),
        Code(409, "order_claimed", "The order 'AB12CD34' is of another account."),
        Code(409, "offer_unavailable", "'assistant/pro' can't be bought by this account now: current_tier."),
        Code(409, "provider_key_missing", "The workspace has no API key of stripe."),
        Code(409, "provider_key_invalid", "Stripe: Invalid API Key provided."),
        Code(409, "provider_key_forbidden", "Digistore24, createBuyUrl: The API key is read-only."),
        Code(409, "provider_refused", "Digistore24, createBuyUrl: There is no product 500011."),
        Code(409, "no_card", "The workspace had no rate card at that time: give an amount, or add one."),
        Code(409, "overlapping_versions", "Version 3 begins at that time or later: begin after it, or withdraw it."),
        Code(409, "card_version_begun", "Version 3 has begun, and charges may name it: add a version instead."),
        Code(409, "webhook_disabled", "The webhook is disabled: enable it first."),
        Code(409, "too_many_webhooks", "The workspace has 50 webhooks, as many as it may have."),
        Code(409, "card_is_profile", "The card is a PriceCalc profile: send it as a whole, as a new version."),
        Code(409, "price_not_quarantined", "Version 2 of openai/gpt-4o is active: nothing is to be decided about it."),
        Code(409, "price_unusable", "Version 2 of openai/gpt-4o can't be charged: /prices must have a price."),
        Code(409, "balance_limit", "This would make the balance larger than the ledger can count."),
        Code(412, "precondition_failed", "The settings are not what they were when they were read: read them again."),
        Code(413, "too_large", "The body may have at most 1,000,000 bytes."),
        Code(415, "media_type", "Send the body as JSON, with the header Content-Type: application/json."),
        Code(429, "rate_limit", "Too many requests with this key; try again in 1 s."),
        Code(429, "provider_rate_limited", "Stripe: it has had enough calls for now."),
        Code(500, "internal_error", "Something went wrong here; it has been logged."),
        Code(500, "unknown_outcome", "It is not known whether this was done; the same key finds out."),
        Code(503, "provider_unavailable", "Digistore24, createBuyUrl: no answer in time."),
        Code(503, "queue_full", "Too many commands are waiting; nothing was done."),
        Code(503, "busy", "The database is locked by another process; nothing was done."),
        Code(503, "raced", "Others were faster again and again; nothing was done."),
        Code(503, "unavailable", "The database can't be written to right now; nothing was done."),
        Code(503, "storage_full", "The disk is full; nothing was done."),
        Code(503, "read_only", "The database can't be written to; nothing was done."),
        Code(503, "not_a_database", "The database is not one of Farthing's; nothing was done."),
        Code(503, "store_error", "Something is wrong with the database; nothing was done."),
        Code(503, "shutting_down", "The ledger is shutting down; nothing was done."),
        Code(503, "clock_jumped", "The clock of the server jumped; nothing is done until it has been steady."),
        Code(503, "forked", "The server was started in a wrong way; nothing was done."),
    )
}
"""Every code that this face can send, with an example of its `detail`; of a broken machine that is all there is."""

ANYWHERE: Final = (
    "credential_missing", "credential_invalid", "scope_missing", "rate_limit", "invalid", "internal_error",
    "unavailable", "store_error",
)  # fmt: skip
"""Codes that every endpoint can send."""
WRITING: Final = (
    "malformed", "idempotency_key_missing", "too_large", "media_type", "too_slow", "key_conflict", "unknown_outcome",
    "queue_full", "busy", "raced", "storage_full", "read_only", "not_a_database", "shutting_down", "clock_jumped",
    "forked",
)  # fmt: skip
"""Codes that every write can send besides."""


class Wrong(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong, and where: in the body, in the query or path, or in a header."""

    detail: str
    pointer: str | UnsetType = UNSET
    """JSON pointer into the body."""
    parameter: str | UnsetType = UNSET
    header: str | UnsetType = UNSET

    @property
    def place(self) -> str:
        """How a sentence names it."""
        return (self.pointer or "").lstrip("/").replace("/", ".") or self.parameter or self.header or "the body"


class Problem(Struct, kw_only=True, omit_defaults=True):
    """Why a request failed. Beside the members of RFC 9457 a stable code, the request's id, and what each code adds."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[Wrong] | UnsetType = UNSET
    required: str | UnsetType = UNSET
    available: str | UnsetType = UNSET
    deficit: str | UnsetType = UNSET
    next: Annotated[None, Meta(description="The grant that is known to come next; null: none is.")] | UnsetType = UNSET
    differs: list[str] | UnsetType = UNSET
    limit: str | int | UnsetType = UNSET
    left: str | UnsetType = UNSET
    period: str | UnsetType = UNSET
    max_minutes: int | UnsetType = UNSET
    at_least: str | UnsetType = UNSET
    at_most: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    refundable: str | UnsetType = UNSET
    days: int | UnsetType = UNSET
    next_at: str | UnsetType = UNSET
    opened_at: str | UnsetType = UNSET
    since: str | UnsetType = UNSET
    reason: Annotated[str, Meta(description="Why it can't be bought.")] | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class Fault(Exception):
    """What a request can't have; carries the code, and what is wrong where."""

    def __init__(
        self, code: str, wrong: Sequence[Wrong] = (), detail: str = "", headers: Headers = (), **facts: Any
    ) -> None:
        super().__init__(code)
        self.code = code
        self.wrong = wrong
        self.detail = detail or _sentence(wrong) or CODES[code].sentence
        self.headers = headers
        self.facts = facts


def _sentence(wrong: Sequence[Wrong]) -> str:
    """All that is wrong in a sentence; the first three by name."""
    if not wrong:
        return ""
    told = [w.detail.rstrip(".") if w.detail[:1].isupper() else f"{w.place} {w.detail}" for w in wrong[:3]]
    more = len(wrong) - len(told)
    return "; ".join(told) + (f"; and {more} more." if more else ".")


class No(Struct, frozen=True):
    """How a refusal is told; facts can be named in the sentence."""

    sentence: str
    amounts: tuple[str, ...] = ()
    """Facts that are amounts."""
    told: tuple[str, ...] = ()
    """Facts that also stand by themselves."""
    times: tuple[str, ...] = ()
    """Facts that are times."""


_SHORT: Final = ("required", "available", "deficit")

ERRORS: Final[Mapping[Refusal, No]] = {
    Refusal.INVALID: No("{field} {message}."),
    Refusal.ACCOUNT_NOT_FOUND: No("There is no such account."),
    Refusal.ACCOUNT_EXISTS: No("There is such an account already."),
    Refusal.KEY_CONFLICT: No(
        "This key was used before for something else; it differs in {differs}. New work takes a new key.",
        told=("differs",),
    ),
    Refusal.PAYMENT_CLAIMED: No("The payment {payment} was credited to another account."),
    Refusal.FROZEN: No("This account is frozen: nothing can be taken until that ends."),
    Refusal.SPEND_LIMIT: No(
        "This would go over the account's limit of {limit} credits a {period}; {left} are left.",
        ("limit", "left", "required"),
        ("required", "period", "limit", "left"),
    ),
    Refusal.INSUFFICIENT_CREDITS: No("This takes {required} credits; {available} are available.", _SHORT, _SHORT),
    Refusal.HOLD_NOT_FOUND: No("There is no such hold."),
    Refusal.HOLD_ENDED: No("This hold has ended: it was {state}.", told=("state",)),
    Refusal.HOLD_TOO_LONG: No(
        "A hold may live for {max_minutes} minutes at most in this workspace.", told=("max_minutes",)
    ),
    Refusal.METERED_INVALID: No(
        "What was metered can't fall, nor be above what is held: {at_least} to {at_most} here.",
        ("metered", "at_least", "at_most"),
        ("at_least", "at_most"),
    ),
    Refusal.GRANT_NOT_FOUND: No("There is no such grant."),
    Refusal.GRANT_ENDED: No("This grant was voided before."),
    Refusal.CHARGE_NOT_FOUND: No("There is no such charge."),
    Refusal.GRANT_ARCHIVED: No("This grant was used up in a time whose entries are archived."),
    Refusal.CHARGE_ARCHIVED: No("This charge is of a time whose entries are archived: it can't be given back."),
    Refusal.REFUND_TOO_LARGE: No("At most {refundable} credits can be given back.", ("refundable",), ("refundable",)),
    Refusal.TOO_MANY_GRANTS: No("This account has {limit} live grants, as many as it may have.", told=("limit",)),
    Refusal.TOO_MANY_HOLDS: No("This account has {limit} live holds, as many as it may have.", told=("limit",)),
    Refusal.PRECONDITION_FAILED: No("The settings are not what they were when they were read: read them again."),
    Refusal.PLAN_NOT_FOUND: No("There is no such plan."),
    Refusal.PLAN_ARCHIVED: No("Nobody can subscribe to this plan any more."),
    Refusal.SUBSCRIPTION_NOT_FOUND: No("This account has no subscription."),
    Refusal.SUBSCRIPTION_ENDED: No("This subscription has ended."),
    Refusal.SUBSCRIPTION_EXPIRED: No("The time that was paid is over."),
    Refusal.SUBSCRIPTION_CHANGED: No("The subscription was changed meanwhile: read it again."),
    Refusal.NOT_DUE: No("The next renewal is in {days} days.", told=("days", "next_at"), times=("next_at",)),
    Refusal.RENEWED_BY_PAYMENT: No("The subscription is billed by {billed_by}, whose payment renews it."),
    Refusal.BALANCE_LIMIT: No("This would make the balance larger than the ledger can count."),
}

FIELDS: Final[Mapping[str, Wrong]] = {
    "key": Wrong(header="Idempotency-Key", detail=""),
    "ttl": Wrong(pointer="/expires_in", detail=""),
    "attributes": Wrong(pointer="/model", detail=""),
}
"""Where a field of a command is found in a request, if not under its own name in the body."""

FAILURES: Final[Mapping[str, str]] = {
    name: name
    for name in (
        "queue_full", "busy", "raced", "unavailable", "storage_full", "read_only", "not_a_database", "store_error",
        "shutting_down", "clock_jumped", "forked", "internal_error", "unknown_outcome",
    )
}  # fmt: skip
"""What a broken machine is called, by the code of its exception."""

TROUBLES: Final[Mapping[Trouble, str]] = {
    Trouble.CREDENTIAL_MISSING: "credential_missing",
    Trouble.CREDENTIAL_INVALID: "credential_invalid",
    Trouble.UNAVAILABLE: "unavailable",
    Trouble.SCOPE_MISSING: "scope_missing",
    Trouble.RATE_LIMIT: "rate_limit",
    Trouble.NOT_FOUND: "not_found",
    Trouble.METHOD: "method_not_allowed",
    Trouble.MEDIA_TYPE: "media_type",
    Trouble.TOO_LARGE: "too_large",
    Trouble.TOO_SLOW: "too_slow",
    Trouble.MALFORMED: "malformed",
    Trouble.UNKNOWN: "unknown_outcome",
    Trouble.BUG: "internal_error",
}
"""What goes wrong around an endpoint."""

_RETRY_AFTER: Final = 5


def problem(
    request: Request, code: str, detail: str, wrong: Sequence[Wrong] = (), facts: Mapping[str, Any] | None = None
) -> Problem:
    """A problem document."""
    return Problem(
        type=TYPE.format(code),
        title=code.replace("_", " ").capitalize(),
        status=CODES[code].status,
        detail=detail,
        instance=request.path[:200],
        code=code,
        request_id=request.id.decode(),
        errors=list(wrong) or UNSET,
        dry_run=True if request.dry else UNSET,
        **(facts or {}),
    )


def refused(request: Request, outcome: Refused) -> Problem:
    """The refusal of a command."""
    no, facts = ERRORS[outcome.code], outcome.facts
    scale = request.caller.workspace.scale
    plain: dict[str, Any] = {n: write_amount(fact, scale) if n in no.amounts else fact for n, fact in facts.items()}
    plain |= {name: write_time(plain[name]) for name in no.times}
    detail = no.sentence.format_map({name: _word(fact) for name, fact in plain.items()})
    told: dict[str, Any] = {name: plain[name] for name in no.told}
    if outcome.code is Refusal.INSUFFICIENT_CREDITS:
        told["next"] = None
    wrong = [_where(facts["field"], facts["message"], request)] if outcome.code is Refusal.INVALID else []
    return problem(request, str(outcome.code), detail, wrong, told)


def _where(field: str, message: str, request: Request) -> Wrong:
    if field in request.parameters:
        return Wrong(parameter=field, detail=message)
    known = FIELDS.get(field)
    return (
        Wrong(pointer=f"/{field.replace('.', '/')}", detail=message)
        if known is None
        else msgspec.structs.replace(known, detail=message)
    )


def _word(fact: Any) -> str:
    if isinstance(fact, list):
        return " and ".join(fact)
    return f"{fact:,}" if isinstance(fact, int) else str(fact)


def failed(request: Request, error: StoreError) -> tuple[Problem, Headers]:
    """A broken machine; what its exception says may be the operator's alone."""
    code = CODES[FAILURES[error.code]]
    told = problem(request, code.code, code.sentence)
    if code.status != 503:
        return told, ()
    return told, ((b"retry-after", b"%d" % (error.retry_after or _RETRY_AFTER)),)


def reply(told: Problem, headers: Headers = ()) -> Reply:
    """A problem as an answer."""
    return Reply(told.status, _encode(told), told.code, headers, PROBLEM)
