"""Terms: which prices apply to a model in a price book, dimension by dimension, whatever will be counted.

The same ways lead to them as in `pricing`: all token counts together by the card, or else by the catalogue, or else by
the card's default rules; every other dimension by itself.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from .exact import ONE, plain
from .pricing import Book
from .quantities import TREE
from .rules import Facts, Index, ModelTariffs, Tariff

Origin = Literal["card", "catalogue", "default"]


class Term(Struct, frozen=True):
    """The price of a dimension."""

    tariff: Tariff
    origin: Origin
    reference: str
    """The version of the card, or of the catalogue's price."""
    currency: str
    """Of the price; empty: the workspace's unit."""
    rate: str
    """Units of the workspace for one of that currency."""


def terms_of(provider: str, model: str, book: Book) -> list[Term]:
    """The terms of a model, by any of its names; none where nothing has a price for it."""
    known = book.find_model(provider, model)
    facts = _facts(provider, model, known)
    found: list[Term] = []
    for dimensions in _groups(book, known):
        found += _first_of(dimensions, facts, known, book)
    return found


def names_model(provider: str, model: str, book: Book) -> bool:
    """Whether the card has rules of its own for a model."""
    facts = _facts(provider, model, book.find_model(provider, model))
    return any(index.names_model(facts) for index in book.card.rules.values())


def _facts(provider: str, model: str, known: ModelTariffs | None) -> Facts:
    """What rules look at, where nothing but the model is known."""
    if known is None:
        return {"provider": (provider,), "model": (model,)}
    return {"provider": (provider, known.document.provider), "model": (model, known.document.model)}


def _groups(book: Book, known: ModelTariffs | None) -> Iterable[tuple[str, ...]]:
    """Dimensions that are priced together: tokens, or each other one."""
    yield TREE
    names = {*book.card.rules, *book.card.defaults, *(known.standard if known else ())}
    for name in sorted(names - set(TREE)):
        yield (name,)


def _first_of(dimensions: tuple[str, ...], facts: Facts, known: ModelTariffs | None, book: Book) -> list[Term]:
    card = book.card
    if found := _matching(card.rules, dimensions, facts):
        return [Term(each, "card", book.reference, card.currency, card.rate_text) for each in found]
    if card.catalogue and known and (found := [known.standard[name] for name in dimensions if name in known.standard]):
        rate = plain(card.catalogue_rate or ONE)
        return [Term(each, "catalogue", known.reference, known.document.currency, rate) for each in found]
    if book.unknown_models == "default":
        found = _matching(card.defaults, dimensions, facts)
        return [Term(each, "default", book.reference, card.currency, card.rate_text) for each in found]
    return []


def _matching(rules: Mapping[str, Index], dimensions: tuple[str, ...], facts: Facts) -> list[Tariff]:
    found = (rules[name].find(facts) for name in dimensions if name in rules)
    return [tariff for tariff in found if tariff is not None]
