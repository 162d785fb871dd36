"""Renewals: gives what subscriptions are due, the oldest first, and ends those whose paid time is over.

Each period is given under a key of its own, so that whoever runs beside it, or was killed in the middle, does no harm.
To share the work, who renews takes a page at a time for a short while (`LEASE_US`); what a killed one had taken is free
again after it. Pages are asked for by many at a time, so that they share commits; nothing grows with their number. What
fails, by a refusal or a bug, has an item among the jobs, which says when it is tried again; a machine that failed puts
nothing off.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from farthing.core.commands import EndSubscription, Renew
from farthing.core.events import RENEWAL_FAILED, write_time
from farthing.core.ids import bucket_of
from farthing.core.jobs import Job
from farthing.core.outcomes import Accepted, Outcome, Refusal, Refused
from farthing.core.records import Event
from farthing.core.refundable import read_body
from farthing.core.renewal_run import ACTOR, NotRenewed, Renewal, RenewalRun, Wanted
from farthing.core.subscription import Subscription, end_key, renewal_key
from farthing.engine import Crashed, Engine, Ids
from farthing.stores.contract import StoreError
from farthing.stores.pages import Position
from farthing.stores.subscriptions import FROM_THE_START, Subscribed, Subscriptions

from .kind import TOLD, Halted, Kind, Run, Tools

NAME: Final = "renewals"
T = TypeVar("T")
PAGE: Final = 512
LEASE_US: Final = 10_000_000
BESIDE: Final = 64
"""A page beside a server's charges, which would else wait for a long one."""
BUSY: Final = 1.1
"""So many commands for each of one's own, and others use the ledger as well."""
LOOK_SECONDS: Final = 0.2
"""How often one who waits looks whether others are done."""
IDLE: Final = 20
"""How often one who waits for what others have taken may find nothing to do before he lets it be."""
GENTLE: Final = 9
"""While others use the ledger: for a time of work, so many of rest."""
_SKIPPED: Final = frozenset(
    {
        Refusal.NOT_DUE,
        Refusal.SUBSCRIPTION_CHANGED,
        Refusal.SUBSCRIPTION_ENDED,
        Refusal.SUBSCRIPTION_EXPIRED,
        Refusal.SUBSCRIPTION_NOT_FOUND,
        Refusal.RENEWED_BY_PAYMENT,
    }
)
Result = list[Renewal] | NotRenewed | None
Progress = Callable[[RenewalRun], None]
Rest = Callable[[float], Awaitable[None]]


def kind(tools: Tools) -> Kind:
    """Shared: any number of processes."""
    alone = tools.traffic is None
    renewals = Renewals(
        tools.engine, Subscriptions(tools.database), tools.now_us, page=PAGE if alone else BESIDE,
        traffic=tools.traffic or (lambda: 0),
    )  # fmt: skip

    async def run(halted: Halted) -> Run:
        """Renew what is due in all workspaces."""
        told = Run()
        for workspace in await tools.reports.workspaces():
            if halted():
                break
            done = await renewals.run(
                Wanted(workspace=workspace.id, failed=False), rest=None if alone else renewals.rest, halted=halted
            )
            _count(told, workspace.id, done)
            if done.processed or done.ended:
                tools.on_renewals(done)
        return told

    return Kind(name=NAME, run=run, every_seconds=tools.every[NAME])


def _count(told: Run, workspace: str, done: RenewalRun) -> None:
    errors = [{"account": e.account, "error": e.code} for e in done.errors[:TOLD]]
    if done.successful or done.ended or done.failed:
        told.add(workspace, done.successful + done.ended, done.failed, errors)
    told.parked += done.parked


class Renewals:
    """Renews what is due."""

    def __init__(
        self, engine: Engine, subscriptions: Subscriptions, now_us: Callable[[], int], *, lease_us: int = LEASE_US,
        page: int = PAGE, traffic: Callable[[], int] = lambda: 0,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._subscriptions = subscriptions
        self._now_us = now_us
        self._lease_us = lease_us
        self._most = page
        self._traffic = traffic
        """How many commands were carried out so far, those of others included."""
        self._seen = 0
        self._ids = Ids()

    async def run(
        self, wanted: Wanted, on_progress: Progress = lambda _: None, rest: Rest | None = None,
        halted: Halted = lambda: False,
    ) -> RenewalRun:  # fmt: skip
        """Renew all that is due now, or up to the limit; once it is `halted`, what is in hand."""
        run = RenewalRun()
        if not wanted.dry_run:
            run.ended = await self.end_expired(wanted.workspace)
        await self._pass(wanted, run, on_progress, rest, halted)
        wanted, idle = replace(wanted, failed=False), 0
        while wanted.wait and not (run.more or wanted.dry_run) and await self._wait_for_others(wanted):
            before = run.processed
            await self._pass(wanted, run, on_progress, rest, halted)
            # One who waits may come a moment too early, or find that another was faster; not again and again.
            idle = idle + 1 if run.processed == before else 0
            if idle > IDLE or any(error.code not in _REFUSALS for error in run.errors):
                break
        return run

    async def _pass(
        self, wanted: Wanted, run: RenewalRun, on_progress: Progress, rest: Rest | None, halted: Halted
    ) -> None:  # fmt: skip
        """Once through all that is due, from the oldest on; what fails is left behind."""
        after = FROM_THE_START
        while page := await self._page(wanted, after, self._room(wanted, run)):
            began = time.monotonic()
            after = page[-1].place
            results = await _together([self._renew(s, wanted) for s in page])
            for result in results:
                run.add(result)
            if not wanted.dry_run:
                run.parked += await self._leave(wanted.workspace, page, results)
            on_progress(run)
            if not self._room(wanted, run) or (run.failed and not wanted.continue_on_error) or halted():
                run.more = bool(await self._page(replace(wanted, dry_run=True), after, 1))
                return
            if rest is not None:
                await rest(time.monotonic() - began)

    def _room(self, wanted: Wanted, run: RenewalRun) -> int:
        """How many may be taken at a time."""
        return self._most if wanted.limit is None else min(self._most, wanted.limit - run.processed)

    async def _page(self, wanted: Wanted, after: Position, limit: int) -> list[Subscribed]:
        at = self._now_us()
        if wanted.dry_run:
            page = await self._subscriptions.due(wanted.workspace, at, plan=wanted.plan, after=after, limit=limit)
            return page.items
        return await self._subscriptions.claim(
            wanted.workspace, at, at + self._lease_us, plan=wanted.plan, after=after, limit=limit, failed=wanted.failed
        )  # fmt: skip

    async def _wait_for_others(self, wanted: Wanted) -> bool:
        """Until what others have taken is done, or free again; False where they have nothing."""
        until = time.monotonic() + self._lease_us / 1_000_000
        while True:
            at = self._now_us()
            free_at = await self._subscriptions.next_unclaimed(wanted.workspace, at, wanted.plan)
            if free_at is None:
                return False
            left = min((free_at - at) / 1_000_000, until - time.monotonic())
            if left <= 0:
                return True
            # Others are mostly done with what they have taken long before their time is over.
            await asyncio.sleep(min(left, LOOK_SECONDS))

    async def _leave(self, workspace: str, page: Sequence[Subscribed], results: Sequence[Result]) -> list[Job]:
        """What was not renewed is free again: at once where the machine failed, later where it was refused. Those that
        are not tried again by themselves."""
        later: list[tuple[Subscribed, str]] = []
        at_once: list[str] = []
        for subscribed, result in zip(page, results, strict=True):
            if isinstance(result, NotRenewed) and result.code in _ITS_OWN:
                later.append((subscribed, result.code))
            elif isinstance(result, NotRenewed):
                at_once.append(subscribed.account)
        await self._subscriptions.give_back(workspace, at_once)
        failed, errors = [each for each, _ in later], [code for _, code in later]
        at = self._now_us()
        events = [self._failure(workspace, each, error, at) for each, error in later]
        return await self._subscriptions.fail(workspace, failed, errors, at, events)

    def _failure(self, workspace: str, subscribed: Subscribed, error: str, at: int) -> Event:
        """That a period could not be given: told once for it."""
        account, s = subscribed.account, subscribed.subscription
        bucket = bucket_of(workspace, account)
        said = {"subscription": s.id, "plan": s.plan, "period_at": write_time(s.next_at), "error": error}
        once = f"{RENEWAL_FAILED}:{s.id}:{s.next_at}"
        return Event(self._ids("evt", at, bucket), workspace, account, bucket, RENEWAL_FAILED, at, said, once)

    async def _renew(self, subscribed: Subscribed, wanted: Wanted) -> Result:
        """All periods of an account that are due, one after another."""
        given: list[Renewal] = []
        s = subscribed.subscription
        while True:
            try:
                outcome = await self._engine.ask(_command(subscribed.account, s, wanted), dry=wanted.dry_run)
            except StoreError as error:
                return NotRenewed(subscribed.account, error.code)
            if isinstance(outcome, Refused):
                if outcome.code not in _SKIPPED:
                    return NotRenewed(subscribed.account, str(outcome.code), outcome.facts)
                return given or None
            if outcome.replayed:
                return given or None
            renewal, s = told(outcome, wanted.dry_run)
            given.append(renewal)
            if wanted.dry_run or s.next_at > self._now_us():
                return given

    async def rest(self, worked: float) -> None:
        """Leave the ledger to others, where there are any."""
        others, self._seen = self._traffic() - self._seen > self._most * BUSY, self._traffic()
        await asyncio.sleep(worked * GENTLE if others else 0)

    async def end_expired(self, workspace: str) -> int:
        """End those whose paid time is over; returns how many."""
        ended, after = 0, FROM_THE_START
        while page := await self._subscriptions.ending(workspace, self._now_us(), after, self._most):
            after = (page[-1].subscription.ends_at or 0, page[-1].account)
            outcomes = await _together([self._ended(workspace, each) for each in page])
            ended += sum(isinstance(outcome, Accepted) and not outcome.replayed for outcome in outcomes)
            crashed = [each for each, outcome in zip(page, outcomes, strict=True) if outcome is None]
            await self._subscriptions.fail(workspace, crashed, [Crashed.code] * len(crashed), self._now_us())
        return ended

    async def _ended(self, workspace: str, subscribed: Subscribed) -> Outcome | None:
        """End one; None where a bug stopped it, which must not stop the others."""
        try:
            return await self._engine.ask(_end(workspace, subscribed))
        except Crashed:
            return None


_REFUSALS: Final = frozenset(map(str, Refusal))
_ITS_OWN: Final = _REFUSALS | {Crashed.code}
"""Why one is not renewed though the machine works: what else fails is no fault of the subscription's."""


def _command(account: str, s: Subscription, wanted: Wanted) -> Renew:
    return Renew(
        workspace=wanted.workspace, account=account, subscription=s.id, period_at=s.next_at,
        key=renewal_key(s.id, s.next_at), actor=wanted.actor, role=wanted.role, request_id=wanted.request_id,
    )  # fmt: skip


def _end(workspace: str, subscribed: Subscribed) -> EndSubscription:
    id = subscribed.subscription.id
    return EndSubscription(
        workspace=workspace, account=subscribed.account, subscription=id, key=end_key(id), actor=ACTOR
    )  # fmt: skip


def told(outcome: Accepted, dry_run: bool = False) -> tuple[Renewal, Subscription]:
    """What a renewal gave, and the subscription after it."""
    entry = outcome.entry
    assert entry is not None, "a renewal is an entry"
    body = read_body(entry)
    s = body.subscription
    assert s is not None, "its entry tells the subscription"
    assert s.period_at is not None, "and the period that it gave"
    id, before = "" if dry_run else entry.id, entry.balance - entry.amount
    given = Renewal(entry.account, s.id, s.plan, body.earned, before, entry.balance, s.period_at, s.next_at, id)
    return given, s


async def _together(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All at a time, so that they share commits; one after another where nothing suspends, without an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return [await work for work in works]
    return await asyncio.gather(*works)
