"""Charges and refunds: credits taken for a usage, and given back where they came from.

Refusals, in order:
- charge: account_not_found, frozen, spend_limit, insufficient_credits (shortfall `refuse`), balance_limit
- refund: account_not_found, charge_archived, charge_not_found, refund_too_large
"""

from msgspec.structs import replace

from .checkpoint import Before
from .commands import DAY_US, Refund, TakeCharge
from .draft import Draft
from .grants import give_and_repay, insufficient
from .ids import bucket_in, made_at
from .outcomes import Refusal, Refused
from .records import Charge, Grant, GrantTerms, Slice
from .refundable import CHARGES, charge_of, refundable


def take_charge(c: TakeCharge, d: Draft) -> Refused | None:
    """Burn grants in order; what is missing goes by `shortfall`."""
    if d.account.settings.frozen:
        return Refused(Refusal.FROZEN)
    if refused := over_spend_limit(c.amount, d):
        return refused
    amount = c.amount
    available = d.available(c.operation, c.attributes)
    # What costs nothing needs nothing, even where there is debt.
    if amount > max(available, 0) and c.shortfall != "debt":
        if c.shortfall == "refuse":
            return insufficient(amount, available)
        amount = max(available, 0)
        d.body.unpaid = c.amount - amount
    # After this point it must succeed.
    d.spend(amount)
    paid = d.take(amount, c.operation, c.attributes)
    debt = amount - sum(s.amount for s in paid)
    if debt:
        a = d.account
        d.owe(c.id, debt)
        d.charges[c.id] = Charge(c.id, c.kind, a.workspace, a.id, a.bucket, d.at, amount, 0, debt, 0, tuple(paid))
    return None


def over_spend_limit(amount: int, d: Draft) -> Refused | None:
    """Refuse what would go over the day's or the month's limit, counting what holds may still take."""
    settings = d.account.settings
    if not amount or (settings.spend_limit_day is None and settings.spend_limit_month is None):
        return None
    window = d.window()
    for name, limit, spent in (
        ("day", settings.spend_limit_day, window.day_spent),
        ("month", settings.spend_limit_month, window.month_spent),
    ):
        if limit is not None and spent + d.account.held + amount > limit:
            left = max(limit - spent - d.account.held, 0)
            return Refused(Refusal.SPEND_LIMIT, {"period": name, "limit": limit, "left": left, "required": amount})
    return None


def refund(c: Refund, d: Draft) -> Refused | None:
    """Give back: unpaid debt first, then the grants that were burnt last."""
    charges = _charges_to_refund(c, d)
    if isinstance(charges, Refused):
        return charges
    left = sum(refundable(x) for x in charges) if c.amount is None else c.amount
    if not left or left > sum(refundable(x) for x in charges):
        return Refused(Refusal.REFUND_TOO_LARGE, {"refundable": sum(refundable(x) for x in charges)})
    # After this point it must succeed.
    d.body.ref = c.charge or ""
    for charge in charges:
        # A grant that stood in for an earlier one may have repaid this one's debt meanwhile.
        charge = d.charges.get(charge.id, charge)
        part = min(refundable(charge), left)
        if part:
            _refund_one(charge, part, d)
            left -= part
    return None


def _charges_to_refund(c: Refund, d: Draft) -> list[Charge] | Refused:
    context, owner = d.context, (d.account.workspace, d.account.id)
    if c.charge is None:
        # The newest are those of holds that ended on the way to this decision.
        ended = [charge_of(e) for e in reversed(d.entries) if e.kind in CHARGES]
        since = context.archived[owner].at if owner in context.archived else -1
        return [*ended, *(x for i in context.refundable[owner] if (x := context.charges[i]).at > since)]
    charge = context.charges.get(c.charge)
    if (archived := context.archived.get(owner)) and _is_archived(c.charge, charge, archived, d):
        return Refused(Refusal.CHARGE_ARCHIVED, {"charge": c.charge})
    if charge is None or charge.kind not in CHARGES or (charge.workspace, charge.account) != owner:
        return Refused(Refusal.CHARGE_NOT_FOUND, {"charge": c.charge})
    return [charge]


def _is_archived(id: str, charge: Charge | None, archived: Before, d: Draft) -> bool:
    """Whether a charge is of the time whose entries are archived. One that is owed is known, and no other."""
    at = charge.at if charge else made_at(id)
    return at is not None and at <= archived.at and bucket_in(id) == d.account.bucket


def _refund_one(charge: Charge, amount: int, d: Draft) -> None:
    d.spend(-amount, since=charge.at)
    unpaid = min(charge.debt, amount)
    if unpaid:
        d.forgive(charge.id, unpaid)
        d.body.refunds.append((charge.id, "", unpaid))
    left = amount - unpaid
    slices, back = list(charge.slices), []
    for position in range(len(slices) - 1, -1, -1):
        s = slices[position]
        part = min(s.amount - s.refunded, left)
        if part:
            slices[position] = Slice(s.grant, s.amount, s.refunded + part)
            back.append((s.grant, part))
            left -= part
    assert left == 0, f"charge {charge.id} has less in its slices than it says is refundable"
    # Before anything is given: a grant that stands in for one repays debt, and must not meet what was forgiven here.
    d.charges[charge.id] = replace(
        charge, refunded=charge.refunded + amount, debt=charge.debt - unpaid, slices=tuple(slices)
    )
    for grant_id, part in back:
        d.body.refunds.append((charge.id, grant_id, part))
        _give_back(grant_id, part, d)


def _give_back(grant_id: str, amount: int, d: Draft) -> None:
    """Into the grant it came from; one that has lapsed follows the workspace's rule, one voided gets a stand-in."""
    terms = _terms(grant_id, d)
    lapsed = terms.expires_at is not None and terms.expires_at <= d.at
    if terms.voided or lapsed:
        _stand_in(terms, amount, d)
        return
    position = d.position(grant_id)
    if position is None:
        d.revive(terms, amount)
    else:
        d.restore(position, amount)


def _terms(grant_id: str, d: Draft) -> GrantTerms | Grant:
    owner = (d.account.workspace, d.account.id)
    if known := d.grants.get(grant_id) or d.context.grants.get((*owner, grant_id)):
        return known
    # Burnt by a hold that ended on the way: it stood in the row when this decision began.
    before = d.context.accounts[owner]
    return next(g for g in before.grants if g.id == grant_id)


def _stand_in(origin: GrantTerms | Grant, amount: int, d: Draft) -> None:
    settings = d.context.workspaces[d.account.workspace].settings
    if settings.refund_lapsed == "lapse" and not origin.voided:
        d.lapse(amount)
        d.body.gone.append((origin.id, amount))
        return
    a = d.account
    terms = GrantTerms(
        d.context.new_id("grt", d.at, a.bucket), amount, origin.category, origin.priority,
        d.at + settings.refund_grace_days * DAY_US, d.at, origin.scope, origin=origin.id,
    )  # fmt: skip
    give_and_repay(terms, d)
