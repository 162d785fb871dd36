"""Rate cards and model prices made ready for pricing: decimals read, rules indexed. Done once for each version.

A *tariff* is a price with what it applies to. Those of a dimension are kept in buckets by the one key of their
conditions that tells most apart, each bucket in order of rank, so that a card of thousands of rules is as quick as one
of ten: a usage looks at the first match of a few buckets and takes the one of best rank.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import Struct

from .exact import ONE, ZERO, divide, plain
from .modelprice import CONTEXTS, STANDARD, ModelPrice, Price
from .profile import Profile
from .ratecard import Card, Markup, ProfileCard, RateCard, Rounding, Rule

Facts = Mapping[str, Sequence[str]]
"""What rules look at: for each field or attribute of a usage its values (a model has two: as sent, as understood)."""

# By which key a rule is found: the first of these that it looks at, else any other.
_TELLING: Final = ("model", "operation", "product", "service", "provider")


class Step(Struct, frozen=True):
    """A step of a price, with the amounts of one unit."""

    start: Decimal
    price: str
    unit: Decimal
    cost: Decimal | None


class Tariff(Struct, frozen=True):
    """A price, ready to be multiplied."""

    dimension: str
    rule: str
    per: int
    steps: tuple[Step, ...]
    whole: bool = False
    by: str = ""
    included: Decimal = ZERO
    conditions: tuple[tuple[str, frozenset[str]], ...] = ()
    rank: int = 0
    """Its place among all of its card; the lower wins."""

    def matches(self, facts: Facts) -> bool:
        """Whether it applies to a usage."""
        for key, allowed in self.conditions:  # noqa: SIM110 - a generator takes longer than the rest of it
            if allowed.isdisjoint(facts.get(key, ())):
                return False
        return True


class Index:
    """The tariffs of one dimension."""

    __slots__ = ("_buckets", "_keys", "all")

    def __init__(self, tariffs: Sequence[Tariff]) -> None:
        self.all = tuple(sorted(tariffs, key=lambda tariff: tariff.rank))
        self._buckets: dict[tuple[str, str], list[Tariff]] = {}
        for tariff in self.all:
            key, values = _telling(tariff)
            for value in values:
                self._buckets.setdefault((key, value), []).append(tariff)
        self._keys = tuple(dict.fromkeys(key for key, _ in self._buckets))

    def find(self, facts: Facts) -> Tariff | None:
        """The tariff that applies, if one does."""
        best: Tariff | None = None
        for key in self._keys:
            for value in facts.get(key, ()) if key else _ANY:
                for tariff in self._buckets.get((key, value), ()):
                    if best is not None and best.rank <= tariff.rank:
                        break
                    if not tariff.conditions or tariff.matches(facts):
                        best = tariff
                        break
        return best

    def names_model(self, facts: Facts) -> bool:
        """Whether a rule that applies to a usage names its model."""
        # Every rule that looks at the model is found by it.
        named = (self._buckets.get(("model", value), ()) for value in facts.get("model", ()))
        return any(tariff.matches(facts) for bucket in named for tariff in bucket)


_ANY: Final = ("",)


def _telling(tariff: Tariff) -> tuple[str, Iterable[str]]:
    """The key by which a tariff is found, with its values; no key where it looks at nothing."""
    conditions = dict(tariff.conditions)
    for key in (*_TELLING, *conditions):
        if key in conditions:
            return key, conditions[key]
    return "", _ANY


class ModelTariffs(Struct, frozen=True):
    """A model's prices, ready for pricing; the same for all workspaces."""

    document: ModelPrice
    reference: str
    """`catalogue:openai/gpt-4o@2`."""
    standard: dict[str, Tariff]
    variants: tuple[tuple[dict[str, str], dict[str, Tariff]], ...]
    contexts: frozenset[str]

    def under(self, attributes: Mapping[str, str]) -> dict[str, Tariff]:
        """The prices that apply to a usage with such attributes. Empty: there are none for the terms that it
        names."""
        asked = self.asked(attributes)
        if not asked:
            return self.standard
        return next((prices for when, prices in self.variants if when == asked), {})

    def asked(self, attributes: Mapping[str, str]) -> dict[str, str]:
        """The special terms that a usage names."""
        if not attributes:
            return {}
        return {name: value for name, value in attributes.items() if name in self.contexts and value not in STANDARD}


class Extra(Struct, frozen=True):
    """A markup, ready to be added."""

    percent: Decimal
    fixed: Decimal


class Compiled(Struct, frozen=True):
    """A version of a rate card, ready for pricing."""

    rules: dict[str, Index]
    defaults: dict[str, Index]
    currency: str = ""
    rate: Decimal = ONE
    rate_text: str = "1"
    markup: Extra | None = None
    catalogue: bool = False
    """The catalogue's prices are charged; with a `catalogue_rate` alone they only say the cost."""
    catalogue_rate: Decimal | None = None
    catalogue_markup: Extra | None = None
    minimum: Decimal = ZERO
    rounding: Rounding = "half_even"
    decimals: int | None = None
    cost_divisor: Decimal = ONE
    """What costs are divided by, at the very end: `eurPerCredit` of a profile."""
    flat: bool = False
    """Every dimension stands alone, as in PriceCalc: none is counted within another, and no request is implied."""


def compile_card(card: Card) -> Compiled:
    """A card made ready. It has passed `check_card`; what that refuses may raise here."""
    if isinstance(card, ProfileCard):
        return _compile_profile(Profile.of(card.profile))
    return _compile_native(card)


def compile_model(price: ModelPrice, reference: str) -> ModelTariffs:
    """A model's prices made ready. They have passed `check_model`; what that refuses may raise here."""
    return ModelTariffs(
        document=price,
        reference=reference,
        standard=_by_dimension(price.prices),
        variants=tuple((dict(variant.when), _by_dimension(variant.prices)) for variant in price.variants),
        contexts=CONTEXTS.union(price.contexts, *(variant.when for variant in price.variants)),
    )


def _by_dimension(prices: Iterable[Price]) -> dict[str, Tariff]:
    return {price.dimension: tariff(price, "") for price in prices}


def _compile_native(card: RateCard) -> Compiled:
    # Rules of equal rank can't both match, but by the two names of a model: then the name that was sent decides.
    standings = sorted({_standing(rule) for rule in card.rules})
    ranks = {standing: rank for rank, standing in enumerate(standings)}
    tariffs = [(rule.default, _of_rule(rule, ranks[_standing(rule)])) for rule in card.rules]
    catalogue = card.catalogue
    return Compiled(
        rules=indexed(each for default, each in tariffs if not default),
        defaults=indexed(each for default, each in tariffs if default),
        currency=card.currency,
        rate=Decimal(card.rate),
        rate_text=plain(Decimal(card.rate)),
        markup=_extra(card.markup),
        catalogue=catalogue is not None and not catalogue.cost_only,
        catalogue_rate=None if catalogue is None else Decimal(catalogue.rate),
        catalogue_markup=None if catalogue is None else _extra(catalogue.markup),
        minimum=Decimal(card.minimum),
        rounding=card.rounding,
        decimals=card.decimals,
    )


def _standing(rule: Rule) -> tuple[int, int]:
    return -rule.priority, -len(rule.match)


def _extra(markup: Markup) -> Extra | None:
    extra = Extra(Decimal(markup.percent), Decimal(markup.fixed))
    return extra if extra.percent or extra.fixed else None


def indexed(tariffs: Iterable[Tariff]) -> dict[str, Index]:
    """Tariffs by dimension."""
    found: dict[str, list[Tariff]] = {}
    for each in tariffs:
        found.setdefault(each.dimension, []).append(each)
    return {dimension: Index(each) for dimension, each in found.items()}


def _of_rule(rule: Rule, rank: int) -> Tariff:
    return tariff(
        rule,
        rule.id,
        cost=rule.cost,
        included=Decimal(rule.included),
        conditions=tuple((key, frozenset([v] if isinstance(v, str) else v)) for key, v in rule.match.items()),
        rank=rank,
    )


def tariff(
    price: Price,
    rule: str,
    cost: str | None = None,
    included: Decimal = ZERO,
    conditions: tuple[tuple[str, frozenset[str]], ...] = (),
    rank: int = 0,
) -> Tariff:
    """A price made ready."""
    if price.tiers:
        steps = tuple(_step(each.from_, each.price, price.per, each.cost) for each in price.tiers)
    else:
        steps = (_step("0", price.price or "", price.per, cost),)
    return Tariff(
        dimension=price.dimension,
        rule=rule,
        per=price.per,
        steps=steps,
        whole=price.tier_mode == "whole",
        by=price.tier_by or price.dimension,
        included=included,
        conditions=conditions,
        rank=rank,
    )


def _step(start: str, price: str, per: int, cost: str | None) -> Step:
    return Step(Decimal(start), price, _unit(price, per), None if cost is None else _unit(cost, per))


def _unit(price: str, per: int) -> Decimal:
    return divide(Decimal(price), Decimal(per))


def _compile_profile(profile: Profile) -> Compiled:
    return Compiled(
        rules=indexed(
            Tariff(
                dimension=rule.dimension,
                rule=rule.id,
                per=1,
                steps=(Step(ZERO, plain(rule.price), rule.price, rule.cost),),
                conditions=tuple((key, frozenset(map(_text, values))) for key, values in rule.match.items()),
                rank=rank,
            )
            for rank, rule in enumerate(profile.live)
        ),
        defaults={},
        cost_divisor=profile.eur_per_credit,
        flat=True,
    )


def _text(value: str) -> str:
    """A value of a profile's condition (JSON text), as the text that attributes of a usage are."""
    return msgspec.json.decode(value, type=str) if value.startswith('"') else value
