"""Charges of every kind that reports count, made from a seed: with usage and without, late, held, refunded, ended by
time."""

import random
from typing import Any

from farthing.core.commands import (
    DAY_US,
    MINUTE_US,
    Command,
    Extend,
    GiveGrant,
    PlaceHold,
    Refund,
    Settle,
    Shortfall,
    TakeCharge,
)
from farthing.core.outcomes import Accepted
from farthing.core.records import OnExpiry
from farthing.core.usage import Metered, Priced, Usage
from tests.stores.shop import Shop
from tests.support import hold_id

MODELS = (("openai", "gpt-4o"), ("openai", "ft:gpt-4o:acme/1"), ("anthropic", "claude"), ("", "local"), ("", ""))
SERVICES = ("chat", "search", "")
OPERATIONS = ("reply", "embed", "")
SHORTFALLS: tuple[Shortfall, ...] = ("refuse", "take", "debt")
POLICIES: tuple[OnExpiry, ...] = ("release", "metered", "all")
PLENTY = 10**14


def metered(rng: random.Random, now: int, amount: int) -> Metered:
    """Something that was used, now or up to some days ago."""
    provider, model = rng.choice(MODELS)
    into, out = rng.choice([0, 1500, 10**15 - 1]), rng.randrange(10**6)
    at = None if rng.random() < 0.5 else max(1, now - rng.randrange(-60, 9 * 86_400) * 1_000_000 - rng.randrange(10**6))
    usage = Usage(
        dimensions={"input_tokens": str(into), "output_tokens": str(out)}, provider=provider, model=model or "raw",
        service=rng.choice(SERVICES), operation="asked", chat=rng.choice(["", "c1", "c2"]), at=at,
    )  # fmt: skip
    cost = rng.choice([None, 0, rng.randrange(10**12)])
    priced = Priced(
        amount=amount, exact=str(amount), cost=cost, provider=provider, model=model, unpriced=rng.random() < 0.1
    )
    return Metered(usage, priced, recorded=rng.choice([0, 0, 3, 10**15 - 1]))


class Traffic:
    """Makes it, on a shop's ledger."""

    def __init__(self, shop: Shop, seed: int, accounts: int = 5) -> None:
        self.shop = shop
        self.rng = random.Random(seed)
        self.accounts = [f"a{number}" for number in range(accounts)]
        self._charges: list[tuple[str, str]] = []
        self._holds: list[tuple[str, str]] = []
        for account in self.accounts:
            shop.grant(account, PLENTY)
            shop.do(GiveGrant(workspace="other", account=account, amount=PLENTY))

    def run(self, steps: int) -> None:
        """So many commands, with time passing between them; some are refused."""
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        """One command."""
        account = self.rng.choice(self.accounts)
        kind = self.rng.choices(["charge", "hold", "extend", "settle", "refund", "elsewhere"], [10, 4, 1, 3, 3, 1])[0]
        self._do(account, getattr(self, f"_{kind}")(account))
        if self.rng.random() < 0.3:
            self.shop.clock.advance(us=self.rng.choice([1, 5 * MINUTE_US, 40 * MINUTE_US + 7, DAY_US // 2]))

    def _do(self, account: str, command: Command | None) -> None:
        if command is None:
            return
        outcome = self.shop.ledger.do(command)
        if isinstance(outcome, Accepted) and outcome.entry is not None and command.workspace == "main":
            if isinstance(command, TakeCharge | Settle):
                self._charges.append((account, outcome.entry.id))
            elif isinstance(command, PlaceHold):
                self._holds.append((account, hold_id(outcome.entry)))

    def _amount(self) -> int:
        return self.rng.choice([0, 1, 7, 1_000_000, PLENTY // 1000])

    def _words(self, account: str) -> dict[str, Any]:
        return {"workspace": "main", "account": account, "operation": self.rng.choice(OPERATIONS)}

    def _charge(self, account: str) -> Command:
        amount = self._amount()
        used = metered(self.rng, self.shop.now, amount) if self.rng.random() < 0.7 else None
        shortfall = self.rng.choice(SHORTFALLS)
        return TakeCharge(
            **self._words(account), amount=amount if used else amount + 1, usage=used, shortfall=shortfall, final=True,
            key=f"k{self.rng.random()}",
        )  # fmt: skip

    def _elsewhere(self, account: str) -> Command:
        return TakeCharge(workspace="other", account=account, amount=5, operation="reply")

    def _hold(self, account: str) -> Command:
        policy = self.rng.choice(POLICIES)
        amount = self._amount() + 1
        return PlaceHold(
            **self._words(account), amount=amount, ttl=self.rng.choice([1, 30 * MINUTE_US]), on_expiry=policy,
            usage=metered(self.rng, self.shop.now, amount),
        )  # fmt: skip

    def _extend(self, account: str) -> Command | None:
        if not self._holds:
            return None
        account, hold = self.rng.choice(self._holds)
        return Extend(workspace="main", account=account, hold=hold, metered=self.rng.randrange(3))

    def _settle(self, account: str) -> Command | None:
        if not self._holds:
            return None
        account, hold = self.rng.choice(self._holds)
        amount = self.rng.randrange(10)
        used = metered(self.rng, self.shop.now, amount) if self.rng.random() < 0.5 else None
        return Settle(
            workspace="main", account=account, hold=hold, amount=amount, usage=used, last=self.rng.random() < 0.5,
            shortfall="debt", late="charge",
        )  # fmt: skip

    def _refund(self, account: str) -> Command | None:
        if self.rng.random() < 0.3 or not self._charges:
            return Refund(workspace="main", account=account, amount=self.rng.randrange(1, 2_000_000))
        account, charge = self.rng.choice(self._charges)
        return Refund(workspace="main", account=account, charge=charge, amount=self.rng.choice([None, 1, 5]))
