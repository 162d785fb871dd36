"""Settings of providers: what makes them right, how they change, and that no secret shows."""

from typing import Any

import pytest

from farthing.core.catalogue import PROVIDERS, Provider
from farthing.core.providers import (
    KINDS,
    BadSettings,
    Change,
    Digistore24Settings,
    KeptProvider,
    Mode,
    ProviderSettings,
    StripeSettings,
    changed,
    fingerprint,
    shown,
)

LIVE = "sk_live_51PxAbCdEfGhIjKl"
SIGNING = "whsec_abcdefghijklmnop"
FAKE = "http://127.0.0.1:8790"


def change(
    provider: Provider = "stripe", before: ProviderSettings | None = None, mode: Mode = "live", *, rest: bool = False,
    add: bool = False, **values: Any,
) -> Any:  # fmt: skip
    return changed(provider, before, Change(values, rest, add), mode)


def refused(*args: Any, **more: Any) -> tuple[str, str]:
    with pytest.raises(BadSettings) as caught:
        change(*args, **more)
    (problem,) = caught.value.problems
    return problem.field, problem.message


def test_every_provider_has_settings():
    assert KINDS.keys() == set(PROVIDERS)


# Changing


def test_as_a_whole_all_but_secrets_is_what_is_given():
    before = StripeSettings(api_key=LIVE, webhook_secrets=(SIGNING,), success_url="https://a.example/yes")
    after = change(before=before, cancel_url="https://a.example/no")
    assert after == StripeSettings(api_key=LIVE, webhook_secrets=(SIGNING,), cancel_url="https://a.example/no")


def test_in_part_all_that_is_not_given_stays_and_an_empty_text_takes_away():
    before = StripeSettings(api_key=LIVE, success_url="https://a.example/yes", cancel_url="https://a.example/no")
    after = change(before=before, rest=True, cancel_url="", webhook_secrets=(SIGNING,))
    assert after == StripeSettings(api_key=LIVE, success_url="https://a.example/yes", webhook_secrets=(SIGNING,))


def test_signing_secrets_are_replaced_or_come_to_those_that_are_there():
    before = StripeSettings(webhook_secrets=(SIGNING,))
    new = "whsec_another_one_of_them"
    assert change(before=before, webhook_secrets=(new,)).webhook_secrets == (new,)
    assert change(before=before, add=True, webhook_secrets=(new, SIGNING)).webhook_secrets == (SIGNING, new)
    assert change(before=before, add=True).webhook_secrets == (SIGNING,)
    many = tuple(f"whsec_{number}" for number in range(5))
    assert refused(before=before, add=True, webhook_secrets=many) == ("webhook_secrets", "must be at most 5")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_key_goes_to_no_address_but_the_one_it_was_given_for(provider: Provider):
    before = KINDS[provider](api_key="env:KEY")
    field, message = refused(provider, before, rest=True, base_url=FAKE)
    assert (field, "must be given again" in message) == ("api_key", True)
    assert change(provider, before, rest=True, base_url=FAKE, api_key="env:FAKE").base_url == FAKE
    at_fake = KINDS[provider](api_key="env:FAKE", base_url=FAKE)
    assert refused(provider, at_fake)[0] == "api_key"
    assert change(provider, at_fake, rest=True).base_url == FAKE
    # Where there is no key there is nothing to be told.
    assert change(provider, KINDS[provider](base_url=FAKE)).base_url == ""


# Keys


@pytest.mark.parametrize("kind", ["sk", "rk"])
def test_a_live_workspace_takes_no_test_key_and_one_for_tests_no_live_key(kind: str):
    live, test = f"{kind}_live_{'a' * 20}", f"{kind}_test_{'a' * 20}"
    assert change(api_key=live).api_key == live
    assert change(api_key=test, mode="test").api_key == test
    assert refused(api_key=test) == ("api_key", f"is a test key ({kind}_test_...), and the workspace is live")
    assert refused(api_key=live, mode="test") == (
        "api_key", f"is a live key ({kind}_live_...), and the workspace is for tests",
    )  # fmt: skip
    assert change(api_key=test, base_url=FAKE).api_key == test
    assert change(api_key=live, base_url=FAKE, mode="test").api_key == live


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"api_key": "pk_live_abcdefgh"}, "api_key", "sk_ or rk_"),
        ({"api_key": "sk_live_a b"}, "api_key", "without blanks"),
        ({"api_key": "sk_live_\u2026"}, "api_key", "printable ASCII"),
        ({"api_key": "sk_live_" + "a" * 300}, "api_key", "1 to 255"),
        ({"api_key": "env:"}, "api_key", "variable after env:"),
        ({"api_key": "env:MY KEY"}, "api_key", "variable after env:"),
        ({"api_key": "file:secret"}, "api_key", "whole path"),
        ({"webhook_secrets": ("we_123456",)}, "webhook_secrets[0]", "whsec_"),
        ({"webhook_secrets": (SIGNING, "")}, "webhook_secrets[1]", "1 to 255"),
        ({"success_url": "app.example.com"}, "success_url", "must be a URL"),
        ({"success_url": "https://a:b@app.example.com/"}, "success_url", "must be a URL"),
        ({"success_url": "https://app.example.com/a b"}, "success_url", "must be a URL"),
        ({"success_url": "javascript:alert(1)"}, "success_url", "must be a URL"),
        ({"success_url": "http://app.example.com/"}, "success_url", "https://"),
        ({"base_url": "http://elsewhere.example:80"}, "base_url", "https://"),
        ({"base_url": "https://fake.example/v1"}, "base_url", "without a path"),
    ],
)
def test_settings_of_stripe_that_can_not_be_right_are_told_by_their_field(
    values: dict[str, Any], field: str, said: str
):
    found, message = refused(**values)
    assert (found, said in message) == (field, True), message
    secret = values.get("api_key") or values.get("webhook_secrets", ("",))[0]
    assert not secret or secret == "env:" or secret not in message


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"passphrase": "x" * 64}, "passphrase"),
        ({"passphrase": "a\x00b"}, "passphrase"),
        ({"product_ids": ("12", "zwölf")}, "product_ids[1]"),
        ({"product_ids": ("1",) * 101}, "product_ids"),
        ({"merchant_id": "\n"}, "merchant_id"),
        ({"thankyou_url": "ftp://a.example"}, "thankyou_url"),
    ],
)
def test_settings_of_digistore24_that_can_not_be_right_are_told_by_their_field(values: dict[str, Any], field: str):
    assert refused("digistore24", **values)[0] == field


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(BadSettings) as caught:
        change(api_key="pk_live_secret_text", success_url="x", cancel_url="y")
    assert [each.field for each in caught.value.problems] == ["api_key", "success_url", "cancel_url"]
    assert "pk_live_secret_text" not in str(caught.value)


def test_where_nobodys_money_moves_addresses_may_be_http():
    assert change(success_url="http://localhost:3000/thanks", mode="test").success_url
    assert change(success_url="http://localhost:3000/thanks", base_url=FAKE, api_key="sk_test_1").success_url
    assert change(base_url="http://fakes:8790", mode="test").base_url
    assert change(success_url="https://a.example/thanks?session={CHECKOUT_SESSION_ID}").success_url
    assert change("digistore24", thankyou_url="https://a.example/thanks?order=[ORDER_ID]").thankyou_url


def test_a_passphrase_may_be_any_words_and_signing_secrets_may_be_removed():
    assert change("digistore24", passphrase="blau ist es, ü").passphrase == "blau ist es, ü"
    assert change(before=StripeSettings(webhook_secrets=(SIGNING,)), webhook_secrets=()).webhook_secrets == ()


# What shows


def test_no_secret_is_shown_and_a_short_one_not_even_in_part():
    settings = Digistore24Settings(api_key="123456-abcdefghijklmnop", passphrase="short", merchant_id="77")
    assert shown(settings)["api_key"] == {"reference": None, "hint": "mnop"}
    assert shown(settings)["passphrase"] == {"reference": None, "hint": None}
    stripe = StripeSettings(api_key="env:STRIPE_KEY", webhook_secrets=(SIGNING, "file:/run/secrets/w"))
    assert shown(stripe)["api_key"] == {"reference": "env:STRIPE_KEY", "hint": None}
    assert [each["reference"] for each in shown(stripe)["webhook_secrets"]] == [None, "file:/run/secrets/w"]
    assert shown(StripeSettings())["api_key"] is None
    kept = [KeptProvider("digistore24", settings, 1, 1), KeptProvider("stripe", stripe, 1, 1)]
    told = repr([*kept, *(each.shown() for each in kept), Change({"api_key": LIVE})])
    for secret in ("123456-abc", "short", "whsec_abc", LIVE):
        assert secret not in told
    assert "'77'" in told


def test_the_mark_of_secrets_tells_others_from_the_same_and_is_too_short_to_guess_by():
    one, other = {"api_key": LIVE, "success_url": "a"}, {"api_key": LIVE + "x", "success_url": "a"}
    assert fingerprint(one) == fingerprint({**one, "success_url": "b"}) != fingerprint(other)
    assert len(fingerprint(one)) == 4
