"""Outcomes: all that may be told. A refusal is a value with a stable code; an exception is a bug."""

from enum import StrEnum
from typing import Any

from msgspec import Struct

from .records import Account, Charge, Delivery, Entry, Event, GrantTerms, Hold, Record


class Refusal(StrEnum):
    """Why a command was not carried out; nothing was changed."""

    INVALID = "invalid"
    """A field of the command can't be right; `field` and `message` say which and why."""
    ACCOUNT_NOT_FOUND = "account_not_found"
    ACCOUNT_EXISTS = "account_exists"
    PRECONDITION_FAILED = "precondition_failed"
    """The settings are not (any more) those that the caller said they had to be."""
    KEY_CONFLICT = "key_conflict"
    """The key was used for something else; `differs` names what."""
    PAYMENT_CLAIMED = "payment_claimed"
    """The payment was credited to another account."""
    FROZEN = "frozen"
    SPEND_LIMIT = "spend_limit"
    INSUFFICIENT_CREDITS = "insufficient_credits"
    """`required`, `available`, `deficit`."""
    HOLD_NOT_FOUND = "hold_not_found"
    HOLD_ENDED = "hold_ended"
    """The hold was settled, released or expired; `state` says which."""
    HOLD_TOO_LONG = "hold_too_long"
    METERED_INVALID = "metered_invalid"
    """The running total fell, or went above the amount held."""
    GRANT_NOT_FOUND = "grant_not_found"
    GRANT_ENDED = "grant_ended"
    """The grant was voided before. (One that lapsed can be voided: what was spent of it becomes debt.)"""
    GRANT_ARCHIVED = "grant_archived"
    """Nothing was left of the grant when the entries of its time were archived: it can't be taken back any more."""
    CHARGE_NOT_FOUND = "charge_not_found"
    CHARGE_ARCHIVED = "charge_archived"
    """The charge is of the time whose entries are archived: it can't be given back any more."""
    REFUND_TOO_LARGE = "refund_too_large"
    """More than is left of the charge (or of all charges); `refundable` says how much."""
    TOO_MANY_GRANTS = "too_many_grants"
    TOO_MANY_HOLDS = "too_many_holds"
    PLAN_NOT_FOUND = "plan_not_found"
    PLAN_ARCHIVED = "plan_archived"
    """Nobody can subscribe to the plan any more."""
    SUBSCRIPTION_NOT_FOUND = "subscription_not_found"
    SUBSCRIPTION_ENDED = "subscription_ended"
    SUBSCRIPTION_EXPIRED = "subscription_expired"
    """The time that was paid is over."""
    SUBSCRIPTION_CHANGED = "subscription_changed"
    """It is not (any more) the subscription, or its period, that was asked for: a purchase came between."""
    NOT_DUE = "not_due"
    """`next_at`, and `days` until then."""
    RENEWED_BY_PAYMENT = "renewed_by_payment"
    """A provider bills the subscription (`billed_by`): its payment renews it, and nothing else."""
    BALANCE_LIMIT = "balance_limit"
    """A balance or a debt would reach 10^18 smallest units."""


class Accepted(Struct):
    """Carried out: the entry, and all that has to be saved with it. Faces answer from `entry` alone, so that a
    replay, which has just the entry, reads the same."""

    entry: Entry | None
    """None only for a lapse with nothing of its own to say."""
    account: Account | None = None
    entries: list[Entry] = []
    """All entries of this decision in order: an opening, lapses on the way, the command's own last."""
    holds: list[Hold] = []
    charges: list[Charge] = []
    grants: list[GrantTerms] = []
    """Grants made or voided: rows of the history, written whole."""
    gone: list[tuple[str, int]] = []
    """Grant, and what to add to its history's `gone`."""
    records: list[Record] = []
    events: list[Event] = []
    """What is told, those that rode along with the command included."""
    deliveries: list[Delivery] = []
    """Of these events, to each endpoint that asks for them."""
    replayed: bool = False


class Refused(Struct):
    """Not carried out. `facts` are the numbers and names that a face may tell; amounts in smallest units."""

    code: Refusal
    facts: dict[str, Any] = {}
    entry: Entry | None = None
    """Where the refusal was recorded under its key (`final`)."""
    replayed: bool = False
    accepted: Accepted | None = None
    """What has to be saved all the same, when the refusal is recorded."""


Outcome = Accepted | Refused
