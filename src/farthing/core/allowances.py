"""Allowances: the credits of a subscription's periods; what each gives, and what becomes of the rests of earlier ones.

Rests that stay for ever would one day be too many grants. So where there are many, or an account has no room for
another grant, a renewal puts those of the same terms together into one. Charges still point to the grants that they
burnt, and refunds go back there; what was put together counts as spent of the grant that it came from, so that a void
of that grant owes it: its payment gave it, wherever it went.
"""

from typing import Final

from .draft import Draft
from .grants import give_and_repay
from .plans import Plan
from .records import Grant, GrantTerms
from .subscription import Subscription

MANY: Final = 50
"""Rests of one subscription that are put together, so that its entries stay of a size."""


def replaced(plan: Plan, before: Subscription | None) -> tuple[str, ...]:
    """Grants of another plan whose rest goes when this one comes."""
    return before.grants if before and before.plan != plan.id and plan.change == "replace" else ()


def write_off(grants: tuple[str, ...], d: Draft) -> None:
    """Write off what is free of them."""
    for id in grants:
        position = d.position(id)
        if position is not None:
            row = d.account.grants[position]
            _drop(position, row.remaining - row.held, d)


def _drop(position: int, amount: int, d: Draft) -> None:
    if amount:
        d.drop(position, amount)
        d.write_off(amount)


def keep_within_cap(plan: Plan, s: Subscription, d: Draft) -> None:
    """Write off what is left of earlier periods above the plan's cap, of the oldest first; what holds have set aside
    counts, and stays."""
    if plan.rollover != "cap" or plan.cap is None:
        return
    positions = [p for id in s.grants if (p := d.position(id)) is not None]
    excess = sum(d.account.grants[p].remaining for p in positions) - plan.cap
    for position in positions:
        row = d.account.grants[position]
        part = min(row.remaining - row.held, excess)
        if part > 0:
            _drop(position, part, d)
            excess -= part


def give(entry_id: str, amount: int, plan: Plan, s: Subscription, d: Draft) -> tuple[str, ...]:
    """Give a period's credits; those of a plan that lets them lapse live as long as the period."""
    if not amount:
        return ()
    source = {"subscription": s.id, "plan": plan.id}
    expires_at = s.next_at if plan.rollover == "lapse" else None
    id = "grt" + entry_id[3:]
    d.earn(amount)
    give_and_repay(GrantTerms(id, amount, plan.category, plan.priority, expires_at, d.at, (), source), d)
    return (id,)


def left(s: Subscription | None, d: Draft) -> tuple[str, ...]:
    """Of its grants, those that have credits left."""
    live = {g.id for g in d.account.grants if g.remaining}
    return tuple(id for id in s.grants if id in live) if s else ()


# Rests put together


def tight(s: Subscription | None, d: Draft) -> bool:
    """Whether its rests are to be put together before it is given more."""
    limit = d.context.workspaces[d.account.workspace].settings.max_live_grants
    return s is not None and (len(s.grants) >= MANY or len(d.account.grants) >= limit)


def making_room(s: Subscription | None, d: Draft) -> tuple[str, ...]:
    """Grants that there are fewer of when its rests are put together."""
    return tuple(g.id for rests in _alike(s.grants, d) for g in rests[1:]) if s else ()


def _alike(grants: tuple[str, ...], d: Draft) -> list[list[Grant]]:
    """Of these grants, those of the same terms of which nothing is held: two at least."""
    rows = {g.id: g for g in d.account.grants}
    found: dict[tuple[str, int], list[Grant]] = {}
    for g in (rows[id] for id in grants if id in rows):
        if g.remaining and not (g.held or g.voided) and g.expires_at is None:
            found.setdefault((g.category, g.priority), []).append(g)
    return [rests for rests in found.values() if len(rests) > 1]


def put_together(grants: tuple[str, ...], s: Subscription, d: Draft) -> tuple[str, ...]:
    """Make one grant of rests of the same terms; returns those that have credits left then, oldest first."""
    made, gone = [], set()
    for rests in _alike(grants, d):
        for g in rests:
            position = d.position(g.id)
            assert position is not None, "it was found in the row"
            d.restore(position, -g.remaining)
            gone.add(g.id)
        id = d.context.new_id("grt", d.at, d.account.bucket)
        total, terms = sum(g.remaining for g in rests), rests[0]
        source = {"subscription": s.id, "put_together": str(len(rests))}
        d.give(GrantTerms(id, total, terms.category, terms.priority, None, d.at, (), source))
        made.append(id)
    return (*made, *(id for id in grants if id not in gone))
