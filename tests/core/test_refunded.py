"""Which payment a refund is of, by a table of what was paid and what the refund says."""

from typing import Any

import pytest

from farthing.core.facts import Refunded
from farthing.core.purchases import Receipt
from farthing.core.refunded import is_other_money, payment_of
from tests.support import START_US


def receipt(payment: str, group: str = "", item: str = "") -> Receipt:
    return Receipt(provider="digistore24", payment=payment, order="O", group=group, item=item, at=START_US)


ONE = [receipt("11", "7", "a")]
"""A payment of one thing."""
TWO = [receipt("11", "7", "a"), receipt("12", "7", "b")]
"""Two things, paid at once."""
AS_ITS_FIRST = [receipt("7", "7", "a"), receipt("12", "7", "b")]
"""The same, where the first is called as both are."""
MONTHS = [receipt("11", "7", "a"), receipt("21", "8", "a")]
"""The same thing, paid in two months."""
OLD = [receipt("11"), receipt("12")]
"""As they were kept before anybody wrote more down."""


@pytest.mark.parametrize(
    ("receipts", "says", "found"),
    [
        (ONE, {"payment": "11"}, "11"),
        (ONE, {"payment": "7"}, "11"),
        (ONE, {"payment": "99"}, ""),
        (ONE, {"payment": "7", "item": "b"}, ""),
        (ONE, {}, "11"),
        (ONE, {"group": "8"}, ""),
        (ONE, {"item": "b"}, ""),
        (TWO, {"payment": "12"}, "12"),
        (TWO, {"payment": "7"}, ""),
        (TWO, {"payment": "7", "item": "b"}, "12"),
        (TWO, {"item": "a"}, "11"),
        (TWO, {"group": "7"}, ""),
        (TWO, {}, ""),
        (AS_ITS_FIRST, {"payment": "7"}, "7"),
        (AS_ITS_FIRST, {"payment": "7", "item": "a"}, "7"),
        (AS_ITS_FIRST, {"payment": "7", "item": "b"}, "12"),
        (AS_ITS_FIRST[:1], {"payment": "7", "item": "b"}, ""),
        (MONTHS, {"payment": "8"}, "21"),
        (MONTHS, {"payment": "8", "item": "a"}, "21"),
        (MONTHS, {"group": "8"}, "21"),
        (MONTHS, {"item": "a"}, ""),
        (OLD, {"payment": "12", "item": "b"}, "12"),
        (OLD, {"payment": "7"}, ""),
        (OLD, {}, ""),
        ([], {"payment": "11"}, ""),
    ],
)
def test_a_refund_is_of_one_payment_or_of_none(receipts: list[Receipt], says: dict[str, Any], found: str):
    fact = Refunded(provider="digistore24", at=START_US, order="O", **{"payment": ""} | says)
    assert payment_of(fact, receipts) == found
    assert payment_of(fact, receipts[::-1]) == found


@pytest.mark.parametrize(
    ("told", "other"),
    [
        ({"refund": "R", "amount": "5", "currency": "USD"}, True),
        ({"total": "5", "currency": "USD"}, True),
        ({"refund": "R", "amount": "5", "currency": "eur"}, False),
        ({"total": "5"}, False),
        ({"currency": "USD"}, False),
    ],
)
def test_a_part_in_another_currency_than_was_paid_in_is_no_part_that_can_be_told(told: dict[str, Any], other: bool):
    paid = Receipt(provider="digistore24", payment="11", amount="10", currency="EUR", at=START_US)
    fact = Refunded(provider="digistore24", payment="11", at=START_US, **told)
    assert is_other_money(fact, paid) is other
    assert not is_other_money(fact, receipt("11")), "nobody knows yet what it was paid in"
