"""Holds that end by time, and settles that come late. The ledgers stand in the docstrings."""

from tests.core.stories import story


@story()
def test_a_hold_that_ends_is_released_by_default():
    """
    0d   grant g 100
    0d   hold h 30 ttl=1h
    59m  charge c 71                 ! insufficient_credits
    1h   charge c 71                 | wrote expire charge, dated 1h 1h, held 0, spent 71
    1h   settle s h 1                ! hold_ended state expired
    """


@story()
def test_a_hold_that_ends_metered_charges_its_last_report():
    """
    0d   grant g 100
    0d   hold h 30 ttl=1h on_expiry=metered
    30m  extend h metered=12         | held 30, spent 0
    2h   wait                        | wrote expire, spent 12, held 0, available 88
    """


@story()
def test_a_metered_hold_charges_only_what_was_not_settled_yet():
    """
    0d   grant g 100
    0d   hold h 30 ttl=1h on_expiry=metered
    0d   extend h metered=12
    0d   settle s h 5 last=no
    2h   wait                        | spent 12, available 88
    """


@story()
def test_a_metered_hold_that_settled_more_than_it_reported_charges_nothing_at_its_end():
    """
    0d   grant g 100
    0d   hold h 30 ttl=1h on_expiry=metered
    0d   extend h metered=4
    0d   settle s h 5 last=no
    2h   wait                        | spent 5, available 95
    """


@story()
def test_a_hold_that_ends_may_be_charged_whole():
    """
    0d   grant g 100
    0d   hold h 30 ttl=1h on_expiry=all
    0d   settle s h 10 last=no
    2h   wait                        | wrote expire, spent 30, available 70
    2h   refund expiry               | spent 10, available 90
    """


@story()
def test_lapses_and_ends_of_holds_are_booked_in_the_order_of_time():
    """
    0d   grant g 100 until=2h
    0d   hold h 30 ttl=1h
    0d   hold i 20 ttl=3h
    4h   wait                        | wrote expire lapse expire, dated 1h 2h 3h, lapsed 100, balance 0
    """


@story()
def test_a_grant_that_lapses_when_a_hold_ends_lapses_first():
    """
    0d   grant g 100 until=1h
    0d   hold h 30 ttl=1h
    1h   wait                        | wrote lapse expire, dated 1h 1h, lapsed 100
    """


@story()
def test_a_late_settle_charges_what_expiry_did_not_take():
    """
    0d   grant g 100
    0d   hold h 30 ttl=1h on_expiry=metered
    0d   extend h metered=12
    2h   settle s h 20 late=charge   | wrote expire settle, spent 20, amount -8, debt 0
    2h   settle t h 30 late=charge   ! hold_ended state settled
    """


@story()
def test_a_late_settle_takes_debt_whatever_its_shortfall_says():
    """
    0d   grant g 30
    0d   hold h 30 ttl=1h
    2h   charge c 25
    2h   settle s h 20               ! hold_ended state expired
    2h   settle s h 20 late=charge   | spent 45, debt 15, balance -15, left
    """


@story()
def test_a_late_settle_of_less_than_expiry_took_comes_to_nothing():
    """
    0d   grant g 100
    0d   hold h 30 ttl=1h on_expiry=all
    2h   settle s h 20 late=charge   | spent 30, amount 0
    """


@story()
def test_a_late_settle_of_a_hold_that_was_released_is_refused():
    """
    0d   grant g 100
    0d   hold h 30 ttl=1h
    0d   release h
    2h   settle s h 20 late=charge   ! hold_ended state released
    """


@story()
def test_a_late_settle_does_nothing_above_a_freeze():
    """
    0d   grant g 100
    0d   hold h 30 ttl=1h
    0d   account frozen=yes
    2h   settle s h 20 late=charge   ! frozen
    2h   settle s h 0 late=charge    | amount 0
    """
