"""What a price is made of, for rate cards and the catalogue alike; and the catalogue's price of a model.

A price counts one dimension: so much for `per` units, or in steps (`tiers`). A model's prices are those of its vendor,
in `currency`; a *variant* (`service_tier: flex`, `processing: batch`) has a full set of prices of its own. How a
model's name is found is no matter of this file: it begins where the name is known.
"""

from typing import Final, Literal

from msgspec import Struct

TierMode = Literal["graduated", "whole"]

CONTEXTS: Final = frozenset({"processing", "route", "service_tier", "speed"})
"""Attributes that choose among the prices of a model, whether it has variants or not: a value that is not a standard
one and that no variant knows is refused, never priced as if it were not there."""
STANDARD: Final = frozenset({"", "auto", "default", "standard"})
"""Values of such an attribute that mean the standard price."""


class Tier(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, rename={"from_": "from"}):
    """A step of a price: what counts beyond `from` units."""

    from_: str
    """Units that must be exceeded; the first step begins at 0."""
    price: str
    cost: str | None = None
    """What the provider asks, in the same currency and for as many units."""


class Price(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A price for one dimension. It has either a `price` or `tiers`."""

    dimension: str
    price: str | None = None
    """Decimal text, for `per` units."""
    per: int = 1
    tiers: tuple[Tier, ...] = ()
    tier_mode: TierMode = "graduated"
    """`graduated`: each part of the quantity at the price of its step. `whole`: all at the price of the step that was
    reached, such as a model that costs more beyond 200,000 input tokens."""
    tier_by: str = ""
    """With `whole`: the dimension whose quantity, as it was sent, chooses the step. By default its own."""


class Variant(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Prices of a model under special terms, all of them: nothing is taken from the standard ones."""

    when: dict[str, str]
    """The attributes that ask for it, all of them: `{"service_tier": "flex"}`."""
    prices: tuple[Price, ...]


class ModelPrice(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What a vendor asks for a model."""

    provider: str
    model: str
    prices: tuple[Price, ...]
    variants: tuple[Variant, ...] = ()
    contexts: tuple[str, ...] = ()
    """Attributes beyond `CONTEXTS` and those of the variants that choose prices of this model."""
    currency: str = "USD"
