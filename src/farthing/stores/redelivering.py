"""Redelivering: what somebody wants sent to an endpoint again, as an act with its record."""

from typing import Any, Final

from msgspec import Struct

from farthing.core.endpoints import WebhookEndpoint
from farthing.core.events import asks_for
from farthing.core.ids import bucket_in

from .acts import AccessError, Act, Acts, Once
from .bell import OUTBOX
from .endpoints import Endpoints
from .outbox import NEVER, look_up
from .reports import Database, Execute
from .statements import statements

ACTION: Final = "webhook.redeliver"
PAGE: Final = 1_000


class Redelivered(Struct, frozen=True):
    """What is sent again."""

    endpoint: str
    events: int


class Redelivering:
    """Has events sent again."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "outbox")
        self._endpoints = Endpoints(db)
        self._acts = Acts(db)

    async def one(
        self, workspace: str, endpoint: str, event: str, act: Act, once: Once | None = None
    ) -> Redelivered:  # fmt: skip
        """Send one event now, whether it was delivered, given up, or waits for another try."""
        await self._enabled(workspace, endpoint, once)

        async def work(execute: Execute) -> Redelivered:
            await self._put_again(execute, workspace, endpoint, event, act.at)
            return await self._note(execute, workspace, Redelivered(endpoint, 1), {"event": event}, act, once)

        done = await self._acts.once(once, workspace, ACTION, Redelivered, work)
        OUTBOX.ring()
        return done

    async def since(
        self, workspace: str, endpoint: str, since: int, act: Act, once: Once | None = None
    ) -> Redelivered:  # fmt: skip
        """Send all that happened since then, that it asks for, and that it was not delivered. What waits for it
        anyway stays as it is, so that to ask twice sends nothing twice."""
        found = await self._enabled(workspace, endpoint, once)
        if once is not None and (first := await self._acts.first(once, workspace, ACTION, Redelivered)) is not None:
            return first
        count = 0 if found is None else await self._put_since(found, since, act.at)

        async def work(execute: Execute) -> Redelivered:
            return await self._note(execute, workspace, Redelivered(endpoint, count), {"since": since}, act, once)

        done = await self._acts.once(once, workspace, ACTION, Redelivered, work)
        OUTBOX.ring()
        return done

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

    async def _put_again(self, execute: Execute, workspace: str, endpoint: str, event: str, at: int) -> None:
        bucket = bucket_in(event)
        found = [] if bucket is None else await execute(self._sql["event"], (workspace, event, bucket))
        if not found:
            raise AccessError(f"there is no event {event!r}", "event_not_found")
        await look_up(execute, self._sql)
        waits = await execute(self._sql["waits"], (workspace, endpoint, event, bucket))
        for (due_at,) in waits:
            if due_at != NEVER:
                await execute(self._sql["due_now"], (at, workspace, endpoint, due_at, event, bucket))
        if not waits:
            await execute(self._sql["put"], (workspace, endpoint, bucket, at, event, found[0][0]))

    async def _put_since(self, endpoint: WebhookEndpoint, since: int, at: int) -> int:
        """How many were put. A page is a transaction."""
        place, after, count = (endpoint.workspace, endpoint.id), f"evt_{max(since, 0) // 1000:012x}", 0

        async def work(execute: Execute) -> tuple[str, int] | None:
            values = (*place, endpoint.id, endpoint.workspace, after, since, PAGE)
            rows = await execute(self._sql["events_since"], values)
            wanted = [row for row in rows if not row[4] and asks_for(endpoint.types, row[2])]
            for id, bucket, _, account, _ in wanted:
                await execute(self._sql["put"], (*place, bucket, at, id, account))
            return (rows[-1][0], len(wanted)) if rows else None

        while (page := await self._db.write(work)) is not None:
            after, count = page[0], count + page[1]
        return count

    async def _note(
        self, execute: Execute, workspace: str, done: Redelivered, asked: dict[str, Any], act: Act, once: Once | None
    ) -> Redelivered:  # fmt: skip
        detail = asked | {"events": done.events}
        await self._acts.changed(execute, workspace, act, ACTION, done.endpoint, detail, once, done)
        return done
