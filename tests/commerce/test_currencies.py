"""Minor units by Stripe's lists: exact both ways, and nothing finer than it takes."""

from decimal import Decimal

import pytest

from farthing.commerce.stripe.currencies import (
    MOST_MINOR,
    THREE_DECIMAL,
    ZERO_DECIMAL,
    CurrencyError,
    decimals_of,
    from_minor,
    to_minor,
)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("19.99", "EUR", 1_999),
        ("19.99", "eur", 1_999),
        ("10", "USD", 1_000),
        (Decimal("0.50"), "USD", 50),
        (7, "USD", 700),
        ("500", "JPY", 500),
        ("500.00", "JPY", 500),
        ("5", "UGX", 5),
        ("1.5", "KWD", 1_500),
        ("1.23", "KWD", 1_230),
        ("5", "ISK", 500),
        ("0", "EUR", 0),
    ],
)
def test_an_amount_is_told_in_minor_units(amount, currency, minor):
    assert to_minor(amount, currency) == minor


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [
        (1_999, "eur", "19.99"),
        (5, "USD", "0.05"),
        (500, "JPY", "500"),
        (1_230, "KWD", "1.230"),
        (1_234, "KWD", "1.234"),
        (0, "EUR", "0.00"),
        (-250, "EUR", "-2.50"),
        (10**30 + 1, "EUR", "10000000000000000000000000000.01"),
    ],
)
def test_minor_units_are_read_exactly(minor, currency, amount):
    assert from_minor(minor, currency) == amount


@pytest.mark.parametrize(
    ("amount", "currency", "why"),
    [
        ("1.999", "EUR", "at most 2 decimals"),
        ("1.5", "JPY", "at most 0 decimals"),
        ("5.124", "KWD", "at most 2 decimals: Stripe takes no finer ones"),
        ("5.1234", "KWD", "at most 3 decimals"),
        ("5.50", "ISK", "at most 0 decimals: Stripe takes no finer ones"),
        ("-1", "EUR", "must be from 0"),
        (MOST_MINOR + 1, "JPY", "must be from 0 to 999999999999"),
        ("1e3", "EUR", "decimal number"),
        ("", "EUR", "decimal number"),
        ("1", "EURO", "three letters"),
        ("1", "E1R", "three letters"),
        ("1", "ÄÖÜ", "three letters"),
    ],
)
def test_what_stripe_would_not_take_is_refused_with_the_reason(amount, currency, why):
    with pytest.raises(CurrencyError, match=why):
        to_minor(amount, currency)


def test_a_binary_float_is_refused():
    with pytest.raises(CurrencyError, match="float"):
        to_minor(19.99, "EUR")  # type: ignore[arg-type]


@pytest.mark.parametrize("currency", [*sorted(ZERO_DECIMAL), *sorted(THREE_DECIMAL), "EUR", "USD", "HUF", "TWD", "ISK"])
def test_there_and_back_is_the_same_amount(currency):
    for minor in (0, 100, 1_000, 99_999_900):
        assert to_minor(from_minor(minor, currency), currency) == minor


def test_the_lists_are_stripes_own():
    assert {currency: decimals_of(currency) for currency in ("JPY", "KWD", "EUR", "HUF", "ISK", "MRU")} == {
        "JPY": 0,
        "KWD": 3,
        "EUR": 2,
        "HUF": 2,
        "ISK": 2,
        "MRU": 2,
    }
    assert len(ZERO_DECIMAL) == 16
