"""Replays answer byte for byte like the first time, but for `timestamp`; concurrent first calls meet in one charge."""

import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from farthing.core.commands import GiveGrant, Lapse
from farthing.core.records import WorkspaceSettings
from tests.api.serving import Answer, Server
from tests.support import START_US, UNIT

BOTH_DATABASES = True

MINUTE = 60


def without_time(answer: Answer) -> tuple[int, bytes]:
    raw, replaced = re.subn(rb'"timestamp":"[^"]+"', b"", answer.raw)
    assert replaced == 1
    return answer.status, raw


def bodies(account: str, reservation: str) -> dict[str, dict[str, Any]]:
    """One request of each writing endpoint; all have a key."""
    work = {"account_id": account, "operation": "chat.message", "amount": 2.50}
    source = {"productId": "p", "orderId": "o", "transactionId": account}
    return {
        "deduct": {**work, "usage_event_id": "u1", "description": "a\nb", "metadata": {"x": 1}},
        "reserve": {**work, "description": "r"},
        "confirm-reservation": {"reservationId": reservation, "actualAmount": 3.0000004, "description": "c"},
        "cancel-reservation": {"reservationId": reservation, "reason": "n"},
        "add": {"account_id": account, "amount": 7, "source": source, "description": "s"},
    }


@pytest.mark.parametrize("call", ["deduct", "reserve", "confirm-reservation", "cancel-reservation", "add"])
def test_a_replay_answers_byte_for_byte_but_for_the_timestamp(tmp_path, fresh_url: str, call: str):
    with Server(tmp_path, url=fresh_url) as server:
        server.add("alice", 100)
        work = {"account_id": "alice", "operation": "chat.message", "amount": 10}
        body = bodies("alice", server.post("reserve", work).data["reservationId"])[call]
        first = server.post(call, body, Idempotency_Key="same")
        assert first.status == 200
        # Time passes, other things happen to the account, grants lapse; none of it may show.
        server.do(GiveGrant(workspace="main", account="alice", amount=UNIT, expires_at=START_US + MINUTE * UNIT))
        server.post("deduct", {**work, "amount": 1, "usage_event_id": "another"})
        server.clock.advance(90 * MINUTE)  # type: ignore[attr-defined]
        server.ledger.do(Lapse(workspace="main", account="alice"))
        entries = server.count()
        for _ in range(3):
            again = server.post(call, body, Idempotency_Key="same", X_Request_Id="another")
            assert without_time(again) == without_time(first)
            assert again.json["timestamp"] == "2026-01-01T01:30:00.000Z" != first.json["timestamp"]
        assert server.count() == entries


def test_a_replay_needs_neither_credits_nor_an_account_that_may_spend(server: Server, account: str):
    server.add(account, 5)
    body = {"account_id": account, "operation": "chat.message", "amount": 5, "usage_event_id": "last"}
    first = server.post("deduct", body)
    assert first.data["newBalance"] == 0
    assert without_time(server.post("deduct", body)) == without_time(first)


def at_once(callers: int, call: Callable[[int], Answer]) -> list[Answer]:
    """All callers at the same moment, each on a connection of its own."""
    gate = threading.Barrier(callers)

    def wait_and_call(number: int) -> Answer:
        gate.wait(60)
        return call(number)

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(wait_and_call, range(callers)))


def test_50_callers_with_one_new_key_make_one_charge(server: Server, funded: str):
    body = {"account_id": funded, "operation": "chat.message", "amount": 5, "usage_event_id": "stampede"}
    before = len(server.entries(funded))
    answers = at_once(50, lambda _: server.post("deduct", body))
    assert {without_time(a) for a in answers} == {without_time(answers[0])}
    assert answers[0].data["newBalance"] == 95
    assert (server.balance(funded), len(server.entries(funded))) == (95, before + 1)


def test_200_callers_of_1_on_100_credits_get_exactly_100(server: Server, funded: str):
    def call(number: int) -> Answer:
        body = {"account_id": funded, "operation": "chat.message", "amount": 1, "usage_event_id": f"c{number}"}
        return server.post("deduct", body)

    answers = at_once(200, call)
    done = [a for a in answers if a.status == 200]
    assert len(done) == 100
    assert {a.told for a in answers if a.status != 200} == {(402, "INSUFFICIENT_CREDITS")}
    assert sorted(a.data["newBalance"] for a in done) == list(range(100))
    assert server.balance(funded) == 0


def test_20_callers_confirming_one_reservation_take_it_once(server: Server, funded: str):
    work = {"account_id": funded, "operation": "chat.message", "amount": 40}
    body = {"reservationId": server.post("reserve", work).data["reservationId"], "actualAmount": 30}
    answers = at_once(20, lambda _: server.post("confirm-reservation", body))
    assert {without_time(a) for a in answers} == {without_time(answers[0])}
    assert server.balance(funded) == 70


def test_confirming_and_cancelling_at_once_do_one_of_both(server: Server, funded: str):
    work = {"account_id": funded, "operation": "chat.message", "amount": 40}
    body = {"reservationId": server.post("reserve", work).data["reservationId"]}
    answers = at_once(10, lambda n: server.post(("confirm-reservation", "cancel-reservation")[n % 2], body))
    confirmed = [a.status for a in answers[::2]]
    cancelled = [a.status for a in answers[1::2]]
    assert (set(confirmed), set(cancelled)) in (({200}, {404}), ({404}, {200}))
    assert server.balance(funded) == (60 if confirmed[0] == 200 else 100)


def test_callers_of_many_accounts_do_not_disturb_one_another(server: Server, account: str):
    for n in range(8):
        server.add(f"{account}-{n}", 10)

    def call(number: int) -> Answer:
        name = f"{account}-{number % 8}"
        return server.post("deduct", json.dumps({"account_id": name, "operation": "chat.message", "amount": 1,
                                                 "usage_event_id": f"m{number}"}))  # fmt: skip

    assert {a.status for a in at_once(64, call)} == {200}
    assert {server.balance(f"{account}-{n}") for n in range(8)} == {2}


def test_a_hold_that_the_workspace_ends_sooner_is_refused_before_it_is_made(tmp_path):
    with Server(tmp_path, workspace=WorkspaceSettings(hold_max_minutes=59)) as server:
        server.add("alice", 100)
        body = {"account_id": "alice", "operation": "chat.message", "amount": 1}
        assert server.post("reserve", body).told == (400, "INVALID_INPUT")
