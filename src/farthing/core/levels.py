"""Levels: how near its end a balance is, as people are told before it is there."""

from decimal import Decimal
from typing import Literal, TypeVar

Level = Literal["fine", "low", "critical", "depleted"]
N = TypeVar("N", int, Decimal)


def level_of(balance: N, low: N, critical: N) -> Level:
    """By the thresholds that count for its account: below them it is so, and not at them."""
    if balance <= 0:
        return "depleted"
    if balance < critical:
        return "critical"
    return "low" if balance < low else "fine"
