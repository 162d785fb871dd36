"""Firewall: which new prices may take effect by themselves, and which wait for somebody to look at them.

A price is compared as it is asked for: at each step, under each of its terms, dimension by dimension. Where a price
was dropped, what counts is what is asked instead: that of the dimension it is counted within. Zero passes in one case
only: for a model whose name says that it is free. A source that gives zeros for anything else (a subscription, a price
that nobody knew) is looked at first, since a price of zero gives everything away without a sound.
"""

from collections.abc import Iterator, Mapping
from decimal import Context, Decimal
from typing import Final

from msgspec import Struct

from farthing.core.cardcheck import check_model
from farthing.core.modelprice import ModelPrice, Price
from farthing.core.usage import PARENTS

from .catalogue import MILLION, TOKENS, decimal_text, is_called_free

STANDARD_TERMS: Final = ""


class Limits(Struct, frozen=True):
    """Beyond which a price is suspicious."""

    jump: Decimal = Decimal(5)
    """Times as much as before, or as little."""
    output_below_input: Decimal = Decimal(100)
    """Times that output is cheaper than input."""
    dearest: Decimal = Decimal(10_000)
    """USD for a million tokens: where a price for a token may have been taken for that of a million, and so on."""
    cheapest: Decimal = Decimal("0.0000001")
    """The same the other way round; zero is another matter."""
    dearest_unit: Decimal = Decimal(1_000)
    """USD for one of anything else: a second, an image, a page."""
    special: Decimal = Decimal(20)
    """Times that special terms may be dearer or cheaper than the standard ones."""
    shrink: Decimal = Decimal("0.2")
    """Part of a source's models that may be gone at once."""


USUAL: Final = Limits()


class Asked(Struct, frozen=True):
    """What is asked for a million tokens, or for one of anything else."""

    terms: str
    dimension: str
    above: int
    """The step: beyond so many input tokens."""
    usd: Decimal


def judge(old: ModelPrice | None, new: ModelPrice, limits: Limits = USUAL) -> tuple[str, ...]:
    """Why a price may not take effect by itself; empty where it may. `old` is what is in force."""
    asked = list(all_asked(new))
    reasons = [*_absolute(asked, limits), *_free(new, asked)]
    if not reasons:
        reasons += (f"{pointer} {message}" for pointer, message in check_model(new))
    if old is not None:
        reasons += _changes(old, new, limits)
    return tuple(dict.fromkeys(reasons))


def shrinks(before: int, vanished: int, limits: Limits = USUAL) -> bool:
    """Whether too many of a source's models are gone for it to be believed."""
    return vanished > before * limits.shrink


def terms_of(price: ModelPrice) -> dict[str, dict[str, Price]]:
    """The prices by terms and dimension; the standard ones under ''."""
    variants = {name_of(v.when): {p.dimension: p for p in v.prices} for v in price.variants}
    return {STANDARD_TERMS: {p.dimension: p for p in price.prices}, **variants}


def name_of(when: Mapping[str, str]) -> str:
    """Terms in words: `service_tier=flex`."""
    return ", ".join(f"{key}={value}" for key, value in sorted(when.items()))


def all_asked(price: ModelPrice) -> Iterator[Asked]:
    """Every figure of a price."""
    for terms, prices in terms_of(price).items():
        for dimension, one in prices.items():
            for above in starts_of(one):
                yield Asked(terms, dimension, above, asked_at(one, above))


def starts_of(price: Price) -> tuple[int, ...]:
    """Where its steps begin."""
    return tuple(int(Decimal(tier.from_)) for tier in price.tiers) or (0,)


def asked_at(price: Price, above: int) -> Decimal:
    """What is asked of who has used more than that."""
    text = price.price or next(t.price for t in reversed(price.tiers) if int(Decimal(t.from_)) <= above)
    unit = MILLION if price.dimension in TOKENS else 1
    return Decimal(text) * unit / price.per


def instead_of(prices: Mapping[str, Price], dimension: str) -> Price | None:
    """The price of a dimension, or of what it is counted within."""
    while dimension not in prices and dimension in PARENTS:
        dimension = PARENTS[dimension]
    return prices.get(dimension)


def _absolute(asked: list[Asked], limits: Limits) -> Iterator[str]:
    figures = {(a.terms, a.dimension, a.above): a.usd for a in asked}
    for a in asked:
        if a.usd < 0:
            yield f"{a.dimension} is negative"
        elif a.dimension not in TOKENS:
            if a.usd > limits.dearest_unit:
                yield f"{a.dimension} costs more than {limits.dearest_unit:,f} USD each"
        elif a.usd > limits.dearest:
            yield f"{a.dimension} costs more than {limits.dearest:,f} USD for a million: given for another number?"
        elif 0 < a.usd < limits.cheapest:
            yield f"{a.dimension} costs less than {limits.cheapest:f} USD for a million: given for another number?"
        if a.dimension == "output_tokens" and a.usd > 0:
            incoming = figures.get((a.terms, "input_tokens", a.above), Decimal(0))
            if incoming > a.usd * limits.output_below_input:
                yield f"output is more than {limits.output_below_input:f} times cheaper than input"
        usual = figures.get((STANDARD_TERMS, a.dimension, a.above), Decimal(0))
        if a.terms and a.usd > 0 and usual > 0 and max(a.usd / usual, usual / a.usd) > limits.special:
            yield f"{a.dimension} with {a.terms} is far from what it costs without"


def _free(new: ModelPrice, asked: list[Asked]) -> Iterator[str]:
    if is_called_free(new.model):
        return
    for terms in dict.fromkeys(a.terms for a in asked):
        if not any(a.usd for a in asked if a.terms == terms):
            yield f"costs nothing{f' with {terms}' if terms else ''}, and its name does not say that it is free"
        elif any(a.terms == terms and a.dimension == "input_tokens" and not a.usd for a in asked):
            # Output has no price of its own in embeddings; input that costs nothing is a price that nobody filled in.
            yield f"input_tokens costs nothing{f' with {terms}' if terms else ''}, and other things don't"


def _changes(old: ModelPrice, new: ModelPrice, limits: Limits) -> Iterator[str]:
    after = terms_of(new)
    for terms, prices in terms_of(old).items():
        if terms not in after:
            continue  # who asks for it is refused from then on, and charges nothing wrong
        for dimension, before in prices.items():
            now = instead_of(after[terms], dimension)
            if now is None:
                yield f"{dimension} has no price any more"
                continue
            for above in sorted({*starts_of(before), *starts_of(now)}):
                yield from _jump(dimension, asked_at(before, above), asked_at(now, above), limits)


def _jump(dimension: str, before: Decimal, now: Decimal, limits: Limits) -> Iterator[str]:
    if before == 0:
        if now > 0:
            yield f"{dimension} was free, and is not any more"
    elif now == 0:
        yield f"{dimension} costs nothing, and did before"
    elif now > before * limits.jump:
        yield f"{dimension} costs {_times(now, before)} times as much as before"
    elif now * limits.jump < before:
        yield f"{dimension} costs {_times(before, now)} times less than before"


def _times(more: Decimal, less: Decimal) -> str:
    """How many times as much, to three digits."""
    return decimal_text(Context(prec=3).divide(more, less))
