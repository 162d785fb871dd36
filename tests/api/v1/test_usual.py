"""Bodies as they usually are come to the same whether they are read in one step or field by field; no others are read
in one step."""

import json
from collections.abc import Callable
from random import Random
from typing import Any, Final

import pytest

from farthing.api.endpoint import Caller, Request, Stop
from farthing.api.v1 import charges, holds, settles
from farthing.api.v1.problems import Fault
from farthing.api.v1.usage import NoPrice
from farthing.core.commands import Command
from farthing.core.ratecard import read_card
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.core.rules import compile_card
from farthing.prices.book import EMPTY, PriceBook, _Card
from tests.support import START_US

CARD: Final = {
    "rules": [
        {"id": "in", "dimension": "input_tokens", "price": "1"},
        {"id": "out", "dimension": "output_tokens", "price": "0.00031"},
        {"id": "free", "dimension": "requests", "price": "0", "match": {"service": "free"}},
    ]
}
KINDS: Final[dict[str, tuple[Any, Callable[[Request], Command], dict[str, Any]]]] = {
    "hold": (holds, holds.read_hold, {"expires_in": 60, "on_expiry": "metered"}),
    "charge": (charges, charges.read_charge, {"shortfall": "debt"}),
    "settle": (settles, settles.read_settle, {"shortfall": "debt", "late": "charge", "last": False}),
}
USAGE: Final = {
    "provider": "openai", "model": "gpt", "service": "s", "product": "p", "chat": "c-1",
    "dimensions": {"input_tokens": 1500, "output_tokens": "800"}, "attributes": {"service_tier": "flex"},
}  # fmt: skip
HOLD: Final = "hold_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
TEXTS: Final = [
    "alice", "", "x" * 63, "x" * 64, "x" * 300, "é" * 40, "a\nb", "a\0", "\ud800", "  ", None, 5, True, "free", ["x"],
]  # fmt: skip
QUANTITIES: Final = [
    0, 1, 5, "5", "0", "00", "05", "5.0", "1e3", 5.0, 1e3, -1, "-1", "1" * 20, 10**23, 10**61, True, None, "\uff15",
    " 5", "1.", "0.0000001", "123456.123456", 99_999_999_999_999,
]  # fmt: skip


@pytest.fixture(scope="module")
def caller() -> Caller:
    workspace = Workspace("w", "W", "test", "credits", 6, 1, WorkspaceSettings())
    cards = [_Card(0, "default@1", compile_card(read_card(json.dumps(CARD))))]
    book = PriceBook(workspace, 0, cards, EMPTY, lambda: START_US)
    return Caller(id="k", actor="key:k", workspace=workspace, scopes=frozenset(), prices=book)


def request_of(
    caller: Caller, body: bytes, headers: list[tuple[bytes, bytes]], query: bytes = b"", hold: str = HOLD
) -> Request:  # fmt: skip
    request = Request.complete("POST", b"/v1/holds", headers, body, 0.0)
    request.scope["query_string"] = query
    request.id, request.caller, request.parameters = b"req_1", caller, {"id": hold}
    return request


def whole(kind: str) -> dict[str, Any]:
    """A body with all that is usual."""
    who = {} if kind == "settle" else {"account": "alice", "operation": "chat", "model": "gpt"}
    return {**who, "usage": USAGE, "metadata": {"a": [1]}, "description": "For a test", **KINDS[kind][2]}


HEADERS: Final = [(b"content-type", b"application/json"), (b"idempotency-key", b"k-1")]


def told(read: Callable[[Request], Command], request: Request) -> tuple[Any, ...]:
    """What reading comes to: the command, or what is said of it."""
    try:
        return read(request), request.dry
    except NoPrice as no:
        return no.command, vars(no.fault)
    except (Fault, Stop) as error:
        return type(error), vars(error)


def by_fields(kind: str, request: Request, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    with monkeypatch.context() as patch:
        patch.setattr(KINDS[kind][0]._usual, "read", lambda request: None)
        return told(KINDS[kind][1], request)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_usual_is_read_in_one_step(kind: str, caller: Caller, monkeypatch: pytest.MonkeyPatch):
    module, read, _ = KINDS[kind]
    request = request_of(caller, json.dumps(whole(kind)).encode(), HEADERS)
    assert module._usual.read(request) is not None
    found = told(read, request)
    assert isinstance(found[0], Command)
    assert found == by_fields(kind, request, monkeypatch)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "more",
    [
        {"amount": "5"}, {"dry_run": True}, {"final": True}, {"other": 1}, {"model": "other"}, {"metadata": 5},
        {"description": "a\nb"}, {"usage": {**USAGE, "at": "2026-01-01T00:00:00Z"}}, {"usage": None},
        {"usage": {**USAGE, "model": "x" * 64}}, {"usage": {**USAGE, "dimensions": {"unheard_of": 5}}},
        {"usage": {**USAGE, "attributes": {"a\0": "b"}}}, {"shortfall": "x", "on_expiry": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_usual_is_read_field_by_field(kind: str, more: dict[str, Any], caller: Caller):
    body = json.dumps(whole(kind) | more).encode()
    assert KINDS[kind][0]._usual.read(request_of(caller, body, HEADERS)) is None


def test_the_hold_is_missed_before_the_key(caller: Caller):
    body = json.dumps(whole("settle")).encode()
    kind, told_of = told(settles.read_settle, request_of(caller, body, HEADERS[:1], hold="nope"))
    assert (kind, told_of["code"]) == (Fault, "hold_not_found")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("usual", [True, False])
def test_the_key_is_missed_before_metadata_that_is_no_text(kind: str, usual: bool, caller: Caller):
    body = json.dumps(whole(kind) | ({} if usual else {"dry_run": False})).encode().replace(b"[1]", b'"\xff"')
    told_kind, told_of = told(KINDS[kind][1], request_of(caller, body, HEADERS[:1]))
    assert (told_kind, told_of["code"]) == (Fault, "idempotency_key_missing")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_sent_comes_to_the_same(
    kind: str, seed: int, caller: Caller, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    random = Random(seed)
    module, read, _ = KINDS[kind]
    usual = 0
    for _ in range(400):
        body, headers, query = drawn(random, whole(kind))
        hold = random.choice([HOLD] * 20 + ["nope"])
        requests = [request_of(caller, body, headers, query, hold) for _ in range(3)]
        usual += module._usual.read(requests[0]) is not None
        assert told(read, requests[1]) == by_fields(kind, requests[2], monkeypatch), body
    assert 40 < usual < 360


def drawn(random: Random, body: dict[str, Any]) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    """A request that is usual but for some of its parts, which may be anything."""
    usage: dict[str, Any] = {**USAGE, "dimensions": {**USAGE["dimensions"]}}  # type: ignore[dict-item]
    body = {**body, "usage": usage}
    for _ in range(random.choice([0, 0, 1, 2, 4])):
        part = random.choice([body, usage, usage, usage["dimensions"]])
        name = random.choice([*part, "requests", "at", "operation", "service"])
        if name in ("usage", "dimensions", "attributes"):
            continue
        if random.random() < 0.3:
            part.pop(name, None)
        else:
            part[name] = random.choice(QUANTITIES if part is usage["dimensions"] else TEXTS + QUANTITIES)
    text = json.dumps(body, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    if random.random() < 0.03:
        text = random.choice(
            [text[:-2], text.replace(b"openai", b"\xff\xfe"), text.replace(b"[1]", b'"\xff"'), b"", b"[]", b" " + text]
        )
    types = [b"application/json"] * 20 + [b"application/json; charset=utf-8", b"text/plain"]
    keys = [b"k-1"] * 20 + [b'"k 1"', b"\xff", b"x" * 300]
    headers = [(b"content-type", random.choice(types))]
    if random.random() < 0.95:
        headers.append((b"idempotency-key", random.choice(keys)))
    return text, headers, b"dry_run=true" if random.random() < 0.03 else b""
