"""Topping up: looks at accounts that have fallen below their threshold, asks the provider, and is told by the ordinary
fulfilment when a payment has come. What follows from what is decided in `core.top_ups`; each step is one commit of
`stores.top_ups`, and between two of them the process may die.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farthing.core.catalogue import TopUp, is_currency
from farthing.core.commands import Lapse, SetAccount
from farthing.core.ids import bucket_of
from farthing.core.purchases import Receipt
from farthing.core.records import Workspace
from farthing.core.top_up_attempts import Attempt, Standing
from farthing.core.top_up_pages import Closed
from farthing.core.top_ups import (
    Answer,
    Seen,
    Step,
    answered,
    closed,
    confirmed,
    found_out,
    is_its_payment,
    look,
    resumed,
    stuck,
)
from farthing.engine import Engine, Ids
from farthing.stores.acts import Act, Once
from farthing.stores.products import Products
from farthing.stores.reports import Execute, Reports
from farthing.stores.top_ups import Decide, TopUps

from .charges import Charged, Found
from .charging import Charging
from .stripe.currencies import USUAL_DECIMALS, decimals_of

ANSWER_SECONDS: Final = 100.0
"""A provider that has not answered by then is taken for one that won't: less than nobody else waits for it."""
ACTOR: Final = "system:top_ups"


class Looked(Struct, frozen=True, kw_only=True):
    """What came of looking at an account."""

    standing: Standing
    attempt: Attempt | None = None
    """The one that is under way, or that was made just now."""
    asked: bool = False
    """The provider was asked."""
    why: str = ""
    """Why it was not, as a code."""
    again_at: int | None = None


class ToppingUp:
    """Tops accounts up."""

    def __init__(
        self, engine: Engine, reports: Reports, products: Products, top_ups: TopUps, charging: Charging,
        now_us: Callable[[], int],
    ) -> None:  # fmt: skip
        self._engine = engine
        self._reports = reports
        self._products = products
        self._top_ups = top_ups
        self._charging = charging
        self._now_us = now_us
        self._ids = Ids()

    async def look(self, workspace: Workspace, account: str) -> Looked | None:
        """Look at an account, and ask the provider where that is to be done; None where there is no such account."""
        # What time has done to it counts, booked or not.
        await self._engine.ask(Lapse(workspace=workspace.id, account=account, actor=ACTOR))
        found = await self._reports.account(workspace.id, account, self._now_us())
        if found is None:
            return None
        offer = found.settings.auto_top_up.offer if found.settings.auto_top_up else ""
        sold, at = await self._sold(workspace, offer), self._now_us()

        def decide(seen: Seen) -> Step:
            if seen.settings is not None and seen.settings.offer != offer:
                # Changed since it was read: somebody looks once more.
                return Step(standing=seen.standing, due_at=at, why="changed")
            new_id = partial(self._ids, "tup", at, bucket_of(workspace.id, account))
            return look(replace(seen, decimals=coins_of(workspace.unit)), sold, new_id)

        step = await self._top_ups.step(workspace, account, at, decide)
        if step is None:
            return None
        if step.close:
            return await self._close(workspace, account, step)
        if step.attempt is not None and step.ask:
            return await self._ask(workspace, account, step.attempt)
        if step.attempt is not None and step.find:
            return await self._find(workspace, account, step.attempt)
        return await self._looked(workspace, account, step)

    async def _sold(self, workspace: Workspace, offer: str) -> TopUp | None:
        """What is bought, where that is an offer on sale."""
        product, _, id = offer.partition("/")
        kept = await self._products.get(workspace.id, product) if offer else None
        if kept is None or kept.archived_at is not None:
            return None
        return next((each for each in kept.product.top_ups if each.id == id), None)

    async def _ask(self, workspace: Workspace, account: str, attempt: Attempt) -> Looked:
        """Ask for an attempt that is put down; its key makes it once. Who was held up until somebody else may have seen
        to it does not."""
        if self._now_us() >= attempt.ask_at:
            standing = await self._top_ups.standing(workspace.id, account)
            return Looked(standing=standing, attempt=attempt, why="in_flight", again_at=attempt.ask_at)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                charged = await self._charging.charge(
                    workspace, account, attempt.offer, attempt.provider, attempt.id, order=attempt.order,
                    quantity=attempt.quantity, sold=None if attempt.offer else _money(attempt),
                )  # fmt: skip
        except TimeoutError:
            charged = Charged(state="pending", reason="unknown", message="the provider has not answered")
        answer = _answer(charged)
        told = await self._told(workspace, account, attempt, lambda seen: answered(seen, attempt.id, answer))
        return replace(told, asked=True)

    async def _find(self, workspace: Workspace, account: str, attempt: Attempt) -> Looked:
        """Ask how an attempt stands that no notification has told of; what was paid is credited by that."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await self._charging.find(
                    workspace, account, attempt.offer, attempt.provider, attempt.id, payment=attempt.payment,
                    asked_at=attempt.began_at, quantity=attempt.quantity,
                    sold=None if attempt.offer else _money(attempt),
                )  # fmt: skip
        except TimeoutError:
            found = Found(charged=Charged(state="failed", reason="unavailable", again=True))
        answer = None if found is None else _answer(found.charged)
        return await self._told(workspace, account, attempt, lambda seen: found_out(seen, attempt.id, answer))

    async def _close(self, workspace: Workspace, account: str, step: Step) -> Looked | None:
        """Close pages that nobody shall pay on any more, and go on once they are: who has paid on one needs no more."""
        for attempt in step.close:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    came = await self._charging.close(workspace, attempt.provider, attempt.page)
            except TimeoutError:
                came = Closed(state="open")
            decide = partial(closed, id=attempt.id, told=came)
            after = await self._top_ups.step(workspace, account, self._now_us(), decide)
            if after is not None and attempt.id in after.standing.closing:
                return await self._looked(workspace, account, replace(after, attempt=None))
        return await self.look(workspace, account)

    async def _told(self, workspace: Workspace, account: str, attempt: Attempt, decide: Decide) -> Looked:
        """Put down what the provider has told of an attempt."""
        step = await self._top_ups.step(workspace, account, self._now_us(), decide)
        if step is None:  # its notification was faster
            standing = await self._top_ups.standing(workspace.id, account)
            now = await self._top_ups.attempt(workspace.id, account, attempt.id)
            return Looked(standing=standing, attempt=now)
        return Looked(standing=step.standing, attempt=step.attempt, why=step.why, again_at=step.due_at)

    async def _looked(self, workspace: Workspace, account: str, step: Step) -> Looked:
        attempt = step.attempt
        if attempt is None and step.standing.attempt:
            attempt = await self._top_ups.attempt(workspace.id, account, step.standing.attempt)
        return Looked(standing=step.standing, attempt=attempt, why=step.why, again_at=step.due_at)

    async def switch_off(self, workspace: str, account: str, act: Act) -> None:
        """Buy nothing for an account any more, as it is erased."""
        found = await self._reports.account(workspace, account, self._now_us())
        if found is not None and found.settings.auto_top_up is not None:
            off = SetAccount(
                workspace=workspace, account=account, auto_top_up=None, actor=act.actor, role=act.role,
                request_id=act.request_id,
            )  # fmt: skip
            await self._engine.ask(off)

    async def resume(
        self, workspace: Workspace, account: str, act: Act, once: Once | None = None
    ) -> Standing | None:  # fmt: skip
        """Somebody says that it may go on, as if nothing had failed; None where there is no such account."""
        return await self._top_ups.resume(workspace, account, resumed, act, once)


class Confirming:
    """Is told of receipts, and ends the attempts that they are of, in their own commit."""

    def __init__(self, top_ups: TopUps) -> None:
        self._top_ups = top_ups

    async def told(
        self, execute: Execute, workspace: Workspace, before: Receipt | None, after: Receipt, at: int
    ) -> None:  # fmt: skip
        """A receipt as it was, and as it is."""
        if not after.account or (before is not None and (before.state, before.reason) == (after.state, after.reason)):
            return
        if after.state != "credited" and not after.reason:
            return
        attempt = await self._attempt(execute, workspace.id, after)
        if attempt is None:
            return

        def decide(seen: Seen) -> Step:
            if after.state == "credited":
                return confirmed(seen, attempt, after.payment, after.credits)
            return stuck(seen, attempt, after.payment, after.reason or "")

        await self._top_ups.step_within(execute, workspace, after.account, at, decide)

    async def _attempt(self, execute: Execute, workspace: str, receipt: Receipt) -> Attempt | None:
        """The one that a payment is of, if it is not done: by our key that came back with it, or by the provider's
        name of it."""
        if receipt.charge:
            found = await self._top_ups.named(execute, workspace, receipt.account, receipt.charge)
            mine = found is not None and found.account == receipt.account and found.state != "done"
            return found if mine else None
        for each in await self._top_ups.latest(execute, workspace, receipt.account):
            if each.provider == receipt.provider and is_its_payment(each, receipt.payment, receipt.order):
                return each
        return None


def _money(attempt: Attempt) -> TopUp:
    """Credits for money, one for one, as something that is sold."""
    return TopUp(id="", credits=attempt.credits, name="Top-up", price=attempt.price, currency=attempt.currency)


def _answer(charged: Charged) -> Answer:
    return Answer(
        state=charged.state, payment=charged.payment, url=charged.url, page=charged.page, reason=charged.reason,
        message=charged.message, again=charged.again,
    )  # fmt: skip


def coins_of(unit: str) -> int:
    """How many decimals of money of that unit any provider takes."""
    code = unit.upper()
    return min(decimals_of(code), USUAL_DECIMALS) if is_currency(code) and code != "ISK" else 0
