"""Charges, debt and the limits of an account over time. The ledgers stand in the docstrings."""

from tests.core.stories import story

# Charges and shortfall


@story()
def test_a_charge_takes_to_the_last_and_no_further():
    """
    0d  grant g 10
    0d  charge a 10.000001      ! insufficient_credits required 10.000001 available 10 deficit 0.000001
    0d  charge b 10             | balance 0, available 0, left
    0d  charge c 0.000001       ! insufficient_credits available 0
    """


@story()
def test_the_allowance_can_be_spent_as_debt():
    """
    0d  grant g 10
    0d  account allowance=5     | available 15, balance 10
    0d  charge a 16             ! insufficient_credits available 15
    0d  charge b 12             | debt 2, balance -2, available 3, left
    0d  charge c 3              | debt 5, available 0
    0d  charge d 1              ! insufficient_credits available 0
    """


@story()
def test_shortfall_take_takes_what_there_is_and_says_what_is_unpaid():
    """
    0d  grant g 10
    0d  charge a 4 shortfall=take    | amount -4, unpaid 0
    0d  charge b 10 shortfall=take   | amount -6, unpaid 4, debt 0, spent 10
    0d  charge c 10 shortfall=take   | amount 0, unpaid 10, wrote charge
    0d  account allowance=3
    0d  charge d 10 shortfall=take   | amount -3, unpaid 7, debt 3, available 0
    """


@story()
def test_shortfall_debt_takes_all():
    """
    0d  grant g 10
    0d  charge a 25 shortfall=debt   | debt 15, balance -15, spent 25, left, available -15
    0d  charge b 1                   ! insufficient_credits required 1 available -15 deficit 16
    0d  charge c 1 shortfall=take    | amount 0, unpaid 1, available -15
    0d  charge d 1 shortfall=debt    | debt 16
    """


@story()
def test_a_charge_of_nothing_is_recorded_even_where_nothing_is_left():
    """
    0d  open
    0d  charge a 0 key=k             | wrote charge, amount 0
    0d  charge a 0 key=k             | again true
    0d  charge b 5 shortfall=debt
    0d  charge c 0                   | amount 0, debt 5
    0d  account spend_limit_day=1
    0d  charge d 0                   | amount 0
    0d  account frozen=yes
    0d  charge e 0                   ! frozen
    """


@story()
def test_a_lowered_allowance_may_leave_available_below_zero_until_more_is_granted():
    """
    0d  open
    0d  account allowance=10
    0d  charge a 10                  | debt 10, available 0
    0d  account allowance=4          | available -6, wrote settings
    0d  charge b 1                   ! insufficient_credits available -6
    0d  grant g 6                    | available 0, debt 4, left
    0d  charge c 1                   ! insufficient_credits available 0
    0d  grant h 1                    | available 1
    0d  charge d 1                   | available 0
    """


# Debt is repaid


@story()
def test_a_grant_repays_debt_oldest_first_in_its_own_entry():
    """
    0d  open
    0d  charge old 10 shortfall=debt
    1d  charge new 10 shortfall=debt
    2d  grant g 15                   | wrote grant, debt 5, left, balance -5, earned 15
    3d  refund new                   | debt 0, balance 5, left g:5
    3d  refund old                   | balance 15, left g:15
    """


@story()
def test_what_repaid_a_debt_counts_as_burnt_by_its_charge():
    """
    0d  grant a 4
    0d  charge c 10 shortfall=debt   | debt 6, left
    1d  grant b 20                   | debt 0, left b:14
    2d  refund c 5                   | left b:19
    2d  refund c 5                   | left a:4 b:20
    2d  refund c                     ! refund_too_large refundable 0
    """


@story()
def test_a_scoped_grant_repays_nothing():
    """
    0d  open
    0d  charge c 10 shortfall=debt
    0d  grant i 10 scope=image       | debt 10, left i:10
    0d  grant g 4                    | debt 6, left i:10
    """


@story()
def test_a_refund_of_unpaid_debt_lowers_the_debt_first():
    """
    0d  grant g 4
    0d  charge c 10 shortfall=debt   | debt 6
    0d  refund c 5                   | debt 1, left, balance -1
    0d  refund c 3                   | debt 0, left g:2, balance 2
    """


@story()
def test_an_adjustment_and_a_stand_in_repay_debt_too():
    """
    0d  grant g 10 until=1d
    0d  charge a 10
    2d  charge b 7 shortfall=debt    | debt 7
    2d  adjust +2                    | debt 5, left
    2d  refund a                     | debt 0, left g':5
    """


@story()
def test_debt_made_by_a_hold_that_ended_on_the_way_is_repaid_by_the_grant_that_found_it():
    """
    0d   open
    0d   account allowance=10
    0d   hold h 8 ttl=1h on_expiry=all | available 2
    2h   grant g 20                  | wrote expire grant, debt 0, left g:12
    """


# Settings


@story()
def test_a_frozen_account_takes_no_charge_and_no_hold_but_settles_refunds_and_grants():
    """
    0d  grant g 100
    0d  charge c 10
    0d  hold h 20 ttl=1d
    0d  account frozen=yes
    0d  charge d 1                   ! frozen
    0d  charge d 1 shortfall=debt    ! frozen
    0d  hold i 1 ttl=1h              ! frozen
    0d  extend h raise_by=1          ! frozen
    0d  extend h metered=1           ! frozen
    0d  settle s h 21                ! frozen
    0d  settle s h 21 shortfall=debt ! frozen
    0d  settle s h 5 last=no         | held 15
    0d  release h                    | held 0
    0d  refund c                     | balance 95
    0d  grant f 5                    | balance 100
    0d  adjust -1                    | balance 99
    0d  account frozen=no
    0d  charge d 1                   | balance 98
    """


@story()
def test_a_spend_limit_counts_the_day_and_what_holds_may_still_take():
    """
    0d   grant g 1000
    0d   account spend_limit_day=50
    1h   charge a 30
    2h   charge b 21                 ! spend_limit period day limit 50 left 20 required 21
    2h   hold h 15 ttl=3d
    2h   charge b 6                  ! spend_limit period day left 5 required 6
    2h   hold i 6 ttl=1h             ! spend_limit period day left 5
    2h   extend h raise_by=6         ! spend_limit period day left 5
    2h   settle s h 21               ! spend_limit period day left 5 required 6
    2h   charge b 5
    1d   charge c 36                 ! spend_limit left 35
    1d   charge c 35
    """


@story()
def test_a_refund_gives_back_room_under_the_limit_of_its_charge_s_day_only():
    """
    0d   grant g 1000
    0d   account spend_limit_day=50 spend_limit_month=90
    1h   charge a 50
    25h  charge b 40
    26h  charge c 11                 ! spend_limit period day left 10
    26h  charge c 10                 ! spend_limit period month limit 90 left 0
    26h  refund a 20
    26h  charge c 11                 ! spend_limit period day left 10
    26h  charge c 10                 | spent 80
    26h  refund b 5
    26h  charge d 5                  | spent 80
    """


@story()
def test_the_month_s_limit_ends_with_the_month():
    """
    0d    grant g 1000
    0d    account spend_limit_month=50
    1d    charge a 50
    30d23h59m59s  charge b 1         ! spend_limit period month
    31d   charge b 50                | spent 100
    """


@story()
def test_the_limit_s_day_begins_in_the_account_s_zone():
    """Kolkata is 5 h 30 min ahead: its second of January begins at 18:30 UTC on the first.

    0d      grant g 1000
    0d      account spend_limit_day=50 timezone=Asia/Kolkata
    1h      charge a 50
    18h29m  charge b 1               ! spend_limit
    18h30m  charge b 50              | spent 100
    1d      charge c 1               ! spend_limit
    """


@story()
def test_a_day_has_25_hours_where_clocks_are_set_back():
    """Berlin, 25 October 2026 (day 297 from the first of January): 22:00 UTC the day before to 23:00 UTC.

    0d        grant g 1000
    0d        account spend_limit_day=50 timezone=Europe/Berlin
    296d21h59m  charge z 50
    296d22h   charge a 50            | spent 100
    297d22h59m  charge b 1           ! spend_limit
    297d23h   charge b 50            | spent 150
    """


@story()
def test_spending_counts_before_the_limit_was_set():
    """
    0d   grant g 1000
    1h   charge a 30
    2h   account spend_limit_day=40
    2h   charge b 11                 ! spend_limit left 10
    2h   account spend_limit_day=none
    2h   charge b 11                 | spent 41
    """


@story()
def test_a_time_zone_that_does_not_exist_is_refused():
    """
    0d   open
    0d   account timezone=Nowhere/Land   ! invalid field timezone
    0d   account timezone=Europe/Berlin  | wrote settings
    """
