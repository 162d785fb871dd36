"""Pricing: (usage, price book) -> an amount and the lines that explain it. Pure, exact, the same for the same input.

Who prices what. The token counts of a usage are priced together, every other dimension by itself: by the card's rules
where one of them applies; else, where the card says so, by the catalogue's price of the model; else by the card's
default rules, where the workspace's policy for unknown models allows them. So a card that has a price for a model's
input must have one for its output: what an operator sets is never mixed with the catalogue's for the same tokens.

`requests` is 1 where it was not sent: a rule for it is a price per call. Prices, then markups, the minimum and the
rounding of their sum make a line each; the lines add up to the amount.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct

from .amounts import MAX_AMOUNT
from .costs import MAX_COST, RuleCost, provider_cost
from .exact import (
    EXACT,
    HUNDRED,
    ONE,
    ZERO,
    add,
    divide,
    multiply,
    plain,
    round_half_even,
    round_up,
    subtract,
)
from .quantities import ROOT, TREE, PriceRefusal, allocate, fill_tree, invalid, read_quantities, usage_problem
from .rules import Compiled, Extra, Facts, Index, ModelTariffs, Tariff
from .steps import cost_of, exact_sum, parts_of
from .usage import Line, Priced, Usage

UnknownModels = Literal["default", "refuse", "unpriced"]
"""What becomes of a model that neither card nor catalogue knows: the card's default rules, a refusal, or a record
with amount 0 that says so."""
FindModel = Callable[[str, str], ModelTariffs | None]
"""The catalogue: the prices of (provider, model) as they were sent; the provider may be empty."""
Candidates = Callable[[str, str], Sequence[str]]
"""What a name might have meant that means several models of the catalogue: each as `provider/model`."""

_IN_TREE: Final = frozenset(TREE)


def no_models(provider: str, model: str) -> ModelTariffs | None:
    """A catalogue without models."""
    return None


def no_candidates(provider: str, model: str) -> Sequence[str]:
    """A catalogue in which no name means several models."""
    return ()


class Book(Struct, frozen=True, kw_only=True):
    """All that a price depends on besides the usage."""

    card: Compiled
    reference: str
    """The version of the card: `name@version`."""
    scale: int
    """Decimals of the workspace's unit."""
    unknown_models: UnknownModels = "refuse"
    find_model: FindModel = no_models
    candidates: Candidates = no_candidates


def price(usage: Usage, book: Book) -> Priced | PriceRefusal:
    """What a usage comes to, and why; or why it has no price."""
    quantities = read_quantities(usage, book.card.flat)
    if isinstance(quantities, PriceRefusal):
        return quantities
    if wrong := usage_problem(usage):
        return wrong
    bill = _Bill(usage, book)
    return bill.count_all(quantities) or bill.finish(quantities)


def meant_by(usage: Usage, book: Book) -> tuple[str, str]:
    """Provider and model that a usage is recorded under."""
    found = book.find_model(usage.provider, usage.model) if usage.model else None
    return _named(usage, found)


def _named(usage: Usage, found: ModelTariffs | None) -> tuple[str, str]:
    return (usage.provider, usage.model) if found is None else (found.document.provider, found.document.model)


def rounded(priced: Priced) -> str:
    """What rounding added to the exact price, or took off it, in the workspace's unit."""
    return plain(exact_sum(Decimal(line.amount) for line in priced.lines if line.kind == "rounding"))


class _Source(Struct, frozen=True):
    """Whose prices they are."""

    tariffs: dict[str, Tariff]
    reference: str
    currency: str
    rate: Decimal
    rate_text: str
    kind: Literal["card", "catalogue", "default"]


class _Bill:
    """A price in the making."""

    __slots__ = (
        "book", "bought", "card", "costs", "counted", "facts", "kinds", "known", "lines", "model", "own", "total",
        "totals", "unknown", "usage",
    )  # fmt: skip

    def __init__(self, usage: Usage, book: Book) -> None:
        self.usage = usage
        self.book = book
        self.card = book.card
        self.model = book.find_model(usage.provider, usage.model) if usage.model else None
        self.facts = _facts(usage, self.model)
        self.totals: Mapping[str, Decimal] = {}
        self.lines: list[Line] = []
        self.total = ZERO
        """Of all lines."""
        self.own = ZERO
        """What the card's rules come to."""
        self.bought = ZERO
        """What the catalogue's prices come to, and so their cost."""
        self.kinds: set[str] = set()
        """Who knew a price, even of a quantity of zero."""
        self.known = False
        """Of anything but the request as such: a fee for every call says nothing of a model."""
        self.counted: set[str] = set()
        """Whose prices were multiplied by something."""
        self.costs: list[RuleCost] = []
        self.unknown: list[str] = []

    # Counting

    def count_all(self, quantities: dict[str, Decimal]) -> PriceRefusal | None:
        """Price every dimension; a refusal where one can't be."""
        self.totals = quantities
        alone = quantities
        if not self.card.flat:
            if _IN_TREE.issuperset(quantities):
                alone = {}
            else:
                alone = {name: quantity for name, quantity in quantities.items() if name not in _IN_TREE}
            if len(alone) < len(quantities) and (wrong := self._count_tokens(quantities, alone)):
                return wrong
        for dimension, quantity in alone.items():
            if wrong := self._count_alone(dimension, quantity):
                return wrong
        if not self.card.flat and "requests" not in quantities:
            self._count_request()
        return None

    def _count_tokens(self, quantities: dict[str, Decimal], alone: Mapping[str, Decimal]) -> PriceRefusal | None:
        totals = fill_tree(quantities)
        if isinstance(totals, PriceRefusal):
            return totals
        self.totals = {**alone, **totals} if alone else totals
        source = self._source(TREE)
        if isinstance(source, PriceRefusal):
            return source
        if source is None:
            if totals[ROOT]:
                self.unknown += [name for name in TREE if quantities.get(name)]
            return None
        self.kinds.add(source.kind)
        self.known = True
        shares, homeless = allocate(totals, source.tariffs)
        if homeless:
            return _missing(source, homeless)
        for dimension, quantity in shares.items():
            self._count(source, source.tariffs[dimension], quantity)
        return None

    def _count_alone(self, dimension: str, quantity: Decimal) -> PriceRefusal | None:
        source = self._source((dimension,))
        if isinstance(source, PriceRefusal):
            return source
        if source is not None:
            self.kinds.add(source.kind)
            self.known = self.known or dimension != "requests"
            self._count(source, source.tariffs[dimension], quantity)
        elif quantity:
            self.unknown.append(dimension)
        return None

    def _count_request(self) -> None:
        """The one request that a usage is, where a price for requests applies."""
        card = self.card
        ruled = "requests" in card.rules or "requests" in card.defaults
        if not ruled and (self.model is None or not card.catalogue):
            return
        source = self._source(("requests",))
        if source is None or isinstance(source, PriceRefusal):
            return
        # Rules by default are for what nothing else knows.
        if source.kind != "default" or not self.kinds - {"default"}:
            self.totals = {**self.totals, "requests": ONE}
            self.kinds.add(source.kind)
            self._count(source, source.tariffs["requests"], ONE)

    def _source(self, dimensions: tuple[str, ...]) -> _Source | PriceRefusal | None:
        """Who prices some dimensions that belong together."""
        if found := _matching(self.card.rules, dimensions, self.facts):
            return self._of_card(found, "card")
        if self.card.catalogue and self.model is not None:
            terms = self.model.under(self.usage.attributes)
            if not terms:
                return _unknown_context(self.model, self.usage.attributes)
            if found := {name: terms[name] for name in dimensions if name in terms}:
                return self._of_catalogue(self.model, found)
        if self.book.unknown_models == "default" and (found := _matching(self.card.defaults, dimensions, self.facts)):
            return self._of_card(found, "default")
        return None

    def _of_card(self, found: dict[str, Tariff], kind: Literal["card", "default"]) -> _Source:
        return _Source(found, self.book.reference, self.card.currency, self.card.rate, self.card.rate_text, kind)

    def _of_catalogue(self, model: ModelTariffs, found: dict[str, Tariff]) -> _Source:
        rate = self.card.catalogue_rate or ONE
        return _Source(found, model.reference, model.document.currency, rate, plain(rate), "catalogue")

    def _count(self, source: _Source, tariff: Tariff, quantity: Decimal) -> None:
        if not quantity:
            return
        self.counted.add(source.kind)
        subtotal = ZERO
        for step, part, note in parts_of(tariff, quantity, self.totals):
            amount = multiply(part, step.unit)
            if source.rate is not ONE:
                amount = multiply(amount, source.rate)
            subtotal = add(subtotal, amount)
            line = Line(
                "price", plain(amount), tariff.dimension, plain(part), step.price, tariff.per, tariff.rule,
                source.reference, note, source.currency, source.rate_text,
            )  # fmt: skip
            self.lines.append(line)
        self.total = add(self.total, subtotal)
        if source.kind == "catalogue":
            self.bought = add(self.bought, subtotal)
            return
        self.own = add(self.own, subtotal)
        # What says nothing of a cost at its first step says nothing at all.
        cost = None if tariff.steps[0].cost is None else cost_of(tariff, quantity, self.totals)
        self.costs.append((tariff.dimension, quantity, cost))

    # The sum

    def finish(self, quantities: Mapping[str, Decimal]) -> Priced | PriceRefusal:
        """Markups, minimum, rounding; or that a price is missing."""
        unpriced = False
        if self.unknown or not self.kinds:
            unpriced = self.book.unknown_models == "unpriced" and self._is_unknown_model()
            if not unpriced:
                return self._not_known(quantities)
        if (extra := self.card.markup) is not None and self.counted - {"catalogue"}:
            self._mark_up(extra, self.own)
        if (extra := self.card.catalogue_markup) is not None and "catalogue" in self.counted:
            self._mark_up(extra, self.bought, "of the catalogue's prices")
        total = self.total
        if ZERO < total < self.card.minimum:
            self._extra_line("minimum", subtract(self.card.minimum, total), f"at least {plain(self.card.minimum)}")
            total = self.total
        rounded = self._round(total)
        if isinstance(rounded, PriceRefusal):
            return rounded
        return self._priced(total, rounded, unpriced)

    def _priced(self, total: Decimal, rounded: Decimal, unpriced: bool) -> Priced | PriceRefusal:
        amount = int(EXACT.scaleb(rounded, self.book.scale))
        cost = None if unpriced else self._cost()
        if amount >= MAX_AMOUNT or (cost is not None and cost >= MAX_COST):
            return PriceRefusal("amount_too_large", "dimensions", f"the usage comes to {plain(total)}: too large")
        provider, model = _named(self.usage, self.model)
        return Priced(
            amount=amount,
            exact=plain(total),
            lines=tuple(self.lines),
            cost=cost,
            card=self.book.reference,
            provider=provider,
            model=model,
            unpriced=unpriced,
        )

    def _mark_up(self, extra: Extra, base: Decimal, of: str = "") -> None:
        if percent := divide(multiply(base, extra.percent), HUNDRED):
            self._extra_line("markup", percent, f"{plain(extra.percent)} % {of}".rstrip())
        if extra.fixed:
            self._extra_line("markup", extra.fixed, f"fixed {of}".rstrip())

    def _extra_line(self, kind: Literal["markup", "minimum", "rounding"], amount: Decimal, note: str) -> None:
        self.total = add(self.total, amount)
        self.lines.append(Line(kind, plain(amount), source=self.book.reference, note=note))

    def _round(self, total: Decimal) -> Decimal | PriceRefusal:
        """The amount as it can be charged; rounding is a line of its own."""
        card, scale = self.card, self.book.scale
        usual = 0 if card.rounding == "up" else scale
        decimals = usual if card.decimals is None else min(card.decimals, scale)
        rounded = round_up(total, decimals) if card.rounding == "up" else round_half_even(total, decimals)
        if rounded != total:
            if card.rounding == "exact":
                message = f"the usage comes to {plain(total)}, which has more than {decimals} decimals"
                return PriceRefusal("amount_inexact", "dimensions", f"{message}; the card rounds nothing")
            rule = "up" if card.rounding == "up" else "half-even"
            self._extra_line("rounding", subtract(rounded, total), f"{rule} to {decimals} decimals")
        return rounded

    def _cost(self) -> int | None:
        terms: dict[str, Tariff] = {}
        if self.model is not None and self.card.catalogue_rate is not None:
            terms = self.model.under(self.usage.attributes)
        return provider_cost(self.card, self.bought, self.costs, terms, self.totals)

    # What is not known

    def _is_unknown_model(self) -> bool:
        if not self.usage.model or self.known or (self.card.catalogue and self.model is not None):
            return False
        return not any(index.names_model(self.facts) for index in self.card.rules.values())

    def _not_known(self, quantities: Mapping[str, Decimal]) -> PriceRefusal:
        """Which price is missing."""
        if self._is_unknown_model():
            return PriceRefusal("unknown_model", "model", self._unknown_model())
        if missing := self.unknown or list(quantities):
            names = ", ".join(map(repr, missing))
            message = f"{self.book.reference} has no rule for the dimension {names}{self._of_what()}"
            return PriceRefusal("unknown_dimension", f"dimensions.{missing[0]}", message)
        if self.usage.operation:
            message = f"{self.book.reference} has no rule for the operation {self.usage.operation!r}"
            return PriceRefusal("unknown_operation", "operation", message)
        return invalid("dimensions", "must say what was used, such as 1500 input_tokens")

    def _unknown_model(self) -> str:
        """That there is no price for the model, or that its name means several."""
        model, provider = self.usage.model, self.usage.provider
        if self.card.catalogue and (several := self.book.candidates(provider, model)):
            return f"the model {model!r} could be any of {', '.join(several)}: send it as one of these"
        return f"there is no price for the model {model!r}" + (f" of {provider}" if provider else "")

    def _of_what(self) -> str:
        said = [f"{field} {getattr(self.usage, field)!r}" for field in _SAID if getattr(self.usage, field)]
        return f" for {', '.join(said)}" if said else ""


_SAID: Final = ("model", "operation", "product", "service")
_FACTS: Final = ("provider", *_SAID)


def _facts(usage: Usage, model: ModelTariffs | None) -> Facts:
    facts: dict[str, tuple[str, ...]] = {}
    if usage.attributes:
        facts = {name: (value,) for name, value in usage.attributes.items()}
    for name in _FACTS:
        if value := getattr(usage, name):
            facts[name] = (value,)
    if model is not None:
        facts["model"] = (usage.model, model.document.model)
        facts["provider"] = (usage.provider, model.document.provider)
    return facts


def _matching(rules: Mapping[str, Index], dimensions: tuple[str, ...], facts: Facts) -> dict[str, Tariff]:
    """The tariffs that apply, by dimension."""
    found = {}
    for dimension in dimensions:
        if dimension in rules and (tariff := rules[dimension].find(facts)):
            found[dimension] = tariff
    return found


def _missing(source: _Source, homeless: list[str]) -> PriceRefusal:
    """Some tokens have a price and others have none: they are not mixed with prices of another source."""
    names, priced = ", ".join(homeless), ", ".join(name for name in TREE if name in source.tariffs)
    message = f"{source.reference} has a price for {priced} here, but none for {names}: send the former, or add a rule"
    return PriceRefusal("missing_dimension", f"dimensions.{homeless[0]}", message)


def _unknown_context(model: ModelTariffs, attributes: Mapping[str, str]) -> PriceRefusal:
    asked = model.asked(attributes)
    names = ", ".join(f"{name} {value!r}" for name, value in sorted(asked.items()))
    message = f"{model.reference} has no price for {names}"
    return PriceRefusal("unknown_context", f"attributes.{min(asked)}", message)
