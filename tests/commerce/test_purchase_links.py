"""Purchase links and orders of the CountWerk dialect: the server asks the stand-in, and its links are paid there."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from farthing.commerce import selling
from farthing.commerce.digistore24 import client
from farthing.core.catalogue import Product, TopUp
from tests.api.serving import Answer
from tests.api.v1.client import told
from tests.api.v1.test_subscriptions import put
from tests.commerce.bazaar import Bazaar, bazaar, subscribed
from tests.support import UNIT

OPTION = {
    "type", "linkMode", "effectiveAtPolicy", "expectedPolicy", "enabled", "disabledReason", "toProductId",
    "fromProductId", "url", "label", "description",
}  # fmt: skip


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bazaar]:
    with bazaar(tmp_path_factory.mktemp("bazaar")) as found:
        yield found


@pytest.fixture
def shop(opened: Bazaar) -> Iterator[Bazaar]:
    yield opened
    opened.restore()


def names(options: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(option["type"], option["label"]) for option in options]


# Links


def test_who_has_nothing_is_offered_all_tiers_by_rank_and_then_top_ups_by_credits(shop: Bazaar):
    data = shop.links("new").data
    assert {name: data[name] for name in data if name != "options"} == {
        "ai_product_id": "bot", "account_id": "new", "current_order_id": None, "current_tier_product_id": None
    }  # fmt: skip
    assert names(data["options"]) == [
        ("upgrade", "free"), ("upgrade", "Starter"), ("upgrade", "Pro"), ("upgrade", "Max"), ("topup", "1000 credits"),
        ("topup", "500 credits"), ("topup", "100 credits"),
    ]  # fmt: skip
    assert {frozenset(option) for option in data["options"]} == {frozenset(OPTION)}
    enabled = [option["label"] for option in data["options"] if option["enabled"]]
    assert enabled == ["Starter", "Pro", "Max", "1000 credits", "100 credits"]
    for option in data["options"]:
        assert (option["url"] is not None) == option["enabled"] == (option["disabledReason"] is None)
        assert option["url"] is None or option["url"].startswith(f"{shop.ds24.url}/checkout/")
        assert (option["linkMode"], option["effectiveAtPolicy"]) == ("create_buy_url", "immediate")
    free = data["options"][0]
    assert (free["disabledReason"], free["toProductId"]) == ("PRODUCT_NOT_SOLD", None)


def test_what_is_paid_by_a_link_is_credited_to_who_asked_for_it(shop: Bazaar):
    large = next(
        option for option in shop.options("payer", buyer_email="p@x.example") if option["toProductId"] == "612"
    )
    assert "p@x.example" in httpx2.get(large["url"], timeout=60).text
    order = shop.ds24.post("orders", link=large["url"])
    assert (order["custom"], order["money"][0]["amount"]) == ("payer", "15.00")
    assert shop.market.balance("payer") == 1000
    assert shop.resolved(order["id"]).data == {
        "order_id": order["id"], "account_id": "payer", "ai_product_id": "bot"
    }  # fmt: skip


def test_links_are_made_anew_each_time_and_an_account_of_any_length_comes_back(shop: Bazaar):
    account = "an account that is much longer than what there is room for at the provider, by far: äöü"
    first, second = shop.options(account), shop.options(account)
    assert names(first) == names(second)
    assert {option["url"] for option in first} & {option["url"] for option in second} == {None}
    shop.ds24.post("orders", link=next(each["url"] for each in first if each["toProductId"] == "611"))
    assert shop.market.balance(account) == 100


def test_who_has_a_tier_changes_it_by_the_order_by_which_it_runs(shop: Bazaar):
    order = subscribed(shop, "climber", "pro")
    assert shop.market.balance("climber") == 2000
    data = shop.links("climber").data
    assert (data["current_order_id"], data["current_tier_product_id"]) == (order, "602")
    assert names(data["options"])[:3] == [("upgrade", "Max"), ("downgrade", "free"), ("downgrade", "Starter")]
    up, _, down = data["options"][:3]
    # Nobody has set up a way at Digistore24: it is bought in place of the order.
    assert (up["linkMode"], up["effectiveAtPolicy"], up["fromProductId"]) == ("create_buy_url", "immediate", "602")
    assert (down["linkMode"], down["effectiveAtPolicy"]) == ("create_buy_url", "end_of_period")
    bought = shop.ds24.post("orders", link=up["url"])
    assert (bought["upgraded_order_id"], bought["upgrade_type"]) == (order, "upgrade")
    assert bought["money"][0]["amount"] == "30.00"  # less what was left of 19.90
    assert shop.links("climber").data["current_order_id"] == bought["id"]
    assert shop.market.balance("climber") == 11_000


def test_a_way_that_is_set_up_there_for_the_change_is_taken(shop: Bazaar):
    shop.ds24.post("upgrades", to_product_id="603", types={"601": "special_offer"})
    shop.ds24.post("upgrades", to_product_id="602", types={"601": "upgrade"})
    order = subscribed(shop, "walker")
    pro, most = shop.options("walker")[:2]
    assert (pro["linkMode"], pro["url"].rpartition("/")[2]) == ("ds_upgrade_url", order)
    assert pro["url"].startswith(f"{shop.ds24.url}/upgrade/")
    # A special offer would leave the order as it is.
    assert most["linkMode"] == "create_buy_url"


def test_an_order_that_can_not_be_changed_any_more_is_said_to_be_so(shop: Bazaar):
    order = subscribed(shop, "leaver")
    shop.ds24.post(f"orders/{order}/refund")
    up = shop.options("leaver", current_tier_product_id="601", current_order_id=order)[0]
    assert (up["enabled"], up["disabledReason"], up["url"]) == (False, "UPGRADE_NOT_POSSIBLE", None)


def test_a_change_of_tier_without_a_known_order_is_listed_and_disabled(shop: Bazaar):
    options = shop.options("stranger", current_tier_product_id="602")
    assert [option["disabledReason"] for option in options[:3]] == [
        "MISSING_ORDER_ID", "PRODUCT_NOT_SOLD", "MISSING_ORDER_ID"
    ]  # fmt: skip
    assert options[3]["enabled"]
    # By our own name of the tier it is the same.
    assert names(shop.options("stranger", current_tier_product_id="pro")) == names(options)


def test_a_tier_that_was_given_away_is_left_by_buying(shop: Bazaar):
    assert put(shop.v1, "accounts/guest/subscription", {"plan": "free"}).status == 200
    options = shop.options("guest")
    assert names(options)[:3] == [("upgrade", "Starter"), ("upgrade", "Pro"), ("upgrade", "Max")]
    assert [(each["enabled"], each["linkMode"]) for each in options[:3]] == [(True, "create_buy_url")] * 3


# What is wrong with a request


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "MISSING_REQUIRED_FIELDS"),
        ({"account_id": "a"}, "MISSING_PRODUCT_ID"),
        ({"buyer_email": "a@b.example"}, "MISSING_PRODUCT_ID"),
        ({"ai_product_id": "bot"}, "MISSING_ACCOUNT_ID"),
        ({"ai_product_id": 5, "account_id": "a"}, "INVALID_INPUT"),
        ({"ai_product_id": "bot", "account_id": "a\n"}, "INVALID_INPUT"),
        ({"ai_product_id": "bot", "account_id": "a", "current_tier_product_id": "999"}, "INVALID_INPUT"),
        ({"ai_product_id": "bot", "account_id": "a", "buyer_email": ["a"]}, "INVALID_INPUT"),
    ],
)
def test_what_is_wrong_has_the_more_specific_code(shop: Bazaar, body: dict[str, Any], code: str):
    assert shop.asked(body).told == (400, code)


def test_a_product_that_is_not_on_sale_is_not_there(shop: Bazaar):
    assert shop.asked({"ai_product_id": "nothing", "account_id": "a"}).told == (404, "INVALID_INPUT")


def test_an_order_of_another_account_is_not_changed(shop: Bazaar):
    order = subscribed(shop, "owner")
    answer = shop.links("thief", current_tier_product_id="601", current_order_id=order)
    assert answer.told == (400, "INVALID_INPUT")
    assert "another account" in answer.message


# What goes wrong at the provider: each code by an exchange with the stand-in


def barred(answer: Answer, status: int, code: str) -> None:
    """All options are there, disabled by this code."""
    assert answer.told == (status, code)
    options = answer.json["data"]["options"]
    assert len(options) == 7
    assert [option["enabled"] for option in options] == [False] * 7
    assert {option["disabledReason"] for option in options} == {code}


def test_without_a_key_all_is_disabled_and_names_the_code(shop: Bazaar):
    for key in ("", "env:THERE_IS_NO_SUCH_VARIABLE"):
        shop.set("digistore24", api_key=key)
        barred(shop.links("new"), 409, "DS24_KEY_REQUIRED")
    assert "env:THERE_IS_NO_SUCH_VARIABLE" in shop.links("new").message


def test_a_key_that_is_refused_or_may_not_is_told_apart(shop: Bazaar):
    shop.set("digistore24", api_key="99999-unknown")
    barred(shop.links("new"), 409, "DS24_KEY_INVALID")
    assert shop.resolved("NOWHERE1").told == (409, "DS24_KEY_INVALID")
    shop.ds24.post("keys", key="777-reader", permission="readonly", billing_on_demand=False)
    shop.set("digistore24", api_key="777-reader")
    barred(shop.links("new"), 403, "DS24_KEY_FORBIDDEN")
    assert "777-reader" not in shop.links("new").raw.decode()


def test_a_provider_that_has_had_enough_says_when_to_come_again(shop: Bazaar):
    shop.ds24.post("weather", mode="rate_limited", seconds=30)
    answer = shop.links("new")
    barred(answer, 429, "DS24_RATE_LIMITED")
    assert answer.headers["retry-after"] == "30"


@pytest.mark.parametrize("mode", ["down", "html", "cut", "slow"])
def test_an_outage_is_a_temporary_error(shop: Bazaar, mode: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(selling, "SECONDS", 0.2 if mode == "slow" else 20)
    shop.ds24.post("weather", mode=mode)
    answer = shop.links("new")
    barred(answer, 503, "DS24_TEMPORARY_ERROR")
    assert int(answer.headers["retry-after"]) > 0
    assert shop.resolved("NOWHERE2").told == (503, "DS24_TEMPORARY_ERROR")


def test_one_link_that_is_refused_is_disabled_and_all_that_are_refused_are_an_error(shop: Bazaar):
    top_ups = [TopUp(id=id, credits=n * UNIT, sold_as={"digistore24": id}) for n, id in ((2, "701"), (1, "702"))]
    shop.put(Product(id="unmade", top_ups=tuple(top_ups)))
    shop.ds24.post("rules", open_products=False)
    asked = {"ai_product_id": "unmade", "account_id": "new"}
    assert shop.asked(asked).told == (400, "DS24_BAD_REQUEST")
    shop.ds24.post("products", id="702", name="Made")
    options = shop.asked(asked).data["options"]
    assert [(each["toProductId"], each["disabledReason"]) for each in options] == [
        ("701", "DS24_BAD_REQUEST"), ("702", None)
    ]  # fmt: skip


# Orders


def test_an_order_is_asked_for_by_its_id(shop: Bazaar):
    assert shop.server.post("resolve-order", {}).told == (400, "MISSING_REQUIRED_FIELDS")
    assert shop.server.post("resolve-order", {"order": "A"}).told == (400, "MISSING_ORDER_ID")
    assert shop.server.post("resolve-order", {"order_id": 5}).told == (400, "INVALID_INPUT")
    assert shop.resolved("NOWHERE3").told == (404, "ORDER_NOT_FOUND")


def test_an_order_that_was_not_told_of_yet_is_not_mapped_yet(shop: Bazaar):
    shop.ds24.post("habits", hold=True)
    order = shop.market.buy("early", product_id="612", amount="15.00")
    assert shop.resolved(order["id"]).told == (409, "ORDER_NOT_MAPPED_YET")
    shop.ds24.post("messages/release")
    assert shop.resolved(order["id"]).data["account_id"] == "early"


def test_an_order_of_nobody_is_claimed_and_then_credited_and_found(shop: Bazaar):
    order = shop.market.buy("", product_id="612", amount="15.00")["id"]
    assert shop.resolved(order).told == (409, "ORDER_NOT_MAPPED_YET")
    claimed = shop.v1.made(f"orders/digistore24/{order}/claim", {"account": "late"}, key="claim-1")
    assert (claimed["account"], claimed["offer"]) == ("late", "bot/large")
    assert [(each["state"], each["credits"]) for each in claimed["payments"]] == [("credited", "1000")]
    assert shop.market.balance("late") == 1000
    again = shop.v1.post(f"orders/digistore24/{order}/claim", {"account": "late"}, key="claim-1")
    assert (again.status, again.headers["idempotent-replayed"]) == (200, "true")
    assert shop.market.balance("late") == 1000
    assert told(shop.v1.post(f"orders/digistore24/{order}/claim", {"account": "other"})) == (409, "order_claimed")
    assert told(shop.v1.post("orders/digistore24/NOWHERE/claim", {"account": "late"})) == (404, "order_not_found")
    assert shop.resolved(order).data["account_id"] == "late"


def test_an_order_for_something_unknown_is_not_mapped_yet(shop: Bazaar):
    order = shop.market.buy("buyer", product_id="999", amount="5.00")["id"]
    assert shop.resolved(order).told == (409, "ORDER_NOT_MAPPED_YET")
