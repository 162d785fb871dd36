"""Grants: giving credits, taking them back, correcting a balance.

Refusals, in order:
- grant: account_not_found (`must_exist`), invalid (already over), too_many_grants, balance_limit
- void: account_not_found, grant_not_found, grant_ended, grant_archived, balance_limit
- adjust: account_not_found, then above zero as a grant: invalid, too_many_grants; below, unless `force`:
  insufficient_credits; then balance_limit
- set: account_not_found, invalid (already over), too_many_grants (where it gives), balance_limit
"""

from msgspec.structs import replace

from .commands import Adjust, GiveGrant, SetBalance, Void
from .draft import Draft
from .outcomes import Refusal, Refused
from .records import Category, Charge, GrantTerms, Slice

MAX_REPAYMENTS = 10_000
"""Debts that one grant repays at most, so that an entry stays of a size; the rest waits for the next grant."""


def grant(c: GiveGrant, d: Draft) -> Refused | None:
    """Give credits; unscoped ones repay debt first."""
    if refused := no_room(d, c.expires_at):
        return refused
    # After this point it must succeed.
    terms = GrantTerms(
        _grant_id(c.id), c.amount, c.category, c.priority, c.expires_at, d.at, c.scope, c.source
    )  # fmt: skip
    d.earn(c.amount)
    give_and_repay(terms, d)
    return None


def void(c: Void, d: Draft) -> Refused | None:
    """Take what is free now, mark what is pinned, owe what is spent. Other grants are not touched."""
    terms = d.context.grants.get((c.workspace, c.account, c.grant))
    if terms is None:
        return Refused(Refusal.GRANT_NOT_FOUND, {"grant": c.grant})
    if terms.voided:
        return Refused(Refusal.GRANT_ENDED, {"grant": c.grant})
    if is_archived(terms, d):
        return Refused(Refusal.GRANT_ARCHIVED, {"grant": c.grant})
    # What lapsed on the way to this decision is not in the history yet.
    gone = terms.gone + sum(amount for grant_id, amount in d.gone if grant_id == c.grant)
    position = d.position(c.grant)
    row = None if position is None else d.account.grants[position]
    spent = terms.amount - gone - terms.owed - (row.remaining if row else 0)
    # After this point it must succeed.
    d.body.ref = c.grant
    d.body.voided.append(c.grant)
    free = row.remaining - row.held if row else 0
    if position is not None and row is not None:
        if row.held:
            d.mark_voided(position)
        if free:
            d.drop(position, free)
    d.write_off(free + spent)
    if spent:
        owe(c.id, c.kind, spent, d)
    d.grants[terms.id] = replace(terms, voided=True)
    return None


def is_archived(terms: GrantTerms, d: Draft) -> bool:
    """Whether nothing can be done about a grant any more: see `checkpoint`."""
    archived = d.context.archived.get((d.account.workspace, d.account.id))
    return archived is not None and terms.created_at <= archived.at and terms.id not in archived.grants


def adjust(c: Adjust, d: Draft) -> Refused | None:
    """Give the difference as a grant, or write it off in burn order."""
    if c.amount > 0:
        if refused := no_room(d, c.expires_at):
            return refused
        _give(c.id, c.amount, c.category, c.expires_at, d)
        return None
    return _burn(c.id, c.kind, -c.amount, c.force, d)


def set_balance(c: SetBalance, d: Draft) -> Refused | None:
    """Make what can be spent of unscoped grants, without the allowance, the amount asked for."""
    difference = c.amount - (d.available() - d.account.settings.allowance)
    gives = c.amount > 0 if c.mode == "replace" else difference > 0
    if refused := no_room(d, c.expires_at, gives, replaces=c.mode == "replace"):
        return refused
    d.body.asked = c.asked or str(c.amount)
    if c.mode == "difference":
        if difference > 0:
            _give(c.id, difference, c.category, c.expires_at, d)
        return _burn(c.id, c.kind, -difference, False, d) if difference < 0 else None
    # After this point it must succeed.
    for position, row in enumerate(d.account.grants):
        free = row.remaining - row.held
        if free and not row.scope:
            d.drop(position, free)
            d.write_off(free)
    _forgive_debt(d)
    # What holds have set aside beyond the grants has to be covered as well before the amount can be spent.
    short = c.amount - (d.available() - d.account.settings.allowance)
    if short > 0:
        _give(c.id, short, c.category, c.expires_at, d)
    return None


def give_and_repay(terms: GrantTerms, d: Draft) -> None:
    """Add a grant; if it is unscoped it repays debt, oldest first, and counts as burnt by the charge that made it."""
    d.give(terms)
    repay(terms, terms.amount, d)


def repay(terms: GrantTerms, left: int, d: Draft) -> None:
    """Let what is left of a grant that was just given repay debt, unless it has a scope."""
    if terms.scope or not d.account.debt:
        return
    for charge_id in _owing(d)[:MAX_REPAYMENTS]:
        charge = d.charges.get(charge_id) or d.context.charges[charge_id]
        part = min(charge.debt, left)
        if not part:
            continue
        _burn_for(charge, terms.id, part, d)
        left -= part
        if not left:
            return


def _burn_for(charge: Charge, grant_id: str, part: int, d: Draft) -> None:
    position = d.position(grant_id)
    assert position is not None, "a grant that was just given is in the row"
    d.restore(position, -part)
    d.forgive(charge.id, part)
    d.body.repaid.append((charge.id, grant_id, part))
    slices = (*charge.slices, Slice(grant_id, part))
    d.charges[charge.id] = replace(charge, debt=charge.debt - part, slices=slices)


def _forgive_debt(d: Draft) -> None:
    for charge_id in _owing(d):
        charge = d.charges.get(charge_id) or d.context.charges[charge_id]
        if charge.debt:
            d.forgive(charge_id, charge.debt)
            d.write_off(-charge.debt)
            d.charges[charge_id] = replace(charge, debt=0, forgiven=charge.forgiven + charge.debt)


def _owing(d: Draft) -> list[str]:
    """Charges that may have debt, oldest first: those in the books, then those of holds that ended on the way."""
    known = d.context.owing.get((d.account.workspace, d.account.id), ())
    return [*known, *(charge_id for charge_id in d.charges if charge_id not in known)]


def _give(entry_id: str, amount: int, category: Category, expires_at: int | None, d: Draft) -> None:
    d.earn(amount)
    give_and_repay(GrantTerms(_grant_id(entry_id), amount, category, 50, expires_at, d.at), d)


def _burn(entry_id: str, kind: str, amount: int, force: bool, d: Draft) -> Refused | None:
    available = d.available()
    if amount > available and not force:
        return insufficient(amount, available)
    # After this point it must succeed.
    left = amount
    for position, row in enumerate(d.account.grants):
        part = min(row.remaining - row.held, left)
        if part > 0 and not row.scope:
            d.drop(position, part)
            left -= part
    d.write_off(amount)
    if left:
        owe(entry_id, kind, left, d)
    return None


def owe(entry_id: str, kind: str, amount: int, d: Draft) -> None:
    """Debt that no charge made; it has a row like a charge's, so that grants can repay it."""
    a = d.account
    d.owe(entry_id, amount)
    d.charges[entry_id] = Charge(entry_id, kind, a.workspace, a.id, a.bucket, d.at, amount, 0, amount, 0, ())


def insufficient(required: int, available: int) -> Refused:
    """The refusal with what a face tells about it."""
    facts = {"required": required, "available": available, "deficit": required - available}
    return Refused(Refusal.INSUFFICIENT_CREDITS, facts)


def no_room(
    d: Draft, expires_at: int | None, gives: bool = True, *, replaces: bool = False, without: tuple[str, ...] = ()
) -> Refused | None:  # fmt: skip
    """Why no grant can be given: its date has passed, or there are as many as there may be when those are gone."""
    if expires_at is not None and expires_at <= d.at:
        return Refused(Refusal.INVALID, {"field": "expires_at", "message": "must be in the future"})
    limit = d.context.workspaces[d.account.workspace].settings.max_live_grants
    # What a replacing grant leaves: scoped ones, and those that a hold pins.
    staying = [g for g in d.account.grants if g.scope or g.held] if replaces else d.account.grants
    if without:
        staying = [g for g in staying if g.held or g.id not in without]
    if gives and len(staying) >= limit:
        return Refused(Refusal.TOO_MANY_GRANTS, {"limit": limit})
    return None


def _grant_id(entry_id: str) -> str:
    # An entry makes at most one grant of its own: they share the digits, so one tells the other.
    return "grt" + entry_id[3:]
