"""Clawbacks: what a payment gave goes back with the payment; while its customer's bank disputes it, the rest is pinned.
All of it is about one grant; others are not touched.

Refusals, in order:
- dispute: account_not_found, grant_not_found, grant_archived
- close: account_not_found, hold_not_found, grant_not_found, grant_archived, balance_limit
- clawback: account_not_found, grant_not_found, grant_archived, balance_limit
"""

from typing import Final

from msgspec.structs import replace

from .commands import DAY_US, CloseDispute, OpenDispute, TakeBack
from .draft import Draft
from .grants import is_archived, owe
from .holds import DISPUTE, disputed, hold_id, note_hold, put_back
from .outcomes import Refusal, Refused
from .records import GrantTerms, Hold

LONGEST_DISPUTE_US: Final = 3_660 * DAY_US
"""A dispute ends when the provider says so, and not by time: this is only a date that a hold must have."""


def open_dispute(c: OpenDispute, d: Draft) -> Refused | None:
    """Pin what is free of the grant."""
    terms = _terms(c.grant, d)
    if isinstance(terms, Refused):
        return terms
    # After this point it must succeed.
    d.body.ref = c.grant
    a, position = d.account, d.position(c.grant)
    row = None if position is None else a.grants[position]
    if position is None or row is None or row.remaining == row.held:
        return None
    free = row.remaining - row.held
    d.pin_of(position, free)
    note_hold(
        Hold(
            hold_id(c.id), a.workspace, a.id, a.bucket, free, free, 0, 0, "live", "release", DISPUTE, d.at,
            d.at + LONGEST_DISPUTE_US, ((c.grant, free),), {"grant": c.grant},
        ),
        d,
    )  # fmt: skip
    return None


def close_dispute(c: CloseDispute, d: Draft) -> Refused | None:
    """Give back what was pinned; then take what goes with the payment, if it goes."""
    hold = disputed(c.hold, d)
    if isinstance(hold, Refused):
        return hold
    terms = _terms(c.grant, d)
    if isinstance(terms, Refused):
        return terms
    # After this point it must succeed.
    put_back(c.id, c.kind, hold, d)
    d.body.ref = hold.id
    _take(c.id, c.kind, terms, c.total, d)
    return None


def take_back(c: TakeBack, d: Draft) -> Refused | None:
    """Take what the payment gave, up to a total that counts what went before."""
    terms = _terms(c.grant, d)
    if isinstance(terms, Refused):
        return terms
    # After this point it must succeed.
    d.body.ref = c.grant
    _take(c.id, c.kind, terms, c.total, d)
    return None


def _terms(grant: str, d: Draft) -> GrantTerms | Refused:
    terms = d.context.grants.get((d.account.workspace, d.account.id, grant))
    if terms is not None and is_archived(terms, d):
        return Refused(Refusal.GRANT_ARCHIVED, {"grant": grant})
    return terms or Refused(Refusal.GRANT_NOT_FOUND, {"grant": grant})


def _take(entry_id: str, kind: str, terms: GrantTerms, total: int, d: Draft) -> None:
    """Credits that lapsed or were written off count first: they are gone already. Then what is free; the rest was
    spent, or work in progress has it, and is owed."""
    gone = terms.gone + sum(amount for grant_id, amount in d.gone + d.body.gone if grant_id == terms.id)
    due = min(total, terms.amount) - gone - terms.owed
    if due <= 0 or terms.voided:
        return
    position = d.position(terms.id)
    row = None if position is None else d.account.grants[position]
    part = 0
    if position is not None and row is not None and (part := min(row.remaining - row.held, due)):
        d.drop(position, part)
    d.write_off(due)
    if due > part:
        owe(entry_id, kind, due - part, d)
        d.body.owed.append((terms.id, due - part))
        d.grants[terms.id] = replace(terms, owed=terms.owed + due - part)
