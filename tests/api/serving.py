"""A real server for the tests of the HTTP faces: uvicorn in a thread, a ledger on a SQLite file, a client of few lines."""

import asyncio
import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from msgspec import Struct

from farthing.api.asgi import App, Limits
from farthing.api.auth import KeyAuth
from farthing.api.countwerk import CountWerk
from farthing.api.limits import RateLimiter
from farthing.api.logs import make_logger
from farthing.api.metrics import Metrics
from farthing.api.openapi import document
from farthing.api.pages import Check, clock_check, database_check, pages
from farthing.app import ConfigWatch, open_ledger, result_of
from farthing.clock import Clock, FakeClock
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.identity.keys import hash_key, looks_like, make_key, parse_scopes, redact
from farthing.stores.access import Act
from tests.support import START_US

T = TypeVar("T")
ME = Act("test", START_US)


class Answer(Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw, parse_float=str)
        return found

    @property
    def data(self) -> dict[str, Any]:
        assert self.status == 200, self.raw
        assert self.json["success"] is True
        found: dict[str, Any] = self.json["data"]
        return found

    @property
    def told(self) -> tuple[int, str]:
        """Status and code of an error in the CountWerk dialect; its form is checked on the way."""
        body = self.json
        assert self.headers["content-type"] == "application/json"
        assert set(body) - {"data"} == {"success", "code", "message", "timestamp"}, body
        assert body["success"] is False
        assert body["message"].endswith((".", "?"))
        assert len(body["message"]) > 10
        return self.status, body["code"]


class Server:
    """A ledger with two workspaces, served on a free port."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock | None = None,
        engine: Any = None,
        reports: Any = None,
        rate_limit: int = 0,
        limits: Limits | None = None,
        access_log: bool = False,
        checks: Mapping[str, Check] | None = None,
        find: Any = None,
        settings: WorkspaceSettings | None = None,
        scale: int = 6,
    ) -> None:
        self.clock = clock or FakeClock(START_US)
        self.path = folder / "ledger.db"
        self.metrics = Metrics()
        self.ledger = open_ledger(f"sqlite:///{self.path}", create=True, clock=self.clock, observer=self.metrics)
        self.metrics.depth = lambda: self.ledger.engine.depth
        for workspace in ("main", "other"):
            row = Workspace(
                workspace, workspace.title(), "live", "credits", scale, START_US, settings or WorkspaceSettings()
            )
            result_of(self.ledger.access.create_workspace(row, ME))
        self.watch = ConfigWatch(self.path)
        self.watch.start()
        self.log = io.StringIO()
        keys = KeyAuth(
            find=find or self.ledger.access.credential,
            workspace=self.ledger.reports.workspace,
            generation=lambda: self.watch.generation,
            hash_key=hash_key,
            plausible=lambda text: looks_like(text) != "malformed",
            now_us=self.ledger.clock.now_us,
        )
        now_us = self.ledger.clock.now_us
        reports = reports or self.ledger.reports
        face = CountWerk(engine or self.ledger.engine, reports, keys, now_us, self.metrics)
        default = {"database": database_check(reports), "clock": clock_check(self.ledger.clock)}
        self.app = App(
            [face],
            pages=pages(document([face], "1.2.3"), default if checks is None else checks, self.metrics, "1.2.3"),
            limiter=RateLimiter(rate_limit, 60),
            now_us=now_us,
            observer=self.metrics,
            log=make_logger("info", self.log, redact),
            limits=limits or Limits(),
            access_log=access_log,
        )
        self._start()
        self.key = self.new_key()

    def _start(self) -> None:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        config = uvicorn.Config(
            self.app, log_config=None, access_log=False, lifespan="off", ws="none", server_header=False,
            loop="uvloop", http="httptools", timeout_graceful_shutdown=2,
        )  # fmt: skip
        self._uvicorn = uvicorn.Server(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="test-server")
        self._thread.start()
        while not self._uvicorn.started:
            time.sleep(0.002)

    def _serve(self) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            await self._uvicorn.serve(sockets=[self.socket])

        uvicorn.run  # noqa: B018 - the thread must not install signal handlers; `serve` sees that it is no main thread
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())

    def close(self) -> None:
        self._uvicorn.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.watch.stop()
        self.ledger.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Keys

    def within(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the server's loop, whose database connection it shares."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def new_key(
        self, scopes: str = "read,charge,grant", workspace: str = "main", mode: Any = "live", expires_at: int | None = None
    ) -> str:
        """A key's text; its id is `key_` and its hint."""
        key = make_key(mode)
        work = self.ledger.access.create_key(
            workspace, "key_" + key.hint, key.hash, key.hint, "test", parse_scopes(scopes), ME, expires_at
        )
        self.within(work)
        return key.text

    # Asking

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def post(self, call: str, body: Any = None, *, key: str | None = None, **headers: str) -> Answer:
        """A call of the dialect; `body` may be text that is no JSON."""
        raw = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"X-API-Key": key or self.key, "Content-Type": "application/json"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send("POST", f"/api/credits/{call}", raw, fields)

    def add(self, account: str, amount: Any) -> Answer:
        """Credits for a new payment."""
        payment = f"pay-{account}-{time.monotonic_ns()}"
        source = {"productId": "p", "orderId": "o", "transactionId": payment}
        answer = self.post("add", {"account_id": account, "amount": amount, "source": source})
        assert answer.status == 200, answer.raw
        return answer

    def balance(self, account: str) -> Any:
        return self.post("balance", {"account_id": account}).data["balance"]

    def entries(self, account: str, workspace: str = "main") -> int:
        """How many entries the account has."""
        return len(self.within(self.ledger.reports.entries(workspace, account, limit=10_000)))

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]
