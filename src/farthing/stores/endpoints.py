"""Endpoints: who is told of events. Each change is an act with its record, and writes anew what the workspace says of
who is to be told of what, in one transaction. Listeners are no acts: they come and go.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from farthing.core.endpoints import (
    LEASE_US,
    MOST_ENDPOINTS,
    SigningSecret,
    WebhookEndpoint,
    rotated,
    told_text,
)
from farthing.core.records import Event

from .acts import AccessError, Act, Acts, Once
from .bell import OUTBOX
from .events import Events
from .reports import Database, Execute, Row
from .statements import statements

_encode = msgspec.json.Encoder().encode
_types = msgspec.json.Decoder(tuple[str, ...])
_secrets = msgspec.json.Decoder(tuple[SigningSecret, ...])
Changed = Callable[[WebhookEndpoint], WebhookEndpoint]


class ShownEndpoint(Struct, frozen=True, kw_only=True):
    """An endpoint without its secrets: what a repeat of an act is told."""

    id: str
    url: str
    types: tuple[str, ...]
    description: str
    ordered: bool
    state: str
    reason: str
    secrets: list[dict[str, Any]]
    failing_since: int | None
    created_at: int
    updated_at: int


def shown(endpoint: WebhookEndpoint) -> ShownEndpoint:
    """What may be shown of an endpoint."""
    dates = {name: getattr(endpoint, name) for name in ("failing_since", "created_at", "updated_at")}
    return ShownEndpoint(**endpoint.shown(), **dates)


class Endpoints:
    """Reads and writes of endpoints."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "endpoints")
        self._acts = Acts(db)
        self._events = Events(db)

    async def get(self, workspace: str, id: str) -> WebhookEndpoint | None:
        """One endpoint, secrets and all; None where there is none."""
        rows = await self._db.rows(self._sql["endpoint"], (workspace, id))
        found = read_endpoint(rows[0]) if rows else None
        return found if found is not None and found.url else None

    async def of(self, workspace: str) -> list[WebhookEndpoint]:
        """All of a workspace, oldest first."""
        found = await self._db.rows(self._sql["endpoints"], (workspace,))
        return [each for each in map(read_endpoint, found) if each.url]

    # Acts

    async def create(self, endpoint: WebhookEndpoint, act: Act, once: Once | None = None) -> ShownEndpoint:
        """Make an endpoint."""

        async def work(execute: Execute) -> ShownEndpoint:
            there = [each for each in await self._all(execute, endpoint.workspace) if each.url]
            if len(there) >= MOST_ENDPOINTS:
                message = f"the workspace has {MOST_ENDPOINTS} endpoints, as many as it may have"
                raise AccessError(message, "too_many_webhooks")
            return await self._keep(execute, "webhook.create", None, endpoint, act, once)

        return await self._acts.once(once, endpoint.workspace, "webhook.create", ShownEndpoint, work)

    async def update(
        self, workspace: str, id: str, changes: dict[str, Any], act: Act, once: Once | None = None
    ) -> ShownEndpoint:
        """Change some of an endpoint, or with `enabled` whether it is told anything: one that is enabled again begins
        anew, without a word of what was before."""
        given = {name: value for name, value in changes.items() if name != "enabled"}
        enabled = changes.get("enabled")

        def changed(before: WebhookEndpoint) -> WebhookEndpoint:
            after = replace(before, **given, updated_at=act.at)
            if after.url != before.url:
                after = replace(after, failing_since=None)  # it is another one that takes them or not
            if enabled is None or enabled == (before.state == "enabled"):
                return after
            if enabled:
                return replace(after, state="enabled", reason="", failing_since=None)
            return replace(after, state="disabled", reason="user")

        return await self._change(workspace, id, "webhook.update", changed, act, once)

    async def rotate(
        self, workspace: str, id: str, secret: str, overlap_us: int, act: Act, once: Once | None = None
    ) -> ShownEndpoint:
        """Give an endpoint a new secret; the one before signs on until the overlap is over."""
        return await self._change(
            workspace, id, "webhook.rotate", lambda before: rotated(before, secret, act.at, overlap_us), act, once
        )

    async def remove(self, workspace: str, id: str, act: Act, once: Once | None = None) -> ShownEndpoint:
        """Forget an endpoint; what waited for it goes nowhere."""

        async def work(execute: Execute) -> ShownEndpoint:
            before = await self._found(execute, workspace, id)
            await execute(self._sql["delete"], (workspace, id))
            await execute(self._sql["delete_waiting"], (workspace, id))
            await self._tell(execute, workspace, act.at)
            detail = {"before": before.shown(), "after": None}
            await self._acts.changed(execute, workspace, act, "webhook.delete", id, detail, once, shown(before))
            return shown(before)

        return await self._acts.once(once, workspace, "webhook.delete", ShownEndpoint, work)

    async def disable(
        self, execute: Execute, workspace: str, id: str, reason: str, act: Act, *, failing_since: int | None = None
    ) -> WebhookEndpoint | None:  # fmt: skip
        """Disable an endpoint in somebody's transaction, one that has taken nothing since then; the endpoint as it was,
        None where there is none to disable any more. What waits for it stays until it is enabled again, or removed."""
        rows = await execute(self._sql["endpoint"], (workspace, id))
        before = read_endpoint(rows[0]) if rows else None
        if before is None or before.state == "disabled":
            return None
        if failing_since is not None and (before.failing_since is None or before.failing_since > failing_since):
            return None
        after = replace(before, state="disabled", reason=reason, updated_at=act.at)
        await self._keep(execute, "webhook.disable", before, after, act, None)
        return before

    async def test(self, event: Event, id: str, act: Act, once: Once | None = None) -> str:
        """Write an event down that goes to one endpoint alone, whatever it asks for; the event's id. It must be
        enabled."""

        async def work(execute: Execute) -> str:
            found = await self._found(execute, event.workspace, id)
            if found.state == "disabled":
                raise AccessError(f"the webhook {id} is disabled: enable it first", "webhook_disabled")
            await self._events.write(execute, [event], to=id)
            detail = {"event": event.id}
            await self._acts.changed(execute, event.workspace, act, "webhook.test", id, detail, once, event.id)
            return event.id

        sent = await self._acts.once(once, event.workspace, "webhook.test", str, work)
        OUTBOX.ring()
        return sent

    async def _change(
        self, workspace: str, id: str, action: str, change: Changed, act: Act, once: Once | None
    ) -> ShownEndpoint:
        async def work(execute: Execute) -> ShownEndpoint:
            before = await self._found(execute, workspace, id)
            return await self._keep(execute, action, before, change(before), act, once)

        changed = await self._acts.once(once, workspace, action, ShownEndpoint, work)
        OUTBOX.ring()  # what has waited may be due
        return changed

    async def _keep(
        self, execute: Execute, action: str, before: WebhookEndpoint | None, after: WebhookEndpoint, act: Act,
        once: Once | None,
    ) -> ShownEndpoint:  # fmt: skip
        await execute(self._sql["put"], endpoint_row(after))
        await self._tell(execute, after.workspace, act.at)
        detail = {"before": before and before.shown(), "after": after.shown()}
        await self._acts.changed(execute, after.workspace, act, action, after.id, detail, once, shown(after))
        return shown(after)

    # Listeners

    async def listen(self, workspace: str, id: str, types: tuple[str, ...], at: int) -> None:
        """Have these types told for as long as a lease lasts; the same id keeps it up, or asks for other types."""
        lease = WebhookEndpoint(
            workspace=workspace, id=id, url="", types=types, expires_at=at + LEASE_US, created_at=at, updated_at=at
        )

        async def work(execute: Execute) -> None:
            await execute(self._sql["put"], endpoint_row(lease))
            await self._tell(execute, workspace, at)

        await self._db.write(work)

    async def leave(self, workspace: str, id: str, at: int) -> None:
        """A listener goes."""

        async def work(execute: Execute) -> None:
            await execute(self._sql["delete"], (workspace, id))
            await self._tell(execute, workspace, at)

        await self._db.write(work)

    async def drop_lapsed(self, at: int) -> int:
        """Forget listeners whose lease is over; in how many workspaces there were such. Until then they cost a little
        and change nothing."""
        found = [row[0] for row in await self._db.rows(self._sql["lapsed"], (at,))]

        async def work(execute: Execute) -> None:
            for workspace in found:
                await self._tell(execute, workspace, at)

        if found:
            await self._db.write(work)
        return len(found)

    # Within a transaction

    async def _tell(self, execute: Execute, workspace: str, at: int) -> None:
        """Write down anew who is told of what."""
        await execute(self._sql["delete_lapsed"], (workspace, at))
        await execute(self._sql["set_told"], (told_text(await self._all(execute, workspace), at), workspace))

    async def _all(self, execute: Execute, workspace: str) -> list[WebhookEndpoint]:
        return [read_endpoint(row) for row in await execute(self._sql["endpoints"], (workspace,))]

    async def _found(self, execute: Execute, workspace: str, id: str) -> WebhookEndpoint:
        rows = await execute(self._sql["endpoint"], (workspace, id))
        found = read_endpoint(rows[0]) if rows else None
        if found is None or not found.url:
            raise AccessError(f"there is no webhook {id!r}", "webhook_not_found")
        return found


def endpoint_row(e: WebhookEndpoint) -> Row:
    """The columns of an endpoint."""
    return (
        e.workspace, e.id, e.url, _encode(e.types).decode(), e.description, int(e.ordered),
        _encode(e.secrets).decode(), e.state, e.reason, e.failing_since, e.expires_at, e.created_at, e.updated_at,
    )  # fmt: skip


def read_endpoint(row: Row) -> WebhookEndpoint:
    """An endpoint from its row."""
    workspace, id, url, types, description, ordered, secrets, state, reason, failing, expires, created, updated = row
    return WebhookEndpoint(
        workspace=workspace, id=id, url=url, types=_types.decode(types), description=description,
        ordered=bool(ordered), secrets=_secrets.decode(secrets), state=state, reason=reason, failing_since=failing,
        expires_at=expires, created_at=created, updated_at=updated,
    )  # fmt: skip
