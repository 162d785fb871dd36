"""A plain model of the ledger's rules: lists and loops, nothing shared with the core, nothing clever.

It is told the commands in the order in which they were decided, works out what must come of each, and keeps every
grant, hold and charge there ever was. Sums are added up anew whenever they are asked for. The ids that the ledger
draws on its way (of expiries and stand-in grants) are told to it afterwards: they are no rule.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from farthing.core import commands as ask

NEVER = 1 << 62
MINUTE = 60_000_000
DAY = 1440 * MINUTE


@dataclass
class Rules:
    """What a workspace chose."""

    refund_lapsed: str = "grace"
    refund_grace_days: int = 7
    hold_max_minutes: int = 43_200
    max_live_grants: int = 1_000
    max_live_holds: int = 10_000


@dataclass
class Grant:
    id: str
    amount: int
    left: int
    category: str
    priority: int
    expires: int | None
    created: int
    scope: tuple[str, ...] = ()
    voided: bool = False
    gone: int = 0

    def order(self) -> tuple[Any, ...]:
        soonest = NEVER if self.expires is None else self.expires
        unscoped, paid = int(not self.scope), int(self.category == "paid")
        return (unscoped, self.priority, soonest, paid, self.created, self.id)

    def matches(self, operation: str, attributes: dict[str, str]) -> bool:
        if not self.scope:
            return True
        words = {"operation": operation, **attributes}
        for pattern in self.scope:
            name, wanted = ("operation", pattern)
            for known in ("operation", "service", "model", "product"):
                if pattern.startswith(known + ":"):
                    name, wanted = known, pattern[len(known) + 1 :]
            word = words.get(name, "")
            if word and (word == wanted or (wanted[-1:] == "*" and word[: len(wanted) - 1] == wanted[:-1])):
                return True
        return False


@dataclass
class Hold:
    id: str
    amount: int
    left: int
    ends: int
    made: int
    policy: str
    operation: str
    attributes: dict[str, str]
    settled: int = 0
    metered: int = 0
    state: str = "live"
    pins: dict[str, int] = field(default_factory=dict)


@dataclass
class Charge:
    """A charge, or whatever else left debt."""

    id: str
    kind: str
    at: int
    amount: int
    debt: int
    parts: list[tuple[str, int]]
    """Grant and credits, in the order burnt."""
    refunded: int = 0
    given_back: dict[int, int] = field(default_factory=dict)
    """Position in `parts` -> credits refunded from it."""
    forgiven: int = 0

    def refundable(self) -> int:
        return self.amount - self.refunded - self.forgiven


@dataclass
class Line:
    """An entry, as it must be."""

    number: int
    kind: str
    amount: int
    balance: int
    held: int
    debt: int
    at: int
    id: str | None
    key: str | None
    operation: str


@dataclass
class Verdict:
    """What must come of a command; `code` is empty when it is accepted."""

    code: str
    facts: dict[str, Any]
    line: Line | None = None


class Told:
    """The ids that the ledger drew, by the number of their entry."""

    def __init__(self, entries: dict[int, str] | None = None, grants: dict[int, list[str]] | None = None) -> None:
        self.entries = entries or {}
        self.grants = {number: iter(ids) for number, ids in (grants or {}).items()}

    def entry(self, number: int) -> str:
        return self.entries.get(number, f"untold-{number}")

    def grant(self, number: int) -> str:
        ids: Iterator[str] = self.grants.get(number, iter(()))
        return next(ids, f"untold-{number}")


class No(Exception):
    """A refusal."""

    def __init__(self, code: str, **facts: Any) -> None:
        super().__init__(code)
        self.verdict = Verdict(code, facts)


class Account:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.told = Told()
        self.now = 0
        self.grants: list[Grant] = []
        self.holds: dict[str, Hold] = {}
        self.charges: list[Charge] = []
        self.lines: list[Line] = []
        self.earned = self.spent = self.lapsed = self.written_off = 0
        self.allowance = 0
        self.frozen = False
        self.day_limit: int | None = None
        self.month_limit: int | None = None
        self.zone = "UTC"
        self.spends: list[tuple[int, int]] = []
        """Time of the charge, credits (negative where they came back)."""
        self.keys: dict[str, tuple[Any, Verdict]] = {}

    def copy(self) -> "Account":
        twin = copy.copy(self)
        twin.grants = [copy.copy(g) for g in self.grants]
        twin.holds = {h.id: copy.copy(h) for h in self.holds.values()}
        for hold in twin.holds.values():
            hold.pins = dict(hold.pins)
        twin.charges = [copy.copy(c) for c in self.charges]
        for charge in twin.charges:
            charge.given_back = dict(charge.given_back)
            charge.parts = list(charge.parts)
        twin.lines, twin.spends, twin.keys = list(self.lines), list(self.spends), dict(self.keys)
        return twin

    # Sums

    def live_holds(self) -> list[Hold]:
        return sorted((h for h in self.holds.values() if h.state == "live"), key=lambda h: (h.ends, h.id))

    def live_grants(self) -> list[Grant]:
        return sorted((g for g in self.grants if g.left), key=Grant.order)

    def pinned(self, grant: Grant) -> int:
        return sum(h.pins.get(grant.id, 0) for h in self.live_holds())

    def free(self, grant: Grant) -> int:
        return grant.left - self.pinned(grant)

    def balance(self) -> int:
        return sum(g.left for g in self.grants) - self.debt()

    def held(self) -> int:
        return sum(h.left for h in self.live_holds())

    def debt(self) -> int:
        return sum(c.debt for c in self.charges)

    def available(self, operation: str = "", attributes: dict[str, str] | None = None) -> int:
        usable = [g for g in self.live_grants() if g.matches(operation, attributes or {})]
        resting = self.held() - sum(self.pinned(g) for g in self.live_grants())
        return sum(self.free(g) for g in usable) - resting - self.debt() + self.allowance

    def next_lapse(self) -> int | None:
        return min((g.expires for g in self.grants if g.expires is not None and self.free(g)), default=None)

    def grant(self, id: str) -> Grant | None:
        return next((g for g in self.grants if g.id == id), None)

    def number(self) -> int:
        return len(self.lines)

    def time(self) -> int:
        return self.lines[-1].at if self.lines else 0

    # Lines

    def write(self, kind: str, id: str | None = None, key: str | None = None, operation: str = "") -> Line:
        before = self.lines[-1].balance if self.lines else 0
        balance = self.balance()
        line = Line(
            len(self.lines) + 1, kind, balance - before, balance, self.held(), self.debt(), self.now, id, key, operation
        )
        self.lines.append(line)
        return line

    def told_entry(self) -> str:
        return self.told.entry(len(self.lines) + 1)

    def told_grant(self) -> str:
        return self.told.grant(len(self.lines) + 1)

    # Time

    def wait(self, until: int) -> None:
        """What time does, each thing at its instant; a lapse before a hold that ends in the same one."""
        while True:
            lapse, ends = self.next_lapse(), [h.ends for h in self.live_holds()]
            if lapse is not None and lapse <= until and (not ends or lapse <= ends[0]):
                self.now = max(self.time(), lapse)
                for grant in self.live_grants():
                    if grant.expires is not None and grant.expires <= lapse:
                        self.lapse(grant, self.free(grant))
                self.write("lapse")
            elif ends and ends[0] <= until:
                self.now = max(self.time(), ends[0])
                hold = self.live_holds()[0]
                wanted = {"release": 0, "metered": hold.metered - hold.settled, "all": hold.left}[hold.policy]
                id = self.told_entry()
                self.take_from(hold, id, "expire", min(max(wanted, 0), hold.left))
                self.let_go(hold, "expired")
                self.write("expire", id, operation=hold.operation)
            else:
                break
        self.now = until

    def lapse(self, grant: Grant, amount: int) -> None:
        grant.left -= amount
        grant.gone += amount
        self.lapsed += amount

    def write_off(self, grant: Grant, amount: int) -> None:
        grant.left -= amount
        grant.gone += amount
        self.written_off += amount

    # Taking and giving

    def burn(self, amount: int, operation: str, attributes: dict[str, str]) -> list[tuple[str, int]]:
        parts = []
        for grant in self.live_grants():
            part = min(self.free(grant), amount)
            if part > 0 and grant.matches(operation, attributes):
                grant.left -= part
                amount -= part
                parts.append((grant.id, part))
        return parts

    def spend(self, amount: int, at: int) -> None:
        self.spent += amount
        self.spends.append((at, amount))

    def pin(self, hold: Hold, amount: int) -> None:
        for grant in self.live_grants():
            part = min(self.free(grant), amount)
            if part > 0 and grant.matches(hold.operation, hold.attributes):
                hold.pins[grant.id] = hold.pins.get(grant.id, 0) + part
                amount -= part

    def take_from(self, hold: Hold, id: str, kind: str, amount: int) -> None:
        """Charge an amount: first what the hold has set aside, then what is free, then as debt."""
        self.spend(amount, self.now)
        from_hold = min(amount, hold.left)
        to_pay = amount
        lost = 0
        parts: dict[str, int] = {}
        inside = from_hold
        for name in list(hold.pins):
            part = min(hold.pins[name], inside)
            inside -= part
            hold.pins[name] -= part
            grant = self.grant(name)
            assert grant is not None
            if grant.voided:
                self.write_off(grant, part)
                lost += part
            elif part:
                grant.left -= part
                parts[name] = part
                to_pay -= part
        hold.left -= from_hold
        hold.settled += amount
        for name, part in self.burn(to_pay - lost, hold.operation, hold.attributes):
            parts[name] = parts.get(name, 0) + part
            to_pay -= part
        self.charges.append(Charge(id, kind, self.now, amount, to_pay, list(parts.items())))

    def let_go(self, hold: Hold, state: str) -> None:
        """End a hold: what it still pinned goes back, or where its grant went meanwhile."""
        hold.left = 0
        pins, hold.pins, hold.state = hold.pins, {}, state
        for name, part in pins.items():
            grant = self.grant(name)
            assert grant is not None
            if grant.voided:
                self.write_off(grant, part)
            elif grant.expires is not None and grant.expires <= self.now:
                self.lapse(grant, part)

    def give(self, grant: Grant) -> None:
        """Add a grant; if it is unscoped it repays debt, oldest first."""
        self.grants.append(grant)
        for charge in sorted(self.charges, key=lambda c: c.id):
            part = min(charge.debt, grant.left)
            if part and not grant.scope:
                grant.left -= part
                charge.debt -= part
                charge.parts.append((grant.id, part))

    def give_back(self, name: str, amount: int) -> None:
        """Refunded credits, into the grant they came from or what stands for it."""
        grant = self.grant(name)
        assert grant is not None
        lapsed = grant.expires is not None and grant.expires <= self.now
        if lapsed and not grant.voided and self.rules.refund_lapsed == "lapse":
            grant.left += amount
            self.lapse(grant, amount)
        elif lapsed or grant.voided:
            expires = self.now + self.rules.refund_grace_days * DAY
            self.give(
                Grant(
                    self.told_grant(), amount, amount, grant.category, grant.priority, expires, self.now, grant.scope
                )
            )
        else:
            grant.left += amount

    def owe(self, id: str, kind: str, amount: int) -> None:
        if amount:
            self.charges.append(Charge(id, kind, self.now, amount, amount, []))

    # What a command may meet

    def must_be_enough(self, amount: int, available: int) -> None:
        if amount > available and amount > 0:
            raise No("insufficient_credits", required=amount, available=available, deficit=amount - available)

    def must_be_in_limits(self, amount: int) -> None:
        local = datetime.fromtimestamp(self.now // 1_000_000, ZoneInfo(self.zone))
        day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        month = day.replace(day=1)
        for name, limit, since in (("day", self.day_limit, day), ("month", self.month_limit, month)):
            from_us = (since - datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))) // timedelta(microseconds=1)
            used = sum(spent for at, spent in self.spends if at >= from_us) + self.held()
            if limit is not None and amount and used + amount > limit:
                raise No("spend_limit", period=name, limit=limit, left=max(limit - used, 0), required=amount)

    def must_not_be_frozen(self) -> None:
        if self.frozen:
            raise No("frozen")

    def must_be_future(self, date: int | None) -> None:
        if date is not None and date <= self.now:
            raise No("invalid", field="expires_at")

    def must_have_room(self, grants: int) -> None:
        if grants >= self.rules.max_live_grants:
            raise No("too_many_grants", limit=self.rules.max_live_grants)


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
        claim = (c.workspace, *c.claim) if isinstance(c, ask.GiveGrant) and c.claim else None
        if claim in self.payments:
            whose, verdict = self.payments[claim]
            if whose != name:
                assert verdict.line is not None
                return Verdict("payment_claimed", {"payment": ":".join(claim[1:]), "entry": verdict.line.id})
            return verdict
        if before is None:
            opens = isinstance(c, ask.CreateAccount) or (isinstance(c, ask.GiveGrant) and not c.must_exist)
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
        return "amount" if c.amount < 0 or (c.amount == 0 and not c.has_usage) else ""
    if isinstance(c, ask.GiveGrant | ask.PlaceHold):
        return "amount" if c.amount <= 0 else ""
    if isinstance(c, ask.Refund) and (c.charge is None or c.amount is not None):
        return "amount" if not c.amount or c.amount < 0 else ""
    if isinstance(c, ask.Adjust):
        return "amount" if c.amount == 0 else ""
    if isinstance(c, ask.Extend):
        return "expires_at" if c.expires_at is None and c.raise_by == 0 and c.metered is None else ""
    return ""


def what_was_asked(c: Any, account: Account | None) -> Any:
    """What makes two commands the same under one key."""
    amount, other = getattr(c, "amount", None), None
    if isinstance(c, ask.Settle) and amount is None and c.last and account and c.hold in account.holds:
        amount = account.holds[c.hold].amount
    if isinstance(c, ask.Extend):
        other = (c.raise_by, c.metered, c.expires_at)
    elif isinstance(c, ask.SetBalance):
        other = c.mode
    elif isinstance(c, ask.SetAccount):
        other = tuple(str(getattr(c, name)) for name in ask.SETTING_FIELDS)
    ref = getattr(c, "hold", None) or getattr(c, "charge", None) or getattr(c, "grant", None)
    return (c.kind, amount, other, c.operation, ref, getattr(c, "source", None))


# The rules of each kind: raise a refusal, or change the account and return the operation that its entry names.


def open_account(a: Account, c: ask.CreateAccount) -> str:
    return c.operation


def settings(a: Account, c: ask.SetAccount) -> str:
    unset = ask.UNSET
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
    a.give(
        Grant("grt" + c.id[3:], c.amount, c.amount, c.category, c.priority, c.expires_at, a.now, tuple(c.scope))
    )
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
    hold = Hold(
        "hold" + c.id[3:], c.amount, c.amount, a.now + c.ttl, a.now, c.on_expiry, c.operation, c.attributes
    )
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
    ask.Adjust: adjust,
    ask.SetBalance: set_balance,
    ask.TakeCharge: charge,
    ask.Refund: refund,
    ask.PlaceHold: place,
    ask.Extend: extend,
    ask.Settle: settle,
    ask.Release: release,
}
