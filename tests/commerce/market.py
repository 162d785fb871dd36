"""A served ledger that sells through both stand-ins: what they tell comes in over real HTTP."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from farthing.clock import FakeClock
from farthing.commerce.stripe.client import Stripe
from farthing.commerce.stripe.orders import Checkout, Every, Owner, Price
from farthing.core.catalogue import Provider
from farthing.core.providers import Change
from farthing.core.purchases import Receipt
from farthing.fakes import digistore24, stripe
from farthing.stores.access import Act
from farthing.stores.events import Events
from farthing.stores.plans import Plans
from farthing.stores.products import Products
from farthing.stores.providers import Providers
from farthing.stores.purchases import ProviderEvent, Purchases
from tests.api.serving import Answer, Server
from tests.commerce.shop import WRITER
from tests.subscribing import plan
from tests.support import MAIN, START_US, UNIT

PASSPHRASE = "swordfish"
SECRET = "whsec_swordfish"
LIVE_KEY = "sk_live_fake"
MERCHANT = "4711"
ACT = Act("test", START_US)


def stock(db: Any) -> list[Any]:
    """What fills a ledger with plans and products, to be awaited one after another."""
    plans, products = Plans(db), Products(db)
    return [*(plans.put("main", each, ACT) for each in (plan("basic", 100), plan("pro", 2000))),
            products.put("main", WRITER, ACT)]  # fmt: skip


class Market:
    """The server, and both stand-ins."""

    def __init__(self, server: Server, ds24: digistore24.Remote, pay: stripe.Remote) -> None:
        self.server, self.ds24, self.pay = server, ds24, pay
        db = server.ledger.database
        self.purchases, self.providers, self.events = Purchases(db), Providers(db), Events(db)
        self.stripe = Stripe(LIVE_KEY, base=pay.url)
        self._numbers = iter(range(1, 10_000))

    def open(self) -> "Market":
        for work in stock(self.server.ledger.database):
            self.server.run(work)
        self.set("digistore24", passphrase=PASSPHRASE, api_key=digistore24.KEY, base_url=self.ds24.url)
        self.set("stripe", webhook_secrets=(SECRET,), api_key=LIVE_KEY, base_url=self.pay.url)
        return self

    def set(self, provider: Provider, **values: Any) -> None:
        """Change settings of a provider, and wait until the server knows."""
        change = Change(values, rest_stays=True)
        self.server.run(self.providers.put(MAIN, provider, change, ACT))
        self.server.catch_up()

    def calm(self) -> None:
        """Let out what is held, with all clocks at the same time."""
        self.ds24.post("habits", hold=False)
        self.ds24.post("messages/release")
        self.pay.post("weather", mode="fine")
        self.pay.post("habits", hold=False)
        ds24, pay, here = self._clocks()
        now = max(ds24, pay, here)
        self.ds24.post("clock/advance", seconds=now - ds24)
        self.pay.post("clock/advance", seconds=now - pay)
        self.pass_time(now - here)
        self.pay.post("events/release")

    def pass_time(self, seconds: float) -> None:
        """Here, and nowhere else."""
        assert isinstance(self.server.clock, FakeClock)
        self.server.clock.advance(seconds=seconds)

    def _clocks(self) -> tuple[float, float, int]:
        """What time it is at Digistore24, at Stripe, and here, in seconds."""
        there = datetime.fromisoformat(self.ds24.get("clock")["now"]).replace(tzinfo=UTC).timestamp()
        return there, self.pay.get("clock")["now"], self.server.clock.now_us() // 1_000_000

    def account(self) -> str:
        """A new name."""
        return f"user_{next(self._numbers)}"

    # What happens at the providers

    def buy(self, account: str, **given: Any) -> dict[str, Any]:
        """Somebody buys at Digistore24; the top-up of 1,000 credits for 10 EUR, unless said otherwise."""
        order: dict[str, Any] = self.ds24.post(
            "orders", **{"product_id": "201", "amount": "10.00", "custom": account} | given
        )
        return order

    def check_out(self, account: str, *, tier: bool = False, quantity: int = 1, **pays: Any) -> dict[str, Any]:
        """Somebody pays at Stripe for the same, or for the tier `pro`; the session as it is then."""
        offer = "writer/pro" if tier else "writer/1000"
        price = Price(
            amount_minor=1_000, currency="EUR", name=offer, every=Every(interval="month") if tier else None
        )  # fmt: skip
        wanted = Checkout(
            owner=Owner(workspace="main", account=account, product=offer), price=price, quantity=quantity,
            success_url="https://shop.example/",
        )  # fmt: skip
        make = self.stripe.check_out_subscription if tier else self.stripe.check_out
        session = asyncio.run(make(wanted, f"{account}-{next(self._numbers)}"))
        paid: dict[str, Any] = self.pay.post(f"checkouts/{session.id}/pay", **pays)
        self.pay.post("events/send")
        return paid

    # What came of it

    def balance(self, account: str) -> int:
        """In whole credits."""
        found = self.server.run(self.server.ledger.reports.account("main", account, self.server.clock.now_us()))
        return found.balance // UNIT if found else 0

    def receipt(self, payment: str, provider: str = "digistore24") -> Receipt:
        kept = self.server.run(self.purchases.receipt("main", provider, payment))
        assert kept is not None, payment
        return kept.receipt

    def came(self) -> list[ProviderEvent]:
        """What providers have sent, the newest first."""
        return list(self.server.run(self.purchases.events("main", limit=1_000)).items)

    def kept(self, body: bytes | None = None) -> ProviderEvent:
        """As what a message of Digistore24 is kept: the last that was sent, or one of these words."""
        words = self.ds24.get("messages")["messages"][-1]["body"].encode() if body is None else body
        (found,) = [each for each in self.came() if each.id == sha256(words).hexdigest()]
        return found

    def told_of(self, account: str) -> list[str]:
        """Types of the events about an account, the oldest first."""
        page = self.server.run(self.events.page("main", oldest_first=True, limit=10_000))
        return [event.type for event in page.items if event.account == account]

    def send(self, provider: str, body: bytes, workspace: str = "main", **headers: str) -> Answer:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.server.send("POST", f"/webhooks/{provider}/{workspace}", body, fields)

    def answers(self) -> list[tuple[int, str]]:
        """What the last message of Digistore24 was answered by, each time that it was sent."""
        tries = self.ds24.get("messages")["messages"][-1]["tries"]
        return [(each["status"], each["answer"]) for each in tries]


@contextmanager
def market(folder: Path, url: str = "") -> Iterator[Market]:
    """All of it, for as long as the block lasts."""
    with Server(folder, url=url, trusted_proxies=1) as server:
        there = f"http://127.0.0.1:{server.port}/webhooks"
        began = START_US / 1_000_000
        first = digistore24.Options(
            notify=f"{there}/digistore24/main", passphrase=PASSPHRASE, allow_http=True,
            frozen_at=datetime.fromtimestamp(began, UTC).replace(tzinfo=None),
        )  # fmt: skip
        second = stripe.Options(
            webhook=f"{there}/stripe/main", secrets=(SECRET,), keys=(LIVE_KEY,), start=began, frozen=True
        )  # fmt: skip
        with digistore24.running(first) as ds24, stripe.running(second) as pay:
            made = Market(server, ds24, pay)
            try:
                yield made.open()
            finally:
                asyncio.run(made.stripe.aclose())
