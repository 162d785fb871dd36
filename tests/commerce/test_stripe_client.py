"""The client of Stripe: the real library speaks to the stand-in over real HTTP; each call, each way it can fail."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
import pytest
import stripe as library

from farthing.commerce.stripe.client import Stripe
from farthing.commerce.stripe.errors import (
    BadRequest,
    CardDeclined,
    Forbidden,
    KeyConflict,
    KeyRefused,
    NotFound,
    RateLimited,
    StripeError,
    TemporaryError,
)
from farthing.commerce.stripe.library import Library
from farthing.commerce.stripe.orders import (
    Charging,
    Checkout,
    Declined,
    Every,
    NeedsCustomer,
    Owner,
    Paid,
    Pending,
    Price,
    owner_of,
)
from farthing.fakes.stripe import KEY, RESTRICTED_KEY, Options, Remote, running

T = TypeVar("T")
ANN = Owner(workspace="main", account="ann", product="topup")
TEN = Price(amount_minor=1_000, currency="EUR", name="1,000 credits")
PRO = Price(amount_minor=2_000, currency="EUR", name="Pro", every=Every(interval="month"))
BACK = "https://shop.example/thanks?session={CHECKOUT_SESSION_ID}"
VISA, DECLINES_LATER, ALWAYS_ASKS = "4242424242424242", "4000000000000341", "4000002760003184"
DEBIT = "AT611904300234573201"


def ask(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@pytest.fixture(scope="module")
def served() -> Iterator[Remote]:
    with running() as fake:
        yield fake


@pytest.fixture
def fake(served: Remote) -> Iterator[Remote]:
    yield served
    served.post("weather", mode="fine")
    served.post("rules", most_a_second=0)


@pytest.fixture(scope="module")
def patient(served: Remote) -> Iterator[Stripe]:
    """A client as it is usually made."""
    client = Stripe(KEY, base=served.url)
    yield client
    ask(client.aclose())


@pytest.fixture(scope="module")
def stripe(served: Remote) -> Iterator[Stripe]:
    """One that tries once."""
    client = Stripe(KEY, base=served.url, retries=0)
    yield client
    ask(client.aclose())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library waits less between its tries."""
    monkeypatch.setattr(library.HTTPClient, "INITIAL_DELAY", 0.01)


def until_held_up(fake: Remote, calls: int) -> None:
    """Wait until slow weather holds up so many."""
    patience = time.monotonic() + 60
    while fake.get("weather")["waiting"] < calls:
        assert time.monotonic() < patience, "they never came"
        time.sleep(0.01)


def wanted(**more: Any) -> Checkout:
    return Checkout(**{"owner": ANN, "price": TEN, "success_url": BACK, **more})


def bought(fake: Remote, stripe: Stripe, key: str, **more: Any) -> str:
    """A payment that went well: its id."""
    session = ask(stripe.check_out(wanted(**more), key))
    paid = fake.post(f"checkouts/{session.id}/pay")
    return str(paid["payment_intent"])


def customer_with(fake: Remote, stripe: Stripe, key: str, card: str = VISA) -> tuple[str, str]:
    """Somebody who has paid once and let his card be kept: the customer, and the payment method."""
    session = ask(stripe.check_out(wanted(keep_method=True), key))
    paid = fake.post(f"checkouts/{session.id}/pay", card=card)
    (method,) = ask(stripe.payment_methods(paid["customer"]))
    return paid["customer"], method.id


def charging(customer: str, method: str, amount: int = 500) -> Charging:
    return Charging(owner=ANN, customer=customer, payment_method=method, amount_minor=amount, currency="EUR")


# Checkouts


def test_a_checkout_leads_to_a_payment_that_says_whose_it_is(fake, stripe):
    session = ask(
        stripe.check_out(wanted(quantity=3, email="ann@example.com", cancel_url="https://shop.example/"), "c1")
    )
    assert session.url
    assert session.url.startswith(fake.url)
    assert (session.mode, session.status, session.payment_status) == ("payment", "open", "unpaid")
    assert (session.amount_total_minor, session.currency, session.email) == (3_000, "eur", "ann@example.com")
    assert session.client_reference_id == "ann"
    fake.post(f"checkouts/{session.id}/pay")
    after = ask(stripe.session(session.id))
    assert (after.status, after.payment_status) == ("complete", "paid")
    assert after.payment_intent
    payment = ask(stripe.payment(after.payment_intent))
    assert (payment.status, payment.amount_received_minor) == ("succeeded", 3_000)
    assert owner_of(payment.metadata) == owner_of(after.metadata) == ANN


def test_a_checkout_of_a_price_of_the_catalogue(fake, stripe):
    api = library.StripeClient(KEY, base_addresses={"api": fake.url})
    product = api.v1.products.create({"name": "Credits"})
    price = api.v1.prices.create({"product": product.id, "currency": "usd", "unit_amount": 750})
    session = ask(stripe.check_out(wanted(price=price.id, quantity=2), "catalogue"))
    assert (session.amount_total_minor, session.currency) == (1_500, "usd")


def test_an_account_with_a_long_name_goes_along_in_the_metadata_alone(stripe):
    long = Owner(workspace="main", account="x" * 255)
    session = ask(stripe.check_out(wanted(owner=long), "long"))
    assert session.client_reference_id is None
    assert owner_of(session.metadata) == long


def test_who_lets_a_card_be_kept_becomes_a_customer(fake, stripe):
    customer, method = customer_with(fake, stripe, "kept")
    (kept,) = ask(stripe.payment_methods(customer))
    assert (kept.id, kept.brand, kept.last4, kept.exp_year) == (method, "visa", "4242", 2040)
    assert ask(stripe.customer(customer)).default_payment_method is None
    assert ask(stripe.prefer_payment_method(customer, method, "kept:p")).default_payment_method == method
    ask(stripe.forget_payment_method(method, "kept:f"))
    assert ask(stripe.payment_methods(customer)) == []
    assert ask(stripe.customer(customer)).default_payment_method is None


def test_a_checkout_that_is_closed_takes_no_money(fake, stripe):
    session = ask(stripe.check_out(wanted(expires_at_us=int(time.time() + 3_600) * 1_000_000), "closed"))
    fake.post(f"checkouts/{session.id}/expire")
    assert ask(stripe.session(session.id)).status == "expired"
    with pytest.raises(ValueError, match="This checkout is expired"):
        fake.post(f"checkouts/{session.id}/pay")


def test_a_repeated_call_is_carried_out_once(stripe):
    first = ask(stripe.check_out(wanted(), "twice"))
    assert ask(stripe.check_out(wanted(), "twice")) == first


def test_a_key_that_was_used_for_something_else_is_refused(stripe):
    ask(stripe.check_out(wanted(), "other"))
    with pytest.raises(KeyConflict) as caught:
        ask(stripe.check_out(wanted(quantity=2), "other"))
    assert caught.value.code == "stripe_key_conflict"


# Customers


def test_the_customer_of_an_account_is_found(stripe):
    odd = Owner(workspace="main", account="it's \\ odd")
    made = ask(stripe.make_customer(odd, "odd", email="odd@example.com", name="Odd"))
    ask(stripe.make_customer(Owner(workspace="other", account="it's \\ odd"), "odd2"))
    assert ask(stripe.customers_of(odd)) == [made]
    assert (made.email, made.name) == ("odd@example.com", "Odd")
    assert ask(stripe.customers_of(Owner(workspace="main", account="nobody"))) == []


def test_a_customer_gets_a_link_to_the_portal(fake, stripe):
    made = ask(stripe.make_customer(ANN, "portal"))
    assert ask(stripe.portal_link(made.id, "https://shop.example/account")).startswith(f"{fake.url}/portal/")


# Charging while the customer is away


def test_a_kept_card_is_charged_once(fake, stripe):
    customer, method = customer_with(fake, stripe, "away")
    first = ask(stripe.charge_off_session(charging(customer, method), "away:1"))
    assert first == ask(stripe.charge_off_session(charging(customer, method), "away:1"))
    assert isinstance(first, Paid)
    assert (first.amount_minor, first.currency) == (500, "eur")
    assert fake.get("books")["payments"][first.payment_intent]["paid"] == 500
    assert owner_of(ask(stripe.payment(first.payment_intent)).metadata) == ANN


def test_a_declined_card_is_a_result_and_the_payment_is_over(fake, stripe):
    api = library.StripeClient(KEY, base_addresses={"api": fake.url})
    customer = ask(stripe.make_customer(ANN, "declined")).id
    method = api.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer}).id
    told = ask(stripe.charge_off_session(charging(customer, method), "declined:1"))
    assert isinstance(told, Declined)
    assert (told.code, told.reason, told.message) == ("card_declined", "generic_decline", "Your card was declined.")
    assert ask(stripe.payment(told.payment_intent)).status == "canceled"
    assert ask(stripe.charge_off_session(charging(customer, method), "declined:1")) == told


def test_a_bank_that_asks_for_the_customer_is_a_result_and_the_payment_is_over(fake, stripe):
    customer, method = customer_with(fake, stripe, "asks", ALWAYS_ASKS)
    told = ask(stripe.charge_off_session(charging(customer, method), "asks:1"))
    assert isinstance(told, NeedsCustomer)
    assert ask(stripe.payment(told.payment_intent)).status == "canceled"


def test_a_debit_is_on_its_way_for_days(fake, stripe):
    session = ask(stripe.check_out(wanted(keep_method=True), "debit"))
    paid = fake.post(f"checkouts/{session.id}/pay", card=DEBIT)
    assert (paid["status"], paid["payment_status"]) == ("complete", "unpaid")
    (method,) = ask(stripe.payment_methods(paid["customer"]))
    told = ask(stripe.charge_off_session(charging(paid["customer"], method.id), "debit:1"))
    assert isinstance(told, Pending)
    assert ask(stripe.payment(told.payment_intent)).status == "processing"
    fake.post(f"payments/{told.payment_intent}/settle")
    assert ask(stripe.payment(told.payment_intent)).status == "succeeded"


def test_a_payment_says_why_it_failed(fake, stripe):
    session = ask(stripe.check_out(wanted(), "why"))
    fake.post(f"checkouts/{session.id}/pay", card="4000000000009995")
    intent = ask(stripe.session(session.id)).payment_intent
    assert intent
    failed = ask(stripe.payment(intent))
    assert (failed.status, failed.error_code, failed.decline_code) == (
        "requires_payment_method",
        "card_declined",
        "insufficient_funds",
    )


def test_a_refused_card_elsewhere_is_an_error_with_its_reason(fake):
    calls = Library(KEY, fake.url, 10, 0)
    with pytest.raises(CardDeclined) as caught:
        calls.carry_out(
            lambda api: api.v1.payment_intents.create(
                {
                    "amount": 900,
                    "currency": "eur",
                    "payment_method": "pm_card_chargeDeclinedStolenCard",
                    "confirm": True,
                }
            )
        )
    calls.close()
    error = caught.value
    assert (error.code, error.decline_code, error.status) == ("stripe_card_declined", "stolen_card", 402)
    assert error.payment_intent
    assert error.request_id


# Refunds, and lists for comparing


def test_refunds_add_up(fake, stripe):
    payment = bought(fake, stripe, "back")
    some = ask(stripe.refund(payment, "back:1", amount_minor=300, reason="requested_by_customer"))
    assert (some.amount_minor, some.status, some.payment_intent) == (300, "succeeded", payment)
    assert ask(stripe.refund(payment, "back:1", amount_minor=300, reason="requested_by_customer")) == some
    assert some.charge
    assert ask(stripe.charge(some.charge)).amount_refunded_minor == 300
    assert ask(stripe.refund(payment, "back:2")).amount_minor == 700
    with pytest.raises(BadRequest) as caught:
        ask(stripe.refund(payment, "back:3"))
    assert caught.value.provider_code == "charge_already_refunded"
    assert fake.get("books")["payments"][payment]["refunded"] == 1_000


async def gathered(items: Any) -> list[Any]:
    return [each async for each in items]


def test_lists_are_read_to_their_end_and_by_time(stripe, monkeypatch):
    monkeypatch.setattr("farthing.commerce.stripe.client.PAGE", 2)
    at = 2_000_000_000
    with standing_still(at) as (fake, client):
        ids = [bought(fake, client, f"list{n}") for n in range(5)]
        refund = ask(client.refund(ids[0], "list:r"))
        fake.post(f"payments/{ids[1]}/dispute")
        fake.post("clock/advance", seconds=1)
        bought(fake, client, "later")
        of = (at * 1_000_000, (at + 1) * 1_000_000)
        assert [each.id for each in ask(gathered(client.payments(*of)))] == ids[::-1]
        charges = ask(gathered(client.charges(*of)))
        assert [each.payment_intent for each in charges] == ids[::-1]
        assert [each.amount_refunded_minor for each in charges] == [0, 0, 0, 0, 1_000]
        assert [each.id for each in ask(gathered(client.refunds(*of)))] == [refund.id]
        (dispute,) = ask(gathered(client.disputes(*of)))
        assert (dispute.payment_intent, dispute.status) == (ids[1], "needs_response")
        assert len(ask(gathered(client.payments(of[0], of[1] + 1_000_000)))) == 6
        # What began within a second is told with that second.
        assert ask(gathered(client.payments(of[0] + 1, of[1]))) == []


@contextmanager
def standing_still(at: int) -> Iterator[tuple[Remote, Stripe]]:
    """A stand-in whose clock stands still, and a client of it."""
    with running(Options(start=at, frozen=True)) as fake:
        client = Stripe(KEY, base=fake.url, retries=0)
        yield fake, client
        ask(client.aclose())


# Subscriptions


def subscribed(fake: Remote, stripe: Stripe, key: str, **more: Any) -> str:
    session = ask(stripe.check_out_subscription(wanted(price=PRO, **more), key))
    return str(fake.post(f"checkouts/{session.id}/pay")["subscription"])


def test_a_subscription_and_its_bill_say_whose_they_are(fake, stripe):
    session = ask(stripe.check_out_subscription(wanted(price=PRO), "sub"))
    fake.post(f"checkouts/{session.id}/pay")
    session = ask(stripe.session(session.id))
    assert session.subscription
    assert session.invoice
    subscription, invoice = ask(stripe.subscription(session.subscription)), ask(stripe.invoice(session.invoice))
    assert (subscription.status, subscription.latest_invoice) == ("active", invoice.id)
    assert owner_of(subscription.metadata) == owner_of(invoice.subscription_metadata) == ANN
    assert (invoice.status, invoice.billing_reason, invoice.amount_paid_minor) == ("paid", "subscription_create", 2_000)
    assert invoice.subscription == subscription.id
    (payment,) = invoice.payment_intents
    assert ask(stripe.invoice_of(payment)) == invoice.id
    assert ask(stripe.payment(payment)).metadata == {}
    (item,) = subscription.items
    assert (item.unit_amount_minor, item.quantity) == (2_000, 1)
    assert invoice.lines[0].period_end_us == item.current_period_end_us
    assert ask(stripe.invoice_of(bought(fake, stripe, "not a bill"))) is None


def test_a_subscription_says_whether_it_ends_with_its_period_and_when_it_is_over(fake, stripe):
    api = library.StripeClient(KEY, base_addresses={"api": fake.url}).v1
    id = subscribed(fake, stripe, "ends")
    api.subscriptions.update(id, {"cancel_at_period_end": True})
    assert ask(stripe.subscription(id)).cancel_at_period_end
    api.subscriptions.update(id, {"cancel_at_period_end": False})
    assert not ask(stripe.subscription(id)).cancel_at_period_end
    api.subscriptions.cancel(id)
    assert ask(stripe.subscription(id)).status == "canceled"


def test_the_bill_of_another_price_says_what_of_it_is_for_the_rest_of_a_period(fake, stripe):
    api = library.StripeClient(KEY, base_addresses={"api": fake.url}).v1
    before = ask(stripe.subscription(subscribed(fake, stripe, "move")))
    product = api.products.create({"name": "Max"})
    recurring: Any = {"interval": "month"}
    price = api.prices.create({"product": product.id, "currency": "eur", "unit_amount": 5_000, "recurring": recurring})
    move: Any = {"items": [{"id": before.items[0].id, "price": price.id}], "proration_behavior": "always_invoice"}
    api.subscriptions.update(before.id, move)
    moved = ask(stripe.subscription(before.id))
    assert moved.items[0].price == price.id
    assert moved.latest_invoice
    assert moved.latest_invoice != before.latest_invoice
    bill = ask(stripe.invoice(moved.latest_invoice))
    assert (bill.billing_reason, bill.status) == ("subscription_update", "paid")
    assert [line.proration for line in bill.lines] == [True, True]
    assert bill.total_minor in (2_999, 3_000)  # a second of the month may have passed


# What can go wrong


def wrong(kind: type[StripeError], work: Coroutine[Any, Any, object]) -> StripeError:
    with pytest.raises(kind) as caught:
        ask(work)
    assert type(caught.value) is kind
    return caught.value


@pytest.mark.parametrize("key", ["sk_test_unknown", "rk_live_unknown", "sk_unknown"])
def test_a_key_that_stripe_does_not_know(fake, key):
    client = Stripe(key, base=fake.url)
    error = wrong(KeyRefused, client.payment("pi_1"))
    assert (error.code, error.status, error.passes) == ("stripe_key_refused", 401, False)
    assert key not in str(error)
    assert key not in repr(client)
    assert client.live is ("_test_" not in key)
    ask(client.aclose())


@pytest.mark.parametrize("key", ["", "pk_test_1", "whsec_1", "sk_test_ä", "sk_test_1\n", "Bearer sk_test_1"])
def test_what_is_no_key_is_refused_before_anything_is_asked(key):
    with pytest.raises(KeyRefused) as caught:
        Stripe(key)
    assert key == "" or key not in str(caught.value)


def test_a_restricted_key_may_look_and_not_touch(fake, stripe):
    client = Stripe(RESTRICTED_KEY, base=fake.url)
    payment = bought(fake, stripe, "restricted")
    assert ask(client.payment(payment)).status == "succeeded"
    error = wrong(Forbidden, client.refund(payment, "restricted:1"))
    assert (error.code, error.status) == ("stripe_forbidden", 403)
    assert RESTRICTED_KEY not in str(error)
    ask(client.aclose())


def test_what_stripe_does_not_know(stripe):
    error = wrong(NotFound, stripe.payment("pi_unknown"))
    assert (error.status, error.provider_code, error.passes) == (404, "resource_missing", False)
    assert error.request_id.startswith("req_")


def test_a_call_that_stripe_refuses_names_the_parameter(stripe):
    error = wrong(BadRequest, stripe.check_out(wanted(price=Price(amount_minor=1, currency="EUR", name="x")), "tiny"))
    assert (error.provider_code, error.parameter, error.unknown) == ("amount_too_small", "line_items", False)


def test_a_paid_payment_is_not_cancelled(fake, stripe):
    error = wrong(BadRequest, stripe.cancel_payment(bought(fake, stripe, "cancel"), "cancel:1"))
    assert error.provider_code == "payment_intent_unexpected_state"


def test_too_many_calls(fake, stripe):
    fake.post("rules", most_a_second=1)
    ask(stripe.customers_of(ANN))
    error = wrong(RateLimited, stripe.customers_of(ANN))
    assert (error.status, error.passes, error.unknown) == (429, True, False)


@pytest.mark.parametrize(
    ("mode", "status"), [("html", 503), ("error", 500), ("cut", 0), ("lost_answer", 0), ("slow", 0)]
)
def test_an_outage_is_told_as_one_and_the_key_finds_out(fake, patient, stripe, mode, status):
    client = Stripe(KEY, base=fake.url, retries=0, timeout=0.15) if mode == "slow" else stripe
    order = wanted(owner=Owner(workspace="main", account=mode))
    fake.post("weather", mode=mode, times=1, seconds=600)
    error = wrong(TemporaryError, client.check_out(order, mode))
    assert (error.code, error.status, error.passes, error.unknown) == ("stripe_temporary_error", status, True, True)
    if mode == "slow":
        while not fake.get("weather")["waiting"]:  # on a machine that is slower than the client waits it never came
            wrong(TemporaryError, client.check_out(order, mode))
        # The first one still runs.
        assert wrong(TemporaryError, stripe.check_out(order, mode)).status == 409
        fake.post("weather", mode="fine")
        ask(client.aclose())
    made = ask(patient.check_out(order, mode))
    sessions = fake.get("state", kind="checkout.session")["data"]
    assert [each["id"] for each in sessions if each["client_reference_id"] == mode] == [made.id]


def test_nobody_there(fake):
    client = Stripe(KEY, base="http://127.0.0.1:9", retries=0)
    assert wrong(TemporaryError, client.payment("pi_1")).status == 0
    ask(client.aclose())


@pytest.mark.parametrize("mode", ["html", "error", "cut", "lost_answer"])
@pytest.mark.usefixtures("quick")
def test_the_library_tries_again_under_the_same_key(fake, patient, mode):
    order = wanted(owner=Owner(workspace="main", account=f"again {mode}"))
    fake.post("weather", mode=mode, times=2)
    made = ask(patient.check_out(order, f"again {mode}"))
    sessions = fake.get("state", kind="checkout.session")["data"]
    assert [each["id"] for each in sessions if each["client_reference_id"] == f"again {mode}"] == [made.id]


def test_calls_at_the_same_moment_do_not_wait_for_one_another(fake, stripe):
    fake.post("weather", mode="slow", seconds=600)

    async def all_at_once() -> None:
        calls = asyncio.gather(*(stripe.customers_of(ANN) for _ in range(4)))
        await asyncio.to_thread(until_held_up, fake, 4)
        await asyncio.to_thread(fake.post, "weather", mode="fine")
        await calls

    ask(all_at_once())
    assert fake.get("weather")["waiting"] == 0


# Secrets


def test_neither_key_nor_client_secret_reach_a_log_or_an_error(fake, stripe, caplog):
    caplog.set_level(logging.DEBUG)
    customer, method = customer_with(fake, stripe, "quiet", ALWAYS_ASKS)
    ask(stripe.charge_off_session(charging(customer, method), "quiet:1"))
    with pytest.raises(StripeError) as caught:
        ask(stripe.payment("pi_unknown_secret_abc"))
    assert caught.value.__cause__ is None
    texts = [record.getMessage() for record in caplog.records] + [str(caught.value), repr(caught.value)]
    assert [text for text in texts if KEY in text or ("_secret_" in text and "pi_unknown" not in text)] == []


def test_stripe_is_told_nothing_about_this_machine(fake, stripe, monkeypatch, tmp_path):
    told: list[dict[str, str]] = []
    send = httpx2.Client.request

    def watched(self: Any, method: str, url: str, **more: Any) -> Any:
        told.append(dict(more["headers"]))
        return send(self, method, url, **more)

    monkeypatch.setattr(httpx2.Client, "request", watched)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    ask(stripe.customers_of(ANN))
    ask(stripe.customers_of(ANN))
    assert [sorted(map(str.lower, each)) for each in told] == [["authorization", "stripe-version", "user-agent"]] * 2
    assert list(tmp_path.iterdir()) == []
