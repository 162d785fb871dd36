"""Receiving: what a provider has sent is kept as it came before anything is done with it, and answered when all that
follows from it is in the ledger. What could not be carried out is tried again, by the provider and by ourselves.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from farthing.core.commands import text_error
from farthing.core.facts import AnyFact, DisputeClosed, Disputed, Paid, Refunded
from farthing.core.records import Workspace
from farthing.engine import Crashed
from farthing.stores.contract import Raced, StoreError
from farthing.stores.purchases import ProviderEvent, Purchases
from farthing.stores.reports import Reports

from .fulfilling import Fulfilled, Fulfilling
from .inbox import Inbox, NotOurs, Sent
from .references import References

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
    """What a message tells counts from a later time on."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at


class Receiving:
    """Takes in what providers send."""

    def __init__(
        self, purchases: Purchases, reports: Reports, fulfilling: Fulfilling, references: References,
        inboxes: Mapping[str, Inbox], now_us: Callable[[], int],
    ) -> None:  # fmt: skip
        self._purchases = purchases
        self._reports = reports
        self._fulfilling = fulfilling
        self._references = references
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
            await self._purchases.failed(workspace.id, event.provider, event.id, "waits for its time", later.at)
            return Taken("waiting", "waits for its time")
        except Exception as error:
            due_at = self._due_again(event)
            await self._purchases.failed(workspace.id, event.provider, event.id, f"failed: {error}"[:500], due_at)
            raise
        await self._purchases.done(workspace.id, event.provider, event.id, taken.words, self._now_us())
        return taken

    def _due_again(self, event: ProviderEvent) -> int:
        at = self._now_us()
        return at + min(max(at - event.received_at, SOON_US), LATEST_US)

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

    async def _one(self, workspace: Workspace, fact: AnyFact, received_at: int, request_id: str) -> Fulfilled:
        if isinstance(fact, Paid):
            if fact.begins_at is not None and fact.begins_at > self._now_us():
                raise _Later(fact.begins_at)
            # It may have come by a link that anybody can write, and be no name of an account at all.
            named = "" if text_error(fact.account) else fact.account
            fact = replace(fact, account=await self._references.account_of(workspace.id, named))
        if isinstance(fact, Refunded) and not fact.payment:
            fact = replace(fact, payment=await self._only_payment(workspace, fact, received_at))
        if isinstance(fact, Paid | Refunded | Disputed | DisputeClosed) and not fact.payment:
            raise NotOurs("it does not say which payment it is about")
        return await self._fulfilling.carry_out(workspace, fact, request_id)

    async def _only_payment(self, workspace: Workspace, fact: Refunded, received_at: int) -> str:
        """What a refund is of that names its order alone: the one payment, where there is but one."""
        if not fact.order:
            return ""
        kept = await self._purchases.receipts_of_order(workspace.id, fact.provider, fact.order)
        if not kept and self._now_us() - received_at < LATEST_US:
            raise NotYet(f"nothing is known yet of order {fact.order}, of which it gives money back")
        return kept[0].receipt.payment if len(kept) == 1 else ""


def _result(done: list[tuple[AnyFact, Fulfilled]]) -> Result:
    """What came of all facts of a message, in a word."""
    results = [_result_of(fact, fulfilled) for fact, fulfilled in done]
    order: tuple[Result, ...] = ("unmatched", "waiting", "credited")
    return next((each for each in order if each in results), "noted")


def _result_of(fact: AnyFact, done: Fulfilled) -> Result:
    if done.receipt is None:
        return "noted" if done.order is not None else "unmatched"
    if done.receipt.state == "waiting":
        return "waiting"
    return "credited" if isinstance(fact, Paid) else "noted"
