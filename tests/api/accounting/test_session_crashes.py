"""Streaming sessions while their server is killed: whatever was on its way is done once when it is sent again."""

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
import pytest

from farthing.app import Ledger, open_ledger
from farthing.core.commands import GiveGrant
from farthing.core.people import Issuer
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.stores.issuers import Issuers
from farthing.stores.prices import PriceStore
from tests.api.accounting.people import SECRETS
from tests.api.accounting.workspaces import CARD
from tests.api.serving import ME
from tests.hammer import Server, run_farthing
from tests.support import START_US, UNIT

SESSIONS = 120
ENDS = ("finalize", "abort", "none")


@pytest.fixture(scope="module", autouse=True)
def trusted() -> None:
    """The servers of this file are processes of their own."""


def prepare(url: str) -> None:
    """A workspace that takes tokens, with a card and a user who has 1,000 credits."""
    with open_ledger(url, create=url.startswith("sqlite")) as ledger:
        row = Workspace("main", "Main", "live", "credits", 6, START_US, WorkspaceSettings())
        ledger.wait(ledger.access.create_workspace(row, ME))
        issuer = Issuer(id="iss_1", workspace="main", name="auth", algorithm="HS256", secret=SECRETS["main"])
        ledger.wait(Issuers(ledger.database).add(issuer, ME))
        store = PriceStore(ledger.database)
        ledger.wait(store.add_version("main", "default", json.dumps(CARD), START_US, ME, reason="for a test"))
        ledger.do(GiveGrant(workspace="main", account="u", amount=1_000 * UNIT))


def ask(server: Server, call: str, body: dict[str, Any]) -> tuple[int, Any]:
    now = int(time.time())
    claims = {"sub": "u", "username": "u", "email": "u@example.com", "role": "user", "type": "access"}
    token = jwt.encode({**claims, "iat": now, "exp": now + 600}, SECRETS["main"], algorithm="HS256")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", f"/api/streaming-sessions/{call}", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def stream(server: Server, number: int) -> list[tuple[int, Any]]:
    """A session from its beginning to its end; what was answered."""
    name, kind = f"s{number}", ENDS[number % 3]
    told = [ask(server, "initialize", {"sessionId": name, "modelId": "gpt-4", "estimatedTokens": 1000})]
    if kind != "none":
        body = {"sessionId": name, "actualTokens": 400, "tokensGenerated": 400}
        told.append(ask(server, kind, body))
    return told


def try_to_stream(server: Server, number: int) -> list[tuple[int, Any]]:
    with suppress(OSError, http.client.HTTPException):
        return stream(server, number)
    return []


def rows(ledger: Ledger, sql: str) -> list[tuple[Any, ...]]:
    return ledger.wait(ledger.database.rows(sql))


def test_a_server_that_is_killed_loses_no_session_and_settles_none_twice(tmp_path: Path, fresh_url: str) -> None:
    url = fresh_url or f"sqlite:///{tmp_path}/killed.db"
    prepare(url)
    server = Server(url)
    try:
        with ThreadPoolExecutor(8) as pool:
            going = [pool.submit(try_to_stream, server, number) for number in range(SESSIONS)]
            while sum(each.done() for each in going) < SESSIONS // 3:
                time.sleep(0.002)
            server.kill()
            before = [each.result() for each in going]
        assert any(told for told in before)
        assert not all(told for told in before)
        server.start()
        with ThreadPoolExecutor(8) as pool:
            after = list(pool.map(lambda number: stream(server, number), range(SESSIONS)))
        for told, again in zip(before, after, strict=True):
            assert told == again[: len(told)]
            assert [status for status, _ in again] == [201, 200][: len(again)]
        server.stop()
    finally:
        server.kill()
    ended = SESSIONS - SESSIONS // 3
    with open_ledger(url) as ledger:
        kinds = "select kind, count(*) from entry where kind in ('hold', 'settle') group by kind order by kind"
        assert rows(ledger, kinds) == [("hold", SESSIONS), ("settle", ended)]
        assert rows(ledger, "select count(*), sum(amount) from usage") == [(ended, ended * 2 * UNIT)]
        assert rows(ledger, "select count(*), count(ended_at) from stream_session") == [(SESSIONS, ended)]
        account = ledger.wait(ledger.reports.account("main", "u", ledger.clock.now_us()))
        assert account is not None
        assert account.balance == (1_000 - 2 * ended) * UNIT
        assert account.held == (SESSIONS - ended) * 6 * UNIT
    assert run_farthing("doctor", "--db", url)["ok"] is True
