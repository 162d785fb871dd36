"""Replay: what an entry did to a hold, a charge or a spend window, worked out from its body alone."""

from msgspec.structs import replace

from .context import Calendar
from .records import Account, Body, Charge, Entry, Hold, HoldTerms, Slice, Window
from .refundable import CHARGES, charge_of


def placed(entry: Entry, terms: HoldTerms) -> Hold:
    """The hold that an entry placed."""
    return Hold(
        id=terms.id,
        workspace=entry.workspace,
        account=entry.account,
        bucket=entry.bucket,
        amount=terms.amount,
        remaining=terms.remaining,
        settled=0,
        metered=0,
        state=terms.state,
        on_expiry=terms.on_expiry or "release",
        operation=entry.operation,
        created_at=entry.at,
        expires_at=terms.expires_at or 0,
        slices=terms.slices,
        attributes=terms.attributes or {},
    )


def changed(hold: Hold, terms: HoldTerms, spent: int) -> Hold:
    """The hold after a later entry about it, which spent that much."""
    sums = dict(hold.slices)
    for grant, amount in terms.slices:
        sums[grant] = sums.get(grant, 0) + amount
    return replace(
        hold,
        amount=hold.amount + terms.amount,
        remaining=hold.remaining + terms.remaining,
        settled=hold.settled + spent,
        metered=hold.metered if terms.metered is None else terms.metered,
        state=terms.state,
        expires_at=terms.expires_at or hold.expires_at,
        slices=tuple((grant, amount) for grant, amount in sums.items() if amount),
    )


def owing(entry: Entry, debt: int) -> Charge:
    """The row of an entry that left debt: a charge, or an act that made debt and nothing else."""
    if entry.kind in CHARGES:
        return charge_of(entry)
    e = entry
    return Charge(e.id, e.kind, e.workspace, e.account, e.bucket, e.at, debt, 0, debt, 0, ())


def give_back(slices: tuple[Slice, ...], grant: str, amount: int) -> tuple[Slice, ...] | None:
    """The slices of a charge after a refund to one of its grants ('': to none, it was unpaid debt); None when
    they have not so much of it."""
    if not grant:
        return slices
    for position, s in enumerate(slices):
        if s.grant == grant and s.refunded + amount <= s.amount:
            return (*slices[:position], Slice(grant, s.amount, s.refunded + amount), *slices[position + 1 :])
    return None


def unreturned(body: Body) -> dict[str, int]:
    """What of a refund did not go back to its grant, nor to one that stands in for it, nor lapsed with it."""
    due: dict[str, int] = {}
    for _, grant, amount in body.refunds:
        if grant:
            due[grant] = due.get(grant, 0) + amount
    for grant, remaining, _ in body.slices:
        if grant in due:
            due[grant] -= remaining
    # A stand-in may repay debt of a charge that is refunded next, by the same command.
    for _, grant, amount in body.repaid:
        if grant in due:
            due[grant] -= amount
    for terms in body.grants:
        due[terms.origin] = due.get(terms.origin, 0) - terms.amount
    for grant, amount in body.gone:
        due[grant] = due.get(grant, 0) - amount
    return {grant: amount for grant, amount in due.items() if amount}


def spend(account: Account, at: int, amount: int, since: int, calendar: Calendar) -> Window:
    """The spend window after credits were spent at that instant, for a charge of `since`."""
    w = account.window
    if w is None or not (w.day_from <= at < w.day_until and at < w.month_until):
        day, day_end, month, month_end = calendar(at, account.settings.timezone)
        spent = w.month_spent if w is not None and w.month_from == month else 0
        w = Window(day, day_end, 0, month, month_end, spent)
    return replace(
        w,
        day_spent=w.day_spent + (amount if since >= w.day_from else 0),
        month_spent=w.month_spent + (amount if since >= w.month_from else 0),
    )
