"""API keys: their form, what a wrong one is told, how scopes are named, and that no log ever shows one."""

import string
from hashlib import sha256

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from farthing.core.credentials import (
    SCOPES,
    KeyProblem,
    Mode,
    hash_key,
    hint_of,
    looks_like,
    parse_key,
    parse_scopes,
    redact,
)
from farthing.identity.keys import make_key

BASE62 = string.digits + string.ascii_letters
# A key from another run, spelt out: the form is a promise to every key in the field.
KNOWN = "cs_live_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg1CKwpy"
modes: tuple[Mode, ...] = ("live", "test")
# What an existing service may have handed out.
legacy_keys = st.text("!#$%*+-./:=?@^_|~" + BASE62, min_size=4, max_size=252).map("cs_".__add__)


@pytest.mark.parametrize("mode", modes)
def test_a_new_key_has_the_documented_form(mode: Mode) -> None:
    key = make_key(mode)
    assert key.text.startswith(f"cs_{mode}_")
    assert len(key.text) == 8 + 43 + 6
    assert set(key.text[8:]) <= set(BASE62)
    assert parse_key(key.text) == mode
    assert looks_like(key.text) == "ours"


def test_a_new_key_is_told_apart_by_its_last_four_and_stored_as_its_sha256() -> None:
    key = make_key("live")
    assert key.hint == key.text[-4:]
    assert key.hash == sha256(key.text.encode()).digest() == hash_key(key.text)


def test_a_thousand_keys_are_all_different_and_use_the_whole_alphabet() -> None:
    texts = {make_key("live").text for _ in range(1000)}
    assert len(texts) == 1000
    for place in range(8, 8 + 43):
        assert len({text[place] for text in texts}) > 55


def test_the_checksum_of_a_key_made_years_ago_still_holds() -> None:
    assert parse_key(KNOWN) == "live"


def test_a_new_keys_text_is_not_in_its_representation() -> None:
    key = make_key("live")
    assert key.text not in repr(key)
    assert key.text not in str(key)
    assert key.hint in repr(key)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", KeyProblem.PREFIX),
        ("sk_live_" + KNOWN[8:], KeyProblem.PREFIX),
        ("CS_LIVE_" + KNOWN[8:], KeyProblem.PREFIX),
        ("cs_prod_" + KNOWN[8:], KeyProblem.PREFIX),
        (" " + KNOWN, KeyProblem.PREFIX),
        (KNOWN[:-1], KeyProblem.LENGTH),
        (KNOWN + "0", KeyProblem.LENGTH),
        (KNOWN + "\n", KeyProblem.LENGTH),
        ("cs_live_", KeyProblem.LENGTH),
        (KNOWN[:20] + "-" + KNOWN[21:], KeyProblem.ALPHABET),
        (KNOWN[:20] + "ä" + KNOWN[21:], KeyProblem.ALPHABET),
        (KNOWN[:20] + "٣" + KNOWN[21:], KeyProblem.ALPHABET),
        (KNOWN[:20] + "\ud800" + KNOWN[21:], KeyProblem.ALPHABET),
        (KNOWN[:-1] + "!", KeyProblem.ALPHABET),
        ("cs_test_" + KNOWN[8:], KeyProblem.CHECKSUM),
        (KNOWN.swapcase().replace("CS_LIVE_", "cs_live_"), KeyProblem.CHECKSUM),
    ],
)
def test_a_wrong_key_is_told_what_is_wrong(text: str, problem: KeyProblem) -> None:
    assert parse_key(text) is problem


@given(st.integers(8, 56), st.sampled_from(BASE62))
def test_any_one_character_changed_is_noticed(place: int, character: str) -> None:
    assume(KNOWN[place] != character)
    damaged = KNOWN[:place] + character + KNOWN[place + 1 :]
    assert parse_key(damaged) is KeyProblem.CHECKSUM
    assert looks_like(damaged) == "malformed"


@given(st.integers(8, 55))
def test_two_neighbours_swapped_are_noticed(place: int) -> None:
    swapped = KNOWN[:place] + KNOWN[place + 1] + KNOWN[place] + KNOWN[place + 2 :]
    assume(swapped != KNOWN)
    assert parse_key(swapped) is KeyProblem.CHECKSUM


@pytest.mark.parametrize(
    "text", ["cs_1a2b3c4d", "cs_live_old", "cs_test_123", "cs_" + "a" * 252, "cs_AbC.dEf-123=", KNOWN[:-1]]
)
def test_a_key_of_an_existing_service_is_worth_a_look_up(text: str) -> None:
    assert looks_like(text) == "legacy"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cs_",
        "cs_abc",
        "xs_12345678",
        "cs_" + "a" * 253,
        "cs_with blank",
        "cs_umlaut_ä",
        "cs_12345678\n",
        "cs_12345678\0",
        'cs_1234"5678',
        "cs_\ud800abcd",
    ],
)
def test_what_can_be_no_key_is_not_looked_up(text: str) -> None:
    assert looks_like(text) == "malformed"


@given(st.text())
def test_no_text_breaks_the_reading_of_keys(text: str) -> None:
    assert isinstance(parse_key(text), KeyProblem)
    assert looks_like(text) in ("legacy", "malformed")
    assert isinstance(redact(text), str)


def test_a_short_key_has_no_hint() -> None:
    assert hint_of("cs_1a2b3c4d") == ""
    assert hint_of(KNOWN) == KNOWN[-4:]


def test_scopes_are_read_from_a_list_or_a_text() -> None:
    assert parse_scopes(["read", "charge"]) == parse_scopes("read, charge") == parse_scopes("charge read read")
    assert parse_scopes(SCOPES) == frozenset(SCOPES)


@pytest.mark.parametrize("names", ["", " , ", [], "write", "read,Write", ["read", ""], ["read,charge"]])
def test_unknown_or_no_scopes_are_refused_with_the_known_ones(names: str | list[str]) -> None:
    with pytest.raises(ValueError, match="one or more of read, charge, grant, admin"):
        parse_scopes(names)


def test_the_unknown_scope_is_named() -> None:
    with pytest.raises(ValueError, match="'write'"):
        parse_scopes("read,write")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (KNOWN, f"cs_live_...{KNOWN[-4:]}"),
        (f"key {KNOWN}: refused", f"key cs_live_...{KNOWN[-4:]}: refused"),
        (f"Sent {KNOWN}.", f"Sent cs_live_...{KNOWN[-4:]}."),
        (
            f'{{"X-API-Key":"{KNOWN}","account":"u1"}}',
            f'{{"X-API-Key":"cs_live_...{KNOWN[-4:]}","account":"u1"}}',
        ),
        (f"?key={KNOWN}&account=u1", f"?key=cs_live_...{KNOWN[-4:]}&account=u1"),
        (f"key{KNOWN}", f"keycs_live_...{KNOWN[-4:]}"),
        (f"{KNOWN} and {KNOWN}", f"cs_live_...{KNOWN[-4:]} and cs_live_...{KNOWN[-4:]}"),
        (f"{KNOWN}tail", "cs_live_...tail"),
        (f"{KNOWN}.tail!", "cs_live_...ail!"),
        ("cs_test_cut", "cs_test_..."),
        ("cs_1a2b3c4d", "cs_..."),
        ("cs_1a2b3c4d5e6f7a8b9c0d", "cs_...9c0d"),
        (r"\ncs_1a2b3c4d", r"\ncs_..."),
        ("Bearer%20cs_1a2b3c4d", "Bearer%20cs_..."),
    ],
)
def test_keys_in_a_log_line_are_redacted(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize("text", ["", "charge accepted", "cs_", "cs_id", "see docs_configuration", "metrics_endpoint"])
def test_other_texts_are_left_alone(text: str) -> None:
    assert redact(text) == text


@given(st.sampled_from(modes), st.text(), st.text())
def test_whatever_surrounds_it_a_key_of_ours_is_not_shown(mode: Mode, before: str, after: str) -> None:
    key = make_key(mode).text
    assert key[8:-4] not in redact(before + key + after)


@given(legacy_keys, st.sampled_from(["", " ", "\n", "'", '"', "key=", "Bearer ", "("]))
def test_whatever_can_sign_in_can_be_kept_out_of_a_log(key: str, before: str) -> None:
    assume(looks_like(key) == "legacy")
    assume("..." not in key)
    shown = redact(f"{before}{key}{before[::-1]} end")
    assert key not in shown
    assert key.removeprefix("cs_live_").removeprefix("cs_test_").removeprefix("cs_")[:-4] not in shown or len(key) < 12
