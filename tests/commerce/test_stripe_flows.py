"""What Stripe does with subscriptions and refunds after they were sold: told by the stand-in, carried out here."""

from collections.abc import Iterator
from typing import Any

import pytest
import stripe as library

from farthing.core.commands import TakeCharge
from farthing.core.purchases import Receipt, returned, taken_back
from tests.api.v1.client import told
from tests.api.v1.reading import ask, read, whole
from tests.commerce.bazaar import Bazaar, bazaar
from tests.commerce.market import LIVE_KEY
from tests.support import UNIT


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bazaar]:
    with bazaar(tmp_path_factory.mktemp("bazaar")) as made:
        yield made


@pytest.fixture
def shop(opened: Bazaar) -> Iterator[Bazaar]:
    """One for all tests, with calm weather at the beginning of each."""
    yield opened
    opened.market.calm()


def bought(shop: Bazaar, account: str, offer: str, card: str = "4242424242424242") -> dict[str, Any]:
    """An account that has bought an offer on a checkout: the session as it is then."""
    asked = {"account": account, "offer": offer, "provider": "stripe", "keep_method": True}
    url = shop.v1.made("checkouts", asked, key=None)["url"]
    session: dict[str, Any] = shop.pay.post(f"checkouts/{url.rsplit('/', 1)[1]}/pay", card=card)
    shop.pay.post("events/send")
    return session


def price_of(shop: Bazaar, tier: str) -> str:
    (found,) = [each for each in shop.sold.tiers if each.id == tier]
    return str(found.sold_as["stripe"])


def moved(shop: Bazaar, subscription: str, tier: str, how: Any = "always_invoice", **more: Any) -> None:
    """The subscription is moved to another tier, as the portal or a person at Stripe does it."""
    shop.market.pass_time(1)
    shop.pay.post("clock/advance", seconds=1)
    api = library.StripeClient(LIVE_KEY, base_addresses={"api": shop.pay.url}).v1
    (item,) = api.subscriptions.retrieve(subscription)["items"]["data"]
    row: Any = {"id": item["id"], "price": price_of(shop, tier), **more}
    api.subscriptions.update(subscription, {"items": [row], "proration_behavior": how})
    shop.pay.post("events/send")


def payments(shop: Bazaar, order: str) -> list[Receipt]:
    """Those of an order, the oldest first."""
    kept = shop.server.run(shop.market.purchases.receipts_of_order("main", "stripe", order))
    return [each.receipt for each in kept]


def tier_of(shop: Bazaar, account: str) -> str:
    return str(read(shop.v1, f"accounts/{account}/subscription")["plan"])


# Another tier


def test_a_tier_that_is_billed_at_once_for_the_rest_of_its_period_comes_at_once(shop):
    account = shop.market.account()
    order = bought(shop, account, "bot/starter")["subscription"]
    assert (tier_of(shop, account), shop.market.balance(account)) == ("starter", 100)
    moved(shop, order, "max")
    first, second = payments(shop, order)
    assert (first.amount, second.amount, second.state, second.offer) == ("9.90", "40.00", "credited", "bot/max")
    assert (tier_of(shop, account), shop.market.balance(account)) == ("max", 9_100)


def test_a_lower_tier_that_leaves_money_over_costs_nothing_and_comes_at_once(shop):
    account = shop.market.account()
    order = bought(shop, account, "bot/max")["subscription"]
    moved(shop, order, "starter")
    _, second = payments(shop, order)
    assert (second.amount, second.state) == ("0.00", "credited")
    assert tier_of(shop, account) == "starter"


def test_a_tier_that_is_billed_with_the_next_period_comes_with_it(shop):
    account = shop.market.account()
    order = bought(shop, account, "bot/starter")["subscription"]
    moved(shop, order, "pro", "none")
    assert tier_of(shop, account) == "starter"
    shop.pay.post("clock/advance", days=31)
    shop.market.calm()
    assert [each.state for each in payments(shop, order)] == ["credited"] * 2
    assert tier_of(shop, account) == "pro"


def test_more_of_the_same_tier_begins_no_period_and_waits_for_a_person(shop):
    account = shop.market.account()
    order = bought(shop, account, "bot/starter")["subscription"]
    moved(shop, order, "starter", quantity=2)
    _, second = payments(shop, order)
    assert (second.state, second.reason) == ("waiting", "other_amount")
    assert shop.market.balance(account) == 100


def test_a_change_that_is_told_before_what_it_changes_waits_for_that(shop):
    account = shop.market.account()
    shop.pay.post("habits", hold=True)
    order = bought(shop, account, "bot/starter")["subscription"]
    moved(shop, order, "max")
    shop.pay.post("events/release", order="reversed")
    shop.market.calm()
    shop.pay.post("clock/advance", hours=1)
    assert [each.state for each in payments(shop, order)] == ["credited"] * 2
    assert (tier_of(shop, account), shop.market.balance(account)) == ("max", 9_100)


# Refunds that fail


def test_a_refund_that_fails_at_the_bank_gives_its_credits_again(shop):
    account = shop.market.account()
    payment = bought(shop, account, "bot/large")["payment_intent"]
    made = shop.pay.post(f"payments/{payment}/refund", amount=600)
    assert shop.market.balance(account) == 600
    shop.pay.post(f"refunds/{made['id']}/end", well=False)
    assert shop.market.balance(account) == 1000
    assert shop.pay.get("books")["payments"][payment]["kept"] == 1500
    receipt = shop.market.receipt(payment, "stripe")
    assert returned(receipt) == taken_back(receipt) == 0
    told = ["payment.credited", "payment.refunded", "payment.refund_failed"]
    assert shop.market.told_of(account) == told
    found = read(shop.v1, f"payments/stripe/{payment}")
    assert (found["refunded"], found["taken"]) == ("0", "0")
    shop.pay.post(f"payments/{payment}/refund")
    assert shop.market.balance(account) == 0


def test_what_a_failed_refund_gives_again_pays_what_was_owed_for_it(shop):
    account = shop.market.account()
    payment = bought(shop, account, "bot/small")["payment_intent"]
    shop.server.do(TakeCharge(workspace="main", account=account, amount=70 * UNIT))
    shop.pay.post("habits", hold=True)
    made = shop.pay.post(f"payments/{payment}/refund")
    shop.pay.post(f"refunds/{made['id']}/end", well=False)
    shop.pay.post("events/release", order="reversed")
    assert shop.market.balance(account) == 30


def test_a_dispute_of_a_part_takes_that_part_when_it_is_lost(shop):
    account = shop.market.account()
    payment = bought(shop, account, "bot/large")["payment_intent"]
    dispute = shop.pay.post(f"payments/{payment}/dispute", amount=600)["id"]
    assert read(shop.v1, f"accounts/{account}/balance")["available"] == "0", "nobody knows yet which part it will be"
    shop.pay.post(f"disputes/{dispute}/close", status="lost")
    assert shop.market.balance(account) == 600
    assert shop.market.told_of(account) == ["payment.credited", "dispute.opened", "dispute.closed"]
    found = read(shop.v1, f"payments/stripe/{payment}")
    assert (found["lost"], found["refunded"], found["taken"]) == (False, "6", "400")
    shop.pay.post(f"payments/{payment}/refund", amount=900)
    assert shop.market.balance(account) == 0


# What can be charged again


def kept(shop: Bazaar, account: str) -> list[tuple[str, bool]]:
    found = read(shop.v1, f"accounts/{account}/payment-methods", provider="stripe")["data"]
    return [(each["last4"], each["charged"]) for each in found]


def test_the_method_that_was_left_last_is_charged_until_another_is_preferred_or_it_is_forgotten(shop):
    account = shop.market.account()
    shop.v1.grant(account, "1")
    assert kept(shop, account) == []
    bought(shop, account, "bot/small")
    bought(shop, account, "bot/small", "5555555555554444")
    assert kept(shop, account) == [("4444", True), ("4242", False)]
    new, old = read(shop.v1, f"accounts/{account}/payment-methods", provider="stripe")["data"]
    path = f"accounts/{account}/payment-methods"
    body = {"provider": "stripe"}
    for _ in range(2):  # what was preferred before can be preferred again
        assert shop.v1.made(f"{path}/{old['id']}/prefer", body) == {**old, "charged": True}
        assert kept(shop, account) == [("4444", False), ("4242", True)]
        shop.v1.made(f"{path}/{new['id']}/prefer", body)
        assert kept(shop, account) == [("4444", True), ("4242", False)]
    assert shop.v1.made(f"{path}/{new['id']}/forget", body) == {"account": account, "id": new["id"]}
    assert kept(shop, account) == [("4242", True)]
    assert shop.v1.refused(f"{path}/{new['id']}/prefer", body) == (404, "payment_method_not_found")


def test_what_is_charged_is_changed_once_under_its_key_and_written_down(shop):
    account = shop.market.account()
    shop.v1.grant(account, "1")
    bought(shop, account, "bot/small")
    bought(shop, account, "bot/small", "5555555555554444")
    new, old = read(shop.v1, f"accounts/{account}/payment-methods", provider="stripe")["data"]
    path, body = f"accounts/{account}/payment-methods", {"provider": "stripe"}
    assert shop.v1.made(f"{path}/{old['id']}/prefer", body | {"dry_run": True})["dry_run"]
    assert shop.v1.made(f"{path}/{old['id']}/forget", body | {"dry_run": True})["dry_run"]
    assert kept(shop, account) == [("4444", True), ("4242", False)]
    first = shop.v1.made(f"{path}/{old['id']}/prefer", body, key=f"{account}-1")
    shop.v1.made(f"{path}/{new['id']}/prefer", body, key=f"{account}-2")
    assert shop.v1.made(f"{path}/{old['id']}/prefer", body, key=f"{account}-1") == first
    assert kept(shop, account) == [("4444", True), ("4242", False)], "he has said otherwise since"
    assert shop.v1.refused(f"{path}/{old['id']}/forget", body, key=f"{account}-1") == (409, "key_conflict")
    assert shop.v1.refused(f"{path}/{new['id']}/prefer", body, key=f"{account}-1") == (409, "key_conflict")
    assert shop.v1.refused(f"{path}/{new['id']}/prefer", body, key=None) == (400, "idempotency_key_missing")
    forgotten = shop.v1.made(f"{path}/{old['id']}/forget", body, key=f"{account}-3")
    assert shop.v1.made(f"{path}/{old['id']}/forget", body, key=f"{account}-3") == forgotten
    acts = [each for each in whole(shop.v1, "audit") if each["subject"] == account]
    assert [each["action"].removeprefix("payment_method.") for each in acts[:3]] == ["forget", "prefer", "prefer"]
    shop.v1.made(f"accounts/{account}/erase", {"reason": "asked for it"})
    left = shop.server.run(shop.server.ledger.database.rows("select detail from audit where subject = ?", (account,)))
    assert "4242" not in str(left)
    assert shop.v1.made(f"{path}/{old['id']}/prefer", body, key=f"{account}-1") == first | {
        "brand": None, "last4": None, "exp_month": None, "exp_year": None,
    }  # fmt: skip


def test_nobody_reaches_what_another_account_has_left(shop):
    one, other = shop.market.account(), shop.market.account()
    bought(shop, one, "bot/small")
    bought(shop, other, "bot/small")
    (theirs,) = read(shop.v1, f"accounts/{one}/payment-methods", provider="stripe")["data"]
    for act in ("prefer", "forget"):
        path = f"accounts/{other}/payment-methods/{theirs['id']}/{act}"
        assert shop.v1.refused(path, {"provider": "stripe"}) == (404, "payment_method_not_found")
    assert kept(shop, one) == [("4242", True)]


def test_a_customer_that_stripe_has_deleted_has_left_nothing(shop):
    account = shop.market.account()
    customer = bought(shop, account, "bot/small")["customer"]
    library.StripeClient(LIVE_KEY, base_addresses={"api": shop.pay.url}).v1.customers.delete(customer)
    assert kept(shop, account) == []


def test_digistore24_shows_nobody_what_was_paid_with(shop):
    shop.v1.grant("ann", "1")
    answer = ask(shop.v1, "accounts/ann/payment-methods", provider="digistore24")
    assert (answer.status, answer.json["code"]) == (400, "invalid")
    assert "Digistore24 does not show" in answer.raw.decode()
    assert told(ask(shop.v1, "accounts/ann/payment-methods")) == (400, "invalid")
    assert told(ask(shop.v1, "accounts/ann/payment-methods", provider="stripe,digistore24")) == (400, "invalid")


# The books


def test_the_books_are_compared_on_the_native_api_too(shop):
    shop.pay.post("habits", hold=True)
    account = shop.market.account()
    session = bought(shop, account, "bot/small")
    shop.market.pass_time(60)
    found = read(shop.v1, "payments/reconcile", provider="stripe", recent="true")
    assert not found["agrees"]
    assert found["found"]["missing_here"] == 1
    (difference,) = [each for each in found["findings"] if each["payment"] == session["payment_intent"]]
    assert (difference["kind"], difference["there"]) == ("missing_here", "2.00 EUR")
    shop.pay.post("habits", hold=False)
    shop.pay.post("events/release")
    done = read(shop.v1, "payments/reconcile", provider="stripe", recent="true")
    assert "missing_here" not in done["found"]
    assert done["totals"]["EUR"]["agree"]
    api = library.StripeClient(LIVE_KEY, base_addresses={"api": shop.pay.url}).v1
    api.payment_intents.create({"amount": 700, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True})
    done = read(shop.v1, "payments/reconcile", provider="stripe", recent="true")
    assert (done["others"], done["elsewhere"]) == (1, []), "it may be that of the other workspace"
    assert told(ask(shop.v1, "payments/reconcile")) == (400, "invalid")
    assert told(ask(shop.v1.with_key("read"), "payments/reconcile", provider="stripe")) == (403, "scope_missing")
    shop.pay.post("weather", mode="error", times=20)
    assert told(ask(shop.v1, "payments/reconcile", provider="stripe")) == (503, "provider_unavailable")
