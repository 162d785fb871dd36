"""Workers: a parent that listens, hands each connection to one of several processes in turn, and keeps them alive.

The parent serves nothing and opens no database: it takes connections only while somebody can have them, and holds on to
each until a worker has said that it has it (`handover`). A worker that ends is started again, at once at first, then
after growing pauses. SIGHUP replaces the workers one after another: a successor has to be ready before its predecessor
is told to go, so that no connection is refused, and one that does not get ready changes nothing. SIGTERM and SIGINT end
them all when they have finished what they have; a second SIGINT does not wait.

It is one thread around a selector: nothing here may wait for a worker.
"""

import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from farthing.server.bell import Bell, signals_ring
from farthing.server.handover import Heard, Outlet
from farthing.server.listening import BACKLOG, address_of
from farthing.settings import Settings
from farthing.stores.contract import StoreError

PAUSES: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before a worker is started again, by how often it has ended in a row."""
STEADY_SECONDS: Final = 60.0
"""A worker that has served for so long begins with the first pause again."""
START_SECONDS: Final = 60.0
END_SECONDS: Final = 12.0
"""A worker that takes longer to end than it gives its clients and answers is killed."""
ACCEPT_PAUSE_SECONDS: Final = 0.2
ACCEPT_AT_ONCE: Final = 64
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_SOCKET_PATH_BYTES: Final = 70


class Order(Struct):
    """What a worker is told at its start."""

    settings: Settings
    worker: int
    start: int
    """Which start of a worker of this server it is."""
    folder: str
    """Where the workers ask each other for metrics."""


class WorkersFailed(StoreError):
    """A worker did not start, or did not end by itself; the log says why."""

    code = "workers_failed"


class Worker:
    """One process, and what the parent knows of it."""

    def __init__(self, number: int, process: "subprocess.Popen[bytes]", outlet: Outlet) -> None:
        self.number = number
        self.process = process
        self.outlet = outlet
        self.began = time.monotonic()
        self.ready = False
        self.leaving = False
        """It takes no connection any more."""
        self.silent = False
        """Its side of the pair is closed."""
        self.until: float | None = self.began + START_SECONDS
        """When it is killed unless it is ready, or has ended."""

    def leave(self) -> None:
        """Tell it to finish what it has."""
        self.leaving = True
        self.until = time.monotonic() + END_SECONDS
        self.outlet.end()


class Place:
    """The place of a worker: who has it, who is to have it, and how often in a row somebody ended there."""

    def __init__(self) -> None:
        self.current: Worker | None = None
        self.next: Worker | None = None
        self.ends = 0
        self.start_at: float | None = None


def serve_with_workers(
    settings: Settings, sock: socket.socket, log: FilteringBoundLogger, on_ready: Callable[[str], None]
) -> None:  # fmt: skip
    """Keep workers that serve on a listening socket, until SIGTERM or SIGINT; `on_ready` is told when all are ready."""
    with _private_folder() as folder, signals_ring(_SIGNALS) as bell:
        parent = Parent(settings, sock, log, on_ready, folder, bell)
        parent.run()
        if parent.failed:
            raise WorkersFailed(WorkersFailed.__doc__)


class Parent:
    """Listens, hands over, starts again."""

    def __init__(
        self, settings: Settings, sock: socket.socket, log: FilteringBoundLogger, on_ready: Callable[[str], None],
        folder: Path, bell: Bell,
    ) -> None:  # fmt: skip
        self.failed = False
        self._settings = settings
        self._sock = sock
        self._log = log
        self._on_ready: Callable[[str], None] | None = on_ready
        self._folder = folder
        self._bell = bell
        self._selector = selectors.DefaultSelector()
        self._places = [Place() for _ in range(settings.workers)]
        self._workers: list[Worker] = []
        """All that run, also those that leave."""
        self._waiting: deque[socket.socket] = deque()
        """Connections that no worker has."""
        self._turn = 0
        self._starts = 0
        self._accepting = False
        self._accept_at = 0.0
        self._stopping = False
        self._to_replace: deque[int] = deque()

    def run(self) -> None:
        """Until all workers have ended."""
        self._selector.register(self._bell.fileno(), selectors.EVENT_READ)
        for number in range(len(self._places)):
            self._places[number].current = self._start(number)
        while self._workers or not self._stopping:
            self._listen_if_useful()
            for key, _ in self._selector.select(self._seconds_until_next()):
                if key.fileobj is self._sock:
                    self._accept()
                elif key.data is not None:
                    self._hear(key.data)
            for number in self._bell.rung():
                self._signalled(number)
            self._look_after_workers()
        for connection in self._waiting:
            connection.close()
        self._selector.close()

    # Connections

    def _listen_if_useful(self) -> None:
        """Connections stay with the system while nobody can have them, and none waits before others."""
        self._hand_out()
        useful = (
            not self._stopping
            and not self._waiting
            and any(map(_serves, self._workers))
            and time.monotonic() >= self._accept_at
        )
        if useful != self._accepting:
            self._accepting = useful
            if useful:
                self._selector.register(self._sock, selectors.EVENT_READ)
            else:
                self._selector.unregister(self._sock)

    def _accept(self) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            if self._waiting:
                return
            try:
                connection, _ = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._log.warning("can't accept connections, and will try again", error=error.strerror)
                self._accept_at = time.monotonic() + ACCEPT_PAUSE_SECONDS
                return
            # An answer must not wait for the client's word that it has the one before.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._waiting.append(connection)
            self._hand_out()

    def _hand_out(self) -> None:
        """Give each connection that waits to the next worker in turn that can have it."""
        while self._waiting:
            serving = [worker for worker in self._workers if _serves(worker)]
            self._turn += 1
            turns = (serving[(self._turn + step) % len(serving)] for step in range(len(serving)))
            if not any(worker.outlet.give(self._waiting[0]) for worker in turns):
                return
            self._waiting.popleft()

    # Workers

    def _start(self, number: int) -> Worker:
        self._starts += 1
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "farthing.worker"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # A Ctrl-C is for the parent, which tells the workers.
                process_group=0,
            )
        # Not on the command line, where others could read the database's password.
        order = Order(self._settings, number, self._starts, str(self._folder))
        worker = Worker(number, process, Outlet(ours, msgspec.json.encode(order)))
        self._workers.append(worker)
        self._selector.register(worker.outlet.side, selectors.EVENT_READ, worker)
        self._log.info("worker starts", worker=number, pid=process.pid)
        return worker

    def _hear(self, worker: Worker) -> None:
        heard, returned = worker.outlet.hear()
        self._waiting.extend(returned)
        if returned:  # it may open no more files: others first
            self._accept_at = time.monotonic() + ACCEPT_PAUSE_SECONDS
        for word in heard:
            if word is Heard.READY:
                self._is_ready(worker)
                continue
            worker.leaving = True
            worker.until = worker.until or time.monotonic() + END_SECONDS
            # Who says that it leaves reads no more; of one that is silent the end is awaited, to be sure of it.
            if word is Heard.LEAVING:
                self._waiting.extend(worker.outlet.take_back())
            elif not worker.silent:
                worker.silent = True
                self._selector.unregister(worker.outlet.side)

    def _is_ready(self, worker: Worker) -> None:
        worker.ready, worker.until = True, None
        place = self._places[worker.number]
        if place.next is worker:
            before, place.current, place.next = place.current, worker, None
            if before is not None:
                before.leave()
        if self._on_ready is not None and all(p.current is not None and p.current.ready for p in self._places):
            tell, self._on_ready = self._on_ready, None
            tell(address_of(self._sock))

    def _look_after_workers(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.process.poll() is not None:
                self._ended(worker)
            elif worker.until is not None and now >= worker.until:
                self._log.error("worker is killed: it took too long", worker=worker.number, pid=worker.process.pid)
                self.failed = self.failed or self._stopping
                worker.until = None
                worker.process.kill()
        for number, place in enumerate(self._places):
            if place.start_at is not None and now >= place.start_at and not self._stopping:
                self._start_again(number, place)
        self._replace_next()

    def _start_again(self, number: int, place: Place) -> None:
        try:
            place.current = self._start(number)
            place.start_at = None
        except OSError as error:  # the machine can't have more processes just now
            place.start_at = time.monotonic() + PAUSES[-1]
            self._log.error("worker can't be started, and will be", worker=number, error=error.strerror)

    def _ended(self, worker: Worker) -> None:
        """What it had not taken goes to others; its place is filled again, unless that was meant."""
        self._workers.remove(worker)
        if not worker.silent:
            self._hear(worker)
        self._waiting.extend(worker.outlet.take_back())
        if not worker.silent:
            self._selector.unregister(worker.outlet.side)
        worker.outlet.close()
        place, how = self._places[worker.number], _how_it_ended(worker)
        if self._stopping:
            return
        if place.next is worker:
            place.next = None
            self._to_replace.clear()
            self._log.error("restart is given up: the new worker did not get ready", worker=worker.number, **how)
        elif place.current is worker:
            place.current = None
            self._fill_again(worker, place, how)
        else:
            self._log.info("worker has ended", worker=worker.number, **how)

    def _fill_again(self, worker: Worker, place: Place, how: dict[str, object]) -> None:
        if self._on_ready is not None:
            # Before anybody was served it is for who started us to hear of it.
            self._log.error("worker did not start", worker=worker.number, **how)
            self.failed = True
            self._stop()
            return
        place.ends = 1 if time.monotonic() - worker.began > STEADY_SECONDS else place.ends + 1
        pause = PAUSES[min(place.ends, len(PAUSES)) - 1]
        place.start_at = time.monotonic() + pause
        self._log.error("worker has ended, and is started again", worker=worker.number, pause=pause, **how)

    # Restarting and stopping

    def _replace_next(self) -> None:
        """Begin with the next place once nobody is on the way in or out."""
        if self._stopping or not self._to_replace or any(w.leaving or not w.ready for w in self._workers):
            return
        number = self._to_replace.popleft()
        if self._places[number].start_at is not None:  # it is started with the new code anyway
            return
        try:
            self._places[number].next = self._start(number)
        except OSError as error:
            self._to_replace.clear()
            self._log.error("restart is given up: no process can be started", worker=number, error=error.strerror)

    def _signalled(self, number: int) -> None:
        if number == signal.SIGHUP and not self._stopping:
            self._log.info("restart: workers are replaced one after another")
            self._to_replace = deque(range(len(self._places)))
        elif number in (signal.SIGTERM, signal.SIGINT) and not self._stopping:
            self._stop()
        elif number == signal.SIGINT:
            for worker in self._workers:
                worker.process.send_signal(signal.SIGINT)

    def _stop(self) -> None:
        """Take what has connected already, then no more; the workers finish what they have."""
        if self._accepting:
            for _ in range(BACKLOG // ACCEPT_AT_ONCE):
                self._accept()
        self._stopping = True
        self._listen_if_useful()
        self._sock.close()
        for worker in self._workers:
            if worker.ready:
                worker.leave()
            else:
                worker.process.terminate()

    def _seconds_until_next(self) -> float | None:
        """How long nothing is due."""
        due = [worker.until for worker in self._workers if worker.until is not None]
        due += [place.start_at for place in self._places if place.start_at is not None]
        if self._waiting or not self._accepting:
            due.append(max(self._accept_at, time.monotonic() + ACCEPT_PAUSE_SECONDS))
        return max(0.0, min(due) - time.monotonic()) if due else None


def _serves(worker: Worker) -> bool:
    return worker.ready and not worker.leaving


def _how_it_ended(worker: Worker) -> dict[str, object]:
    code = worker.process.returncode
    how: dict[str, object] = {"pid": worker.process.pid}
    return how | ({"signal": signal.Signals(-code).name} if code < 0 else {"exit": code})


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder for sockets that only this user enters; their paths must be short."""
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > _SOCKET_PATH_BYTES:
        parent = "/tmp"  # noqa: S108 - what is made there is our own
    folder = Path(tempfile.mkdtemp(prefix="farthing-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
