"""Automatic top-ups on the command line, asked of the stand-in for Digistore24."""

import json
from pathlib import Path

import pytest

from farthing.app import open_ledger
from farthing.core.purchases import Order
from farthing.core.top_up_attempts import Standing
from farthing.core.top_ups import Step
from farthing.engine import Ids
from farthing.fakes.digistore24 import KEY, Options, running
from farthing.stores.purchases import Purchases
from farthing.stores.top_ups import TopUps
from farthing.timezones import calendar
from tests.cli.command import URL, Cli
from tests.support import START_US

PACK = {"id": "pack", "credits": "500", "price": "9.00", "currency": "EUR", "sold_as": {"digistore24": "500011"}}


def bought(account: str, order: str) -> None:
    """As if a notification had told that the account has bought that order."""
    row = Order(provider="digistore24", id=order, account=account, bought_at=START_US)
    with open_ledger(URL) as ledger:
        ledger.wait(Purchases(ledger.database).keep("main", [(row, 0)]))


def pause(account: str) -> None:
    """As if its attempts had failed again and again."""
    failed = Standing(failures=3, paused="failures", paused_at=START_US, url="https://pay.example/1")
    with open_ledger(URL) as ledger:
        main = ledger.wait(ledger.reports.workspace("main"))
        assert main is not None
        top_ups = TopUps(ledger.database, calendar, Ids())
        ledger.wait(top_ups.step(main, account, START_US, lambda _: Step(standing=failed)))


def test_an_account_is_topped_up_once_and_shown_all_the_way(ledger: Cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DS24_KEY", KEY)
    Path("bot.json").write_text(json.dumps({"id": "bot", "top_ups": [PACK, {"id": "gift", "credits": "1"}]}))
    ledger.ok("products", "put", "bot", "bot.json")
    ledger.ok("grant", "alice", "120")
    put = ("top-ups", "set", "alice", "--provider", "digistore24", "--below", "100")
    for more, named in (
        (("--offer", "bot/gift"), "offer"),
        (("--amount", "5"), "amount"),
        (("--offer", "bot/pack", "--cap-day", "-1"), "cap-day"),
        (("--offer", "bot/pack", "--provider", "paypal"), "provider"),
    ):
        code, name, sentence = ledger.fails(*put, *more)
        assert (code, name, sentence.split()[0]) == (2, "invalid", named)
    assert ledger.fails(*put, "--offer", "bot/nothing")[:2] == (1, "offer_not_found")
    assert ledger.fails("top-ups", "show", "nobody")[:2] == (1, "account_not_found")
    assert ledger.ok("top-ups", "show", "alice")["state"] == "off"
    told = ledger.ok(*put, "--offer", "bot/pack", "--cap-month", "5000")
    assert (told["settings"]["threshold"], told["settings"]["cap_month"]) == ("100", "5000")
    assert ledger.ok("top-ups", "check", "alice")["reason"] == "enough"
    with running(Options(allow_http=True)) as fake:
        ledger.ok("providers", "set", "digistore24", "--api-key", "env:DS24_KEY", "--base-url", fake.url)
        order = fake.post("orders", product_id="500011", amount="9.00", custom="alice", force_rebilling=True)["id"]
        bought("alice", order)
        ledger.ok("charge", "alice", "50")
        checked = ledger.ok("top-ups", "check", "alice")
        assert (checked["asked"], checked["state"], checked["attempt"]["credits"]) == (True, "in_flight", "500")
        assert ledger.ok("top-ups", "check", "alice")["asked"] is False
        assert len(fake.get("books")["orders"]) == 2
    (attempt,) = ledger.ok("top-ups", "attempts", "alice")["data"]
    assert (attempt["id"], attempt["state"]) == (checked["attempt"]["id"], "pending")
    assert "pending" in ledger.told("top-ups", "show", "alice")
    assert ledger.ok("top-ups", "resume", "alice")["state"] == "in_flight"
    assert ledger.ok("top-ups", "paused")["data"] == []
    pause("alice")
    (waiting,) = ledger.ok("top-ups", "paused")["data"]
    assert (waiting["account"], waiting["paused"], waiting["url"]) == ("alice", "failures", "https://pay.example/1")
    assert "https://pay.example/1" in ledger.told("top-ups", "show", "alice")
    assert ledger.ok("top-ups", "resume", "alice")["state"] == "ready"
    assert ledger.ok("top-ups", "paused")["data"] == []
    assert ledger.ok("top-ups", "off", "alice")["settings"] is None
    act = ledger.ok("audit", "--action", "account.settings")["data"][0]
    assert act["before"]["settings"]["auto_top_up"]["cap_month"] == "5000"
    assert act["after"]["settings"]["auto_top_up"] is None
