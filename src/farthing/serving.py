"""Serving: puts a ledger behind HTTP, and ends it without losing a word. Beside `app` the only file that knows all.

`serve` holds the lock file, opens the ledger on its event loop (or with the engine in a thread), watches the settings,
sweeps what time brings, and listens. SIGTERM and SIGINT stop it: no new connections, what was accepted is finished
and answered, the engine is closed, and `serve` returns.
"""

import asyncio
import logging
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn
import uvloop
from structlog.typing import FilteringBoundLogger

from farthing import __version__
from farthing.api import openapi, pages
from farthing.api.asgi import App, Limits
from farthing.api.auth import KeyAuth
from farthing.api.countwerk import CountWerk
from farthing.api.limits import RateLimiter
from farthing.api.logs import LEVELS, make_logger
from farthing.api.metrics import Metrics
from farthing.api.protocol import HEAD_SECONDS, Protocols
from farthing.app import ConfigWatch, Ledger, ThreadedDatabase, database_path, open_ledger
from farthing.core.commands import Command
from farthing.core.credentials import hash_key, looks_like, redact
from farthing.jobs.sweeper import keep_sweeping
from farthing.settings import Settings
from farthing.stores.contract import StoreError
from farthing.stores.lockfile import LockFile
from farthing.stores.migrate import MigrationError, require_current
from farthing.stores.schema import schema_of, translated

Generation = Callable[[], int | None]
"""The version that caches hang on, None while it is not known."""

RATE_WINDOW_SECONDS: Final = 60
KEEP_ALIVE_SECONDS: Final = 75
"""Longer than load balancers keep idle connections, so that it is they who close them."""
SHUTDOWN_SECONDS: Final = 8
"""What an answer may still take after SIGTERM; containers are killed after 10."""
MAX_OPEN_FILES: Final = 65_536
BACKLOG: Final = 2_048


class CannotListen(Exception):
    """An address that can't be listened on."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is told the address once requests are taken."""
    path = database_path(settings.database_url)
    require_current(schema_of(path))
    log = make_logger(settings.log_level, redact=redact)
    lock = LockFile(path, share=settings.share)
    try:
        with listening(settings.host, settings.port) as sock, _library_logs(log, settings.log_level):
            _raise_file_limit()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(settings, path, sock, log, on_ready))
    finally:
        lock.release()


async def _serve(
    settings: Settings, path: Path, sock: socket.socket, log: FilteringBoundLogger, on_ready: Callable[[str], None]
) -> None:  # fmt: skip
    loop = asyncio.get_running_loop()
    metrics = Metrics()
    with ExitStack() as held:
        ledger = _open(settings, path, loop, Observer(metrics, log))
        held.callback(ledger.close)
        metrics.depth = lambda: ledger.engine.depth
        watch = ConfigWatch(path, ledger.clock.accept)
        with translated(path):
            watch.start()
        held.callback(watch.stop)
        server = Server(build_app(settings, ledger, lambda: watch.generation, metrics, log), settings, on_ready)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.stop, number)
        sweeper = loop.create_task(_sweep(settings, ledger, log))
        try:
            await server.serve([sock])
        finally:
            sweeper.cancel()
            await asyncio.gather(sweeper, return_exceptions=True)


def _open(settings: Settings, path: Path, loop: asyncio.AbstractEventLoop, observer: "Observer") -> Ledger:
    return open_ledger(
        settings.database_url,
        inline_on=loop if settings.engine == "inline" else None,
        observer=observer,
        max_batch=settings.max_batch,
        max_queue=settings.max_queue,
        reader=ThreadedDatabase(path),
    )


def build_app(
    settings: Settings, ledger: Ledger, generation: Generation, metrics: Metrics, log: FilteringBoundLogger
) -> App:  # fmt: skip
    """The application: faces, pages and what stands around them, on an open ledger."""
    auth = KeyAuth(
        find=ledger.access.credential,
        workspace=ledger.reports.workspace,
        generation=generation,
        hash_key=hash_key,
        plausible=lambda text: looks_like(text) != "malformed",
        now_us=ledger.clock.now_us,
    )
    faces = [CountWerk(ledger.engine, ledger.reports, auth, ledger.clock.now_us, metrics)]
    checks = {
        "database": pages.database_check(ledger.reports, settings.allow_unsafe),
        "schema": _schema_check(ledger.path),
        "storage": pages.storage_check(ledger.path),
        "clock": pages.clock_check(ledger.clock),
    }
    return App(
        faces,
        pages=pages.pages(openapi.document(faces, __version__), checks, metrics, __version__),
        limiter=RateLimiter(settings.rate_limit, RATE_WINDOW_SECONDS),
        now_us=ledger.clock.now_us,
        observer=metrics,
        log=log,
        limits=Limits(
            body_bytes=settings.body_limit,
            body_seconds=settings.request_timeout,
            answer_seconds=settings.request_timeout,
        ),
        access_log=settings.access_log,
    )


def _schema_check(path: Path) -> Callable[[], Awaitable[str | None]]:
    """The schema is the one this program knows: another may have been at work since it started."""

    def look() -> str | None:
        try:
            require_current(schema_of(path))
        except (StoreError, MigrationError) as error:
            return str(error)
        return None

    async def check() -> str | None:
        return await asyncio.to_thread(look)

    return check


class Observer:
    """Told by the engine: counts, and logs a crash with its traceback, which no caller is shown."""

    def __init__(self, metrics: Metrics, log: FilteringBoundLogger) -> None:
        self.committed = metrics.committed
        self._metrics = metrics
        self._log = log

    def crashed(self, command: Command, error: BaseException) -> None:
        """A bug stopped a command."""
        self._metrics.crashed(command, error)
        self._log.error("command crashed", kind=command.kind, id=command.id, exc_info=error)


async def _sweep(settings: Settings, ledger: Ledger, log: FilteringBoundLogger) -> None:
    """Sweep for as long as the server lives."""

    def tell(error: Exception) -> None:
        log.warning("sweep failed, and will be tried again", error=str(error))

    try:
        await keep_sweeping(ledger.engine, ledger.reports, ledger.clock.now_us, settings.sweep_seconds, tell)
    except Exception:
        log.exception("the sweeper has stopped: lapses are booked only when somebody asks")
        raise


# Listening


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that is bound to the address; port 0 takes a free one."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise CannotListen("address_unavailable", f"{host} is no address of this machine: {error.strerror}") from error
    with socket.socket(family, kind, protocol) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(address)
            sock.listen(BACKLOG)
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        sock.setblocking(False)
        yield sock


def _cannot_listen(host: str, port: int, error: OSError) -> CannotListen:
    if error.errno == 98:
        return CannotListen("port_in_use", f"port {port} is in use; choose another with --port (0 takes a free one)")
    return CannotListen("address_unavailable", f"can't listen on {host}, port {port}: {error.strerror}")


def address_of(sock: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _raise_file_limit() -> None:
    """Each connection is an open file; many systems allow a process 1,024 until it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


# The server


class Server(uvicorn.Server):
    """uvicorn's server, with our way to stop, and word of being ready."""

    def __init__(self, app: App, settings: Settings, on_ready: Callable[[str], None]) -> None:
        http: Any = Protocols(head_seconds=min(HEAD_SECONDS, settings.request_timeout))
        config = uvicorn.Config(
            app,
            interface="asgi3",
            http=http,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            backlog=BACKLOG,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        super().__init__(config)
        self._on_ready = on_ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: signals come through the event loop, and a clean end is no death by signal."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take requests, and say so."""
        assert sockets
        await super().startup(sockets)
        self._on_ready(address_of(sockets[0]))

    def stop(self, number: int) -> None:
        """A signal came; the second SIGINT does not wait for anybody."""
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True


# Logs of the libraries


@contextmanager
def _library_logs(log: FilteringBoundLogger, level: str) -> Iterator[None]:
    """What uvicorn and asyncio have to say goes into our log, and nothing goes anywhere else."""
    handler = ToLog(log)
    known = [logging.getLogger(name) for name in ("uvicorn", "asyncio")]
    for logger in known:
        logger.addHandler(handler)
        logger.propagate = False
        # Their "info" tells of each start and connection: of use to us only while debugging.
        logger.setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    try:
        yield
    finally:
        for logger in known:
            logger.removeHandler(handler)


class ToLog(logging.Handler):
    """Hands the standard library's log records to our log."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        level = max(number for number in LEVELS.values() if number <= max(record.levelno, min(LEVELS.values())))
        facts: dict[str, Any] = {"exc_info": record.exc_info} if record.exc_info else {}
        self._log.log(level, record.getMessage(), logger=record.name, **facts)
