"""The stand-in as a whole: its parts put together, its routes, and what goes on in it as time passes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final

from farthing.fakes.web import Request, Response

from .calls import Api
from .functions import Weather, answer, stormy

LOOK_SECONDS: Final = 0.1


class Running:
    """What goes on."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.weather = Weather()

    async def call(self, request: Request, function: str) -> Response:
        """A call of the API."""
        mode = self.weather.over(function)
        instead = stormy(self.weather, mode)
        if instead is not None:
            return instead
        key = request.headers.get("x-ds-api-key", "")
        told = await answer(self._api, function, request.body, key, request.base)
        if mode == "slow":
            await asyncio.sleep(self.weather.seconds)
        return Response(told.body[:20], told.status, broken=True) if mode == "lost_answer" else told

    async def advance(self, until: datetime) -> None:
        """Put the clock forward, from one thing that happens to the next."""
        api = self._api
        while (due := self._next()) is not None and due <= until:
            api.shop.clock.put(due)
            self._catch_up()
            await api.post.send_due()
        api.shop.clock.put(until)

    def _next(self) -> datetime | None:
        order, message = self._api.shop.next_due(), self._api.post.next_due()
        return min((due for due in (order and order[0], message) if due is not None), default=None)

    def _catch_up(self) -> None:
        """All that is due happens."""
        shop = self._api.shop
        while (due := shop.next_due()) is not None and due[0] <= shop.clock.now():
            shop.happen(due[1])

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """For as long as it is served: what comes due happens and is sent by itself."""
        async with self._api.post:
            runs = asyncio.get_running_loop().create_task(self._run())
            try:
                yield
            finally:
                runs.cancel()
                with suppress(asyncio.CancelledError):
                    await runs

    async def _run(self) -> None:
        while True:
            self._catch_up()
            await self._api.post.send_due()
            await asyncio.sleep(LOOK_SECONDS)
