"""The CountWerk dialect as the application sees it: who asks, what is answered, how it is told what went wrong."""

from collections.abc import Awaitable, Iterator
from math import ceil
from typing import Any, Final

import msgspec
from msgspec import UNSET

from farthing.core.commands import Command
from farthing.core.outcomes import Accepted, Outcome
from farthing.stores.contract import StoreError

from ..auth import KeyAuth
from ..endpoint import (
    API_KEY,
    Caller,
    CredentialKind,
    Endpoint,
    Headers,
    Parameter,
    Reply,
    Request,
    Stop,
    Trouble,
    write_time,
)
from ..openapi import Code
from ..v1.desk import Desk
from .endpoints import ENDPOINTS
from .errors import CODES, EVERYWHERE, TROUBLES, Fault, tell, tell_failure
from .wire import Failure, Success

_EXAMPLE_TIME: Final = "2026-01-01T12:00:00.000Z"
_RETRY_AFTER: Final = 5
_encode = msgspec.json.Encoder(decimal_format="number").encode


class CountWerk:
    """Existing CountWerk clients speak this."""

    name = "countwerk"
    prefixes: tuple[str, ...] = ()
    credentials: tuple[CredentialKind, ...] = ("key",)
    endpoints = ENDPOINTS
    error = Failure
    error_type = "application/json"
    schemes = ("apiKey",)
    problems = ()

    def __init__(self, desk: Desk, keys: KeyAuth) -> None:
        self._desk = desk
        self._engine = desk.engine
        self._reports = desk.reports
        self._keys = keys
        self._now_us = desk.now_us
        self._observer = desk.observer

    def identify(self, request: Request) -> Awaitable[Caller]:
        """Who bears the key."""
        text = request.headers[API_KEY].decode("latin-1")
        if not text:
            raise Stop(Trouble.CREDENTIAL_MISSING, "The header X-API-Key is empty.")
        return self._keys.caller(text)

    def known(self, request: Request) -> Caller | None:
        """Who bears the key, where that is remembered."""
        return self._keys.known(request.headers[API_KEY].decode("latin-1"))

    async def answer(self, endpoint: Endpoint, request: Request) -> Reply:
        """Do what the request asks for."""
        try:
            if endpoint.query is not None:
                return self._success(await endpoint.query(request, self._reports, self._now_us()))
            if endpoint.act is not None:
                return self._success(await endpoint.act(request, self._desk))
        except Fault as fault:
            return self._faulty(fault)
        command = self.start(endpoint, request)
        if isinstance(command, Reply):
            return command
        return self.finish(endpoint, request, command, await self._engine.ask(command))

    def start(self, endpoint: Endpoint, request: Request) -> Command | Reply:
        """The command that the request asks for, or why there is none."""
        assert endpoint.read is not None, "an endpoint that asks nothing reads a command"
        try:
            return endpoint.read(request)
        except Fault as fault:
            return self._faulty(fault)

    def finish(self, endpoint: Endpoint, request: Request, command: Command, outcome: Outcome) -> Reply:
        """What came of a command."""
        assert endpoint.write is not None, "what reads a command writes what came of it"
        self._observer.decided(command.kind, outcome)
        if type(outcome) is Accepted and outcome.entry is not None:
            return self._success(endpoint.write(outcome.entry, request.caller))
        return self._refused(outcome, command, request.caller)

    def _faulty(self, fault: Fault) -> Reply:
        headers: Headers = ()
        if fault.status in (429, 503):
            headers = _again_after(fault.retry_after or _RETRY_AFTER)
        return self._failure(fault.status, fault.code, fault.message, fault.data, headers)

    def _success(self, data: Any) -> Reply:
        return Reply(200, _encode(Success(True, data, write_time(self._now_us()))))

    def _refused(self, outcome: Outcome, command: Command, caller: Caller) -> Reply:
        assert not isinstance(outcome, Accepted), "what a face asks for writes an entry"
        told = tell(outcome, getattr(command, "amount", 0) or 0, caller.workspace.scale)
        return self._failure(told.status, told.code, told.message, told.data)

    def failed(self, error: StoreError, endpoint: Endpoint, request: Request) -> Reply:
        """A broken machine."""
        told = tell_failure(error, endpoint.failure)
        headers: Headers = ()
        if told.status != 500:
            headers = _again_after(error.retry_after or _RETRY_AFTER)
        return self._failure(told.status, told.code, told.message, headers=headers)

    def stopped(self, stop: Stop, endpoint: Endpoint | None, request: Request) -> Reply:
        """Trouble around an endpoint."""
        status, code = TROUBLES[stop.trouble]
        own = "INTERNAL_ERROR" if endpoint is None else endpoint.failure
        return self._failure(status, code or own, stop.message, headers=stop.headers)

    def _failure(
        self, status: int, code: str, message: str, data: dict[str, Any] | None = None, headers: Headers = ()
    ) -> Reply:
        failure = Failure(False, code, message, write_time(self._now_us()), data or UNSET)
        return Reply(status, _encode(failure), code, headers)

    # For the documentation

    def success(self, endpoint: Endpoint) -> Any:
        """The type of a whole body."""
        return Success[endpoint.answer]  # type: ignore[name-defined]

    def success_example(self, endpoint: Endpoint) -> dict[str, Any]:
        """An example of one."""
        return {"success": True, "data": endpoint.answered, "timestamp": _EXAMPLE_TIME}

    def parameters(self, endpoint: Endpoint) -> tuple[Parameter, ...]:
        """What it takes beside its body."""
        return endpoint.parameters

    def codes(self, endpoint: Endpoint) -> Iterator[Code]:
        """All codes that the endpoint may send."""
        for name, code in CODES.items():
            if name in endpoint.codes or name in EVERYWHERE or name == endpoint.failure:
                yield code
            if name == "INVALID_INPUT":
                if name in endpoint.codes:  # its own use of it: what is named is not there
                    yield Code(404, name, "ai_product_id names no product that is on sale.")
                yield Code(413, name, "The body may have at most 1,000,000 bytes.")
                yield Code(415, name, "Send the body as JSON, with the header Content-Type: application/json.")
        yield Code(503, endpoint.failure, "The disk is full; nothing was done.")

    def error_example(self, code: Code) -> dict[str, Any]:
        """An example of an error."""
        body = {"success": False, "code": code.code, "message": code.sentence, "timestamp": _EXAMPLE_TIME}
        if code.code == "INSUFFICIENT_CREDITS":
            body["data"] = {"available": 3, "required": 5, "deficit": 2}
        return body


def _again_after(seconds: float) -> Headers:
    return ((b"retry-after", b"%d" % ceil(seconds)),)
