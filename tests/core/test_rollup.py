"""What entries add to sums, and of which slots a range is made."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.commands import DAY_US
from farthing.core.rollup import (
    ALL,
    COLUMNS,
    HALF,
    QUARTER_US,
    Dims,
    Sums,
    Tally,
    columns_of,
    cover,
    read_counted,
    sums_of,
)
from tests.support import START_US

AT = START_US + 3
WITH_USAGE = (
    '{"spent":7,"usage":{"usage":{"dimensions":{"input_tokens":"5","output_tokens":"3"},"provider":"raw","model":"raw",'
    f'"service":"s","chat":"c","at":{AT - DAY_US}}},'
    '"priced":{"amount":7,"exact":"7","cost":11,"provider":"p","model":"m"}}}'
)
USED, BOOKED = Dims("s", "o", "p", "m"), Dims("", "o", "", "")


def tallied(kind: str, body: str, charges: dict[str, Dims] | None = None) -> dict[tuple[int, Dims], Sums]:
    tally = Tally()
    tally.add(read_counted("w", "a", kind, AT, "o", body), charges or {})
    return {place[2:]: sums for place, sums in tally.quarters.items()}


# Entries


@pytest.mark.parametrize("kind", ["charge", "settle", "expire"])
def test_a_charge_counts_where_it_was_used_and_where_it_was_booked(kind: str):
    used = Sums(requests=1, input_tokens=5, output_tokens=3, tokens=8, charged=7, cost=11)
    booked = Sums(bookings=1, revenue=7, booked_cost=11)
    assert tallied(kind, WITH_USAGE) == {(START_US - DAY_US, USED): used, (START_US, USED): booked}


def test_a_charge_without_usage_is_used_when_it_is_booked_and_nobody_knows_what_it_cost():
    assert tallied("charge", '{"spent":7}') == {
        (START_US, BOOKED): Sums(requests=1, uncosted=1, charged=7, bookings=1, revenue=7)
    }


def test_what_costs_nothing_counts_as_a_request():
    assert tallied("settle", "{}") == {(START_US, BOOKED): Sums(requests=1, uncosted=1, bookings=1)}


def test_a_hold_that_ended_and_took_nothing_is_no_request():
    assert tallied("expire", "{}") == {}


def test_unpriced_usage_is_counted():
    body = '{"usage":{"usage":{"model":"x"},"priced":{"amount":0,"exact":"0","unpriced":true}}}'
    dims = Dims("", "o", "", "x")
    assert tallied("charge", body) == {(START_US, dims): Sums(requests=1, unpriced=1, uncosted=1, bookings=1)}


def test_what_was_recorded_without_a_charge_counts_where_it_was_booked():
    body = WITH_USAGE.replace('"spent":7,', "").replace('"cost":11,', "").removesuffix("}}") + ',"recorded":7}}'
    used = Sums(requests=1, uncosted=1, input_tokens=5, output_tokens=3, tokens=8)
    booked = Sums(bookings=1, recorded=7)
    assert tallied("charge", body) == {(START_US - DAY_US, USED): used, (START_US, USED): booked}
    assert booked.taken_or_recorded == 7


def test_a_refund_is_negative_revenue_of_each_charge_that_it_names():
    body = '{"spent":-6,"refunds":[["x","g",1],["y","g",2],["x","",3]]}'
    assert tallied("refund", body, {"x": USED, "y": BOOKED}) == {
        (START_US, USED): Sums(revenue=-4, refunded=4),
        (START_US, BOOKED): Sums(revenue=-2, refunded=2),
    }


def test_accounts_add_up_to_all_of_them_by_quarter_and_by_day():
    tally = Tally()
    for account, at in (("a", AT), ("b", AT), ("a", AT + QUARTER_US)):
        tally.add(read_counted("w", account, "charge", at, "o", '{"spent":7}'), {})
    rows = {place[1:4]: sums.charged for place, sums in tally.rows().items()}
    assert rows == {
        ("a", QUARTER_US, START_US): 7,
        ("b", QUARTER_US, START_US): 7,
        ("a", QUARTER_US, START_US + QUARTER_US): 7,
        (ALL, QUARTER_US, START_US): 14,
        (ALL, QUARTER_US, START_US + QUARTER_US): 7,
        (ALL, DAY_US, START_US): 21,
    }


# Sums

numbers = st.integers(-(10**30), 10**30)
sums = st.builds(Sums, *([st.integers(0, 2**40)] * 4), *([numbers] * 8))


@given(sums, sums)
def test_sums_are_stored_in_halves_that_add_up(a: Sums, b: Sums):
    stored = [one + other for one, other in zip(columns_of(a), columns_of(b), strict=True)]
    assert len(stored) == len(COLUMNS)
    assert all(0 <= low < 2 * HALF for low in stored[5::2])
    a.add(b)
    assert sums_of(stored) == a


@given(sums, sums)
def test_what_is_added_can_be_taken_off_again(a: Sums, b: Sums):
    before = columns_of(a)
    a.add(b)
    a.add(b, -1)
    assert columns_of(a) == before


def test_the_margin_is_exact():
    assert Sums(revenue=1, booked_cost=1).margin(12) == Decimal("-0.000000000999")
    assert Sums(revenue=5_000_000, booked_cost=1_250_000_000).margin(6) == Decimal("3.75")


# Ranges

instants = st.integers(0, 3 * DAY_US)
near = st.builds(lambda slot, by: max(0, slot * QUARTER_US + by), st.integers(0, 300), st.integers(-2, 2))


@given(instants | near, instants | near, instants, st.booleans(), st.lists(instants | near, min_size=1))
def test_a_cover_has_every_instant_of_its_range_once_and_no_other(
    start: int, end: int, now: int, days: bool, looked_at: list[int]
):
    made = cover(start, end, now, days=days)
    runs = [*made.days, *made.quarters]
    edges = [edge for run in runs for edge in run]
    assert all(edge % QUARTER_US == 0 for edge in edges)
    assert all(edge % DAY_US == 0 for run in made.days for edge in run)
    for at in (*looked_at, start, start - 1, end, end - 1, *edges):
        counted = made.has(at) + sum(scan.sign for scan in made.scans if scan.start <= at < scan.end)
        assert counted == (start <= at < end)


@given(instants, instants)
def test_edges_are_short(start: int, end: int):
    made = cover(start, end, 1 << 62, days=True)
    if made.days or made.quarters:
        assert all(scan.end - scan.start <= QUARTER_US // 2 for scan in made.scans)
    else:
        assert sum(scan.end - scan.start for scan in made.scans) < QUARTER_US


def test_a_range_until_now_takes_the_quarter_that_is_not_over():
    now = 10 * QUARTER_US + QUARTER_US // 3
    made = cover(0, now, now, days=True)
    assert made.quarters == [(0, 11 * QUARTER_US)]
    assert [(scan.start, scan.sign) for scan in made.scans] == [(now, -1)]
