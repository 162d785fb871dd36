"""Webhooks over the native API: made, changed, tried, listed and sent again by admins; no secret is shown twice."""

import json
from typing import Any

import pytest

from farthing.core.deliveries import Again, Delivered
from farthing.core.endpoints import MOST_ENDPOINTS, secret_of, secret_problem
from farthing.core.events import told_of
from farthing.stores.endpoints import Endpoints
from farthing.stores.outbox import Outbox, Tried, Want
from tests.api.serving import Answer, Server
from tests.api.v1.client import Client, new_key, places, told
from tests.api.v1.reading import ask, patch, read, whole
from tests.api.v1.test_subscriptions import delete
from tests.support import START_US

BOTH_DATABASES = True
URL = "https://app.example.com/farthing?of=us"
BODY = {"url": URL, "types": ["charge.*"]}
SECRET = secret_of(b"never to be seen again, by anybody")


@pytest.fixture
def admin(client: Client) -> Client:
    """An admin of a workspace whose events nobody is sent."""
    for each in read(client, "webhooks")["data"]:
        assert delete(client, f"webhooks/{each['id']}").status == 200
    return client


def make(client: Client, **more: Any) -> dict[str, Any]:
    return client.made("webhooks", BODY | more, 201)


def shown(made: dict[str, Any]) -> dict[str, Any]:
    """The same without what is shown once."""
    return {name: value for name, value in made.items() if name != "secret"}


def asked(server: Server, type: str = "charge.created") -> tuple[str, ...] | None:
    """Who is told of a type, as a commit would find it."""
    return told_of(server.sql("select told from workspace where id = 'main'")[0][0]).endpoints(type, START_US)


def test_a_webhook_is_made_shown_listed_changed_and_deleted(admin: Client, server: Server):
    made = make(admin, description="for customers", ordered=True)
    assert secret_problem(made["secret"]) is None
    assert made == made | BODY | {
        "description": "for customers", "ordered": True, "state": "enabled", "reason": None, "failing_since": None,
        "secrets": [{"hint": made["secret"][-4:], "until": None}],
    }  # fmt: skip
    assert read(admin, f"webhooks/{made['id']}") == shown(made) | {"waiting": []}
    assert read(admin, "webhooks") == {"data": [shown(made)], "has_more": False, "next_cursor": None}
    assert asked(server) == (made["id"],)
    changes = {"types": ["grant.*", "grant.*"], "url": "https://b.example/", "description": "", "ordered": False}
    changed = patch(admin, f"webhooks/{made['id']}", changes).json
    assert changed == shown(made) | changes | {"types": ["grant.*"], "description": None}
    assert (asked(server), asked(server, "grant.created")) == (None, (made["id"],))
    assert delete(admin, f"webhooks/{made['id']}").json == changed
    assert asked(server, "grant.created") is None
    path = f"webhooks/{made['id']}"
    gone = (ask(admin, path), patch(admin, path, changes), delete(admin, path), admin.post(f"{path}/test"),
            admin.post(f"{path}/rotate-secret"), ask(admin, f"{path}/deliveries"),
            admin.post(f"{path}/redeliver", {"event": "evt_1"}))  # fmt: skip
    assert {told(answer) for answer in gone} == {(404, "webhook_not_found")}


def test_a_secret_of_ones_own_is_taken_and_one_can_be_replaced(admin: Client, server: Server):
    made = make(admin, secret=SECRET)
    assert made["secret"] == SECRET
    rotated = admin.made(f"webhooks/{made['id']}/rotate-secret", {"overlap_seconds": 60})
    assert rotated["secret"] not in (SECRET, None)
    assert [each["hint"] for each in rotated["secrets"]] == [rotated["secret"][-4:], SECRET[-4:]]
    assert rotated["secrets"][1]["until"] == "2026-01-01T00:01:00.000000Z"
    at_once = admin.made(f"webhooks/{made['id']}/rotate-secret", {"overlap_seconds": 0, "secret": SECRET})
    assert (at_once["secret"], len(at_once["secrets"])) == (SECRET, 1)
    found = server.run(Endpoints(server.ledger.database).get("main", made["id"]))
    assert found is not None
    assert found.signing(START_US) == (SECRET,)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"url": None}, ["/url"]),
        ({"url": 5}, ["/url"]),
        ({"url": "http://app.example.com/"}, ["/url"]),
        ({"url": "https://127.0.0.1/"}, ["/url"]),
        ({"url": "https://localhost/"}, ["/url"]),
        ({"url": f"https://app.example.com/{'x' * 2_048}"}, ["/url"]),
        ({"types": None}, ["/types"]),
        ({"types": []}, ["/types"]),
        ({"types": "charge.*"}, ["/types"]),
        ({"types": ["charge.*", "charges.*", "x"]}, ["/types/1", "/types/2"]),
        ({"types": ["*"] * 51}, ["/types"]),
        ({"secret": secret_of(b"x" * 23)}, ["/secret"]),
        ({"secret": secret_of(b"x" * 65)}, ["/secret"]),
        ({"secret": "hunter2"}, ["/secret"]),
        ({"secret": ["x"], "url": "ftp://x", "ordered": "yes"}, ["/ordered", "/secret", "/url"]),
        ({"description": 5, "colour": "red"}, ["/colour", "/description"]),
    ],
)
def test_what_can_not_be_right_is_refused_by_its_name(admin: Client, changes: dict[str, Any], where: list[str]):
    answer = admin.post("webhooks", BODY | changes)
    assert told(answer) == (400, "invalid")
    assert sorted(places(answer)) == where
    assert read(admin, "webhooks")["data"] == []


def test_a_change_is_held_to_the_same(admin: Client):
    path = f"webhooks/{make(admin)['id']}"
    for body, where in (
        ({"url": "https://10.0.0.1/"}, ["/url"]), ({"types": ["x"]}, ["/types/0"]), ({"enabled": "no"}, ["/enabled"]),
        ({}, [""]), ({"secret": SECRET}, ["/secret"]),
    ):  # fmt: skip
        answer = patch(admin, path, body)
        assert (told(answer), places(answer)) == ((400, "invalid"), where)
    for seconds in (-1, 30 * 86_400 + 1):
        assert places(admin.post(f"{path}/rotate-secret", {"overlap_seconds": seconds})) == ["/overlap_seconds"]


def test_disabled_nobody_is_told_and_nothing_is_sent_on_purpose(admin: Client, server: Server, account: str):
    made = make(admin)
    path = f"webhooks/{made['id']}"
    off = patch(admin, path, {"enabled": False}).json
    assert (off["state"], off["reason"], asked(server)) == ("disabled", "user", None)
    assert admin.refused(f"{path}/test") == (409, "webhook_disabled")
    assert admin.refused(f"{path}/redeliver", {"since": "2026-01-01T00:00:00Z"}) == (409, "webhook_disabled")
    on = patch(admin, path, {"enabled": True}).json
    assert (on["state"], on["reason"], asked(server)) == ("enabled", None, (made["id"],))


def test_a_workspace_has_so_many_and_no_more(admin: Client):
    for _ in range(MOST_ENDPOINTS):
        make(admin)
    assert admin.refused("webhooks", BODY) == (409, "too_many_webhooks")
    assert len(read(admin, "webhooks")["data"]) == MOST_ENDPOINTS


def test_the_same_request_is_done_once_and_its_repeat_has_no_secret(admin: Client):
    key = new_key()
    first, again = (admin.post("webhooks", BODY, key=key) for _ in range(2))
    assert again.json == first.json | {"secret": None}
    assert again.headers["idempotent-replayed"] == "true"
    assert told(admin.post("webhooks", BODY | {"secret": SECRET}, key=key)) == (409, "key_conflict")
    path, key = f"webhooks/{first.json['id']}", new_key()
    rotations = [admin.post(f"{path}/rotate-secret", {}, key=key).json for _ in range(2)]
    assert rotations[1] == rotations[0] | {"secret": None}
    sent = [admin.post(f"{path}/test", {}, key=key + "t").json for _ in range(2)]
    assert sent[0] == sent[1]
    assert len(read(admin, path)["waiting"]) == 1


def test_a_dry_run_keeps_nothing(admin: Client):
    would = admin.made("webhooks", BODY | {"dry_run": True})
    assert (would["dry_run"], would["secret"]) == (True, None)
    assert read(admin, "webhooks")["data"] == []
    path = f"webhooks/{make(admin)['id']}"
    admin.made(f"{path}/test", {"dry_run": True})
    assert read(admin, path)["waiting"] == []
    assert places(admin.post(f"{path}/redeliver", {"since": "2026-01-01T00:00:00Z", "dry_run": True})) == ["/dry_run"]


def take(server: Server, id: str) -> list[Any]:
    """What is due for a webhook, in the hands of a sender."""
    outbox, endpoints = Outbox(server.ledger.database), Endpoints(server.ledger.database)
    endpoint = server.run(endpoints.get("main", id))
    assert endpoint is not None
    return server.run(outbox.exchange([], [], [Want(endpoint, 100)], START_US, START_US + 60_000_000))


def note(server: Server, *tried: Tried) -> None:
    outbox = Outbox(server.ledger.database)
    server.run(outbox.exchange(list(tried), [], [], START_US, START_US + 60_000_000))


def test_tries_are_listed_and_what_was_not_delivered_is_sent_again(admin: Client, server: Server, account: str):
    id = make(admin)["id"]
    admin.grant(account)
    admin.charge(account)
    event = admin.made(f"webhooks/{id}/test", status=201)["event"]
    first, second = take(server, id)
    assert {first.event, second.event} > {event}
    tested, charged = (first, second) if first.event == event else (second, first)
    again = Tried(taken=charged, at=START_US, outcome=Again(START_US + 1), status=500, detail="no", millis=7)
    note(server, again, Tried(taken=tested, at=START_US, outcome=Delivered(), status=204, millis=3))
    tries = whole(admin, f"webhooks/{id}/deliveries", limit="1")
    by_type = {each["type"]: each for each in tries}
    assert by_type["webhook.test"] == {
        "event": event, "type": "webhook.test", "attempt": 1, "at": "2026-01-01T00:00:00.000000Z",
        "outcome": "delivered", "status": 204, "detail": None, "millis": 3,
    }  # fmt: skip
    assert [each["detail"] for each in whole(admin, f"webhooks/{id}/deliveries", outcome="failed")] == ["no"]
    assert told(ask(admin, f"webhooks/{id}/deliveries", outcome="")) == (400, "invalid")
    (waits,) = read(admin, f"webhooks/{id}")["waiting"]
    assert (waits["event"], waits["account"], waits["attempts"]) == (charged.event, account, 1)
    since = {"since": "2026-01-01T00:00:00Z"}
    assert admin.made(f"webhooks/{id}/redeliver", since)["events"] == 0, "it waits anyway"
    assert admin.made(f"webhooks/{id}/redeliver", {"event": event}) == {"webhook": id, "events": 1}
    assert len(read(admin, f"webhooks/{id}")["waiting"]) == 2


def test_all_since_a_time_that_it_asks_for_is_sent_again_under_its_key_once(
    admin: Client, server: Server, account: str
):
    kept, id = make(admin, types=["*"])["id"], make(admin)["id"]
    patch(admin, f"webhooks/{id}", {"enabled": False})
    admin.grant(account)
    charges = [admin.charge(account, "1") for _ in range(3)]
    patch(admin, f"webhooks/{id}", {"enabled": True})
    before = len(read(admin, f"webhooks/{id}")["waiting"])
    key, since = new_key(), {"since": "2026-01-01T00:00:00Z"}
    done = [admin.post(f"webhooks/{id}/redeliver", since, key=key) for _ in range(2)]
    assert done[0].json == done[1].json
    assert done[0].json["events"] >= len(charges)
    assert done[1].headers["idempotent-replayed"] == "true"
    waiting = read(admin, f"webhooks/{id}")["waiting"]
    assert len(waiting) == min(before + done[0].json["events"], 20)
    assert read(admin, f"webhooks/{kept}")["waiting"] != []


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, ["/since"]),
        ({"event": "evt_1", "since": "2026-01-01T00:00:00Z"}, ["/event"]),
        ({"since": "yesterday"}, ["/since"]),
        ({"event": 5}, ["/event", "/since"]),
    ],
)
def test_what_is_to_be_sent_again_is_an_event_or_a_time(admin: Client, body: dict[str, Any], where: list[str]):
    answer = admin.post(f"webhooks/{make(admin)['id']}/redeliver", body)
    assert (told(answer), sorted(places(answer))) == ((400, "invalid"), where)


def test_no_event_is_sent_again_that_is_not_there(admin: Client, server: Server):
    path = f"webhooks/{make(admin)['id']}/redeliver"
    for event in ("evt_1", "evt_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"):
        assert admin.refused(path, {"event": event}) == (404, "event_not_found")


def test_no_record_no_log_and_no_refusal_has_a_secret(admin: Client, server: Server):
    made = make(admin, secret=SECRET)
    again = admin.made(f"webhooks/{made['id']}/rotate-secret")["secret"]
    admin.post("webhooks", BODY | {"secret": SECRET[:-9]})
    answers = [read(admin, "webhooks"), read(admin, f"webhooks/{made['id']}"), read(admin, "audit")]
    records = server.sql("select action, detail from audit where action like 'webhook.%'")
    told_of = json.dumps([*answers, str(records), server.log.getvalue()])
    for secret in (SECRET, again):
        assert secret[6:-4] not in told_of


def test_the_audit_log_says_what_was_changed(admin: Client):
    made = make(admin)
    patch(admin, f"webhooks/{made['id']}", {"types": ["grant.*"]})
    newest = read(admin, "audit", action="webhook.update")["data"][0]
    assert (newest["subject"], newest["before"]["types"]) == (made["id"], ["charge.*"])
    assert newest["after"]["types"] == ["grant.*"]


def _all_calls(client: Client, id: str) -> list[Answer]:
    path = f"webhooks/{id}"
    return [
        ask(client, "webhooks"), client.post("webhooks", BODY), ask(client, path), patch(client, path, {}),
        delete(client, path), client.post(f"{path}/rotate-secret"), client.post(f"{path}/test"),
        ask(client, f"{path}/deliveries"), client.post(f"{path}/redeliver", {"event": "evt_1"}),
    ]  # fmt: skip


def test_only_admins_may_and_no_workspace_sees_those_of_another(admin: Client):
    id = make(admin)["id"]
    for scopes in ("read", "charge,grant,read"):
        assert {told(answer) for answer in _all_calls(admin.with_key(scopes), id)} == {(403, "scope_missing")}
    other = admin.with_key("admin", "other")
    answers = [ask(other, f"webhooks/{id}"), delete(other, f"webhooks/{id}"), other.post(f"webhooks/{id}/test")]
    assert {told(answer) for answer in answers} == {(404, "webhook_not_found")}
    assert read(other, "webhooks")["data"] == []
