"""Redelivering: what somebody wants sent to an endpoint again, as an act with its record."""

from typing import Any

from msgspec import Struct

from farthing.core.endpoints import WebhookEndpoint
from farthing.core.events import matches

from .acts import AccessError, Act, Acts, Once
from .endpoints import Endpoints
from .outbox import Outbox
from .reports import Database, Execute

ACTION = "webhook.redeliver"


class Redelivered(Struct, frozen=True):
    """What is sent again."""

    endpoint: str
    events: int


class Redelivering:
    """Has events sent again."""

    def __init__(self, db: Database) -> None:
        self._endpoints = Endpoints(db)
        self._outbox = Outbox(db)
        self._acts = Acts(db)

    async def one(
        self, workspace: str, endpoint: str, event: str, act: Act, once: Once | None = None
    ) -> Redelivered:  # fmt: skip
        """Send one event, whatever has become of it."""
        await self._enabled(workspace, endpoint, once)

        async def work(execute: Execute) -> Redelivered:
            if await self._outbox.redeliver_in(execute, workspace, endpoint, event, act.at) is None:
                raise AccessError(f"there is no event {event!r}", "event_not_found")
            return await self._note(execute, workspace, Redelivered(endpoint, 1), {"event": event}, act, once)

        return await self._acts.once(once, workspace, ACTION, Redelivered, work)

    async def since(
        self, workspace: str, endpoint: str, since: int, act: Act, once: Once | None = None
    ) -> Redelivered:  # fmt: skip
        """Send all that happened since then, that it asks for, and that it was not delivered. What waits for it
        anyway stays as it is, so that to ask twice sends nothing twice."""
        found = await self._enabled(workspace, endpoint, once)
        if once is not None and (first := await self._acts.first(once, workspace, ACTION, Redelivered)) is not None:
            return first
        count = 0
        if found is not None:
            types = found.types
            count = await self._outbox.redeliver_since(
                workspace, endpoint, since, act.at, lambda type: any(matches(each, type) for each in types)
            )

        async def work(execute: Execute) -> Redelivered:
            return await self._note(execute, workspace, Redelivered(endpoint, count), {"since": since}, act, once)

        return await self._acts.once(once, workspace, ACTION, Redelivered, work)

    async def _enabled(self, workspace: str, id: str, once: Once | None) -> WebhookEndpoint | None:
        """The endpoint, which must be there and be sent something; a repeat is told its first answer in any case."""
        if once is not None and await self._acts.first(once, workspace, ACTION, Redelivered) is not None:
            return None
        found = await self._endpoints.get(workspace, id)
        if found is None:
            raise AccessError(f"there is no webhook {id!r}", "webhook_not_found")
        if found.state == "disabled":
            raise AccessError(f"the webhook {id} is disabled: enable it first", "webhook_disabled")
        return found

    async def _note(
        self, execute: Execute, workspace: str, done: Redelivered, asked: dict[str, Any], act: Act, once: Once | None
    ) -> Redelivered:  # fmt: skip
        detail = asked | {"events": done.events}
        await self._acts.changed(execute, workspace, act, ACTION, done.endpoint, detail, once, done)
        return done
