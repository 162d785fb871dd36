"""Kinds of jobs: what each is called, how often it is due, who may do it, and what came of a run.

A new kind is a file with a function that makes it, given the tools, and a line in `kinds.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from farthing.commerce.receiving import Receiving
from farthing.commerce.topping_up import ToppingUp
from farthing.core.jobs import Job, alarming
from farthing.core.renewal_run import RenewalRun
from farthing.engine import Engine
from farthing.outbox.guard import Resolve
from farthing.outbox.options import Options
from farthing.stores.reports import Database, Reports
from farthing.stores.schema import Place

TOLD: Final = 10
"""Errors of a workspace that a run names; all are counted."""
Halted = Callable[[], bool]
"""Whether a run is to end before its next piece of work: the process ends, or its clock is not to be believed."""


class Count(Struct):
    """What came of a run in one workspace."""

    done: int = 0
    failed: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def alarming(self) -> bool:
        """Failures are above a tenth of the successes."""
        return alarming(self.done, self.failed)


class Run(Struct):
    """What came of a run, by workspace; what is about none of them is under the empty name."""

    counts: dict[str, Count] = field(default_factory=dict)
    parked: list[Job] = field(default_factory=list)
    """Items that are parked from now on."""

    def add(self, workspace: str, done: int = 0, failed: int = 0, errors: Sequence[dict[str, Any]] = ()) -> None:
        """Count some more."""
        count = self.counts.setdefault(workspace, Count())
        count.done += done
        count.failed += failed
        count.errors += errors[: max(TOLD - len(count.errors), 0)]

    @property
    def done(self) -> int:
        """In all workspaces."""
        return sum(count.done for count in self.counts.values())

    @property
    def failed(self) -> int:
        """In all workspaces."""
        return sum(count.failed for count in self.counts.values())

    @property
    def outcome(self) -> str | None:
        """In words; None where there was nothing to do."""
        return f"{self.done:,} done, {self.failed:,} failed" if self.done or self.failed else None


class Kind(Struct, frozen=True, kw_only=True):
    """A job that stands."""

    name: str
    run: Callable[[Halted], Awaitable[Run]]
    every_seconds: float
    """How long after its end it is due again; 0: never in this process by itself."""
    alone: bool = False
    """One process at a time has it. Who has one that is due every few seconds keeps it. The others are shared: whoever
    finds them due works along, and what one has taken no other does."""
    stays: bool = False
    """Who has begun keeps it also where it is shared."""
    news: asyncio.Event | None = None
    """Wakes who keeps it before its time."""


class Tools(Struct, frozen=True, kw_only=True):
    """What kinds are made with."""

    engine: Engine
    database: Database
    reports: Reports
    place: Place
    """The database, for what opens it by itself."""
    archives: Path | None
    """The folder of archive files."""
    now_us: Callable[[], int]
    every: Mapping[str, float]
    """Seconds between runs, by kind."""
    receiving: Receiving
    """Takes in what providers of payments have sent."""
    topping_up: ToppingUp
    """Tops accounts up."""
    traffic: Callable[[], int] | None = None
    """How many commands were carried out so far, those of others included: to leave them the ledger. None: nobody else
    is here."""
    on_renewals: Callable[[RenewalRun], None] = lambda _: None
    on_payments: Callable[[str, str], None] = lambda _provider, _result: None
    sending: Options = Options()
    """How events are sent to endpoints."""
    resolve: Resolve | None = None
    """Looks up the addresses of hosts; None: as the system does."""
    on_tried: Callable[[str, int], None] = lambda _result, _count: None
    """Is told what came of tries to send."""
