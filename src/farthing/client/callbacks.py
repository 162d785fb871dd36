"""Callbacks: whom the caller's program is told of what was done, once it is done.

They come after the commit and change nothing of it: one that raises is written to the log `farthing.client`, and the
call ends as it would have. Only commands on an account's credits are told of, and no dry runs.
"""

import inspect
import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from .answers import error_of
from .calls import Call
from .errors import ConnectError, class_of
from .forms import Done
from .plan_results import RenewalsDone
from .pricing_results import BulkDone

OnBalanceChange: TypeAlias = Callable[[str], Any]
OnMetrics: TypeAlias = Callable[..., Any]
_LOG: Final = logging.getLogger("farthing.client")
_BULK: Final = "/v1/charges/bulk"
_RENEWALS: Final = "/v1/renewals"
_OPERATIONS: Final = {
    "/v1/grants": ("grant", "amount"),
    "/v1/grants/{id}/void": ("void", "written_off"),
    "/v1/charges": ("charge", "amount"),
    _BULK: ("charge", "amount"),
    "/v1/charges/{id}/refund": ("refund", "amount"),
    "/v1/refunds": ("refund", "amount"),
    "/v1/holds": ("hold", "amount"),
    "/v1/holds/{id}/settle": ("settle", "amount"),
    "/v1/holds/{id}/release": ("release", "released"),
    "/v1/holds/{id}/extend": ("extend", "raised_by"),
    "/v1/accounts/{account}/adjust": ("adjust", "amount"),
    "/v1/accounts/{account}/set": ("set", "amount"),
    "/v1/accounts/{account}/subscription": ("subscribe", "given"),
    "/v1/accounts/{account}/subscription/renew": ("renew", "given"),
    _RENEWALS: ("renew", "given"),
}
"""What a path does, and where its result has the amount that was moved."""


class Told(Struct, frozen=True):
    """How one command ended."""

    operation: str
    account: str | None
    amount: Decimal | None
    changed: bool
    """Whether the account may have another balance since."""
    error: BaseException | None = None


class Callbacks:
    """What a client tells, and whom."""

    def __init__(
        self, on_balance_change: OnBalanceChange | None = None, on_metrics: OnMetrics | None = None, *,
        threads: bool = False,
    ) -> None:  # fmt: skip
        for name, given in (("on_balance_change", on_balance_change), ("on_metrics", on_metrics)):
            if given is not None and not callable(given):
                raise ConnectError(f"{name} must be a function, not {type(given).__name__}")
            if threads and inspect.iscoroutinefunction(given):
                raise ConnectError(f"{name} must be a plain function; aconnect takes asynchronous ones")
        self._on_balance_change = on_balance_change
        self._on_metrics = on_metrics
        self._wanted = on_balance_change is not None or on_metrics is not None

    def wants(self, call: Call[Any]) -> bool:
        """Whether anybody is told how this call ends."""
        # Who ends a subscription moves no credits.
        return self._wanted and call.writes and call.template in _OPERATIONS and call.method != "DELETE"

    def tell(self, call: Call[Any], ended: Any, seconds: float, tries: int) -> None:
        """Tell of a call that ended with a result or an error; for threads."""
        self.tell_of(told_of(call, ended, tries), seconds)

    def tell_of(self, told: list[Told], seconds: float) -> None:
        """Tell of what was done without being asked just now."""
        for name, act in self._acts(told, seconds):
            try:
                made = act()
                if inspect.isawaitable(made):
                    getattr(made, "close", bool)()
                    raise TypeError("it is asynchronous; aconnect takes such")
            except Exception:  # it is reported, and what was done stays done
                _LOG.exception("the callback %s failed; what it was told of is done", name)

    async def atell(self, call: Call[Any], ended: Any, seconds: float, tries: int) -> None:
        """The same for event loops."""
        await self.atell_of(told_of(call, ended, tries), seconds)

    async def atell_of(self, told: list[Told], seconds: float) -> None:
        """As above."""
        for name, act in self._acts(told, seconds):
            try:
                made = act()
                if inspect.isawaitable(made):
                    await made
            except Exception:  # as above
                _LOG.exception("the callback %s failed; what it was told of is done", name)

    def _acts(self, told: list[Told], seconds: float) -> Iterator[tuple[str, Callable[[], Any]]]:
        if self._on_balance_change is not None:
            # Each account once, however many charges of it went along together.
            for account in dict.fromkeys(each.account for each in told if each.changed):
                if account is not None:
                    yield "on_balance_change", partial(self._on_balance_change, account)
        if self._on_metrics is not None:
            for each in told:
                yield "on_metrics", partial(
                    self._on_metrics, operation=each.operation, account=each.account, amount=each.amount,
                    success=each.error is None, duration=seconds, error=each.error,
                )  # fmt: skip


def told_as(operation: str, call: Call[Any], error: BaseException | None = None) -> list[Told]:
    """What there is to tell of a call that did not reach the ledger: each of its charges under another operation."""
    body = msgspec.json.decode(call.body)
    return [
        Told(operation, each.get("account"), _asked(each), False, error)
        for each in (body["items"] if call.template == _BULK else [body])
    ]


def told_of(call: Call[Any], ended: Any, tries: int) -> list[Told]:
    """What there is to tell of a call that took so many tries."""
    operation, amount = _OPERATIONS[call.template]
    body = msgspec.json.decode(call.body)
    if body.get("dry_run"):
        return []
    if call.template == _BULK:
        return _each(operation, body["items"], ended, tries)
    if isinstance(ended, RenewalsDone):
        done = [Told(operation, each.account, each.given, True) for each in ended.renewals]
        failed = [
            Told(operation, e.account, None, False, class_of(e.code, 0)(e.detail, code=e.code)) for e in ended.errors
        ]
        return done + failed
    if isinstance(ended, Done):
        # After a first try that nobody heard of, the answer to its repetition is the news.
        changed = not ended.replayed or tries > 1
        return [Told(operation, ended.account, getattr(ended, amount, None), changed)]
    return [Told(operation, body.get("account", call.names.get("account")), _asked(body), False, ended)]


def _each(operation: str, items: list[dict[str, Any]], ended: Any, tries: int) -> list[Told]:
    if not isinstance(ended, BulkDone):
        return [Told(operation, item["account"], _asked(item), False, ended) for item in items]
    told = []
    for item, result in zip(items, ended.results, strict=True):
        if result.charge is not None:
            changed = not result.replayed or tries > 1
            told.append(Told(operation, item["account"], result.charge.amount, changed))
        else:
            told.append(
                Told(
                    operation,
                    item["account"],
                    _asked(item),
                    False,
                    None if result.problem is None else error_of(result.problem),
                )
            )
    return told


def _asked(body: dict[str, Any]) -> Decimal | None:
    amount = body.get("amount")
    return None if amount is None else Decimal(amount)
