"""Sending notifications: at once or later, once or more often, again and again until they are answered by OK."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

import httpx2

from .clock import Clock, text_of
from .messages import CATEGORY_OF, TRANSACTION_OF, body_of, connection_test, fields_of
from .model import Connection, Message, Money, Order, Product, State

LADDER: Final = tuple(timedelta(minutes=3 * 2**step) for step in range(9)) + (timedelta(days=1),) * 11
"""How long after each try the next one comes: first 3 minutes, a day from the tenth on, twenty in all."""
LATER: Final = timedelta(minutes=1)
"""When a connection with the timing `delayed` is told."""
ANSWER_SECONDS: Final = 10.0


@dataclass
class Habits:
    """What happens to messages on their way. Shares are between 0 and 1, and drawn from the seed."""

    hold: bool = False
    """None goes out until it is released."""
    duplicate: float = 0.0
    """Sent twice."""
    lose_answer: float = 0.0
    """Arrives, but its answer does not come back: it is sent again."""
    delay: float = 0.0
    """Sent later than others that come after it."""
    delay_seconds: float = 600.0
    """How much later, at most."""
    upper_keys: bool = False
    """The account's option: names are upper-cased for the signature."""
    upper_names: bool = False
    """They are even sent so."""
    refunds_without_custom: bool = False
    """Real refunds often come without it."""
    refunds_by_number: bool = False
    """They name what was paid by the number in payment_id, which all items have that were paid at once."""
    signup_event: bool = False
    """The first payment of a subscription is told as on_payment_subscription_signup."""
    seed: int = 24
    _random: Random = field(default_factory=lambda: Random(24), repr=False)  # noqa: S311 - no secrets

    def draw(self, share: float) -> bool:
        """Whether it happens this time."""
        return self._random.random() < share

    def late(self) -> timedelta:
        """How much later."""
        return timedelta(seconds=self._random.random() * self.delay_seconds)

    def change(self, given: dict[str, Any]) -> None:
        """Take on others; a seed begins anew."""
        for name, value in given.items():
            setattr(self, name, value)
        if "seed" in given:
            self._random.seed(self.seed)

    def told(self) -> dict[str, Any]:
        """All of them."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


class Post:
    """Messages, from what happened to what was answered."""

    def __init__(self, state: State, clock: Clock) -> None:
        self.habits = Habits()
        self._state = state
        self._clock = clock
        self._http: httpx2.AsyncClient | None = None
        self._open: dict[str, Message] = {}
        """What is still to be sent."""
        self._one_by_one = asyncio.Lock()

    # What is to be sent

    def tell(self, event: str, order: Order, money: Money | None) -> None:
        """Something has happened to an order: one message for each connection that asked for it."""
        if event == "on_payment" and self.habits.signup_event and order.plan.installments == 0 and order.sequence == 1:
            event = "on_payment_subscription_signup"
        product_id = order.lines[0 if money is None else money.line].product_id
        product = self._state.products.get(product_id) or Product(product_id, f"Product {product_id}")
        with_custom = event not in ("on_refund", "on_chargeback") or not self.habits.refunds_without_custom
        for connection in self._state.connections.values():
            if self._wants(connection, event, product_id):
                fields = fields_of(event, order, money, product, connection, with_custom=with_custom)
                if self.habits.refunds_by_number and money is not None and money.type != "payment":
                    fields["parent_transaction_id"] = money.payment_id.rpartition("T")[2]
                self._put(connection, event, fields, order.id, "" if money is None else money.id)

    def _wants(self, connection: Connection, event: str, product_id: str) -> bool:
        if event in CATEGORY_OF:
            return CATEGORY_OF[event] in connection.categories.split(",")
        return connection.wants(TRANSACTION_OF[event], product_id)

    def test(self, connection: Connection) -> Message:
        """The button that tests a connection."""
        return self._put(connection, "connection_test", connection_test(connection), "", "")

    def _put(
        self, connection: Connection, event: str, fields: dict[str, str], order_id: str, transaction_id: str
    ) -> Message:  # fmt: skip
        if self.habits.upper_names:
            fields = {name.upper(): text for name, text in fields.items()}
        now, habits = self._clock.now(), self.habits
        due = now + (LATER if connection.timing == "delayed" else timedelta())
        if habits.draw(habits.delay):
            due += habits.late()
        message = Message(
            self._state.number(), event, order_id, transaction_id, connection.domain_id, connection.url,
            body_of(fields, connection, habits.upper_keys or habits.upper_names), now, due, held=habits.hold,
        )  # fmt: skip
        self._state.messages[message.id] = self._open[message.id] = message
        return message

    # Sending

    def next_due(self) -> datetime | None:
        """When the next message is to be sent."""
        return min((each.due_at for each in self._waiting() if each.due_at), default=None)

    def _waiting(self) -> list[Message]:
        return [each for each in self._open.values() if each.due_at is not None and not each.held]

    async def send_due(self) -> int:
        """Send what is due, oldest first; how many that were. Who finds somebody at it waits, and does the rest."""
        sent = 0
        async with self._one_by_one:
            while due := [each for each in self._waiting() if each.due_at and each.due_at <= self._clock.now()]:
                await self._send(min(due, key=lambda message: (message.due_at or message.at, int(message.id))))
                sent += 1
        return sent

    async def send(self, message: Message) -> bool:
        """Send one, whenever it is due, and plan its next try where it takes one; whether it was answered by OK."""
        async with self._one_by_one:
            return await self._send(message)

    async def _send(self, message: Message) -> bool:
        message.held = False
        went_well = await self._try(message, lost=self.habits.draw(self.habits.lose_answer))
        if self.habits.draw(self.habits.duplicate):
            await self._try(message, lost=False)
        message.rung += 1
        message.done = message.done or went_well
        message.due_at = None
        if not message.done and message.rung <= len(LADDER):
            message.due_at = self._clock.now() + LADDER[message.rung - 1]
        else:
            self._open.pop(message.id, None)
        return went_well

    async def _try(self, message: Message, *, lost: bool) -> bool:
        assert self._http is not None, "the stand-in is not running"
        tried: dict[str, Any] = {"at": text_of(self._clock.now())}
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8", "user-agent": "Digistore24 fake"}
        try:
            answer = await self._http.post(message.url, content=message.body.encode("ascii"), headers=headers)
            tried |= {"status": answer.status_code, "answer": answer.text[:200]}
            went_well = answer.status_code == 200 and answer.content.startswith(b"OK") and not lost
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            tried |= {"status": None, "answer": type(error).__name__}
            went_well = False
        message.tries.append(tried | {"lost": lost, "ok": went_well})
        return went_well

    async def look(self, url: str) -> str:
        """Why an address can't take messages; empty where it can. It has to answer a GET by 200, itself."""
        assert self._http is not None, "the stand-in is not running"
        try:
            answer = await self._http.get(url)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return f"can't be reached ({type(error).__name__})"
        return "" if answer.status_code == 200 else f"answers {answer.status_code} instead of 200"

    # Running

    async def __aenter__(self) -> None:
        context = await asyncio.to_thread(httpx2.create_ssl_context)
        self._http = httpx2.AsyncClient(verify=context, timeout=ANSWER_SECONDS, follow_redirects=False)

    async def __aexit__(self, *_: object) -> None:
        assert self._http is not None
        await self._http.aclose()
