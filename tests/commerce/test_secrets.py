"""Secrets where they are needed: references are followed, and errors never say what was found."""

import traceback
from pathlib import Path

import pytest

from farthing.commerce.secrets import SecretError, usable
from farthing.core.providers import Digistore24Settings, StripeSettings

KEY = "sk_live_51PxAbCdEfGhIjKl"


def test_references_are_followed_when_they_are_used(tmp_path: Path):
    file = tmp_path / "signing secret"
    file.write_text("whsec_first\n")
    settings = StripeSettings(
        api_key="env:KEY", webhook_secrets=("whsec_kept", f"file:{file}"), success_url="https://a.example"
    )
    environment = {"KEY": KEY}
    found = usable(settings, "live", environment)
    assert (found.api_key, found.webhook_secrets) == (KEY, ("whsec_kept", "whsec_first"))
    assert found.success_url == "https://a.example"
    file.write_text("whsec_second\r\n")
    assert usable(settings, "live", environment).webhook_secrets[1] == "whsec_second"
    assert settings.api_key == "env:KEY"


def test_a_passphrase_keeps_its_blanks_and_what_is_not_set_stays_so():
    found = usable(Digistore24Settings(passphrase="env:PASS"), "live", {"PASS": " two words \n"})
    assert (found.passphrase, found.api_key) == (" two words ", "")


def test_the_variables_of_this_process_are_the_ones_that_count(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OF_THIS_PROCESS", "123-abc")
    assert usable(Digistore24Settings(api_key="env:OF_THIS_PROCESS"), "live").api_key == "123-abc"


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "no such variable"), ("", "is empty"), ("\n", "is empty"), ("pk_live_hidden", "sk_ or rk_")],
)
def test_what_is_missing_or_wrong_is_told_by_its_reference_alone(text: str | None, said: str):
    with pytest.raises(SecretError, match=said) as caught:
        usable(StripeSettings(api_key="env:STRIPE_KEY"), "live", {} if text is None else {"STRIPE_KEY": text})
    assert "env:STRIPE_KEY" in str(caught.value)
    assert "hidden" not in "".join(traceback.format_exception(caught.value))


def test_files_that_are_missing_or_no_secrets_are_told_by_their_path(tmp_path: Path):
    large, binary, folder = tmp_path / "large", tmp_path / "binary", tmp_path / "folder"
    large.write_text("x" * 20_000)
    binary.write_bytes(b"hidden\xff")
    folder.mkdir()
    for path, said in (
        (tmp_path / "missing", "No such file"),
        (folder, "can't be read"),
        (large, "more than 10,000 bytes"),
        (binary, "is no text"),
    ):
        with pytest.raises(SecretError, match=said) as caught:
            usable(Digistore24Settings(passphrase=f"file:{path}"), "live", {})
        assert f"file:{path}" in str(caught.value)
        assert "hidden" not in "".join(traceback.format_exception(caught.value))


def test_a_reference_to_a_key_of_the_other_mode_is_refused_unless_it_is_for_a_fake():
    settings = StripeSettings(api_key="env:KEY")
    with pytest.raises(SecretError, match="env:KEY, which api_key refers to, is a live key"):
        usable(settings, "test", {"KEY": KEY})
    fake = StripeSettings(api_key="env:KEY", base_url="http://127.0.0.1:8790")
    assert usable(fake, "test", {"KEY": KEY}).api_key == KEY
