"""Kinds of jobs: what each is called, how often it is due, who may do it, and what came of a run.

A new kind is a file with a function that makes it, given the tools, and a line in `kinds.py`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from farthing.commerce.receiving import Receiving
from farthing.core.jobs import Job, alarming
from farthing.core.renewal_run import RenewalRun
from farthing.engine import Engine
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
    traffic: Callable[[], int] | None = None
    """How many commands were carried out so far, those of others included: to leave them the ledger. None: nobody else
    is here."""
    on_renewals: Callable[[RenewalRun], None] = lambda _: None
    on_payments: Callable[[str, str], None] = lambda _provider, _result: None
