"""Backtest: past usage priced with a draft of a rate card, beside what was charged for it. Pure; nothing is written.

Charges have to come in the order in which they were booked. Their usage is priced as of the time of its use, as if the
draft had been in force all along. What its caller gave the amount of stays as it was, and so do charges without usage.
What the draft refuses to price is told apart, and counts on neither side. Refunds are left out on both.

Who would have run dry: from an account's balance after each charge is taken what the draft would have taken in
addition until then; where that falls below zero and the balance itself was not, the account would have had too little
at that moment. Top-ups, lapses and everything else are taken as they were.
"""

from collections.abc import Callable, Iterable
from heapq import nlargest

from msgspec import Struct

from farthing.core.quantities import PriceRefusal
from farthing.core.records import Entry, UsageRecord
from farthing.core.refundable import read_body
from farthing.core.usage import Priced, Usage

Price = Callable[[Usage, int], Priced | PriceRefusal]
"""What a usage of an instant comes to by the draft."""
EXAMPLES = 3


class Side(Struct):
    """What came in, or would have, and what it cost."""

    revenue: int = 0
    cost: int = 0
    """In billionths of the unit, as far as it is known."""
    uncosted: int = 0
    unpriced: int = 0

    def add(self, amount: int, cost: int | None, unpriced: bool) -> None:
        """Count one usage."""
        self.revenue += amount
        self.cost += cost or 0
        self.uncosted += cost is None
        self.unpriced += unpriced


class Compared(Struct):
    """Then and now, of some usages."""

    usages: int
    then: Side
    now: Side

    @property
    def difference(self) -> int:
        """What the draft takes in addition."""
        return self.now.revenue - self.then.revenue


class OfModel(Struct):
    """Then and now of a model, by its name of then."""

    provider: str
    model: str
    compared: Compared


class OfAccount(Struct):
    """Then and now of an account."""

    account: str
    then: int = 0
    now: int = 0
    dry_at: int | None = None
    """When it would first have run dry."""
    dry_charge: str = ""
    short: int = 0
    """What it would have lacked at most."""

    @property
    def difference(self) -> int:
        """What the draft takes in addition."""
        return self.now - self.then


class Example(Struct):
    """A usage that the draft refuses."""

    charge: str
    account: str
    model: str
    message: str


class Refused(Struct):
    """What the draft refuses for one reason."""

    code: str
    usages: int = 0
    then: int = 0
    """What was charged for it."""
    examples: list[Example] = []


class Result(Struct):
    """What came of it."""

    total: Compared
    given: int
    """Usages whose callers gave the amount."""
    models: list[OfModel]
    """Most revenue of then first."""
    accounts: int
    more: int
    """Accounts that would have paid more."""
    less: int
    most_more: list[OfAccount]
    most_less: list[OfAccount]
    dry: int
    """Accounts that would have run dry."""
    driest: list[OfAccount]
    refused: list[Refused]


class Backtest:
    """Adds usages up, one after another."""

    def __init__(self, price: Price) -> None:
        self._price = price
        self._total = _nothing()
        self._given = 0
        self._models: dict[tuple[str, str], Compared] = {}
        self._accounts: dict[str, OfAccount] = {}
        self._refused: dict[str, Refused] = {}

    def add(self, row: UsageRecord | None, entry: Entry) -> None:
        """Price one charge with the draft, where it has a usage."""
        if row is None:
            if known := self._accounts.get(entry.account):
                _look(known, entry)
            return
        body = read_body(entry)
        assert body.usage is not None, "usage rides with its charge"
        now_amount, now_cost, unpriced = row.amount, row.cost, row.unpriced
        if body.usage.given:
            self._given += 1
        else:
            priced = self._price(body.usage.usage, row.at)
            if isinstance(priced, PriceRefusal):
                self._refuse(priced, row)
                return
            # Where there was not enough then, more can't be taken now.
            now_amount = min(priced.amount, row.amount) if body.unpaid else priced.amount
            now_cost, unpriced = priced.cost, priced.unpriced
        for each in (self._total, self._models.setdefault((row.provider, row.model), _nothing())):
            each.usages += 1
            each.then.add(row.amount, row.cost, row.unpriced)
            each.now.add(now_amount, now_cost, unpriced)
        known = self._accounts.setdefault(row.account, OfAccount(row.account))
        known.then += row.amount
        known.now += now_amount
        _look(known, entry)

    def _refuse(self, refusal: PriceRefusal, row: UsageRecord) -> None:
        known = self._refused.setdefault(refusal.code, Refused(refusal.code))
        known.usages += 1
        known.then += row.amount
        if len(known.examples) < EXAMPLES:
            known.examples.append(Example(row.id, row.account, row.model, refusal.message))

    def result(self, top: int = 10) -> Result:
        """What has come of it so far, with so many accounts by name."""
        accounts = self._accounts.values()
        more = [each for each in accounts if each.difference > 0]
        less = [each for each in accounts if each.difference < 0]
        dry = [each for each in accounts if each.dry_at is not None]
        models = [OfModel(*name, compared) for name, compared in self._models.items()]
        return Result(
            total=self._total,
            given=self._given,
            models=sorted(models, key=lambda m: (-m.compared.then.revenue, m.provider, m.model)),
            accounts=len(accounts),
            more=len(more),
            less=len(less),
            most_more=_largest(top, more, lambda each: each.difference),
            most_less=_largest(top, less, lambda each: -each.difference),
            dry=len(dry),
            driest=_largest(top, dry, lambda each: each.short),
            refused=sorted(self._refused.values(), key=lambda each: (-each.usages, each.code)),
        )


def _look(account: OfAccount, entry: Entry) -> None:
    """Whether the account would still have had enough."""
    short = account.difference - entry.balance
    if short > 0 and entry.balance >= 0:
        if account.dry_at is None:
            account.dry_at, account.dry_charge = entry.at, entry.id
        account.short = max(account.short, short)


def _nothing() -> Compared:
    return Compared(0, Side(), Side())


def _largest(top: int, accounts: Iterable[OfAccount], by: Callable[[OfAccount], int]) -> list[OfAccount]:
    """The first so many, those alike by name."""
    return nlargest(top, sorted(accounts, key=lambda each: each.account), key=by)
