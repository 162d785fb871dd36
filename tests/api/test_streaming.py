"""Answers that are made while they are sent: part by part, never cut by time, never a part taken for the whole."""

import asyncio
import http.client
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farthing import serving
from farthing.api import streaming
from farthing.api.endpoint import Endpoint, Reply, Request
from farthing.api.v1 import face
from farthing.api.v1.charge_reads import ENDPOINTS
from farthing.stores.contract import Unavailable
from tests.api.serving import Server, wait_for

Parts = Callable[[], AsyncGenerator[bytes, None]]
PATH = "/v1/charges/ent_1"


class Tap:
    """What a streamed endpoint gives, opened by the test."""

    def __init__(self) -> None:
        self.parts: Parts
        self.closed = threading.Event()
        self.let_through = threading.Semaphore(0)

    async def passes(self) -> None:
        """Wait for the test to let a part through."""
        await asyncio.to_thread(self.let_through.acquire)

    async def act(self, request: Request, desk: Any) -> Reply:
        async def watched() -> AsyncGenerator[bytes, None]:
            try:
                async for part in self.parts():
                    yield part
            finally:
                self.closed.set()

        return Reply(200, b"", content_type=b"text/plain", parts=watched())


@pytest.fixture
def tap(monkeypatch: pytest.MonkeyPatch) -> Tap:
    """The call that shows a charge, streaming what the test says."""
    tap = Tap()

    def streamed(endpoint: Endpoint) -> Endpoint:
        known = endpoint.operation_id == "showCharge"
        return msgspec.structs.replace(endpoint, act=tap.act) if known else endpoint

    assert any(e.operation_id == "showCharge" for e in ENDPOINTS)
    monkeypatch.setattr(face.V1, "endpoints", tuple(map(streamed, face.V1.endpoints)))
    return tap


@pytest.fixture
def server(tap: Tap, tmp_path: Path) -> Iterator[Server]:
    """A server whose answers have to come within 0.4 s."""
    with Server(tmp_path, request_timeout=0.4, build=serving.build_app, access_log=True) as server:
        yield server


def begin(server: Server) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", PATH, headers={"X-API-Key": server.key})
    return connection


def ends(server: Server) -> list[Any]:
    """Status and code of each logged answer."""
    lines = [line for line in server.log_lines() if line.get("path") == PATH]
    return [(line["status"], line["code"]) for line in lines if "status" in line]


def test_each_part_arrives_when_it_is_there(server: Server, tap: Tap):
    async def parts() -> AsyncGenerator[bytes, None]:
        for part in (b"one", b"two", b"three"):
            await tap.passes()
            yield part

    tap.parts = parts
    tap.let_through.release()
    connection = begin(server)
    response = connection.getresponse()
    assert (response.status, response.headers["transfer-encoding"]) == (200, "chunked")
    assert "content-length" not in response.headers
    assert response.read(3) == b"one", "and the others are not even made"
    tap.let_through.release()
    assert response.read(3) == b"two"
    tap.let_through.release()
    assert response.read() == b"three"
    connection.request("GET", "/livez")
    assert connection.getresponse().status == 200, "the connection goes on"
    connection.close()


def test_a_stream_may_take_longer_than_an_answer(server: Server, tap: Tap):
    async def parts() -> AsyncGenerator[bytes, None]:
        for _ in range(8):
            yield b"x"
            await asyncio.sleep(0.1)

    tap.parts = parts
    assert begin(server).getresponse().read() == b"x" * 8
    wait_for(lambda: ends(server) == [(200, None)])


def test_the_first_part_has_to_come_in_time(server: Server, tap: Tap):
    async def parts() -> AsyncGenerator[bytes, None]:
        await asyncio.sleep(20)
        yield b"late"

    tap.parts = parts
    response = begin(server).getresponse()
    assert response.status == 503
    assert msgspec.json.decode(response.read())["code"] == "unavailable"
    assert tap.closed.wait(60)


def test_nothing_at_all_is_an_empty_answer(server: Server, tap: Tap):
    async def parts() -> AsyncGenerator[bytes, None]:
        for part in list[bytes]():
            yield part

    tap.parts = parts
    response = begin(server).getresponse()
    assert (response.status, response.read()) == (200, b"")


def test_what_goes_wrong_before_the_first_part_is_a_problem(server: Server, tap: Tap):
    async def parts() -> AsyncGenerator[bytes, None]:
        raise Unavailable("the disk is on fire")
        yield b""

    tap.parts = parts
    response = begin(server).getresponse()
    assert (response.status, response.headers["content-type"]) == (503, "application/problem+json")
    assert msgspec.json.decode(response.read())["code"] == "unavailable"


def test_what_goes_wrong_later_is_never_taken_for_the_end(server: Server, tap: Tap):
    async def parts() -> AsyncGenerator[bytes, None]:
        yield b"one"
        await tap.passes()
        raise Unavailable("the disk is on fire")

    tap.parts = parts
    response = begin(server).getresponse()
    assert response.read(3) == b"one"
    tap.let_through.release()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    wait_for(lambda: ends(server) == [(500, "broken_off")])
    assert any("the disk is on fire" in str(line) for line in server.log_lines())
    assert "without completing" not in server.log.getvalue()


def test_when_the_client_goes_nothing_more_is_made(server: Server, tap: Tap):
    made = []

    async def parts() -> AsyncGenerator[bytes, None]:
        while True:
            made.append(1)
            yield b"x"
            await asyncio.sleep(0.01)

    tap.parts = parts
    connection = begin(server)
    response = connection.getresponse()
    assert response.read(1) == b"x"
    response.close()
    connection.close()
    assert tap.closed.wait(60)
    wait_for(lambda: ends(server) == [(499, None)])


def test_a_client_that_takes_nothing_is_left(server: Server, tap: Tap, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(streaming.pour, "__defaults__", (0.3,))

    async def parts() -> AsyncGenerator[bytes, None]:
        while True:
            yield b"x" * 1_000_000

    tap.parts = parts
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as sock:
        sock.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nX-API-Key: {server.key}\r\n\r\n".encode())
        assert tap.closed.wait(60)
        wait_for(lambda: ends(server) == [(499, None)])


def test_others_are_answered_meanwhile(server: Server, tap: Tap):
    stop = threading.Event()

    async def parts() -> AsyncGenerator[bytes, None]:
        while not stop.is_set():
            yield b"x"

    tap.parts = parts
    response = begin(server).getresponse()
    reading = threading.Thread(target=response.read)
    reading.start()
    assert server.send("GET", "/livez").status == 200
    stop.set()
    reading.join(60)
    assert not reading.is_alive()
