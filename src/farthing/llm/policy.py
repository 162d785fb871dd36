"""Policies: which one counts for a call. What the call itself says comes first, then what `meter` was told, then what
the workspace says of the service, then what it says of all.
"""

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TypeAlias

from msgspec.structs import asdict

from farthing.core.metering import Policy, layers_of, policy_of

__all__ = ["Given", "Policy", "chosen", "shown", "times"]
Given: TypeAlias = Policy | Mapping[str, Any] | None
"""A policy: all of it, or what is to be different."""


def chosen(document: str, service: str, *given: Given) -> Policy:
    """The policy of a call: by the workspace's document, and by what callers have given, the last one first."""
    for each in given:
        if each is not None and isinstance(each, Mapping):
            return policy_of(*_said_by(document, service), *map(_layer, given))
    return _remembered(document, service, *given)


@lru_cache(maxsize=256)
def _remembered(document: str, service: str, *given: Any) -> Policy:
    # It is asked for before each call, while somebody waits for its first token.
    return policy_of(*_said_by(document, service), *map(_layer, given))


_said_by: Final = lru_cache(maxsize=256)(layers_of)


def _layer(given: Given) -> Mapping[str, Any]:
    return asdict(given) if isinstance(given, Policy) else given or {}


def times(factor: str, tokens: int) -> int:
    """So many tokens by a policy's factor, rounded up."""
    numerator, denominator = _ratio(factor)
    return -(-tokens * numerator // denominator)


@lru_cache(maxsize=256)
def _ratio(factor: str) -> tuple[int, int]:
    return Decimal(factor).as_integer_ratio()


def shown(policy: Policy) -> dict[str, Any]:
    """What is different from the usual, as evidence."""
    return dict(_shown(policy))


@lru_cache(maxsize=256)
def _shown(policy: Policy) -> Mapping[str, Any]:
    usual = asdict(Policy())
    return {name: value for name, value in asdict(policy).items() if value != usual[name]}
