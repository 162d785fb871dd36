"""Balances at an instant and statements of the native API: what stood then, and what led from one to the other."""

import csv
import io
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import pytest

from farthing.api.v1 import statements
from farthing.api.v1.fields import read_time
from farthing.api.v1.wire import write_time
from farthing.clock import FakeClock
from farthing.stores.account_statements import AccountStatements
from farthing.stores.past import Archived
from tests.api.serving import Answer
from tests.api.v1.client import Client, places, told
from tests.api.v1.reading import ask, read

BOTH_DATABASES = True
HOUR = 3_600_000_000


def now(client: Client) -> str:
    """The server's time, as text."""
    return write_time(client.server.clock.now_us())


def later(client: Client, hours: int = 1) -> str:
    """Let time pass; what it is then."""
    clock = client.server.clock
    assert isinstance(clock, FakeClock)
    clock.advance(us=hours * HOUR)
    return now(client)


def csv_of(answer: Answer) -> list[dict[str, str]]:
    assert answer.status == 200, answer.raw
    return list(csv.DictReader(io.StringIO(answer.raw.decode(), newline="")))


def as_csv(client: Client, account: str, headers: dict[str, str], **query: Any) -> Answer:
    path = f"/v1/accounts/{account}/statement?{urlencode(query)}"
    return client.server.send("GET", path, None, {"X-API-Key": client.api_key, **headers})


def history(client: Client, account: str) -> list[str]:
    """Six things an hour apart; returns when each was."""
    steps = []
    for act in (
        lambda: client.grant(account, "100"),
        lambda: client.charge(account, "5", description="=cmd"),
        lambda: client.grant(account, "40", scope=["image.*"]),
        lambda: client.hold(account, "20", expires_in=86_400),
        lambda: client.charge(account, "7", operation="image.edit"),
        lambda: client.made(f"accounts/{account}/adjust", {"amount": "-10", "description": "a mistake"}),
    ):
        act()
        steps.append(now(client))
        later(client)
    return steps


# Balance at an instant


def test_a_balance_at_an_instant_is_what_was_told_then(client: Client, account: str):
    told_then = []
    for amount in ("100", "20", "3"):
        client.grant(account, amount, scope=["image.*"] if amount == "20" else None)
        client.charge(account, "2")
        told_then.append((now(client), read(client, f"accounts/{account}/balance")))
        later(client)
    client.charge(account, "50")
    for at, balance in told_then:
        found = read(client, f"accounts/{account}/balance", at=at)
        grants = found.pop("grants")
        assert found == {**balance, "at": at}
        assert sum(int(g["remaining"]) for g in grants) == int(balance["balance"])
    assert [g["scope"] for g in grants] == [["image.*"], [], []]


def test_what_had_lapsed_by_then_is_gone_and_what_had_not_is_there(client: Client, account: str):
    ends = write_time(client.server.clock.now_us() + HOUR)
    client.grant(account, "30", expires_at=ends)
    client.grant(account, "5")
    later(client, 2)
    just_before = write_time(client.server.clock.now_us() - HOUR - 1)
    # Nobody has booked the lapse yet; then a charge does.
    for _ in range(2):
        at = {when: read(client, f"accounts/{account}/balance", at=when)["balance"] for when in (just_before, ends)}
        assert at == {just_before: "35", ends: "5"}
        client.charge(account, "1")


def test_of_a_grant_with_a_scope_what_matches_could_be_spent(client: Client, account: str):
    client.grant(account, "10")
    client.grant(account, "5", scope=["image.*"])
    at = now(client)
    later(client)
    client.charge(account, "10")
    path = f"accounts/{account}/balance"
    assert read(client, path, at=at, operation="image.edit")["available"] == "15"
    assert read(client, path, at=at)["available"] == "10"
    assert read(client, path, at=at)["scoped"] == [{"scope": ["image.*"], "available": "5"}]


def test_before_it_was_opened_the_answer_says_when_that_was(client: Client, account: str):
    client.grant(account)
    opened, before = now(client), write_time(client.server.clock.now_us() - 1)
    answer = ask(client, f"accounts/{account}/balance", at=before)
    assert told(answer) == (404, "account_not_found")
    assert answer.json["opened_at"] == opened
    assert opened in answer.json["detail"]
    assert told(ask(client, "accounts/nobody/balance", at=before)) == (404, "account_not_found")


@pytest.mark.parametrize("at", ["tomorrow", "2026-01-01", "9999-01-01T00:00:00Z", ""])
def test_an_instant_that_is_none_or_to_come_is_refused(client: Client, rich: str, at: str):
    answer = ask(client, f"accounts/{rich}/balance", at=at)
    assert (told(answer), places(answer)) == ((400, "invalid"), ["at"])


# Statements


def test_a_statement_leads_from_its_opening_to_its_closing(client: Client, account: str):
    steps = history(client, account)
    path = f"accounts/{account}/statement"
    found = read(client, path, from_=steps[1], to=steps[5])
    assert found["opening"] == {"balance": "100", "held": "0", "debt": "0"}
    assert found["closing"] == {"balance": "128", "held": "20", "debt": "0"}
    assert [(line["kind"], line["amount"], line["balance"]) for line in found["data"]] == [
        ("charge", "-5", "95"), ("grant", "40", "135"), ("charge", "-7", "128"),
    ]  # fmt: skip
    assert found["totals"] == [
        {"kind": "charge", "entries": 2, "amount": "-12"}, {"kind": "grant", "entries": 1, "amount": "40"},
    ]  # fmt: skip
    assert (found["complete"], found["unit"], found["has_more"]) == (True, "credits", False)
    everything = read(client, path, from_=steps[1], to=steps[5], all="true")
    assert [line["kind"] for line in everything["data"]] == ["charge", "grant", "hold", "charge"]
    assert everything["closing"] == found["closing"]


def test_its_edges_are_what_the_balance_was_at_those_instants(client: Client, account: str):
    steps = history(client, account)
    for start, end in pairwise(steps):
        found = read(client, f"accounts/{account}/statement", from_=start, to=end)
        just_before = write_time(read_time(end) - 1)
        balance = read(client, f"accounts/{account}/balance", at=just_before)
        assert found["closing"] == {name: balance[name] for name in ("balance", "held", "debt")}


@pytest.mark.parametrize("limit", [1, 3, 200])
def test_pages_are_one_statement_though_others_write_meanwhile(client: Client, account: str, limit: int):
    history(client, account)
    path, lines, cursor = f"accounts/{account}/statement", [], None
    first: dict[str, Any] = {}
    while True:
        page = read(client, path, all="true", limit=limit, cursor=cursor)
        first = first or page
        assert (page["opening"], page["closing"]) == (first["opening"], first["closing"])
        assert (page["totals"] is None) == (cursor is not None)
        lines += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        client.charge(account, "1")
    assert [line["number"] for line in lines] == list(range(1, 8))
    assert sum(int(line["amount"]) for line in lines) == int(first["closing"]["balance"])


def test_without_a_period_it_is_that_of_this_month_and_goes_on(client: Client, account: str):
    client.grant(account, "9")
    found = read(client, f"accounts/{account}/statement")
    month = now(client)[:7]
    assert (found["from"], found["complete"]) == (f"{month}-01T00:00:00.000000Z", False)
    assert found["as_of"] == now(client)
    assert found["closing"]["balance"] == "9"
    assert read(client, f"accounts/{account}/statement", month=month)["data"] == found["data"]


def test_months_and_days_are_those_of_the_time_zone(client: Client, rich: str):
    path = f"accounts/{rich}/statement"
    found = read(client, path, month="2025-11", timezone="Europe/Berlin")
    assert (found["from"], found["to"]) == ("2025-10-31T23:00:00.000000Z", "2025-11-30T23:00:00.000000Z")
    assert (found["complete"], found["data"], found["totals"]) == (True, [], [])
    assert found["opening"] == found["closing"] == {"balance": "0", "held": "0", "debt": "0"}
    days = read(client, path, from_="2025-11-01", to="2025-11-30", timezone="Europe/Berlin")
    assert (days["from"], days["to"]) == (found["from"], found["to"])


@pytest.mark.parametrize(
    ("accept", "csv"),
    [
        ("text/csv", True),
        ("Text/CSV; header=present; q=0.9, application/json;q=0.5", True),
        ("text/csv;q=0", False),
        ("application/json, text/csv;q=0.5", False),
        ("application/json, text/csv", False),
        ("text/csv;q=much", False),
        ("*/*", False),
    ],
)
def test_csv_is_for_who_would_rather_have_it_than_json(client: Client, account: str, accept: str, csv: bool):
    client.grant(account, "1")
    told = as_csv(client, account, {"Accept": accept})
    assert (told.status, told.headers["content-type"].startswith("text/csv")) == (200, csv)


def test_csv_is_the_same_in_one_stream_which_ends_with_the_closing(
    client: Client, account: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(statements, "PAGE", 2)
    history(client, account)
    found = read(client, f"accounts/{account}/statement", limit=200)
    by_name = as_csv(client, account, {}, format="csv")
    by_accept = as_csv(client, account, {"Accept": "text/csv, */*;q=0.1"})
    assert by_name.raw == by_accept.raw
    assert by_name.headers["content-type"].startswith("text/csv")
    assert by_name.headers["content-disposition"] == 'attachment; filename="statement.csv"'
    assert by_name.headers["transfer-encoding"] == "chunked"
    rows = csv_of(by_name)
    assert (rows[0]["line"], rows[0]["balance"]) == ("opening", found["opening"]["balance"])
    assert (rows[-1]["line"], rows[-1]["balance"]) == ("closing", found["closing"]["balance"])
    entries = [row for row in rows if row["line"] == "entry"]
    assert [(r["id"], r["amount"]) for r in entries] == [(line["id"], line["amount"]) for line in found["data"]]
    assert entries[1]["description"] == "'=cmd", "no spreadsheet takes it for a formula"
    assert [(r["kind"], r["amount"]) for r in rows if r["line"] == "total"] == [
        (t["kind"], t["amount"]) for t in found["totals"]
    ]


def test_bad_input_is_refused_by_name(client: Client, rich: str):
    for query, where in (
        ({"from": "2026-02-30"}, "from"),
        ({"from": "2025-02-03", "to": "2025-02-01"}, "from"),
        ({"month": "2026-13"}, "month"),
        ({"month": "January"}, "month"),
        ({"month": "9990-01"}, "month"),
        ({"from": "9990-01-01"}, "from"),
        ({"month": "2026-01", "from": "2026-01-01"}, "month"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"format": "xlsx"}, "format"),
        ({"format": "csv", "limit": "3"}, "limit"),
        ({"all": "yes"}, "all"),
        ({"limit": "0"}, "limit"),
    ):
        answer = ask(client, f"accounts/{rich}/statement", **query)
        assert (told(answer), places(answer)) == ((400, "invalid"), [where]), query
    assert told(ask(client, "accounts/nobody/statement")) == (404, "account_not_found")
    assert told(ask(client, "accounts/nobody/statement", format="csv")) == (404, "account_not_found")
    assert told(ask(client.with_key("charge"), f"accounts/{rich}/statement")) == (403, "scope_missing")


def test_what_is_archived_is_refused_by_name_and_says_what_is_left(
    client: Client, rich: str, monkeypatch: pytest.MonkeyPatch
):
    async def archived(*_: Any, **__: Any) -> None:
        raise Archived(HOUR)

    monkeypatch.setattr(AccountStatements, "begin", archived)
    for format in statements.FORMATS:
        answer = ask(client, f"accounts/{rich}/statement", format=format)
        assert told(answer) == (409, "archived")
        assert answer.json["since"] == "1970-01-01T01:00:00.000000Z"


def test_what_the_books_do_not_prove_is_no_statement(client: Client, rich: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("farthing.stores.account_statements.adds_up", lambda *_: False)
    for format in statements.FORMATS:
        assert told(ask(client, f"accounts/{rich}/statement", format=format)) == (503, "store_error")
