"""What the provider asks for a usage: by the rules where they say so, else by the catalogue's price of the model."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from .exact import ONE, ZERO, add, half_even_ratio, multiply
from .quantities import TREE, allocate
from .rules import Compiled, Tariff
from .steps import exact_sum, parts_of

COST_DECIMALS: Final = 9
MAX_COST: Final = 10**18
"""A cost is below this many billionths, as what fits a 64-bit column."""

_IN_TREE: Final = frozenset(TREE)

RuleCost = tuple[str, Decimal, Decimal | None]
"""Of what a rule of the card prices: dimension, quantity, and what the rule says of its cost."""


def provider_cost(
    card: Compiled,
    bought: Decimal,
    rule_costs: Sequence[RuleCost],
    terms: Mapping[str, Tariff],
    totals: Mapping[str, Decimal],
) -> int | None:
    """The cost in billionths of the workspace's unit; None where a part of it is not known.

    `bought` is what the catalogue has priced already, `terms` are its prices of the model. Tokens are one matter: where
    the rule of one of them says nothing, the catalogue speaks for all of them.
    """
    if not terms:  # then what a rule says nothing of, nobody knows
        for _, _, cost in rule_costs:
            if cost is None:
                return None
    costs: list[Decimal | None] = [bought]
    ask = not card.flat and any(name in _IN_TREE and cost is None for name, _, cost in rule_costs)
    if ask:
        costs.append(_of_tokens(card, terms, totals))
    for dimension, quantity, cost in rule_costs:
        if ask and dimension in _IN_TREE:
            continue
        known = _of_catalogue(card, terms, dimension, quantity, totals) if cost is None else multiply(cost, card.rate)
        costs.append(known)
    sure = [cost for cost in costs if cost is not None]
    return _billionths(exact_sum(sure), card.cost_divisor) if len(sure) == len(costs) else None


def _of_tokens(card: Compiled, terms: Mapping[str, Tariff], totals: Mapping[str, Decimal]) -> Decimal | None:
    shares, homeless = allocate({name: totals[name] for name in TREE if name in totals}, terms)
    if not terms or homeless:
        return None
    total = ZERO
    for dimension, quantity in shares.items():
        total = add(total, _of_catalogue(card, terms, dimension, quantity, totals) or ZERO)
    return total


def _of_catalogue(
    card: Compiled, terms: Mapping[str, Tariff], dimension: str, quantity: Decimal, totals: Mapping[str, Decimal]
) -> Decimal | None:
    if dimension not in terms:
        # A vendor that has prices for a model, and none for a request, asks nothing for it.
        return ZERO if terms and dimension == "requests" else None
    dollars = exact_sum(multiply(part, step.unit) for step, part, _ in parts_of(terms[dimension], quantity, totals))
    return multiply(dollars, card.catalogue_rate or ONE)


def _billionths(total: Decimal, divisor: Decimal) -> int:
    numerator, denominator = multiply(total, ONE.scaleb(COST_DECIMALS)).as_integer_ratio()
    by, of = divisor.as_integer_ratio()
    return half_even_ratio(numerator * of, denominator * by)
