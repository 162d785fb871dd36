"""Control of the stand-in, under /_fake: what a test makes happen, and the books that it compares with.

Whatever is made to happen is told before the answer, unless events are held or come later.
"""

import random
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from farthing.fakes.web import Refusal, Request, Response, Routes, json_of

from . import checkout, customers, payments, reversals
from .api import Api, Weather
from .books import books
from .cards import bank_of, card_of
from .params import Json, Refused
from .running import Running
from .sender import Delivery, Endpoint, Sender
from .world import seen


class _Forward(Struct, forbid_unknown_fields=True):
    seconds: float = 0
    hours: float = 0
    days: float = 0


class _Weather(Struct, forbid_unknown_fields=True):
    mode: Literal["fine", "rate_limited", "error", "html", "slow", "cut", "lost_answer"] = "fine"
    times: int | None = None
    path: str = ""
    seconds: float = 1.0


class _Habits(Struct, forbid_unknown_fields=True):
    hold: bool | UnsetType = UNSET
    duplicate: float | UnsetType = UNSET
    lose_answer: float | UnsetType = UNSET
    delay: float | UnsetType = UNSET
    delay_seconds: float | UnsetType = UNSET
    only: list[str] | UnsetType = UNSET
    at_once: int | UnsetType = UNSET
    seed: int | UnsetType = UNSET


class _Rules(Struct, forbid_unknown_fields=True):
    livemode: bool | UnsetType = UNSET
    most_a_second: int | UnsetType = UNSET
    keys: list[str] | UnsetType = UNSET
    restricted_keys: list[str] | UnsetType = UNSET


class _Endpoint(Struct, forbid_unknown_fields=True):
    url: str
    secrets: list[str]


class _Paying(Struct, forbid_unknown_fields=True):
    card: str = "4242424242424242"
    """A card's number, or an IBAN."""
    email: str = ""
    authenticate: bool = True
    """What the customer answers, if the bank asks."""


class _Well(Struct, forbid_unknown_fields=True):
    well: bool = True


class _Dispute(Struct, forbid_unknown_fields=True):
    amount: int | None = None
    reason: str = "fraudulent"
    inquiry: bool = False


class _Close(Struct, forbid_unknown_fields=True):
    status: Literal["won", "lost", "warning_closed"]


class _Back(Struct, forbid_unknown_fields=True):
    amount: int | None = None


class _Release(Struct, forbid_unknown_fields=True):
    order: Literal["in_order", "reversed", "shuffled"] = "in_order"
    ids: list[str] = []
    seed: int = 24


class Control:
    """What can be made to happen."""

    def __init__(self, api: Api, sender: Sender, running: Running) -> None:
        self._api = api
        self._world = api.world
        self._sender = sender
        self._running = running

    def enter(self, routes: Routes) -> None:
        """Enter the routes."""
        for method, pattern, handler in (
            ("GET", "/_fake/books", self.books),
            ("GET", "/_fake/state", self.state),
            ("GET", "/_fake/clock", self.clock),
            ("POST", "/_fake/clock/advance", self.advance),
            ("GET", "/_fake/weather", self.is_weather),
            ("POST", "/_fake/weather", self.weather),
            ("POST", "/_fake/habits", self.habits),
            ("POST", "/_fake/rules", self.rules),
            ("POST", "/_fake/endpoint", self.endpoint),
            ("POST", "/_fake/checkouts/{id}/pay", self.pay),
            ("POST", "/_fake/checkouts/{id}/expire", self.expire),
            ("POST", "/_fake/payments/{id}/settle", self.settle),
            ("POST", "/_fake/payments/{id}/authenticate", self.authenticate),
            ("POST", "/_fake/payments/{id}/refund", self.refund),
            ("POST", "/_fake/payments/{id}/dispute", self.dispute),
            ("POST", "/_fake/disputes/{id}/escalate", self.escalate),
            ("POST", "/_fake/disputes/{id}/close", self.close),
            ("POST", "/_fake/refunds/{id}/end", self.end_refund),
            ("GET", "/_fake/events", self.events),
            ("POST", "/_fake/events/send", self.send),
            ("POST", "/_fake/events/release", self.release),
            ("POST", "/_fake/events/{id}/resend", self.resend),
        ):
            routes.add(method, pattern, handler)

    # Looking

    async def books(self, request: Request) -> Response:
        """What was paid, went back and is disputed, by payment and by currency."""
        return json_of(books(self._world))

    async def state(self, request: Request) -> Response:
        """How many there are of each kind; with ?kind= all of one."""
        if kind := request.query.get("kind"):
            return json_of({"data": [seen(each) for each in self._world.all(kind)]})
        return json_of({"counts": self._world.counts(), "now": self._world.clock.now()})

    async def clock(self, request: Request) -> Response:
        """What time it is."""
        return json_of({"now": self._world.clock.now()})

    async def events(self, request: Request) -> Response:
        """All that were ever to be sent, oldest first; ?type= chooses."""
        wanted = request.query.get("type")
        shown = [each.shown() for each in self._sender.all() if wanted in (None, each.event["type"])]
        return json_of({"events": shown})

    # How it is

    async def advance(self, request: Request) -> Response:
        """Put the clock forward; what is due on the way happens, and events are sent, each at its time."""
        asked = request.read(_Forward)
        seconds = asked.seconds + asked.hours * 3_600 + asked.days * 86_400
        if seconds < 0:
            raise Refusal("time goes forward only")
        self._world.base = request.base
        await self._running.advance(seconds)
        return await self.clock(request)

    async def weather(self, request: Request) -> Response:
        """What happens to calls."""
        asked = request.read(_Weather)
        self._api.change(Weather(**asdict(asked)))
        return json_of(asdict(asked))

    async def is_weather(self, request: Request) -> Response:
        """What it is, and how many calls slow weather holds up."""
        return json_of(vars(self._api.weather) | {"waiting": self._api.waiting})

    async def habits(self, request: Request) -> Response:
        """What happens to events."""
        self._sender.change(_given(request.read(_Habits)))
        return json_of(vars(self._sender.habits))

    async def rules(self, request: Request) -> Response:
        """Which keys are taken, how often, and whether what is made from now on is live."""
        given = _given(request.read(_Rules))
        self._world.livemode = given.get("livemode", self._world.livemode)
        self._api.access.limit(given.get("most_a_second", self._api.access.most_a_second))
        for name in ("keys", "restricted_keys"):
            if name in given:
                setattr(self._api.access, name, set(given[name]))
        return json_of({"livemode": self._world.livemode, "most_a_second": self._api.access.most_a_second})

    async def endpoint(self, request: Request) -> Response:
        """Where events go from now on, and what signs them."""
        asked = request.read(_Endpoint)
        self._sender.endpoint = Endpoint(asked.url, tuple(asked.secrets))
        return json_of({"url": asked.url})

    # What happens

    async def pay(self, request: Request, id: str) -> Response:
        """Somebody pays on a checkout."""
        asked, world = request.read(_Paying), self._world
        world.base = request.base

        def act() -> Json:
            session = world.find("checkout.session", id)
            by = bank_of(asked.card) if asked.card[:2].isalpha() else card_of(asked.card)
            made = checkout.pay(world, session, customers.make_method(world, by), asked.email)
            if made["status"] == "requires_action":
                payments.authenticate(world, made, asked.authenticate)
            return session

        return await self._happens(act)

    async def expire(self, request: Request, id: str) -> Response:
        """Nobody has paid on a checkout."""
        return await self._on("checkout.session", id, lambda found: checkout.expire(self._world, found))

    async def settle(self, request: Request, id: str) -> Response:
        """The bank has decided on a debit."""
        well = request.read(_Well).well

        def act(found: Json) -> None:
            if found["status"] != "processing":
                raise Refused(f"the payment is {found['status']}")
            payments.settle(self._world, found, well)

        return await self._on("payment_intent", id, act)

    async def authenticate(self, request: Request, id: str) -> Response:
        """The customer has answered the bank."""
        well = request.read(_Well).well
        return await self._on("payment_intent", id, lambda found: payments.authenticate(self._world, found, well))

    async def refund(self, request: Request, id: str) -> Response:
        """Somebody sends money back on Stripe's own pages."""
        asked = request.read(_Back)

        def act(found: Json) -> Json:
            charge = self._world.find("charge", found["latest_charge"])
            left = charge["amount"] - charge["amount_refunded"]
            amount = left if asked.amount is None else asked.amount
            if not 0 < amount <= left:
                raise Refused(f"there are {left} left to refund")
            return reversals.refund(self._world, charge, amount, None, {})

        return await self._on("payment_intent", id, act)

    async def dispute(self, request: Request, id: str) -> Response:
        """The payer goes to his bank."""
        asked = request.read(_Dispute)

        def act(found: Json) -> Json:
            charge = self._world.find("charge", found["latest_charge"])
            return reversals.dispute(self._world, charge, asked.reason, asked.amount, asked.inquiry)

        return await self._on("payment_intent", id, act)

    async def escalate(self, request: Request, id: str) -> Response:
        """An inquiry becomes a dispute."""
        return await self._on("dispute", id, lambda found: reversals.escalate(self._world, found))

    async def close(self, request: Request, id: str) -> Response:
        """The bank has decided a dispute: won, lost, or of an inquiry warning_closed."""
        status = request.read(_Close).status
        return await self._on("dispute", id, lambda found: reversals.close(self._world, found, status))

    async def end_refund(self, request: Request, id: str) -> Response:
        """What has become of a refund."""
        well = request.read(_Well).well
        return await self._on("refund", id, lambda found: reversals.end_refund(self._world, found, well))

    # Events

    async def send(self, request: Request) -> Response:
        """Send what is due."""
        return json_of({"sent": await self._sender.send_due()})

    async def release(self, request: Request) -> Response:
        """Let held events out, one after the other."""
        asked = request.read(_Release)
        held = [each for each in self._sender.all() if each.due_at is None and not each.tries]
        if asked.ids:
            held = sorted((each for each in held if each.event["id"] in asked.ids), key=_place_in(asked.ids))
        if asked.order == "reversed":
            held.reverse()
        elif asked.order == "shuffled":
            random.Random(asked.seed).shuffle(held)  # noqa: S311 - no secrets here
        for each in held:
            await self._sender.send(each)
        return json_of({"events": [each.shown() for each in held]})

    async def resend(self, request: Request, id: str) -> Response:
        """The button that sends one again."""
        found = self._sender.delivery(id)
        if found is None:
            raise Refusal(f"there is no event {id}", 404)
        await self._sender.send(found)
        return json_of(found.shown())

    # Inside

    async def _on(self, kind: str, id: str, act: Any) -> Response:
        """Do something with an object; what it gives, or how the object is then."""

        def whole() -> Json:
            found = self._world.find(kind, id)
            given = act(found)
            return given if isinstance(given, dict) else found

        return await self._happens(whole)

    async def _happens(self, act: Any) -> Response:
        try:
            told = act()
        except Refused as refused:
            raise Refusal(str(refused), refused.status) from refused
        await self._sender.send_due()
        return json_of(seen(told))


def _place_in(ids: list[str]) -> Any:
    def place(delivery: Delivery) -> int:
        return ids.index(delivery.event["id"])

    return place


def _given(change: Struct) -> dict[str, Any]:
    return {name: value for name, value in asdict(change).items() if value is not msgspec.UNSET}
