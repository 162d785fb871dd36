"""Events and webhooks by the client: in a file, in PostgreSQL, behind a server; both kinds."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import farthing
from farthing.client.aio.listening import AsyncListening
from farthing.client.answers import lost
from farthing.client.calls import get
from farthing.client.errors import Conflict, NotFound, Unavailable
from farthing.client.event_stream import EventReader
from farthing.client.job_results import Event
from farthing.client.retries import Retries
from farthing.core.endpoints import secret_problem
from tests.api.serving import Server, wait_for
from tests.client.driving import Driver, Place
from tests.client.outages import Way

URL = "https://app.example.com/farthing"


# Listening


def test_events_come_as_they_happen_and_those_since_then_before(client: Any, account: str):
    with client.events.listen(["grant.*", "charge.created"], account=account) as listening:
        grant, charge = client.grant(account, 20), client.charge(account, 5)
        events = iter(listening)
        told = [next(events), next(events)]
    assert [each.type for each in told] == ["grant.created", "charge.created"]
    assert (told[0].data["grant"], told[1].data["charge"]) == (grant.id, charge.id)
    assert {each.account for each in told} == {account}
    with client.events.listen(account=account, since=told[0].created_at) as again:
        events = iter(again)
        assert [next(events), next(events)] == told


def test_what_can_not_be_listened_to_is_told_at_the_beginning(client: Any):
    with pytest.raises(farthing.Invalid, match="type of event"), client.events.listen("nothing.*"):
        pass


def test_what_is_recorded_is_looked_at_by_a_type_and_by_no_filter(client: Any):
    with pytest.raises(farthing.Invalid, match="one type of event"):
        next(iter(client.events.list(type="balance.*")))


def test_a_function_is_told_until_it_asks_no_more(client: Any, account: str):
    told: list[Event] = []

    def on_event(event: Event) -> None:
        told.append(event)
        if len(told) == 1:
            raise ValueError("a bug of the caller's")

    subscription = client.events.subscribe(on_event, "charge.*", account=account)
    client.grant(account, 20)
    for amount in (1, 2):
        client.charge(account, amount)
    _until(client, account, lambda: len(told) == 2)
    assert [each.data["amount"] for each in told] == ["1", "2"], "the first failed, and was logged"
    _close(client, subscription)
    client.charge(account, 3)
    with client.events.listen("charge.*", account=account) as listening:
        client.charge(account, 4)
        assert next(iter(listening)).data["amount"] == "4"
    assert len(told) == 2


def _close(client: Any, subscription: Any) -> None:
    if isinstance(client, Driver):
        client._runner.run(subscription.aclose())
    else:
        subscription.close()


def _until(client: Any, account: str, condition: Any) -> None:
    """Wait; a client of an event loop has to be given turns of it."""
    wait_for(lambda: condition() or (client.balance(account) and condition()))


def test_what_has_listened_ends_with_its_client(place: Place, account: str):
    own = place.open()
    own.grant(account, 20)
    told: list[Event] = []
    own.events.subscribe(told.append, "charge.*", account=account)
    own.charge(account, 1)
    _until(own, account, lambda: told)
    own.close()
    with pytest.raises(farthing.ClientClosed):
        own.events.listen().begin()


def test_a_loop_that_listens_goes_on_meanwhile(tmp_path: Path):
    async def main() -> None:
        url = f"sqlite:///{tmp_path}/c.db"
        async with farthing.aconnect(url) as client, client.events.listen("charge.*") as listening:
            first = asyncio.create_task(_first(listening))
            await client.grant("alice", 5)
            await client.charge("alice", 5)
            assert (await first).data["amount"] == "5"

    async def _first(listening: AsyncListening) -> Event:
        async for event in listening:
            return event
        raise AssertionError("it ended")

    asyncio.run(main())


def test_a_listener_outlives_every_connection_and_misses_nothing(server: Server, account: str):
    here = farthing.connect(f"http://127.0.0.1:{server.port}", api_key=server.new_key("admin"))
    here.grant(account, 50)
    way, told = Way(server.port), list[str]()
    there = farthing.connect(way.url, api_key=server.new_key("read"), timeout=5)
    there.events.subscribe(lambda event: told.append(event.data["amount"]), "charge.*", account=account)
    for number in range(1, 7):
        if number % 2 == 0:
            way.shut()
        here.charge(account, number)
        if number % 2 == 0:
            way.open()
        wait_for(lambda wanted=number: len(told) == wanted)  # type: ignore[misc]
    assert told == ["1", "2", "3", "4", "5", "6"]
    for client in (there, here):
        client.close()


# What is read of a stream: pure

CALL = get(Event, "/v1/events/stream", {"type": "charge.*", "from": "2026-01-01T00:00:00Z"})
DOWN = lost(CALL, "broken off")


def ids(number: int) -> str:
    return f"evt_{number * 1_000:012x}{0:020x}"


def event(id: str) -> bytes:
    data = f'{{"id":"{id}","type":"charge.created","account":"a","created_at":"2026-01-31T12:00:00Z","data":{{}}}}'
    return f"id: {id}\ndata: {data}\n\n".encode()


@pytest.fixture
def reader() -> EventReader:
    return EventReader(CALL, Retries(2))


def test_parts_may_end_anywhere(reader: EventReader):
    whole = b"retry: 1000\n: listening\nid: %b\n\n" % ids(1).encode() + event(ids(2)) + event(ids(3))
    told = [each.id for at in range(len(whole)) for each in reader.read(whole[at : at + 1])]
    assert told == [ids(2), ids(3)]


def test_one_goes_on_behind_the_last_and_hears_nothing_twice(reader: EventReader):
    assert reader.call() == CALL
    reader.read(b": listening\nid: %b\n\n" % ids(5).encode())
    assert [each.id for each in reader.read(event(ids(7)) + event(ids(6)))] == [ids(7), ids(6)], "one came late"
    assert reader.call().query == {"type": "charge.*", "after": ids(7)}
    assert [each.id for each in reader.read(b"" + event(ids(6)) + event(ids(8)) + event(ids(7)))] == [ids(8)]


def test_what_was_before_one_listened_is_not_told_because_the_connection_broke(reader: EventReader):
    reader.call()
    reader.read(b": listening\nid: %b\n\n" % ids(5).encode())
    assert [each.id for each in reader.read(event(ids(4)))] == [ids(4)], "it was committed since"
    reader.call()
    again = reader.read(event(ids(3)) + event(ids(4)) + event(ids(6)))
    assert [each.id for each in again] == [ids(6)]


def test_what_was_cut_in_the_middle_is_not_put_together_with_what_comes_next(reader: EventReader):
    reader.read(event(ids(1)) + event(ids(2))[:30])
    reader.call()
    assert [each.id for each in reader.read(event(ids(2)))] == [ids(2)]


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("farthing.client.event_stream.FORGOTTEN_AT", 50)
    reader = EventReader(CALL, Retries(2))
    for number in range(1, 1_000):
        assert len(reader.read(event(ids(number)))) == 1
    assert len(reader._told) <= 2 * 121, "of the last two minutes, and as much again"
    assert reader.read(event(ids(900))) == []


def test_before_the_first_answer_one_gives_up_as_with_any_call_and_afterwards_never(reader: EventReader):
    waits = [reader.wait(DOWN) for _ in range(3)]
    assert [wait is None for wait in waits] == [False, False, True]
    reader.read(event(ids(1)))
    after = [reader.wait(DOWN) for _ in range(50)]
    assert all(wait is not None and wait <= 30 for wait in after)
    assert all(wait is not None and wait >= 20 for wait in after[-5:])
    reader.read(event(ids(2)))
    soon = reader.wait(None)
    assert soon is not None
    assert soon <= 0.25, "it went well meanwhile"


def test_a_refusal_is_no_reason_to_try_again(reader: EventReader):
    reader.read(event(ids(1)))
    assert reader.wait(farthing.Invalid("no", status=401, code="credential_invalid")) is None
    assert reader.wait(Unavailable("later", status=503, code="busy", retry_after=7)) == pytest.approx(6, abs=1.1)


# Webhooks


@pytest.fixture
def no_hooks(client: Any) -> Iterator[Any]:
    yield client
    for each in client.webhooks.list():
        client.webhooks.delete(each.id)


def test_a_webhook_from_its_making_to_its_end(no_hooks: Any, account: str):
    hooks = no_hooks.webhooks
    made = hooks.create(URL, ["charge.*"], description="ours", ordered=True)
    assert secret_problem(made.secret) is None
    assert (made.url, made.types, made.ordered, made.state) == (URL, ["charge.*"], True, "enabled")
    assert [each.id for each in hooks.list()] == [made.id]
    changed = hooks.update(made.id, types=["grant.*"], description="", ordered=False)
    assert (changed.types, changed.description, changed.ordered) == (["grant.*"], None, False)
    again = hooks.rotate(made.id, overlap_seconds=0)
    assert again.secret not in (None, made.secret)
    assert [each.until for each in again.secrets] == [None]
    no_hooks.grant(account, 1)
    sent = hooks.test(made.id)
    waiting = hooks.get(made.id).waiting
    assert {each.account for each in waiting} == {account, None}
    assert sent.event in {each.event for each in waiting}
    assert list(hooks.deliveries(made.id, outcome="failed")) == []
    assert hooks.redeliver(made.id, sent.event).events == 1
    assert hooks.redeliver(made.id, since="2026-01-01T00:00:00Z").events >= 0
    hooks.update(made.id, enabled=False)
    with pytest.raises(Conflict):
        hooks.test(made.id)
    assert hooks.delete(made.id).state == "disabled"
    with pytest.raises(NotFound):
        hooks.get(made.id)


def test_private_addresses_are_for_whoever_allows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with farthing.connect(f"sqlite:///{tmp_path}/c.db") as client, pytest.raises(farthing.Invalid, match="url"):
        client.webhooks.create("http://localhost:3000/", ["*"])
    monkeypatch.setenv("FARTHING_WEBHOOK_PRIVATE", "allow")
    with farthing.connect(f"sqlite:///{tmp_path}/c.db") as client:
        assert client.webhooks.create("http://localhost:3000/", ["*"]).url == "http://localhost:3000/"


def test_no_secret_is_in_what_a_log_would_have(no_hooks: Any):
    made = no_hooks.webhooks.create(URL, ["charge.*"])
    assert made.secret not in repr(made)
