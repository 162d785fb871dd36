"""Keys and payments over time: what is asked twice is done once. The ledgers stand in the docstrings."""

from tests.core.stories import story

# Keys


@story()
def test_the_same_key_and_content_is_the_first_answer_again():
    """
    0d  grant g 10 key=g             | wrote open grant
    0d  grant g 10 key=g             | again true, balance 10, wrote
    0d  charge c 4 chat key=k        | again false
    1d  charge c 4 chat key=k        | again true, amount -4, balance 6
    1d  charge c 4 chat key=k as=bob ! account_not_found
    1d  grant h 10 as=bob
    1d  charge c 4 chat key=k as=bob | again false
    """


@story()
def test_a_key_with_other_content_is_a_conflict_that_names_what_differs():
    """
    0d  grant g 10 key=g source=a
    0d  charge c 4 chat key=k
    0d  charge c 5 chat key=k        ! key_conflict differs amount
    0d  charge c 4 image key=k       ! key_conflict differs operation
    0d  charge c 5 image key=k       ! key_conflict differs amount,operation
    0d  adjust +4 key=k              ! key_conflict differs kind
    0d  grant g 11 key=g source=a    ! key_conflict differs amount
    0d  grant g 10 key=g source=b    ! key_conflict differs source
    0d  hold h 3 ttl=1h key=h
    0d  hold h 3 ttl=2h key=h        | again true
    0d  hold h 4 ttl=1h key=h        ! key_conflict differs amount
    0d  refund c 1 key=r             | again false
    0d  refund c 2 key=r             ! key_conflict differs content
    0d  set 3 replace key=s
    0d  set 4 replace key=s          ! key_conflict differs amount
    0d  set 3 difference key=s       ! key_conflict key s
    """


@story()
def test_a_refused_key_may_succeed_after_a_top_up():
    """
    0d  open
    0d  charge c 5 key=k             ! insufficient_credits
    0d  charge c 5 key=k             ! insufficient_credits
    0d  grant g 10
    0d  charge c 5 key=k             | again false, balance 5
    """


@story()
def test_a_final_refusal_stays_refused_even_after_a_top_up():
    """
    0d  open
    0d  charge c 5 key=k final=yes   ! insufficient_credits required 5 available 0 deficit 5
    0d  grant g 10                   | number 3
    0d  charge c 5 key=k final=yes   ! insufficient_credits required 5 available 0 deficit 5
    0d  charge c 5 key=k             ! insufficient_credits required 5 available 0 deficit 5
    0d  charge c 6 key=k             ! key_conflict differs content
    0d  adjust +1 key=k              ! key_conflict
    0d  wait                         | balance 10, number 3
    """


@story()
def test_a_key_that_was_used_is_used_for_ever():
    """
    0d    grant g 10
    0d    charge c 1 key=k
    3650d charge c 1 key=k           | again true
    3650d charge c 2 key=k           ! key_conflict differs amount
    """


# Payments


@story()
def test_a_payment_is_credited_once_whoever_comes_second():
    """
    0d  grant g 10 claim=shop:p1           | balance 10
    0d  grant g 10 claim=shop:p1           | again true, balance 10
    0d  grant g 99 claim=shop:p1 key=other | again true, balance 10
    0d  grant g 10 claim=shop:p1 as=bob    ! payment_claimed payment shop:p1
    0d  grant g 10 claim=shop:p2 as=bob    | balance 10
    0d  grant g 10 claim=till:p1           | balance 20
    """


@story()
def test_a_refused_grant_claims_nothing():
    """
    1d  grant g 10 claim=shop:p1 until=1d  ! invalid field expires_at
    1d  grant g 10 claim=shop:p1 as=bob    | balance 10
    """
