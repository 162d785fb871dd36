"""Jobs by the client, with a clock of its own: in a file, in PostgreSQL, behind a server; both kinds."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import farthing
from farthing import VirtualClock
from farthing.core.jobs import MOST_ATTEMPTS
from tests.client.driving import Place
from tests.postgres import TEMPLATE

BEGUN = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(BEGUN)


@pytest.fixture(params=["sync-sqlite", "async-sqlite", "sync-postgres", "async-postgres"])
def own(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> Iterator[Any]:
    """A client of a ledger that goes by that clock."""
    kind, where = request.param.split("-")
    url = (
        f"sqlite:///{tmp_path}/credits.db" if where == "sqlite" else request.getfixturevalue("databases").make(TEMPLATE)
    )
    place = Place(kind, url, clock=clock)
    yield place.open()
    place.close()


def did(client: Any) -> dict[str, tuple[int, int]]:
    """What each job did, and what failed of it."""
    runs = client.jobs.run_due()
    assert [run.error for run in runs if run.error or run.skipped] == []
    return {run.kind: (run.done, run.failed) for run in runs if run.done or run.failed}


def test_sixty_days_pass_in_a_moment(own, clock):
    own.plans.put("pro", 100, every=1, unit="months")
    own.subscriptions.subscribe("anna", "pro")
    own.grant("anna", 5, expires_at=BEGUN + timedelta(days=40))
    for _ in range(60):
        clock.advance(days=1)
        did(own)
    assert clock.now == BEGUN + timedelta(days=60)
    renewed = [entry.created_at for entry in own.entries("anna", kinds="renew", order="oldest")]
    # Each on the last day of its month.
    assert renewed == [datetime(2026, month, day, 12, tzinfo=UTC) for month, day in ((2, 28), (3, 31))]
    assert own.balance("anna").available == 300
    (lapse,) = own.entries("anna", kinds="lapse")
    assert (lapse.amount, lapse.created_at) == (-5, BEGUN + timedelta(days=40))
    assert did(own) == {}


def test_what_fails_is_listed_parked_and_tried_again_and_told(own, clock):
    own.plans.put("pro", 100, every=30)
    own.subscriptions.subscribe("anna", "pro")
    own.settings.change(max_live_grants=1)
    clock.advance(days=30)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        assert did(own)["renewals"] == (0, 1)
        (job,) = own.jobs.list(kind="renew")
        assert (job.subject, job.attempts, job.last_error) == ("anna", attempt, "too_many_grants")
        clock.advance(hours=6)
    assert (job.state, job.next_at, job.due_at) == ("parked", None, BEGUN + timedelta(days=30))
    assert [each.subject for each in own.jobs.list(state="parked")] == ["anna"]
    parked, *failing = own.events.list()
    assert (parked.type, parked.account, parked.data["attempts"]) == ("jobs.parked", "anna", MOST_ATTEMPTS)
    (first,) = own.events.list(type="subscription.renewal_failed")
    assert first.account == "anna"
    assert {event.type for event in failing} == {"jobs.failing", first.type}
    assert len(list(own.events.list(type="jobs.failing", since=BEGUN, limit=4))) == MOST_ATTEMPTS

    own.settings.change(max_live_grants=10)
    assert did(own) == {}
    retried = own.jobs.retry("renew", "anna", key="again")
    assert (retried.state, retried.attempts, retried.parked_at) == ("due", 0, None)
    assert own.jobs.retry("renew", "anna", key="again").replayed
    assert did(own)["renewals"] == (1, 0)
    assert list(own.jobs.list()) == []
    with pytest.raises(farthing.NotFound, match="no job"):
        own.jobs.retry("renew", "anna")


def test_lapses_that_wait_for_their_time_are_listed(own):
    for account in ("anna", "bert", "carl"):
        own.grant(account, 5, expires_at=BEGUN + timedelta(days=1))
    jobs = list(own.jobs.list(limit=2))
    assert [(job.kind, job.subject, job.state) for job in jobs] == [
        ("account", account, "waiting") for account in ("anna", "bert", "carl")
    ]
    assert list(own.jobs.list(state="due")) == []


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_server_does_its_jobs_by_itself_and_goes_by_its_own_clock(kind, server):
    place = Place(kind, f"http://127.0.0.1:{server.port}", api_key=server.new_key("admin"))
    with pytest.raises(farthing.NotHere, match="run_due: This is for a ledger in this process"):
        place.open().jobs.run_due()
    with pytest.raises(farthing.FarthingError, match="a server goes by its own"):
        place.open(clock=VirtualClock())
    place.close()


def test_a_clock_begins_at_a_time_with_a_zone_and_goes_on_only_when_told():
    clock = VirtualClock(BEGUN)
    assert (clock.now, clock.now) == (BEGUN, BEGUN)
    clock.advance(days=1, hours=2, minutes=3)
    assert clock.now == BEGUN + timedelta(days=1, hours=2, minutes=3)
    assert abs(VirtualClock().now - datetime.now(UTC)) < timedelta(minutes=1)
    with pytest.raises(ValueError, match="must have a zone"):
        VirtualClock(datetime(2026, 1, 1))


def test_the_page_shows_what_comes_of_ninety_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    page = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "jobs.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(program, "page", "exec"), names)
    names["client"].close()
    assert capsys.readouterr().out == "2026-05-01 00:00:00+00:00 400\n"
