"""Rate cards over the native API: versions that are added, read and withdrawn, and all that is wrong with one."""

from typing import Any
from urllib.parse import quote

import pytest

from farthing.api.v1.wire import write_time
from tests.api.serving import Server
from tests.api.v1.client import Client, places, told
from tests.api.v1.pricing import CARD, USED, priced_by, shop
from tests.api.v1.reading import ask, read, whole

BOTH_DATABASES = True

VERSIONS = "rate-cards/default/versions"


@pytest.fixture
def client(server: Server) -> Client:
    return shop(server, None)


def add(client: Client, card: Any = CARD, status: int = 201, path: str = VERSIONS, **more: Any) -> dict[str, Any]:
    return client.made(path, {"card": card, "reason": "for a test", **more}, status)


def in_seconds(client: Client, seconds: int) -> str:
    """The instant so many seconds from now."""
    return write_time(client.server.clock.now_us() + seconds * 1_000_000)


# What is there


def test_the_first_version_makes_the_card_and_begins_at_once(client):
    assert told(ask(client, "rate-cards/default")) == (404, "card_not_found")
    made = add(client)
    assert (made["name"], made["version"], made["reason"], made["withdrawn_at"]) == ("default@1", 1, "for a test", None)
    assert made["effective_from"] == made["created_at"] == in_seconds(client, 0)
    shown = ask(client, "rate-cards/default")
    assert shown.headers["etag"] == '"1"'
    assert shown.json["in_force"] == made | {"state": "in_force", "document": CARD}
    assert (shown.json["scheduled"], shown.json["prices_usage"]) == ([], True)
    assert read(client, "rate-cards")["data"] == [
        {"card": "default", "prices_usage": True, "versions": 1, "in_force": 1, "next_at": None}
    ]
    priced_by(client, "default@1")


def test_a_document_is_shown_as_it_was_sent(client):
    text = '{"card": {"rules": [\n{"id": "a",  "dimension": "images", "price": "1.50"}]}, "reason": "x"}'
    assert client.post(VERSIONS, text).status == 201
    assert b'{"rules": [\n{"id": "a",  "dimension": "images", "price": "1.50"}]}' in ask(client, f"{VERSIONS}/1").raw


def test_a_later_version_begins_when_every_process_can_know_it(client):
    add(client)
    second = add(client, {**CARD, "minimum": "9"})
    assert (second["version"], second["effective_from"]) == (2, in_seconds(client, 2))
    assert read(client, "rate-cards/default")["in_force"]["version"] == 1
    priced_by(client, "default@1")
    assert client.made("quotes", {"usage": USED}, key=None)["amount"] == "7"
    client.server.clock.advance(2)
    assert read(client, "rate-cards/default")["in_force"]["version"] == 2
    priced_by(client, "default@2")
    assert client.made("quotes", {"usage": USED}, key=None)["amount"] == "9"


def test_versions_are_listed_with_their_state(client):
    add(client)
    add(client)
    client.server.clock.advance(5)
    add(client, effective_from=in_seconds(client, 60))
    client.made(f"{VERSIONS}/3/withdraw", {"reason": "no"})
    add(client, effective_from=in_seconds(client, 30))
    lines = whole(client, VERSIONS, limit=2)
    assert [(line["version"], line["state"]) for line in lines] == [
        (4, "scheduled"), (3, "withdrawn"), (2, "in_force"), (1, "past"),
    ]  # fmt: skip
    for line in lines:
        one = read(client, f"{VERSIONS}/{line['version']}")
        assert one == line | {"document": CARD}
    assert [v["version"] for v in read(client, "rate-cards/default")["scheduled"]] == [4]
    assert read(client, "rate-cards")["data"][0]["next_at"] == lines[0]["effective_from"]


def test_other_cards_are_kept_beside_and_price_nothing(client):
    add(client)
    for name in ("draft", "draft.2"):
        add(client, {"rules": [{"id": "a", "dimension": "images", "price": "1"}]}, path=f"rate-cards/{name}/versions")
    lines = whole(client, "rate-cards", limit=1)
    assert [(line["card"], line["prices_usage"]) for line in lines] == [
        ("default", True), ("draft", False), ("draft.2", False),
    ]  # fmt: skip
    priced_by(client, "default@1")


def test_a_profile_of_pricecalc_is_a_card(client):
    profile = {
        "profileVersionId": "p1",
        "status": "active",
        "eurPerCredit": 0.01,
        "rateRules": [{"id": "r", "dimensionKey": "images", "creditsPerUnit": 0.1, "status": "active"}],
    }
    add(client, {"profile": profile})
    priced_by(client, "default@1", {"dimensions": {"images": 3}})
    assert client.made("quotes", {"usage": {"dimensions": {"images": 3}}}, key=None)["amount"] == "0.3"


# Once, and only as was read


def test_a_repeat_answers_the_same_and_adds_nothing(client):
    body = {"card": CARD, "reason": "x"}
    first, again = (client.post(VERSIONS, body, key="k1") for _ in range(2))
    assert (again.raw, again.headers["idempotent-replayed"]) == (first.raw, "true")
    assert first.headers["location"] == "/v1/rate-cards/default/versions/1"
    assert client.refused(VERSIONS, {**body, "reason": "y"}, key="k1") == (409, "key_conflict")
    assert client.refused(VERSIONS, {"card": {**CARD, "minimum": "1"}, "reason": "x"}, key="k1")[1] == "key_conflict"
    assert len(whole(client, VERSIONS)) == 1
    assert client.refused(VERSIONS, body, key=None) == (400, "idempotency_key_missing")


def test_a_dry_run_says_what_would_be_and_keeps_nothing(client):
    would = add(client, dry_run=True, status=200)
    assert (would["dry_run"], would["name"]) == (True, "default@1")
    assert told(ask(client, VERSIONS)) == (404, "card_not_found")
    wrong = client.post(VERSIONS, {"card": {"rules": []}, "reason": "x", "dry_run": True})
    assert told(wrong) == (400, "invalid")


def test_a_version_is_added_only_to_what_was_read(client):
    assert client.post(VERSIONS, {"card": CARD, "reason": "x"}, If_Match='"0"').status == 201
    assert told(client.post(VERSIONS, {"card": CARD, "reason": "x"}, If_Match='"0"')) == (412, "precondition_failed")
    seen = ask(client, "rate-cards/default").headers["etag"]
    added = client.post(VERSIONS, {"card": CARD, "reason": "x"}, If_Match=seen)
    assert (added.status, added.headers["etag"]) == (201, '"2"')
    for tag in (seen, 'W/"2"', '"other"'):
        answer = client.post(VERSIONS, {"card": CARD, "reason": "x"}, If_Match=tag)
        assert told(answer) == (412, "precondition_failed"), tag
    assert client.refused(VERSIONS, {"card": CARD, "reason": "x"}, If_Match="2") == (400, "invalid")


def test_acts_are_in_the_audit_log_with_their_reason(client):
    add(client, reason="prices of 2027")
    add(client, effective_from=in_seconds(client, 60))
    client.made(f"{VERSIONS}/2/withdraw", {"reason": "a typing error"})
    acts = read(client, "audit", subject="default")["data"]
    assert [(act["action"], act["reason"]) for act in acts] == [
        ("card.withdraw", "a typing error"), ("card.add", "for a test"), ("card.add", "prices of 2027"),
    ]  # fmt: skip


# Time


@pytest.mark.parametrize("begins", [-1, 0, 1])
def test_a_version_begins_two_seconds_ahead_at_the_soonest(client, begins):
    add(client)
    answer = client.post(VERSIONS, {"card": CARD, "reason": "x", "effective_from": in_seconds(client, begins)})
    assert (told(answer), places(answer)) == ((400, "invalid"), ["/effective_from"])
    assert len(whole(client, VERSIONS)) == 1


def test_the_first_version_can_not_begin_in_the_past(client):
    answer = client.post(VERSIONS, {"card": CARD, "reason": "x", "effective_from": in_seconds(client, -1)})
    assert (told(answer), places(answer)) == ((400, "invalid"), ["/effective_from"])


def test_versions_can_not_overlap(client):
    add(client)
    add(client, effective_from=in_seconds(client, 60))
    for seconds in (None, 30, 60):
        when = {} if seconds is None else {"effective_from": in_seconds(client, seconds)}
        answer = client.post(VERSIONS, {"card": CARD, "reason": "x", **when})
        assert (told(answer), places(answer)) == ((409, "overlapping_versions"), ["/effective_from"])
        assert "ersion 2 begins at that time or later" in answer.json["detail"]
    assert add(client, effective_from=in_seconds(client, 61))["version"] == 3


@pytest.mark.parametrize("begins", ["2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-02", "soon", 5])
def test_a_date_that_does_not_exist_is_named(client, begins):
    answer = client.post(VERSIONS, {"card": CARD, "reason": "x", "effective_from": begins})
    assert (told(answer), places(answer)) == ((400, "invalid"), ["/effective_from"])


def test_what_has_begun_is_not_withdrawn(client):
    add(client)
    assert client.refused(f"{VERSIONS}/1/withdraw", {"reason": "x"}) == (409, "card_version_begun")
    assert client.refused(f"{VERSIONS}/2/withdraw", {"reason": "x"}) == (404, "version_not_found")
    for number in ("0", "01", "-1", "x", "9999999999"):
        assert client.refused(f"{VERSIONS}/{number}/withdraw", {"reason": "x"}) == (404, "version_not_found")
    add(client)
    first = client.made(f"{VERSIONS}/2/withdraw", {"reason": "x"})
    assert first["withdrawn_at"] == in_seconds(client, 0)
    # Twice is once; and the time that it had is free again.
    assert client.made(f"{VERSIONS}/2/withdraw", {"reason": "y"}) == first
    assert add(client)["version"] == 3


# What is wrong with a card


RULE: dict[str, Any] = {"id": "a", "dimension": "images", "price": "1"}


@pytest.mark.parametrize(
    ("card", "wrong"),
    [
        ({}, ["/card/rules"]),
        ([], ["/card"]),
        ("text", ["/card"]),
        (None, ["/card"]),
        ({"rulez": []}, ["/card"]),
        ({"rules": [{"id": "a"}]}, ["/card/rules/0"]),
        ({"rules": [{**RULE, "price": "0.123456789012345678901234567890"}]}, ["/card/rules/0/price"]),
        ({"rules": [{**RULE, "price": "-1"}]}, ["/card/rules/0/price"]),
        ({"rules": [{**RULE, "price": 1.5}]}, ["/card/rules/0/price"]),
        ({"rules": [{**RULE, "price": "1e3"}]}, ["/card/rules/0/price"]),
        ({"rules": [{**RULE, "per": 3}]}, ["/card/rules/0/price"]),
        ({"rules": [{**RULE, "dimension": "A B"}]}, ["/card/rules/0/dimension"]),
        ({"rules": [RULE, RULE]}, ["/card/rules/1/id", "/card/rules/1"]),
        ({"rules": [RULE, {**RULE, "id": "b"}]}, ["/card/rules/1"]),
        ({"rules": [RULE], "markup": {"percent": "-101"}}, ["/card/markup/percent"]),
        ({"rules": [RULE], "decimals": 7}, ["/card/decimals"]),
        ({"rules": [{**RULE, "price": "-1", "per": 0}], "rate": "0"}, ["/card/rate", "/card/rules/0/per"]),
        ({"profile": {}, "rules": []}, ["/card/rules"]),
        ({"profile": 5}, ["/card/profile"]),
    ],
)
def test_every_fault_of_a_card_is_told_with_its_place(client, card, wrong):
    answer = client.post(VERSIONS, {"card": card, "reason": "x"})
    assert told(answer) == (400, "invalid")
    assert places(answer) == wrong
    assert told(ask(client, VERSIONS)) == (404, "card_not_found")


def test_two_rules_that_tie_are_named(client):
    answer = client.post(VERSIONS, {"card": {"rules": [RULE, {**RULE, "id": "twin"}]}, "reason": "x"})
    assert "'a'" in answer.json["detail"]
    assert "'twin'" in answer.json["detail"]


def test_a_card_of_many_faults_tells_the_first_hundred(client):
    rules = [{"id": f"r{n}", "dimension": "images", "price": "-1", "priority": n} for n in range(300)]
    answer = client.post(VERSIONS, {"card": {"rules": rules}, "reason": "x"})
    assert len(answer.json["errors"]) == 100


def test_a_card_may_be_large_and_not_too_large(client):
    rules = [
        {"id": f"rule-{n}", "dimension": "input_tokens", "price": "1", "match": {"model": f"model-{n}"}}
        for n in range(5_000)
    ]
    assert client.post(VERSIONS, {"card": {"rules": rules}, "reason": "x"}).status == 201
    answer = client.post(VERSIONS, {"card": {"rules": [RULE], "description": "x" * 1_000_001}, "reason": "x"})
    assert (told(answer), places(answer)) == ((400, "invalid"), ["/card"])
    assert client.refused(VERSIONS, {"card": {"description": "x" * 1_200_000}, "reason": "x"})[0] == 413


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"card": CARD}, ["/reason"]),
        ({"card": CARD, "reason": ""}, ["/reason"]),
        ({"card": CARD, "reason": "x" * 1_001}, ["/reason"]),
        ({"reason": "x"}, ["/card"]),
        ({"card": CARD, "reason": "x", "version": 5}, ["/version"]),
    ],
)
def test_the_rest_of_the_body_is_checked_too(client, body, wrong):
    answer = client.post(VERSIONS, body)
    assert (told(answer), places(answer)) == ((400, "invalid"), wrong)


@pytest.mark.parametrize("name", ["Default", "a b", "-a", "x" * 65, "é"])
def test_a_card_has_a_plain_name(client, name):
    answer = client.post(f"rate-cards/{quote(name)}/versions", {"card": CARD, "reason": "x"})
    assert (told(answer), places(answer)) == ((400, "invalid"), ["card"])


def test_cards_are_changed_by_admins_and_read_by_readers(client):
    add(client)
    workspace = read(client, "settings")["workspace"]["id"]
    reader, seller = client.with_key("read", workspace), client.with_key("charge,grant", workspace)
    assert reader.refused(VERSIONS, {"card": CARD, "reason": "x"}) == (403, "scope_missing")
    assert reader.refused(f"{VERSIONS}/1/withdraw", {"reason": "x"}) == (403, "scope_missing")
    assert ask(reader, "rate-cards/default").status == 200
    assert told(ask(seller, "rate-cards/default")) == (403, "scope_missing")


def test_nobody_sees_the_cards_of_another_workspace(client, server):
    add(client)
    other = shop(server, None)
    for path in ("rate-cards/default", VERSIONS):
        assert told(ask(other, path)) == (404, "card_not_found")
    assert told(ask(other, f"{VERSIONS}/1")) == (404, "version_not_found")
    assert read(other, "rate-cards")["data"] == []
    assert other.refused("quotes", {"usage": USED}, key=None) == (409, "no_card")
