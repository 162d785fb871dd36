"""Hot calls: which requests go the short way, and that nobody can tell by the answer."""

import asyncio
import http.client
import json
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from farthing import serving
from farthing.core.commands import Command
from farthing.engine import Engine, Ticket
from farthing.server import http as server_http
from tests.api.serving import Server, wait_for
from tests.api.test_asgi import connect, head, read_answer
from tests.api.test_countwerk_bad_input import GOOD
from tests.support import config_version

VARYING = re.compile(rb'\r\n(?:date|x-request-id): [^\r]*|"timestamp":"[^"]*"|\br=\d+;t=\d+')


class Taken:
    """Counts the calls that go the short way."""

    def __init__(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        self.short = self.long = 0
        hot = server.app.hot
        assert hot is not None
        take = hot.take

        def counted(*request: Any) -> Any:
            call = take(*request)
            if call is None:
                self.long += 1
            else:
                self.short += 1
            return call

        monkeypatch.setattr(hot, "take", counted)


@pytest.fixture
def taken(server: Server, monkeypatch: pytest.MonkeyPatch) -> Taken:
    know_the_key(server)
    return Taken(server, monkeypatch)


def know_the_key(server: Server) -> None:
    """Wait until nothing that processes remember is about to change, then use the key once."""
    wait_for(lambda: server.watch.generation == server.run(config_version(server.ledger)))
    server.post("balance", {"account_id": "x"})


def packet(server: Server, call: str, body: bytes, **more: str) -> bytes:
    return head(server, call, len(body), **more) + body


def exchange(server: Server, *packets: bytes, pause: float = 0.0) -> bytes:
    """All bytes of one answer to what is sent piece by piece."""
    with connect(server) as sock:
        for part in packets:
            sock.sendall(part)
            time.sleep(pause)
        return read_bytes(sock.makefile("rb"))


def read_bytes(file: Any) -> bytes:
    raw = b""
    while (line := file.readline()) not in (b"\r\n", b""):
        raw += line
    length = int(re.search(rb"content-length: (\d+)", raw)[1])  # type: ignore[index]
    return bytes(raw + b"\r\n" + file.read(length))


BODIES = [
    GOOD["deduct"],
    {**GOOD["deduct"], "amount": 10**9},
    {**GOOD["deduct"], "amount": "x"},
    {},
    [1],
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(
    "more", [{}, {"X-Request-Id": "mine"}, {"X-API-Key": "cs_nobodys"}, {"Content-Type": "text/plain"}]
)
def test_both_ways_answer_the_same_to_the_byte(
    server: Server, funded: str, taken: Taken, monkeypatch: pytest.MonkeyPatch, body: Any, more: dict[str, str]
):
    if isinstance(body, dict) and body:
        body = {**body, "account_id": funded}
    raw = json.dumps(body).encode()
    whole = packet(server, "deduct", raw, **more)
    short = exchange(server, whole)
    assert (taken.short, taken.long) == ((0, 1) if "X-API-Key" in more else (1, 0))
    monkeypatch.setattr(server.app.hot, "take", lambda *_: None)
    assert VARYING.sub(b"", short) == VARYING.sub(b"", exchange(server, whole))


def test_a_call_in_one_piece_or_in_two_goes_the_short_way(server: Server, funded: str, taken: Taken):
    body = json.dumps({**GOOD["deduct"], "account_id": funded}).encode()
    first = exchange(server, packet(server, "deduct", body))
    second = exchange(server, head(server, "deduct", len(body)), body, pause=0.02)
    third = exchange(server, head(server, "deduct", len(body)) + body[:9], body[9:], pause=0.02)
    assert (taken.short, taken.long) == (3, 0)
    assert all(raw.startswith(b"HTTP/1.1 200") for raw in (first, second, third))
    assert len(server.entries(funded)) == 3, "opened, granted, charged once"


def test_a_body_that_comes_slowly_goes_the_long_way_and_is_answered(server: Server, funded: str, taken: Taken):
    body = json.dumps({**GOOD["deduct"], "account_id": funded}).encode()
    slow = exchange(server, head(server, "deduct", len(body)) + body[:5], body[5:], pause=0.4)
    pieces = [body[i : i + 20] for i in range(0, len(body), 20)]
    many = exchange(server, head(server, "deduct", len(body)), *pieces, pause=0.01)
    assert slow.startswith(b"HTTP/1.1 200")
    assert many.startswith(b"HTTP/1.1 200")
    assert taken.short == 0
    assert server.balance(funded) == 95


@pytest.mark.parametrize(
    "change",
    [
        {"X-API-Key": "cs_nobodys_key"},
        {"Authorization": "Bearer x", "X-API-Key": ""},
        {"Connection": "close"},
    ],
)
def test_what_is_unusual_goes_the_long_way(server: Server, funded: str, taken: Taken, change: dict[str, str]):
    body = json.dumps({**GOOD["deduct"], "account_id": funded}).encode()
    fields = {name: value for name, value in change.items() if value}
    whole = packet(server, "deduct", body, **fields)
    if change.get("X-API-Key") == "":
        whole = whole.replace(f"X-API-Key: {server.key}\r\n".encode(), b"")
    status = int(exchange(server, whole).split()[1])
    assert taken.short == 0
    assert status == (200 if "Connection" in change else 401)


def test_requests_sent_without_waiting_are_answered_in_order(server: Server, funded: str):
    """Hot ones and others on one connection, all sent at once."""
    amounts = [1, 2, 3, 4]
    with connect(server) as sock:
        for number, amount in enumerate(amounts):
            body = {**GOOD["deduct"], "account_id": funded, "amount": amount, "usage_event_id": f"{funded}-{number}"}
            sock.sendall(packet(server, "deduct", json.dumps(body).encode()))
            sock.sendall(packet(server, "balance", json.dumps({"account_id": funded}).encode()))
        file = sock.makefile("rb")
        answers = [json.loads(read_bytes(file).partition(b"\r\n\r\n")[2])["data"] for _ in range(8)]
    assert [a["deductedAmount"] for a in answers[::2]] == amounts
    assert [a["balance"] for a in answers[1::2]] == [99, 97, 94, 90]


def test_many_hot_calls_on_one_connection_at_once_are_each_answered_once(server: Server, funded: str):
    made = [
        json.dumps({**GOOD["deduct"], "account_id": funded, "amount": 1, "usage_event_id": f"{funded}-{n}"}).encode()
        for n in range(40)
    ]
    with connect(server) as sock:
        sock.sendall(b"".join(packet(server, "deduct", body) for body in made))
        file = sock.makefile("rb")
        left = [json.loads(read_bytes(file).partition(b"\r\n\r\n")[2])["data"]["newBalance"] for _ in made]
    assert left == list(range(99, 59, -1))


def test_a_used_connection_is_closed_when_it_rests_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_http, "KEEP_ALIVE_SECONDS", 0.3)
    with Server(tmp_path) as server, connect(server) as sock:
        know_the_key(server)
        server.add("alice", 5)
        body = json.dumps({**GOOD["deduct"], "account_id": "alice", "amount": 1}).encode()
        for _ in range(4):  # longer in all than it may rest
            sock.sendall(packet(server, "deduct", body))
            assert read_answer(sock)[0] == 200
            time.sleep(0.15)
        assert sock.recv(1) == b""


# Answers that take long, clients that go


class GatedEngine:
    """Lets commands through when a test says so; to the hot path it is an engine of its own thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.waiting: list[tuple[Command, Any, Ticket]] = []
        self.arrived = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    runs_here = True

    def submit(self, command: Command, answer: Any, *, dry: bool = False) -> Ticket:
        self.loop = asyncio.get_running_loop()
        ticket = Ticket(command, answer)
        self.waiting.append((command, answer, ticket))
        self.arrived.set()
        return ticket

    def let_go(self) -> None:
        """Carry out what waits, but for what nobody waits for any more."""
        assert self.loop is not None
        for command, answer, ticket in self.waiting:
            if not ticket.gone:
                self.loop.call_soon_threadsafe(self._engine.submit, command, answer)


def gated_server(folder: Path, **settings: Any) -> tuple[Server, GatedEngine]:
    made: list[GatedEngine] = []

    def build(options: Any, ledger: Any, *more: Any) -> Any:
        made.append(GatedEngine(ledger.engine))
        real, ledger.engine = ledger.engine, made[0]
        app = serving.build_app(options, ledger, *more)
        ledger.engine = real
        return app

    server = Server(folder, build=build, **settings)
    know_the_key(server)
    return server, made[0]


def test_an_answer_that_takes_too_long_is_an_unknown_outcome_and_comes_once(tmp_path: Path):
    server, engine = gated_server(tmp_path, request_timeout=0.3)
    with server, connect(server) as sock:
        body = json.dumps(GOOD["deduct"]).encode()
        sock.sendall(packet(server, "deduct", body))
        status, told = read_answer(sock)
        assert (status, told["code"]) == (500, "DEDUCTION_ERROR")
        assert "not known" in told["message"]
        engine.let_go()
        sock.sendall(packet(server, "balance", b'{"account_id": "alice"}'))
        assert read_answer(sock)[1]["data"]["balance"] == 0, "what came late was told to nobody"


def test_the_command_of_a_client_that_has_gone_is_skipped(tmp_path: Path):
    server, engine = gated_server(tmp_path, access_log=True)
    with server:
        with connect(server) as sock:
            sock.sendall(packet(server, "deduct", json.dumps(GOOD["deduct"]).encode()))
            assert engine.arrived.wait(60)
        wait_for(lambda: engine.waiting[0][2].gone)
        wait_for(lambda: [line for line in server.log_lines() if line.get("status") == 499])


def test_a_client_that_waits_long_is_answered(tmp_path: Path):
    server, engine = gated_server(tmp_path)
    with server, connect(server) as sock:
        sock.sendall(packet(server, "deduct", json.dumps(GOOD["deduct"]).encode()))
        assert engine.arrived.wait(60)
        time.sleep(0.3)
        engine.let_go()
        assert read_answer(sock)[0] == 402


def test_a_stop_answers_what_is_on_its_way_and_says_that_the_connection_ends(tmp_path: Path):
    server, engine = gated_server(tmp_path)
    with connect(server) as sock:
        sock.sendall(packet(server, "deduct", json.dumps(GOOD["deduct"]).encode()))
        assert engine.arrived.wait(60)
        threading.Timer(0.3, engine.let_go).start()
        server.close()
        response = http.client.HTTPResponse(sock)
        response.begin()
        assert (response.status, response.getheader("connection")) == (402, "close")
        assert socket.socket.recv(sock, 1) == b"" or response.read()


def test_a_bug_while_telling_is_an_internal_error_and_the_next_call_goes_well(
    server: Server, funded: str, taken: Taken, monkeypatch: pytest.MonkeyPatch
):
    face = server.app.hot._routes[(b"/api/credits/deduct", "key")].face  # type: ignore[union-attr]
    body = json.dumps({**GOOD["deduct"], "account_id": funded, "usage_event_id": funded}).encode()

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(face, "finish", broken)
        raw = exchange(server, packet(server, "deduct", body))
        assert raw.startswith(b"HTTP/1.1 500")
        assert b"ZeroDivision" not in raw
    assert exchange(server, packet(server, "deduct", body)).startswith(b"HTTP/1.1 200")
    assert server.balance(funded) == 95
    assert taken.short == 2
