"""Holds over time: pinned, settled, released, extended. The ledgers stand in the docstrings."""

from tests.core.stories import story


@story()
def test_a_hold_sets_credits_aside_and_they_can_not_be_charged():
    """
    0d  grant g 100
    0d  hold h 30 ttl=1h             | balance 100, held 30, available 70, pinned g:30, holds 1, amount 0
    0d  charge c 71                  ! insufficient_credits available 70
    0d  hold i 71 ttl=1h             ! insufficient_credits available 70
    0d  charge c 70                  | available 0, left g:30
    """


@story()
def test_a_hold_is_settled_for_less_and_the_rest_comes_back():
    """
    0d  grant g 100
    0d  hold h 30 ttl=1h
    0d  settle s h 12                | balance 88, held 0, available 88, spent 12, holds 0, amount -12
    0d  settle t h 1                 ! hold_ended state settled
    0d  release h                    ! hold_ended state settled
    """


@story()
def test_a_hold_is_settled_for_all_of_it_or_for_nothing():
    """
    0d  grant g 100
    0d  hold h 30 ttl=1h
    0d  settle s h                   | balance 70, held 0
    0d  hold i 30 ttl=1h
    0d  settle t i 0                 | balance 70, held 0, wrote settle, amount 0
    """


@story()
def test_a_hold_is_settled_for_more_from_what_is_available():
    """
    0d  grant g 100
    0d  hold h 30 ttl=1h
    0d  charge c 60                  | available 10
    0d  settle s h 41                ! insufficient_credits required 41 available 40 deficit 1
    0d  settle s h 40                | balance 0, held 0, spent 100
    """


@story()
def test_a_settle_for_more_follows_its_shortfall():
    """
    0d  grant g 50
    0d  hold h 30 ttl=1h
    0d  hold i 20 ttl=1h             | available 0
    0d  settle s h 35 shortfall=take | amount -30, unpaid 5, debt 0, held 20
    0d  settle t i 25 shortfall=debt | amount -25, unpaid 0, debt 5, balance -5, held 0
    """


@story()
def test_a_hold_is_settled_in_parts_until_the_last():
    """
    0d  grant g 100
    0d  hold h 30 ttl=1h
    0d  settle a h 10 last=no        | held 20, spent 10, holds 1
    0d  settle b h 5 last=no         | held 15, spent 15
    0d  settle c h 16 last=no        | held 0, spent 31, holds 1
    0d  settle d h 0                 | holds 0, spent 31
    """


@story()
def test_a_hold_is_released_as_if_it_had_not_been():
    """
    0d  grant a 10 until=9d
    0d  grant b 10
    0d  hold h 15 ttl=1h             | pinned a:10 b:5
    0d  release h                    | pinned, available 20, spent 0, wrote release
    0d  release h                    ! hold_ended state released
    """


@story()
def test_a_charge_passes_over_what_is_pinned():
    """
    0d  grant a 10 until=9d
    0d  grant b 10
    0d  hold h 8 ttl=1h              | pinned a:8
    0d  charge c 5                   | left a:8 b:7
    0d  settle s h                   | left b:7
    """


# What is pinned does not lapse


@story()
def test_what_a_hold_pins_does_not_lapse_while_it_lives():
    """
    0d   grant g 100 until=1d
    0d   hold h 30 ttl=3d
    2d   wait                        | wrote lapse, lapsed 70, left g:30, held 30
    2d   settle s h 20 last=no       | left g:10, spent 20, wrote settle
    2d   settle t h 10               | left, lapsed 70, spent 30
    """


@story()
def test_what_comes_back_after_its_grant_s_date_lapses_at_that_moment():
    """
    0d   grant g 100 until=1d
    0d   grant h 10
    0d   hold x 30 ttl=3d
    2d   settle s x 20               | wrote lapse settle, lapsed 80, left h:10, amount -30, spent 20
    2d   refund s 20                 | balance 30, spent 0
    """


@story()
def test_a_settle_after_the_grant_s_date_can_still_be_refunded():
    """
    0d   grant g 100 until=1d
    0d   hold x 30 ttl=3d
    2d   settle s x 20
    2d   refund s                    | left g':20, spent 0
    2d   refund s                    ! refund_too_large refundable 0
    """


# Extend


@story()
def test_extend_moves_the_end_both_ways():
    """
    0d   grant g 100
    0d   hold h 30 ttl=1h
    30m  extend h until=5h           | wrote extend, held 30
    2h   wait                        | held 30
    2h   extend h until=3h
    3h   wait                        | held 0
    3h   extend h until=5h           ! hold_ended state expired
    """


@story()
def test_extend_refuses_an_end_in_the_past():
    """
    0d   grant g 100
    0d   hold h 30 ttl=2h
    1h   extend h until=1h           ! invalid field expires_at
    1h   extend h until=59m          ! invalid field expires_at
    """


@story(hold_max_minutes=120)
def test_a_hold_lives_so_long_and_no_longer_extends_included():
    """
    0d   grant g 100
    0d   hold h 30 ttl=2h1s          ! hold_too_long max_minutes 120
    0d   hold h 30 ttl=2h
    0d   hold i 30 ttl=1h
    30m  extend i until=2h1s         ! hold_too_long max_minutes 120
    30m  extend i until=2h
    2h   wait                        | held 0
    """


@story()
def test_extend_raises_the_amount_from_what_is_available():
    """
    0d   grant a 10 until=9d
    0d   grant b 30
    0d   hold h 5 ttl=1h             | pinned a:5
    0d   extend h raise_by=10        | pinned a:10 b:5, held 15, available 25, amount 0
    0d   extend h raise_by=26        ! insufficient_credits required 26 available 25
    0d   settle s h                  | spent 15, left b:25
    """


@story()
def test_metered_never_falls_and_is_at_most_what_is_held():
    """
    0d   grant g 100
    0d   hold h 30 ttl=1h on_expiry=metered
    0d   extend h metered=10
    0d   extend h metered=10
    0d   extend h metered=9          ! metered_invalid metered 9 at_least 10 at_most 30
    0d   extend h metered=31         ! metered_invalid metered 31 at_most 30
    0d   extend h metered=31 raise_by=1
    1h   wait                        | spent 31
    """


# Holds on the allowance


@story()
def test_a_hold_may_rest_on_the_allowance_and_becomes_debt_when_it_is_settled():
    """
    0d   grant g 10
    0d   account allowance=20
    0d   hold h 25 ttl=1h            | pinned g:10, held 25, available 5, debt 0
    0d   charge c 6                  ! insufficient_credits available 5
    0d   settle s h                  | debt 15, left, available 5, held 0
    """


@story()
def test_a_hold_on_the_allowance_can_be_settled_after_the_allowance_was_lowered():
    """
    0d   open
    0d   account allowance=20
    0d   hold h 20 ttl=1h            | available 0
    0d   account allowance=0         | available -20
    0d   settle s h                  | debt 20, available -20, held 0
    """


@story()
def test_what_rests_on_the_allowance_is_paid_by_free_credits_when_there_are_some():
    """
    0d   open
    0d   account allowance=20
    0d   hold h 20 ttl=1h
    0d   grant g 12                  | available 12, left g:12
    0d   settle s h                  | debt 8, left, available 12
    """


@story()
def test_credits_that_back_a_hold_on_the_allowance_are_not_spent_twice():
    """
    0d   grant g 10
    0d   account allowance=5
    0d   hold h 12 ttl=1h            | available 3, pinned g:10
    0d   charge c 3                  | debt 3, available 0
    0d   charge d 1                  ! insufficient_credits available 0
    0d   settle s h                  | debt 5, available 0
    """


# Limits, strangers


@story(max_live_holds=2)
def test_an_account_has_only_so_many_live_holds():
    """
    0d   grant g 100
    0d   hold a 1 ttl=1h
    0d   hold b 1 ttl=2h
    0d   hold c 1 ttl=1h             ! too_many_holds limit 2
    1h   hold c 1 ttl=1h             | holds 2
    1h   release b
    1h   hold d 1 ttl=1h             | holds 2
    """


@story()
def test_a_hold_of_another_account_is_not_found():
    """
    0d   grant g 100
    0d   hold h 30 ttl=1h
    0d   grant f 10 as=bob
    0d   settle s h 1 as=bob         ! hold_not_found
    0d   release h as=bob            ! hold_not_found
    0d   extend h metered=1 as=bob   ! hold_not_found
    0d   release nothing             ! hold_not_found hold nothing
    0d   settle s h 1                | spent 1
    """


@story()
def test_a_repeated_settle_is_the_first_answer_and_the_amount_left_out_is_what_was_held():
    """
    0d   grant g 100
    0d   hold h 30 ttl=1h key=h
    0d   settle s h key=k            | amount -30
    0d   settle s h key=k            | again true
    0d   settle s h 30 key=k         | again true
    0d   settle s h 29 key=k         ! key_conflict differs amount
    0d   hold h 30 ttl=1h key=h      | again true, held 0
    """


@story()
def test_a_repeated_part_of_all_that_is_left_is_the_first_answer_even_after_a_raise():
    """
    0d   grant g 100
    0d   hold h 30 ttl=1h
    0d   settle s h last=no key=k    | amount -30
    0d   extend h raise_by=5
    0d   settle s h last=no key=k    | again true, held 5
    """


@story()
def test_a_hold_with_a_scope_pins_scoped_credits_first():
    """
    0d   grant i 10 scope=image
    0d   grant a 10
    0d   hold h 15 image ttl=1h      | pinned i:10 a:5
    0d   settle s h 12               | left a:8, spent 12
    0d   refund s                    | left i:10 a:10
    """
