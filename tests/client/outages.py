"""Outages for the tests of the journal: a way to a server that can be shut and opened, and clients that hurry."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from farthing.client import background, connecting
from farthing.client.retries import Retries
from tests.api.serving import Server
from tests.client.driving import Kind, Place


class Way:
    """A port that leads to a server. Shut, nobody listens there."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._listener = self._listening(0)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._ends: set[socket.socket] = set()
        self._serve()

    def _listening(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        return listener

    def _serve(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._behind), timeout=60)
                self._ends |= {near, far}
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def shut(self) -> None:
        """Nobody listens any more, and what was connected is not."""
        # Closing alone would leave the one that waits in `accept` to take one more.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends = set()

    def open(self) -> None:
        """It is back."""
        self._listener = self._listening(self.port)
        self._serve()


class Shop:
    """A server behind a way, a journal, and clients of a kind that use both."""

    def __init__(self, server: Server, kind: Kind, folder: Path) -> None:
        self.server = server
        self.way = Way(server.port)
        self.journal = folder / "journal"
        self.key = server.new_key("admin")
        self.place = Place(kind, self.way.url, api_key=self.key, timeout=5)
        self._direct = Place("sync", f"http://127.0.0.1:{server.port}", api_key=self.key)
        self.direct: Any = self._direct.open()

    def open(self, **more: Any) -> Any:
        """A client that queues."""
        return self.place.open(**{"on_unavailable": "queue", "journal": self.journal} | more)

    def funded(self, account: str, amount: int = 100) -> str:
        """An account with credits."""
        self.direct.grant(account, amount)
        return account

    def charges(self, account: str) -> list[Any]:
        """What was charged, oldest first."""
        return list(self.direct.charges.list(account))[::-1]

    @property
    def files(self) -> list[Path]:
        return sorted(self.journal.glob("*.journal"))

    def close(self) -> None:
        with suppress(OSError):
            self.way.shut()
        self.place.close()
        self._direct.close()


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have clients wait for next to nothing between their tries."""
    monkeypatch.setattr(connecting, "Retries", lambda most: Retries(most, 0.001))
    monkeypatch.setattr(background, "FIRST_SECONDS", 0.02)
    monkeypatch.setattr(background, "LONGEST_SECONDS", 0.1)


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def make_shop(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Kind], Shop]]:
    """Makes shops; their clients hurry."""
    hurry(monkeypatch)
    made: list[Shop] = []

    def make(kind: Kind) -> Shop:
        made.append(Shop(server, kind, tmp_path))
        return made[-1]

    yield make
    for shop in made:
        shop.close()


@pytest.fixture
def shop(make_shop: Callable[[Kind], Shop], kind: Kind) -> Shop:
    return make_shop(kind)


def said(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal's file, read by nothing of its own code."""
    return [msgspec.json.decode(line.split(b" ", 2)[2]) for line in path.read_bytes().splitlines()]
