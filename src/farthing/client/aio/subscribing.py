"""Nouns of subscriptions: plans, who has one, and what is due."""

from collections.abc import Mapping
from typing import Any

from ..bodies import said
from ..calls import ask, delete, get, post, put
from ..forms import Page
from ..plan_results import Plan, RenewalsDone, Subscription, SubscriptionChanged
from ..values import Amount, Instant, amount_if, amount_text, flag_text, instant_text
from .door import AsyncDoor
from .pages import AsyncPages

_OF_ACCOUNT = "/v1/accounts/{account}/subscription"


class AsyncPlans:
    """What subscriptions give, and when."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    def list(self, *, archived: bool | None = None) -> AsyncPages[Plan]:
        """All plans, by rank; with those that are archived."""
        return AsyncPages(self._door, get(Page[Plan], "/v1/plans", {"archived": flag_text(archived)}))

    async def get(self, id: str) -> Plan:
        """One plan."""
        return await self._door.ask(get(Plan, "/v1/plans/{id}", id=id))

    async def put(
        self, id: str, allowance: Amount, *, every: int, unit: str | None = None, name: str | None = None,
        anchor_day: int | None = None, timezone: str | None = None, rollover: str | None = None,
        cap: Amount | None = None, catch_up: str | None = None, change: str | None = None,
        first_period: str | None = None, category: str | None = None, priority: int | None = None,
        rank: int | None = None, paid: bool | None = None, grace_days: int | None = None, price: str | None = None,
        currency: str | None = None, dry_run: bool | None = None, key: str | None = None,
    ) -> Plan:  # fmt: skip
        """Make a plan, or change it as a whole: what each period gives, and that it is so many days (or months, with
        `unit`). Who has it gets what it says from the next renewal on."""
        body = {
            "allowance": amount_text(allowance, "allowance"), "every": every, "unit": unit, "name": name,
            "anchor_day": anchor_day, "timezone": timezone, "rollover": rollover, "cap": amount_if(cap, "cap"),
            "catch_up": catch_up, "change": change, "first_period": first_period, "category": category,
            "priority": priority, "rank": rank, "paid": paid, "grace_days": grace_days, "price": price,
            "currency": currency, "dry_run": dry_run,
        }  # fmt: skip
        return await self._door.ask(put(Plan, "/v1/plans/{id}", body, key, id=id))

    async def archive(self, id: str, *, dry_run: bool | None = None, key: str | None = None) -> Plan:
        """Take a plan off sale; who has it goes on."""
        return await self._door.ask(post(Plan, "/v1/plans/{id}/archive", {"dry_run": dry_run}, key, id=id))


class AsyncSubscriptions:
    """Who has which plan; each account one at most."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def get(self, account: str) -> Subscription:
        """An account's subscription, and whether it may be renewed now."""
        return await self._door.ask(get(Subscription, _OF_ACCOUNT, account=account))

    def list(
        self, *, due: bool | None = None, plan: str | None = None, ended: bool | None = None, limit: int | None = None
    ) -> AsyncPages[Subscription]:  # fmt: skip
        """All of the workspace by account; or those that are `due`, the oldest first."""
        query = {
            "due": flag_text(due), "plan": plan, "ended": flag_text(ended),
            "limit": None if limit is None else str(limit),
        }  # fmt: skip
        return AsyncPages(self._door, get(Page[Subscription], "/v1/subscriptions", query))

    async def subscribe(
        self, account: str, plan: str, *, expires_at: Instant | None = None, billed_by: str | None = None,
        next_at: Instant | None = None, payment: tuple[str, str] | None = None, description: str | None = None,
        metadata: Mapping[str, Any] | None = None, dry_run: bool | None = None, key: str | None = None,
    ) -> SubscriptionChanged:  # fmt: skip
        """Buy a plan for an account, or bring it to another: grant, plan and dates in one entry. With a `payment`
        (provider and its own id) it is done once for that payment, whatever the key."""
        body = {
            "plan": plan, "expires_at": instant_text(expires_at, "expires_at"), "billed_by": billed_by,
            "next_at": instant_text(next_at, "next_at"), "payment": _payment(payment),
            **said(description, metadata, dry_run=dry_run),
        }  # fmt: skip
        return await self._door.ask(put(SubscriptionChanged, _OF_ACCOUNT, body, key, account=account))

    async def renew(
        self, account: str, *, expires_at: Instant | None = None, payment: tuple[str, str] | None = None,
        description: str | None = None, metadata: Mapping[str, Any] | None = None, dry_run: bool | None = None,
        key: str | None = None,
    ) -> SubscriptionChanged:  # fmt: skip
        """Give the period that is due: once, whoever asks. One that a payment has paid may be early."""
        body = {
            "expires_at": instant_text(expires_at, "expires_at"), "payment": _payment(payment),
            **said(description, metadata, dry_run=dry_run),
        }  # fmt: skip
        return await self._door.ask(post(SubscriptionChanged, _OF_ACCOUNT + "/renew", body, key, account=account))

    async def unsubscribe(
        self, account: str, *, at_once: bool | None = None, description: str | None = None,
        dry_run: bool | None = None, key: str | None = None,
    ) -> SubscriptionChanged:  # fmt: skip
        """End it with the time that is paid, or at once. Credits that it gave stay."""
        body = {"at_once": at_once, **said(description, dry_run=dry_run)}
        return await self._door.ask(delete(SubscriptionChanged, _OF_ACCOUNT, body, key, account=account))

    async def resume(
        self, account: str, *, description: str | None = None, dry_run: bool | None = None, key: str | None = None
    ) -> SubscriptionChanged:
        """Take a cancellation back, while the time that is paid runs."""
        body = said(description, dry_run=dry_run)
        return await self._door.ask(post(SubscriptionChanged, _OF_ACCOUNT + "/resume", body, key, account=account))

    async def change(
        self, account: str, plan: str, *, description: str | None = None, dry_run: bool | None = None,
        key: str | None = None,
    ) -> SubscriptionChanged:  # fmt: skip
        """Bring it to another plan with its next renewal, `pending_plan` until then; its own plan takes that back."""
        body = {"plan": plan, **said(description, dry_run=dry_run)}
        return await self._door.ask(post(SubscriptionChanged, _OF_ACCOUNT + "/change", body, key, account=account))

    async def renew_due(
        self, *, plan: str | None = None, limit: int | None = None, continue_on_error: bool | None = None,
        retry_failed: bool | None = None, dry_run: bool | None = None,
    ) -> RenewalsDone:  # fmt: skip
        """Renew what is due, the oldest first: up to 100 accounts, or as many as `limit` says, up to 1,000; `more` says
        whether others are left. A server does this by itself."""
        body = {
            "plan": plan, "limit": limit, "continue_on_error": continue_on_error, "retry_failed": retry_failed,
            "dry_run": dry_run,
        }  # fmt: skip
        return await self._door.ask(ask(RenewalsDone, "/v1/renewals", body, writes=True))


def _payment(payment: tuple[str, str] | None) -> dict[str, str] | None:
    return None if payment is None else {"provider": payment[0], "id": payment[1]}
