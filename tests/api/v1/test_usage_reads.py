"""Usage over the native API: rows in a stable order, filters, pages by cursor and by number, sums."""

from itertools import islice
from typing import Any

import pytest

from farthing.stores.usage_history import UsageHistory
from tests.api.serving import Server, wait_for
from tests.api.v1.client import Client, encoded, places, told
from tests.api.v1.reading import ask, read, whole
from tests.api.v1.used import put_card, tokens, use
from tests.support import START_US

BOTH_DATABASES = True


@pytest.fixture(scope="module")
def priced(server: Server) -> Server:
    """The server, with a rate card."""
    put_card(server)
    wait_for(lambda: server.watch.generation)
    return server


@pytest.fixture
def user(priced: Server, client: Client, account: str) -> str:
    """An account with 1,000 credits."""
    client.grant(account, "1000")
    return account


def at(hours: int) -> str:
    """An instant some hours before the clock of the tests."""
    assert 0 < hours < 24
    return f"2025-12-31T{24 - hours:02d}:00:00Z"


def of(user: str, more: str = "") -> str:
    return f"accounts/{encoded(user)}/usage{more}"


# Rows


def test_a_row_tells_what_was_used_what_it_cost_and_what_is_left(client: Client, user: str):
    charge = use(
        client, user, chat="c1", service="web", model="GPT-4o", body={"metadata": {"n": 1}, "description": "Hi"}
    )
    (row,) = read(client, of(user))["data"]
    assert row == {
        "id": charge["id"], "account": user, "at": charge["created_at"], "booked_at": charge["created_at"],
        "provider": "openai", "model": "GPT-4o", "model_sent": "GPT-4o", "service": "web", "operation": "chat",
        "chat": "c1", "dimensions": {"input_tokens": "1500", "output_tokens": "800"}, "input_tokens": 1500,
        "output_tokens": 800, "tokens": 2300, "amount": "7", "cost": "0.01175", "margin": "6.98825",
        "unpriced": False, "card": "default@1", "key": row["key"], "description": "Hi", "metadata": {"n": 1},
    }  # fmt: skip
    assert row["key"].startswith("v1:key-")


def test_an_amount_that_was_given_has_no_card_and_its_cost_nobody_knows(client: Client, user: str):
    use(client, user, body={"amount": "4"})
    (row,) = read(client, of(user))["data"]
    assert (row["amount"], row["card"], row["cost"], row["margin"]) == ("4", None, None, None)


def test_a_plain_charge_is_no_usage_and_a_settle_with_usage_is(client: Client, user: str):
    client.charge(user, "1")
    hold = client.hold(user, "20")
    usage = {"operation": "chat", "model": "m", "dimensions": tokens(500, 0)}
    client.made(f"holds/{hold['id']}/settle", {"usage": usage}, 200)
    (row,) = read(client, of(user))["data"]
    assert (row["amount"], row["model"], row["provider"]) == ("1", "m", None)


def test_rows_come_newest_first_by_the_time_of_use_then_by_id(client: Client, user: str):
    late = use(client, user, at=at(3))["id"]
    now = [use(client, user)["id"] for _ in range(3)]
    earlier = use(client, user, at=at(5))["id"]
    wanted = [*reversed(now), late, earlier]
    assert [row["id"] for row in read(client, of(user))["data"]] == wanted
    assert [row["id"] for row in read(client, of(user), order="oldest")["data"]] == wanted[::-1]


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("limit", [1, 2, 7])
def test_pages_by_cursor_have_each_row_once_while_others_are_added(client: Client, user: str, order: str, limit: int):
    known = [use(client, user, at=at(1 + n % 3))["id"] for n in range(7)]
    more = iter(range(4))
    found = whole(client, of(user), lambda: [use(client, user) for _ in islice(more, 1)], order=order, limit=limit)
    seen = [row["id"] for row in found]
    assert len(seen) == len(set(seen))
    assert set(known) <= set(seen)


def test_pages_by_number_are_slices_of_the_whole(client: Client, user: str):
    rows = [use(client, user, at=at(1 + n % 3))["id"] for n in range(5)]
    everything = [row["id"] for row in read(client, of(user))["data"]]
    assert sorted(everything) == sorted(rows)
    for offset in range(7):
        page = read(client, of(user), offset=offset, limit=2)
        assert [row["id"] for row in page["data"]] == everything[offset : offset + 2]
        assert page["has_more"] == (offset + 2 < 5)
    page = read(client, of(user), offset=1, limit=2)
    following = read(client, of(user), limit=2, cursor=page["next_cursor"])
    assert [row["id"] for row in following["data"]] == everything[3:5]


def test_filters_choose_rows_also_by_number(client: Client, user: str):
    for n in range(6):
        model, service = ("gpt-4o", "web") if n % 2 else ("other", "app")
        use(client, user, model=model, service=service, chat=f"c{n % 3}", at=at(1 + n))
    assert [r["chat"] for r in whole(client, of(user), chat="c1")] == ["c1", "c1"]
    assert {r["model"] for r in whole(client, of(user), model="other")} == {"other"}
    assert len(whole(client, of(user), service="web", operation="chat", provider="openai")) == 3
    assert whole(client, of(user), service="web", model="other") == []
    assert len(whole(client, of(user), chat="c1", model="gpt-4o")) == 1
    second = read(client, of(user), model="other", offset=1, limit=1)
    assert second["data"] == whole(client, of(user), model="other")[1:2]
    assert whole(client, of(user), unpriced="true") == []
    assert len(whole(client, of(user), unpriced="false")) == 6


def test_a_range_is_half_open_and_a_day_is_whole(client: Client, user: str):
    for hours in (1, 2, 3, 23):
        use(client, user, at=at(hours))
    use(client, user)  # at 2026-01-01 00:00
    assert len(whole(client, of(user), from_=at(3), to=at(1))) == 2
    assert len(whole(client, of(user), from_="2025-12-31", to="2025-12-31")) == 4
    assert len(whole(client, of(user), from_="2026-01-01")) == 1
    berlin: dict[str, Any] = {"timezone": "Europe/Berlin", "from_": "2026-01-01", "to": "2026-01-01"}
    assert len(whole(client, of(user), **berlin)) == 2, "there the year began an hour earlier"


def test_all_accounts_are_listed_together_and_one_can_be_chosen(client: Client, user: str):
    client.grant(f"{user}-2", "1000")
    ids = {use(client, user)["id"], use(client, f"{user}-2", chat="same")["id"], use(client, user, chat="same")["id"]}
    assert ids <= {row["id"] for row in whole(client, "usage", limit=200)}
    assert {row["account"] for row in whole(client, "usage", account=user)} == {user}
    assert len(whole(client, "usage", chat="same", from_="2026-01-01")) >= 2
    assert [row["account"] for row in whole(client, "usage", chat="same", account=user)] == [user]


def test_another_workspace_sees_none_of_it(server: Server, client: Client, user: str):
    use(client, user)
    other = client.with_key("read", "other")
    assert read(other, "usage")["data"] == []
    assert told(ask(other, of(user))) == (404, "account_not_found")
    assert told(ask(other, of(user, "/stats"))) == (404, "account_not_found")
    assert read(other, "usage/stats")["requests"] == 0
    assert told(ask(client.with_key("charge"), "usage")) == (403, "scope_missing")


def test_charges_are_read_in_the_order_of_booking_whatever_the_time_of_use(server: Server, client: Client, user: str):
    ids = [use(client, user, at=at(3))["id"], use(client, user)["id"], client.charge(user, "1")["id"]]
    ids.append(use(client, user, at=at(9))["id"])
    history = UsageHistory(server.ledger.database)

    async def booked(start: int, end: int, page: int) -> list[tuple[str, bool]]:
        pages = [each async for each in history.booked("main", start, end, page)]
        assert all(0 < len(each) <= page for each in pages)
        return [(entry.id, row is not None) for each in pages for row, entry in each if entry.account == user]

    wanted = [(ids[0], True), (ids[1], True), (ids[2], False), (ids[3], True)]
    for page in (1, 2, 500):
        assert server.run(booked(START_US, START_US + 1, page)) == wanted
    assert server.run(booked(1, START_US + 10**15, 3)) == wanted
    assert server.run(booked(START_US + 1, START_US + 2, 3)) == []
    assert server.run(history.booked_size("main", START_US, START_US + 1)) >= 4


# Sums


def test_stats_add_up_by_model_service_operation_and_day(client: Client, user: str):
    use(client, user, service="web", at=at(2))
    use(client, user, 1000, 0, service="web", model="small")
    use(client, user, body={"amount": "4"}, service="app")
    client.charge(user, "1", operation="tip")
    found = read(client, of(user, "/stats"), timezone="UTC")
    assert {name: found[name] for name in ("requests", "input_tokens", "output_tokens", "tokens", "unpriced")} == {
        "requests": 4, "input_tokens": 4000, "output_tokens": 1600, "tokens": 5600, "unpriced": 0,
    }  # fmt: skip
    assert (found["charged"], found["cost"], found["margin"]) == ("14", "0.01425", "13.98575")
    assert (found["average"], found["uncosted"], found["margin_percent"]) == ("3.5", 2, "99.9")
    assert [(m["provider"], m["model"], m["charged"], m["requests"]) for m in found["models"]] == [
        ("openai", "gpt-4o", "11", 2), ("openai", "small", "2", 1), (None, None, "1", 1),
    ]  # fmt: skip
    assert [(s["service"], s["charged"]) for s in found["services"]] == [("web", "9"), ("app", "4"), (None, "1")]
    assert [(o["operation"], o["charged"]) for o in found["operations"]] == [("chat", "13"), ("tip", "1")]
    assert [(d["day"], d["requests"]) for d in found["days"]] == [("2025-12-31", 1), ("2026-01-01", 3)]
    only = read(client, of(user, "/stats"), model="small")
    assert (only["requests"], only["charged"]) == (1, "2")


def test_stats_of_nothing_are_zeros(client: Client, user: str):
    for found in (
        read(client, of(user, "/stats")),
        read(client, "usage/stats", from_="2031-01-01", to="2031-01-02"),
        read(client, "usage/stats", model="nobody's"),
    ):
        assert (found["requests"], found["charged"], found["average"], found["margin_percent"]) == (0, "0", "0", None)
        assert found["models"] == found["services"] == found["operations"] == found["days"] == []


def test_stats_of_thousands_of_years_are_those_of_the_days_there_are(client: Client, user: str):
    use(client, user, at=at(2))
    found = read(client, of(user, "/stats"), from_="1971-01-01", to="8999-12-31")
    assert (found["requests"], [day["day"] for day in found["days"]]) == (1, ["2025-12-31"])
    assert read(client, "usage/stats", from_="2500-01-01", to="8999-12-31")["requests"] == 0


# Bad input


@pytest.mark.parametrize("path", ["usage", "usage/stats", "usage/export", "ACCOUNT", "ACCOUNT/stats"])
@pytest.mark.parametrize(
    ("query", "where"),
    [
        ({"from": "2026-02-30"}, "from"),
        ({"to": "2026-13-01"}, "to"),
        ({"to": "tomorrow"}, "to"),
        ({"from": "2026-01-01T25:00:00Z"}, "from"),
        ({"from": "1969-12-31"}, "from"),
        ({"from": "9999-12-31"}, "from"),
        ({"from": "2026-01-02", "to": "2026-01-01T00:00:00Z"}, "from"),
        ({"from": "2026-01-03", "to": "2026-01-01"}, "from"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"timezone": ""}, "timezone"),
        ({"model": ""}, "model"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_makes_no_sense_is_named(client: Client, user: str, path: str, query: dict[str, Any], where: str):
    answer = ask(client, path.replace("ACCOUNT", of(user)), **query)
    assert told(answer) == (400, "invalid")
    assert places(answer) == [where]


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ({"offset": "10001"}, ["offset"]),
        ({"offset": "-1"}, ["offset"]),
        ({"offset": "1.5"}, ["offset"]),
        ({"unpriced": "maybe", "order": "random"}, ["unpriced", "order"]),
        ({"limit": "0"}, ["limit"]),
        ({"offset": "5", "cursor": "x"}, ["offset"]),
    ],
)
def test_what_makes_no_sense_of_a_page_is_named(client: Client, user: str, query: dict[str, Any], where: list[str]):
    answer = ask(client, of(user), **query)
    assert (told(answer), places(answer)) == ((400, "invalid"), where)


def test_a_cursor_of_another_filter_is_no_cursor(client: Client, user: str):
    use(client, user)
    use(client, user)
    cursor = read(client, of(user), limit=1)["next_cursor"]
    assert told(ask(client, of(user), limit=1, cursor=cursor, model="x")) == (400, "cursor_invalid")
    assert told(ask(client, "usage", limit=1, cursor=cursor)) == (400, "cursor_invalid")
