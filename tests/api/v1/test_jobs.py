"""Jobs and events of the native API: the workspace's own, and nobody else's."""

import json
from typing import Any

import pytest

from farthing.core.commands import GiveGrant
from farthing.core.ids import bucket_of
from farthing.core.jobs import MOST_ATTEMPTS, RENEW, Job
from farthing.core.records import Event
from farthing.stores.events import Events
from farthing.stores.jobs import Jobs, job_row
from farthing.stores.statements import statements
from tests.api.v1.client import Client, new_key, places, told
from tests.support import START_US, UNIT

BOTH_DATABASES = True
HOUR = 3_600_000_000


def get(client: Client, path: str) -> Any:
    return client.server.send("GET", f"/v1/{path}", None, {"X-API-Key": client.api_key})


def listed(client: Client, path: str) -> list[dict[str, Any]]:
    answer = get(client, path)
    assert answer.status == 200, answer.raw
    found: list[dict[str, Any]] = answer.json["data"]
    return found


def put(client: Client, **fields: Any) -> Job:
    """A job as it is in the table."""
    job = Job(**{"kind": RENEW, "workspace": "main", "due_at": client.server.clock.now_us(), **fields})
    client.server.sql(statements("sqlite", "jobs")["put"], *job_row(job))
    return job


def test_items_are_listed_with_what_they_are_doing(client, account):
    at = client.server.clock.now_us()
    client.server.do(GiveGrant(workspace="main", account=account, amount=UNIT, expires_at=at + HOUR))
    put(client, subject=account, attempts=3, locked_until=at + HOUR, last_error="too_many_grants", ran_at=at)
    mine = [job for job in listed(client, "jobs?limit=200") if job["subject"] == account]
    assert [(job["kind"], job["state"], job["attempts"]) for job in mine] == [
        ("account", "waiting", 0), ("renew", "failed", 3),
    ]  # fmt: skip
    assert (mine[1]["last_error"], mine[1]["parked_at"]) == ("too_many_grants", None)
    assert mine[0]["next_at"] == mine[0]["due_at"] == mine[1]["next_at"]
    assert mine[1]["last_run_at"] == mine[1]["due_at"] < mine[1]["next_at"]
    assert [job["subject"] for job in listed(client, "jobs?kind=renew&state=failed&limit=200")].count(account) == 1
    assert account not in [job["subject"] for job in listed(client, "jobs?state=parked&limit=200")]


def test_a_listing_goes_on_where_it_ended_through_all_kinds(client, account):
    names = [f"{account}-{n}" for n in range(3)]
    at = client.server.clock.now_us()
    for name in names:
        client.server.do(GiveGrant(workspace="main", account=name, amount=UNIT, expires_at=at + HOUR))
        put(client, subject=name)
    found, cursor = [], ""
    while True:
        page = get(client, f"jobs?limit=2{cursor}").json
        found += [(job["kind"], job["subject"]) for job in page["data"] if job["subject"] in names]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == [(kind, name) for kind in ("account", "renew") for name in names]


def test_a_job_that_is_parked_is_tried_again_when_somebody_says_so(client, account):
    at = client.server.clock.now_us()
    put(client, subject=account, attempts=MOST_ATTEMPTS, parked_at=at, last_error="too_many_grants")
    assert account in [job["subject"] for job in listed(client, "jobs?state=parked&limit=200")]
    rehearsed = client.made(f"jobs/renew/{account}/retry", {"dry_run": True})
    assert (rehearsed["state"], rehearsed["dry_run"]) == ("due", True)
    key = new_key()
    done = client.made(f"jobs/renew/{account}/retry", key=key)
    assert (done["state"], done["attempts"], done["parked_at"]) == ("due", 0, None)
    again = client.post(f"jobs/renew/{account}/retry", key=key)
    assert (again.json, again.headers["idempotent-replayed"]) == (done, "true")
    (act,) = [a for a in listed(client, "audit?action=job.retry") if a["subject"] == f"renew:{account}"]
    assert (act["before"], act["after"]) == (
        {"attempts": MOST_ATTEMPTS, "parked": True, "last_error": "too_many_grants"},
        {"attempts": 0, "parked": False, "last_error": "too_many_grants"},
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["renew", "account", "renewals", "lapses", "x"])
def test_a_job_that_is_not_there_is_not_found(client, account, kind):
    assert client.refused(f"jobs/{kind}/{account}/retry") == (404, "job_not_found")


@pytest.mark.parametrize(
    "query", ["kind=renewals", "state=broken", "state=", "limit=0", "colour=red", "kind=renew&kind=account"]
)
def test_what_a_listing_of_jobs_can_not_be_asked_for_is_refused(client, query):
    answer = get(client, f"jobs?{query}")
    assert (answer.status, told(answer)[1]) == (400, "invalid")
    assert len(places(answer)) == 1


def test_nobody_sees_or_tries_what_is_of_another_workspace(client, account):
    put(client, subject=account, attempts=1)
    other = client.with_key("admin", "other")
    assert account not in [job["subject"] for job in listed(other, "jobs?limit=200")]
    assert other.refused(f"jobs/renew/{account}/retry") == (404, "job_not_found")
    client.server.run(Events(client.server.ledger.database).add([event(account)]))
    assert [each for each in listed(other, "events?limit=200") if each["account"] == account] == []


def test_reading_is_enough_to_look_and_not_to_try_again(client, account):
    put(client, subject=account, attempts=1)
    reader = client.with_key("read")
    assert get(reader, "jobs").status == get(reader, "events").status == 200
    assert reader.refused(f"jobs/renew/{account}/retry") == (403, "scope_missing")


def event(account: str, n: int = 0, type: str = "jobs.parked") -> Event:
    bucket = bucket_of("main", account)
    id = f"evt_{START_US // 1000:012x}{n:017x}{bucket:03x}"
    return Event(id, "main", account, bucket, type, START_US + n, {"n": n, "account": account})


def test_events_are_listed_newest_first_or_oldest_by_type_and_time(client, account):
    a, b = "dispute.opened", "dispute.closed"  # no other test here has any
    made = [event(account, n, (a, b)[n % 2]) for n in range(4)]
    client.server.run(Events(client.server.ledger.database).add(made))

    def numbers(query: str) -> list[int]:
        return [each["data"]["n"] for each in listed(client, f"events?{query}")]

    assert numbers(f"type={a}") == [2, 0]
    assert numbers(f"type={b}&order=oldest") == [1, 3]
    assert numbers(f"type={b}&from=2026-01-01T00:00:00.000002Z") == [3]
    assert numbers(f"type={b}&to=2026-01-01T00:00:00.000002Z") == [1]
    page = get(client, f"events?type={a}&limit=1").json
    assert page["has_more"]
    assert numbers(f"type={a}&limit=1&cursor={page['next_cursor']}") == [0]
    first = page["data"][0]
    assert first | {"data": None} == {
        "id": made[2].id, "type": a, "account": account, "created_at": "2026-01-01T00:00:00.000002Z",
        "data": None,
    }  # fmt: skip


def test_a_standing_job_is_nobodys_item(client):
    client.server.run(Jobs(client.server.ledger.database).stand(["lapses"], START_US))
    assert "lapses" not in json.dumps(listed(client, "jobs?limit=200"))
