"""The CountWerk dialect when all goes well: each endpoint over HTTP, on a real ledger."""

import json
from decimal import Decimal
from typing import Any

import pytest

from farthing.core.commands import Adjust, GiveGrant, Refund, SetAccount, TakeCharge
from tests.api.serving import Server, id_of
from tests.support import START_US, UNIT

BOTH_DATABASES = True

HOUR_US = 3_600_000_000


def deduct(account: str, event: str, amount: Any = 5, **more: Any) -> dict[str, Any]:
    return {"account_id": account, "operation": "chat.message", "amount": amount, "usage_event_id": event, **more}


def reserve(server: Server, account: str, amount: Any = 20, **more: Any) -> str:
    body = {"account_id": account, "operation": "image.make", "amount": amount, **more}
    found: str = server.post("reserve", body).data["reservationId"]
    return found


# balance


def test_an_account_that_was_never_seen_has_a_balance_of_0(server: Server, account: str):
    assert server.post("balance", {"account_id": account}).data == {
        "balance": 0,
        "reservedBalance": 0,
        "availableBalance": 0,
        "totalEarned": 0,
        "totalSpent": 0,
        "nextExpiration": None,
    }
    assert server.entries(account) == []


def test_the_balance_counts_what_is_reserved_and_the_available_balance_does_not(server: Server, funded: str):
    server.post("deduct", deduct(funded, "b1", 7.5))
    reserve(server, funded, 20)
    assert server.post("balance", {"account_id": funded}).data == {
        "balance": 92.5,
        "reservedBalance": 20,
        "availableBalance": 72.5,
        "totalEarned": 100,
        "totalSpent": 7.5,
        "nextExpiration": None,
    }


def test_the_balance_says_when_the_next_credits_expire(server: Server, account: str):
    for hours in (2, 1, 3):
        grant = GiveGrant(workspace="main", account=account, amount=UNIT, expires_at=START_US + hours * HOUR_US)
        server.do(grant)
    assert server.post("balance", {"account_id": account}).data["nextExpiration"] == "2026-01-01T01:00:00.000Z"


def test_neither_scoped_grants_nor_the_allowance_count_in_the_balance(server: Server, funded: str):
    server.do(GiveGrant(workspace="main", account=funded, amount=30 * UNIT, scope=("operation:image.*",)))
    server.do(SetAccount(workspace="main", account=funded, allowance=50 * UNIT))
    reserve(server, funded, 40)  # 30 of them from the scoped grant
    data = server.post("balance", {"account_id": funded}).data
    assert (data["balance"], data["reservedBalance"], data["availableBalance"]) == (100, 10, 90)


def test_debt_makes_the_balance_negative(server: Server, account: str):
    server.do(GiveGrant(workspace="main", account=account, amount=UNIT))
    server.do(TakeCharge(workspace="main", account=account, amount=3 * UNIT, shortfall="debt"))
    data = server.post("balance", {"account_id": account}).data
    assert (data["balance"], data["availableBalance"], data["totalSpent"]) == (-2, -2, 3)


# deduct


def test_a_charge_answers_with_its_entry_and_the_balance_after_it(server: Server, funded: str):
    body = deduct(funded, "d1", 5, description="A message", metadata={"model": "gpt-4o"})
    data = server.post("deduct", body).data
    (entry, *_) = server.entries(funded)
    assert data == {
        "transactionId": entry.id,
        "newBalance": 95,
        "deductedAmount": 5,
        "operation": "chat.message",
        "description": "A message",
    }
    assert (entry.kind, entry.amount, entry.key, entry.metadata) == (
        "charge",
        -5 * UNIT,
        "cw.deduct:d1",
        '{"model": "gpt-4o"}',
    )


def test_the_ledger_names_the_key_and_the_request_behind_a_charge(server: Server, funded: str):
    answer = server.post("deduct", deduct(funded, "d2"), X_Request_Id="trace-17")
    assert answer.headers["x-request-id"] == "trace-17"
    (entry, *_) = server.entries(funded)
    assert (entry.request_id, entry.actor) == ("trace-17", f"key:{id_of(server.key)}")


def test_a_description_comes_back_only_when_one_was_given(server: Server, funded: str):
    assert "description" not in server.post("deduct", deduct(funded, "d3")).data
    assert "description" not in server.post("deduct", deduct(funded, "d4", description=None)).data
    assert server.post("deduct", deduct(funded, "d5", description="")).data["description"] == ""


def test_unknown_fields_are_ignored(server: Server, funded: str):
    body = deduct(funded, "d6", 1, credits=50, workspace="other", shortfall="debt", key="x", id="ent_1")
    assert server.post("deduct", body).data["newBalance"] == 99


@pytest.mark.parametrize(
    ("sent", "written", "kept"),
    [
        ("900", "900", ""),
        ("900.0", "900", ""),
        ("9e2", "900", ""),
        ("7.50", "7.5", ""),
        ("0.000001", "0.000001", ""),
        ("0.24000000000000002", "0.24", "0.24000000000000002"),
        ("1.0000005", "1", "1.0000005"),
        ("1.0000015", "1.000002", "1.0000015"),
        ("1.23e-2", "0.0123", ""),
        ("6E-7", "0.000001", "6E-7"),
    ],
)
def test_amounts_are_exact_or_rounded_half_even_with_the_text_as_sent_kept(
    server: Server, account: str, sent: str, written: str, kept: str
):
    server.add(account, 999)
    body = f'{{"account_id":"{account}","operation":"chat.message","amount":{sent},"usage_event_id":"{sent}"}}'
    answer = server.post("deduct", body)
    deducted = answer.raw.decode().partition('"deductedAmount":')[2].partition(",")[0]
    assert Decimal(deducted) == Decimal(written)
    assert ("." in deducted or "E" in deducted) == ("." in written)
    details = json.loads(server.entries(account)[0].body)
    assert details.get("asked", "") == kept


def test_amounts_have_the_decimals_of_their_workspace(tmp_path):
    with Server(tmp_path, scale=0) as server:
        server.add("alice", 10)
        assert server.post("deduct", deduct("alice", "a", 2.5)).data["deductedAmount"] == 2
        assert server.post("deduct", deduct("alice", "b", 3.5)).data == {
            "transactionId": server.entries("alice")[0].id,
            "newBalance": 4,
            "deductedAmount": 4,
            "operation": "chat.message",
        }
        assert server.post("deduct", deduct("alice", "c", 0.5)).told == (400, "INVALID_AMOUNT")


def test_the_header_idempotency_key_can_stand_in_for_the_usage_event_id(server: Server, funded: str):
    body = {"account_id": funded, "operation": "chat.message", "amount": 5}
    first = server.post("deduct", body, Idempotency_Key="h1")
    assert server.post("deduct", body, Idempotency_Key='"h1"').data == first.data
    assert server.post("deduct", {**body, "usage_event_id": "h1"}).data == first.data
    assert server.balance(funded) == 95


def test_the_usage_event_id_wins_over_the_header(server: Server, funded: str):
    for event in ("w1", "w2"):
        server.post("deduct", deduct(funded, event), Idempotency_Key="the same")
    server.post("deduct", deduct(funded, "w1"), Idempotency_Key="another")
    assert server.balance(funded) == 90


def test_a_charge_burns_a_scoped_grant_that_fits_and_the_balance_does_not_move(server: Server, funded: str):
    server.do(GiveGrant(workspace="main", account=funded, amount=10 * UNIT, scope=("operation:chat.*",)))
    assert server.post("deduct", deduct(funded, "s1", 4)).data["newBalance"] == 100
    assert server.post("deduct", deduct(funded, "s2", 8)).data["newBalance"] == 98


def test_two_accounts_may_use_the_same_usage_event_id(server: Server, account: str):
    for name in ("x", "y"):
        server.add(account + name, 10)
        assert server.post("deduct", deduct(account + name, "same")).data["newBalance"] == 5


# reserve, confirm, cancel


def test_a_reservation_says_when_it_ends(server: Server, funded: str):
    body = {"account_id": funded, "operation": "image.make", "amount": 20, "description": "Two images"}
    data = server.post("reserve", body).data
    assert data == {
        "reservationId": "hold" + server.entries(funded)[0].id[3:],
        "operation": "image.make",
        "amount": 20,
        "expiresAt": "2026-01-01T01:00:00.000Z",
        "description": "Two images",
    }
    longest = server.post("reserve", {**body, "validityMinutes": 43_200}).data
    assert longest["expiresAt"] == "2026-01-31T00:00:00.000Z"


def test_what_is_reserved_can_not_be_charged(server: Server, funded: str):
    reserve(server, funded, 96)
    assert server.post("deduct", deduct(funded, "r1", 5)).told == (402, "INSUFFICIENT_CREDITS")
    assert server.post("deduct", deduct(funded, "r1", 4)).data["newBalance"] == 96


def test_repeating_a_reserve_makes_another_reservation_unless_it_has_a_key(server: Server, funded: str):
    body = {"account_id": funded, "operation": "image.make", "amount": 10}
    without = {server.post("reserve", body).data["reservationId"] for _ in range(2)}
    keyed = {server.post("reserve", body, Idempotency_Key="k").data["reservationId"] for _ in range(2)}
    assert (len(without), len(keyed)) == (2, 1)
    assert server.post("balance", {"account_id": funded}).data["reservedBalance"] == 30


def test_confirming_without_an_amount_takes_what_was_reserved(server: Server, funded: str):
    reservation = reserve(server, funded)
    data = server.post("confirm-reservation", {"reservationId": reservation}).data
    assert data == {"reservationId": reservation, "confirmed": True, "actualAmount": 20}
    assert server.balance(funded) == 80


@pytest.mark.parametrize(("actual", "balance"), [(0, 100), (12.5, 87.5), (20, 80), (100, 0)])
def test_confirming_takes_the_actual_amount_and_frees_the_rest(server: Server, funded: str, actual: Any, balance: Any):
    reservation = reserve(server, funded)
    body = {"reservationId": reservation, "actualAmount": actual, "description": "done"}
    assert server.post("confirm-reservation", body).data == {
        "reservationId": reservation,
        "confirmed": True,
        "actualAmount": actual,
        "description": "done",
    }
    data = server.post("balance", {"account_id": funded}).data
    assert (data["balance"], data["reservedBalance"]) == (balance, 0)


def test_confirming_more_than_there_is_fails_and_leaves_the_reservation_as_it_was(server: Server, funded: str):
    reservation = reserve(server, funded)
    answer = server.post("confirm-reservation", {"reservationId": reservation, "actualAmount": 101})
    assert answer.told == (402, "INSUFFICIENT_CREDITS")
    assert answer.json["data"] == {"available": 100, "required": 101, "deficit": 1}
    assert server.post("balance", {"account_id": funded}).data["reservedBalance"] == 20
    assert server.post("confirm-reservation", {"reservationId": reservation, "actualAmount": 100}).status == 200


def test_confirming_again_with_the_reserved_amount_spelled_out_is_the_same(server: Server, funded: str):
    reservation = reserve(server, funded)
    first = server.post("confirm-reservation", {"reservationId": reservation})
    again = server.post("confirm-reservation", {"reservationId": reservation, "actualAmount": 20})
    assert again.data == first.data


def test_cancelling_frees_everything(server: Server, funded: str):
    reservation = reserve(server, funded)
    body = {"reservationId": reservation, "reason": "no need"}
    assert server.post("cancel-reservation", body).data == {
        "reservationId": reservation,
        "cancelled": True,
        "reason": "no need",
    }
    other = reserve(server, funded)
    assert server.post("cancel-reservation", {"reservationId": other}).data == {
        "reservationId": other,
        "cancelled": True,
    }
    data = server.post("balance", {"account_id": funded}).data
    assert (data["balance"], data["reservedBalance"], data["totalSpent"]) == (100, 0, 0)


@pytest.mark.parametrize(
    ("first", "then"),
    [("cancel-reservation", "confirm-reservation"), ("confirm-reservation", "cancel-reservation")],
)
def test_a_reservation_that_has_ended_is_not_found(server: Server, funded: str, first: str, then: str):
    body = {"reservationId": reserve(server, funded)}
    assert server.post(first, body).status == 200
    answer = server.post(then, body)
    assert answer.told == (404, "RESERVATION_NOT_FOUND")
    assert {"cancel-reservation": "cancelled", "confirm-reservation": "confirmed"}[first] in answer.message


def test_a_reservation_frees_itself_and_can_not_be_confirmed_after_that(tmp_path):
    with Server(tmp_path) as server:
        server.add("alice", 100)
        reservation = reserve(server, "alice", validityMinutes=1)
        server.clock.advance(59)  # type: ignore[attr-defined]
        assert server.post("balance", {"account_id": "alice"}).data["reservedBalance"] == 20
        server.clock.advance(1)  # type: ignore[attr-defined]
        assert server.post("balance", {"account_id": "alice"}).data["reservedBalance"] == 0
        for call in ("confirm-reservation", "cancel-reservation"):
            assert server.post(call, {"reservationId": reservation}).told == (404, "RESERVATION_NOT_FOUND")


# add


def source(payment: str) -> dict[str, str]:
    return {"productId": "p-1", "orderId": "o-1", "transactionId": payment}


def test_adding_makes_the_account_and_claims_the_payment(server: Server, account: str):
    body = {"account_id": account, "amount": 900, "source": source(account + "-t"), "description": "Starter"}
    data = server.post("add", body).data
    (entry, opening) = server.entries(account)
    assert data == {"transactionId": entry.id, "newBalance": 900, "addedAmount": 900}
    assert (opening.kind, entry.kind, entry.description) == ("open", "grant", "Starter")
    claims = server.sql("select provider, object, entry from payment where account = ?", account)
    assert claims == [("digistore24", account + "-t", entry.id)]


def test_a_payment_is_credited_once_whoever_tells_of_it(server: Server, account: str):
    grant = GiveGrant(
        workspace="main", account=account, amount=40 * UNIT, key="pay:elsewhere", claim=("digistore24", account + "-p")
    )
    entry = server.do(grant)
    body = {"account_id": account, "amount": 40, "source": source(account + "-p")}
    assert server.post("add", body).data == {"transactionId": entry.id, "newBalance": 40, "addedAmount": 40}
    assert server.balance(account) == 40


def test_credits_that_are_added_first_repay_debt(server: Server, account: str):
    server.do(GiveGrant(workspace="main", account=account, amount=UNIT))
    server.do(TakeCharge(workspace="main", account=account, amount=5 * UNIT, shortfall="debt"))
    assert server.add(account, 10).data["newBalance"] == 6


# transactions


def test_transactions_list_what_moved_the_balance_newest_first(server: Server, funded: str):
    charge = server.post("deduct", deduct(funded, "t1", 5, description="one", metadata={"n": 1.50})).data
    reservation = reserve(server, funded, 10)
    server.post("confirm-reservation", {"reservationId": reservation, "actualAmount": 2})
    server.do(Refund(workspace="main", account=funded, charge=charge["transactionId"]))
    server.do(Adjust(workspace="main", account=funded, amount=-UNIT))
    data = server.post("transactions", {"account_id": funded}).data
    assert [(t["type"], t["amount"], t["balanceAfter"]) for t in data["transactions"]] == [
        ("adjust", -1, 97),
        ("refund", 5, 98),
        ("settle", -2, 93),
        ("charge", -5, 95),
        ("grant", 100, 100),
    ]
    assert data["nextCursor"] is None
    assert data["transactions"][3] == {
        "id": charge["transactionId"],
        "type": "charge",
        "amount": -5,
        "balanceAfter": 95,
        "operation": "chat.message",
        "description": "one",
        "metadata": {"n": 1.5},
        "createdAt": "2026-01-01T00:00:00.000Z",
    }
    assert data["transactions"][4]["operation"] is data["transactions"][4]["metadata"] is None


def test_metadata_comes_back_as_it_was_sent(server: Server, funded: str):
    text = '{"price": 0.10000000000000000001, "big": 123456789012345678901234567890, "e": [1e400], "u": "\\u00e9\\"}"}'
    body = json.dumps(deduct(funded, "m1"))[:-1] + f', "metadata": {text}}}'
    assert server.post("deduct", body).status == 200
    assert text in server.post("transactions", {"account_id": funded}).raw.decode()


def test_pages_follow_one_another_without_gap_or_overlap(server: Server, funded: str):
    for n in range(7):
        server.post("deduct", deduct(funded, f"p{n}", 1))
    seen, cursor, sizes = [], None, []
    while True:
        data = server.post("transactions", {"account_id": funded, "limit": 3, "cursor": cursor}).data
        seen += [t["id"] for t in data["transactions"]]
        sizes.append(len(data["transactions"]))
        cursor = data["nextCursor"]
        if cursor is None:
            break
        server.post("deduct", deduct(funded, f"meanwhile{len(seen)}", 1))
    moved = [e.id for e in server.entries(funded) if e.amount and (e.key or "").find("meanwhile") < 0]
    assert seen == moved
    assert sizes == [3, 3, 2]


def test_a_full_last_page_has_no_cursor(server: Server, funded: str):
    server.post("deduct", deduct(funded, "f1", 1))
    data = server.post("transactions", {"account_id": funded, "limit": 2}).data
    assert (len(data["transactions"]), data["nextCursor"]) == (2, None)


def test_an_account_that_was_never_seen_has_no_transactions(server: Server, account: str):
    assert server.post("transactions", {"account_id": account}).data == {"transactions": [], "nextCursor": None}


# envelope


def test_the_timestamp_is_that_of_the_ledgers_clock_in_utc_with_milliseconds(server: Server, account: str):
    answer = server.post("balance", {"account_id": account})
    assert list(answer.json) == ["success", "data", "timestamp"]
    assert answer.json["timestamp"] == "2026-01-01T00:00:00.000Z"
    assert answer.headers["content-type"] == "application/json"


def test_ids_may_be_any_text(server: Server, account: str):
    name = f"{account} 漢字 \"quoted\" 'and' \\ / 🙂"
    server.add(name, 10)
    assert server.post("deduct", deduct(name, "ключ/%20?#", 4)).data["newBalance"] == 6
    assert server.balance(name) == 6
