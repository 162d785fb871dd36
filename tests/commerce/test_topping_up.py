"""Automatic top-ups at both stand-ins, over real HTTP: what is asked for, how often, and what follows."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
import stripe as library
from msgspec.structs import replace

from farthing.app import open_ledger
from farthing.commerce.charges import Charged
from farthing.commerce.digistore24 import client
from farthing.commerce.parts import Commerce, commerce_on
from farthing.commerce.topping_up import Looked, ToppingUp
from farthing.core.auto_top_up import AutoTopUp
from farthing.core.catalogue import Provider
from farthing.core.commands import Command, GiveGrant, SetAccount, TakeCharge
from farthing.core.records import Workspace
from farthing.core.top_up_attempts import Attempt, Standing
from farthing.core.top_ups import Step
from farthing.engine import Ids
from farthing.jobs.kind import Run
from farthing.jobs.top_ups import TopUpJob
from farthing.stores.jobs import Jobs
from farthing.stores.products import Products
from farthing.stores.top_ups import TopUps
from farthing.timezones import calendar
from tests.api.v1.client import told
from tests.api.v1.reading import whole
from tests.commerce.bazaar import BACK, Bazaar, bazaar
from tests.commerce.market import LIVE_KEY
from tests.support import MAIN, UNIT

BOTH: tuple[Provider, ...] = ("digistore24", "stripe")
ALWAYS_ASKS = "4000002760003184"
BELOW = 50
T = TypeVar("T")
_numbers = count(1)


class Killed(BaseException):
    """Stands in for a process that ends here."""


class Corner:
    """The bazaar, with who tops accounts up there."""

    def __init__(self, shop: Bazaar) -> None:
        self.shop, self.server, self.ledger = shop, shop.server, shop.server.ledger
        self.top_ups = TopUps(self.ledger.database, calendar, Ids())

    def commerce(self, work: Callable[[Commerce], Awaitable[T]]) -> T:
        """What comes of work with all that sells."""

        async def done() -> T:
            made = commerce_on(self.ledger.engine, self.ledger.database, self.ledger.reports, self.now_us)
            try:
                return await work(made)
            finally:
                await made.aclose()

        return self.server.run(done())

    # Accounts

    def account(self, provider: Provider, card: str = "4242424242424242", **settings: Any) -> str:
        """One that has bought 100 credits, may be charged again, and is to be topped up by 1,000 below 50."""
        account = f"top_{provider}_{next(_numbers)}"
        if provider == "stripe":
            body = {"account": account, "offer": "bot/small", "provider": "stripe", "keep_method": True}
            url = self.shop.v1.made("checkouts", body, key=None)["url"]
            self.shop.pay.post(f"checkouts/{url.rpartition('/')[2]}/pay", card=card)
            for debit in self.intents(account, "processing"):
                self.shop.pay.post(f"payments/{debit}/settle", well=True)
            self.shop.pay.post("events/send")
        else:
            order = {"product_id": "611", "amount": "2.00", "force_rebilling": True}
            self.shop.market.buy(account, **order)
        self.set(account, AutoTopUp(provider=provider, threshold=BELOW * UNIT, offer="bot/large"), **settings)
        return account

    def set(self, account: str, wanted: AutoTopUp | None, **change: Any) -> None:
        wanted = wanted and replace(wanted, **change)
        self.ask(SetAccount(workspace="main", account=account, auto_top_up=wanted))

    def ask(self, command: Command) -> None:
        assert self.server.run(self.ledger.engine.ask(command)).entry is not None

    def spend(self, account: str, credits: int = 60) -> None:
        self.ask(TakeCharge(workspace="main", account=account, amount=credits * UNIT, shortfall="debt"))

    def balance(self, account: str) -> int:
        return self.shop.market.balance(account)

    # Topping up

    def run(self) -> Run:
        """The job, once."""
        jobs, reports = Jobs(self.ledger.database), self.ledger.reports
        return self.commerce(lambda c: TopUpJob(jobs, reports, c.topping_up, self.now_us).run())

    def now_us(self) -> int:
        return self.server.clock.now_us()

    def look(self, account: str, workspace: Workspace = MAIN) -> Looked:
        found = self.commerce(lambda c: c.topping_up.look(workspace, account))
        assert found is not None
        return found

    def killed(self, account: str, *, asked: bool) -> None:
        """A process that looks at the account, and ends before the provider was asked, or once it was."""

        async def work(c: Commerce) -> None:
            class Dying:
                async def charge(self, *args: Any, **more: Any) -> Charged:
                    if asked:
                        await c.charging.charge(*args, **more)
                    raise Killed

            dying: Any = Dying()
            parts = (self.ledger.engine, self.ledger.reports, Products(self.ledger.database), c.top_ups, dying)
            with pytest.raises(Killed):
                await ToppingUp(*parts, self.now_us).look(MAIN, account)

        self.commerce(work)

    def later(self, **time: float) -> None:
        """Everywhere."""
        seconds = time.get("hours", 0) * 3_600 + time.get("minutes", 0) * 60
        self.shop.ds24.post("clock/advance", seconds=seconds)
        self.shop.pay.post("clock/advance", seconds=seconds)
        self.shop.market.pass_time(seconds)

    def count_in(self, unit: str) -> None:
        """As if the workspace had been made to count in that."""
        rename = "update workspace set unit = ? where id = 'main'"
        self.server.run(self.ledger.database.rows(rename, (unit,)))
        # Whoever has the workspace in mind reads it again.
        self.shop.market.set("stripe", success_url=BACK)

    # What came of it

    def standing(self, account: str) -> Standing:
        return self.server.run(self.top_ups.standing("main", account))

    def attempts(self, account: str) -> list[Attempt]:
        """The oldest first."""
        found = self.server.run(self.top_ups.attempts("main", account, limit=100)).items
        return list(reversed(found))

    def states(self, account: str) -> list[str]:
        return [each.state for each in self.attempts(account)]

    def told(self, account: str) -> list[str]:
        found = self.shop.market.told_of(account)
        return sorted(type.removeprefix("auto_top_up.") for type in found if type.startswith("auto_top_up."))

    def events(self, account: str, type: str) -> list[dict[str, Any]]:
        """What was told of an account, of a type."""
        page = self.server.run(self.shop.market.events.page("main", oldest_first=True, limit=10_000))
        return [event.data for event in page.items if (event.account, event.type) == (account, type)]

    def charged(self, account: str) -> int:
        """How often the provider got money without the buyer."""
        if "stripe" in account:
            return len(self.intents(account, "succeeded", charges=True))
        rows = self.server.run(
            self.ledger.database.rows("select id from checkout where workspace = 'main' and account = ?", (account,))
        )
        references = {row[0] for row in rows}
        orders = self.shop.ds24.get("state")["orders"].values()
        return sum(each["custom"] in references and each["status"] != "aborted" for each in orders)

    def intents(self, account: str, status: str, *, charges: bool = False) -> list[str]:
        """An account's payments at Stripe that stand so; only those without the buyer, or all."""
        found = self.shop.pay.get("state", kind="payment_intent")["data"]
        mine = [each for each in found if each["metadata"].get("farthing_account") == account]
        return [
            each["id"]
            for each in mine
            if each["status"] == status and ("farthing_charge" in each["metadata"] or not charges)
        ]

    def hold_back(self, provider: Provider, held: bool = True) -> None:
        """What the provider tells stays there for a while."""
        hand = self.shop.pay if provider == "stripe" else self.shop.ds24
        hand.post("habits", hold=held)
        if not held:
            hand.post("events/release" if provider == "stripe" else "messages/release")

    def lose_answers(self, provider: Provider) -> None:
        """The provider does what it is asked, and its answer is lost."""
        if provider == "stripe":
            weather = {"mode": "lost_answer", "path": "/v1/payment_intents"}
            assert httpx2.post(f"{self.shop.pay.url}/_fake/weather", json=weather).status_code == 200
        else:
            self.shop.ds24.post("weather", mode="lost_answer", function="createBillingOnDemand")

    def new_card(self, account: str, card: str) -> None:
        """The customer leaves another card at Stripe."""
        found = self.shop.pay.get("state", kind="customer")["data"]
        (customer,) = [each["id"] for each in found if each["metadata"].get("farthing_account") == account]
        headers = {"authorization": f"Bearer {LIVE_KEY}"}
        attach = f"{self.shop.pay.url}/v1/payment_methods/{card}/attach"
        assert httpx2.post(attach, data={"customer": customer}, headers=headers).status_code == 200


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corner]:
    with bazaar(tmp_path_factory.mktemp("bazaar")) as found:
        yield Corner(found)


@pytest.fixture
def corner(opened: Corner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Corner]:
    monkeypatch.setattr(library.HTTPClient, "INITIAL_DELAY", 0.01)
    monkeypatch.setattr(client, "FIRST_WAIT_SECONDS", 0.01)
    yield opened
    opened.shop.restore()
    # What one test has begun is nobody's work in the next.
    opened.shop.market.calm()
    opened.server.run(opened.ledger.database.rows("delete from job where kind = 'top_up'"))


@pytest.mark.parametrize("provider", BOTH)
def test_a_charge_that_falls_below_is_followed_by_one_payment_and_its_notification_credits(
    corner: Corner, provider: Provider
):
    account = corner.account(provider)
    assert corner.run().done == 0
    corner.hold_back(provider)
    corner.spend(account)
    assert corner.run().done == 1
    assert (corner.states(account), corner.balance(account)) == (["pending"], 40), "only a notification credits"
    corner.spend(account, 10)
    assert (corner.run().done, corner.look(account).why, corner.charged(account)) == (0, "in_flight", 1)
    corner.hold_back(provider, False)
    assert corner.balance(account) == 1030
    assert (corner.states(account), corner.standing(account), corner.told(account)) == (["done"], Standing(), ["done"])
    assert (corner.run().done, corner.look(account).why) == (0, "enough")


@pytest.mark.parametrize("provider", BOTH)
def test_a_gap_is_closed_in_one_payment(corner: Corner, provider: Provider):
    account = corner.account(provider)
    corner.spend(account, 1_100)
    corner.run()
    assert (corner.charged(account), corner.attempts(account)[0].quantity) == (1, 2)
    corner.shop.pay.post("events/send")
    corner.shop.ds24.post("messages/send")
    assert corner.balance(account) == 1_000
    assert corner.states(account) == ["done"]


@pytest.mark.parametrize("provider", BOTH)
def test_a_grant_that_came_meanwhile_is_enough(corner: Corner, provider: Provider):
    account = corner.account(provider)
    corner.spend(account)
    corner.ask(GiveGrant(workspace="main", account=account, amount=10 * UNIT))
    assert (corner.run().done, corner.attempts(account)) == (0, [])


@pytest.mark.parametrize("provider", BOTH)
def test_off_means_off_also_for_what_is_queued(corner: Corner, provider: Provider):
    account = corner.account(provider)
    corner.spend(account)
    corner.set(account, None)
    assert (corner.run().done, corner.attempts(account), corner.charged(account)) == (0, [], 0)
    frozen = corner.account(provider)
    corner.spend(frozen)
    corner.ask(SetAccount(workspace="main", account=frozen, frozen=True))
    assert (corner.run().done, corner.charged(frozen)) == (0, 0)
    corner.ask(SetAccount(workspace="main", account=frozen, frozen=False))
    assert corner.run().done == 1


@pytest.mark.parametrize("provider", BOTH)
def test_turned_off_in_mid_flight_what_was_asked_for_is_credited_and_nothing_follows(
    corner: Corner, provider: Provider
):
    account = corner.account(provider)
    corner.hold_back(provider)
    corner.spend(account)
    corner.run()
    corner.set(account, None)
    corner.spend(account, 2_000)
    corner.hold_back(provider, False)
    assert corner.balance(account) == 40 + 1_000 - 2_000
    assert (corner.run().done, corner.charged(account), corner.told(account)) == (0, 1, ["done"])


@pytest.mark.parametrize("provider", BOTH)
def test_an_answer_that_was_lost_after_it_charged_makes_no_second_charge(corner: Corner, provider: Provider):
    account = corner.account(provider)
    corner.hold_back(provider)
    corner.lose_answers(provider)
    corner.spend(account)
    corner.run()
    assert corner.standing(account).attempt
    corner.shop.restore()
    corner.hold_back(provider)
    corner.later(hours=1)
    corner.run()
    assert corner.states(account)[0] in ("asking", "pending")
    corner.hold_back(provider, False)
    assert (corner.balance(account), corner.charged(account)) == (1040, 1)
    assert (corner.states(account), corner.told(account)) == (["done"], ["done"])


@pytest.mark.parametrize("provider", BOTH)
@pytest.mark.parametrize("asked", [False, True])
def test_a_process_that_is_killed_is_followed_by_another_and_one_payment_is_made(
    corner: Corner, provider: Provider, asked: bool
):
    account = corner.account(provider)
    corner.hold_back(provider)
    corner.spend(account)
    corner.killed(account, asked=asked)
    assert (corner.states(account), corner.charged(account)) == (["asking"], int(asked))
    assert corner.look(account).why == "in_flight", "he may still be at it"
    corner.later(minutes=3)
    corner.run()
    assert (corner.states(account), corner.charged(account)) == (["pending"], 1)
    corner.hold_back(provider, False)
    assert (corner.balance(account), corner.states(account), corner.charged(account)) == (1040, ["done"], 1)


def test_who_was_held_up_after_he_had_put_it_down_leaves_the_asking_to_others(corner: Corner):
    account = corner.account("stripe")
    corner.spend(account)

    class Slow(TopUps):
        async def step(self, *args: Any) -> Step | None:
            step = await super().step(*args)
            corner.shop.market.pass_time(180)
            return step

    async def look(c: Commerce) -> Looked | None:
        slow = Slow(corner.ledger.database, calendar, Ids())
        parts = (corner.ledger.engine, corner.ledger.reports, Products(corner.ledger.database), slow, c.charging)
        return await ToppingUp(*parts, corner.now_us).look(MAIN, account)

    looked = corner.commerce(look)
    assert looked is not None
    assert (looked.asked, looked.why, corner.charged(account)) == (False, "in_flight", 0)
    assert (corner.run().done, corner.charged(account), len(corner.attempts(account))) == (1, 1, 1)


def test_switched_off_after_a_process_was_killed_nobody_asks_again(corner: Corner):
    account = corner.account("stripe")
    corner.spend(account)
    corner.killed(account, asked=False)
    corner.set(account, None)
    corner.later(minutes=3)
    corner.run()
    assert (corner.states(account), corner.charged(account)) == (["pending"], 0)


def test_declines_cool_down_and_pause_until_somebody_says_that_it_may_go_on(corner: Corner):
    account = corner.account("stripe")
    corner.new_card(account, "pm_card_chargeCustomerFail")
    corner.spend(account)
    corner.run()
    assert corner.run().done == 0, "it cools down"
    for hours in (1, 2):
        corner.later(hours=hours)
        assert corner.run().done == 1
    assert corner.states(account) == ["declined"] * 3
    assert corner.attempts(account)[0].reason == "generic_decline"
    assert corner.told(account) == ["failed", "failed", "failed", "paused"]
    corner.later(hours=100)
    assert (corner.run().done, corner.look(account).why) == (0, "paused")
    corner.new_card(account, "pm_card_visa")
    resumed = corner.shop.v1.made(f"accounts/{account}/auto-top-up/resume")
    assert resumed == {"account": account, "state": "ready"}
    assert corner.run().done == 1
    corner.shop.pay.post("events/send")
    assert corner.balance(account) == 1040


def test_a_decline_at_digistore24_has_an_address_and_who_pays_there_has_what_was_asked_for(corner: Corner):
    account = corner.account("digistore24")
    state = corner.shop.ds24.get("state")["orders"].values()
    (order,) = [each["id"] for each in state if each["custom"] == account]
    corner.shop.ds24.post(f"orders/{order}/card", behaviour="declined")
    corner.spend(account)
    corner.run()
    (attempt,) = corner.attempts(account)
    assert (attempt.state, attempt.url.startswith(corner.shop.ds24.url)) == ("declined", True)
    (failed,) = corner.events(account, "auto_top_up.failed")
    assert (failed["url"], failed["reason"], corner.standing(account).failures) == (attempt.url, "refused", 1)
    corner.shop.ds24.post(f"orders/{attempt.payment}/pay")
    assert (corner.balance(account), corner.states(account)) == (1040, ["done"])
    assert (corner.standing(account), corner.run().done) == (Standing(), 0)


def test_a_bank_that_asks_for_the_customer_pauses_at_once_with_a_link(corner: Corner):
    account = corner.account("stripe", ALWAYS_ASKS)
    corner.spend(account)
    corner.run()
    shown = corner.shop.v1.server.send(
        "GET", f"/v1/accounts/{account}/auto-top-up", None, {"X-API-Key": corner.shop.v1.api_key}
    ).json
    assert (shown["state"], shown["paused"]) == ("paused", "authentication_required")
    assert shown["url"].startswith(f"{corner.shop.pay.url}/checkout/")
    listed = whole(corner.shop.v1, "auto-top-ups/paused")
    (mine,) = [each for each in listed if each["account"] == account]
    assert (mine["paused"], mine["url"]) == ("authentication_required", shown["url"])
    assert corner.told(account) == ["paused"]
    assert corner.charged(account) == 0


@pytest.mark.parametrize("mode", ["offer", "amount"])
def test_who_pays_on_the_page_that_he_is_sent_to_has_all_of_it_and_ends_the_pause(corner: Corner, mode: str):
    account, workspace = corner.account("stripe", ALWAYS_ASKS), MAIN
    if mode == "amount":
        corner.count_in("EUR")
        corner.set(account, AutoTopUp(provider="stripe", threshold=BELOW * UNIT, amount=10 * UNIT))
        workspace = replace(MAIN, unit="EUR")
    try:
        corner.spend(account, 1_070 if mode == "offer" else 70)
        assert corner.look(account, workspace).standing.paused == "authentication_required"
        (paused,), url = corner.events(account, "auto_top_up.paused"), corner.standing(account).url
        assert (paused["cause"], paused["url"]) == ("authentication_required", url)
        session = corner.shop.pay.post(f"checkouts/{url.rpartition('/')[2]}/pay")
        assert session["amount_total"] == (2 * 1_500 if mode == "offer" else 2_000), "as much as was asked for"
        corner.shop.pay.post("events/send")
        assert corner.balance(account) == (1_030 if mode == "offer" else 50)
        assert (corner.states(account), corner.standing(account)) == (["done"], Standing())
        assert corner.told(account) == ["done", "paused"]
        corner.spend(account, 1_000)
        assert corner.look(account, workspace).asked
        assert corner.charged(account) == 1, "what he has left there is charged"
    finally:
        corner.count_in("credits")


def test_who_was_to_say_yes_while_a_process_died_is_sent_to_a_page_that_is_still_good(corner: Corner):
    account = corner.account("stripe", ALWAYS_ASKS)
    corner.spend(account)
    corner.killed(account, asked=True)
    corner.later(hours=25)
    corner.run()
    standing = corner.standing(account)
    assert (standing.paused, corner.told(account)) == ("authentication_required", ["paused"])
    corner.shop.pay.post(f"checkouts/{standing.url.rpartition('/')[2]}/pay")
    corner.shop.pay.post("events/send")
    assert (corner.balance(account), corner.states(account), corner.standing(account)) == (1040, ["done"], Standing())


def test_a_cap_counts_what_was_bought_this_day(corner: Corner):
    account = corner.account("stripe", cap_day=1_500 * UNIT)
    corner.spend(account)
    corner.run()
    corner.shop.pay.post("events/send")
    corner.spend(account, 1_000)
    assert (corner.run().done, corner.look(account).why, corner.told(account)) == (0, "cap_day", ["done", "failed"])
    corner.later(hours=24)
    assert corner.run().done == 1


@pytest.mark.parametrize("cap", ["cap_day", "cap_month"])
def test_caps_of_zero_buy_nothing_and_say_so_once(corner: Corner, cap: str):
    none: Any = {cap: 0}
    account = corner.account("stripe", **none)
    corner.spend(account)
    assert (corner.run().done, corner.look(account).why, corner.charged(account)) == (0, cap, 0)
    corner.later(hours=25)
    assert (corner.run().done, corner.told(account), corner.attempts(account)) == (0, ["failed"], [])


def test_a_cap_of_a_month_counts_all_its_days(corner: Corner):
    while datetime.fromtimestamp(corner.now_us() / 1e6, UTC).day > 20:
        corner.later(hours=24)  # so that all of it is in one month
    account = corner.account("stripe", cap_day=1_000 * UNIT, cap_month=2_000 * UNIT)
    bought = 0
    for _ in range(4):
        corner.spend(account, 1_000)
        bought += corner.run().done
        corner.shop.pay.post("events/send")
        corner.later(hours=24)
    assert (bought, corner.charged(account), corner.look(account).why) == (2, 2, "cap_month")


def test_two_payments_that_nobody_confirms_pause_and_the_late_ones_are_credited_and_heal(corner: Corner):
    account = corner.account("digistore24")
    corner.hold_back("digistore24")
    corner.spend(account)
    for _ in range(3):
        corner.run()
        corner.later(hours=24)
    corner.run()
    assert (corner.states(account), corner.charged(account)) == (["unconfirmed"] * 2, 2)
    assert corner.standing(account).paused == "unconfirmed"
    assert corner.told(account) == ["failed", "failed", "paused"]
    corner.hold_back("digistore24", False)
    assert (corner.balance(account), corner.standing(account), corner.states(account)) == (
        2040, Standing(), ["done"] * 2,
    )  # fmt: skip


def test_a_payment_that_nobody_told_of_is_found_at_stripe_and_credited_once(corner: Corner):
    account = corner.account("stripe")
    corner.hold_back("stripe")
    corner.spend(account)
    corner.killed(account, asked=True)
    # What was given back of it meanwhile was told by nobody, either.
    (paid,) = corner.intents(account, "succeeded", charges=True)
    corner.shop.pay.post(f"payments/{paid}/refund", amount=150)
    corner.later(hours=24)
    corner.run()
    assert (corner.states(account), corner.told(account)) == (["done"], ["done"])
    assert (corner.balance(account), corner.charged(account)) == (40 + 900, 1)
    corner.hold_back("stripe", False)
    assert (corner.balance(account), corner.run().done, corner.charged(account)) == (40 + 900, 0, 1)


def test_a_debit_that_failed_after_days_is_found_out(corner: Corner):
    account = corner.account("stripe", "AT611904300234573201")
    corner.spend(account)
    assert corner.run().done == 1
    assert (corner.states(account), corner.attempts(account)[0].reason) == (["pending"], "processing")
    corner.hold_back("stripe")
    (payment,) = corner.intents(account, "processing")
    corner.shop.pay.post(f"payments/{payment}/settle", well=False)
    corner.later(hours=24)
    corner.run()
    assert (corner.states(account), corner.told(account)) == (["declined"], ["failed"])
    assert corner.intents(account, "canceled") == [payment], "nobody can pay it any more"


def test_another_card_after_an_answer_was_lost_makes_no_second_charge(corner: Corner):
    account = corner.account("stripe")
    corner.hold_back("stripe")
    corner.lose_answers("stripe")
    corner.spend(account)
    corner.run()
    corner.shop.restore()
    corner.hold_back("stripe")
    corner.new_card(account, "pm_card_mastercard")
    corner.later(hours=1)
    corner.run()
    (attempt,) = corner.attempts(account)
    assert (attempt.state, attempt.payment[:3], corner.charged(account)) == ("pending", "pi_", 1)
    corner.hold_back("stripe", False)
    assert (corner.balance(account), corner.states(account), corner.charged(account)) == (1040, ["done"], 1)


def test_a_payment_that_waits_for_a_person_pauses_until_it_is_assigned(corner: Corner):
    account = corner.account("stripe")
    corner.hold_back("stripe")
    corner.spend(account)
    corner.run()
    product = corner.shop.product()
    dearer = tuple(replace(each, price="99.00") if each.id == "large" else each for each in product.top_ups)
    corner.shop.put(replace(product, top_ups=dearer))
    corner.hold_back("stripe", False)
    assert (corner.balance(account), corner.standing(account).paused) == (40, "payment_waiting")
    corner.shop.put(product)
    payment = corner.attempts(account)[0].payment
    corner.shop.v1.made(f"payments/stripe/{payment}/assign", {"account": account})
    assert (corner.balance(account), corner.standing(account)) == (1040, Standing())


def test_money_is_bought_for_money_where_that_is_what_the_workspace_counts(corner: Corner):
    account = corner.account("stripe")
    corner.count_in("EUR")
    try:
        corner.set(account, AutoTopUp(provider="stripe", threshold=BELOW * UNIT, amount=10 * UNIT))
        corner.spend(account, 70)
        assert corner.look(account, replace(MAIN, unit="EUR")).asked
        corner.shop.pay.post("events/send")
        assert (corner.balance(account), corner.attempts(account)[0].price) == (50, "20.00")
        assert corner.states(account) == ["done"]
    finally:
        corner.count_in("credits")


def test_who_is_erased_is_not_charged_by_himself_any_more(corner: Corner):
    account = corner.account("stripe", ALWAYS_ASKS)
    corner.spend(account)
    corner.run()
    assert corner.attempts(account)[0].url
    corner.shop.v1.made(f"accounts/{account}/erase", {"reason": "asked for it"})
    assert not corner.attempts(account)[0].url + corner.attempts(account)[0].message + corner.standing(account).url
    charges = corner.ledger.database.rows("select document from billing where account = ?", (account,))
    (document,) = corner.server.run(charges)
    assert "authentication_required" in document[0]
    assert "url" not in document[0]
    assert "message" not in document[0]
    assert corner.look(account).why == "off"


def test_an_erasing_that_is_refused_or_was_done_before_switches_nothing_off(corner: Corner):
    account, v1 = corner.account("stripe"), corner.shop.v1

    def is_on() -> bool:
        found = corner.server.run(corner.ledger.reports.account("main", account, corner.now_us()))
        return found is not None and found.settings.auto_top_up is not None

    path, body = f"accounts/{account}/erase", {"reason": "asked for it"}
    assert v1.made(path, body | {"dry_run": True})["dry_run"]
    v1.made(f"accounts/{corner.account('stripe')}/erase", body, key=f"{account}-other")
    assert v1.refused(path, body, key=f"{account}-other") == (409, "key_conflict")
    assert is_on()
    v1.made(path, body, key=f"{account}-erase")
    assert not is_on()
    corner.set(account, AutoTopUp(provider="stripe", threshold=UNIT, offer="bot/large"))
    v1.made(path, body, key=f"{account}-erase")
    assert is_on(), "that was told before he was a customer again"


def test_the_calls_of_the_api_agree_with_one_another(corner: Corner):
    v1, account = corner.shop.v1, corner.account("stripe")
    path = f"/v1/accounts/{account}/auto-top-up"

    def send(method: str, where: str = "", body: bytes | None = None, key: str = "") -> Any:
        fields = {"X-API-Key": v1.api_key} | ({"Idempotency-Key": key} if key else {})
        return corner.server.send(method, path + where, body, fields)

    good = b'{"provider":"stripe","threshold":"50","offer":"bot/large","cap_month":"5000"}'
    put = send("PUT", body=good, key=f"{account}-1")
    assert put.status == 200
    assert send("PUT", body=good, key=f"{account}-1").headers["idempotent-replayed"] == "true"
    assert send("GET").json["settings"] == put.json["auto_top_up"]
    for body, pointer in (
        (b'{"provider":"stripe","threshold":"50"}', "/offer"),
        (b'{"provider":"stripe","threshold":"50","offer":"bot/elsewhere"}', "/offer"),
        (b'{"provider":"digistore24","threshold":"50","offer":"bot/elsewhere"}', "/offer"),
        (b'{"provider":"digistore24","threshold":"50","amount":"5"}', "/amount"),
        (b'{"provider":"paypal","threshold":"50","offer":"bot/large"}', "/provider"),
        (b'{"provider":"stripe","threshold":"-1","offer":"bot/large"}', "/threshold"),
    ):
        answer = send("PUT", body=body, key=f"{account}-{pointer}-{len(body)}")
        assert (told(answer)[1], [e["pointer"] for e in answer.json["errors"]]) == ("invalid", [pointer]), body
    for offer in (b"bot/nothing", b"bot/pro"):
        nothing = send("PUT", body=good.replace(b"bot/large", offer), key=f"{account}-{offer.decode()}")
        assert told(nothing) == (404, "offer_not_found")
    corner.hold_back("stripe")
    corner.spend(account)
    checked = send("POST", "/check", b"{}").json
    assert (checked["asked"], checked["state"], checked["attempt"]["state"]) == (True, "in_flight", "pending")
    assert send("GET", "/attempts").json["data"] == [checked["attempt"]]
    again = send("POST", "/check", b"{}").json
    assert (again["asked"], again["reason"]) == (False, "in_flight")
    assert send("DELETE", key=f"{account}-2").json["auto_top_up"] is None
    assert send("GET").json["settings"] is None
    nobody = corner.server.send("GET", "/v1/accounts/nobody/auto-top-up", None, {"X-API-Key": v1.api_key})
    assert told(nobody) == (404, "account_not_found")


# Two processes


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_64_charges_across_the_threshold_on_two_engines_make_one_payment(
    tmp_path: Path, request: pytest.FixtureRequest, database: str
):
    postgres = database == "postgres"
    url = request.getfixturevalue("postgres_url") if postgres else f"sqlite:///{tmp_path / 'both.db'}"
    with bazaar(tmp_path, url) as shop:
        corner = Corner(shop)
        account = corner.account("stripe")

        async def storm() -> list[Run]:
            there = open_ledger(
                url, clock=shop.server.clock, inline_on=asyncio.get_running_loop(), reader=True
            )  # fmt: skip
            ledgers = (corner.ledger, there)
            made = [commerce_on(each.engine, each.database, each.reports, corner.now_us) for each in ledgers]
            jobs = [
                TopUpJob(Jobs(each.database), each.reports, commerce.topping_up, corner.now_us)
                for each, commerce in zip(ledgers, made, strict=True)
            ]
            charges = [
                ledgers[n % 2].engine.ask(TakeCharge(workspace="main", account=account, amount=UNIT)) for n in range(64)
            ]
            # Both look while the charges are made, and both again after.
            runs = [*(job.run() for job in jobs), *(each.topping_up.look(MAIN, account) for each in made)]
            await asyncio.gather(*charges, *runs)
            told = await asyncio.gather(*(job.run() for job in jobs))
            for commerce in made:
                await commerce.aclose()
            await there.aclose()
            return told

        shop.server.run(storm())
        shop.pay.post("events/send")
        assert (corner.charged(account), corner.states(account)) == (1, ["done"])
        assert corner.balance(account) == 100 - 64 + 1_000
