"""The command line takes usage from elsewhere, and compares what a provider says with the ledger."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import farthing
from tests.api.serving import Server
from tests.cli.command import Cli
from tests.client.driving import serve

CARD = {
    "rules": [
        {"id": "in", "dimension": "input_tokens", "price": "2", "per": 1000, "cost": "0.0025"},
        {"id": "out", "dimension": "output_tokens", "price": "5", "per": 1000, "cost": "0.01"},
    ],
}
TRACE = "5b8efff798038103d269b633813fc60c"


@pytest.fixture
def shop(funded: Cli) -> Cli:
    """A ledger with a rate card, and 100 credits for alice."""
    Path("card.json").write_text(json.dumps(CARD))
    funded.ok("prices", "card", "put", "default", "card.json")
    return funded


def request(at_ns: int, *accounts: str | None) -> str:
    """A line of spans: a call of 7 credits for each account."""
    spans = []
    for number, account in enumerate(accounts, 1):
        told: dict[str, Any] = {
            "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai",
            "gen_ai.usage.input_tokens": 1500, "gen_ai.usage.output_tokens": 800,
        }  # fmt: skip
        if account is not None:
            told["user.id"] = account
        attributes = [
            {"key": key, "value": {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}}
            for key, value in told.items()
        ]
        spans.append(
            {"traceId": TRACE, "spanId": f"{number:016x}", "endTimeUnixNano": str(at_ns), "attributes": attributes}
        )
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}) + "\n"


def day_of(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 10**9, UTC).date().isoformat()


def bill(at_ns: int, into: int, out: int, model: str = "gpt-4o") -> None:
    Path("bill.csv").write_text(f"day,model,input_tokens,output_tokens,cost\n{day_of(at_ns)},{model},{into},{out},\n")


def test_spans_are_charged_once_and_what_fails_is_told_with_its_place(shop: Cli):
    now = time.time_ns()
    Path("spans.jsonl").write_text(request(now, "alice", "alice", None, "nobody") + "{broken\n")
    dry = shop("usage", "import", "spans.jsonl", "--dry-run", "--json")
    assert (dry.code, dry.json["charged"], dry.json["amount"], dry.json["dry_run"]) == (1, 2, "14", True)
    assert shop.ok("usage", "list")["data"] == []
    done = shop("usage", "import", "spans.jsonl", "--service", "bot", "--json")
    told = done.json
    assert (done.code, told["format"], told["read"], told["charged"], told["there"]) == (1, "otel", 5, 2, 0)
    assert [(each["place"], each["code"]) for each in told["failed"]] == [
        ("line 1, span 3", "invalid"), ("line 2", "invalid"), ("line 1, span 4", "account_not_found"),
    ]  # fmt: skip
    again = shop("usage", "import", "spans.jsonl", "--service", "bot")
    assert "5 spans: 0 charged, 0 credits\n2 charged before\n3 failed" in again.out
    assert "farthing: line 1, span 4: There is no such account." in again.err
    rows = shop.ok("usage", "list")["data"]
    assert [(row["account"], row["model"], row["service"], row["amount"]) for row in rows] == [
        ("alice", "gpt-4o", "bot", "7")
    ] * 2
    assert {row["key"].removeprefix("v1:") for row in rows} == {f"otel:{TRACE}:{1:016x}", f"otel:{TRACE}:{2:016x}"}
    assert abs(datetime.fromisoformat(rows[0]["at"]).timestamp() - now / 10**9) < 0.001


def test_lines_are_charged_from_standard_input_and_unpaid_usage_is_owed(shop: Cli):
    at = datetime.now(UTC).isoformat()
    line = {"id": "c1", "account": "alice", "at": at, "model": "gpt-4o", "input_tokens": 100_000, "output_tokens": 0}
    text = json.dumps(line) + "\n" + json.dumps(line) + "\n"
    dry = shop.ok("usage", "import", "-", "--dry-run", input=text)
    assert (dry["format"], dry["charged"], dry["there"], dry["amount"]) == ("jsonl", 1, 1, "200")
    assert shop("usage", "import", "-", "--shortfall", "refuse", input=text).code == 1
    done = shop.ok("usage", "import", "-", input=text)
    assert (done["charged"], done["there"], done["amount"]) == (1, 1, "200")
    assert shop.ok("balance", "alice")["available"] == "-100"


def test_what_can_not_be_charged_says_why(shop: Cli):
    line = {"id": "c1", "account": "alice", "at": "2020-01-01T00:00:00Z", "model": "m", "dimensions": {"pages": 1}}
    other = {**line, "id": "c2", "at": "then"}
    done = shop("usage", "import", "-", "--json", input=json.dumps(line) + "\n" + json.dumps(other))
    first, second = done.json["failed"]
    assert (first["key"], first["code"]) == ("c1", "no_card")
    assert second["message"].startswith("usage.at must be an RFC 3339 time")
    assert shop.fails("usage", "import", "nowhere.jsonl")[:2] == (2, "usage")


def test_of_a_model_without_a_price_the_workspaces_rule_decides(funded: Cli):
    rule = {"id": "in", "match": {"model": "known"}, "dimension": "input_tokens", "price": "2"}
    Path("card.json").write_text(json.dumps({"rules": [rule]}))
    funded.ok("prices", "card", "put", "default", "card.json")
    text = request(time.time_ns(), "alice")
    refused = funded("usage", "import", "-", "--json", input=text)
    assert [each["code"] for each in refused.json["failed"]] == ["unknown_model"]
    funded.ok("settings", "set", "unknown_models", "unpriced")
    done = funded.ok("usage", "import", "-", input=text)
    assert (done["charged"], done["unpriced"], done["amount"]) == (1, 1, "0")


def test_a_provider_that_says_the_same_agrees(shop: Cli):
    now = time.time_ns()
    shop.ok("usage", "import", "-", input=request(now, "alice", "alice"))
    bill(now, 3000, 1600)
    done = shop.ok("usage", "reconcile", "bill.csv")
    (model,) = done["models"]
    assert (done["agrees"], done["findings"], model["drift"]["input_tokens"]) == (True, [], 0)
    assert (model["provider"], model["model"], model["here"]["cost"]) == ("openai", "gpt-4o", "0.0235")
    assert "nothing differs" in shop.told("usage", "reconcile", "bill.csv")


def test_what_differs_is_found_by_model_and_day(shop: Cli):
    now = time.time_ns()
    shop.ok("usage", "import", "-", input=request(now, "alice"))
    bill(now, 1600, 800)
    done = shop("usage", "reconcile", "bill.csv", "--json")
    (found,) = done.json["findings"]
    assert (done.code, found["kind"], found["day"], found["drift"]["input_tokens"]) == (1, "drift", day_of(now), -100)
    assert shop("usage", "reconcile", "bill.csv", "--tolerance", "6.25").code == 0
    bill(now, 5, 5, model="gpt-4o-mini")
    done = shop("usage", "reconcile", "bill.csv")
    assert done.code == 1
    assert [line.split()[1:3] for line in done.out.splitlines()[-2:]] == [
        ["extra", "openai/gpt-4o"], ["missing", "openai/gpt-4o-mini"],
    ]  # fmt: skip
    # Another provider's file says nothing of this one.
    bill(now, 0, 0, model="claude-sonnet-4")
    assert shop("usage", "reconcile", "bill.csv").code == 0
    assert shop("usage", "reconcile", "bill.csv", "--provider", "openai").code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.csv"], "FILE can't be read"),
        (["card.json"], "FILE can't be compared as long as rows of it can't be read"),
        (["bill.csv", "--tolerance", "-1"], "tolerance must be a percentage"),
        (["bill.csv", "--from", "soon"], "from must be a day"),
        (["bill.csv", "--from", "2027-01-01"], "speaks of no day"),
    ],
)
def test_what_can_not_be_compared_says_why(shop: Cli, words: list[str], said: str):
    bill(time.time_ns() - 86_400 * 10**9, 1, 1)
    code, _, message = shop.fails("usage", "reconcile", *words)
    assert code == 2
    assert said in message


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("served")) as server:
        yield server


def test_both_work_on_a_server(cli: Cli, server: Server, monkeypatch: pytest.MonkeyPatch):
    url = f"http://127.0.0.1:{server.port}"
    monkeypatch.setenv("FARTHING_API_KEY", server.new_key("admin"))
    with farthing.connect(url) as client:
        client.rate_cards.put(CARD, reason="for tests")
        client.grant("alice", 100)
        now = time.time_ns()
        text = request(now, "alice", "alice", "nobody")
        done = cli("usage", "import", "-", "--url", url, "--json", input=text)
        assert (done.code, done.json["charged"], done.json["failed_count"]) == (1, 2, 1)
        assert cli("usage", "import", "-", "--url", url, "--json", input=text).json["there"] == 2
        assert client.balance("alice").balance == 86
        bill(now, 3000, 1600)
        assert cli.ok("usage", "reconcile", "bill.csv", "--url", url)["agrees"] is True
    monkeypatch.setenv("FARTHING_API_KEY", "nonsense")
    assert cli("usage", "import", "-", "--url", url, "--json", input=text).code == 1
