"""The page about webhooks: what it shows verifies what we send, and prints what it says."""

import contextlib
import io
import itertools
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import farthing
from farthing.cli.listen import line_of
from farthing.core.endpoints import MOST_ENDPOINTS, secret_of
from farthing.core.events import TYPES, body_of
from farthing.core.ids import make_id
from farthing.core.records import Event
from farthing.outbox.listening import MOST_WAITING
from farthing.outbox.signing import headers_of, key_of

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "webhooks.md"
TEXT = PAGE.read_text()
VERIFY, LISTEN = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
PRINTED = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)
OLD, NEW = secret_of(b"o" * 24), secret_of(b"n" * 64)


@pytest.fixture
def verified() -> Callable[..., dict[str, Any]]:
    """The function of the page."""
    names: dict[str, Any] = {}
    exec(VERIFY, names)
    found: Callable[..., dict[str, Any]] = names["verified"]
    return found


def message(at: float, *secrets: str) -> tuple[dict[str, str], bytes]:
    """What an endpoint is sent then."""
    event = Event(make_id("evt", int(at) * 1_000_000, 1, 1, 7), "main", "å", 7, "charge.created", int(at), {"n": "ü"})
    body = body_of(event)
    signed = headers_of(event.id, int(at), body, [key_of(secret) for secret in secrets])
    return {name.decode(): value.decode() for name, value in signed}, body


def test_what_we_sign_is_taken_also_while_a_secret_is_replaced(verified: Callable[..., dict[str, Any]]):
    headers, body = message(time.time(), NEW, OLD)
    for secret in (NEW, OLD):
        assert verified(secret, headers, body)["data"] == {"workspace": "main", "account": "å", "n": "ü"}


def test_what_is_not_ours_is_not(verified: Callable[..., dict[str, Any]]):
    headers, body = message(time.time(), OLD)
    other = headers | {"webhook-id": "evt_2"}
    for secret, fields, sent in ((NEW, headers, body), (OLD, headers, body + b" "), (OLD, other, body)):
        with pytest.raises(ValueError, match="not signed"):
            verified(secret, fields, sent)
    late, body = message(time.time() - 301, OLD)
    with pytest.raises(ValueError, match="long ago"):
        verified(OLD, late, body)


def test_listening_prints_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(LISTEN, {})
    assert printed.getvalue() == PRINTED[1]


def test_a_first_look_is_what_the_page_shows(tmp_path: Path):
    with farthing.connect(f"sqlite:///{tmp_path}/credits.db") as client, client.events.listen() as events:
        client.grant("alice", 3)
        client.charge("alice", "2.5", operation="cli.charge")
        lines = [line_of(event) for event in itertools.islice(events, 3)]
    seen, shown = (
        "\n".join(re.sub(r"^[\d:.]+", "", line) for line in each) for each in (lines, PRINTED[0].splitlines())
    )
    assert re.sub(r"_[0-9a-f]{32}", "_0198...", seen) == shown


def test_the_numbers_and_types_of_the_page_are_those_of_the_code():
    assert f"at most {MOST_ENDPOINTS}." in TEXT
    assert f"more than {MOST_WAITING:,} events" in TEXT
    named = set(re.findall(r"\b(?:balance|grant|webhook)\.[a-z]+\b", TEXT))
    assert named <= TYPES.keys()
