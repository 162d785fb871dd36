"""What providers send, over real HTTP: credited once, answered when it is done, and whatever is wrong with it moves
nothing and is kept where a person finds it."""

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx2
import pytest
import stripe as library

from farthing.commerce.digistore24.client import Digistore24
from farthing.commerce.digistore24.signature import sign
from farthing.commerce.digistore24.wanted import Checkout, PaymentPlan
from farthing.commerce.stripe.orders import Checkout as StripeCheckout
from farthing.commerce.stripe.orders import Every, Owner, Price
from farthing.core.commands import SetAccount, TakeCharge
from farthing.core.purchases import returned
from farthing.desks import Unwatched, runner_on
from farthing.fakes.digistore24 import KEY
from farthing.fakes.stripe.sender import signature
from farthing.stores.access import Act
from farthing.stores.contract import Unavailable
from farthing.stores.erasing import Erasing
from farthing.stores.purchases import Purchases
from farthing.stores.subscriptions import Subscriptions
from farthing.stores.users import Users
from tests.api.v1.client import Client
from tests.commerce.market import LIVE_KEY, PASSPHRASE, SECRET, Market, market
from tests.support import START_US, UNIT


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with market(tmp_path_factory.mktemp("market")) as made:
        yield made


@pytest.fixture
def shop(opened: Market) -> Iterator[Market]:
    """One for all tests, with calm weather at the beginning of each."""
    yield opened
    opened.calm()


def of_payment(shop: Market, order: dict[str, Any]) -> str:
    """The name of an order's only payment."""
    (payment,) = [each for each in order["money"] if each["type"] == "payment"]
    return str(payment["id"])


def body(shop: Market, change: dict[str, str] | None = None, passphrase: str = PASSPHRASE) -> bytes:
    """The last message of Digistore24, changed and signed anew."""
    last = dict(parse_qsl(shop.ds24.get("messages")["messages"][-1]["body"], keep_blank_values=True))
    fields = {name: text for name, text in (last | (change or {})).items() if name != "sha_sign"}
    return urlencode(fields | {"sha_sign": sign(fields, passphrase)}).encode()


# Signatures


def test_a_payment_at_digistore24_is_credited_and_told_ok(shop):
    account = shop.account()
    order = shop.buy(account)
    assert shop.answers() == [(200, "OK")]
    assert shop.balance(account) == 1000
    assert shop.receipt(of_payment(shop, order)).order == order["id"]
    assert shop.told_of(account) == ["payment.credited"]


@pytest.mark.parametrize("change", [{"passphrase": "another"}, {"passphrase": ""}])
def test_a_digistore24_message_signed_by_somebody_else_is_forbidden_and_not_kept(shop, change):
    account = shop.account()
    shop.buy(account)
    before = len(shop.came())
    assert shop.send("digistore24", body(shop, {"transaction_id": "9"}, **change)).status == 403
    assert shop.send("digistore24", body(shop).replace(b"amount=10.00", b"amount=99.00")).status == 403
    assert shop.send("digistore24", body(shop).rpartition(b"&")[0]).status == 403
    assert shop.send("digistore24", b"").status == 403
    assert shop.send("digistore24", b"\xff\xfe=1").status == 400
    assert shop.send("digistore24", body(shop) + b"\0").status == 400
    assert (len(shop.came()), shop.balance(account)) == (before, 1000)


def test_a_digistore24_message_that_is_sent_again_changes_nothing(shop):
    account = shop.account()
    shop.buy(account)
    same = body(shop)
    for _ in range(3):
        assert shop.send("digistore24", same).raw == b"OK"
    assert shop.balance(account) == 1000


def test_names_that_are_upper_cased_are_read_and_verified(shop):
    account = shop.account()
    shop.ds24.post("habits", upper_names=True)
    try:
        shop.buy(account)
    finally:
        shop.ds24.post("habits", upper_names=False)
    assert shop.balance(account) == 1000


def test_the_test_of_a_connection_is_answered_and_nothing_is_written(shop):
    before = shop.came()
    shop.ds24.post("connections/test")
    assert shop.answers() == [(200, "OK")]
    assert shop.came() == before
    assert shop.server.send("GET", "/webhooks/digistore24/main").status == 200


def stripe_event(shop: Market, account: str) -> bytes:
    """An event of Stripe's about a payment of this account, as it was kept."""
    shop.check_out(account)
    (found,) = [each for each in shop.came() if each.kind == "checkout.session.completed" and account in each.body]
    return found.body.encode("latin-1")


def signed(shop: Market, body: bytes, *, ago: int = 0, secret: str = SECRET) -> dict[str, str]:
    at = shop.server.clock.now_us() // 1_000_000 - ago
    return {"stripe_signature": signature(body, at, (secret,))}


def test_an_event_of_stripe_counts_with_its_signature_only(shop):
    account = shop.account()
    event = stripe_event(shop, account)
    assert shop.balance(account) == 1000
    other = event.replace(b'"amount_total": 1000', b'"amount_total": 9000')
    assert other != event
    before = len(shop.came())
    for sent, headers in (
        (event, {}),
        (event, {"stripe_signature": "t=1,v1="}),
        (event, signed(shop, event, secret="whsec_another")),
        (event, signed(shop, event, ago=301)),
        (other, signed(shop, event)),
        (b"", signed(shop, b"", secret="whsec_another")),
    ):
        assert shop.send("stripe", sent, **headers).status == 400, headers
    assert shop.send("stripe", event, **signed(shop, event)).status == 200
    assert (len(shop.came()), shop.balance(account)) == (before, 1000)


def test_while_the_secret_of_a_webhook_is_changed_both_verify(shop):
    event = stripe_event(shop, shop.account())
    shop.set("stripe", webhook_secrets=("whsec_new", SECRET))
    try:
        for secret in ("whsec_new", SECRET):
            assert shop.send("stripe", event, **signed(shop, event, secret=secret)).status == 200
    finally:
        shop.set("stripe", webhook_secrets=(SECRET,))


def test_events_that_are_none_of_ours_by_their_kind_are_not_kept(shop):
    before = len(shop.came())
    event = b'{"id": "evt_1", "type": "payout.paid"}'
    assert shop.send("stripe", event, **signed(shop, event)).raw == b"OK"
    assert len(shop.came()) == before


# Whom it is for


@pytest.mark.parametrize("path", ["stripe/nowhere", "stripe/other", "paypal/main", "stripe", "digistore24/%00", ""])
def test_who_knows_no_such_workspace_or_provider_says_just_that(shop, path):
    answer = shop.server.send("POST", f"/webhooks/{path}", b"{}")
    assert (answer.status, answer.raw) == (404, b"Not Found")


def test_a_path_takes_its_own_methods(shop):
    for method, provider in (("GET", "stripe"), ("PUT", "stripe"), ("DELETE", "digistore24")):
        assert shop.server.send(method, f"/webhooks/{provider}/main").status == 405


def test_a_body_that_no_message_can_have_is_too_large(shop):
    assert shop.send("digistore24", b"a" * 200_001).status == 413
    assert shop.send("stripe", b"a" * 1_000_001).status == 413


def test_credentials_change_nothing(shop):
    account = shop.account()
    shop.buy(account)
    assert shop.send("digistore24", body(shop), X_API_Key="nonsense").raw == b"OK"
    assert shop.send("digistore24", b"", Authorization="Bearer x").status == 403


def test_what_is_not_signed_is_held_up_when_it_comes_too_often_and_what_is_signed_never(shop):
    account = shop.account()
    shop.buy(account)
    told = [shop.send("digistore24", b"event=x", X_Forwarded_For="203.0.113.9").status for _ in range(70)]
    assert (told[0], told[-1], set(told)) == (403, 429, {403, 429})
    signed = body(shop, {"transaction_id": "T70"})
    assert shop.send("digistore24", signed, X_Forwarded_For="203.0.113.9").raw == b"OK"
    assert shop.balance(account) == 2000


# What is not right


def test_another_merchants_message_is_kept_and_counts_once_it_is_ours(shop):
    account = shop.account()
    shop.set("digistore24", merchant_id="4711")
    try:
        shop.buy(account)
        assert shop.answers() == [(200, "OK")]
        assert shop.kept().outcome == "unmatched: it is of merchant 39499382, and not of 4711"
        shop.set("digistore24", merchant_id="39499382", product_ids=("1", "2"))
        assert shop.send("digistore24", body(shop)).raw == b"OK"
        assert shop.kept().outcome == "unmatched: product 201 is none of those in product_ids"
        assert shop.balance(account) == 0
        shop.set("digistore24", product_ids=("1", "201"))
        shop.ds24.post(f"messages/{shop.ds24.get('messages')['messages'][-1]['id']}/resend")
        assert shop.balance(account) == 1000
        assert (shop.kept().outcome, shop.kept().times) == (f"credited to {account}", 3)
    finally:
        shop.set("digistore24", merchant_id="", product_ids=())


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"product_id": "999"}, "unknown_product"),
        ({"amount": "9.99"}, "other_amount"),
        ({"currency": "USD"}, "other_currency"),
        ({"custom": ""}, "no_account"),
        ({"custom": "co_nobody gave this out"}, "no_account"),
        ({"custom": "a\x01b"}, "no_account"),
        ({"test": True}, "test_mode"),
    ],
)
def test_what_is_in_doubt_is_answered_and_waits_for_a_person(shop, given, reason):
    account = shop.account()
    order = shop.buy(account, **given)
    assert shop.answers() == [(200, "OK")]
    assert shop.receipt(of_payment(shop, order)).reason == reason
    assert shop.kept().outcome == f"waits: {reason}"
    assert shop.balance(account) == 0


def test_test_events_of_stripe_are_nobodys_money_in_a_live_workspace(shop):
    account = shop.account()
    shop.pay.post("rules", livemode=False)
    try:
        paid = shop.check_out(account)
    finally:
        shop.pay.post("rules", livemode=True)
    assert shop.receipt(paid["payment_intent"], "stripe").reason == "test_mode"
    assert shop.balance(account) == 0


def test_what_can_not_be_read_yet_is_kept_and_sent_again(shop):
    shop.buy(shop.account())
    dozen = body(shop, {"quantity": "a dozen", "order_id": "NEW1"})
    answer = shop.send("digistore24", dozen)
    assert (answer.status, answer.raw) == (503, b"Service Unavailable")
    assert shop.kept(dozen).outcome == "failed: quantity is no number: 'a dozen'"
    thin = b'{"id": "evt_thin", "type": "invoice.paid", "object": "v2.core.event"}'
    assert shop.send("stripe", thin, **signed(shop, thin)).status == 503
    assert [each.done_at for each in shop.came() if each.id == "evt_thin"] == [None]
    done(shop, "digistore24", shop.kept(dozen).id)
    done(shop, "stripe", "evt_thin")


def done(shop: Market, provider: str, id: str) -> None:
    """Nobody is to try it again."""
    shop.server.run(shop.purchases.done("main", provider, id, "given up", START_US))


# Money back


def test_a_refund_that_comes_before_its_payment_waits_for_it(shop):
    account = shop.account()
    shop.ds24.post("habits", hold=True)
    order = shop.buy(account)
    shop.ds24.post(f"orders/{order['id']}/refund", amount="4.00")
    shop.ds24.post("messages/release", order="reversed")
    assert shop.balance(account) == 600
    assert shop.told_of(account) == ["payment.refunded", "payment.credited"]


def test_two_partial_refunds_of_stripe_that_come_out_of_order_take_their_sum(shop):
    account = shop.account()
    payment = shop.check_out(account)["payment_intent"]
    shop.server.do(TakeCharge(workspace="main", account=account, amount=900 * UNIT))
    shop.pay.post("habits", hold=True)
    for amount in (200, 300):
        shop.pay.post(f"payments/{payment}/refund", amount=amount)
    shop.pay.post("events/release", order="reversed")
    assert shop.balance(account) == -400
    assert returned(shop.receipt(payment, "stripe")) == 5
    assert "payment.refunded" in shop.told_of(account)


def test_a_refund_that_names_its_order_alone_is_of_its_only_payment(shop):
    account = shop.account()
    order = shop.buy(account)
    refund = {"event": "on_refund", "transaction_type": "refund", "transaction_id": "R1", "parent_transaction_id": ""}
    assert shop.send("digistore24", body(shop, refund)).raw == b"OK"
    assert shop.balance(account) == 0
    unknown = body(shop, refund | {"order_id": "NOBODYS", "transaction_id": "R2"})
    assert shop.send("digistore24", unknown).status == 503
    assert "nothing is known yet of order NOBODYS" in shop.kept(unknown).outcome
    done(shop, "digistore24", shop.kept(unknown).id)
    assert shop.receipt(of_payment(shop, order)).taken == 1000 * UNIT


def test_a_refund_in_another_currency_than_was_paid_in_is_kept_and_shown_and_takes_nothing(shop):
    account = shop.account()
    order = shop.buy(account)
    refund = {
        "event": "on_refund", "transaction_type": "refund", "transaction_id": "R9", "transaction_amount": "5.00",
        "transaction_currency": "USD", "parent_transaction_id": of_payment(shop, order),
    }  # fmt: skip
    told = body(shop, refund)
    assert shop.send("digistore24", told).raw == b"OK"
    assert shop.kept(told).outcome.endswith(f"5.00 USD of payment {of_payment(shop, order)}, which was in EUR")
    assert shop.kept(told).outcome.startswith("unmatched: ")
    assert (shop.balance(account), shop.receipt(of_payment(shop, order)).returned) == (1000, {})


def test_a_refund_in_another_currency_that_comes_before_its_payment_is_kept_and_shown_and_takes_nothing(shop):
    account = shop.account()
    shop.ds24.post("habits", hold=True)
    payment = of_payment(shop, shop.buy(account))
    refund = {
        "event": "on_refund", "transaction_type": "refund", "transaction_id": f"R{payment}", "transaction_amount":
        "10.00", "transaction_currency": "USD", "parent_transaction_id": payment, "payment_id": "PAYID-1-T99",
    }  # fmt: skip
    told = body(shop, refund)
    assert shop.send("digistore24", told).raw == b"OK"
    assert shop.kept(told).outcome == "waits for its payment"
    shop.ds24.post("messages/release")
    assert (shop.balance(account), shop.receipt(payment).returned) == (1000, {})
    assert shop.kept(told).outcome == f"unmatched: it gives back 10.00 USD of payment {payment}, which was in EUR"
    assert shop.told_of(account) == ["payment.credited"]


@pytest.mark.parametrize("early", [True, False])
def test_a_refund_of_stripe_in_another_currency_takes_nothing_whichever_comes_first(shop, early: bool):
    account = shop.account()
    shop.pay.post("habits", hold=True)
    payment = shop.check_out(account)["payment_intent"]
    shop.pay.post(f"payments/{payment}/refund", amount=400)
    headers = {"authorization": f"Bearer {LIVE_KEY}"}
    made = httpx2.get(f"{shop.pay.url}/v1/events?limit=20", headers=headers, timeout=60).json()["data"]
    of_it = [each for each in made if payment in json.dumps(each)]
    back = {each["type"]: each for each in of_it}["charge.refunded"]
    back["data"]["object"]["currency"] = "usd"
    told = json.dumps(back).encode()
    paid = [each["id"] for each in of_it if each["type"].startswith(("checkout", "payment_intent"))]
    if not early:
        shop.pay.post("events/release", ids=paid)
    assert shop.send("stripe", told, **signed(shop, told)).status == 200
    if early:
        shop.pay.post("events/release", ids=paid)
    (kept,) = [each for each in shop.came() if each.id == back["id"]]
    assert kept.outcome == f"unmatched: it gives back 4.00 USD of payment {payment}, which was in EUR"
    assert (shop.balance(account), shop.receipt(payment, "stripe").returned) == (1000, {})


def test_a_refund_that_names_all_that_was_paid_at_once_is_of_its_own_item(shop):
    account = shop.account()
    shop.ds24.post("habits", refunds_by_number=True, hold=True)
    try:
        order = shop.buy(account, upsells=[{"product_id": "102", "amount": "20.00"}])
        first, second = [each["id"] for each in order["money"]]
        shop.ds24.post(f"orders/{order['id']}/refund", amount="4.00", transaction_id=second)
        refund = shop.ds24.get("messages")["messages"][-1]
        # Before its payment nobody can tell which it is of; it comes again, and takes nothing that is another's.
        shop.ds24.post("messages/release", ids=[refund["id"]])
        assert shop.answers()[-1][0] == 503
        shop.ds24.post("messages/release", order="reversed")
        shop.ds24.post(f"messages/{refund['id']}/resend")
    finally:
        shop.ds24.post("habits", refunds_by_number=False)
    assert shop.receipt(first).returned == {}
    assert [shop.receipt(second).returned[name] for name in shop.receipt(second).returned] == ["4.00"]
    assert shop.balance(account) == 1000 + 2000 - 400


def test_a_refund_that_names_nothing_that_is_known_is_kept_and_shown_after_a_day(shop):
    account = shop.account()
    order = shop.buy(account, upsells=[{"product_id": "102", "amount": "20.00"}])
    first = order["money"][0]["id"]
    refund = {
        "event": "on_refund", "transaction_type": "refund", "transaction_id": "R7", "payment_id": "",
        "parent_transaction_id": first, "order_item_id": "99999",
    }  # fmt: skip
    assert shop.send("digistore24", body(shop, refund)).status == 503
    later = 86_400
    for provider in (shop.ds24, shop.pay):
        provider.post("clock/advance", seconds=later)
    kept = shop.kept(body(shop, refund))
    tried_again(shop, later)
    assert shop.kept(body(shop, refund)).outcome == "unmatched: it does not say which payment it is about"
    assert kept.done_at is None
    assert (shop.balance(account), shop.receipt(first).returned) == (3000, {})


def test_a_dispute_at_stripe_pins_and_its_end_decides(shop):
    account = shop.account()
    payment = shop.check_out(account)["payment_intent"]
    dispute = shop.pay.post(f"payments/{payment}/dispute")["id"]
    row = shop.server.run(shop.server.ledger.reports.account("main", account, START_US))
    assert (row.balance, row.held) == (1000 * UNIT, 1000 * UNIT)
    shop.pay.post(f"disputes/{dispute}/close", status="lost")
    assert shop.balance(account) == 0
    assert shop.told_of(account) == ["payment.credited", "dispute.opened", "dispute.closed"]


# Accounts


@pytest.mark.parametrize("tier", [False, True])
def test_what_goes_back_of_another_workspaces_payment_is_nothing_of_ours(shop, tier):
    payment = of_another_workspace(shop, tier)
    dispute = shop.pay.post(f"payments/{payment}/dispute")["id"]
    shop.pay.post(f"disputes/{dispute}/close", status="won")
    refund = shop.pay.post(f"payments/{payment}/refund", amount=300)["id"]
    shop.pay.post(f"refunds/{refund}/end", well=False)
    told = {each.kind for each in shop.came() if payment in each.body}
    assert told >= {"charge.dispute.created", "charge.dispute.closed", "charge.refunded", "refund.failed"}
    assert {each.outcome for each in shop.came() if payment in each.body} == {"nothing to do"}
    assert shop.server.run(shop.purchases.receipt("main", "stripe", payment)) is None


@pytest.mark.usefixtures("quick")
def test_a_dispute_of_what_is_not_known_waits_for_who_can_tell_whose_it_is(shop):
    payment = of_another_workspace(shop, False)
    shop.pay.post("habits", hold=True)
    shop.pay.post(f"payments/{payment}/dispute")
    shop.pay.post("weather", mode="cut")
    shop.pay.post("events/release")
    (told,) = [each for each in shop.came() if each.kind == "charge.dispute.created" and payment in each.body]
    assert told.outcome.startswith("failed: Stripe: ")
    shop.pay.post("weather", mode="fine")
    shop.pay.post("rules", keys=["sk_live_new"])
    assert tried_again(shop, 61)[1] == 0
    shop.pay.post("rules", keys=[LIVE_KEY])
    # A key that is refused tells nobody; it may be ours, and is shown.
    assert shop.receipt(payment, "stripe").dispute


def of_another_workspace(shop: Market, tier: bool) -> str:
    """A payment that another workspace's checkout took, by the same account at Stripe."""
    before = shop.pay.get("books")["payments"]
    owner = Owner(workspace="other", account="zoe", product="writer/pro")
    price = Price(amount_minor=1_000, currency="EUR", name="x", every=Every(interval="month") if tier else None)
    wanted = StripeCheckout(owner=owner, price=price, success_url="https://shop.example/")
    make = shop.stripe.check_out_subscription if tier else shop.stripe.check_out
    session = asyncio.run(make(wanted, f"other-{shop.account()}"))
    shop.pay.post(f"checkouts/{session.id}/pay")
    shop.pay.post("events/send")
    (payment,) = shop.pay.get("books")["payments"].keys() - before.keys()
    return str(payment)


def test_a_frozen_account_and_one_whose_texts_are_erased_get_what_they_paid_for(shop):
    frozen, erased = shop.account(), shop.account()
    for account in (frozen, erased):
        shop.buy(account)
    shop.server.do(SetAccount(workspace="main", account=frozen, frozen=True))
    db = shop.server.ledger.database
    shop.server.run(Erasing(db, Users(db)).erase("main", erased, Act("test", START_US), "asked to"))
    for account in (frozen, erased):
        shop.buy(account)
        assert shop.balance(account) == 2000


@pytest.mark.parametrize("first", ["notification", "call"])
def test_a_transaction_that_is_also_added_by_a_call_is_credited_once(shop, first):
    account = shop.account()
    shop.ds24.post("habits", hold=True)
    payment = of_payment(shop, order := shop.buy(account))
    source = {"productId": "201", "orderId": order["id"], "transactionId": payment}
    call = {"account_id": account, "amount": 1000, "source": source}
    acts = [lambda: shop.ds24.post("messages/release"), lambda: shop.server.post("add", call)]
    for act in acts if first == "notification" else reversed(acts):
        act()
    assert shop.answers() == [(200, "OK")]
    assert shop.balance(account) == 1000
    assert shop.server.post("add", call).status == 200
    assert shop.receipt(payment).credits == 1000 * UNIT


# Subscriptions


def test_each_invoice_of_a_subscription_is_a_period_once(shop):
    account = shop.account()
    subscription = shop.check_out(account, tier=True)["subscription"]
    assert shop.balance(account) == 2000
    shop.pay.post("clock/advance", days=32)
    assert shop.balance(account) == 4000
    kept = shop.server.run(shop.purchases.order("main", "stripe", subscription))
    assert (kept.order.account, kept.order.offer, kept.order.state) == (account, "writer/pro", "open")


def tier_of(shop: Market, account: str) -> str:
    found = shop.server.run(Subscriptions(shop.server.ledger.database).of("main", account))
    return found.plan if found and found.ended_at is None else ""


def change_tier(shop: Market, account: str, order: str, product: str, kind: str) -> str:
    """The buyer of an order goes over to another product by a link; the new order."""

    async def link() -> str:
        plan = PaymentPlan(
            first_amount=Decimal(20), other_amounts=Decimal(20), currency="EUR", number_of_installments=0,
            upgrade_order_id=order, upgrade_type=kind,
        )  # fmt: skip
        async with Digistore24(KEY, base_url=shop.ds24.url) as client:
            return (await client.create_buy_url(Checkout(product, plan, custom=account))).url

    made: str = shop.ds24.post("orders", link=asyncio.run(link()))["id"]
    return made


def test_an_upgrade_counts_at_once_and_a_downgrade_when_what_was_paid_is_over(shop):
    account = shop.account()
    order = shop.buy(account, product_id="101", amount="10.00", installments=0)["id"]
    order = change_tier(shop, account, order, "102", "upgrade")
    assert (tier_of(shop, account), shop.balance(account)) == ("pro", 2100)
    change_tier(shop, account, order, "101", "downgrade")
    assert shop.answers() == [(200, "OK")]
    assert (tier_of(shop, account), shop.kept().outcome) == ("pro", "waits for its time")
    tried_again(shop, 61)
    assert tier_of(shop, account) == "pro"
    later = 32 * 86_400
    # Nobody's clock may be behind that of the server: what was signed long ago is refused.
    for provider in (shop.ds24, shop.pay):
        provider.post("clock/advance", seconds=later)
    tried_again(shop, later)
    assert tier_of(shop, account) == "basic"


def by_page(shop: Market, order: str, product: str, kind: str) -> str:
    """The buyer of an order takes what is offered to him on Digistore24's own page; the new order."""
    way = shop.ds24.post("upgrades", to_product_id=product, types={"101": kind, "102": kind})
    taken = httpx2.post(f"{shop.ds24.url}/upgrade/{way['id']}-{way['authkey']}/{order}", data={"action": "pay"})
    return taken.headers["location"].rpartition("/")[2]


def test_an_order_that_came_of_another_on_digistore24s_own_page_is_of_the_same_account(shop):
    account = shop.account()
    old = shop.buy(account, product_id="101", amount="10.00", installments=0)["id"]
    new = by_page(shop, old, "102", "upgrade")
    assert shop.ds24.get(f"orders/{new}")["custom"] == ""
    assert (tier_of(shop, account), shop.balance(account)) == ("pro", 2100)
    beside = by_page(shop, new, "201", "special_offer")
    assert shop.balance(account) == 3100
    states = [shop.server.run(shop.purchases.order("main", "digistore24", id)).order.state for id in (old, new, beside)]
    assert states == ["replaced", "open", "open"]


def test_an_upgrade_that_is_told_before_its_order_waits_for_that(shop):
    account = shop.account()
    shop.ds24.post("habits", hold=True)
    old = shop.buy(account, product_id="101", amount="10.00", installments=0)["id"]
    new = by_page(shop, old, "102", "upgrade")
    first, second = [each["id"] for each in shop.ds24.get("messages")["messages"][-2:]]
    shop.ds24.post("messages/release", ids=[second])
    assert shop.answers()[-1][0] == 503
    assert shop.server.run(shop.purchases.order("main", "digistore24", new)) is None
    shop.ds24.post("messages/release", ids=[first])
    shop.ds24.post(f"messages/{second}/resend")
    assert (tier_of(shop, account), shop.balance(account)) == ("pro", 2100)


def test_who_claims_an_order_has_what_came_of_it(shop):
    account = shop.account()
    old = shop.buy("", product_id="101", amount="10.00", installments=0)["id"]
    new = by_page(shop, old, "102", "upgrade")
    assert shop.server.run(shop.purchases.order("main", "digistore24", new)).order.account == ""
    client = Client(shop.server, shop.server.new_key("admin"))
    client.made(f"orders/digistore24/{old}/claim", {"account": account}, 200)
    assert shop.server.run(shop.purchases.order("main", "digistore24", new)).order.account == account
    assert shop.balance(account) == 2100
    again = shop.buy("", product_id="101", amount="10.00", installments=0)
    newer = by_page(shop, again["id"], "102", "upgrade")
    client.made(f"payments/digistore24/{of_payment(shop, again)}/assign", {"account": account}, 200)
    assert shop.server.run(shop.purchases.order("main", "digistore24", newer)).order.account == account


def test_a_subscription_that_has_ended_and_is_paid_again_has_an_open_order(shop):
    account = shop.account()
    order = shop.buy(account, product_id="102", amount="20.00", installments=0)["id"]
    shop.ds24.post(f"orders/{order}/tell", event="last_paid_day")
    assert tier_of(shop, account) == ""
    shop.pass_time(60)
    for provider in (shop.ds24, shop.pay):
        provider.post("clock/advance", days=32)
    kept = shop.server.run(shop.purchases.order("main", "digistore24", order))
    assert (kept.order.state, tier_of(shop, account)) == ("open", "pro")


@pytest.mark.parametrize("provider", ["digistore24", "stripe"])
def test_an_end_that_is_told_before_its_beginning_waits_for_that(shop, provider):
    account = shop.account()
    if provider == "digistore24":
        shop.ds24.post("habits", hold=True)
        order = shop.buy(account, product_id="102", amount="20.00", installments=0)["id"]
        shop.ds24.post(f"orders/{order}/tell", event="last_paid_day")
        shop.ds24.post("messages/release", order="reversed")
    else:
        shop.pay.post("habits", hold=True)
        order = shop.check_out(account, tier=True)["subscription"]
        library.StripeClient(LIVE_KEY, base_addresses={"api": shop.pay.url}).v1.subscriptions.cancel(order)
        shop.pay.post("events/release", order="reversed")
    assert {each.done_at is None for each in shop.came() if order in each.body} == {False}
    assert shop.server.run(shop.purchases.order("main", provider, order)).order.state == "ended"
    assert (tier_of(shop, account), shop.balance(account)) == ("", 2000)


def test_an_end_of_what_was_never_sold_here_is_shown_after_a_day(shop):
    shop.buy(shop.account())
    ended = body(shop, {"event": "last_paid_day", "order_id": "NOBODYS"})
    assert shop.send("digistore24", ended).raw == b"OK"
    assert shop.kept(ended).outcome == "waits for its order: nothing is known yet of NOBODYS"
    assert tried_again(shop, 86_400) == (1, 0)
    assert shop.kept(ended).outcome == "unmatched: nothing is known of its order"


def test_what_is_paid_in_installments_is_credited_with_them(shop):
    account = shop.account()
    shop.buy(account, amount="4.00", installments=3)
    assert shop.balance(account) == 333
    shop.ds24.post("clock/advance", days=62)
    assert shop.balance(account) == 1000


def test_several_at_once_are_several_times_the_credits(shop):
    account = shop.account()
    shop.check_out(account, quantity=3)
    assert shop.balance(account) == 3000


# Trouble


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stripe's library waits less between its tries."""
    monkeypatch.setattr(library.HTTPClient, "INITIAL_DELAY", 0.01)


def tried_again(shop: Market, seconds: int) -> tuple[int, int]:
    """What comes of the job after some time: how many messages are done, and how many failed."""
    shop.pass_time(seconds)
    runner = runner_on(shop.server.ledger, shop.server.settings, Unwatched())
    (ran,) = shop.server.run(runner.once(["payments"], "now"))
    assert ran.error == ""
    return ran.done, ran.failed


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("trouble", ["html", "down", "key"])
def test_what_has_to_be_asked_of_a_provider_that_gives_no_answer_is_kept_until_it_does(shop, trouble):
    account = shop.account()
    shop.pay.post("habits", hold=True)
    shop.check_out(account, tier=True)
    if trouble == "key":
        shop.pay.post("rules", keys=["sk_live_new"])
    else:
        shop.pay.post("weather", mode="html" if trouble == "html" else "cut")
    shop.pay.post("events/release")
    (told,) = [each.outcome for each in shop.came() if each.kind == "invoice.paid" and account in each.body]
    assert told.startswith("failed: Stripe: ")
    assert LIVE_KEY not in told
    assert shop.balance(account) == 0
    assert tried_again(shop, 61) == (0, 1)
    shop.pay.post("weather", mode="fine")
    shop.pay.post("rules", keys=[LIVE_KEY])
    assert tried_again(shop, 30) == (0, 0), "it waits for as long as it has waited"
    assert tried_again(shop, 31) == (1, 0)
    assert shop.balance(account) == 2000


def test_a_secret_that_can_not_be_had_is_told_by_its_reference_and_the_message_comes_again(shop, monkeypatch):
    account = shop.account()
    shop.set("digistore24", passphrase="env:DS24_PASSPHRASE")
    try:
        shop.buy(account)
        assert shop.answers() == [(503, "Service Unavailable")]
        (line,) = [each for each in shop.server.log_lines() if "DS24_PASSPHRASE" in each.get("error", "")]
        assert (line["level"], line["workspace"]) == ("error", "main")
        monkeypatch.setenv("DS24_PASSPHRASE", PASSPHRASE)
        shop.ds24.post("clock/advance", seconds=180)
        assert shop.balance(account) == 1000
    finally:
        shop.set("digistore24", passphrase=PASSPHRASE)


@pytest.mark.parametrize("step", ["received", "keep", "done"])
def test_ok_is_told_only_when_all_is_on_the_disk(shop, step, monkeypatch):
    account, whole = shop.account(), getattr(Purchases, step)

    async def cut_off(self: Purchases, *words: Any, **named: Any) -> Any:
        monkeypatch.setattr(Purchases, step, whole)
        raise Unavailable("the disk is gone")

    monkeypatch.setattr(Purchases, step, cut_off)
    shop.buy(account)
    assert shop.answers() == [(503, "Service Unavailable")]
    shop.ds24.post("clock/advance", seconds=180)
    assert [status for status, _ in shop.answers()] == [503, 200]
    assert shop.balance(account) == 1000


def test_messages_are_counted_by_what_came_of_them(shop):
    shop.buy(shop.account())
    shop.send("digistore24", body(shop))
    shop.send("digistore24", b"event=x")
    text = shop.server.metrics.text().decode()
    for result in ("credited", "before", "refused"):
        assert f'farthing_payments_events_total{{provider="digistore24",result="{result}"}}' in text
