"""Drift: what a provider says was used against what the ledger has, by model and day: missing, extra, different.

It reports and repairs nothing. Models are compared by what the ledger takes their names for, and only providers that
the file speaks of.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Final, Literal, TypeVar

from msgspec import Struct, field

from farthing.prices.vendors import group_of, makers_of

from .exports import Row

Kind = Literal["missing", "extra", "drift"]
"""Not in the ledger; not at the provider; in both, but not the same."""
KINDS: Final[tuple[Kind, ...]] = ("missing", "extra", "drift")
Name = tuple[str, str]
"""Provider and model, as the ledger takes them."""
N = TypeVar("N", int, Decimal)


class Figures(Struct, kw_only=True):
    """What was used, on one side."""

    requests: int | None = None
    """None where that is not said."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None
    """In the workspace's unit; None where it is not known of all."""

    def plus(self, other: "Figures") -> "Figures":
        """Both together."""
        return Figures(
            requests=_both(self.requests, other.requests), cost=_both(self.cost, other.cost),
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )  # fmt: skip

    @property
    def nothing(self) -> bool:
        """Whether no token is in it."""
        return not (self.input_tokens or self.output_tokens)


def _both(one: N | None, other: N | None) -> N | None:
    return None if one is None or other is None else one + other


class Finding(Struct, frozen=True, kw_only=True):
    """What differs of a model on a day."""

    kind: Kind
    day: date
    provider: str
    model: str
    there: Figures
    here: Figures


class Total(Struct, kw_only=True):
    """A model over all days."""

    provider: str
    model: str
    there: Figures
    here: Figures
    found: dict[Kind, int] = field(default_factory=dict)
    """Days that differ."""


class Compared(Struct, kw_only=True):
    """What came of it."""

    findings: list[Finding] = field(default_factory=list)
    totals: list[Total] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not self.findings


Sides = Mapping[tuple[date, Name], Figures]


def name_of(provider: str | None, model: str) -> Name:
    """A provider by the first of its names, or the maker of the model, and the model."""
    known = group_of(provider) if provider else makers_of(model)
    return (group_of(known[0])[0] if known else ""), model


def summed(rows: Iterable[Row], name: Callable[[str, str], Name]) -> dict[tuple[date, Name], Figures]:
    """The rows of an export by day and model."""
    found: dict[tuple[date, Name], Figures] = {}
    for row in rows:
        figures = Figures(
            requests=row.requests, input_tokens=row.input_tokens, output_tokens=row.output_tokens, cost=row.cost
        )  # fmt: skip
        key = (row.day, name(row.provider, row.model))
        found[key] = found[key].plus(figures) if key in found else figures
    return found


def compare(there: Sides, here: Sides, tolerance: Decimal = Decimal(0)) -> Compared:
    """What differs by more than so many per cent of what the provider says."""
    compared = Compared()
    totals: dict[Name, Total] = {}
    for key in sorted({*there, *here}):
        day, (provider, model) = key
        total = totals.get(key[1])
        theirs, ours = there.get(key, _nothing()), here.get(key, _nothing())
        if total is None:
            total = totals[key[1]] = Total(provider=provider, model=model, there=theirs, here=ours)
        else:
            total.there, total.here = total.there.plus(theirs), total.here.plus(ours)
        if (kind := _differs(theirs, ours, tolerance)) is not None:
            total.found[kind] = total.found.get(kind, 0) + 1
            compared.findings.append(
                Finding(kind=kind, day=day, provider=provider, model=model, there=theirs, here=ours)
            )
    compared.totals = list(totals.values())
    return compared


def _nothing() -> Figures:
    return Figures(requests=0, cost=Decimal(0))


def _differs(there: Figures, here: Figures, tolerance: Decimal) -> Kind | None:
    counted = ((there.input_tokens, here.input_tokens), (there.output_tokens, here.output_tokens))
    pairs = [(Decimal(theirs), Decimal(ours)) for theirs, ours in counted]
    if there.cost is not None and here.cost is not None:
        pairs.append((there.cost, here.cost))
    if all(abs(ours - theirs) * 100 <= tolerance * theirs for theirs, ours in pairs):
        return None
    if here.nothing:
        return "missing"
    return "extra" if there.nothing else "drift"
