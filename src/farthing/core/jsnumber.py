"""Numbers as JavaScript has them: the double nearest to a decimal, and its shortest text.

Done in whole numbers, so that no binary float is near an amount: `double` finds the 53-bit fraction and its exponent,
and then the shortest decimal that only this double is nearest to. What is calculated with is that decimal.
"""

import re
from decimal import Decimal
from typing import Final

from .exact import EXACT, ZERO, half_even_ratio, plain

_FRACTION_BITS: Final = 52
_LOWEST: Final = -1074
_HIGHEST: Final = 971
# With at most 15 digits, and far from both ends, a decimal is the shortest text of its double.
_SAFE_DIGITS: Final = 15
_SAFE_EXPONENT: Final = 290
_TINY_EXPONENT: Final = -330
_HUGE_EXPONENT: Final = 310
_SPACE: Final = " \t\n\v\f\r\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_DECIMAL: Final = re.compile(rf"[{_SPACE}]*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[{_SPACE}]*")
_WHOLE: Final = re.compile(rf"[{_SPACE}]*0([xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)[{_SPACE}]*")


def double(value: Decimal) -> Decimal | None:
    """The shortest decimal of the double that is nearest to a number; None where that is an infinity."""
    if not value.is_finite():
        return None
    if not value or value.adjusted() < _TINY_EXPONENT:
        return ZERO
    if value.adjusted() > _HUGE_EXPONENT:
        return None
    size = value.copy_abs()
    short = EXACT.normalize(size) if len(value.as_tuple().digits) <= EXACT.prec else size
    if len(short.as_tuple().digits) > _SAFE_DIGITS or abs(short.adjusted()) > _SAFE_EXPONENT:
        fraction, exponent = _nearest(size)
        if exponent > _HIGHEST:
            return None
        short = _shortest(fraction, exponent) if fraction else ZERO
    return short.copy_negate() if value < ZERO and short else short


def _nearest(size: Decimal) -> tuple[int, int]:
    """Fraction and exponent of the double nearest to a size above zero; ties go to the even fraction."""
    numerator, denominator = size.as_integer_ratio()
    exponent = max(numerator.bit_length() - denominator.bit_length() - _FRACTION_BITS - 1, _LOWEST)
    while True:
        fraction = half_even_ratio(numerator << max(-exponent, 0), denominator << max(exponent, 0))
        if fraction.bit_length() <= _FRACTION_BITS + 1:
            return fraction, exponent
        exponent += 1


def _shortest(fraction: int, exponent: int) -> Decimal:
    """The decimal of fewest digits that lies nearer to this double than to its neighbours, and closest to it."""
    # In quarters of the last bit, since the neighbour below a power of two is only half as far away.
    at_power = fraction == 1 << _FRACTION_BITS and exponent > _LOWEST
    low, value, high = 4 * fraction - (1 if at_power else 2), 4 * fraction, 4 * fraction + 2
    up, down = (1 << exponent - 2, 1) if exponent > 2 else (1, 1 << 2 - exponent)
    low, value, high = low * up, value * up, high * up
    place = len(str(value // down)) if value >= down else 1 - len(str(down // value))
    for tens in range(place + 1, place - 20, -1):
        # Multiples of 10^tens, as fractions over the common denominator.
        scale, over = (10**tens * down, 1) if tens >= 0 else (down, 10**-tens)
        below = value * over // scale
        fits = [n for n in (below, below + 1) if n and _inside(low * over, n * scale, high * over, fraction % 2 == 0)]
        if fits:
            return Decimal(min(fits, key=lambda n: (abs(n * scale - value * over), n % 2))).scaleb(tens, context=EXACT)
    raise AssertionError("17 digits tell all doubles apart")


def _inside(low: int, value: int, high: int, ends: bool) -> bool:
    return low <= value <= high if ends else low < value < high


def number_text(value: Decimal | int) -> str:
    """The text that JavaScript's `String(x)` and `JSON.stringify(x)` have for a number."""
    short = double(Decimal(value))
    if short is None:
        raise ValueError("an infinity has no number text")
    if not short:
        return "0"
    sign, digits, exponent = EXACT.normalize(short).as_tuple()
    assert isinstance(exponent, int)  # it is finite
    point = len(digits) + exponent
    if -6 < point <= 21:
        return plain(short)
    text = "".join(map(str, digits))
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return f"{'-' if sign else ''}{text[0]}{fraction}e{point - 1:+d}"


def read_number(text: str) -> Decimal | None:
    """The number that JavaScript's `Number(text)` makes of a text, exact; None where that is none or no finite one."""
    if found := _DECIMAL.fullmatch(text):
        return _finite(found[1])
    if found := _WHOLE.fullmatch(text):
        return _finite(str(int(f"0{found[1]}", 0))) if len(found[1]) < 300 else None
    return None


def _finite(text: str) -> Decimal | None:
    digits, _, exponent = text.lower().partition("e")
    if len(digits) > 2 * _HUGE_EXPONENT or len(exponent) > 6:
        return ZERO if exponent.startswith("-") and len(digits) <= 2 * _HUGE_EXPONENT else None
    return Decimal(text)
