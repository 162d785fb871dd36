"""Rows of prices: versions of rate cards and of what models cost, as they are stored and as they are read back."""

from typing import Literal

from msgspec import Struct

from .pages import Page, cut
from .reports import Row

PriceStatus = Literal["active", "quarantined", "refused", "withdrawn"]


class CardFacts(Struct):
    """A version of a rate card, less its text."""

    workspace: str
    card: str
    version: int
    effective_from: int
    hash: str
    """SHA-256 of the text, in hexadecimal."""
    created_at: int
    actor: str
    reason: str
    withdrawn_at: int | None = None


class CardVersion(CardFacts):
    """A version of a rate card."""

    document: str = ""

    @property
    def name(self) -> str:
        """What charges keep of it."""
        return f"{self.card}@{self.version}"


class CardSummary(Struct):
    """A rate card in a listing of them."""

    card: str
    versions: int
    in_force: int | None
    """Its version at that instant."""
    next_at: int | None
    """When another one begins."""


class PriceRow(Struct):
    """A version of what a model costs."""

    provider: str
    model: str
    version: int
    effective_from: int
    status: PriceStatus
    source: str
    source_version: str
    reason: str
    actor: str
    created_at: int
    document: str


class NewPrice(Struct, frozen=True):
    """A version of what a model costs, to be written."""

    provider: str
    model: str
    after: int
    """The last version when this one was thought out; where there is a later one by now, nothing is written."""
    effective_from: int | None
    """None: as soon as every process can know it."""
    document: str
    quarantine: str = ""
    """Why it may not take effect before somebody has looked at it."""


def card_facts(row: Row) -> CardFacts:
    """A version of a card, less its text, from its row."""
    return CardFacts(*(*row[:4], bytes(row[4]).hex(), *row[5:9]))


def card_version(row: Row) -> CardVersion:
    """A version of a card from its row."""
    return CardVersion(*(*row[:4], bytes(row[4]).hex(), *row[5:]))


def facts_of(card: CardVersion) -> CardFacts:
    """A version of a card less its text."""
    return CardFacts(*(getattr(card, name) for name in CardFacts.__struct_fields__))


def price_page(rows: list[Row], limit: int) -> Page[PriceRow]:
    """A page of prices, in the order of provider, model and version."""
    found = [PriceRow(*row) for row in rows]
    return cut(found, limit, limit + 1, lambda row: (row.provider, row.model, row.version))
