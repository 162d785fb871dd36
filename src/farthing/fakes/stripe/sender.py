"""Sending events: signed, at once or later, once or more often, again for three days until they are answered by 2xx."""

import asyncio
import hashlib
import hmac
import json
import random
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from .params import Json
from .world import HOUR, World, seen

LADDER: Final = (60, 300, 1_800, 2 * HOUR, 5 * HOUR, 10 * HOUR, *(12 * HOUR,) * 5)
"""How long after each failed try the next one comes: three days in all, as Stripe does it with real money."""
ANSWER_SECONDS: Final = 30.0
"""More patience than Stripe has: a machine that is busy is not what is tried out here."""
KEPT_TRIES: Final = 50


@dataclass
class Habits:
    """What happens to events on their way. Shares are between 0 and 1, and drawn from the seed."""

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
    only: list[str] = field(default_factory=list)
    """Types that the endpoint wants; none is all."""
    at_once: int = 1
    """How many are on their way at a time: with one they arrive in order, but for the habits above."""
    seed: int = 24


@dataclass
class Endpoint:
    """Where events go, and what they are signed with: with two secrets, while one is being changed."""

    url: str
    secrets: tuple[str, ...]


@dataclass
class Delivery:
    """An event on its way."""

    event: Json
    number: int
    due_at: float | None
    """None: it is held, or done with."""
    rung: int = 0
    """How many tries the ladder has seen."""
    sending: bool = False
    delivered: bool = False
    tries: list[Json] = field(default_factory=list)

    def shown(self) -> Json:
        """As the control tells of it."""
        told = {"due_at": self.due_at, "delivered": self.delivered, "tries": self.tries}
        return {"id": self.event["id"], "type": self.event["type"], **told}


class Sender:
    """Events, from what happened to what was answered."""

    def __init__(self, world: World, endpoint: Endpoint | None) -> None:
        self.habits = Habits()
        self.endpoint = endpoint
        self.news = asyncio.Event()
        """Something is to be sent."""
        self._world = world
        self._random = random.Random(self.habits.seed)  # noqa: S311 - no secrets are drawn
        self._all: dict[str, Delivery] = {}
        self._open: dict[str, Delivery] = {}
        self._http: httpx2.AsyncClient | None = None
        self._one_by_one = asyncio.Lock()

    # What is to be sent

    def tell(self, event: Json) -> None:
        """Something has happened."""
        habits = self.habits
        if self.endpoint is None or (habits.only and event["type"] not in habits.only):
            return
        event["pending_webhooks"] = 1
        late = self._random.random() * habits.delay_seconds if self._draw(habits.delay) else 0.0
        due = None if habits.hold else self._world.clock.exact() + late
        made = Delivery(event, len(self._all), due)
        self._all[event["id"]] = self._open[event["id"]] = made
        self.news.set()

    def _draw(self, share: float) -> bool:
        return self._random.random() < share

    def change(self, given: Json) -> None:
        """Take on other habits; a seed begins anew."""
        for name, value in given.items():
            setattr(self.habits, name, value)
        if "seed" in given:
            self._random.seed(self.habits.seed)

    def all(self) -> list[Delivery]:
        """All that was ever to be sent, oldest first."""
        return list(self._all.values())

    def delivery(self, id: str) -> Delivery | None:
        """That of an event."""
        return self._all.get(id)

    # Sending

    def next_due(self) -> float | None:
        """When the next is to be sent."""
        return min((at for at, _, _ in self._waiting()), default=None)

    def _waiting(self) -> list[tuple[float, int, Delivery]]:
        """What has a time, with it: to be put in order."""
        waiting = (each for each in self._open.values() if not each.sending)
        return [(each.due_at, each.number, each) for each in waiting if each.due_at is not None]

    async def send_due(self) -> int:
        """Send what is due, oldest first; how many that were. Who finds somebody at it waits, and does the rest."""
        async with self._one_by_one:
            return await self._send_due()

    async def _send_due(self) -> int:
        sent = 0
        while due := sorted(each for each in self._waiting() if each[0] <= self._world.clock.exact() + 1e-6):
            some = due[: max(1, self.habits.at_once)]
            await asyncio.gather(*(self.send(each) for _, _, each in some))
            sent += len(some)
        return sent

    async def send(self, delivery: Delivery) -> bool:
        """Send one, whenever it is due, and plan its next try where it takes one; whether it was taken."""
        delivery.sending = True
        try:
            well = await self._try(delivery, lost=self._draw(self.habits.lose_answer))
            if self._draw(self.habits.duplicate):
                await self._try(delivery, lost=False)
        finally:
            delivery.sending = False
        delivery.rung += 1
        delivery.delivered = delivery.delivered or well
        delivery.due_at = None
        if not delivery.delivered and delivery.rung <= len(LADDER):
            delivery.due_at = self._world.clock.exact() + LADDER[delivery.rung - 1]
        else:
            self._open.pop(delivery.event["id"], None)
            delivery.event["pending_webhooks"] = 0
        return well

    async def _try(self, delivery: Delivery, *, lost: bool) -> bool:
        assert self._http is not None, "the fake is not running"
        assert self.endpoint is not None
        tried: dict[str, Any] = {"at": self._world.clock.now(), "lost": lost}
        body = json.dumps(seen(delivery.event), indent=2).encode()
        headers = {
            "content-type": "application/json; charset=utf-8",
            "user-agent": "Stripe/1.0 (fake)",
            "stripe-signature": signature(body, self._world.clock.now(), self.endpoint.secrets),
        }
        try:
            answer = await self._http.post(self.endpoint.url, content=body, headers=headers)
            tried |= {"status": answer.status_code, "answer": answer.text[:200]}
            well = 200 <= answer.status_code < 300 and not lost
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            tried |= {"status": None, "answer": type(error).__name__}
            well = False
        delivery.tries = [*delivery.tries[1 - KEPT_TRIES :], {**tried, "taken": well}]
        return well

    # Running

    async def __aenter__(self) -> None:
        context = await asyncio.to_thread(httpx2.create_ssl_context)
        self._http = httpx2.AsyncClient(verify=context, timeout=ANSWER_SECONDS, follow_redirects=False)

    async def __aexit__(self, *_: object) -> None:
        assert self._http is not None
        await self._http.aclose()


def signature(body: bytes, at: int, secrets: tuple[str, ...]) -> str:
    """The header: HMAC-SHA256 over the time, a point and the body as it is sent, by each secret."""
    signed = f"{at}.".encode() + body
    marks = [f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}" for secret in secrets]
    return ",".join([f"t={at}", *marks])
