"""Formats: amounts of money and numbers of tokens as people read them. Exact: what is rounded, is rounded here."""

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final

from farthing.client.values import Amount, amount_text

_LEAST_DECIMALS: Final = 2
_MOST_DECIMALS: Final = 6
_UNITS: Final = tuple((Decimal(1000) ** power, letter) for power, letter in enumerate(("", "K", "M", "B", "T")))
_CONTEXT: Final = Context(prec=1000, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])


def format_cost(amount: Amount, symbol: str = "$") -> str:
    """Money: `$1.50`, `$0.0234`, `-$1,234.50`; two to six decimals, zeros past two dropped."""
    value = _rounded(Decimal(amount_text(amount)), _MOST_DECIMALS)
    whole, _, decimals = f"{value.copy_abs():,f}".partition(".")
    decimals = decimals.rstrip("0").ljust(_LEAST_DECIMALS, "0")
    return f"{'-' if value < 0 else ''}{symbol}{whole}.{decimals}"


def format_tokens(count: Amount, *, short: bool = False) -> str:
    """A number of tokens: `1,234,567`, or `1.2M` where it has to be short."""
    value = Decimal(amount_text(count, "count"))
    if value != value.to_integral_value(context=_CONTEXT):
        raise ValueError(f"count must be a whole number, not {value}")
    return _shortened(value) if short else f"{_rounded(value, 0):,f}"


def _shortened(value: Decimal) -> str:
    """In the largest unit of which there is one, with one decimal if that says more."""
    in_units = [(_rounded(_CONTEXT.divide(value, unit), 1), letter) for unit, letter in _UNITS]
    # 999,950 is 1M rather than 1000K; what is too large for all units is told in the last.
    scaled, letter = next((each for each in in_units if each[0].copy_abs() < 1000), in_units[-1])
    return f"{scaled:,f}".removesuffix(".0") + letter


def _rounded(value: Decimal, decimals: int) -> Decimal:
    """To so many decimals, the even one of two; never minus zero."""
    return _CONTEXT.plus(_CONTEXT.quantize(value, Decimal(1).scaleb(-decimals)))
