"""Jobs on the command line: looked at, hurried, tried again; and the worker, which does nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from farthing.core.jobs import MOST_ATTEMPTS
from farthing.stores import sqlite
from tests.cli.command import Cli, program, until
from tests.cli.test_cli_plans import a_month_ago

STANDING = ["lapses", "renewals", "rollups"]


@pytest.fixture
def full(ledger: Cli) -> Cli:
    """A ledger with a subscriber who is due, and has as many grants as he may."""
    ledger.ok("plans", "put", "pro", "100", "--every", "30")
    ledger.ok("subscribe", "alice", "pro")
    ledger.ok("settings", "set", "max_live_grants", "1")
    a_month_ago("alice")
    return ledger


def states(cli: Cli, *words: str) -> dict[str, str]:
    return {job["kind"]: job["state"] for job in cli.ok("jobs", "list", *words)["data"]}


def test_the_worker_does_all_that_is_due_once_and_says_what_it_did(ledger: Cli):
    assert ledger.ok("jobs", "list") == {"data": []}
    ledger.ok("plans", "put", "pro", "100", "--every", "30")
    ledger.ok("subscribe", "alice", "pro")
    a_month_ago("alice")
    done = ledger.ok("worker", "--once")
    assert done["failed"] is False
    found = {job["kind"]: (job["done"], job["failed"], job["skipped"]) for job in done["jobs"]}
    assert {kind: found[kind] for kind in STANDING} == {
        "lapses": (0, 0, False), "renewals": (1, 0, False), "rollups": (found["rollups"][0], 0, False),
    }  # fmt: skip
    assert states(ledger) | dict.fromkeys(STANDING, "waiting") == states(ledger)
    told = ledger.told("jobs", "list", "--kind", "renewals")
    assert "renewals" in told
    assert "1 done, 0 failed" in told
    assert "rollups" not in told


def test_what_fails_is_in_the_exit_code_in_the_list_and_among_the_events(full: Cli):
    done = full("worker", "--once", "--json")
    assert (done.code, done.json["failed"]) == (1, True)
    assert states(full)["renew"] == "failed"
    told = full.told("jobs", "list", "--state", "failed")
    assert "main/alice" in told
    assert "too_many_grants" in told
    (event,) = full.ok("events", "--type", "jobs.failing")["data"]
    assert (event["workspace"], event["data"]["kind"], event["data"]["failed"]) == ("main", "renewals", 1)
    assert "jobs.failing" in full.told("events")
    assert full.ok("events", "--from", "2020-01-01", "--to", "2020-01-31")["data"] == []


def test_what_is_parked_is_tried_again_when_somebody_says_so(full: Cli):
    assert full("worker", "--once").code == 1
    db = sqlite.connect("farthing.db")
    db.execute("update job set attempts = ?, parked_at = 1 where kind = 'renew'", (MOST_ATTEMPTS,))
    db.execute("update subscription set retry_at = 1 << 62")
    db.close()
    assert states(full, "--state", "parked") == {"renew": "parked"}
    assert "until retry" in full.told("jobs", "list", "--kind", "renew")
    full.ok("settings", "set", "max_live_grants", "10")
    assert full.ok("jobs", "run", "renewals")["jobs"][0]["done"] == 0
    retried = full.ok("jobs", "retry", "renew", "alice")
    assert (retried["state"], retried["attempts"]) == ("due", 0)
    assert full.ok("jobs", "run", "renewals")["jobs"][0]["done"] == 1
    assert "renew" not in states(full)
    assert full.ok("audit", "--action", "job.retry")["data"][0]["subject"] == "renew:alice"


def test_items_that_wait_are_listed_where_they_are_asked_for(ledger: Cli):
    for account in ("alice", "bob"):
        ledger.ok("grant", account, "5", "--expires", "30d")
    assert ledger.ok("jobs", "list")["data"] == []
    found = ledger.ok("jobs", "list", "--kind", "account", "--limit", "1")["data"]
    assert [(job["subject"], job["state"], job["last_run_at"]) for job in found] == [("alice", "waiting", None)]
    assert len(ledger.ok("jobs", "list", "--workspace", "main")["data"]) == 2
    assert ledger.ok("jobs", "list", "--state", "due")["data"] == []


def test_what_another_process_is_doing_is_not_done_twice(ledger: Cli):
    ledger.ok("worker", "--once")
    db = sqlite.connect("farthing.db")
    db.execute("update job set locked_until = (unixepoch() + 30) * 1000000 where kind = 'rollups'")
    db.close()
    assert ledger.fails("jobs", "run", "rollups")[:2] == (4, "job_running")
    ran = {job["kind"]: job for job in ledger.ok("worker", "--once")["jobs"]}
    assert [kind for kind in STANDING if ran[kind]["skipped"]] == ["rollups"]


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (["jobs", "run", "nothing"], 2, "invalid"),
        (["jobs", "list", "--state", "broken"], 2, "invalid"),
        (["jobs", "list", "--kind", "nothing"], 2, "invalid"),
        (["jobs", "retry", "renew"], 2, "invalid"),
        (["jobs", "retry", "renewals", "alice"], 2, "invalid"),
        (["jobs", "retry", "renew", "alice"], 1, "job_not_found"),
        (["jobs", "retry", "renewals"], 1, "job_not_found"),
        (["events", "--from", "2026-02-01", "--to", "2026-01-01"], 2, "invalid"),
        (["events", "--type", "jobs.*"], 2, "invalid"),
    ],
)
def test_what_can_not_be_is_refused(ledger: Cli, words: list[str], code: int, name: str):
    assert ledger.fails(*words)[:2] == (code, name)


def test_a_worker_works_until_it_is_told_to_end(fresh: Path, tmp_path: Path):
    shutil.copy(fresh, tmp_path / "farthing.db")
    with program("worker", "--sweep-seconds", "0.05", folder=tmp_path) as running:
        assert running.first == {"working": "sqlite:///farthing.db"}
        db = sqlite.connect(tmp_path / "farthing.db")
        sql = "select count(*) from job where subject = '' and outcome is null and ran_at is not null"
        until(lambda: next(iter(db.execute(sql)))[0] >= len(STANDING))
        db.close()
        code, out, err = running.stop()
    assert (code, out) == (0, "")
    assert [line for line in map(json.loads, err.splitlines()) if line["level"] != "info"] == []
    db = sqlite.connect(tmp_path / "farthing.db")
    assert list(db.execute("select 1 from job where locked_until <> 0")) == []
    db.close()
