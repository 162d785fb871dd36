"""Prices on the command line: the catalogue, cards, prices of one's own, quotes, and charges that say what was used."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Cli, execute

SAMPLES = Path(__file__).parents[1] / "prices" / "data"
GPT = ("--model", "gpt-4o", "--input-tokens", "1500", "--output-tokens", "800")
CARD: dict[str, Any] = {
    "rules": [
        {"id": "in", "dimension": "input_tokens", "price": "2", "per": 1000},
        {"id": "out", "dimension": "output_tokens", "price": "5", "per": 1000},
        {"id": "image", "dimension": "images", "price": "10", "match": {"operation": "image"}},
    ]
}
HALF = "0." + "1" * 30


def sync(cli: Cli, file: str | Path = SAMPLES / "genai.json", *words: str, source: str = "genai") -> dict[str, Any]:
    return cli.ok("prices", "sync", "--source", source, "--file", str(file), *words)


def changed(tmp_path: Path, name: str = "genai.json", **prices: str) -> Path:
    """The sample with the first price of a kind put in the place of another."""
    text = (SAMPLES / name).read_text()
    for what, price in prices.items():
        before, _, rest = text.partition(f'"{what}": ')
        text = f'{before}"{what}": {price}{rest.lstrip("0123456789.")}'
    file = tmp_path / f"changed-{name}"
    file.write_text(text)
    return file


def written(tmp_path: Path, card: Any = CARD, name: str = "card.json") -> str:
    file = tmp_path / name
    file.write_text(card if isinstance(card, str) else json.dumps(card))
    return str(file)


def soon() -> None:
    """Wait until a version has begun that was added just now."""
    time.sleep(2.05)


@pytest.fixture
def selling(funded: Cli) -> Cli:
    """A ledger with 100 credits for alice, a catalogue and a card that uses it: 1 USD is 100 credits."""
    sync(funded)
    funded.ok("prices", "init")
    return funded


# From nothing to a priced call


def test_three_commands_lead_to_a_priced_call(funded: Cli):
    assert funded.ok("prices", "sync")["models"] > 2_000
    made = funded.ok("prices", "init", "--rate", "100", "--markup", "20")
    assert (made["name"], made["rate"], made["markup"]) == ("default@1", "100", "20")
    charged = funded.ok("charge", "alice", *GPT)
    # 1,500 at 2.5 and 800 at 10 USD for a million are 0.01175 USD: 1.175 credits, and a fifth more.
    assert (charged["amount"], charged["balance"], charged["price"]["cost"]) == ("1.41", "98.59", "1.175")
    assert charged["price"]["model"] == "gpt-4o"


def test_a_card_in_dollars_needs_no_rate(cli: Cli):
    cli.ok("init", "--unit", "USD")
    cli.ok("grant", "alice", "1")
    sync(cli)
    assert cli.ok("prices", "init")["rate"] == "1"
    assert cli.ok("charge", "alice", *GPT)["amount"] == "0.01175"


def test_the_first_card_is_made_once_and_of_sensible_numbers(ledger: Cli):
    done = ledger("prices", "init")
    assert "the catalogue is empty" in done.err
    assert ledger.fails("prices", "init")[:2] == (1, "precondition_failed")
    for words in (["--rate", "0"], ["--rate", "many"], ["--markup", HALF], ["--rate", "-5"]):
        assert ledger.fails("prices", "init", *words)[0] == 2, words


# Sync


def test_a_sync_counts_what_it_did(ledger: Cli):
    first = sync(ledger)
    assert (first["counts"]["new"], first["written"]["quarantined"]) == (first["models"], 0)
    assert first["written"]["written"] >= first["models"]
    again = sync(ledger)
    assert (again["counts"]["unchanged"], again["written"]["written"]) == (first["models"], 0)
    text = ledger.told("prices", "sync", "--file", str(SAMPLES / "genai.json"))
    assert "0 prices written, 0 of them in quarantine" in text


def test_a_dry_run_shows_the_difference_and_writes_nothing(ledger: Cli, tmp_path: Path):
    would = sync(ledger, SAMPLES / "genai.json", "--dry-run")
    assert (would["dry_run"], would["written"]) == (True, None)
    assert ledger.ok("prices", "search", "gpt-4o")["data"] == []
    sync(ledger)
    file = changed(tmp_path, input_mtok="3")
    text = ledger.told("prices", "sync", "--file", str(file), "--dry-run")
    assert "changed: openai/gpt-4o: input_tokens 2.5 -> 3 (20 %)" in text
    assert "a dry run: nothing was written" in text
    (line,) = [each for each in sync(ledger, file)["changes"] if each["what"] == "changed"]
    assert line["changes"][0] == {
        "dimension": "input_tokens", "terms": None, "above": 0, "old": "2.5", "new": "3", "percent": "20",
    }  # fmt: skip


def test_verbose_names_all(ledger: Cli):
    text = ledger.told("prices", "sync", "--file", str(SAMPLES / "genai.json"), "--verbose")
    assert "new: openai/gpt-4o: " in text


@pytest.mark.parametrize(("source", "name"), [("litellm", "litellm.json"), ("models.dev", "modelsdev.json")])
def test_other_catalogues_come_in_a_file(ledger: Cli, source: str, name: str):
    assert ledger.fails("prices", "sync", "--source", source)[:2] == (2, "usage")
    assert sync(ledger, SAMPLES / name, source=source)["written"]["written"] > 0


def test_a_file_that_is_cut_in_half_changes_nothing(ledger: Cli, tmp_path: Path):
    sync(ledger)
    whole = (SAMPLES / "genai.json").read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"[]", b'{"a": 5}', b"\xff\xfe"):
        file = tmp_path / "cut.json"
        file.write_bytes(data)
        code, name, message = ledger.fails("prices", "sync", "--file", str(file))
        assert (code, name) == (1, "bad_catalogue"), data
        assert "nothing was changed" in message
    assert ledger.fails("prices", "sync", "--file", str(tmp_path / "none"))[1] == "file"
    assert sync(ledger)["written"]["written"] == 0


def test_a_catalogue_that_has_shrunk_is_not_believed_unless_it_is_forced(ledger: Cli, tmp_path: Path):
    sync(ledger)
    providers = json.loads((SAMPLES / "genai.json").read_text())
    file = tmp_path / "small.json"
    small = [{**providers[0], "models": providers[0]["models"][:1]}]
    file.write_text(json.dumps(small))
    code, name, message = ledger.fails("prices", "sync", "--file", str(file))
    assert (code, name) == (1, "sync_refused")
    assert "--force" in message
    assert "would be refused without --force" in ledger("prices", "sync", "--file", str(file), "--dry-run").err
    assert sync(ledger, file, "--force")["counts"]["vanished"] > 0


# Quarantine


def test_a_price_that_jumped_waits_until_it_is_let_in(selling: Cli, tmp_path: Path):
    done = sync(selling, changed(tmp_path, input_mtok="250"))
    assert done["written"]["quarantined"] == 1
    (line,) = selling.ok("prices", "quarantine", "list")["data"]
    assert (line["provider"], line["model"], line["status"]) == ("openai", "gpt-4o", "quarantined")
    assert line["reason"]
    assert {price["dimension"]: price["price"] for price in line["current"]}["input_tokens"] == "2.5"
    assert "openai/gpt-4o" in selling.told("prices", "quarantine", "list")
    assert selling.ok("quote", *GPT)["amount"] == "1.175"
    let_in = ("prices", "quarantine", "activate", "openai/gpt-4o", "--reason", "so says the vendor")
    assert selling.ok(*let_in)["status"] == "active"
    assert selling.fails(*let_in)[:2] == (1, "price_not_quarantined")
    soon()
    assert selling.ok("quote", *GPT)["amount"] == "38.3"
    assert selling.told("prices", "quarantine", "list") == "nothing is in quarantine\n"


def test_a_price_that_is_refused_does_not_come_up_again(selling: Cli, tmp_path: Path):
    file = changed(tmp_path, input_mtok="250")
    sync(selling, file)
    kept_out = selling.ok("prices", "quarantine", "refuse", "openai/gpt-4o", "--reason", "a typing error")
    assert (kept_out["status"], kept_out["reason"]) == ("refused", "a typing error")
    assert sync(selling, file)["written"]["quarantined"] == 0
    assert selling.fails("prices", "quarantine", "refuse", "openai/gpt-4o", "--reason", "x")[0] == 1
    assert selling.fails("prices", "quarantine", "activate", "openai/gpt-4o")[1] == "usage"


# Looking


def test_models_are_searched_and_shown(selling: Cli):
    found = selling.ok("prices", "search", "gpt-4o")
    assert (found["data"][0]["provider"], found["data"][0]["model"]) == ("openai", "gpt-4o")
    assert "openai/gpt-4o" in selling.told("prices", "search", "GPT-4o")
    shown = selling.ok("prices", "show", "gpt-4o-2024-08-06")
    assert (shown["provider"], shown["model"], shown["card"], shown["priced"]) == (
        "openai",
        "gpt-4o",
        "default@1",
        True,
    )
    assert {term["dimension"]: term["price"] for term in shown["terms"]}["output_tokens"] == "10"
    assert shown["history"][0]["source"] == "genai-prices"
    text = selling.told("prices", "show", "openai/gpt-4o")
    assert text.startswith("openai/gpt-4o is openai/gpt-4o; priced by catalogue\n")


def test_a_model_that_nobody_knows_is_told_as_such(selling: Cli):
    done = selling("prices", "show", "nobody-9")
    assert done.code == 1
    assert "usage of it is refused" in done.out
    code, name, message = selling.fails("charge", "alice", "--model", "nobody-9", "--input-tokens", "5")
    assert (code, name) == (1, "unknown_model")
    assert "farthing prices set" in message
    selling.ok("settings", "set", "unknown_models", "unpriced")
    assert "recorded as unpriced" in selling("prices", "show", "nobody-9").out
    charged = selling.ok("charge", "alice", "--model", "nobody-9", "--input-tokens", "5")
    assert (charged["amount"], charged["price"]["unpriced"]) == ("0", True)
    assert "recorded as unpriced" in selling.told("charge", "alice", "--model", "nobody-9", "--input-tokens", "5")


def test_a_name_of_several_models_is_told_with_all_of_them(selling: Cli, tmp_path: Path):
    twins = [
        {"id": name, "models": [{"id": "twin", "match": {"equals": "twin"}, "prices": {"input_mtok": 1}}]}
        for name in ("north", "south")
    ]
    sync(selling, written(tmp_path, twins, "twins.json"), "--force")
    soon()
    for command in (["charge", "alice"], ["quote"]):
        code, name, message = selling.fails(*command, "--model", "twin", "--input-tokens", "5")
        assert (code, name) == (1, "unknown_model")
        assert "could be any of north/twin, south/twin" in message
    assert selling.ok("quote", "--model", "north/twin", "--input-tokens", "5")["price"]["provider"] == "north"
    assert selling.ok("balance", "alice")["balance"] == "100"


# Prices of one's own


def test_an_own_price_wins_over_the_catalogue(selling: Cli):
    own = ("prices", "set", "gpt-4o", "--input", "2", "--output", "5", "--reason", "our contract")
    done = selling(*own)
    assert done.out.startswith("default@2 from ")
    assert "cache_read_tokens: no price of their own here" in done.err
    soon()
    assert selling.ok("quote", *GPT)["amount"] == "0.7"
    assert selling.ok("prices", "search", "openai/gpt-4o")["data"][0]["overridden"] is True
    assert selling.ok("prices", "card", "history")["data"][0]["reason"] == "our contract"
    later = selling.ok(*own, "--at", "1h", "--price", "cache_read_tokens=1", "--per", "1000000")
    assert later["prices"]["cache_read_tokens"] == "1"
    code, name, message = selling.fails(*own)
    assert (code, name) == (1, "overlapping_versions")
    assert message.startswith("at is too early: version 3 begins at that time or later")


@pytest.mark.parametrize(
    ("words", "name", "said"),
    [
        (["--output", "5"], "invalid_card", "input_tokens"),
        ([], "invalid", "prices must be given"),
        (["--input", "-2", "--output", "5"], "invalid", "negative"),
        (["--input", HALF, "--output", "5"], "invalid", "18 decimals"),
        (["--input", "2", "--price", "input_tokens=3"], "invalid", "given twice"),
        (["--price", "input_tokens"], "usage", "NAME=VALUE"),
        (["--price", "A B=3"], "invalid_card", "dimension"),
        (["--input", "2", "--output", "5", "--currency", "EUR"], "invalid_card", "currency must be USD"),
        (["--input", "2", "--output", "5", "--at", "2026-02-30"], "invalid", "is no date"),
        (["--input", "2", "--output", "5", "--at", "2020-01-01"], "too_soon", "at must be at least 2 s ahead"),
    ],
)
def test_what_is_wrong_with_an_own_price_is_named(selling: Cli, words: list[str], name: str, said: str):
    code, told, message = selling.fails("prices", "set", "gpt-4o", "--reason", "x", *words)
    assert (code, told) == (2, name)
    assert said in message
    assert len(selling.ok("prices", "card", "history")["data"]) == 1


def test_an_own_price_can_be_taken_away_again(selling: Cli):
    def rules(version: int) -> set[str]:
        shown = selling.ok("prices", "card", "show", "--version", str(version))
        return {rule["id"] for rule in shown["document"].get("rules", [])}

    own = ("gpt-4o", "--input", "2", "--output", "5", "--reason", "our contract")
    selling.ok("prices", "set", *own)
    selling.ok("prices", "set", *own, "--provider", "azure", "--at", "1h")
    done = selling("prices", "unset", "gpt-4o", "--provider", "azure", "--reason", "it has ended", "--at", "2h")
    assert done.out.startswith("default@4 from ")
    assert done.out.endswith(": gpt-4o has no price of its own any more\n")
    ended = selling.ok("prices", "unset", "gpt-4o", "--reason", "it has ended", "--at", "3h")
    assert (ended["name"], ended["reason"], ended["model"], ended["provider"]) == (
        "default@5", "it has ended", "gpt-4o", None,
    )  # fmt: skip
    plain = {"gpt-4o:input_tokens", "gpt-4o:output_tokens"}
    azure = {"azure/gpt-4o:input_tokens", "azure/gpt-4o:output_tokens"}
    assert [rules(version) for version in range(1, 6)] == [set(), plain, plain | azure, plain, set()]


@pytest.mark.parametrize(
    ("words", "code", "name", "said"),
    [
        (["gpt-4o", "--reason", "x"], 1, "model_not_found", "not for just 'gpt-4o'"),
        (["gpt-4o", "--provider", "us", "--reason", "x"], 1, "model_not_found", "'gpt-4o' of us"),
        (["own", "--reason", ""], 2, "invalid", "reason"),
        (["own", "--reason", "x", "--at", "2026-02-30"], 2, "invalid", "is no date"),
        (["own"], 2, "usage", "--reason"),
    ],
)
def test_what_has_no_own_price_stays_as_it_is(selling: Cli, words: list[str], code: int, name: str, said: str):
    selling.ok("prices", "set", "own", "--price", "tokens=5", "--reason", "house model")
    told, error, message = selling.fails("prices", "unset", *words)
    assert (told, error) == (code, name)
    assert said in message
    assert len(selling.ok("prices", "card", "history")["data"]) == 2


# Cards


def test_a_card_is_put_shown_and_taken_back(funded: Cli, tmp_path: Path):
    file = written(tmp_path)
    assert funded.ok("prices", "card", "check", file) == {"ok": True, "workspace": "main", "file": file, "rules": 3}
    made = funded.ok("prices", "card", "put", "default", file)
    assert (made["name"], made["reason"]) == ("default@1", "from card.json")
    assert json.loads(funded.told("prices", "card", "show")) == CARD
    assert funded.ok("prices", "card", "show")["document"] == CARD
    assert funded.ok("charge", "alice", *GPT)["amount"] == "7"
    second = funded.ok("prices", "card", "put", "default", file, "--at", "1d", "--reason", "tomorrow")
    (line,) = funded.ok("prices", "card", "list")["data"]
    assert line == {"card": "default", "versions": 2, "in_force": 1, "next_at": second["effective_from"]}
    assert funded.fails("prices", "card", "withdraw", "default", "2")[:2] == (1, "confirmation_needed")
    assert funded.fails("prices", "card", "withdraw", "default", "1", "--yes")[:2] == (1, "card_version_begun")
    assert funded.fails("prices", "card", "withdraw", "default", "9", "--yes")[:2] == (1, "version_not_found")
    assert funded.ok("prices", "card", "withdraw", "default", "2", "--yes")["withdrawn_at"]
    assert [each["version"] for each in funded.ok("prices", "card", "history")["data"]] == [2, 1]
    assert "tomorrow" in funded.told("prices", "card", "history")
    assert funded.fails("prices", "card", "put", "default", file, "--expected", "1")[:2] == (1, "precondition_failed")
    assert funded.ok("prices", "card", "put", "default", file, "--expected", "2")["version"] == 3


def test_what_is_wrong_with_a_card_or_its_time_is_named_and_adds_nothing(ledger: Cli, tmp_path: Path):
    def refused(card: Any, *words: str) -> tuple[int, str, str]:
        return ledger.fails("prices", "card", "put", "default", written(tmp_path, card), *words)

    tie = {"rules": [{"id": id, "dimension": "images", "price": "1"} for id in ("a", "b")]}
    code, name, message = refused(tie)
    assert (code, name) == (2, "invalid_card")
    assert message.startswith(f"the card {tmp_path / 'card.json'} is not right: rules/1 ")
    assert "'a'" in message
    assert "'b'" in message
    finer = {"rules": [{"id": "a", "dimension": "images", "price": HALF}]}
    assert "rules/0/price" in refused(finer)[2]
    ledger.ok("prices", "card", "put", "default", written(tmp_path))
    ledger.ok("prices", "card", "put", "default", written(tmp_path), "--at", "2h")
    for words, told, said in (
        (["--at", "2026-02-30"], (2, "invalid"), "at is no date: '2026-02-30'"),
        (["--at", "2020-01-01"], (2, "too_soon"), "at must be at least 2 s ahead"),
        (["--at", "1h"], (1, "overlapping_versions"), "at is too early: version 2 begins at that time or later"),
        (["--expected", "1"], (1, "precondition_failed"), "version 2, not 1"),
    ):
        code, name, message = refused(CARD, *words)
        assert (code, name) == told
        assert said in message
    assert [each["version"] for each in ledger.ok("prices", "card", "history")["data"]] == [2, 1]


def test_all_that_is_wrong_with_a_card_is_told(ledger: Cli, tmp_path: Path):
    twins = [{"id": "a", "dimension": "images", "price": HALF}, {"id": "b", "dimension": "images", "price": "-1"}]
    file = written(tmp_path, {"rules": twins})
    for words in (["check", file], ["put", "default", file]):
        done = ledger("prices", "card", *words, "--json")
        error = json.loads(done.out)["error"]
        assert (done.code, error["code"]) == (2, "invalid_card")
        assert [each["pointer"] for each in error["problems"]] == ["/rules/0/price", "/rules/1/price", "/rules/1"]
    for text in ("{", "[]", "", "5"):
        assert ledger.fails("prices", "card", "check", written(tmp_path, text))[:2] == (2, "invalid_card")
    assert ledger.fails("prices", "card", "check", str(tmp_path / "none"))[:2] == (2, "usage")
    assert ledger.fails("prices", "card", "put", "Default!", written(tmp_path))[:2] == (2, "invalid")
    assert ledger.ok("prices", "card", "list")["data"] == []
    assert ledger.fails("prices", "card", "show")[:2] == (1, "card_not_found")
    assert ledger.fails("prices", "card", "history", "none")[:2] == (1, "card_not_found")
    assert ledger.fails("prices", "card", "show", "--version", "3")[:2] == (1, "card_not_found")


# Quotes


def test_a_quote_says_what_a_charge_would_do(selling: Cli):
    quoted = selling.ok("quote", "alice", *GPT)
    assert (quoted["affordable"], quoted["available"], quoted["deficit"]) == (True, "100", "0")
    charged = selling.ok("charge", "alice", *GPT)
    assert (charged["amount"], charged["price"], charged["usage"]) == (
        quoted["amount"], quoted["price"], quoted["usage"],
    )  # fmt: skip
    dear = ("--model", "gpt-4o", "--input-tokens", "1000000")
    done = selling("quote", "alice", *dear, "--json")
    assert (done.code, done.json["refusal"], done.json["deficit"]) == (1, "insufficient_credits", "151.175")
    assert "151.175 missing" in selling("quote", "alice", *dear).out
    assert selling("quote", "bob", *GPT, "--json").json["refusal"] == "account_not_found"
    assert selling.ok("quote", *GPT)["affordable"] is None


def test_a_quote_may_be_by_another_card(selling: Cli, tmp_path: Path):
    selling.ok("prices", "card", "put", "draft", written(tmp_path))
    assert selling.ok("quote", *GPT, "--card", "draft")["amount"] == "7"
    assert selling.ok("quote", *GPT, "--card", "draft@1")["price"]["card"] == "draft@1"
    assert selling.fails("quote", *GPT, "--card", "draft@2")[:2] == (1, "card_not_found")
    images = ("--operation", "image", "--dimension", "images=2", "--card", "draft")
    assert selling.ok("quote", *images)["amount"] == "20"


# Estimates


def test_an_estimate_is_a_range_and_says_what_it_expects(selling: Cli, tmp_path: Path):
    call = ("--model", "gpt-4o", "--prompt-tokens", "1500")
    found = selling.ok("estimate", "alice", *call, "--expected", "800", "--max", "1000", "--min", "100")
    assert (found["completion_from"], found["prompt_tokens"], found["counted"]) == ("given", 1500, True)
    assert [
        (found[case]["completion_tokens"], found[case]["amount"], found[case]["affordable"])
        for case in ("low", "expected", "high")
    ] == [(100, "0.475", True), (800, "1.175", True), (1000, "1.375", True)]
    assert found["expected"]["price"] == selling.ok("quote", *GPT)["price"]
    text = selling.told("estimate", *call)
    assert text.startswith("0.875 credits expected: 1,500 tokens of prompt, 500 of answer (nothing is known of")
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("word " * 400)
    assert selling.ok("estimate", *call[:2], "--prompt", str(prompt))["prompt_tokens"] == 500
    roughly = selling("estimate", *call[:2], "--prompt", "-", "--json", input="word " * 400).json
    assert (roughly["prompt_tokens"], roughly["counted"]) == (500, False)
    dear = selling("estimate", "alice", *call[:2], "--prompt-tokens", "1000000", "--json")
    assert (dear.code, dear.json["expected"]["refusal"]) == (1, "insufficient_credits")


def test_an_estimate_expects_what_the_model_answered_of_late(selling: Cli):
    for _ in range(20):
        selling.ok("charge", "alice", "--model", "openai/gpt-4o", "--output-tokens", "90")
    found = selling.ok("estimate", "--model", "gpt-4o", "--prompt-tokens", "5")
    assert (found["completion_from"], found["expected"]["completion_tokens"]) == ("history", 90)
    assert "the mean of this model's answers" in selling.told("estimate", "--model", "gpt-4o", "--prompt-tokens", "5")


@pytest.mark.parametrize(
    ("words", "code", "name", "said"),
    [
        ([], 2, "usage", "--model gpt-4o"),
        (["--model", "gpt-4o"], 2, "usage", "how long the prompt is"),
        (["--model", "gpt-4o", "--prompt-tokens", "5", "--prompt", "-"], 2, "usage", "how long the prompt is"),
        (["--model", "gpt-4o", "--prompt", "none.txt"], 2, "usage", "can't be read"),
        (["--model", "gpt-4o", "--prompt-tokens", "1.5"], 2, "usage", "--prompt-tokens"),
        (["--model", "gpt-4o", "--prompt-tokens=-5"], 2, "usage", "--prompt-tokens"),
        (["--model", "gpt-4o", "--prompt-tokens", "5", "--expected", "9", "--max", "8"], 2, "invalid", "expected must"),
        (["--model", "nobody-9", "--prompt-tokens", "5"], 1, "unknown_model", "nobody-9"),
    ],
)
def test_what_is_wrong_with_an_estimate_is_named(selling: Cli, words: list[str], code: int, name: str, said: str):
    told, error, message = selling.fails("estimate", *words)
    assert (told, error) == (code, name)
    assert said in message


# Charges


def test_a_charge_of_usage_is_made_once_under_its_key(selling: Cli):
    first = selling.ok("charge", "alice", *GPT, "--key", "k", "--chat", "c1", "--operation", "chat")
    selling.ok("prices", "set", "gpt-4o", "--input", "1", "--output", "1", "--reason", "x")
    soon()
    again = selling.ok("charge", "alice", *GPT, "--key", "k", "--chat", "c1", "--operation", "chat")
    assert again == first | {"replayed": True}
    assert selling.fails("charge", "alice", "--model", "o3", "--input-tokens", "5", "--key", "k")[:2] == (
        1, "key_conflict",
    )  # fmt: skip


def test_an_amount_beside_the_usage_is_what_it_costs(funded: Cli):
    charged = funded.ok("charge", "alice", "1.5", *GPT)
    assert (charged["amount"], charged["price"], charged["usage"]["model"]) == ("1.5", None, "gpt-4o")
    plain = funded.ok("charge", "alice", "1", "--operation", "chat")
    assert (plain["usage"], plain["price"]) == (None, None)


def test_a_charge_shows_its_lines(selling: Cli):
    text = selling.told("charge", "alice", *GPT)
    assert "1.175 credits charged to alice" in text
    assert "2.5 USD / 1,000,000 x 100" in text
    assert "catalogue:openai/gpt-4o@" in text


@pytest.mark.parametrize(
    ("words", "code", "name", "said"),
    [
        ([], 2, "usage", "say an AMOUNT, or what was used"),
        (["--model", "gpt-4o", "--input-tokens", "1.5"], 2, "invalid", "input_tokens must be a whole number"),
        (["--model", "gpt-4o", "--input-tokens=-1"], 2, "invalid", "input_tokens must not be negative"),
        (
            ["--model", "gpt-4o", "--dimension", "reasoning_tokens=1.5"],
            2,
            "invalid",
            "reasoning_tokens must be a whole",
        ),
        (
            ["--model", "gpt-4o", "--output-tokens", "5", "--dimension", "reasoning_tokens=6"],
            2,
            "invalid",
            "reasoning_tokens is 6, more than the 5 output_tokens",
        ),
        (
            ["--model", "gpt-4o", "--input-tokens", "5", "--dimension", "cache_read_tokens=6"],
            2,
            "invalid",
            "cache_read_tokens is 6, more than the 5 input_tokens",
        ),
        (["--model", "gpt-4o", "--dimension", "pages=6"], 1, "unknown_dimension", "'pages'"),
        (["--model", "gpt-4o", "--input-tokens", "5", "--dimension", "input_tokens=6"], 2, "invalid", "twice"),
        (["--model", "gpt-4o", "--dimension", "pages"], 2, "usage", "NAME=VALUE"),
        (["--model", "", "--input-tokens", "5"], 2, "invalid", "model"),
        ([*GPT, "--attribute", "service_tier=scale"], 1, "unknown_context", "scale"),
        ([*GPT, "--used-at", "2026-02-30"], 2, "invalid", "is no date"),
        ([*GPT, "--used-at", "2h"], 2, "invalid", "used_at must be a date"),
        ([*GPT, "--used-at", "2001-01-01"], 1, "no_card", "no rate card"),
        (["5", "--model", "gpt-4o", "--input-tokens", "x"], 2, "invalid", "input_tokens"),
    ],
)
def test_what_is_wrong_with_a_usage_is_named(selling: Cli, words: list[str], code: int, name: str, said: str):
    told, error, message = selling.fails("charge", "alice", *words)
    assert (told, error) == (code, name)
    assert said in message
    assert selling.ok("balance", "alice")["balance"] == "100"


def test_without_a_card_the_way_to_one_is_told(funded: Cli):
    code, name, message = funded.fails("charge", "alice", *GPT)
    assert (code, name) == (1, "no_card")
    assert "farthing prices init" in message


def test_the_same_on_postgresql(cli: Cli, postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FARTHING_DATABASE_URL", postgres_url)
    cli.ok("init")
    cli.ok("grant", "alice", "10")
    sync(cli)
    cli.ok("prices", "init", "--markup", "20")
    assert cli.ok("charge", "alice", *GPT)["amount"] == "1.41"
    assert cli.ok("quote", "alice", *GPT)["available"] == "8.59"
    assert cli.ok("prices", "show", "gpt-4o")["priced"] is True
    assert cli.ok("prices", "card", "list")["data"][0]["card"] == "default"
    assert cli.ok("prices", "quarantine", "list")["data"] == []


def test_a_priced_charge_works_as_a_program(selling: Cli, tmp_path: Path):
    done = execute("charge", "alice", *GPT, folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "1.175 credits charged to alice" in done.out
