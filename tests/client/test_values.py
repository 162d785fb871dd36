"""What callers pass: what is sent for it, and what is refused before anything is."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

import farthing
from farthing.client.bodies import item_body, priced_body, prompt_body, usage_body
from farthing.client.bulk import MOST_BYTES, slices
from farthing.client.calls import get, post
from farthing.client.results import Balance
from farthing.client.values import amount_text, day_text, instant_text, key_field, new_key, seconds
from farthing.core.amounts import read_amount


@pytest.mark.parametrize("value", [True, False, 0.1, 1.0, float("inf"), None, b"5", [5], 5j])
def test_what_is_no_exact_number_is_a_type_error_that_names_the_argument(value: Any) -> None:
    with pytest.raises(TypeError, match="raise_by must be"):
        amount_text(value, "raise_by")


_HUGE = (Decimal("1e999999"), Decimal("1e-999999"))
_NONE = (Decimal("NaN"), Decimal("-Infinity"))


@pytest.mark.parametrize("value", ["", "NaN", "0x10", "1_000", "+5", ".5", "5.", "9" * 401, *_NONE, *_HUGE])
def test_what_is_no_number_is_a_value_error_that_names_the_argument(value: Any) -> None:
    with pytest.raises(ValueError, match="amount "):
        amount_text(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(5, "5"), (-5, "-5"), ("0.50", "0.50"), (Decimal("1E+3"), "1000"), (Decimal("7.50"), "7.5"), (Decimal("-0"), "0")],
)
def test_exact_numbers_are_sent_as_plain_text(value: Any, text: str) -> None:
    assert amount_text(value) == text
    assert read_amount(text, 6) == Decimal(value) * 10**6


@pytest.mark.parametrize(
    ("work", "why"),
    [
        (lambda: instant_text(datetime(2026, 1, 1), "since"), "since needs a time zone"),
        (lambda: instant_text(5, "since"), "since must be a datetime"),  # type: ignore[arg-type]
        (lambda: seconds(timedelta(milliseconds=5), "expires_in"), "whole seconds"),
        (lambda: seconds(0.5, "expires_in"), "whole number of seconds"),  # type: ignore[arg-type]
        (lambda: seconds(True, "expires_in"), "whole number of seconds"),
        (lambda: usage_body(farthing.Usage(), input_tokens=5), "belong into usage"),
        (lambda: usage_body({"modle": "x"}), "modle"),
        (lambda: usage_body(farthing.Usage(input_tokens=5, dimensions={"input_tokens": 5})), "given twice"),
        (lambda: usage_body({"dimensions": {"images": 0.5}}), "images must be"),
        (lambda: usage_body(None, input_tokens=5.0), "input_tokens must be"),  # type: ignore[arg-type]
        (lambda: priced_body(None, None, None, "m", None, None, None, None, None), "give an amount, or what was used"),
        (lambda: prompt_body(True), "prompt must be"),
        (lambda: prompt_body(0.5), "prompt must be"),  # type: ignore[arg-type]
    ],
)
def test_arguments_that_can_not_be_meant_say_what_helps(work: Callable[[], Any], why: str) -> None:
    with pytest.raises((TypeError, ValueError), match=why):
        work()


def test_times_are_sent_with_their_zone_and_days_as_days() -> None:
    moment = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))
    assert instant_text(moment, "at") == "2026-01-31T12:00:00.000000+02:00"
    assert day_text(date(2026, 1, 31), "since") == "2026-01-31"
    assert day_text(datetime(2026, 1, 31, tzinfo=UTC), "since") == "2026-01-31T00:00:00.000000+00:00"
    assert seconds(timedelta(minutes=2), "expires_in") == 120


@pytest.mark.parametrize(("key", "field"), [("a b", "a b"), (' a"', '" a""'), ('"a"', '""a""'), ("a ", '"a "')])
def test_a_key_goes_in_quotes_where_it_would_be_read_differently_without(key: str, field: str) -> None:
    assert key_field(key) == field


def test_keys_are_new_and_ordered_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({new_key() for _ in range(10_000)}) == 10_000
    times = iter([1_000_000_000, 5_000_000_000, 3_000_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(times))
    first, last, between = new_key(), new_key(), new_key()
    assert first < between < last


def test_a_call_is_the_same_each_time_it_is_sent() -> None:
    call = post(Balance, "/v1/accounts/{account}/adjust", {"amount": "5", "force": None}, None, account="a/ü..")
    assert (call.path, call.body) == ("/v1/accounts/a%2F%C3%BC../adjust", b'{"amount":"5"}')
    assert call.headers() == call.headers() == {"content-type": "application/json", "idempotency-key": call.key}
    assert get(Balance, "/v1/accounts/{account}", account="..").path == "/v1/accounts/%2E%2E"
    assert get(Balance, "/v1/x", {"a": "1 &", "b": None}).query_text == "a=1+%26"


def test_items_have_a_key_each_and_go_in_envelopes_that_are_taken() -> None:
    bodies = [item_body({"account": "a", "amount": 5, "metadata": {"text": "x" * 10_000}}) for _ in range(400)]
    assert len({body["key"] for body in bodies}) == 400
    parts = list(slices(bodies))
    assert [body for part in parts for body in part] == bodies
    assert len(parts) == -(-400 * 10_100 // MOST_BYTES)
    assert [len(part) for part in slices([{"key": "k"}] * 2_001)] == [1_000, 1_000, 1]
    assert list(slices([])) == []
