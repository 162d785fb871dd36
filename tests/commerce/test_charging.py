"""Charges without the buyer, at both stand-ins: what is told of them, and that only notifications credit them."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import stripe as library

from farthing.commerce.charges import Charged
from farthing.commerce.digistore24 import client
from farthing.commerce.parts import commerce_on
from farthing.core.catalogue import Provider
from tests.commerce.bazaar import Bazaar, bazaar
from tests.commerce.market import LIVE_KEY
from tests.support import MAIN

ALWAYS_ASKS = "4000002760003184"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bazaar]:
    with bazaar(tmp_path_factory.mktemp("bazaar")) as found:
        yield found


@pytest.fixture
def shop(opened: Bazaar) -> Iterator[Bazaar]:
    yield opened
    opened.restore()


def charge(
    shop: Bazaar, account: str, provider: Provider, key: str = "1", offer: str = "bot/large", order: str = ""
) -> Charged:
    ledger = shop.server.ledger

    async def work() -> Charged:
        commerce = commerce_on(ledger.engine, ledger.database, ledger.reports, shop.server.clock.now_us)
        try:
            return await commerce.charging.charge(MAIN, account, offer, provider, f"{account}-{key}", order=order)
        finally:
            await commerce.aclose()

    return shop.server.run(work())


def with_card(shop: Bazaar, account: str, card: str = "4242424242424242") -> None:
    """An account that has bought 100 credits at Stripe, and left its card."""
    body = {"account": account, "offer": "bot/small", "provider": "stripe", "keep_method": True}
    url = shop.v1.made("checkouts", body, key=None)["url"]
    shop.pay.post(f"checkouts/{url.rpartition('/')[2]}/pay", card=card)
    shop.pay.post("events/send")


def with_order(shop: Bazaar, account: str, **more: bool) -> str:
    """An account that has bought 100 credits at Digistore24, and may be charged again."""
    given = {"product_id": "611", "amount": "2.00", "force_rebilling": True, **more}
    return str(shop.market.buy(account, **given)["id"])


def owner(customer: dict[str, Any]) -> str:
    return str(customer.get("metadata", {}).get("farthing_account", ""))


# Stripe


def test_what_is_charged_at_stripe_is_credited_once_when_stripe_tells(shop: Bazaar):
    with_card(shop, "ann")
    shop.pay.post("habits", hold=True)
    first, again = charge(shop, "ann", "stripe"), charge(shop, "ann", "stripe")
    assert (first.state, first.payment[:3]) == ("succeeded", "pi_")
    assert again == first
    assert shop.market.balance("ann") == 100
    shop.pay.post("habits", hold=False)
    shop.pay.post("events/release")
    assert shop.market.balance("ann") == 1100
    assert charge(shop, "ann", "stripe", key="2").payment != first.payment


def test_a_card_that_is_declined_is_told_with_the_banks_reason(shop: Bazaar):
    with_card(shop, "bob")
    (customer,) = (each for each in shop.pay.get("state", kind="customer")["data"] if owner(each) == "bob")
    attach = f"{shop.pay.url}/v1/payment_methods/pm_card_chargeCustomerFail/attach"
    headers = {"authorization": f"Bearer {LIVE_KEY}"}
    assert httpx2.post(attach, data={"customer": customer["id"]}, headers=headers).status_code == 200
    told = charge(shop, "bob", "stripe")
    assert (told.state, told.reason, told.again) == ("declined", "generic_decline", False)
    assert shop.market.balance("bob") == 100


def test_a_bank_that_wants_to_hear_from_the_buyer_is_told_with_a_link(shop: Bazaar):
    with_card(shop, "cleo", ALWAYS_ASKS)
    told = charge(shop, "cleo", "stripe")
    assert told.state == "authentication_required"
    assert told.url.startswith(f"{shop.pay.url}/checkout/")


def test_without_anything_to_charge_nothing_is_asked(shop: Bazaar):
    assert charge(shop, "nobody", "stripe").reason == "no_payment_method"
    assert charge(shop, "nobody", "digistore24").reason == "no_order"
    assert charge(shop, "nobody", "stripe", offer="bot/elsewhere").reason == "no_price"
    for offer in ("bot/pro", "bot/nothing"):
        assert charge(shop, "nobody", "stripe", offer=offer).reason == "offer_not_found"


def test_an_outage_of_stripe_leaves_the_charge_pending_and_its_key_finds_out(
    shop: Bazaar, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(library.HTTPClient, "INITIAL_DELAY", 0.01)
    with_card(shop, "dora")
    for path, state in (("/v1/customers", ("failed", "unavailable")), ("/v1/payment_intents", ("pending", "unknown"))):
        weather = {"mode": "lost_answer", "path": path}
        assert httpx2.post(f"{shop.pay.url}/_fake/weather", json=weather).status_code == 200
        told = charge(shop, "dora", "stripe")
        assert (told.state, told.reason) == state
    shop.pay.post("weather", mode="fine")
    assert charge(shop, "dora", "stripe").state == "succeeded"
    shop.pay.post("events/send")
    assert shop.market.balance("dora") == 1100


def test_a_key_of_stripe_that_is_refused_fails_for_good_and_a_limit_for_now(shop: Bazaar):
    with_card(shop, "erik")
    shop.pay.post("weather", mode="rate_limited")
    told = charge(shop, "erik", "stripe")
    assert (told.state, told.reason, told.again) == ("failed", "rate_limited", True)
    shop.pay.post("weather", mode="fine")
    shop.set("stripe", api_key="sk_live_unknown")
    told = charge(shop, "erik", "stripe")
    assert (told.state, told.reason, told.again) == ("failed", "key_invalid", False)
    assert LIVE_KEY not in told.message


# Digistore24


def test_what_is_charged_at_digistore24_is_credited_when_it_tells(shop: Bazaar):
    order = with_order(shop, "fay")
    shop.ds24.post("habits", hold=True)
    told = charge(shop, "fay", "digistore24")
    assert (told.state, told.url) == ("succeeded", "")
    assert told.payment not in ("", order)
    assert shop.market.balance("fay") == 100
    shop.ds24.post("messages/release")
    assert shop.market.balance("fay") == 1100
    # Once a minute: it says so itself.
    told = charge(shop, "fay", "digistore24", key="2", order=order)
    assert (told.state, told.reason, told.again) == ("failed", "rate_limited", True)


@pytest.mark.parametrize(("card", "state"), [("declined", "declined"), ("pending", "pending")])
def test_what_digistore24_does_not_get_at_once_is_told_with_a_link(shop: Bazaar, card: str, state: str):
    order = with_order(shop, f"card {card}")
    shop.ds24.post(f"orders/{order}/card", behaviour=card)
    told = charge(shop, f"card {card}", "digistore24")
    assert told.state == state
    assert told.url.startswith(shop.ds24.url)
    assert shop.market.balance(f"card {card}") == 100


def test_an_order_that_can_not_be_charged_again_fails_for_good(shop: Bazaar):
    with_order(shop, "gus", force_rebilling=False)
    told = charge(shop, "gus", "digistore24")
    assert (told.state, told.reason, told.again) == ("failed", "refused", False)


def test_a_charge_without_an_answer_is_pending_and_was_asked_for_once(shop: Bazaar, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    with_order(shop, "hal")
    shop.ds24.post("weather", mode="lost_answer", function="createBillingOnDemand")
    told = charge(shop, "hal", "digistore24")
    assert (told.state, told.reason) == ("pending", "unknown")
    shop.ds24.post("messages/send")
    assert shop.market.balance("hal") == 1100, "it was carried out, once, and told of"
