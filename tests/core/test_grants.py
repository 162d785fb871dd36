"""Grants over time: burning, lapsing, voiding, setting and adjusting. The ledgers stand in the docstrings."""

from tests.core.stories import story


@story()
def test_the_grant_that_expires_sooner_pays_first():
    """
    0d   grant late 100 until=30d
    0d   grant soon 50 until=10d
    0d   grant never 20
    1d   charge c 60               | left late:90 never:20, balance 110, wrote charge
    10d  charge d 100              | left never:10
    """


@story()
def test_the_lower_priority_number_pays_before_the_sooner_expiry():
    """
    0d  grant soon 10 until=1d
    0d  grant first 10 priority=10
    0d  grant last 10 priority=90
    0d  charge c 15               | left soon:5 last:10
    """


@story()
def test_promotional_credits_pay_before_paid_ones_and_older_before_newer():
    """
    0d  grant paid 10
    1d  grant old 10 category=promotional
    2d  grant new 10 category=promotional
    3d  charge c 15               | left new:5 paid:10
    3d  charge d 10               | left paid:5
    """


@story()
def test_a_grant_is_gone_at_the_instant_it_expires():
    """
    0d        grant g 100 until=2d
    1d23h59m59s  charge c 30      | available 70
    2d        charge d 1          ! insufficient_credits required 1 available 0 deficit 1
    2d        wait                | balance 0, lapsed 70, spent 30, earned 100, wrote lapse
    """


@story()
def test_lapses_are_booked_on_the_way_dated_at_the_lapse():
    """
    0d   grant a 10 until=1d
    0d   grant b 20 until=2d
    0d   grant c 30
    5d   charge d 5               | wrote lapse lapse charge, dated 1d 2d 5d, balance 25, lapsed 30
    """


@story()
def test_grants_that_expire_together_lapse_in_one_entry():
    """
    0d   grant a 10 until=1d
    0d   grant b 20 until=1d
    2d   wait                     | wrote lapse, lapsed 30, at 1767312000
    """


@story()
def test_a_refused_command_books_no_lapse():
    """
    0d   grant a 10 until=1d
    2d   charge c 11              ! insufficient_credits available 0
    2d   open as=bob
    3d   grant b 5                | wrote lapse grant, dated 1d 3d
    """


@story()
def test_a_grant_makes_the_account_unless_it_must_be_there():
    """
    0d  grant g 10 as=bob must_exist=yes   ! account_not_found account bob
    0d  grant g 10 as=bob                  | wrote open grant, number 2, balance 10
    0d  open as=bob                        ! account_exists account bob
    0d  open as=eve                        | wrote open, number 1, balance 0
    0d  charge c 1 as=nobody               ! account_not_found account nobody
    """


@story()
def test_a_grant_that_is_already_over_is_refused():
    """
    1d  grant g 10 until=1d                ! invalid field expires_at
    1d  grant g 10 until=1d1s              | balance 10
    """


# Scope


@story()
def test_scoped_credits_pay_only_what_they_match_and_then_first():
    """
    0d  grant images 50 scope=image priority=100
    0d  grant any 20 priority=0
    0d  charge a 5 chat                    | left images:50 any:15, available 15
    0d  charge b 30 image                  | left images:20 any:15
    0d  charge c 30 image                  | left any:5
    """


@story()
def test_available_in_a_refusal_counts_what_this_request_could_burn():
    """
    0d  grant images 50 scope=image
    0d  grant any 20
    0d  charge a 100 image                 ! insufficient_credits available 70 deficit 30
    0d  charge b 100 chat                  ! insufficient_credits available 20 deficit 80
    0d  charge c 100                       ! insufficient_credits available 20 deficit 80
    0d  hold h 100 image ttl=1h            ! insufficient_credits available 70 deficit 30
    0d  hold h 60 image ttl=1h             | pinned images:50 any:10, available 10
    0d  charge d 100 image                 ! insufficient_credits available 10 deficit 90
    """


@story()
def test_a_scope_may_name_model_service_or_product():
    """
    0d  grant m 50 scope=model:gpt*,service:voice
    0d  charge a 1 chat attributes=model:claude   ! insufficient_credits available 0
    0d  charge a 1 chat attributes=model:gpt-4o   | left m:49
    0d  charge a 1 chat attributes=service:voice  | left m:48
    """


@story()
def test_debt_counts_against_scoped_requests_too():
    """
    0d  open
    0d  charge a 30 shortfall=debt         | debt 30, balance -30
    0d  grant images 50 scope=image        | debt 30, balance 20, left images:50, available -30
    0d  charge b 21 image                  ! insufficient_credits available 20 deficit 1
    0d  charge b 20 image                  | debt 30, left images:30, balance 0
    """


# Limits


@story(max_live_grants=2)
def test_an_account_has_only_so_many_live_grants():
    """
    0d  grant a 10
    0d  grant b 10 until=1d
    0d  grant c 10                         ! too_many_grants limit 2
    0d  adjust +1                          ! too_many_grants limit 2
    0d  set 50 difference                  ! too_many_grants limit 2
    0d  set 5 difference                   | balance 5
    0d  charge x 5                         | left
    0d  grant c 10                         | left c:10
    0d  grant d 10 until=1d
    1d  grant e 10                         | left c:10 e:10
    1d  set 7 replace s                    | left s:7
    """


@story(max_live_grants=2)
def test_replacing_counts_the_grants_that_stay():
    """
    0d  grant a 10
    0d  grant b 10 scope=image
    0d  hold h 3 ttl=1h                    | pinned a:3
    0d  set 7 replace                      ! too_many_grants limit 2
    0d  set 0 replace                      | left b:10 a:3
    0d  release h                          | left b:10 a:3
    0d  set 7 replace s                    | left b:10 s:7
    """


# Void


@story()
def test_a_void_takes_what_is_free_and_owes_what_is_spent():
    """
    0d  grant g 100
    0d  grant h 50
    0d  charge c 30                        | left g:70 h:50
    0d  void g                             | left h:50, debt 30, balance 20, written_off 100, spent 30, available 20
    0d  void g                             ! grant_ended
    0d  void grt_00000000000000000000000000000000  ! grant_not_found
    """


@story()
def test_a_void_marks_what_a_hold_pins_and_takes_it_when_it_is_released():
    """
    0d  grant g 100
    0d  hold h 40 ttl=1h                   | pinned g:40
    0d  void g                             | left g:40, written_off 60, held 40, debt 0, available 0
    0d  release h                          | left, written_off 100, held 0, balance 0, debt 0
    """


@story()
def test_a_hold_on_a_voided_grant_can_be_settled_and_what_it_took_becomes_debt():
    """
    0d  grant g 100
    0d  hold h 40 ttl=1h
    0d  void g                             | left g:40
    0d  settle s h 25                      | left, debt 25, spent 25, written_off 100, balance -25
    """


@story()
def test_a_void_of_a_lapsed_grant_owes_just_what_was_spent():
    """
    0d  grant g 100 until=1d
    0d  charge c 30
    2d  void g                             | wrote lapse void, lapsed 70, written_off 30, debt 30, balance -30
    """


@story(refund_lapsed="lapse")
def test_what_was_refunded_and_lapsed_is_not_spent_when_its_grant_is_voided():
    """
    0d  grant g 100 until=1d
    0d  charge c 30
    2d  refund c                           | lapsed 100, spent 0, balance 0
    2d  void g                             | debt 0, balance 0, written_off 0
    """


@story()
def test_a_void_does_not_touch_other_grants_even_of_the_same_terms():
    """
    0d  grant g 100 until=9d
    0d  grant h 100 until=9d
    0d  charge c 150                       | left h:50
    0d  void h                             | left, debt 50, balance -50, written_off 100
    """


# Set and adjust


@story()
def test_set_replace_writes_off_what_is_free_and_gives_one_grant_with_its_own_date():
    """
    0d  grant a 100 until=1d
    0d  grant b 50
    0d  set 70 replace s until=5d          | left s:70, written_off 150, earned 220, balance 70, wrote set
    2d  wait                               | balance 70
    5d  wait                               | balance 0, lapsed 70
    """


@story()
def test_set_replace_leaves_what_holds_pin_and_makes_the_amount_spendable():
    """
    0d  grant a 100
    0d  hold h 30 ttl=1h
    0d  set 70 replace s                   | left s:70 a:30, available 70, balance 100, held 30
    0d  release h                          | available 100
    """


@story()
def test_set_replace_covers_what_a_hold_rests_on_the_allowance():
    """
    0d  grant a 10
    0d  account allowance=20
    0d  hold h 25 ttl=1h                   | pinned a:10, available 5
    0d  set 70 replace s                   | available 90, left s:85 a:10
    0d  settle x h                         | left s:70, debt 0, available 90
    """


@story()
def test_set_replace_forgives_debt():
    """
    0d  open
    0d  charge c 30 shortfall=debt         | debt 30
    0d  set 50 replace s                   | debt 0, balance 50, written_off -30, spent 30, earned 50
    0d  refund c                           ! refund_too_large refundable 0
    """


@story()
def test_set_replace_leaves_scoped_grants_alone():
    """
    0d  grant i 10 scope=image
    0d  grant a 10
    0d  set 5 replace s                    | left i:10 s:5, available 5
    """


@story()
def test_set_difference_gives_or_burns_just_the_difference():
    """
    0d  grant a 100 until=9d
    0d  grant b 50
    0d  set 120 difference                 | left a:70 b:50, written_off 30, earned 150, amount -30
    0d  set 200 difference s               | left a:70 s:80 b:50, earned 230, amount 80
    0d  set 200 difference                 | amount 0, wrote set
    0d  set 0 difference                   | left, balance 0, amount -200
    """


@story()
def test_set_to_zero_writes_an_entry():
    """
    0d  open
    0d  set 0 replace                      | wrote set, amount 0
    0d  set 0 replace until=0d             ! invalid field expires_at
    """


@story()
def test_adjust_gives_a_grant_or_writes_off_in_burn_order():
    """
    0d  grant a 100 until=9d
    0d  grant b 50
    0d  adjust +25 x                       | left a:100 x:25 b:50, earned 175
    0d  adjust -110                        | left x:15 b:50, written_off 110, spent 0
    0d  adjust -65                         | left, balance 0
    0d  adjust -1                          ! insufficient_credits required 1 available 0 deficit 1
    0d  adjust -1 force=yes                | debt 1, balance -1, written_off 176
    0d  grant c 10                         | left c:9, debt 0
    """


@story()
def test_adjust_does_not_take_what_holds_pin_or_what_is_scoped():
    """
    0d  grant i 10 scope=image
    0d  grant a 20
    0d  hold h 15 ttl=1h
    0d  adjust -6                          ! insufficient_credits available 5
    0d  adjust -6 force=yes                | left i:10 a:15, debt 1, written_off 6
    """
