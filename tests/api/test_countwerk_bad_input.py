"""Bad input at the CountWerk dialect: each gets its own code and a sentence that helps, and changes nothing."""

import json
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import fields

from farthing.api.bodies import lenient
from farthing.api.countwerk.endpoints import ENDPOINTS
from farthing.api.countwerk.wire import required
from farthing.api.endpoint import Endpoint
from tests.api.serving import Answer, Server

SOURCE = {"productId": "p", "orderId": "o", "transactionId": "t"}
GOOD: dict[str, dict[str, Any]] = {
    "balance": {"account_id": "alice"},
    "deduct": {"account_id": "alice", "operation": "chat.message", "amount": 5, "usage_event_id": "e1"},
    "reserve": {"account_id": "alice", "operation": "chat.message", "amount": 5},
    "confirm-reservation": {"reservationId": "hold_1"},
    "cancel-reservation": {"reservationId": "hold_1"},
    "add": {"account_id": "alice", "amount": 5, "source": SOURCE},
    "transactions": {"account_id": "alice"},
    "resolve-order": {"order_id": "AB12CD34"},
    "purchase-links": {"ai_product_id": "bot", "account_id": "alice"},
}
CALLS = tuple(GOOD)


def request_of(endpoint: Endpoint) -> type[Struct]:
    """The body of a call; each of this dialect has one."""
    assert endpoint.request is not None
    return endpoint.request


GONE = object()
"""The field is left out."""
LONG = "x" * 10_000
DEEP = "[" * 5_000 + "]" * 5_000

# Field, value, code: for every endpoint that has the field.
FIELDS: list[tuple[str, Any, str]] = [
    ("account_id", GONE, "MISSING_ACCOUNT_ID"),
    ("account_id", None, "MISSING_ACCOUNT_ID"),
    ("account_id", "", "MISSING_ACCOUNT_ID"),
    ("account_id", 5, "INVALID_INPUT"),
    ("account_id", 1.5, "INVALID_INPUT"),
    ("account_id", True, "INVALID_INPUT"),
    ("account_id", ["alice"], "INVALID_INPUT"),
    ("account_id", {"id": "alice"}, "INVALID_INPUT"),
    ("account_id", LONG, "INVALID_INPUT"),
    ("account_id", "ü" * 128, "INVALID_INPUT"),
    ("account_id", "a\x00b", "INVALID_INPUT"),
    ("account_id", "a\nb", "INVALID_INPUT"),
    ("account_id", "a\x85b", "INVALID_INPUT"),
    ("operation", GONE, "MISSING_OPERATION"),
    ("operation", None, "MISSING_OPERATION"),
    ("operation", "", "MISSING_OPERATION"),
    ("operation", "ab", "INVALID_OPERATION"),
    ("operation", "x" * 65, "INVALID_OPERATION"),
    ("operation", "Chat", "INVALID_OPERATION"),
    ("operation", "chat message", "INVALID_OPERATION"),
    ("operation", "chat\n", "INVALID_OPERATION"),
    ("operation", "chät", "INVALID_OPERATION"),
    ("operation", 123, "INVALID_OPERATION"),
    ("operation", ["chat"], "INVALID_OPERATION"),
    ("operation", LONG, "INVALID_OPERATION"),
    ("amount", GONE, "INVALID_AMOUNT"),
    ("amount", None, "INVALID_AMOUNT"),
    ("amount", 0, "INVALID_AMOUNT"),
    ("amount", 0.0, "INVALID_AMOUNT"),
    ("amount", -5, "INVALID_AMOUNT"),
    ("amount", -0.000001, "INVALID_AMOUNT"),
    ("amount", 0.0000001, "INVALID_AMOUNT"),
    ("amount", "5", "INVALID_AMOUNT"),
    ("amount", "NaN", "INVALID_AMOUNT"),
    ("amount", True, "INVALID_AMOUNT"),
    ("amount", [5], "INVALID_AMOUNT"),
    ("amount", {"value": 5}, "INVALID_AMOUNT"),
    ("amount", 2**63, "INVALID_AMOUNT"),
    ("amount", 2**64, "INVALID_AMOUNT"),
    ("amount", 10**9, "INVALID_AMOUNT"),
    ("amount", 10**4000, "INVALID_AMOUNT"),
    ("usage_event_id", GONE, "MISSING_USAGE_EVENT_ID"),
    ("usage_event_id", None, "MISSING_USAGE_EVENT_ID"),
    ("usage_event_id", "", "MISSING_USAGE_EVENT_ID"),
    ("usage_event_id", 17, "INVALID_USAGE_EVENT_ID"),
    ("usage_event_id", ["e"], "INVALID_USAGE_EVENT_ID"),
    ("usage_event_id", "x" * 201, "INVALID_USAGE_EVENT_ID"),
    ("usage_event_id", "ü" * 101, "INVALID_USAGE_EVENT_ID"),
    ("usage_event_id", LONG, "INVALID_USAGE_EVENT_ID"),
    ("usage_event_id", "a\tb", "INVALID_USAGE_EVENT_ID"),
    ("usage_event_id", "a\x7fb", "INVALID_USAGE_EVENT_ID"),
    ("description", 5, "INVALID_INPUT"),
    ("description", ["words"], "INVALID_INPUT"),
    ("description", "x" * 1_001, "INVALID_INPUT"),
    ("description", "a\x00b", "INVALID_INPUT"),
    ("metadata", "text", "INVALID_INPUT"),
    ("metadata", ["list"], "INVALID_INPUT"),
    ("metadata", 5, "INVALID_INPUT"),
    ("metadata", {"x": "y" * 16_384}, "INVALID_INPUT"),
    ("metadata", {"a" * n: {} for n in range(1, 300)}, "INVALID_INPUT"),
    ("validityMinutes", 0, "INVALID_INPUT"),
    ("validityMinutes", -1, "INVALID_INPUT"),
    ("validityMinutes", 43_201, "INVALID_INPUT"),
    ("validityMinutes", 1.5, "INVALID_INPUT"),
    ("validityMinutes", "60", "INVALID_INPUT"),
    ("validityMinutes", True, "INVALID_INPUT"),
    ("validityMinutes", 10**4000, "INVALID_INPUT"),
    ("reservationId", GONE, "MISSING_RESERVATION_ID"),
    ("reservationId", None, "MISSING_RESERVATION_ID"),
    ("reservationId", "", "MISSING_RESERVATION_ID"),
    ("reservationId", 5, "INVALID_INPUT"),
    ("reservationId", LONG, "INVALID_INPUT"),
    ("reservationId", "hold\x01", "INVALID_INPUT"),
    ("reservationId", "nonsense", "RESERVATION_NOT_FOUND"),
    ("reservationId", "hold_" + "0" * 32, "RESERVATION_NOT_FOUND"),
    ("reservationId", "hold_" + "Z" * 32, "RESERVATION_NOT_FOUND"),
    ("reservationId", "hold_" + "٣" * 32, "RESERVATION_NOT_FOUND"),
    ("actualAmount", -1, "INVALID_AMOUNT"),
    ("actualAmount", "5", "INVALID_AMOUNT"),
    ("actualAmount", True, "INVALID_AMOUNT"),
    ("actualAmount", 0.0000001, "INVALID_AMOUNT"),
    ("actualAmount", 2**63, "INVALID_AMOUNT"),
    ("actualAmount", 10**4000, "INVALID_AMOUNT"),
    ("reason", 5, "INVALID_INPUT"),
    ("reason", "x" * 1_001, "INVALID_INPUT"),
    ("source", GONE, "MISSING_SOURCE"),
    ("source", None, "MISSING_SOURCE"),
    ("source", "p", "INVALID_SOURCE"),
    ("source", [SOURCE], "INVALID_SOURCE"),
    ("source", {}, "MISSING_PRODUCT_ID"),
    ("source", {**SOURCE, "productId": ""}, "MISSING_PRODUCT_ID"),
    ("source", {**SOURCE, "orderId": None}, "MISSING_ORDER_ID"),
    ("source", {"productId": "p", "orderId": "o"}, "MISSING_TRANSACTION_ID"),
    ("source", {**SOURCE, "productId": 5}, "INVALID_SOURCE"),
    ("source", {**SOURCE, "orderId": ["o"]}, "INVALID_SOURCE"),
    ("source", {**SOURCE, "transactionId": LONG}, "INVALID_SOURCE"),
    ("source", {**SOURCE, "transactionId": "t\n"}, "INVALID_SOURCE"),
    ("limit", 0, "INVALID_INPUT"),
    ("limit", -1, "INVALID_INPUT"),
    ("limit", 501, "INVALID_INPUT"),
    ("limit", 1.5, "INVALID_INPUT"),
    ("limit", "5", "INVALID_INPUT"),
    ("cursor", 5, "INVALID_INPUT"),
    ("cursor", "nonsense", "INVALID_INPUT"),
    ("cursor", "AAAAAAAAAAUAAAAAAAAA", "INVALID_INPUT"),
    ("cursor", "ü", "INVALID_INPUT"),
    ("cursor", LONG, "INVALID_INPUT"),
    ("order_id", GONE, "MISSING_ORDER_ID"),
    ("order_id", "", "MISSING_ORDER_ID"),
    ("order_id", 5, "INVALID_INPUT"),
    ("order_id", LONG, "INVALID_INPUT"),
    ("order_id", "a\x00b", "INVALID_INPUT"),
    ("order_id", "NOWHERE1", "ORDER_NOT_FOUND"),
    ("ai_product_id", GONE, "MISSING_PRODUCT_ID"),
    ("ai_product_id", None, "MISSING_PRODUCT_ID"),
    ("ai_product_id", ["bot"], "INVALID_INPUT"),
    ("ai_product_id", LONG, "INVALID_INPUT"),
    ("current_tier_product_id", 5, "INVALID_INPUT"),
    ("current_tier_product_id", "a\n", "INVALID_INPUT"),
    ("current_order_id", {}, "INVALID_INPUT"),
    ("current_order_id", LONG, "INVALID_INPUT"),
    ("buyer_email", 1.5, "INVALID_INPUT"),
    ("buyer_email", "a\x00b", "INVALID_INPUT"),
]
CASES = [
    (call, field, value, code)
    for call in CALLS
    for field, value, code in FIELDS
    if field in {f.name for e in ENDPOINTS if e.path.endswith(f"/{call}") for f in fields(request_of(e))}
]

# The whole body, the same for every endpoint.
BODIES: list[tuple[bytes, tuple[int, str]]] = [
    (b"", (400, "MISSING_REQUIRED_FIELDS")),
    (b"  \r\n", (400, "MISSING_REQUIRED_FIELDS")),
    (b"{}", (400, "MISSING_REQUIRED_FIELDS")),
    (b" { } ", (400, "MISSING_REQUIRED_FIELDS")),
    (b"{", (400, "INVALID_INPUT")),
    (b'{"account_id": "alice"', (400, "INVALID_INPUT")),
    (b"{'account_id': 'alice'}", (400, "INVALID_INPUT")),
    (b'{"account_id": "alice",}', (400, "INVALID_INPUT")),
    (b'{"account_id": "alice"} x', (400, "INVALID_INPUT")),
    (b"account_id=alice", (400, "INVALID_INPUT")),
    (b"[]", (400, "INVALID_INPUT")),
    (b"null", (400, "INVALID_INPUT")),
    (b"5", (400, "INVALID_INPUT")),
    (b'"text"', (400, "INVALID_INPUT")),
    (b'{"x": NaN}', (400, "INVALID_INPUT")),
    (b'{"x": Infinity}', (400, "INVALID_INPUT")),
    (b'{"x": ' + DEEP.encode() + b"}", (400, "INVALID_INPUT")),
    (b'{"account_id": "\xff", "reservationId": "\xff", "order_id": "\xff"}', (400, "INVALID_INPUT")),
    (b'{"account_id": "\\ud800", "reservationId": "\\ud800"}', (400, "INVALID_INPUT")),
    (b"\xef\xbb\xbf{}", (400, "INVALID_INPUT")),
    (b'{"x": "' + b"y" * 1_000_000 + b'"}', (413, "INVALID_INPUT")),
]
# Numbers that JSON knows and Python's own writer does not make.
NUMBERS = ["1e400", "-1e400", "1e-400", "NaN", "-0.0"]
NUMBERS += ["1e999999999999999999999", "1e-999999999999999999999", "0." + "1" * 600]
WRONG_TYPES = ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "x", ""]


def refused(server: Server, answer: Answer, before: int) -> tuple[int, str]:
    """What was told, once it is clear that nothing was changed."""
    assert server.count() == before
    return answer.told


@pytest.mark.parametrize(("call", "field", "value", "code"), CASES)
def test_a_wrong_field_has_its_code_and_changes_nothing(server: Server, call: str, field: str, value: Any, code: str):
    body = {**GOOD[call], field: value}
    if value is GONE:
        del body[field]
        body["unknown"] = "so that the body is not empty"
    before = server.count()
    status = 404 if code.endswith("_NOT_FOUND") else 400
    answer = server.post(call, body)
    assert refused(server, answer, before) == (status, code)
    if status == 400:
        assert field in answer.message


def test_every_field_of_every_endpoint_has_bad_values_here():
    documented = {(e.path.rpartition("/")[2], f.name) for e in ENDPOINTS for f in fields(request_of(e))}
    assert documented == {(call, field) for call, field, _, _ in CASES}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("body", "told"), BODIES)
def test_a_body_that_is_no_request_is_refused(server: Server, call: str, body: bytes, told: tuple[int, str]):
    before = server.count()
    assert refused(server, server.post(call, body), before) == told


@pytest.mark.parametrize("call", CALLS)
def test_an_empty_body_is_told_what_it_needs(server: Server, call: str):
    (endpoint,) = (e for e in ENDPOINTS if e.path.endswith(f"/{call}"))
    for name in required(request_of(endpoint)):
        assert name in server.post(call, {}).message


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("call", ["deduct", "reserve", "add"])
def test_numbers_that_are_no_amount_are_refused(server: Server, call: str, number: str):
    body = json.dumps({**GOOD[call], "amount": "@"}).replace('"@"', number)
    before = server.count()
    code = "INVALID_INPUT" if number == "NaN" else "INVALID_AMOUNT"
    assert refused(server, server.post(call, body), before) == (400, code)


@pytest.mark.parametrize("content_type", WRONG_TYPES)
def test_a_wrong_content_type_is_refused(server: Server, content_type: str):
    before = server.count()
    answer = server.post("deduct", GOOD["deduct"], Content_Type=content_type)
    assert refused(server, answer, before) == (415, "INVALID_INPUT")
    assert "application/json" in answer.message


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;x"])
def test_ways_to_write_the_content_type_are_taken(server: Server, content_type: str):
    assert server.post("balance", GOOD["balance"], Content_Type=content_type).status == 200


def test_a_body_without_a_content_type_can_only_be_json(server: Server):
    answer = server.send("POST", "/api/credits/balance", b'{"account_id": "alice"}', {"X-API-Key": server.key})
    assert answer.status == 200


def test_a_compressed_body_is_refused(server: Server):
    assert server.post("balance", b"\x1f\x8b", Content_Encoding="gzip").told == (415, "INVALID_INPUT")


@pytest.mark.parametrize("key", ["", "x" * 201, '""', "ü", "a\tb"])
def test_an_idempotency_key_that_is_none_is_refused(server: Server, key: str):
    before = server.count()
    answer = server.post("reserve", GOOD["reserve"], Idempotency_Key=key.encode().decode("latin-1"))
    assert refused(server, answer, before) == (400, "INVALID_INPUT")


def test_metadata_may_be_32_deep_and_not_33(server: Server, funded: str):
    def nested(depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(depth - 1):
            found = {"n": found}
        return found

    # Brackets in texts don't count, nor do those that stand side by side.
    body = {**GOOD["deduct"], "account_id": funded, "usage_event_id": "deep", "metadata": nested(32)}
    body["metadata"] |= {"text": '\\"[[[[[[[[{{{{{{{{', "side": [[] for _ in range(200)]}
    assert server.post("deduct", body).status == 200
    answer = server.post("deduct", {**body, "usage_event_id": "deeper", "metadata": nested(33)})
    assert answer.told == (400, "INVALID_INPUT")


def test_what_stands_at_the_limits_is_taken(server: Server, account: str):
    account = account.ljust(255, "x")
    server.add(account, 900_000_000)
    body = {
        "account_id": account,
        "operation": "o" * 64,
        "amount": 899_999_999.999999,
        "usage_event_id": "ü" * 100,
        "description": "d" * 1_000,
        "metadata": {"x": "y" * 16_375},
    }
    assert len(json.dumps(body["metadata"])) == 16_384
    assert server.post("deduct", body).data["newBalance"] == 0.000001


def test_a_cursor_is_good_for_its_own_account_only(server: Server, account: str):
    for name in ("a", "b"):
        for _ in range(3):
            server.add(account + name, 1)
    cursor = server.post("transactions", {"account_id": account + "a", "limit": 1}).data["nextCursor"]
    page = {"account_id": account + "a", "limit": 1, "cursor": cursor}
    assert len(server.post("transactions", page).data["transactions"]) == 1
    other = {**page, "account_id": account + "b"}
    assert server.post("transactions", other).told == (400, "INVALID_INPUT")
    forged = {**page, "cursor": ("B" if cursor[0] == "A" else "A") + cursor[1:]}
    assert server.post("transactions", forged).told == (400, "INVALID_INPUT")


# Which code wins: each request has every fault from its place on, so the first must be told.
PRECEDENCE: dict[str, list[tuple[dict[str, Any], str]]] = {
    "deduct": [
        ({"account_id": None}, "MISSING_ACCOUNT_ID"),
        ({"account_id": 5}, "INVALID_INPUT"),
        ({"operation": None}, "MISSING_OPERATION"),
        ({"operation": "X"}, "INVALID_OPERATION"),
        ({"amount": 0}, "INVALID_AMOUNT"),
        ({"usage_event_id": None}, "MISSING_USAGE_EVENT_ID"),
        ({"usage_event_id": 5}, "INVALID_USAGE_EVENT_ID"),
        ({"description": 5}, "INVALID_INPUT"),
        ({"metadata": 5}, "INVALID_INPUT"),
    ],
    "reserve": [
        ({"account_id": None}, "MISSING_ACCOUNT_ID"),
        ({"operation": None}, "MISSING_OPERATION"),
        ({"amount": -1}, "INVALID_AMOUNT"),
        ({"validityMinutes": 0}, "INVALID_INPUT"),
        ({"description": 5}, "INVALID_INPUT"),
    ],
    "confirm-reservation": [
        ({"reservationId": None}, "MISSING_RESERVATION_ID"),
        ({"actualAmount": -1}, "INVALID_AMOUNT"),
        ({"description": 5}, "INVALID_INPUT"),
    ],
    "cancel-reservation": [({"reservationId": None}, "MISSING_RESERVATION_ID"), ({"reason": 5}, "INVALID_INPUT")],
    "add": [
        ({"account_id": None}, "MISSING_ACCOUNT_ID"),
        ({"amount": 0}, "INVALID_AMOUNT"),
        ({"source": None}, "MISSING_SOURCE"),
        ({"source": []}, "INVALID_SOURCE"),
        ({"source": {}}, "MISSING_PRODUCT_ID"),
        ({"source": {"productId": "p"}}, "MISSING_ORDER_ID"),
        ({"source": {"productId": "p", "orderId": "o"}}, "MISSING_TRANSACTION_ID"),
        ({"description": 5}, "INVALID_INPUT"),
    ],
    "transactions": [
        ({"account_id": None}, "MISSING_ACCOUNT_ID"),
        ({"limit": 0}, "INVALID_INPUT"),
        ({"cursor": "x"}, "INVALID_INPUT"),
    ],
    "purchase-links": [
        ({"ai_product_id": None}, "MISSING_PRODUCT_ID"),
        ({"ai_product_id": 5}, "INVALID_INPUT"),
        ({"account_id": None}, "MISSING_ACCOUNT_ID"),
        ({"current_tier_product_id": 5}, "INVALID_INPUT"),
        ({"current_order_id": 5}, "INVALID_INPUT"),
        ({"buyer_email": 5}, "INVALID_INPUT"),
    ],
}


@pytest.mark.parametrize(
    ("call", "place"), [(call, place) for call, faults in PRECEDENCE.items() for place in range(len(faults))]
)
def test_the_first_fault_by_descending_precedence_is_told(server: Server, call: str, place: int):
    faults = PRECEDENCE[call]
    body = dict(GOOD[call])
    for fault, _ in reversed(faults[place:]):
        body |= fault
    answer = server.post(call, body)
    assert answer.told == (400, faults[place][1])
    assert next(iter(faults[place][0])) in answer.message


def test_lenient_twins_have_the_fields_of_the_documented_types():
    for endpoint in ENDPOINTS:
        names = [f.name for f in fields(request_of(endpoint))]
        assert [f.name for f in fields(lenient(request_of(endpoint)))] == names
