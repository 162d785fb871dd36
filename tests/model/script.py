"""Commands from bytes: each byte is one choice, so that a walk can be drawn by hypothesis (and shrunk) or by a seed."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from farthing.core import commands as ask
from farthing.core.subscription import end_key, renewal_key
from tests.model.account import Account, Rules
from tests.model.model import Ledger
from tests.model.subscribing import PLANS, Subscription
from tests.support import USED

T = TypeVar("T")

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

RULES = {
    "main": Rules(),
    "tight": Rules("lapse", refund_grace_days=1, hold_max_minutes=90, max_live_grants=4, max_live_holds=2),
}
ACCOUNTS = (("main", "alice"), ("main", "bob"), ("tight", "alice"), ("tight", "carl"))
WAITS = (
    1_000, 1, 1_000_000, MINUTE, MINUTE, MINUTE, MINUTE, 20 * MINUTE, 20 * MINUTE, 20 * MINUTE, HOUR, HOUR, HOUR,
    5 * HOUR, 5 * HOUR, DAY, DAY, 2 * DAY, 8 * DAY, 40 * DAY,
)  # fmt: skip
AMOUNTS = (10, 1, 2, 3, 5, 7, 20, 50, 100, 30, 4, 8, 12, 6, 40, 0)
GRANTED = (100, 50, 200, 20, 30, 10, 5, 150, 80, 0)
SCOPES = ((), (), (), ("chat",), ("operation:im*", "model:m1"), ("service:s1",))
OPERATIONS = ("", "chat", "image")
ATTRIBUTES: tuple[dict[str, str], ...] = ({}, {}, {"model": "m1"}, {"service": "s1", "model": "m2"})
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Nowhere/Land")
KEYS = tuple(f"k{number}" for number in range(60))
KINDS = (
    "charge", "charge", "charge", "charge", "grant", "grant", "grant", "hold", "hold", "hold", "settle", "settle",
    "settle", "release", "release", "extend", "extend", "extend", "refund", "refund", "refund", "void", "adjust", "set",
    "settings", "settings", "open", "lapse", "repeat", "repeat", "subscribe", "renew", "renew", "renew", "renew",
    "unsubscribe", "resume", "change", "end", "import",
)  # fmt: skip
OF_SUBSCRIPTIONS = {"subscribe", "renew", "unsubscribe", "resume", "change", "end"}


class Choices:
    """Choices read from bytes, one byte each; what has run out chooses the first."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)

    def below(self, n: int) -> int:
        return next(self._data, 0) % n

    def of(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def one_in(self, n: int) -> bool:
        """True for the last of n, so that a shrunk walk has few of what is rare."""
        return self.below(n) == n - 1


class Script:
    """Makes commands that fit what the model knows, and some that don't."""

    def __init__(self, model: Ledger) -> None:
        self.model = model
        self.keyed: list[ask.Command] = []
        """The last commands that carried a key."""

    def command(self, choices: Choices, now: int) -> ask.Command:
        """A command for that instant."""
        workspace, name = choices.of(ACCOUNTS)
        kind = choices.of(KINDS)
        if kind == "repeat" and self.keyed:
            return self._repeat(choices, now)
        account = self.model.accounts.get((workspace, name)) or Account(RULES[workspace])
        if not choices.one_in(12):
            kind = self._sensible(kind, account, now)
        make = getattr(self, "_make_" + kind)
        command: ask.Command = make(choices, now, account, {"workspace": workspace, "account": name, "at": now})
        own = not command.key and choices.one_in(4)
        if own:
            command.key = choices.of(KEYS)
            command.final = choices.one_in(3)
        if command.key:
            self.keyed = [*self.keyed[-7:], msgspec.structs.replace(command)]
        return command

    def _sensible(self, kind: str, a: Account, now: int) -> str:
        """The kind, or what has to come before it."""
        if (kind == "open") == bool(a.lines):
            return "charge" if a.lines else "open" if kind in ("release", "extend", "lapse") else "grant"
        if kind in OF_SUBSCRIPTIONS:
            return self._sensible_of(kind, a, now)
        if kind in ("settle", "release", "extend") and not a.live_holds():
            return "hold"
        return {"refund": "charge"}.get(kind, kind) if not a.charges else kind

    def _sensible_of(self, kind: str, a: Account, now: int) -> str:
        s: Subscription | None = a.subscription
        if s is None or s.ended is not None:
            return "subscribe"
        if s.ends is not None and s.ends <= now:
            return kind if kind == "subscribe" else "end"
        return "resume" if s.canceled is not None and kind in ("unsubscribe", "change") else kind

    def _repeat(self, choices: Choices, now: int) -> ask.Command:
        command = msgspec.structs.replace(choices.of(self.keyed), id="", at=now)
        if choices.one_in(4):
            command.operation = choices.of(OPERATIONS)
        elif choices.one_in(4) and getattr(command, "amount", None) is not None:
            command.amount = choices.of(AMOUNTS)  # type: ignore[attr-defined]
        elif choices.one_in(4):
            command.workspace, command.account = choices.of(ACCOUNTS)
        return command

    def _make_repeat(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return self._make_charge(choices, now, a, who)

    def _make_charge(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.TakeCharge(
            **who,
            amount=choices.of(AMOUNTS),
            shortfall=choices.of(("refuse", "refuse", "take", "debt")),
            operation=choices.of(OPERATIONS),
            attributes=choices.of(ATTRIBUTES),
            usage=USED if choices.one_in(3) else None,
        )

    def _make_grant(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.GiveGrant(
            **who,
            amount=choices.of(GRANTED),
            category=choices.of(("paid", "promotional")),
            priority=choices.of((50, 50, 10, 90)),
            expires_at=self._date(choices, now),
            scope=choices.of(SCOPES),
            must_exist=choices.one_in(4),
            claim=("shop", choices.of(("p1", "p2", "p3"))) if choices.one_in(6) else None,
        )

    def _make_import(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        granted = choices.of(GRANTED)
        return ask.Import(
            **who,
            granted=granted,
            remaining=choices.of((granted, granted // 2, 0, 7)),
            owed=choices.of((0, 0, 15)) if granted else choices.of(AMOUNTS),
            priority=choices.of((50, 10)),
            expires_at=self._date(choices, now),
            given_at=choices.of((None, now - DAY, now, now + 1)),
            scope=choices.of(SCOPES),
            claim=("shop", choices.of(("p1", "p2", "p3"))) if choices.one_in(6) else None,
        )

    def _date(self, choices: Choices, now: int) -> int | None:
        after = choices.of((None, None, HOUR, DAY, 3 * DAY, 30 * DAY, MINUTE, 30 * MINUTE, 1, 0, HOUR))
        return None if after is None else now + after

    def _make_hold(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.PlaceHold(
            **who,
            amount=choices.of(AMOUNTS),
            ttl=choices.of((HOUR, HOUR, 30 * MINUTE, MINUTE, 80 * MINUTE, 3 * HOUR, DAY, 1, 1_000)),
            on_expiry=choices.of(("release", "metered", "all")),
            operation=choices.of(OPERATIONS),
            attributes=choices.of(ATTRIBUTES),
        )

    def _a_hold(self, choices: Choices, a: Account, who: dict[str, Any]) -> dict[str, Any]:
        """Mostly one of the account's own holds, mostly live; sometimes named without its account."""
        pick = choices.below(8)
        live = [h.id for h in a.live_holds()]
        every = list(a.holds)
        strangers = [h for other in self.model.accounts.values() for h in other.holds]
        pool = live if pick < 6 and live else every if pick < 7 else strangers
        named = {**who, "hold": choices.of(pool) if pool else "hold_" + "0" * 32}
        if choices.one_in(4):
            named["account"] = ""
        return named

    def _make_settle(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.Settle(
            **self._a_hold(choices, a, who),
            amount=choices.of((*AMOUNTS, None, None)),
            last=not choices.one_in(3),
            shortfall=choices.of(("refuse", "take", "debt")),
            late=choices.of(("refuse", "charge")),
        )

    def _make_release(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.Release(**self._a_hold(choices, a, who))

    def _make_extend(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.Extend(
            **self._a_hold(choices, a, who),
            metered=choices.of((None, None, 1, 2, 3, 5, 10, 20)),
            raise_by=choices.of((0, 0, 5, 1, 20)),
            expires_at=choices.of((None, None, None, now + HOUR, now + 70 * MINUTE, now + DAY, now + 1, now)),
        )

    def _make_refund(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        if choices.one_in(3):
            return ask.Refund(**who, amount=choices.of(AMOUNTS))
        pick = choices.below(8)
        pool = [c.id for c in a.charges[-6:]]
        if pick == 7:
            pool = [c.id for other in self.model.accounts.values() for c in other.charges]
        charge = choices.of(pool) if pool else "ent_" + "0" * 32
        return ask.Refund(**who, charge=charge, amount=choices.of((*AMOUNTS, None, None, None, None)))

    def _make_void(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        pick = choices.below(8)
        pool = [g.id for g in a.grants[-5:]] if pick < 3 else [g.id for g in a.live_grants()]
        if pick == 7:
            pool = [g.id for other in self.model.accounts.values() for g in other.grants]
        return ask.Void(**who, grant=choices.of(pool) if pool else "grt_" + "0" * 32)

    def _make_adjust(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.Adjust(
            **who,
            amount=choices.of(AMOUNTS) * choices.of((1, -1)),
            expires_at=self._date(choices, now),
            force=choices.one_in(3),
        )

    def _make_set(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.SetBalance(
            **who,
            amount=choices.of(AMOUNTS),
            mode=choices.of(("replace", "difference")),
            expires_at=self._date(choices, now),
        )

    def _make_settings(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        unset: Any = UNSET
        return ask.SetAccount(
            **who,
            allowance=choices.of((unset, unset, 0, 10, 25)),
            frozen=choices.of((unset, False, False)) if not choices.one_in(12) else True,
            spend_limit_day=choices.of((unset, unset, None, None, 40)),
            spend_limit_month=choices.of((unset, unset, None, None, 90)),
            timezone=choices.of(ZONES) if choices.one_in(4) else unset,
        )

    def _make_subscribe(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.Subscribe(
            **who,
            plan=self._plan(choices),
            expires_at=choices.of((None, None, None, now + 3 * DAY, now + 300 * DAY, now)),
            billed_by=choices.of(("none", "none", "stripe")),
            next_at=now + choices.of((-9 * DAY, -1, DAY)) if choices.one_in(5) else None,
            claim=self._claim(choices),
        )

    def _plan(self, choices: Choices) -> str:
        return choices.of((*PLANS, "none")) if choices.one_in(3) else choices.of(("free", "pro", "brief"))

    def _claim(self, choices: Choices) -> tuple[str, str] | None:
        return ("shop", choices.of(("p1", "p2", "p3", "p4", "p5", "p6"))) if choices.one_in(6) else None

    def _one(self, choices: Choices, a: Account) -> Subscription | None:
        """Mostly the account's own, sometimes that of another."""
        others = [x.subscription for x in self.model.accounts.values() if x.subscription]
        return choices.of(others) if others and choices.one_in(12) else a.subscription

    def _make_renew(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        s = self._one(choices, a)
        id, period_at = (s.id, s.next_at) if s else ("sub_" + "0" * 32, now)
        period_at -= DAY if choices.one_in(12) else 0
        paid = s is not None and s.biller != "none" and not choices.one_in(3)
        claim = ("shop", choices.of(("p4", "p5", "p6", "p7"))) if paid else self._claim(choices)
        return ask.Renew(
            **who,
            subscription=id,
            period_at=period_at,
            key=renewal_key(id, period_at),
            expires_at=choices.of((None, None, None, now + 90 * DAY, now)) if claim else None,
            claim=claim,
        )

    def _make_unsubscribe(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.Unsubscribe(**who, at_once=choices.one_in(4))

    def _make_resume(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.Resume(**who)

    def _make_change(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.ChangePlan(**who, plan=self._plan(choices))

    def _make_end(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        s = self._one(choices, a)
        id = s.id if s else "sub_" + "0" * 32
        return ask.EndSubscription(**who, subscription=id, key=end_key(id))

    def _make_open(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.CreateAccount(**who)

    def _make_lapse(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.Lapse(**who)
