"""Refusals of the ledger as sentences: one table, total over the codes."""

from collections.abc import Mapping
from typing import Any

from farthing.core.amounts import write_amount
from farthing.core.outcomes import Refusal, Refused

from .exits import Exit, Trouble, invalid
from .reading import KEY_PREFIX

SENTENCES: Mapping[Refusal, str] = {
    Refusal.INVALID: "{field} {message}",
    Refusal.ACCOUNT_NOT_FOUND: "there is no account {account}; a grant makes it: farthing grant ACCOUNT AMOUNT",
    Refusal.ACCOUNT_EXISTS: "there is an account {account} already",
    Refusal.PRECONDITION_FAILED: "the settings are not what they were when they were read; nothing was changed",
    Refusal.KEY_CONFLICT: "this key was used for something else ({differs} differs); new work takes a new key",
    Refusal.PAYMENT_CLAIMED: "the payment {payment} was credited to another account",
    Refusal.FROZEN: "the account is frozen: nothing can be charged or held until it is thawed",
    Refusal.SPEND_LIMIT: "the limit per {period} would be passed: {required} {unit} required, {left} left of {limit}",
    Refusal.INSUFFICIENT_CREDITS: "not enough {unit}: {required} required, {available} available, {deficit} missing",
    Refusal.HOLD_NOT_FOUND: "there is no hold {hold}",
    Refusal.HOLD_ENDED: "the hold {hold} has ended: it is {state}",
    Refusal.HOLD_TOO_LONG: "a hold may live at most {max_minutes} minutes in all",
    Refusal.METERED_INVALID: "what was metered must be from {at_least} to {at_most}, not {metered}",
    Refusal.GRANT_NOT_FOUND: "there is no grant {grant}",
    Refusal.GRANT_ENDED: "the grant {grant} has lapsed or was voided before",
    Refusal.GRANT_ARCHIVED: "the grant {grant} was used up in a time whose entries are archived; an adjustment takes "
    "credits as well",
    Refusal.CHARGE_ARCHIVED: "the charge {charge} is of a time whose entries are archived: it can't be given back; a "
    "grant gives credits as well",
    Refusal.CHARGE_NOT_FOUND: "there is no charge {charge}",
    Refusal.REFUND_TOO_LARGE: "only {refundable} {unit} can be refunded",
    Refusal.TOO_MANY_GRANTS: "the account has {limit} live grants, as many as it may have",
    Refusal.TOO_MANY_HOLDS: "the account has {limit} live holds, as many as it may have",
    Refusal.PLAN_NOT_FOUND: "there is no plan {plan}; `farthing plans list` shows them",
    Refusal.PLAN_ARCHIVED: "the plan {plan} is archived: nobody can subscribe to it any more",
    Refusal.SUBSCRIPTION_NOT_FOUND: "the account has no subscription",
    Refusal.SUBSCRIPTION_ENDED: "the subscription {subscription} has ended",
    Refusal.SUBSCRIPTION_EXPIRED: "the subscription {subscription} has expired: it is to be paid again",
    Refusal.SUBSCRIPTION_CHANGED: "the subscription was changed meanwhile; it is now {subscription}",
    Refusal.NOT_DUE: "next renewal in {days} days",
    Refusal.RENEWED_BY_PAYMENT: "the subscription is billed by {billed_by}, whose payment renews it",
    Refusal.BALANCE_LIMIT: "the balance or the debt would reach its limit of {limit} {unit}",
}

# Facts that are amounts in smallest units; `limit` only where it is one.
_AMOUNTS = {"required", "available", "deficit", "refundable", "left", "metered", "at_least", "at_most"}
_LIMIT_IS_AMOUNT = {Refusal.SPEND_LIMIT, Refusal.BALANCE_LIMIT}


def refused(outcome: Refused, unit: str, scale: int) -> Trouble:
    """The trouble that a refusal is."""
    code, facts = outcome.code, dict(outcome.facts)
    if code is Refusal.INVALID:
        return invalid(facts["field"], facts["message"])
    for name in facts.keys() & _AMOUNTS:
        facts[name] = write_amount(facts[name], scale)
    if code in _LIMIT_IS_AMOUNT:
        facts["limit"] = write_amount(facts["limit"], scale)
    if code is Refusal.KEY_CONFLICT:
        # As it was given: the prefix is how the command line's keys are stored.
        facts["key"] = facts["key"].removeprefix(KEY_PREFIX)
    return Trouble(str(code), sentence(code, facts | {"unit": unit}), Exit.NO, **facts)


def sentence(code: Refusal, facts: Mapping[str, Any]) -> str:
    """The sentence of a code, its facts filled in."""
    words = {name: ", ".join(map(str, v)) if isinstance(v, list) else v for name, v in facts.items()}
    return SENTENCES[code].format_map(words)
