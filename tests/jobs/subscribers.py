"""A ledger with plans and subscribers, on either database, whose clock a test moves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from farthing.app import Ledger, open_ledger
from farthing.backends import sqlite_path
from farthing.clock import FakeClock
from farthing.core.commands import Command, Renew, Subscribe
from farthing.core.outcomes import Outcome
from farthing.core.plans import Plan
from farthing.core.records import Entry
from farthing.core.renewal_run import Wanted
from farthing.core.subscription import Subscription
from farthing.doctor import examine
from farthing.jobs.renewals import Renewals
from farthing.stores.access import Act
from farthing.stores.plans import Plans
from farthing.stores.schema import Place
from farthing.stores.subscriptions import Subscriptions
from tests.subscribing import after, renewal
from tests.support import MAIN, START_US, UNIT, entry_of, lay

ALL = Wanted(workspace="main")


class Club:
    """An open ledger whose accounts have plans."""

    def __init__(self, url: str, clock: FakeClock) -> None:
        self.url, self.clock = url, clock
        self.ledger: Ledger
        self.renewals: Renewals

    async def begin(self, *plans: Plan, **options: Any) -> "Club":
        """Open it, with its workspace and plans."""
        self.open(create=self.url.startswith("sqlite"), **options)
        if await self.ledger.reports.workspace("main") is None:
            await self.ledger.access.create_workspace(MAIN, Act("test", START_US))
        for each in plans:
            await self.put(each)
        return self

    def open(self, create: bool = False, **options: Any) -> None:
        if create:
            lay(sqlite_path(self.url))
        self.ledger = open_ledger(self.url, clock=self.clock, inline_on=asyncio.get_running_loop(), reader=True)
        self.subscriptions = Subscriptions(self.ledger.database)
        self.renewals = Renewals(self.ledger.engine, self.subscriptions, self.ledger.clock.now_us, **options)

    async def put(self, plan: Plan) -> None:
        await Plans(self.ledger.database).put("main", plan, Act("test", START_US))

    async def ask(self, command: Command) -> Outcome:
        return await self.ledger.engine.ask(command)

    async def accept(self, command: Command) -> Entry:
        outcome = await self.ask(command)
        return entry_of(outcome)

    async def subscribe(self, account: str, plan: str = "pro", **terms: Any) -> Subscription:
        """Buy a plan."""
        return after(await self.accept(Subscribe(workspace="main", account=account, plan=plan, **terms)))

    async def subscribe_many(self, count: int, plan: str = "pro") -> None:
        await asyncio.gather(*(self.subscribe(f"user_{n:06}", plan) for n in range(count)))

    def renewal(self, account: str, s: Subscription, **terms: Any) -> Renew:
        """The command for the period that is due."""
        return renewal(s, account, **terms)

    async def of(self, account: str) -> Subscription:
        found = await self.subscriptions.of("main", account)
        assert found is not None
        return found

    async def balance(self, account: str) -> int:
        """In credits."""
        found = await self.ledger.reports.account("main", account, self.clock.now_us())
        assert found is not None
        return found.balance // UNIT

    async def entries(self, account: str, kind: str) -> list[Entry]:
        """Newest first."""
        return [e for e in await self.ledger.reports.entries("main", account, limit=1_000) if e.kind == kind]

    async def count(self, kind: str) -> int:
        ((count,),) = await self.ledger.database.rows(f"select count(*) from entry where kind = '{kind}'")
        return int(count)

    def place(self) -> Place:
        return self.ledger.backend.place

    async def end(self) -> None:
        """Close it; by then its books are right."""
        place = self.place()
        await self.ledger.aclose()
        report = await asyncio.to_thread(examine, place)
        assert report.findings == [], report.findings[:5]


def play(club: Club, work: Callable[[Club], Awaitable[None]]) -> None:
    """Run a test's story on its club, to the end."""

    async def story() -> None:
        await work(club)
        await club.end()

    asyncio.run(story())
