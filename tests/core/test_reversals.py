"""Refunds that fail: what the ledger gave up it gives again, once, and what goes back later goes of that; whatever is
told late, twice or in another order.
"""

import random
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from farthing.core.commands import CloseDispute, Command, GiveGrant, OpenDispute, TakeBack
from farthing.core.facts import AnyFact, DisputeClosed, Disputed, Refunded, RefundFailed
from farthing.core.fulfilment import Known, due, is_credit, note, told
from farthing.core.purchases import SUM, Receipt, returned, taken_back
from farthing.core.records import Body, GrantTerms, HoldTerms
from farthing.core.reversals import not_given, too_late
from tests.core.test_fulfilment import CREDIT, DAY, WORKSPACE, an_entry, known, paid
from tests.support import START_US

SECOND = 1_000_000
TERMS = GrantTerms("grt_1", 1000 * CREDIT, "promotional", 7, START_US + 90 * DAY)
CREDITED = Receipt(
    provider="stripe", payment="pi_1", account="alice", offer="writer/1000", amount="10.00", currency="EUR",
    at=START_US, state="credited", credits=1000 * CREDIT, grant="grt_1", entry="ent_1",
)  # fmt: skip
WHOSE: dict[str, Any] = {"provider": "stripe", "payment": "pi_1"}


def summed(total: str, second: int = 1) -> Refunded:
    return Refunded(**WHOSE, at=START_US + second * SECOND, total=total, currency="EUR")


def named(refund: str, amount: str, second: int = 1) -> Refunded:
    return Refunded(
        **WHOSE, at=START_US + second * SECOND, refund=refund, amount=amount, currency="EUR", aside=True
    )  # fmt: skip


def failed(refund: str, amount: str, second: int = 2) -> RefundFailed:
    return RefundFailed(**WHOSE, at=START_US + second * SECOND, refund=refund, amount=amount)


def disputed() -> Disputed:
    return Disputed(**WHOSE, at=START_US, dispute="dp_1")


def lost(amount: str = "", dispute: str = "dp_1", currency: str = "EUR") -> DisputeClosed:
    return DisputeClosed(**WHOSE, at=START_US, dispute=dispute, won=False, amount=amount, currency=currency)


class Ledger:
    """What a ledger would make of it: grants with what was taken of each, keys that are carried out once."""

    def __init__(self) -> None:
        self.given = {"grt_1": 1000 * CREDIT}
        self.taken = {"grt_1": 0}
        self.asked: list[Command] = []
        self._keys: dict[str, str] = {}

    @property
    def left(self) -> int:
        return sum(self.given.values()) - sum(self.taken.values())

    def ask(self, command: Command) -> Body:
        self.asked.append(command)
        if isinstance(command, GiveGrant):
            assert command.key is not None
            name = self._keys.setdefault(command.key, f"grt_{len(self.given) + 1}")
            assert self.given.setdefault(name, command.amount) == command.amount, "the key was used for another amount"
            self.taken.setdefault(name, 0)
            return Body(grants=[GrantTerms(name, command.amount)])
        assert isinstance(command, TakeBack | OpenDispute | CloseDispute)
        if isinstance(command, OpenDispute):
            return Body(hold=HoldTerms("hold_1", 1))
        self.taken[command.grant] = max(self.taken[command.grant], command.total)
        assert self.taken[command.grant] <= self.given[command.grant]
        return Body()


def settle(receipt: Receipt, ledger: Ledger) -> Receipt:
    """Ask until nothing is left, as `Fulfilling` does."""
    for _ in range(20):
        command = due(known(receipt=receipt, terms=TERMS))
        if command is None:
            return receipt
        receipt = told(receipt, command, an_entry(ledger.ask(command)))
    raise AssertionError("it never ends")


def take_in(fact: AnyFact, receipt: Receipt) -> Receipt:
    noted = note(fact, known(receipt=receipt)).receipt
    assert noted is not None
    return noted


def play(*facts: AnyFact, ledger: Ledger | None = None) -> tuple[Receipt, Ledger]:
    receipt, ledger = CREDITED, ledger or Ledger()
    for fact in facts:
        receipt = settle(take_in(fact, receipt), ledger)
    return receipt, ledger


def test_a_refund_that_fails_gives_its_credits_again_on_the_terms_of_their_grant():
    receipt, ledger = play(summed("4.00"), failed("re_1", "4.00"))
    take, give = ledger.asked
    assert isinstance(take, TakeBack)
    assert isinstance(give, GiveGrant)
    assert (take.total, give.amount) == (400 * CREDIT, 400 * CREDIT)
    assert (give.category, give.priority, give.expires_at) == ("promotional", 7, START_US + 90 * DAY)
    assert give.claim is None, "the payment is claimed by what it was credited with"
    assert give.source == {"provider": "stripe", "payment": "pi_1", "offer": "writer/1000"}
    assert returned(receipt) == taken_back(receipt) == 0


def test_what_has_lapsed_meanwhile_lives_on_as_long_as_any_refund_does():
    late = CREDITED.at + 200 * DAY
    receipt = take_in(summed("4.00"), CREDITED)
    receipt = settle(receipt, Ledger())
    receipt = take_in(RefundFailed(**WHOSE, at=late, refund="re_1", amount="4.00"), receipt)
    give = due(known(receipt=receipt, terms=TERMS))
    assert isinstance(give, GiveGrant)
    assert give.expires_at == late + WORKSPACE.settings.refund_grace_days * DAY


@pytest.mark.parametrize(
    ("facts", "left"),
    [
        ((failed("re_1", "4.00"), summed("4.00")), 1000),
        ((summed("4.00"), failed("re_1", "4.00"), failed("re_1", "4.00"), summed("4.00")), 1000),
        ((summed("4.00"), failed("re_1", "4.00"), summed("3.00", 3)), 700),
        ((summed("4.00"), summed("3.00", 3), failed("re_1", "4.00")), 700),
        ((summed("4.00", 1), summed("9.00", 2), failed("re_1", "4.00", 3)), 500),
        ((summed("10.00"), failed("re_1", "10.00"), summed("10.00", 3), failed("re_2", "10.00", 4)), 1000),
        # Within one second only the names tell which of them it was.
        (
            (named("re_1", "4.00"), summed("4.00"), failed("re_1", "4.00", 1), named("re_2", "3.00"), summed("4.00")),
            700,
        ),
        ((summed("10.00"), failed("re_1", "10.00"), disputed(), lost()), 0),
        ((disputed(), lost(), failed("re_1", "4.00")), 0),
        ((disputed(), lost("3.00")), 700),
        ((lost("3.00"), disputed(), summed("4.00")), 300),
        ((summed("4.00"), disputed(), lost("6.00")), 0),
        ((lost("3.00"), lost("3.00"), lost("2.00", "dp_2")), 500),
        ((lost("3.00", currency="USD"),), 0),
    ],
)  # fmt: skip
def test_what_is_left_is_what_is_paid_for_in_whatever_order_it_is_told(facts, left):
    _, ledger = play(*facts)
    assert ledger.left == left * CREDIT


def test_what_goes_back_again_goes_first_of_what_was_given_again():
    receipt, ledger = play(summed("10.00"), failed("re_1", "10.00"), summed("4.00", 3))
    assert ledger.taken == {"grt_1": 1000 * CREDIT, "grt_2": 400 * CREDIT}
    assert taken_back(receipt) == 400 * CREDIT


def test_a_dispute_pins_what_was_given_again():
    _, ledger = play(summed("10.00"), failed("re_1", "10.00"), disputed(), lost())
    pin, close = ledger.asked[-2:]
    assert isinstance(pin, OpenDispute)
    assert isinstance(close, CloseDispute)
    assert (pin.grant, close.grant, close.total) == ("grt_2", "grt_2", 1000 * CREDIT)


def test_what_two_ask_at_the_same_moment_is_given_once():
    ledger = Ledger()
    receipt, _ = play(summed("4.00"), ledger=ledger)
    receipt = take_in(failed("re_1", "4.00"), receipt)
    command = due(known(receipt=receipt, terms=TERMS))
    assert command is not None
    entries = [an_entry(ledger.ask(command)) for _ in range(2)]
    # Before either has put its answer down, another refund fails as well.
    receipt = take_in(summed("7.00", 1), receipt)
    receipt = take_in(failed("re_2", "3.00"), receipt)
    for entry in entries:
        receipt = told(receipt, command, entry)
    settle(receipt, ledger)
    assert ledger.left == 1000 * CREDIT


def test_a_refund_that_failed_before_its_payment_was_told_leaves_all_of_it():
    noted = note(failed("re_1", "9.90"), known()).receipt
    assert noted is not None
    noted = note(summed("9.90"), known(receipt=noted)).receipt
    late = note(paid(provider="stripe", payment="pi_1", product="", offer="writer/1000"), known(receipt=noted))
    assert due(known(order=late.order, receipt=late.receipt)) is not None


def then_paid(*early: AnyFact) -> Receipt:
    """The receipt of a payment of which something else was told first."""
    receipt = None
    for fact in (*early, paid(provider="stripe", payment="pi_1", product="", offer="writer/1000")):
        receipt = note(fact, known(receipt=receipt)).receipt
    assert receipt is not None
    return receipt


@pytest.mark.parametrize(
    "back",
    [
        replace(summed("9.90"), currency="USD"),
        replace(named("re_1", "9.90"), currency="USD", aside=False),
        replace(named("re_1", "4.00"), currency="usd", aside=False),
    ],
)
def test_what_goes_back_in_other_money_and_is_told_before_its_payment_takes_nothing_of_it(back: Refunded):
    receipt = then_paid(back)
    assert (receipt.returned, receipt.summed_at, receipt.reason) == ({}, 0, None)
    assert receipt.told_in == {back.refund or SUM: "USD"}, "its message is read again"
    assert due(known(receipt=receipt)) is not None, "it is credited"
    assert note(back, known()).receipt != note(replace(back, currency="EUR"), known()).receipt


def test_what_goes_back_in_the_same_money_and_is_told_before_its_payment_counts_as_after_it():
    euros = replace(named("re_2", "5.00"), currency="eur", aside=False)
    dollars = replace(named("re_1", "4.00"), currency="USD", aside=False)
    assert (then_paid(euros, dollars).returned, then_paid(summed("5.00")).returned) == ({"re_2": "5.00"}, {SUM: "5.00"})
    assert then_paid(summed("9.90")).reason == "not_paid"
    nobody_says = replace(summed("5.00"), currency="")
    assert then_paid(nobody_says).returned == {SUM: "5.00"}
    assert then_paid(euros, dollars).told_in == {"re_1": "USD"}
    assert then_paid(summed("5.00")).told_in == {}
    again = note(paid(provider="stripe", payment="pi_1"), known(receipt=then_paid(euros, dollars))).receipt
    assert again == then_paid(euros, dollars), "a payment that is told again changes nothing"


def test_an_older_sum_says_nothing_of_the_money_either():
    newer, older = replace(summed("7.00", second=5), currency="USD"), replace(summed("4.00", second=3), currency="EUR")
    assert then_paid(newer, older).told_in == {SUM: "USD"}


def test_a_dispute_of_a_part_that_was_lost_is_of_all_in_other_money_whenever_it_is_told():
    dollars, euros = lost("4.00", currency="USD"), lost("4.00")
    assert (then_paid(dollars).lost, then_paid(dollars).lost_parts, then_paid(dollars).reason) == (True, {}, "not_paid")
    assert (then_paid(euros).lost, then_paid(euros).lost_parts) == (False, {"dp_1": "4.00"})
    after = take_in(dollars, replace(CREDITED, amount="9.90"))
    assert (after.lost, after.lost_parts) == (True, {})


def test_what_was_in_doubt_before_its_money_went_back_is_in_doubt_again_when_that_fails():
    waiting = replace(CREDITED, state="waiting", reason="test_mode", credits=0, grant="", entry="", test=True)
    gone = take_in(summed("10.00"), waiting)
    assert (gone.reason, gone.doubt) == ("not_paid", "test_mode")
    assert take_in(failed("re_1", "10.00"), gone) == replace(
        gone, reason="test_mode", doubt=None, failed={"re_1": ("10.00", START_US + 2 * SECOND)}
    )


def test_what_may_be_in_the_ledger_already_is_credited_before_it_is_taken():
    """Its credits were asked for, and whoever asked was cut off before he could say so."""
    begun = note(paid(order=""), known()).receipt
    assert begun is not None
    gone = note(Refunded(provider="digistore24", at=START_US, payment="T1"), known(receipt=begun)).receipt
    command = due(known(receipt=gone))
    assert isinstance(command, GiveGrant)
    assert is_credit(command)
    assert gone is not None
    entry = an_entry(Body(grants=[GrantTerms("grt_1", 1000 * CREDIT)], earned=1000 * CREDIT))
    then = due(known(receipt=told(gone, command, entry)))
    assert isinstance(then, TakeBack)
    assert then.total == 1000 * CREDIT


def test_what_the_ledger_would_not_give_again_is_asked_for_no_more_and_is_remembered():
    receipt, ledger = play(summed("4.00"))
    receipt = take_in(failed("re_1", "4.00"), receipt)
    give = due(known(receipt=receipt, terms=TERMS))
    assert isinstance(give, GiveGrant)
    receipt = not_given(receipt, give, "balance_limit")
    assert receipt.again[0].refused == "balance_limit"
    assert due(known(receipt=receipt, terms=TERMS)) is None
    assert taken_back(receipt) == 400 * CREDIT
    settle(take_in(summed("4.00", 5), receipt), ledger)
    assert ledger.left == 600 * CREDIT, "what goes back now was never given again"


def test_of_a_grant_that_is_archived_nothing_was_taken_and_nothing_is_given_again():
    receipt = take_in(summed("4.00"), CREDITED)
    take = due(known(receipt=receipt))
    assert take is not None
    receipt = take_in(failed("re_1", "4.00"), too_late(receipt, take))
    assert due(known(receipt=receipt, terms=TERMS)) is None


def test_a_refund_beside_its_sum_is_left_to_that_while_nobody_knows_the_payment():
    assert note(named("re_1", "4.00"), known()) == note(named("re_1", "4.00"), Known(WORKSPACE, known().catalogue))
    assert note(named("re_1", "4.00"), known()).receipt is None


@pytest.mark.parametrize("seed", range(40))
def test_any_refunds_and_failures_in_any_order_end_with_the_share_of_the_money(seed):
    """With a second between what happens; the names of refunds come or do not."""
    chance = random.Random(seed)
    facts: list[AnyFact] = []
    standing: dict[str, int] = {}
    names = chance.random() < 0.5
    for second in range(1, chance.randint(2, 9)):
        if standing and chance.random() < 0.4:
            refund = chance.choice(sorted(standing))
            facts.append(failed(refund, str(Decimal(standing.pop(refund)) / 100), second))
        elif left := 1000 - sum(standing.values()):
            refund, amount = f"re_{second}", chance.randint(1, left)
            standing[refund] = amount
            facts.append(summed(str(Decimal(sum(standing.values())) / 100), second))
            if names:
                facts.append(named(refund, str(Decimal(amount) / 100), second))
    facts += chance.choices(facts, k=3)
    chance.shuffle(facts)
    receipt, ledger = play(*facts)
    paid_for = 1000 - sum(standing.values())
    assert ledger.left == paid_for * CREDIT
    assert taken_back(receipt) == (1000 - paid_for) * CREDIT
    assert SUM in receipt.returned
    assert all(each.grant for each in receipt.again)
