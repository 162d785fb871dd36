"""The client: the verbs that everybody needs, and the nouns behind them."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any

from ..admin_results import AuditRecord
from ..bodies import ChargeItem, Usage, item_body, priced_body, prompt_body, said, usage_body
from ..bulk import batch_of, not_charged, not_granted, numbered, slices, status_of
from ..calls import ask, get, post
from ..errors import ApiError
from ..forms import Page
from ..guests import FREE
from ..pricing_results import Affordable, BulkDone, BulkResult, Estimate, Quote, Resolved
from ..report_results import UsageRow, UsageStats
from ..results import Adjustment, Balance, Charge, Entry, Grant, Granted, Refund
from ..values import Amount, Day, Instant, amount_if, amount_text, day_text, flag_text, id_text, instant_text
from .administration import AsyncIssuers, AsyncKeys, AsyncUsers, AsyncWorkspaces
from .door import AsyncDoor
from .exporting import PAGE, Format, exported
from .holding import AsyncHolding, OnError
from .jobs import AsyncEvents, AsyncJobs
from .nouns import AsyncAccounts, AsyncCharges, AsyncGrants, AsyncHolds, hold_call
from .pages import AsyncPages
from .paying import AsyncPayments
from .pricing import AsyncPrices, AsyncRateCards
from .queue import AsyncQueue
from .reports import AsyncReports, AsyncSettings
from .selling import AsyncProducts, AsyncProviders, AsyncPurchases
from .subscribing import AsyncPlans, AsyncSubscriptions
from .topping_up import AsyncAutoTopUps
from .webhooks import AsyncWebhooks


class AsyncClient:
    """A ledger, in this process or behind a server: made by `farthing.aconnect`.

    Every write has an idempotency key of its own, kept over all tries; `key` gives another. An amount is a Decimal, an
    int or decimal text, and never a float.
    """

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door
        self.accounts = AsyncAccounts(door)
        self.grants = AsyncGrants(door)
        self.charges = AsyncCharges(door)
        self.holds = AsyncHolds(door)
        self.rate_cards = AsyncRateCards(door)
        self.prices = AsyncPrices(door)
        self.reports = AsyncReports(door)
        self.settings = AsyncSettings(door)
        self.plans = AsyncPlans(door)
        self.subscriptions = AsyncSubscriptions(door)
        self.products = AsyncProducts(door)
        self.providers = AsyncProviders(door)
        self.purchases = AsyncPurchases(door)
        self.auto_top_ups = AsyncAutoTopUps(door)
        self.jobs = AsyncJobs(door)
        self.events = AsyncEvents(door)
        self.webhooks = AsyncWebhooks(door)
        self.payments = AsyncPayments(door)
        self.keys = AsyncKeys(door)
        self.issuers = AsyncIssuers(door)
        self.users = AsyncUsers(door)
        self.workspaces = AsyncWorkspaces(door)
        self.journal = AsyncQueue(door)

    async def aclose(self) -> None:
        """Finish what was asked, and let go of connections and files. What is asked from now on is refused."""
        await self._door.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:  # fmt: skip
        await self.aclose()

    # What one has

    async def balance(
        self, account: str, *, operation: str | None = None, service: str | None = None, model: str | None = None,
        product: str | None = None, at: Instant | None = None,
    ) -> Balance:  # fmt: skip
        """What an account can spend; with `at`, what it could at that instant, and of which grants. Grants with a scope
        count where operation, service, model or product match."""
        query = {
            "operation": operation, "service": service, "model": model, "product": product,
            "at": instant_text(at, "at"),
        }  # fmt: skip
        return await self._door.ask(get(Balance, "/v1/accounts/{account}/balance", query, account=account))

    async def can_afford(
        self, account: str, amount: Amount | None = None, *, usage: Usage | Mapping[str, Any] | None = None,
        provider: str | None = None, model: str | None = None, input_tokens: int | None = None,
        output_tokens: int | None = None, operation: str | None = None, service: str | None = None,
        product: str | None = None,
    ) -> Affordable:  # fmt: skip
        """Whether an account can pay for an amount, or for a usage; the answer is true or false by itself. It is
        decided as a charge would be, spend limits and a freeze included. An account that there is not has nothing."""
        priced = priced_body(
            amount, usage, provider, model, input_tokens, output_tokens, operation, service, product
        )  # fmt: skip
        if amount is not None and Decimal(priced["amount"]) < 0:
            raise ValueError("amount must not be negative")
        who = id_text(account, "account")
        if who in self._door.guests.accounts:
            return FREE
        quote = await self._door.ask(ask(Quote, "/v1/quotes", {"account": who, **priced}))
        return Affordable(
            affordable=bool(quote.affordable), cost=quote.amount, available=quote.available or Decimal(0),
            deficit=quote.deficit or Decimal(0), refusal=quote.refusal,
        )  # fmt: skip

    def entries(
        self, account: str, *, kinds: str | Iterable[str] | None = None, since: Instant | None = None,
        until: Instant | None = None, order: str | None = None, limit: int | None = None,
    ) -> AsyncPages[Entry]:  # fmt: skip
        """An account's history, newest first, or with `order="oldest"`; all kinds, or some. `limit` is that of a
        page."""
        query = {
            "kind": kinds if kinds is None or isinstance(kinds, str) else ",".join(kinds), "order": order,
            "from": instant_text(since, "since"), "to": instant_text(until, "until"),
            "limit": None if limit is None else str(limit),
        }  # fmt: skip
        return AsyncPages(self._door, get(Page[Entry], "/v1/accounts/{account}/entries", query, account=account))

    async def entry(self, id: str) -> Entry:
        """One line of the ledger."""
        return await self._door.ask(get(Entry, "/v1/entries/{id}", id=id))

    # Giving

    async def grant(
        self, account: str, amount: Amount, *, category: str | None = None, priority: int | None = None,
        expires_at: Instant | None = None, scope: Iterable[str] | None = None, source: Mapping[str, str] | None = None,
        must_exist: bool | None = None, description: str | None = None, metadata: Mapping[str, Any] | None = None,
        final: bool | None = None, dry_run: bool | None = None, key: str | None = None,
    ) -> Grant:  # fmt: skip
        """Give credits. The account is made where there is none, unless it `must_exist`."""
        body = {
            "account": account, "amount": amount_text(amount), "category": category, "priority": priority,
            "expires_at": instant_text(expires_at, "expires_at"), "scope": None if scope is None else list(scope),
            "source": source, "must_exist": must_exist, **said(description, metadata, final, dry_run),
        }  # fmt: skip
        return await self._door.ask(post(Grant, "/v1/grants", body, key))

    async def grant_many(
        self, accounts: Iterable[str] | Mapping[str, Amount], amount: Amount | None = None, *, batch: str,
        category: str | None = None, priority: int | None = None, expires_at: Instant | None = None,
        scope: Iterable[str] | None = None, source: Mapping[str, str] | None = None, must_exist: bool | None = None,
        description: str | None = None, metadata: Mapping[str, Any] | None = None, dry_run: bool | None = None,
        progress: Callable[[Granted, int, int], object] | None = None,
    ) -> list[Granted]:  # fmt: skip
        """Give many accounts an amount, or each its own. It goes on after an error, which stands in the result of its
        account. `batch` names it: run again after whatever happened, with the same batch, it gives nobody twice. After
        each, `progress` is told the result, how many are done and of how many; what it raises ends it."""
        results: list[Granted] = []
        given = batch_of(accounts, amount, batch)
        scope = None if scope is None else list(scope)
        for account, each, key in given:
            try:
                grant = await self.grant(
                    account, each, category=category, priority=priority, expires_at=expires_at, scope=scope,
                    source=source, must_exist=must_exist, description=description, metadata=metadata, dry_run=dry_run,
                    key=key,
                )  # fmt: skip
                results.append(Granted(account=account, status="granted", grant=grant))
            except ApiError as error:
                results.append(not_granted(account, error))
            if progress is not None:
                progress(results[-1], len(results), len(given))
        return results

    # Taking

    async def charge(
        self, account: str, amount: Amount | None = None, *, usage: Usage | Mapping[str, Any] | None = None,
        provider: str | None = None, model: str | None = None, input_tokens: int | None = None,
        output_tokens: int | None = None, operation: str | None = None, service: str | None = None,
        product: str | None = None, shortfall: str | None = None, description: str | None = None,
        metadata: Mapping[str, Any] | None = None, final: bool | None = None, dry_run: bool | None = None,
        key: str | None = None,
    ) -> Charge:  # fmt: skip
        """Take credits: an amount, or the price of what was used (`usage`, or `model` with its tokens). With both the
        amount is what the usage costs. `shortfall` says what to do when there is not enough: refuse, take or debt."""
        priced = priced_body(
            amount, usage, provider, model, input_tokens, output_tokens, operation, service, product
        )  # fmt: skip
        body = {
            "account": account, "shortfall": shortfall, **priced, **said(description, metadata, final, dry_run)
        }  # fmt: skip
        return await self._door.ask(post(Charge, "/v1/charges", body, key))

    async def charge_many(self, items: Iterable[ChargeItem], *, dry_run: bool | None = None) -> list[BulkResult]:
        """Make many charges, each given by the arguments of `charge`. Not atomic: each has its own key and its own
        result, in the order of the items. Those that failed or whose outcome is unknown are sent again under their
        keys, as a single charge would be; why one was not made at last stands in its `error`. They are sent a thousand
        at a time. Where none was made for a reason that all share, such as a server that is not there, that is
        raised."""
        results: list[BulkResult] = []
        for bodies in slices([item_body(item) for item in items]):
            call = ask(BulkDone, "/v1/charges/bulk", {"items": bodies, "dry_run": dry_run}, writes=True)
            try:
                done = await self._door.ask(call)
            except ApiError as error:
                if not results and status_of(error) != "unknown":
                    raise
                done = not_charged(bodies, error)
            results += numbered(done.results, bodies, len(results))
        return results

    def hold(
        self, account: str, amount: Amount | None = None, *, usage: Usage | Mapping[str, Any] | None = None,
        provider: str | None = None, model: str | None = None, input_tokens: int | None = None,
        output_tokens: int | None = None, operation: str | None = None, service: str | None = None,
        product: str | None = None, expires_in: timedelta | int | None = None, on_expiry: str | None = None,
        on_error: OnError = "release", description: str | None = None, metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> AsyncHolding:  # fmt: skip
        """Set credits aside for the length of a block, at whose end they are settled or released:

        async with client.hold("alice", 20) as held:
            held.used(await work())

        """
        priced = priced_body(
            amount, usage, provider, model, input_tokens, output_tokens, operation, service, product
        )  # fmt: skip
        call = hold_call(account, priced, expires_in, on_expiry, said(description, metadata), key)
        return AsyncHolding(self._door, call, on_error)

    # Giving back, and correcting

    async def refund(
        self, charge: str, amount: Amount | None = None, *, description: str | None = None,
        metadata: Mapping[str, Any] | None = None, final: bool | None = None, dry_run: bool | None = None,
        key: str | None = None,
    ) -> Refund:  # fmt: skip
        """Give a charge back, into the grants that paid it: an amount, or all that is left of it. For a settled hold
        that is the `charge` of its settle."""
        body = {"amount": amount_if(amount), **said(description, metadata, final, dry_run)}
        return await self._door.ask(post(Refund, "/v1/charges/{id}/refund", body, key, id=charge))

    async def refund_latest(
        self, account: str, amount: Amount, *, description: str | None = None,
        metadata: Mapping[str, Any] | None = None, final: bool | None = None, dry_run: bool | None = None,
        key: str | None = None,
    ) -> Refund:  # fmt: skip
        """Give back of an account's latest charges, newest first; never more than they took."""
        body = {"account": account, "amount": amount_text(amount), **said(description, metadata, final, dry_run)}
        return await self._door.ask(post(Refund, "/v1/refunds", body, key))

    async def adjust(
        self, account: str, amount: Amount, *, category: str | None = None, expires_at: Instant | None = None,
        force: bool | None = None, description: str | None = None, metadata: Mapping[str, Any] | None = None,
        final: bool | None = None, dry_run: bool | None = None, key: str | None = None,
    ) -> Adjustment:  # fmt: skip
        """Correct a balance by a difference, which may be below zero; with `force` also what is not there is taken."""
        body = {
            "amount": amount_text(amount), "category": category, "expires_at": instant_text(expires_at, "expires_at"),
            "force": force, **said(description, metadata, final, dry_run),
        }  # fmt: skip
        return await self._door.ask(post(Adjustment, "/v1/accounts/{account}/adjust", body, key, account=account))

    async def set_balance(
        self, account: str, amount: Amount, *, mode: str = "difference", category: str | None = None,
        expires_at: Instant | None = None, description: str | None = None, metadata: Mapping[str, Any] | None = None,
        final: bool | None = None, dry_run: bool | None = None, key: str | None = None,
    ) -> Adjustment:  # fmt: skip
        """Set what an account can spend. `difference` gives or takes the difference, `replace` writes off all that is
        free and gives the amount as one new grant."""
        body = {
            "amount": amount_text(amount), "mode": mode, "category": category,
            "expires_at": instant_text(expires_at, "expires_at"), **said(description, metadata, final, dry_run),
        }  # fmt: skip
        return await self._door.ask(post(Adjustment, "/v1/accounts/{account}/set", body, key, account=account))

    # What it costs

    async def quote(
        self, usage: Usage | Mapping[str, Any] | None = None, *, account: str | None = None,
        provider: str | None = None, model: str | None = None, input_tokens: int | None = None,
        output_tokens: int | None = None, operation: str | None = None, service: str | None = None,
        product: str | None = None, card: str | None = None,
    ) -> Quote:  # fmt: skip
        """The price of a usage, and whether an account could pay for it now. Nothing is charged. `card` prices it by
        another rate card, or another version."""
        priced = priced_body(
            None, usage, provider, model, input_tokens, output_tokens, operation, service, product
        )  # fmt: skip
        return await self._door.ask(ask(Quote, "/v1/quotes", {"account": account, "card": card, **priced}))

    async def estimate(
        self, prompt: int | str | list[Any], *, model: str | None = None, provider: str | None = None,
        account: str | None = None, expected: int | None = None, least: int | None = None, most: int | None = None,
        usage: Usage | Mapping[str, Any] | None = None, operation: str | None = None, service: str | None = None,
        product: str | None = None, card: str | None = None,
    ) -> Estimate:  # fmt: skip
        """What a call will probably cost, before it is made. The prompt is its number of tokens, its text or its
        messages; `expected`, `least` and `most` are tokens of the answer. What else it uses stands in `usage`."""
        used = usage_body(usage, provider=provider, model=model)
        body = {
            "usage": used if used is not None else {} if model is None else {"model": model},
            "prompt": prompt_body(prompt), "completion": {"expected": expected, "min": least, "max": most},
            "account": account, "card": card, "operation": operation, "service": service, "product": product,
        }  # fmt: skip
        return await self._door.ask(ask(Estimate, "/v1/quotes/estimate", body))

    async def price(self, model: str, *, provider: str | None = None) -> Resolved:
        """What a model's name is taken for, and what it costs here."""
        return await self._door.ask(
            get(Resolved, "/v1/model-prices/resolve", {"model": model, "provider": provider})
        )  # fmt: skip

    # What was used

    def usage(
        self, account: str | None = None, *, since: Day | None = None, until: Day | None = None,
        timezone: str | None = None, chat: str | None = None, service: str | None = None, operation: str | None = None,
        provider: str | None = None, model: str | None = None, unpriced: bool | None = None, order: str | None = None,
        offset: int | None = None, limit: int | None = None,
    ) -> AsyncPages[UsageRow]:  # fmt: skip
        """What an account has used, or all accounts: newest first, or with `order="oldest"`. `limit` is that of a
        page."""
        query = {
            "from": day_text(since, "since"), "to": day_text(until, "until"), "timezone": timezone, "chat": chat,
            "service": service, "operation": operation, "provider": provider, "model": model,
            "unpriced": flag_text(unpriced), "order": order, "offset": None if offset is None else str(offset),
            "limit": None if limit is None else str(limit),
        }  # fmt: skip
        if account is None:
            return AsyncPages(self._door, get(Page[UsageRow], "/v1/usage", query))
        return AsyncPages(self._door, get(Page[UsageRow], "/v1/accounts/{account}/usage", query, account=account))

    async def usage_stats(
        self, account: str | None = None, *, since: Day | None = None, until: Day | None = None,
        timezone: str | None = None, service: str | None = None, operation: str | None = None,
        provider: str | None = None, model: str | None = None,
    ) -> UsageStats:  # fmt: skip
        """The usage of an account, or of all, summed up by model, service, operation and day; of all time unless
        `since` or `until` says otherwise."""
        query = {
            "from": day_text(since, "since"), "to": day_text(until, "until"), "timezone": timezone, "service": service,
            "operation": operation, "provider": provider, "model": model,
        }  # fmt: skip
        if account is None:
            return await self._door.ask(get(UsageStats, "/v1/usage/stats", query))
        path = "/v1/accounts/{account}/usage/stats"
        return await self._door.ask(get(UsageStats, path, query, account=account))

    def export_usage(
        self, format: Format = "csv", *, account: str | None = None, since: Day | None = None,
        until: Day | None = None, timezone: str | None = None, chat: str | None = None, service: str | None = None,
        operation: str | None = None, provider: str | None = None, model: str | None = None,
        unpriced: bool | None = None,
    ) -> AsyncIterator[bytes]:  # fmt: skip
        """All usage of a time as CSV with a header or as JSON Lines, oldest first, a page at a time: the bytes that
        the API's own export has, to be written to a file. In CSV no text is taken for a formula by a spreadsheet."""
        query = {
            "from": day_text(since, "since"), "to": day_text(until, "until"), "timezone": timezone, "chat": chat,
            "service": service, "operation": operation, "provider": provider, "model": model,
            "unpriced": flag_text(unpriced), "order": "oldest", "limit": PAGE,
        }  # fmt: skip
        call = get(Page[dict[str, Any]], "/v1/usage", query)
        if account is not None:
            call = get(Page[dict[str, Any]], "/v1/accounts/{account}/usage", query, account=account)
        return exported(AsyncPages(self._door, call), format)

    # Who did what

    def audit(
        self, *, actor: str | None = None, role: str | None = None, action: str | None = None,
        subject: str | None = None, since: Instant | None = None, until: Instant | None = None,
        limit: int | None = None,
    ) -> AsyncPages[AuditRecord]:  # fmt: skip
        """Administrative acts on the workspace, newest first: by whom, in which role, of what kind, on what."""
        query = {
            "actor": actor, "role": role, "action": action, "subject": subject,
            "from": instant_text(since, "since"), "to": instant_text(until, "until"),
            "limit": None if limit is None else str(limit),
        }  # fmt: skip
        return AsyncPages(self._door, get(Page[AuditRecord], "/v1/audit", query))
