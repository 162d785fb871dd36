"""Where a stand-in's notifications go in the tests: a server that keeps what comes, and answers as it is told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl


class Receiver(ThreadingHTTPServer):
    """Answers OK, unless other answers wait to be given."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.bodies: list[bytes] = []
        self.answers: list[tuple[int, bytes]] = []
        """What the next ones get in place of OK."""
        self.get_status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/ipn"

    def told(self, order_id: str) -> list[dict[str, str]]:
        """What was told of an order, in the order in which it came."""
        return [dict(parse_qsl(body.decode(), keep_blank_values=True)) for body in self.of(order_id)]

    def of(self, order_id: str) -> list[bytes]:
        """The bodies that are about an order."""
        name = f"&order_id={order_id}&".lower().encode()
        return [body for body in self.bodies if name in body.lower()]

    def events(self, order_id: str) -> list[str]:
        return [each["event"] for each in self.told(order_id)]


class _Talk(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._say(self.server.get_status, b"OK")

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self._say(*(self.server.answers.pop(0) if self.server.answers else (200, b"OK")))

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver, for as long as the block lasts."""
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.shutdown()
            thread.join(5)
