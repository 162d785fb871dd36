"""Facts carried out on a real ledger, on both databases: credited once, taken back once, in whatever order."""

import random
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from farthing.commerce.fulfilling import Fulfilling
from farthing.core import clawbacks
from farthing.core.commands import GiveGrant, TakeCharge
from farthing.core.events import write_time
from farthing.core.facts import AnyFact, Canceled, Ended, Missed, Resumed
from farthing.stores.access import Act
from farthing.stores.contract import Unavailable
from farthing.stores.events import Events
from farthing.stores.plans import Plans
from farthing.stores.products import Products
from tests.commerce.shop import WORKSPACE, WRITER, Shop, closed, disputed, paid, refunded
from tests.jobs.subscribers import play
from tests.subscribing import DAY
from tests.support import START_US, UNIT


def story(work: Callable[[Shop], Awaitable[None]]) -> Callable[[Shop], None]:
    """Make a test of a story that is played on a shop; doctor looks at its books when it ends."""

    def test(shop: Shop) -> None:
        async def begun(shop: Any) -> None:
            await shop.begin_selling()
            await work(shop)

        play(shop, begun)

    test.__doc__, test.__name__ = work.__doc__, work.__name__
    return test


@story
async def test_a_payment_that_is_told_many_times_at_once_is_credited_once(shop):
    told = await shop.tell_all(*[paid()] * 12)
    assert {each.told for each in told} == {"credited to alice"}
    assert await shop.balance("alice") == 1000
    assert (await shop.receipt()).credits == 1000 * UNIT
    assert len(await shop.entries("alice", "grant")) == 1


@story
async def test_credits_that_were_added_by_hand_for_a_payment_are_not_given_again(shop):
    entry = await shop.accept(
        GiveGrant(workspace="main", account="alice", amount=5 * UNIT, claim=("digistore24", "T1"))
    )
    assert (await shop.tell(paid())).told == "credited to alice"
    assert await shop.balance("alice") == 5
    receipt = await shop.receipt()
    assert (receipt.credits, receipt.entry) == (5 * UNIT, entry.id)


@story
async def test_a_payment_that_was_credited_to_another_account_waits_for_a_person(shop):
    await shop.accept(GiveGrant(workspace="main", account="bob", amount=5 * UNIT, claim=("digistore24", "T1")))
    assert (await shop.tell(paid())).told == "waits: refused"
    assert (await shop.receipt()).facts == "payment_claimed"
    assert await shop.ledger.reports.account("main", "alice", START_US) is None


@story
async def test_what_was_in_the_ledger_before_a_crash_is_found_by_its_claim(shop):
    keep, calls = shop.purchases.keep, []

    async def cut_off(*args, **named):
        calls.append(args)
        if len(calls) == 2:
            raise Unavailable("the database went away")
        await keep(*args, **named)

    shop.purchases.keep = cut_off
    with pytest.raises(Unavailable):
        await shop.tell(paid())
    shop.purchases.keep = keep
    assert (await shop.receipt()).state == "waiting"
    assert await shop.balance("alice") == 1000
    # Meanwhile somebody gives the top-up another size: what was credited is what counts.
    bigger = replace(WRITER, top_ups=(replace(WRITER.top_ups[0], credits=7777 * UNIT),))
    await Products(shop.ledger.database).put("main", bigger, Act("test", START_US))
    assert (await shop.tell(paid())).told == "credited to alice"
    assert await shop.balance("alice") == 1000
    assert (await shop.receipt()).credits == 1000 * UNIT


@story
async def test_a_refund_takes_what_is_there_and_owes_what_was_spent(shop):
    await shop.tell(paid())
    await shop.accept(TakeCharge(workspace="main", account="alice", amount=300 * UNIT))
    await shop.tell_all(*[refunded(refund="R1", amount="4")] * 5)
    assert await shop.balance("alice") == 300
    await shop.tell_all(refunded(refund="R1", amount="4"), refunded(refund="R2", amount="6"))
    assert await shop.balance("alice") == -300
    assert len(await shop.entries("alice", "clawback")) == 2


@story
async def test_a_refund_before_its_payment_leaves_nothing_to_credit(shop):
    await shop.tell(refunded())
    assert (await shop.tell(paid())).told == "waits: not_paid"
    assert await shop.ledger.reports.account("main", "alice", START_US) is None


@story
async def test_money_that_goes_back_when_its_grant_is_archived_takes_nothing_and_is_done(shop):
    await shop.tell(paid())
    with pytest.MonkeyPatch.context() as years_later:
        years_later.setattr(clawbacks, "is_archived", lambda *_: True)
        await shop.tell(disputed())
        assert (await shop.tell(closed(won=False))).told == "credited to alice"
        await shop.tell(refunded(refund="R1", amount="10"))
    assert await shop.balance("alice") == 1000
    assert (await shop.receipt()).facts == "grant_archived"


@story
async def test_a_dispute_pins_what_is_left_and_its_end_decides(shop):
    await shop.tell(paid())
    await shop.accept(TakeCharge(workspace="main", account="alice", amount=300 * UNIT))
    await shop.tell_all(*[disputed()] * 4)
    account = await shop.ledger.reports.account("main", "alice", START_US)
    assert (account.balance, account.held, account.holds) == (700 * UNIT, 700 * UNIT, 1)
    await shop.tell_all(*[closed(won=True)] * 4)
    account = await shop.ledger.reports.account("main", "alice", START_US)
    assert (account.balance, account.held, account.holds) == (700 * UNIT, 0, 0)
    await shop.tell(closed(won=False))
    assert await shop.balance("alice") == -300


@story
async def test_an_order_that_nobody_knows_the_account_of_waits_until_somebody_does(shop):
    assert (await shop.tell(paid(account=""))).told == "waits: no_account"
    assert (await shop.tell(paid(account="", payment="T2"))).told == "waits: no_account"
    order = await shop.fulfilling.claim_order(WORKSPACE, "digistore24", "O1", "bob", "admin")
    assert order.account == "bob"
    assert await shop.balance("bob") == 2000
    again = await shop.fulfilling.claim_order(WORKSPACE, "digistore24", "O1", "mallory", "admin")
    assert again.account == "bob"
    assert (await shop.tell(paid(account="mallory", payment="T3"))).receipt.account == "bob"
    assert await shop.fulfilling.claim_order(WORKSPACE, "digistore24", "O9", "bob", "admin") is None


@story
async def test_a_later_payment_that_says_whose_its_order_is_says_it_of_the_earlier_ones(shop):
    for n in (1, 2):
        assert (await shop.tell(tier(f"T{n}", account="", renewal=n > 1))).told == "waits: no_account"
    after = tier("T9", order="O2", account="", came_of="O1")
    assert (await shop.tell(after)).told == "waits: no_account"
    third = tier("T3", renewal=True)
    with pytest.MonkeyPatch.context() as ends:
        ends.setattr(Fulfilling, "_claimed", killed)
        with pytest.raises(KilledError):
            await shop.tell(third)
    await shop.tell_all(third, third)
    assert {(await shop.receipt(f"T{n}")).state for n in (1, 2, 3, 9)} == {"credited"}
    assert (await shop.of("alice")).next_at >= START_US + 30 * DAY
    assert await shop.balance("alice") == 4 * 2000
    assert (await shop.purchases.order("main", "digistore24", "O2")).order.account == "alice"


class KilledError(Exception):
    """The process has ended."""


async def killed(*_: object) -> None:
    raise KilledError


@story
async def test_a_person_says_what_a_payment_was_for(shop):
    assert (await shop.tell(paid(product="999", account=""))).told == "waits: unknown_product"
    done = await shop.fulfilling.assign(WORKSPACE, "digistore24", "T1", "bob", "writer/1000", "admin")
    assert done.told == "credited to bob"
    assert await shop.balance("bob") == 1000
    again = await shop.fulfilling.assign(WORKSPACE, "digistore24", "T1", "mallory", "writer/1000", "admin")
    assert again.told == "credited to bob"
    assert (await shop.entries("bob", "grant"))[0].actor == "admin"
    assert await shop.fulfilling.assign(WORKSPACE, "digistore24", "T9", "bob", "writer/1000", "admin") is None


# Tiers


def tier(payment: str = "T1", product: str = "102", **more: Any) -> AnyFact:
    return paid(payment=payment, product=product, amount="20", **more)


@story
async def test_each_payment_of_a_subscription_gives_a_period_once_however_they_come(shop):
    # The second and third come before the first, and all of them twice.
    facts = [tier(f"T{n}", renewal=n > 1) for n in (2, 3, 1, 3, 1, 2)]
    await shop.tell_all(*facts)
    assert await shop.balance("alice") == 6000
    s = await shop.of("alice")
    assert (s.plan, s.billed_by, s.next_at) == ("pro", "digistore24", START_US + 90 * DAY)
    assert {(await shop.receipt(f"T{n}")).credits for n in (1, 2, 3)} == {2000 * UNIT}


@story
async def test_an_order_that_an_upgrade_took_the_place_of_ends_without_the_subscription(shop):
    await shop.tell(tier("T1", "101"))
    await shop.tell(tier("T2", "102", order="O2", replaces="O1"))
    await shop.tell(Ended(provider="digistore24", at=START_US, order="O1"))
    s = await shop.of("alice")
    assert (s.plan, s.ended_at) == ("pro", None)
    await shop.tell(tier("T3", "102", order="O2", renewal=True))
    assert await shop.balance("alice") == 100 + 4000
    await shop.tell(Ended(provider="digistore24", at=START_US, order="O2"))
    assert (await shop.of("alice")).ended_at is not None


@story
async def test_an_order_whose_place_another_accounts_took_still_ends_its_own_subscription(shop):
    await shop.tell(tier("T1", "101"))
    await shop.tell(tier("T2", "102", order="O2", replaces="O1", came_of="O1", account="bob"))
    assert [await shop.balance(each) for each in ("alice", "bob")] == [100, 2000]
    await shop.tell(Ended(provider="digistore24", at=START_US, order="O1"))
    assert (await shop.of("alice")).ended_at is not None
    assert (await shop.of("bob")).ended_at is None


@story
async def test_a_cancellation_ends_with_what_is_paid_and_can_be_taken_back(shop):
    await shop.tell(tier(paid_until=START_US + 30 * DAY))
    await shop.tell(Canceled(provider="digistore24", at=START_US + 1, order="O1"))
    assert (await shop.of("alice")).canceled_at is not None
    await shop.tell(Resumed(provider="digistore24", at=START_US + 2, order="O1"))
    assert (await shop.of("alice")).canceled_at is None
    await shop.tell(Canceled(provider="digistore24", at=START_US + 3, order="O1"))
    assert (await shop.of("alice")).canceled_at is not None
    assert await shop.balance("alice") == 2000


@story
async def test_a_renewal_that_is_paid_after_the_end_begins_the_subscription_anew(shop):
    await shop.tell(tier())
    await shop.tell(Ended(provider="digistore24", at=START_US, order="O1"))
    assert (await shop.tell(tier("T2", renewal=True))).told == "credited to alice"
    assert (await shop.of("alice")).ended_at is None
    assert await shop.balance("alice") == 4000


@story
async def test_a_renewal_that_is_not_paid_is_told_once_for_its_period(shop):
    await shop.tell(tier(at=START_US))
    s = await shop.of("alice")

    async def miss(at: int, order: str = "O1") -> list[dict[str, Any]]:
        await shop.tell_all(*[Missed(provider="digistore24", at=at, order=order)] * 2)
        page = await Events(shop.ledger.database).page("main", type="subscription.renewal_failed", oldest_first=True)
        assert {event.account for event in page.items} <= {"alice"}
        return [event.data for event in page.items]

    assert await miss(START_US + DAY, order="O2") == []
    failed = {
        "subscription": s.id, "plan": "pro", "period_at": write_time(s.next_at), "error": "payment_missed",
    }  # fmt: skip
    assert await miss(s.next_at) == [failed]
    assert await miss(s.next_at + DAY) == [failed]
    await shop.tell(tier("T2", renewal=True, at=s.next_at + 2 * DAY))
    assert await miss(s.next_at + DAY) == [failed], "it came late"
    later = (await shop.of("alice")).next_at
    assert await miss(later) == [failed, failed | {"period_at": write_time(later)}]


@story
async def test_a_tier_whose_plan_takes_no_subscribers_waits_for_a_person(shop):
    await Plans(shop.ledger.database).archive("main", "pro", Act("test", START_US))
    assert (await shop.tell(tier())).told == "waits: refused"
    assert (await shop.receipt()).facts == "plan_archived"


@story
async def test_an_order_of_a_tier_and_a_top_up_renews_by_the_tier_whichever_came_first(shop):
    await shop.tell(paid())
    await shop.tell(tier("T2"))
    await shop.tell(tier("T3", renewal=True))
    s = await shop.of("alice")
    assert s.next_at == START_US + 60 * DAY
    assert await shop.balance("alice") == 1000 + 4000


# Everything at once


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_comes_in_whatever_order_the_ledger_equals_the_providers_books(shop, seed):
    async def work(shop: Any) -> None:
        await shop.begin_selling()
        dice = random.Random(seed)
        told: list[AnyFact] = []
        books = {}
        for n in range(25):
            account, payment, order = f"user_{dice.randrange(6)}", f"P{n}", f"O{n}"
            told.append(paid(payment=payment, order=order, account=account))
            back = Decimal(0)
            for part in range(dice.choice([0, 0, 1, 2])):
                amount = Decimal(dice.choice(["1", "2.5", "5"]))
                back += amount
                told.append(refunded(payment=payment, order=order, refund=f"{payment}R{part}", amount=str(amount)))
            if dice.random() < 0.2:
                won = dice.random() < 0.5
                told += [disputed(payment=payment, order=order), closed(payment=payment, order=order, won=won)]
                back = back if won else Decimal(10)
            books[payment] = (account, 1000 - int(100 * min(back, Decimal(10))))
        told += dice.sample(told, len(told) // 5)
        dice.shuffle(told)
        for first in range(0, len(told), 8):
            await shop.tell_all(*told[first : first + 8])
        for account in {account for account, _ in books.values()}:
            expected = sum(credits for owner, credits in books.values() if owner == account)
            found = await shop.ledger.reports.account("main", account, START_US)
            assert (found.balance if found else 0) == expected * UNIT
            assert (found.held if found else 0) == 0

    play(shop, work)
