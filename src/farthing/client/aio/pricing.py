"""Prices: rate cards in their versions, and what models cost."""

from collections.abc import Mapping
from typing import Any

from ..calls import get, post, tagged
from ..forms import Page
from ..pricing_results import (
    Card,
    CardLine,
    CardVersion,
    CardVersionLine,
    CardVersionView,
    CataloguePrice,
    ModelPrice,
    WaitingPrice,
)
from ..values import Amount, Instant, instant_text, quantities
from .door import AsyncDoor
from .pages import AsyncPages

DEFAULT = "default"
"""The card that prices the workspace's usage."""


class AsyncRateCards:
    """How the workspace prices usage."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    def list(self) -> AsyncPages[CardLine]:
        """All rate cards, by name."""
        return AsyncPages(self._door, get(Page[CardLine], "/v1/rate-cards"))

    async def get(self, card: str = DEFAULT) -> Card:
        """A card: the version in force with its document, and those that begin later."""
        return await self._door.ask(get(Card, "/v1/rate-cards/{card}", card=card))

    def versions(self, card: str = DEFAULT) -> AsyncPages[CardVersionLine]:
        """All versions of a card, newest first."""
        return AsyncPages(self._door, get(Page[CardVersionLine], "/v1/rate-cards/{card}/versions", card=card))

    async def version(self, number: int, card: str = DEFAULT) -> CardVersionView:
        """One version with its document."""
        path = "/v1/rate-cards/{card}/versions/{version}"
        return await self._door.ask(get(CardVersionView, path, card=card, version=str(number)))

    async def put(
        self, document: Mapping[str, Any], *, reason: str, card: str = DEFAULT, effective_from: Instant | None = None,
        if_match: str | None = None, dry_run: bool | None = None, key: str | None = None,
    ) -> CardVersion:  # fmt: skip
        """Add the next version of a card. It is in force from `effective_from` on, or as soon as that can be; with
        `if_match` (the `etag` of the card as it was read) only where nobody has added one since."""
        body = {
            "card": document, "reason": reason, "effective_from": instant_text(effective_from, "effective_from"),
            "dry_run": dry_run,
        }  # fmt: skip
        call = post(CardVersion, "/v1/rate-cards/{card}/versions", body, key, card=card)
        return await self._door.ask(tagged(call, if_match))

    async def withdraw(
        self, number: int, *, reason: str, card: str = DEFAULT, dry_run: bool | None = None, key: str | None = None
    ) -> CardVersion:  # fmt: skip
        """Take back a version that has not begun."""
        path, body = "/v1/rate-cards/{card}/versions/{version}/withdraw", {"reason": reason, "dry_run": dry_run}
        return await self._door.ask(post(CardVersion, path, body, key, card=card, version=str(number)))


class AsyncPrices:
    """What models cost."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    def list(self, query: str | None = None, *, provider: str | None = None) -> AsyncPages[CataloguePrice]:
        """The catalogue: models whose name holds a text, those of a provider, or all."""
        asked = {"query": query, "provider": provider}
        return AsyncPages(self._door, get(Page[CataloguePrice], "/v1/model-prices", asked))

    def history(self, provider: str, model: str) -> AsyncPages[ModelPrice]:
        """All prices that a model had, newest first."""
        asked = {"provider": provider, "model": model}
        return AsyncPages(self._door, get(Page[ModelPrice], "/v1/model-prices/history", asked))

    async def set(
        self, model: str, prices: Mapping[str, Amount], *, reason: str, provider: str | None = None,
        per: int | None = None, currency: str | None = None, effective_from: Instant | None = None,
        dry_run: bool | None = None, key: str | None = None,
    ) -> CardVersion:  # fmt: skip
        """Give a model prices of your own, for a million units unless `per` says otherwise: a new version of the rate
        card with rules that win over the catalogue."""
        body = {
            "model": model, "prices": quantities(prices), "reason": reason, "provider": provider, "per": per,
            "currency": currency, "effective_from": instant_text(effective_from, "effective_from"), "dry_run": dry_run,
        }  # fmt: skip
        return await self._door.ask(post(CardVersion, "/v1/model-prices", body, key))

    async def remove(
        self, model: str, *, reason: str, provider: str | None = None, effective_from: Instant | None = None,
        dry_run: bool | None = None, key: str | None = None,
    ) -> CardVersion:  # fmt: skip
        """Take your own prices of a model away, as they were set: what else the rate card says of it, or the catalogue,
        decides again."""
        body = {
            "model": model, "reason": reason, "provider": provider, "dry_run": dry_run,
            "effective_from": instant_text(effective_from, "effective_from"),
        }  # fmt: skip
        return await self._door.ask(post(CardVersion, "/v1/model-prices/remove", body, key))

    def quarantine(self) -> AsyncPages[WaitingPrice]:
        """Prices that a sync of the catalogue did not let in; their `reason` says why. Over HTTP for operators."""
        return AsyncPages(self._door, get(Page[WaitingPrice], "/v1/model-prices/quarantine"))

    async def let_in(
        self, provider: str, model: str, version: int, *, reason: str, dry_run: bool | None = None,
        key: str | None = None,
    ) -> ModelPrice:  # fmt: skip
        """Let a price in that waits: in force within seconds, wherever the catalogue is used."""
        body = {"provider": provider, "model": model, "version": version, "reason": reason, "dry_run": dry_run}
        return await self._door.ask(post(ModelPrice, "/v1/model-prices/quarantine/activate", body, key))

    async def keep_out(
        self, provider: str, model: str, version: int, *, reason: str, dry_run: bool | None = None,
        key: str | None = None,
    ) -> ModelPrice:  # fmt: skip
        """Keep a price out for good that waits."""
        body = {"provider": provider, "model": model, "version": version, "reason": reason, "dry_run": dry_run}
        return await self._door.ask(post(ModelPrice, "/v1/model-prices/quarantine/refuse", body, key))
