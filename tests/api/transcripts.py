"""Transcripts: recorded requests and answers that pin a dialect, byte for byte.

Ids differ from run to run, so a transcript has names in their place: `<ent_1>` is the first entry that an answer
showed, wherever it comes again. `python -m tests.api.transcripts` records them anew; read what has changed.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from farthing.core.catalogue import Product, TopUp
from farthing.core.purchases import Order
from farthing.stores.products import Products
from farthing.stores.purchases import Purchases
from tests.api.serving import ME, Server
from tests.support import START_US

FILE = Path(__file__).resolve().parents[1] / "transcripts" / "countwerk.json"
_ID = re.compile(r"\b(ent|hold|grt)_[0-9a-f]{32}\b")
_NAME = re.compile(r"<(?:ent|hold|grt)_\d+>")

_WORK = {"account_id": "user_42", "operation": "chat.message"}
_SOURCE = {"productId": "123456", "orderId": "AB12CD34", "transactionId": "987654321"}

# The story that is recorded: call, body, what time passes before it (seconds), further headers.
STORY: list[tuple[str, Any, float, dict[str, str]]] = [
    ("balance", {"account_id": "user_42"}, 0, {}),
    ("deduct", {**_WORK, "amount": 5, "usage_event_id": "chat-1"}, 0, {}),
    ("add", {"account_id": "user_42", "amount": 900, "source": _SOURCE, "description": "Starter pack"}, 0, {}),
    ("add", {"account_id": "user_42", "amount": 900, "source": _SOURCE, "description": "Starter pack"}, 1, {}),
    ("add", {"account_id": "user_43", "amount": 900, "source": _SOURCE}, 0, {}),
    ("deduct", {**_WORK, "amount": 5, "usage_event_id": "chat-1", "description": "Hi", "metadata": {"n": 1}}, 0, {}),
    ("deduct", {**_WORK, "amount": 5, "usage_event_id": "chat-1", "description": "Hi", "metadata": {"n": 1}}, 60, {}),
    ("deduct", {**_WORK, "amount": 6, "usage_event_id": "chat-1"}, 0, {}),
    ("deduct", {**_WORK, "amount": 0.24000000000000002, "usage_event_id": "chat-2"}, 0, {}),
    ("deduct", {**_WORK, "amount": 5}, 0, {}),
    ("deduct", {**_WORK, "operation": "No", "amount": 5, "usage_event_id": "chat-3"}, 0, {}),
    ("deduct", {**_WORK, "amount": 0, "usage_event_id": "chat-3"}, 0, {}),
    ("deduct", {**_WORK, "amount": 5000, "usage_event_id": "chat-3"}, 0, {}),
    ("reserve", {**_WORK, "amount": 20, "validityMinutes": 30, "description": "An image"}, 0, {}),
    ("balance", {"account_id": "user_42"}, 0, {}),
    ("confirm-reservation", {"reservationId": "<hold_1>", "actualAmount": 17.5}, 5, {}),
    ("confirm-reservation", {"reservationId": "<hold_1>", "actualAmount": 17.5}, 5, {}),
    ("confirm-reservation", {"reservationId": "<hold_1>", "actualAmount": 18}, 0, {}),
    ("cancel-reservation", {"reservationId": "<hold_1>"}, 0, {}),
    ("reserve", {**_WORK, "amount": 10}, 0, {"Idempotency-Key": "r-2"}),
    ("reserve", {**_WORK, "amount": 10}, 1, {"Idempotency-Key": "r-2"}),
    ("cancel-reservation", {"reservationId": "<hold_2>", "reason": "changed my mind"}, 0, {}),
    ("cancel-reservation", {"reservationId": "<hold_2>", "reason": "changed my mind"}, 0, {}),
    ("confirm-reservation", {"reservationId": "<hold_2>"}, 0, {}),
    ("reserve", {**_WORK, "amount": 10, "validityMinutes": 1}, 0, {}),
    ("confirm-reservation", {"reservationId": "<hold_3>"}, 60, {}),
    ("transactions", {"account_id": "user_42", "limit": 3}, 0, {}),
    ("transactions", {"account_id": "user_42", "limit": 501}, 0, {}),
    ("balance", {"account_id": "user_42"}, 0, {}),
    ("balance", {}, 0, {}),
    ("balance", {"account_id": "user_42"}, 0, {"X-API-Key": "cs_nobody_has_this"}),
    ("resolve-order", {"order_id": "AB12CD34"}, 0, {}),
    ("resolve-order", {"order_id": "EF56GH78"}, 0, {}),
    ("resolve-order", {"order_id": "NOWHERE1"}, 0, {}),
    ("purchase-links", {"ai_product_id": "assistant", "account_id": "user_42"}, 0, {}),
    ("purchase-links", {"account_id": "user_42"}, 0, {}),
]


class Names:
    """Names for ids, in the order in which they are first seen."""

    def __init__(self) -> None:
        self._name: dict[str, str] = {}
        self._id: dict[str, str] = {}

    def hide(self, text: str) -> str:
        """Names in place of ids."""

        def name(found: re.Match[str]) -> str:
            if found[0] not in self._name:
                number = sum(known.startswith(f"<{found[1]}_") for known in self._id) + 1
                self._name[found[0]] = f"<{found[1]}_{number}>"
                self._id[self._name[found[0]]] = found[0]
            return self._name[found[0]]

        return _ID.sub(name, text)

    def show(self, text: str) -> str:
        """Ids in place of names."""
        return _NAME.sub(lambda found: self._id[found[0]], text)


def play(folder: Path, story: list[tuple[str, Any, float, dict[str, str]]], url: str = "") -> list[dict[str, Any]]:
    """Play a story on a fresh ledger, in the folder or at the URL; what was asked and answered."""
    names, told = Names(), []
    with Server(folder, url=url) as server:
        sell(server)
        for call, body, seconds, headers in story:
            server.clock.advance(seconds)  # type: ignore[attr-defined]
            fields = {"X-API-Key": server.key, "Content-Type": "application/json", **headers}
            answer = server.send("POST", path_of(call), names.show(json.dumps(body)).encode(), fields)
            told.append(
                {
                    "request": {"call": call, "body": body, "after_seconds": seconds, "headers": headers},
                    "answer": {"status": answer.status, "body": names.hide(answer.raw.decode())},
                }
            )
    return told


def path_of(call: str) -> str:
    """Where a call of the story goes."""
    return f"/api/{call}" if call == "purchase-links" else f"/api/credits/{call}"


def sell(server: Server) -> None:
    """What can't be told by this dialect: a product that is on sale, and two orders for it, one of nobody yet."""
    database = server.ledger.database
    top_up = TopUp(id="pack", credits=500_000_000, price="9.00", currency="EUR", sold_as={"digistore24": "500011"})
    server.run(Products(database).put("main", Product(id="assistant", top_ups=(top_up,)), ME))
    for id, account in (("AB12CD34", "user_42"), ("EF56GH78", "")):
        order = Order(provider="digistore24", id=id, account=account, offer="assistant/pack", bought_at=START_US)
        server.run(Purchases(database).keep("main", [(order, 0)]))


def recorded() -> list[dict[str, Any]]:
    """The transcript."""
    found: list[dict[str, Any]] = json.loads(FILE.read_text())
    return found


def main() -> None:
    """Record anew."""
    with tempfile.TemporaryDirectory() as folder:
        FILE.write_text(json.dumps(play(Path(folder), STORY), indent=2) + "\n")


if __name__ == "__main__":
    main()
