"""Requests of a web application, by FastAPI, uvicorn and the vendors' own library: whose they are, who is let in, that
no answer waits for its settlement, and that whoever leaves pays for what he was given.
"""

import asyncio
import gc
import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
import pytest
from starlette.requests import ClientDisconnect

import farthing
from farthing.fakes.models import HEADER, Remote
from farthing.llm import MeteredApp, Refusal, Tab, metered, metering, settling
from tests.api.serving import wait_for
from tests.client.outages import hurry
from tests.llm.ledgers import evidence, open_ledger, worth
from tests.llm.vendors import booked
from tests.llm.web import WAYS, application, served

pytestmark = pytest.mark.xdist_group("models")
PATIENCE = 60
_numbers = count()


class Site:
    """An application that is served, the ledger of it, and who asks it."""

    def __init__(self, url: str, ledger: Any, models: Remote, ledger_url: str, app: Any) -> None:
        self.url, self.ledger, self.models, self.ledger_url, self.app = url, ledger, models, ledger_url, app
        self.http = httpx2.Client(base_url=url, timeout=PATIENCE)

    def account(self, credits: str = "100000") -> str:
        """One that no other test has."""
        account = f"web-{next(_numbers)}"
        self.ledger.grant(account, credits)
        return account

    def ask(self, way: str, user: str | None, habits: dict[str, Any] | None = None, **headers: str) -> httpx2.Response:
        """Ask it for an answer of a model."""
        return self.http.post(f"/chat/{way}", headers=_headers(user, habits) | headers)

    def charges(self, account: str, number: int = 1) -> list[Any]:
        """What was charged, when there are so many."""
        wait_for(lambda: len(list(self.ledger.charges.list(account))) >= number)
        return list(self.ledger.charges.list(account))

    def calls(self) -> int:
        """How many calls were made to the models."""
        return int(self.models.get("state")["calls"])


def _headers(user: str | None, habits: dict[str, Any] | None = None) -> dict[str, str]:
    return {HEADER: json.dumps(habits or {})} | ({} if user is None else {"x-user": user})


@contextmanager
def open_site(folder: Path, models: Remote, **options: Any) -> Iterator[Site]:
    """A site with a ledger that counts an input token as 1 and an output token as 10."""
    ledger_url = f"sqlite:///{folder}/credits.db"
    app = application(models.url, ledger_url, **options)
    with open_ledger(folder) as ledger, served(app) as url:
        site = Site(url, ledger, models, ledger_url, app)
        site.http.get("/free")  # it is there
        yield site
        site.http.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, models: Remote) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site"), models, more=lambda scope, refusal: {"buy": ["/buy"]}) as opened:
        yield opened


# Whose it is


@pytest.mark.parametrize("way", WAYS)
def test_metered_calls_of_a_request_are_its_accounts(site: Site, way: str):
    account = site.account()
    assert site.ask(way, account).status_code == 200
    (charge,) = site.charges(account)
    if way == "block":
        assert charge.amount == 25
    else:
        assert charge.amount == worth(booked(site.models, evidence(charge)["answer"]))
    wait_for(lambda: site.ledger.balance(account).held == 0)


def test_who_names_an_account_nearer_to_the_call_has_that_one_charged(site: Site):
    account, before = site.account(), len(list(site.ledger.charges.list(site.account())))
    site.ledger.grant("somebody", 100_000)
    assert site.ask("named", account).status_code == 200
    assert len(site.charges("somebody", 2)) == 2
    assert (before, list(site.ledger.charges.list(account))) == (0, [])
    # A guest's request as well.
    assert site.ask("named", None).status_code == 200
    assert len(site.charges("somebody", 4)) == 4


def test_requests_at_once_are_each_charged_to_their_own(site: Site):
    accounts = [site.account() for _ in range(6)]
    threads = [threading.Thread(target=site.ask, args=(WAYS[n % 2], each)) for n, each in enumerate(accounts * 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    for account in accounts:
        for charge in site.charges(account, 2):
            assert charge.amount == worth(booked(site.models, evidence(charge)["answer"]))


# The floor


def test_who_has_less_than_the_floor_gets_the_402_of_the_contract(site: Site):
    account, before = site.account("0.009"), site.calls()
    answer = site.ask("async", account)
    assert (answer.status_code, answer.headers["content-type"]) == (402, "application/json")
    assert answer.json() == {
        "code": "INSUFFICIENT_BALANCE",
        "error": "Insufficient balance",
        "message": "Please add credits to continue",
        "balance": 0.009,
        "buy": ["/buy"],
    }
    assert site.ask("async", "nobody-knows").json()["balance"] == 0
    assert site.calls() == before


def test_who_has_just_the_floor_is_let_in(site: Site):
    account = site.account("0.01")
    # In, and refused by what the call would cost: with the same words, though the answer had begun for its framework.
    before = site.calls()
    for way in ("async", "sync", "endpoint", "middleware"):
        refused = site.ask(way, account)
        assert (refused.status_code, refused.json()["balance"]) == (402, 0.01), way
    assert site.calls() == before
    assert site.ask("block", account).status_code == 402


def test_what_is_for_other_services_is_not_there_for_this_one(tmp_path: Path, models: Remote):
    with open_site(tmp_path, models, service="chat") as site:
        site.ledger.grant("ann", 10_000, scope=["service:chat"])
        site.ledger.grant("bob", 10_000, scope=["service:images"])
        assert site.ask("endpoint", "ann").status_code == 200
        assert site.ask("endpoint", "bob").json()["balance"] == 0
        assert site.charges("ann")[0].usage.service == "chat"


def test_frozen_accounts_and_spent_limits_are_told_apart(site: Site):
    frozen, limited = site.account(), site.account()
    site.ledger.accounts.change_settings(frozen, frozen=True)
    site.ledger.accounts.change_settings(limited, spend_limit_day=1)
    for account, code in ((frozen, "ACCOUNT_FROZEN"), (limited, "SPEND_LIMIT_REACHED")):
        answer = site.ask("async", account)
        assert (answer.status_code, answer.json()["code"]) == (403, code)
        assert "balance" not in answer.json()


def test_only_what_costs_is_looked_at(site: Site):
    assert site.http.get("/free", headers=_headers("nobody-knows")).text == '"free"'
    assert site.http.options("/chat/async", headers=_headers("nobody-knows")).status_code == 405
    assert site.http.get("/chat", headers=_headers("nobody-knows")).status_code == 402
    assert site.http.get("/chatter", headers=_headers("nobody-knows")).status_code == 404


def test_what_can_not_be_told_beside_a_refusal_hides_it_from_nobody(site: Site):
    def more(scope: Any, refusal: Refusal) -> dict[str, Any]:
        raise OSError("the shop is closed")

    answer = drive(MeteredApp(unasked, ledger=site.ledger, account=lambda scope: "nobody-knows", more=more))
    assert (answer[0]["status"], json.loads(answer[1]["body"])["code"]) == (402, "INSUFFICIENT_BALANCE")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"floor": 0.01}, "not exact"),
        ({"guests": "some"}, "'free' or 'refuse'"),
        ({"costs": "chat"}, "begin with a slash"),
        ({"policy": {"hold": "some"}}, "metering"),
    ],
)
def test_what_can_not_be_meant_is_refused_at_once(given: dict[str, Any], message: str):
    options: dict[str, Any] = {"ledger": lambda scope: None, "account": lambda scope: None} | given
    with pytest.raises((ValueError, TypeError), match=message):
        MeteredApp(unasked, **options)


# Guests


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("user", [None, "anonymous"])
def test_guests_are_served_and_never_charged(site: Site, way: str, user: str | None):
    before = site.calls()
    answer = site.ask(way, user)
    assert (answer.status_code, "farthing-balance" in answer.headers) == (200, False)
    if way != "block":
        wait_for(lambda: site.calls() == before + 1)
    with pytest.raises(farthing.AccountNotFound):
        site.ledger.balance("anonymous")


def test_guests_may_be_asked_to_log_in(tmp_path: Path, models: Remote):
    before = models.get("state")["calls"]
    with open_site(tmp_path, models, guests_of_ledger=("walk-in",), guests="refuse") as site:
        for user in (None, "anonymous", "walk-in"):
            answer = site.ask("async", user)
            assert (answer.status_code, answer.json()["code"]) == (401, "LOGIN_REQUIRED")
    assert models.get("state")["calls"] == before


# Leaving


def leave(site: Site, way: str, account: str, habits: dict[str, Any], most: int) -> None:
    """Ask, read so many pieces, and go."""
    asking = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=PATIENCE)
    asking.request("POST", f"/chat/{way}", headers=_headers(account, habits))
    wait_for(lambda: site.models.get("state")["held"])
    if most:
        answer = asking.getresponse()
        for _ in range(most):
            answer.readline()
        answer.close()
    asking.close()


@pytest.mark.parametrize("way", ["async", "middleware"])
def test_who_leaves_in_the_middle_pays_for_what_he_was_given(site: Site, way: str):
    account = site.account()
    leave(site, way, account, {"hold_after": 3}, 4)
    (charge,) = site.charges(account)
    call = booked(site.models, evidence(charge)["answer"])
    assert (call["ended"], evidence(charge)["ended"], evidence(charge)["charged_by"]) == ("left", "left", "delivered")
    assert charge.amount == worth(call) == 5 + 30
    wait_for(lambda: site.ledger.balance(account).held == 0)


def test_who_leaves_a_thread_pays_for_what_he_was_given(site: Site):
    account = site.account()
    leave(site, "sync", account, {"hold_after": 3}, 4)
    site.models.post("release")  # a thread can't be told to stop waiting
    # What has waited in it is held by the very error that ended it, until that is found.
    wait_for(lambda: gc.collect(1) >= 0 and list(site.ledger.charges.list(account)))
    (charge,) = site.charges(account)
    assert evidence(charge)["ended"] == "left"
    assert 5 + 30 <= charge.amount <= worth(booked(site.models, evidence(charge)["answer"]))


def test_who_leaves_before_the_first_token_pays_nothing(site: Site):
    account = site.account()
    leave(site, "async", account, {"hold_after": 0}, 0)
    wait_for(lambda: [entry.kind for entry in site.ledger.entries(account)] == ["release", "hold", "grant", "open"])
    assert site.ledger.balance(account).available == 100_000


def test_who_leaves_after_the_last_token_pays_for_all_of_it(site: Site):
    account = site.account()
    leave(site, "async", account, {"hold_after": 5, "answer_tokens": 5}, 6)
    (charge,) = site.charges(account)
    assert (charge.amount, evidence(charge)["charged_by"]) == (5 + 50, "delivered")


def test_a_stream_that_is_dropped_is_settled_before_garbage_is_collected(site: Site):
    account, question = site.account(), [{"role": "user", "content": "Hi!!"}]
    gc.disable()
    try:
        with metering(account=account):
            stream = site.app.state.blocking.chat.completions.create(model="m", messages=question, stream=True)
        next(stream)
        next(stream)
        del stream
        (charge,) = site.charges(account)
    finally:
        gc.enable()
    assert (evidence(charge)["ended"], charge.amount) == ("left", 5 + 10)


def test_a_server_that_tells_of_leaving_by_an_error_is_as_good(site: Site):
    account = site.account()

    async def left() -> list[Any]:
        scope = scope_of("/chat/async", account, spec="2.4")
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)
            if len(sent) == 5:
                raise OSError("the reader has left")

        app = application(site.models.url, site.ledger_url)
        async with app.router.lifespan_context(app):
            with pytest.raises(ClientDisconnect):
                await app(scope, nothing_more, send)
            await asyncio.to_thread(site.charges, account)
        return sent

    assert len(asyncio.run(left())) == 5
    (charge,) = site.charges(account)
    assert (evidence(charge)["ended"], charge.amount) == ("left", 5 + 30)


# Settling


@pytest.mark.parametrize("way", ["async", "sync", "endpoint", "block"])
def test_no_answer_waits_for_its_settlement(site: Site, way: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(settling, "WAIT_SECONDS", 10 * PATIENCE)
    go = threading.Event()
    for ledger in (site.app.state.ledger, site.app.state.beside):
        held_up(ledger._door._transport, go, monkeypatch)
    account = site.account()
    assert site.ask(way, account).status_code == 200
    assert list(site.ledger.charges.list(account)) == []
    go.set()
    assert len(site.charges(account)) == 1


def held_up(transport: Any, go: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have whatever settles wait until it may go."""
    send = transport.send

    async def later(call: Any) -> Any:
        if call.template.endswith("settle"):
            await asyncio.to_thread(go.wait, PATIENCE)
        return await send(call)

    def later_in_a_thread(call: Any) -> Any:
        assert not call.template.endswith("settle") or go.wait(PATIENCE)
        return send(call)

    monkeypatch.setattr(transport, "send", later if asyncio.iscoroutinefunction(send) else later_in_a_thread)


# Notices


def test_an_answer_tells_how_near_its_end_the_balance_is(site: Site):
    account = site.account()
    for low, critical, level in ((1, 0, "fine"), (100_001, 0, "low"), (100_001, 100_001, "critical")):
        site.ledger.accounts.change_settings(account, balance_low=low, balance_critical=critical)
        answer = site.ask("block", account)
        told = answer.headers["farthing-balance"], answer.headers["farthing-balance-level"]
        assert told == ("100000", level)
        wait_for(lambda: site.ledger.balance(account).balance == 99_975)
        site.ledger.grant(account, 25)


@pytest.mark.parametrize("way", ["async", "sync"])
def test_what_a_request_has_cost_may_be_told_at_its_end(site: Site, way: str):
    account = site.account()
    site.ledger.accounts.change_settings(account, balance_low=100_000)
    answer = site.ask(way, account, {"answer_tokens": 4}, **{"x-bill": "yes"})
    assert answer.headers["farthing-balance-level"] == "fine"
    assert json.loads(answer.text.splitlines()[-1]) == ["45", "99955", "low"]
    # Of a guest there is nothing to tell.
    answer = site.ask(way, None, {"answer_tokens": 4}, **{"x-bill": "yes"})
    assert json.loads(answer.text.splitlines()[-1]) == ["0", "None", ""]


# A ledger that can't be asked


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a server that is not there."""
    hurry(monkeypatch)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_ledger_that_is_away_is_no_empty_balance(nowhere: str, kind: str):
    told = drive_on(nowhere, kind, "raise")
    assert (told[0]["status"], json.loads(told[1]["body"])["code"]) == (503, "LEDGER_UNAVAILABLE")
    assert (b"retry-after", b"5") in told[0]["headers"]
    assert "balance" not in json.loads(told[1]["body"])


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_ledger_that_is_away_lets_in_where_its_client_lets_through(nowhere: str, kind: str, tmp_path: Path):
    told = drive_on(nowhere, kind, "queue", journal=tmp_path)
    # Charged later, by the journal: until then nobody knows.
    assert (told[0]["status"], json.loads(told[1]["body"])) == (200, ["0", None, ""])
    assert len(list(tmp_path.glob("*.journal"))) == 1


@pytest.mark.parametrize(("policy", "status"), [("raise", 503), ("allow", 200)])
def test_a_ledger_that_does_not_answer_holds_nobody_up(policy: Any, status: int, monkeypatch: pytest.MonkeyPatch):
    hurry(monkeypatch)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        told = drive_on(url, "async", policy, app=unasked, timeout=0.05)
    assert told[0]["status"] == status


def drive_on(url: str, kind: str, policy: Any, app: Any = None, timeout: float = 30, **more: Any) -> list[Any]:
    """What an application answers that charges by a client of that ledger."""
    given: dict[str, Any] = {"api_key": "k", "on_unavailable": policy, **more}

    async def driven() -> list[Any]:
        async with farthing.aconnect(url, **given) as ledger:
            inner = app or charging(ledger)
            return await sent_by(MeteredApp(inner, ledger=ledger, account=lambda scope: "ann", timeout=timeout))

    if kind == "async":
        return asyncio.run(driven())
    with farthing.connect(url, **given) as ledger:
        inner = app or charging(ledger)
        return drive(MeteredApp(inner, ledger=ledger, account=lambda scope: "ann", timeout=timeout))


def charging(ledger: Any) -> Any:
    """An application that charges, and tells what is known then."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        block: Any = metered(ledger, model="m", policy={"hold": "nothing"})
        if isinstance(ledger, farthing.AsyncClient):
            async with block as call:
                call.used(input_tokens=1)
        else:
            with block as call:
                call.used(input_tokens=1)
        tab = scope["farthing"]
        assert await tab.asettled(PATIENCE)
        told = [str(tab.charged), tab.balance, tab.level]
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})

    return app


# The page


def test_the_application_of_the_page_is_all_that_it_takes(
    tmp_path: Path, models: Remote, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{models.url}/v1")
    page = Path(__file__).parents[2] / "docs" / "how-to" / "chat-app.md"
    block = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)[0]
    found: dict[str, Any] = {"__name__": "page"}
    exec(compile(block, str(page), "exec"), found)
    with (
        open_ledger(tmp_path) as ledger,
        served(found["app"]) as url,
        httpx2.Client(base_url=url, timeout=60) as asking,
    ):
        given: dict[str, Any] = {"content": "Hello", "headers": {"x-user": "ann"}}
        assert asking.post("/chat", **given).status_code == 402
        ledger.grant("ann", 100_000)
        assert asking.post("/chat", **given).text
        wait_for(lambda: list(ledger.charges.list("ann")))


# Without a framework


def scope_of(path: str, user: str = "", *, type: str = "http", spec: str = "2.3", **more: Any) -> dict[str, Any]:
    """A request, as a server tells of it."""
    headers = [(b"host", b"here"), (b"x-user", user.encode()), (HEADER.encode(), b'{"hold_after": null}')]
    return {
        "type": type, "asgi": {"version": "3.0", "spec_version": spec}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("here", 80), **more,
    }  # fmt: skip


async def nothing_more() -> Any:
    """What a request brings along."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def unasked(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers without a model."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def sent_by(app: Any, **scope: Any) -> list[Any]:
    """All that an application sends."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope_of("/chat", **scope), nothing_more, send)
    return sent


def drive(app: Any, **scope: Any) -> list[Any]:
    """The same on a loop of its own."""
    return asyncio.run(sent_by(app, **scope))


def test_websockets_are_let_in_or_refused_as_requests_are(site: Site):
    rich, poor = site.account(), site.account("0.001")
    denial: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}
    opened: dict[str, Any] = {"ledger": site.ledger, "notices": False}
    app = MeteredApp(unasked, account=lambda scope: rich, **opened)
    assert drive(app, type="websocket") == [{"type": "websocket.accept"}]
    app = MeteredApp(unasked, account=lambda scope: poor, **opened)
    (closed,) = drive(app, type="websocket")
    assert closed == {"type": "websocket.close", "code": 1008, "reason": "Insufficient balance"}
    start, body = drive(app, type="websocket", **denial)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 402)
    assert json.loads(body["body"])["balance"] == 0.001


def test_an_application_that_is_mounted_goes_by_its_own_paths(site: Site):
    poor = site.account("0.001")
    app = MeteredApp(unasked, ledger=site.ledger, account=lambda scope: poor, costs=["/chat"])

    async def status(path: str, root: str) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope_of(path, root_path=root), nothing_more, send)
        found: int = sent[0]["status"]
        return found

    asked = [("/chat", ""), ("/v1/chat/more", "/v1"), ("/v1/other", "/v1"), ("/v1chat", "/v1")]
    assert [asyncio.run(status(*each)) for each in asked] == [402, 402, 200, 200]


def test_a_ledger_that_goes_away_within_a_request_is_told_as_well(site: Site):
    rich = site.account()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise farthing.Unavailable("it has gone", code="unreachable", retry_after=2.4)

    start, body = drive(MeteredApp(app, ledger=site.ledger, account=lambda scope: rich))
    assert (start["status"], json.loads(body["body"])["code"]) == (503, "LEDGER_UNAVAILABLE")
    assert (b"retry-after", b"2") in start["headers"]


def test_a_tab_waits_no_longer_than_it_should():
    class Call:
        settled = None

    tab, call = Tab("ann"), cast(Any, Call())
    assert tab.settled(0)
    tab.ending(call)
    assert not tab.settled(0)
    assert not asyncio.run(tab.asettled(0))
    tab.ended(call)
    assert asyncio.run(tab.asettled(0))
    assert tab.charged == 0
    assert tab.balance is None
    assert tab.level == ""


def test_an_error_of_the_application_stays_one(site: Site):
    rich = site.account()

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise farthing.KeyConflict("the application's own")

    with pytest.raises(farthing.KeyConflict):
        drive(MeteredApp(broken, ledger=site.ledger, account=lambda scope: rich))

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await unasked(scope, receive, send)
        raise farthing.InsufficientCredits("too late to be told")

    with pytest.raises(farthing.InsufficientCredits):
        drive(MeteredApp(late, ledger=site.ledger, account=lambda scope: rich))
