"""Minor units: what Stripe counts money in, by its own lists, which are not those of ISO 4217 everywhere.

Most currencies have two decimals. Of those with three Stripe takes only amounts that end in 0. The krona of Iceland has
no decimals any more, and is counted here as if it had two, which have to be 00.
"""

from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import Final

from farthing.core.amounts import AmountError, read_amount

USUAL_DECIMALS: Final = 2
ZERO_DECIMAL: Final = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF")
)
THREE_DECIMAL: Final = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))
_STEPS: Final[Mapping[str, int]] = {**dict.fromkeys(THREE_DECIMAL, 10), "ISK": 100}
"""What an amount has to be a multiple of, where that is not 1."""
MOST_MINOR: Final = 10**12 - 1
"""Stripe takes at most eight digits, and twelve in a few currencies: beyond, something has gone wrong."""


class CurrencyError(ValueError):
    """An amount that can't be one of this currency; the message says why, in a sentence."""


def read_currency(code: str) -> str:
    """The code in capitals: Stripe writes small letters."""
    if len(code) != 3 or not (code.isascii() and code.isalpha()):
        raise CurrencyError(f"a currency is three letters such as EUR, not {code[:20]!r}")
    return code.upper()


def decimals_of(currency: str) -> int:
    """How many decimals Stripe counts a currency with."""
    code = read_currency(currency)
    if code in ZERO_DECIMAL:
        return 0
    return 3 if code in THREE_DECIMAL else USUAL_DECIMALS


def to_minor(amount: str | int | Decimal, currency: str) -> int:
    """What Stripe is to be asked for: exactly the amount, or an error."""
    code, decimals = read_currency(currency), decimals_of(currency)
    try:
        minor = read_amount(amount, decimals)
    except AmountError as error:
        raise CurrencyError(f"an amount in {code} {error}") from error
    if not 0 <= minor <= MOST_MINOR:
        raise CurrencyError(f"an amount in {code} must be from 0 to {from_minor(MOST_MINOR, code)}")
    if minor % _STEPS.get(code, 1):
        taken = decimals - len(str(_STEPS[code])) + 1
        raise CurrencyError(f"an amount in {code} must have at most {taken} decimals: Stripe takes no finer ones")
    return minor


def from_minor(minor: int, currency: str) -> str:
    """What Stripe tells, as decimal text with all decimals of its currency: 1999 of EUR is 19.99."""
    with localcontext(prec=60):
        return format(Decimal(minor).scaleb(-decimals_of(currency)), "f")
