"""Prices of models on the wire, as the catalogue has them."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from farthing.core.modelprice import Price
from farthing.prices.catalogue import read_listing
from farthing.stores.prices import PriceRow, PriceStatus

from .administration import Answered
from .wire import Time, write_time

PER: Final = 1_000_000
"""Units that a price is for, where nothing else is said."""


class Step(Struct, rename={"from_": "from"}):
    """A step of a price."""

    from_: Annotated[str, Meta(description="Beyond so many units.")]
    price: str


class DimensionPrice(Struct, kw_only=True):
    """What one dimension costs; either `price` or `tiers`."""

    dimension: str
    price: str | None
    per: int
    tiers: list[Step]
    tier_mode: Annotated[
        Literal["graduated", "whole"] | None,
        Meta(description="`graduated`: each part at the price of its step; `whole`: all at that of the step reached."),
    ]
    tier_by: Annotated[str | None, Meta(description="The dimension whose quantity chooses the step.")]


class VariantView(Struct, kw_only=True):
    """Prices under special terms, all of them."""

    when: Annotated[dict[str, str], Meta(description="The attributes of a usage that ask for it.")]
    prices: list[DimensionPrice]


class ModelLine(Answered, kw_only=True):
    """A version of what a model costs."""

    provider: str
    model: str
    version: int
    status: PriceStatus
    effective_from: Annotated[Time | None, Meta(description="Null: for as long as the source knows.")]
    currency: str
    prices: list[DimensionPrice]
    variants: list[VariantView]
    aliases: Annotated[list[str], Meta(description="Other names that it goes by.")]
    source: str
    source_version: str
    created_at: Time
    actor: str
    reason: Annotated[str, Meta(description="Why it waits, or why somebody decided as they did.")]


# Writing


def write_price(price: Price) -> dict[str, Any]:
    """A price of one dimension on the wire."""
    return {
        "dimension": price.dimension,
        "price": price.price,
        "per": price.per,
        "tiers": [Step(tier.from_, tier.price) for tier in price.tiers],
        "tier_mode": price.tier_mode if price.tiers else None,
        "tier_by": (price.tier_by or price.dimension) if price.tiers else None,
    }


def write_prices(prices: tuple[Price, ...]) -> list[DimensionPrice]:
    """Prices of several dimensions."""
    return [DimensionPrice(**write_price(price)) for price in prices]


def model_facts(row: PriceRow) -> dict[str, Any]:
    """A version of a model's price on the wire."""
    listing = read_listing(row.document)
    return {
        "provider": row.provider,
        "model": row.model,
        "version": row.version,
        "status": row.status,
        "effective_from": write_time(row.effective_from) if row.effective_from else None,
        "currency": listing.price.currency,
        "prices": write_prices(listing.price.prices),
        "variants": [VariantView(when=v.when, prices=write_prices(v.prices)) for v in listing.price.variants],
        "aliases": list(listing.aliases),
        "source": row.source,
        "source_version": row.source_version,
        "created_at": write_time(row.created_at),
        "actor": row.actor,
        "reason": row.reason,
    }


# Examples


PRICES: Final[list[Mapping[str, Any]]] = [
    {"dimension": name, "price": price, "per": PER, "tiers": [], "tier_mode": None, "tier_by": None}
    for name, price in (("input_tokens", "2.5"), ("output_tokens", "10"))
]
MODEL: Final[dict[str, Any]] = {
    "provider": "openai", "model": "gpt-4o", "version": 2, "status": "active", "effective_from": None,
    "currency": "USD", "prices": PRICES, "variants": [], "aliases": ["gpt-4o-2024-08-06"], "source": "genai-prices",
    "source_version": "0.2.3", "created_at": "2026-01-01T12:00:00.000000Z", "actor": "cli:ops", "reason": "",
}  # fmt: skip
