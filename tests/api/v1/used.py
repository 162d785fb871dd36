"""What the tests of usage share: a rate card whose rules know their costs, and charges for what was used."""

import json
from typing import Any

from farthing.core.commands import DAY_US
from farthing.stores.access import Act
from farthing.stores.prices import PriceStore
from tests.api.serving import Server
from tests.api.v1.client import Client
from tests.support import START_US

CARD: dict[str, Any] = {
    "rules": [
        {"id": "in", "dimension": "input_tokens", "price": "2", "per": 1000, "cost": "0.0025"},
        {"id": "out", "dimension": "output_tokens", "price": "5", "per": 1000, "cost": "0.01"},
        {"id": "image", "dimension": "images", "price": "3", "match": {"operation": "image"}},
    ],
}
"""1,500 tokens in and 800 out come to 7 credits, and cost 0.01175."""


def put_card(server: Server, document: dict[str, Any] = CARD, workspace: str = "main", reason: str = "first") -> None:
    """The first version of the workspace's card, in force since a month."""
    store, then = PriceStore(server.ledger.database), Act("ops", START_US - 30 * DAY_US)
    server.run(store.add_version(workspace, "default", json.dumps(document), None, then, reason=reason))
    server.catch_up()


def tokens(into: int, out: int) -> dict[str, int]:
    """Quantities of a usual call."""
    return {"input_tokens": into, "output_tokens": out}


def use(client: Client, account: str, into: int = 1500, out: int = 800, **more: Any) -> dict[str, Any]:
    """Charge for a call to a model; `more` goes into the usage, `body` into the request."""
    body = more.pop("body", {})
    usage = {"provider": "openai", "model": "gpt-4o", "operation": "chat", "dimensions": tokens(into, out), **more}
    return client.made("charges", {"account": account, "usage": usage, **body}, 201)
