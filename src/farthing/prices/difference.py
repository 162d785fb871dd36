"""Difference: what a source says against what the catalogue has, model by model, and what would be written. Pure.

A model belongs to the source that it came from: what another source says of it is passed over, unless it is told to
take over. What begins later is written ahead; what was written ahead and is not said any more is withdrawn. A model
that a source does not name any more is listed, and keeps its price.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from farthing.core.modelprice import ModelPrice
from farthing.stores.prices import LEAD_US, NewPrice, PriceRow

from .catalogue import Dated, Key, Listing, Source, read_listing, write_listing
from .firewall import USUAL, Limits, asked_at, judge, shrinks, starts_of, terms_of

What = Literal["new", "changed", "renamed", "quarantined", "waiting", "unchanged", "other_source", "vanished"]


class Change(Struct, frozen=True):
    """One figure that is not what it was; None where there is none."""

    terms: str
    dimension: str
    above: int
    old: Decimal | None
    new: Decimal | None

    @property
    def percent(self) -> Decimal | None:
        """How much more, or less, in percent."""
        if self.new is None or not self.old:
            return None
        return ((self.new - self.old) * 100 / self.old).quantize(Decimal("0.1"))


class Item(Struct, frozen=True):
    """What a sync would do to a model."""

    what: What
    key: Key
    changes: tuple[Change, ...] = ()
    reasons: tuple[str, ...] = ()
    """Why it would wait in quarantine."""
    writes: tuple[NewPrice, ...] = ()
    withdraws: tuple[int, ...] = ()
    """Versions that would begin later, and will not."""


class Plan(Struct, frozen=True):
    """What a sync would do."""

    source: str
    source_version: str
    items: tuple[Item, ...]
    """Those that are unchanged are only counted."""
    counts: dict[str, int]
    left: dict[str, int]
    """What could not be read from the source, by reason."""
    refusal: str = ""
    """Why none of it may be carried out, unless it is forced."""

    @property
    def is_empty(self) -> bool:
        """Nothing would be written."""
        return not any(item.writes or item.withdraws for item in self.items)


class Held(Struct):
    """What the catalogue has of a model."""

    last: int = 0
    """Its last version, whatever its status."""
    rows: list[PriceRow] = []
    """What is in force, and what begins later, in the order of time."""
    aside: list[PriceRow] = []
    """What is in quarantine or was refused."""


def plan(
    source: Source, held: Mapping[Key, Held], now: int, limits: Limits = USUAL, take_over: bool = False
) -> Plan:  # fmt: skip
    """What a sync with a source would do."""
    items = [
        _item(key, dated, held.get(key), source.name, now, limits, take_over) for key, dated in source.models.items()
    ]
    ours = [key for key, had in held.items() if had.rows and had.rows[-1].source == source.name]
    vanished = [key for key in ours if key not in source.models]
    items += [Item("vanished", key) for key in vanished]
    counts: Counter[str] = Counter(item.what for item in items)
    refusal = ""
    if shrinks(len(ours), len(vanished), limits):
        refusal = f"{len(vanished):,} of the {len(ours):,} models that came from {source.name} are gone from it"
    shown = sorted((item for item in items if item.what != "unchanged"), key=lambda item: (item.what, item.key))
    return Plan(source.name, source.version, tuple(shown), dict(counts), source.left_by_reason, refusal)


def _item(
    key: Key, dated: Sequence[Dated], had: Held | None, source: str, now: int, limits: Limits, take_over: bool
) -> Item:  # fmt: skip
    if had is None or not (had.rows or had.aside):
        return _new(key, dated, had.last if had else 0, now, limits)
    if had.rows and had.rows[-1].source != source and not take_over:
        return Item("other_source", key)
    return _again(key, dated, had, now, limits)


def _new(key: Key, dated: Sequence[Dated], last: int, now: int, limits: Limits) -> Item:
    """A model that the catalogue does not have: with all that the source knows of its past."""
    writes: list[NewPrice] = []
    reasons: list[str] = []
    for number, each in enumerate(dated):
        # What was before tells something about a price to come; what has been so for long is no surprise.
        before = dated[number - 1].listing.price if number and each.since > now else None
        why = judge(before, each.listing.price, limits)
        reasons += why
        writes.append(_write(key, last + number, each.since, each.listing, why))
    all_wait = all(write.quarantine for write in writes)
    what: What = "quarantined" if all_wait else "new"
    changes = compare(None, dated[-1].listing.price)
    return Item(what, key, changes, tuple(dict.fromkeys(reasons)), tuple(writes))


def _again(key: Key, dated: Sequence[Dated], had: Held, now: int, limits: Limits) -> Item:
    """A model that the catalogue has."""
    # What begins this soon can't be stopped any more, so it counts as begun.
    horizon = now + LEAD_US
    begun = [row for row in had.rows if row.effective_from <= horizon]
    current = read_listing(begun[-1].document) if begun else None
    said = next(each for each in reversed(dated) if each.since <= horizon)
    coming = [each for each in dated if each.since > horizon]
    later = {row.effective_from: row for row in had.rows if row.effective_from > horizon}
    planned = {at: read_listing(row.document) for at, row in later.items()}
    work = _Work(key, had, limits)
    if current != said.listing:
        work.write(None if current else said.since, said.listing, current)
    before = said.listing
    for each in coming:
        if planned.get(each.since) != each.listing:
            work.write(each.since, each.listing, before)
        before = each.listing
    said_later = {each.since for each in coming}
    gone = tuple(row.version for at, row in later.items() if at not in said_later or at in work.replaced)
    changes = compare(
        current.price if current else None, said.listing.price if current != said.listing else before.price
    )
    return Item(work.what(gone, changes), key, changes, work.reasons, tuple(work.writes), gone)


class _Work:
    """What is to be written for a model."""

    def __init__(self, key: Key, had: Held, limits: Limits) -> None:
        self._key, self._last, self._limits = key, had.last, limits
        self._aside = {row.document for row in had.aside}
        self._waiting = False
        self.writes: list[NewPrice] = []
        self.replaced: set[int | None] = set()

    def write(self, since: int | None, listing: Listing, before: Listing | None) -> None:
        """Write it, unless somebody is to look at it, or has, and kept it out."""
        if write_listing(listing) in self._aside:
            self._waiting = True
            return
        why = judge(before.price if before else None, listing.price, self._limits)
        self.writes.append(_write(self._key, self._last + len(self.writes), since, listing, why))
        if not why:
            self.replaced.add(since)

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(write.quarantine for write in self.writes if write.quarantine))

    def what(self, gone: tuple[int, ...], changes: tuple[Change, ...]) -> What:
        if self.reasons:
            return "quarantined"
        if self.writes or gone:
            return "changed" if changes or gone else "renamed"
        return "waiting" if self._waiting else "unchanged"


def _write(key: Key, after: int, since: int | None, listing: Listing, why: tuple[str, ...]) -> NewPrice:
    return NewPrice(*key, after, since, write_listing(listing), "; ".join(why))


def compare(old: ModelPrice | None, new: ModelPrice) -> tuple[Change, ...]:
    """Every figure that is not what it was."""
    before, after = terms_of(old) if old else {}, terms_of(new)
    found = []
    for terms in sorted({*before, *after}):
        was, now = before.get(terms, {}), after.get(terms, {})
        for dimension in sorted({*was, *now}):
            a, b = was.get(dimension), now.get(dimension)
            for above in sorted({*(starts_of(a) if a else ()), *(starts_of(b) if b else ())}):
                change = Change(
                    terms, dimension, above, asked_at(a, above) if a else None, asked_at(b, above) if b else None
                )
                if change.old != change.new:
                    found.append(change)
    return tuple(found)
