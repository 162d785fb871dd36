"""What a source says that models cost, in one form whatever the source: the documents that the catalogue keeps.

A reader of a source's format (`genai.py`, `litellm.py`, `modelsdev.py`) turns a file into a `Source`. Prices are
decimal text, exactly as the file has them but for the unit (per million tokens and the like). What can't be carried
over is left out and counted by its reason; it is never filled in.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from farthing.core.modelprice import ModelPrice, Price, Tier, Variant
from farthing.core.usage import PARENTS

MILLION: Final = 1_000_000
MAX_DECIMALS: Final = 18
MAX_NAME: Final = 256
TOKENS: Final = frozenset({*PARENTS, *PARENTS.values()})
"""Dimensions of tokens, which are counted within one another."""
# A pattern goes through all ways in which it could match: a group that is repeated, many parts that may be there or
# not, many repetitions one after the other make so many of them that it may take for ever.
_RISKY = re.compile(r"\)[*+{]|\\[1-9]|\(\?P")
_LOOP = re.compile(r"[*+]|\{[0-9]*,")
_CHOICE = re.compile(r"(?<!\()\?|\|")
MAX_LOOPS: Final = 2
MAX_CHOICES: Final = 8
_FREE = re.compile(r"[-:/_]free$|^free$")
_encode = msgspec.json.Encoder(order="deterministic").encode

Key = tuple[str, str]
"""Provider and model."""
Terms = tuple[tuple[str, str], ...]
"""The attributes that ask for a variant, with their values, sorted."""


class BadCatalogue(ValueError):
    """A file that is no catalogue of the format it should have; nothing is taken from it."""


class Clause(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One way in which a source knows a model's name; in small letters."""

    kind: Literal["starts_with", "ends_with", "contains", "regex", "all"]
    text: str = ""
    parts: tuple["Clause", ...] = ()


class Listing(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """A model in the catalogue: what it costs, and the names it goes by."""

    price: ModelPrice
    aliases: tuple[str, ...] = ()
    match: tuple[Clause, ...] = ()


class Names(Struct, frozen=True):
    """The part of a listing by which it is found."""

    aliases: tuple[str, ...] = ()
    match: tuple[Clause, ...] = ()


class Dated(Struct, frozen=True):
    """A listing and since when it is so; 0: for as long as the source knows."""

    since: int
    listing: Listing


class Left(Struct, frozen=True, order=True):
    """Something that could not be carried over."""

    reason: str
    what: str


class Source(Struct, frozen=True):
    """What a source says."""

    name: str
    version: str
    models: dict[Key, tuple[Dated, ...]]
    """In the order of time; the first one is since ever."""
    left: tuple[Left, ...] = ()

    @property
    def providers(self) -> int:
        """How many there are."""
        return len({provider for provider, _ in self.models})

    @property
    def left_by_reason(self) -> dict[str, int]:
        """How much could not be carried over, the most frequent reason first."""
        return dict(Counter(left.reason for left in self.left).most_common())


def is_called_free(model: str) -> bool:
    """Whether a model's name says that it costs nothing."""
    return _FREE.search(model.lower()) is not None


class Unfit(ValueError):
    """A price that can't be carried over; the message is the reason."""


_listing = msgspec.json.Decoder(Listing)
_names = msgspec.json.Decoder(Names)


def write_listing(listing: Listing) -> str:
    """The document that is kept."""
    return _encode(listing).decode()


def read_listing(document: str) -> Listing:
    """The listing in a document."""
    return _listing.decode(document)


def read_names(document: str) -> Names:
    """Just the names in a document, which is much quicker."""
    return _names.decode(document)


def decimal_text(value: Decimal | int) -> str:
    """A number as exact decimal text, without exponent or idle zeros."""
    if isinstance(value, int):
        return str(value)
    if not value.is_finite():
        raise Unfit("a price that is no number")
    if abs(value.adjusted()) > MAX_DECIMALS + len(value.as_tuple().digits):
        raise Unfit(f"a price with more than {MAX_DECIMALS} decimals")
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    if len(text.partition(".")[2]) > MAX_DECIMALS:
        raise Unfit(f"a price with more than {MAX_DECIMALS} decimals")
    return "0" if text in ("-0", "") else text


def flat(dimension: str, value: Decimal | int, per: int = 1) -> Price:
    """A price that is the same for every unit."""
    return Price(dimension=dimension, price=decimal_text(value), per=per)


def stepped(dimension: str, steps: Iterable[tuple[int, Decimal | int]], per: int, by: str = "input_tokens") -> Price:
    """A price of which all units move to that of the highest step that is exceeded; the first step begins at 0."""
    tiers = tuple(Tier(from_=str(start), price=decimal_text(value)) for start, value in steps)
    starts = [int(tier.from_) for tier in tiers]
    if starts[:1] != [0] or any(b <= a for a, b in pairwise(starts)):
        raise Unfit("steps that don't ascend")
    if len(tiers) == 1:
        return Price(dimension=dimension, price=tiers[0].price, per=per)
    return Price(dimension=dimension, per=per, tiers=tiers, tier_mode="whole", tier_by=by)


def model_price(
    provider: str, model: str, prices: Mapping[str, Price], variants: Mapping[Terms, Mapping[str, Price]]
) -> ModelPrice:
    """The price of a model from its standard prices by dimension, and those that special terms put in their place."""
    full = [(when, {**prices, **others}) for when, others in variants.items() if others]
    return ModelPrice(
        provider=provider,
        model=model,
        prices=_in_order(prices),
        variants=tuple(Variant(when=dict(when), prices=_in_order(found)) for when, found in sorted(full)),
    )


def _in_order(prices: Mapping[str, Price]) -> tuple[Price, ...]:
    return tuple(prices[dimension] for dimension in sorted(prices))


FREE: Final = {name: flat(name, 0, MILLION) for name in ("input_tokens", "output_tokens")}
"""Prices of a model that its source gives none for, and whose name says that it is free."""


def check_names(provider: str, model: str) -> None:
    """Names that a catalogue can keep."""
    for name in (provider, model):
        if not name or len(name) > MAX_NAME or not name.isprintable() or name != name.strip():
            raise Unfit("a name that is empty, too long or not printable")


def clause(kind: Literal["starts_with", "ends_with", "contains", "regex"], text: str) -> Clause:
    """A way of knowing a name; a pattern has to be one that is quick whatever it is tried on."""
    if kind != "regex":
        return Clause(kind, text.lower())
    if len(text) > MAX_NAME or not _is_quick(text):
        raise Unfit("a pattern that may be slow")
    try:
        re.compile(text)
    except re.error as error:
        raise Unfit("a pattern that is none") from error
    return Clause(kind, text)


def _is_quick(pattern: str) -> bool:
    """Whether a pattern takes little time whatever it is tried on."""
    ways = len(_LOOP.findall(pattern)), len(_CHOICE.findall(pattern))
    return not _RISKY.search(pattern) and ways[0] <= MAX_LOOPS and ways[1] <= MAX_CHOICES


def read_json(data: bytes, kind: Any, name: str) -> Any:
    """The JSON of a file as its format has it; every number as exact as it is written."""
    try:
        return msgspec.json.Decoder(kind, float_hook=Decimal).decode(data)
    except msgspec.ValidationError as error:
        raise BadCatalogue(f"{name} has another format: {error}") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError, ArithmeticError) as error:
        raise BadCatalogue(f"{name} is damaged or cut off: {error}") from error


def made_source(name: str, version: str, models: dict[Key, tuple[Dated, ...]], left: list[Left]) -> Source:
    """A source, which has to hold something."""
    if not models:
        raise BadCatalogue(f"{name} has no model with a price")
    return Source(name, version, models, tuple(left))
