"""Cards: an operator's changes to a rate card, each a new document from the one there is."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from farthing.core.ratecard import CardError, RateCard, Rule, read_card

_encode = msgspec.json.Encoder().encode
_LONGEST_ID = 240


class NoSuchPrice(LookupError):
    """A card has no price for just a model; the message says so."""


class Wanted(Struct, frozen=True):
    """A price that an operator wants."""

    price: str
    per: int = 1_000_000


def set_model_price(document: str | None, model: str, prices: Mapping[str, Wanted], provider: str = "") -> str:
    """The card with these prices of a model, by dimension, in place of those that it had for just this model; its other
    rules stay. Without a document it is the first card of a workspace, in the workspace's unit."""
    card = _native(document)
    match = _match(model, provider)
    taken = {rule.id for rule in card.rules}
    rules = [_with_price(rule, prices[rule.dimension]) if _is_set(rule, match, prices) else rule for rule in card.rules]
    known = {rule.dimension for rule in rules if rule.match == match and not rule.default}
    for dimension, wanted in sorted(prices.items()):
        if dimension not in known:
            id = _free_id(f"{provider}/{model}:{dimension}".removeprefix("/")[:_LONGEST_ID], taken)
            rules.append(Rule(id=id, dimension=dimension, price=wanted.price, per=wanted.per, match=dict(match)))
    return write_card(replace(card, rules=tuple(rules)))


def drop_model_price(document: str | None, model: str, provider: str = "") -> str:
    """The card without prices for just this model: what else it says, or the catalogue, decides again."""
    card = _native(document)
    match = _match(model, provider)
    rules = tuple(rule for rule in card.rules if rule.match != match or rule.default)
    if len(rules) == len(card.rules):
        of = f" of {provider}" if provider else ""
        raise NoSuchPrice(f"has no price of its own in the card, not for just {model!r}{of}")
    return write_card(replace(card, rules=rules))


def _native(document: str | None) -> RateCard:
    card = RateCard() if document is None else read_card(document)
    if not isinstance(card, RateCard):
        raise CardError([("/profile", "is changed as a whole: send the new profile as a new version")])
    return card


def _match(model: str, provider: str) -> dict[str, str | list[str]]:
    return {"model": model, **({"provider": provider} if provider else {})}


def _is_set(rule: Rule, match: dict[str, str | list[str]], prices: Mapping[str, Wanted]) -> bool:
    return rule.match == match and not rule.default and rule.dimension in prices


def _with_price(rule: Rule, wanted: Wanted) -> Rule:
    return replace(rule, price=wanted.price, per=wanted.per, tiers=(), tier_by="", tier_mode="graduated")


def _free_id(id: str, taken: set[str]) -> str:
    """A rule's id that no other has."""
    found, number = id, 2
    while found in taken:
        found, number = f"{id}#{number}", number + 1
    taken.add(found)
    return found


def write_card(card: RateCard) -> str:
    """The document of a card."""
    return _encode(card).decode()
