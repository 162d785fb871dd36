"""Buying on the command line: a link to buy by, and what was bought; asked of the stand-in for Digistore24."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from farthing.core.purchases import Order, Receipt
from farthing.fakes.digistore24 import KEY, Options, Remote, running
from farthing.stores.billing import Billings
from farthing.stores.purchases import Purchases
from tests.cli.command import URL, Cli
from tests.support import START_US

PACK = {"id": "pack", "credits": "500", "price": "9.00", "currency": "EUR", "sold_as": {"digistore24": "500011"}}


@pytest.fixture(scope="module")
def fake() -> Iterator[Remote]:
    with running(Options(allow_http=True)) as served:
        yield served


@pytest.fixture
def shop(ledger: Cli, fake: Remote, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A ledger that sells a top-up at the stand-in."""
    monkeypatch.setenv("DS24_KEY", KEY)
    Path("bot.json").write_text(json.dumps({"id": "bot", "top_ups": [PACK, {"id": "gift", "credits": "1"}]}))
    ledger.ok("products", "put", "bot", "bot.json")
    ledger.ok("providers", "set", "digistore24", "--api-key", "env:DS24_KEY", "--base-url", fake.url)
    return ledger


def test_buy_prints_a_link_of_the_providers_for_this_account(shop: Cli, fake: Remote):
    url = shop.told("buy", "alice", "bot/pack", "--email", "alice@example.com").strip()
    assert "alice@example.com" in httpx2.get(url, timeout=60).text
    order = fake.post("orders", link=url)
    assert (order["custom"], order["lines"][0]["product_id"], order["money"][0]["amount"]) == (
        "alice",
        "500011",
        "9.00",
    )
    told = shop.ok("buy", "alice", "bot/pack", "--provider", "digistore24")
    assert told["url"].startswith(fake.url)
    assert (told["account"], told["offer"], told["provider"]) == ("alice", "bot/pack", "digistore24")


def test_what_can_not_be_bought_ends_with_a_code(shop: Cli, fake: Remote, monkeypatch: pytest.MonkeyPatch):
    assert shop.fails("buy", "alice", "bot/nothing")[:2] == (1, "offer_not_found")
    assert shop.fails("buy", "alice", "bot/gift")[:2] == (1, "offer_unavailable")
    assert shop.fails("buy", "alice", "bot/pack", "--provider", "paypal")[:2] == (2, "invalid")
    assert shop.fails("buy", "alice", "bot/pack", "--provider", "stripe")[:2] == (1, "provider_key_missing")
    fake.post("weather", mode="rate_limited", seconds=30)
    assert shop.fails("buy", "alice", "bot/pack")[:2] == (4, "provider_rate_limited")
    fake.post("weather", mode="fine")
    shop.ok("providers", "set", "stripe", "--webhook-secret", "env:HOOK")
    assert shop.fails("buy", "alice", "bot/pack")[:2] == (2, "usage")
    monkeypatch.delenv("DS24_KEY")
    code, name, sentence = shop.fails("buy", "alice", "bot/pack", "--provider", "digistore24")
    assert (code, name) == (1, "provider_key_missing")
    assert "env:DS24_KEY" in sentence


def test_buy_charges_without_the_buyer_once_under_its_key(shop: Cli, fake: Remote):
    from farthing.app import open_ledger

    order = fake.post("orders", product_id="500011", amount="9.00", custom="eve", force_rebilling=True)["id"]
    bought("eve", order)
    charged = ("buy", "eve", "bot/pack", "--charge", "--key")
    told = shop.ok(*charged, "k1")
    assert (told["state"], told["key"], told["again"]) == ("succeeded", "k1", False)
    assert fake.get(f"orders/{told['payment']}")["lines"][0]["product_id"] == "500011"
    assert shop.ok(*charged, "k1")["payment"] == told["payment"]
    assert told["payment"] in shop.told(*charged, "k1")
    assert shop.fails(*charged, "k1", "--order", order)[:2] == (1, "key_conflict")
    assert shop.fails(*charged, "k2")[:2] == (4, "provider_rate_limited")
    assert shop.fails("buy", "nobody", "bot/pack", "--charge")[:2] == (1, "failed")
    assert shop.fails("buy", "eve", "bot/nothing", "--charge")[:2] == (1, "offer_not_found")
    assert shop.fails("buy", "eve", "bot/pack", "--charge", "--keep-method")[:2] == (2, "usage")
    assert shop.fails("buy", "eve", "bot/pack", "--key", "k3")[:2] == (2, "usage")
    with open_ledger(URL) as ledger:
        assert ledger.wait(Billings(ledger.database).get("main", "cli:k1")) is not None


def bought(account: str, id: str) -> None:
    """A payment of 9 EUR that came in, of nobody where no account is named."""
    from farthing.app import open_ledger

    order = Order(
        provider="digistore24", id=id, account=account, offer="bot/pack", product="500011", bought_at=START_US
    )
    receipt = Receipt(
        provider="digistore24", payment=f"T-{id}", order=id, offer="bot/pack", amount="9.00", currency="EUR",
        at=START_US, reason="no_account",
    )  # fmt: skip
    with open_ledger(URL) as ledger:
        ledger.wait(Purchases(ledger.database).keep("main", [(order, 0)], [(receipt, 0)]))


def test_an_order_of_nobody_is_claimed_and_credited_once(shop: Cli):
    bought("", "AB12CD34")
    assert shop.fails("orders", "list", "alice", "--unclaimed")[:2] == (2, "usage")
    assert [each["id"] for each in shop.ok("orders", "list")["data"]] == ["AB12CD34"]
    (line,) = shop.ok("orders", "list", "--unclaimed")["data"]
    assert (line["id"], line["account"], line["offer"]) == ("AB12CD34", None, "bot/pack")
    claimed = shop.ok("orders", "claim", "digistore24", "AB12CD34", "alice")
    assert (claimed["account"], claimed["payments"][0]["state"], claimed["payments"][0]["credits"]) == (
        "alice", "credited", "500"
    )  # fmt: skip
    assert shop.ok("balance", "alice")["balance"] == "500"
    shop.ok("orders", "claim", "digistore24", "AB12CD34", "alice")
    assert shop.ok("balance", "alice")["balance"] == "500"
    assert shop.fails("orders", "claim", "digistore24", "AB12CD34", "bob")[:2] == (1, "order_claimed")
    assert "AB12CD34" in shop.told("orders", "list", "alice")
    assert "T-AB12CD34" in shop.told("orders", "show", "digistore24", "AB12CD34")
    assert shop.fails("orders", "show", "digistore24", "NOWHERE")[:2] == (1, "order_not_found")
    assert shop.fails("orders", "show", "paypal", "NOWHERE")[:2] == (2, "invalid")
