"""Both providers' books beside ours, asked of the stand-ins over real HTTP: where all is well nothing differs; each way
in which something can be lost or wrong is made to happen, and found."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest
import stripe as library

from farthing.clock import FakeClock
from farthing.commerce.books import open_books
from farthing.commerce.clients import Clients
from farthing.commerce.digistore24.books import read_time, write_time
from farthing.commerce.digistore24.signature import sign
from farthing.commerce.reconciling import Reconciled, Reconciling
from farthing.commerce.stripe.orders import Checkout, Owner, Price
from farthing.commerce.troubles import ProviderTrouble
from farthing.core.commands import GiveGrant
from farthing.core.reconcile import Finding
from farthing.fakes.digistore24 import KEY
from farthing.fakes.stripe.sender import signature
from farthing.stores.directory import Directory
from tests.commerce.market import LIVE_KEY, PASSPHRASE, SECRET, Market, market
from tests.postgres import TEMPLATE, Databases
from tests.support import MAIN, START_US, UNIT

DAY = 86_400_000_000
HOUR = 3_600_000_000


@pytest.fixture(scope="module")
def sqlite_market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with market(tmp_path_factory.mktemp("books")) as made:
        yield made


@pytest.fixture(scope="module")
def postgres_market(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> Iterator[Market]:
    with market(tmp_path_factory.mktemp("books"), databases.make(TEMPLATE)) as made:
        yield made


@pytest.fixture
def digi(sqlite_market: Market) -> Iterator["Desk"]:
    yield from at_desk(sqlite_market, "digistore24")


@pytest.fixture
def pay(postgres_market: Market) -> Iterator["Desk"]:
    yield from at_desk(postgres_market, "stripe")


def at_desk(market: Market, provider: str) -> Iterator["Desk"]:
    """A day that no other test has: each finds its own payments in it."""
    clock = market.server.clock
    assert isinstance(clock, FakeClock)
    clock.advance(days=4)
    behind = market.server.clock.now_us() // 1_000_000 - market.pay.get("clock")["now"]
    market.ds24.post("clock/advance", days=4)
    market.pay.post("clock/advance", seconds=behind)
    yield Desk(market, provider)
    market.calm()
    for each in market.pay.get("state", kind="subscription")["data"]:
        if each["status"] != "canceled":
            # Or it would be renewed in the middle of another test's day.
            api(market).subscriptions.cancel(each["id"])
    market.pay.post("events/send")


def api(market: Market) -> Any:
    """Stripe as others use it."""
    return library.StripeClient(LIVE_KEY, base_addresses={"api": market.pay.url}).v1


class Desk:
    """Where a person compares the books of one day."""

    def __init__(self, market: Market, provider: str) -> None:
        self.market, self.provider = market, provider
        self.at = market.server.clock.now_us()

    def reconciled(self, lately: int = 0, **span: int) -> tuple[Reconciled, list[Finding]]:
        """What came of comparing, an hour later: the clocks stand still."""
        server = self.market.server
        found: list[Finding] = []
        now = server.clock.now_us() + HOUR
        since, until = span.get("since", self.at - DAY), span.get("until", self.at + DAY)

        async def work() -> Reconciled:
            db = server.ledger.database
            clients = Clients(self.market.providers)
            directory = Directory(db, server.ledger.reports)
            try:
                async with open_books(clients, MAIN, self.provider, now) as books:
                    one = Reconciling(
                        MAIN, books, self.market.purchases, directory, server.ledger.reports, found.append
                    )
                    return await one.run(since, until, now, lately)
            finally:
                await clients.aclose()

        return server.run(work()), found

    def kinds(self, lately: int = 0, **span: int) -> list[tuple[str, str]]:
        """What differs, and about which payment."""
        done, found = self.reconciled(lately, **span)
        assert done.agrees == (not found)
        assert sum(done.findings.values()) == len(found)
        return sorted((each.kind, each.payment) for each in found)

    def balance(self, account: str) -> int:
        """In smallest units."""
        server = self.market.server
        found = server.run(server.ledger.reports.account("main", account, server.clock.now_us()))
        return found.balance if found else 0

    def lost(self) -> None:
        """What is told from now on gets lost."""
        self.market.ds24.post("habits", hold=True)
        self.market.pay.post("habits", hold=True)

    def found(self) -> None:
        """What is told from now on comes again."""
        self.market.ds24.post("habits", hold=False)
        self.market.pay.post("habits", hold=False)

    def changed(self, **change: str) -> None:
        """Digistore24's last message comes with other words, signed as it should be."""
        last = dict(parse_qsl(self.market.ds24.get("messages")["messages"][-1]["body"], keep_blank_values=True))
        fields = {name: text for name, text in (last | change).items() if name != "sha_sign"}
        body = urlencode(fields | {"sha_sign": sign(fields, PASSPHRASE)}).encode()
        assert self.market.send("digistore24", body).status == 200

    def forged(self, event: dict[str, Any]) -> None:
        """An event of Stripe's that Stripe has not made, signed as it should be."""
        body = msgspec.json.encode(event)
        header = signature(body, self.market.server.clock.now_us() // 1_000_000, (SECRET,))
        assert self.market.send("stripe", body, stripe_signature=header).status == 200


def payments_of(order: dict[str, Any]) -> list[str]:
    return [each["id"] for each in order["money"] if each["type"] == "payment"]


def added(before: dict[str, Any], after: dict[str, Any], *names: str) -> Decimal:
    """What has come to the books of a stand-in meanwhile: all of these sums."""
    return sum((Decimal(after[name]) - Decimal(before.get(name, 0)) for name in names), Decimal(0))


def test_thirty_orders_of_digistore24_agree_to_the_cent(digi):
    shop = digi.market
    before = shop.ds24.get("books")["totals"].get("EUR", {})
    accounts = [shop.account() for _ in range(30)]
    for n, account in enumerate(accounts):
        order = shop.buy(account, quantity=1 + n % 3, amount=f"{10 + n}.50")
        if n % 5 == 0:
            shop.ds24.post(f"orders/{order['id']}/refund", amount="4.20")
        if n % 10 == 0:
            shop.ds24.post(f"orders/{order['id']}/{'refund' if n else 'chargeback'}")
    shop.buy("nobody", test=True)
    done, found = digi.reconciled()
    assert found == []
    assert (done.payments, done.receipts, done.tests) == (30, 31, 1)
    sums, books = done.sums["EUR"], shop.ds24.get("books")["totals"]["EUR"]
    assert sums.agree
    assert sums.paid_here == added(before, books, "paid")
    assert sums.returned_here == added(before, books, "refunded", "charged_back")
    assert sums.credits - sums.taken == sum(digi.balance(account) for account in accounts)


def test_thirty_payments_of_stripe_agree_to_the_cent(pay):
    shop = pay.market
    before = shop.pay.get("books")["totals"].get("eur", {})
    for n in range(30):
        session = shop.check_out(shop.account(), tier=n % 6 == 5)
        intent = session["payment_intent"] or last_intent(shop)
        if n % 5 == 0:
            shop.pay.post(f"payments/{intent}/refund", amount=420)
        if n % 10 == 1:
            made = shop.pay.post(f"payments/{intent}/dispute")
            shop.pay.post(f"disputes/{made['id']}/close", status="won" if n > 1 else "lost")
        if n % 10 == 2:
            shop.pay.post(f"payments/{intent}/dispute")
    done, found = pay.reconciled()
    assert found == []
    assert (done.payments, done.receipts, done.others) == (30, 30, 0)
    sums, books = done.sums["EUR"], shop.pay.get("books")["totals"]["eur"]
    assert sums.agree
    assert sums.paid_here * 100 == added(before, books, "paid")
    assert sums.returned_here * 100 == added(before, books, "refunded", "lost")


def last_intent(shop: Market) -> str:
    return str(list(shop.pay.get("books")["payments"])[-1])


# What differs: Digistore24


def test_a_payment_whose_notification_was_lost_is_missing_until_it_comes(digi):
    digi.lost()
    order = digi.market.buy(digi.market.account())
    digi.found()
    assert digi.kinds() == [("missing_here", *payments_of(order))]
    digi.market.ds24.post("messages/release")
    assert digi.kinds() == []


def test_a_refund_whose_notification_was_lost_is_found(digi):
    order = digi.market.buy(digi.market.account())
    digi.lost()
    digi.market.ds24.post(f"orders/{order['id']}/refund", amount="3.00")
    digi.found()
    done, (found,) = digi.reconciled()
    assert (found.kind, found.payment, found.here) == ("other_refund", *payments_of(order), "nothing")
    assert "of 3.00 EUR" in found.there
    assert not done.sums["EUR"].agree


def test_another_amount_and_another_refund_than_the_provider_has_are_found(digi):
    digi.lost()
    order = digi.market.buy(digi.market.account())
    digi.changed(amount="12.00", transaction_amount="12.00")
    digi.market.ds24.post(f"orders/{order['id']}/refund", amount="3.00")
    digi.changed(amount="5.00", transaction_amount="5.00")
    digi.found()
    (payment,) = payments_of(order)
    assert digi.kinds() == [("other_amount", payment), ("other_refund", payment)]


def test_a_payment_and_a_refund_that_the_provider_does_not_know_are_found(digi):
    order = digi.market.buy(digi.market.account())
    digi.changed(transaction_id="666", order_id="NOWHERE1")
    digi.lost()
    digi.market.ds24.post(f"orders/{order['id']}/refund", amount="3.00")
    digi.changed(transaction_id="667")
    digi.found()
    (payment,) = payments_of(order)
    assert digi.kinds() == [("other_refund", payment), ("other_refund", payment), ("unknown_there", "666")]


def test_what_waits_is_told_with_its_reason_until_it_is_assigned(digi):
    order = digi.market.buy("")
    (payment,) = payments_of(order)
    _, (found,) = digi.reconciled()
    assert (found.kind, found.payment, found.assignable) == ("waiting", payment, True)
    assert found.message.startswith("Nobody knows whose it is")
    digi.market.ds24.post("orders", product_id="201", amount="10.00", custom="bob", test=True)
    assert len(digi.kinds()) == 1


def test_a_payment_that_was_credited_by_hand_agrees_until_money_goes_back(digi):
    shop = digi.market
    digi.lost()
    order = shop.buy(account := shop.account())
    (payment,) = payments_of(order)
    source = {"productId": "201", "orderId": order["id"], "transactionId": payment}
    assert shop.server.post("add", {"account_id": account, "amount": 1000, "source": source}).status == 200
    done, found = digi.reconciled()
    assert (found, done.by_hand, done.payments) == ([], 1, 1)
    shop.ds24.post(f"orders/{order['id']}/refund")
    assert [kind for kind, _ in digi.kinds()] == ["other_refund"]


def test_a_grant_by_hand_that_names_a_payment_is_one_too_many(digi):
    shop = digi.market
    order = shop.buy(account := shop.account())
    (payment,) = payments_of(order)
    again = GiveGrant(workspace="main", account=account, amount=5 * UNIT, source={"note": payment})
    entry = shop.server.do(again)
    _, (found,) = digi.reconciled()
    assert (found.kind, found.account) == ("credited_twice", account)
    assert len(found.grants) == 2
    assert "grt" + entry.id[3:] in found.grants


def test_a_range_has_what_was_paid_in_it_and_what_is_younger_may_be_on_its_way(digi):
    digi.lost()
    order = digi.market.buy(digi.market.account())
    paid_at = read_time(order["money"][0]["at"])
    assert digi.kinds(since=paid_at, until=paid_at + 1) == [("missing_here", *payments_of(order))]
    assert digi.kinds(since=paid_at + 1) == []
    assert digi.kinds(until=paid_at) == []
    assert digi.kinds(until=digi.at + DAY, lately=2 * HOUR) == []
    assert digi.reconciled(lately=2 * HOUR)[0].until == digi.at - HOUR


def test_orders_of_other_products_are_of_others_where_ours_have_names(digi):
    digi.lost()
    digi.market.buy(digi.market.account(), product_id="999")
    digi.market.set("digistore24", product_ids=("201",))
    done, found = digi.reconciled()
    assert (found, done.others, done.payments) == ([], 1, 0)
    digi.market.set("digistore24", product_ids=())
    assert len(digi.kinds()) == 1


def test_times_without_a_zone_are_those_of_berlin():
    assert read_time("2026-01-01 01:00:00") == START_US
    assert write_time(START_US) == "2026-01-01 01:00:00"
    assert read_time("2026-07-01 02:00:00") - read_time("2026-06-30T23:00:00+00:00") == HOUR
    assert read_time("soon") == 0


def test_a_provider_that_can_not_be_asked_is_trouble_and_no_result(digi):
    digi.market.ds24.post("weather", mode="rate_limited", seconds=60)
    with pytest.raises(ProviderTrouble) as raised:
        digi.reconciled()
    assert raised.value.kind == "rate_limited"
    digi.market.ds24.post("weather", mode="fine")
    digi.market.set("digistore24", api_key="1-another")
    try:
        with pytest.raises(ProviderTrouble) as raised:
            digi.reconciled()
        assert raised.value.kind == "key_invalid"
    finally:
        digi.market.set("digistore24", api_key=KEY)


# What differs: Stripe


def test_payments_refunds_and_disputes_that_stripe_has_not_told_are_found(pay):
    shop = pay.market
    refunded = shop.check_out(shop.account())["payment_intent"]
    disputed = shop.check_out(shop.account())["payment_intent"]
    beaten = shop.check_out(shop.account())["payment_intent"]
    pay.lost()
    missing = shop.check_out(shop.account())["payment_intent"]
    shop.pay.post(f"payments/{refunded}/refund", amount=300)
    shop.pay.post(f"payments/{disputed}/dispute")
    made = shop.pay.post(f"payments/{beaten}/dispute")
    shop.pay.post(f"disputes/{made['id']}/close", status="lost")
    assert pay.kinds() == sorted(
        [
            ("missing_here", missing),
            ("other_refund", refunded),
            ("other_dispute", disputed),
            ("other_dispute", beaten),
        ]
    )
    pay.found()
    shop.pay.post("events/release")
    assert pay.kinds() == []


def test_a_refund_of_a_payment_from_before_the_range_is_found(pay):
    shop = pay.market
    intent = shop.check_out(shop.account())["payment_intent"]
    began = shop.server.clock.now_us()
    shop.server.clock.set(began + 2 * DAY)
    shop.pay.post("clock/advance", days=2)
    shop.ds24.post("clock/advance", days=2)
    pay.lost()
    shop.pay.post(f"payments/{intent}/refund", amount=300)
    span = {"since": began + DAY, "until": began + 3 * DAY}
    assert pay.kinds(**span) == [("other_refund", intent)]
    assert pay.reconciled(**span)[0].payments == 0
    assert pay.kinds(since=began + DAY, until=began + 2 * DAY) == []
    # What is younger than the end of the range may be on its way.
    assert pay.kinds(since=began - DAY, until=began + DAY) == []
    pay.found()
    shop.pay.post("events/release")
    assert pay.kinds(**span) == []


def test_a_payment_that_stripe_does_not_know_or_has_otherwise_is_found(pay):
    shop = pay.market
    account = shop.account()
    known = shop.check_out(account)["payment_intent"]
    kept = next(e for e in shop.came() if e.kind == "payment_intent.succeeded" and f'"{account}"' in e.body)
    told = msgspec.json.decode(kept.body.encode("latin-1"))
    pay.lost()
    other = shop.check_out(shop.account())["payment_intent"]
    for id, change in (("pi_nowhere", {}), (other, {"amount": 1200, "amount_received": 1200})):
        intent = told["data"]["object"] | {"id": id} | change
        pay.forged(told | {"id": f"evt_{id}", "data": {"object": intent}})
    pay.found()
    assert pay.kinds() == sorted([("unknown_there", "pi_nowhere"), ("other_amount", other)])
    assert shop.receipt(known, "stripe").state == "credited"


def test_a_trial_that_costs_nothing_is_no_charge_and_agrees(pay):
    shop, account = pay.market, pay.market.account()
    marks = Owner(workspace="main", account=account, product="writer/pro").metadata()
    price: Any = {"currency": "eur", "unit_amount": 2_000, "recurring": {"interval": "month"}}
    wanted: Any = {
        "mode": "subscription", "metadata": marks, "success_url": "https://shop.example/",
        "line_items": [{"price_data": price | {"product_data": {"name": "Pro"}}, "quantity": 1}],
        "subscription_data": {"trial_period_days": 7, "metadata": marks},
    }  # fmt: skip
    session = api(shop).checkout.sessions.create(wanted)
    shop.pay.post(f"checkouts/{session.id}/pay")
    shop.pay.post("events/send")
    assert shop.balance(account) == 2000
    done, found = pay.reconciled()
    assert (found, done.payments, done.sums["EUR"].paid_there) == ([], 1, 0)


def test_what_is_marked_for_another_workspace_or_for_no_subscription_is_of_others(pay):
    shop = pay.market
    pay.lost()
    wanted = Checkout(
        owner=Owner(workspace="another", account="x", product="y"), success_url="https://shop.example/",
        price=Price(amount_minor=500, currency="EUR", name="Elsewhere"),
    )  # fmt: skip
    session = asyncio.run(shop.stripe.check_out(wanted, "elsewhere"))
    shop.pay.post(f"checkouts/{session.id}/pay")
    done, found = pay.reconciled()
    assert (found, done.others, done.payments) == ([], 1, 0)
    assert [(each.mark, each.amount) for each in done.elsewhere] == [("another", 5)]


def test_a_payment_without_marks_is_of_others_unless_its_event_would_have_been_kept(pay):
    shop = pay.market
    pay.lost()
    taken: Any = {"amount": 700, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}
    stall = api(shop).payment_intents.create(taken)
    old = api(shop).payment_intents.create({**taken, "metadata": {"userId": "ann"}})
    price: Any = {"currency": "eur", "unit_amount": 300, "product_data": {"name": "A cup"}}
    wanted: Any = {"mode": "payment", "success_url": "https://shop.example/"}
    wanted["line_items"] = [{"price_data": price, "quantity": 1}]
    session = api(shop).checkout.sessions.create(wanted)
    cup = shop.pay.post(f"checkouts/{session.id}/pay")["payment_intent"]
    done, found = pay.reconciled()
    assert sorted((each.kind, each.payment) for each in found) == sorted(
        [("missing_here", old.id), ("missing_here", cup)]
    )
    assert [(each.payment, each.mark, each.amount) for each in done.elsewhere] == [(stall.id, "", 7)]
    assert (done.others, done.payments, done.sums["EUR"].paid_there) == (1, 2, 10)
