"""Payments on the command line: what came in, what waits, whose it is, and whether the books agree."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from farthing.cli import charges
from farthing.clock import FakeClock
from farthing.core.catalogue import Product, TopUp
from farthing.stores.products import Products
from tests.cli.command import Cli
from tests.commerce.market import ACT, Market, market
from tests.support import START_US, UNIT


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with market(tmp_path_factory.mktemp("till")) as made:
        yield made


@pytest.fixture
def shop(opened: Market, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[Market]:
    """The command line beside a server that runs; days ahead of all other tests."""
    monkeypatch.setenv("FARTHING_DATABASE_URL", opened.server.ledger.url)
    forward(opened, 3)
    yield opened
    opened.calm()


def forward(shop: Market, days: float) -> None:
    """All clocks are put forward alike."""
    assert isinstance(shop.server.clock, FakeClock)
    shop.server.clock.advance(days=days)
    shop.ds24.post("clock/advance", days=days)
    shop.pay.post("clock/advance", days=days)


def payment_of(order: dict[str, Any]) -> str:
    return str(order["money"][0]["id"])


def pays(cli: Cli, *words: str) -> dict[str, Any]:
    return cli.ok("payments", *words, "-w", "main")


def test_payments_are_listed_with_what_they_gave_and_what_went_back(shop: Market, cli: Cli):
    account = shop.account()
    order = shop.buy(account)
    shop.ds24.post(f"orders/{order['id']}/refund", amount="4.00")
    (line,) = pays(cli, "list", "--account", account)["data"]
    assert (line["state"], line["amount"], line["refunded"]) == ("credited", "10.00", "4")
    assert (line["credits"], line["taken"], line["offer"]) == ("1000", "400", "writer/1000")
    shown = pays(cli, "show", "digistore24", payment_of(order))
    assert {each["type"] for each in shown.pop("messages")} == {"on_payment", "on_refund"}
    assert shown == line | {"workspace": "main"}
    told = cli.told("payments", "list", "--account", account, "-w", "main").split()
    assert told[-7:] == [payment_of(order), account, "10.00", "EUR", "4", "1000", "credited"]
    assert pays(cli, "list", "--account", account, "--state", "waiting")["data"] == []
    assert pays(cli, "list", "--provider", "stripe", "--account", account)["data"] == []
    assert cli.fails("payments", "show", "stripe", "pi_9", "-w", "main")[:2] == (1, "payment_not_found")
    assert cli.fails("payments", "list", "--state", "lost", "-w", "main")[:2] == (2, "invalid")


def test_what_waits_is_shown_with_its_reason_and_assigned_once(shop: Market, cli: Cli):
    payment, account = payment_of(shop.buy("")), shop.account()
    (found,) = [each for each in pays(cli, "unmatched")["payments"] if each["payment"] == payment]
    assert (found["reason"], found["account"]) == ("no_account", None)
    assert f"digistore24 {payment}: Nobody knows whose it is" in cli.told("payments", "unmatched", "-w", "main")
    words = ("assign", "digistore24", payment)
    assigned = pays(cli, *words, account, "--reason", "he wrote")
    assert (assigned["state"], assigned["account"], assigned["credits"]) == ("credited", account, "1000")
    assert pays(cli, *words, account)["entry"] == assigned["entry"]
    assert shop.balance(account) == 1000
    (record,) = cli.ok("audit", "--action", "payment.assign", "--subject", f"digistore24:{payment}", "-w", "main")[
        "data"
    ]
    assert (record["reason"], record["after"]["account"]) == ("he wrote", account)
    assert record["actor"].startswith("cli:")
    assert cli.fails("payments", *words, "mallory", "-w", "main")[:2] == (1, "payment_claimed")
    assert cli.fails("payments", "assign", "digistore24", "9", account, "-w", "main")[:2] == (1, "payment_not_found")
    assert cli.fails("payments", *words, "a\tb", "-w", "main")[:2] == (2, "invalid")


def test_what_nothing_in_the_catalogue_is_takes_an_offer(shop: Market, cli: Cli):
    payment, account = payment_of(shop.buy(shop.account(), product_id="999")), shop.account()
    words = ("payments", "assign", "digistore24", payment, account, "-w", "main")
    assert cli.fails(*words)[:2] == (2, "invalid")
    assert cli.fails(*words, "--offer", "writer/9")[2] == "offer names nothing that is sold: 'writer/9'"
    assert cli.ok(*words, "--offer", "writer/1000")["credits"] == "1000"
    # Or the catalogue learns what it is sold as, and the message is tried again.
    payment = payment_of(shop.buy(account, product_id="998", amount="10.00"))
    (message,) = pays(cli, "show", "digistore24", payment)["messages"]
    assert message["outcome"] == "waits: unknown_product"
    products = Products(shop.server.ledger.database)
    pack = TopUp(id="late", credits=7 * UNIT, sold_as={"digistore24": "998"})
    shop.server.run(products.put("main", Product(id="late", top_ups=(pack,)), ACT))
    assert pays(cli, "retry", "digistore24", message["id"])["outcome"] == f"credited to {account}"
    assert message["id"] in cli.told("payments", "show", "digistore24", payment, "-w", "main")
    test = payment_of(shop.buy(account, test=True))
    assert cli.fails("payments", "assign", "digistore24", test, account, "-w", "main")[:2] == (
        1,
        "payment_not_assignable",
    )


def test_a_message_is_tried_again_once_what_was_wrong_is_put_right(shop: Market, cli: Cli):
    shop.set("digistore24", product_ids=("102",))
    account = shop.account()
    order = shop.buy(account)
    (event,) = [each for each in pays(cli, "unmatched")["events"] if each["id"] == shop.kept().id]
    assert "unmatched" in event["outcome"]
    shop.set("digistore24", product_ids=())
    assert pays(cli, "retry", "digistore24", event["id"])["outcome"] == f"credited to {account}"
    assert shop.balance(account) == 1000
    assert pays(cli, "show", "digistore24", payment_of(order))["state"] == "credited"
    assert cli.fails("payments", "retry", "stripe", "evt_9", "-w", "main")[:2] == (1, "provider_event_not_found")


def reconcile(shop: Market) -> tuple[str, ...]:
    """The command for the day that the stand-ins have."""
    day = datetime.fromtimestamp(shop.server.clock.now_us() / 1_000_000, UTC).date().isoformat()
    return ("payments", "reconcile", "-w", "main", "--from", day, "--to", day, "--timezone", "Europe/Berlin")


def test_the_books_are_compared_and_what_differs_is_told_with_what_helps(shop: Market, cli: Cli):
    forward(shop, 0.5)
    shop.ds24.post("habits", hold=True)
    missing = payment_of(shop.buy(shop.account()))
    shop.ds24.post("habits", hold=False)
    waits = payment_of(shop.buy(""))
    words = (*reconcile(shop), "--provider", "digistore24")
    done = cli(*words, "--json")
    assert (done.code, done.json["agrees"], done.json["found"]) == (1, False, {"missing_here": 1, "waiting": 1})
    assert [each["payment"] for each in done.json["findings"]] == [missing, waits]
    totals = done.json["totals"]["EUR"]
    assert (totals["paid_there"], totals["paid_here"], totals["agree"]) == ("20.00", "10.00", False)
    told = cli(*words)
    assert "farthing payments assign digistore24 PAYMENT ACCOUNT" in told.out
    assert "Europe/Berlin" in told.err
    shop.ds24.post("messages/release")
    pays(cli, "assign", "digistore24", waits, "bob")
    again = cli(*words)
    assert again.code == 0
    assert again.out.endswith("nothing differs\n")
    assert cli.ok(*reconcile(shop), "--provider", "stripe")["payments"] == 0


def test_where_nothing_can_be_compared_the_command_says_why(shop: Market, cli: Cli):
    words = reconcile(shop)
    shop.ds24.post("weather", mode="rate_limited", seconds=60)
    assert cli.fails(*words, "--provider", "digistore24")[:2] == (4, "provider_rate_limited")
    shop.ds24.post("weather", mode="fine")
    assert cli.fails(*words, "--provider", "paypal")[:2] == (2, "invalid")
    assert cli.fails("payments", "reconcile", "-w", "other", "--provider", "stripe")[:2] == (1, "provider_key_missing")
    assert shop.server.clock.now_us() > START_US


def test_what_an_account_can_be_charged_by_is_listed_preferred_and_forgotten(shop: Market, cli: Cli):
    account = shop.account()
    cut = cli.told("payments", "methods", account, "--provider", "stripe", "-w", "main")
    assert cut == "it has left nothing that could be charged\n"
    shop.set("stripe", success_url="https://shop.example/")
    pack = Product(id="kit", top_ups=(TopUp(id="one", credits=UNIT, price="2.00", currency="EUR"),))
    shop.server.run(Products(shop.server.ledger.database).put("main", pack, ACT))
    words = ("buy", account, "kit/one", "--provider", "stripe", "--keep-method", "-w", "main")
    shop.pay.post(f"checkouts/{cli.ok(*words)['url'].rpartition('/')[2]}/pay")
    (found,) = pays(cli, "methods", account, "--provider", "stripe")["data"]
    assert (found["brand"], found["last4"], found["charged"]) == ("visa", "4242", True)
    assert "visa 4242" in cli.told("payments", "methods", account, "--provider", "stripe", "-w", "main")
    assert pays(cli, "prefer", account, found["id"], "--provider", "stripe")["charged"] is True
    assert pays(cli, "forget", account, found["id"], "--provider", "stripe")["id"] == found["id"]
    again = cli.fails("payments", "forget", account, found["id"], "--provider", "stripe", "-w", "main")
    assert again[:2] == (1, "payment_method_not_found")
    there = cli.fails("payments", "methods", account, "--provider", "digistore24", "-w", "main")
    assert there[0] == 2


def test_a_charge_of_which_nobody_knows_is_shown_and_released_after_a_look(
    shop: Market, cli: Cli, monkeypatch: pytest.MonkeyPatch
):
    account = shop.account()
    shop.buy(account, force_rebilling=True)
    shop.ds24.post("weather", mode="cut", function="createBillingOnDemand")
    words = ("buy", account, "writer/1000", "--charge", "--key", "again-1", "--provider", "digistore24", "-w", "main")
    assert cli.ok(*words)["state"] == "pending"
    shop.ds24.post("weather", mode="fine")
    (found,) = pays(cli, "charges")["data"]
    assert (found["key"], found["account"], found["provider"]) == ("cli:again-1", account, "digistore24")
    release = ("payments", "release", "again-1", "-w", "main")
    assert cli.fails(*release)[:2] == (1, "charge_too_new")
    forward(shop, 1)
    assert cli.ok(*words)["state"] == "pending", "by itself it is never asked for again"
    monkeypatch.setattr(charges, "ON_ITS_WAY_US", 0)
    assert pays(cli, "release", "cli:again-1", "--reason", "Digistore24 has none")["key"] == "cli:again-1"
    assert cli.told("payments", "charges", "-w", "main") == "what became of every charge is known\n"
    assert cli.ok(*words)["state"] == "succeeded"
    assert cli.fails(*release)[:2] == (1, "charge_known")
    assert cli.fails("payments", "release", "nothing", "-w", "main")[:2] == (1, "charge_not_found")
    (record,) = cli.ok("audit", "--action", "charge.release", "-w", "main")["data"]
    assert record["subject"] == "cli:again-1"
