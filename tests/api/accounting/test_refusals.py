"""Bad input at the credits of the accounting dialect: each is told in the contract's words, and changes nothing."""

import json
from typing import Any

import pytest

from tests.api.accounting.people import told
from tests.api.serving import Answer

REQUIRED = "Valid requiredCredits amount required"
TOKENS = "Valid modelId and tokens required"
POSITIVE = "Valid, positive credits amount required"
NO_AMOUNTS: list[Any] = ["5", True, None, [], {}, "", "NaN", [5], -1, -0.5, 1e300, 10**40, 10**15]
DAYS: list[Any] = [0, -1, 1.9, "7", 10**9, 1e9, True, [], {}, 36_501, 1e400]


def raw(body: Any) -> bytes:
    """JSON of a body; numbers of any size."""
    return json.dumps(body).replace("Infinity", "1e400").encode()


def is_refused(answer: Answer, sentence: str, status: int = 400) -> None:
    assert told(answer) == (status, sentence)


@pytest.fixture(autouse=True)
def nothing_changes(server, rich, boss):
    """Whatever a test here sends."""
    before = server.count(), server.entries(rich.id)
    yield
    assert (server.count(), server.entries(rich.id)) == before


# The sentences of the contract


@pytest.mark.parametrize("amount", NO_AMOUNTS)
def test_a_check_wants_an_amount(rich, amount):
    is_refused(rich.post("credits/check", raw({"requiredCredits": amount})), REQUIRED)


@pytest.mark.parametrize("amount", [*NO_AMOUNTS, 0, 0.0, 0.0000001])
def test_a_deduct_wants_an_amount_above_zero(rich, amount):
    is_refused(rich.post("credits/deduct", raw({"credits": amount})), POSITIVE)


@pytest.mark.parametrize("text", [b'{"credits": %s}' % number for number in (b"9" * 600, b"1e-9", b"0." + b"1" * 600)])
def test_a_deduct_of_a_number_beyond_all_measure_is_refused(rich, text):
    is_refused(rich.post("credits/deduct", text), POSITIVE)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"modelId": "gpt-4"},
        {"tokens": 5},
        {"modelId": "", "tokens": 5},
        {"modelId": 4, "tokens": 5},
        {"modelId": "a\u0000b", "tokens": 5},
        {"modelId": "x" * 256, "tokens": 5},
        {"modelId": "gpt-4", "tokens": -1},
        {"modelId": "gpt-4", "tokens": 1.5},
        {"modelId": "gpt-4", "tokens": "5"},
        {"modelId": "gpt-4", "tokens": True},
        {"modelId": "gpt-4", "inputTokens": 5, "outputTokens": -1},
        {"modelId": "gpt-4", "tokens": 5, "inputTokens": "many"},
        {"modelId": "gpt-4", "tokens": 10**100},
    ],
)
def test_a_calculation_wants_a_model_and_tokens(rich, body):
    is_refused(rich.post("credits/calculate", body), TOKENS)


@pytest.mark.parametrize(("path", "sentence"), [("check", REQUIRED), ("calculate", TOKENS), ("deduct", POSITIVE)])
def test_no_body_at_all_is_told_in_the_same_words(rich, path, sentence):
    for body in (None, b"", b" ", b"{}", b'{"other": 1}'):
        is_refused(rich.post(f"credits/{path}", body), sentence)


# Of what is given


@pytest.mark.parametrize("days", DAYS)
@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("POST", "allocate", {"credits": 1}),
        ("POST", "set", {"credits": 1}),
        ("PUT", "adjust", {"adjustment": 1}),
    ],
)
def test_days_that_are_none_are_refused(rich, boss, method, path, more, days):
    answer = boss.send(method, f"credits/{path}", raw({"userId": rich.id, **more, "expiryDays": days}))
    is_refused(answer, "expiryDays must be a whole number from 1 to 36,500")


def test_days_of_an_allocation_by_address_are_as_strict(rich, admin):
    body = {"email": f"{rich.id}@example.com", "credits": 1, "expiryDays": 1.9}
    is_refused(admin.post("credits/allocate-by-email", body), "expiryDays must be a whole number from 1 to 36,500")


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("POST", "allocate", "credits"),
        ("POST", "set", "credits"),
        ("DELETE", "remove", "credits"),
        ("PUT", "adjust", "adjustment"),
    ],
)
@pytest.mark.parametrize("amount", ["5", True, None, [], 10**15, 1e300, 1e-9, "above"])
def test_an_amount_that_is_none_is_refused_by_name(rich, boss, method, path, field, amount):
    answer = boss.send(method, f"credits/{path}", raw({"userId": rich.id, field: amount}))
    status, sentence = told(answer)
    assert status == 400
    assert sentence.startswith(f"{field} ")


@pytest.mark.parametrize(
    ("method", "path", "body", "sentence"),
    [
        ("POST", "allocate", {"credits": 0}, "credits must be above zero"),
        ("POST", "allocate", {"credits": -1}, "credits must be above zero"),
        ("POST", "set", {"credits": -0.5}, "credits must not be negative"),
        ("DELETE", "remove", {"credits": 0}, "credits must be above zero"),
        ("DELETE", "remove", {"credits": -5}, "credits must be above zero"),
        ("PUT", "adjust", {"adjustment": 0}, "adjustment must not be zero"),
        ("PUT", "adjust", {"adjustment": 0.0}, "adjustment must not be zero"),
    ],
)
def test_an_amount_of_the_wrong_sign_is_refused(rich, boss, method, path, body, sentence):
    is_refused(boss.send(method, f"credits/{path}", {"userId": rich.id, **body}), sentence)


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        (None, "userId is missing: the id, username or e-mail of a user"),
        ("", "userId is missing: the id, username or e-mail of a user"),
        (42, "userId must be a text"),
        (["a"], "userId must be a text"),
        ("a\u0000b", "userId must have no control characters"),
        ("ü" * 128, "userId must have at most 255 bytes"),
    ],
)
def test_a_user_has_to_be_named(boss, named, sentence):
    for method, path in (("POST", "allocate"), ("POST", "set"), ("DELETE", "remove"), ("PUT", "adjust")):
        body = {"userId": named, "credits": 1, "adjustment": 1}
        is_refused(boss.send(method, f"credits/{path}", body), sentence)


def test_an_address_has_to_be_named(admin):
    for email in (None, "", 5):
        status, sentence = told(admin.post("credits/allocate-by-email", {"email": email, "credits": 1}))
        assert (status, sentence.split()[0]) == (400, "email")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"notes": 5}, "notes must be a text"),
        ({"notes": "x" * 1001}, "notes must have at most 1,000 characters"),
        ({"notes": "a\u0000b"}, "notes must not have the character NUL"),
        ({"idempotencyKey": 5}, "idempotencyKey must be a text"),
        ({"idempotencyKey": "x" * 256}, "idempotencyKey must have at most 255 bytes"),
        ({"idempotencyKey": "a\nb"}, "idempotencyKey must have no control characters"),
    ],
)
def test_notes_and_keys_that_can_not_be_kept_are_refused(rich, boss, more, sentence):
    is_refused(boss.post("credits/allocate", {"userId": rich.id, "credits": 1, **more}), sentence)


def test_a_key_in_the_header_that_is_none_is_refused(rich):
    answer = rich.post("credits/deduct", {"credits": 1}, Idempotency_Key="")
    is_refused(answer, "Idempotency-Key must have 1 to 255 printable characters")


def test_an_operation_that_is_none_is_refused(rich):
    for operation in (5, "x" * 256, "a\nb"):
        status, sentence = told(rich.post("credits/deduct", {"credits": 1, "operation": operation}))
        assert (status, sentence.split()[0]) == (400, "operation")


# Of the transport


@pytest.mark.parametrize(
    "body", [b"{", b"nonsense", b"[1]", b'"text"', b"5", b"\xff", b'{"credits": NaN}', b'{"credits": 5,}']
)
def test_what_is_no_object_is_malformed(rich, body):
    status, sentence = told(rich.post("credits/deduct", body))
    assert status == 400
    assert sentence.startswith("The body must be a JSON object")


def test_other_media_types_bodies_too_large_paths_and_methods_are_told_in_this_shape(rich):
    assert told(rich.post("credits/deduct", b"credits=5", Content_Type="application/x-www-form-urlencoded"))[0] == 415
    assert told(rich.post("credits/deduct", b" " * 1_100_000))[0] == 413
    assert told(rich.send("GET", "credits/nothing"))[0] == 404
    assert told(rich.send("GET", "nothing/at/all"))[0] == 404
    answer = rich.send("PUT", "credits/deduct", {"credits": 5})
    assert told(answer)[0] == 405
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "token abc"])
def test_a_header_without_a_token_is_told(server, header):
    answer = server.send("POST", "/api/credits/check", b"{}", {"Authorization": header})
    is_refused(answer, "Authentication token required", 401)
    assert answer.headers["www-authenticate"] == 'Bearer realm="farthing"'
