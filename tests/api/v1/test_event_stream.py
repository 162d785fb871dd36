"""The stream of events: what happens is told while it happens, and a stream ends when it has to."""

import asyncio
import http.client
import json
import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from farthing.api.endpoint import Reply
from farthing.api.v1.event_stream import while_good
from farthing.outbox import listening
from tests.api.serving import Server, id_of, wait_for
from tests.api.v1.client import Client, places, told
from tests.api.v1.reading import ask, read


class Stream:
    """Somebody who listens."""

    def __init__(self, client: Client, query: str = "", **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", client.server.port, timeout=40)
        fields = {"X-API-Key": client.api_key} | {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", f"/v1/events/stream{query}", headers=fields)
        self.response = self._connection.getresponse()
        assert self.response.status == 200, self.response.read()
        self.first = self._block()

    def _block(self) -> list[str]:
        lines = []
        while line := self.response.readline().decode().rstrip("\n"):
            lines.append(line)
        return lines

    def next(self) -> dict[str, Any]:
        """The next event; what is none of one is passed over."""
        while block := self._block():
            if block[-1].startswith("data: "):
                event: dict[str, Any] = json.loads(block[-1].removeprefix("data: "))
                assert block[0] == f"id: {event['id']}"
                return event
        raise EOFError

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    """Signs of life come at once, so that what is looked at with each is seen soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listening.Listening.__init__, "__kwdefaults__", {"poll_seconds": 0.02, "beat_seconds": 0.1})
        yield


@pytest.fixture(scope="module")
def server(quick: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def listen(client: Client) -> Iterator[Any]:
    """Opens streams, and closes them."""
    opened: list[Stream] = []

    def begin(query: str = "", by: Client = client, **headers: str) -> Stream:
        opened.append(Stream(by, query, **headers))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


def test_what_happens_is_told_as_the_list_has_it(client: Client, account: str, listen: Any):
    stream = listen(f"?account={account}")
    assert stream.first[:2] == ["retry: 1000", ": listening"]
    head = dict(stream.response.getheaders())
    assert (head["content-type"], head["cache-control"]) == ("text/event-stream", "no-store")
    client.grant(account)
    client.charge(account)
    told_of = [stream.next(), stream.next()]
    assert [event["type"] for event in told_of] == ["grant.created", "charge.created"]
    listed = [each for each in read(client, "events", limit="200")["data"] if each["account"] == account]
    assert listed == told_of[::-1]


def test_only_what_was_asked_for_is_told_and_recorded(client: Client, account: str, listen: Any):
    stream = listen(f"?type=charge.*,hold.expired&account={account}")
    client.grant(account)
    client.charge(account)
    assert stream.next()["type"] == "charge.created"


def test_one_goes_on_where_one_was(client: Client, account: str, listen: Any):
    first = listen(f"?account={account}")
    client.grant(account)
    client.charge(account)
    events = [first.next(), first.next()]
    first.close()
    for again in (
        listen(f"?account={account}&after={events[0]['id']}"),
        listen(f"?account={account}", last_event_id=events[0]["id"]),
        listen(f"?account={account}&from=2025-12-31T00:00:00Z"),
    ):
        assert [again.next(), again.next()] == events


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ({"type": "charges.*"}, ["type"]),
        ({"type": ",".join(["*", *(f"t{n}.x" for n in range(60))])}, ["type"]),
        ({"account": ""}, ["account"]),
        ({"after": "yesterday"}, ["after"]),
        ({"from_": "yesterday"}, ["from"]),
        ({"after": f"evt_{0:032x}", "from_": "2026-01-01T00:00:00Z"}, ["from"]),
        ({"limit": "5"}, ["limit"]),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_told(client: Client, query: Any, where: list[str]):
    answer = ask(client, "events/stream", **query)
    assert told(answer) == (400, "invalid")
    assert set(places(answer)) == set(where)


def test_a_position_that_is_none_is_refused_in_the_header_too(client: Client):
    fields = {"X-API-Key": client.api_key, "Last-Event-ID": "7"}
    answer = client.server.send("GET", "/v1/events/stream", None, fields)
    assert (told(answer), places(answer)) == ((400, "invalid"), ["Last-Event-ID"])


def test_who_may_not_read_may_not_listen(client: Client):
    assert told(ask(client.with_key("charge"), "events/stream")) == (403, "scope_missing")


def test_no_workspace_hears_another(client: Client, account: str, listen: Any):
    stream = listen(by=client.with_key("read", "other"))
    client.grant(account)
    other = client.with_key("admin", "other")
    other.grant(account, "7")
    assert stream.next()["data"]["amount"] == "7"


def test_with_its_key_a_stream_ends(client: Client, server: Server, listen: Any):
    by = client.with_key("read")
    stream = listen(by=by)
    client.made(f"keys/{id_of(by.api_key)}/revoke")
    with pytest.raises(EOFError):
        stream.next()


def test_only_so_many_streams_are_open_at_a_time(client: Client, listen: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(listening, "MOST_LISTENERS", 0)
    answer = ask(client, "events/stream")
    assert (told(answer), answer.headers["retry-after"]) == ((429, "rate_limit"), "5")


def test_some_time_after_the_last_has_gone_nothing_more_is_recorded(client: Client, server: Server, account: str):
    stream = Stream(client, "?type=spend_limit.reached")

    def told_types() -> str:
        return str(server.sql("select told from workspace where id = 'main'")[0][0])

    assert "spend_limit.reached" in told_types()
    stream.close()

    def is_gone() -> bool:
        server.clock.advance(5)  # type: ignore[attr-defined]
        return "spend_limit.reached" not in told_types()

    wait_for(is_gone)


def test_a_server_that_stops_ends_its_streams_and_does_not_wait_for_them(quick: None, tmp_path: Path):
    server = Server(tmp_path)
    stream = Stream(Client(server, server.new_key("admin")))
    ended = threading.Event()

    def listen() -> None:
        with pytest.raises(EOFError):
            stream.next()
        ended.set()

    listener = threading.Thread(target=listen)
    listener.start()
    server.close()
    listener.join(30)
    assert ended.is_set()
    assert "broken_off" not in server.log.getvalue()


def test_who_may_no_more_hear_of_all_accounts_hears_no_more():
    # An admin whose role becomes that of a user still reads, but only what is his own.
    callers = [SimpleNamespace(scopes={"read"}, bound=None), SimpleNamespace(scopes={"read"}, bound="alice")]

    async def identify(_: Any) -> Any:
        return callers.pop(0)

    async def parts() -> AsyncGenerator[bytes, None]:
        for part in (b"a", b"b", b"c", b"d"):
            yield part

    async def heard() -> list[bytes]:
        reply = Reply(200, b"", parts=parts())
        found = while_good(reply, Any, "read", identify).parts  # type: ignore[arg-type]
        assert found is not None
        return [part async for part in found]

    assert asyncio.run(heard()) == [b"a", b"b"]
