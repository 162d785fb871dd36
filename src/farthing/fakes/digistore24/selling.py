"""What becomes of orders: bought, paid again, missed, stopped, given back, upgraded. Each tells what has happened.

Nothing waits in here: whoever looks sees all of a change or none of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from farthing.fakes.web import Refusal

from .clock import Clock, after
from .model import Line, Link, Money, Order, Plan, State, Upgrade, cents

RETRY_DAYS: Final = 3
MOST_MISSES: Final = 3
"""So often a payment is tried again before the order ends."""

Tell = Callable[[str, Order, Money | None], None]
"""That something has happened to an order, with the money that moved."""


@dataclass(frozen=True)
class Buyer:
    """Who buys, and how."""

    email: str = "buyer@example.com"
    first_name: str = "Bea"
    last_name: str = "Buyer"
    country: str = "DE"
    pay_method: str = "creditcard"
    test: bool = False


class Shop:
    """Sells, and tells of it."""

    def __init__(self, state: State, clock: Clock, tell: Tell) -> None:
        self.state = state
        self.clock = clock
        self._tell = tell

    # Buying

    def order(self, link: Link, buyer: Buyer) -> Order:
        """An order as a link has it, not paid yet."""
        state, plan = self.state, link.plan
        lines = [Line(state.number(), link.product_id, plan.first * link.quantity, plan.other * link.quantity)]
        lines[0].quantity = link.quantity
        lines += [Line(state.number(), product, first, other, count) for product, first, other, count in link.extra]
        order = Order(
            state.letters(8), self.clock.now(), plan, lines, custom=link.custom,
            email=link.email if link.is_email_fixed else buyer.email,
            first_name=link.first_name or buyer.first_name, last_name=link.last_name or buyer.last_name,
            country=buyer.country, buyer_id=state.number(), test=buyer.test,
            pay_method="test" if buyer.test else buyer.pay_method, force_rebilling=link.force_rebilling,
            purchase_key=state.letters(8), placeholders=link.placeholders,
        )  # fmt: skip
        state.orders[order.id] = order
        return order

    def buy(self, link: Link, buyer: Buyer) -> Order:
        """An order that is paid at once, unless it is by bank transfer: that takes until somebody says it came."""
        before = self.state.orders.get(link.upgrade_order_id)
        order = self.order(link, buyer)
        if before is not None:
            self._replace(before, order, link.upgrade_type or "upgrade")
        if order.pay_method != "banktransfer":
            self.pay(order)
        return order

    def decline(self, link: Link, buyer: Buyer) -> Order:
        """An order whose payment is refused."""
        order = self.order(link, buyer)
        order.status, order.stop_reason = "aborted", "payment_denied"
        self._tell("payment_denial", order, None)
        return order

    # Paying

    def pay(self, order: Order) -> None:
        """The next payment of an order has come: one transaction for each of its items."""
        now = self.clock.now()
        order.sequence += 1
        order.misses = 0
        number = self.state.number()
        sequence = 0 if order.plan.installments == 1 else order.sequence
        paid = [
            Money(
                self.state.number(), order.id, place, "payment",
                cents(line.first if order.sequence == 1 else line.other), order.plan.currency, now, number,
                f"PAYID-10-T{number}", sequence, order.pay_method,
            )
            for place, line in enumerate(order.lines)
        ]  # fmt: skip
        self._go_on(order, now)
        for money in paid:
            self._book(order, money)
            self._tell("on_payment", order, money)

    def _go_on(self, order: Order, now: datetime) -> None:
        """What comes after a payment."""
        plan = order.plan
        is_last = plan.installments and order.sequence >= plan.installments
        if is_last:
            order.status, order.rebilling, order.next_payment_at = "completed", False, None
            return
        interval = plan.first_interval if order.sequence == 1 else plan.other_interval
        order.status, order.rebilling, order.ends_at = "paying", True, None
        # From the day it was due: a payment that was missed and made up moves nothing.
        order.next_payment_at = after(order.next_payment_at or now, interval)

    def _book(self, order: Order, money: Money) -> None:
        order.money.append(money)
        self.state.money[money.id] = money

    # Time

    def next_due(self) -> tuple[datetime, Order] | None:
        """The order that something happens to next, and when."""
        dues = ((time, order) for order in self.state.orders.values() if (time := _due(order)) is not None)
        return min(dues, key=lambda due: due[0], default=None)

    def happen(self, order: Order) -> None:
        """What was due for an order: its last paid day is over, or a payment is."""
        if not order.rebilling:
            self._end(order)
        elif order.card == "ok":
            self.pay(order)
        else:
            self.miss(order)

    def miss(self, order: Order) -> None:
        """A payment that is due does not come; it is tried again, then no more."""
        order.misses += 1
        if order.declines_left is not None:
            order.declines_left -= 1
            if order.declines_left <= 0:
                order.card, order.declines_left = "ok", None
        if order.misses > MOST_MISSES:
            order.rebilling, order.stop_reason = False, "payment_missed"
            self._tell("payment_denial", order, None)
            self._end(order)
            return
        order.status = "reminding"
        self._tell("on_payment_missed", order, None)

    def _end(self, order: Order) -> None:
        order.status, order.rebilling, order.ends_at, order.next_payment_at = "aborted", False, None, None
        self._tell("last_paid_day", order, None)

    # Stopping, going on

    def stop(self, order: Order, reason: str = "cancelled") -> bool:
        """No further payment is made; whether that changed anything."""
        if not order.rebilling:
            return False
        order.rebilling, order.stop_reason = False, reason
        order.ends_at = order.next_payment_at
        self._tell("on_rebill_cancelled", order, None)
        return True

    def resume(self, order: Order) -> bool:
        """Payments go on; whether that changed anything."""
        if order.rebilling or order.next_payment_at is None or order.ends_at is None:
            return False
        order.rebilling, order.stop_reason, order.ends_at, order.status = True, "", None, "paying"
        self._tell("on_rebill_resumed", order, None)
        return True

    # Giving back

    def give_back(self, order: Order, payment: Money, amount: Decimal | None, kind: str) -> Money:
        """Money of a payment goes back: by a refund, in part or all that is left, or by a chargeback."""
        left = payment.amount - order.given_back(payment)
        amount = left if amount is None else cents(amount)
        if not 0 < amount <= left:
            raise Refusal(f"of {payment.id} {left} can be given back, not {amount}")
        money = Money(
            self.state.number(), order.id, payment.line, kind, amount, payment.currency, self.clock.now(), payment.id,
            payment.payment_id, payment.sequence, payment.pay_method,
        )  # fmt: skip
        self._book(order, money)
        # A refund of a part counts as a discount: the order stays as it is.
        same = [each for each in order.money if each.type == "payment" and each.sequence == payment.sequence]
        is_whole = all(order.given_back(each) == each.amount for each in same)
        was_going_on = order.rebilling or order.ends_at is not None
        if is_whole:
            order.status, order.rebilling, order.stop_reason = "aborted", False, kind
        self._tell(f"on_{kind}", order, money)
        if is_whole and was_going_on:
            self._end(order)
        return money

    # Upgrading

    def upgrade(self, before: Order, upgrade: Upgrade, plan: Plan, buyer: Buyer) -> Order:
        """Another product in place of, or beside, the one that an order is for. Nobody has put words of his into the
        way there, so the new order has none."""
        kind = upgrade.types[before.product_id]
        order = self.order(Link("", upgrade.to_product_id, plan), buyer)
        order.email, order.buyer_id = before.email, before.buyer_id
        self._replace(before, order, kind)
        self.pay(order)
        return order

    def credit_left(self, before: Order) -> Decimal:
        """What of an order's last payment is for time to come."""
        payments = [each for each in before.money if each.type == "payment"]
        if not before.rebilling or before.next_payment_at is None or not payments:
            return Decimal(0)
        last = payments[-1]
        share = (before.next_payment_at - self.clock.now()) / (before.next_payment_at - last.at)
        return cents(last.amount * Decimal(str(max(0.0, min(1.0, share)))))

    def _replace(self, before: Order, order: Order, kind: str) -> None:
        """An upgrade takes the place of the order before at once, and what is left of that counts towards it; a
        downgrade does when its paid time is over; a special offer leaves it as it is."""
        order.order_type, order.upgraded_order_id, order.upgrade_type = "upgrade", before.id, kind
        if kind == "special_offer":
            return
        if kind == "upgrade":
            line = order.lines[0]
            line.first = max(cents(line.first - self.credit_left(before)), Decimal("0.00"))
            before.next_payment_at = None
        else:
            order.delivery_date = order.next_payment_at = before.next_payment_at
            before.ends_at = before.next_payment_at
        before.rebilling, before.stop_reason = False, kind
        before.status = "completed" if kind == "upgrade" else before.status


def _due(order: Order) -> datetime | None:
    if order.rebilling and order.next_payment_at is not None:
        return order.next_payment_at + timedelta(days=RETRY_DAYS * order.misses)
    return order.ends_at


def plan_of(first: Decimal, other: Decimal | None, currency: str, installments: int, interval: str) -> Plan:
    """A plan whose payments are all the same time apart."""
    return Plan(first, first if other is None else other, currency, installments, interval, interval)
