"""Resolving: from the name of a model, as somebody sent it, to the model in the catalogue that it means.

With a provider: under each of that provider's names, and then those whose models it sells, the very id, an alias, what
the source knows the model's names by; the first that finds one wins. Without one, what stands before the first `/` is
the provider, if it is known as one and has the rest; else the name means its vendor's own model, else the only one of
that name among all. Nothing is ever found because it looks alike: what means several models, or none, is not found,
and says which ones it might have been.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final

from msgspec import Struct

from .catalogue import Clause, Key, Names
from .vendors import group_of, hosted_by, makers_of, names_of

REMEMBERED: Final = 10_000
MAX_LENGTH: Final = 512
CANDIDATES: Final = 5
LIBRARIES: Final = frozenset({"litellm", "langchain", "pydantic-ai", "openai-agents"})
"""What callers sometimes send as the provider, and is none."""
_COMPACT_DATE = re.compile(r"(?<=-)(20[0-9]{2})(0[1-9]|1[0-2])([0-3][0-9])(?=[-:@]|$)")


class Found(Struct, frozen=True):
    """What a name means: a model, or else those that it might have meant."""

    key: Key | None
    candidates: tuple[Key, ...] = ()


NOTHING: Final = Found(None)


class _Shelf(Struct):
    """The models of a provider, by their names in small letters."""

    ids: dict[str, set[Key]]
    aliases: dict[str, set[Key]]
    patterns: list[tuple[Clause, Key]]

    def levels(self, name: str) -> Iterator[set[Key]]:
        """What the name may mean here: the surest first."""
        yield self.ids.get(name, set())
        yield self.aliases.get(name, set())
        yield {key for clause, key in self.patterns if matches(clause, name)}


class Resolver:
    """Finds models of one catalogue. What was asked before is remembered."""

    def __init__(self, models: Iterable[tuple[Key, Names]], remembered: int = REMEMBERED) -> None:
        self._shelves: dict[str, _Shelf] = {}
        self._remembered = remembered
        self._memory: OrderedDict[Key, Found] = OrderedDict()
        for key, names in models:
            shelf = self._shelves.setdefault(key[0].lower(), _Shelf({}, {}, []))
            shelf.ids.setdefault(key[1].lower(), set()).add(key)
            for alias in names.aliases:
                shelf.aliases.setdefault(alias.lower(), set()).add(key)
            shelf.patterns += [(clause, key) for clause in names.match]

    def find(self, provider: str, model: str) -> Found:
        """The model that is meant; `provider` may be empty."""
        asked = (provider, model)
        found = self._memory.get(asked)
        if found is not None:
            return found
        if len(provider) + len(model) > MAX_LENGTH:
            return NOTHING  # not worth remembering either
        found = self._find(provider.strip().lower(), model.strip().lower())
        if len(self._memory) >= self._remembered:
            self._memory.popitem(last=False)
        self._memory[asked] = found
        return found

    def _find(self, provider: str, name: str) -> Found:
        if not name:
            return NOTHING
        known = provider if provider not in LIBRARIES else ""
        look = self._of_provider if known else self._of_anybody
        found = look(known, name)
        if found is NOTHING and (dashed := _COMPACT_DATE.sub(_dashed, name)) != name:
            found = look(known, dashed)
        return found

    def _of_provider(self, provider: str, name: str) -> Found:
        names = names_of(provider)
        found = self._on_shelves([*names, *hosted_by(provider)], name)
        first, slash, rest = name.partition("/")
        if found is NOTHING and slash and first in names:
            found = self._on_shelves([*names, *hosted_by(provider)], rest)
        return found

    def _of_anybody(self, provider: str, name: str) -> Found:
        first, slash, rest = name.partition("/")
        if slash and (found := self._of_provider(first, rest)) is not NOTHING:
            return found
        found = self._on_shelves(makers_of(name), name)
        return found if found is not NOTHING else self._among_all(name)

    def _on_shelves(self, providers: Iterable[str], name: str) -> Found:
        """On the first shelf that has something of that name."""
        for provider in providers:
            shelf = self._shelves.get(provider)
            for hits in shelf.levels(name) if shelf else ():
                if hits:
                    return _only(hits)
        return NOTHING

    def _among_all(self, name: str) -> Found:
        """On all shelves at a time: ids before aliases before other ways of knowing names."""
        levels = zip(*(shelf.levels(name) for shelf in self._shelves.values()), strict=True)
        for level in levels:
            if hits := set().union(*level):
                return _only(hits)
        return NOTHING


def matches(clause: Clause, name: str) -> bool:
    """Whether a name in small letters is one that the clause knows."""
    match clause.kind:
        case "starts_with":
            return name.startswith(clause.text)
        case "ends_with":
            return name.endswith(clause.text)
        case "contains":
            return clause.text in name
        case "regex":
            return re.search(clause.text, name) is not None
        case "all":
            return all(matches(part, name) for part in clause.parts)


def _only(hits: set[Key]) -> Found:
    """The one that was hit; one provider under several names (from several sources) counts as one."""
    first = min(hits)
    if len(hits) == 1:
        return Found(first)
    names = [group_of(first[0]).index(key[0].lower()) if key[0].lower() in group_of(first[0]) else -1 for key in hits]
    if -1 not in names and len(set(names)) == len(hits):
        return Found(min(zip(names, hits, strict=True))[1])
    return Found(None, tuple(sorted(hits)[:CANDIDATES]))


def _dashed(found: re.Match[str]) -> str:
    """20251211 as 2025-12-11, where it is a day that exists."""
    try:
        return date(int(found[1]), int(found[2]), int(found[3])).isoformat()
    except ValueError:
        return found[0]
