"""The application around the faces: sizes and times of bodies, ids, logs, paths and methods, clients that go away."""

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farthing import serving
from farthing.api.asgi import App
from farthing.core.commands import Command
from farthing.core.outcomes import Outcome
from farthing.engine import Engine
from tests.api.serving import Server, id_of, wait_for
from tests.api.test_countwerk_bad_input import GOOD

UNKNOWN_PATHS = ["/api/", "/api/x", "/api/purchase-links/x", "/api/credits/", "/api/credits/resolve-orders"]
UNKNOWN_PATHS += ["/api/credits/DEDUCT", "/api/credits/deduct/", "/api/credits//deduct", "/api/credits/deduct%00"]


def head(server: Server, call: str, length: int | str, **more: str) -> bytes:
    """The head of a call, written by hand."""
    fields = {
        "Host": "x",
        "X-API-Key": server.key,
        "Content-Type": "application/json",
        "Content-Length": str(length),
        **more,
    }
    lines = [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join((f"POST /api/credits/{call} HTTP/1.1", *lines, "", "")).encode()


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def read_answer(sock: socket.socket) -> tuple[int, dict[str, Any]]:
    response = http.client.HTTPResponse(sock)
    response.begin()
    return response.status, json.loads(response.read())


# Paths and methods


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE"])
@pytest.mark.parametrize("call", list(GOOD))
def test_another_method_is_refused_and_told_which_one_there_is(server: Server, call: str, method: str):
    path = f"/api/{call}" if call == "purchase-links" else f"/api/credits/{call}"
    answer = server.send(method, path, None, {"X-API-Key": server.key})
    assert (answer.status, answer.headers["allow"]) == (405, "POST, OPTIONS")
    if method != "HEAD":
        assert answer.told == (405, "INVALID_INPUT")


@pytest.mark.parametrize("path", UNKNOWN_PATHS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_refused_in_the_words_of_the_credential(server: Server, path: str, method: str):
    assert server.send(method, path, None, {"X-API-Key": server.key}).told == (404, "INVALID_INPUT")
    assert server.send(method, path, None, {"X-API-Key": "any"}).told == (404, "INVALID_INPUT")
    assert list(server.send(method, path, None, {"Authorization": "Bearer x"}).json) == ["message"]
    body = server.send(method, path, None).json
    assert list(body) == ["success", "code", "message", "error", "timestamp"]


def test_a_wrong_method_without_a_credential_has_the_body_for_all(server: Server):
    answer = server.send("GET", "/api/credits/reserve")
    assert (answer.status, answer.json["error"]) == (405, "This path takes POST, not GET.")


def test_of_a_shared_path_each_credential_has_its_own_methods(server: Server):
    path = "/api/credits/balance"
    key, token = {"X-API-Key": server.key}, {"Authorization": "Bearer x"}
    assert server.send("GET", path, None, key).headers["allow"] == "POST, OPTIONS"
    assert server.send("POST", path, b"{}", token).headers["allow"] == "GET, OPTIONS"
    assert server.send("OPTIONS", path).headers["allow"] == "POST, GET, OPTIONS"


def test_a_path_with_a_name_in_it_is_its_owners_without_a_credential(server: Server):
    answer = server.send("GET", "/api/credits/balance/anna")
    assert (answer.status, answer.json) == (401, {"message": "Authentication token required"})


def test_options_says_what_there_is_without_a_credential(server: Server):
    answer = server.send("OPTIONS", "/api/credits/deduct")
    assert (answer.status, answer.headers["allow"], answer.raw) == (204, "POST, OPTIONS", b"")
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("path", ["/nothing", "/v2/accounts", "/docs/", "/apix", "/.env", "/api"])
def test_outside_the_faces_an_unknown_path_is_a_problem_document(server: Server, path: str):
    answer = server.send("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert (answer.json["code"], answer.json["status"]) == ("not_found", 404)


def test_a_long_path_is_not_thrown_back(server: Server):
    assert len(server.send("GET", "/" + "x" * 5_000).raw) < 500


# Request ids


def test_every_answer_has_a_request_id_of_its_own(server: Server):
    answers = [server.send("GET", "/livez"), server.post("balance", {}), server.send("GET", "/x")]
    ids = [a.headers["x-request-id"] for a in answers]
    assert len(set(ids)) == 3
    assert all(i.startswith("req_") and len(i) == 24 for i in ids)


@pytest.mark.parametrize("given", ["trace-1", "x" * 64, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
def test_a_given_request_id_comes_back(server: Server, given: str):
    assert server.post("balance", {}, X_Request_Id=given).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "ü", "a\tb"])
def test_a_given_request_id_that_is_none_is_replaced(server: Server, given: str):
    text = given.encode().decode("latin-1")
    assert server.post("balance", {}, X_Request_Id=text).headers["x-request-id"].startswith("req_")


# Bodies


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with small limits."""
    with Server(tmp_path_factory.mktemp("strict"), body_limit=1_000, request_timeout=0.4) as server:
        yield server


def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_not(strict: Server):
    body = b'{"account_id": "alice"}'
    assert strict.post("balance", body.ljust(1_000)).status == 200
    answer = strict.post("balance", body.ljust(1_001))
    assert answer.told == (413, "INVALID_INPUT")
    assert "1,000 bytes" in answer.message


def test_a_large_body_is_refused_by_its_length_before_it_is_sent(strict: Server):
    with connect(strict) as sock:
        sock.sendall(head(strict, "balance", 10**12))
        status, body = read_answer(sock)
        assert (status, body["code"]) == (413, "INVALID_INPUT")
        assert sock.recv(1) == b""


def test_a_client_that_asks_before_sending_is_refused_without_being_asked_to_go_on(strict: Server):
    with connect(strict) as sock:
        sock.sendall(head(strict, "balance", 2_000, Expect="100-continue"))
        assert read_answer(sock)[0] == 413


def test_a_client_that_asks_before_sending_is_asked_to_go_on(strict: Server):
    with connect(strict) as sock:
        sock.sendall(head(strict, "balance", 23, Expect="100-continue"))
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        sock.sendall(b'{"account_id": "alice"}')
        assert read_answer(sock)[0] == 200


def test_a_body_without_a_length_is_counted(strict: Server):
    with connect(strict) as sock:
        chunked = head(strict, "balance", "").replace(b"Content-Length: \r\n", b"Transfer-Encoding: chunked\r\n")
        sock.sendall(chunked + b'6\r\n{"acco\r\n11\r\nunt_id": "alice"}\r\n0\r\n\r\n')
        assert read_answer(sock)[0] == 200
        sock.sendall(chunked + b"".join(b"190\r\n" + b" " * 400 + b"\r\n" for _ in range(3)) + b"0\r\n\r\n")
        status, body = read_answer(sock)
        assert (status, body["code"]) == (413, "INVALID_INPUT")


def test_a_body_in_pieces_is_put_together(strict: Server):
    body = b'{"account_id": "alice", "padding": "' + b"x" * 500 + b'"}'
    with connect(strict) as sock:
        sock.sendall(head(strict, "balance", len(body)) + body[:10])
        for start in range(10, len(body), 100):
            time.sleep(0.005)
            sock.sendall(body[start : start + 100])
        assert read_answer(sock)[0] == 200


def test_a_body_that_does_not_come_ends_the_request(strict: Server):
    with connect(strict) as sock:
        sock.sendall(head(strict, "balance", 100) + b'{"account')
        status, body = read_answer(sock)
        assert (status, body["code"]) == (408, "INVALID_INPUT")
        assert sock.recv(1) == b""


def test_two_requests_in_one_packet_get_two_answers_in_order(server: Server):
    first, second = b'{"account_id": "alice"}', b"{}"
    packet = head(server, "balance", len(first)) + first + head(server, "deduct", len(second)) + second
    with connect(server) as sock:
        sock.sendall(packet)
        file = sock.makefile("rb")
        statuses = []
        for _ in range(2):
            statuses.append(int(file.readline().split()[1]))
            length = 0
            while (line := file.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length"):
                    length = int(line.split(b":")[1])
            file.read(length)
        assert statuses == [200, 400]


# Answers that take long, clients that go


class SlowEngine:
    """An engine behind a gate that a test opens."""

    runs_here = False

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.arrived = threading.Event()
        self.open: asyncio.Event | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.cancelled = threading.Event()

    async def ask(self, command: Command) -> Outcome:
        if self.open is None:
            self.open, self.loop = asyncio.Event(), asyncio.get_running_loop()
        self.arrived.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return await self.engine.ask(command)

    def let_go(self) -> None:
        assert self.loop is not None
        assert self.open is not None
        self.loop.call_soon_threadsafe(self.open.set)


def slow_server(folder: Path, **settings: Any) -> tuple[Server, SlowEngine]:
    made: list[SlowEngine] = []

    def build(settings: Any, ledger: Any, *more: Any) -> App:
        real = ledger.engine
        made.append(SlowEngine(real))
        ledger.engine = made[0]
        app = serving.build_app(settings, ledger, *more)
        ledger.engine = real
        return app

    server = Server(folder, build=build, **settings)
    return server, made[0]


def test_an_answer_that_takes_too_long_is_an_unknown_outcome(tmp_path: Path):
    server, engine = slow_server(tmp_path, request_timeout=0.3)
    with server:
        answer = server.post("deduct", GOOD["deduct"])
        assert answer.told == (500, "DEDUCTION_ERROR")
        assert "not known" in answer.message
        assert engine.cancelled.wait(60)


def test_the_command_of_a_client_that_has_gone_is_cancelled(tmp_path: Path):
    server, engine = slow_server(tmp_path, access_log=True)
    with server:
        body = json.dumps(GOOD["deduct"]).encode()
        with connect(server) as sock:
            sock.sendall(head(server, "deduct", len(body)) + body)
            assert engine.arrived.wait(60)
            time.sleep(0.25)  # until it is noticed that the answer takes a while
            assert not engine.cancelled.is_set()
        assert engine.cancelled.wait(60)
        wait_for(server.log_lines)
        assert [line["status"] for line in server.log_lines()] == [499]


def test_a_client_that_waits_long_is_answered(tmp_path: Path):
    server, engine = slow_server(tmp_path)
    with server:
        server.metrics.depth()  # the real engine is there
        threading.Timer(0.5, engine.let_go).start()
        answer = server.post("deduct", GOOD["deduct"])
        assert answer.told == (402, "INSUFFICIENT_CREDITS")
        assert not engine.cancelled.is_set()


def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind(server: Server):
    before = server.count()
    with connect(server) as sock:
        sock.sendall(head(server, "deduct", 500) + b'{"account')
    assert server.post("balance", {"account_id": "alice"}).status == 200
    assert server.count() == before


def test_a_command_that_was_not_decided_yet_is_never_carried_out_for_a_client_that_has_gone(tmp_path: Path):
    with Server(tmp_path, inline=False) as server:
        server.add("alice", 100)
        entries = server.count()
        body = json.dumps({**GOOD["deduct"], "amount": 1}).encode()
        # Another writer holds the file, so the first command waits for it and the second waits in the queue.
        database = server.ledger.database
        release, held = threading.Event(), threading.Event()

        async def hold_the_lock(execute: Any) -> None:
            held.set()
            release.wait(4)

        holder = threading.Thread(target=lambda: asyncio.run(database.write(hold_the_lock)))
        holder.start()
        assert held.wait(60)
        first = threading.Thread(target=lambda: server.post("deduct", {**GOOD["deduct"], "usage_event_id": "stays"}))
        first.start()
        # Taken from the queue, and not done: it waits for the file.
        engine = server.ledger.engine
        wait_for(lambda: not engine.depth and not engine._idle)
        with connect(server) as sock:
            sock.sendall(head(server, "deduct", len(body)) + body)
            wait_for(lambda: engine.depth)
        wait_for(lambda: len(server.app._watch) == 1)
        release.set()
        holder.join(60)
        first.join(60)
        server.post("balance", {"account_id": "alice"})
        assert [e.key for e in server.entries("alice")[:-2]] == ["cw.deduct:stays"]
        assert server.count() == entries + 1


# The log


def test_the_access_log_tells_who_asked_what_and_how_it_went(tmp_path: Path):
    with Server(tmp_path, access_log=True) as server:
        server.add("alice", 10)
        body = {**GOOD["deduct"], "description": "secret words", "metadata": {"prompt": "secret prompt"}}
        server.post("deduct", body, X_Request_Id="r-1")
        server.send("GET", "/livez?token=secret")
        server.post("deduct", {**body, "amount": 6})
        server.send("POST", f"/api/{server.key}", b"{}")
        lines = server.log_lines()
        assert lines[1].pop("ms") >= 0
        assert lines[1].pop("at").endswith("Z")
        assert lines[1] == {
            "level": "info",
            "event": "request",
            "request_id": "r-1",
            "workspace": "main",
            "key": id_of(server.key),
            "method": "POST",
            "path": "/api/credits/deduct",
            "status": 200,
            "code": None,
        }
        assert [(line["status"], line["code"], line["path"]) for line in lines[2:4]] == [
            (200, None, "/livez"),
            (409, "IDEMPOTENCY_CONFLICT", "/api/credits/deduct"),
        ]
        text = server.log.getvalue()
        assert "secret" not in text
        assert server.key not in text


def test_without_the_access_log_only_failures_are_logged(server: Server):
    written = len(server.log_lines())
    server.post("balance", {})
    server.post("balance", {"account_id": "alice"})
    assert len(server.log_lines()) == written


# ASGI beside HTTP


def test_lifespan_is_answered_and_web_sockets_are_closed(server: Server):
    told: list[dict[str, Any]] = []
    heard = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> dict[str, Any]:
        return next(heard)

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    asyncio.run(server.app({"type": "lifespan"}, receive, send))
    asyncio.run(server.app({"type": "websocket"}, receive, send))
    assert [m["type"] for m in told] == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]
