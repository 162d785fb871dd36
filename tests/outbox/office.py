"""A post office: a ledger on either database, endpoints, events that are to be sent, and who sends them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from farthing.app import Ledger, open_ledger
from farthing.clock import FakeClock
from farthing.core.endpoints import SigningSecret, WebhookEndpoint, secret_of
from farthing.core.ids import bucket_of
from farthing.core.records import Event
from farthing.engine import Ids
from farthing.outbox.options import Options
from farthing.outbox.sender import Sender, trusted
from farthing.stores.acts import Act
from farthing.stores.endpoints import Endpoints
from farthing.stores.events import Events
from farthing.stores.outbox import Outbox, Taken, Try, Want
from tests.support import MAIN, START_US

SECRET = secret_of(bytes(range(32)))
SENDS = Options(timeout_seconds=30, allow_private=True)
PATIENCE = 60.0


class Office:
    """An open ledger whose events are to be sent."""

    def __init__(self, url: str, clock: FakeClock) -> None:
        self.url, self.clock = url, clock
        self.ledger: Ledger
        self.counted: dict[str, int] = {}
        self._ids = Ids()

    async def begin(self) -> "Office":
        self.ledger = open_ledger(
            self.url, create=self.url.startswith("sqlite"), clock=self.clock, inline_on=asyncio.get_running_loop(),
            reader=True,
        )  # fmt: skip
        if await self.ledger.reports.workspace("main") is None:
            await self.ledger.access.create_workspace(MAIN, Act("test", START_US))
        self.outbox = Outbox(self.ledger.database)
        self.endpoints = Endpoints(self.ledger.database)
        self.events = Events(self.ledger.database)
        return self

    async def endpoint(self, url: str, id: str = "whe_a", *, types: Sequence[str] = (), **given: Any) -> str:
        """One that asks for nothing by itself: a test says what it is sent."""
        at = self.clock.now_us()
        endpoint = WebhookEndpoint(
            workspace="main", id=id, url=url, types=tuple(types),
            secrets=given.pop("secrets", (SigningSecret(SECRET),)), created_at=at, updated_at=at, **given,
        )  # fmt: skip
        await self.endpoints.create(endpoint, Act("test", at))
        return id

    async def found(self, id: str = "whe_a") -> WebhookEndpoint:
        found = await self.endpoints.get("main", id)
        assert found is not None
        return found

    async def put(
        self, count: int = 1, endpoint: str = "whe_a", account: Callable[[int], str] = lambda number: f"user_{number}"
    ) -> list[str]:
        """Events that are still to be sent to an endpoint; their ids, in order."""
        at, ids = self.clock.now_us(), []
        events = []
        for number in range(count):
            name = account(number)
            bucket = bucket_of("main", name)
            ids.append(self._ids("evt", at, bucket))
            events.append(Event(ids[-1], "main", name, bucket, "charge.created", at, {"amount": "0.5", "n": number}))

        await self.events.add(events, to=endpoint)
        return ids

    def sender(self, options: Options = SENDS, *, resolve: Any = None, context: Any = None) -> Sender:
        def count(result: str, number: int) -> None:
            self.counted[result] = self.counted.get(result, 0) + number

        return Sender(
            self.outbox, self.clock.now_us, options, resolve or nowhere, context or trusted(), on_tried=count,
            chance=lambda _: 0,
        )  # fmt: skip

    async def send(self, options: Options = SENDS, **given: Any) -> int:
        """All that is due; how many were delivered."""
        return sum((await self.sender(options, **given).run()).values())

    async def taken(self, limit: int = 10) -> list[Taken]:
        """What is due for an endpoint, in the hands of who sends."""
        at = self.clock.now_us()
        return await self.outbox.exchange([], [], [Want(await self.found(), limit)], at, at + SENDS.lease_us)

    async def tries(self, endpoint: str = "whe_a") -> list[Try]:
        """The log of an endpoint, oldest first."""
        return (await self.outbox.tries("main", endpoint, limit=1_000)).items[::-1]

    async def left(self) -> int:
        """How many events are still to be sent, in all."""
        return (await self.outbox.figures()).waiting

    async def close(self) -> None:
        await self.ledger.aclose()


async def nowhere(host: str, port: int) -> list[str]:
    """Knows no names."""
    raise OSError(f"{host} is not known")


async def eventually(holds: Callable[[], Awaitable[bool] | bool]) -> None:
    """Until something holds; only what is broken takes as long as that."""
    until = time.monotonic() + PATIENCE
    while True:
        found = holds()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < until, "it never came"
        await asyncio.sleep(0.01)


# Stories, told on an open office

Story = Callable[[Office], Awaitable[None]]


def play(office: Office, story: Story) -> None:
    """Tell a story on an open office."""

    async def told() -> None:
        await office.begin()
        try:
            await story(office)
        finally:
            await office.close()

    asyncio.run(told())


def on_both(story: Story) -> Callable[[Office], None]:
    """Make a test of a story, on either database."""

    def test(office: Office) -> None:
        play(office, story)

    test.__doc__, test.__name__ = story.__doc__, story.__name__
    return test


def on_one(story: Story) -> Callable[[Office], None]:
    """The same on SQLite alone: what it tells has nothing to do with the database."""

    def test(small: Office) -> None:
        play(small, story)

    test.__doc__, test.__name__ = story.__doc__, story.__name__
    return test
