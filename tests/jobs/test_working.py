"""Jobs beside a server: done, counted, ended with it; or left to others."""

import asyncio
import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from farthing import working as putting_together
from farthing.api.logs import make_logger
from farthing.api.metrics import Metrics
from farthing.app import Ledger
from farthing.core.commands import GiveGrant
from farthing.jobs.kind import Halted, Kind, Run
from farthing.jobs.runner import Runner
from farthing.settings import Settings
from farthing.stores.events import Events
from farthing.stores.jobs import Jobs
from farthing.working import Watching, work, working
from tests.jobs.runners import SOON, Told, eventually, job_of
from tests.jobs.subscribers import Club
from tests.jobs.test_items import full, lapsing
from tests.jobs.test_runner import story
from tests.subscribing import DAY
from tests.support import UNIT, new_database

FAST = Settings(sweep_seconds=SOON, renew_seconds=SOON, fold_seconds=SOON)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(name, labels)
    return 0 if found is None else found


@story
async def test_a_server_does_the_jobs_and_counts_them(club: Club):
    await full(club, "anna", "bert")
    await lapsing(club, "carl")
    club.clock.advance(us=DAY)
    metrics, lines = Metrics(), io.StringIO()
    async with working(FAST, club.ledger, metrics, make_logger("info", lines)):
        await eventually(lambda: value(metrics, "farthing_jobs_items_total", kind="lapses", result="done") == 1)
        await eventually(lambda: value(metrics, "farthing_jobs_items_total", kind="renewals", result="failed") == 2)
        await eventually(lambda: value(metrics, "farthing_jobs_items_total", kind="rollups", result="done"))
    assert value(metrics, "farthing_jobs_alerts_total", kind="renewals") == 1
    assert value(metrics, "farthing_renewals_total", result="failed") == 2
    assert value(metrics, "farthing_jobs_runs_total", kind="rollups", result="done") > 0
    assert value(metrics, "farthing_jobs_oldest_due_seconds") == 23 * 3_600
    (alarm,) = [line for line in map(json.loads, lines.getvalue().splitlines()) if line["event"] == "jobs fail"]
    assert (alarm["kind"], alarm["workspace"], alarm["failed"], len(alarm["errors"])) == ("renewals", "main", 2, 2)
    # What it had is everybody's again.
    assert {job.locked_until for job in await Jobs(club.ledger.database).standing(["lapses", "rollups"])} == {0}


@story
async def test_a_server_that_is_not_to_do_them_leaves_them_alone(club: Club):
    await club.begin()
    await club.accept(GiveGrant(workspace="main", account="anna", amount=UNIT))
    settings = Settings(jobs=False, sweep_seconds=SOON)
    metrics = Metrics()
    async with working(settings, club.ledger, metrics, make_logger("info", io.StringIO())):
        await asyncio.sleep(5 * SOON)
    assert await job_of(club, "lapses") is None


@story
async def test_a_job_of_0_seconds_is_never_done_by_a_server(club: Club):
    await club.begin()
    settings = Settings(sweep_seconds=SOON, renew_seconds=0, fold_seconds=0)
    metrics = Metrics()
    async with working(settings, club.ledger, metrics, make_logger("info", io.StringIO())):
        await eventually(lambda: value(metrics, "farthing_jobs_runs_total", kind="lapses", result="done") == 1)
    assert value(metrics, "farthing_jobs_runs_total", kind="renewals", result="done") == 0


def test_a_worker_that_is_to_end_does_not_wait_for_ever_for_what_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    new_database(tmp_path / "worked.db").close()
    begun: list[str] = []

    async def hang(_: Halted) -> Run:
        begun.append("hanging")
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    def runner_on(ledger: Ledger, *_: Any) -> Runner:
        kinds = [Kind(name="a", run=hang, every_seconds=60)]
        return Runner(Jobs(ledger.database), Events(ledger.database), kinds, ledger.clock, Told())

    monkeypatch.setattr(putting_together, "runner_on", runner_on)
    monkeypatch.setattr(putting_together, "WORKER_END_SECONDS", 0.1)
    work(Settings(database_url=f"sqlite:///{tmp_path / 'worked.db'}"), lambda: begun.append("ready"))
    assert begun == ["ready", "hanging"]


def test_what_is_parked_or_stopped_is_told_with_its_error():
    from farthing.core.jobs import Job

    metrics, lines = Metrics(), io.StringIO()
    watching = Watching(metrics, make_logger("info", lines))
    job = Job(kind="renew", workspace="main", subject="anna", due_at=1, attempts=10, last_error="too_many_grants")
    watching.parked(job)
    watching.stopped("lapses", ValueError("no such luck"), None)
    watching.trouble("the clock has jumped", None)
    parked, stopped, jumped = map(json.loads, lines.getvalue().splitlines())
    assert (parked["level"], parked["subject"], parked["error"]) == ("error", "anna", "too_many_grants")
    assert (stopped["level"], stopped["kind"], stopped["error"]) == ("warning", "lapses", "no such luck")
    assert "ValueError" in stopped["exception"]
    assert (jumped["event"], jumped["error"]) == ("the clock has jumped", "")
    assert value(metrics, "farthing_jobs_runs_total", kind="lapses", result="failed") == 1
