"""Control of the stand-in, under /_fake: what a test makes happen, and the books that it compares with.

Whatever is made to happen is told before the answer, unless messages are held or come later.
"""

import random
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec.structs import asdict

from farthing.fakes.web import Refusal, Request, Response, Routes

from .asked import (
    Card,
    Forward,
    GiveBack,
    HabitChange,
    NewKey,
    NewProduct,
    NewUpgrade,
    Purchase,
    Release,
    RuleChange,
    Tell,
    WeatherChange,
    given,
)
from .buying import plan_in
from .calls import Api, ApiError
from .clock import text_of
from .functions import Weather
from .messages import CATEGORY_OF, TRANSACTION_OF
from .model import Key, Link, Message, Money, Order, Product, Upgrade
from .running import Running
from .selling import Buyer, plan_of


class Control:
    """What can be made to happen."""

    def __init__(self, api: Api, running: Running) -> None:
        self._api = api
        self._state = api.state
        self._shop = api.shop
        self._post = api.post
        self._running = running

    def enter(self, routes: Routes) -> None:
        """Enter the routes."""
        for method, pattern, handler in (
            ("GET", "/_fake/books", self.books),
            ("GET", "/_fake/state", self.state),
            ("GET", "/_fake/clock", self.clock),
            ("POST", "/_fake/clock/advance", self.advance),
            ("POST", "/_fake/products", self.product),
            ("POST", "/_fake/upgrades", self.upgrade),
            ("POST", "/_fake/keys", self.key),
            ("POST", "/_fake/rules", self.rules),
            ("POST", "/_fake/weather", self.weather),
            ("POST", "/_fake/habits", self.habits),
            ("POST", "/_fake/orders", self.buy),
            ("GET", "/_fake/orders/{order_id}", self.order),
            ("POST", "/_fake/orders/{order_id}/pay", self.pay),
            ("POST", "/_fake/orders/{order_id}/refund", self.refund),
            ("POST", "/_fake/orders/{order_id}/chargeback", self.chargeback),
            ("POST", "/_fake/orders/{order_id}/card", self.card),
            ("POST", "/_fake/orders/{order_id}/cancel", self.cancel),
            ("POST", "/_fake/orders/{order_id}/resume", self.resume),
            ("POST", "/_fake/orders/{order_id}/tell", self.tell),
            ("GET", "/_fake/messages", self.messages),
            ("POST", "/_fake/messages/send", self.send),
            ("POST", "/_fake/messages/release", self.release),
            ("POST", "/_fake/messages/{message_id}/resend", self.resend),
            ("POST", "/_fake/connections/test", self.test),
        ):
            routes.add(method, pattern, handler)

    # Looking

    async def books(self, request: Request) -> Response:
        """What was paid and given back, by order and by currency; test payments are no money."""
        orders = {order.id: _booked(order) for order in self._state.orders.values()}
        totals: dict[str, dict[str, Decimal]] = {}
        for each in orders.values():
            if not each["test"]:
                sums = totals.setdefault(each["currency"], dict.fromkeys(_SUMS, Decimal(0)))
                for name in _SUMS:
                    sums[name] += each[name]
        return _told({"orders": orders, "totals": totals})

    async def state(self, request: Request) -> Response:
        """All that there is."""
        return Response(dump(self._api))

    async def clock(self, request: Request) -> Response:
        """What time it is."""
        return _told({"now": text_of(self._shop.clock.now())})

    async def order(self, request: Request, order_id: str) -> Response:
        """One order."""
        return _told(self._order(order_id))

    async def messages(self, request: Request) -> Response:
        """All messages, oldest first; ?order_id= and ?event= choose."""
        wanted = {name: request.query[name] for name in ("order_id", "event") if name in request.query}
        found = [m for m in self._state.messages.values() if all(getattr(m, n) == v for n, v in wanted.items())]
        return _told({"messages": found})

    # What there is

    async def product(self, request: Request) -> Response:
        """Make a product, or another of the same id."""
        asked = request.read(NewProduct)
        made = Product(asked.id, asked.name, asked.price, asked.currency, self._shop.clock.now())
        self._state.products[asked.id] = made
        return _told(made)

    async def upgrade(self, request: Request) -> Response:
        """Make a way from products to another."""
        asked, state = request.read(NewUpgrade), self._state
        made = Upgrade(state.number(), asked.name, asked.to_product_id, state.letters(12), dict(asked.types))
        state.upgrades[made.id] = made
        return _told(made)

    async def key(self, request: Request) -> Response:
        """Make a key, or give one other rights."""
        asked = request.read(NewKey)
        self._state.keys[asked.key] = Key(asked.key, asked.permission, asked.billing_on_demand)
        return _told({"id": self._state.keys[asked.key].id})

    async def rules(self, request: Request) -> Response:
        """Switch something."""
        for name, value in given(request.read(RuleChange)).items():
            setattr(self._api.rules, name, value)
        return _told(self._api.rules)

    async def weather(self, request: Request) -> Response:
        """What happens to calls."""
        self._running.weather = Weather(**asdict(request.read(WeatherChange)))
        return _told(self._running.weather)

    async def habits(self, request: Request) -> Response:
        """What happens to messages."""
        self._post.habits.change(given(request.read(HabitChange)))
        return _told(self._post.habits.told())

    # What happens

    async def advance(self, request: Request) -> Response:
        """Put the clock forward; what is due on the way happens, and messages are sent, each at its time."""
        asked = request.read(Forward)
        if asked.seconds < 0 or asked.days < 0:
            raise Refusal("time goes forward only")
        await self._running.advance(self._shop.clock.now() + timedelta(days=asked.days, seconds=asked.seconds))
        return await self.clock(request)

    async def buy(self, request: Request) -> Response:
        """Somebody buys: by a link, or, without words of ours, a product."""
        asked = request.read(Purchase)
        link = self._linked(asked)
        buyer = Buyer(asked.email, country=asked.country, pay_method=asked.pay_method, test=asked.test)
        order = (self._shop.decline if asked.declined else self._shop.buy)(link, buyer)
        return await self._happened(order)

    def _linked(self, asked: Purchase) -> Link:
        if asked.link:
            # A whole address will do.
            link = self._state.links.get(asked.link.rpartition("/")[2].partition("-")[0])
            if link is None:
                raise Refusal(f"there is no link {asked.link}", 404)
            return _with_upsells(link, asked)
        try:
            product = self._api.product(asked.product_id)
        except ApiError as error:
            raise Refusal(str(error), 404) from error
        plan = plan_in({}, product)
        if asked.amount is not None or asked.installments != 1:
            first = plan.first if asked.amount is None else asked.amount
            plan = plan_of(first, asked.other_amount, asked.currency, asked.installments, asked.interval)
        link = Link("", product.id, plan, asked.custom, quantity=asked.quantity, force_rebilling=asked.force_rebilling)
        return _with_upsells(link, asked)

    async def pay(self, request: Request, order_id: str) -> Response:
        """The money of an order has come that was waited for: by bank transfer, or a pending charge."""
        order = self._order(order_id)
        if order.money:
            raise Refusal(f"{order_id} is paid")
        self._shop.pay(order)
        return await self._happened(order)

    async def refund(self, request: Request, order_id: str) -> Response:
        """Money goes back."""
        return await self._give_back(request, order_id, "refund")

    async def chargeback(self, request: Request, order_id: str) -> Response:
        """The buyer's bank takes it back."""
        return await self._give_back(request, order_id, "chargeback")

    async def _give_back(self, request: Request, order_id: str, kind: str) -> Response:
        asked, order = request.read(GiveBack), self._order(order_id)
        payments = [each for each in order.money if each.type == "payment"]
        if asked.transaction_id:
            payments = [each for each in payments if each.id == asked.transaction_id]
        if not payments:
            raise Refusal(f"{order_id} has no such payment", 404)
        self._shop.give_back(order, payments[-1], asked.amount, kind)
        return await self._happened(order)

    async def card(self, request: Request, order_id: str) -> Response:
        """What further payments come to."""
        asked, order = request.read(Card), self._order(order_id)
        order.card, order.declines_left = asked.behaviour, asked.times
        return _told(order)

    async def cancel(self, request: Request, order_id: str) -> Response:
        """The buyer wants no further payments."""
        order = self._order(order_id)
        if not self._shop.stop(order):
            raise Refusal(f"{order_id} is not paid any further")
        return await self._happened(order)

    async def resume(self, request: Request, order_id: str) -> Response:
        """He does after all."""
        order = self._order(order_id)
        if not self._shop.resume(order):
            raise Refusal(f"{order_id} can't be resumed")
        return await self._happened(order)

    async def tell(self, request: Request, order_id: str) -> Response:
        """Send a message though nothing has happened."""
        order, event = self._order(order_id), request.read(Tell).event
        assert event in TRANSACTION_OF or event in CATEGORY_OF
        self._post.tell(event, order, None)
        return await self._happened(order)

    # Messages

    async def send(self, request: Request) -> Response:
        """Send what is due."""
        return _told({"sent": await self._post.send_due()})

    async def release(self, request: Request) -> Response:
        """Let held messages out, one after the other."""
        asked = request.read(Release)
        held = [m for m in self._state.messages.values() if m.held and (not asked.ids or m.id in asked.ids)]
        if asked.ids:
            held.sort(key=lambda message: asked.ids.index(message.id))
        if asked.order == "reversed":
            held.reverse()
        elif asked.order == "shuffled":
            random.Random(asked.seed).shuffle(held)  # noqa: S311 - no secrets here
        for message in held:
            await self._post.send(message)
        return _told({"messages": held})

    async def resend(self, request: Request, message_id: str) -> Response:
        """The button that sends one again."""
        message = self._state.messages.get(message_id)
        if message is None:
            raise Refusal(f"there is no message {message_id}", 404)
        await self._post.send(message)
        return _told(message)

    async def test(self, request: Request) -> Response:
        """The button that tests the connections."""
        sent: list[Message] = [self._post.test(each) for each in self._state.connections.values()]
        await self._post.send_due()
        return _told({"messages": sent})

    # Inside

    def _order(self, order_id: str) -> Order:
        found = self._state.orders.get(order_id)
        if found is None:
            raise Refusal(f"there is no order {order_id}", 404)
        return found

    async def _happened(self, order: Order) -> Response:
        await self._post.send_due()
        return _told(order)


_SUMS: Final = ("paid", "refunded", "charged_back")


def _booked(order: Order) -> dict[str, Any]:
    """What an order has come to."""
    return {
        "custom": order.custom,
        "upgraded_order_id": order.upgraded_order_id,
        "product_id": order.product_id,
        "currency": order.plan.currency,
        "test": order.test,
        "status": order.status,
        "installments": order.plan.installments,
        "paid": order.total("payment"),
        "refunded": order.total("refund"),
        "charged_back": order.total("chargeback"),
        "transactions": [_moved(order, money) for money in order.money],
    }


def _moved(order: Order, money: Money) -> dict[str, Any]:
    return {
        "id": money.id,
        "type": money.type,
        "amount": money.amount,
        "product_id": order.lines[money.line].product_id,
        "payment": money.parent_id if money.type != "payment" else money.id,
        "sequence": money.sequence,
        "at": text_of(money.at),
    }


def _with_upsells(link: Link, asked: Purchase) -> Link:
    extra = [(each.product_id, each.amount, Decimal(0), 1) for each in asked.upsells]
    return Link(**vars(link) | {"extra": [*link.extra, *extra]})


def _told(data: object) -> Response:
    return Response(msgspec.json.encode(data))


def dump(api: Api) -> bytes:
    """All of the state, as JSON, for people; keys are not in it."""
    state = api.state
    shown = {name: value for name, value in vars(state).items() if name not in ("keys", "random", "testpay_key")}
    return msgspec.json.encode(shown | {"now": datetime.isoformat(api.shop.clock.now())})
