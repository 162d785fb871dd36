"""The stand-in, from what is asked of it to its routes; for a program, and for a user's own tests."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Final

from farthing.fakes.web import Remote, Routes, controlled

from .calls import Api, Rules
from .clock import Clock
from .control import Control, dump
from .model import READONLY, Connection, Key, State
from .pages import Pages
from .post import Post
from .running import Running
from .selling import Shop

KEY: Final = "12345-fake-writable-key"
PASSPHRASE: Final = "fake-passphrase"  # noqa: S105 - it protects nothing
ALL_EVENTS: Final = (
    "payment,refund,chargeback,payment_missed,payment_denial,rebill_cancelled,rebill_resumed,last_paid_day"
)


@dataclass(frozen=True)
class Options:
    """What the stand-in is to be."""

    keys: tuple[str, ...] = (KEY,)
    """API keys that may do everything."""
    readonly_keys: tuple[str, ...] = ()
    notify: str = ""
    """Where notifications go from the start; nobody looks whether it is there."""
    passphrase: str = PASSPHRASE
    allow_http: bool = False
    """Take addresses that are not public or not https, as local tests have them."""
    frozen_at: datetime | None = None
    """The clock stands still there, until it is put forward."""
    seed: int | None = None
    """What ids are drawn from; without one they are new every time."""


class Fake:
    """A stand-in for Digistore24."""

    def __init__(self, options: Options = Options()) -> None:
        state, clock = State(random=Random(options.seed)), Clock(options.frozen_at)  # noqa: S311 - no secrets
        state.keys |= {text: Key(text) for text in options.keys}
        state.keys |= {text: Key(text, READONLY, billing_on_demand=False) for text in options.readonly_keys}
        post = Post(state, clock)
        self._api = Api(state, Shop(state, clock, post.tell), post, Rules(https_only=not options.allow_http))
        self._going_on = Running(self._api)
        self.routes = Routes()
        self._enter()
        if options.notify:
            self._connect(options)

    def _enter(self) -> None:
        pages = Pages(self._api)
        self.routes.add("POST", "/api/call/{function}/format/json", self._going_on.call)
        self.routes.add("POST", "/api/call/{function}", self._going_on.call)
        self.routes.add("GET", "/checkout/{name}", pages.checkout)
        self.routes.add("POST", "/checkout/{name}", pages.decide)
        self.routes.add("GET", "/product/{product_id}", pages.product)
        self.routes.add("GET", "/order/{order_id}", pages.order)
        self.routes.add("GET", "/upgrade/{name}/{order_ids}", pages.upgrade)
        self.routes.add("POST", "/upgrade/{name}/{order_ids}", pages.upgraded)
        Control(self._api, self._going_on).enter(self.routes)

    def _connect(self, options: Options) -> None:
        state = self._api.state
        key = next(iter(state.keys.values()), Key("0-none"))
        state.connections[f"{key.id}/fake"] = Connection(
            state.number(), options.notify, "fake", "fake", options.passphrase, key.id,
            categories="orders,etickets,customforms,affiliations", transactions=ALL_EVENTS,
        )  # fmt: skip

    def running(self) -> AbstractAsyncContextManager[None]:
        """Entered for as long as it is served."""
        return self._going_on.going_on()

    def dump(self) -> bytes:
        """All that it knows, as JSON."""
        return dump(self._api)


@contextmanager
def running(options: Options = Options()) -> Iterator[Remote]:
    """A stand-in on a free port, for as long as the block lasts."""
    with controlled(Fake(options)) as remote:
        yield remote
