"""Overrides: an operator's own price of a model, in the terms of the workspace's card.

A price is said in the card's currency, or in USD where the card says what a USD comes to. What the card prices of a
model's tokens it prices alone: a price of the input without one of the output would leave usage without a price.
"""

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from farthing.core.exact import multiply, plain
from farthing.core.modelprice import ModelPrice
from farthing.core.ratecard import CardError, RateCard, read_card
from farthing.core.usage import PARENTS

from .cards import Wanted, set_model_price

DOLLAR = "USD"
_ENDS = ("input_tokens", "output_tokens")


class Override(Struct, frozen=True, kw_only=True):
    """What an operator wants a model to cost."""

    model: str
    prices: Mapping[str, str]
    """Decimal text by dimension."""
    per: int = 1_000_000
    provider: str = ""
    currency: str = ""
    """Of the prices; empty: that of the card."""


def overridden(document: str | None, wanted: Override, known: ModelPrice | None) -> str:
    """The card with these prices; `known` is what the catalogue has of the model."""
    card = RateCard() if document is None else read_card(document)
    rate = _rate(card, wanted.currency) if isinstance(card, RateCard) else Decimal(1)
    prices = {name: plain(multiply(Decimal(price), rate)) for name, price in wanted.prices.items()}
    made = set_model_price(
        document, wanted.model, {name: Wanted(price, wanted.per) for name, price in prices.items()}, wanted.provider
    )
    _require_both_ends(made, wanted, known)
    return made


def _rate(card: RateCard, currency: str) -> Decimal:
    """What a price is multiplied by to stand in the card."""
    if currency in ("", card.currency):
        return Decimal(1)
    if currency == DOLLAR and not card.currency and card.catalogue is not None:
        return Decimal(card.catalogue.rate)
    if card.currency:
        raise CardError([("/currency", f"must be {card.currency}, in which the card has its prices, or left out")])
    why = "has its prices in the workspace's unit, and does not say what a USD comes to"
    raise CardError([("/currency", f"must be left out: the card {why}")])


def _require_both_ends(document: str, wanted: Override, known: ModelPrice | None) -> None:
    """Tokens in and out are priced by the same card, where the catalogue has prices of both."""
    card = read_card(document)
    assert isinstance(card, RateCard), "a price was set in it"
    match = {"model": wanted.model, **({"provider": wanted.provider} if wanted.provider else {})}
    own = {rule.dimension for rule in card.rules if rule.match == match and not rule.default}
    sold = {price.dimension for price in known.prices} if known else set()
    if not own & {*PARENTS} or "tokens" in own:
        return
    for end in _ENDS:
        if end in sold and end not in own:
            message = f"must have {end} as well: the card's prices of tokens are not mixed with the catalogue's"
            raise CardError([("/prices", message)])
