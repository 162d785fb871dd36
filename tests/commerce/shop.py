"""A ledger with a catalogue, on either database, that payments come in to."""

import asyncio
from typing import Any

from farthing.commerce.fulfilling import Fulfilled, Fulfilling
from farthing.core.catalogue import Product, Tier, TopUp
from farthing.core.facts import AnyFact, DisputeClosed, Disputed, Paid, Refunded
from farthing.core.purchases import Receipt
from farthing.core.records import Workspace
from farthing.stores.access import Act
from farthing.stores.events import Events
from farthing.stores.products import Products
from farthing.stores.purchases import Purchases
from tests.jobs.subscribers import Club
from tests.subscribing import plan
from tests.support import MAIN, START_US, UNIT

WRITER = Product(
    id="writer",
    tiers=(
        Tier(id="basic", plan="basic", rank=1, sold_as={"digistore24": "101"}),
        Tier(id="pro", plan="pro", rank=2, sold_as={"digistore24": "102", "stripe": "price_pro"}),
    ),
    top_ups=(TopUp(id="1000", credits=1000 * UNIT, price="10", currency="EUR", sold_as={"digistore24": "201"}),),
)
WORKSPACE: Workspace = MAIN


class Shop(Club):
    """An open ledger that sells."""

    async def begin_selling(self) -> "Shop":
        """Open it, with plans of 100 and 2000 credits in 30 days."""
        await self.begin(plan("basic", 100), plan("pro", 2000))
        db = self.ledger.database
        self.purchases, products = Purchases(db), Products(db)
        await products.put("main", WRITER, Act("test", START_US))
        self.events = Events(db)
        self.fulfilling = Fulfilling(
            self.ledger.engine, self.purchases, products, self.subscriptions, self.events, self.ledger.clock.now_us
        )
        return self

    async def tell(self, fact: AnyFact) -> Fulfilled:
        return await self.fulfilling.carry_out(WORKSPACE, fact)

    async def tell_all(self, *facts: AnyFact) -> list[Fulfilled]:
        """All at the same moment."""
        return await asyncio.gather(*(self.tell(fact) for fact in facts))

    async def receipt(self, payment: str = "T1") -> Receipt:
        kept = await self.purchases.receipt("main", "digistore24", payment)
        assert kept is not None
        return kept.receipt


def _fact(**more: Any) -> dict[str, Any]:
    return {"provider": "digistore24", "at": START_US, "order": "O1", "payment": "T1"} | more


def paid(**more: Any) -> Paid:
    given: dict[str, Any] = {"amount": "10", "currency": "EUR", "account": "alice", "product": "201"}
    return Paid(**_fact(**given | more))


def refunded(**more: Any) -> Refunded:
    return Refunded(**_fact(**more))


def disputed(**more: Any) -> Disputed:
    return Disputed(**_fact(dispute="D1", **more))


def closed(**more: Any) -> DisputeClosed:
    return DisputeClosed(**_fact(dispute="D1", **more))
