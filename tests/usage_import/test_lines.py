"""Lines: JSON lines of usage, as `farthing usage export` writes them or a program of one's own."""

from typing import Any

import pytest

from farthing.usage_import.lines import call_of
from farthing.usage_import.source import Wrong

LINE = {
    "id": "call-1", "account": "alice", "at": "2026-11-20T10:00:00Z", "model": "gpt-4o", "provider": "openai",
    "input_tokens": 1500, "output_tokens": 800,
}  # fmt: skip


def test_a_line_is_charged_under_its_id():
    found = call_of({**LINE, "cached_tokens": 1000, "service": "shop", "metadata": {"a": 1}}, "line 1", "user.id", "")
    assert (found.key, found.account, found.at) == ("call-1", "alice", "2026-11-20T10:00:00Z")
    assert found.used.dimensions() == {"input_tokens": 1500, "output_tokens": 800, "cache_read_tokens": 1000}
    assert (found.words, found.metadata) == ({"service": "shop"}, {"a": 1})


def test_a_service_that_is_said_is_that_of_all():
    assert call_of({**LINE, "service": "shop"}, "line 1", "user.id", "bot").words == {"service": "bot"}


def test_the_account_may_have_a_name_of_its_own():
    line = {name: value for name, value in LINE.items() if name != "account"}
    assert call_of({**line, "tenant": "t1"}, "line 1", "tenant", "").account == "t1"


def test_dimensions_beside_tokens_are_charged_too():
    dimensions = {"input_tokens": "1500", "images": 2, "minutes": 1.5}
    item = call_of({**LINE, "dimensions": dimensions}, "line 1", "user.id", "").charge("debt")
    usage = item["usage"]
    assert isinstance(usage, dict)
    assert usage["dimensions"] == {"input_tokens": 1500, "output_tokens": 800, "images": "2", "minutes": "1.5"}


def test_seconds_since_1970_are_a_time():
    assert call_of({**LINE, "at": 1_763_720_000.5}, "line 1", "user.id", "").at == "2025-11-21T10:13:20.500000+00:00"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": None}, "has no id"),
        ({"id": "\u00fc"}, "id must be 1 to 255 printable ASCII characters"),
        ({"account": None}, "has no account"),
        ({"account": ["alice"]}, "account must be text"),
        ({"at": None}, "has no time of use"),
        ({"at": -1}, "at must be an RFC 3339 time"),
        ({"input_tokens": None, "output_tokens": None}, "says nothing of what was used"),
        ({"input_tokens": 1.5}, "input_tokens must be a whole number"),
        ({"input_tokens": True}, "input_tokens must be a whole number"),
        ({"dimensions": [1]}, "dimensions must be a JSON object"),
        ({"dimensions": {"images": "two"}}, "dimensions.images must be decimal text"),
        ({"metadata": "x"}, "metadata must be a JSON object"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], said: str):
    with pytest.raises(Wrong, match=f"^{said}"):
        call_of({**LINE, **change}, "line 1", "user.id", "")


def test_a_line_that_is_no_object_is_refused():
    with pytest.raises(Wrong, match="must be a JSON object"):
        call_of([1], "line 1", "user.id", "")
