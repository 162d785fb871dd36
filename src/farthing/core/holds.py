"""Holds: credits set aside for work in progress, then settled, released, extended or ended by time.

Refusals, in order:
- hold: account_not_found, frozen, too_many_holds, hold_too_long, spend_limit, insufficient_credits
- extend: account_not_found, hold_not_found, hold_ended, frozen, invalid (end in the past) or hold_too_long,
  metered_invalid, spend_limit, insufficient_credits
- settle: account_not_found, hold_not_found, hold_ended (unless `late: charge`), frozen (above the hold), spend_limit
  (above the hold, shortfall `refuse`), insufficient_credits, balance_limit
- release: account_not_found, hold_not_found, hold_ended
"""

from copy import copy

from .charges import over_spend_limit
from .commands import MINUTE_US, Extend, PlaceHold, Release, Settle
from .draft import Draft
from .grants import insufficient
from .outcomes import Refusal, Refused
from .records import Charge, Hold, HoldTerms, Slice

DISPUTE = "payment.dispute"
"""The operation of a hold that a dispute has placed; what it is about is its attribute `grant`, which no face gives."""


PLACES = frozenset({"hold", "dispute"})
"""Kinds of entries that place a hold."""


def hold_id(entry_id: str) -> str:
    """An entry makes at most one hold: they share the digits, so one tells the other."""
    return "hold" + entry_id[3:]


def place(c: PlaceHold, d: Draft) -> Refused | None:
    """Pin free credits, in burn order."""
    a = d.account
    settings = d.context.workspaces[a.workspace].settings
    if a.settings.frozen:
        return Refused(Refusal.FROZEN)
    if a.holds >= settings.max_live_holds:
        return Refused(Refusal.TOO_MANY_HOLDS, {"limit": settings.max_live_holds})
    if c.ttl > settings.hold_max_minutes * MINUTE_US:
        return Refused(Refusal.HOLD_TOO_LONG, {"max_minutes": settings.hold_max_minutes})
    if refused := over_spend_limit(c.amount, d):
        return refused
    available = d.available(c.operation, c.attributes)
    if c.amount > available:
        return insufficient(c.amount, available)
    # After this point it must succeed.
    slices = d.pin(c.amount, c.operation, c.attributes)
    hold = Hold(
        hold_id(c.id), a.workspace, a.id, a.bucket, c.amount, c.amount, 0, 0, "live", c.on_expiry, c.operation, d.at,
        d.at + c.ttl, slices, c.attributes,
    )  # fmt: skip
    d.body.ref = hold.id
    note_hold(hold, d)
    return None


def note_hold(hold: Hold, d: Draft) -> None:
    """Put down a hold whose credits were pinned just now."""
    d.account.holds += 1
    _due_by(hold.expires_at, d)
    d.holds[hold.id] = hold
    d.body.hold = HoldTerms(
        hold.id, hold.amount, hold.amount, "live", hold.expires_at, hold.on_expiry, None, hold.slices,
        hold.attributes or None,
    )  # fmt: skip


def disputed(id: str, d: Draft) -> Hold | Refused:
    """A hold that a dispute has placed, and that lives."""
    hold = _found(id, d)
    if hold is None or not _is_of_dispute(hold):
        return Refused(Refusal.HOLD_NOT_FOUND, {"hold": id})
    return hold if hold.state == "live" else Refused(Refusal.HOLD_ENDED, {"hold": id, "state": hold.state})


def put_back(entry_id: str, kind: str, hold: Hold, d: Draft) -> None:
    """Give back all that a hold still sets aside."""
    _end(entry_id, kind, hold, 0, "released", d)


def _is_of_dispute(hold: Hold) -> bool:
    return hold.operation == DISPUTE and "grant" in hold.attributes


def _found(id: str, d: Draft) -> Hold | None:
    """A hold of this account, as it is now."""
    hold = d.holds.get(id) or d.context.holds.get(id)
    return None if hold is None or (hold.workspace, hold.account) != (d.account.workspace, d.account.id) else hold


def extend(c: Extend, d: Draft) -> Refused | None:
    """Move the end, raise the amount, note the running total; in one step."""
    hold = _live_hold(c.hold, d)
    if isinstance(hold, Refused):
        return hold
    if d.account.settings.frozen:
        return Refused(Refusal.FROZEN)
    refused = _end_refused(c, hold, d) or _metered_refused(c, hold)
    if refused:
        return refused
    if c.raise_by:
        if refused := over_spend_limit(c.raise_by, d):
            return refused
        available = d.available(hold.operation, hold.attributes)
        if c.raise_by > available:
            return insufficient(c.raise_by, available)
    # After this point it must succeed.
    pinned = d.pin(c.raise_by, hold.operation, hold.attributes) if c.raise_by else ()
    hold = copy(hold)
    hold.slices = _merge(hold.slices, pinned)
    hold.amount += c.raise_by
    hold.remaining += c.raise_by
    if c.metered is not None:
        hold.metered = c.metered
    if c.expires_at is not None:
        hold.expires_at = c.expires_at
        _due_by(c.expires_at, d)
    d.holds[hold.id] = hold
    d.body.ref = hold.id
    d.body.hold = HoldTerms(
        hold.id, c.raise_by, c.raise_by, "live", c.expires_at, None, c.metered, pinned
    )  # fmt: skip
    return None


def settle(c: Settle, d: Draft) -> Refused | None:
    """Take what the work cost from what was set aside, then from what is available."""
    hold = _found(c.hold, d)
    if hold is None or _is_of_dispute(hold):
        return Refused(Refusal.HOLD_NOT_FOUND, {"hold": c.hold})
    late = hold.state == "expired" and c.late == "charge" and not _is_archived(hold, d)
    if hold.state != "live" and not late:
        return Refused(Refusal.HOLD_ENDED, {"hold": c.hold, "state": hold.state})
    amount = _amount_to_settle(c, hold)
    excess = max(amount - hold.remaining, 0)
    if excess and (refused := _excess_refused(c, hold, amount, excess, late, d)):
        return refused
    if excess and c.shortfall == "take" and not late:
        available = max(d.available(hold.operation, hold.attributes), 0)
        if excess > available:
            d.body.unpaid = excess - available
            amount -= excess - available
    # After this point it must succeed.
    d.body.ref = hold.id
    if late:
        hold = copy(hold)
        _take(c.id, c.kind, hold, 0, amount, d)
        hold.settled += amount
        hold.state = "settled"
        d.holds[hold.id] = hold
        d.body.hold = HoldTerms(hold.id, state="settled")
        return None
    _end(c.id, c.kind, hold, amount, "settled" if c.last else "live", d)
    return None


def release(c: Release, d: Draft) -> Refused | None:
    """Give back all that is still set aside."""
    hold = _live_hold(c.hold, d)
    if isinstance(hold, Refused):
        return hold
    # After this point it must succeed.
    d.body.ref = hold.id
    put_back(c.id, c.kind, hold, d)
    return None


def expire(hold: Hold, d: Draft) -> None:
    """End a hold by its policy; an entry of its own, dated at its end."""
    amount = {"release": 0, "metered": hold.metered - hold.settled, "all": hold.remaining}[hold.on_expiry]
    entry_id = d.context.new_id("ent", d.at, d.account.bucket)
    d.body.ref = hold.id
    _end(entry_id, "expire", hold, min(max(amount, 0), hold.remaining), "expired", d)
    d.seal("expire", d.at, id=entry_id, operation=hold.operation)


def _live_hold(hold_id: str, d: Draft) -> Hold | Refused:
    hold = _found(hold_id, d)
    if hold is None or _is_of_dispute(hold):
        return Refused(Refusal.HOLD_NOT_FOUND, {"hold": hold_id})
    if hold.state != "live":
        return Refused(Refusal.HOLD_ENDED, {"hold": hold_id, "state": hold.state})
    return hold


def _end_refused(c: Extend, hold: Hold, d: Draft) -> Refused | None:
    if c.expires_at is None:
        return None
    if c.expires_at <= d.at:
        return Refused(Refusal.INVALID, {"field": "expires_at", "message": "must be in the future"})
    longest = d.context.workspaces[d.account.workspace].settings.hold_max_minutes
    if c.expires_at > hold.created_at + longest * MINUTE_US:
        return Refused(Refusal.HOLD_TOO_LONG, {"max_minutes": longest})
    return None


def _metered_refused(c: Extend, hold: Hold) -> Refused | None:
    if c.metered is None or hold.metered <= c.metered <= hold.amount + c.raise_by:
        return None
    facts = {"metered": c.metered, "at_least": hold.metered, "at_most": hold.amount + c.raise_by}
    return Refused(Refusal.METERED_INVALID, facts)


def _is_archived(hold: Hold, d: Draft) -> bool:
    """Whether it had ended when the entries of its time were archived."""
    archived = d.context.archived.get((hold.workspace, hold.account))
    return archived is not None and hold.created_at <= archived.at and hold.id not in archived.holds


def _amount_to_settle(c: Settle, hold: Hold) -> int:
    if hold.state == "expired":
        # What expiry did not take: the whole cost less what was settled before and by expiry.
        return max((hold.amount if c.amount is None else c.amount) - hold.settled, 0)
    return hold.remaining if c.amount is None else c.amount


def _excess_refused(c: Settle, hold: Hold, amount: int, excess: int, late: bool, d: Draft) -> Refused | None:
    if d.account.settings.frozen:
        return Refused(Refusal.FROZEN)
    if late or c.shortfall != "refuse":
        return None
    if refused := over_spend_limit(excess, d):
        return refused
    available = d.available(hold.operation, hold.attributes)
    if excess > available:
        # To whom asks, what the hold has set aside is available for this settle as well.
        return insufficient(amount, available + hold.remaining)
    return None


def _end(entry_id: str, kind: str, hold: Hold, amount: int, state: str, d: Draft) -> None:
    """Take an amount of a hold and, unless it lives on, give back the rest."""
    before = hold
    hold = copy(hold)
    from_hold = min(amount, hold.remaining)
    hold.slices = _take(entry_id, kind, hold, from_hold, amount, d)
    hold.remaining -= from_hold
    hold.settled += amount
    if state != "live":
        for grant_id, part in hold.slices:
            d.unpin(grant_id, part)
        d.account.held -= hold.remaining
        d.account.holds -= 1
        hold.slices, hold.remaining = (), 0
        hold.state = state  # type: ignore[assignment]
    d.holds[hold.id] = hold
    d.body.hold = HoldTerms(
        hold.id, 0, hold.remaining - before.remaining, hold.state, slices=_merge(hold.slices, before.slices, -1)
    )  # fmt: skip


def _take(
    entry_id: str, kind: str, hold: Hold, from_hold: int, amount: int, d: Draft
) -> tuple[tuple[str, int], ...]:  # fmt: skip
    """Charge `amount`, of which the hold pays `from_hold`; returns the slices that stay pinned."""
    a = d.account
    d.spend(amount)
    a.held -= from_hold
    paid: list[Slice] = []
    rest: list[tuple[str, int]] = []
    owed, left = 0, from_hold
    for grant_id, pinned in hold.slices:
        part = min(pinned, left)
        left -= part
        if part:
            taken = d.take_pinned(grant_id, part)
            owed += 0 if taken else part
            paid += [taken] if taken else []
        if pinned > part:
            rest.append((grant_id, pinned - part))
    # The part that rested on the allowance, and what goes above the hold: free credits first, then debt.
    open_amount = left + amount - from_hold
    more = d.take(open_amount, hold.operation, hold.attributes)
    debt = owed + open_amount - sum(s.amount for s in more)
    if debt:
        d.owe(entry_id, debt)
        slices = tuple(_add(paid, more))
        d.charges[entry_id] = Charge(
            entry_id, kind, a.workspace, a.id, a.bucket, d.at, amount, 0, debt, 0, slices
        )  # fmt: skip
    return tuple(rest)


def _add(paid: list[Slice], more: list[Slice]) -> list[Slice]:
    """Slices of one charge, one for each grant, in the order they were first burnt."""
    sums: dict[str, int] = {}
    for s in (*paid, *more):
        sums[s.grant] = sums.get(s.grant, 0) + s.amount
    return [Slice(grant, amount) for grant, amount in sums.items()]


def _merge(
    slices: tuple[tuple[str, int], ...], more: tuple[tuple[str, int], ...], sign: int = 1
) -> tuple[tuple[str, int], ...]:  # fmt: skip
    """Add (or take off) what is pinned, grant by grant; what comes to nothing falls out."""
    sums = dict(slices)
    for grant, amount in more:
        sums[grant] = sums.get(grant, 0) + sign * amount
    return tuple((grant, amount) for grant, amount in sums.items() if amount)


def _due_by(at: int, d: Draft) -> None:
    a = d.account
    a.hold_due_at = at if a.hold_due_at is None else min(a.hold_due_at, at)
