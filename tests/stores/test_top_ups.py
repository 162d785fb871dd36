"""Steps of automatic top-ups beside charges of other processes."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from farthing.commerce.topping_up import Confirming
from farthing.core.auto_top_up import AutoTopUp
from farthing.core.commands import SetAccount, TakeCharge
from farthing.core.purchases import Receipt
from farthing.core.top_up_attempts import Attempt, AttemptState
from farthing.core.top_ups import Seen, Step, look
from farthing.engine import Ids
from farthing.stores.events import Events
from farthing.stores.reports import Execute, Row
from farthing.stores.top_ups import LOOKED_AT, TopUps
from farthing.timezones import calendar
from tests.stores.shop import Shop
from tests.support import MAIN, START_US


class Beside:
    """A database whose writes are joined by a charge, once they have read the account."""

    def __init__(self, shop: Shop) -> None:
        self._db, self._engine = shop.ledger.database, shop.ledger.engine
        self.dialect = self._db.dialect
        self.charge: asyncio.Task[Any] | None = None
        self.waits = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    async def write(self, work: Any) -> Any:
        async def watched(execute: Execute) -> Any:
            async def spied(sql: str, values: Sequence[Any] = ()) -> list[Row]:
                rows = await execute(sql, values)
                if sql.startswith("select balance"):
                    charge = TakeCharge(workspace="main", account=values[1], amount=60)
                    self.charge = asyncio.ensure_future(self._engine.ask(charge))
                    done, _ = await asyncio.wait([self.charge], timeout=0.5 if self.waits else 60)
                    assert bool(done) is not self.waits
                return rows

            return await work(spied)

        return await self._db.write(watched)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("shop", ["postgres"], indirect=True)
def test_a_charge_that_falls_below_while_somebody_finds_that_there_is_enough_is_looked_at(
    shop: Shop, account: str, held: bool
):
    shop.grant(account)
    wanted = AutoTopUp(provider="stripe", threshold=200 if held else 50, offer="bot/pack")
    shop.do(SetAccount(workspace="main", account=account, auto_top_up=wanted))
    if held:
        # The item of the first stays until somebody has looked.
        shop.do(SetAccount(workspace="main", account=account, auto_top_up=AutoTopUp(
            provider="stripe", threshold=50, offer="bot/pack")))  # fmt: skip
    db: Any = Beside(shop)
    db.waits = held

    def decide(seen: Seen) -> Step:
        assert seen.balance == 100
        return look(seen, None, lambda: "tup_1")

    async def both() -> str:
        step = await TopUps(db, calendar, Ids()).step(MAIN, account, shop.now, decide)
        assert step is not None
        await db.charge
        return step.why

    assert shop.wait(both()) == "enough"
    due = shop.wait(shop.ledger.database.rows("select subject from job where kind = 'top_up'"))
    assert (account,) in [tuple(row) for row in due]


@pytest.mark.parametrize("shop", ["sqlite"], indirect=True)
def test_a_payment_that_comes_after_many_other_attempts_is_known_by_its_key(shop: Shop, account: str):
    shop.grant(account)
    top_ups, attempt = TopUps(shop.ledger.database, calendar, Ids()), an_attempt("tup_late", "unconfirmed")
    for each in (attempt, *(an_attempt(f"tup_{n}", "failed") for n in range(LOOKED_AT + 1))):
        shop.wait(top_ups.step(MAIN, account, shop.now, partial(put_down, attempt=each)))
    came = Receipt(
        provider="stripe", payment="pi_1", at=shop.now, account=account, charge="tup_late", state="credited", credits=5
    )  # fmt: skip
    told = Confirming(top_ups).told
    for _ in range(2):
        shop.wait(shop.ledger.database.write(partial(told, workspace=MAIN, before=None, after=came, at=shop.now)))
    late = shop.wait(top_ups.attempt("main", account, "tup_late"))
    assert (late.state, late.payment) == ("done", "pi_1")
    events = shop.wait(Events(shop.ledger.database).page("main", limit=10)).items
    assert [each.type for each in events if each.account == account] == ["auto_top_up.done"]


def an_attempt(id: str, state: AttemptState) -> Attempt:
    at = START_US + int(state == "failed")
    return Attempt(id=id, account="", provider="stripe", credits=5, began_at=at, ask_at=at, overdue_at=at, state=state)


def put_down(seen: Seen, attempt: Attempt) -> Step:
    return Step(standing=seen.standing, attempt=attempt)
