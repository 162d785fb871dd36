"""Reports and settings of the workspace."""

from ..calls import get, patch
from ..pricing_results import WorkspaceSettings
from ..report_results import AccountReport, ModelReport, RevenueReport, SpendReport
from ..values import Amount, Day, amount_if, day_text
from .door import AsyncDoor


class AsyncReports:
    """Revenue and spending. From and until when may be days of the time zone (both included) or times; by default the
    last 30 days."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def revenue(
        self, *, since: Day | None = None, until: Day | None = None, timezone: str | None = None,
        step: str | None = None, account: str | None = None, service: str | None = None, operation: str | None = None,
        provider: str | None = None, model: str | None = None,
    ) -> RevenueReport:  # fmt: skip
        """Revenue over time, by `day`, `hour` or `month`."""
        query = _span(since, until, timezone) | _words(service, operation, provider, model)
        asked = query | {"step": step, "account": account}
        return await self._door.ask(get(RevenueReport, "/v1/reports/revenue", asked))

    async def models(
        self, *, since: Day | None = None, until: Day | None = None, timezone: str | None = None,
        account: str | None = None, service: str | None = None, operation: str | None = None,
        provider: str | None = None, model: str | None = None,
    ) -> ModelReport:  # fmt: skip
        """Revenue by model, most first, with requests and tokens."""
        query = _span(since, until, timezone) | _words(service, operation, provider, model)
        return await self._door.ask(get(ModelReport, "/v1/reports/models", query | {"account": account}))

    async def accounts(
        self, *, since: Day | None = None, until: Day | None = None, timezone: str | None = None,
        limit: int | None = None, service: str | None = None, operation: str | None = None,
        provider: str | None = None, model: str | None = None,
    ) -> AccountReport:  # fmt: skip
        """The accounts that have spent most: ten, or as many as `limit` says."""
        query = _span(since, until, timezone) | _words(service, operation, provider, model)
        asked = query | {"limit": None if limit is None else str(limit)}
        return await self._door.ask(get(AccountReport, "/v1/reports/accounts", asked))

    async def spend(
        self, *, by: str | None = None, step: str | None = None, since: Day | None = None, until: Day | None = None,
        timezone: str | None = None, limit: int | None = None, account: str | None = None, service: str | None = None,
        operation: str | None = None, provider: str | None = None, model: str | None = None,
    ) -> SpendReport:  # fmt: skip
        """Spending over time by service, operation, model, provider or account."""
        query = _span(since, until, timezone) | _words(service, operation, provider, model)
        asked = query | {"by": by, "step": step, "account": account, "limit": None if limit is None else str(limit)}
        return await self._door.ask(get(SpendReport, "/v1/reports/spend", asked))


class AsyncSettings:
    """Settings of the workspace."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def get(self) -> WorkspaceSettings:
        """All settings, and what the workspace counts in."""
        return await self._door.ask(get(WorkspaceSettings, "/v1/settings"))

    async def change(
        self, *, refund_lapsed: str | None = None, refund_grace_days: int | None = None,
        hold_max_minutes: int | None = None, max_live_grants: int | None = None, max_live_holds: int | None = None,
        rate_limit: int | None = None, unknown_models: str | None = None, usage_late_hours: int | None = None,
        usage_ahead_seconds: int | None = None, usage_record_charges: bool | None = None,
        session_minutes: int | None = None, users_may_charge: bool | None = None, retention_days: int | None = None,
        login: str | None = None, signup: str | None = None, login_host: str | None = None,
        balance_low: Amount | None = None, balance_critical: Amount | None = None, expiring_days: int | None = None,
        metering: str | None = None, if_match: str | None = None, dry_run: bool | None = None, key: str | None = None,
    ) -> WorkspaceSettings:  # fmt: skip
        """Change some; what is left out stays. Every process follows within a second. With `if_match` (the `etag` of
        the settings as they were read) only where they are still the same."""
        body = {
            "refund_lapsed": refund_lapsed, "refund_grace_days": refund_grace_days,
            "hold_max_minutes": hold_max_minutes, "max_live_grants": max_live_grants, "max_live_holds": max_live_holds,
            "rate_limit": rate_limit, "unknown_models": unknown_models, "usage_late_hours": usage_late_hours,
            "usage_ahead_seconds": usage_ahead_seconds, "usage_record_charges": usage_record_charges,
            "session_minutes": session_minutes, "users_may_charge": users_may_charge, "retention_days": retention_days,
            "login": login, "signup": signup, "login_host": login_host,
            "balance_low": amount_if(balance_low, "balance_low"),
            "balance_critical": amount_if(balance_critical, "balance_critical"), "expiring_days": expiring_days,
            "metering": metering, "dry_run": dry_run,
        }  # fmt: skip
        # A server that is older knows fewer settings, and refuses what it doesn't know: only what is given is sent.
        given = {name: value for name, value in body.items() if value is not None}
        return await self._door.ask(patch(WorkspaceSettings, "/v1/settings", given, key, if_match))


def _span(since: Day | None, until: Day | None, timezone: str | None) -> dict[str, str | None]:
    return {"from": day_text(since, "since"), "to": day_text(until, "until"), "timezone": timezone}


def _words(
    service: str | None, operation: str | None, provider: str | None, model: str | None
) -> dict[str, str | None]:
    return {"service": service, "operation": operation, "provider": provider, "model": model}
