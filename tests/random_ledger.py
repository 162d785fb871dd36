"""Ledgers made by random commands: every kind, in batches, with time passing inside them.

A ledger is a real file, written by the engine. The engine is not started: closing it runs what was submitted,
so that a seed always makes the same batches.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import apsw

from farthing.clock import ClockGuard, FakeClock
from farthing.core.commands import (
    Adjust,
    Command,
    CreateAccount,
    Extend,
    GiveGrant,
    Lapse,
    PlaceHold,
    Refund,
    Release,
    SetAccount,
    SetBalance,
    Settle,
    TakeCharge,
    Void,
)
from farthing.core.outcomes import Accepted
from farthing.core.records import Category, OnExpiry
from farthing.engine import Engine, Result
from farthing.stores import migrate, sqlite
from farthing.timezones import calendar

SECOND = 1_000_000
CHANCES = {
    "grant": 20, "charge": 22, "hold": 18, "settle": 14, "release": 5, "extend": 8, "refund": 14, "void": 4,
    "adjust": 5, "set": 3, "settings": 5, "open": 1, "lapse": 3,
}  # fmt: skip
SHORTFALLS: list[Literal["refuse", "take", "debt"]] = ["refuse", "take", "debt"]
POLICIES: list[OnExpiry] = ["release", "metered", "all"]
LATE: list[Literal["refuse", "charge"]] = ["refuse", "charge"]
MODES: list[Literal["replace", "difference"]] = ["replace", "difference"]
CATEGORIES: list[Category] = ["paid", "promotional"]
MAKES = {
    **dict.fromkeys(("grant", "adjust", "set"), "grt"),
    **dict.fromkeys(("charge", "settle"), "ent"),
    "hold": "hold",
}
WORKSPACES = {"grace": "{}", "lapse": '{"refund_lapsed":"lapse"}'}


def empty_ledger(path: Path) -> Path:
    """A database with two workspaces, one for each rule of refunds into lapsed grants."""
    db = sqlite.connect(path, create=True)
    migrate.migrate(db, migrate.discover("sqlite"), 1)
    for name, settings in WORKSPACES.items():
        row = (name, name.title(), "live", "credits", 6, 1, settings)
        db.execute("insert into workspace values (?, ?, ?, ?, ?, ?, ?, '')", row)
    db.close()
    return path


class Writer:
    """Writes to a ledger, batch by batch."""

    def __init__(self, path: Path, clock: FakeClock | None = None) -> None:
        self.path = path
        self.clock = clock or FakeClock()

    def run(self, commands: Iterator[Command] | list[Command], max_batch: int = 1) -> list[Result]:
        """Carry out commands; a generator may move the clock, and sees the ids of those before."""
        engine = Engine(
            sqlite.SqliteStore(sqlite.connect(self.path)),
            ClockGuard(self.clock),
            calendar,
            max_batch=max_batch,
            max_queue=1_000_000,
        )
        results: list[Result] = []
        for command in commands:
            engine.submit(command, results.append)
        engine.close()
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results

    def do(self, command: Command) -> Accepted:
        """Carry out one command that must be accepted."""
        (result,) = self.run([command])
        assert isinstance(result, Accepted), result
        return result


class RandomCommands:
    """Commands that get in each other's way: few accounts, small amounts, short lives."""

    def __init__(self, seed: int, clock: FakeClock, accounts: int = 3) -> None:
        self.random = random.Random(seed)
        self.clock = clock
        self.owners = [(w, f"account {i}") for w in WORKSPACES for i in range(accounts)]
        self.made: dict[tuple[str, tuple[str, str]], list[str]] = {}
        """Digits of the ids of commands by what they may have made and for whom; what they made has them too."""

    def commands(self, count: int) -> Iterator[Command]:
        """So many commands; between them time passes."""
        # Nobody can know the id of a charge before it was answered, which is after its batch.
        self.charges = {owner: list(self.made.get(("ent", owner), [])) for owner in self.owners}
        for _ in range(count):
            owner = self.random.choice(self.owners)
            command = self._command(owner)
            if self.random.random() < 0.4:
                command.key = f"key {self._number(0, 300)}"
            if command.key and self.random.random() < 0.3:
                command.final = True
            if self.random.random() < 0.1:
                command.description, command.metadata = "für später", '{"a":1}'
            yield command
            self.made.setdefault((MAKES.get(command.kind, ""), owner), []).append(command.id[4:])
            self.clock.advance(us=self.random.choice([0, 0, 0, 1, 1000, SECOND, 2 * SECOND, 9 * SECOND]))
            if self.random.random() < 0.01:
                self.clock.advance(self.random.choice([3600, 12 * 3600]))

    def _number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def _maybe(self, chance: float, value: int) -> int | None:
        return value if self.random.random() < chance else None

    def _named(self, prefix: str, owner: tuple[str, str]) -> str:
        """An id of something recent of that account; now and then of somebody else's, or of nothing."""
        if self.random.random() < 0.02:
            owner = self.random.choice(self.owners)
        made = self.charges[owner] if prefix == "ent" else self.made.get((prefix, owner), [])
        made = made[-5:]
        return f"{prefix}_{self.random.choice(made)}" if made else f"{prefix}_{'0' * 32}"

    def _later(self) -> int:
        return self.clock.now_us() + self._number(1, 60) * SECOND

    def _command(self, owner: tuple[str, str]) -> Command:
        to: dict[str, Any] = {"workspace": owner[0], "account": owner[1]}
        amount = self._number(1, 60)
        operation = self.random.choice(["", "chat", "image.make"])
        shortfall = self.random.choice(SHORTFALLS)
        kind = self.random.choices(list(CHANCES), list(CHANCES.values()))[0]
        match kind:
            case "grant":
                return self._grant(to, amount)
            case "charge":
                attributes = {"model": "gpt-4o"} if self.random.random() < 0.3 else {}
                return TakeCharge(**to, amount=amount, shortfall=shortfall, operation=operation, attributes=attributes)
            case "hold":
                policy = self.random.choice(POLICIES)
                ttl = self.random.choice([1, 2 * SECOND, 60 * SECOND, 600 * SECOND, 600 * SECOND])
                return PlaceHold(**to, amount=amount, ttl=ttl, on_expiry=policy, operation=operation)
            case "settle":
                late = self.random.choice(LATE)
                last = self.random.random() < 0.6
                take = self._maybe(0.7, self._number(0, 80))
                hold = self._named("hold", owner)
                return Settle(**to, hold=hold, amount=take, last=last, shortfall=shortfall, late=late)
            case "release":
                return Release(**to, hold=self._named("hold", owner))
            case "extend":
                end, metered = self._maybe(0.6, self._later()), self._maybe(0.4, self._number(0, 10))
                raised = self.random.choice([0, 0, self._number(1, 20)])
                return Extend(**to, hold=self._named("hold", owner), expires_at=end, raise_by=raised, metered=metered)
            case "refund":
                charge = self._named("ent", owner) if self.random.random() < 0.7 else None
                return Refund(**to, charge=charge, amount=amount if charge is None else self._maybe(0.6, amount))
            case "void":
                return Void(**to, grant=self._named("grt", owner))
            case "adjust":
                signed = self.random.choice([-1, 1]) * amount
                return Adjust(**to, amount=signed, force=self.random.random() < 0.5, expires_at=self._soon())
            case "set":
                mode = self.random.choice(MODES)
                return SetBalance(**to, amount=amount - 1, mode=mode, expires_at=self._soon())
            case "settings":
                return self._settings(to)
            case "open":
                return CreateAccount(**to)
            case _:
                return Lapse(**to)

    def _soon(self) -> int | None:
        return self._maybe(0.6, self._later())

    def _grant(self, to: dict[str, Any], amount: int) -> GiveGrant:
        scope = self.random.choice([(), (), ("image.*",), ("model:gpt-4o", "operation:chat")])
        claim = ("stripe", f"pi_{self._number(0, 40)}") if self.random.random() < 0.2 else None
        return GiveGrant(
            **to,
            amount=2 * amount,
            expires_at=self._soon(),
            scope=scope,
            priority=self.random.choice([10, 50]),
            category=self.random.choice(CATEGORIES),
            claim=claim,
            source={"order": "1"} if claim else None,
        )

    def _settings(self, to: dict[str, Any]) -> SetAccount:
        zone = self.random.choice(["UTC", "Europe/Berlin", "Asia/Kolkata"])
        command = SetAccount(**to, allowance=self.random.choice([0, 0, 30]), timezone=zone)
        if self.random.random() < 0.2:
            command.frozen = self.random.random() < 0.5
        if self.random.random() < 0.3:
            command.spend_limit_day = self.random.choice([None, 100_000])
        return command


def random_ledger(path: Path, seed: int, commands: int = 300, max_batch: int | None = None) -> Writer:
    """A ledger in which that many random commands were carried out, in batches of random sizes."""
    writer = Writer(empty_ledger(path))
    made = RandomCommands(seed, writer.clock)
    while commands > 0:
        count = made.random.randint(20, 60)
        writer.run(made.commands(count), max_batch or made.random.choice([1, 4, 32]))
        commands -= count
    return writer


def raw(path: Path) -> apsw.Connection:
    """The file without its guards: what somebody could do who has it."""
    db = apsw.Connection(str(path))
    for (trigger,) in db.execute("select name from sqlite_schema where type = 'trigger'").fetchall():
        db.execute(f"drop trigger {trigger}")
    db.pragma("ignore_check_constraints", True)
    return db
