"""Listings of streaming sessions in the accounting dialect: what is open, and what ended lately."""

import pytest

from tests.api.accounting.people import somebody, told
from tests.api.accounting.streams import abort, begin, end, kinds
from tests.api.accounting.workspaces import rates

BOTH_DATABASES = True
MINUTE = 60


@pytest.fixture(scope="module", autouse=True)
def priced(server, trusted):
    rates(server)


def test_a_session_is_listed_while_it_is_open(server, rich):
    begin(rich, "one")
    server.clock.advance(1)
    begin(rich, "two", 10)
    two, one = rich.get("streaming-sessions/active")
    assert [two["sessionId"], one["sessionId"]] == ["two", "one"]
    assert one == {
        "id": one["id"],
        "sessionId": "one",
        "userId": rich.id,
        "modelId": "gpt-4",
        "estimatedCredits": 5,
        "allocatedCredits": 6,
        "usedCredits": 0,
        "status": "active",
        "startedAt": one["startedAt"],
        "completedAt": None,
    }
    end(rich, "one")
    assert [each["sessionId"] for each in rich.get("streaming-sessions/active")] == ["two"]


def test_recent_has_what_is_open_and_what_ended_lately(server, rich):
    names = ["completed", "unsuccessful", "aborted", "open"]
    for name in names:
        begin(rich, name, 10)
    end(rich, "completed", 5)
    end(rich, "unsuccessful", 5, success=False)
    abort(rich, "aborted")
    found = rich.get("streaming-sessions/recent")
    assert {each["sessionId"]: (each["status"], each["usedCredits"]) for each in found["sessions"]} == {
        "completed": ("completed", 0.025),
        "unsuccessful": ("failed", 0.025),
        "aborted": ("failed", 0),
        "open": ("active", 0),
    }
    assert (found["filter"], found["timestamp"]) == ({"minutes": 5, "userId": rich.id}, found["timestamp"])
    assert found["timestamp"] == found["sessions"][0]["startedAt"]
    server.clock.advance(5 * MINUTE)
    assert [each["sessionId"] for each in rich.get("streaming-sessions/recent")["sessions"]] == ["open"]
    assert len(rich.get("streaming-sessions/recent?minutes=6")["sessions"]) == 4


def test_a_session_whose_time_is_over_has_failed_at_that_time_also_before_it_is_booked(server, rich):
    begin(rich)
    server.clock.advance(60 * MINUTE)
    assert rich.get("streaming-sessions/active") == []
    (session,) = rich.get("streaming-sessions/recent")["sessions"]
    assert (session["status"], session["usedCredits"]) == ("failed", 0)
    assert session["completedAt"] == rich.get("streaming-sessions/recent")["timestamp"]
    rich.done("POST", "credits/deduct", {"credits": 1})  # which books it
    assert kinds(server, rich)[-2:] == ["expire", "charge"]
    assert rich.get("streaming-sessions/recent")["sessions"] == [session]
    server.clock.advance(5 * MINUTE)
    assert rich.get("streaming-sessions/recent")["sessions"] == []
    assert len(rich.get("streaming-sessions/recent?minutes=1440")["sessions"]) == 1


@pytest.mark.parametrize("minutes", ["0", "1441", "-1", "1.5", "five", ""])
def test_minutes_are_a_whole_number_up_to_a_day(rich, minutes):
    status, sentence = told(rich.send("GET", f"streaming-sessions/recent?minutes={minutes}"))
    assert (status, sentence.split()[0]) == (400, "minutes")


def test_those_of_others_are_for_supervisors_and_those_of_all_for_admins(server, rich, boss, admin):
    begin(rich)
    other = somebody(server)
    boss.allocate(other)
    begin(other, "theirs")
    for path in (f"active/{rich.id}", f"active/name-of-{rich.id}"):
        assert [each["sessionId"] for each in boss.get(f"streaming-sessions/{path}")] == ["s"]
    found = boss.get(f"streaming-sessions/recent/{rich.id}@example.com?minutes=7")
    assert ([each["userId"] for each in found["sessions"]], found["filter"]) == (
        [rich.id],
        {"minutes": 7, "userId": rich.id},
    )
    everybody = {each["userId"] for each in admin.get("streaming-sessions/active/all")}
    assert {rich.id, other.id} <= everybody
    for person in (boss, admin):
        recent = person.get("streaming-sessions/recent")
        assert {rich.id, other.id} <= {each["userId"] for each in recent["sessions"]}
        assert recent["filter"] == {"minutes": 5}
    for path in (f"active/{other.id}", f"recent/{other.id}"):
        assert told(rich.send("GET", f"streaming-sessions/{path}")) == (403, "Supervisor access required")
        assert told(boss.send("GET", f"streaming-sessions/{path.replace(other.id, 'nobody')}"))[0] == 404
    for person in (rich, boss):
        assert told(person.send("GET", "streaming-sessions/active/all")) == (403, "Admin access required")


def test_a_workspace_sees_no_session_of_another(server, rich):
    begin(rich)
    admin = somebody(server, "admin", "other")
    assert admin.get("streaming-sessions/active/all") == []
    assert admin.get("streaming-sessions/recent?minutes=1440")["sessions"] == []
    assert told(admin.send("GET", f"streaming-sessions/active/{rich.id}"))[0] == 404


def test_at_most_so_many_are_listed_the_newest(server, rich, monkeypatch):
    monkeypatch.setattr("farthing.stores.stream_sessions.MOST", 3)
    for number in range(4):
        begin(rich, f"s{number}", 1)
        server.clock.advance(1)
    assert [each["sessionId"] for each in rich.get("streaming-sessions/active")] == ["s3", "s2", "s1"]
    for number in range(4):
        end(rich, f"s{number}", 1)
    assert [each["sessionId"] for each in rich.get("streaming-sessions/recent")["sessions"]] == ["s3", "s2", "s1"]
