"""Balances at an instant and statements through the library: in process and over HTTP, for both kinds."""

import csv
import io
import urllib.request
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import farthing
from farthing.client.aio import stating
from farthing.client.sync import stating as stating_sync
from tests.api.serving import Server

EVERYTHING = {"since": "2020-01-01"}


def at(entry: Any) -> datetime:
    found: datetime = entry.created_at
    return found


def test_a_balance_at_an_instant_is_what_it_was_and_tells_the_grants_of_then(client: Any, account: str):
    first = client.grant(account, 100)
    second = client.grant(account, 20, scope=["image.*"])
    client.charge(account, "5.5")
    found = client.balance(account, at=at(second))
    assert (found.balance, found.available, found.at) == (120, 100, at(second))
    assert [(g.id, g.remaining) for g in found.grants] == [(second.id, 20), (first.id, 100)]
    assert client.balance(account, at=at(second), operation="image.edit").available == 120
    now = client.balance(account)
    assert (now.balance, now.at, now.grants) == (Decimal("114.5"), None, [])


def test_before_it_was_opened_there_was_no_such_account(client: Any, account: str):
    opened = at(client.grant(account, 1))
    with pytest.raises(farthing.AccountNotFound) as error:
        client.balance(account, at=opened - timedelta(microseconds=1))
    assert datetime.fromisoformat(error.value.opened_at) == opened
    with pytest.raises(farthing.Invalid):
        client.balance(account, at=datetime.now(UTC) + timedelta(days=30_000))


def test_a_statement_is_read_whole_and_adds_up(client: Any, account: str, monkeypatch: pytest.MonkeyPatch):
    for module in (stating, stating_sync):
        monkeypatch.setattr(module, "PAGE", "3")
    client.grant(account, 100)
    for _ in range(6):
        client.charge(account, 2)
    found = client.accounts.statement(account, **EVERYTHING)
    assert [line.kind for line in found.lines] == ["grant", *["charge"] * 6]
    assert found.opening.balance + sum(line.amount for line in found.lines) == found.closing.balance == 88
    assert [(t.kind, t.entries, t.amount) for t in found.totals] == [("charge", 6, -12), ("grant", 1, 100)]
    assert (found.complete, found.has_more, found.next_cursor) == (False, False, None)
    every = client.accounts.statement(account, every=True, **EVERYTHING)
    assert [line.kind for line in every.lines] == ["open", "grant", *["charge"] * 6]


def test_its_csv_ends_with_the_closing(client: Any, account: str, monkeypatch: pytest.MonkeyPatch):
    for module in (stating, stating_sync):
        monkeypatch.setattr(module, "PAGE", "1")
    client.grant(account, 7)
    client.charge(account, 3)
    text = b"".join(client.accounts.export_statement(account, **EVERYTHING)).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [(r["line"], r["kind"], r["amount"], r["balance"]) for r in rows] == [
        ("opening", "", "", "0"), ("entry", "grant", "7", "7"), ("entry", "charge", "-3", "4"),
        ("total", "charge", "-3", ""), ("total", "grant", "7", ""), ("closing", "", "", "4"),
    ]  # fmt: skip


def test_its_bytes_are_those_of_the_api(server: Server):
    key = server.new_key("admin")
    url = f"http://127.0.0.1:{server.port}"
    with farthing.connect(url, api_key=key) as client:
        client.grant("stated", 7)
        client.charge("stated", 3, description="=1+1")
        month = client.accounts.statement("stated").from_.strftime("%Y-%m")
        # Of a month that is over nothing tells when it was read.
        for asked in ({"month": "2025-01"}, {"since": "2020-01-01", "until": at(client.grant("stated", 1))}):
            parts = b"".join(client.accounts.export_statement("stated", **asked))
            query = "month=2025-01" if "month" in asked else f"from=2020-01-01&to={_text(asked['until'])}"
            request = urllib.request.Request(f"{url}/v1/accounts/stated/statement?format=csv&{query}")
            request.add_header("X-API-Key", key)
            with urllib.request.urlopen(request) as answer:
                assert answer.read() == parts
        assert client.accounts.statement("stated", month=month).lines


def _text(moment: Any) -> str:
    assert isinstance(moment, datetime)
    return moment.isoformat().replace("+00:00", "Z")
