"""Amounts: exact or refused, with a sentence that says why."""

import json
import sys
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.amounts import (
    MAX_AMOUNT,
    MAX_SCALE,
    AmountError,
    read_amount,
    round_amount,
    usual_amount,
    write_amount,
    write_number,
)

SCALES = st.integers(0, MAX_SCALE)
AMOUNTS = st.integers(1 - MAX_AMOUNT, MAX_AMOUNT - 1)


@pytest.mark.parametrize(
    ("value", "scale", "amount"),
    [
        ("7.5", 6, 7_500_000),
        ("7.500000000000", 6, 7_500_000),
        ("007", 6, 7_000_000),
        ("-0", 6, 0),
        ("-0.000001", 6, -1),
        ("0.000001", 6, 1),
        (7, 0, 7),
        (-7, 6, -7_000_000),
        (0, 6, 0),
        (Decimal("7.5"), 6, 7_500_000),
        (Decimal("75E-1"), 6, 7_500_000),
        (Decimal("1E+3"), 6, 1_000_000_000),
        (Decimal("0E+999999999"), 6, 0),
        (Decimal("0E-999999999"), 6, 0),
        (Decimal("-0"), 0, 0),
        ("999999999.999999", 6, MAX_AMOUNT - 1),
        (MAX_AMOUNT - 1, 0, MAX_AMOUNT - 1),
    ],
)
def test_text_ints_and_decimals_are_read_exactly(value, scale, amount):
    read = read_amount(value, scale)
    assert (read, type(read)) == (amount, int)


def short(value: object) -> str:
    """A name for a case; Python does not even print the longest ints."""
    return "a very long int" if isinstance(value, int) and abs(value) > 10**30 else repr(value)[:30]


TOO_LARGE = "is too large"
NOT_EXACT = "must have at most 6 decimals"
NO_TEXT = "must be a decimal number such as 7.5, without exponent, blanks or signs but '-'"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (7.5, "must be an int, a Decimal or decimal text: a binary float is not exact"),
        (7.0, "must be an int, a Decimal or decimal text: a binary float is not exact"),
        (float("nan"), "must be an int, a Decimal or decimal text: a binary float is not exact"),
        (float("inf"), "must be an int, a Decimal or decimal text: a binary float is not exact"),
        (True, "must be a number, not true or false"),
        (False, "must be a number, not true or false"),
        (None, "must be a decimal number"),
        ([7], "must be a decimal number"),
        (b"7", "must be a decimal number"),
        (Fraction(15, 2), "must be a decimal number"),
        (Decimal("NaN"), "must be a finite number"),
        (Decimal("sNaN"), "must be a finite number"),
        (Decimal("Infinity"), "must be a finite number"),
        (Decimal("-Infinity"), "must be a finite number"),
        (Decimal("1e400"), TOO_LARGE),
        (Decimal("1e999999999"), TOO_LARGE),
        (Decimal("-1e999999999"), TOO_LARGE),
        (Decimal("1e9"), TOO_LARGE),
        (2**63, TOO_LARGE),
        (-(2**63), TOO_LARGE),
        (10**9, TOO_LARGE),
        (10**5000, TOO_LARGE),
        ("1000000000", TOO_LARGE),
        ("9" * 400, TOO_LARGE),
        (Decimal("1e-999999999"), NOT_EXACT),
        ("0.0000001", NOT_EXACT),
        ("7.1234567", NOT_EXACT),
        ("0." + "0" * 399 + "1", NOT_EXACT),
        ("0." + "0" * 400 + "1", NO_TEXT),
        ("9" * 401, NO_TEXT),
        (Decimal((0, (1,) * 500, -490)), "must have at most 400 digits"),
        ("", NO_TEXT),
        (" 7", NO_TEXT),
        ("7 ", NO_TEXT),
        ("7\n", NO_TEXT),
        ("+7", NO_TEXT),
        ("--7", NO_TEXT),
        ("7.", NO_TEXT),
        (".5", NO_TEXT),
        ("7,5", NO_TEXT),
        ("1_000", NO_TEXT),
        ("1e3", NO_TEXT),
        ("0x10", NO_TEXT),
        ("NaN", NO_TEXT),
        ("Infinity", NO_TEXT),
        ("\N{ARABIC-INDIC DIGIT SEVEN}", NO_TEXT),
        ("\N{FULLWIDTH DIGIT SEVEN}", NO_TEXT),
        ("½", NO_TEXT),
    ],
    ids=short,
)
def test_what_is_not_exact_or_not_a_number_is_refused_with_a_sentence(value, sentence):
    with pytest.raises(AmountError) as refused:
        read_amount(value, 6)
    assert str(refused.value) == sentence


@pytest.mark.parametrize("value", [Decimal("1e999999999"), Decimal("1e-999999999"), "9" * 401, 10**5000], ids=short)
def test_no_number_is_so_long_that_it_takes_long_to_refuse(value):
    """None of these may become an int of a billion digits: that would not return at all."""
    with pytest.raises(AmountError):
        read_amount(value, MAX_SCALE)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        ("0.0000005", 0),
        ("0.0000015", 2),
        ("0.0000025", 2),
        ("0.00000250001", 3),
        ("-0.0000005", 0),
        ("-0.0000015", -2),
        ("-0.0000025", -2),
        ("0.3333333333", 333_333),
        (Decimal("1e-999999999"), 0),
        (Decimal("-1e-401"), 0),
    ],
)
def test_rounding_is_half_even_and_says_that_it_was_not_exact(value, rounded):
    assert round_amount(value, 6) == (rounded, False)


@given(AMOUNTS, SCALES)
def test_what_is_written_reads_back_the_same(amount, scale):
    text = write_amount(amount, scale)
    assert read_amount(text, scale) == amount
    assert read_amount(Decimal(text), scale) == amount
    number = write_number(amount, scale)
    assert read_amount(number, scale) == amount


@given(AMOUNTS, SCALES)
def test_text_has_no_trailing_zeros_no_exponent_and_no_minus_zero(amount, scale):
    text = write_amount(amount, scale)
    assert "e" not in text.lower()
    assert not text.startswith("-0") or "." in text
    assert "." not in text or text[-1] != "0"


@given(AMOUNTS, SCALES)
def test_a_number_is_an_int_exactly_when_it_is_whole(amount, scale):
    number = write_number(amount, scale)
    assert isinstance(number, int) == (amount % 10**scale == 0)
    assert Fraction(number) == Fraction(amount, 10**scale)
    if isinstance(number, Decimal):
        assert json.loads(f"[{number}]", parse_float=Decimal) == [number]


@given(st.decimals(-(10**8), 10**8, allow_nan=False, allow_infinity=False, places=9))
def test_rounding_is_off_by_at_most_half_a_unit(value):
    amount, exact = round_amount(value, 6)
    off = abs(Fraction(value) * 10**6 - amount)
    assert off <= Fraction(1, 2)
    assert exact == (off == 0)
    assert off != Fraction(1, 2) or amount % 2 == 0


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_any_decimal_is_read_exactly_or_refused(value):
    try:
        amount = read_amount(value, 6)
    except AmountError:
        return
    assert Fraction(amount, 10**6) == Fraction(value)


@given(st.text(max_size=12) | st.from_regex(r"-?[0-9]{1,12}(\.[0-9]{1,12})?", fullmatch=True))
def test_any_text_is_read_exactly_or_refused(text):
    try:
        amount = read_amount(text, 6)
    except AmountError:
        return
    assert Fraction(amount, 10**6) == Fraction(text)


@given(
    st.text("0123456789.-+ e٣", max_size=20) | st.from_regex(r"[0-9]{1,17}(\.[0-9]{1,8})?", fullmatch=True),
    SCALES,
)
def test_the_quick_way_reads_a_text_as_decimals_do_or_leaves_it(text, scale):
    usual = usual_amount(text, scale)
    if usual:
        assert "+" not in text
        assert read_amount(Decimal(text), scale) == usual
        assert text.replace(".", "", 1).isdigit()
        assert text.isascii()
        assert text[0] != "." != text[-1]


@pytest.mark.parametrize("text", ["1", "7.5", "007.50", "999999999.999999"])
def test_an_amount_of_few_digits_takes_the_quick_way(text):
    assert usual_amount(text, 6) == Fraction(text) * 10**6


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "0",
        "0.0",
        "5.",
        ".5",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1_0",
        "1e3",
        "1.2.3",
        "٣",
        "²",
        "0.0000001",
        "1000000000",
    ],
)
def test_whatever_else_is_left_to_the_slow_way(text):
    assert usual_amount(text, 6) == 0


def test_the_caller_s_decimal_context_changes_nothing():
    with localcontext() as context:
        context.prec = 3
        assert read_amount("123456.123456", 6) == 123_456_123_456
        assert write_number(123_456_123_456, 6) == Decimal("123456.123456")


def test_an_int_longer_than_python_prints_is_refused_all_the_same():
    digits = sys.get_int_max_str_digits()
    with pytest.raises(AmountError):
        read_amount(10 ** (digits + 10), 6)
