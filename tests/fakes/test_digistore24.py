"""The stand-in for Digistore24 does what the real one is known to do; what it tells is read by the real reader."""

import asyncio
import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from farthing.cli.root import run
from farthing.commerce.digistore24.client import Digistore24
from farthing.commerce.digistore24.notification import BadSignature, Event, Notification, notification_of, signed_fields
from farthing.commerce.digistore24.wanted import BuyerData, Checkout, ConnectionPlan, PaymentPlan, Urls
from farthing.fakes.digistore24 import KEY, PASSPHRASE, Options, Remote, running
from farthing.fakes.digistore24.clock import after
from farthing.fakes.digistore24.forms import parse
from farthing.fakes.digistore24.post import LADDER
from tests.cli.command import program
from tests.fakes.receiver import Receiver, receiving

WEB = httpx2.Client(verify=False)
"""A browser; without TLS it is made in a tenth of the time."""
MONTHLY = {"installments": 0, "amount": "10.00"}


@contextmanager
def opened() -> Iterator[tuple[Remote, Receiver]]:
    with (
        receiving() as receiver,
        running(Options(notify=receiver.url, allow_http=True, frozen_at=datetime(2026, 1, 31))) as fake,
    ):
        yield fake, receiver


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Remote, Receiver]]:
    with opened() as both:
        yield both


@pytest.fixture
def alone() -> Iterator[tuple[Remote, Receiver]]:
    """One that has no other test's orders, whose messages would get the answers that are meant for one's own."""
    with opened() as both:
        yield both


@pytest.fixture
def fake(served: tuple[Remote, Receiver]) -> Remote:
    served[0].post("weather")
    calm = {"hold": False, "upper_keys": False, "upper_names": False, "signup_event": False}
    shares = {"duplicate": 0, "lose_answer": 0, "delay": 0, "delay_seconds": 600}
    served[0].post("habits", **calm, **shares, refunds_without_custom=False, seed=1)
    return served[0]


@pytest.fixture
def receiver(served: tuple[Remote, Receiver]) -> Receiver:
    return served[1]


def buy(fake: Remote, **given: Any) -> dict[str, Any]:
    order: dict[str, Any] = fake.post("orders", **{"product_id": "512345"} | given)
    return order


def read(receiver: Receiver, order_id: str) -> list[Notification]:
    """What came about an order, read as Farthing reads it."""
    return [notification_of(signed_fields(body, PASSPHRASE)) for body in receiver.of(order_id)]


def again_until(fake: Remote, order_id: str) -> str:
    due: str = fake.get(f"orders/{order_id}")["next_payment_at"]
    return due.replace("T", " ")


def booked(fake: Remote, order_id: str) -> tuple[str, str, str]:
    found = fake.get("books")["orders"][order_id]
    return found["paid"], found["refunded"], found["charged_back"]


# What is told


def test_a_payment_is_told_with_all_names_of_a_real_message(fake: Remote, receiver: Receiver):
    order = buy(fake, custom="alice", amount="49.00", country="CH", quantity=2)["id"]
    (raw,) = receiver.told(order)
    # A real one has 173, two of which are placeholders of its link.
    assert len(raw) == 171
    assert {"purchase_id"} & raw.keys() == set()
    (told,) = read(receiver, order)
    assert (told.known, told.transaction_type, told.moved) == (Event.PAYMENT, "payment", Decimal("98.00"))
    assert (told.custom, told.product_id, told.quantity, told.pay_sequence_no) == ("alice", "512345", 2, 0)
    assert (told.billing_type, told.billing_status, told.is_test) == ("single_payment", "completed", False)
    assert (told.ipn_config_api_key_id, told.ipn_config_domain_id) == (Digistore24(KEY).key_id, "fake")
    assert Decimal(raw["amount_netto"]) + Decimal(raw["amount_vat"]) == Decimal("98.00")
    assert raw["amount_vat"] == "7.34"


@pytest.mark.parametrize("habit", ["upper_keys", "upper_names"])
def test_signatures_come_in_both_cases_of_names(fake: Remote, receiver: Receiver, habit: str):
    fake.post("habits", **{habit: True})
    order = buy(fake, custom="Zoë & Co")["id"]
    (told,) = read(receiver, order)
    assert told.custom == "Zoë & Co"
    with pytest.raises(BadSignature):
        signed_fields(receiver.bodies[-1], "another")


def test_an_order_with_upsells_is_told_item_by_item(fake: Remote, receiver: Receiver):
    order = buy(
        fake, amount="10.00", upsells=[{"product_id": "7", "amount": "5.00"}, {"product_id": "8", "amount": "1"}]
    )
    told = read(receiver, order["id"])
    assert [(each.product_id, each.upsell_no, each.moved) for each in told] == [
        ("512345", 0, Decimal("10.00")),
        ("7", 1, Decimal("5.00")),
        ("8", 2, Decimal("1.00")),
    ]
    assert len({each.transaction_id for each in told}) == 3
    assert {(each.item_count, each.payment_id) for each in told} == {(3, told[0].payment_id)}


def test_refunds_in_part_and_in_whole_name_the_payment_they_are_of(fake: Remote, receiver: Receiver):
    order = buy(fake, amount="10.00", custom="alice")["id"]
    fake.post(f"orders/{order}/refund", amount="2.50")
    fake.post("habits", refunds_without_custom=True)
    fake.post(f"orders/{order}/refund")
    paid, part, rest = read(receiver, order)
    assert [(each.event, each.transaction_type, each.moved) for each in (part, rest)] == [
        ("on_refund", "refund", Decimal("2.50")),
        ("on_refund", "refund", Decimal("7.50")),
    ]
    assert {part.parent_transaction_id, rest.parent_transaction_id} == {paid.transaction_id}
    assert (part.custom, part.billing_status, rest.custom, rest.billing_status) == ("alice", "completed", "", "aborted")
    assert booked(fake, order) == ("10.00", "10.00", "0")
    with pytest.raises(ValueError, match=r"0\.00 can be given back"):
        fake.post(f"orders/{order}/refund")


def test_a_chargeback_ends_a_subscription(fake: Remote, receiver: Receiver):
    order = buy(fake, **MONTHLY)["id"]
    fake.post(f"orders/{order}/chargeback")
    assert receiver.events(order) == ["on_payment", "on_chargeback", "last_paid_day"]
    assert booked(fake, order) == ("10.00", "0", "10.00")
    fake.post("clock/advance", days=40)
    assert len(receiver.events(order)) == 3


def test_a_subscription_renews_until_it_is_cancelled_and_ends_with_its_paid_time(fake: Remote, receiver: Receiver):
    fake.post("habits", signup_event=True)
    order = buy(fake, **MONTHLY)["id"]
    fake.post("clock/advance", days=62)
    fake.post(f"orders/{order}/cancel")
    fake.post(f"orders/{order}/resume")
    fake.post(f"orders/{order}/cancel")
    fake.post("clock/advance", days=62)
    told = read(receiver, order)
    assert [each.event for each in told] == [
        *("on_payment_subscription_signup", "on_payment", "on_payment"),
        *("on_rebill_cancelled", "on_rebill_resumed", "on_rebill_cancelled", "last_paid_day"),
    ]
    assert [each.pay_sequence_no for each in told[:3]] == [1, 2, 3]
    assert [each.transaction_id for each in told[3:]] == [""] * 4
    assert told[2].next_payment_at > told[1].next_payment_at > told[0].next_payment_at
    assert booked(fake, order)[0] == "30.00"


def test_installments_are_paid_so_often_and_no_more(fake: Remote, receiver: Receiver):
    order = buy(fake, installments=3, amount="5.00", other_amount="2.00", interval="1_week")["id"]
    fake.post("clock/advance", days=100)
    assert [(each.moved, each.billing_status) for each in read(receiver, order)] == [
        (Decimal("5.00"), "paying"),
        (Decimal("2.00"), "paying"),
        (Decimal("2.00"), "completed"),
    ]


def test_a_missed_payment_is_tried_again_and_moves_no_date(fake: Remote, receiver: Receiver):
    order = buy(fake, **MONTHLY)["id"]
    due = again_until(fake, order)
    fake.post(f"orders/{order}/card", behaviour="declined", times=2)
    fake.post("clock/advance", days=40)
    assert receiver.events(order) == ["on_payment", "on_payment_missed", "on_payment_missed", "on_payment"]
    assert again_until(fake, order) == str(after(datetime.fromisoformat(due), "1_month"))


def test_after_too_many_misses_it_is_denied_and_ends(fake: Remote, receiver: Receiver):
    order = buy(fake, **MONTHLY)["id"]
    fake.post(f"orders/{order}/card", behaviour="declined")
    fake.post("clock/advance", days=60)
    assert receiver.events(order) == ["on_payment", *["on_payment_missed"] * 3, "payment_denial", "last_paid_day"]
    assert fake.get(f"orders/{order}")["status"] == "aborted"


@pytest.mark.parametrize("kind", ["upgrade", "downgrade", "special_offer"])
def test_an_upgrade_tells_the_new_order_and_leaves_the_old_one_in_peace(fake: Remote, receiver: Receiver, kind: str):
    fake.post("products", id="900", name="Other", price="30.00")
    way = fake.post("upgrades", to_product_id="900", types={"512345": kind})
    before = buy(fake, **MONTHLY)["id"]
    due = again_until(fake, before)
    page = f"{fake.url}/upgrade/{way['id']}-{way['authkey']}/{before}"
    assert "Upgrade" in WEB.get(page).text
    done = WEB.post(page, data={"action": "pay"})
    order = done.headers["location"].rpartition("/")[2]
    (told,) = read(receiver, order)
    assert (told.event, told.upgraded_order_id, told.upgrade_type, told.order_type) == (
        *("on_payment", before, kind, "upgrade"),
    )
    assert told.moved == Decimal("20.00" if kind == "upgrade" else "30.00")
    assert told.delivery_date == (due[:10] if kind == "downgrade" else "")
    fake.post("clock/advance", days=32)
    later = receiver.events(before)[1:]
    assert later == {"upgrade": [], "downgrade": ["last_paid_day"], "special_offer": ["on_payment"]}[kind]
    assert WEB.get(page).status_code == (200 if kind == "special_offer" else 409)


@pytest.mark.parametrize("event", ["eticket", "custom_form", "on_affiliation", "payment_denial"])
def test_other_events_are_told_when_asked_for(fake: Remote, receiver: Receiver, event: str):
    order = buy(fake)["id"]
    fake.post(f"orders/{order}/tell", event=event)
    assert read(receiver, order)[-1].known == Event(event)


def test_the_test_of_a_connection_says_nothing_of_orders_or_connections(fake: Remote, receiver: Receiver):
    fake.post("connections/test")
    told = notification_of(signed_fields(receiver.bodies[-1], PASSPHRASE))
    assert (told.known, told.order_id, told.ipn_config_id) == (Event.CONNECTION_TEST, "", "")
    assert told.merchant_id


def test_a_test_payment_is_told_as_one_and_is_no_money(fake: Remote, receiver: Receiver):
    before = fake.get("books")["totals"].get("CHF")
    order = buy(fake, test=True, amount="5.00", currency="CHF")["id"]
    (told,) = read(receiver, order)
    assert (told.is_test, told.pay_method) == (True, "test")
    assert fake.get("books")["totals"].get("CHF") == before


# How it is told


def test_what_is_not_answered_by_ok_is_sent_again_and_again(alone: tuple[Remote, Receiver]):
    fake, receiver = alone
    receiver.answers += [(500, b"OK"), (200, b"ok"), (200, b"Accepted"), (302, b"OK"), (200, b"OK\nheadline: Thanks")]
    order = buy(fake)["id"]
    for seconds in (179, 1, 6 * 60, 12 * 60, 24 * 60):
        fake.post("clock/advance", seconds=seconds)
    assert len(receiver.told(order)) == 5
    (message,) = fake.get("messages", order_id=order)["messages"]
    assert (message["done"], [each["ok"] for each in message["tries"]]) == (True, [False] * 4 + [True])
    fake.post("clock/advance", days=12)
    assert len(receiver.told(order)) == 5
    fake.post(f"messages/{message['id']}/resend")
    assert len(receiver.told(order)) == 6


def test_it_is_tried_twenty_times_over_ten_days_and_then_given_up(alone: tuple[Remote, Receiver]):
    fake, receiver = alone
    day = timedelta(days=1)
    assert (LADDER[0], max(LADDER), LADDER[9:], len(LADDER)) == (timedelta(minutes=3), day, (day,) * 11, 20)
    assert sum(LADDER, timedelta()) > 10 * day
    receiver.answers += [(503, b"")] * 100
    order = buy(fake)["id"]
    fake.post("clock/advance", days=30)
    assert len(receiver.told(order)) == 21
    (message,) = fake.get("messages", order_id=order)["messages"]
    assert (message["done"], message["due_at"]) == (False, None)


def test_messages_are_sent_twice_or_answers_lost_where_that_is_asked_for(fake: Remote, receiver: Receiver):
    fake.post("habits", duplicate=1)
    twice = buy(fake)["id"]
    fake.post("habits", duplicate=0, lose_answer=1)
    lost = buy(fake)["id"]
    fake.post("habits", lose_answer=0)
    fake.post("clock/advance", seconds=180)
    for order in (twice, lost):
        first, second = receiver.told(order)
        assert first == second
    assert [m["done"] for m in fake.get("messages", order_id=lost)["messages"]] == [True]


def test_a_refund_can_come_before_its_payment(fake: Remote, receiver: Receiver):
    fake.post("habits", hold=True)
    order = buy(fake)["id"]
    fake.post(f"orders/{order}/refund")
    assert receiver.told(order) == []
    fake.post("messages/release", order="reversed")
    assert receiver.events(order) == ["on_refund", "on_payment"]


def test_held_messages_go_out_one_by_one_too(fake: Remote, receiver: Receiver):
    fake.post("habits", hold=True)
    orders = [buy(fake)["id"] for _ in range(3)]
    ids = [fake.get("messages", order_id=order)["messages"][0]["id"] for order in orders]
    fake.post("messages/release", ids=[ids[2], ids[0]])
    assert [len(receiver.told(order)) for order in orders] == [1, 0, 1]
    fake.post("messages/release", order="shuffled", seed=7)
    assert len(receiver.told(orders[1])) == 1


def test_messages_that_are_late_are_overtaken(fake: Remote, receiver: Receiver):
    fake.post("habits", delay=1, delay_seconds=100)
    late = buy(fake)["id"]
    fake.post("habits", delay=0)
    next = buy(fake)["id"]
    assert (len(receiver.told(late)), len(receiver.told(next))) == (0, 1)
    fake.post("clock/advance", seconds=100)
    assert len(receiver.told(late)) == 1


# Connections by the API


def call(fake: Remote, function: str, **fields: str) -> Any:
    answer = WEB.post(f"{fake.url}/api/call/{function}/format/json", data=fields, headers={"X-DS-API-KEY": KEY})
    return answer.json()


@pytest.mark.parametrize(("status", "why"), [(302, "answers 302"), (404, "answers 404")])
def test_an_address_for_notifications_is_looked_at_first(fake: Remote, status: int, why: str):
    with receiving() as other:
        other.get_status = status
        told = call(fake, "ipnSetup", ipn_url=other.url, name="x", product_ids="all", domain_id=f"looked-{status}")
    assert (told["result"], told["code"], why in told["message"]) == ("error", 3, True)


def test_a_connection_is_told_what_it_asked_for_and_later_where_it_wants_that(fake: Remote):
    async def set_up(url: str) -> None:
        async with Digistore24(KEY, base_url=fake.url) as ds:
            plan = {"product_ids": "111", "transactions": "refund", "timing": "delayed"}
            await ds.ipn_setup(ConnectionPlan(url, "apart", "Apart", "own", **plan))

    with receiving() as other:
        asyncio.run(set_up(other.url))
        mine, foreign = buy(fake, product_id="111")["id"], buy(fake)["id"]
        for order in (mine, foreign):
            fake.post(f"orders/{order}/refund")
        assert other.bodies == []
        fake.post("clock/advance", seconds=60)
        assert other.events(mine) == ["on_refund"]
        assert other.events(foreign) == []
        assert notification_of(signed_fields(other.bodies[0], "own")).ipn_config_domain_id == "apart"
    assert call(fake, "ipnDelete", domain_id="apart")["result"] == "success"


def test_what_the_api_does_is_told_too(fake: Remote, receiver: Receiver):
    order = buy(fake, **MONTHLY, force_rebilling=True)
    call(fake, "stopRebilling", purchase_id=order["id"])
    call(fake, "refundPartially", purchase_id=order["id"], amount="1.00")
    fake.post("messages/send")
    assert receiver.events(order["id"]) == ["on_payment", "on_rebill_cancelled", "on_refund"]


@pytest.mark.parametrize(
    ("function", "fields", "code"),
    [
        ("noSuchFunction", {}, 9),
        ("createBuyUrl", {}, 3),
        ("createBuyUrl", {"product_id": "1", "payment_plan[first_amount]": "9,90"}, 3),
        ("createBuyUrl", {"product_id": "1", "payment_plan[first_amount]": "9.999"}, 3),
        ("createBuyUrl", {"product_id": "1", "payment_plan[first_billing_interval]": "monthly"}, 3),
        ("createBuyUrl", {"product_id": "1", "buyer[readonly_keys]": "email"}, 3),
        ("createBuyUrl", {"product_id": "1", "tracking[affiliate]": "nobody"}, 4),
        ("createBuyUrl", {"product_id": "x"}, 4),
        ("listTransactions", {"from": "yesterday"}, 3),
        ("createBillingOnDemand", {"purchase_id": "NOSUCH", "product_id": "1"}, 4),
        ("ipnDelete", {"domain_id": "nosuch"}, 4),
        ("refundTransaction", {"transaction_id": "1"}, 4),
        ("getUpgrade", {"upgrade_id": "1"}, 4),
    ],
)
def test_what_a_call_gets_wrong_is_told_by_its_code(fake: Remote, function: str, fields: dict[str, str], code: int):
    told = call(fake, function, **fields)
    assert (told["result"], told["code"]) == ("error", code)
    assert set(told) == {"api_version", "current_time", "runtime_seconds", "result", "message", "code"}


def test_an_order_that_was_not_bought_for_it_is_not_charged_again(fake: Remote):
    told = call(fake, "createBillingOnDemand", purchase_id=buy(fake)["id"], product_id="1")
    assert (told["code"], "can't be charged again" in told["message"]) == (3, True)


def test_an_old_payment_is_given_back_by_force_only(fake: Remote):
    payment = buy(fake)["money"][0]["id"]
    fake.post("clock/advance", days=15)
    assert call(fake, "refundTransaction", transaction_id=payment)["data"]["status"] == "refused"
    assert call(fake, "refundTransaction", transaction_id=payment, force="Y")["data"]["status"] == "completed"


def test_brackets_are_read_as_php_does():
    assert parse(b"a=1&b%5Bc%5D=2&b[d][e]=3&l[]=x&l[]=y&a=4&odd[=5") == {
        "a": "4", "b": {"c": "2", "d": {"e": "3"}}, "l": {"0": "x", "1": "y"}, "odd[": "5",
    }  # fmt: skip


# Clicking


def link_of(fake: Remote, **more: Any) -> str:
    async def made() -> str:
        async with httpx2.AsyncClient(verify=False) as http:
            ds = Digistore24(KEY, base_url=fake.url, http=http)
            plan = PaymentPlan(first_amount=Decimal("9.90"), currency="EUR", number_of_installments=1)
            return (await ds.create_buy_url(Checkout("512345", plan, custom="alice", **more))).url

    return asyncio.run(made())


def test_a_person_can_pay_and_comes_to_the_thank_you_page(fake: Remote, receiver: Receiver):
    url = link_of(
        fake,
        buyer=BuyerData(email='<b>"bea"@example.com', readonly_keys="email"),
        urls=Urls(thankyou_url="http://shop.example/thanks?o=[ORDER_ID]&m=[BUYER_EMAIL]"),
        placeholders={"TITLE": "<script>alert(1)</script>"},
    )
    page = WEB.get(url).text
    assert "9.90 EUR" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>" not in page
    assert 'value="&lt;b&gt;&quot;bea&quot;@example.com" readonly' in page
    assert re.findall(r'value="(\w+)">(\w+)</button>', page) == [
        *(("pay", "Pay"), ("decline", "Decline"), ("abandon", "Abandon")),
    ]
    paid = WEB.post(url, data={"action": "pay", "email": "other@example.com", "pay_method": "paypal"})
    found = re.fullmatch(r"http://shop\.example/thanks\?o=(\w{8})&m=(.+)", paid.headers["location"])
    assert found is not None
    assert found[2] == "%3Cb%3E%22bea%22%40example.com"
    (told,) = read(receiver, found[1])
    assert (told.custom, told.pay_method, told.email) == ("alice", "paypal", '<b>"bea"@example.com')
    assert "Paid: 9.90 EUR" in WEB.get(f"{fake.url}/order/{found[1]}").text


def test_declined_and_abandoned_is_not_paid(fake: Remote, receiver: Receiver):
    url = link_of(fake, urls=Urls(fallback_url="http://shop.example/back"))
    before = len(receiver.bodies)
    declined = WEB.post(url, data={"action": "decline"})
    assert (declined.status_code, "declined" in declined.text) == (402, True)
    assert WEB.post(url, data={"action": "abandon"}).headers["location"] == "http://shop.example/back"
    (body,) = receiver.bodies[before:]
    assert notification_of(signed_fields(body, PASSPHRASE)).known == Event.PAYMENT_DENIED


def test_a_bank_transfer_is_paid_when_it_has_come(fake: Remote, receiver: Receiver):
    done = WEB.post(link_of(fake), data={"action": "pay", "pay_method": "banktransfer"})
    order = done.headers["location"].rpartition("/")[2]
    assert receiver.told(order) == []
    fake.post(f"orders/{order}/pay")
    assert receiver.events(order) == ["on_payment"]


def test_a_link_lives_for_a_day(fake: Remote):
    url, lasting = link_of(fake), link_of(fake, valid_until="forever")
    fake.post("clock/advance", days=1, seconds=1)
    assert (WEB.get(url).status_code, WEB.post(url, data={"action": "pay"}).status_code) == (410, 410)
    assert WEB.get(lasting).status_code == 200


def test_with_the_key_for_tests_nobody_pays_money(fake: Remote, receiver: Receiver):
    key = call(fake, "getTestpayKey")["data"]
    paid = WEB.post(f"{link_of(fake)}?{key['get_param_name']}={key['testpay_key']}", data={"action": "pay"})
    (told,) = read(receiver, paid.headers["location"].rpartition("/")[2])
    assert told.is_test


def test_who_buys_on_the_products_own_page_brings_no_words_of_ours(fake: Remote, receiver: Receiver):
    page = WEB.get(f"{fake.url}/product/512345", follow_redirects=True)
    paid = WEB.post(str(page.url), data={"action": "pay"})
    (told,) = read(receiver, paid.headers["location"].rpartition("/")[2])
    assert told.custom == ""


# Books and control


def test_the_books_are_the_sum_of_what_moved(fake: Remote):
    first, second = buy(fake, amount="3.00", currency="USD")["id"], buy(fake, amount="4.00", currency="USD")["id"]
    fake.post(f"orders/{first}/refund", amount="1.00")
    fake.post(f"orders/{second}/chargeback")
    books = fake.get("books")
    assert books["totals"]["USD"] == {"paid": "7.00", "refunded": "1.00", "charged_back": "4.00"}
    assert [each["type"] for each in books["orders"][first]["transactions"]] == ["payment", "refund"]
    assert {first, second} <= fake.get("state")["orders"].keys()


def test_ids_are_new_in_every_run_unless_they_are_drawn_from_a_seed():
    def first_order(**options: Any) -> tuple[str, str]:
        with running(Options(**options)) as fresh:
            order = buy(fresh)
        return order["id"], order["money"][0]["id"]

    first, second = first_order(), first_order()
    assert not set(first) & set(second)
    assert first_order(seed=5) == first_order(seed=5)


@pytest.mark.parametrize(
    ("path", "given", "why"),
    [
        ("orders", {"product": "1"}, "unknown field `product`"),
        ("orders", {"product_id": "x"}, "does not exist"),
        ("orders/NOSUCH/refund", {}, "there is no order NOSUCH"),
        ("clock/advance", {"days": -1}, "time goes forward only"),
        ("habits", {"duplicate": "often"}, "duplicate"),
        ("nowhere", {}, "there is nothing at"),
        ("books", {}, "takes GET"),
    ],
)
def test_control_tells_what_it_does_not_understand(fake: Remote, path: str, given: dict[str, Any], why: str):
    with pytest.raises(ValueError, match=why):
        fake.post(path, **given)


def test_as_a_program_it_says_where_it_listens_and_writes_down_at_its_end_what_it_knew(tmp_path: Path):
    words = ("fakes", "digistore24", "--port", "0", "--key", "1-a", "--frozen", "2026-03-01", "--dump", "state.json")
    with program(*words, folder=tmp_path) as started:
        remote = Remote(started.address)
        order = buy(remote)["id"]
        assert order in remote.get("books")["orders"]
        remote.close()
        assert started.stop(signal.SIGTERM)[0] == 0
    assert json.loads((tmp_path / "state.json").read_text())["orders"][order]["created_at"] == "2026-03-01T00:00:00"


def test_a_date_that_is_none_and_a_port_in_use_are_told(fake: Remote, capsys: pytest.CaptureFixture[str]):
    port = fake.url.rpartition(":")[2]
    for words, code in ((("--frozen", "tomorrow"), "invalid"), (("--port", port), "port_in_use")):
        assert run(["fakes", "digistore24", *words, "--json"]) == {"invalid": 2, "port_in_use": 4}[code]
        assert json.loads(capsys.readouterr().out)["error"]["code"] == code
