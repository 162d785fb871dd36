"""Clawbacks over time: what a payment gave goes back with the payment, and is pinned while it is disputed."""

from tests.core.stories import story


@story()
def test_what_is_free_goes_and_what_was_spent_is_owed():
    """
    0d  grant paid 100 priority=10
    0d  grant gift 50
    1d  charge c 70               | left paid:30 gift:50
    2d  clawback paid 100         | left gift:50, debt 70, balance -20, written_off 100, wrote clawback
    3d  grant more 90             | left gift:50 more:20, debt 0
    """


@story()
def test_a_part_takes_only_what_is_not_paid_for_any_more():
    """
    0d  grant paid 100
    1d  charge c 70               | left paid:30
    2d  clawback paid 20          | left paid:10, debt 0, balance 10
    2d  clawback paid 50          | left , debt 20, balance -20, written_off 50
    """


@story()
def test_a_total_told_twice_or_late_takes_nothing_more():
    """
    0d  grant paid 100
    1d  clawback paid 60          | balance 40
    1d  clawback paid 60          | balance 40, amount 0
    1d  clawback paid 20          | balance 40, amount 0
    2d  clawback paid 100         | balance 0
    3d  clawback paid 100         | balance 0, amount 0
    """


@story()
def test_the_same_key_takes_once_and_another_total_under_it_is_a_conflict():
    """
    0d  grant paid 100
    1d  clawback paid 60 key=k    | balance 40
    1d  clawback paid 60 key=k    | balance 40, again true
    1d  clawback paid 70 key=k    ! key_conflict
    """


@story()
def test_what_has_lapsed_counts_first():
    """
    0d  grant paid 100 until=10d
    1d  charge c 40
    11d clawback paid 50          | debt 0, balance 0, wrote lapse clawback
    11d clawback paid 100         | debt 40, balance -40
    """


@story()
def test_what_a_hold_has_pinned_stays_pinned_and_is_owed():
    """
    0d  grant paid 100
    0d  hold h 60 ttl=5d
    1d  clawback paid 100         | left paid:60, pinned paid:60, debt 60, available -60
    2d  settle s h 50             | balance -50, debt 60, left paid:10
    """


@story()
def test_more_than_the_payment_gave_is_never_taken():
    """
    0d  grant paid 10
    0d  grant other 90
    1d  clawback paid 1000        | left other:90, debt 0
    """


@story()
def test_a_voided_grant_has_nothing_left_to_take():
    """
    0d  grant paid 100
    0d  charge c 30
    1d  void paid                 | debt 30, balance -30
    1d  clawback paid 100         | debt 30, balance -30, amount 0
    """


@story()
def test_what_was_taken_back_is_not_voided_again():
    """
    0d  grant paid 100
    0d  charge c 80
    1d  clawback paid 50          | left , debt 30, balance -30
    1d  void paid                 | debt 80, balance -80
    """


@story()
def test_a_dispute_pins_the_rest_of_its_own_grant_and_nothing_else():
    """
    0d  grant paid 100 priority=10
    0d  grant gift 50
    0d  charge c 30
    1d  dispute d paid            | pinned paid:70, available 50, balance 120, wrote dispute
    1d  charge e 60               ! insufficient_credits available 50
    1d  charge e 50               | available 0
    2d  close d paid 0            | pinned , available 70, holds 0, wrote close
    """


@story()
def test_a_lost_dispute_takes_what_it_pinned_and_owes_the_rest():
    """
    0d  grant paid 100
    0d  charge c 30
    1d  dispute d paid            | available 0
    2d  close d paid 100          | balance -30, debt 30, held 0, left , written_off 100
    """


@story()
def test_a_dispute_is_nobody_elses_to_end():
    """
    0d  grant paid 100
    1d  dispute d paid
    1d  settle s d 10             ! hold_not_found
    1d  release d                 ! hold_not_found
    1d  extend d raise_by=1       ! hold_not_found
    1d  hold h 1 ttl=1d                ! insufficient_credits available 0
    2d  close d paid 0            | available 100
    2d  close d paid 0            ! hold_ended state released
    """


@story()
def test_an_ordinary_hold_is_no_dispute():
    """
    0d  grant paid 100
    0d  hold h 10 ttl=5d
    1d  close h paid 0            ! hold_not_found
    """


@story()
def test_a_disputed_rest_that_lapses_meanwhile_is_gone_when_it_comes_back():
    """
    0d  grant paid 100 until=10d
    1d  dispute d paid
    20d close d paid 0            | balance 0, lapsed 100
    """


@story()
def test_with_nothing_left_a_dispute_pins_nothing():
    """
    0d  grant paid 100
    0d  charge c 100
    1d  dispute d paid            | holds 0, amount 0
    2d  clawback paid 100         | debt 100
    """


@story()
def test_what_is_refused_names_what_is_wrong():
    """
    0d  clawback grt_x 1          ! account_not_found
    0d  dispute d grt_x           ! account_not_found
    0d  grant paid 10
    0d  clawback grt_x 1          ! grant_not_found grant grt_x
    0d  dispute d grt_x           ! grant_not_found grant grt_x
    0d  close hold_x paid 0       ! hold_not_found hold hold_x
    0d  dispute d paid
    0d  close d grt_x 0           ! grant_not_found grant grt_x
    0d  clawback paid -1          ! invalid field total
    0d  close d paid -1           ! invalid field total
    """
