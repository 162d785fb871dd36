"""The quantities of a usage: read, checked, and token counts sorted into what has a price of its own.

Token counts form a tree (`core.usage.PARENTS`). A parent that was not sent is the sum of its children; one that was
sent is at least that. A count whose dimension has a price is taken out of its parent; what has none stays in it.
"""

import re
from collections.abc import Container, Mapping
from decimal import Decimal
from typing import Final

from msgspec import Struct

from .exact import MAX_QUANTITY_DECIMALS, ZERO, add, decimal_problem, plain, subtract
from .usage import COUNTED, PARENTS, Usage

DIMENSION: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
DIMENSION_FORM: Final = "1 to 64 lower-case letters, digits, dots, dashes or underscores, a letter or digit first"
MAX_DIMENSIONS: Final = 64
MAX_ATTRIBUTES: Final = 64
TEXT_LENGTH: Final = 255
_TEXTS: Final = ("provider", "model", "service", "operation", "product", "chat")
_TOO_LONG: Final = f"must be at most {TEXT_LENGTH} characters"


def _in_order(parent: str) -> tuple[str, ...]:
    """A dimension and all that are counted within it, parents before children."""
    children = [child for child, of in PARENTS.items() if of == parent]
    return (parent, *(each for child in children for each in _in_order(child)))


ROOT: Final = "tokens"
TREE: Final = _in_order(ROOT)
_PLACE: Final = {dimension: place for place, dimension in enumerate((*TREE, "requests"))}
_LAST: Final = 99
_UPWARDS: Final = tuple((dimension, PARENTS.get(dimension, "")) for dimension in reversed(TREE))
"""Children before parents, each with its own parent."""


class PriceRefusal(Struct, frozen=True):
    """Why a usage has no price."""

    code: str
    """`usage_invalid`, `unknown_model`, `unknown_operation`, `unknown_dimension`, `missing_dimension`,
    `unknown_context`, `amount_too_large`, `amount_inexact`."""
    field: str
    """Of the usage, such as `dimensions.reasoning_tokens`."""
    message: str
    """A sentence that can stand alone."""


def invalid(field: str, message: str) -> PriceRefusal:
    """A usage that is not well-formed."""
    return PriceRefusal("usage_invalid", field, f"{field} {message}")


def read_quantities(usage: Usage, any_name: bool = False) -> dict[str, Decimal] | PriceRefusal:
    """The quantities of a usage by dimension: tokens first, then requests, then the others by name. Names of any form
    are for profiles, whose dimensions are named by others."""
    if len(usage.dimensions) > MAX_DIMENSIONS:
        return invalid("dimensions", f"must be at most {MAX_DIMENSIONS}")
    found: dict[str, Decimal] = {}
    latest, sorts = -1, False
    for dimension, text in usage.dimensions.items():
        # A count is mostly a few digits: everything else is looked at closely.
        if not (text.isdecimal() and text.isascii() and len(text) <= 15 and dimension in COUNTED) and (
            wrong := _quantity_problem(dimension, text, any_name)
        ):
            return wrong
        found[dimension] = Decimal(text)
        place = _PLACE.get(dimension, _LAST)
        sorts = sorts or place <= latest
        latest = place
    if sorts:
        return {name: found[name] for name in sorted(found, key=lambda name: (_PLACE.get(name, _LAST), name))}
    return found


def _quantity_problem(dimension: str, text: str, any_name: bool) -> PriceRefusal | None:
    if not (0 < len(dimension) <= TEXT_LENGTH if any_name else DIMENSION.fullmatch(dimension)):
        return invalid(f"dimensions.{dimension[:64]!r}", f"is no name of a dimension: {DIMENSION_FORM}")
    wrong = decimal_problem(text, MAX_QUANTITY_DECIMALS)
    if wrong is None and dimension in COUNTED and "." in text and text.partition(".")[2].strip("0"):
        wrong = "must be a whole number"
    return invalid(f"dimensions.{dimension}", wrong) if wrong else None


def usage_problem(usage: Usage) -> PriceRefusal | None:
    """Why the texts of a usage can't be taken, or None."""
    u = usage
    for text in (u.provider, u.model, u.service, u.operation, u.product, u.chat):
        if len(text) > TEXT_LENGTH:
            return invalid(next(field for field in _TEXTS if getattr(usage, field) == text), _TOO_LONG)
    if len(usage.attributes) > MAX_ATTRIBUTES:
        return invalid("attributes", f"must be at most {MAX_ATTRIBUTES}")
    for name, text in usage.attributes.items():
        if len(name) > TEXT_LENGTH or len(text) > TEXT_LENGTH:
            return invalid(f"attributes.{name[:64]}", _TOO_LONG)
    return None


def form_problem(usage: Usage) -> PriceRefusal | None:
    """Why a usage is not well-formed, whatever prices it; or None."""
    if wrong := usage_problem(usage):
        return wrong
    quantities = read_quantities(usage)
    if isinstance(quantities, PriceRefusal):
        return quantities
    totals = fill_tree(quantities)
    return totals if isinstance(totals, PriceRefusal) else None


def fill_tree(sent: Mapping[str, Decimal]) -> dict[str, Decimal] | PriceRefusal:
    """The token counts of a usage with those parents that were not sent."""
    totals: dict[str, Decimal] = {}
    within: dict[str, Decimal] = {}
    for dimension, parent in _UPWARDS:
        if dimension in sent:
            total = sent[dimension]
            if dimension in within and within[dimension] > total:
                return _exceeded(dimension, total, totals)
        elif dimension in within:
            total = within[dimension]
        else:
            continue
        totals[dimension] = total
        if parent:
            within[parent] = add(within[parent], total) if parent in within else total
    return totals


def _exceeded(parent: str, total: Decimal, totals: Mapping[str, Decimal]) -> PriceRefusal:
    """More was counted within a dimension than in it."""
    children = [child for child in TREE if PARENTS.get(child) == parent and totals.get(child)]
    for child in children:
        if totals[child] > total:
            said = f"is {plain(totals[child])}, more than the {plain(total)} {parent} that it is counted within"
            return invalid(f"dimensions.{child}", said)
    parts = " and ".join(f"{plain(totals[child])} {child}" for child in children)
    return invalid(f"dimensions.{parent}", f"is {plain(total)}, less than what is counted within it: {parts}")


def allocate(totals: Mapping[str, Decimal], priced: Container[str]) -> tuple[dict[str, Decimal], list[str]]:
    """For each token dimension with a price what it has to price, parents first; and those that nobody prices."""
    own = dict(totals)
    shares: dict[str, Decimal] = {}
    homeless: list[str] = []
    # First what each counts beyond its children, then upwards what found no price.
    for dimension in totals:
        if parent := PARENTS.get(dimension):
            own[parent] = subtract(own[parent], totals[dimension])
    # Parents first: who pays for what is within it has its place among the shares before that comes.
    for dimension in TREE:
        if dimension not in own:
            continue
        payer, quantity = dimension, own[dimension]
        while payer and payer not in priced:
            payer = PARENTS.get(payer, "")
        if payer:
            shares[payer] = add(shares[payer], quantity) if payer in shares else quantity
        elif quantity > ZERO:
            homeless.append(dimension)
    homeless.reverse()
    return shares, homeless
