"""Facts out of notifications, by tables: what each field of Digistore24's says."""

from typing import Any

import pytest

from farthing.commerce.digistore24.facts import facts_of
from farthing.commerce.digistore24.notification import notification_of
from farthing.commerce.inbox import NotOurs
from farthing.core.facts import AnyFact, Canceled, Ended, Missed, Paid, Refunded, Resumed
from tests.support import START_US

PAID = {
    "event": "on_payment", "api_mode": "live", "order_id": "AB12CD34", "order_item_id": "5", "transaction_id": "11",
    "payment_id": "PAYID-10-T7", "transaction_amount": "9.00", "transaction_currency": "EUR", "product_id": "201",
}  # fmt: skip
BACK = PAID | {"event": "on_refund", "transaction_id": "31", "parent_transaction_id": "11"}


def fact(fields: dict[str, str]) -> Any:
    (told,) = facts_of(notification_of(fields), START_US)
    return told


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("on_payment", Paid), ("on_payment_subscription_signup", Paid), ("on_refund", Refunded),
        ("on_chargeback", Refunded), ("on_payment_missed", Missed), ("on_rebill_cancelled", Canceled),
        ("on_rebill_resumed", Resumed), ("last_paid_day", Ended),
    ],
)  # fmt: skip
def test_events_that_say_something_of_money_or_of_an_order_are_facts(event: str, kind: type[AnyFact]):
    told = fact(PAID | {"event": event})
    assert type(told) is kind
    assert (told.order, told.test) == ("AB12CD34", False)


@pytest.mark.parametrize("event", ["payment_denial", "eticket", "custom_form", "on_affiliation", "thought_of_tomorrow"])
def test_other_events_say_nothing(event: str):
    assert facts_of(notification_of(PAID | {"event": event}), START_US) == []


@pytest.mark.parametrize(
    ("kind", "replaces"),
    [
        ("upgrade", "OLD"), ("downgrade", "OLD"), ("switch_plan", "OLD"), ("package_change", "OLD"),
        ("special_offer", ""),
    ],
)  # fmt: skip
def test_only_a_special_offer_leaves_the_order_as_it_is_that_it_came_of(kind: str, replaces: str):
    told = fact(PAID | {"upgraded_order_id": "OLD", "upgrade_type": kind})
    assert (told.came_of, told.replaces) == ("OLD", replaces)


@pytest.mark.parametrize(
    ("payment_id", "group"),
    [("PAYID-10-T7", "7"), ("PAYID-10-T3999937", "3999937"), ("", ""), ("PAYID-10", ""), ("PAYID-10-Tx", "")],
)
def test_what_was_paid_at_once_is_called_by_the_number_in_its_payment_id(payment_id: str, group: str):
    assert (fact(PAID | {"payment_id": payment_id}).group, fact(PAID).item) == (group, "5")


@pytest.mark.parametrize(
    ("payment_id", "parent", "loose", "group"),
    [
        # Another number than either: that of the payment, and the parent is its transaction.
        ("PAYID-10-T7", "11", False, "7"),
        ("PAYID-10-T7", "7", True, "7"),
        # The refund's own.
        ("PAYID-10-T31", "11", True, ""),
        ("", "11", True, ""),
        ("PAYID-10-T7", "", True, "7"),
    ],
)
def test_a_refund_says_what_it_is_of_by_a_transaction_or_by_a_number(
    payment_id: str, parent: str, loose: bool, group: str
):
    told = fact(BACK | {"payment_id": payment_id, "parent_transaction_id": parent})
    assert (told.payment, told.loose or not parent, told.group) == (parent, loose, group)
    assert (told.refund, told.amount, told.item) == ("31", "9.00", "5")


@pytest.mark.parametrize("amount", ["9.00", "-9.00"])
def test_what_goes_back_has_no_sign(amount: str):
    assert fact(BACK | {"transaction_amount": amount}).amount == "9.00"


def test_a_refund_of_a_sum_that_has_no_name_could_count_twice():
    with pytest.raises(NotOurs, match="could count twice"):
        fact(BACK | {"transaction_id": ""})
