"""The rate card document: how a workspace prices usage; and reading one.

A card is a list of rules. For each dimension of a usage the first rule that matches is taken: higher `priority`, then
more keys in `match`. Token counts are inclusive (`core.usage.PARENTS`): what has no rule of its own is priced within
its parent. A card may instead hold a PriceCalc profile: `{"profile": {...}}`.
"""

import re
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from .modelprice import Price
from .profile import ProfileError, read_profile

Rounding = Literal["half_even", "exact", "up"]

FIELDS: Final = ("provider", "model", "service", "operation", "product")
"""Fields of a usage that a rule may look at, beside its attributes."""


class Rule(Price, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A price and what it applies to."""

    id: str
    match: dict[str, str | list[str]] = {}  # noqa: RUF012 - msgspec gives each its own
    """By field of the usage (`provider`, `model`, `service`, `operation`, `product`) or attribute; a list means any of
    them. `model` and `provider` match as they were sent or as they were understood."""
    priority: int = 0
    default: bool = False
    """Only for what nothing else knows a price for, where the workspace's policy allows it."""
    included: str = "0"
    """Units of each usage that cost nothing; steps count what is left."""
    cost: str | None = None
    """What the provider asks for `per` units, in the card's currency. Without it the catalogue is asked."""


class Markup(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What is added to the prices."""

    percent: str = "0"
    """Of what they come to; `-100` gives it away."""
    fixed: str = "0"
    """In the workspace's unit, once for a usage of which something was counted."""


class CatalogueUse(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What the catalogue of model prices is used for."""

    rate: str
    """Units of the workspace for 1 USD."""
    markup: Markup = Markup()
    """Of what the catalogue's prices come to; the card's own is of what its rules come to."""
    cost_only: bool = False
    """The catalogue says what the provider asks, but nothing is charged by it."""


class RateCard(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A version of a rate card."""

    description: str = ""
    currency: str = ""
    """Of its prices; empty: the workspace's unit."""
    rate: str = "1"
    """Units of the workspace for one of that currency."""
    rules: tuple[Rule, ...] = ()
    markup: Markup = Markup()
    catalogue: CatalogueUse | None = None
    """Whether models that no rule knows are priced by the catalogue."""
    minimum: str = "0"
    """What a usage costs at least, in the workspace's unit, unless it costs nothing at all: zero quantities, units that
    are included and prices of zero stay free."""
    rounding: Rounding = "half_even"
    """Of the sum, once. `exact` refuses what does not fit the workspace's scale."""
    decimals: int | None = None
    """To how many; by default the workspace's scale, with `up` 0 (whole credits)."""


class ProfileCard(Struct, frozen=True, kw_only=True):
    """A rate card that is a PriceCalc profile; always in the workspace's unit, rounded half-even to its scale."""

    profile: dict[str, Any]
    """With numbers as ints and Decimals, as `read_card` makes it."""


Card = RateCard | ProfileCard


class CardError(ValueError):
    """A document that is no rate card: where (a JSON pointer), and why."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{pointer or 'the card'} {message}" for pointer, message in problems))
        self.problems = problems


_READER: Final = msgspec.json.Decoder(RateCard)


def read_card(document: str | bytes) -> Card:
    """The card in a JSON document, its form checked; `cardcheck.check_card` has the rest."""
    try:
        keys = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise CardError([("", f"must be a JSON object: {error}")]) from error
    if "profile" in keys:
        return _read_profile_card(keys)
    try:
        return _READER.decode(document)
    except msgspec.ValidationError as error:
        raise CardError([_located(str(error))]) from error


def _read_profile_card(keys: dict[str, msgspec.Raw]) -> ProfileCard:
    if len(keys) > 1:
        other = next(key for key in keys if key != "profile")
        raise CardError([(f"/{other}", "can't stand beside a profile")])
    try:
        return ProfileCard(profile=read_profile(bytes(keys["profile"])))
    except ProfileError as error:
        raise CardError([(f"/profile{pointer}", message) for pointer, message in error.problems]) from error


def _located(message: str) -> tuple[str, str]:
    """What msgspec says (`Expected ... - at `$.rules[0].per``), as a pointer and a sentence."""
    what, _, where = message.partition(" - at `$")
    pointer = where.rstrip("`").replace("[...]", "").replace("[", "/").replace("]", "").replace(".", "/")
    for said, better in _SAID:
        if found := said.fullmatch(what):
            return pointer, found.expand(better)
    return pointer, f"is not right: {what[:1].lower()}{what[1:]}"


_SAID: Final = (
    (re.compile(r"Object contains unknown field `(.*)`"), r"has a field that no card has: \1"),
    (re.compile(r"Object missing required field `(.*)`"), r"must have the field \1"),
    (re.compile(r"Expected `(.*)`, got `(.*)`"), r"must be \1, not \2"),
    (re.compile(r"Invalid enum value '(.*)'"), r"can't be \1"),
)
