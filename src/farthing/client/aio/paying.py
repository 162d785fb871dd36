"""Payments: what came in from outside, what waits for a person, and what providers have sent."""

from ..calls import get, post
from ..forms import Page
from ..payment_results import EventRetried, Payment, ProviderEvent, Reconciled, WholeProviderEvent
from ..values import Day, day_text, flag_text, id_text
from .door import AsyncDoor
from .pages import AsyncPages


class AsyncPayments:
    """Payments, each credited once."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    def list(
        self, *, provider: str | None = None, account: str | None = None, state: str | None = None,
        limit: int | None = None,
    ) -> AsyncPages[Payment]:  # fmt: skip
        """All payments, newest first; those of a provider or an account, or in a state (credited, waiting) only."""
        query = {"provider": provider, "account": account, "state": state, "limit": _text(limit)}
        return AsyncPages(self._door, get(Page[Payment], "/v1/payments", query))

    def unmatched(
        self, *, provider: str | None = None, account: str | None = None, limit: int | None = None
    ) -> AsyncPages[Payment]:  # fmt: skip
        """Payments that wait for a person, newest first, each with its reason."""
        query = {"provider": provider, "account": account, "limit": _text(limit)}
        return AsyncPages(self._door, get(Page[Payment], "/v1/payments/unmatched", query))

    async def get(self, provider: str, payment: str) -> Payment:
        """One payment, by its provider and the provider's own id."""
        path = "/v1/payments/{provider}/{payment}"
        return await self._door.ask(get(Payment, path, provider=provider, payment=payment))

    async def assign(
        self, provider: str, payment: str, account: str, *, offer: str | None = None, reason: str | None = None,
        dry_run: bool | None = None, key: str | None = None,
    ) -> Payment:  # fmt: skip
        """Say whose a payment that waits is, and what for (an offer such as "assistant/pack-500"; left out: what it was
        bought as). It is credited once, whoever says so how often."""
        body = {"account": id_text(account, "account"), "offer": offer, "reason": reason, "dry_run": dry_run}
        path = "/v1/payments/{provider}/{payment}/assign"
        return await self._door.ask(post(Payment, path, body, key, provider=provider, payment=payment))

    async def reconcile(
        self, provider: str | None = None, *, since: Day | None = None, until: Day | None = None,
        timezone: str | None = None, recent: bool | None = None,
    ) -> Reconciled:  # fmt: skip
        """A provider's own books beside the ledger's, with all that differs; the last thirty days, if not said
        otherwise. `recent` has what is younger than ten minutes, and may be on its way. Nothing is repaired."""
        query = {
            "provider": provider, "from": day_text(since, "since"), "to": day_text(until, "until"),
            "timezone": timezone, "recent": flag_text(recent),
        }  # fmt: skip
        return await self._door.ask(get(Reconciled, "/v1/payments/reconcile", query))

    def events(
        self, *, provider: str | None = None, unmatched: bool | None = None, limit: int | None = None
    ) -> AsyncPages[ProviderEvent]:  # fmt: skip
        """What providers have sent, newest first; what is about nothing that is known, or was not carried out, only."""
        query = {"provider": provider, "unmatched": flag_text(unmatched), "limit": _text(limit)}
        return AsyncPages(self._door, get(Page[ProviderEvent], "/v1/provider-events", query))

    async def event(self, provider: str, id: str) -> WholeProviderEvent:
        """One message with what it says; for admins."""
        path = "/v1/provider-events/{provider}/{id}"
        return await self._door.ask(get(WholeProviderEvent, path, provider=provider, id=id))

    async def retry(
        self, provider: str, id: str, *, dry_run: bool | None = None, key: str | None = None
    ) -> EventRetried:  # fmt: skip
        """Try a message again, as if it came now: after the catalogue or the settings have been put right."""
        path = "/v1/provider-events/{provider}/{id}/retry"
        return await self._door.ask(post(EventRetried, path, {"dry_run": dry_run}, key, provider=provider, id=id))


def _text(limit: int | None) -> str | None:
    return None if limit is None else str(limit)
