"""`grant`, `charge`, `balance`, `ledger`: credits by hand, and what is told of them."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from farthing.app import open_ledger
from farthing.core.commands import PlaceHold, SetAccount
from tests.cli.command import URL, Cli

US = timedelta(microseconds=1)


def instant(text: str) -> datetime:
    assert text.endswith("Z"), text
    return datetime.fromisoformat(text)


# Grant


def test_a_grant_makes_the_account(ledger: Cli):
    given = ledger.ok("grant", "alice", "7.5")
    assert (given["amount"], given["balance"], given["unit"], given["number"]) == ("7.5", "7.5", "credits", 2)
    assert given["grant"].removeprefix("grt") == given["entry"].removeprefix("ent")
    assert given["expires_at"] is None
    assert "7.5 credits granted to alice" in ledger.told("grant", "alice", "7.5")


@pytest.mark.parametrize(
    ("text", "lasts"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("45m", timedelta(minutes=45)),
        ("90s", timedelta(seconds=90)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_a_grant_expires_after_a_duration(ledger: Cli, text: str, lasts: timedelta):
    before = datetime.now(UTC)
    ends = instant(ledger.ok("grant", "alice", "1", "--expires", text)["expires_at"])
    assert before + lasts <= ends <= datetime.now(UTC) + lasts


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("2999-01-31", "2999-01-31T00:00:00Z"),
        ("2999-01-31T12:00:00Z", "2999-01-31T12:00:00Z"),
        ("2999-01-31T12:00:00+02:00", "2999-01-31T10:00:00Z"),
        ("2999-01-31t12:00:00.5z", "2999-01-31T12:00:00.500000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_grant_expires_at_a_date(ledger: Cli, text: str, ends: str):
    assert ledger.ok("grant", "alice", "1", "--expires", text)["expires_at"] == ends
    assert ledger.ok("balance", "alice")["next_expiration"] == ends


def test_a_grant_has_category_priority_scope_and_words(ledger: Cli):
    words = ["--category", "promotional", "--priority", "10", "--scope", "operation:image.*", "--scope", "model:x"]
    given = ledger.ok("grant", "alice", "5", *words, "--description", "welcome", "--metadata", '{"by": "hand"}')
    assert (given["category"], given["priority"]) == ("promotional", 10)
    assert given["scope"] == ["operation:image.*", "model:x"]
    entry = ledger.ok("ledger", "alice")["data"][0]
    assert (entry["description"], entry["metadata"]) == ("welcome", {"by": "hand"})


def test_a_key_makes_a_grant_happen_once(ledger: Cli):
    first = ledger.ok("grant", "alice", "5", "--key", "k", "--expires", "30d")
    again = ledger.ok("grant", "alice", "5", "--key", "k", "--expires", "30d")
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert {**again, "replayed": False} == first
    assert "a replay" in ledger.told("grant", "alice", "5", "--key", "k")
    assert ledger.ok("balance", "alice")["balance"] == "5"


def test_a_key_with_other_content_is_a_conflict(ledger: Cli):
    ledger.ok("grant", "alice", "5", "--key", "k")
    code, name, sentence = ledger.fails("grant", "alice", "6", "--key", "k")
    assert (code, name) == (1, "key_conflict")
    assert "amount differs" in sentence
    assert ledger("grant", "alice", "6", "--key", "k", "--json").json["error"]["key"] == "k"
    assert ledger.fails("charge", "alice", "5", "--key", "k")[:2] == (1, "key_conflict")
    ledger.ok("grant", "bob", "6", "--key", "k")


def test_keys_of_the_command_line_are_apart_from_those_of_others(ledger: Cli):
    ledger.ok("grant", "alice", "5", "--key", "k")
    assert ledger.ok("ledger", "alice")["data"][0]["key"] == "cli:k"


def test_every_entry_says_who_acted(funded: Cli):
    assert re.fullmatch(r"cli:.+", funded.ok("ledger", "alice")["data"][0]["actor"])


# Charge


def test_a_charge_takes_credits(funded: Cli):
    taken = funded.ok("charge", "alice", "7.5", "--operation", "chat.message")
    assert (taken["amount"], taken["balance"], taken["operation"]) == ("7.5", "92.5", "chat.message")
    assert [each["amount"] for each in taken["grants"]] == ["7.5"]
    assert "its balance is 91" in funded.told("charge", "alice", "1.5")


def test_a_key_makes_a_charge_happen_once(funded: Cli):
    first = funded.ok("charge", "alice", "1", "--key", "k", "--metadata", '{"model": "small"}')
    again = funded.ok("charge", "alice", "1", "--key", "k")
    assert again == {**first, "replayed": True}
    assert funded.ok("balance", "alice")["spent"] == "1"


def test_too_little_is_refused_with_what_is_missing(funded: Cli):
    done = funded("charge", "alice", "100.000001", "--json")
    assert done.code == 1
    error = done.json["error"]
    assert (error["code"], error["required"], error["available"], error["deficit"]) == (
        "insufficient_credits",
        "100.000001",
        "100",
        "0.000001",
    )
    assert "0.000001 missing" in funded.fails("charge", "alice", "100.000001")[2]
    assert funded.ok("balance", "alice")["balance"] == "100"


def test_a_refusal_is_not_remembered_under_its_key(funded: Cli):
    assert funded.fails("charge", "alice", "150", "--key", "k")[1] == "insufficient_credits"
    funded.ok("grant", "alice", "50")
    assert funded.ok("charge", "alice", "150", "--key", "k")["replayed"] is False


def test_a_charge_on_an_unknown_account_says_how_one_is_made(ledger: Cli):
    code, name, sentence = ledger.fails("charge", "nobody", "1")
    assert (code, name) == (1, "account_not_found")
    assert "farthing grant" in sentence


def test_frozen_accounts_and_limits_are_told_in_sentences(funded: Cli):
    with open_ledger(URL) as opened:
        opened.do(SetAccount(workspace="main", account="alice", spend_limit_day=5_000_000))
    code, name, sentence = funded.fails("charge", "alice", "6")
    assert (code, name) == (1, "spend_limit")
    assert "6 credits required, 5 left of 5" in sentence
    with open_ledger(URL) as opened:
        opened.do(SetAccount(workspace="main", account="alice", frozen=True))
    assert funded.fails("charge", "alice", "1")[:2] == (1, "frozen")
    assert "frozen" in funded.told("balance", "alice")


# Balance


def test_a_balance_has_exact_decimal_text_and_explains_itself(funded: Cli):
    funded.ok("grant", "alice", "20", "--expires", "30d", "--category", "promotional")
    funded.ok("grant", "alice", "3", "--scope", "operation:image.*")
    funded.ok("charge", "alice", "0.000001")
    with open_ledger(URL) as opened:
        opened.do(PlaceHold(workspace="main", account="alice", amount=30_000_000, ttl=60_000_000))
    b = funded.ok("balance", "alice")
    assert (b["balance"], b["held"], b["available"]) == ("122.999999", "30", "89.999999")
    assert (b["earned"], b["spent"], b["lapsed"], b["written_off"], b["debt"]) == ("123", "0.000001", "0", "0", "0")
    assert b["unscoped_balance"] == "119.999999"
    assert b["scoped"] == [{"scope": ["operation:image.*"], "available": "3"}]
    assert (b["holds"], b["unit"], b["account"], b["workspace"]) == (1, "credits", "alice", "main")
    assert sum(Decimal(each["remaining"]) for each in b["grants"]) == Decimal(b["balance"])


def test_grants_are_told_in_burn_order(ledger: Cli):
    ledger.ok("grant", "alice", "1")
    ledger.ok("grant", "alice", "2", "--expires", "60d")
    ledger.ok("grant", "alice", "3", "--expires", "30d")
    ledger.ok("grant", "alice", "4", "--priority", "10")
    ledger.ok("grant", "alice", "5", "--scope", "model:x")
    b = ledger.ok("balance", "alice")
    assert [each["remaining"] for each in b["grants"]] == ["5", "4", "3", "2", "1"]
    assert b["next_expiration"] == b["grants"][2]["expires_at"]


def test_lapsed_credits_do_not_count_before_that_is_booked(ledger: Cli):
    ledger.ok("grant", "alice", "5", "--expires", soon(0.3))
    ledger.ok("grant", "alice", "2")
    time.sleep(0.35)
    b = ledger.ok("balance", "alice")
    assert (b["balance"], b["lapsed"]) == ("2", "5")
    assert ledger.ok("ledger", "alice")["data"][0]["kind"] == "grant"


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_a_balance_in_words_has_the_same_figures(funded: Cli):
    text = funded.told("balance", "alice")
    for word in ("alice", "credits", "balance", "available", "100", "never", "grt_"):
        assert word in text


def test_an_account_that_was_never_seen_is_no_zero(ledger: Cli):
    assert ledger.fails("balance", "nobody")[:2] == (1, "account_not_found")
    assert ledger.fails("ledger", "nobody")[:2] == (1, "account_not_found")


# Ledger


def charges(cli: Cli, count: int) -> None:
    for _ in range(count):
        cli.ok("charge", "alice", "1")


def test_entries_are_told_newest_first_in_pages(funded: Cli):
    charges(funded, 4)
    first = funded.ok("ledger", "alice", "--limit", "4")
    assert [each["number"] for each in first["data"]] == [6, 5, 4, 3]
    assert (first["has_more"], first["next_cursor"]) == (True, "3")
    last = funded.ok("ledger", "alice", "--limit", "4", "--cursor", first["next_cursor"])
    assert [each["number"] for each in last["data"]] == [2, 1]
    assert (last["has_more"], last["next_cursor"]) == (False, None)


def test_a_page_in_words_says_how_to_go_on(funded: Cli):
    charges(funded, 2)
    done = funded("ledger", "alice", "--limit", "2")
    assert "--cursor 3" in done.err
    assert len(done.out.splitlines()) == 3


def test_all_entries_stream_as_json_lines(funded: Cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("farthing.cli.credits.PAGE", 3)
    charges(funded, 6)
    done = funded("ledger", "alice", "--all", "--json")
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.out.splitlines()]
    assert [each["number"] for each in lines] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert sum(Decimal(each["amount"]) for each in lines) == Decimal("94") == Decimal(lines[0]["balance"])
    text = funded("ledger", "alice", "--all")
    assert len(text.out.splitlines()) == 9
    assert len(funded("ledger", "alice", "--all", "--json", "--cursor", "4").out.splitlines()) == 3


def test_a_long_stream_tells_its_progress_on_standard_error(funded: Cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("farthing.cli.credits.PAGE", 2)
    monkeypatch.setattr("farthing.cli.output.PROGRESS_EVERY_SECONDS", 0.0)
    charges(funded, 2)
    done = funded("ledger", "alice", "--all", "--json")
    assert "farthing: entries written: 4 of 4" in done.err
    assert len(done.out.splitlines()) == 4


def test_only_moves_can_be_asked_for(funded: Cli):
    assert [each["kind"] for each in funded.ok("ledger", "alice", "--moves")["data"]] == ["grant"]


def test_an_entry_names_the_grants_it_took(funded: Cli):
    taken = funded.ok("charge", "alice", "2", "--description", "two")
    newest = funded.ok("ledger", "alice")["data"][0]
    assert newest["id"] == taken["entry"]
    assert newest["slices"] == [{"grant": taken["grants"][0]["grant"], "amount": "-2", "held": "0"}]
    assert (newest["amount"], newest["balance"], newest["description"]) == ("-2", "98", "two")
    assert len(newest["hash"]) == 64


def test_what_others_wrote_can_not_move_the_terminal(funded: Cli):
    funded.ok("charge", "alice", "1", "--description", "red \x1b[31m alert\r\n")
    out = funded.told("ledger", "alice")
    assert "\x1b" not in out
    assert "\\x1b[31m" in out
    assert len(out.splitlines()) == 4


def test_metadata_numbers_keep_their_digits_on_disk(funded: Cli):
    funded.ok("charge", "alice", "1", "--metadata", '{"cost": 0.10000000000000000001}')
    with open_ledger(URL) as opened:
        ((text,),) = read(opened, "select metadata from entry where number = 3")
    assert text == '{"cost": 0.10000000000000000001}'


def read(opened: Any, sql: str) -> list[tuple[Any, ...]]:
    from farthing.stores.contract import result_of

    found: list[tuple[Any, ...]] = result_of(opened.database.rows(sql))
    return found
