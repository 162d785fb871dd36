"""Expiring, as a job: tells of grants with credits left that lapse soon, in workspaces where somebody asks for that; of
each once, as the event's row says.
"""

from collections.abc import Callable, Iterator
from typing import Final

from farthing.core.amounts import write_amount
from farthing.core.commands import DAY_US
from farthing.core.events import GRANT_EXPIRING, told_of, write_time
from farthing.core.records import Account, Event, Grant, Workspace
from farthing.engine import Ids
from farthing.stores.events import Events
from farthing.stores.expiring import FROM_THE_START, Expiring
from farthing.stores.reports import Database, Reports

from .kind import Halted, Kind, Run, Tools

NAME: Final = "expiring"
PAGE: Final = 200


def kind(tools: Tools) -> Kind:
    """The job that does it, alone."""
    telling = Telling(tools.database, tools.reports, tools.now_us)
    return Kind(name=NAME, run=telling.run, every_seconds=tools.every[NAME], alone=True)


class Telling:
    """Tells of grants that expire."""

    def __init__(
        self, database: Database, reports: Reports, now_us: Callable[[], int], *, page: int = PAGE
    ) -> None:  # fmt: skip
        self._expiring = Expiring(database)
        self._events = Events(database)
        self._reports = reports
        self._now_us = now_us
        self._page = page
        self._ids = Ids()

    async def run(self, halted: Halted = lambda: False) -> Run:
        """Tell of all that expire within the days that their workspace has set."""
        run = Run()
        for workspace in await self._reports.workspaces():
            if told_of(workspace.told).endpoints(GRANT_EXPIRING, self._now_us()) is not None:
                await self._tell(workspace, run, halted)
        return run

    async def _tell(self, workspace: Workspace, run: Run, halted: Halted) -> None:
        until = self._now_us() + workspace.settings.expiring_days * DAY_US
        after = FROM_THE_START
        while not halted():
            page = await self._expiring.accounts(workspace.id, until, after, self._page)
            at = self._now_us()
            events = [event for each in page for event in self._of(each.account, workspace, at, until)]
            known = await self._expiring.told(workspace.id, [event.once for event in events]) if events else set()
            told = await self._events.add([event for event in events if event.once not in known])
            if told:
                run.add(workspace.id, done=len(told))
            if len(page) < self._page:
                return
            after = page[-1].place

    def _of(self, account: Account, workspace: Workspace, at: int, until: int) -> Iterator[Event]:
        for grant in account.grants:
            if grant.expires_at is not None and at < grant.expires_at <= until and grant.remaining > grant.held:
                yield Event(
                    self._ids("evt", at, account.bucket), account.workspace, account.id, account.bucket,
                    GRANT_EXPIRING, at, _said(grant, grant.expires_at, workspace.scale), f"{GRANT_EXPIRING}:{grant.id}",
                )  # fmt: skip


def _said(grant: Grant, expires_at: int, scale: int) -> dict[str, object]:
    return {
        "grant": grant.id,
        "remaining": write_amount(grant.remaining - grant.held, scale),
        "category": grant.category,
        "expires_at": write_time(expires_at),
        "scope": list(grant.scope),
    }
