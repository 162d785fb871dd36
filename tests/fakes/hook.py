"""Where events of Stripe go in the tests: what comes is verified by Stripe's own library before it counts."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stripe import WebhookSignature

from tests.fakes.receiver import Receiver


class Hook(Receiver):
    """A receiver that keeps the signatures as well."""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self.secret = secret
        self.signatures: list[str] = []
        self.RequestHandlerClass = _hearing(self.RequestHandlerClass)

    def events_from(self, place: int) -> list[dict[str, Any]]:
        """What was told, in the order in which it came, but for the first so many."""
        bodies = self.bodies[place:]
        for body, signature in zip(bodies, self.signatures[place:], strict=False):  # one more may come just now
            # How old they are is another's question: a stand-in may live in any year.
            assert WebhookSignature.verify_header(body, signature, self.secret)
        return [json.loads(body) for body in bodies]


def _hearing(base: Any) -> Any:
    class Hearing(base):  # type: ignore[misc]
        def do_POST(self) -> None:
            self.server.signatures.append(self.headers["stripe-signature"])
            super().do_POST()

    return Hearing


@contextmanager
def hooked(secret: str) -> Iterator[Hook]:
    """A receiver, for as long as the block lasts."""
    with Hook(secret) as hook:
        thread = threading.Thread(target=hook.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield hook
        finally:
            hook.shutdown()
            thread.join(5)
