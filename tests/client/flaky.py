"""A server that misbehaves by a script: it reads each request to its end, and then does what comes next."""

import re
import socket
import threading
from collections.abc import Callable, Iterable

Step = Callable[["Exchange"], None]
"""What is done with a request."""


class Exchange:
    """One request, on its connection."""

    def __init__(self, connection: socket.socket, head: bytes, body: bytes, behind: int | None) -> None:
        self.connection = connection
        self.head = head
        self.body = body
        self._behind = behind

    @property
    def fields(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def passed_on(self, body: bytes | None = None) -> bytes:
        """What the real server answers to it, or to the same with another body."""
        assert self._behind is not None
        sent = self.body if body is None else body
        head = re.sub(rb"(?i)\r\ncontent-length: [0-9]+", b"", self.head)
        head = head.replace(b"\r\n", b"\r\nconnection: close\r\ncontent-length: %d\r\n" % len(sent), 1)
        with socket.create_connection(("127.0.0.1", self._behind), timeout=60) as real:
            real.sendall(head + b"\r\n\r\n" + sent)
            return b"".join(iter(lambda: real.recv(65_536), b""))


def answer(status: int, body: bytes, *, kind: str = "application/problem+json", **fields: str) -> Step:
    """A whole answer, after which the connection ends."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    head = f"HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n{lines}"
    return lambda exchange: exchange.send(head.encode() + b"\r\n" + body)


def problem(status: int, code: str, **fields: str) -> Step:
    """An error of Farthing's."""
    body = b'{"code": "%s", "status": %d, "detail": "It is so.", "request_id": "req_1"}' % (code.encode(), status)
    return answer(status, body, **fields)


def drop(exchange: Exchange) -> None:
    """Nothing is answered."""


def serve(exchange: Exchange) -> None:
    """What the real server says."""
    exchange.send(exchange.passed_on())


def serve_and_drop(exchange: Exchange) -> None:
    """It is done, and then nobody is told."""
    exchange.passed_on()


def serve_and_cut(exchange: Exchange) -> None:
    """It is done, and told in part."""
    exchange.send(exchange.passed_on()[:-40])


def hang(exchange: Exchange) -> None:
    """Nothing comes, for as long as the client waits."""
    while exchange.connection.recv(1_000):
        pass


class Flaky:
    """Does one step for each request; the last one for all that follow."""

    def __init__(self, steps: Iterable[Step], behind: int | None = None) -> None:
        self._steps = list(steps)
        self._behind = behind
        self.seen: list[Exchange] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._run, daemon=True).start()

    def __enter__(self) -> "Flaky":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(60)
                exchange = self._read(connection)
                self.seen.append(exchange)
                step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
                step(exchange)

    def _read(self, connection: socket.socket) -> Exchange:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65_536)
        head, _, body = data.partition(b"\r\n\r\n")
        exchange = Exchange(connection, head, body, self._behind)
        while len(exchange.body) < int(exchange.fields.get("content-length", "0")):
            exchange.body += connection.recv(65_536)
        return exchange
