"""Metered calls while the ledger is down, and when their process is killed: nothing is lost, and nothing given away."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from textwrap import dedent
from typing import Any

import anthropic
import httpx2
import openai
import pytest

import farthing
from farthing.fakes.models import HEADER, Remote
from farthing.llm import Tab, asettled, meter, metered, settled, settling
from farthing.llm.terms import Said, saying
from tests.api.serving import Server
from tests.client.driving import serve
from tests.client.outages import Shop, hurry
from tests.llm.ledgers import CARD, Desk, evidence, is_as_billed, open_ledger, read, worth
from tests.llm.streams import storm
from tests.llm.vendors import Vendors, asking, last

pytestmark = pytest.mark.xdist_group("models")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def shop(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    hurry(monkeypatch)
    monkeypatch.setattr(settling, "_FIRST_SECONDS", 0.02)
    monkeypatch.setattr(settling, "WAIT_SECONDS", 0.05)
    made = Shop(server, "sync", tmp_path)
    made.direct.rate_cards.put(CARD, reason="The first", effective_from=None)
    yield made
    made.close()


def until(true: Any) -> None:
    """Wait for something."""
    while not true():
        threading.Event().wait(0.02)


def stream_of(api: Any, habits: dict[str, Any]) -> Any:
    _, given = asking(api, None, "chat")
    return api.chat.completions.create(**given, stream=True, extra_headers={HEADER: json.dumps(habits)})


@pytest.mark.parametrize("client", ["queue", "raise", "allow"])
def test_a_ledger_that_is_down_at_the_end_gets_the_charge_when_it_is_back(
    shop: Shop, vendors: Vendors, models: Remote, client: str
):
    account = shop.funded(f"end-{client}", 10_000)
    ledger = shop.open() if client == "queue" else shop.open(on_unavailable=client, journal=None)
    stream = stream_of(meter(vendors.openai, ledger=ledger, account=account), {"hold_after": 3})
    read(stream, 4)
    shop.way.shut()
    models.post("release")
    assert read(stream) > 2  # the answer goes on, and ends, as if nothing were
    assert shop.charges(account) == []
    shop.way.open()
    until(lambda: shop.charges(account))
    (charge,) = shop.charges(account)
    assert (charge.amount, evidence(charge)["charged_by"]) == (worth(last(models)), "provider")
    assert settled(ledger)
    assert shop.direct.balance(account).held == 0


@pytest.mark.parametrize("client", ["queue", "allow"])
def test_a_ledger_that_is_down_at_the_beginning_is_told_later_where_its_client_lets_through(
    shop: Shop, vendors: Vendors, models: Remote, client: str
):
    account = shop.funded(f"beginning-{client}", 10_000)
    ledger = shop.open() if client == "queue" else shop.open(on_unavailable=client, journal=None)
    shop.way.shut()
    read(stream_of(meter(vendors.openai, ledger=ledger, account=account), {}))
    shop.way.open()
    until(lambda: shop.charges(account))
    (charge,) = shop.charges(account)
    assert (charge.amount, charge.hold) == (worth(last(models)), None)
    assert "no_hold" in evidence(charge)


def test_a_ledger_that_is_down_at_the_beginning_refuses_where_its_client_raises(
    shop: Shop, vendors: Vendors, models: Remote
):
    ledger = shop.open(on_unavailable="raise", journal=None)
    api, before = meter(vendors.openai, ledger=ledger, account="nobody"), models.get("state")["calls"]
    shop.way.shut()
    with pytest.raises(farthing.Unavailable):
        stream_of(api, {})
    assert models.get("state")["calls"] == before


def test_what_is_refused_for_good_lies_on_the_shelf_of_the_journal(shop: Shop, vendors: Vendors):
    account = shop.funded("shelved", 10_000)
    ledger = shop.open()
    stream = stream_of(meter(vendors.openai, ledger=ledger, account=account, policy={"hold": "nothing"}), {})
    shop.direct.accounts.change_settings(account, frozen=True)
    read(stream)
    assert settled(ledger)
    (parked,) = ledger.journal.parked()
    assert (parked.code, shop.charges(account)) == ("frozen", [])
    shop.direct.accounts.change_settings(account, frozen=False)
    assert ledger.journal.retry(parked) is None
    assert len(shop.charges(account)) == 1


class Stuck:
    """A ledger that can't settle the calls of one account, whose tries after the first are never answered."""

    def __init__(self, ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tries = 0
        self.over = threading.Event()
        self._ledger, self._ask = ledger, ledger._door.ask
        ledger.grant("stuck", 1_000)
        ledger.grant("alice", 1_000)
        monkeypatch.setattr(ledger._door, "ask", self.ask)

    def ask(self, call: Any) -> Any:
        if call.template == "/v1/charges" and b'"stuck"' in call.body and not self.over.is_set():
            self.tries += 1
            if self.tries > 5:
                assert self.over.wait(60)
            raise farthing.Unavailable("The ledger can't be reached.", code="unavailable")
        return self._ask(call)

    def use(self, account: str) -> None:
        """A call that nobody waits for."""
        with saying(Said(tab=Tab(account))), metered(self._ledger, account, model="m", policy={"hold": "nothing"}) as m:
            m.used(input_tokens=1, output_tokens=1)


def test_calls_that_can_not_be_settled_do_not_hold_up_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(settling, "_FIRST_SECONDS", 0.02)
    with open_ledger(tmp_path) as ledger:
        stuck = Stuck(ledger, monkeypatch)
        for _ in range(5):
            stuck.use("stuck")
        until(lambda: stuck.tries > 5)
        stuck.use("alice")
        until(lambda: list(ledger.charges.list("alice")))
        assert list(ledger.charges.list("stuck")) == []
        stuck.over.set()
        assert settled(ledger)
        assert [each.amount for each in ledger.charges.list("stuck")] == [11] * 5


def test_what_is_to_be_tried_again_is_given_up_when_the_ledger_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(settling, "_FIRST_SECONDS", 600.0)
    ledger = open_ledger(tmp_path)
    stuck = Stuck(ledger, monkeypatch)
    for _ in range(5):
        stuck.use("stuck")
    until(lambda: stuck.tries == 5)
    monkeypatch.setattr(stuck, "tries", -100)
    ledger.close()
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len([text for text in told if "could not be charged" in text]) == 5


async def _down(shop: Shop, models: Remote, account: str) -> None:
    http = httpx2.AsyncClient(verify=False)
    async with farthing.aconnect(shop.way.url, api_key=shop.key, timeout=5) as ledger, http:
        api = anthropic.AsyncAnthropic(base_url=models.url, api_key="k", max_retries=0, http_client=http)
        _, given = asking(None, api, "messages")
        refusing, going = (
            meter(api, ledger=ledger, account=account, policy={"unavailable": how}) for how in ("refuse", "go_on")
        )
        stream = await refusing.messages.create(**given, stream=True, extra_headers={HEADER: '{"hold_after": 3}'})
        for _ in range(4):
            await anext(stream)
        shop.way.shut()
        models.post("release")
        assert [event.type async for event in stream][-1] == "message_stop"  # it ends as if nothing were
        before = models.get("state")["calls"]
        with pytest.raises(farthing.Unavailable):
            await refusing.messages.create(**given)
        assert models.get("state")["calls"] == before
        assert (await going.messages.create(**given)).usage.output_tokens > 0
        assert shop.charges(account) == []
        shop.way.open()
        assert await asettled(ledger, 60)


def test_on_an_event_loop_nothing_is_lost_either_while_the_ledger_is_down(shop: Shop, models: Remote):
    account, before = shop.funded("on a loop", 20_000), models.get("state")["calls"]
    asyncio.run(_down(shop, models, account))
    calls = models.get("books", after=str(before))["calls"]
    charges = {evidence(each)["answer"]: each for each in shop.charges(account)}
    assert {id: each.amount for id, each in charges.items()} == {call["id"]: worth(call) for call in calls}
    assert ["no_hold" in evidence(charges[call["id"]]) for call in calls] == [False, True]
    assert shop.direct.balance(account).held == 0


KILLED = """
    import os, signal
    import anthropic, farthing, openai
    from farthing.llm import meter, settled

    ledger = farthing.connect({url!r})
    given = dict(api_key="k", max_retries=0)
    clients = [openai.OpenAI(base_url={base!r} + "/v1", **given), anthropic.Anthropic(base_url={base!r}, **given)]
    asked = dict(
        model="m", messages=[{{"role": "user", "content": "Hi!!"}}], stream=True, max_tokens=100,
        extra_headers={{"x-fake": '{{"hold_after": 5}}'}},
    )
    for client in clients:
        for ends in ("metered", "release", "all"):
            policy = {{"report_tokens": 1, "on_expiry": ends}}
            api = meter(client, ledger=ledger, account=f"{{ends}}-{{type(client).__name__}}", policy=policy)
            stream = (api.chat.completions if client is clients[0] else api.messages).create(**asked)
            for _ in range(7 if client is clients[1] else 5):
                next(stream)
                assert settled(ledger)
            globals()[ends + type(client).__name__] = stream
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_has_delivered_costs_what_the_policy_of_its_hold_says(tmp_path: Path, models: Remote):
    url, accounts = f"sqlite:///{tmp_path}/credits.db", ("OpenAI", "Anthropic")
    with open_ledger(tmp_path) as ledger:
        for ends, account in product(("metered", "release", "all"), accounts):
            ledger.grant(f"{ends}-{account}", 10_000)
    code = dedent(KILLED).format(url=url, base=models.url)
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    with farthing.connect(url, clock=farthing.VirtualClock(datetime.now(UTC) + timedelta(hours=1))) as later:
        later.jobs.run_due()
        for account in accounts:
            assert list(later.charges.list(f"release-{account}")) == []
            for ends in ("metered", "all"):
                (charge,) = later.charges.list(f"{ends}-{account}")
                hold = later.holds.get(charge.hold or "")
                facts = (later.charges.get(charge.id).hold_metadata or {})["metering"]
                assert (facts["model_asked"], facts["on_expiry"], facts["estimated_input_tokens"]) == ("m", ends, 5)
                # Of the last token nobody may have heard.
                assert facts["delivered_tokens"] in (3, 4, 5)
                assert charge.amount == (hold.amount if ends == "all" else hold.metered)
                assert hold.metered == 5 + 10 * facts["delivered_tokens"]
            assert [later.balance(f"{ends}-{account}").held for ends in ("metered", "release", "all")] == [0] * 3


def test_streams_at_once_of_which_a_third_are_cut_are_charged_as_they_are_billed(tmp_path: Path, models: Remote):
    try:
        ended = asyncio.run(storm(tmp_path, models, 30, 5, lambda text: None))
    finally:
        models.post("habits")
    assert ended.keys() == {"finished", "cut"}


def test_a_fork_settles_its_own_calls(server: Server):
    with farthing.connect(f"http://127.0.0.1:{server.port}", api_key=server.new_key("admin")) as ledger:
        ledger.rate_cards.put(CARD, reason="The first", effective_from=None)
        ledger.grant("forked", 10_000)

        def ask(read: int) -> bool:
            with metered(ledger, "forked", model="m") as call:
                call.used(input_tokens=read, output_tokens=0)
            return settled(ledger)

        assert ask(1)
        child = os.fork()
        if not child:
            well = False
            try:
                well = ask(2)
            finally:
                os._exit(not well)
        assert os.waitpid(child, 0)[1] == 0
        assert ask(4)
        assert sorted(each.amount for each in ledger.charges.list("forked")) == [1, 2, 4]


def test_where_no_thread_can_be_had_a_stream_goes_on_and_is_charged(
    tmp_path: Path, vendors: Vendors, models: Remote, monkeypatch: pytest.MonkeyPatch
):
    with open_ledger(tmp_path) as ledger:
        desk = Desk(ledger, vendors, models, policy={"report_tokens": 1})
        stream = desk.ask("chat", stream=True)
        assert settled(ledger)

        def full(thread: Any) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", full)
            assert read(stream) > 20
        assert is_as_billed(desk)
        assert list(ledger.entries(desk.account, kinds="extend"))


def slow(monkeypatch: pytest.MonkeyPatch, kind: Any, meanwhile: Any) -> None:
    """Calls are settled once somebody was refused."""
    refused = meanwhile.Event()
    real_opening, real_settle = settling._opening, kind._settle

    def opening(call: Any, door: Any) -> Any:
        try:
            return (yield from real_opening(call, door))
        except farthing.InsufficientCredits:
            refused.set()
            raise

    def settle(self: Any, call: Any) -> None:
        assert refused.wait(60)
        real_settle(self, call)

    async def asettle(self: Any, call: Any) -> None:
        await refused.wait()
        await real_settle(self, call)

    monkeypatch.setattr(settling, "_opening", opening)
    monkeypatch.setattr(kind, "_settle", settle if meanwhile is threading else asettle)


USES_ALL: Any = {"model": "m", "prompt": "Hi", "most_output": 90, "policy": {"factor": "1"}}


def test_a_call_waits_for_the_one_before_it_rather_than_be_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with open_ledger(tmp_path) as ledger:
        ledger.grant("alice", 1_000)
        slow(monkeypatch, settling.Settler, threading)
        with saying(Said(tab=Tab("alice"))):
            for _ in range(2):
                with metered(ledger, "alice", **USES_ALL) as call:
                    call.used(input_tokens=1, output_tokens=1)
        assert settled(ledger)
        assert [each.amount for each in ledger.charges.list("alice")] == [11, 11]
        with pytest.raises(farthing.InsufficientCredits), metered(ledger, "alice", **USES_ALL | {"most_output": 100}):
            pass


def test_on_an_event_loop_it_does_so_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    open_ledger(tmp_path).close()

    async def main() -> list[Any]:
        async with await farthing.aconnect(f"sqlite:///{tmp_path}/credits.db") as ledger:
            await ledger.grant("alice", 1_000)
            slow(monkeypatch, settling.AsyncSettler, asyncio)
            with saying(Said(tab=Tab("alice"))):
                for _ in range(2):
                    async with metered(ledger, "alice", **USES_ALL) as call:
                        call.used(input_tokens=1, output_tokens=1)
            assert await asettled(ledger)
            return [each.amount async for each in ledger.charges.list("alice")]

    assert asyncio.run(main()) == [11, 11]


def test_an_asynchronous_stream_that_is_dropped_is_settled_before_the_ledger_is_closed(tmp_path: Path, models: Remote):
    open_ledger(tmp_path).close()

    async def main() -> None:
        async with (
            await farthing.aconnect(f"sqlite:///{tmp_path}/credits.db") as ledger,
            httpx2.AsyncClient(verify=False) as http,
        ):
            await ledger.grant("alice", 100_000)
            own = openai.AsyncOpenAI(base_url=f"{models.url}/v1", api_key="k", max_retries=0, http_client=http)
            api = meter(own, ledger=ledger, account="alice")
            stream = await api.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Hi!!"}], stream=True
            )
            for _ in range(4):
                await anext(stream)
            del stream
            await ledger.aclose()

    asyncio.run(main())
    with farthing.connect(f"sqlite:///{tmp_path}/credits.db") as ledger:
        (charge,) = ledger.charges.list("alice")
        assert evidence(charge)["ended"] == "left"


def test_a_block_that_is_stopped_for_want_of_credits_is_a_stream_that_was_cut(tmp_path: Path):
    policy: Any = {"spent": "stop", "error": "nothing", "output_tokens": 1, "factor": "1"}
    with open_ledger(tmp_path) as ledger:
        ledger.grant("alice", 600)

        def ask() -> None:
            with metered(ledger, "alice", model="m", policy=policy) as call:
                while True:
                    call.delivered("some words more ")

        with pytest.raises(farthing.InsufficientCredits):
            ask()
        (charge,) = ledger.charges.list("alice")
        assert evidence(charge)["ended"] == "cut"
        assert charge.debt == 0
        assert 0 < charge.amount <= 600
