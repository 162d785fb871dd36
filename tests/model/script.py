"""Commands from bytes: each byte is one choice, so that a walk can be drawn by hypothesis (and shrunk) or by a seed."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from farthing.core import commands as ask
from tests.model.account import Account, Rules
from tests.model.model import Ledger
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
    "settle", "release", "extend", "extend", "extend", "refund", "refund", "refund", "void", "adjust", "set",
    "settings", "settings", "open", "lapse", "repeat", "repeat",
)  # fmt: skip


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
            kind = self._sensible(kind, account)
        make = getattr(self, "_make_" + kind)
        command: ask.Command = make(choices, now, account, {"workspace": workspace, "account": name, "at": now})
        if choices.one_in(4):
            command.key = choices.of(KEYS)
            command.final = choices.one_in(3)
            self.keyed = [*self.keyed[-7:], msgspec.structs.replace(command)]
        return command

    def _sensible(self, kind: str, a: Account) -> str:
        """The kind, or what has to come before it."""
        if (kind == "open") == bool(a.lines):
            return "charge" if a.lines else "grant"
        if kind in ("settle", "release", "extend") and not a.live_holds():
            return "hold"
        return {"refund": "charge"}.get(kind, kind) if not a.charges else kind

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

    def _make_open(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.CreateAccount(**who)

    def _make_lapse(self, choices: Choices, now: int, a: Account, who: dict[str, Any]) -> ask.Command:
        return ask.Lapse(**who)
