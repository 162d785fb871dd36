"""Holds are placed before anything is sent, though the request is made while the ledger's disk writes."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import apsw
import httpx2
import openai
import pytest

import farthing
from farthing.client.inside.ahead import Ahead
from farthing.fakes.models import HEADER, Remote
from farthing.llm import asettled, meter, settled, wrapping
from farthing.llm.sending import waits_to_send
from farthing.stores.contract import StorageFull
from farthing.stores.sqlite import SqliteStore
from tests.client.driving import Kind
from tests.llm.ledgers import evidence, open_ledger, worth
from tests.llm.vendors import Way, asking, last

pytestmark = pytest.mark.xdist_group("models")
ACCOUNT = "alice"


class Wire:
    """A vendor's client of one kind, metered; and what was on the books when a request left."""

    def __init__(
        self, kind: Kind, models: Remote, folder: Path, credits: int = 1_000_000, *, priced: bool = True, **said: Any
    ) -> None:  # fmt: skip
        self.kind, self.models = kind, models
        self.left: list[int] = []
        """The live holds on the disk, each time."""
        self._file = folder / "credits.db"
        with open_ledger(folder) if priced else farthing.connect(self.url) as ledger:
            ledger.grant(ACCOUNT, credits)
        self._runner = asyncio.Runner()
        self._said = said
        if kind == "sync":
            self._http: Any = httpx2.Client(verify=False, event_hooks={"request": [self._leaves]})
            self.ledger: Any = farthing.connect(self.url, max_retries=0)
        else:
            self._http = httpx2.AsyncClient(verify=False, event_hooks={"request": [self._leaves_here]})
            self.ledger = self._runner.run(_opened(self.url))

    @property
    def url(self) -> str:
        return f"sqlite:///{self._file}"

    def _leaves(self, request: Any) -> None:
        # By a connection of its own: what it sees is committed.
        with apsw.Connection(str(self._file), flags=apsw.SQLITE_OPEN_READONLY) as other:
            self.left.append(next(iter(other.execute("select count(*) from hold where state = 'live'")))[0])

    async def _leaves_here(self, request: Any) -> None:
        self._leaves(request)

    def vendor(self, way: Way, make: Any = None, **more: Any) -> Any:
        """A vendor's client, not metered."""
        given = {"api_key": "k", "max_retries": 0, "http_client": self._http, **more}
        threads = self.kind == "sync"
        if way == "messages":
            make = make or (anthropic.Anthropic if threads else anthropic.AsyncAnthropic)
            return make(base_url=self.models.url, **given)
        make = make or (openai.OpenAI if threads else openai.AsyncOpenAI)
        return make(base_url=f"{self.models.url}/v1", **given)

    def metered(self, api: Any) -> Any:
        """It, metered."""
        return meter(api, ledger=self.ledger, account=ACCOUNT, **self._said)

    def ask(self, way: Way, api: Any = None, habits: dict[str, Any] | None = None, **more: Any) -> Any:
        """A whole answer."""
        api = api or self.metered(self.vendor(way))
        call, given = asking(api, api, way, **more)
        found = call(**given, extra_headers={HEADER: json.dumps(habits or {})})
        return found if self.kind == "sync" else self._runner.run(_come(found))

    def run(self, work: Any) -> Any:
        """Something asynchronous, to its end."""
        return self._runner.run(work)

    def books(self) -> tuple[Any, list[Any]]:
        """What the account has, and its charges, once all is settled."""
        assert settled(self.ledger) if self.kind == "sync" else self._runner.run(asettled(self.ledger))
        with farthing.connect(self.url) as other:
            return other.balance(ACCOUNT), list(other.charges.list(ACCOUNT))

    def close(self) -> None:
        """End it all."""
        if self.kind == "sync":
            self.ledger.close()
            self._http.close()
        else:
            self._runner.run(self.ledger.aclose())
            self._runner.run(self._http.aclose())
        self._runner.close()


async def _opened(url: str) -> farthing.AsyncClient:
    return await farthing.aconnect(url, max_retries=0)


async def _come(found: Any) -> Any:
    return await found


@pytest.fixture(autouse=True)
def nobody_records_spans(monkeypatch: pytest.MonkeyPatch):
    """As it is in a process of its own: whoever sets a tracer's provider sets it for all that comes after."""
    monkeypatch.setattr(wrapping, "records", lambda: False)


@pytest.fixture(params=["sync", "async"])
def open_wire(request: pytest.FixtureRequest, models: Remote, tmp_path: Path) -> Iterator[Callable[..., Wire]]:
    made: list[Wire] = []

    def make(**options: Any) -> Wire:
        made.append(Wire(request.param, models, tmp_path, **options))
        return made[-1]

    yield make
    for wire in made:
        wire.close()


@pytest.fixture
def wire(open_wire: Callable[..., Wire]) -> Wire:
    return open_wire()


def slow_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the disk take longer than a request takes to be made."""
    real = SqliteStore.commit

    async def slow(self: SqliteStore) -> None:
        time.sleep(0.05)  # noqa: ASYNC251 - as a disk does
        await real(self)

    monkeypatch.setattr(SqliteStore, "commit", slow)


@pytest.mark.parametrize("way", ["chat", "messages"])
def test_what_leaves_has_its_hold_on_the_disk(wire: Wire, way: Way, monkeypatch: pytest.MonkeyPatch):
    slow_down(monkeypatch)
    for _ in range(3):
        wire.ask(way)
    assert wire.left == [1, 1, 1]
    balance, charges = wire.books()
    assert (balance.held, len(charges)) == (0, 3)
    assert charges[0].amount == worth(last(wire.models))


@pytest.mark.parametrize("way", ["chat", "messages"])
def test_what_can_not_be_paid_never_leaves(open_wire: Callable[..., Wire], way: Way):
    wire = open_wire(credits=1)
    before = wire.models.get("state")["calls"]
    with pytest.raises(farthing.InsufficientCredits) as caught:
        wire.ask(way, wire.metered(wire.vendor(way, max_retries=3)))
    assert caught.value.__context__ is None  # it is no error of the vendor's library
    assert (wire.left, wire.models.get("state")["calls"]) == ([], before)
    assert wire.books()[0].held == 0


@pytest.mark.parametrize("way", ["chat", "messages"])
@pytest.mark.parametrize("spent", ["go_on", "stop"])
def test_what_has_no_price_never_leaves(open_wire: Callable[..., Wire], way: Way, spent: str):
    wire = open_wire(priced=False, policy={"spent": spent})
    with pytest.raises(farthing.NotPriced):
        wire.ask(way)
    balance, charges = wire.books()
    assert (wire.left, balance.held, charges) == ([], 0, [])


def test_who_interrupts_while_a_request_waits_has_it_not_sent(
    models: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wire = Wire("sync", models, tmp_path)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    try:
        with monkeypatch.context() as meanwhile:
            slow_down(meanwhile)
            meanwhile.setattr(Ahead, "told", interrupted)
            with pytest.raises(KeyboardInterrupt):
                wire.ask("chat")
        balance, charges = wire.books()
        assert (wire.left, balance.held, charges) == ([], 0, [])
        wire.ask("chat")
        assert wire.left == [1]
    finally:
        wire.close()


@pytest.mark.parametrize("way", ["chat", "messages"])
def test_a_request_that_can_not_be_made_leaves_no_hold(wire: Wire, way: Way):
    with pytest.raises(TypeError):
        wire.ask(way, metadata={"what": object()})
    balance, charges = wire.books()
    assert (balance.held, charges, wire.left) == (0, [], [])


def test_each_try_of_the_vendors_library_goes_out_under_the_one_hold(wire: Wire):
    api = wire.metered(wire.vendor("chat", max_retries=1))
    with pytest.raises(openai.InternalServerError):
        wire.ask("chat", api, {"fail": "server_error"})
    assert wire.left == [1, 1]
    assert wire.books()[0].held == 0


@pytest.mark.parametrize("unavailable", ["refuse", "go_on"])
def test_a_disk_that_fails_while_the_request_is_made_is_told_by_the_policy(
    open_wire: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch, unavailable: str
):
    wire = open_wire(policy={"unavailable": unavailable})
    wire.ask("chat")
    wire.books()
    real = SqliteStore.commit

    async def commit(self: SqliteStore) -> None:
        if len(wire.left) == 1:  # until the next request leaves
            raise StorageFull("the disk is full")
        await real(self)

    with monkeypatch.context() as broken:
        broken.setattr(SqliteStore, "commit", commit)
        if unavailable == "refuse":
            with pytest.raises(farthing.Unavailable):
                wire.ask("chat")
        else:
            wire.ask("chat")
    balance, charges = wire.books()
    assert balance.held == 0
    if unavailable == "refuse":
        assert (wire.left, len(charges)) == ([1], 1)
    else:
        assert (wire.left, len(charges)) == ([1, 0], 2)
        assert "disk is full" in evidence(charges[0])["no_hold"]


class Own(openai.OpenAI):
    """A client that sends by other ways."""

    def request(self, *args: Any, **kwargs: Any) -> Any:
        return super().request(*args, **kwargs)


def test_where_the_library_is_not_known_to_ask_the_hold_comes_first(models: Remote, tmp_path: Path):
    wire = Wire("sync", models, tmp_path)
    try:
        own = wire.vendor("chat", Own)
        assert not waits_to_send(own, False)
        assert waits_to_send(wire.vendor("chat"), False)
        wire.ask("chat", wire.metered(own))
        assert wire.left == [1]
    finally:
        wire.close()


def test_where_somebody_stands_between_the_hold_comes_first(models: Remote, tmp_path: Path):
    wire = Wire("sync", models, tmp_path, credits=1)
    try:
        own = wire.vendor("chat")
        request = own.request
        own.request = lambda *args, **kwargs: request(*args, **kwargs)
        with pytest.raises(farthing.InsufficientCredits):
            wire.ask("chat", wire.metered(own))
        assert wire.left == []
    finally:
        wire.close()


def test_middleware_of_anthropics_is_called_under_a_hold(models: Remote, tmp_path: Path):
    wire, seen = Wire("sync", models, tmp_path), []

    def between(request: Any, call_next: Any) -> Any:
        wire._leaves(request)
        seen.append(wire.left[-1])
        return call_next(request)

    try:
        wire.ask("messages", wire.metered(wire.vendor("messages", middleware=[between])))
        assert (seen, wire.left) == ([1], [1, 1])
    finally:
        wire.close()


def test_who_is_cancelled_at_any_moment_leaves_nothing_held(models: Remote, tmp_path: Path):
    wire = Wire("async", models, tmp_path)

    async def cancelled(api: Any, step: int) -> None:
        call, given = asking(api, api, "chat")
        task = asyncio.ensure_future(call(**given))
        await asyncio.sleep(step * 0.0003)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def main() -> None:
        api = wire.metered(wire.vendor("chat"))
        for step in range(40):
            await cancelled(api, step)

    try:
        wire.run(main())
        balance, charges = wire.books()
        assert balance.held == 0
        assert all(evidence(charge) for charge in charges)
        assert balance.balance == 1_000_000 - sum(charge.amount for charge in charges)
    finally:
        wire.close()
