"""The command line looks back: explain, usage listed, summed up and exported, reports, backtest."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from farthing.app import open_ledger
from farthing.cli import usage
from farthing.core.commands import Refund
from farthing.core.history import COLUMNS
from tests.cli.command import Cli, execute

CARD = {
    "rules": [
        {"id": "in", "dimension": "input_tokens", "price": "2", "per": 1000, "cost": "0.0025"},
        {"id": "out", "dimension": "output_tokens", "price": "5", "per": 1000, "cost": "0.01"},
    ],
}
CALL = ("--model", "gpt-4o", "--provider", "openai", "--input-tokens", "1500", "--output-tokens", "800")


@pytest.fixture
def shop(ledger: Cli) -> Cli:
    """A ledger with a rate card, and 100 credits each for alice and bob."""
    return furnished(ledger)


def furnished(ledger: Cli) -> Cli:
    Path("card.json").write_text(json.dumps(CARD))
    ledger.ok("prices", "card", "put", "default", "card.json", "--reason", "prices of winter")
    for account in ("alice", "bob"):
        ledger.ok("grant", account, "100")
    return ledger


def use(shop: Cli, account: str = "alice", *more: str) -> str:
    """Charge for a call of 7 credits; the charge's id."""
    entry: str = shop.ok("charge", account, *CALL, *more)["entry"]
    return entry


# Explain


def test_explain_is_a_page_from_usage_to_balance(shop: Cli):
    id = use(shop, "alice", "--operation", "chat", "--description", "Hello")
    page = shop.told("explain", id)
    for said in (
        "7 credits charged to alice for chat", "1500", "default@1 in", "prices of winter", "nothing to round",
        "0.01175", "balance before 100, after 93", "paid", "Hello",
    ):  # fmt: skip
        assert said in page, said
    found = shop.ok("explain", id)
    assert (found["amount"], found["balance_before"], found["balance_after"]) == ("7", "100", "93")
    assert [(line["rule"], line["amount"]) for line in found["price"]["lines"]] == [("in", "3"), ("out", "4")]
    assert (found["card"]["name"], found["card"]["reason"], found["rounded"]) == ("default@1", "prices of winter", "0")
    assert [grant["amount"] for grant in found["grants"]] == ["7"]
    assert found["refunds"] == []


def test_explain_of_a_given_amount_says_so(shop: Cli):
    id = shop.ok("charge", "alice", "3", "--model", "m")["entry"]
    assert "given by the caller" in shop.told("explain", id)
    plain = shop.ok("charge", "alice", "3")["entry"]
    assert "the caller gave the amount" in shop.told("explain", plain)


def test_explain_of_what_is_no_charge_says_what_it_is(shop: Cli):
    grant = shop.ok("grant", "alice", "1")["entry"]
    code, kind, message = shop.fails("explain", grant)
    assert (code, kind) == (1, "charge_not_found")
    assert "'grant' of alice" in message
    assert shop.fails("explain", "nonsense")[:2] == (1, "charge_not_found")
    assert shop.fails("explain", "ent_" + "0" * 32)[:2] == (1, "charge_not_found")


def test_explain_tells_what_was_rounded_and_what_came_back(ledger: Cli):
    rule = {"id": "pages", "dimension": "pages", "price": "0.0000015"}
    Path("fine.json").write_text(json.dumps({"rules": [rule]}))
    ledger.ok("prices", "card", "put", "default", "fine.json")
    ledger.ok("grant", "alice", "100")
    id = ledger.ok("charge", "alice", "--dimension", "pages=1")["entry"]
    found = ledger.ok("explain", id)
    assert (found["amount"], found["price"]["exact"], found["rounded"]) == ("0.000002", "0.0000015", "0.0000005")
    assert "exactly 0.0000015, rounded by 0.0000005" in ledger.told("explain", id)
    with open_ledger("sqlite:///farthing.db") as opened:
        opened.do(Refund(workspace="main", account="alice", charge=id, amount=1, description="too dear"))
    assert [r["amount"] for r in ledger.ok("explain", id)["refunds"]] == ["0.000001"]
    assert "too dear" in ledger.told("explain", id)


# Usage


def test_usage_is_listed_newest_first_and_by_number(shop: Cli):
    ids = [use(shop, "alice", "--chat", f"c{n}") for n in range(3)]
    found = shop.ok("usage", "list", "alice")
    assert [row["id"] for row in found["data"]] == ids[::-1]
    assert (found["data"][0]["amount"], found["data"][0]["margin"], found["has_more"]) == ("7", "6.98825", False)
    assert [row["id"] for row in shop.ok("usage", "list", "--oldest", "--limit", "2")["data"]] == ids[:2]
    assert [row["id"] for row in shop.ok("usage", "list", "--offset", "1", "--limit", "1")["data"]] == [ids[1]]
    assert [row["id"] for row in shop.ok("usage", "list", "--chat", "c0")["data"]] == [ids[0]]
    assert shop.ok("usage", "list", "bob")["data"] == []
    done = shop("usage", "list", "--limit", "1")
    assert "--offset 1" in done.err
    assert "openai/gpt-4o" in done.out


def test_stats_add_up(shop: Cli):
    use(shop)
    use(shop, "bob")
    shop.ok("charge", "bob", "1")
    found = shop.ok("usage", "stats")
    assert (found["requests"], found["charged"], found["cost"], found["average"]) == (3, "15", "0.0235", "5")
    assert [(m["model"], m["charged"]) for m in found["models"]] == [("gpt-4o", "14"), (None, "1")]
    assert shop.ok("usage", "stats", "bob")["charged"] == "8"
    assert shop.ok("usage", "stats", "--from", "2031-01-01")["average"] == "0"
    assert "openai/gpt-4o" in shop.told("usage", "stats")


def test_an_export_to_standard_output_is_nothing_but_the_rows(shop: Cli, tmp_path: Path):
    ids = [use(shop, "alice", "--chat", "=1+1") for _ in range(3)]
    done = execute("usage", "export", folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["id"] for row in rows] == ids
    assert tuple(rows[0]) == COLUMNS
    assert {row["chat"] for row in rows} == {"'=1+1"}


def test_an_export_to_a_file_appears_complete_or_not_at_all(shop: Cli):
    use(shop)
    done = shop.ok("usage", "export", "alice", "--format", "jsonl", "--out", "alice.jsonl")
    assert done == {"path": "alice.jsonl", "format": "jsonl", "rows": 1}
    (line,) = Path("alice.jsonl").read_text().splitlines()
    assert json.loads(line)["account"] == "alice"
    assert shop.fails("usage", "export", "--out", "alice.jsonl")[:2] == (1, "target_exists")
    Path("other.csv.part").write_text("half")
    assert shop.fails("usage", "export", "--out", "other.csv")[:2] == (1, "target_exists")
    assert Path("other.csv.part").read_text() == "half", "that of another export is left alone"
    assert shop.fails("usage", "export", "--out", "nowhere/x.csv")[0] == 3
    assert sorted(p for p in os.listdir() if "csv" in p or "jsonl" in p) == ["alice.jsonl", "other.csv.part"]


def test_pages_of_an_export_meet(shop: Cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(usage, "PAGE", 2)
    ids = [use(shop) for _ in range(5)]
    for format in ("csv", "jsonl", "table"):
        shop.ok("usage", "export", "--format", format, "--out", f"rows.{format}")
    assert [line.split(",")[0] for line in Path("rows.csv").read_text().splitlines()] == ["id", *ids]
    assert [json.loads(line)["id"] for line in Path("rows.jsonl").read_text().splitlines()] == ids
    lines = Path("rows.table").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["ID", *ids]
    assert len({line.index("ent_") for line in lines[1:]}) == 1, "pages stand below each other"


# Reports


def test_revenue_has_every_day_and_a_total(shop: Cli):
    use(shop)
    shop.ok("charge", "bob", "1")
    found = shop.ok("reports", "revenue", "--timezone", "Europe/Berlin")
    assert len(found["data"]) == 30
    assert (found["total"]["revenue"], found["data"][-1]["revenue"], found["data"][0]["revenue"]) == ("8", "8", "0")
    done = shop("reports", "revenue", "--step", "month")
    assert done.out.splitlines()[0].split()[:2] == ["PERIOD", "REVENUE"]
    assert done.out.splitlines()[-1].split()[:2] == ["total", "8"]
    assert "of 1 request nobody knows" in done.err


def test_models_accounts_and_spending(shop: Cli):
    use(shop, "alice", "--service", "web")
    use(shop, "bob", "--service", "app")
    shop.ok("charge", "bob", "1")
    models = shop.ok("reports", "models")["data"]
    assert [(m["provider"], m["model"], m["revenue"]) for m in models] == [
        ("openai", "gpt-4o", "14"),
        (None, None, "1"),
    ]
    accounts = shop.ok("reports", "accounts", "--limit", "1")
    assert ([a["account"] for a in accounts["data"]], accounts["total"]["revenue"]) == (["bob"], "15")
    spent = shop.ok("reports", "spend", "--by", "service", "--limit", "1")
    assert [(p["service"], p["revenue"]) for p in spent["totals"]] == [("app", "7")]
    today = spent["data"][-1]
    assert ([p["service"] for p in today["parts"]], today["others"]["revenue"], today["revenue"]) == (
        ["app"],
        "8",
        "15",
    )
    assert "(others)" in shop.told("reports", "spend", "--by", "service", "--limit", "1")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("revenue",), "period"), (("models",), "provider"), (("accounts",), "account"),
        (("spend", "--by", "account"), "period"),
    ],
)  # fmt: skip
def test_reports_are_csv_for_programs(shop: Cli, words: tuple[str, ...], name: str):
    use(shop)
    done = shop("reports", *words, "--csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert next(iter(rows[0])) == name
    assert "7" in {row["revenue"] for row in rows}
    assert done.out.endswith("\r\n")
    both = shop("reports", *words, "--csv", "--json")
    assert (both.code, both.json["error"]["code"]) == (2, "usage")


def test_reports_are_the_same_before_and_after_the_sums_are_brought_up_to_date(shop: Cli):
    use(shop)
    first = shop.ok("reports", "revenue")
    use(shop, "bob")
    second = shop.ok("reports", "revenue")
    assert (first["total"]["revenue"], second["total"]["revenue"]) == ("7", "14")


# Backtest


def test_a_backtest_with_a_file_tells_then_and_now(shop: Cli):
    use(shop)
    use(shop, "alice", "--operation", "chat")
    shop.ok("charge", "alice", "80", "--model", "house")
    dear = [
        {**rule, "id": f"{rule['id']}.chat", "match": {"operation": "chat"}, "price": "8"} for rule in CARD["rules"]
    ]
    Path("draft.json").write_text(json.dumps({"rules": [*CARD["rules"], *dear]}))
    found = shop.ok("prices", "backtest", "draft.json")
    assert (found["usages"], found["given"]) == (3, 1)
    assert (found["then"]["revenue"], found["now"]["revenue"], found["difference"]) == ("94", "105.4", "11.4")
    assert [m["model"] for m in found["models"]] == ["house", "gpt-4o"]
    assert found["accounts"]["most_more"] == [
        {"account": "alice", "then": "94", "now": "105.4", "difference": "11.4"},
    ]  # fmt: skip
    assert (found["dry"]["accounts"], found["dry"]["driest"][0]["short"]) == (1, "5.4")
    text = shop.told("prices", "backtest", "draft.json")
    assert "1 account would have run dry" in text
    assert shop.ok("usage", "stats")["requests"] == 3, "nothing was written"


def test_a_backtest_with_a_stored_card(shop: Cli):
    use(shop)
    Path("draft.json").write_text(json.dumps({"rules": [{**rule, "price": "1"} for rule in CARD["rules"]]}))
    shop.ok("prices", "card", "put", "draft", "draft.json")
    for name in ("draft", "draft@1"):
        assert shop.ok("prices", "backtest", name)["now"]["revenue"] == "2.3"
    assert shop.ok("prices", "backtest", "default")["difference"] == "0"
    for name in ("nothing", "draft@2", "draft@x", "@"):
        assert shop.fails("prices", "backtest", name)[:2] == (1, "card_not_found")


def test_a_backtest_tells_what_the_draft_refuses(shop: Cli):
    id = use(shop)
    Path("draft.json").write_text(json.dumps({"rules": CARD["rules"][:1]}))
    (refused,) = shop.ok("prices", "backtest", "draft.json")["refused"]
    assert (refused["code"], refused["usages"], refused["then"]) == ("missing_dimension", 1, "7")
    assert refused["examples"][0]["charge"] == id
    assert id in shop.told("prices", "backtest", "draft.json")


def test_a_backtest_of_a_wrong_card_names_what_is_wrong(shop: Cli):
    Path("draft.json").write_text(json.dumps({"rules": [{"id": "x", "dimension": "input_tokens", "price": "-1"}]}))
    assert shop.fails("prices", "backtest", "draft.json")[:2] == (2, "invalid_card")


# PostgreSQL


def test_all_of_it_works_on_postgresql(cli: Cli, postgres_empty_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FARTHING_DATABASE_URL", postgres_empty_url)
    cli.ok("init")
    shop = furnished(cli)
    ids = [use(shop, "alice", "--chat", "c"), use(shop, "bob")]
    assert shop.ok("explain", ids[0])["card"]["name"] == "default@1"
    assert [row["id"] for row in shop.ok("usage", "list", "--chat", "c")["data"]] == ids[:1]
    assert shop.ok("usage", "stats")["charged"] == "14"
    assert shop.ok("usage", "export", "--out", "rows.csv")["rows"] == 2
    assert shop.ok("reports", "revenue")["total"]["revenue"] == "14"
    assert [each["account"] for each in shop.ok("reports", "accounts")["data"]] == ["alice", "bob"]
    assert shop.ok("reports", "spend", "--by", "account")["totals"][1]["revenue"] == "7"
    assert shop.ok("prices", "backtest", "card.json")["difference"] == "0"


# Bad input


@pytest.mark.parametrize(
    "words",
    [
        ("usage", "list"), ("usage", "stats"), ("usage", "export", "--out", "x.csv"), ("reports", "revenue"),
        ("reports", "models"), ("reports", "accounts"), ("reports", "spend"), ("prices", "backtest", "card.json"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("more", "field"),
    [
        (("--from", "2026-02-30"), "from"),
        (("--to", "2026-13-01"), "to"),
        (("--to", "30d"), "to"),
        (("--from", "2026-02-01", "--to", "2026-01-01"), "from"),
        (("--timezone", "Mars/Olympus"), "timezone"),
    ],
)
def test_a_time_that_makes_no_sense_is_named(shop: Cli, words: tuple[str, ...], more: tuple[str, ...], field: str):
    code, kind, message = shop.fails(*words, *more)
    assert (code, kind) == (2, "invalid")
    assert message.startswith(f"{field} ")
    assert not Path("x.csv").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("usage", "list", "nobody"), (1, "account_not_found")),
        (("usage", "stats", "nobody"), (1, "account_not_found")),
        (("usage", "export", "nobody", "--out", "x.csv"), (1, "account_not_found")),
        (("usage", "export"), (2, "usage")),
        (("usage", "list", "--limit", "0"), (2, "usage")),
        (("usage", "list", "--offset", "10001"), (2, "usage")),
        (("reports", "spend", "--by", "colour"), (2, "usage")),
        (("reports", "revenue", "--step", "hour", "--from", "2020-01-01"), (2, "invalid")),
    ],
)
def test_what_else_makes_no_sense(shop: Cli, words: tuple[str, ...], told: tuple[int, str]):
    if words == ("usage", "export"):
        done: Any = shop(*words, "--json")
        assert (done.code, done.json["error"]["code"]) == told
    else:
        assert shop.fails(*words)[:2] == told
