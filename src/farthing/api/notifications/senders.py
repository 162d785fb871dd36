"""Senders: which workspaces are told things by which provider, and how it signs."""

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from farthing.core.catalogue import PROVIDERS
from farthing.core.providers import ProviderSettings
from farthing.core.records import Workspace
from farthing.stores.providers import Providers

MOST: Final = 10_000
"""So many are remembered."""


class Sender(Struct, frozen=True):
    """A provider that a workspace knows."""

    workspace: Workspace
    settings: ProviderSettings


class Senders:
    """Finds them; what it has read hangs on `generation`, so that a message that is not signed costs no reading."""

    def __init__(
        self, workspace: Callable[[str], Awaitable[Workspace | None]], providers: Providers,
        generation: Callable[[], int | None],
    ) -> None:  # fmt: skip
        self._workspace = workspace
        self._providers = providers
        self._generation = generation
        self._seen: int | None = None
        self._known: dict[tuple[str, str], Sender] = {}

    async def find(self, workspace: str, provider: str) -> Sender | None:
        """How that provider speaks with that workspace; None where it does not."""
        generation = self._generation()
        if generation is None or generation != self._seen or len(self._known) >= MOST:
            self._known, self._seen = {}, generation
        known = self._known.get((workspace, provider))
        if known is not None:
            return known
        found = await self._find(workspace, provider)
        # What was read while a change was on its way is used once and not remembered.
        if found is not None and generation is not None and generation == self._generation():
            self._known[workspace, provider] = found
        return found

    async def _find(self, workspace: str, provider: str) -> Sender | None:
        name = next((each for each in PROVIDERS if each == provider), None)
        kept = await self._providers.get(workspace, name) if name is not None and "\0" not in workspace else None
        row = await self._workspace(workspace) if kept is not None else None
        return None if kept is None or row is None else Sender(row, kept.settings)
