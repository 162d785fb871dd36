"""The PriceCalc runtime: dimensions and attributes, priced by a profile; the result in PriceCalc's own words.

Quantities are exact as they are sent (a number, or a text that JavaScript's `Number` takes for one), as long as a
double could hold their size; what is not finite or not above zero is skipped. Sums are exact and not rounded.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

from msgspec import Struct

from .exact import EXACT, ZERO, add, multiply
from .jsnumber import double, read_number
from .profile import Profile, ProfileError, ProfileRule, exact_number, javascript_json

RUNTIME_VERSION: Final = "runtime-v2"
UNMATCHED: Final = "UNMATCHED_DIMENSION"
HASH_MISMATCH: Final = "RULESET_HASH_MISMATCH"
INVALID_PROFILE: Final = "INVALID_PROFILE"
INVALID_INPUT: Final = "INVALID_INPUT"
STRICT: Final = "STRICT"
MODES: Final = (STRICT, "RUNTIME")

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_LAST_INDEX: Final = 2**32 - 2
_LONGEST_QUANTITY: Final = 400


class PriceCalcRefusal(Struct, frozen=True):
    """Why a profile can't price an input."""

    code: str
    """`UNMATCHED_DIMENSION`, `RULESET_HASH_MISMATCH`, `INVALID_PROFILE` or `INVALID_INPUT`."""
    message: str
    names: tuple[str, ...] = ()
    """Of the dimensions that no rule matches, or of the fields that are wrong."""


class _Row(Struct, frozen=True):
    dimension: str
    quantity: Decimal
    rule: ProfileRule


def calculate(
    profile: Profile | Mapping[str, Any], request: Mapping[str, Any], include_rounded: bool = False
) -> dict[str, Any] | PriceCalcRefusal:
    """Price an input `{dimensions, attributes?, mode?}`; numbers of the result are ints and exact Decimals."""
    if not isinstance(profile, Profile):
        try:
            profile = Profile.of(profile)
        except ProfileError as error:
            return PriceCalcRefusal(INVALID_PROFILE, str(error), tuple(pointer for pointer, _ in error.problems))
    if wrong := _input_problem(request):
        return wrong
    strict = (request.get("mode") or STRICT) == STRICT
    if strict and not profile.is_genuine:
        message = f"the profile says that its rules hash to {profile.given_hash}, and they hash to {profile.hash}"
        return PriceCalcRefusal(HASH_MISMATCH, message)
    rows, unmatched = _rows(profile, request)
    if strict and unmatched:
        return PriceCalcRefusal(UNMATCHED, f"no rule matches {', '.join(unmatched)}", tuple(unmatched))
    return _result(profile, rows, unmatched, include_rounded)


def audit_payload(
    profile: Profile | Mapping[str, Any], request: Mapping[str, Any], result: Mapping[str, Any], timestamp: str
) -> dict[str, Any]:
    """A result with all that it was made of."""
    known = profile if isinstance(profile, Profile) else Profile.of(profile)
    total = ZERO
    for row in result["breakdown"]:
        total = add(total, Decimal(row.get("costEur", 0)))
    return {
        "timestamp": timestamp,
        **result,
        "dimensions": request["dimensions"],
        "attributes": request.get("attributes") or {},
        "eurPerCredit": json_number(known.eur_per_credit),
        "costTotalEur": json_number(total),
    }


def json_number(value: Decimal) -> int | Decimal:
    """An exact number as JSON has it: an int when whole, else a Decimal without trailing zeros."""
    if value == value.to_integral_value(context=EXACT):
        return int(value)
    return EXACT.normalize(value)


def _input_problem(request: Mapping[str, Any]) -> PriceCalcRefusal | None:
    if not isinstance(request.get("dimensions"), dict):
        return PriceCalcRefusal(INVALID_INPUT, "dimensions must be an object of quantities", ("dimensions",))
    if not isinstance(request.get("attributes") or {}, dict):
        return PriceCalcRefusal(INVALID_INPUT, "attributes must be an object", ("attributes",))
    if (request.get("mode") or STRICT) not in MODES:
        return PriceCalcRefusal(INVALID_INPUT, f"mode must be {' or '.join(MODES)}", ("mode",))
    return None


def _rows(profile: Profile, request: Mapping[str, Any]) -> tuple[list[_Row], list[str]]:
    """What each dimension is priced by, in JavaScript's order; and the dimensions that no rule matches."""
    attributes = {key: javascript_json(value) for key, value in (request.get("attributes") or {}).items()}
    rows: list[_Row] = []
    unmatched: list[str] = []
    for dimension, value in _in_order(request["dimensions"]):
        quantity = _quantity(value)
        if quantity is None:
            continue
        fits = (each for each in profile.by_dimension.get(dimension, ()) if each.matches(attributes))
        rule = next(fits, None)
        if rule is None:
            unmatched.append(dimension)
        else:
            rows.append(_Row(dimension, quantity, rule))
    return rows, unmatched


def _in_order(dimensions: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """As JavaScript keeps the members of an object: first those that look like an index, by number."""
    indexes = [key for key in dimensions if _INDEX.fullmatch(key) and int(key) <= _LAST_INDEX]
    others = [key for key in dimensions if not (_INDEX.fullmatch(key) and int(key) <= _LAST_INDEX)]
    return [(key, dimensions[key]) for key in [*sorted(indexes, key=int), *others]]


def _quantity(value: Any) -> Decimal | None:
    """A quantity above zero; None for what is skipped."""
    number = read_number(value) if isinstance(value, str) else exact_number(value)
    if number is None or number <= ZERO:
        return None
    nearest = double(number)
    if not nearest:
        return None
    # Nobody counts that precisely: a number of thousands of digits is what its double is.
    return number if len(number.as_tuple().digits) <= _LONGEST_QUANTITY else nearest


def _result(profile: Profile, rows: list[_Row], unmatched: list[str], include_rounded: bool) -> dict[str, Any]:
    total = ZERO
    for row in rows:
        total = add(total, multiply(row.quantity, row.rule.price))
    result: dict[str, Any] = {"totalCredits": json_number(total)}
    if include_rounded and total:
        result["totalCreditsToDeduct"] = int(total.to_integral_value(ROUND_CEILING, context=EXACT))
    result["breakdown"] = list(map(_breakdown, rows))
    result["ruleIdsUsed"] = list(dict.fromkeys(row.rule.id for row in rows))
    result["rulesetHash"] = profile.given_hash or profile.hash
    result["profileVersionId"] = profile.version_id
    result["profileEngineVersion"] = profile.engine_version
    result["runtimeEngineVersion"] = RUNTIME_VERSION
    if unmatched:
        result["unmatchedDimensions"] = unmatched
    if not profile.is_genuine or unmatched:
        result["quarantineReason"] = UNMATCHED if profile.is_genuine else HASH_MISMATCH
    return result


def _breakdown(row: _Row) -> dict[str, Any]:
    cost = row.rule.cost
    costs = (
        {}
        if cost is None
        else {
            "costPerUnitEur": json_number(cost),
            "costEur": json_number(multiply(row.quantity, cost)),
        }
    )
    return {
        "dimensionKey": row.dimension,
        "qty": json_number(row.quantity),
        "creditsPerUnit": json_number(row.rule.price),
        "credits": json_number(multiply(row.quantity, row.rule.price)),
        **costs,
        "ruleId": row.rule.id,
    }
