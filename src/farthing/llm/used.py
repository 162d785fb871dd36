"""Used: what a call of a model used, whoever tells it, in the form that a charge takes.

Counts are inclusive in the end (`core.usage`), and each is either reported by the provider or estimated. A reported
zero is zero; what nobody has reported is not there at all, until it is estimated and marked.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from farthing.client.bodies import Usage
from farthing.core.modelprice import STANDARD
from farthing.core.usage import PARENTS

Source = Literal["reported", "estimated"]
_ALWAYS: Final = ("input_tokens", "output_tokens")
"""Told to the ledger even where they are zero."""


class Used(Struct, frozen=True, kw_only=True):
    """What one call used."""

    provider: str = ""
    model: str = ""
    """As the answer names it."""
    counts: Mapping[str, int] = {}
    """By dimension of a charge, as they were reported."""
    without_cache: bool = False
    """`input_tokens` among them leaves out what was read from or written to a cache, as Anthropic counts."""
    estimated: frozenset[str] = frozenset()
    """Those of them that nobody has reported."""
    attributes: Mapping[str, str] = {}
    """What prices may depend on, such as `service_tier`; a standard one is left out."""
    others: Mapping[str, int] = {}
    """What else was counted, such as `web_search_requests`: charged only by who has a price for it."""

    @property
    def input_tokens(self) -> int | None:
        """All that went in."""
        return self._inclusive().get("input_tokens")

    @property
    def output_tokens(self) -> int | None:
        """All that came out, with reasoning."""
        return self.counts.get("output_tokens")

    @property
    def known(self) -> bool:
        """Whether both are known; an embedding has no output, and says zero."""
        return "input_tokens" in self.counts and "output_tokens" in self.counts

    def merged(self, later: "Used") -> "Used":
        """With what was told later of the same call: figures of a stream grow, they don't add up. An estimate never
        takes the place of what was reported."""
        reported = {name: count for name, count in self.counts.items() if name not in self.estimated}
        taken = {n: c for n, c in later.counts.items() if n not in later.estimated or n not in reported}
        counts = {**self.counts, **taken}
        told_later = {name for name in taken if name not in later.estimated}
        return Used(
            provider=later.provider or self.provider, model=later.model or self.model, counts=counts,
            without_cache=later.without_cache if "input_tokens" in taken else self.without_cache,
            estimated=(self.estimated | (later.estimated & taken.keys())) - told_later,
            attributes={**self.attributes, **later.attributes}, others={**self.others, **later.others},
        )  # fmt: skip

    def plus(self, other: "Used") -> "Used":
        """Both together, of two calls that are charged as one."""
        mine, its = self._inclusive(), other._inclusive()
        return Used(
            provider=self.provider or other.provider, model=self.model or other.model, counts=_sum(mine, its),
            estimated=self.estimated | other.estimated, attributes={**self.attributes, **other.attributes},
            others=_sum(self.others, other.others),
        )  # fmt: skip

    def filled(self, *, input_tokens: int | None = None, output_tokens: int | None = None) -> "Used":
        """With estimates where nothing was reported."""
        given = {"input_tokens": input_tokens, "output_tokens": output_tokens}
        missing = {name: n for name, n in given.items() if n is not None and name not in self.counts}
        if not missing:
            return self
        counts = {**self.counts, **missing}
        # An estimate of what went in is of all of it.
        if "input_tokens" in missing:
            return replace(self, counts=counts, without_cache=False, estimated=self.estimated | missing.keys())
        return replace(self, counts=counts, estimated=self.estimated | missing.keys())

    def dimensions(self) -> dict[str, int]:
        """The counts as a charge takes them. Where a provider's parts are more than the whole, the whole counts, and
        of the parts what fits into it, those first that come first in `PARENTS`."""
        fitted = self._inclusive()
        left = dict(fitted)
        for name, parent in PARENTS.items():
            if name in fitted and parent in left:
                fitted[name] = left[name] = min(fitted[name], left[parent])
                left[parent] -= fitted[name]
        return {name: count for name, count in fitted.items() if count or name in _ALWAYS}

    @property
    def doubtful(self) -> tuple[str, ...]:
        """The counts that can't be as they were reported."""
        fitted = self.dimensions()
        return tuple(name for name, count in self._inclusive().items() if fitted.get(name, 0) != count)

    def usage(self, *, model: str = "", **words: Any) -> Usage:
        """What a charge says of it: the model as reported, or the one that was asked for; `service`, `operation` and
        the like as a usage has them."""
        dimensions: Mapping[str, Any] = self.dimensions()
        attributes = {**self.attributes, **words.pop("attributes", {})}
        named = {"provider": self.provider or None, "model": self.model or model or None}
        return Usage(dimensions=dimensions, attributes=attributes, **(named | words))

    def sources(self) -> dict[str, Source]:
        """Of each count, who says so: evidence."""
        return {name: "estimated" if name in self.estimated else "reported" for name in self.counts}

    def _inclusive(self) -> dict[str, int]:
        counts = dict(self.counts)
        if self.without_cache and "input_tokens" in counts:
            counts["input_tokens"] += counts.get("cache_read_tokens", 0) + counts.get("cache_write_tokens", 0)
        return counts


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def told(**given: Any) -> dict[str, int]:
    """Those counts that are some: whole numbers from zero up. Whatever else stands in their place is nothing told."""
    found = {name: _whole(value) for name, value in given.items()}
    return {name: value for name, value in found.items() if value is not None}


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return int(value) if value == value // 1 else None


def unusual(**given: Any) -> dict[str, str]:
    """Those attributes that are texts, and not the standard."""
    return {name: text for name, text in given.items() if isinstance(text, str) and text not in STANDARD}
