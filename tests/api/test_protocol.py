"""The HTTP protocol: heads that don't come or don't end, what is no HTTP, answers in one write."""

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from select import select
from typing import Any

import pytest

from farthing.api.protocol import HEAD_BYTES, Answers, KeptTransport
from tests.api.serving import Server


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits a third of a second for the head of a request."""
    with Server(tmp_path_factory.mktemp("impatient"), request_timeout=0.3) as server:
        yield server


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def read_all(sock: socket.socket) -> bytes:
    found = b""
    while part := sock.recv(65_536):
        found += part
    return found


def code_of(raw: bytes) -> tuple[int, str]:
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.mark.parametrize("sent", [b"", b"POST /api/credits/balance HTTP/1.1\r\nHost: x\r\n", b"GE"])
def test_a_head_that_does_not_come_ends_the_connection(impatient: Server, sent: bytes):
    with connect(impatient) as sock:
        sock.sendall(sent)
        assert code_of(read_all(sock)) == (408, "head_too_slow")


def test_a_head_that_comes_in_pieces_is_not_given_more_time(impatient: Server):
    with connect(impatient) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\n")
        ended, told = False, b""
        for n in range(400):
            if ended := bool(select([sock], [], [], 0.05)[0]):
                break
            sock.sendall(b"X-%d: y\r\n" % n)
        # A piece that crosses the server's last words on the way makes them unreadable; it ends all the same.
        with suppress(ConnectionResetError):
            told = read_all(sock)
        assert ended
        assert told == b"" or code_of(told) == (408, "head_too_slow")


def test_a_connection_that_was_used_may_rest_longer_than_a_head_may_take(impatient: Server):
    connection = http.client.HTTPConnection("127.0.0.1", impatient.port, timeout=60)
    for _ in range(2):
        connection.request("GET", "/livez")
        assert connection.getresponse().read()
        connection.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.sock.recv(1)
        connection.sock.settimeout(60)
    connection.close()


def test_a_second_head_that_does_not_end_ends_the_connection_too(impatient: Server):
    with connect(impatient) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\n")
        raw = read_all(sock)
        first, _, second = raw.partition(b'"}HTTP')
        assert first.startswith(b"HTTP/1.1 200")
        assert code_of(b"HTTP" + second) == (408, "head_too_slow")


def test_a_head_may_not_grow_without_end(server: Server):
    with connect(server) as sock:
        # One byte too many: the server has read it all when it refuses, so that its words arrive.
        sock.sendall(b"GET /livez HTTP/1.1\r\nX-Padding: ".ljust(HEAD_BYTES + 1, b"y"))
        assert code_of(read_all(sock)) == (431, "head_too_large")


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01", b"HELLO\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n"]
)
def test_what_is_no_http_is_told_so_in_json(server: Server, sent: bytes):
    with connect(server) as sock:
        sock.sendall(sent)
        assert code_of(read_all(sock)) == (400, "malformed_http")


class Recorder:
    """A transport that writes down what it is told."""

    def __init__(self) -> None:
        self.did: list[Any] = []

    def write(self, data: bytes) -> None:
        self.did.append(data)

    def close(self) -> None:
        self.did.append("close")

    def is_closing(self) -> bool:
        return "close" in self.did

    def pause_reading(self) -> None:
        self.did.append("pause")


def kept() -> tuple[Recorder, KeptTransport]:
    recorder = Recorder()
    return recorder, KeptTransport(recorder)  # type: ignore[arg-type]


def test_what_is_written_is_kept_and_let_go_at_once():
    recorder, transport = kept()
    transport.write(b"head")
    transport.write(b"body")
    assert recorder.did == []
    transport.let_go()
    transport.let_go()
    assert recorder.did == [b"headbody"]


def test_closing_writes_what_was_kept_first():
    recorder, transport = kept()
    transport.write(b"last words")
    transport.close()
    assert recorder.did == [b"last words", "close"]


def test_much_is_not_kept_nor_what_the_client_waits_for():
    recorder, transport = kept()
    transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    transport.write(b"x" * 70_000)
    assert [len(part) for part in recorder.did] == [25, 70_000]


def test_everything_else_goes_to_the_transport_itself():
    recorder, transport = kept()
    transport.pause_reading()
    assert (recorder.did, transport.is_closing()) == (["pause"], False)


def test_answers_of_one_turn_leave_together_in_order():
    order: list[str] = []

    async def main() -> None:
        answers, loop = Answers(), asyncio.get_running_loop()
        for name in ("a", "b"):
            recorder, transport = kept()
            recorder.write = lambda data, name=name: order.append(name)  # type: ignore[method-assign, misc]
            transport.write(b"x")
            answers.add(transport, loop)
        order.append("turn ends")
        await asyncio.sleep(0)
        order.append("next turn")
        answers.add(transport, loop)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert order == ["turn ends", "a", "b", "next turn"]
