"""What becomes of a delivery after each try: pure."""

import pytest

from farthing.core.deliveries import (
    DAY,
    FAILING,
    HOUR,
    LADDER,
    SECOND,
    Again,
    Answer,
    Delivered,
    Disable,
    GiveUp,
    outcome_of,
)

AT = 1_767_225_600 * SECOND
"""Thu, 01 Jan 2026 00:00:00 GMT"""


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_what_is_taken_is_delivered(status: int):
    assert outcome_of(Answer(status), 1, AT, AT - 9 * DAY, 0) == Delivered()


@pytest.mark.parametrize("status", [None, 301, 302, 307, 308, 400, 401, 404, 408, 500, 502, 504])
def test_everything_else_is_tried_again_ten_times_in_all(status: int | None):
    outcomes = [outcome_of(Answer(status), attempt, AT, None, 0) for attempt in range(1, 11)]
    assert outcomes == [*(Again(AT + wait) for wait in LADDER[1:]), GiveUp()]


def test_the_ladder_is_that_of_standard_webhooks():
    minutes = [wait / SECOND / 60 for wait in LADDER]
    assert minutes == [0, 5 / 60, 5, 30, 120, 300, 600, 840, 1200, 1440]


def test_by_chance_a_try_comes_a_tenth_later_at_most_and_never_sooner():
    waits = [outcome_of(Answer(500), 4, AT, None, chance) for chance in (0, 500, 999)]
    assert waits == [Again(AT + 2 * HOUR), Again(AT + 2 * HOUR + 6 * 60 * SECOND), Again(AT + 2 * HOUR + 719_280_000)]


def test_who_says_that_it_is_gone_is_disabled_at_once():
    assert outcome_of(Answer(410), 1, AT, None, 0) == Disable("gone")


def test_who_has_taken_nothing_for_five_days_is_disabled():
    assert outcome_of(Answer(500), 1, AT, AT - FAILING, 0) == Disable("failing")
    assert outcome_of(Answer(None), 10, AT, AT - FAILING, 0) == Disable("failing")
    assert outcome_of(Answer(500), 1, AT, AT - FAILING + 1, 0) == Again(AT + 5 * SECOND)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_pause_that_is_asked_for_is_kept(status: int):
    long, short, longest = Answer(status, 600 * SECOND), Answer(status, 2 * SECOND), Answer(status, 9 * DAY)
    assert outcome_of(long, 1, AT, None, 0) == Again(AT + 600 * SECOND, AT + 600 * SECOND)
    # The ladder counts as well: else ten tries would be over in seconds.
    assert outcome_of(longest, 1, AT, None, 0) == Again(AT + DAY, AT + DAY)
    assert outcome_of(Answer(status, 0), 1, AT, None, 0) == Again(AT + 5 * SECOND)
    assert outcome_of(short, 2, AT, None, 0) == Again(AT + 300 * SECOND, AT + 2 * SECOND)


def test_only_who_has_too_much_to_do_may_ask_for_a_pause():
    assert outcome_of(Answer(500, 600 * SECOND), 1, AT, None, 0) == Again(AT + 5 * SECOND)
