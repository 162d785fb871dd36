"""Automatic top-ups: the noun of what is bought for accounts without anybody having to think of it."""

from ..calls import ask, delete, get, post, put
from ..forms import Page
from ..top_up_results import (
    AutoTopUp,
    AutoTopUpChanged,
    AutoTopUpChecked,
    AutoTopUpResumed,
    PausedTopUp,
    TopUpAttempt,
)
from ..values import Amount, amount_if, amount_text
from .door import AsyncDoor
from .pages import AsyncPages

_OF_ACCOUNT = "/v1/accounts/{account}/auto-top-up"


class AsyncAutoTopUps:
    """What keeps accounts from running dry. Credits come when the provider tells of a payment, as with any other."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def get(self, account: str) -> AutoTopUp:
        """What is set for an account, how it stands, and what is under way."""
        return await self._door.ask(get(AutoTopUp, _OF_ACCOUNT, account=account))

    async def put(
        self, account: str, provider: str, threshold: Amount, *, offer: str | None = None,
        amount: Amount | None = None, cap_day: Amount | None = None, cap_month: Amount | None = None,
        enabled: bool | None = None, order: str | None = None, cool_down_minutes: int | None = None,
        description: str | None = None, dry_run: bool | None = None, key: str | None = None,
    ) -> AutoTopUpChanged:  # fmt: skip
        """Have an account topped up when a charge leaves its balance below the threshold: by as many of an offer,
        `product/top-up`, as reach it, in one payment; or at Stripe by an `amount` of credits, one for one. It is set as
        a whole. Caps are credits in a day and in a month."""
        body = {
            "provider": provider, "threshold": amount_text(threshold, "threshold"), "offer": offer,
            "amount": amount_if(amount, "amount"), "cap_day": amount_if(cap_day, "cap_day"),
            "cap_month": amount_if(cap_month, "cap_month"), "enabled": enabled, "order": order,
            "cool_down_minutes": cool_down_minutes, "description": description, "dry_run": dry_run,
        }  # fmt: skip
        return await self._door.ask(put(AutoTopUpChanged, _OF_ACCOUNT, body, key, account=account))

    async def remove(
        self, account: str, *, description: str | None = None, dry_run: bool | None = None, key: str | None = None
    ) -> AutoTopUpChanged:  # fmt: skip
        """Buy nothing by itself any more. What was asked for before may still be paid, and is then credited."""
        body = {"description": description, "dry_run": dry_run}
        return await self._door.ask(delete(AutoTopUpChanged, _OF_ACCOUNT, body, key, account=account))

    def attempts(self, account: str) -> AsyncPages[TopUpAttempt]:
        """What was tried, newest first."""
        return AsyncPages(self._door, get(Page[TopUpAttempt], _OF_ACCOUNT + "/attempts", account=account))

    def paused(self) -> AsyncPages[PausedTopUp]:
        """Those of all accounts that wait for somebody, by account."""
        return AsyncPages(self._door, get(Page[PausedTopUp], "/v1/auto-top-ups/paused"))

    async def resume(self, account: str, *, dry_run: bool | None = None, key: str | None = None) -> AutoTopUpResumed:
        """Go on after a pause, as if nothing had failed."""
        body = {"dry_run": dry_run}
        return await self._door.ask(post(AutoTopUpResumed, _OF_ACCOUNT + "/resume", body, key, account=account))

    async def check(self, account: str) -> AutoTopUpChecked:
        """Look at an account now, as a server's job does within seconds by itself: `asked` says whether the provider
        was asked for money. Asking twice buys once."""
        return await self._door.ask(ask(AutoTopUpChecked, _OF_ACCOUNT + "/check", {}, writes=True, account=account))
