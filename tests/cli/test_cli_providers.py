"""Providers of payments on the command line: no secret stands there, and none is shown."""

import json

import pytest

from farthing.stores import sqlite
from tests.cli.command import Cli

KEY = "sk_live_never_to_be_seen_again_x7Qk"


def kept(provider: str = "stripe") -> dict[str, object]:
    db = sqlite.connect("farthing.db")
    ((document,),) = db.execute("select document from provider where id = ?", (provider,))
    db.close()
    found: dict[str, object] = json.loads(document)
    return found


def test_references_are_set_shown_and_changed_one_by_one(ledger: Cli):
    made = ledger.ok(
        *("providers", "set", "digistore24", "--api-key", "env:DS24_KEY", "--passphrase", "file:/run/secrets/ipn"),
        *("--product-id", "500001", "--product-id", "500002", "--merchant-id", "77"),
        *("--thankyou-url", "https://a.example/thanks"),
    )
    assert made["api_key"] == {"reference": "env:DS24_KEY", "hint": None}
    assert (made["product_ids"], made["merchant_id"], made["fallback_url"]) == (["500001", "500002"], "77", None)
    after = ledger.ok("providers", "set", "digistore24", "--merchant-id", "", "--fallback-url", "https://a.example/b")
    assert (after["merchant_id"], after["fallback_url"], after["passphrase"]) == (
        None, "https://a.example/b", made["passphrase"],
    )  # fmt: skip
    assert ledger.ok("providers", "set", "digistore24", "--product-id", "")["product_ids"] == []
    told = ledger.told("providers", "show", "digistore24")
    assert "passphrase         file:/run/secrets/ipn\n" in told
    assert "env:DS24_KEY" in ledger.told("providers", "list")


def test_a_secret_itself_comes_through_standard_input_and_is_never_shown(ledger: Cli):
    said = [ledger.told("providers", "set", "stripe", "--api-key-stdin", input=KEY + "\n")]
    assert "api_key          ends in x7Qk\n" in said[0]
    ledger.ok("providers", "set", "stripe", "--webhook-secret", "env:OLD")
    ledger.ok(
        "providers", "set", "stripe", "--webhook-secret-stdin", "--keep-webhook-secrets", input="whsec_never_shown"
    )
    assert (kept()["api_key"], kept()["webhook_secrets"]) == (KEY, ["env:OLD", "whsec_never_shown"])
    for words in (("providers", "list"), ("providers", "show", "stripe"), ("audit",)):
        said += [ledger.told(*words), json.dumps(ledger.ok(*words))]
    said.append(ledger.told("providers", "remove", "stripe", "--yes"))
    assert "never" not in "".join(said)
    assert ledger.ok("providers", "list")["data"] == []


def test_a_secret_on_the_command_line_is_refused_with_the_way_round(ledger: Cli):
    for option in ("--api-key", "--webhook-secret"):
        code, name, sentence = ledger.fails("providers", "set", "stripe", option, KEY)
        assert (code, name) == (2, "invalid")
        assert f"through {option}-stdin" in sentence
        assert KEY not in sentence
    assert ledger.ok("providers", "list")["data"] == []


@pytest.mark.parametrize(
    ("words", "input", "said"),
    [
        (("stripe",), "", "say what to set"),
        (("stripe", "--api-key-stdin"), "\n", "standard input had nothing"),
        (("stripe", "--api-key-stdin"), b"\xff", "must be text"),
        (("stripe", "--api-key-stdin", "--api-key", "env:A"), KEY, "not both"),
        (("stripe", "--api-key-stdin", "--webhook-secret-stdin"), KEY, "standard input has one secret"),
        (("stripe", "--api-key-stdin"), "sk_test_hidden", "is a test key (sk_test_...)"),
        (("stripe", "--api-key", "env:A-B"), "", "variable after env:"),
        (("stripe", "--success-url", "http://a.example"), "", "success_url must begin with https://"),
        (("digistore24", "--product-id", "x"), "", "product_ids[0] must be the number"),
    ],
)
def test_what_can_not_be_set_is_refused_and_nothing_is_kept(ledger: Cli, words: tuple[str, ...], input: str, said: str):
    code, _, sentence = ledger.fails("providers", "set", *words, input=input)
    assert (code, said in sentence) == (2, True), sentence
    assert "hidden" not in sentence
    assert ledger.ok("providers", "list")["data"] == []


def test_a_fake_takes_another_key(ledger: Cli):
    ledger.ok("providers", "set", "stripe", "--api-key", "env:STRIPE_KEY")
    fake = ("--base-url", "http://127.0.0.1:8790")
    code, _, sentence = ledger.fails("providers", "set", "stripe", *fake)
    assert (code, "must be given again" in sentence) == (2, True)
    done = ledger.ok("providers", "set", "stripe", *fake, "--api-key-stdin", input="sk_test_of_the_fake")
    assert (done["base_url"], done["api_key"]) == ("http://127.0.0.1:8790", {"reference": None, "hint": "fake"})


def test_one_that_is_not_set_is_not_found_and_removing_is_confirmed(ledger: Cli):
    assert ledger.fails("providers", "show", "stripe")[:2] == (1, "provider_not_found")
    assert ledger.fails("providers", "remove", "stripe", "--yes")[:2] == (1, "provider_not_found")
    ledger.ok("providers", "set", "stripe", "--api-key", "env:STRIPE_KEY")
    assert ledger.fails("providers", "remove", "stripe")[:2] == (1, "confirmation_needed")
    assert ledger.ok("providers", "remove", "stripe", "--yes")["id"] == "stripe"
