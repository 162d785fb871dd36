"""Amounts: whole numbers of the smallest unit inside, decimal text or exact JSON numbers outside.

A workspace counts in one unit with a fixed `scale`, the number of decimals: with scale 6 the amount 7.5 is the
integer 7_500_000. No binary float ever touches an amount; a float is refused even when it happens to be whole.
"""

import re
from decimal import Decimal
from typing import Final

from .exact import half_even_ratio

MAX_AMOUNT: Final = 10**15
"""An amount in a command is below this many smallest units."""
MAX_BALANCE: Final = 10**18
"""A balance, and a debt, stay below this many smallest units (they fit a 64-bit column with room to add)."""
MAX_SCALE: Final = 12
USUAL_DIGITS: Final = 15

# Longer than any amount needs, shorter than what would make parsing costly.
_MAX_DIGITS: Final = 400
_DECIMAL_TEXT: Final = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?")


class AmountError(ValueError):
    """An amount that can't be taken; the message says why, in a sentence."""


def read_amount(value: object, scale: int) -> int:
    """Turn decimal text, an int or a Decimal into smallest units; refuse what does not fit the scale exactly."""
    amount, exact = round_amount(value, scale)
    if not exact:
        raise AmountError(f"must have at most {scale} decimals")
    return amount


def round_amount(value: object, scale: int) -> tuple[int, bool]:
    """Like `read_amount`, but round half-even to the scale; the flag says whether the value was exact."""
    if type(value) is int:
        return _in_range(value * 10**scale), True
    if type(value) is str:
        if usual := usual_amount(value, scale):
            return usual, True
        if not _DECIMAL_TEXT.fullmatch(value):
            raise AmountError("must be a decimal number such as 7.5, without exponent, blanks or signs but '-'")
        value = Decimal(value)
    if type(value) is Decimal:
        return _from_decimal(value, scale)
    if type(value) is bool:
        raise AmountError("must be a number, not true or false")
    if type(value) is float:
        raise AmountError("must be an int, a Decimal or decimal text: a binary float is not exact")
    raise AmountError("must be a decimal number")


def usual_amount(text: str, scale: int) -> int:
    """The quick way for most texts: few digits and perhaps a point. 0 for any other, and for zero."""
    whole, point, rest = text.partition(".")
    digits = whole + rest
    if len(digits) > USUAL_DIGITS or len(rest) > scale or not (digits.isascii() and digits.isdigit()):
        return 0
    if not whole or (point and not rest):
        return 0
    amount = int(digits) * 10 ** (scale - len(rest))
    return amount if amount < MAX_AMOUNT else 0


def _from_decimal(value: Decimal, scale: int) -> tuple[int, bool]:
    if not value.is_finite():
        raise AmountError("must be a finite number")
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # only NaN and infinities have a letter here
    if not any(digits):
        return 0, True
    # Judge the size before doing arithmetic: 1e999999999 must not become a number of a billion digits.
    if value.adjusted() > 40:
        raise AmountError("is too large")
    if len(digits) > _MAX_DIGITS:
        raise AmountError(f"must have at most {_MAX_DIGITS} digits")
    if value.adjusted() < -_MAX_DIGITS:
        return 0, False
    whole = int("".join(map(str, digits)))
    shift = exponent + scale
    if shift >= 0:
        return _in_range((-whole if sign else whole) * 10**shift), True
    rounded = half_even_ratio(whole, 10**-shift)
    return _in_range(-rounded if sign else rounded), rounded * 10**-shift == whole


def _in_range(amount: int) -> int:
    if -MAX_AMOUNT < amount < MAX_AMOUNT:
        return amount
    raise AmountError("is too large")


def write_amount(amount: int, scale: int) -> str:
    """Decimal text of an amount, without trailing zeros: 7_500_000 at scale 6 is '7.5'."""
    if not amount:
        return "0"
    sign = "-" if amount < 0 else ""
    whole, rest = divmod(abs(amount), 10**scale)
    if not rest:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{rest:0{scale}d}".rstrip("0")


def write_number(amount: int, scale: int) -> int | Decimal:
    """The amount as an exact JSON number: an int when whole, else a Decimal without trailing zeros."""
    whole, rest = divmod(amount, 10**scale)
    return Decimal(write_amount(amount, scale)) if rest else whole
