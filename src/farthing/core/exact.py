"""Exact decimals: reading, arithmetic that never rounds behind one's back, and writing as plain text.

What can't be exact (a third, say) raises `decimal.Inexact`; where something is rounded, that is said and done here.
"""

import re
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_CEILING,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from typing import Final

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
HUNDRED: Final = Decimal(100)

MAX_WHOLE_DIGITS: Final = 15
"""Digits that a quantity or a price may have before the point."""
MAX_PRICE_DECIMALS: Final = 18
MAX_QUANTITY_DECIMALS: Final = 12

DIGITS: Final = 4000
"""More than any sum of products can have, also of numbers from both ends of a double's range: what does not fit is no
finite decimal. Arithmetic only costs the digits that are there."""
_TRAPS = [Inexact, InvalidOperation, Overflow, DivisionByZero]
EXACT: Final = Context(prec=DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=_TRAPS)
_HALF_EVEN: Final = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
_UP: Final = Context(prec=DIGITS, rounding=ROUND_CEILING, traps=[InvalidOperation])
_TEXT: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")

add: Final = EXACT.add
subtract: Final = EXACT.subtract
multiply: Final = EXACT.multiply
divide: Final = EXACT.divide


def decimal_problem(text: str, decimals: int, negative: bool = False) -> str | None:
    """Why a text is no decimal that can be taken, or None."""
    if len(text) > 100 or not _TEXT.fullmatch(text):
        return "must be a decimal number such as 0.0025, without exponent, blanks or signs"
    if text[0] == "-" and not negative and text.strip("-0."):
        return "must not be negative"
    whole, _, rest = text.lstrip("-").partition(".")
    if len(whole.lstrip("0")) > MAX_WHOLE_DIGITS:
        return f"must have at most {MAX_WHOLE_DIGITS} digits before the point"
    if len(rest.rstrip("0")) > decimals:
        return f"must have at most {decimals} decimals"
    return None


def round_half_even(value: Decimal, decimals: int) -> Decimal:
    """The nearest decimal with so many places, the even one of two."""
    return _HALF_EVEN.quantize(value, ONE.scaleb(-decimals))


def round_up(value: Decimal, decimals: int) -> Decimal:
    """The next decimal with so many places that is not less."""
    return _UP.quantize(value, ONE.scaleb(-decimals))


def half_even_ratio(numerator: int, denominator: int) -> int:
    """The whole number nearest to a fraction (of a positive denominator), the even one of two."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return quotient + (twice > denominator or (twice == denominator and quotient % 2 == 1))


def plain(value: Decimal) -> str:
    """Decimal text without exponent and without trailing zeros."""
    text = str(value)
    if "E" in text:  # told apart first: formatting takes three times as long
        text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
