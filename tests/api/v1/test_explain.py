"""A charge explained: from what was used through rule, card version and rounding to grants, balance and refunds."""

from decimal import Decimal
from typing import Any

import pytest

from tests.api.serving import Server
from tests.api.v1.client import Client
from tests.api.v1.reading import read
from tests.api.v1.used import CARD, put_card, use

BOTH_DATABASES = True
FINE = {"id": "fine", "dimension": "pages", "match": {"operation": "scan"}}


@pytest.fixture(scope="module")
def priced(server: Server) -> Server:
    rules = [{**FINE, "price": "0.5", "per": 1_000_000}, *CARD["rules"]]
    put_card(server, {**CARD, "rules": rules}, reason="Prices of winter")
    return server


@pytest.fixture
def user(priced: Server, client: Client, account: str) -> str:
    client.grant(account, "5", category="promotional", expires_at="2027-01-01T00:00:00Z")
    client.grant(account, "100", source={"invoice": "R-1"})
    return account


def explained(client: Client, charge: dict[str, Any]) -> Any:
    return read(client, f"charges/{charge['id']}")


def test_every_step_from_usage_to_balance_is_there(client: Client, user: str):
    found = explained(client, use(client, user))
    assert found["usage"]["dimensions"] == {"input_tokens": "1500", "output_tokens": "800"}
    lines = [
        (line["rule"], line["quantity"], line["price"], line["per"], line["amount"], line["source"])
        for line in found["price"]["lines"]
    ]
    assert lines == [("in", "1500", "2", 1000, "3", "default@1"), ("out", "800", "5", 1000, "4", "default@1")]
    assert (found["price"]["cost"], found["rounded"], found["amount"]) == ("0.01175", "0", "7")
    assert found["card"] == {
        "name": "default@1", "effective_from": "2025-12-02T00:00:00.000000Z", "reason": "Prices of winter",
        "actor": "ops", "created_at": "2025-12-02T00:00:00.000000Z",
    }  # fmt: skip
    promotional, paid = found["grants"]
    assert (promotional["amount"], promotional["category"], promotional["expires_at"]) == (
        "5", "promotional", "2027-01-01T00:00:00.000000Z",
    )  # fmt: skip
    assert (paid["amount"], paid["category"], paid["expires_at"], paid["priority"]) == ("2", "paid", None, 50)
    assert (promotional["scope"], paid["source"]) == ([], {"invoice": "R-1"})
    assert (found["balance_before"], found["balance_after"], found["refunds"]) == ("105", "98", [])


def test_what_was_rounded_is_told_plainly(client: Client, user: str):
    charge = use(client, user, operation="scan", model=None, provider=None, dimensions={"pages": 1})
    found = explained(client, charge)
    assert (found["price"]["exact"], found["amount"], found["rounded"]) == ("0.0000005", "0", "-0.0000005")
    total = sum(Decimal(line["amount"]) for line in found["price"]["lines"])
    assert total == Decimal(found["amount"])


def test_refunds_since_are_listed_and_only_those_of_this_charge(client: Client, user: str):
    first, second = use(client, user), use(client, user)
    for charge, amount in ((first, "1"), (second, "3"), (first, "2.5")):
        body = {"amount": amount, "description": f"because {amount}"}
        client.made(f"charges/{charge['id']}/refund", body, 201)
    found = explained(client, first)
    assert [(r["amount"], r["description"]) for r in found["refunds"]] == [("1", "because 1"), ("2.5", "because 2.5")]
    assert (found["refunded"], found["refundable"]) == ("3.5", "3.5")
    client.made("refunds", {"account": user, "amount": "5"}, 201)  # the second's 4, then 1 of the first
    again = explained(client, first)
    assert [r["amount"] for r in again["refunds"]] == ["1", "2.5", "1"]
    assert sum(Decimal(g["refunded"]) for g in again["grants"]) == Decimal("4.5")


def test_a_given_amount_has_usage_but_neither_price_nor_card(client: Client, user: str):
    found = explained(client, use(client, user, body={"amount": "4"}))
    assert found["usage"]["model"] == "gpt-4o"
    assert (found["price"], found["card"], found["rounded"]) == (None, None, None)


def test_a_plain_charge_says_who_paid(client: Client, user: str):
    found = explained(client, client.charge(user, "6"))
    assert (found["usage"], found["price"], found["card"]) == (None, None, None)
    assert [grant["amount"] for grant in found["grants"]] == ["5", "1"]


def test_a_charge_into_debt_has_no_grant_for_the_rest(client: Client, user: str):
    charge = client.charge(user, "110", shortfall="debt")
    found = explained(client, charge)
    assert (found["debt"], found["balance_after"], len(found["grants"])) == ("5", "-5", 2)


def test_a_settle_is_explained_as_well(client: Client, user: str):
    hold = client.hold(user, "20")
    usage = {"operation": "chat", "model": "m", "dimensions": {"output_tokens": 1000}}
    settled = client.made(f"holds/{hold['id']}/settle", {"usage": usage}, 200)
    found = read(client, f"charges/{settled['entry']}")
    assert (found["hold"], found["amount"], found["card"]["name"]) == (hold["id"], "5", "default@1")
    assert [grant["category"] for grant in found["grants"]] == ["promotional"]
