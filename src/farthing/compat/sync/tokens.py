"""The token service's calls, on a client.

Made from `aio/tokens.py` by `python -m tests.client.twin`: change that, not this.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from farthing.client import Client
from farthing.client.errors import AccountNotFound, Conflict, NotPriced, SubscriptionNotFound
from farthing.client.plan_results import Subscription

from ..token_results import (
    CHARGED,
    DAILY,
    LARGEST_PAGE,
    LARGEST_RUN,
    NO_COST,
    NO_SUBSCRIPTION,
    NOT_OF_USER,
    PAGE,
    REFUND,
    REFUSALS,
    RESET,
    USER_NOT_FOUND,
    BatchRenewal,
    CanAfford,
    Eligibility,
    TokenBalance,
    TokenEntry,
    TokenResult,
    TokenStatistics,
    UserRenewal,
    added_up,
    cost_of,
    count_of,
    eligibility_of,
    entry_of,
    last_moment,
    not_charged,
    operation,
    refusal_text,
    renewal_of,
    whole,
    with_part,
)


class Tokens:
    """The token service. What operations cost stands in the workspace's rate card."""

    def __init__(self, client: Client) -> None:
        self._client = client

    # Balances

    def get_balance(self, user_id: str) -> TokenBalance | None:
        """What a user has; None where there is no such user."""
        try:
            balance = self._client.balance(user_id)
        except AccountNotFound:
            return None
        s = self._subscription(user_id)
        return TokenBalance(
            user_id=user_id, tokens_balance=whole(balance.balance), tokens_spent=self._spent(user_id),
            tier=s.plan if s else None, last_renewal_at=(s.renewed_at or s.period_at) if s else None,
        )  # fmt: skip

    def can_afford(self, user_id: str, operation_type: str) -> CanAfford:
        """Whether a user can pay for an operation. One that the rate card does not know raises `NotPriced`."""
        found = self._client.can_afford(user_id, usage={}, operation=operation_type)
        return CanAfford(
            can_afford=found.affordable, balance=whole(found.available), cost=cost_of(found.cost),
            deficit=None if found.affordable else cost_of(found.deficit),
        )  # fmt: skip

    # Changes

    def debit(
        self, user_id: str, amount: int, *, operation_type: str, allow_overdraft: bool = False,
        metadata: Mapping[str, Any] | None = None, key: str | None = None,
    ) -> TokenResult:  # fmt: skip
        """Take tokens; with `allow_overdraft` also those that are not there."""
        if count_of(amount) <= 0:
            return self._failed(user_id, "Debit amount must be positive")
        try:
            done = self._client.charge(
                user_id, amount, operation=operation_type, shortfall="debt" if allow_overdraft else None,
                metadata=metadata, key=key,
            )  # fmt: skip
        except REFUSALS as error:
            return self._failed(user_id, refusal_text(error))
        return self._done(user_id, done)

    def credit(
        self, user_id: str, amount: int, *, operation_type: str, metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> TokenResult:  # fmt: skip
        """Give tokens to a user that there is; `farthing.Client.grant` makes one."""
        if count_of(amount) <= 0:
            return self._failed(user_id, "Credit amount must be positive")
        said = operation(metadata, operation_type)
        try:
            done = self._client.grant(user_id, amount, must_exist=True, key=key, **said)
        except REFUSALS as error:
            return self._failed(user_id, refusal_text(error))
        return self._done(user_id, done)

    def charge_for_operation(
        self, user_id: str, operation_type: str, *, metadata: Mapping[str, Any] | None = None, key: str | None = None
    ) -> TokenResult:
        """Take what the rate card asks for an operation; one that costs nothing can't be charged."""
        try:
            if self._is_free(operation_type):
                return self._failed(user_id, NO_COST)
            done = self._client.charge(user_id, usage={}, operation=operation_type, metadata=metadata, key=key)
        except REFUSALS as error:
            return self._failed(user_id, refusal_text(error))
        return self._done(user_id, done)

    def refund(
        self, user_id: str, amount: int, *, charge: str | None = None, metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> TokenResult:  # fmt: skip
        """Give tokens back, of a charge (the `ledger_entry_id` of its debit) or of the latest; never more than they
        took."""
        if count_of(amount) <= 0:
            return self._failed(user_id, "Credit amount must be positive")
        said = operation(metadata, REFUND)
        try:
            if charge is None:
                done = self._client.refund_latest(user_id, amount, key=key, **said)
            elif (self._client.charges.get(charge)).account != user_id:
                return self._failed(user_id, NOT_OF_USER)
            else:
                done = self._client.refund(charge, amount, key=key, **said)
        except REFUSALS as error:
            return self._failed(user_id, refusal_text(error))
        return self._done(user_id, done)

    def reset_balance(
        self, user_id: str, amount: int, *, operation_type: str = RESET, metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> TokenResult:  # fmt: skip
        """Set what a user has; the entry has the difference."""
        if count_of(amount) < 0:
            return self._failed(user_id, "Balance must not be negative")
        try:
            done = self._client.set_balance(user_id, amount, key=key, **operation(metadata, operation_type))
        except REFUSALS as error:
            return self._failed(user_id, refusal_text(error))
        return self._done(user_id, done)

    # Renewals

    def eligible(self, user_id: str) -> Eligibility:
        """Whether a user may be renewed now, and why not."""
        s = self._subscription(user_id)
        if s is not None:
            return eligibility_of(user_id, s)
        return Eligibility(user_id=user_id, eligible=False, reason=self._without_plan(user_id))

    def renew_user(self, user_id: str, *, key: str | None = None) -> UserRenewal:
        """Give a user what his tier gives, if it is time: once for each period, whoever asks."""
        try:
            return renewal_of(self._client.subscriptions.renew(user_id, key=key))
        except (AccountNotFound, SubscriptionNotFound):
            error = self._without_plan(user_id)
        except Conflict as refused:
            error = refusal_text(refused)
        found = self.get_balance(user_id)
        balance = found.tokens_balance if found else 0
        return UserRenewal(
            user_id=user_id, success=False, tier=found.tier if found else None, new_balance=balance,
            previous_balance=balance, error=error,
        )  # fmt: skip

    def renew_all_eligible(
        self, *, tier: str | None = None, limit: int | None = None, dry_run: bool = False,
        continue_on_error: bool = False,
    ) -> BatchRenewal:  # fmt: skip
        """Renew users who are due, the oldest due first; a dry run tells of the first thousand. A server renews by
        itself, so that nobody has to."""
        total, first = BatchRenewal(), True
        while limit is None or total.total_processed < limit:
            room = LARGEST_RUN if limit is None else min(LARGEST_RUN, limit - total.total_processed)
            part = self._client.subscriptions.renew_due(
                plan=tier, limit=room, dry_run=dry_run, continue_on_error=continue_on_error, retry_failed=first
            )  # fmt: skip
            total, first = with_part(total, part), False
            if dry_run or not part.more or not part.processed or (part.failed and not continue_on_error):
                break
        return total

    def users_due(self, tier: str | None = None) -> list[str]:
        """Users who may be renewed now, the oldest due first."""
        due = self._client.subscriptions.list(due=True, plan=tier, limit=LARGEST_PAGE)
        return [s.account for s in due]

    def cron_expression(self) -> str:
        """When the old service renewed: daily, 02:00 UTC. A server of ours does within a minute of each one's time."""
        return DAILY

    # The ledger

    def user_entries(
        self, user_id: str, *, operation_type: str | None = None, limit: int = PAGE, offset: int = 0,
        start_date: datetime | None = None, end_date: datetime | None = None,
    ) -> list[TokenEntry]:  # fmt: skip
        """A user's entries, newest first; both ends of a range are included. Nobody has none."""
        found: list[TokenEntry] = []
        if limit <= 0:
            return found
        for entry in self._entries(user_id, operation_type, start_date, end_date):
            if offset > 0:
                offset -= 1
                continue
            found.append(entry)
            if len(found) >= limit:
                break
        return found

    def entries_by_type(
        self, operation_type: str, *, limit: int = PAGE, offset: int = 0, start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> list[TokenEntry]:  # fmt: skip
        """All users' entries of a type, newest first. It asks for the history of one user after the other: for what was
        spent, `usage` and `reports` of the client are the better way."""
        found: list[TokenEntry] = []
        for account in self._client.accounts.list(limit=LARGEST_PAGE):
            found += self.user_entries(
                account.id, operation_type=operation_type, limit=limit + offset, start_date=start_date,
                end_date=end_date,
            )  # fmt: skip
            found = sorted(found, key=_by_time, reverse=True)[: limit + offset]
        return found[offset:]

    def total_spent(self, user_id: str, *, start_date: datetime | None = None, end_date: datetime | None = None) -> int:
        """What was taken from a user; refunds are not taken off."""
        return (self.statistics(user_id, start_date=start_date, end_date=end_date)).total_spent

    def total_earned(
        self, user_id: str, *, start_date: datetime | None = None, end_date: datetime | None = None
    ) -> int:
        """What was given to a user, refunds included."""
        return (self.statistics(user_id, start_date=start_date, end_date=end_date)).total_earned

    def statistics(
        self, user_id: str, *, start_date: datetime | None = None, end_date: datetime | None = None
    ) -> TokenStatistics:
        """All entries of a user, summed up; both ends of a range are included."""
        sums = TokenStatistics()
        for entry in self._entries(user_id, None, start_date, end_date):
            sums = added_up(sums, entry)
        return sums

    # Their parts

    def _subscription(self, user_id: str) -> Subscription | None:
        try:
            return self._client.subscriptions.get(user_id)
        except (AccountNotFound, SubscriptionNotFound):
            return None

    def _without_plan(self, user_id: str) -> str:
        try:
            self._client.balance(user_id)
        except AccountNotFound:
            return USER_NOT_FOUND
        return NO_SUBSCRIPTION

    def _entries(
        self, user_id: str, operation_type: str | None, start: datetime | None, end: datetime | None
    ) -> Iterator[TokenEntry]:
        """Entries that changed the balance."""
        found = self._client.entries(user_id, since=start, until=last_moment(end), limit=LARGEST_PAGE)
        try:
            for each in found:
                entry = entry_of(each)
                if each.amount and operation_type in (None, entry.operation_type):
                    yield entry
        except AccountNotFound:
            return

    def _is_free(self, operation_type: str) -> bool:
        try:
            return not (self._client.quote({}, operation=operation_type)).amount
        except NotPriced:
            # The charge says so itself, unless it was made while there was a price.
            return False

    def _spent(self, user_id: str) -> int:
        return whole((self._client.usage_stats(user_id)).charged)

    def _done(self, user_id: str, done: Any) -> TokenResult:
        if getattr(done, "status", CHARGED) != CHARGED:
            return not_charged(done.status)
        return TokenResult(
            success=True, new_balance=whole(done.after.balance), tokens_spent=self._spent(user_id),
            ledger_entry_id=done.entry,
        )  # fmt: skip

    def _failed(self, user_id: str, error: str) -> TokenResult:
        """Nothing was done: the balance is what it was. Nobody has 0."""
        found = self.get_balance(user_id)
        if found is None:
            return TokenResult(success=False, new_balance=0, error=error)
        return TokenResult(
            success=False, new_balance=found.tokens_balance, tokens_spent=found.tokens_spent, error=error
        )  # fmt: skip


def _by_time(entry: TokenEntry) -> tuple[datetime, str]:
    return entry.created_at, entry.id
