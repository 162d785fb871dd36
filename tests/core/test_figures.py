"""Figures: exact text, percentages that are defined, averages that never divide by zero."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.figures import average, booked, margin, percent, rounded, total_of, used
from farthing.core.rollup import Sums
from farthing.core.usage import Line, Priced


def test_nothing_used_is_zeros_and_no_percentage():
    nothing = used(Sums(), 6)
    assert nothing["margin_percent"] is None
    assert {name: value for name, value in nothing.items() if name != "margin_percent"} == {
        "requests": 0, "input_tokens": 0, "output_tokens": 0, "tokens": 0, "unpriced": 0, "uncosted": 0,
        "charged": "0", "cost": "0", "margin": "0",
    }  # fmt: skip
    assert average(Sums(), 6) == "0"


def test_margin_is_what_is_left_after_the_cost_to_the_last_billionth():
    assert margin(7_500_000, 11_750_001, 6) == Decimal("7.488249999")
    assert margin(0, 5, 6) == Decimal("-0.000000005")


@pytest.mark.parametrize(
    ("left", "amount", "told"),
    [("1", 3, "33.33"), ("2", 3, "66.67"), ("-1", 2, "-50"), ("0", 1, "0"), ("1", 0, None), ("-1", -3, None)],
)
def test_a_percentage_is_of_an_amount_above_zero(left: str, amount: int, told: str | None):
    assert percent(Decimal(left), amount, 0) == told


def test_a_percentage_rounds_half_even():
    assert percent(Decimal("1.00005"), 100, 0) == "1"
    assert percent(Decimal("1.00015"), 100, 0) == "1"
    assert percent(Decimal("1.005"), 100, 0) == "1"
    assert percent(Decimal("1.015"), 100, 0) == "1.02"


def test_revenue_less_refunds_may_be_below_zero():
    day = booked(Sums(revenue=-2_000_000, refunded=2_000_000), 6)
    assert (day["revenue"], day["refunded"], day["margin"], day["margin_percent"]) == ("-2", "2", "-2", None)


def test_the_average_is_of_the_requests():
    assert average(Sums(requests=3, charged=10_000_000), 6) == "3.333333"


@given(st.lists(st.builds(Sums, requests=st.integers(0, 9), revenue=st.integers(-(10**20), 10**20)), max_size=5))
def test_a_total_is_the_sum_of_its_parts(parts: list[Sums]):
    total = total_of(parts)
    assert total.revenue == sum(part.revenue for part in parts)
    assert total.requests == sum(part.requests for part in parts)


def test_what_was_rounded_is_told_plainly():
    line = Line("rounding", "0.0000005", note="half-even to 6 decimals")
    assert rounded(Priced(amount=1, exact="0.0000005", lines=(Line("price", "0.0000005"), line))) == "0.0000005"
    assert rounded(Priced(amount=1, exact="1")) == "0"
