"""Buying by the library: on a file, on PostgreSQL and over HTTP, at the stand-in for Stripe."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

import farthing
from farthing.fakes.stripe import Options, Remote, running
from tests.client.driving import Place

pytestmark = pytest.mark.parametrize(
    "place", ["sync-sqlite", "async-postgres", "sync-http"], indirect=True, scope="module"
)
KEY, BACK = "sk_live_fake", "https://shop.example/thanks"


@pytest.fixture(scope="module")
def fake() -> Iterator[Remote]:
    with running(Options(keys=(KEY,))) as served:
        yield served


@pytest.fixture
def shop(client: Any, fake: Remote) -> Any:
    """A client of a ledger that sells a top-up."""
    fields = {"currency": "eur", "unit_amount": "900", "product_data[name]": "Pack"}
    made = httpx2.post(f"{fake.url}/v1/prices", data=fields, headers={"authorization": f"Bearer {KEY}"}, timeout=60)
    pack = {"id": "pack", "credits": 500, "price": "9.00", "currency": "EUR", "sold_as": {"stripe": made.json()["id"]}}
    client.products.put("bot", top_ups=[pack])
    client.providers.put("stripe", api_key=KEY, base_url=fake.url, success_url=BACK)
    return client


def test_links_and_checkouts_lead_to_the_providers_pages(shop: Any, fake: Remote, account: str):
    found = shop.purchases.links(account, "bot")
    assert (found.provider, found.tier, [link.offer for link in found.links]) == ("stripe", None, ["bot/pack"])
    url = shop.purchases.checkout(account, "bot/pack", cancel_url=BACK).url
    assert httpx2.get(url, timeout=60).status_code == 200
    assert shop.purchases.portal(account, return_url=BACK).url.startswith(fake.url)
    with pytest.raises(farthing.NotFound):
        shop.purchases.checkout(account, "bot/nothing")
    with pytest.raises(farthing.Invalid, match="success_url"):
        shop.purchases.checkout(account, "bot/pack", success_url="nowhere")


def test_a_top_up_is_bought_without_the_buyer_with_what_he_has_left(shop: Any, fake: Remote, account: str):
    nothing = shop.purchases.buy(account, "bot/pack")
    assert (nothing.state, nothing.reason, nothing.payment) == ("failed", "no_payment_method", None)
    url = shop.purchases.checkout(account, "bot/pack", keep_method=True).url
    fake.post(f"checkouts/{url.rpartition('/')[2]}/pay")
    done = shop.purchases.buy(account, "bot/pack", provider="stripe", key=f"for-{account}")
    assert (done.account, done.offer, done.provider, done.state) == (account, "bot/pack", "stripe", "succeeded")
    assert shop.purchases.buy(account, "bot/pack", provider="stripe", key=f"for-{account}") == done
    with pytest.raises(farthing.KeyConflict):
        shop.purchases.buy(account, "bot/pack", order="A", provider="stripe", key=f"for-{account}")
    with pytest.raises(farthing.NotFound):
        shop.purchases.buy(account, "bot/nothing")


def test_what_was_bought_is_listed(shop: Any, account: str):
    assert list(shop.purchases.orders(account)) == []
    assert list(shop.purchases.orders(unclaimed=True)) == list(shop.purchases.orders()) == []
    with pytest.raises(farthing.NotFound):
        shop.purchases.order("stripe", "sub_nothing")
    with pytest.raises(farthing.NotFound):
        shop.purchases.claim("stripe", "sub_nothing", account)


def test_what_an_account_has_left_is_listed_preferred_and_forgotten(shop: Any, fake: Remote, account: str):
    shop.accounts.create(account)
    for card in ("4242424242424242", "5555555555554444"):
        url = shop.purchases.checkout(account, "bot/pack", keep_method=True).url
        fake.post(f"checkouts/{url.rpartition('/')[2]}/pay", card=card)
    new, old = shop.purchases.methods(account)
    assert (new.brand, new.last4, new.charged, old.charged) == ("mastercard", "4444", True, False)
    assert shop.purchases.prefer_method(account, old.id).charged
    assert shop.purchases.forget_method(account, old.id, provider="stripe").id == old.id
    assert [(each.id, each.charged) for each in shop.purchases.methods(account)] == [(new.id, True)]
    with pytest.raises(farthing.NotFound):
        shop.purchases.forget_method(account, old.id)


def test_what_is_bought_by_itself_is_set_looked_at_and_gone_on_with(shop: Any, fake: Remote, account: str):
    shop.accounts.create(account)
    url = shop.purchases.checkout(account, "bot/pack", keep_method=True).url
    fake.post(f"checkouts/{url.rpartition('/')[2]}/pay", card="4000002760003184")
    put = shop.auto_top_ups.put(account, "stripe", 100, offer="bot/pack", cap_day=500, key=f"put {account}")
    assert (put.auto_top_up.threshold, put.auto_top_up.cap_day, put.auto_top_up.cap_month) == (100, 500, None)
    checked = shop.auto_top_ups.check(account)
    assert (checked.asked, checked.state, checked.paused) == (True, "paused", "authentication_required")
    assert checked.url.startswith(fake.url)
    (paused,) = [each for each in shop.auto_top_ups.paused() if each.account == account]
    assert (paused.paused, paused.url) == (checked.paused, checked.url)
    assert shop.auto_top_ups.resume(account).state == "ready"
    assert account not in [each.account for each in shop.auto_top_ups.paused()]
    assert shop.auto_top_ups.check(account).asked
    assert [each.state for each in shop.auto_top_ups.attempts(account)] == ["authentication_required"] * 2
    assert shop.auto_top_ups.remove(account).auto_top_up is None
    off = shop.auto_top_ups.check(account)
    assert (off.asked, off.reason, shop.auto_top_ups.get(account).settings) == (False, "off", None)
    with pytest.raises(farthing.NotFound):
        shop.auto_top_ups.put(account, "stripe", 100, offer="bot/nothing")


def test_the_books_are_compared(shop: Any, fake: Remote, account: str, place: Place):
    taken = {"amount": 700, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}
    header = {"authorization": f"Bearer {KEY}"}
    assert httpx2.post(f"{fake.url}/v1/payment_intents", data=taken, headers=header, timeout=60).status_code == 200
    url = shop.purchases.checkout(account, "bot/pack").url
    payment = fake.post(f"checkouts/{url.rpartition('/')[2]}/pay")["payment_intent"]
    done = shop.payments.reconcile("stripe", recent=True)
    assert (done.provider, done.agrees) == ("stripe", False)
    assert payment in [each.payment for each in done.findings if each.kind == "missing_here"]
    assert done.totals["EUR"].paid_here == "0"
    assert done.others
    alone = "api_key" not in place.options  # the server has two workspaces
    assert {each.amount for each in done.elsewhere} == ({"7.00"} if alone else set())
    with pytest.raises(farthing.Invalid, match="provider"):
        shop.payments.reconcile("paypal")
