"""Tops: of a series by parts, those with the most revenue in all; the rest stands together."""

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from farthing.core.figures import total_of
from farthing.core.rollup import Sums

from .usage_reports import Part, Point

P = TypeVar("P", Part, Point)
_NAMES: Final = ("account", "service", "operation", "provider", "model")


class Share(Struct, frozen=True):
    """A point by the parts that are told."""

    point: Point
    parts: list[Part]
    """In the order of all tops; those without anything are left out."""
    others: Sums


def tops_of(points: Sequence[Point], limit: int) -> tuple[list[Part], list[Share]]:
    """The parts with the most revenue in all, and each point by them."""
    totals: dict[tuple[str, ...], Part] = {}
    for point in points:
        for part in point.parts:
            names = dict(zip(_NAMES, part.names, strict=True))
            totals.setdefault(part.names, Part(Sums(), **names)).sums.add(part.sums)
    tops = sorted(totals.values(), key=lambda part: (-part.sums.revenue, part.names))[:limit]
    order = {part.names: place for place, part in enumerate(tops)}
    return tops, [_share(point, order) for point in points]


def used_only(found: Iterable[P]) -> list[P]:
    """Those with usage: others are there for what was only booked then, as a refund is."""
    return [each for each in found if each.sums.requests]


def _share(point: Point, order: dict[tuple[str, ...], int]) -> Share:
    told = sorted((part for part in point.parts if part.names in order), key=lambda part: order[part.names])
    return Share(point, told, total_of(part.sums for part in point.parts if part.names not in order))
