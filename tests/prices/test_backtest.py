"""Backtests: then and now, who pays more, who would have run dry, what a draft refuses."""

from collections.abc import Callable

import msgspec
import pytest

from farthing.core.commands import GiveGrant, Refund, TakeCharge
from farthing.core.quantities import PriceRefusal
from farthing.core.records import Entry, UsageRecord
from farthing.core.usage import Metered, Priced, Usage
from farthing.core.used import tokens_of
from farthing.prices.backtest import Backtest, Result
from tests.support import UNIT, Book

Draft = Callable[[Usage, int], Priced | PriceRefusal]


def priced(credits: float, cost: int | None = 0, *, unpriced: bool = False) -> Priced:
    return Priced(amount=round(credits * UNIT), exact=str(credits), cost=cost, unpriced=unpriced)


def per_token(credits: int) -> Draft:
    """So much for each token in; models that are named `secret` are refused."""

    def price(used: Usage, at: int) -> Priced | PriceRefusal:
        if used.model == "secret":
            return PriceRefusal("unknown_model", "model", "there is no price for the model 'secret'")
        return priced(credits * int(used.dimensions["input_tokens"]), cost=10**9)

    return price


class Shop:
    """Charges on a real ledger; each token in was 1 credit then, and cost half of one."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def grant(self, account: str, credits: int) -> None:
        self.book.clock.advance(1_000_000)
        self.book.accept(GiveGrant(workspace="main", account=account, amount=credits * UNIT))

    def use(self, account: str, tokens: int, model: str = "m", given: bool = False, **more: object) -> Entry:
        self.book.clock.advance(1_000_000)
        usage = Usage(provider="p", model=model, dimensions={"input_tokens": str(tokens)})
        metered = Metered(usage, priced(tokens, tokens * 10**9 // 2), given=given)
        command = TakeCharge(workspace="main", account=account, amount=tokens * UNIT, usage=metered, **more)  # type: ignore[arg-type]
        return self.book.accept(command)

    def take(self, account: str, credits: int) -> Entry:
        self.book.clock.advance(1_000_000)
        return self.book.accept(TakeCharge(workspace="main", account=account, amount=credits * UNIT))

    def test(self, draft: Draft, top: int = 10) -> Result:
        """Backtest all that was charged, in the order of booking."""
        test = Backtest(draft)
        entries = [e for account in ("ann", "bob", "cem") for e in self.book.entries(account) if e.kind == "charge"]
        for entry in sorted(entries, key=lambda e: (e.at, e.id)):
            test.add(row_of(entry), entry)
        return test.result(top)


def row_of(entry: Entry) -> UsageRecord | None:
    """The row that rode with a charge, from its entry."""
    metered = msgspec.json.decode(entry.body, type=dict[str, msgspec.Raw]).get("usage")
    if metered is None:
        return None
    found = msgspec.json.decode(metered, type=Metered)
    usage, price = found.usage, found.priced
    return UsageRecord(
        entry.id, "main", entry.account, entry.bucket, entry.at, entry.at, "", "", usage.provider, usage.model, "",
        *tokens_of(usage), -entry.amount, price.cost, price.unpriced,
    )  # fmt: skip


@pytest.fixture
def shop(book: Book) -> Shop:
    """Three accounts with 100 credits each."""
    shop = Shop(book)
    for account in ("ann", "bob", "cem"):
        shop.grant(account, 100)
    return shop


def test_revenue_cost_and_margin_of_then_and_now(shop: Shop):
    shop.use("ann", 10)
    shop.use("bob", 20, "n")
    found = shop.test(per_token(2))
    assert (found.total.usages, found.total.then.revenue, found.total.now.revenue) == (2, 30 * UNIT, 60 * UNIT)
    assert (found.total.then.cost, found.total.now.cost) == (15 * 10**9, 2 * 10**9)
    assert found.total.difference == 30 * UNIT
    assert [(m.provider, m.model, m.compared.difference) for m in found.models] == [
        ("p", "n", 20 * UNIT), ("p", "m", 10 * UNIT),
    ]  # fmt: skip


def test_the_same_prices_change_nothing(shop: Shop):
    for account in ("ann", "bob"):
        shop.use(account, 30)
    found = shop.test(per_token(1))
    assert (found.accounts, found.more, found.less, found.dry, found.total.difference) == (2, 0, 0, 0, 0)


def test_who_pays_more_and_who_less(shop: Shop):
    shop.use("ann", 10)
    shop.use("ann", 10, "cheap")
    shop.use("bob", 1)
    shop.use("cem", 10, "cheap")

    def draft(used: Usage, at: int) -> Priced:
        tokens = int(used.dimensions["input_tokens"])
        return priced(tokens * (0.5 if used.model == "cheap" else 3))

    found = shop.test(draft)
    assert [(a.account, a.difference) for a in found.most_more] == [("ann", 15 * UNIT), ("bob", 2 * UNIT)]
    assert [(a.account, a.difference) for a in found.most_less] == [("cem", -5 * UNIT)]
    assert (found.more, found.less) == (2, 1)
    assert [a.account for a in shop.test(draft, top=1).most_more] == ["ann"]


def test_who_would_have_run_dry_is_known_by_the_moment(shop: Shop):
    shop.use("ann", 30)
    shop.use("ann", 30)  # by now 120 would have been taken of 100
    last = shop.book.entries("ann")[-1]
    shop.use("bob", 10)
    found = shop.test(per_token(2))
    (dry,) = found.driest
    assert (dry.account, dry.dry_at, dry.dry_charge, dry.short) == ("ann", last.at, last.id, 20 * UNIT)


def test_a_top_up_in_time_keeps_an_account_from_running_dry(shop: Shop):
    shop.use("ann", 30)
    shop.grant("ann", 100)
    shop.use("ann", 60)  # 180 of 200
    assert shop.test(per_token(2)).dry == 0


def test_a_charge_without_usage_can_be_the_one_that_no_longer_fits(shop: Shop):
    shop.use("ann", 30)
    plain = shop.take("ann", 60)
    found = shop.test(per_token(2))
    assert (found.total.usages, found.dry, found.driest[0].dry_charge) == (1, 1, plain.id)
    assert found.driest[0].short == 20 * UNIT


def test_an_account_that_was_in_debt_by_itself_does_not_count_as_dry(shop: Shop):
    shop.use("ann", 150, shortfall="debt")
    assert shop.test(per_token(2)).dry == 0


def test_what_was_given_stays(shop: Shop):
    shop.use("ann", 10, given=True)
    found = shop.test(per_token(5))
    assert (found.given, found.total.then.revenue, found.total.now.revenue) == (1, 10 * UNIT, 10 * UNIT)


def test_where_there_was_not_enough_no_more_can_be_taken_now(shop: Shop):
    shop.use("ann", 150, shortfall="take")
    dear, cheap = shop.test(per_token(2)), shop.test(lambda used, at: priced(20))
    assert (dear.total.then.revenue, dear.total.now.revenue) == (100 * UNIT, 100 * UNIT)
    assert cheap.total.now.revenue == 20 * UNIT


def test_what_the_draft_refuses_is_told_apart_with_examples(shop: Shop):
    charges = [shop.use("ann", n + 1, "secret") for n in range(5)]
    shop.use("bob", 10)
    found = shop.test(per_token(1))
    (refused,) = found.refused
    assert (refused.code, refused.usages, refused.then) == ("unknown_model", 5, 15 * UNIT)
    assert [e.charge for e in refused.examples] == [c.id for c in charges[:3]]
    assert refused.examples[0].message == "there is no price for the model 'secret'"
    assert (found.total.usages, found.total.then.revenue, found.accounts) == (1, 10 * UNIT, 1)


def test_unpriced_and_uncosted_are_counted(shop: Shop):
    shop.use("ann", 10)
    found = shop.test(lambda used, at: priced(0, None, unpriced=True))
    assert (found.total.now.unpriced, found.total.now.uncosted, found.total.then.uncosted) == (1, 1, 0)


def test_refunds_are_left_out(shop: Shop):
    charge = shop.use("ann", 10)
    shop.book.accept(Refund(workspace="main", account="ann", charge=charge.id))
    found = shop.test(per_token(2))
    assert (found.total.then.revenue, found.total.now.revenue) == (10 * UNIT, 20 * UNIT)


def test_nothing_is_nothing(shop: Shop):
    found = shop.test(per_token(2))
    assert (found.total.usages, found.accounts, found.models, found.refused) == (0, 0, [], [])
