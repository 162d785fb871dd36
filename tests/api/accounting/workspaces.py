"""Workspaces for the tests of the accounting dialect: their settings and their rates."""

import json
from typing import Any

from farthing.stores.prices import PriceStore
from tests.api.serving import ME, Server, wait_for
from tests.support import START_US

CARD = {
    "rules": [
        {"id": "gpt-4", "dimension": "tokens", "price": "0.005", "match": {"model": "gpt-4"}},
        {"id": "free", "dimension": "tokens", "price": "0", "match": {"model": "free"}},
        {"id": "tiny", "dimension": "tokens", "price": "0.0000005", "match": {"model": "tiny"}},
        {"id": "call", "dimension": "requests", "price": "0"},
    ],
}
"""1,000 tokens of gpt-4 are 5 credits."""


def rates(server: Server, workspace: str = "main", card: dict[str, Any] = CARD, begins: int = START_US) -> None:
    """Give a workspace a rate card."""
    before = server.watch.generation
    store = PriceStore(server.ledger.database)
    server.run(store.add_version(workspace, "default", json.dumps(card), begins, ME, reason="for a test"))
    wait_for(lambda: server.watch.generation != before)


def settings(server: Server, workspace: str = "main", **changes: Any) -> None:
    """Change settings of a workspace; the server knows of it when this returns."""
    before = server.watch.generation
    known = server.run(server.ledger.access.settings(workspace))
    if any(getattr(known, name) != value for name, value in changes.items()):
        server.run(server.ledger.access.change_settings(workspace, changes, ME))
        wait_for(lambda: server.watch.generation != before)
