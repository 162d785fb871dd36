"""Orders through a stand-in, with messages that come twice, late, in another order, or whose answer gets lost, while
the server that takes them in is killed: in the end the ledger equals the provider's books. The long form of
test_orders.py, by `./dev soak orders`.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import httpx2
import msgspec

from farthing.app import Ledger, open_ledger
from farthing.commerce.stripe.client import Stripe
from farthing.commerce.stripe.orders import Checkout, Every, Owner, Price, quantity_of
from farthing.core.catalogue import Provider
from farthing.core.providers import Change
from farthing.core.purchases import Receipt
from farthing.fakes import digistore24, stripe
from farthing.stores.providers import Providers
from tests.commerce.market import ACT, LIVE_KEY, PASSPHRASE, SECRET, stock
from tests.hammer import Server, run_farthing
from tests.hammer_callers import expect
from tests.support import MAIN, UNIT

Say = Callable[[str], None]
BUYERS = 4
"""Who buy at the same time."""
PATIENCE_SECONDS = 900
"""For a month of all orders at once."""
HABITS = {"duplicate": 0.1, "lose_answer": 0.1, "delay": 0.2, "delay_seconds": 900}
CREDITS = {"201": 1_000, "101": 100, "102": 2_000, "writer/1000": 1_000, "writer/pro": 2_000}
_receipt = msgspec.json.Decoder(Receipt)
Expected = Counter[str]
"""Credits of each account, in smallest units."""


class Seller(Protocol):
    """A stand-in that sells, and what somebody does there."""

    provider: Provider

    def settings(self) -> dict[str, Any]:
        """How the ledger speaks with it."""

    def buy(self, account: str, rng: random.Random) -> None:
        """Somebody buys, and some time later perhaps wants his money back."""

    def wait(self, seconds: float) -> None:
        """Let time pass there."""

    def unsent(self) -> int:
        """How many messages are still on their way."""

    def booked(self) -> tuple[Expected, int]:
        """What accounts must have by its books, and how many payments there were."""


class Digistore24Seller:
    """Top-ups, also several at once, in installments and with upsells, and subscriptions, some of them upgraded on the
    stand-in's own page; refunds and chargebacks, whole and in part."""

    provider: Provider = "digistore24"

    def __init__(self, url: str, held: ExitStack, seed: int) -> None:
        options = digistore24.Options(notify=url, passphrase=PASSPHRASE, allow_http=True)
        self.fake = held.enter_context(digistore24.running(options))
        self.fake.be_patient(PATIENCE_SECONDS)
        # Nobody knows how the real one names what a refund is of: each seed has its way.
        self.fake.post("habits", **HABITS, seed=seed, refunds_by_number=seed % 2 == 1)
        way = self.fake.post("upgrades", to_product_id="102", types={"101": "upgrade"})
        self._upgrade = f"{self.fake.url}/upgrade/{way['id']}-{way['authkey']}"

    def settings(self) -> dict[str, Any]:
        return {"passphrase": PASSPHRASE, "api_key": digistore24.KEY, "base_url": self.fake.url}

    def buy(self, account: str, rng: random.Random) -> None:
        given: dict[str, Any] = rng.choice((
            {}, {}, {"quantity": 3}, {"upsells": [{"product_id": "102", "amount": 7}]},
            {"amount": "4.00", "installments": 3},
        ))  # fmt: skip
        wanted = {"product_id": "201", "amount": "10.00"} | given
        if rng.random() < 0.3:
            wanted = {"product_id": rng.choice(("101", "102")), "amount": "19.90", "installments": 0}
        order = self.fake.post("orders", custom=account, declined=rng.random() < 0.1, **wanted)
        if order["money"] and wanted["product_id"] == "101" and rng.random() < 0.7:
            taken = httpx2.post(f"{self._upgrade}/{order['id']}", data={"action": "pay"}, timeout=60)
            order = self.fake.get(f"orders/{taken.headers['location'].rpartition('/')[2]}")
        if order["money"] and rng.random() < 0.3:
            kind, payment = rng.choice(("refund", "refund", "chargeback")), rng.choice(order["money"])["id"]
            for amount in rng.choice((("3.33",), ("2.50", "1.10"), (None,))):
                self.fake.post(f"orders/{order['id']}/{kind}", amount=amount, transaction_id=payment)

    def wait(self, seconds: float) -> None:
        self.fake.post("clock/advance", seconds=seconds)

    def unsent(self) -> int:
        return sum(each["due_at"] is not None for each in self.fake.get("messages")["messages"])

    def booked(self) -> tuple[Expected, int]:
        expected: Expected = Counter()
        payments: dict[str, tuple[str, int, Fraction]] = {}
        back: Counter[str] = Counter()
        orders = self.fake.get("books")["orders"]
        for order in orders.values():
            owner = order
            while owner["upgraded_order_id"]:
                owner = orders[owner["upgraded_order_id"]]
            for moved in order["transactions"]:
                amount = Fraction(moved["amount"])
                if moved["type"] == "payment":
                    credits = _part(CREDITS[moved["product_id"]] * UNIT, order["installments"], moved["sequence"])
                    is_several = moved["product_id"] == "201" and order["installments"] == 1
                    payments[moved["id"]] = owner["custom"], credits * (int(amount / 10) if is_several else 1), amount
                else:
                    back[moved["payment"]] += amount  # type: ignore[assignment]  # a Counter counts fractions as well
        for id, (account, credits, amount) in payments.items():
            expected[account] += credits - round(credits * Fraction(back[id]) / amount)
        return expected, len(payments)


def _part(credits: int, parts: int, number: int) -> int:
    """What one of several installments gives."""
    if parts < 2:
        return credits
    return round(Fraction(credits * number, parts)) - round(Fraction(credits * (number - 1), parts))


class StripeSeller:
    """Checkouts of top-ups, also of several, and of subscriptions; refunds, whole and in part, some of which fail;
    and disputes."""

    provider: Provider = "stripe"

    def __init__(self, url: str, held: ExitStack, seed: int) -> None:
        options = stripe.Options(webhook=url, secrets=(SECRET,), keys=(LIVE_KEY,))
        self.fake = held.enter_context(stripe.running(options))
        self.fake.post("habits", **HABITS, at_once=2, seed=seed)
        self._client = Stripe(LIVE_KEY, base=self.fake.url)
        held.callback(lambda: asyncio.run(self._client.aclose()))
        self._turn = threading.Lock()

    def settings(self) -> dict[str, Any]:
        return {"webhook_secrets": (SECRET,), "api_key": LIVE_KEY, "base_url": self.fake.url}

    def buy(self, account: str, rng: random.Random) -> None:
        is_tier = rng.random() < 0.3
        offer, every = ("writer/pro", Every(interval="month")) if is_tier else ("writer/1000", None)
        wanted = Checkout(
            owner=Owner(workspace="main", account=account, product=offer), success_url="https://shop.example/",
            price=Price(amount_minor=1_000, currency="EUR", name=offer, every=every),
            quantity=1 if is_tier else rng.choice((1, 1, 3)),
        )  # fmt: skip
        make = self._client.check_out_subscription if is_tier else self._client.check_out
        session = asyncio.run(make(wanted, f"{account}:{rng.getrandbits(64)}"))
        if rng.random() < 0.1:
            self.fake.post(f"checkouts/{session.id}/expire")
            return
        payment = self.fake.post(f"checkouts/{session.id}/pay")["payment_intent"]
        if payment and rng.random() < 0.3:
            self._want_back(payment, rng)

    def _want_back(self, payment: str, rng: random.Random) -> None:
        status = rng.choice(("", "", "won", "lost"))
        if status:
            dispute = self.fake.post(f"payments/{payment}/dispute", amount=rng.choice((None, None, 400)))["id"]
            self.fake.post(f"disputes/{dispute}/close", status=status)
            return
        for amount in rng.choice(((333,), (250, 410), (None,))):
            made = self.fake.post(f"payments/{payment}/refund", amount=amount)
            if rng.random() < 0.3:
                self._fail(made["id"])

    def _fail(self, refund: str) -> None:
        """The bank does not take it, in a second in which nothing else happens to the payment."""
        self.wait(2)
        self.fake.post(f"refunds/{refund}/end", well=False)
        self.wait(2)

    def wait(self, seconds: float) -> None:
        with self._turn:  # one at a time puts its clock forward
            self.fake.post("clock/advance", seconds=seconds)

    def unsent(self) -> int:
        return sum(each["due_at"] is not None for each in self.fake.get("events")["events"])

    def booked(self) -> tuple[Expected, int]:
        expected: Expected = Counter()
        payments = self.fake.get("books")["payments"].values()
        for each in payments:
            metadata = each["metadata"]
            credits = CREDITS[metadata["farthing_product"]] * quantity_of(metadata) * UNIT
            gone = round(credits * Fraction(each["refunded"] + each["lost"], each["paid"]))
            expected[metadata["farthing_account"]] += credits - gone
        return expected, len(payments)


SELLERS: dict[Provider, Callable[[str, ExitStack, int], Seller]] = {
    "digistore24": Digistore24Seller,
    "stripe": StripeSeller,
}


@dataclass
class Fair:
    """A server, and a stand-in at which people buy."""

    url: str
    seller: Seller
    server: Server
    rng: random.Random
    say: Say
    done: Counter[str] = field(default_factory=Counter)
    booked: tuple[Expected, int] = (Counter(), 0)

    def run(self, orders: int, kills: int) -> None:
        """Have so many orders bought, and the server killed in the middle of them."""
        accounts = [f"user_{n:04}" for n in range(max(orders // 4, 2))]
        seeds = [(self.rng.choice(accounts), self.rng.random()) for _ in range(orders)]
        blows = [orders * (n + 1) // (kills + 1) for n in range(kills)]
        with ThreadPoolExecutor(BUYERS) as buyers:
            bought = [buyers.submit(self._buy, *seed) for seed in seeds]
            for number, blow in enumerate(blows, start=1):
                while self.done["bought"] < blow:
                    expect(not any(each.done() and each.exception() for each in bought), "somebody could not buy")
                    time.sleep(0.005)
                self.server.kill()
                self.say(f"orders: kill {number} of {kills} after {self.done['bought']} orders")
                self.server.start()
            for each in bought:
                each.result()

    def _buy(self, account: str, seed: float) -> None:
        rng = random.Random(seed)
        self.seller.buy(account, rng)
        if rng.random() < 0.1:
            self.seller.wait(200)
        self.done["bought"] += 1

    def finish(self) -> None:
        """Subscriptions are renewed, and all messages arrive."""
        for _ in range(2):
            self.seller.wait(32 * 86_400)
        days = 0
        while self.seller.unsent():
            expect(days < 40, f"{self.seller.unsent()} messages never arrived")
            self.seller.wait(86_400)
            days += 1
        self.booked = self.seller.booked()

    def verify(self) -> dict[str, Any]:
        """The ledger equals the books of the provider."""
        expected, payments = self.booked
        with open_ledger(self.url) as ledger:
            receipts = [_receipt.decode(row[0]) for row in _rows(ledger, "select document from receipt")]
            expect(len(receipts) == payments, f"{payments} were paid, and {len(receipts)} are known")
            # What went back before it came is credited to nobody.
            waiting = [each for each in receipts if each.state == "waiting" and each.reason != "not_paid"]
            expect(not waiting, f"these wait: {waiting}")
            found = {
                id: (balance, held) for id, balance, held in _rows(ledger, "select id, balance, held from account")
            }
            wrong = {id: (found.get(id), due) for id, due in expected.items() if found.get(id, (0, 0)) != (due, 0)}
            expect(not wrong and found.keys() <= expected.keys(), f"not what was paid for: {wrong}")
            ((unfinished,),) = _rows(ledger, "select count(*) from provider_event where done_at is null")
            ((came,),) = _rows(ledger, "select sum(times) from provider_event")
            expect(unfinished == 0, f"{unfinished} messages are not done")
        return {"payments": payments, "messages": int(came), "accounts": len(expected), "doctor": doctored(self.url)}


def doctored(url: str) -> dict[str, Any]:
    """What doctor finds."""
    found = run_farthing("doctor", "--db", url)
    expect(found["ok"] is True, f"doctor: {found}")
    return found


def _rows(ledger: Ledger, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in ledger.wait(ledger.database.rows(sql))]


@contextmanager
def fair(url: str, provider: Provider, rng: random.Random, say: Say) -> Iterator[Fair]:
    """A ledger at an empty database, served, and a stand-in that tells it what is bought."""
    run_farthing("init", "--db", url)
    with open_ledger(url) as ledger:
        for work in stock(ledger.database):
            ledger.wait(work)
    with ExitStack() as held:
        server = Server(url, "--log-level", "error", wait=False)
        held.callback(server.kill)
        told_at = f"http://127.0.0.1:{server.port}/webhooks/{provider}/main"
        seller = SELLERS[provider](told_at, held, rng.getrandbits(30))
        with open_ledger(url) as ledger:
            change = Change(seller.settings())
            ledger.wait(Providers(ledger.database).put(MAIN, provider, change, ACT))
        server.wait_until_ready()
        yield Fair(url, seller, server, rng, say)
        server.stop()


def storm(url: str, provider: Provider, orders: int, kills: int, rng: random.Random, say: Say) -> dict[str, Any]:
    """All of it; what came of it. Raises where the ledger is not what was paid for."""
    began = time.monotonic()
    with fair(url, provider, rng, say) as made:
        made.run(orders, kills)
        made.finish()
    return {"orders": orders, "kills": kills, **made.verify(), "seconds": round(time.monotonic() - began, 1)}
