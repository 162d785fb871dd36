"""Callbacks: told after the commit, of what was done and of what was refused; and unable to break anything."""

import asyncio
import logging
from decimal import Decimal
from typing import Any

import pytest

import farthing
from farthing.client import connecting
from farthing.client.callbacks import Callbacks
from farthing.client.retries import Retries
from tests.api.serving import Server
from tests.client.driving import Place
from tests.client.flaky import Flaky, serve, serve_and_drop

FACTS = ["operation", "account", "amount", "success"]


class Heard:
    """What the callbacks were told."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.measured: list[dict[str, Any]] = []

    def on_balance_change(self, account: str) -> None:
        self.changed.append(account)

    def on_metrics(self, **facts: Any) -> None:
        self.measured.append(facts)

    @property
    def facts(self) -> list[tuple[Any, ...]]:
        return [tuple(each[name] for name in FACTS) for each in self.measured]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def watched(place: Place, client: Any, heard: Heard) -> Any:
    """A client that tells. The shared one has made the ledger."""
    return place.open(on_balance_change=heard.on_balance_change, on_metrics=heard.on_metrics)


def test_every_command_on_credits_is_told_with_what_it_moved(watched: Any, heard: Heard, account: str) -> None:
    grant = watched.grant(account, 100)
    charge = watched.charge(account, "2.5")
    watched.refund(charge.id, 1)
    watched.adjust(account, -3)
    watched.set_balance(account, 50)
    hold = watched.holds.create(account, 20)
    watched.holds.extend(hold.id, raise_by=5)
    watched.holds.settle(hold.id, 7, last=False)
    watched.holds.release(hold.id)
    watched.refund_latest(account, 1)
    watched.grants.void(grant.id)
    assert [each["operation"] for each in heard.measured] == [
        *("grant", "charge", "refund", "adjust", "set", "hold", "extend", "settle", "release", "refund", "void")
    ]  # fmt: skip
    assert heard.changed == [account] * 11
    moved = {each["operation"]: each["amount"] for each in heard.measured}
    assert (moved["grant"], moved["charge"], moved["hold"], moved["settle"]) == (100, Decimal("2.5"), 20, 7)
    assert all(each["success"] and each["error"] is None and each["duration"] > 0 for each in heard.measured)


def test_the_balance_that_is_told_of_is_committed(place: Place, client: Any, account: str) -> None:
    if place.kind == "async":
        return asyncio.run(ask_within(place, account))
    seen: list[Decimal] = []
    mine: Any = place.open(on_balance_change=lambda changed: seen.append(mine.balance(changed).balance))
    mine.grant(account, 5)
    mine.charge(account, 2)
    assert seen == [5, 3]
    return None


async def ask_within(place: Place, account: str) -> None:
    """The same, with a callback that waits."""
    seen: list[Decimal] = []

    async def changed(account: str) -> None:
        seen.append((await mine.balance(account)).balance)

    async with farthing.aconnect(place.url, on_balance_change=changed, **place.options) as mine:
        await mine.grant(account, 5)
        await mine.charge(account, 2)
    assert seen == [5, 3]


def test_what_is_refused_is_measured_and_changes_no_balance(watched: Any, heard: Heard, account: str) -> None:
    with pytest.raises(farthing.AccountNotFound):
        watched.charge(account, 5)
    with pytest.raises(farthing.HoldNotFound):
        watched.holds.settle("hold_01K6ZZZZZZZZZZZZZZZZZZZZZZ", 5)
    assert heard.changed == []
    assert heard.facts == [("charge", account, 5, False), ("settle", None, 5, False)]
    assert isinstance(heard.measured[0]["error"], farthing.AccountNotFound)


def test_a_replay_is_measured_and_changes_no_balance(watched: Any, heard: Heard, account: str) -> None:
    for _ in range(3):
        watched.grant(account, 5, key=f"once {account}")
    assert heard.changed == [account]
    assert heard.facts == [("grant", account, 5, True)] * 3


def test_readings_and_dry_runs_are_not_told(watched: Any, heard: Heard, account: str) -> None:
    watched.accounts.create(account)
    watched.grant(account, 5, dry_run=True)
    watched.balance(account)
    watched.can_afford(account, 5)
    list(watched.entries(account))
    assert (heard.changed, heard.measured) == ([], [])


def test_of_many_charges_each_is_measured_and_an_account_told_once(watched: Any, heard: Heard, account: str) -> None:
    watched.grant(account, 10)
    heard.__init__()  # type: ignore[misc]
    watched.charge_many([{"account": account, "amount": amount} for amount in (1, 2, 100)])
    assert heard.changed == [account]
    assert heard.facts == [("charge", account, 1, True), ("charge", account, 2, True), ("charge", account, 100, False)]
    assert isinstance(heard.measured[2]["error"], farthing.InsufficientCredits)


def test_a_callback_that_raises_is_logged_and_changes_nothing(
    place: Place, client: Any, account: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the cache is down")

    watched = place.open(on_balance_change=broken, on_metrics=broken)
    with caplog.at_level(logging.ERROR, "farthing.client"):
        assert watched.grant(account, 5).replayed is False
        with pytest.raises(farthing.InsufficientCredits):
            watched.charge(account, 6)
    assert client.balance(account).balance == 5
    assert [record.args for record in caplog.records] == [("on_balance_change",), ("on_metrics",), ("on_metrics",)]
    assert "the cache is down" in caplog.text


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_change_whose_answer_was_lost_is_told_by_the_answer_to_its_repetition(
    kind: Any, server: Server, heard: Heard, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "Retries", lambda most: Retries(most, 0.001))
    with Flaky([serve_and_drop, serve], server.port) as flaky:
        place = Place(kind, flaky.url, api_key=server.new_key("admin"), on_balance_change=heard.on_balance_change)
        assert place.open().grant(account, 5).replayed is True
        place.close()
    assert heard.changed == [account]


def test_a_thread_can_not_wait_for_an_asynchronous_callback(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def later(account: str) -> None:
        raise AssertionError("nobody waits for it")

    url = f"sqlite:///{tmp_path}/credits.db"
    with pytest.raises(farthing.ConnectError, match="on_balance_change must be a plain function"):
        farthing.connect(url, on_balance_change=later)
    with farthing.connect(url, on_balance_change=lambda account: later(account)) as client:
        client.grant("alice", 5)
        assert client.balance("alice").balance == 5
    assert "it is asynchronous; aconnect takes such" in caplog.text


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(farthing.ConnectError, match="on_metrics must be a function, not str"):
        Callbacks(None, "statsd")  # type: ignore[arg-type]
