"""What programs are told of a payment, by its receipt before and after."""

from typing import Any

import pytest
from msgspec.structs import replace

from farthing.core.events import TYPES
from farthing.core.purchase_events import happened
from farthing.core.purchases import Receipt

BARE = Receipt(provider="stripe", payment="pi_1", at=0)
PAID = replace(BARE, account="alice", amount="10.00", currency="EUR", order="sub_1", offer="writer/pro")
CREDITED = replace(PAID, state="credited", credits=1_000_000, grant="grt_1", entry="ent_1")
FACTS = {
    "provider": "stripe", "payment": "pi_1", "order": "sub_1", "offer": "writer/pro", "amount": "10.00",
    "currency": "EUR",
}  # fmt: skip


def changed(receipt: Receipt, **more: Any) -> Receipt:
    return replace(receipt, **more)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, PAID, []),
        (PAID, CREDITED, [("payment.credited", {"credits": "1", "entry": "ent_1"})]),
        (CREDITED, CREDITED, []),
        (
            None,
            changed(PAID, reason="no_account"),
            [("payment.waiting", {"reason": "no_account", "facts": ""})],
        ),
        (changed(PAID, reason="no_account"), changed(PAID, reason="no_account"), []),
        (
            CREDITED,
            changed(CREDITED, returned={"all": "2.50"}),
            [("payment.refunded", {"returned": "2.50", "credits": "0.25"})],
        ),
        (changed(CREDITED, returned={"all": "2.50"}), changed(CREDITED, returned={"all": "2.50"}, taken=250_000), []),
        (
            changed(CREDITED, returned={"re_1": "2.50"}),
            changed(CREDITED, returned={}),
            [("payment.refund_failed", {"returned": "0", "credits": "0"})],
        ),
        (CREDITED, changed(CREDITED, dispute="dp_1"), [("dispute.opened", {"dispute": "dp_1"})]),
        (changed(CREDITED, dispute="dp_1"), changed(CREDITED, dispute="dp_1", asked="dp_1", hold="hold_1"), []),
        (
            changed(CREDITED, dispute="dp_1"),
            changed(CREDITED, closed=("dp_1",), lost=True),
            [("dispute.closed", {"dispute": "dp_1", "won": False})],
        ),
        (None, changed(BARE, returned={"all": "2.50"}), []),
        (
            changed(BARE, returned={"all": "2.50"}, dispute="dp_1"),
            changed(PAID, returned={"all": "2.50"}, dispute="dp_1"),
            [("payment.refunded", {"returned": "2.50", "credits": "0"}), ("dispute.opened", {"dispute": "dp_1"})],
        ),
    ],
)
def test_each_change_is_told_once_and_what_came_before_its_payment_with_it(before, after, told):
    assert list(happened(before, after, 6)) == [(type, FACTS | said) for type, said in told]
    for type, said in told:
        assert FACTS.keys() | said.keys() | {"workspace", "account"} == set(TYPES[type].data.__struct_fields__)
