"""Buying on the native API: links and checkouts of both stand-ins, the customer portal, and orders."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import stripe as library

from farthing.core.catalogue import Product, TopUp
from tests.api.v1.client import places, told
from tests.api.v1.reading import ask, read, whole
from tests.commerce.bazaar import BACK, Bazaar, bazaar, subscribed
from tests.commerce.market import LIVE_KEY
from tests.support import UNIT

BOTH = ["digistore24", "stripe"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bazaar]:
    with bazaar(tmp_path_factory.mktemp("bazaar")) as found:
        yield found


@pytest.fixture
def shop(opened: Bazaar) -> Iterator[Bazaar]:
    yield opened
    opened.restore()


def links(shop: Bazaar, account: str, provider: str = "stripe") -> dict[str, Any]:
    body = {"account": account, "product": "bot", "provider": provider}
    found: dict[str, Any] = shop.v1.made("purchase-links", body, key=None)
    return found


def checkout(shop: Bazaar, account: str, offer: str = "bot/large", provider: str = "stripe", **more: Any) -> str:
    body = {"account": account, "offer": offer, "provider": provider, **more}
    return str(shop.v1.made("checkouts", body, key=None)["url"])


def refused(shop: Bazaar, path: str = "checkouts", **body: Any) -> tuple[int, str]:
    given = {"account": "ann", "offer": "bot/large", "provider": "stripe"} if path == "checkouts" else {}
    return told(shop.v1.post(path, given | body, key=None))


def pay(shop: Bazaar, url: str) -> dict[str, Any]:
    """Somebody pays at Stripe; what it knows of the checkout then."""
    found: dict[str, Any] = shop.pay.post(f"checkouts/{url.rpartition('/')[2]}/pay")
    shop.pay.post("events/send")
    return found


def customers(shop: Bazaar, account: str) -> list[str]:
    """Stripe's customers for an account."""
    found = shop.pay.get("state", kind="customer")["data"]
    return [each["id"] for each in found if each.get("metadata", {}).get("farthing_account") == account]


# Links


def test_stripe_has_a_checkout_for_each_offer_and_then_a_portal(shop: Bazaar):
    found = links(shop, "zoe")
    assert (found["tier"], found["order"], found["provider"]) == (None, None, "stripe")
    assert [(each["type"], each["offer"], each["enabled"], each["mode"]) for each in found["links"]] == [
        ("upgrade", "bot/free", False, "checkout"), ("upgrade", "bot/starter", True, "checkout"),
        ("upgrade", "bot/pro", True, "checkout"), ("upgrade", "bot/max", True, "checkout"),
        ("topup", "bot/large", True, "checkout"), ("topup", "bot/elsewhere", False, "checkout"),
        ("topup", "bot/small", True, "checkout"),
    ]  # fmt: skip
    assert [each["disabled_reason"] for each in found["links"] if not each["enabled"]] == ["product_not_sold"] * 2
    pay(shop, next(each["url"] for each in found["links"] if each["offer"] == "bot/pro"))
    assert shop.market.balance("zoe") == 2000
    after = links(shop, "zoe")
    assert (after["tier"], after["order"][:4]) == ("pro", "sub_")
    changes = [each for each in after["links"] if each["type"] in ("upgrade", "downgrade")]
    # A second subscription beside the first is never sold.
    assert {each["disabled_reason"] for each in changes} == {"change_in_portal", "product_not_sold"}
    assert (after["links"][-1]["type"], after["links"][-1]["enabled"]) == ("manage", True)
    assert customers(shop, "zoe") == [pay(shop, checkout(shop, "zoe"))["customer"]]


def test_both_providers_sell_the_same_in_the_same_order(shop: Bazaar):
    both = [links(shop, "both", provider)["links"] for provider in BOTH]
    assert [each["offer"] for each in both[0]] == [each["offer"] for each in both[1]]
    assert all(each["url"].startswith(shop.ds24.url) for each in both[0] if each["url"])


# Checkouts


def test_a_checkout_that_is_paid_is_credited(shop: Bazaar):
    url = checkout(shop, "bob", success_url="https://other.example/back", keep_method=True)
    paid = pay(shop, url)
    assert (paid["metadata"]["farthing_product"], paid["success_url"]) == ("bot/large", "https://other.example/back")
    assert shop.market.balance("bob") == 1000
    url = checkout(shop, "bob", provider="digistore24", success_url="https://other.example/back", keep_method=True)
    order = shop.ds24.post("orders", link=url)
    assert (order["custom"], order["force_rebilling"]) == ("bob", True)
    assert shop.market.balance("bob") == 2000


def test_stripe_sells_what_is_none_of_its_products_by_the_catalogues_price(shop: Bazaar):
    shop.put(Product(id="loose", top_ups=(
        TopUp(id="own", credits=70 * UNIT, price="7.00", currency="EUR"),
        TopUp(id="fine", credits=UNIT, price="0.001", currency="EUR"),
    )))  # fmt: skip
    paid = pay(shop, checkout(shop, "lou", "loose/own"))
    assert (paid["amount_total"], paid["currency"]) == (700, "eur")
    assert shop.market.balance("lou") == 70
    assert refused(shop, account="lou", offer="loose/own", provider="digistore24")[1] == "offer_unavailable"
    assert refused(shop, account="lou", offer="loose/fine")[1] == "provider_refused", "finer than cents"


def test_a_customer_who_is_gone_at_stripe_is_made_anew(shop: Bazaar):
    checkout(shop, "cleo")
    (first,) = customers(shop, "cleo")
    httpx2.delete(f"{shop.pay.url}/v1/customers/{first}", headers={"authorization": f"Bearer {LIVE_KEY}"})
    paid = pay(shop, checkout(shop, "cleo"))
    assert paid["customer"] != first
    assert shop.market.balance("cleo") == 1000


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"offer": "bot/nothing"}, (404, "offer_not_found")),
        ({"offer": "nothing"}, (404, "offer_not_found")),
        ({"offer": "bot/elsewhere"}, (409, "offer_unavailable")),
        ({"offer": None}, (400, "invalid")),
        ({"provider": "paypal"}, (400, "invalid")),
        ({"provider": None}, (400, "invalid")),
        ({"success_url": "javascript:alert(1)"}, (400, "invalid")),
        ({"account": ""}, (400, "invalid")),
        ({"colour": "red"}, (400, "invalid")),
    ],
)
def test_what_can_not_be_bought_says_why(shop: Bazaar, body: dict[str, Any], answer: tuple[int, str]):
    assert refused(shop, **body) == answer


def test_an_offer_that_is_had_or_changed_elsewhere_is_no_checkout(shop: Bazaar):
    subscribed(shop, "dora", "pro")
    body = {"account": "dora", "provider": "digistore24"}
    answer = shop.v1.post("checkouts", {**body, "offer": "bot/pro"}, key=None)
    assert (told(answer), answer.json["reason"]) == ((409, "offer_unavailable"), "current_tier")
    # Stripe knows nothing of that order: the change needs it.
    answer = shop.v1.post("checkouts", {**body, "offer": "bot/max", "provider": "stripe"}, key=None)
    assert answer.json["reason"] == "missing_order_id"
    assert checkout(shop, "dora", "bot/max", "digistore24").startswith(shop.ds24.url)


def test_with_two_providers_one_has_to_be_named_and_with_one_it_need_not(shop: Bazaar):
    answer = shop.v1.post("checkouts", {"account": "ann", "offer": "bot/large"}, key=None)
    assert (told(answer), places(answer)) == ((400, "invalid"), ["/provider"])
    other = shop.v1.with_key("admin", "other")
    body = {"account": "ann", "offer": "bot/large"}
    assert told(other.post("checkouts", body, key=None)) == (409, "provider_key_missing")


def test_without_an_address_to_come_back_to_there_is_no_checkout(shop: Bazaar):
    shop.set("stripe", success_url="")
    answer = shop.v1.post("checkouts", {"account": "ann", "offer": "bot/large", "provider": "stripe"}, key=None)
    assert answer.json["reason"] == "missing_success_url"
    checkout(shop, "ann", success_url=BACK)


def test_each_trouble_with_stripe_has_its_code(shop: Bazaar, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(library.HTTPClient, "INITIAL_DELAY", 0.01)
    shop.pay.post("weather", mode="rate_limited")
    assert refused(shop) == (429, "provider_rate_limited")
    shop.pay.post("weather", mode="html")
    answer = shop.v1.post("purchase-links", {"account": "ann", "product": "bot", "provider": "stripe"}, key=None)
    assert (told(answer), "retry-after" in answer.headers) == ((503, "provider_unavailable"), True)
    shop.pay.post("weather", mode="fine")
    shop.set("stripe", api_key="sk_live_unknown")
    assert refused(shop) == (409, "provider_key_invalid")
    shop.pay.post("rules", restricted_keys=["rk_live_reader"])
    shop.set("stripe", api_key="rk_live_reader")
    assert refused(shop) == (409, "provider_key_forbidden")
    shop.set("stripe", api_key="")
    assert refused(shop) == (409, "provider_key_missing")


def test_a_price_that_stripe_does_not_know_is_told_as_refused(shop: Bazaar):
    assert refused(shop, account="ina", offer="writer/pro") == (409, "provider_refused")


# The portal


def test_a_customer_comes_to_the_portal(shop: Bazaar):
    assert refused(shop, "accounts/nobody/portal") == (404, "customer_not_found")
    checkout(shop, "erik")
    made = shop.v1.made("accounts/erik/portal", {"return_url": BACK}, key=None)
    assert (made["account"], httpx2.get(made["url"], timeout=60).status_code) == ("erik", 200)
    assert refused(shop, "accounts/erik/portal", return_url="there") == (400, "invalid")


# Orders


def test_orders_are_listed_by_account_page_by_page_and_shown_with_payments(shop: Bazaar):
    ids = [shop.market.buy("fay", product_id="612", amount="15.00")["id"] for _ in range(3)]
    found = whole(shop.v1, "orders", account="fay", limit=2)
    assert sorted(each["id"] for each in found) == sorted(ids)
    shop.ds24.post(f"orders/{ids[0]}/refund")
    shown = read(shop.v1, f"orders/digistore24/{ids[0]}")
    assert (shown["account"], shown["offer"], shown["product"]) == ("fay", "bot/large", "612")
    (payment,) = shown["payments"]
    assert (payment["amount"], payment["credits"], payment["taken"]) == ("15.00", "1000", "1000")
    assert told(ask(shop.v1, "orders/digistore24/NOWHERE")) == (404, "order_not_found")
    assert told(ask(shop.v1, f"orders/paypal/{ids[0]}")) == (404, "order_not_found")


def test_orders_of_nobody_are_listed_apart_and_claimed_once(shop: Bazaar):
    order = shop.market.buy("", product_id="612", amount="15.00")["id"]
    assert order in [each["id"] for each in read(shop.v1, "orders", unclaimed="true")["data"]]
    path = f"orders/digistore24/{order}/claim"
    dry = shop.v1.made(path, {"account": "gus", "dry_run": True})
    assert (dry["dry_run"], dry["payments"][0]["state"], shop.market.balance("gus")) == (True, "waiting", 0)
    shop.v1.made(path, {"account": "gus"})
    assert shop.market.balance("gus") == 1000
    assert order not in [each["id"] for each in read(shop.v1, "orders", unclaimed="true")["data"]]
    (record,) = read(shop.v1, "audit", subject=order)["data"]
    assert (record["action"], record["before"], record["after"]) == ("order.claim", None, "gus")
    assert order in [each["id"] for each in whole(shop.v1, "orders", limit=3)]
    assert told(ask(shop.v1, "orders", account="gus", unclaimed="true")) == (400, "invalid")


def test_who_may_only_read_claims_nothing(shop: Bazaar):
    reader = shop.v1.with_key("read")
    assert reader.refused("orders/digistore24/A/claim", {"account": "ann"}) == (403, "scope_missing")
    assert reader.refused("accounts/ann/portal", {}) == (403, "scope_missing")
