"""The noun of webhooks: where events are sent, and what became of them there."""

from collections.abc import Iterable

from ..calls import delete, get, patch, post
from ..forms import Page
from ..values import Instant, instant_text
from ..webhook_results import Delivery, MadeWebhook, Redelivered, Webhook, WebhookTest
from .door import AsyncDoor
from .pages import AsyncPages


class AsyncWebhooks:
    """Where the workspace has its events sent: messages of Standard Webhooks. Secrets come back when they are made, and
    never again."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    def list(self) -> AsyncPages[Webhook]:
        """All webhooks, oldest first."""
        return AsyncPages(self._door, get(Page[Webhook], "/v1/webhooks"))

    async def get(self, id: str) -> Webhook:
        """One webhook, with what waits for it."""
        return await self._door.ask(get(Webhook, "/v1/webhooks/{id}", id=id))

    async def create(
        self, url: str, types: Iterable[str], *, description: str | None = None, ordered: bool | None = None,
        secret: str | None = None, dry_run: bool | None = None, key: str | None = None,
    ) -> MadeWebhook:  # fmt: skip
        """Have events sent to an address: exact types, all of a noun (`charge.*`), or all (`*`). With `ordered` those
        of an account come one after the other. The secret is made where none is given, and shown in the result."""
        body = {
            "url": url, "types": list(types), "description": description, "ordered": ordered, "secret": secret,
            "dry_run": dry_run,
        }  # fmt: skip
        return await self._door.ask(post(MadeWebhook, "/v1/webhooks", body, key))

    async def update(
        self, id: str, *, url: str | None = None, types: Iterable[str] | None = None, description: str | None = None,
        ordered: bool | None = None, enabled: bool | None = None, dry_run: bool | None = None, key: str | None = None,
    ) -> Webhook:  # fmt: skip
        """Change what is given (an empty description is none); `enabled` says whether anything is sent there."""
        given = {
            "url": url, "types": None if types is None else list(types), "description": description,
            "ordered": ordered, "enabled": enabled, "dry_run": dry_run,
        }  # fmt: skip
        body = {name: value for name, value in given.items() if value is not None}
        return await self._door.ask(patch(Webhook, "/v1/webhooks/{id}", body, key, None, id=id))

    async def delete(self, id: str, *, dry_run: bool | None = None, key: str | None = None) -> Webhook:
        """Send nothing there any more, not even what waits."""
        return await self._door.ask(delete(Webhook, "/v1/webhooks/{id}", {"dry_run": dry_run}, key, id=id))

    async def rotate(
        self, id: str, *, secret: str | None = None, overlap_seconds: int | None = None, dry_run: bool | None = None,
        key: str | None = None,
    ) -> MadeWebhook:  # fmt: skip
        """Give it a new secret; the old one signs as well for a day, or as long as you say."""
        body = {"secret": secret, "overlap_seconds": overlap_seconds, "dry_run": dry_run}
        return await self._door.ask(post(MadeWebhook, "/v1/webhooks/{id}/rotate-secret", body, key, id=id))

    async def test(self, id: str, *, dry_run: bool | None = None, key: str | None = None) -> WebhookTest:
        """Send it an event of a test."""
        return await self._door.ask(post(WebhookTest, "/v1/webhooks/{id}/test", {"dry_run": dry_run}, key, id=id))

    def deliveries(
        self, id: str, *, outcome: str | None = None, limit: int | None = None
    ) -> AsyncPages[Delivery]:  # fmt: skip
        """Tries to reach it, newest first; those that were `delivered`, `failed` or `given_up`."""
        query = {"outcome": outcome, "limit": None if limit is None else str(limit)}
        return AsyncPages(self._door, get(Page[Delivery], "/v1/webhooks/{id}/deliveries", query, id=id))

    async def redeliver(
        self, id: str, event: str | None = None, *, since: Instant | None = None, dry_run: bool | None = None,
        key: str | None = None,
    ) -> Redelivered:  # fmt: skip
        """Send it one event again, or all since a time that it was not delivered."""
        body = {"event": event, "since": instant_text(since, "since"), "dry_run": dry_run}
        return await self._door.ask(post(Redelivered, "/v1/webhooks/{id}/redeliver", body, key, id=id))
