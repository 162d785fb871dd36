"""How long one waits, and by what one is known."""

import pytest

from farthing.identity.throttle import ACCOUNT, ADDRESS, SECOND_US, Limit, Slow, marks, whereabouts


@pytest.mark.parametrize(
    ("tries", "ago", "seconds"),
    [(1, 0, 0), (4, 0, 0), (5, 0, 30), (5, 10, 20), (5, 30, 0), (6, 0, 60), (7, 0, 120), (10, 0, 900), (99, 0, 900)],
)
def test_each_try_beyond_the_free_ones_doubles_the_wait_up_to_a_quarter_of_an_hour(tries, ago, seconds):
    assert ACCOUNT.wait(tries, ago * SECOND_US) == seconds * SECOND_US


def test_after_its_window_all_is_forgotten():
    assert ACCOUNT.wait(99, 900 * SECOND_US) == -1
    assert Limit("x", 1, 60, 3_600, 3_600).wait(99, 3_599 * SECOND_US) == SECOND_US


def test_the_wait_is_told_in_whole_seconds_rounded_up():
    assert str(Slow(1)) == "Too many attempts; try again in 1 s"
    assert Slow(30 * SECOND_US).seconds == 30


def test_who_is_counted_is_a_hash_of_what_he_typed_whatever_its_capitals():
    assert marks([(ACCOUNT, "Anna ")]) == marks([(ACCOUNT, "anna")])
    assert marks([(ACCOUNT, "anna")]) != marks([(ADDRESS, "anna")])
    assert [len(mark) for mark in marks([(ACCOUNT, "\ud800")])] == [32]


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        # As some proxies write it.
        ("192.0.2.7:50123", "192.0.2.7"),
        ("[2001:db8:1:2::7]:50123", "2001:db8:1:2::"),
        ("[2001:db8:1:2::7]", "2001:db8:1:2::"),
        ("192.0.2.700:1", "192.0.2.700:1"),
        ("", ""),
        ("unknown", "unknown"),
    ],
)
def test_of_an_address_of_version_6_the_network_counts(address, place):
    assert whereabouts(address) == place
