"""Lookup: what is known of a model in a workspace, and what the next change of a card begins from."""

import re
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from msgspec import Struct

from farthing.core.pricing import Book
from farthing.core.quantities import PriceRefusal
from farthing.core.ratecard import read_card
from farthing.core.records import Workspace
from farthing.core.rules import compile_card
from farthing.core.terms import Term, terms_of
from farthing.stores.prices import CardVersion, PriceRow, PriceStore

from .book import Books, NeedsPast, PriceBook
from .resolve import Found

T = TypeVar("T")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")


class Looked(Struct, frozen=True):
    """What a model's name means at an instant, and what it costs in a workspace."""

    found: Found
    row: PriceRow | None
    """The catalogue's price."""
    book: Book | None
    """The workspace's prices; None where it has no card."""
    terms: list[Term]


async def look_up(
    books: Books, store: PriceStore, workspace: Workspace, provider: str, model: str, at: int
) -> Looked:  # fmt: skip
    """Look a model up, by any of its names; the provider may be empty."""
    held = await books.book(workspace)
    found = held.catalogue.resolve(provider, model)
    row = None if found.key is None else await store.price_at(*found.key, at)
    book = held.at(at)
    if not isinstance(book, Book):
        return Looked(found, row, None, [])
    return Looked(found, row, book, terms_of(provider, model, book))


async def current_document(store: PriceStore, workspace: str, card: str, at: int) -> tuple[str | None, int]:
    """What a new version of a card begins from, the latest that is not withdrawn (None: there is none), and the number
    of its last version whatever became of it."""
    last = (await store.versions(workspace, card, limit=1)).items
    live = [version for version in await store.timeline(workspace, at) if version.card == card]
    return (live[-1].document if live else None), (last[0].version if last else 0)


async def reckon_by(
    books: Books, store: PriceStore, workspace: Workspace, card: str, at: int, reckon: Callable[[Book], T]
) -> T | PriceRefusal | None:
    """What is reckoned with the prices of an instant. By the card that prices the workspace's usage; or by another one,
    `name` as it is in force then, or `name@version` (None: there is no such card)."""
    held, other = await books.book(workspace), None
    if card:
        other = await _version(store, workspace.id, card, at)
        if other is None:
            return None
    while True:
        try:
            book = held.at(at) if other is None else _with_card(other, held, at)
            return book if isinstance(book, PriceRefusal) else reckon(book)
        except NeedsPast as need:
            held = await books.reach(held, need)


async def _version(store: PriceStore, workspace: str, card: str, at: int) -> CardVersion | None:
    name, _, number = card.partition("@")
    if not number:
        return await store.version_at(workspace, name, at)
    return await store.version(workspace, name, int(number)) if _NUMBER.fullmatch(number) else None


def _with_card(version: CardVersion, held: PriceBook, at: int) -> Book:
    """A book of another card, with all else as it is."""
    return Book(
        card=compile_card(read_card(version.document)),
        reference=version.name,
        scale=held.workspace.scale,
        unknown_models=held.workspace.settings.unknown_models,
        find_model=partial(held.catalogue.tariffs, at),
        candidates=held.catalogue.candidates,
    )
