"""Formats say what they round, and round nothing else."""

from decimal import Decimal
from typing import Any

import pytest

import farthing


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0.0234", "$0.0234"),
        ("1.5", "$1.50"),
        (0, "$0.00"),
        (3, "$3.00"),
        ("1.230000", "$1.23"),
        ("1.234567", "$1.234567"),
        ("0.0000005", "$0.00"),
        ("0.0000015", "$0.000002"),
        ("0.0000025", "$0.000002"),
        ("-1.5", "-$1.50"),
        ("-0.0000001", "$0.00"),
        ("1234567.891", "$1,234,567.891"),
        (Decimal("1E+3"), "$1,000.00"),
        ("123456789012345678901234567890.000001", "$123,456,789,012,345,678,901,234,567,890.000001"),
    ],
)
def test_money_has_two_to_six_decimals(amount: Any, text: str) -> None:
    assert farthing.format_cost(amount) == text


def test_money_may_have_another_symbol() -> None:
    assert farthing.format_cost("-2.5", "€") == "-€2.50"


@pytest.mark.parametrize(
    ("count", "full", "short"),
    [
        (0, "0", "0"),
        (999, "999", "999"),
        (1_000, "1,000", "1K"),
        (1_234, "1,234", "1.2K"),
        (999_949, "999,949", "999.9K"),
        (999_950, "999,950", "1M"),
        (1_234_567, "1,234,567", "1.2M"),
        (2_300_000, "2,300,000", "2.3M"),
        (-2_300_000, "-2,300,000", "-2.3M"),
        (4_000_000_000, "4,000,000,000", "4B"),
        (Decimal(10**16), "10,000,000,000,000,000", "10,000T"),
    ],
)
def test_tokens_are_written_in_full_or_short(count: Any, full: str, short: str) -> None:
    assert (farthing.format_tokens(count), farthing.format_tokens(count, short=True)) == (full, short)


@pytest.mark.parametrize("wrong", [0.5, 1.0, True, None])
def test_what_is_no_exact_number_is_refused(wrong: Any) -> None:
    for written in (farthing.format_cost, farthing.format_tokens):
        with pytest.raises(TypeError, match="must be a"):
            written(wrong)


def test_a_part_of_a_token_is_refused() -> None:
    with pytest.raises(ValueError, match="whole number"):
        farthing.format_tokens("1.5")
