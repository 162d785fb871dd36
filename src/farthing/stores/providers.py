"""Providers: how workspaces speak with who takes payments for them. Each change is an act, whose record has no secret:
records stay for ever.
"""

from typing import Any, Final

import msgspec

from farthing.core.catalogue import Provider
from farthing.core.providers import (
    KINDS,
    BadSettings,
    Change,
    KeptProvider,
    ProviderSettings,
    ShownProvider,
    changed,
)
from farthing.core.records import Workspace

from .acts import AccessError, Act, Acts, Once
from .reports import Database, Execute, Row
from .statements import statements

_encode = msgspec.json.Encoder().encode
_decoders: Final = {provider: msgspec.json.Decoder(kind) for provider, kind in KINDS.items()}


class Providers:
    """Reads and writes of providers' settings."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "providers")
        self._acts = Acts(db)

    async def get(self, workspace: str, provider: str) -> KeptProvider | None:
        """The settings as they are kept, secrets and all; None where there are none."""
        rows = await self._db.rows(self._sql["provider"], (workspace, provider))
        return read_provider(rows[0]) if rows else None

    async def of(self, workspace: str) -> list[KeptProvider]:
        """All of a workspace, by name."""
        return [read_provider(row) for row in await self._db.rows(self._sql["providers"], (workspace,))]

    async def put(
        self, workspace: Workspace, provider: Provider, change: Change, act: Act, once: Once | None = None
    ) -> ShownProvider:
        """Set how a provider is spoken with, or change it."""

        async def work(execute: Execute) -> ShownProvider:
            before = await self._before(execute, workspace.id, provider)
            settings = _after(provider, before, change, workspace)
            kept = KeptProvider(provider, settings, before.created_at if before else act.at, act.at)
            document = _encode(settings).decode()
            await execute(self._sql["put_provider"], (workspace.id, provider, document, kept.created_at, act.at))
            await self._note(execute, workspace.id, "provider.put", act, before, kept, once)
            return kept.shown()

        return await self._acts.once(once, workspace.id, "provider.put", ShownProvider, work)

    async def remove(self, workspace: str, provider: str, act: Act, once: Once | None = None) -> ShownProvider:
        """Forget its settings, secrets and all. What it still sends is refused."""

        async def work(execute: Execute) -> ShownProvider:
            before = await self._before(execute, workspace, provider)
            if before is None:
                raise AccessError(f"the workspace has no provider {provider!r}", "provider_not_found")
            await execute(self._sql["delete_provider"], (workspace, provider))
            await self._note(execute, workspace, "provider.remove", act, before, None, once)
            return before.shown()

        return await self._acts.once(once, workspace, "provider.remove", ShownProvider, work)

    async def _before(self, execute: Execute, workspace: str, provider: str) -> KeptProvider | None:
        rows = await execute(self._sql["provider"], (workspace, provider))
        return read_provider(rows[0]) if rows else None

    async def _note(
        self, execute: Execute, workspace: str, action: str, act: Act, before: KeptProvider | None,
        after: KeptProvider | None, once: Once | None,
    ) -> None:  # fmt: skip
        detail = {"before": _detail(before), "after": _detail(after)}
        told = after or before
        assert told is not None, "an act is about something"
        await self._acts.changed(execute, workspace, act, action, told.id, detail, once, told.shown())


def _detail(kept: KeptProvider | None) -> dict[str, Any] | None:
    """What the audit log says: all that is set, and of a secret what may be shown."""
    return None if kept is None else {name: value for name, value in kept.shown().settings.items() if value}


def _after(
    provider: Provider, before: KeptProvider | None, change: Change, workspace: Workspace
) -> ProviderSettings:  # fmt: skip
    try:
        return changed(provider, before.settings if before else None, change, workspace.mode)
    except BadSettings as bad:
        first = bad.problems[0]
        raise AccessError(f"{first.field} {first.message}", field=first.field) from bad


def read_provider(row: Row) -> KeptProvider:
    """A provider from (id, document, created_at, updated_at)."""
    id, document, created_at, updated_at = row
    return KeptProvider(id, _decoders[id].decode(document), created_at, updated_at)
