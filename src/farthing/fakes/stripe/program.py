"""The stand-in, from what is asked of it to its routes; for a program, and for a user's own tests."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from farthing.fakes.web import Remote, Request, Response, Routes, controlled

from . import checkout, reversals, subscriptions
from .api import Access, Api
from .control import Control
from .pages import Pages
from .running import Running
from .sender import Endpoint, Sender
from .world import Clock, World

KEY: Final = "sk_test_fake"
RESTRICTED_KEY: Final = "rk_test_fake"
SECRET: Final = "whsec_fake"  # noqa: S105 - it protects nothing


@dataclass(frozen=True)
class Options:
    """What the stand-in is to be."""

    keys: tuple[str, ...] = (KEY,)
    """API keys that may do everything. If the first is a live one, all that is made is live."""
    restricted_keys: tuple[str, ...] = (RESTRICTED_KEY,)
    """API keys that may look."""
    webhook: str = ""
    """Where events go."""
    secrets: tuple[str, ...] = (SECRET,)
    """What they are signed with."""
    start: float | None = None
    """What time it is at the beginning, in seconds since 1970; the machine's, if not said."""
    frozen: bool = False
    """The clock stands still, until it is put forward."""


class Fake:
    """A stand-in for Stripe."""

    def __init__(self, options: Options = Options()) -> None:
        live = options.keys[0].startswith(("sk_live_", "rk_live_"))
        self.world = World(Clock(options.start, options.frozen), livemode=live)
        # In this order: a checkout is told of as complete when all that it leads to is there.
        self.world.on_settled += [subscriptions.on_settled, checkout.on_settled, reversals.dispute_at_once]
        sender = Sender(self.world, Endpoint(options.webhook, options.secrets) if options.webhook else None)
        self.world.on_event.append(sender.tell)
        self._api = Api(self.world, Access(set(options.keys), set(options.restricted_keys)))
        self._going_on = Running(self.world, sender)
        self.routes: Routes = _Doors(self._api)
        Pages(self.world, sender).enter(self.routes)
        Control(self._api, sender, self._going_on).enter(self.routes)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Entered for as long as it is served."""
        return self._going_on.going_on()


class _Doors(Routes):
    """What is below /v1 is the API, which has its own errors; the rest are pages and control."""

    def __init__(self, api: Api) -> None:
        super().__init__()
        self._api = api

    async def answer(self, request: Request) -> Response:
        """What the one or the other says."""
        if request.path.startswith("/v1/"):
            return await self._api.answer(request)
        return await super().answer(request)


@contextmanager
def running(options: Options = Options()) -> Iterator[Remote]:
    """A stand-in on a free port, for as long as the block lasts."""
    with controlled(Fake(options)) as remote:
        yield remote
