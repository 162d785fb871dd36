"""The HTTP server: uvicorn's, with our way to begin and to stop; what it and asyncio have to say goes into our log."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import uvicorn
from structlog.typing import FilteringBoundLogger

from farthing.api.asgi import App
from farthing.api.logs import LEVELS
from farthing.api.protocol import HEAD_SECONDS, Protocols
from farthing.server.handover import LEAVING, READY, Intake
from farthing.server.listening import BACKLOG, address_of
from farthing.settings import Settings

KEEP_ALIVE_SECONDS: Final = 75
"""Longer than load balancers keep idle connections, so that it is they who close them."""
SHUTDOWN_SECONDS: Final = 8
"""What an answer may still take after SIGTERM; containers are killed after 10."""
PARTING_LOOKS: Final = 20
PARTING_SECONDS: Final = 1.0
"""How long a worker that is replaced waits for its clients to go by themselves: each answer asks them to. Who is idle
is cut off afterwards."""


class Server(uvicorn.Server):
    """uvicorn's server, with our way to stop, and word of being ready."""

    def __init__(self, app: App, settings: Settings, on_ready: Callable[[str], None]) -> None:
        self.http = Protocols(head_seconds=min(HEAD_SECONDS, settings.request_timeout), hot=app.hot)
        config = uvicorn.Config(
            app,
            interface="asgi3",
            http=cast(Any, self.http),
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
        self._app = app
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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what was accepted; what would go on for ever comes to its end."""
        await self._app.end_streams()
        await super().shutdown(sockets)

    def stop(self, number: int) -> None:
        """A signal came; the second SIGINT does not wait for anybody."""
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True


class HandedServer(Server):
    """The server of a worker: connections are handed to it, until its parent says that no more will come, or a signal
    does. Then each answer asks its client to connect again, so that nobody's next request meets a closed door."""

    def __init__(self, app: App, settings: Settings, intake: Intake, on_parting: Callable[[], None]) -> None:
        super().__init__(app, settings, lambda _: None)
        self._intake = intake
        self._on_parting = on_parting
        self._welcoming: set[asyncio.Task[None]] = set()
        self._parting: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections, and say so."""
        await uvicorn.Server.startup(self, [])
        asyncio.get_running_loop().add_reader(self._intake.fileno(), self._take)
        self._intake.say(READY)

    def _take(self) -> None:
        connections, more = self._intake.take()
        for connection in connections:
            task = asyncio.get_running_loop().create_task(self._welcome(connection))
            self._welcoming.add(task)
            task.add_done_callback(self._welcoming.discard)
        if not more:
            self._part()

    async def _welcome(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError:  # the client has gone already
            connection.close()

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.http(self.config, self.server_state, self.lifespan.state)
        return made

    def stop(self, number: int) -> None:
        """A signal came to this worker alone; the second SIGINT does not wait for anybody."""
        if self._parting is None:
            self._intake.say(LEAVING)
            self._part()
        elif number == signal.SIGINT:
            self.force_exit = self.should_exit = True

    def _part(self) -> None:
        """Take no more, and let the clients go."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._intake.fileno())
        if self._parting is None:
            self._on_parting()
            self.http.part()
            for connection in self.server_state.connections:
                if (cycle := getattr(connection, "cycle", None)) is not None:
                    cycle.keep_alive = False
            self._parting = loop.create_task(self._see_them_off())

    async def _see_them_off(self) -> None:
        """Wait for a while, then end as every server does."""
        await self._app.end_streams()
        for _ in range(PARTING_LOOKS):
            if not (self._welcoming or self.server_state.connections):
                break
            await asyncio.sleep(PARTING_SECONDS / PARTING_LOOKS)
        self.should_exit = True


# Logs of the libraries


@contextmanager
def library_logs(log: FilteringBoundLogger, level: str) -> Iterator[None]:
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
