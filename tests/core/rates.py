"""Rate cards and price books for tests, made as their owners make them: from JSON."""

import json
from pathlib import Path
from typing import Any

from farthing.core.cardcheck import check_card, check_model
from farthing.core.modelprice import ModelPrice, Price, Variant
from farthing.core.pricing import Book, price
from farthing.core.quantities import PriceRefusal
from farthing.core.ratecard import Card, read_card
from farthing.core.rules import ModelTariffs, compile_card, compile_model
from farthing.core.usage import Priced, Usage

EXAMPLES = Path(__file__).parents[2] / "examples" / "cards"


def rule(dimension: str, price: str | None = None, id: str = "", **terms: Any) -> dict[str, Any]:
    return {"id": id or dimension, "dimension": dimension, **({} if price is None else {"price": price}), **terms}


def a_card(*rules: dict[str, Any], **terms: Any) -> Card:
    return read_card(json.dumps({"rules": rules, **terms}))


def a_book(card: Card, scale: int = 6, **terms: Any) -> Book:
    assert check_card(card, scale) == []
    return Book(card=compile_card(card), reference="card@1", scale=scale, **terms)


def example(name: str) -> Card:
    """A card of the examples."""
    return read_card((EXAMPLES / f"{name}.json").read_bytes())


def used(model: str = "", attributes: dict[str, str] | None = None, operation: str = "", **dimensions: Any) -> Usage:
    quantities = {name: str(quantity) for name, quantity in dimensions.items()}
    return Usage(model=model, operation=operation, attributes=attributes or {}, dimensions=quantities)


def priced(usage: Usage, book: Book) -> Priced:
    found = price(usage, book)
    assert isinstance(found, Priced), found
    return found


def refused(usage: Usage, book: Book) -> PriceRefusal:
    found = price(usage, book)
    assert isinstance(found, PriceRefusal), found
    return found


def per_million(**prices: str) -> tuple[Price, ...]:
    return tuple(Price(dimension=name, price=price, per=1_000_000) for name, price in prices.items())


def a_model(model: str, *variants: Variant, provider: str = "openai", **prices: str) -> ModelTariffs:
    document = ModelPrice(provider=provider, model=model, prices=per_million(**prices), variants=variants)
    assert check_model(document) == []
    return compile_model(document, f"catalogue:{provider}/{model}@1")
