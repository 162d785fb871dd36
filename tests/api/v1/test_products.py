"""Products of the native API: what is sold, and whose product of which provider it is."""

from typing import Any

import pytest

from tests.api.serving import Server
from tests.api.v1.client import Client, new_key, places, told
from tests.api.v1.reading import ask, read
from tests.api.v1.test_subscriptions import put


@pytest.fixture
def plan(client: Client, account: str) -> str:
    """A plan of the test's own."""
    assert put(client, f"plans/{account}-plan", {"allowance": "100", "every": 30}).status == 200
    return f"{account}-plan"


def tier(plan: str, **more: Any) -> dict[str, Any]:
    return {"id": "pro", "plan": plan, "rank": 1, **more}


def pack(**more: Any) -> dict[str, Any]:
    return {"id": "pack", "credits": "500.5", **more}


def test_a_product_is_put_shown_listed_and_archived(client: Client, account: str, plan: str):
    sold = {"price": "19.90", "currency": "EUR", "sold_as": {"stripe": f"price-{account}"}, "name": "Pro"}
    body = {"name": "Bot", "tiers": [tier(plan, **sold)], "top_ups": [pack(category="promotional", expires_days=30)]}
    made = put(client, f"products/{account}", body).json
    assert made["tiers"] == [{**tier(plan, **sold), "description": None}]
    assert made["top_ups"] == [
        {
            **pack(category="promotional", expires_days=30, priority=50, sold_as={}),
            **dict.fromkeys(("name", "price", "currency", "description")),
        }
    ]
    assert read(client, f"products/{account}") == made
    assert made in read(client, "products")["data"]
    archived = client.made(f"products/{account}/archive")
    assert archived["archived_at"] is not None
    assert client.made(f"products/{account}/archive")["archived_at"] == archived["archived_at"]
    assert account not in {product["id"] for product in read(client, "products")["data"]}
    assert account in {product["id"] for product in read(client, "products", archived="true")["data"]}
    # Put again it is on sale again, and what is left out is gone.
    again = put(client, f"products/{account}", {}).json
    assert (again["archived_at"], again["tiers"], again["name"], again["created_at"]) == (
        None,
        [],
        None,
        made["created_at"],
    )


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"colour": "red"}, ["/colour"]),
        ({"tiers": {}}, ["/tiers"]),
        ({"tiers": [5, {"id": "a", "plan": "p", "rank": 1.5}]}, ["/tiers/0", "/tiers/1/rank"]),
        ({"tiers": [{"id": "a"}]}, ["/tiers/0/rank", "/tiers/0/plan"]),
        ({"tiers": [{"id": "a", "plan": "p", "rank": 1, "colour": 5}]}, ["/tiers/0/colour"]),
        ({"top_ups": [{"id": "a"}, {"id": "b", "credits": 5}]}, ["/top_ups/0/credits", "/top_ups/1/credits"]),
        ({"top_ups": [pack(credits="0")]}, ["/top_ups/0/credits"]),
        ({"top_ups": [pack(sold_as={"paypal": "x"})]}, ["/top_ups/0/sold_as"]),
        ({"top_ups": [pack(sold_as="x")]}, ["/top_ups/0/sold_as"]),
        ({"top_ups": [pack(price="1.00")]}, ["/top_ups/0/currency"]),
        ({"top_ups": [pack(price="0", currency="EUR")]}, ["/top_ups/0/price"]),
        ({"top_ups": [pack(), pack()]}, ["/top_ups/1/id"]),
        ({"top_ups": [pack(id="a/b")]}, ["/top_ups/0/id"]),
        ({"top_ups": [pack(id=str(n)) for n in range(101)]}, ["/top_ups"]),
        ({"tiers": [{"id": "a", "plan": "not there", "rank": 1}]}, ["/tiers/0/plan"]),
    ],
)
def test_a_product_that_is_not_right_says_where(client: Client, account: str, body: Any, where: list[str]):
    answer = put(client, f"products/{account}", body)
    assert told(answer) == (400, "invalid")
    assert places(answer) == where
    assert told(ask(client, f"products/{account}")) == (404, "product_not_found")


def test_a_name_with_a_slash_is_refused_and_what_is_not_there_is_not_found(client: Client):
    answer = put(client, "products/a%2Fb", {})
    assert (told(answer), places(answer)) == ((400, "invalid"), ["id"])
    assert client.refused("products/nothing/archive") == (404, "product_not_found")


def test_a_providers_product_is_sold_once_in_a_workspace(client: Client, server: Server, account: str):
    sold = {"top_ups": [pack(sold_as={"digistore24": account})]}
    assert put(client, f"products/{account}", sold).status == 200
    assert put(client, f"products/{account}", sold).status == 200
    client.made(f"products/{account}/archive")
    answer = put(
        client,
        f"products/{account}-2",
        {"top_ups": [{"id": "x", "credits": "1"}, pack(sold_as={"digistore24": account}, id="y")]},
    )
    assert (told(answer), places(answer)) == ((400, "invalid"), ["/top_ups/1/sold_as/digistore24"])
    assert f"{account}/pack" in answer.json["detail"]
    assert put(client, f"products/{account}-2", {"top_ups": [pack(sold_as={"stripe": account})]}).status == 200
    other = client.with_key("admin", "other")
    assert put(other, f"products/{account}", sold).status == 200
    assert told(ask(other, f"products/{account}-2")) == (404, "product_not_found")


def test_a_product_is_put_once_under_a_key_and_not_at_all_in_a_dry_run(client: Client, account: str):
    key, body = new_key(), {"top_ups": [pack()]}
    assert put(client, f"products/{account}", {**body, "dry_run": True}).json["dry_run"] is True
    assert told(ask(client, f"products/{account}")) == (404, "product_not_found")
    first = put(client, f"products/{account}", body, key=key)
    again = put(client, f"products/{account}", body, key=key)
    assert (again.json, again.headers["idempotent-replayed"]) == (first.json, "true")
    assert told(put(client, f"products/{account}", {}, key=key)) == (409, "key_conflict")


def test_who_may_read_sees_products_and_only_admins_change_them(client: Client, account: str):
    reader = client.with_key("read,charge,grant")
    assert ask(reader, "products").status == 200
    assert told(put(reader, f"products/{account}", {})) == (403, "scope_missing")
    assert reader.refused(f"products/{account}/archive") == (403, "scope_missing")


def test_changes_are_in_the_audit_log_with_what_was_before(client: Client, account: str):
    put(client, f"products/{account}", {"name": "One"})
    put(client, f"products/{account}", {"name": "Two"})
    client.made(f"products/{account}/archive")
    records = read(client, "audit", subject=account)["data"]
    assert [record["action"] for record in records] == ["product.archive", "product.put", "product.put"]
    assert (records[1]["before"]["product"]["name"], records[1]["after"]["product"]["name"]) == ("One", "Two")
    assert records[2]["before"] is None
