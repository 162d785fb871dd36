"""A plain model of the ledger's rules: lists and loops, nothing shared with the core, nothing clever.

It is told the commands in the order in which they were decided, and works out what must come of each. The ids that the
ledger draws on its way (of expiries and stand-in grants) are told to it afterwards: they are no rule.
"""

from typing import Any

from msgspec import UNSET

from farthing.core import commands as ask
from tests.model import subscribing
from tests.model.account import MINUTE, Account, Charge, Grant, Hold, No, Rules, Told, Verdict

CLAIMS = (ask.GiveGrant, ask.Subscribe, ask.Renew, ask.Import)


class Ledger:
    """All accounts of all workspaces."""

    def __init__(self, rules: dict[str, Rules]) -> None:
        self.rules = rules
        self.accounts: dict[tuple[str, str], Account] = {}
        self.payments: dict[tuple[str, str, str], tuple[str, Verdict]] = {}

    def owner_of(self, workspace: str, hold: str) -> str:
        for (where, name), account in self.accounts.items():
            if where == workspace and hold in account.holds:
                return name
        return ""

    def decide(self, c: ask.Command, told: Told) -> Verdict:
        """What must come of a command; the model is changed accordingly."""
        if field_name := ill_formed(c):
            return Verdict("invalid", {"field": field_name})
        name = c.account or self.owner_of(c.workspace, getattr(c, "hold", ""))
        if not name:
            return Verdict("hold_not_found", {"hold": getattr(c, "hold", "")})
        before = self.accounts.get((c.workspace, name))
        if c.key and before and c.key in before.keys:
            return self.repeat(c, before)
        claim = (c.workspace, *c.claim) if isinstance(c, CLAIMS) and c.claim else None
        if claim in self.payments:
            whose, verdict = self.payments[claim]
            assert verdict.line is not None
            credits = verdict.line.kind in ("grant", "import")
            if whose != name or (credits and not isinstance(c, ask.GiveGrant | ask.Import)):
                return Verdict("payment_claimed", {"payment": ":".join(claim[1:]), "entry": verdict.line.id})
            return verdict
        if before is None:
            opens = isinstance(c, ask.CreateAccount | ask.Subscribe | ask.Import) or (
                isinstance(c, ask.GiveGrant) and not c.must_exist
            )
            if not opens:
                return Verdict("account_not_found", {"account": name})
        elif isinstance(c, ask.CreateAccount):
            return Verdict("account_exists", {"account": name})
        verdict = self.carry_out(c, name, before, told)
        if claim and not verdict.code:
            self.payments[claim] = (name, verdict)
        return verdict

    def carry_out(self, c: ask.Command, name: str, before: Account | None, told: Told) -> Verdict:
        account = before.copy() if before else Account(self.rules[c.workspace])
        account.told = told
        content = what_was_asked(c, before)
        account.now = c.at
        if before is None and not isinstance(c, ask.CreateAccount):
            account.write("open")
        account.wait(max(c.at, account.time()))
        if isinstance(c, ask.Lapse):
            self.accounts[c.workspace, name] = account
            return Verdict("", {})
        try:
            operation = RULES[type(c)](account, c)
        except No as no:
            verdict = no.verdict
            if not (c.final and c.key and before):
                return verdict
            account = before.copy()
            account.told = told
            account.wait(max(c.at, account.time()))
            verdict.line = account.write("refusal", c.id, c.key, c.operation)
        else:
            verdict = Verdict("", {}, account.write(c.kind, c.id, c.key, operation))
        if c.key:
            account.keys[c.key] = (content, verdict)
        self.accounts[c.workspace, name] = account
        return verdict

    def repeat(self, c: ask.Command, account: Account) -> Verdict:
        assert c.key is not None
        content, verdict = account.keys[c.key]
        if content == what_was_asked(c, account):
            return verdict
        assert verdict.line is not None
        return Verdict("key_conflict", {"key": c.key, "entry": verdict.line.id})


def ill_formed(c: ask.Command) -> str:
    """The field that can't be right, whatever the books say."""
    if isinstance(c, ask.TakeCharge):
        return "amount" if c.amount < 0 or (c.amount == 0 and c.usage is None) else ""
    if isinstance(c, ask.GiveGrant | ask.PlaceHold):
        return "amount" if c.amount <= 0 else ""
    if isinstance(c, ask.Refund) and (c.charge is None or c.amount is not None):
        return "amount" if not c.amount or c.amount < 0 else ""
    if isinstance(c, ask.Adjust):
        return "amount" if c.amount == 0 else ""
    if isinstance(c, ask.Import):
        return "remaining" if c.remaining > c.granted else "owed" if c.granted and c.owed else ""
    if isinstance(c, ask.Extend):
        return "expires_at" if c.expires_at is None and c.raise_by == 0 and c.metered is None else ""
    return ""


def what_was_asked(c: Any, account: Account | None) -> Any:
    """What makes two commands the same under one key."""
    if isinstance(c, ask.Renew | ask.EndSubscription):
        return (c.kind, c.subscription)
    amount: Any = getattr(c, "amount", None)
    other: Any = None
    if isinstance(c, ask.Settle) and amount is None and c.last and account and c.hold in account.holds:
        amount = account.holds[c.hold].amount
    if isinstance(c, ask.Extend):
        other = (c.raise_by, c.metered, c.expires_at)
    elif isinstance(c, ask.SetBalance):
        other = c.mode
    elif isinstance(c, ask.SetAccount):
        other = tuple(str(getattr(c, name)) for name in ask.SETTING_FIELDS)
    elif isinstance(c, ask.Subscribe):
        other = c.billed_by
    elif isinstance(c, ask.Unsubscribe):
        other = c.at_once
    elif isinstance(c, ask.Import):
        terms = (c.category, c.priority, c.expires_at, c.given_at, c.scope, c.claim)
        return (c.kind, c.granted, c.remaining, c.owed, c.credited, terms)
    ref = getattr(c, "hold", None) or getattr(c, "charge", None) or getattr(c, "grant", None)
    ref = ref or getattr(c, "plan", None)
    return (c.kind, amount, other, c.operation, ref, getattr(c, "source", None))


# The rules of each kind: raise a refusal, or change the account and return the operation that its entry names.


def open_account(a: Account, c: ask.CreateAccount) -> str:
    return c.operation


def settings(a: Account, c: ask.SetAccount) -> str:
    unset = UNSET
    if c.timezone is not unset and c.timezone != a.zone:
        if c.timezone == "Nowhere/Land":
            raise No("invalid", field="timezone")
        a.zone, a.spends = c.timezone, []
    a.allowance = a.allowance if c.allowance is unset else c.allowance
    a.frozen = a.frozen if c.frozen is unset else c.frozen
    a.day_limit = a.day_limit if c.spend_limit_day is unset else c.spend_limit_day
    a.month_limit = a.month_limit if c.spend_limit_month is unset else c.spend_limit_month
    return c.operation


def grant(a: Account, c: ask.GiveGrant) -> str:
    a.must_be_future(c.expires_at)
    a.must_have_room(len(a.live_grants()))
    a.earned += c.amount
    a.give(Grant("grt" + c.id[3:], c.amount, c.amount, c.category, c.priority, c.expires_at, a.now, tuple(c.scope)))
    return c.operation


def bring(a: Account, c: ask.Import) -> str:
    if c.remaining:
        a.must_have_room(len(a.live_grants()))
    a.earned += c.granted
    a.spent += c.granted - c.remaining + c.owed
    if c.granted:
        given = a.now if c.given_at is None else min(c.given_at, a.now)
        grant = Grant(
            "grt" + c.id[3:], c.granted, c.remaining, c.category, c.priority, c.expires_at, given, tuple(c.scope)
        )  # fmt: skip
        over = c.expires_at is not None and c.expires_at <= a.now
        (a.grants.append if over else a.give)(grant)
    a.owe(c.id, "import", c.owed)
    return c.operation


def void(a: Account, c: ask.Void) -> str:
    grant = a.grant(c.grant)
    if grant is None:
        raise No("grant_not_found", grant=c.grant)
    if grant.voided:
        raise No("grant_ended", grant=c.grant)
    spent = grant.amount - grant.gone - grant.left
    grant.voided = True
    a.write_off(grant, a.free(grant))
    a.written_off += spent
    a.owe(c.id, "void", spent)
    return c.operation


def adjust(a: Account, c: ask.Adjust) -> str:
    if c.amount > 0:
        a.must_be_future(c.expires_at)
        a.must_have_room(len(a.live_grants()))
        a.earned += c.amount
        a.give(Grant("grt" + c.id[3:], c.amount, c.amount, c.category, 50, c.expires_at, a.now))
        return c.operation
    if not c.force:
        a.must_be_enough(-c.amount, a.available())
    write_off_free(a, c.id, "adjust", -c.amount)
    return c.operation


def write_off_free(a: Account, id: str, kind: str, amount: int) -> None:
    for grant in a.live_grants():
        part = min(a.free(grant), amount)
        if not grant.scope:
            a.write_off(grant, part)
            amount -= part
    a.written_off += amount
    a.owe(id, kind, amount)


def set_balance(a: Account, c: ask.SetBalance) -> str:
    a.must_be_future(c.expires_at)
    if c.mode == "difference":
        difference = c.amount - (a.available() - a.allowance)
        if difference < 0:
            write_off_free(a, c.id, "set", -difference)
            return c.operation
        give = difference
        if give:
            a.must_have_room(len(a.live_grants()))
    else:
        a.must_have_room(len([g for g in a.live_grants() if g.scope or a.pinned(g)]) if c.amount else -1)
        for grant in a.live_grants():
            if not grant.scope:
                a.write_off(grant, a.free(grant))
        for charge in a.charges:
            a.written_off -= charge.debt
            charge.forgiven += charge.debt
            charge.debt = 0
        give = c.amount - (a.available() - a.allowance)
    if give > 0:
        a.earned += give
        a.give(Grant("grt" + c.id[3:], give, give, c.category, 50, c.expires_at, a.now))
    return c.operation


def charge(a: Account, c: ask.TakeCharge) -> str:
    a.must_not_be_frozen()
    a.must_be_in_limits(c.amount)
    amount, available = c.amount, a.available(c.operation, c.attributes)
    if c.shortfall == "refuse":
        a.must_be_enough(amount, available)
    elif c.shortfall == "take":
        amount = min(amount, max(available, 0))
    a.spend(amount, a.now)
    parts = a.burn(amount, c.operation, c.attributes)
    debt = amount - sum(part for _, part in parts)
    a.charges.append(Charge(c.id, "charge", a.now, amount, debt, parts))
    return c.operation


def refund(a: Account, c: ask.Refund) -> str:
    usages = [x for x in a.charges if x.kind in ("charge", "settle", "expire")]
    if c.charge is None:
        charges = usages[::-1]
    else:
        charges = [x for x in usages if x.id == c.charge]
        if not charges:
            raise No("charge_not_found", charge=c.charge)
    most = sum(x.refundable() for x in charges)
    amount = most if c.amount is None else c.amount
    if amount == 0 or amount > most:
        raise No("refund_too_large", refundable=most)
    for x in charges:
        part = min(x.refundable(), amount)
        amount -= part
        refund_one(a, x, part)
    return c.operation


def refund_one(a: Account, x: Charge, amount: int) -> None:
    """Unpaid debt first, then the grants that were burnt last."""
    if not amount:
        return
    a.spend(-amount, x.at)
    x.refunded += amount
    unpaid = min(x.debt, amount)
    x.debt -= unpaid
    amount -= unpaid
    for position, (name, burnt) in reversed(list(enumerate(x.parts))):
        part = min(burnt - x.given_back.get(position, 0), amount)
        if part:
            x.given_back[position] = x.given_back.get(position, 0) + part
            amount -= part
            a.give_back(name, part)
    assert amount == 0


def place(a: Account, c: ask.PlaceHold) -> str:
    a.must_not_be_frozen()
    if len(a.live_holds()) >= a.rules.max_live_holds:
        raise No("too_many_holds", limit=a.rules.max_live_holds)
    if c.ttl > a.rules.hold_max_minutes * MINUTE:
        raise No("hold_too_long", max_minutes=a.rules.hold_max_minutes)
    a.must_be_in_limits(c.amount)
    a.must_be_enough(c.amount, a.available(c.operation, c.attributes))
    hold = Hold("hold" + c.id[3:], c.amount, c.amount, a.now + c.ttl, a.now, c.on_expiry, c.operation, c.attributes)
    a.pin(hold, c.amount)
    a.holds[hold.id] = hold
    return c.operation


def the_hold(a: Account, id: str) -> Hold:
    if id not in a.holds:
        raise No("hold_not_found", hold=id)
    if a.holds[id].state != "live":
        raise No("hold_ended", hold=id, state=a.holds[id].state)
    return a.holds[id]


def extend(a: Account, c: ask.Extend) -> str:
    hold = the_hold(a, c.hold)
    a.must_not_be_frozen()
    a.must_be_future(c.expires_at)
    if c.expires_at is not None and c.expires_at > hold.made + a.rules.hold_max_minutes * MINUTE:
        raise No("hold_too_long", max_minutes=a.rules.hold_max_minutes)
    most = hold.amount + c.raise_by
    if c.metered is not None and not hold.metered <= c.metered <= most:
        raise No("metered_invalid", metered=c.metered, at_least=hold.metered, at_most=most)
    if c.raise_by:
        a.must_be_in_limits(c.raise_by)
        a.must_be_enough(c.raise_by, a.available(hold.operation, hold.attributes))
        a.pin(hold, c.raise_by)
        hold.amount += c.raise_by
        hold.left += c.raise_by
    hold.metered = hold.metered if c.metered is None else c.metered
    hold.ends = hold.ends if c.expires_at is None else c.expires_at
    return c.operation or hold.operation


def settle(a: Account, c: ask.Settle) -> str:
    hold = a.holds.get(c.hold)
    late = hold is not None and hold.state == "expired" and c.late == "charge"
    if not late:
        hold = the_hold(a, c.hold)
    assert hold is not None
    amount = hold.left if c.amount is None else c.amount
    if late:
        amount = max((hold.amount if c.amount is None else c.amount) - hold.settled, 0)
    above = max(amount - hold.left, 0)
    if above:
        a.must_not_be_frozen()
        available = a.available(hold.operation, hold.attributes)
        if c.shortfall == "refuse" and not late:
            a.must_be_in_limits(above)
            a.must_be_enough(amount, available + hold.left)
        if c.shortfall == "take" and not late:
            amount -= above - min(above, max(available, 0))
    a.take_from(hold, c.id, "settle", amount)
    if late:
        hold.state = "settled"
    elif c.last:
        a.let_go(hold, "settled")
    return c.operation or hold.operation


def release(a: Account, c: ask.Release) -> str:
    hold = the_hold(a, c.hold)
    a.let_go(hold, "released")
    return c.operation or hold.operation


RULES: dict[type, Any] = {
    ask.CreateAccount: open_account,
    ask.SetAccount: settings,
    ask.GiveGrant: grant,
    ask.Void: void,
    ask.Import: bring,
    ask.Adjust: adjust,
    ask.SetBalance: set_balance,
    ask.TakeCharge: charge,
    ask.Refund: refund,
    ask.PlaceHold: place,
    ask.Extend: extend,
    ask.Settle: settle,
    ask.Release: release,
    **subscribing.RULES,
}
