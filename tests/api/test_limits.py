"""A key makes its quota at once, then goes on at the even rate; one key never costs another its place."""

from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.api.limits import RateLimiter, Verdict, header_fields, limit_field, policy_field


def verdict_of(verdict: Verdict | None) -> Verdict:
    """The verdict of a limiter that is known to be on."""
    assert verdict is not None
    return verdict


def allowed(limiter: RateLimiter, key: str, now: float, cost: int = 1, quota: int | None = None) -> bool:
    return verdict_of(limiter.hit(key, now, cost, quota)).allowed


def test_the_whole_quota_may_be_used_at_once_and_no_more() -> None:
    limiter = RateLimiter(100, 60)
    assert sum(allowed(limiter, "k", 1000.0) for _ in range(250)) == 100


def test_a_refused_caller_waits_for_one_place_not_for_the_window() -> None:
    limiter = RateLimiter(6, 60)
    assert sum(allowed(limiter, "k", 0.0) for _ in range(7)) == 6
    assert verdict_of(limiter.hit("k", 0.0)).retry_after == 10
    assert not allowed(limiter, "k", 9.9)
    assert allowed(limiter, "k", 10.0)
    assert not allowed(limiter, "k", 10.0)


def test_after_a_quiet_window_the_whole_quota_is_back() -> None:
    limiter = RateLimiter(5, 60)
    assert sum(allowed(limiter, "k", 0.0) for _ in range(9)) == 5
    assert sum(allowed(limiter, "k", 60.0) for _ in range(9)) == 5


def test_refused_hits_cost_nothing() -> None:
    limiter = RateLimiter(1, 10)
    assert allowed(limiter, "k", 0.0)
    assert not any(allowed(limiter, "k", tenth / 10) for tenth in range(100))
    assert allowed(limiter, "k", 10.0)


def test_keys_do_not_share_a_quota() -> None:
    limiter = RateLimiter(1, 60)
    assert allowed(limiter, "a", 0.0)
    assert allowed(limiter, "b", 0.0)
    assert not allowed(limiter, "a", 0.0)


def test_quota_zero_is_no_limit() -> None:
    limiter = RateLimiter(0, 60)
    assert all(limiter.hit("k", 0.0) is None for _ in range(1000))
    assert len(limiter) == 0


def test_a_key_can_have_its_own_quota_and_keeps_what_it_used_when_that_changes() -> None:
    limiter = RateLimiter(2, 60)
    assert sum(allowed(limiter, "k", 0.0, quota=5) for _ in range(9)) == 5
    assert sum(allowed(limiter, "k", 0.0, quota=7) for _ in range(9)) == 2
    assert not allowed(limiter, "k", 0.0)
    assert limiter.hit("k", 0.0, quota=0) is None


def test_a_key_can_be_limited_where_others_are_not() -> None:
    limiter = RateLimiter(0, 60)
    assert sum(allowed(limiter, "k", 0.0, quota=3) for _ in range(9)) == 3


def test_a_bulk_request_counts_its_items() -> None:
    limiter = RateLimiter(10, 60)
    assert allowed(limiter, "k", 0.0, cost=8)
    refused = verdict_of(limiter.hit("k", 0.0, cost=5))
    assert (refused.allowed, refused.remaining, refused.retry_after) == (False, 2, 18)
    assert allowed(limiter, "k", 0.0, cost=2)


def test_a_bulk_request_above_the_quota_passes_an_empty_bucket_and_is_worked_off() -> None:
    limiter = RateLimiter(10, 10)
    assert allowed(limiter, "k", 0.0, cost=25)
    refused = verdict_of(limiter.hit("k", 0.0))
    assert (refused.remaining, refused.reset, refused.retry_after) == (0, 16, 16)
    assert not allowed(limiter, "k", 24.0, cost=25)
    assert allowed(limiter, "k", 25.0, cost=25)


def test_a_clock_that_steps_back_gives_and_takes_nothing() -> None:
    limiter = RateLimiter(2, 10)
    assert allowed(limiter, "k", 100.0)
    assert allowed(limiter, "k", 50.0)
    assert not allowed(limiter, "k", 50.0)
    assert allowed(limiter, "k", 105.0)


def test_the_verdict_says_where_the_caller_stands() -> None:
    limiter = RateLimiter(4, 60)
    assert limiter.hit("k", 0.0) == Verdict(True, 4, 60, remaining=3, reset=15, retry_after=0)
    assert limiter.hit("k", 5.0) == Verdict(True, 4, 60, remaining=2, reset=10, retry_after=0)
    assert limiter.hit("k", 5.0, cost=3) == Verdict(False, 4, 60, remaining=2, reset=10, retry_after=10)


def test_the_header_fields_are_those_of_the_draft() -> None:
    passed = Verdict(True, 100, 60, remaining=50, reset=30, retry_after=0)
    assert policy_field(passed) == '"default";q=100;w=60'
    assert limit_field(passed) == '"default";r=50;t=30'
    assert header_fields(passed) == [
        (b"ratelimit-policy", b'"default";q=100;w=60'),
        (b"ratelimit", b'"default";r=50;t=30'),
    ]


def test_only_a_refusal_says_when_to_come_back() -> None:
    refused = Verdict(False, 100, 60, remaining=0, reset=1, retry_after=7)
    assert (b"retry-after", b"7") in header_fields(refused)


def test_memory_is_bounded() -> None:
    limiter = RateLimiter(10, 60, max_keys=100)
    for number in range(10_000):
        limiter.hit(f"k{number}", 0.0)
        assert len(limiter) <= 100


def test_keys_that_have_their_quota_back_are_forgotten_first() -> None:
    limiter = RateLimiter(10, 60, max_keys=100)
    for number in range(99):
        limiter.hit(f"idle{number}", 0.0)
    limiter.hit("busy", 59.0, cost=10)
    assert allowed(limiter, "new", 60.0)
    assert len(limiter) == 2
    assert not allowed(limiter, "busy", 59.5)


def test_when_all_are_busy_those_that_used_most_are_remembered() -> None:
    limiter = RateLimiter(10, 60, max_keys=8)
    for number in range(1, 9):
        limiter.hit(f"k{number}", 0.0, cost=number)
    limiter.hit("new", 0.0)
    assert verdict_of(limiter.hit("k8", 0.0)).remaining == 1
    assert verdict_of(limiter.hit("k1", 0.0)).remaining == 9


@pytest.mark.parametrize("max_keys", [1, 2, 3])
def test_even_a_tiny_table_has_room_for_a_new_key(max_keys: int) -> None:
    limiter = RateLimiter(1, 60, max_keys=max_keys)
    assert all(allowed(limiter, f"k{number}", 0.0) for number in range(10))
    assert len(limiter) <= max_keys


@pytest.mark.parametrize("wrong", [(-1, 60, 1), (1, 0, 1), (1, 60, 0)])
def test_a_limit_without_meaning_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="quota"):
        RateLimiter(*wrong)


steps = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 12)), min_size=1, max_size=80)


@given(st.integers(1, 50), st.integers(1, 90), steps)
def test_no_stretch_of_time_passes_more_than_the_quota_and_its_even_rate(
    quota: int, window: int, hits: list[tuple[float, int]]
) -> None:
    limiter = RateLimiter(quota, window)
    now, passed = 1e6, list[tuple[float, int]]()
    for wait, cost in hits:
        now += wait
        if allowed(limiter, "k", now, cost):
            passed.append((now, cost))
    for start, (since, _) in enumerate(passed):
        total = 0
        for at, cost in passed[start:]:
            total += cost
            at_most = max(quota, passed[start][1]) + (at - since) * quota / window
            # A cost above the quota waits for an empty bucket; only then it may overdraw.
            assert total <= max(at_most, cost + (at - since) * quota / window) + 0.001


@given(st.integers(1, 2000), st.integers(1, 3600), st.floats(0, 1e7), steps)
def test_whoever_waits_as_told_passes_and_the_promised_quota_is_there(
    quota: int, window: int, start: float, hits: list[tuple[float, int]]
) -> None:
    limiter = RateLimiter(quota, window)
    now = start
    for wait, cost in hits:
        now += wait
        verdict = verdict_of(limiter.hit("k", now, cost))
        assert 0 <= verdict.remaining <= quota
        assert verdict.reset >= 1
        assert verdict.allowed == (verdict.retry_after == 0)
        if not verdict.allowed:
            assert verdict.retry_after >= verdict.reset
            assert verdict.remaining < cost
            now += verdict.retry_after
            assert allowed(limiter, "k", now, cost)


@given(st.integers(1, 500), st.integers(1, 3600), st.integers(1, 400))
def test_remaining_can_be_spent_at_once(quota: int, window: int, cost: int) -> None:
    limiter = RateLimiter(quota, window)
    left = verdict_of(limiter.hit("k", 5.0, cost)).remaining
    assert left == max(0, quota - cost)
    assert sum(allowed(limiter, "k", 5.0) for _ in range(left + 3)) == left


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_caller_at_exactly_the_even_rate_is_never_refused(quota: int, window: int) -> None:
    limiter = RateLimiter(quota, window)
    pace = window / quota
    assert all(allowed(limiter, "k", 1e6 + number * pace) for number in range(4 * quota))
    assert floor(pace * quota + 0.5) == window
