"""Refunds over time: back into the grants they came from, or what stands in for them. Ledgers in the docstrings."""

from tests.core.stories import story


@story()
def test_a_refund_goes_back_into_the_grants_it_came_from():
    """
    0d  grant a 10 until=9d
    0d  grant b 10
    0d  charge c 15                  | left b:5
    1d  refund c 7                   | left a:2 b:10, spent 8
    1d  refund c 8                   | left a:10 b:10, spent 0
    """


@story()
def test_refunds_are_cumulative_and_never_above_the_charge():
    """
    0d  grant g 10
    0d  charge c 6
    0d  refund c 4
    0d  refund c 3                   ! refund_too_large refundable 2
    0d  refund c                     | amount 2, left g:10
    0d  refund c 1                   ! refund_too_large refundable 0
    0d  refund c                     ! refund_too_large refundable 0
    """


@story()
def test_a_refund_into_a_lapsed_grant_makes_a_new_one_for_the_days_of_grace():
    """
    0d  grant g 10 until=1d category=promotional priority=7
    0d  charge c 6
    2d  refund c                     | wrote lapse refund, left g':6, balance 6, lapsed 4, spent 0, earned 10
    8d  wait                         | left g':6
    9d  wait                         | left, lapsed 10
    """


@story()
def test_at_the_instant_of_its_expiry_a_grant_takes_no_refund_any_more():
    """
    0d   grant g 10 until=2d
    0d   charge c 6
    1d23h59m59s  refund c 1          | left g:5
    2d   refund c 1                  | wrote lapse refund, left g':1, lapsed 5
    """


@story(refund_lapsed="lapse")
def test_a_workspace_may_let_a_refund_into_a_lapsed_grant_lapse():
    """
    0d  grant g 10 until=1d
    0d  grant h 10 until=9d
    0d  charge c 16                  | left h:4
    2d  refund c                     | left h:10, lapsed 10, spent 0, balance 10, amount 6
    """


@story(refund_lapsed="lapse")
def test_a_refund_into_a_voided_grant_makes_a_stand_in_whatever_the_workspace_chose():
    """
    0d  grant g 10 until=1d
    0d  charge c 6
    0d  void g                       | debt 6
    2d  refund c                     | debt 0, balance 0, left
    """


@story(refund_grace_days=2)
def test_the_days_of_grace_are_the_workspace_s():
    """
    0d  grant g 10 until=1d
    0d  charge c 6
    2d  refund c                     | left g':6
    4d  wait                         | lapsed 10
    """


@story()
def test_a_refund_into_a_grant_that_was_spent_to_the_last_brings_it_back_with_its_date():
    """
    0d  grant g 10 until=3d
    0d  charge c 10                  | left
    1d  refund c 4                   | left g:4
    3d  wait                         | lapsed 4
    """


@story()
def test_a_refund_without_a_charge_takes_the_latest_ones_newest_first():
    """
    0d  grant a 10 until=9d
    0d  grant b 10
    0d  charge c 8
    1d  charge d 6                   | left b:6
    2d  refund latest 7              | left a:3 b:10
    2d  refund c                     | left a:10 b:10
    2d  refund latest 1              ! refund_too_large refundable 0
    """


@story()
def test_a_refund_without_a_charge_passes_over_what_is_refunded_and_what_is_no_charge():
    """
    0d  grant a 100
    0d  charge c 8
    0d  charge d 6
    0d  refund d
    0d  adjust -10
    0d  refund latest 9              ! refund_too_large refundable 8
    0d  refund latest 8              | left a:90
    """


@story()
def test_a_refund_without_a_charge_finds_settles_and_the_expiry_on_its_way():
    """
    0d  grant a 100
    0d  charge c 8
    0d  hold h 20 ttl=1h
    0d  settle s h 5
    0d  hold i 20 ttl=1h on_expiry=all
    2h  refund latest 34             ! refund_too_large refundable 33
    2h  refund latest 22             | wrote expire refund, left a:89
    2h  refund expiry                ! refund_too_large refundable 0
    2h  refund latest 11             | left a:100
    """


@story()
def test_a_charge_of_another_account_is_not_found():
    """
    0d  grant a 10
    0d  charge c 5
    0d  grant b 10 as=bob
    0d  refund c as=bob              ! charge_not_found
    """
