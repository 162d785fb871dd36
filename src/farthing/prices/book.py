"""Price books: what a process needs to price usage without asking the database.

The catalogue is held once for the process, the cards of each workspace that asks. Both hold what is in force and what
is written ahead, so that a version begins by the clock alone, at the same instant in all processes. Usage from before
what is held raises `NeedsPast`: `Books.reach` fetches it, and the price can be asked for again.
"""

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from farthing.core import pricing
from farthing.core.quantities import PriceRefusal
from farthing.core.ratecard import read_card
from farthing.core.records import Workspace
from farthing.core.rules import Compiled, ModelTariffs, compile_card, compile_model
from farthing.core.usage import Priced, Usage
from farthing.stores.prices import CardVersion, PriceRow, PriceStore

from .catalogue import Key, read_listing, read_names
from .resolve import Found, Resolver

CARD: Final = "default"
"""The card that prices a workspace's usage."""
REMEMBERED: Final = 10_000
"""Workspaces whose cards are held, and texts of cards that are held compiled."""
_DAY_US: Final = 86_400_000_000


class NeedsPast(Exception):
    """The usage is older than what is held in memory."""

    def __init__(self, at: int, model: Key | None = None) -> None:
        super().__init__("prices of that time have to be fetched first")
        self.at = at
        self.model = model
        """Whose prices are missing; None: the card's."""


class _Version(Struct):
    """A version of a model's price; made ready when it is first asked for."""

    effective_from: int
    number: int
    document: str
    ready: ModelTariffs | None = None


class _Model(Struct):
    floor: int
    """The instant since when all versions are held."""
    versions: list[_Version]


class Catalogue:
    """All that models cost, as of one version of the catalogue."""

    def __init__(self, version: int, floor: int, rows: Sequence[PriceRow]) -> None:
        self.version = version
        self._models: dict[Key, _Model] = {}
        for row in rows:
            held = self._models.setdefault((row.provider, row.model), _Model(floor, []))
            held.versions.append(_Version(row.effective_from, row.version, row.document))
        for held in self._models.values():
            held.versions.sort(key=lambda version: (version.effective_from, version.number))
        # A model's latest names are its names at any time.
        names = ((key, read_names(held.versions[-1].document)) for key, held in self._models.items())
        self._resolver = Resolver(names)

    def __len__(self) -> int:
        """How many models there are."""
        return len(self._models)

    def resolve(self, provider: str, model: str) -> Found:
        """The model that a name means."""
        return self._resolver.find(provider, model)

    def candidates(self, provider: str, model: str) -> list[str]:
        """The models that a name might mean, where it means several."""
        return ["/".join(key) for key in self._resolver.find(provider, model).candidates]

    def tariffs(self, at: int, provider: str, model: str) -> ModelTariffs | None:
        """The prices that a model has at that instant, by any of its names."""
        key = self._resolver.find(provider, model).key
        return None if key is None else self.tariffs_of(key, at)

    def tariffs_of(self, key: Key, at: int) -> ModelTariffs | None:
        """The same for a model of the catalogue."""
        held = self._models[key]
        place = bisect_right(held.versions, at, key=lambda version: version.effective_from)
        if place == 0:
            if at < held.floor:
                raise NeedsPast(at, key)
            return None
        version = held.versions[place - 1]
        if version.ready is None:
            reference = f"catalogue:{key[0]}/{key[1]}@{version.number}"
            version.ready = compile_model(read_listing(version.document).price, reference)
        return version.ready

    def complete(self, key: Key, rows: Sequence[PriceRow]) -> None:
        """Hold all versions of a model."""
        versions = [_Version(row.effective_from, row.version, row.document) for row in rows]
        versions.sort(key=lambda version: (version.effective_from, version.number))
        self._models[key] = _Model(0, versions)


EMPTY: Final = Catalogue(0, 0, ())


class _Card(Struct, frozen=True):
    effective_from: int
    name: str
    compiled: Compiled


class PriceBook:
    """What prices the usage of a workspace."""

    def __init__(
        self, workspace: Workspace, floor: int, cards: Sequence[_Card], catalogue: Catalogue, now_us: Callable[[], int]
    ) -> None:  # fmt: skip
        self.workspace = workspace
        self.now_us = now_us
        """The time by which what arrives is priced."""
        self.catalogue = catalogue
        self._floor = floor
        self._cards = sorted(cards, key=lambda card: card.effective_from)
        self._begins = [card.effective_from for card in self._cards]

    def at(self, at: int) -> pricing.Book | PriceRefusal:
        """All that a price depends on at that instant."""
        place = bisect_right(self._begins, at)
        if place == 0:
            if at < self._floor:
                raise NeedsPast(at)
            return PriceRefusal(
                "no_card", "", "The workspace had no rate card at that time: give an amount, or add one."
            )
        card = self._cards[place - 1]
        return pricing.Book(
            card=card.compiled,
            reference=card.name,
            scale=self.workspace.scale,
            unknown_models=self.workspace.settings.unknown_models,
            find_model=partial(self.catalogue.tariffs, at),
            candidates=self.catalogue.candidates,
        )

    def price(self, usage: Usage, at: int) -> Priced | PriceRefusal:
        """What a usage of that instant comes to; `NeedsPast` where it is older than what is held."""
        book = self.at(at)
        return book if isinstance(book, PriceRefusal) else pricing.price(usage, book)


class Books:
    """The price books of a process. What it holds hangs on `generation`, the database's `config_version` as the process
    last read it; while that is not known, nothing is kept but the catalogue, which has a version of its own."""

    def __init__(
        self, store: PriceStore, now_us: Callable[[], int], generation: Callable[[], int | None] = lambda: None
    ) -> None:  # fmt: skip
        self._store = store
        self._now_us = now_us
        self._generation = generation
        self._seen: int | None = None
        self._books: OrderedDict[str, PriceBook] = OrderedDict()
        self._compiled: OrderedDict[str, Compiled] = OrderedDict()
        self._catalogue = EMPTY
        self._loading = asyncio.Lock()

    async def book(self, workspace: Workspace) -> PriceBook:
        """The workspace's price book; fetched where it is not held."""
        generation = self._generation()
        if generation is None or generation != self._seen:
            self._books.clear()
            self._seen = generation
        known = self._books.get(workspace.id)
        if known is not None and known.workspace == workspace:
            return known
        return await self._made(workspace, self._now_us() - _DAY_US)

    async def reach(self, book: PriceBook, need: NeedsPast) -> PriceBook:
        """The book with what it lacked, which is held from then on."""
        if need.model is not None:
            book.catalogue.complete(need.model, [row async for row in self._all_active(need.model)])
            return book
        return await self._made(book.workspace, need.at - _DAY_US)

    async def price(self, workspace: Workspace, usage: Usage, at: int) -> Priced | PriceRefusal:
        """The price of a usage of that instant, whatever has to be fetched for it."""
        book = await self.book(workspace)
        while True:
            try:
                return book.price(usage, at)
            except NeedsPast as need:
                book = await self.reach(book, need)

    async def catalogue(self) -> Catalogue:
        """The catalogue as it is now."""
        async with self._loading:
            version = await self._store.catalogue_version()
            if version != self._catalogue.version:
                # What arrives has often been used a moment ago.
                floor = self._now_us() - _DAY_US
                rows = [row async for row in self._store.catalogue(floor)]
                self._catalogue = Catalogue(version, floor, rows)
            return self._catalogue

    async def _made(self, workspace: Workspace, floor: int) -> PriceBook:
        """A book that reaches back to that instant; held, unless something changed while it was read."""
        generation = self._generation()
        versions = await self._store.timeline(workspace.id, floor)
        cards = [_Card(v.effective_from, v.name, self._compile(v)) for v in versions if v.card == CARD]
        made = PriceBook(workspace, floor, cards, await self.catalogue(), self._now_us)
        if generation is not None and generation == self._generation() == self._seen:
            self._keep(made)
        return made

    def _compile(self, version: CardVersion) -> Compiled:
        found = self._compiled.get(version.hash)
        if found is None:
            found = compile_card(read_card(version.document))
            if len(self._compiled) >= REMEMBERED:
                self._compiled.popitem(last=False)
            self._compiled[version.hash] = found
        return found

    def _keep(self, book: PriceBook) -> None:
        if len(self._books) >= REMEMBERED:
            self._books.popitem(last=False)
        self._books[book.workspace.id] = book

    async def _all_active(self, key: Key) -> AsyncIterator[PriceRow]:
        before = None
        while True:
            page = await self._store.history(*key, before=before)
            for row in page.items:
                if row.status == "active":
                    yield row
            if page.next is None:
                return
            before = page.next
