"""What makes a rate card, and a model's prices, right: everything that is wrong is told at once, with where it is."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal, Inexact
from itertools import islice
from typing import Final

from .exact import MAX_PRICE_DECIMALS, MAX_QUANTITY_DECIMALS, decimal_problem, divide
from .modelprice import ModelPrice, Price
from .profile import profile_problems
from .quantities import DIMENSION, DIMENSION_FORM, TEXT_LENGTH
from .ratecard import Card, Markup, ProfileCard, RateCard, Rule

Problem = tuple[str, str]
"""Where (a JSON pointer), and what is wrong."""

MAX_RULES: Final = 10_000
MAX_TIERS: Final = 100
MAX_TIES: Final = 100
"""So many are told; a card of a stranger's may have millions."""
MAX_COMPARISONS: Final = 200_000
"""Of rules with one another: a few tenths of a second. A card of 10,000 rules for as many models needs a tenth."""
VALUES: Final = 8
"""So many values of rules cost as much as comparing two of them."""
BEGINNING: Final = 8
"""What it costs to begin comparing two kinds of rules, in comparisons."""
MAX_PER: Final = 10**12


def check_card(card: Card, scale: int) -> list[Problem]:
    """Everything that is wrong with a card for a workspace of a scale."""
    if isinstance(card, ProfileCard):
        return [(f"/profile{pointer}", message) for pointer, message in profile_problems(card.profile)]
    return [*_terms(card, scale), *_rules(card.rules), *_ties(card.rules)]


def check_model(price: ModelPrice) -> list[Problem]:
    """Everything that is wrong with a model's prices."""
    return list(_model(price))


# The card itself


def _terms(card: RateCard, scale: int) -> Iterator[Problem]:
    yield from _decimal("/rate", card.rate, above_zero=True)
    yield from _decimal("/minimum", card.minimum)
    yield from _markup("/markup", card.markup)
    if card.catalogue is not None:
        yield from _decimal("/catalogue/rate", card.catalogue.rate, above_zero=True)
        yield from _markup("/catalogue/markup", card.catalogue.markup)
    if len(card.currency) > TEXT_LENGTH:
        yield "/currency", f"must be at most {TEXT_LENGTH} characters"
    if card.decimals is not None and not 0 <= card.decimals <= scale:
        yield "/decimals", f"must be from 0 to {scale}, the scale of the workspace"
    if card.rounding == "exact" and card.decimals is not None:
        yield "/decimals", "can't be given where nothing is rounded"
    if not card.rules and (card.catalogue is None or card.catalogue.cost_only):
        yield "/rules", "must have a rule, or the card must use the catalogue"
    if len(card.rules) > MAX_RULES:
        yield "/rules", f"must be at most {MAX_RULES:,}"


def _markup(pointer: str, markup: Markup) -> Iterator[Problem]:
    wrong = list(_decimal(f"{pointer}/percent", markup.percent, negative=True))
    yield from wrong
    if not wrong and Decimal(markup.percent) < -100:
        yield f"{pointer}/percent", "must be at least -100: nothing costs less than nothing"
    yield from _decimal(f"{pointer}/fixed", markup.fixed)


def _decimal(
    pointer: str,
    text: str,
    decimals: int = MAX_PRICE_DECIMALS,
    negative: bool = False,
    above_zero: bool = False,
) -> Iterator[Problem]:
    if wrong := decimal_problem(text, decimals, negative):
        yield pointer, wrong
    elif above_zero and not Decimal(text):
        yield pointer, "must be above zero"


# Rules


def _rules(rules: tuple[Rule, ...]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for number, rule in enumerate(rules):
        pointer = f"/rules/{number}"
        if not 0 < len(rule.id) <= TEXT_LENGTH:
            yield f"{pointer}/id", f"must be 1 to {TEXT_LENGTH} characters"
        if (first := seen.setdefault(rule.id, number)) != number:
            yield f"{pointer}/id", f"{rule.id!r} is the id of rule {first} as well"
        yield from _price(pointer, rule)
        yield from _decimal(f"{pointer}/included", rule.included, MAX_QUANTITY_DECIMALS)
        if rule.cost is not None:
            yield from _cost(pointer, rule, rule.cost)
        yield from _match(f"{pointer}/match", rule)


def _match(pointer: str, rule: Rule) -> Iterator[Problem]:
    for key, value in rule.match.items():
        values = [value] if isinstance(value, str) else value
        where = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
        if not key or len(key) > TEXT_LENGTH:
            yield where, f"must have a name of 1 to {TEXT_LENGTH} characters"
        if not values or not all(values):
            yield where, "must be a text or a list of texts, none of them empty"
        if any(len(each) > TEXT_LENGTH for each in values):
            yield where, f"must be of at most {TEXT_LENGTH} characters"


def _cost(pointer: str, rule: Rule, cost: str) -> Iterator[Problem]:
    if rule.tiers:
        yield f"{pointer}/cost", "belongs to each tier where there are tiers"
    else:
        yield from _amount(f"{pointer}/cost", cost, rule.per)


def _price(pointer: str, price: Price) -> Iterator[Problem]:
    if not DIMENSION.fullmatch(price.dimension):
        yield f"{pointer}/dimension", f"must be {DIMENSION_FORM}"
    if not 1 <= price.per <= MAX_PER:
        yield f"{pointer}/per", f"must be from 1 to {MAX_PER:,}"
        return
    if price.price is None and not price.tiers:
        yield f"{pointer}/price", "must be there, or tiers in its place"
    if price.price is not None and price.tiers:
        yield f"{pointer}/price", "can't stand beside tiers"
    if price.price is not None:
        yield from _amount(f"{pointer}/price", price.price, price.per)
    yield from _tiers(pointer, price)
    if price.tier_by:
        yield from _tier_by(f"{pointer}/tier_by", price)


def _amount(pointer: str, text: str, per: int) -> Iterator[Problem]:
    """An amount for `per` units; that for one must be a finite decimal, or no sum of it is exact."""
    if wrong := decimal_problem(text, MAX_PRICE_DECIMALS):
        yield pointer, wrong
        return
    try:
        divide(Decimal(text), Decimal(per))
    except Inexact:
        yield pointer, f"for {per} units has no exact price for one: choose a `per` that divides it"


def _tiers(pointer: str, price: Price) -> Iterator[Problem]:
    if len(price.tiers) > MAX_TIERS:
        yield f"{pointer}/tiers", f"must be at most {MAX_TIERS}"
    before: Decimal | None = None
    for number, each in enumerate(price.tiers):
        where = f"{pointer}/tiers/{number}"
        wrong = list(_decimal(f"{where}/from", each.from_, MAX_QUANTITY_DECIMALS))
        yield from wrong
        yield from _amount(f"{where}/price", each.price, price.per)
        if each.cost is not None:
            yield from _amount(f"{where}/cost", each.cost, price.per)
        if wrong:
            continue
        start = Decimal(each.from_)
        if before is None and start:
            yield f"{where}/from", "must be 0: the first tier is where counting begins"
        if before is not None and start <= before:
            yield f"{where}/from", "must be above that of the tier before"
        before = start


def _tier_by(pointer: str, price: Price) -> Iterator[Problem]:
    if not DIMENSION.fullmatch(price.tier_by):
        yield pointer, f"must be {DIMENSION_FORM}"
    if price.tier_mode != "whole" or not price.tiers:
        yield pointer, "is for tiers of tier_mode whole"


# Rules that tie: for some usage nobody could say which of two prices it


class _TooAlike(Exception):
    """Too many rules would have to be compared."""


class _Patience:
    """What comparing a card's rules may cost. A card may be a stranger's, and its check is no place to rest in."""

    def __init__(self) -> None:
        self._left = MAX_COMPARISONS

    def spend(self, comparisons: int) -> None:
        self._left -= comparisons
        if self._left < 0:
            raise _TooAlike


def _ties(rules: tuple[Rule, ...]) -> list[Problem]:
    """The first ties of a card; or that its rules can't be held against one another."""
    found: list[Problem] = []
    try:
        for problem in islice(_all_ties(rules, _Patience()), MAX_TIES):
            found.append(problem)  # noqa: PERF402 - those before the end of patience are told
    except _TooAlike:
        why = "are too many that differ in too little to be held against one another: give them priorities"
        found.append(("/rules", why))
    return found


def _all_ties(rules: tuple[Rule, ...], patience: _Patience) -> Iterator[Problem]:
    """Two rules of equal rank that some usage could both match. Only rules alike in all but their values are compared
    one by one, and those that share a value are found by it, so that thousands of models are no matter."""
    alike: dict[tuple[str, bool, int, int], list[int]] = {}
    for number, rule in enumerate(rules):
        alike.setdefault((rule.dimension, rule.default, rule.priority, len(rule.match)), []).append(number)
    for group in alike.values():
        yield from _ties_among(rules, group, patience)


def _ties_among(rules: tuple[Rule, ...], group: list[int], patience: _Patience) -> Iterator[Problem]:
    by_keys: dict[tuple[str, ...], list[int]] = {}
    for number in group:
        by_keys.setdefault(tuple(sorted(rules[number].match)), []).append(number)
    kinds = list(by_keys.items())
    sizes = [sum(1 + _size(rules[number]) for number in numbers) for _, numbers in kinds]
    for place, (keys, numbers) in enumerate(kinds):
        yield from (_tie(rules, *pair) for pair in _pairs(rules, keys, numbers, patience))
        for (other_keys, others), size in zip(kinds[place + 1 :], sizes[place + 1 :], strict=True):
            patience.spend(BEGINNING + (sizes[place] + size) // VALUES)
            # Rules that look at different things may meet by the hundred: one pair stands for all.
            shared = tuple(key for key in keys if key in other_keys)
            found = next(_pairs_between(rules, shared, numbers, others, patience), None)
            if found is not None:
                yield _tie(rules, *sorted(found))


def _pairs(
    rules: tuple[Rule, ...], keys: tuple[str, ...], numbers: list[int], patience: _Patience
) -> Iterator[tuple[int, int]]:
    """Rules that look at the same and meet one before them."""
    met: dict[str, list[int]] = {}
    telling = _telling(rules, keys, numbers)
    for number in numbers:
        values = _values(rules[number], telling)
        before = dict.fromkeys(other for value in values for other in met.get(value, ()))
        clash = next((other for other in before if _meet(rules[number], rules[other], patience)), None)
        if clash is not None:
            yield clash, number
        for value in values:
            met.setdefault(value, []).append(number)


def _pairs_between(
    rules: tuple[Rule, ...], shared: tuple[str, ...], numbers: list[int], others: list[int], patience: _Patience
) -> Iterator[tuple[int, int]]:
    """Rules of two kinds that meet."""
    telling = _telling(rules, shared, numbers)
    found: dict[str, list[int]] = {}
    for number in numbers:
        for value in _values(rules[number], telling):
            found.setdefault(value, []).append(number)
    for other in others:
        near = dict.fromkeys(number for value in _values(rules[other], telling) for number in found.get(value, ()))
        yield from ((number, other) for number in near if _meet(rules[number], rules[other], patience))


def _telling(rules: tuple[Rule, ...], keys: tuple[str, ...], numbers: list[int]) -> str:
    """The key whose values the fewest rules share; none where they look at nothing."""

    def shared(key: str) -> int:
        return sum(times * times for times in Counter(v for n in numbers for v in _values(rules[n], key)).values())

    return min(keys, key=shared, default="")


def _values(rule: Rule, key: str) -> list[str]:
    value = rule.match[key] if key else ""
    return [value] if isinstance(value, str) else list(dict.fromkeys(value))


def _size(rule: Rule) -> int:
    """How many values it looks for."""
    return sum(1 if isinstance(value, str) else len(value) for value in rule.match.values())


def _meet(one: Rule, other: Rule, patience: _Patience) -> bool:
    """Whether some usage could match both: on no key that both look at are their values apart."""
    shared = one.match.keys() & other.match.keys()
    patience.spend(1 + (_size(one) + _size(other)) // VALUES)
    return all(not set(_values(one, key)).isdisjoint(_values(other, key)) for key in shared)


def _tie(rules: tuple[Rule, ...], first: int, second: int) -> Problem:
    one, other = rules[first], rules[second]
    message = (
        f"ties with rule {one.id!r}: a usage may match both {one.id!r} and {other.id!r}, and they have the same "
        "priority and as many keys; give one of them a higher priority"
    )
    return f"/rules/{second}", message


# Models


def _model(price: ModelPrice) -> Iterator[Problem]:
    for field in ("provider", "model", "currency"):
        if not 0 < len(getattr(price, field)) <= TEXT_LENGTH:
            yield f"/{field}", f"must be 1 to {TEXT_LENGTH} characters"
    yield from _prices("/prices", price.prices)
    asked: list[dict[str, str]] = []
    for number, variant in enumerate(price.variants):
        pointer = f"/variants/{number}"
        if not variant.when or not all(variant.when.values()):
            yield f"{pointer}/when", "must name attributes and their values"
        if variant.when in asked:
            yield f"{pointer}/when", "is the same as of a variant before"
        asked.append(variant.when)
        yield from _prices(f"{pointer}/prices", variant.prices)


def _prices(pointer: str, prices: tuple[Price, ...]) -> Iterator[Problem]:
    if not prices:
        yield pointer, "must have a price"
    seen: set[str] = set()
    for number, each in enumerate(prices):
        yield from _price(f"{pointer}/{number}", each)
        if each.dimension in seen:
            yield f"{pointer}/{number}/dimension", f"{each.dimension!r} has a price before"
        seen.add(each.dimension)
