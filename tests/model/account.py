"""One account of the plain model: grants, holds, charges and lines, what time does to them, and how credits move.

Everything there ever was is kept; sums are added up anew whenever they are asked for.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

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
        self.subscription: Any = None

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
        twin.subscription = copy.copy(self.subscription)
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

    def next_end(self) -> int | None:
        return min((h.ends for h in self.live_holds()), default=None)

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
                Grant(self.told_grant(), amount, amount, grant.category, grant.priority, expires, self.now, grant.scope)
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
