"""A real server for the tests of the HTTP faces: uvicorn in a thread, a ledger on either database, a small client."""

import asyncio
import http.client
import io
import json
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import uvloop
from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from farthing import serving
from farthing.api.asgi import App
from farthing.api.logs import make_logger
from farthing.api.metrics import Metrics
from farthing.app import ConfigWatch, Ledger, open_ledger
from farthing.clock import Clock, FakeClock
from farthing.core.commands import Command
from farthing.core.credentials import parse_scopes, redact
from farthing.core.outcomes import Accepted
from farthing.core.records import Entry, Workspace, WorkspaceSettings
from farthing.desks import Watch
from farthing.identity.keys import NewKey, make_key
from farthing.server.http import Server as HttpServer
from farthing.server.listening import listening
from farthing.settings import Settings
from farthing.stores.access import Act
from farthing.stores.statements import in_words_of
from farthing.working import Observer
from tests.api.documents import documents_made_once
from tests.support import START_US, lay

T = TypeVar("T")
ME = Act("test", START_US)
Build = Callable[[Settings, Ledger, Watch, Metrics, FilteringBoundLogger], App]


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until it holds; give up after a time that only something broken takes."""
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.005)


class Answer(Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.raw)
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
        assert body["message"].endswith(".")
        assert len(body["message"]) > 15
        return self.status, body["code"]

    @property
    def message(self) -> str:
        found: str = self.json["message"]
        return found


def id_of(key: str) -> str:
    """The id under which a test's key is kept. Four of its characters would be somebody else's before long."""
    return "key_" + key[-16:]


class Server:
    """A ledger served on a free port, with two workspaces: `main`, which is live, and `other`, which is for tests."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock | None = None,
        scale: int = 6,
        workspace: WorkspaceSettings | None = None,
        url: str = "",
        build: Build = serving.build_app,
        inline: bool = True,
        **settings: Any,
    ) -> None:
        self.clock = clock or FakeClock(START_US)
        self.path = folder / "ledger.db"
        self.settings = Settings(**{"rate_limit": 0, "port": 0, **settings})
        self.metrics = Metrics()
        self.log = io.StringIO()
        log = make_logger("info", self.log, redact)
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._loop_thread = ThreadPoolExecutor(1, thread_name_prefix="test-server")
        if not url and not self.path.exists():
            lay(self.path)
        self.ledger = self._at_home(self._open(url or f"sqlite:///{self.path}", log, inline))
        self.metrics.depth = lambda: self.ledger.engine.depth
        own = workspace or WorkspaceSettings()
        for row in (
            Workspace("main", "Main", "live", "credits", scale, START_US, own),
            Workspace("other", "Other", "test", "credits", 6, START_US, WorkspaceSettings()),
        ):
            self._at_home(self.ledger.access.create_workspace(row, ME))
        self.watch = ConfigWatch(lambda: self.ledger.backend.config(self.clock))
        self.watch.start()
        with documents_made_once():
            self.app = build(self.settings, self.ledger, self.watch, self.metrics, log)
        self._start()
        self.key = self.new_key()

    def _start(self) -> None:
        ready = threading.Event()
        with listening("127.0.0.1", 0) as bound:
            sock = bound.dup()
        sock.setblocking(False)
        self.port: int = sock.getsockname()[1]
        self._server = HttpServer(self.app, self.settings, lambda _: ready.set())
        self._serving = self._loop_thread.submit(lambda: self._runner.run(self._server.serve([sock])))
        assert ready.wait(60)

    async def _open(self, url: str, log: FilteringBoundLogger, inline: bool) -> Ledger:
        self._loop = asyncio.get_running_loop()
        return open_ledger(
            url,
            create=True,
            clock=self.clock,
            observer=Observer(self.metrics, log),
            inline_on=self._loop if inline else None,
            reader=True,
        )

    def _at_home(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the server's thread, while it does not serve."""
        return self._loop_thread.submit(lambda: self._runner.run(work)).result()

    def close(self) -> None:
        self._server.should_exit = True
        self._serving.result(60)
        self.watch.stop()
        self._at_home(self.app.aclose())
        self._at_home(self.ledger.aclose())
        self._loop_thread.submit(self._runner.close).result(60)
        self._loop_thread.shutdown()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Behind the face

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something that reads or changes the database, on the loop that it belongs to."""
        if self.ledger.backend.dialect == "sqlite":
            return asyncio.run(work)
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def sql(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a statement of our own, with ? for its values."""
        told = in_words_of(self.ledger.backend.dialect, text)
        return self.run(self.ledger.database.write(lambda execute: execute(told, values)))

    def catch_up(self) -> None:
        """Wait until the server has seen what was changed behind its back."""
        (version,) = self.sql("select value from config where name = 'version'")[0]
        wait_for(lambda: self.watch.generation == int(version))

    def new_key(
        self, scopes: str = "read,charge,grant", workspace: str = "main", ends_at: int | None = None, key: Any = None
    ) -> str:
        """A key's text; its id is `id_of` that."""
        made: NewKey = key or make_key("live" if workspace == "main" else "test")
        work = self.ledger.access.create_key(
            workspace, id_of(made.text), made.hash, made.hint, "test", parse_scopes(scopes), ME, ends_at
        )
        self.run(work)
        return made.text

    def do(self, command: Command) -> Entry:
        """Play a command that must be accepted."""
        outcome = self.ledger.do(command)
        assert isinstance(outcome, Accepted), outcome
        assert outcome.entry is not None
        return outcome.entry

    def entries(self, account: str, workspace: str = "main") -> list[Entry]:
        """All entries of an account, newest first."""
        return self.run(self.ledger.reports.entries(workspace, account, limit=10_000))

    def count(self) -> int:
        """How many entries the whole ledger has."""
        rows = self.run(self.ledger.database.rows("select count(*) from entry"))
        found: int = rows[0][0]
        return found

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    # Asking

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def post(self, call: str, body: Any = None, *, key: str | None = None, **headers: str) -> Answer:
        """A call of the dialect; `body` may be text that is no JSON."""
        raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        fields = {"X-API-Key": key or self.key, "Content-Type": "application/json"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        path = "/api/purchase-links" if call == "purchase-links" else f"/api/credits/{call}"
        return self.send("POST", path, raw, fields)

    def add(self, account: str, amount: Any) -> Answer:
        """Credits for a new payment."""
        payment = f"pay-{time.monotonic_ns()}"
        source = {"productId": "p", "orderId": "o", "transactionId": payment}
        answer = self.post("add", {"account_id": account, "amount": amount, "source": source})
        assert answer.status == 200, answer.raw
        return answer

    def balance(self, account: str) -> Any:
        return self.post("balance", {"account_id": account}).data["balance"]
