"""Charges without the buyer, at both stand-ins: what is told of them, and that only notifications credit them."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import stripe as library
from msgspec.structs import replace

from farthing.commerce import charging
from farthing.commerce.charges import Charged
from farthing.commerce.digistore24 import client
from farthing.commerce.parts import commerce_on
from farthing.core.catalogue import Provider
from farthing.stores.acts import AccessError
from tests.commerce.bazaar import Bazaar, bazaar
from tests.commerce.market import LIVE_KEY
from tests.support import MAIN

ALWAYS_ASKS = "4000002760003184"
HOUR_US = 3_600_000_000


class KilledError(Exception):
    """The process has ended."""


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
    assert httpx2.post(attach, data={"customer": customer["id"]}, headers=headers, timeout=60).status_code == 200
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
        assert httpx2.post(f"{shop.pay.url}/_fake/weather", json=weather, timeout=60).status_code == 200
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


def test_a_payment_whose_answer_was_lost_is_known_by_its_key_for_good(shop: Bazaar, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(library.HTTPClient, "INITIAL_DELAY", 0.01)
    with_card(shop, "fred")
    weather = {"mode": "lost_answer", "path": "/v1/payment_intents"}
    assert httpx2.post(f"{shop.pay.url}/_fake/weather", json=weather, timeout=60).status_code == 200
    assert charge(shop, "fred", "stripe").reason == "unknown"
    shop.pay.post("weather", mode="fine")
    shop.pay.post("events/send")
    assert shop.market.balance("fred") == 1100
    # Stripe forgets keys after a day, and what was sold may be on sale no more.
    shop.market.pass_time(25 * 3_600)
    assert charge(shop, "fred", "stripe").state == "succeeded"
    shop.put(replace(shop.sold, top_ups=shop.sold.top_ups[:1]))
    try:
        assert charge(shop, "fred", "stripe").state == "succeeded"
        assert charge(shop, "fred", "stripe", key="2").reason == "offer_not_found"
    finally:
        shop.put(shop.sold)
        shop.market.calm()


@pytest.mark.parametrize("begun", [False, True])
def test_a_charge_that_was_cut_off_is_found_out_at_stripe_once_its_key_may_be_forgotten(
    shop: Bazaar, monkeypatch: pytest.MonkeyPatch, begun: bool
):
    account = f"cut off {begun}"
    with_card(shop, account)
    shop.pay.post("habits", hold=True)
    ask = charging._CHARGE["stripe"]

    async def killed(tools: Any, wanted: Any) -> Charged:
        if begun:
            await ask(tools, wanted)
        raise KilledError

    monkeypatch.setitem(charging._CHARGE, "stripe", killed)
    for _ in range(2):  # the second comes under the same key, which Stripe knows
        with pytest.raises(KilledError):
            charge(shop, account, "stripe")
    monkeypatch.undo()
    later(shop, hours=24)
    shop.pay.post("weather", mode="error")
    assert charge(shop, account, "stripe").reason == "unknown"
    shop.pay.post("weather", mode="fine")
    found = charge(shop, account, "stripe")
    if begun:
        assert (found.state, found.payment[:3], shop.market.balance(account)) == ("succeeded", "pi_", 1100)
    else:
        assert (found.state, found.reason, found.again) == ("failed", "not_begun", True)
    done = charge(shop, account, "stripe")
    assert (done.state, done.payment[:3]) == ("succeeded", "pi_")
    shop.market.calm()
    assert (shop.market.balance(account), payments(shop, account)) == (1100, 1)


def test_whose_customer_is_forgotten_at_stripe_is_not_told_that_nothing_was_begun(
    shop: Bazaar, monkeypatch: pytest.MonkeyPatch
):
    """It is among the payments of that customer that a charge is looked for."""
    with_card(shop, "moved")
    shop.pay.post("habits", hold=True)
    ask = charging._CHARGE["stripe"]

    async def killed(tools: Any, wanted: Any) -> Charged:
        await ask(tools, wanted)
        raise KilledError

    with monkeypatch.context() as ends:
        ends.setitem(charging._CHARGE, "stripe", killed)
        with pytest.raises(KilledError):
            charge(shop, "moved", "stripe")
    db = shop.server.ledger.database
    shop.server.run(db.rows("delete from customer where account = 'moved'"))
    later(shop, hours=24)
    assert charge(shop, "moved", "stripe").reason == "unknown"
    other = "insert into customer values ('main', 'stripe', 'moved', 'cus_other', ?)"
    shop.server.run(db.rows(other, (shop.server.clock.now_us(),)))
    assert charge(shop, "moved", "stripe").reason == "unknown"
    shop.market.calm()
    assert charge(shop, "moved", "stripe").state == "succeeded"
    assert payments(shop, "moved") == 1


def test_what_was_asked_for_once_more_is_not_taken_for_never_begun(shop: Bazaar, monkeypatch: pytest.MonkeyPatch):
    with_card(shop, "two days")
    shop.pay.post("habits", hold=True)
    ask = charging._CHARGE["stripe"]

    async def killed(tools: Any, wanted: Any) -> Charged:
        if shop.server.clock.now_us() > began + 24 * HOUR_US:
            await ask(tools, wanted)
        raise KilledError

    began = shop.server.clock.now_us()
    monkeypatch.setitem(charging._CHARGE, "stripe", killed)
    with pytest.raises(KilledError):
        charge(shop, "two days", "stripe")
    later(shop, hours=30)
    assert charge(shop, "two days", "stripe").reason == "not_begun"
    with pytest.raises(KilledError):
        charge(shop, "two days", "stripe")
    assert charge(shop, "two days", "stripe").reason == "unknown", "he may still be at it"
    monkeypatch.undo()
    later(shop, hours=24)
    assert charge(shop, "two days", "stripe").state == "succeeded"
    shop.market.calm()
    assert (shop.market.balance("two days"), payments(shop, "two days")) == (1100, 1)


def later(shop: Bazaar, *, hours: int) -> None:
    """Here, and at Stripe."""
    shop.market.pass_time(hours * 3_600)
    shop.pay.post("clock/advance", seconds=hours * 3_600)


def payments(shop: Bazaar, account: str) -> int:
    """How often Stripe got money without the buyer."""
    found = shop.pay.get("state", kind="payment_intent")["data"]
    mine = [each for each in found if each["status"] == "succeeded" and owner(each) == account]
    return sum("farthing_charge" in each["metadata"] for each in mine)


def test_an_amount_that_stripe_has_no_coins_for_is_not_asked_for(shop: Bazaar):
    with_card(shop, "gerd")
    odd = tuple(replace(each, price="15.001") if each.id == "large" else each for each in shop.sold.top_ups)
    shop.put(replace(shop.sold, top_ups=odd))
    try:
        told = charge(shop, "gerd", "stripe")
    finally:
        shop.put(shop.sold)
    assert (told.state, told.reason, told.undone) == ("failed", "invalid_amount", True)
    assert charge(shop, "gerd", "stripe").state == "succeeded", "nothing was begun under its key"


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


def test_the_order_that_is_charged_again_is_one_that_can_be(shop: Bazaar):
    order = with_order(shop, "gil")
    assert charge(shop, "gil", "digistore24").state == "succeeded"
    shop.ds24.post("messages/send")
    shop.ds24.post("clock/advance", seconds=61)
    # A charge is an order itself, and so is what was bought meanwhile without leaving anything to charge.
    with_order(shop, "gil", force_rebilling=False)
    told = charge(shop, "gil", "digistore24", key="2")
    assert (told.state, told.reason) == ("succeeded", "")
    assert len(shop.ds24.get(f"orders/{order}")["billed_at"]) == 2
    shop.ds24.post("messages/send")
    assert shop.market.balance("gil") == 100 + 1000 + 100 + 1000


def test_an_order_that_can_not_be_charged_again_fails_for_good(shop: Bazaar):
    with_order(shop, "gus", force_rebilling=False)
    told = charge(shop, "gus", "digistore24")
    assert (told.state, told.reason, told.again) == ("failed", "refused", False)


def test_an_order_of_another_account_is_not_charged(shop: Bazaar):
    theirs = with_order(shop, "victim")
    before = asked(shop)
    told = charge(shop, "thief", "digistore24", order=theirs)
    assert (told.state, told.reason, asked(shop)) == ("failed", "order_of_another", before)
    body = {"account": "thief", "offer": "bot/large", "provider": "digistore24", "order": theirs}
    assert shop.v1.made("purchases", body)["reason"] == "order_of_another"
    assert charge(shop, "victim", "digistore24", order=theirs).state == "succeeded"


def asked(shop: Bazaar) -> int:
    """How many orders the stand-in has: each charge is one."""
    return len(shop.ds24.get("books")["orders"])


def test_a_charge_without_an_answer_is_pending_and_is_never_asked_for_again(
    shop: Bazaar, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    with_order(shop, "hal")
    shop.ds24.post("habits", hold=True)
    shop.ds24.post("weather", mode="lost_answer", function="createBillingOnDemand")
    told = charge(shop, "hal", "digistore24")
    assert (told.state, told.reason) == ("pending", "unknown")
    shop.ds24.post("weather", mode="fine")
    before = asked(shop)
    shop.ds24.post("clock/advance", seconds=61)
    again = charge(shop, "hal", "digistore24")
    assert (again.state, again.reason, asked(shop)) == ("pending", "unknown", before)
    shop.ds24.post("messages/release")
    assert shop.market.balance("hal") == 1100, "it was carried out, once, and told of"
    done = charge(shop, "hal", "digistore24")
    assert (done.state, done.reason, asked(shop)) == ("succeeded", "", before)
    assert done.payment in shop.ds24.get("books")["orders"]


def test_a_charge_that_was_cut_off_before_anybody_answered_is_not_asked_for_again(
    shop: Bazaar, monkeypatch: pytest.MonkeyPatch
):
    with_order(shop, "ida")

    async def killed(*_: Any) -> Charged:
        raise KilledError

    monkeypatch.setitem(charging._CHARGE, "digistore24", killed)
    with pytest.raises(KilledError):
        charge(shop, "ida", "digistore24")
    monkeypatch.undo()
    before = asked(shop)
    told = charge(shop, "ida", "digistore24")
    assert (told.state, told.reason, asked(shop)) == ("pending", "unknown", before)
    assert charge(shop, "ida", "digistore24", key="2").state == "succeeded"


def test_many_at_once_under_one_key_ask_once(shop: Bazaar):
    with_order(shop, "jon")
    before, ledger = asked(shop), shop.server.ledger

    async def work() -> list[Charged]:
        commerce = commerce_on(ledger.engine, ledger.database, ledger.reports, shop.server.clock.now_us)
        try:
            ask = [commerce.charging.charge(MAIN, "jon", "bot/large", "digistore24", "jon-1") for _ in range(12)]
            return list(await asyncio.gather(*ask))
        finally:
            await commerce.aclose()

    told = Counter(each.state for each in shop.server.run(work()))
    assert asked(shop) == before + 1
    assert told.keys() <= {"succeeded", "pending"}
    shop.ds24.post("messages/send")
    assert charge(shop, "jon", "digistore24").state == "succeeded"
    assert shop.market.balance("jon") == 1100


def test_a_charge_that_was_not_begun_may_be_asked_for_again_under_its_key(shop: Bazaar):
    with_order(shop, "kim")
    shop.ds24.post("weather", mode="rate_limited", function="createBillingOnDemand")
    assert charge(shop, "kim", "digistore24").again
    shop.ds24.post("weather", mode="fine")
    assert charge(shop, "kim", "digistore24").state == "succeeded"
    before = asked(shop)
    assert charge(shop, "kim", "digistore24").state == "succeeded"
    shop.ds24.post("messages/send")
    assert (asked(shop), shop.market.balance("kim")) == (before, 1100)


def test_a_key_is_for_one_charge(shop: Bazaar):
    with_order(shop, "lea")
    assert charge(shop, "lea", "digistore24").state == "succeeded"
    with pytest.raises(AccessError, match="offer") as wrong:
        charge(shop, "lea", "digistore24", offer="bot/small")
    assert (wrong.value.code, wrong.value.differs) == ("key_conflict", ("offer",))


def test_what_was_declined_stays_so_until_the_buyer_pays_himself(shop: Bazaar):
    order = with_order(shop, "max")
    shop.ds24.post(f"orders/{order}/card", behaviour="declined")
    told = charge(shop, "max", "digistore24")
    shop.ds24.post(f"orders/{order}/card", behaviour="ok")
    assert charge(shop, "max", "digistore24") == told
    shop.ds24.post(f"orders/{told.payment}/pay")
    assert charge(shop, "max", "digistore24").state == "succeeded"
    assert shop.market.balance("max") == 1100


# The API


def test_a_top_up_is_bought_without_the_buyer_once_under_its_key(shop: Bazaar):
    order = with_order(shop, "ned")
    body = {"account": "ned", "offer": "bot/large", "provider": "digistore24"}
    first = shop.v1.made("purchases", body, key="ned's")
    assert (first["state"], first["url"], first["reason"], first["again"]) == ("succeeded", None, None, False)
    assert shop.v1.made("purchases", body, key="ned's") == first
    shop.ds24.post("messages/send")
    assert shop.market.balance("ned") == 1100
    assert shop.v1.refused("purchases", body | {"order": order}, key="ned's") == (409, "key_conflict")
    assert shop.v1.refused("purchases", body, key=None) == (400, "idempotency_key_missing")
    assert shop.v1.refused("purchases", body | {"offer": "bot/pro"}) == (404, "offer_not_found")
    assert shop.v1.refused("purchases", body | {"provider": None}) == (400, "invalid")
    nobody = shop.v1.made("purchases", body | {"account": "nobody"})
    assert (nobody["state"], nobody["reason"], nobody["payment"]) == ("failed", "no_order", None)
    shop.ds24.post("weather", mode="rate_limited", function="createBillingOnDemand")
    limited = shop.v1.made("purchases", body)
    assert (limited["state"], limited["reason"], limited["again"]) == ("failed", "provider_rate_limited", True)


def test_a_charge_that_waits_for_its_buyer_has_an_address(shop: Bazaar):
    with_card(shop, "ora", ALWAYS_ASKS)
    told = shop.v1.made("purchases", {"account": "ora", "offer": "bot/large", "provider": "stripe"})
    assert told["state"] == "authentication_required"
    assert told["url"].startswith(shop.pay.url)
