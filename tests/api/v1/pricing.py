"""What the tests of prices share: workspaces of their own, cards and model prices that are there from the beginning."""

import json
from itertools import count
from typing import Any

from farthing.core.modelprice import ModelPrice, Price, Variant
from farthing.core.records import Workspace, WorkspaceSettings
from farthing.prices.catalogue import Listing, write_listing
from farthing.stores.prices import NewPrice, PriceStore
from tests.api.serving import ME, Server, wait_for
from tests.api.v1.client import Client
from tests.support import START_US

_numbers = count()
PER = 1_000_000
CARD: dict[str, Any] = {
    "rules": [
        {"id": "in", "dimension": "input_tokens", "price": "2", "per": 1000, "match": {"model": "tiny"}},
        {"id": "out", "dimension": "output_tokens", "price": "5", "per": 1000, "match": {"model": "tiny"}},
        {"id": "image", "dimension": "images", "price": "10"},
        {"id": "any", "dimension": "tokens", "price": "1", "per": 1000, "default": True},
    ],
}
"""1,500 tokens in and 800 out of `tiny` come to 7 credits; an unknown model is 1 for 1,000 tokens."""
CATALOGUE: dict[str, Any] = {"catalogue": {"rate": "100", "markup": {"percent": "20"}}}
USED: dict[str, Any] = {"model": "tiny", "dimensions": {"input_tokens": 1500, "output_tokens": 800}}


def shop(server: Server, card: dict[str, Any] | None = CARD, settings: Any = None, scopes: str = "admin") -> Client:
    """A client of a new workspace, which has this card from the beginning."""
    workspace = f"shop-{next(_numbers)}"
    row = Workspace(workspace, "Shop", "test", "credits", 6, START_US, settings or WorkspaceSettings())
    server.run(server.ledger.access.create_workspace(row, ME))
    if card is not None:
        put(server, card, workspace)
    return Client(server, server.new_key(scopes, workspace))


def put(server: Server, card: dict[str, Any], workspace: str, begins: int | None = START_US) -> None:
    """Add a version of the workspace's card, behind the API."""
    store = PriceStore(server.ledger.database)
    server.run(store.add_version(workspace, "default", json.dumps(card), begins, ME, reason="for a test"))


def sells(
    server: Server, provider: str, model: str, into: str = "2.5", out: str = "10", *, aliases: tuple[str, ...] = (),
    quarantine: str = "", flex: str = "", begins: int = 0,
) -> None:  # fmt: skip
    """Put a model into the catalogue, in USD for a million tokens; `flex` is its input's price under that tier."""
    store = PriceStore(server.ledger.database)
    prices = _prices(into, out)
    variants = (Variant(when={"service_tier": "flex"}, prices=_prices(flex, flex)),) if flex else ()
    price = ModelPrice(provider=provider, model=model, prices=prices, variants=variants)
    document = write_listing(Listing(price=price, aliases=aliases))
    last = server.run(store.last_versions()).get((provider, model), 0)
    new = NewPrice(provider, model, last, begins, document, quarantine)
    assert server.run(store.add_prices([new], "tests", "1", ME)) == [new]


def _prices(into: str, out: str) -> tuple[Price, ...]:
    return (
        Price(dimension="input_tokens", price=into, per=PER),
        Price(dimension="output_tokens", price=out, per=PER),
    )


def priced_by(client: Client, name: str, usage: dict[str, Any] | None = None) -> None:
    """Wait until the server prices by that version of the card: it reads changes four times a second."""

    def is_so() -> bool:
        answer = client.post("quotes", {"usage": usage or USED}, key=None)
        return answer.status == 200 and answer.json["price"]["card"] == name

    wait_for(is_so)
