"""The stand-in for Stripe, by Stripe's own library and by hand: it does what Stripe's documentation says of Stripe."""

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import httpx2
import pytest
import stripe as library
from msgspec.structs import fields
from stripe import params
from stripe._object_classes import OBJECT_CLASSES, get_object_class

from farthing.commerce.stripe.events import KINDS
from farthing.fakes.stripe import KEY, RESTRICTED_KEY, SECRET, Fake, Options, Remote, running
from farthing.fakes.stripe.api import ROUTES
from farthing.fakes.stripe.cards import CARDS
from farthing.fakes.stripe.control import (
    _Dispute,
    _Endpoint,
    _Forward,
    _Habits,
    _Paying,
    _Release,
    _Rules,
    _Weather,
)
from farthing.fakes.stripe.params import read_form
from farthing.fakes.stripe.periods import boundary, next_boundary
from tests.cli.command import PROGRAM
from tests.fakes.hook import Hook, hooked

AT = 1_893_456_000  # 2030-01-01
DAY = 86_400


class Shop:
    """A stand-in, what speaks to it, and where its events go."""

    def __init__(self, fake: Remote, hook: Hook) -> None:
        self.fake, self.hook = fake, hook
        self.api = library.StripeClient(KEY, base_addresses={"api": fake.url}, max_network_retries=0).v1
        self.http = httpx2.Client(base_url=fake.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60)

    def since(self, customer: str = "") -> "Since":
        self.fake.post("events/send")
        return Since(self.hook, customer)

    def advance_to_next_period(self, subscription: Any) -> None:
        """To the second in which it is renewed."""
        end = subscription.to_dict()["items"]["data"][0]["current_period_end"]
        self.fake.post("clock/advance", seconds=end - self.fake.get("clock")["now"])

    def checkout(self, **more: Any) -> Any:
        line: Any = {"price_data": {"currency": "eur", "unit_amount": 1_000, "product_data": {"name": "<b>Ten</b>"}}}
        base: Any = {"mode": "payment", "line_items": [{**line, "quantity": 1}], "success_url": "https://shop.example/"}
        return self.api.checkout.sessions.create(base | more)

    def paid(self, card: str = "4242424242424242", **more: Any) -> Any:
        """A checkout that somebody has paid on, with a card that is kept."""
        kept = {"payment_intent_data": {"setup_future_usage": "off_session"}}
        session = self.checkout(**{**kept, **more})
        return self.fake.post(f"checkouts/{session.id}/pay", card=card)

    def price(self, amount: int = 2_000, interval: str = "month") -> Any:
        product = self.api.products.create({"name": "Pro"})
        recurring: Any = {"interval": interval}
        return self.api.prices.create(
            {"product": product.id, "currency": "eur", "unit_amount": amount, "recurring": recurring}
        )

    def subscribed(self, card: str = "4242424242424242", price: str = "", **more: Any) -> Any:
        session = self.checkout(
            mode="subscription", line_items=[{"price": price or self.price().id, "quantity": 1}],
            subscription_data={"metadata": {"account": "ann"}, **more},
        )  # fmt: skip
        paid = self.fake.post(f"checkouts/{session.id}/pay", card=card)
        return self.api.subscriptions.retrieve(paid["subscription"])

    def kept(self, card: str) -> Any:
        """A customer, and a payment method of his."""
        method = self.api.payment_methods.create({"type": "card", "card": {"number": card}})
        customer = self.api.customers.create({"email": "ann@example.com"})
        self.api.payment_methods.attach(method.id, {"customer": customer.id})
        return customer, method


class Since:
    """What was told from a moment on, of all, or of one customer."""

    def __init__(self, hook: Hook, customer: str) -> None:
        self._hook, self._begin, self.customer = hook, len(hook.bodies), customer

    def events(self) -> list[dict[str, Any]]:
        told = self._hook.events_from(self._begin)
        return [each for each in told if self.customer in ("", each["data"]["object"].get("customer"))]

    def types(self, *left_out: str) -> list[str]:
        return [each["type"] for each in self.events() if not (left_out and each["type"].startswith(left_out))]

    def last(self, type: str) -> dict[str, Any]:
        return [each for each in self.events() if each["type"] == type][-1]

    def about(self, type: str) -> dict[str, Any]:
        found: dict[str, Any] = self.last(type)["data"]["object"]
        return found


@pytest.fixture(scope="module")
def opened() -> Iterator[Shop]:
    with hooked(SECRET) as hook, running(Options(webhook=hook.url, start=AT, frozen=True)) as fake:
        yield Shop(fake, hook)


@pytest.fixture
def shop(opened: Shop) -> Iterator[Shop]:
    """One for all tests, whose clock goes on from where the last one left it."""
    yield opened
    opened.fake.post("habits", hold=False, duplicate=0.0, lose_answer=0.0, delay=0.0, only=[], at_once=1, seed=24)
    opened.fake.post("rules", livemode=False, most_a_second=0)
    opened.fake.post("events/release")


def refused(work: Any, kind: type[library.StripeError]) -> Any:
    with pytest.raises(kind) as caught:
        work()
    return caught.value


# What independent witnesses say: the library's own types


def always_there(cls: Any) -> dict[str, Any]:
    """The fields that the library says an object has at all times, and the class of each where it has one."""
    hints = {name: str(hint) for name, hint in cls.__annotations__.items()}
    sure = [name for name, hint in hints.items() if not re.search("ClassVar|Optional|NoneType", hint)]
    return {name: getattr(cls, "_inner_class_types", {}).get(name) for name in sure}


def lacking(about: Any, cls: Any, path: str) -> Iterator[str]:
    for name, inner in always_there(cls).items():
        if name not in about:
            yield f"{path}.{name}"
        elif inner is not None and isinstance(about[name], dict):
            yield from lacking(about[name], inner, f"{path}.{name}")


def test_objects_have_all_that_the_library_says_they_always_have(shop):
    subscription = shop.subscribed()
    session = shop.paid(card="4000000000000259")
    shop.api.billing_portal.sessions.create({"customer": session["customer"]})
    shop.api.refunds.create({"payment_intent": shop.paid()["payment_intent"]})
    invoice = shop.api.invoices.retrieve(subscription.latest_invoice, {"expand": ["payments"]})
    kinds = shop.fake.get("state")["counts"].keys() - {"invoice_payment"}
    missing: list[str] = []
    for kind in (*kinds, "invoice_payment"):
        assert kind in OBJECT_CLASSES
        for each in shop.fake.get("state", kind=kind)["data"]:
            missing += lacking(each, get_object_class("V1", kind), kind)
    (item,), (line,) = subscription.to_dict()["items"]["data"], invoice.to_dict()["lines"]["data"]
    missing += lacking(item, library.SubscriptionItem, "item")
    missing += lacking(line, library.InvoiceLineItem, "line")
    assert sorted(set(missing)) == []
    assert len(kinds) > 10


PARAMS = {
    "POST /v1/customers": params.CustomerCreateParams,
    "GET /v1/customers": params.CustomerListParams,
    "GET /v1/customers/search": params.CustomerSearchParams,
    "POST /v1/customers/{id}": params.CustomerUpdateParams,
    "GET /v1/customers/{id}/payment_methods": params.CustomerPaymentMethodListParams,
    "POST /v1/payment_methods": params.PaymentMethodCreateParams,
    "GET /v1/payment_methods": params.PaymentMethodListParams,
    "POST /v1/payment_methods/{id}/attach": params.PaymentMethodAttachParams,
    "POST /v1/products": params.ProductCreateParams,
    "GET /v1/products": params.ProductListParams,
    "POST /v1/prices": params.PriceCreateParams,
    "GET /v1/prices": params.PriceListParams,
    "POST /v1/checkout/sessions": params.checkout.SessionCreateParams,
    "GET /v1/checkout/sessions": params.checkout.SessionListParams,
    "GET /v1/checkout/sessions/{id}/line_items": params.checkout.SessionLineItemListParams,
    "POST /v1/payment_intents": params.PaymentIntentCreateParams,
    "GET /v1/payment_intents": params.PaymentIntentListParams,
    "POST /v1/payment_intents/{id}": params.PaymentIntentUpdateParams,
    "POST /v1/payment_intents/{id}/confirm": params.PaymentIntentConfirmParams,
    "POST /v1/payment_intents/{id}/cancel": params.PaymentIntentCancelParams,
    "GET /v1/charges": params.ChargeListParams,
    "POST /v1/refunds": params.RefundCreateParams,
    "GET /v1/refunds": params.RefundListParams,
    "GET /v1/disputes": params.DisputeListParams,
    "POST /v1/disputes/{id}": params.DisputeUpdateParams,
    "POST /v1/subscriptions": params.SubscriptionCreateParams,
    "GET /v1/subscriptions": params.SubscriptionListParams,
    "POST /v1/subscriptions/{id}": params.SubscriptionUpdateParams,
    "GET /v1/invoices": params.InvoiceListParams,
    "POST /v1/invoices/{id}/pay": params.InvoicePayParams,
    "GET /v1/invoice_payments": params.InvoicePaymentListParams,
    "POST /v1/billing_portal/sessions": params.billing_portal.SessionCreateParams,
    "GET /v1/events": params.EventListParams,
}


def test_parameters_are_those_that_the_library_knows():
    taken = {f"{route.method} {route.path}": set(route.takes) for route in ROUTES if route.takes}
    assert taken.keys() == PARAMS.keys()
    assert {
        call: unknown for call, names in taken.items() if (unknown := names - set(PARAMS[call].__annotations__))
    } == {}


# Forms, errors, keys


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("a=1&b=", {"a": "1", "b": ""}),
        ("a[b][c]=1&a[b][d]=2", {"a": {"b": {"c": "1", "d": "2"}}}),
        ("a[0][p]=x&a[1][p]=y&a[10][p]=z", {"a": [{"p": "x"}, {"p": "y"}, {"p": "z"}]}),
        ("a[]=x&a[]=y", {"a": ["x", "y"]}),
        ("m[0]=x&m[k]=y", {"m": {"0": "x", "k": "y"}}),
        ("m%5Bk%5D=%C3%BC+%26", {"m": {"k": "ü &"}}),
    ],
)
def test_names_in_brackets_are_levels(text, values):
    assert read_form(text) == values


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "param"),
    [
        ("POST", "/v1/payment_intents", "currency=eur", 400, "parameter_missing", "amount"),
        ("POST", "/v1/payment_intents", "amount=ten&currency=eur", 400, "parameter_invalid_integer", "amount"),
        ("POST", "/v1/payment_intents", "amount=10&currency=eur", 400, "amount_too_small", "amount"),
        ("POST", "/v1/payment_intents", "amount=999999999&currency=eur", 400, "amount_too_large", "amount"),
        ("POST", "/v1/payment_intents", "amount=5001&currency=kwd", 400, "parameter_invalid_integer", "amount"),
        ("POST", "/v1/payment_intents", "amount=500&currency=eu", 400, None, "currency"),
        ("POST", "/v1/payment_intents", "amount=500&currency=eur&frobnicate=1", 400, "parameter_unknown", "frobnicate"),
        ("POST", "/v1/payment_intents", "amount=500&currency=eur&customer=cus_x", 404, "resource_missing", "customer"),
        ("POST", "/v1/payment_intents", "amount=500&currency=eur&metadata=x", 400, None, "metadata"),
        ("GET", "/v1/payment_intents/pi_x", "", 404, "resource_missing", "id"),
        ("GET", "/v1/charges?limit=101", "", 400, "parameter_invalid_integer", "limit"),
        ("GET", "/v1/charges?starting_after=ch_x", "", 404, "resource_missing", "starting_after"),
        ("GET", "/v1/customers/search?query=nonsense", "", 400, None, "query"),
        ("GET", "/v1/nowhere", "", 404, None, None),
        ("POST", "/v1/checkout/sessions", "mode=payment&success_url=x", 400, "parameter_missing", "line_items"),
        ("POST", "/v1/checkout/sessions", "mode=gift", 400, None, "mode"),
    ],
)
def test_errors_come_in_their_envelope(shop, method, path, body, status, code, param):
    answer = shop.http.request(method, path, content=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error.get("code"), error.get("param")) == (
        status,
        "invalid_request_error",
        code,
        param,
    )
    assert answer.headers["request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"authorization": "Bearer sk_test_other"}, 401),
        ({"authorization": "Basic !"}, 401),
        ({"authorization": "Basic c2tfdGVzdF9mYWtlOg=="}, 200),
        ({"authorization": f"Bearer {RESTRICTED_KEY}"}, 403),
    ],
)
def test_a_key_is_needed_that_may_do_it(shop, headers, status):
    answer = httpx2.post(f"{shop.fake.url}/v1/customers", headers=headers, timeout=60)
    assert answer.status_code == status
    assert "sk_test_other" not in answer.text


def test_a_key_of_idempotency_is_good_for_one_call(shop):
    customers, options = shop.api.customers, {"idempotency_key": "once"}
    first = customers.create({"email": "a@example.com", "metadata": {"x": "1", "y": "2"}}, options)
    again = customers.create({"metadata": {"y": "2", "x": "1"}, "email": "a@example.com"}, options)
    assert again.id == first.id
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.last_response.headers
    error = refused(lambda: customers.create({"email": "b@example.com"}, options), library.IdempotencyError)
    assert "the same parameters" in str(error)
    error = refused(lambda: shop.api.products.create({"name": "x"}, options), library.IdempotencyError)
    assert "the same endpoint" in str(error)


def test_what_is_refused_unbegun_leaves_the_key_unused_and_a_declined_card_uses_it(shop):
    intents, options = shop.api.payment_intents, {"idempotency_key": "refusals"}
    refused(lambda: intents.create({"amount": 1, "currency": "eur"}, options), library.InvalidRequestError)
    declined: Any = {
        "amount": 500, "currency": "eur", "confirm": True, "payment_method": "pm_card_chargeDeclined",
    }  # fmt: skip
    one = refused(lambda: intents.create(declined, options), library.CardError)
    two = refused(lambda: intents.create(declined, options), library.CardError)
    assert one.json_body == two.json_body
    assert two.headers["idempotent-replayed"] == "true"


def test_the_same_key_twice_at_a_time_is_a_conflict(shop):
    shop.fake.post("weather", mode="slow", times=1, seconds=600)
    options = {"idempotency_key": "at a time"}
    first = threading.Thread(target=lambda: shop.api.customers.create({}, options))
    first.start()
    patience = time.monotonic() + 60
    while shop.fake.get("weather")["waiting"] == 0:
        assert time.monotonic() < patience, "the first call never came"
        time.sleep(0.01)
    error = refused(lambda: shop.api.customers.create({}, options), library.APIError)
    shop.fake.post("weather", mode="fine")
    first.join()
    assert (error.http_status, error.error.code) == (409, "idempotency_key_in_use")


def test_a_key_of_idempotency_is_forgotten_after_a_day(shop):
    options = {"idempotency_key": "a day"}
    first = shop.api.customers.create({}, options)
    shop.fake.post("clock/advance", hours=25)
    assert shop.api.customers.create({}, options).id != first.id


def test_lists_have_pages_and_go_both_ways(shop):
    product = shop.api.products.create({"name": "x"}).id
    prices = [
        shop.api.prices.create({"product": product, "currency": "eur", "unit_amount": n}).id for n in range(1, 6)
    ][::-1]
    of: Any = {"product": product, "limit": 2}
    first = shop.api.prices.list(of)
    assert ([each.id for each in first.data], first.has_more, first.url) == (prices[:2], True, "/v1/prices")
    last = shop.api.prices.list({**of, "starting_after": prices[3]})
    assert ([each.id for each in last.data], last.has_more) == (prices[4:], False)
    before = shop.api.prices.list({**of, "ending_before": prices[4]})
    assert ([each.id for each in before.data], before.has_more) == (prices[2:4], True)
    assert [each.id for each in shop.api.prices.list(of).auto_paging_iter()] == prices
    now = shop.fake.get("clock")["now"]
    for bounds, found in (({"gt": now}, 0), ({"gte": now}, 5), ({"lt": now}, 0), ({"lte": now, "gt": now - 5}, 5)):
        assert len(shop.api.prices.list({"product": product, "created": bounds}).data) == found
    assert len(shop.api.prices.list({"product": product, "created": now}).data) == 5


def test_references_are_whole_where_one_asks_for_it(shop):
    paid = shop.paid()
    session = shop.api.checkout.sessions.retrieve(
        paid["id"], {"expand": ["payment_intent.latest_charge.refunds", "line_items", "customer"]}
    )
    charge = session.payment_intent.latest_charge
    assert (charge.amount, charge.refunds.data, session.customer.object) == (1_000, [], "customer")
    assert session.line_items.data[0].amount_total == 1_000
    listed = shop.api.checkout.sessions.list({"limit": 1, "expand": ["data.payment_intent"]})
    assert listed.data[0].payment_intent.status == "succeeded"
    plain = shop.api.checkout.sessions.retrieve(paid["id"])
    assert plain.payment_intent == session.payment_intent.id
    assert "line_items" not in plain
    refused(lambda: shop.api.checkout.sessions.retrieve(paid["id"], {"expand": ["x"]}), library.InvalidRequestError)


# Cards


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.number)
def test_a_card_does_what_it_is_for(shop, card):
    create = shop.api.payment_intents.create
    work: Any = {"amount": 700, "currency": "eur", "confirm": True, "payment_method": card.ids[0]}
    since = shop.since()
    if card.asks != "never":
        intent = create(work)
        assert (intent.status, intent.next_action.type) == ("requires_action", "redirect_to_url")
        intent = shop.api.payment_intents.retrieve(shop.fake.post(f"payments/{intent.id}/authenticate")["id"])
        assert intent.status == ("requires_payment_method" if card.decline else "succeeded")
    elif card.decline:
        error = refused(lambda: create(work), library.CardError)
        assert (error.code, error.error.decline_code, error.user_message) == card.decline
        intent = error.error.payment_intent
        assert (intent.status, intent.latest_charge) == ("requires_payment_method", error.error.charge)
        shop.fake.post("events/send")
        assert since.types() == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]
    else:
        intent = create(work)
        assert (intent.status, intent.amount_received) == ("succeeded", 700)
        disputes = shop.api.disputes.list({"payment_intent": intent.id}).data
        assert [each.reason for each in disputes] == ([card.disputed] if card.disputed else [])
        assert [each.status.startswith("warning") for each in disputes] == [card.inquiry] * len(disputes)


def test_a_card_that_is_declined_can_not_be_kept_unless_it_is_made_for_that(shop):
    refused(lambda: shop.kept("4000000000000002"), library.CardError)
    customer, method = shop.kept("4000000000000341")
    assert shop.api.payment_methods.retrieve(method.id).customer == customer.id
    refused(lambda: shop.kept("4111111111111111"), library.CardError)


def test_a_card_that_was_kept_with_authentication_is_charged_without_the_customer(shop):
    away: Any = {"amount": 700, "currency": "eur", "confirm": True, "off_session": True}
    paid = shop.paid(card="4000002500003155")
    (method,) = shop.api.customers.payment_methods.list(paid["customer"]).data
    away |= {"customer": paid["customer"], "payment_method": method.id}
    assert shop.api.payment_intents.create(away).status == "succeeded"
    customer, unasked = shop.kept("4000002500003155")
    away |= {"customer": customer.id, "payment_method": unasked.id}
    error = refused(lambda: shop.api.payment_intents.create(away), library.CardError)
    assert (error.code, error.error.payment_intent.status) == ("authentication_required", "requires_payment_method")


def test_a_method_of_somebody_else_is_refused(shop):
    _, method = shop.kept("4242424242424242")
    other = shop.api.customers.create({}).id
    work: Any = {"amount": 700, "currency": "eur", "confirm": True, "payment_method": method.id, "customer": other}
    refused(lambda: shop.api.payment_intents.create(work), library.InvalidRequestError)
    refused(lambda: shop.api.payment_methods.attach(method.id, {"customer": other}), library.InvalidRequestError)


def test_a_customer_who_asked_to_confirm_does_not(shop):
    work: Any = {"amount": 700, "currency": "eur", "payment_method": "pm_card_authenticationRequired"}
    intent = shop.api.payment_intents.create(work)
    assert intent.status == "requires_confirmation"
    intent = shop.api.payment_intents.confirm(intent.id)
    failed = shop.fake.post(f"payments/{intent.id}/authenticate", well=False)
    assert failed["last_payment_error"]["code"] == "payment_intent_authentication_failure"
    assert shop.api.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"}).status == "succeeded"
    refused(lambda: shop.api.payment_intents.confirm(intent.id), library.InvalidRequestError)


# Checkouts, and their pages


def click(shop: Shop, url: str, act: str = "", **fields: str) -> httpx2.Response:
    """A page, or what a button on it leads to."""
    return shop.http.post(url, data={"act": act, **fields}) if act else shop.http.get(url)


def test_a_person_pays_on_the_page(shop):
    since = shop.since()
    session = shop.checkout(success_url="https://shop.example/thanks?s={CHECKOUT_SESSION_ID}")
    page = click(shop, session.url)
    assert "&lt;b&gt;Ten&lt;/b&gt;" in page.text
    assert "<b>Ten" not in page.text
    assert all(card.number in page.text for card in CARDS)
    done = click(shop, session.url, "pay", card="4242424242424242", email="ann@example.com")
    assert (done.status_code, done.headers["location"]) == (303, f"https://shop.example/thanks?s={session.id}")
    assert since.types() == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]
    told = since.about("checkout.session.completed")
    assert (told["payment_status"], told["amount_total"], told["customer_details"]["email"]) == (
        "paid",
        1_000,
        "ann@example.com",
    )
    assert click(shop, session.url).status_code == 410
    assert click(shop, session.url, "pay").status_code == 410
    assert shop.api.payment_intents.retrieve(told["payment_intent"]).amount_received == 1_000


def test_a_person_is_declined_and_pays_with_another_card(shop):
    since = shop.since()
    session = shop.checkout()
    declined = click(shop, session.url, "decline")
    assert declined.status_code == 402
    assert "Your card was declined." in declined.text
    assert shop.api.checkout.sessions.retrieve(session.id).status == "open"
    assert click(shop, session.url, "pay", card="5555555555554444").status_code == 303
    assert since.types().count("payment_intent.created") == 1
    assert since.types()[-1] == "checkout.session.completed"


@pytest.mark.parametrize("answer", ["authenticate", "fail"])
def test_a_persons_bank_asks(shop, answer):
    session = shop.checkout()
    asked = click(shop, session.url, "authenticate").headers["location"]
    assert "Your bank asks" in click(shop, asked).text
    after = click(shop, asked, answer)
    status = shop.api.checkout.sessions.retrieve(session.id).payment_status
    assert (after.status_code, status) == ((303, "paid") if answer == "authenticate" else (402, "unpaid"))
    assert click(shop, asked).status_code == 410


def test_a_person_abandons_and_the_session_expires(shop):
    session = shop.checkout(cancel_url="https://shop.example/cart")
    assert click(shop, session.url, "abandon").headers["location"] == "https://shop.example/cart"
    since = shop.since()
    shop.fake.post("clock/advance", hours=25)
    assert since.about("checkout.session.expired")["id"] == session.id
    assert click(shop, session.url).status_code == 410


def test_a_session_that_is_expired_can_not_be_paid_or_expired_again_nor_one_that_is_paid(shop):
    session, since = shop.checkout(), shop.since()
    asked = click(shop, session.url, "authenticate").headers["location"]
    expired = shop.api.checkout.sessions.expire(session.id)
    shop.fake.post("events/send")
    assert (expired.status, expired.url) == ("expired", None)
    assert since.about("checkout.session.expired")["id"] == session.id
    assert click(shop, session.url, "pay").status_code == 410
    assert click(shop, asked, "authenticate").status_code == 410, "what was begun on it is over as well"
    with pytest.raises(ValueError, match="This checkout is expired"):
        shop.fake.post(f"checkouts/{session.id}/pay")
    for over in (session.id, shop.paid()["id"]):
        with pytest.raises(library.InvalidRequestError, match="can be expired") as refused:
            shop.api.checkout.sessions.expire(over)
        assert refused.value.http_status == 400
    assert shop.api.checkout.sessions.retrieve(session.id).payment_status == "unpaid"


@pytest.mark.parametrize(
    ("account", "told", "paid"),
    [
        ("AT611904300234573201", "checkout.session.async_payment_succeeded", 1_000),
        ("AT861904300235473202", "checkout.session.async_payment_failed", 0),
    ],
)
def test_a_debit_completes_the_session_and_is_paid_or_fails_days_later(shop, account, told, paid):
    since = shop.since()
    session = shop.paid(card=account)
    assert (session["status"], session["payment_status"]) == ("complete", "unpaid")
    assert since.about("checkout.session.completed")["payment_status"] == "unpaid"
    shop.fake.post("clock/advance", days=5)
    assert since.about(told)["payment_status"] == ("paid" if paid else "unpaid")
    booked = shop.fake.get("books")["payments"].get(session["payment_intent"], {"paid": 0})
    assert booked["paid"] == paid


def test_what_costs_nothing_needs_no_payment(shop):
    line: Any = {"price_data": {"currency": "eur", "unit_amount": 0, "product_data": {"name": "x"}}, "quantity": 1}
    session = shop.checkout(line_items=[line])
    done = shop.fake.post(f"checkouts/{session.id}/pay")
    assert (done["payment_status"], done["payment_intent"]) == ("no_payment_required", None)


def test_a_page_that_nobody_made_is_not_found(shop):
    for path in ("/checkout/x", "/authenticate/x", "/invoice/x", "/portal/x", "/elsewhere"):
        assert shop.http.get(path).status_code == 404
    assert shop.http.post("/_fake/checkouts/x/pay").status_code == 404
    assert shop.http.post("/_fake/habits", json={"nonsense": 1}).status_code == 400


# Money that goes back


def test_refunds_are_told_with_their_sum(shop):
    intent = shop.paid()["payment_intent"]
    since = shop.since()
    shop.api.refunds.create({"payment_intent": intent, "amount": 300})
    shop.api.refunds.create({"payment_intent": intent, "amount": 200})
    shop.fake.post("events/send")
    assert since.types() == ["refund.created", "charge.refunded"] * 2
    charge = since.about("charge.refunded")
    assert (charge["amount_refunded"], charge["refunded"]) == (500, False)
    error = refused(
        lambda: shop.api.refunds.create({"payment_intent": intent, "amount": 501}), library.InvalidRequestError
    )
    assert error.code == "amount_too_large"
    shop.fake.post(f"payments/{intent}/refund")
    assert since.about("charge.refunded")["refunded"] is True
    assert shop.fake.get("books")["payments"][intent]["kept"] == 0


def test_a_refund_that_fails_leaves_the_money_where_it_was(shop):
    intent = shop.paid(card="4000000000005126")["payment_intent"]
    since = shop.since()
    shop.api.refunds.create({"payment_intent": intent})
    shop.fake.post("clock/advance", hours=3)
    assert since.types("charge.refund.") == ["refund.created", "charge.refunded", "refund.failed", "refund.updated"]
    assert since.about("refund.updated")["status"] == "failed"
    (charge,) = shop.api.charges.list({"payment_intent": intent}).data
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    assert shop.fake.get("books")["payments"][intent]["kept"] == 1_000


def test_a_refund_that_takes_time_is_told_when_it_is_through(shop):
    intent = shop.paid(card="4000000000007726")["payment_intent"]
    assert shop.api.refunds.create({"payment_intent": intent}).status == "pending"
    since = shop.since()
    shop.fake.post("clock/advance", hours=3)
    assert since.about("refund.updated")["status"] == "succeeded"


@pytest.mark.parametrize(("status", "kept"), [("won", 1_000), ("lost", 0)])
def test_a_dispute_takes_the_money_until_it_is_won(shop, status, kept):
    intent = shop.paid()["payment_intent"]
    since = shop.since()
    dispute = shop.fake.post(f"payments/{intent}/dispute", reason="product_not_received")
    assert shop.fake.get("books")["payments"][intent]["kept"] == 0
    refused(lambda: shop.api.refunds.create({"payment_intent": intent}), library.InvalidRequestError)
    shop.fake.post(f"disputes/{dispute['id']}/close", status=status)
    back = ["charge.dispute.funds_reinstated"] if status == "won" else []
    assert since.types() == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        *back,
        "charge.dispute.closed",
    ]
    assert since.about("charge.dispute.closed")["status"] == status
    assert shop.fake.get("books")["payments"][intent]["kept"] == kept
    with pytest.raises(ValueError, match="closed already"):
        shop.fake.post(f"disputes/{dispute['id']}/close", status="lost")


def test_an_inquiry_moves_no_money_unless_it_becomes_a_dispute(shop):
    one, two = shop.paid()["payment_intent"], shop.paid()["payment_intent"]
    since = shop.since()
    ends, grows = (shop.fake.post(f"payments/{each}/dispute", inquiry=True) for each in (one, two))
    shop.fake.post(f"disputes/{ends['id']}/close", status="warning_closed")
    assert since.types() == ["charge.dispute.created", "charge.dispute.created", "charge.dispute.closed"]
    shop.fake.post(f"disputes/{grows['id']}/escalate")
    assert since.types()[3:] == ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]
    books = shop.fake.get("books")["payments"]
    assert (books[one]["kept"], books[two]["kept"]) == (1_000, 0)


@pytest.mark.parametrize(("text", "status"), [("winning_evidence", "won"), ("losing_evidence", "lost")])
def test_evidence_of_the_documentation_decides_a_dispute(shop, text, status):
    dispute = shop.fake.post(f"payments/{shop.paid()['payment_intent']}/dispute")
    closed = shop.api.disputes.update(dispute["id"], {"evidence": {"uncategorized_text": text}, "submit": True})
    assert closed.status == status


# Subscriptions


def test_a_subscription_is_renewed_each_month(shop):
    since = shop.since()
    subscription = shop.subscribed()
    since.customer = subscription.customer
    assert "checkout.session.completed" in since.types()
    assert since.about("invoice.paid")["billing_reason"] == "subscription_create"
    first = subscription.to_dict()["items"]["data"][0]["current_period_end"]
    since = shop.since(subscription.customer)
    shop.fake.post("clock/advance", seconds=first - shop.fake.get("clock")["now"] - 1)
    assert since.types() == []
    shop.advance_to_next_period(subscription)
    told = since.about("invoice.paid")
    assert (told["billing_reason"], told["amount_paid"]) == ("subscription_cycle", 2_000)
    assert told["parent"]["subscription_details"] == {"subscription": subscription.id, "metadata": {"account": "ann"}}
    assert "payments" not in told
    assert told["lines"]["data"][0]["period"]["start"] == first
    assert since.about("payment_intent.succeeded")["metadata"] == {}
    since.customer = ""  # this one does not say whose it is
    payments = [each["data"]["object"] for each in since.events() if each["type"] == "invoice_payment.paid"]
    assert [each["payment"]["type"] for each in payments if each["invoice"] == told["id"]] == ["payment_intent"]
    shop.api.subscriptions.cancel(subscription.id)


def test_a_renewal_that_can_not_be_paid_is_tried_again_and_then_the_subscription_ends(shop):
    subscription = shop.subscribed()
    bad = shop.api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": subscription.customer})
    shop.api.subscriptions.update(subscription.id, {"default_payment_method": bad.id})
    since = shop.since(subscription.customer)
    shop.advance_to_next_period(subscription)
    told = since.about("invoice.payment_failed")
    assert (told["status"], told["attempt_count"], told["amount_remaining"]) == ("open", 1, 2_000)
    assert since.about("customer.subscription.updated")["status"] == "past_due"
    shop.fake.post("clock/advance", days=16)
    assert since.types().count("invoice.payment_failed") == 4
    ended = since.about("customer.subscription.deleted")
    assert (ended["status"], ended["cancellation_details"]["reason"]) == ("canceled", "payment_failed")
    shop.fake.post("clock/advance", days=40)
    assert since.types()[-1] == "customer.subscription.deleted"


def test_a_renewal_that_is_paid_at_the_second_try_makes_all_well(shop):
    subscription = shop.subscribed()
    good = subscription.default_payment_method
    bad = shop.api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": subscription.customer})
    shop.api.subscriptions.update(subscription.id, {"default_payment_method": bad.id})
    shop.advance_to_next_period(subscription)
    shop.api.subscriptions.update(subscription.id, {"default_payment_method": good})
    since = shop.since(subscription.customer)
    shop.fake.post("clock/advance", days=4)
    assert since.about("invoice.paid")["attempt_count"] == 2
    assert since.about("customer.subscription.updated")["status"] == "active"
    shop.api.subscriptions.cancel(subscription.id)


def test_an_open_bill_is_paid_on_its_page(shop):
    subscription = shop.subscribed()
    bad = shop.api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": subscription.customer})
    shop.api.subscriptions.update(subscription.id, {"default_payment_method": bad.id})
    since = shop.since(subscription.customer)
    shop.advance_to_next_period(subscription)
    url = since.about("invoice.payment_failed")["hosted_invoice_url"]
    assert 'value="pay"' in click(shop, url).text
    assert click(shop, url, "pay", card="4242424242424242").status_code == 303
    assert "paid" in click(shop, url).text
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"
    shop.api.subscriptions.cancel(subscription.id)


def test_a_subscription_that_ends_with_its_period_says_so_first(shop):
    subscription = shop.subscribed()
    since = shop.since(subscription.customer)
    shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    shop.fake.post("events/send")
    told = since.last("customer.subscription.updated")
    assert told["data"]["object"]["cancel_at_period_end"] is True
    assert told["data"]["previous_attributes"]["cancel_at_period_end"] is False
    shop.advance_to_next_period(subscription)
    assert since.types()[-1] == "customer.subscription.deleted"
    assert "invoice.created" not in since.types()


def test_a_trial_begins_with_a_bill_of_nothing(shop):
    since = shop.since()
    subscription = shop.subscribed(trial_period_days=7)
    since.customer = subscription.customer
    assert subscription.status == "trialing"
    assert since.about("checkout.session.completed")["payment_status"] == "no_payment_required"
    bill = since.about("invoice.paid")
    assert (bill["amount_paid"], bill["total"]) == (0, 0)
    assert shop.api.invoice_payments.list({"invoice": bill["id"]}).data == []
    assert "payment_intent.created" not in since.types()
    shop.fake.post("clock/advance", days=8)
    assert since.about("invoice.paid")["amount_paid"] == 2_000
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"
    shop.api.subscriptions.cancel(subscription.id)


def moved(shop: Shop, subscription: Any, price: str, **more: Any) -> Any:
    item = subscription.to_dict()["items"]["data"][0]["id"]
    change: Any = {"items": [{"id": item, "price": price}], **more}
    return shop.api.subscriptions.update(subscription.id, change)


def test_who_moves_up_in_the_middle_of_a_period_pays_the_rest_of_it_now(shop):
    subscription = shop.subscribed()
    item = subscription.to_dict()["items"]["data"][0]
    length = item["current_period_end"] - item["current_period_start"]
    shop.fake.post("clock/advance", seconds=length / 4)
    up = moved(shop, subscription, shop.price(6_000).id, proration_behavior="always_invoice")
    bill = shop.api.invoices.retrieve(up.latest_invoice)
    assert [line.amount for line in bill.lines.data] == [-1_500, 4_500]
    assert (bill.amount_paid, bill.status) == (3_000, "paid")
    # Who moves down has it in credit, and pays less for the next ones.
    down = moved(shop, subscription, shop.price(2_000).id, proration_behavior="always_invoice")
    bill = shop.api.invoices.retrieve(down.latest_invoice)
    assert (bill.total, bill.amount_due, bill.status) == (-3_000, 0, "paid")
    assert shop.api.customers.retrieve(subscription.customer).balance == -3_000
    since = shop.since(subscription.customer)
    shop.fake.post("clock/advance", seconds=length)
    told = since.about("invoice.paid")
    assert (told["total"], told["amount_due"], told["starting_balance"]) == (2_000, 0, -3_000)
    shop.api.subscriptions.cancel(subscription.id)


def test_what_is_not_billed_now_is_billed_with_the_next_period_or_never(shop):
    for behaviour, total in (("create_prorations", 10_000), ("none", 6_000)):
        subscription = shop.subscribed()
        since = shop.since(subscription.customer)
        moved(shop, subscription, shop.price(6_000).id, proration_behavior=behaviour)
        assert "invoice.created" not in since.types()
        shop.advance_to_next_period(subscription)
        assert since.about("invoice.paid")["total"] == total
        shop.api.subscriptions.cancel(subscription.id)


def test_a_move_that_can_not_be_paid_changes_nothing(shop):
    subscription = shop.subscribed()
    bad = shop.api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": subscription.customer})
    shop.api.subscriptions.update(subscription.id, {"default_payment_method": bad.id})
    price = shop.price(6_000).id
    strict: Any = {"proration_behavior": "always_invoice", "payment_behavior": "error_if_incomplete"}
    refused(lambda: moved(shop, subscription, price, **strict), library.CardError)
    after = shop.api.subscriptions.retrieve(subscription.id)
    assert after.latest_invoice == subscription.latest_invoice
    assert after.to_dict()["items"] == subscription.to_dict()["items"]
    shop.api.subscriptions.cancel(subscription.id)


def test_a_subscription_made_by_the_api_waits_for_its_first_payment(shop):
    customer, method = shop.kept("4000000000000341")
    make: Any = {
        "customer": customer.id, "items": [{"price": shop.price().id}], "default_payment_method": method.id,
    }  # fmt: skip
    subscription = shop.api.subscriptions.create(make)
    assert subscription.status == "incomplete"
    good = shop.api.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    error = refused(lambda: shop.api.invoices.pay(subscription.latest_invoice), library.CardError)
    assert error.code == "card_declined"
    assert shop.api.invoices.pay(subscription.latest_invoice, {"payment_method": good.id}).status == "paid"
    assert shop.api.subscriptions.retrieve(subscription.id).status == "active"
    shop.api.subscriptions.cancel(subscription.id)
    given_up = shop.api.subscriptions.create(make)
    shop.fake.post("clock/advance", days=1)
    assert shop.api.subscriptions.retrieve(given_up.id).status == "incomplete_expired"


def test_the_portal_is_where_a_customer_looks_after_it_all(shop):
    subscription = shop.subscribed()
    portal = shop.api.billing_portal.sessions.create(
        {"customer": subscription.customer, "return_url": "https://shop.example/account"}
    )
    page = click(shop, portal.url)
    assert subscription.id in page.text
    assert "https://shop.example/account" in page.text
    assert click(shop, portal.url, "end", id=subscription.id).status_code == 303
    assert shop.api.subscriptions.retrieve(subscription.id).cancel_at_period_end
    assert "Go on with it" in click(shop, portal.url).text
    click(shop, portal.url, "resume", id=subscription.id)
    click(shop, portal.url, "add", card="5555555555554444")
    card = shop.api.customers.payment_methods.list(subscription.customer).data[0]
    assert card.card.brand == "mastercard"
    click(shop, portal.url, "prefer", id=card.id)
    assert shop.api.customers.retrieve(subscription.customer).invoice_settings.default_payment_method == card.id
    click(shop, portal.url, "remove", id=card.id)
    assert shop.api.payment_methods.retrieve(card.id).customer is None
    other = shop.subscribed()
    assert click(shop, portal.url, "end", id=other.id).status_code == 404
    assert click(shop, portal.url, "nonsense", id=other.id).status_code == 404
    assert click(shop, portal.url, "add", card="1").status_code == 402


MONTH, YEAR, WEEKS = ({"interval": "month", "interval_count": 1}, {"interval": "year", "interval_count": 1},
                      {"interval": "week", "interval_count": 2})  # fmt: skip


def test_periods_keep_their_day():
    def days(anchor: str, every: dict[str, Any], count: int) -> list[str]:
        begin = int(time.mktime(time.strptime(f"{anchor} UTC", "%Y-%m-%d %Z"))) - time.timezone
        return [time.strftime("%m-%d", time.gmtime(boundary(begin, n, every))) for n in range(1, count + 1)]

    assert days("2027-10-31", MONTH, 5) == ["11-30", "12-31", "01-31", "02-29", "03-31"]
    assert days("2028-02-29", YEAR, 4) == ["02-28", "02-28", "02-28", "02-29"]
    assert days("2030-01-01", WEEKS, 2) == ["01-15", "01-29"]
    assert next_boundary(AT, AT, MONTH) == AT + 31 * DAY
    assert next_boundary(AT, AT + 31 * DAY, MONTH) == AT + 59 * DAY


# Events on their way


def test_every_event_that_farthing_wants_is_told(shop):
    wanted = set(KINDS)
    since = shop.since()
    shop.subscribed()
    intent = shop.paid()["payment_intent"]
    for account in ("AT611904300234573201", "AT861904300235473202"):
        shop.paid(card=account)
    shop.checkout()
    dispute = shop.fake.post(f"payments/{intent}/dispute", inquiry=True)
    shop.fake.post(f"disputes/{dispute['id']}/escalate")
    shop.fake.post(f"disputes/{dispute['id']}/close", status="won")
    failing = shop.paid(card="4000000000005126")["payment_intent"]
    shop.api.refunds.create({"payment_intent": failing})
    abandoned = shop.checkout()
    shop.fake.post(f"checkouts/{abandoned.id}/pay", card="4000000000000002")
    subscription = shop.subscribed()
    bad = shop.api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": subscription.customer})
    shop.api.subscriptions.update(subscription.id, {"default_payment_method": bad.id})
    shop.fake.post("clock/advance", days=60)
    assert wanted - set(since.types()) == set()


def test_events_say_which_call_they_came_from_and_how_things_were(shop):
    since = shop.since()
    made = shop.api.customers.create({"email": "a@example.com"}, {"idempotency_key": "told"})
    shop.api.customers.update(made.id, {"email": "b@example.com"})
    shop.fake.post("events/send")
    first, second = since.last("customer.created"), since.last("customer.updated")
    assert first["request"] == {"id": made.last_response.request_id, "idempotency_key": "told"}
    assert (first["data"]["object"]["email"], second["data"]["object"]["email"]) == ("a@example.com", "b@example.com")
    assert second["data"]["previous_attributes"] == {"email": "a@example.com"}
    assert shop.api.events.retrieve(first["id"]).type == "customer.created"
    types: Any = {"types": ["customer.updated"], "limit": 1}
    assert shop.api.events.list(types).data[0].id == second["id"]


def test_events_come_twice_late_and_in_any_order_if_one_wants_them_to(shop):
    since = shop.since()
    shop.fake.post("habits", duplicate=1.0)
    shop.paid()
    types = since.types()
    assert types == [each for each in types[::2] for _ in "12"]
    ids = [each["id"] for each in since.events()]
    assert ids == [each for each in ids[::2] for _ in "12"]

    shop.fake.post("habits", duplicate=0.0, delay=1.0, delay_seconds=100.0)
    since = shop.since()
    shop.paid()
    assert since.types() == []
    shop.fake.post("clock/advance", seconds=101)
    late = since.types()

    shop.fake.post("habits", delay=0.0, hold=True)
    since = shop.since()
    shop.paid()
    shop.fake.post("clock/advance", seconds=101)
    assert since.types() == []
    shop.fake.post("events/release", order="reversed")
    assert sorted(since.types()) == sorted(late)
    assert since.types() == [each["type"] for each in shop.fake.get("events")["events"]][-len(late) :][::-1]
    assert since.types() != late


def test_what_is_not_taken_comes_again_for_three_days_and_can_be_sent_once_more(shop):
    shop.fake.post("habits", only=["customer.created"])
    since = shop.since()
    shop.hook.answers += [(500, b"no"), (302, b"elsewhere"), (200, b"yes")]
    shop.api.customers.create({})
    shop.fake.post("events/send")
    assert len(since.types()) == 1
    shop.fake.post("clock/advance", seconds=61)
    assert len(since.types()) == 2
    shop.fake.post("clock/advance", hours=1)
    assert len(since.types()) == 3
    delivery = shop.fake.get("events", type="customer.created")["events"][-1]
    assert ([each["status"] for each in delivery["tries"]], delivery["delivered"]) == ([500, 302, 200], True)
    shop.fake.post(f"events/{delivery['id']}/resend")
    assert len(since.types()) == 4
    shop.hook.answers += [(503, b"")] * 20
    shop.api.customers.create({})
    shop.fake.post("clock/advance", days=10)
    assert len(shop.fake.get("events", type="customer.created")["events"][-1]["tries"]) == 12
    shop.hook.answers.clear()


def test_an_answer_that_is_lost_brings_the_event_again(shop):
    shop.fake.post("habits", only=["customer.created"], lose_answer=1.0)
    since = shop.since()
    shop.api.customers.create({})
    shop.fake.post("events/send")
    shop.fake.post("habits", lose_answer=0.0)
    shop.fake.post("clock/advance", seconds=61)
    assert since.types() == ["customer.created"] * 2


def test_events_are_signed_with_all_secrets_while_they_change(shop):
    shop.fake.post("endpoint", url=shop.hook.url, secrets=["whsec_new", SECRET])
    since = shop.since()
    shop.api.customers.create({})
    shop.fake.post("events/send")
    assert since.types() == ["customer.created"]
    assert re.fullmatch(r"t=\d+,v1=[0-9a-f]{64},v1=[0-9a-f]{64}", shop.hook.signatures[-1])
    shop.fake.post("endpoint", url=shop.hook.url, secrets=[SECRET])


def test_what_is_made_live_says_so(shop):
    since = shop.since()
    shop.fake.post("rules", livemode=True)
    session = shop.paid()
    assert session["id"].startswith("cs_live_")
    told = since.last("checkout.session.completed")
    assert told["livemode"] is told["data"]["object"]["livemode"] is True


def test_several_events_are_on_their_way_at_a_time_if_one_wants_them_to(shop):
    shop.fake.post("habits", hold=True, at_once=8)
    shop.paid()
    shop.fake.post("habits", hold=False)
    since = shop.since()
    shop.fake.post("events/release")
    assert len(since.types()) > 3


# The books, and the program


def test_the_books_are_the_sum_of_what_moved(shop):
    shop.paid()
    before = shop.fake.get("books")["totals"]["eur"]
    one, two, three = (shop.paid(metadata={"n": n})["payment_intent"] for n in "123")
    shop.api.refunds.create({"payment_intent": one, "amount": 400})
    shop.fake.post(f"payments/{two}/dispute")
    lost = shop.fake.post(f"payments/{three}/dispute")
    shop.fake.post(f"disputes/{lost['id']}/close", status="lost")
    books = shop.fake.get("books")
    after = books["totals"]["eur"]
    assert {name: after[name] - before[name] for name in after} == {
        "paid": 3_000,
        "refunded": 400,
        "disputed": 1_000,
        "lost": 1_000,
        "kept": 600,
    }
    assert [each["kind"] for each in books["payments"][three]["moves"]] == ["paid", "disputed", "dispute_lost"]
    bill = shop.subscribed().latest_invoice
    (page,) = [each for each in shop.fake.get("books")["payments"].values() if each["invoice"] == bill]
    assert (page["paid"], page["metadata"]) == (2_000, {"account": "ann"})


def test_the_program_serves_until_it_is_told_to_end():
    words = [*PROGRAM, "fakes", "stripe", "--port", "0", "--key", "sk_live_mine", "--frozen", "2030-01-01", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        url = json.loads(program.stdout.readline())["listening"]
        api = library.StripeClient("sk_live_mine", base_addresses={"api": url}).v1
        customer = api.customers.create({})
        assert (customer.livemode, customer.created) == (True, AT)
        program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 0


# The page about it


def page() -> str:
    """What the documentation has about this stand-in."""
    whole = (Path(__file__).parents[2] / "docs" / "how-to" / "fakes.md").read_text()
    return whole.split("\n## Stripe\n")[1].split("\n## ")[0]


def test_the_example_of_the_page_prints_what_it_says(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", page(), re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", page(), re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out == printed


def test_the_page_names_all_that_can_be_made_to_happen():
    entered = [route.pattern for _, route, _ in Fake().routes.known if route.pattern.startswith("/_fake/")]
    paths = {re.sub(r"\(.*?\)", "<id>", path).removeprefix("/_fake/") for path in entered}
    assert len(paths) > 15
    assert {path for path in paths if f"`{path}`" not in page()} == set()
    for change in (_Weather, _Habits, _Rules, _Paying, _Dispute, _Forward, _Release, _Endpoint):
        assert {field.name for field in fields(change) if f"`{field.name}" not in page()} == set()
    assert {mode for mode in get_args(get_type_hints(_Weather)["mode"]) if f"`{mode}`" not in page()} == set()
