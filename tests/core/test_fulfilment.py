"""Fulfilment by tables: what each fact comes to, whatever came before it, and what a repeat does."""

from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec.structs import replace

from farthing.core.catalogue import Catalogue, Product, Tier, TopUp
from farthing.core.commands import (
    CloseDispute,
    Command,
    GiveGrant,
    OpenDispute,
    Renew,
    Resume,
    Subscribe,
    TakeBack,
    Unsubscribe,
)
from farthing.core.facts import AnyFact, Canceled, DisputeClosed, Disputed, Ended, Missed, Paid, Refunded, Resumed
from farthing.core.fulfilment import Known, Noted, assigned, due, note, told
from farthing.core.purchases import Order, Receipt, credits_returned, returned, share
from farthing.core.records import Body, Entry, GrantTerms, Workspace, WorkspaceSettings
from farthing.core.subscription import Pending, Period, Subscription
from tests.support import START_US

DAY = 86_400_000_000
CREDIT = 1_000_000
CATALOGUE = Catalogue([
    Product(
        id="writer",
        tiers=(
            Tier(id="basic", plan="basic", rank=1, price="9.90", currency="EUR", sold_as={"digistore24": "101"}),
            Tier(id="pro", plan="pro", rank=2, sold_as={"digistore24": "102", "stripe": "price_pro"}),
        ),
        top_ups=(
            TopUp(id="1000", credits=1000 * CREDIT, price="9.90", currency="EUR", sold_as={"digistore24": "201"}),
            TopUp(id="gift", credits=50 * CREDIT, category="promotional", expires_days=30, priority=10),
        ),
    )
])  # fmt: skip
WORKSPACE = Workspace("main", "M", "live", "credits", 6, START_US, WorkspaceSettings())


class Done(NamedTuple):
    """What came of a fact: the rows, and what the ledger is asked."""

    command: Command | None
    order: Order | None
    receipt: Receipt | None
    replaced: str


def done_with(noted: Noted, known: Known) -> Done:
    command = noted.command or due(replace(known, order=noted.order, receipt=noted.receipt))
    return Done(command, noted.order, noted.receipt, noted.replaced)


def fulfil(fact: AnyFact, known: Known) -> Done:
    return done_with(note(fact, known), known)


def known(**more: Any) -> Known:
    given: dict[str, Any] = {"workspace": WORKSPACE, "catalogue": CATALOGUE}
    return Known(**given | more)


def paid(**more: Any) -> Paid:
    given: dict[str, Any] = {
        "provider": "digistore24", "at": START_US, "order": "ORDER1", "payment": "T1", "amount": "9.90",
        "currency": "EUR", "account": "alice", "product": "201",
    }  # fmt: skip
    return Paid(**given | more)


def credited(done: Done, credits: int = 1000 * CREDIT) -> Receipt:
    """The receipt as it is once the ledger has taken the command."""
    assert done.receipt is not None
    return replace(done.receipt, state="credited", credits=credits, grant="grt_1", entry="ent_1")


def order(done: Done) -> Order:
    assert done.order is not None
    return done.order


def an_entry(body: Body | None = None) -> Entry:
    text = msgspec.json.encode(body or Body()).decode()
    return Entry(
        "main", "alice", 0, 2, "ent_1", "x", 0, 0, 0, 0, START_US, None, None, "", "", "", None, None, text, 1, b""
    )  # fmt: skip


def subscription(**more: Any) -> Subscription:
    given: dict[str, Any] = {
        "id": "sub_1", "plan": "pro", "period": Period(30), "anchor_at": START_US, "next_at": START_US + 30 * DAY,
        "started_at": START_US, "billed_by": "digistore24",
    }  # fmt: skip
    return Subscription(**given | more)


# Money in


def test_a_top_up_that_is_paid_becomes_its_credits_claimed_by_the_payment():
    done = fulfil(paid(), known())
    command = done.command
    assert isinstance(command, GiveGrant)
    assert (command.account, command.amount, command.category) == ("alice", 1000 * CREDIT, "paid")
    assert command.claim == ("digistore24", "T1")
    assert command.key is None, "the claim is what makes it once, whatever the catalogue says by then"
    assert command.source == {"provider": "digistore24", "payment": "T1", "order": "ORDER1", "offer": "writer/1000"}
    assert order(done).account == "alice"
    assert done.receipt is not None
    assert (done.receipt.state, done.receipt.reason) == ("waiting", None)


def test_the_providers_name_of_an_offer_goes_before_ours():
    done = fulfil(paid(offer="writer/gift"), known())
    assert isinstance(done.command, GiveGrant)
    assert done.command.amount == 1000 * CREDIT


def test_a_message_that_knows_more_of_a_payment_cures_what_another_lacked():
    first = fulfil(paid(account="", product="", order=""), known())
    assert first.command is None
    second = fulfil(paid(order=""), known(receipt=first.receipt))
    assert isinstance(second.command, GiveGrant)
    assert second.command.account == "alice"


def test_an_offer_by_our_own_name_has_its_terms():
    done = fulfil(paid(offer="writer/gift", product="", amount="1"), known())
    assert isinstance(done.command, GiveGrant)
    assert (done.command.amount, done.command.category, done.command.priority) == (50 * CREDIT, "promotional", 10)
    assert done.command.expires_at == START_US + 30 * DAY


def test_several_at_once_are_several_times_the_credits_for_several_times_the_price():
    done = fulfil(paid(quantity=3, amount="29.70"), known())
    assert isinstance(done.command, GiveGrant)
    assert done.command.amount == 3000 * CREDIT
    short = fulfil(paid(quantity=3, amount="29.69"), known())
    assert short.command is None
    assert short.receipt is not None
    assert short.receipt.reason == "other_amount"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"account": ""}, "no_account"),
        ({"product": "999"}, "unknown_product"),
        ({"offer": "writer/999", "product": ""}, "unknown_product"),
        ({"amount": "9.89"}, "other_amount"),
        ({"currency": "USD"}, "other_currency"),
        ({"test": True}, "test_mode"),
        ({"product": "", "currency": "EUR"}, "unknown_product"),
    ],
)
def test_what_is_in_doubt_waits_with_its_reason_and_credits_nothing(told, reason):
    done = fulfil(paid(**told), known())
    assert done.command is None
    assert done.receipt is not None
    assert (done.receipt.state, done.receipt.reason) == ("waiting", reason)
    assert (done.receipt.amount, done.receipt.payment) == (told.get("amount", "9.90"), "T1")


def test_test_money_counts_in_a_workspace_that_is_for_tests():
    test = replace(WORKSPACE, mode="test")
    assert isinstance(fulfil(paid(test=True), known(workspace=test)).command, GiveGrant)


def test_money_without_a_product_is_credited_one_for_one_where_it_is_the_unit():
    euros = replace(WORKSPACE, unit="EUR", scale=9)
    done = fulfil(paid(product="", amount="12.34"), known(workspace=euros))
    assert isinstance(done.command, GiveGrant)
    assert done.command.amount == 12_340_000_000


def test_a_payment_that_is_credited_is_credited_no_more():
    first = fulfil(paid(), known())
    again = fulfil(paid(), known(order=first.order, receipt=credited(first)))
    assert again.command is None
    assert again.receipt == credited(first)


def test_whose_an_order_is_stays_whatever_a_later_message_says():
    first = fulfil(paid(), known())
    later = fulfil(paid(payment="T2", account="mallory"), known(order=first.order))
    assert later.command is not None
    assert later.command.account == "alice"


def test_a_later_payment_of_an_order_needs_no_account_or_product_of_its_own():
    first = fulfil(paid(), known())
    later = fulfil(paid(payment="T2", account="", product=""), known(order=first.order))
    assert isinstance(later.command, GiveGrant)
    assert later.command.account == "alice"


def test_a_person_says_whose_a_payment_is_and_what_for_whatever_was_wrong_with_it():
    waiting = fulfil(paid(account="", amount="5", product="999"), known())
    assert waiting.receipt is not None
    done = done_with(assigned(waiting.receipt, waiting.order, "writer/1000", "bob"), known())
    assert isinstance(done.command, GiveGrant)
    assert (done.command.account, done.command.amount) == ("bob", 1000 * CREDIT)
    assert order(done).account == "bob"


# Tiers


def test_a_tier_that_is_paid_begins_its_subscription_billed_by_the_provider():
    done = fulfil(paid(product="102", paid_until=START_US + 30 * DAY), known())
    command = done.command
    assert isinstance(command, Subscribe)
    assert (command.plan, command.billed_by, command.expires_at) == ("pro", "digistore24", START_US + 30 * DAY)
    assert command.claim == ("digistore24", "T1")


def test_the_next_payment_of_its_order_renews_it_under_the_key_of_the_period():
    first = fulfil(paid(product="102"), known())
    now = known(order=first.order, subscription=subscription(order="ORDER1"))
    done = fulfil(paid(product="102", payment="T2", renewal=True, amount="0.50"), now)
    assert isinstance(done.command, Renew)
    assert done.command.key == f"renew:sub_1:{START_US + 30 * DAY}"
    assert done.command.claim == ("digistore24", "T2")


@pytest.mark.parametrize(
    "had",
    [subscription(order="ORDER0"), subscription(), subscription(order="ORDER1", ended_at=START_US), None],
)
def test_a_payment_of_an_order_that_the_subscription_does_not_run_by_begins_it_anew(had):
    done = fulfil(paid(product="102", renewal=True), known(subscription=had))
    assert isinstance(done.command, Subscribe)


def test_an_order_that_was_moved_to_another_tier_gives_that_tier_and_not_the_old_one():
    had = subscription(order="ORDER1", plan="basic")
    done = fulfil(paid(product="102", payment="T2", renewal=True), known(subscription=had))
    assert isinstance(done.command, Subscribe)
    assert (done.command.plan, done.command.order) == ("pro", "ORDER1")
    soon = replace(had, pending=Pending("pro", "digistore24"))
    assert isinstance(fulfil(paid(product="102", payment="T2"), known(subscription=soon)).command, Renew)


def test_an_order_that_takes_the_place_of_another_says_so():
    done = fulfil(paid(product="102", replaces="ORDER0"), known(subscription=subscription(order="ORDER0")))
    assert isinstance(done.command, Subscribe)
    assert done.replaced == "ORDER0"


def test_of_what_is_paid_in_installments_each_gives_its_part_and_all_of_them_the_whole():
    given = []
    for part in (1, 2, 3):
        done = fulfil(paid(payment=f"T{part}", amount="3.30", part=part, parts=3, renewal=part > 1), known())
        assert isinstance(done.command, GiveGrant)
        given.append(done.command.amount)
    assert (sum(given), max(given) - min(given)) == (1000 * CREDIT, 1)
    short = fulfil(paid(amount="3.29", parts=3), known())
    assert short.receipt is not None
    assert short.receipt.reason == "other_amount"


def test_a_trial_costs_nothing_and_stays():
    first = fulfil(paid(product="102", amount="0.00"), known())
    assert isinstance(first.command, Subscribe)
    assert due(known(receipt=credited(first))) is None
    back = fulfil(refunded(), known(receipt=credited(first)))
    assert isinstance(back.command, TakeBack)


MOVED: dict[str, Any] = {"product": "102", "order": "ORDER1", "payment": "T2", "amount": "4.00", "change": True}


def test_an_order_that_is_moved_in_the_middle_of_a_period_is_not_held_to_the_whole_price():
    first = fulfil(paid(product="101"), known())
    dear = Catalogue([replace(CATALOGUE.products["writer"], tiers=tuple(
        replace(tier, price="49.90", currency="EUR") for tier in CATALOGUE.products["writer"].tiers
    ))])  # fmt: skip
    done = fulfil(paid(**MOVED, within=True), known(catalogue=dear, order=first.order))
    assert isinstance(done.command, Subscribe)
    assert (done.command.plan, order(done).offer) == ("pro", "writer/pro")
    alone = fulfil(paid(**MOVED), known(catalogue=dear))
    assert alone.receipt is not None
    assert alone.receipt.reason == "other_amount", "nobody knows what was moved"


def test_more_of_the_tier_that_an_order_has_begins_no_period_unless_it_says_so():
    first = fulfil(paid(product="102"), known())
    more = fulfil(paid(**MOVED, within=True), known(order=first.order, subscription=subscription(order="ORDER1")))
    assert more.receipt is not None
    assert (more.command, more.receipt.reason) == (None, "other_amount")
    anew = fulfil(paid(**MOVED), known(order=first.order, subscription=subscription(order="ORDER1")))
    assert isinstance(anew.command, Renew)


def test_an_older_payment_brings_no_order_back_to_the_tier_that_it_has_left():
    had = fulfil(paid(product="102", at=START_US + DAY), known())
    late = fulfil(paid(product="101", payment="T2", at=START_US), known(order=had.order))
    assert late.receipt is not None
    assert (late.command, late.receipt.reason, order(late).offer) == (None, "overtaken", "writer/pro")
    beside = fulfil(paid(payment="T3", at=START_US), known(order=had.order))
    assert isinstance(beside.command, GiveGrant), "a top-up of the same order is no tier"


def test_what_an_upgrade_costs_is_the_providers_to_say():
    done = fulfil(paid(product="101", amount="4.20", replaces="ORDER0"), known())
    assert isinstance(done.command, Subscribe)
    assert isinstance(fulfil(paid(product="101", amount="4.20", came_of="ORDER0"), known()).command, Subscribe)
    assert fulfil(paid(product="101", amount="4.20"), known()).command is None


@pytest.mark.parametrize(
    ("told", "owner", "whose"),
    [("", "alice", "alice"), ("bob", "alice", "bob"), ("", "", ""), ("bob", "", "bob")],
)
def test_an_order_is_whose_the_one_is_that_it_came_of_unless_it_says_itself(told, owner, whose):
    old = Order(provider="digistore24", id="ORDER0", account=owner, bought_at=START_US)
    done = fulfil(paid(product="102", account=told, came_of="ORDER0", replaces="ORDER0"), known(came_of=old))
    assert done.receipt is not None
    assert (order(done).account, order(done).came_of, done.receipt.account) == (whose, "ORDER0", whose)
    assert done.receipt.reason == (None if whose else "no_account")
    assert isinstance(done.command, Subscribe) == bool(whose)


# Money back


def refunded(**more: Any) -> Refunded:
    given: dict[str, Any] = {"provider": "digistore24", "at": START_US, "order": "ORDER1", "payment": "T1"}
    return Refunded(**given | more)


@pytest.mark.parametrize(
    ("told", "total"),
    [
        ({}, 1000 * CREDIT),
        ({"total": "9.90"}, 1000 * CREDIT),
        ({"total": "99"}, 1000 * CREDIT),
        ({"total": "4.95"}, 500 * CREDIT),
        ({"total": "0.01"}, 1_010_101),
        ({"refund": "R1", "amount": "3.30"}, 333_333_333),
    ],
)
def test_credits_go_back_in_the_share_of_the_money(told, total):
    receipt = credited(fulfil(paid(), known()))
    done = fulfil(refunded(**told), known(receipt=receipt))
    assert isinstance(done.command, TakeBack)
    assert (done.command.account, done.command.grant, done.command.total) == ("alice", "grt_1", total)
    assert done.command.key == f"pay:digistore24:T1:back:{total}"


def test_parts_that_are_told_one_by_one_add_up_and_a_repeat_adds_nothing():
    receipt = credited(fulfil(paid(), known()))
    for name, amount, total in (("R1", "3.30", 333_333_333), ("R2", "3.30", 666_666_667), ("R1", "3.30", 666_666_667)):
        done = fulfil(refunded(refund=name, amount=amount), known(receipt=receipt))
        assert isinstance(done.command, TakeBack)
        assert done.command.total == total
        assert done.receipt is not None
        receipt = done.receipt


def test_totals_that_come_out_of_order_count_by_the_greatest():
    receipt = credited(fulfil(paid(), known()))
    for total in ("6.60", "3.30"):
        done = fulfil(refunded(total=total), known(receipt=receipt))
        assert isinstance(done.command, TakeBack)
        assert done.command.total == 666_666_667
        assert done.receipt is not None
        receipt = done.receipt


def test_a_refund_that_comes_before_its_payment_waits_for_it_and_nothing_is_credited():
    early = fulfil(refunded(), known())
    assert early.command is None
    late = fulfil(paid(), known(receipt=early.receipt))
    assert late.command is None
    assert late.receipt is not None
    assert late.receipt.reason == "not_paid"


def test_of_a_payment_of_which_a_part_went_back_before_it_was_told_that_part_goes_at_once():
    early = fulfil(refunded(total="4.95"), known())
    late = fulfil(paid(), known(receipt=early.receipt))
    assert isinstance(late.command, GiveGrant)
    then = due(known(receipt=credited(late)))
    assert isinstance(then, TakeBack)
    assert then.total == 500 * CREDIT


def test_a_refund_of_what_waits_takes_nothing_and_is_kept():
    waiting = fulfil(paid(account=""), known())
    done = fulfil(refunded(), known(receipt=waiting.receipt))
    assert done.command is None
    assert done.receipt is not None
    given = done_with(assigned(done.receipt, None, "writer/1000", "bob"), known())
    assert given.command is None
    assert given.receipt is not None
    assert given.receipt.reason == "not_paid"


# Disputes


FACT: dict[str, Any] = {"provider": "digistore24", "at": START_US, "payment": "T1", "dispute": "D1"}


def pinned(receipt: Receipt | None) -> Receipt:
    """The receipt as it is once the ledger has said what it pinned."""
    assert receipt is not None
    return replace(receipt, answered=True, hold="hold_1")


def test_a_dispute_pins_and_what_it_comes_to_gives_back_or_takes():
    opened = fulfil(Disputed(**FACT), known(receipt=credited(fulfil(paid(), known()))))
    assert isinstance(opened.command, OpenDispute)
    assert (opened.command.grant, opened.command.key) == ("grt_1", "pay:digistore24:T1:dispute:D1")
    for won, total in ((True, 0), (False, 1000 * CREDIT)):
        done = fulfil(DisputeClosed(**FACT, won=won), known(receipt=pinned(opened.receipt)))
        assert isinstance(done.command, CloseDispute)
        assert (done.command.hold, done.command.total) == ("hold_1", total)
        assert done.receipt is not None
        after = told(done.receipt, done.command, an_entry())
        assert (after.hold, after.asked, after.taken, after.lost) == ("", "", total, not won)
        assert due(known(receipt=after)) is None
        assert fulfil(Disputed(**FACT), known(receipt=after)).command is None, "its end was told before"


def test_while_nobody_knows_what_was_pinned_the_end_of_a_dispute_first_asks_for_that():
    opened = fulfil(Disputed(**FACT), known(receipt=credited(fulfil(paid(), known()))))
    closed = fulfil(DisputeClosed(**FACT, won=True), known(receipt=opened.receipt))
    assert opened.command is not None
    assert closed.command is not None
    assert (type(closed.command), closed.command.key) == (OpenDispute, opened.command.key)
    after = due(known(receipt=pinned(closed.receipt)))
    assert isinstance(after, CloseDispute)


def test_a_dispute_that_is_lost_before_it_was_opened_takes_all_and_pins_nothing_later():
    receipt = credited(fulfil(paid(), known()))
    lost = fulfil(DisputeClosed(**FACT, won=False), known(receipt=receipt))
    assert isinstance(lost.command, TakeBack)
    assert lost.command.total == 1000 * CREDIT
    assert lost.receipt is not None
    after = told(lost.receipt, lost.command, an_entry())
    assert fulfil(Disputed(**FACT), known(receipt=after)).command is None


def test_a_dispute_that_is_told_before_its_payment_pins_what_is_credited():
    early = fulfil(Disputed(**FACT), known())
    late = fulfil(paid(), known(receipt=early.receipt))
    assert isinstance(late.command, GiveGrant)
    assert late.receipt is not None
    after = told(late.receipt, late.command, an_entry(Body(grants=[GrantTerms("grt_1", 5)], earned=5)))
    assert (after.state, after.credits, after.grant) == ("credited", 5, "grt_1")
    assert isinstance(due(known(receipt=after)), OpenDispute)


def test_a_dispute_that_is_won_takes_what_was_refunded_meanwhile():
    receipt = replace(credited(fulfil(paid(), known())), returned={"all": "4.95"}, dispute="D1", asked="D1")
    won = fulfil(DisputeClosed(**FACT, won=True), known(receipt=pinned(receipt)))
    assert isinstance(won.command, CloseDispute)
    assert won.command.total == 500 * CREDIT


# Subscriptions that go on, or do not


@pytest.mark.parametrize(
    ("fact", "kind", "state", "had"),
    [
        (Canceled, Unsubscribe, "canceled", subscription()),
        (Ended, Unsubscribe, "ended", subscription()),
        (Resumed, Resume, "open", subscription(canceled_at=START_US)),
        (Resumed, type(None), "open", subscription()),
        (Ended, type(None), "ended", subscription(ended_at=START_US)),
        (Missed, type(None), "open", subscription()),
    ],
)
def test_what_becomes_of_the_order_becomes_of_the_subscription(fact, kind, state, had):
    first = fulfil(paid(product="102"), known())
    told = fact(provider="digistore24", at=START_US, order="ORDER1")
    done = fulfil(told, known(order=first.order, subscription=had and replace(had, order="ORDER1")))
    assert type(done.command) is kind
    assert order(done).state == state
    if isinstance(done.command, Unsubscribe):
        assert done.command.at_once == (fact is Ended)


@pytest.mark.parametrize(
    ("state", "at", "after"),
    [("ended", 2, "open"), ("ended", 0, "ended"), ("canceled", 2, "canceled"), ("replaced", 2, "replaced")],
)
def test_an_order_that_has_ended_and_is_paid_again_is_open(state, at, after):
    first = fulfil(paid(product="102"), known())
    before = replace(order(first), state=state, standing_at=START_US + 1)
    again = paid(product="102", payment="T2", at=START_US + at, renewal=True)
    done = fulfil(again, known(order=before, subscription=subscription(order="ORDER1", ended_at=START_US + 1)))
    assert order(done).state == after
    assert isinstance(done.command, Subscribe)
    late = fulfil(Ended(provider="digistore24", at=START_US + 1, order="ORDER1"), known(order=order(done)))
    assert order(late).state == ("open" if after == "open" else "replaced" if after == "replaced" else "ended")


def test_a_cancellation_that_was_taken_back_before_it_is_told_is_no_news():
    first = fulfil(paid(product="102"), known())
    had = subscription(order="ORDER1")
    resumed = Resumed(provider="digistore24", at=START_US + 2, order="ORDER1")
    after = fulfil(resumed, known(order=first.order, subscription=had))
    canceled = Canceled(provider="digistore24", at=START_US + 1, order="ORDER1")
    late = fulfil(canceled, known(order=after.order, subscription=had))
    assert (late.command, order(late).state) == (None, "open")
    again = fulfil(replace(canceled, at=START_US + 3), known(order=after.order, subscription=had))
    assert isinstance(again.command, Unsubscribe)


@pytest.mark.parametrize("current", ["ORDER2", ""])
def test_an_order_that_another_took_the_place_of_ends_without_the_subscription(current):
    first = fulfil(paid(product="102"), known())
    told = Ended(provider="digistore24", at=START_US, order="ORDER1")
    done = fulfil(told, known(order=first.order, subscription=subscription(order=current)))
    assert done.command is None
    replaced = replace(order(first), state="replaced")
    assert fulfil(told, known(order=replaced, subscription=subscription(order="ORDER1"))).order == replaced


def test_what_is_told_of_an_unknown_order_changes_nothing():
    done = fulfil(Ended(provider="digistore24", at=START_US, order="nobody's"), known())
    assert (done.command, done.order, done.receipt) == (None, None, None)


# Sums


def test_a_share_is_exact_and_rounds_half_even():
    assert share(5, Decimal("0.5"), Decimal("1")) == 2
    assert share(7, Decimal("0.5"), Decimal("1")) == 4
    assert share(10**18 - 1, Decimal("33.33"), Decimal("99.99")) == (10**18 - 1) // 3


def test_what_went_back_is_never_more_than_came_in():
    receipt = Receipt(
        provider="stripe", payment="pi", at=0, amount="10", currency="EUR", credits=100, returned={"a": "25"}
    )
    assert (returned(receipt), credits_returned(receipt)) == (Decimal(10), 100)
