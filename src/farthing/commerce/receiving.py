"""Receiving: what a provider has sent is kept as it came before anything is done with it, and answered when all that
follows from it is in the ledger. What could not be carried out is tried again, by the provider and by ourselves.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from farthing.core.commands import text_error
from farthing.core.facts import AnyFact, Canceled, Ended, Paid, Refunded, Resumed
from farthing.core.records import Workspace
from farthing.core.refunded import is_other_money, payment_of
from farthing.core.reversals import AnyReversal, has_other_money
from farthing.engine import Crashed
from farthing.stores.billing import Billings
from farthing.stores.contract import Raced, StoreError
from farthing.stores.purchases import ProviderEvent, Purchases
from farthing.stores.reports import Reports

from .fulfilling import REVERSALS, WAITS, Fulfilled, Fulfilling
from .inbox import Inbox, NotOurs, Sent
from .references import References, is_short

SOON_US: Final = 60_000_000
"""How long one that came may take before somebody else takes care of it; what fails waits as long as it has waited."""
LATEST_US: Final = 86_400_000_000
"""And at most so long."""
PAGE: Final = 100
UNMATCHED: Final = "unmatched"
"""How what came of a message begins that moved nothing, and which a person may want to look at."""
Result = Literal["credited", "waiting", "noted", "unmatched", "nothing", "before"]
"""What came of a message: a payment is credited, or waits; something else is noted; there is nothing to do; all of it
was done before."""


class Taken(Struct, frozen=True):
    """What came of a message, and the same in words."""

    result: Result
    words: str


class Failure(Struct, frozen=True):
    """A message that could not be carried out."""

    workspace: str
    provider: str
    event: str
    error: str


class Retried(Struct):
    """What came of messages that were tried again."""

    done: list[tuple[str, str, Result]] = field(default_factory=list)
    """Workspace, provider, result."""
    failed: list[Failure] = field(default_factory=list)


class NotYet(Exception):
    """What a message is about has not been told yet."""


class _Later(Exception):
    """What a message tells counts from a later time on, or once its order is known; the words say which."""

    def __init__(self, at: int, words: str, order: str = "") -> None:
        super().__init__(words)
        self.at = at
        self.order = order


class Receiving:
    """Takes in what providers send."""

    def __init__(
        self, purchases: Purchases, reports: Reports, fulfilling: Fulfilling, references: References,
        billings: Billings, inboxes: Mapping[str, Inbox], now_us: Callable[[], int],
    ) -> None:  # fmt: skip
        self._purchases = purchases
        self._reports = reports
        self._fulfilling = fulfilling
        self._references = references
        self._billings = billings
        self._now_us = now_us
        self.inboxes = inboxes
        """Of all providers, by their names."""

    async def take(self, workspace: Workspace, sent: Sent, request_id: str = "") -> Taken:
        """Keep a message and do what follows from it. Raises where that is not known to be done: then it must be sent
        again. What was about nothing of ours may be by now, and is looked at again."""
        at = self._now_us()
        kept = await self._purchases.received(
            workspace.id, sent.provider, sent.name, sent.kind, sent.body.decode("latin-1"), at, at + SOON_US
        )  # fmt: skip
        if kept.done_at is not None and not kept.outcome.startswith(UNMATCHED):
            return Taken("before", "done before")
        return await self._carry_out(workspace, kept, request_id)

    async def again(self, workspace: Workspace, provider: str, id: str, request_id: str = "") -> Taken | None:
        """Do once more what follows from a message, whatever came of it before; None where there is none. Raises as
        `take` does."""
        event = await self._purchases.event(workspace.id, provider, id)
        if event is not None and event.done_at is not None and not event.body:
            return Taken("before", "done before; what it said was erased")
        return None if event is None else await self._carry_out(workspace, event, request_id)

    async def try_again(self, halted: Callable[[], bool] = lambda: False) -> Retried:
        """Do what came a while ago and is not done. One that nobody can carry out keeps no other from being done: it
        stays, and is shown; raises StoreError where it is the machine that fails."""
        retried, at = Retried(), self._now_us()
        while not halted():
            # What is done is none of them any more, nor is what fails: that is put off to a later time.
            due = await self._purchases.open_events(at, PAGE)
            for event in due:
                if halted():
                    break
                await self._retry(event, retried)
            if len(due) < PAGE:
                break
        return retried

    async def _retry(self, event: ProviderEvent, retried: Retried) -> None:
        workspace = await self._reports.workspace(event.workspace)
        assert workspace is not None, "workspaces stay"
        try:
            taken = await self._carry_out(workspace, event, "")
        except Exception as error:
            if isinstance(error, StoreError) and not isinstance(error, Crashed | Raced):
                raise
            retried.failed.append(Failure(event.workspace, event.provider, event.id, str(error)))
        else:
            retried.done.append((event.workspace, event.provider, taken.result))

    async def _carry_out(self, workspace: Workspace, event: ProviderEvent, request_id: str) -> Taken:
        try:
            taken = await self._done(workspace, event, request_id)
        except _Later as later:
            # It is kept, and whoever tries again does it then: nobody has to send it again.
            await self._purchases.failed(workspace.id, event.provider, event.id, str(later), later.at)
            if later.order and await self._purchases.order(workspace.id, event.provider, later.order) is not None:
                # Its payment was told meanwhile, by whom this one was not seen to wait.
                return await self._carry_out(workspace, event, request_id)
            return Taken("waiting", str(later))
        except Exception as error:
            due_at = self._due_again(event.received_at)
            await self._purchases.failed(workspace.id, event.provider, event.id, f"failed: {error}"[:500], due_at)
            raise
        await self._purchases.done(workspace.id, event.provider, event.id, taken.words, self._now_us())
        return taken

    def _due_again(self, received_at: int) -> int:
        at = self._now_us()
        return at + min(max(at - received_at, SOON_US), LATEST_US)

    async def _done(self, workspace: Workspace, event: ProviderEvent, request_id: str) -> Taken:
        body = event.body.encode("latin-1")
        try:
            facts = await self.inboxes[event.provider].facts(workspace, body, event.received_at)
            done = [(fact, await self._one(workspace, fact, event.received_at, request_id)) for fact in facts]
        except NotOurs as error:
            return Taken("unmatched", f"{UNMATCHED}: {error}"[:500])
        if not done:
            return Taken("nothing", "nothing to do")
        return Taken(_result(done), "; ".join(each.told for _, each in done))

    async def learned(self, workspace: Workspace, facts: Sequence[AnyFact]) -> None:
        """Do what follows from what a provider was asked about, as if it had told that."""
        for fact in facts:
            await self._one(workspace, fact, self._now_us(), "")

    async def _one(self, workspace: Workspace, fact: AnyFact, received_at: int, request_id: str) -> Fulfilled:
        if isinstance(fact, Paid):
            if fact.begins_at is not None and fact.begins_at > self._now_us():
                raise _Later(fact.begins_at, "waits for its time")
            return await self._paid(workspace, fact, received_at, request_id)
        if isinstance(fact, Refunded):
            fact = replace(fact, payment=await self._given_back(workspace, fact, received_at))
        if isinstance(fact, REVERSALS):
            if not fact.payment:
                raise NotOurs("it does not say which payment it is about")
            if not await self._may_be_ours(workspace, fact):
                return Fulfilled(None, None, idle=True)
        if isinstance(fact, Canceled | Resumed | Ended):
            await self._await_sale(workspace, fact, received_at)
        return await self._fulfilling.carry_out(workspace, fact, request_id)

    async def _may_be_ours(self, workspace: Workspace, fact: AnyReversal) -> bool:
        """What goes back bears no mark of whose it is: where its payment is not known here, the provider may know."""
        kept = await self._purchases.receipt(workspace.id, fact.provider, fact.payment)
        if kept is not None:
            if isinstance(fact, Refunded) and is_other_money(fact, kept.receipt):
                paid, back = kept.receipt.currency, fact.amount or fact.total
                raise NotOurs(f"it gives back {back} {fact.currency} of payment {fact.payment}, which was in {paid}")
            return True
        if isinstance(fact, Refunded) and fact.aside:
            return True  # of a payment that is not known it says nothing
        return await self.inboxes[fact.provider].is_ours(workspace, fact.payment)

    async def _await_sale(self, workspace: Workspace, fact: Canceled | Resumed | Ended, received_at: int) -> None:
        """An end may be told before its beginning. Nobody has to send it again: it may be about nothing of ours."""
        if self._now_us() - received_at >= LATEST_US:
            return
        if await self._purchases.order(workspace.id, fact.provider, fact.order) is None:
            raise _Later(self._due_again(received_at), _waits_for(fact.order), fact.order)

    async def _go_on(self, workspace: Workspace, fact: Paid, request_id: str) -> None:
        """What was told of an order before its payment. Before that counts as done, so that nothing of it is left."""
        if fact.order:
            for event in await self._purchases.open_as(workspace.id, fact.provider, _waits_for(fact.order)):
                await self._carry_out(workspace, event, request_id)

    async def _paid(self, workspace: Workspace, fact: Paid, received_at: int, request_id: str) -> Fulfilled:
        # It may have come by a link that anybody can write, and be no name of an account at all.
        named = "" if text_error(fact.account) else fact.account
        fact = replace(fact, account=await self._references.account_of(workspace.id, named))
        if is_short(named):
            fact = replace(fact, charge=await self._billings.key_of(workspace.id, fact.provider, named))
        await self._await_order(workspace, fact, received_at)
        before = await self._purchases.receipt(workspace.id, fact.provider, fact.payment)
        done = await self._fulfilling.carry_out(workspace, fact, request_id)
        if done.receipt is not None and has_other_money(done.receipt, fact.currency):
            since = fact.at if before is None else min(fact.at, before.receipt.at)
            await self._read_again(workspace, fact, since, request_id)
        told = (named, fact.order) if is_short(named) else (fact.payment, fact.payment)
        await self._billings.paid(workspace.id, fact.provider, *told, fact.charge)
        await self._go_on(workspace, fact, request_id)
        return done

    async def _read_again(self, workspace: Workspace, fact: Paid, since: int, request_id: str) -> None:
        """What was told of a payment before itself, and in other money, is shown as it is where it comes after."""
        span = (since - LATEST_US, self._now_us() + 1)
        for event in await self._purchases.events_about(workspace.id, fact.provider, fact.payment, *span):
            if event.outcome == WAITS:
                await self._carry_out(workspace, event, request_id)

    async def _await_order(self, workspace: Workspace, fact: Paid, received_at: int) -> None:
        """Nobody but the order that this one came of may know whose it is, so that one has to be told first; and what
        an order was before it was changed."""
        first = fact.order if fact.change else "" if fact.account else fact.came_of
        if not first or self._now_us() - received_at >= LATEST_US:
            return
        if await self._purchases.order(workspace.id, fact.provider, first) is None:
            raise NotYet(f"nothing is known yet of order {first}, which it came of")

    async def _given_back(self, workspace: Workspace, fact: Refunded, received_at: int) -> str:
        """What a refund is of; empty where nobody can tell."""
        kept = await self._purchases.receipts_of_order(workspace.id, fact.provider, fact.order) if fact.order else []
        if found := payment_of(fact, [each.receipt for each in kept]):
            return found
        if fact.payment and not fact.loose:
            return fact.payment  # it is still to come, and the refund waits for it under its name
        if fact.order and (fact.payment or not kept) and self._now_us() - received_at < LATEST_US:
            raise NotYet(f"nothing is known yet of order {fact.order}, or of the payment that it gives back")
        is_another = any(each.receipt.payment == fact.payment for each in kept)
        return "" if is_another else fact.payment


def _waits_for(order: str) -> str:
    return f"waits for its order: nothing is known yet of {order}"


def _result(done: list[tuple[AnyFact, Fulfilled]]) -> Result:
    """What came of all facts of a message, in a word."""
    results = [_result_of(fact, fulfilled) for fact, fulfilled in done]
    order: tuple[Result, ...] = ("unmatched", "waiting", "credited")
    return next((each for each in order if each in results), "noted")


def _result_of(fact: AnyFact, done: Fulfilled) -> Result:
    if done.receipt is None and not done.idle:
        return "noted" if done.order is not None else "unmatched"
    if done.receipt is not None and done.receipt.state == "waiting":
        return "waiting"
    return "credited" if isinstance(fact, Paid) else "noted"
