"""Exports: streamed, complete, readable by others, and guarded against formulas."""

import csv
import http.client
import io
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from farthing.api.v1 import exports
from farthing.core.history import COLUMNS
from farthing.stores.contract import Unavailable
from farthing.stores.usage_history import UsageHistory
from tests.api.serving import Answer, Server
from tests.api.v1.client import Client, places, told
from tests.api.v1.reading import ask, whole
from tests.api.v1.used import put_card, use

BOTH_DATABASES = True


@pytest.fixture(scope="module")
def priced(server: Server) -> Server:
    put_card(server)
    return server


@pytest.fixture
def user(priced: Server, client: Client, account: str) -> str:
    client.grant(account, "1000")
    return account


def export(client: Client, **query: Any) -> Answer:
    answer = ask(client, "usage/export", **query)
    assert answer.status == 200, answer.raw
    assert answer.headers["transfer-encoding"] == "chunked"
    return answer


def rows_of(answer: Answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.raw.decode(), newline="")))


def test_json_lines_are_the_rows_of_the_list(client: Client, user: str):
    for n in range(5):
        use(client, user, chat=f"c{n}", at=f"2025-12-31T{n:02d}:00:00Z")
    answer = export(client, format="jsonl", account=user)
    assert answer.headers["content-type"] == "application/jsonl"
    assert answer.headers["content-disposition"] == 'attachment; filename="usage.jsonl"'
    lines = [json.loads(line) for line in answer.raw.splitlines()]
    assert lines == whole(client, f"accounts/{user}/usage", order="oldest")


def test_csv_has_a_header_and_the_same_rows(client: Client, user: str):
    for n in range(3):
        use(client, user, chat=f"c{n}", body={"metadata": {"n": n}})
    answer = export(client, account=user)
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="usage.csv"'
    wanted = whole(client, f"accounts/{user}/usage", order="oldest")
    found = rows_of(answer)
    assert list(found[0]) == list(wanted[0])
    assert [(row["id"], row["chat"], row["amount"], row["unpriced"]) for row in found] == [
        (row["id"], row["chat"], row["amount"], "false") for row in wanted
    ]
    assert [json.loads(row["metadata"]) for row in found] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert json.loads(found[0]["dimensions"]) == wanted[0]["dimensions"]


def test_a_text_that_is_a_formula_is_none_in_csv_and_itself_in_json(client: Client, user: str):
    evil = '=HYPERLINK("http://x";"click")'
    use(client, user, chat=evil, service="-2+3", body={"amount": "1", "description": "@SUM(A1)\n,"})
    (row,) = rows_of(export(client, account=user))
    assert (row["chat"], row["service"], row["description"]) == ("'" + evil, "'-2+3", "'@SUM(A1)\n,")
    (line,) = export(client, account=user, format="jsonl").raw.splitlines()
    assert json.loads(line)["chat"] == evil


def test_a_loss_is_a_number_and_stays_one(client: Client, user: str):
    use(client, user, 0, 0)
    use(client, user, 1, 0, operation="free", body={"amount": "0"})
    assert [row["amount"] for row in rows_of(export(client, account=user))] == ["0", "0"]


def test_nothing_is_a_header_alone_or_nothing_at_all(client: Client, user: str):
    assert rows_of(export(client, account=user)) == []
    assert export(client, account=user).raw.decode() == ",".join(COLUMNS) + "\r\n"
    answer = ask(client, "usage/export", account=user, format="jsonl")
    assert (answer.status, answer.raw) == (200, b"")


@pytest.mark.parametrize("format", exports.FORMATS)
def test_pages_meet_without_a_gap(client: Client, user: str, format: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exports, "PAGE", 3)
    ids = [use(client, user, at=f"2025-12-31T0{n % 2}:00:00Z")["id"] for n in range(7)]
    answer = export(client, account=user, format=format)
    found = rows_of(answer) if format == "csv" else [json.loads(line) for line in answer.raw.splitlines()]
    assert sorted(row["id"] for row in found) == sorted(ids)


def test_filters_and_range_choose(client: Client, user: str):
    for n in range(4):
        use(client, user, chat=f"c{n % 2}", model=f"m{n}", at=f"2025-12-31T0{n}:00:00Z")
    assert [row["model"] for row in rows_of(export(client, account=user, chat="c1"))] == ["m1", "m3"]
    assert [row["model"] for row in rows_of(export(client, account=user, model="m2"))] == ["m2"]
    assert rows_of(export(client, account=user, unpriced="true")) == []
    ranged = export(client, account=user, from_="2025-12-31T01:00:00Z", to="2025-12-31T03:00:00Z")
    assert [row["model"] for row in rows_of(ranged)] == ["m1", "m2"]


def test_bad_input_is_a_problem_and_no_file(client: Client, user: str):
    for query, where in (({"format": "xlsx"}, "format"), ({"from": "2026-02-30"}, "from"), ({"cursor": "x"}, "cursor")):
        answer = ask(client, "usage/export", **query)
        assert (told(answer), places(answer)) == ((400, "invalid"), [where])
    assert told(ask(client.with_key("charge"), "usage/export")) == (403, "scope_missing")


def test_a_database_that_fails_at_once_is_a_problem(client: Client, user: str, monkeypatch: pytest.MonkeyPatch):
    async def fail(*_: Any, **__: Any) -> None:
        raise Unavailable("the disk is on fire")

    monkeypatch.setattr(UsageHistory, "page", fail)
    assert told(ask(client, "usage/export")) == (503, "unavailable")


def test_a_database_that_fails_later_breaks_the_answer_off(
    priced: Server, client: Client, user: str, monkeypatch: pytest.MonkeyPatch
):
    for _ in range(4):
        use(client, user)
    monkeypatch.setattr(exports, "PAGE", 2)
    real, calls = UsageHistory.page, []

    async def fail_later(self: UsageHistory, *args: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise Unavailable("the disk is on fire")
        return await real(self, *args, **more)

    monkeypatch.setattr(UsageHistory, "page", fail_later)
    connection = http.client.HTTPConnection("127.0.0.1", priced.port, timeout=60)
    connection.request("GET", f"/v1/usage/export?{urlencode({'account': user})}", headers={"X-API-Key": client.api_key})
    response = connection.getresponse()
    assert response.status == 200
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    connection.close()
