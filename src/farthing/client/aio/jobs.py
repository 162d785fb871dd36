"""Nouns of time: jobs, and the events that tell what became of them."""

from collections.abc import Iterable, Sequence

from ..calls import ask, get, post
from ..forms import Page
from ..job_results import Event, Job, JobRun, ParkedTold
from ..subscribed import AsyncSubscription, OnEvent
from ..values import Instant, instant_text
from .door import AsyncDoor
from .listening import AsyncListening
from .pages import AsyncPages


class AsyncJobs:
    """What is to be done for accounts when its time comes, and what of it failed."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    def list(
        self, *, kind: str | None = None, state: str | None = None, limit: int | None = None
    ) -> AsyncPages[Job]:  # fmt: skip
        """All of the workspace by kind and account; of one kind (`account`, `renew`), or in one state (`waiting`,
        `due`, `running`, `failed`, `parked`)."""
        query = {"kind": kind, "state": state, "limit": None if limit is None else str(limit)}
        return AsyncPages(self._door, get(Page[Job], "/v1/jobs", query))

    async def retry(
        self, kind: str, subject: str, *, dry_run: bool | None = None, key: str | None = None
    ) -> Job:  # fmt: skip
        """Have one that failed, or is parked, tried again now."""
        body = {"dry_run": dry_run}
        return await self._door.ask(
            post(Job, "/v1/jobs/{kind}/{subject}/retry", body, key, kind=kind, subject=subject)
        )  # fmt: skip

    async def run_due(self) -> Sequence[JobRun]:
        """Do what is due now, of all workspaces of the database: for a ledger in this process that no server and no
        worker looks after, and for tests with a clock of their own. A server does it by itself, and refuses."""
        return await self._door.run_jobs()


class AsyncEvents:
    """What happened."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    def list(
        self, *, type: str | None = None, since: Instant | None = None, until: Instant | None = None,
        order: str | None = None, limit: int | None = None,
    ) -> AsyncPages[Event]:  # fmt: skip
        """All of the workspace, newest first, or with `order="oldest"`; of one type, such as `jobs.failing`."""
        query = {
            "type": type, "from": instant_text(since, "since"), "to": instant_text(until, "until"), "order": order,
            "limit": None if limit is None else str(limit),
        }  # fmt: skip
        return AsyncPages(self._door, get(Page[Event], "/v1/events", query))

    def listen(
        self, types: str | Iterable[str] | None = None, *, account: str | None = None, since: Instant | None = None
    ) -> AsyncListening:  # fmt: skip
        """Events as they come: all, or exact types and nouns (`["charge.*", "balance.low"]`), or those about one
        account; with `since` what happened from then on goes first. Each comes once, and none is left out, however
        often the connection breaks.

        async for event in client.events.listen("balance.*"):
            print(event.type, event.account, event.data)

        """
        query = {
            "type": types if types is None or isinstance(types, str) else ",".join(types), "account": account,
            "from": instant_text(since, "since"),
        }  # fmt: skip
        return AsyncListening(self._door, get(Event, "/v1/events/stream", query))

    async def subscribe(
        self, on_event: OnEvent, types: str | Iterable[str] | None = None, *, account: str | None = None,
        since: Instant | None = None,
    ) -> AsyncSubscription:  # fmt: skip
        """Have a function told of events while they come, in the background, until what this gives is closed, or the
        client. One that raises is logged, and told the next event."""
        return await AsyncSubscription.begun(self.listen(types, account=account, since=since), on_event)

    async def parked(
        self, *, call: str, key: str, error: str, host: str, account: str | None = None
    ) -> ParkedTold:  # fmt: skip
        """Tell of a call that was refused when it was sent from a journal, and waits there: an event `journal.parked`.
        The client does it by itself."""
        body = {"call": call, "key": key, "error": error, "host": host, "account": account}
        return await self._door.ask(ask(ParkedTold, "/v1/events/parked", body, writes=True))
