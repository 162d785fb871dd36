"""Jobs of a ledger in this process: done once, when its owner says so."""

from farthing.app import Ledger
from farthing.desks import Unwatched, runner_on
from farthing.engine import Engine
from farthing.settings import Settings
from farthing.stores.reports import Database

from ..job_results import JobRun


async def run_due(ledger: Ledger, engine: Engine, database: Database) -> list[JobRun]:
    """Do all that is due now. What fails is told by the result, and by what the table of jobs says."""
    runner = runner_on(ledger, Settings(), Unwatched(), engine=engine, database=database)
    return [
        JobRun(kind=ran.kind, done=ran.done, failed=ran.failed, error=ran.error, skipped=ran.skipped)
        for ran in await runner.once()
    ]
