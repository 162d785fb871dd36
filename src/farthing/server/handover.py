"""Handing connections over: between the process that accepts them and one that serves them, through a socket pair.

The first word is the parent's: an order, that says what to serve and how. Then each connection comes as one byte with
its descriptor, and the worker answers with one byte each, in the same order: taken, or not. Until then the parent keeps
its own copy, so that a worker that dies in between takes no connection along; and as a worker says so before it reads a
byte of the connection, nothing of a request is lost that the next worker would need. When the parent closes its side,
whether it says goodbye or has died, the worker finishes what it has and ends.
"""

import socket
import time
from collections import deque
from contextlib import suppress
from enum import Enum
from typing import Final

CONNECTION: Final = b"c"
READY: Final = "r"
TAKEN: Final = "t"
NOT_TAKEN: Final = "n"
LEAVING: Final = "l"
UNANSWERED: Final = 64
"""How many connections may wait for a worker to take them."""
STUCK_SECONDS: Final = 1.0
"""A worker that has left a connection lying for so long gets no other before it has taken this one."""
_LENGTH_BYTES: Final = 4


class Heard(Enum):
    """What a worker said."""

    READY = "it takes connections"
    LEAVING = "it takes none any more"
    GONE = "its side is closed"


class Outlet:
    """The parent's side."""

    def __init__(self, side: socket.socket, order: bytes) -> None:
        self.side = side
        self._unanswered: deque[tuple[socket.socket, float]] = deque()
        with suppress(OSError):  # its end is heard, whenever it comes
            side.sendall(len(order).to_bytes(_LENGTH_BYTES, "big") + order)
        side.setblocking(False)

    def give(self, connection: socket.socket) -> bool:
        """Send a connection; False if the worker can't have it now, and then it is still the caller's."""
        now = time.monotonic()
        if self._unanswered and (len(self._unanswered) >= UNANSWERED or now - self._unanswered[0][1] > STUCK_SECONDS):
            return False
        try:
            socket.send_fds(self.side, [CONNECTION], [connection.fileno()])
        except OSError:
            return False
        self._unanswered.append((connection, now))
        return True

    def hear(self) -> tuple[list[Heard], list[socket.socket]]:
        """What the worker said, and connections that it did not take."""
        try:
            said = self.side.recv(4096)
        except BlockingIOError:
            return [], []
        except OSError:
            said = b""
        if not said:
            return [Heard.GONE], []
        heard: list[Heard] = []
        returned: list[socket.socket] = []
        for word in map(chr, said):
            if word == TAKEN:
                self._unanswered.popleft()[0].close()
            elif word == NOT_TAKEN:
                returned.append(self._unanswered.popleft()[0])
            else:
                heard.append(Heard.READY if word == READY else Heard.LEAVING)
        return heard, returned

    def take_back(self) -> list[socket.socket]:
        """What a worker was given that will not take it any more: it has gone, or said that it leaves."""
        left = [connection for connection, _ in self._unanswered]
        self._unanswered.clear()
        return left

    def end(self) -> None:
        """Say that nothing more will come."""
        with suppress(OSError):  # it has gone already
            self.side.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let go."""
        self.side.close()


class Intake:
    """The worker's side."""

    def __init__(self, side: socket.socket) -> None:
        self._side = side

    def fileno(self) -> int:
        """Readable when a connection came."""
        return self._side.fileno()

    def order(self) -> bytes:
        """The first word: waits for it."""
        length = int.from_bytes(self._exactly(_LENGTH_BYTES), "big")
        order = self._exactly(length)
        self._side.setblocking(False)
        return order

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = self._side.recv(size - len(found))
            if not part:
                raise EOFError("the parent has gone before it said what to do")
            found += part
        return found

    def take(self) -> tuple[list[socket.socket], bool]:
        """The connections that came, each answered for; and whether more may come."""
        taken: list[socket.socket] = []
        while True:
            try:
                words, descriptors, _, _ = socket.recv_fds(self._side, UNANSWERED, UNANSWERED)
            except BlockingIOError:
                return taken, True
            except OSError:
                return taken, False
            if not words:
                return taken, False
            taken += [socket.socket(fileno=descriptor) for descriptor in descriptors]
            # A process that may open no more files is given the word without the descriptor.
            self.say(TAKEN * len(descriptors) + NOT_TAKEN * (len(words) - len(descriptors)))

    def say(self, words: str) -> None:
        """Tell the parent; one that has gone is told nothing, and its end is heard by `take`."""
        with suppress(OSError):
            self._side.sendall(words.encode())
