"""The accounting dialect as the application sees it: who asks, what is answered, how it is told what went wrong."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from farthing.core.commands import Command
from farthing.core.outcomes import Accepted, Outcome
from farthing.stores.contract import StoreError

from ..bearer import MISSING, TokenAuth, bearer_of
from ..endpoint import (
    AUTHORIZATION,
    CHALLENGE,
    CHALLENGE_INVALID,
    Caller,
    CredentialKind,
    Endpoint,
    Headers,
    Parameter,
    Reply,
    Request,
    Stop,
    Trouble,
)
from ..openapi import Code
from ..v1.desk import Desk
from . import allocations, credits, session_lists, sessions, stats, usage
from .errors import CODES, TROUBLES, Fault, tell, tell_failure
from .wire import Failure

ENDPOINTS: Final = (
    *credits.ENDPOINTS,
    *allocations.ENDPOINTS,
    *usage.ENDPOINTS,
    *stats.ENDPOINTS,
    *sessions.ENDPOINTS,
    *session_lists.ENDPOINTS,
)
_ANYWHERE: Final = sorted({*TROUBLES.values(), 402, 409, 503} - {405})
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Accounting:
    """Existing clients of the Accounting Service API speak this."""

    name = "accounting"
    prefixes: tuple[str, ...] = ()
    credentials: tuple[CredentialKind, ...] = ("token",)
    endpoints = ENDPOINTS
    error = Failure
    error_type = "application/json"
    schemes = ("token",)
    problems = ()

    def __init__(self, desk: Desk, tokens: TokenAuth) -> None:
        self._desk = desk
        self._tokens = tokens

    async def identify(self, request: Request) -> Caller:
        """Who bears the token."""
        return await self._tokens.caller(bearer_of(request.headers[AUTHORIZATION]))

    def known(self, request: Request) -> Caller | None:
        """Who bears the token, where that is remembered."""
        header = request.headers.get(AUTHORIZATION, b"")
        return self._tokens.known(header[7:].decode("latin-1")) if header[:7] == b"Bearer " else None

    async def answer(self, endpoint: Endpoint, request: Request) -> Reply:
        """Do what the request asks for."""
        try:
            if endpoint.act is not None:
                return self._success(endpoint, await endpoint.act(request, self._desk))
            command = self.start(endpoint, request)
        except Fault as fault:
            return self._faulty(fault)
        if isinstance(command, Reply):
            return command
        return self.finish(endpoint, request, command, await self._desk.engine.ask(command))

    def start(self, endpoint: Endpoint, request: Request) -> Command | Reply:
        """The command that the request asks for, or why there is none."""
        assert endpoint.read is not None, "an endpoint that does nothing by itself reads a command"
        try:
            return endpoint.read(request)
        except Fault as fault:
            return self._faulty(fault)

    def finish(self, endpoint: Endpoint, request: Request, command: Command, outcome: Outcome) -> Reply:
        """What came of a command."""
        self._desk.observer.decided(command.kind, outcome)
        if not isinstance(outcome, Accepted):
            return self._faulty(tell(outcome, request.caller.workspace.scale))
        assert endpoint.write is not None, "what reads a command writes what came of it"
        assert outcome.entry is not None, "what a face asks for writes an entry"
        return self._success(endpoint, endpoint.write(outcome.entry, request.caller))

    def _success(self, endpoint: Endpoint, answer: Struct | Reply) -> Reply:
        return answer if isinstance(answer, Reply) else Reply(endpoint.status, _encode(answer))

    def _faulty(self, fault: Fault) -> Reply:
        return self._failure(fault.status, fault.message, fault.headers)

    def failed(self, error: StoreError, endpoint: Endpoint, request: Request) -> Reply:
        """A broken machine."""
        return self._faulty(tell_failure(error))

    def stopped(self, stop: Stop, endpoint: Endpoint | None, request: Request) -> Reply:
        """Trouble around an endpoint."""
        status, message, headers = TROUBLES[stop.trouble], stop.message, stop.headers
        if stop.trouble is Trouble.CREDENTIAL_MISSING:
            message = MISSING
        elif stop.trouble is Trouble.SCOPE_MISSING and endpoint is not None:
            message = f"{endpoint.scope.removeprefix('role:').capitalize()} access required"
        if status == 401:
            invalid = stop.trouble is Trouble.CREDENTIAL_INVALID
            headers = (*headers, CHALLENGE_INVALID if invalid else CHALLENGE)
        return self._failure(status, message, headers)

    def _failure(self, status: int, message: str, headers: Headers = ()) -> Reply:
        return Reply(status, _encode(Failure(message)), str(status), headers)

    # For the documentation

    def success(self, endpoint: Endpoint) -> type[Struct]:
        """The type of a whole body."""
        return endpoint.answer

    def success_example(self, endpoint: Endpoint) -> dict[str, Any]:
        """An example of one."""
        return endpoint.answered

    def parameters(self, endpoint: Endpoint) -> tuple[Parameter, ...]:
        """What it takes beside its body."""
        return endpoint.parameters

    def codes(self, endpoint: Endpoint) -> Iterator[Code]:
        """All that the endpoint may say no with, and the statuses that any may have, each with an example."""
        yield from (code for name, code in CODES.items() if name in endpoint.codes)
        for status in _ANYWHERE:
            phrase = HTTPStatus(status).phrase
            yield Code(status, phrase.lower().replace(" ", "_"), phrase)

    def error_example(self, code: Code) -> dict[str, Any]:
        """An example of an error."""
        return {"message": code.sentence}
