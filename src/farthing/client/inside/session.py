"""A session: the native API's own face, asked without HTTP. Results and errors are those of a server by construction.

A session belongs to one thread or event loop, unless what it is given can be shared.
"""

import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import count
from time import perf_counter
from typing import Any, Final, cast

from farthing.api.auth import KeyAuth
from farthing.api.endpoint import Caller, Endpoint, Reply, Request, Stop, Trouble
from farthing.api.v1 import V1
from farthing.api.v1.face import ENDPOINTS
from farthing.app import Ledger
from farthing.core.credentials import SCOPES
from farthing.core.outcomes import Outcome
from farthing.desks import Watch, desk_on
from farthing.engine import Engine
from farthing.prices.book import Books
from farthing.settings import PREFIX, Settings, read_settings
from farthing.stores.contract import StoreError
from farthing.stores.reports import Database

from ..answers import Answer, read_answer
from ..calls import Call

_ENDPOINTS: Final = {(endpoint.method, endpoint.path): endpoint for endpoint in ENDPOINTS}
_BODY_BYTES: Final = Settings().body_limit
_BUG: Final = (
    "Something went wrong in the ledger; nothing was done. The exception that it met is the cause of this one."
)


class Unwatched:
    """Is told of everything and keeps nothing of it."""

    def answered(self, face: str, status: int, seconds: float) -> None:
        """A request was answered."""

    def decided(self, kind: str, outcome: Outcome) -> None:
        """A command was carried out or refused."""


class Session:
    """Answers calls."""

    def __init__(
        self, ledger: Ledger, workspace: str, actor: str, watch: Watch, *, engine: Engine,
        database: Database, books: type[Books] = Books,
    ) -> None:  # fmt: skip
        self._workspace = workspace
        self._actor = actor
        self._watch = watch
        self._desk = desk_on(
            ledger, watch, Unwatched(), engine=engine, database=database, books=books,
            private_webhooks=_may_be_private(),
        )  # fmt: skip
        # Nobody comes with a credential: whoever can open the database may do everything.
        self._face = V1(self._desk, cast(KeyAuth, None))
        self._known: tuple[int, Caller] | None = None
        self._ids = map((b"req_%s%%08x" % secrets.token_hex(6).encode()).__mod__, count())

    async def answer(self, call: Call[Any]) -> Answer:
        """What the API answers."""
        reply, cause = await self._replied(call)
        return _answer(reply, cause)

    async def stream(self, call: Call[Any]) -> AsyncGenerator[bytes, None]:
        """What it answers part by part; raises what is refused."""
        reply, cause = await self._replied(call)
        if reply.parts is None:
            read_answer(call, _answer(reply, cause))
            return
        async with aclosing(reply.parts) as parts:
            yield reply.body
            async for part in parts:
                yield part

    async def _replied(self, call: Call[Any]) -> tuple[Reply, BaseException | None]:
        endpoint = _ENDPOINTS[call.method, call.template]
        request = self._request(call)
        cause: BaseException | None = None
        try:
            request.caller = await self._caller()
            if len(call.body) > (most := endpoint.body_bytes or _BODY_BYTES):
                raise Stop(Trouble.TOO_LARGE, f"The body may have at most {most:,} bytes.")
            reply = await self._face.answer(endpoint, request)
            if reply.parts is not None:
                reply.body = await anext(reply.parts, b"")
        except Stop as stop:
            reply = self._face.stopped(stop, endpoint, request)
        except StoreError as error:
            reply, cause = self._face.failed(error, endpoint, request), error
        except Exception as error:  # a bug; a server tells it the same way, and here its cause can be shown as well
            reply, cause = self._bug(endpoint, request), error
        return reply, cause

    async def aclose(self) -> None:
        """Let go of what it has opened beside the database."""
        await self._desk.listening.aclose()
        await self._desk.commerce.aclose()

    def _bug(self, endpoint: Endpoint, request: Request) -> Reply:
        return self._face.stopped(Stop(Trouble.BUG, _BUG), endpoint, request)

    def _request(self, call: Call[Any]) -> Request:
        fields = [(name.encode(), value.encode()) for name, value in call.headers().items()]
        scope = {
            "method": call.method, "path": call.path, "headers": fields, "query_string": call.query_text.encode(),
            "scheme": "library",
        }  # fmt: skip
        request = Request(scope, _nothing_more, next(self._ids), perf_counter())
        request.parameters = call.names
        request.body = call.body
        request.reading = False
        return request

    async def _caller(self) -> Caller:
        """Who asks, with the workspace and its prices as they are now."""
        generation, known = self._watch.generation, self._known
        if known is not None and known[0] == generation:
            return known[1]
        workspace = await self._desk.reports.workspace(self._workspace)
        assert workspace is not None, "a workspace stays for ever"
        caller = Caller(
            id="library",
            actor=self._actor,
            workspace=workspace,
            scopes=frozenset(SCOPES),
            prices=await self._desk.books.book(workspace),
        )
        # What was read while a change was on its way is used once and not remembered.
        if generation is not None and generation == self._watch.generation:
            self._known = (generation, caller)
        return caller


def _may_be_private() -> bool:
    """Whether events may go to private addresses: as the process that sends them is told, by the same variable."""
    name = f"{PREFIX}WEBHOOK_PRIVATE"
    return read_settings({name: os.environ[name]} if name in os.environ else {}).webhook_private == "allow"


async def _nothing_more() -> dict[str, Any]:
    return {"type": "http.disconnect"}


def _answer(reply: Reply, cause: BaseException | None) -> Answer:
    return Answer(reply.status, reply.body, _headers(reply), cause, own=True)


def _headers(reply: Reply) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in reply.headers}
