"""What administrators do in the accounting dialect stands in the audit log, which only admins read."""

import pytest

from farthing.core.people import ROLES
from tests.api.accounting.people import somebody
from tests.api.v1.client import Client
from tests.api.v1.reading import read
from tests.support import UNIT

BOTH_DATABASES = True
ACTS = [
    ("POST", "credits/allocate", {"credits": 5}, "account.grant", "105"),
    ("POST", "credits/set", {"credits": 7.5}, "account.set", "7.5"),
    ("DELETE", "credits/remove", {"credits": 30}, "account.adjust", "70"),
    ("PUT", "credits/adjust", {"adjustment": -0.5}, "account.adjust", "99.5"),
    ("PUT", "credits/adjust", {"adjustment": 0.5}, "account.adjust", "100.5"),
]


@pytest.fixture
def log(server, rich):
    """The records about the user, newest first, but for his first credits."""
    key = server.new_key("admin")

    def records():
        return read(Client(server, key), "audit", subject=rich.id)["data"][:-1]

    return records


@pytest.mark.parametrize(("method", "path", "body", "action", "after"), ACTS)
def test_an_act_is_told_with_who_why_before_and_after(rich, boss, log, method, path, body, action, after):
    sent = {"userId": rich.id, "notes": "As agreed", "idempotencyKey": "k", **body}
    for _ in range(2):
        boss.done(method, path, sent, X_Request_Id="req-of-mine")
    (record,) = log()
    assert (record["actor"], record["role"], record["action"]) == (f"user:{boss.id}", "supervisor", action)
    assert (record["reason"], record["request_id"]) == ("As agreed", "req-of-mine")
    assert (record["before"]["balance"], record["after"]["balance"]) == ("100", after)


def test_what_was_refused_is_no_act(rich, boss, log):
    for method, path, body in (
        ("DELETE", "credits/remove", {"credits": 1000}),
        ("PUT", "credits/adjust", {"adjustment": -1000}),
        ("POST", "credits/set", {"credits": -1}),
    ):
        assert boss.send(method, path, {"userId": rich.id, **body}).status == 400
    assert log() == []


def test_what_a_user_spends_is_no_act(rich, log):
    rich.done("POST", "credits/deduct", {"credits": 1})
    assert log() == []


def test_an_account_that_was_made_on_the_way_is_told_too(server, user, boss):
    boss.done("POST", "credits/set", {"userId": user.id, "credits": 1})
    records = read(Client(server, server.new_key("admin")), "audit", subject=user.id)["data"]
    assert [(r["action"], r["role"]) for r in records] == [
        ("account.set", "supervisor"),
        ("account.open", "supervisor"),
    ]
    assert records[0]["after"]["balance"] == "1"
    assert server.entries(user.id)[0].amount == UNIT


@pytest.mark.parametrize("role", ROLES)
def test_only_admins_read_the_log(server, role):
    person = somebody(server, role)
    answer = server.send("GET", "/v1/audit", None, {"Authorization": f"Bearer {person.token}"})
    assert answer.status == (200 if role == "admin" else 403)


def test_an_admin_of_another_workspace_reads_his_own(server, rich):
    stranger = somebody(server, "admin", "other")
    answer = server.send("GET", "/v1/audit", None, {"Authorization": f"Bearer {stranger.token}"})
    assert answer.status == 200
    assert rich.id not in answer.raw.decode()
