"""Lanes: what goes to one endpoint, in the hands of a sender."""

import asyncio
from collections import deque
from typing import Final

from farthing.core.endpoints import WebhookEndpoint
from farthing.stores.outbox import Taken

from .guard import Refused
from .posting import Poster

FIRST_AHEAD: Final = 4
"""Events in memory for an endpoint of which it is not known yet how fast it takes them."""
SLOW_SECONDS: Final = 2.0
"""Who has not answered for so long counts among those that fail, as long as there is nothing to be heard."""


class Lane:
    """What goes to one endpoint."""

    def __init__(self, endpoint: WebhookEndpoint) -> None:
        self.endpoint = endpoint
        self.waiting: deque[Taken] = deque()
        self.began: dict[asyncio.Task[None], float] = {}
        """What is on its way, and since when."""
        self.held = 0
        """Events in memory."""
        self.ahead = FIRST_AHEAD
        """So many are taken for it."""
        self.taken = 0
        """It took so many since something was last taken for it."""
        self.fails = endpoint.failing_since is not None
        self.took_at: int | None = None
        """When it took something last, which may not be written down yet."""
        self.ended = False
        """It is not to be sent anything more, which may not be written down yet."""
        self.poster: Poster | Refused | None = None

    @property
    def failing_since(self) -> int | None:
        """Since when it has taken nothing."""
        since = self.endpoint.failing_since
        return None if since is None or (self.took_at is not None and since <= self.took_at) else since

    def add(self, taken: Taken) -> None:
        """Something more waits."""
        self.waiting.append(taken)
        self.held += 1 + len(taken.behind)

    def emptied(self) -> list[Taken]:
        """All that waits, which does so no more."""
        waiting = list(self.waiting)
        self.waiting.clear()
        self.held -= sum(1 + len(taken.behind) for taken in waiting)
        return waiting

    def is_bad(self, now: float) -> bool:
        """It fails, or has not answered for long."""
        return self.fails or (bool(self.began) and now - next(iter(self.began.values())) > SLOW_SECONDS)

    def update(self, endpoint: WebhookEndpoint) -> None:
        """The endpoint as it is now."""
        if endpoint.url != self.endpoint.url:
            self.close()
            self.poster = None
        self.endpoint = endpoint

    def close(self) -> None:
        """End connections that are not in use."""
        if isinstance(self.poster, Poster):
            self.poster.close()
