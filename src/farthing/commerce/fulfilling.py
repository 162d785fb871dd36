"""Fulfilling: carries out what `core.fulfilment` makes of a fact, and keeps the rows of order and payment.

What was told is put down first, then the ledger is asked, then its answer is put down. Each step may be cut off and
done again, by anybody: the ledger's claim on the payment and the keys of what goes back make it once.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from farthing.core.commands import CloseDispute, Command, GiveGrant, Renew, Subscribe
from farthing.core.events import RENEWAL_FAILED
from farthing.core.facts import AnyFact, DisputeClosed, Disputed, Missed, Paid, Refunded, RefundFailed
from farthing.core.fulfilment import Known, Noted, assigned, due, is_credit, note, refused, told
from farthing.core.ids import bucket_of
from farthing.core.outcomes import Accepted, Refusal, Refused
from farthing.core.purchase_events import happened, missed
from farthing.core.purchases import Order, Receipt
from farthing.core.records import Event, GrantTerms, Workspace
from farthing.core.reversals import given_back, not_given, too_late
from farthing.engine import Engine, Ids
from farthing.stores.contract import Raced
from farthing.stores.events import Events
from farthing.stores.products import Products
from farthing.stores.purchases import KeptOrder, KeptReceipt, Purchases
from farthing.stores.reports import Execute
from farthing.stores.subscriptions import Subscriptions

T = TypeVar("T")
TRIES: Final = 20
"""So often somebody else may have been faster before we say that something is wrong."""
_STALE: Final = frozenset({Refusal.SUBSCRIPTION_CHANGED, Refusal.SUBSCRIPTION_ENDED, Refusal.SUBSCRIPTION_NOT_FOUND})
"""A subscription moved on between the reading and the command."""
WAITS: Final = "waits for its payment"
REVERSALS: Final = (Refunded, RefundFailed, Disputed, DisputeClosed)
OF_A_PAYMENT: Final = (Paid, *REVERSALS)
"""Facts that name the payment that they are about."""
CREDITS: Final = (GiveGrant, Subscribe, Renew)
_NOBODYS_MONEY: Final = ("test_mode", "not_paid")
_OVER: Final = frozenset(
    {
        Refusal.SUBSCRIPTION_ENDED,
        Refusal.SUBSCRIPTION_NOT_FOUND,
        Refusal.SUBSCRIPTION_EXPIRED,
        Refusal.ACCOUNT_NOT_FOUND,
        Refusal.HOLD_ENDED,
        Refusal.GRANT_ARCHIVED,
    }
)
"""Somebody else has ended what was to be ended."""


class Watch(Protocol):
    """Is told of receipts that change, in the transaction in which they do."""

    async def told(
        self, execute: Execute, workspace: Workspace, before: Receipt | None, after: Receipt, at: int
    ) -> None:  # fmt: skip
        """A receipt as it was, and as it is."""


class Fulfilled(Struct, frozen=True):
    """What came of a fact."""

    order: Order | None
    receipt: Receipt | None

    idle: bool = False
    """It was told beside something else that says the same, or is about what is somebody else's."""

    @property
    def told(self) -> str:
        """In a few words, for people who look through what was sent."""
        r = self.receipt
        if self.idle:
            return "nothing to do"
        if r is None:
            return "noted" if self.order is not None else "unmatched: nothing is known of its order"
        if r.state == "waiting":
            return f"waits: {r.reason}" if r.reason else WAITS
        return f"credited to {r.account}"


class _Seen(Struct, frozen=True):
    """Rows as they were read."""

    known: Known
    order: KeptOrder | None
    receipt: KeptReceipt | None


class Fulfilling:
    """Carries out facts."""

    def __init__(
        self, engine: Engine, purchases: Purchases, products: Products, subscriptions: Subscriptions, events: Events,
        now_us: Callable[[], int], watch: Watch | None = None,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._purchases = purchases
        self._products = products
        self._subscriptions = subscriptions
        self._events = events
        self._now_us = now_us
        self._watch = watch
        self._ids = Ids()

    async def carry_out(self, workspace: Workspace, fact: AnyFact, request_id: str = "") -> Fulfilled:
        """Do what follows from a fact. Told twice it does nothing more; raises StoreError where it is not known to be
        done, so that it is told again."""
        payment = fact.payment if isinstance(fact, OF_A_PAYMENT) else ""
        account, came_of = (fact.account, fact.came_of) if isinstance(fact, Paid) else ("", "")

        async def once() -> tuple[Noted, bool]:
            seen = await self._see(workspace, fact.provider, fact.order, payment, account, came_of)
            noted = note(fact, seen.known)
            if noted.command is not None:
                await self._ask(noted.command, request_id)
            await self._keep(workspace, seen, noted)
            if isinstance(fact, Missed):
                await self._tell_missed(workspace, fact, seen.known)
            return noted, seen.order is not None

        noted, was_known = await _until_nobody_is_faster(once)
        if isinstance(fact, Paid) and was_known and noted.order is not None and noted.order.account:
            # Nobody may have known whose it is until now.
            await self._claimed(workspace, noted.order, "", request_id)
        if not payment:
            return Fulfilled(noted.order, None)
        if noted.receipt is None:
            return Fulfilled(noted.order, None, idle=isinstance(fact, Refunded) and fact.aside)
        return Fulfilled(noted.order, await self._settle(workspace, fact.provider, payment, request_id))

    async def assign(
        self, workspace: Workspace, provider: str, payment: str, account: str, offer: str, actor: str,
        request_id: str = "",
    ) -> Fulfilled | None:  # fmt: skip
        """A person says whose a payment that waits is, and what for (empty: what it was bought as). None where there is
        no such payment; one that is credited stays as it is, and so does what nobody has paid in earnest."""

        async def once() -> Noted:
            seen = await self._see(workspace, provider, "", payment, account)
            if seen.receipt is None:
                return Noted()
            receipt, order = seen.receipt.receipt, seen.order.order if seen.order else None
            if receipt.state == "credited" or receipt.reason in _NOBODYS_MONEY:
                return Noted(order, receipt)
            noted = assigned(receipt, order, offer, account)
            await self._keep(workspace, seen, noted)
            return noted

        noted = await _until_nobody_is_faster(once)
        if noted.receipt is None:
            return None
        settled = await self._settle(workspace, provider, payment, request_id, actor)
        if noted.order is not None and noted.order.account == account:
            await self._hand_on(workspace, noted.order, actor, request_id)
        return Fulfilled(noted.order, settled)

    async def rehearse(
        self, workspace: Workspace, provider: str, payment: str, account: str, offer: str
    ) -> Receipt | None:  # fmt: skip
        """What would come of `assign`, for a payment that waits."""
        seen = await self._see(workspace, provider, "", payment, account)
        if seen.receipt is None:
            return None
        noted = assigned(seen.receipt.receipt, seen.known.order, offer, account)
        assert noted.receipt is not None, "it was there before"
        subscription = await self._subscriptions.of(workspace.id, account)
        known = replace(seen.known, order=noted.order, receipt=noted.receipt, subscription=subscription)
        command = due(known)
        if command is None:
            return noted.receipt
        outcome = await self._engine.ask(command, dry=True)
        if isinstance(outcome, Refused):
            return refused(noted.receipt, str(outcome.code))
        assert outcome.entry is not None, "what is accepted here is an entry"
        return told(noted.receipt, command, outcome.entry)

    async def claim_order(
        self, workspace: Workspace, provider: str, id: str, account: str, actor: str, request_id: str = ""
    ) -> Order | None:  # fmt: skip
        """Somebody says whose an order is that nobody knew the account of; its payments that wait for that are
        credited, and so are those of upgrades that came of it. None where there is no such order; one that has an
        account keeps it."""

        async def once() -> Order | None:
            kept = await self._purchases.order(workspace.id, provider, id)
            if kept is None or kept.order.account:
                return kept.order if kept else None
            order = replace(kept.order, account=account)
            await self._purchases.keep(workspace.id, [(order, kept.version)])
            return order

        order = await _until_nobody_is_faster(once)
        if order is not None and order.account == account:
            await self._claimed(workspace, order, actor, request_id)
        return order

    async def _claimed(self, workspace: Workspace, order: Order, actor: str, request_id: str) -> None:
        """An order has an account: what was paid for it before that is credited, the oldest first, and so are those
        that came of it."""
        for kept in await self._purchases.receipts_of_order(workspace.id, order.provider, order.id):
            if kept.receipt.reason == "no_account":
                payment = kept.receipt.payment
                await self.assign(workspace, order.provider, payment, order.account, "", actor, request_id)
        await self._hand_on(workspace, order, actor, request_id)

    async def _hand_on(self, workspace: Workspace, order: Order, actor: str, request_id: str) -> None:
        """Whose an order is, those are that came of it, where nobody knew that."""
        for each in await self._purchases.unclaimed_after(workspace.id, order.provider, order.id):
            await self.claim_order(workspace, order.provider, each.id, order.account, actor, request_id)

    # Reading

    async def _see(
        self, workspace: Workspace, provider: str, order: str, payment: str, account: str, came_of: str = ""
    ) -> _Seen:  # fmt: skip
        receipt = await self._purchases.receipt(workspace.id, provider, payment) if payment else None
        order = order or (receipt.receipt.order if receipt else "")
        kept = await self._purchases.order(workspace.id, provider, order) if order else None
        before = await self._purchases.order(workspace.id, provider, came_of) if came_of else None
        owner = (kept.order.account if kept else "") or (receipt.receipt.account if receipt else "") or account
        owner = owner or (before.order.account if before else "")
        known = Known(
            workspace=workspace,
            catalogue=await self._products.catalogue(workspace.id),
            order=kept.order if kept else None,
            receipt=receipt.receipt if receipt else None,
            came_of=before.order if before else None,
            subscription=await self._subscriptions.of(workspace.id, owner) if owner else None,
            terms=await self._terms(workspace, receipt.receipt) if receipt else None,
        )
        return _Seen(known, kept, receipt)

    async def _terms(self, workspace: Workspace, receipt: Receipt) -> GrantTerms | None:
        """Those of a payment's grant, where credits of it are to be given again."""
        if all(each.grant for each in receipt.again):
            return None
        return await self._purchases.grant(workspace.id, receipt.account, receipt.grant)

    # Writing

    async def _keep(self, workspace: Workspace, seen: _Seen, noted: Noted) -> None:
        """Write the rows that a fact has changed, and that of an order whose place was taken."""
        orders = await self._replaced(workspace, noted)
        if noted.order is not None and (seen.order is None or noted.order != seen.order.order):
            orders.append((noted.order, seen.order.version if seen.order else 0))
        if noted.receipt is not None and (seen.receipt is None or noted.receipt != seen.receipt.receipt):
            await self._change(workspace, orders, seen.receipt, noted.receipt)
        else:
            await self._purchases.keep(workspace.id, orders)

    async def _change(
        self, workspace: Workspace, orders: Sequence[tuple[Order, int]], before: KeptReceipt | None, after: Receipt
    ) -> None:  # fmt: skip
        """Write a receipt that has changed, and in the same commit what programs may want to be told of that."""
        at, bucket = self._now_us(), bucket_of(workspace.id, after.account)
        events = [
            Event(self._ids("evt", at, bucket), workspace.id, after.account, bucket, type, at, data)
            for type, data in happened(before.receipt if before else None, after, workspace.scale)
        ]

        async def also(execute: Execute) -> None:
            await self._events.write(execute, events)
            if self._watch is not None:
                await self._watch.told(execute, workspace, before.receipt if before else None, after, at)

        await self._purchases.keep(workspace.id, orders, [(after, before.version if before else 0)], also)

    async def _tell_missed(self, workspace: Workspace, fact: Missed, known: Known) -> None:
        """Tell that a renewal was not paid. Nothing else comes of it: the provider tries again."""
        found = missed(fact, known.order, known.subscription)
        if found is None or known.order is None:
            return
        (said, once), account, at = found, known.order.account, self._now_us()
        bucket = bucket_of(workspace.id, account)
        id = self._ids("evt", at, bucket)
        await self._events.add([Event(id, workspace.id, account, bucket, RENEWAL_FAILED, at, said, once)])

    async def _replaced(self, workspace: Workspace, noted: Noted) -> list[tuple[Order, int]]:
        """The order that another took the place of: what becomes of it moves nothing any more."""
        if noted.order is None or noted.replaced in ("", noted.order.id):
            return []
        old = await self._purchases.order(workspace.id, noted.order.provider, noted.replaced)
        if old is None or old.order.state == "replaced":
            return []
        if noted.order.account and old.order.account not in ("", noted.order.account):
            return []  # whose tier it gives still has to hear of its end
        return [(replace(old.order, state="replaced"), old.version)]

    # Asking

    async def _settle(
        self, workspace: Workspace, provider: str, payment: str, request_id: str, actor: str = ""
    ) -> Receipt | None:  # fmt: skip
        """Ask the ledger for what a payment still needs, until nothing is left."""
        for _ in range(TRIES):
            seen = await self._see(workspace, provider, "", payment, "")
            command = due(seen.known)
            if command is None:
                return seen.known.receipt
            outcome = await self._ask(command, request_id, actor)
            if isinstance(outcome, Refused):
                if outcome.code in _STALE and isinstance(command, Renew | Subscribe):
                    continue
                if outcome.code == Refusal.GRANT_ARCHIVED:
                    await self._answer(workspace, provider, payment, partial(too_late, command=command))
                elif isinstance(command, GiveGrant) and not is_credit(command):
                    await self._answer(
                        workspace, provider, payment, partial(not_given, command=command, code=str(outcome.code))
                    )
                elif isinstance(command, CloseDispute):
                    await self._answer(workspace, provider, payment, partial(given_back, hold=command.hold))
                else:
                    await self._answer(workspace, provider, payment, partial(refused, code=str(outcome.code)))
                continue
            assert outcome.entry is not None, "what is accepted here is an entry"
            if await self._is_ours(workspace, provider, payment, command, outcome):
                await self._answer(workspace, provider, payment, partial(told, command=command, entry=outcome.entry))
        raise Raced(f"payment {payment} was not settled: somebody else was faster again and again")

    async def _answer(
        self, workspace: Workspace, provider: str, payment: str, change: Callable[[Receipt], Receipt]
    ) -> None:  # fmt: skip
        """Put the ledger's answer down, on the receipt as it is by now."""

        async def once() -> None:
            kept = await self._purchases.receipt(workspace.id, provider, payment)
            assert kept is not None, "receipts stay"
            changed = change(kept.receipt)
            if changed != kept.receipt:
                await self._change(workspace, (), kept, changed)

        await _until_nobody_is_faster(once)

    async def _ask(self, command: Command, request_id: str, actor: str = "") -> Accepted | Refused:
        command.request_id = request_id
        if actor:
            command.actor = actor
        outcome = await self._engine.ask(command)
        if isinstance(outcome, Refused) and not (isinstance(command, CREDITS) or outcome.code in _OVER):
            raise RuntimeError(f"the ledger refused a {command.kind} for a payment: {outcome.code}")
        return outcome

    async def _is_ours(
        self, workspace: Workspace, provider: str, payment: str, command: Command, outcome: Accepted
    ) -> bool:  # fmt: skip
        """A renewal's key is that of its period: what was answered again may be of another payment, and then the
        subscription has moved on."""
        if not (outcome.replayed and isinstance(command, Renew) and outcome.entry):
            return True
        return await self._purchases.claimed_by(workspace.id, provider, payment) == outcome.entry.id


async def _until_nobody_is_faster(once: Callable[[], Awaitable[T]]) -> T:
    for _ in range(TRIES):
        try:
            return await once()
        except Raced:
            continue
    raise Raced("somebody else was faster again and again")
