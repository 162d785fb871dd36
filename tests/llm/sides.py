"""Both sides of a metered client, threads and event loops, by the words of the one: a test is for both."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai

import farthing
from farthing.fakes.models import Remote
from farthing.llm import asettled
from tests.client.driving import Driver, Kind
from tests.llm.ledgers import CARD, Desk, open_ledger
from tests.llm.vendors import Vendors


class Drawn:
    """An asynchronous stream, read on its loop by who has no loop."""

    def __init__(self, runner: asyncio.Runner, stream: Any) -> None:
        self._runner, self._stream = runner, stream

    def __iter__(self) -> "Drawn":
        return self

    def __next__(self) -> Any:
        try:
            return self._runner.run(self._one())
        except StopAsyncIteration:
            raise StopIteration from None

    async def _one(self) -> Any:
        return await self._stream.__anext__()

    def read(self) -> None:
        """Read all of it, by one task."""
        self._runner.run(self._all())

    async def _all(self) -> None:
        async for _ in self._stream:
            pass

    def close(self) -> None:
        """Its reader leaves."""
        self._runner.run(self._stream.close())


async def _come(asked: Any) -> Any:
    return await asked


class AsyncVendors:
    """As `Vendors`, for event loops."""

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        given: dict[str, Any] = {"api_key": "k", "max_retries": 0, "http_client": http}
        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", **given)
        self.anthropic = anthropic.AsyncAnthropic(base_url=url, **given)


class AsyncDesk(Desk):
    """A desk whose clients are asynchronous ones."""

    def __init__(self, runner: asyncio.Runner, ledger: farthing.AsyncClient, vendors: Any, models: Remote, **said: Any):
        self.runner = runner
        self._ledger = ledger
        super().__init__(ledger, vendors, models, driven=Driver(runner, ledger), **said)

    def done(self, asked: Any) -> Any:
        """As a desk does."""
        found = self.runner.run(_come(asked), context=copy_context())
        return Drawn(self.runner, found) if hasattr(found, "__anext__") else found

    def settled(self) -> bool:
        """As a desk does."""
        return self.runner.run(asettled(self._ledger))


class Side:
    """Threads or an event loop, and a ledger for desks there."""

    def __init__(self, kind: Kind, ledger: Any, vendors: Any, models: Remote, runner: asyncio.Runner | None) -> None:
        self.kind = kind
        self.ledger = ledger
        self._vendors, self._models, self.runner = vendors, models, runner

    def desk(self, **said: Any) -> Desk:
        """A new account, and the vendors' clients that are metered for it."""
        if self.runner is None:
            return Desk(self.ledger, self._vendors, self._models, **said)
        return AsyncDesk(self.runner, self.ledger, self._vendors, self._models, **said)


@contextmanager
def side_of(kind: Kind, folder: Path, vendors: Vendors, models: Remote) -> Iterator[Side]:
    """One of the two, for as long as the block lasts."""
    if kind == "sync":
        with open_ledger(folder) as ledger:
            yield Side(kind, ledger, vendors, models, None)
        return
    with asyncio.Runner() as runner:
        url = f"sqlite:///{folder}/credits.db"

        async def opened() -> tuple[farthing.AsyncClient, httpx2.AsyncClient]:
            ledger = await farthing.aconnect(url)
            await ledger.rate_cards.put(CARD, reason="The first")
            return ledger, httpx2.AsyncClient(verify=False)

        own, http = runner.run(opened())
        try:
            yield Side(kind, own, AsyncVendors(models.url, http), models, runner)
        finally:
            runner.run(own.aclose())
            runner.run(http.aclose())
