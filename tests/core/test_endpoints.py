"""Endpoints: secrets by Standard Webhooks, how they are replaced, and who is told of what."""

from typing import Any

import pytest
from msgspec.structs import replace

from farthing.core.endpoints import (
    MOST_SECRETS,
    SigningSecret,
    WebhookEndpoint,
    rotated,
    secret_of,
    secret_problem,
    told_text,
)
from farthing.core.events import told_of

HOUR = 3_600_000_000
OLD, NEW = secret_of(b"o" * 32), secret_of(b"n" * 32)


def endpoint(**more: Any) -> WebhookEndpoint:
    facts: dict[str, Any] = {
        "workspace": "main", "id": "whe_1", "url": "https://a.example/", "types": ("charge.*",),
        "secrets": (SigningSecret(OLD),), "created_at": 1, "updated_at": 1,
    }  # fmt: skip
    return WebhookEndpoint(**facts | more)


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_secret_has_24_to_64_bytes(size: int):
    assert secret_problem(secret_of(b"x" * size)) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (secret_of(b"x" * 23), "of 24 to 64 bytes, not of 23"),
        (secret_of(b"x" * 65), "not of 65"),
        ("whsec_", "not of 0"),
        ("hunter2" * 5, "must begin with whsec_"),
        (OLD[:-1], "copied whole"),
        (OLD + "!", "copied whole"),
        (f"whsec_{'é' * 32}", "copied whole"),
    ],
)
def test_anything_else_is_refused_without_being_told(text: str, why: str):
    said = secret_problem(text)
    assert said is not None
    assert why in said
    assert text[6:] == "" or text[6:] not in said


def test_the_old_secret_signs_until_the_overlap_is_over():
    after = rotated(endpoint(), NEW, 5, HOUR)
    assert after.signing(5) == (NEW, OLD)
    assert after.signing(5 + HOUR - 1) == (NEW, OLD)
    assert after.signing(5 + HOUR) == (NEW,)


def test_a_secret_that_signs_no_longer_goes_and_no_overlap_is_made_longer():
    once = rotated(endpoint(), NEW, 0, HOUR)
    third = secret_of(b"3" * 32)
    assert rotated(once, third, 1, 2 * HOUR).secrets == (
        SigningSecret(third), SigningSecret(NEW, 1 + 2 * HOUR), SigningSecret(OLD, HOUR)
    )  # fmt: skip
    assert [each.text for each in rotated(once, third, 2 * HOUR, HOUR).secrets] == [third, NEW]
    assert rotated(once, third, 1, 0).secrets == (SigningSecret(third),)
    assert rotated(endpoint(), OLD, 0, HOUR).secrets == (SigningSecret(OLD),)


def test_only_so_many_secrets_sign_at_a_time():
    kept = endpoint()
    for number in range(9):
        kept = rotated(kept, secret_of(bytes([number]) * 32), number, HOUR)
    assert len(kept.secrets) == MOST_SECRETS
    assert kept.secrets[0].text == secret_of(bytes([8]) * 32)


def test_no_secret_is_in_what_may_be_shown_nor_in_what_a_log_would_have():
    for text in (str(endpoint().shown()), repr(endpoint())):
        assert OLD not in text


def test_enabled_endpoints_and_living_listeners_are_told():
    lease = endpoint(id="lis_1", url="", types=("balance.low",), expires_at=10)
    off = endpoint(id="whe_2", types=("*",), state="disabled")
    told = told_of(told_text([endpoint(), lease, off], 9))
    assert told.endpoints("charge.created", 9) == ("whe_1",)
    assert told.endpoints("balance.low", 9) == ()
    assert told.endpoints("balance.low", 10) is None
    assert told.endpoints("grant.created", 9) is None


def test_where_nobody_is_told_the_document_is_empty():
    assert told_text([], 0) == ""
    assert told_text([endpoint(state="disabled"), endpoint(url="", expires_at=5)], 5) == ""
    assert told_text([replace(endpoint(), url="", expires_at=6)], 5) != ""
