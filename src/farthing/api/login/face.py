"""The login service as the application sees it: who asks, what is answered, how it is told what went wrong.

It has paths of its own, and answers there whatever credential is sent. Tokens come in `Authorization: Bearer`, or in a
cookie that pages of the same host have.
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from farthing.core.commands import Command
from farthing.core.outcomes import Outcome
from farthing.identity.passwords import Crowded
from farthing.identity.refusals import Refused
from farthing.identity.throttle import Slow, whereabouts
from farthing.stores.contract import StoreError

from ..bearer import MISSING, TokenAuth
from ..endpoint import (
    CHALLENGE,
    CHALLENGE_INVALID,
    Caller,
    CredentialKind,
    Endpoint,
    Parameter,
    Reply,
    Request,
    Stop,
    Trouble,
)
from ..openapi import Code
from . import admin, profile, signing_in
from .calls import OPEN
from .desk import LoginDesk
from .errors import TROUBLES, Fault, tell, tell_failure
from .fields import bearer
from .hosts import Hosts
from .wire import Failure

ENDPOINTS: Final = (*signing_in.ENDPOINTS, *profile.ENDPOINTS, *admin.ENDPOINTS)
_OPEN: Final = frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.scope == OPEN)
_SCOPES: Final = frozenset({OPEN})
_NO_STORE: Final = (b"cache-control", b"no-store")
_BOTH: Final = "createUser"
"""The call that two kinds of clients make, each with its own word for an error."""
_encode = msgspec.json.Encoder().encode


class Login:
    """Existing clients of a login service speak this."""

    name = "login"
    prefixes = ("/api/auth/", "/api/profile", "/api/change-password", "/api/admin/users")
    credentials: tuple[CredentialKind, ...] = ("key", "token", "none")
    endpoints = ENDPOINTS
    error = Failure
    error_type = "application/json"
    schemes = ("token",)
    problems = ()

    def __init__(self, desk: LoginDesk, tokens: TokenAuth, hosts: Hosts) -> None:
        self._desk = desk
        self._tokens = tokens
        self._hosts = hosts

    async def identify(self, request: Request) -> Caller:
        """Who bears the token; before there is one, only whose login service is meant."""
        if request.path not in _OPEN:
            token = bearer(request)
            if not token:
                raise Stop(Trouble.CREDENTIAL_MISSING, MISSING)
            return await self._tokens.caller(token)
        workspace = await self._hosts.workspace(request)
        place = whereabouts(self._desk.wherefrom.address(request))
        return Caller(id=f"login:{workspace.id}:{place}", actor="login", workspace=workspace, scopes=_SCOPES)

    def known(self, request: Request) -> Caller | None:
        """Nobody is remembered: no call here is hot."""
        return None

    async def answer(self, endpoint: Endpoint, request: Request) -> Reply:
        """Do what the request asks for."""
        assert endpoint.act is not None, "every call here does what is asked by itself"
        try:
            answer = await endpoint.act(request, self._desk)
        except Fault as fault:
            return self._faulty(fault)
        except Refused as refused:
            return self._faulty(tell(refused))
        except Slow as slow:
            return self._faulty(Fault(str(slow), 429, headers=((b"retry-after", b"%d" % slow.seconds),)))
        except Crowded:
            return self._faulty(Fault("Too many sign in right now; try again", 503, headers=((b"retry-after", b"2"),)))
        reply = answer if isinstance(answer, Reply) else Reply(endpoint.status, _encode(answer))
        reply.headers = (*reply.headers, _NO_STORE)
        return reply

    def start(self, endpoint: Endpoint, request: Request) -> Command | Reply:
        """No call here is a command."""
        raise AssertionError("the login service moves no credits")

    def finish(self, endpoint: Endpoint, request: Request, command: Command, outcome: Outcome) -> Reply:
        """No call here is a command."""
        raise AssertionError("the login service moves no credits")

    # What goes wrong

    def _faulty(self, fault: Fault) -> Reply:
        if fault.register:
            body = Failure(message=fault.error)
        else:
            body = Failure(error=fault.error, details=fault.details or msgspec.UNSET)
        return Reply(fault.status, _encode(body), str(fault.status), fault.headers)

    def failed(self, error: StoreError, endpoint: Endpoint, request: Request) -> Reply:
        """A broken machine."""
        return self._faulty(tell_failure(error))

    def stopped(self, stop: Stop, endpoint: Endpoint | None, request: Request) -> Reply:
        """Trouble around an endpoint."""
        status, message, headers = TROUBLES[stop.trouble], stop.message, stop.headers
        if endpoint is not None and stop.trouble is Trouble.SCOPE_MISSING and _lacks_role(endpoint, request):
            message = f"{endpoint.scope.removeprefix('role:').capitalize()} access required"
        if status == 401:
            invalid = stop.trouble is Trouble.CREDENTIAL_INVALID
            headers = (*headers, CHALLENGE_INVALID if invalid else CHALLENGE)
        body = Failure(error=message, message=_also(message, endpoint))
        return Reply(status, _encode(body), str(status), headers)

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
        """All statuses that the endpoint may send, each with an example of its sentence."""
        for status in sorted({*TROUBLES.values(), *({409} if endpoint.operation_id == _BOTH else ())}):
            yield Code(status, HTTPStatus(status).name.lower(), HTTPStatus(status).phrase)

    def error_example(self, code: Code) -> dict[str, Any]:
        """An example of an error."""
        return {"error": code.sentence}


def _lacks_role(endpoint: Endpoint, request: Request) -> bool:
    caller: Caller | None = getattr(request, "caller", None)
    return caller is not None and endpoint.scope not in caller.scopes


def _also(message: str, endpoint: Endpoint | None) -> str | msgspec.UnsetType:
    both = endpoint is not None and endpoint.operation_id == _BOTH
    return message if both else msgspec.UNSET
