"""Payments of the native API: what came in and what was credited by hand side by side, what waits and whose it is, and
what providers have sent."""

from itertools import count
from typing import Any

import msgspec
import pytest

from farthing.core.commands import GiveGrant
from farthing.core.purchases import Receipt
from farthing.stores.purchases import Purchases
from tests.api.serving import Server
from tests.api.v1.client import Client, encoded, places, told
from tests.api.v1.reading import ask, read, whole
from tests.api.v1.test_products import pack, tier
from tests.api.v1.test_subscriptions import put
from tests.api.v1.test_tokens import Person
from tests.api.v1.test_tokens import trusted as trusted
from tests.support import START_US, UNIT

BOTH_DATABASES = True
_numbers = count()


def came(server: Server, **more: Any) -> Receipt:
    """A payment of 10 credits' worth that waits, since nobody knows whose it is."""
    given: dict[str, Any] = {
        "provider": "digistore24", "payment": f"T{next(_numbers)}", "amount": "10", "currency": "CREDITS",
        "at": START_US, "reason": "no_account", "order": "O1",
    }  # fmt: skip
    receipt = Receipt(**given | more)
    server.run(Purchases(server.ledger.database).keep("main", receipts=[(receipt, 0)]))
    return receipt


def path(receipt: Receipt, act: str = "") -> str:
    return f"payments/{receipt.provider}/{encoded(receipt.payment)}{act}"


def sent(server: Server, body: bytes, kind: str = "on_payment", provider: str = "digistore24") -> str:
    """Something that a provider has sent, and nobody has carried out yet."""
    id = f"event-{next(_numbers)}"
    given = (provider, id, kind, body.decode("latin-1"), START_US, START_US)
    server.run(Purchases(server.ledger.database).received("main", *given))
    return id


# Looking


def test_a_payment_that_waits_says_why_and_one_by_hand_says_what_it_gave(server: Server, client: Client, account: str):
    waits = came(server, account=account, reason="other_amount", offer="writer/1000", returned={"R1": "2.50"})
    entry = server.do(GiveGrant(workspace="main", account=account, amount=5 * UNIT, claim=("acme", f"p/{account}")))
    found = read(client, path(waits))
    assert (found["state"], found["reason"], found["refunded"], found["entry"]) == (
        "waiting",
        "other_amount",
        "2.5",
        None,
    )
    assert found["message"] == "It is not what the catalogue asks for: assign it, if it is right all the same."
    by_hand = read(client, f"payments/acme/{encoded(f'p/{account}')}")
    assert (by_hand["state"], by_hand["amount"], by_hand["credits"]) == ("credited", None, "5")
    assert (by_hand["account"], by_hand["entry"]) == (account, entry.id)
    assert by_hand["grant"] == "grt" + entry.id[3:]
    assert {each["payment"] for each in whole(client, "payments", account=account)} == {waits.payment, f"p/{account}"}
    assert whole(client, "payments", account=account, state="waiting") == [found]
    assert whole(client, "payments/unmatched", account=account) == [found]
    assert whole(client, "payments", account=account, state="credited") == [by_hand]
    assert whole(client, "payments", account=account, provider="stripe") == []


def test_what_was_told_and_what_was_done_by_hand_run_down_side_by_side(server: Server, client: Client, account: str):
    for n in range(7):
        came(server, account=account, at=START_US - n * 1_000, payment=f"{account}-{n}", provider="stripe")
        server.do(GiveGrant(workspace="main", account=account, amount=1, claim=("digistore24", f"{account}-hand-{n}")))
    # One of both kinds is one payment.
    server.do(GiveGrant(workspace="main", account=account, amount=1, claim=("stripe", f"{account}-0")))
    every = read(client, "payments", account=account)["data"]
    assert len(every) == 14
    keys = [(each["created_at"], each["provider"], each["payment"]) for each in every]
    assert keys == sorted(keys, reverse=True)
    for limit in (1, 3, 13):
        assert whole(client, "payments", account=account, limit=limit) == every


# Whose it is


def test_a_payment_is_assigned_once_and_the_log_says_who_and_why(server: Server, client: Client, account: str):
    receipt = came(server)
    body = {"account": account, "reason": "he wrote to us"}
    done = client.made(path(receipt, "/assign"), body, key=f"key-{account}")
    assert (done["state"], done["account"], done["credits"], done["message"]) == ("credited", account, "10", None)
    again = client.post(path(receipt, "/assign"), body, key=f"key-{account}")
    assert (again.status, again.json, again.headers["idempotent-replayed"]) == (200, done, "true")
    assert client.made(path(receipt, "/assign"), {"account": account})["entry"] == done["entry"]
    assert read(client, f"accounts/{account}")["balance"] == "10"
    other = client.post(path(receipt, "/assign"), {"account": "mallory"}, key=f"key-{account}")
    assert told(other) == (409, "key_conflict")
    assert client.refused(path(receipt, "/assign"), {"account": "mallory"}) == (409, "payment_claimed")
    records = whole(client, "audit", subject=f"digistore24:{receipt.payment}", action="payment.assign")
    first = records[-1]
    assert (first["reason"], first["before"]["reason"], first["after"]["account"]) == (
        "he wrote to us",
        "no_account",
        account,
    )
    assert read(client, f"entries/{done['entry']}")["actor"] == first["actor"]


def test_a_dry_run_says_what_would_be_credited_and_leaves_it_waiting(server: Server, client: Client, account: str):
    receipt = came(server)
    would = client.made(path(receipt, "/assign"), {"account": account, "dry_run": True})
    assert (would["dry_run"], would["state"], would["credits"]) == (True, "credited", "10")
    assert read(client, path(receipt))["state"] == "waiting"
    assert told(ask(client, f"accounts/{account}")) == (404, "account_not_found")
    assert client.made(path(receipt, "/assign"), {"account": account})["credits"] == "10"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"test": True, "reason": "test_mode"}, "payment_not_assignable"),
        ({"reason": "not_paid", "lost": True}, "payment_not_assignable"),
        ({"amount": "", "reason": None}, "payment_not_assignable"),
    ],
)
def test_what_nobody_has_paid_can_not_be_assigned(server: Server, client: Client, account: str, more: Any, code: str):
    receipt = came(server, **more)
    assert client.refused(path(receipt, "/assign"), {"account": account}) == (409, code)
    assert client.refused(path(receipt, "/assign"), {"account": account, "dry_run": True}) == (409, code)
    assert read(client, path(receipt))["state"] == "waiting"


def test_money_of_another_unit_takes_an_offer_that_is_sold(server: Server, client: Client, account: str):
    assert put(client, f"products/{account}", {"top_ups": [pack()]}).status == 200
    receipt = came(server, currency="EUR", reason="unknown_product")
    without = client.post(path(receipt, "/assign"), {"account": account})
    assert (told(without), places(without)) == ((400, "invalid"), ["/offer"])
    unsold = client.post(path(receipt, "/assign"), {"account": account, "offer": f"{account}/other"})
    assert (told(unsold), places(unsold)) == ((400, "invalid"), ["/offer"])
    done = client.made(path(receipt, "/assign"), {"account": account, "offer": f"{account}/pack"})
    assert (done["credits"], done["offer"]) == ("500.5", f"{account}/pack")


def test_what_the_ledger_would_not_take_is_said_in_its_own_word(server: Server, client: Client, account: str):
    assert put(client, f"plans/{account}", {"allowance": "100", "every": 30}).status == 200
    assert put(client, f"products/{account}", {"tiers": [tier(account)]}).status == 200
    client.made(f"plans/{account}/archive")
    receipt = came(server, offer=f"{account}/pro", currency="EUR", reason="other_amount")
    assert client.refused(path(receipt, "/assign"), {"account": account, "dry_run": True}) == (409, "plan_archived")
    assert read(client, path(receipt))["reason"] == "other_amount"
    assert client.refused(path(receipt, "/assign"), {"account": account}) == (409, "plan_archived")
    assert read(client, path(receipt))["message"].startswith("The ledger would not take it (plan_archived)")
    by_other = came(server)
    server.do(GiveGrant(workspace="main", account=account, amount=1, claim=("digistore24", by_other.payment)))
    assert client.refused(path(by_other, "/assign"), {"account": f"{account}-2"}) == (409, "payment_claimed")
    assert client.made(path(by_other, "/assign"), {"account": account})["credits"] == "0.000001"
    by_hand = f"hand-{account}"
    server.do(GiveGrant(workspace="main", account=account, amount=1, claim=("digistore24", by_hand)))
    nothing_left = client.refused(f"payments/digistore24/{by_hand}/assign", {"account": account})
    assert nothing_left == (409, "payment_not_assignable")
    assert client.refused("payments/digistore24/nobodys/assign", {"account": account}) == (404, "payment_not_found")


def test_a_supervisor_assigns_to_others_and_not_to_himself(server: Server, client: Client, account: str):
    boss = Person(server, f"boss-{account}", "supervisor")
    receipt = came(server)
    own = boss.send("POST", f"/v1/{path(receipt, '/assign')}", {"account": boss.id})
    assert told(own) == (403, "own_account")
    assert boss.send("POST", f"/v1/{path(receipt, '/assign')}", {"account": account}).status == 200
    assert told(boss.send("GET", "/v1/provider-events/digistore24/x")) == (403, "scope_missing")


# What was sent


def test_a_message_is_shown_without_what_opens_doors(server: Server, client: Client):
    words = b"event=on_payment&order_id=O1&purchase_key=GEHEIM77&sha_sign=ABC"
    id = sent(server, words + b"&renew_url=https%3A%2F%2Fds%2FGEHEIM77&name=J%C3%B6rg")
    (line,) = [each for each in whole(client, "provider-events", unmatched="true") if each["id"] == id]
    assert (line["state"], line["times"], line["outcome"], "body" in line) == ("open", 1, None, False)
    body = read(client, f"provider-events/digistore24/{id}")["body"]
    assert body == {
        "event": "on_payment", "order_id": "O1", "purchase_key": "...", "sha_sign": "...",
        "renew_url": "https://ds/...", "name": "Jörg",
    }  # fmt: skip
    event = {
        "id": "evt_1",
        "data": {"object": {"id": "pi_1", "client_secret": "pi_1_secret_x", "note": ["a", 5, None]}},
    }
    id = sent(server, msgspec.json.encode(event), "payment_intent.succeeded", "stripe")
    shown = read(client, f"provider-events/stripe/{id}")["body"]["data"]["object"]
    assert shown == {"id": "pi_1", "client_secret": "...", "note": ["a", 5, None]}
    assert told(ask(client, f"provider-events/digistore24/{id}")) == (404, "provider_event_not_found")
    reader = client.with_key("read")
    assert told(ask(reader, f"provider-events/stripe/{id}")) == (403, "scope_missing")
    assert [each["id"] for each in whole(reader, "provider-events", provider="stripe") if each["id"] == id] == [id]


def test_a_message_is_tried_again_and_the_log_says_so(server: Server, client: Client):
    id = sent(server, b"event=connection_test", "connection_test")
    retried = f"provider-events/digistore24/{id}/retry"
    assert client.made(retried, {"dry_run": True})["outcome"] == ""
    done = client.made(retried, key=f"key-{id}")
    assert done["outcome"] == "nothing to do"
    assert read(client, f"provider-events/digistore24/{id}")["state"] == "done"
    assert client.post(retried, key=f"key-{id}").headers["idempotent-replayed"] == "true"
    assert client.made(retried)["outcome"] == "nothing to do"
    assert len(whole(client, "audit", action="provider_event.retry", subject=f"digistore24:{id}")) == 2
    broken = sent(server, b"nothing of theirs")
    assert client.refused(f"provider-events/digistore24/{broken}/retry") == (409, "provider_event_failed")
    assert read(client, f"provider-events/digistore24/{broken}")["outcome"].startswith("failed: ")
    assert client.refused("provider-events/stripe/nothing/retry") == (404, "provider_event_not_found")
