"""What was imported, as clients of the old systems meet it: a repeated request is answered as it was there."""

from itertools import count
from typing import Any

import pytest

from tests.api.serving import Server
from tests.importing import Line, bring_to, charged, grant, line

BOTH_DATABASES = True
SOURCE = {"productId": "p1", "orderId": "o1", "transactionId": "T-1"}
_numbers = count()


@pytest.fixture
def moved(server: Server, account: str) -> str:
    """An account with 95 credits, whose deduct of 5 and purchase of 100 were answered before the move."""
    number = next(_numbers)
    source = {**SOURCE, "transactionId": f"T-{number}"}
    payment = {"provider": "digistore24", "object": f"T-{number}"}
    lines: list[Line] = [
        grant(f"g-{number}", account, "95", granted="100", source=source, payment=payment),
        charged(account, "cw.deduct:e1", description="An answer"),
        charged(account, "cw.deduct:e2", "0.24000000000000002"),
        charged(account, "v1:c1", metadata={"chat": "7"}),
        line("key", account=account, key=f"cw.add:T-{number}", kind="grant", amount="100", source=source,
             at="2025-11-01T00:00:00Z", balance="100", id="old-add"),
        line("payment", account=account, provider="digistore24", object=f"S-{number}", credits="30"),
    ]  # fmt: skip
    bring_to(server, lines)
    return account


def deduct(account: str, event: str, amount: Any) -> dict[str, Any]:
    return {"account_id": account, "operation": "chat.message", "amount": amount, "usage_event_id": event}


def test_a_deduct_of_before_the_move_is_answered_as_it_was_and_charges_nothing(server: Server, moved: str) -> None:
    answer = server.post("deduct", deduct(moved, "e1", 5)).data
    assert answer == {
        "transactionId": "old-cw.deduct:e1", "newBalance": 95, "deductedAmount": 5, "operation": "chat.message",
        "description": "An answer",
    }  # fmt: skip
    rounded = server.post("deduct", b'{"account_id": "%s", "operation": "chat.message", "usage_event_id": "e2", '
                          b'"amount": 0.24000000000000002}' % moved.encode()).data  # fmt: skip
    assert rounded["deductedAmount"] == 0.24
    assert server.balance(moved) == 95
    again = server.post("deduct", deduct(moved, "e1", 6))
    assert again.told == (409, "IDEMPOTENCY_CONFLICT")
    assert server.post("deduct", deduct(moved, "e3", 5)).data["newBalance"] == 90


def test_a_purchase_of_before_the_move_is_answered_as_it_was_and_credits_nothing(server: Server, moved: str) -> None:
    source = server.entries(moved)[-2]  # the entry of the grant follows the opening
    assert source.kind == "import"
    payment = next(row[0] for row in server.sql("select object from payment where account = ? and object like 'T-%'",
                                                 moved))  # fmt: skip
    body = {"account_id": moved, "amount": 100, "source": {**SOURCE, "transactionId": payment}}
    assert server.post("add", body).data == {"transactionId": "old-add", "newBalance": 100, "addedAmount": 100}
    assert server.balance(moved) == 95


def test_a_payment_that_came_without_its_grant_is_answered_and_credits_nothing(server: Server, moved: str) -> None:
    payment = next(row[0] for row in server.sql("select object from payment where account = ? and object like 'S-%'",
                                                 moved))  # fmt: skip
    body = {"account_id": moved, "amount": 30, "source": {**SOURCE, "transactionId": payment}}
    answer = server.post("add", body).data
    assert (answer["addedAmount"], answer["newBalance"]) == (30, 95)
    assert server.balance(moved) == 95


def test_the_balance_tells_what_was_earned_and_spent_before_the_move(server: Server, moved: str) -> None:
    told = server.post("balance", {"account_id": moved}).data
    assert (told["balance"], told["totalEarned"], told["totalSpent"]) == (95, 100, 5)
    listed = server.post("transactions", {"account_id": moved}).data["transactions"]
    assert [(each["type"], each["amount"], each["balanceAfter"]) for each in listed] == [("import", 95, 95)]


def test_a_charge_of_before_the_move_is_answered_on_v1_as_a_replay(server: Server, moved: str) -> None:
    headers = {"Authorization": f"Bearer {server.key}", "Idempotency-Key": "c1", "Content-Type": "application/json"}
    asked = b'{"account": "%s", "amount": "5", "operation": "chat.message"}' % moved.encode()
    answer = server.send("POST", "/v1/charges", asked, headers)
    assert (answer.status, answer.headers["idempotent-replayed"]) == (201, "true")
    told = answer.json
    assert (told["id"], told["amount"], told["after"]["balance"], told["metadata"]) == (
        "old-v1:c1", "5", "95", {"chat": "7"}
    )  # fmt: skip
    other = server.send("POST", "/v1/charges", asked.replace(b'"5"', b'"6"'), headers)
    assert (other.status, other.json["code"]) == (409, "key_conflict")
