"""The world: what there is at this Stripe, its clock, what is to happen later, and how much money has moved.

Objects are the JSON that is answered; names that begin with an underscore are ours and never leave.
"""

import hashlib
import heapq
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

from .params import Json, not_found

API_VERSION: Final = "2026-10-28.endive"
HOUR: Final = 3_600
DAY: Final = 24 * HOUR
NOBODY: Final[Json] = {"id": None, "idempotency_key": None}
"""Who asks where no call does: a page, or the clock."""
ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Clock:
    """Time that runs like the real one, or stands still; it can be put forward, never back."""

    def __init__(self, start: float | None = None, frozen: bool = False) -> None:
        begin = time.time() if start is None else start
        self._ahead = begin if frozen else begin - time.time()
        self._runs = not frozen

    def exact(self) -> float:
        """Now, with what is beyond seconds."""
        return self._ahead + (time.time() if self._runs else 0.0)

    def now(self) -> int:
        """Now, as objects have it."""
        return int(self.exact())

    def move_to(self, at: float) -> None:
        """Put it forward."""
        self._ahead += max(0.0, at - self.exact())


@dataclass(frozen=True)
class Move:
    """Money of a payment that has moved, or is not to be spent for now."""

    at: int
    payment_intent: str
    charge: str
    kind: str
    """`paid`, `refunded`, `refund_failed`, `disputed`, `dispute_won`, `dispute_lost`."""
    amount: int
    currency: str


Act = Callable[[], None]
Told = Callable[[Json], None]
Settled = Callable[["World", Json], None]


@dataclass
class World:
    """Everything. Nothing is awaited while it changes: whoever looks sees it whole."""

    clock: Clock
    livemode: bool = False
    seed: str = field(default_factory=lambda: secrets.token_hex(8))
    moves: list[Move] = field(default_factory=list)
    on_event: list[Told] = field(default_factory=list)
    """Who is told of events."""
    on_settled: list[Settled] = field(default_factory=list)
    """Who is told of payments that have succeeded or failed, or are on their way."""
    asking: Json = field(default_factory=lambda: NOBODY)
    """The request that is being carried out, as its events name it."""
    base: str = ""
    """Where it is reached, for links to its pages."""

    def __post_init__(self) -> None:
        self._kinds: dict[str, dict[str, Json]] = defaultdict(dict)
        self._timers: list[tuple[float, int, Act]] = []
        self._count = 0

    def new_id(self, prefix: str) -> str:
        """An id nobody has."""
        self._count += 1
        digest = hashlib.sha256(f"{self.seed}:{self._count}".encode()).digest()[:24]
        return f"{prefix}_{''.join(ALPHABET[byte % len(ALPHABET)] for byte in digest)}"

    # Objects

    def make(self, kind: str, prefix: str, **fields: Any) -> Json:
        """A new object."""
        created = {"id": self.new_id(prefix), "object": kind, "created": self.clock.now()}
        return self.put({**created, "livemode": self.livemode, "metadata": {}, **fields})

    def put(self, made: Json) -> Json:
        """Keep an object."""
        self._kinds[made["object"]][made["id"]] = made
        return made

    def find(self, kind: str, id: str | None, param: str = "id") -> Json:
        """The object with an id."""
        if id is None or (found := self._kinds[kind].get(id)) is None:
            raise not_found(kind, str(id), param)
        return found

    def by_id(self, id: str) -> Json | None:
        """Whatever object has an id."""
        return next((of_kind[id] for of_kind in self._kinds.values() if id in of_kind), None)

    def all(self, kind: str) -> Iterator[Json]:
        """All of a kind, oldest first."""
        yield from self._kinds[kind].values()

    def counts(self) -> dict[str, int]:
        """How many there are of each kind."""
        return {kind: len(objects) for kind, objects in self._kinds.items()}

    # What happens

    def tell(self, type: str, about: Json, previous: Json | None = None) -> None:
        """An event: something has happened to an object, which is told of as it is now."""
        data: Json = {"object": seen(about)}
        if previous is not None:
            data["previous_attributes"] = previous
        made = self.make("event", "evt", api_version=API_VERSION, type=type, data=data, pending_webhooks=0)
        del made["metadata"]
        made["livemode"] = about.get("livemode", self.livemode)
        made["request"] = dict(self.asking)
        for told in self.on_event:
            told(made)

    def settled(self, intent: Json) -> None:
        """A payment has come to something."""
        for told in self.on_settled:
            told(self, intent)

    def move(self, kind: str, charge: Json, amount: int) -> None:
        """Write down that money of a charge has moved."""
        intent = charge["payment_intent"]
        self.moves.append(Move(self.clock.now(), intent, charge["id"], kind, amount, charge["currency"]))

    # What happens later

    def later(self, at: float, act: Act) -> None:
        """Do something once the clock is there."""
        self._count += 1
        heapq.heappush(self._timers, (at, self._count, act))

    def next_due(self) -> float | None:
        """When the next thing is due."""
        return self._timers[0][0] if self._timers else None

    def run_due(self) -> None:
        """Do what is due."""
        # A microsecond of grace: a clock that was put forward may be a hair short of where it was put.
        while self._timers and self._timers[0][0] <= self.clock.exact() + 1e-6:
            heapq.heappop(self._timers)[2]()


def seen(about: Any) -> Any:
    """An object as others see it: a copy, without what is ours."""
    if isinstance(about, dict):
        return {name: seen(value) for name, value in about.items() if not name.startswith("_")}
    if isinstance(about, list):
        return [seen(each) for each in about]
    return deepcopy(about)
