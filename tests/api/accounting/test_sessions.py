"""Streaming sessions in the accounting dialect: held, settled once, and freed when nobody ends them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from farthing.core.commands import Release, SetAccount, Settle
from farthing.core.refundable import read_body
from tests.api.accounting.people import Person, somebody, told
from tests.api.accounting.streams import abort, begin, end, kinds
from tests.api.accounting.workspaces import CARD, rates, settings
from tests.support import UNIT

BOTH_DATABASES = True
MINUTE = 60
DAY = 86_400


@pytest.fixture(scope="module", autouse=True)
def priced(server, trusted):
    rates(server)


def usage(server, person: Person) -> list[tuple[Any, ...]]:
    return server.sql("select service, operation, model, tokens, amount from usage where account = ?", person.id)


# Beginning


def test_a_session_holds_the_estimate_and_a_fifth_more(server, rich):
    answer = begin(rich)
    assert (answer.status, answer.json) == (201, {"sessionId": "s", "allocatedCredits": 6, "status": "active"})
    assert rich.total == 94
    assert usage(server, rich) == []
    assert told(rich.post("credits/deduct", {"credits": 94.5})) == (402, "Insufficient credits")


def test_what_is_held_is_exact_and_rounded_half_even_to_the_smallest_unit(rich):
    held = [begin(rich, f"s{tokens}", tokens, "tiny").json["allocatedCredits"] for tokens in (1, 2, 3, 7)]
    # What the estimates cost is 0, 1, 2, 4 of the smallest unit; 0 can't be held.
    assert held == [1e-06, 1e-06, 2e-06, 5e-06]


def test_what_costs_nothing_holds_the_smallest_unit(server, rich):
    assert begin(rich, model="free").json["allocatedCredits"] == 1e-06
    assert end(rich).json == {"sessionId": "s", "actualCredits": 0, "refund": 1e-06}
    assert rich.total == 100


def test_a_repeated_initialize_holds_once(server, rich):
    first, again = begin(rich), begin(rich)
    assert (first.status, first.raw) == (again.status, again.raw)
    assert rich.total == 94
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: begin(rich, "parallel"), range(20)))
    assert {(answer.status, answer.raw) for answer in answers} == {
        (201, b'{"sessionId":"parallel","allocatedCredits":6,"status":"active"}')
    }
    assert rich.total == 88
    assert kinds(server, rich).count("hold") == 2


def test_an_initialize_that_was_sent_before_answers_the_same_after_the_session_has_ended(rich):
    first = begin(rich)
    end(rich)
    assert begin(rich).raw == first.raw
    assert rich.total == 95.5


def test_another_model_or_estimate_under_the_same_name_is_a_conflict(rich):
    begin(rich)
    said = (409, "Session 's' was begun before with another model or estimate")
    assert told(begin(rich, tokens=1001)) == said
    assert told(begin(rich, model="free")) == said
    assert rich.total == 94


@pytest.mark.parametrize("credits", [0, 5.999999])
def test_without_enough_credits_nothing_is_held(server, user, boss, credits):
    if credits:
        boss.allocate(user, credits)
    before = server.entries(user.id)
    assert told(begin(user)) == (402, "Insufficient credits for streaming session")
    assert server.entries(user.id) == before
    assert user.get("streaming-sessions/active") == []
    boss.allocate(user, 6)
    assert begin(user).status == 201


@pytest.mark.parametrize(
    ("change", "field"),
    [
        *(({"sessionId": value}, "sessionId") for value in (None, "", 7, "x" * 101, "a\n", "\0", "é" * 128)),
        *(({"modelId": value}, "modelId") for value in (None, "", 7, "m" * 256)),
        *(({"estimatedTokens": value}, "estimatedTokens") for value in (None, 0, -1, 1.5, "7", True, 10**15, 10**400)),
    ],
)
def test_what_is_missing_or_wrong_in_an_initialize_is_named(rich, change, field):
    body = {"sessionId": "s", "modelId": "gpt-4", "estimatedTokens": 10, **change}
    status, sentence = told(rich.post("streaming-sessions/initialize", body))
    assert status == 400
    assert sentence.startswith(field)
    assert rich.total == 100


def test_an_estimate_that_can_not_be_held_is_refused_by_its_name(rich):
    assert told(begin(rich, tokens=180_000_000_000)) == (
        400,
        "estimatedTokens come to more credits than can be held",
    )


def test_a_model_without_a_price_is_refused_by_its_name(rich):
    status, sentence = told(begin(rich, model="unheard-of"))
    assert status == 400
    assert "unheard-of" in sentence


# Ending


def test_a_finalize_takes_what_was_used_and_frees_the_rest(server, rich):
    begin(rich)
    answer = end(rich)
    assert (answer.status, answer.json) == (200, {"sessionId": "s", "actualCredits": 4.5, "refund": 1.5})
    assert rich.total == 95.5
    assert usage(server, rich) == [("chat-streaming", "gpt-4", "gpt-4", 900, 4_500_000)]
    assert rich.get("usage/stats")["byService"] == {"chat-streaming": 4.5}


def test_a_finished_session_answers_as_it_did_before(server, rich):
    begin(rich)
    first = end(rich, tokens=900)
    assert [end(rich, tokens=tokens).raw for tokens in (900, 901, 0)] == [first.raw] * 3
    assert end(rich, success=False).raw == first.raw
    assert abort(rich).json == {"sessionId": "s", "partialCredits": 4.5, "refund": 1.5}
    assert rich.total == 95.5
    assert len(usage(server, rich)) == 1
    (session,) = rich.get("streaming-sessions/recent")["sessions"]
    assert session["status"] == "completed"


def test_a_finalize_after_an_abort_answers_what_the_abort_took(server, rich):
    begin(rich)
    assert abort(rich, tokensGenerated=200).json == {"sessionId": "s", "partialCredits": 1, "refund": 5}
    assert end(rich).json == {"sessionId": "s", "actualCredits": 1, "refund": 5}
    assert rich.total == 99
    assert len(usage(server, rich)) == 1


def test_twenty_that_end_one_session_settle_it_once(server, rich):
    begin(rich)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: end(rich, tokens=100 * (n % 3)), range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.raw for answer in answers}) == 1
    assert kinds(server, rich).count("settle") == 1
    assert len(usage(server, rich)) == 1


def test_an_abort_without_tokens_takes_nothing(server, rich):
    begin(rich)
    assert abort(rich).json == {"sessionId": "s", "partialCredits": 0, "refund": 6}
    assert rich.total == 100
    assert usage(server, rich) == [("chat-streaming", "gpt-4", "gpt-4", 0, 0)]


def test_an_overrun_is_charged(rich):
    begin(rich)
    assert end(rich, tokens=4000).json == {"sessionId": "s", "actualCredits": 20, "refund": 0}
    assert rich.total == 80


def test_an_overrun_takes_what_there_is_and_the_allowance_and_reports_the_rest(server, user, boss):
    boss.allocate(user, 10)
    server.do(SetAccount(workspace="main", account=user.id, allowance=3 * UNIT))
    begin(user)
    told = end(user, tokens=4000).json
    assert told == {"sessionId": "s", "actualCredits": 13, "refund": 0, "unpaid": 7}
    assert user.total == 0
    assert end(user, tokens=4000).json == told
    assert abort(user).json == {"sessionId": "s", "partialCredits": 13, "refund": 0, "unpaid": 7}
    assert usage(server, user)[0][3:] == (4000, 13 * UNIT)


def test_what_comes_back_keeps_its_expiry(server, user, boss):
    soon, late = (boss.allocate(user, 4, expiryDays=days) for days in (2, 9))
    begin(user)
    end(user, tokens=400)
    allocations = user.get("credits/balance")["activeAllocations"]
    assert [(a["id"], a["credits"], a["expiresAt"]) for a in allocations] == [
        (soon["id"], 2, soon["expiresAt"]),
        (late["id"], 4, late["expiresAt"]),
    ]
    assert len(server.sql("select id from grants where account = ?", user.id)) == 2


def test_the_sessions_of_another_are_unknown(rich, user, admin):
    begin(rich)
    other = somebody(rich.server)
    for person in (other, admin):
        assert told(end(person)) == (404, "Session not found")
        assert told(abort(person)) == (404, "Session not found")
    assert told(end(rich, "nothing")) == (404, "Session not found")
    assert end(rich).status == 200


@pytest.mark.parametrize("value", [None, -1, 1.5, "7", True, [], 10**15])
def test_what_was_used_is_a_whole_number(rich, value):
    begin(rich)
    status, sentence = told(end(rich, tokens=value))
    assert (status, sentence.split()[0]) == (400, "actualTokens")
    if value is not None:
        assert told(abort(rich, tokensGenerated=value))[0] == 400
    assert told(end(rich, success="no"))[0] == 400
    assert abort(rich).status == 200


# Time, and other ways to a hold


def test_a_session_that_nobody_ends_frees_its_credits_and_is_told_to_be_over(server, rich):
    begin(rich)
    server.clock.advance(60 * MINUTE)
    assert rich.total == 100
    status, sentence = told(end(rich))
    assert status == 409
    assert "was not ended in time" in sentence
    assert told(abort(rich)) == (409, sentence)
    assert rich.total == 100
    assert usage(server, rich) == []
    assert told(begin(rich, tokens=5))[0] == 409


def test_a_session_that_is_booked_as_over_is_told_so_also_after_the_clock_stepped_back(server, rich, boss):
    begin(rich)
    server.clock.advance(60 * MINUTE)
    boss.allocate(rich, 1)
    server.clock.jump(-1)
    try:
        status, sentence = told(end(rich))
        (session,) = rich.get("streaming-sessions/recent")["sessions"]
    finally:
        server.clock.jump(1)
    assert (status, "was not ended in time" in sentence) == (409, True)
    assert session["status"] == "failed"
    assert session["completedAt"][:19] in sentence


def test_how_long_a_session_lives_is_a_setting(server, rich):
    settings(server, session_minutes=5)
    try:
        begin(rich)
        server.clock.advance(5 * MINUTE - 1)
        assert end(rich).status == 200
        begin(rich, "late")
        server.clock.advance(5 * MINUTE)
        assert told(end(rich, "late"))[0] == 409
    finally:
        settings(server, session_minutes=60)


@pytest.mark.parametrize("way", ["settled", "released"])
def test_a_hold_that_was_ended_by_itself_ends_the_session(server, rich, way):
    begin(rich)
    (session,) = rich.get("streaming-sessions/active")
    command = Settle if way == "settled" else Release
    server.do(command(workspace="main", account=rich.id, hold=session["id"]))
    assert told(end(rich)) == (409, "Session 's' is over: somebody has settled or released its hold by itself")
    (session,) = rich.get("streaming-sessions/recent")["sessions"]
    assert session["status"] == ("completed" if way == "settled" else "failed")
    assert session["completedAt"] is None


def test_a_finished_session_answers_also_when_its_model_has_lost_its_price(server, rich):
    for name in ("done", "open"):
        begin(rich, name)
    first = end(rich, "done")
    # Later than the card that all tests have: a version begins some seconds ahead.
    server.clock.advance(3)
    rates(server, card={"rules": CARD["rules"][1:]}, begins=server.clock.now_us())
    try:
        assert end(rich, "done", 1).raw == first.raw
        assert begin(rich, "done").status == 201
        status, sentence = told(end(rich, "open"))
        assert status == 400
        assert "gpt-4" in sentence
        assert told(begin(rich, "done", 7))[0] == 409
    finally:
        rates(server, begins=server.clock.now_us() + 1)
        server.clock.advance(1)
    assert end(rich, "open").status == 200
    assert rich.total == 91


def test_what_is_kept_of_a_session_says_what_it_was(server, rich):
    begin(rich)
    (hold,) = [entry for entry in server.entries(rich.id) if entry.kind == "hold"]
    assert (hold.operation, hold.key, hold.actor) == ("gpt-4", "acc.session:s", f"user:{rich.id}")
    terms = read_body(hold).hold
    assert terms is not None
    assert terms.attributes == {"service": "chat-streaming", "model": "gpt-4"}
    end(rich)
    settle = server.entries(rich.id)[0]
    assert (settle.kind, settle.operation, settle.key) == ("settle", "gpt-4", "acc.session.end:s")
