"""Forms as PHP reads them: nested values under names in brackets, such as payment_plan[first_amount]=9.00."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TypeAlias
from urllib.parse import urlencode

Value: TypeAlias = "str | int | bool | Decimal | Mapping[str, Value] | list[Value] | None"


def encode(fields: Mapping[str, Value]) -> bytes:
    """The body of a call; what is None or empty of its kind is left out."""
    return urlencode([pair for name, value in fields.items() for pair in _pairs(name, value)]).encode("ascii")


def _pairs(name: str, value: Value) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if isinstance(value, Mapping):
        for inner, each in value.items():
            yield from _pairs(f"{name}[{inner}]", each)
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from _pairs(f"{name}[{place}]", each)
    else:
        yield name, _text(name, value)


def _text(name: str, value: str | int | Decimal) -> str:
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{name} must be a finite number")
        return format(value, "f")
    if isinstance(value, int):
        return str(value)
    raise TypeError(f"{name} must be text, a whole number, a Decimal, true or false, not {type(value).__name__}")
