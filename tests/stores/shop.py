"""A ledger with two workspaces on either database, for tests of reading and of administration."""

from typing import Any

from farthing.app import Ledger, open_ledger
from farthing.backends import sqlite_path
from farthing.clock import FakeClock
from farthing.core.commands import MINUTE_US, Command, GiveGrant, PlaceHold, TakeCharge
from farthing.core.outcomes import Accepted
from farthing.core.records import Entry, Workspace, WorkspaceSettings
from farthing.stores.access import Act
from farthing.stores.directory import Directory
from tests.support import START_US, hold_id, lay

ACT = Act("tester", START_US)


class Shop:
    """A ledger with two workspaces, its clock, and its directory."""

    def __init__(self, url: str) -> None:
        self.clock = FakeClock(START_US)
        if url.startswith("sqlite"):
            lay(sqlite_path(url))
        self.ledger: Ledger = open_ledger(url, clock=self.clock)
        self.directory = Directory(self.ledger.database, self.ledger.reports)
        for id in ("main", "other"):
            w = Workspace(id, id, "live", "credits", 6, START_US, WorkspaceSettings())
            self.wait(self.ledger.access.create_workspace(w, ACT))

    def wait(self, work: Any) -> Any:
        return self.ledger.wait(work)

    @property
    def now(self) -> int:
        return self.clock.now_us()

    def do(self, command: Command) -> Entry:
        outcome = self.ledger.do(command)
        assert isinstance(outcome, Accepted), outcome
        assert outcome.entry is not None
        return outcome.entry

    def grant(self, account: str, amount: int = 100, **more: Any) -> Entry:
        return self.do(GiveGrant(workspace="main", account=account, amount=amount, **more))

    def charge(self, account: str, amount: int = 1, **more: Any) -> Entry:
        return self.do(TakeCharge(workspace="main", account=account, amount=amount, **more))

    def hold(self, account: str, amount: int = 1, ttl: int = MINUTE_US, **more: Any) -> str:
        return hold_id(self.do(PlaceHold(workspace="main", account=account, amount=amount, ttl=ttl, **more)))
