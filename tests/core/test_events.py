"""The catalogue of events: what each says, who asks for what, what is sent."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farthing.core.events import TYPES, body_of, example_of, matches, problem_of, told_of, write_time
from farthing.core.records import Event

TOLD = json.dumps(
    [
        ["whe_all", ["*"], 0],
        ["whe_some", ["balance.*", "charge.created", "charge.created"], 0],
        ["", ["grant.*"], 100],
        ["", ["hold.expired"], 200],
        ["", ["grant.lapsed"], 300],
    ]
)


@pytest.mark.parametrize("name", TYPES)
def test_an_example_says_all_that_its_type_has_and_nothing_else(name: str) -> None:
    type = TYPES[name]
    read = msgspec.convert(dict(type.example), type.data)
    assert msgspec.to_builtins(read) == dict(type.example)
    assert len(msgspec.json.encode(example_of(type))) < 2_000


@pytest.mark.parametrize("name", TYPES)
def test_a_type_is_a_noun_and_a_verb_and_says_in_a_sentence_what_it_is(name: str) -> None:
    noun, verb = name.split(".")
    assert noun.replace("_", "").isalpha()
    assert verb.replace("_", "").isalpha()
    assert TYPES[name].summary.endswith(".")
    assert "\n" not in TYPES[name].summary


@pytest.mark.parametrize(
    ("filter", "good"),
    [
        ("*", True), ("charge.created", True), ("charge.*", True), ("auto_top_up.*", True), ("spend_limit.*", True),
        ("", False), ("charge", False), ("charge.", False), ("charge.made", False), ("Charge.*", False), ("*.*", False),
        ("charge.*.*", False), ("ch*", False), (".*", False), ("**", False), ("nothing.*", False),
    ],
)  # fmt: skip
def test_a_filter_is_a_type_a_noun_or_all(filter: str, good: bool) -> None:
    assert (problem_of(filter) is None) == good


@pytest.mark.parametrize(
    ("filter", "type", "is_one"),
    [
        ("*", "charge.created", True), ("charge.*", "charge.created", True), ("charge.*", "charge.refunded", True),
        ("charge.created", "charge.refunded", False), ("grant.*", "charge.created", False),
        # A noun is all of it: not what begins alike.
        ("charge.*", "charges.created", False),
    ],
)  # fmt: skip
def test_a_filter_names_types(filter: str, type: str, is_one: bool) -> None:
    assert matches(filter, type) == is_one


@pytest.mark.parametrize(
    ("type", "at", "endpoints"),
    [
        ("charge.created", 0, ("whe_all", "whe_some")),
        ("balance.low", 999, ("whe_all", "whe_some")),
        ("charge.refunded", 0, ("whe_all",)),
        ("grant.created", 0, ("whe_all",)),
        # It goes to the endpoint that is tried, whoever asks for everything.
        ("webhook.test", 0, None),
    ],
)
def test_endpoints_are_those_that_ask_for_a_type(type: str, at: int, endpoints: Any) -> None:
    assert told_of(TOLD).endpoints(type, at) == endpoints


@pytest.mark.parametrize(
    ("type", "at", "asked"),
    [
        ("grant.created", 99, ()), ("grant.created", 100, None),
        ("grant.lapsed", 100, ()), ("grant.lapsed", 299, ()), ("grant.lapsed", 300, None),
        ("hold.expired", 199, ()), ("hold.expired", 200, None),
        ("charge.created", 0, None),
    ],
)  # fmt: skip
def test_who_listens_asks_while_he_listens_and_is_sent_nothing(type: str, at: int, asked: Any) -> None:
    listeners = json.dumps([each for each in json.loads(TOLD) if not each[0]])
    assert told_of(listeners).endpoints(type, at) == asked


def test_nobody_asks_for_anything_in_a_workspace_without_endpoints() -> None:
    assert [told_of("").endpoints(type, 0) for type in TYPES] == [None] * len(TYPES)


def test_a_body_is_what_standard_webhooks_has_and_always_the_same() -> None:
    event = Event("evt_1", "main", "user_42", 7, "charge.created", 1_767_225_600_000_001, {"amount": "1"}, "once")
    body = body_of(event)
    assert body == body_of(msgspec.structs.replace(event, data=dict(event.data)))
    assert json.loads(body) == {
        "type": "charge.created",
        "timestamp": "2026-01-01T00:00:00.000001Z",
        "data": {"workspace": "main", "account": "user_42", "amount": "1"},
    }


@pytest.mark.parametrize(
    ("type", "said"),
    [
        ("jobs.failing", {"workspace": "main"}),
        ("payment.waiting", {"workspace": "main", "account": None}),
        ("something.unknown", {"workspace": "main"}),
    ],
)
def test_what_is_about_no_account_has_none_or_null_as_its_type_says(type: str, said: dict[str, Any]) -> None:
    assert json.loads(body_of(Event("evt_1", "main", "", 0, type, 0, {})))["data"] == said


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))
@example(datetime(2000, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC))
@example(datetime(2100, 3, 1, tzinfo=UTC))
def test_times_are_written_as_the_calendar_has_them(moment: datetime) -> None:
    text = write_time((moment - EPOCH) // timedelta(microseconds=1))
    assert text == moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
