"""Reports over the native API: zero-filled series in any zone, models, accounts, spending by whatever it was for."""

from typing import Any

import pytest

from tests.api.serving import Server
from tests.api.v1.client import Client, places, told
from tests.api.v1.reading import ask, read
from tests.api.v1.used import put_card, use

BOTH_DATABASES = True
PATHS = ["revenue", "models", "accounts", "spend"]


@pytest.fixture(scope="module")
def story(server: Server) -> Server:
    """Two accounts, two models, three days; a refund on its own day. The clock stands at 2026-01-01 00:00."""
    put_card(server)
    client = Client(server, server.new_key("admin"))
    for account in ("ann", "bob"):
        client.grant(account, "1000")
    use(client, "ann", service="web")  # 7, cost 0.01175
    use(client, "ann", 1000, 0, model="small", service="app")  # 2, cost 0.0025
    charge = use(client, "bob", 0, 1000, service="web")  # 5, cost 0.01
    client.made(f"charges/{charge['id']}/refund", {"amount": "1.5"}, 201)
    client.charge("bob", "1", operation="tip")
    return server


def report(client: Client, path: str, **query: Any) -> Any:
    return read(client, f"reports/{path}", **query)


def test_revenue_of_days_has_every_day(story: Server, client: Client):
    found = report(client, "revenue", from_="2025-12-30", to="2026-01-02")
    assert (found["from"], found["to"]) == ("2025-12-30T00:00:00.000000Z", "2026-01-03T00:00:00.000000Z")
    assert (found["timezone"], found["step"], found["unit"]) == ("UTC", "day", "credits")
    assert [(d["period"], d["revenue"]) for d in found["data"]] == [
        ("2025-12-30", "0"), ("2025-12-31", "0"), ("2026-01-01", "13.5"), ("2026-01-02", "0"),
    ]  # fmt: skip
    day = found["data"][2]
    assert {name: day[name] for name in ("refunded", "cost", "margin", "margin_percent", "charges", "requests")} == {
        "refunded": "1.5", "cost": "0.02425", "margin": "13.47575", "margin_percent": "99.82", "charges": 4,
        "requests": 4,
    }  # fmt: skip
    assert (day["tokens"], day["uncosted"], found["data"][0]["margin_percent"]) == (4300, 1, None)
    assert found["total"]["revenue"] == "13.5"


def test_days_are_those_of_the_zone_and_of_the_clock_change(story: Server, client: Client):
    found = report(client, "revenue", from_="2026-03-28", to="2026-03-29", timezone="Europe/Berlin")
    assert [(d["start"][:16], d["end"][:16]) for d in found["data"]] == [
        ("2026-03-27T23:00", "2026-03-28T23:00"), ("2026-03-28T23:00", "2026-03-29T22:00"),
    ]  # fmt: skip
    hours = report(client, "revenue", from_="2026-03-29", to="2026-03-29", timezone="Europe/Berlin", step="hour")
    assert len(hours["data"]) == 23
    new_york = report(client, "revenue", from_="2025-12-31", to="2026-01-01", timezone="America/New_York")
    assert [d["revenue"] for d in new_york["data"]] == ["13.5", "0"]


def test_months_and_hours(story: Server, client: Client):
    months = report(client, "revenue", from_="2025-11-15", to="2026-01-31", step="month")["data"]
    assert [(m["period"], m["revenue"]) for m in months] == [("2025-11", "0"), ("2025-12", "0"), ("2026-01", "13.5")]
    hours = report(client, "revenue", from_="2026-01-01", to="2026-01-01", step="hour")["data"]
    assert [h["revenue"] for h in hours] == ["13.5"] + ["0"] * 23


def test_by_default_it_is_the_last_thirty_days_with_today(story: Server, client: Client):
    found = report(client, "revenue")
    assert (found["data"][0]["period"], found["data"][-1]["period"]) == ("2025-12-03", "2026-01-01")
    assert len(found["data"]) == 30
    assert report(client, "models")["from"] == found["from"]


def test_an_empty_range_has_no_points(story: Server, client: Client):
    found = report(client, "revenue", from_="2026-01-01T12:00:00Z", to="2026-01-01T12:00:00Z")
    assert (found["data"], found["total"]["revenue"]) == ([], "0")


def test_models_come_by_revenue_with_their_refunds(story: Server, client: Client):
    found = report(client, "models")
    assert [(m["provider"], m["model"], m["revenue"], m["requests"]) for m in found["data"]] == [
        ("openai", "gpt-4o", "10.5", 2), ("openai", "small", "2", 1), (None, None, "1", 1),
    ]  # fmt: skip
    assert found["total"]["revenue"] == "13.5"
    assert [m["model"] for m in report(client, "models", account="ann")["data"]] == ["gpt-4o", "small"]
    assert report(client, "models", service="app")["total"]["revenue"] == "2"


def test_accounts_come_by_revenue_and_the_total_is_that_of_all(story: Server, client: Client):
    found = report(client, "accounts")
    assert [(a["account"], a["revenue"]) for a in found["data"]] == [("ann", "9"), ("bob", "4.5")]
    top = report(client, "accounts", limit=1)
    assert ([a["account"] for a in top["data"]], top["total"]["revenue"]) == (["ann"], "13.5")
    assert [a["account"] for a in report(client, "accounts", model="small")["data"]] == ["ann"]


@pytest.mark.parametrize(
    ("by", "totals"),
    [
        ("service", [("web", "10.5"), ("app", "2"), (None, "1")]),
        ("operation", [("chat", "12.5"), ("tip", "1")]),
        ("model", [("gpt-4o", "10.5"), ("small", "2"), (None, "1")]),
        ("provider", [("openai", "12.5"), (None, "1")]),
        ("account", [("ann", "9"), ("bob", "4.5")]),
    ],
)
def test_spending_by_what_it_was_for(story: Server, client: Client, by: str, totals: list[tuple[str | None, str]]):
    found = report(client, "spend", by=by, from_="2025-12-31", to="2026-01-01")
    assert found["by"] == by
    assert [(part[by], part["revenue"]) for part in found["totals"]] == totals
    before, today = found["data"]
    assert (before["parts"], before["revenue"], before["others"]["revenue"]) == ([], "0", "0")
    assert [(part[by], part["revenue"]) for part in today["parts"]] == totals
    assert set(today["parts"][0]) - set(today["others"]) == ({"provider", "model"} if by == "model" else {by})


def test_what_is_not_among_the_first_stands_together(story: Server, client: Client):
    found = report(client, "spend", by="service", limit=1, from_="2026-01-01", to="2026-01-01")
    (today,) = found["data"]
    assert [part["service"] for part in today["parts"]] == ["web"]
    assert (today["others"]["revenue"], today["revenue"]) == ("3", "13.5")


def test_another_workspace_has_its_own(story: Server, client: Client):
    other = client.with_key("read", "other")
    for path in PATHS:
        assert report(other, path)["total"]["revenue"] == "0"
    assert told(ask(client.with_key("charge"), "reports/models")) == (403, "scope_missing")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("query", "where"),
    [
        ({"from": "2026-02-30"}, ["from"]),
        ({"to": "2026-1-1"}, ["to"]),
        ({"from": "2026-02-01", "to": "2026-01-01"}, ["from"]),
        ({"from": "2027-01-01"}, ["from"]),
        ({"timezone": "Mars/Olympus"}, ["timezone"]),
        ({"colour": "red", "timezone": "x"}, ["colour", "timezone"]),
        ({"service": ""}, ["service"]),
    ],
)
def test_what_makes_no_sense_is_named(client: Client, path: str, query: dict[str, Any], where: list[str]):
    answer = ask(client, f"reports/{path}", **query)
    assert (told(answer), places(answer)) == ((400, "invalid"), where)


@pytest.mark.parametrize(
    ("path", "query", "where"),
    [
        ("revenue", {"step": "minute"}, "step"),
        ("revenue", {"step": "hour", "from": "2020-01-01", "to": "2026-01-01"}, "step"),
        ("spend", {"step": "hour", "from": "2020-01-01", "to": "2026-01-01"}, "step"),
        ("spend", {"by": "colour"}, "by"),
        ("spend", {"limit": "101"}, "limit"),
        ("accounts", {"limit": "0"}, "limit"),
        ("accounts", {"account": "ann"}, "account"),
    ],
)
def test_what_only_some_take_is_named_too(client: Client, path: str, query: dict[str, Any], where: str):
    answer = ask(client, f"reports/{path}", **query)
    assert (told(answer), places(answer)) == ((400, "invalid"), [where])
