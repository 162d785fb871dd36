"""Usage: what was used, as its caller sent it, and what pricing made of it.

Quantities, prices and exact amounts are decimal text, so that what is stored is what was said; only the final amount
is a whole number of smallest units. Counts of tokens are inclusive: `input_tokens` counts those that were read from or
written to a cache, `output_tokens` those spent on reasoning, and a total of `tokens` both.
"""

from typing import Final, Literal

from msgspec import Struct

PARENTS: Final[dict[str, str]] = {
    "input_tokens": "tokens",
    "output_tokens": "tokens",
    "cache_read_tokens": "input_tokens",
    "cache_write_tokens": "input_tokens",
    "cache_write_1h_tokens": "cache_write_tokens",
    "input_audio_tokens": "input_tokens",
    "input_image_tokens": "input_tokens",
    "input_video_tokens": "input_tokens",
    "reasoning_tokens": "output_tokens",
    "output_audio_tokens": "output_tokens",
    "output_image_tokens": "output_tokens",
    "output_video_tokens": "output_tokens",
}
"""Dimensions that are counted within another one. What a card has no price for is priced as its parent."""
COUNTED: Final = frozenset({*PARENTS, "tokens", "requests", "images"})
"""Dimensions of things that come whole."""

LineKind = Literal["price", "markup", "minimum", "rounding"]


class Usage(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What was used."""

    dimensions: dict[str, str] = {}
    """Quantities by dimension, as decimal text: `{"input_tokens": "1500", "output_tokens": "800"}`."""
    provider: str = ""
    model: str = ""
    """As it was sent; `Priced.model` has what it was taken for."""
    service: str = ""
    operation: str = ""
    product: str = ""
    chat: str = ""
    """The conversation (or job, or document) that it belongs to."""
    attributes: dict[str, str] = {}
    """Whatever else rules may look at, such as `service_tier`."""
    at: int | None = None
    """When it was used, where that was not just now."""


class Line(Struct, array_like=True, frozen=True, gc=False):
    """One line of an explanation; the lines of a price add up to its amount."""

    kind: LineKind
    amount: str
    """In the workspace's unit, exact."""
    dimension: str = ""
    quantity: str = ""
    """What this line counts: less than was sent where a part has a price of its own, or is included."""
    price: str = ""
    """In `currency`, for `per` of the dimension."""
    per: int = 1
    rule: str = ""
    source: str = ""
    """Where the price stands: `card@3`, `catalogue:openai/gpt-4o@2`."""
    note: str = ""
    """What else is to be known: the step of a tier, the percentage of a markup, the rule of rounding."""
    currency: str = ""
    """Of the price, where it is not the workspace's unit."""
    rate: str = "1"
    """Units of the workspace for one of that currency."""


class Priced(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a usage came to, and why."""

    amount: int
    """Smallest units of the workspace, rounded once."""
    exact: str
    """Before that rounding, in the workspace's unit."""
    lines: tuple[Line, ...] = ()
    cost: int | None = None
    """What the provider asks for it, in billionths of the workspace's unit; None where nobody knows."""
    card: str = ""
    """The version of the card that decided, `name@version`; empty where the caller gave the amount himself."""
    provider: str = ""
    model: str = ""
    """What the model's name was taken for."""
    unpriced: bool = False
    """Nobody knew a price of the model, and the workspace wants such usage recorded all the same."""


class Metered(Struct, frozen=True, omit_defaults=True):
    """A usage and its price: what a command carries, and what its entry keeps."""

    usage: Usage
    priced: Priced
    given: bool = False
    """The caller gave the amount himself; it was not reckoned from the usage."""
    recorded: int = 0
    """What it cost where something else had charged for it: told by statistics, and not taken here."""
