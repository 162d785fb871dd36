"""`farthing price`: a card from a file, usage as JSON lines, prices as JSON lines or as tables; no database."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import PROGRAM, Cli, Done, execute

CARDS = Path(__file__).parents[2] / "examples" / "cards"
GPT_4O = {"provider": "openai", "model": "gpt-4o", "dimensions": {"input_tokens": 1500, "output_tokens": 800}}


def card(name: str) -> str:
    return str(CARDS / f"{name}.json")


def jsonl(*usages: Any) -> str:
    return "".join(json.dumps(usage) + "\n" for usage in usages)


def answers(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.out.splitlines()]


def test_a_call_to_a_model_is_priced_with_its_lines(cli: Cli):
    done = cli("price", "--card", card("chat"), "--usage", "-", "--unit", "USD", "--json", input=jsonl(GPT_4O))
    assert (done.code, done.err) == (0, "")
    assert done.json == {
        **{"amount": "0.01175", "unit": "USD", "exact": "0.01175", "card": "chat", "provider": "openai"},
        "model": "gpt-4o",
        "lines": [
            {
                **{"kind": "price", "amount": "0.00375", "dimension": "input_tokens", "quantity": "1500"},
                **{"price": "0.0025", "per": 1000, "rule": "gpt-4o/input_tokens", "source": "chat"},
            },
            {
                **{"kind": "price", "amount": "0.008", "dimension": "output_tokens", "quantity": "800"},
                **{"price": "0.01", "per": 1000, "rule": "gpt-4o/output_tokens", "source": "chat"},
            },
        ],
    }


def test_people_see_a_table(cli: Cli):
    done = cli("price", "--card", card("steps"), "--usage", "-", input=jsonl({"dimensions": {"gb_hours": 112.5}}))
    assert done.code == 0
    assert done.out.splitlines() == [
        "line 1: 243 credits",
        "          QUANTITY     PRICE  AMOUNT  BY",
        "gb_hours       100  0.02 USD     200  storage  10 included; step from 0",
        "gb_hours       2.5  0.01 USD     2.5  storage  step from 100",
        "markup                          40.5  steps    20 %",
        "",
    ]


def test_every_line_gets_an_answer_and_one_that_fails_is_told(cli: Cli):
    lines = [
        {"operation": "image_generation"},
        {"operation": "nap"},
        {"operation": "refund", "attributes": {"a": "b"}, "chat": "c", "at": "2026-01-31"},
    ]
    text = jsonl(*lines[:2]) + "\nnonsense\n" + jsonl(lines[2])
    done = cli("price", "--card", card("tokens"), "--usage", "-", "--scale", "0", "--json", input=text)
    first, second, third, fourth = answers(done)
    assert (done.code, first["amount"], fourth["amount"]) == (1, "10", "0")
    assert second == {
        "error": {
            **{"code": "unknown_operation", "field": "operation", "line": 2},
            "message": "tokens has no rule for the operation 'nap'",
        }
    }
    assert (third["error"]["code"], third["error"]["line"]) == ("usage_invalid", 4)
    told = cli("price", "--card", card("tokens"), "--usage", "-", "--scale", "0", input=text)
    assert told.code == 1
    assert "farthing: line 2: tokens has no rule for the operation 'nap'" in told.err
    assert told.out.count("credits") == 2


@pytest.mark.parametrize(
    ("usage", "field"),
    [
        ({"modle": "x"}, "modle"),
        ({"model": 3}, "model"),
        ({"dimensions": []}, "dimensions"),
        ({"dimensions": {"tokens": None}}, "dimensions.tokens"),
        ({"dimensions": {"tokens": True}}, "dimensions.tokens"),
        ({"dimensions": {"tokens": -1}}, "dimensions.tokens"),
        ({"dimensions": {"tokens": 0.5}}, "dimensions.tokens"),
        ({"dimensions": {"tokens": 1e300}}, "dimensions.tokens"),
        ({"dimensions": {"output_tokens": 5, "reasoning_tokens": 6}}, "dimensions.reasoning_tokens"),
        ({"dimensions": {"input_tokens": 5, "cache_read_tokens": 6}}, "dimensions.cache_read_tokens"),
        ({"attributes": {"a": 1}}, "attributes.a"),
        ({"at": "2026-02-30"}, "at"),
        ({"at": 5}, "at"),
    ],
)
def test_a_usage_that_can_not_be_is_told_by_field(cli: Cli, usage: dict[str, Any], field: str):
    done = cli("price", "--card", card("gpt4"), "--usage", "-", "--json", input=jsonl(usage))
    error = done.json["error"]
    assert (done.code, error["code"], error["field"]) == (1, "usage_invalid", field)


def test_a_dimension_that_no_rule_knows_is_told(cli: Cli):
    usage = {"model": "gpt-4", "dimensions": {"tokens": 5, "pages": 1}}
    done = cli("price", "--card", card("gpt4"), "--usage", "-", "--json", input=jsonl(usage))
    error = done.json["error"]
    assert (done.code, error["code"], error["field"]) == (1, "unknown_dimension", "dimensions.pages")


def test_usage_may_be_a_file_of_lines_or_of_one_object(cli: Cli):
    Path("lines.jsonl").write_text(jsonl({"model": "gpt-4", "dimensions": {"tokens": "1500"}}) * 2)
    Path("one.json").write_text(json.dumps({"model": "gpt-4", "dimensions": {"tokens": 1500}}, indent=2))
    Path("none.jsonl").write_text("\n")
    for name, count in (("lines.jsonl", 2), ("one.json", 1), ("none.jsonl", 0)):
        done = cli("price", "--card", card("gpt4"), "--usage", name, "--json")
        assert (done.code, [each["amount"] for each in answers(done)]) == (0, ["7.5"] * count)


@pytest.mark.parametrize(("policy", "code"), [("default", 0), ("refuse", 1), ("unpriced", 0)])
def test_the_policy_for_unknown_models_can_be_chosen(cli: Cli, policy: str, code: int):
    usage = jsonl({"model": "new:1", "dimensions": {"tokens": 1000}})
    words = ("price", "--card", card("accounting"), "--usage", "-", "--json", "--unknown-models", policy)
    done = cli(*words, input=usage)
    assert done.code == code
    if policy == "refuse":
        assert done.json["error"]["code"] == "unknown_model"
    else:
        assert (done.json["amount"], done.json.get("unpriced", False)) == {
            "default": ("0.35", False),
            "unpriced": ("0", True),
        }[policy]


# Model prices


SAMPLES = Path(__file__).parents[1] / "prices" / "data"


@pytest.mark.parametrize(
    "name", ["bundled", *(str(SAMPLES / f"{each}.json") for each in ("genai", "litellm", "modelsdev"))]
)
def test_a_card_that_uses_a_catalogue_is_given_one(cli: Cli, name: str):
    words = ("price", "--card", card("catalogue"), "--usage", "-", "--json", "--catalogue", name)
    done = cli(*words, input=jsonl(GPT_4O, {**GPT_4O, "provider": "", "model": "openai/gpt-4o"}))
    assert done.code == 0
    for each in answers(done):
        # 1,500 at 2.5 and 800 at 10 USD for a million, at 100 credits a USD and a fifth more.
        assert (each["amount"], each["cost"]) == ("1.41", "1.175")
        assert each["lines"][0]["source"].startswith("catalogue:openai/gpt-4o@")


def test_usage_of_the_past_has_the_models_price_of_then(cli: Cli):
    usage = {"model": "o3", "provider": "openai", "dimensions": {"input_tokens": 1_000_000}}
    words = ("price", "--card", card("catalogue"), "--usage", "-", "--json", "--catalogue", str(SAMPLES / "genai.json"))
    then, now = answers(cli(*words, input=jsonl({**usage, "at": "2025-01-01"}, usage)))
    assert (then["amount"], now["amount"]) == ("1200", "240")


def test_without_a_catalogue_the_way_to_one_is_told(cli: Cli):
    done = cli("price", "--card", card("catalogue"), "--usage", "-", "--json", input=jsonl(GPT_4O))
    assert (done.code, done.json["error"]["code"]) == (1, "unknown_model")
    assert "--catalogue bundled" in done.json["error"]["message"]


def test_prices_that_would_wait_in_quarantine_price_nothing(cli: Cli):
    models = [
        {"id": name, "match": {"equals": name}, "prices": {"input_mtok": price}}
        for name, price in (("good", 1), ("negative", -1), ("gift", 0))
    ]
    Path("models.json").write_text(json.dumps([{"id": "acme", "models": models}]))
    usages = [{"model": model["id"], "dimensions": {"input_tokens": 1_000_000}} for model in models]
    words = ("price", "--card", card("catalogue"), "--usage", "-", "--json", "--catalogue", "models.json")
    good, negative, gift = answers(cli(*words, "--unknown-models", "refuse", input=jsonl(*usages)))
    assert good["amount"] == "120"
    assert negative["error"]["code"] == gift["error"]["code"] == "unknown_model"


@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_a_catalogue_that_is_cut_off_prices_nothing(cli: Cli, part: float):
    data = (SAMPLES / "genai.json").read_bytes()
    Path("half.json").write_bytes(data[: int(len(data) * part)])
    code, name, message = cli.fails("price", "--card", card("catalogue"), "--usage", "-", "--catalogue", "half.json")
    assert (code, name) == (1, "bad_catalogue")
    assert "damaged or cut off" in message


def test_a_catalogue_is_a_file_and_for_cards_that_use_one(cli: Cli):
    for words, said in (
        (["--card", card("catalogue"), "--catalogue", "none.json"], "--catalogue can't be read"),
        (["--card", card("pricecalc"), "--catalogue", "bundled"], "a PriceCalc profile has all its prices"),
    ):
        code, name, message = cli.fails("price", *words, "--usage", "-")
        assert (code, name) == (2, "usage")
        assert said in message


# What stops it before it begins


def test_a_card_that_is_not_right_says_everything_at_once(cli: Cli):
    Path("card.json").write_text('{"rate": "0", "rules": [{"id": "a", "dimension": "X", "price": "-1"}]}')
    done = cli("price", "--card", "card.json", "--usage", "-", "--json")
    error = done.json["error"]
    assert (done.code, error["code"]) == (2, "invalid_card")
    assert [each["pointer"] for each in error["problems"]] == ["/rate", "/rules/0/dimension", "/rules/0/price"]
    assert "rules/0/price must not be negative" in error["message"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"rules": [], "x": 1}', '{"profile": 3}', '{"profile": {}}'])
def test_a_file_that_is_no_card_is_refused(cli: Cli, text: str):
    Path("card.json").write_text(text)
    code, name, _ = cli.fails("price", "--card", "card.json", "--usage", "-")
    assert (code, name) == (2, "invalid_card")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--card", "none.json", "--usage", "-"], "the card can't be read"),
        (["--card", ".", "--usage", "-"], "the card can't be read"),
        (["--card", card("gpt4"), "--usage", "none.jsonl"], "--usage can't be read"),
        (["--card", card("gpt4"), "--usage", "."], "--usage can't be read"),
        (["--card", card("gpt4"), "--usage", "-", "--mode", "RUNTIME"], "the card is none"),
        (["--card", card("gpt4"), "--usage", "-", "--audit"], "the card is none"),
        (["--card", card("gpt4")], "Missing option"),
    ],
)
def test_what_can_not_be_read_is_misuse(cli: Cli, words: list[str], said: str):
    code, name, message = cli.fails("price", *words)
    assert (code, name) == (2, "usage")
    assert said in message


def test_a_scale_that_no_unit_has_is_refused(cli: Cli):
    assert cli.fails("price", "--card", card("gpt4"), "--usage", "-", "--scale", "13")[:2] == (2, "invalid")


def test_a_card_is_checked_against_the_scale(cli: Cli):
    Path("card.json").write_text('{"decimals": 2, "rules": [{"id": "a", "dimension": "gb", "price": "1"}]}')
    assert cli.fails("price", "--card", "card.json", "--usage", "-", "--scale", "1")[1] == "invalid_card"


# PriceCalc


LARGE = {"dimensions": {"llm_input_tokens": 1500, "llm_output_tokens": "800", "2": 0}, "attributes": {"tier": "xl"}}


def test_a_profile_answers_in_the_shape_of_its_contract(cli: Cli):
    done = cli("price", "--card", card("pricecalc"), "--usage", "-", "--json", "--include-rounded", input=jsonl(LARGE))
    assert done.code == 0
    assert done.out.startswith('{"totalCredits":1.39,"totalCreditsToDeduct":2,"breakdown":[{"dimensionKey":')
    assert '"qty":1500,"creditsPerUnit":0.0005,"credits":0.75,"costPerUnitEur":0.000003,"costEur":0.0045' in done.out
    assert done.json["ruleIdsUsed"] == ["r_in_large", "r_out"]


def test_numbers_of_a_result_have_all_their_digits(cli: Cli):
    rule = {"id": "a", "dimensionKey": "gb", "creditsPerUnit": 0.1 + 0.2}
    profile = {"profileVersionId": "p", "eurPerCredit": 1, "rateRules": [rule]}
    Path("card.json").write_text(json.dumps({"profile": profile}))
    words = ("price", "--card", "card.json", "--usage", "-", "--json")
    done = cli(*words, input='{"dimensions": {"gb": 12345678901234567890.5}}')
    assert '"qty":12345678901234567890.5' in done.out
    assert '"totalCredits":3703703670370370860.97715604938271562,' in done.out
    huge = cli(*words, input='{"dimensions": {"gb": 1e30}}')
    assert '"qty":1000000000000000000000000000000,' in huge.out


def test_strict_refuses_by_name_and_runtime_goes_on(cli: Cli):
    usage = jsonl({"dimensions": {"images": 2, "pages": 1}})
    words = ("price", "--card", card("pricecalc"), "--usage", "-")
    strict = cli(*words, "--json", input=usage)
    assert (strict.code, strict.json["error"]["code"]) == (1, "UNMATCHED_DIMENSION")
    assert strict.json["error"]["names"] == ["pages"]
    runtime = cli(*words, "--json", "--mode", "RUNTIME", input=usage)
    assert (runtime.code, runtime.json["totalCredits"]) == (0, 20)
    assert runtime.json["quarantineReason"] == "UNMATCHED_DIMENSION"
    told = cli(*words, "--mode", "RUNTIME", input=usage)
    assert told.out.splitlines()[:2] == [
        "line 1: 20 credits (quarantined: UNMATCHED_DIMENSION pages)",
        "        QUANTITY  PRICE  CREDITS  RULE",
    ]
    said = cli(*words, "--json", "--mode", "RUNTIME", input=jsonl({"dimensions": {"pages": 1}, "mode": "STRICT"}))
    assert said.code == 1, "what a line says of its mode wins"


def test_an_audit_adds_what_a_result_was_made_of(cli: Cli):
    done = cli("price", "--card", card("pricecalc"), "--usage", "-", "--json", "--audit", input=jsonl(LARGE))
    assert (done.json["attributes"], done.json["eurPerCredit"]) == ({"tier": "xl"}, 0.01)
    assert '"costTotalEur":0.0077' in done.out
    assert done.json["timestamp"].endswith("Z")


# As a program


def test_it_needs_no_database_and_makes_none(tmp_path: Path):
    usage = jsonl({"model": "gpt-4", "dimensions": {"input_tokens": 1000, "output_tokens": 500}})
    done = execute("price", "--card", card("gpt4"), "--usage", "-", "--json", folder=tmp_path, input=usage)
    assert (done.code, done.err, done.json["amount"]) == (0, "", "7.5")
    assert list(tmp_path.iterdir()) == []


def test_whoever_reads_only_the_beginning_hears_no_complaint(tmp_path: Path):
    usages = jsonl({"model": "gpt-4", "dimensions": {"tokens": 1}}) * 2000
    (tmp_path / "usage.jsonl").write_text(usages)
    words = ["price", "--card", card("gpt4"), "--usage", str(tmp_path / "usage.jsonl"), "--json"]
    with subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as pricing:
        assert pricing.stdout is not None
        assert pricing.stderr is not None
        assert pricing.stdout.readline()
        pricing.stdout.close()
        assert pricing.stderr.read() == b""
    assert pricing.returncode == 1
