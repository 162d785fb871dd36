"""What of a payment differs between the provider's books and ours, by tables; and what of those that wait can be
assigned."""

from decimal import Decimal
from typing import Any

import pytest

from farthing.core.catalogue import Catalogue, Product, TopUp
from farthing.core.purchases import Receipt
from farthing.core.reconcile import KINDS, Back, Ours, Theirs, compare, compare_back, compare_named, compare_unknown
from farthing.core.records import PaymentClaim
from farthing.core.waiting import SENTENCES, can_be_assigned, offer_problem, sentence
from tests.support import MAIN, START_US, UNIT


def theirs(**more: Any) -> Theirs:
    given: dict[str, Any] = {"payment": "T1", "at": START_US, "amount": Decimal("10.00"), "currency": "EUR"}
    return Theirs(**given | {"refunded": Decimal(0)} | more)


def receipt(**more: Any) -> Receipt:
    """One that was credited with 1,000 credits."""
    given: dict[str, Any] = {
        "provider": "stripe", "payment": "T1", "account": "alice", "amount": "10", "currency": "EUR", "at": START_US,
        "state": "credited", "credits": 1000 * UNIT, "grant": "grt_1", "entry": "ent_1",
    }  # fmt: skip
    return Receipt(**given | more)


def claim(account: str = "alice", entry: str = "ent_1") -> PaymentClaim:
    return PaymentClaim("main", "stripe", "T1", account, entry, START_US)


def ours(kept: Receipt | None = None, **more: Any) -> Ours:
    given: dict[str, Any] = {"receipt": kept or receipt(), "claim": claim(), "earned": 1000 * UNIT}
    return Ours(**given | {"grants": ("grt_1",)} | more)


def found(there: Theirs, here: Ours, lately: int = 0) -> list[str]:
    return [each.kind for each in compare("stripe", there, here, Decimal(lately))]


HALF = receipt(returned={"all": "5"}, taken=500 * UNIT)
LOST = receipt(lost=True, taken=1000 * UNIT)
OPEN = receipt(dispute="D1", asked="D1")
WAITS = receipt(state="waiting", reason="no_account", credits=0, grant="", entry="")


@pytest.mark.parametrize(
    ("there", "here", "kinds"),
    [
        (theirs(), ours(), []),
        (theirs(amount=Decimal("10.0000"), currency="eur"), ours(), []),
        (theirs(amount=Decimal("10.01")), ours(), ["other_amount"]),
        (theirs(currency="USD"), ours(), ["other_amount"]),
        (theirs(refunded=Decimal("5.00")), ours(HALF), []),
        (theirs(refunded=Decimal("5.01")), ours(HALF), ["other_refund"]),
        (theirs(refunded=Decimal("4.99")), ours(HALF), ["other_refund"]),
        (theirs(refunded=None), ours(HALF), []),
        (theirs(lost=True), ours(LOST), []),
        (theirs(), ours(LOST), ["other_dispute"]),
        (theirs(lost=True), ours(), ["other_dispute"]),
        (theirs(disputed=True), ours(OPEN), []),
        (theirs(disputed=True), ours(), ["other_dispute"]),
        (theirs(), ours(OPEN), ["other_dispute"]),
        (theirs(), ours(WAITS, claim=None), ["waiting"]),
        (theirs(), ours(receipt(state="waiting", reason="test_mode"), claim=None), []),
        (theirs(), ours(WAITS), ["waiting"]),
        (theirs(), ours(claim=None), ["other_credits"]),
        (theirs(), ours(claim=claim("bob")), ["other_credits"]),
        (theirs(), ours(claim=claim(entry="ent_2")), ["other_credits"]),
        (theirs(), ours(earned=999 * UNIT), ["other_credits"]),
        (theirs(), ours(earned=None), []),
        (theirs(refunded=Decimal("5")), ours(receipt(returned={"all": "5"})), ["other_credits"]),
        (theirs(), ours(grants=("grt_1", "grt_2")), ["credited_twice"]),
        (theirs(), Ours(), ["missing_here"]),
        (theirs(), Ours(receipt=receipt(amount="", state="waiting", returned={"all": "5"})), ["missing_here"]),
        (theirs(), Ours(claim=claim(), earned=5), []),
        (theirs(refunded=Decimal("1")), Ours(claim=claim(), earned=5), ["other_refund"]),
        (theirs(lost=True), Ours(claim=claim(), earned=5), ["other_refund"]),
    ],
)
def test_what_differs_is_told_by_its_kind(there: Theirs, here: Ours, kinds: list[str]):
    assert found(there, here) == kinds
    assert set(kinds) <= KINDS.keys()


def test_what_went_back_a_moment_ago_may_be_told_or_not():
    there = theirs(refunded=Decimal("5"))
    assert found(there, ours(HALF), lately=5) == []
    assert found(there, ours(), lately=5) == []
    assert found(there, ours(), lately=4) == ["other_refund"]
    assert found(there, Ours(claim=claim()), lately=5) == []


def test_what_was_credited_by_hand_and_waits_says_to_whom():
    (told,) = compare("stripe", theirs(), ours(WAITS))
    assert "credited by hand to alice" in told.message
    assert told.assignable


@pytest.mark.parametrize(
    ("receipts", "differs"),
    [
        ([receipt(returned={"R1": "3.0"})], False),
        ([receipt(returned={"R2": "1"}), receipt(payment="T2", returned={"R1": "3"})], False),
        ([receipt(lost=True)], False),
        ([receipt(returned={"all": "10"})], False),
        ([receipt(returned={"R1": "2"})], True),
        ([receipt(returned={"R2": "3"})], True),
        ([receipt(), receipt(payment="T2")], True),
        ([], True),
    ],
)
def test_a_refund_with_a_name_is_looked_for_among_the_payments_of_its_order(receipts: list[Receipt], differs: bool):
    back = Back(id="R1", at=START_US, amount=Decimal("3.00"), currency="EUR", order="O1")
    told = compare_back("digistore24", back, receipts)
    assert (told is not None) == differs
    if told is not None:
        assert told.kind == "other_refund"
        assert told.payment == ("T1" if len(receipts) == 1 else "")


def test_what_the_provider_does_not_know_is_told_with_what_is_known_here():
    assert compare_unknown("stripe", receipt()).here == "10 EUR"
    (told,) = compare_named("digistore24", receipt(returned={"R1": "3", "R2": "1"}), ["R2"])
    assert told.here == "refund R2 of 1 EUR"


# Waiting


@pytest.mark.parametrize("reason", SENTENCES)
def test_each_reason_has_a_sentence_for_people(reason: Any):
    text = sentence(receipt(state="waiting", reason=reason, facts="plan_archived"))
    assert text.endswith(".")
    assert "{" not in text
    assert can_be_assigned(receipt(state="waiting", reason=reason)) == (reason not in ("test_mode", "not_paid"))


def test_a_refund_without_its_payment_can_not_be_assigned_and_says_so():
    unpaid = receipt(state="waiting", amount="")
    assert sentence(unpaid).startswith("A refund or a dispute of it is known")
    assert not can_be_assigned(unpaid)
    assert sentence(receipt()) == ""
    assert not can_be_assigned(receipt())


@pytest.mark.parametrize(
    ("offer", "bought_as", "currency", "wrong"),
    [
        ("writer/1000", "", "EUR", None),
        ("", "writer/1000", "EUR", None),
        ("", "", "CREDITS", None),
        ("", "", "EUR", "nobody knows what was bought"),
        ("writer/2", "writer/1000", "EUR", "names nothing that is sold"),
        ("", "writer/2", "EUR", "is not sold any more"),
    ],
)
def test_what_is_assigned_is_sold_or_is_what_the_workspace_counts(
    offer: str, bought_as: str, currency: str, wrong: str | None
):  # fmt: skip
    catalogue = Catalogue([Product(id="writer", top_ups=(TopUp(id="1000", credits=1),))])
    told = offer_problem(receipt(offer=bought_as, currency=currency), offer, catalogue, MAIN)
    assert (told is None) == (wrong is None)
    assert wrong is None or wrong in (told or "")
