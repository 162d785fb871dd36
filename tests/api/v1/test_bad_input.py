"""Bad input at the native API: each gets a place and a sentence that helps, and changes nothing."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.api.endpoint import Caller, Endpoint, Request
from farthing.api.v1 import adjustments, charges, grants, holds, settles
from farthing.api.v1.fields import Form, read_time
from farthing.core.amounts import AmountError, read_amount
from farthing.core.records import Workspace, WorkspaceSettings
from tests.api.serving import Server
from tests.api.v1.client import Client, new_key, places, told

HOLD = f"holds/hold_{'0' * 32}"
GOOD: dict[str, dict[str, Any]] = {
    "charges": {"account": "alice", "amount": "5"},
    "refunds": {"account": "alice", "amount": "5"},
    f"charges/ent_{'0' * 32}/refund": {"amount": "5"},
    "grants": {"account": "alice", "amount": "5"},
    f"grants/grt_{'0' * 32}/void": {},
    "holds": {"account": "alice", "amount": "5"},
    f"{HOLD}/extend": {"metered": "5"},
    f"{HOLD}/settle": {"amount": "5"},
    f"{HOLD}/release": {},
    "accounts/alice/adjust": {"amount": "5"},
    "accounts/alice/set": {"amount": "5", "mode": "replace"},
}
"""A body for every command."""
GONE = object()
LONG = "x" * 10_000
DEEP = {"a": 1}
for _ in range(32):
    DEEP = {"a": DEEP}  # type: ignore[dict-item]

AMOUNTS: list[Any] = [
    5, 5.0, 0, True, ["5"], {"value": "5"}, "", " ", "5 ", " 5", "+5", "1e3", "1E3", ".5", "5.", "5,0", "1_000", "0x5",
    "NaN", "Infinity", "-Infinity", "٣", "5\n", "5\x00", "0.0000001", "1.0000001", "1000000000", "9" * 40, "9" * 41,
    LONG, "--5", "five", 2**63, 2**64, 10**400, 1.5,
]  # fmt: skip
"""Amounts that no field takes."""
TEXTS: list[Any] = [5, 1.5, True, ["x"], {"x": 1}, "", "a\x00b", "a\nb", "a\x7fb", "a\x85b", "ü" * 128, "x" * 256, LONG]
"""Texts that no field takes."""
TIMES: list[Any] = [
    5, True, ["x"], "", "tomorrow", "2027-01-01", "2027-01-01T00:00:00", "2027-13-01T00:00:00Z", "2027-02-30T00:00:00Z",
    "2027-01-01T24:00:00Z", "2027-01-01T00:60:00Z", "2027-01-01T00:00:60Z", "2027-01-01T00:00:00+24:00", "1767225600",
    "2027-1-1T00:00:00Z", "10000-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "1969-12-31T23:59:59Z",
    "2027-01-01T00:00:00.Z", "2027-01-01T00:00:00z ", "2027-01-01T00:00:00.0000000001Z", "9999-12-31T23:59:59-12:00",
]  # fmt: skip
FLAGS: list[Any] = [0, 1, "true", "", [], {}, 1.0]
METADATA: list[Any] = ["text", ["list"], 5, True, {"x": "y" * 16_384}, DEEP]
DESCRIPTIONS: list[Any] = [5, True, ["words"], {"w": 1}, "x" * 1_001, "a\x00b"]

# Field and values that are wrong; for every command that has the field, unless a list of its own stands below.
FIELDS: dict[str, list[Any]] = {
    "account": [GONE, None, *TEXTS],
    "amount": [*AMOUNTS, "-5", "-0.000001"],
    "usage": [5, True, "tokens", [], [{}], {"tokens": 5}, {"dimensions": []}, {"dimensions": {"a": None}},
              {"dimensions": {"a": "1e3"}}, {"dimensions": {"input_tokens": -1}}, {"dimensions": {"A B": 1}},
              {"dimensions": {"input_tokens": 1.5}}, {"dimensions": {"input_tokens": "1,5"}}, {"at": "tomorrow"},
              {"dimensions": {"output_tokens": 1, "reasoning_tokens": 2}}, {"attributes": {"a": 1}}, {"model": ""},
              {"dimensions": {"input_tokens": 1, "cache_read_tokens": 2}}, {"at": "2027-02-30T00:00:00Z"}],
    "operation": TEXTS,
    "service": TEXTS,
    "model": TEXTS,
    "product": TEXTS,
    "description": DESCRIPTIONS,
    "metadata": METADATA,
    "final": FLAGS,
    "dry_run": FLAGS,
    "shortfall": ["", "Refuse", "maybe", 5, True, ["refuse"], {}],
    "category": ["", "Paid", "gift", 5, True, ["paid"]],
    "priority": [-1, 101, 1.5, "50", True, [50], 10**30],
    "expires_at": TIMES,
    "scope": ["x", 5, {}, [5], [""], ["a\nb"], ["x" * 256], ["x"] * 21, [["x"]], [None]],
    "source": ["x", 5, [], {"a": 5}, {"a": None}, {"": "x"}, {"a": ""}, {"a": "x" * 256}, {"a": {"b": "c"}},
               {str(n): "x" for n in range(21)}, {"a\nb": "x"}],
    "must_exist": FLAGS,
    "expires_in": [0, -1, 1.5, "60", True, 43_200 * 60 + 1, 10**30, [60]],
    "on_expiry": ["", "Release", "keep", 5, True],
    "raise_by": [*AMOUNTS, "-5", "0"],
    "metered": [*AMOUNTS, "-5"],
    "last": FLAGS,
    "late": ["", "Charge", "always", 5, True],
    "mode": [GONE, None, "", "Replace", "add", 5, True],
    "force": FLAGS,
}  # fmt: skip


NOUNS = (charges, grants, holds, settles, adjustments)
COMMANDS = [endpoint for noun in NOUNS for endpoint in noun.ENDPOINTS if endpoint.read is not None]


def endpoint_of(path: str) -> Endpoint:
    """The endpoint that a path of `GOOD` leads to."""
    segments = ["v1", *path.split("/")]
    for endpoint in COMMANDS:
        template = endpoint.path.strip("/").split("/")
        if len(template) == len(segments) and all(
            t == s or t.startswith("{") for t, s in zip(template, segments, strict=True)
        ):
            return endpoint
    raise AssertionError(path)


def fields_of(endpoint: Endpoint) -> tuple[str, ...]:
    assert endpoint.request is not None
    return endpoint.request.__struct_fields__


def cases() -> list[Any]:
    """Every field of every command with every wrong value, in groups of one field each."""
    return [
        pytest.param(path, name, id=f"{endpoint_of(path).operation_id}-{name}")
        for path in GOOD
        for name in fields_of(endpoint_of(path))
    ]


def test_every_command_and_every_field_is_in_the_table():
    assert sorted(endpoint_of(path).path for path in GOOD) == sorted(endpoint.path for endpoint in COMMANDS)
    assert {name for endpoint in COMMANDS for name in fields_of(endpoint)} == set(FIELDS)


@pytest.mark.parametrize(("path", "name"), cases())
def test_a_wrong_field_is_named_and_changes_nothing(client: Client, rich: str, path: str, name: str):
    before = client.server.count()
    values = list(FIELDS[name])
    if path == "accounts/alice/adjust" and name == "amount":
        values = [*AMOUNTS, "0", "-0"]
    elif name == "amount" and path not in (f"{HOLD}/settle", "accounts/alice/set"):
        values += ["0", "0.0", "0.000000"]
    for value in values:
        body = {**GOOD[path], name: value}
        if value is GONE:
            del body[name]
        if name == "usage":
            body.pop("amount", None)
        answer = client.post(path, body)
        if name == "amount" and value == "-0":
            assert answer.status == 400
        assert told(answer) == (400, "invalid"), (value, answer.raw)
        (place,) = places(answer)
        assert place == f"/{name}" or place.startswith(f"/{name}/"), value
    assert client.server.count() == before


@pytest.mark.parametrize(
    "path", ["charges", "refunds", "grants", "holds", "accounts/alice/adjust", "accounts/alice/set"]
)
def test_an_amount_must_be_there_where_it_is_required(client: Client, path: str):
    body = {name: value for name, value in GOOD[path].items() if name != "amount"}
    for given_body in (body, {**body, "amount": None}):
        answer = client.post(path, given_body)
        assert told(answer) == (400, "invalid")
        assert places(answer) == ["/amount"]


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize(
    "name", ["color", "Amount", "amount ", "", "a/b~c", "account_id", "usage_event_id", "ü", "x" * 300]
)
def test_an_unknown_field_is_refused_and_named(client: Client, path: str, name: str):
    answer = client.post(path, {**GOOD[path], name: 1})
    assert told(answer) == (400, "invalid")
    assert places(answer) == ["/" + name[:100].replace("~", "~0").replace("/", "~1")]
    assert "it has " in answer.json["errors"][0]["detail"]


@pytest.mark.parametrize("path", [*GOOD, "charges/bulk"])
@pytest.mark.parametrize("query", ["dry_run=true", "x", "%ff=1", "dry_run=true&amount=5&amount=6"])
def test_a_write_has_no_parameters(client: Client, path: str, query: str):
    before = client.server.count()
    answer = client.post(f"{path}?{query}", GOOD.get(path, {"items": []}))
    assert told(answer) == (400, "invalid")
    names = [name.partition("=")[0] for name in query.replace("%ff", "\ufffd").split("&")]
    assert set(places(answer)) == set(names)
    assert client.server.count() == before


def test_of_a_thousand_parameters_some_are_named(client: Client):
    query = "&".join(f"p{n}=1" for n in range(1_000))
    answer = client.post(f"charges?{query}", GOOD["charges"])
    assert told(answer) == (400, "invalid")
    assert len(places(answer)) == 20


def test_all_that_is_wrong_is_told_together(client: Client):
    body = {"account": 5, "amount": "x", "operation": "", "color": 1, "shape": 2, "shortfall": "x", "metadata": 5}
    answer = client.post("charges", {**body, "dry_run": "yes"})
    assert set(places(answer)) == {f"/{name}" for name in (*body, "dry_run")}
    assert answer.json["detail"].endswith("; and 5 more.")


# Bodies as a whole


def test_it_is_told_in_the_order_of_the_fields(client: Client):
    answer = client.post("charges/ent_0/refund", {"amount": "1", "final": "x", "metadata": 5, "description": 5})
    assert [error["pointer"] for error in answer.json["errors"]] == ["/description", "/metadata", "/final"]


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize(
    "body",
    [
        "{", "[]", "5", '"text"', "null", "true", '{"amount": }', "{'account': 'x'}", "<xml/>", "\x00", "{} {}",
        '{"account": "x"', "[" * 100_000, '{"metadata": ' + "[" * 5_000 + "]" * 5_000 + "}", '{"account": NaN}',
        b'{"account": "\xff\xfe"}', b'{"metadata": {"x": "\xff"}, "account": "a", "amount": "1"}', b"\xef\xbb\xbf{}",
        '{"account": "\\ud800"}',
    ],
)  # fmt: skip
def test_a_body_that_is_no_object_is_malformed(client: Client, path: str, body: Any):
    before = client.server.count()
    status, code = told(client.post(path, body))
    assert (status, code) in ((400, "malformed"), (400, "invalid"))
    assert client.server.count() == before


@pytest.mark.parametrize("body", [None, "", " \n", "{}"])
def test_a_body_that_is_not_there_is_one_without_fields(client: Client, body: Any):
    answer = client.post("charges", body)
    assert told(answer) == (400, "invalid")
    assert places(answer) == ["/account", "/amount"]


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json"])
def test_another_media_type_is_refused(client: Client, media: str):
    assert client.refused("charges", GOOD["charges"], Content_Type=media) == (415, "media_type")


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_say_more_about_itself(client: Client, rich: str, media: str):
    assert client.post("charges", {"account": rich, "amount": "1"}, Content_Type=media).status == 201


def test_a_compressed_body_is_refused(client: Client):
    assert client.refused("charges", b"\x1f\x8b\x08\x00", Content_Encoding="gzip") == (415, "media_type")


def test_a_body_larger_than_a_megabyte_is_refused(client: Client):
    body = json.dumps(GOOD["charges"]).ljust(1_000_001)
    assert client.refused("charges", body) == (413, "too_large")
    assert client.post("charges", body[:-1]).status == 404


def test_the_last_of_a_field_that_came_twice_counts(client: Client, rich: str):
    body = f'{{"account": "nobody", "amount": "1", "account": "{rich}"}}'
    assert client.post("charges", body).json["account"] == rich


# Keys


@pytest.mark.parametrize("path", GOOD)
def test_a_write_without_a_key_is_refused(client: Client, path: str):
    before = client.server.count()
    for headers in ({}, {"Idempotency_Key": ""}):
        answer = client.post(path, GOOD[path], key=None, **headers)
        assert told(answer) == (400, "idempotency_key_missing")
        assert places(answer) == ["Idempotency-Key"]
    assert client.server.count() == before


@pytest.mark.parametrize("key", ["x" * 256, '"' + "x" * 256 + '"', '""', '"', '"a', "a\tb", "ü", '"a\x80"'])
def test_a_key_that_is_none_is_refused(client: Client, rich: str, key: str):
    text = key.encode().decode("latin-1")
    answer = client.post("charges", {"account": rich, "amount": "1"}, key=text)
    assert told(answer) == (400, "invalid")
    assert places(answer) == ["Idempotency-Key"]


@pytest.mark.parametrize("key", ["a", " a", 'a"b', 'a"', '"a"b"', "x" * 255, '"' + "x" * 255 + '"', "~", "a b", "v1:x"])
def test_a_key_may_be_any_text_of_a_header(client: Client, rich: str, key: str):
    assert client.charge(rich, "0.1", key=key)["amount"] == "0.1"


# Amounts and times, all of them


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory):
    """A ledger whose unit has no decimals."""
    with Server(tmp_path_factory.mktemp("whole"), scale=0) as server:
        yield Client(server, server.new_key("admin"))


def test_an_amount_has_no_more_decimals_than_the_workspace(whole: Client):
    whole.grant("alice", "100.0")
    for amount in ("0.5", "1.1", "1.00000001"):
        answer = whole.post("charges", {"account": "alice", "amount": amount})
        assert told(answer) == (400, "invalid")
        assert "decimals" in answer.json["detail"]
    assert whole.charge("alice", "2.0")["after"]["balance"] == "98"


@given(
    st.text("0123456789.-+ e٣", max_size=20) | st.from_regex(r"[0-9]{1,17}(\.[0-9]{1,8})?", fullmatch=True),
    st.integers(0, 12),
)
def test_an_amount_in_a_body_is_what_its_text_says_or_refused(text: str, scale: int):
    try:
        exact = read_amount(text, scale)
    except AmountError:
        exact = 0
    assert amount_of(text, scale) == max(exact, 0)


@pytest.mark.parametrize("text", ["1", "7.5", "007.50", "999999999.999999"])
def test_an_amount_of_few_digits_is_read_from_a_body(text: str):
    assert amount_of(text, 6) == Decimal(text) * 10**6


def amount_of(text: str, scale: int) -> int:
    """What an amount in a body comes to; 0 where it is refused."""
    body = json.dumps({"account": "alice", "amount": text}).encode()
    request = Request.complete("POST", b"/v1/grants", [(b"content-type", b"application/json")], body, 0)
    workspace = Workspace("main", "Main", "live", "credits", scale, 1, WorkspaceSettings())
    request.caller = Caller(id="key", actor="key:key", workspace=workspace, scopes=frozenset())
    fields = Form(grants.GrantRequest).read(request)
    amount = fields.amount()
    return 0 if fields.wrong else amount


@given(st.datetimes(min_value=datetime(1970, 1, 3), max_value=datetime(9999, 12, 30)), st.integers(-1_439, 1_439))
def test_a_time_is_read_exactly_whatever_its_zone(moment: datetime, minutes: int):
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert read_time(zoned.isoformat()) == (zoned - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_what_is_finer_than_a_microsecond_is_cut_off():
    assert read_time("1970-01-01T00:00:01.123456789Z") == 1_123_456
    assert read_time("1970-01-01t00:00:01.5z") == 1_500_000


@given(st.text(max_size=40) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", fullmatch=True))
def test_whatever_is_sent_as_a_time_is_read_or_refused(text: str):
    try:
        at = read_time(text)
    except ValueError as error:
        message = str(error)
    else:
        message = "must be later" if at <= 0 else "must be"
    assert message.startswith("must be")
    assert message != "must be later"


def test_a_server_that_has_seen_all_this_still_charges(client: Client, rich: str):
    key = new_key()
    assert client.charge(rich, "100", key=key)["after"]["balance"] == "0"
