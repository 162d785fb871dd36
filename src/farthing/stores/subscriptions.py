"""Subscriptions: read for people, and handed out to who renews. They change only by commands of the ledger; what is
written here are the marks of who is at it.
"""

from collections.abc import Sequence

from msgspec import Struct

from farthing.core.ids import bucket_of
from farthing.core.jobs import NEVER, RENEW, Job
from farthing.core.records import Event
from farthing.core.subscription import Subscription

from .events import Events
from .jobs import failed_again, job_row, read_one
from .pages import Page, Position, cut
from .reports import Database, Execute, Row
from .rows import read_subscription
from .statements import statements

FROM_THE_START: Position = (-1, "")


class Subscribed(Struct, frozen=True):
    """A subscription, and whose it is."""

    account: str
    subscription: Subscription

    @property
    def place(self) -> Position:
        """Where it stands among those that are due."""
        return (self.subscription.next_at, self.account)


class Subscriptions:
    """Reads subscriptions; hands out those that are due, the oldest first."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "subscriptions")
        self._jobs = statements(db.dialect, "jobs")
        self._events = Events(db)

    async def of(self, workspace: str, account: str) -> Subscription | None:
        """An account's own, ended or not."""
        values = (workspace, account, bucket_of(workspace, account))
        rows = await self._db.rows(self._sql["subscription"], values)
        return read_subscription(rows[0][0]) if rows else None

    async def page(
        self, workspace: str, *, plan: str = "", ended: bool = False, after: Position | None = None, limit: int = 50
    ) -> Page[Subscribed]:  # fmt: skip
        """Those of a workspace by account; of one plan; with those that have ended."""
        values = (workspace, *(after or ("",)), plan, plan, int(ended), limit + 1)
        rows = await self._db.rows(self._sql["subscriptions"], values)
        return cut([Subscribed(a, read_subscription(t)) for a, t in rows], limit, limit + 1, lambda s: (s.account,))

    async def due(
        self, workspace: str, at: int, *, plan: str = "", after: Position | None = None, limit: int = 50
    ) -> Page[Subscribed]:  # fmt: skip
        """Those whose next period has begun, the oldest first; not what a provider's payment renews."""
        values = (workspace, at, *(after or FROM_THE_START), plan, plan, at, limit + 1)
        rows = [_subscribed(row) for row in await self._db.rows(self._sql["due"], values)]
        return cut(rows, limit, limit + 1, lambda s: s.place)

    async def count_due(self, workspace: str, at: int, plan: str = "") -> int:
        """How many they are."""
        ((count,),) = await self._db.rows(self._sql["count_due"], (workspace, at, plan, plan, at))
        return int(count)

    async def claim(
        self, workspace: str, at: int, until: int, *, plan: str = "", after: Position, limit: int, failed: bool
    ) -> list[Subscribed]:  # fmt: skip
        """Take some that are due, the oldest first: until then nobody else is given them. `failed` takes also those
        that failed a short while ago."""
        retried = at if not failed else until + (1 << 60)
        values = (until, workspace, at, *after, plan, plan, at, at, retried, limit)

        async def work(execute: Execute) -> list[Row]:
            return await execute(self._sql["claim"], values)

        return sorted((_subscribed(row) for row in await self._db.write(work)), key=lambda s: s.place)

    async def next_unclaimed(self, workspace: str, at: int, plan: str = "") -> int | None:
        """When the first may be taken of those that others have, or had; None where nothing is left."""
        ((first,),) = await self._db.rows(self._sql["next_unclaimed"], (workspace, at, plan, plan, at, at))
        return None if first is None else int(first)

    async def give_back(self, workspace: str, accounts: Sequence[str]) -> None:
        """They were not renewed, and no fault of theirs: anybody may take them."""

        async def work(execute: Execute) -> None:
            for account in accounts:
                await execute(self._sql["release"], (workspace, account, bucket_of(workspace, account)))

        if accounts:
            await self._db.write(work)

    async def fail(
        self, workspace: str, failed: Sequence[Subscribed], errors: Sequence[str], at: int,
        events: Sequence[Event | None] | None = None,
    ) -> list[Job]:  # fmt: skip
        """They were tried and failed: each has an item among the jobs, which says when it is tried again, or that it is
        parked, and the event that tells it; what was changed meanwhile has none. Those that are parked from now on."""

        async def work(execute: Execute) -> list[Job]:
            parked = []
            for each, error, event in zip(failed, errors, events or [None] * len(failed), strict=True):
                job = await self._failed(execute, workspace, each, error, at)
                parked += [job] if job is not None and job.parked_at == at else []
                if job is not None and event is not None:
                    await self._events.write(execute, [event])
            return parked

        return await self._db.write(work) if failed else []

    async def _failed(
        self, execute: Execute, workspace: str, subscribed: Subscribed, error: str, at: int
    ) -> Job | None:  # fmt: skip
        account, s = subscribed.account, subscribed.subscription
        before = await read_one(execute, self._jobs["job"], RENEW, workspace, account)
        first = Job(kind=RENEW, workspace=workspace, subject=account, due_at=s.next_at)
        job = failed_again(before or first, error, at)
        retry_at = NEVER if job.parked_at is not None else job.locked_until
        owner = (workspace, account, bucket_of(workspace, account))
        if not await execute(self._sql["put_off"], (retry_at, *owner, s.next_at)):
            return None
        await execute(self._jobs["put"], job_row(job))
        return job

    async def ending(self, workspace: str, at: int, after: Position, limit: int) -> list[Subscribed]:
        """Those whose paid time is over, the oldest first."""
        rows = await self._db.rows(self._sql["ending"], (workspace, at, *after, limit))
        return [Subscribed(account, read_subscription(terms)) for account, terms in rows]


def _subscribed(row: Row) -> Subscribed:
    account, _, _, terms = row
    return Subscribed(account, read_subscription(terms))
