"""A market with a product that both stand-ins sell: tiers of four ranks, top-ups of three sizes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from farthing.core.catalogue import Product, Provider, Tier, TopUp
from farthing.fakes.digistore24 import KEY
from farthing.stores.plans import Plans
from farthing.stores.products import Products
from tests.api.serving import Answer
from tests.api.v1.client import Client
from tests.commerce.market import ACT, LIVE_KEY, Market, market
from tests.subscribing import plan
from tests.support import UNIT

BACK = "https://shop.example/thanks"


class Bazaar:
    """The market, and what its customers ask."""

    def __init__(self, market: Market) -> None:
        self.market, self.server, self.ds24, self.pay = market, market.server, market.ds24, market.pay
        self.v1 = Client(self.server, self.server.new_key("admin"))
        self._changed = False

    def open(self) -> "Bazaar":
        self._set_all()
        db = self.server.ledger.database
        for each in (plan("free", 10), plan("starter", 100), plan("max", 9000)):
            self.server.run(Plans(db).put("main", each, ACT))
        self.sold = self.product()
        self.put(self.sold)
        return self

    def _set_all(self) -> None:
        self.market.set("digistore24", api_key=KEY)
        self.market.set("stripe", api_key=LIVE_KEY, success_url=BACK, return_url="https://shop.example/account")

    def set(self, provider: Provider, **values: Any) -> None:
        """Change settings of a provider, until `restore`."""
        self._changed = True
        self.market.set(provider, **values)

    def restore(self) -> None:
        """All as it was before a test, but for what was bought."""
        self.ds24.post("weather", mode="fine")
        self.ds24.post("rules", open_products=True)
        self.ds24.post("habits", hold=False)
        self.pay.post("weather", mode="fine")
        if self._changed:
            self._set_all()
            self._changed = False

    def put(self, product: Product) -> None:
        """Put a product on sale."""
        self.server.run(Products(self.server.ledger.database).put("main", product, ACT))

    def product(self) -> Product:
        """What is sold, by the names that the stand-ins have for it."""
        tiers = (("starter", 1, "9.90", "601"), ("pro", 2, "19.90", "602"), ("max", 3, "49.90", "603"))
        packs = (("small", 100, "2.00", "611"), ("large", 1000, "15.00", "612"))
        return Product(
            id="bot",
            tiers=(
                Tier(id="free", plan="free", rank=0),
                *(
                    Tier(
                        id=id, plan=id, rank=rank, name=id.title(), price=price, currency="EUR",
                        sold_as={"digistore24": number, "stripe": self.price(price, "month")},
                    )
                    for id, rank, price, number in tiers
                ),
            ),
            top_ups=(
                *(
                    TopUp(
                        id=id, credits=credits * UNIT, price=price, currency="EUR",
                        sold_as={"digistore24": number, "stripe": self.price(price)},
                    )
                    for id, credits, price, number in packs
                ),
                TopUp(id="elsewhere", credits=500 * UNIT),
            ),
        )  # fmt: skip

    def price(self, amount: str, interval: str = "") -> str:
        """A price in Stripe's own catalogue: its id."""
        fields = {"currency": "eur", "unit_amount": amount.replace(".", ""), "product_data[name]": "Bot"}
        if interval:
            fields["recurring[interval]"] = interval
        headers = {"authorization": f"Bearer {LIVE_KEY}"}
        made = httpx2.post(f"{self.pay.url}/v1/prices", data=fields, headers=headers, timeout=60)
        return str(made.json()["id"])

    # CountWerk

    def asked(self, body: Any) -> Answer:
        return self.server.post("purchase-links", body)

    def links(self, account: str, **more: Any) -> Answer:
        return self.asked({"ai_product_id": "bot", "account_id": account, **more})

    def options(self, account: str, **more: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.links(account, **more).data["options"]
        return found

    def resolved(self, order: str) -> Answer:
        return self.server.post("resolve-order", {"order_id": order})


@contextmanager
def bazaar(folder: Path, url: str = "") -> Iterator[Bazaar]:
    """All of it, for as long as the block lasts."""
    with market(folder, url) as found:
        yield Bazaar(found).open()


def subscribed(bazaar: Bazaar, account: str, tier: str = "starter") -> str:
    """An account that has bought a tier at Digistore24 by its link: the order."""
    (option,) = [each for each in bazaar.options(account) if each["label"] == tier.title()]
    return str(bazaar.ds24.post("orders", link=option["url"], installments=0)["id"])
