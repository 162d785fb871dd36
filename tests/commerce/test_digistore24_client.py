"""The client of Digistore24's API against the stand-in, over real HTTP: what it asks, reads, tells apart, repeats."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import httpx2
import pytest

from farthing.commerce.digistore24 import client
from farthing.commerce.digistore24.client import ONCE, READS, Digistore24
from farthing.commerce.digistore24.errors import (
    BadRequest,
    Digistore24Error,
    KeyForbidden,
    KeyInvalid,
    KeyRequired,
    NotFound,
    RateLimited,
    TemporaryError,
    kind_of,
)
from farthing.commerce.digistore24.forms import encode
from farthing.commerce.digistore24.results import NoAnswer, Product, Purchase, read_data, read_envelope
from farthing.commerce.digistore24.wanted import BuyerData, Charge, Checkout, ConnectionPlan, PaymentPlan, Search, Urls
from farthing.fakes.digistore24 import KEY, Options, Remote, running
from tests.fakes.receiver import receiving

T = TypeVar("T")
READONLY = "67890-reads-only"
NO_BILLING = "24680-cannot-bill"
ONE_TIME = PaymentPlan(first_amount=Decimal("9.90"), currency="EUR", number_of_installments=1)


@pytest.fixture(scope="module")
def served() -> Iterator[Remote]:
    with running(Options(keys=(KEY, NO_BILLING), readonly_keys=(READONLY,), frozen_at=datetime(2026, 1, 1))) as fake:
        fake.post("keys", key=NO_BILLING, billing_on_demand=False)
        yield fake


@pytest.fixture
def fake(served: Remote) -> Remote:
    served.post("weather")
    served.post("rules", https_only=True, open_products=True, http_errors=False)
    return served


def ask(fake: Remote, work: Callable[[Digistore24], Awaitable[T]], key: str = KEY, **more: Any) -> T:
    """Something done with a client of its own."""

    async def done() -> T:
        # A client without TLS is made in a tenth of the time.
        async with httpx2.AsyncClient(verify=False) as http:
            return await work(Digistore24(key, base_url=fake.url, http=http, **more))

    return asyncio.run(done())


def bought(fake: Remote, **given: Any) -> dict[str, Any]:
    """An order that was paid."""
    order: dict[str, Any] = fake.post("orders", product_id="512345", **given)
    return order


async def all_of(rows: Any) -> list[Any]:
    return [row async for row in rows]


# What is asked


def test_a_link_to_buy_by_carries_price_buyer_and_our_own_words(fake: Remote):
    checkout = Checkout(
        "512345",
        ONE_TIME,
        custom="ä" * 63,
        buyer=BuyerData(email="bea+1@example.com", readonly_keys="email"),
        urls=Urls(thankyou_url="https://shop.example/thanks?order=[ORDER_ID]"),
        force_rebilling=True,
        placeholders={"TITLE": "100 credits & more"},
    )
    link = ask(fake, lambda ds: ds.create_buy_url(checkout))
    assert link.url.startswith(f"{fake.url}/checkout/{link.id}-")
    tomorrow = datetime.fromisoformat(fake.get("clock")["now"]) + timedelta(days=1)
    assert (link.valid_until, link.upgrade_status) == (str(tomorrow), "none")
    order = fake.post("orders", link=link.url, email="somebody@else.example")
    assert (order["custom"], order["email"], order["force_rebilling"]) == ("ä" * 63, "bea+1@example.com", True)
    assert order["money"][0]["amount"] == "9.90"
    assert order["placeholders"] == {"TITLE": "100 credits & more"}


def test_more_of_our_own_words_than_are_kept_are_not_sent(fake: Remote):
    with pytest.raises(ValueError, match="custom must have at most 63 characters"):
        ask(fake, lambda ds: ds.create_buy_url(Checkout("512345", ONE_TIME, custom="x" * 64)))


def test_an_order_is_read_with_its_money_and_its_items(fake: Remote):
    order = bought(fake, amount="19.99", upsells=[{"product_id": "512346", "amount": "5.00"}])
    found = ask(fake, lambda ds: ds.get_purchase(order["id"]))
    assert (found.id, found.amount, found.currency) == (order["id"], Decimal("24.99"), "EUR")
    assert (found.billing_type, found.billing_status) == ("single_payment", "completed")
    assert [(item.product_id, item.no, item.quantity) for item in found.items] == [("512345", 1, 1), ("512346", 2, 1)]
    assert [(each.kind, each.amount) for each in found.transaction_list] == [
        ("payment", Decimal("19.99")),
        ("payment", Decimal("5.00")),
    ]
    assert found.buyer.email == "buyer@example.com"


def test_lists_are_read_page_by_page_to_their_end(fake: Remote):
    ids = [bought(fake, email="lists@example.com", amount="0.10")["id"] for _ in range(5)]
    fake.post(f"orders/{ids[0]}/refund", amount="0.03")
    search = Search(search={"email": "lists@example.com"}, page_size=2)
    orders = ask(fake, lambda ds: all_of(ds.list_purchases(search)))
    assert [order.id for order in orders] == ids
    moved = ask(fake, lambda ds: all_of(ds.list_transactions(search)))
    assert [(each.purchase_id, each.kind, each.amount) for each in moved] == [
        *((order_id, "payment", Decimal("0.10")) for order_id in ids),
        (ids[0], "refund", Decimal("0.03")),
    ]
    assert ask(fake, lambda ds: all_of(ds.list_transactions(Search(search={"email": "nobody@example.com"})))) == []


def test_products_are_listed(fake: Remote):
    fake.post("products", id="77", name="Tier & more", price="5.00")
    found = ask(fake, lambda ds: ds.list_products())
    assert Product("77", "Tier & more", "en") in found


def test_an_order_is_charged_again_where_it_may_be(fake: Remote):
    order = bought(fake, force_rebilling=True)
    charge = Charge(order["id"], "512345", ONE_TIME, custom="again", quantity=2)
    done = ask(fake, lambda ds: ds.create_billing_on_demand(charge))
    assert (done.payment_status, done.paid_amount, done.currency) == ("completed", Decimal("19.80"), "EUR")
    made = fake.get(f"orders/{done.created_purchase_id}")
    assert (made["custom"], made["lines"][0]["quantity"]) == ("again", 2)


@pytest.mark.parametrize(("card", "status"), [("declined", "refused"), ("pending", "pending")])
def test_a_card_that_does_not_pay_is_told_by_the_status(fake: Remote, card: str, status: str):
    order = bought(fake, force_rebilling=True)
    fake.post(f"orders/{order['id']}/card", behaviour=card)
    done = ask(fake, lambda ds: ds.create_billing_on_demand(Charge(order["id"], "512345", ONE_TIME)))
    assert (done.payment_status, done.paid_amount, bool(done.pay_url)) == (status, Decimal("0"), True)


def test_a_subscription_is_stopped_and_started(fake: Remote):
    made = bought(fake, installments=0)
    order, due = made["id"], made["next_payment_at"].replace("T", " ")
    stopped = ask(fake, lambda ds: ds.stop_rebilling(order, force=True))
    assert (stopped.modified, stopped.rebilling_active, stopped.code) == (True, False, "stopped_now")
    assert not ask(fake, lambda ds: ds.stop_rebilling(order)).modified
    started = ask(fake, lambda ds: ds.start_rebilling(order))
    assert (started.modified, started.rebilling_active, started.next_payment_at) == (True, True, due)


def test_a_payment_is_given_back_once(fake: Remote):
    payment = bought(fake)["money"][0]["id"]
    assert ask(fake, lambda ds: ds.refund_transaction(payment)).status == "completed"
    again = ask(fake, lambda ds: ds.refund_transaction(payment))
    assert (again.status, again.modified, again.error_reason) == ("error", False, "refund_completed")


def test_upgrades_are_listed_checked_and_carried_out(fake: Remote):
    fake.post("products", id="600", name="Pro", price="30.00")
    way = fake.post("upgrades", to_product_id="600", types={"512345": "upgrade"}, name="To Pro")
    order = bought(fake, installments=0, amount="10.00")["id"]
    (listed,) = [each for each in ask(fake, lambda ds: ds.list_upgrades()) if each.id == way["id"]]
    assert (listed.to_product_id, listed.is_active, listed.upgrade_types) == ("600", True, {"512345": "upgrade"})
    assert listed.upgrade_url.endswith("/ORDER_ID")
    offer = ask(fake, lambda ds: ds.get_upgrade(way["id"], order))
    assert offer.check is not None
    assert (offer.check.is_upgrade_possible, offer.check.possible_upgrade_type) == (True, "upgrade")
    done = ask(fake, lambda ds: ds.create_upgrade_purchase(f"{way['id']}-{way['authkey']}", order))
    assert (done.new_purchase.paid_amount, done.upgrade_info.upgrade_amount_total) == (Decimal("20.00"), Decimal("10"))
    assert done.upgrade_info.upgraded_purchase_id == order
    assert ask(fake, lambda ds: ds.get_upgrade(way["id"])).check is None


def test_a_connection_is_set_up_changed_looked_at_and_ended(fake: Remote):
    fake.post("rules", https_only=False)
    with receiving() as receiver:
        plan = ConnectionPlan(receiver.url, "farthing-x1", "Farthing")
        made = ask(fake, lambda ds: ds.ipn_setup(plan))
        assert (made.created, len(made.sha_passphrase)) == (True, 30)
        changed = ask(fake, lambda ds: ds.ipn_setup(ConnectionPlan(receiver.url, "farthing-x1", "F", "own", "512345")))
        assert (changed.created, changed.updated, changed.sha_passphrase) == (False, True, "")
    assert made.sha_passphrase not in repr(made)
    found = ask(fake, lambda ds: ds.ipn_info("farthing-x1"))
    assert found is not None
    assert (found.product_ids, found.timing, "last_paid_day" in found.transactions) == (
        "512345",
        "before_thankyou",
        True,
    )
    ask(fake, lambda ds: ds.ipn_delete("farthing-x1"))
    assert ask(fake, lambda ds: ds.ipn_info("farthing-x1")) is None


# What goes wrong: each code of the contract, by a real exchange


def read_products(ds: Digistore24) -> Awaitable[Any]:
    return ds.list_products()


def refused(fake: Remote, work: Callable[[Digistore24], Awaitable[Any]], key: str = KEY, **more: Any) -> Any:
    """The error of a call that must fail."""
    with pytest.raises(Digistore24Error) as caught:
        ask(fake, work, key, **more)
    assert not key or key not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
    return caught.value


@pytest.mark.parametrize("key", ["", "  "])
def test_without_a_key_nothing_is_asked(fake: Remote, key: str):
    error = refused(fake, read_products, key)
    assert (type(error), error.code, error.status, error.provider_code) == (KeyRequired, "DS24_KEY_REQUIRED", 409, None)


@pytest.mark.parametrize("http_errors", [False, True])
def test_a_key_that_is_not_known_is_invalid(fake: Remote, http_errors: bool):
    fake.post("rules", http_errors=http_errors)
    error = refused(fake, read_products, "99-unknown")
    assert (type(error), error.code, error.status, error.provider_code) == (KeyInvalid, "DS24_KEY_INVALID", 409, 2)


def test_a_key_that_no_header_can_carry_is_invalid_and_not_sent(fake: Remote):
    assert type(refused(fake, read_products, "12-schlüssel\n3")) is KeyInvalid


@pytest.mark.parametrize("http_errors", [False, True])
@pytest.mark.parametrize("key", [READONLY, NO_BILLING])
def test_a_key_without_the_right_is_forbidden(fake: Remote, key: str, http_errors: bool):
    fake.post("rules", http_errors=http_errors)
    order = bought(fake, force_rebilling=True)["id"]
    error = refused(fake, lambda ds: ds.create_billing_on_demand(Charge(order, "512345", ONE_TIME)), key)
    assert (type(error), error.code, error.status, error.provider_code) == (KeyForbidden, "DS24_KEY_FORBIDDEN", 403, 8)
    assert not error.unknown


@pytest.mark.parametrize("http_errors", [False, True])
def test_what_digistore24_refuses_is_a_bad_request_with_its_own_words(fake: Remote, http_errors: bool):
    fake.post("rules", http_errors=http_errors)
    checkout = Checkout("512345", ONE_TIME, urls=Urls(thankyou_url="http://localhost:3000/thanks"))
    error = refused(fake, lambda ds: ds.create_buy_url(checkout))
    assert (type(error), error.code, error.status, error.provider_code) == (BadRequest, "DS24_BAD_REQUEST", 400, 3)
    assert "http://localhost:3000/thanks" in str(error)


@pytest.mark.parametrize("http_errors", [False, True])
def test_an_order_that_is_not_there_is_not_found_which_is_a_bad_request(fake: Remote, http_errors: bool):
    fake.post("rules", http_errors=http_errors)
    error = refused(fake, lambda ds: ds.get_purchase("NOSUCH01"))
    assert (type(error), error.code, error.provider_code) == (NotFound, "DS24_BAD_REQUEST", 4)


def test_a_product_that_is_not_there_is_not_found(fake: Remote):
    fake.post("rules", open_products=False)
    error = refused(fake, lambda ds: ds.create_buy_url(Checkout("404404", ONE_TIME)))
    assert isinstance(error, NotFound)


def test_too_many_charges_on_demand_are_told_apart(fake: Remote):
    order = bought(fake, force_rebilling=True)["id"]

    def bill(ds: Digistore24) -> Awaitable[Any]:
        return ds.create_billing_on_demand(Charge(order, "512345", ONE_TIME))

    ask(fake, bill)
    error = refused(fake, bill)
    assert (type(error), error.code, error.status, error.retry_after) == (RateLimited, "DS24_RATE_LIMITED", 429, 60.0)
    for _ in range(9):
        fake.post("clock/advance", seconds=60)
        ask(fake, bill)
    fake.post("clock/advance", seconds=60)
    assert "10 times a day" in str(refused(fake, bill))
    fake.post("clock/advance", days=1)
    ask(fake, bill)


@pytest.mark.parametrize(
    ("weather", "kind", "why"),
    [
        ({"mode": "down"}, TemporaryError, "status 503"),
        ({"mode": "html"}, TemporaryError, "status 200: it is not what this API answers"),
        ({"mode": "cut"}, TemporaryError, "it broke off"),
        ({"mode": "lost_answer"}, TemporaryError, "it broke off"),
        ({"mode": "slow", "seconds": 0.6}, TemporaryError, "no answer in time"),
        ({"mode": "rate_limited"}, RateLimited, "Too many calls"),
        ({"mode": "error", "status": 500, "code": 3}, TemporaryError, "An unknown error"),
        ({"mode": "error", "code": 5}, TemporaryError, "An unknown error"),
        ({"mode": "error", "code": 1}, KeyInvalid, "An unknown error"),
        ({"mode": "error", "code": 0, "message": ""}, BadRequest, "no reason"),
        ({"mode": "error", "code": 9, "status": 400}, BadRequest, "An unknown error"),
    ],
)
def test_an_outage_a_limit_and_a_refusal_are_told_apart(
    fake: Remote, caplog: pytest.LogCaptureFixture, weather: Any, kind: Any, why: str
):
    fake.post("weather", **weather)
    error = refused(fake, read_products, retries=0, timeout=0.2 if weather["mode"] == "slow" else 30)
    assert (type(error), error.unknown) == (kind, False)
    assert why in str(error)
    assert caplog.text == ""


def test_a_server_that_is_not_there_is_an_outage_and_nothing_was_done():
    async def bill() -> None:
        async with Digistore24(KEY, base_url="http://127.0.0.1:9", timeout=2) as ds:
            await ds.create_billing_on_demand(Charge("A1B2C3D4", "1", ONE_TIME))

    with pytest.raises(TemporaryError, match="can not be reached") as caught:
        asyncio.run(bill())
    assert not caught.value.unknown


# What is sent again


def test_what_only_reads_or_harms_nobody_is_sent_again_after_an_outage(fake: Remote, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    for weather in ("down", "cut", "rate_limited"):
        fake.post("weather", mode=weather, times=2, seconds=0)
        assert isinstance(ask(fake, read_products), tuple)
    fake.post("weather", mode="lost_answer", times=1)
    assert ask(fake, lambda ds: ds.create_buy_url(Checkout("512345", ONE_TIME))).url


@pytest.mark.parametrize("mode", ["down", "html", "cut", "lost_answer"])
def test_what_moves_money_is_sent_once_and_what_became_of_it_is_unknown(fake: Remote, mode: str):
    order = bought(fake, force_rebilling=True, email=f"{mode}@example.com")["id"]
    fake.post("weather", mode=mode, times=1)
    error = refused(fake, lambda ds: ds.create_billing_on_demand(Charge(order, "512345", ONE_TIME)))
    assert (type(error), error.unknown) == (TemporaryError, True)
    search = Search(search={"email": f"{mode}@example.com"}, since="start")
    orders = ask(fake, lambda ds: all_of(ds.list_purchases(search)))
    assert len(orders) == (2 if mode == "lost_answer" else 1)


def test_who_is_told_to_wait_long_does_not_wait(fake: Remote):
    order = bought(fake, installments=0)["id"]
    charge = Charge(order, "512345", ONE_TIME)
    ask(fake, lambda ds: ds.create_billing_on_demand(charge))
    assert refused(fake, lambda ds: ds.create_billing_on_demand(charge)).retry_after == 60


def test_all_that_moves_money_is_known_to_be_sent_once():
    assert {"createBillingOnDemand", "createUpgradePurchase", "refundTransaction"} == ONCE
    assert not ONCE & READS


# The key


def test_the_key_stands_in_no_address_no_text_and_no_log(fake: Remote, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    fake.post("weather", mode="error", code=3, message=f"the key {KEY} is bad")
    told = str(refused(fake, read_products))
    assert "the key (the API key) is bad" in told
    assert KEY.partition("-")[2] not in caplog.text
    assert repr(Digistore24(KEY)) == "Digistore24(api_key=12345-..., base_url='https://www.digistore24.com')"
    assert repr(Digistore24("secret")) == "Digistore24(api_key=?-..., base_url='https://www.digistore24.com')"


@pytest.mark.parametrize("url", ["", "ftp://example.com", "https://", "https://example.com?key=1", "digistore24.com"])
def test_an_address_that_is_none_is_refused_at_once(url: str):
    with pytest.raises(ValueError, match="base_url"):
        Digistore24(KEY, base_url=url)


# Forms and answers, by themselves


def test_fields_are_encoded_as_php_reads_them():
    fields: dict[str, Any] = {
        "a": {"b": Decimal("9.00"), "c": {"d": True}, "e": None},
        "list": [{"x": 1}, {"x": 2}],
        "text": "ä & [b]=1",
        "no": False,
        "big": Decimal("1E+3"),
        "empty": {},
    }
    assert encode(fields) == (
        b"a%5Bb%5D=9.00&a%5Bc%5D%5Bd%5D=Y&list%5B0%5D%5Bx%5D=1&list%5B1%5D%5Bx%5D=2"
        b"&text=%C3%A4+%26+%5Bb%5D%3D1&no=N&big=1000"
    )


@pytest.mark.parametrize("value", [9.0, Decimal("NaN"), Decimal("Infinity"), b"9", object()])
def test_what_is_not_exact_is_not_encoded(value: Any):
    with pytest.raises((TypeError, ValueError), match=r"plan\[amount\] must be"):
        encode({"plan": {"amount": value}})


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"<html>", b'{"result": 1', b'{"data": {}}', b'"x"', b"\xff"])
def test_what_is_no_envelope_is_no_answer(raw: bytes):
    with pytest.raises(NoAnswer):
        read_envelope(raw)


def test_values_are_read_however_php_writes_them():
    raw = (
        b'{"id": 17, "amount": 0.1, "currency": "EUR", "number_of_installments": "0", "other_amounts": "",'
        b' "transaction_list": {"0": {"id": 5, "purchase_id": "A", "amount": "1e2", "currency": "EUR"}},'
        b' "items": [], "buyer": [], "unknown": {"x": 1}, "renew_url": null}'
    )
    envelope = read_envelope(b'{"result": "success", "data": ' + raw + b"}")
    found = read_data(envelope.data, Purchase)
    assert (found.id, found.amount, found.number_of_installments) == ("17", Decimal("0.1"), 0)
    assert (found.other_amounts, found.items, found.renew_url) == (None, (), "")
    assert found.transaction_list[0].amount == Decimal("100")


@pytest.mark.parametrize(
    "data", [None, [], {}, {"id": "A"}, {"id": "A", "amount": "x", "currency": "EUR"}, "text", {"id": {}, "amount": 1}]
)
def test_an_answer_without_what_is_needed_is_no_answer(data: Any):
    with pytest.raises(NoAnswer):
        read_data(data, Purchase)


def test_every_code_of_the_provider_is_told_by_one_of_ours():
    kinds = {code: kind_of(200, code).code for code in range(10)}
    assert kinds == {
        **dict.fromkeys((0, 3, 4, 9), "DS24_BAD_REQUEST"),
        **dict.fromkeys((1, 2), "DS24_KEY_INVALID"),
        **dict.fromkeys((5, 6, 7), "DS24_TEMPORARY_ERROR"),
        8: "DS24_KEY_FORBIDDEN",
    }
