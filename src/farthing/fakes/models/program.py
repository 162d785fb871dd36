"""The stand-in, from what is asked of it to its routes; for a program, and for a user's own tests."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from farthing.fakes.web import Remote, Request, Response, Routes, controlled

from .calls import Calls
from .control import Control


@dataclass(frozen=True)
class Options:
    """What the stand-in is to be."""

    keys: tuple[str, ...] = ()
    """API keys that are taken; without any, whatever comes."""
    models: tuple[str, ...] = ()
    """Models that there are; without any, whichever is asked for."""
    seed: int | None = None
    """What ids and chances are drawn from; without one they are new every time."""


class Fake:
    """A stand-in for OpenAI and Anthropic."""

    def __init__(self, options: Options = Options()) -> None:
        self._calls = Calls(options.keys, options.models, options.seed)
        self.routes: Routes = _Doors(self._calls)
        Control(self._calls).enter(self.routes)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Nothing goes on by itself."""
        yield


class _Doors(Routes):
    """What is below /v1 are the APIs, which have their own errors; the rest is control."""

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self._calls = calls

    async def answer(self, request: Request) -> Response:
        """What the one or the other says."""
        if request.path.startswith("/v1/"):
            return await self._calls.answer(request)
        return await super().answer(request)


@contextmanager
def running(options: Options = Options()) -> Iterator[Remote]:
    """A stand-in on a free port, for as long as the block lasts."""
    with controlled(Fake(options)) as remote:
        yield remote
