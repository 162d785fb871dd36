"""The bell: signals that came, as something a selector can wait for."""

import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress


class Bell:
    """Signals that came, readable from the selector."""

    def __init__(self, side: socket.socket) -> None:
        self._side = side

    def fileno(self) -> int:
        """Readable when a signal came."""
        return self._side.fileno()

    def rung(self) -> list[int]:
        """The signals that came since, in their order."""
        with suppress(BlockingIOError):
            return list(self._side.recv(4096))
        return []


@contextmanager
def signals_ring(numbers: Sequence[signal.Signals]) -> Iterator[Bell]:
    """Have signals ring instead of doing what they do."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        before = [(number, signal.signal(number, lambda *_: None)) for number in numbers]
        old = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield Bell(ours)
        finally:
            signal.set_wakeup_fd(old)
            for number, handler in before:
                signal.signal(number, handler)
