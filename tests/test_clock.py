"""Time is injected, never goes back, and a wall clock that jumped is not believed."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.clock import SECOND_US, Clock, ClockGuard, FakeClock, SystemClock

START = 1_800_000_000 * SECOND_US
HOUR = 3600


class Watched:
    """A fake clock and its guard, with the guard's time in seconds since the start."""

    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.guard = ClockGuard(self.clock)

    def seconds(self) -> float:
        return (self.guard.now_us() - START) / SECOND_US

    def jumped_by(self) -> float | None:
        state = self.guard.state()
        return None if state is None else state.by_seconds


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_the_system_clock_tells_the_systems_time() -> None:
    clock: Clock = SystemClock()
    before = time.time_ns() // 1000
    assert before <= clock.now_us() <= time.time_ns() // 1000
    first = clock.monotonic()
    assert clock.monotonic() >= first


def test_the_guard_of_the_system_clock_is_at_ease() -> None:
    guard = ClockGuard(SystemClock())
    told = [guard.now_us() for _ in range(1000)]
    assert told == sorted(told)
    assert guard.state() is None


def test_a_fake_clock_stands_still_until_it_is_told_to_move() -> None:
    clock = FakeClock(START, monotonic=5.0)
    assert (clock.now_us(), clock.monotonic()) == (START, 5.0)
    clock.advance(1.5)
    clock.advance(us=1)
    assert (clock.now_us(), clock.monotonic()) == (START + 1_500_001, 6.500001)
    clock.set(START + 2 * SECOND_US)
    assert (clock.now_us(), clock.monotonic()) == (START + 2 * SECOND_US, 7.0)
    clock.jump(-HOUR)
    assert (clock.now_us(), clock.monotonic()) == (START - 3598 * SECOND_US, 7.0)


def test_a_fake_clock_lets_no_time_pass_backwards() -> None:
    clock = FakeClock(START)
    with pytest.raises(ValueError, match="jump"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="jump"):
        clock.set(START - 1)
    assert clock.now_us() == START


def test_the_guard_tells_the_wall_clocks_time(watched: Watched) -> None:
    assert watched.seconds() == 0
    watched.clock.advance(0.25)
    assert watched.seconds() == 0.25
    assert watched.guard.state() is None


def test_after_a_small_step_back_time_stands_still_until_the_clock_has_caught_up(watched: Watched) -> None:
    watched.clock.advance(100)
    assert watched.seconds() == 100
    watched.clock.jump(-30)
    assert watched.seconds() == 100
    watched.clock.advance(29)
    assert watched.seconds() == 100
    watched.clock.advance(2)
    assert watched.seconds() == 101
    assert watched.guard.state() is None


def test_a_small_step_forward_is_followed(watched: Watched) -> None:
    watched.clock.jump(59)
    assert watched.seconds() == 59
    assert watched.guard.state() is None


@pytest.mark.parametrize(("by", "jumped"), [(60, False), (60.5, True), (-60, False), (-60.5, True)])
def test_more_than_sixty_seconds_are_a_jump(watched: Watched, by: float, jumped: bool) -> None:
    watched.clock.jump(by)
    assert watched.jumped_by() == (by if jumped else None)


def test_the_first_read_after_a_jump_sees_it(watched: Watched) -> None:
    watched.clock.advance(5)
    watched.clock.jump(HOUR)
    watched.guard.now_us()
    assert watched.guard.jumped is not None
    assert watched.guard.jumped.by_seconds == HOUR
    assert watched.guard.jumped.since == START + 5 * SECOND_US


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_while_the_clock_is_not_believed_time_goes_on_from_the_last_that_was(watched: Watched, by: int) -> None:
    watched.clock.advance(5)
    watched.clock.jump(by)
    assert watched.seconds() == 5
    watched.clock.advance(3)
    assert watched.seconds() == 8


def test_two_reads_ten_seconds_apart_that_agree_bring_trust_back(watched: Watched) -> None:
    watched.clock.jump(HOUR)
    assert watched.jumped_by() == HOUR
    watched.clock.advance(9.9)
    assert watched.jumped_by() == HOUR
    watched.clock.advance(0.1)
    assert watched.jumped_by() is None
    assert watched.seconds() == HOUR + 10


def test_a_clock_that_goes_on_jumping_stays_unbelieved(watched: Watched) -> None:
    watched.clock.jump(HOUR)
    assert watched.jumped_by() == HOUR
    watched.clock.advance(6)
    watched.clock.jump(2)
    assert watched.jumped_by() == HOUR + 2
    watched.clock.advance(6)
    assert watched.jumped_by() == HOUR + 2
    watched.clock.advance(4)
    assert watched.jumped_by() is None


def test_a_jump_that_goes_on_keeps_the_time_at_which_it_began(watched: Watched) -> None:
    watched.clock.jump(HOUR)
    watched.guard.state()
    watched.clock.advance(6)
    watched.clock.jump(HOUR)
    state = watched.guard.state()
    assert state is not None
    assert (state.by_seconds, state.since) == (2 * HOUR, START)


def test_a_jump_that_was_undone_is_believed_after_ten_seconds_too(watched: Watched) -> None:
    watched.clock.jump(HOUR)
    watched.guard.state()
    watched.clock.advance(3)
    watched.clock.jump(-HOUR)
    assert watched.jumped_by() == 0
    watched.clock.advance(10)
    assert watched.jumped_by() is None
    assert watched.seconds() == 13


def test_an_operator_can_accept_the_new_time_at_once(watched: Watched) -> None:
    watched.clock.jump(HOUR)
    assert watched.jumped_by() == HOUR
    watched.guard.accept()
    assert watched.guard.jumped is None
    assert watched.seconds() == HOUR


def test_an_accepted_step_back_does_not_turn_time_back(watched: Watched) -> None:
    watched.clock.advance(100)
    assert watched.seconds() == 100
    watched.clock.jump(-HOUR)
    watched.guard.accept()
    assert watched.seconds() == 100
    watched.clock.advance(HOUR + 1)
    assert watched.seconds() == 101


def test_a_wrong_date_leaves_no_trace_when_it_is_put_right(watched: Watched) -> None:
    watched.clock.jump(365 * 24 * HOUR)
    watched.guard.state()
    watched.clock.jump(-365 * 24 * HOUR)
    watched.guard.accept()
    watched.clock.advance(1)
    assert watched.seconds() == 1


def test_small_corrections_never_add_up_to_a_jump(watched: Watched) -> None:
    for _ in range(100):
        watched.clock.advance(24 * HOUR)
        watched.clock.jump(2)
        assert watched.guard.state() is None


def test_small_steps_within_an_hour_do_add_up_to_a_jump(watched: Watched) -> None:
    watched.clock.jump(40)
    assert watched.jumped_by() is None
    watched.clock.advance(1)
    watched.clock.jump(40)
    assert watched.jumped_by() == 80


def test_a_process_stopped_between_its_two_reads_has_seen_no_jump() -> None:
    class Interrupted(FakeClock):
        stop_for = 0

        def monotonic(self) -> float:
            self.advance(self.stop_for)
            self.stop_for = 0
            return super().monotonic()

    clock = Interrupted(START)
    guard = ClockGuard(clock)
    clock.stop_for = HOUR
    assert guard.now_us() == START + HOUR * SECOND_US
    assert guard.state() is None


moves = st.lists(
    st.tuples(st.sampled_from(["advance", "jump", "accept"]), st.integers(-400, 400), st.booleans()),
    max_size=60,
)


@given(moves)
def test_whatever_is_done_to_the_clock_time_never_goes_back_nor_ahead_of_what_was_believed(
    steps: list[tuple[str, int, bool]],
) -> None:
    clock = FakeClock(START)
    guard = ClockGuard(clock)
    latest = at_most = guard.now_us()
    for step, seconds, read in steps:
        if step == "advance":
            clock.advance(abs(seconds))
            at_most += abs(seconds) * SECOND_US
        elif step == "jump":
            clock.jump(seconds)
        else:
            guard.accept()
            at_most = max(at_most, clock.now_us())
        if read:
            now = guard.now_us()
            if guard.jumped is None:
                at_most = max(at_most, clock.now_us())
            assert latest <= now <= at_most
            latest = now


@given(st.integers(-(10**6), 10**6).filter(lambda by: abs(by) > 60), st.floats(0.01, 5))
def test_ten_quiet_seconds_are_always_enough(by: int, between: float) -> None:
    watched = Watched()
    watched.clock.jump(by)
    assert watched.jumped_by() == by
    waited = 0.0
    while watched.guard.state() is not None:
        watched.clock.advance(between)
        waited += between
        assert waited < 10 + between + 0.001
    assert waited >= 10 - 0.001
