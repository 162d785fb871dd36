"""Purchases: orders, receipts, and what providers have sent, as it came. Rows that several may change at once have a
version: who has read an older one is told so, and reads again.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from farthing.core.ids import bucket_of
from farthing.core.purchases import Order, Receipt
from farthing.core.records import GrantTerms

from .acts import AccessError, Act, Acts, Once
from .contract import Raced
from .pages import LAST, Page, Position, cut
from .reports import Database, Execute, Row
from .rows import read_grant
from .statements import statements

T = TypeVar("T")
MOST_ORDERS: Final = 200
"""Of an account, the newest: more nobody looks through to find by which it has its tier."""
ASSIGN: Final = "payment.assign"
RETRY: Final = "provider_event.retry"
GRANT_PREFIX: Final = "grt_"
"""Behind it stands when a grant was made, so that grants of a time stand together."""
_encode = msgspec.json.Encoder().encode
_order = msgspec.json.Decoder(Order)
_receipt = msgspec.json.Decoder(Receipt)


class KeptOrder(Struct, frozen=True):
    """An order, and how often it was changed."""

    order: Order
    version: int

    @property
    def place(self) -> Position:
        """Where it stands among all."""
        return (self.order.bought_at, self.order.provider, self.order.id)


class KeptReceipt(Struct, frozen=True):
    """A receipt, and how often it was changed."""

    receipt: Receipt
    version: int

    @property
    def place(self) -> Position:
        """Where it stands among all."""
        return (self.receipt.at, self.receipt.provider, self.receipt.payment)


class ProviderEvent(Struct, frozen=True):
    """What a provider has sent."""

    workspace: str
    provider: str
    id: str
    """The provider's own, or one made of what was sent: the same again has the same."""
    kind: str
    received_at: int
    done_at: int | None
    """When all that follows from it was in the ledger."""
    times: int
    """How often it came."""
    outcome: str
    body: str


class Purchases:
    """Reads and writes of who bought what."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "purchases")
        self._acts = Acts(db)

    # Orders

    async def order(self, workspace: str, provider: str, id: str) -> KeptOrder | None:
        """The order that a provider calls so."""
        rows = await self._db.rows(self._sql["order"], (workspace, provider, id))
        return _kept_order(rows[0]) if rows else None

    async def orders_named(self, workspace: str, id: str) -> list[KeptOrder]:
        """Orders of that name, whoever's: more than one where two providers have one."""
        return [_kept_order(row) for row in await self._db.rows(self._sql["orders_by_id"], (workspace, id))]

    async def orders_of(self, workspace: str, account: str) -> list[Order]:
        """What an account has bought, the newest first."""
        rows = await self._db.rows(self._sql["orders_of"], (workspace, account, MOST_ORDERS))
        return [_kept_order(row).order for row in rows]

    async def orders(
        self, workspace: str, account: str | None = None, before: Position | None = None, limit: int = 50
    ) -> Page[KeptOrder]:  # fmt: skip
        """A page of them, the newest first: all, of one account, or (an empty one) that nobody knows the account of."""
        name, whose = ("all_orders", ()) if account is None else ("orders_page", (account,))
        values = (workspace, *whose, *(before or (LAST, "", "")), limit + 1)
        rows = [_kept_order(row) for row in await self._db.rows(self._sql[name], values)]
        return cut(rows, limit, limit + 1, lambda kept: kept.place)

    async def unclaimed_after(self, workspace: str, provider: str, id: str) -> list[Order]:
        """Orders that nobody knows the account of, and that came of this one."""
        rows = await self._db.rows(self._sql["unclaimed_orders"], (workspace, provider))
        found = [_kept_order(row).order for row in rows]
        return [order for order in found if order.came_of == id]

    async def claim(
        self, workspace: str, provider: str, id: str, account: str, act: Act, once: Once | None = None
    ) -> Order:  # fmt: skip
        """Say whose an order is that nobody knew the account of. One that has an account keeps it."""

        async def work(execute: Execute) -> Order:
            rows = await execute(self._sql["order"], (workspace, provider, id))
            if not rows:
                raise AccessError(f"there is no order {id!r} of {provider}", "order_not_found")
            kept = _kept_order(rows[0])
            if kept.order.account not in ("", account):
                raise AccessError(f"the order {id!r} is of another account", "order_claimed")
            order = replace(kept.order, account=account)
            if not kept.order.account:
                await self._keep_order(execute, workspace, order, kept.version)
            detail = {"provider": provider, "before": kept.order.account or None, "after": account}
            await self._acts.changed(execute, workspace, act, "order.claim", id, detail, once, order)
            return order

        return await self._acts.once(once, workspace, "order.claim", Order, work)

    # Receipts

    async def receipt(self, workspace: str, provider: str, payment: str) -> KeptReceipt | None:
        """The receipt of a payment."""
        rows = await self._db.rows(self._sql["receipt"], (workspace, provider, payment))
        return _kept_receipt(rows[0]) if rows else None

    async def receipts(
        self, workspace: str, *, account: str = "", provider: str = "", state: str = "", before: Position | None = None,
        limit: int = 50,
    ) -> Page[KeptReceipt]:  # fmt: skip
        """Payments of a workspace, the newest first; of one account, of one provider, in one state."""
        start: Position = before or (LAST, "", "")
        values = (workspace, *start, account, account, provider, provider, state, state, limit + 1)
        rows = [_kept_receipt(row) for row in await self._db.rows(self._sql["receipts"], values)]
        return cut(rows, limit, limit + 1, lambda kept: kept.place)

    async def receipts_between(
        self, workspace: str, provider: str, since: int, until: int, after: Position, limit: int
    ) -> list[Receipt]:  # fmt: skip
        """Payments of a time, the oldest first, behind (at, payment) of the last that was read."""
        values = (workspace, provider, since, until, *after, limit)
        return [_kept_receipt(row).receipt for row in await self._db.rows(self._sql["receipts_between"], values)]

    async def receipts_of_order(self, workspace: str, provider: str, order: str) -> list[KeptReceipt]:
        """All payments of an order, the oldest first."""
        rows = await self._db.rows(self._sql["receipts_of_order"], (workspace, provider, order))
        return [_kept_receipt(row) for row in rows]

    async def waiting(self) -> int:
        """How many payments wait for somebody, or for word of themselves; in all workspaces."""
        ((count,),) = await self._db.rows(self._sql["waiting"], ())
        return int(count)

    async def claimed_by(self, workspace: str, provider: str, payment: str) -> str:
        """The entry that a payment was credited with; empty where it was not."""
        rows = await self._db.rows(self._sql["claimed"], (workspace, provider, payment))
        return str(rows[0][1]) if rows else ""

    async def grant(self, workspace: str, account: str, id: str) -> GrantTerms | None:
        """A grant of an account's."""
        rows = await self._db.rows(self._sql["grant"], (id, workspace, bucket_of(workspace, account)))
        return read_grant(rows[0]) if rows else None

    async def grants_made(
        self, workspace: str, since: int, until: int, after: str, limit: int
    ) -> list[GrantTerms]:  # fmt: skip
        """Grants of a time, by id, behind one of them."""
        first = f"{GRANT_PREFIX}{max(since, 0) // 1000:012x}"
        values = (workspace, max(after, first), f"{GRANT_PREFIX}{-(-until // 1000):012x}", limit)
        return [read_grant(row) for row in await self._db.rows(self._sql["grants_made"], values)]

    async def assigned_before(self, workspace: str, once: Once | None) -> Receipt | None:
        """What came of an assignment under this key before; None where it was not used."""
        return None if once is None else await self._acts.first(once, workspace, ASSIGN, Receipt)

    async def note_assigned(
        self, workspace: str, receipt: Receipt, detail: dict[str, Any], act: Act, once: Once | None = None
    ) -> Receipt:  # fmt: skip
        """Write down that somebody has said whose a payment is; the same again where another was faster."""

        async def work(execute: Execute) -> Receipt:
            subject = f"{receipt.provider}:{receipt.payment}"
            await self._acts.changed(execute, workspace, act, ASSIGN, subject, detail, once, receipt)
            return receipt

        return await self._acts.once(once, workspace, ASSIGN, Receipt, work)

    async def retried_before(self, workspace: str, once: Once) -> str | None:
        """What came of a message that was tried again under this key before; None where it was not used."""
        return await self._acts.first(once, workspace, RETRY, str)

    async def note_retried(
        self, workspace: str, provider: str, id: str, outcome: str, act: Act, once: Once | None = None
    ) -> str:  # fmt: skip
        """Write down that somebody had a message tried again."""

        async def work(execute: Execute) -> str:
            detail = {"outcome": outcome}
            await self._acts.changed(execute, workspace, act, RETRY, f"{provider}:{id}", detail, once, outcome)
            return outcome

        return await self._acts.once(once, workspace, RETRY, str, work)

    async def keep(
        self, workspace: str, orders: Sequence[tuple[Order, int]] = (), receipts: Sequence[tuple[Receipt, int]] = (),
        also: Callable[[Execute], Awaitable[object]] | None = None,
    ) -> None:  # fmt: skip
        """Write rows as they are now, each with the version that it was read with (0: there was none); raises `Raced`,
        with nothing written, where somebody has changed one meanwhile. `also` writes what goes with them."""

        async def work(execute: Execute) -> None:
            for order, version in orders:
                await self._keep_order(execute, workspace, order, version)
            for receipt, version in receipts:
                await self._keep_receipt(execute, workspace, receipt, version)
            if also is not None:
                await also(execute)

        if orders or receipts:
            await self._db.write(work)

    async def _keep_order(self, execute: Execute, workspace: str, order: Order, version: int) -> None:
        o, document = order, _encode(order).decode()
        if version:
            values: tuple[Any, ...] = (o.account, o.offer, o.state, document, workspace, o.provider, o.id, version)
            done = await execute(self._sql["change_order"], values)
        else:
            values = (workspace, o.provider, o.id, o.account, o.offer, o.state, o.bought_at, document)
            done = await execute(self._sql["add_order"], values)
        _require(done, f"order {o.id}")

    async def _keep_receipt(self, execute: Execute, workspace: str, receipt: Receipt, version: int) -> None:
        r, document = receipt, _encode(receipt).decode()
        if version:
            values: tuple[Any, ...] = (r.order, r.account, r.state, document, workspace, r.provider, r.payment, version)
            done = await execute(self._sql["change_receipt"], values)
        else:
            values = (workspace, r.provider, r.payment, r.order, r.account, r.state, r.at, document)
            done = await execute(self._sql["add_receipt"], values)
        _require(done, f"payment {r.payment}")

    # What was sent

    async def received(
        self, workspace: str, provider: str, id: str, kind: str, body: str, at: int, due_at: int
    ) -> ProviderEvent:  # fmt: skip
        """Keep what a provider has sent; as it was when it came first, where it has come before. Who has not done it by
        `due_at` has gone, and somebody else does it."""

        async def work(execute: Execute) -> ProviderEvent:
            values = (workspace, provider, id, kind, at, due_at, body)
            ((done_at, times, first, outcome),) = await execute(self._sql["add_event"], values)
            return ProviderEvent(workspace, provider, id, kind, first, done_at, times, outcome, body)

        return await self._db.write(work)

    async def done(self, workspace: str, provider: str, id: str, outcome: str, at: int) -> None:
        """All that follows from it is in the ledger."""

        async def work(execute: Execute) -> None:
            await execute(self._sql["event_done"], (at, outcome, workspace, provider, id))

        await self._db.write(work)

    async def failed(self, workspace: str, provider: str, id: str, outcome: str, due_at: int) -> None:
        """It could not be carried out, and will be tried again then."""

        async def work(execute: Execute) -> None:
            await execute(self._sql["event_failed"], (outcome, due_at, workspace, provider, id))

        await self._db.write(work)

    async def open_events(self, at: int, limit: int) -> list[ProviderEvent]:
        """What is not done and due, that which waits longest first; of all workspaces."""
        rows = await self._db.rows(self._sql["open_events"], (at, limit))
        return [ProviderEvent(*row) for row in rows]

    async def open_as(self, workspace: str, provider: str, outcome: str) -> list[ProviderEvent]:
        """What is not done, due or not, and was left with these words; the oldest first."""
        rows = await self._db.rows(self._sql["open_as"], (workspace, provider, outcome))
        return [ProviderEvent(*row) for row in rows]

    async def event(self, workspace: str, provider: str, id: str) -> ProviderEvent | None:
        """What was sent under that name."""
        rows = await self._db.rows(self._sql["event"], (workspace, provider, id))
        return ProviderEvent(*rows[0]) if rows else None

    async def events_about(
        self, workspace: str, provider: str, name: str, since: int, until: int, limit: int = 20
    ) -> list[ProviderEvent]:  # fmt: skip
        """What was sent in a time that has a name in it, such as that of a payment; the oldest first."""
        escaped = "".join(f"!{letter}" if letter in "!%_" else letter for letter in name)
        values = (workspace, since, until, provider, f"%{escaped}%", limit)
        return [ProviderEvent(*row) for row in await self._db.rows(self._sql["events_about"], values)]

    async def events(
        self, workspace: str, *, provider: str = "", unmatched: bool = False, before: Position | None = None,
        limit: int = 50,
    ) -> Page[ProviderEvent]:  # fmt: skip
        """What was sent, the newest first; of one provider; what could not be carried out."""
        values = (workspace, *(before or (LAST, "", "")), provider, provider, limit + 1)
        rows = await self._db.rows(self._sql["unmatched_events" if unmatched else "events"], values)
        found = [ProviderEvent(*row) for row in rows]
        return cut(found, limit, limit + 1, lambda event: (event.received_at, event.provider, event.id))

    # References

    async def add_checkout(self, workspace: str, id: str, account: str, at: int) -> None:
        """Remember whose a purchase will be that comes back under this name."""

        async def work(execute: Execute) -> None:
            await execute(self._sql["add_checkout"], (workspace, id, account, at))

        await self._db.write(work)

    async def checkout(self, workspace: str, id: str) -> str:
        """Whose it is; empty where nobody has given it out."""
        rows = await self._db.rows(self._sql["checkout"], (workspace, id))
        return str(rows[0][0]) if rows else ""


def _require(done: list[Row], what: str) -> None:
    if not done:
        raise Raced(f"{what} was changed by somebody else at the same moment")


def _kept_order(row: Row) -> KeptOrder:
    return KeptOrder(_order.decode(row[0]), row[1])


def _kept_receipt(row: Row) -> KeptReceipt:
    return KeptReceipt(_receipt.decode(row[0]), row[1])
